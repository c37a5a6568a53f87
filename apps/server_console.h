/*
 * The server's consoles: one on standard input, and one for each program attached to the control socket. They are part
 * of the turns of reactor 0: on the poll of its server where it has one, and otherwise on a poll of their own.
 *
 * An answer is written before the next line is read. Who is slow to read it holds up all that reactor 0 does: for a
 * second at most on the control socket, until he reads on standard output.
 */
#ifndef APPS_SERVER_CONSOLE_H
#define APPS_SERVER_CONSOLE_H

#include <stdbool.h>

#include "server_io.h"

struct server_console;

struct server_console_options {
    bool standard_input; /* a console on standard input */
    bool plain;          /* no line editing even on a terminal */
    const char *control; /* path of the control socket, or NULL */
    struct kn_runtime *runtime;
    struct server_io *io;
    struct kn_log *log;
};

/* Opens everything; signals SIGINT and SIGTERM must be blocked in every thread. */
int server_console_open(struct server_console **console, const struct server_console_options *options);

/* Reads standard input to its end if it is a file, and begins to edit lines on a terminal. The reactors run already,
 * but for number 0. `:quit`, Control-D and the signals begin the server's end from now on. */
void server_console_start(struct server_console *console);

/* A descriptor registered on reactor 0's server is ready. */
void server_console_event(struct server_console *console, uint64_t number);

/* Waits up to `timeout_ns` and serves what is ready: where reactor 0 has no server, or none any more. How many. */
int server_console_poll(struct server_console *console, int64_t timeout_ns);

/* Ends a poll. From any thread. */
void server_console_wake(struct server_console *console);

/* After the runtime was closed, before the servers are. NULL is harmless. */
void server_console_close(struct server_console *console);

#endif
