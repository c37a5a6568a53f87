/*
 * Barriers of tasks. See barrier.h.
 */
#include <kernel/barrier.h>

void kn_barrier_init(struct kn_barrier *barrier, uint32_t tasks)
{
    *barrier = (struct kn_barrier)KN_BARRIER_INIT(tasks);
}

/* Enters the line, or lets it go as the last. With the lock held. */
static struct kn_outcome arrive(struct kn_barrier_wait *self, struct kn_waker *waker)
{
    struct kn_barrier *barrier = self->barrier;
    /* Relaxed: it is written under the lock. */
    if (atomic_load_explicit(&barrier->waiters.count, memory_order_relaxed) + UINT64_C(1) < barrier->tasks) {
        kn_wait_list_add(&barrier->waiters, &self->node, waker);
        return kn_pending();
    }
    while (kn_wait_list_first(&barrier->waiters))
        kn_wait_list_wake(&barrier->waiters, kn_wait_list_first(&barrier->waiters));
    return kn_ready(KN_VALUE(1));
}

/* Looks whether it was let go. With the lock held. */
static struct kn_outcome look(struct kn_barrier_wait *self, struct kn_waker *waker)
{
    if (!kn_wait_node_is_woken(&self->node)) {
        kn_wait_list_add(&self->barrier->waiters, &self->node, waker);
        return kn_pending();
    }
    kn_wait_list_remove(&self->barrier->waiters, &self->node);
    return kn_ready(KN_VALUE(0));
}

/* Whether it is in the line, or was until it was woken. Its owner; nobody else makes a node idle or not so. */
static bool has_begun(const struct kn_barrier_wait *self)
{
    return atomic_load_explicit(&self->node.state, memory_order_relaxed) != KN_WAIT_NODE_IDLE;
}

static struct kn_outcome wait_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_barrier_wait *self = KN_CONTAINER_OF(future, struct kn_barrier_wait, future);
    kn_wait_list_lock(&self->barrier->waiters);
    struct kn_outcome outcome = has_begun(self) ? look(self, context->waker) : arrive(self, context->waker);
    kn_wait_list_unlock(&self->barrier->waiters);
    return outcome;
}

static void wait_drop(struct kn_future *future)
{
    struct kn_barrier_wait *self = KN_CONTAINER_OF(future, struct kn_barrier_wait, future);
    if (!has_begun(self))
        return;
    kn_wait_list_lock(&self->barrier->waiters);
    kn_wait_list_remove(&self->barrier->waiters, &self->node);
    kn_wait_list_unlock(&self->barrier->waiters);
}

static const struct kn_future_type wait_type = {.name = "barrier_wait", .poll = wait_poll, .drop = wait_drop};

struct kn_future *kn_barrier_wait(struct kn_barrier_wait *self, struct kn_barrier *barrier)
{
    if (!self || !barrier)
        return NULL;
    *self = (struct kn_barrier_wait){.future.type = &wait_type, .barrier = barrier};
    return &self->future;
}
