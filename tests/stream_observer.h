/*
 * What a stream answers, as claims of its tests: a future that takes its items one after the other to the end, writes
 * down each answer as a number (of an item what `read` says, of a failure the error), and polls on after failures.
 *
 *        CLAIM(make_map, read_integer, GIVE_BACK_AT_ONCE, 2, 4, -EIO, 6);
 *
 * explores all executions of the stream that make_map makes: each that comes to the end has exactly these answers, each
 * that is dropped the first of them. Items are given back to the stream, at once or only after its end.
 */
#ifndef STREAM_OBSERVER_H
#define STREAM_OBSERVER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "async_harness.h"

enum { OBSERVED_MAX = 32, CLAIM_EXECUTIONS = 100000 };

/* Items of a harness stream. */
/* clang-format off */
#define ITEM(waits, number) {(waits), {KN_READY, {.integer = (number)}}}
#define FAILURE(waits, error) {(waits), {(error), {.integer = 0}}}
/* clang-format on */
#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

/* What came out of a stream. */
struct observed {
    int64_t answers[OBSERVED_MAX];
    size_t count;
    bool has_ended;
};

typedef int64_t observer_read(kn_value_t value);
typedef struct kn_stream *observer_make(struct harness *world);
typedef void observer_check(const struct observed *observed);

/* When items are given back. */
enum observer_giving { GIVE_BACK_AT_ONCE, GIVE_BACK_AFTER_THE_END };

struct observer {
    struct kn_future future; /* first */
    struct kn_stream *stream;
    struct observed *observed;
    observer_read *read;
    enum observer_giving giving;
    kn_value_t kept[OBSERVED_MAX];
    size_t kept_count;
};

static inline int64_t read_integer(kn_value_t value)
{
    return value.integer;
}

static inline int64_t read_object(kn_value_t value)
{
    return ((const struct harness_object *)value.pointer)->number;
}

static inline void observe(struct observed *observed, struct kn_outcome outcome, observer_read *read)
{
    assert_false(observed->has_ended);
    observed->has_ended = outcome.status == KN_END;
    if (observed->has_ended)
        return;
    assert_true(outcome.status <= 0);
    assert_true(observed->count < OBSERVED_MAX);
    observed->answers[observed->count++] = outcome.status == KN_READY ? read(outcome.value) : outcome.status;
}

/* A stream that has ended is not dropped: it holds nothing. */
static inline void observer_drop(struct kn_future *future)
{
    struct observer *self = KN_CONTAINER_OF(future, struct observer, future);
    if (!self->observed->has_ended)
        kn_stream_drop(self->stream);
    while (self->kept_count > 0)
        kn_stream_discard(self->stream, self->kept[--self->kept_count]);
}

static inline struct kn_outcome observer_poll(struct kn_future *future, struct kn_context *context)
{
    struct observer *self = KN_CONTAINER_OF(future, struct observer, future);
    do {
        struct kn_outcome outcome = kn_stream_poll(self->stream, context);
        if (outcome.status == KN_PENDING)
            return outcome;
        observe(self->observed, outcome, self->read);
        if (outcome.status == KN_END) {
            observer_drop(future);
            return kn_ready(KN_NOTHING);
        }
        if (outcome.status == KN_READY && self->giving == GIVE_BACK_AFTER_THE_END)
            self->kept[self->kept_count++] = outcome.value;
        else
            kn_stream_discard_outcome(self->stream, outcome);
    } while (kn_context_may_continue(context));
    return kn_pending();
}

static const struct kn_future_type observer_type = {.name = "observer", .poll = observer_poll, .drop = observer_drop};

/* A claim under way. */
struct claim {
    observer_make *make;
    observer_read *read;
    enum observer_giving giving;
    const int64_t *expected; /* or */
    size_t count;
    observer_check *check; /* of what came out of an execution, to the end or not */
    struct observed observed;
};

static inline void claim_build(struct harness *world, void *context)
{
    struct claim *claim = context;
    struct kn_stream *stream = claim->make(world);
    struct observer *observer = KN_ARENA_NEW(harness_arena(world), struct observer);
    assert_non_null(stream);
    assert_non_null(observer);
    claim->observed.count = 0;
    claim->observed.has_ended = false;
    observer->future.type = &observer_type;
    observer->stream = stream;
    observer->observed = &claim->observed;
    observer->read = claim->read;
    observer->giving = claim->giving;
    observer->kept_count = 0;
    harness_spawn(world, &observer->future);
}

static inline void claim_ended(struct harness *world, void *context)
{
    (void)world;
    const struct claim *claim = context;
    const struct observed *observed = &claim->observed;
    if (claim->check) {
        claim->check(observed);
        return;
    }
    assert_true(observed->count <= claim->count);
    if (observed->has_ended)
        assert_int_equal(observed->count, claim->count);
    for (size_t i = 0; i < observed->count; i++)
        assert_int_equal(observed->answers[i], claim->expected[i]);
}

static inline void explore_claim(struct claim claim)
{
    static const struct harness_options options = {.executions = CLAIM_EXECUTIONS, .ended = claim_ended};
    harness_explore(claim_build, NULL, &claim, &options);
}

#define CLAIM(make_, read_, giving_, ...)                                                                              \
    explore_claim((struct claim){.make = (make_),                                                                      \
                                 .read = (read_),                                                                      \
                                 .giving = (giving_),                                                                  \
                                 .expected = (const int64_t[]){__VA_ARGS__},                                           \
                                 .count = sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)})

/* The same for what has more than one possible outcome. */
#define CLAIM_CHECKED(make_, read_, giving_, check_)                                                                   \
    explore_claim((struct claim){.make = (make_), .read = (read_), .giving = (giving_), .check = (check_)})

/* Takes a stream that waits for nothing but its own turns to its end, without a harness. */
static inline void observe_all(struct kn_stream *stream, observer_read *read, struct observed *observed)
{
    static struct kn_local_executor local;
    kn_local_executor_init(&local, 0);
    *observed = (struct observed){.count = 0};
    assert_non_null(stream);
    while (!observed->has_ended) {
        struct kn_context context = kn_local_executor_context(&local);
        struct kn_outcome outcome = kn_stream_poll(stream, &context);
        if (outcome.status == KN_PENDING) {
            assert_true(kn_local_executor_is_woken(&local));
            continue;
        }
        observe(observed, outcome, read);
        kn_stream_discard_outcome(stream, outcome);
    }
}

static inline void assert_same(const struct observed *left, const struct observed *right)
{
    assert_int_equal(left->count, right->count);
    assert_int_equal(left->has_ended, right->has_ended);
    assert_memory_equal(left->answers, right->answers, left->count * sizeof left->answers[0]);
}

static inline void assert_answers(const struct observed *observed, const int64_t *expected, size_t count)
{
    assert_int_equal(observed->count, count);
    assert_memory_equal(observed->answers, expected, count * sizeof *expected);
}

/* A stream and a future that wait for ever and count how often they were dropped. */
struct dropped_stream {
    struct kn_stream stream; /* first */
    unsigned drops;
};

static inline struct kn_outcome dropped_next(struct kn_stream *stream, struct kn_context *context)
{
    (void)stream;
    (void)context;
    return kn_pending();
}

static inline void dropped_drop(struct kn_stream *stream)
{
    KN_CONTAINER_OF(stream, struct dropped_stream, stream)->drops++;
}

static const struct kn_stream_type dropped_type = {.name = "dropped", .next = dropped_next, .drop = dropped_drop};

static inline struct kn_stream *dropped_stream(struct dropped_stream *self)
{
    *self = (struct dropped_stream){.stream.type = &dropped_type};
    return &self->stream;
}

struct dropped_future {
    struct kn_future future; /* first */
    unsigned drops;
};

static inline struct kn_outcome dropped_poll(struct kn_future *future, struct kn_context *context)
{
    (void)future;
    (void)context;
    return kn_pending();
}

static inline void dropped_drop_future(struct kn_future *future)
{
    KN_CONTAINER_OF(future, struct dropped_future, future)->drops++;
}

static const struct kn_future_type dropped_future_type = {
    .name = "dropped", .poll = dropped_poll, .drop = dropped_drop_future};

static inline struct kn_future *dropped_future(struct dropped_future *self)
{
    *self = (struct dropped_future){.future.type = &dropped_future_type};
    return &self->future;
}

/* Polls a stream that has to wait, and drops it twice. */
static inline void poll_and_drop_twice(struct kn_stream *stream)
{
    static struct kn_local_executor local;
    kn_local_executor_init(&local, 0);
    struct kn_context context = kn_local_executor_context(&local);
    assert_int_equal(kn_stream_poll(stream, &context).status, KN_PENDING);
    kn_stream_drop(stream);
    kn_stream_drop(stream);
}

/* Whether `call`, which is given the stream `victim()`, answers NULL and drops it once. */
#define ASSERT_REFUSES(call)                                                                                           \
    do {                                                                                                               \
        assert_null(call);                                                                                             \
        assert_int_equal(the_victim.drops, 1);                                                                         \
    } while (0)

static struct dropped_stream the_victim;

static inline struct kn_stream *victim(void)
{
    return dropped_stream(&the_victim);
}

#endif
