/*
 * The other end of a program's console: sends it commands and takes its answers line by line.
 *
 * Use it for programs that ask and read the answers themselves; console(1) only passes them on. It belongs to one
 * thread; memory grows with the longest line, up to a limit. Functions answer 0 or a negative errno, -ECONNRESET when
 * the program has closed the connection.
 */
#ifndef APPS_TOP_CLIENT_H
#define APPS_TOP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Invariant: `shown` <= `length` <= `capacity`; the bytes below `shown` were given out as lines. */
struct top_client {
    int descriptor;
    char *bytes;
    size_t length;
    size_t capacity;
    size_t shown;
};

/* Where a server's control socket is unless told otherwise: as console(1) has it. */
void top_client_default_path(char *path, size_t path_bytes);

/* Attaches to the socket at a path. Close it after success. */
int top_client_open(struct top_client *client, const char *path);

/* Harmless on a zeroed or closed one. */
void top_client_close(struct top_client *client);

/* Sends a command, which is given without the end of its line. */
int top_client_ask(struct top_client *client, const char *command);

/* Reads what is there, once, when the descriptor is readable. -EMSGSIZE for a line beyond all limits. */
int top_client_receive(struct top_client *client);

/* Takes the next whole line, without its end; it is valid until the next receive. False when there is none yet. */
bool top_client_line(struct top_client *client, const char **line, size_t *length_bytes);

/* Waits for the next whole line, -ETIMEDOUT when it takes longer than this. -EINTR when `interruption`, a descriptor or
 * -1, becomes readable. */
int top_client_wait(struct top_client *client, int64_t timeout_ns, int interruption, const char **line,
                    size_t *length_bytes);

#endif
