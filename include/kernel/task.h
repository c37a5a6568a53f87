/**
 * @file task.h
 * A task is a small object that a reactor polls whenever it was woken, until it is done.
 *
 * Use it for everything that waits more than it computes, and for work that should spread over the cores by itself; a
 * loop that never returns belongs on a thread of its own. It guarantees that a task is polled by one core at a time,
 * that a wake-up that comes after a poll began is followed by another poll, and that spawning and waking neither
 * allocate nor fail, from any thread.
 *
 * A task is part of the caller's structure, as a list's link would be (KN_CONTAINER_OF leads back), or is taken from
 * the pool of a reactor (kn_reactor_task_acquire). It costs one cache line:
 *
 *        struct request {                          static enum kn_task_status serve(struct kn_task *task,
 *            struct kn_task task;                                                   struct kn_reactor *reactor)
 *            ...                                   {
 *        };                                            struct request *request = KN_CONTAINER_OF(task, ...);
 *                                                      ...
 *        kn_task_init(&request->task, &type, 3);       return KN_TASK_DONE;
 *        kn_task_spawn(&request->task, reactor);   }
 *
 * Life of a task. `state` is the only word of it that several threads write:
 *
 *                  spawn                                        poll: done
 *        (none) ----------> fresh (queued) ---+--> running ------------------> done
 *                                             |     |   ^ |
 *                   wake: SCHEDULED (queued) -+     |   +-+ woken meanwhile, or yielded: queued again
 *                          ^                        | poll: pending
 *                          +------- wake ------- idle
 *
 * Whoever turns idle into scheduled, and nobody else, brings the task to the queue of the reactor where it ran last; so
 * it is in one queue at most, and a task that is moved to another core is always one that waits in a queue. A fresh
 * task counts as running, so that a task which is never woken needs no read-modify-write at all.
 *
 * Wakers. A pointer to the task is its waker. It may be used as long as the task's memory is a task: waking one that is
 * done, or a later one in the same memory, is at worst one poll too many. Memory of a pool stays a task until its
 * runtime is closed; whoever owns a task himself sees to it that nobody wakes it any more when he frees it.
 *
 * Source: the states are those of Rust's async-task and tokio, less the reference count. models/task.pml holds them as
 * a model that Spin exhausts.
 */
#ifndef KERNEL_TASK_H
#define KERNEL_TASK_H

#include <kernel/atomic.h>
#include <kernel/eventcount.h>
#include <kernel/mailbox.h>
#include <kernel/priority.h>

struct kn_reactor;
struct kn_task;

/** What a poll answers. */
enum kn_task_status {
    KN_TASK_PENDING, /**< polled again after it was woken; the task has seen to it that somebody will */
    KN_TASK_YIELD,   /**< polled again after the others of its class */
    KN_TASK_DONE     /**< never polled again; its memory is given back before its group hears of it */
};

/** What tasks of one kind have in common. Outlives them. `poll` is needed. */
struct kn_task_type {
    const char *name; /**< for traces and messages */
    /** Does what can be done without waiting. Runs on the thread of `reactor`. */
    enum kn_task_status (*poll)(struct kn_task *task, struct kn_reactor *reactor);
    /**
     * Is called in place of poll once the task was cancelled: cleans up and answers done, or goes on (pending, yield)
     * to be polled as before and called here no more. NULL: a cancelled task is done at once.
     */
    enum kn_task_status (*cancelled)(struct kn_task *task, struct kn_reactor *reactor);
    /** The task is done and touched no more: frees it. NULL: a pool's task returns there, another one stays. */
    void (*release)(struct kn_task *task, struct kn_reactor *reactor);
};

/** Bits of a task's state. */
enum kn_task_state {
    KN_TASK_SCHEDULED = 1u << 0, /**< woken since its last poll began; if not running, in a queue or on its way there */
    KN_TASK_RUNNING = 1u << 1,   /**< being polled, or fresh */
    KN_TASK_FINISHED = 1u << 2,  /**< done */
    KN_TASK_CANCELLED = 1u << 3, /**< to be cancelled at its next poll */
};

/** Properties that are chosen before a task is spawned. */
enum kn_task_flag {
    KN_TASK_PINNED = 1u << 0, /**< stays on the reactor where it was spawned */
    KN_TASK_POOLED = 1u << 1, /**< set by kn_reactor_task_acquire: memory of a pool */
    KN_TASK_STAYS = 1u << 2,  /**< private: its cancellation was answered, and it goes on */
};

/** Pointers that a task's own structure has no place for: those of libraries, tracing contexts, an identity. */
#define KN_TASK_LOCALS 8

/**
 * A task. Fields are private but for those said to be set before it is spawned.
 *
 * Invariant: it is in one queue, chain or mailbox at most, and only while scheduled or fresh.
 */
struct kn_task {
    struct kn_mailbox_node node;     /* next: in a queue, a chain, a mailbox, a pool; sibling in a heap */
    struct kn_task *previous;        /* in a queue; first child in a heap */
    _Atomic uint16_t state;          /* of enum kn_task_state */
    uint8_t class;                   /* 0 most urgent */
    uint8_t flags;                   /* set before: of enum kn_task_flag */
    uint32_t sequence;               /* set by the queue: order among equal deadlines */
    const struct kn_task_type *type; /* never NULL */
    struct kn_task_group *group;     /* set before: who waits for its end, or NULL */
    struct kn_reactor *home;         /* where it runs; written by the holder alone */
    uint64_t deadline_ns;            /* set before, or by itself: order in a class of that kind */
    void **locals;                   /* set before: KN_TASK_LOCALS pointers, or NULL */
};

_Static_assert(sizeof(struct kn_task) == KN_CACHE_LINE, "a task is one cache line");

/**
 * Tasks that somebody waits for. In caller's memory, which may be freed as soon as a wait has answered 0.
 *
 * Invariant: the count reaches zero once; between then and the last word of who brought it there the group is closing,
 * and nobody who waits gets away before that.
 */
struct kn_task_group {
    _Atomic uint64_t state;        /* tasks left, and whether anybody waits */
    struct kn_task *waiter;        /* to be woken; written before KN_TASK_GROUP_WAITER is set */
    struct kn_eventcount finished; /* threads that wait sleep here */
};

/** Writes the task and leaves the flags as a pool set them. @param class 0 (most urgent) to KN_PRIORITY_CLASSES - 1. */
KN_INLINE void kn_task_init(struct kn_task *task, const struct kn_task_type *type, unsigned class)
{
    /* Not the state: a stale waker of the memory's last task may be writing it, and spawning sets it. */
    task->class = (uint8_t) class;
    task->flags &= KN_TASK_POOLED;
    task->type = type;
    task->group = NULL;
    task->deadline_ns = 0;
    task->locals = NULL;
}

/** Zeroes a task in fresh memory of the caller's own, then as kn_task_init. */
KN_INLINE void kn_task_create(struct kn_task *task, const struct kn_task_type *type, unsigned class)
{
    *task = (struct kn_task){.flags = 0};
    kn_task_init(task, type, class);
}

/**
 * Hands a task to a reactor: it will be polled there, or where the balance brings it. Any thread; it cannot fail. The
 * task belongs to the runtime until it is done. On the reactor's own thread wait-free; on another reactor's thread a
 * message of the bus; on a thread without a reactor one exchange.
 */
void kn_task_spawn(struct kn_task *task, struct kn_reactor *reactor);

/* Brings a task that this thread has just turned from idle into scheduled to its queue. */
void kn_task_deliver(struct kn_task *task);

/**
 * Sees to it that the task is polled after this call; many wakes before that are one poll. What was written before is
 * visible to the poll. Any thread; the costs are those of kn_task_spawn. Harmless on a task that is done.
 */
KN_INLINE void kn_task_wake(struct kn_task *task)
{
    /* Release pairs with the acquire of who takes SCHEDULED back: what was written before is seen by that poll. Acquire
     * pairs with the release at the end of the last poll: `home` was written before. */
    uint16_t state = atomic_fetch_or_explicit(&task->state, KN_TASK_SCHEDULED, memory_order_acq_rel);
    if ((state & (KN_TASK_SCHEDULED | KN_TASK_RUNNING | KN_TASK_FINISHED)) == 0)
        kn_task_deliver(task);
}

/**
 * Has the task cancelled instead of polled the next time, which is soon: a poll under way is not interrupted. Any
 * thread. Harmless on a task that is done.
 */
void kn_task_cancel(struct kn_task *task);

/** Whether the task was cancelled: for polls that look in between. Any thread; wait-free. */
KN_INLINE bool kn_task_is_cancelled(const struct kn_task *task)
{
    return (atomic_load_explicit(&task->state, memory_order_relaxed) & KN_TASK_CANCELLED) != 0;
}

/** The pointer under a key of 0 to KN_TASK_LOCALS - 1; NULL for a task without such pointers. For the task's polls. */
KN_INLINE void *kn_task_local(const struct kn_task *task, unsigned key)
{
    return task->locals ? task->locals[key] : NULL;
}

/* ---- waiting for tasks ---- */

/** In a group's state. */
#define KN_TASK_GROUP_WAITER (UINT64_C(1) << 63)
#define KN_TASK_GROUP_CLOSING (UINT64_C(1) << 62)

/** Prepares a group of `count` tasks, each of which is then spawned with `task->group` set to it. */
void kn_task_group_init(struct kn_task_group *group, uint64_t count);

/** Expects `count` more. Before those are spawned, and while a wait cannot have answered 0. Any thread; wait-free. */
void kn_task_group_add(struct kn_task_group *group, uint64_t count);

/** Says that one is done; the reactor does so for tasks. Also for what is no task. Any thread; lock-free. */
void kn_task_group_done(struct kn_task_group *group);

/**
 * Waits as a task: for the poll of `waiter`, which answers pending after -EAGAIN and will be woken. One task a group.
 * @return 0 when all are done, their memory and the group are nobody's any more; -EAGAIN.
 */
int kn_task_group_wait(struct kn_task_group *group, struct kn_task *waiter);

/**
 * Waits as a thread, which must not be a reactor's. @param how NULL: parks. @return 0; -ETIMEDOUT.
 */
int kn_task_group_join(struct kn_task_group *group, const struct kn_wait *how);

#endif
