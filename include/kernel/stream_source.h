/**
 * @file stream_source.h
 * The simplest streams: of values that are there already, of a function that makes them, of nothing.
 *
 * Use them where a stream begins in the program itself: lists, generators, pages fetched one after the other, tests;
 * what comes from outside has a stream of its own (sockets, queues, timers). They guarantee that a function is called
 * only when an item is asked for, and that nothing but kn_stream_unfold_future, kn_stream_poll_fn and
 * kn_stream_pending ever answers pending.
 *
 * A stream of one future's answer is kn_future_into_stream. Values of once, repeat and iter own nothing: what never
 * came out of them is not given back. For owned values take kn_stream_unfold in kn_stream_owned, which makes each when
 * it is asked for.
 */
#ifndef KERNEL_STREAM_SOURCE_H
#define KERNEL_STREAM_SOURCE_H

#include <kernel/stream.h>

/* ---- of what is there ---- */

/** Pointers to the elements of an array. */
struct kn_stream_iter {
    struct kn_stream stream; /* first */
    uint8_t *element;        /* the next */
    size_t count;            /* still to come */
    size_t element_bytes;    /* from one to the next */
};

/** Pointers to the `count` elements of the caller's array, which stay valid as long as that does. Wait-free. */
struct kn_stream *kn_stream_iter(struct kn_stream_iter *self, const void *array, size_t count, size_t element_bytes);

/** Values of an array. */
struct kn_stream_iter_values {
    struct kn_stream stream; /* first */
    const kn_value_t *value; /* the next; lent */
    size_t count;            /* still to come */
};

/** The `count` values of the caller's array, which stays until the end. Wait-free. */
struct kn_stream *kn_stream_iter_values(struct kn_stream_iter_values *self, const kn_value_t *values, size_t count);

/** One value. */
struct kn_stream_once {
    struct kn_stream stream; /* first */
    kn_value_t value;        /* the item */
    bool is_over;            /* it came out */
};

/** This value, then the end. Wait-free. */
struct kn_stream *kn_stream_once(struct kn_stream_once *self, kn_value_t value);

/** Nothing. */
struct kn_stream_empty {
    struct kn_stream stream; /* first */
};

/** Ends at once. Wait-free. */
struct kn_stream *kn_stream_empty(struct kn_stream_empty *self);

/** Never anything. */
struct kn_stream_pending {
    struct kn_stream stream; /* first */
};

/** Waits for ever, until it is dropped. Wait-free. */
struct kn_stream *kn_stream_pending(struct kn_stream_pending *self);

/** A value without end. */
struct kn_stream_repeat {
    struct kn_stream stream; /* first */
    kn_value_t value;        /* each item */
};

/** This value again and again. Wait-free. */
struct kn_stream *kn_stream_repeat(struct kn_stream_repeat *self, kn_value_t value);

/** Integers in steps. */
struct kn_stream_range {
    struct kn_stream stream; /* first */
    uint64_t next;           /* as a signed number */
    uint64_t step;           /* likewise */
    uint64_t count;          /* still to come */
};

/**
 * The integers `from`, `from` + `step`, ... before `to` is reached, which does not belong to them: upwards, or
 * downwards when `step` is negative. A step of 0 gives as many as 2^64 - 1 times `from`, unless it equals `to`.
 * Wait-free.
 */
struct kn_stream *kn_stream_range(struct kn_stream_range *self, int64_t from, int64_t to, int64_t step);

/* ---- of a function ---- */

/** What a function makes, without end. */
struct kn_stream_repeat_with {
    struct kn_stream stream;               /* first */
    kn_value_t (*function)(void *context); /* called for each item */
    void *context;                         /* handed to it */
};

/** Items are what `function` returns each time. */
struct kn_stream *kn_stream_repeat_with(struct kn_stream_repeat_with *self, kn_value_t (*function)(void *context),
                                        void *context);

/** What a function makes, until it says "end". */
struct kn_stream_unfold {
    struct kn_stream stream;                      /* first */
    struct kn_outcome (*function)(void *context); /* called for each item */
    void *context;                                /* handed to it: the state */
};

/** Answers with what `function` returns: ready, failed (it is called again if asked for more), or ended; never pending.
 */
struct kn_stream *kn_stream_unfold(struct kn_stream_unfold *self, struct kn_outcome (*function)(void *context),
                                   void *context);

/** What futures answer that a function makes one after the other. */
struct kn_stream_unfold_future {
    struct kn_stream stream;                      /* first */
    struct kn_future *waiting;                    /* that of the next item, or NULL */
    struct kn_future *(*function)(void *context); /* called for each item */
    void *context;                                /* handed to it: the state */
};

/**
 * Items are the answers of the futures that `function` makes, each when the one before has answered, so that all may be
 * of the same memory; NULL, or the status KN_END of one, is the end (the futures crate's unfold, try_unfold). After a
 * failure it is called again if asked for more.
 */
struct kn_stream *kn_stream_unfold_future(struct kn_stream_unfold_future *self,
                                          struct kn_future *(*function)(void *context), void *context);

/** A function as a stream's poll. */
struct kn_stream_poll_fn {
    struct kn_stream stream;    /* first */
    kn_poll_function *function; /* called for each poll */
    void *context;              /* handed to it */
};

/** Answers with what `function` does, KN_END included; it registers the waker itself and is not told of a drop. */
struct kn_stream *kn_stream_poll_fn(struct kn_stream_poll_fn *self, kn_poll_function *function, void *context);

/* ---- of another stream's polls ---- */

/** Polls as items. */
struct kn_stream_poll_immediate {
    struct kn_stream stream;   /* first */
    struct kn_stream *inner;   /* that is polled */
    struct kn_outcome outcome; /* the item */
};

/**
 * Items are pointers, lent, to what a poll of `inner` answers: a `struct kn_outcome`, ready or pending. So it never
 * waits; it fails and ends as `inner` does. What becomes ready later wakes the task that polled.
 */
struct kn_stream *kn_stream_poll_immediate(struct kn_stream_poll_immediate *self, struct kn_stream *inner);

#endif
