/* The timing wheel by examples; test_timer_random.c compares it with a list, test_timer_shared.c has the threads. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <kernel/mailbox.h>
#include <kernel/timer.h>

#define SECOND_NS UINT64_C(1000000000)
#define YEAR_NS (UINT64_C(31557600) * SECOND_NS)
#define ALL SIZE_MAX

/* A timer that writes down when it fired. */
struct alarm {
    struct kn_timer timer;
    uint64_t fired_ns; /* the wheel's time then */
    unsigned fired;
    unsigned order; /* how many had fired before it */
};

static unsigned alarms_fired;

static struct alarm *alarm_of(struct kn_timer *timer)
{
    return KN_CONTAINER_OF(timer, struct alarm, timer);
}

static void ring(struct kn_timer *timer, void *owner)
{
    struct alarm *alarm = alarm_of(timer);
    (void)owner;
    alarm->fired_ns = kn_timer_wheel_now_ns(kn_timer_wheel_of(timer));
    alarm->order = alarms_fired++;
    alarm->fired++;
}

static void make_wheel(struct kn_timer_wheel *wheel, uint64_t resolution_ns, uint64_t start_ns)
{
    const struct kn_timer_wheel_options options = {.resolution_ns = resolution_ns, .start_ns = start_ns};
    assert_int_equal(kn_timer_wheel_init(wheel, &options), 0);
    alarms_fired = 0;
}

static void make_alarm(struct alarm *alarm)
{
    memset(alarm, 0, sizeof(*alarm));
    kn_timer_init(&alarm->timer, ring, 0);
}

static void arm(struct kn_timer_wheel *wheel, struct alarm *alarm, uint64_t deadline_ns)
{
    assert_int_equal(kn_timer_wheel_arm(wheel, &alarm->timer, deadline_ns), 0);
}

static uint64_t live(const struct kn_timer_wheel *wheel)
{
    return kn_counter_read(&kn_timer_wheel_counters(wheel)->live);
}

/* Sleeps until there is something to do and does it, until nothing is left or `most` wake-ups: how many. */
static unsigned run_dry(struct kn_timer_wheel *wheel, unsigned most)
{
    unsigned wakes = 0;
    uint64_t next_ns;
    while ((next_ns = kn_timer_wheel_next_ns(wheel)) != KN_NEVER && wakes < most) {
        kn_timer_wheel_advance(wheel, next_ns, ALL);
        wakes++;
    }
    return wakes;
}

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

static void slack_is_used_and_never_exceeded(void **state)
{
    (void)state;
    struct kn_timer_wheel wheel;
    for (uint64_t delay_ns = 1000; delay_ns < 1000 * SECOND_NS; delay_ns = delay_ns * 5 / 2) {
        for (uint32_t slack_us = 0; slack_us < 4000000; slack_us = slack_us * 7 + 1) {
            struct alarm alarm;
            make_wheel(&wheel, 1024, 987654321);
            make_alarm(&alarm);
            alarm.timer.slack_us = slack_us;
            arm(&wheel, &alarm, 987654321 + delay_ns);
            assert_int_equal(run_dry(&wheel, 10), 1);
            assert_true(alarm.fired_ns >= kn_timer_deadline_ns(&alarm.timer));
            assert_true(alarm.fired_ns - kn_timer_deadline_ns(&alarm.timer) < (uint64_t)slack_us * 1000 + 1024);
        }
    }
}

/* A hundred timers within a second, each with a slack of 50 ms. */
static unsigned wake_ups_with_slack(uint32_t slack_us, uint64_t *coalesced)
{
    struct kn_timer_wheel wheel;
    struct alarm alarms[100];
    make_wheel(&wheel, 1024, 0);
    for (size_t i = 0; i < 100; i++) {
        make_alarm(&alarms[i]);
        alarms[i].timer.slack_us = slack_us;
        arm(&wheel, &alarms[i], SECOND_NS + i * 10000019);
    }
    unsigned wakes = 0;
    while (live(&wheel) > 0)
        wakes += kn_timer_wheel_advance(&wheel, kn_timer_wheel_next_ns(&wheel), ALL) > 0;
    *coalesced = kn_counter_read(&kn_timer_wheel_counters(&wheel)->coalesced);
    return wakes;
}

static void slack_saves_wake_ups(void **state)
{
    (void)state;
    uint64_t coalesced;
    assert_int_equal(wake_ups_with_slack(0, &coalesced), 100);
    assert_int_equal(coalesced, 0);
    /* At least the 2^14 ticks of 16.8 ms that fit twice into the slack, in place of 10 ms. */
    assert_in_range(wake_ups_with_slack(50000, &coalesced), 2, 62);
    assert_in_range(coalesced, 90, 100);
    assert_in_range(wake_ups_with_slack(500000, &coalesced), 1, 5);
}

static void periods_do_not_drift(void **state)
{
    (void)state;
    struct kn_timer_wheel wheel;
    struct alarm alarm;
    make_wheel(&wheel, 1024, 0);
    make_alarm(&alarm);
    alarm.timer.period_ns = 1000003;
    arm(&wheel, &alarm, 500);
    for (uint64_t i = 0; i < 10000; i++) {
        uint64_t deadline_ns = 500 + i * 1000003;
        assert_int_equal(kn_timer_deadline_ns(&alarm.timer), deadline_ns);
        uint64_t next_ns = kn_timer_wheel_next_ns(&wheel);
        assert_true(next_ns >= deadline_ns && next_ns < deadline_ns + 1024);
        /* Each turn is late by something else. */
        assert_int_equal(kn_timer_wheel_advance(&wheel, next_ns + i % 977 * 1000, ALL), 1);
        assert_int_equal(kn_timer_wheel_overruns(&wheel), 0);
    }
    assert_int_equal(kn_timer_wheel_cancel(&wheel, &alarm.timer), 0);
    assert_int_equal(kn_timer_wheel_next_ns(&wheel), KN_NEVER);
}

static void periods_that_were_missed_are_counted_and_skipped(void **state)
{
    (void)state;
    struct kn_timer_wheel wheel;
    struct alarm alarm;
    make_wheel(&wheel, 1, 0);
    make_alarm(&alarm);
    alarm.timer.period_ns = 100;
    arm(&wheel, &alarm, 100);
    assert_int_equal(kn_timer_wheel_advance(&wheel, 1099, ALL), 1);
    assert_int_equal(kn_timer_wheel_overruns(&wheel), 9);
    assert_int_equal(kn_timer_wheel_next_ns(&wheel), 1100);
    assert_int_equal(kn_timer_wheel_advance(&wheel, 1199, ALL), 1);
    assert_int_equal(kn_timer_wheel_overruns(&wheel), 0);
    assert_int_equal(kn_timer_wheel_advance(&wheel, 1200 + 1000000, ALL), 1);
    assert_int_equal(kn_timer_wheel_overruns(&wheel), 10000);
    assert_int_equal(kn_timer_deadline_ns(&alarm.timer), 1001300);
    assert_int_equal(kn_counter_read(&kn_timer_wheel_counters(&wheel)->overruns), 10009);
    assert_int_equal(alarm.fired, 3);
}

static void periods_with_slack_miss_none(void **state)
{
    (void)state;
    struct kn_timer_wheel wheel;
    struct alarm alarm;
    make_wheel(&wheel, 1024, 0);
    make_alarm(&alarm);
    alarm.timer.period_ns = 3000000;
    alarm.timer.slack_us = 50000; /* more than the period */
    arm(&wheel, &alarm, 3000000);
    for (unsigned i = 1; i <= 1000; i++) {
        kn_timer_wheel_advance(&wheel, kn_timer_wheel_next_ns(&wheel), ALL);
        assert_int_equal(alarm.fired, i);
        assert_true(alarm.fired_ns - i * UINT64_C(3000000) < 3000000);
    }
    assert_int_equal(kn_counter_read(&kn_timer_wheel_counters(&wheel)->overruns), 0);
}

/* A timer that does something to itself or to another one when it fires. */
struct meddler {
    struct alarm alarm;
    struct kn_timer *cancels;
    struct kn_timer *arms;
    uint64_t deadline_ns;
    bool frees;
};

static void meddle(struct kn_timer *timer, void *owner)
{
    struct meddler *meddler = KN_CONTAINER_OF(alarm_of(timer), struct meddler, alarm);
    struct kn_timer_wheel *wheel = kn_timer_wheel_of(timer);
    ring(timer, owner);
    if (meddler->cancels)
        assert_int_equal(kn_timer_wheel_cancel(wheel, meddler->cancels), 0);
    if (meddler->arms)
        assert_int_equal(kn_timer_wheel_arm(wheel, meddler->arms, meddler->deadline_ns), 0);
    if (meddler->frees)
        free(meddler);
}

static struct meddler *make_meddler(void)
{
    struct meddler *meddler = calloc(1, sizeof(*meddler));
    assert_non_null(meddler);
    kn_timer_init(&meddler->alarm.timer, meddle, 0);
    return meddler;
}

static void callbacks_may_cancel_what_is_due_as_well(void **state)
{
    (void)state;
    for (unsigned apart = 0; apart < 2; apart++) {
        struct kn_timer_wheel wheel;
        struct meddler *meddler = make_meddler();
        struct alarm victims[3];
        make_wheel(&wheel, 1, 0);
        make_alarm(&victims[0]);
        make_alarm(&victims[1]);
        make_alarm(&victims[2]);
        meddler->cancels = &victims[1].timer;
        /* Of one tick, what was armed last comes first: nothing to rely on, but it puts the meddler first here. */
        arm(&wheel, &victims[0], 10);
        arm(&wheel, &victims[1], 10 + apart);
        arm(&wheel, &victims[2], 10 + apart);
        arm(&wheel, &meddler->alarm, 10);
        assert_int_equal(kn_timer_wheel_advance(&wheel, 10000, ALL), 3);
        assert_int_equal(victims[1].fired, 0);
        assert_int_equal(victims[0].fired + victims[2].fired, 2);
        free(meddler);
    }
}

static void callbacks_may_arm_themselves_and_do_not_hold_up_the_wheel(void **state)
{
    (void)state;
    struct kn_timer_wheel wheel;
    struct meddler *meddler = make_meddler();
    struct alarm other;
    make_wheel(&wheel, 1, 0);
    make_alarm(&other);
    meddler->arms = &meddler->alarm.timer;
    meddler->deadline_ns = 3; /* past already */
    arm(&wheel, &meddler->alarm, 10);
    arm(&wheel, &other, 4500);
    assert_int_equal(kn_timer_wheel_advance(&wheel, 5000, ALL), 2);
    assert_int_equal(kn_timer_wheel_next_ns(&wheel), 5001);
    assert_int_equal(kn_timer_wheel_advance(&wheel, 5000, ALL), 0);
    assert_int_equal(kn_timer_wheel_advance(&wheel, 5001, ALL), 1);
    assert_int_equal(meddler->alarm.fired, 2);
    free(meddler);
}

static void callbacks_may_postpone_what_is_due_as_well(void **state)
{
    (void)state;
    struct kn_timer_wheel wheel;
    struct meddler *meddler = make_meddler();
    struct alarm other;
    make_wheel(&wheel, 1, 0);
    make_alarm(&other);
    meddler->arms = &other.timer;
    meddler->deadline_ns = 20000;
    arm(&wheel, &other, 10);
    arm(&wheel, &meddler->alarm, 10);
    assert_int_equal(kn_timer_wheel_advance(&wheel, 10, 1), 1); /* the one armed last, as it happens */
    assert_int_equal(other.fired, 0);
    assert_int_equal(kn_timer_wheel_advance(&wheel, 19999, ALL), 0);
    assert_int_equal(kn_timer_wheel_advance(&wheel, 20000, ALL), 1);
    free(meddler);
}

static void callbacks_may_stop_their_own_period_and_free_the_timer(void **state)
{
    (void)state;
    struct kn_timer_wheel wheel;
    struct meddler *once = make_meddler();
    struct meddler *periodic = make_meddler();
    make_wheel(&wheel, 1, 0);
    once->frees = true;
    periodic->frees = true;
    periodic->cancels = &periodic->alarm.timer;
    periodic->alarm.timer.period_ns = 10;
    arm(&wheel, &once->alarm, 10);
    arm(&wheel, &periodic->alarm, 10);
    assert_int_equal(kn_timer_wheel_advance(&wheel, 1000, ALL), 2);
    assert_int_equal(live(&wheel), 0);
    assert_int_equal(kn_timer_wheel_next_ns(&wheel), KN_NEVER);
}

static void count_wake(void *target, void *owner)
{
    unsigned *wakes = target;
    assert_ptr_equal(owner, &alarms_fired);
    ++*wakes;
}

static void timers_without_a_callback_wake_their_target(void **state)
{
    (void)state;
    struct kn_timer_wheel wheel;
    struct kn_timer timer;
    unsigned wakes = 0;
    const struct kn_timer_wheel_options options = {.owner = &alarms_fired, .wake = count_wake};
    assert_int_equal(kn_timer_wheel_init(&wheel, &options), 0);
    assert_ptr_equal(kn_timer_wheel_owner(&wheel), &alarms_fired);
    kn_timer_init_waking(&timer, &wakes, 0);
    timer.period_ns = SECOND_NS;
    assert_int_equal(kn_timer_wheel_arm(&wheel, &timer, SECOND_NS), 0);
    assert_int_equal(kn_timer_wheel_advance(&wheel, 3 * SECOND_NS + SECOND_NS / 2, ALL), 1);
    assert_int_equal(wakes, 1);
    assert_int_equal(kn_timer_deadline_ns(&timer), 4 * SECOND_NS);
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
        cmocka_unit_test(slack_is_used_and_never_exceeded),
        cmocka_unit_test(slack_saves_wake_ups),
        cmocka_unit_test(periods_do_not_drift),
        cmocka_unit_test(periods_that_were_missed_are_counted_and_skipped),
        cmocka_unit_test(periods_with_slack_miss_none),
        cmocka_unit_test(callbacks_may_cancel_what_is_due_as_well),
        cmocka_unit_test(callbacks_may_arm_themselves_and_do_not_hold_up_the_wheel),
        cmocka_unit_test(callbacks_may_postpone_what_is_due_as_well),
        cmocka_unit_test(callbacks_may_stop_their_own_period_and_free_the_timer),
        cmocka_unit_test(timers_without_a_callback_wake_their_target),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
