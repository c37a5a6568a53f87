/* Telling processes that live from those that are gone. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "queue/owner.h"

static const uint64_t ONE_TICK = UINT64_C(1) << KN_OWNER_PID_BITS;

/* A child that is there, named so, and sleeps until it is killed. */
static pid_t sleeping_child(const char *name)
{
    int ready[2];
    char byte;
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        prctl(PR_SET_NAME, name);
        if (write(ready[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    close(ready[1]);
    return child;
}

static void kill_and_wait(pid_t child)
{
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

static void owner_of_this_process_is_alive_and_stays_the_same(void **state)
{
    (void)state;
    uint64_t first;
    uint64_t second;
    assert_int_equal(kn_owner_self(&first), 0);
    assert_int_equal(kn_owner_of(getpid(), &second), 0);
    assert_int_equal(first, second);
    assert_int_equal(first & (ONE_TICK - 1), getpid());
    assert_true(kn_owner_alive(first));
}

static void owner_is_another_one_in_a_child(void **state)
{
    (void)state;
    uint64_t parent;
    uint64_t own;
    assert_int_equal(kn_owner_self(&parent), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(kn_owner_self(&own) == 0 && own != parent && kn_owner_alive(own) && kn_owner_alive(parent) ? 0 : 1);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void owner_that_was_killed_is_dead(void **state)
{
    (void)state;
    uint64_t owner;
    pid_t child = sleeping_child("child");
    assert_int_equal(kn_owner_of(child, &owner), 0);
    assert_true(kn_owner_alive(owner));
    kill_and_wait(child);
    assert_false(kn_owner_alive(owner));
    assert_int_equal(kn_owner_of(child, &owner), -ESRCH);
}

static void owner_that_waits_as_a_zombie_is_dead(void **state)
{
    (void)state;
    uint64_t owner;
    siginfo_t information;
    pid_t child = sleeping_child("child");
    assert_int_equal(kn_owner_of(child, &owner), 0);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitid(P_PID, (id_t)child, &information, WEXITED | WNOWAIT), 0);
    assert_int_equal(kill(child, 0), 0); /* still has its number */
    assert_false(kn_owner_alive(owner));
    assert_int_equal(waitpid(child, NULL, 0), child);
}

static void *sleep_for_ever(void *unused)
{
    (void)unused;
    for (;;)
        pause();
    return NULL;
}

static char state_of(pid_t pid)
{
    char path[64];
    char command[64];
    char state = '?';
    snprintf(path, sizeof(path), "/proc/%ld/stat", (long)pid);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%*d %63s %c", command, &state), 2);
    fclose(file);
    return state;
}

static void owner_whose_first_thread_has_ended_is_alive_while_another_runs(void **state)
{
    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        pthread_t thread;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (pthread_create(&thread, NULL, sleep_for_ever, NULL) != 0)
            _exit(1);
        pthread_exit(NULL);
    }
    uint64_t owner;
    assert_int_equal(kn_owner_of(child, &owner), 0);
    while (state_of(child) != 'Z')
        sched_yield();
    assert_true(kn_owner_alive(owner));
    kill_and_wait(child);
    assert_false(kn_owner_alive(owner));
}

static void later_process_with_the_same_number_is_not_the_owner(void **state)
{
    (void)state;
    uint64_t owner;
    assert_int_equal(kn_owner_self(&owner), 0);
    assert_false(kn_owner_alive(owner + ONE_TICK));
    assert_false(kn_owner_alive(owner - ONE_TICK));
}

static void owner_may_be_named_like_the_fields_behind_its_name(void **state)
{
    (void)state;
    const char *const names[] = {") Z 1 2", "(a) (b)", ")", "a b c", "  ", "\n) X", ""};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        uint64_t owner;
        uint64_t self;
        pid_t child = sleeping_child(names[i]);
        assert_int_equal(kn_owner_of(child, &owner), 0);
        assert_true(kn_owner_alive(owner));
        assert_int_equal(kn_owner_self(&self), 0);
        assert_true(owner >> KN_OWNER_PID_BITS >= self >> KN_OWNER_PID_BITS); /* started later than its parent */
        kill_and_wait(child);
        assert_false(kn_owner_alive(owner));
    }
}

static void numbers_of_no_process_have_no_owner(void **state)
{
    (void)state;
    uint64_t owner;
    assert_int_equal(kn_owner_of(0, &owner), -ESRCH);
    assert_int_equal(kn_owner_of(-1, &owner), -ESRCH); /* which kill(2) takes for everybody */
    assert_int_equal(kn_owner_of(INT32_MAX, &owner), -ESRCH);
    assert_false(kn_owner_alive(0));
    assert_false(kn_owner_alive(ONE_TICK - 1));
}

static void owner_counts_as_alive_while_nobody_can_look(void **state)
{
    (void)state;
    uint64_t owner;
    uint64_t again;
    struct rlimit limit;
    pid_t child = sleeping_child("child");
    assert_int_equal(kn_owner_of(child, &owner), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    struct rlimit none = {.rlim_cur = 0, .rlim_max = limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    bool alive = kn_owner_alive(owner);
    bool other = kn_owner_alive(owner + ONE_TICK);
    int result = kn_owner_self(&again);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_true(alive);
    assert_true(other);
    assert_int_equal(result, -EMFILE);
    assert_false(kn_owner_alive(owner + ONE_TICK));
    kill_and_wait(child);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(owner_of_this_process_is_alive_and_stays_the_same),
        cmocka_unit_test(owner_is_another_one_in_a_child),
        cmocka_unit_test(owner_that_was_killed_is_dead),
        cmocka_unit_test(owner_that_waits_as_a_zombie_is_dead),
        cmocka_unit_test(owner_whose_first_thread_has_ended_is_alive_while_another_runs),
        cmocka_unit_test(later_process_with_the_same_number_is_not_the_owner),
        cmocka_unit_test(owner_may_be_named_like_the_fields_behind_its_name),
        cmocka_unit_test(numbers_of_no_process_have_no_owner),
        cmocka_unit_test(owner_counts_as_alive_while_nobody_can_look),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
