/**
 * @file parallel.h
 * Streams whose items are worked on by several cores: map and for_each in parallel, and shards that keep equal keys on
 * one core.
 *
 * Use them where a plain function takes half a microsecond or more for an item, as its way to another core and back
 * costs some 100 ns; of what takes less, chunks of items are what should travel. Things that wait rather than compute
 * want futures (stream_concurrent.h). They guarantee that a function runs once for each item, on one core at a time;
 * that no more than `limit` items are under way, so that a slow function slows its source; and that nothing runs, and
 * nothing of the stream is touched, once it was dropped.
 *
 *        source --> item --> job --+--> core 1: function(item) --+--> results, in order or as they come
 *                                  +--> core 2: function(item) --+
 *
 * A job is a task in an object of the reactor's pool (kn_runtime_options.pool_tasks, which is 0 unless chosen). Where
 * there is no other core to work, as on an executor without reactors or in a runtime of one, the stream calls the
 * function itself, item by item; so it does where the pool is empty and none of its own jobs is under way, while with
 * some under way it waits for them.
 *
 * Dropping. A drop takes back all jobs that have not begun, wherever they are queued, and waits for those that run: as
 * long as the function takes at most. It cannot wait for itself. A thread that waits here is polling the stream, and
 * waits for functions that began after that stream was made; each of them waits, if at all, for functions that began
 * later still, for streams it made itself. So whoever waits was made before what it waits for, there is no circle, and
 * the last function ends by itself. A function must therefore not drop a stream whose item it works on. The stream is
 * dropped before its runtime is closed, and on a reactor of it.
 *
 * Values. Items leave the source before their turn, so they must not be lent (stream.h). The function takes its item. A
 * result that owns something needs options.release, which gives back what nobody will take. A function fails by a
 * negative errno, which comes in place of a result; one that breaks an invariant on a reactor that isolates panics
 * fails with -ECANCELED.
 *
 * Sources: buffered and buffer_unordered of the futures crate, for functions; par_iter of rayon. Shards are those of
 * the Seastar framework and of actor systems: a hash of the key chooses the core.
 */
#ifndef KERNEL_PARALLEL_H
#define KERNEL_PARALLEL_H

#include <kernel/reactor.h>
#include <kernel/stream.h>

/** Makes a result of an item, which it takes: ready, or failed. On any of the reactors, for many items at once. */
typedef struct kn_outcome kn_parallel_function(kn_value_t item, void *context);

/** The key of an item, which it does not take: equal keys go to the same shard. On the stream's own thread. */
typedef uint64_t kn_key_function(kn_value_t item, void *context);

/** Most items under way for each reactor, unless chosen. */
#define KN_PARALLEL_EACH 32

/** How items are spread. Zero means the default in parentheses. */
struct kn_parallel_options {
    struct kn_reactor *const *reactors; /**< (all that run and have KN_ROLE_TASK) who works, of the runtime that polls
                                             the stream; the array stays, and they run */
    size_t reactor_count;               /**< of these */
    size_t limit;                 /**< (KN_PARALLEL_EACH for each reactor) items that have left the source, and whose
                                       results have not come out */
    bool ordered;                 /**< (as they come) results in the order of their items */
    uint8_t class;                /**< (0: most urgent) of the jobs */
    kn_discard_function *release; /**< (results own nothing) gives back a result; on the stream's thread */
    void *release_context;        /**< handed to it */
};

struct kn_parallel_job;

/**
 * One of the parts that a stream is divided into. Zeroed, but for `context`; the caller's memory, which stays as long
 * as the stream. Only one function of a shard runs at a time, and sees what the one before has written.
 */
struct kn_shard {
    void *context;                /**< set before: handed to the function for this shard's items */
    struct kn_reactor *reactor;   /* where its items go; NULL before the first */
    struct kn_parallel_job *last; /* given last, while under way */
};

/**
 * What these streams have in common. Private.
 *
 * Invariant: `first` leads through all jobs under way, in the order of their answers: those up to `arrived` have come
 * back. `completed` is 0, or KN_PARALLEL_AWAITED when who adds to it must call the waker, or leads to those that came
 * back since.
 */
struct kn_parallel {
    struct kn_stream *source;             /* of items */
    kn_parallel_function *function;       /* runs on the reactors */
    void *context;                        /* for it; of shards: for the key function */
    kn_key_function *key;                 /* of shards, else NULL */
    struct kn_shard *shards;              /* of shards */
    size_t shard_count;                   /* how many */
    struct kn_parallel_options options;   /* as given */
    struct kn_parallel_job *first;        /* under way: to be answered next */
    struct kn_parallel_job *newest;       /* the last of all */
    struct kn_parallel_job *arrived;      /* the last that has come back out of turn; unordered */
    size_t count;                         /* under way */
    size_t turn;                          /* whose turn the next job is */
    uint64_t running;                     /* of the first 64 reactors: those seen to run */
    bool has_others;                      /* another reactor works */
    bool has_ended;                       /* the source has */
    bool awaiting;                        /* `completed` was KN_PARALLEL_AWAITED when last seen */
    struct kn_waker *waker;               /* of the last poll; called only while awaiting */
    KN_OWNED _Atomic uintptr_t completed; /* a stack: written by any reactor */
};

/** Somebody waits for the next job to come back: no pointer. Private. */
#define KN_PARALLEL_AWAITED ((uintptr_t)1)

/** A map on several cores. */
struct kn_stream_par_map {
    struct kn_stream stream;     /* first */
    struct kn_parallel parallel; /* the rest */
};

/**
 * Results of `function` for the items of `source`. Failures of the source take their place among the results where
 * these are ordered. @param options NULL: the defaults.
 */
struct kn_stream *kn_stream_par_map(struct kn_stream_par_map *self, struct kn_stream *source,
                                    kn_parallel_function *function, void *context,
                                    const struct kn_parallel_options *options);

/** Shards of a stream. */
struct kn_stream_shard {
    struct kn_stream stream;     /* first */
    struct kn_parallel parallel; /* the rest */
};

/**
 * The same, where items of one key are worked on one after the other, in the order of the source, on one core:
 * `function` gets the context of the item's shard. `shards` may be more than there are reactors, which they are then
 * shared out to. Without a free object in the pool the stream's own core does the work, but in order all the same.
 *
 * @param key gets `context`. @param count of shards, not 0. @param options NULL: the defaults.
 */
struct kn_stream *kn_stream_shard(struct kn_stream_shard *self, struct kn_stream *source, kn_key_function *key,
                                  kn_parallel_function *function, void *context, struct kn_shard *shards, size_t count,
                                  const struct kn_parallel_options *options);

/** Which of `count` shards a key belongs to: 0 to count - 1. Wait-free. */
size_t kn_shard_of(uint64_t key, size_t count);

/** A for_each on several cores. */
struct kn_stream_par_for_each {
    struct kn_future future;      /* first */
    struct kn_stream_par_map map; /* of which results are given back */
};

/**
 * Calls `function` for all items and answers with nothing once it has returned for each; fails with the first failure,
 * upon which no further item is begun. @param options NULL: the defaults; results are never ordered.
 */
struct kn_future *kn_stream_par_for_each(struct kn_stream_par_for_each *self, struct kn_stream *source,
                                         kn_parallel_function *function, void *context,
                                         const struct kn_parallel_options *options);

#endif
