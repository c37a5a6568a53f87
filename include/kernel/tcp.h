/**
 * @file tcp.h
 * Non-blocking stream sockets: listeners and streams over IPv4, IPv6 and local paths.
 *
 * Use it with a kn_poll to write a client or a server of your own; for the usual server take server.h. Nothing here
 * blocks, raises SIGPIPE or restarts by surprise: "not now" is -EAGAIN, an interrupted call is repeated inside. A
 * listener or stream belongs to one thread at a time; every function is one system call, or two.
 */
#ifndef KERNEL_TCP_H
#define KERNEL_TCP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include <kernel/address.h>
#include <kernel/atomic.h>

/** A socket that accepts connections. */
struct kn_tcp_listener {
    int descriptor;       /**< register it for KN_READABLE; -1 when closed */
    int spare_descriptor; /**< given up for a moment to shed a connection when descriptors run out */
};

/** The zero value is the default. */
struct kn_tcp_listener_options {
    int backlog;     /**< connections that may wait to be accepted; 0: as many as the system allows */
    bool reuse_port; /**< several listeners share the address, and the system spreads connections over them */
};

/** One end of a connection. */
struct kn_tcp_stream {
    int descriptor; /**< register it with a poll; -1 when closed */
};

/** Which direction of a stream ends. */
enum kn_tcp_shutdown { KN_TCP_SHUTDOWN_READ, KN_TCP_SHUTDOWN_WRITE, KN_TCP_SHUTDOWN_BOTH };

/**
 * Listens. The caller owns the listener and closes it. A socket file whose server has died is replaced.
 * @return 0; -EADDRINUSE, -EADDRNOTAVAIL, -EACCES (a privileged port, or a directory), -EMFILE, -ENFILE, ...
 */
KN_CHECK_RESULT int kn_tcp_listen(struct kn_tcp_listener *listener, const struct kn_address *address,
                                  const struct kn_tcp_listener_options *options);

/** Stops listening, and removes the file of a local socket. Harmless on a closed one. */
void kn_tcp_listener_close(struct kn_tcp_listener *listener);

/** The address listened on, with the port that the system chose for port 0. @return 0 or -errno. */
int kn_tcp_listener_address(const struct kn_tcp_listener *listener, struct kn_address *address);

/**
 * Accepts one connection; the caller owns the stream. Connections that died while they waited are passed over.
 * @return 0; -EAGAIN when none waits; -EMFILE, -ENFILE, -ENOMEM, -ENOBUFS when the system is out of means: the
 * connection still waits then, and kn_tcp_listener_shed gets rid of it.
 */
KN_CHECK_RESULT int kn_tcp_accept(struct kn_tcp_listener *listener, struct kn_tcp_stream *stream,
                                  struct kn_address *peer);

/**
 * Accepts one waiting connection on the spare descriptor and closes it at once, so that its peer learns that it is not
 * served instead of waiting for ever. @return 0, or what kn_tcp_accept answers.
 */
int kn_tcp_listener_shed(struct kn_tcp_listener *listener);

/**
 * Begins to connect; the caller owns the stream unless an error other than -EINPROGRESS is returned.
 * @return 0 when connected at once; -EINPROGRESS: wait until writable, then ask kn_tcp_connect_result; else -errno.
 */
KN_CHECK_RESULT int kn_tcp_connect(struct kn_tcp_stream *stream, const struct kn_address *address);

/** How a connect in progress ended. @return 0, or -ECONNREFUSED, -ETIMEDOUT, -EHOSTUNREACH ... */
int kn_tcp_connect_result(struct kn_tcp_stream *stream);

/** Closes. Harmless on a closed stream. */
void kn_tcp_close(struct kn_tcp_stream *stream);

/** Ends one direction or both; after KN_TCP_SHUTDOWN_WRITE the peer reads an end of stream. @return 0 or -errno. */
int kn_tcp_shutdown(struct kn_tcp_stream *stream, enum kn_tcp_shutdown how);

/** Whether small messages go out at once (enabled) or wait for an acknowledgement (Nagle). @return 0 or -errno. */
int kn_tcp_no_delay(struct kn_tcp_stream *stream, bool enabled);

/** Receives what is there. @return bytes; 0 at the end of the stream; -EAGAIN when nothing is there; -ECONNRESET ... */
ptrdiff_t kn_tcp_receive(struct kn_tcp_stream *stream, void *buffer, size_t length_bytes);

/** Receives into several pieces. @return as kn_tcp_receive; -EINVAL for more than IOV_MAX pieces. */
ptrdiff_t kn_tcp_receive_vector(struct kn_tcp_stream *stream, const struct iovec *vector, size_t count);

/** Sends what fits. @return bytes, possibly fewer; -EAGAIN when nothing fits; -EPIPE, -ECONNRESET ... */
ptrdiff_t kn_tcp_send(struct kn_tcp_stream *stream, const void *buffer, size_t length_bytes);

/** Sends several pieces as one. @return as kn_tcp_send; -EINVAL for more than IOV_MAX pieces. */
ptrdiff_t kn_tcp_send_vector(struct kn_tcp_stream *stream, const struct iovec *vector, size_t count);

#endif
