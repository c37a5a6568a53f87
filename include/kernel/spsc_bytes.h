/**
 * @file spsc_bytes.h
 * A bounded queue of messages of varying size from one producer thread to one consumer thread.
 *
 * Use it where the bytes themselves travel (received data, encoded records): the producer has the system or an
 * encoder write straight into the queue and the consumer reads there; for messages of one size spsc.h is faster.
 * Every operation is wait-free: no system call, no allocation, no lock; full and empty are answered with -EAGAIN.
 *
 * How it works. The ring holds records, each aligned to 8 bytes:
 *
 *        +--------------+------------------+--------------+-----
 *        | header (u64) | message, padded  | header (u64) | ...
 *        +--------------+------------------+--------------+-----
 *
 * A header of 0 means "not published yet"; otherwise it is the message's length plus one. Before the producer
 * publishes a record it zeroes the header that follows, so that the consumer, which only ever looks at the header
 * behind the last record it has read, never takes old bytes for a header. Staged records are written with their
 * headers at once, all but the first: storing that one publishes the batch. The double mapping keeps a
 * record that crosses the end of the ring in one piece.
 *
 * Source: the record header as publication flag is Aeron's log buffer (Thompson, Montgomery, 2014); zeroing one
 * header ahead instead of the whole record on release is ours. models/spsc_bytes.pml holds the protocol as a
 * model that Spin exhausts.
 */
#ifndef KERNEL_SPSC_BYTES_H
#define KERNEL_SPSC_BYTES_H

#include <errno.h>

#include <kernel/atomic.h>
#include <kernel/mapping.h>

/** Bytes of the header in front of each message; messages start, and are padded to, multiples of it. */
#define KN_SPSC_BYTES_HEADER sizeof(uint64_t)

/** What a queue is made of. */
struct kn_spsc_bytes_options {
    size_t capacity_bytes; /**< of the ring: a power of two, at least a page */
};

/**
 * The queue. Fields are private to spsc_bytes.h; positions count bytes from the queue's beginning.
 *
 * Invariant: released <= peeked <= published <= staged, and staged + one header <= released + capacity.
 */
struct kn_spsc_bytes {
    struct {
        KN_OWNED uint64_t staged; /* where the next record goes */
        uint64_t published;       /* where the first staged record, not yet visible, lies */
        uint64_t first_header;    /* that record's header, withheld until flushed; 0: nothing staged */
        uint64_t gate;            /* the last `released` seen; never ahead of it */
        uint64_t claimed;         /* bytes handed out by the last claim, plus one; 0: none */
        uint8_t *memory;
        uint64_t capacity;
    } producer;
    struct {
        KN_OWNED _Atomic uint64_t released; /* where the oldest unreleased record lies; written by the consumer alone */
        uint64_t peeked;                    /* where the next record to peek lies */
        uint8_t *memory;
        uint64_t capacity;
    } consumer;
    KN_OWNED struct kn_mapping mapping;
};

/**
 * Creates an empty queue. The caller owns it and closes it once both threads have let go of it. The handing of
 * `*queue` to the two threads must itself be ordered, as pthread_create does.
 *
 * @return 0; -EINVAL when the capacity is no power of two or less than a page; -ENOMEM, -EMFILE, -ENFILE as the
 * system reports. `*queue` is NULL after an error.
 */
KN_CHECK_RESULT int kn_spsc_bytes_open(struct kn_spsc_bytes **queue, const struct kn_spsc_bytes_options *options);

/** Frees the queue and whatever is still in it. Neither thread may use it any more. NULL is harmless. */
void kn_spsc_bytes_close(struct kn_spsc_bytes *queue);

/** The longest message that an empty queue can hold, in bytes. Any thread. */
size_t kn_spsc_bytes_message_max(const struct kn_spsc_bytes *queue);

/* The header of a position, always by its first address: ThreadSanitizer takes the second mapping for other memory. */
KN_INLINE _Atomic uint64_t *kn_spsc_bytes_header(uint8_t *memory, uint64_t capacity, uint64_t position)
{
    return (_Atomic uint64_t *)(void *)(memory + (position & (capacity - 1)));
}

/* Bytes that a message of this length takes in the ring. */
KN_INLINE uint64_t kn_spsc_bytes_record(uint64_t length_bytes)
{
    return KN_SPSC_BYTES_HEADER + kn_align_up(length_bytes, KN_SPSC_BYTES_HEADER);
}

/**
 * Claims contiguous space for one message of up to `length_max` bytes, to be written in place, aligned to 8.
 * Claiming again before staging or publishing gives the earlier claim up. Producer only; wait-free.
 *
 * @return 0; or, with `*space` NULL, -EAGAIN when there is no room now and -EMSGSIZE when there never will be (above
 * kn_spsc_bytes_message_max).
 */
KN_INLINE int kn_spsc_bytes_claim(struct kn_spsc_bytes *queue, size_t length_max, void **space)
{
    uint64_t capacity = queue->producer.capacity;
    queue->producer.claimed = 0;
    *space = NULL;
    if (KN_UNLIKELY(length_max > capacity - 2 * KN_SPSC_BYTES_HEADER))
        return -EMSGSIZE;
    /* The header behind the record is written too, so it must be ours as well. */
    uint64_t end = queue->producer.staged + kn_spsc_bytes_record(length_max) + KN_SPSC_BYTES_HEADER;
    if (KN_UNLIKELY(end - queue->producer.gate > capacity)) {
        /* Acquire pairs with the release store in kn_spsc_bytes_release: the consumer has finished reading there. */
        queue->producer.gate = atomic_load_explicit(&queue->consumer.released, memory_order_acquire);
        if (end - queue->producer.gate > capacity)
            return -EAGAIN;
    }
    queue->producer.claimed = length_max + 1;
    *space = queue->producer.memory + (queue->producer.staged & (capacity - 1)) + KN_SPSC_BYTES_HEADER;
    return 0;
}

/**
 * Completes the claimed message with its first `length_bytes` bytes without showing it yet: a batch is staged
 * message by message and made visible by one flush. Producer only; wait-free.
 *
 * @return 0, or -EINVAL without a claim or for more bytes than claimed: nothing is staged then.
 */
KN_INLINE int kn_spsc_bytes_stage(struct kn_spsc_bytes *queue, size_t length_bytes)
{
    if (KN_UNLIKELY(length_bytes >= queue->producer.claimed))
        return -EINVAL;
    uint8_t *memory = queue->producer.memory;
    uint64_t capacity = queue->producer.capacity;
    uint64_t position = queue->producer.staged;
    uint64_t next = position + kn_spsc_bytes_record(length_bytes);
    queue->producer.claimed = 0;
    /* Relaxed: both words become visible by the release store of the batch's first header in the flush. */
    atomic_store_explicit(kn_spsc_bytes_header(memory, capacity, next), 0, memory_order_relaxed);
    if (queue->producer.first_header == 0)
        queue->producer.first_header = (uint64_t)length_bytes + 1;
    else
        atomic_store_explicit(kn_spsc_bytes_header(memory, capacity, position), (uint64_t)length_bytes + 1,
                              memory_order_relaxed);
    queue->producer.staged = next;
    return 0;
}

/** Makes everything staged visible, in order, by one store; nothing staged, nothing done. Producer only; wait-free. */
KN_INLINE void kn_spsc_bytes_flush(struct kn_spsc_bytes *queue)
{
    uint64_t header = queue->producer.first_header;
    if (header == 0)
        return;
    /* Release pairs with the acquire load in kn_spsc_bytes_peek: messages, later headers and the zero come first. */
    atomic_store_explicit(
        kn_spsc_bytes_header(queue->producer.memory, queue->producer.capacity, queue->producer.published), header,
        memory_order_release);
    queue->producer.first_header = 0;
    queue->producer.published = queue->producer.staged;
}

/** Stages the claimed message and flushes. Producer only; wait-free. @return as kn_spsc_bytes_stage. */
KN_INLINE int kn_spsc_bytes_publish(struct kn_spsc_bytes *queue, size_t length_bytes)
{
    int result = kn_spsc_bytes_stage(queue, length_bytes);
    kn_spsc_bytes_flush(queue);
    return result;
}

/**
 * Shows the next message in place. Peeking again shows the one after: a batch is peeked message by message and
 * given back by one release. The bytes stay valid until released. Consumer only; wait-free.
 *
 * @return 0, or -EAGAIN when nothing more is published.
 */
KN_INLINE int kn_spsc_bytes_peek(struct kn_spsc_bytes *queue, const void **message, size_t *length_bytes)
{
    uint8_t *memory = queue->consumer.memory;
    uint64_t capacity = queue->consumer.capacity;
    uint64_t position = queue->consumer.peeked;
    /* Acquire pairs with the release store in kn_spsc_bytes_flush: the message was written before its header. */
    uint64_t header = atomic_load_explicit(kn_spsc_bytes_header(memory, capacity, position), memory_order_acquire);
    if (header == 0) {
        *message = NULL;
        *length_bytes = 0;
        return -EAGAIN;
    }
    *message = memory + (position & (capacity - 1)) + KN_SPSC_BYTES_HEADER;
    *length_bytes = header - 1;
    queue->consumer.peeked = position + kn_spsc_bytes_record(header - 1);
    return 0;
}

/**
 * Gives every peeked message back to the producer; pointers into them end here. Consumer only; wait-free.
 *
 * @return 0, or -EINVAL when nothing is peeked.
 */
KN_INLINE int kn_spsc_bytes_release(struct kn_spsc_bytes *queue)
{
    uint64_t peeked = queue->consumer.peeked;
    if (KN_UNLIKELY(peeked == atomic_load_explicit(&queue->consumer.released, memory_order_relaxed)))
        return -EINVAL;
    /* Release pairs with the acquire load in kn_spsc_bytes_claim: our reads end before the bytes are written again. */
    atomic_store_explicit(&queue->consumer.released, peeked, memory_order_release);
    return 0;
}

#endif
