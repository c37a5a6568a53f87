/* The timing wheel: slack, periods and callbacks. */
#include "timer_alarm.h"

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
