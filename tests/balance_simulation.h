/*
 * A machine that exists only in numbers, with the very functions of kernel/balance.h in it: cores that run turns of
 * tasks, look at their bus between turns, ask, give, shed, fall asleep and are woken, in virtual nanoseconds.
 *
 * Use it to choose a policy and to hold one to its promises. It is event-driven and has one thread, no clock and no
 * chance but that of its seed: the same options give the same trace, whose hash is in the result.
 *
 * What is modelled: eight cores share a cache, eight caches a package; a message takes 100, 200 or 400 ns in between
 * and costs its sender 50 ns and 4 ns a task; a core that sleeps is woken by a message, 20 us later, for 1.5 us of the
 * sender's time. A turn ends after turn_tasks tasks or after 100 us, whichever
 * is first, and after each look_tasks tasks if a message has come. A core without
 * work looks around after 1, 2, 4 ... 64 us and sleeps after 127 us; where nobody sheds, nobody sleeps. What is not:
 * caches. A task takes as long wherever it runs.
 */
#ifndef BALANCE_SIMULATION_H
#define BALANCE_SIMULATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <kernel/balance.h>

enum simulation_policy {
    POLICY_NONE,   /* every core keeps its own */
    POLICY_STEAL,  /* only thieves ask */
    POLICY_SHED,   /* only givers send */
    POLICY_BOTH,   /* as the library does */
    POLICY_RANDOM, /* both, but any core is as near as the next */
    POLICY_ONE,    /* both, but a thief gets one task */
    POLICY_LATE,   /* both, but a thief asks only when it has nothing left */
    POLICY_TURN,   /* both, but a core looks at its bus only when a turn is over */
    POLICIES,
};

enum simulation_workload {
    WORKLOAD_SKEW,     /* all on core 0 at first; exponential, 1 us on average */
    WORKLOAD_TAIL,     /* the same, Pareto: most are short, one in 30,000 takes longer than 300 us */
    WORKLOAD_LONG,     /* the same, 2 ms each, and few */
    WORKLOAD_POISSON,  /* all arrive at core 0, at 80 % of what the machine can do */
    WORKLOAD_BURST,    /* 256 a core arrive at once at some core, 60 % of what the machine can do on average */
    WORKLOAD_FORK,     /* a binary tree whose root is on core 0 */
    WORKLOAD_PRIORITY, /* every core has much of the classes 5 to 7; bursts of class 0 come to some core */
    WORKLOAD_PINNED,   /* skew; every core has as much again that is pinned to it */
    WORKLOAD_UNEQUAL,  /* skew; every second core has a quarter of the speed */
    WORKLOAD_STALL,    /* skew; an eighth of the cores stand still for 2 ms from 50 us on */
    WORKLOAD_RENEW,    /* three tasks a core, all on core 0 at first, each of which starts anew when it ends */
    WORKLOAD_FEW,      /* the same, with three tasks for each four cores */
    WORKLOADS,
};

struct simulation_options {
    uint32_t cores;
    enum simulation_policy policy;
    enum simulation_workload workload;
    uint64_t seed;
    uint64_t tasks; /* about how many in all; 0: the workload's own number */
    struct kn_balance_options balance;
};

struct simulation_result {
    uint64_t trace_hash;
    uint64_t tasks;      /* that ran */
    uint64_t lost;       /* that should have run and did not, or ran twice: 0 */
    uint64_t broken;     /* pinned tasks that moved, transfers above the limit or the half: 0 */
    double makespan_ns;  /* when the last ended */
    double ideal_ns;     /* no schedule ends earlier than this */
    double spread_ns;    /* when the last core began its first task; the makespan where one never did */
    double idle_share;   /* of the cores' time, while more waited than two turns of all of them */
    double wait_mean_ns; /* from being ready to starting */
    double wait_p99_ns;  /* to an eighth */
    double moves_mean;   /* transfers a task */
    uint32_t moves_max;  /* of one task */
    double settled_ns;   /* when the last task moved */
    uint64_t steals;     /* chains given to thieves */
    uint64_t asks;       /* questions of thieves */
    uint64_t sheds;      /* chains sent unasked */
    uint64_t wakes;      /* of sleeping cores */
    double
        inverted_max_ns; /* longest time that a task waited from which on a less urgent one was yet begun elsewhere */
    double inverted_mean_ns; /* the same over all tasks of the most urgent class */
};

/* How a turn's length bounds what is measured, and how long messages take at most. */
enum { SIMULATION_TURN_NS = 100000, SIMULATION_LATENCY_MAX_NS = 400, SIMULATION_WAKE_NS = 20000 };

extern const char *const simulation_policy_names[POLICIES];
extern const char *const simulation_workload_names[WORKLOADS];

/* Runs one machine to its end. 0, -EINVAL or -ENOMEM. */
int simulation_run(const struct simulation_options *options, struct simulation_result *result);

#endif
