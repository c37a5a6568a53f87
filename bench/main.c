#include "bench.h"

#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include <kernel/version.h>

#include "options.h"

static const struct bench_suite *const suites[] = {
    &bench_suite_cacheline, &bench_suite_spsc,     &bench_suite_mpsc, &bench_suite_spmc,  &bench_suite_mpmc,
    &bench_suite_broadcast, &bench_suite_pipeline, &bench_suite_ipc,  &bench_suite_timer, &bench_suite_task,
    &bench_suite_future,    &bench_suite_numeric,  &bench_suite_echo,
};

#define SUITES (sizeof(suites) / sizeof(suites[0]))

enum option_code {
    OPTION_JSON = 256,
    OPTION_SECONDS,
    OPTION_ROUNDS,
    OPTION_CORES,
    OPTION_THREADS,
    OPTION_LIST,
    OPTION_HELP,
    OPTION_VERSION
};

static const struct option long_options[] = {
    {"json", no_argument, NULL, OPTION_JSON},
    {"seconds", required_argument, NULL, OPTION_SECONDS},
    {"rounds", required_argument, NULL, OPTION_ROUNDS},
    {"cores", required_argument, NULL, OPTION_CORES},
    {"threads", required_argument, NULL, OPTION_THREADS},
    {"list", no_argument, NULL, OPTION_LIST},
    {"help", no_argument, NULL, OPTION_HELP},
    {"version", no_argument, NULL, OPTION_VERSION},
    {NULL, 0, NULL, 0},
};

static void print_suites(FILE *file)
{
    for (size_t i = 0; i < SUITES; i++)
        fprintf(file, "  %-12s %s\n", suites[i]->name, suites[i]->summary);
}

static void print_help(void)
{
    printf("Usage: bench SUITE... [OPTION...]\n"
           "Measures the library, and the libraries it is compared with where they were built in.\n\n"
           "Suites:\n");
    print_suites(stdout);
    printf("  %-12s every suite\n", "all");
    printf(
        "\nOptions:\n"
        "  --json          one JSON object a line instead of a table\n"
        "  --seconds N     about how long each suite measures; 0.5 is a number as well\n"
        "  --rounds N      how many rounds; the default is as many as fit\n"
        "  --cores A,B     the processors to run on, two or more; the default is one thread of each core. Threads are\n"
        "                  spread over all of them, the suites of two sides use the first two\n"
        "  --threads N     leaves out the cases of more than N threads\n"
        "  --list          the names of the suites\n"
        "  --help          this text\n"
        "  --version       the version\n\n"
        "Every round runs each implementation once; values are medians over the rounds, ratios are formed within\n"
        "each round. Progress goes to standard error.\n");
}

static int parse_seconds(const char *text, double *seconds)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(value) || value <= 0) {
        fprintf(stderr, "bench: --seconds: \"%s\" is no positive number such as 10 or 0.5\n", text);
        return -1;
    }
    *seconds = value;
    return 0;
}

static int parse_cores(const char *text, struct bench_options *options)
{
    _Static_assert(BENCH_CORES_MAX >= OPTION_CORES_MAX, "a list of cores must fit");
    int result = option_parse_cores("--cores", text, options->cores, &options->core_count);
    if (result < 0)
        return result;
    bool different = options->core_count >= 2;
    for (size_t i = 0; i < options->core_count; i++) {
        for (size_t j = 0; j < i; j++)
            different = different && options->cores[i] != options->cores[j];
    }
    if (!different) {
        fprintf(stderr, "bench: --cores: \"%s\" does not name different processors, such as 0,1\n", text);
        return -1;
    }
    return 0;
}

/* EX_OK to go on; a negative value when all is done; otherwise the exit code. */
static int parse_option(int code, struct bench_options *options)
{
    int result = 0;
    switch (code) {
    case OPTION_JSON:
        options->json = true;
        break;
    case OPTION_SECONDS:
        result = parse_seconds(optarg, &options->seconds);
        break;
    case OPTION_ROUNDS:
        result = option_parse_count("--rounds", optarg, 1, 1000000, &options->rounds);
        break;
    case OPTION_CORES:
        result = parse_cores(optarg, options);
        break;
    case OPTION_THREADS:
        result = option_parse_count("--threads", optarg, 2, 1000, &options->threads);
        break;
    case OPTION_LIST:
        for (size_t i = 0; i < SUITES; i++)
            puts(suites[i]->name);
        return -1;
    case OPTION_HELP:
        print_help();
        return -1;
    case OPTION_VERSION:
        puts("bench " KN_VERSION);
        return -1;
    default:
        return option_usage_error("see above");
    }
    return result < 0 ? EX_USAGE : EX_OK;
}

static int select_suites(char *const *names, int count, bool chosen[SUITES])
{
    for (int i = 0; i < count; i++) {
        bool known = strcmp(names[i], "all") == 0;
        for (size_t j = 0; j < SUITES; j++) {
            if (strcmp(names[i], "all") != 0 && strcmp(names[i], suites[j]->name) != 0)
                continue;
            chosen[j] = true;
            known = true;
        }
        if (!known)
            return option_usage_error("there is no suite \"%s\"", names[i]);
    }
    return count > 0 ? EX_OK : option_usage_error("no suite is named");
}

static int run_suite(const struct bench_suite *suite, const struct bench_options *options)
{
    struct bench_report *report = bench_report_open(suite->name);
    int result = suite->run(options, report);
    if (result == 0)
        bench_report_print(report, stdout, options->json);
    bench_report_close(report);
    return result;
}

int main(int argument_count, char **arguments)
{
    struct bench_options options = {.core_count = 0};
    bool chosen[SUITES] = {false};
    int code;
    while ((code = getopt_long(argument_count, arguments, "", long_options, NULL)) != -1) {
        int result = parse_option(code, &options);
        if (result != EX_OK)
            return result < 0 ? EX_OK : result;
    }
    int result = select_suites(arguments + optind, argument_count - optind, chosen);
    if (result != EX_OK)
        return result;
    if (options.core_count == 0 && bench_pick_cores(&options) < 0) {
        fprintf(stderr, "bench: needs two processors\n");
        return EX_UNAVAILABLE;
    }
    if (bench_check_cores(&options) < 0)
        return EX_USAGE;
    bench_print_machine(stdout, options.json);
    for (size_t i = 0; i < SUITES; i++) {
        if (chosen[i] && run_suite(suites[i], &options) < 0)
            return EX_SOFTWARE;
    }
    return EX_OK;
}
