/**
 * @file stream_time.h
 * Streams of time: ticks, and other streams slowed down, calmed, watched over or bundled by the clock.
 *
 * Use them for what happens every so often (interval), for sources that may be faster than what they feed (throttle,
 * rate limit), that say the same many times (debounce, sample), that may fall silent (timeout) or whose items are to be
 * handled together but not late (chunks_timeout). They guarantee what future_time.h does: never early, late by a
 * resolution of the wheel and a turn of the loop at most. A stream holds a timer only while it is polled for an item
 * and waits for the clock; without timers it fails with -ENOSYS.
 *
 * Durations count from polls: an item arrives when the poll in which it is found began.
 */
#ifndef KERNEL_STREAM_TIME_H
#define KERNEL_STREAM_TIME_H

#include <kernel/future_time.h>
#include <kernel/stream_buffer.h>

/* ---- interval ---- */

/** What becomes of ticks for which nobody was there in time; tokio's MissedTickBehavior. */
enum kn_missed_ticks {
    KN_MISSED_BURST, /**< they come at once, one after another, until all have come */
    KN_MISSED_DELAY, /**< the late one comes at once, the next one a period after it */
    KN_MISSED_SKIP /**< the late one comes at once, the others are left out: the next one comes when it always would */
};

/** Ticks. */
struct kn_stream_interval {
    struct kn_stream stream;      /* first */
    struct kn_future_delay delay; /* until the next tick */
    uint64_t due_ns;              /* when that is; KN_NEVER: at the first poll */
    uint64_t period_ns;           /* from one to the next */
    uint64_t number;              /* of the next */
    enum kn_missed_ticks missed;  /* what becomes of them */
    bool has_failed;              /* there are no timers: the end comes next */
};

/**
 * Answers with the numbers of ticks, 0 at the first poll, then one each `period_ns` (0 counts as 1). Ticks left out
 * have numbers too. It never ends.
 */
struct kn_stream *kn_stream_interval(struct kn_stream_interval *self, uint64_t period_ns, enum kn_missed_ticks missed);

/** The same with tick 0 at `start_ns`. */
struct kn_stream *kn_stream_interval_at(struct kn_stream_interval *self, uint64_t start_ns, uint64_t period_ns,
                                        enum kn_missed_ticks missed);

/* ---- throttle ---- */

/**
 * Slows a stream down.
 *
 * A bucket of `burst` tokens, to which one is added each `interval_ns`; an item takes one. It is kept as the moment
 * when the bucket will be full again (the generic cell rate algorithm).
 */
struct kn_stream_throttle {
    struct kn_stream stream;      /* first */
    struct kn_stream *inner;      /* the items */
    struct kn_future_delay delay; /* until the next item may come, while `waits` */
    uint64_t interval_ns;         /* between two tokens */
    uint64_t tolerance_ns;        /* until a bucket that lacks all but one token is full */
    uint64_t full_ns;             /* when the bucket is full */
    bool waits;                   /* for the delay */
};

/** Passes on items, each at least `interval_ns` after the one before; meanwhile it does not ask for any. (tokio) */
struct kn_stream *kn_stream_throttle(struct kn_stream_throttle *self, struct kn_stream *inner, uint64_t interval_ns);

/** The same on average: after a pause up to `burst` items (0 counts as 1) may come at once. */
struct kn_stream *kn_stream_rate_limit(struct kn_stream_throttle *self, struct kn_stream *inner, uint64_t interval_ns,
                                       uint64_t burst);

/* ---- debounce, sample ---- */

/** Keeps the newest item until its time has come. */
struct kn_stream_debounce {
    struct kn_stream stream;      /* first */
    struct kn_stream *inner;      /* the items */
    struct kn_future_delay delay; /* until due_ns, or an earlier due_ns, while `is_armed` */
    kn_value_t held;              /* the newest item, while `is_held` */
    uint64_t duration_ns;         /* how long it is kept */
    uint64_t due_ns;              /* when it is passed on */
    int64_t rest;                 /* what came after the item that was passed on last, or KN_READY */
    bool is_held;                 /* whether there is an item */
    bool is_armed;                /* the delay is */
    bool is_sample;               /* a newer item does not start the time anew */
};

/** Passes on an item once there was no other for `quiet_ns`; of others only the newest is kept. What is kept comes
 * before a failure or the end. */
struct kn_stream *kn_stream_debounce(struct kn_stream_debounce *self, struct kn_stream *inner, uint64_t quiet_ns);

/** Keeps the newest item of a period. */
struct kn_stream_sample {
    struct kn_stream_debounce debounce; /* first */
};

/** Passes on the newest item `period_ns` after the first that came since the last one passed on. */
struct kn_stream *kn_stream_sample(struct kn_stream_sample *self, struct kn_stream *inner, uint64_t period_ns);

/* ---- timeout ---- */

/** Watches over a stream. */
struct kn_stream_timeout {
    struct kn_stream stream;      /* first */
    struct kn_stream *inner;      /* the items */
    struct kn_future_delay delay; /* until the timeout, while `is_armed` */
    uint64_t timeout_ns;          /* how long an item may take */
    bool is_armed;                /* the delay is */
    bool is_over;                 /* the failure has come, and no item since */
    bool is_repeating;            /* it may come again before an item */
};

/**
 * Passes on items; fails with -ETIMEDOUT when the next one has not come `timeout_ns` after it was asked for, then goes
 * on waiting for it without a limit. `inner` is handed the deadline and has the last word. (tokio)
 */
struct kn_stream *kn_stream_timeout(struct kn_stream_timeout *self, struct kn_stream *inner, uint64_t timeout_ns);

/** The same with a failure each `timeout_ns` until the item comes. (tokio) */
struct kn_stream *kn_stream_timeout_repeating(struct kn_stream_timeout *self, struct kn_stream *inner,
                                              uint64_t timeout_ns);

/* ---- chunks_timeout ---- */

/** Chunks that are not kept long. */
struct kn_stream_chunks_timeout {
    struct kn_stream stream;        /* first */
    struct kn_stream_chunks chunks; /* the items */
    struct kn_future_delay delay;   /* until the present chunk is handed out, while `is_armed` */
    uint64_t duration_ns;           /* how long it is kept */
    bool is_armed;                  /* the delay is */
};

/** As kn_stream_chunks, but hands out what there is `duration_ns` after the first item of a chunk. (tokio) */
struct kn_stream *kn_stream_chunks_timeout(struct kn_stream_chunks_timeout *self, struct kn_stream *inner,
                                           kn_value_t *values, size_t capacity, uint64_t duration_ns);

#endif
