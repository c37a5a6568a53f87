/**
 * @file sink_combine.h
 * Futures that write to a sink, and sinks made of other sinks.
 *
 * Use it to send values (send, feed), to lead a stream into a sink (send_all, forward), and to put something before a
 * sink: a function, a buffer, a second sink. It guarantees that every value either is taken by the sink or is given
 * back, and that a stream is asked for a value only after the sink has taken the one before.
 *
 *        struct kn_sink *log = kn_sink_buffer(&memory->buffer, file, memory->slots, 64);
 *        struct kn_future *all = kn_stream_forward(&memory->forward, lines, kn_sink_map_err(&memory->err, log, ...));
 *
 * Whose a sink is. Futures that send through a sink borrow it: dropping them does not drop it, and as long as they wait
 * it may keep the waker of their poll until it is polled or dropped itself; so it must not outlive the task that polls
 * them. forward, and sinks made of sinks, take it.
 *
 * Both in one. What is read and written, as a socket, is a structure with a stream and a sink in it, and its halves are
 * the two pointers: nothing has to be split, as it has in Rust, whose one object may not be lent twice. Halves that go
 * to two tasks must be made for that, as those of the channels are.
 *
 * A function that takes a value has it even where the sink behind it then fails: such sinks (with, with_flat_map,
 * unfold) say so at the next call. Source: SinkExt of the futures crate.
 */
#ifndef KERNEL_SINK_COMBINE_H
#define KERNEL_SINK_COMBINE_H

#include <kernel/sink.h>

/* ---- futures that write ---- */

/** Sends one value. Private. */
struct kn_sink_send {
    struct kn_future future; /* first */
    struct kn_sink *sink;    /* lent */
    kn_value_t value;        /* while `holds` */
    bool holds;              /* the sink has not taken it yet */
    bool flushes;            /* answers only once it has arrived */
};

/**
 * Waits for room, gives `value` to the sink and waits until it has arrived (send). Answers with nothing. A value that
 * the sink did not take is discarded through it; without a sink nobody knows how, and it stays the caller's.
 */
struct kn_future *kn_sink_send(struct kn_sink_send *self, struct kn_sink *sink, kn_value_t value);

/** The same, but answers as soon as the sink has taken the value (feed). A flush must follow some time. */
struct kn_future *kn_sink_feed(struct kn_sink_send *self, struct kn_sink *sink, kn_value_t value);

/** Waits for a sink. Private. */
struct kn_sink_flush {
    struct kn_future future; /* first */
    struct kn_sink *sink;    /* lent */
};

/** Answers with nothing once all that the sink took has arrived (flush). */
struct kn_future *kn_sink_flush(struct kn_sink_flush *self, struct kn_sink *sink);

/** Answers with nothing once the sink is ended (close); it is still to be dropped. */
struct kn_future *kn_sink_close(struct kn_sink_flush *self, struct kn_sink *sink);

/** Leads a stream into a sink. Private. */
struct kn_stream_forward {
    struct kn_future future;  /* first */
    struct kn_stream *stream; /* its values; it also gives back what the sink did not take */
    struct kn_sink *sink;     /* lent, but for forward */
    kn_value_t value;         /* while `holds` */
    bool holds;               /* of the stream, not yet of the sink */
    bool ended;               /* the stream has: nothing left but to flush or close */
    bool closes;              /* forward: closes, and drops, the sink */
};

/**
 * Sends every value of the stream, then flushes, and answers with nothing (send_all). Flushes as well whenever the
 * stream makes it wait. A failure of either ends it. The stream is taken, the sink is borrowed.
 */
struct kn_future *kn_sink_send_all(struct kn_stream_forward *self, struct kn_sink *sink, struct kn_stream *stream);

/** The same, but takes the sink as well: closes it at the end and drops it in any case (forward). */
struct kn_future *kn_stream_forward(struct kn_stream_forward *self, struct kn_stream *stream, struct kn_sink *sink);

/* ---- sinks of sinks ---- */

/** Says how the values of another sink are given back. */
struct kn_sink_owned {
    struct kn_sink sink;          /* first */
    struct kn_sink *inner;        /* whose values are owned */
    kn_discard_function *release; /* gives one back */
    void *context;                /* handed to it */
};

/** Passes values on to `inner`, and calls `release` for one that was not taken. */
struct kn_sink *kn_sink_owned(struct kn_sink_owned *self, struct kn_sink *inner, kn_discard_function *release,
                              void *context);

/** Calls a function for each value. Private. */
struct kn_sink_with {
    struct kn_sink sink;       /* first */
    struct kn_sink *inner;     /* gets the results */
    kn_map_function *function; /* called for each value */
    void *context;             /* handed to it */
    int64_t failure;           /* of inner, when it refused a result: to be told of; 0: none */
};

/** Gives `inner` what `function` makes of each value (with). A result that it refuses is discarded through it. */
struct kn_sink *kn_sink_with(struct kn_sink_with *self, struct kn_sink *inner, kn_map_function *function,
                             void *context);

/** Makes the stream of values that are sent in place of one; takes that. NULL fails with -ENOMEM. */
typedef struct kn_stream *kn_sink_expand_function(kn_value_t value, void *context);

/** Sends several values for each. Private. */
struct kn_sink_with_flat_map {
    struct kn_sink sink;               /* first */
    struct kn_sink *inner;             /* gets the values of the streams */
    kn_sink_expand_function *function; /* makes them */
    void *context;                     /* handed to it */
    struct kn_stream *stream;          /* the present one, or NULL */
    kn_value_t value;                  /* of it, while `holds` */
    bool holds;                        /* inner has not taken it yet */
    int64_t failure;                   /* to be told of; 0: none */
};

/** Gives `inner` the values of the stream that `function` makes of each value (with_flat_map). */
struct kn_sink *kn_sink_with_flat_map(struct kn_sink_with_flat_map *self, struct kn_sink *inner,
                                      kn_sink_expand_function *function, void *context);

/** Changes failures. Private. */
struct kn_sink_map_err {
    struct kn_sink sink;                               /* first */
    struct kn_sink *inner;                             /* whose failures */
    int64_t (*function)(int64_t error, void *context); /* negative in, negative out */
    void *context;                                     /* handed to it */
};

/** Fails with what `function` makes of the failures of `inner` (sink_map_err). */
struct kn_sink *kn_sink_map_err(struct kn_sink_map_err *self, struct kn_sink *inner,
                                int64_t (*function)(int64_t error, void *context), void *context);

/** Keeps values for a slow sink. Private. */
struct kn_sink_buffer {
    struct kn_sink sink;   /* first */
    struct kn_sink *inner; /* gets them, oldest first */
    kn_value_t *slots;     /* a ring of the caller's */
    size_t capacity;       /* of it, above zero */
    size_t first;          /* the oldest */
    size_t count;          /* values in it */
};

/**
 * Has room for `capacity` values in `slots` more than `inner` (buffer): values go on when inner has room and this is
 * polled. A capacity of zero makes it NULL.
 */
struct kn_sink *kn_sink_buffer(struct kn_sink_buffer *self, struct kn_sink *inner, kn_value_t *slots, size_t capacity);

/** Writes to two sinks. Private. */
struct kn_sink_fanout {
    struct kn_sink sink;      /* first */
    struct kn_sink *inner[2]; /* both get every value */
    bool closed[2];           /* and must not be polled any more */
};

/** Gives every value to both sinks (fanout). Values must not be owned: who would own them? */
struct kn_sink *kn_sink_fanout(struct kn_sink_fanout *self, struct kn_sink *first, struct kn_sink *second);

/** Takes and forgets. Private. */
struct kn_sink_drain {
    struct kn_sink sink;          /* first */
    kn_discard_function *release; /* gives a value back; NULL: nothing to do */
    void *context;                /* handed to it */
};

/** Takes every value at once and calls `release` for it, unless that is NULL (drain). */
struct kn_sink *kn_sink_drain(struct kn_sink_drain *self, kn_discard_function *release, void *context);

/** Waits for a future per value. Private. */
struct kn_sink_unfold {
    struct kn_sink sink;        /* first */
    kn_next_function *function; /* makes the future of a value */
    void *context;              /* handed to it: the state */
    struct kn_future *future;   /* the present one, or NULL */
    int64_t failure;            /* to be told of; 0: none */
};

/**
 * Makes a future of each value and has room for the next when that has answered, whose value is discarded (unfold). The
 * state that the futures crate hands from one to the next is `context`.
 */
struct kn_sink *kn_sink_unfold(struct kn_sink_unfold *self, kn_next_function *function, void *context);

#endif
