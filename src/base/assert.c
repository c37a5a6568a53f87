#include <kernel/assert.h>

#include <stdio.h>
#include <stdlib.h>

static _Thread_local kn_assert_hook *thread_hook;
static _Thread_local void *thread_context;

void kn_assert_set_hook(kn_assert_hook *hook, void *context)
{
    thread_hook = hook;
    thread_context = context;
}

kn_assert_hook *kn_assert_get_hook(void **context)
{
    *context = thread_context;
    return thread_hook;
}

_Noreturn void kn_assert_failed(const char *expression, const char *file, int line)
{
    if (thread_hook)
        thread_hook(thread_context, expression, file, line);
    fprintf(stderr, "%s:%d: broken invariant: %s\n", file, line, expression);
    abort();
}
