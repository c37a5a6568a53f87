/**
 * @file oneshot.h
 * A oneshot brings one answer from any thread to one future.
 *
 * Use it for the answer to a request that something else works on: a thread, another reactor, a callback; for several
 * values take channel.h. It guarantees that the receiver is told, with an answer or, when the sender goes without, with
 * -EPIPE; that the sender can learn that nobody waits any more; and that each end knows when the other is done with it.
 *
 *        sender    send(outcome) ----------------> the future answers
 *                  close() ----------------------> the future fails with -EPIPE
 *        cancelled <------------------------------ the future was dropped
 *
 * Memory is the caller's, and both ends use it. The future has answered: the sender is done, the memory is free.
 * kn_oneshot_send or kn_oneshot_close answers -EPIPE: the receiver is done, the memory is free. Otherwise the end that
 * is not done yet has it; `finished` is called by the one that is done last, for memory that neither of them owns.
 *
 * Source: oneshot of the futures crate, whose memory is counted instead.
 */
#ifndef KERNEL_ONESHOT_H
#define KERNEL_ONESHOT_H

#include <kernel/future.h>

struct kn_oneshot;

/** What a oneshot may be told at its making. The zero value: values own nothing, memory is looked after elsewhere. */
struct kn_oneshot_options {
    kn_discard_function *release; /**< gives back a value that was sent and not received; NULL: nothing to do */
    /** Called once both ends are done, on the thread of the last; may free the memory. NULL: nothing to do. */
    void (*finished)(struct kn_oneshot *oneshot, void *context);
    void *context; /**< handed to both */
};

/**
 * The place of the answer. Fields are private.
 *
 * Invariant: `outcome` is the sender's before it has set KN_ONESHOT_SENT, then the receiver's. Each end sets its second
 * bit with its last access, if the other end is there to wait for that.
 */
struct kn_oneshot {
    _Atomic uint32_t state; /* of enum kn_oneshot_state */
    struct kn_outcome outcome;
    struct kn_waker_cell receiver; /* woken by the sender */
    struct kn_waker_cell sender;   /* of kn_future_oneshot_cancelled: woken by the receiver */
    struct kn_oneshot_options options;
};

/** Bits of its state. */
enum kn_oneshot_state {
    KN_ONESHOT_SENT = 1u << 0,        /**< the sender has decided */
    KN_ONESHOT_SENDER_OUT = 1u << 1,  /**< and has told so */
    KN_ONESHOT_GONE = 1u << 2,        /**< the receiver was dropped before */
    KN_ONESHOT_RECEIVER_OUT = 1u << 3 /**< and has told so */
};

/** Makes one. @param options NULL: the zero value. Handing it to another thread must itself be ordered. */
void kn_oneshot_init(struct kn_oneshot *oneshot, const struct kn_oneshot_options *options);

/**
 * Sends an answer: a value, which the oneshot takes, or a failure. The sender must not touch the oneshot afterwards.
 * Any thread; waits for the end of a drop of the receiver that is under way.
 * @return 0; -EPIPE: the receiver is gone, and the value stays the caller's.
 */
int kn_oneshot_send(struct kn_oneshot *oneshot, struct kn_outcome outcome);

/** Goes without an answer: the receiver fails with -EPIPE. For the rest as kn_oneshot_send, in place of which it is. */
int kn_oneshot_close(struct kn_oneshot *oneshot);

/** Whether the receiver is gone. The sender. */
bool kn_oneshot_is_closed(const struct kn_oneshot *oneshot);

/** Waits for what is sent. Private. */
struct kn_future_oneshot {
    struct kn_future future;           /* first */
    struct kn_oneshot *oneshot;        /* NULL once it is done */
    struct kn_oneshot_options options; /* as the values may outlive the oneshot */
};

/**
 * The receiver: answers with what is sent. Dropping it tells the sender. Exactly one is made of a oneshot, also by who
 * wants no answer; NULL for `self` counts as one that was dropped. A thread waits with kn_block_on.
 */
struct kn_future *kn_future_oneshot(struct kn_future_oneshot *self, struct kn_oneshot *oneshot);

/** Waits until nobody waits. Private. */
struct kn_future_oneshot_cancelled {
    struct kn_future future;    /* first */
    struct kn_oneshot *oneshot; /* NULL once it has answered */
};

/** For the sender: answers with nothing once the receiver is gone (cancellation). It must be at its end, or dropped,
 * before the sender sends or closes, and one at a time. */
struct kn_future *kn_future_oneshot_cancelled(struct kn_future_oneshot_cancelled *self, struct kn_oneshot *oneshot);

#endif
