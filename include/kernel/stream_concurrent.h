/**
 * @file stream_concurrent.h
 * Streams whose items are futures, of which several run at a time: lookups, requests, anything that waits.
 *
 * Use them where items take time and do not depend on each other; with one at a time take then (stream_then.h) or
 * kn_stream_for_each_future, and for futures that come from elsewhere than a stream future_set.h. They guarantee that
 * never more than `capacity` futures are made and not yet answered to the outside, that no item is asked for without
 * room for it, that a future is polled only when it was woken itself, and that a drop drops all that run.
 *
 *        struct kn_stream *pages = kn_stream_buffer_unordered(&self->fetch, addresses, fetch, self, self->jobs, 8);
 *
 *        struct kn_future *fetch(kn_value_t address, size_t slot, void *context)   // in memory of its slot
 *        {
 *            struct crawler *self = context;
 *            return kn_future_request(&self->requests[slot], address.pointer);
 *        }
 *
 * Memory. The caller gives an array of struct kn_stream_job, one for each future at a time. The function that makes the
 * futures is told the slot in it, so that their memory can lie in an array as well: a slot is free again when the
 * stream is polled after the answer of its future was handed out, no earlier. Values may lie in that memory, then.
 *
 * Failures, of the source as of the futures, take the place of items. A future that answers with the status KN_END
 * makes no item. All futures of a stream are of one kind: what is given back goes through the one that answered last.
 */
#ifndef KERNEL_STREAM_CONCURRENT_H
#define KERNEL_STREAM_CONCURRENT_H

#include <kernel/future_set.h>

/** Makes the future of an item, which it takes, in the memory of slot `slot`, if it likes. NULL fails with -ENOMEM. */
typedef struct kn_future *kn_concurrent_function(kn_value_t value, size_t slot, void *context);

/** Room for one future that runs. Private. */
struct kn_stream_job {
    struct kn_future_member member; /* of the set */
    struct kn_future_ready failure; /* of the source, in the place of a future */
    struct kn_stream_job *next;     /* that is free */
};

/** Runs several futures, and answers in the order of the items. */
struct kn_stream_buffered {
    struct kn_stream stream;          /* first */
    struct kn_stream *source;         /* the items */
    kn_concurrent_function *function; /* makes their futures; NULL: they are the futures */
    void *context;                    /* for it */
    struct kn_stream_job *jobs;       /* the caller's memory */
    size_t capacity;                  /* of `jobs` */
    size_t used;                      /* jobs that were in use once; the others are free */
    struct kn_stream_job *free;       /* of those that were, linked */
    struct kn_stream_job *answered;   /* whose answer was handed out last; free at the next poll */
    bool has_ended;                   /* the source has */
    struct kn_future_set set;         /* the futures that run */
};

/**
 * Answers with the answers of the futures that `function` makes of items, in the order of the items.
 * @param function NULL: items are pointers to futures, which lie wherever their source has put them.
 * @param jobs memory for `capacity` futures at a time; no capacity makes no stream.
 */
struct kn_stream *kn_stream_buffered(struct kn_stream_buffered *self, struct kn_stream *source,
                                     kn_concurrent_function *function, void *context, struct kn_stream_job *jobs,
                                     size_t capacity);

/** Runs several futures, and answers as they do. */
struct kn_stream_buffer_unordered {
    struct kn_stream_buffered buffered; /* first */
};

/** The same, in the order in which the futures answer. */
struct kn_stream *kn_stream_buffer_unordered(struct kn_stream_buffer_unordered *self, struct kn_stream *source,
                                             kn_concurrent_function *function, void *context,
                                             struct kn_stream_job *jobs, size_t capacity);

/** Runs several futures for what they do. */
struct kn_stream_for_each_concurrent {
    struct kn_future future;                 /* first */
    struct kn_stream_buffer_unordered inner; /* whose items are given back */
};

/** Answers with nothing once all futures that `function` made of items have answered; fails as the first that fails,
 * or the source, and drops the others. (for_each_concurrent, try_for_each_concurrent.) */
struct kn_future *kn_stream_for_each_concurrent(struct kn_stream_for_each_concurrent *self, struct kn_stream *source,
                                                kn_concurrent_function *function, void *context,
                                                struct kn_stream_job *jobs, size_t capacity);

#endif
