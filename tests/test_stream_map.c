/*
 * Streams of the items of another, changed or chosen. See stream_map.h.
 */
#include <kernel/stream_map.h>
#include <kernel/stream_source.h>

#include "stream_observer.h"

static const struct harness_item mixed[] = {ITEM(1, 1), ITEM(0, 2), FAILURE(1, -EIO), ITEM(1, 3), ITEM(0, 4)};

static struct kn_stream *mixed_stream(struct harness *world)
{
    return harness_owned_stream(world, mixed, COUNT_OF(mixed));
}

/* For what gives no items back by itself. */
static struct kn_stream *owned(struct harness *world, struct kn_stream *stream)
{
    return KN_IN(harness_arena(world), kn_stream_owned, stream, harness_discard, NULL);
}

/* ---- map, map_err ---- */

static kn_value_t times_ten(kn_value_t value, void *context)
{
    (void)context;
    struct harness_object *object = value.pointer;
    object->number *= 10;
    return value;
}

static struct kn_stream *make_map(struct harness *world)
{
    return owned(world, KN_IN(harness_arena(world), kn_stream_map, mixed_stream(world), times_ten, NULL));
}

static void map_applies_its_function_to_each_item(void **state)
{
    (void)state;
    CLAIM(make_map, read_object, GIVE_BACK_AT_ONCE, 10, 20, -EIO, 30, 40);
    CLAIM(make_map, read_object, GIVE_BACK_AFTER_THE_END, 10, 20, -EIO, 30, 40);
}

static int next_error(int error, void *context)
{
    (void)context;
    return error - 1;
}

static struct kn_stream *make_map_err(struct harness *world)
{
    return KN_IN(harness_arena(world), kn_stream_map_err, mixed_stream(world), next_error, NULL);
}

static void map_err_applies_its_function_to_each_error(void **state)
{
    (void)state;
    CLAIM(make_map_err, read_object, GIVE_BACK_AT_ONCE, 1, 2, -EIO - 1, 3, 4);
    CLAIM(make_map_err, read_object, GIVE_BACK_AFTER_THE_END, 1, 2, -EIO - 1, 3, 4);
}

/* ---- laws, of 0 .. 19 ---- */

KN_MAP_FUNCTION(same, int64_t, int64_t, void *)(int64_t number, void *context)
{
    (void)context;
    return number;
}

KN_MAP_FUNCTION(square, int64_t, int64_t, void *)(int64_t number, void *context)
{
    (void)context;
    return number * number;
}

KN_MAP_FUNCTION(plus_seven, int64_t, int64_t, void *)(int64_t number, void *context)
{
    (void)context;
    return number + 7;
}

static kn_value_t square_then_plus_seven(kn_value_t value, void *context)
{
    return plus_seven(square(value, context), context);
}

KN_PREDICATE(anything, int64_t, void *)(int64_t number, void *context)
{
    (void)number;
    (void)context;
    return true;
}

KN_PREDICATE(is_even, int64_t, void *)(int64_t number, void *context)
{
    (void)context;
    return number % 2 == 0;
}

static void map_keeps_identity_and_composition(void **state)
{
    (void)state;
    struct kn_stream_range range;
    struct kn_stream_map first, second;
    struct observed plain, identity, twice, composed;
    observe_all(kn_stream_range(&range, 0, 20, 1), read_integer, &plain);
    observe_all(kn_stream_map(&first, kn_stream_range(&range, 0, 20, 1), same, NULL), read_integer, &identity);
    assert_same(&plain, &identity);
    struct kn_stream *stream = kn_stream_map(&first, kn_stream_range(&range, 0, 20, 1), square, NULL);
    observe_all(kn_stream_map(&second, stream, plus_seven, NULL), read_integer, &twice);
    stream = kn_stream_range(&range, 0, 20, 1);
    observe_all(kn_stream_map(&first, stream, square_then_plus_seven, NULL), read_integer, &composed);
    assert_same(&twice, &composed);
    assert_int_equal(composed.answers[19], 19 * 19 + 7);
}

static void filter_of_anything_is_identity_and_twice_is_once(void **state)
{
    (void)state;
    struct kn_stream_range range;
    struct kn_stream_filter first, second;
    struct observed plain, filtered, once, twice;
    observe_all(kn_stream_range(&range, 0, 20, 1), read_integer, &plain);
    observe_all(kn_stream_filter(&first, kn_stream_range(&range, 0, 20, 1), anything, NULL), read_integer, &filtered);
    assert_same(&plain, &filtered);
    observe_all(kn_stream_filter(&first, kn_stream_range(&range, 0, 20, 1), is_even, NULL), read_integer, &once);
    struct kn_stream *stream = kn_stream_filter(&first, kn_stream_range(&range, 0, 20, 1), is_even, NULL);
    observe_all(kn_stream_filter(&second, stream, is_even, NULL), read_integer, &twice);
    assert_same(&once, &twice);
    assert_int_equal(once.count, 10);
}

/* ---- filter, filter_map ---- */

static bool object_is_even(kn_value_t value, void *context)
{
    (void)context;
    return read_object(value) % 2 == 0;
}

static struct kn_stream *make_filter(struct harness *world)
{
    return KN_IN(harness_arena(world), kn_stream_filter, mixed_stream(world), object_is_even, NULL);
}

static void filter_gives_back_what_it_rejects(void **state)
{
    (void)state;
    CLAIM(make_filter, read_object, GIVE_BACK_AT_ONCE, 2, -EIO, 4);
    CLAIM(make_filter, read_object, GIVE_BACK_AFTER_THE_END, 2, -EIO, 4);
}

static bool nothing(kn_value_t value, void *context)
{
    (void)value;
    ++*(unsigned *)context;
    return false;
}

static void filter_lets_others_run_however_much_it_rejects(void **state)
{
    (void)state;
    static struct kn_local_executor local;
    struct kn_stream_repeat repeat;
    struct kn_stream_filter filter;
    unsigned rejected = 0;
    kn_local_executor_init(&local, 0);
    struct kn_stream *stream = kn_stream_filter(&filter, kn_stream_repeat(&repeat, KN_VALUE(1)), nothing, &rejected);
    struct kn_context context = kn_local_executor_context(&local);
    assert_int_equal(kn_stream_poll(stream, &context).status, KN_PENDING);
    assert_true(kn_local_executor_is_woken(&local));
    assert_in_range(rejected, KN_EXECUTOR_BUDGET, KN_EXECUTOR_BUDGET + 1);
    kn_stream_drop(stream);
}

/* Leaves out 1, fails for 3, multiplies the others. */
static struct kn_outcome choose(kn_value_t value, void *context)
{
    switch (read_object(value)) {
    case 1:
        return kn_ended();
    case 3:
        return kn_failed(-EPROTO);
    default:
        return kn_ready(times_ten(value, context));
    }
}

static struct kn_stream *make_filter_map(struct harness *world)
{
    return owned(world, KN_IN(harness_arena(world), kn_stream_filter_map, mixed_stream(world), choose, NULL));
}

static void filter_map_keeps_what_its_function_makes_and_gives_back_the_rest(void **state)
{
    (void)state;
    CLAIM(make_filter_map, read_object, GIVE_BACK_AT_ONCE, 20, -EIO, -EPROTO, 40);
    CLAIM(make_filter_map, read_object, GIVE_BACK_AFTER_THE_END, 20, -EIO, -EPROTO, 40);
}

static struct kn_outcome leave_out(kn_value_t value, void *context)
{
    (void)value;
    ++*(unsigned *)context;
    return kn_ended();
}

static void filter_map_lets_others_run_however_much_it_leaves_out(void **state)
{
    (void)state;
    static struct kn_local_executor local;
    struct kn_stream_repeat repeat;
    struct kn_stream_filter_map filter;
    unsigned left_out = 0;
    kn_local_executor_init(&local, 0);
    struct kn_stream *stream = kn_stream_repeat(&repeat, KN_VALUE(1));
    stream = kn_stream_filter_map(&filter, stream, leave_out, &left_out);
    struct kn_context context = kn_local_executor_context(&local);
    assert_int_equal(kn_stream_poll(stream, &context).status, KN_PENDING);
    assert_true(kn_local_executor_is_woken(&local));
    assert_in_range(left_out, KN_EXECUTOR_BUDGET, KN_EXECUTOR_BUDGET + 1);
    kn_stream_drop(stream);
}

/* ---- inspect, inspect_err, enumerate ---- */

static struct observed seen;

static void see(kn_value_t value, void *context)
{
    (void)context;
    observe(&seen, kn_ready(value), read_object);
}

static void see_error(int error, void *context)
{
    (void)context;
    observe(&seen, kn_failed(error), read_object);
}

static struct kn_stream *make_inspect(struct harness *world)
{
    seen.count = 0;
    return KN_IN(harness_arena(world), kn_stream_inspect, mixed_stream(world), see, NULL);
}

static struct kn_stream *make_inspect_err(struct harness *world)
{
    seen.count = 0;
    return KN_IN(harness_arena(world), kn_stream_inspect_err, mixed_stream(world), see_error, NULL);
}

static struct kn_stream *make_inspect_both(struct harness *world)
{
    struct kn_stream *stream = make_inspect(world);
    return KN_IN(harness_arena(world), kn_stream_inspect_err, stream, see_error, NULL);
}

/* Of an execution of make_inspect_both. */
static void saw_what_came_out(const struct observed *observed)
{
    assert_int_equal(seen.count, observed->count);
    assert_memory_equal(seen.answers, observed->answers, seen.count * sizeof seen.answers[0]);
}

static void inspect_and_inspect_err_see_what_passes(void **state)
{
    (void)state;
    CLAIM(make_inspect, read_object, GIVE_BACK_AT_ONCE, 1, 2, -EIO, 3, 4);
    CLAIM(make_inspect_err, read_object, GIVE_BACK_AFTER_THE_END, 1, 2, -EIO, 3, 4);
    CLAIM_CHECKED(make_inspect_both, read_object, GIVE_BACK_AT_ONCE, saw_what_came_out);
    CLAIM_CHECKED(make_inspect_both, read_object, GIVE_BACK_AFTER_THE_END, saw_what_came_out);
}

static int64_t read_numbered(kn_value_t value)
{
    const struct kn_stream_numbered *item = value.pointer;
    return (int64_t)item->index * 100 + read_object(item->value);
}

static struct kn_stream *make_enumerate(struct harness *world)
{
    return KN_IN(harness_arena(world), kn_stream_enumerate, mixed_stream(world));
}

static void enumerate_counts_items_but_not_failures(void **state)
{
    (void)state;
    CLAIM(make_enumerate, read_numbered, GIVE_BACK_AT_ONCE, 1, 102, -EIO, 203, 304);
}

/* ---- then, and_then, or_else ---- */

static const struct harness_item few[] = {ITEM(1, 1), FAILURE(0, -EIO), ITEM(1, 2), ITEM(0, 3)};

static struct kn_stream *few_stream(struct harness *world)
{
    return harness_owned_stream(world, few, COUNT_OF(few));
}

/* Of 3 a failure, of others their tenfold; later. */
static struct kn_future *work(kn_value_t value, void *context)
{
    struct harness *world = context;
    struct harness_object *object = value.pointer;
    int64_t number = object->number;
    harness_object_free(object);
    if (number == 3)
        return harness_future(world, 1, kn_failed(-EPROTO));
    return harness_owned_future(world, 1, number * 10);
}

static struct kn_future *rescue(int error, void *context)
{
    return harness_owned_future(context, 1, INT64_C(-1000) * error);
}

static struct kn_future *work_or_rescue(struct kn_outcome outcome, void *context)
{
    return outcome.status == KN_READY ? work(outcome.value, context) : rescue((int)outcome.status, context);
}

static struct kn_stream *make_then(struct harness *world)
{
    return owned(world, KN_IN(harness_arena(world), kn_stream_then, few_stream(world), work_or_rescue, world));
}

static struct kn_stream *make_and_then(struct harness *world)
{
    return owned(world, KN_IN(harness_arena(world), kn_stream_and_then, few_stream(world), work, world));
}

static struct kn_stream *make_or_else(struct harness *world)
{
    return KN_IN(harness_arena(world), kn_stream_or_else, few_stream(world), rescue, world);
}

static void then_goes_on_with_items_and_failures(void **state)
{
    (void)state;
    CLAIM(make_then, read_object, GIVE_BACK_AT_ONCE, 10, EIO * 1000, 20, -EPROTO);
    CLAIM(make_then, read_object, GIVE_BACK_AFTER_THE_END, 10, EIO * 1000, 20, -EPROTO);
}

static void and_then_goes_on_with_items_one_after_the_other(void **state)
{
    (void)state;
    CLAIM(make_and_then, read_object, GIVE_BACK_AT_ONCE, 10, -EIO, 20, -EPROTO);
    CLAIM(make_and_then, read_object, GIVE_BACK_AFTER_THE_END, 10, -EIO, 20, -EPROTO);
}

static void or_else_goes_on_with_failures(void **state)
{
    (void)state;
    CLAIM(make_or_else, read_object, GIVE_BACK_AT_ONCE, 1, EIO * 1000, 2, 3);
    CLAIM(make_or_else, read_object, GIVE_BACK_AFTER_THE_END, 1, EIO * 1000, 2, 3);
}

/* No memory for the future of 2, an end for that of 3. */
static struct kn_future *refuse(kn_value_t value, void *context)
{
    struct harness *world = context;
    struct harness_object *object = value.pointer;
    int64_t number = object->number;
    harness_object_free(object);
    if (number == 3)
        return harness_future(world, 1, kn_ended());
    return number == 2 ? NULL : harness_owned_future(world, 0, number);
}

static struct kn_stream *make_refused(struct harness *world)
{
    return owned(world, KN_IN(harness_arena(world), kn_stream_and_then, mixed_stream(world), refuse, world));
}

static void a_future_that_is_not_there_fails_and_one_that_ends_ends_the_stream(void **state)
{
    (void)state;
    CLAIM(make_refused, read_object, GIVE_BACK_AT_ONCE, 1, -ENOMEM, -EIO);
}

static struct kn_future *hand_out(kn_value_t value, void *context)
{
    (void)value;
    return context;
}

static void and_then_drops_its_future_once(void **state)
{
    (void)state;
    struct kn_stream_once once;
    struct kn_stream_and_then memory;
    struct dropped_future future;
    struct kn_stream *stream = kn_stream_once(&once, KN_VALUE(1));
    poll_and_drop_twice(kn_stream_and_then(&memory, stream, hand_out, dropped_future(&future)));
    assert_int_equal(future.drops, 1);
}

/* ---- in general ---- */

static void what_is_made_of_nothing_is_null_and_drops_the_rest(void **state)
{
    (void)state;
    union {
        struct kn_stream_map map;
        struct kn_stream_map_err map_err;
        struct kn_stream_filter filter;
        struct kn_stream_filter_map filter_map;
        struct kn_stream_inspect inspect;
        struct kn_stream_inspect_err inspect_err;
        struct kn_stream_enumerate enumerate;
        struct kn_stream_then then;
        struct kn_stream_and_then and_then;
        struct kn_stream_or_else or_else;
    } memory;
    ASSERT_REFUSES(kn_stream_map(NULL, victim(), times_ten, NULL));
    assert_null(kn_stream_map(&memory.map, NULL, times_ten, NULL));
    ASSERT_REFUSES(kn_stream_map_err(NULL, victim(), next_error, NULL));
    assert_null(kn_stream_map_err(&memory.map_err, NULL, next_error, NULL));
    ASSERT_REFUSES(kn_stream_filter(NULL, victim(), object_is_even, NULL));
    assert_null(kn_stream_filter(&memory.filter, NULL, object_is_even, NULL));
    ASSERT_REFUSES(kn_stream_filter_map(NULL, victim(), choose, NULL));
    assert_null(kn_stream_filter_map(&memory.filter_map, NULL, choose, NULL));
    ASSERT_REFUSES(kn_stream_inspect(NULL, victim(), see, NULL));
    assert_null(kn_stream_inspect(&memory.inspect, NULL, see, NULL));
    ASSERT_REFUSES(kn_stream_inspect_err(NULL, victim(), see_error, NULL));
    assert_null(kn_stream_inspect_err(&memory.inspect_err, NULL, see_error, NULL));
    ASSERT_REFUSES(kn_stream_enumerate(NULL, victim()));
    assert_null(kn_stream_enumerate(&memory.enumerate, NULL));
    ASSERT_REFUSES(kn_stream_then(NULL, victim(), work_or_rescue, NULL));
    assert_null(kn_stream_then(&memory.then, NULL, work_or_rescue, NULL));
    ASSERT_REFUSES(kn_stream_and_then(NULL, victim(), work, NULL));
    assert_null(kn_stream_and_then(&memory.and_then, NULL, work, NULL));
    ASSERT_REFUSES(kn_stream_or_else(NULL, victim(), rescue, NULL));
    assert_null(kn_stream_or_else(&memory.or_else, NULL, rescue, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(map_applies_its_function_to_each_item),
        cmocka_unit_test(map_err_applies_its_function_to_each_error),
        cmocka_unit_test(map_keeps_identity_and_composition),
        cmocka_unit_test(filter_of_anything_is_identity_and_twice_is_once),
        cmocka_unit_test(filter_gives_back_what_it_rejects),
        cmocka_unit_test(filter_lets_others_run_however_much_it_rejects),
        cmocka_unit_test(filter_map_keeps_what_its_function_makes_and_gives_back_the_rest),
        cmocka_unit_test(filter_map_lets_others_run_however_much_it_leaves_out),
        cmocka_unit_test(inspect_and_inspect_err_see_what_passes),
        cmocka_unit_test(enumerate_counts_items_but_not_failures),
        cmocka_unit_test(then_goes_on_with_items_and_failures),
        cmocka_unit_test(and_then_goes_on_with_items_one_after_the_other),
        cmocka_unit_test(and_then_drops_its_future_once),
        cmocka_unit_test(or_else_goes_on_with_failures),
        cmocka_unit_test(a_future_that_is_not_there_fails_and_one_that_ends_ends_the_stream),
        cmocka_unit_test(what_is_made_of_nothing_is_null_and_drops_the_rest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
