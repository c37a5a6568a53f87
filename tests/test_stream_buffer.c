/*
 * Streams that keep items: in every order of events none is lost, kept too long or out of order.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include <kernel/stream_buffer.h>
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
#define COUNT(array) (sizeof(array) / sizeof *(array))

static const struct harness_item some[] = {ITEM(1, 1), ITEM(0, 2), ITEM(1, 3), ITEM(0, 4), ITEM(0, 5)};
static const struct harness_item broken[] = {ITEM(1, 1), ITEM(0, 2), ITEM(0, 3), FAILURE(1, -EPIPE), ITEM(0, 4)};

/* ---- scenarios ---- */

/* Stands between chunks in what was seen. */
enum { CUT = -1, SEEN_MAX = 32 };

/* What is made of which items, what it is to answer, and what its functions are to see. */
struct scenario {
    struct kn_future *(*make)(struct harness *world, struct kn_arena *arena, struct kn_stream *stream);
    const struct harness_item *items;
    size_t count;
    int64_t status;
    int64_t value;
    int64_t expected[SEEN_MAX];
    size_t expected_count;
};

static struct kn_local_executor executor;

static int64_t seen[SEEN_MAX];
static size_t seen_count;

static void see_number(int64_t number)
{
    assert_true(seen_count < SEEN_MAX);
    seen[seen_count++] = number;
}

static void see(kn_value_t item, void *context)
{
    (void)context;
    see_number(KN_AS(struct harness_object *, item)->number);
    harness_discard(item, NULL);
}

/* Takes a chunk with its items. */
static void see_chunk(kn_value_t item, void *context)
{
    const struct kn_stream_chunk *chunk = item.pointer;
    for (size_t i = 0; i < chunk->count; i++)
        see(chunk->values[i], context);
    see_number(CUT);
}

/* Looks at a window. */
static void see_window(kn_value_t item, void *context)
{
    (void)context;
    const struct kn_stream_chunk *window = item.pointer;
    for (size_t i = 0; i < window->count; i++)
        see_number(KN_AS(struct harness_object *, window->values[i])->number);
    see_number(CUT);
}

static void build(struct harness *world, void *context)
{
    const struct scenario *scenario = context;
    seen_count = 0;
    struct kn_stream *stream = harness_owned_stream(world, scenario->items, scenario->count);
    harness_spawn(world, scenario->make(world, harness_arena(world), stream));
}

static void check(struct harness *world, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)world;
    (void)task;
    const struct scenario *scenario = context;
    assert_int_equal(outcome.status, scenario->status);
    if (outcome.status == KN_READY)
        assert_int_equal(outcome.value.integer, scenario->value);
    assert_int_equal(seen_count, scenario->expected_count);
    assert_memory_equal(seen, scenario->expected, seen_count * sizeof *seen);
}

static void explore(struct scenario scenario)
{
    uint64_t executions = harness_explore(build, check, &scenario, &(struct harness_options){.executions = 100000});
    assert_true(executions > 1);
}

#define ITEMS(array) .items = (array), .count = COUNT(array)
#define SEES(...) .expected = {__VA_ARGS__}, .expected_count = COUNT(((int64_t[]){__VA_ARGS__}))

/* ---- peekable ---- */

/* Looks at everything twice before it takes it; ends at the end, also after failures. */
struct looker {
    struct kn_future future;
    struct kn_stream_peekable peekable;
};

static struct kn_outcome looker_poll(struct kn_future *future, struct kn_context *context)
{
    struct looker *self = KN_CONTAINER_OF(future, struct looker, future);
    for (;;) {
        struct kn_outcome outcome = kn_stream_poll_peek(&self->peekable, context);
        if (outcome.status == KN_PENDING)
            return outcome;
        struct kn_outcome again = kn_stream_poll_peek(&self->peekable, context);
        struct kn_outcome taken = kn_stream_poll(&self->peekable.stream, context);
        assert_int_equal(again.status, outcome.status);
        assert_int_equal(taken.status, outcome.status);
        if (outcome.status == KN_END)
            return kn_ready(KN_NOTHING);
        if (outcome.status == KN_READY) {
            assert_ptr_equal(taken.value.pointer, again.value.pointer);
            see(taken.value, NULL);
        } else {
            see_number(outcome.status);
        }
    }
}

static void looker_drop(struct kn_future *future)
{
    kn_stream_drop(&KN_CONTAINER_OF(future, struct looker, future)->peekable.stream);
}

static const struct kn_future_type looker_type = {.name = "looker", .poll = looker_poll, .drop = looker_drop};

static struct kn_future *make_looker(struct harness *world, struct kn_arena *arena, struct kn_stream *stream)
{
    (void)world;
    struct looker *self = KN_ARENA_NEW(arena, struct looker);
    self->future.type = &looker_type;
    assert_non_null(kn_stream_peekable(&self->peekable, stream));
    return &self->future;
}

static void poll_peek_tells_what_the_next_poll_answers(void **state)
{
    (void)state;
    explore((struct scenario){make_looker, ITEMS(some), SEES(1, 2, 3, 4, 5)});
    explore((struct scenario){make_looker, ITEMS(broken), SEES(1, 2, 3, -EPIPE, 4)});
}

static struct kn_future *make_peekable_count(struct harness *world, struct kn_arena *arena, struct kn_stream *stream)
{
    (void)world;
    stream = KN_IN(arena, kn_stream_peekable, stream);
    return KN_IN(arena, kn_stream_count, stream);
}

static void peekable_passes_everything_on(void **state)
{
    (void)state;
    explore((struct scenario){make_peekable_count, ITEMS(some), .value = 5});
    explore((struct scenario){make_peekable_count, ITEMS(broken), .status = -EPIPE});
}

/* Takes small items one by one with next_if, then looks at what is left with peek, and takes that too. */
struct sorter {
    struct kn_future future;
    struct kn_stream_peekable peekable;
    struct kn_stream_next_if next_if;
    struct kn_stream_peek peek;
    struct kn_future *waits_for;
};

static bool is_small(kn_value_t item, void *context)
{
    return KN_AS(struct harness_object *, item)->number < *(const int64_t *)context;
}

static int64_t three = 3;

static struct kn_outcome sorter_poll(struct kn_future *future, struct kn_context *context)
{
    struct sorter *self = KN_CONTAINER_OF(future, struct sorter, future);
    for (;;) {
        struct kn_outcome outcome = kn_future_poll(self->waits_for, context);
        if (outcome.status == KN_PENDING)
            return outcome;
        if (self->waits_for == &self->peek.future) {
            if (outcome.status == KN_READY)
                see_number(100 + KN_AS(struct harness_object *, outcome.value)->number);
            kn_stream_drop(&self->peekable.stream);
            return kn_ready(KN_VALUE(outcome.status));
        }
        if (outcome.status == KN_READY)
            see(outcome.value, NULL);
        if (outcome.status < 0)
            see_number(outcome.status);
        self->waits_for = outcome.status == KN_END
                              ? kn_stream_peek(&self->peek, &self->peekable)
                              : kn_stream_next_if(&self->next_if, &self->peekable, is_small, &three);
    }
}

static void sorter_drop(struct kn_future *future)
{
    struct sorter *self = KN_CONTAINER_OF(future, struct sorter, future);
    kn_future_drop(self->waits_for);
    kn_stream_drop(&self->peekable.stream);
}

static const struct kn_future_type sorter_type = {.name = "sorter", .poll = sorter_poll, .drop = sorter_drop};

static struct kn_future *make_sorter(struct harness *world, struct kn_arena *arena, struct kn_stream *stream)
{
    (void)world;
    struct sorter *self = KN_ARENA_NEW(arena, struct sorter);
    self->future.type = &sorter_type;
    assert_non_null(kn_stream_peekable(&self->peekable, stream));
    self->waits_for = kn_stream_next_if(&self->next_if, &self->peekable, is_small, &three);
    return &self->future;
}

static void next_if_takes_an_item_only_if_it_is_right(void **state)
{
    (void)state;
    static const struct harness_item failing[] = {ITEM(1, 1), FAILURE(1, -EPIPE), ITEM(1, 2), ITEM(0, 7)};
    explore((struct scenario){make_sorter, ITEMS(some), SEES(1, 2, 103), .value = KN_READY});
    explore((struct scenario){make_sorter, ITEMS(failing), SEES(1, -EPIPE, 2, 107), .value = KN_READY});
    explore((struct scenario){make_sorter, .items = some, .count = 2, SEES(1, 2), .value = KN_END});
}

/* Takes one item with next_if, gives it back through that, and answers with nothing. */
static struct kn_outcome giver_poll(struct kn_future *future, struct kn_context *context)
{
    struct sorter *self = KN_CONTAINER_OF(future, struct sorter, future);
    struct kn_outcome outcome = kn_future_poll(self->waits_for, context);
    if (outcome.status == KN_PENDING)
        return outcome;
    kn_future_discard_outcome(self->waits_for, outcome);
    sorter_drop(future);
    return kn_ready(KN_NOTHING);
}

static const struct kn_future_type giver_type = {.name = "giver", .poll = giver_poll, .drop = sorter_drop};

static struct kn_future *make_next_if(struct harness *world, struct kn_arena *arena, struct kn_stream *stream)
{
    struct kn_future *future = make_sorter(world, arena, stream);
    future->type = &giver_type;
    return future;
}

static void next_if_gives_back_an_item_that_nobody_takes(void **state)
{
    (void)state;
    explore((struct scenario){make_next_if, ITEMS(some), .status = KN_READY, .value = 0});
}

/* ---- chunks ---- */

static struct kn_future *make_chunks_of(struct kn_arena *arena, struct kn_stream *stream, size_t capacity)
{
    kn_value_t *values = kn_arena_allocate(arena, capacity * sizeof *values, _Alignof(kn_value_t));
    stream = KN_IN(arena, kn_stream_chunks, stream, values, capacity);
    return KN_IN(arena, kn_stream_for_each, stream, see_chunk, NULL);
}

static struct kn_future *make_chunks_of_2(struct harness *world, struct kn_arena *arena, struct kn_stream *stream)
{
    (void)world;
    return make_chunks_of(arena, stream, 2);
}

static struct kn_future *make_chunks_of_5(struct harness *world, struct kn_arena *arena, struct kn_stream *stream)
{
    (void)world;
    return make_chunks_of(arena, stream, 5);
}

static struct kn_future *make_chunks_of_1(struct harness *world, struct kn_arena *arena, struct kn_stream *stream)
{
    (void)world;
    return make_chunks_of(arena, stream, 1);
}

/* The law: whatever their size, chunks put together are what was collected. */
static void chunks_put_together_are_the_items(void **state)
{
    (void)state;
    explore((struct scenario){make_chunks_of_1, ITEMS(some), SEES(1, CUT, 2, CUT, 3, CUT, 4, CUT, 5, CUT)});
    explore((struct scenario){make_chunks_of_2, ITEMS(some), SEES(1, 2, CUT, 3, 4, CUT, 5, CUT)});
    explore((struct scenario){make_chunks_of_5, ITEMS(some), SEES(1, 2, 3, 4, 5, CUT)});
    explore((struct scenario){make_chunks_of_5, .items = some, .count = 0});
}

static void a_failure_comes_after_the_chunk_that_it_cuts_short(void **state)
{
    (void)state;
    explore((struct scenario){make_chunks_of_2, ITEMS(broken), SEES(1, 2, CUT, 3, CUT), .status = -EPIPE});
    explore((struct scenario){make_chunks_of_1, ITEMS(broken), SEES(1, CUT, 2, CUT, 3, CUT), .status = -EPIPE});
}

static struct kn_future *make_chunk_count(struct harness *world, struct kn_arena *arena, struct kn_stream *stream)
{
    (void)world;
    kn_value_t *values = kn_arena_allocate(arena, 2 * sizeof *values, _Alignof(kn_value_t));
    stream = KN_IN(arena, kn_stream_chunks, stream, values, 2);
    return KN_IN(arena, kn_stream_count, stream);
}

static void a_chunk_that_nobody_takes_gives_back_its_items(void **state)
{
    (void)state;
    explore((struct scenario){make_chunk_count, ITEMS(some), .value = 3});
}

static struct kn_future *make_ready_chunks(struct harness *world, struct kn_arena *arena, struct kn_stream *stream)
{
    (void)world;
    kn_value_t *values = kn_arena_allocate(arena, 3 * sizeof *values, _Alignof(kn_value_t));
    stream = KN_IN(arena, kn_stream_ready_chunks, stream, values, 3);
    return KN_IN(arena, kn_stream_for_each, stream, see_chunk, NULL);
}

static void ready_chunks_hold_what_is_there(void **state)
{
    (void)state;
    static const struct harness_item late[] = {ITEM(1, 1), ITEM(1, 2), ITEM(0, 3), FAILURE(1, -EPIPE)};
    explore((struct scenario){make_ready_chunks, ITEMS(some), SEES(1, 2, CUT, 3, 4, 5, CUT)});
    explore((struct scenario){make_ready_chunks, ITEMS(late), SEES(1, CUT, 2, 3, CUT), .status = -EPIPE});
}

/* A stream that is never without an item. */
static struct kn_outcome always_next(struct kn_stream *stream, struct kn_context *context)
{
    (void)stream;
    (void)context;
    return kn_ready(KN_NOTHING);
}

static const struct kn_stream_type always_type = {
    .name = "always", .next = always_next, .drop = kn_stream_drop_nothing};

static void chunks_let_others_run_while_they_fill(void **state)
{
    (void)state;
    static kn_value_t values[2 * KN_EXECUTOR_BUDGET];
    struct kn_stream always = {.type = &always_type};
    struct kn_stream_chunks memory;
    struct kn_stream_ready_chunks ready;
    kn_local_executor_init(&executor, 0);
    struct kn_stream *chunks = kn_stream_chunks(&memory, &always, values, COUNT(values));
    struct kn_context context = kn_local_executor_context(&executor);
    assert_int_equal(kn_stream_poll(chunks, &context).status, KN_PENDING);
    assert_true(kn_local_executor_is_woken(&executor));
    context = kn_local_executor_context(&executor);
    struct kn_outcome outcome = kn_stream_poll(chunks, &context);
    assert_int_equal(outcome.status, KN_READY);
    assert_int_equal(KN_AS(struct kn_stream_chunk *, outcome.value)->count, COUNT(values));
    kn_stream_drop(chunks);
    chunks = kn_stream_ready_chunks(&ready, &always, values, COUNT(values));
    context = kn_local_executor_context(&executor);
    outcome = kn_stream_poll(chunks, &context);
    assert_int_equal(outcome.status, KN_READY);
    assert_int_equal(KN_AS(struct kn_stream_chunk *, outcome.value)->count, KN_EXECUTOR_BUDGET);
    kn_stream_drop(chunks);
}

/* ---- windows ---- */

static struct kn_future *make_windows_of(struct kn_arena *arena, struct kn_stream *stream, size_t size, size_t step)
{
    kn_value_t *values = kn_arena_allocate(arena, size * sizeof *values, _Alignof(kn_value_t));
    stream = KN_IN(arena, kn_stream_windows, stream, values, size, step);
    return KN_IN(arena, kn_stream_for_each, stream, see_window, NULL);
}

static struct kn_future *make_sliding(struct harness *world, struct kn_arena *arena, struct kn_stream *stream)
{
    (void)world;
    return make_windows_of(arena, stream, 3, 1);
}

static struct kn_future *make_tumbling(struct harness *world, struct kn_arena *arena, struct kn_stream *stream)
{
    (void)world;
    return make_windows_of(arena, stream, 2, 2);
}

static struct kn_future *make_leaping(struct harness *world, struct kn_arena *arena, struct kn_stream *stream)
{
    (void)world;
    return make_windows_of(arena, stream, 1, 3);
}

static void windows_slide_over_the_items(void **state)
{
    (void)state;
    explore((struct scenario){make_sliding, ITEMS(some), SEES(1, 2, 3, CUT, 2, 3, 4, CUT, 3, 4, 5, CUT)});
    explore((struct scenario){make_sliding, .items = some, .count = 2});
    explore((struct scenario){make_sliding, ITEMS(broken), SEES(1, 2, 3, CUT), .status = -EPIPE});
}

static void windows_of_their_own_step_are_full_chunks(void **state)
{
    (void)state;
    explore((struct scenario){make_tumbling, ITEMS(some), SEES(1, 2, CUT, 3, 4, CUT)});
    explore((struct scenario){make_chunks_of_2, .items = some, .count = 4, SEES(1, 2, CUT, 3, 4, CUT)});
}

static void windows_leave_out_what_lies_between_them(void **state)
{
    (void)state;
    explore((struct scenario){make_leaping, ITEMS(some), SEES(1, CUT, 4, CUT)});
}

/* ---- partition ---- */

enum { RING = 2 };

static bool is_odd(kn_value_t item, void *context)
{
    (void)context;
    return KN_AS(struct harness_object *, item)->number % 2 != 0;
}

/* The items of one part, as a number in base ten. */
static kn_value_t append(kn_value_t accumulator, kn_value_t item, void *context)
{
    (void)context;
    int64_t digit = KN_AS(struct harness_object *, item)->number;
    harness_discard(item, NULL);
    return KN_VALUE(accumulator.integer * 10 + digit);
}

struct partition {
    const struct harness_item *items;
    size_t count;
    struct kn_outcome odd;
    struct kn_outcome even;
};

static void partition(struct harness *world, const struct partition *plan, struct kn_stream **yes,
                      struct kn_stream **no)
{
    struct kn_arena *arena = harness_arena(world);
    struct kn_stream_partition *memory = KN_ARENA_NEW(arena, struct kn_stream_partition);
    kn_value_t *values = kn_arena_allocate(arena, 2 * RING * sizeof *values, _Alignof(kn_value_t));
    struct kn_stream *stream = harness_owned_stream(world, plan->items, plan->count);
    assert_int_equal(kn_stream_partition(memory, stream, is_odd, NULL, values, RING, yes, no), 0);
}

static void build_partition(struct harness *world, void *context)
{
    struct kn_stream *yes, *no;
    partition(world, context, &yes, &no);
    struct kn_arena *arena = harness_arena(world);
    harness_spawn(world, KN_IN(arena, kn_stream_fold, yes, KN_VALUE(0), append, NULL, NULL));
    harness_spawn(world, KN_IN(arena, kn_stream_fold, no, KN_VALUE(0), append, NULL, NULL));
}

static void check_partition(struct harness *world, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)world;
    const struct partition *plan = context;
    const struct kn_outcome *expected = task == 0 ? &plan->odd : &plan->even;
    assert_int_equal(outcome.status, expected->status);
    assert_int_equal(outcome.value.integer, expected->value.integer);
}

static void explore_partition(struct partition plan)
{
    const struct harness_options options = {.executions = 300000};
    assert_true(harness_explore(build_partition, check_partition, &plan, &options) > 1);
}

static void each_part_has_its_items_in_order(void **state)
{
    (void)state;
    static const struct harness_item few[] = {ITEM(1, 1), ITEM(0, 2), ITEM(1, 3)};
    explore_partition((struct partition){ITEMS(few), .odd = {.value.integer = 13}, .even = {.value.integer = 2}});
}

static void a_part_waits_for_the_other_when_its_ring_is_full(void **state)
{
    (void)state;
    static const struct harness_item odd_first[] = {ITEM(0, 1), ITEM(0, 3), ITEM(0, 5), ITEM(0, 7), ITEM(1, 2)};
    explore_partition(
        (struct partition){ITEMS(odd_first), .odd = {.value.integer = 1357}, .even = {.value.integer = 2}});
}

static void a_failure_is_told_to_both_parts(void **state)
{
    (void)state;
    static const struct harness_item failing[] = {ITEM(1, 1), ITEM(0, 2), FAILURE(1, -EPIPE)};
    explore_partition((struct partition){ITEMS(failing), .odd = {.status = -EPIPE}, .even = {.status = -EPIPE}});
}

static bool is_three(kn_value_t item, void *context)
{
    (void)context;
    return KN_AS(struct harness_object *, item)->number == 3;
}

/* One part is dropped after its item 3. */
static void build_leaving(struct harness *world, void *context)
{
    struct kn_stream *yes, *no;
    partition(world, context, &yes, &no);
    struct kn_arena *arena = harness_arena(world);
    harness_spawn(world, KN_IN(arena, kn_stream_any, yes, is_three, NULL));
    harness_spawn(world, KN_IN(arena, kn_stream_fold, no, KN_VALUE(0), append, NULL, NULL));
}

static void items_of_a_part_that_was_dropped_are_given_back(void **state)
{
    (void)state;
    static const struct harness_item items[] = {ITEM(0, 3), ITEM(0, 5), ITEM(0, 7), ITEM(0, 9), ITEM(1, 2)};
    struct partition plan = {ITEMS(items), .odd = {.value.integer = true}, .even = {.value.integer = 2}};
    assert_true(harness_explore(build_leaving, check_partition, &plan, NULL) > 1);
}

/*
 * Who is woken when. The source is filled by hand, and may be filled without a wake-up, as when the thread that fills
 * it has not come to that yet: whoever is polled meanwhile takes the item and, with it, the waker.
 */
struct manual {
    struct kn_stream stream;
    int64_t items[8];
    size_t next, count;
    struct kn_waker *waker;
    unsigned discards;
};

static struct kn_outcome manual_next(struct kn_stream *stream, struct kn_context *context)
{
    struct manual *self = KN_CONTAINER_OF(stream, struct manual, stream);
    bool is_there = self->next < self->count;
    self->waker = is_there ? NULL : context->waker;
    if (!is_there)
        return kn_pending();
    int64_t item = self->items[self->next++];
    if (item == KN_END)
        return kn_ended();
    return item < 0 ? kn_failed(item) : kn_ready(KN_VALUE(item));
}

static void manual_drop(struct kn_stream *stream)
{
    KN_CONTAINER_OF(stream, struct manual, stream)->waker = NULL;
}

static void manual_discard(struct kn_stream *stream, kn_value_t value)
{
    (void)value;
    KN_CONTAINER_OF(stream, struct manual, stream)->discards++;
}

static const struct kn_stream_type manual_type = {
    .name = "manual", .next = manual_next, .drop = manual_drop, .discard = manual_discard};

static bool is_odd_number(kn_value_t item, void *context)
{
    (void)context;
    return item.integer % 2 != 0;
}

/* A part with a waker of its own. */
struct reader {
    struct kn_waker waker;
    struct kn_stream *stream;
    unsigned wakes;
};

static void count_wake(struct kn_waker *waker)
{
    KN_CONTAINER_OF(waker, struct reader, waker)->wakes++;
}

static struct manual source;
static struct kn_stream_partition whole;
static kn_value_t rings[2 * RING];
static struct reader odd, even;
static int set_up_readers(void **state)
{
    (void)state;
    kn_local_executor_init(&executor, 0);
    source = (struct manual){.stream.type = &manual_type};
    odd = even = (struct reader){.waker.wake = count_wake};
    return kn_stream_partition(&whole, &source.stream, is_odd_number, NULL, rings, RING, &odd.stream, &even.stream);
}

static int tear_down_readers(void **state)
{
    (void)state;
    kn_stream_drop(odd.stream);
    kn_stream_drop(even.stream);
    return 0;
}

static void fill(const int64_t *items, size_t count)
{
    for (size_t i = 0; i < count; i++)
        source.items[source.count++] = items[i];
}

#define FILL(...) fill((const int64_t[]){__VA_ARGS__}, COUNT(((const int64_t[]){__VA_ARGS__})))

/* Polls a reader once: its item, or a status. */
static int64_t poll(struct reader *reader)
{
    struct kn_context context = kn_local_executor_context(&executor);
    context.waker = &reader->waker;
    struct kn_outcome outcome = kn_stream_poll(reader->stream, &context);
    return outcome.status == KN_READY ? outcome.value.integer : outcome.status;
}

static void the_source_wakes_both_readers(void **state)
{
    (void)state;
    assert_int_equal(poll(&odd), KN_PENDING);
    assert_int_equal(poll(&even), KN_PENDING);
    kn_waker_wake(source.waker);
    assert_int_equal(odd.wakes, 1);
    assert_int_equal(even.wakes, 1);
}

static void a_reader_that_has_an_item_wakes_the_other_to_ask_for_itself(void **state)
{
    (void)state;
    assert_int_equal(poll(&even), KN_PENDING);
    FILL(11, 12);
    assert_int_equal(poll(&odd), 11);
    assert_null(source.waker);
    assert_int_equal(even.wakes, 1);
    assert_int_equal(poll(&even), 12);
}

static void a_reader_that_comes_across_an_item_wakes_the_other(void **state)
{
    (void)state;
    assert_int_equal(poll(&even), KN_PENDING);
    FILL(12);
    assert_int_equal(poll(&odd), KN_PENDING);
    assert_int_equal(even.wakes, 1);
    assert_int_equal(poll(&even), 12);
}

static void room_in_a_ring_wakes_who_waits_for_it(void **state)
{
    (void)state;
    FILL(11, 13, 15, 12);
    assert_int_equal(poll(&even), KN_PENDING);
    assert_int_equal(source.next, RING);
    assert_int_equal(poll(&odd), 11);
    assert_int_equal(even.wakes, 1);
    assert_int_equal(poll(&even), KN_PENDING);
    assert_int_equal(source.next, RING + 1);
    assert_int_equal(poll(&odd), 13);
    assert_int_equal(even.wakes, 2);
    assert_int_equal(poll(&even), 12);
    assert_int_equal(poll(&odd), 15);
}

static void the_drop_of_a_full_part_wakes_who_waits_for_room(void **state)
{
    (void)state;
    FILL(11, 13, 15, 12);
    assert_int_equal(poll(&even), KN_PENDING);
    kn_stream_drop(odd.stream);
    assert_int_equal(source.discards, RING);
    assert_int_equal(even.wakes, 1);
    assert_int_equal(poll(&even), 12);
    assert_int_equal(source.discards, RING + 1);
}

static void a_failure_that_was_not_told_yet_is_room_to_wait_for(void **state)
{
    (void)state;
    FILL(11, -EPIPE, -EIO, 13, KN_END);
    assert_int_equal(poll(&even), -EPIPE);
    assert_int_equal(poll(&even), KN_PENDING);
    assert_int_equal(poll(&odd), 11);
    assert_int_equal(even.wakes, 1);
    assert_int_equal(poll(&even), KN_PENDING);
    assert_int_equal(poll(&odd), -EPIPE);
    assert_int_equal(even.wakes, 2);
    assert_int_equal(poll(&even), -EIO);
    assert_int_equal(poll(&odd), -EIO);
    assert_int_equal(poll(&even), KN_END);
    assert_int_equal(poll(&odd), 13);
    assert_int_equal(poll(&odd), KN_END);
}

static void nobody_calls_the_waker_of_a_reader_that_has_its_answer(void **state)
{
    (void)state;
    FILL(11);
    assert_int_equal(poll(&odd), 11);
    assert_int_equal(poll(&even), KN_PENDING);
    kn_waker_wake(source.waker);
    assert_int_equal(odd.wakes, 0);
    assert_int_equal(even.wakes, 1);
}

static void nobody_calls_the_waker_of_a_part_that_was_dropped(void **state)
{
    (void)state;
    assert_int_equal(poll(&odd), KN_PENDING);
    assert_int_equal(poll(&even), KN_PENDING);
    kn_stream_drop(odd.stream);
    assert_non_null(source.waker);
    kn_waker_wake(source.waker);
    assert_int_equal(odd.wakes, 0);
    assert_true(even.wakes > 0);
    kn_stream_drop(even.stream);
    assert_null(source.waker);
}

/* ---- what all of them promise ---- */

static unsigned drops;

static void count_drop(struct kn_stream *stream)
{
    (void)stream;
    drops++;
}

static void without_memory_or_a_stream_nothing_is_made(void **state)
{
    (void)state;
    static const struct kn_stream_type counted_type = {.name = "counted", .next = always_next, .drop = count_drop};
    struct kn_stream inner = {.type = &counted_type};
    kn_value_t values[4];
    struct kn_stream_peekable peekable;
    struct kn_stream_chunks chunks;
    struct kn_stream_windows windows;
    struct kn_stream_next_if next_if;
    struct kn_stream_peek peek;
    struct kn_stream *yes, *no;
    drops = 0;
    assert_null(kn_stream_peekable(NULL, &inner));
    assert_null(kn_stream_chunks(NULL, &inner, values, 2));
    assert_null(kn_stream_chunks(&chunks, &inner, values, 0));
    assert_null(kn_stream_chunks(&chunks, &inner, NULL, 2));
    assert_null(kn_stream_ready_chunks(NULL, &inner, values, 2));
    assert_null(kn_stream_windows(NULL, &inner, values, 2, 1));
    assert_null(kn_stream_windows(&windows, &inner, values, 0, 1));
    assert_null(kn_stream_windows(&windows, &inner, values, 2, 0));
    assert_int_equal(drops, 8);
    assert_int_equal(kn_stream_partition(NULL, &inner, is_odd, NULL, values, 2, &yes, &no), -ENOMEM);
    assert_int_equal(kn_stream_partition(&whole, &inner, is_odd, NULL, NULL, 2, &yes, &no), -ENOMEM);
    assert_int_equal(kn_stream_partition(&whole, &inner, is_odd, NULL, values, 0, &yes, &no), -EINVAL);
    assert_int_equal(kn_stream_partition(&whole, NULL, is_odd, NULL, values, 2, &yes, &no), -ENOMEM);
    assert_null(yes);
    assert_null(no);
    assert_int_equal(drops, 11);
    assert_null(kn_stream_next_if(&next_if, NULL, is_small, &three));
    assert_null(kn_stream_next_if(NULL, &peekable, is_small, &three));
    assert_null(kn_stream_peek(&peek, NULL));
    assert_null(kn_stream_peek(NULL, &peekable));
    assert_null(kn_stream_peekable(&peekable, NULL));
    assert_null(kn_stream_chunks(&chunks, NULL, values, 2));
    assert_null(kn_stream_windows(&windows, NULL, values, 2, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(poll_peek_tells_what_the_next_poll_answers),
        cmocka_unit_test(peekable_passes_everything_on),
        cmocka_unit_test(next_if_takes_an_item_only_if_it_is_right),
        cmocka_unit_test(next_if_gives_back_an_item_that_nobody_takes),
        cmocka_unit_test(chunks_put_together_are_the_items),
        cmocka_unit_test(a_failure_comes_after_the_chunk_that_it_cuts_short),
        cmocka_unit_test(a_chunk_that_nobody_takes_gives_back_its_items),
        cmocka_unit_test(ready_chunks_hold_what_is_there),
        cmocka_unit_test(chunks_let_others_run_while_they_fill),
        cmocka_unit_test(windows_slide_over_the_items),
        cmocka_unit_test(windows_of_their_own_step_are_full_chunks),
        cmocka_unit_test(windows_leave_out_what_lies_between_them),
        cmocka_unit_test(each_part_has_its_items_in_order),
        cmocka_unit_test(a_part_waits_for_the_other_when_its_ring_is_full),
        cmocka_unit_test(a_failure_is_told_to_both_parts),
        cmocka_unit_test(items_of_a_part_that_was_dropped_are_given_back),
        cmocka_unit_test_setup_teardown(the_source_wakes_both_readers, set_up_readers, tear_down_readers),
        cmocka_unit_test_setup_teardown(a_reader_that_has_an_item_wakes_the_other_to_ask_for_itself, set_up_readers,
                                        tear_down_readers),
        cmocka_unit_test_setup_teardown(a_reader_that_comes_across_an_item_wakes_the_other, set_up_readers,
                                        tear_down_readers),
        cmocka_unit_test_setup_teardown(room_in_a_ring_wakes_who_waits_for_it, set_up_readers, tear_down_readers),
        cmocka_unit_test_setup_teardown(the_drop_of_a_full_part_wakes_who_waits_for_room, set_up_readers,
                                        tear_down_readers),
        cmocka_unit_test_setup_teardown(a_failure_that_was_not_told_yet_is_room_to_wait_for, set_up_readers,
                                        tear_down_readers),
        cmocka_unit_test_setup_teardown(nobody_calls_the_waker_of_a_reader_that_has_its_answer, set_up_readers,
                                        tear_down_readers),
        cmocka_unit_test_setup_teardown(nobody_calls_the_waker_of_a_part_that_was_dropped, set_up_readers,
                                        tear_down_readers),
        cmocka_unit_test(without_memory_or_a_stream_nothing_is_made),
    };
    return cmocka_run_group_tests_name("stream_buffer", tests, NULL, NULL);
}
