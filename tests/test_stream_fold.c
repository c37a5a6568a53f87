/*
 * The ends of streams: what becomes of their items, in every order of events, and that none is lost.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include <kernel/stream_fold.h>

#include "async_harness.h"

#define ITEM(pendings_, number)                                                                                        \
    {                                                                                                                  \
        .pendings = (pendings_), .outcome = {.status = KN_READY, .value.integer = (number) }                           \
    }
#define FAILURE(pendings_, error)                                                                                      \
    {                                                                                                                  \
        .pendings = (pendings_), .outcome = {.status = (error) }                                                       \
    }

static const struct harness_item some[] = {ITEM(1, 30), ITEM(0, 10), ITEM(1, 20)};
static const struct harness_item equal[] = {ITEM(0, 12), ITEM(1, 11), ITEM(0, 22), ITEM(0, 21)};
static const struct harness_item broken[] = {ITEM(1, 30), ITEM(0, 10), FAILURE(1, -EPIPE), ITEM(0, 20)};

/* ---- scenarios ---- */

/* What is made of which items, and what it is to answer. */
struct scenario {
    struct kn_future *(*make)(struct harness *world, struct kn_arena *arena, struct kn_stream *stream);
    const struct harness_item *items;
    size_t count;
    int64_t status;
    int64_t value;  /* of an answer */
    bool is_object; /* the answer is owned */
    size_t seen;    /* items that `see` was given */
};

/* The numbers of items that functions were given. */
static int64_t seen[8];
static size_t seen_count;

static void see(kn_value_t item, void *context)
{
    (void)context;
    seen[seen_count++] = KN_AS(struct harness_object *, item)->number;
    harness_discard(item, NULL);
}

static void build(struct harness *world, void *context)
{
    const struct scenario *scenario = context;
    seen_count = 0;
    struct kn_stream *stream = harness_owned_stream(world, scenario->items, scenario->count);
    harness_spawn_strict(world, scenario->make(world, harness_arena(world), stream));
}

static void check(struct harness *world, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)world;
    (void)task;
    const struct scenario *scenario = context;
    assert_int_equal(outcome.status, scenario->status);
    assert_int_equal(seen_count, scenario->seen);
    for (size_t i = 0; i < seen_count; i++)
        assert_int_equal(seen[i], scenario->items[i].outcome.value.integer);
    if (outcome.status != KN_READY)
        return;
    int64_t value = scenario->is_object ? KN_AS(struct harness_object *, outcome.value)->number : outcome.value.integer;
    assert_int_equal(value, scenario->value);
}

static void explore(struct scenario scenario)
{
    uint64_t executions = harness_explore(build, check, &scenario, &(struct harness_options){.executions = 100000});
    assert_true(executions > 1);
}

#define ITEMS(array) .items = (array), .count = sizeof(array) / sizeof *(array)

/* ---- fold ---- */

/* Adds an item to an owned sum. */
static kn_value_t add(kn_value_t accumulator, kn_value_t item, void *context)
{
    (void)context;
    struct harness_object *object = item.pointer;
    KN_AS(struct harness_object *, accumulator)->number += object->number;
    harness_object_free(object);
    return accumulator;
}

static struct kn_future *make_fold(struct harness *world, struct kn_arena *arena, struct kn_stream *stream)
{
    return KN_IN(arena, kn_stream_fold, stream, KN_VALUE(harness_object(world, 0)), add, harness_discard, world);
}

static void fold_makes_one_value_of_all_items(void **state)
{
    (void)state;
    explore((struct scenario){make_fold, ITEMS(some), .value = 60, .is_object = true});
}

static void fold_of_no_items_is_what_it_began_with(void **state)
{
    (void)state;
    explore((struct scenario){make_fold, .items = some, .count = 0, .value = 0, .is_object = true});
}

static void fold_fails_with_its_stream_and_gives_back_the_accumulator(void **state)
{
    (void)state;
    explore((struct scenario){make_fold, ITEMS(broken), .status = -EPIPE});
}

static struct kn_outcome add_below(kn_value_t accumulator, kn_value_t item, void *context)
{
    (void)context;
    accumulator = add(accumulator, item, NULL);
    struct harness_object *sum = accumulator.pointer;
    if (sum->number < 35)
        return kn_ready(accumulator);
    if (sum->number == 40)
        return kn_stop(accumulator);
    harness_object_free(sum);
    return kn_failed(-EDOM);
}

static struct kn_future *make_try_fold(struct harness *world, struct kn_arena *arena, struct kn_stream *stream)
{
    return KN_IN(arena, kn_stream_try_fold, stream, KN_VALUE(harness_object(world, 0)), add_below, harness_discard,
                 NULL);
}

static struct kn_future *make_failing_try_fold(struct harness *world, struct kn_arena *arena, struct kn_stream *stream)
{
    return KN_IN(arena, kn_stream_try_fold, stream, KN_VALUE(harness_object(world, 1)), add_below, harness_discard,
                 NULL);
}

static void try_fold_stops_when_its_function_does(void **state)
{
    (void)state;
    explore((struct scenario){make_try_fold, ITEMS(some), .value = 40, .is_object = true});
}

static void try_fold_fails_when_its_function_does(void **state)
{
    (void)state;
    explore((struct scenario){make_failing_try_fold, ITEMS(some), .status = -EDOM});
}

static void try_fold_answers_at_the_end_of_the_stream(void **state)
{
    (void)state;
    explore((struct scenario){make_try_fold, .items = some, .count = 1, .value = 30, .is_object = true});
}

static void try_fold_fails_with_its_stream(void **state)
{
    (void)state;
    static const struct harness_item items[] = {ITEM(1, 5), FAILURE(1, -EPIPE)};
    explore((struct scenario){make_try_fold, ITEMS(items), .status = -EPIPE});
}

/* A future that owns the next accumulator from the moment it is made. */
struct slow_add {
    struct kn_future future;
    struct harness_object *sum;
    struct kn_future *pause;
};

static struct kn_outcome slow_add_poll(struct kn_future *future, struct kn_context *context)
{
    struct slow_add *self = KN_CONTAINER_OF(future, struct slow_add, future);
    struct kn_outcome outcome = kn_future_poll(self->pause, context);
    struct harness_object *sum = self->sum;
    if (outcome.status == KN_PENDING)
        return outcome;
    self->sum = NULL;
    if (outcome.status == KN_READY)
        return kn_ready(KN_VALUE(sum));
    harness_object_free(sum);
    return outcome;
}

static void slow_add_drop(struct kn_future *future)
{
    struct slow_add *self = KN_CONTAINER_OF(future, struct slow_add, future);
    kn_future_drop(self->pause);
    if (self->sum)
        harness_object_free(self->sum);
    self->sum = NULL;
}

static const struct kn_future_type slow_add_type = {.name = "slow_add", .poll = slow_add_poll, .drop = slow_add_drop};

static struct kn_future *add_slowly(kn_value_t accumulator, kn_value_t item, void *context)
{
    struct harness *world = context;
    struct slow_add *self = KN_ARENA_NEW(harness_arena(world), struct slow_add);
    struct harness_object *sum = add(accumulator, item, NULL).pointer;
    struct kn_outcome outcome = sum->number == 41 ? kn_failed(-EDOM) : kn_ready(KN_NOTHING);
    *self = (struct slow_add){.future.type = &slow_add_type, .sum = sum, .pause = harness_future(world, 1, outcome)};
    if (sum->number != 42)
        return &self->future;
    slow_add_drop(&self->future);
    return NULL;
}

static struct kn_future *make_fold_future_of(struct harness *world, struct kn_arena *arena, struct kn_stream *stream,
                                             int64_t initial)
{
    return KN_IN(arena, kn_stream_fold_future, stream, KN_VALUE(harness_object(world, initial)), add_slowly,
                 harness_discard, world);
}

static struct kn_future *make_fold_future(struct harness *world, struct kn_arena *arena, struct kn_stream *stream)
{
    return make_fold_future_of(world, arena, stream, 0);
}

static struct kn_future *make_failing_fold_future(struct harness *world, struct kn_arena *arena,
                                                  struct kn_stream *stream)
{
    return make_fold_future_of(world, arena, stream, 1);
}

static struct kn_future *make_full_fold_future(struct harness *world, struct kn_arena *arena, struct kn_stream *stream)
{
    return make_fold_future_of(world, arena, stream, 2);
}

static void fold_future_waits_for_each_accumulator(void **state)
{
    (void)state;
    explore((struct scenario){make_fold_future, ITEMS(some), .value = 60, .is_object = true});
    explore((struct scenario){make_fold_future, ITEMS(broken), .status = -EPIPE});
}

static void fold_future_fails_with_its_function(void **state)
{
    (void)state;
    explore((struct scenario){make_failing_fold_future, ITEMS(some), .status = -EDOM});
    explore((struct scenario){make_full_fold_future, ITEMS(some), .status = -ENOMEM});
}

/* Multiplies the integers of a stream by three: the map of a law. */
struct triple {
    struct kn_stream stream;
    struct kn_stream *inner;
};

static struct kn_outcome triple_next(struct kn_stream *stream, struct kn_context *context)
{
    struct kn_outcome outcome = kn_stream_poll(KN_CONTAINER_OF(stream, struct triple, stream)->inner, context);
    return outcome.status == KN_READY ? kn_ready(KN_VALUE(outcome.value.integer * 3)) : outcome;
}

static void triple_drop(struct kn_stream *stream)
{
    kn_stream_drop(KN_CONTAINER_OF(stream, struct triple, stream)->inner);
}

static const struct kn_stream_type triple_type = {.name = "triple", .next = triple_next, .drop = triple_drop};

static kn_value_t append(kn_value_t accumulator, kn_value_t item, void *context)
{
    (void)context;
    return KN_VALUE(accumulator.integer * 100 + item.integer);
}

static kn_value_t append_triple(kn_value_t accumulator, kn_value_t item, void *context)
{
    return append(accumulator, KN_VALUE(item.integer * 3), context);
}

static void build_law(struct harness *world, void *context)
{
    (void)context;
    struct kn_arena *arena = harness_arena(world);
    struct triple *triple = KN_ARENA_NEW(arena, struct triple);
    *triple = (struct triple){.stream.type = &triple_type, .inner = harness_stream(world, some, 3)};
    harness_spawn_strict(world, KN_IN(arena, kn_stream_fold, &triple->stream, KN_VALUE(0), append, NULL, NULL));
    struct kn_stream *stream = harness_stream(world, some, 3);
    harness_spawn_strict(world, KN_IN(arena, kn_stream_fold, stream, KN_VALUE(0), append_triple, NULL, NULL));
}

static void check_law(struct harness *world, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)world;
    (void)task;
    (void)context;
    assert_int_equal(outcome.status, KN_READY);
    assert_int_equal(outcome.value.integer, 903060);
}

static void fold_of_a_map_is_the_map_in_the_function(void **state)
{
    (void)state;
    assert_true(harness_explore(build_law, check_law, NULL, &(struct harness_options){.executions = 100000}) > 1);
}

/* ---- for_each ---- */

static struct kn_future *make_for_each(struct harness *world, struct kn_arena *arena, struct kn_stream *stream)
{
    (void)world;
    return KN_IN(arena, kn_stream_for_each, stream, see, NULL);
}

static void for_each_gives_every_item_to_its_function_in_order(void **state)
{
    (void)state;
    explore((struct scenario){make_for_each, ITEMS(some), .seen = 3});
}

static void for_each_fails_with_its_stream(void **state)
{
    (void)state;
    explore((struct scenario){make_for_each, ITEMS(broken), .status = -EPIPE, .seen = 2});
}

static int64_t see_until(kn_value_t item, void *context)
{
    int64_t number = KN_AS(struct harness_object *, item)->number;
    see(item, NULL);
    return number == 10 ? *(const int64_t *)context : KN_READY;
}

static const int64_t go_on = KN_READY, stop = KN_END, refuse = -EDOM;

static struct kn_future *make_try_for_each(struct harness *world, struct kn_arena *arena, struct kn_stream *stream)
{
    (void)world;
    return KN_IN(arena, kn_stream_try_for_each, stream, see_until, (void *)(uintptr_t)&go_on);
}

static struct kn_future *make_stopping(struct harness *world, struct kn_arena *arena, struct kn_stream *stream)
{
    (void)world;
    return KN_IN(arena, kn_stream_try_for_each, stream, see_until, (void *)(uintptr_t)&stop);
}

static struct kn_future *make_refusing(struct harness *world, struct kn_arena *arena, struct kn_stream *stream)
{
    (void)world;
    return KN_IN(arena, kn_stream_try_for_each, stream, see_until, (void *)(uintptr_t)&refuse);
}

static void try_for_each_takes_no_item_after_its_function_said_so(void **state)
{
    (void)state;
    explore((struct scenario){make_try_for_each, ITEMS(some), .seen = 3});
    explore((struct scenario){make_try_for_each, ITEMS(broken), .status = -EPIPE, .seen = 2});
    explore((struct scenario){make_stopping, ITEMS(some), .seen = 2});
    explore((struct scenario){make_refusing, ITEMS(some), .status = -EDOM, .seen = 2});
}

/* Answers with an owned value after a pause; fails for 20 or has no memory for 21. */
static struct kn_future *see_slowly(kn_value_t item, void *context)
{
    int64_t number = KN_AS(struct harness_object *, item)->number;
    see(item, NULL);
    if (number == 21)
        return NULL;
    return number == 20 ? harness_future(context, 1, kn_failed(-EDOM)) : harness_owned_future(context, 1, number);
}

static struct kn_future *make_for_each_future(struct harness *world, struct kn_arena *arena, struct kn_stream *stream)
{
    return KN_IN(arena, kn_stream_for_each_future, stream, see_slowly, world);
}

static void for_each_future_runs_one_future_after_another(void **state)
{
    (void)state;
    explore((struct scenario){make_for_each_future, .items = some, .count = 2, .seen = 2});
    explore((struct scenario){make_for_each_future, ITEMS(broken), .status = -EPIPE, .seen = 2});
}

static void for_each_future_fails_with_the_future_of_an_item(void **state)
{
    (void)state;
    explore((struct scenario){make_for_each_future, ITEMS(some), .status = -EDOM, .seen = 3});
    explore((struct scenario){make_for_each_future, ITEMS(equal), .status = -ENOMEM, .seen = 4});
}

/* ---- collect, concat ---- */

static kn_value_t memory[4];

static struct kn_future *make_collect(struct harness *world, struct kn_arena *arena, struct kn_stream *stream)
{
    (void)world;
    return KN_IN(arena, kn_stream_collect, stream, memory, 3);
}

/* What was collected is the caller's: takes all of it, in order, and leaves nothing to be discarded. */
static kn_value_t see_collected(kn_value_t count, void *context)
{
    (void)context;
    for (size_t i = 0; i < count.natural; i++)
        see(memory[i], NULL);
    return count;
}

/* Answers with what `inner` does, after a function has taken it. */
struct taker {
    struct kn_future future;
    struct kn_future *inner;
};

static struct kn_outcome taker_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_outcome outcome = kn_future_poll(KN_CONTAINER_OF(future, struct taker, future)->inner, context);
    return outcome.status == KN_READY ? kn_ready(see_collected(outcome.value, NULL)) : outcome;
}

static void taker_drop(struct kn_future *future)
{
    kn_future_drop(KN_CONTAINER_OF(future, struct taker, future)->inner);
}

static const struct kn_future_type taker_type = {.name = "taker", .poll = taker_poll, .drop = taker_drop};

static struct kn_future *make_taken_collect(struct harness *world, struct kn_arena *arena, struct kn_stream *stream)
{
    struct taker *taker = KN_ARENA_NEW(arena, struct taker);
    *taker = (struct taker){.future.type = &taker_type, .inner = make_collect(world, arena, stream)};
    return &taker->future;
}

static void collect_hands_all_items_to_its_caller(void **state)
{
    (void)state;
    explore((struct scenario){make_taken_collect, ITEMS(some), .value = 3, .seen = 3});
    explore((struct scenario){make_taken_collect, .items = some, .count = 0, .value = 0});
}

static void collect_gives_back_what_nobody_takes(void **state)
{
    (void)state;
    explore((struct scenario){make_collect, ITEMS(some), .value = 3});
    explore((struct scenario){make_collect, ITEMS(broken), .status = -EPIPE});
}

static void collect_fails_when_there_are_more_items_than_memory(void **state)
{
    (void)state;
    explore((struct scenario){make_collect, ITEMS(equal), .status = -ENOBUFS});
}

static const struct kn_stream_span spans[] = {
    {(const uint8_t *)"rea", 3}, {NULL, 0}, {(const uint8_t *)"ctor", 4}, {(const uint8_t *)"s", 1}};
static uint8_t text[8];
static size_t text_capacity;

static void build_concat(struct harness *world, void *context)
{
    struct harness_item *items = context;
    for (size_t i = 0; i < 4; i++)
        items[i] = (struct harness_item){.pendings = i % 2, .outcome = kn_ready(KN_VALUE(&spans[i]))};
    memset(text, 0, sizeof text);
    struct kn_arena *arena = harness_arena(world);
    harness_spawn_strict(world, KN_IN(arena, kn_stream_concat, harness_stream(world, items, 4), text, text_capacity));
}

static void check_concat(struct harness *world, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)world;
    (void)task;
    (void)context;
    if (text_capacity < 8) {
        assert_int_equal(outcome.status, -ENOBUFS);
        assert_memory_equal(text, "reactor", 8);
    } else {
        assert_int_equal(outcome.status, KN_READY);
        assert_int_equal(outcome.value.natural, 8);
        assert_memory_equal(text, "reactors", 8);
    }
}

static void concat_puts_the_bytes_of_all_items_together(void **state)
{
    (void)state;
    struct harness_item items[4];
    text_capacity = 8;
    assert_true(harness_explore(build_concat, check_concat, items, NULL) > 1);
}

static void concat_fails_at_the_item_that_does_not_fit(void **state)
{
    (void)state;
    struct harness_item items[4];
    text_capacity = 7;
    assert_true(harness_explore(build_concat, check_concat, items, NULL) > 1);
}

/* ---- questions ---- */

static struct kn_future *make_count(struct harness *world, struct kn_arena *arena, struct kn_stream *stream)
{
    (void)world;
    return KN_IN(arena, kn_stream_count, stream);
}

static void count_answers_with_how_many_there_were(void **state)
{
    (void)state;
    explore((struct scenario){make_count, ITEMS(equal), .value = 4});
    explore((struct scenario){make_count, ITEMS(broken), .status = -EPIPE});
}

/* `context` is a number below which items are small. */
static bool is_small(kn_value_t item, void *context)
{
    return KN_AS(struct harness_object *, item)->number < *(const int64_t *)context;
}

static const int64_t eleven = 11, hundred = 100;

static struct kn_future *make_any(struct harness *world, struct kn_arena *arena, struct kn_stream *stream)
{
    (void)world;
    return KN_IN(arena, kn_stream_any, stream, is_small, (void *)(uintptr_t)&eleven);
}

static void any_answers_at_the_first_item_that_is_so(void **state)
{
    (void)state;
    explore((struct scenario){make_any, ITEMS(some), .value = true});
    explore((struct scenario){make_any, ITEMS(broken), .value = true});
    explore((struct scenario){make_any, ITEMS(equal), .value = false});
    explore((struct scenario){make_any, .items = &broken[2], .count = 1, .status = -EPIPE});
}

static struct kn_future *make_all(struct harness *world, struct kn_arena *arena, struct kn_stream *stream)
{
    (void)world;
    return KN_IN(arena, kn_stream_all, stream, is_small, (void *)(uintptr_t)&hundred);
}

static struct kn_future *make_all_eleven(struct harness *world, struct kn_arena *arena, struct kn_stream *stream)
{
    (void)world;
    return KN_IN(arena, kn_stream_all, stream, is_small, (void *)(uintptr_t)&eleven);
}

static void all_answers_at_the_first_item_that_is_not_so(void **state)
{
    (void)state;
    explore((struct scenario){make_all, ITEMS(some), .value = true});
    explore((struct scenario){make_all, ITEMS(broken), .status = -EPIPE});
    explore((struct scenario){make_all_eleven, ITEMS(broken), .value = false});
}

static struct kn_future *make_last(struct harness *world, struct kn_arena *arena, struct kn_stream *stream)
{
    (void)world;
    return KN_IN(arena, kn_stream_last, stream);
}

static void last_answers_with_the_last_item(void **state)
{
    (void)state;
    explore((struct scenario){make_last, ITEMS(some), .value = 20, .is_object = true});
    explore((struct scenario){make_last, ITEMS(broken), .status = -EPIPE});
}

/* Compares the tens of two items. */
static int compare_tens(kn_value_t left, kn_value_t right, void *context)
{
    int64_t left_number = KN_AS(struct harness_object *, left)->number / 10;
    int64_t right_number = KN_AS(struct harness_object *, right)->number / 10;
    return kn_compare_integers(KN_VALUE(left_number), KN_VALUE(right_number), context);
}

static struct kn_future *make_min_by(struct harness *world, struct kn_arena *arena, struct kn_stream *stream)
{
    (void)world;
    return KN_IN(arena, kn_stream_min_by, stream, compare_tens, NULL);
}

static struct kn_future *make_max_by(struct harness *world, struct kn_arena *arena, struct kn_stream *stream)
{
    (void)world;
    return KN_IN(arena, kn_stream_max_by, stream, compare_tens, NULL);
}

static void min_by_answers_with_the_first_of_the_smallest(void **state)
{
    (void)state;
    explore((struct scenario){make_min_by, ITEMS(some), .value = 10, .is_object = true});
    explore((struct scenario){make_min_by, ITEMS(equal), .value = 12, .is_object = true});
    explore((struct scenario){make_min_by, ITEMS(broken), .status = -EPIPE});
}

static void max_by_answers_with_the_last_of_the_greatest(void **state)
{
    (void)state;
    explore((struct scenario){make_max_by, ITEMS(some), .value = 30, .is_object = true});
    explore((struct scenario){make_max_by, ITEMS(equal), .value = 21, .is_object = true});
    explore((struct scenario){make_max_by, ITEMS(broken), .status = -EPIPE});
}

static void the_best_of_nothing_is_the_end(void **state)
{
    (void)state;
    explore((struct scenario){make_last, .items = some, .status = KN_END});
    explore((struct scenario){make_min_by, .items = some, .status = KN_END});
    explore((struct scenario){make_max_by, .items = some, .status = KN_END});
}

static void comparisons_order_numbers(void **state)
{
    (void)state;
    assert_true(kn_compare_integers(KN_VALUE(INT64_MIN), KN_VALUE(INT64_MAX), NULL) < 0);
    assert_true(kn_compare_integers(KN_VALUE(2), KN_VALUE(-2), NULL) > 0);
    assert_int_equal(kn_compare_integers(KN_VALUE(7), KN_VALUE(7), NULL), 0);
    assert_true(kn_compare_reals(KN_VALUE(-0.5), KN_VALUE(0.25), NULL) < 0);
    assert_true(kn_compare_reals(KN_VALUE(0.5), KN_VALUE(0.25), NULL) > 0);
    assert_int_equal(kn_compare_reals(KN_VALUE(0.0), KN_VALUE(-0.0), NULL), 0);
}

/* ---- what all of them promise ---- */

/* A stream that is never without an item. */
static struct kn_outcome always_next(struct kn_stream *stream, struct kn_context *context)
{
    (void)stream;
    (void)context;
    return kn_ready(KN_NOTHING);
}

static const struct kn_stream_type always_type = {
    .name = "always", .next = always_next, .drop = kn_stream_drop_nothing};

static void a_stream_without_end_lets_others_run(void **state)
{
    (void)state;
    struct kn_local_executor executor;
    struct kn_stream always = {.type = &always_type};
    struct kn_stream_count count;
    struct kn_outcome outcome;
    kn_local_executor_init(&executor, 0);
    struct kn_future *future = kn_stream_count(&count, &always);
    for (unsigned poll = 1; poll <= 3; poll++) {
        assert_false(kn_local_executor_poll(&executor, future, &outcome));
        assert_true(kn_local_executor_is_woken(&executor));
        assert_int_equal(count.count, (uint64_t)poll * KN_EXECUTOR_BUDGET);
    }
    kn_future_drop(future);
}

static unsigned drops;

static void count_drop(struct kn_stream *stream)
{
    (void)stream;
    drops++;
}

static void count_release(kn_value_t value, void *context)
{
    (void)value;
    ++*(unsigned *)context;
}

static void without_memory_or_a_stream_nothing_is_made(void **state)
{
    (void)state;
    static const struct kn_stream_type counted_type = {.name = "counted", .next = always_next, .drop = count_drop};
    struct kn_stream stream = {.type = &counted_type};
    struct kn_arena full;
    struct kn_stream_fold fold;
    struct kn_stream_count count;
    struct kn_stream_collect collect;
    struct kn_stream_concat concat;
    unsigned releases = 0;
    kn_arena_init(&full, text, 0);
    drops = 0;
    assert_null(KN_IN(&full, kn_stream_fold, &stream, KN_NOTHING, add, count_release, &releases));
    assert_null(KN_IN(&full, kn_stream_try_fold, &stream, KN_NOTHING, add_below, count_release, &releases));
    assert_null(KN_IN(&full, kn_stream_fold_future, &stream, KN_NOTHING, add_slowly, count_release, &releases));
    assert_int_equal(releases, 3);
    assert_null(KN_IN(&full, kn_stream_for_each, &stream, see, NULL));
    assert_null(KN_IN(&full, kn_stream_try_for_each, &stream, see_until, NULL));
    assert_null(KN_IN(&full, kn_stream_for_each_future, &stream, see_slowly, NULL));
    assert_null(KN_IN(&full, kn_stream_collect, &stream, memory, 3));
    assert_null(KN_IN(&full, kn_stream_concat, &stream, text, sizeof text));
    assert_null(KN_IN(&full, kn_stream_count, &stream));
    assert_null(KN_IN(&full, kn_stream_any, &stream, is_small, NULL));
    assert_null(KN_IN(&full, kn_stream_all, &stream, is_small, NULL));
    assert_null(KN_IN(&full, kn_stream_last, &stream));
    assert_null(KN_IN(&full, kn_stream_min_by, &stream, compare_tens, NULL));
    assert_null(KN_IN(&full, kn_stream_max_by, &stream, compare_tens, NULL));
    assert_int_equal(drops, 14);
    assert_null(kn_stream_collect(&collect, &stream, NULL, 3));
    assert_null(kn_stream_concat(&concat, &stream, NULL, 3));
    assert_int_equal(drops, 16);
    assert_null(kn_stream_fold(&fold, NULL, KN_NOTHING, add, count_release, &releases));
    assert_int_equal(releases, 4);
    assert_null(kn_stream_count(&count, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fold_makes_one_value_of_all_items),
        cmocka_unit_test(fold_of_no_items_is_what_it_began_with),
        cmocka_unit_test(fold_fails_with_its_stream_and_gives_back_the_accumulator),
        cmocka_unit_test(try_fold_stops_when_its_function_does),
        cmocka_unit_test(try_fold_fails_when_its_function_does),
        cmocka_unit_test(try_fold_answers_at_the_end_of_the_stream),
        cmocka_unit_test(try_fold_fails_with_its_stream),
        cmocka_unit_test(fold_future_waits_for_each_accumulator),
        cmocka_unit_test(fold_future_fails_with_its_function),
        cmocka_unit_test(fold_of_a_map_is_the_map_in_the_function),
        cmocka_unit_test(for_each_gives_every_item_to_its_function_in_order),
        cmocka_unit_test(for_each_fails_with_its_stream),
        cmocka_unit_test(try_for_each_takes_no_item_after_its_function_said_so),
        cmocka_unit_test(for_each_future_runs_one_future_after_another),
        cmocka_unit_test(for_each_future_fails_with_the_future_of_an_item),
        cmocka_unit_test(collect_hands_all_items_to_its_caller),
        cmocka_unit_test(collect_gives_back_what_nobody_takes),
        cmocka_unit_test(collect_fails_when_there_are_more_items_than_memory),
        cmocka_unit_test(concat_puts_the_bytes_of_all_items_together),
        cmocka_unit_test(concat_fails_at_the_item_that_does_not_fit),
        cmocka_unit_test(count_answers_with_how_many_there_were),
        cmocka_unit_test(any_answers_at_the_first_item_that_is_so),
        cmocka_unit_test(all_answers_at_the_first_item_that_is_not_so),
        cmocka_unit_test(last_answers_with_the_last_item),
        cmocka_unit_test(min_by_answers_with_the_first_of_the_smallest),
        cmocka_unit_test(max_by_answers_with_the_last_of_the_greatest),
        cmocka_unit_test(the_best_of_nothing_is_the_end),
        cmocka_unit_test(comparisons_order_numbers),
        cmocka_unit_test(a_stream_without_end_lets_others_run),
        cmocka_unit_test(without_memory_or_a_stream_nothing_is_made),
    };
    return cmocka_run_group_tests_name("stream_fold", tests, NULL, NULL);
}
