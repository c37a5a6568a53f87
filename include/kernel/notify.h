/**
 * @file notify.h
 * A sign that one task gives others: "look again".
 *
 * Use it to let tasks wait for a condition that your own code keeps; values go through channels. It guarantees that a
 * sign for one is not lost: where nobody waits the next who asks has it, and it goes to another when a task that was
 * given it is dropped. It does not count: signs for one, given while nobody waits, are one sign.
 *
 *        struct kn_future *changed = kn_notify_notified(&wait->notified, &cache->changed);
 *        if (cache_has(cache, key))                       made first, so that no kn_notify_waiters is missed
 *            return kn_future_ready(...);
 *        return changed;
 *
 * Invariant: the word's `waiting` is set exactly when the line is not empty, and changes with the line's lock held;
 * while it is set the word changes with the lock held only, and `stored` is not set.
 *
 * Zeroed memory is one without a sign. The memory stays until no call on it is under way and no future of it waits.
 *
 * Source: tokio's Notify.
 */
#ifndef KERNEL_NOTIFY_H
#define KERNEL_NOTIFY_H

#include <kernel/future.h>
#include <kernel/wait_list.h>

/** Bits of the word; those above count the calls of kn_notify_waiters. */
enum kn_notify_state {
    KN_NOTIFY_STORED = 1u << 0,  /**< a sign for the next who asks */
    KN_NOTIFY_WAITING = 1u << 1, /**< the line is not empty */
    KN_NOTIFY_CALL = 1u << 2     /**< one call */
};

/** What tasks wait at. Fields are private. Zeroed memory is valid. */
struct kn_notify {
    _Atomic uint64_t state; /* of enum kn_notify_state */
    struct kn_wait_list waiters;
};

/**
 * Gives a sign to the first who waits, or to the next who will. What was written before is visible to him. Any thread;
 * lock-free if nobody waits.
 */
void kn_notify_one(struct kn_notify *notify);

/** Gives a sign to all whose futures are made already, polled or not. None is kept. Any thread; lock-free if nobody
 * waits. */
void kn_notify_waiters(struct kn_notify *notify);

/** Waits for a sign. */
struct kn_notify_notified {
    struct kn_future future; /* first */
    struct kn_notify *notify;
    uint64_t made;            /* the word when it was made */
    bool has_sign;            /* one for one, that it has answered with */
    struct kn_wait_node node; /* in the line */
};

/**
 * Answers with nothing upon a sign. If it is dropped, or nobody takes its answer, a sign for one goes to another.
 * `notify` NULL: NULL.
 */
struct kn_future *kn_notify_notified(struct kn_notify_notified *self, struct kn_notify *notify);

#endif
