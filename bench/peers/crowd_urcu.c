/*
 * liburcu's wfcqueue, which links nodes and bounds nothing. Each producer owns a share of 1024 nodes in a circle; a
 * node is busy until the consumer has read it, so that a queue full of busy nodes stands for a full ring.
 *
 * A batch is linked to a list by itself and spliced in at once; for batches the consumer splices all there is into a
 * list of its own. _LGPL_SOURCE, which software of any compatible licence may set, has its
 * functions inlined.
 */
#define _LGPL_SOURCE
#include <urcu/wfcqueue.h>

#include <stdlib.h>

#include "../bench.h"
#include "../crowd_loops.h"

struct list {
    __attribute__((aligned(128))) struct __cds_wfcq_head head;
    __attribute__((aligned(128))) struct cds_wfcq_tail tail;
};

static void list_init(struct list *list)
{
    __cds_wfcq_init(&list->head, &list->tail);
}

/* The next node; NULL when there is none, or when its producer has not linked it yet. */
SPSC_INLINE struct cds_wfcq_node *list_pop(struct list *list)
{
    struct cds_wfcq_node *node = __cds_wfcq_dequeue_nonblocking(&list->head, &list->tail);
    return node == CDS_WFCQ_WOULDBLOCK ? NULL : node;
}

#define URCU_CROWD(name, message_type)                                                                                 \
    struct name##_node {                                                                                               \
        struct cds_wfcq_node link;                                                                                     \
        uint64_t busy; /* set by the producer, cleared by the consumer */                                              \
        message_type message;                                                                                          \
    };                                                                                                                 \
    struct name {                                                                                                      \
        struct list shared;                                                                                            \
        struct list taken; /* spliced by the consumer */                                                               \
        uint64_t nodes;    /* of each producer: a power of two */                                                      \
    };                                                                                                                 \
    struct name##_producer {                                                                                           \
        struct name *queue;                                                                                            \
        uint64_t position;                                                                                             \
        uint64_t mask;                                                                                                 \
        struct list batch; /* empty between two calls */                                                               \
        struct name##_node nodes[];                                                                                    \
    };                                                                                                                 \
    static void *name##_open_queue(const struct crowd_setup *setup)                                                    \
    {                                                                                                                  \
        struct name *queue = bench_allocate(sizeof(*queue));                                                           \
        list_init(&queue->shared);                                                                                     \
        list_init(&queue->taken);                                                                                      \
        queue->nodes = SPSC_CAPACITY_SLOTS / setup->producers;                                                         \
        return queue;                                                                                                  \
    }                                                                                                                  \
    static void *name##_hold_producer(void *queue, unsigned number)                                                    \
    {                                                                                                                  \
        uint64_t nodes = ((struct name *)queue)->nodes;                                                                \
        struct name##_producer *producer = bench_allocate(sizeof(*producer) + nodes * sizeof(producer->nodes[0]));     \
        (void)number;                                                                                                  \
        producer->queue = queue;                                                                                       \
        producer->mask = nodes - 1;                                                                                    \
        list_init(&producer->batch);                                                                                   \
        return producer;                                                                                               \
    }                                                                                                                  \
    /* Links a node with the message to the list; false when all are busy. */                                          \
    SPSC_INLINE bool name##_link(struct name##_producer *producer, struct list *list, const message_type *message)     \
    {                                                                                                                  \
        struct name##_node *node = &producer->nodes[producer->position & producer->mask];                              \
        /* Acquire pairs with the release store in name_read: the consumer is done with the node. */                   \
        if (__atomic_load_n(&node->busy, __ATOMIC_ACQUIRE))                                                            \
            return false;                                                                                              \
        node->busy = 1;                                                                                                \
        node->message = *message;                                                                                      \
        cds_wfcq_node_init(&node->link);                                                                               \
        cds_wfcq_enqueue(&list->head, &list->tail, &node->link);                                                       \
        producer->position++;                                                                                          \
        return true;                                                                                                   \
    }                                                                                                                  \
    SPSC_INLINE bool name##_push(struct name##_producer *producer, const message_type *message)                        \
    {                                                                                                                  \
        return name##_link(producer, &producer->queue->shared, message);                                               \
    }                                                                                                                  \
    SPSC_INLINE size_t name##_push_many(struct name##_producer *producer, const message_type *messages, size_t count)  \
    {                                                                                                                  \
        struct list *shared = &producer->queue->shared;                                                                \
        struct list *batch = &producer->batch;                                                                         \
        size_t done = 0;                                                                                               \
        while (done < count && name##_link(producer, batch, &messages[done]))                                          \
            done++;                                                                                                    \
        if (done > 0)                                                                                                  \
            __cds_wfcq_splice_nonblocking(&shared->head, &shared->tail, &batch->head, &batch->tail);                   \
        return done;                                                                                                   \
    }                                                                                                                  \
    SPSC_INLINE bool name##_read(struct list *list, message_type *message)                                             \
    {                                                                                                                  \
        struct name##_node *node = (struct name##_node *)list_pop(list);                                               \
        if (!node)                                                                                                     \
            return false;                                                                                              \
        *message = node->message;                                                                                      \
        /* Release pairs with the acquire load in name_link. */                                                        \
        __atomic_store_n(&node->busy, 0, __ATOMIC_RELEASE);                                                            \
        return true;                                                                                                   \
    }                                                                                                                  \
    SPSC_INLINE bool name##_pop(struct name *queue, message_type *message)                                             \
    {                                                                                                                  \
        return name##_read(&queue->shared, message);                                                                   \
    }                                                                                                                  \
    SPSC_INLINE size_t name##_pop_many(struct name *queue, message_type *messages, size_t count)                       \
    {                                                                                                                  \
        struct list *shared = &queue->shared;                                                                          \
        struct list *taken = &queue->taken;                                                                            \
        size_t done = 0;                                                                                               \
        if (cds_wfcq_empty(&taken->head, &taken->tail))                                                                \
            __cds_wfcq_splice_nonblocking(&taken->head, &taken->tail, &shared->head, &shared->tail);                   \
        while (done < count && name##_read(taken, &messages[done]))                                                    \
            done++;                                                                                                    \
        return done;                                                                                                   \
    }                                                                                                                  \
    CROWD_COPYING(name, struct name##_producer, struct name, message_type)

URCU_CROWD(urcu_8, struct spsc_message_8)
URCU_CROWD(urcu_64, struct spsc_message_64)

#define URCU_ENTRY(queue, size)                                                                                        \
    {                                                                                                                  \
        .name = "urcu-wfcqueue", .shapes = CROWD_IN(CROWD_MPSC), .message_bytes = size, .open = queue##_open_queue,    \
        .close = free, .hold_producer = queue##_hold_producer, .drop_producer = free, .forms = {                       \
            CROWD_LOOPS_OF(queue##_single),                                                                            \
            CROWD_LOOPS_OF(queue##_batched)                                                                            \
        }                                                                                                              \
    }

const struct crowd_implementation crowd_urcu[] = {URCU_ENTRY(urcu_8, 8), URCU_ENTRY(urcu_64, 64), {0}};
