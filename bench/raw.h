/*
 * The raw transfer of cache lines between two cores: what the hardware asks for a message, without any queue.
 *
 * Half a ping-pong of two pinned threads that wait with the pause instruction, over lines that both know; the yardstick
 * of everything that hands messages from core to core.
 */
#ifndef BENCH_RAW_H
#define BENCH_RAW_H

#include "bench.h"

enum raw_case {
    RAW_ONE_LINE_SHARED,    /* both directions write the same line */
    RAW_LINE_EACH_WAY,      /* a line for each direction: what two one-way queues cannot go below */
    RAW_LINE_PAIR_EACH_WAY, /* 64 bytes of payload and the line of its flag: what a 64-byte message needs */
    RAW_CASES
};

extern const char *const raw_case_names[RAW_CASES];

/* Nanoseconds one way, over `round_trips`, which take *elapsed_ns in all. */
double raw_transfer_ns(struct bench_pair *pair, enum raw_case raw_case, uint64_t round_trips, double *elapsed_ns);

#endif
