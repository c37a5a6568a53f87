/*
 * server: echoes what its clients send, on reactors: those with input and output share the port, and the connections
 * with it; the first one, which this program's main thread runs, has the console.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include <kernel/error.h>
#include <kernel/placement.h>
#include <kernel/topology.h>
#include <kernel/version.h>

#include "options.h"
#include "server_console.h"
#include "server_io.h"
#include "top_console.h"

static const char help[] =
    "Usage: server [OPTION]...\n"
    "\n"
    "Echoes what clients send, and reads commands on standard input (:help lists them).\n"
    "\n"
    "      --listen ADDRESS       where to listen (127.0.0.1:8000); port 0: any free one\n"
    "      --max-connections N    connections at once (1024)\n"
    "      --idle-timeout TIME    close a connection that is silent for so long (60s; 0: never)\n"
    "      --backend NAME         how readiness is learnt: auto, epoll (auto)\n"
    "      --cores LIST           a reactor on each of these processors, all with input and output,\n"
    "                             the first with the console (chosen)\n"
    "      --placement FILE       which processor does what; see kernel-topology(1)\n"
    "      --offload              handle messages on threads of their own\n"
    "      --spin TIME            how long a reactor without work looks for some before it sleeps (0)\n"
    "      --log-level LEVEL      error, warning, info, debug or trace (info)\n"
    "      --no-console           do not read standard input\n"
    "      --plain                no line editing on a terminal\n"
    "      --control PATH         let the program `console` attach to this socket\n"
    "  -h, --help                 print this and exit\n"
    "  -V, --version              print the version and exit\n"
    "\n"
    "SIGINT, SIGTERM and :quit end it in order: what was received is answered first.\n"
    "Exit status: 0; 64 wrong usage; 65 a placement makes no sense; 66 it cannot be read; 69 address in use;\n"
    "71 system error; 77 not permitted.\n";

struct arguments {
    struct kn_server_options server;
    struct server_console_options console;
    int cores[OPTION_CORES_MAX];
    size_t core_count;
    const char *placement;
    bool offload;
    int64_t spin_ns;
    enum kn_log_level log_level;
};

/* All that runs. */
struct program {
    const struct arguments *arguments;
    struct kn_log log;
    struct kn_runtime *runtime;
    struct server_io *io;
    struct server_console *console;
    struct kn_reactor_io local; /* turns of reactor 0's server, as long as it serves */
};

/* Events that `:trace` shows, of each reactor; memory that is touched when it is switched on. */
enum { TRACE_EVENTS = 1 << 16 };

enum option_code {
    OPTION_LISTEN = 256,
    OPTION_MAX_CONNECTIONS,
    OPTION_IDLE_TIMEOUT,
    OPTION_BACKEND,
    OPTION_CORES,
    OPTION_PLACEMENT,
    OPTION_OFFLOAD,
    OPTION_SPIN,
    OPTION_LOG_LEVEL,
    OPTION_NO_CONSOLE,
    OPTION_PLAIN,
    OPTION_CONTROL,
};

static const struct option long_options[] = {
    {"listen", required_argument, NULL, OPTION_LISTEN},
    {"max-connections", required_argument, NULL, OPTION_MAX_CONNECTIONS},
    {"idle-timeout", required_argument, NULL, OPTION_IDLE_TIMEOUT},
    {"backend", required_argument, NULL, OPTION_BACKEND},
    {"cores", required_argument, NULL, OPTION_CORES},
    {"placement", required_argument, NULL, OPTION_PLACEMENT},
    {"offload", no_argument, NULL, OPTION_OFFLOAD},
    {"spin", required_argument, NULL, OPTION_SPIN},
    {"log-level", required_argument, NULL, OPTION_LOG_LEVEL},
    {"no-console", no_argument, NULL, OPTION_NO_CONSOLE},
    {"plain", no_argument, NULL, OPTION_PLAIN},
    {"control", required_argument, NULL, OPTION_CONTROL},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {0},
};

static int take_idle_timeout(struct arguments *arguments, const char *text)
{
    int64_t timeout_ns;
    int result = option_parse_duration_ns("--idle-timeout", text, &timeout_ns);
    if (result == 0)
        arguments->server.idle_timeout_ns = timeout_ns == 0 ? -1 : timeout_ns;
    return result;
}

static int take_max_connections(struct arguments *arguments, const char *text)
{
    uint64_t count;
    int result = option_parse_count("--max-connections", text, 1, 1000000, &count);
    if (result == 0)
        arguments->server.max_connections = (uint32_t)count;
    return result;
}

static int take_backend(struct arguments *arguments, const char *text)
{
    int result = kn_poll_backend_parse(text, &arguments->server.backend);
    if (result < 0)
        fprintf(stderr, "server: --backend: '%s' is none (try auto or epoll)\n", text);
    return result;
}

static int take_log_level(struct arguments *arguments, const char *text)
{
    int result = kn_log_level_parse(text, &arguments->log_level);
    if (result < 0)
        fprintf(stderr, "server: --log-level: '%s' is none (try error, warning, info, debug or trace)\n", text);
    return result;
}

static int take_option(struct arguments *arguments, int option)
{
    switch (option) {
    case OPTION_LISTEN:
        return option_parse_address("--listen", optarg, &arguments->server.address);
    case OPTION_MAX_CONNECTIONS:
        return take_max_connections(arguments, optarg);
    case OPTION_IDLE_TIMEOUT:
        return take_idle_timeout(arguments, optarg);
    case OPTION_BACKEND:
        return take_backend(arguments, optarg);
    case OPTION_CORES:
        return option_parse_cores("--cores", optarg, arguments->cores, &arguments->core_count);
    case OPTION_PLACEMENT:
        arguments->placement = optarg;
        return 0;
    case OPTION_OFFLOAD:
        arguments->offload = true;
        return 0;
    case OPTION_SPIN:
        return option_parse_duration_ns("--spin", optarg, &arguments->spin_ns);
    case OPTION_LOG_LEVEL:
        return take_log_level(arguments, optarg);
    case OPTION_NO_CONSOLE:
        arguments->console.standard_input = false;
        return 0;
    case OPTION_PLAIN:
        arguments->console.plain = true;
        return 0;
    case OPTION_CONTROL:
        arguments->console.control = optarg;
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
            puts("server (The Kernel) " KN_VERSION);
            return EX_OK;
        }
        if (take_option(arguments, option) < 0)
            return EX_USAGE;
    }
    if (optind < count)
        return option_usage_error("unexpected argument '%s'", words[optind]);
    if (arguments->core_count > 0 && arguments->placement)
        return option_usage_error("only one of --cores and --placement at a time");
    return -1;
}

/* ---- placement; what fails has been reported, and is answered with the exit code ---- */

/* Cores may stand twice: their reactors then share them. */
static int place_on_cores(struct kn_placement *placement, const struct kn_topology *topology,
                          const struct arguments *arguments)
{
    const uint32_t others = KN_ROLE_IO | KN_ROLE_TASK;
    for (size_t i = 0; i < arguments->core_count; i++)
        if (!kn_topology_find(topology, (uint32_t)arguments->cores[i]))
            return option_usage_error("--cores: %d is not there, or not open to this program", arguments->cores[i]);
    placement->cores = calloc(arguments->core_count, sizeof(placement->cores[0]));
    if (!placement->cores)
        return EX_OSERR;
    placement->count = arguments->core_count;
    for (size_t i = 0; i < arguments->core_count; i++) {
        placement->cores[i].unit = (uint32_t)arguments->cores[i];
        placement->cores[i].roles = i == 0 ? others | KN_ROLE_CONTROL | KN_ROLE_TIMER : others;
    }
    return EX_OK;
}

static int load_placement(struct kn_placement *placement, const struct kn_topology *topology, const char *path)
{
    struct kn_placement_error error = {.line = 0};
    int result = kn_placement_load(placement, topology, path, &error);
    if (result < 0 && error.line > 0) {
        fprintf(stderr, "%s:%zu: %s\n", path, error.line, error.message);
        return EX_DATAERR;
    }
    if (result < 0) {
        fprintf(stderr, "server: %s: %s\n", path, kn_error_text(result));
        return result == -ENOMEM ? EX_OSERR : EX_NOINPUT;
    }
    if (kn_placement_count(placement, KN_ROLE_IO) > 0)
        return EX_OK;
    fprintf(stderr, "server: %s names no core for io\n", path);
    return EX_DATAERR;
}

static int place(struct kn_placement *placement, const struct kn_topology *topology, const struct arguments *arguments)
{
    if (arguments->core_count > 0)
        return place_on_cores(placement, topology, arguments);
    if (arguments->placement)
        return load_placement(placement, topology, arguments->placement);
    return kn_placement_automatic(placement, topology, NULL) < 0 ? EX_OSERR : EX_OK;
}

static int open_runtime(struct program *program)
{
    struct kn_topology topology;
    struct kn_placement placement = {0};
    int result = kn_topology_open(&topology);
    if (result < 0) {
        fprintf(stderr, "server: cannot read the topology: %s\n", kn_error_text(result));
        return EX_OSERR;
    }
    int exit_code = place(&placement, &topology, program->arguments);
    if (exit_code == EX_OK) {
        struct kn_runtime_options options = {
            .placement = &placement,
            .spin_ns = program->arguments->spin_ns > 0 ? program->arguments->spin_ns : -1,
            .pool_tasks = SERVER_IO_TASKS,
            .pool_task_bytes = server_io_task_bytes,
            .trace_events = TRACE_EVENTS,
        };
        result = kn_runtime_open(&program->runtime, &options);
        if (result < 0) {
            fprintf(stderr, "server: cannot open the reactors: %s\n", kn_error_text(result));
            exit_code = option_exit_code(result);
        }
    }
    kn_placement_close(&placement);
    kn_topology_close(&topology);
    return exit_code;
}

/* ---- input and output ---- */

static int report_listen_error(const struct arguments *arguments, int error)
{
    char address[KN_ADDRESS_TEXT_BYTES];
    if (kn_address_format(&arguments->server.address, address, sizeof(address)) < 0)
        address[0] = '\0';
    uint16_t port = kn_address_port(&arguments->server.address);
    const char *hint = "";
    if (error == -EACCES && port > 0 && port < 1024)
        hint = " (ports below 1024 need CAP_NET_BIND_SERVICE)";
    fprintf(stderr, "server: cannot listen on %s: %s%s\n", address, kn_error_text(error), hint);
    return option_exit_code(error);
}

static void end_program(void *context)
{
    struct program *program = context;
    kn_runtime_stop(program->runtime);
}

static void serve_event(void *context, uint64_t number)
{
    struct program *program = context;
    server_console_event(program->console, number);
}

static int open_io(struct program *program)
{
    struct server_io_options options = {
        .server = program->arguments->server,
        .runtime = program->runtime,
        .offload = program->arguments->offload,
        .log = &program->log,
        .on_event = serve_event,
        .on_end = end_program,
        .context = program,
    };
    options.server.log = &program->log;
    int result = server_io_open(&program->io, &options);
    return result < 0 ? report_listen_error(program->arguments, result) : EX_OK;
}

static int report_console_error(const struct arguments *arguments, int error)
{
    fprintf(stderr, "server: cannot open the console%s%s: %s\n", arguments->console.control ? " or " : "",
            arguments->console.control ? arguments->console.control : "", kn_error_text(error));
    return option_exit_code(error);
}

static int open_console(struct program *program)
{
    struct server_console_options options = program->arguments->console;
    options.runtime = program->runtime;
    options.io = program->io;
    options.log = &program->log;
    int result = server_console_open(&program->console, &options);
    return result < 0 ? report_console_error(program->arguments, result) : EX_OK;
}

/* ---- reactor 0: the console, and a server's turns where it has that role ---- */

static int poll_control(void *context, int64_t timeout_ns)
{
    struct program *program = context;
    if (program->local.poll) {
        int result = program->local.poll(program->local.context, timeout_ns);
        if (result != -ESHUTDOWN)
            return result;
        program->local.poll = NULL; /* the console goes on until the others have drained, too */
        return 1;
    }
    return server_console_poll(program->console, timeout_ns);
}

static void wake_control(void *context)
{
    struct program *program = context;
    server_console_wake(program->console);
}

static void set_control(struct program *program)
{
    struct kn_reactor_io control = {.context = program, .poll = poll_control, .wake = wake_control};
    (void)server_io_local(program->io, &program->local);
    kn_reactor_set_io(kn_runtime_reactor(program->runtime, 0), &control);
}

static void pin_main_thread(struct program *program)
{
    int unit = kn_reactor_unit(kn_runtime_reactor(program->runtime, 0));
    int result = kn_topology_pin((uint32_t)unit);
    if (result < 0)
        kn_log_warning(&program->log, "cannot pin reactor 0 to core %d: %s", unit, kn_error_text(result));
}

static void log_reactors(struct program *program)
{
    for (size_t i = 0; i < kn_runtime_count(program->runtime); i++) {
        struct kn_reactor *reactor = kn_runtime_reactor(program->runtime, i);
        uint32_t roles = kn_reactor_roles(reactor);
        kn_log_debug(&program->log, "reactor %zu on core %d:%s%s%s%s", i, kn_reactor_unit(reactor),
                     roles & KN_ROLE_CONTROL ? " control" : "", roles & KN_ROLE_IO ? " io" : "",
                     roles & KN_ROLE_TIMER ? " timer" : "", roles & KN_ROLE_TASK ? " task" : "");
    }
}

static void announce(const struct program *program)
{
    struct kn_address address;
    char text[KN_ADDRESS_TEXT_BYTES];
    (void)kn_server_address(server_io_server(program->io, 0), &address);
    (void)kn_address_format(&address, text, sizeof(text));
    printf("IO Server started\nListening on %s\n", text);
    if (program->arguments->console.standard_input)
        puts("Console is listening...");
    puts("Server run loop starting...");
    fflush(stdout);
}

static int run(struct program *program)
{
    set_control(program);
    int result = kn_runtime_start(program->runtime, 1);
    if (result < 0)
        return result;
    pin_main_thread(program);
    log_reactors(program);
    top_console_start(program->runtime);
    announce(program);
    server_console_start(program->console);
    return kn_reactor_run(kn_runtime_reactor(program->runtime, 0));
}

/* From the reactors on down: none of them uses the console or a server any more. */
static int close_program(struct program *program)
{
    top_console_end();
    kn_runtime_close(program->runtime);
    server_console_close(program->console);
    return server_io_close(program->io);
}

static int serve(const struct arguments *arguments)
{
    struct program program = {.arguments = arguments};
    kn_log_init(&program.log, STDERR_FILENO, arguments->log_level);
    int exit_code = open_runtime(&program);
    if (exit_code == EX_OK)
        exit_code = open_io(&program);
    if (exit_code == EX_OK)
        exit_code = open_console(&program);
    int result = exit_code == EX_OK ? run(&program) : 0;
    int server_result = close_program(&program);
    if (exit_code != EX_OK)
        return exit_code;
    if (result == 0)
        result = server_result;
    if (result < 0)
        fprintf(stderr, "server: %s\n", kn_error_text(result));
    return option_exit_code(result);
}

int main(int count, char **words)
{
    struct arguments arguments = {.console = {.standard_input = true}, .log_level = KN_LOG_INFO};
    arguments.server.max_connections = 1024;
    if (kn_address_parse("127.0.0.1:8000", &arguments.server.address) < 0)
        return EX_SOFTWARE;
    int exit_code = parse_arguments(count, words, &arguments);
    if (exit_code >= 0)
        return exit_code;
    /* Blocked before the threads start, so that only the console's poll sees them. */
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    return serve(&arguments);
}
