/*
 * The server's two working threads: one that moves bytes between sockets and queues, one that handles them. With a
 * single core, one thread does both.
 */
#ifndef APPS_SERVER_IO_H
#define APPS_SERVER_IO_H

#include <stdbool.h>
#include <stdint.h>

#include <kernel/log.h>
#include <kernel/server.h>

struct server_io;

struct server_io_options {
    struct kn_server_options server;
    bool offload;     /* handle on a thread of its own */
    int io_core;      /* -1: wherever the system likes */
    int handler_core; /* likewise */
    struct kn_log *log;
};

/* A connection as the console shows it. */
struct connection_row {
    uint64_t id;
    char peer[KN_ADDRESS_TEXT_BYTES];
    uint64_t bytes_in;
    uint64_t bytes_out;
    uint64_t age_ns;
    uint32_t pending_bytes;
    bool is_paused;
};

/* Listens and starts the threads. `on_end` is called on the IO thread when it has served its last. */
int server_io_start(struct server_io **io, const struct server_io_options *options, void (*on_end)(void *context),
                    void *context);

/* Begins an orderly end; on_end follows. */
void server_io_drain(struct server_io *io);

/* Waits for the threads and frees all. Returns what ended the server: 0 after a drain. */
int server_io_finish(struct server_io *io);

struct kn_server *server_io_server(struct server_io *io);

/* Asks the IO thread for its connections, and shows each. Returns how many more there were than it lists at once. */
uint64_t server_io_connections(struct server_io *io, void (*show)(void *context, const struct connection_row *row),
                               void *context);

#endif
