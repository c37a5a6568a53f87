/*
 * kernel-topology: shows which cores this program may use, how near they are to each other, and what each would do;
 * checks a placement file, or writes one to start from.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include <kernel/error.h>
#include <kernel/version.h>

#include "options.h"
#include "topology_view.h"

static const char help[] =
    "Usage: kernel-topology [OPTION]...\n"
    "\n"
    "Shows the cores that a program may use here, their caches and distances, and what each would do.\n"
    "\n"
    "      --json                   the same, for programs\n"
    "      --svg FILE               a picture of it (-: on standard output)\n"
    "      --placement-only         the placement only, as a file for --placement\n"
    "\n"
    "      --placement FILE         check this placement and show it (chosen by itself)\n"
    "      --max-cores N            use so many cores at most (as many as are useful)\n"
    "      --io-cores N             cores for input and output (a quarter)\n"
    "      --whole-cores            leave second hardware threads idle\n"
    "\n"
    "      --synthetic DESCRIPTION  another machine, as in \"package:2 l3:2 core:4 pu:2\"\n"
    "      --input FILE             another machine, as `lstopo FILE.xml` saved it\n"
    "  -h, --help                   print this and exit\n"
    "  -V, --version                print the version and exit\n"
    "\n"
    "Exit status: 0; 64 wrong usage; 65 a file makes no sense; 66 a file cannot be read; 69 built without hwloc;\n"
    "71 system error; 73 cannot write the file; 74 output lost.\n";

enum output { OUTPUT_TEXT, OUTPUT_JSON, OUTPUT_SVG, OUTPUT_PLACEMENT };

struct arguments {
    enum output output;
    const char *svg;
    const char *placement;
    struct kn_placement_options wishes;
    const char *synthetic;
    const char *input;
};

enum { CORES_MAX = 4096 };
enum option_code {
    OPTION_JSON = 256,
    OPTION_SVG,
    OPTION_PLACEMENT_ONLY,
    OPTION_PLACEMENT,
    OPTION_MAX_CORES,
    OPTION_IO_CORES,
    OPTION_WHOLE_CORES,
    OPTION_SYNTHETIC,
    OPTION_INPUT,
};

static const struct option long_options[] = {
    {"json", no_argument, NULL, OPTION_JSON},
    {"svg", required_argument, NULL, OPTION_SVG},
    {"placement-only", no_argument, NULL, OPTION_PLACEMENT_ONLY},
    {"placement", required_argument, NULL, OPTION_PLACEMENT},
    {"max-cores", required_argument, NULL, OPTION_MAX_CORES},
    {"io-cores", required_argument, NULL, OPTION_IO_CORES},
    {"whole-cores", no_argument, NULL, OPTION_WHOLE_CORES},
    {"synthetic", required_argument, NULL, OPTION_SYNTHETIC},
    {"input", required_argument, NULL, OPTION_INPUT},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {0},
};

static int take_count(const char *name, size_t *count)
{
    uint64_t value;
    int result = option_parse_count(name, optarg, 1, CORES_MAX, &value);
    if (result == 0)
        *count = (size_t)value;
    return result;
}

static int take_output(struct arguments *arguments, enum output output)
{
    if (arguments->output != OUTPUT_TEXT && arguments->output != output) {
        (void)option_usage_error("only one of --json, --svg and --placement-only at a time");
        return -EINVAL;
    }
    arguments->output = output;
    return 0;
}

static int take_option(struct arguments *arguments, int option)
{
    switch (option) {
    case OPTION_JSON:
        return take_output(arguments, OUTPUT_JSON);
    case OPTION_SVG:
        arguments->svg = optarg;
        return take_output(arguments, OUTPUT_SVG);
    case OPTION_PLACEMENT_ONLY:
        return take_output(arguments, OUTPUT_PLACEMENT);
    case OPTION_PLACEMENT:
        arguments->placement = optarg;
        return 0;
    case OPTION_MAX_CORES:
        return take_count("--max-cores", &arguments->wishes.cores_max);
    case OPTION_IO_CORES:
        return take_count("--io-cores", &arguments->wishes.io_cores);
    case OPTION_WHOLE_CORES:
        arguments->wishes.whole_cores = true;
        return 0;
    case OPTION_SYNTHETIC:
        arguments->synthetic = optarg;
        return 0;
    case OPTION_INPUT:
        arguments->input = optarg;
        return 0;
    default:
        return -EINVAL; /* getopt has said why */
    }
}

/* Returns -1 to go on, or the exit code. */
static int parse_arguments(int count, char **words, struct arguments *arguments)
{
    int option;
    while ((option = getopt_long(count, words, "hV", long_options, NULL)) != -1) {
        if (option == 'h') {
            fputs(help, stdout);
            return EX_OK;
        }
        if (option == 'V') {
            puts("kernel-topology (The Kernel) " KN_VERSION);
            return EX_OK;
        }
        if (take_option(arguments, option) < 0)
            return EX_USAGE;
    }
    if (optind < count)
        return option_usage_error("unexpected argument '%s'", words[optind]);
    if (arguments->synthetic && arguments->input)
        return option_usage_error("only one of --synthetic and --input at a time");
    const struct kn_placement_options *wishes = &arguments->wishes;
    if (arguments->placement && (wishes->cores_max > 0 || wishes->io_cores > 0 || wishes->whole_cores))
        return option_usage_error("--placement leaves nothing to --max-cores, --io-cores and --whole-cores");
    return -1;
}

static int report(const char *subject, const char *reason, int exit_code)
{
    fprintf(stderr, "kernel-topology: %s: %s\n", subject, reason);
    return exit_code;
}

static int report_synthetic_error(const char *description, int error)
{
    if (error == -ENOMEM)
        return report("--synthetic", kn_error_text(error), EX_OSERR);
    fprintf(stderr, "kernel-topology: --synthetic: '%s' is no machine %s\n", description,
            error == -ERANGE ? "that is supported: more than 4096 units"
                             : "(try \"package:2 l3:2 core:4 pu:2\"; the last is always pu)");
    return EX_USAGE;
}

/* Returns 0 or the exit code, after it said why. */
static int open_machine(struct kn_topology *topology, const struct arguments *arguments)
{
    int result;
    if (arguments->synthetic)
        result = kn_topology_open_synthetic(topology, arguments->synthetic);
    else if (arguments->input)
        result = kn_topology_open_file(topology, arguments->input);
    else
        result = kn_topology_open(topology);
    if (result == 0)
        return EX_OK;
    if (result == -ENOTSUP)
        return report("other machines", "built without hwloc", EX_UNAVAILABLE);
    if (arguments->synthetic)
        return report_synthetic_error(arguments->synthetic, result);
    if (!arguments->input)
        return report("cannot read the topology", kn_error_text(result), EX_OSERR);
    if (result == -EINVAL || result == -ERANGE)
        return report(arguments->input, "not a machine as lstopo saves it in XML", EX_DATAERR);
    return report(arguments->input, kn_error_text(result), result == -ENOMEM ? EX_OSERR : EX_NOINPUT);
}

/* Returns 0 or the exit code, after it said why. */
static int open_placement(struct kn_placement *placement, const struct kn_topology *topology,
                          const struct arguments *arguments)
{
    struct kn_placement_error error;
    int result;
    if (!arguments->placement) {
        result = kn_placement_automatic(placement, topology, &arguments->wishes);
        return result == 0 ? EX_OK : report("cannot share out the machine", kn_error_text(result), EX_OSERR);
    }
    error.line = 0;
    result = kn_placement_load(placement, topology, arguments->placement, &error);
    if (result == 0)
        return EX_OK;
    if (result == -ENOMEM)
        return report(arguments->placement, kn_error_text(result), EX_OSERR);
    if (error.line == 0)
        return report(arguments->placement, kn_error_text(result), EX_NOINPUT);
    fprintf(stderr, "%s:%zu: %s\n", arguments->placement, error.line, error.message);
    return EX_DATAERR;
}

static int print_view(struct topology_view *view, enum output output, FILE *file)
{
    if (output == OUTPUT_PLACEMENT) {
        fprintf(file, "# Which core does what: a placement for kernel-topology --placement.\n");
        topology_print_placement(view->placement, "", file);
        return 0;
    }
    int result = topology_view_open(view);
    if (result < 0)
        return result;
    if (output == OUTPUT_TEXT)
        topology_print_text(view, file);
    else if (output == OUTPUT_JSON)
        topology_print_json(view, file);
    else
        result = topology_print_svg(view, file);
    topology_view_close(view);
    return result;
}

/* Returns the exit code. */
static int print_to_file(struct topology_view *view, const struct arguments *arguments)
{
    bool is_file = arguments->svg && strcmp(arguments->svg, "-") != 0;
    FILE *file = is_file ? fopen(arguments->svg, "we") : stdout;
    if (!file)
        return report(arguments->svg, kn_error_text(errno), EX_CANTCREAT);
    int result = print_view(view, arguments->output, file);
    bool is_lost = fflush(file) != 0 || ferror(file);
    int error = errno;
    if (is_file && fclose(file) != 0 && !is_lost) {
        is_lost = true;
        error = errno;
    }
    if (result < 0)
        return report("cannot show the machine", kn_error_text(result), EX_OSERR);
    if (is_lost)
        return report(is_file ? arguments->svg : "standard output", kn_error_text(error), EX_IOERR);
    return EX_OK;
}

int main(int count, char **words)
{
    struct arguments arguments = {0};
    int exit_code = parse_arguments(count, words, &arguments);
    if (exit_code >= 0)
        return exit_code;
    struct kn_topology topology = {0};
    struct kn_placement placement = {0};
    exit_code = open_machine(&topology, &arguments);
    if (exit_code == EX_OK)
        exit_code = open_placement(&placement, &topology, &arguments);
    if (exit_code == EX_OK) {
        struct topology_view view = {.topology = &topology, .placement = &placement, .title = "This machine"};
        if (arguments.synthetic || arguments.input)
            view.title = arguments.synthetic ? arguments.synthetic : arguments.input;
        view.placement_source = arguments.placement ? arguments.placement : "automatic";
        exit_code = print_to_file(&view, &arguments);
    }
    kn_placement_close(&placement);
    kn_topology_close(&topology);
    return exit_code;
}
