/* Timers of reactors. */
#include "reactors.h"

static struct kn_reactor *first_of(struct kn_runtime *runtime)
{
    return kn_runtime_reactor(runtime, 0);
}

/* A timer that notes what happens to it. */
struct alarm {
    struct kn_timer timer;
    _Atomic unsigned fired;
    _Atomic uint64_t fired_ns; /* by the system's clock */
    struct kn_reactor *_Atomic place;
};

static void alarm_expired(struct kn_timer *timer, void *owner)
{
    struct alarm *alarm = KN_CONTAINER_OF(timer, struct alarm, timer);
    alarm->fired_ns = kn_clock_monotonic_ns();
    alarm->place = owner;
    alarm->fired++;
}

static void alarm_init(struct alarm *alarm, unsigned flags)
{
    *alarm = (struct alarm){0};
    kn_timer_init(&alarm->timer, alarm_expired, flags);
}

/* Turns until an alarm has fired. */
static void turn_until_fired(struct kn_runtime *runtime, struct alarm *alarm, unsigned times)
{
    while (alarm->fired < times)
        assert_in_range(kn_reactor_turn(first_of(runtime), -1), 0, 1);
}

/* ---- on its own reactor ---- */

static void timer_fires_once_and_not_before_its_deadline(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){0});
    struct alarm alarm;
    assert_int_equal(kn_reactor_turn(first_of(runtime), 0), 0);
    alarm_init(&alarm, 0);
    for (unsigned i = 1; i <= 20; i++) {
        uint64_t deadline_ns = kn_clock_monotonic_ns() + i * 50000;
        assert_int_equal(kn_reactor_arm(first_of(runtime), &alarm.timer, deadline_ns), 0);
        turn_until_fired(runtime, &alarm, i);
        assert_true(alarm.fired_ns >= deadline_ns);
        assert_ptr_equal(alarm.place, first_of(runtime));
        assert_true(kn_timer_is_idle(&alarm.timer));
        assert_int_equal(kn_reactor_turn(first_of(runtime), 0), 0); /* once */
        assert_int_equal(kn_counter_read(&kn_reactor_timer_counters(first_of(runtime))->fired), i);
    }
    kn_runtime_close(runtime);
}

static void timer_in_the_past_fires_at_the_next_turn(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){0});
    struct alarm alarm;
    assert_int_equal(kn_reactor_turn(first_of(runtime), 0), 0);
    alarm_init(&alarm, 0);
    assert_int_equal(kn_reactor_arm(first_of(runtime), &alarm.timer, 1), 0);
    assert_int_equal(alarm.fired, 0);
    assert_int_equal(kn_reactor_turn(first_of(runtime), -1), 1);
    assert_int_equal(alarm.fired, 1);
    kn_runtime_close(runtime);
}

static void timer_that_was_cancelled_does_not_fire(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){0});
    assert_int_equal(kn_reactor_turn(first_of(runtime), 0), 0);
    for (unsigned flags = 0; flags <= KN_TIMER_SHARED; flags += KN_TIMER_SHARED) {
        struct alarm alarm;
        alarm_init(&alarm, flags);
        assert_int_equal(kn_reactor_cancel(&alarm.timer), -EALREADY);
        assert_int_equal(kn_reactor_arm(first_of(runtime), &alarm.timer, kn_clock_monotonic_ns() + 1000000), 0);
        assert_int_equal(kn_reactor_cancel(&alarm.timer), 0);
        assert_int_equal(kn_reactor_cancel(&alarm.timer), -EALREADY);
        assert_true(kn_timer_is_idle(&alarm.timer));
        reactors_nap(2000000);
        assert_int_equal(kn_reactor_turn(first_of(runtime), 0), 0);
        assert_int_equal(alarm.fired, 0);
    }
    kn_runtime_close(runtime);
}

static void timer_may_be_armed_anew_and_moves(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){0});
    struct alarm late;
    struct alarm early;
    assert_int_equal(kn_reactor_turn(first_of(runtime), 0), 0);
    alarm_init(&late, 0);
    alarm_init(&early, 0);
    uint64_t now_ns = kn_clock_monotonic_ns();
    assert_int_equal(kn_reactor_arm(first_of(runtime), &late.timer, now_ns + 1000000), 0);
    assert_int_equal(kn_reactor_arm(first_of(runtime), &late.timer, now_ns + 4000000), 0);
    assert_int_equal(kn_reactor_arm(first_of(runtime), &early.timer, now_ns + UINT64_C(3600000000000)), 0);
    assert_int_equal(kn_reactor_arm(first_of(runtime), &early.timer, now_ns + 2000000), 0);
    turn_until_fired(runtime, &late, 1);
    assert_int_equal(early.fired, 1);
    assert_true(early.fired_ns >= now_ns + 2000000);
    assert_true(early.fired_ns <= late.fired_ns);
    assert_true(late.fired_ns >= now_ns + 4000000);
    kn_runtime_close(runtime);
}

static void timer_wakes_a_task(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){0});
    struct probe probe;
    struct kn_timer timer;
    probe_init(&probe, 3, "ppd", NULL);
    kn_timer_init_waking(&timer, &probe.task, 0);
    kn_task_spawn(&probe.task, first_of(runtime));
    reactors_settle(runtime);
    for (unsigned i = 2; i <= 3; i++) {
        uint64_t deadline_ns = kn_clock_monotonic_ns() + 500000;
        assert_int_equal(kn_reactor_arm(first_of(runtime), &timer, deadline_ns), 0);
        while (probe.polls < i)
            assert_in_range(kn_reactor_turn(first_of(runtime), -1), 0, 1);
        assert_true(kn_clock_monotonic_ns() >= deadline_ns);
    }
    assert_true(probe_is_done(&probe));
    kn_runtime_close(runtime);
}

static void timer_with_a_period_fires_again_until_it_is_cancelled(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){0});
    struct alarm alarm;
    assert_int_equal(kn_reactor_turn(first_of(runtime), 0), 0);
    alarm_init(&alarm, 0);
    alarm.timer.period_ns = 300000;
    uint64_t deadline_ns = kn_clock_monotonic_ns() + 300000;
    assert_int_equal(kn_reactor_arm(first_of(runtime), &alarm.timer, deadline_ns), 0);
    for (unsigned i = 1; i <= 5; i++) {
        turn_until_fired(runtime, &alarm, i);
        assert_true(alarm.fired_ns >= deadline_ns + (i - 1) * 300000);
    }
    assert_int_equal(kn_reactor_cancel(&alarm.timer), 0);
    reactors_nap(1000000);
    assert_int_equal(kn_reactor_turn(first_of(runtime), 0), 0);
    assert_int_equal(alarm.fired, 5);
    kn_runtime_close(runtime);
}

static void timer_limits_are_of_a_turn(void **state)
{
    (void)state;
    enum { ALARMS = 100 };
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){.turn_timers = 10});
    static struct alarm alarms[ALARMS];
    assert_int_equal(kn_reactor_turn(first_of(runtime), 0), 0);
    for (unsigned i = 0; i < ALARMS; i++) {
        alarm_init(&alarms[i], 0);
        assert_int_equal(kn_reactor_arm(first_of(runtime), &alarms[i].timer, 1 + i), 0);
    }
    const struct kn_timer_counters *counters = kn_reactor_timer_counters(first_of(runtime));
    for (unsigned turn = 1; turn <= 10; turn++) {
        assert_int_equal(kn_reactor_turn(first_of(runtime), -1), 1); /* what is left keeps it from sleeping */
        assert_int_equal(kn_counter_read(&counters->fired), turn * 10);
    }
    for (unsigned i = 0; i < ALARMS; i++)
        assert_int_equal(alarms[i].fired, 1);
    kn_runtime_close(runtime);
}

/* ---- and sleep ---- */

static void timer_ends_the_sleep_of_its_reactor_when_it_is_due(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){0});
    struct alarm alarm;
    assert_int_equal(kn_reactor_turn(first_of(runtime), 0), 0);
    alarm_init(&alarm, 0);
    uint64_t deadline_ns = kn_clock_monotonic_ns() + 20000000;
    assert_int_equal(kn_reactor_arm(first_of(runtime), &alarm.timer, deadline_ns), 0);
    turn_until_fired(runtime, &alarm, 1);
    assert_true(alarm.fired_ns >= deadline_ns);
    assert_in_range(REACTORS_COUNTER(runtime, 0, parks), 1, 3); /* slept through, but for what a signal may end */
    kn_runtime_close(runtime);
}

static void timer_far_away_lets_its_reactor_sleep(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){0});
    struct alarm alarms[3];
    assert_int_equal(kn_reactor_turn(first_of(runtime), 0), 0);
    static const uint64_t deadlines_ns[3] = {UINT64_C(1000000000), UINT64_C(86400000000000), KN_NEVER};
    for (unsigned i = 0; i < 3; i++) {
        alarm_init(&alarms[i], 0);
        uint64_t now_ns = kn_clock_monotonic_ns();
        uint64_t deadline_ns = deadlines_ns[i] == KN_NEVER ? KN_NEVER : now_ns + deadlines_ns[i];
        assert_int_equal(kn_reactor_arm(first_of(runtime), &alarms[i].timer, deadline_ns), 0);
    }
    assert_int_equal(kn_reactor_turn(first_of(runtime), 20000000), 0);
    assert_int_equal(REACTORS_COUNTER(runtime, 0, parks), 1);
    assert_int_equal(kn_counter_read(&kn_reactor_timer_counters(first_of(runtime))->live), 3);
    kn_runtime_close(runtime); /* with timers that are armed */
}

/* ---- from other reactors ---- */

/* Two reactors that one thread turns. */
static struct kn_runtime *open_two(uint32_t bus_messages)
{
    return reactors_open((struct kn_runtime_options){.reactors = 2, .no_balance = true, .bus_messages = bus_messages});
}

/* Makes this thread that of a reactor, and has that one look at its messages. */
static void become(struct kn_runtime *runtime, size_t index)
{
    assert_in_range(kn_reactor_turn(kn_runtime_reactor(runtime, index), 0), 0, 1);
}

static void timer_is_armed_and_cancelled_from_another_reactor(void **state)
{
    (void)state;
    struct kn_runtime *runtime = open_two(4);
    struct alarm alarm;
    alarm_init(&alarm, KN_TIMER_SHARED);
    for (unsigned i = 1; i <= 10; i++) {
        become(runtime, 1);
        uint64_t deadline_ns = kn_clock_monotonic_ns() + 300000;
        assert_int_equal(kn_reactor_arm(first_of(runtime), &alarm.timer, deadline_ns), 0);
        turn_until_fired(runtime, &alarm, i);
        assert_true(alarm.fired_ns >= deadline_ns);
        assert_ptr_equal(alarm.place, first_of(runtime));
        become(runtime, 1);
        assert_int_equal(kn_reactor_cancel(&alarm.timer), -EALREADY); /* it has fired */
        assert_int_equal(kn_reactor_arm(first_of(runtime), &alarm.timer, kn_clock_monotonic_ns() + 1000000000), 0);
        become(runtime, 0);
        become(runtime, 1);
        assert_int_equal(kn_reactor_cancel(&alarm.timer), 0);
        assert_int_equal(kn_reactor_cancel(&alarm.timer), -EALREADY);
        assert_false(kn_timer_is_idle(&alarm.timer)); /* its owner has not heard of it */
        become(runtime, 0);
        assert_true(kn_timer_is_idle(&alarm.timer));
    }
    assert_int_equal(alarm.fired, 10);
    assert_int_equal(REACTORS_COUNTER(runtime, 0, received[KN_BUS_TIMER]), 20);
    assert_int_equal(REACTORS_COUNTER(runtime, 0, received[KN_BUS_CANCEL]), 10);
    kn_runtime_close(runtime);
}

static void timer_that_cannot_be_cancelled_leaves_the_bus_as_it_was(void **state)
{
    (void)state;
    struct kn_runtime *runtime = open_two(4);
    struct alarm alarm;
    struct probe probe;
    alarm_init(&alarm, KN_TIMER_SHARED);
    probe_init(&probe, 3, "d", NULL);
    become(runtime, 0);
    assert_int_equal(kn_reactor_arm(first_of(runtime), &alarm.timer, kn_clock_monotonic_ns() + 1000000000), 0);
    assert_int_equal(kn_timer_try_cancel(&alarm.timer), 0); /* somebody else was first, */
    become(runtime, 1);
    assert_int_equal(kn_reactor_cancel(&alarm.timer), -EALREADY);
    kn_task_spawn(&probe.task, first_of(runtime));
    reactors_settle(runtime);
    assert_int_equal(probe.polls, 1); /* and what is sent later arrives all the same */
    assert_int_equal(REACTORS_COUNTER(runtime, 1, bus_full), 0);
    become(runtime, 0);
    kn_timer_wheel_forget(kn_timer_wheel_of(&alarm.timer), &alarm.timer);
    kn_runtime_close(runtime);
}

static void timer_call_that_finds_the_bus_full_changes_nothing(void **state)
{
    (void)state;
    struct kn_runtime *runtime = open_two(1);
    struct alarm alarm;
    struct alarm other;
    alarm_init(&alarm, KN_TIMER_SHARED);
    alarm_init(&other, KN_TIMER_SHARED);
    become(runtime, 1);
    assert_int_equal(kn_reactor_arm(first_of(runtime), &alarm.timer, 1), 0); /* the one message there is room for */
    assert_int_equal(kn_reactor_arm(first_of(runtime), &other.timer, 1), -EAGAIN);
    assert_true(kn_timer_is_idle(&other.timer));
    become(runtime, 0);
    assert_int_equal(alarm.fired, 1);
    assert_int_equal(other.fired, 0);
    assert_int_equal(kn_reactor_arm(first_of(runtime), &alarm.timer, kn_clock_monotonic_ns() + 1000000000), 0);
    become(runtime, 1);
    assert_int_equal(kn_reactor_arm(first_of(runtime), &other.timer, 1), 0);
    assert_int_equal(kn_reactor_cancel(&alarm.timer), -EAGAIN);
    become(runtime, 0);
    assert_false(kn_timer_is_idle(&alarm.timer)); /* still armed */
    become(runtime, 1);
    assert_int_equal(kn_reactor_cancel(&alarm.timer), 0);
    become(runtime, 0);
    assert_true(kn_timer_is_idle(&alarm.timer));
    assert_int_equal(alarm.fired, 1);
    assert_int_equal(other.fired, 1);
    kn_runtime_close(runtime);
}

static void arm_nowhere(void *argument)
{
    struct kn_reactor *reactor = argument;
    struct alarm alarm;
    alarm_init(&alarm, KN_TIMER_SHARED);
    assert_int_equal(kn_reactor_arm(reactor, &alarm.timer, 1), -EPERM);
    assert_int_equal(kn_reactor_cancel(&alarm.timer), -EPERM);
}

static void timer_is_for_threads_with_a_reactor_of_its_runtime(void **state)
{
    (void)state;
    struct kn_runtime *runtime = open_two(4);
    struct kn_runtime *stranger = open_two(4);
    struct alarm alarm;
    alarm_init(&alarm, 0);
    become(runtime, 0);
    reactors_outside(arm_nowhere, first_of(runtime));
    assert_int_equal(kn_reactor_arm(first_of(runtime), &alarm.timer, kn_clock_monotonic_ns() + 1000000000), 0);
    become(runtime, 1);
    assert_int_equal(kn_reactor_cancel(&alarm.timer), -EPERM); /* it is not shared */
    become(stranger, 0);
    assert_int_equal(kn_reactor_cancel(&alarm.timer), -EPERM);
    assert_int_equal(kn_reactor_arm(first_of(runtime), &alarm.timer, 1), -EPERM);
    become(runtime, 0);
    assert_int_equal(kn_reactor_cancel(&alarm.timer), 0);
    kn_runtime_close(runtime);
    kn_runtime_close(stranger);
}

static void arm_argument_there(struct probe *probe, struct kn_reactor *reactor)
{
    struct alarm *alarm = probe->argument;
    struct kn_reactor *there = kn_runtime_reactor(kn_reactor_runtime(reactor), 1);
    assert_int_equal(kn_reactor_arm(there, &alarm->timer, kn_clock_monotonic_ns() + 200000), 0);
}

static void timer_armed_from_afar_wakes_a_reactor_that_sleeps(void **state)
{
    (void)state;
    struct kn_runtime *runtime =
        reactors_start((struct kn_runtime_options){.reactors = 2, .spin_ns = -1, .no_balance = true});
    for (unsigned i = 0; i < 100; i++) {
        struct probe probe;
        struct alarm alarm;
        struct kn_task_group group;
        alarm_init(&alarm, KN_TIMER_SHARED);
        probe_init(&probe, 3, "d", NULL);
        probe.act = arm_argument_there;
        probe.argument = &alarm;
        kn_task_group_init(&group, 1);
        probe.task.group = &group;
        reactors_await_parked(runtime, 1);
        kn_task_spawn(&probe.task, first_of(runtime));
        assert_int_equal(kn_task_group_join(&group, NULL), 0);
        REACTORS_AWAIT(alarm.fired == 1 && kn_timer_is_idle(&alarm.timer));
        assert_ptr_equal(alarm.place, kn_runtime_reactor(runtime, 1));
    }
    kn_runtime_close(runtime);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timer_fires_once_and_not_before_its_deadline),
        cmocka_unit_test(timer_in_the_past_fires_at_the_next_turn),
        cmocka_unit_test(timer_that_was_cancelled_does_not_fire),
        cmocka_unit_test(timer_may_be_armed_anew_and_moves),
        cmocka_unit_test(timer_wakes_a_task),
        cmocka_unit_test(timer_with_a_period_fires_again_until_it_is_cancelled),
        cmocka_unit_test(timer_limits_are_of_a_turn),
        cmocka_unit_test(timer_ends_the_sleep_of_its_reactor_when_it_is_due),
        cmocka_unit_test(timer_far_away_lets_its_reactor_sleep),
        cmocka_unit_test(timer_is_armed_and_cancelled_from_another_reactor),
        cmocka_unit_test(timer_that_cannot_be_cancelled_leaves_the_bus_as_it_was),
        cmocka_unit_test(timer_call_that_finds_the_bus_full_changes_nothing),
        cmocka_unit_test(timer_is_for_threads_with_a_reactor_of_its_runtime),
        cmocka_unit_test(timer_armed_from_afar_wakes_a_reactor_that_sleeps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
