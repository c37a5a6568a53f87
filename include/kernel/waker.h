/**
 * @file waker.h
 * A waker says that something which answered "pending" is worth another poll; a cell keeps one for whoever makes it so.
 *
 * Use it to write futures and streams of your own that wait for other threads; those that are made of others only hand
 * it on. It guarantees that a wake-up which comes after a registration is not lost, that any thread may give it, and
 * that after kn_waker_cell_clear nobody touches the waker any more: so futures need no reference counts.
 *
 * A waker is part of what it wakes, as a task is: who waits owns it, and takes it back from wherever it was left before
 * its memory goes. That is what dropping a future does.
 *
 * The cell is that of the futures crate (AtomicWaker, by C. Lerche and A. Crichton), but that the waker is called
 * before the state is given up, so that clearing the cell can wait for a call under way.
 *
 *                 register                          wake
 *        waiting ---------> registering     waiting ----> waking (calls the waker) ---> waiting
 *           ^                   |  \ wake
 *           +-------------------+   +----> both: who registers calls the waker itself
 *
 * models/waker_cell.pml holds it as a model that Spin exhausts.
 */
#ifndef KERNEL_WAKER_H
#define KERNEL_WAKER_H

#include <kernel/atomic.h>

/** A waker, to be part of a structure of the caller's (KN_CONTAINER_OF leads back). */
struct kn_waker {
    /** Sees to it that what waits is polled after this call. Any thread; must not poll, wait or fail. */
    void (*wake)(struct kn_waker *waker);
};

/** Calls it. What was written before is visible to the poll that follows. Any thread. */
KN_INLINE void kn_waker_wake(struct kn_waker *waker)
{
    waker->wake(waker);
}

/** States of a cell; both bits at once when a wake-up met a registration. */
enum kn_waker_cell_state {
    KN_WAKER_CELL_WAITING = 0,           /**< nobody is in the cell */
    KN_WAKER_CELL_REGISTERING = 1u << 0, /**< the owner writes `waker` */
    KN_WAKER_CELL_WAKING = 1u << 1       /**< somebody reads and calls `waker` */
};

/**
 * The place of one waker: one owner registers and clears, any threads wake. Zeroed memory is an empty cell.
 *
 * Invariant: `waker` is touched only by who has turned the state from waiting into something else.
 */
struct kn_waker_cell {
    _Atomic uint32_t state; /* of enum kn_waker_cell_state */
    struct kn_waker *waker; /* NULL: none, or called already */
};

/**
 * Leaves a waker to be called once by the next wake, in place of one left before. Look at what is waited for after
 * this, not before. Owner only; lock-free.
 */
void kn_waker_cell_register(struct kn_waker_cell *cell, struct kn_waker *waker);

/** Takes the waker back: it is not called any more, and no call is under way. Owner only; waits for such a call. */
void kn_waker_cell_clear(struct kn_waker_cell *cell);

/** Calls the waker, if there is one, after what is waited for has happened. Any thread; wait-free, but for the waker.
 */
void kn_waker_cell_wake(struct kn_waker_cell *cell);

#endif
