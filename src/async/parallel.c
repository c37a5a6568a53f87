/*
 * Streams on several cores. See parallel.h.
 *
 * Whose a job's memory is:
 *
 *        the stream --spawn--> the runtime --hand_in--> the stream --> the pool
 *                                   \
 *                                    +-- where the stream took it back before it began: --> the pool
 *
 * One word decides between beginning and taking back: the first of the two to set its bit in `phase`. Both may do so,
 * as the memory is given to the pool only after the job's poll (when taken back), or after the stream has seen it come
 * back (when begun).
 */
#include <sched.h>
#include <setjmp.h>
#include <string.h>

#include <kernel/assert.h>
#include <kernel/executor.h>
#include <kernel/parallel.h>

#include "sched/reactor_internal.h"

/* Pauses before a drop that waits for a function lets others run: the function may need this core. */
#define DROP_PAUSES 64

enum phase {
    TAKEN_BACK = 1u << 0, /* by the stream: the job touches it no more */
    BEGUN = 1u << 1       /* by a reactor: the stream waits for it to be handed in */
};

/* What stands in `successor` once there can be none any more. */
#define SEALED ((uintptr_t)1)

struct kn_parallel_job {
    struct kn_task task;
    _Atomic uint32_t phase;           /* of enum phase */
    bool has_run;                     /* `outcome` is there: written by who runs it */
    bool has_arrived;                 /* the stream's: it came back, or never left */
    struct kn_parallel *parallel;     /* not to be touched unless BEGUN came first */
    kn_value_t item;                  /* the stream's, once it has taken the job back */
    void *context;                    /* of the function */
    struct kn_outcome outcome;        /* of the function, or the source's failure */
    struct kn_shard *shard;           /* or NULL */
    _Atomic uintptr_t successor;      /* the next of the shard, which is spawned when this one has run; or SEALED */
    struct kn_parallel_job *next;     /* the stream's: in the order of answers */
    struct kn_parallel_job *previous; /* likewise */
    uintptr_t completed;              /* the next in the stack */
    _Atomic bool has_woken;           /* it was the one to call the waker, and has */
};

_Static_assert(sizeof(struct kn_parallel_job) <= 192, "fits into the objects of a pool that are as large as usual");

/* ---- running ---- */

/* Calls the function where a broken invariant ends it and nothing else. A reactor's panics come back to a place that is
 * lent for so long. */
static __attribute__((noinline)) struct kn_outcome
call_isolated(struct kn_reactor *reactor, kn_parallel_function *function, kn_value_t item, void *context)
{
    jmp_buf place;
    memcpy(&place, &reactor->panic, sizeof place);
    if (setjmp(reactor->panic) != 0) {
        memcpy(&reactor->panic, &place, sizeof place);
        return kn_failed(-ECANCELED);
    }
    struct kn_outcome outcome = function(item, context);
    memcpy(&reactor->panic, &place, sizeof place);
    return outcome;
}

static struct kn_outcome call(struct kn_reactor *reactor, kn_parallel_function *function, kn_value_t item,
                              void *context)
{
    struct kn_outcome outcome = KN_UNLIKELY(reactor && reactor->isolates_panics)
                                    ? call_isolated(reactor, function, item, context)
                                    : function(item, context);
    kn_assert(outcome.status <= KN_READY);
    return outcome;
}

/* Also where a stale waker of the object's last task has it cancelled. */
static enum kn_task_status job_poll(struct kn_task *task, struct kn_reactor *reactor)
{
    struct kn_parallel_job *job = KN_CONTAINER_OF(task, struct kn_parallel_job, task);
    /* Acquire pairs with the release in take_back: the stream has read what it needs before this memory goes. */
    if (atomic_fetch_or_explicit(&job->phase, BEGUN, memory_order_acquire) & TAKEN_BACK)
        return KN_TASK_DONE;
    job->outcome = call(reactor, job->parallel->function, job->item, job->context);
    job->has_run = true;
    return KN_TASK_DONE;
}

/* Adds a job to those that came back. The last word to the stream, unless it waits: then the one after its waker was
 * called. */
static void hand_in(struct kn_parallel_job *job)
{
    struct kn_parallel *parallel = job->parallel;
    uintptr_t top = atomic_load_explicit(&parallel->completed, memory_order_relaxed);
    do {
        job->completed = top == KN_PARALLEL_AWAITED ? 0 : top;
        /* Release pairs with the acquire of collect: the outcome is written. Acquire pairs with the release of await:
         * the waker is there, and the stream waits for has_woken before it goes. */
    } while (!atomic_compare_exchange_weak_explicit(&parallel->completed, &top, (uintptr_t)job, memory_order_acq_rel,
                                                    memory_order_relaxed));
    if (top != KN_PARALLEL_AWAITED)
        return;
    kn_waker_wake(parallel->waker);
    /* Release pairs with the acquire of await_wake: nothing is touched after it. */
    atomic_store_explicit(&job->has_woken, true, memory_order_release);
}

/* The task is off all queues. Also of a job that was taken back the shard's next one goes on. */
static void job_release(struct kn_task *task, struct kn_reactor *reactor)
{
    struct kn_parallel_job *job = KN_CONTAINER_OF(task, struct kn_parallel_job, task);
    if (job->shard) {
        /* Acquire pairs with the release in spawn: the successor is written. */
        uintptr_t successor = atomic_exchange_explicit(&job->successor, SEALED, memory_order_acquire);
        if (successor)
            kn_task_spawn(&((struct kn_parallel_job *)successor)->task, reactor);
    }
    if (job->has_run)
        hand_in(job);
    else
        kn_reactor_task_give_back(reactor, task);
}

static const struct kn_task_type job_type = {
    .name = "parallel", .poll = job_poll, .cancelled = job_poll, .release = job_release};

/* ---- who works ---- */

static size_t reactor_count(const struct kn_parallel *parallel, const struct kn_reactor *here)
{
    return parallel->options.reactor_count ? parallel->options.reactor_count : kn_runtime_count(here->runtime);
}

static struct kn_reactor *reactor_at(const struct kn_parallel *parallel, const struct kn_reactor *here, size_t index)
{
    if (parallel->options.reactor_count)
        return parallel->options.reactors[index];
    return kn_runtime_reactor(here->runtime, index);
}

/* Whether a reactor takes turns: what is sent to one that nobody runs would lie there. It publishes its load once when
 * it is opened, and again when it runs. */
static bool works(struct kn_parallel *parallel, const struct kn_reactor *reactor, size_t index)
{
    if (parallel->options.reactor_count || (index < 64 && (parallel->running >> index & 1)))
        return true;
    if (!(reactor->roles & KN_ROLE_TASK) ||
        kn_counter_read(&reactor->runtime->balance.cells[reactor->index].number) < 2)
        return false;
    if (index < 64)
        parallel->running |= UINT64_C(1) << index;
    return true;
}

static bool has_others(struct kn_parallel *parallel, const struct kn_reactor *here)
{
    if (KN_LIKELY(parallel->has_others))
        return true;
    for (size_t i = 0; here && i < reactor_count(parallel, here) && !parallel->has_others; i++) {
        const struct kn_reactor *reactor = reactor_at(parallel, here, i);
        parallel->has_others = reactor != here && reactor->runtime == here->runtime && works(parallel, reactor, i);
    }
    return parallel->has_others;
}

/* The next in turn; there is one that works. */
static struct kn_reactor *next_reactor(struct kn_parallel *parallel, struct kn_reactor *here)
{
    size_t count = reactor_count(parallel, here);
    for (size_t tries = 0; tries < count; tries++) {
        size_t index = parallel->turn >= count ? 0 : parallel->turn;
        parallel->turn = index + 1;
        struct kn_reactor *reactor = reactor_at(parallel, here, index);
        kn_assert(reactor->runtime == here->runtime);
        if (works(parallel, reactor, index))
            return reactor;
    }
    return here;
}

/* ---- jobs under way ---- */

static void link_behind(struct kn_parallel *parallel, struct kn_parallel_job *job, struct kn_parallel_job *previous)
{
    job->previous = previous;
    job->next = previous ? previous->next : parallel->first;
    *(previous ? &previous->next : &parallel->first) = job;
    *(job->next ? &job->next->previous : &parallel->newest) = job;
}

static void unlink_job(struct kn_parallel *parallel, struct kn_parallel_job *job)
{
    *(job->previous ? &job->previous->next : &parallel->first) = job->next;
    *(job->next ? &job->next->previous : &parallel->newest) = job->previous;
}

/* A job has come back: where results are not ordered it goes behind those that came before. */
static void arrive(struct kn_parallel *parallel, struct kn_parallel_job *job)
{
    job->has_arrived = true;
    if (parallel->options.ordered)
        return;
    unlink_job(parallel, job);
    link_behind(parallel, job, parallel->arrived);
    parallel->arrived = job;
}

/* The job that found somebody waiting is calling the waker, or will in a moment. */
static void await_wake(const struct kn_parallel_job *job)
{
    unsigned pauses = 0;
    /* Acquire pairs with the release in hand_in. */
    while (!atomic_load_explicit(&job->has_woken, memory_order_acquire)) {
        if (++pauses % DROP_PAUSES == 0)
            sched_yield();
        else
            kn_cpu_relax();
    }
}

/* Takes what has come back, oldest first. Afterwards nobody calls the waker. */
static void collect(struct kn_parallel *parallel)
{
    if (!parallel->awaiting && atomic_load_explicit(&parallel->completed, memory_order_relaxed) == 0)
        return;
    /* Acquire pairs with the release in hand_in: outcomes are there. */
    uintptr_t top = atomic_exchange_explicit(&parallel->completed, 0, memory_order_acquire);
    bool awaiting = parallel->awaiting;
    parallel->awaiting = false;
    if (top == KN_PARALLEL_AWAITED)
        return;
    struct kn_parallel_job *oldest = NULL;
    while (top) {
        struct kn_parallel_job *job = (struct kn_parallel_job *)top;
        top = job->completed;
        job->completed = (uintptr_t)oldest;
        oldest = job;
    }
    if (awaiting)
        await_wake(oldest);
    while (oldest) {
        struct kn_parallel_job *job = oldest;
        oldest = (struct kn_parallel_job *)job->completed;
        arrive(parallel, job);
    }
}

/* Waits for the next one, after collect. @return false when one has come back already. */
static bool await(struct kn_parallel *parallel, struct kn_context *context)
{
    uintptr_t nobody = 0;
    parallel->waker = context->waker;
    /* Release pairs with the acquire in hand_in. */
    parallel->awaiting = atomic_compare_exchange_strong_explicit(&parallel->completed, &nobody, KN_PARALLEL_AWAITED,
                                                                 memory_order_release, memory_order_relaxed);
    return parallel->awaiting;
}

/* Takes a job out and gives its memory back. The runtime keeps that of a stream dropped outside, until it is closed. */
static struct kn_outcome take_out(struct kn_parallel *parallel, struct kn_parallel_job *job)
{
    struct kn_reactor *here = kn_reactor_current();
    struct kn_outcome outcome = job->outcome;
    unlink_job(parallel, job);
    if (parallel->arrived == job)
        parallel->arrived = job->previous;
    if (job->shard && job->shard->last == job)
        job->shard->last = NULL;
    parallel->count--;
    if (here)
        kn_reactor_task_give_back(here, &job->task);
    return outcome;
}

/* ---- giving ---- */

static struct kn_parallel_job *new_job(struct kn_reactor *here)
{
    if (kn_reactor_pool_task_bytes(here) < sizeof(struct kn_parallel_job))
        return NULL;
    return kn_reactor_task_acquire(here);
}

static void add_job(struct kn_parallel *parallel, struct kn_parallel_job *job)
{
    job->parallel = parallel;
    atomic_store_explicit(&job->phase, 0, memory_order_relaxed);
    atomic_store_explicit(&job->successor, 0, memory_order_relaxed);
    atomic_store_explicit(&job->has_woken, false, memory_order_relaxed);
    job->has_run = job->has_arrived = false;
    job->shard = NULL;
    link_behind(parallel, job, parallel->newest);
    parallel->count++;
}

static struct kn_shard *shard_of(const struct kn_parallel *parallel, kn_value_t item)
{
    return &parallel->shards[kn_shard_of(parallel->key(item, parallel->context), parallel->shard_count)];
}

/* Spawns a job of a shard where the shard is, after the one before it has run. */
static void spawn_in_shard(struct kn_parallel *parallel, struct kn_parallel_job *job, struct kn_reactor *here)
{
    struct kn_shard *shard = job->shard;
    struct kn_parallel_job *last = shard->last;
    uintptr_t none = 0;
    job->task.flags |= KN_TASK_PINNED;
    job->context = shard->context;
    shard->last = job;
    /* Release pairs with the acquire in job_release: the job is written. */
    if (last && atomic_compare_exchange_strong_explicit(&last->successor, &none, (uintptr_t)job, memory_order_release,
                                                        memory_order_relaxed))
        return;
    if (!shard->reactor)
        shard->reactor = next_reactor(parallel, here);
    kn_task_spawn(&job->task, shard->reactor);
}

static void spawn(struct kn_parallel *parallel, struct kn_parallel_job *job, kn_value_t item, struct kn_reactor *here)
{
    kn_task_init(&job->task, &job_type, parallel->options.class);
    job->item = item;
    if (parallel->key) {
        job->shard = shard_of(parallel, item);
        spawn_in_shard(parallel, job, here);
        return;
    }
    job->context = parallel->context;
    kn_task_spawn(&job->task, next_reactor(parallel, here));
}

/* Does the next item here and now: there is nobody else, or no memory to ask them by. */
static struct kn_outcome next_here(struct kn_parallel *parallel, struct kn_context *context)
{
    struct kn_outcome outcome = kn_stream_poll(parallel->source, context);
    if (outcome.status != KN_READY) {
        parallel->has_ended = outcome.status == KN_END;
        return outcome;
    }
    void *own = parallel->key ? shard_of(parallel, outcome.value)->context : parallel->context;
    return call(kn_reactor_current(), parallel->function, outcome.value, own);
}

static size_t limit_of(const struct kn_parallel *parallel, const struct kn_reactor *here)
{
    if (parallel->options.limit)
        return parallel->options.limit;
    return KN_PARALLEL_EACH * reactor_count(parallel, here);
}

/* Takes items from the source and gives them away, as many as may be under way. @return false when there is no memory
 * to do so. */
static bool fill(struct kn_parallel *parallel, struct kn_context *context)
{
    struct kn_reactor *here = context->executor->reactor;
    size_t limit = limit_of(parallel, here);
    while (!parallel->has_ended && parallel->count < limit && kn_context_may_continue(context)) {
        struct kn_parallel_job *job = new_job(here);
        if (!job)
            return false;
        struct kn_outcome outcome = kn_stream_poll(parallel->source, context);
        if (outcome.status == KN_PENDING || outcome.status == KN_END) {
            parallel->has_ended = outcome.status == KN_END;
            kn_reactor_task_give_back(here, &job->task);
            return true;
        }
        add_job(parallel, job);
        if (outcome.status == KN_READY) {
            spawn(parallel, job, outcome.value, here);
        } else {
            job->outcome = outcome;
            arrive(parallel, job);
        }
    }
    return true;
}

/* ---- the stream ---- */

static struct kn_outcome parallel_next(struct kn_parallel *parallel, struct kn_context *context)
{
    bool is_given = has_others(parallel, context->executor->reactor) && fill(parallel, context);
    if (!is_given && !parallel->first)
        return next_here(parallel, context);
    do {
        collect(parallel);
        if (!parallel->first)
            return parallel->has_ended ? kn_ended() : kn_pending();
        if (parallel->first->has_arrived)
            return take_out(parallel, parallel->first);
    } while (!await(parallel, context));
    return kn_pending();
}

static void discard_result(const struct kn_parallel *parallel, kn_value_t result)
{
    if (parallel->options.release)
        parallel->options.release(result, parallel->options.release_context);
}

/* Gives back what has come back. */
static void discard_arrived(struct kn_parallel *parallel)
{
    struct kn_parallel_job *next;
    for (struct kn_parallel_job *job = parallel->first; job; job = next) {
        next = job->next;
        if (!job->has_arrived)
            continue;
        struct kn_outcome outcome = take_out(parallel, job);
        if (outcome.status == KN_READY)
            discard_result(parallel, outcome.value);
    }
}

/* Takes a job back. It is out of the list before, as its memory may be another's right afterwards.
 * @return false when it had begun. */
static bool take_back(struct kn_parallel *parallel, struct kn_parallel_job *job)
{
    kn_value_t item = job->item;
    struct kn_shard *shard = job->shard;
    struct kn_parallel_job *previous = job->previous;
    unlink_job(parallel, job);
    /* Release pairs with the acquire in job_poll. */
    if (atomic_fetch_or_explicit(&job->phase, TAKEN_BACK, memory_order_release) & BEGUN) {
        link_behind(parallel, job, previous);
        return false;
    }
    if (shard)
        shard->last = NULL;
    parallel->count--;
    kn_stream_discard(parallel->source, item);
    return true;
}

static void parallel_drop(struct kn_parallel *parallel)
{
    unsigned pauses = 0;
    struct kn_parallel_job *next;
    collect(parallel);
    for (struct kn_parallel_job *job = parallel->first; job; job = next) {
        next = job->next;
        if (!job->has_arrived)
            (void)take_back(parallel, job);
    }
    /* The others run, or have; see parallel.h on why this ends. */
    for (discard_arrived(parallel); parallel->first; discard_arrived(parallel)) {
        if (++pauses % DROP_PAUSES == 0)
            sched_yield();
        else
            kn_cpu_relax();
        collect(parallel);
    }
    kn_stream_drop(parallel->source);
}

static void parallel_init(struct kn_parallel *parallel, struct kn_stream *source, kn_parallel_function *function,
                          void *context, const struct kn_parallel_options *options)
{
    *parallel = (struct kn_parallel){.source = source, .function = function, .context = context};
    if (options)
        parallel->options = *options;
    atomic_init(&parallel->completed, 0);
}

/* ---- par_map ---- */

static struct kn_outcome map_next(struct kn_stream *stream, struct kn_context *context)
{
    return parallel_next(&KN_CONTAINER_OF(stream, struct kn_stream_par_map, stream)->parallel, context);
}

static void map_drop(struct kn_stream *stream)
{
    parallel_drop(&KN_CONTAINER_OF(stream, struct kn_stream_par_map, stream)->parallel);
}

static void map_discard(struct kn_stream *stream, kn_value_t value)
{
    discard_result(&KN_CONTAINER_OF(stream, struct kn_stream_par_map, stream)->parallel, value);
}

static const struct kn_stream_type map_type = {
    .name = "par_map", .next = map_next, .drop = map_drop, .discard = map_discard};

struct kn_stream *kn_stream_par_map(struct kn_stream_par_map *self, struct kn_stream *source,
                                    kn_parallel_function *function, void *context,
                                    const struct kn_parallel_options *options)
{
    if (!self || !source) {
        kn_stream_drop(source);
        return NULL;
    }
    self->stream.type = &map_type;
    parallel_init(&self->parallel, source, function, context, options);
    return &self->stream;
}

/* ---- shard ---- */

static struct kn_outcome shard_next(struct kn_stream *stream, struct kn_context *context)
{
    return parallel_next(&KN_CONTAINER_OF(stream, struct kn_stream_shard, stream)->parallel, context);
}

static void shard_drop(struct kn_stream *stream)
{
    parallel_drop(&KN_CONTAINER_OF(stream, struct kn_stream_shard, stream)->parallel);
}

static void shard_discard(struct kn_stream *stream, kn_value_t value)
{
    discard_result(&KN_CONTAINER_OF(stream, struct kn_stream_shard, stream)->parallel, value);
}

static const struct kn_stream_type shard_type = {
    .name = "shard", .next = shard_next, .drop = shard_drop, .discard = shard_discard};

struct kn_stream *kn_stream_shard(struct kn_stream_shard *self, struct kn_stream *source, kn_key_function *key,
                                  kn_parallel_function *function, void *context, struct kn_shard *shards, size_t count,
                                  const struct kn_parallel_options *options)
{
    if (!self || !source || !shards || count == 0) {
        kn_stream_drop(source);
        return NULL;
    }
    self->stream.type = &shard_type;
    parallel_init(&self->parallel, source, function, context, options);
    self->parallel.key = key;
    self->parallel.shards = shards;
    self->parallel.shard_count = count;
    return &self->stream;
}

size_t kn_shard_of(uint64_t key, size_t count)
{
    /* The finalizer of MurmurHash3 (A. Appleby): keys that differ in few bits come far apart. */
    key = (key ^ key >> 33) * UINT64_C(0xff51afd7ed558ccd);
    key = (key ^ key >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
    return (size_t)(((key ^ key >> 33) >> 32) * count >> 32);
}

/* ---- par_for_each ---- */

static struct kn_outcome for_each_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_stream_par_for_each *self = KN_CONTAINER_OF(future, struct kn_stream_par_for_each, future);
    while (kn_context_may_continue(context)) {
        struct kn_outcome outcome = kn_stream_poll(&self->map.stream, context);
        if (outcome.status == KN_PENDING)
            return outcome;
        if (outcome.status == KN_READY) {
            kn_stream_discard(&self->map.stream, outcome.value);
            continue;
        }
        kn_stream_drop(&self->map.stream);
        return outcome.status == KN_END ? kn_ready(KN_NOTHING) : outcome;
    }
    return kn_pending();
}

static void for_each_drop(struct kn_future *future)
{
    kn_stream_drop(&KN_CONTAINER_OF(future, struct kn_stream_par_for_each, future)->map.stream);
}

static const struct kn_future_type for_each_type = {
    .name = "par_for_each", .poll = for_each_poll, .drop = for_each_drop};

struct kn_future *kn_stream_par_for_each(struct kn_stream_par_for_each *self, struct kn_stream *source,
                                         kn_parallel_function *function, void *context,
                                         const struct kn_parallel_options *options)
{
    if (!kn_stream_par_map(self ? &self->map : NULL, source, function, context, options))
        return NULL;
    self->future.type = &for_each_type;
    self->map.parallel.options.ordered = false;
    return &self->future;
}
