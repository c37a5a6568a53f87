/**
 * @file channel.h
 * A bounded channel of values from any number of senders to one receiver, for tasks that wait and threads that do not.
 *
 * Use it to hand work from task to task: a full channel makes senders wait, an empty one the receiver. For one value
 * take oneshot.h, for the newest of many watch.h, for every receiver to see every value broadcast_channel.h; threads
 * that never wait for each other's tasks do with mpsc.h, which this is made of. It guarantees that a value is received
 * once or given back, that values of one sender arrive in their order, and that a channel that nobody waits for costs
 * little more than that queue.
 *
 *        senders ---try_send, send, sink---> [ mpsc queue ] ---try_receive, receive, stream---> the receiver
 *        wait in line for room                                   waits in a cell for a value
 *
 * Waiting. Who has moved a value must see whether somebody waits for that, and who begins to wait must look once more:
 * one of the two has to pass a barrier in between. A channel on which waits are frequent is heedful: who moves a value
 * passes the barrier, an atomic addition. After some thousand values without a wait it no longer is: moving costs a
 * load, and the first to wait makes it heedful again by having every thread pass a barrier (membarrier(2)).
 * models/channel_wait.pml holds this as a model that Spin exhausts.
 *
 * Ends. A channel has senders, which join and leave; when the last one has left, the receiver gets what is there and
 * then the end. When the receiver is gone sending fails with -EPIPE. Either may close the channel earlier: sending
 * fails from then on, and the receiver gets what is there; of sends that are under way meanwhile the value may be given
 * back though they succeed.
 *
 * Threads that run no reactor wait with kn_block_on of the futures.
 */
#ifndef KERNEL_CHANNEL_H
#define KERNEL_CHANNEL_H

#include <kernel/mpsc.h>
#include <kernel/sink.h>
#include <kernel/wait_list.h>

KN_MPSC_DEFINE(kn_channel_queue, kn_value_t);

/** What a channel is made of. `capacity` is needed. */
struct kn_channel_options {
    size_t capacity;              /**< values in it at most: a power of two */
    kn_discard_function *release; /**< gives back a value that was sent and not received; NULL: nothing to do */
    void *context;                /**< handed to it */
};

/** Bits that say who pays for the barrier, and whether it is of use. */
enum kn_channel_heed {
    KN_CHANNEL_HEEDFUL = 1u << 0, /**< who moves a value passes a barrier and looks who waits */
    KN_CHANNEL_WAITS = 1u << 1    /**< receiver's: it waits; senders': one has waited since this was last looked at */
};

/**
 * A channel. Fields are private. It must lie at a multiple of KN_OWNER_STRIDE, as mailbox.h says.
 *
 * Invariant: a receiver that waits is in the cell and has set KN_CHANNEL_WAITS, and found nothing afterwards; a sender
 * that waits is in the line, and found no room afterwards.
 */
struct kn_channel {
    struct kn_channel_queue queue; /* of its writer senders use what never changes */
    struct {
        KN_OWNED _Atomic uint32_t closed; /* of enum kn_channel_closed */
        _Atomic uint32_t receiver_heed;   /* of enum kn_channel_heed: for who has sent */
        bool has_membarrier;
        struct kn_channel_options options;
    } common;
    struct {
        KN_OWNED _Atomic uint32_t count; /* senders */
        _Atomic uint32_t heed;           /* of enum kn_channel_heed: for who has received; set with the lock held */
        struct kn_wait_list line;        /* senders that wait for room */
    } senders;
    struct {
        KN_OWNED struct kn_waker_cell cell;
        bool is_registered; /* its waker may be in the cell */
        bool has_waited;    /* since heed was last looked at */
    } receiver;
};

/** Why sending fails. */
enum kn_channel_closed {
    KN_CHANNEL_CLOSED = 1u << 0,       /**< no more values */
    KN_CHANNEL_RECEIVER_GONE = 1u << 1 /**< nobody receives */
};

/**
 * Makes a channel of the caller's memory, with one sender: the caller, who leaves when he has made the others. Handing
 * it to another thread must itself be ordered. Maps memory for the values.
 * @return 0; -EINVAL when the capacity is no power of two; else as kn_sector_create.
 */
KN_CHECK_RESULT int kn_channel_open(struct kn_channel *channel, const struct kn_channel_options *options);

/** Gives back what was not received, and the memory for the values. Once nobody uses the channel any more. */
void kn_channel_destroy(struct kn_channel *channel);

/** One sender more: whoever calls kn_channel_try_send or makes send futures. A sender; wait-free. */
void kn_channel_join(struct kn_channel *channel);

/** One sender less; the last one closes the channel. */
void kn_channel_leave(struct kn_channel *channel);

/** Closes it, for who is not the last. Any thread. */
void kn_channel_close(struct kn_channel *channel);

/** Whether sending fails. Any thread. */
bool kn_channel_is_closed(const struct kn_channel *channel);

/** Most values in it. */
size_t kn_channel_capacity(const struct kn_channel *channel);

/** Values in it, a moment ago. */
size_t kn_channel_count(const struct kn_channel *channel);

/** Gives a value back that was not sent, or not received. Any thread, as `release` may be called by any. */
KN_INLINE void kn_channel_release(const struct kn_channel *channel, kn_value_t value)
{
    if (channel->common.options.release)
        channel->common.options.release(value, channel->common.options.context);
}

/** Sends without waiting. Any thread that is a sender; lock-free unless somebody waits.
 * @return 0; -EAGAIN when it is full, -EPIPE when it is closed: the value stays the caller's. */
int kn_channel_try_send(struct kn_channel *channel, kn_value_t value);

/** Receives without waiting. The receiver. @return 0; -EAGAIN when it is empty; -EPIPE when it is at its end. */
int kn_channel_try_receive(struct kn_channel *channel, kn_value_t *value);

/* The kinds of the futures below, which are made in place: making one and polling it is the way of most values. */
extern const struct kn_future_type kn_channel_send_type;
extern const struct kn_future_type kn_channel_receive_type;

/** Sends a value. Private. */
struct kn_future_channel_send {
    struct kn_future future;    /* first */
    bool holds;                 /* the channel has not taken the value yet */
    struct kn_channel *channel; /* lent */
    struct kn_wait_node node;   /* in the line of senders */
    kn_value_t value;           /* while `holds` */
};

/** Waits for room, sends `value` and answers with nothing; or fails with -EPIPE. A value that was not sent is given
 * back, also when `self` is NULL. The caller stays a sender until then. */
KN_INLINE struct kn_future *kn_future_channel_send(struct kn_future_channel_send *self, struct kn_channel *channel,
                                                   kn_value_t value)
{
    if (KN_UNLIKELY(!self || !channel)) {
        if (channel)
            kn_channel_release(channel, value);
        return NULL;
    }
    self->future.type = &kn_channel_send_type;
    self->holds = true;
    self->channel = channel;
    self->value = value;
    atomic_init(&self->node.state, KN_WAIT_NODE_IDLE);
    return &self->future;
}

/** Receives a value. Private. */
struct kn_future_channel_receive {
    struct kn_future future;    /* first */
    bool waits;                 /* has left its waker in the channel */
    struct kn_channel *channel; /* lent */
};

/** Answers with the next value, or with the status KN_END, or fails never. Dropping it loses none and does not end the
 * channel. The receiver, one at a time. */
KN_INLINE struct kn_future *kn_future_channel_receive(struct kn_future_channel_receive *self,
                                                      struct kn_channel *channel)
{
    if (KN_UNLIKELY(!self || !channel))
        return NULL;
    self->future.type = &kn_channel_receive_type;
    self->channel = channel;
    self->waits = false;
    return &self->future;
}

/** The receiver as a stream. Private. */
struct kn_stream_channel {
    struct kn_stream stream;    /* first */
    struct kn_channel *channel; /* lent */
};

/** The values. It is the receiver: once it is dropped sending fails, and what is left is given back. */
struct kn_stream *kn_stream_channel(struct kn_stream_channel *self, struct kn_channel *channel);

/** A sender as a sink. Private. */
struct kn_sink_channel {
    struct kn_sink sink;                /* first */
    struct kn_channel *channel;         /* lent; NULL once it has left */
    kn_value_t value;                   /* while `holds` */
    bool holds;                         /* taken, and not sent yet: the channel was full */
    struct kn_wait_node node;           /* in the line of senders */
    struct kn_channel_options *options; /* of the channel */
};

/** A sender of its own, which leaves when it is closed or dropped. One value may wait in it. */
struct kn_sink *kn_sink_channel(struct kn_sink_channel *self, struct kn_channel *channel);

#endif
