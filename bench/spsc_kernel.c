#include "spsc_loops.h"

#include <kernel/spsc.h>

KN_SPSC_DEFINE(kernel_8, struct spsc_message_8);
KN_SPSC_DEFINE(kernel_64, struct spsc_message_64);
KN_SPSC_DEFINE(kernel_512, struct spsc_message_512);

#define KERNEL_QUEUE(name, message_type)                                                                               \
    static void *name##_open_queue(void)                                                                               \
    {                                                                                                                  \
        struct name *queue;                                                                                            \
        return name##_open(&queue, SPSC_CAPACITY_SLOTS) == 0 ? queue : NULL;                                           \
    }                                                                                                                  \
    static void name##_close_queue(void *queue)                                                                        \
    {                                                                                                                  \
        name##_close((struct name *)queue);                                                                            \
    }                                                                                                                  \
    SPSC_INLINE bool name##_push(struct name *queue, const message_type *message)                                      \
    {                                                                                                                  \
        return name##_try_push(queue, message) == 0;                                                                   \
    }                                                                                                                  \
    SPSC_INLINE bool name##_pop(struct name *queue, message_type *message)                                             \
    {                                                                                                                  \
        return name##_try_pop(queue, message) == 0;                                                                    \
    }                                                                                                                  \
    SPSC_INLINE size_t name##_put(struct name *queue, uint64_t sequence, size_t count)                                 \
    {                                                                                                                  \
        struct kn_span span;                                                                                           \
        if (name##_claim(queue, count, &span) < 0)                                                                     \
            return 0;                                                                                                  \
        for (size_t i = 0; i < span.count; i++)                                                                        \
            spsc_fill(name##_at(&span, i)->words, sizeof(message_type), sequence + i);                                 \
        return name##_publish(queue, span.count) == 0 ? span.count : 0;                                                \
    }                                                                                                                  \
    SPSC_INLINE size_t name##_take(struct name *queue, uint64_t sequence, size_t count, uint64_t *wrong)               \
    {                                                                                                                  \
        struct kn_span span;                                                                                           \
        if (name##_peek(queue, count, &span) < 0)                                                                      \
            return 0;                                                                                                  \
        for (size_t i = 0; i < span.count; i++)                                                                        \
            *wrong += spsc_wrong(name##_at(&span, i)->words, sizeof(message_type), sequence + i);                      \
        return name##_release(queue, span.count) == 0 ? span.count : 0;                                                \
    }                                                                                                                  \
    SPSC_COPYING(name, struct name, message_type)                                                                      \
    SPSC_IN_PLACE(name, struct name)

KERNEL_QUEUE(kernel_8, struct spsc_message_8)
KERNEL_QUEUE(kernel_64, struct spsc_message_64)
KERNEL_QUEUE(kernel_512, struct spsc_message_512)

const struct spsc_implementation spsc_kernel[] = {
    SPSC_IMPLEMENTATION("kernel", kernel_8, struct spsc_message_8),
    SPSC_IMPLEMENTATION("kernel", kernel_64, struct spsc_message_64),
    SPSC_IMPLEMENTATION("kernel", kernel_512, struct spsc_message_512),
    {0},
};
