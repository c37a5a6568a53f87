#include <kernel/assert.h>

#include <stdio.h>
#include <stdlib.h>

_Noreturn void kn_assert_failed(const char *expression, const char *file, int line)
{
    fprintf(stderr, "%s:%d: broken invariant: %s\n", file, line, expression);
    abort();
}
