/*
 * server: echoes what its clients send, and shows the data path at work: one core receives into a queue, another
 * handles what is in it, the first sends the answer; a console looks on.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include <kernel/error.h>
#include <kernel/topology.h>
#include <kernel/version.h>

#include "options.h"
#include "server_console.h"
#include "server_io.h"

static const char help[] =
    "Usage: server [OPTION]...\n"
    "\n"
    "Echoes what clients send, and reads commands on standard input (:help lists them).\n"
    "\n"
    "      --listen ADDRESS       where to listen (127.0.0.1:8000); port 0: any free one\n"
    "      --max-connections N    connections at once (1024)\n"
    "      --idle-timeout TIME    close a connection that is silent for so long (60s; 0: never)\n"
    "      --backend NAME         how readiness is learnt: auto, epoll (auto)\n"
    "      --cores LIST           processors of the IO, handler and console threads (chosen);\n"
    "                             with one, IO and handler share a thread\n"
    "      --log-level LEVEL      error, warning, info, debug or trace (info)\n"
    "      --no-console           do not read standard input\n"
    "      --plain                no line editing on a terminal\n"
    "      --control PATH         let the program `console` attach to this socket\n"
    "  -h, --help                 print this and exit\n"
    "  -V, --version              print the version and exit\n"
    "\n"
    "SIGINT, SIGTERM and :quit end it in order: what was received is answered first.\n"
    "Exit status: 0; 64 wrong usage; 69 address in use; 71 system error; 77 not permitted.\n";

struct arguments {
    struct kn_server_options server;
    struct server_console_options console;
    int cores[OPTION_CORES_MAX];
    size_t core_count;
    enum kn_log_level log_level;
    struct kn_log log;
};

enum { IO_CORE, HANDLER_CORE, CONSOLE_CORE };
enum option_code {
    OPTION_LISTEN = 256,
    OPTION_MAX_CONNECTIONS,
    OPTION_IDLE_TIMEOUT,
    OPTION_BACKEND,
    OPTION_CORES,
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
    return -1;
}

/* One core for each thread as far as they reach: IO and handler apart, the console with whatever is left. */
static void choose_cores(struct arguments *arguments)
{
    struct kn_topology topology;
    if (arguments->core_count > 0 || kn_topology_open(&topology) < 0)
        return;
    for (size_t i = 0; i < topology.core_count && i <= CONSOLE_CORE; i++)
        arguments->cores[arguments->core_count++] = (int)topology.units[i];
    kn_topology_close(&topology);
}

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

static int report_console_error(const struct arguments *arguments, int error)
{
    fprintf(stderr, "server: cannot open the console%s%s: %s\n", arguments->console.control ? " or " : "",
            arguments->console.control ? arguments->console.control : "", kn_error_text(error));
    return option_exit_code(error);
}

static void announce(struct server_io *io, const struct arguments *arguments)
{
    struct kn_address address;
    char text[KN_ADDRESS_TEXT_BYTES];
    (void)kn_server_address(server_io_server(io), &address);
    (void)kn_address_format(&address, text, sizeof(text));
    printf("IO Server started\nListening on %s\n", text);
    if (arguments->console.standard_input)
        puts("Console is listening...");
    puts("Server run loop starting...");
    fflush(stdout);
}

static int serve(struct arguments *arguments)
{
    kn_log_init(&arguments->log, STDERR_FILENO, arguments->log_level);
    arguments->server.log = &arguments->log;
    arguments->console.log = &arguments->log;
    struct server_console *console;
    int result = server_console_open(&console, &arguments->console);
    if (result < 0)
        return report_console_error(arguments, result);
    size_t cores = arguments->core_count;
    struct server_io_options options = {
        .server = arguments->server,
        .offload = cores > HANDLER_CORE,
        .io_core = cores > IO_CORE ? arguments->cores[IO_CORE] : -1,
        .handler_core = cores > HANDLER_CORE ? arguments->cores[HANDLER_CORE] : -1,
        .log = &arguments->log,
    };
    struct server_io *io;
    result = server_io_start(&io, &options, server_console_server_ended, console);
    if (result < 0) {
        server_console_close(console);
        return report_listen_error(arguments, result);
    }
    if (cores > CONSOLE_CORE)
        (void)kn_topology_pin((uint32_t)arguments->cores[CONSOLE_CORE]);
    announce(io, arguments);
    result = server_console_run(console, io);
    int server_result = server_io_finish(io);
    server_console_close(console);
    if (result == 0)
        result = server_result;
    if (result < 0)
        fprintf(stderr, "server: %s\n", kn_error_text(result));
    return option_exit_code(result);
}

int main(int count, char **words)
{
    struct arguments arguments = {.console = {.standard_input = true}, .log_level = KN_LOG_INFO};
    if (kn_address_parse("127.0.0.1:8000", &arguments.server.address) < 0)
        return EX_SOFTWARE;
    int exit_code = parse_arguments(count, words, &arguments);
    if (exit_code >= 0)
        return exit_code;
    choose_cores(&arguments);
    /* Blocked before the threads start, so that only the console's poll sees them. */
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    return serve(&arguments);
}
