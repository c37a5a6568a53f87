/*
 * What the suites of the benchmark program share: options, the report, statistics and two pinned threads.
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

/* Whose value it is: a library of others (the best of them is what we are compared with), or a plain reference. */
enum bench_role { BENCH_OURS, BENCH_PEER, BENCH_REFERENCE };

struct bench_options {
    double seconds;  /* about how long each suite measures; 0: its own default */
    uint64_t rounds; /* 0: as many as fit */
    int cores[2];    /* where the two sides run */
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

/* --- pair.c ------------------------------------------------------------------------------------------------ */

/* Two threads on two cores: the caller's, and one that waits, spinning, for something to run beside it. */
struct bench_pair;

/* Pins the caller to cores[0] and starts the other thread on cores[1]. 0, or -errno, told on standard error. */
int bench_pair_open(struct bench_pair **pair, const int cores[2]);

/* Ends the other thread and gives the caller its old affinity back. NULL is harmless. */
void bench_pair_close(struct bench_pair *pair);

/* Runs there(context) on the other core and here(context) on the caller's; both done, answers the time in ns. */
double bench_pair_run(struct bench_pair *pair, void (*here)(void *context), void (*there)(void *context),
                      void *context);

/* Two cores this process may run on that are, where the machine has such, no siblings of one. 0, or -ENODEV. */
int bench_pick_cores(int cores[2]);

/* Binds the calling thread to one core: 0, or -errno. */
int bench_pin(int core);

/* Whether the calling thread may run on both cores: 0, or -errno, told on standard error. Its affinity stays. */
int bench_check_cores(const int cores[2]);

/* The monotonic clock. */
double bench_now_ns(void);

/* Memory aligned to 128 bytes, zeroed, every page touched; ends the program when there is none. free() it. */
void *bench_allocate(size_t length_bytes);

#endif
