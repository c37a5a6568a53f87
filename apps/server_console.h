/*
 * The server's consoles: one on standard input, and one for each program attached to the control socket. They run on
 * one thread, over one poll.
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
    struct kn_log *log;
};

/* Opens everything; signals SIGINT and SIGTERM must be blocked in every thread. */
int server_console_open(struct server_console **console, const struct server_console_options *options);

/* Tells the consoles, from any thread, that the server has ended. */
void server_console_server_ended(void *console);

/* Serves the consoles until the server has ended; `:quit`, Control-D and the signals begin its end. */
int server_console_run(struct server_console *console, struct server_io *io);

void server_console_close(struct server_console *console);

#endif
