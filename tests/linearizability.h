/*
 * Records what threads did to a bounded FIFO queue, and decides whether one order of those operations explains it.
 *
 * Use it to test a concurrent queue of ours: every push and pop is recorded with a stamp before and after, and the
 * history is linearizable if each operation can be given one moment between its stamps such that a sequential queue
 * gives the same answers in that order. It guarantees that a refusal is a real violation and that an acceptance has
 * found such an order; a history that it could not judge within its bounds is HISTORY_INCONCLUSIVE, never a success.
 *
 * The short way lets it run the threads:
 *
 *     static int push(void *queue, unsigned producer, uint64_t value) { return numbers_try_push(queue, &value); }
 *     static int pop(void *queue, unsigned consumer, uint64_t *value) { return numbers_try_pop(queue, value); }
 *
 *     struct history_subject subject = {.queue = queue, .try_push = push, .try_pop = pop,
 *                                       .producers = 2, .consumers = 2, .messages_per_producer = 5000};
 *     struct history_options options = {.capacity_slots = 64, .spurious_empty = true};
 *     assert_int_equal(history_run(&subject, &options), HISTORY_LINEARIZABLE);
 *
 * The long way records in threads of your own, each with its own history_thread:
 *
 *     history_open(&history, &(struct history_options){.threads = 2, .operations_per_thread = 1000});
 *     uint64_t began = history_begin(&history.threads[0]);                               (in thread 0)
 *     history_pushed(&history.threads[0], began, value, numbers_try_push(queue, &value));
 *     uint64_t began = history_begin(&history.threads[1]);                               (in thread 1)
 *     history_popped(&history.threads[1], began, &value, numbers_try_pop(queue, &value));
 *     history_check(&history);                                                           (when all have been joined)
 *     history_close(&history);
 *
 * What it does not see: the stamps come from one shared counter, whose every step orders the threads more than the
 * queue alone would. Races and missing barriers are for the thread sanitizer and the models, on unrecorded runs. Of a
 * batch recorded as operations that began together, the order within the batch is not checked.
 */
#ifndef KERNEL_TESTS_LINEARIZABILITY_H
#define KERNEL_TESTS_LINEARIZABILITY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <kernel/atomic.h>

/* The answer of a check. Zero is the answer of a check that never ran. */
enum history_verdict {
    HISTORY_INCONCLUSIVE,
    HISTORY_LINEARIZABLE,
    HISTORY_NOT_LINEARIZABLE,
};

/* The queue that the history is measured by. Zero is an unbounded queue whose every answer counts. */
struct history_options {
    unsigned threads;             /* that record; history_run fills this in */
    size_t operations_per_thread; /* room for; history_run fills this in */
    size_t capacity_slots;        /* that the queue never exceeds, and has when it answers full; 0: unbounded */

    /*
     * The queue documents that it may answer full (or empty) when it is not, as one whose claim and publish are two
     * steps may: an unpublished message hides those behind it. Such answers are then not recorded.
     */
    bool spurious_full;
    bool spurious_empty;

    /*
     * A broadcast queue: each of the last so many threads reads every message, all of them in one order. Answers of
     * full, which depend on the slowest reader, are not checked. 0: each message goes to one thread.
     */
    unsigned readers;

    bool drained;          /* the history goes on until the queue is empty: each value must have been popped */
    size_t configurations; /* that the search may visit; 0: 4194304, in 128 MiB */
    FILE *report;          /* where a counterexample, or the reason for none, is printed; NULL: standard error */
};

enum history_kind {
    HISTORY_PUSH,
    HISTORY_POP,
};

/* What one thread did. Stamps start at 1; an operation that responds at the stamp of an invocation overlaps it. */
struct history_operation {
    uint64_t value; /* unique among the pushes; 0 for a pop that was refused */
    uint64_t invoked;
    uint64_t responded;
    uint32_t thread;
    enum history_kind kind;
    bool refused; /* answered full, or empty */
};

struct history;

/* The operations of one thread, which alone writes here until it is joined. */
struct history_thread {
    KN_OWNED struct history_operation *operations;
    struct history *history;
    size_t count;
    size_t room;
    size_t refusals;
    size_t dropped; /* that changed the queue but found no room: the history cannot be judged */
    uint64_t values;
    uint32_t number;
};

struct history {
    KN_OWNED _Atomic uint64_t clock;
    KN_OWNED struct history_thread *threads;
    struct history_options options;
};

/* Allocates all that recording needs. -EINVAL without threads or room, or with more readers than threads; -ENOMEM. */
KN_CHECK_RESULT int history_open(struct history *history, const struct history_options *options);

/* Frees it. NULL threads are fine. */
void history_close(struct history *history);

/* The stamp before an operation. Wait-free, as are all that record. */
KN_INLINE uint64_t history_begin(struct history_thread *thread)
{
    /*
     * Acquire, so that the operation is not seen to act before its stamp; release, so that the stamp of an operation
     * that has responded comes after what it did. Counterpart: the same counter in every other thread.
     */
    return atomic_fetch_add_explicit(&thread->history->clock, 1, memory_order_acq_rel);
}

/* The next value that no other thread of this history takes: its number above, a count below. */
KN_INLINE uint64_t history_next_value(struct history_thread *thread)
{
    return ((uint64_t)thread->number << 32) + thread->values++;
}

/* Whether another operation will be kept, whatever it answers. */
KN_INLINE bool history_has_room(const struct history_thread *thread)
{
    return thread->count < thread->room;
}

/*
 * Keeps an operation whose stamps the caller chose. Refusals change nothing in the queue, so that leaving some out
 * only weakens the check: they get half of the room, or a spinning thread would fill it all with them.
 */
KN_INLINE void history_keep(struct history_thread *thread, struct history_operation operation)
{
    const struct history_options *options = &thread->history->options;
    if (operation.refused) {
        bool ignored = operation.kind == HISTORY_PUSH ? options->spurious_full : options->spurious_empty;
        if (ignored || thread->refusals >= thread->room / 2)
            return;
    }
    if (!history_has_room(thread)) {
        thread->dropped += !operation.refused;
        return;
    }
    thread->refusals += operation.refused;
    operation.thread = thread->number;
    thread->operations[thread->count++] = operation;
}

/* Records a push of `value` that began at `began` and answered 0, or -EAGAIN when full. */
KN_INLINE void history_pushed(struct history_thread *thread, uint64_t began, uint64_t value, int result)
{
    history_keep(thread, (struct history_operation){.value = value,
                                                    .invoked = began,
                                                    .responded = history_begin(thread),
                                                    .kind = HISTORY_PUSH,
                                                    .refused = result != 0});
}

/*
 * Records a pop that answered 0, or -EAGAIN when empty. By pointer, so that the pop may stand in the same call: the
 * value is read after every argument has been evaluated.
 */
KN_INLINE void history_popped(struct history_thread *thread, uint64_t began, const uint64_t *value, int result)
{
    history_keep(thread, (struct history_operation){.value = result == 0 ? *value : 0,
                                                    .invoked = began,
                                                    .responded = history_begin(thread),
                                                    .kind = HISTORY_POP,
                                                    .refused = result != 0});
}

/*
 * Judges the history of a queue that was empty at its start, when every thread has been joined and has recorded all
 * that it did. Prints a counterexample when it is not linearizable, and the reason when it cannot tell. It visits about
 * one configuration for each operation. Only refusals that count, of a long queue that is nearly always full, can make
 * it go on to the limit; so can a violation that no simple pattern shows.
 */
KN_CHECK_RESULT enum history_verdict history_check(const struct history *history);

/* A queue, and the threads that history_run lets loose on it. Both functions answer 0 or -EAGAIN. */
struct history_subject {
    void *queue;
    int (*try_push)(void *queue, unsigned producer, uint64_t value);
    int (*try_pop)(void *queue, unsigned consumer, uint64_t *value);
    unsigned producers;
    unsigned consumers;
    size_t messages_per_producer;
};

/*
 * Starts the threads, has every producer push its messages and the consumers pop until nothing is left, and judges
 * the history with `drained`. When the threads have been joined, the caller pops what is left as each consumer in turn.
 */
KN_CHECK_RESULT enum history_verdict history_run(const struct history_subject *subject,
                                                 const struct history_options *options);

#endif
