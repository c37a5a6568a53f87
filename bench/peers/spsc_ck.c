/*
 * Concurrency Kit's ck_ring by value, through its single-producer single-consumer functions.
 *
 * A ring of n slots holds n - 1 messages. It has no batch form, so a batch is a loop of single calls; in place it
 * writes only (reserve and commit), reading is a copy.
 */
#include <stdlib.h>

#include <ck_ring.h>

#include "../bench.h"
#include "../spsc_loops.h"

CK_RING_PROTOTYPE(message_8, spsc_message_8)
CK_RING_PROTOTYPE(message_64, spsc_message_64)
CK_RING_PROTOTYPE(message_512, spsc_message_512)

#define CK_QUEUE(name, suffix, message_type)                                                                           \
    struct name {                                                                                                      \
        struct ck_ring ring;                                                                                           \
        _Alignas(128) message_type slots[SPSC_CAPACITY_SLOTS];                                                         \
    };                                                                                                                 \
    static void *name##_open_queue(void)                                                                               \
    {                                                                                                                  \
        struct name *queue = bench_allocate(sizeof(*queue));                                                           \
        ck_ring_init(&queue->ring, SPSC_CAPACITY_SLOTS);                                                               \
        return queue;                                                                                                  \
    }                                                                                                                  \
    static void name##_close_queue(void *queue)                                                                        \
    {                                                                                                                  \
        free(queue);                                                                                                   \
    }                                                                                                                  \
    SPSC_INLINE bool name##_push(struct name *queue, message_type *message)                                            \
    {                                                                                                                  \
        return ck_ring_enqueue_spsc_##suffix(&queue->ring, queue->slots, message);                                     \
    }                                                                                                                  \
    SPSC_INLINE bool name##_pop(struct name *queue, message_type *message)                                             \
    {                                                                                                                  \
        return ck_ring_dequeue_spsc_##suffix(&queue->ring, queue->slots, message);                                     \
    }                                                                                                                  \
    SPSC_INLINE size_t name##_push_many(struct name *queue, message_type *messages, size_t count)                      \
    {                                                                                                                  \
        size_t done = 0;                                                                                               \
        while (done < count && name##_push(queue, &messages[done]))                                                    \
            done++;                                                                                                    \
        return done;                                                                                                   \
    }                                                                                                                  \
    SPSC_INLINE size_t name##_pop_many(struct name *queue, message_type *messages, size_t count)                       \
    {                                                                                                                  \
        size_t done = 0;                                                                                               \
        while (done < count && name##_pop(queue, &messages[done]))                                                     \
            done++;                                                                                                    \
        return done;                                                                                                   \
    }                                                                                                                  \
    SPSC_INLINE size_t name##_put(struct name *queue, uint64_t sequence, size_t count)                                 \
    {                                                                                                                  \
        size_t done = 0;                                                                                               \
        for (; done < count; done++) {                                                                                 \
            message_type *slot = ck_ring_enqueue_reserve_spsc_##suffix(&queue->ring, queue->slots);                    \
            if (!slot)                                                                                                 \
                break;                                                                                                 \
            spsc_fill(slot->words, sizeof(*slot), sequence + done);                                                    \
            ck_ring_enqueue_commit_spsc(&queue->ring);                                                                 \
        }                                                                                                              \
        return done;                                                                                                   \
    }                                                                                                                  \
    SPSC_INLINE size_t name##_take(struct name *queue, uint64_t sequence, size_t count, uint64_t *wrong)               \
    {                                                                                                                  \
        message_type message;                                                                                          \
        size_t done = 0;                                                                                               \
        for (; done < count && name##_pop(queue, &message); done++)                                                    \
            *wrong += spsc_wrong(message.words, sizeof(message), sequence + done);                                     \
        return done;                                                                                                   \
    }                                                                                                                  \
    SPSC_COPYING(name, struct name, message_type)                                                                      \
    SPSC_IN_PLACE(name, struct name)

CK_QUEUE(ck_8, message_8, struct spsc_message_8)
CK_QUEUE(ck_64, message_64, struct spsc_message_64)
CK_QUEUE(ck_512, message_512, struct spsc_message_512)

const struct spsc_implementation spsc_ck[] = {
    SPSC_IMPLEMENTATION("ck_ring", ck_8, struct spsc_message_8),
    SPSC_IMPLEMENTATION("ck_ring", ck_64, struct spsc_message_64),
    SPSC_IMPLEMENTATION("ck_ring", ck_512, struct spsc_message_512),
    {0},
};
