/**
 * @file broadcast_channel.h
 * A bounded channel of which every receiver gets every value, or is told how many it has missed.
 *
 * Use it for events that several tasks follow: each has its own position and waits for itself; where only the newest
 * value matters take watch.h, between threads that must not lose a message, or for messages larger than a word, a
 * sector with broadcast readers (broadcast.h, stream_queue.h). It guarantees that a receiver gets the values in their
 * order, that sending never waits for a slow receiver, and that such a one learns of its loss.
 *
 *        slots   | 17 | 18 | 15 | 16 |       a ring of the caller's: the last values, the oldest is overwritten
 *                        ^ next
 *
 * Values are seen by many and belong to none: numbers, or pointers to what outlives the channel. All of it is done
 * under the lock of the line of receivers.
 *
 * Source: tokio's broadcast.
 */
#ifndef KERNEL_BROADCAST_CHANNEL_H
#define KERNEL_BROADCAST_CHANNEL_H

#include <kernel/sink.h>
#include <kernel/wait_list.h>

/** A channel. Fields are private. It must outlive its receivers. */
struct kn_broadcast_channel {
    struct kn_wait_list line; /* receivers that have got all; its lock is that of all the rest */
    kn_value_t *slots;        /* the caller's: value number n is in slot n modulo capacity */
    size_t capacity;          /* of them */
    bool closed;
    uint64_t next; /* number of the next value */
};

/** A receiver. One thread at a time. Fields are private. */
struct kn_broadcast_receiver {
    struct kn_broadcast_channel *channel;
    uint64_t next; /* number of the value that it gets next */
    uint64_t lost; /* of all that it has missed */
};

/** Makes a channel of `capacity` slots (above zero) of the caller's. Handing it to another thread must itself be
 * ordered. */
void kn_broadcast_channel_init(struct kn_broadcast_channel *channel, kn_value_t *slots, size_t capacity);

/** Sends a value, over the oldest where the ring is full, and wakes all who wait. Any thread.
 * @return 0, or -EPIPE when the channel is closed. */
int kn_broadcast_channel_send(struct kn_broadcast_channel *channel, kn_value_t value);

/** Ends it: receivers get what they have not got yet, then the end. Any thread. */
void kn_broadcast_channel_close(struct kn_broadcast_channel *channel);

/** Makes a receiver of all values that are sent from now on. Any thread. */
void kn_broadcast_channel_subscribe(struct kn_broadcast_receiver *receiver, struct kn_broadcast_channel *channel);

/**
 * Receives without waiting.
 * @return 0; -EAGAIN when there is nothing new; -EOVERFLOW when values were lost: the next call gets the oldest one
 * that is left; -EPIPE at the end.
 */
int kn_broadcast_channel_try_receive(struct kn_broadcast_receiver *receiver, kn_value_t *value);

/** How many values this receiver has missed so far. */
uint64_t kn_broadcast_receiver_lost(const struct kn_broadcast_receiver *receiver);

/** Waits for a value. Private. */
struct kn_future_broadcast_receive {
    struct kn_future future;                /* first */
    struct kn_broadcast_receiver *receiver; /* lent */
    struct kn_wait_node node;               /* in the line */
};

/** Answers with the receiver's next value, or the status KN_END; or fails with -EOVERFLOW, as above. */
struct kn_future *kn_future_broadcast_receive(struct kn_future_broadcast_receive *self,
                                              struct kn_broadcast_receiver *receiver);

/** A receiver as a stream. Private. */
struct kn_stream_broadcast {
    struct kn_stream stream;                    /* first */
    struct kn_broadcast_receiver receiver;      /* of its own */
    struct kn_future_broadcast_receive receive; /* of that */
};

/** The values that are sent from now on; fails with -EOVERFLOW where some were lost, and goes on after that. */
struct kn_stream *kn_stream_broadcast(struct kn_stream_broadcast *self, struct kn_broadcast_channel *channel);

/** A sender as a sink. Private. */
struct kn_sink_broadcast {
    struct kn_sink sink;                  /* first */
    struct kn_broadcast_channel *channel; /* lent */
};

/** Sends what it is given, without waiting. Closing it closes the channel, dropping it does not. */
struct kn_sink *kn_sink_broadcast(struct kn_sink_broadcast *self, struct kn_broadcast_channel *channel);

#endif
