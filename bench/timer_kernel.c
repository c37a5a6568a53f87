#include "timer_loops.h"

#include <stdlib.h>

#include <kernel/assert.h>
#include <kernel/timer.h>

/* Time is the wheel's own: in each turn it goes on as if an operation took a tenth of a microsecond. */
enum { OPERATION_NS = 100, START_NS = 1000000000 };

struct context {
    struct kn_timer_wheel wheel;
    struct kn_timer *timer;
    size_t timers;
    uint64_t random;
    uint64_t now_ns;
    bool is_expiring; /* timers that fire stay idle */
};

static void fired(struct kn_timer *timer, void *owner)
{
    const struct context *context = owner;
    if (!context->is_expiring)
        kn_timer_wheel_arm(kn_timer_wheel_of(timer), timer, context->now_ns + TIMER_SPREAD_NS);
}

TIMER_INLINE void arm(struct context *context, size_t index, uint64_t delay_ns)
{
    kn_timer_wheel_arm(&context->wheel, &context->timer[index], context->now_ns + delay_ns);
}

TIMER_INLINE void cancel(struct context *context, size_t index)
{
    kn_timer_wheel_cancel(&context->wheel, &context->timer[index]);
}

TIMER_INLINE void turn(struct context *context)
{
    context->now_ns += (uint64_t)TIMER_TURN * OPERATION_NS;
    kn_timer_wheel_advance(&context->wheel, context->now_ns, TIMER_TURN);
}

TIMER_LOOPS(kernel, struct context, arm, cancel, turn)

static size_t bytes_each(void)
{
    return sizeof(struct kn_timer);
}

static void *open_flagged(size_t timers, unsigned flags)
{
    struct context *context = bench_allocate(sizeof(*context));
    const struct kn_timer_wheel_options options = {.start_ns = START_NS, .owner = context};
    context->timer = bench_allocate((timers + 1) * sizeof(*context->timer));
    context->timers = timers;
    context->random = TIMER_SEED;
    context->now_ns = START_NS;
    if (kn_timer_wheel_init(&context->wheel, &options) < 0)
        return NULL;
    for (size_t i = 0; i <= timers; i++)
        kn_timer_init(&context->timer[i], fired, flags);
    kernel_arm_all(context, TIMER_SPREAD_NS);
    return context;
}

static void *open_plain(size_t timers)
{
    return open_flagged(timers, 0);
}

static void *open_shared(size_t timers)
{
    return open_flagged(timers, KN_TIMER_SHARED);
}

static void close_wheel(void *pointer)
{
    struct context *context = pointer;
    free(context->timer);
    free(context);
}

static void arm_soon(void *pointer)
{
    kernel_arm_all(pointer, TIMER_SOON_NS);
}

static uint64_t expire(void *pointer)
{
    struct context *context = pointer;
    uint64_t count = 0;
    context->is_expiring = true;
    context->now_ns += 2 * TIMER_SOON_NS;
    while (kn_timer_wheel_next_ns(&context->wheel) <= context->now_ns)
        count += kn_timer_wheel_advance(&context->wheel, context->now_ns, TIMER_TURN);
    return count;
}

#define KERNEL_IMPLEMENTATION(name, open)                                                                              \
    {                                                                                                                  \
        name, BENCH_OURS, SIZE_MAX, bytes_each, open, close_wheel,                                                     \
            {kernel_arm_cancel, kernel_postpone, kernel_replace}, arm_soon, expire,                                    \
    }

const struct timer_implementation timer_kernel[] = {
    KERNEL_IMPLEMENTATION("kernel", open_plain),
    KERNEL_IMPLEMENTATION("kernel-shared", open_shared),
    {0},
};
