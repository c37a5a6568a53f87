/**
 * @file stream_combine.h
 * One stream of several: one after the other, in pairs, or whichever has an item first; and streams of streams.
 *
 * Use it for a handful of streams that are known together: all that wait are polled whenever the task is woken, so for
 * hundreds, or for streams that come and go, take a set (future_set.h). It guarantees that a stream is polled no more
 * after its end, that all are dropped together, and that select and select_all let no stream that has items wait for
 * ever behind another.
 *
 * Failures pass, whichever stream they come from, and end nothing. Owned items. Streams that are brought together here
 * give their items back alike: one that nobody wants goes to the stream that answered last. Only zip knows which of its
 * two an item is of.
 */
#ifndef KERNEL_STREAM_COMBINE_H
#define KERNEL_STREAM_COMBINE_H

#include <kernel/stream.h>

/* ---- one after the other ---- */

/** Two streams in a row. */
struct kn_stream_chain {
    struct kn_stream stream;  /* first */
    struct kn_stream *first;  /* until its end */
    struct kn_stream *second; /* then */
    bool is_second;           /* `first` has ended */
};

/** The items of `first`, then those of `second`, which is not polled before. */
struct kn_stream *kn_stream_chain(struct kn_stream_chain *self, struct kn_stream *first, struct kn_stream *second);

/* ---- in pairs ---- */

/** An item of each of two streams. */
struct kn_stream_pair {
    kn_value_t first;  /**< of the first stream: whoever has the pair owns both */
    kn_value_t second; /**< of the second */
};

/** Two streams in step. */
struct kn_stream_zip {
    struct kn_stream stream;     /* first */
    struct kn_stream *inputs[2]; /* both */
    struct kn_stream_pair pair;  /* the last one, or its beginning */
    bool has_first;              /* pair.first waits for the second */
    bool has_second;             /* the other way round */
};

/**
 * Items are pointers, lent, to a `struct kn_stream_pair`: the first items of both, the second ones, ... until one of
 * the two ends, upon which an item of the other without a partner is given back. Items may be lent, as neither stream
 * is polled on before the pair has come out.
 */
struct kn_stream *kn_stream_zip(struct kn_stream_zip *self, struct kn_stream *first, struct kn_stream *second);

/* ---- whichever is ready ---- */

/** One of two. */
enum kn_stream_side {
    KN_STREAM_LEFT = 0, /**< the first */
    KN_STREAM_RIGHT = 1 /**< the second */
};

/** Two streams, and which have ended. Private. */
struct kn_stream_sides {
    struct kn_stream *inputs[2]; /* by enum kn_stream_side */
    bool has_ended[2];           /* likewise */
    enum kn_stream_side last;    /* answered last */
};

/** Two streams at once, taking turns. */
struct kn_stream_select {
    struct kn_stream stream;      /* first */
    struct kn_stream_sides sides; /* both */
};

/** The items of both as they come, until both have ended; when both have one, that which did not answer last goes
 * first (select; tokio's merge). */
struct kn_stream *kn_stream_select(struct kn_stream_select *self, struct kn_stream *left, struct kn_stream *right);

/** Says which of two streams is asked first. */
typedef enum kn_stream_side kn_stream_strategy_function(void *context);

/** Two streams at once, one first. */
struct kn_stream_select_with_strategy {
    struct kn_stream stream;               /* first */
    struct kn_stream_sides sides;          /* both */
    kn_stream_strategy_function *strategy; /* asked before each poll; NULL: left */
    void *context;                         /* handed to it */
};

/** The same, where `strategy` says at each poll which is asked first. NULL: always the left one, behind which the right
 * may wait for ever (select_biased). */
struct kn_stream *kn_stream_select_with_strategy(struct kn_stream_select_with_strategy *self, struct kn_stream *left,
                                                 struct kn_stream *right, kn_stream_strategy_function *strategy,
                                                 void *context);

/** Several streams at once. */
struct kn_stream_select_all {
    struct kn_stream stream;   /* first */
    struct kn_stream **inputs; /* the caller's; NULL where one has ended */
    size_t count;              /* of them */
    size_t open;               /* that have not ended */
    size_t next;               /* is asked first */
    struct kn_stream *last;    /* answered last */
};

/**
 * The items of `count` streams as they come, in turns, until all have ended. The array is the caller's, and written to;
 * a stream in it that is NULL counts as in future.h: all others are dropped.
 */
struct kn_stream *kn_stream_select_all(struct kn_stream_select_all *self, struct kn_stream **inputs, size_t count);

/* ---- streams of streams ---- */

/** Makes a stream of an item; takes the item. NULL fails with -ENOMEM in its place. */
typedef struct kn_stream *kn_stream_flat_map_function(kn_value_t value, void *context);

/** Streams one after the other, as another stream brings them. */
struct kn_stream_flatten {
    struct kn_stream stream;               /* first */
    struct kn_stream *outer;               /* whose items are, or become, streams */
    struct kn_stream *inner;               /* the present one, or the one before; NULL at first */
    bool is_open;                          /* `inner` has not ended */
    kn_stream_flat_map_function *function; /* NULL: items are streams */
    void *context;                         /* handed to it */
};

/**
 * The items of the streams, `struct kn_stream *`, that are the items of `outer`. Each is taken when the one before has
 * ended, so that all may be of the same memory, which stays. Dropping this drops the present one.
 */
struct kn_stream *kn_stream_flatten(struct kn_stream_flatten *self, struct kn_stream *outer);

/** Streams one after the other, made of items. */
struct kn_stream_flat_map {
    struct kn_stream_flatten flatten; /* first: with a function */
};

/** The items of the streams that `function` makes of the items of `outer`; the rest as kn_stream_flatten. */
struct kn_stream *kn_stream_flat_map(struct kn_stream_flat_map *self, struct kn_stream *outer,
                                     kn_stream_flat_map_function *function, void *context);

/** Some streams of a stream at once. */
struct kn_stream_flatten_unordered {
    struct kn_stream stream;  /* first */
    struct kn_stream *outer;  /* whose items are streams */
    struct kn_stream **slots; /* the caller's: the present ones, NULL where there is none */
    size_t count;             /* of slots */
    size_t used;              /* of them */
    size_t next;              /* slot that is asked first */
    bool has_ended;           /* `outer` has */
    struct kn_stream *last;   /* stream that answered last */
};

/**
 * The items, as they come and in turns, of the streams that are the items of `outer`, up to `count` of which are open
 * at once. `slots` is an array of the caller's, of at least one. The memory of a stream that has ended stays until
 * another one has answered, or until none of its items will be given back.
 */
struct kn_stream *kn_stream_flatten_unordered(struct kn_stream_flatten_unordered *self, struct kn_stream *outer,
                                              struct kn_stream **slots, size_t count);

#endif
