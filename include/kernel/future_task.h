/**
 * @file future_task.h
 * A future as a task of a reactor: spawned, polled when it was woken, moved by the balance, cancelled like any task.
 *
 * Use it to set futures off; what somebody waits for elsewhere is a future_remote.h. It guarantees that the future is
 * dropped before the task is done, whichever way it ends; that a task moves to another core only while it holds no
 * timer and no descriptor of its reactor; and that spawning does not allocate: memory is the caller's, or an object of
 * the reactor's pool with an arena in what is left of it.
 */
#ifndef KERNEL_FUTURE_TASK_H
#define KERNEL_FUTURE_TASK_H

#include <kernel/executor.h>
#include <kernel/reactor.h>

struct kn_future_task;

/** Is told the answer, on the reactor's thread, after the future holds nothing any more: takes the value. */
typedef void kn_future_finished(struct kn_future_task *task, struct kn_outcome outcome, void *context);

/** How a future is spawned. Zero means the default in parentheses. */
struct kn_future_options {
    uint8_t class;                /**< (0: most urgent) below KN_PRIORITY_CLASSES */
    bool pinned;                  /**< stays on the reactor where it is spawned */
    uint64_t deadline_ns;         /**< (none) handed down to the future; the order in a class of that kind */
    struct kn_task_group *group;  /**< (none) that waits for its end */
    kn_future_finished *finished; /**< (the value is discarded) told the answer */
    void *context;                /**< handed to it */
};

/** A task that runs one future. Fields are private but for `arena`. */
struct kn_future_task {
    struct kn_task task;          /* first */
    struct kn_waker waker;        /* wakes the task */
    struct kn_executor executor;  /* what the future sees */
    struct kn_future *future;     /* not NULL until the task is done */
    uint64_t deadline_ns;         /* handed down */
    bool pinned;                  /* whatever the future holds */
    kn_future_finished *finished; /* or NULL */
    void *context;                /* for it */
    struct kn_arena arena;        /**< of a task from kn_future_task_acquire: the rest of its memory */
};

/**
 * Spawns a future in a task from kn_future_task_acquire; or in one of the caller's memory, zeroed at first, which stays
 * until its group hears that the task is done. Any thread, as kn_task_spawn.
 * @param options NULL: the defaults. @return 0; -ENOMEM when `task` or `future` is NULL: the future is dropped.
 */
int kn_future_spawn(struct kn_future_task *task, struct kn_future *future, struct kn_reactor *reactor,
                    const struct kn_future_options *options);

/**
 * A task from the reactor's pool, whose `arena` is what the pool's objects are larger than it. It returns there when it
 * is done. Give it a future with kn_future_spawn, or back with kn_future_task_give_back. On the reactor's thread.
 * @return NULL when the pool is empty or its objects are too small.
 */
struct kn_future_task *kn_future_task_acquire(struct kn_reactor *reactor);

/** Gives it back unspawned. On the thread of any reactor of the runtime. */
void kn_future_task_give_back(struct kn_reactor *reactor, struct kn_future_task *task);

#endif
