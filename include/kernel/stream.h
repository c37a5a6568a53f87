/**
 * @file stream.h
 * A stream is a sequence of values that come one by one: an object that is polled for the next until it says "end".
 *
 * Use it for whatever comes again: messages of a queue, bytes of a socket, ticks of a timer; for one value take
 * future.h, whose text on memory, values, dropping and threads holds here as well. It guarantees that no value is made
 * before it is asked for, so that a slow consumer slows its source.
 *
 *        struct kn_stream *prices = kn_stream_reader(&feed->reader, ...);
 *        prices = kn_stream_filter(&feed->filter, prices, is_ours, book);
 *        prices = kn_stream_throttle(&feed->throttle, prices, 1 * KN_MILLISECOND_NS);
 *        struct kn_future *all = kn_stream_for_each(&feed->each, prices, publish, book);
 *
 * Answers. Ready is an item; pending, not yet; end, never again, after which it must not be polled (fuse makes one that
 * may be). A failure takes the place of an item: combinators pass it on as it is, consumers stop at the first one, and
 * a stream may be polled on after it; a source that cannot go on ends after its failure.
 *
 * Lent values. A pointer that a stream answers with is valid until the stream is polled again or dropped, unless its
 * header says that values are owned or live longer. Combinators that keep several items (chunks, zip, buffered) are for
 * values that are not lent.
 *
 * Lent streams. A future that polls a stream which stays the caller's (next) leaves its waker in the stream when it is
 * dropped while it waits. So a stream is lent only to futures that are polled with the waker of who owns it, which
 * plain combinators (timeout, select, join) hand on; a member of a set has a waker of its own and owns its streams.
 *
 * Source: Stream of the futures crate.
 */
#ifndef KERNEL_STREAM_H
#define KERNEL_STREAM_H

#include <kernel/future.h>

struct kn_stream;

/** What streams of one kind have in common. `next` and `drop` are needed. */
struct kn_stream_type {
    const char *name; /**< for traces and messages */
    /** The next item, end or failure, as far as it is there; see the text above. */
    struct kn_outcome (*next)(struct kn_stream *stream, struct kn_context *context);
    /** Takes back wakers, drops what it is made of, discards what it holds. At any time, also after the end and again.
     */
    void (*drop)(struct kn_stream *stream);
    /** Gives back an item that nobody wants; also after its drop. NULL: items own nothing. */
    void (*discard)(struct kn_stream *stream, kn_value_t value);
};

/** A stream: the first field of every kind. Private. */
struct kn_stream {
    const struct kn_stream_type *type;
};

/** Polls for the next item. Executor only. */
KN_INLINE struct kn_outcome kn_stream_poll(struct kn_stream *stream, struct kn_context *context)
{
    return stream->type->next(stream, context);
}

/** Drops a stream. NULL is harmless. Executor only, once it was polled. */
KN_INLINE void kn_stream_drop(struct kn_stream *stream)
{
    if (stream)
        stream->type->drop(stream);
}

/** Gives back an item that the stream answered with. Executor only. */
KN_INLINE void kn_stream_discard(struct kn_stream *stream, kn_value_t value)
{
    if (stream->type->discard)
        stream->type->discard(stream, value);
}

/** The same for an answer of whatever kind. */
KN_INLINE void kn_stream_discard_outcome(struct kn_stream *stream, struct kn_outcome outcome)
{
    if (outcome.status == KN_READY)
        kn_stream_discard(stream, outcome.value);
}

/** A drop that has nothing to do. */
void kn_stream_drop_nothing(struct kn_stream *stream);

/** Waits for the next item of a stream that stays the caller's. */
struct kn_stream_next {
    struct kn_future future;  /* first */
    struct kn_stream *stream; /* lent */
};

/**
 * Answers with the next item, or with the status KN_END, or fails. The stream stays the caller's: dropping this future
 * does not drop it, and no item is lost.
 */
struct kn_future *kn_stream_next(struct kn_stream_next *self, struct kn_stream *stream);

/** Lends a stream. */
struct kn_stream_by_ref {
    struct kn_stream stream; /* first */
    struct kn_stream *inner; /* lent */
};

/**
 * Passes on the items of `inner`, which stays the caller's: what is made of this one may be dropped, and the rest of
 * the items be taken from `inner` afterwards (by_ref). See above for whose waker it may be polled with.
 */
struct kn_stream *kn_stream_by_ref(struct kn_stream_by_ref *self, struct kn_stream *inner);

/** Says how the items of another stream are given back. */
struct kn_stream_owned {
    struct kn_stream stream;      /* first */
    struct kn_stream *inner;      /* whose items are owned */
    kn_discard_function *release; /* gives one back */
    void *context;                /* handed to it */
};

/** Passes on the items of `inner`, and calls `release` for one that nobody takes. */
struct kn_stream *kn_stream_owned(struct kn_stream_owned *self, struct kn_stream *inner, kn_discard_function *release,
                                  void *context);

#endif
