/*
 * DPDK's rte_ring of elements, single producer and single consumer, with its bulk, burst and zero-copy forms.
 */
#include <rte_ring_elem.h>
#include <rte_ring_peek_zc.h>

#include "fan.h"
#include "rte_open.h"

#define RTE_QUEUE(name, message_type)                                                                                  \
    static void *name##_open_queue(void)                                                                               \
    {                                                                                                                  \
        return rte_open(sizeof(message_type), RING_F_SP_ENQ | RING_F_SC_DEQ);                                          \
    }                                                                                                                  \
    static void name##_close_queue(void *queue)                                                                        \
    {                                                                                                                  \
        free(queue);                                                                                                   \
    }                                                                                                                  \
    SPSC_INLINE bool name##_push(struct rte_ring *ring, message_type *message)                                         \
    {                                                                                                                  \
        return rte_ring_sp_enqueue_elem(ring, message, sizeof(*message)) == 0;                                         \
    }                                                                                                                  \
    SPSC_INLINE bool name##_pop(struct rte_ring *ring, message_type *message)                                          \
    {                                                                                                                  \
        return rte_ring_sc_dequeue_elem(ring, message, sizeof(*message)) == 0;                                         \
    }                                                                                                                  \
    SPSC_INLINE size_t name##_push_many(struct rte_ring *ring, message_type *messages, size_t count)                   \
    {                                                                                                                  \
        return rte_ring_sp_enqueue_burst_elem(ring, messages, sizeof(*messages), (unsigned)count, NULL);               \
    }                                                                                                                  \
    SPSC_INLINE size_t name##_pop_many(struct rte_ring *ring, message_type *messages, size_t count)                    \
    {                                                                                                                  \
        return rte_ring_sc_dequeue_burst_elem(ring, messages, sizeof(*messages), (unsigned)count, NULL);               \
    }                                                                                                                  \
    SPSC_INLINE size_t name##_put(struct rte_ring *ring, uint64_t sequence, size_t count)                              \
    {                                                                                                                  \
        struct rte_ring_zc_data data;                                                                                  \
        unsigned done =                                                                                                \
            rte_ring_enqueue_zc_burst_elem_start(ring, sizeof(message_type), (unsigned)count, &data, NULL);            \
        if (done == 0)                                                                                                 \
            return 0;                                                                                                  \
        message_type *first = data.ptr1;                                                                               \
        message_type *second = data.ptr2;                                                                              \
        for (size_t i = 0; i < data.n1; i++)                                                                           \
            spsc_fill(first[i].words, sizeof(message_type), sequence + i);                                             \
        for (size_t i = data.n1; i < done; i++)                                                                        \
            spsc_fill(second[i - data.n1].words, sizeof(message_type), sequence + i);                                  \
        rte_ring_enqueue_zc_elem_finish(ring, done);                                                                   \
        return done;                                                                                                   \
    }                                                                                                                  \
    SPSC_INLINE size_t name##_take(struct rte_ring *ring, uint64_t sequence, size_t count, uint64_t *wrong)            \
    {                                                                                                                  \
        struct rte_ring_zc_data data;                                                                                  \
        unsigned done =                                                                                                \
            rte_ring_dequeue_zc_burst_elem_start(ring, sizeof(message_type), (unsigned)count, &data, NULL);            \
        if (done == 0)                                                                                                 \
            return 0;                                                                                                  \
        const message_type *first = data.ptr1;                                                                         \
        const message_type *second = data.ptr2;                                                                        \
        for (size_t i = 0; i < data.n1; i++)                                                                           \
            *wrong += spsc_wrong(first[i].words, sizeof(message_type), sequence + i);                                  \
        for (size_t i = data.n1; i < done; i++)                                                                        \
            *wrong += spsc_wrong(second[i - data.n1].words, sizeof(message_type), sequence + i);                       \
        rte_ring_dequeue_zc_elem_finish(ring, done);                                                                   \
        return done;                                                                                                   \
    }                                                                                                                  \
    SPSC_COPYING(name, struct rte_ring, message_type)                                                                  \
    SPSC_IN_PLACE(name, struct rte_ring)

RTE_QUEUE(rte_8, struct spsc_message_8)
RTE_QUEUE(rte_64, struct spsc_message_64)
RTE_QUEUE(rte_512, struct spsc_message_512)

const struct spsc_implementation spsc_rte[] = {
    SPSC_IMPLEMENTATION("rte_ring", rte_8, struct spsc_message_8),
    SPSC_IMPLEMENTATION("rte_ring", rte_64, struct spsc_message_64),
    SPSC_IMPLEMENTATION("rte_ring", rte_512, struct spsc_message_512),
    {0},
};

FAN(rte_fan_8, rte_8, struct rte_ring, struct spsc_message_8)
FAN(rte_fan_64, rte_64, struct rte_ring, struct spsc_message_64)

const struct crowd_implementation crowd_fan_rte[] = {
    FAN_ENTRIES("rte_ring", rte_fan_8, struct spsc_message_8),
    FAN_ENTRIES("rte_ring", rte_fan_64, struct spsc_message_64),
    {0},
};
