#include "bench.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int compare_doubles(const void *left, const void *right)
{
    double a = *(const double *)left;
    double b = *(const double *)right;
    return (a > b) - (a < b);
}

static double quantile(const double *sorted, size_t count, double fraction)
{
    double place = fraction * (double)(count - 1);
    size_t below = (size_t)place;
    size_t above = below + 1 < count ? below + 1 : below;
    return sorted[below] + (place - (double)below) * (sorted[above] - sorted[below]);
}

struct bench_summary bench_summarise(const double *values, size_t count)
{
    struct bench_summary summary = {NAN, NAN, NAN, 0};
    double *sorted = bench_allocate((count + 1) * sizeof(*sorted));
    for (size_t i = 0; i < count; i++) {
        if (!isnan(values[i]))
            sorted[summary.count++] = values[i];
    }
    if (summary.count > 0) {
        qsort(sorted, summary.count, sizeof(*sorted), compare_doubles);
        summary.low = quantile(sorted, summary.count, 0.25);
        summary.median = quantile(sorted, summary.count, 0.5);
        summary.high = quantile(sorted, summary.count, 0.75);
    }
    free(sorted);
    return summary;
}

double bench_median_ratio(const double *numerator, const double *denominator, size_t count)
{
    double *ratios = bench_allocate((count + 1) * sizeof(*ratios));
    for (size_t i = 0; i < count; i++)
        ratios[i] = denominator[i] > 0 ? numerator[i] / denominator[i] : NAN;
    double median = bench_summarise(ratios, count).median;
    free(ratios);
    return median;
}

struct bench_plan bench_plan(const struct bench_options *options, double default_seconds, size_t cells,
                             double slice_min, double slice_max)
{
    const double rounds_least = 5;
    double seconds = options->seconds > 0 ? options->seconds : default_seconds;
    double per_cell = seconds / (double)cells;
    double rounds = options->rounds > 0 ? (double)options->rounds : fmax(rounds_least, floor(per_cell / slice_max));
    double slice = fmin(slice_max, fmax(slice_min, per_cell / rounds));
    /* Too little time for that many of the shortest slices: fewer rounds, but enough for a median. */
    if (options->rounds == 0 && rounds * slice > per_cell)
        rounds = fmax(3, floor(per_cell / slice));
    return (struct bench_plan){.rounds = (uint64_t)rounds, .slice_seconds = slice};
}

uint64_t bench_next_count(uint64_t items, double elapsed_ns, double slice_seconds)
{
    const double items_least = 64;
    const double items_most = 1e9;
    double next = elapsed_ns > 0 ? (double)items * slice_seconds * 1e9 / elapsed_ns : items_least;
    return (uint64_t)fmin(items_most, fmax(items_least, next)) & ~UINT64_C(63);
}
