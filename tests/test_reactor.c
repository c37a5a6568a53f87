/* Reactors: in which order tasks run, and what a turn does. */
#include "reactors.h"

static struct kn_reactor *first_of(struct kn_runtime *runtime)
{
    return kn_runtime_reactor(runtime, 0);
}

/* Takes a number of turns, all of which have something to do. */
static void take_turns(struct kn_runtime *runtime, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(kn_reactor_turn(first_of(runtime), 0), 1);
}

/* Spawns probes of one class that are called a, b, c and so on. */
static void spawn_letters(struct kn_runtime *runtime, struct probe *probes, unsigned count, unsigned class,
                          const char *answers, struct probe_log *log)
{
    for (unsigned i = 0; i < count; i++) {
        probe_init_logged(&probes[i], class, answers, log, (char)('a' + i));
        kn_task_spawn(&probes[i].task, first_of(runtime));
    }
}

/* ---- order ---- */

static void reactor_polls_the_more_urgent_class_first(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){0});
    struct probe probes[KN_PRIORITY_CLASSES];
    struct probe_log log = {0};
    for (unsigned i = 0; i < KN_PRIORITY_CLASSES; i++) {
        unsigned class = i * 3 % KN_PRIORITY_CLASSES;
        probe_init_logged(&probes[i], class, "yyd", &log, (char)('0' + class));
        kn_task_spawn(&probes[i].task, first_of(runtime));
    }
    reactors_settle(runtime);
    assert_string_equal(log.text, "000111222333444555666777");
    kn_runtime_close(runtime);
}

static void reactor_does_not_poll_a_class_below_one_that_never_ends(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){0});
    struct probe urgent;
    struct probe patient;
    probe_init(&urgent, 6, "y", NULL);
    probe_init(&patient, 7, "d", NULL);
    kn_task_spawn(&patient.task, first_of(runtime));
    kn_task_spawn(&urgent.task, first_of(runtime));
    take_turns(runtime, 100);
    assert_int_equal(patient.polls, 0);
    assert_int_equal(urgent.polls, 100 * 64);
    kn_runtime_close(runtime);
}

static void wake_argument(struct probe *probe, struct kn_reactor *reactor)
{
    (void)reactor;
    kn_task_wake(probe->argument);
}

static void reactor_polls_what_becomes_urgent_next(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){0});
    struct probe urgent;
    struct probe probes[4];
    struct probe_log log = {0};
    probe_init_logged(&urgent, 0, "pd", &log, '!');
    kn_task_spawn(&urgent.task, first_of(runtime));
    take_turns(runtime, 1);
    spawn_letters(runtime, probes, 4, 5, "d", &log);
    probes[1].act = wake_argument;
    probes[1].argument = &urgent.task;
    take_turns(runtime, 1);
    assert_string_equal(log.text, "!ab!cd");
    kn_runtime_close(runtime);
}

static void wake(void *task)
{
    kn_task_wake(task);
}

static void wake_argument_from_outside(struct probe *probe, struct kn_reactor *reactor)
{
    (void)reactor;
    reactors_outside(wake, probe->argument);
}

static void reactor_polls_what_becomes_urgent_elsewhere_within_its_turn(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){0});
    struct probe urgent;
    struct probe probes[40];
    struct probe_log log = {0};
    probe_init_logged(&urgent, 0, "pd", &log, '!');
    kn_task_spawn(&urgent.task, first_of(runtime));
    take_turns(runtime, 1);
    spawn_letters(runtime, probes, 40, 5, "d", &log);
    probes[1].act = wake_argument_from_outside;
    probes[1].argument = &urgent.task;
    take_turns(runtime, 1);
    assert_int_equal(log.length, 42);
    const char *again = strchr(log.text + 1, '!');
    assert_non_null(again);
    assert_in_range(again - log.text, 3, 40); /* it looks now and then, and not only when all are polled */
    kn_runtime_close(runtime);
}

static void reactor_polls_in_the_order_of_each_class(void **state)
{
    (void)state;
    struct kn_runtime *runtime =
        reactors_open((struct kn_runtime_options){.order = {KN_ORDER_FIFO, KN_ORDER_LIFO, KN_ORDER_DEADLINE}});
    struct probe probes[5];
    struct probe_log log = {0};
    static const uint64_t deadlines_ns[5] = {30, 0, 10, 30, 20};
    for (unsigned class = 0; class < 3; class ++) {
        for (unsigned i = 0; i < 5; i++) {
            probe_init_logged(&probes[i], class, "d", &log, (char)('a' + i));
            probes[i].task.deadline_ns = deadlines_ns[i];
            kn_task_spawn(&probes[i].task, first_of(runtime));
        }
        reactors_settle(runtime);
    }
    assert_string_equal(log.text, "abcde"
                                  "edcba"
                                  "ceadb");
    kn_runtime_close(runtime);
}

static void postpone(struct probe *probe, struct kn_reactor *reactor)
{
    (void)reactor;
    probe->task.deadline_ns += 10;
}

static void reactor_lets_a_task_change_its_own_deadline(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){.order[3] = KN_ORDER_DEADLINE});
    struct probe probes[2];
    struct probe_log log = {0};
    for (unsigned i = 0; i < 2; i++) {
        probe_init_logged(&probes[i], 3, "yyyd", &log, (char)('a' + i));
        probes[i].task.deadline_ns = 1 + i * 15;
        probes[i].act = postpone;
        kn_task_spawn(&probes[i].task, first_of(runtime));
    }
    reactors_settle(runtime);
    /* a: 1, 11, 21, 31; b: 16, 26, 36, 46 */
    assert_string_equal(log.text, "aababab"
                                  "b");
    kn_runtime_close(runtime);
}

static void reactor_lets_tasks_that_yield_take_turns(void **state)
{
    (void)state;
    for (enum kn_order order = KN_ORDER_FIFO; order <= KN_ORDER_DEADLINE; order++) {
        struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){.order[3] = order});
        struct probe probes[4];
        struct probe_log log = {0};
        spawn_letters(runtime, probes, 4, 3, "yyd", &log);
        reactors_settle(runtime);
        assert_string_equal(log.text, order == KN_ORDER_LIFO ? "dcbadcbadcba" : "abcdabcdabcd");
        kn_runtime_close(runtime);
    }
}

static void reactor_polls_pinned_and_movable_tasks_alike(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){0});
    struct probe probes[10];
    for (unsigned i = 0; i < 10; i++) {
        probe_init(&probes[i], 3, "y", NULL);
        probes[i].task.flags = i < 5 ? KN_TASK_PINNED : 0;
        kn_task_spawn(&probes[i].task, first_of(runtime));
    }
    take_turns(runtime, 100);
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(probes[i].polls, 640);
    kn_runtime_close(runtime);
}

/* ---- the guard against starvation ---- */

static void reactor_polls_a_starving_class_now_and_then_where_it_shall(void **state)
{
    (void)state;
    struct kn_runtime *runtime =
        reactors_open((struct kn_runtime_options){.turn_tasks = 4, .guard_turns = 10, .no_balance = true});
    struct probe probes[3];
    static const unsigned classes[3] = {0, 3, 7};
    for (unsigned i = 0; i < 3; i++) {
        probe_init(&probes[i], classes[i], "y", NULL);
        kn_task_spawn(&probes[i].task, first_of(runtime));
    }
    take_turns(runtime, 1200);
    for (unsigned i = 1; i < 3; i++)
        assert_in_range(probes[i].polls, 1200 / 12 - 1, 1200 / 10);
    assert_int_equal(probes[0].polls + probes[1].polls + probes[2].polls, 1200 * 4);
    kn_runtime_close(runtime);
}

static void reactor_keeps_classes_in_order_while_none_starves(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){.guard_turns = 2});
    struct probe probes[2];
    struct probe_log log = {0};
    for (unsigned i = 0; i < 2; i++)
        probe_init_logged(&probes[i], i * 4, "p", &log, (char)('a' + i));
    kn_task_spawn(&probes[0].task, first_of(runtime));
    kn_task_spawn(&probes[1].task, first_of(runtime));
    for (unsigned turn = 0; turn < 20; turn++) {
        take_turns(runtime, 1);
        for (unsigned i = 0; i < 2; i++)
            kn_task_wake(&probes[i].task);
    }
    assert_string_equal(log.text, "abababababababababababababababababababab");
    kn_runtime_close(runtime);
}

/* ---- a turn ---- */

static void reactor_says_whether_its_turn_did_something(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){0});
    struct probe probe;
    probe_init(&probe, 3, "yd", NULL);
    assert_int_equal(kn_reactor_turn(first_of(runtime), 0), 0);
    kn_task_spawn(&probe.task, first_of(runtime));
    assert_int_equal(kn_reactor_turn(first_of(runtime), 0), 1);
    assert_int_equal(kn_reactor_turn(first_of(runtime), 0), 0);
    assert_int_equal(REACTORS_COUNTER(runtime, 0, turns), 1);
    kn_runtime_stop(runtime);
    assert_int_equal(kn_reactor_turn(first_of(runtime), 0), -ESHUTDOWN);
    kn_runtime_close(runtime);
}

static void reactor_polls_no_more_in_a_turn_than_its_budget(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){.turn_tasks = 4});
    struct probe probes[10];
    struct probe_log log = {0};
    spawn_letters(runtime, probes, 10, 3, "d", &log);
    static const unsigned left[] = {6, 2, 0};
    for (unsigned turn = 0; turn < 3; turn++) {
        take_turns(runtime, 1);
        assert_int_equal(log.length, 10 - left[turn]);
        assert_int_equal(REACTORS_COUNTER(runtime, 0, waiting[3]), left[turn]);
    }
    assert_int_equal(reactors_settle(runtime), 0);
    assert_int_equal(REACTORS_COUNTER(runtime, 0, turns), 3);
    kn_runtime_close(runtime);
}

static void take_time(struct probe *probe, struct kn_reactor *reactor)
{
    (void)probe;
    (void)reactor;
    uint64_t start_ns = kn_clock_monotonic_ns();
    while (kn_clock_monotonic_ns() - start_ns < 20000)
        ;
}

static void reactor_ends_a_turn_of_long_polls_by_its_time(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){.turn_tasks = 126, .turn_ns = 1});
    struct probe probes[126];
    for (unsigned i = 0; i < 126; i++) {
        probe_init(&probes[i], 3, "y", NULL);
        probes[i].act = take_time;
        kn_task_spawn(&probes[i].task, first_of(runtime));
    }
    take_turns(runtime, 1); /* learns how long they take */
    assert_in_range(REACTORS_COUNTER(runtime, 0, polls), 1, 16);
    uint64_t polls = REACTORS_COUNTER(runtime, 0, polls);
    take_turns(runtime, 10);
    assert_int_equal(REACTORS_COUNTER(runtime, 0, polls), polls + 10);
    assert_true(REACTORS_COUNTER(runtime, 0, busy_ns) >= (polls + 10) * 20000);
    kn_runtime_close(runtime);
}

static void check_current(struct probe *probe, struct kn_reactor *reactor)
{
    assert_ptr_equal(kn_reactor_current(), reactor);
    uint64_t now_ns = kn_clock_monotonic_ns();
    assert_true(kn_reactor_now_ns(reactor) <= now_ns);
    assert_true(kn_reactor_now_ns(reactor) >= *(uint64_t *)probe->argument);
}

static void expect_no_reactor(void *argument)
{
    (void)argument;
    assert_null(kn_reactor_current());
}

static void reactor_is_that_of_the_thread_that_turned_it_last(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){.reactors = 2, .no_balance = true});
    struct probe probes[2];
    uint64_t before_ns = kn_clock_monotonic_ns();
    assert_null(kn_reactor_current());
    for (unsigned i = 0; i < 2; i++) {
        probe_init(&probes[i], 3, "d", NULL);
        probes[i].act = check_current;
        probes[i].argument = &before_ns;
        kn_task_spawn(&probes[i].task, kn_runtime_reactor(runtime, i));
    }
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(kn_reactor_turn(kn_runtime_reactor(runtime, i), 0), 1);
        assert_ptr_equal(kn_reactor_current(), kn_runtime_reactor(runtime, i));
        assert_int_equal(probes[i].polls, 1);
    }
    reactors_outside(expect_no_reactor, NULL);
    kn_runtime_close(runtime);
    assert_null(kn_reactor_current());
}

static void reactor_counts_what_it_does(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){0});
    struct probe probes[8];
    struct probe_log log = {0};
    spawn_letters(runtime, probes, 8, 2, "yyyyyyyyyyyyyyyyyyyd", &log); /* 20 polls */
    reactors_settle(runtime);
    assert_int_equal(REACTORS_COUNTER(runtime, 0, polls), 160);
    assert_int_equal(REACTORS_COUNTER(runtime, 0, finished), 8);
    assert_int_equal(REACTORS_COUNTER(runtime, 0, turns), 3);
    assert_true(REACTORS_COUNTER(runtime, 0, busy_ns) > 0);
    assert_int_equal(REACTORS_COUNTER(runtime, 0, parks), 0);
    uint64_t timed = 0;
    for (unsigned i = 0; i < KN_REACTOR_TIMES; i++)
        timed += REACTORS_COUNTER(runtime, 0, poll_times[i]);
    assert_int_equal(timed, 160 / 64);
    kn_runtime_close(runtime);
}

/* ---- messages between reactors ---- */

/* Spawns probes on the other reactor. */
struct flood {
    struct probe *probes;
    struct kn_reactor *to;
    unsigned count;
    unsigned each; /* poll */
};

static void spawn_flood(struct probe *probe, struct kn_reactor *reactor)
{
    struct flood *flood = probe->argument;
    (void)reactor;
    for (unsigned i = 0; i < flood->each; i++)
        kn_task_spawn(&flood->probes[flood->count++].task, flood->to);
}

static void reactor_loses_nothing_and_keeps_the_order_when_the_bus_is_full(void **state)
{
    (void)state;
    for (uint32_t messages = 1; messages <= 4; messages *= 2) {
        struct kn_runtime *runtime =
            reactors_open((struct kn_runtime_options){.reactors = 2, .bus_messages = messages, .no_balance = true});
        struct probe probes[26];
        struct probe_log log = {0};
        struct flood flood = {probes, kn_runtime_reactor(runtime, 1), 0, 13};
        struct probe source;
        for (unsigned i = 0; i < 26; i++)
            probe_init_logged(&probes[i], 3, "d", &log, (char)('a' + i));
        probe_init(&source, 3, "yd", NULL);
        source.act = spawn_flood;
        source.argument = &flood;
        kn_task_spawn(&source.task, kn_runtime_reactor(runtime, 0));
        reactors_settle(runtime);
        assert_string_equal(log.text, "abcdefghijklmnopqrstuvwxyz");
        assert_true(REACTORS_COUNTER(runtime, 0, bus_full) > 0);
        kn_runtime_close(runtime);
    }
}

static void reactor_wakes_tasks_of_others_though_the_bus_is_full(void **state)
{
    (void)state;
    struct kn_runtime *runtime =
        reactors_start((struct kn_runtime_options){.reactors = 2, .bus_messages = 1, .no_balance = true});
    enum { PAIRS = 200 };
    static struct probe sleepers[PAIRS];
    static struct probe wakers[PAIRS];
    struct kn_task_group group;
    kn_task_group_init(&group, 2 * PAIRS);
    for (unsigned i = 0; i < PAIRS; i++) {
        probe_init(&sleepers[i], 3, "pppppppppd", NULL);
        sleepers[i].task.group = &group;
        kn_task_spawn(&sleepers[i].task, kn_runtime_reactor(runtime, 1));
    }
    for (unsigned i = 0; i < PAIRS; i++)
        REACTORS_AWAIT(sleepers[i].polls == 1);
    for (unsigned i = 0; i < PAIRS; i++) {
        probe_init(&wakers[i], 3, "d", NULL);
        wakers[i].task.group = &group;
        wakers[i].act = wake_argument;
        wakers[i].argument = &sleepers[i].task;
        kn_task_spawn(&wakers[i].task, kn_runtime_reactor(runtime, 0));
    }
    for (unsigned round = 2; round <= 10; round++) {
        for (unsigned i = 0; i < PAIRS; i++)
            REACTORS_AWAIT(sleepers[i].polls >= round);
        for (unsigned i = 0; i < PAIRS; i++)
            kn_task_wake(&sleepers[i].task); /* one for each of the polls that are left */
    }
    assert_int_equal(kn_task_group_join(&group, NULL), 0);
    for (unsigned i = 0; i < PAIRS; i++)
        assert_int_equal(sleepers[i].polls, 10);
    kn_runtime_close(runtime);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reactor_polls_the_more_urgent_class_first),
        cmocka_unit_test(reactor_does_not_poll_a_class_below_one_that_never_ends),
        cmocka_unit_test(reactor_polls_what_becomes_urgent_next),
        cmocka_unit_test(reactor_polls_what_becomes_urgent_elsewhere_within_its_turn),
        cmocka_unit_test(reactor_polls_in_the_order_of_each_class),
        cmocka_unit_test(reactor_lets_a_task_change_its_own_deadline),
        cmocka_unit_test(reactor_lets_tasks_that_yield_take_turns),
        cmocka_unit_test(reactor_polls_pinned_and_movable_tasks_alike),
        cmocka_unit_test(reactor_polls_a_starving_class_now_and_then_where_it_shall),
        cmocka_unit_test(reactor_keeps_classes_in_order_while_none_starves),
        cmocka_unit_test(reactor_says_whether_its_turn_did_something),
        cmocka_unit_test(reactor_polls_no_more_in_a_turn_than_its_budget),
        cmocka_unit_test(reactor_ends_a_turn_of_long_polls_by_its_time),
        cmocka_unit_test(reactor_is_that_of_the_thread_that_turned_it_last),
        cmocka_unit_test(reactor_counts_what_it_does),
        cmocka_unit_test(reactor_loses_nothing_and_keeps_the_order_when_the_bus_is_full),
        cmocka_unit_test(reactor_wakes_tasks_of_others_though_the_bus_is_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
