/* Tasks that break an invariant. */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kernel/assert.h>

#include "reactors.h"

static struct kn_reactor *first_of(struct kn_runtime *runtime)
{
    return kn_runtime_reactor(runtime, 0);
}

/* What the runtime was told. */
struct report {
    unsigned count;
    struct kn_task *task;
    char reason[256];
};

static void note_panic(void *context, struct kn_task *task, const char *reason)
{
    struct report *report = context;
    report->count++;
    report->task = task;
    strncpy(report->reason, reason, sizeof(report->reason) - 1);
}

static struct kn_runtime *open_isolated(struct report *report)
{
    return reactors_open((struct kn_runtime_options){
        .isolate_panics = true, .on_panic = report ? note_panic : NULL, .on_panic_context = report});
}

static void panic(struct probe *probe, struct kn_reactor *reactor)
{
    (void)reactor;
    probe->inside = 0;
    kn_task_panic("out of cheese");
}

static void fail_assertion(struct probe *probe, struct kn_reactor *reactor)
{
    probe->inside = 0;
    kn_assert(reactor == NULL);
}

static void panic_ends_the_task_and_not_the_program(void **state)
{
    (void)state;
    struct report report = {0};
    struct kn_runtime *runtime = open_isolated(&report);
    struct probe bad;
    struct probe good[2];
    probe_init(&good[0], 3, "yyd", NULL);
    probe_init(&bad, 3, "p", NULL);
    probe_init(&good[1], 3, "yyd", NULL);
    bad.act = panic;
    kn_task_spawn(&good[0].task, first_of(runtime));
    kn_task_spawn(&bad.task, first_of(runtime));
    kn_task_spawn(&good[1].task, first_of(runtime));
    reactors_settle(runtime);
    assert_int_equal(bad.polls, 1);
    assert_int_equal(good[0].polls, 3);
    assert_int_equal(good[1].polls, 3);
    assert_int_equal(report.count, 1);
    assert_ptr_equal(report.task, &bad.task);
    assert_string_equal(report.reason, "out of cheese");
    assert_int_equal(REACTORS_COUNTER(runtime, 0, panics), 1);
    assert_int_equal(REACTORS_COUNTER(runtime, 0, finished), 2);
    /* It is done as any other: nothing wakes it. */
    kn_task_wake(&bad.task);
    kn_task_cancel(&bad.task);
    assert_int_equal(reactors_settle(runtime), 0);
    kn_runtime_close(runtime);
}

static void panic_is_what_a_broken_invariant_of_a_task_is(void **state)
{
    (void)state;
    struct report report = {0};
    struct kn_runtime *runtime = open_isolated(&report);
    struct probe bad;
    probe_init(&bad, 3, "p", NULL);
    bad.act = fail_assertion;
    kn_task_spawn(&bad.task, first_of(runtime));
    reactors_settle(runtime);
    assert_int_equal(report.count, 1);
    assert_non_null(strstr(report.reason, "reactor == NULL"));
    assert_non_null(strstr(report.reason, "test_task_panic.c:"));
    kn_runtime_close(runtime);
}

static void panic_is_silent_where_nobody_asked(void **state)
{
    (void)state;
    struct kn_runtime *runtime = open_isolated(NULL);
    struct probe bad;
    probe_init(&bad, 3, "p", NULL);
    bad.act = panic;
    kn_task_spawn(&bad.task, first_of(runtime));
    reactors_settle(runtime);
    assert_int_equal(REACTORS_COUNTER(runtime, 0, panics), 1);
    kn_runtime_close(runtime);
}

static void panic_counts_as_the_end_for_who_waits(void **state)
{
    (void)state;
    struct kn_runtime *runtime = open_isolated(NULL);
    struct kn_task_group group;
    struct probe bad[3];
    struct probe good;
    kn_task_group_init(&group, 4);
    for (unsigned i = 0; i < 3; i++) {
        probe_init(&bad[i], 3, "yp", NULL);
        bad[i].act = i % 2 == 0 ? panic : fail_assertion;
        bad[i].task.group = &group;
        kn_task_spawn(&bad[i].task, first_of(runtime));
    }
    probe_init(&good, 3, "d", NULL);
    good.task.group = &group;
    kn_task_spawn(&good.task, first_of(runtime));
    reactors_settle(runtime);
    assert_int_equal(kn_task_group_join(&group, NULL), 0);
    kn_runtime_close(runtime);
}

static enum kn_task_status panic_when_cancelled(struct kn_task *task, struct kn_reactor *reactor)
{
    (void)task;
    (void)reactor;
    kn_task_panic("in its cancellation");
}

static void panic_in_a_cancellation_ends_the_task_as_well(void **state)
{
    (void)state;
    static const struct kn_task_type type = {
        .name = "stubborn", .poll = probe_poll, .cancelled = panic_when_cancelled, .release = probe_release};
    struct report report = {0};
    struct kn_runtime *runtime = open_isolated(&report);
    struct probe probe;
    probe_init(&probe, 3, "p", NULL);
    probe.task.type = &type;
    kn_task_spawn(&probe.task, first_of(runtime));
    reactors_settle(runtime);
    kn_task_cancel(&probe.task);
    reactors_settle(runtime);
    assert_string_equal(report.reason, "in its cancellation");
    assert_int_equal(probe.releases, 0); /* its memory is not trusted */
    kn_runtime_close(runtime);
}

static enum kn_task_status panic_pooled(struct kn_task *task, struct kn_reactor *reactor)
{
    (void)task;
    (void)reactor;
    kn_task_panic("of a pool");
}

static void panic_keeps_memory_of_a_pool_from_being_used_again(void **state)
{
    (void)state;
    static const struct kn_task_type type = {.name = "pooled", .poll = panic_pooled};
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){.isolate_panics = true, .pool_tasks = 2});
    for (unsigned i = 0; i < 2; i++) {
        struct kn_task *task = kn_reactor_task_acquire(first_of(runtime));
        assert_non_null(task);
        kn_task_init(task, &type, 3);
        kn_task_spawn(task, first_of(runtime));
        reactors_settle(runtime);
    }
    assert_null(kn_reactor_task_acquire(first_of(runtime)));
    assert_int_equal(REACTORS_COUNTER(runtime, 0, pool_used), 2);
    kn_runtime_close(runtime);
}

static void panics_do_not_end_a_turn_nor_escape_its_guard(void **state)
{
    (void)state;
    struct kn_runtime *runtime =
        reactors_open((struct kn_runtime_options){.isolate_panics = true, .guard_turns = 1, .turn_tasks = 10});
    struct probe probes[200];
    struct probe busy;
    probe_init(&busy, 0, "y", NULL);
    kn_task_spawn(&busy.task, first_of(runtime));
    for (unsigned i = 0; i < 200; i++) {
        probe_init(&probes[i], 1 + i % 7, "p", NULL);
        probes[i].act = panic;
        kn_task_spawn(&probes[i].task, first_of(runtime));
    }
    for (unsigned turn = 0; turn < 2000; turn++)
        assert_int_equal(kn_reactor_turn(first_of(runtime), 0), 1);
    assert_int_equal(REACTORS_COUNTER(runtime, 0, panics), 200); /* by the guard alone */
    assert_int_equal(REACTORS_COUNTER(runtime, 0, polls), 20000);
    assert_int_equal(busy.polls, 20000 - 200);
    kn_runtime_close(runtime);
}

static void panics_on_all_reactors_are_kept_apart(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_start((struct kn_runtime_options){.reactors = 2, .isolate_panics = true});
    static struct probe probes[2000];
    struct kn_task_group group;
    kn_task_group_init(&group, 2000);
    for (unsigned i = 0; i < 2000; i++) {
        probe_init(&probes[i], 3, "yd", NULL);
        probes[i].act = i % 3 == 0 ? panic : i % 3 == 1 ? fail_assertion : NULL;
        probes[i].task.group = &group;
        kn_task_spawn(&probes[i].task, kn_runtime_reactor(runtime, i % 2));
    }
    assert_int_equal(kn_task_group_join(&group, NULL), 0);
    for (unsigned i = 0; i < 2000; i++)
        assert_int_equal(probes[i].polls, i % 3 == 2 ? 2 : 1);
    kn_runtime_close(runtime);
}

/* ---- what is not isolated ---- */

/* Does something in a child that must abort, and checks what it said. */
static void expect_abort(void (*function)(void), const char *text)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        signal(SIGABRT, SIG_DFL);
        function();
        _exit(0);
    }
    close(ends[1]);
    char said[1024] = {0};
    size_t length = 0;
    ssize_t count;
    while ((count = read(ends[0], said + length, sizeof(said) - 1 - length)) > 0)
        length += (size_t)count;
    close(ends[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_non_null(strstr(said, text));
}

static void run_probe(bool isolates, void (*act)(struct probe *, struct kn_reactor *))
{
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){.isolate_panics = isolates});
    struct probe probe;
    probe_init(&probe, 3, "p", NULL);
    probe.act = act;
    kn_task_spawn(&probe.task, first_of(runtime));
    reactors_settle(runtime);
}

static void panic_unisolated(void)
{
    run_probe(false, panic);
}

static void fail_assertion_unisolated(void)
{
    run_probe(false, fail_assertion);
}

static void panic_between_turns(void)
{
    run_probe(true, NULL);
    kn_task_panic("nobody's");
}

static void fail_assertion_between_turns(void)
{
    run_probe(true, NULL);
    kn_assert(1 + 1 == 3);
}

static void panic_in_release(struct kn_task *task, struct kn_reactor *reactor)
{
    (void)task;
    (void)reactor;
    kn_task_panic("in a release");
}

static void panic_when_released(void)
{
    static const struct kn_task_type type = {.name = "late", .poll = probe_poll, .release = panic_in_release};
    struct kn_runtime *runtime = open_isolated(NULL);
    struct probe probe;
    probe_init(&probe, 3, "d", NULL);
    probe.task.type = &type;
    kn_task_spawn(&probe.task, first_of(runtime));
    reactors_settle(runtime);
}

static void panic_aborts_where_tasks_are_not_isolated(void **state)
{
    (void)state;
    expect_abort(panic_unisolated, "out of cheese");
    expect_abort(fail_assertion_unisolated, "broken invariant: reactor == NULL");
}

static void panic_aborts_outside_of_polls(void **state)
{
    (void)state;
    expect_abort(panic_between_turns, "nobody's");
    expect_abort(fail_assertion_between_turns, "broken invariant: 1 + 1 == 3");
    expect_abort(panic_when_released, "in a release");
}

static void fail_assertion_after_close(void)
{
    struct kn_runtime *runtime = open_isolated(NULL);
    reactors_settle(runtime);
    kn_runtime_close(runtime);
    kn_assert(1 + 1 == 3); /* no hook is left that points to freed memory */
}

static void panic_hook_is_gone_with_the_runtime(void **state)
{
    (void)state;
    expect_abort(fail_assertion_after_close, "broken invariant: 1 + 1 == 3");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(panic_ends_the_task_and_not_the_program),
        cmocka_unit_test(panic_is_what_a_broken_invariant_of_a_task_is),
        cmocka_unit_test(panic_is_silent_where_nobody_asked),
        cmocka_unit_test(panic_counts_as_the_end_for_who_waits),
        cmocka_unit_test(panic_in_a_cancellation_ends_the_task_as_well),
        cmocka_unit_test(panic_keeps_memory_of_a_pool_from_being_used_again),
        cmocka_unit_test(panics_do_not_end_a_turn_nor_escape_its_guard),
        cmocka_unit_test(panics_on_all_reactors_are_kept_apart),
        cmocka_unit_test(panic_aborts_where_tasks_are_not_isolated),
        cmocka_unit_test(panic_aborts_outside_of_polls),
        cmocka_unit_test(panic_hook_is_gone_with_the_runtime),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
