/**
 * @file mutex.h
 * A lock that tasks wait for without stopping their thread.
 *
 * Use it for what a task must have to itself across a wait, as a connection that carries one request at a time; what is
 * done between two waits on one reactor needs none. It guarantees that the lock goes to those who wait in the order in
 * which they came, that a task that is dropped while it waits leaves the line, and that taking or leaving a lock that
 * nobody waits for is one compare-and-swap.
 *
 * A lock belongs to whoever took the answer, not to a thread: any thread may unlock. kn_mutex_guarded unlocks by
 * itself, whatever becomes of the task.
 *
 * Source: tokio's Mutex, which is a semaphore of one permit as well. Zeroed memory is a mutex that somebody holds.
 */
#ifndef KERNEL_MUTEX_H
#define KERNEL_MUTEX_H

#include <kernel/semaphore.h>

/** A mutex. Fields are private. */
struct kn_mutex {
    struct kn_semaphore semaphore; /* its permit is the lock */
};

/** A mutex that nobody holds, for definitions. */
#define KN_MUTEX_INIT                                                                                                  \
    {                                                                                                                  \
        .semaphore = KN_SEMAPHORE_INIT(1)                                                                              \
    }

/** Makes one of any memory. */
void kn_mutex_init(struct kn_mutex *mutex);

/** Takes the lock at once. Lock-free. @return 0; -EAGAIN when somebody holds it. */
KN_CHECK_RESULT int kn_mutex_try_lock(struct kn_mutex *mutex);

/** Leaves it: to the first in line, if there is one. By its holder. */
void kn_mutex_unlock(struct kn_mutex *mutex);

/** Whether somebody holds it, or was given it: for assertions. Any thread; wait-free. */
bool kn_mutex_locked(const struct kn_mutex *mutex);

/** Waits for the lock. */
struct kn_mutex_lock {
    struct kn_semaphore_acquire acquire; /* first */
};

/** Answers with nothing once the caller holds the lock. An answer that nobody takes unlocks. `mutex` NULL: NULL. */
struct kn_future *kn_mutex_lock(struct kn_mutex_lock *self, struct kn_mutex *mutex);

/** Runs a future with the lock held. */
struct kn_mutex_guarded {
    struct kn_semaphore_guarded guarded; /* first */
};

/** Waits for the lock, then answers as `inner` does, and unlocks: also when it is dropped. */
struct kn_future *kn_mutex_guarded(struct kn_mutex_guarded *self, struct kn_mutex *mutex, struct kn_future *inner);

#endif
