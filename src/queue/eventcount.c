#include <kernel/eventcount.h>

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <kernel/clock.h>

/* Looks before yielding or parking: some microseconds, where a pause instruction takes tens of nanoseconds. */
static const uint32_t ATTEMPTS_DEFAULT = 100;

/* A pausing waiter reads the clock once in so many looks, since that costs as much as a look or more. */
static const uint32_t LOOKS_A_CLOCK = 256;

/* Who has found nothing for so long is told, and wakes up for it. */
static const int64_t LONG_NS = 100000000;

static const int64_t NS_PER_SECOND = 1000000000;

/* ---- who makes something happen ---- */

static bool membarrier(int command)
{
    return syscall(SYS_membarrier, command, 0, 0) == 0;
}

static void never_zero(struct kn_eventcount *event)
{
    atomic_fetch_or_explicit(&event->sleepers, KN_EVENTCOUNT_NO_MEMBARRIER, memory_order_relaxed);
}

void kn_eventcount_attach(struct kn_eventcount *event)
{
    /* A second registration changes nothing. A process that is refused sees at least its own bit from now on. */
    if (!membarrier(event->shared ? MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED
                                  : MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED))
        never_zero(event);
}

void kn_eventcount_init(struct kn_eventcount *event, bool shared)
{
    event->shared = shared;
    kn_eventcount_attach(event);
}

/* The count, as one reads it who may have passed no barrier since something happened. */
static uint32_t count_sleepers(struct kn_eventcount *event)
{
    uint32_t sleepers = atomic_load_explicit(&event->sleepers, memory_order_relaxed);
    /* Acquire-release pairs with the addition in prepare: either this one comes later and reads the sleeper, or that
     * one acquires what happened before this. An addition of nothing, as the thread sanitizer knows no fences. */
    if (sleepers & KN_EVENTCOUNT_NO_MEMBARRIER)
        sleepers = atomic_fetch_add_explicit(&event->sleepers, 0, memory_order_acq_rel);
    return sleepers & ~KN_EVENTCOUNT_NO_MEMBARRIER;
}

void kn_eventcount_wake(struct kn_eventcount *event, uint32_t count)
{
    if (count_sleepers(event) == 0)
        return;
    /* Release pairs with the acquire in prepare: who goes to sleep on the new epoch has seen what happened. */
    atomic_fetch_add_explicit(&event->epoch, 1, memory_order_release);
    int most = count < INT_MAX ? (int)count : INT_MAX;
    syscall(SYS_futex, &event->epoch, event->shared ? FUTEX_WAKE : FUTEX_WAKE_PRIVATE, most, NULL, NULL, 0);
}

/* ---- who waits for it ---- */

void kn_waiter_begin(struct kn_waiter *waiter, struct kn_eventcount *event, const struct kn_wait *how)
{
    static const struct kn_wait pausing_for_ever;
    *waiter = (struct kn_waiter){.event = event, .how = how ? how : &pausing_for_ever};
}

/*
 * Whether the wait is over, and whether it has been long. The time runs from the first reading, so that short waits do
 * without. By the clock rather than by how a sleep ended: signals, and wake-ups in vain, must not put it off.
 */
static int consult_clock(struct kn_waiter *waiter, bool *waited_long)
{
    int64_t now = (int64_t)kn_clock_monotonic_ns();
    int64_t timeout_ns = waiter->how->timeout_ns;
    if (waiter->long_ns == 0) {
        waiter->long_ns = now + LONG_NS;
        waiter->deadline_ns = timeout_ns == 0 || timeout_ns > INT64_MAX - now ? INT64_MAX : now + timeout_ns;
    }
    *waited_long = now >= waiter->long_ns;
    if (*waited_long)
        waiter->long_ns = now + LONG_NS;
    return now < waiter->deadline_ns ? 0 : -ETIMEDOUT;
}

/*
 * Counts this thread among the sleepers. The order is all: the epoch first, so that a wake-up from here on keeps the
 * futex from sleeping; then the count; then the barrier, after which every notifier reads the count, or else made its
 * event visible before; then, in the caller, the last look. A process that is killed in here leaves its count behind,
 * which only costs the notifiers a system call each.
 */
static void prepare(struct kn_waiter *waiter)
{
    struct kn_eventcount *event = waiter->event;
    /* Acquire pairs with the release in kn_eventcount_wake. */
    waiter->epoch = atomic_load_explicit(&event->epoch, memory_order_acquire);
    /* Acquire-release pairs with the addition in count_sleepers. */
    atomic_fetch_add_explicit(&event->sleepers, 1, memory_order_acq_rel);
    waiter->prepared = true;
    /* Also where the bit is set, for the sake of notifiers that have not seen it yet. A process that cannot do it has
     * set the bit when it attached; were it forbidden only later, the sleep is still bounded. */
    if (!membarrier(event->shared ? MEMBARRIER_CMD_GLOBAL_EXPEDITED : MEMBARRIER_CMD_PRIVATE_EXPEDITED))
        never_zero(event);
}

static void undo_prepare(struct kn_waiter *waiter)
{
    /* Relaxed: this thread is awake and looks again, whoever sees it late only wakes in vain. */
    atomic_fetch_sub_explicit(&waiter->event->sleepers, 1, memory_order_relaxed);
    waiter->prepared = false;
}

/* Sleeps unless the epoch is another by now. A signal ends the sleep as well: the caller looks again. */
static void sleep_once(const struct kn_waiter *waiter)
{
    int64_t end_ns = waiter->deadline_ns < waiter->long_ns ? waiter->deadline_ns : waiter->long_ns;
    struct timespec end = {.tv_sec = end_ns / NS_PER_SECOND, .tv_nsec = end_ns % NS_PER_SECOND};
    /* The one form of waiting that takes the end as a point in time, of CLOCK_MONOTONIC. */
    int operation = FUTEX_WAIT_BITSET | (waiter->event->shared ? 0 : FUTEX_PRIVATE_FLAG);
    syscall(SYS_futex, &waiter->event->epoch, operation, waiter->epoch, &end, NULL, FUTEX_BITSET_MATCH_ANY);
}

int kn_waiter_pause(struct kn_waiter *waiter, bool *waited_long)
{
    const struct kn_wait *how = waiter->how;
    *waited_long = false;
    /* The caller looked after prepare, and it looks after the sleep, before the clock may end the wait. */
    if (waiter->prepared) {
        sleep_once(waiter);
        undo_prepare(waiter);
        return 0;
    }
    bool patient = how->strategy == KN_WAIT_YIELD || how->strategy == KN_WAIT_PARK;
    if (!patient || waiter->attempts < (how->attempts != 0 ? how->attempts : ATTEMPTS_DEFAULT)) {
        if (how->strategy != KN_WAIT_SPIN)
            kn_cpu_relax();
        return ++waiter->attempts % LOOKS_A_CLOCK == 0 ? consult_clock(waiter, waited_long) : 0;
    }
    int result = consult_clock(waiter, waited_long);
    if (result == 0 && how->strategy == KN_WAIT_PARK)
        prepare(waiter);
    else if (result == 0)
        sched_yield();
    return result;
}

void kn_waiter_end(struct kn_waiter *waiter)
{
    if (waiter->prepared)
        undo_prepare(waiter);
}
