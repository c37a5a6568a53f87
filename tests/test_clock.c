/* Clocks. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <kernel/clock.h>

static void clock_never_runs_backwards(void **state)
{
    (void)state;
    uint64_t last = kn_clock_monotonic_ns();
    for (int i = 0; i < 100000; i++) {
        uint64_t now = kn_clock_monotonic_ns();
        assert_true(now >= last);
        last = now;
    }
}

static void clock_coarse_lags_the_fine_one(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++) {
        uint64_t coarse = kn_clock_coarse_ns();
        assert_true(coarse <= kn_clock_monotonic_ns());
    }
}

static void clock_refuses_a_calibration_too_short_to_mean_anything(void **state)
{
    (void)state;
    struct kn_tsc_clock clock;
    assert_int_equal(kn_tsc_clock_calibrate(&clock, 0), -EINVAL);
    assert_int_equal(kn_tsc_clock_calibrate(&clock, 999999), -EINVAL);
}

static void clock_calibrates_only_an_invariant_counter(void **state)
{
    (void)state;
    struct kn_tsc_clock clock;
    int result = kn_tsc_clock_calibrate(&clock, 5000000);
    assert_int_equal(result, kn_tsc_is_invariant() ? 0 : -ENOTSUP);
}

static void clock_counter_tells_the_time_of_the_monotonic_clock(void **state)
{
    (void)state;
    struct kn_tsc_clock clock;
    if (kn_tsc_clock_calibrate(&clock, 20000000) < 0)
        skip();
    /* A reading between two of the system's, give or take a per cent of the time since calibration and a tick. */
    for (int i = 0; i < 100; i++) {
        uint64_t before = kn_clock_monotonic_ns();
        uint64_t counted = kn_tsc_clock_ns(&clock);
        uint64_t after = kn_clock_monotonic_ns();
        uint64_t tolerance = (after - clock.base_ns) / 100 + 10000;
        assert_true(counted + tolerance >= before);
        assert_true(counted <= after + tolerance);
    }
}

static void clock_converts_long_spans_without_overflow(void **state)
{
    (void)state;
    const struct kn_tsc_clock clock = {.multiplier = UINT64_C(1) << 32}; /* one nanosecond a tick */
    const uint64_t spans[] = {0, 1, UINT32_MAX, (uint64_t)UINT32_MAX + 1, UINT64_C(1) << 50, UINT64_C(123456789012345)};
    for (size_t i = 0; i < sizeof(spans) / sizeof(spans[0]); i++)
        assert_int_equal(kn_tsc_ticks_to_ns(&clock, spans[i]), spans[i]);
    const struct kn_tsc_clock half = {.multiplier = UINT64_C(1) << 31};
    assert_int_equal(kn_tsc_ticks_to_ns(&half, UINT64_C(1) << 40), UINT64_C(1) << 39);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clock_never_runs_backwards),
        cmocka_unit_test(clock_coarse_lags_the_fine_one),
        cmocka_unit_test(clock_refuses_a_calibration_too_short_to_mean_anything),
        cmocka_unit_test(clock_calibrates_only_an_invariant_counter),
        cmocka_unit_test(clock_counter_tells_the_time_of_the_monotonic_clock),
        cmocka_unit_test(clock_converts_long_spans_without_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
