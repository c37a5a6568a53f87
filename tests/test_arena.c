/* The arena. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <kernel/arena.h>

static _Alignas(64) uint8_t memory[1024];

static void arena_hands_out_disjoint_aligned_pieces(void **state)
{
    (void)state;
    struct kn_arena arena;
    kn_arena_init(&arena, memory, sizeof(memory));
    uint8_t *last_end = memory;
    for (size_t alignment = 1; alignment <= 64; alignment *= 2) {
        uint8_t *piece = kn_arena_allocate(&arena, 7, alignment);
        assert_non_null(piece);
        assert_int_equal((uintptr_t)piece % alignment, 0);
        assert_true(piece >= last_end);
        memset(piece, 1, 7);
        last_end = piece + 7;
    }
    uint64_t *typed = KN_ARENA_NEW(&arena, uint64_t);
    assert_int_equal((uintptr_t)typed % sizeof(uint64_t), 0);
    *typed = 1;
}

static void arena_is_exhausted_exactly_at_its_end(void **state)
{
    (void)state;
    struct kn_arena arena;
    kn_arena_init(&arena, memory, 64);
    assert_non_null(kn_arena_allocate(&arena, 63, 1));
    assert_null(kn_arena_allocate(&arena, 2, 1));
    assert_null(kn_arena_allocate(&arena, 1, 8));
    assert_int_equal(kn_arena_remaining_bytes(&arena), 1);
    assert_non_null(kn_arena_allocate(&arena, 1, 1));
    assert_null(kn_arena_allocate(&arena, 1, 1));
    assert_non_null(kn_arena_allocate(&arena, 0, 1));
}

static void arena_refuses_sizes_that_would_overflow(void **state)
{
    (void)state;
    struct kn_arena arena;
    kn_arena_init(&arena, memory, sizeof(memory));
    assert_non_null(kn_arena_allocate(&arena, 3, 1));
    assert_null(kn_arena_allocate(&arena, SIZE_MAX, 1));
    assert_null(kn_arena_allocate(&arena, SIZE_MAX - 2, 64));
    assert_null(kn_arena_allocate(&arena, 1, 3));
    assert_null(kn_arena_allocate(&arena, 1, 0));
    assert_int_equal(kn_arena_remaining_bytes(&arena), sizeof(memory) - 3);
}

static void arena_rewinds_to_its_marks(void **state)
{
    (void)state;
    struct kn_arena arena;
    kn_arena_init(&arena, memory, sizeof(memory));
    void *kept = kn_arena_allocate(&arena, 10, 1);
    kn_arena_mark_t mark = kn_arena_mark(&arena);
    void *first = kn_arena_allocate(&arena, 100, 8);
    kn_arena_rewind(&arena, mark);
    assert_ptr_equal(kn_arena_allocate(&arena, 100, 8), first);
    kn_arena_reset(&arena);
    assert_ptr_equal(kn_arena_allocate(&arena, 10, 1), kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arena_hands_out_disjoint_aligned_pieces),
        cmocka_unit_test(arena_is_exhausted_exactly_at_its_end),
        cmocka_unit_test(arena_refuses_sizes_that_would_overflow),
        cmocka_unit_test(arena_rewinds_to_its_marks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
