/*
 * What the implementations of the suite of futures have in common. All run on one thread; each run does a case `count`
 * times and answers how long that took.
 */
#ifndef BENCH_FUTURE_CELLS_H
#define BENCH_FUTURE_CELLS_H

#include <stddef.h>
#include <stdint.h>

#include "bench.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Combinators of a chain. */
#define FUTURE_CHAIN 16
/* Members of a join, and most of a set. */
#define FUTURE_MEMBERS 1000000
/* Least members of a set. */
#define FUTURE_MEMBERS_FEW 1000
/* From one member that is woken to the next: a prime, so that all have their turn, each far from the one before. */
#define FUTURE_SET_STRIDE 514229
/* Messages in a channel. */
#define FUTURE_CHANNEL_SLOTS 1024
/* Messages sent before as many are received. */
#define FUTURE_CHANNEL_BURST 64

enum future_case {
    FUTURE_MAP,          /* a chain of maps is made and polled; count: stages */
    FUTURE_AND_THEN,     /* maps and and_thens by turns, each of which makes a ready future; count: stages */
    FUTURE_RESUME,       /* a function that waits is resumed, and waits again; count: resumptions */
    FUTURE_AWAIT_READY,  /* a function awaits what is ready; count: awaits */
    FUTURE_JOIN_READY,   /* join_all of FUTURE_MEMBERS that are ready; count: members */
    FUTURE_JOIN_PENDING, /* of members that wait once; count: members */
    FUTURE_SET_FEW,      /* one of FUTURE_MEMBERS_FEW members is woken and polled; count: wake-ups */
    FUTURE_SET_MANY,     /* of FUTURE_MEMBERS; count: wake-ups */
    FUTURE_CHANNEL_ONE,  /* a message is sent and received; count: messages */
    FUTURE_CHANNEL_MANY, /* FUTURE_CHANNEL_BURST messages are sent, then received; count: messages */
    FUTURE_CASES
};

struct future_implementation {
    const char *name; /* NULL: ends a list */
    enum bench_role role;
    enum future_case test_case;
    void *(*open)(void); /* NULL when it fails */
    void (*close)(void *context);
    /* How long it took, in ns. *result: the sum of what came out, which all implementations of a case agree on. */
    double (*run)(void *context, uint64_t count, uint64_t *result);
};

extern const struct future_implementation future_kernel[];
extern const struct future_implementation future_reference[];
extern const struct future_implementation future_rust[];
extern const struct future_implementation future_coroutine[];

#ifdef __cplusplus
}
#endif

#endif
