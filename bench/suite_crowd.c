/*
 * The suites of the queues whose ends several threads or processes share: which cases there are, and the rounds.
 */
#include "crowd_cell.h"
#include "raw.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CASES_MAX 32
#define CROWDS_MAX 5
#define SECONDS_DEFAULT 60
#define SLICE_SECONDS_MIN 0.002
#define SLICE_SECONDS_MAX 0.02

struct source {
    const struct crowd_implementation *list;
    enum bench_role role;
    bool processes;
};

static const struct source sources[] = {
    {crowd_kernel, BENCH_OURS, false},       {crowd_processes, BENCH_OURS, true},
    {crowd_threads, BENCH_REFERENCE, false},
#ifdef KN_BENCH_PEERS
    {crowd_ck, BENCH_PEER, false},           {crowd_rte, BENCH_PEER, false},
    {crowd_boost, BENCH_PEER, false},        {crowd_moodycamel, BENCH_PEER, false},
    {crowd_urcu, BENCH_PEER, false},         {crowd_tbb, BENCH_PEER, false},
    {crowd_fan_rte, BENCH_PEER, false},      {crowd_fan_boost, BENCH_PEER, false},
    {crowd_disruptor, BENCH_PEER, false},
#endif
};

#define SOURCES (sizeof(sources) / sizeof(sources[0]))

static const struct bench_metric ratio_to_threads = {"ratio_to_threads", "x", true};
static const size_t message_sizes[] = {8, 64};
static const char *const form_names[CROWD_FORMS] = {"single", "batch32"};
static const char *const shape_prefixes[CROWD_SHAPES] = {"", "", "", "", "", "spsc-", "mpsc-"};

/* What a suite measures. */
struct plan {
    const char *name;
    struct crowd crowds[CROWDS_MAX + 1];
    bool latency; /* one to one, over two queues */
};

struct suite {
    const struct plan *plan;
    struct crowd_case cases[CASES_MAX];
    size_t case_count;
    size_t cell_count;
    size_t members;         /* of the largest case */
    size_t process_members; /* of the largest case between processes */
    struct crowd_run *run;
    struct bench_team *threads;
    struct bench_team *processes; /* NULL where there are none */
    struct raw_pace pace;
};

static int add_cell(struct suite *suite, struct crowd_case *test_case, const struct source *source,
                    const struct crowd_implementation *implementation, const struct bench_options *options)
{
    struct crowd_cell *cell = &test_case->cells[test_case->cell_count++];
    size_t members = crowd_case_members(test_case);
    cell->implementation = implementation;
    cell->run = suite->run;
    cell->role = source->role;
    cell->processes = source->processes;
    suite->cell_count++;
    suite->members = members > suite->members ? members : suite->members;
    if (cell->processes)
        suite->process_members = members > suite->process_members ? members : suite->process_members;
    return crowd_cell_open(cell, test_case, options);
}

static int add_cells(struct suite *suite, struct crowd_case *test_case, const struct bench_options *options)
{
    for (size_t i = 0; i < SOURCES; i++) {
        for (const struct crowd_implementation *entry = sources[i].list; entry->name; entry++) {
            if (!(entry->shapes & CROWD_IN(test_case->crowd.shape)) || entry->message_bytes != test_case->message_bytes)
                continue;
            int result = add_cell(suite, test_case, &sources[i], entry, options);
            if (result < 0)
                return result;
        }
    }
    return 0;
}

static int add_case(struct suite *suite, const struct bench_options *options, bool latency, size_t message_bytes,
                    enum crowd_form form, const struct crowd *crowd)
{
    if (options->threads > 0 && crowd->producers + crowd->consumers > options->threads)
        return 0;
    struct crowd_case *test_case = &suite->cases[suite->case_count++];
    test_case->latency = latency;
    test_case->message_bytes = message_bytes;
    test_case->form = form;
    test_case->crowd = *crowd;
    if (latency)
        snprintf(test_case->name, sizeof(test_case->name), "latency-%zu", message_bytes);
    else
        snprintf(test_case->name, sizeof(test_case->name), "%sthroughput-%zu-%s-%u:%u", shape_prefixes[crowd->shape],
                 message_bytes, form_names[form], crowd->producers, crowd->consumers);
    return add_cells(suite, test_case, options);
}

static int add_cases(struct suite *suite, const struct bench_options *options)
{
    const struct crowd one_to_one = {1, 1, suite->plan->crowds[0].shape};
    int result = 0;
    for (size_t i = 0; i < sizeof(message_sizes) / sizeof(message_sizes[0]); i++) {
        if (suite->plan->latency && result == 0)
            result = add_case(suite, options, true, message_sizes[i], CROWD_SINGLE, &one_to_one);
        for (int form = 0; form < CROWD_FORMS; form++) {
            for (const struct crowd *crowd = suite->plan->crowds; crowd->consumers > 0 && result == 0; crowd++)
                result = add_case(suite, options, false, message_sizes[i], (enum crowd_form)form, crowd);
        }
    }
    return result;
}

/* Calls a function for every cell until it answers something else than 0, which is the answer. */
static int for_each_cell(struct suite *suite, int (*function)(struct crowd_cell *cell, struct suite *suite))
{
    int result = 0;
    for (size_t i = 0; i < suite->case_count && result == 0; i++) {
        for (size_t j = 0; j < suite->cases[i].cell_count && result == 0; j++)
            result = function(&suite->cases[i].cells[j], suite);
    }
    return result;
}

static int hold_cell(struct crowd_cell *cell, struct suite *suite)
{
    return crowd_cell_hold(cell, suite->processes);
}

static int drop_cell(struct crowd_cell *cell, struct suite *suite)
{
    crowd_cell_drop(cell, suite->processes);
    return 0;
}

static int close_cell(struct crowd_cell *cell, struct suite *suite)
{
    (void)suite;
    crowd_cell_close(cell);
    return 0;
}

static void report_throughput(const struct crowd_case *test_case, struct bench_report *report)
{
    size_t reference = test_case->cell_count / 2; /* of the cells between processes, the one between threads */
    for (size_t i = 0; i < test_case->cell_count; i++) {
        const struct crowd_cell *cell = &test_case->cells[i];
        const char *name = cell->implementation->name;
        bench_report_throughput(report, test_case->name, name, cell->role, cell->value_ns);
        if (cell->processes)
            bench_report_add(report, test_case->name, name, cell->role, &ratio_to_threads,
                             test_case->cells[reference + i].value_ns / cell->value_ns);
    }
}

/* One round of one case: the raw transfer first, where it is the yardstick, then each implementation. */
static int measure_case(struct suite *suite, struct crowd_case *test_case, uint64_t round, double slice_seconds,
                        struct bench_report *report)
{
    double line_ns = NAN;
    double pair_ns = NAN;
    if (test_case->latency)
        raw_measure_lines(&suite->pace, suite->threads, test_case->message_bytes, slice_seconds, &line_ns, &pair_ns);
    for (size_t i = 0; i < test_case->cell_count; i++) {
        /* Another one begins in each round, so that none always follows the same. */
        struct crowd_cell *cell = &test_case->cells[(round + i) % test_case->cell_count];
        int result = crowd_cell_measure(cell, cell->processes ? suite->processes : suite->threads, slice_seconds);
        if (result < 0)
            return result;
    }
    if (report && !test_case->latency)
        report_throughput(test_case, report);
    if (!report || !test_case->latency)
        return 0;
    bench_report_lines(report, test_case->name, line_ns, pair_ns);
    for (size_t i = 0; i < test_case->cell_count; i++) {
        const struct crowd_cell *cell = &test_case->cells[i];
        bench_report_one_way(report, test_case->name, cell->implementation->name, cell->role, cell->value_ns, line_ns,
                             pair_ns);
    }
    return 0;
}

static int run_rounds(struct suite *suite, const struct bench_options *options, struct bench_report *report)
{
    struct bench_plan plan = bench_plan(options, SECONDS_DEFAULT, suite->cell_count > 0 ? suite->cell_count : 1,
                                        SLICE_SECONDS_MIN, SLICE_SECONDS_MAX);
    int result = 0;
    /* The round before the first warms up, and finds out how much fits into a slice. */
    for (uint64_t round = 0; round <= plan.rounds && result == 0; round++) {
        for (size_t i = 0; i < suite->case_count && result == 0; i++)
            result = measure_case(suite, &suite->cases[i], round, plan.slice_seconds, round > 0 ? report : NULL);
        if (round > 0)
            bench_progress(suite->plan->name, round, plan.rounds);
    }
    return result;
}

static int run_suite(const struct plan *plan, const struct bench_options *options, struct bench_report *report)
{
    /* Static: the report keeps the names of the cases, and is printed before the next suite begins. */
    static struct suite suite;
    memset(&suite, 0, sizeof(suite));
    suite.plan = plan;
    suite.members = 2; /* of the raw transfer */
    suite.run = crowd_run_open();
    int result = add_cases(&suite, options);
    /* Processes first: they are made while there is no other thread. */
    if (result == 0 && suite.process_members > 0)
        result = bench_team_open_processes(&suite.processes, options, suite.process_members);
    if (result == 0)
        result = bench_team_open(&suite.threads, options, suite.members);
    if (result == 0) {
        result = for_each_cell(&suite, hold_cell);
        if (result == 0)
            result = run_rounds(&suite, options, report);
        for_each_cell(&suite, drop_cell);
    }
    bench_team_close(suite.threads);
    bench_team_close(suite.processes);
    for_each_cell(&suite, close_cell);
    crowd_run_close(suite.run);
    return result;
}

/* A suite of the program and the function that runs it. */
#define CROWD_SUITE(suite_name, has_latency, suite_summary, ...)                                                       \
    static int run_##suite_name(const struct bench_options *options, struct bench_report *report)                      \
    {                                                                                                                  \
        static const struct plan plan = {#suite_name, {__VA_ARGS__}, has_latency};                                     \
        return run_suite(&plan, options, report);                                                                      \
    }                                                                                                                  \
    const struct bench_suite bench_suite_##suite_name = {#suite_name, suite_summary, run_##suite_name}

CROWD_SUITE(mpsc, true, "up to 16 producers, one consumer: latency one to one, and throughput", {1, 1, CROWD_MPSC},
            {2, 1, CROWD_MPSC}, {4, 1, CROWD_MPSC}, {8, 1, CROWD_MPSC}, {16, 1, CROWD_MPSC});
CROWD_SUITE(spmc, true, "one producer, up to 8 consumers that share the messages out", {1, 1, CROWD_SPMC},
            {1, 2, CROWD_SPMC}, {1, 4, CROWD_SPMC}, {1, 8, CROWD_SPMC});
CROWD_SUITE(mpmc, true, "up to 8 producers and as many consumers that share the messages out", {1, 1, CROWD_MPMC},
            {2, 2, CROWD_MPMC}, {4, 4, CROWD_MPMC}, {8, 8, CROWD_MPMC});
CROWD_SUITE(broadcast, false, "one writer, up to three readers that each see every message", {1, 1, CROWD_BROADCAST},
            {1, 2, CROWD_BROADCAST}, {1, 3, CROWD_BROADCAST});
CROWD_SUITE(pipeline, false, "one writer, three stages that each see what the one before released",
            {1, 3, CROWD_PIPELINE});
CROWD_SUITE(ipc, false, "a sector between processes, next to the same between threads", {1, 1, CROWD_IPC_SPSC},
            {1, 1, CROWD_IPC_MPSC}, {2, 1, CROWD_IPC_MPSC});
