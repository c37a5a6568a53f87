/**
 * @file future_join.h
 * Joins: futures that wait for several others at once, and answer when all have.
 *
 * Use join and try_join for a few, of different kinds; join_all and try_join_all for any number known beforehand; for
 * the first of several take select, for members that come and go future_set.h. They guarantee that all make progress
 * side by side, that answers stand in the order of the futures, and that nothing is lost when the join is dropped or
 * its answer is not wanted: values are discarded through the futures they came from.
 *
 *        KN_JOIN(&both, price, rate)  --->  const struct kn_outcome *: of price, of rate; join itself never fails
 *        KN_TRY_JOIN(&both, price, rate)  --->  const kn_value_t *: of both; or the first failure, the other dropped
 *
 * Answers are pointers into the join's memory, or to its members, and are valid until that is used anew; a failure is
 * any status but ready and pending. What the pointer leads to is the taker's, owned values as well.
 *
 * A join of one is the futures crate's maybe_done, which keeps an answer until somebody takes it: kn_future_join with
 * a count of one waits for its future, answers ready with a pointer to the outcome, and gives the value back when
 * nobody wants it; try_maybe_done is a kn_future_try_join of one. Joins keep outcomes themselves and need neither.
 *
 * Source: join, try_join, join_all and try_join_all of the futures crate.
 */
#ifndef KERNEL_FUTURE_JOIN_H
#define KERNEL_FUTURE_JOIN_H

#include <kernel/future_set.h>

/* ---- a few ---- */

/** Most futures of a join or try_join. */
#define KN_JOIN_MAX 8

/** Waits for all of up to KN_JOIN_MAX futures, all of which are polled at each of its polls. */
struct kn_future_join {
    struct kn_future future;                 /* first */
    uint8_t count;                           /* of futures */
    uint8_t waiting;                         /* those that have not answered, a bit each; 0: nothing is held */
    struct kn_future *futures[KN_JOIN_MAX];  /* that it waits for */
    struct kn_outcome outcomes[KN_JOIN_MAX]; /* of those that have answered */
};

/**
 * Answers ready with a pointer to the outcomes, whatever these are (join, join3 and so on). More than KN_JOIN_MAX
 * futures, or none, drop them and answer NULL. The array is not kept.
 */
struct kn_future *kn_future_join(struct kn_future_join *self, struct kn_future *const *futures, size_t count);

/** Waits for all of up to KN_JOIN_MAX futures, or for one to fail. */
struct kn_future_try_join {
    struct kn_future future;                /* first */
    uint8_t count;                          /* of futures */
    uint8_t waiting;                        /* as in a join */
    uint8_t ready;                          /* those whose value is here, a bit each */
    struct kn_future *futures[KN_JOIN_MAX]; /* that it waits for */
    kn_value_t values[KN_JOIN_MAX];         /* of those that are ready */
};

/**
 * Answers ready with a pointer to the values; or with the first failure, for which it drops the other futures and
 * discards their values. NULL as kn_future_join.
 */
struct kn_future *kn_future_try_join(struct kn_future_try_join *self, struct kn_future *const *futures, size_t count);

/* The futures as an array, and how many, not more than there is room for. */
#define KN_JOIN_FUTURES(...) ((struct kn_future *const[]){__VA_ARGS__})
#define KN_JOIN_COUNT(...) (sizeof KN_JOIN_FUTURES(__VA_ARGS__) / sizeof(struct kn_future *))

/** The join of the futures given: KN_JOIN(&memory, a, b, c). */
#define KN_JOIN(self, ...) kn_future_join((self), KN_JOIN_FUTURES(__VA_ARGS__), KN_JOIN_COUNT(__VA_ARGS__))

/** The same for a try_join. */
#define KN_TRY_JOIN(self, ...) kn_future_try_join((self), KN_JOIN_FUTURES(__VA_ARGS__), KN_JOIN_COUNT(__VA_ARGS__))

/* ---- any number ---- */

/** A member of a join_all or try_join_all, in memory of the caller's; one cache line. */
struct kn_join_member {
    struct kn_future *future;   /**< to be set before the join is made; stays, for its values to be discarded */
    struct kn_outcome outcome;  /**< valid once the join is ready: what this future answered */
    struct kn_woken_node woken; /* its waker and its turn */
};

/** Waits for the futures of `count` members; only those that were woken are polled. */
struct kn_future_join_all {
    struct kn_future future;        /* first */
    bool fails;                     /* at the first failure */
    bool held;                      /* members: neither answered nor dropped yet */
    size_t count;                   /* of members */
    size_t started;                 /* members that were polled once, from the first on */
    size_t waiting;                 /* members that have not answered */
    struct kn_join_member *members; /* lent */
    struct kn_woken_list woken;     /* started members to be polled */
};

/**
 * Answers ready with a pointer to the members, whose outcomes are there, whatever these are. Members must stay until
 * the join has answered or was dropped. A count of 0 answers at once.
 */
struct kn_future *kn_future_join_all(struct kn_future_join_all *self, struct kn_join_member *members, size_t count);

/**
 * The same, but answers with the first failure, for which it drops the other futures and discards their values:
 * outcomes of members are not to be read then.
 */
struct kn_future *kn_future_try_join_all(struct kn_future_join_all *self, struct kn_join_member *members, size_t count);

#endif
