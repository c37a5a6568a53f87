/*
 * What the suites of the benchmark program share: options, the report, statistics and pinned threads.
 *
 * A suite measures in rounds. Each round runs every implementation of a case once, for a short slice, and hands the
 * report one value per implementation and metric. The report then forms medians over the rounds, and ratios within
 * each round before taking their median: on a virtual machine whose processors move between physical cores, the
 * distance of two of them changes severalfold within a minute, and only neighbours in time can be compared.
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Whose value it is: a library of others (the best of them is what we are compared with), or a plain reference. */
enum bench_role { BENCH_OURS, BENCH_PEER, BENCH_REFERENCE };

/* Most processors that --cores can name. */
#define BENCH_CORES_MAX 16

struct bench_options {
    double seconds;             /* about how long each suite measures; 0: its own default */
    uint64_t rounds;            /* 0: as many as fit */
    uint64_t threads;           /* most threads of one case; 0: as many as its suite has */
    int cores[BENCH_CORES_MAX]; /* where threads run, in turn; two at least, and the suites of two sides use the first
                                 */
    size_t core_count;
    bool json;
};

struct bench_metric {
    const char *name;
    const char *unit;
    bool higher_is_better;
};

struct bench_report;

struct bench_suite {
    const char *name;
    const char *summary;
    /* 0 or -errno; what failed is told on standard error. */
    int (*run)(const struct bench_options *options, struct bench_report *report);
};

extern const struct bench_suite bench_suite_cacheline;
extern const struct bench_suite bench_suite_spsc;
extern const struct bench_suite bench_suite_mpsc;
extern const struct bench_suite bench_suite_spmc;
extern const struct bench_suite bench_suite_mpmc;
extern const struct bench_suite bench_suite_broadcast;
extern const struct bench_suite bench_suite_pipeline;
extern const struct bench_suite bench_suite_ipc;
extern const struct bench_suite bench_suite_timer;
extern const struct bench_suite bench_suite_task;
extern const struct bench_suite bench_suite_future;
extern const struct bench_suite bench_suite_numeric;
extern const struct bench_suite bench_suite_echo;

/* --- report.c ---------------------------------------------------------------------------------------------- */

/* Prints what was measured on: a line of JSON, or a few of text. */
void bench_print_machine(FILE *file, bool json);

struct bench_report *bench_report_open(const char *suite);
void bench_report_close(struct bench_report *report);

/*
 * Adds the value of one round. The n-th value of every series of a case belongs to the n-th round: where a round has
 * none, add NAN. The strings must outlive the report.
 */
void bench_report_add(struct bench_report *report, const char *case_name, const char *implementation,
                      enum bench_role role, const struct bench_metric *metric, double value);

void bench_report_print(const struct bench_report *report, FILE *file, bool json);

/* Says on standard error how far a suite is; on a terminal one line, rewritten. */
void bench_progress(const char *suite, uint64_t round, uint64_t rounds);

/* --- metrics.c --------------------------------------------------------------------------------------------- */

/* What a suite of queues measured in one round, with the raw transfers of the same round; NAN where there is none. */
void bench_report_one_way(struct bench_report *report, const char *case_name, const char *implementation,
                          enum bench_role role, double value_ns, double line_ns, double pair_ns);

/* The yardsticks themselves, as rows of the case. */
void bench_report_lines(struct bench_report *report, const char *case_name, double line_ns, double pair_ns);

/* Messages a second, and the time of one. */
void bench_report_throughput(struct bench_report *report, const char *case_name, const char *implementation,
                             enum bench_role role, double value_ns);

/* --- statistics.c ------------------------------------------------------------------------------------------ */

struct bench_summary {
    double low;    /* first quartile */
    double median; /* NAN without any value */
    double high;   /* third quartile */
    size_t count;  /* values that are not NAN */
};

/* Summarises `count` values, skipping those that are NAN. Quartiles are interpolated linearly. */
struct bench_summary bench_summarise(const double *values, size_t count);

/* The median of numerator[i] / denominator[i]; NAN when no round has both. */
double bench_median_ratio(const double *numerator, const double *denominator, size_t count);

struct bench_plan {
    uint64_t rounds;
    double slice_seconds;
};

/*
 * Divides the time among `cells` (implementations times cases) that each round runs once: slices of slice_max at
 * best, shorter ones, but never below slice_min, when fewer than five rounds would fit.
 */
struct bench_plan bench_plan(const struct bench_options *options, double default_seconds, size_t cells,
                             double slice_min, double slice_max);

/* How many items to do next so that they take slice_seconds, when `items` took elapsed_ns. A multiple of 64. */
uint64_t bench_next_count(uint64_t items, double elapsed_ns, double slice_seconds);

/* --- team.c ------------------------------------------------------------------------------------------------ */

/* Threads pinned to the cores in turn. The caller is member 0; the others sleep between two runs. */
struct bench_team;

/* What a member does in a run. */
typedef void bench_job(void *context, size_t member);

/* Pins the caller and starts the others. 0, or -errno, told on standard error. */
int bench_team_open(struct bench_team **team, const struct bench_options *options, size_t members);

/*
 * The same of processes: the others are children, made of the caller as it is now. A job's context and all that it
 * leads to must be there before, and be shared or not change any more.
 */
int bench_team_open_processes(struct bench_team **team, const struct bench_options *options, size_t members);

/* Ends the others and gives the caller its old affinity back. NULL is harmless. */
void bench_team_close(struct bench_team *team);

/* Runs job(context, member) on the first `members` at once. Answers the time until the last was done, in ns. */
double bench_team_run(struct bench_team *team, size_t members, bench_job *job, void *context);

/* The same for two, each with a function of its own: here(context) is the caller's. */
double bench_team_run_pair(struct bench_team *team, void (*here)(void *context), void (*there)(void *context),
                           void *context);

/* --- cores.c ----------------------------------------------------------------------------------------------- */

/* Fills in the cores this process may run on, one hardware thread of each where that leaves two. 0, or -ENODEV. */
int bench_pick_cores(struct bench_options *options);

/* Binds the calling thread to one core: 0, or -errno. */
int bench_pin(int core);

/* Whether the calling thread may run on the cores: 0, or -errno, told on standard error. Its affinity stays. */
int bench_check_cores(const struct bench_options *options);

/* The monotonic clock. */
double bench_now_ns(void);

/* Memory aligned to 128 bytes, zeroed, every page touched; ends the program when there is none. free() it. */
void *bench_allocate(size_t length_bytes);

/* Zeroed memory that children share, made of whole pages; ends the program when there is none. */
void *bench_allocate_shared(size_t length_bytes);
void bench_free_shared(void *memory, size_t length_bytes);

#ifdef __cplusplus
}
#endif

#endif
