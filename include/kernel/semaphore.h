/**
 * @file semaphore.h
 * A number of permits that tasks take, wait for in line, and give back.
 *
 * Use it to bound how many do something at once: requests in flight, memory in use; the locks of mutex.h and rwlock.h
 * are made of it. For threads that may block there are those of the system. It guarantees first come, first served,
 * also for who wants many; that a task that is dropped while it waits, or after it was given permits that it has not
 * taken, leaves them to the next; and that who finds permits and nobody in line takes or returns them with one
 * compare-and-swap.
 *
 *        state:   permits that are free | somebody waits | closed          one word
 *
 * Invariant: `somebody waits` is set exactly when the line is not empty, and changes with the line's lock held. While
 * it is set the word changes with the lock held only, and holds fewer permits than the first in line wants.
 *
 * Zeroed memory is a semaphore without permits. The memory stays until no call on it is under way and no future of it
 * waits. models/semaphore.pml holds it as a model that Spin exhausts.
 *
 * Source: tokio's Semaphore, but that permits for the first in line are kept in the word until there are enough.
 */
#ifndef KERNEL_SEMAPHORE_H
#define KERNEL_SEMAPHORE_H

#include <kernel/future.h>
#include <kernel/wait_list.h>

/** Most permits that a semaphore can have. */
#define KN_SEMAPHORE_PERMITS_MAX (UINT64_MAX >> 2)

/** Bits of a semaphore's word. */
enum kn_semaphore_state {
    KN_SEMAPHORE_CLOSED = 1u << 0,  /**< nobody is given permits any more */
    KN_SEMAPHORE_WAITING = 1u << 1, /**< the line is not empty */
    KN_SEMAPHORE_PERMIT = 1u << 2   /**< one permit; the bits above count them */
};

/** A semaphore. Fields are private. */
struct kn_semaphore {
    _Atomic uint64_t state; /* see the picture above */
    struct kn_wait_list waiters;
};

/** A semaphore of so many permits, for definitions. */
#define KN_SEMAPHORE_INIT(permits)                                                                                     \
    {                                                                                                                  \
        .state = (uint64_t)(permits)*KN_SEMAPHORE_PERMIT                                                               \
    }

/** Makes one of any memory. */
void kn_semaphore_init(struct kn_semaphore *semaphore, uint64_t permits);

/**
 * Takes permits at once. Lock-free.
 * @return 0; -EAGAIN when there are too few or somebody waits; -EPIPE when it is closed.
 */
KN_CHECK_RESULT int kn_semaphore_try_acquire(struct kn_semaphore *semaphore, uint64_t permits);

/** Gives permits back, or adds new ones: to the first in line, if there is one. Any thread; lock-free if nobody waits.
 */
void kn_semaphore_release(struct kn_semaphore *semaphore, uint64_t permits);

/** Makes all who wait, and all who come, fail with -EPIPE. Permits may still be given back. Any thread; idempotent. */
void kn_semaphore_close(struct kn_semaphore *semaphore);

/** Whether it was closed. Any thread; wait-free. */
bool kn_semaphore_is_closed(const struct kn_semaphore *semaphore);

/** How many permits are free, those included that are kept for the first in line. Any thread; wait-free. */
uint64_t kn_semaphore_available(const struct kn_semaphore *semaphore);

/** Waits for permits. */
struct kn_semaphore_acquire {
    struct kn_future future; /* first */
    struct kn_semaphore *semaphore;
    uint64_t permits;         /* that it asks for */
    struct kn_wait_node node; /* in the line */
};

/**
 * Answers with nothing once the permits are the caller's, who gives them back with kn_semaphore_release; fails with
 * -EPIPE. An answer that nobody takes gives them back. `semaphore` NULL: NULL.
 */
struct kn_future *kn_semaphore_acquire(struct kn_semaphore_acquire *self, struct kn_semaphore *semaphore,
                                       uint64_t permits);

/** Runs a future with permits held. */
struct kn_semaphore_guarded {
    struct kn_future future; /* first */
    struct kn_semaphore_acquire acquire;
    struct kn_future *inner; /* polled while they are held */
    bool holds;              /* the permits */
};

/**
 * Waits for permits, then answers as `inner` does, and gives them back: also when it is dropped. Fails with -EPIPE,
 * inner unpolled, if the semaphore is closed.
 */
struct kn_future *kn_semaphore_guarded(struct kn_semaphore_guarded *self, struct kn_semaphore *semaphore,
                                       uint64_t permits, struct kn_future *inner);

#endif
