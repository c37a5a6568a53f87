/*
 * Boost.Lockfree's spsc_queue, with its capacity fixed at compile time. It writes by copy only; in place it reads,
 * by consume_one.
 */
#include <new>

#include <boost/lockfree/spsc_queue.hpp>

#include "fan.h"

template <typename Message>
using Queue = boost::lockfree::spsc_queue<Message, boost::lockfree::capacity<SPSC_CAPACITY_SLOTS>>;

#define BOOST_QUEUE(name, message_type)                                                                                \
    using name = Queue<message_type>;                                                                                  \
    static void *name##_open_queue(void)                                                                               \
    {                                                                                                                  \
        return new (std::align_val_t(128), std::nothrow) name;                                                         \
    }                                                                                                                  \
    static void name##_close_queue(void *queue)                                                                        \
    {                                                                                                                  \
        static_cast<name *>(queue)->~name();                                                                           \
        ::operator delete(queue, std::align_val_t(128));                                                               \
    }                                                                                                                  \
    SPSC_INLINE bool name##_push(name *queue, const message_type *message)                                             \
    {                                                                                                                  \
        return queue->push(*message);                                                                                  \
    }                                                                                                                  \
    SPSC_INLINE bool name##_pop(name *queue, message_type *message)                                                    \
    {                                                                                                                  \
        return queue->pop(*message);                                                                                   \
    }                                                                                                                  \
    SPSC_INLINE size_t name##_push_many(name *queue, const message_type *messages, size_t count)                       \
    {                                                                                                                  \
        return queue->push(messages, count);                                                                           \
    }                                                                                                                  \
    SPSC_INLINE size_t name##_pop_many(name *queue, message_type *messages, size_t count)                              \
    {                                                                                                                  \
        return queue->pop(messages, count);                                                                            \
    }                                                                                                                  \
    SPSC_COPYING(name, name, message_type)                                                                             \
    SPSC_INLINE size_t name##_put(name *queue, uint64_t sequence, size_t count)                                        \
    {                                                                                                                  \
        return count == 1 ? name##_single_put(queue, sequence, 1) : name##_batched_put(queue, sequence, count);        \
    }                                                                                                                  \
    SPSC_INLINE size_t name##_take(name *queue, uint64_t sequence, size_t count, uint64_t *wrong)                      \
    {                                                                                                                  \
        size_t done = 0;                                                                                               \
        while (done < count && queue->consume_one([&](const message_type &message) {                                   \
            *wrong += spsc_wrong(message.words, sizeof(message), sequence + done);                                     \
        }))                                                                                                            \
            done++;                                                                                                    \
        return done;                                                                                                   \
    }                                                                                                                  \
    SPSC_IN_PLACE(name, name)

BOOST_QUEUE(boost_8, spsc_message_8)
BOOST_QUEUE(boost_64, spsc_message_64)
BOOST_QUEUE(boost_512, spsc_message_512)

extern "C" const struct spsc_implementation spsc_boost[] = {
    SPSC_IMPLEMENTATION("boost-spsc_queue", boost_8, spsc_message_8),
    SPSC_IMPLEMENTATION("boost-spsc_queue", boost_64, spsc_message_64),
    SPSC_IMPLEMENTATION("boost-spsc_queue", boost_512, spsc_message_512),
    {},
};

FAN(boost_fan_8, boost_8, boost_8, spsc_message_8)
FAN(boost_fan_64, boost_64, boost_64, spsc_message_64)

extern "C" const struct crowd_implementation crowd_fan_boost[] = {
    FAN_ENTRIES("boost-spsc_queue", boost_fan_8, spsc_message_8),
    FAN_ENTRIES("boost-spsc_queue", boost_fan_64, spsc_message_64),
    {},
};
