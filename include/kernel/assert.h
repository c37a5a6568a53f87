/*
 * kn_assert: the statement of an invariant of the library itself.
 *
 * Use it for what can only be false when our own code (or a caller breaking a documented precondition) is
 * wrong; never for input, full queues or failing system calls, which are answers. It prints the expression
 * with its place and aborts. KN_NO_ASSERT removes it.
 */
#ifndef KERNEL_ASSERT_H
#define KERNEL_ASSERT_H

/* Is told of a broken invariant. Leaves by longjmp, or returns to let the program abort. */
typedef void kn_assert_hook(void *context, const char *expression, const char *file, int line);

/* Has this thread's broken invariants told to a hook first; NULL: no more. What is broken stays so: only who can tell
 * what it was part of, as a reactor can of a task, should go on. */
void kn_assert_set_hook(kn_assert_hook *hook, void *context);

/* This thread's hook and its context, for who sets another one for a while. */
kn_assert_hook *kn_assert_get_hook(void **context);

/* Reports a broken invariant on standard error and aborts. Does not return. */
_Noreturn void kn_assert_failed(const char *expression, const char *file, int line);

#ifdef KN_NO_ASSERT
#define kn_assert(expression) ((void)sizeof(!(expression)))
#else
#define kn_assert(expression) ((expression) ? (void)0 : kn_assert_failed(#expression, __FILE__, __LINE__))
#endif

#endif
