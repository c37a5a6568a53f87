/**
 * @file future_select.h
 * Several futures of which the first counts, and futures that are given up: by another thread, or at once.
 *
 * Use race for the first answer, select_ok for the first success, select and select_all where those that lost are still
 * wanted; to wait for all take future_join.h, and for many, or for members that come and go, future_set.h. They
 * guarantee that no answer is lost and that whoever lost is dropped, or handed back, before the answer is out.
 *
 *        race         the first answer of n; the others are dropped       race of async-std
 *        select_ok    the first success of n; the others are dropped      select_ok
 *        select       which of two came first; the other is handed back   select, try_select
 *        select_all   which of n came first; the others are handed back   select_all
 *
 * Order. Each poll polls all children that are left, from the first on, until one answers: of several that are there at
 * once the first in the array wins, as in the crate. A loop of selects in which an earlier child is always ready
 * starves those after it. Polling all is right for a handful; a set polls only those that were woken.
 *
 * The array of children is the caller's memory, and theirs until they have answered or were dropped; they may change
 * its order. NULL for it or any child drops the others and makes NULL. Of no children they fail with -EINVAL.
 */
#ifndef KERNEL_FUTURE_SELECT_H
#define KERNEL_FUTURE_SELECT_H

#include <kernel/future.h>

/* ---- the first answer ---- */

/** The first answer of several. */
struct kn_future_race {
    struct kn_future future;     /* first */
    struct kn_future **children; /* lent until it has ended: those that are left, at last the winner */
    size_t count;                /* of them; 0: dropped or answered */
    size_t winner;               /**< after the answer: the index of who gave it */
};

/** Answers as the first child that answers does, whether with a value or a failure, and drops the others. */
struct kn_future *kn_future_race(struct kn_future_race *self, struct kn_future **children, size_t count);

/** The first success of several. */
struct kn_future_select_ok {
    struct kn_future future;     /* first */
    struct kn_future **children; /* lent until it has ended: those that are left, the winner becomes the first */
    size_t count;                /* of them */
    int64_t status;              /* the last failure */
};

/** Answers with the first value, drops the others; fails as the last one does when all have failed. */
struct kn_future *kn_future_select_ok(struct kn_future_select_ok *self, struct kn_future **children, size_t count);

/* ---- the first answer, and the others handed back ---- */

/**
 * The first of several.
 *
 * Its answer is an owned value: with the index go the winner's outcome and the futures that lost, which are not
 * dropped. Whoever takes the answer takes the outcome (kn_future_select_all_outcome) and the rest
 * (kn_future_select_all_rest), and drops what he does not want; if nobody takes it, discarding it does both. They are
 * polled on by the same executor, and are there as long as this structure is.
 */
struct kn_future_select_all {
    struct kn_future future;     /* first */
    struct kn_future **children; /* those that are left */
    size_t count;                /* of them; 0: dropped or taken */
    struct kn_future *winner;    /* whose answer `outcome` is; NULL: none yet */
    struct kn_outcome outcome;   /* pending: not there yet, or taken */
};

/** Answers with the index (an integer) of the first child that has answered, and never fails but for -EINVAL. */
struct kn_future *kn_future_select_all(struct kn_future_select_all *self, struct kn_future **children, size_t count);

/** Takes the winner's outcome, once, after the answer; its value is the caller's. */
struct kn_outcome kn_future_select_all_outcome(struct kn_future_select_all *self);

/**
 * Takes the others, once, after the answer. They are the first ones of the array, where the last one has filled the
 * place of the winner: ready for the next kn_future_select_all. @return how many there are.
 */
size_t kn_future_select_all_rest(struct kn_future_select_all *self);

/** The first of two. */
struct kn_future_select {
    struct kn_future_select_all all; /* first */
    struct kn_future *children[2];   /* its array */
};

/** Answers with the index, 0 or 1, of the one that has answered first; see kn_future_select_all. It covers try_select:
 * a failure is an outcome. */
struct kn_future *kn_future_select(struct kn_future_select *self, struct kn_future *first, struct kn_future *second);

/** Takes the winner's outcome, once, after the answer; its value is the caller's. */
struct kn_outcome kn_future_select_outcome(struct kn_future_select *self);

/** Takes the other future, once, after the answer. */
struct kn_future *kn_future_select_other(struct kn_future_select *self);

/* ---- given up by somebody else ---- */

/** What a future is given up by, from any thread. Zeroed memory is a handle; it outlives its future and its users. */
struct kn_abort_handle {
    _Atomic bool is_aborted;     /* for good */
    struct kn_waker_cell waiter; /* the future's waker, while it waits */
};

/** Makes the future fail with -ECANCELED at its next poll, for which it is woken; harmless after its end, and again.
 * Any thread; wait-free, but for the waker. */
void kn_abort_handle_abort(struct kn_abort_handle *handle);

/** Whether that was done. Any thread; wait-free. */
bool kn_abort_handle_is_aborted(const struct kn_abort_handle *handle);

/** A future that may be given up. */
struct kn_future_abortable {
    struct kn_future future;        /* first */
    struct kn_future *inner;        /* that may be given up */
    struct kn_abort_handle *handle; /* lent */
    bool is_registered;             /* its cell may hold our waker */
};

/** Answers as `inner` does, unless the handle, which has one future at a time, was aborted before a poll: then it drops
 * `inner` and fails with -ECANCELED. */
struct kn_future *kn_future_abortable(struct kn_future_abortable *self, struct kn_future *inner,
                                      struct kn_abort_handle *handle);

/* ---- given up at once ---- */

/** A future that is polled once. */
struct kn_future_now_or_never {
    struct kn_future future; /* first */
    struct kn_future *inner; /* polled once */
};

/** Answers at its first poll: as `inner` does, or failed with -EAGAIN after dropping it. */
struct kn_future *kn_future_now_or_never(struct kn_future_now_or_never *self, struct kn_future *inner);

/** A look at a future that stays the caller's. */
struct kn_future_poll_immediate {
    struct kn_future future; /* first */
    struct kn_future *inner; /* lent */
};

/** Answers at its first poll: as `inner` does, or failed with -EAGAIN: then `inner` waits, with the waker of this poll,
 * and is the caller's to poll on or drop. */
struct kn_future *kn_future_poll_immediate(struct kn_future_poll_immediate *self, struct kn_future *inner);

#endif
