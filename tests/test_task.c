/* Tasks: when they are polled, woken, cancelled and released. */
#include "reactors.h"

static struct kn_reactor *first_of(struct kn_runtime *runtime)
{
    return kn_runtime_reactor(runtime, 0);
}

static void wake_self(struct probe *probe, struct kn_reactor *reactor)
{
    (void)reactor;
    kn_task_wake(&probe->task);
}

static void wake_other(struct probe *probe, struct kn_reactor *reactor)
{
    (void)reactor;
    kn_task_wake(probe->argument);
}

static void wake(void *task)
{
    kn_task_wake(task);
}

static void cancel(void *task)
{
    kn_task_cancel(task);
}

struct spawning {
    struct kn_task *task;
    struct kn_reactor *reactor;
};

static void spawn(void *argument)
{
    const struct spawning *spawning = argument;
    kn_task_spawn(spawning->task, spawning->reactor);
}

/* ---- polls and wake-ups ---- */

static void task_is_polled_once_and_is_done(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){0});
    struct probe probe;
    probe_init(&probe, 3, "d", NULL);
    kn_task_spawn(&probe.task, first_of(runtime));
    assert_int_equal(probe.polls, 0); /* not before a turn */
    assert_int_equal(reactors_settle(runtime), 1);
    assert_int_equal(probe.polls, 1);
    assert_true(probe_is_done(&probe));
    assert_ptr_equal(probe.last, first_of(runtime));
    assert_int_equal(REACTORS_COUNTER(runtime, 0, polls), 1);
    assert_int_equal(REACTORS_COUNTER(runtime, 0, finished), 1);
    kn_runtime_close(runtime);
}

static void task_is_not_polled_again_until_it_is_woken(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){0});
    struct probe probe;
    probe_init(&probe, 3, "ppd", NULL);
    kn_task_spawn(&probe.task, first_of(runtime));
    assert_int_equal(reactors_settle(runtime), 1);
    assert_int_equal(reactors_settle(runtime), 0);
    assert_int_equal(probe.polls, 1);
    kn_task_wake(&probe.task);
    reactors_settle(runtime);
    assert_int_equal(probe.polls, 2);
    assert_false(probe_is_done(&probe));
    kn_task_wake(&probe.task);
    reactors_settle(runtime);
    assert_int_equal(probe.polls, 3);
    assert_true(probe_is_done(&probe));
    kn_runtime_close(runtime);
}

static void task_is_polled_once_for_many_wake_ups(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){0});
    struct probe probe;
    probe_init(&probe, 3, "p", NULL);
    kn_task_spawn(&probe.task, first_of(runtime));
    reactors_settle(runtime);
    for (unsigned i = 0; i < 1000; i++)
        kn_task_wake(&probe.task);
    reactors_outside(wake, &probe.task);
    reactors_settle(runtime);
    assert_int_equal(probe.polls, 2);
    kn_runtime_close(runtime);
}

static void task_is_polled_again_when_it_is_woken_while_it_runs(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){0});
    struct probe probe;
    probe_init(&probe, 3, "pppd", NULL);
    probe.act = wake_self;
    kn_task_spawn(&probe.task, first_of(runtime));
    reactors_settle(runtime);
    assert_int_equal(probe.polls, 4);
    assert_true(probe_is_done(&probe));
    kn_runtime_close(runtime);
}

static void wake_from_outside_while_running(struct probe *probe, struct kn_reactor *reactor)
{
    (void)reactor;
    if (probe->polls == 1)
        reactors_outside(wake, &probe->task);
}

static void task_is_polled_again_when_a_thread_wakes_it_while_it_runs(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){0});
    struct probe probe;
    probe_init(&probe, 3, "p", NULL);
    probe.act = wake_from_outside_while_running;
    kn_task_spawn(&probe.task, first_of(runtime));
    reactors_settle(runtime);
    assert_int_equal(probe.polls, 2);
    kn_runtime_close(runtime);
}

static void task_that_is_woken_before_its_first_poll_is_polled(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){0});
    struct probe probe;
    probe_init(&probe, 3, "p", NULL);
    kn_task_spawn(&probe.task, first_of(runtime));
    kn_task_wake(&probe.task);
    kn_task_wake(&probe.task);
    reactors_settle(runtime);
    assert_in_range(probe.polls, 1, 2);
    kn_runtime_close(runtime);
}

static void task_that_is_done_is_not_polled_for_a_late_wake_up(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){0});
    struct probe probe;
    probe_init(&probe, 3, "d", NULL);
    probe.act = wake_self; /* even one that came while it ran */
    kn_task_spawn(&probe.task, first_of(runtime));
    reactors_settle(runtime);
    kn_task_wake(&probe.task);
    kn_task_cancel(&probe.task);
    reactors_outside(wake, &probe.task);
    reactors_outside(cancel, &probe.task);
    assert_int_equal(reactors_settle(runtime), 0);
    assert_int_equal(probe.polls, 1);
    kn_runtime_close(runtime);
}

static void task_may_be_spawned_again_once_it_is_done(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){0});
    struct probe probe;
    probe_init(&probe, 3, "d", NULL);
    for (unsigned i = 1; i <= 3; i++) {
        kn_task_init(&probe.task, &PROBE, 3);
        kn_task_spawn(&probe.task, first_of(runtime));
        reactors_settle(runtime);
        assert_int_equal(probe.polls, i);
        assert_int_equal(REACTORS_COUNTER(runtime, 0, finished), i);
        kn_task_wake(&probe.task); /* a stale one, that the next life may not see */
    }
    kn_runtime_close(runtime);
}

static void task_is_spawned_and_woken_by_other_tasks(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){0});
    struct probe sleeper;
    struct probe waker;
    probe_init(&sleeper, 0, "pd", NULL);
    probe_init(&waker, 7, "d", NULL);
    waker.act = wake_other;
    waker.argument = &sleeper.task;
    kn_task_spawn(&waker.task, first_of(runtime));
    kn_task_spawn(&sleeper.task, first_of(runtime));
    reactors_settle(runtime);
    assert_int_equal(sleeper.polls, 2);
    assert_int_equal(waker.polls, 1);
    kn_runtime_close(runtime);
}

static void task_is_spawned_and_woken_from_a_thread_without_a_reactor(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){0});
    struct probe probe;
    struct spawning spawning = {&probe.task, first_of(runtime)};
    probe_init(&probe, 3, "pd", NULL);
    reactors_outside(spawn, &spawning);
    reactors_settle(runtime);
    assert_int_equal(probe.polls, 1);
    reactors_outside(wake, &probe.task);
    reactors_settle(runtime);
    assert_int_equal(probe.polls, 2);
    kn_runtime_close(runtime);
}

static void task_is_woken_on_the_reactor_where_it_ran(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){.reactors = 2, .no_balance = true});
    struct probe sleeper;
    struct probe waker;
    probe_init(&sleeper, 3, "pd", NULL);
    probe_init(&waker, 3, "d", NULL);
    waker.act = wake_other;
    waker.argument = &sleeper.task;
    kn_task_spawn(&sleeper.task, kn_runtime_reactor(runtime, 1));
    reactors_settle(runtime);
    kn_task_spawn(&waker.task, kn_runtime_reactor(runtime, 0));
    reactors_settle(runtime);
    assert_ptr_equal(waker.last, kn_runtime_reactor(runtime, 0));
    assert_ptr_equal(sleeper.last, kn_runtime_reactor(runtime, 1));
    assert_int_equal(sleeper.polls, 2);
    assert_int_equal(REACTORS_COUNTER(runtime, 1, received[KN_BUS_WAKE]), 1);
    kn_runtime_close(runtime);
}

static void task_of_another_runtime_is_spawned_and_woken_as_from_outside(void **state)
{
    (void)state;
    struct kn_runtime *here = reactors_open((struct kn_runtime_options){0});
    struct kn_runtime *there = reactors_open((struct kn_runtime_options){0});
    struct probe probe;
    probe_init(&probe, 3, "pd", NULL);
    reactors_settle(here); /* this thread is here's now */
    kn_task_spawn(&probe.task, first_of(there));
    reactors_settle(there);
    assert_int_equal(probe.polls, 1);
    reactors_settle(here);
    kn_task_wake(&probe.task);
    reactors_settle(there);
    assert_int_equal(probe.polls, 2);
    kn_runtime_close(here);
    kn_runtime_close(there);
}

/* ---- cancellation ---- */

static void task_cancelled_before_its_first_poll_is_done_without_one(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){0});
    struct probe probe;
    probe_init(&probe, 3, "p", NULL);
    kn_task_spawn(&probe.task, first_of(runtime));
    kn_task_cancel(&probe.task);
    assert_true(kn_task_is_cancelled(&probe.task));
    reactors_settle(runtime);
    assert_int_equal(probe.polls, 0);
    assert_true(probe_is_done(&probe));
    kn_runtime_close(runtime);
}

static void task_cancelled_while_it_waits_is_done_soon(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){0});
    struct probe probe;
    for (unsigned outside = 0; outside <= 1; outside++) {
        probe_init(&probe, 3, "p", NULL);
        kn_task_spawn(&probe.task, first_of(runtime));
        reactors_settle(runtime);
        assert_false(kn_task_is_cancelled(&probe.task));
        if (outside)
            reactors_outside(cancel, &probe.task);
        else
            kn_task_cancel(&probe.task);
        kn_task_cancel(&probe.task); /* once more changes nothing */
        reactors_settle(runtime);
        assert_int_equal(probe.polls, 1);
        assert_true(probe_is_done(&probe));
    }
    assert_int_equal(REACTORS_COUNTER(runtime, 0, finished), 2);
    kn_runtime_close(runtime);
}

static void cancel_self(struct probe *probe, struct kn_reactor *reactor)
{
    (void)reactor;
    assert_false(kn_task_is_cancelled(&probe->task));
    kn_task_cancel(&probe->task);
    assert_true(kn_task_is_cancelled(&probe->task));
}

static void task_cancelled_while_it_runs_ends_that_poll_first(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){0});
    static const char *const answers[] = {"p", "y", "d"};
    for (unsigned i = 0; i < 3; i++) {
        struct probe probe;
        probe_init(&probe, 3, answers[i], "d");
        probe.act = cancel_self;
        kn_task_spawn(&probe.task, first_of(runtime));
        reactors_settle(runtime);
        assert_int_equal(probe.polls, 1);
        assert_int_equal(probe.cancels, answers[i][0] == 'd' ? 0 : 1);
        assert_int_equal(probe.releases, 1);
        assert_true(probe_is_done(&probe));
    }
    kn_runtime_close(runtime);
}

static void task_that_was_woken_and_cancelled_hears_of_the_cancellation_alone(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){0});
    struct probe probe;
    probe_init(&probe, 3, "p", "d");
    kn_task_spawn(&probe.task, first_of(runtime));
    reactors_settle(runtime);
    kn_task_wake(&probe.task);
    kn_task_cancel(&probe.task);
    kn_task_wake(&probe.task);
    reactors_settle(runtime);
    assert_int_equal(probe.polls, 1);
    assert_int_equal(probe.cancels, 1);
    assert_int_equal(probe.releases, 1);
    kn_runtime_close(runtime);
}

static void task_may_go_on_after_its_cancellation_and_is_polled_as_before(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){0});
    static const char *const cancel_answers[] = {"p", "y"};
    for (unsigned i = 0; i < 2; i++) {
        struct probe probe;
        probe_init(&probe, 3, "pppd", cancel_answers[i]);
        kn_task_spawn(&probe.task, first_of(runtime));
        reactors_settle(runtime);
        kn_task_cancel(&probe.task);
        reactors_settle(runtime);
        assert_int_equal(probe.cancels, 1);
        assert_int_equal(probe.polls, 1 + i); /* one that yielded was polled again */
        kn_task_cancel(&probe.task);          /* again: a wake-up, no more */
        reactors_settle(runtime);
        assert_int_equal(probe.cancels, 1);
        assert_int_equal(probe.polls, 2 + i);
        while (!probe_is_done(&probe)) {
            assert_true(probe.polls < 4);
            kn_task_wake(&probe.task);
            reactors_settle(runtime);
        }
        assert_int_equal(probe.polls, 4);
        assert_int_equal(probe.releases, 1);
    }
    kn_runtime_close(runtime);
}

static void task_with_memory_of_its_own_is_released_when_it_is_touched_no_more(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){0});
    static const struct kn_task_type scribbler = {.name = "scribbler", .poll = probe_poll, .release = probe_release};
    struct probe probe;
    probe_init(&probe, 3, "pyd", NULL);
    probe.task.type = &scribbler;
    kn_task_spawn(&probe.task, first_of(runtime));
    reactors_settle(runtime);
    assert_int_equal(probe.releases, 0);
    kn_task_wake(&probe.task);
    reactors_settle(runtime);
    assert_int_equal(probe.releases, 1);
    kn_runtime_close(runtime);
}

static enum kn_task_status freed_poll(struct kn_task *task, struct kn_reactor *reactor)
{
    (void)task;
    (void)reactor;
    return KN_TASK_DONE;
}

static void freed_release(struct kn_task *task, struct kn_reactor *reactor)
{
    (void)reactor;
    memset(task, 0xff, sizeof(*task));
    free(task);
}

static void task_may_free_itself_when_it_is_released(void **state)
{
    (void)state;
    static const struct kn_task_type freed = {.name = "freed", .poll = freed_poll, .release = freed_release};
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){0});
    struct kn_task_group group;
    kn_task_group_init(&group, 100);
    for (unsigned i = 0; i < 100; i++) {
        struct kn_task *task = malloc(sizeof(*task));
        assert_non_null(task);
        kn_task_create(task, &freed, i % KN_PRIORITY_CLASSES);
        task->group = &group;
        kn_task_spawn(task, first_of(runtime));
        if (i % 2 == 0)
            kn_task_cancel(task);
    }
    reactors_settle(runtime);
    assert_int_equal(kn_task_group_join(&group, NULL), 0);
    kn_runtime_close(runtime);
}

/* ---- what a task carries ---- */

static void look_at_locals(struct probe *probe, struct kn_reactor *reactor)
{
    (void)reactor;
    for (unsigned key = 0; key < KN_TASK_LOCALS; key++)
        assert_ptr_equal(kn_task_local(&probe->task, key), (char *)probe->argument + key);
    probe->task.locals[1] = (char *)probe->argument + 1; /* they are its own to write */
}

static void task_carries_pointers_under_keys(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){0});
    static char base[KN_TASK_LOCALS];
    void *locals[KN_TASK_LOCALS];
    struct probe probe;
    probe_init(&probe, 3, "yd", NULL);
    for (unsigned key = 0; key < KN_TASK_LOCALS; key++) {
        assert_null(kn_task_local(&probe.task, key)); /* none without a place for them */
        locals[key] = base + key;
    }
    probe.task.locals = locals;
    probe.argument = base;
    probe.act = look_at_locals;
    kn_task_spawn(&probe.task, first_of(runtime));
    reactors_settle(runtime);
    assert_int_equal(probe.polls, 2);
    kn_runtime_close(runtime);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(task_is_polled_once_and_is_done),
        cmocka_unit_test(task_is_not_polled_again_until_it_is_woken),
        cmocka_unit_test(task_is_polled_once_for_many_wake_ups),
        cmocka_unit_test(task_is_polled_again_when_it_is_woken_while_it_runs),
        cmocka_unit_test(task_is_polled_again_when_a_thread_wakes_it_while_it_runs),
        cmocka_unit_test(task_that_is_woken_before_its_first_poll_is_polled),
        cmocka_unit_test(task_that_is_done_is_not_polled_for_a_late_wake_up),
        cmocka_unit_test(task_may_be_spawned_again_once_it_is_done),
        cmocka_unit_test(task_is_spawned_and_woken_by_other_tasks),
        cmocka_unit_test(task_is_spawned_and_woken_from_a_thread_without_a_reactor),
        cmocka_unit_test(task_is_woken_on_the_reactor_where_it_ran),
        cmocka_unit_test(task_of_another_runtime_is_spawned_and_woken_as_from_outside),
        cmocka_unit_test(task_cancelled_before_its_first_poll_is_done_without_one),
        cmocka_unit_test(task_cancelled_while_it_waits_is_done_soon),
        cmocka_unit_test(task_cancelled_while_it_runs_ends_that_poll_first),
        cmocka_unit_test(task_that_was_woken_and_cancelled_hears_of_the_cancellation_alone),
        cmocka_unit_test(task_may_go_on_after_its_cancellation_and_is_polled_as_before),
        cmocka_unit_test(task_with_memory_of_its_own_is_released_when_it_is_touched_no_more),
        cmocka_unit_test(task_may_free_itself_when_it_is_released),
        cmocka_unit_test(task_carries_pointers_under_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
