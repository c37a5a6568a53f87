#include "raw.h"

#include <stddef.h>

static const struct bench_metric one_way = {"one_way", "ns", false};

static int run_cacheline(const struct bench_options *options, struct bench_report *report)
{
    struct bench_plan plan = bench_plan(options, 10, RAW_CASES, 0.002, 0.1);
    uint64_t round_trips[RAW_CASES] = {1024, 1024, 1024};
    struct bench_pair *pair;
    int result = bench_pair_open(&pair, options->cores);
    if (result < 0)
        return result;
    /* The round before the first only finds out how much fits into a slice. */
    for (uint64_t round = 0; round <= plan.rounds; round++) {
        for (size_t i = 0; i < RAW_CASES; i++) {
            double elapsed_ns;
            double value = raw_transfer_ns(pair, (enum raw_case)i, round_trips[i], &elapsed_ns);
            round_trips[i] = bench_next_count(round_trips[i], elapsed_ns, plan.slice_seconds);
            if (round > 0)
                bench_report_add(report, raw_case_names[i], "hardware", BENCH_REFERENCE, &one_way, value);
        }
        if (round > 0)
            bench_progress("cacheline", round, plan.rounds);
    }
    bench_pair_close(pair);
    return 0;
}

const struct bench_suite bench_suite_cacheline = {
    .name = "cacheline",
    .summary = "raw one-way transfer of a cache line between two cores: the physical limit",
    .run = run_cacheline,
};
