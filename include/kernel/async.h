/**
 * @file async.h
 * Functions that wait: a future written as straight-line C, with loops, branches and early returns around its waits.
 *
 * Use them for whatever has more than two steps; a single step is better said with a combinator (future_then.h), and
 * the two may be mixed at will, as both are futures. They guarantee what futures do: no stack, no allocation, one poll
 * resumes right at the wait, and a drop at any wait drops what is waited for and then cleans up.
 *
 *        struct fetch {                                        KN_ASYNC(fetch)
 *            KN_ASYNC_STATE;                                   {
 *            struct session *session; // a parameter               KN_BEGIN;
 *            unsigned attempt;        // locals                    for (self->attempt = 1;; self->attempt++) {
 *            union {                                                   KN_AWAIT(ask(&self->ask, self->session));
 *                struct ask ask;                                       if (KN_OUTCOME.status == KN_READY)
 *                struct kn_future_delay pause;                             KN_RETURN(KN_OUTCOME.value.pointer);
 *            };                                                        if (self->attempt == 3)
 *        };                                                                KN_FAIL(KN_OUTCOME.status);
 *                                                                      KN_TRY(kn_future_delay(&self->pause, PAUSE_NS));
 *        ... fetch(&(struct fetch){.session = s}) ...              }
 *                                                                  KN_FINISH;
 *                                                              }
 *
 * KN_ASYNC(fetch) defines `struct kn_future *fetch(struct fetch *self)`, which makes the future and leaves the fields
 * as the caller has set them, and begins the function's body. In the body `self` is the state and `context` that of the
 * poll. Structure and function have one name, so that KN_IN works for them as well.
 *
 * KN_GENERATOR does the same for a stream, whose body hands out items with KN_EMIT and ends where it returns.
 *
 * Rules. What must outlive a wait is a field: automatic variables lose their values there. A future that is awaited
 * stays at its place until it has answered; a union of futures that are awaited one after another is right. Waits may
 * stand in loops, branches and switches, not in expressions, not in a block with an array of variable length, and not
 * in functions that are called. Until it has answered, nobody else drops or polls what is awaited.
 *
 * How it works. A wait stores where its label is, as a distance from the body's beginning, and returns pending; the
 * next poll jumps there (labels as values, GNU C). It is the local continuation of A. Dunkels' protothreads, 2006,
 * without its trouble with switch.
 */
#ifndef KERNEL_ASYNC_H
#define KERNEL_ASYNC_H

#include <kernel/stream.h>

/** What every async function's state begins with. Private to the macros. */
struct kn_async {
    struct kn_future future;   /* first */
    int64_t resume;            /* the label to go on at, in bytes from that of KN_BEGIN; 0: at the beginning */
    struct kn_future *awaited; /* by the wait at `resume`, or NULL */
    struct kn_outcome outcome; /* of the last wait */
};

/** The same of a generator. */
struct kn_generator {
    struct kn_stream stream;   /* first */
    int64_t resume;            /* as above */
    struct kn_future *awaited; /* as above */
    struct kn_outcome outcome; /* as above */
};

/** The first member of an async function's structure. */
#define KN_ASYNC_STATE struct kn_async async

/** The first member of a generator's structure. */
#define KN_GENERATOR_STATE struct kn_generator async

/* Where a function that has ended and cleaned up would go on: at no label, as that would be before KN_BEGIN. */
#define KN_ASYNC_OVER (-1)

/* A copy of a body would have labels of its own, which the offsets of the original do not fit. */
#if defined(__clang__)
#define KN_ASYNC_ONE_COPY __attribute__((noinline))
#else
#define KN_ASYNC_ONE_COPY __attribute__((noinline, noclone))
#endif

/* The maker of `name`, its type table, and the head of its body. `header` is future or stream. */
#define KN_ASYNC_DEFINE(linkage, name, header)                                                                         \
    static const struct kn_##header##_type name##_type = {#name, name##_poll, name##_drop, NULL};                      \
    linkage struct kn_##header *name(struct name *self)                                                                \
    {                                                                                                                  \
        if (!self)                                                                                                     \
            return NULL;                                                                                               \
        self->async.header.type = &name##_type;                                                                        \
        self->async.resume = 0;                                                                                        \
        self->async.awaited = NULL;                                                                                    \
        return &self->async.header;                                                                                    \
    }                                                                                                                  \
    KN_ASYNC_ONE_COPY static struct kn_outcome name##_steps(struct name *self, struct kn_context *context)

/* Poll and drop of a function that has nothing to clean up. */
#define KN_ASYNC_PLAIN(name, header)                                                                                   \
    static struct kn_outcome name##_steps(struct name *self, struct kn_context *context);                              \
    static struct kn_outcome name##_poll(struct kn_##header *header, struct kn_context *context)                       \
    {                                                                                                                  \
        return name##_steps(KN_CONTAINER_OF(header, struct name, async.header), context);                              \
    }                                                                                                                  \
    static void name##_drop(struct kn_##header *header)                                                                \
    {                                                                                                                  \
        struct name *self = KN_CONTAINER_OF(header, struct name, async.header);                                        \
        struct kn_future *kn_awaited = self->async.awaited;                                                            \
        self->async.awaited = NULL;                                                                                    \
        kn_future_drop(kn_awaited);                                                                                    \
    }

/* The same with a cleanup, which is called after the last answer, or by the drop of one that has begun. */
#define KN_ASYNC_CLEANED(name, header, cleanup)                                                                        \
    static struct kn_outcome name##_steps(struct name *self, struct kn_context *context);                              \
    static struct kn_outcome name##_poll(struct kn_##header *header, struct kn_context *context)                       \
    {                                                                                                                  \
        struct name *self = KN_CONTAINER_OF(header, struct name, async.header);                                        \
        struct kn_outcome kn_answer = name##_steps(self, context);                                                     \
        if (KN_ASYNC_IS_LAST_##header(kn_answer.status)) {                                                             \
            self->async.resume = KN_ASYNC_OVER;                                                                        \
            cleanup(self);                                                                                             \
        }                                                                                                              \
        return kn_answer;                                                                                              \
    }                                                                                                                  \
    static void name##_drop(struct kn_##header *header)                                                                \
    {                                                                                                                  \
        struct name *self = KN_CONTAINER_OF(header, struct name, async.header);                                        \
        if (self->async.resume == 0 || self->async.resume == KN_ASYNC_OVER)                                            \
            return;                                                                                                    \
        struct kn_future *kn_awaited = self->async.awaited;                                                            \
        self->async.awaited = NULL;                                                                                    \
        kn_future_drop(kn_awaited);                                                                                    \
        self->async.resume = KN_ASYNC_OVER;                                                                            \
        cleanup(self);                                                                                                 \
    }

/* Which answers are the last of a future, and of a stream. */
#define KN_ASYNC_IS_LAST_future(status) ((status) != KN_PENDING)
#define KN_ASYNC_IS_LAST_stream(status) ((status) != KN_PENDING && (status) != KN_READY)

/** Defines an async function: its maker, for this file, and the head of its body, which follows. */
#define KN_ASYNC(name)                                                                                                 \
    KN_ASYNC_PLAIN(name, future)                                                                                       \
    KN_ASYNC_DEFINE(KN_INLINE, name, future)

/**
 * The same for a function that holds something: `cleanup`, a function of the state, is called once when a function that
 * has begun ends, by return, failure or drop, and after what it waits for was dropped.
 */
#define KN_ASYNC_WITH_CLEANUP(name, cleanup)                                                                           \
    KN_ASYNC_CLEANED(name, future, cleanup)                                                                            \
    KN_ASYNC_DEFINE(KN_INLINE, name, future)

/** As KN_ASYNC, with a maker for other files, which a header declares: struct kn_future *name(struct name *self); */
#define KN_ASYNC_EXTERN(name)                                                                                          \
    KN_ASYNC_PLAIN(name, future)                                                                                       \
    KN_ASYNC_DEFINE(, name, future)

/** The same with a cleanup. */
#define KN_ASYNC_EXTERN_WITH_CLEANUP(name, cleanup)                                                                    \
    KN_ASYNC_CLEANED(name, future, cleanup)                                                                            \
    KN_ASYNC_DEFINE(, name, future)

/** Defines a stream by a function: its maker `struct kn_stream *name(struct name *self)`, and the head of its body. */
#define KN_GENERATOR(name)                                                                                             \
    KN_ASYNC_PLAIN(name, stream)                                                                                       \
    KN_ASYNC_DEFINE(KN_INLINE, name, stream)

/** The same for one that holds something. It ends with its first failure. */
#define KN_GENERATOR_WITH_CLEANUP(name, cleanup)                                                                       \
    KN_ASYNC_CLEANED(name, stream, cleanup)                                                                            \
    KN_ASYNC_DEFINE(KN_INLINE, name, stream)

/** Begins the body, after declarations. */
#define KN_BEGIN                                                                                                       \
    (void)context;                                                                                                     \
    goto *(void *)((char *)&&kn_begin + self->async.resume);                                                           \
    kn_begin:

/** Ends an async function's body: answers with nothing. */
#define KN_FINISH return kn_ready(KN_NOTHING)

/** Ends a generator's body: there are no more items. */
#define KN_FINISH_STREAM return kn_ended()

/** The outcome of the last wait: KN_OUTCOME.status, KN_OUTCOME.value. */
#define KN_OUTCOME (self->async.outcome)

/** Answers pending, and goes on here at the next poll. */
#define KN_SUSPEND                                                                                                     \
    do {                                                                                                               \
        __label__ kn_resumed;                                                                                          \
        self->async.resume = (char *)&&kn_resumed - (char *)&&kn_begin;                                                \
        return kn_pending();                                                                                           \
    kn_resumed:;                                                                                                       \
    } while (0)

/**
 * Waits until a future has answered, whatever it answers: KN_OUTCOME tells. The future is made of an expression that is
 * evaluated once, and dropped if this function is. NULL, as of a full arena, fails with -ENOMEM.
 */
#define KN_AWAIT(future_expression)                                                                                    \
    do {                                                                                                               \
        __label__ kn_again;                                                                                            \
        self->async.awaited = (future_expression);                                                                     \
    kn_again:                                                                                                          \
        KN_OUTCOME = self->async.awaited ? kn_future_poll(self->async.awaited, context) : kn_failed(-ENOMEM);          \
        if (KN_OUTCOME.status == KN_PENDING) {                                                                         \
            self->async.resume = (char *)&&kn_again - (char *)&&kn_begin;                                              \
            return kn_pending();                                                                                       \
        }                                                                                                              \
        self->async.awaited = NULL;                                                                                    \
    } while (0)

/** Waits for a future, and answers with its failure if it fails. */
#define KN_TRY(future_expression)                                                                                      \
    do {                                                                                                               \
        KN_AWAIT(future_expression);                                                                                   \
        if (KN_OUTCOME.status != KN_READY)                                                                             \
            return KN_OUTCOME;                                                                                         \
    } while (0)

/** The same, and assigns its value to a variable or field, as its type. */
#define KN_TRY_INTO(variable, future_expression)                                                                       \
    do {                                                                                                               \
        KN_TRY(future_expression);                                                                                     \
        (variable) = KN_AS(__typeof__(variable), KN_OUTCOME.value);                                                    \
    } while (0)

/**
 * Waits for the next item of a stream, end or failure: KN_OUTCOME tells. The stream, an expression that is evaluated at
 * each poll, stays the function's to drop: it is a field, and dropped by the cleanup.
 *
 *        for (;;) {
 *            KN_NEXT(self->prices);
 *            if (KN_OUTCOME.status != KN_READY)
 *                break;
 */
#define KN_NEXT(stream_expression)                                                                                     \
    do {                                                                                                               \
        __label__ kn_again;                                                                                            \
    kn_again:                                                                                                          \
        KN_OUTCOME = kn_stream_poll((stream_expression), context);                                                     \
        if (KN_OUTCOME.status == KN_PENDING) {                                                                         \
            self->async.resume = (char *)&&kn_again - (char *)&&kn_begin;                                              \
            return kn_pending();                                                                                       \
        }                                                                                                              \
    } while (0)

/** Lets the other tasks of the class run once. */
#define KN_YIELD                                                                                                       \
    do {                                                                                                               \
        kn_waker_wake(context->waker);                                                                                 \
        KN_SUSPEND;                                                                                                    \
    } while (0)

/** Answers with a number or pointer. */
#define KN_RETURN(x) return kn_ready(KN_VALUE(x))

/** Fails with a negative errno. */
#define KN_FAIL(error) return kn_failed(error)

/** Hands out an item of a generator, a number or pointer; it goes on here when the next is asked for. */
#define KN_EMIT(x)                                                                                                     \
    do {                                                                                                               \
        __label__ kn_resumed;                                                                                          \
        self->async.resume = (char *)&&kn_resumed - (char *)&&kn_begin;                                                \
        return kn_ready(KN_VALUE(x));                                                                                  \
    kn_resumed:;                                                                                                       \
    } while (0)

#endif
