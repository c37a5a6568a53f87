/*
 * Delays and timeouts, in virtual time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <kernel/future_time.h>

#include "async_harness.h"

static struct kn_local_executor executor;

/* Longer than the wheel's rounding. */
#define RESOLUTION_NS 2048

static int set_up(void **state)
{
    (void)state;
    kn_local_executor_init(&executor, KN_SECOND_NS);
    return 0;
}

static void delay_answers_after_its_time(void **state)
{
    (void)state;
    struct kn_future_delay memory;
    struct kn_outcome outcome;
    struct kn_future *future = kn_future_delay(&memory, KN_MILLISECOND_NS);
    assert_false(kn_local_executor_poll(&executor, future, &outcome));
    kn_local_executor_advance(&executor, KN_SECOND_NS + KN_MILLISECOND_NS - RESOLUTION_NS);
    assert_false(kn_local_executor_is_woken(&executor));
    kn_local_executor_advance(&executor, KN_SECOND_NS + KN_MILLISECOND_NS + RESOLUTION_NS);
    assert_true(kn_local_executor_is_woken(&executor));
    assert_true(kn_local_executor_poll(&executor, future, &outcome));
    assert_int_equal(outcome.status, KN_READY);
    assert_int_equal(executor.executor.pins, 0);
}

static void delay_counts_from_its_first_poll(void **state)
{
    (void)state;
    struct kn_future_delay memory;
    struct kn_future *future = kn_future_delay(&memory, KN_MILLISECOND_NS);
    kn_local_executor_advance(&executor, 5 * KN_SECOND_NS);
    assert_int_equal(kn_local_executor_run(&executor, future).status, KN_READY);
    assert_true(executor.executor.now_ns >= 5 * KN_SECOND_NS + KN_MILLISECOND_NS);
}

static void a_moment_that_has_passed_answers_at_once(void **state)
{
    (void)state;
    struct kn_future_delay memory;
    struct kn_outcome outcome;
    assert_true(kn_local_executor_poll(&executor, kn_future_delay_until(&memory, KN_SECOND_NS - 1), &outcome));
    assert_int_equal(outcome.status, KN_READY);
    assert_true(kn_local_executor_poll(&executor, kn_future_delay(&memory, 0), &outcome));
    assert_int_equal(outcome.status, KN_READY);
}

static void never_does_not_come(void **state)
{
    (void)state;
    struct kn_future_delay memory;
    struct kn_outcome outcome;
    struct kn_future *future = kn_future_delay_until(&memory, KN_NEVER);
    assert_false(kn_local_executor_poll(&executor, future, &outcome));
    kn_local_executor_advance(&executor, UINT64_MAX - 1);
    assert_false(kn_local_executor_is_woken(&executor));
    kn_future_drop(future);
    future = kn_future_delay(&memory, KN_NEVER);
    assert_false(kn_local_executor_poll(&executor, future, &outcome));
    kn_future_drop(future);
    assert_int_equal(executor.executor.pins, 0);
}

static void a_waiting_delay_pins_its_executor_until_it_is_dropped(void **state)
{
    (void)state;
    struct kn_future_delay memory;
    struct kn_outcome outcome;
    struct kn_future *future = kn_future_delay(&memory, KN_SECOND_NS);
    assert_false(kn_local_executor_poll(&executor, future, &outcome));
    assert_int_equal(executor.executor.pins, 1);
    kn_future_drop(future);
    assert_int_equal(executor.executor.pins, 0);
    assert_true(kn_timer_wheel_next_ns(&executor.wheel) == KN_NEVER ||
                kn_counter_read(&kn_timer_wheel_counters(&executor.wheel)->live) == 0);
}

static void without_timers_delays_fail(void **state)
{
    (void)state;
    struct kn_future_delay memory;
    struct kn_future_pending pending;
    struct kn_future_timeout timeout;
    struct kn_outcome outcome;
    executor.executor.timers = NULL;
    assert_true(kn_local_executor_poll(&executor, kn_future_delay(&memory, 1000), &outcome));
    assert_int_equal(outcome.status, -ENOSYS);
    struct kn_future *future = kn_future_timeout(&timeout, kn_future_pending(&pending), 1000);
    assert_true(kn_local_executor_poll(&executor, future, &outcome));
    assert_int_equal(outcome.status, -ENOSYS);
}

/* A leaf that may be later than its timeout. */
static void build_timeout(struct harness *world, void *context)
{
    (void)context;
    struct kn_future *leaf = harness_owned_future(world, 2, 9);
    harness_spawn(world, KN_IN(harness_arena(world), kn_future_timeout, leaf, KN_MILLISECOND_NS));
}

static unsigned answers[2];

static void check_timeout(struct harness *world, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)task;
    (void)context;
    if (outcome.status == KN_READY) {
        assert_int_equal(((struct harness_object *)outcome.value.pointer)->number, 9);
        answers[0]++;
    } else {
        assert_int_equal(outcome.status, -ETIMEDOUT);
        assert_true(harness_now_ns(world) >= KN_SECOND_NS + KN_MILLISECOND_NS);
        answers[1]++;
    }
}

static void timeout_answers_as_what_it_waits_for_or_fails(void **state)
{
    (void)state;
    harness_explore(build_timeout, check_timeout, NULL, NULL);
    assert_true(answers[0] > 0);
    assert_true(answers[1] > 0);
}

static struct kn_outcome deadline_of(void *context, struct kn_context *poll)
{
    (void)context;
    return kn_ready(KN_VALUE(kn_context_remaining_ns(poll)));
}

static void the_earliest_deadline_is_handed_down(void **state)
{
    (void)state;
    struct kn_future_poll_fn fn;
    struct kn_future_timeout inner;
    struct kn_future_timeout outer;
    struct kn_future *future = kn_future_timeout(&inner, kn_future_poll_fn(&fn, deadline_of, NULL), KN_SECOND_NS);
    future = kn_future_timeout(&outer, future, KN_MILLISECOND_NS);
    assert_int_equal(kn_local_executor_run(&executor, future).value.natural, KN_MILLISECOND_NS);
    future = kn_future_timeout_at(&inner, kn_future_poll_fn(&fn, deadline_of, NULL), executor.executor.now_ns + 5);
    future = kn_future_timeout(&outer, future, KN_MILLISECOND_NS);
    assert_int_equal(kn_local_executor_run(&executor, future).value.natural, 5);
    assert_int_equal(kn_local_executor_run(&executor, kn_future_poll_fn(&fn, deadline_of, NULL)).value.natural,
                     KN_NEVER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(delay_answers_after_its_time, set_up),
        cmocka_unit_test_setup(delay_counts_from_its_first_poll, set_up),
        cmocka_unit_test_setup(a_moment_that_has_passed_answers_at_once, set_up),
        cmocka_unit_test_setup(never_does_not_come, set_up),
        cmocka_unit_test_setup(a_waiting_delay_pins_its_executor_until_it_is_dropped, set_up),
        cmocka_unit_test_setup(without_timers_delays_fail, set_up),
        cmocka_unit_test(timeout_answers_as_what_it_waits_for_or_fails),
        cmocka_unit_test_setup(the_earliest_deadline_is_handed_down, set_up),
    };
    return cmocka_run_group_tests_name("future_time", tests, NULL, NULL);
}
