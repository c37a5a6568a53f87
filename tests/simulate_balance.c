/* Compares policies of balancing on machines that exist only in numbers, and prints a table of it. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include <kernel/version.h>

#include "balance_simulation.h"

static const char HELP[] =
    "Usage: simulate_balance [OPTION]...\n"
    "Runs simulated machines under several policies of balancing, and prints how well each did.\n"
    "\n"
    "      --cores N           cores of the machine, 1 to 1024 (64)\n"
    "      --workload NAME     skew, tail, long, poisson, burst, fork, priority, pinned, unequal, stall, renew, few\n"
    "                          or all (all)\n"
    "      --policy NAME       none, steal, shed, both, random, one, late, turn or all (all); the library does both\n"
    "      --tasks N           about how many tasks; without: what the workload likes\n"
    "      --seed N            of the first run (1)\n"
    "      --seeds N           runs, each with the next seed, whose means are printed (3)\n"
    "      --set NAME=N        a number of struct kn_balance_options other than the usual: turn_tasks, moved_max,\n"
    "                          look_near, look_random, look_tasks, asks_max or sheds_max; several times for several\n"
    "      --json              a line of JSON for each workload and policy\n"
    "      --help              this text\n"
    "      --version           the version\n"
    "\n"
    "Time is what the last task ended at, as a multiple of the least that any schedule takes; `idle` how much of the\n"
    "cores' time was lost while each could have had more than two turns of work; `wait` from being ready to starting;\n"
    "`moves` how often a task moved, on average and at most; `settled` when the last one moved; `inverted` for how\n"
    "long a task of class 0 waited while less urgent ones were begun elsewhere, on average and at most. Times are in\n"
    "microseconds. Exits with 1 if a task was lost or moved where it must not.\n";

struct program {
    struct simulation_options options;
    unsigned workload; /* WORKLOADS: all */
    unsigned policy;   /* POLICIES: all */
    uint64_t seeds;
    bool json;
};

static bool read_number(const char *text, uint64_t least, uint64_t most, uint64_t *number)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || value < least || value > most)
        return false;
    *number = value;
    return true;
}

/* The place of a name in a list; the list's length for "all". */
static bool read_name(const char *text, const char *const *names, unsigned count, unsigned *index)
{
    for (*index = 0; *index < count; (*index)++)
        if (strcmp(text, names[*index]) == 0)
            return true;
    return strcmp(text, "all") == 0;
}

static bool read_setting(const char *text, struct kn_balance_options *options)
{
    const struct {
        const char *name;
        uint32_t *value;
    } settings[] = {
        {"turn_tasks", &options->turn_tasks}, {"moved_max", &options->moved_max},
        {"look_near", &options->look_near},   {"look_random", &options->look_random},
        {"look_tasks", &options->look_tasks}, {"asks_max", &options->asks_max},
        {"sheds_max", &options->sheds_max},
    };
    const char *equals = strchr(text, '=');
    uint64_t number;
    if (!equals || !read_number(equals + 1, 1, 1000000, &number))
        return false;
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        if (strlen(settings[i].name) == (size_t)(equals - text) &&
            strncmp(settings[i].name, text, (size_t)(equals - text)) == 0) {
            *settings[i].value = (uint32_t)number;
            return true;
        }
    }
    return false;
}

/* One option's value; false when it is none. */
static bool read_option(struct program *program, int option, const char *value)
{
    uint64_t number = 0;
    switch (option) {
    case 'c':
        if (!read_number(value, 1, KN_BALANCE_CORES_MAX, &number))
            return false;
        program->options.cores = (uint32_t)number;
        return true;
    case 'w':
        return read_name(value, simulation_workload_names, WORKLOADS, &program->workload);
    case 'p':
        return read_name(value, simulation_policy_names, POLICIES, &program->policy);
    case 't':
        return read_number(value, 1, 10000000, &program->options.tasks);
    case 's':
        return read_number(value, 0, UINT32_MAX, &program->options.seed);
    case 'n':
        return read_number(value, 1, 1000, &program->seeds);
    case 'o':
        return read_setting(value, &program->options.balance);
    default:
        return false;
    }
}

/* Adds one run to a mean of `count`; what is a greatest stays one, and the hash is the last. */
static void add_run(struct simulation_result *sum, const struct simulation_result *run, double count)
{
    sum->trace_hash = run->trace_hash;
    sum->lost += run->lost;
    sum->broken += run->broken;
    sum->makespan_ns += run->makespan_ns / count;
    sum->ideal_ns += run->ideal_ns / count;
    sum->spread_ns += run->spread_ns / count;
    sum->settled_ns += run->settled_ns / count;
    sum->idle_share += run->idle_share / count;
    sum->wait_mean_ns += run->wait_mean_ns / count;
    sum->wait_p99_ns += run->wait_p99_ns / count;
    sum->moves_mean += run->moves_mean / count;
    sum->inverted_mean_ns += run->inverted_mean_ns / count;
    sum->inverted_max_ns = fmax(sum->inverted_max_ns, run->inverted_max_ns);
    sum->moves_max = sum->moves_max > run->moves_max ? sum->moves_max : run->moves_max;
    sum->tasks += run->tasks;
    sum->asks += run->asks;
    sum->steals += run->steals;
    sum->sheds += run->sheds;
    sum->wakes += run->wakes;
}

static void print_json(const struct program *program, const struct simulation_options *options,
                       const struct simulation_result *mean)
{
    printf("{\"cores\":%" PRIu32 ",\"workload\":\"%s\",\"policy\":\"%s\",\"seed\":%" PRIu64 ",\"seeds\":%" PRIu64 ",",
           options->cores, simulation_workload_names[options->workload], simulation_policy_names[options->policy],
           program->options.seed, program->seeds);
    printf("\"makespan_ns\":%.0f,\"ideal_ns\":%.0f,\"spread_ns\":%.0f,\"settled_ns\":%.0f,\"idle_share\":%.4f,",
           mean->makespan_ns, mean->ideal_ns, mean->spread_ns, mean->settled_ns, mean->idle_share);
    printf("\"wait_mean_ns\":%.0f,\"wait_p99_ns\":%.0f,\"moves_mean\":%.3f,\"moves_max\":%" PRIu32 ",",
           mean->wait_mean_ns, mean->wait_p99_ns, mean->moves_mean, mean->moves_max);
    printf("\"tasks\":%" PRIu64 ",\"asks\":%" PRIu64 ",\"steals\":%" PRIu64 ",\"sheds\":%" PRIu64 ",\"wakes\":%" PRIu64
           ",",
           mean->tasks, mean->asks, mean->steals, mean->sheds, mean->wakes);
    printf("\"inverted_mean_ns\":%.0f,\"inverted_max_ns\":%.0f,\"lost\":%" PRIu64 ",\"broken\":%" PRIu64
           ",\"trace_hash\":\"%016" PRIx64 "\"}\n",
           mean->inverted_mean_ns, mean->inverted_max_ns, mean->lost, mean->broken, mean->trace_hash);
}

static void print_head(void)
{
    printf("%-9s %-7s %7s %6s %9s %9s %11s %9s %8s %8s %7s %15s\n", "workload", "policy", "time", "idle", "wait",
           "wait 99%", "moves", "settled", "steals", "sheds", "wakes", "inverted");
}

static void print_row(const struct program *program, const struct simulation_options *options,
                      const struct simulation_result *mean)
{
    char moves[32];
    char inverted[32] = "-";
    (void)snprintf(moves, sizeof(moves), "%.2f/%" PRIu32, mean->moves_mean, mean->moves_max);
    if (options->workload == WORKLOAD_PRIORITY)
        (void)snprintf(inverted, sizeof(inverted), "%.0f/%.0f", mean->inverted_mean_ns / 1e3,
                       mean->inverted_max_ns / 1e3);
    printf("%-9s %-7s %7.3f %5.1f%% %9.1f %9.1f %11s %9.0f %8" PRIu64 " %8" PRIu64 " %7" PRIu64 " %15s\n",
           simulation_workload_names[options->workload], simulation_policy_names[options->policy],
           mean->makespan_ns / mean->ideal_ns, 100 * mean->idle_share, mean->wait_mean_ns / 1e3,
           mean->wait_p99_ns / 1e3, moves, mean->settled_ns / 1e3, mean->steals / program->seeds,
           mean->sheds / program->seeds, mean->wakes / program->seeds, inverted);
}

/* Runs one workload under one policy. 0, or -errno. */
static int run_cell(const struct program *program, unsigned workload, unsigned policy, bool *right)
{
    struct simulation_options options = program->options;
    struct simulation_result mean = {0};
    options.workload = (enum simulation_workload)workload;
    options.policy = (enum simulation_policy)policy;
    for (uint64_t i = 0; i < program->seeds; i++, options.seed++) {
        struct simulation_result run;
        int error = simulation_run(&options, &run);
        if (error < 0)
            return error;
        add_run(&mean, &run, (double)program->seeds);
    }
    if (program->json)
        print_json(program, &options, &mean);
    else
        print_row(program, &options, &mean);
    (void)fflush(stdout);
    if (mean.lost + mean.broken > 0)
        *right = false;
    return 0;
}

/* Reads the arguments. EX_OK to go on, else what to exit with; `*done` where the answer was all that was wanted. */
static int read_arguments(struct program *program, int argc, char **argv, bool *done)
{
    static const struct option options[] = {{"cores", required_argument, NULL, 'c'},
                                            {"workload", required_argument, NULL, 'w'},
                                            {"policy", required_argument, NULL, 'p'},
                                            {"tasks", required_argument, NULL, 't'},
                                            {"seed", required_argument, NULL, 's'},
                                            {"seeds", required_argument, NULL, 'n'},
                                            {"set", required_argument, NULL, 'o'},
                                            {"json", no_argument, NULL, 'j'},
                                            {"help", no_argument, NULL, 'h'},
                                            {"version", no_argument, NULL, 'V'},
                                            {NULL, 0, NULL, 0}};
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'h' || option == 'V') {
            fputs(option == 'h' ? HELP : "simulate_balance " KN_VERSION "\n", stdout);
            *done = true;
            return EX_OK;
        }
        if (option == 'j') {
            program->json = true;
        } else if (option == '?' || !read_option(program, option, optarg)) {
            fprintf(stderr, "simulate_balance: %s; see --help\n", option == '?' ? "that is no option" : optarg);
            return EX_USAGE;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "simulate_balance: %s: no arguments, please; see --help\n", argv[optind]);
        return EX_USAGE;
    }
    return EX_OK;
}

int main(int argc, char **argv)
{
    struct program program = {
        .options = {.cores = 64, .seed = 1}, .workload = WORKLOADS, .policy = POLICIES, .seeds = 3};
    bool done = false;
    int status = read_arguments(&program, argc, argv, &done);
    if (status != EX_OK || done)
        return status;
    bool right = true;
    if (!program.json)
        print_head();
    for (unsigned workload = 0; workload < WORKLOADS; workload++) {
        if (program.workload != WORKLOADS && program.workload != workload)
            continue;
        for (unsigned policy = 0; policy < POLICIES; policy++) {
            if (program.policy != POLICIES && program.policy != policy)
                continue;
            int error = run_cell(&program, workload, policy, &right);
            if (error < 0) {
                fprintf(stderr, "simulate_balance: %s\n", strerror(-error));
                return error == -EINVAL ? EX_USAGE : EX_OSERR;
            }
        }
    }
    return right ? EX_OK : 1;
}
