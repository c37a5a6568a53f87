/*
 * A latency histogram of fixed size: every value from 1 ns to 137 s, to better than one percent.
 *
 * Use it to keep many millions of latencies and ask for percentiles later; not where exact values matter. Recording
 * takes constant time, nothing is ever allocated, and a percentile is never lower than the truth and at most 0.8 %
 * higher.
 *
 * After Gil Tene's HdrHistogram (hdrhistogram.org): the octaves of a logarithmic scale, each cut into equal parts. The
 * first HISTOGRAM_PARTS values have a bucket each; each octave above, [2^n, 2^(n+1)), has HISTOGRAM_PARTS buckets, so
 * that no bucket is wider than 1/HISTOGRAM_PARTS of its values.
 *
 * One thread at a time; several threads record into one each and histogram_merge them afterwards.
 */
#ifndef APPS_HISTOGRAM_H
#define APPS_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

#define HISTOGRAM_PART_BITS 7
#define HISTOGRAM_PARTS (1u << HISTOGRAM_PART_BITS)
#define HISTOGRAM_VALUE_BITS 37
/* The greatest value it tells apart (137 s); a greater one counts as this one, and as an overflow. */
#define HISTOGRAM_MAX_NS ((UINT64_C(1) << HISTOGRAM_VALUE_BITS) - 1)
#define HISTOGRAM_BUCKETS (HISTOGRAM_PARTS * (HISTOGRAM_VALUE_BITS - HISTOGRAM_PART_BITS + 1))

/* Read through the functions below. sum(buckets) == count; minimum_ns is UINT64_MAX while count is 0. */
struct histogram {
    uint64_t count;
    uint64_t overflow_count; /* of these, how many were above HISTOGRAM_MAX_NS */
    uint64_t sum_ns;         /* stays at UINT64_MAX once reached: 584 years of latencies */
    uint64_t minimum_ns;
    uint64_t maximum_ns;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

/* Makes it empty; before first use, too. */
void histogram_reset(struct histogram *histogram);

/* The number of the bucket that holds a value of at most HISTOGRAM_MAX_NS. */
static inline size_t histogram_bucket(uint64_t value_ns)
{
    if (value_ns < HISTOGRAM_PARTS)
        return (size_t)value_ns;
    unsigned shift = 63u - (unsigned)__builtin_clzll(value_ns) - HISTOGRAM_PART_BITS;
    return (size_t)shift * HISTOGRAM_PARTS + (size_t)(value_ns >> shift);
}

/* Adds one value. Constant time. */
static inline void histogram_record(struct histogram *histogram, uint64_t value_ns)
{
    if (__builtin_expect(value_ns > HISTOGRAM_MAX_NS, 0)) {
        value_ns = HISTOGRAM_MAX_NS;
        histogram->overflow_count++;
    }
    histogram->buckets[histogram_bucket(value_ns)]++;
    histogram->count++;
    if (__builtin_add_overflow(histogram->sum_ns, value_ns, &histogram->sum_ns))
        histogram->sum_ns = UINT64_MAX;
    if (value_ns < histogram->minimum_ns)
        histogram->minimum_ns = value_ns;
    if (value_ns > histogram->maximum_ns)
        histogram->maximum_ns = value_ns;
}

/* Adds every value of `other`. */
void histogram_merge(struct histogram *histogram, const struct histogram *other);

/*
 * The value that `percent` (0 to 100) of all values do not exceed: the upper end of its bucket, at most the
 * maximum. 0 gives the minimum; of an empty histogram everything is 0.
 */
uint64_t histogram_percentile(const struct histogram *histogram, double percent);

/* How many values lie in buckets that begin at or above low_ns and below high_ns. */
uint64_t histogram_count_between(const struct histogram *histogram, uint64_t low_ns, uint64_t high_ns);

uint64_t histogram_min(const struct histogram *histogram);
uint64_t histogram_max(const struct histogram *histogram);
double histogram_mean(const struct histogram *histogram);

#endif
