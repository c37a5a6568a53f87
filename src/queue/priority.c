#include <kernel/priority.h>

#include <stdlib.h>

static uint32_t bit_of(unsigned class)
{
    return UINT32_C(1) << class;
}

int kn_priority_open(struct kn_priority **queue, const struct kn_priority_options *options)
{
    *queue = NULL;
    struct kn_priority *opened = aligned_alloc(KN_OWNER_STRIDE, kn_align_up(sizeof(*opened), KN_OWNER_STRIDE));
    if (!opened)
        return -ENOMEM;
    memset(opened, 0, sizeof(*opened));
    struct kn_sector_options lane = {
        .slot_bytes = options->slot_bytes,
        .capacity_slots = options->capacity_slots,
        .cursors_max = options->cursors_max,
        .writers = KN_WRITERS_SHARED,
        .readers = options->exclusive_consumer ? KN_READER_EXCLUSIVE : KN_READERS_GROUP,
    };
    int result = 0;
    for (unsigned class = 0; class < KN_PRIORITY_CLASSES && result == 0; class ++)
        result = kn_sector_create(&opened->lanes[class], &lane);
    if (result < 0) {
        kn_priority_close(opened);
        return result;
    }
    kn_eventcount_init(&opened->published, false);
    *queue = opened;
    return 0;
}

void kn_priority_close(struct kn_priority *queue)
{
    if (!queue)
        return;
    for (unsigned class = 0; class < KN_PRIORITY_CLASSES; class ++)
        kn_sector_close(&queue->lanes[class]);
    free(queue);
}

int kn_priority_producer_join(struct kn_priority_producer *producer, struct kn_priority *queue)
{
    producer->queue = queue;
    for (unsigned class = 0; class < KN_PRIORITY_CLASSES; class ++) {
        int result = kn_writer_join(&producer->writers[class], &queue->lanes[class]);
        if (result == 0)
            continue;
        while (class -- > 0)
            kn_writer_leave(&producer->writers[class]);
        return result;
    }
    return 0;
}

void kn_priority_producer_leave(struct kn_priority_producer *producer)
{
    for (unsigned class = 0; class < KN_PRIORITY_CLASSES; class ++)
        kn_writer_leave(&producer->writers[class]);
}

int kn_priority_consumer_join(struct kn_priority_consumer *consumer, struct kn_priority *queue)
{
    consumer->queue = queue;
    consumer->peeked_class = KN_PRIORITY_CLASSES;
    for (unsigned class = 0; class < KN_PRIORITY_CLASSES; class ++) {
        int result = kn_reader_join(&consumer->readers[class], &queue->lanes[class], NULL);
        if (result == 0)
            continue;
        while (class -- > 0)
            kn_reader_leave(&consumer->readers[class]);
        return result;
    }
    return 0;
}

void kn_priority_consumer_leave(struct kn_priority_consumer *consumer)
{
    for (unsigned class = 0; class < KN_PRIORITY_CLASSES; class ++)
        kn_reader_leave(&consumer->readers[class]);
}

/* Makes known that a class holds something, after it was published there. */
static void set_ready(struct kn_priority *queue, unsigned class, uint64_t messages)
{
    /* Release pairs with the acquire half of the exchange in kn_priority_peek, and with the load there. */
    atomic_fetch_or_explicit(&queue->ready, bit_of(class), memory_order_release);
    kn_eventcount_notify(&queue->published, messages < KN_EVENTCOUNT_ALL ? (uint32_t)messages : KN_EVENTCOUNT_ALL);
}

int kn_priority_try_push(struct kn_priority_producer *producer, unsigned class, const void *message)
{
    if (class >= KN_PRIORITY_CLASSES)
        return -EINVAL;
    int result = kn_writer_try_push(&producer->writers[class], message);
    if (result == 0)
        set_ready(producer->queue, class, 1);
    return result;
}

size_t kn_priority_push_many(struct kn_priority_producer *producer, unsigned class, const void *messages, size_t count)
{
    if (class >= KN_PRIORITY_CLASSES)
        return 0;
    size_t pushed = kn_writer_push_many(&producer->writers[class], messages, count);
    if (pushed > 0)
        set_ready(producer->queue, class, pushed);
    return pushed;
}

int kn_priority_push(struct kn_priority_producer *producer, unsigned class, const void *message,
                     const struct kn_wait *how)
{
    if (class >= KN_PRIORITY_CLASSES)
        return -EINVAL;
    int result = kn_writer_push(&producer->writers[class], message, how);
    if (result == 0)
        set_ready(producer->queue, class, 1);
    return result;
}

/*
 * Shows messages of the most urgent class that has any. A class whose bit is set and that is empty has its bit cleared,
 * and is then looked at once more: what was published before the bit was cleared is seen now, and what is published
 * later sets it again.
 */
int kn_priority_peek(struct kn_priority_consumer *consumer, size_t slots_max, struct kn_span *span, unsigned *class)
{
    struct kn_priority *queue = consumer->queue;
    *span = (struct kn_span){0};
    if (slots_max == 0)
        return -EAGAIN;
    /* Acquire pairs with the release in set_ready: a bit comes with the message it stands for. */
    uint32_t ready = atomic_load_explicit(&queue->ready, memory_order_acquire);
    if (consumer->peeked_class < KN_PRIORITY_CLASSES)
        ready = bit_of(consumer->peeked_class);
    for (; ready != 0; ready &= ready - 1) {
        unsigned first = (unsigned)__builtin_ctz(ready);
        int result = kn_reader_peek(&consumer->readers[first], slots_max, span);
        if (result < 0) {
            /* Acquire pairs with the release in set_ready; release, with what an other consumer sets again. */
            atomic_fetch_and_explicit(&queue->ready, ~bit_of(first), memory_order_acq_rel);
            result = kn_reader_peek(&consumer->readers[first], slots_max, span);
            if (result == 0)
                atomic_fetch_or_explicit(&queue->ready, bit_of(first), memory_order_release);
        }
        if (result < 0)
            continue;
        consumer->peeked_class = first;
        if (class)
            *class = first;
        return 0;
    }
    return -EAGAIN;
}

int kn_priority_release(struct kn_priority_consumer *consumer, size_t slots)
{
    unsigned class = consumer->peeked_class;
    if (class >= KN_PRIORITY_CLASSES)
        return -EINVAL;
    struct kn_reader *reader = &consumer->readers[class];
    int result = kn_reader_release(reader, slots);
    if (reader->peeked == 0)
        consumer->peeked_class = KN_PRIORITY_CLASSES;
    return result;
}

size_t kn_priority_pop_many(struct kn_priority_consumer *consumer, void *messages, size_t count)
{
    size_t slot_bytes = consumer->readers[0].form.slot_bytes;
    size_t popped = 0;
    struct kn_span span;
    while (popped < count && kn_priority_peek(consumer, count - popped, &span, NULL) == 0) {
        for (size_t i = 0; i < span.count; i++)
            memcpy((uint8_t *)messages + (popped + i) * slot_bytes, kn_span_at(&span, i), slot_bytes);
        popped += span.count;
        (void)kn_priority_release(consumer, span.count);
    }
    return popped;
}

int kn_priority_try_pop(struct kn_priority_consumer *consumer, void *message, unsigned *class)
{
    struct kn_span span;
    int result = kn_priority_peek(consumer, 1, &span, class);
    if (result < 0)
        return result;
    memcpy(message, span.first, consumer->readers[0].form.slot_bytes);
    return kn_priority_release(consumer, 1);
}

int kn_priority_pop(struct kn_priority_consumer *consumer, void *message, unsigned *class, const struct kn_wait *how)
{
    struct kn_eventcount *published = &consumer->queue->published;
    int result = kn_priority_try_pop(consumer, message, class);
    if (result != -EAGAIN)
        return result;
    struct kn_waiter waiter;
    bool slept_long;
    kn_waiter_begin(&waiter, published, how);
    while ((result = kn_priority_try_pop(consumer, message, class)) == -EAGAIN &&
           (result = kn_waiter_pause(&waiter, &slept_long)) == 0)
        ;
    kn_waiter_end(&waiter);
    if (result == 0)
        kn_eventcount_notify(published, 1); /* who got a message wakes the next consumer, for those that are left */
    return result;
}

size_t kn_priority_count(const struct kn_priority *queue)
{
    size_t count = 0;
    for (unsigned class = 0; class < KN_PRIORITY_CLASSES; class ++)
        count += kn_sector_count(&queue->lanes[class]);
    return count;
}
