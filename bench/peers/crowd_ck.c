/*
 * Concurrency Kit's ck_ring by value, through the functions of each shape. A ring of n slots holds n - 1 messages. It
 * has no batch form, so a batch is a loop of single calls.
 */
#include <stdlib.h>

#include <ck_ring.h>

#include "../bench.h"
#include "../crowd_loops.h"

CK_RING_PROTOTYPE(message_8, spsc_message_8)
CK_RING_PROTOTYPE(message_64, spsc_message_64)

#define CK_RING(name, message_type)                                                                                    \
    struct name {                                                                                                      \
        struct ck_ring ring;                                                                                           \
        _Alignas(128) message_type slots[SPSC_CAPACITY_SLOTS];                                                         \
    };                                                                                                                 \
    static void *name##_open_queue(const struct crowd_setup *setup)                                                    \
    {                                                                                                                  \
        struct name *queue = bench_allocate(sizeof(*queue));                                                           \
        (void)setup;                                                                                                   \
        ck_ring_init(&queue->ring, SPSC_CAPACITY_SLOTS);                                                               \
        return queue;                                                                                                  \
    }

/* `mode` is the part of the functions' names that says who shares the ring. */
#define CK_CROWD(name, ring_name, mode, suffix, message_type)                                                          \
    SPSC_INLINE bool name##_push(struct ring_name *queue, message_type *message)                                       \
    {                                                                                                                  \
        return ck_ring_enqueue_##mode##_##suffix(&queue->ring, queue->slots, message);                                 \
    }                                                                                                                  \
    SPSC_INLINE bool name##_pop(struct ring_name *queue, message_type *message)                                        \
    {                                                                                                                  \
        return ck_ring_dequeue_##mode##_##suffix(&queue->ring, queue->slots, message);                                 \
    }                                                                                                                  \
    CROWD_ONE_BY_ONE(name, struct ring_name, struct ring_name, message_type)                                           \
    CROWD_COPYING(name, struct ring_name, struct ring_name, message_type)

CK_RING(ck_8, struct spsc_message_8)
CK_RING(ck_64, struct spsc_message_64)
CK_CROWD(ck_mpsc_8, ck_8, mpsc, message_8, struct spsc_message_8)
CK_CROWD(ck_mpsc_64, ck_64, mpsc, message_64, struct spsc_message_64)
CK_CROWD(ck_spmc_8, ck_8, spmc, message_8, struct spsc_message_8)
CK_CROWD(ck_spmc_64, ck_64, spmc, message_64, struct spsc_message_64)
CK_CROWD(ck_mpmc_8, ck_8, mpmc, message_8, struct spsc_message_8)
CK_CROWD(ck_mpmc_64, ck_64, mpmc, message_64, struct spsc_message_64)

#define CK_ENTRY(shape, loops, size)                                                                                   \
    {                                                                                                                  \
        .name = "ck_ring", .shapes = CROWD_IN(shape), .message_bytes = size, .open = ck_##size##_open_queue,           \
        .close = free, .forms = {                                                                                      \
            CROWD_LOOPS_OF(loops##_single),                                                                            \
            CROWD_LOOPS_OF(loops##_batched)                                                                            \
        }                                                                                                              \
    }

const struct crowd_implementation crowd_ck[] = {
    CK_ENTRY(CROWD_MPSC, ck_mpsc_8, 8),
    CK_ENTRY(CROWD_MPSC, ck_mpsc_64, 64),
    CK_ENTRY(CROWD_SPMC, ck_spmc_8, 8),
    CK_ENTRY(CROWD_SPMC, ck_spmc_64, 64),
    CK_ENTRY(CROWD_MPMC, ck_mpmc_8, 8),
    CK_ENTRY(CROWD_MPMC, ck_mpmc_64, 64),
    {0},
};
