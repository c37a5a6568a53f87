/*
 * Futures as tasks. See future_task.h.
 */
#include "future_task_internal.h"
#include <kernel/assert.h>

static void wake(struct kn_waker *waker)
{
    kn_task_wake(&KN_CONTAINER_OF(waker, struct kn_future_task, waker)->task);
}

/* A task that holds something of its reactor's must not be moved: only its own poll changes that. */
static void keep_or_free(struct kn_future_task *self)
{
    if (self->executor.pins > 0 || self->pinned)
        self->task.flags |= KN_TASK_PINNED;
    else
        self->task.flags &= (uint8_t)~KN_TASK_PINNED;
}

/* The future has answered or was dropped. */
static enum kn_task_status finish(struct kn_future_task *self, struct kn_outcome outcome)
{
    kn_assert(self->executor.pins == 0);
    if (self->finished)
        self->finished(self, outcome, self->context);
    else
        kn_future_discard_outcome(self->future, outcome);
    return KN_TASK_DONE;
}

enum kn_task_status kn_future_task_poll(struct kn_task *task, struct kn_reactor *reactor)
{
    struct kn_future_task *self = KN_CONTAINER_OF(task, struct kn_future_task, task);
    self->executor.reactor = reactor;
    self->executor.timers = kn_reactor_timers(reactor);
    self->executor.now_ns = kn_reactor_now_ns(reactor);
    self->executor.budget = KN_EXECUTOR_BUDGET;
    struct kn_context context = {.waker = &self->waker, .executor = &self->executor, .deadline_ns = self->deadline_ns};
    struct kn_outcome outcome = kn_future_poll(self->future, &context);
    if (outcome.status != KN_PENDING)
        return finish(self, outcome);
    keep_or_free(self);
    return KN_TASK_PENDING;
}

enum kn_task_status kn_future_task_cancelled(struct kn_task *task, struct kn_reactor *reactor)
{
    (void)reactor;
    struct kn_future_task *self = KN_CONTAINER_OF(task, struct kn_future_task, task);
    kn_future_drop(self->future);
    return finish(self, kn_failed(-ECANCELED));
}

void kn_future_task_start(struct kn_future_task *task, const struct kn_task_type *type, struct kn_future *future,
                          struct kn_reactor *reactor, const struct kn_future_options *options)
{
    kn_task_init(&task->task, type, options->class);
    task->task.group = options->group;
    task->task.deadline_ns = options->deadline_ns;
    task->waker.wake = wake;
    task->executor = (struct kn_executor){.reactor = reactor};
    task->future = future;
    task->deadline_ns = options->deadline_ns ? options->deadline_ns : KN_NEVER;
    task->finished = options->finished;
    task->context = options->context;
    task->pinned = options->pinned;
    keep_or_free(task);
    kn_task_spawn(&task->task, reactor);
}

static const struct kn_task_type future_task_type = {
    .name = "future", .poll = kn_future_task_poll, .cancelled = kn_future_task_cancelled};

int kn_future_spawn(struct kn_future_task *task, struct kn_future *future, struct kn_reactor *reactor,
                    const struct kn_future_options *options)
{
    static const struct kn_future_options defaults;
    if (!task || !future) {
        kn_future_drop(future);
        return -ENOMEM;
    }
    kn_future_task_start(task, &future_task_type, future, reactor, options ? options : &defaults);
    return 0;
}

void *kn_future_task_acquire_larger(struct kn_reactor *reactor, size_t bytes)
{
    size_t object_bytes = kn_reactor_pool_task_bytes(reactor);
    if (object_bytes < bytes)
        return NULL;
    struct kn_future_task *task = kn_reactor_task_acquire(reactor);
    if (task)
        kn_arena_init(&task->arena, (uint8_t *)task + bytes, object_bytes - bytes);
    return task;
}

struct kn_future_task *kn_future_task_acquire(struct kn_reactor *reactor)
{
    return kn_future_task_acquire_larger(reactor, sizeof(struct kn_future_task));
}

void kn_future_task_give_back(struct kn_reactor *reactor, struct kn_future_task *task)
{
    kn_reactor_task_give_back(reactor, &task->task);
}
