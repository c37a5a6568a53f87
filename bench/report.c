#include "bench.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <kernel/version.h>

struct series {
    const char *case_name;
    const char *implementation;
    enum bench_role role;
    const struct bench_metric *metric;
    double *values; /* one a round */
    size_t count;
    size_t capacity;
};

struct bench_report {
    const char *suite;
    struct series *series;
    size_t count;
    size_t capacity;
};

static void *grow(void *memory, size_t *capacity, size_t element_bytes)
{
    *capacity = *capacity ? *capacity * 2 : 16;
    void *grown = realloc(memory, *capacity * element_bytes);
    if (!grown) {
        perror("bench");
        exit(EXIT_FAILURE);
    }
    return grown;
}

struct bench_report *bench_report_open(const char *suite)
{
    struct bench_report *report = bench_allocate(sizeof(*report));
    report->suite = suite;
    return report;
}

void bench_report_close(struct bench_report *report)
{
    for (size_t i = 0; i < report->count; i++)
        free(report->series[i].values);
    free(report->series);
    free(report);
}

static struct series *find_series(struct bench_report *report, const char *case_name, const char *implementation,
                                  const struct bench_metric *metric)
{
    for (size_t i = 0; i < report->count; i++) {
        struct series *series = &report->series[i];
        if (strcmp(series->case_name, case_name) == 0 && strcmp(series->implementation, implementation) == 0 &&
            strcmp(series->metric->name, metric->name) == 0)
            return series;
    }
    return NULL;
}

void bench_report_add(struct bench_report *report, const char *case_name, const char *implementation,
                      enum bench_role role, const struct bench_metric *metric, double value)
{
    struct series *series = find_series(report, case_name, implementation, metric);
    if (!series) {
        if (report->count == report->capacity)
            report->series = grow(report->series, &report->capacity, sizeof(*report->series));
        series = &report->series[report->count++];
        *series =
            (struct series){.case_name = case_name, .implementation = implementation, .role = role, .metric = metric};
    }
    if (series->count == series->capacity)
        series->values = grow(series->values, &series->capacity, sizeof(*series->values));
    series->values[series->count++] = value;
}

/* Above 1 we are better, whichever way the metric points. NAN when no round has both. */
static double peer_ratio(const struct series *ours, const struct series *peer)
{
    size_t count = ours->count < peer->count ? ours->count : peer->count;
    if (ours->metric->higher_is_better)
        return bench_median_ratio(ours->values, peer->values, count);
    return bench_median_ratio(peer->values, ours->values, count);
}

/*
 * The peer that does best against us on this case and metric, and our ratio to it: the least of the median ratios.
 * It is one peer for all rounds; the best of each round would be whichever the noise favoured. NULL without peers.
 */
static const struct series *best_peer(const struct bench_report *report, const struct series *ours, double *ratio)
{
    const struct series *best = NULL;
    *ratio = NAN;
    if (ours->role != BENCH_OURS)
        return NULL;
    for (size_t i = 0; i < report->count; i++) {
        const struct series *peer = &report->series[i];
        if (peer->role != BENCH_PEER || strcmp(peer->case_name, ours->case_name) != 0 ||
            strcmp(peer->metric->name, ours->metric->name) != 0)
            continue;
        double against = peer_ratio(ours, peer);
        if (!isnan(against) && (!best || against < *ratio)) {
            best = peer;
            *ratio = against;
        }
    }
    return best;
}

/* JSON knows no NAN. */
static void print_json_number(FILE *file, const char *key, double value)
{
    if (isnan(value))
        fprintf(file, ",\"%s\":null", key);
    else
        fprintf(file, ",\"%s\":%.6g", key, value);
}

static void print_json(const struct bench_report *report, const struct series *series, FILE *file)
{
    double ratio;
    const struct series *peer = best_peer(report, series, &ratio);
    struct bench_summary summary = bench_summarise(series->values, series->count);
    fprintf(file, "{\"suite\":\"%s\",\"case\":\"%s\",\"implementation\":\"%s\",\"metric\":\"%s\"", report->suite,
            series->case_name, series->implementation, series->metric->name);
    print_json_number(file, "value", summary.median);
    fprintf(file, ",\"unit\":\"%s\"", series->metric->unit);
    print_json_number(file, "peer_ratio", ratio);
    if (peer)
        fprintf(file, ",\"peer\":\"%s\"", peer->implementation);
    else
        fprintf(file, ",\"peer\":null");
    print_json_number(file, "low", summary.low);
    print_json_number(file, "high", summary.high);
    fprintf(file, ",\"rounds\":%zu}\n", summary.count);
}

static void print_row(const struct bench_report *report, const struct series *series, FILE *file)
{
    double ratio;
    const struct series *peer = best_peer(report, series, &ratio);
    struct bench_summary summary = bench_summarise(series->values, series->count);
    fprintf(file, "%-36s %-19s %-20s %12.6g %12.6g %12.6g  %-10s", series->case_name, series->implementation,
            series->metric->name, summary.median, summary.low, summary.high, series->metric->unit);
    if (peer)
        fprintf(file, " %.2fx %s", ratio, peer->implementation);
    fputc('\n', file);
}

void bench_report_print(const struct bench_report *report, FILE *file, bool json)
{
    if (!json)
        fprintf(file, "\n%s\n%-36s %-19s %-20s %12s %12s %12s  %-10s %s\n", report->suite, "case", "implementation",
                "metric", "median", "low", "high", "unit", "against best peer");
    for (size_t i = 0; i < report->count; i++) {
        const struct series *series = &report->series[i];
        if (json) {
            print_json(report, series, file);
            continue;
        }
        if (i > 0 && strcmp(report->series[i - 1].case_name, series->case_name) != 0)
            fputc('\n', file);
        print_row(report, series, file);
    }
    fflush(file);
}

void bench_progress(const char *suite, uint64_t round, uint64_t rounds)
{
    bool terminal = isatty(STDERR_FILENO);
    if (terminal)
        fprintf(stderr, "\r%s: round %llu of %llu%s", suite, (unsigned long long)round, (unsigned long long)rounds,
                round == rounds ? "\n" : "");
    else if (round == 1 || round == rounds)
        fprintf(stderr, "%s: round %llu of %llu\n", suite, (unsigned long long)round, (unsigned long long)rounds);
}

/* The processor's name as the system tells it, fit for a JSON string. */
static void read_processor_name(char *name, size_t name_bytes)
{
    char line[512];
    FILE *file = fopen("/proc/cpuinfo", "re");
    snprintf(name, name_bytes, "unknown");
    while (file && fgets(line, sizeof(line), file)) {
        const char *colon = strchr(line, ':');
        if (strncmp(line, "model name", strlen("model name")) == 0 && colon) {
            snprintf(name, name_bytes, "%s", colon + strspn(colon, ": \t"));
            name[strcspn(name, "\n\"\\")] = '\0';
            break;
        }
    }
    if (file)
        fclose(file);
}

void bench_print_machine(FILE *file, bool json)
{
    char processor[256];
    struct utsname system;
    if (uname(&system) != 0)
        memset(&system, 0, sizeof(system));
    read_processor_name(processor, sizeof(processor));
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (json)
        fprintf(file,
                "{\"machine\":{\"processor\":\"%s\",\"cores\":%ld,\"system\":\"%s %s %s\",\"compiler\":\"%s\","
                "\"flags\":\"%s\",\"version\":\"%s\"}}\n",
                processor, cores, system.sysname, system.release, system.machine, KN_BENCH_COMPILER, KN_BENCH_FLAGS,
                KN_VERSION);
    else
        fprintf(file, "processor  %s, %ld cores\nsystem     %s %s %s\ncompiler   %s, %s\nversion    %s\n", processor,
                cores, system.sysname, system.release, system.machine, KN_BENCH_COMPILER, KN_BENCH_FLAGS, KN_VERSION);
    fflush(file);
}
