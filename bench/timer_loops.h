/*
 * The measured loops of timers, the same text for ours and for every peer.
 *
 * An implementation enters by a structure that holds `timers` timers and one more, all of them armed but the last,
 * and by inline functions that arm and cancel one of them: TIMER_LOOPS turns them into the loops.
 */
#ifndef BENCH_TIMER_LOOPS_H
#define BENCH_TIMER_LOOPS_H

#include <stddef.h>
#include <stdint.h>

#include "bench.h"

#define TIMER_INLINE static inline __attribute__((always_inline, unused))

/* Deadlines are spread evenly over this span. */
#define TIMER_SPREAD_NS UINT64_C(60000000000)
/* And where timers are to expire over this one. */
#define TIMER_SOON_NS UINT64_C(50000000)
/* After so many operations a loop would look at the time. */
#define TIMER_TURN 256

enum timer_pattern {
    TIMER_ARM_CANCEL, /* one timer, besides those that are armed, is armed and cancelled */
    TIMER_POSTPONE,   /* an armed one, any, is armed again for the whole span from now: an idle timeout */
    TIMER_REPLACE,    /* an armed one, any, is cancelled, and armed for any other time */
    TIMER_PATTERNS
};

struct timer_implementation {
    const char *name; /* NULL: ends a list */
    enum bench_role role;
    size_t timers_most;           /* with more it would take too long */
    size_t (*bytes_each)(void);   /* of a timer that is armed */
    void *(*open)(size_t timers); /* armed over the span; NULL when it fails */
    void (*close)(void *context);
    /* How long they took. */
    double (*patterns[TIMER_PATTERNS])(void *context, uint64_t operations);
    void (*arm_soon)(void *context);   /* arms all over the short span; NULL: cannot */
    uint64_t (*expire)(void *context); /* fires all, which are due: how many */
};

extern const struct timer_implementation timer_kernel[];
extern const struct timer_implementation timer_uv[];
extern const struct timer_implementation timer_event[];

/* The generator's state moves on; the same sequence for everyone. */
TIMER_INLINE uint64_t timer_draw(uint64_t *random)
{
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    return *random;
}

/* Evenly from 0 to below `limit`, of 2^36 at most. */
TIMER_INLINE uint64_t timer_below(uint64_t random, uint64_t limit)
{
    return (uint64_t)(((unsigned __int128)random * limit) >> 64);
}

#define TIMER_SEED UINT64_C(0x9e3779b97f4a7c15)

/*
 * From arm(context, index, delay_ns), cancel(context, index) and turn(context), which lets a loop of TIMER_TURN
 * operations pass, makes name_arm_cancel, name_postpone and name_replace; and name_arm_all, which arms all timers over
 * a span. `context` has `timers` and `random`. A timer that expires meanwhile is armed for the whole span again.
 */
#define TIMER_LOOPS(name, type, arm, cancel, turn)                                                                     \
    static void name##_arm_all(type *context, uint64_t span_ns)                                                        \
    {                                                                                                                  \
        for (size_t i = 0; i < context->timers; i++)                                                                   \
            arm(context, i, timer_below(timer_draw(&context->random), span_ns));                                       \
    }                                                                                                                  \
    static double name##_arm_cancel(void *pointer, uint64_t operations)                                                \
    {                                                                                                                  \
        type *context = (type *)pointer;                                                                               \
        double start_ns = bench_now_ns();                                                                              \
        for (uint64_t i = 0; i < operations; i++) {                                                                    \
            arm(context, context->timers, timer_below(timer_draw(&context->random), TIMER_SPREAD_NS));                 \
            cancel(context, context->timers);                                                                          \
        }                                                                                                              \
        return bench_now_ns() - start_ns;                                                                              \
    }                                                                                                                  \
    static double name##_postpone(void *pointer, uint64_t operations)                                                  \
    {                                                                                                                  \
        type *context = (type *)pointer;                                                                               \
        double start_ns = bench_now_ns();                                                                              \
        for (uint64_t i = 0; i < operations; i++) {                                                                    \
            if (i % TIMER_TURN == 0)                                                                                   \
                turn(context);                                                                                         \
            arm(context, timer_below(timer_draw(&context->random), context->timers), TIMER_SPREAD_NS);                 \
        }                                                                                                              \
        return bench_now_ns() - start_ns;                                                                              \
    }                                                                                                                  \
    static double name##_replace(void *pointer, uint64_t operations)                                                   \
    {                                                                                                                  \
        type *context = (type *)pointer;                                                                               \
        double start_ns = bench_now_ns();                                                                              \
        for (uint64_t i = 0; i < operations; i++) {                                                                    \
            uint64_t random = timer_draw(&context->random);                                                            \
            size_t index = timer_below(random, context->timers);                                                       \
            cancel(context, index);                                                                                    \
            arm(context, index, timer_below(random *TIMER_SEED, TIMER_SPREAD_NS));                                     \
        }                                                                                                              \
        return bench_now_ns() - start_ns;                                                                              \
    }

#endif
