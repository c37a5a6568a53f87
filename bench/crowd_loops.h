/*
 * The measured loops of a queue whose ends several threads may share, the same text for ours and for every peer.
 *
 * A queue enters by inline functions, as in spsc_loops.h: CROWD_LOOPS turns them into the loop of one of several
 * producers, the loop of one of several consumers and the two ends of a ping-pong, with nothing called indirectly
 * inside. Compiles as C and as C++.
 *
 * Every message is filled whole with a tag, that names its producer and counts up, and read whole. A consumer checks
 * that each producer's messages come in order, counts them and adds their tags up, so that in the end none may be
 * lost or doubled.
 */
#ifndef BENCH_CROWD_LOOPS_H
#define BENCH_CROWD_LOOPS_H

#include <sched.h>

#include "spsc_loops.h"

#ifdef __cplusplus
extern "C" {
#endif

#define CROWD_PRODUCERS_MAX 16
#define CROWD_TAG_BITS 48

/* A consumer reports what it took after so many messages, or as soon as it finds no more. */
#define CROWD_REPORT_MESSAGES 4096

/* Attempts between two looks at whether all messages are taken; with fewer cores than threads, before each yield. */
#define CROWD_ATTEMPTS 64

/* With a core for each thread a yield only costs; it comes this late in case the system runs something else there. */
#define CROWD_ATTEMPTS_ALONE (CROWD_ATTEMPTS * 1024)

/* The last two between processes. */
enum crowd_shape {
    CROWD_MPSC,
    CROWD_SPMC,
    CROWD_MPMC,
    CROWD_BROADCAST,
    CROWD_PIPELINE,
    CROWD_IPC_SPSC,
    CROWD_IPC_MPSC,
    CROWD_SHAPES
};

/* A set of shapes. */
#define CROWD_IN(shape) (1u << (shape))
#define CROWD_IN_ANY (CROWD_IN(CROWD_MPSC) | CROWD_IN(CROWD_SPMC) | CROWD_IN(CROWD_MPMC))

/* What all parts of a run share; between processes too. */
struct crowd_run {
    __attribute__((aligned(128))) uint64_t stopped;   /* not 0: producers shall end, the time is up */
    __attribute__((aligned(128))) uint64_t shortfall; /* messages that producers which ended early did not put */
};

/* One thread's part in a run, on lines of its own. The upper half is the caller's, the lower one the thread's. */
struct crowd_part {
    void *end;         /* what it holds of the queue: it puts there, or takes from it */
    void *back;        /* of a ping-pong: what it takes from */
    uint64_t producer; /* its number */
    uint64_t messages; /* to put; producers note here how many they did */
    struct crowd_run *run;
    uint64_t *left;    /* messages that nobody took yet, for all consumers that compete for them */
    uint32_t attempts; /* before it yields */
    bool leaves;       /* ends when the time is up: producers, and consumers but for one that takes what is left */
    __attribute__((aligned(128))) uint64_t own_left; /* where `left` points when every consumer gets all messages */
    uint64_t taken;
    uint64_t sum;   /* of the tags taken */
    uint64_t wrong; /* messages */
} __attribute__((aligned(128)));

typedef void crowd_loop(struct crowd_part *part);

struct crowd_loops {
    crowd_loop *produce;
    crowd_loop *consume;
    crowd_loop *ping; /* puts to `end` and then takes from `back` */
    crowd_loop *pong; /* takes from `back` and then puts to `end` */
};

enum crowd_form { CROWD_SINGLE, CROWD_BATCHED, CROWD_FORMS };

/* What a queue that runs its own threads, in a runtime of its own, is asked to do. */
struct crowd_errand {
    enum crowd_shape shape;
    unsigned consumers;
    uint64_t messages;
    size_t batch;
    uint32_t attempts; /* before a thread that waits yields */
};

/* What a queue is opened for. */
struct crowd_setup {
    enum crowd_shape shape;
    unsigned producers;
    unsigned consumers;
    uint32_t attempts; /* before a thread that waits yields */
    const int *cores;  /* where the threads run, in turn */
    size_t core_count;
};

/* One queue with messages of one size. The last list entry has no name. */
struct crowd_implementation {
    const char *name;
    unsigned shapes; /* that it is measured in */
    size_t message_bytes;
    void *(*open)(const struct crowd_setup *setup); /* NULL when it fails */
    void (*close)(void *queue);
    /* A thread's end of the queue, by its number; without these functions the end is the queue itself. */
    void *(*hold_producer)(void *queue, unsigned number);
    void (*drop_producer)(void *end);
    void *(*hold_consumer)(void *queue, unsigned number);
    void (*drop_consumer)(void *end);
    struct crowd_loops forms[CROWD_FORMS];
    /* Instead of the loops: the time in ns, and *wrong when messages were; negative when it fails. */
    double (*run)(void *queue, const struct crowd_errand *errand, uint64_t *wrong);
};

extern const struct crowd_implementation crowd_kernel[];
extern const struct crowd_implementation crowd_processes[];
extern const struct crowd_implementation crowd_threads[];
extern const struct crowd_implementation crowd_ck[];
extern const struct crowd_implementation crowd_rte[];
extern const struct crowd_implementation crowd_boost[];
extern const struct crowd_implementation crowd_moodycamel[];
extern const struct crowd_implementation crowd_tbb[];
extern const struct crowd_implementation crowd_urcu[];
extern const struct crowd_implementation crowd_fan_rte[];
extern const struct crowd_implementation crowd_fan_boost[];
extern const struct crowd_implementation crowd_disruptor[];

/* The wait between two attempts, the same for every queue. */
struct crowd_wait {
    uint32_t attempts; /* in a row, without success */
    uint32_t limit;    /* of attempts, before a yield */
};

/* What a consumer found; a local variable of its loop, so that most of it lives in registers. */
struct crowd_tally {
    uint64_t sum;
    uint64_t wrong;
    uint64_t *next; /* of each producer, the least sequence that may come */
};

SPSC_INLINE void crowd_pause(struct crowd_wait *wait)
{
    wait->attempts++;
    if (wait->attempts % wait->limit == 0)
        sched_yield();
    else
        spsc_relax();
}

SPSC_INLINE void crowd_check(struct crowd_tally *tally, const uint64_t *words, size_t message_bytes)
{
    uint64_t tag = words[0];
    uint64_t sequence = tag & ((UINT64_C(1) << CROWD_TAG_BITS) - 1);
    uint64_t *next = &tally->next[(tag >> CROWD_TAG_BITS) % CROWD_PRODUCERS_MAX];
    tally->wrong += spsc_wrong(words, message_bytes, tag) | (sequence < *next);
    tally->sum += tag;
    *next = sequence + 1;
}

/* Takes what was taken off the number of messages left, and answers whether none are. */
SPSC_INLINE bool crowd_report(struct crowd_part *part, uint64_t *unreported)
{
    uint64_t taken = *unreported;
    *unreported = 0;
    part->taken += taken;
    /* Relaxed: counts only. Looking alone must not take the line away from who still works. */
    uint64_t left = taken > 0 ? __atomic_sub_fetch(part->left, taken, __ATOMIC_RELAXED)
                              : __atomic_load_n(part->left, __ATOMIC_RELAXED);
    return left == __atomic_load_n(&part->run->shortfall, __ATOMIC_RELAXED);
}

/* What tells a thread to end before its work is done. */
SPSC_INLINE const uint64_t *crowd_stopped(const struct crowd_part *part)
{
    static const uint64_t never = 0;
    return part->leaves ? &part->run->stopped : &never;
}

/* Notes how many messages a producer has put, and those it has not. */
SPSC_INLINE void crowd_end(struct crowd_part *part, uint64_t done)
{
    if (done < part->messages)
        __atomic_add_fetch(&part->run->shortfall, part->messages - done, __ATOMIC_RELAXED);
    part->messages = done;
}

/*
 * From name_push(producer, message) and name_pop(consumer, message), which answer whether they did, and from
 * name_push_many and name_pop_many, which answer how many they moved, makes the loops of both forms.
 */
#define CROWD_COPYING(name, producer_type, consumer_type, message_type)                                                \
    SPSC_INLINE size_t name##_single_put(producer_type *producer, uint64_t tag, size_t count, struct crowd_wait *wait) \
    {                                                                                                                  \
        message_type message;                                                                                          \
        (void)count;                                                                                                   \
        spsc_fill(message.words, sizeof(message), tag);                                                                \
        while (!name##_push(producer, &message))                                                                       \
            crowd_pause(wait);                                                                                         \
        return 1;                                                                                                      \
    }                                                                                                                  \
    SPSC_INLINE size_t name##_single_take(consumer_type *consumer, size_t count, struct crowd_tally *tally)            \
    {                                                                                                                  \
        message_type message;                                                                                          \
        (void)count;                                                                                                   \
        if (!name##_pop(consumer, &message))                                                                           \
            return 0;                                                                                                  \
        crowd_check(tally, message.words, sizeof(message));                                                            \
        return 1;                                                                                                      \
    }                                                                                                                  \
    SPSC_INLINE size_t name##_batched_put(producer_type *producer, uint64_t tag, size_t count,                         \
                                          struct crowd_wait *wait)                                                     \
    {                                                                                                                  \
        message_type messages[SPSC_BATCH];                                                                             \
        size_t done = 0;                                                                                               \
        for (size_t i = 0; i < count; i++)                                                                             \
            spsc_fill(messages[i].words, sizeof(messages[i]), tag + i);                                                \
        while ((done += name##_push_many(producer, messages + done, count - done)) < count)                            \
            crowd_pause(wait);                                                                                         \
        return count;                                                                                                  \
    }                                                                                                                  \
    SPSC_INLINE size_t name##_batched_take(consumer_type *consumer, size_t count, struct crowd_tally *tally)           \
    {                                                                                                                  \
        message_type messages[SPSC_BATCH];                                                                             \
        size_t taken = name##_pop_many(consumer, messages, count);                                                     \
        for (size_t i = 0; i < taken; i++)                                                                             \
            crowd_check(tally, messages[i].words, sizeof(messages[i]));                                                \
        return taken;                                                                                                  \
    }                                                                                                                  \
    CROWD_LOOPS(name##_single, producer_type, consumer_type, name##_single_put, name##_single_take, 1)                 \
    CROWD_LOOPS(name##_batched, producer_type, consumer_type, name##_batched_put, name##_batched_take, SPSC_BATCH)

/* name_push_many and name_pop_many of a queue that has no batch form: a loop of single calls. */
#define CROWD_ONE_BY_ONE(name, producer_type, consumer_type, message_type)                                             \
    SPSC_INLINE size_t name##_push_many(producer_type *producer, message_type *messages, size_t count)                 \
    {                                                                                                                  \
        size_t done = 0;                                                                                               \
        while (done < count && name##_push(producer, &messages[done]))                                                 \
            done++;                                                                                                    \
        return done;                                                                                                   \
    }                                                                                                                  \
    SPSC_INLINE size_t name##_pop_many(consumer_type *consumer, message_type *messages, size_t count)                  \
    {                                                                                                                  \
        size_t done = 0;                                                                                               \
        while (done < count && name##_pop(consumer, &messages[done]))                                                  \
            done++;                                                                                                    \
        return done;                                                                                                   \
    }

/* From name_put and name_take, which work in place, the loops of both forms. */
#define CROWD_IN_PLACE(name, producer_type, consumer_type)                                                             \
    CROWD_LOOPS(name##_in_place_single, producer_type, consumer_type, name##_put, name##_take, 1)                      \
    CROWD_LOOPS(name##_in_place_batched, producer_type, consumer_type, name##_put, name##_take, SPSC_BATCH)

/* The loops themselves, over at most `batch` messages at once. */
#define CROWD_LOOPS(name, producer_type, consumer_type, put, take, batch)                                              \
    SPSC_INLINE void name##_put_one(producer_type *producer, uint64_t tag, struct crowd_wait *wait)                    \
    {                                                                                                                  \
        while (put(producer, tag, 1, wait) == 0)                                                                       \
            crowd_pause(wait);                                                                                         \
        wait->attempts = 0;                                                                                            \
    }                                                                                                                  \
    SPSC_INLINE void name##_take_one(consumer_type *consumer, struct crowd_tally *tally, struct crowd_wait *wait)      \
    {                                                                                                                  \
        while (take(consumer, 1, tally) == 0)                                                                          \
            crowd_pause(wait);                                                                                         \
        wait->attempts = 0;                                                                                            \
    }                                                                                                                  \
    static void name##_produce(struct crowd_part *part)                                                                \
    {                                                                                                                  \
        producer_type *producer = (producer_type *)part->end;                                                          \
        struct crowd_wait wait = {0, part->attempts};                                                                  \
        const uint64_t *stopped = crowd_stopped(part);                                                                 \
        uint64_t first = part->producer << CROWD_TAG_BITS;                                                             \
        uint64_t last = first + part->messages;                                                                        \
        uint64_t tag = first;                                                                                          \
        while (tag < last && __atomic_load_n(stopped, __ATOMIC_RELAXED) == 0) {                                        \
            size_t done = put(producer, tag, last - tag < (batch) ? (size_t)(last - tag) : (batch), &wait);            \
            if (done == 0)                                                                                             \
                crowd_pause(&wait);                                                                                    \
            else                                                                                                       \
                wait.attempts = 0;                                                                                     \
            tag += done;                                                                                               \
        }                                                                                                              \
        crowd_end(part, tag - first);                                                                                  \
    }                                                                                                                  \
    static void name##_consume(struct crowd_part *part)                                                                \
    {                                                                                                                  \
        consumer_type *consumer = (consumer_type *)part->end;                                                          \
        struct crowd_wait wait = {0, part->attempts};                                                                  \
        uint64_t next[CROWD_PRODUCERS_MAX] = {0};                                                                      \
        struct crowd_tally tally = {0, 0, next};                                                                       \
        const uint64_t *stopped = crowd_stopped(part);                                                                 \
        uint64_t unreported = 0;                                                                                       \
        while (__atomic_load_n(stopped, __ATOMIC_RELAXED) == 0) {                                                      \
            size_t done = take(consumer, batch, &tally);                                                               \
            if (done > 0) {                                                                                            \
                wait.attempts = 0;                                                                                     \
                unreported += done;                                                                                    \
                if (unreported >= CROWD_REPORT_MESSAGES && crowd_report(part, &unreported))                            \
                    break;                                                                                             \
                continue;                                                                                              \
            }                                                                                                          \
            if (wait.attempts % CROWD_ATTEMPTS == CROWD_ATTEMPTS - 1 && crowd_report(part, &unreported))               \
                break;                                                                                                 \
            crowd_pause(&wait);                                                                                        \
        }                                                                                                              \
        crowd_report(part, &unreported);                                                                               \
        part->sum = tally.sum;                                                                                         \
        part->wrong = tally.wrong;                                                                                     \
    }                                                                                                                  \
    static void name##_ping(struct crowd_part *part)                                                                   \
    {                                                                                                                  \
        struct crowd_wait wait = {0, part->attempts};                                                                  \
        uint64_t next[CROWD_PRODUCERS_MAX] = {0};                                                                      \
        struct crowd_tally tally = {0, 0, next};                                                                       \
        for (uint64_t i = 0; i < part->messages; i++) {                                                                \
            name##_put_one((producer_type *)part->end, i, &wait);                                                      \
            name##_take_one((consumer_type *)part->back, &tally, &wait);                                               \
        }                                                                                                              \
        part->taken = part->messages;                                                                                  \
        part->sum = tally.sum;                                                                                         \
        part->wrong = tally.wrong;                                                                                     \
    }                                                                                                                  \
    static void name##_pong(struct crowd_part *part)                                                                   \
    {                                                                                                                  \
        struct crowd_wait wait = {0, part->attempts};                                                                  \
        uint64_t next[CROWD_PRODUCERS_MAX] = {0};                                                                      \
        struct crowd_tally tally = {0, 0, next};                                                                       \
        for (uint64_t i = 0; i < part->messages; i++) {                                                                \
            name##_take_one((consumer_type *)part->back, &tally, &wait);                                               \
            name##_put_one((producer_type *)part->end, i, &wait);                                                      \
        }                                                                                                              \
        part->taken = part->messages;                                                                                  \
        part->sum = tally.sum;                                                                                         \
        part->wrong = tally.wrong;                                                                                     \
    }

#define CROWD_LOOPS_OF(name)                                                                                           \
    {                                                                                                                  \
        name##_produce, name##_consume, name##_ping, name##_pong                                                       \
    }

/* The list entry of a queue that CROWD_COPYING(name) was made for and whose ends are the queue itself. */
#define CROWD_IMPLEMENTATION(shown_name, shapes, name, message_type)                                                   \
    {                                                                                                                  \
        shown_name, shapes, sizeof(message_type), name##_open_queue, name##_close_queue, NULL, NULL, NULL, NULL,       \
            {CROWD_LOOPS_OF(name##_single), CROWD_LOOPS_OF(name##_batched)}, NULL                                      \
    }

/* The same with an object for each thread, from functions of `ends`; `single` and `batched` name the loops. */
#define CROWD_IMPLEMENTATION_HELD(shown_name, shapes, name, ends, single, batched, message_type)                       \
    {                                                                                                                  \
        shown_name, shapes, sizeof(message_type), name##_open_queue, name##_close_queue, ends##_hold_producer,         \
            ends##_drop_producer, ends##_hold_consumer, ends##_drop_consumer,                                          \
            {CROWD_LOOPS_OF(single), CROWD_LOOPS_OF(batched)}, NULL                                                    \
    }

#ifdef __cplusplus
}
#endif

#endif
