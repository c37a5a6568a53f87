/*
 * Broadcast and pipeline out of rings that have one producer and one consumer, as they are built where a library has
 * neither: to broadcast, a ring for each reader, all fed by the writer; in a pipeline, a ring between each two stages,
 * which pass on what they read. Every message is copied at each of these steps.
 *
 * FAN makes them of the functions ring_push, ring_pop, ring_push_many, ring_pop_many, ring_open_queue and
 * ring_close_queue that spsc_loops.h asks for. Compiles as C and as C++.
 */
#ifndef BENCH_PEERS_FAN_H
#define BENCH_PEERS_FAN_H

#include "../bench.h"
#include "../crowd_loops.h"

#include <stdlib.h>

#define FAN_RINGS_MAX 3

#define FAN(name, ring, ring_type, message_type)                                                                       \
    struct name {                                                                                                      \
        ring_type *rings[FAN_RINGS_MAX]; /* of the consumers */                                                        \
        size_t count;                                                                                                  \
        bool chained;                                                                                                  \
        uint32_t attempts;                                                                                             \
    };                                                                                                                 \
    struct name##_producer {                                                                                           \
        ring_type *rings[FAN_RINGS_MAX];                                                                               \
        size_t count;                                                                                                  \
        size_t next;  /* ring that gets the present messages next */                                                   \
        size_t moved; /* messages that it has got of these */                                                          \
    };                                                                                                                 \
    struct name##_consumer {                                                                                           \
        ring_type *in;                                                                                                 \
        ring_type *out; /* NULL at the end */                                                                          \
        struct crowd_wait wait;                                                                                        \
    };                                                                                                                 \
    static void *name##_open_queue(const struct crowd_setup *setup)                                                    \
    {                                                                                                                  \
        struct name *fan = (struct name *)bench_allocate(sizeof(struct name));                                         \
        fan->count = setup->consumers;                                                                                 \
        fan->chained = setup->shape == CROWD_PIPELINE;                                                                 \
        fan->attempts = setup->attempts;                                                                               \
        for (size_t i = 0; i < fan->count; i++)                                                                        \
            fan->rings[i] = (ring_type *)ring##_open_queue();                                                          \
        return fan;                                                                                                    \
    }                                                                                                                  \
    static void name##_close_queue(void *queue)                                                                        \
    {                                                                                                                  \
        struct name *fan = (struct name *)queue;                                                                       \
        for (size_t i = 0; i < fan->count; i++)                                                                        \
            ring##_close_queue(fan->rings[i]);                                                                         \
        free(fan);                                                                                                     \
    }                                                                                                                  \
    static void *name##_hold_producer(void *queue, unsigned number)                                                    \
    {                                                                                                                  \
        struct name *fan = (struct name *)queue;                                                                       \
        (void)number;                                                                                                  \
        struct name##_producer *producer = (struct name##_producer *)bench_allocate(sizeof(struct name##_producer));   \
        producer->count = fan->chained ? 1 : fan->count;                                                               \
        for (size_t i = 0; i < producer->count; i++)                                                                   \
            producer->rings[i] = fan->rings[i];                                                                        \
        return producer;                                                                                               \
    }                                                                                                                  \
    static void *name##_hold_consumer(void *queue, unsigned number)                                                    \
    {                                                                                                                  \
        struct name *fan = (struct name *)queue;                                                                       \
        struct name##_consumer *consumer = (struct name##_consumer *)bench_allocate(sizeof(struct name##_consumer));   \
        consumer->in = fan->rings[number];                                                                             \
        consumer->out = fan->chained && number + 1 < fan->count ? fan->rings[number + 1] : NULL;                       \
        consumer->wait.limit = fan->attempts;                                                                          \
        return consumer;                                                                                               \
    }                                                                                                                  \
    SPSC_INLINE bool name##_push(struct name##_producer *producer, message_type *message)                              \
    {                                                                                                                  \
        for (; producer->next < producer->count; producer->next++) {                                                   \
            if (!ring##_push(producer->rings[producer->next], message))                                                \
                return false;                                                                                          \
        }                                                                                                              \
        producer->next = 0;                                                                                            \
        return true;                                                                                                   \
    }                                                                                                                  \
    /* All of them or, so far, none: it is called again with the same ones. */                                         \
    SPSC_INLINE size_t name##_push_many(struct name##_producer *producer, message_type *messages, size_t count)        \
    {                                                                                                                  \
        for (; producer->next < producer->count; producer->next++) {                                                   \
            ring_type *to = producer->rings[producer->next];                                                           \
            producer->moved += ring##_push_many(to, messages + producer->moved, count - producer->moved);              \
            if (producer->moved < count)                                                                               \
                return 0;                                                                                              \
            producer->moved = 0;                                                                                       \
        }                                                                                                              \
        producer->next = 0;                                                                                            \
        return count;                                                                                                  \
    }                                                                                                                  \
    SPSC_INLINE bool name##_pop(struct name##_consumer *consumer, message_type *message)                               \
    {                                                                                                                  \
        if (!ring##_pop(consumer->in, message))                                                                        \
            return false;                                                                                              \
        while (consumer->out && !ring##_push(consumer->out, message))                                                  \
            crowd_pause(&consumer->wait);                                                                              \
        return true;                                                                                                   \
    }                                                                                                                  \
    SPSC_INLINE size_t name##_pop_many(struct name##_consumer *consumer, message_type *messages, size_t count)         \
    {                                                                                                                  \
        size_t taken = ring##_pop_many(consumer->in, messages, count);                                                 \
        size_t passed = 0;                                                                                             \
        while (consumer->out &&                                                                                        \
               (passed += ring##_push_many(consumer->out, messages + passed, taken - passed)) < taken)                 \
            crowd_pause(&consumer->wait);                                                                              \
        return taken;                                                                                                  \
    }                                                                                                                  \
    CROWD_COPYING(name, struct name##_producer, struct name##_consumer, message_type)

/* The list entries of both shapes. */
#define FAN_ENTRY(shown_name, shape, name, message_type)                                                               \
    {                                                                                                                  \
        shown_name, CROWD_IN(shape), sizeof(message_type), name##_open_queue, name##_close_queue,                      \
            name##_hold_producer, free, name##_hold_consumer, free,                                                    \
            {CROWD_LOOPS_OF(name##_single), CROWD_LOOPS_OF(name##_batched)}, NULL                                      \
    }

#define FAN_ENTRIES(shown_name, name, message_type)                                                                    \
    FAN_ENTRY(shown_name "-xN", CROWD_BROADCAST, name, message_type),                                                  \
        FAN_ENTRY(shown_name "-chain", CROWD_PIPELINE, name, message_type)

#endif
