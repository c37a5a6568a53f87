/* A set of reactors: how it is opened, started, stopped and closed. */
#include <sched.h>

#include "reactors.h"

static int refuse(struct kn_runtime_options options)
{
    struct kn_runtime *runtime = (struct kn_runtime *)&options;
    if (options.reactors == 0 && !options.placement)
        options.reactors = 2;
    int result = kn_runtime_open(&runtime, &options);
    assert_null(runtime);
    return result;
}

static void runtime_refuses_options_that_make_no_sense(void **state)
{
    (void)state;
    const struct kn_placement nowhere = {0};
    assert_int_equal(refuse((struct kn_runtime_options){.placement = &nowhere}), -EINVAL);
    assert_int_equal(refuse((struct kn_runtime_options){.reactors = KN_BALANCE_CORES_MAX + 1}), -EINVAL);
    assert_int_equal(refuse((struct kn_runtime_options){.bus_messages = 3}), -EINVAL);
    assert_int_equal(refuse((struct kn_runtime_options){.trace_events = 1000}), -EINVAL);
    assert_int_equal(refuse((struct kn_runtime_options){.turn_ns = -1}), -EINVAL);
    assert_int_equal(refuse((struct kn_runtime_options){.io_interval_ns = -1}), -EINVAL);
    assert_int_equal(refuse((struct kn_runtime_options){.timer_resolution_ns = (UINT64_C(1) << 40) + 1}), -EINVAL);
    assert_int_equal(refuse((struct kn_runtime_options){.clock = KN_REACTOR_CLOCK_COARSE + 1}), -EINVAL);
    for (unsigned class = 0; class < KN_PRIORITY_CLASSES; class ++) {
        struct kn_runtime_options options = {0};
        options.order[class] = KN_ORDER_DEADLINE + 1;
        assert_int_equal(refuse(options), -EINVAL);
    }
    /* Sizes whose products do not fit. */
    assert_int_equal(refuse((struct kn_runtime_options){.pool_tasks = 1, .pool_task_bytes = SIZE_MAX}), -EINVAL);
    assert_int_equal(refuse((struct kn_runtime_options){.pool_tasks = SIZE_MAX}), -EINVAL);
    assert_int_equal(
        refuse((struct kn_runtime_options){.reactors = 4, .pool_tasks = ((size_t)1 << 56) + 1, .pool_task_bytes = 64}),
        -EINVAL);
}

static void runtime_says_when_there_is_no_memory(void **state)
{
    (void)state;
    assert_int_equal(refuse((struct kn_runtime_options){.pool_tasks = (size_t)1 << 45, .pool_task_bytes = 64}),
                     -ENOMEM);
}

static void runtime_uses_what_this_process_may_use(void **state)
{
    (void)state;
    struct kn_runtime *runtime;
    cpu_set_t allowed;
    assert_int_equal(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
    assert_int_equal(kn_runtime_open(&runtime, NULL), 0);
    size_t count = kn_runtime_count(runtime);
    assert_in_range(count, 1, (size_t)CPU_COUNT(&allowed));
    for (size_t i = 0; i < count; i++) {
        struct kn_reactor *reactor = kn_runtime_reactor(runtime, i);
        assert_int_equal(kn_reactor_index(reactor), i);
        assert_ptr_equal(kn_reactor_runtime(reactor), runtime);
        assert_true(kn_reactor_unit(reactor) >= 0 && CPU_ISSET((size_t)kn_reactor_unit(reactor), &allowed));
    }
    assert_non_null(kn_runtime_find(runtime, KN_ROLE_TASK, 0));
    kn_runtime_close(runtime);
}

static void runtime_without_a_placement_has_reactors_for_everything(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){.reactors = 5});
    assert_int_equal(kn_runtime_count(runtime), 5);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(kn_reactor_unit(kn_runtime_reactor(runtime, i)), -1);
        assert_int_equal(kn_reactor_roles(kn_runtime_reactor(runtime, i)),
                         KN_ROLE_CONTROL | KN_ROLE_IO | KN_ROLE_TIMER | KN_ROLE_TASK);
    }
    kn_runtime_close(runtime);
}

static void runtime_finds_reactors_by_their_roles(void **state)
{
    (void)state;
    struct kn_placement_core cores[] = {
        {0, KN_ROLE_CONTROL}, {1, KN_ROLE_IO | KN_ROLE_TIMER}, {2, KN_ROLE_TASK}, {3, KN_ROLE_IO | KN_ROLE_TASK}};
    const struct kn_placement placement = {cores, 4};
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){.placement = &placement});
    memset(cores, 0xff, sizeof(cores)); /* it keeps nothing of it */
    assert_int_equal(kn_reactor_unit(kn_runtime_reactor(runtime, 2)), 2);
    assert_int_equal(kn_reactor_roles(kn_runtime_reactor(runtime, 3)), KN_ROLE_IO | KN_ROLE_TASK);
    static const struct {
        uint32_t roles;
        size_t from;
        int found;
    } cases[] = {{KN_ROLE_CONTROL, 0, 0},
                 {KN_ROLE_CONTROL, 1, -1},
                 {KN_ROLE_IO, 0, 1},
                 {KN_ROLE_IO, 2, 3},
                 {KN_ROLE_TIMER | KN_ROLE_TASK, 0, 1},
                 {KN_ROLE_TASK, 3, 3},
                 {KN_ROLE_TASK, 4, -1},
                 {0, 0, -1}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct kn_reactor *found = kn_runtime_find(runtime, cases[i].roles, cases[i].from);
        assert_ptr_equal(found, cases[i].found < 0 ? NULL : kn_runtime_reactor(runtime, (size_t)cases[i].found));
    }
    kn_runtime_close(runtime);
}

static void runtime_takes_turns_of_any_length(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){.reactors = 2, .turn_tasks = 1000});
    struct probe probe;
    probe_init(&probe, 3, "y", NULL);
    kn_task_spawn(&probe.task, kn_runtime_reactor(runtime, 0));
    assert_int_equal(kn_reactor_turn(kn_runtime_reactor(runtime, 0), 0), 1);
    assert_int_equal(probe.polls, 1000);
    kn_runtime_close(runtime);
}

/* ---- threads ---- */

/* What a task sees of its thread. */
struct thread_view {
    cpu_set_t allowed;
    char name[16];
};

static void look_at_thread(struct probe *probe, struct kn_reactor *reactor)
{
    struct thread_view *view = probe->argument;
    (void)reactor;
    assert_int_equal(sched_getaffinity(0, sizeof(view->allowed), &view->allowed), 0);
    assert_int_equal(pthread_getname_np(pthread_self(), view->name, sizeof(view->name)), 0);
}

/* Runs one pinned task on a reactor and waits for its end. */
static void run_there(struct kn_runtime *runtime, size_t index, void (*act)(struct probe *, struct kn_reactor *),
                      void *argument)
{
    struct kn_task_group group;
    struct probe probe;
    probe_init(&probe, 3, "d", NULL);
    probe.act = act;
    probe.argument = argument;
    probe.task.flags = KN_TASK_PINNED;
    kn_task_group_init(&group, 1);
    probe.task.group = &group;
    kn_task_spawn(&probe.task, kn_runtime_reactor(runtime, index));
    assert_int_equal(kn_task_group_join(&group, NULL), 0);
    assert_ptr_equal(probe.last, kn_runtime_reactor(runtime, index));
}

static void runtime_keeps_threads_to_their_cores_unless_told_not_to(void **state)
{
    (void)state;
    cpu_set_t allowed;
    uint32_t unit = 0;
    assert_int_equal(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
    while (!CPU_ISSET(unit, &allowed))
        unit++;
    struct kn_placement_core core = {unit, KN_ROLE_TASK};
    const struct kn_placement placement = {&core, 1};
    for (unsigned unpinned = 0; unpinned <= 1; unpinned++) {
        struct kn_runtime *runtime =
            reactors_start((struct kn_runtime_options){.placement = &placement, .unpinned = unpinned});
        struct thread_view view;
        run_there(runtime, 0, look_at_thread, &view);
        assert_string_equal(view.name, "reactor-0");
        assert_int_equal(CPU_COUNT(&view.allowed), unpinned ? CPU_COUNT(&allowed) : 1);
        assert_true(CPU_ISSET(unit, &view.allowed));
        kn_runtime_close(runtime);
    }
}

static void runtime_starts_a_thread_for_each_reactor(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_start((struct kn_runtime_options){.reactors = 4});
    for (size_t i = 0; i < 4; i++) {
        struct thread_view view;
        const char name[] = {'r', 'e', 'a', 'c', 't', 'o', 'r', '-', (char)('0' + i), '\0'};
        run_there(runtime, i, look_at_thread, &view);
        assert_string_equal(view.name, name);
    }
    kn_runtime_close(runtime);
}

static void stop(struct probe *probe, struct kn_reactor *reactor)
{
    (void)probe;
    kn_runtime_stop(kn_reactor_runtime(reactor));
}

static void runtime_leaves_the_first_reactors_to_the_caller(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){.reactors = 2});
    struct probe probe;
    assert_int_equal(kn_runtime_start(runtime, 1), 0);
    run_there(runtime, 1, NULL, NULL);
    probe_init(&probe, 3, "d", NULL);
    probe.act = stop;
    probe.task.flags = KN_TASK_PINNED;
    kn_task_spawn(&probe.task, kn_runtime_reactor(runtime, 0));
    assert_int_equal(kn_reactor_run(kn_runtime_reactor(runtime, 0)), 0);
    assert_int_equal(probe.polls, 1);
    assert_null(kn_reactor_current());
    assert_int_equal(kn_reactor_run(kn_runtime_reactor(runtime, 0)), 0); /* stays so */
    assert_int_equal(kn_reactor_turn(kn_runtime_reactor(runtime, 0), -1), -ESHUTDOWN);
    kn_runtime_close(runtime);
}

static void runtime_that_cannot_start_runs_nothing(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){.reactors = 2});
    pthread_attr_t usual;
    pthread_attr_t greedy;
    assert_int_equal(kn_runtime_start(runtime, 1), 0); /* one runs already */
    assert_int_equal(pthread_getattr_default_np(&usual), 0);
    assert_int_equal(pthread_attr_init(&greedy), 0);
    assert_int_equal(pthread_attr_setstacksize(&greedy, (size_t)1 << 56), 0);
    assert_int_equal(pthread_setattr_default_np(&greedy), 0);
    int result = kn_runtime_start(runtime, 0);
    assert_int_equal(pthread_setattr_default_np(&usual), 0);
    pthread_attr_destroy(&usual);
    pthread_attr_destroy(&greedy);
    assert_int_equal(result, -EAGAIN);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(kn_reactor_turn(kn_runtime_reactor(runtime, i), -1), -ESHUTDOWN);
    kn_runtime_close(runtime);
}

/* ---- the end ---- */

static void runtime_stops_from_outside_while_it_sleeps_and_while_it_works(void **state)
{
    (void)state;
    for (unsigned works = 0; works <= 1; works++) {
        for (unsigned round = 0; round < 50; round++) {
            struct kn_runtime *runtime =
                reactors_start((struct kn_runtime_options){.reactors = 3, .spin_ns = round % 2 == 0 ? -1 : 0});
            struct probe probes[6];
            for (unsigned i = 0; i < 6; i++) {
                probe_init(&probes[i], i, works ? "y" : "p", NULL);
                kn_task_spawn(&probes[i].task, kn_runtime_reactor(runtime, i % 3));
            }
            if (!works && round % 2 == 0)
                for (size_t i = 0; i < 3; i++)
                    reactors_await_parked(runtime, i);
            kn_runtime_stop(runtime);
            kn_runtime_stop(runtime);
            kn_runtime_close(runtime); /* or this would never end */
        }
    }
}

static void runtime_stops_from_a_task(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 50; round++) {
        struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){.reactors = 3, .spin_ns = -1});
        struct probe probe;
        assert_int_equal(kn_runtime_start(runtime, 1), 0);
        probe_init(&probe, 3, "d", NULL);
        probe.act = stop;
        kn_task_spawn(&probe.task, kn_runtime_reactor(runtime, 1 + round % 2));
        assert_int_equal(kn_reactor_run(kn_runtime_reactor(runtime, 0)), 0); /* it ends here, too */
        kn_runtime_close(runtime);
    }
}

static void runtime_stops_from_a_task_though_the_bus_is_full(void **state)
{
    (void)state;
    struct kn_runtime *runtime =
        reactors_open((struct kn_runtime_options){.reactors = 2, .bus_messages = 1, .no_balance = true});
    struct probe probes[3];
    for (unsigned i = 0; i < 3; i++)
        probe_init(&probes[i], 3, "d", NULL);
    probes[2].act = stop;
    assert_int_equal(kn_reactor_turn(kn_runtime_reactor(runtime, 0), 0), 0); /* this thread is its own now */
    kn_task_spawn(&probes[2].task, kn_runtime_reactor(runtime, 0));
    for (unsigned i = 0; i < 2; i++)
        kn_task_spawn(&probes[i].task, kn_runtime_reactor(runtime, 1));
    assert_int_equal(kn_bus_depth(kn_runtime_bus(runtime), 0, 1), 1);
    assert_int_equal(kn_reactor_turn(kn_runtime_reactor(runtime, 0), 0), 1);
    assert_int_equal(kn_reactor_turn(kn_runtime_reactor(runtime, 0), 0), -ESHUTDOWN);
    int result = 0;
    for (unsigned turn = 0; turn < 3 && result >= 0; turn++)
        result = kn_reactor_turn(kn_runtime_reactor(runtime, 1), 0);
    assert_int_equal(result, -ESHUTDOWN);
    kn_runtime_close(runtime);
}

struct stranded {
    struct kn_runtime *runtime;
    struct probe *probe;
};

static void spawn_stranded(void *argument)
{
    const struct stranded *stranded = argument;
    kn_task_spawn(&stranded->probe->task, kn_runtime_reactor(stranded->runtime, 0));
}

static void runtime_closes_with_tasks_that_are_not_done_and_leaves_them_alone(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open(
        (struct kn_runtime_options){.reactors = 2, .bus_messages = 1, .pool_tasks = 10, .no_balance = true});
    struct probe *probes[8];
    for (unsigned i = 0; i < 8; i++) {
        probes[i] = malloc(sizeof(*probes[i]));
        assert_non_null(probes[i]);
        probe_init(probes[i], 3, i == 0 ? "p" : "y", "d");
    }
    kn_task_spawn(&probes[0]->task, kn_runtime_reactor(runtime, 0)); /* waits */
    kn_task_spawn(&probes[1]->task, kn_runtime_reactor(runtime, 0)); /* in a queue, was polled */
    assert_int_equal(kn_reactor_turn(kn_runtime_reactor(runtime, 0), 0), 1);
    struct kn_task *pooled = kn_reactor_task_acquire(kn_runtime_reactor(runtime, 0));
    assert_non_null(pooled);
    kn_task_init(pooled, &PROBE, 3);
    kn_task_spawn(pooled, kn_runtime_reactor(runtime, 0));
    kn_task_spawn(&probes[2]->task, kn_runtime_reactor(runtime, 0));
    kn_task_spawn(&probes[3]->task, kn_runtime_reactor(runtime, 1)); /* in the bus */
    kn_task_spawn(&probes[4]->task, kn_runtime_reactor(runtime, 1)); /* held back */
    kn_task_spawn(&probes[5]->task, kn_runtime_reactor(runtime, 1));
    for (unsigned i = 6; i < 8; i++) {
        struct stranded stranded = {runtime, probes[i]};
        reactors_outside(spawn_stranded, &stranded); /* in the mailbox */
    }
    kn_runtime_close(runtime);
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(probes[i]->cancels, 0);
        assert_int_equal(probes[i]->releases, 0);
        free(probes[i]);
    }
}

static void runtime_that_is_none_closes(void **state)
{
    (void)state;
    kn_runtime_close(NULL);
    for (unsigned i = 0; i < 20; i++)
        kn_runtime_close(reactors_open((struct kn_runtime_options){.reactors = 1 + i % 4, .trace_events = 64}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runtime_refuses_options_that_make_no_sense),
        cmocka_unit_test(runtime_says_when_there_is_no_memory),
        cmocka_unit_test(runtime_uses_what_this_process_may_use),
        cmocka_unit_test(runtime_without_a_placement_has_reactors_for_everything),
        cmocka_unit_test(runtime_finds_reactors_by_their_roles),
        cmocka_unit_test(runtime_takes_turns_of_any_length),
        cmocka_unit_test(runtime_keeps_threads_to_their_cores_unless_told_not_to),
        cmocka_unit_test(runtime_starts_a_thread_for_each_reactor),
        cmocka_unit_test(runtime_leaves_the_first_reactors_to_the_caller),
        cmocka_unit_test(runtime_that_cannot_start_runs_nothing),
        cmocka_unit_test(runtime_stops_from_outside_while_it_sleeps_and_while_it_works),
        cmocka_unit_test(runtime_stops_from_a_task),
        cmocka_unit_test(runtime_stops_from_a_task_though_the_bus_is_full),
        cmocka_unit_test(runtime_closes_with_tasks_that_are_not_done_and_leaves_them_alone),
        cmocka_unit_test(runtime_that_is_none_closes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
