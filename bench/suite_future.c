/*
 * The suite of futures: which cases there are, and the rounds.
 */
#include "future_cells.h"

#include <errno.h>
#include <string.h>

enum { CELLS_MAX = 8 };

static const double SECONDS_DEFAULT = 60;
static const double SLICE_SECONDS_MIN = 0.002;
static const double SLICE_SECONDS_MAX = 0.02;

static const struct future_implementation *const sources[] = {
    future_kernel,
#ifdef KN_BENCH_PEERS
    future_rust,
    future_coroutine,
#endif
    future_reference,
};

static const struct {
    const char *name;
    struct bench_metric metric;
    uint64_t whole; /* the count is a multiple of it */
} cases[FUTURE_CASES] = {
    [FUTURE_MAP] = {"map-chain-16", {"cost", "ns/stage", false}, FUTURE_CHAIN},
    [FUTURE_AND_THEN] = {"map-and-then-chain-16", {"cost", "ns/stage", false}, FUTURE_CHAIN},
    [FUTURE_RESUME] = {"await-resume", {"cost", "ns/resume", false}, 1},
    [FUTURE_AWAIT_READY] = {"await-ready", {"cost", "ns/await", false}, 1},
    [FUTURE_JOIN_READY] = {"join-all-1000000-ready", {"cost", "ns/member", false}, FUTURE_MEMBERS},
    [FUTURE_JOIN_PENDING] = {"join-all-1000000-pending", {"cost", "ns/member", false}, FUTURE_MEMBERS},
    [FUTURE_SET_FEW] = {"set-wake-of-1000", {"cost", "ns/wake", false}, 1},
    [FUTURE_SET_MANY] = {"set-wake-of-1000000", {"cost", "ns/wake", false}, 1},
    [FUTURE_CHANNEL_ONE] = {"channel-one", {"cost", "ns/message", false}, 1},
    [FUTURE_CHANNEL_MANY] = {"channel-burst-64", {"cost", "ns/message", false}, FUTURE_CHANNEL_BURST},
};

/* One implementation of a case. */
struct cell {
    const struct future_implementation *implementation;
    void *context;
    uint64_t count; /* that fills a slice */
};

struct suite {
    struct cell cells[FUTURE_CASES][CELLS_MAX];
    size_t counts[FUTURE_CASES];
    size_t cell_count;
};

static int open_cells(struct suite *suite)
{
    for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
        for (const struct future_implementation *each = sources[i]; each->name; each++) {
            struct cell *cell = &suite->cells[each->test_case][suite->counts[each->test_case]++];
            *cell =
                (struct cell){.implementation = each, .context = each->open(), .count = cases[each->test_case].whole};
            suite->cell_count++;
            if (!cell->context) {
                fprintf(stderr, "bench: future: %s cannot be opened\n", each->name);
                return -ENOMEM;
            }
        }
    }
    return 0;
}

static void close_cells(struct suite *suite)
{
    for (size_t i = 0; i < FUTURE_CASES; i++) {
        for (size_t j = 0; j < suite->counts[i]; j++) {
            if (suite->cells[i][j].context)
                suite->cells[i][j].implementation->close(suite->cells[i][j].context);
        }
    }
}

/* Runs each implementation of a case once; nothing is reported without a report. */
static int measure_case(struct suite *suite, enum future_case which, uint64_t round, double slice_seconds,
                        struct bench_report *report)
{
    for (size_t i = 0; i < suite->counts[which]; i++) {
        /* Another one begins in each round. */
        struct cell *cell = &suite->cells[which][(round + i) % suite->counts[which]];
        uint64_t result = 0;
        uint64_t count = cell->count;
        double elapsed_ns = cell->implementation->run(cell->context, count, &result);
        if (result != count) {
            fprintf(stderr, "bench: future: %s: %s answered %llu instead of %llu\n", cases[which].name,
                    cell->implementation->name, (unsigned long long)result, (unsigned long long)count);
            return -EBADMSG;
        }
        uint64_t next = bench_next_count(count, elapsed_ns, slice_seconds);
        uint64_t whole = cases[which].whole;
        cell->count = next < whole ? whole : next - next % whole;
        if (report)
            bench_report_add(report, cases[which].name, cell->implementation->name, cell->implementation->role,
                             &cases[which].metric, elapsed_ns / (double)count);
    }
    return 0;
}

static int run_future(const struct bench_options *options, struct bench_report *report)
{
    static struct suite suite;
    memset(&suite, 0, sizeof(suite));
    int result = bench_pin(options->cores[0]);
    if (result == 0)
        result = open_cells(&suite);
    struct bench_plan plan =
        bench_plan(options, SECONDS_DEFAULT, suite.cell_count, SLICE_SECONDS_MIN, SLICE_SECONDS_MAX);
    /* The one before the first warms up, and finds out how much fits into a slice. */
    for (uint64_t round = 0; round <= plan.rounds && result == 0; round++) {
        for (size_t i = 0; i < FUTURE_CASES && result == 0; i++)
            result = measure_case(&suite, (enum future_case)i, round, plan.slice_seconds, round > 0 ? report : NULL);
        if (round > 0)
            bench_progress("future", round, plan.rounds);
    }
    close_cells(&suite);
    return result;
}

const struct bench_suite bench_suite_future = {
    .name = "future",
    .summary = "futures: chains, functions that wait, joins and sets of many, channels; on one core",
    .run = run_future,
};
