/*
 * The reference: the bare queue that the channel is made of.
 */
#include "future_cells.h"

#include <stdlib.h>

#include <kernel/mpsc.h>

KN_MPSC_DEFINE(future_queue, uint64_t);

struct bare {
    struct future_queue *queue;
    struct future_queue_producer producer;
};

static void *open_bare(void)
{
    struct bare *bare = bench_allocate(sizeof(*bare));
    if (future_queue_open(&bare->queue, FUTURE_CHANNEL_SLOTS) == 0 &&
        future_queue_producer_join(&bare->producer, &bare->queue->sector) == 0)
        return bare;
    free(bare);
    return NULL;
}

static void close_bare(void *context)
{
    struct bare *bare = context;
    future_queue_producer_leave(&bare->producer);
    future_queue_close(bare->queue);
    free(bare);
}

static double run_bursts(struct bare *bare, uint64_t count, uint64_t burst, uint64_t *result)
{
    double start_ns = bench_now_ns();
    for (uint64_t left = count / burst; left > 0; left--) {
        uint64_t message = 1;
        for (uint64_t i = 0; i < burst; i++)
            (void)future_queue_try_push(&bare->producer, &message);
        for (uint64_t i = 0; i < burst; i++) {
            if (future_queue_try_pop(&bare->queue->consumer, &message) == 0)
                *result += message;
        }
    }
    return bench_now_ns() - start_ns;
}

static double run_one(void *context, uint64_t count, uint64_t *result)
{
    return run_bursts(context, count, 1, result);
}

static double run_many(void *context, uint64_t count, uint64_t *result)
{
    return run_bursts(context, count, FUTURE_CHANNEL_BURST, result);
}

const struct future_implementation future_reference[] = {
    {"bare-queue", BENCH_REFERENCE, FUTURE_CHANNEL_ONE, open_bare, close_bare, run_one},
    {"bare-queue", BENCH_REFERENCE, FUTURE_CHANNEL_MANY, open_bare, close_bare, run_many},
    {NULL, BENCH_REFERENCE, FUTURE_CASES, NULL, NULL, NULL},
};
