/**
 * @file mailbox.h
 * An unbounded queue from any number of producer threads to one consumer thread, linked through the messages.
 *
 * Use it where many threads send to one owner and nobody may wait or be refused: the mailbox of a task, a wake list,
 * what is given back to an arena. The messages are the caller's own structures with a struct kn_mailbox_node in them:
 * nothing is copied, nothing is allocated, and nothing bounds how many are in flight, so put the bound, where one is
 * needed, on the messages. From one producer to one consumer take spsc.h, which moves several messages a cache line.
 *
 * A push is one exchange and two stores, whatever the other threads do: wait-free where the processor has an exchange
 * (x86-64, Arm with LSE), lock-free where it makes one of load-linked and store-conditional. A pop is a bounded number
 * of steps too. What is not lock-free is the way from one to the other: a producer that halts between its exchange and
 * its link keeps back its message, the one before it and all after it. A pop answers this with -EBUSY; nobody waits
 * inside a call.
 *
 * How it works. Messages form a list from the oldest to the newest, which a stub keeps from ever being empty:
 *
 *        oldest                               newest
 *          v                                    v
 *        +------+    +------+    +------+    +------+
 *        | next | -> | next | -> | next |    | next | -> NULL
 *        +------+    +------+    +------+    +------+
 *                                        ^
 *                                        a producer stands between its exchange and its link
 *
 * A producer exchanges `newest` for its message and then links the message behind what it took out. The consumer hands
 * out `oldest` as soon as that has a successor; the last message gets the stub as its successor.
 *
 * Messages of one producer arrive in the order in which they were pushed; all messages arrive in the order of the
 * exchanges. What was written to a message before it was pushed is seen by whoever popped it.
 *
 * Who owns what: a node belongs to the mailbox from its push until it is popped, then to who popped it, all of it and
 * at once: it may be pushed again, here or elsewhere, or freed. When the consumer has popped the last message that a
 * producer pushed, this producer does not touch the mailbox any more either. So a mailbox, which has nothing to close,
 * may be freed once the last message of each producer was popped.
 *
 * Source: D. Vyukov, intrusive MPSC node-based queue, 2010. models/mailbox.pml holds the protocol as a model that Spin
 * exhausts.
 */
#ifndef KERNEL_MAILBOX_H
#define KERNEL_MAILBOX_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <kernel/atomic.h>

/**
 * The structure of `type` whose `member` is at `pointer`, which must point to the type of that member: the compiler
 * warns of another one.
 */
#define KN_CONTAINER_OF(pointer, type, member)                                                                         \
    ((type *)(void *)((uint8_t *)(1 ? (pointer) : &((type *)0)->member) - offsetof(type, member)))

/** What a message holds to be linked through. Needs no initialisation. The field is private to mailbox.h. */
struct kn_mailbox_node {
    struct kn_mailbox_node *_Atomic next;
};

/**
 * Messages that one thread strings together to push them at once. Starts zeroed, and is so again when pushed. A node
 * belongs to the chain from its append on. The fields may be read: both NULL, or the first and the last.
 */
struct kn_mailbox_chain {
    struct kn_mailbox_node *first; /**< will be popped first */
    struct kn_mailbox_node *last;  /**< will be popped last */
};

/**
 * The mailbox. Fields are private to mailbox.h. It must lie at a multiple of KN_OWNER_STRIDE, as it does in static
 * memory, on the stack and in what aligned_alloc gives, but not in what malloc gives.
 *
 * Invariant: following `next` from `oldest` leads to `newest`, but for links that their producers have yet to store.
 * The stub is in this list at most once; a message that was popped is not.
 */
struct kn_mailbox {
    struct {
        KN_OWNED struct kn_mailbox_node *_Atomic newest; /* exchanged by who pushes */
        /* Here and not with the consumer: what pushes into an empty mailbox touches both, and so does an empty pop. */
        struct kn_mailbox_node stub;
    } producers;
    struct {
        KN_OWNED struct kn_mailbox_node *_Atomic oldest; /* written by the consumer alone */
    } consumer;
};

/**
 * Makes an empty mailbox of the caller's memory. The handing of it to the other threads must itself be ordered, as
 * pthread_create does.
 */
KN_INLINE void kn_mailbox_init(struct kn_mailbox *mailbox)
{
    atomic_init(&mailbox->producers.stub.next, NULL);
    atomic_init(&mailbox->producers.newest, &mailbox->producers.stub);
    atomic_init(&mailbox->consumer.oldest, &mailbox->producers.stub);
}

/* Makes `last`, to which a list from `first` leads, the newest. */
KN_INLINE void kn_mailbox_push_list(struct kn_mailbox *mailbox, struct kn_mailbox_node *first,
                                    struct kn_mailbox_node *last)
{
    atomic_store_explicit(&last->next, NULL, memory_order_relaxed);
    /* Acquire and release pair with each other, from one push to the next: the NULL above must be stored before the
     * next producer's link, or it could replace it. */
    struct kn_mailbox_node *previous = atomic_exchange_explicit(&mailbox->producers.newest, last, memory_order_acq_rel);
    /* Release pairs with the acquire load in kn_mailbox_next: messages were written before they can be reached. */
    atomic_store_explicit(&previous->next, first, memory_order_release);
}

/* The successor of a node that the consumer has reached, or NULL. */
KN_INLINE struct kn_mailbox_node *kn_mailbox_next(const struct kn_mailbox_node *node)
{
    /* Acquire pairs with the release store in kn_mailbox_push_list, and ends the producer's hold on this node. */
    return atomic_load_explicit(&node->next, memory_order_acquire);
}

/** Pushes a message. Any thread, the consumer too; wait-free. It cannot fail. */
KN_INLINE void kn_mailbox_push(struct kn_mailbox *mailbox, struct kn_mailbox_node *node)
{
    kn_mailbox_push_list(mailbox, node, node);
}

/** Adds a message at the end of a chain. The thread that owns the chain; wait-free. */
KN_INLINE void kn_mailbox_chain_append(struct kn_mailbox_chain *chain, struct kn_mailbox_node *node)
{
    if (chain->last)
        atomic_store_explicit(&chain->last->next, node, memory_order_relaxed);
    else
        chain->first = node;
    chain->last = node;
}

/**
 * Pushes all messages of a chain with one exchange, so that no other message comes between them, and leaves the chain
 * empty. An empty one pushes nothing. Any thread; wait-free.
 */
KN_INLINE void kn_mailbox_push_chain(struct kn_mailbox *mailbox, struct kn_mailbox_chain *chain)
{
    if (!chain->last)
        return;
    kn_mailbox_push_list(mailbox, chain->first, chain->last);
    *chain = (struct kn_mailbox_chain){0};
}

/** Pushes `count` messages with one exchange, nodes[0] first. Any thread; wait-free (in `count` steps). */
KN_INLINE void kn_mailbox_push_many(struct kn_mailbox *mailbox, struct kn_mailbox_node *const *nodes, size_t count)
{
    struct kn_mailbox_chain chain = {0};
    for (size_t i = 0; i < count; i++)
        kn_mailbox_chain_append(&chain, nodes[i]);
    kn_mailbox_push_chain(mailbox, &chain);
}

/**
 * Takes the oldest message. Consumer only; wait-free.
 *
 * @return 0 with the message in `*node`; -EAGAIN when the mailbox is empty; -EBUSY when it is not, but a producer
 * stands between its exchange and the link that would let the oldest message go. This is no error: look again, a few
 * instructions of that producer later. `*node` is NULL after both.
 */
KN_INLINE int kn_mailbox_try_pop(struct kn_mailbox *mailbox, struct kn_mailbox_node **node)
{
    struct kn_mailbox_node *stub = &mailbox->producers.stub;
    struct kn_mailbox_node *oldest = atomic_load_explicit(&mailbox->consumer.oldest, memory_order_relaxed);
    struct kn_mailbox_node *next = kn_mailbox_next(oldest);
    *node = NULL;
    if (oldest == stub) {
        if (next == NULL)
            return atomic_load_explicit(&mailbox->producers.newest, memory_order_relaxed) == stub ? -EAGAIN : -EBUSY;
        oldest = next;
        atomic_store_explicit(&mailbox->consumer.oldest, oldest, memory_order_relaxed);
        next = kn_mailbox_next(oldest);
    }
    if (next == NULL) {
        /* Relaxed: the link that led to `oldest` made its exchange known, so that what is read is this or newer; and
         * where something newer was missed, the stub queues behind that and the second look below answers. */
        if (atomic_load_explicit(&mailbox->producers.newest, memory_order_relaxed) != oldest)
            return -EBUSY;
        kn_mailbox_push(mailbox, stub);
        next = kn_mailbox_next(oldest);
        if (KN_UNLIKELY(next == NULL))
            return -EBUSY;
    }
    atomic_store_explicit(&mailbox->consumer.oldest, next, memory_order_relaxed);
    *node = oldest;
    return 0;
}

/**
 * Takes up to `count` messages, oldest first: a whole run for the price of its links. Consumer only; wait-free.
 *
 * @return how many came; 0 when kn_mailbox_try_pop would answer -EAGAIN or -EBUSY.
 */
KN_INLINE size_t kn_mailbox_pop_many(struct kn_mailbox *mailbox, struct kn_mailbox_node **nodes, size_t count)
{
    size_t popped = 0;
    struct kn_mailbox_node *node;
    while (popped < count && kn_mailbox_try_pop(mailbox, &node) == 0)
        nodes[popped++] = node;
    return popped;
}

/**
 * Whether there is nothing to pop. What the consumer is told is what kn_mailbox_try_pop would answer: true with
 * -EAGAIN, false with 0 and -EBUSY. What any other thread is told is a hint, a moment old. Wait-free.
 *
 * The loads are relaxed: a consumer that announces its sleep, and then looks whether it may, puts a fence between.
 */
KN_INLINE bool kn_mailbox_is_empty(const struct kn_mailbox *mailbox)
{
    const struct kn_mailbox_node *stub = &mailbox->producers.stub;
    return atomic_load_explicit(&mailbox->consumer.oldest, memory_order_relaxed) == stub &&
           atomic_load_explicit(&mailbox->producers.newest, memory_order_relaxed) == stub;
}

/**
 * Defines `struct name`, a mailbox of `type`, whose `member` is its struct kn_mailbox_node, and `struct name_chain`,
 * with the functions above for messages instead of nodes.
 *
 *     struct letter {
 *         struct kn_mailbox_node node;
 *         ...
 *     };
 *     KN_MAILBOX_DEFINE(letters, struct letter, node);
 *
 *     void   letters_init(struct letters *mailbox);
 *     void   letters_push(struct letters *mailbox, struct letter *message);
 *     void   letters_push_many(struct letters *mailbox, struct letter *const *messages, size_t count);
 *     void   letters_chain_append(struct letters_chain *chain, struct letter *message);
 *     void   letters_push_chain(struct letters *mailbox, struct letters_chain *chain);
 *     int    letters_try_pop(struct letters *mailbox, struct letter **message);
 *     size_t letters_pop_many(struct letters *mailbox, struct letter **messages, size_t count);
 *     bool   letters_is_empty(const struct letters *mailbox);
 *
 * A message that is in several mailboxes at once has a member for each.
 */
#define KN_MAILBOX_DEFINE(name, type, member)                                                                          \
    struct name {                                                                                                      \
        struct kn_mailbox mailbox;                                                                                     \
    };                                                                                                                 \
    struct name##_chain {                                                                                              \
        struct kn_mailbox_chain chain;                                                                                 \
    };                                                                                                                 \
    _Static_assert(_Generic(((type *)0)->member, struct kn_mailbox_node : 1, default : 0),                             \
                   "the member must be a struct kn_mailbox_node");                                                     \
    KN_INLINE void name##_init(struct name *mailbox)                                                                   \
    {                                                                                                                  \
        kn_mailbox_init(&mailbox->mailbox);                                                                            \
    }                                                                                                                  \
    KN_INLINE void name##_push(struct name *mailbox, type *message)                                                    \
    {                                                                                                                  \
        kn_mailbox_push(&mailbox->mailbox, &message->member);                                                          \
    }                                                                                                                  \
    KN_INLINE void name##_chain_append(struct name##_chain *chain, type *message)                                      \
    {                                                                                                                  \
        kn_mailbox_chain_append(&chain->chain, &message->member);                                                      \
    }                                                                                                                  \
    KN_INLINE void name##_push_chain(struct name *mailbox, struct name##_chain *chain)                                 \
    {                                                                                                                  \
        kn_mailbox_push_chain(&mailbox->mailbox, &chain->chain);                                                       \
    }                                                                                                                  \
    KN_INLINE void name##_push_many(struct name *mailbox, type *const *messages, size_t count)                         \
    {                                                                                                                  \
        struct name##_chain chain = {0};                                                                               \
        for (size_t i = 0; i < count; i++)                                                                             \
            name##_chain_append(&chain, messages[i]);                                                                  \
        name##_push_chain(mailbox, &chain);                                                                            \
    }                                                                                                                  \
    KN_INLINE int name##_try_pop(struct name *mailbox, type **message)                                                 \
    {                                                                                                                  \
        struct kn_mailbox_node *node;                                                                                  \
        int result = kn_mailbox_try_pop(&mailbox->mailbox, &node);                                                     \
        *message = result == 0 ? KN_CONTAINER_OF(node, type, member) : NULL;                                           \
        return result;                                                                                                 \
    }                                                                                                                  \
    KN_INLINE size_t name##_pop_many(struct name *mailbox, type **messages, size_t count)                              \
    {                                                                                                                  \
        size_t popped = 0;                                                                                             \
        type *message;                                                                                                 \
        while (popped < count && name##_try_pop(mailbox, &message) == 0)                                               \
            messages[popped++] = message;                                                                              \
        return popped;                                                                                                 \
    }                                                                                                                  \
    KN_INLINE bool name##_is_empty(const struct name *mailbox)                                                         \
    {                                                                                                                  \
        return kn_mailbox_is_empty(&mailbox->mailbox);                                                                 \
    }                                                                                                                  \
    struct name

#endif
