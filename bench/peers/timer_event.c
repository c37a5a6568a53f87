/*
 * libevent: events that are only timeouts, in an array, without locks. The loops run inside of a callback, where
 * event_add takes the time from the base's cache in place of asking the system.
 *
 * With a common timeout, events of one and the same duration stand in a list and not in the heap: the fastest that it
 * documents, for idle timeouts alone. Its loops arm for the whole span whatever they are asked for.
 */
#include "../timer_loops.h"

#include <stdlib.h>
#include <time.h>

#include <event2/event.h>
#include <event2/event_struct.h>

struct context {
    struct event_base *base;
    struct event *timer;
    struct event *inside;             /* runs the loops */
    const struct timeval *common;     /* NULL: the heap */
    double (*loop)(void *, uint64_t); /* what it is to run, */
    uint64_t operations;              /* how often, */
    double elapsed_ns;                /* and how long that took */
    size_t timers;
    uint64_t random;
    uint64_t fired;
    bool is_expiring; /* timers that fire stay idle */
};

TIMER_INLINE void arm(struct context *context, size_t index, uint64_t delay_ns)
{
    uint64_t delay_us = delay_ns / 1000;
    const struct timeval delay = {.tv_sec = (time_t)(delay_us / 1000000), .tv_usec = (suseconds_t)(delay_us % 1000000)};
    event_add(&context->timer[index], &delay);
}

TIMER_INLINE void arm_common(struct context *context, size_t index, uint64_t delay_ns)
{
    (void)delay_ns;
    event_add(&context->timer[index], context->common);
}

TIMER_INLINE void cancel(struct context *context, size_t index)
{
    event_del(&context->timer[index]);
}

TIMER_INLINE void turn(struct context *context)
{
    event_base_update_cache_time(context->base);
}

TIMER_LOOPS(heap, struct context, arm, cancel, turn)
TIMER_LOOPS(common, struct context, arm_common, cancel, turn)

/* With the place in the array of the heap. */
static size_t bytes_each(void)
{
    return sizeof(struct event) + sizeof(struct event *);
}

static size_t bytes_each_common(void)
{
    return sizeof(struct event);
}

static void run_inside(evutil_socket_t none, short what, void *pointer)
{
    struct context *context = pointer;
    (void)none;
    (void)what;
    context->elapsed_ns = context->loop(context, context->operations);
}

static double run(struct context *context, double (*loop)(void *, uint64_t), uint64_t operations)
{
    context->loop = loop;
    context->operations = operations;
    event_active(context->inside, EV_TIMEOUT, 0);
    event_base_loop(context->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    return context->elapsed_ns;
}

#define EVENT_PATTERN(name)                                                                                            \
    static double run_##name(void *context, uint64_t operations)                                                       \
    {                                                                                                                  \
        return run((struct context *)context, name, operations);                                                       \
    }

EVENT_PATTERN(heap_arm_cancel)
EVENT_PATTERN(heap_postpone)
EVENT_PATTERN(heap_replace)
EVENT_PATTERN(common_arm_cancel)
EVENT_PATTERN(common_postpone)
EVENT_PATTERN(common_replace)

static double arm_span(void *pointer, uint64_t span_ns)
{
    struct context *context = pointer;
    if (context->common)
        common_arm_all(context, span_ns);
    else
        heap_arm_all(context, span_ns);
    return 0;
}

/* The time that passes is the system's; what falls due between two slices is armed anew before the next. */
static void fired(evutil_socket_t none, short what, void *pointer)
{
    static const struct timeval span = {.tv_sec = (time_t)(TIMER_SPREAD_NS / 1000000000)};
    struct context *context = pointer;
    (void)none;
    (void)what;
    context->fired++;
    if (!context->is_expiring)
        event_add(event_base_get_running_event(context->base), context->common ? context->common : &span);
}

static void *open_base(size_t timers, const struct timeval *common)
{
    struct context *context = bench_allocate(sizeof(*context));
    struct event_config *config = event_config_new();
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    context->base = event_base_new_with_config(config);
    event_config_free(config);
    if (!context->base)
        return NULL;
    context->timer = bench_allocate((timers + 1) * sizeof(*context->timer));
    context->timers = timers;
    context->random = TIMER_SEED;
    context->inside = event_new(context->base, -1, 0, run_inside, context);
    if (common)
        context->common = event_base_init_common_timeout(context->base, common);
    for (size_t i = 0; i <= timers; i++)
        event_assign(&context->timer[i], context->base, -1, 0, fired, context);
    run(context, arm_span, TIMER_SPREAD_NS);
    return context;
}

static void *open_heap(size_t timers)
{
    return open_base(timers, NULL);
}

static void *open_common(size_t timers)
{
    static const struct timeval span = {.tv_sec = (time_t)(TIMER_SPREAD_NS / 1000000000)};
    return open_base(timers, &span);
}

static void close_base(void *pointer)
{
    struct context *context = pointer;
    for (size_t i = 0; i <= context->timers; i++)
        event_del(&context->timer[i]);
    event_free(context->inside);
    event_base_free(context->base);
    free(context->timer);
    free(context);
}

static void arm_soon(void *pointer)
{
    struct context *context = pointer;
    context->is_expiring = true;
    context->fired = 0;
    run(context, arm_span, TIMER_SOON_NS);
    nanosleep(&(struct timespec){.tv_nsec = (long)TIMER_SOON_NS}, NULL);
}

static uint64_t expire(void *pointer)
{
    struct context *context = pointer;
    while (context->fired < context->timers && event_base_loop(context->base, EVLOOP_NONBLOCK) == 0) {
    }
    return context->fired;
}

const struct timer_implementation timer_event[] = {
    {
        "libevent",
        BENCH_PEER,
        1000000,
        bytes_each,
        open_heap,
        close_base,
        {run_heap_arm_cancel, run_heap_postpone, run_heap_replace},
        arm_soon,
        expire,
    },
    {
        "libevent-common",
        BENCH_PEER,
        1000000,
        bytes_each_common,
        open_common,
        close_base,
        {run_common_arm_cancel, run_common_postpone, run_common_replace},
        NULL,
        NULL,
    },
    {0},
};
