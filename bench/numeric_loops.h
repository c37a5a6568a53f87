/*
 * The loops that suite_numeric.c compares the library with: as one writes them, and as the compiler makes them of that.
 * Built twice, with the program's own optimisation and with -O3, under names of their own.
 */
#ifndef BENCH_NUMERIC_LOOPS_H
#define BENCH_NUMERIC_LOOPS_H

#include <stddef.h>

struct numeric_loops {
    const char *name;
    double (*sum)(const double *data, size_t count);
    double (*dot)(const double *left, const double *right, size_t count);
    void (*scale)(double *data, size_t count, double factor);
};

extern const struct numeric_loops numeric_loops_plain;
extern const struct numeric_loops numeric_loops_o3;

#endif
