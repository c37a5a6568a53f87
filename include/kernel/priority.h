/**
 * @file priority.h
 * A bounded queue of messages of one size in eight classes: the most urgent first, first in first out within a class.
 *
 * Use it where a few messages must overtake the many, as tasks and orders do; for one class mpsc.h or mpmc.h is faster.
 * It guarantees that a message whose push had returned when a pop began is taken before any less urgent one: strictly,
 * so that a busy class starves those below it. (With several consumers one may pass over a class for the moment in
 * which another makes sure that it is empty.) Pushing and taking are lock-free and neither allocate nor enter the
 * system, except the forms that wait.
 *
 * How it works. Each class is a lane, a sector of its own, and a word has a bit for each lane that may hold something.
 * A push publishes in its lane, then sets the bit; a pop that finds the lane empty clears the bit, then looks once
 * more. Both change the word by one atomic operation, so whichever comes second knows of the first. models/priority.pml
 * exhausts this.
 */
#ifndef KERNEL_PRIORITY_H
#define KERNEL_PRIORITY_H

#include <kernel/reader.h>
#include <kernel/writer.h>

/** Classes: 0 is the most urgent. */
#define KN_PRIORITY_CLASSES 8

/** What a queue is made of. slot_bytes and capacity_slots are needed. */
struct kn_priority_options {
    size_t slot_bytes;       /**< bytes of one message, at least 1 */
    size_t capacity_slots;   /**< most messages in flight in each class: a power of two */
    uint32_t cursors_max;    /**< producers and consumers together; 0: KN_SECTOR_CURSORS_DEFAULT */
    bool exclusive_consumer; /**< one consumer instead of several that compete */
};

/** The queue. Fields are private. */
struct kn_priority {
    KN_OWNED _Atomic uint32_t ready; /* a bit for each lane that may hold something */
    KN_OWNED struct kn_eventcount published;
    struct kn_sector lanes[KN_PRIORITY_CLASSES];
};

/** A producer: one thread's. Fields are private. */
struct kn_priority_producer {
    struct kn_writer writers[KN_PRIORITY_CLASSES];
    struct kn_priority *queue;
};

/** A consumer: one thread's. Fields are private. */
struct kn_priority_consumer {
    struct kn_reader readers[KN_PRIORITY_CLASSES];
    struct kn_priority *queue;
    uint32_t peeked_class; /* of the present span */
};

/**
 * Creates an empty queue. The caller owns it and closes it once nobody uses it any more.
 *
 * @return 0; -EINVAL, -ENOMEM, -EMFILE, -ENFILE as kn_sector_create. `*queue` is NULL after an error.
 */
KN_CHECK_RESULT int kn_priority_open(struct kn_priority **queue, const struct kn_priority_options *options);

/** Frees the queue and whatever is still in it. NULL is harmless. */
void kn_priority_close(struct kn_priority *queue);

/** Joins as a producer; any thread, not for hot paths. @return 0; -EMFILE, -EOVERFLOW as kn_writer_join. */
KN_CHECK_RESULT int kn_priority_producer_join(struct kn_priority_producer *producer, struct kn_priority *queue);
void kn_priority_producer_leave(struct kn_priority_producer *producer);

/** Joins as a consumer; any thread, not for hot paths. @return 0; -EBUSY, -EMFILE, -EOVERFLOW as kn_reader_join. */
KN_CHECK_RESULT int kn_priority_consumer_join(struct kn_priority_consumer *consumer, struct kn_priority *queue);
void kn_priority_consumer_leave(struct kn_priority_consumer *consumer);

/** Copies one message into a class. @return 0; -EAGAIN when the class is full; -EINVAL for a class there is not. */
int kn_priority_try_push(struct kn_priority_producer *producer, unsigned class, const void *message);

/** Copies up to `count` consecutive messages into a class. @return how many went in; 0 when it is full or is none. */
size_t kn_priority_push_many(struct kn_priority_producer *producer, unsigned class, const void *messages, size_t count);

/** Copies one message in and waits for room. @param how NULL: pausing, for ever. @return 0, -ETIMEDOUT or -EINVAL. */
int kn_priority_push(struct kn_priority_producer *producer, unsigned class, const void *message,
                     const struct kn_wait *how);

/** Copies the most urgent message out. @param class where to put its class, or NULL. @return 0, or -EAGAIN. */
int kn_priority_try_pop(struct kn_priority_consumer *consumer, void *message, unsigned *class);

/** Copies up to `count` messages out, the most urgent first. @return how many came. */
size_t kn_priority_pop_many(struct kn_priority_consumer *consumer, void *messages, size_t count);

/** Copies the most urgent message out and waits for one. @return 0 or -ETIMEDOUT. */
int kn_priority_pop(struct kn_priority_consumer *consumer, void *message, unsigned *class, const struct kn_wait *how);

/**
 * Shows up to `slots_max` messages of the most urgent class that has any, in place. Until they are released, peeking
 * again shows messages of the same class.
 *
 * @return 0 with span->count in 1..slots_max, or -EAGAIN with an empty span.
 */
int kn_priority_peek(struct kn_priority_consumer *consumer, size_t slots_max, struct kn_span *span, unsigned *class);

/** Gives the first `slots` peeked messages back. @return 0, or -EINVAL for more than were peeked. */
int kn_priority_release(struct kn_priority_consumer *consumer, size_t slots);

/** Messages in flight in all classes; a moment old. Any thread. */
size_t kn_priority_count(const struct kn_priority *queue);

/**
 * Defines `struct name`, a priority queue of `type`, and its functions: those above with the type checked.
 *
 *     KN_PRIORITY_DEFINE(jobs, struct job);
 *
 *     int    jobs_open(struct jobs **queue, size_t capacity_slots);
 *     void   jobs_close(struct jobs *queue);
 *     int    jobs_producer_join(struct jobs_producer *producer, struct jobs *queue);
 *     int    jobs_try_push(struct jobs_producer *producer, unsigned class, const struct job *message);
 *     int    jobs_consumer_join(struct jobs_consumer *consumer, struct jobs *queue);
 *     int    jobs_try_pop(struct jobs_consumer *consumer, struct job *message, unsigned *class);
 *     ...    push, push_many, pop, pop_many, producer_leave, consumer_leave likewise
 */
#define KN_PRIORITY_DEFINE(name, type)                                                                                 \
    struct name {                                                                                                      \
        struct kn_priority queue;                                                                                      \
    };                                                                                                                 \
    struct name##_producer {                                                                                           \
        struct kn_priority_producer producer;                                                                          \
    };                                                                                                                 \
    struct name##_consumer {                                                                                           \
        struct kn_priority_consumer consumer;                                                                          \
    };                                                                                                                 \
    KN_INLINE int name##_open(struct name **queue, size_t capacity_slots)                                              \
    {                                                                                                                  \
        struct kn_priority_options options = {.slot_bytes = sizeof(type), .capacity_slots = capacity_slots};           \
        struct kn_priority *opened;                                                                                    \
        int result = kn_priority_open(&opened, &options);                                                              \
        *queue = (struct name *)(void *)opened;                                                                        \
        return result;                                                                                                 \
    }                                                                                                                  \
    KN_INLINE void name##_close(struct name *queue)                                                                    \
    {                                                                                                                  \
        kn_priority_close((struct kn_priority *)(void *)queue);                                                        \
    }                                                                                                                  \
    KN_INLINE int name##_producer_join(struct name##_producer *producer, struct name *queue)                           \
    {                                                                                                                  \
        return kn_priority_producer_join(&producer->producer, &queue->queue);                                          \
    }                                                                                                                  \
    KN_INLINE void name##_producer_leave(struct name##_producer *producer)                                             \
    {                                                                                                                  \
        kn_priority_producer_leave(&producer->producer);                                                               \
    }                                                                                                                  \
    KN_INLINE int name##_try_push(struct name##_producer *producer, unsigned class, const type *message)               \
    {                                                                                                                  \
        return kn_priority_try_push(&producer->producer, class, message);                                              \
    }                                                                                                                  \
    KN_INLINE size_t name##_push_many(struct name##_producer *producer, unsigned class, const type *messages,          \
                                      size_t count)                                                                    \
    {                                                                                                                  \
        return kn_priority_push_many(&producer->producer, class, messages, count);                                     \
    }                                                                                                                  \
    KN_INLINE int name##_push(struct name##_producer *producer, unsigned class, const type *message,                   \
                              const struct kn_wait *how)                                                               \
    {                                                                                                                  \
        return kn_priority_push(&producer->producer, class, message, how);                                             \
    }                                                                                                                  \
    KN_INLINE int name##_consumer_join(struct name##_consumer *consumer, struct name *queue)                           \
    {                                                                                                                  \
        return kn_priority_consumer_join(&consumer->consumer, &queue->queue);                                          \
    }                                                                                                                  \
    KN_INLINE void name##_consumer_leave(struct name##_consumer *consumer)                                             \
    {                                                                                                                  \
        kn_priority_consumer_leave(&consumer->consumer);                                                               \
    }                                                                                                                  \
    KN_INLINE int name##_try_pop(struct name##_consumer *consumer, type *message, unsigned *class)                     \
    {                                                                                                                  \
        return kn_priority_try_pop(&consumer->consumer, message, class);                                               \
    }                                                                                                                  \
    KN_INLINE size_t name##_pop_many(struct name##_consumer *consumer, type *messages, size_t count)                   \
    {                                                                                                                  \
        return kn_priority_pop_many(&consumer->consumer, messages, count);                                             \
    }                                                                                                                  \
    KN_INLINE int name##_pop(struct name##_consumer *consumer, type *message, unsigned *class,                         \
                             const struct kn_wait *how)                                                                \
    {                                                                                                                  \
        return kn_priority_pop(&consumer->consumer, message, class, how);                                              \
    }                                                                                                                  \
    struct name

#endif
