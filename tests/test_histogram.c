/* The histogram of latencies. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "histogram.h"

static struct histogram histogram;

static void histogram_is_exact_for_small_values(void **state)
{
    (void)state;
    histogram_reset(&histogram);
    for (uint64_t value = 1; value <= 100; value++)
        histogram_record(&histogram, value);
    assert_int_equal(histogram_min(&histogram), 1);
    assert_int_equal(histogram_max(&histogram), 100);
    assert_int_equal(histogram_percentile(&histogram, 50), 50);
    assert_int_equal(histogram_percentile(&histogram, 99), 99);
    assert_int_equal(histogram_percentile(&histogram, 100), 100);
    assert_true(histogram_mean(&histogram) == 50.5);
}

static void histogram_tells_values_apart_to_one_per_cent(void **state)
{
    (void)state;
    for (uint64_t value = 1; value < HISTOGRAM_MAX_NS; value = value * 3 / 2 + 1) {
        histogram_reset(&histogram);
        histogram_record(&histogram, value);
        histogram_record(&histogram, HISTOGRAM_MAX_NS); /* so that the median is not cut to the maximum */
        uint64_t median = histogram_percentile(&histogram, 50);
        uint64_t error = median > value ? median - value : value - median;
        assert_true(error * 100 <= value);
    }
}

static void histogram_counts_what_is_too_great(void **state)
{
    (void)state;
    histogram_reset(&histogram);
    histogram_record(&histogram, HISTOGRAM_MAX_NS);
    assert_int_equal(histogram.overflow_count, 0);
    histogram_record(&histogram, UINT64_MAX);
    assert_int_equal(histogram.overflow_count, 1);
    assert_int_equal(histogram.count, 2);
    assert_int_equal(histogram_max(&histogram), HISTOGRAM_MAX_NS);
}

static void histogram_merged_equals_one_that_saw_all(void **state)
{
    (void)state;
    static struct histogram odd, even;
    histogram_reset(&histogram);
    histogram_reset(&odd);
    histogram_reset(&even);
    for (uint64_t i = 0; i < 5000; i++) {
        uint64_t value = i * i * 7919;
        histogram_record(&histogram, value);
        histogram_record(i % 2 ? &odd : &even, value);
    }
    histogram_merge(&odd, &even);
    assert_memory_equal(&odd, &histogram, sizeof(histogram));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(histogram_is_exact_for_small_values),
        cmocka_unit_test(histogram_tells_values_apart_to_one_per_cent),
        cmocka_unit_test(histogram_counts_what_is_too_great),
        cmocka_unit_test(histogram_merged_equals_one_that_saw_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
