#include "server_console.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
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
#include "top_console.h"

enum { SESSIONS_MAX = 8, EVENTS_MAX = 16, OUTPUT_TIMEOUT_MS = 1000 };

/* Numbers of descriptors: those of the sessions, and then the others. */
enum { NUMBER_INPUT = SESSIONS_MAX, NUMBER_WAKER, NUMBER_SIGNAL, NUMBER_CONTROL };

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
    struct kn_server *local; /* reactor 0's server, or NULL */
    struct kn_poll *poll;    /* that server's, or our own */
    struct kn_poll own_poll;
    struct kn_poll_waker waker; /* of our own poll */
    struct kn_events events;
    struct kn_tcp_listener control;
    int signals;
    bool is_editing;
    bool input_ended;
    bool is_draining;
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

/* The same counter of all servers. */
static uint64_t total(const struct server_io *io, size_t offset)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < server_io_count(io); i++) {
        const struct kn_server_counters *counters = kn_server_counters(server_io_server(io, i));
        sum += kn_counter_read((const _Atomic uint64_t *)(const void *)((const char *)counters + offset));
    }
    return sum;
}

/* How the connections are spread, where there is something to spread. */
static void show_cores(struct kn_console *console, const struct server_io *io)
{
    for (size_t i = 0; server_io_count(io) > 1 && i < server_io_count(io); i++) {
        const struct kn_server_counters *counters = kn_server_counters(server_io_server(io, i));
        kn_console_print(console, "on reactor %-11zu %" PRIu64 " open, %" PRIu64 " accepted\n",
                         kn_reactor_index(server_io_reactor(io, i)), kn_counter_read(&counters->open),
                         kn_counter_read(&counters->accepted));
    }
}

static void run_stats(void *context, struct kn_console *console, const char *arguments)
{
    (void)arguments;
    struct session *session = context;
    static const struct {
        const char *name;
        size_t offset;
    } ROWS[] = {
        {"connections open", offsetof(struct kn_server_counters, open)},
        {"connections accepted", offsetof(struct kn_server_counters, accepted)},
        {"connections refused", offsetof(struct kn_server_counters, refused)},
        {"connections shed", offsetof(struct kn_server_counters, shed)},
        {"connections closed", offsetof(struct kn_server_counters, closed)},
        {"closed idle", offsetof(struct kn_server_counters, idle_closed)},
        {"closed by reset", offsetof(struct kn_server_counters, resets)},
        {"bytes in", offsetof(struct kn_server_counters, bytes_in)},
        {"bytes out", offsetof(struct kn_server_counters, bytes_out)},
        {"readable events", offsetof(struct kn_server_counters, readable_events)},
        {"reads paused", offsetof(struct kn_server_counters, paused)},
        {"turns", offsetof(struct kn_server_counters, turns)},
    };
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++)
        kn_console_print(console, "%-22s %" PRIu64 "\n", ROWS[i].name, total(session->owner->io, ROWS[i].offset));
    show_cores(console, session->owner->io);
}

static void show_connection(struct kn_console *console, const struct connection_row *row)
{
    char peer[KN_ADDRESS_TEXT_BYTES];
    if (kn_address_format(&row->peer, peer, sizeof(peer)) < 0)
        peer[0] = '\0';
    kn_console_print(console, "%-6" PRIu32 " %-28s %12" PRIu64 " in %12" PRIu64 " out %8.1f s%s\n", (uint32_t)row->id,
                     peer, row->bytes_in, row->bytes_out, (double)row->age_ns / 1e9, row->is_paused ? "  paused" : "");
}

/* The connections of one server. */
static void show_connections(struct kn_console *console, const struct server_io *io, size_t index)
{
    const struct connection_row *rows;
    size_t count;
    uint64_t left_out;
    if (server_io_count(io) > 1)
        kn_console_print(console, "reactor %zu:\n", kn_reactor_index(server_io_reactor(io, index)));
    if (server_io_rows(io, index, &rows, &count, &left_out) < 0) {
        kn_console_print(console, "too busy to answer\n");
        return;
    }
    for (size_t i = 0; i < count; i++)
        show_connection(console, &rows[i]);
    if (left_out > 0)
        kn_console_print(console, "... and %" PRIu64 " more\n", left_out);
}

static void run_connections(void *context, struct kn_console *console, const char *arguments)
{
    (void)arguments;
    struct session *session = context;
    struct server_io *io = session->owner->io;
    kn_console_print(console, "%" PRIu64 " open\n", total(io, offsetof(struct kn_server_counters, open)));
    server_io_list(io);
    for (size_t i = 0; i < server_io_count(io); i++)
        show_connections(console, io, i);
}

static void run_drain(void *context, struct kn_console *console, const char *arguments)
{
    (void)arguments;
    struct session *session = context;
    kn_console_print(console, "Draining\n");
    drain(session->owner);
}

static void run_top(void *context, struct kn_console *console, const char *arguments)
{
    struct session *session = context;
    top_console_show(console, session->owner->options.runtime, arguments);
}

static void run_trace(void *context, struct kn_console *console, const char *arguments)
{
    struct session *session = context;
    top_console_trace(console, session->owner->options.runtime, arguments);
}

static const struct kn_console_command COMMANDS[] = {
    {":stats", "counters of the server", run_stats},
    {":connections", "each connection, with its traffic", run_connections},
    {":top", TOP_CONSOLE_SHOW_HELP, run_top},
    {":trace", TOP_CONSOLE_TRACE_HELP, run_trace},
    {":drain", "end the server in order", run_drain},
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
    (void)kn_poll_deregister(console->poll, STDIN_FILENO);
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
    result = kn_console_attach(console->poll, STDIN_FILENO, KN_SERVER_USER_TOKEN(NUMBER_INPUT));
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
    if (result < 0)
        return result;
    return kn_poll_register(console->poll, console->control.descriptor, KN_SERVER_USER_TOKEN(NUMBER_CONTROL),
                            KN_READABLE);
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
    (void)kn_poll_deregister(session->owner->poll, session->input);
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
    if (kn_console_attach(console->poll, stream.descriptor, KN_SERVER_USER_TOKEN(session - console->sessions)) < 0)
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
    return kn_poll_register(console->poll, console->signals, KN_SERVER_USER_TOKEN(NUMBER_SIGNAL), KN_READABLE);
}

/* Descriptors are registered as the application's of a server, on whichever poll. */
static int open_poll(struct server_console *console)
{
    struct kn_reactor_io ignored;
    console->local = server_io_local(console->io, &ignored);
    if (console->local) {
        console->poll = kn_server_poll(console->local);
        return 0;
    }
    console->poll = &console->own_poll;
    int result = kn_poll_open(&console->own_poll, KN_POLL_BACKEND_AUTO);
    if (result == 0)
        result = kn_poll_waker_open(&console->waker, &console->own_poll, KN_SERVER_USER_TOKEN(NUMBER_WAKER));
    return result;
}

int server_console_open(struct server_console **console, const struct server_console_options *options)
{
    struct server_console *created = calloc(1, sizeof(*created));
    *console = created;
    if (!created)
        return -ENOMEM;
    created->options = *options;
    created->io = options->io;
    created->signals = -1;
    created->own_poll.descriptor = -1;
    created->waker.descriptor = -1;
    created->control.descriptor = -1;
    int result = open_poll(created);
    if (result == 0)
        result = kn_events_init(&created->events, EVENTS_MAX);
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

void server_console_event(struct server_console *console, uint64_t number)
{
    struct signalfd_siginfo ignored;
    switch (number) {
    case NUMBER_INPUT:
        if (!console->input_ended)
            read_input(console);
        break;
    case NUMBER_SIGNAL:
        (void)!read(console->signals, &ignored, sizeof(ignored));
        kn_log_info(console->options.log, "draining");
        drain(console);
        break;
    case NUMBER_CONTROL:
        accept_session(console);
        break;
    case NUMBER_WAKER:
        break;
    default:
        read_session(&console->sessions[number]);
        break;
    }
}

int server_console_poll(struct server_console *console, int64_t timeout_ns)
{
    int result = kn_poll_wait(console->poll, &console->events, timeout_ns);
    for (size_t i = 0; result == 0 && i < console->events.count; i++) {
        kn_token token = console->events.list[i].token;
        if (token & KN_SERVER_USER_TOKEN(0)) /* not of the server that has ended */
            server_console_event(console, token & ~KN_SERVER_USER_TOKEN(0));
    }
    return result < 0 ? result : (int)console->events.count;
}

void server_console_wake(struct server_console *console)
{
    if (console->local)
        kn_server_wake(console->local);
    else
        (void)kn_poll_waker_wake(&console->waker);
}

/* A file or /dev/null has no readiness to wait for: it is read to its end at once. */
static bool input_is_file(void)
{
    struct stat status;
    return fstat(STDIN_FILENO, &status) == 0 && !S_ISFIFO(status.st_mode) && !S_ISSOCK(status.st_mode) &&
           !isatty(STDIN_FILENO);
}

void server_console_start(struct server_console *console)
{
    if (!console->options.standard_input)
        return;
    while (!console->input_ended && !console->is_draining && input_is_file())
        read_input(console);
    console->is_editing = !console->options.plain && !console->input_ended && terminal_is_usable();
    if (console->is_editing)
        terminal_start(on_edited_line, complete, console);
}

void server_console_close(struct server_console *console)
{
    if (!console)
        return;
    if (console->is_editing)
        end_input(console);
    for (unsigned i = 0; i < SESSIONS_MAX; i++)
        close_session(&console->sessions[i]);
    kn_console_close(console->input.console);
    kn_tcp_listener_close(&console->control);
    if (console->signals >= 0)
        close(console->signals);
    kn_poll_waker_close(&console->waker);
    kn_events_free(&console->events);
    kn_poll_close(&console->own_poll);
    free(console);
}
