#include <kernel/spsc.h>

#include <stdlib.h>

/* The least ring that holds the capacity and fills whole pages, which the double mapping needs; 0 if none can. */
static uint64_t ring_slots(uint64_t capacity_slots, size_t stride_bytes)
{
    uint64_t page_bytes = kn_sector_page_bytes();
    uint64_t slots = capacity_slots;
    while (slots <= PTRDIFF_MAX / 2 / stride_bytes) {
        if (slots * stride_bytes % page_bytes == 0)
            return slots;
        slots *= 2;
    }
    return 0;
}

int kn_spsc_open(struct kn_spsc **queue, const struct kn_spsc_options *options)
{
    *queue = NULL;
    if (options->slot_bytes == 0 || options->slot_bytes > PTRDIFF_MAX / 4 ||
        !kn_is_power_of_two(options->capacity_slots))
        return -EINVAL;
    size_t stride_bytes = KN_SPSC_STRIDE_BYTES(options->slot_bytes);
    uint64_t slots = ring_slots(options->capacity_slots, stride_bytes);
    if (slots == 0)
        return -EINVAL;
    struct kn_spsc *created = aligned_alloc(KN_OWNER_STRIDE, sizeof(*created));
    if (!created)
        return -ENOMEM;
    memset(created, 0, sizeof(*created));
    struct kn_sector_options sector = {.length_bytes = slots * stride_bytes, .prefault = true};
    int result = kn_sector_open(&created->sector, &sector);
    if (result < 0) {
        free(created);
        return result;
    }
    struct kn_spsc_ring ring = {
        .memory = created->sector.memory,
        .mask = slots - 1,
        .capacity_slots = options->capacity_slots,
        .stride_bytes = stride_bytes,
        .slot_bytes = options->slot_bytes,
    };
    created->producer.ring = ring;
    created->consumer.ring = ring;
    *queue = created;
    return 0;
}

void kn_spsc_close(struct kn_spsc *queue)
{
    if (!queue)
        return;
    kn_sector_close(&queue->sector);
    free(queue);
}

/*
 * Found from the slots alone, since the producer's position is private to it: the first unpublished position is at
 * most a capacity ahead of the released one, and published sequences stand without a gap, so a binary search does.
 */
size_t kn_spsc_count(const struct kn_spsc *queue)
{
    const struct kn_spsc_ring *ring = &queue->consumer.ring;
    uint64_t released = atomic_load_explicit(&queue->consumer.released, memory_order_relaxed);
    uint64_t published = 0;
    uint64_t unpublished = ring->capacity_slots + 1;
    while (unpublished - published > 1) {
        uint64_t middle = published + (unpublished - published) / 2;
        uint64_t sequence = atomic_load_explicit(kn_spsc_sequence(ring, released + middle - 1, ring->stride_bytes),
                                                 memory_order_relaxed);
        if (sequence >= released + middle)
            published = middle;
        else
            unpublished = middle;
    }
    return published;
}

size_t kn_spsc_capacity(const struct kn_spsc *queue)
{
    return queue->producer.ring.capacity_slots;
}
