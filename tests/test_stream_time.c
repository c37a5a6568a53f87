/*
 * Streams of time, in virtual time: what comes when; and in every order of wake-ups, expiries and drops.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <kernel/stream_fold.h>
#include <kernel/stream_time.h>

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

/* A unit of time that the wheel does not round, and when all tests begin. */
#define UNIT (UINT64_C(1) << 20)
#define START (1024 * UNIT)

enum { SEEN_MAX = 64 };

static struct kn_local_executor executor;

static int set_up(void **state)
{
    (void)state;
    kn_local_executor_init(&executor, START);
    return 0;
}

static uint64_t now_units(void)
{
    return (executor.executor.now_ns - START) / UNIT;
}

/* ---- a stream of what comes when ---- */

struct event {
    uint64_t at_units;         /* when it is there, or later if nobody asks */
    struct kn_outcome outcome; /* what; the end comes after the last */
};

#define AT(units, number)                                                                                              \
    {                                                                                                                  \
        .at_units = (units), .outcome = {.value.integer = (number) }                                                   \
    }
#define FAILS_AT(units, error)                                                                                         \
    {                                                                                                                  \
        .at_units = (units), .outcome = {.status = (error) }                                                           \
    }
#define ENDS_AT(units)                                                                                                 \
    {                                                                                                                  \
        .at_units = (units), .outcome = {.status = KN_END }                                                            \
    }

struct timeline {
    struct kn_stream stream;
    const struct event *next;
    struct kn_future_delay delay;
    bool waits;
    uint64_t discarded;         /* values given back, as the sum of 2^value */
    uint64_t asked_deadline_ns; /* handed down by the last poll */
};

static struct kn_outcome timeline_next(struct kn_stream *stream, struct kn_context *context)
{
    struct timeline *self = KN_CONTAINER_OF(stream, struct timeline, stream);
    self->asked_deadline_ns = context->deadline_ns;
    if (!self->waits)
        (void)kn_future_delay_until(&self->delay, START + self->next->at_units * UNIT);
    self->waits = kn_future_poll(&self->delay.future, context).status == KN_PENDING;
    return self->waits ? kn_pending() : self->next++->outcome;
}

static void timeline_drop(struct kn_stream *stream)
{
    struct timeline *self = KN_CONTAINER_OF(stream, struct timeline, stream);
    if (self->waits)
        kn_future_drop(&self->delay.future);
    self->waits = false;
}

static void timeline_discard(struct kn_stream *stream, kn_value_t value)
{
    KN_CONTAINER_OF(stream, struct timeline, stream)->discarded |= UINT64_C(1) << value.integer;
}

static const struct kn_stream_type timeline_type = {
    .name = "timeline", .next = timeline_next, .drop = timeline_drop, .discard = timeline_discard};

static struct kn_stream *timeline(struct timeline *self, const struct event *events)
{
    *self = (struct timeline){.stream.type = &timeline_type, .next = events};
    return &self->stream;
}

/* ---- what came when ---- */

static struct seen {
    uint64_t at_units;
    int64_t number; /* of an item, or a status */
} seen[SEEN_MAX];
static size_t seen_count;

static void see(int64_t number)
{
    assert_true(seen_count < SEEN_MAX);
    seen[seen_count++] = (struct seen){.at_units = now_units(), .number = number};
}

/* Notes all that a stream answers, failures too, until it ends or has answered `count` times, then drops it. */
struct watcher {
    struct kn_future future;
    struct kn_stream *stream;
    size_t count;
    bool has_chunks; /* of which the items are noted, and their count times -1 */
};

static void see_chunk(const struct kn_stream_chunk *chunk)
{
    for (size_t i = 0; i < chunk->count; i++)
        see(chunk->values[i].integer);
    see(-(int64_t)chunk->count);
}

static struct kn_outcome watcher_poll(struct kn_future *future, struct kn_context *context)
{
    struct watcher *self = KN_CONTAINER_OF(future, struct watcher, future);
    for (; self->count > 0; self->count--) {
        struct kn_outcome outcome = kn_stream_poll(self->stream, context);
        if (outcome.status == KN_PENDING)
            return outcome;
        if (outcome.status == KN_READY && self->has_chunks)
            see_chunk(outcome.value.pointer);
        else
            see(outcome.status == KN_READY ? outcome.value.integer : outcome.status);
        if (outcome.status == KN_END)
            break;
    }
    kn_stream_drop(self->stream);
    return kn_ready(KN_NOTHING);
}

static void watcher_drop(struct kn_future *future)
{
    kn_stream_drop(KN_CONTAINER_OF(future, struct watcher, future)->stream);
}

static const struct kn_future_type watcher_type = {.name = "watcher", .poll = watcher_poll, .drop = watcher_drop};

static void watch(struct kn_stream *stream, size_t count, bool has_chunks)
{
    struct watcher self = {.future.type = &watcher_type, .stream = stream, .count = count, .has_chunks = has_chunks};
    assert_non_null(stream);
    seen_count = 0;
    assert_int_equal(kn_local_executor_run(&executor, &self.future).status, KN_READY);
    assert_int_equal(kn_counter_read(&kn_timer_wheel_counters(&executor.wheel)->live), 0);
    assert_int_equal(executor.executor.pins, 0);
}

static void check_seen(const struct seen *expected, size_t count)
{
    for (size_t i = 0; i < count && i < seen_count; i++) {
        assert_int_equal(seen[i].number, expected[i].number);
        assert_int_equal(seen[i].at_units, expected[i].at_units);
    }
    assert_int_equal(seen_count, count);
}

#define SEEN(...) check_seen((const struct seen[]){__VA_ARGS__}, COUNT(((const struct seen[]){__VA_ARGS__})))

/* ---- interval ---- */

static void interval_ticks_at_once_and_then_each_period(void **state)
{
    (void)state;
    struct kn_stream_interval memory;
    watch(kn_stream_interval(&memory, 5 * UNIT, KN_MISSED_BURST), 4, false);
    SEEN({0, 0}, {5, 1}, {10, 2}, {15, 3});
}

static void interval_at_begins_when_it_is_told_to(void **state)
{
    (void)state;
    struct kn_stream_interval memory;
    watch(kn_stream_interval_at(&memory, START + 3 * UNIT, 5 * UNIT, KN_MISSED_SKIP), 3, false);
    SEEN({3, 0}, {8, 1}, {13, 2});
}

/* Takes a tick on time, is away until 17, and takes three more. */
static void watch_late(enum kn_missed_ticks missed)
{
    struct kn_stream_interval memory;
    struct kn_stream *stream = kn_stream_interval(&memory, 5 * UNIT, missed);
    struct kn_context context = kn_local_executor_context(&executor);
    assert_int_equal(kn_stream_poll(stream, &context).value.natural, 0);
    kn_local_executor_advance(&executor, START + 17 * UNIT);
    watch(stream, 4, false);
}

static void missed_ticks_come_in_a_burst(void **state)
{
    (void)state;
    watch_late(KN_MISSED_BURST);
    SEEN({17, 1}, {17, 2}, {17, 3}, {20, 4});
}

static void missed_ticks_delay_those_to_come(void **state)
{
    (void)state;
    watch_late(KN_MISSED_DELAY);
    SEEN({17, 1}, {22, 2}, {27, 3}, {32, 4});
}

static void missed_ticks_are_skipped(void **state)
{
    (void)state;
    watch_late(KN_MISSED_SKIP);
    SEEN({17, 1}, {20, 4}, {25, 5}, {30, 6});
}

static void interval_without_timers_fails_and_ends(void **state)
{
    (void)state;
    struct kn_stream_interval memory;
    struct kn_stream *stream = kn_stream_interval(&memory, 0, KN_MISSED_BURST);
    struct kn_context context = kn_local_executor_context(&executor);
    executor.executor.timers = NULL;
    assert_int_equal(kn_stream_poll(stream, &context).status, KN_READY);
    assert_int_equal(kn_stream_poll(stream, &context).status, -ENOSYS);
    assert_int_equal(kn_stream_poll(stream, &context).status, KN_END);
    kn_stream_drop(stream);
}

/* ---- throttle, rate limit ---- */

static void throttle_keeps_items_apart(void **state)
{
    (void)state;
    static const struct event events[] = {AT(0, 1), AT(0, 2), AT(4, 3), AT(40, 4), AT(41, 5), ENDS_AT(41)};
    struct timeline source;
    struct kn_stream_throttle memory;
    watch(kn_stream_throttle(&memory, timeline(&source, events), 10 * UNIT), SEEN_MAX, false);
    SEEN({0, 1}, {10, 2}, {20, 3}, {40, 4}, {50, 5}, {60, KN_END});
}

static void throttle_passes_failures_on_without_a_pause_after_them(void **state)
{
    (void)state;
    static const struct event events[] = {FAILS_AT(1, -EPIPE), AT(2, 1), FAILS_AT(2, -EIO), ENDS_AT(3)};
    struct timeline source;
    struct kn_stream_throttle memory;
    watch(kn_stream_throttle(&memory, timeline(&source, events), 10 * UNIT), SEEN_MAX, false);
    SEEN({1, -EPIPE}, {2, 1}, {12, -EIO}, {12, KN_END});
}

static void rate_limit_lets_a_burst_pass_after_a_pause(void **state)
{
    (void)state;
    static const struct event events[] = {AT(0, 1),  AT(0, 2),  AT(0, 3),  AT(0, 4),   AT(0, 5),
                                          AT(55, 6), AT(55, 7), AT(55, 8), ENDS_AT(55)};
    struct timeline source;
    struct kn_stream_throttle memory;
    watch(kn_stream_rate_limit(&memory, timeline(&source, events), 10 * UNIT, 3), SEEN_MAX, false);
    SEEN({0, 1}, {0, 2}, {0, 3}, {10, 4}, {20, 5}, {55, 6}, {55, 7}, {55, 8}, {65, KN_END});
}

static void a_limit_beyond_all_time_is_none(void **state)
{
    (void)state;
    static const struct event events[] = {AT(0, 1), AT(0, 2), AT(0, 3), ENDS_AT(0)};
    struct timeline source;
    struct kn_stream_throttle memory;
    watch(kn_stream_rate_limit(&memory, timeline(&source, events), UINT64_MAX / 2, UINT64_MAX), SEEN_MAX, false);
    SEEN({0, 1}, {0, 2}, {0, 3}, {0, KN_END});
    watch(kn_stream_rate_limit(&memory, timeline(&source, events), 0, 0), SEEN_MAX, false);
    SEEN({0, 1}, {0, 2}, {0, 3}, {0, KN_END});
}

/* ---- debounce, sample ---- */

static void debounce_waits_for_quiet_and_keeps_the_newest(void **state)
{
    (void)state;
    static const struct event events[] = {AT(0, 1), AT(3, 2), AT(6, 3), AT(30, 4), AT(31, 5), ENDS_AT(32)};
    struct timeline source;
    struct kn_stream_debounce memory;
    watch(kn_stream_debounce(&memory, timeline(&source, events), 10 * UNIT), SEEN_MAX, false);
    SEEN({16, 3}, {32, 5}, {32, KN_END});
    assert_int_equal(source.discarded, 1 << 1 | 1 << 2 | 1 << 4);
}

static void debounce_passes_an_item_on_before_a_failure(void **state)
{
    (void)state;
    static const struct event events[] = {FAILS_AT(1, -EIO), AT(2, 1), FAILS_AT(3, -EPIPE), AT(4, 2), ENDS_AT(30)};
    struct timeline source;
    struct kn_stream_debounce memory;
    watch(kn_stream_debounce(&memory, timeline(&source, events), 10 * UNIT), SEEN_MAX, false);
    SEEN({1, -EIO}, {3, 1}, {3, -EPIPE}, {14, 2}, {30, KN_END});
}

static void debounce_of_no_time_passes_on_the_newest_of_each_poll(void **state)
{
    (void)state;
    static const struct event events[] = {AT(0, 1), AT(0, 2), AT(5, 3), ENDS_AT(6)};
    struct timeline source;
    struct kn_stream_debounce memory;
    watch(kn_stream_debounce(&memory, timeline(&source, events), 0), SEEN_MAX, false);
    SEEN({0, 2}, {5, 3}, {6, KN_END});
}

static void sample_does_not_wait_for_quiet(void **state)
{
    (void)state;
    static const struct event events[] = {AT(0, 1), AT(4, 2), AT(8, 3), AT(12, 4), AT(16, 5), ENDS_AT(50)};
    struct timeline source;
    struct kn_stream_sample memory;
    watch(kn_stream_sample(&memory, timeline(&source, events), 10 * UNIT), SEEN_MAX, false);
    SEEN({10, 3}, {22, 5}, {50, KN_END});
    assert_int_equal(source.discarded, 1 << 1 | 1 << 2 | 1 << 4);
}

/* ---- timeout ---- */

static void timeout_fails_once_and_waits_on(void **state)
{
    (void)state;
    static const struct event events[] = {AT(9, 1), AT(50, 2), AT(55, 3), ENDS_AT(70)};
    struct timeline source;
    struct kn_stream_timeout memory;
    watch(kn_stream_timeout(&memory, timeline(&source, events), 10 * UNIT), SEEN_MAX, false);
    SEEN({9, 1}, {19, -ETIMEDOUT}, {50, 2}, {55, 3}, {65, -ETIMEDOUT}, {70, KN_END});
}

static void timeout_repeating_fails_until_the_item_comes(void **state)
{
    (void)state;
    static const struct event events[] = {AT(9, 1), AT(45, 2), ENDS_AT(46)};
    struct timeline source;
    struct kn_stream_timeout memory;
    watch(kn_stream_timeout_repeating(&memory, timeline(&source, events), 10 * UNIT), SEEN_MAX, false);
    SEEN({9, 1}, {19, -ETIMEDOUT}, {29, -ETIMEDOUT}, {39, -ETIMEDOUT}, {45, 2}, {46, KN_END});
}

static void timeout_hands_its_deadline_down_while_it_runs(void **state)
{
    (void)state;
    static const struct event events[] = {AT(50, 1), ENDS_AT(50)};
    struct timeline source;
    struct kn_stream_timeout memory;
    struct kn_stream *stream = kn_stream_timeout(&memory, timeline(&source, events), 10 * UNIT);
    struct kn_context context = kn_local_executor_context(&executor);
    assert_int_equal(kn_stream_poll(stream, &context).status, KN_PENDING);
    assert_int_equal(source.asked_deadline_ns, START + 10 * UNIT);
    kn_local_executor_advance(&executor, START + 5 * UNIT);
    assert_int_equal(kn_stream_poll(stream, &context).status, KN_PENDING);
    assert_int_equal(source.asked_deadline_ns, START + 10 * UNIT);
    kn_local_executor_advance(&executor, START + 10 * UNIT);
    assert_int_equal(kn_stream_poll(stream, &context).status, -ETIMEDOUT);
    assert_int_equal(kn_stream_poll(stream, &context).status, KN_PENDING);
    assert_true(source.asked_deadline_ns == KN_NEVER);
    context.deadline_ns = START + 20 * UNIT;
    assert_int_equal(kn_stream_poll(stream, &context).status, KN_PENDING);
    assert_int_equal(source.asked_deadline_ns, START + 20 * UNIT);
    kn_stream_drop(stream);
}

static void a_timeout_beyond_all_time_never_comes(void **state)
{
    (void)state;
    static const struct event events[] = {AT(50, 1), ENDS_AT(60)};
    struct timeline source;
    struct kn_stream_timeout memory;
    watch(kn_stream_timeout(&memory, timeline(&source, events), KN_NEVER), SEEN_MAX, false);
    SEEN({50, 1}, {60, KN_END});
}

/* ---- chunks_timeout ---- */

static void chunks_timeout_hands_out_what_has_waited(void **state)
{
    (void)state;
    static const struct event events[] = {AT(5, 1),  AT(6, 2),  AT(7, 3),  AT(8, 4),  AT(30, 5),
                                          AT(35, 6), AT(52, 7), AT(60, 8), AT(61, 9), ENDS_AT(65)};
    struct timeline source;
    kn_value_t values[3];
    struct kn_stream_chunks_timeout memory;
    struct kn_stream *stream = timeline(&source, events);
    watch(kn_stream_chunks_timeout(&memory, stream, values, 3, 10 * UNIT), SEEN_MAX, true);
    SEEN({7, 1}, {7, 2}, {7, 3}, {7, -3}, {18, 4}, {18, -1}, {40, 5}, {40, 6}, {40, -2}, {61, 7}, {61, 8}, {61, 9},
         {61, -3}, {65, KN_END});
}

static void chunks_timeout_cuts_a_chunk_short_at_a_failure(void **state)
{
    (void)state;
    static const struct event events[] = {AT(5, 1), FAILS_AT(6, -EPIPE), AT(20, 2), ENDS_AT(22)};
    struct timeline source;
    kn_value_t values[3];
    struct kn_stream_chunks_timeout memory;
    struct kn_stream *stream = timeline(&source, events);
    watch(kn_stream_chunks_timeout(&memory, stream, values, 3, 10 * UNIT), SEEN_MAX, true);
    SEEN({6, 1}, {6, -1}, {6, -EPIPE}, {22, 2}, {22, -1}, {22, KN_END});
}

/* ---- without timers ---- */

/* A stream of one item, that is silent then. */
static struct kn_outcome single_next(struct kn_stream *stream, struct kn_context *context)
{
    (void)context;
    struct timeline *self = KN_CONTAINER_OF(stream, struct timeline, stream);
    if (self->waits)
        return kn_pending();
    self->waits = true;
    return kn_ready(KN_VALUE(1));
}

static const struct kn_stream_type single_type = {
    .name = "single", .next = single_next, .drop = kn_stream_drop_nothing, .discard = timeline_discard};

static void streams_that_need_timers_fail_where_there_are_none(void **state)
{
    (void)state;
    struct timeline source = {.stream.type = &single_type};
    struct kn_stream *inner = &source.stream;
    union {
        struct kn_stream_throttle throttle;
        struct kn_stream_debounce debounce;
        struct kn_stream_timeout timeout;
        struct kn_stream_chunks_timeout chunks;
    } memory;
    kn_value_t values[2];
    struct kn_context context = kn_local_executor_context(&executor);
    executor.executor.timers = NULL;
    struct kn_stream *stream = kn_stream_throttle(&memory.throttle, inner, UNIT);
    assert_int_equal(kn_stream_poll(stream, &context).status, KN_READY);
    assert_int_equal(kn_stream_poll(stream, &context).status, -ENOSYS);
    kn_stream_drop(stream);
    stream = kn_stream_timeout(&memory.timeout, inner, UNIT);
    assert_int_equal(kn_stream_poll(stream, &context).status, -ENOSYS);
    kn_stream_drop(stream);
    source.waits = false;
    stream = kn_stream_debounce(&memory.debounce, inner, UNIT);
    assert_int_equal(kn_stream_poll(stream, &context).status, -ENOSYS);
    assert_int_equal(source.discarded, 0);
    kn_stream_drop(stream);
    assert_int_equal(source.discarded, 1 << 1);
    source.waits = false;
    source.discarded = 0;
    stream = kn_stream_chunks_timeout(&memory.chunks, inner, values, 2, UNIT);
    assert_int_equal(kn_stream_poll(stream, &context).status, -ENOSYS);
    kn_stream_drop(stream);
    assert_int_equal(source.discarded, 1 << 1);
}

static void without_memory_or_a_stream_nothing_is_made(void **state)
{
    (void)state;
    struct timeline source;
    struct kn_stream_chunks_timeout chunks;
    struct kn_stream_timeout timeout;
    kn_value_t values[2];
    static const struct event events[] = {AT(5, 1)};
    struct kn_context context = kn_local_executor_context(&executor);
    struct kn_stream *inner = timeline(&source, events);
    assert_int_equal(kn_stream_poll(inner, &context).status, KN_PENDING);
    assert_null(kn_stream_chunks_timeout(&chunks, inner, values, 0, UNIT));
    assert_false(source.waits);
    assert_null(kn_stream_chunks_timeout(NULL, inner, values, 2, UNIT));
    assert_null(kn_stream_throttle(NULL, inner, UNIT));
    assert_null(kn_stream_debounce(NULL, inner, UNIT));
    assert_null(kn_stream_sample(NULL, inner, UNIT));
    assert_null(kn_stream_timeout_repeating(NULL, inner, UNIT));
    assert_null(kn_stream_timeout(&timeout, NULL, UNIT));
    assert_null(kn_stream_interval(NULL, UNIT, KN_MISSED_BURST));
}

/* ---- in every order ---- */

enum kind { INTERVAL, THROTTLE, RATE_LIMIT, DEBOUNCE, SAMPLE, TIMEOUT, TIMEOUT_REPEATING, CHUNKS_TIMEOUT };

struct scenario {
    enum kind kind;
    const struct harness_item *items;
    size_t count;
    int64_t failure; /* that may come */
    bool must_fail;  /* and does */
    /* Of this execution. */
    struct harness *world;
    uint64_t last_ns[2]; /* when the last items came, newest first */
    size_t came;
};

static struct kn_stream *make(struct scenario *scenario, struct kn_arena *arena, struct kn_stream *stream)
{
    kn_value_t *values = kn_arena_allocate(arena, 2 * sizeof *values, _Alignof(kn_value_t));
    switch (scenario->kind) {
    case INTERVAL:
        return KN_IN(arena, kn_stream_interval, UNIT, KN_MISSED_SKIP);
    case THROTTLE:
        return KN_IN(arena, kn_stream_throttle, stream, UNIT);
    case RATE_LIMIT:
        return kn_stream_rate_limit(KN_ARENA_NEW(arena, struct kn_stream_throttle), stream, UNIT, 2);
    case DEBOUNCE:
        return KN_IN(arena, kn_stream_debounce, stream, UNIT);
    case SAMPLE:
        return KN_IN(arena, kn_stream_sample, stream, UNIT);
    case TIMEOUT:
        return KN_IN(arena, kn_stream_timeout, stream, UNIT);
    case TIMEOUT_REPEATING:
        return kn_stream_timeout_repeating(KN_ARENA_NEW(arena, struct kn_stream_timeout), stream, UNIT);
    case CHUNKS_TIMEOUT:
        return KN_IN(arena, kn_stream_chunks_timeout, stream, values, 2, UNIT);
    }
    return NULL;
}

/* Stops at the third tick. */
static bool is_two(kn_value_t item, void *context)
{
    (void)context;
    return item.natural == 2;
}

/* Items of a throttle are never closer than its interval; of a rate limit no three are. */
static bool never(kn_value_t item, void *context)
{
    (void)item;
    struct scenario *scenario = context;
    uint64_t now_ns = harness_now_ns(scenario->world);
    scenario->came++;
    if (scenario->kind == THROTTLE && scenario->came > 1)
        assert_true(now_ns >= scenario->last_ns[0] + UNIT);
    if (scenario->kind == RATE_LIMIT && scenario->came > 2)
        assert_true(now_ns >= scenario->last_ns[1] + UNIT);
    scenario->last_ns[1] = scenario->last_ns[0];
    scenario->last_ns[0] = now_ns;
    return false;
}

static void build(struct harness *world, void *context)
{
    struct scenario *scenario = context;
    struct kn_arena *arena = harness_arena(world);
    scenario->world = world;
    scenario->came = 0;
    struct kn_stream *stream = NULL;
    if (scenario->kind != INTERVAL)
        stream = harness_owned_stream(world, scenario->items, scenario->count);
    stream = make(scenario, arena, stream);
    harness_spawn(world, KN_IN(arena, kn_stream_any, stream, scenario->kind == INTERVAL ? is_two : never, scenario));
}

static void check(struct harness *world, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)world;
    (void)task;
    const struct scenario *scenario = context;
    if (outcome.status != KN_READY || scenario->must_fail) {
        assert_int_equal(outcome.status, scenario->failure);
        return;
    }
    if (scenario->kind == THROTTLE || scenario->kind == RATE_LIMIT || scenario->kind == TIMEOUT)
        assert_int_equal(scenario->came, scenario->count);
    if (scenario->kind == CHUNKS_TIMEOUT)
        assert_in_range(scenario->came, (scenario->count + 1) / 2, scenario->count);
    if (scenario->kind == DEBOUNCE || scenario->kind == SAMPLE)
        assert_in_range(scenario->came, 1, scenario->count);
}

static void explore(struct scenario scenario)
{
    const struct harness_options options = {.executions = 100000};
    assert_true(harness_explore(build, check, &scenario, &options) > 1);
}

#define ITEMS(array) .items = (array), .count = COUNT(array)

static const struct harness_item some[] = {ITEM(1, 1), ITEM(0, 2), ITEM(1, 3)};
static const struct harness_item broken[] = {ITEM(1, 1), ITEM(0, 2), FAILURE(1, -EPIPE), ITEM(0, 3)};

static void streams_of_time_hold_in_every_order(void **state)
{
    (void)state;
    static const enum kind kinds[] = {INTERVAL, THROTTLE, RATE_LIMIT, DEBOUNCE, SAMPLE, CHUNKS_TIMEOUT};
    for (size_t i = 0; i < COUNT(kinds); i++) {
        explore((struct scenario){kinds[i], ITEMS(some)});
        if (kinds[i] != INTERVAL)
            explore((struct scenario){kinds[i], ITEMS(broken), .failure = -EPIPE, .must_fail = true});
    }
}

static void timeouts_hold_in_every_order(void **state)
{
    (void)state;
    explore((struct scenario){TIMEOUT, ITEMS(some), .failure = -ETIMEDOUT});
    explore((struct scenario){TIMEOUT_REPEATING, ITEMS(some), .failure = -ETIMEDOUT});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(interval_ticks_at_once_and_then_each_period, set_up),
        cmocka_unit_test_setup(interval_at_begins_when_it_is_told_to, set_up),
        cmocka_unit_test_setup(missed_ticks_come_in_a_burst, set_up),
        cmocka_unit_test_setup(missed_ticks_delay_those_to_come, set_up),
        cmocka_unit_test_setup(missed_ticks_are_skipped, set_up),
        cmocka_unit_test_setup(interval_without_timers_fails_and_ends, set_up),
        cmocka_unit_test_setup(throttle_keeps_items_apart, set_up),
        cmocka_unit_test_setup(throttle_passes_failures_on_without_a_pause_after_them, set_up),
        cmocka_unit_test_setup(rate_limit_lets_a_burst_pass_after_a_pause, set_up),
        cmocka_unit_test_setup(a_limit_beyond_all_time_is_none, set_up),
        cmocka_unit_test_setup(debounce_waits_for_quiet_and_keeps_the_newest, set_up),
        cmocka_unit_test_setup(debounce_passes_an_item_on_before_a_failure, set_up),
        cmocka_unit_test_setup(debounce_of_no_time_passes_on_the_newest_of_each_poll, set_up),
        cmocka_unit_test_setup(sample_does_not_wait_for_quiet, set_up),
        cmocka_unit_test_setup(timeout_fails_once_and_waits_on, set_up),
        cmocka_unit_test_setup(timeout_repeating_fails_until_the_item_comes, set_up),
        cmocka_unit_test_setup(timeout_hands_its_deadline_down_while_it_runs, set_up),
        cmocka_unit_test_setup(a_timeout_beyond_all_time_never_comes, set_up),
        cmocka_unit_test_setup(chunks_timeout_hands_out_what_has_waited, set_up),
        cmocka_unit_test_setup(chunks_timeout_cuts_a_chunk_short_at_a_failure, set_up),
        cmocka_unit_test_setup(streams_that_need_timers_fail_where_there_are_none, set_up),
        cmocka_unit_test_setup(without_memory_or_a_stream_nothing_is_made, set_up),
        cmocka_unit_test(streams_of_time_hold_in_every_order),
        cmocka_unit_test(timeouts_hold_in_every_order),
    };
    return cmocka_run_group_tests_name("stream_time", tests, NULL, NULL);
}
