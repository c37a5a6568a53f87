/*
 * Locks of readers and writers. See rwlock.h.
 */
#include <kernel/assert.h>
#include <kernel/rwlock.h>

/* Permits of one who reads, and of one who writes. */
#define READ 1
#define WRITE KN_RWLOCK_READERS_MAX

static struct kn_semaphore *semaphore_of(struct kn_rwlock *rwlock)
{
    return rwlock ? &rwlock->semaphore : NULL;
}

void kn_rwlock_init(struct kn_rwlock *rwlock)
{
    kn_semaphore_init(&rwlock->semaphore, KN_RWLOCK_READERS_MAX);
}

int kn_rwlock_try_read(struct kn_rwlock *rwlock)
{
    return kn_semaphore_try_acquire(&rwlock->semaphore, READ);
}

int kn_rwlock_try_write(struct kn_rwlock *rwlock)
{
    return kn_semaphore_try_acquire(&rwlock->semaphore, WRITE);
}

void kn_rwlock_unlock_read(struct kn_rwlock *rwlock)
{
    kn_assert(kn_rwlock_readers(rwlock) > 0);
    kn_semaphore_release(&rwlock->semaphore, READ);
}

void kn_rwlock_unlock_write(struct kn_rwlock *rwlock)
{
    kn_assert(kn_rwlock_write_locked(rwlock));
    kn_semaphore_release(&rwlock->semaphore, WRITE);
}

void kn_rwlock_downgrade(struct kn_rwlock *rwlock)
{
    kn_assert(kn_rwlock_write_locked(rwlock));
    kn_semaphore_release(&rwlock->semaphore, WRITE - READ);
}

uint64_t kn_rwlock_readers(const struct kn_rwlock *rwlock)
{
    uint64_t taken = WRITE - kn_semaphore_available(&rwlock->semaphore);
    return taken < WRITE ? taken : 0;
}

bool kn_rwlock_write_locked(const struct kn_rwlock *rwlock)
{
    return kn_semaphore_available(&rwlock->semaphore) == 0;
}

struct kn_future *kn_rwlock_read(struct kn_rwlock_read *self, struct kn_rwlock *rwlock)
{
    return kn_semaphore_acquire(self ? &self->acquire : NULL, semaphore_of(rwlock), READ);
}

struct kn_future *kn_rwlock_write(struct kn_rwlock_write *self, struct kn_rwlock *rwlock)
{
    return kn_semaphore_acquire(self ? &self->acquire : NULL, semaphore_of(rwlock), WRITE);
}

struct kn_future *kn_rwlock_guarded_read(struct kn_rwlock_guarded_read *self, struct kn_rwlock *rwlock,
                                         struct kn_future *inner)
{
    return kn_semaphore_guarded(self ? &self->guarded : NULL, semaphore_of(rwlock), READ, inner);
}

struct kn_future *kn_rwlock_guarded_write(struct kn_rwlock_guarded_write *self, struct kn_rwlock *rwlock,
                                          struct kn_future *inner)
{
    return kn_semaphore_guarded(self ? &self->guarded : NULL, semaphore_of(rwlock), WRITE, inner);
}
