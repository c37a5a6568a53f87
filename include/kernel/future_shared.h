/**
 * @file future_shared.h
 * One future whose answer many wait for: a driver that runs it, and handles that are futures of the same answer.
 *
 * Use it for what is done once and wanted by several tasks: a look-up, a connection, a table that is being loaded; for
 * values that go on changing take a watch channel, and where each receiver needs a value of its own, a broadcast. It
 * guarantees that the future runs once, on the executor of its driver; that handles may wait on any thread; and that
 * nothing of it is touched any more once the driver has answered.
 *
 *        struct kn_future *driver = kn_shared(&load->shared, load_table(...));
 *        struct kn_future *mine = kn_future_shared(&load->mine, &load->shared);
 *        struct kn_future *yours = kn_future_shared(&load->yours, &load->shared);
 *        ... three tasks, of any reactors ...
 *
 * Why a driver. In the futures crate whichever handle is polled polls the shared future, which therefore wanders from
 * thread to thread. Our futures belong to one executor from their first poll on: their timers and descriptors are those
 * of its reactor. So one task runs the future, and the others only wait for it. The crate's other rule holds: when no
 * handle is left the future is dropped, and the driver answers.
 *
 * Life. The driver counts its handles. It answers, with nothing, as soon as none is left: before or after the answer of
 * its future. So handles are made before the driver's first poll, or by who holds one that has not ended. The memory of
 * the shared may be used anew when its driver has answered, and that of a handle when it has. A driver that is dropped
 * before drops its future and makes the handles fail with -ECANCELED, if there was no answer yet; the memory must then
 * stay until the last handle has ended.
 *
 * Values. kn_shared hands out copies of the value, as is right for numbers and for pointers to what lives elsewhere; a
 * value that its future owns it discards when all handles have ended. kn_shared_owned lends the value: each answer of a
 * handle is a reference, which counts as the handle did until it is given back with kn_shared_give_back or discarded;
 * after the last one the driver has the future discard the value.
 */
#ifndef KERNEL_FUTURE_SHARED_H
#define KERNEL_FUTURE_SHARED_H

#include <kernel/future.h>
#include <kernel/wait_list.h>

/**
 * A future that is shared. Itself the driver.
 *
 * Invariant: `references` is the number of handles that have not ended and of values lent, and one for the driver until
 * it has ended; everything below `waiting` is written under its lock, which is the last thing that who gives back a
 * reference touches: so a driver that finds itself alone is.
 */
struct kn_shared {
    struct kn_future future;     /* first: the driver */
    struct kn_future *inner;     /* that is shared; touched by the driver */
    bool lends;                  /* answers are references */
    bool has_ended;              /* the driver: has answered or was dropped */
    struct kn_wait_list waiting; /* handles that wait for the answer; its lock is that of the fields below */
    uint32_t references;         /* see above */
    struct kn_waker *driver;     /* told when it is alone; NULL: it does not wait */
    struct kn_outcome outcome;   /* of the future; pending: none yet */
};

/** Shares a future. @return the driver, to be spawned or joined; it owns `inner`. Its handles get copies. */
struct kn_future *kn_shared(struct kn_shared *self, struct kn_future *inner);

/** The same; its handles get references, each of which is given back. */
struct kn_future *kn_shared_owned(struct kn_shared *self, struct kn_future *inner);

/** Gives back one value that a handle of kn_shared_owned has answered with. Any thread; holds the lock for a moment. */
void kn_shared_give_back(struct kn_shared *shared);

/** The answer as far as it is there, or pending; lent to whoever holds a handle or a value. Any such thread. */
struct kn_outcome kn_shared_peek(struct kn_shared *shared);

/** A handle. */
struct kn_future_shared {
    struct kn_future future;  /* first */
    struct kn_shared *shared; /* lent */
    bool has_ended;           /* has answered or was dropped */
    struct kn_wait_node node; /* in its line */
};

/** Answers as the shared future does. Made before the driver's first poll, or while another handle has not ended;
 * polled by any executor. */
struct kn_future *kn_future_shared(struct kn_future_shared *self, struct kn_shared *shared);

#endif
