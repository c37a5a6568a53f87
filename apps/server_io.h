/*
 * The server's input and output: a kn_server for each reactor with that role, all on one port, whose turns are part of
 * the reactor's. What clients send is handled where it arrives, or, offloaded, on a thread of its own for each.
 *
 * The system deals connections out by a hash of their addresses, and a local socket has one listener only; so whoever
 * has accepted a connection, and has more of them than another, hands it over: a task of its own on that reactor.
 *
 * Reactor 0 is the caller's, and all functions here belong to its thread. It may have that role like any other; its
 * turns of the server are then the caller's to take, who has consoles to serve on the same reactor.
 */
#ifndef APPS_SERVER_IO_H
#define APPS_SERVER_IO_H

#include <stdbool.h>
#include <stdint.h>

#include <kernel/log.h>
#include <kernel/reactor.h>
#include <kernel/server.h>

struct server_io;

struct server_io_options {
    struct kn_server_options server; /* of all together: each has its share of the connections */
    struct kn_runtime *runtime;      /* not started yet; closed before server_io_close */
    bool offload;                    /* handle on other threads */
    struct kn_log *log;
    void (*on_event)(void *context, uint64_t number); /* of descriptors registered on reactor 0's server */
    void (*on_end)(void *context);                    /* on whatever reactor ends last: nothing is served any more */
    void *context;                                    /* of both */
};

/* A connection as the console shows it. */
struct connection_row {
    uint64_t id;
    struct kn_address peer;
    uint64_t bytes_in;
    uint64_t bytes_out;
    uint64_t age_ns;
    bool is_paused;
};

/* What the runtime's pools have to hold for this: so many tasks of so many bytes on each reactor. Without one to spare
 * a connection stays where it was accepted. */
enum { SERVER_IO_TASKS = 256 };
extern const size_t server_io_task_bytes;

/* Listens, and gives the reactors but for number 0 their input and output. -ENOSYS when none has that role. */
int server_io_open(struct server_io **io, const struct server_io_options *options);

/* After the runtime was closed. Returns what ended the servers: 0 after a drain. NULL is harmless. */
int server_io_close(struct server_io *io);

/* Begins an orderly end; on_end follows. */
void server_io_drain(struct server_io *io);

/* The server of reactor 0 and the turns to take of it, or NULL where it has none. */
struct kn_server *server_io_local(struct server_io *io, struct kn_reactor_io *turns);

/* How many servers there are. */
size_t server_io_count(const struct server_io *io);

struct kn_server *server_io_server(const struct server_io *io, size_t index);
struct kn_reactor *server_io_reactor(const struct server_io *io, size_t index);

/*
 * Asks all reactors for their connections, as a task on each, and waits for a moment. Afterwards server_io_rows answers
 * the rows of one, and how many more it has; -ETIMEDOUT when it was too busy to answer.
 */
void server_io_list(struct server_io *io);
int server_io_rows(const struct server_io *io, size_t index, const struct connection_row **rows, size_t *count,
                   uint64_t *left_out);

#endif
