#include "spsc_loops.h"

#include <kernel/spsc.h>

KN_SPSC_DEFINE(sequenced_queue_8, struct spsc_message_8);
KN_SPSC_DEFINE(sequenced_queue_64, struct spsc_message_64);
KN_SPSC_DEFINE(sequenced_queue_512, struct spsc_message_512);
KN_SPSC_DENSE_DEFINE(dense_queue_8, struct spsc_message_8);
KN_SPSC_DENSE_DEFINE(dense_queue_64, struct spsc_message_64);
KN_SPSC_DENSE_DEFINE(dense_queue_512, struct spsc_message_512);

#define KERNEL_QUEUE(name, queue_name, message_type)                                                                   \
    static void *name##_open_queue(void)                                                                               \
    {                                                                                                                  \
        struct queue_name *queue;                                                                                      \
        return queue_name##_open(&queue, SPSC_CAPACITY_SLOTS) == 0 ? queue : NULL;                                     \
    }                                                                                                                  \
    static void name##_close_queue(void *queue)                                                                        \
    {                                                                                                                  \
        queue_name##_close((struct queue_name *)queue);                                                                \
    }                                                                                                                  \
    SPSC_INLINE bool name##_push(struct queue_name *queue, const message_type *message)                                \
    {                                                                                                                  \
        return queue_name##_try_push(&queue->producer, message) == 0;                                                  \
    }                                                                                                                  \
    SPSC_INLINE bool name##_pop(struct queue_name *queue, message_type *message)                                       \
    {                                                                                                                  \
        return queue_name##_try_pop(&queue->consumer, message) == 0;                                                   \
    }                                                                                                                  \
    SPSC_INLINE size_t name##_push_many(struct queue_name *queue, const message_type *messages, size_t count)          \
    {                                                                                                                  \
        return queue_name##_push_many(&queue->producer, messages, count);                                              \
    }                                                                                                                  \
    SPSC_INLINE size_t name##_pop_many(struct queue_name *queue, message_type *messages, size_t count)                 \
    {                                                                                                                  \
        return queue_name##_pop_many(&queue->consumer, messages, count);                                               \
    }                                                                                                                  \
    SPSC_INLINE size_t name##_put(struct queue_name *queue, uint64_t sequence, size_t count)                           \
    {                                                                                                                  \
        struct kn_span span;                                                                                           \
        if (queue_name##_claim(&queue->producer, count, &span) < 0)                                                    \
            return 0;                                                                                                  \
        for (size_t i = 0; i < span.count; i++)                                                                        \
            spsc_fill(queue_name##_at(&span, i)->words, sizeof(message_type), sequence + i);                           \
        return queue_name##_publish(&queue->producer, span.count) == 0 ? span.count : 0;                               \
    }                                                                                                                  \
    SPSC_INLINE size_t name##_take(struct queue_name *queue, uint64_t sequence, size_t count, uint64_t *wrong)         \
    {                                                                                                                  \
        struct kn_span span;                                                                                           \
        if (queue_name##_peek(&queue->consumer, count, &span) < 0)                                                     \
            return 0;                                                                                                  \
        for (size_t i = 0; i < span.count; i++)                                                                        \
            *wrong += spsc_wrong(queue_name##_at(&span, i)->words, sizeof(message_type), sequence + i);                \
        return queue_name##_release(&queue->consumer, span.count) == 0 ? span.count : 0;                               \
    }                                                                                                                  \
    SPSC_COPYING(name, struct queue_name, message_type)                                                                \
    SPSC_IN_PLACE(name, struct queue_name)

KERNEL_QUEUE(sequenced_8, sequenced_queue_8, struct spsc_message_8)
KERNEL_QUEUE(sequenced_64, sequenced_queue_64, struct spsc_message_64)
KERNEL_QUEUE(sequenced_512, sequenced_queue_512, struct spsc_message_512)
KERNEL_QUEUE(dense_8, dense_queue_8, struct spsc_message_8)
KERNEL_QUEUE(dense_64, dense_queue_64, struct spsc_message_64)
KERNEL_QUEUE(dense_512, dense_queue_512, struct spsc_message_512)

const struct spsc_implementation spsc_kernel[] = {
    SPSC_IMPLEMENTATION("kernel", sequenced_8, struct spsc_message_8),
    SPSC_IMPLEMENTATION("kernel", sequenced_64, struct spsc_message_64),
    SPSC_IMPLEMENTATION("kernel", sequenced_512, struct spsc_message_512),
    {0},
};

const struct spsc_implementation spsc_kernel_dense[] = {
    SPSC_IMPLEMENTATION("kernel-dense", dense_8, struct spsc_message_8),
    SPSC_IMPLEMENTATION("kernel-dense", dense_64, struct spsc_message_64),
    SPSC_IMPLEMENTATION("kernel-dense", dense_512, struct spsc_message_512),
    {0},
};
