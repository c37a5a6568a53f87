/**
 * @file rwlock.h
 * A lock that many tasks hold to read, or one to write, and that they wait for without stopping their thread.
 *
 * Use it for what is read across waits and seldom written; where holding it is short, a mutex costs the same. It
 * guarantees that the lock goes to those who wait in the order in which they came, so that a writer in line holds off
 * the readers after it; that a task that is dropped while it waits leaves the line; and that taking or leaving a lock
 * that nobody waits for is one compare-and-swap.
 *
 * Who holds it to read and asks for it again waits for ever, if a writer has come meanwhile.
 *
 * Source: tokio's RwLock, which is a semaphore as well: a reader holds one of its permits, a writer all of them. Zeroed
 * memory is a lock that a writer holds.
 */
#ifndef KERNEL_RWLOCK_H
#define KERNEL_RWLOCK_H

#include <kernel/semaphore.h>

/** Most readers at a time; one more waits. */
#define KN_RWLOCK_READERS_MAX UINT32_MAX

/** A lock for readers and writers. Fields are private. */
struct kn_rwlock {
    struct kn_semaphore semaphore; /* of KN_RWLOCK_READERS_MAX permits */
};

/** A lock that nobody holds, for definitions. */
#define KN_RWLOCK_INIT                                                                                                 \
    {                                                                                                                  \
        .semaphore = KN_SEMAPHORE_INIT(KN_RWLOCK_READERS_MAX)                                                          \
    }

/** Makes one of any memory. */
void kn_rwlock_init(struct kn_rwlock *rwlock);

/** Takes the lock to read, at once. Lock-free. @return 0; -EAGAIN when a writer holds it or somebody waits. */
KN_CHECK_RESULT int kn_rwlock_try_read(struct kn_rwlock *rwlock);

/** Takes the lock to write, at once. Lock-free. @return 0; -EAGAIN when somebody holds it. */
KN_CHECK_RESULT int kn_rwlock_try_write(struct kn_rwlock *rwlock);

/** Leaves it. By who holds it to read. */
void kn_rwlock_unlock_read(struct kn_rwlock *rwlock);

/** Leaves it. By who holds it to write. */
void kn_rwlock_unlock_write(struct kn_rwlock *rwlock);

/** Goes on reading, and lets others read; no writer comes between. By who holds it to write. */
void kn_rwlock_downgrade(struct kn_rwlock *rwlock);

/** How many hold it to read, or were given it: for assertions. Any thread; wait-free. */
uint64_t kn_rwlock_readers(const struct kn_rwlock *rwlock);

/** Whether somebody holds it to write, or was given it: for assertions. Any thread; wait-free. */
bool kn_rwlock_write_locked(const struct kn_rwlock *rwlock);

/** Waits for the lock, to read. */
struct kn_rwlock_read {
    struct kn_semaphore_acquire acquire; /* first */
};

/** Answers with nothing once the caller may read. An answer that nobody takes unlocks. `rwlock` NULL: NULL. */
struct kn_future *kn_rwlock_read(struct kn_rwlock_read *self, struct kn_rwlock *rwlock);

/** Waits for the lock, to write. */
struct kn_rwlock_write {
    struct kn_semaphore_acquire acquire; /* first */
};

/** Answers with nothing once the caller may write. An answer that nobody takes unlocks. `rwlock` NULL: NULL. */
struct kn_future *kn_rwlock_write(struct kn_rwlock_write *self, struct kn_rwlock *rwlock);

/** Runs a future with the lock held, to read. */
struct kn_rwlock_guarded_read {
    struct kn_semaphore_guarded guarded; /* first */
};

/** Waits for the lock, then answers as `inner` does, and unlocks: also when it is dropped. */
struct kn_future *kn_rwlock_guarded_read(struct kn_rwlock_guarded_read *self, struct kn_rwlock *rwlock,
                                         struct kn_future *inner);

/** Runs a future with the lock held, to write. It must not downgrade. */
struct kn_rwlock_guarded_write {
    struct kn_semaphore_guarded guarded; /* first */
};

/** The same, to write. */
struct kn_future *kn_rwlock_guarded_write(struct kn_rwlock_guarded_write *self, struct kn_rwlock *rwlock,
                                          struct kn_future *inner);

#endif
