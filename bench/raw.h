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

/* How many round trips fill a slice, found out on the way. The zero value is a beginning. */
struct raw_pace {
    uint64_t round_trips[RAW_CASES];
};

/* Nanoseconds one way, over about slice_seconds but for the first time. */
double raw_transfer_ns(struct raw_pace *pace, struct bench_team *team, enum raw_case raw_case, double slice_seconds);

/* The yardsticks of a ping-pong: *line_ns, and for messages as large as a line *pair_ns, which else is NAN. */
void raw_measure_lines(struct raw_pace *pace, struct bench_team *team, size_t message_bytes, double slice_seconds,
                       double *line_ns, double *pair_ns);

#endif
