/* console: attaches to the control socket of a running server. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include <kernel/error.h>
#include <kernel/poll.h>
#include <kernel/tcp.h>
#include <kernel/version.h>

#include "options.h"
#include "terminal.h"

static const char help[] = "Usage: console [OPTION]... [PATH]\n"
                           "\n"
                           "Attaches to a server that was started with --control PATH: sends it the lines of\n"
                           "standard input and prints its answers (:help lists the commands). PATH is\n"
                           "kernel-server.sock in $XDG_RUNTIME_DIR, or else in /tmp, unless given.\n"
                           "\n"
                           "      --plain      no line editing on a terminal\n"
                           "  -h, --help       print this and exit\n"
                           "  -V, --version    print the version and exit\n"
                           "\n"
                           "Exit status: 0; 64 wrong usage; 69 no server there; 71 system error; 74 connection\n"
                           "lost; 77 not permitted.\n";

static const char *const COMMANDS[] = {":help", ":quit", ":stats", ":connections", ":top", ":trace", ":drain"};
enum { BUFFER_BYTES = 16 * 1024 };

struct attachment {
    struct kn_tcp_stream stream;
    bool is_editing;
    bool input_ended;
    int result; /* the first error */
};

/* Waits until everything is sent: a person's lines are short, and a script's must not be lost. */
static void send_all(struct attachment *attachment, const char *bytes, size_t length)
{
    while (length > 0 && attachment->result == 0) {
        ssize_t count = send(attachment->stream.descriptor, bytes, length, MSG_NOSIGNAL);
        if (count < 0 && errno != EINTR)
            attachment->result = -errno;
        if (count > 0) {
            bytes += count;
            length -= (size_t)count;
        }
    }
}

static void end_input(struct attachment *attachment)
{
    attachment->input_ended = true;
    (void)kn_tcp_shutdown(&attachment->stream, KN_TCP_SHUTDOWN_WRITE);
}

static void on_edited_line(void *context, const char *line)
{
    struct attachment *attachment = context;
    if (!line) {
        putchar('\n');
        end_input(attachment);
        return;
    }
    send_all(attachment, line, strlen(line));
    send_all(attachment, "\n", 1);
}

static const char *complete(void *context, const char *prefix, size_t index)
{
    (void)context;
    for (size_t i = 0; i < sizeof(COMMANDS) / sizeof(COMMANDS[0]); i++)
        if (strncmp(COMMANDS[i], prefix, strlen(prefix)) == 0 && index-- == 0)
            return COMMANDS[i];
    return NULL;
}

static void read_input(struct attachment *attachment)
{
    char buffer[BUFFER_BYTES];
    ssize_t count = read(STDIN_FILENO, buffer, sizeof(buffer));
    if (count > 0)
        send_all(attachment, buffer, (size_t)count);
    else if (count == 0 || errno != EINTR)
        end_input(attachment);
}

/* Prints what the server says. Returns whether it may say more. */
static bool read_server(struct attachment *attachment)
{
    char buffer[BUFFER_BYTES];
    ssize_t count = recv(attachment->stream.descriptor, buffer, sizeof(buffer), 0);
    if (count > 0) {
        fwrite(buffer, 1, (size_t)count, stdout);
        fflush(stdout);
        return true;
    }
    if (count < 0 && errno == EINTR)
        return true;
    if (count < 0)
        attachment->result = -errno;
    return false;
}

enum { TOKEN_INPUT, TOKEN_SERVER };

static int converse(struct attachment *attachment, struct kn_poll *poll, struct kn_events *events)
{
    int result = kn_poll_register(poll, attachment->stream.descriptor, TOKEN_SERVER, KN_READABLE);
    if (result < 0)
        return result;
    /* A file is always ready, which epoll cannot say: it is read first. */
    result = kn_poll_register(poll, STDIN_FILENO, TOKEN_INPUT, KN_READABLE);
    while (result == -EPERM && !attachment->input_ended)
        read_input(attachment);
    bool is_open = true;
    while (is_open && attachment->result == 0) {
        result = kn_poll_wait(poll, events, -1);
        if (result < 0 && result != -EINTR)
            return result;
        for (size_t i = 0; i < events->count; i++) {
            if (events->list[i].token == TOKEN_SERVER)
                is_open = read_server(attachment) && is_open;
            else if (attachment->is_editing)
                terminal_read();
            else
                read_input(attachment);
        }
        if (attachment->input_ended)
            (void)kn_poll_deregister(poll, STDIN_FILENO);
    }
    return attachment->result;
}

static int attach(const char *path, bool plain)
{
    char text[KN_ADDRESS_TEXT_BYTES];
    struct kn_address address;
    struct attachment attachment = {0};
    int length = snprintf(text, sizeof(text), "unix:%s", path);
    int result = length < (int)sizeof(text) ? kn_address_parse(text, &address) : -ENAMETOOLONG;
    if (result == 0) {
        /* Blocking: there is nothing else to do meanwhile. */
        attachment.stream.descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        const struct sockaddr *raw = (const struct sockaddr *)(const void *)&address.storage;
        if (attachment.stream.descriptor < 0 || connect(attachment.stream.descriptor, raw, address.length) < 0)
            result = -errno;
    }
    if (result < 0) {
        fprintf(stderr, "console: cannot attach to %s: %s\n", path, kn_error_text(result));
        return result == -ENOENT ? EX_UNAVAILABLE : option_exit_code(result);
    }
    struct kn_poll poll;
    struct kn_events events = {0};
    result = kn_poll_open(&poll, KN_POLL_BACKEND_AUTO);
    if (result == 0)
        result = kn_events_init(&events, 2);
    if (result == 0) {
        attachment.is_editing = !plain && terminal_is_usable();
        if (attachment.is_editing)
            terminal_start(on_edited_line, complete, &attachment);
        result = converse(&attachment, &poll, &events);
        if (attachment.is_editing)
            terminal_stop();
    }
    kn_events_free(&events);
    kn_poll_close(&poll);
    kn_tcp_close(&attachment.stream);
    if (result < 0)
        fprintf(stderr, "console: %s\n", kn_error_text(result));
    return option_exit_code(result);
}

static void default_path(char *path, size_t path_bytes)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    snprintf(path, path_bytes, "%s/kernel-server.sock", runtime && *runtime == '/' ? runtime : "/tmp");
}

int main(int count, char **words)
{
    static const struct option long_options[] = {
        {"plain", no_argument, NULL, 'p'},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},
        {0},
    };
    bool plain = false;
    int option;
    while ((option = getopt_long(count, words, "hV", long_options, NULL)) != -1) {
        switch (option) {
        case 'p':
            plain = true;
            break;
        case 'h':
            fputs(help, stdout);
            return EX_OK;
        case 'V':
            puts("console (The Kernel) " KN_VERSION);
            return EX_OK;
        default:
            return EX_USAGE;
        }
    }
    if (count - optind > 1)
        return option_usage_error("unexpected argument '%s'", words[optind + 1]);
    char path[4096];
    default_path(path, sizeof(path));
    signal(SIGPIPE, SIG_IGN);
    return attach(optind < count ? words[optind] : path, plain);
}
