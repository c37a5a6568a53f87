/**
 * @file spsc.h
 * A bounded queue of fixed-size messages from one producer thread to one consumer thread.
 *
 * Use it to hand typed messages between two cores, in place (claim, write, publish; peek, read, release) or by
 * value (try_push, try_pop); for messages of varying size take spsc_bytes.h, and with several producers or
 * consumers on one end do not use it. Every operation is wait-free: a bounded number of the caller's own steps,
 * no system call, no allocation, no lock; full and empty are answered with -EAGAIN.
 *
 * How it works. Every slot carries its own sequence word in front of the message:
 *
 *        +----------+-----------+----------+-----------+--
 *        | sequence |  message  | sequence |  message  |  ...      stride: 16, 32, 64 or a multiple of 64 bytes
 *        +----------+-----------+----------+-----------+--
 *
 * The message of position p (0, 1, 2, ...) lies in slot p modulo the ring and is published by storing p + 1 in its
 * sequence word. A consumer therefore polls the very line on which the message arrives: a message of up to 56
 * bytes costs one cache-line transfer, where a shared tail index would cost two. The way back is one word, the
 * consumer's released position, which the producer reads only when its cached copy (the gate) is used up.
 *
 * Sources: the slot sequence is D. Vyukov's (bounded MPMC queue, 2010), after the in-slot flag of FastForward
 * (Giacomoni, Moseley, Vachharajani, PPoPP 2008); the cached opposite position is MCRingBuffer's (Lee, Bu,
 * Chandranmenon, 2009). models/spsc.pml holds the protocol as a model that Spin exhausts.
 */
#ifndef KERNEL_SPSC_H
#define KERNEL_SPSC_H

#include <errno.h>
#include <string.h>

#include <kernel/atomic.h>
#include <kernel/sector.h>

/** Bytes of the sequence word in front of each message. */
#define KN_SPSC_SEQUENCE_BYTES sizeof(uint64_t)

/** How far ahead of the message being taken the consumer fetches, in bytes. */
#define KN_SPSC_PREFETCH_BYTES ((size_t)8 * KN_CACHE_LINE)

/**
 * Distance of two slots in bytes for messages of `slot_bytes`. Up to a cache line strides are powers of two, so
 * that no message straddles two lines; above, whole lines.
 */
#define KN_SPSC_STRIDE_BYTES(slot_bytes)                                                                               \
    ((slot_bytes) + KN_SPSC_SEQUENCE_BYTES <= 16 ? (size_t)16                                                          \
     : (slot_bytes) + KN_SPSC_SEQUENCE_BYTES <= 32                                                                     \
         ? (size_t)32                                                                                                  \
         : ((slot_bytes) + KN_SPSC_SEQUENCE_BYTES + KN_CACHE_LINE - 1) / KN_CACHE_LINE * KN_CACHE_LINE)

/** What a queue is made of. Both fields are needed; zero is refused. */
struct kn_spsc_options {
    size_t slot_bytes;     /**< bytes of one message, at least 1 */
    size_t capacity_slots; /**< most messages in flight: a power of two */
};

/** Consecutive slots, each at a fixed distance from the one before. Valid until published or released. */
struct kn_span {
    uint8_t *first;      /**< message of the first slot */
    size_t stride_bytes; /**< from one message to the next */
    size_t count;        /**< slots */
};

/** The message of slot `index` (below `span->count`) of a span. Wait-free. */
KN_INLINE void *kn_span_at(const struct kn_span *span, size_t index)
{
    return span->first + index * span->stride_bytes;
}

/** The fields that never change; each side reads a copy of its own so that neither fetches a third line. */
struct kn_spsc_ring {
    uint8_t *memory;
    uint64_t mask; /* slots in the ring, which may exceed the capacity, less one */
    uint64_t capacity_slots;
    size_t stride_bytes;
    size_t slot_bytes;
};

/**
 * The queue. Fields are private to spsc.h.
 *
 * Invariant: released <= position <= released + capacity. The slots of [released, position) belong to the
 * consumer, all others to the producer. gate <= released always: a stale gate only makes the producer look again.
 */
struct kn_spsc {
    struct {
        KN_OWNED uint64_t position; /* next to publish */
        uint64_t gate;              /* the last `released` seen */
        uint64_t claimed;           /* slots handed out by the last claim */
        struct kn_spsc_ring ring;
    } producer;
    struct {
        KN_OWNED _Atomic uint64_t released; /* next to read; written by the consumer alone */
        uint64_t peeked;                    /* slots handed out by the last peek */
        struct kn_spsc_ring ring;
    } consumer;
    KN_OWNED struct kn_sector sector;
};

/**
 * Creates an empty queue. The caller owns it and closes it once both threads have let go of it. The handing of
 * `*queue` to the two threads must itself be ordered, as pthread_create does.
 *
 * @return 0; -EINVAL when the capacity is no power of two, a size is zero or the whole is too large to map;
 * -ENOMEM, -EMFILE, -ENFILE as the system reports. `*queue` is NULL after an error.
 */
KN_CHECK_RESULT int kn_spsc_open(struct kn_spsc **queue, const struct kn_spsc_options *options);

/** Frees the queue and whatever is still in it. Neither thread may use it any more. NULL is harmless. */
void kn_spsc_close(struct kn_spsc *queue);

/** Messages published and not yet released: exact for either owner while the other rests, else a moment old. Wait-free.
 */
size_t kn_spsc_count(const struct kn_spsc *queue);

/** Most messages in flight, in slots. Any thread. */
size_t kn_spsc_capacity(const struct kn_spsc *queue);

/* The slot of a position, always by its first address: ThreadSanitizer takes the second mapping for other memory. */
KN_INLINE uint8_t *kn_spsc_slot(const struct kn_spsc_ring *ring, uint64_t position, size_t stride_bytes)
{
    return ring->memory + (position & ring->mask) * stride_bytes;
}

KN_INLINE _Atomic uint64_t *kn_spsc_sequence(const struct kn_spsc_ring *ring, uint64_t position, size_t stride_bytes)
{
    return (_Atomic uint64_t *)(void *)kn_spsc_slot(ring, position, stride_bytes);
}

/* How many of `slots_max` slots the producer may write now. */
KN_INLINE uint64_t kn_spsc_writable(struct kn_spsc *queue, uint64_t slots_max)
{
    uint64_t position = queue->producer.position;
    uint64_t capacity = queue->producer.ring.capacity_slots;
    uint64_t room = queue->producer.gate + capacity - position;
    if (KN_UNLIKELY(room < slots_max)) {
        /* Acquire pairs with the release store in kn_spsc_release_slots: the consumer has finished reading these slots.
         */
        queue->producer.gate = atomic_load_explicit(&queue->consumer.released, memory_order_acquire);
        room = queue->producer.gate + capacity - position;
    }
    return room < slots_max ? room : slots_max;
}

/* How many of `slots_max` slots the consumer may read now. */
KN_INLINE uint64_t kn_spsc_readable(struct kn_spsc *queue, uint64_t slots_max, size_t stride_bytes)
{
    uint64_t position = atomic_load_explicit(&queue->consumer.released, memory_order_relaxed);
    uint64_t count = 0;
    /* Acquire pairs with the release store in kn_spsc_publish_slots: the message was written before its sequence. */
    while (count < slots_max &&
           atomic_load_explicit(kn_spsc_sequence(&queue->consumer.ring, position + count, stride_bytes),
                                memory_order_acquire) == position + count + 1)
        count++;
    return count;
}

/*
 * Publishes written slots. The first one last: the consumer looks at no later slot before it has seen the first, so
 * one release store covers the batch, and the line that the consumer polls is taken from it once instead of for
 * every slot. Measured with batches of 32 messages of 64 bytes, that is about two thirds of the time.
 */
KN_INLINE void kn_spsc_publish_slots(struct kn_spsc *queue, uint64_t slots, size_t stride_bytes)
{
    if (slots == 0)
        return;
    uint64_t position = queue->producer.position;
    for (uint64_t i = slots - 1; i > 0; i--)
        atomic_store_explicit(kn_spsc_sequence(&queue->producer.ring, position + i, stride_bytes), position + i + 1,
                              memory_order_relaxed);
    /* Release pairs with the acquire load in kn_spsc_readable. */
    atomic_store_explicit(kn_spsc_sequence(&queue->producer.ring, position, stride_bytes), position + 1,
                          memory_order_release);
    queue->producer.position = position + slots;
}

KN_INLINE void kn_spsc_release_slots(struct kn_spsc *queue, uint64_t slots)
{
    uint64_t position = atomic_load_explicit(&queue->consumer.released, memory_order_relaxed);
    /* Release pairs with the acquire load in kn_spsc_writable: our reads end before the slots are written again. */
    atomic_store_explicit(&queue->consumer.released, position + slots, memory_order_release);
}

KN_INLINE int kn_spsc_claim_strided(struct kn_spsc *queue, size_t slots_max, struct kn_span *span, size_t stride_bytes)
{
    uint64_t slots = kn_spsc_writable(queue, slots_max);
    queue->producer.claimed = slots;
    if (slots == 0) {
        *span = (struct kn_span){0};
        return -EAGAIN;
    }
    span->first = kn_spsc_slot(&queue->producer.ring, queue->producer.position, stride_bytes) + KN_SPSC_SEQUENCE_BYTES;
    span->stride_bytes = stride_bytes;
    span->count = slots;
    return 0;
}

KN_INLINE int kn_spsc_publish_strided(struct kn_spsc *queue, size_t slots, size_t stride_bytes)
{
    if (KN_UNLIKELY(slots > queue->producer.claimed))
        return -EINVAL;
    queue->producer.claimed = 0;
    kn_spsc_publish_slots(queue, slots, stride_bytes);
    return 0;
}

KN_INLINE int kn_spsc_peek_strided(struct kn_spsc *queue, size_t slots_max, struct kn_span *span, size_t stride_bytes)
{
    uint64_t slots = kn_spsc_readable(queue, slots_max, stride_bytes);
    queue->consumer.peeked = slots;
    if (slots == 0) {
        *span = (struct kn_span){0};
        return -EAGAIN;
    }
    uint64_t position = atomic_load_explicit(&queue->consumer.released, memory_order_relaxed);
    span->first = kn_spsc_slot(&queue->consumer.ring, position, stride_bytes) + KN_SPSC_SEQUENCE_BYTES;
    span->stride_bytes = stride_bytes;
    span->count = slots;
    return 0;
}

KN_INLINE int kn_spsc_try_push_strided(struct kn_spsc *queue, const void *message, size_t slot_bytes,
                                       size_t stride_bytes)
{
    if (kn_spsc_writable(queue, 1) == 0)
        return -EAGAIN;
    uint8_t *slot = kn_spsc_slot(&queue->producer.ring, queue->producer.position, stride_bytes);
    memcpy(slot + KN_SPSC_SEQUENCE_BYTES, message, slot_bytes);
    kn_spsc_publish_slots(queue, 1, stride_bytes);
    return 0;
}

KN_INLINE int kn_spsc_try_pop_strided(struct kn_spsc *queue, void *message, size_t slot_bytes, size_t stride_bytes)
{
    if (kn_spsc_readable(queue, 1, stride_bytes) == 0)
        return -EAGAIN;
    uint64_t position = atomic_load_explicit(&queue->consumer.released, memory_order_relaxed);
    const uint8_t *slot = kn_spsc_slot(&queue->consumer.ring, position, stride_bytes);
    /* A consumer that lags has quiet lines ahead of it: fetching several at once hides their transfer. One that does
     * not lag finds lines it still holds from the lap before, which costs nothing. Harmless beyond the ring's end. */
    KN_PREFETCH_READ(slot + KN_SPSC_PREFETCH_BYTES);
    memcpy(message, slot + KN_SPSC_SEQUENCE_BYTES, slot_bytes);
    kn_spsc_release_slots(queue, 1);
    return 0;
}

KN_INLINE size_t kn_spsc_push_many_strided(struct kn_spsc *queue, const void *messages, size_t count, size_t slot_bytes,
                                           size_t stride_bytes)
{
    uint64_t slots = kn_spsc_writable(queue, count);
    /* Backwards, so that the line which the consumer polls, the first, is touched last and once. */
    for (uint64_t i = slots; i-- > 0;)
        memcpy(kn_spsc_slot(&queue->producer.ring, queue->producer.position + i, stride_bytes) + KN_SPSC_SEQUENCE_BYTES,
               (const uint8_t *)messages + i * slot_bytes, slot_bytes);
    kn_spsc_publish_slots(queue, slots, stride_bytes);
    return slots;
}

KN_INLINE size_t kn_spsc_pop_many_strided(struct kn_spsc *queue, void *messages, size_t count, size_t slot_bytes,
                                          size_t stride_bytes)
{
    uint64_t slots = kn_spsc_readable(queue, count, stride_bytes);
    uint64_t position = atomic_load_explicit(&queue->consumer.released, memory_order_relaxed);
    for (uint64_t i = 0; i < slots; i++)
        memcpy((uint8_t *)messages + i * slot_bytes,
               kn_spsc_slot(&queue->consumer.ring, position + i, stride_bytes) + KN_SPSC_SEQUENCE_BYTES, slot_bytes);
    if (slots)
        kn_spsc_release_slots(queue, slots);
    return slots;
}

/**
 * Claims up to `slots_max` slots to be written in place. Claiming again before publishing claims the same slots.
 * Producer only; wait-free.
 *
 * @return 0 with span->count in 1..slots_max, or -EAGAIN with an empty span when the queue is full (or slots_max is 0).
 */
KN_INLINE int kn_spsc_claim(struct kn_spsc *queue, size_t slots_max, struct kn_span *span)
{
    return kn_spsc_claim_strided(queue, slots_max, span, queue->producer.ring.stride_bytes);
}

/**
 * Makes the first `slots` claimed slots visible to the consumer, in order; the rest of the claim is given up.
 * Producer only; wait-free.
 *
 * @return 0, or -EINVAL for more slots than were claimed: nothing is published then.
 */
KN_INLINE int kn_spsc_publish(struct kn_spsc *queue, size_t slots)
{
    return kn_spsc_publish_strided(queue, slots, queue->producer.ring.stride_bytes);
}

/**
 * Shows up to `slots_max` published messages in place, oldest first, without taking them. Consumer only; wait-free.
 *
 * @return 0 with span->count in 1..slots_max, or -EAGAIN with an empty span when the queue is empty (or slots_max is
 * 0).
 */
KN_INLINE int kn_spsc_peek(struct kn_spsc *queue, size_t slots_max, struct kn_span *span)
{
    return kn_spsc_peek_strided(queue, slots_max, span, queue->consumer.ring.stride_bytes);
}

/**
 * Gives the first `slots` peeked messages back to the producer; pointers into them end here. Consumer only; wait-free.
 *
 * @return 0, or -EINVAL for more slots than were peeked: nothing is released then.
 */
KN_INLINE int kn_spsc_release(struct kn_spsc *queue, size_t slots)
{
    if (KN_UNLIKELY(slots > queue->consumer.peeked))
        return -EINVAL;
    queue->consumer.peeked -= slots;
    kn_spsc_release_slots(queue, slots);
    return 0;
}

/** Copies one message of slot_bytes in. Producer only; wait-free. @return 0, or -EAGAIN when full. */
KN_INLINE int kn_spsc_try_push(struct kn_spsc *queue, const void *message)
{
    const struct kn_spsc_ring *ring = &queue->producer.ring;
    return kn_spsc_try_push_strided(queue, message, ring->slot_bytes, ring->stride_bytes);
}

/** Copies the oldest message out. Consumer only; wait-free. @return 0, or -EAGAIN when empty. */
KN_INLINE int kn_spsc_try_pop(struct kn_spsc *queue, void *message)
{
    const struct kn_spsc_ring *ring = &queue->consumer.ring;
    return kn_spsc_try_pop_strided(queue, message, ring->slot_bytes, ring->stride_bytes);
}

/** Copies up to `count` consecutive messages in. Producer only; wait-free. @return how many went in, 0 when full. */
KN_INLINE size_t kn_spsc_push_many(struct kn_spsc *queue, const void *messages, size_t count)
{
    const struct kn_spsc_ring *ring = &queue->producer.ring;
    return kn_spsc_push_many_strided(queue, messages, count, ring->slot_bytes, ring->stride_bytes);
}

/** Copies up to `count` messages out, oldest first. Consumer only; wait-free. @return how many came, 0 when empty. */
KN_INLINE size_t kn_spsc_pop_many(struct kn_spsc *queue, void *messages, size_t count)
{
    const struct kn_spsc_ring *ring = &queue->consumer.ring;
    return kn_spsc_pop_many_strided(queue, messages, count, ring->slot_bytes, ring->stride_bytes);
}

/**
 * Defines `struct name`, a queue of `type`, and its functions: the ones above with the type checked and the
 * slot's size known to the compiler, which is what makes them fast.
 *
 *     KN_SPSC_DEFINE(orders, struct order)
 *
 *     int    orders_open(struct orders **queue, size_t capacity_slots);
 *     void   orders_close(struct orders *queue);
 *     int    orders_try_push(struct orders *queue, const struct order *message);
 *     int    orders_try_pop(struct orders *queue, struct order *message);
 *     size_t orders_push_many(struct orders *queue, const struct order *messages, size_t count);
 *     size_t orders_pop_many(struct orders *queue, struct order *messages, size_t count);
 *     int    orders_claim(struct orders *queue, size_t slots_max, struct kn_span *span);
 *     int    orders_publish(struct orders *queue, size_t slots);
 *     int    orders_peek(struct orders *queue, size_t slots_max, struct kn_span *span);
 *     int    orders_release(struct orders *queue, size_t slots);
 *     struct order *orders_at(const struct kn_span *span, size_t index);
 *     size_t orders_count(const struct orders *queue);
 *
 * `type` may not demand more than 8-byte alignment.
 */
#define KN_SPSC_DEFINE(name, type)                                                                                     \
    struct name {                                                                                                      \
        struct kn_spsc queue;                                                                                          \
    };                                                                                                                 \
    _Static_assert(_Alignof(type) <= KN_SPSC_SEQUENCE_BYTES, "messages lie 8 bytes into their slot");                  \
    KN_INLINE int name##_open(struct name **queue, size_t capacity_slots)                                              \
    {                                                                                                                  \
        struct kn_spsc_options options = {.slot_bytes = sizeof(type), .capacity_slots = capacity_slots};               \
        struct kn_spsc *opened;                                                                                        \
        int result = kn_spsc_open(&opened, &options);                                                                  \
        *queue = (struct name *)(void *)opened;                                                                        \
        return result;                                                                                                 \
    }                                                                                                                  \
    KN_INLINE void name##_close(struct name *queue)                                                                    \
    {                                                                                                                  \
        kn_spsc_close((struct kn_spsc *)(void *)queue);                                                                \
    }                                                                                                                  \
    KN_INLINE int name##_try_push(struct name *queue, const type *message)                                             \
    {                                                                                                                  \
        return kn_spsc_try_push_strided(&queue->queue, message, sizeof(type), KN_SPSC_STRIDE_BYTES(sizeof(type)));     \
    }                                                                                                                  \
    KN_INLINE int name##_try_pop(struct name *queue, type *message)                                                    \
    {                                                                                                                  \
        return kn_spsc_try_pop_strided(&queue->queue, message, sizeof(type), KN_SPSC_STRIDE_BYTES(sizeof(type)));      \
    }                                                                                                                  \
    KN_INLINE size_t name##_push_many(struct name *queue, const type *messages, size_t count)                          \
    {                                                                                                                  \
        return kn_spsc_push_many_strided(&queue->queue, messages, count, sizeof(type),                                 \
                                         KN_SPSC_STRIDE_BYTES(sizeof(type)));                                          \
    }                                                                                                                  \
    KN_INLINE size_t name##_pop_many(struct name *queue, type *messages, size_t count)                                 \
    {                                                                                                                  \
        return kn_spsc_pop_many_strided(&queue->queue, messages, count, sizeof(type),                                  \
                                        KN_SPSC_STRIDE_BYTES(sizeof(type)));                                           \
    }                                                                                                                  \
    KN_INLINE int name##_claim(struct name *queue, size_t slots_max, struct kn_span *span)                             \
    {                                                                                                                  \
        return kn_spsc_claim_strided(&queue->queue, slots_max, span, KN_SPSC_STRIDE_BYTES(sizeof(type)));              \
    }                                                                                                                  \
    KN_INLINE int name##_publish(struct name *queue, size_t slots)                                                     \
    {                                                                                                                  \
        return kn_spsc_publish_strided(&queue->queue, slots, KN_SPSC_STRIDE_BYTES(sizeof(type)));                      \
    }                                                                                                                  \
    KN_INLINE int name##_peek(struct name *queue, size_t slots_max, struct kn_span *span)                              \
    {                                                                                                                  \
        return kn_spsc_peek_strided(&queue->queue, slots_max, span, KN_SPSC_STRIDE_BYTES(sizeof(type)));               \
    }                                                                                                                  \
    KN_INLINE int name##_release(struct name *queue, size_t slots)                                                     \
    {                                                                                                                  \
        return kn_spsc_release(&queue->queue, slots);                                                                  \
    }                                                                                                                  \
    KN_INLINE type *name##_at(const struct kn_span *span, size_t index)                                                \
    {                                                                                                                  \
        return (type *)(void *)(span->first + index * KN_SPSC_STRIDE_BYTES(sizeof(type)));                             \
    }                                                                                                                  \
    KN_INLINE size_t name##_count(const struct name *queue)                                                            \
    {                                                                                                                  \
        return kn_spsc_count(&queue->queue);                                                                           \
    }                                                                                                                  \
    struct name

#endif
