/*
 * client: sends lines to a server and prints what comes back; with --load, measures the server instead.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include <kernel/tcp.h>
#include <kernel/version.h>

#include "load.h"
#include "load_report.h"
#include "options.h"

#define DEFAULT_ADDRESS "127.0.0.1:8000"
#define BUFFER_BYTES (64 * 1024)

static const char help[] = "Usage: client [ADDRESS]\n"
                           "       client --load [OPTION]... [ADDRESS]\n"
                           "\n"
                           "Sends each line of standard input to the server and prints what it answers. At the\n"
                           "end of input, waits for the remaining answers. ADDRESS is 127.0.0.1:8000 unless\n"
                           "given: HOST:PORT with a numeric host, [::1]:PORT, or unix:/path.\n"
                           "\n"
                           "      --load             measure a server that echoes: throughput and latency\n"
                           "      --connections N    connections at once (1)\n"
                           "      --pipeline N       requests in flight on each connection (1)\n"
                           "      --size BYTES       of each request, at least 8 (64)\n"
                           "      --rate N           requests a second over all connections, due at fixed times;\n"
                           "                         latency counts from then (as fast as answers come)\n"
                           "      --duration TIME    how long to measure (10s)\n"
                           "      --warmup TIME      load before that, not measured (1s)\n"
                           "      --spin             never sleep: less noise, takes a whole processor\n"
                           "      --cpu N            run on this processor only\n"
                           "      --verify           compare every byte of the answers\n"
                           "      --json             print the result as one JSON object\n"
                           "      --progress         report each second even if standard error is no terminal\n"
                           "  -h, --help             print this and exit\n"
                           "  -V, --version          print the version and exit\n"
                           "\n"
                           "Exit status: 0; 64 wrong usage; 68 no route to the server; 69 no server there, or it\n"
                           "answered nothing; 71 system error; 74 connection lost, or wrong answers; 75 stopped\n"
                           "before anything was measured.\n";

struct arguments {
    struct load_options load;
    char address_text[KN_ADDRESS_TEXT_BYTES];
    bool is_load;
    bool json;
    bool progress;
    const char *load_only; /* an option given that makes sense with --load only */
};

/* ---- lines ---- */

/* A conversation: what was read from standard input and is not yet sent lies in buffer[begin..end). */
struct session {
    struct kn_tcp_stream stream;
    const char *address_text;
    char buffer[BUFFER_BYTES + 1]; /* and the newline of a last line without one */
    size_t begin;
    size_t end;
    char last_byte;
    bool input_ended;
    bool half_closed;
    bool finished;
};

static int report(const char *what, int error)
{
    fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(-error));
    return option_exit_code(error);
}

/* Writes everything, waiting if standard output does not take it at once: the server is not read meanwhile. */
static int write_all(const char *bytes, size_t length_bytes)
{
    while (length_bytes > 0) {
        ssize_t written = write(STDOUT_FILENO, bytes, length_bytes);
        if (written >= 0) {
            bytes += written;
            length_bytes -= (size_t)written;
        } else if (errno == EAGAIN) {
            poll(&(struct pollfd){.fd = STDOUT_FILENO, .events = POLLOUT}, 1, -1);
        } else if (errno != EINTR) {
            return -errno;
        }
    }
    return 0;
}

/* Prints what has arrived. An exit code; EX_OK also when nothing more is there yet. */
static int print_answers(struct session *session)
{
    static char answer[BUFFER_BYTES];
    for (;;) {
        ptrdiff_t length = kn_tcp_receive(&session->stream, answer, sizeof(answer));
        if (length == -EAGAIN)
            return EX_OK;
        if (length < 0) {
            report(session->address_text, (int)length);
            return EX_IOERR;
        }
        if (length == 0) {
            session->finished = true;
            if (session->half_closed)
                return EX_OK;
            fprintf(stderr, "%s: %s: the server closed the connection\n", program_invocation_short_name,
                    session->address_text);
            return EX_IOERR;
        }
        int result = write_all(answer, (size_t)length);
        if (result < 0) {
            report("standard output", result);
            return EX_IOERR;
        }
    }
}

static int read_input(struct session *session)
{
    ssize_t length = read(STDIN_FILENO, session->buffer, BUFFER_BYTES);
    if (length < 0) {
        if (errno == EINTR || errno == EAGAIN)
            return EX_OK;
        report("standard input", -errno);
        return EX_IOERR;
    }
    session->begin = 0;
    session->end = (size_t)length;
    if (length > 0) {
        session->last_byte = session->buffer[length - 1];
    } else {
        session->input_ended = true;
        if (session->last_byte != '\n')
            session->buffer[session->end++] = '\n';
    }
    return EX_OK;
}

static int send_input(struct session *session)
{
    while (session->begin < session->end) {
        ptrdiff_t sent = kn_tcp_send(&session->stream, session->buffer + session->begin, session->end - session->begin);
        if (sent == -EAGAIN)
            return EX_OK;
        if (sent < 0) {
            /* The server may have answered before it went away; reading also tells why it did. */
            int code = print_answers(session);
            if (code != EX_OK)
                return code;
            report(session->address_text, (int)sent);
            return EX_IOERR;
        }
        session->begin += (size_t)sent;
    }
    if (session->input_ended && !session->half_closed) {
        /* It fails only when the connection is gone, and that is what the next receive reports. */
        (void)kn_tcp_shutdown(&session->stream, KN_TCP_SHUTDOWN_WRITE);
        session->half_closed = true;
    }
    return EX_OK;
}

/*
 * poll(2) instead of kn_poll: standard input may be a regular file, which epoll refuses. Input is read only when all of
 * it so far has been sent, so a server that does not read is not run over.
 */
static int converse(struct session *session)
{
    int code = EX_OK;
    while (code == EX_OK && !session->finished) {
        bool unsent = session->begin < session->end;
        struct pollfd waits[] = {
            {.fd = session->stream.descriptor, .events = (short)(unsent ? POLLIN | POLLOUT : POLLIN)},
            {.fd = unsent || session->input_ended ? -1 : STDIN_FILENO, .events = POLLIN},
        };
        if (poll(waits, 2, -1) < 0) {
            if (errno == EINTR)
                continue;
            return report("poll", -errno);
        }
        if (waits[0].revents & (POLLIN | POLLHUP | POLLERR))
            code = print_answers(session);
        if (code == EX_OK && !session->finished && waits[1].revents)
            code = read_input(session);
        if (code == EX_OK && !session->finished)
            code = send_input(session);
    }
    return code;
}

static int connect_and_wait(struct kn_tcp_stream *stream, const struct kn_address *address)
{
    int result = kn_tcp_connect(stream, address);
    if (result != -EINPROGRESS)
        return result;
    struct pollfd wait = {.fd = stream->descriptor, .events = POLLOUT};
    while (poll(&wait, 1, -1) < 0) {
        if (errno != EINTR) {
            result = -errno;
            kn_tcp_close(stream);
            return result;
        }
    }
    result = kn_tcp_connect_result(stream);
    if (result < 0)
        kn_tcp_close(stream);
    return result;
}

static int run_lines(const struct arguments *arguments)
{
    static struct session session = {.last_byte = '\n'};
    session.address_text = arguments->address_text;
    int result = connect_and_wait(&session.stream, &arguments->load.address);
    if (result < 0) {
        int code = report(session.address_text, result);
        if (code == EX_UNAVAILABLE)
            fprintf(stderr, "Is the server running?\n");
        return code;
    }
    if (isatty(STDIN_FILENO))
        fprintf(stderr, "Connected to %s. Ctrl-D ends.\n", session.address_text);
    int code = converse(&session);
    kn_tcp_close(&session.stream);
    return code;
}

/* ---- load ---- */

static _Atomic bool stop_requested;

static void request_stop(int signal_number)
{
    (void)signal_number;
    /* Relaxed: the flag alone is read. */
    atomic_store_explicit(&stop_requested, true, memory_order_relaxed);
}

/* The first signal ends the load with a report; the second is one too many and kills. */
static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = request_stop, .sa_flags = (int)SA_RESETHAND};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static int report_load_failure(const struct arguments *arguments, int error)
{
    if (error == -EINVAL)
        return option_usage_error("too much at once: at most %u requests, and %u bytes a connection, in flight; "
                                  "and --cpu must exist",
                                  LOAD_INFLIGHT_MAX, LOAD_INFLIGHT_BYTES_MAX);
    if (error == -ECANCELED) {
        fprintf(stderr, "%s: stopped before anything was measured\n", program_invocation_short_name);
        return EX_TEMPFAIL;
    }
    if (error == -EMFILE) {
        fprintf(stderr, "%s: %u connections need more open files than this system allows (see ulimit -Hn)\n",
                program_invocation_short_name, arguments->load.connections);
        return EX_OSERR;
    }
    return report(arguments->address_text, error);
}

static int run_load(const struct arguments *arguments)
{
    static struct load_result result;
    bool progress = arguments->progress || isatty(STDERR_FILENO);
    catch_signals();
    int error = load_run(&arguments->load, &result, progress ? load_report_progress : NULL, stderr, &stop_requested);
    if (error < 0)
        return report_load_failure(arguments, error);
    if (arguments->json)
        load_report_json(stdout, &arguments->load, &result);
    else
        load_report_text(stdout, &arguments->load, &result);
    if (fflush(stdout) != 0) {
        report("standard output", -errno);
        return EX_IOERR;
    }
    if (result.errors > 0)
        return EX_IOERR;
    return result.requests > 0 ? EX_OK : EX_UNAVAILABLE;
}

/* ---- options ---- */

enum option_number {
    OPTION_LOAD = 256,
    OPTION_CONNECTIONS,
    OPTION_PIPELINE,
    OPTION_SIZE,
    OPTION_RATE,
    OPTION_DURATION,
    OPTION_WARMUP,
    OPTION_SPIN,
    OPTION_CPU,
    OPTION_VERIFY,
    OPTION_JSON,
    OPTION_PROGRESS,
};

static const struct option long_options[] = {
    {"load", no_argument, NULL, OPTION_LOAD},
    {"connections", required_argument, NULL, OPTION_CONNECTIONS},
    {"pipeline", required_argument, NULL, OPTION_PIPELINE},
    {"size", required_argument, NULL, OPTION_SIZE},
    {"rate", required_argument, NULL, OPTION_RATE},
    {"duration", required_argument, NULL, OPTION_DURATION},
    {"warmup", required_argument, NULL, OPTION_WARMUP},
    {"spin", no_argument, NULL, OPTION_SPIN},
    {"cpu", required_argument, NULL, OPTION_CPU},
    {"verify", no_argument, NULL, OPTION_VERIFY},
    {"json", no_argument, NULL, OPTION_JSON},
    {"progress", no_argument, NULL, OPTION_PROGRESS},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

static int parse_number(const char *name, const char *text, uint64_t min, uint64_t max, uint32_t *value)
{
    uint64_t number;
    int result = option_parse_count(name, text, min, max, &number);
    if (result == 0)
        *value = (uint32_t)number;
    return result;
}

static int parse_size(const char *text, uint32_t *value_bytes)
{
    uint64_t number;
    int result = option_parse_size("--size", text, LOAD_MESSAGE_BYTES_MIN, LOAD_MESSAGE_BYTES_MAX, &number);
    if (result == 0)
        *value_bytes = (uint32_t)number;
    return result;
}

static int parse_time(const char *name, const char *text, int64_t min_ns, int64_t *value_ns)
{
    int64_t time_ns;
    int result = option_parse_duration_ns(name, text, &time_ns);
    if (result < 0)
        return result;
    if (time_ns < min_ns || time_ns > LOAD_DURATION_MAX_NS) {
        fprintf(stderr, "%s: %s: %s is out of range (%s to a week)\n", program_invocation_short_name, name, text,
                min_ns > 0 ? "1ns" : "0");
        return -EINVAL;
    }
    *value_ns = time_ns;
    return 0;
}

/* An option of --load: 0, or -EINVAL after a message. */
static int parse_load_option(struct arguments *arguments, int number, const char *text)
{
    struct load_options *load = &arguments->load;
    uint32_t cpu = 0;
    int result = 0;
    switch (number) {
    case OPTION_CONNECTIONS:
        return parse_number("--connections", text, 1, LOAD_CONNECTIONS_MAX, &load->connections);
    case OPTION_PIPELINE:
        return parse_number("--pipeline", text, 1, LOAD_PIPELINE_MAX, &load->pipeline);
    case OPTION_SIZE:
        return parse_size(text, &load->message_bytes);
    case OPTION_RATE:
        return option_parse_count("--rate", text, 1, LOAD_RATE_MAX, &load->rate);
    case OPTION_DURATION:
        return parse_time("--duration", text, 1, &load->duration_ns);
    case OPTION_WARMUP:
        return parse_time("--warmup", text, 0, &load->warmup_ns);
    case OPTION_CPU:
        result = parse_number("--cpu", text, 0, 1023, &cpu);
        load->pin = result == 0;
        load->cpu = (int)cpu;
        return result;
    case OPTION_SPIN:
        load->spin = true;
        return 0;
    case OPTION_VERIFY:
        load->verify = true;
        return 0;
    case OPTION_JSON:
        arguments->json = true;
        return 0;
    default:
        arguments->progress = true;
        return 0;
    }
}

/* Negative to go on, or the exit code. */
static int parse_arguments(struct arguments *arguments, int count, char **texts)
{
    int number, index = 0;
    while ((number = getopt_long(count, texts, "hV", long_options, &index)) != -1) {
        if (number == 'h') {
            fputs(help, stdout);
            return fflush(stdout) == 0 ? EX_OK : EX_IOERR;
        }
        if (number == 'V') {
            puts("client " KN_VERSION);
            return fflush(stdout) == 0 ? EX_OK : EX_IOERR;
        }
        if (number == '?') {
            fprintf(stderr, "Try '%s --help' for the options.\n", program_invocation_short_name);
            return EX_USAGE;
        }
        if (number == OPTION_LOAD) {
            arguments->is_load = true;
            continue;
        }
        arguments->load_only = long_options[index].name;
        if (parse_load_option(arguments, number, optarg) < 0)
            return EX_USAGE;
    }
    if (arguments->load_only && !arguments->is_load)
        return option_usage_error("--%s needs --load", arguments->load_only);
    if (count - optind > 1)
        return option_usage_error("one address only, '%s' is too many", texts[optind + 1]);
    const char *address = optind < count ? texts[optind] : DEFAULT_ADDRESS;
    if (option_parse_address("address", address, &arguments->load.address) < 0)
        return EX_USAGE;
    if (kn_address_format(&arguments->load.address, arguments->address_text, sizeof(arguments->address_text)) < 0)
        return EX_USAGE;
    return -1;
}

/* Descriptors 0 to 2 may have been closed by whoever started us; a socket must not get their numbers. */
static void open_standard_descriptors(void)
{
    int descriptor;
    do {
        descriptor = open("/dev/null", O_RDWR | O_CLOEXEC);
    } while (descriptor >= 0 && descriptor <= STDERR_FILENO);
    if (descriptor >= 0)
        close(descriptor);
}

int main(int argument_count, char **argument_texts)
{
    struct arguments arguments = {.load.warmup_ns = INT64_C(1000000000)};
    open_standard_descriptors();
    signal(SIGPIPE, SIG_IGN);
    int code = parse_arguments(&arguments, argument_count, argument_texts);
    if (code >= 0)
        return code;
    return arguments.is_load ? run_load(&arguments) : run_lines(&arguments);
}
