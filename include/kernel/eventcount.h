/**
 * @file eventcount.h
 * How threads and processes sleep until something has happened, without a word on the path of those who make it happen.
 *
 * Use it through the waiting forms of the queues. An event is a futex word with a count of those who may be asleep.
 * Who makes something happen looks at that count, which is one load of a line that hardly ever changes; who wants to
 * sleep counts itself, has every other thread pass a barrier (membarrier(2)), looks once more, and only then sleeps.
 * No wake-up is lost: models/eventcount.pml exhausts this. Where the system has no membarrier the count never reads as
 * zero and the notifier pays for the barrier itself.
 *
 * The split barrier is that of liburcu and of Dice, Huang and Yang, "Asymmetric Dekker synchronization" (2001); the
 * word with a count is an event count (Reed and Kanodia, 1979).
 */
#ifndef KERNEL_EVENTCOUNT_H
#define KERNEL_EVENTCOUNT_H

#include <kernel/atomic.h>

/** An event; in shared memory if its users are in several processes. */
struct kn_eventcount {
    _Atomic uint32_t epoch; /* the futex: changed by every wake-up */
    _Atomic uint32_t
        sleepers;    /* those between prepare and end; KN_EVENTCOUNT_NO_MEMBARRIER on top where there is none */
    uint32_t shared; /* whether several processes use it */
};

/** On top of the count: the system lacks membarrier. */
#define KN_EVENTCOUNT_NO_MEMBARRIER (UINT32_C(1) << 31)

/** As a count: every sleeper. */
#define KN_EVENTCOUNT_ALL UINT32_MAX

/** How a waiting form waits. */
enum kn_wait_strategy {
    KN_WAIT_PAUSE, /**< look again at once, with the processor's pause instruction: least latency, a core each */
    KN_WAIT_SPIN,  /**< look again at once, without it */
    KN_WAIT_YIELD, /**< pause for a while, then let others run between two looks: for more threads than cores */
    KN_WAIT_PARK   /**< pause for a while, then sleep in the system until there is something */
};

/** How, and for how long. The zero value: with the pause instruction, for ever. */
struct kn_wait {
    enum kn_wait_strategy strategy;
    int64_t timeout_ns; /**< give up after this time; 0: never */
    uint32_t attempts;  /**< looks before yielding or parking; 0: a default of some microseconds */
};

/** Prepares an event in zeroed memory, and this process for it. Thread-safe only before the event is used. */
void kn_eventcount_init(struct kn_eventcount *event, bool shared);

/** Prepares this process for events of others that it has mapped; before it notifies the first. Thread-safe. */
void kn_eventcount_attach(struct kn_eventcount *event);

/** Wakes up to `count` sleepers; kn_eventcount_notify calls it. */
void kn_eventcount_wake(struct kn_eventcount *event, uint32_t count);

/**
 * Wakes up to `count` sleepers, if there are any, after something has happened. Any thread; no system call if none.
 *
 * A process that was killed while it slept stays counted for ever: that costs a system call each time, nothing else.
 */
KN_INLINE void kn_eventcount_notify(struct kn_eventcount *event, uint32_t count)
{
    /* Keeps the compiler from moving the look before what happened; the processor is kept by membarrier in
     * prepare (event.c): either this load sees the sleeper, or the sleeper's next look sees what happened. */
    atomic_signal_fence(memory_order_seq_cst);
    if (KN_UNLIKELY(atomic_load_explicit(&event->sleepers, memory_order_relaxed) != 0))
        kn_eventcount_wake(event, count);
}

/** One thread's wait: begin, then look and pause by turns, then end. */
struct kn_waiter {
    struct kn_eventcount *event;
    const struct kn_wait *how;
    int64_t deadline_ns; /* of the whole wait */
    int64_t long_ns;     /* when the caller is told next that the wait is long; 0: the clock was not read yet */
    uint32_t attempts;   /* looks so far */
    uint32_t epoch;      /* read before the last look */
    bool prepared;       /* counted among the sleepers */
};

/** Begins a wait that may sleep on `event`. */
void kn_waiter_begin(struct kn_waiter *waiter, struct kn_eventcount *event, const struct kn_wait *how);

/**
 * Waits a little, or sleeps; the caller then looks again and, still without success, comes back.
 *
 * *waited_long is set about every 100 ms, however the thread waits, so that a robust sector is looked after; who sleeps
 * is woken for it. A wait may last some microseconds longer than its timeout: a pausing thread reads the clock only
 * every so often.
 *
 * @return 0: look again; -ETIMEDOUT: give up.
 */
int kn_waiter_pause(struct kn_waiter *waiter, bool *waited_long);

/** Ends the wait, however it ended. */
void kn_waiter_end(struct kn_waiter *waiter);

#endif
