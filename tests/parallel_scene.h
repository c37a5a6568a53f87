/*
 * What the tests of parallel.h share: a source of items that are counted, a function that looks at how it is called, a
 * future that takes all results, and scenes of all three.
 */
#ifndef KERNEL_TESTS_PARALLEL_SCENE_H
#define KERNEL_TESTS_PARALLEL_SCENE_H

#include "reactors.h"

#include <kernel/assert.h>
#include <kernel/future_task.h>
#include <kernel/parallel.h>

enum { ITEMS_MOST = 4096, SHARDS_MOST = 8 };

/* Items are owned: `live` counts those that nobody has given back. A result is the item itself. */
struct item {
    struct counted *counted;
    uint64_t number;
    struct kn_reactor *_Atomic worker;
};

/* A source of `count` items that waits now and then, and fails in place of one. */
struct counted {
    struct kn_stream stream;
    _Atomic int64_t live;
    uint64_t count;
    uint64_t made;
    uint64_t waits_every; /* 0: never */
    uint64_t fails_at;    /* this item; SIZE_MAX: none */
    bool has_waited;
    struct item items[ITEMS_MOST];
};

static inline struct kn_outcome counted_next(struct kn_stream *stream, struct kn_context *context)
{
    struct counted *counted = KN_CONTAINER_OF(stream, struct counted, stream);
    if (counted->made == counted->count)
        return kn_ended();
    if (counted->waits_every && counted->made % counted->waits_every == 0 && !counted->has_waited) {
        counted->has_waited = true;
        kn_waker_wake(context->waker);
        return kn_pending();
    }
    counted->has_waited = false;
    struct item *item = &counted->items[counted->made];
    item->counted = counted;
    item->number = counted->made++;
    item->worker = NULL;
    if (item->number == counted->fails_at)
        return kn_failed(-EIO);
    counted->live++;
    return kn_ready(KN_VALUE(item));
}

static inline void give_item_back(kn_value_t value, void *context)
{
    struct item *item = value.pointer;
    if (context)
        assert_ptr_equal(item->counted, context);
    item->counted->live--;
}

static inline void counted_discard(struct kn_stream *stream, kn_value_t value)
{
    give_item_back(value, KN_CONTAINER_OF(stream, struct counted, stream));
}

static const struct kn_stream_type counted_type = {
    .name = "counted", .next = counted_next, .drop = kn_stream_drop_nothing, .discard = counted_discard};

static inline struct kn_stream *counted_init(struct counted *counted, uint64_t count, uint64_t waits_every)
{
    assert_in_range(count, 0, ITEMS_MOST);
    counted->stream.type = &counted_type;
    counted->live = 0;
    counted->count = count;
    counted->made = 0;
    counted->waits_every = waits_every;
    counted->fails_at = UINT64_MAX;
    counted->has_waited = false;
    return &counted->stream;
}

/* What a function of the tests does: counts, works for a while, fails at times. */
struct work {
    _Atomic uint64_t calls;
    _Atomic int32_t inside; /* of a shard: more than one is wrong */
    uint64_t spins;
    uint64_t fails_at; /* UINT64_MAX: never */
    uint64_t last;     /* of a shard: number of its last item + 1; no atomic, as shards need none */
    bool breaks;       /* breaks an invariant instead of failing */
    bool is_shard;
};

static inline void spin(uint64_t spins)
{
    for (uint64_t i = 0; i < spins; i++)
        kn_cpu_relax();
}

static inline struct kn_outcome work(kn_value_t value, void *context)
{
    struct work *self = context;
    struct item *item = value.pointer;
    atomic_fetch_add(&self->calls, 1);
    item->worker = kn_reactor_current();
    if (self->is_shard) {
        assert_int_equal(atomic_fetch_add(&self->inside, 1), 0);
        assert_in_range(item->number, self->last, ITEMS_MOST); /* in order */
        self->last = item->number + 1;
    }
    spin(self->spins);
    if (self->is_shard)
        atomic_fetch_sub(&self->inside, 1);
    if (item->number == self->fails_at) {
        item->counted->live--;
        kn_assert(!self->breaks);
        return kn_failed(-EDOM);
    }
    return kn_ready(value);
}

/* Takes all results, failures too; answers with how many. */
struct taker {
    struct kn_future future;
    struct kn_stream *results;
    uint64_t taken;
    uint64_t failed;
    uint64_t out_of_order;
    uint64_t next; /* number expected next */
    uint64_t stop_after;
    bool seen[ITEMS_MOST];
    uint64_t first[4]; /* numbers that came first */
};

static inline struct kn_outcome taker_poll(struct kn_future *future, struct kn_context *context)
{
    struct taker *taker = KN_CONTAINER_OF(future, struct taker, future);
    while (kn_context_may_continue(context)) {
        struct kn_outcome outcome = kn_stream_poll(taker->results, context);
        if (outcome.status == KN_PENDING)
            return outcome;
        if (outcome.status == KN_END) {
            kn_stream_drop(taker->results);
            return kn_ready(KN_VALUE(taker->taken));
        }
        if (outcome.status < 0) {
            taker->failed++;
            taker->next++;
            continue;
        }
        struct item *item = outcome.value.pointer;
        assert_false(taker->seen[item->number]);
        taker->seen[item->number] = true;
        taker->out_of_order += item->number != taker->next;
        taker->next++;
        if (taker->taken < 4)
            taker->first[taker->taken] = item->number;
        taker->taken++;
        kn_stream_discard(taker->results, outcome.value);
        if (taker->taken == taker->stop_after) {
            kn_stream_drop(taker->results);
            return kn_ready(KN_VALUE(taker->taken));
        }
    }
    return kn_pending();
}

static inline void taker_drop(struct kn_future *future)
{
    kn_stream_drop(KN_CONTAINER_OF(future, struct taker, future)->results);
}

static const struct kn_future_type taker_type = {.name = "taker", .poll = taker_poll, .drop = taker_drop};

static inline struct kn_future *taker_init(struct taker *taker, struct kn_stream *results)
{
    memset(taker, 0, sizeof *taker);
    taker->future.type = &taker_type;
    taker->results = results;
    taker->stop_after = UINT64_MAX;
    return &taker->future;
}

/* One stream, with everything that belongs to it. */
struct scene {
    struct counted counted;
    struct work work;
    struct work shard_work[SHARDS_MOST];
    struct kn_shard shards[SHARDS_MOST];
    struct kn_stream_par_map map;
    struct kn_stream_shard shard;
    struct kn_stream_par_for_each each;
    struct taker taker;
    struct kn_future_task task;
    struct kn_task_group group;
    struct kn_outcome outcome;
    bool is_done;
};

static inline void scene_finished(struct kn_future_task *task, struct kn_outcome outcome, void *context)
{
    (void)task;
    struct scene *scene = context;
    scene->outcome = outcome;
    scene->is_done = true;
}

static uint64_t number_of(kn_value_t value, void *context)
{
    (void)context;
    return ((struct item *)value.pointer)->number % 16;
}

static inline struct kn_parallel_options with_release(struct scene *scene, struct kn_parallel_options options)
{
    options.release = give_item_back;
    options.release_context = &scene->counted;
    return options;
}

static inline struct kn_future *scene_map(struct scene *scene, uint64_t count, uint64_t waits_every, uint64_t spins,
                                          struct kn_parallel_options options)
{
    options = with_release(scene, options);
    scene->is_done = false;
    scene->work = (struct work){.spins = spins, .fails_at = UINT64_MAX};
    struct kn_stream *source = counted_init(&scene->counted, count, waits_every);
    return taker_init(&scene->taker, kn_stream_par_map(&scene->map, source, work, &scene->work, &options));
}

static inline struct kn_future *scene_shard(struct scene *scene, uint64_t count, uint64_t waits_every, uint64_t spins,
                                            size_t shards, struct kn_parallel_options options)
{
    options = with_release(scene, options);
    scene->is_done = false;
    for (size_t i = 0; i < shards; i++) {
        scene->shard_work[i] = (struct work){.spins = spins, .fails_at = UINT64_MAX, .is_shard = true};
        scene->shards[i] = (struct kn_shard){.context = &scene->shard_work[i]};
    }
    struct kn_stream *source = counted_init(&scene->counted, count, waits_every);
    return taker_init(&scene->taker, kn_stream_shard(&scene->shard, source, number_of, work, &scene->work,
                                                     scene->shards, shards, &options));
}

static inline void scene_spawn(struct scene *scene, struct kn_future *future, struct kn_reactor *reactor, bool pinned)
{
    kn_task_group_init(&scene->group, 1);
    memset(&scene->task, 0, sizeof scene->task);
    struct kn_future_options options = {
        .pinned = pinned, .group = &scene->group, .finished = scene_finished, .context = scene};
    assert_int_equal(kn_future_spawn(&scene->task, future, reactor, &options), 0);
}

static inline void turn_all(struct kn_runtime *runtime)
{
    for (size_t i = 0; i < kn_runtime_count(runtime); i++)
        assert_in_range(kn_reactor_turn(kn_runtime_reactor(runtime, i), 0), 0, 1);
}

/* Runs a future as a task, all reactors turning on this thread. */
static inline void run_by_hand(struct kn_runtime *runtime, struct scene *scene, struct kn_future *future)
{
    turn_all(runtime);
    scene_spawn(scene, future, kn_runtime_reactor(runtime, 0), true);
    reactors_settle(runtime);
    assert_true(scene->is_done);
}

static inline void expect_all_given_back(struct kn_runtime *runtime, struct scene *scene)
{
    assert_int_equal(scene->counted.live, 0);
    for (size_t i = 0; i < kn_runtime_count(runtime); i++)
        assert_int_equal(REACTORS_COUNTER(runtime, i, pool_used), 0);
}

static inline struct scene *new_scene(void)
{
    struct scene *scene = aligned_alloc(KN_OWNER_STRIDE, kn_align_up(sizeof *scene, KN_OWNER_STRIDE));
    assert_non_null(scene);
    memset(scene, 0, sizeof *scene);
    return scene;
}

static const struct kn_runtime_options THREE = {.reactors = 3, .pool_tasks = 256};

#endif
