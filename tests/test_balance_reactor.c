/* The balance among reactors: what moves, what stays, and who is woken for it. */
#include "reactors.h"

enum { TASKS = 200 };

/* Takes a turn of one reactor. */
static void turn(struct kn_runtime *runtime, size_t index)
{
    assert_in_range(kn_reactor_turn(kn_runtime_reactor(runtime, index), 0), 0, 1);
}

/* Lets one that is idle ask the others for work, as it does before it sleeps. */
static void turn_asking(struct kn_runtime *runtime, size_t index)
{
    assert_in_range(kn_reactor_turn(kn_runtime_reactor(runtime, index), 1000000), 0, 1);
}

static void spawn_all(struct kn_runtime *runtime, size_t index, struct probe *probes, unsigned count, unsigned class,
                      const char *answers)
{
    for (unsigned i = 0; i < count; i++) {
        probe_init(&probes[i], class, answers, NULL);
        kn_task_spawn(&probes[i].task, kn_runtime_reactor(runtime, index));
    }
}

/* How many were polled on a reactor last. */
static unsigned count_on(struct kn_runtime *runtime, size_t index, const struct probe *probes, unsigned count)
{
    unsigned found = 0;
    for (unsigned i = 0; i < count; i++)
        found += probes[i].last == kn_runtime_reactor(runtime, index);
    return found;
}

/* ---- by hand ---- */

static void reactor_sends_what_will_wait_for_long_to_an_idle_one(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){.reactors = 2});
    struct probe probes[TASKS];
    turn(runtime, 1); /* idle */
    turn(runtime, 0);
    spawn_all(runtime, 0, probes, TASKS, 3, "y");
    turn(runtime, 0);
    uint64_t shed = REACTORS_COUNTER(runtime, 0, tasks_shed);
    assert_in_range(shed, 1, TASKS / 2);
    turn(runtime, 1);
    assert_int_equal(REACTORS_COUNTER(runtime, 1, tasks_taken), shed);
    assert_in_range(count_on(runtime, 1, probes, TASKS), 1, shed);
    /* From there on they are at home there. */
    for (unsigned i = 0; i < 20; i++) {
        turn(runtime, 0);
        turn(runtime, 1);
    }
    assert_in_range(count_on(runtime, 1, probes, TASKS), TASKS / 4, TASKS * 3 / 4);
    kn_runtime_close(runtime);
}

static void reactor_that_is_idle_asks_and_is_given(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){.reactors = 2});
    struct probe probes[40];
    turn(runtime, 0);
    spawn_all(runtime, 0, probes, 40, 3, "y");
    turn(runtime, 0);
    assert_int_equal(REACTORS_COUNTER(runtime, 0, tasks_shed), 0); /* the other one does not run yet */
    turn_asking(runtime, 1);
    assert_int_equal(REACTORS_COUNTER(runtime, 1, steals_asked), 1);
    turn(runtime, 0);
    assert_int_equal(REACTORS_COUNTER(runtime, 0, received[KN_BUS_STEAL]), 1);
    assert_in_range(REACTORS_COUNTER(runtime, 0, tasks_given), 1, 20);
    turn(runtime, 1);
    assert_true(REACTORS_COUNTER(runtime, 1, tasks_taken) >= REACTORS_COUNTER(runtime, 0, tasks_given));
    assert_int_equal(REACTORS_COUNTER(runtime, 1, steals_empty), 0);
    assert_true(count_on(runtime, 1, probes, 40) > 0);
    kn_runtime_close(runtime);
}

static void reactor_that_has_nothing_left_answers_so(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){.reactors = 2});
    struct probe probes[3];
    turn(runtime, 0);
    spawn_all(runtime, 0, probes, 3, 3, "d");
    turn(runtime, 0); /* has told of three, which are done */
    turn_asking(runtime, 1);
    assert_int_equal(REACTORS_COUNTER(runtime, 1, steals_asked), 1);
    turn(runtime, 0); /* answers, */
    turn(runtime, 0); /* and finds that it is idle */
    turn(runtime, 1);
    assert_int_equal(REACTORS_COUNTER(runtime, 1, steals_empty), 1);
    assert_int_equal(REACTORS_COUNTER(runtime, 1, tasks_taken), 0);
    turn_asking(runtime, 1); /* now it knows */
    assert_int_equal(REACTORS_COUNTER(runtime, 1, steals_asked), 1);
    assert_int_equal(REACTORS_COUNTER(runtime, 1, parks), 1);
    kn_runtime_close(runtime);
}

static void stay_on_argument(struct probe *probe, struct kn_reactor *reactor)
{
    assert_ptr_equal(reactor, probe->argument);
}

static void reactor_keeps_pinned_tasks(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){.reactors = 2, .order[3] = KN_ORDER_LIFO});
    static struct probe pinned[TASKS];
    static struct probe movable[TASKS];
    turn(runtime, 1);
    turn(runtime, 0);
    for (unsigned i = 0; i < TASKS; i++) {
        probe_init(&pinned[i], i % KN_PRIORITY_CLASSES, "pppyyy", NULL);
        probe_init(&movable[i], i % KN_PRIORITY_CLASSES, "y", NULL);
        pinned[i].act = stay_on_argument;
        pinned[i].argument = kn_runtime_reactor(runtime, 0);
        pinned[i].task.flags = KN_TASK_PINNED;
        kn_task_spawn(&pinned[i].task, kn_runtime_reactor(runtime, 0));
        kn_task_spawn(&movable[i].task, kn_runtime_reactor(runtime, 0));
    }
    for (unsigned round = 0; round < 100; round++) {
        for (unsigned i = 0; i < 3; i++)
            turn_asking(runtime, (round + i) % 2);
        kn_task_wake(&pinned[round % TASKS].task);
    }
    assert_true(count_on(runtime, 1, movable, TASKS) > 0);
    assert_int_equal(count_on(runtime, 1, pinned, TASKS), 0);
    kn_runtime_close(runtime);
}

static void reactor_brings_urgent_tasks_to_one_that_is_busy_with_less(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){.reactors = 2});
    static struct probe patient[TASKS];
    static struct probe urgent[TASKS];
    turn(runtime, 0);
    turn(runtime, 1);
    spawn_all(runtime, 1, patient, TASKS, 6, "y"); /* of which reactor 0 gets some */
    for (unsigned i = 0; i < 20; i++)
        turn(runtime, i % 2);
    turn(runtime, 0); /* this thread is its own now */
    spawn_all(runtime, 0, urgent, TASKS, 1, "y");
    for (unsigned i = 0; i < 40; i++)
        turn(runtime, i % 2);
    assert_in_range(count_on(runtime, 1, urgent, TASKS), TASKS / 4, TASKS * 3 / 4);
    /* Both have urgent ones now, and poll nothing else. */
    uint64_t polls = 0;
    for (unsigned i = 0; i < TASKS; i++)
        polls += patient[i].polls;
    for (unsigned i = 0; i < 40; i++)
        turn(runtime, i % 2);
    for (unsigned i = 0; i < TASKS; i++)
        polls -= patient[i].polls;
    assert_int_equal(polls, 0);
    kn_runtime_close(runtime);
}

static void reactor_sends_nothing_to_one_that_does_not_run(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){.reactors = 3});
    struct probe probes[TASKS];
    turn(runtime, 0);
    spawn_all(runtime, 0, probes, TASKS, 3, "y");
    for (unsigned i = 0; i < 100; i++)
        turn(runtime, 0);
    assert_int_equal(REACTORS_COUNTER(runtime, 0, tasks_shed), 0);
    kn_runtime_close(runtime);
}

static void reactor_without_the_role_takes_no_tasks_but_runs_its_own(void **state)
{
    (void)state;
    struct kn_placement_core cores[] = {{0, KN_ROLE_TASK}, {1, KN_ROLE_IO}};
    const struct kn_placement placement = {cores, 2};
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){.placement = &placement});
    static struct probe probes[TASKS];
    static struct probe own[TASKS];
    turn(runtime, 0);
    spawn_all(runtime, 0, probes, TASKS, 3, "y");
    for (unsigned i = 0; i < 50; i++) {
        turn(runtime, 0);
        turn_asking(runtime, 1);
    }
    assert_int_equal(REACTORS_COUNTER(runtime, 0, tasks_shed) + REACTORS_COUNTER(runtime, 0, tasks_given), 0);
    assert_int_equal(REACTORS_COUNTER(runtime, 1, steals_asked), 0);
    spawn_all(runtime, 1, own, TASKS, 3, "d");
    for (unsigned i = 0; i < 20; i++)
        turn(runtime, i % 2);
    assert_true(count_on(runtime, 1, own, TASKS) > 0);
    kn_runtime_close(runtime);
}

/* ---- on threads ---- */

/* Where tasks have been. */
struct places {
    _Atomic unsigned polls[2];
};

static void note_place(struct probe *probe, struct kn_reactor *reactor)
{
    struct places *places = probe->argument;
    places->polls[kn_reactor_index(reactor)]++;
    if (places->polls[0] > 0 && places->polls[1] > 0)
        probe->answers = "d";
}

static void reactors_share_what_was_spawned_on_one(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 10; round++) {
        struct kn_runtime *runtime = reactors_start((struct kn_runtime_options){.reactors = 2});
        static struct probe probes[TASKS];
        struct places places = {0};
        struct kn_task_group group;
        kn_task_group_init(&group, TASKS);
        for (unsigned i = 0; i < TASKS; i++) {
            probe_init(&probes[i], 3, "y", NULL); /* until both have had some */
            probes[i].act = note_place;
            probes[i].argument = &places;
            probes[i].task.group = &group;
            kn_task_spawn(&probes[i].task, kn_runtime_reactor(runtime, round % 2));
        }
        assert_int_equal(kn_task_group_join(&group, NULL), 0);
        assert_true(places.polls[0] > 0 && places.polls[1] > 0);
        kn_runtime_close(runtime);
    }
}

static void reactor_that_sleeps_is_woken_for_work_of_others(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){.reactors = 2, .spin_ns = -1});
    assert_int_equal(kn_runtime_start(runtime, 1), 0);
    turn(runtime, 0);
    for (unsigned round = 0; round < 20; round++) {
        static struct probe probes[TASKS];
        struct places places = {0};
        struct kn_task_group group;
        kn_task_group_init(&group, TASKS);
        reactors_await_parked(runtime, 1);
        for (unsigned i = 0; i < TASKS; i++) {
            probe_init(&probes[i], 3, "y", NULL);
            probes[i].act = note_place;
            probes[i].argument = &places;
            probes[i].task.group = &group;
            kn_task_spawn(&probes[i].task, kn_runtime_reactor(runtime, 0));
        }
        const struct kn_wait look = {.strategy = KN_WAIT_YIELD, .timeout_ns = 1};
        while (kn_task_group_join(&group, &look) < 0)
            turn(runtime, 0);
    }
    assert_true(REACTORS_COUNTER(runtime, 1, tasks_taken) > 0);
    kn_runtime_close(runtime);
}

static void reactors_without_balance_keep_all_at_home(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_start((struct kn_runtime_options){.reactors = 2, .no_balance = true});
    static struct probe probes[TASKS];
    struct kn_task_group group;
    kn_task_group_init(&group, TASKS);
    for (unsigned i = 0; i < TASKS; i++) {
        probe_init(&probes[i], i % KN_PRIORITY_CLASSES, "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyd", NULL);
        probes[i].act = stay_on_argument;
        probes[i].argument = kn_runtime_reactor(runtime, 0);
        probes[i].task.group = &group;
        kn_task_spawn(&probes[i].task, kn_runtime_reactor(runtime, 0));
    }
    assert_int_equal(kn_task_group_join(&group, NULL), 0);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(REACTORS_COUNTER(runtime, i, steals_asked), 0);
        assert_int_equal(REACTORS_COUNTER(runtime, i, tasks_taken), 0);
        assert_int_equal(REACTORS_COUNTER(runtime, i, tasks_shed), 0);
    }
    kn_runtime_close(runtime);
}

static void reactors_poll_each_task_as_often_as_it_asks_wherever_it_is(void **state)
{
    (void)state;
    enum { MANY = 2000 };
    struct kn_runtime *runtime =
        reactors_start((struct kn_runtime_options){.reactors = 4, .bus_messages = 1, .spin_ns = -1});
    static struct probe probes[MANY];
    struct kn_task_group group;
    kn_task_group_init(&group, MANY);
    for (unsigned i = 0; i < MANY; i++) {
        probe_init(&probes[i], i % KN_PRIORITY_CLASSES, "yyyyyyyyyd", NULL);
        probes[i].task.group = &group;
        kn_task_spawn(&probes[i].task, kn_runtime_reactor(runtime, i % 2));
    }
    assert_int_equal(kn_task_group_join(&group, NULL), 0);
    uint64_t finished = 0;
    for (size_t i = 0; i < 4; i++)
        finished += REACTORS_COUNTER(runtime, i, finished);
    assert_int_equal(finished, MANY);
    for (unsigned i = 0; i < MANY; i++)
        assert_int_equal(probes[i].polls, 10);
    kn_runtime_close(runtime);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reactor_sends_what_will_wait_for_long_to_an_idle_one),
        cmocka_unit_test(reactor_that_is_idle_asks_and_is_given),
        cmocka_unit_test(reactor_that_has_nothing_left_answers_so),
        cmocka_unit_test(reactor_keeps_pinned_tasks),
        cmocka_unit_test(reactor_brings_urgent_tasks_to_one_that_is_busy_with_less),
        cmocka_unit_test(reactor_sends_nothing_to_one_that_does_not_run),
        cmocka_unit_test(reactor_without_the_role_takes_no_tasks_but_runs_its_own),
        cmocka_unit_test(reactors_share_what_was_spawned_on_one),
        cmocka_unit_test(reactor_that_sleeps_is_woken_for_work_of_others),
        cmocka_unit_test(reactors_without_balance_keep_all_at_home),
        cmocka_unit_test(reactors_poll_each_task_as_often_as_it_asks_wherever_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
