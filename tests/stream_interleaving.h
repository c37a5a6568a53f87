/*
 * Three streams of owned items, one of numbers, and what may come of them at once: each in its order, however they are
 * mixed. For the tests of what brings several streams together.
 */
#ifndef STREAM_INTERLEAVING_H
#define STREAM_INTERLEAVING_H

#include "stream_observer.h"

static const struct harness_item low[] = {ITEM(1, 1), FAILURE(0, -EIO), ITEM(1, 2), ITEM(0, 3)};
static const struct harness_item high[] = {ITEM(0, 11), ITEM(1, 12), FAILURE(0, -EPIPE)};
static const struct harness_item top[] = {ITEM(1, 21), ITEM(0, 22)};

static inline struct kn_stream *low_stream(struct harness *world)
{
    return harness_owned_stream(world, low, COUNT_OF(low));
}

static inline struct kn_stream *high_stream(struct harness *world)
{
    return harness_owned_stream(world, high, COUNT_OF(high));
}

static inline struct kn_stream *top_stream(struct harness *world)
{
    return harness_owned_stream(world, top, COUNT_OF(top));
}

/* Which of the three streams an answer is of. */
static inline unsigned origin(int64_t answer)
{
    if (answer == -EIO || (answer > 0 && answer < 10))
        return 0;
    return answer == -EPIPE || (answer > 10 && answer < 20) ? 1 : 2;
}

static const struct {
    const struct harness_item *items;
    size_t count;
} origins[] = {{low, COUNT_OF(low)}, {high, COUNT_OF(high)}, {top, COUNT_OF(top)}};

static inline int64_t answer_of(const struct harness_item *item)
{
    return item->outcome.status == KN_READY ? item->outcome.value.integer : item->outcome.status;
}

/* Orders that the executions of a claim have come to, one hash each. */
enum { ORDERS_MAX = 512 };
static uint64_t orders[ORDERS_MAX];
static size_t order_count;

static inline void note_order(const struct observed *observed)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < observed->count; i++)
        hash = (hash ^ (uint64_t)observed->answers[i]) * UINT64_C(1099511628211);
    for (size_t i = 0; i < order_count; i++) {
        if (orders[i] == hash)
            return;
    }
    assert_true(order_count < ORDERS_MAX);
    orders[order_count++] = hash;
}

/* Whether these are the answers of the first `count` streams, each in its order, and all of them after the end. */
static inline void assert_interleaving(const struct observed *observed, size_t count)
{
    size_t taken[COUNT_OF(origins)] = {0};
    for (size_t i = 0; i < observed->count; i++) {
        unsigned from = origin(observed->answers[i]);
        assert_true(from < count && taken[from] < origins[from].count);
        assert_int_equal(observed->answers[i], answer_of(&origins[from].items[taken[from]++]));
    }
    if (!observed->has_ended)
        return;
    for (size_t i = 0; i < count; i++)
        assert_int_equal(taken[i], origins[i].count);
    note_order(observed);
}

static inline void is_interleaving_of_two(const struct observed *observed)
{
    assert_interleaving(observed, 2);
}

static inline void is_interleaving_of_three(const struct observed *observed)
{
    assert_interleaving(observed, 3);
}

/* ---- with items of another kind ---- */

static const struct harness_item numbers[] = {ITEM(0, 11), ITEM(1, 12)};

static inline int64_t read_either(kn_value_t value)
{
    return value.natural < 100 ? value.integer : read_object(value);
}

/* high_stream without its failure. */
static inline void is_interleaving_of_low_and_numbers(const struct observed *observed)
{
    struct observed with_failure = *observed;
    if (observed->has_ended)
        with_failure.answers[with_failure.count++] = -EPIPE;
    assert_interleaving(&with_failure, 2);
}

static inline struct kn_stream *plain_stream(struct harness *world)
{
    return harness_stream(world, numbers, COUNT_OF(numbers));
}

#endif
