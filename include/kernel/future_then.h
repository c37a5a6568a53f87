/**
 * @file future_then.h
 * Combinators of one future after another: change its answer, go on with a next future, recover from a failure.
 *
 * Use them for expressions of a step or two; a longer sequence, with loops and branches, is better written as an async
 * function (async.h), and several futures at once are for future_join.h and future_select.h. They guarantee that a
 * stage costs a call or two and no memory but its own, that failures pass by whatever is not made for them, and that
 * dropping one drops what it consists of at that moment: first the inner future, later the one that came of it.
 *
 *        map            value -> value                    inspect          looks at a value
 *        map_err        error -> error                    inspect_err      looks at an error
 *        map_or_else    value -> value, error -> value    unwrap_or_else   error -> value
 *        and_then       value -> future                   flatten          the value is a future
 *        or_else        error -> future                   flatten_stream   the value is a stream
 *        then           outcome -> future                 into_stream      a stream of one item
 *        fuse           may be polled again               catch            a broken invariant is a failure
 *        boxed          gives memory back at the end
 *
 * They are those of FutureExt and TryFutureExt in the futures crate. map_ok is our map, map_ok_or_else our map_or_else,
 * try_flatten our flatten, catch_unwind our catch; left_future, boxed and their like exist in Rust to give several
 * types one, which a struct kn_future * is already: our boxed only adds the end of a box, which is that its memory
 * goes.
 *
 * Every function takes memory first, then the future, which it takes hold of; NULL for either makes NULL and drops the
 * other. What a user's function makes is that function's to own (wrap it in kn_future_owned); the others have values
 * discarded by the future that made them. A status that is neither ready, pending nor negative is passed on by all but
 * then.
 */
#ifndef KERNEL_FUTURE_THEN_H
#define KERNEL_FUTURE_THEN_H

#include <kernel/stream.h>

/* ---- functions of errors, which are negative errno values ---- */

/** Turns an error into another, which is negative as well. */
typedef int kn_map_error_function(int error, void *context);

/** Looks at an error. */
typedef void kn_inspect_error_function(int error, void *context);

/** Makes a value of an error. */
typedef kn_value_t kn_unwrap_function(int error, void *context);

/** Makes the future to go on with of an error. NULL fails with -ENOMEM. */
typedef struct kn_future *kn_recover_function(int error, void *context);

/** Makes the future to go on with of an answer; takes its value. NULL fails with -ENOMEM. */
typedef struct kn_future *kn_then_function(struct kn_outcome outcome, void *context);

/** Gives memory back. */
typedef void kn_release_function(void *context);

/* ---- stages ---- */

/** What a stage does, which its type says. Private, as all of a stage. One that goes on with a next future turns into
 * its kind above KN_STAGE_HAS_NEXT, which passes on what it is given. */
enum kn_stage_kind {
    KN_STAGE_MAP,
    KN_STAGE_MAP_ERR,
    KN_STAGE_MAP_OR_ELSE,
    KN_STAGE_UNWRAP_OR_ELSE,
    KN_STAGE_INSPECT,
    KN_STAGE_INSPECT_ERR,
    KN_STAGE_THEN,
    KN_STAGE_AND_THEN,
    KN_STAGE_OR_ELSE,
    KN_STAGE_FLATTEN,
    KN_STAGE_HAS_NEXT, /**< and above */
    KN_STAGE_KINDS = 2 * KN_STAGE_HAS_NEXT
};

/** A stage's function; flatten has none. */
union kn_stage_function {
    kn_map_function *map;
    kn_map_error_function *map_error;
    kn_unwrap_function *unwrap;
    kn_inspect_function *inspect;
    kn_inspect_error_function *inspect_error;
    kn_then_function *then;
    kn_next_function *next;
    kn_recover_function *recover;
};

/**
 * A stage of a chain: the future that most of these are. A stage that is made of another stage joins its chain, of
 * which only the last one is polled: it polls what is waited for and hands the answer on from stage to stage. So a poll
 * that waits costs the same however long the chain is, and stages that are done are not looked at again.
 *
 * Invariant: a chain waits for the `inner` of one of its stages, to which the `link` of its last stage points; that of
 * every other points to the stage behind it. A stage that goes on with a next future takes it for its `inner`.
 */
struct kn_future_stage {
    struct kn_future future; /* first; its type says what the stage does */
    struct kn_future *inner; /* whose values it is given; NULL: of nobody who could discard them */
    union {
        struct kn_future_stage *at;    /* of the last stage: the one whose `inner` is waited for */
        struct kn_future_stage *after; /* of the others: where the answer goes on */
    } link;                            /* to another stage of the chain */
    union kn_stage_function function;  /* what it does */
    void *context;                     /* handed to it */
};

/* The types of stages, by kind. */
extern const struct kn_future_type kn_stage_types[KN_STAGE_KINDS];

/* Drops the future of a stage that has no memory. */
struct kn_future *kn_stage_refuse(struct kn_future *inner);

/* Makes a stage of memory that may be NULL; one after another stage joins it. In place, as a chain is mostly made and
 * polled at once. */
KN_INLINE struct kn_future *kn_stage_make(struct kn_future_stage *self, struct kn_future *inner,
                                          enum kn_stage_kind kind, union kn_stage_function function, void *context)
{
    if (KN_UNLIKELY(!self || !inner))
        return kn_stage_refuse(inner);
    self->future.type = &kn_stage_types[kind];
    self->inner = inner;
    self->link.at = self;
    self->function = function;
    self->context = context;
    /* A compiler that sees what `inner` is would warn of the branch below, which is then not taken. No instruction. */
    __asm__("" : "+r"(inner));
    if ((uintptr_t)inner->type - (uintptr_t)kn_stage_types < sizeof kn_stage_types) {
        struct kn_future_stage *before = KN_CONTAINER_OF(inner, struct kn_future_stage, future);
        self->link.at = before->link.at;
        before->link.after = self;
    }
    return &self->future;
}

/* ---- values and errors ---- */

/** A value turned into another. */
struct kn_future_map {
    struct kn_future_stage stage; /* first */
};

/** Answers with what `function` makes of the value. */
KN_INLINE struct kn_future *kn_future_map(struct kn_future_map *self, struct kn_future *inner,
                                          kn_map_function *function, void *context)
{
    return kn_stage_make(self ? &self->stage : NULL, inner, KN_STAGE_MAP, (union kn_stage_function){.map = function},
                         context);
}

/** An error turned into another. */
struct kn_future_map_err {
    struct kn_future_stage stage; /* first */
};

/** Fails with what `function` makes of the error. */
struct kn_future *kn_future_map_err(struct kn_future_map_err *self, struct kn_future *inner,
                                    kn_map_error_function *function, void *context);

/** Both turned into values. */
struct kn_future_map_or_else {
    struct kn_future_stage stage; /* first */
    kn_unwrap_function *fallback; /* of an error */
};

/** Answers with what `function` makes of the value or `fallback` of the error. */
struct kn_future *kn_future_map_or_else(struct kn_future_map_or_else *self, struct kn_future *inner,
                                        kn_map_function *function, kn_unwrap_function *fallback, void *context);

/** An error turned into a value. */
struct kn_future_unwrap_or_else {
    struct kn_future_stage stage; /* first */
};

/** Never fails: answers with the value, or with what `function` makes of the error. */
struct kn_future *kn_future_unwrap_or_else(struct kn_future_unwrap_or_else *self, struct kn_future *inner,
                                           kn_unwrap_function *function, void *context);

/** A value that is looked at. */
struct kn_future_inspect {
    struct kn_future_stage stage; /* first */
};

/** Passes the answer on and shows a value to `function` before. */
struct kn_future *kn_future_inspect(struct kn_future_inspect *self, struct kn_future *inner,
                                    kn_inspect_function *function, void *context);

/** An error that is looked at. */
struct kn_future_inspect_err {
    struct kn_future_stage stage; /* first */
};

/** Passes the answer on and shows an error to `function` before. */
struct kn_future *kn_future_inspect_err(struct kn_future_inspect_err *self, struct kn_future *inner,
                                        kn_inspect_error_function *function, void *context);

/* ---- a next future ---- */

/** What goes on with any answer. */
struct kn_future_then {
    struct kn_future_stage stage; /* first */
};

/** Answers as the future does that `function` makes of the answer, whichever it is. */
struct kn_future *kn_future_then(struct kn_future_then *self, struct kn_future *inner, kn_then_function *function,
                                 void *context);

/** What goes on with a value. */
struct kn_future_and_then {
    struct kn_future_stage stage; /* first */
};

/** Answers as the future does that `function` makes of the value. */
KN_INLINE struct kn_future *kn_future_and_then(struct kn_future_and_then *self, struct kn_future *inner,
                                               kn_next_function *function, void *context)
{
    return kn_stage_make(self ? &self->stage : NULL, inner, KN_STAGE_AND_THEN,
                         (union kn_stage_function){.next = function}, context);
}

/** What goes on after an error. */
struct kn_future_or_else {
    struct kn_future_stage stage; /* first */
};

/** Answers with the value, or as the future does that `function` makes of the error. */
struct kn_future *kn_future_or_else(struct kn_future_or_else *self, struct kn_future *inner,
                                    kn_recover_function *function, void *context);

/** A future of a future. */
struct kn_future_flatten {
    struct kn_future_stage stage; /* first */
};

/** Answers as the future does that `inner` answers with, which becomes this one's. NULL fails with -ENOMEM. */
struct kn_future *kn_future_flatten(struct kn_future_flatten *self, struct kn_future *inner);

/* ---- streams ---- */

/** A future of a stream. */
struct kn_future_flatten_stream {
    struct kn_stream stream;  /* first */
    struct kn_future *inner;  /* that answers with the stream; NULL: it has */
    struct kn_stream *source; /* the stream; NULL: not yet, or it failed */
};

/** The items of the stream that `inner` answers with, which becomes this one's; or its failure, then the end. NULL
 * fails with -ENOMEM. */
struct kn_stream *kn_future_flatten_stream(struct kn_future_flatten_stream *self, struct kn_future *inner);

/** A future as a stream. */
struct kn_future_into_stream {
    struct kn_stream stream; /* first */
    struct kn_future *inner; /* that answers with the item */
    bool has_answered;       /* what is left is the end */
};

/** A stream of one item, or one failure, then the end. */
struct kn_stream *kn_future_into_stream(struct kn_future_into_stream *self, struct kn_future *inner);

/* ---- the end of a future ---- */

/** A future that may be polled too often. */
struct kn_future_fuse {
    struct kn_future future; /* first */
    struct kn_future *inner; /* polled until it answers */
    bool is_terminated;      /* it has, or was dropped */
};

/** Answers as `inner` does, and pending for ever to whoever polls it after that. */
struct kn_future *kn_future_fuse(struct kn_future_fuse *self, struct kn_future *inner);

/** Whether it has answered or was dropped: another poll has no use. For loops that select. */
bool kn_future_fuse_is_terminated(const struct kn_future_fuse *self);

/** A future whose broken invariants are failures. */
struct kn_future_catch {
    struct kn_future future; /* first */
    struct kn_future *inner; /* polled under guard; NULL: it broke */
};

/**
 * Passes the answer on; but where a kn_assert fails within a poll of `inner`, and where it calls kn_task_panic in a
 * task of a reactor that isolates panics, the future fails with -ECANCELED instead of that thread's usual end.
 *
 * Limits. What is broken stays so: functions that were under way are left with their locks held and their work half
 * done. `inner` is dropped, under guard as well; where that breaks too, what it holds is lost, and wakers it had left
 * may still be called. So this is for the edge of a program, to answer one request with an error and then shut down,
 * not for going on as if nothing had happened. Drops and discards from outside are not under guard, and neither is
 * anything built with KN_NO_ASSERT. A poll costs a setjmp more.
 */
struct kn_future *kn_future_catch(struct kn_future_catch *self, struct kn_future *inner);

/** A future and its memory. */
struct kn_future_boxed {
    struct kn_future future;      /* first */
    struct kn_future *inner;      /* that lives in the memory; NULL: the memory was given back */
    kn_release_function *release; /* gives it back; NULL: the arena is rewound */
    void *context;                /* handed to it, or the arena */
    kn_arena_mark_t mark;         /* where the arena is rewound to */
};

/**
 * Passes the answer on, and calls `release` exactly once after `inner` has answered or was dropped, or at once when
 * this is NULL. `self` and what the value points to are not part of the memory. Owned values: wrap this in
 * kn_future_owned, as `inner`, which knew how to discard them, is gone by then.
 */
struct kn_future *kn_future_boxed(struct kn_future_boxed *self, struct kn_future *inner, kn_release_function *release,
                                  void *context);

/** The same for what was taken from an arena since `mark`: several end in the opposite order of their beginnings. */
struct kn_future *kn_future_boxed_in_arena(struct kn_future_boxed *self, struct kn_future *inner,
                                           struct kn_arena *arena, kn_arena_mark_t mark);

#endif
