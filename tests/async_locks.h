/*
 * What the tests of locks for tasks share: a future that tells a test what happens to another one, and threads.
 */
#ifndef KERNEL_TESTS_ASYNC_LOCKS_H
#define KERNEL_TESTS_ASYNC_LOCKS_H

#include <pthread.h>

#include "async_harness.h"

/* What happens to a probe. */
enum probe_event {
    PROBE_BEGINS,  /* its first poll */
    PROBE_WAITS,   /* it has answered pending */
    PROBE_ANSWERS, /* it has answered */
    PROBE_LEAVES   /* it was dropped, after its first poll and before its answer */
};

struct probe;

typedef void probe_function(struct probe *probe, enum probe_event event);

/* Passes on what another future does, and tells of it. */
struct probe {
    struct kn_future future;
    struct kn_future *inner;
    probe_function *function;
    void *context;
    unsigned number;
    bool is_live;              /* between its first poll and its end */
    struct kn_outcome outcome; /* after PROBE_ANSWERS */
};

static inline struct kn_outcome probe_poll(struct kn_future *future, struct kn_context *context)
{
    struct probe *probe = KN_CONTAINER_OF(future, struct probe, future);
    if (!probe->is_live) {
        probe->is_live = true;
        probe->function(probe, PROBE_BEGINS);
    }
    probe->outcome = kn_future_poll(probe->inner, context);
    probe->is_live = probe->outcome.status == KN_PENDING;
    probe->function(probe, probe->is_live ? PROBE_WAITS : PROBE_ANSWERS);
    return probe->outcome;
}

static inline void probe_drop(struct kn_future *future)
{
    struct probe *probe = KN_CONTAINER_OF(future, struct probe, future);
    kn_future_drop(probe->inner);
    if (!probe->is_live)
        return;
    probe->is_live = false;
    probe->function(probe, PROBE_LEAVES);
}

static inline void probe_discard(struct kn_future *future, kn_value_t value)
{
    kn_future_discard(KN_CONTAINER_OF(future, struct probe, future)->inner, value);
}

static inline struct kn_future *probe(struct probe *self, struct kn_future *inner, unsigned number,
                                      probe_function *function, void *context)
{
    static const struct kn_future_type type = {
        .name = "probe", .poll = probe_poll, .drop = probe_drop, .discard = probe_discard};
    if (!self || !inner) {
        kn_future_drop(inner);
        return NULL;
    }
    *self = (struct probe){
        .future.type = &type, .inner = inner, .number = number, .function = function, .context = context};
    return &self->future;
}

enum { PROBE_THREADS = 4 };

/* Runs it on four threads at once. */
static inline void probe_threads(void *(*function)(void *context), void *context)
{
    pthread_t threads[PROBE_THREADS];
    for (unsigned i = 0; i < PROBE_THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, function, context), 0);
    for (unsigned i = 0; i < PROBE_THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
}

#endif
