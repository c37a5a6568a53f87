/**
 * @file spmc.h
 * A bounded queue of messages of one type from one producer thread to several consumer threads, each message to one of
 * them.
 *
 * Use it to hand typed messages between cores, in place (claim, write, publish; peek, read, release) or by value;
 * for every message to every consumer take broadcast.h. Full and empty are answered with -EAGAIN, nothing allocates,
 * locks or enters the system but the forms that wait. The producer is wait-free but for the search for the slowest
 * consumer, bounded by their number; consumers are lock-free. Each consumer joins; the other end is queue->producer.
 * Messages are taken in order and may be released in any.
 *
 * cursor.h says how it works, queue.h what is defined, models/spmc.pml holds the protocol as a model that Spin
 * exhausts.
 */
#ifndef KERNEL_SPMC_H
#define KERNEL_SPMC_H

#include <kernel/queue.h>

/** Defines `struct name` and its functions for messages of `type`; least latency. */
#define KN_SPMC_DEFINE(name, type)                                                                                     \
    KN_QUEUE_DEFINE(name, type, KN_LAYOUT_SEQUENCED, KN_WRITER_EXCLUSIVE, KN_READERS_GROUP)

/** The same in the dense layout: most throughput in batches, and for messages of a cache line or more. */
#define KN_SPMC_DENSE_DEFINE(name, type)                                                                               \
    KN_QUEUE_DEFINE(name, type, KN_LAYOUT_DENSE, KN_WRITER_EXCLUSIVE, KN_READERS_GROUP)

#endif
