#include "server_console.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <kernel/console.h>
#include <kernel/error.h>
#include <kernel/poll.h>
#include <kernel/tcp.h>

#include "terminal.h"

enum { SESSIONS_MAX = 8, EVENTS_MAX = 16, OUTPUT_TIMEOUT_MS = 1000 };
enum { TOKEN_INPUT = SESSIONS_MAX, TOKEN_WAKER, TOKEN_SIGNAL, TOKEN_CONTROL };

/* One console: standard input's, or that of an attached program. */
struct session {
    struct server_console *owner;
    struct kn_console *console; /* NULL: not in use */
    int input;
    int output;
    bool has_failed; /* its peer does not read, or is gone */
};

struct server_console {
    struct server_console_options options;
    struct server_io *io;
    struct kn_poll poll;
    struct kn_events events;
    struct kn_waker waker;
    struct kn_tcp_listener control;
    int signals;
    bool is_editing;
    bool input_ended;
    bool is_draining;
    _Atomic bool server_ended;
    struct session input;
    struct session sessions[SESSIONS_MAX];
};

static void drain(struct server_console *console)
{
    if (!console->is_draining)
        server_io_drain(console->io);
    console->is_draining = true;
}

/* ---- what a console can ask ---- */

/* Waits until a peer that is slow to read has made room. One that makes none for so long is given up. */
static bool has_room(int descriptor)
{
    struct pollfd polled = {.fd = descriptor, .events = POLLOUT};
    return poll(&polled, 1, OUTPUT_TIMEOUT_MS) == 1;
}

static void write_session(void *context, const char *text, size_t length_bytes)
{
    struct session *session = context;
    while (length_bytes > 0 && !session->has_failed) {
        ssize_t count = write(session->output, text, length_bytes);
        if (count < 0 && errno != EINTR)
            session->has_failed = errno != EAGAIN || !has_room(session->output);
        if (count > 0) {
            text += count;
            length_bytes -= (size_t)count;
        }
    }
}

static void run_stats(void *context, struct kn_console *console, const char *arguments)
{
    (void)arguments;
    struct session *session = context;
    const struct kn_server_counters *counters = kn_server_counters(server_io_server(session->owner->io));
    const struct {
        const char *name;
        const _Atomic uint64_t *value;
    } rows[] = {
        {"connections open", &counters->open},       {"connections accepted", &counters->accepted},
        {"connections refused", &counters->refused}, {"connections shed", &counters->shed},
        {"connections closed", &counters->closed},   {"closed idle", &counters->idle_closed},
        {"closed by reset", &counters->resets},      {"bytes in", &counters->bytes_in},
        {"bytes out", &counters->bytes_out},         {"readable events", &counters->readable_events},
        {"reads paused", &counters->paused},         {"turns", &counters->turns},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        kn_console_print(console, "%-22s %" PRIu64 "\n", rows[i].name, kn_counter_read(rows[i].value));
}

static void show_connection(void *context, const struct connection_row *row)
{
    kn_console_print(context, "%-6" PRIu32 " %-28s %12" PRIu64 " in %12" PRIu64 " out %8.1f s%s\n", (uint32_t)row->id,
                     row->peer, row->bytes_in, row->bytes_out, (double)row->age_ns / 1e9,
                     row->is_paused ? "  paused" : "");
}

static void run_connections(void *context, struct kn_console *console, const char *arguments)
{
    (void)arguments;
    struct session *session = context;
    const struct kn_server_counters *counters = kn_server_counters(server_io_server(session->owner->io));
    kn_console_print(console, "%" PRIu64 " open\n", kn_counter_read(&counters->open));
    uint64_t left_out = server_io_connections(session->owner->io, show_connection, console);
    if (left_out > 0)
        kn_console_print(console, "... and %" PRIu64 " more\n", left_out);
}

static const struct kn_console_command COMMANDS[] = {
    {":stats", "counters of the server", run_stats},
    {":connections", "each connection, with its traffic", run_connections},
};

static int open_session(struct server_console *owner, struct session *session, int input, int output)
{
    *session = (struct session){.owner = owner, .input = input, .output = output};
    struct kn_console_options options = {
        .context = session,
        .write = write_session,
        .commands = COMMANDS,
        .command_count = sizeof(COMMANDS) / sizeof(COMMANDS[0]),
    };
    return kn_console_open(&session->console, &options);
}

/* ---- standard input ---- */

static void end_input(struct server_console *console)
{
    if (console->is_editing)
        terminal_stop();
    console->is_editing = false;
    (void)kn_poll_deregister(&console->poll, STDIN_FILENO);
    console->input_ended = true;
}

static void on_edited_line(void *context, const char *line)
{
    struct server_console *console = context;
    int result = line ? kn_console_feed(console->input.console, line, strlen(line)) : -ESHUTDOWN;
    if (result == 0)
        result = kn_console_feed(console->input.console, "\n", 1);
    if (!line)
        write_session(&console->input, "\n", 1);
    if (result == -ESHUTDOWN)
        drain(console);
}

static const char *complete(void *context, const char *prefix, size_t index)
{
    struct server_console *console = context;
    return kn_console_complete(console->input.console, prefix, index);
}

static void read_input(struct server_console *console)
{
    if (console->is_editing) {
        terminal_read();
        if (console->is_draining)
            end_input(console);
        return;
    }
    int result = kn_console_read(console->input.console, STDIN_FILENO);
    if (result == 0 || result == -EAGAIN)
        return;
    end_input(console);
    if (result == -ESHUTDOWN || isatty(STDIN_FILENO)) {
        drain(console);
    } else {
        static const char text[] = "Console closed; the server goes on\n";
        write_session(&console->input, text, sizeof(text) - 1);
    }
}

static int open_input(struct server_console *console)
{
    int result = open_session(console, &console->input, STDIN_FILENO, STDOUT_FILENO);
    if (result < 0)
        return result;
    result = kn_console_attach(&console->poll, STDIN_FILENO, TOKEN_INPUT);
    if (result == -EBADF) {
        console->input_ended = true; /* started with standard input closed */
        return 0;
    }
    return result < 0 ? result : 0;
}

/* ---- the control socket ---- */

static int open_control(struct server_console *console)
{
    console->control = (struct kn_tcp_listener){.descriptor = -1, .spare_descriptor = -1};
    if (!console->options.control)
        return 0;
    char text[KN_ADDRESS_TEXT_BYTES];
    struct kn_address address;
    int length = snprintf(text, sizeof(text), "unix:%s", console->options.control);
    int result = length < (int)sizeof(text) ? kn_address_parse(text, &address) : -ENAMETOOLONG;
    if (result < 0)
        return result;
    struct kn_tcp_listener_options options = {0};
    mode_t mask = umask(0177); /* the socket is its owner's alone from the first moment */
    result = kn_tcp_listen(&console->control, &address, &options);
    umask(mask);
    return result < 0 ? result
                      : kn_poll_register(&console->poll, console->control.descriptor, TOKEN_CONTROL, KN_READABLE);
}

static bool is_trusted(const struct kn_tcp_stream *stream)
{
    struct ucred peer;
    socklen_t length = sizeof(peer);
    return getsockopt(stream->descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 &&
           (peer.uid == geteuid() || peer.uid == 0);
}

static void close_session(struct session *session)
{
    if (!session->console)
        return;
    (void)kn_poll_deregister(&session->owner->poll, session->input);
    kn_console_close(session->console);
    close(session->input);
    *session = (struct session){0};
}

static void accept_session(struct server_console *console)
{
    struct kn_tcp_stream stream;
    struct kn_address peer;
    int result = kn_tcp_accept(&console->control, &stream, &peer);
    if (result == -EMFILE || result == -ENFILE)
        (void)kn_tcp_listener_shed(&console->control);
    if (result < 0)
        return;
    struct session *session = NULL;
    for (unsigned i = 0; i < SESSIONS_MAX && !session; i++)
        session = console->sessions[i].console ? NULL : &console->sessions[i];
    if (!session || !is_trusted(&stream)) {
        kn_log_warning(console->options.log, "console refused: %s", session ? "another user" : "too many");
        kn_tcp_close(&stream);
        return;
    }
    if (open_session(console, session, stream.descriptor, stream.descriptor) < 0) {
        kn_tcp_close(&stream);
        return;
    }
    if (kn_console_attach(&console->poll, stream.descriptor, (kn_token)(session - console->sessions)) < 0)
        close_session(session);
}

/* `:quit` of an attached program ends its session, not the server. */
static void read_session(struct session *session)
{
    if (!session->console)
        return;
    int result = kn_console_read(session->console, session->input);
    if ((result != 0 && result != -EAGAIN) || session->has_failed)
        close_session(session);
}

/* ---- running ---- */

static int open_signals(struct server_console *console)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    console->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (console->signals < 0)
        return -errno;
    return kn_poll_register(&console->poll, console->signals, TOKEN_SIGNAL, KN_READABLE);
}

int server_console_open(struct server_console **console, const struct server_console_options *options)
{
    struct server_console *created = calloc(1, sizeof(*created));
    *console = created;
    if (!created)
        return -ENOMEM;
    created->options = *options;
    created->signals = -1;
    created->waker.descriptor = -1;
    created->control.descriptor = -1;
    int result = kn_poll_open(&created->poll, KN_POLL_BACKEND_AUTO);
    if (result == 0)
        result = kn_events_init(&created->events, EVENTS_MAX);
    if (result == 0)
        result = kn_waker_open(&created->waker, &created->poll, TOKEN_WAKER);
    if (result == 0)
        result = open_signals(created);
    if (result == 0)
        result = open_control(created);
    if (result == 0 && options->standard_input)
        result = open_input(created);
    if (result < 0) {
        server_console_close(created);
        *console = NULL;
    }
    return result;
}

void server_console_server_ended(void *context)
{
    struct server_console *console = context;
    /* Release pairs with the acquire load in server_console_run. */
    atomic_store_explicit(&console->server_ended, true, memory_order_release);
    (void)kn_waker_wake(&console->waker);
}

static void serve_event(struct server_console *console, const struct kn_event *event)
{
    struct signalfd_siginfo ignored;
    switch (event->token) {
    case TOKEN_INPUT:
        if (!console->input_ended)
            read_input(console);
        break;
    case TOKEN_SIGNAL:
        (void)!read(console->signals, &ignored, sizeof(ignored));
        kn_log_info(console->options.log, "draining");
        drain(console);
        break;
    case TOKEN_CONTROL:
        accept_session(console);
        break;
    case TOKEN_WAKER:
        break;
    default:
        read_session(&console->sessions[event->token]);
        break;
    }
}

/* A file or /dev/null has no readiness to wait for: it is read to its end at once. */
static bool input_is_file(void)
{
    struct stat status;
    return fstat(STDIN_FILENO, &status) == 0 && !S_ISFIFO(status.st_mode) && !S_ISSOCK(status.st_mode) &&
           !isatty(STDIN_FILENO);
}

int server_console_run(struct server_console *console, struct server_io *io)
{
    console->io = io;
    int result = 0;
    if (console->options.standard_input) {
        while (!console->input_ended && !console->is_draining && input_is_file())
            read_input(console);
        console->is_editing = !console->options.plain && !console->input_ended && terminal_is_usable();
        if (console->is_editing)
            terminal_start(on_edited_line, complete, console);
    }
    /* Acquire pairs with the release store in server_console_server_ended. */
    while (result == 0 && !atomic_load_explicit(&console->server_ended, memory_order_acquire)) {
        result = kn_poll_wait(&console->poll, &console->events, -1);
        result = result == -EINTR ? 0 : result;
        for (size_t i = 0; i < console->events.count; i++)
            serve_event(console, &console->events.list[i]);
    }
    drain(console);
    if (console->is_editing)
        end_input(console);
    return result;
}

void server_console_close(struct server_console *console)
{
    if (!console)
        return;
    for (unsigned i = 0; i < SESSIONS_MAX; i++)
        close_session(&console->sessions[i]);
    kn_console_close(console->input.console);
    kn_tcp_listener_close(&console->control);
    if (console->signals >= 0)
        close(console->signals);
    kn_waker_close(&console->waker);
    kn_events_free(&console->events);
    kn_poll_close(&console->poll);
    free(console);
}
