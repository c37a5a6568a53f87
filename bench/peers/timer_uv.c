/* libuv: timer handles in an array, the loop's time as it is cached between two turns. */
#include "../timer_loops.h"

#include <stdlib.h>
#include <time.h>

#include <uv.h>

struct context {
    uv_loop_t loop;
    uv_timer_t *timer;
    size_t timers;
    uint64_t random;
    uint64_t fired;
};

static void fired(uv_timer_t *timer)
{
    struct context *context = timer->data;
    context->fired++;
}

/* Milliseconds are what it has. */
TIMER_INLINE void arm(struct context *context, size_t index, uint64_t delay_ns)
{
    uv_timer_start(&context->timer[index], fired, delay_ns / 1000000, 0);
}

TIMER_INLINE void cancel(struct context *context, size_t index)
{
    uv_timer_stop(&context->timer[index]);
}

TIMER_INLINE void turn(struct context *context)
{
    uv_update_time(&context->loop);
}

TIMER_LOOPS(uv, struct context, arm, cancel, turn)

/* The node of the heap is part of the handle. */
static size_t bytes_each(void)
{
    return sizeof(uv_timer_t);
}

static void *open_loop(size_t timers)
{
    struct context *context = bench_allocate(sizeof(*context));
    context->timer = bench_allocate((timers + 1) * sizeof(*context->timer));
    context->timers = timers;
    context->random = TIMER_SEED;
    if (uv_loop_init(&context->loop) != 0)
        return NULL;
    for (size_t i = 0; i <= timers; i++) {
        uv_timer_init(&context->loop, &context->timer[i]);
        context->timer[i].data = context;
    }
    uv_arm_all(context, TIMER_SPREAD_NS);
    return context;
}

static void close_loop(void *pointer)
{
    struct context *context = pointer;
    for (size_t i = 0; i <= context->timers; i++)
        uv_close((uv_handle_t *)&context->timer[i], NULL);
    uv_run(&context->loop, UV_RUN_DEFAULT);
    uv_loop_close(&context->loop);
    free(context->timer);
    free(context);
}

static void arm_soon(void *pointer)
{
    struct context *context = pointer;
    uv_update_time(&context->loop);
    uv_arm_all(context, TIMER_SOON_NS);
    nanosleep(&(struct timespec){.tv_nsec = (long)TIMER_SOON_NS}, NULL);
}

static uint64_t expire(void *pointer)
{
    struct context *context = pointer;
    context->fired = 0;
    uv_update_time(&context->loop);
    while (context->fired < context->timers && uv_run(&context->loop, UV_RUN_NOWAIT) != 0) {
    }
    return context->fired;
}

const struct timer_implementation timer_uv[] = {
    {
        "libuv",
        BENCH_PEER,
        1000000,
        bytes_each,
        open_loop,
        close_loop,
        {uv_arm_cancel, uv_postpone, uv_replace},
        arm_soon,
        expire,
    },
    {0},
};
