/**
 * @file stream_take.h
 * Streams that begin or end elsewhere than the stream they are made of: take, skip, scan, fuse, cycle and their kin.
 *
 * Use them to cut a stream short, to leave out its beginning, or to renew it; what is done to each item by itself is in
 * stream_map.h. They guarantee that nothing is asked of the inner stream once its end is decided, and that it is
 * dropped at the latest when theirs comes out.
 *
 * Failures pass and are not counted. Items that are left out are given back to the stream that they came from. Where a
 * function makes the items (scan, map_while), kn_stream_owned says how those that nobody wants are given back.
 */
#ifndef KERNEL_STREAM_TAKE_H
#define KERNEL_STREAM_TAKE_H

#include <kernel/stream_map.h>

/* ---- the beginning ---- */

/** So many items. */
struct kn_stream_take {
    struct kn_stream stream; /* first */
    struct kn_stream *inner; /* whose items */
    uint64_t remaining;      /* items still to come */
};

/** The first `count` items. */
struct kn_stream *kn_stream_take(struct kn_stream_take *self, struct kn_stream *inner, uint64_t count);

/** Items up to a first one. */
struct kn_stream_take_while {
    struct kn_stream stream;          /* first */
    struct kn_stream *inner;          /* whose items */
    kn_predicate_function *predicate; /* called for each */
    void *context;                    /* handed to it */
};

/** The items before the first for which `predicate` says no, which is left out. */
struct kn_stream *kn_stream_take_while(struct kn_stream_take_while *self, struct kn_stream *inner,
                                       kn_predicate_function *predicate, void *context);

/** Items up to a first one, changed. */
struct kn_stream_map_while {
    struct kn_stream stream;           /* first */
    struct kn_stream *inner;           /* whose items */
    kn_stream_step_function *function; /* called for each */
    void *context;                     /* handed to it */
};

/** What `function` makes of the items, up to the first for which it answers "ended" (tokio's map_while). */
struct kn_stream *kn_stream_map_while(struct kn_stream_map_while *self, struct kn_stream *inner,
                                      kn_stream_step_function *function, void *context);

/** Answers for an item, as kn_stream_step_function does, and changes the state. */
typedef struct kn_outcome kn_stream_scan_function(kn_value_t *state, kn_value_t value, void *context);

/** Items changed with a memory of those before. */
struct kn_stream_scan {
    struct kn_stream stream;           /* first */
    struct kn_stream *inner;           /* whose items */
    kn_value_t state;                  /* for `function` */
    kn_stream_scan_function *function; /* called for each */
    void *context;                     /* handed to it */
};

/** The same, with a state that begins as `state`; an owned one lives in the context. */
struct kn_stream *kn_stream_scan(struct kn_stream_scan *self, struct kn_stream *inner, kn_value_t state,
                                 kn_stream_scan_function *function, void *context);

/** Items up to a moment. */
struct kn_stream_take_until {
    struct kn_stream stream; /* first */
    struct kn_stream *inner; /* whose items */
    struct kn_future *until; /* that ends them */
    bool is_over;            /* `until` has failed, which has been told */
};

/** The items before `until` answers, whose value is given back; its failure comes before the end. */
struct kn_stream *kn_stream_take_until(struct kn_stream_take_until *self, struct kn_stream *inner,
                                       struct kn_future *until);

/* ---- the rest ---- */

/** All but so many items. */
struct kn_stream_skip {
    struct kn_stream stream; /* first */
    struct kn_stream *inner; /* whose items */
    uint64_t remaining;      /* items still to leave out */
};

/** The items after the first `count`. */
struct kn_stream *kn_stream_skip(struct kn_stream_skip *self, struct kn_stream *inner, uint64_t count);

/** Items from a first one on. */
struct kn_stream_skip_while {
    struct kn_stream stream;          /* first */
    struct kn_stream *inner;          /* whose items */
    kn_predicate_function *predicate; /* called for each, up to the first; then NULL */
    void *context;                    /* handed to it */
};

/** The items from the first on for which `predicate` says no. */
struct kn_stream *kn_stream_skip_while(struct kn_stream_skip_while *self, struct kn_stream *inner,
                                       kn_predicate_function *predicate, void *context);

/** The first item, and the stream of those that come after it. */
struct kn_stream_first {
    kn_value_t value;       /**< the item: whoever has this owns it */
    struct kn_stream *rest; /**< the stream: likewise, to be dropped */
};

/** Takes the first item off a stream. */
struct kn_stream_into_future {
    struct kn_future future;      /* first */
    struct kn_stream *inner;      /* whose first item */
    struct kn_stream_first first; /* the answer */
};

/**
 * Answers with a pointer to a `struct kn_stream_first` in its memory, or with the status KN_END; when it fails the
 * stream is dropped, as when it is dropped itself. For a stream that stays the caller's take kn_stream_next.
 */
struct kn_future *kn_stream_into_future(struct kn_stream_into_future *self, struct kn_stream *inner);

/* ---- the end ---- */

/** An end that may be asked for again. */
struct kn_stream_fuse {
    struct kn_stream stream; /* first */
    struct kn_stream *inner; /* whose items */
    bool is_over;            /* it has ended or was dropped */
};

/** The items of `inner`; may be polled after its end, and after a drop, and answers "end" then. */
struct kn_stream *kn_stream_fuse(struct kn_stream_fuse *self, struct kn_stream *inner);

/** A stream and its memory. */
struct kn_stream_boxed {
    struct kn_stream stream;      /* first */
    struct kn_stream *inner;      /* that lives in the memory; NULL: the memory was given back */
    kn_release_function *release; /* gives it back; NULL: the arena is rewound */
    void *context;                /* handed to it, or the arena */
    kn_arena_mark_t mark;         /* where the arena is rewound to */
};

/**
 * The items of `inner`; `release` is called exactly once after that has ended or was dropped, or at once when this is
 * NULL. `self` is not part of the memory. Owned items: put this into kn_stream_owned, as `inner` may be gone when one
 * is given back.
 */
struct kn_stream *kn_stream_boxed(struct kn_stream_boxed *self, struct kn_stream *inner, kn_release_function *release,
                                  void *context);

/** The same for what was taken from an arena since `mark`: several end in the opposite order of their beginnings. */
struct kn_stream *kn_stream_boxed_in_arena(struct kn_stream_boxed *self, struct kn_stream *inner,
                                           struct kn_arena *arena, kn_arena_mark_t mark);

/** A stream whose broken invariants are failures. */
struct kn_stream_catch {
    struct kn_stream stream;       /* first */
    struct kn_stream *inner;       /* polled under guard */
    struct kn_future poll;         /* a poll of it */
    struct kn_future_catch caught; /* the guard, made anew for each poll */
    bool is_broken;                /* what is left is the end */
};

/** The items of `inner`; but where an invariant breaks in a poll of it, a failure with -ECANCELED and the end. What
 * kn_future_catch says of its limits holds here as well. */
struct kn_stream *kn_stream_catch(struct kn_stream_catch *self, struct kn_stream *inner);

/** Makes a stream, or NULL, which fails with -ENOMEM. */
typedef struct kn_stream *kn_stream_make_function(void *context);

/** Streams one after the other. */
struct kn_stream_cycle {
    struct kn_stream stream;       /* first */
    struct kn_stream *inner;       /* the present one, or the one before; NULL at first */
    kn_stream_make_function *make; /* makes the next */
    void *context;                 /* handed to it */
    bool is_open;                  /* `inner` has not ended */
    bool is_empty;                 /* `inner` has not answered yet */
    bool is_over;                  /* `make` has failed, which has been told */
};

/**
 * The items of a stream that `make` makes, then of another, and so on, until one has none at all. Each is made when the
 * one before has ended, so that all may be of the same memory, which stays; the last one made gives items back.
 */
struct kn_stream *kn_stream_cycle(struct kn_stream_cycle *self, kn_stream_make_function *make, void *context);

#endif
