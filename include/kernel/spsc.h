/**
 * @file spsc.h
 * A bounded queue of messages of one type from one producer thread to one consumer thread.
 *
 * Use it to hand typed messages between cores, in place (claim, write, publish; peek, read, release) or by value;
 * for messages of varying size take spsc_bytes.h. Full and empty are answered with -EAGAIN, nothing allocates, locks
 * or enters the system but the forms that wait. Every operation is wait-free. Both ends belong to the queue:
 * queue->producer and queue->consumer.
 *
 * cursor.h says how it works, queue.h what is defined, models/spsc.pml holds the protocol as a model that Spin
 * exhausts.
 */
#ifndef KERNEL_SPSC_H
#define KERNEL_SPSC_H

#include <kernel/queue.h>

/** Defines `struct name` and its functions for messages of `type`; least latency. */
#define KN_SPSC_DEFINE(name, type)                                                                                     \
    KN_QUEUE_DEFINE(name, type, KN_LAYOUT_SEQUENCED, KN_WRITER_EXCLUSIVE, KN_READER_EXCLUSIVE)

/** The same in the dense layout: most throughput in batches, and for messages of a cache line or more. */
#define KN_SPSC_DENSE_DEFINE(name, type)                                                                               \
    KN_QUEUE_DEFINE(name, type, KN_LAYOUT_DENSE, KN_WRITER_EXCLUSIVE, KN_READER_EXCLUSIVE)

#endif
