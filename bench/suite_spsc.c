#include "raw.h"
#include "spsc_loops.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <kernel/atomic.h>

#define CASES_MAX 32

struct source {
    const struct spsc_implementation *list;
    enum bench_role role;
};

static const struct source sources[] = {
    {spsc_kernel, BENCH_OURS}, {spsc_kernel_dense, BENCH_OURS},
#ifdef KN_BENCH_PEERS
    {spsc_ck, BENCH_PEER},     {spsc_rte, BENCH_PEER},          {spsc_boost, BENCH_PEER}, {spsc_moodycamel, BENCH_PEER},
#endif
};

#define SOURCES (sizeof(sources) / sizeof(sources[0]))

static const size_t message_sizes[] = {8, 64, 512};
static const char *const form_names[SPSC_FORMS] = {"single", "batch32", "in-place-single", "in-place-batch32"};

/* What one implementation does in one case, and how many items fill a slice. */
struct cell {
    const struct spsc_implementation *implementation;
    enum bench_role role;
    enum spsc_form form;
    void *there;
    void *back; /* latency only */
    uint64_t count;
    double value_ns; /* of this round, one item */
    _Atomic uint64_t wrong;
};

struct test_case {
    char name[48];
    bool latency;
    size_t message_bytes;
    struct cell cells[SOURCES];
    size_t cell_count;
};

struct suite {
    struct test_case cases[CASES_MAX];
    size_t case_count;
    struct raw_pace pace;
    size_t turn; /* which cell begins; moves on each round */
};

static void run_produce(void *context)
{
    struct cell *cell = context;
    cell->implementation->forms[cell->form].produce(cell->there, cell->count);
}

static void run_consume(void *context)
{
    struct cell *cell = context;
    uint64_t wrong = cell->implementation->forms[cell->form].consume(cell->there, cell->count);
    atomic_fetch_add_explicit(&cell->wrong, wrong, memory_order_relaxed);
}

static void run_ping(void *context)
{
    struct cell *cell = context;
    uint64_t wrong = cell->implementation->forms[cell->form].ping(cell->there, cell->back, cell->count);
    atomic_fetch_add_explicit(&cell->wrong, wrong, memory_order_relaxed);
}

static void run_pong(void *context)
{
    struct cell *cell = context;
    uint64_t wrong = cell->implementation->forms[cell->form].pong(cell->there, cell->back, cell->count);
    atomic_fetch_add_explicit(&cell->wrong, wrong, memory_order_relaxed);
}

static int open_cell(struct cell *cell, bool latency)
{
    cell->count = 4 * SPSC_CAPACITY_SLOTS;
    cell->there = cell->implementation->open();
    cell->back = latency ? cell->implementation->open() : NULL;
    if (cell->there && (cell->back || !latency))
        return 0;
    fprintf(stderr, "bench: spsc: %s cannot be opened\n", cell->implementation->name);
    return -ENOMEM;
}

static const struct spsc_implementation *of_size(const struct spsc_implementation *list, size_t message_bytes)
{
    while (list->name && list->message_bytes != message_bytes)
        list++;
    return list->name ? list : NULL;
}

static int add_case(struct suite *suite, bool latency, size_t message_bytes, enum spsc_form form)
{
    struct test_case *test_case = &suite->cases[suite->case_count++];
    const char *form_name = form_names[form];
    test_case->latency = latency;
    test_case->message_bytes = message_bytes;
    if (latency)
        form_name = form == SPSC_SINGLE ? "" : "-in-place";
    snprintf(test_case->name, sizeof(test_case->name), latency ? "latency-%zu%s" : "throughput-%zu-%s", message_bytes,
             form_name);
    for (size_t i = 0; i < SOURCES; i++) {
        struct cell *cell = &test_case->cells[test_case->cell_count];
        cell->implementation = of_size(sources[i].list, message_bytes);
        if (!cell->implementation)
            continue;
        cell->role = sources[i].role;
        cell->form = form;
        test_case->cell_count++;
        int result = open_cell(cell, latency);
        if (result < 0)
            return result;
    }
    return 0;
}

static int add_cases(struct suite *suite)
{
    int result = 0;
    for (size_t i = 0; i < sizeof(message_sizes) / sizeof(message_sizes[0]) && result == 0; i++) {
        result = add_case(suite, true, message_sizes[i], SPSC_SINGLE);
        if (result == 0)
            result = add_case(suite, true, message_sizes[i], SPSC_IN_PLACE_SINGLE);
        for (int form = 0; form < SPSC_FORMS && result == 0; form++)
            result = add_case(suite, false, message_sizes[i], (enum spsc_form)form);
    }
    return result;
}

static void close_cases(struct suite *suite)
{
    for (size_t i = 0; i < suite->case_count; i++) {
        for (size_t j = 0; j < suite->cases[i].cell_count; j++) {
            struct cell *cell = &suite->cases[i].cells[j];
            if (cell->there)
                cell->implementation->close(cell->there);
            if (cell->back)
                cell->implementation->close(cell->back);
        }
    }
}

static void measure_cell(struct bench_team *team, struct cell *cell, bool latency, double slice_seconds)
{
    double elapsed_ns = latency ? bench_team_run_pair(team, run_ping, run_pong, cell)
                                : bench_team_run_pair(team, run_produce, run_consume, cell);
    cell->value_ns = elapsed_ns / (double)cell->count / (latency ? 2 : 1);
    cell->count = bench_next_count(cell->count, elapsed_ns, slice_seconds);
}

/* One round of one case: the raw transfer first, where it is the yardstick, then each implementation. */
static void measure_case(struct suite *suite, struct test_case *test_case, struct bench_team *team,
                         struct bench_report *report, double slice_seconds)
{
    double line_ns = NAN;
    double pair_ns = NAN;
    if (test_case->latency)
        raw_measure_lines(&suite->pace, team, test_case->message_bytes, slice_seconds, &line_ns, &pair_ns);
    for (size_t i = 0; i < test_case->cell_count; i++)
        measure_cell(team, &test_case->cells[(suite->turn + i) % test_case->cell_count], test_case->latency,
                     slice_seconds);
    if (report && test_case->latency)
        bench_report_lines(report, test_case->name, line_ns, pair_ns);
    for (size_t i = 0; report && i < test_case->cell_count; i++) {
        const struct cell *cell = &test_case->cells[i];
        const char *name = cell->implementation->name;
        if (test_case->latency)
            bench_report_one_way(report, test_case->name, name, cell->role, cell->value_ns, line_ns, pair_ns);
        else
            bench_report_throughput(report, test_case->name, name, cell->role, cell->value_ns);
    }
}

static int check_messages(const struct suite *suite)
{
    int result = 0;
    for (size_t i = 0; i < suite->case_count; i++) {
        for (size_t j = 0; j < suite->cases[i].cell_count; j++) {
            const struct cell *cell = &suite->cases[i].cells[j];
            uint64_t wrong = atomic_load_explicit(&cell->wrong, memory_order_relaxed);
            if (wrong == 0)
                continue;
            fprintf(stderr, "bench: spsc: %s: %s delivered %llu wrong messages\n", suite->cases[i].name,
                    cell->implementation->name, (unsigned long long)wrong);
            result = -EBADMSG;
        }
    }
    return result;
}

static size_t count_cells(const struct suite *suite)
{
    size_t cells = 0;
    for (size_t i = 0; i < suite->case_count; i++)
        cells += suite->cases[i].cell_count + (suite->cases[i].latency ? 1 : 0);
    return cells;
}

static int run_rounds(struct suite *suite, const struct bench_options *options, struct bench_report *report)
{
    struct bench_plan plan = bench_plan(options, 60, count_cells(suite), 0.002, 0.02);
    struct bench_team *team;
    int result = bench_team_open(&team, options, 2);
    if (result < 0)
        return result;
    /* The round before the first warms up, and finds out how much fits into a slice. */
    for (uint64_t round = 0; round <= plan.rounds; round++) {
        suite->turn = round;
        for (size_t i = 0; i < suite->case_count; i++)
            measure_case(suite, &suite->cases[i], team, round > 0 ? report : NULL, plan.slice_seconds);
        if (round > 0)
            bench_progress("spsc", round, plan.rounds);
    }
    bench_team_close(team);
    return check_messages(suite);
}

static int run_spsc(const struct bench_options *options, struct bench_report *report)
{
    /* Static: the report keeps the names of the cases. */
    static struct suite suite;
    memset(&suite, 0, sizeof(suite));
    int result = add_cases(&suite);
    if (result == 0)
        result = run_rounds(&suite, options, report);
    close_cases(&suite);
    return result;
}

const struct bench_suite bench_suite_spsc = {
    .name = "spsc",
    .summary = "one producer, one consumer: one-way latency and throughput, 8, 64 and 512 bytes",
    .run = run_spsc,
};
