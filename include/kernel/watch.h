/**
 * @file watch.h
 * A watch holds the last value of something; any number of receivers wait for one that they have not seen.
 *
 * Use it for what only the newest matters of: a configuration, a price, a state of health, a request to shut down;
 * where every value matters take broadcast_channel.h, for a value that one receiver takes channel.h. It guarantees that
 * a receiver sees the newest value in the end, never an older one after a newer, and that sending never waits for
 * receivers.
 *
 * Values are seen by many and belong to none: numbers, or pointers to what outlives the watch. All of it is done under
 * the lock of the line of receivers, but for the look whether something is new.
 *
 * Source: tokio's watch.
 */
#ifndef KERNEL_WATCH_H
#define KERNEL_WATCH_H

#include <kernel/stream.h>
#include <kernel/wait_list.h>

/** A watch. Fields are private. It must outlive its receivers. */
struct kn_watch {
    struct kn_wait_list line; /* receivers that have seen the last value; its lock is that of all the rest */
    kn_value_t value;
    bool closed;
    _Atomic uint64_t version; /* of the value: written with the lock held */
};

/** A receiver: what it has seen. One thread at a time. Fields are private. */
struct kn_watch_receiver {
    struct kn_watch *watch;
    uint64_t seen; /* a version; 0: none */
};

/** Makes a watch. Handing it to another thread must itself be ordered. */
void kn_watch_init(struct kn_watch *watch, kn_value_t value);

/** Changes the value, and wakes all who wait. Any thread. @return 0, or -EPIPE when it is closed. */
int kn_watch_send(struct kn_watch *watch, kn_value_t value);

/** Changes the value to what `function`, which must be short, makes of it. Any thread. @return as kn_watch_send. */
int kn_watch_modify(struct kn_watch *watch, kn_map_function *function, void *context);

/** Ends it: receivers get the last value, if they have not seen it, then the end. Any thread. */
void kn_watch_close(struct kn_watch *watch);

/** Whether it is ended. Any thread. */
bool kn_watch_is_closed(struct kn_watch *watch);

/** The present value. Any thread. */
kn_value_t kn_watch_value(struct kn_watch *watch);

/** Makes a receiver that has seen the present value. Any thread. */
void kn_watch_subscribe(struct kn_watch_receiver *receiver, struct kn_watch *watch);

/** Whether there is a value that it has not seen. Wait-free. */
bool kn_watch_has_changed(const struct kn_watch_receiver *receiver);

/** The present value, which it has seen then (borrow_and_update). */
kn_value_t kn_watch_look(struct kn_watch_receiver *receiver);

/** Waits for a value. Private. */
struct kn_future_watch_changed {
    struct kn_future future;            /* first */
    struct kn_watch_receiver *receiver; /* lent */
    struct kn_wait_node node;           /* in the line */
};

/** Answers with the newest value as soon as the receiver has not seen it; fails with -EPIPE when the watch is closed
 * and it has. */
struct kn_future *kn_future_watch_changed(struct kn_future_watch_changed *self, struct kn_watch_receiver *receiver);

/** A receiver as a stream. Private. */
struct kn_stream_watch {
    struct kn_stream stream;                /* first */
    struct kn_watch_receiver receiver;      /* of its own */
    struct kn_future_watch_changed changed; /* of that */
};

/** The present value first, then each that is the newest when the stream is polled; ends with the watch. */
struct kn_stream *kn_stream_watch(struct kn_stream_watch *self, struct kn_watch *watch);

#endif
