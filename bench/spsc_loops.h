/*
 * The measured loops of a queue with one producer and one consumer, the same text for ours and for every peer.
 *
 * A queue enters by two inline functions each way: SPSC_LOOPS turns them into the loops of a producer, a consumer and
 * the two ends of a ping-pong, with nothing called indirectly inside. Compiles as C and as C++.
 *
 * Every message is filled whole by the producer and read whole by the consumer, which knows what it must contain.
 */
#ifndef BENCH_SPSC_LOOPS_H
#define BENCH_SPSC_LOOPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SPSC_CAPACITY_SLOTS 1024
#define SPSC_BATCH 32
#define SPSC_INLINE static inline __attribute__((always_inline, unused))

struct spsc_message_8 {
    uint64_t words[1];
};

struct spsc_message_64 {
    uint64_t words[8];
};

struct spsc_message_512 {
    uint64_t words[64];
};

/* The loops of one form. Sequences start at 0; answers are the number of wrong messages. */
struct spsc_loops {
    void (*produce)(void *queue, uint64_t messages);
    uint64_t (*consume)(void *queue, uint64_t messages);
    uint64_t (*ping)(void *there, void *back, uint64_t round_trips);
    uint64_t (*pong)(void *there, void *back, uint64_t round_trips);
};

enum spsc_form { SPSC_SINGLE, SPSC_BATCHED, SPSC_IN_PLACE_SINGLE, SPSC_IN_PLACE_BATCHED, SPSC_FORMS };

/* One queue with messages of one size. The last list entry has no name. */
struct spsc_implementation {
    const char *name;
    size_t message_bytes;
    void *(*open)(void); /* NULL when it fails */
    void (*close)(void *queue);
    struct spsc_loops forms[SPSC_FORMS];
};

extern const struct spsc_implementation spsc_kernel[];
extern const struct spsc_implementation spsc_kernel_dense[];
extern const struct spsc_implementation spsc_ck[];
extern const struct spsc_implementation spsc_rte[];
extern const struct spsc_implementation spsc_boost[];
extern const struct spsc_implementation spsc_moodycamel[];

/* The wait between two attempts: the same for every queue. */
SPSC_INLINE void spsc_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("isb" ::: "memory");
#endif
}

SPSC_INLINE void spsc_fill(uint64_t *words, size_t message_bytes, uint64_t sequence)
{
    for (size_t i = 0; i < message_bytes / sizeof(uint64_t); i++)
        words[i] = sequence + i;
}

/* 0 when the message is the one of this sequence. */
SPSC_INLINE uint64_t spsc_wrong(const uint64_t *words, size_t message_bytes, uint64_t sequence)
{
    uint64_t count = message_bytes / sizeof(uint64_t);
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += words[i];
    return sum != count * sequence + count * (count - 1) / 2;
}

/*
 * From name_push(queue, message) and name_pop(queue, message), which answer whether they did, makes name_single_put
 * and name_single_take; from name_push_many and name_pop_many, which answer how many they moved, name_batched_put and
 * name_batched_take.
 *
 * A put answers how many messages from `sequence` on went in, a take how many came; 0: full, or empty.
 */
#define SPSC_COPYING(name, queue_type, message_type)                                                                   \
    SPSC_INLINE size_t name##_single_put(queue_type *queue, uint64_t sequence, size_t count)                           \
    {                                                                                                                  \
        message_type message;                                                                                          \
        (void)count;                                                                                                   \
        spsc_fill(message.words, sizeof(message), sequence);                                                           \
        while (!name##_push(queue, &message))                                                                          \
            spsc_relax();                                                                                              \
        return 1;                                                                                                      \
    }                                                                                                                  \
    SPSC_INLINE size_t name##_single_take(queue_type *queue, uint64_t sequence, size_t count, uint64_t *wrong)         \
    {                                                                                                                  \
        message_type message;                                                                                          \
        (void)count;                                                                                                   \
        if (!name##_pop(queue, &message))                                                                              \
            return 0;                                                                                                  \
        *wrong += spsc_wrong(message.words, sizeof(message), sequence);                                                \
        return 1;                                                                                                      \
    }                                                                                                                  \
    SPSC_INLINE size_t name##_batched_put(queue_type *queue, uint64_t sequence, size_t count)                          \
    {                                                                                                                  \
        message_type messages[SPSC_BATCH];                                                                             \
        size_t done = 0;                                                                                               \
        for (size_t i = 0; i < count; i++)                                                                             \
            spsc_fill(messages[i].words, sizeof(messages[i]), sequence + i);                                           \
        while ((done += name##_push_many(queue, messages + done, count - done)) < count)                               \
            spsc_relax();                                                                                              \
        return count;                                                                                                  \
    }                                                                                                                  \
    SPSC_INLINE size_t name##_batched_take(queue_type *queue, uint64_t sequence, size_t count, uint64_t *wrong)        \
    {                                                                                                                  \
        message_type messages[SPSC_BATCH];                                                                             \
        size_t taken = name##_pop_many(queue, messages, count);                                                        \
        for (size_t i = 0; i < taken; i++)                                                                             \
            *wrong += spsc_wrong(messages[i].words, sizeof(messages[i]), sequence + i);                                \
        return taken;                                                                                                  \
    }                                                                                                                  \
    SPSC_LOOPS(name##_single, queue_type, name##_single_put, name##_single_take, 1)                                    \
    SPSC_LOOPS(name##_batched, queue_type, name##_batched_put, name##_batched_take, SPSC_BATCH)

/* From name_put and name_take, of the same shape but working in place, both forms. */
#define SPSC_IN_PLACE(name, queue_type)                                                                                \
    SPSC_LOOPS(name##_in_place_single, queue_type, name##_put, name##_take, 1)                                         \
    SPSC_LOOPS(name##_in_place_batched, queue_type, name##_put, name##_take, SPSC_BATCH)

/* The loops themselves, over at most `batch` messages at once. */
#define SPSC_LOOPS(name, queue_type, put, take, batch)                                                                 \
    static void name##_produce(void *opaque, uint64_t messages)                                                        \
    {                                                                                                                  \
        queue_type *queue = (queue_type *)opaque;                                                                      \
        uint64_t sequence = 0;                                                                                         \
        while (sequence < messages) {                                                                                  \
            uint64_t left = messages - sequence;                                                                       \
            size_t done = put(queue, sequence, left < (batch) ? (size_t)left : (batch));                               \
            if (done == 0)                                                                                             \
                spsc_relax();                                                                                          \
            sequence += done;                                                                                          \
        }                                                                                                              \
    }                                                                                                                  \
    static uint64_t name##_consume(void *opaque, uint64_t messages)                                                    \
    {                                                                                                                  \
        queue_type *queue = (queue_type *)opaque;                                                                      \
        uint64_t sequence = 0;                                                                                         \
        uint64_t wrong = 0;                                                                                            \
        while (sequence < messages) {                                                                                  \
            uint64_t left = messages - sequence;                                                                       \
            size_t done = take(queue, sequence, left < (batch) ? (size_t)left : (batch), &wrong);                      \
            if (done == 0)                                                                                             \
                spsc_relax();                                                                                          \
            sequence += done;                                                                                          \
        }                                                                                                              \
        return wrong;                                                                                                  \
    }                                                                                                                  \
    static uint64_t name##_ping(void *opaque_there, void *opaque_back, uint64_t round_trips)                           \
    {                                                                                                                  \
        queue_type *there = (queue_type *)opaque_there;                                                                \
        queue_type *back = (queue_type *)opaque_back;                                                                  \
        uint64_t wrong = 0;                                                                                            \
        for (uint64_t sequence = 0; sequence < round_trips; sequence++) {                                              \
            while (put(there, sequence, 1) == 0)                                                                       \
                spsc_relax();                                                                                          \
            while (take(back, sequence, 1, &wrong) == 0)                                                               \
                spsc_relax();                                                                                          \
        }                                                                                                              \
        return wrong;                                                                                                  \
    }                                                                                                                  \
    static uint64_t name##_pong(void *opaque_there, void *opaque_back, uint64_t round_trips)                           \
    {                                                                                                                  \
        queue_type *there = (queue_type *)opaque_there;                                                                \
        queue_type *back = (queue_type *)opaque_back;                                                                  \
        uint64_t wrong = 0;                                                                                            \
        for (uint64_t sequence = 0; sequence < round_trips; sequence++) {                                              \
            while (take(there, sequence, 1, &wrong) == 0)                                                              \
                spsc_relax();                                                                                          \
            while (put(back, sequence, 1) == 0)                                                                        \
                spsc_relax();                                                                                          \
        }                                                                                                              \
        return wrong;                                                                                                  \
    }

#define SPSC_LOOPS_OF(name)                                                                                            \
    {                                                                                                                  \
        name##_produce, name##_consume, name##_ping, name##_pong                                                       \
    }

/* The list entry of a queue that SPSC_COPYING(name) and SPSC_IN_PLACE(name) were made for. */
#define SPSC_IMPLEMENTATION(shown_name, name, message_type)                                                            \
    {                                                                                                                  \
        shown_name, sizeof(message_type), name##_open_queue, name##_close_queue,                                       \
        {                                                                                                              \
            SPSC_LOOPS_OF(name##_single), SPSC_LOOPS_OF(name##_batched), SPSC_LOOPS_OF(name##_in_place_single),        \
                SPSC_LOOPS_OF(name##_in_place_batched)                                                                 \
        }                                                                                                              \
    }

#ifdef __cplusplus
}
#endif

#endif
