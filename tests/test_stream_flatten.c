/*
 * Streams of streams. See stream_combine.h.
 */
#include <kernel/stream_combine.h>
#include <kernel/stream_map.h>
#include <kernel/stream_source.h>

#include "stream_interleaving.h"

struct ranges {
    struct kn_stream_range first, second, third;
};

/* ---- flatten, flat_map ---- */

/* Makes the streams low, high and top of 0, 1 and 2; of 3 one without items; of 4 none. */
static struct kn_stream *open_stream(kn_value_t value, void *context)
{
    struct harness *world = context;
    switch (value.integer) {
    case 0:
        return low_stream(world);
    case 1:
        return high_stream(world);
    case 2:
        return top_stream(world);
    case 3:
        return harness_owned_stream(world, NULL, 0);
    default:
        return NULL;
    }
}

static kn_value_t open_as_value(kn_value_t value, void *context)
{
    return KN_VALUE(open_stream(value, context));
}

static const struct harness_item openings[] = {ITEM(1, 3), ITEM(0, 2), FAILURE(0, -EPROTO),
                                               ITEM(1, 4), ITEM(0, 0), ITEM(1, 3)};

static struct kn_stream *make_flatten(struct harness *world)
{
    struct kn_arena *arena = harness_arena(world);
    struct kn_stream *stream = harness_stream(world, openings, COUNT_OF(openings));
    stream = KN_IN(arena, kn_stream_map, stream, open_as_value, world);
    return KN_IN(arena, kn_stream_flatten, stream);
}

static struct kn_stream *make_flat_map(struct harness *world)
{
    struct kn_stream *stream = harness_stream(world, openings, COUNT_OF(openings));
    return KN_IN(harness_arena(world), kn_stream_flat_map, stream, open_stream, world);
}

static void flatten_and_flat_map_give_the_items_of_each_stream_in_turn(void **state)
{
    (void)state;
    CLAIM(make_flatten, read_object, GIVE_BACK_AT_ONCE, 21, 22, -EPROTO, -ENOMEM, 1, -EIO, 2, 3);
    CLAIM(make_flatten, read_object, GIVE_BACK_AFTER_THE_END, 21, 22, -EPROTO, -ENOMEM, 1, -EIO, 2, 3);
    CLAIM(make_flat_map, read_object, GIVE_BACK_AT_ONCE, 21, 22, -EPROTO, -ENOMEM, 1, -EIO, 2, 3);
    CLAIM(make_flat_map, read_object, GIVE_BACK_AFTER_THE_END, 21, 22, -EPROTO, -ENOMEM, 1, -EIO, 2, 3);
}

static struct kn_stream *open_once(kn_value_t value, void *context)
{
    return kn_stream_once(context, value);
}

static struct kn_stream *open_empty(kn_value_t value, void *context)
{
    (void)value;
    return kn_stream_empty(context);
}

static void flatten_of_once_is_identity(void **state)
{
    (void)state;
    struct kn_stream_range range;
    struct kn_stream_once outer, inner;
    struct kn_stream_flatten flatten;
    struct kn_stream_flat_map flat_map;
    struct observed plain, of_once, each_once;
    observe_all(kn_stream_range(&range, 0, 20, 1), read_integer, &plain);
    struct kn_stream *stream = kn_stream_once(&outer, KN_VALUE(kn_stream_range(&range, 0, 20, 1)));
    observe_all(kn_stream_flatten(&flatten, stream), read_integer, &of_once);
    assert_same(&plain, &of_once);
    stream = kn_stream_range(&range, 0, 20, 1);
    observe_all(kn_stream_flat_map(&flat_map, stream, open_once, &inner), read_integer, &each_once);
    assert_same(&plain, &each_once);
}

/* Whether a poll of a stream that never has an item comes back. */
static void assert_lets_others_run(struct kn_stream *stream)
{
    static struct kn_local_executor local;
    kn_local_executor_init(&local, 0);
    struct kn_context context = kn_local_executor_context(&local);
    assert_int_equal(kn_stream_poll(stream, &context).status, KN_PENDING);
    assert_true(kn_local_executor_is_woken(&local));
    kn_stream_drop(stream);
}

static void streams_without_items_let_others_run(void **state)
{
    (void)state;
    struct kn_stream_repeat repeat;
    struct kn_stream_empty empty;
    struct kn_stream_flat_map flat_map;
    assert_lets_others_run(kn_stream_flat_map(&flat_map, kn_stream_repeat(&repeat, KN_NOTHING), open_empty, &empty));
    struct kn_stream_flatten_unordered unordered;
    struct kn_stream *slots[1];
    struct kn_stream *stream = kn_stream_repeat(&repeat, KN_VALUE(kn_stream_empty(&empty)));
    assert_lets_others_run(kn_stream_flatten_unordered(&unordered, stream, slots, 1));
}

/* ---- flatten_unordered ---- */

static struct kn_stream *slots[3];
static const struct harness_item low_and_high[] = {ITEM(0, 0), ITEM(1, 1)};
static const struct harness_item all_three[] = {ITEM(0, 3), ITEM(0, 0), ITEM(0, 1), ITEM(0, 2)};

static struct kn_stream *flatten_unordered(struct harness *world, const struct harness_item *items, size_t count,
                                           size_t slot_count)
{
    struct kn_arena *arena = harness_arena(world);
    struct kn_stream *stream = harness_stream(world, items, count);
    stream = KN_IN(arena, kn_stream_map, stream, open_as_value, world);
    return KN_IN(arena, kn_stream_flatten_unordered, stream, slots, slot_count);
}

static struct kn_stream *make_unordered_of_two(struct harness *world)
{
    return flatten_unordered(world, low_and_high, COUNT_OF(low_and_high), 2);
}

static struct kn_stream *make_unordered_of_three_by_two(struct harness *world)
{
    return flatten_unordered(world, all_three, COUNT_OF(all_three), 2);
}

static struct kn_stream *make_unordered_one_by_one(struct harness *world)
{
    return flatten_unordered(world, openings, COUNT_OF(openings), 1);
}

static void flatten_unordered_gives_the_items_of_its_streams_as_they_come(void **state)
{
    (void)state;
    order_count = 0;
    CLAIM_CHECKED(make_unordered_of_two, read_object, GIVE_BACK_AT_ONCE, is_interleaving_of_two);
    CLAIM_CHECKED(make_unordered_of_two, read_object, GIVE_BACK_AFTER_THE_END, is_interleaving_of_two);
    assert_true(order_count > 3);
    CLAIM_CHECKED(make_unordered_of_three_by_two, read_object, GIVE_BACK_AT_ONCE, is_interleaving_of_three);
}

static void flatten_unordered_with_one_slot_is_flatten(void **state)
{
    (void)state;
    CLAIM(make_unordered_one_by_one, read_object, GIVE_BACK_AT_ONCE, 21, 22, -EPROTO, -ENOMEM, 1, -EIO, 2, 3);
    CLAIM(make_unordered_one_by_one, read_object, GIVE_BACK_AFTER_THE_END, 21, 22, -EPROTO, -ENOMEM, 1, -EIO, 2, 3);
}

static void flatten_unordered_opens_as_many_streams_as_it_has_slots(void **state)
{
    (void)state;
    /* The third is not asked before one of the others has ended. */
    static const int64_t expected[] = {0, 10, 1, 11, 2, 12, 20, 21};
    struct ranges r;
    struct kn_stream_iter_values iter;
    struct kn_stream_flatten_unordered memory;
    struct observed observed;
    const kn_value_t streams[] = {KN_VALUE(kn_stream_range(&r.first, 0, 3, 1)),
                                  KN_VALUE(kn_stream_range(&r.second, 10, 13, 1)),
                                  KN_VALUE(kn_stream_range(&r.third, 20, 22, 1))};
    struct kn_stream *stream = kn_stream_iter_values(&iter, streams, COUNT_OF(streams));
    observe_all(kn_stream_flatten_unordered(&memory, stream, slots, 2), read_integer, &observed);
    assert_answers(&observed, expected, COUNT_OF(expected));
}

static void streams_of_streams_drop_each_once(void **state)
{
    (void)state;
    struct kn_stream_once once;
    struct kn_stream_flatten flatten;
    poll_and_drop_twice(kn_stream_flatten(&flatten, kn_stream_once(&once, KN_VALUE(victim()))));
    assert_int_equal(the_victim.drops, 1);
    struct kn_stream_flatten_unordered unordered;
    struct kn_stream *stream = kn_stream_once(&once, KN_VALUE(victim()));
    poll_and_drop_twice(kn_stream_flatten_unordered(&unordered, stream, slots, 2));
    assert_int_equal(the_victim.drops, 1);
}

/* ---- items of streams that are not alike ---- */

static kn_value_t open_either(kn_value_t value, void *context)
{
    return KN_VALUE(value.integer == 0 ? low_stream(context) : plain_stream(context));
}

static struct kn_stream *streams_of_both(struct harness *world)
{
    struct kn_stream *stream = harness_stream(world, low_and_high, COUNT_OF(low_and_high));
    return KN_IN(harness_arena(world), kn_stream_map, stream, open_either, world);
}

static struct kn_stream *make_flatten_of_both(struct harness *world)
{
    return KN_IN(harness_arena(world), kn_stream_flatten, streams_of_both(world));
}

static struct kn_stream *make_unordered_of_both(struct harness *world)
{
    return KN_IN(harness_arena(world), kn_stream_flatten_unordered, streams_of_both(world), slots, 2);
}

/* Who gives items back is found in that objects are freed, and numbers are not. */
static void an_item_goes_back_to_the_stream_that_answered_last(void **state)
{
    (void)state;
    CLAIM(make_flatten_of_both, read_either, GIVE_BACK_AT_ONCE, 1, -EIO, 2, 3, 11, 12);
    order_count = 0;
    CLAIM_CHECKED(make_unordered_of_both, read_either, GIVE_BACK_AT_ONCE, is_interleaving_of_low_and_numbers);
    assert_true(order_count > 1);
}

/* ---- in general ---- */

static void what_is_made_of_nothing_is_null_and_drops_the_rest(void **state)
{
    (void)state;
    union {
        struct kn_stream_flatten flatten;
        struct kn_stream_flat_map flat_map;
        struct kn_stream_flatten_unordered unordered;
    } memory;
    ASSERT_REFUSES(kn_stream_flatten(NULL, victim()));
    assert_null(kn_stream_flatten(&memory.flatten, NULL));
    ASSERT_REFUSES(kn_stream_flat_map(NULL, victim(), open_once, NULL));
    assert_null(kn_stream_flat_map(&memory.flat_map, NULL, open_once, NULL));
    ASSERT_REFUSES(kn_stream_flatten_unordered(NULL, victim(), slots, 1));
    ASSERT_REFUSES(kn_stream_flatten_unordered(&memory.unordered, victim(), NULL, 1));
    ASSERT_REFUSES(kn_stream_flatten_unordered(&memory.unordered, victim(), slots, 0));
    assert_null(kn_stream_flatten_unordered(&memory.unordered, NULL, slots, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flatten_and_flat_map_give_the_items_of_each_stream_in_turn),
        cmocka_unit_test(flatten_of_once_is_identity),
        cmocka_unit_test(streams_without_items_let_others_run),
        cmocka_unit_test(flatten_unordered_gives_the_items_of_its_streams_as_they_come),
        cmocka_unit_test(flatten_unordered_with_one_slot_is_flatten),
        cmocka_unit_test(flatten_unordered_opens_as_many_streams_as_it_has_slots),
        cmocka_unit_test(streams_of_streams_drop_each_once),
        cmocka_unit_test(an_item_goes_back_to_the_stream_that_answered_last),
        cmocka_unit_test(what_is_made_of_nothing_is_null_and_drops_the_rest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
