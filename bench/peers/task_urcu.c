/*
 * liburcu's call_rcu, of the flavour that is fastest at it, QSBR: a callback is queued, and called by a worker, kept to
 * the second core, after a grace period. And, for reference, its experimental defer_rcu: the calls of one thread, in a
 * ring of its own, which it calls itself after a grace period.
 *
 * The worker of call_rcu sleeps 10 ms between two looks at its queue. Calls are made as fast as they can be only where
 * many wait, so that a run queues millions before the caller waits for the last.
 */
#include "../task_cells.h"

#include <stdlib.h>

#include <urcu-qsbr.h>
/* After the flavour. */
#include <urcu-call-rcu.h>
#include <urcu-defer.h>

/* Calls between two quiescent states of the caller. */
enum { CALLS = 1 << 22, QUIESCENT = 1024 };

struct call {
    struct rcu_head head;
    uint64_t *ran;
};

struct context {
    struct call_rcu_data *worker; /* NULL: defer_rcu */
    struct call *calls;
};

static void ran_call(struct rcu_head *head)
{
    ++*caa_container_of(head, struct call, head)->ran;
}

static void ran_deferred(void *ran)
{
    ++*(uint64_t *)ran;
}

static void *open_call(const struct bench_options *options)
{
    struct context *context = bench_allocate(sizeof(*context));
    context->calls = bench_allocate(CALLS * sizeof(context->calls[0]));
    context->worker = create_call_rcu_data(0, options->cores[1]);
    return context->worker ? context : NULL;
}

static void close_call(void *pointer)
{
    struct context *context = pointer;
    call_rcu_data_free(context->worker);
    free(context->calls);
    free(context);
}

static double run_call(void *pointer, uint64_t size, uint64_t *result)
{
    struct context *context = pointer;
    uint64_t ran = 0;
    rcu_register_thread();
    set_thread_call_rcu_data(context->worker);
    double start_ns = bench_now_ns();
    for (uint64_t i = 0; i < CALLS; i++) {
        context->calls[i].ran = &ran;
        call_rcu(&context->calls[i].head, ran_call);
        if (i % QUIESCENT == 0)
            rcu_quiescent_state();
    }
    rcu_barrier();
    double elapsed_ns = bench_now_ns() - start_ns;
    set_thread_call_rcu_data(NULL);
    rcu_unregister_thread();
    *result = ran;
    if (ran != CALLS)
        abort();
    return elapsed_ns / CALLS * (double)size;
}

static void *open_defer(const struct bench_options *options)
{
    (void)options;
    return bench_allocate(sizeof(struct context));
}

static double run_defer(void *context, uint64_t size, uint64_t *result)
{
    (void)context;
    *result = 0;
    rcu_register_thread();
    if (rcu_defer_register_thread() != 0)
        abort();
    double start_ns = bench_now_ns();
    for (uint64_t spawned = 0; spawned < size; spawned += TASK_BATCH) {
        for (unsigned i = 0; i < TASK_BATCH; i++)
            defer_rcu(ran_deferred, result);
        rcu_defer_barrier_thread();
    }
    double elapsed_ns = bench_now_ns() - start_ns;
    rcu_defer_unregister_thread();
    rcu_unregister_thread();
    return elapsed_ns;
}

const struct task_implementation task_urcu[] = {
    {"urcu-call_rcu", BENCH_PEER, TASK_SPAWN_RUN, open_call, close_call, run_call},
    {"urcu-defer_rcu", BENCH_REFERENCE, TASK_SPAWN_RUN, open_defer, free, run_defer},
    {0},
};
