/**
 * @file queue.h
 * The generator of typed queues: what spsc.h, mpsc.h, spmc.h, mpmc.h and broadcast.h have in common.
 *
 * Include the header of the shape that you want; come here to see what it defines. A typed queue is a sector whose
 * shape the compiler knows, with functions that check the type of the message: nothing is called, and nothing of the
 * other shapes is paid for.
 *
 *     KN_MPSC_DEFINE(orders, struct order);
 *
 * defines, with the contracts of sector.h, writer.h and reader.h:
 *
 *     struct orders { struct orders_producer producer; struct orders_consumer consumer; struct kn_sector sector; };
 *
 *     int    orders_open(struct orders **queue, size_t capacity_slots);
 *     void   orders_close(struct orders *queue);
 *     size_t orders_count(const struct orders *queue);
 *
 *     int    orders_producer_join(struct orders_producer *producer, const struct kn_sector *sector);
 *     void   orders_producer_leave(struct orders_producer *producer);
 *     int    orders_claim(struct orders_producer *producer, size_t slots_max, struct kn_span *span);
 *     int    orders_publish(struct orders_producer *producer, size_t slots);
 *     int    orders_try_push(struct orders_producer *producer, const struct order *message);
 *     size_t orders_push_many(struct orders_producer *producer, const struct order *messages, size_t count);
 *     int    orders_claim_wait(struct orders_producer *, size_t slots_max, struct kn_span *, const struct kn_wait *);
 *     int    orders_push(struct orders_producer *, const struct order *message, const struct kn_wait *how);
 *
 *     int    orders_consumer_join(struct orders_consumer *, const struct kn_sector *, const struct kn_reader_options
 * *); void   orders_consumer_leave(struct orders_consumer *consumer); int    orders_peek(struct orders_consumer
 * *consumer, size_t slots_max, struct kn_span *span); int    orders_release(struct orders_consumer *consumer, size_t
 * slots); int    orders_try_pop(struct orders_consumer *consumer, struct order *message); size_t orders_pop_many(struct
 * orders_consumer *consumer, struct order *messages, size_t count); int    orders_peek_wait(struct orders_consumer *,
 * size_t slots_max, struct kn_span *, const struct kn_wait *); int    orders_pop(struct orders_consumer *, struct order
 * *message, const struct kn_wait *how); struct order *orders_at(const struct kn_span *span, size_t index);
 *
 *     struct kn_sector_options orders_options(size_t capacity_slots);
 *
 * orders_open makes a queue in this process and joins those of its ends that one thread owns, which are then
 * queue->producer and queue->consumer. An end that several share is joined by each thread: orders_producer_join(&mine,
 * &queue->sector). Between processes there is no struct orders: one creates a sector of orders_options(capacity) with
 * a name, the other opens it by that name, and each joins its end; a sector of another shape is refused with
 * -EPROTOTYPE.
 *
 * The _DENSE variant of each macro lays the messages without gaps: see enum kn_layout.
 */
#ifndef KERNEL_QUEUE_H
#define KERNEL_QUEUE_H

#include <kernel/reader.h>
#include <kernel/writer.h>

/* Memory for a queue's struct, of this length, with a sector made and its exclusive ends joined. */
KN_CHECK_RESULT int kn_queue_open(void **queue, size_t queue_bytes, const struct kn_sector_options *options);
void kn_queue_close(void *queue);

/* Where the parts of every typed queue lie. */
struct kn_queue {
    struct kn_writer producer;
    struct kn_reader consumer;
    KN_OWNED struct kn_sector sector;
};

/* 0, or -EPROTOTYPE when a sector is not made as the options say. */
int kn_queue_check(const struct kn_sector *sector, const struct kn_sector_options *options);

/** The shape as the compiler knows it. A consumer's `group` follows from how it joined where readers join freely. */
#define KN_QUEUE_FORM(type, layout_of, writers_of, readers_of, robust_of, is_member)                                   \
    ((struct kn_form){                                                                                                 \
        .slot_bytes = sizeof(type),                                                                                    \
        .stride_bytes = (layout_of) == KN_LAYOUT_DENSE ? sizeof(type) : KN_SEQUENCED_STRIDE_BYTES(sizeof(type)),       \
        .dense = (layout_of) == KN_LAYOUT_DENSE,                                                                       \
        .shared_writers = (writers_of) == KN_WRITERS_SHARED,                                                           \
        .marks_each = (readers_of) != KN_READER_EXCLUSIVE || (robust_of),                                              \
        .group = (readers_of) == KN_READERS_GROUP || ((readers_of) == KN_READERS_JOIN && (is_member)),                 \
        .dynamic = (readers_of) == KN_READERS_JOIN,                                                                    \
        .robust = (robust_of),                                                                                         \
    })

/**
 * Defines a typed queue of any shape. The layouts, writers and readers are the constants of sector.h. In a sequenced
 * queue `type` may not demand more than 8-byte alignment.
 */
#define KN_QUEUE_DEFINE(name, type, layout_of, writers_of, readers_of)                                                 \
    _Static_assert((layout_of) == KN_LAYOUT_DENSE || _Alignof(type) <= KN_STAMP_BYTES,                                 \
                   "messages lie 8 bytes into their slot");                                                            \
    struct name##_producer {                                                                                           \
        struct kn_writer writer;                                                                                       \
    };                                                                                                                 \
    struct name##_consumer {                                                                                           \
        struct kn_reader reader;                                                                                       \
    };                                                                                                                 \
    struct name {                                                                                                      \
        struct name##_producer producer;                                                                               \
        struct name##_consumer consumer;                                                                               \
        KN_OWNED struct kn_sector sector;                                                                              \
    };                                                                                                                 \
    KN_INLINE struct kn_form name##_form(bool robust, bool member)                                                     \
    {                                                                                                                  \
        return KN_QUEUE_FORM(type, layout_of, writers_of, readers_of, robust, member);                                 \
    }                                                                                                                  \
    KN_INLINE struct kn_form name##_writer_form(const struct name##_producer *producer)                                \
    {                                                                                                                  \
        return name##_form(producer->writer.form.robust, false);                                                       \
    }                                                                                                                  \
    KN_INLINE struct kn_form name##_reader_form(const struct name##_consumer *consumer)                                \
    {                                                                                                                  \
        return name##_form(consumer->reader.form.robust, consumer->reader.form.group);                                 \
    }                                                                                                                  \
    KN_INLINE struct kn_sector_options name##_options(size_t capacity_slots)                                           \
    {                                                                                                                  \
        return (struct kn_sector_options){.slot_bytes = sizeof(type),                                                  \
                                          .capacity_slots = capacity_slots,                                            \
                                          .layout = (layout_of),                                                       \
                                          .writers = (writers_of),                                                     \
                                          .readers = (readers_of)};                                                    \
    }                                                                                                                  \
    KN_INLINE int name##_open(struct name **queue, size_t capacity_slots)                                              \
    {                                                                                                                  \
        struct kn_sector_options options = name##_options(capacity_slots);                                             \
        void *opened;                                                                                                  \
        int result = kn_queue_open(&opened, sizeof(struct name), &options);                                            \
        *queue = (struct name *)opened;                                                                                \
        return result;                                                                                                 \
    }                                                                                                                  \
    KN_INLINE void name##_close(struct name *queue)                                                                    \
    {                                                                                                                  \
        kn_queue_close(queue);                                                                                         \
    }                                                                                                                  \
    KN_INLINE size_t name##_count(const struct name *queue)                                                            \
    {                                                                                                                  \
        return kn_sector_count(&queue->sector);                                                                        \
    }                                                                                                                  \
    KN_INLINE int name##_producer_join(struct name##_producer *producer, const struct kn_sector *sector)               \
    {                                                                                                                  \
        struct kn_sector_options options = name##_options(0);                                                          \
        int result = kn_queue_check(sector, &options);                                                                 \
        return result < 0 ? result : kn_writer_join(&producer->writer, sector);                                        \
    }                                                                                                                  \
    KN_INLINE void name##_producer_leave(struct name##_producer *producer)                                             \
    {                                                                                                                  \
        kn_writer_leave(&producer->writer);                                                                            \
    }                                                                                                                  \
    KN_INLINE int name##_claim(struct name##_producer *producer, size_t slots_max, struct kn_span *span)               \
    {                                                                                                                  \
        return kn_writer_claim_as(&producer->writer, name##_writer_form(producer), slots_max, span);                   \
    }                                                                                                                  \
    KN_INLINE int name##_publish(struct name##_producer *producer, size_t slots)                                       \
    {                                                                                                                  \
        return kn_writer_publish_as(&producer->writer, name##_writer_form(producer), slots);                           \
    }                                                                                                                  \
    KN_INLINE int name##_try_push(struct name##_producer *producer, const type *message)                               \
    {                                                                                                                  \
        return kn_writer_try_push_as(&producer->writer, name##_writer_form(producer), message);                        \
    }                                                                                                                  \
    KN_INLINE size_t name##_push_many(struct name##_producer *producer, const type *messages, size_t count)            \
    {                                                                                                                  \
        return kn_writer_push_many_as(&producer->writer, name##_writer_form(producer), messages, count);               \
    }                                                                                                                  \
    KN_INLINE int name##_claim_wait(struct name##_producer *producer, size_t slots_max, struct kn_span *span,          \
                                    const struct kn_wait *how)                                                         \
    {                                                                                                                  \
        return kn_writer_claim_wait_as(&producer->writer, name##_writer_form(producer), slots_max, span, how);         \
    }                                                                                                                  \
    KN_INLINE int name##_push(struct name##_producer *producer, const type *message, const struct kn_wait *how)        \
    {                                                                                                                  \
        return kn_writer_push_as(&producer->writer, name##_writer_form(producer), message, how);                       \
    }                                                                                                                  \
    KN_INLINE int name##_consumer_join(struct name##_consumer *consumer, const struct kn_sector *sector,               \
                                       const struct kn_reader_options *reader_options)                                 \
    {                                                                                                                  \
        struct kn_sector_options options = name##_options(0);                                                          \
        int result = kn_queue_check(sector, &options);                                                                 \
        return result < 0 ? result : kn_reader_join(&consumer->reader, sector, reader_options);                        \
    }                                                                                                                  \
    KN_INLINE void name##_consumer_leave(struct name##_consumer *consumer)                                             \
    {                                                                                                                  \
        kn_reader_leave(&consumer->reader);                                                                            \
    }                                                                                                                  \
    KN_INLINE int name##_peek(struct name##_consumer *consumer, size_t slots_max, struct kn_span *span)                \
    {                                                                                                                  \
        return kn_reader_peek_as(&consumer->reader, name##_reader_form(consumer), slots_max, span);                    \
    }                                                                                                                  \
    KN_INLINE int name##_release(struct name##_consumer *consumer, size_t slots)                                       \
    {                                                                                                                  \
        return kn_reader_release_as(&consumer->reader, name##_reader_form(consumer), slots);                           \
    }                                                                                                                  \
    KN_INLINE int name##_try_pop(struct name##_consumer *consumer, type *message)                                      \
    {                                                                                                                  \
        return kn_reader_try_pop_as(&consumer->reader, name##_reader_form(consumer), message);                         \
    }                                                                                                                  \
    KN_INLINE size_t name##_pop_many(struct name##_consumer *consumer, type *messages, size_t count)                   \
    {                                                                                                                  \
        return kn_reader_pop_many_as(&consumer->reader, name##_reader_form(consumer), messages, count);                \
    }                                                                                                                  \
    KN_INLINE int name##_peek_wait(struct name##_consumer *consumer, size_t slots_max, struct kn_span *span,           \
                                   const struct kn_wait *how)                                                          \
    {                                                                                                                  \
        return kn_reader_peek_wait_as(&consumer->reader, name##_reader_form(consumer), slots_max, span, how);          \
    }                                                                                                                  \
    KN_INLINE int name##_pop(struct name##_consumer *consumer, type *message, const struct kn_wait *how)               \
    {                                                                                                                  \
        return kn_reader_pop_wait_as(&consumer->reader, name##_reader_form(consumer), message, how);                   \
    }                                                                                                                  \
    KN_INLINE type *name##_at(const struct kn_span *span, size_t index)                                                \
    {                                                                                                                  \
        return (type *)(void *)(span->first + index * name##_form(false, false).stride_bytes);                         \
    }                                                                                                                  \
    struct name

#endif
