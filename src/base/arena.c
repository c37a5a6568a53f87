#include <kernel/arena.h>

#include <kernel/assert.h>
#include <kernel/atomic.h>

#include "base/poison.h"

void kn_arena_init(struct kn_arena *arena, void *memory, size_t size_bytes)
{
    *arena = (struct kn_arena){.memory = memory, .size_bytes = size_bytes};
    KN_POISON(memory, size_bytes);
}

void *kn_arena_allocate(struct kn_arena *arena, size_t size_bytes, size_t alignment)
{
    if (!kn_is_power_of_two(alignment))
        return NULL;
    uintptr_t next = (uintptr_t)arena->memory + arena->used_bytes;
    size_t padding = (size_t)(kn_align_up(next, alignment) - next);
    size_t remaining = kn_arena_remaining_bytes(arena);
    if (padding > remaining || size_bytes > remaining - padding)
        return NULL;
    uint8_t *piece = arena->memory + arena->used_bytes + padding;
    arena->used_bytes += padding + size_bytes;
    KN_UNPOISON(piece, size_bytes);
    return piece;
}

kn_arena_mark_t kn_arena_mark(const struct kn_arena *arena)
{
    return arena->used_bytes;
}

void kn_arena_rewind(struct kn_arena *arena, kn_arena_mark_t mark)
{
    kn_assert(mark <= arena->used_bytes);
    arena->used_bytes = mark;
    KN_POISON(arena->memory + mark, arena->size_bytes - mark);
}

void kn_arena_reset(struct kn_arena *arena)
{
    kn_arena_rewind(arena, 0);
}

size_t kn_arena_remaining_bytes(const struct kn_arena *arena)
{
    return arena->size_bytes - arena->used_bytes;
}
