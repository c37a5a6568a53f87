/*
 * What one implementation does in one case of the suites of crowd_loops.h: opens its queue, lets every thread or
 * process hold its end, runs slices and checks that no message was lost, doubled or put out of order.
 */
#ifndef BENCH_CROWD_CELL_H
#define BENCH_CROWD_CELL_H

#include "bench.h"
#include "crowd_loops.h"

#include <kernel/atomic.h>

#define CROWD_CELLS_MAX 20

struct crowd {
    unsigned producers;
    unsigned consumers; /* 0 ends a list */
    enum crowd_shape shape;
};

struct crowd_cell {
    KN_OWNED uint64_t left; /* messages of this slice that no consumer took yet */
    KN_OWNED const struct crowd_implementation *implementation;
    const struct crowd_case *test_case;
    struct crowd_run *run; /* the suite's */
    enum bench_role role;
    bool processes;    /* one for each end, and no threads */
    uint32_t attempts; /* before a thread that waits yields */
    void *there;
    void *back;               /* latency only */
    struct crowd_part *parts; /* of the producers, then of the consumers; of a ping-pong, the two sides */
    uint64_t count;           /* items that fill a slice */
    double value_ns;          /* of this round, one item */
};

struct crowd_case {
    char name[48];
    bool latency; /* a ping-pong over two queues */
    size_t message_bytes;
    enum crowd_form form;
    struct crowd crowd;
    struct crowd_cell cells[CROWD_CELLS_MAX];
    size_t cell_count;
};

/* Threads, or processes, that work at once. */
size_t crowd_case_members(const struct crowd_case *test_case);

/*
 * What all cells of a suite share, and the alarm that ends a slice which takes far too long: where a thread that holds
 * others up is not running, some queues come to a standstill for as long as the system lets the others wait for it.
 */
struct crowd_run *crowd_run_open(void);
void crowd_run_close(struct crowd_run *run);

/* Opens the queue of a cell whose implementation, run, role and kind are set. 0, or -ENOMEM, told on standard error. */
int crowd_cell_open(struct crowd_cell *cell, const struct crowd_case *test_case, const struct bench_options *options);

/* Frees the queue. Nobody may hold an end any more. */
void crowd_cell_close(struct crowd_cell *cell);

/* Lets everybody take hold of its end, processes in their own memory. 0, or -ENOMEM, told on standard error. */
int crowd_cell_hold(struct crowd_cell *cell, struct bench_team *processes);
void crowd_cell_drop(struct crowd_cell *cell, struct bench_team *processes);

/* Runs a slice, and notes its value and how much fills the next. 0, or -EBADMSG, told on standard error. */
int crowd_cell_measure(struct crowd_cell *cell, struct bench_team *team, double slice_seconds);

#endif
