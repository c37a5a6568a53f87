/**
 * @file future.h
 * A future is a value that is not there yet: an object that is polled until it answers with the value or an error.
 *
 * Use it to put together things that take time (timers, sockets, queues, other tasks) as one puts together expressions;
 * for a straight line of such things take async.h, for many values one after another stream.h. It guarantees that
 * nothing happens before the first poll, that a poll neither blocks nor allocates, and that a future may be dropped at
 * any moment, upon which it releases all that it holds.
 *
 *        struct kn_future *quote = kn_future_connect(&call->connect, ...);
 *        quote = kn_future_and_then(&call->then, quote, ask, call);
 *        quote = kn_future_map(&call->map, quote, price, NULL);
 *        quote = kn_future_timeout(&call->timeout, quote, 50 * KN_MILLISECOND_NS);
 *        kn_future_spawn(&call->task, quote, reactor, NULL);
 *
 * Memory. Each kind of future is a structure and a function of the same name that makes one of such memory and answers
 * with its `struct kn_future *`. The memory is the caller's: a field of a structure of his, or a piece of an arena, for
 * which there is a macro that fits all: KN_IN(arena, kn_future_map, quote, price, NULL). A future is not moved once it
 * was made. Making one takes hold of the futures given to it, even when it fails; and memory or a future that is NULL,
 * as from a full arena, makes it NULL. So an expression of many is checked once, at its end.
 *
 * Life of a future.
 *
 *        made ---poll: pending---> waiting ---poll---> answered: ready(value) or failed(-errno)
 *          \                          |
 *           +-------- drop -----------+----> dropped
 *
 * Once it has answered it holds nothing any more, must not be polled again (fuse makes one that may be), and dropping
 * it is allowed and does nothing; so is dropping it twice. While it waits, the waker of its last poll is left where it
 * will be called; there may be wake-ups too many, never one too few.
 *
 * Values. A value is one word: an integer, a floating point number, or a pointer to something larger, which lives where
 * the header of the future that answers says: mostly in that future's own memory. A value that must be given back, as a
 * descriptor or an object of a pool, is owned: a future that answers with such values says in its type how one is
 * discarded (kn_future_owned does so for any future), and whoever holds an answer that nobody takes any more has it
 * discarded. Errors are negative errno values and own nothing.
 *
 * Writing one. Nothing may call the waker any more once a poll has answered or a drop has returned: a kind of future
 * that leaves its waker where other threads find it (waker.h, wait_list.h) takes it back in both. Other statuses than
 * ready and pending are passed on like failures.
 *
 * Threads. A future is made anywhere, and from its first poll belongs to its executor (executor.h): it is polled and
 * dropped there, by one thread at a time. Wakers are called from any thread.
 *
 * Source: the interface is that of Rust's core::future and of the futures crate, whose names are kept; a failure is one
 * of the answers of every future, so that `try_` forms are the only ones there are.
 */
#ifndef KERNEL_FUTURE_H
#define KERNEL_FUTURE_H

#include <errno.h>

#include <kernel/arena.h>
#include <kernel/mailbox.h>
#include <kernel/waker.h>

struct kn_executor;

/* ---- values ---- */

/** One word. Read the member that was written. */
typedef union kn_value {
    void *pointer;    /**< to something larger */
    int64_t integer;  /**< signed */
    uint64_t natural; /**< unsigned */
    double real;      /**< floating point */
} kn_value_t;

_Static_assert(sizeof(kn_value_t) == sizeof(uint64_t), "a value is one word");

KN_INLINE kn_value_t kn_value_of_integer(int64_t integer)
{
    return (kn_value_t){.integer = integer};
}

KN_INLINE kn_value_t kn_value_of_natural(uint64_t natural)
{
    return (kn_value_t){.natural = natural};
}

KN_INLINE kn_value_t kn_value_of_real(double real)
{
    return (kn_value_t){.real = real};
}

KN_INLINE kn_value_t kn_value_of_pointer(const volatile void *pointer)
{
    return (kn_value_t){.natural = (uint64_t)(uintptr_t)pointer};
}

KN_INLINE uint64_t kn_value_natural(kn_value_t value)
{
    return value.natural;
}

KN_INLINE double kn_value_real(kn_value_t value)
{
    return value.real;
}

/** The value of any integer, floating point number or pointer. */
#define KN_VALUE(x)                                                                                                    \
    _Generic((x), float                                                                                                \
             : kn_value_of_real, double                                                                                \
             : kn_value_of_real, _Bool                                                                                 \
             : kn_value_of_natural, char                                                                               \
             : kn_value_of_integer, signed char                                                                        \
             : kn_value_of_integer, unsigned char                                                                      \
             : kn_value_of_natural, short                                                                              \
             : kn_value_of_integer, unsigned short                                                                     \
             : kn_value_of_natural, int                                                                                \
             : kn_value_of_integer, unsigned int                                                                       \
             : kn_value_of_natural, long                                                                               \
             : kn_value_of_integer, unsigned long                                                                      \
             : kn_value_of_natural, long long                                                                          \
             : kn_value_of_integer, unsigned long long                                                                 \
             : kn_value_of_natural, default                                                                            \
             : kn_value_of_pointer)(x)

/** What a value is, as a number or pointer of `type`: KN_AS(struct order *, value). */
#define KN_AS(type, value)                                                                                             \
    ((type) _Generic((type){0}, float : kn_value_real, double : kn_value_real, default : kn_value_natural)(value))

/** The value of no information. */
#define KN_NOTHING ((kn_value_t){.natural = 0})

/* ---- answers ---- */

/** What a poll answers; a negative errno stands for failed. */
enum kn_status {
    KN_READY = 0,   /**< here is the value */
    KN_PENDING = 1, /**< not yet; the waker will be called */
    KN_END = 2      /**< of streams: there will be no more values */
};

/** An answer, in two registers. */
struct kn_outcome {
    int64_t status;   /**< of enum kn_status, or -errno */
    kn_value_t value; /**< if ready */
};

KN_INLINE struct kn_outcome kn_ready(kn_value_t value)
{
    return (struct kn_outcome){.status = KN_READY, .value = value};
}

KN_INLINE struct kn_outcome kn_pending(void)
{
    return (struct kn_outcome){.status = KN_PENDING, .value = KN_NOTHING};
}

KN_INLINE struct kn_outcome kn_ended(void)
{
    return (struct kn_outcome){.status = KN_END, .value = KN_NOTHING};
}

/** @param error negative errno. */
KN_INLINE struct kn_outcome kn_failed(int64_t error)
{
    return (struct kn_outcome){.status = error, .value = KN_NOTHING};
}

/* ---- context ---- */

/** What a poll is given. Combinators hand it on, or a copy with a waker or deadline of their own. */
struct kn_context {
    struct kn_waker *waker;       /**< to be left where it will be called, if the poll answers pending */
    struct kn_executor *executor; /**< who polls: time, budget, reactor; see executor.h */
    uint64_t deadline_ns;         /**< when whoever waits will give up, or KN_NEVER; for requests that carry one */
};

/* ---- futures ---- */

struct kn_future;

/** What futures of one kind have in common. `poll` and `drop` are needed. */
struct kn_future_type {
    const char *name; /**< for traces and messages */
    /** Goes on as far as possible without waiting; see the picture above. */
    struct kn_outcome (*poll)(struct kn_future *future, struct kn_context *context);
    /** Takes back wakers, drops what it is made of, discards what it holds. Also before the first poll, after the
     * answer, and after a drop, when it does nothing. */
    void (*drop)(struct kn_future *future);
    /** Gives back a value that it answered with and nobody wants; also after its drop. NULL: values own nothing. */
    void (*discard)(struct kn_future *future, kn_value_t value);
};

/** A future: the first field of every kind. Private. */
struct kn_future {
    const struct kn_future_type *type;
};

/** Polls a future that has not answered yet. Executor only. */
KN_INLINE struct kn_outcome kn_future_poll(struct kn_future *future, struct kn_context *context)
{
    return future->type->poll(future, context);
}

/** Drops a future, wherever in its life it is. NULL is harmless. Executor only, once it was polled. */
KN_INLINE void kn_future_drop(struct kn_future *future)
{
    if (future)
        future->type->drop(future);
}

/** Gives back a value that the future answered with. Executor only. */
KN_INLINE void kn_future_discard(struct kn_future *future, kn_value_t value)
{
    if (future->type->discard)
        future->type->discard(future, value);
}

/** The same for an answer of whatever kind. */
KN_INLINE void kn_future_discard_outcome(struct kn_future *future, struct kn_outcome outcome)
{
    if (outcome.status == KN_READY)
        kn_future_discard(future, outcome.value);
}

/** A drop and a discard that have nothing to do. */
void kn_future_drop_nothing(struct kn_future *future);

/**
 * Makes a combinator of the memory of an arena; also streams, sinks and async functions, whose structure and function
 * have one name as well. NULL when the arena is full.
 */
#define KN_IN(arena, combinator, ...) combinator(KN_ARENA_NEW((arena), struct combinator) __VA_OPT__(, ) __VA_ARGS__)

/** The same for one that shares the structure of another: KN_IN_AS(arena, kn_future_ready, kn_future_failed, -EPIPE).
 */
#define KN_IN_AS(arena, structure, combinator, ...)                                                                    \
    combinator(KN_ARENA_NEW((arena), struct structure) __VA_OPT__(, ) __VA_ARGS__)

/**
 * Defines a function of a value and a context, as map takes it, from one of honest types:
 *
 *        KN_MAP_FUNCTION(total, double, struct order *, struct rates *)(struct order *order, struct rates *rates)
 *        {
 *            return order->quantity * rates->price;
 *        }
 *        ... kn_future_map(&memory, order_future, total, &rates)
 */
#define KN_MAP_FUNCTION(name, result_type, value_type, context_type)                                                   \
    static inline result_type name##_typed(value_type, context_type);                                                  \
    static kn_value_t name(kn_value_t value, void *context)                                                            \
    {                                                                                                                  \
        return KN_VALUE(name##_typed(KN_AS(value_type, value), (context_type)context));                                \
    }                                                                                                                  \
    static inline result_type name##_typed

/** The same for a predicate, as filter takes it. */
#define KN_PREDICATE(name, value_type, context_type)                                                                   \
    static inline bool name##_typed(value_type, context_type);                                                         \
    static bool name(kn_value_t value, void *context)                                                                  \
    {                                                                                                                  \
        return name##_typed(KN_AS(value_type, value), (context_type)context);                                          \
    }                                                                                                                  \
    static inline bool name##_typed

/* ---- functions that combinators take; `context` is the pointer given with the function ---- */

/** Turns a value into another. Owned values: takes the one and gives the other. */
typedef kn_value_t kn_map_function(kn_value_t value, void *context);

/** Looks at a value. */
typedef void kn_inspect_function(kn_value_t value, void *context);

/** Says yes or no of a value, which it does not take. */
typedef bool kn_predicate_function(kn_value_t value, void *context);

/** Makes the future to go on with of a value; takes the value. NULL fails with -ENOMEM. */
typedef struct kn_future *kn_next_function(kn_value_t value, void *context);

/** Gives an owned value back. */
typedef void kn_discard_function(kn_value_t value, void *context);

/* ---- the simplest futures ---- */

/** Answers at once with what it was given. */
struct kn_future_ready {
    struct kn_future future;   /* first */
    struct kn_outcome outcome; /* to answer with */
};

/* Its type: such futures are made in place. */
extern const struct kn_future_type kn_future_ready_type;

/* Makes one. */
KN_INLINE struct kn_future *kn_future_ready_make(struct kn_future_ready *self, struct kn_outcome outcome)
{
    if (KN_UNLIKELY(!self))
        return NULL;
    self->future.type = &kn_future_ready_type;
    self->outcome = outcome;
    return &self->future;
}

/** Answers with a value (the futures crate's ready, ok). Wait-free. */
KN_INLINE struct kn_future *kn_future_ready(struct kn_future_ready *self, kn_value_t value)
{
    return kn_future_ready_make(self, kn_ready(value));
}

/** Fails with a negative errno (err). Wait-free. */
KN_INLINE struct kn_future *kn_future_failed(struct kn_future_ready *self, int error)
{
    return kn_future_ready_make(self, kn_failed(error));
}

/** Never answers. */
struct kn_future_pending {
    struct kn_future future; /* first */
};

/** Waits for ever, until it is dropped. Wait-free. */
struct kn_future *kn_future_pending(struct kn_future_pending *self);

/** Calls a function at its first poll. */
struct kn_future_lazy {
    struct kn_future future;                      /* first */
    struct kn_outcome (*function)(void *context); /* called once */
    void *context;                                /* handed to it */
};

/** Answers with what `function` returns: ready or failed. Called at the first poll, never when dropped before. */
struct kn_future *kn_future_lazy(struct kn_future_lazy *self, struct kn_outcome (*function)(void *context),
                                 void *context);

/** A function as a future's poll. */
typedef struct kn_outcome kn_poll_function(void *context, struct kn_context *poll);

/** Calls a function at every poll. */
struct kn_future_poll_fn {
    struct kn_future future;    /* first */
    kn_poll_function *function; /* called until it does not answer pending */
    void *context;              /* handed to it */
};

/** Answers with what `function` does; it registers the waker itself and is not told of a drop (poll_fn). */
struct kn_future *kn_future_poll_fn(struct kn_future_poll_fn *self, kn_poll_function *function, void *context);

/** Answers pending once. */
struct kn_future_yield {
    struct kn_future future; /* first */
    bool yielded;            /* whether it has */
};

/** Lets the other tasks of the class run once, then answers with nothing (tokio's yield_now). */
struct kn_future *kn_future_yield(struct kn_future_yield *self);

/** Says how the values of another future are given back. */
struct kn_future_owned {
    struct kn_future future;      /* first */
    struct kn_future *inner;      /* whose values are owned */
    kn_discard_function *release; /* gives one back */
    void *context;                /* handed to it */
};

/** Passes on the answer of `inner`, and calls `release` for a value that nobody takes. */
struct kn_future *kn_future_owned(struct kn_future_owned *self, struct kn_future *inner, kn_discard_function *release,
                                  void *context);

#endif
