#include "bench.h"

#include <stdlib.h>
#include <string.h>

#include <kernel/numeric.h>

#include "numeric_loops.h"

static const struct bench_metric throughput = {"throughput", "GB/s", true};

enum operation { SUM, DOT, SCALE, OPERATIONS };

static const char *const operation_names[OPERATIONS] = {"sum", "dot", "scale"};

/* Bytes that one number means for memory: read, or read twice, or read and written. */
static const double bytes_each[OPERATIONS] = {8, 16, 16};

/* Of the nearest cache, the next one, and beyond. */
static const size_t sizes[] = {1000, 50000, 4000000};

enum { SIZES = sizeof(sizes) / sizeof(sizes[0]), IMPLEMENTATIONS_MAX = KN_NUMERIC_LEVELS + 2 };

/* Either of the two. */
struct implementation {
    const char *name;
    enum bench_role role;
    const struct kn_numeric *numeric;
    const struct numeric_loops *loops;
};

struct suite {
    struct implementation implementations[IMPLEMENTATIONS_MAX];
    size_t count;
    double *left;
    double *right;
    char names[SIZES][OPERATIONS][32];
    uint64_t numbers[SIZES][OPERATIONS][IMPLEMENTATIONS_MAX]; /* of the next slice */
    double kept;                                              /* results end here, so that none is left out */
};

static void add(struct suite *suite, const char *name, enum bench_role role, const struct kn_numeric *numeric,
                const struct numeric_loops *loops)
{
    suite->implementations[suite->count++] =
        (struct implementation){.name = name, .role = role, .numeric = numeric, .loops = loops};
}

static void open_suite(struct suite *suite)
{
    for (int level = KN_NUMERIC_LEVELS - 1; level >= 0; level--) {
        const struct kn_numeric *numeric = kn_numeric_table((enum kn_numeric_level)level);
        if (numeric)
            add(suite, numeric->name, BENCH_OURS, numeric, NULL);
    }
    add(suite, numeric_loops_plain.name, BENCH_REFERENCE, NULL, &numeric_loops_plain);
    add(suite, numeric_loops_o3.name, BENCH_REFERENCE, NULL, &numeric_loops_o3);
    suite->left = bench_allocate(sizes[SIZES - 1] * sizeof(double));
    suite->right = bench_allocate(sizes[SIZES - 1] * sizeof(double));
    for (size_t i = 0; i < sizes[SIZES - 1]; i++)
        suite->left[i] = suite->right[i] = (double)(i % 1000) / 1000;
    for (size_t i = 0; i < SIZES; i++) {
        for (size_t j = 0; j < OPERATIONS; j++) {
            snprintf(suite->names[i][j], sizeof(suite->names[i][j]), "%s-%zu", operation_names[j], sizes[i]);
            for (size_t k = 0; k < suite->count; k++)
                suite->numbers[i][j][k] = sizes[i];
        }
    }
}

static double do_once(const struct suite *suite, const struct implementation *implementation, enum operation operation,
                      size_t count)
{
    struct kn_span_f64 span = {suite->left, count};
    if (implementation->loops) {
        const struct numeric_loops *loops = implementation->loops;
        if (operation == SUM)
            return loops->sum(span.data, count);
        if (operation == DOT)
            return loops->dot(span.data, suite->right, count);
        loops->scale(span.data, count, -1);
        return 0;
    }
    if (operation == SUM)
        return kn_reduce_f64(implementation->numeric, KN_REDUCE_SUM, span);
    if (operation == DOT)
        return kn_dot_f64(implementation->numeric, span.data, suite->right, count);
    kn_map_f64(implementation->numeric, KN_MAP_SCALE, span, -1, 0);
    return 0;
}

static double measure(struct suite *suite, size_t size, enum operation operation, size_t which, double slice_seconds)
{
    uint64_t *numbers = &suite->numbers[size][operation][which];
    uint64_t times = *numbers / sizes[size] ? *numbers / sizes[size] : 1;
    double start_ns = bench_now_ns();
    for (uint64_t i = 0; i < times; i++)
        suite->kept += do_once(suite, &suite->implementations[which], operation, sizes[size]);
    double elapsed_ns = bench_now_ns() - start_ns;
    uint64_t done = times * sizes[size];
    *numbers = bench_next_count(done, elapsed_ns, slice_seconds);
    return (double)done * bytes_each[operation] / elapsed_ns;
}

static int run_numeric(const struct bench_options *options, struct bench_report *report)
{
    /* Static: the report keeps the names of the cases. */
    static struct suite suite;
    struct bench_team *team;
    memset(&suite, 0, sizeof(suite));
    int result = bench_team_open(&team, options, 1);
    if (result < 0)
        return result;
    open_suite(&suite);
    double seconds = options->seconds > 0 ? options->seconds : 20;
    struct bench_plan plan = bench_plan(options, seconds, SIZES * OPERATIONS * suite.count, 0.001, 0.02);
    /* The round before the first warms up, and finds out how much fits into a slice. */
    for (uint64_t round = 0; round <= plan.rounds; round++) {
        for (size_t i = 0; i < SIZES * OPERATIONS; i++) {
            size_t size = i / OPERATIONS;
            enum operation operation = (enum operation)(i % OPERATIONS);
            for (size_t j = 0; j < suite.count; j++) {
                size_t which = (round + j) % suite.count;
                const struct implementation *implementation = &suite.implementations[which];
                double value = measure(&suite, size, operation, which, plan.slice_seconds);
                if (round > 0)
                    bench_report_add(report, suite.names[size][operation], implementation->name, implementation->role,
                                     &throughput, value);
            }
        }
        if (round > 0)
            bench_progress("numeric", round, plan.rounds);
    }
    free(suite.left);
    free(suite.right);
    bench_team_close(team);
    return 0;
}

const struct bench_suite bench_suite_numeric = {
    .name = "numeric",
    .summary = "arithmetic over spans of doubles: vectors of each width and plain loops",
    .run = run_numeric,
};
