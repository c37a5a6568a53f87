/*
 * Timers of a reactor: its wheel, and how others arm and cancel there.
 */
#include <errno.h>

#include "reactor_internal.h"

static void wake(void *target, void *owner)
{
    (void)owner;
    kn_task_wake(target);
}

int kn_reactor_open_timers(struct kn_reactor *reactor, uint64_t resolution_ns)
{
    struct kn_timer_wheel_options options = {
        .resolution_ns = resolution_ns, .start_ns = kn_clock_monotonic_ns(), .owner = reactor, .wake = wake};
    return kn_timer_wheel_init(&reactor->wheel, &options);
}

unsigned kn_reactor_advance_timers(struct kn_reactor *reactor)
{
    if (kn_timer_wheel_next_ns(&reactor->wheel) > reactor->now_ns)
        return 0;
    uint64_t start_ns = reactor->now_ns;
    unsigned fired = (unsigned)kn_timer_wheel_advance(&reactor->wheel, start_ns, reactor->turn_timers);
    if (fired > 0 && KN_UNLIKELY(atomic_load_explicit(&reactor->runtime->tracing, memory_order_relaxed)))
        kn_trace_add(&reactor->trace, KN_TRACE_TIMER, start_ns, fired, NULL, NULL);
    return fired;
}

uint64_t kn_reactor_next_timer_ns(const struct kn_reactor *reactor)
{
    return kn_timer_wheel_next_ns(&reactor->wheel);
}

struct kn_timer_wheel *kn_reactor_timers(struct kn_reactor *reactor)
{
    return &reactor->wheel;
}

const struct kn_timer_counters *kn_reactor_timer_counters(const struct kn_reactor *reactor)
{
    return kn_timer_wheel_counters(&reactor->wheel);
}

void kn_reactor_take_timer(struct kn_reactor *reactor, struct kn_timer *timer)
{
    /* One that was cancelled meanwhile stays so. */
    (void)kn_timer_wheel_arm(&reactor->wheel, timer, timer->deadline_ns);
}

void kn_reactor_forget_timer(struct kn_reactor *reactor, struct kn_timer *timer)
{
    kn_timer_wheel_forget(&reactor->wheel, timer);
}

int kn_reactor_arm(struct kn_reactor *reactor, struct kn_timer *timer, uint64_t deadline_ns)
{
    struct kn_reactor *here = kn_reactor_of_thread;
    if (here == reactor)
        return kn_timer_wheel_arm(&reactor->wheel, timer, deadline_ns);
    if (!here || here->runtime != reactor->runtime)
        return -EPERM;
    timer->deadline_ns = deadline_ns;
    int result = kn_bus_send(here->bus, here->index, reactor->index, KN_BUS_TIMER, timer);
    if (result == 0)
        kn_park_notify(&reactor->park);
    return result;
}

/* Cancels a timer of another reactor. Room for the message comes first, as who has cancelled must tell the owner. */
static int cancel_there(struct kn_reactor *here, struct kn_timer *timer)
{
    if (!(timer->flags & KN_TIMER_SHARED))
        return -EPERM;
    struct kn_reactor *there = kn_timer_wheel_owner(kn_timer_wheel_of(timer));
    if (there->runtime != here->runtime)
        return -EPERM;
    struct kn_bus_ring *ring = kn_bus_ring(here->bus, here->index, there->index);
    struct kn_span span;
    int result = kn_bus_ring_claim(&ring->producer, 1, &span);
    if (result < 0)
        return result;
    result = kn_timer_try_cancel(timer);
    if (result < 0) {
        (void)kn_bus_ring_publish(&ring->producer, 0); /* gives the claim up */
        return result;
    }
    *kn_bus_ring_at(&span, 0) = (struct kn_bus_message){.kind = KN_BUS_CANCEL, .first = timer};
    (void)kn_bus_ring_publish(&ring->producer, 1);
    kn_park_notify(&there->park);
    return 0;
}

int kn_reactor_cancel(struct kn_timer *timer)
{
    struct kn_reactor *here = kn_reactor_of_thread;
    if (!here)
        return -EPERM;
    /* Acquire pairs with the release of who armed it: the wheel is known then, and does not change before it is idle.
     */
    if (kn_timer_is_idle(timer))
        return -EALREADY;
    if (kn_timer_wheel_of(timer) == &here->wheel)
        return kn_timer_wheel_cancel(&here->wheel, timer);
    return cancel_there(here, timer);
}
