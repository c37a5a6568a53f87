/*
 * DPDK's rte_ring of elements in each of its modes of synchronisation: the default one, relaxed tail (RTS) and head
 * and tail together (HTS). The end that one thread owns is single producer or single consumer in all of them.
 *
 * Single messages go through the bulk form with a count of 1, which is what rte_ring_enqueue_elem does too; batches
 * through the burst form.
 */
#include "rte_open.h"

#include "../crowd_loops.h"

/* `enqueue` and `dequeue` are the beginnings of the functions' names, `flags` what makes them the ring's default. */
#define RTE_CROWD(name, enqueue, dequeue, flags, message_type)                                                         \
    static void *name##_open_queue(const struct crowd_setup *setup)                                                    \
    {                                                                                                                  \
        (void)setup;                                                                                                   \
        return rte_open(sizeof(message_type), flags);                                                                  \
    }                                                                                                                  \
    static void name##_close_queue(void *queue)                                                                        \
    {                                                                                                                  \
        free(queue);                                                                                                   \
    }                                                                                                                  \
    SPSC_INLINE bool name##_push(struct rte_ring *ring, message_type *message)                                         \
    {                                                                                                                  \
        return enqueue##_bulk_elem(ring, message, sizeof(*message), 1, NULL) == 1;                                     \
    }                                                                                                                  \
    SPSC_INLINE bool name##_pop(struct rte_ring *ring, message_type *message)                                          \
    {                                                                                                                  \
        return dequeue##_bulk_elem(ring, message, sizeof(*message), 1, NULL) == 1;                                     \
    }                                                                                                                  \
    SPSC_INLINE size_t name##_push_many(struct rte_ring *ring, message_type *messages, size_t count)                   \
    {                                                                                                                  \
        return enqueue##_burst_elem(ring, messages, sizeof(*messages), (unsigned)count, NULL);                         \
    }                                                                                                                  \
    SPSC_INLINE size_t name##_pop_many(struct rte_ring *ring, message_type *messages, size_t count)                    \
    {                                                                                                                  \
        return dequeue##_burst_elem(ring, messages, sizeof(*messages), (unsigned)count, NULL);                         \
    }                                                                                                                  \
    CROWD_COPYING(name, struct rte_ring, struct rte_ring, message_type)

#define RTE_CROWDS(name, enqueue, dequeue, flags)                                                                      \
    RTE_CROWD(name##_8, enqueue, dequeue, flags, struct spsc_message_8)                                                \
    RTE_CROWD(name##_64, enqueue, dequeue, flags, struct spsc_message_64)

RTE_CROWDS(mpsc_default, rte_ring_mp_enqueue, rte_ring_sc_dequeue, RING_F_SC_DEQ)
RTE_CROWDS(mpsc_rts, rte_ring_mp_rts_enqueue, rte_ring_sc_dequeue, RING_F_MP_RTS_ENQ | RING_F_SC_DEQ)
RTE_CROWDS(mpsc_hts, rte_ring_mp_hts_enqueue, rte_ring_sc_dequeue, RING_F_MP_HTS_ENQ | RING_F_SC_DEQ)
RTE_CROWDS(spmc_default, rte_ring_sp_enqueue, rte_ring_mc_dequeue, RING_F_SP_ENQ)
RTE_CROWDS(spmc_rts, rte_ring_sp_enqueue, rte_ring_mc_rts_dequeue, RING_F_SP_ENQ | RING_F_MC_RTS_DEQ)
RTE_CROWDS(spmc_hts, rte_ring_sp_enqueue, rte_ring_mc_hts_dequeue, RING_F_SP_ENQ | RING_F_MC_HTS_DEQ)
RTE_CROWDS(mpmc_default, rte_ring_mp_enqueue, rte_ring_mc_dequeue, 0)
RTE_CROWDS(mpmc_rts, rte_ring_mp_rts_enqueue, rte_ring_mc_rts_dequeue, RING_F_MP_RTS_ENQ | RING_F_MC_RTS_DEQ)
RTE_CROWDS(mpmc_hts, rte_ring_mp_hts_enqueue, rte_ring_mc_hts_dequeue, RING_F_MP_HTS_ENQ | RING_F_MC_HTS_DEQ)

#define RTE_ENTRIES(shown_name, shape, name)                                                                           \
    CROWD_IMPLEMENTATION(shown_name, CROWD_IN(shape), name##_8, struct spsc_message_8),                                \
        CROWD_IMPLEMENTATION(shown_name, CROWD_IN(shape), name##_64, struct spsc_message_64)

const struct crowd_implementation crowd_rte[] = {
    RTE_ENTRIES("rte_ring", CROWD_MPSC, mpsc_default), RTE_ENTRIES("rte_ring-rts", CROWD_MPSC, mpsc_rts),
    RTE_ENTRIES("rte_ring-hts", CROWD_MPSC, mpsc_hts), RTE_ENTRIES("rte_ring", CROWD_SPMC, spmc_default),
    RTE_ENTRIES("rte_ring-rts", CROWD_SPMC, spmc_rts), RTE_ENTRIES("rte_ring-hts", CROWD_SPMC, spmc_hts),
    RTE_ENTRIES("rte_ring", CROWD_MPMC, mpmc_default), RTE_ENTRIES("rte_ring-rts", CROWD_MPMC, mpmc_rts),
    RTE_ENTRIES("rte_ring-hts", CROWD_MPMC, mpmc_hts), {0},
};
