/**
 * @file arena.h
 * An arena hands out pieces of one block of the caller's memory and takes them back all at once.
 *
 * Use it for what lives and dies together: a request, a parse, a set-up. Do not use it for objects that are released
 * one by one (slab.h). It never calls the system's allocator; it belongs to one thread at a time. Under
 * AddressSanitizer memory that is not handed out is poisoned, so that use after a rewind is found.
 */
#ifndef KERNEL_ARENA_H
#define KERNEL_ARENA_H

#include <stddef.h>
#include <stdint.h>

/** The arena. Invariant: used_bytes <= size_bytes. */
struct kn_arena {
    uint8_t *memory;
    size_t size_bytes;
    size_t used_bytes;
};

/** A point to rewind to. */
typedef size_t kn_arena_mark_t;

/** Starts an empty arena in `size_bytes` of the caller's memory, which outlives it. */
void kn_arena_init(struct kn_arena *arena, void *memory, size_t size_bytes);

/**
 * A piece of `size_bytes` (which may be 0), not cleared. @param alignment a power of two.
 * @return NULL when the rest of the arena is too small or the alignment is none.
 */
void *kn_arena_allocate(struct kn_arena *arena, size_t size_bytes, size_t alignment);

/** Room for one object of `type`, not cleared, or NULL. */
#define KN_ARENA_NEW(arena, type) ((type *)kn_arena_allocate((arena), sizeof(type), _Alignof(type)))

/** The present fill, to rewind to. */
kn_arena_mark_t kn_arena_mark(const struct kn_arena *arena);

/** Takes back everything handed out since the mark. A mark above the present fill is a broken precondition. */
void kn_arena_rewind(struct kn_arena *arena, kn_arena_mark_t mark);

/** Takes back everything. */
void kn_arena_reset(struct kn_arena *arena);

/** Bytes not handed out; alignment may make a piece of that size impossible. */
size_t kn_arena_remaining_bytes(const struct kn_arena *arena);

#endif
