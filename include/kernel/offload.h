/**
 * @file offload.h
 * Runs a server's handler on another core: bytes go there, and answers come back, through two zero-copy queues.
 *
 * Use it when handling a message costs more than a few hundred nanoseconds, so that receiving goes on meanwhile;
 * for trivial handlers a kn_server_handler on the server's own thread is faster. The socket receives straight into
 * the queue to the handler's core, and sends straight out of the queue back; nothing is allocated after
 * kn_offload_open, no lock is taken, and the system is entered only to wake a core that sleeps. Messages of one
 * connection are handled and answered in the order in which they came.
 *
 *        server's thread                                             handler's thread
 *        on_receive  -> claim | socket receives in place | publish -> peek -> on_message
 *        on_turn     <- peek  | socket sends in place    | release <- publish <- claim
 *
 * Backpressure: a connection may have `inflight_bytes` on their way at once, then its socket is not read until the
 * handler has caught up; when the queue itself is full, connections wait for it in turn. An answer that does not fit
 * the connection's max_output_bytes closes the connection: let inflight_bytes be at most half of that limit, divided
 * by how many bytes the handler answers for each that it is given.
 */
#ifndef KERNEL_OFFLOAD_H
#define KERNEL_OFFLOAD_H

#include <kernel/server.h>

/** A pair of queues between a server's thread and a handler's thread. */
struct kn_offload;

/** Zero means the default in parentheses. */
struct kn_offload_options {
    size_t queue_bytes;       /**< of each direction (1 MiB): a power of two, at least a page */
    size_t message_bytes;     /**< most bytes received at once (16 KiB), at most a quarter of queue_bytes */
    size_t inflight_bytes;    /**< unanswered bytes a connection may have on their way (64 KiB) */
    uint32_t max_connections; /**< of the server (1024) */
    int64_t spin_ns;          /**< how long the handler's core looks for work before it sleeps (50 us); negative: not */
};

/** What runs on the handler's core. */
struct kn_offload_handler {
    void *context; /**< passed through */
    /** Bytes of a connection, in place, valid until it returns. They are a piece of a stream: framing is the handler's.
     */
    void (*on_message)(void *context, struct kn_offload *offload, uint64_t connection_id, const void *bytes,
                       size_t length_bytes);
};

/**
 * Creates the queues. The caller owns the offload.
 * @return 0; -EINVAL for sizes that break the rules above or without on_message; -ENOMEM, -EMFILE, -ENFILE.
 */
KN_CHECK_RESULT int kn_offload_open(struct kn_offload **offload, const struct kn_offload_options *options,
                                    const struct kn_offload_handler *handler);

/** Frees it, after both threads have left it. NULL is harmless. */
void kn_offload_close(struct kn_offload *offload);

/** The handler to pass to kn_server_open; its context is the offload. */
struct kn_server_handler kn_offload_server_handler(struct kn_offload *offload);

/** Tells which server to wake. Before that server's first turn and before kn_offload_run. */
void kn_offload_attach(struct kn_offload *offload, struct kn_server *server);

/** Serves messages on the calling thread until kn_offload_stop. One thread only. @return 0. */
int kn_offload_run(struct kn_offload *offload);

/**
 * Makes kn_offload_run return once it has served what was received. Any thread. Call it when kn_server_run has
 * returned, and wait for kn_offload_run before kn_server_close, since a late answer still wakes the server.
 */
void kn_offload_stop(struct kn_offload *offload);

/**
 * Claims space for an answer to the connection whose message is being handled. Only inside on_message. Waits for the
 * server's thread to make room; that thread never waits for this one, so the wait ends.
 * @return 0; -EMSGSIZE above message_bytes; -ECANCELED when stopped while waiting.
 */
int kn_offload_claim(struct kn_offload *offload, size_t length_bytes, void **space);

/** Sends the first `length_bytes` claimed bytes as an answer. Only inside on_message. @return 0, or -EINVAL beyond the
 * claim. */
int kn_offload_publish(struct kn_offload *offload, size_t length_bytes);

#endif
