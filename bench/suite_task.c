/*
 * The suite of tasks: which cases there are, and the rounds.
 */
#include "raw.h"
#include "task_cells.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CELLS_MAX = 12, ROUNDS_LEAST = 3 };

static const double SECONDS_DEFAULT = 90;
/* Below this, all is small. */
static const double SECONDS_WHOLE = 10;
static const double SLICE_SECONDS = 0.02;
/* Threads that wait for work are asleep after this time. */
static const long SETTLE_NS = 3000000;

static const struct bench_metric task_cost = {"cost", "ns/task", false};
static const struct bench_metric switch_cost = {"cost", "ns/switch", false};
static const struct bench_metric to_ideal = {"time_to_ideal", "x", false};

static const struct task_implementation *const sources[] = {
    task_kernel,
#ifdef KN_BENCH_PEERS
    task_tbb,
    task_urcu,
#endif
    task_reference,
};

/* One implementation of a case. */
struct cell {
    const struct task_implementation *implementation;
    void *context;
    uint64_t count;  /* that fills a slice, where the case has no size of its own */
    double value_ns; /* of this round, one task */
};

struct test_case {
    char name[32];
    struct task_size size; /* 0: as much as fits into a slice */
    uint64_t tasks;        /* that are made for this size */
    struct cell cells[CELLS_MAX];
    size_t cell_count;
};

/* Of the wake-ups: the time that half of them, 99 and 99.9 of a hundred stay below. */
enum { QUANTILES = 3 };

static const double quantile_at[QUANTILES] = {0.5, 0.99, 0.999};
static const struct bench_metric quantiles[QUANTILES] = {
    {"p50", "ns", false}, {"p99", "ns", false}, {"p99.9", "ns", false}};
static const struct bench_metric quantile_ratios[QUANTILES] = {
    {"p50_to_idle", "x", false}, {"p99_to_idle", "x", false}, {"p99.9_to_idle", "x", false}};
static const char *const wake_names[TASK_WAKERS][2] = {{"wake-by-core-idle", "wake-by-core-loaded"},
                                                       {"wake-by-timer-idle", "wake-by-timer-loaded"}};

struct suite {
    struct test_case cases[TASK_CASES];
    struct bench_team *team; /* for the raw transfer, and to keep the caller on its core */
    struct raw_pace pace;
    struct task_wake *wake;
    double *latency_ns;
    size_t latencies;
    double line_ns; /* of this round */
};

/* ---- cases ---- */

static void name_case(struct suite *suite, enum task_case which, const char *name, struct task_size size,
                      uint64_t tasks)
{
    struct test_case *test_case = &suite->cases[which];
    snprintf(test_case->name, sizeof(test_case->name), "%s", name);
    test_case->size = size;
    test_case->tasks = tasks;
}

static void name_cases(struct suite *suite, bool whole)
{
    uint64_t leaves = whole ? 1000000 : 1000;
    uint64_t depth = whole ? TASK_TREE_DEPTH : 5;
    uint64_t spinners = whole ? 100000 : 1000;
    struct task_tree_node root;
    struct task_size skynet = {leaves, task_skynet_sum(leaves)};
    task_tree_root(&root);
    struct task_size tree = {depth, whole ? TASK_TREE_NODES : task_tree_count(&root, depth)};
    char name[32];
    name_case(suite, TASK_SPAWN_RUN, "spawn-run", (struct task_size){0}, 0);
    name_case(suite, TASK_PING_PONG_ONE, "ping-pong-one-core", (struct task_size){0}, 0);
    name_case(suite, TASK_PING_PONG_TWO, "ping-pong-two-cores", (struct task_size){0}, 0);
    for (unsigned cores = 1; cores <= TASK_CORES_MAX; cores++) {
        snprintf(name, sizeof(name), "skynet-%llu-cores-%u", (unsigned long long)leaves, cores);
        name_case(suite, cores == 1 ? TASK_SKYNET_ONE : TASK_SKYNET_TWO, name, skynet, task_skynet_tasks(leaves));
        snprintf(name, sizeof(name), "uts-%llu-cores-%u", (unsigned long long)tree.result, cores);
        name_case(suite, cores == 1 ? TASK_TREE_ONE : TASK_TREE_TWO, name, tree, tree.result);
    }
    snprintf(name, sizeof(name), "balance-%llu", (unsigned long long)spinners);
    name_case(suite, TASK_BALANCE, name, (struct task_size){spinners, spinners}, spinners);
}

static int open_cells(struct suite *suite, const struct bench_options *options)
{
    for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
        for (const struct task_implementation *each = sources[i]; each->name; each++) {
            struct test_case *test_case = &suite->cases[each->test_case];
            struct cell *cell = &test_case->cells[test_case->cell_count++];
            *cell = (struct cell){.implementation = each, .context = each->open(options), .count = 1024};
            if (!cell->context) {
                fprintf(stderr, "bench: task: %s cannot be opened\n", each->name);
                return -ENOMEM;
            }
        }
    }
    return 0;
}

static void close_cells(struct suite *suite)
{
    for (size_t i = 0; i < TASK_CASES; i++) {
        for (size_t j = 0; j < suite->cases[i].cell_count; j++) {
            if (suite->cases[i].cells[j].context)
                suite->cases[i].cells[j].implementation->close(suite->cases[i].cells[j].context);
        }
    }
}

/* ---- rounds ---- */

/* Lets the threads of who was measured last fall asleep. */
static void settle(void)
{
    nanosleep(&(struct timespec){.tv_nsec = SETTLE_NS}, NULL);
}

static int measure_cell(struct test_case *test_case, struct cell *cell)
{
    uint64_t size = test_case->size.size > 0 ? test_case->size.size : cell->count;
    uint64_t tasks = test_case->tasks > 0 ? test_case->tasks : size;
    uint64_t result = 0;
    settle();
    double elapsed_ns = cell->implementation->run(cell->context, size, &result);
    if (test_case->size.size == 0)
        cell->count = bench_next_count(size, elapsed_ns, SLICE_SECONDS);
    cell->value_ns = elapsed_ns / (double)tasks;
    if (test_case->size.size == 0 || result == test_case->size.result)
        return 0;
    fprintf(stderr, "bench: task: %s: %s answered %llu instead of %llu\n", test_case->name, cell->implementation->name,
            (unsigned long long)result, (unsigned long long)test_case->size.result);
    return -EBADMSG;
}

static int measure_case(struct suite *suite, struct test_case *test_case, uint64_t round)
{
    int result = 0;
    if (test_case == &suite->cases[TASK_PING_PONG_TWO]) {
        settle();
        suite->line_ns = raw_transfer_ns(&suite->pace, suite->team, RAW_LINE_EACH_WAY, SLICE_SECONDS);
    }
    /* Another one begins in each round. */
    for (size_t i = 0; i < test_case->cell_count && result == 0; i++)
        result = measure_cell(test_case, &test_case->cells[(round + i) % test_case->cell_count]);
    return result;
}

static void report_cell(const struct suite *suite, enum task_case which, const struct cell *cell,
                        struct bench_report *report)
{
    const char *name = cell->implementation->name;
    enum bench_role role = cell->implementation->role;
    const char *case_name = suite->cases[which].name;
    if (which == TASK_PING_PONG_TWO)
        bench_report_one_way(report, case_name, name, role, cell->value_ns, suite->line_ns, NAN);
    else if (which == TASK_PING_PONG_ONE)
        bench_report_add(report, case_name, name, role, &switch_cost, cell->value_ns);
    else if (which == TASK_BALANCE)
        bench_report_add(report, case_name, name, role, &to_ideal, cell->value_ns * TASK_CORES_MAX / TASK_BALANCE_NS);
    else
        bench_report_add(report, case_name, name, role, &task_cost, cell->value_ns);
}

static void report_case(const struct suite *suite, enum task_case which, struct bench_report *report)
{
    const struct test_case *test_case = &suite->cases[which];
    for (size_t i = 0; i < test_case->cell_count; i++)
        report_cell(suite, which, &test_case->cells[i], report);
    if (which == TASK_PING_PONG_TWO)
        bench_report_lines(report, test_case->name, suite->line_ns, NAN);
}

static int compare_latencies(const void *left, const void *right)
{
    double a = *(const double *)left;
    double b = *(const double *)right;
    return (a > b) - (a < b);
}

static void measure_wakes(struct suite *suite, enum task_waker waker, struct bench_report *report)
{
    double idle_ns[QUANTILES];
    for (int loaded = 0; loaded < 2; loaded++) {
        settle();
        task_wake_measure(suite->wake, waker, loaded, suite->latency_ns, suite->latencies);
        qsort(suite->latency_ns, suite->latencies, sizeof(suite->latency_ns[0]), compare_latencies);
        for (size_t i = 0; report && i < QUANTILES; i++) {
            double value_ns = suite->latency_ns[(size_t)(quantile_at[i] * (double)suite->latencies)];
            const char *name = wake_names[waker][loaded];
            bench_report_add(report, name, "kernel", BENCH_OURS, &quantiles[i], value_ns);
            if (loaded)
                bench_report_add(report, name, "kernel", BENCH_OURS, &quantile_ratios[i], value_ns / idle_ns[i]);
            else
                idle_ns[i] = value_ns;
        }
    }
}

/* Nothing is reported without a report. */
static int run_round(struct suite *suite, uint64_t round, struct bench_report *report)
{
    for (size_t i = 0; i < TASK_CASES; i++) {
        int result = measure_case(suite, &suite->cases[i], round);
        if (result < 0)
            return result;
        if (report)
            report_case(suite, (enum task_case)i, report);
    }
    for (int waker = 0; waker < TASK_WAKERS; waker++)
        measure_wakes(suite, (enum task_waker)waker, report);
    return 0;
}

static int run_rounds(struct suite *suite, const struct bench_options *options, double seconds,
                      struct bench_report *report)
{
    /* The one before the first warms up, finds out how much fits into a slice, and how many rounds into the time. */
    double start_ns = bench_now_ns();
    int result = run_round(suite, 0, NULL);
    double round_seconds = (bench_now_ns() - start_ns) / 1e9;
    uint64_t rounds = options->rounds;
    if (rounds == 0)
        rounds = (uint64_t)fmax(ROUNDS_LEAST, seconds / round_seconds);
    for (uint64_t round = 1; round <= rounds && result == 0; round++) {
        result = run_round(suite, round, report);
        bench_progress("task", round, rounds);
    }
    return result;
}

static int run_task(const struct bench_options *options, struct bench_report *report)
{
    /* Static: the report keeps the names of the cases. */
    static struct suite suite;
    double seconds = options->seconds > 0 ? options->seconds : SECONDS_DEFAULT;
    bool whole = seconds >= SECONDS_WHOLE;
    memset(&suite, 0, sizeof(suite));
    task_work_open();
    name_cases(&suite, whole);
    suite.latencies = whole ? 5000 : 1000;
    suite.latency_ns = bench_allocate(suite.latencies * sizeof(suite.latency_ns[0]));
    int result = bench_team_open(&suite.team, options, 2);
    if (result == 0)
        result = open_cells(&suite, options);
    if (result == 0)
        result = task_wake_open(&suite.wake, options);
    if (result == 0)
        result = run_rounds(&suite, options, seconds, report);
    task_wake_close(suite.wake);
    close_cells(&suite);
    bench_team_close(suite.team);
    free(suite.latency_ns);
    return result;
}

const struct bench_suite bench_suite_task = {
    .name = "task",
    .summary = "tasks: spawning, waking, trees of them on one core and two, latency under load",
    .run = run_task,
};
