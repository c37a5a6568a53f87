/**
 * @file mpmc.h
 * A bounded queue of messages of one type from several producer threads to several consumer threads, each message to
 * one of them.
 *
 * Use it to hand typed messages between cores, in place (claim, write, publish; peek, read, release) or by value;
 * for priorities take priority.h. Full and empty are answered with -EAGAIN, nothing allocates, locks
 * or enters the system but the forms that wait. Both ends are lock-free and each thread joins its end. Messages are
 * taken in the order of their claims, those of one producer in its order, and may be released in any.
 *
 * cursor.h says how it works, queue.h what is defined, models/mpmc.pml holds the protocol as a model that Spin
 * exhausts.
 */
#ifndef KERNEL_MPMC_H
#define KERNEL_MPMC_H

#include <kernel/queue.h>

/** Defines `struct name` and its functions for messages of `type`; least latency. */
#define KN_MPMC_DEFINE(name, type) KN_QUEUE_DEFINE(name, type, KN_LAYOUT_SEQUENCED, KN_WRITERS_SHARED, KN_READERS_GROUP)

/** The same in the dense layout: most throughput in batches, and for messages of a cache line or more. */
#define KN_MPMC_DENSE_DEFINE(name, type)                                                                               \
    KN_QUEUE_DEFINE(name, type, KN_LAYOUT_DENSE, KN_WRITERS_SHARED, KN_READERS_GROUP)

#endif
