#include "raw.h"

#include <stddef.h>

static const struct bench_metric one_way = {"one_way", "ns", false};

static int run_cacheline(const struct bench_options *options, struct bench_report *report)
{
    struct bench_plan plan = bench_plan(options, 10, RAW_CASES, 0.002, 0.1);
    struct raw_pace pace = {{0}};
    struct bench_team *team;
    int result = bench_team_open(&team, options, 2);
    if (result < 0)
        return result;
    /* The round before the first only finds out how much fits into a slice. */
    for (uint64_t round = 0; round <= plan.rounds; round++) {
        for (size_t i = 0; i < RAW_CASES; i++) {
            double value = raw_transfer_ns(&pace, team, (enum raw_case)i, plan.slice_seconds);
            if (round > 0)
                bench_report_add(report, raw_case_names[i], "hardware", BENCH_REFERENCE, &one_way, value);
        }
        if (round > 0)
            bench_progress("cacheline", round, plan.rounds);
    }
    bench_team_close(team);
    return 0;
}

const struct bench_suite bench_suite_cacheline = {
    .name = "cacheline",
    .summary = "raw one-way transfer of a cache line between two cores: the physical limit",
    .run = run_cacheline,
};
