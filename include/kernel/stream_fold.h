/**
 * @file stream_fold.h
 * The ends of streams: futures that take a stream's items one after another and answer with what became of them all.
 *
 * Use them to run a stream for what it does (for_each), to make one value of it (fold, count, collect) or to ask
 * something of it (any, all); to bring it into a sink take forward, and to do several items at a time
 * stream_concurrent.h. They guarantee that items come in order and one at a time, that the first failure of the stream
 * is the answer, and that the stream is dropped with the answer, so that what asks no more items takes no more.
 *
 *        struct kn_future *total = kn_stream_fold(&memory, trades, KN_VALUE(0.0), add_volume, NULL, NULL);
 *
 * Owned items are taken by the functions that are said to take them, given back through the stream where they are only
 * looked at, and handed to the caller where the answer is an item.
 *
 * Accumulators that are owned need a `release`, which gives back one that nobody will take: after a failure of the
 * stream, a drop, or an answer that is discarded. NULL: they own nothing.
 */
#ifndef KERNEL_STREAM_FOLD_H
#define KERNEL_STREAM_FOLD_H

#include <kernel/stream.h>

/* ---- functions ---- */

/** Makes the next accumulator of the last one and an item; takes both. */
typedef kn_value_t kn_fold_function(kn_value_t accumulator, kn_value_t item, void *context);

/** The same that may fail, or stop with success (kn_stop). Takes both, also then. */
typedef struct kn_outcome kn_try_fold_function(kn_value_t accumulator, kn_value_t item, void *context);

/** Makes the future that answers with the next accumulator; takes both. NULL fails with -ENOMEM. */
typedef struct kn_future *kn_fold_future_function(kn_value_t accumulator, kn_value_t item, void *context);

/** Does something with an item, which it takes. */
typedef void kn_each_function(kn_value_t item, void *context);

/** The same that answers KN_READY to go on, KN_END to stop with success, or fails with a negative errno. */
typedef int64_t kn_try_each_function(kn_value_t item, void *context);

/** Less than, equal to or greater than zero, as `left` is to `right`. Takes neither. */
typedef int kn_compare_function(kn_value_t left, kn_value_t right, void *context);

/** What a kn_try_fold_function returns to take no more items: this value is the answer. */
KN_INLINE struct kn_outcome kn_stop(kn_value_t value)
{
    return (struct kn_outcome){.status = KN_END, .value = value};
}

/** Compare integers and floating point numbers (of which none is a NaN), for min_by and max_by. */
int kn_compare_integers(kn_value_t left, kn_value_t right, void *context);
int kn_compare_reals(kn_value_t left, kn_value_t right, void *context);

/* ---- to one value ---- */

/** What folds begin with: a stream, and what is made of it so far. Private to stream_fold.c. */
struct kn_stream_accumulator {
    struct kn_future future;      /* first */
    struct kn_stream *stream;     /* the items */
    kn_value_t value;             /* while `is_held` */
    kn_discard_function *release; /* or NULL */
    void *context;                /* of the functions */
    bool is_held;                 /* and not with a function, or handed out */
};

/** Makes one value of all items. */
struct kn_stream_fold {
    struct kn_stream_accumulator accumulator; /* first: the last result of `function` */
    kn_fold_function *function;               /* called for each item */
};

/** Answers with function(... function(function(initial, item 0), item 1) ..., item n). Takes `initial`. */
struct kn_future *kn_stream_fold(struct kn_stream_fold *self, struct kn_stream *stream, kn_value_t initial,
                                 kn_fold_function *function, kn_discard_function *release, void *context);

/** A fold that may fail or stop. */
struct kn_stream_try_fold {
    struct kn_stream_accumulator accumulator; /* first: the last result of `function` */
    kn_try_fold_function *function;           /* called for each item */
};

/** The same until `function` fails, which is the answer, or stops (try_fold). */
struct kn_future *kn_stream_try_fold(struct kn_stream_try_fold *self, struct kn_stream *stream, kn_value_t initial,
                                     kn_try_fold_function *function, kn_discard_function *release, void *context);

/** A fold whose function takes time. */
struct kn_stream_fold_future {
    struct kn_stream_accumulator accumulator; /* first: the last answer of `inner` */
    struct kn_future *inner;                  /* that makes the next accumulator, or NULL */
    kn_fold_future_function *function;        /* called for each item */
};

/** The same with a function that makes a future, one at a time, and fails as that does (the crate's fold). */
struct kn_future *kn_stream_fold_future(struct kn_stream_fold_future *self, struct kn_stream *stream,
                                        kn_value_t initial, kn_fold_future_function *function,
                                        kn_discard_function *release, void *context);

/* ---- for what it does ---- */

/** What all others begin with. Private to stream_fold.c. */
struct kn_stream_consumer {
    struct kn_future future;  /* first */
    struct kn_stream *stream; /* the items */
};

/** Calls a function with each item. */
struct kn_stream_for_each {
    struct kn_stream_consumer consumer; /* first */
    kn_each_function *function;         /* takes each */
    void *context;                      /* for it */
};

/** Answers with nothing when the stream has ended. */
struct kn_future *kn_stream_for_each(struct kn_stream_for_each *self, struct kn_stream *stream,
                                     kn_each_function *function, void *context);

/** Calls a function that may fail with each item. */
struct kn_stream_try_for_each {
    struct kn_stream_consumer consumer; /* first */
    kn_try_each_function *function;     /* takes each */
    void *context;                      /* for it */
};

/** Answers with nothing when the stream has ended or the function has stopped; fails as the function does. */
struct kn_future *kn_stream_try_for_each(struct kn_stream_try_for_each *self, struct kn_stream *stream,
                                         kn_try_each_function *function, void *context);

/** Runs a future for each item. */
struct kn_stream_for_each_future {
    struct kn_stream_consumer consumer; /* first */
    struct kn_future *inner;            /* of the present item, or NULL */
    kn_next_function *function;         /* makes it */
    void *context;                      /* for it */
};

/** The same with a function that makes a future, one at a time; fails as that does, and discards its values (the
 * crate's for_each and try_for_each). */
struct kn_future *kn_stream_for_each_future(struct kn_stream_for_each_future *self, struct kn_stream *stream,
                                            kn_next_function *function, void *context);

/* ---- to memory ---- */

/** Keeps all items. */
struct kn_stream_collect {
    struct kn_stream_consumer consumer; /* first */
    kn_value_t *values;                 /* where they go */
    size_t capacity;                    /* of `values` */
    size_t count;                       /* held there */
};

/** Answers with how many items are in `values`, in order: they are the caller's now. Fails with -ENOBUFS, and gives all
 * of them back, when there are more than `capacity`. */
struct kn_future *kn_stream_collect(struct kn_stream_collect *self, struct kn_stream *stream, kn_value_t *values,
                                    size_t capacity);

/** Some bytes: what a stream of bytes answers with pointers to. */
struct kn_stream_span {
    const uint8_t *bytes; /**< the first */
    size_t length;        /**< how many */
};

/** Copies the bytes of all items. */
struct kn_stream_concat {
    struct kn_stream_consumer consumer; /* first; of pointers to struct kn_stream_span */
    uint8_t *buffer;                    /* where they go */
    size_t capacity_bytes;              /* of `buffer` */
    size_t length;                      /* written */
};

/** Answers with how many bytes are in `buffer`. Fails with -ENOBUFS when an item does not fit in what is left. */
struct kn_future *kn_stream_concat(struct kn_stream_concat *self, struct kn_stream *stream, uint8_t *buffer,
                                   size_t capacity_bytes);

/* ---- questions ---- */

/** Counts the items. */
struct kn_stream_count {
    struct kn_stream_consumer consumer; /* first */
    uint64_t count;                     /* so far */
};

/** Answers with how many items there were. */
struct kn_future *kn_stream_count(struct kn_stream_count *self, struct kn_stream *stream);

/** Asks a question of each item until one decides. Private to stream_fold.c. */
struct kn_stream_search {
    struct kn_stream_consumer consumer; /* first */
    kn_predicate_function *function;    /* the question */
    void *context;                      /* for it */
    bool decides;                       /* the answer that ends the search */
};

/** Looks for an item. */
struct kn_stream_any {
    struct kn_stream_search search; /* first; yes decides */
};

/** Answers with true at the first item of which `function` says yes, with false at the end. */
struct kn_future *kn_stream_any(struct kn_stream_any *self, struct kn_stream *stream, kn_predicate_function *function,
                                void *context);

/** Looks for a counterexample. */
struct kn_stream_all {
    struct kn_stream_search search; /* first; no decides */
};

/** Answers with false at the first item of which `function` says no, with true at the end. */
struct kn_future *kn_stream_all(struct kn_stream_all *self, struct kn_stream *stream, kn_predicate_function *function,
                                void *context);

/** Keeps the best item so far. Private to stream_fold.c. */
struct kn_stream_best {
    struct kn_stream_consumer consumer; /* first */
    kn_compare_function *compare;       /* which is better; NULL: the newer */
    void *context;                      /* for it */
    kn_value_t kept;                    /* the best, while `is_held` */
    bool is_held;                       /* whether there was an item */
    bool is_minimum;                    /* the smallest is best */
};

/** Keeps the last item. */
struct kn_stream_last {
    struct kn_stream_best best; /* first; the newest is */
};

/** Answers with the last item, or the status KN_END without one. */
struct kn_future *kn_stream_last(struct kn_stream_last *self, struct kn_stream *stream);

/** Keeps the smallest item. */
struct kn_stream_min_by {
    struct kn_stream_best best; /* first; the smallest is */
};

/** Answers with the smallest item, of equal ones the first; or the status KN_END without one. */
struct kn_future *kn_stream_min_by(struct kn_stream_min_by *self, struct kn_stream *stream,
                                   kn_compare_function *compare, void *context);

/** Keeps the greatest item. */
struct kn_stream_max_by {
    struct kn_stream_best best; /* first; the greatest is */
};

/** Answers with the greatest item, of equal ones the last; or the status KN_END without one. */
struct kn_future *kn_stream_max_by(struct kn_stream_max_by *self, struct kn_stream *stream,
                                   kn_compare_function *compare, void *context);

#endif
