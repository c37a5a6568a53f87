#include "histogram.h"

#include <string.h>

/* The values of bucket b are [lowest(b), lowest(b + 1)). */
static uint64_t bucket_lowest(size_t bucket)
{
    if (bucket < 2 * HISTOGRAM_PARTS)
        return bucket;
    size_t shift = bucket / HISTOGRAM_PARTS - 1;
    return (uint64_t)(bucket % HISTOGRAM_PARTS + HISTOGRAM_PARTS) << shift;
}

void histogram_reset(struct histogram *histogram)
{
    memset(histogram, 0, sizeof(*histogram));
    histogram->minimum_ns = UINT64_MAX;
}

void histogram_merge(struct histogram *histogram, const struct histogram *other)
{
    histogram->count += other->count;
    histogram->overflow_count += other->overflow_count;
    if (__builtin_add_overflow(histogram->sum_ns, other->sum_ns, &histogram->sum_ns))
        histogram->sum_ns = UINT64_MAX;
    if (other->minimum_ns < histogram->minimum_ns)
        histogram->minimum_ns = other->minimum_ns;
    if (other->maximum_ns > histogram->maximum_ns)
        histogram->maximum_ns = other->maximum_ns;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        histogram->buckets[i] += other->buckets[i];
}

uint64_t histogram_percentile(const struct histogram *histogram, double percent)
{
    if (percent <= 0)
        return histogram_min(histogram);
    /* The rank of the wanted value among all, from 1. The hair less keeps the product of a percentage that has no
     * exact binary form (99.9) and a round count from being rounded up to the next rank. */
    double exact_rank = percent / 100 * (double)histogram->count * (1 - 1e-12);
    uint64_t rank = (uint64_t)exact_rank;
    if ((double)rank < exact_rank)
        rank++;
    uint64_t seen = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen >= rank && seen > 0) {
            uint64_t highest = bucket_lowest(i + 1) - 1;
            return highest < histogram->maximum_ns ? highest : histogram->maximum_ns;
        }
    }
    return histogram_max(histogram);
}

uint64_t histogram_count_between(const struct histogram *histogram, uint64_t low_ns, uint64_t high_ns)
{
    uint64_t count = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        uint64_t lowest = bucket_lowest(i);
        if (lowest >= low_ns && lowest < high_ns)
            count += histogram->buckets[i];
    }
    return count;
}

uint64_t histogram_min(const struct histogram *histogram)
{
    return histogram->count > 0 ? histogram->minimum_ns : 0;
}

uint64_t histogram_max(const struct histogram *histogram)
{
    return histogram->maximum_ns;
}

double histogram_mean(const struct histogram *histogram)
{
    return histogram->count > 0 ? (double)histogram->sum_ns / (double)histogram->count : 0;
}
