/**
 * @file future_time.h
 * Futures of time: wait until a moment, and give up on another future at one.
 *
 * Use them wherever something must not wait for ever, or not happen at once; timers that no future waits for are armed
 * directly (timer.h). They guarantee what the timing wheel does: never early, late by a resolution and a turn of the
 * loop at most. While one waits its task stays on its reactor, whose wheel holds the timer; dropping it cancels the
 * timer at once.
 *
 * Times are those of kn_clock_monotonic_ns, or of the executor's own clock where that is a virtual one.
 */
#ifndef KERNEL_FUTURE_TIME_H
#define KERNEL_FUTURE_TIME_H

#include <kernel/executor.h>

/** Answers at a moment. */
struct kn_future_delay {
    struct kn_future future;      /* first */
    struct kn_timer timer;        /* armed in the executor's wheel while `executor` is set */
    struct kn_waker *waker;       /* of the last poll */
    struct kn_executor *executor; /* where it is armed; NULL: it is not */
    uint64_t deadline_ns;         /**< when it answers */
    uint64_t delay_ns;            /* from the first poll on, as long as deadline_ns is KN_NEVER */
    bool is_over;                 /* the timer has fired */
};

/** Answers with nothing `delay_ns` after its first poll. Fails with -ENOSYS where there are no timers. */
struct kn_future *kn_future_delay(struct kn_future_delay *self, uint64_t delay_ns);

/** Answers with nothing at `deadline_ns`; at once when that has passed (tokio's sleep_until). KN_NEVER: never. */
struct kn_future *kn_future_delay_until(struct kn_future_delay *self, uint64_t deadline_ns);

/** Gives up on a future. */
struct kn_future_timeout {
    struct kn_future future;      /* first */
    struct kn_future *inner;      /* that is given up on */
    struct kn_future_delay delay; /* when */
};

/**
 * Answers as `inner` does, or drops it and fails with -ETIMEDOUT `timeout_ns` after the first poll, or at the deadline
 * that was handed down if that is earlier. `inner` is handed the deadline, and has the last word: it is polled before
 * the time is looked at.
 */
struct kn_future *kn_future_timeout(struct kn_future_timeout *self, struct kn_future *inner, uint64_t timeout_ns);

/** The same for a moment. */
struct kn_future *kn_future_timeout_at(struct kn_future_timeout *self, struct kn_future *inner, uint64_t deadline_ns);

#endif
