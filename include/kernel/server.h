/**
 * @file server.h
 * A server: one listener, a slab of connections, and a handler that is shown the bytes in place.
 *
 * Use it to answer many stream clients (TCP or local sockets) on one thread, and run one server a core, each with
 * `reuse_port`, for more; do not use it for outgoing connections, which are a kn_tcp_stream on a kn_poll. It
 * guarantees that bytes are neither lost nor reordered, that no client can make it hold more memory than its limits
 * allow or keep the others waiting, that on_close follows each successful on_open exactly once, and that after
 * warm-up neither a message nor a readable event allocates from the heap.
 *
 * A turn waits for events, notes them, serves every connection that has work once, and ends with `on_turn`:
 *
 *        wait --> note events --> serve ready connections --> timeouts --> on_turn --> flush --> (wait)
 *                                   ^        |
 *                                   +--------+ work left beyond 64 KiB: next turn
 *
 * Serving a connection receives into one buffer that all connections share, shows the handler a view of it, and keeps
 * only what the handler left, in a buffer leased from a pool; replies are collected in a leased buffer too and leave
 * with one system call. An idle connection therefore owns its slab entry (below 320 bytes) and nothing else.
 *
 * Backpressure: above half of `max_output_bytes` pending a connection is no longer read, below a quarter it is again;
 * the socket's window closes meanwhile and the peer waits. A connection's two buffers never take more than four times
 * `max_input_bytes` and `max_output_bytes` (powers of two, and room to grow without copying too often).
 *
 * Except where it says otherwise a function belongs to the server's thread: the one that takes its turns. None but
 * those marked so may be called from several threads; kn_server_turn, kn_server_run and kn_server_close may not be
 * called from a callback.
 */
#ifndef KERNEL_SERVER_H
#define KERNEL_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <kernel/atomic.h>
#include <kernel/poll.h>
#include <kernel/tcp.h>

/** The server. Opaque; made by kn_server_open, freed by kn_server_close. */
struct kn_server;

struct kn_log;

/** One connection. It lives in the server's slab from on_open until on_close has returned; see connection.h. */
struct kn_connection;

/** Why a connection was closed. */
enum kn_close_reason {
    KN_CLOSE_BY_PEER,      /**< orderly end of stream, everything answered */
    KN_CLOSE_BY_HANDLER,   /**< kn_connection_close */
    KN_CLOSE_RESET,        /**< peer reset, or another error: kn_connection_error tells which */
    KN_CLOSE_IDLE,         /**< nothing moved for the idle timeout */
    KN_CLOSE_INPUT_LIMIT,  /**< the handler left more unconsumed input than max_input_bytes */
    KN_CLOSE_OUTPUT_LIMIT, /**< the peer left full output (claim or write answered -EAGAIN) unread for the idle timeout
                            */
    KN_CLOSE_DRAIN,        /**< the server drained, or was closed */
};

/**
 * What the application does with connections. All callbacks run on the server's thread; any may be NULL, but either
 * on_readable or both on_receive and on_received are needed. A callback may use every kn_connection function on every
 * connection, closing included: nothing is freed under its feet.
 */
struct kn_server_handler {
    void *context; /**< handed to every callback */

    /**
     * Somebody connected, before on_open: true takes the stream away, which is the handler's from then on, say to give
     * it to a server that has less to do (kn_server_adopt); false leaves it here.
     */
    bool (*on_accept)(void *context, struct kn_tcp_stream stream, const struct kn_address *peer);

    /** A connection was accepted: 0 keeps it; a negative errno refuses it (closed, on_close is not called). */
    int (*on_open)(void *context, struct kn_connection *connection);

    /**
     * A view of all unconsumed input, contiguous and in place, valid until the callback returns: at most
     * max_input_bytes and one byte. Returns how many bytes it is done with (0 to length_bytes). The rest is kept and
     * shown again, with what follows, when more arrives, when kn_connection_resume is called, or when output that
     * answered -EAGAIN has room again. `end_of_stream`: the peer will send no more; `length_bytes` may be 0 then.
     */
    size_t (*on_readable)(void *context, struct kn_connection *connection, const void *view, size_t length_bytes,
                          bool end_of_stream);

    /**
     * With on_received, in place of on_readable: receive straight into memory of the handler (say, space claimed in a
     * queue to another core). Returns how many bytes fit at `*space`; 0 pauses the connection until
     * kn_connection_resume.
     */
    size_t (*on_receive)(void *context, struct kn_connection *connection, void **space);

    /**
     * Always follows a non-zero answer of on_receive: with what arrived, or with 0 and end_of_stream, or with 0 and
     * neither (nothing came: give the space up).
     */
    void (*on_received)(void *context, struct kn_connection *connection, size_t length_bytes, bool end_of_stream);

    /** After a claim or write answered -EAGAIN: pending output is below half of its limit and that claim now fits. */
    void (*on_writable)(void *context, struct kn_connection *connection);

    /** The connection is gone: its functions do nothing any more, its memory is valid until the callback returns. */
    void (*on_close)(void *context, struct kn_connection *connection, enum kn_close_reason reason);

    /** A token of the application, registered on kn_server_poll as KN_SERVER_USER_TOKEN(number), is ready. */
    void (*on_event)(void *context, struct kn_server *server, uint64_t number, uint32_t event_flags);

    /** Once a turn, after all events: flush what was batched. What it publishes still goes out in the same turn. */
    void (*on_turn)(void *context, struct kn_server *server);
};

/** The token under which an application registers a descriptor of its own on kn_server_poll; `number` below 2^63. */
#define KN_SERVER_USER_TOKEN(number) ((kn_token)(number) | (UINT64_C(1) << 63))

/** What a server is made of. Zero means the default in parentheses; the address is needed. */
struct kn_server_options {
    struct kn_address address;    /**< where to listen; port 0 lets the system choose, see kn_server_address; zeroed:
                                       nowhere, for a server whose connections are all adopted */
    uint32_t max_connections;     /**< (1024) beyond it, connections wait in the backlog; the slab is sized by it */
    uint32_t max_input_bytes;     /**< unconsumed bytes a connection may keep (64 KiB), at most 1 GiB */
    uint32_t max_output_bytes;    /**< unsent bytes a connection may have pending (256 KiB), at most 1 GiB */
    int64_t idle_timeout_ns;      /**< (60 s) without a byte either way; up to 1/64 longer; negative: never */
    int64_t drain_timeout_ns;     /**< (5 s) for answers owed and pending output on drain */
    int64_t spin_ns;              /**< how long after the last event a turn polls before it sleeps (0: not at all) */
    int backlog;                  /**< (SOMAXCONN) */
    bool reuse_port;              /**< several servers share the port, one a core */
    enum kn_poll_backend backend; /**< (the best there is) */
    const struct kn_log *log; /**< (silent) warns when connections are shed or accepting pauses; outlives the server */
};

/** Written by the server's thread, read by any with kn_counter_read. All but `open` only ever grow. */
struct kn_server_counters {
    _Atomic uint64_t accepted;        /**< connections taken from the backlog and kept */
    _Atomic uint64_t refused;         /**< by on_open, or for lack of memory */
    _Atomic uint64_t shed;            /**< closed unseen because descriptors ran out */
    _Atomic uint64_t closed;          /**< accepted ones that are gone */
    _Atomic uint64_t open;            /**< now */
    _Atomic uint64_t bytes_in;        /**< received */
    _Atomic uint64_t bytes_out;       /**< handed to the system */
    _Atomic uint64_t readable_events; /**< views shown, or receptions into the handler's memory */
    _Atomic uint64_t paused;          /**< times that reading from a connection stopped */
    _Atomic uint64_t idle_closed;     /**< closed by the idle timeout */
    _Atomic uint64_t resets;          /**< closed by a socket error */
    _Atomic uint64_t turns;           /**< taken */
};

/**
 * Listens, and allocates all that the server needs but for the leased buffers. The handler is copied. The caller owns
 * the server.
 *
 * @return 0; -EINVAL for an impossible option or handler; otherwise what the system says of the address:
 * -EADDRINUSE, -EADDRNOTAVAIL, -EACCES, -EAFNOSUPPORT ..., -EMFILE, -ENFILE, -ENOMEM. `*server` is NULL after an error.
 */
KN_CHECK_RESULT int kn_server_open(struct kn_server **server, const struct kn_server_options *options,
                                   const struct kn_server_handler *handler);

/** Closes every connection still open, with on_close(KN_CLOSE_DRAIN), and frees the server. NULL is harmless. */
void kn_server_close(struct kn_server *server);

/** The address it listens (or, drained, listened) on, with the port that the system chose. 0 always. Any thread. */
int kn_server_address(const struct kn_server *server, struct kn_address *address);

/** The poll on which it waits, to register descriptors of the application with KN_SERVER_USER_TOKEN. */
struct kn_poll *kn_server_poll(struct kn_server *server);

/** Its counters, valid until kn_server_close. Any thread. */
const struct kn_server_counters *kn_server_counters(const struct kn_server *server);

/**
 * One turn: waits up to `timeout_ns` (0: not at all, negative: until something happens) and serves what is ready.
 * A signal ends the wait early. Each connection is served once a turn and by 64 KiB at most.
 *
 * @return 0; -ESHUTDOWN once a drain has finished; another -errno when the poll itself fails.
 */
KN_CHECK_RESULT int kn_server_turn(struct kn_server *server, int64_t timeout_ns);

/** Turns until drained. @return 0, or the -errno that ended it. */
int kn_server_run(struct kn_server *server);

/**
 * Starts an orderly end and returns at once: the listener closes, connections in the backlog are still taken, what
 * had arrived by then is shown and answered, output is flushed, holds are waited for, and each connection closes with
 * KN_CLOSE_DRAIN; what is left after `drain_timeout_ns` is cut off. Any thread; async-signal-safe; wait-free.
 */
void kn_server_drain(struct kn_server *server);

/** Makes the current wait, or the next one, return at once. Any thread; async-signal-safe; wait-free. */
void kn_server_wake(struct kn_server *server);

/**
 * Takes over a connected stream that another server accepted; on_open follows. While the server drains, and also when
 * that is over, such a connection is one that came in time: turns go on until it has been answered. After an error the
 * stream is the caller's still.
 *
 * @return 0, also where on_open refused it; -EAGAIN when max_connections are open.
 */
KN_CHECK_RESULT int kn_server_adopt(struct kn_server *server, struct kn_tcp_stream stream,
                                    const struct kn_address *peer);

/** The connection of an id, or NULL when it has gone. */
struct kn_connection *kn_server_find(struct kn_server *server, uint64_t connection_id);

/** Visits every open connection, in no particular order. The visitor may close connections. */
void kn_server_each(struct kn_server *server, void (*visit)(void *context, struct kn_connection *connection),
                    void *context);

#endif
