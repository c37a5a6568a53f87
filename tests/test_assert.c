/* Broken invariants. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <kernel/assert.h>

static void assert_lets_true_statements_pass(void **state)
{
    (void)state;
    int evaluations = 0;
    kn_assert(++evaluations == 1);
    assert_int_equal(evaluations, 1);
}

static void assert_names_the_broken_invariant_and_aborts(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        signal(SIGABRT, SIG_DFL);
        kn_assert(1 + 1 == 3);
        _exit(0);
    }
    close(ends[1]);
    char text[1024] = {0};
    size_t length = 0;
    ssize_t count;
    while ((count = read(ends[0], text + length, sizeof(text) - 1 - length)) > 0)
        length += (size_t)count;
    close(ends[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_non_null(strstr(text, "broken invariant: 1 + 1 == 3"));
    assert_non_null(strstr(text, "test_assert.c:"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(assert_lets_true_statements_pass),
        cmocka_unit_test(assert_names_the_broken_invariant_and_aborts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
