/*
 * What a load run prints: a line of progress, the report for people, and the same as one JSON object.
 *
 * Use it after load_run. Nothing here measures; times are printed in the unit that reads best, in JSON always in
 * nanoseconds.
 */
#ifndef APPS_LOAD_REPORT_H
#define APPS_LOAD_REPORT_H

#include <stdio.h>

#include "load.h"

/* A load_progress_function that prints one line to the FILE that is its context. */
void load_report_progress(void *context, const struct load_progress *progress);

/* Throughput, failures if there were any, percentiles, and the histogram in bars. */
void load_report_text(FILE *file, const struct load_options *options, const struct load_result *result);

/* One JSON object on one line. */
void load_report_json(FILE *file, const struct load_options *options, const struct load_result *result);

#endif
