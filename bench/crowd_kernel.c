#include "bench.h"
#include "crowd_loops.h"

#include <stdlib.h>
#include <unistd.h>

#include <kernel/broadcast.h>
#include <kernel/mpmc.h>
#include <kernel/mpsc.h>
#include <kernel/spmc.h>
#include <kernel/spsc.h>

/* A thread's end that belongs to the queue: name_producer and name_consumer are its fields. */
#define KERNEL_OWNED_PRODUCER(name, queue_name)                                                                        \
    static void *name##_hold_producer(void *queue, unsigned number)                                                    \
    {                                                                                                                  \
        (void)number;                                                                                                  \
        return &((struct queue_name *)queue)->producer;                                                                \
    }                                                                                                                  \
    static void name##_drop_producer(void *producer)                                                                   \
    {                                                                                                                  \
        (void)producer;                                                                                                \
    }

#define KERNEL_OWNED_CONSUMER(name, queue_name)                                                                        \
    static void *name##_hold_consumer(void *queue, unsigned number)                                                    \
    {                                                                                                                  \
        (void)number;                                                                                                  \
        return &((struct queue_name *)queue)->consumer;                                                                \
    }                                                                                                                  \
    static void name##_drop_consumer(void *consumer)                                                                   \
    {                                                                                                                  \
        (void)consumer;                                                                                                \
    }

/* An end that each thread joins by itself. */
#define KERNEL_JOINED_PRODUCER(name, queue_name)                                                                       \
    static void *name##_hold_producer(void *queue, unsigned number)                                                    \
    {                                                                                                                  \
        struct queue_name##_producer *producer = bench_allocate(sizeof(*producer));                                    \
        (void)number;                                                                                                  \
        if (queue_name##_producer_join(producer, &((struct queue_name *)queue)->sector) == 0)                          \
            return producer;                                                                                           \
        free(producer);                                                                                                \
        return NULL;                                                                                                   \
    }                                                                                                                  \
    static void name##_drop_producer(void *producer)                                                                   \
    {                                                                                                                  \
        queue_name##_producer_leave(producer);                                                                         \
        free(producer);                                                                                                \
    }

/* `id` and `before` are made of the consumer's number: who it is, and whom it comes after; 0: nobody. */
#define KERNEL_JOINED_CONSUMER(name, queue_name, number_name, own_id, id_before)                                       \
    static void *name##_hold_consumer(void *queue, unsigned number_name)                                               \
    {                                                                                                                  \
        struct kn_reader_options options = {.id = (own_id), .after = {(id_before)}};                                   \
        struct queue_name##_consumer *consumer = bench_allocate(sizeof(*consumer));                                    \
        (void)number_name;                                                                                             \
        if (queue_name##_consumer_join(consumer, &((struct queue_name *)queue)->sector, &options) == 0)                \
            return consumer;                                                                                           \
        free(consumer);                                                                                                \
        return NULL;                                                                                                   \
    }                                                                                                                  \
    static void name##_drop_consumer(void *consumer)                                                                   \
    {                                                                                                                  \
        queue_name##_consumer_leave(consumer);                                                                         \
        free(consumer);                                                                                                \
    }

#define KERNEL_OPEN(name, queue_name)                                                                                  \
    static void *name##_open_queue(const struct crowd_setup *setup)                                                    \
    {                                                                                                                  \
        struct queue_name *queue;                                                                                      \
        (void)setup;                                                                                                   \
        return queue_name##_open(&queue, SPSC_CAPACITY_SLOTS) == 0 ? queue : NULL;                                     \
    }                                                                                                                  \
    static void name##_close_queue(void *queue)                                                                        \
    {                                                                                                                  \
        queue_name##_close(queue);                                                                                     \
    }

#define KERNEL_CROWD(name, queue_name, message_type)                                                                   \
    SPSC_INLINE bool name##_push(struct queue_name##_producer *producer, const message_type *message)                  \
    {                                                                                                                  \
        return queue_name##_try_push(producer, message) == 0;                                                          \
    }                                                                                                                  \
    SPSC_INLINE bool name##_pop(struct queue_name##_consumer *consumer, message_type *message)                         \
    {                                                                                                                  \
        return queue_name##_try_pop(consumer, message) == 0;                                                           \
    }                                                                                                                  \
    SPSC_INLINE size_t name##_push_many(struct queue_name##_producer *producer, const message_type *messages,          \
                                        size_t count)                                                                  \
    {                                                                                                                  \
        return queue_name##_push_many(producer, messages, count);                                                      \
    }                                                                                                                  \
    SPSC_INLINE size_t name##_pop_many(struct queue_name##_consumer *consumer, message_type *messages, size_t count)   \
    {                                                                                                                  \
        return queue_name##_pop_many(consumer, messages, count);                                                       \
    }                                                                                                                  \
    SPSC_INLINE size_t name##_put(struct queue_name##_producer *producer, uint64_t tag, size_t count,                  \
                                  struct crowd_wait *wait)                                                             \
    {                                                                                                                  \
        struct kn_span span;                                                                                           \
        (void)wait;                                                                                                    \
        if (queue_name##_claim(producer, count, &span) < 0)                                                            \
            return 0;                                                                                                  \
        for (size_t i = 0; i < span.count; i++)                                                                        \
            spsc_fill(queue_name##_at(&span, i)->words, sizeof(message_type), tag + i);                                \
        return queue_name##_publish(producer, span.count) == 0 ? span.count : 0;                                       \
    }                                                                                                                  \
    SPSC_INLINE size_t name##_take(struct queue_name##_consumer *consumer, size_t count, struct crowd_tally *tally)    \
    {                                                                                                                  \
        struct kn_span span;                                                                                           \
        if (queue_name##_peek(consumer, count, &span) < 0)                                                             \
            return 0;                                                                                                  \
        for (size_t i = 0; i < span.count; i++)                                                                        \
            crowd_check(tally, queue_name##_at(&span, i)->words, sizeof(message_type));                                \
        return queue_name##_release(consumer, span.count) == 0 ? span.count : 0;                                       \
    }                                                                                                                  \
    CROWD_COPYING(name, struct queue_name##_producer, struct queue_name##_consumer, message_type)                      \
    CROWD_IN_PLACE(name, struct queue_name##_producer, struct queue_name##_consumer)

/* What the ends of a named sector find it by. Made before the processes are, and not changed then. */
struct named {
    struct kn_sector sector; /* its creator's */
    char path[32];
};

static void *open_named(struct kn_sector_options options)
{
    static unsigned made;
    struct named *named = bench_allocate(sizeof(*named));
    snprintf(named->path, sizeof(named->path), "/kernel-bench-%d-%u", (int)getpid(), made++);
    options.name = named->path;
    if (kn_sector_create(&named->sector, &options) == 0)
        return named;
    free(named);
    return NULL;
}

static void close_named(void *queue)
{
    struct named *named = queue;
    kn_sector_unlink(named->path);
    kn_sector_close(&named->sector);
    free(named);
}

/* Between processes: whoever holds an end, in its own process, opens the sector by its name and has its own mapping. */
#define KERNEL_NAMED_END(name, queue_name, end, ...)                                                                   \
    struct name##_##end {                                                                                              \
        struct queue_name##_##end joined; /* first: the loops take it for this */                                      \
        struct kn_sector sector;                                                                                       \
    };                                                                                                                 \
    static void *name##_hold_##end(void *queue, unsigned number)                                                       \
    {                                                                                                                  \
        const struct kn_sector_options options = queue_name##_options(SPSC_CAPACITY_SLOTS);                            \
        struct name##_##end *held = bench_allocate(sizeof(*held));                                                     \
        (void)number;                                                                                                  \
        if (kn_sector_open_named(&held->sector, ((struct named *)queue)->path, &options) == 0) {                       \
            if (queue_name##_##end##_join(&held->joined, &held->sector __VA_ARGS__) == 0)                              \
                return held;                                                                                           \
            kn_sector_close(&held->sector);                                                                            \
        }                                                                                                              \
        free(held);                                                                                                    \
        return NULL;                                                                                                   \
    }                                                                                                                  \
    static void name##_drop_##end(void *held)                                                                          \
    {                                                                                                                  \
        queue_name##_##end##_leave(&((struct name##_##end *)held)->joined);                                            \
        kn_sector_close(&((struct name##_##end *)held)->sector);                                                       \
        free(held);                                                                                                    \
    }

#define KERNEL_NAMED(name, queue_name)                                                                                 \
    static void *name##_open_queue(const struct crowd_setup *setup)                                                    \
    {                                                                                                                  \
        (void)setup;                                                                                                   \
        return open_named(queue_name##_options(SPSC_CAPACITY_SLOTS));                                                  \
    }                                                                                                                  \
    KERNEL_NAMED_END(name, queue_name, producer)                                                                       \
    KERNEL_NAMED_END(name, queue_name, consumer, , NULL)

#define KERNEL_SPSC(name, queue_name, message_type)                                                                    \
    KERNEL_NAMED(name##_named, queue_name)                                                                             \
    KERNEL_CROWD(name, queue_name, message_type)

#define KERNEL_MPSC(name, queue_name, message_type)                                                                    \
    KERNEL_JOINED_PRODUCER(name, queue_name)                                                                           \
    KERNEL_OWNED_CONSUMER(name, queue_name)                                                                            \
    KERNEL_NAMED(name##_named, queue_name)                                                                             \
    KERNEL_OPEN(name, queue_name)                                                                                      \
    KERNEL_CROWD(name, queue_name, message_type)

#define KERNEL_SPMC(name, queue_name, message_type)                                                                    \
    KERNEL_OWNED_PRODUCER(name, queue_name)                                                                            \
    KERNEL_JOINED_CONSUMER(name, queue_name, number, 0, 0)                                                             \
    KERNEL_OPEN(name, queue_name)                                                                                      \
    KERNEL_CROWD(name, queue_name, message_type)

#define KERNEL_MPMC(name, queue_name, message_type)                                                                    \
    KERNEL_JOINED_PRODUCER(name, queue_name)                                                                           \
    KERNEL_JOINED_CONSUMER(name, queue_name, number, 0, 0)                                                             \
    KERNEL_OPEN(name, queue_name)                                                                                      \
    KERNEL_CROWD(name, queue_name, message_type)

/* A stage of a pipeline is a broadcast consumer that comes after the one before: `stage` is this other entry. */
#define KERNEL_BROADCAST(name, queue_name, message_type)                                                               \
    KERNEL_OWNED_PRODUCER(name, queue_name)                                                                            \
    KERNEL_JOINED_CONSUMER(name, queue_name, number, 0, 0)                                                             \
    KERNEL_OWNED_PRODUCER(name##_stage, queue_name)                                                                    \
    KERNEL_JOINED_CONSUMER(name##_stage, queue_name, number, number + 1, number)                                       \
    KERNEL_OPEN(name, queue_name)                                                                                      \
    KERNEL_CROWD(name, queue_name, message_type)

#define KERNEL_SHAPE(shape, SHAPE)                                                                                     \
    KN_##SHAPE##_DEFINE(shape##_queue_8, struct spsc_message_8);                                                       \
    KN_##SHAPE##_DEFINE(shape##_queue_64, struct spsc_message_64);                                                     \
    KN_##SHAPE##_DENSE_DEFINE(shape##_dense_queue_8, struct spsc_message_8);                                           \
    KN_##SHAPE##_DENSE_DEFINE(shape##_dense_queue_64, struct spsc_message_64);                                         \
    KERNEL_##SHAPE(shape##_8, shape##_queue_8, struct spsc_message_8);                                                 \
    KERNEL_##SHAPE(shape##_64, shape##_queue_64, struct spsc_message_64);                                              \
    KERNEL_##SHAPE(shape##_dense_8, shape##_dense_queue_8, struct spsc_message_8);                                     \
    KERNEL_##SHAPE(shape##_dense_64, shape##_dense_queue_64, struct spsc_message_64)

KERNEL_SHAPE(spsc, SPSC);
KERNEL_SHAPE(mpsc, MPSC);
KERNEL_SHAPE(spmc, SPMC);
KERNEL_SHAPE(mpmc, MPMC);
KERNEL_SHAPE(broadcast, BROADCAST);

/* By value and in place. `ends` has the functions that hold and drop. */
#define KERNEL_ENTRIES(shown_name, shape, name, ends, message_type)                                                    \
    CROWD_IMPLEMENTATION_HELD(shown_name, CROWD_IN(shape), name, ends, name##_single, name##_batched, message_type),   \
        CROWD_IMPLEMENTATION_HELD(shown_name "-in-place", CROWD_IN(shape), name, ends, name##_in_place_single,         \
                                  name##_in_place_batched, message_type)

#define KERNEL_SIZES(shown_name, shape, name, stage)                                                                   \
    KERNEL_ENTRIES(shown_name, shape, name##_8, name##_8##stage, struct spsc_message_8),                               \
        KERNEL_ENTRIES(shown_name, shape, name##_64, name##_64##stage, struct spsc_message_64)

const struct crowd_implementation crowd_kernel[] = {
    KERNEL_SIZES("kernel", CROWD_MPSC, mpsc, ),
    KERNEL_SIZES("kernel-dense", CROWD_MPSC, mpsc_dense, ),
    KERNEL_SIZES("kernel", CROWD_SPMC, spmc, ),
    KERNEL_SIZES("kernel-dense", CROWD_SPMC, spmc_dense, ),
    KERNEL_SIZES("kernel", CROWD_MPMC, mpmc, ),
    KERNEL_SIZES("kernel-dense", CROWD_MPMC, mpmc_dense, ),
    KERNEL_SIZES("kernel", CROWD_BROADCAST, broadcast, ),
    KERNEL_SIZES("kernel-dense", CROWD_BROADCAST, broadcast_dense, ),
    KERNEL_SIZES("kernel", CROWD_PIPELINE, broadcast, _stage),
    KERNEL_SIZES("kernel-dense", CROWD_PIPELINE, broadcast_dense, _stage),
    {0},
};

/* The same loops over named sectors. */
#define KERNEL_NAMED_ENTRY(shown_name, shape, name, form, message_type)                                                \
    {                                                                                                                  \
        shown_name, CROWD_IN(shape), sizeof(message_type), name##_named_open_queue, close_named,                       \
            name##_named_hold_producer, name##_named_drop_producer, name##_named_hold_consumer,                        \
            name##_named_drop_consumer, {CROWD_LOOPS_OF(name##form##_single), CROWD_LOOPS_OF(name##form##_batched)},   \
            NULL                                                                                                       \
    }

#define KERNEL_NAMED_SIZES(shown_name, shape, name, form)                                                              \
    KERNEL_NAMED_ENTRY(shown_name, shape, name##_8, form, struct spsc_message_8),                                      \
        KERNEL_NAMED_ENTRY(shown_name, shape, name##_64, form, struct spsc_message_64)

#define KERNEL_NAMED_LIST(list, suffix)                                                                                \
    const struct crowd_implementation list[] = {                                                                       \
        KERNEL_NAMED_SIZES("kernel" suffix, CROWD_IPC_SPSC, spsc, ),                                                   \
        KERNEL_NAMED_SIZES("kernel-in-place" suffix, CROWD_IPC_SPSC, spsc, _in_place),                                 \
        KERNEL_NAMED_SIZES("kernel-dense" suffix, CROWD_IPC_SPSC, spsc_dense, ),                                       \
        KERNEL_NAMED_SIZES("kernel-dense-in-place" suffix, CROWD_IPC_SPSC, spsc_dense, _in_place),                     \
        KERNEL_NAMED_SIZES("kernel" suffix, CROWD_IPC_MPSC, mpsc, ),                                                   \
        KERNEL_NAMED_SIZES("kernel-in-place" suffix, CROWD_IPC_MPSC, mpsc, _in_place),                                 \
        KERNEL_NAMED_SIZES("kernel-dense" suffix, CROWD_IPC_MPSC, mpsc_dense, ),                                       \
        KERNEL_NAMED_SIZES("kernel-dense-in-place" suffix, CROWD_IPC_MPSC, mpsc_dense, _in_place),                     \
        {0},                                                                                                           \
    }

KERNEL_NAMED_LIST(crowd_processes, "");
KERNEL_NAMED_LIST(crowd_threads, "-threads");
