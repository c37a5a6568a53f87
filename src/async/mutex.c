/*
 * Locks of tasks. See mutex.h.
 */
#include <kernel/assert.h>
#include <kernel/mutex.h>

void kn_mutex_init(struct kn_mutex *mutex)
{
    kn_semaphore_init(&mutex->semaphore, 1);
}

int kn_mutex_try_lock(struct kn_mutex *mutex)
{
    return kn_semaphore_try_acquire(&mutex->semaphore, 1);
}

void kn_mutex_unlock(struct kn_mutex *mutex)
{
    kn_assert(kn_mutex_locked(mutex));
    kn_semaphore_release(&mutex->semaphore, 1);
}

bool kn_mutex_locked(const struct kn_mutex *mutex)
{
    return kn_semaphore_available(&mutex->semaphore) == 0;
}

struct kn_future *kn_mutex_lock(struct kn_mutex_lock *self, struct kn_mutex *mutex)
{
    return kn_semaphore_acquire(self ? &self->acquire : NULL, mutex ? &mutex->semaphore : NULL, 1);
}

struct kn_future *kn_mutex_guarded(struct kn_mutex_guarded *self, struct kn_mutex *mutex, struct kn_future *inner)
{
    return kn_semaphore_guarded(self ? &self->guarded : NULL, mutex ? &mutex->semaphore : NULL, 1, inner);
}
