/*
 * An rte_ring of elements placed by rte_ring_init in memory of our own, so that neither huge pages nor the environment
 * layer are needed. A ring of n slots holds n - 1 messages. free() it.
 */
#ifndef BENCH_PEERS_RTE_OPEN_H
#define BENCH_PEERS_RTE_OPEN_H

#include <stdlib.h>

#include <rte_ring_elem.h>

#include "../bench.h"
#include "../spsc_loops.h"

/* `flags` choose the mode of each end: RING_F_SP_ENQ ... NULL when the ring refuses them. */
static inline struct rte_ring *rte_open(size_t message_bytes, unsigned flags)
{
    ssize_t length_bytes = rte_ring_get_memsize_elem((unsigned)message_bytes, SPSC_CAPACITY_SLOTS);
    if (length_bytes < 0)
        return NULL;
    struct rte_ring *ring = bench_allocate((size_t)length_bytes);
    if (rte_ring_init(ring, "bench", SPSC_CAPACITY_SLOTS, flags) != 0) {
        free(ring);
        return NULL;
    }
    return ring;
}

#endif
