/*
 * moodycamel's ReaderWriterQueue, preallocated and used through try_enqueue only, so that it never allocates. It has
 * no batch form, so a batch is a loop of single calls; in place it reads only, by peek and pop.
 */
#include <new>

#include <readerwriterqueue/readerwriterqueue.h>

#include "../spsc_loops.h"

#define MOODYCAMEL_QUEUE(name, message_type)                                                                           \
    using name = moodycamel::ReaderWriterQueue<message_type>;                                                          \
    static void *name##_open_queue(void)                                                                               \
    {                                                                                                                  \
        return new (std::align_val_t(128)) name(SPSC_CAPACITY_SLOTS);                                                  \
    }                                                                                                                  \
    static void name##_close_queue(void *queue)                                                                        \
    {                                                                                                                  \
        static_cast<name *>(queue)->~name();                                                                           \
        ::operator delete(queue, std::align_val_t(128));                                                               \
    }                                                                                                                  \
    SPSC_INLINE bool name##_push(name *queue, const message_type *message)                                             \
    {                                                                                                                  \
        return queue->try_enqueue(*message);                                                                           \
    }                                                                                                                  \
    SPSC_INLINE bool name##_pop(name *queue, message_type *message)                                                    \
    {                                                                                                                  \
        return queue->try_dequeue(*message);                                                                           \
    }                                                                                                                  \
    SPSC_INLINE size_t name##_push_many(name *queue, const message_type *messages, size_t count)                       \
    {                                                                                                                  \
        size_t done = 0;                                                                                               \
        while (done < count && queue->try_enqueue(messages[done]))                                                     \
            done++;                                                                                                    \
        return done;                                                                                                   \
    }                                                                                                                  \
    SPSC_INLINE size_t name##_pop_many(name *queue, message_type *messages, size_t count)                              \
    {                                                                                                                  \
        size_t done = 0;                                                                                               \
        while (done < count && queue->try_dequeue(messages[done]))                                                     \
            done++;                                                                                                    \
        return done;                                                                                                   \
    }                                                                                                                  \
    SPSC_COPYING(name, name, message_type)                                                                             \
    SPSC_INLINE size_t name##_put(name *queue, uint64_t sequence, size_t count)                                        \
    {                                                                                                                  \
        for (size_t i = 0; i < count; i++)                                                                             \
            name##_single_put(queue, sequence + i, 1);                                                                 \
        return count;                                                                                                  \
    }                                                                                                                  \
    SPSC_INLINE size_t name##_take(name *queue, uint64_t sequence, size_t count, uint64_t *wrong)                      \
    {                                                                                                                  \
        size_t done = 0;                                                                                               \
        for (const message_type *message; done < count && (message = queue->peek()) != nullptr; done++) {              \
            *wrong += spsc_wrong(message->words, sizeof(*message), sequence + done);                                   \
            queue->pop();                                                                                              \
        }                                                                                                              \
        return done;                                                                                                   \
    }                                                                                                                  \
    SPSC_IN_PLACE(name, name)

MOODYCAMEL_QUEUE(moodycamel_8, spsc_message_8)
MOODYCAMEL_QUEUE(moodycamel_64, spsc_message_64)
MOODYCAMEL_QUEUE(moodycamel_512, spsc_message_512)

extern "C" const struct spsc_implementation spsc_moodycamel[] = {
    SPSC_IMPLEMENTATION("moodycamel", moodycamel_8, spsc_message_8),
    SPSC_IMPLEMENTATION("moodycamel", moodycamel_64, spsc_message_64),
    SPSC_IMPLEMENTATION("moodycamel", moodycamel_512, spsc_message_512),
    {},
};
