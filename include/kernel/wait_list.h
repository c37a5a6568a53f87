/**
 * @file wait_list.h
 * Wakers that wait in line for the same thing: what the locks, semaphores and channels for tasks are made of.
 *
 * Use it to write such things; a single waiter does with the cell of waker.h. It guarantees first in, first out; that
 * any thread may wake; and that once a node has left the list its waker is not called any more. Nobody who neither
 * waits nor has somebody to wake takes its lock: looking whether the list is empty is one load.
 *
 * The lock is held for a few instructions and for the calls of wakers; a thread that finds it taken pauses, and after a
 * while yields. That order (lock, then waker) is the only one: a waker takes no list's lock.
 */
#ifndef KERNEL_WAIT_LIST_H
#define KERNEL_WAIT_LIST_H

#include <kernel/waker.h>

/** States of a node. */
enum kn_wait_node_state {
    KN_WAIT_NODE_IDLE = 0,    /**< in no list, and not woken */
    KN_WAIT_NODE_WAITING = 1, /**< in the list */
    KN_WAIT_NODE_WOKEN = 2    /**< taken off by a wake: what it waited for was given to it */
};

/** A place in the line, part of the future that waits. Zeroed memory is an idle node. */
struct kn_wait_node {
    struct kn_wait_node *next;     /* towards the last */
    struct kn_wait_node *previous; /* towards the first */
    struct kn_waker *waker;        /* called when it is woken */
    uint64_t wanted;               /**< set before it is added: how much, which kind; for the list's user */
    _Atomic uint32_t state;        /* of enum kn_wait_node_state; written under the lock */
};

/** The line. Zeroed memory is an empty one. */
struct kn_wait_list {
    _Atomic uint32_t lock;      /* whether it is held */
    _Atomic uint32_t count;     /* nodes that wait; written under the lock */
    struct kn_wait_node *first; /* the oldest */
    struct kn_wait_node *last;  /* the newest */
};

/** Takes the lock, for who must decide something else together with the list. Waits for who holds it. */
void kn_wait_list_lock(struct kn_wait_list *list);

/** Gives it back. */
void kn_wait_list_unlock(struct kn_wait_list *list);

/**
 * Puts an idle node at the end; or, for one that waits, replaces its waker. With the lock held. Who waits looks again
 * after this, with a sequentially consistent load or a read-modify-write: that look and the write in here pair with
 * what happened and kn_wait_list_is_empty on the other side.
 * Who was woken and does not find what it waits for adds itself again: another may have taken it, or the wake-up was
 * for what happened before, and came late.
 */
void kn_wait_list_add(struct kn_wait_list *list, struct kn_wait_node *node, struct kn_waker *waker);

/** Takes a node out, wherever it is; it is idle then. With the lock held.
 * @return whether it had been woken: what was given to it must be given to the next, or kept. */
bool kn_wait_list_remove(struct kn_wait_list *list, struct kn_wait_node *node);

/** The oldest node, or NULL. With the lock held. */
struct kn_wait_node *kn_wait_list_first(const struct kn_wait_list *list);

/** Takes a waiting node out, marks it woken and calls its waker. With the lock held. */
void kn_wait_list_wake(struct kn_wait_list *list, struct kn_wait_node *node);

/** Takes the lock and wakes the `count` oldest (SIZE_MAX: all). @return how many were there. Any thread. */
size_t kn_wait_list_notify(struct kn_wait_list *list, size_t count);

/** Whether a node was woken: what was written before is seen. Its owner; no lock needed. */
KN_INLINE bool kn_wait_node_is_woken(const struct kn_wait_node *node)
{
    /* Acquire pairs with the release of kn_wait_list_wake. */
    return atomic_load_explicit(&node->state, memory_order_acquire) == KN_WAIT_NODE_WOKEN;
}

/**
 * Whether nobody waits. Any thread; for who has just made something happen with a sequentially consistent
 * read-modify-write and then asks whom to tell: either this sees the node, or the node's owner sees what happened when
 * it looks again after kn_wait_list_add. Wait-free.
 */
KN_INLINE bool kn_wait_list_is_empty(const struct kn_wait_list *list)
{
    /* Sequentially consistent, with the write of kn_wait_list_add: a store and a load of two threads each. */
    return atomic_load_explicit(&list->count, memory_order_seq_cst) == 0;
}

#endif
