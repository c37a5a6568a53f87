/*
 * What the implementations of the suite of tasks have in common: its cases, and the work that their tasks do.
 *
 * An implementation enters by a function that does the whole of a case once and answers how long that took. The work
 * itself (a node of the tree, a task's two microseconds) is one text for all.
 */
#ifndef BENCH_TASK_CELLS_H
#define BENCH_TASK_CELLS_H

#include <stddef.h>
#include <stdint.h>

#include "bench.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TASK_INLINE static inline __attribute__((always_inline, unused))

/* Children of each inner node of Skynet. */
#define TASK_SKYNET_FAN 10
/* Tasks spawned before any of them runs. */
#define TASK_BATCH 64
/* Of one task of `balance`. */
#define TASK_BALANCE_NS 2000
/* Cores of one case at most. */
#define TASK_CORES_MAX 2

enum task_case {
    TASK_SPAWN_RUN,     /* size: tasks */
    TASK_PING_PONG_ONE, /* size: switches */
    TASK_PING_PONG_TWO, /* size: wake-ups, both ways together */
    TASK_SKYNET_ONE,    /* size: leaves, a power of TASK_SKYNET_FAN; on one core */
    TASK_SKYNET_TWO,    /* on two */
    TASK_TREE_ONE,      /* size: depth of the tree */
    TASK_TREE_TWO,      /* on two */
    TASK_BALANCE,       /* size: tasks */
    TASK_CASES
};

/* What the answer of a run must be. */
struct task_size {
    uint64_t size;   /* as the case says */
    uint64_t result; /* sum or number, where the case has one */
};

struct task_implementation {
    const char *name; /* NULL: ends a list */
    enum bench_role role;
    enum task_case test_case;
    void *(*open)(const struct bench_options *options); /* NULL when it fails */
    void (*close)(void *context);
    /* How long it took, in ns. *result: what was summed or counted. */
    double (*run)(void *context, uint64_t size, uint64_t *result);
};

extern const struct task_implementation task_kernel[];
extern const struct task_implementation task_reference[];
extern const struct task_implementation task_tbb[];
extern const struct task_implementation task_urcu[];

/* --- Skynet ------------------------------------------------------------------------------------------------ */

/* Sum of the numbers of all leaves. */
TASK_INLINE uint64_t task_skynet_sum(uint64_t leaves)
{
    return leaves * (leaves - 1) / 2;
}

/* Tasks: leaves and inner nodes. */
TASK_INLINE uint64_t task_skynet_tasks(uint64_t leaves)
{
    return (leaves * TASK_SKYNET_FAN - 1) / (TASK_SKYNET_FAN - 1);
}

/* --- Unbalanced tree (task_work.c) ------------------------------------------------------------------------- */

#define TASK_TREE_ROOT_SEED 19
#define TASK_TREE_FAN 4.0
/* Depth of the tree T1, and its nodes as published. */
#define TASK_TREE_DEPTH 10
#define TASK_TREE_NODES UINT64_C(4130071)

/* The random state of a node: a digest. */
struct task_tree_node {
    uint32_t digest[5];
    uint32_t height; /* 0: the root */
};

/* The root of the tree. */
void task_tree_root(struct task_tree_node *root);

/* Child number `index` of a node. */
void task_tree_child(struct task_tree_node *child, const struct task_tree_node *parent, uint32_t index);

/* How many children a node of a tree of that depth has: nearly always below 50. */
uint32_t task_tree_children(const struct task_tree_node *node, uint64_t depth);

/* Nodes of the tree, counted by recursion. */
uint64_t task_tree_count(const struct task_tree_node *node, uint64_t depth);

/* --- Time (task_work.c) ------------------------------------------------------------------------------------ */

/* Sets up what is in task_work.c. Before everything else here. */
void task_work_open(void);

/* The time, the same on all cores: from the processor's counter, or where that is of no use from the system. */
uint64_t task_clock_ns(void);

/* Keeps the core busy for so long. */
void task_spin(uint64_t duration_ns);

/* --- Latency of wake-ups (task_wake.c) --------------------------------------------------------------------- */

struct task_wake;

/* What wakes the task. */
enum task_waker { TASK_WAKER_CORE, TASK_WAKER_TIMER, TASK_WAKERS };

/* Two reactors: the caller's own, on the first core, and the one that is woken, on the second. 0 or -errno. */
int task_wake_open(struct task_wake **wake, const struct bench_options *options);
void task_wake_close(struct task_wake *wake);

/* Wakes a task of class 0 as often, with or without tasks of class 7 that keep its core busy, and writes the time from
 * each wake-up to its poll. */
void task_wake_measure(struct task_wake *wake, enum task_waker waker, bool loaded, double *latency_ns, size_t count);

#ifdef __cplusplus
}
#endif

#endif
