/*
 * A model executor: runs futures once for every order in which what they wait for can happen, with a drop at every
 * point, and counts what they hold.
 *
 * A test builds its futures of leaves that the harness wakes. An execution is a sequence of choices: wake a leaf that
 * waits, fire the next timer, poll a task that was woken, poll one for no reason (once), drop one. All sequences are
 * executed, one after the other, as loom and other permutation testers do; so a bounded program is exhausted.
 *
 * Each execution fails the test when a future is polled after its answer, keeps a waker after its end, leaks or frees
 * twice an owned value or a leaf's resource, or waits although nothing is left that could wake it.
 */
#ifndef ASYNC_HARNESS_H
#define ASYNC_HARNESS_H

#include <kernel/executor.h>
#include <kernel/sink.h>

struct harness;

/* An owned value: what leaves that own answer with. */
struct harness_object {
    struct harness *world;
    int64_t number;
};

/* Builds the futures of one execution and hands each to harness_spawn. */
typedef void harness_build(struct harness *world, void *context);

/* Looks at a task's answer, once it has answered; the harness discards the value afterwards. */
typedef void harness_check(struct harness *world, unsigned task, struct kn_outcome outcome, void *context);

struct harness_options {
    bool no_drops;       /* executions without drops only */
    bool may_wait;       /* tasks that wait for ever are no failure, as is always so after a drop of several tasks */
    bool drops_release;  /* also after a drop of several tasks: it sets free what the others wait for */
    uint64_t executions; /* most; 0: two million. A program that has more fails the test */
    /* Called at the end of each execution, after all was dropped. May be NULL. */
    void (*ended)(struct harness *world, void *context);
};

/* Explores all executions. NULL: the default options. @return how many there were. */
uint64_t harness_explore(harness_build *build, harness_check *check, void *context,
                         const struct harness_options *options);

/* A task of this execution; NULL fails the test. Numbered from 0. */
void harness_spawn(struct harness *world, struct kn_future *future);

/* The same for a future that is not dropped after its answer: what it still held then is left over, and found. */
void harness_spawn_strict(struct harness *world, struct kn_future *future);

/* Memory for combinators, emptied before each execution. */
struct kn_arena *harness_arena(struct harness *world);

/* A leaf: pending until it was woken `pendings` times, then answers. From its first poll to its end it holds something
 * that is counted. */
struct kn_future *harness_future(struct harness *world, unsigned pendings, struct kn_outcome outcome);

/* The same, for an owned value: a pointer to a harness_object of this number. */
struct kn_future *harness_owned_future(struct harness *world, unsigned pendings, int64_t number);

/* A new owned value, and the end of one: for functions that combinators take. */
struct harness_object *harness_object(struct harness *world, int64_t number);
void harness_object_free(struct harness_object *object);

/* The kn_discard_function of owned values. */
void harness_discard(kn_value_t value, void *context);

/* What a stream of the harness does: waits `pendings` times, then answers. */
struct harness_item {
    unsigned pendings;
    struct kn_outcome outcome; /* ready with an integer, or failed */
};

/* A stream of these items, which the caller keeps, then the end. */
struct kn_stream *harness_stream(struct harness *world, const struct harness_item *items, size_t count);

/* The same; ready items become owned values of their integers. */
struct kn_stream *harness_owned_stream(struct harness *world, const struct harness_item *items, size_t count);

/* A sink that is pending `pendings` times before each value and each flush, and remembers the values: up to 16.
 * `fails_after` values it fails with -EPIPE; SIZE_MAX: never. */
struct kn_sink *harness_sink(struct harness *world, unsigned pendings, size_t fails_after);

/* The same for owned values, which it frees when it has taken them. */
struct kn_sink *harness_owned_sink(struct harness *world, unsigned pendings, size_t fails_after);

/* What the sinks of this execution took, in order, as integers; and whether one was closed. */
size_t harness_taken(const struct harness *world, const int64_t **values);
bool harness_is_closed(const struct harness *world);

/* The executor's time. */
uint64_t harness_now_ns(const struct harness *world);

#endif
