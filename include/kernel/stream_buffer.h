/**
 * @file stream_buffer.h
 * Streams that keep items: the next one to be looked at, several to be handed out together, or those of another reader.
 *
 * Use them to decide by the next item without taking it (peekable), to do once for many what is dear to do for each
 * (chunks, ready_chunks; chunks_timeout of stream_time.h), to compute over neighbours (windows), and to part one stream
 * in two (partition). They guarantee that they keep no more items than the caller's memory holds, stop asking when it
 * is full, and give back what they still keep when they are dropped. Items are not to be lent ones (stream.h).
 */
#ifndef KERNEL_STREAM_BUFFER_H
#define KERNEL_STREAM_BUFFER_H

#include <kernel/stream.h>

/* ---- the next one ---- */

/** A stream whose next item can be looked at. */
struct kn_stream_peekable {
    struct kn_stream stream;   /* first */
    struct kn_stream *inner;   /* the items */
    struct kn_outcome present; /* to be answered next, unless pending */
};

/** Passes on the items of `inner`. The stream is &self->stream; what looks ahead takes `self`. */
struct kn_stream *kn_stream_peekable(struct kn_stream_peekable *self, struct kn_stream *inner);

/** Polls for the next item, failure or end, and leaves it to be answered again: a ready value stays the stream's. */
struct kn_outcome kn_stream_poll_peek(struct kn_stream_peekable *peekable, struct kn_context *context);

/** Waits until there is something to look at, in a stream that stays the caller's. */
struct kn_stream_peek {
    struct kn_future future;             /* first */
    struct kn_stream_peekable *peekable; /* lent */
};

/** Answers with the next item, which stays the stream's, or with the status KN_END, or fails; see kn_stream_next. */
struct kn_future *kn_stream_peek(struct kn_stream_peek *self, struct kn_stream_peekable *peekable);

/** Waits for the next item and takes it if it is the right one, from a stream that stays the caller's. */
struct kn_stream_next_if {
    struct kn_future future;             /* first */
    struct kn_stream_peekable *peekable; /* lent */
    kn_predicate_function *function;     /* which are right */
    void *context;                       /* for it */
};

/** Answers with the next item if `function` says yes of it; otherwise, and at the end, with the status KN_END, and the
 * item stays. Fails with a failure of the stream, which it takes. */
struct kn_future *kn_stream_next_if(struct kn_stream_next_if *self, struct kn_stream_peekable *peekable,
                                    kn_predicate_function *function, void *context);

/* ---- several ---- */

/** Some items. */
struct kn_stream_chunk {
    kn_value_t *values; /**< the first */
    size_t count;       /**< how many, at least one */
};

/** Collects items and hands them out together. */
struct kn_stream_chunks {
    struct kn_stream stream;      /* first */
    struct kn_stream *inner;      /* the items */
    struct kn_stream_chunk chunk; /* handed out last; its values are the caller's memory */
    size_t capacity;              /* items of a full chunk */
    size_t held;                  /* collected and not handed out */
    int64_t rest;                 /* what ended the last chunk, to be answered next; or KN_READY */
    bool is_eager;                /* hands out what there is, rather than wait */
};

/**
 * Answers with pointers to a struct kn_stream_chunk of `capacity` items, or of those there were before the end or a
 * failure, which comes next. Chunk and memory are lent, until the next poll; owned items are taken with the chunk.
 * @param values memory for `capacity` items; no capacity makes no stream.
 */
struct kn_stream *kn_stream_chunks(struct kn_stream_chunks *self, struct kn_stream *inner, kn_value_t *values,
                                   size_t capacity);

/** Hands out what it has collected, for who decides himself when that is enough; pending when that is nothing. Between
 * polls, and after the last chunk was used. */
struct kn_outcome kn_stream_chunks_flush(struct kn_stream_chunks *self);

/** Chunks of what is there. */
struct kn_stream_ready_chunks {
    struct kn_stream_chunks chunks; /* first */
};

/** The same, which waits only while it has nothing: a chunk is what is there now, up to `capacity`. */
struct kn_stream *kn_stream_ready_chunks(struct kn_stream_ready_chunks *self, struct kn_stream *inner,
                                         kn_value_t *values, size_t capacity);

/** Neighbours. */
struct kn_stream_windows {
    struct kn_stream stream;      /* first */
    struct kn_stream *inner;      /* the items */
    struct kn_stream_chunk chunk; /* handed out */
    size_t size;                  /* items of a window */
    size_t step;                  /* from one to the next */
    size_t held;                  /* items in the memory */
    size_t skip;                  /* items between two windows, still to come */
};

/**
 * Answers with pointers to a struct kn_stream_chunk of `size` items, each beginning `step` items after the last one;
 * what does not fill a window is given back. Window and items are lent, until the next poll: owned ones stay the
 * stream's. Failures come between windows, and count for nothing. Costs size - step moves of a word per window.
 * @param values memory for `size` items; a size or step of 0 makes no stream.
 */
struct kn_stream *kn_stream_windows(struct kn_stream_windows *self, struct kn_stream *inner, kn_value_t *values,
                                    size_t size, size_t step);

/* ---- two readers ---- */

struct kn_stream_partition;

/** One reader's part of a stream. Private. */
struct kn_stream_part {
    struct kn_stream stream;           /* first */
    struct kn_stream_partition *whole; /* of which it is a part */
    struct kn_waker_cell reader;       /* the waker of its last poll */
    kn_value_t *values;                /* a ring of items that the other reader came across */
    size_t first;                      /* of them, the oldest */
    size_t count;                      /* how many */
    int64_t failure;                   /* that the other came across, after them; or KN_READY */
    bool is_dropped;                   /* takes no more */
};

/** A stream that is read by two. */
struct kn_stream_partition {
    struct kn_stream *inner;         /* the items */
    struct kn_waker waker;           /* what the items are waited for with: wakes both readers */
    kn_predicate_function *function; /* whose item it is */
    void *context;                   /* for it */
    size_t capacity;                 /* of each ring */
    bool has_ended;                  /* the items have */
    struct kn_stream_part parts[2];  /* of those of which it says no, yes */
};

/**
 * Parts a stream in two: of the items of which `function` says yes, and the others. Whoever is polled asks for items,
 * and keeps up to `capacity` for the other reader, then waits for him; so both are to be polled, by one task, or be
 * dropped: items for a dropped part are given back. A failure is told to both. The streams lie in `self`.
 * @param values memory for 2 * `capacity` items.
 * @return 0; -ENOMEM without memory or a stream, -EINVAL without capacity: `inner` is dropped, the parts are NULL.
 */
int kn_stream_partition(struct kn_stream_partition *self, struct kn_stream *inner, kn_predicate_function *function,
                        void *context, kn_value_t *values, size_t capacity, struct kn_stream **yes,
                        struct kn_stream **no);

#endif
