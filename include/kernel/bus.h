/**
 * @file bus.h
 * The intercore bus: one queue for each ordered pair of reactors, with typed messages.
 *
 * The reactors use it among themselves; look here for what travels and for the figures, and use task.h and reactor.h to
 * send. Each queue has one writing and one reading core, so that a message costs one line transfer and no atomic
 * read-modify-write. A full queue is backpressure and loses nothing: tasks wait in a chain of the sender's, linked
 * through themselves, and go out with the next turn; what has no such link is answered with -EAGAIN.
 */
#ifndef KERNEL_BUS_H
#define KERNEL_BUS_H

#include <kernel/spsc.h>
#include <kernel/task.h>

/** What a message says. */
enum kn_bus_kind {
    KN_BUS_SPAWN,  /**< new tasks */
    KN_BUS_WAKE,   /**< tasks that were woken */
    KN_BUS_CANCEL, /**< a timer of yours was cancelled: forget it */
    KN_BUS_TIMER,  /**< arm this timer */
    KN_BUS_STEAL,  /**< the sender has nothing to do: give it some of yours */
    KN_BUS_GIVE,   /**< tasks, or none, in answer to that; or unasked, from who has too many */
    KN_BUS_RETURN, /**< memory of your pool */
    KN_BUS_STOP,   /**< take no more turns */
    KN_BUS_KINDS
};

/** A message. Tasks are chained through their nodes. */
struct kn_bus_message {
    uint32_t kind;  /**< of enum kn_bus_kind */
    uint32_t count; /**< tasks in the chain */
    void *first;    /**< the first task, or the timer */
    void *last;     /**< the last task */
};

/** Tasks on their way, linked through their nodes. */
struct kn_task_chain {
    struct kn_task *first; /**< NULL: none */
    struct kn_task *last;  /**< its link is stale */
    uint32_t count;        /**< tasks */
};

KN_SPSC_DEFINE(kn_bus_ring, struct kn_bus_message);

/** What a reactor holds back for another one whose queue is full. Written by the sender alone. */
struct kn_bus_outbox {
    struct kn_task_chain tasks;    /**< to run there */
    struct kn_task_chain returned; /**< memory of its pool */
    bool owes_answer;              /**< to a steal: `tasks`, or nothing */
};

/** All queues, and all boxes. */
struct kn_bus {
    size_t reactors;
    struct kn_bus_ring **rings;   /* [from * reactors + to]; NULL on the diagonal */
    struct kn_bus_outbox *outbox; /* likewise */
};

/** Makes the queues. @param depth messages each, a power of two. @return 0, -EINVAL, -ENOMEM or as kn_sector_create. */
KN_CHECK_RESULT int kn_bus_open(struct kn_bus *bus, size_t reactors, size_t depth);

/** Frees them. Harmless on a zeroed bus. */
void kn_bus_close(struct kn_bus *bus);

/** The queue from one reactor to another. */
KN_INLINE struct kn_bus_ring *kn_bus_ring(const struct kn_bus *bus, size_t from, size_t to)
{
    return bus->rings[from * bus->reactors + to];
}

/** Adds a task at a chain's end. */
KN_INLINE void kn_task_chain_append(struct kn_task_chain *chain, struct kn_task *task)
{
    if (chain->last)
        atomic_store_explicit(&chain->last->node.next, &task->node, memory_order_relaxed);
    else
        chain->first = task;
    chain->last = task;
    chain->count++;
}

/** Takes the first task of a chain that is not empty. */
KN_INLINE struct kn_task *kn_task_chain_take(struct kn_task_chain *chain)
{
    struct kn_task *task = chain->first;
    if (--chain->count == 0)
        *chain = (struct kn_task_chain){0};
    else
        chain->first =
            KN_CONTAINER_OF(atomic_load_explicit(&task->node.next, memory_order_relaxed), struct kn_task, node);
    return task;
}

/**
 * Sends a chain, or keeps it in the outbox when the queue is full. The thread of `from`; wait-free.
 * @return whether anything was sent.
 */
bool kn_bus_send_tasks(struct kn_bus *bus, size_t from, size_t to, enum kn_bus_kind kind,
                       const struct kn_task_chain *chain);

/** Sends what is not a chain. The thread of `from`; wait-free. @return 0, or -EAGAIN when the queue is full. */
int kn_bus_send(struct kn_bus *bus, size_t from, size_t to, enum kn_bus_kind kind, void *subject);

/**
 * Sends what is held back. The thread of `from`. @return whether anything is still held back; *sent_to, which may be
 * NULL, is called for each reactor that was sent something.
 */
bool kn_bus_flush(struct kn_bus *bus, size_t from, void (*sent_to)(void *context, size_t to), void *context);

/** Messages in the queue from one to another; a moment old. Any thread. */
KN_INLINE size_t kn_bus_depth(const struct kn_bus *bus, size_t from, size_t to)
{
    return kn_bus_ring_count(kn_bus_ring(bus, from, to));
}

#endif
