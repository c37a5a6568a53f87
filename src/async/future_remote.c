/*
 * Futures that run elsewhere. See future_remote.h.
 */
#include <kernel/assert.h>
#include <kernel/future_remote.h>

#include "future_task_internal.h"

/* Gives back the task's part or the handle's. The other may be gone, and the memory with it, when this returns. */
static void give_back(struct kn_remote *remote, struct kn_reactor *reactor)
{
    /* Release and acquire pair with those of the other part: who comes second sees all that the first has done. */
    uint32_t state = atomic_fetch_or_explicit(&remote->state, KN_REMOTE_ONE_LEFT, memory_order_acq_rel);
    if (!(state & KN_REMOTE_ONE_LEFT))
        return;
    if (!(state & KN_REMOTE_TAKEN))
        kn_future_discard_outcome(remote->task.future, remote->outcome);
    kn_future_task_give_back(reactor, &remote->task);
}

/* ---- the task ---- */

static void remote_finished(struct kn_future_task *task, struct kn_outcome outcome, void *context)
{
    (void)context;
    struct kn_remote *remote = KN_CONTAINER_OF(task, struct kn_remote, task);
    remote->outcome = outcome;
    /* Release pairs with the acquire of the handle's poll. */
    atomic_fetch_or_explicit(&remote->state, KN_REMOTE_ANSWERED, memory_order_release);
    kn_waker_cell_wake(&remote->cell);
}

static void remote_release(struct kn_task *task, struct kn_reactor *reactor)
{
    give_back(KN_CONTAINER_OF(task, struct kn_remote, task.task), reactor);
}

static const struct kn_task_type remote_task_type = {
    .name = "remote", .poll = kn_future_task_poll, .cancelled = kn_future_task_cancelled, .release = remote_release};

/* ---- the handle ---- */

static struct kn_future_remote *handle_of(struct kn_future *future)
{
    return KN_CONTAINER_OF(future, struct kn_future_remote, future);
}

static struct kn_outcome remote_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_future_remote *self = handle_of(future);
    struct kn_remote *remote = self->remote;
    kn_waker_cell_register(&remote->cell, context->waker);
    /* Acquire pairs with the release of remote_finished. */
    if (!(atomic_load_explicit(&remote->state, memory_order_acquire) & KN_REMOTE_ANSWERED))
        return kn_pending();
    kn_waker_cell_clear(&remote->cell);
    struct kn_outcome outcome = remote->outcome;
    atomic_fetch_or_explicit(&remote->state, KN_REMOTE_TAKEN, memory_order_relaxed);
    self->remote = NULL;
    give_back(remote, context->executor->reactor);
    return outcome;
}

static void remote_drop(struct kn_future *future)
{
    struct kn_future_remote *self = handle_of(future);
    struct kn_remote *remote = self->remote;
    if (!remote)
        return;
    self->remote = NULL;
    kn_waker_cell_clear(&remote->cell);
    kn_task_cancel(&remote->task.task);
    struct kn_reactor *reactor = kn_reactor_current();
    kn_assert(reactor != NULL);
    give_back(remote, reactor);
}

static const struct kn_future_type remote_type = {.name = "remote", .poll = remote_poll, .drop = remote_drop};

/* ---- both ---- */

struct kn_remote *kn_remote_acquire(struct kn_reactor *reactor)
{
    return kn_future_task_acquire_larger(reactor, sizeof(struct kn_remote));
}

struct kn_future *kn_future_remote(struct kn_future_remote *self, struct kn_remote *remote, struct kn_future *inner,
                                   struct kn_reactor *reactor, const struct kn_future_options *options)
{
    if (!self || !remote || !inner) {
        kn_future_drop(inner);
        if (remote)
            kn_future_task_give_back(kn_reactor_current(), &remote->task);
        return NULL;
    }
    self->future.type = &remote_type;
    self->remote = remote;
    remote->cell = (struct kn_waker_cell){.waker = NULL};
    atomic_init(&remote->state, 0);
    struct kn_future_options chosen = options ? *options : (struct kn_future_options){.class = 0};
    chosen.finished = remote_finished;
    kn_future_task_start(&remote->task, &remote_task_type, inner, reactor, &chosen);
    return &self->future;
}
