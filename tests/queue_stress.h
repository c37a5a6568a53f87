/*
 * What the tests of the queues share: sectors of every shape, and threads that push and pop through any face.
 *
 * Use QUEUE_FACE to make a typed queue one of many, stress_run to let threads loose on it, and stress_history to record
 * what they did and judge it. Nothing here asserts: functions answer how much was wrong, so that a program without
 * cmocka can use them as well. history_run comes from linearizability.c: link it where stress_history is called.
 */
#ifndef KERNEL_TESTS_QUEUE_STRESS_H
#define KERNEL_TESTS_QUEUE_STRESS_H

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include <kernel/queue.h>

#include "linearizability.h"

/* ---- sectors of every shape ---- */

/* Layouts, writers, readers, and whether cursors leave traces. */
enum { QUEUE_SHAPES = 2 * 2 * 3 * 2 };

static inline struct kn_sector_options queue_shape(unsigned shape, size_t slot_bytes, size_t capacity_slots)
{
    return (struct kn_sector_options){.slot_bytes = slot_bytes,
                                      .capacity_slots = capacity_slots,
                                      .layout = (enum kn_layout)(shape % 2),
                                      .writers = (enum kn_writers)(shape / 2 % 2),
                                      .readers = (enum kn_readers)(shape / 4 % 3),
                                      .robust = shape / 12 != 0};
}

/* A sector of numbers with a writer and a reader. */
struct queue_pair {
    struct kn_writer writer;
    struct kn_reader reader;
    KN_OWNED struct kn_sector sector;
};

/* Opens it, its reader with these options; 0 or a negative errno. */
static inline int queue_pair_open(struct queue_pair *pair, const struct kn_sector_options *options,
                                  const struct kn_reader_options *reader_options)
{
    int result = kn_sector_create(&pair->sector, options);
    if (result == 0)
        result = kn_writer_join(&pair->writer, &pair->sector);
    if (result == 0)
        result = kn_reader_join(&pair->reader, &pair->sector, reader_options);
    return result;
}

static inline void queue_pair_close(struct queue_pair *pair)
{
    kn_reader_leave(&pair->reader);
    kn_writer_leave(&pair->writer);
    kn_sector_close(&pair->sector);
}

/* A sleeper on an event, without a thread: counted, and asleep as far as anybody can tell. */
static inline void queue_sleep(struct kn_waiter *waiter, struct kn_eventcount *event)
{
    static const struct kn_wait park = {.strategy = KN_WAIT_PARK, .attempts = 1};
    bool waited_long;
    kn_waiter_begin(waiter, event, &park);
    while (!waiter->prepared)
        (void)kn_waiter_pause(waiter, &waited_long);
}

/* Whether it was woken since; it sleeps no more. */
static inline bool queue_was_woken(struct kn_waiter *waiter)
{
    bool woken = atomic_load_explicit(&waiter->event->epoch, memory_order_relaxed) != waiter->epoch;
    kn_waiter_end(waiter);
    return woken;
}

/* ---- faces ---- */

/* A queue as its users see it. A typed producer is a writer and nothing else, a consumer a reader. */
struct queue_face {
    const char *name;
    struct kn_sector_options options;
    int (*producer_join)(struct kn_writer *producer, const struct kn_sector *sector);
    int (*claim)(struct kn_writer *producer, size_t slots_max, struct kn_span *span);
    int (*publish)(struct kn_writer *producer, size_t slots);
    int (*try_push)(struct kn_writer *producer, const void *message);
    size_t (*push_many)(struct kn_writer *producer, const void *messages, size_t count);
    int (*claim_wait)(struct kn_writer *producer, size_t slots_max, struct kn_span *span, const struct kn_wait *how);
    int (*push)(struct kn_writer *producer, const void *message, const struct kn_wait *how);
    int (*consumer_join)(struct kn_reader *consumer, const struct kn_sector *sector,
                         const struct kn_reader_options *options);
    int (*peek)(struct kn_reader *consumer, size_t slots_max, struct kn_span *span);
    int (*release)(struct kn_reader *consumer, size_t slots);
    int (*try_pop)(struct kn_reader *consumer, void *message);
    size_t (*pop_many)(struct kn_reader *consumer, void *messages, size_t count);
    int (*peek_wait)(struct kn_reader *consumer, size_t slots_max, struct kn_span *span, const struct kn_wait *how);
    int (*pop)(struct kn_reader *consumer, void *message, const struct kn_wait *how);
};

/* The functions without types. `options` lacks the capacity. */
static inline struct queue_face queue_untyped_face(struct kn_sector_options options)
{
    return (struct queue_face){.name = "untyped",
                               .options = options,
                               .producer_join = kn_writer_join,
                               .claim = kn_writer_claim,
                               .publish = kn_writer_publish,
                               .try_push = kn_writer_try_push,
                               .push_many = kn_writer_push_many,
                               .claim_wait = kn_writer_claim_wait,
                               .push = kn_writer_push,
                               .consumer_join = kn_reader_join,
                               .peek = kn_reader_peek,
                               .release = kn_reader_release,
                               .try_pop = kn_reader_try_pop,
                               .pop_many = kn_reader_pop_many,
                               .peek_wait = kn_reader_peek_wait,
                               .pop = kn_reader_pop};
}

/* One function of a face: `face_producer` and `face_consumer` turn its first argument into the typed one. */
#define QUEUE_FACE_FUNCTION(returned, queue, function, end, parameters, ...)                                           \
    static returned queue##_face_##function parameters                                                                 \
    {                                                                                                                  \
        return queue##_##function((struct queue##_##end *)(void *)end, __VA_ARGS__);                                   \
    }

/* Defines `struct queue_face name_face(void)` for a typed queue `name`. */
#define QUEUE_FACE(queue)                                                                                              \
    QUEUE_FACE_FUNCTION(int, queue, producer_join, producer,                                                           \
                        (struct kn_writer * producer, const struct kn_sector *sector), sector)                         \
    QUEUE_FACE_FUNCTION(int, queue, claim, producer, (struct kn_writer * producer, size_t max, struct kn_span * span), \
                        max, span)                                                                                     \
    QUEUE_FACE_FUNCTION(int, queue, publish, producer, (struct kn_writer * producer, size_t slots), slots)             \
    QUEUE_FACE_FUNCTION(int, queue, try_push, producer, (struct kn_writer * producer, const void *message), message)   \
    QUEUE_FACE_FUNCTION(size_t, queue, push_many, producer,                                                            \
                        (struct kn_writer * producer, const void *messages, size_t count), messages, count)            \
    QUEUE_FACE_FUNCTION(int, queue, claim_wait, producer,                                                              \
                        (struct kn_writer * producer, size_t max, struct kn_span * span, const struct kn_wait *how),   \
                        max, span, how)                                                                                \
    QUEUE_FACE_FUNCTION(int, queue, push, producer,                                                                    \
                        (struct kn_writer * producer, const void *message, const struct kn_wait *how), message, how)   \
    QUEUE_FACE_FUNCTION(                                                                                               \
        int, queue, consumer_join, consumer,                                                                           \
        (struct kn_reader * consumer, const struct kn_sector *sector, const struct kn_reader_options *options),        \
        sector, options)                                                                                               \
    QUEUE_FACE_FUNCTION(int, queue, peek, consumer, (struct kn_reader * consumer, size_t max, struct kn_span * span),  \
                        max, span)                                                                                     \
    QUEUE_FACE_FUNCTION(int, queue, release, consumer, (struct kn_reader * consumer, size_t slots), slots)             \
    QUEUE_FACE_FUNCTION(int, queue, try_pop, consumer, (struct kn_reader * consumer, void *message), message)          \
    QUEUE_FACE_FUNCTION(size_t, queue, pop_many, consumer,                                                             \
                        (struct kn_reader * consumer, void *messages, size_t count), messages, count)                  \
    QUEUE_FACE_FUNCTION(int, queue, peek_wait, consumer,                                                               \
                        (struct kn_reader * consumer, size_t max, struct kn_span * span, const struct kn_wait *how),   \
                        max, span, how)                                                                                \
    QUEUE_FACE_FUNCTION(int, queue, pop, consumer,                                                                     \
                        (struct kn_reader * consumer, void *message, const struct kn_wait *how), message, how)         \
    static struct queue_face queue##_face(void)                                                                        \
    {                                                                                                                  \
        return (struct queue_face){.name = #queue,                                                                     \
                                   .options = queue##_options(0),                                                      \
                                   .producer_join = queue##_face_producer_join,                                        \
                                   .claim = queue##_face_claim,                                                        \
                                   .publish = queue##_face_publish,                                                    \
                                   .try_push = queue##_face_try_push,                                                  \
                                   .push_many = queue##_face_push_many,                                                \
                                   .claim_wait = queue##_face_claim_wait,                                              \
                                   .push = queue##_face_push,                                                          \
                                   .consumer_join = queue##_face_consumer_join,                                        \
                                   .peek = queue##_face_peek,                                                          \
                                   .release = queue##_face_release,                                                    \
                                   .try_pop = queue##_face_try_pop,                                                    \
                                   .pop_many = queue##_face_pop_many,                                                  \
                                   .peek_wait = queue##_face_peek_wait,                                                \
                                   .pop = queue##_face_pop};                                                           \
    }                                                                                                                  \
    struct queue##_face_defined

/* ---- threads that push and pop ---- */

enum { STRESS_ENDS_MAX = 4, STRESS_BATCH_MAX = 64 };

/* Who sent it above, the how-manieth it is below; and a function of that, so that a torn or stale message shows. */
struct stress_message {
    uint64_t number;
    uint64_t check;
};

/* Follows the last message of all. */
#define STRESS_END UINT64_MAX
#define STRESS_PRODUCER_SHIFT 48

static inline uint64_t stress_mark(uint64_t number)
{
    return (number + 1) * UINT64_C(0x9E3779B97F4A7C15);
}

/* What to do. Zero: by claim and peek, without ever waiting. */
struct stress_options {
    const struct queue_face *face;
    size_t capacity_slots;
    unsigned producers;
    unsigned consumers;
    uint64_t messages; /* of each producer */
    size_t batch;      /* most messages that are pushed, or popped, at once: at least 1 */
    bool by_copy;      /* in and out, instead of in place */
    bool robust;
    bool full_batches;          /* as many at once as may be, but for some singles; else any number */
    const struct kn_wait *how;  /* by the forms that wait */
    _Atomic uint64_t *progress; /* NULL, or where consumers add what they have received, batch by batch */
};

struct stress;

struct stress_thread {
    KN_OWNED struct stress *stress;
    struct kn_writer writer;
    struct kn_reader reader;
    unsigned number;
    pthread_t thread;
    uint64_t received;
    uint64_t sum;                   /* of the checks */
    uint64_t wrong;                 /* torn, or out of the order of its producer, or an error where there is none */
    uint64_t next[STRESS_ENDS_MAX]; /* of each producer, the least number that may come next */
};

struct stress {
    const struct stress_options *options;
    struct kn_sector sector;
    bool gapless; /* every consumer sees every message */
    _Atomic unsigned producers_left;
    struct stress_thread producers[STRESS_ENDS_MAX];
    struct stress_thread consumers[STRESS_ENDS_MAX];
};

static inline struct stress_message *stress_at(const struct kn_span *span, size_t index)
{
    return kn_span_at(span, index);
}

static inline struct stress_message stress_message_of(const struct stress_thread *producer, uint64_t count)
{
    uint64_t number = (uint64_t)producer->number << STRESS_PRODUCER_SHIFT | count;
    return (struct stress_message){.number = number, .check = stress_mark(number)};
}

/* How many to push or pop after so many. */
static inline size_t stress_wanted(const struct stress_options *options, uint64_t count, size_t batch)
{
    if (options->full_batches)
        return count % 7 == 0 ? 1 : batch;
    return 1 + (size_t)(count * 7 % batch);
}

/* Pushes from the `sent`th message on, up to `wanted`, in place; how many. Gives the end of every fifth claim up. */
static inline uint64_t stress_push_in_place(struct stress_thread *producer, uint64_t sent, size_t wanted)
{
    const struct stress_options *options = producer->stress->options;
    struct kn_span span;
    int result = options->how ? options->face->claim_wait(&producer->writer, wanted, &span, options->how)
                              : options->face->claim(&producer->writer, wanted, &span);
    if (result != 0) {
        producer->wrong += result != -EAGAIN || options->how != NULL;
        return 0;
    }
    size_t count = span.count > 1 && sent % 5 == 0 ? span.count - 1 : span.count;
    producer->wrong += span.count > wanted;
    for (size_t i = 0; i < count; i++)
        *stress_at(&span, i) = stress_message_of(producer, sent + i);
    producer->wrong += options->face->publish(&producer->writer, count) != 0;
    return count;
}

static inline uint64_t stress_push_copies(struct stress_thread *producer, uint64_t sent, size_t wanted)
{
    const struct stress_options *options = producer->stress->options;
    struct stress_message messages[STRESS_BATCH_MAX];
    for (size_t i = 0; i < wanted; i++)
        messages[i] = stress_message_of(producer, sent + i);
    if (!options->how && wanted > 1)
        return options->face->push_many(&producer->writer, messages, wanted);
    int result = options->how ? options->face->push(&producer->writer, messages, options->how)
                              : options->face->try_push(&producer->writer, messages);
    producer->wrong += result != 0 && (result != -EAGAIN || options->how != NULL);
    return result == 0;
}

/* Tells every consumer that waits that nothing follows. */
static inline void stress_push_ends(struct stress_thread *producer)
{
    const struct stress_options *options = producer->stress->options;
    struct stress_message end = {.number = STRESS_END};
    for (unsigned i = 0; options->how && i < (producer->stress->gapless ? 1 : options->consumers); i++)
        producer->wrong += options->face->push(&producer->writer, &end, options->how) != 0;
}

static inline void *stress_produce(void *argument)
{
    struct stress_thread *producer = argument;
    struct stress *stress = producer->stress;
    const struct stress_options *options = stress->options;
    producer->wrong += options->face->producer_join(&producer->writer, &stress->sector) != 0;
    for (uint64_t sent = 0; producer->wrong == 0 && sent < options->messages;) {
        size_t wanted = stress_wanted(options, sent, options->batch);
        if (wanted > options->messages - sent)
            wanted = (size_t)(options->messages - sent);
        uint64_t count = options->by_copy ? stress_push_copies(producer, sent, wanted)
                                          : stress_push_in_place(producer, sent, wanted);
        if (count == 0)
            (void)sched_yield();
        sent += count;
    }
    /* Release: who sees the last producer gone also sees its messages. Counterpart: here, and in stress_consume. */
    if (atomic_fetch_sub_explicit(&stress->producers_left, 1, memory_order_acq_rel) == 1)
        stress_push_ends(producer);
    kn_writer_leave(&producer->writer);
    return NULL;
}

/* Checks a message; whether it is the last. */
static inline bool stress_check(struct stress_thread *consumer, struct stress_message message)
{
    if (message.number == STRESS_END)
        return true;
    uint64_t producer = message.number >> STRESS_PRODUCER_SHIFT;
    uint64_t count = message.number & ((UINT64_C(1) << STRESS_PRODUCER_SHIFT) - 1);
    if (message.check != stress_mark(message.number) || producer >= consumer->stress->options->producers ||
        count < consumer->next[producer] || (consumer->stress->gapless && count != consumer->next[producer])) {
        consumer->wrong++;
        return false;
    }
    consumer->next[producer] = count + 1;
    consumer->received++;
    consumer->sum += message.check;
    return false;
}

/* Pops up to `wanted` in place, and gives them back in two parts; how many. */
static inline size_t stress_pop_in_place(struct stress_thread *consumer, size_t wanted, bool *ended)
{
    const struct stress_options *options = consumer->stress->options;
    struct kn_span span;
    int result = options->how ? options->face->peek_wait(&consumer->reader, wanted, &span, options->how)
                              : options->face->peek(&consumer->reader, wanted, &span);
    if (result != 0) {
        consumer->wrong += result != -EAGAIN || options->how != NULL;
        return 0;
    }
    consumer->wrong += span.count > wanted;
    for (size_t i = 0; i < span.count; i++)
        *ended |= stress_check(consumer, *stress_at(&span, i));
    consumer->wrong += options->face->release(&consumer->reader, span.count / 2) != 0;
    consumer->wrong += options->face->release(&consumer->reader, span.count - span.count / 2) != 0;
    return span.count;
}

static inline size_t stress_pop_copies(struct stress_thread *consumer, size_t wanted, bool *ended)
{
    const struct stress_options *options = consumer->stress->options;
    struct stress_message messages[STRESS_BATCH_MAX];
    size_t count = 1;
    if (options->how || wanted == 1) {
        int result = options->how ? options->face->pop(&consumer->reader, messages, options->how)
                                  : options->face->try_pop(&consumer->reader, messages);
        consumer->wrong += result != 0 && (result != -EAGAIN || options->how != NULL);
        count = result == 0;
    } else {
        count = options->face->pop_many(&consumer->reader, messages, wanted);
    }
    for (size_t i = 0; i < count; i++)
        *ended |= stress_check(consumer, messages[i]);
    return count;
}

static inline void *stress_consume(void *argument)
{
    struct stress_thread *consumer = argument;
    struct stress *stress = consumer->stress;
    const struct stress_options *options = stress->options;
    /* Of the ends each is for one: nobody may take two. */
    size_t batch = options->how && !stress->gapless ? 1 : options->batch;
    bool ended = false;
    while (!ended && consumer->wrong == 0) {
        /* Acquire pairs with the release in stress_produce. Before the pop, or a last message could be missed. */
        bool last = atomic_load_explicit(&stress->producers_left, memory_order_acquire) == 0;
        size_t wanted = stress_wanted(options, consumer->received, batch);
        size_t count = options->by_copy ? stress_pop_copies(consumer, wanted, &ended)
                                        : stress_pop_in_place(consumer, wanted, &ended);
        if (options->progress && count > 0)
            atomic_fetch_add_explicit(options->progress, count, memory_order_relaxed);
        ended |= count == 0 && last && !options->how;
        if (count == 0)
            (void)sched_yield();
    }
    kn_reader_leave(&consumer->reader);
    return NULL;
}

/* How much is wrong when all threads are done: what they say themselves, and what is lost or doubled. */
static inline uint64_t stress_judge(const struct stress *stress)
{
    const struct stress_options *options = stress->options;
    uint64_t wrong = 0;
    uint64_t expected_sum = 0;
    uint64_t received = 0;
    uint64_t sum = 0;
    for (unsigned p = 0; p < options->producers; p++) {
        wrong += stress->producers[p].wrong;
        for (uint64_t i = 0; i < options->messages; i++)
            expected_sum += stress_message_of(&stress->producers[p], i).check;
    }
    uint64_t expected = options->producers * options->messages;
    for (unsigned c = 0; c < options->consumers; c++) {
        const struct stress_thread *consumer = &stress->consumers[c];
        wrong += consumer->wrong;
        wrong += stress->gapless && (consumer->received != expected || consumer->sum != expected_sum);
        received += consumer->received;
        sum += consumer->sum;
    }
    return wrong + (!stress->gapless && (received != expected || sum != expected_sum));
}

static inline uint64_t stress_threads(struct stress *stress)
{
    const struct stress_options *options = stress->options;
    uint64_t wrong = 0;
    /* Before the first message, or broadcast consumers would miss it. */
    for (unsigned c = 0; c < options->consumers; c++)
        wrong += options->face->consumer_join(&stress->consumers[c].reader, &stress->sector, NULL) != 0;
    if (wrong > 0)
        return wrong;
    for (unsigned c = 0; c < options->consumers; c++)
        wrong += pthread_create(&stress->consumers[c].thread, NULL, stress_consume, &stress->consumers[c]) != 0;
    for (unsigned p = 0; p < options->producers; p++)
        wrong += pthread_create(&stress->producers[p].thread, NULL, stress_produce, &stress->producers[p]) != 0;
    if (wrong > 0)
        abort(); /* no threads: there is no way on, nor back */
    for (unsigned p = 0; p < options->producers; p++)
        wrong += pthread_join(stress->producers[p].thread, NULL) != 0;
    for (unsigned c = 0; c < options->consumers; c++)
        wrong += pthread_join(stress->consumers[c].thread, NULL) != 0;
    return wrong + stress_judge(stress) + (kn_sector_count(&stress->sector) != 0);
}

/* Runs it; how much was wrong. */
static inline uint64_t stress_run(const struct stress_options *options)
{
    struct stress *stress = aligned_alloc(KN_OWNER_STRIDE, sizeof(*stress));
    if (!stress)
        return 1;
    *stress = (struct stress){.options = options, .gapless = options->face->options.readers != KN_READERS_GROUP};
    atomic_init(&stress->producers_left, options->producers);
    for (unsigned i = 0; i < STRESS_ENDS_MAX; i++) {
        stress->producers[i] = (struct stress_thread){.stress = stress, .number = i};
        stress->consumers[i] = (struct stress_thread){.stress = stress, .number = i};
    }
    struct kn_sector_options sector_options = options->face->options;
    sector_options.capacity_slots = options->capacity_slots;
    sector_options.robust = options->robust;
    uint64_t wrong = 1;
    if (kn_sector_create(&stress->sector, &sector_options) == 0) {
        wrong = stress_threads(stress);
        kn_sector_close(&stress->sector);
    }
    free(stress);
    return wrong;
}

/* Runs it with every number of threads at both ends, in place and by copy, with rings of several sizes. */
static inline uint64_t stress_run_all(const struct queue_face *face, uint64_t messages, bool robust)
{
    static const size_t capacities[] = {1, 64, 2, 512, 8};
    unsigned producers = face->options.writers == KN_WRITERS_SHARED ? STRESS_ENDS_MAX : 1;
    unsigned consumers = face->options.readers == KN_READER_EXCLUSIVE ? 1 : STRESS_ENDS_MAX;
    uint64_t wrong = 0;
    for (unsigned run = 0; run < 2 * producers * consumers; run++) {
        struct stress_options options = {.face = face,
                                         .capacity_slots = capacities[run % 5],
                                         .producers = 1 + run / 2 % producers,
                                         .consumers = 1 + run / 2 / producers,
                                         .messages = messages,
                                         .batch = 1 + run * 5 % 32,
                                         .by_copy = run % 2 != 0,
                                         .robust = robust};
        wrong += stress_run(&options);
    }
    return wrong;
}

/* The same by the forms that wait, with more threads than cores and so little room that both ends wait. */
static inline uint64_t stress_run_waiting(const struct queue_face *face, uint64_t messages,
                                          enum kn_wait_strategy strategy)
{
    static const size_t capacities[] = {1, 2, 16};
    const struct kn_wait how = {.strategy = strategy, .attempts = 2};
    uint64_t wrong = 0;
    for (unsigned run = 0; run < 6; run++) {
        struct stress_options options = {.face = face,
                                         .capacity_slots = capacities[run % 3],
                                         .producers = face->options.writers == KN_WRITERS_SHARED ? STRESS_ENDS_MAX : 1,
                                         .consumers =
                                             face->options.readers == KN_READER_EXCLUSIVE ? 1 : STRESS_ENDS_MAX,
                                         .messages = messages,
                                         .batch = 16,
                                         .by_copy = run / 3 != 0,
                                         .how = &how};
        wrong += stress_run(&options);
    }
    return wrong;
}

/* ---- recorded histories ---- */

/* A message of a page, so that a ring of few slots has few slots: each lap is a lap of the same stamps. */
enum { HISTORY_MESSAGE_MAX = 4096 };

struct history_queue {
    const struct queue_face *face;
    struct kn_sector sector;
    struct kn_writer writers[STRESS_ENDS_MAX];
    struct kn_reader readers[STRESS_ENDS_MAX];
};

static inline int history_queue_push(void *queue, unsigned producer, uint64_t value)
{
    struct history_queue *pushed = queue;
    alignas(uint64_t) uint8_t message[HISTORY_MESSAGE_MAX] = {0};
    memcpy(message, &value, sizeof(value));
    return pushed->face->try_push(&pushed->writers[producer], message);
}

static inline int history_queue_pop(void *queue, unsigned consumer, uint64_t *value)
{
    struct history_queue *popped = queue;
    alignas(uint64_t) uint8_t message[HISTORY_MESSAGE_MAX];
    int result = popped->face->try_pop(&popped->readers[consumer], message);
    if (result == 0)
        memcpy(value, message, sizeof(*value));
    return result;
}

/* Whether a recorded run of this face is explained by one order of its operations. Messages begin with a uint64_t. */
static inline enum history_verdict stress_history(const struct queue_face *face, unsigned producers, unsigned consumers,
                                                  size_t messages, const struct history_options *options)
{
    struct history_queue *queue = aligned_alloc(KN_OWNER_STRIDE, sizeof(*queue));
    if (!queue)
        return HISTORY_INCONCLUSIVE;
    *queue = (struct history_queue){.face = face};
    struct kn_sector_options sector_options = face->options;
    sector_options.capacity_slots = options->capacity_slots;
    int result = kn_sector_create(&queue->sector, &sector_options);
    for (unsigned p = 0; result == 0 && p < producers; p++)
        result = face->producer_join(&queue->writers[p], &queue->sector);
    for (unsigned c = 0; result == 0 && c < consumers; c++)
        result = face->consumer_join(&queue->readers[c], &queue->sector, NULL);
    struct history_subject subject = {.queue = queue,
                                      .try_push = history_queue_push,
                                      .try_pop = history_queue_pop,
                                      .producers = producers,
                                      .consumers = consumers,
                                      .messages_per_producer = messages};
    enum history_verdict verdict = result == 0 ? history_run(&subject, options) : HISTORY_INCONCLUSIVE;
    kn_sector_close(&queue->sector);
    free(queue);
    return verdict;
}

#endif
