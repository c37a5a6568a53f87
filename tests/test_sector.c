/* The double-mapped ring. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <kernel/sector.h>

static void sector_shows_the_same_bytes_in_both_copies(void **state)
{
    (void)state;
    struct kn_sector sector;
    size_t length = 4 * kn_sector_page_bytes();
    assert_int_equal(kn_sector_open(&sector, &(struct kn_sector_options){.length_bytes = length}), 0);
    for (size_t i = 0; i < length; i++)
        sector.memory[i] = (uint8_t)(i * 7);
    assert_memory_equal(sector.memory, sector.memory + length, length);
    memset(sector.memory + length, 0xA5, 16);
    for (size_t i = 0; i < 16; i++)
        assert_int_equal(((volatile uint8_t *)sector.memory)[i], 0xA5);
    kn_sector_close(&sector);
}

static void sector_starts_zeroed(void **state)
{
    (void)state;
    struct kn_sector sector;
    size_t length = kn_sector_page_bytes();
    assert_int_equal(kn_sector_open(&sector, &(struct kn_sector_options){.length_bytes = length, .prefault = true}), 0);
    for (size_t i = 0; i < 2 * length; i++)
        assert_int_equal(sector.memory[i], 0);
    kn_sector_close(&sector);
}

static void sector_keeps_bytes_that_cross_the_end_in_one_piece(void **state)
{
    (void)state;
    struct kn_sector sector;
    size_t length = kn_sector_page_bytes();
    assert_int_equal(kn_sector_open(&sector, &(struct kn_sector_options){.length_bytes = length}), 0);
    static const char text[] = "across the end";
    memcpy(sector.memory + length - 5, text, sizeof(text));
    assert_memory_equal(sector.memory + length, text + 5, sizeof(text) - 5);
    const volatile uint8_t *start = sector.memory;
    for (size_t i = 5; i < sizeof(text); i++)
        assert_int_equal(start[i - 5], text[i]);
    kn_sector_close(&sector);
}

static void sector_refuses_lengths_that_cannot_be_mapped_twice(void **state)
{
    (void)state;
    size_t page = kn_sector_page_bytes();
    const size_t bad[] = {0, 1, page - 1, page + 1, SIZE_MAX, SIZE_MAX - page + 1, (size_t)PTRDIFF_MAX + 1};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct kn_sector sector;
        assert_int_equal(kn_sector_open(&sector, &(struct kn_sector_options){.length_bytes = bad[i]}), -EINVAL);
        kn_sector_close(&sector);
    }
}

static void sector_reports_exhausted_memory(void **state)
{
    (void)state;
    struct kn_sector sector;
    size_t length = (size_t)1 << 60;
    int result = kn_sector_open(&sector, &(struct kn_sector_options){.length_bytes = length});
    assert_true(result == -ENOMEM || result == -EFBIG);
    assert_null(sector.memory);
}

static void sector_may_be_closed_twice(void **state)
{
    (void)state;
    struct kn_sector sector;
    assert_int_equal(kn_sector_open(&sector, &(struct kn_sector_options){.length_bytes = kn_sector_page_bytes()}), 0);
    kn_sector_close(&sector);
    kn_sector_close(&sector);
    assert_null(sector.memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sector_shows_the_same_bytes_in_both_copies),
        cmocka_unit_test(sector_starts_zeroed),
        cmocka_unit_test(sector_keeps_bytes_that_cross_the_end_in_one_piece),
        cmocka_unit_test(sector_refuses_lengths_that_cannot_be_mapped_twice),
        cmocka_unit_test(sector_reports_exhausted_memory),
        cmocka_unit_test(sector_may_be_closed_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
