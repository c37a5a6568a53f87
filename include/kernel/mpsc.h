/**
 * @file mpsc.h
 * A bounded queue of messages of one type from several producer threads to one consumer thread.
 *
 * Use it to hand typed messages between cores, in place (claim, write, publish; peek, read, release) or by value;
 * for an unbounded queue of nodes that the caller owns take mailbox.h. Full and empty are answered with -EAGAIN,
 * nothing allocates, locks or enters the system but the forms that wait. Producers are lock-free, the consumer is
 * wait-free. Each producer joins; the other end is queue->consumer. Messages of one producer arrive in their order.
 *
 * cursor.h says how it works, queue.h what is defined, models/mpsc.pml holds the protocol as a model that Spin
 * exhausts.
 */
#ifndef KERNEL_MPSC_H
#define KERNEL_MPSC_H

#include <kernel/queue.h>

/** Defines `struct name` and its functions for messages of `type`; least latency. */
#define KN_MPSC_DEFINE(name, type)                                                                                     \
    KN_QUEUE_DEFINE(name, type, KN_LAYOUT_SEQUENCED, KN_WRITERS_SHARED, KN_READER_EXCLUSIVE)

/** The same in the dense layout: most throughput in batches, and for messages of a cache line or more. */
#define KN_MPSC_DENSE_DEFINE(name, type)                                                                               \
    KN_QUEUE_DEFINE(name, type, KN_LAYOUT_DENSE, KN_WRITERS_SHARED, KN_READER_EXCLUSIVE)

#endif
