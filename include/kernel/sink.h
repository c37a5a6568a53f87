/**
 * @file sink.h
 * A sink takes values one by one and brings them somewhere: the end of a stream that is written to.
 *
 * Use it for channels, queues and sockets that are fed by streams (forward) or by async functions (send). future.h's
 * text on memory, values, dropping and threads holds here as well. It guarantees that a full sink makes its writer wait
 * rather than lose or queue without bound.
 *
 *        ready ---> start(value) ---> ready ---> start ... ---> flush ---> close
 *        ^ may answer pending, as flush and close may; start only after ready, once each
 *
 * Answers are statuses: KN_READY, KN_PENDING (the context's waker will be called) or -errno, after which only drop is
 * allowed. Source: Sink of the futures crate.
 */
#ifndef KERNEL_SINK_H
#define KERNEL_SINK_H

#include <kernel/stream.h>

struct kn_sink;

/** What sinks of one kind have in common. All but `discard` are needed. */
struct kn_sink_type {
    const char *name; /**< for traces and messages */
    /** Whether there is room for one value: ready, pending, or -errno. */
    int64_t (*ready)(struct kn_sink *sink, struct kn_context *context);
    /** Takes one value: ready; or -errno, and the value stays the caller's. */
    int64_t (*start)(struct kn_sink *sink, kn_value_t value);
    /** Ready once all values taken have arrived. */
    int64_t (*flush)(struct kn_sink *sink, struct kn_context *context);
    /** Flushes, then ends the sink: ready once it takes no more and its reader will know. */
    int64_t (*close)(struct kn_sink *sink, struct kn_context *context);
    /** Takes back wakers, discards what it holds, as far as that has not arrived. At any time, and again. */
    void (*drop)(struct kn_sink *sink);
    /** Gives back a value that it did not bring anywhere. NULL: values own nothing. */
    void (*discard)(struct kn_sink *sink, kn_value_t value);
};

/** A sink: the first field of every kind. Private. */
struct kn_sink {
    const struct kn_sink_type *type;
};

/** Asks for room. Executor only, as all of these. */
KN_INLINE int64_t kn_sink_poll_ready(struct kn_sink *sink, struct kn_context *context)
{
    return sink->type->ready(sink, context);
}

/** Gives it a value, after kn_sink_poll_ready has answered ready. */
KN_INLINE int64_t kn_sink_start_send(struct kn_sink *sink, kn_value_t value)
{
    return sink->type->start(sink, value);
}

/** Asks whether all has arrived. */
KN_INLINE int64_t kn_sink_poll_flush(struct kn_sink *sink, struct kn_context *context)
{
    return sink->type->flush(sink, context);
}

/** Ends it. */
KN_INLINE int64_t kn_sink_poll_close(struct kn_sink *sink, struct kn_context *context)
{
    return sink->type->close(sink, context);
}

/** Drops it. NULL is harmless. */
KN_INLINE void kn_sink_drop(struct kn_sink *sink)
{
    if (sink)
        sink->type->drop(sink);
}

/** Gives back a value meant for it. */
KN_INLINE void kn_sink_discard(struct kn_sink *sink, kn_value_t value)
{
    if (sink->type->discard)
        sink->type->discard(sink, value);
}

#endif
