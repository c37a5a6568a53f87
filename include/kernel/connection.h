/* One accepted connection: its output side, its limits and its identity. The server's thread only. */
#ifndef KERNEL_CONNECTION_H
#define KERNEL_CONNECTION_H

#include <kernel/server.h>

/* Never reused while the server lives: slab index in the low 32 bits, generation in the high. */
uint64_t kn_connection_id(const struct kn_connection *connection);
const struct kn_address *kn_connection_peer(const struct kn_connection *connection);
void *kn_connection_user(const struct kn_connection *connection);
void kn_connection_set_user(struct kn_connection *connection, void *user);
int kn_connection_error(const struct kn_connection *connection); /* 0 or -errno that closed it */
struct kn_connection_stats { uint64_t bytes_in, bytes_out, opened_ns, active_ns; uint32_t pending_input_bytes, pending_output_bytes; bool paused; };
void kn_connection_stats(const struct kn_connection *connection, struct kn_connection_stats *stats);

/* Claims `length_bytes` of output space, to be written in place; -EAGAIN beyond max_output_bytes (on_writable
 * follows), -EMSGSIZE when it can never fit. Publish up to that many; what is published goes out at the end of the turn. */
int kn_connection_claim(struct kn_connection *connection, size_t length_bytes, void **space);
void kn_connection_publish(struct kn_connection *connection, size_t length_bytes);
/* Sends from the caller's memory at once when nothing is pending, and keeps a copy of the rest. All or -EAGAIN. */
int kn_connection_write(struct kn_connection *connection, const void *bytes, size_t length_bytes);
/* Stops or resumes reading from the socket: backpressure by the handler's own decision. */
void kn_connection_pause(struct kn_connection *connection);
void kn_connection_resume(struct kn_connection *connection);
/* Counts replies still owed: an end of stream or a drain closes the connection only when every hold is released. */
void kn_connection_hold(struct kn_connection *connection);
void kn_connection_release(struct kn_connection *connection);
/* Closes after pending output is flushed; on_close follows. */
void kn_connection_close(struct kn_connection *connection);

#endif
