/**
 * @file future_remote.h
 * A future that runs as a task of its own, on any reactor, and a handle that waits for its answer elsewhere.
 *
 * Use it to let parts of a computation run on other cores; concurrency on one core is cheaper in a nursery or a join.
 * It guarantees that dropping the handle cancels the task, that the answer reaches the handle from whichever core, and
 * that the memory of both goes back to the pool when the last of them is done with it.
 *
 *        struct kn_remote *remote = kn_remote_acquire(reactor);                  on the thread of a reactor
 *        struct kn_future *part = KN_IN(&remote->task.arena, part, ...);         what it runs, in its memory
 *        struct kn_future *answer = kn_future_remote(&self->handle, remote, part, elsewhere, NULL);
 *
 * Cancelling reaches the task at its next poll on its reactor; what it runs must therefore not refer to memory of who
 * dropped the handle, but to its own, the arena, and to what lives as long as the runtime. A value that the handle has
 * answered with no longer belongs to the task: if it is owned, put kn_future_owned around the handle. (Rust's
 * remote_handle, tokio's JoinHandle, but that a dropped handle cancels.)
 *
 * A task that a reactor gives up because an invariant broke (isolate_panics) never answers its handle: put
 * kn_future_catch around what may break.
 *
 * The memory is counted for: a part for the task, one for the handle. Who gives back the second returns the memory.
 */
#ifndef KERNEL_FUTURE_REMOTE_H
#define KERNEL_FUTURE_REMOTE_H

#include <kernel/future_task.h>

/** Bits of its state. */
enum kn_remote_state {
    KN_REMOTE_ANSWERED = 1u << 0, /**< `outcome` is there */
    KN_REMOTE_TAKEN = 1u << 1,    /**< its value was taken by the handle */
    KN_REMOTE_ONE_LEFT = 1u << 2, /**< task or handle has given its part back */
};

/** What runs, in an object of a reactor's pool. Fields are private but for `task.arena`. */
struct kn_remote {
    struct kn_future_task task; /* first */
    struct kn_waker_cell cell;  /* who waits for the answer */
    struct kn_outcome outcome;  /* written before `state` says so */
    _Atomic uint32_t state;     /* of enum kn_remote_state */
};

/** The handle. */
struct kn_future_remote {
    struct kn_future future;  /* first */
    struct kn_remote *remote; /* NULL once it has answered or was dropped */
};

/** Memory from the pool of this thread's reactor, its arena as large as pool_task_bytes allow. @return NULL when the
 * pool is empty or its objects are too small. */
struct kn_remote *kn_remote_acquire(struct kn_reactor *reactor);

/**
 * Spawns `inner` on a reactor of the same runtime, and makes the handle, which is used on reactors of the runtime. It
 * answers as `inner` does, or fails with -ECANCELED when the task was cancelled by others.
 * @param options NULL: the defaults; `finished` is not called. When anything is NULL the memory goes back.
 */
struct kn_future *kn_future_remote(struct kn_future_remote *self, struct kn_remote *remote, struct kn_future *inner,
                                   struct kn_reactor *reactor, const struct kn_future_options *options);

#endif
