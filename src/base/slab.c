#include <kernel/slab.h>

#include <errno.h>

#include <kernel/assert.h>

#include "base/poison.h"

/*
 * Stands in front of each object. The generation is odd while the object lives and counts every acquire and release,
 * so that an id (which holds an odd generation) fails to match once its object was released. Zeroed memory is a free
 * slot of generation 0.
 */
struct slot {
    uint32_t generation;
    uint32_t next_free;
};

static const uint32_t NO_SLOT = UINT32_MAX;

static size_t object_offset(size_t alignment)
{
    return kn_align_up(sizeof(struct slot), alignment);
}

static size_t slot_stride(size_t object_bytes, size_t alignment)
{
    size_t slot_alignment = alignment > _Alignof(struct slot) ? alignment : _Alignof(struct slot);
    return kn_align_up(object_offset(alignment) + object_bytes, slot_alignment);
}

static struct slot *slot_at(const struct kn_slab *slab, uint32_t index)
{
    return (struct slot *)(void *)(slab->memory + index * slab->stride_bytes);
}

static uint8_t *object_of(const struct kn_slab *slab, struct slot *slot)
{
    return (uint8_t *)slot + slab->object_offset_bytes;
}

static size_t object_size(const struct kn_slab *slab)
{
    return slab->stride_bytes - slab->object_offset_bytes;
}

static bool is_alive(const struct slot *slot)
{
    return (slot->generation & 1) != 0;
}

size_t kn_slab_required_bytes(size_t object_bytes, size_t alignment, uint32_t capacity)
{
    if (object_bytes == 0 || object_bytes > PTRDIFF_MAX / 4 || !kn_is_power_of_two(alignment) ||
        alignment > PTRDIFF_MAX / 4 || capacity == 0 || capacity == NO_SLOT)
        return 0;
    size_t stride = slot_stride(object_bytes, alignment);
    return capacity > PTRDIFF_MAX / stride ? 0 : capacity * stride;
}

int kn_slab_init(struct kn_slab *slab, void *memory, size_t memory_bytes, size_t object_bytes, size_t alignment,
                 uint32_t capacity)
{
    size_t required = kn_slab_required_bytes(object_bytes, alignment, capacity);
    if (required == 0 || (uintptr_t)memory % alignment != 0 || (uintptr_t)memory % _Alignof(struct slot) != 0)
        return -EINVAL;
    if (memory_bytes < required)
        return -ENOMEM;
    *slab = (struct kn_slab){
        .memory = memory,
        .stride_bytes = slot_stride(object_bytes, alignment),
        .object_offset_bytes = object_offset(alignment),
        .capacity = capacity,
        .free_head = NO_SLOT,
    };
    return 0;
}

void *kn_slab_acquire(struct kn_slab *slab, uint64_t *id)
{
    uint32_t index = slab->free_head;
    if (index != NO_SLOT)
        slab->free_head = slot_at(slab, index)->next_free;
    else if (slab->touched < slab->capacity)
        index = slab->touched++;
    else
        return NULL;
    struct slot *slot = slot_at(slab, index);
    slot->generation++;
    slab->count++;
    uint8_t *object = object_of(slab, slot);
    KN_UNPOISON(object, object_size(slab));
    if (id)
        *id = (uint64_t)slot->generation << 32 | index;
    return object;
}

/* The slot that an id names, if its object lives. */
static struct slot *find(const struct kn_slab *slab, uint64_t id)
{
    uint32_t index = (uint32_t)id;
    if (index >= slab->touched)
        return NULL;
    struct slot *slot = slot_at(slab, index);
    return is_alive(slot) && slot->generation == id >> 32 ? slot : NULL;
}

int kn_slab_release(struct kn_slab *slab, uint64_t id)
{
    struct slot *slot = find(slab, id);
    if (!slot)
        return -ENOENT;
    slot->generation++;
    slot->next_free = slab->free_head;
    slab->free_head = (uint32_t)id;
    slab->count--;
    KN_POISON(object_of(slab, slot), object_size(slab));
    return 0;
}

void *kn_slab_get(const struct kn_slab *slab, uint64_t id)
{
    struct slot *slot = find(slab, id);
    return slot ? object_of(slab, slot) : NULL;
}

uint64_t kn_slab_id(const struct kn_slab *slab, const void *object)
{
    size_t distance = (size_t)((const uint8_t *)object - slab->memory) - slab->object_offset_bytes;
    uint32_t index = (uint32_t)(distance / slab->stride_bytes);
    kn_assert(distance % slab->stride_bytes == 0 && index < slab->touched && is_alive(slot_at(slab, index)));
    return (uint64_t)slot_at(slab, index)->generation << 32 | index;
}

void *kn_slab_next(const struct kn_slab *slab, uint32_t *cursor)
{
    while (*cursor < slab->touched) {
        struct slot *slot = slot_at(slab, (*cursor)++);
        if (is_alive(slot))
            return object_of(slab, slot);
    }
    return NULL;
}
