/* kernel-top: shows what the reactors of a running program do. */
#include <errno.h>
#include <getopt.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include <kernel/clock.h>
#include <kernel/error.h>
#include <kernel/line.h>
#include <kernel/top.h>
#include <kernel/version.h>

#include "options.h"
#include "top_client.h"
#include "top_view.h"

static const char help[] = "Usage: kernel-top [OPTION]... [SOCKET]\n"
                           "\n"
                           "Shows what the reactors of a running program do. SOCKET is its control socket:\n"
                           "kernel-server.sock in $XDG_RUNTIME_DIR, or else in /tmp, unless given. On a\n"
                           "terminal the view is kept up to date; otherwise a table is printed each time.\n"
                           "\n"
                           "      --interval T    time between two looks (1s)\n"
                           "      --count N       end after N looks\n"
                           "      --once          print one table, of one interval, and end\n"
                           "      --json          print totals instead, one line of JSON a look\n"
                           "      --trace FILE    record what happens and write it to FILE (- for standard\n"
                           "                      output) as Chrome trace JSON, for Perfetto\n"
                           "      --seconds S     how long to record (1)\n"
                           "  -h, --help          print this and exit\n"
                           "  -V, --version       print the version and exit\n"
                           "\n"
                           "Keys: q quits; 1 to 4 show and hide load, times, balance, bus; arrows, j, k, space\n"
                           "and b page.\n"
                           "\n"
                           "Exit status: 0; 64 wrong usage; 69 no program there, or it does not answer as it\n"
                           "should; 71 system error; 73 cannot write the trace; 74 connection lost; 77 not\n"
                           "permitted.\n";

static const int64_t INTERVAL_NS = 1000000000;
static const int64_t INTERVAL_MIN_NS = 10000000;
static const int64_t INTERVAL_MAX_NS = INT64_C(86400) * 1000000000;
static const int64_t ANSWER_NS = 10000000000;
static const int64_t NS_PER_MS = 1000000;

struct top_options {
    const char *path;
    const char *trace;
    int64_t interval_ns;
    int64_t trace_ns;
    uint64_t count; /* 0: without end */
    bool once;
    bool json;
};

/* ---- asking ---- */

/* Says what went wrong, but not that a signal came. */
static int complain(int error)
{
    const char *text = kn_error_text(error);
    if (error == -ECONNRESET)
        text = "the program has closed the connection";
    if (error == -ETIMEDOUT)
        text = "the program does not answer";
    if (error != -EINTR)
        fprintf(stderr, "kernel-top: %s\n", text);
    return option_exit_code(error);
}

/* An answer that is not what was asked for: says so with its beginning, which may hold anything. */
static int complain_of(const char *line, size_t length)
{
    enum { SHOWN_BYTES = 200 };
    char text[KN_TEXT_QUOTE_BYTES(SHOWN_BYTES)];
    kn_text_quote(line, length < SHOWN_BYTES ? length : SHOWN_BYTES, text);
    fprintf(stderr, "kernel-top: the program answers %s\n", text);
    return EX_UNAVAILABLE;
}

/* ---- printing ---- */

static void write_output(void *context, const char *text, size_t length)
{
    (void)context;
    fwrite(text, 1, length, stdout);
}

/* Two samples, of which the next to come goes where the older one is. */
struct looks {
    struct kn_top_sample samples[2];
    unsigned next;
    uint64_t taken;
};

static const struct kn_top_sample *last_look(const struct looks *looks)
{
    return &looks->samples[looks->next ^ 1];
}

static int take_look(struct looks *looks, const char *line, size_t length)
{
    int result = kn_top_read_json(&looks->samples[looks->next], line, length);
    if (result == 0) {
        looks->next ^= 1;
        looks->taken++;
    }
    return result;
}

static void close_looks(struct looks *looks)
{
    kn_top_close(&looks->samples[0]);
    kn_top_close(&looks->samples[1]);
}

/* Whether more is to be printed. */
static bool print_look(const struct top_options *options, struct looks *looks, const char *line, size_t length,
                       uint64_t *printed)
{
    if (options->json) {
        printf("%.*s\n", (int)length, line);
    } else if (looks->taken > 1) {
        struct kn_top_text text = {.ascii = !top_view_has_blocks(), .colours = top_view_has_colours()};
        if (*printed > 0)
            putchar('\n');
        kn_top_write_text(&looks->samples[looks->next], last_look(looks), &text, write_output, NULL);
    } else {
        return true; /* a table needs two looks */
    }
    fflush(stdout);
    ++*printed;
    return options->count == 0 || *printed < options->count;
}

/* Waits until it is time for another look. The program has nothing to say meanwhile but that it ends. */
static int pause_until(struct top_client *client, uint64_t time_ns)
{
    for (;;) {
        struct pollfd polled = {.fd = client->descriptor, .events = POLLIN};
        int64_t left_ns = (int64_t)(time_ns - kn_clock_monotonic_ns());
        if (left_ns <= 0)
            return 0;
        if (poll(&polled, 1, (int)((left_ns + NS_PER_MS - 1) / NS_PER_MS)) <= 0)
            continue;
        int result = top_client_receive(client);
        if (result < 0)
            return result;
    }
}

static int print_looks(const struct top_options *options, struct top_client *client)
{
    struct looks looks = {0};
    uint64_t printed = 0;
    uint64_t next_ns = kn_clock_monotonic_ns();
    int code = EX_OK;
    for (;;) {
        const char *line = NULL;
        size_t length = 0;
        int result = top_client_ask(client, ":top --json");
        if (result == 0)
            result = top_client_wait(client, ANSWER_NS, -1, &line, &length);
        if (result < 0) {
            code = complain(result);
            break;
        }
        if (take_look(&looks, line, length) < 0) {
            code = complain_of(line, length);
            break;
        }
        if (!print_look(options, &looks, line, length, &printed))
            break;
        if (ferror(stdout)) {
            code = complain(-EPIPE);
            break;
        }
        next_ns += (uint64_t)options->interval_ns;
        result = pause_until(client, next_ns);
        if (result < 0) {
            code = complain(result);
            break;
        }
    }
    close_looks(&looks);
    return code;
}

/* ---- the view ---- */

struct live {
    const struct top_options *options;
    struct top_client *client;
    struct looks looks;
    int signals;
    uint32_t parts;
    bool has_keys;
    bool is_waiting; /* for an answer */
    uint64_t asked_ns;
    uint64_t next_ns; /* when to ask again */
    bool is_over;
    int ended_by; /* a signal */
    int error;
    char complaint[256]; /* an answer that made no sense */
    size_t complaint_length;
};

static void draw(struct live *live)
{
    char status[256];
    struct kn_top_text text = {
        .parts = live->parts, .ascii = !top_view_has_blocks(), .colours = top_view_has_colours()};
    uint64_t silent_ns = live->is_waiting ? kn_clock_monotonic_ns() - live->asked_ns : 0;
    if (silent_ns > 1000000000)
        snprintf(status, sizeof(status), "no answer for %.0f s  %s  q quits", (double)silent_ns / 1e9,
                 live->options->path);
    else
        snprintf(status, sizeof(status), "every %.4g s  q quits  1-4 parts  %s",
                 (double)live->options->interval_ns / 1e9, live->options->path);
    if (live->looks.taken > 0) {
        const struct kn_top_sample *before = live->looks.taken > 1 ? &live->looks.samples[live->looks.next] : NULL;
        top_view_begin();
        kn_top_write_text(before, last_look(&live->looks), &text, top_view_add, NULL);
    }
    top_view_draw(status);
}

static void ask(struct live *live)
{
    live->asked_ns = kn_clock_monotonic_ns();
    /* At the pace that was asked for; what was missed is not made up for. */
    live->next_ns += (uint64_t)live->options->interval_ns;
    if (live->next_ns < live->asked_ns)
        live->next_ns = live->asked_ns + (uint64_t)live->options->interval_ns;
    live->error = top_client_ask(live->client, ":top --json");
    live->is_waiting = true;
}

static void take_answer(struct live *live)
{
    const char *line = NULL;
    size_t length = 0;
    live->error = top_client_receive(live->client);
    while (live->error == 0 && top_client_line(live->client, &line, &length)) {
        live->error = take_look(&live->looks, line, length);
        if (live->error < 0) {
            live->complaint_length = length < sizeof(live->complaint) ? length : sizeof(live->complaint);
            memcpy(live->complaint, line, live->complaint_length);
        }
        live->is_waiting = false;
        live->is_over = live->options->count > 0 && live->looks.taken >= live->options->count;
    }
}

static void take_key(struct live *live)
{
    int key = top_view_key();
    if (key == 'q' || key == 'Q')
        live->is_over = true;
    else if (key >= '1' && key <= '4')
        live->parts ^= 1u << (key - '1');
    else if (key < 0)
        live->has_keys = false;
    if (live->parts == 0)
        live->parts = KN_TOP_LOAD;
}

/* Waits for whatever comes first, and sees to it. */
static void turn(struct live *live)
{
    struct pollfd polled[] = {
        {.fd = live->signals, .events = POLLIN},
        {.fd = live->client->descriptor, .events = POLLIN},
        {.fd = live->has_keys ? STDIN_FILENO : -1, .events = POLLIN},
    };
    int64_t left_ns = (int64_t)(live->next_ns - kn_clock_monotonic_ns());
    if (live->is_waiting && left_ns < INTERVAL_MIN_NS)
        left_ns = INTERVAL_NS; /* draws how long it has waited */
    if (poll(polled, 3, left_ns > 0 ? (int)((left_ns + NS_PER_MS - 1) / NS_PER_MS) : 0) < 0 && errno != EINTR)
        live->error = -errno;
    if (polled[0].revents)
        live->ended_by = top_view_signal(live->signals);
    if (polled[1].revents)
        take_answer(live);
    if (polled[2].revents)
        take_key(live);
    if (live->error == 0 && !live->is_waiting && kn_clock_monotonic_ns() >= live->next_ns)
        ask(live);
}

static int show_live(const struct top_options *options, struct top_client *client)
{
    struct live live = {.options = options,
                        .client = client,
                        .parts = KN_TOP_LOAD | KN_TOP_TIMES | KN_TOP_BALANCE | KN_TOP_BUS,
                        .has_keys = isatty(STDIN_FILENO),
                        .next_ns = kn_clock_monotonic_ns()};
    int result = top_view_start(&live.signals);
    if (result < 0)
        return complain(result);
    while (!live.is_over && live.ended_by == 0 && live.error == 0) {
        turn(&live);
        draw(&live);
    }
    top_view_stop();
    close_looks(&live.looks);
    if (live.ended_by != 0)
        top_view_die(live.ended_by);
    if (live.complaint_length > 0)
        return complain_of(live.complaint, live.complaint_length);
    return live.error < 0 ? complain(live.error) : EX_OK;
}

/* ---- the trace ---- */

/* Signals that end a process, as a descriptor: the program must not be left recording. */
static int block_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int switch_trace(struct top_client *client, bool on, int signals)
{
    const char *line = NULL;
    size_t length = 0;
    const char *expected = on ? "Trace on" : "Trace off";
    int result = top_client_ask(client, on ? ":trace on" : ":trace off");
    if (result == 0)
        result = top_client_wait(client, ANSWER_NS, signals, &line, &length);
    if (result < 0)
        return complain(result);
    return length == strlen(expected) && memcmp(line, expected, length) == 0 ? EX_OK : complain_of(line, length);
}

/* Takes the lines of the trace, the last of which is a brace alone. */
static int fetch_trace(struct top_client *client, int signals, FILE *file)
{
    const char *line = NULL;
    size_t length = 0;
    bool is_first = true;
    int result = top_client_ask(client, ":trace dump");
    if (result < 0)
        return complain(result);
    do {
        result = top_client_wait(client, ANSWER_NS, signals, &line, &length);
        if (result < 0)
            return complain(result);
        if (is_first && (length == 0 || line[0] != '{'))
            return complain_of(line, length);
        is_first = false;
        fprintf(file, "%.*s\n", (int)length, line);
    } while (length != 1 || line[0] != '}');
    return EX_OK;
}

static int record(const struct top_options *options, struct top_client *client, FILE *file)
{
    int signals = block_signals();
    if (signals < 0)
        return complain(-errno);
    int code = switch_trace(client, true, -1);
    if (code != EX_OK)
        return code;
    const char *line = NULL;
    size_t length = 0;
    int waited = top_client_wait(client, options->trace_ns, signals, &line, &length);
    if (waited != -ETIMEDOUT && waited != -EINTR)
        return waited < 0 ? complain(waited) : complain_of(line, length);
    code = switch_trace(client, false, -1);
    if (code == EX_OK && waited == -ETIMEDOUT)
        code = fetch_trace(client, signals, file);
    struct signalfd_siginfo information;
    if (read(signals, &information, sizeof(information)) == (ssize_t)sizeof(information)) {
        if (file != stdout)
            (void)remove(options->trace);
        top_view_die((int)information.ssi_signo);
    }
    return code;
}

static int write_trace(const struct top_options *options, struct top_client *client)
{
    bool is_output = strcmp(options->trace, "-") == 0;
    FILE *file = is_output ? stdout : fopen(options->trace, "we");
    struct stat status;
    int code = EX_CANTCREAT;
    if (file) {
        code = record(options, client, file);
        int written = fflush(file) != 0 || ferror(file) ? -EIO : 0;
        bool is_regular = fstat(fileno(file), &status) == 0 && S_ISREG(status.st_mode);
        if (!is_output && fclose(file) != 0)
            written = -errno;
        if (code != EX_OK && !is_output && is_regular)
            (void)remove(options->trace); /* half a trace is none */
        if (code != EX_OK || written == 0)
            return code;
        errno = -written;
        code = EX_CANTCREAT;
    }
    fprintf(stderr, "kernel-top: cannot write %s: %s\n", options->trace, kn_error_text(errno));
    return code;
}

/* ---- options ---- */

static int parse_interval(const char *text, int64_t *interval_ns)
{
    if (option_parse_duration_ns("--interval", text, interval_ns) < 0)
        return -EINVAL;
    if (*interval_ns >= INTERVAL_MIN_NS && *interval_ns <= INTERVAL_MAX_NS)
        return 0;
    fprintf(stderr, "kernel-top: --interval: %s is out of range (10ms to 24h)\n", text);
    return -EINVAL;
}

/* A number of seconds; also a duration with its unit. */
static int parse_seconds(const char *text, int64_t *duration_ns)
{
    char with_unit[32];
    bool is_bare = *text != '\0' && strspn(text, "0123456789.") == strlen(text) && strlen(text) < sizeof(with_unit) - 1;
    snprintf(with_unit, sizeof(with_unit), "%ss", is_bare ? text : "");
    if (option_parse_duration_ns("--seconds", is_bare ? with_unit : text, duration_ns) < 0)
        return -EINVAL;
    if (*duration_ns > 0 && *duration_ns <= INTERVAL_MAX_NS)
        return 0;
    fprintf(stderr, "kernel-top: --seconds: %s is out of range (up to 86400)\n", text);
    return -EINVAL;
}

enum { OPTION_INTERVAL = 256, OPTION_COUNT, OPTION_ONCE, OPTION_JSON, OPTION_TRACE, OPTION_SECONDS };

/* Takes one option. -EINVAL after a message, 1 when the program is done. */
static int take_option(struct top_options *options, int option)
{
    switch (option) {
    case OPTION_INTERVAL:
        return parse_interval(optarg, &options->interval_ns);
    case OPTION_COUNT:
        return option_parse_count("--count", optarg, 1, UINT32_MAX, &options->count);
    case OPTION_ONCE:
        options->once = true;
        return 0;
    case OPTION_JSON:
        options->json = true;
        return 0;
    case OPTION_TRACE:
        options->trace = optarg;
        return 0;
    case OPTION_SECONDS:
        return parse_seconds(optarg, &options->trace_ns);
    case 'h':
        fputs(help, stdout);
        return 1;
    case 'V':
        puts("kernel-top (The Kernel) " KN_VERSION);
        return 1;
    default:
        return -EINVAL;
    }
}

static int run(const struct top_options *options)
{
    struct top_client client;
    int result = top_client_open(&client, options->path);
    if (result < 0) {
        fprintf(stderr, "kernel-top: cannot attach to %s: %s\n", options->path, kn_error_text(result));
        return option_exit_code(result);
    }
    int code;
    if (options->trace)
        code = write_trace(options, &client);
    else if (!options->json && !options->once && top_view_is_usable())
        code = show_live(options, &client);
    else
        code = print_looks(options, &client);
    top_client_close(&client);
    return code;
}

int main(int count, char **words)
{
    static const struct option long_options[] = {
        {"interval", required_argument, NULL, OPTION_INTERVAL},
        {"count", required_argument, NULL, OPTION_COUNT},
        {"once", no_argument, NULL, OPTION_ONCE},
        {"json", no_argument, NULL, OPTION_JSON},
        {"trace", required_argument, NULL, OPTION_TRACE},
        {"seconds", required_argument, NULL, OPTION_SECONDS},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},
        {0},
    };
    static char path[4096];
    struct top_options options = {.path = path, .interval_ns = INTERVAL_NS};
    int option;
    while ((option = getopt_long(count, words, "hV", long_options, NULL)) != -1) {
        int result = take_option(&options, option);
        if (result != 0)
            return result < 0 ? EX_USAGE : EX_OK;
    }
    if (count - optind > 1)
        return option_usage_error("unexpected argument '%s'", words[optind + 1]);
    if (options.trace && (options.json || options.once || options.count > 0))
        return option_usage_error("--trace is for itself");
    if (options.trace_ns > 0 && !options.trace)
        return option_usage_error("--seconds is for --trace");
    if (options.once && options.count > 1)
        return option_usage_error("--once and --count exclude each other");
    if (options.trace_ns == 0)
        options.trace_ns = INTERVAL_NS;
    if (options.once)
        options.count = 1;
    (void)setlocale(LC_CTYPE, "");
    top_client_default_path(path, sizeof(path));
    if (optind < count)
        options.path = words[optind];
    return run(&options);
}
