/**
 * @file barrier.h
 * A place where tasks wait for one another until so many are there.
 *
 * Use it for work in steps that all must have finished before any goes on. It guarantees that all are let go together,
 * that one of them is told to be the leader, that the barrier is as new for the next ones, and that a task that is
 * dropped while it waits counts no more. For threads that may block there is pthread_barrier_t.
 *
 * Zeroed memory is a barrier of one task, which holds off nobody. The memory stays until no call on it is under way and
 * no future of it waits.
 *
 * Source: tokio's Barrier, but that a dropped task leaves it.
 */
#ifndef KERNEL_BARRIER_H
#define KERNEL_BARRIER_H

#include <kernel/future.h>
#include <kernel/wait_list.h>

/** A barrier. Fields are private. Invariant: fewer than `tasks` wait while the line's lock is not held. */
struct kn_barrier {
    uint32_t tasks; /* that are let go together; 0 is like 1 */
    struct kn_wait_list waiters;
};

/** A barrier of so many tasks, for definitions. */
#define KN_BARRIER_INIT(count)                                                                                         \
    {                                                                                                                  \
        .tasks = (count)                                                                                               \
    }

/** Makes one of any memory. */
void kn_barrier_init(struct kn_barrier *barrier, uint32_t tasks);

/** Waits for the others. */
struct kn_barrier_wait {
    struct kn_future future; /* first */
    struct kn_barrier *barrier;
    struct kn_wait_node node; /* in the line */
};

/**
 * Answers once as many have come as the barrier is for: with 1 the last of them, the leader, and with 0 the others.
 * What each wrote before is visible to all. `barrier` NULL: NULL.
 */
struct kn_future *kn_barrier_wait(struct kn_barrier_wait *self, struct kn_barrier *barrier);

#endif
