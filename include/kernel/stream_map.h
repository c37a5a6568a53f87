/**
 * @file stream_map.h
 * Streams whose items are those of another stream, changed or chosen by a function: map, filter, then and their kin.
 *
 * Use them for what is done to each item by itself; to cut a stream short or renew it take stream_take.h, to bring
 * several together stream_combine.h. They guarantee that items keep their order, that nothing is asked of the inner
 * stream before it is needed, and that failures pass where the function is not for them.
 *
 * Owned items. A function that turns an item into something else takes it. Filter gives what it rejects back to the
 * stream that it came from. Where items come out as they went in (filter, inspect, map_err, or_else, enumerate), the
 * inner stream gives back those that nobody wants; where a function makes them, kn_stream_owned says how.
 */
#ifndef KERNEL_STREAM_MAP_H
#define KERNEL_STREAM_MAP_H

#include <kernel/future_then.h>

/* ---- functions ---- */

/** Answers for an item: ready, with another value, for which it takes the item; or ended or failed, where it does not
 * take it and the combinator gives it back. Never pending. */
typedef struct kn_outcome kn_stream_step_function(kn_value_t value, void *context);

/* ---- at once ---- */

/** Changes items. */
struct kn_stream_map {
    struct kn_stream stream;   /* first */
    struct kn_stream *inner;   /* whose items */
    kn_map_function *function; /* called for each */
    void *context;             /* handed to it */
};

/** Items are what `function` makes of those of `inner` (map, map_ok). */
struct kn_stream *kn_stream_map(struct kn_stream_map *self, struct kn_stream *inner, kn_map_function *function,
                                void *context);

/** Changes errors. */
struct kn_stream_map_err {
    struct kn_stream stream;         /* first */
    struct kn_stream *inner;         /* whose failures */
    kn_map_error_function *function; /* called for each */
    void *context;                   /* handed to it */
};

/** Fails with what `function` makes of the errors of `inner`. */
struct kn_stream *kn_stream_map_err(struct kn_stream_map_err *self, struct kn_stream *inner,
                                    kn_map_error_function *function, void *context);

/** Chooses items. */
struct kn_stream_filter {
    struct kn_stream stream;          /* first */
    struct kn_stream *inner;          /* whose items */
    kn_predicate_function *predicate; /* called for each */
    void *context;                    /* handed to it */
};

/** The items for which `predicate` says yes (filter, try_filter). */
struct kn_stream *kn_stream_filter(struct kn_stream_filter *self, struct kn_stream *inner,
                                   kn_predicate_function *predicate, void *context);

/** Chooses and changes items. */
struct kn_stream_filter_map {
    struct kn_stream stream;           /* first */
    struct kn_stream *inner;           /* whose items */
    kn_stream_step_function *function; /* called for each */
    void *context;                     /* handed to it */
};

/** What `function` makes of the items; where it answers "ended" the item is left out (filter_map, try_filter_map). */
struct kn_stream *kn_stream_filter_map(struct kn_stream_filter_map *self, struct kn_stream *inner,
                                       kn_stream_step_function *function, void *context);

/** Looks at items. */
struct kn_stream_inspect {
    struct kn_stream stream;       /* first */
    struct kn_stream *inner;       /* whose items */
    kn_inspect_function *function; /* called for each */
    void *context;                 /* handed to it */
};

/** The items of `inner`, shown to `function` (inspect, inspect_ok). */
struct kn_stream *kn_stream_inspect(struct kn_stream_inspect *self, struct kn_stream *inner,
                                    kn_inspect_function *function, void *context);

/** Looks at errors. */
struct kn_stream_inspect_err {
    struct kn_stream stream;             /* first */
    struct kn_stream *inner;             /* whose failures */
    kn_inspect_error_function *function; /* called for each */
    void *context;                       /* handed to it */
};

/** The items and failures of `inner`, the failures shown to `function`. */
struct kn_stream *kn_stream_inspect_err(struct kn_stream_inspect_err *self, struct kn_stream *inner,
                                        kn_inspect_error_function *function, void *context);

/** An item and which one it is. */
struct kn_stream_numbered {
    uint64_t index;   /**< from 0; failures are not counted */
    kn_value_t value; /**< the item: whoever has this owns it */
};

/** Counts items. */
struct kn_stream_enumerate {
    struct kn_stream stream;        /* first */
    struct kn_stream *inner;        /* whose items */
    struct kn_stream_numbered item; /* the last one */
    uint64_t count;                 /* items so far */
};

/** Items are pointers, lent, to a `struct kn_stream_numbered`. */
struct kn_stream *kn_stream_enumerate(struct kn_stream_enumerate *self, struct kn_stream *inner);

/* ---- with a future for each ---- */

/** Goes on with items and failures. */
struct kn_stream_then {
    struct kn_stream stream;    /* first */
    struct kn_stream *inner;    /* whose answers */
    struct kn_future *waiting;  /* that of the present one, or NULL */
    kn_then_function *function; /* called for each */
    void *context;              /* handed to it */
};

/**
 * Items are the answers of the futures that `function` makes of those of `inner`, failures included: one after the
 * other, so that the futures may all be of the same memory. The status KN_END of a future ends the stream.
 */
struct kn_stream *kn_stream_then(struct kn_stream_then *self, struct kn_stream *inner, kn_then_function *function,
                                 void *context);

/** Goes on with items. */
struct kn_stream_and_then {
    struct kn_stream stream;    /* first */
    struct kn_stream *inner;    /* whose items */
    struct kn_future *waiting;  /* that of the present one, or NULL */
    kn_next_function *function; /* called for each */
    void *context;              /* handed to it */
};

/** The same for items only; failures pass. */
struct kn_stream *kn_stream_and_then(struct kn_stream_and_then *self, struct kn_stream *inner,
                                     kn_next_function *function, void *context);

/** Goes on with failures. */
struct kn_stream_or_else {
    struct kn_stream stream;       /* first */
    struct kn_stream *inner;       /* whose failures */
    struct kn_future *waiting;     /* that of the present one, or NULL */
    kn_recover_function *function; /* called for each */
    void *context;                 /* handed to it */
};

/** The same for failures only; items pass. What the futures answer is given back as the items of `inner` are. */
struct kn_stream *kn_stream_or_else(struct kn_stream_or_else *self, struct kn_stream *inner,
                                    kn_recover_function *function, void *context);

#endif
