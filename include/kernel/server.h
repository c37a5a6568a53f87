/* A server: one listener, a slab of connections, and a handler that sees bytes in place. */
#ifndef KERNEL_SERVER_H
#define KERNEL_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <kernel/atomic.h>
#include <kernel/poll.h>
#include <kernel/tcp.h>

struct kn_server;
struct kn_connection; /* lives in the server's slab from on_open to on_close; see connection.h */

enum kn_close_reason {
    KN_CLOSE_BY_PEER,      /* orderly end of stream, everything answered */
    KN_CLOSE_BY_HANDLER,   /* kn_connection_close */
    KN_CLOSE_RESET,        /* peer reset, or another socket error: kn_connection_error tells which */
    KN_CLOSE_IDLE,         /* idle timeout */
    KN_CLOSE_INPUT_LIMIT,  /* handler left more unconsumed input than max_input_bytes */
    KN_CLOSE_OUTPUT_LIMIT, /* output beyond max_output_bytes */
    KN_CLOSE_DRAIN,        /* server drained or stopped */
};

/* All callbacks run on the thread that calls kn_server_run / kn_server_turn; any may be NULL but on_readable. */
struct kn_server_handler {
    void *context;
    /* 0 accepts; a negative errno refuses (closed, on_close not called). */
    int (*on_open)(void *context, struct kn_connection *connection);
    /* A view of all unconsumed input, in place. Returns how many bytes it is done with (0..length); the rest is
     * kept and shown again, with what follows, when more arrives. `end_of_stream`: the peer will send no more. */
    size_t (*on_readable)(void *context, struct kn_connection *connection, const void *view, size_t length_bytes,
                          bool end_of_stream);
    /* Optional pair, in place of on_readable: receive straight into memory of the handler (say, space claimed in a
     * queue to another core). on_receive returns how many bytes fit at *space; 0 pauses the connection until
     * kn_connection_resume. on_received always follows a non-zero answer: with what arrived, or with 0 and
     * end_of_stream, or with 0 and neither (nothing came: give the space up). */
    size_t (*on_receive)(void *context, struct kn_connection *connection, void **space);
    void (*on_received)(void *context, struct kn_connection *connection, size_t length_bytes, bool end_of_stream);
    /* Pending output has drained below half of the limit after a claim or write answered -EAGAIN. */
    void (*on_writable)(void *context, struct kn_connection *connection);
    void (*on_close)(void *context, struct kn_connection *connection, enum kn_close_reason reason);
    /* A token of the application (registered on kn_server_poll with KN_SERVER_USER_TOKEN(n)) is ready. */
    void (*on_event)(void *context, struct kn_server *server, uint64_t number, uint32_t event_flags);
    /* Once a turn, after all events: flush what was batched. */
    void (*on_turn)(void *context, struct kn_server *server);
};

#define KN_SERVER_USER_TOKEN(number) ((kn_token)(number) | (UINT64_C(1) << 63))

/* Zero means the default in parentheses. */
struct kn_server_options {
    struct kn_address address;
    uint32_t max_connections;      /* (1024) beyond it, connections wait in the backlog; slab is sized by it */
    uint32_t max_input_bytes;      /* unconsumed bytes a connection may keep (64 KiB) */
    uint32_t max_output_bytes;     /* unsent bytes a connection may have pending (256 KiB) */
    int64_t idle_timeout_ns;       /* (60 s); negative: never */
    int64_t drain_timeout_ns;      /* (5 s) to flush pending output on drain */
    int64_t spin_ns;               /* how long a turn polls before it sleeps in the kernel (0: not at all) */
    int backlog;                   /* (SOMAXCONN) */
    bool reuse_port;
    enum kn_poll_backend backend;
};

/* Written by the server's thread, read by any with kn_counter_read. */
struct kn_server_counters {
    _Atomic uint64_t accepted, refused, shed, closed, open, bytes_in, bytes_out, readable_events, paused, idle_closed,
        resets, turns;
};

int kn_server_open(struct kn_server **server, const struct kn_server_options *options,
                   const struct kn_server_handler *handler);
void kn_server_close(struct kn_server *server); /* frees; connections still open get on_close(KN_CLOSE_DRAIN) */
int kn_server_address(const struct kn_server *server, struct kn_address *address);
struct kn_poll *kn_server_poll(struct kn_server *server);
const struct kn_server_counters *kn_server_counters(const struct kn_server *server);
/* One turn: waits up to timeout_ns (negative: until something happens), serves what is ready. 0, or -errno;
 * -ESHUTDOWN once a drain has finished. */
int kn_server_turn(struct kn_server *server, int64_t timeout_ns);
/* Turns until drained: 0, or the -errno that ended it. */
int kn_server_run(struct kn_server *server);
/* From any thread and from a signal handler: stop accepting, answer what has been read, flush, close. */
void kn_server_drain(struct kn_server *server);
/* From any thread: makes the current wait return. */
void kn_server_wake(struct kn_server *server);
/* The connection of an id, or NULL when it has gone; the server's thread only. */
struct kn_connection *kn_server_find(struct kn_server *server, uint64_t connection_id);
/* Visits every open connection; the server's thread only. */
void kn_server_each(struct kn_server *server, void (*visit)(void *context, struct kn_connection *connection),
                    void *context);

#endif
