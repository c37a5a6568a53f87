/**
 * @file retry.h
 * Tries again: futures and streams that are made anew when they fail, after pauses that grow.
 *
 * Use it for what fails for a while, as a connection to a peer that restarts; not for what fails for good
 * (should_retry tells them apart), nor for what must not be done twice. It guarantees that at most `attempts` are made,
 * one at a time; that a pause is never longer than asked for but by the wheel's resolution and a turn of the loop; and
 * that no pause is begun that would outlast the deadline handed down: the failure is the answer at once, then.
 *
 *        struct kn_future *quote = kn_future_retry(&self->retry, ask, self,
 *                                                  &(struct kn_retry_options){.attempts = 5,
 *                                                                             .first_delay_ns = KN_MILLISECOND_NS,
 *                                                                             .jitter = 0.5,
 *                                                                             .seed = self->id});
 *
 * The pause before attempt n (from 1; the first one is attempt 0) is first_delay_ns * factor^(n - 1), at most
 * max_delay_ns, less a part of it that is drawn at random, at most `jitter`: so that many who failed together do not
 * come back together. What is drawn depends on the seed alone, so that a run in virtual time can be repeated.
 */
#ifndef KERNEL_RETRY_H
#define KERNEL_RETRY_H

#include <kernel/future_time.h>
#include <kernel/stream.h>

/** Whether to try again after this failure. `attempt` is that which failed, from 0. */
typedef bool kn_should_retry_function(int64_t error, unsigned attempt, void *context);

/** How to try again. Zero means the default in parentheses. */
struct kn_retry_options {
    unsigned attempts;                      /**< (no limit) made in all; of a stream: without an item in between */
    uint64_t first_delay_ns;                /**< (none) pause before the second attempt */
    double factor;                          /**< (2) above 0: from one pause to the next; 1: all are the same */
    uint64_t max_delay_ns;                  /**< (no limit) longest pause */
    double jitter;                          /**< (0) how much of a pause may be left out: up to 1: all of it */
    uint64_t seed;                          /**< (0) of what is drawn at random */
    kn_should_retry_function *should_retry; /**< (always) */
};

/** Pauses, one after another: for loops of one's own. */
struct kn_backoff {
    struct kn_retry_options options; /* as given */
    void *context;                   /* for should_retry */
    double delay_ns;                 /* the next pause, before it is shortened */
    uint64_t random;                 /* state of the generator (splitmix64) */
    unsigned attempt;                /* under way, from 0 */
};

/** Begins with attempt 0. @param options NULL: the defaults. @param context handed to should_retry. */
void kn_backoff_init(struct kn_backoff *backoff, const struct kn_retry_options *options, void *context);

/** Begins again with attempt 0, after a success; what is drawn at random goes on. */
void kn_backoff_reset(struct kn_backoff *backoff);

/**
 * What to do after the present attempt has failed. @return true: pause for *delay_ns, and the next attempt begins;
 * false: give up, as attempts, should_retry or the deadline of `context` say.
 */
bool kn_backoff_next(struct kn_backoff *backoff, int64_t error, const struct kn_context *context, uint64_t *delay_ns);

/* ---- futures ---- */

/** Makes the future of an attempt, from 0; the one before has answered, and its memory may be used again. NULL fails
 * with -ENOMEM, for good. */
typedef struct kn_future *kn_retry_function(unsigned attempt, void *context);

/** Tries a future again. */
struct kn_future_retry {
    struct kn_future future;      /* first */
    kn_retry_function *make;      /* makes the attempts */
    void *context;                /* for it */
    struct kn_future *inner;      /* the last attempt, or NULL */
    struct kn_future_delay delay; /* between two attempts, while `pauses` */
    struct kn_backoff backoff;    /* which attempt, and how long to pause */
    bool pauses;                  /* the delay is polled, not `inner` */
};

/** Answers as the first attempt that does not fail, or as the last one. The first is made at the first poll. */
struct kn_future *kn_future_retry(struct kn_future_retry *self, kn_retry_function *make, void *context,
                                  const struct kn_retry_options *options);

/* ---- streams ---- */

/** Makes the stream of an attempt; otherwise as kn_retry_function. */
typedef struct kn_stream *kn_stream_retry_function(unsigned attempt, void *context);

/** Makes a stream again that has failed. */
struct kn_stream_retry {
    struct kn_stream stream;        /* first */
    kn_stream_retry_function *make; /* makes the attempts */
    void *context;                  /* for it */
    struct kn_stream *inner;        /* the last attempt, or NULL */
    struct kn_future_delay delay;   /* between two attempts, while `pauses` */
    struct kn_backoff backoff;      /* which attempt, and how long to pause */
    bool is_under_way;              /* the last attempt is */
    bool pauses;                    /* the delay is polled */
    bool has_given_up;              /* the failure was passed on: the end comes next */
};

/**
 * Passes on items. When the stream fails it is dropped and made again after a pause; after an item, attempts and pauses
 * count from the beginning. When it gives up, it passes on the failure, and ends. All attempts make streams of one
 * kind: items are given back through the last one.
 */
struct kn_stream *kn_stream_retry(struct kn_stream_retry *self, kn_stream_retry_function *make, void *context,
                                  const struct kn_retry_options *options);

#endif
