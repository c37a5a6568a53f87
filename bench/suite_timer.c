#include "timer_loops.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct bench_metric cost = {"cost", "ns/operation", false};
static const struct bench_metric ratio_to_1000 = {"ratio_to_1000", "x", false};
static const struct bench_metric expiry = {"cost", "ns/timer", false};
static const struct bench_metric memory = {"memory", "B/timer", false};

static const struct timer_implementation *const sources[] = {
    timer_kernel,
#ifdef KN_BENCH_PEERS
    timer_uv,
    timer_event,
#endif
};

/* How many timers are armed, and what the suite must at least last for the while that it takes to make them. */
static const struct {
    size_t timers;
    double seconds_least;
} sizes[] = {{1000, 0}, {1000000, 10}, {10000000, 30}};

static const char *const pattern_names[TIMER_PATTERNS] = {"arm-cancel", "postpone", "replace"};

enum { SIZES = sizeof(sizes) / sizeof(sizes[0]), IMPLEMENTATIONS_MAX = 8, EXPIRIES_MOST = 5 };

/* One implementation with one number of timers. */
struct cell {
    const struct timer_implementation *implementation;
    void *context;
    uint64_t count[TIMER_PATTERNS];
    double value_ns[TIMER_PATTERNS]; /* of this round, one operation */
};

struct suite {
    struct cell cells[SIZES][IMPLEMENTATIONS_MAX];
    size_t cell_count[SIZES];
    char names[SIZES][TIMER_PATTERNS + 1][32]; /* of the cases; the last is of expiries */
    size_t turn;                               /* which cell begins; moves on each round */
};

static int open_cells(struct suite *suite, double seconds)
{
    for (size_t i = 0; i < SIZES; i++) {
        for (size_t j = 0; j < TIMER_PATTERNS; j++)
            snprintf(suite->names[i][j], sizeof(suite->names[i][j]), "%s-%zu", pattern_names[j], sizes[i].timers);
        snprintf(suite->names[i][TIMER_PATTERNS], sizeof(suite->names[i][0]), "expire-%zu", sizes[i].timers);
        if (seconds < sizes[i].seconds_least)
            continue;
        for (size_t j = 0; j < sizeof(sources) / sizeof(sources[0]); j++) {
            for (const struct timer_implementation *each = sources[j]; each->name; each++) {
                if (sizes[i].timers > each->timers_most)
                    continue;
                struct cell *cell = &suite->cells[i][suite->cell_count[i]++];
                *cell = (struct cell){.implementation = each, .context = each->open(sizes[i].timers)};
                for (size_t k = 0; k < TIMER_PATTERNS; k++)
                    cell->count[k] = 4096;
                if (!cell->context) {
                    fprintf(stderr, "bench: timer: %s cannot be opened\n", each->name);
                    return -ENOMEM;
                }
            }
        }
    }
    return 0;
}

static void close_cells(struct suite *suite)
{
    for (size_t i = 0; i < SIZES; i++) {
        for (size_t j = 0; j < suite->cell_count[i]; j++) {
            if (suite->cells[i][j].context)
                suite->cells[i][j].implementation->close(suite->cells[i][j].context);
        }
    }
}

static void measure_pattern(struct cell *cell, size_t pattern, double slice_seconds)
{
    uint64_t count = cell->count[pattern];
    double elapsed_ns = cell->implementation->patterns[pattern](cell->context, count);
    cell->value_ns[pattern] = elapsed_ns / (double)count;
    cell->count[pattern] = bench_next_count(count, elapsed_ns, slice_seconds);
}

static void report_pattern(struct suite *suite, size_t size, size_t pattern, struct bench_report *report)
{
    for (size_t i = 0; i < suite->cell_count[size]; i++) {
        const struct cell *cell = &suite->cells[size][i];
        const struct timer_implementation *implementation = cell->implementation;
        const char *name = suite->names[size][pattern];
        bench_report_add(report, name, implementation->name, implementation->role, &cost, cell->value_ns[pattern]);
        /* Ours stand first, and in the same order for every number of timers. */
        if (implementation->role == BENCH_OURS && size > 0)
            bench_report_add(report, name, implementation->name, BENCH_OURS, &ratio_to_1000,
                             cell->value_ns[pattern] / suite->cells[0][i].value_ns[pattern]);
    }
}

/* Patterns outside, implementations inside: neighbours in time are what is compared. */
static void measure_size(struct suite *suite, size_t size, double slice_seconds)
{
    for (size_t i = 0; i < TIMER_PATTERNS; i++) {
        for (size_t j = 0; j < suite->cell_count[size]; j++)
            measure_pattern(&suite->cells[size][(suite->turn + j) % suite->cell_count[size]], i, slice_seconds);
    }
}

/* Fires all timers of instances made for it, one after the other. */
static int measure_expiries(struct suite *suite, size_t size, struct bench_report *report)
{
    for (size_t i = 0; i < suite->cell_count[size]; i++) {
        const struct timer_implementation *implementation = suite->cells[size][i].implementation;
        if (!implementation->expire)
            continue;
        void *context = implementation->open(sizes[size].timers);
        if (!context)
            return -ENOMEM;
        implementation->arm_soon(context);
        double start_ns = bench_now_ns();
        uint64_t fired = implementation->expire(context);
        double elapsed_ns = bench_now_ns() - start_ns;
        implementation->close(context);
        if (fired != sizes[size].timers) {
            fprintf(stderr, "bench: timer: %s fired %llu of %zu\n", implementation->name, (unsigned long long)fired,
                    sizes[size].timers);
            return -EBADMSG;
        }
        bench_report_add(report, suite->names[size][TIMER_PATTERNS], implementation->name, implementation->role,
                         &expiry, elapsed_ns / (double)fired);
    }
    return 0;
}

static void report_memory(const struct suite *suite, struct bench_report *report)
{
    for (size_t i = 0; i < suite->cell_count[0]; i++) {
        const struct timer_implementation *implementation = suite->cells[0][i].implementation;
        bench_report_add(report, "memory", implementation->name, implementation->role, &memory,
                         (double)implementation->bytes_each());
    }
}

static int run_rounds(struct suite *suite, const struct bench_options *options, double seconds,
                      struct bench_report *report)
{
    size_t cells = 0;
    for (size_t i = 0; i < SIZES; i++)
        cells += suite->cell_count[i] * TIMER_PATTERNS;
    struct bench_plan plan = bench_plan(options, seconds, cells, 0.002, 0.05);
    int result = 0;
    /* The round before the first warms up, and finds out how much fits into a slice. */
    for (uint64_t round = 0; round <= plan.rounds && result == 0; round++) {
        suite->turn = round;
        for (size_t i = 0; i < SIZES; i++)
            measure_size(suite, i, plan.slice_seconds);
        if (round == 0)
            continue;
        for (size_t i = 0; i < SIZES; i++) {
            for (size_t j = 0; j < TIMER_PATTERNS; j++)
                report_pattern(suite, i, j, report);
            /* Not of ten millions, whose making would take longer than all the rest. */
            if (round <= EXPIRIES_MOST && suite->cell_count[i] > 0 && sizes[i].timers <= 1000000 && result == 0)
                result = measure_expiries(suite, i, report);
        }
        bench_progress("timer", round, plan.rounds);
    }
    return result;
}

static int run_timer(const struct bench_options *options, struct bench_report *report)
{
    /* Static: the report keeps the names of the cases. */
    static struct suite suite;
    double seconds = options->seconds > 0 ? options->seconds : 60;
    struct bench_team *team;
    memset(&suite, 0, sizeof(suite));
    int result = bench_team_open(&team, options, 1);
    if (result < 0)
        return result;
    result = open_cells(&suite, seconds);
    if (result == 0)
        result = run_rounds(&suite, options, seconds, report);
    if (result == 0)
        report_memory(&suite, report);
    close_cells(&suite);
    bench_team_close(team);
    return result;
}

const struct bench_suite bench_suite_timer = {
    .name = "timer",
    .summary = "timers: arm, cancel, postpone and expire among 10^3, 10^6 and 10^7 that are armed",
    .run = run_timer,
};
