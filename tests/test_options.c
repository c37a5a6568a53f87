/* Values of command-line options. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include <cmocka.h>

#include "options.h"

static void option_reads_durations_in_every_unit(void **state)
{
    (void)state;
    const struct {
        const char *text;
        int64_t ns;
    } cases[] = {{"0", 0},
                 {"100ns", 100},
                 {"20us", 20000},
                 {"500ms", 500000000},
                 {"0.5s", 500000000},
                 {"30s", INT64_C(30000000000)},
                 {"2m", INT64_C(120000000000)},
                 {"1h", INT64_C(3600000000000)}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t ns = -1;
        assert_int_equal(option_parse_duration_ns("--time", cases[i].text, &ns), 0);
        assert_int_equal(ns, cases[i].ns);
    }
}

static void option_refuses_what_is_no_duration(void **state)
{
    (void)state;
    const char *const bad[] = {"",       "abc", "30",  "-1s", "1 s", "s", "1sx", "99999999999999999999s",
                               "1.2.3s", "nan", "1e3s"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        int64_t ns = 17;
        assert_int_equal(option_parse_duration_ns("--time", bad[i], &ns), -EINVAL);
        assert_int_equal(ns, 17);
    }
}

static void option_reads_sizes_and_counts_within_bounds(void **state)
{
    (void)state;
    uint64_t value = 0;
    assert_int_equal(option_parse_size("--size", "64", 1, 1 << 30, &value), 0);
    assert_int_equal(value, 64);
    assert_int_equal(option_parse_size("--size", "16k", 1, 1 << 30, &value), 0);
    assert_int_equal(value, 16384);
    assert_int_equal(option_parse_size("--size", "1M", 1, 1 << 30, &value), 0);
    assert_int_equal(value, 1048576);
    assert_int_equal(option_parse_count("--count", "1000", 1, 1000, &value), 0);
    assert_int_equal(value, 1000);
    const char *const bad[] = {"", "0", "1001", "-1", "1k", "0x10", "18446744073709551617", " 1", "1 "};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(option_parse_count("--count", bad[i], 1, 1000, &value), -EINVAL);
    assert_int_equal(option_parse_size("--size", "99999999999g", 1, UINT64_MAX, &value), -EINVAL);
    assert_int_equal(value, 1000);
}

static void option_reads_lists_of_cores(void **state)
{
    (void)state;
    int cores[OPTION_CORES_MAX];
    size_t count = 0;
    assert_int_equal(option_parse_cores("--cores", "1,0", cores, &count), 0);
    assert_int_equal(count, 2);
    assert_int_equal(cores[0], 1);
    const char *const bad[] = {"", ",", "0,", "a", "-1", "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(option_parse_cores("--cores", bad[i], cores, &count), -EINVAL);
}

static void option_errors_have_exit_codes(void **state)
{
    (void)state;
    assert_int_equal(option_exit_code(0), EX_OK);
    assert_int_equal(option_exit_code(-EACCES), EX_NOPERM);
    assert_int_equal(option_exit_code(-EADDRINUSE), EX_UNAVAILABLE);
    assert_int_equal(option_exit_code(-ECONNREFUSED), EX_UNAVAILABLE);
    assert_int_equal(option_exit_code(-ENOMEM), EX_OSERR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(option_reads_durations_in_every_unit),
        cmocka_unit_test(option_refuses_what_is_no_duration),
        cmocka_unit_test(option_reads_sizes_and_counts_within_bounds),
        cmocka_unit_test(option_reads_lists_of_cores),
        cmocka_unit_test(option_errors_have_exit_codes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
