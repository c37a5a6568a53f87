#include <kernel/task.h>

#include <errno.h>
#include <sched.h>

#include "base/poison.h"
#include "reactor_internal.h"

/* Brings a queued task to the queue of another reactor, or of any from a thread without one. */
static __attribute__((noinline)) void send(struct kn_task *task, struct kn_reactor *home, enum kn_bus_kind kind)
{
    struct kn_reactor *here = kn_reactor_of_thread;
    if (!here || here->runtime != home->runtime) {
        kn_mailbox_push(&home->outside, &task->node);
        kn_park_notify(&home->park);
        return;
    }
    struct kn_task_chain chain = {.first = task, .last = task, .count = 1};
    if (kn_bus_send_tasks(here->bus, here->index, home->index, kind, &chain)) {
        kn_park_notify(&home->park);
    } else {
        here->holds_back = true;
        kn_counter_add(&here->counters.bus_full, 1);
    }
}

void kn_task_spawn(struct kn_task *task, struct kn_reactor *reactor)
{
    task->home = reactor;
    /* Relaxed: it travels by the queues, which order it. */
    atomic_store_explicit(&task->state, KN_TASK_RUNNING, memory_order_relaxed);
    if (KN_LIKELY(reactor == kn_reactor_of_thread))
        kn_run_queue_push(&reactor->queue, task, KN_RUN_ORDER);
    else
        send(task, reactor, KN_BUS_SPAWN);
}

void kn_task_deliver(struct kn_task *task)
{
    struct kn_reactor *home = task->home;
    if (KN_LIKELY(home == kn_reactor_of_thread))
        kn_run_queue_push(&home->queue, task, KN_RUN_ORDER);
    else
        send(task, home, KN_BUS_WAKE);
}

void kn_task_cancel(struct kn_task *task)
{
    /* Acquire-release as in kn_task_wake, of which this is the other form. */
    uint16_t state =
        atomic_fetch_or_explicit(&task->state, KN_TASK_SCHEDULED | KN_TASK_CANCELLED, memory_order_acq_rel);
    if ((state & (KN_TASK_SCHEDULED | KN_TASK_RUNNING | KN_TASK_FINISHED)) == 0)
        kn_task_deliver(task);
}

/* ---- groups ---- */

static const uint64_t COUNT = KN_TASK_GROUP_CLOSING - 1;

void kn_task_group_init(struct kn_task_group *group, uint64_t count)
{
    *group = (struct kn_task_group){0};
    atomic_init(&group->state, count);
    /* As if there were no membarrier: the one notification of a group pays for the barrier, and making a group, of
     * which there may be millions, enters the system for nothing. */
    atomic_init(&group->finished.sleepers, KN_EVENTCOUNT_NO_MEMBARRIER);
}

void kn_task_group_add(struct kn_task_group *group, uint64_t count)
{
    atomic_fetch_add_explicit(&group->state, count, memory_order_relaxed);
}

/* The count is zero: wakes who waits, then lets them go. */
static void close_group(struct kn_task_group *group, uint64_t state)
{
    if (state & KN_TASK_GROUP_WAITER)
        kn_task_wake(group->waiter);
    kn_eventcount_notify(&group->finished, KN_EVENTCOUNT_ALL);
    /* Release pairs with the acquire loads of who waits: after it nothing of the group is touched. */
    atomic_store_explicit(&group->state, 0, memory_order_release);
}

void kn_task_group_done(struct kn_task_group *group)
{
    uint64_t state = atomic_load_explicit(&group->state, memory_order_relaxed);
    uint64_t next;
    do {
        next = (state & COUNT) > 1 ? state - 1 : KN_TASK_GROUP_CLOSING;
        /* Acquire-release pairs with the other ends, so that the last one hands on what all have done, and with the
         * registration in kn_task_group_wait, which wrote the waiter before. */
    } while (!atomic_compare_exchange_weak_explicit(&group->state, &state, next, memory_order_acq_rel,
                                                    memory_order_relaxed));
    if (next == KN_TASK_GROUP_CLOSING)
        close_group(group, state);
}

int kn_task_group_wait(struct kn_task_group *group, struct kn_task *waiter)
{
    /* Acquire pairs with the release in close_group. */
    uint64_t state = atomic_load_explicit(&group->state, memory_order_acquire);
    while (state != 0) {
        if (state & KN_TASK_GROUP_CLOSING) {
            /* A few instructions from its end, and the wake-up may lie behind. */
            kn_task_wake(waiter);
            return -EAGAIN;
        }
        if (state & KN_TASK_GROUP_WAITER)
            return -EAGAIN;
        group->waiter = waiter;
        /* Release pairs with the acquire in kn_task_group_done: the waiter is written. Acquire on failure as above. */
        if (atomic_compare_exchange_weak_explicit(&group->state, &state, state | KN_TASK_GROUP_WAITER,
                                                  memory_order_release, memory_order_acquire))
            return -EAGAIN;
    }
    return 0;
}

int kn_task_group_join(struct kn_task_group *group, const struct kn_wait *how)
{
    static const struct kn_wait parking = {.strategy = KN_WAIT_PARK};
    struct kn_waiter waiter;
    int result = 0;
    uint64_t state;
    kn_waiter_begin(&waiter, &group->finished, how ? how : &parking);
    /* Acquire pairs with the release in close_group. */
    while (result == 0 && (state = atomic_load_explicit(&group->state, memory_order_acquire)) != 0) {
        bool waited_long;
        if (state & KN_TASK_GROUP_CLOSING)
            sched_yield(); /* a few instructions from its end, and the wake-up may lie behind: sleeping is too late */
        else
            result = kn_waiter_pause(&waiter, &waited_long);
    }
    kn_waiter_end(&waiter);
    return result;
}

/* ---- pools ---- */

void *kn_reactor_task_acquire(struct kn_reactor *reactor)
{
    struct kn_task_pool *pool = &reactor->pool;
    struct kn_task *task = pool->free;
    if (KN_LIKELY(task != NULL)) {
        pool->free = kn_task_next(task);
    } else if (pool->touched < pool->capacity) {
        task = (struct kn_task *)(void *)(pool->memory + pool->touched++ * pool->object_bytes);
        task->flags = KN_TASK_POOLED;
        /* A stale waker may not deliver it before it is spawned. */
        atomic_init(&task->state, KN_TASK_FINISHED);
    } else {
        kn_counter_add(&reactor->counters.pool_empty, 1);
        return NULL;
    }
    task->flags = KN_TASK_POOLED;
    /* An arena in the object's last life may have left parts of it poisoned. */
    KN_UNPOISON(task, pool->object_bytes);
    kn_counter_add(&reactor->counters.pool_used, 1);
    return task;
}

size_t kn_reactor_pool_task_bytes(const struct kn_reactor *reactor)
{
    return reactor->pool.object_bytes;
}

/* The reactor of the pool that an object comes from: the one whose memory it lies in. */
static struct kn_reactor *owner_of(struct kn_reactor *reactor, const struct kn_task *task)
{
    const uint8_t *address = (const uint8_t *)task;
    struct kn_runtime *runtime = reactor->runtime;
    const struct kn_task_pool *first = &runtime->reactors[0]->pool;
    /* The pools lie one behind the other in one piece of memory. */
    return runtime->reactors[(size_t)(address - first->memory) / first->memory_bytes];
}

static bool is_of(const struct kn_task_pool *pool, const struct kn_task *task)
{
    return (size_t)((const uint8_t *)task - pool->memory) < pool->memory_bytes;
}

void kn_task_pool_give(struct kn_reactor *reactor, struct kn_task *task)
{
    if (KN_LIKELY(is_of(&reactor->pool, task))) {
        kn_task_set_next(task, reactor->pool.free);
        reactor->pool.free = task;
        kn_counter_add(&reactor->counters.pool_used, UINT64_MAX);
        return;
    }
    /* On the way home with others, at the end of the turn. */
    kn_task_chain_append(&reactor->returned[owner_of(reactor, task)->index], task);
    reactor->returns = true;
}

void kn_reactor_task_give_back(struct kn_reactor *reactor, struct kn_task *task)
{
    atomic_store_explicit(&task->state, KN_TASK_FINISHED, memory_order_relaxed);
    kn_task_pool_give(reactor, task);
}
