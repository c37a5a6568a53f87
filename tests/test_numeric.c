/* Arithmetic over spans. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <kernel/numeric.h>

enum { LENGTHS = 131, OFFSETS = 9, LONG = 10007 };

/* Numbers of all sizes and signs, the same each time. */
static uint64_t next_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    uint64_t mixed = (*state ^ *state >> 29) * UINT64_C(0xff51afd7ed558ccd);
    return mixed ^ mixed >> 32;
}

static double random_real(uint64_t *state)
{
    double unit = (double)(int64_t)next_random(state) * 0x1p-63;
    return ldexp(unit, (int)(next_random(state) % 20) - 10);
}

struct numbers {
    double f64[LONG];
    float f32[LONG];
    int64_t i64[LONG];
    double other_f64[LONG];
    float other_f32[LONG];
    int64_t other_i64[LONG];
};

static struct numbers original, copy, mapped;

static void fill_numbers(void)
{
    uint64_t state = 7;
    for (size_t i = 0; i < LONG; i++) {
        original.f64[i] = random_real(&state);
        original.f32[i] = (float)random_real(&state);
        original.i64[i] = (int64_t)next_random(&state) >> next_random(&state) % 64;
        original.other_f64[i] = random_real(&state);
        original.other_f32[i] = (float)random_real(&state);
        original.other_i64[i] = (int64_t)next_random(&state) >> next_random(&state) % 64;
    }
}

static uint64_t bits(double value)
{
    uint64_t result;
    memcpy(&result, &value, sizeof result);
    return result;
}

static struct kn_span_f64 span_f64(struct numbers *numbers, size_t offset, size_t count)
{
    return (struct kn_span_f64){numbers->f64 + offset, count};
}

static struct kn_span_f32 span_f32(struct numbers *numbers, size_t offset, size_t count)
{
    return (struct kn_span_f32){numbers->f32 + offset, count};
}

static struct kn_span_i64 span_i64(struct numbers *numbers, size_t offset, size_t count)
{
    return (struct kn_span_i64){numbers->i64 + offset, count};
}

/* Calls a check for each table of this machine, all lengths and offsets, and a few long ones. */
typedef void check_span(const struct kn_numeric *numeric, size_t offset, size_t count);

static void for_all_spans(check_span *check)
{
    for (int level = 0; level < KN_NUMERIC_LEVELS; level++) {
        const struct kn_numeric *numeric = kn_numeric_table((enum kn_numeric_level)level);
        if (!numeric)
            continue;
        for (size_t count = 0; count < LENGTHS; count++)
            for (size_t offset = 0; offset < OFFSETS; offset++)
                check(numeric, offset, count);
        for (size_t count = 2047; count <= 2049; count++)
            check(numeric, 1, count);
        check(numeric, 0, 4096);
        check(numeric, 3, LONG - 3);
    }
}

static const struct kn_numeric *portable(void)
{
    return kn_numeric_table(KN_NUMERIC_PORTABLE);
}

/* ---- against plain loops ---- */

static void expect_close(double found, double expected, double magnitude, double precision)
{
    if (fabs(found - expected) > magnitude * precision)
        fail_msg("%.17g instead of %.17g", found, expected);
}

static void check_sums(const struct kn_numeric *numeric, size_t offset, size_t count)
{
    long double f64 = 0, f64_size = 0, f32 = 0, f32_size = 0;
    uint64_t i64 = 0;
    for (size_t i = offset; i < offset + count; i++) {
        f64 += original.f64[i];
        f64_size += fabs(original.f64[i]);
        f32 += original.f32[i];
        f32_size += fabsf(original.f32[i]);
        i64 += (uint64_t)original.i64[i];
    }
    double sum = kn_reduce_f64(numeric, KN_REDUCE_SUM, span_f64(&original, offset, count));
    expect_close(sum, (double)f64, (double)f64_size, 16 * DBL_EPSILON);
    assert_int_equal(bits(sum), bits(kn_reduce_f64(portable(), KN_REDUCE_SUM, span_f64(&original, offset, count))));
    sum = kn_reduce_f32(numeric, KN_REDUCE_SUM, span_f32(&original, offset, count));
    expect_close(sum, (double)f32, (double)f32_size, 16 * FLT_EPSILON);
    assert_int_equal(bits(sum), bits(kn_reduce_f32(portable(), KN_REDUCE_SUM, span_f32(&original, offset, count))));
    assert_int_equal(kn_reduce_i64(numeric, KN_REDUCE_SUM, span_i64(&original, offset, count)), (int64_t)i64);
}

static void sums_are_those_of_a_loop_but_for_the_last_bits(void **state)
{
    (void)state;
    for_all_spans(check_sums);
}

static void check_extremes(const struct kn_numeric *numeric, size_t offset, size_t count)
{
    double least = (double)INFINITY, greatest = -(double)INFINITY;
    float least_f32 = INFINITY, greatest_f32 = -INFINITY;
    int64_t least_i64 = INT64_MAX, greatest_i64 = INT64_MIN;
    for (size_t i = offset; i < offset + count; i++) {
        least = fmin(least, original.f64[i]);
        greatest = fmax(greatest, original.f64[i]);
        least_f32 = fminf(least_f32, original.f32[i]);
        greatest_f32 = fmaxf(greatest_f32, original.f32[i]);
        least_i64 = original.i64[i] < least_i64 ? original.i64[i] : least_i64;
        greatest_i64 = original.i64[i] > greatest_i64 ? original.i64[i] : greatest_i64;
    }
    struct kn_span_f64 f64 = span_f64(&original, offset, count);
    struct kn_span_f32 f32 = span_f32(&original, offset, count);
    struct kn_span_i64 i64 = span_i64(&original, offset, count);
    assert_int_equal(bits(kn_reduce_f64(numeric, KN_REDUCE_MIN, f64)), bits(least));
    assert_int_equal(bits(kn_reduce_f64(numeric, KN_REDUCE_MAX, f64)), bits(greatest));
    assert_int_equal(bits(kn_reduce_f32(numeric, KN_REDUCE_MIN, f32)), bits(least_f32));
    assert_int_equal(bits(kn_reduce_f32(numeric, KN_REDUCE_MAX, f32)), bits(greatest_f32));
    assert_int_equal(kn_reduce_i64(numeric, KN_REDUCE_MIN, i64), least_i64);
    assert_int_equal(kn_reduce_i64(numeric, KN_REDUCE_MAX, i64), greatest_i64);
}

static void least_and_greatest_are_those_of_a_loop(void **state)
{
    (void)state;
    for_all_spans(check_extremes);
}

static void check_dots(const struct kn_numeric *numeric, size_t offset, size_t count)
{
    long double f64 = 0, f64_size = 0, f32 = 0, f32_size = 0;
    uint64_t i64 = 0;
    size_t shifted = (offset + 1) % 4; /* the two of different alignment */
    for (size_t i = 0; i < count; i++) {
        long double product = (long double)original.f64[offset + i] * original.other_f64[shifted + i];
        f64 += product;
        f64_size += fabsl(product);
        product = (long double)original.f32[offset + i] * original.other_f32[shifted + i];
        f32 += product;
        f32_size += fabsl(product);
        i64 += (uint64_t)original.i64[offset + i] * (uint64_t)original.other_i64[shifted + i];
    }
    const double *left = original.f64 + offset, *right = original.other_f64 + shifted;
    double dot = kn_dot_f64(numeric, left, right, count);
    expect_close(dot, (double)f64, (double)f64_size, 16 * DBL_EPSILON);
    assert_int_equal(bits(dot), bits(kn_dot_f64(portable(), left, right, count)));
    dot = kn_dot_f32(numeric, original.f32 + offset, original.other_f32 + shifted, count);
    expect_close(dot, (double)f32, (double)f32_size, 16 * FLT_EPSILON);
    assert_int_equal(bits(dot),
                     bits(kn_dot_f32(portable(), original.f32 + offset, original.other_f32 + shifted, count)));
    assert_int_equal(kn_dot_i64(numeric, original.i64 + offset, original.other_i64 + shifted, count), (int64_t)i64);
}

static void dot_products_are_those_of_a_loop_but_for_the_last_bits(void **state)
{
    (void)state;
    for_all_spans(check_dots);
}

static void check_counts(const struct kn_numeric *numeric, size_t offset, size_t count)
{
    uint64_t f64 = 0, f32 = 0, i64 = 0;
    double limit = original.f64[offset];
    for (size_t i = offset; i < offset + count; i++) {
        f64 += original.f64[i] > limit;
        f32 += original.f32[i] > 0.0f;
        i64 += original.i64[i] > -5;
    }
    assert_int_equal(kn_count_greater_f64(numeric, span_f64(&original, offset, count), limit), f64);
    assert_int_equal(kn_count_greater_f32(numeric, span_f32(&original, offset, count), 0.0f), f32);
    assert_int_equal(kn_count_greater_i64(numeric, span_i64(&original, offset, count), -5), i64);
}

static void counts_are_those_of_a_loop(void **state)
{
    (void)state;
    for_all_spans(check_counts);
}

static void counts_of_floats_go_beyond_a_block(void **state)
{
    (void)state;
    size_t count = ((size_t)1 << 20) * 2 + 5;
    float *data = malloc(count * sizeof *data);
    assert_non_null(data);
    for (size_t i = 0; i < count; i++)
        data[i] = (float)(i % 3);
    for (int level = 0; level < KN_NUMERIC_LEVELS; level++) {
        const struct kn_numeric *numeric = kn_numeric_table((enum kn_numeric_level)level);
        if (numeric)
            assert_int_equal(kn_count_greater_f32(numeric, (struct kn_span_f32){data, count}, 0.5f),
                             count - (count + 2) / 3);
    }
    free(data);
}

/* ---- maps ---- */

/* Opaque to the compiler, so that the product is rounded. */
static double rounded(double value)
{
    volatile double kept = value;
    return kept;
}

static float rounded_float(float value)
{
    volatile float kept = value;
    return kept;
}

static double mapped_f64(enum kn_map map, double x, double a, double b)
{
    switch (map) {
    case KN_MAP_SCALE:
        return x * a;
    case KN_MAP_ADD:
        return x + a;
    case KN_MAP_AFFINE:
        return rounded(x * a) + b;
    case KN_MAP_CLAMP:
        x = x > b ? b : x;
        return x < a ? a : x;
    case KN_MAP_ABSOLUTE:
        return fabs(x);
    case KN_MAP_NEGATE:
        return -x;
    default:
        return sqrt(x);
    }
}

static float mapped_f32(enum kn_map map, float x, float a, float b)
{
    switch (map) {
    case KN_MAP_SCALE:
        return x * a;
    case KN_MAP_ADD:
        return x + a;
    case KN_MAP_AFFINE:
        return rounded_float(x * a) + b;
    case KN_MAP_ROOT:
        return sqrtf(x);
    default:
        return (float)mapped_f64(map, (double)x, (double)a, (double)b);
    }
}

static int64_t mapped_i64(enum kn_map map, int64_t x, int64_t a, int64_t b)
{
    switch (map) {
    case KN_MAP_SCALE:
        return (int64_t)((uint64_t)x * (uint64_t)a);
    case KN_MAP_ADD:
        return (int64_t)((uint64_t)x + (uint64_t)a);
    case KN_MAP_AFFINE:
        return (int64_t)((uint64_t)x * (uint64_t)a + (uint64_t)b);
    case KN_MAP_CLAMP:
        x = x > b ? b : x;
        return x < a ? a : x;
    case KN_MAP_ABSOLUTE:
        return x < 0 ? (int64_t) - (uint64_t)x : x;
    default:
        return (int64_t) - (uint64_t)x;
    }
}

static bool same_f64(double found, double expected)
{
    return bits(found) == bits(expected) || (isnan(found) && isnan(expected));
}

static void check_maps(const struct kn_numeric *numeric, size_t offset, size_t count)
{
    const double a = -1.5, b = 0.25; /* as bounds -1.5 <= x <= 0.25 */
    for (int i = 0; i < KN_MAPS; i++) {
        enum kn_map map = (enum kn_map)i;
        mapped = copy = original;
        kn_map_f64(numeric, map, span_f64(&mapped, offset, count), a, b);
        kn_map_f32(numeric, map, span_f32(&mapped, offset, count), (float)a, (float)b);
        if (map != KN_MAP_ROOT)
            kn_map_i64(numeric, map, span_i64(&mapped, offset, count), -15, 25);
        for (size_t j = offset; j < offset + count; j++) {
            copy.f64[j] = mapped_f64(map, copy.f64[j], a, b);
            assert_true(same_f64(mapped.f64[j], copy.f64[j]));
            copy.f32[j] = mapped_f32(map, copy.f32[j], (float)a, (float)b);
            assert_true(same_f64((double)mapped.f32[j], (double)copy.f32[j]));
            if (map != KN_MAP_ROOT)
                copy.i64[j] = mapped_i64(map, copy.i64[j], -15, 25);
            assert_int_equal(mapped.i64[j], copy.i64[j]);
        }
        /* Nothing beside it is touched. */
        size_t end = offset + count;
        assert_memory_equal(mapped.f64, original.f64, offset * sizeof(double));
        assert_memory_equal(mapped.f32, original.f32, offset * sizeof(float));
        assert_memory_equal(mapped.i64, original.i64, offset * sizeof(int64_t));
        assert_memory_equal(mapped.f64 + end, original.f64 + end, (LONG - end) * sizeof(double));
        assert_memory_equal(mapped.f32 + end, original.f32 + end, (LONG - end) * sizeof(float));
        assert_memory_equal(mapped.i64 + end, original.i64 + end, (LONG - end) * sizeof(int64_t));
    }
}

static void for_some_spans(check_span *check)
{
    for (int level = 0; level < KN_NUMERIC_LEVELS; level++) {
        const struct kn_numeric *numeric = kn_numeric_table((enum kn_numeric_level)level);
        for (size_t count = 0; numeric && count < LENGTHS; count++)
            check(numeric, count % OFFSETS, count);
    }
}

static void maps_change_the_span_and_nothing_else(void **state)
{
    (void)state;
    for_some_spans(check_maps);
}

static void maps_keep_signs_of_zero_and_wrap_integers(void **state)
{
    (void)state;
    for (int level = 0; level < KN_NUMERIC_LEVELS; level++) {
        const struct kn_numeric *numeric = kn_numeric_table((enum kn_numeric_level)level);
        if (!numeric)
            continue;
        double zeros[3] = {0.0, -0.0, 1.0};
        struct kn_span_f64 span = {zeros, 3};
        kn_map_f64(numeric, KN_MAP_NEGATE, span, 0, 0);
        assert_true(signbit(zeros[0]) && !signbit(zeros[1]));
        kn_map_f64(numeric, KN_MAP_ABSOLUTE, span, 0, 0);
        assert_true(!signbit(zeros[0]) && !signbit(zeros[1]));
        kn_map_f64(numeric, KN_MAP_SCALE, span, -0.0, 0);
        assert_true(signbit(zeros[0]) && signbit(zeros[1]) && signbit(zeros[2]));
        kn_map_f64(numeric, KN_MAP_ADD, span, -0.0, 0);
        assert_true(signbit(zeros[2]));
        int64_t least[2] = {INT64_MIN, INT64_MAX};
        kn_map_i64(numeric, KN_MAP_ABSOLUTE, (struct kn_span_i64){least, 2}, 0, 0);
        assert_int_equal(least[0], INT64_MIN);
        kn_map_i64(numeric, KN_MAP_ADD, (struct kn_span_i64){least, 2}, 1, 0);
        assert_int_equal(least[1], INT64_MIN);
        kn_map_i64(numeric, KN_MAP_CLAMP, (struct kn_span_i64){least, 2}, 10, -10);
        assert_int_equal(least[0], 10);
        assert_null(numeric->map_i64[KN_MAP_ROOT]);
    }
}

/* ---- what is no number ---- */

static void nan_is_handed_on_by_sums_and_passed_over_by_the_rest(void **state)
{
    (void)state;
    for (int level = 0; level < KN_NUMERIC_LEVELS; level++) {
        const struct kn_numeric *numeric = kn_numeric_table((enum kn_numeric_level)level);
        for (size_t place = 0; numeric && place < 70; place++) {
            double f64[70];
            float f32[70];
            for (size_t i = 0; i < 70; i++)
                f32[i] = (float)(f64[i] = (double)i + 1);
            f64[place] = (double)NAN;
            f32[place] = NAN;
            struct kn_span_f64 span = {f64, 70};
            struct kn_span_f32 floats = {f32, 70};
            assert_true(isnan(kn_reduce_f64(numeric, KN_REDUCE_SUM, span)));
            assert_true(isnan(kn_reduce_f32(numeric, KN_REDUCE_SUM, floats)));
            assert_true(isnan(kn_dot_f64(numeric, f64, f64, 70)));
            assert_true(isnan(kn_moments_f64(numeric, span).mean));
            assert_true(isnan(kn_moments_f64(numeric, span).squares));
            assert_true(kn_reduce_f64(numeric, KN_REDUCE_MIN, span) == (place == 0 ? 2 : 1));
            assert_true(kn_reduce_f64(numeric, KN_REDUCE_MAX, span) == (place == 69 ? 69 : 70));
            assert_true(kn_reduce_f32(numeric, KN_REDUCE_MIN, floats) == (place == 0 ? 2 : 1));
            assert_true(kn_reduce_f32(numeric, KN_REDUCE_MAX, floats) == (place == 69 ? 69 : 70));
            assert_int_equal(kn_count_greater_f64(numeric, span, 0), 69);
            assert_int_equal(kn_count_greater_f32(numeric, floats, 0), 69);
            assert_int_equal(kn_count_greater_f64(numeric, span, (double)NAN), 0);
            for (int map = 0; map < KN_MAPS; map++) {
                kn_map_f64(numeric, (enum kn_map)map, span, 1, 100);
                kn_map_f32(numeric, (enum kn_map)map, floats, 1, 100);
                assert_true(isnan(f64[place]) && isnan(f32[place]));
            }
        }
    }
}

static void span_of_nothing_has_neutral_results(void **state)
{
    (void)state;
    for (int level = 0; level < KN_NUMERIC_LEVELS; level++) {
        const struct kn_numeric *numeric = kn_numeric_table((enum kn_numeric_level)level);
        if (!numeric)
            continue;
        struct kn_span_f64 span = {.count = 0};
        struct kn_span_f32 floats = {.count = 0};
        assert_int_equal(bits(kn_reduce_f64(numeric, KN_REDUCE_SUM, span)), 0);
        assert_true(kn_reduce_f64(numeric, KN_REDUCE_MIN, span) == (double)INFINITY);
        assert_true(kn_reduce_f64(numeric, KN_REDUCE_MAX, span) == -(double)INFINITY);
        assert_true(kn_reduce_f32(numeric, KN_REDUCE_MIN, floats) == (double)INFINITY);
        struct kn_moments moments = kn_moments_f64(numeric, span);
        assert_int_equal(moments.count, 0);
        assert_true(kn_moments_variance(&moments) == 0 && kn_moments_sample_variance(&moments) == 0);
        double nan = (double)NAN;
        assert_true(kn_reduce_f64(numeric, KN_REDUCE_MIN, (struct kn_span_f64){&nan, 1}) == (double)INFINITY);
    }
}

static void infinities_are_kept(void **state)
{
    (void)state;
    static double data[5000];
    for (size_t i = 0; i < 5000; i++)
        data[i] = 1;
    data[777] = (double)INFINITY;
    struct kn_span_f64 span = {data, 5000};
    for (int level = 0; level < KN_NUMERIC_LEVELS; level++) {
        const struct kn_numeric *numeric = kn_numeric_table((enum kn_numeric_level)level);
        if (!numeric)
            continue;
        assert_true(kn_reduce_f64(numeric, KN_REDUCE_SUM, span) == (double)INFINITY);
        assert_true(kn_reduce_f64(numeric, KN_REDUCE_MAX, span) == (double)INFINITY);
        assert_true(kn_dot_f64(numeric, data, data, 5000) == (double)INFINITY);
    }
}

static void sums_of_many_are_closer_than_those_from_left_to_right(void **state)
{
    (void)state;
    size_t count = 1 << 20;
    double *data = malloc(count * sizeof *data);
    float *floats = malloc(count * sizeof *floats);
    assert_true(data && floats);
    double left_to_right = 0;
    long double exact = 0;
    for (size_t i = 0; i < count; i++) {
        floats[i] = (float)(data[i] = 0.1);
        left_to_right += data[i];
        exact += data[i];
    }
    double found = kn_reduce_f64(portable(), KN_REDUCE_SUM, (struct kn_span_f64){data, count});
    assert_true(fabs(found - (double)exact) * 100 < fabs(left_to_right - (double)exact));
    found = kn_reduce_f32(portable(), KN_REDUCE_SUM, (struct kn_span_f32){floats, count});
    assert_true(fabs(found / ((double)count * (double)0.1f) - 1) < 4 * (double)FLT_EPSILON);
    free(data);
    free(floats);
}

/* ---- moments ---- */

static struct kn_moments plain_moments(const double *data, size_t count)
{
    long double mean = 0, squares = 0;
    for (size_t i = 0; i < count; i++)
        mean += data[i] / (long double)count;
    for (size_t i = 0; i < count; i++)
        squares += ((long double)data[i] - mean) * ((long double)data[i] - mean);
    return (struct kn_moments){.count = count, .mean = (double)mean, .squares = (double)squares};
}

static void expect_moments(struct kn_moments found, struct kn_moments expected, double size)
{
    assert_int_equal(found.count, expected.count);
    expect_close(found.mean, expected.mean, size, 32 * DBL_EPSILON);
    expect_close(found.squares, expected.squares, expected.squares + DBL_MIN, 1e-12);
}

static void check_moments(const struct kn_numeric *numeric, size_t offset, size_t count)
{
    static double converted[LONG];
    struct kn_span_f64 span = span_f64(&original, offset, count);
    struct kn_moments moments = kn_moments_f64(numeric, span);
    expect_moments(moments, plain_moments(span.data, count), 1000);
    struct kn_moments same = kn_moments_f64(portable(), span);
    assert_int_equal(bits(moments.mean), bits(same.mean));
    assert_int_equal(bits(moments.squares), bits(same.squares));
    for (size_t i = 0; i < count; i++)
        converted[i] = (double)original.f32[offset + i];
    expect_moments(kn_moments_f32(numeric, span_f32(&original, offset, count)), plain_moments(converted, count), 1000);
    for (size_t i = 0; i < count; i++)
        converted[i] = (double)original.i64[offset + i];
    expect_moments(kn_moments_i64(numeric, span_i64(&original, offset, count)), plain_moments(converted, count),
                   0x1p63);
}

static void moments_are_those_of_two_passes(void **state)
{
    (void)state;
    for_all_spans(check_moments);
}

static void variance_survives_a_mean_far_from_zero(void **state)
{
    (void)state;
    static double data[10000];
    for (size_t i = 0; i < 10000; i++)
        data[i] = 1e9 + (double)(i % 2);
    for (int level = 0; level < KN_NUMERIC_LEVELS; level++) {
        const struct kn_numeric *numeric = kn_numeric_table((enum kn_numeric_level)level);
        if (!numeric)
            continue;
        struct kn_moments moments = kn_moments_f64(numeric, (struct kn_span_f64){data, 10000});
        expect_close(moments.mean, 1e9 + 0.5, 1e9, 2 * DBL_EPSILON);
        expect_close(kn_moments_variance(&moments), 0.25, 0.25, 1e-12);
        expect_close(kn_moments_sample_variance(&moments), 0.25 * 10000 / 9999, 0.25, 1e-12);
    }
}

static void merged_moments_are_those_of_the_whole(void **state)
{
    (void)state;
    for (size_t cut = 0; cut <= 1000; cut += 50) {
        struct kn_moments left = kn_moments_f64(portable(), span_f64(&original, 0, cut));
        struct kn_moments right = kn_moments_f64(portable(), span_f64(&original, cut, 1000 - cut));
        kn_moments_merge(&left, &right);
        expect_moments(left, plain_moments(original.f64, 1000), 1000);
    }
}

static void prefix_sums_are_added_from_left_to_right(void **state)
{
    (void)state;
    copy = original;
    double sum = 0;
    double last = kn_prefix_sum_f64(span_f64(&copy, 0, 1000));
    for (size_t i = 0; i < 1000; i++)
        assert_int_equal(bits(copy.f64[i]), bits(sum += original.f64[i]));
    assert_int_equal(bits(last), bits(sum));
    assert_int_equal(bits(copy.f64[1000]), bits(original.f64[1000]));
    assert_true(kn_prefix_sum_f64((struct kn_span_f64){.count = 0}) == 0);
}

/* ---- tables ---- */

static void best_table_is_the_highest_there_is(void **state)
{
    (void)state;
    const struct kn_numeric *highest = NULL;
    assert_non_null(portable());
    assert_string_equal(portable()->name, "portable");
    for (int level = 0; level < KN_NUMERIC_LEVELS; level++) {
        const struct kn_numeric *numeric = kn_numeric_table((enum kn_numeric_level)level);
        if (numeric) {
            highest = numeric;
            print_message("%s\n", numeric->name);
        }
    }
    assert_ptr_equal(kn_numeric_best(), highest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(best_table_is_the_highest_there_is),
        cmocka_unit_test(sums_are_those_of_a_loop_but_for_the_last_bits),
        cmocka_unit_test(least_and_greatest_are_those_of_a_loop),
        cmocka_unit_test(dot_products_are_those_of_a_loop_but_for_the_last_bits),
        cmocka_unit_test(counts_are_those_of_a_loop),
        cmocka_unit_test(counts_of_floats_go_beyond_a_block),
        cmocka_unit_test(maps_change_the_span_and_nothing_else),
        cmocka_unit_test(maps_keep_signs_of_zero_and_wrap_integers),
        cmocka_unit_test(nan_is_handed_on_by_sums_and_passed_over_by_the_rest),
        cmocka_unit_test(span_of_nothing_has_neutral_results),
        cmocka_unit_test(infinities_are_kept),
        cmocka_unit_test(sums_of_many_are_closer_than_those_from_left_to_right),
        cmocka_unit_test(moments_are_those_of_two_passes),
        cmocka_unit_test(variance_survives_a_mean_far_from_zero),
        cmocka_unit_test(merged_moments_are_those_of_the_whole),
        cmocka_unit_test(prefix_sums_are_added_from_left_to_right),
    };
    fill_numbers();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
