/*
 * One stream of several. See stream_combine.h.
 */
#include <kernel/stream_combine.h>
#include <kernel/stream_source.h>
#include <kernel/stream_take.h>

#include "stream_interleaving.h"

/* ---- chain ---- */

static struct kn_stream *make_chain(struct harness *world)
{
    return KN_IN(harness_arena(world), kn_stream_chain, low_stream(world), high_stream(world));
}

static void chain_gives_one_stream_after_the_other(void **state)
{
    (void)state;
    CLAIM(make_chain, read_object, GIVE_BACK_AT_ONCE, 1, -EIO, 2, 3, 11, 12, -EPIPE);
    CLAIM(make_chain, read_object, GIVE_BACK_AFTER_THE_END, 1, -EIO, 2, 3, 11, 12, -EPIPE);
}

struct ranges {
    struct kn_stream_range first, second, third;
};

static void chain_is_associative_and_empty_is_neutral(void **state)
{
    (void)state;
    struct ranges r;
    struct kn_stream_chain inner, outer;
    struct kn_stream_empty empty;
    struct observed left, right, plain, before, after;
    struct kn_stream *stream =
        kn_stream_chain(&inner, kn_stream_range(&r.first, 0, 3, 1), kn_stream_range(&r.second, 10, 12, 1));
    observe_all(kn_stream_chain(&outer, stream, kn_stream_range(&r.third, 20, 24, 1)), read_integer, &left);
    stream = kn_stream_chain(&inner, kn_stream_range(&r.second, 10, 12, 1), kn_stream_range(&r.third, 20, 24, 1));
    observe_all(kn_stream_chain(&outer, kn_stream_range(&r.first, 0, 3, 1), stream), read_integer, &right);
    assert_same(&left, &right);
    assert_int_equal(left.count, 9);
    observe_all(kn_stream_range(&r.first, 0, 3, 1), read_integer, &plain);
    stream = kn_stream_range(&r.first, 0, 3, 1);
    observe_all(kn_stream_chain(&outer, kn_stream_empty(&empty), stream), read_integer, &before);
    stream = kn_stream_range(&r.first, 0, 3, 1);
    observe_all(kn_stream_chain(&outer, stream, kn_stream_empty(&empty)), read_integer, &after);
    assert_same(&plain, &before);
    assert_same(&plain, &after);
}

static void take_of_a_chain_is_a_take_of_the_first_and_of_the_rest(void **state)
{
    (void)state;
    struct ranges r;
    struct kn_stream_chain chain;
    struct kn_stream_take take, take_rest;
    struct observed whole, parts;
    for (uint64_t count = 0; count < 12; count++) {
        struct kn_stream *stream =
            kn_stream_chain(&chain, kn_stream_range(&r.first, 0, 4, 1), kn_stream_range(&r.second, 10, 15, 1));
        observe_all(kn_stream_take(&take, stream, count), read_integer, &whole);
        stream = kn_stream_take(&take, kn_stream_range(&r.first, 0, 4, 1), count);
        struct kn_stream *rest =
            kn_stream_take(&take_rest, kn_stream_range(&r.second, 10, 15, 1), count > 4 ? count - 4 : 0);
        observe_all(kn_stream_chain(&chain, stream, rest), read_integer, &parts);
        assert_same(&whole, &parts);
    }
}

/* ---- zip ---- */

static int64_t read_pair(kn_value_t value)
{
    const struct kn_stream_pair *pair = value.pointer;
    return read_object(pair->first) * 100 + read_object(pair->second);
}

static unsigned zips_ended;

/* Pairs come in order; where the failures come depends on who waits longer. */
static void is_zip_of_low_and_high(const struct observed *observed)
{
    static const int64_t pairs[] = {111, 212};
    size_t pair_count = 0;
    size_t failures[2] = {0, 0};
    for (size_t i = 0; i < observed->count; i++) {
        int64_t answer = observed->answers[i];
        if (answer < 0) {
            assert_true(answer == -EIO || answer == -EPIPE);
            assert_int_equal(failures[answer == -EPIPE]++, 0);
        } else {
            assert_int_equal(answer, pair_count < COUNT_OF(pairs) ? pairs[pair_count] : 0);
            pair_count++;
        }
    }
    if (!observed->has_ended)
        return;
    zips_ended++;
    assert_int_equal(pair_count, COUNT_OF(pairs));
    assert_int_equal(failures[0] + failures[1], 2);
}

static struct kn_stream *make_zip(struct harness *world)
{
    return KN_IN(harness_arena(world), kn_stream_zip, low_stream(world), high_stream(world));
}

static int64_t read_pair_swapped(kn_value_t value)
{
    const struct kn_stream_pair *pair = value.pointer;
    return read_object(pair->second) * 100 + read_object(pair->first);
}

static struct kn_stream *make_zip_swapped(struct harness *world)
{
    return KN_IN(harness_arena(world), kn_stream_zip, high_stream(world), low_stream(world));
}

static void zip_pairs_items_in_order_and_gives_back_one_without_a_partner(void **state)
{
    (void)state;
    zips_ended = 0;
    CLAIM_CHECKED(make_zip, read_pair, GIVE_BACK_AT_ONCE, is_zip_of_low_and_high);
    assert_true(zips_ended > 0);
    zips_ended = 0;
    CLAIM_CHECKED(make_zip_swapped, read_pair_swapped, GIVE_BACK_AT_ONCE, is_zip_of_low_and_high);
    assert_true(zips_ended > 0);
}

static int64_t read_integers(kn_value_t value)
{
    const struct kn_stream_pair *pair = value.pointer;
    return pair->first.integer * 100 + pair->second.integer;
}

static void zip_is_as_long_as_the_shorter(void **state)
{
    (void)state;
    struct ranges r;
    struct kn_stream_zip zip;
    struct observed observed;
    for (int64_t i = 0; i < 5; i++) {
        for (int64_t j = 0; j < 5; j++) {
            struct kn_stream *stream =
                kn_stream_zip(&zip, kn_stream_range(&r.first, 0, i, 1), kn_stream_range(&r.second, 10, 10 + j, 1));
            observe_all(stream, read_integers, &observed);
            assert_int_equal(observed.count, i < j ? i : j);
            for (int64_t k = 0; k < (int64_t)observed.count; k++)
                assert_int_equal(observed.answers[k], k * 100 + 10 + k);
        }
    }
}

/* ---- select, select_with_strategy ---- */

static struct kn_stream *make_select(struct harness *world)
{
    return KN_IN(harness_arena(world), kn_stream_select, low_stream(world), high_stream(world));
}

static void select_gives_the_items_of_both_as_they_come(void **state)
{
    (void)state;
    order_count = 0;
    CLAIM_CHECKED(make_select, read_object, GIVE_BACK_AT_ONCE, is_interleaving_of_two);
    CLAIM_CHECKED(make_select, read_object, GIVE_BACK_AFTER_THE_END, is_interleaving_of_two);
    assert_true(order_count > 3);
}

static struct observed of_two_ranges(struct kn_stream *(*combine)(struct kn_stream *left, struct kn_stream *right))
{
    struct ranges r;
    struct observed observed;
    observe_all(combine(kn_stream_range(&r.first, 0, 3, 1), kn_stream_range(&r.second, 10, 15, 1)), read_integer,
                &observed);
    return observed;
}

static struct kn_stream *select_both(struct kn_stream *left, struct kn_stream *right)
{
    static struct kn_stream_select memory;
    return kn_stream_select(&memory, left, right);
}

static void select_takes_turns(void **state)
{
    (void)state;
    static const int64_t expected[] = {0, 10, 1, 11, 2, 12, 13, 14};
    struct observed observed = of_two_ranges(select_both);
    assert_answers(&observed, expected, COUNT_OF(expected));
}

static struct kn_stream *make_biased(struct harness *world)
{
    struct kn_arena *arena = harness_arena(world);
    return KN_IN(arena, kn_stream_select_with_strategy, low_stream(world), high_stream(world), NULL, NULL);
}

static struct kn_stream *select_left(struct kn_stream *left, struct kn_stream *right)
{
    static struct kn_stream_select_with_strategy memory;
    return kn_stream_select_with_strategy(&memory, left, right, NULL, NULL);
}

/* Right, right, left, and so on. */
static enum kn_stream_side two_to_one(void *context)
{
    return ++*(unsigned *)context % 3 == 0 ? KN_STREAM_LEFT : KN_STREAM_RIGHT;
}

static struct kn_stream *select_two_to_one(struct kn_stream *left, struct kn_stream *right)
{
    static struct kn_stream_select_with_strategy memory;
    static unsigned asked;
    asked = 0;
    return kn_stream_select_with_strategy(&memory, left, right, two_to_one, &asked);
}

static void select_with_strategy_asks_the_side_first_that_its_function_says(void **state)
{
    (void)state;
    static const int64_t biased[] = {0, 1, 2, 10, 11, 12, 13, 14};
    static const int64_t weighted[] = {10, 11, 0, 12, 13, 1, 14, 2};
    struct observed observed = of_two_ranges(select_left);
    assert_answers(&observed, biased, COUNT_OF(biased));
    observed = of_two_ranges(select_two_to_one);
    assert_answers(&observed, weighted, COUNT_OF(weighted));
    order_count = 0;
    CLAIM_CHECKED(make_biased, read_object, GIVE_BACK_AT_ONCE, is_interleaving_of_two);
    CLAIM_CHECKED(make_biased, read_object, GIVE_BACK_AFTER_THE_END, is_interleaving_of_two);
    assert_true(order_count > 1);
}

/* ---- select_all ---- */

static struct kn_stream *inputs[3];

static struct kn_stream *make_select_all(struct harness *world)
{
    inputs[0] = low_stream(world);
    inputs[1] = high_stream(world);
    inputs[2] = top_stream(world);
    return KN_IN(harness_arena(world), kn_stream_select_all, inputs, 3);
}

static struct kn_stream *make_select_all_of_none(struct harness *world)
{
    return KN_IN(harness_arena(world), kn_stream_select_all, NULL, 0);
}

static void select_all_gives_the_items_of_all_as_they_come(void **state)
{
    (void)state;
    order_count = 0;
    CLAIM_CHECKED(make_select_all, read_object, GIVE_BACK_AT_ONCE, is_interleaving_of_three);
    CLAIM_CHECKED(make_select_all, read_object, GIVE_BACK_AFTER_THE_END, is_interleaving_of_three);
    assert_true(order_count > 10);
    explore_claim((struct claim){.make = make_select_all_of_none, .read = read_object});
}

static void select_all_takes_turns(void **state)
{
    (void)state;
    static const int64_t expected[] = {0, 10, 20, 1, 11, 21, 12, 22, 13};
    struct ranges r;
    struct kn_stream_select_all memory;
    struct observed observed;
    inputs[0] = kn_stream_range(&r.first, 0, 2, 1);
    inputs[1] = kn_stream_range(&r.second, 10, 14, 1);
    inputs[2] = kn_stream_range(&r.third, 20, 23, 1);
    observe_all(kn_stream_select_all(&memory, inputs, 3), read_integer, &observed);
    assert_answers(&observed, expected, COUNT_OF(expected));
}

/* ---- items of streams that are not alike ---- */

static struct kn_stream *make_chain_of_both(struct harness *world)
{
    return KN_IN(harness_arena(world), kn_stream_chain, low_stream(world), plain_stream(world));
}

static struct kn_stream *make_select_of_both(struct harness *world)
{
    return KN_IN(harness_arena(world), kn_stream_select, low_stream(world), plain_stream(world));
}

static struct kn_stream *make_strategy_of_both(struct harness *world)
{
    struct kn_arena *arena = harness_arena(world);
    return KN_IN(arena, kn_stream_select_with_strategy, low_stream(world), plain_stream(world), NULL, NULL);
}

static struct kn_stream *make_select_all_of_both(struct harness *world)
{
    inputs[0] = low_stream(world);
    inputs[1] = plain_stream(world);
    return KN_IN(harness_arena(world), kn_stream_select_all, inputs, 2);
}

/* Who gives items back is found in that objects are freed, and numbers are not. */
static void an_item_goes_back_to_the_stream_that_answered_last(void **state)
{
    (void)state;
    CLAIM(make_chain_of_both, read_either, GIVE_BACK_AT_ONCE, 1, -EIO, 2, 3, 11, 12);
    static observer_make *const makes[] = {make_select_of_both, make_strategy_of_both, make_select_all_of_both};
    for (size_t i = 0; i < COUNT_OF(makes); i++) {
        order_count = 0;
        CLAIM_CHECKED(makes[i], read_either, GIVE_BACK_AT_ONCE, is_interleaving_of_low_and_numbers);
        assert_true(order_count > 1);
    }
}

/* ---- in general ---- */

static void what_is_made_of_nothing_is_null_and_drops_the_rest(void **state)
{
    (void)state;
    union {
        struct kn_stream_chain chain;
        struct kn_stream_zip zip;
        struct kn_stream_select select;
        struct kn_stream_select_with_strategy strategy;
        struct kn_stream_select_all select_all;
    } memory;
    struct kn_stream_empty empty;
    ASSERT_REFUSES(kn_stream_chain(NULL, victim(), kn_stream_empty(&empty)));
    ASSERT_REFUSES(kn_stream_chain(&memory.chain, NULL, victim()));
    ASSERT_REFUSES(kn_stream_chain(&memory.chain, victim(), NULL));
    ASSERT_REFUSES(kn_stream_zip(NULL, kn_stream_empty(&empty), victim()));
    ASSERT_REFUSES(kn_stream_zip(&memory.zip, NULL, victim()));
    ASSERT_REFUSES(kn_stream_zip(&memory.zip, victim(), NULL));
    ASSERT_REFUSES(kn_stream_select(NULL, kn_stream_empty(&empty), victim()));
    ASSERT_REFUSES(kn_stream_select(&memory.select, NULL, victim()));
    ASSERT_REFUSES(kn_stream_select(&memory.select, victim(), NULL));
    ASSERT_REFUSES(kn_stream_select_with_strategy(NULL, kn_stream_empty(&empty), victim(), NULL, NULL));
    ASSERT_REFUSES(kn_stream_select_with_strategy(&memory.strategy, NULL, victim(), NULL, NULL));
    ASSERT_REFUSES(kn_stream_select_with_strategy(&memory.strategy, victim(), NULL, NULL, NULL));
    inputs[0] = victim();
    inputs[1] = NULL;
    ASSERT_REFUSES(kn_stream_select_all(&memory.select_all, inputs, 2));
    inputs[1] = victim();
    inputs[0] = kn_stream_empty(&empty);
    ASSERT_REFUSES(kn_stream_select_all(NULL, inputs, 2));
    assert_null(kn_stream_select_all(&memory.select_all, NULL, 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chain_gives_one_stream_after_the_other),
        cmocka_unit_test(chain_is_associative_and_empty_is_neutral),
        cmocka_unit_test(take_of_a_chain_is_a_take_of_the_first_and_of_the_rest),
        cmocka_unit_test(zip_pairs_items_in_order_and_gives_back_one_without_a_partner),
        cmocka_unit_test(zip_is_as_long_as_the_shorter),
        cmocka_unit_test(select_gives_the_items_of_both_as_they_come),
        cmocka_unit_test(select_takes_turns),
        cmocka_unit_test(select_with_strategy_asks_the_side_first_that_its_function_says),
        cmocka_unit_test(select_all_gives_the_items_of_all_as_they_come),
        cmocka_unit_test(select_all_takes_turns),
        cmocka_unit_test(an_item_goes_back_to_the_stream_that_answered_last),
        cmocka_unit_test(what_is_made_of_nothing_is_null_and_drops_the_rest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
