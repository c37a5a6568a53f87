/*
 * The timing wheel by examples: deadlines, order, bounds. test_timer_expiry.c has what an expiry does,
 * test_timer_random.c compares it with a list, test_timer_shared.c has the threads.
 */
#include "timer_alarm.h"

static void wheel_fires_a_timer_at_its_deadline_and_not_before(void **state)
{
    (void)state;
    static const uint64_t resolutions[] = {1, 64, 1024, 1 << 20};
    for (size_t i = 0; i < sizeof(resolutions) / sizeof(resolutions[0]); i++) {
        for (uint64_t delay_ns = 1; delay_ns < 200 * YEAR_NS; delay_ns = delay_ns * 3 + 1) {
            struct kn_timer_wheel wheel;
            struct alarm alarm;
            uint64_t deadline_ns = 123456789 + delay_ns;
            make_wheel(&wheel, resolutions[i], 123456789);
            make_alarm(&alarm);
            assert_true(kn_timer_is_idle(&alarm.timer));
            arm(&wheel, &alarm, deadline_ns);
            assert_false(kn_timer_is_idle(&alarm.timer));
            assert_int_equal(kn_timer_deadline_ns(&alarm.timer), deadline_ns);
            uint64_t next_ns = kn_timer_wheel_next_ns(&wheel);
            assert_true(next_ns >= deadline_ns && next_ns - deadline_ns < resolutions[i]);
            assert_int_equal(kn_timer_wheel_advance(&wheel, deadline_ns - 1, ALL), 0);
            assert_int_equal(kn_timer_wheel_next_ns(&wheel), next_ns);
            assert_int_equal(kn_timer_wheel_advance(&wheel, next_ns, ALL), 1);
            assert_int_equal(alarm.fired, 1);
            assert_true(kn_timer_is_idle(&alarm.timer));
            assert_int_equal(kn_timer_wheel_next_ns(&wheel), KN_NEVER);
            assert_int_equal(kn_timer_wheel_advance(&wheel, next_ns + YEAR_NS, ALL), 0);
        }
    }
}

static void wheel_rounds_its_resolution_up_to_a_power_of_two(void **state)
{
    (void)state;
    static const uint64_t asked[] = {0, 1, 2, 3, 1000, 1024, 1025, UINT64_C(1) << 40};
    static const uint64_t got[] = {1024, 1, 2, 4, 1024, 1024, 2048, UINT64_C(1) << 40};
    struct kn_timer_wheel wheel;
    for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
        make_wheel(&wheel, asked[i], 0);
        assert_int_equal(kn_timer_wheel_resolution_ns(&wheel), got[i]);
    }
    const struct kn_timer_wheel_options options = {.resolution_ns = (UINT64_C(1) << 40) + 1};
    assert_int_equal(kn_timer_wheel_init(&wheel, &options), -EINVAL);
}

/* Around each power of 64, seen from various times, all at once. */
static void wheel_keeps_the_order_at_every_boundary_of_every_level(void **state)
{
    (void)state;
    static const uint64_t starts[] = {0, 1, 63, 64, 4095, 4096, 262143, 0x123456789abcdef, UINT64_C(1) << 60};
    for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
        struct kn_timer_wheel wheel;
        struct alarm alarms[31];
        size_t count = 0;
        make_wheel(&wheel, 1, starts[i]);
        for (unsigned bits = 0; bits <= 60; bits += 6) {
            for (int64_t offset = -1; offset <= 1 && count < 31; offset++) {
                uint64_t deadline_ns = starts[i] + (UINT64_C(1) << bits) + (uint64_t)offset;
                make_alarm(&alarms[count]);
                arm(&wheel, &alarms[count++], deadline_ns);
            }
        }
        assert_int_equal(live(&wheel), count);
        assert_true(run_dry(&wheel, 100) <= count);
        for (size_t j = 0; j < count; j++) {
            assert_int_equal(alarms[j].fired_ns, kn_timer_deadline_ns(&alarms[j].timer));
            assert_int_equal(alarms[j].order, j);
        }
        assert_int_equal(live(&wheel), 0);
    }
}

static void wheel_fires_in_every_slot_of_every_level(void **state)
{
    (void)state;
    struct kn_timer_wheel wheel;
    make_wheel(&wheel, 1, 0);
    for (unsigned level = 0; level < KN_TIMER_LEVELS; level++) {
        for (uint64_t slot = 1; slot < (level == 10 ? 16 : 64); slot++) {
            struct alarm alarms[2];
            uint64_t begin = slot << (6 * level);
            make_wheel(&wheel, 1, 0);
            make_alarm(&alarms[0]);
            make_alarm(&alarms[1]);
            arm(&wheel, &alarms[0], begin + ((UINT64_C(1) << (6 * level)) - 1) / 2);
            arm(&wheel, &alarms[1], begin);
            run_dry(&wheel, 10);
            assert_int_equal(alarms[1].fired_ns, begin);
            assert_int_equal(alarms[0].fired_ns, kn_timer_deadline_ns(&alarms[0].timer));
        }
    }
}

static void wheel_takes_deadlines_at_the_end_of_time(void **state)
{
    (void)state;
    static const uint64_t resolutions[] = {1, 1024, UINT64_C(1) << 40};
    for (size_t i = 0; i < sizeof(resolutions) / sizeof(resolutions[0]); i++) {
        struct kn_timer_wheel wheel;
        struct alarm never, last, decades;
        make_wheel(&wheel, resolutions[i], 5);
        make_alarm(&never);
        make_alarm(&last);
        make_alarm(&decades);
        arm(&wheel, &never, KN_NEVER);
        assert_int_equal(kn_timer_wheel_next_ns(&wheel), KN_NEVER);
        arm(&wheel, &last, UINT64_MAX - 2 * resolutions[i]);
        arm(&wheel, &decades, 90 * YEAR_NS);
        assert_int_equal(kn_timer_wheel_advance(&wheel, 91 * YEAR_NS, ALL), 1);
        assert_int_equal(decades.fired, 1);
        assert_true(kn_timer_wheel_next_ns(&wheel) >= UINT64_MAX - 2 * resolutions[i]);
        assert_int_equal(kn_timer_wheel_advance(&wheel, UINT64_MAX, ALL), 1);
        assert_int_equal(last.fired, 1);
        assert_int_equal(kn_timer_wheel_next_ns(&wheel), KN_NEVER);
        assert_int_equal(kn_timer_wheel_advance(&wheel, UINT64_MAX, ALL), 0);
        assert_int_equal(kn_timer_wheel_cancel(&wheel, &never.timer), 0);
        assert_int_equal(live(&wheel), 0);
    }
}

static void wheel_does_not_overflow_on_slack_and_periods_at_the_end_of_time(void **state)
{
    (void)state;
    struct kn_timer_wheel wheel;
    struct alarm alarm;
    make_wheel(&wheel, 1024, 0);
    make_alarm(&alarm);
    alarm.timer.slack_us = UINT32_MAX;
    alarm.timer.period_ns = UINT64_MAX;
    arm(&wheel, &alarm, UINT64_MAX - SECOND_NS);
    assert_int_equal(kn_timer_wheel_advance(&wheel, UINT64_MAX - SECOND_NS - 1, ALL), 0);
    assert_int_equal(kn_timer_wheel_advance(&wheel, UINT64_MAX, ALL), 1);
    assert_int_equal(kn_timer_deadline_ns(&alarm.timer), UINT64_MAX);
    assert_int_equal(kn_timer_wheel_next_ns(&wheel), KN_NEVER);
}

static void wheel_lets_an_idle_loop_sleep_until_the_deadline_however_far(void **state)
{
    (void)state;
    struct kn_timer_wheel wheel;
    struct alarm alarms[20];
    make_wheel(&wheel, 1024, 77 * SECOND_NS);
    /* Of 64 timers on, one wake-up may come for the cascade; these are few, in slots of many widths. */
    for (size_t i = 0; i < 20; i++) {
        make_alarm(&alarms[i]);
        arm(&wheel, &alarms[i], 77 * SECOND_NS + (SECOND_NS << i) + i * 1234567);
    }
    assert_int_equal(run_dry(&wheel, 1000), 20);
    for (size_t i = 0; i < 20; i++) {
        assert_true(alarms[i].fired_ns >= kn_timer_deadline_ns(&alarms[i].timer));
        assert_true(alarms[i].fired_ns - kn_timer_deadline_ns(&alarms[i].timer) < 1024);
    }
}

static void wheel_begins_crowded_slots_early_at_one_wake_each(void **state)
{
    (void)state;
    enum { COUNT = 1000 };
    struct kn_timer_wheel wheel;
    static struct alarm alarms[COUNT];
    make_wheel(&wheel, 1, 0);
    for (size_t i = 0; i < COUNT; i++) {
        make_alarm(&alarms[i]);
        arm(&wheel, &alarms[i], (5U << 18) + 10000 + i * 16);
    }
    assert_int_equal(kn_timer_wheel_next_ns(&wheel), 5U << 18);
    /* One wake for the slot, one each for the slots of 4096 that it breaks into. */
    assert_in_range(run_dry(&wheel, 2 * COUNT), COUNT, COUNT + 6);
    for (size_t i = 0; i < COUNT; i++)
        assert_int_equal(alarms[i].order, i);
}

static void wheel_jumps_over_any_time_in_order(void **state)
{
    (void)state;
    enum { COUNT = 500 };
    struct kn_timer_wheel wheel;
    static struct alarm alarms[COUNT];
    make_wheel(&wheel, 1, 0);
    for (size_t i = 0; i < COUNT; i++) {
        make_alarm(&alarms[i]);
        arm(&wheel, &alarms[i], i * i * i * i * 100000 + 1);
    }
    assert_int_equal(kn_timer_wheel_advance(&wheel, 500 * YEAR_NS, ALL), COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(alarms[i].order, i);
        assert_int_equal(alarms[i].fired_ns, 500 * YEAR_NS);
    }
    assert_true(kn_counter_read(&kn_timer_wheel_counters(&wheel)->cascaded) <= COUNT * (KN_TIMER_LEVELS - 1));
}

static void wheel_ignores_that_time_goes_backwards(void **state)
{
    (void)state;
    struct kn_timer_wheel wheel;
    struct alarm alarm;
    make_wheel(&wheel, 1, 1000);
    make_alarm(&alarm);
    arm(&wheel, &alarm, 2000);
    assert_int_equal(kn_timer_wheel_advance(&wheel, 1900, ALL), 0);
    assert_int_equal(kn_timer_wheel_advance(&wheel, 5, ALL), 0);
    assert_int_equal(kn_timer_wheel_now_ns(&wheel), 1900);
    assert_int_equal(kn_timer_wheel_next_ns(&wheel), 2000);
    assert_int_equal(kn_timer_wheel_advance(&wheel, 2000, ALL), 1);
}

static void wheel_fires_overdue_deadlines_at_the_next_call(void **state)
{
    (void)state;
    struct kn_timer_wheel wheel;
    struct alarm alarm;
    make_wheel(&wheel, 1024, 50 * SECOND_NS);
    make_alarm(&alarm);
    arm(&wheel, &alarm, 3);
    assert_true(kn_timer_wheel_next_ns(&wheel) <= 50 * SECOND_NS);
    assert_int_equal(kn_timer_wheel_advance(&wheel, 50 * SECOND_NS, ALL), 1);
}

static void wheel_bounds_what_a_call_does_whatever_is_due(void **state)
{
    (void)state;
    enum { COUNT = 1000000, MOST = 100 };
    struct kn_timer_wheel wheel;
    struct alarm *alarms = calloc(COUNT, sizeof(*alarms));
    size_t fired = 0;
    assert_non_null(alarms);
    make_wheel(&wheel, 1024, SECOND_NS);
    const struct kn_timer_counters *counters = kn_timer_wheel_counters(&wheel);
    /* Half at one moment, half at moments around it, and from far away, so that all must be moved as well. */
    for (size_t i = 0; i < COUNT; i++) {
        make_alarm(&alarms[i]);
        arm(&wheel, &alarms[i], 100 * SECOND_NS + (i % 2) * (i * 7919 % 100000) * 1024);
    }
    for (size_t calls = 0; fired < COUNT; calls++) {
        uint64_t done = kn_counter_read(&counters->cascaded) + kn_counter_read(&counters->fired);
        assert_true(kn_timer_wheel_next_ns(&wheel) <= 200 * SECOND_NS);
        fired += kn_timer_wheel_advance(&wheel, 200 * SECOND_NS, MOST);
        assert_int_equal(kn_counter_read(&counters->fired), fired);
        assert_true(kn_counter_read(&counters->cascaded) + fired - done <= MOST);
        assert_true(calls < (size_t)COUNT * KN_TIMER_LEVELS / MOST);
    }
    assert_int_equal(kn_timer_wheel_next_ns(&wheel), KN_NEVER);
    uint64_t *by_order = calloc(COUNT, sizeof(*by_order));
    assert_non_null(by_order);
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(alarms[i].fired, 1);
        by_order[alarms[i].order] = kn_timer_deadline_ns(&alarms[i].timer);
    }
    for (size_t i = 1; i < COUNT; i++)
        assert_true(by_order[i - 1] <= by_order[i]);
    free(by_order);
    free(alarms);
}

static void wheel_takes_arms_and_cancels_between_bounded_calls(void **state)
{
    (void)state;
    enum { COUNT = 300 };
    struct kn_timer_wheel wheel;
    static struct alarm alarms[COUNT];
    make_wheel(&wheel, 1, 0);
    for (size_t i = 0; i < COUNT; i++) {
        make_alarm(&alarms[i]);
        arm(&wheel, &alarms[i], 5000 + i); /* one slot of level 2 */
    }
    assert_int_equal(kn_timer_wheel_advance(&wheel, 6000, 10), 0); /* in the midst of spreading it */
    struct alarm early, later;
    make_alarm(&early);
    make_alarm(&later);
    arm(&wheel, &early, 4000);
    arm(&wheel, &later, 6001);
    for (size_t i = 0; i < COUNT; i += 2)
        assert_int_equal(kn_timer_wheel_cancel(&wheel, &alarms[i].timer), 0);
    size_t fired = 0;
    for (unsigned calls = 0; calls < 100; calls++)
        fired += kn_timer_wheel_advance(&wheel, 6000, 10);
    assert_int_equal(fired, COUNT / 2 + 1);
    assert_int_equal(early.order, COUNT / 2); /* armed late, it comes after what was due before */
    for (size_t i = 0; i < COUNT; i++)
        assert_int_equal(alarms[i].fired, i % 2);
    assert_int_equal(kn_timer_wheel_next_ns(&wheel), 6001);
}

static void wheel_forgets_a_slot_that_is_cancelled_while_it_is_spread(void **state)
{
    (void)state;
    enum { COUNT = 30 };
    struct kn_timer_wheel wheel;
    static struct alarm alarms[COUNT];
    make_wheel(&wheel, 1, 0);
    for (size_t i = 0; i < COUNT; i++) {
        make_alarm(&alarms[i]);
        arm(&wheel, &alarms[i], 5000 + i);
    }
    assert_int_equal(kn_timer_wheel_advance(&wheel, 6000, 10), 0);
    for (size_t i = 0; i < COUNT; i++)
        assert_int_equal(kn_timer_wheel_cancel(&wheel, &alarms[i].timer), 0);
    assert_int_equal(kn_timer_wheel_next_ns(&wheel), KN_NEVER);
    assert_int_equal(kn_timer_wheel_advance(&wheel, 6000, 10), 0);
    arm(&wheel, &alarms[0], 7000);
    assert_int_equal(kn_timer_wheel_next_ns(&wheel), 7000);
    assert_int_equal(kn_timer_wheel_advance(&wheel, 6500, 10), 0);
    assert_int_equal(kn_timer_wheel_next_ns(&wheel), 7000);
    assert_int_equal(kn_timer_wheel_advance(&wheel, 7000, 10), 1);
}

static void wheel_cancels_what_has_not_fired(void **state)
{
    (void)state;
    struct kn_timer_wheel wheel;
    struct alarm alarms[3];
    make_wheel(&wheel, 1, 0);
    for (size_t i = 0; i < 3; i++) {
        make_alarm(&alarms[i]);
        assert_int_equal(kn_timer_wheel_cancel(&wheel, &alarms[i].timer), -EALREADY);
        arm(&wheel, &alarms[i], 100);
    }
    assert_int_equal(kn_timer_wheel_cancel(&wheel, &alarms[1].timer), 0);
    assert_int_equal(kn_timer_wheel_cancel(&wheel, &alarms[1].timer), -EALREADY);
    assert_true(kn_timer_is_idle(&alarms[1].timer));
    memset(&alarms[1], 0xee, sizeof(alarms[1])); /* nobody looks there any more */
    assert_int_equal(kn_timer_wheel_advance(&wheel, 100, ALL), 2);
    assert_int_equal(kn_timer_wheel_cancel(&wheel, &alarms[0].timer), -EALREADY);
    assert_int_equal(live(&wheel), 0);
}

static void wheel_moves_a_timer_that_is_armed_again(void **state)
{
    (void)state;
    struct kn_timer_wheel wheel;
    struct alarm alarm;
    static const uint64_t deadlines[] = {100, 100000, 70, 4000, 4001, 65, 500, 1 << 30, 300};
    make_wheel(&wheel, 1, 0);
    make_alarm(&alarm);
    for (size_t i = 0; i < sizeof(deadlines) / sizeof(deadlines[0]); i++) {
        arm(&wheel, &alarm, deadlines[i]);
        assert_int_equal(live(&wheel), 1);
        assert_true(kn_timer_wheel_next_ns(&wheel) <= deadlines[i]);
    }
    assert_int_equal(kn_timer_wheel_advance(&wheel, 299, ALL), 0);
    assert_int_equal(kn_timer_wheel_advance(&wheel, 300, ALL), 1);
    /* For later, once and again: one early wake-up at most for each time that passes. */
    arm(&wheel, &alarm, 1000);
    for (uint64_t now_ns = 310; now_ns < 5000; now_ns += 10) {
        assert_int_equal(kn_timer_wheel_advance(&wheel, now_ns, ALL), 0);
        arm(&wheel, &alarm, now_ns + 690);
    }
    assert_in_range(run_dry(&wheel, 100), 1, 2);
    assert_int_equal(alarm.fired_ns, 4990 + 690);
    assert_int_equal(alarm.fired, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wheel_fires_a_timer_at_its_deadline_and_not_before),
        cmocka_unit_test(wheel_rounds_its_resolution_up_to_a_power_of_two),
        cmocka_unit_test(wheel_keeps_the_order_at_every_boundary_of_every_level),
        cmocka_unit_test(wheel_fires_in_every_slot_of_every_level),
        cmocka_unit_test(wheel_takes_deadlines_at_the_end_of_time),
        cmocka_unit_test(wheel_does_not_overflow_on_slack_and_periods_at_the_end_of_time),
        cmocka_unit_test(wheel_lets_an_idle_loop_sleep_until_the_deadline_however_far),
        cmocka_unit_test(wheel_begins_crowded_slots_early_at_one_wake_each),
        cmocka_unit_test(wheel_jumps_over_any_time_in_order),
        cmocka_unit_test(wheel_ignores_that_time_goes_backwards),
        cmocka_unit_test(wheel_fires_overdue_deadlines_at_the_next_call),
        cmocka_unit_test(wheel_bounds_what_a_call_does_whatever_is_due),
        cmocka_unit_test(wheel_takes_arms_and_cancels_between_bounded_calls),
        cmocka_unit_test(wheel_forgets_a_slot_that_is_cancelled_while_it_is_spread),
        cmocka_unit_test(wheel_cancels_what_has_not_fired),
        cmocka_unit_test(wheel_moves_a_timer_that_is_armed_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
