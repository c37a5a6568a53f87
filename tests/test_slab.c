/* The slab. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <kernel/slab.h>

struct thing {
    uint64_t value;
    uint8_t rest[40];
};

static struct kn_slab open_slab(uint32_t capacity)
{
    struct kn_slab slab;
    size_t bytes = kn_slab_required_bytes(sizeof(struct thing), 64, capacity);
    void *memory = aligned_alloc(64, bytes);
    assert_non_null(memory);
    memset(memory, 0, bytes);
    assert_int_equal(kn_slab_init(&slab, memory, bytes, sizeof(struct thing), 64, capacity), 0);
    return slab;
}

static void slab_hands_out_every_slot_once(void **state)
{
    (void)state;
    struct kn_slab slab = open_slab(100);
    struct thing *things[100];
    uint64_t ids[100];
    for (unsigned i = 0; i < 100; i++) {
        things[i] = kn_slab_acquire(&slab, &ids[i]);
        assert_non_null(things[i]);
        assert_int_equal((uintptr_t)things[i] % 64, 0);
        memset(things[i], (int)i, sizeof(*things[i]));
    }
    assert_null(kn_slab_acquire(&slab, NULL));
    assert_int_equal(kn_slab_count(&slab), 100);
    assert_int_equal(kn_slab_capacity(&slab), 100);
    for (unsigned i = 0; i < 100; i++) {
        struct thing expected;
        memset(&expected, (int)i, sizeof(expected));
        assert_memory_equal(things[i], &expected, sizeof(expected)); /* nobody else wrote there */
        assert_ptr_equal(kn_slab_get(&slab, ids[i]), things[i]);
        assert_int_equal(kn_slab_id(&slab, things[i]), ids[i]);
    }
    free(slab.memory);
}

static void slab_recognises_ids_of_released_objects(void **state)
{
    (void)state;
    struct kn_slab slab = open_slab(1);
    uint64_t old_id;
    assert_non_null(kn_slab_acquire(&slab, &old_id));
    assert_int_equal(kn_slab_release(&slab, old_id), 0);
    assert_null(kn_slab_get(&slab, old_id));
    assert_int_equal(kn_slab_release(&slab, old_id), -ENOENT);
    for (unsigned i = 0; i < 1000; i++) {
        uint64_t id;
        assert_non_null(kn_slab_acquire(&slab, &id));
        assert_true(id != old_id);
        assert_null(kn_slab_get(&slab, old_id));
        assert_int_equal(kn_slab_release(&slab, old_id), -ENOENT);
        assert_int_equal(kn_slab_release(&slab, id), 0);
    }
    free(slab.memory);
}

static void slab_knows_no_ids_that_it_never_gave(void **state)
{
    (void)state;
    struct kn_slab slab = open_slab(4);
    uint64_t id;
    assert_non_null(kn_slab_acquire(&slab, &id));
    const uint64_t strange[] = {0, 1, 3, 4, UINT32_MAX, KN_SLAB_NO_ID, id + 1, id ^ (UINT64_C(1) << 32), id | 2};
    for (size_t i = 0; i < sizeof(strange) / sizeof(strange[0]); i++) {
        assert_null(kn_slab_get(&slab, strange[i]));
        assert_int_equal(kn_slab_release(&slab, strange[i]), -ENOENT);
    }
    assert_int_equal(kn_slab_count(&slab), 1);
    free(slab.memory);
}

static void slab_walks_the_living(void **state)
{
    (void)state;
    struct kn_slab slab = open_slab(50);
    uint64_t ids[50];
    for (unsigned i = 0; i < 50; i++)
        ((struct thing *)kn_slab_acquire(&slab, &ids[i]))->value = i;
    for (unsigned i = 0; i < 50; i += 3)
        assert_int_equal(kn_slab_release(&slab, ids[i]), 0);
    uint32_t cursor = 0;
    unsigned seen = 0;
    for (struct thing *thing; (thing = kn_slab_next(&slab, &cursor)) != NULL; seen++) {
        assert_true(thing->value % 3 != 0);
        assert_int_equal(kn_slab_release(&slab, kn_slab_id(&slab, thing)), 0);
    }
    assert_int_equal(seen, 33);
    assert_int_equal(kn_slab_count(&slab), 0);
    free(slab.memory);
}

static void slab_refuses_what_makes_no_sense(void **state)
{
    (void)state;
    static _Alignas(64) uint8_t memory[4096];
    struct kn_slab slab;
    assert_int_equal(kn_slab_required_bytes(0, 8, 1), 0);
    assert_int_equal(kn_slab_required_bytes(8, 3, 1), 0);
    assert_int_equal(kn_slab_required_bytes(8, 8, 0), 0);
    assert_int_equal(kn_slab_required_bytes(SIZE_MAX, 8, 1), 0);
    assert_int_equal(kn_slab_required_bytes((size_t)1 << 40, 8, UINT32_MAX - 1), 0);
    assert_int_equal(kn_slab_init(&slab, memory, sizeof(memory), 0, 8, 1), -EINVAL);
    assert_int_equal(kn_slab_init(&slab, memory + 1, sizeof(memory) - 1, 8, 8, 1), -EINVAL);
    assert_int_equal(kn_slab_init(&slab, memory, 16, 8, 8, 2), -ENOMEM);
    assert_int_equal(kn_slab_init(&slab, memory, sizeof(memory), 8, 8, 2), 0);
}

static void slab_leaves_fresh_memory_untouched(void **state)
{
    (void)state;
    struct kn_slab slab = open_slab(1000);
    uint64_t id;
    for (unsigned i = 0; i < 1000; i++) {
        assert_non_null(kn_slab_acquire(&slab, &id));
        assert_int_equal(kn_slab_release(&slab, id), 0);
    }
    for (size_t i = slab.stride_bytes; i < 1000 * slab.stride_bytes; i++)
        assert_int_equal(slab.memory[i], 0);
    free(slab.memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slab_hands_out_every_slot_once),
        cmocka_unit_test(slab_recognises_ids_of_released_objects),
        cmocka_unit_test(slab_knows_no_ids_that_it_never_gave),
        cmocka_unit_test(slab_walks_the_living),
        cmocka_unit_test(slab_refuses_what_makes_no_sense),
        cmocka_unit_test(slab_leaves_fresh_memory_untouched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
