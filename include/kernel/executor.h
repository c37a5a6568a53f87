/**
 * @file executor.h
 * An executor polls a future to its answer: what futures find there, and one that runs on any thread, in real time or
 * in a time of its own.
 *
 * Use it to wait for a future on a thread that runs no reactor (kn_block_on), and to test what takes time without
 * taking it (kn_local_executor_run); on reactors futures run as tasks, future_task.h. It guarantees that a future is
 * polled only after it was woken, and that timers work the same in every executor.
 *
 * Virtual time. A local executor has a timing wheel of its own, and a clock that its caller moves.
 * kn_local_executor_run jumps to the next timer whenever nothing is woken: an hour of retries is over in microseconds,
 * and comes out the same each time. A future that waits for another thread there is an answer too: -EDEADLK.
 */
#ifndef KERNEL_EXECUTOR_H
#define KERNEL_EXECUTOR_H

#include <kernel/clock.h>
#include <kernel/eventcount.h>
#include <kernel/future.h>
#include <kernel/timer.h>

struct kn_reactor;

/** Polls of items that loops may do before they let others run; tokio's budget of cooperation. */
#define KN_EXECUTOR_BUDGET 256

/**
 * What a future finds where it is polled; it stays at its place until the future has answered or was dropped.
 *
 * Invariant: while `pins` is not zero the task that polls stays on its reactor.
 */
struct kn_executor {
    struct kn_reactor *reactor;    /**< that polls, or NULL: a thread without one */
    struct kn_timer_wheel *timers; /**< for futures of time; NULL: they fail with -ENOSYS */
    uint64_t now_ns;               /**< when this poll began, on the wheel's time line */
    uint32_t budget;               /**< how much loops may still do in this poll */
    uint32_t pins;                 /**< timers and descriptors in use that belong to this reactor */
};

/**
 * Whether a loop over items may go on: takes one from the budget. Where it answers false it has seen to another poll,
 * and the loop answers pending. For loops that might never wait, as over a queue that is never empty.
 */
KN_INLINE bool kn_context_may_continue(struct kn_context *context)
{
    if (KN_LIKELY(context->executor->budget > 0)) {
        context->executor->budget--;
        return true;
    }
    kn_waker_wake(context->waker);
    return false;
}

/** Keeps the polling task on its reactor until kn_executor_unpin: before a timer or descriptor of the reactor is used.
 * @return the executor, to be remembered for that. */
KN_INLINE struct kn_executor *kn_context_pin(const struct kn_context *context)
{
    context->executor->pins++;
    return context->executor;
}

/** Takes that back. On the executor's thread. */
KN_INLINE void kn_executor_unpin(struct kn_executor *executor)
{
    executor->pins--;
}

/** How long until the deadline that was handed down; 0 when it is over, KN_NEVER without one. */
KN_INLINE uint64_t kn_context_remaining_ns(const struct kn_context *context)
{
    uint64_t now_ns = context->executor->now_ns;
    if (context->deadline_ns == KN_NEVER)
        return KN_NEVER;
    return context->deadline_ns > now_ns ? context->deadline_ns - now_ns : 0;
}

/** An executor on the thread that calls it, of one future at a time. Some 17 KiB of the caller's memory. */
struct kn_local_executor {
    struct kn_waker waker;       /* sets `woken` */
    _Atomic bool woken;          /* since the last poll began */
    struct kn_executor executor; /* what futures see */
    struct kn_eventcount wakes;  /* a blocked thread sleeps here */
    struct kn_timer_wheel wheel; /* executor.timers */
};

/** Makes an executor whose clock stands at `start_ns`. */
void kn_local_executor_init(struct kn_local_executor *local, uint64_t start_ns);

/**
 * Polls the future once, woken or not. @param outcome its answer, or pending.
 * @return whether it has answered.
 */
bool kn_local_executor_poll(struct kn_local_executor *local, struct kn_future *future, struct kn_outcome *outcome);

/** The context of such a poll, for who polls streams and sinks himself; takes note of the time and fills the budget. */
struct kn_context kn_local_executor_context(struct kn_local_executor *local);

/** Whether it was woken since the last poll began. Any thread. */
bool kn_local_executor_is_woken(const struct kn_local_executor *local);

/** Moves the clock on and fires what is due. */
void kn_local_executor_advance(struct kn_local_executor *local, uint64_t now_ns);

/**
 * Polls the future to its answer in virtual time. It stays the caller's: when this fails it is dropped, not freed.
 * @return the answer; failed with -EDEADLK when it waits and neither a wake-up nor a timer is left.
 */
struct kn_outcome kn_local_executor_run(struct kn_local_executor *local, struct kn_future *future);

/**
 * Waits for a future's answer on a thread that runs no reactor, in real time; futures of time work. NULL fails with
 * -ENOMEM. @param timeout_ns after which it is dropped; negative: never.
 * @return the answer; failed with -ETIMEDOUT, or with -EDEADLK on a reactor's thread, which must not wait.
 */
struct kn_outcome kn_block_on(struct kn_future *future, int64_t timeout_ns);

#endif
