/* Non-blocking stream sockets: TCP over IPv4 and IPv6, and local sockets by path. */
#ifndef KERNEL_TCP_H
#define KERNEL_TCP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define KN_ADDRESS_TEXT_BYTES 128

struct kn_address {
    struct sockaddr_storage storage;
    socklen_t length;
};

/* "127.0.0.1:8000", "[::1]:8000", "localhost:8000" (loopback, no resolver), ":8000" (loopback), "unix:/path".
 * -EINVAL with nothing written for anything else. Never consults DNS. */
int kn_address_parse(const char *text, struct kn_address *address);
/* Writes the address as kn_address_parse reads it. */
int kn_address_format(const struct kn_address *address, char *text, size_t text_bytes);
uint16_t kn_address_port(const struct kn_address *address);

struct kn_tcp_listener {
    int descriptor;
    int spare_descriptor; /* given up for a moment to shed a connection when descriptors run out */
};

struct kn_tcp_listener_options {
    int backlog;      /* 0: SOMAXCONN */
    bool reuse_port;  /* SO_REUSEPORT, for one listener a core */
};

struct kn_tcp_stream {
    int descriptor;
};

enum kn_tcp_shutdown { KN_TCP_SHUTDOWN_READ, KN_TCP_SHUTDOWN_WRITE, KN_TCP_SHUTDOWN_BOTH };

int kn_tcp_listen(struct kn_tcp_listener *listener, const struct kn_address *address,
                  const struct kn_tcp_listener_options *options);
void kn_tcp_listener_close(struct kn_tcp_listener *listener);
int kn_tcp_listener_address(const struct kn_tcp_listener *listener, struct kn_address *address);
/* 0; -EAGAIN none waiting; -EMFILE/-ENFILE/-ENOMEM/-ENOBUFS out of means; transient network errors of the
 * dead connection are retried inside. */
int kn_tcp_accept(struct kn_tcp_listener *listener, struct kn_tcp_stream *stream, struct kn_address *peer);
/* After -EMFILE: accepts and closes one waiting connection with the spare descriptor: 0, or -EAGAIN when none. */
int kn_tcp_listener_shed(struct kn_tcp_listener *listener);

/* 0 connected at once; -EINPROGRESS: wait for writable, then kn_tcp_connect_result. */
int kn_tcp_connect(struct kn_tcp_stream *stream, const struct kn_address *address);
int kn_tcp_connect_result(struct kn_tcp_stream *stream);
void kn_tcp_close(struct kn_tcp_stream *stream);
int kn_tcp_shutdown(struct kn_tcp_stream *stream, enum kn_tcp_shutdown how);
int kn_tcp_no_delay(struct kn_tcp_stream *stream, bool enabled);
/* Bytes moved, 0 at end of stream (receive only), or -EAGAIN, -ECONNRESET, -EPIPE ... Never raises SIGPIPE. EINTR is retried. */
ptrdiff_t kn_tcp_receive(struct kn_tcp_stream *stream, void *buffer, size_t length_bytes);
ptrdiff_t kn_tcp_receive_vector(struct kn_tcp_stream *stream, const struct iovec *vector, size_t count);
ptrdiff_t kn_tcp_send(struct kn_tcp_stream *stream, const void *buffer, size_t length_bytes);
ptrdiff_t kn_tcp_send_vector(struct kn_tcp_stream *stream, const struct iovec *vector, size_t count);

#endif
