/*
 * The model executor. See async_harness.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "async_harness.h"

enum {
    LEAVES_MAX = 64,
    TASKS_MAX = 8,
    TAKEN_MAX = 16,
    CHOICES_MAX = 4096,
    ARENA_BYTES = 256 << 10,
};

#define EXECUTIONS_MAX UINT64_C(2000000)

/* A future, stream or sink of the harness. */
struct leaf {
    union {
        struct kn_future future;
        struct kn_stream stream;
        struct kn_sink sink;
    } as;
    struct harness *world;
    struct kn_waker *waker;           /* left by the last poll, or NULL */
    unsigned pendings;                /* wake-ups still to come before the next answer */
    unsigned pendings_each;           /* of a sink */
    bool owns;                        /* answers with owned values */
    bool holds;                       /* its resource */
    bool ended;                       /* answered for the last time, or dropped */
    struct kn_outcome outcome;        /* of a future */
    const struct harness_item *items; /* of a stream */
    size_t item_count;
    size_t item;        /* next */
    size_t fails_after; /* of a sink */
    bool has_room;      /* of a sink: ready was answered */
};

/* A task. */
struct root {
    struct kn_waker waker;
    bool woken;
    bool ended;
    struct kn_future *future;
};

struct harness {
    struct kn_local_executor local;
    struct kn_arena arena;
    struct leaf leaves[LEAVES_MAX];
    size_t leaf_count;
    struct root roots[TASKS_MAX];
    unsigned root_count;
    int64_t held;    /* resources of leaves */
    int64_t objects; /* owned values */
    int64_t taken[TAKEN_MAX];
    size_t taken_count;
    bool closed;
    bool dropped;      /* a task was dropped before its answer */
    bool had_spurious; /* a task was polled for no reason */
    /* The choices of this execution: the first `prefix` are given, the others are the first of their options. */
    unsigned chosen[CHOICES_MAX];
    unsigned options[CHOICES_MAX];
    size_t depth;
    size_t prefix;
    uint8_t memory[ARENA_BYTES];
};

static unsigned choose(struct harness *world, unsigned options)
{
    if (world->depth == CHOICES_MAX)
        fail_msg("an execution of more than %d choices", CHOICES_MAX);
    if (world->depth >= world->prefix)
        world->chosen[world->depth] = 0;
    world->options[world->depth] = options;
    return world->chosen[world->depth++];
}

/* Goes on to the next sequence of choices. @return whether there is one. */
static bool advance(struct harness *world)
{
    while (world->depth > 0 && world->chosen[world->depth - 1] + 1 == world->options[world->depth - 1])
        world->depth--;
    if (world->depth == 0)
        return false;
    world->chosen[world->depth - 1]++;
    world->prefix = world->depth;
    return true;
}

/* ---- leaves ---- */

static struct leaf *new_leaf(struct harness *world)
{
    if (world->leaf_count == LEAVES_MAX)
        fail_msg("more than %d leaves", LEAVES_MAX);
    struct leaf *leaf = &world->leaves[world->leaf_count++];
    *leaf = (struct leaf){.world = world};
    return leaf;
}

static void hold(struct leaf *leaf)
{
    if (leaf->ended)
        fail_msg("a leaf was polled after its end");
    if (!leaf->holds) {
        leaf->holds = true;
        leaf->world->held++;
    }
}

static void end_leaf(struct leaf *leaf)
{
    leaf->ended = true;
    leaf->waker = NULL;
    if (leaf->holds) {
        leaf->holds = false;
        leaf->world->held--;
    }
}

static struct kn_outcome make_owned(struct leaf *leaf, struct kn_outcome outcome)
{
    if (!leaf->owns || outcome.status != KN_READY)
        return outcome;
    return kn_ready(KN_VALUE(harness_object(leaf->world, outcome.value.integer)));
}

/* Waits as often as it has to. @return whether the wait is over. */
static bool has_waited(struct leaf *leaf, struct kn_context *context)
{
    hold(leaf);
    leaf->waker = leaf->pendings > 0 ? context->waker : NULL;
    return leaf->pendings == 0;
}

static struct leaf *leaf_of(struct kn_future *future)
{
    return KN_CONTAINER_OF(future, struct leaf, as.future);
}

static struct kn_outcome leaf_poll(struct kn_future *future, struct kn_context *context)
{
    struct leaf *leaf = leaf_of(future);
    if (!has_waited(leaf, context))
        return kn_pending();
    end_leaf(leaf);
    return make_owned(leaf, leaf->outcome);
}

static void leaf_drop(struct kn_future *future)
{
    end_leaf(leaf_of(future));
}

static void leaf_discard(struct kn_future *future, kn_value_t value)
{
    if (leaf_of(future)->owns)
        harness_discard(value, NULL);
}

static const struct kn_future_type leaf_type = {
    .name = "leaf", .poll = leaf_poll, .drop = leaf_drop, .discard = leaf_discard};

struct kn_future *harness_future(struct harness *world, unsigned pendings, struct kn_outcome outcome)
{
    struct leaf *leaf = new_leaf(world);
    leaf->as.future.type = &leaf_type;
    leaf->pendings = pendings;
    leaf->outcome = outcome;
    return &leaf->as.future;
}

struct kn_future *harness_owned_future(struct harness *world, unsigned pendings, int64_t number)
{
    struct kn_future *future = harness_future(world, pendings, kn_ready(KN_VALUE(number)));
    leaf_of(future)->owns = true;
    return future;
}

struct harness_object *harness_object(struct harness *world, int64_t number)
{
    struct harness_object *object = malloc(sizeof *object);
    assert_non_null(object);
    *object = (struct harness_object){.world = world, .number = number};
    world->objects++;
    return object;
}

void harness_object_free(struct harness_object *object)
{
    object->world->objects--;
    free(object);
}

void harness_discard(kn_value_t value, void *context)
{
    (void)context;
    harness_object_free(value.pointer);
}

/* ---- streams ---- */

static struct leaf *leaf_of_stream(struct kn_stream *stream)
{
    return KN_CONTAINER_OF(stream, struct leaf, as.stream);
}

static struct kn_outcome stream_next(struct kn_stream *stream, struct kn_context *context)
{
    struct leaf *leaf = leaf_of_stream(stream);
    if (!has_waited(leaf, context))
        return kn_pending();
    if (leaf->item == leaf->item_count) {
        end_leaf(leaf);
        return kn_ended();
    }
    struct kn_outcome outcome = leaf->items[leaf->item++].outcome;
    leaf->pendings = leaf->item < leaf->item_count ? leaf->items[leaf->item].pendings : 0;
    return make_owned(leaf, outcome);
}

static void stream_drop(struct kn_stream *stream)
{
    end_leaf(leaf_of_stream(stream));
}

static void stream_discard(struct kn_stream *stream, kn_value_t value)
{
    if (leaf_of_stream(stream)->owns)
        harness_discard(value, NULL);
}

static const struct kn_stream_type stream_type = {
    .name = "leaf", .next = stream_next, .drop = stream_drop, .discard = stream_discard};

struct kn_stream *harness_stream(struct harness *world, const struct harness_item *items, size_t count)
{
    struct leaf *leaf = new_leaf(world);
    leaf->as.stream.type = &stream_type;
    leaf->items = items;
    leaf->item_count = count;
    leaf->pendings = count > 0 ? items[0].pendings : 0;
    return &leaf->as.stream;
}

struct kn_stream *harness_owned_stream(struct harness *world, const struct harness_item *items, size_t count)
{
    struct kn_stream *stream = harness_stream(world, items, count);
    leaf_of_stream(stream)->owns = true;
    return stream;
}

/* ---- sinks ---- */

static struct leaf *leaf_of_sink(struct kn_sink *sink)
{
    return KN_CONTAINER_OF(sink, struct leaf, as.sink);
}

static int64_t sink_ready(struct kn_sink *sink, struct kn_context *context)
{
    struct leaf *leaf = leaf_of_sink(sink);
    if (!has_waited(leaf, context))
        return KN_PENDING;
    if (leaf->fails_after == 0) {
        end_leaf(leaf);
        return -EPIPE;
    }
    leaf->has_room = true;
    return KN_READY;
}

static int64_t sink_start(struct kn_sink *sink, kn_value_t value)
{
    struct leaf *leaf = leaf_of_sink(sink);
    struct harness *world = leaf->world;
    if (!leaf->has_room)
        fail_msg("a value was given to a sink that was not ready");
    if (world->taken_count == TAKEN_MAX)
        fail_msg("more than %d values", TAKEN_MAX);
    leaf->has_room = false;
    leaf->fails_after--;
    leaf->pendings = leaf->pendings_each;
    if (leaf->owns) {
        struct harness_object *object = value.pointer;
        world->taken[world->taken_count++] = object->number;
        harness_object_free(object);
    } else {
        world->taken[world->taken_count++] = value.integer;
    }
    return KN_READY;
}

static int64_t sink_flush(struct kn_sink *sink, struct kn_context *context)
{
    return has_waited(leaf_of_sink(sink), context) ? KN_READY : KN_PENDING;
}

static int64_t sink_close(struct kn_sink *sink, struct kn_context *context)
{
    struct leaf *leaf = leaf_of_sink(sink);
    if (!has_waited(leaf, context))
        return KN_PENDING;
    end_leaf(leaf);
    leaf->world->closed = true;
    return KN_READY;
}

static void sink_drop(struct kn_sink *sink)
{
    end_leaf(leaf_of_sink(sink));
}

static void sink_discard(struct kn_sink *sink, kn_value_t value)
{
    if (leaf_of_sink(sink)->owns)
        harness_discard(value, NULL);
}

static const struct kn_sink_type sink_type = {.name = "leaf",
                                              .ready = sink_ready,
                                              .start = sink_start,
                                              .flush = sink_flush,
                                              .close = sink_close,
                                              .drop = sink_drop,
                                              .discard = sink_discard};

struct kn_sink *harness_sink(struct harness *world, unsigned pendings, size_t fails_after)
{
    struct leaf *leaf = new_leaf(world);
    leaf->as.sink.type = &sink_type;
    leaf->pendings = leaf->pendings_each = pendings;
    leaf->fails_after = fails_after;
    return &leaf->as.sink;
}

struct kn_sink *harness_owned_sink(struct harness *world, unsigned pendings, size_t fails_after)
{
    struct kn_sink *sink = harness_sink(world, pendings, fails_after);
    leaf_of_sink(sink)->owns = true;
    return sink;
}

size_t harness_taken(const struct harness *world, const int64_t **values)
{
    *values = world->taken;
    return world->taken_count;
}

bool harness_is_closed(const struct harness *world)
{
    return world->closed;
}

/* ---- executions ---- */

static void wake_root(struct kn_waker *waker)
{
    KN_CONTAINER_OF(waker, struct root, waker)->woken = true;
}

void harness_spawn(struct harness *world, struct kn_future *future)
{
    assert_non_null(future);
    assert_true(world->root_count < TASKS_MAX);
    world->roots[world->root_count++] = (struct root){.waker.wake = wake_root, .woken = true, .future = future};
}

/* Passes on the answer of `inner`, and is not dropped after it: what `inner` still held would be left over. */
struct strict {
    struct kn_future future;
    struct kn_future *inner;
    bool has_answered;
};

static struct kn_outcome strict_poll(struct kn_future *future, struct kn_context *context)
{
    struct strict *self = KN_CONTAINER_OF(future, struct strict, future);
    struct kn_outcome outcome = kn_future_poll(self->inner, context);
    self->has_answered = outcome.status != KN_PENDING;
    return outcome;
}

static void strict_drop(struct kn_future *future)
{
    struct strict *self = KN_CONTAINER_OF(future, struct strict, future);
    if (!self->has_answered)
        kn_future_drop(self->inner);
}

static void strict_discard(struct kn_future *future, kn_value_t value)
{
    kn_future_discard(KN_CONTAINER_OF(future, struct strict, future)->inner, value);
}

static const struct kn_future_type strict_type = {
    .name = "strict", .poll = strict_poll, .drop = strict_drop, .discard = strict_discard};

void harness_spawn_strict(struct harness *world, struct kn_future *future)
{
    struct strict *self = KN_ARENA_NEW(harness_arena(world), struct strict);
    assert_non_null(future);
    *self = (struct strict){.future.type = &strict_type, .inner = future};
    harness_spawn(world, &self->future);
}

struct kn_arena *harness_arena(struct harness *world)
{
    return &world->arena;
}

uint64_t harness_now_ns(const struct harness *world)
{
    return world->local.executor.now_ns;
}

static void start(struct harness *world)
{
    kn_local_executor_init(&world->local, KN_SECOND_NS);
    kn_arena_init(&world->arena, world->memory, sizeof world->memory);
    world->leaf_count = 0;
    world->root_count = 0;
    world->held = world->objects = 0;
    world->taken_count = 0;
    world->closed = world->dropped = world->had_spurious = false;
    world->depth = 0;
}

static void end_root(struct root *root)
{
    root->ended = true;
    kn_future_drop(root->future);
    kn_future_drop(root->future); /* once more is harmless */
}

static void poll_root(struct harness *world, unsigned index, harness_check *check, void *context)
{
    struct root *root = &world->roots[index];
    struct kn_context poll = kn_local_executor_context(&world->local);
    poll.waker = &root->waker;
    root->woken = false;
    struct kn_outcome outcome = kn_future_poll(root->future, &poll);
    if (outcome.status == KN_PENDING)
        return;
    end_root(root);
    if (check)
        check(world, index, outcome, context);
    kn_future_discard_outcome(root->future, outcome);
}

enum action_kind { WAKE, POLL, SPURIOUS, TIME, DROP };

struct action {
    enum action_kind kind;
    size_t index;
};

/* What can happen next; drops last, so that the first execution has none. */
static unsigned list_actions(const struct harness *world, const struct harness_options *options, struct action *actions,
                             unsigned *productive)
{
    unsigned count = 0;
    for (size_t i = 0; i < world->root_count; i++) {
        if (!world->roots[i].ended && world->roots[i].woken)
            actions[count++] = (struct action){POLL, i};
    }
    for (size_t i = 0; i < world->leaf_count; i++) {
        if (world->leaves[i].waker)
            actions[count++] = (struct action){WAKE, i};
    }
    if (kn_timer_wheel_next_ns(&world->local.wheel) != KN_NEVER)
        actions[count++] = (struct action){TIME, 0};
    *productive = count;
    for (size_t i = 0; i < world->root_count; i++) {
        if (world->roots[i].ended)
            continue;
        if (!world->had_spurious && !world->roots[i].woken)
            actions[count++] = (struct action){SPURIOUS, i};
        if (!options->no_drops)
            actions[count++] = (struct action){DROP, i};
    }
    return count;
}

static void act(struct harness *world, struct action action, harness_check *check, void *context)
{
    struct leaf *leaf = &world->leaves[action.index];
    switch (action.kind) {
    case WAKE:
        leaf->pendings--;
        struct kn_waker *waker = leaf->waker;
        leaf->waker = NULL;
        kn_waker_wake(waker);
        break;
    case SPURIOUS:
        world->had_spurious = true;
        /* fall through */
    case POLL:
        poll_root(world, (unsigned)action.index, check, context);
        break;
    case TIME:
        kn_local_executor_advance(&world->local, kn_timer_wheel_next_ns(&world->local.wheel));
        break;
    case DROP:
        world->dropped = true;
        end_root(&world->roots[action.index]);
        break;
    }
}

static bool is_over(const struct harness *world)
{
    for (size_t i = 0; i < world->root_count; i++) {
        if (!world->roots[i].ended)
            return false;
    }
    return true;
}

static void run(struct harness *world, harness_check *check, void *context, const struct harness_options *options)
{
    while (!is_over(world)) {
        struct action actions[LEAVES_MAX + 3 * TASKS_MAX + 1];
        unsigned productive;
        unsigned count = list_actions(world, options, actions, &productive);
        if (productive == 0) {
            if (!options->may_wait && (options->drops_release || !world->dropped || world->root_count == 1))
                fail_msg("tasks wait, and nothing is left that could wake them");
            break;
        }
        act(world, actions[choose(world, count)], check, context);
    }
    for (size_t i = 0; i < world->root_count; i++) {
        if (!world->roots[i].ended)
            end_root(&world->roots[i]);
    }
}

static void check_end(const struct harness *world)
{
    for (size_t i = 0; i < world->leaf_count; i++) {
        if (world->leaves[i].waker)
            fail_msg("leaf %zu still has a waker", i);
    }
    if (world->held != 0)
        fail_msg("%lld resources of leaves are held", (long long)world->held);
    if (world->objects != 0)
        fail_msg("%lld owned values were not given back", (long long)world->objects);
    if (kn_counter_read(&kn_timer_wheel_counters(&world->local.wheel)->live) != 0)
        fail_msg("timers are armed");
}

uint64_t harness_explore(harness_build *build, harness_check *check, void *context,
                         const struct harness_options *options)
{
    static const struct harness_options defaults;
    const struct harness_options *chosen = options ? options : &defaults;
    struct harness *world = calloc(1, sizeof *world);
    assert_non_null(world);
    uint64_t executions = 0;
    do {
        if (executions++ == (chosen->executions ? chosen->executions : EXECUTIONS_MAX))
            fail_msg("more than %llu executions", (unsigned long long)(executions - 1));
        start(world);
        build(world, context);
        run(world, check, context, chosen);
        if (chosen->ended)
            chosen->ended(world, context);
        check_end(world);
    } while (advance(world));
    free(world);
    return executions;
}
