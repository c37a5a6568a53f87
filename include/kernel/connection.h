/**
 * @file connection.h
 * One accepted connection: its output side, its limits and its identity.
 *
 * Use it inside the callbacks of a server's handler, or between turns with what kn_server_find returns; keep the id,
 * not the pointer, beyond a callback. It guarantees that output leaves in the order in which it was published or
 * written, and that no function here frees the connection: closing takes effect after the callback.
 *
 * Every function belongs to the server's thread, never blocks, and but for the growth of a leased buffer before the
 * pool is warm never allocates.
 */
#ifndef KERNEL_CONNECTION_H
#define KERNEL_CONNECTION_H

#include <kernel/server.h>

/** Never reused while the server lives: slab index in the low 32 bits, generation in the high. */
uint64_t kn_connection_id(const struct kn_connection *connection);

/** The peer's address, valid as long as the connection. */
const struct kn_address *kn_connection_peer(const struct kn_connection *connection);

/** The application's word, NULL at first. */
void *kn_connection_user(const struct kn_connection *connection);

/** Sets the application's word; what it points to stays the application's. */
void kn_connection_set_user(struct kn_connection *connection, void *user);

/** 0, or the -errno that closed it: meaningful in on_close(KN_CLOSE_RESET). */
int kn_connection_error(const struct kn_connection *connection);

/** A connection's state at one moment. */
struct kn_connection_stats {
    uint64_t bytes_in;             /**< received */
    uint64_t bytes_out;            /**< handed to the system */
    uint64_t opened_ns;            /**< monotonic clock, when it was accepted */
    uint64_t active_ns;            /**< monotonic clock, when a byte last moved */
    uint32_t pending_input_bytes;  /**< kept, unconsumed */
    uint32_t pending_output_bytes; /**< published or written, unsent */
    bool paused;                   /**< not read: by the handler, or because output is pending */
};

/** Fills `*stats`. */
void kn_connection_stats(const struct kn_connection *connection, struct kn_connection_stats *stats);

/**
 * Claims `length_bytes` of contiguous output space, to be written in place and published before anything else is done
 * with the connection. Claiming again gives an unpublished claim up.
 *
 * @return 0; -EAGAIN when it would exceed max_output_bytes (on_writable follows, and kept input is shown again);
 * -EMSGSIZE when it can never fit; -EPIPE when the connection is closing; -ENOMEM. `*space` is NULL after an error.
 */
KN_CHECK_RESULT int kn_connection_claim(struct kn_connection *connection, size_t length_bytes, void **space);

/**
 * Publishes the first `length_bytes` of the claim, at most all of it. It goes out with everything else published in
 * the same event by one system call, at the latest at the end of the turn.
 */
void kn_connection_publish(struct kn_connection *connection, size_t length_bytes);

/**
 * Sends from the caller's memory at once when nothing is pending, and keeps a copy of what the socket does not take.
 * All or nothing. For many small replies to one view claim and publish cost fewer system calls.
 *
 * @return 0, or as kn_connection_claim; -EPIPE also when the socket turns out to be broken: on_close follows.
 */
KN_CHECK_RESULT int kn_connection_write(struct kn_connection *connection, const void *bytes, size_t length_bytes);

/** Stops reading from the socket: backpressure by the handler's own decision. Idempotent. */
void kn_connection_pause(struct kn_connection *connection);

/** Reads again, and first shows what is kept. Idempotent. */
void kn_connection_resume(struct kn_connection *connection);

/**
 * Counts a reply still owed: an end of stream or a drain closes the connection only when every hold is released, and
 * a held connection is not idle.
 */
void kn_connection_hold(struct kn_connection *connection);

/** Releases one hold. There must be one. */
void kn_connection_release(struct kn_connection *connection);

/** Closes after pending output is flushed; nothing is read any more; on_close follows. Idempotent. */
void kn_connection_close(struct kn_connection *connection);

#endif
