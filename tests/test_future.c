/*
 * The simplest futures, values, and what every future promises.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <kernel/future_time.h>

#include "async_harness.h"

static struct kn_local_executor executor;

static int set_up(void **state)
{
    (void)state;
    kn_local_executor_init(&executor, KN_SECOND_NS);
    return 0;
}

static void values_keep_what_they_were_made_of(void **state)
{
    (void)state;
    int target;
    assert_int_equal(KN_AS(int, KN_VALUE(-7)), -7);
    assert_int_equal(KN_AS(uint8_t, KN_VALUE((uint8_t)200)), 200);
    assert_true(KN_AS(bool, KN_VALUE(true)));
    assert_true(KN_AS(uint64_t, KN_VALUE(UINT64_MAX)) == UINT64_MAX);
    assert_true(KN_AS(int64_t, KN_VALUE(INT64_MIN)) == INT64_MIN);
    assert_true(KN_AS(double, KN_VALUE(0.1)) == 0.1);
    assert_true(KN_AS(float, KN_VALUE(0.5f)) == 0.5f);
    assert_ptr_equal(KN_AS(int *, KN_VALUE(&target)), &target);
    assert_string_equal(KN_AS(const char *, KN_VALUE("text")), "text");
}

static void ready_answers_at_once(void **state)
{
    (void)state;
    struct kn_future_ready memory;
    struct kn_outcome outcome = kn_local_executor_run(&executor, kn_future_ready(&memory, KN_VALUE(5)));
    assert_int_equal(outcome.status, KN_READY);
    assert_int_equal(outcome.value.integer, 5);
    outcome = kn_local_executor_run(&executor, kn_future_failed(&memory, -EPROTO));
    assert_int_equal(outcome.status, -EPROTO);
}

static void pending_waits_for_ever(void **state)
{
    (void)state;
    struct kn_future_pending memory;
    assert_int_equal(kn_local_executor_run(&executor, kn_future_pending(&memory)).status, -EDEADLK);
}

static struct kn_outcome count_calls(void *context)
{
    return kn_ready(KN_VALUE(++*(int *)context));
}

static void lazy_calls_its_function_at_the_first_poll_and_not_before(void **state)
{
    (void)state;
    int calls = 0;
    struct kn_future_lazy memory;
    struct kn_future *future = kn_future_lazy(&memory, count_calls, &calls);
    assert_int_equal(calls, 0);
    kn_future_drop(future);
    assert_int_equal(calls, 0);
    assert_int_equal(kn_local_executor_run(&executor, kn_future_lazy(&memory, count_calls, &calls)).value.integer, 1);
}

static struct kn_outcome third_time(void *context, struct kn_context *poll)
{
    if (++*(int *)context == 3)
        return kn_ready(KN_VALUE(33));
    kn_waker_wake(poll->waker);
    return kn_pending();
}

static void poll_fn_is_called_at_every_poll(void **state)
{
    (void)state;
    int polls = 0;
    struct kn_future_poll_fn memory;
    assert_int_equal(kn_local_executor_run(&executor, kn_future_poll_fn(&memory, third_time, &polls)).value.integer,
                     33);
    assert_int_equal(polls, 3);
}

static void yield_answers_at_the_second_poll(void **state)
{
    (void)state;
    struct kn_future_yield memory;
    struct kn_outcome outcome;
    struct kn_future *future = kn_future_yield(&memory);
    assert_false(kn_local_executor_poll(&executor, future, &outcome));
    assert_true(kn_local_executor_is_woken(&executor));
    assert_true(kn_local_executor_poll(&executor, future, &outcome));
    assert_int_equal(outcome.status, KN_READY);
}

/* A value that is made at the first poll of a lazy future, after a leaf that waits. */
static struct kn_outcome make_object(void *context)
{
    return kn_ready(KN_VALUE(harness_object(context, 4)));
}

static void build_owned(struct harness *world, void *context)
{
    (void)context;
    struct kn_arena *arena = harness_arena(world);
    struct kn_future *future = KN_IN(arena, kn_future_lazy, make_object, world);
    future = KN_IN(arena, kn_future_owned, future, harness_discard, NULL);
    harness_spawn(world, KN_IN(arena, kn_future_timeout, future, KN_SECOND_NS));
}

static void check_owned(struct harness *world, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)world;
    (void)task;
    (void)context;
    assert_int_equal(((struct harness_object *)outcome.value.pointer)->number, 4);
}

static void owned_gives_back_a_value_that_nobody_takes(void **state)
{
    (void)state;
    assert_true(harness_explore(build_owned, check_owned, NULL, NULL) >= 2);
}

static void full_memory_makes_no_future(void **state)
{
    (void)state;
    struct kn_arena arena;
    uint8_t memory[4];
    struct kn_future_pending pending;
    kn_arena_init(&arena, memory, sizeof memory);
    assert_null(KN_IN(&arena, kn_future_ready, KN_VALUE(1)));
    assert_null(KN_IN(&arena, kn_future_pending));
    assert_null(KN_IN(&arena, kn_future_owned, kn_future_pending(&pending), harness_discard, NULL));
    assert_int_equal(kn_local_executor_run(&executor, NULL).status, -ENOMEM);
}

static void a_type_without_discard_has_nothing_to_give_back(void **state)
{
    (void)state;
    struct kn_future_ready memory;
    struct kn_future *future = kn_future_ready(&memory, KN_VALUE(5));
    kn_future_discard(future, KN_VALUE(5));
    kn_future_discard_outcome(future, kn_failed(-EIO));
    kn_future_drop(future);
    kn_future_drop(NULL);
    assert_null(future->type->discard);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_keep_what_they_were_made_of),
        cmocka_unit_test_setup(ready_answers_at_once, set_up),
        cmocka_unit_test_setup(pending_waits_for_ever, set_up),
        cmocka_unit_test_setup(lazy_calls_its_function_at_the_first_poll_and_not_before, set_up),
        cmocka_unit_test_setup(poll_fn_is_called_at_every_poll, set_up),
        cmocka_unit_test_setup(yield_answers_at_the_second_poll, set_up),
        cmocka_unit_test(owned_gives_back_a_value_that_nobody_takes),
        cmocka_unit_test_setup(full_memory_makes_no_future, set_up),
        cmocka_unit_test(a_type_without_discard_has_nothing_to_give_back),
    };
    return cmocka_run_group_tests_name("future", tests, NULL, NULL);
}
