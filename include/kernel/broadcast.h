/**
 * @file broadcast.h
 * A bounded queue of messages of one type from one producer thread to consumer threads that each see every message.
 *
 * Use it to hand typed messages between cores, in place (claim, write, publish; peek, read, release) or by value;
 * with several producers define a queue by KN_QUEUE_DEFINE. Full and empty are answered with -EAGAIN, nothing
 * allocates, locks or enters the system but the forms that wait. The producer is wait-free but for the search for the
 * slowest consumer, bounded by their number; consumers are wait-free. Consumers join and leave while it runs, see every
 * message from then on, may come after others (pipeline), compete in groups, and choose what becomes of them when they
 * lag: see struct kn_reader_options. What is published while nobody reads is forgotten. The producer is
 * queue->producer.
 *
 * cursor.h says how it works, queue.h what is defined, models/broadcast.pml holds the protocol as a model that Spin
 * exhausts.
 */
#ifndef KERNEL_BROADCAST_H
#define KERNEL_BROADCAST_H

#include <kernel/queue.h>

/** Defines `struct name` and its functions for messages of `type`; least latency. */
#define KN_BROADCAST_DEFINE(name, type)                                                                                \
    KN_QUEUE_DEFINE(name, type, KN_LAYOUT_SEQUENCED, KN_WRITER_EXCLUSIVE, KN_READERS_JOIN)

/** The same in the dense layout: most throughput in batches, and for messages of a cache line or more. */
#define KN_BROADCAST_DENSE_DEFINE(name, type)                                                                          \
    KN_QUEUE_DEFINE(name, type, KN_LAYOUT_DENSE, KN_WRITER_EXCLUSIVE, KN_READERS_JOIN)

#endif
