/**
 * @file slab.h
 * A slab holds a fixed number of objects of one size in the caller's memory and names each by an id that never lies.
 *
 * Use it for objects that come and go while others refer to them: connections, timers, tasks. An id carries the
 * object's generation, so that an id kept after its object was released is recognised instead of naming the next
 * tenant. Acquire, release and look-up take constant time and never allocate; a slab belongs to one thread at a time.
 *
 * Fresh memory is touched only when it is first needed, so that a slab sized for the worst day costs nothing on an
 * ordinary one; what was released last is reused first, while it is still in the cache.
 */
#ifndef KERNEL_SLAB_H
#define KERNEL_SLAB_H

#include <stddef.h>
#include <stdint.h>

#include <kernel/atomic.h>

/** No object has this id. */
#define KN_SLAB_NO_ID UINT64_MAX

/** The slab. Fields are private to slab.c. */
struct kn_slab {
    uint8_t *memory;
    size_t stride_bytes;
    size_t object_offset_bytes;
    uint32_t capacity;
    uint32_t count;
    uint32_t touched;   /* slots that were ever used: the rest is untouched memory */
    uint32_t free_head; /* index of the slot released last, or UINT32_MAX */
};

/**
 * Memory that a slab needs, in bytes.
 * @param alignment of each object, a power of two. @return 0 when the arguments make no sense or overflow.
 */
size_t kn_slab_required_bytes(size_t object_bytes, size_t alignment, uint32_t capacity);

/**
 * Starts an empty slab. The memory must be zeroed (as mmap and calloc give it), aligned to `alignment` and at least
 * 8 bytes, and outlive the slab.
 * @return 0; -EINVAL for arguments that make no sense or misaligned memory; -ENOMEM when the memory is too small.
 */
KN_CHECK_RESULT int kn_slab_init(struct kn_slab *slab, void *memory, size_t memory_bytes, size_t object_bytes,
                                 size_t alignment, uint32_t capacity);

/**
 * Takes an object, with whatever bytes its last tenant left. @param id where to put its id, or NULL.
 * @return NULL when all are taken.
 */
void *kn_slab_acquire(struct kn_slab *slab, uint64_t *id);

/** Gives the object of an id back. @return 0, or -ENOENT when the id names no living object (released twice, say). */
int kn_slab_release(struct kn_slab *slab, uint64_t id);

/** The living object of an id, or NULL. An id repeats only after 2^31 tenants of the same slot. */
void *kn_slab_get(const struct kn_slab *slab, uint64_t id);

/** The id of a living object of this slab: the slot's index in the low 32 bits, its generation in the high. */
uint64_t kn_slab_id(const struct kn_slab *slab, const void *object);

/**
 * Walks the living objects in the order of their slots: begin with `*cursor` 0. Releasing the object just shown is
 * allowed. @return NULL at the end.
 */
void *kn_slab_next(const struct kn_slab *slab, uint32_t *cursor);

/** Living objects. */
KN_INLINE uint32_t kn_slab_count(const struct kn_slab *slab)
{
    return slab->count;
}

/** Most objects at once. */
KN_INLINE uint32_t kn_slab_capacity(const struct kn_slab *slab)
{
    return slab->capacity;
}

#endif
