#include "bench.h"

#include <math.h>

static const struct bench_metric one_way = {"one_way", "ns", false};
static const struct bench_metric ratio_to_line = {"ratio_to_line", "x", false};
static const struct bench_metric ratio_to_line_pair = {"ratio_to_line_pair", "x", false};
static const struct bench_metric throughput = {"throughput", "message/s", true};
static const struct bench_metric cost = {"cost", "ns/message", false};

void bench_report_lines(struct bench_report *report, const char *case_name, double line_ns, double pair_ns)
{
    bench_report_add(report, case_name, "line-each-way", BENCH_REFERENCE, &one_way, line_ns);
    if (!isnan(pair_ns))
        bench_report_add(report, case_name, "line-pair-each-way", BENCH_REFERENCE, &one_way, pair_ns);
}

void bench_report_one_way(struct bench_report *report, const char *case_name, const char *implementation,
                          enum bench_role role, double value_ns, double line_ns, double pair_ns)
{
    bench_report_add(report, case_name, implementation, role, &one_way, value_ns);
    bench_report_add(report, case_name, implementation, role, &ratio_to_line, value_ns / line_ns);
    if (!isnan(pair_ns))
        bench_report_add(report, case_name, implementation, role, &ratio_to_line_pair, value_ns / pair_ns);
}

void bench_report_throughput(struct bench_report *report, const char *case_name, const char *implementation,
                             enum bench_role role, double value_ns)
{
    bench_report_add(report, case_name, implementation, role, &throughput, 1e9 / value_ns);
    bench_report_add(report, case_name, implementation, role, &cost, value_ns);
}
