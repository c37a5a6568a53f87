/*
 * moodycamel's ConcurrentQueue as its documentation wants it fastest: a token for each producer and each consumer, bulk
 * forms for batches, and blocks for all producers allocated beforehand, so that try_enqueue never allocates.
 *
 * Each producer has a queue of its own inside, and keeps the blocks it once got. It must be kept from taking those of
 * the others, which else could never put anything: hence the limit of 1024 messages for each, and twice the blocks.
 */
#include <concurrentqueue/concurrentqueue.h>

#include "new_queue.hpp"

struct Traits : moodycamel::ConcurrentQueueDefaultTraits {
    static const size_t MAX_SUBQUEUE_SIZE = SPSC_CAPACITY_SLOTS;
};

/* A thread's end: the token does not know its queue. */
template <typename Queue, typename Token> struct End {
    Queue *queue;
    Token token;

    explicit End(Queue *of) : queue(of), token(*of)
    {
    }
};

#define MOODYCAMEL_CROWD(name, message_type)                                                                           \
    using name = moodycamel::ConcurrentQueue<message_type, Traits>;                                                    \
    using name##_producer = End<name, moodycamel::ProducerToken>;                                                      \
    using name##_consumer = End<name, moodycamel::ConsumerToken>;                                                      \
    static void *name##_open_queue(const struct crowd_setup *setup)                                                    \
    {                                                                                                                  \
        return new_queue<name>(2 * SPSC_CAPACITY_SLOTS, setup->producers, 0);                                          \
    }                                                                                                                  \
    static void name##_close_queue(void *queue)                                                                        \
    {                                                                                                                  \
        delete_queue<name>(queue);                                                                                     \
    }                                                                                                                  \
    static void *name##_hold_producer(void *queue, unsigned)                                                           \
    {                                                                                                                  \
        return new_queue<name##_producer>(static_cast<name *>(queue));                                                 \
    }                                                                                                                  \
    static void name##_drop_producer(void *producer)                                                                   \
    {                                                                                                                  \
        delete_queue<name##_producer>(producer);                                                                       \
    }                                                                                                                  \
    static void *name##_hold_consumer(void *queue, unsigned)                                                           \
    {                                                                                                                  \
        return new_queue<name##_consumer>(static_cast<name *>(queue));                                                 \
    }                                                                                                                  \
    static void name##_drop_consumer(void *consumer)                                                                   \
    {                                                                                                                  \
        delete_queue<name##_consumer>(consumer);                                                                       \
    }                                                                                                                  \
    SPSC_INLINE bool name##_push(name##_producer *producer, const message_type *message)                               \
    {                                                                                                                  \
        return producer->queue->try_enqueue(producer->token, *message);                                                \
    }                                                                                                                  \
    SPSC_INLINE bool name##_pop(name##_consumer *consumer, message_type *message)                                      \
    {                                                                                                                  \
        return consumer->queue->try_dequeue(consumer->token, *message);                                                \
    }                                                                                                                  \
    SPSC_INLINE size_t name##_push_many(name##_producer *producer, const message_type *messages, size_t count)         \
    {                                                                                                                  \
        return producer->queue->try_enqueue_bulk(producer->token, messages, count) ? count : 0;                        \
    }                                                                                                                  \
    SPSC_INLINE size_t name##_pop_many(name##_consumer *consumer, message_type *messages, size_t count)                \
    {                                                                                                                  \
        return consumer->queue->try_dequeue_bulk(consumer->token, messages, count);                                    \
    }                                                                                                                  \
    CROWD_COPYING(name, name##_producer, name##_consumer, message_type)

MOODYCAMEL_CROWD(moodycamel_8, spsc_message_8)
MOODYCAMEL_CROWD(moodycamel_64, spsc_message_64)

#define MOODYCAMEL_ENTRY(name, message_type)                                                                           \
    CROWD_IMPLEMENTATION_HELD("moodycamel", CROWD_IN_ANY, name, name, name##_single, name##_batched, message_type)

extern "C" const struct crowd_implementation crowd_moodycamel[] = {
    MOODYCAMEL_ENTRY(moodycamel_8, spsc_message_8),
    MOODYCAMEL_ENTRY(moodycamel_64, spsc_message_64),
    {},
};
