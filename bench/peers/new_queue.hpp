/* Queues of C++ libraries, aligned so that they share no line with anything else. */
#ifndef BENCH_PEERS_NEW_QUEUE_HPP
#define BENCH_PEERS_NEW_QUEUE_HPP

#include <new>
#include <utility>

#include "../crowd_loops.h"

template <typename Queue, typename... Arguments> static Queue *new_queue(Arguments &&...arguments)
{
    return new (std::align_val_t(128)) Queue(std::forward<Arguments>(arguments)...);
}

template <typename Queue> static void delete_queue(void *queue)
{
    static_cast<Queue *>(queue)->~Queue();
    ::operator delete(queue, std::align_val_t(128));
}

/* The loops of a class whose methods `push_method` and `pop_method` answer whether they did, and that has no batch
 * form: a batch is a loop of single calls. */
#define CLASS_CROWD(name, class_name, message_type, push_method, pop_method)                                           \
    static void *name##_open_queue(const struct crowd_setup *)                                                         \
    {                                                                                                                  \
        return new_queue<class_name>();                                                                                \
    }                                                                                                                  \
    static void name##_close_queue(void *queue)                                                                        \
    {                                                                                                                  \
        delete_queue<class_name>(queue);                                                                               \
    }                                                                                                                  \
    SPSC_INLINE bool name##_push(class_name *queue, const message_type *message)                                       \
    {                                                                                                                  \
        return queue->push_method(*message);                                                                           \
    }                                                                                                                  \
    SPSC_INLINE bool name##_pop(class_name *queue, message_type *message)                                              \
    {                                                                                                                  \
        return queue->pop_method(*message);                                                                            \
    }                                                                                                                  \
    CROWD_ONE_BY_ONE(name, class_name, class_name, message_type)                                                       \
    CROWD_COPYING(name, class_name, class_name, message_type)

#endif
