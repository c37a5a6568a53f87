/*
 * A program to look into: reactors with some work, and consoles with :top and :trace on a local socket. Ends when its
 * standard input does. Its first argument is the socket's path, the second how many reactors it has.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <kernel/console.h>
#include <kernel/reactor.h>

#include "top_console.h"

enum { SESSIONS = 4, SPINNERS_MAX = 64 };

static const uint64_t PERIOD_NS = 200000;

/* A task that works a little and then waits for its timer. */
struct spinner {
    struct kn_task task;
    struct kn_timer timer;
    unsigned steps;
};

static enum kn_task_status spin(struct kn_task *task, struct kn_reactor *reactor)
{
    struct spinner *spinner = KN_CONTAINER_OF(task, struct spinner, task);
    for (volatile unsigned i = 0; i < 500u << (spinner->steps % 4); i++)
        continue;
    if (++spinner->steps % 8 != 0)
        return KN_TASK_YIELD;
    if (kn_timer_is_idle(&spinner->timer) &&
        kn_reactor_arm(reactor, &spinner->timer, kn_reactor_now_ns(reactor) + PERIOD_NS) == 0)
        return KN_TASK_PENDING;
    return KN_TASK_YIELD;
}

static void write_all(void *context, const char *text, size_t length)
{
    const int *descriptor = context;
    while (length > 0) {
        ssize_t count = send(*descriptor, text, length, MSG_NOSIGNAL);
        if (count < 0 && errno != EINTR)
            return;
        if (count > 0) {
            text += count;
            length -= (size_t)count;
        }
    }
}

static struct kn_runtime *runtime;

static void run_top(void *context, struct kn_console *console, const char *arguments)
{
    (void)context;
    top_console_show(console, runtime, arguments);
}

static void run_trace(void *context, struct kn_console *console, const char *arguments)
{
    (void)context;
    top_console_trace(console, runtime, arguments);
}

static const struct kn_console_command COMMANDS[] = {
    {":top", TOP_CONSOLE_SHOW_HELP, run_top},
    {":trace", TOP_CONSOLE_TRACE_HELP, run_trace},
};

static int descriptors[SESSIONS];
static struct kn_console *consoles[SESSIONS];

static void close_session(unsigned index)
{
    kn_console_close(consoles[index]);
    close(descriptors[index]);
    consoles[index] = NULL;
}

static void accept_session(int listener)
{
    int descriptor = accept(listener, NULL, NULL);
    for (unsigned i = 0; i < SESSIONS && descriptor >= 0; i++) {
        if (consoles[i])
            continue;
        descriptors[i] = descriptor;
        struct kn_console_options options = {.context = &descriptors[i],
                                             .write = write_all,
                                             .commands = COMMANDS,
                                             .command_count = sizeof(COMMANDS) / sizeof(COMMANDS[0])};
        if (kn_console_open(&consoles[i], &options) < 0)
            break;
        return;
    }
    close(descriptor);
}

static void serve(int listener)
{
    for (;;) {
        struct pollfd polled[SESSIONS + 2] = {{.fd = STDIN_FILENO, .events = POLLIN},
                                              {.fd = listener, .events = POLLIN}};
        for (unsigned i = 0; i < SESSIONS; i++)
            polled[2 + i] = (struct pollfd){.fd = consoles[i] ? descriptors[i] : -1, .events = POLLIN};
        if (poll(polled, SESSIONS + 2, -1) < 0)
            continue;
        if (polled[0].revents)
            return;
        for (unsigned i = 0; i < SESSIONS; i++)
            if (polled[2 + i].revents && kn_console_read(consoles[i], descriptors[i]) != 0)
                close_session(i);
        if (polled[1].revents)
            accept_session(listener);
    }
}

int main(int count, char **words)
{
    static const struct kn_task_type type = {.name = "spin \"here\"", .poll = spin};
    static struct spinner spinners[SPINNERS_MAX];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (count != 3 || strlen(words[1]) >= sizeof(address.sun_path))
        return 64;
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", words[1]);
    struct kn_runtime_options options = {.reactors = (size_t)atoi(words[2]), .unpinned = true, .trace_events = 4096};
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(listener, 4) < 0)
        return 71;
    if (kn_runtime_open(&runtime, &options) < 0 || kn_runtime_start(runtime, 0) < 0)
        return 71;
    top_console_start(runtime);
    for (unsigned i = 0; i < 2 * options.reactors && i < SPINNERS_MAX; i++) {
        kn_task_create(&spinners[i].task, &type, i % KN_PRIORITY_CLASSES);
        kn_timer_init_waking(&spinners[i].timer, &spinners[i].task, 0);
        kn_task_spawn(&spinners[i].task, kn_runtime_reactor(runtime, 0));
    }
    puts("Ready");
    fflush(stdout);
    serve(listener);
    for (unsigned i = 0; i < SESSIONS; i++)
        if (consoles[i])
            close_session(i);
    top_console_end();
    kn_runtime_close(runtime);
    close(listener);
    unlink(words[1]);
    return 0;
}
