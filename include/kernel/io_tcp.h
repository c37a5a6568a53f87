/**
 * @file io_tcp.h
 * Connections for futures: connecting, accepting and half-closing, over IPv4, IPv6 and local paths.
 *
 * Use it with io.h and io_stream.h for clients and servers written as futures and streams; for a server of one kind,
 * with its limits and its own buffers, take server.h. It guarantees that nobody blocks, that a connection nobody takes
 * is closed, and that a listener which is out of descriptors says so and then rests instead of spinning.
 *
 *        struct kn_stream *connections = kn_stream_accept(&server->accept, &server->listener);
 *        ... kn_stream_for_each(&server->each, connections, serve, server)     serve opens KN_AS(int, value) with
 * kn_io_open
 *
 * A connection that was accepted is a bare descriptor, so that it may be opened with the driver of another reactor.
 * io.h says on which thread what may be used.
 */
#ifndef KERNEL_IO_TCP_H
#define KERNEL_IO_TCP_H

#include <kernel/future_time.h>
#include <kernel/io.h>
#include <kernel/stream.h>
#include <kernel/tcp.h>

/* ---- connecting ---- */

/** Connects. */
struct kn_future_connect {
    struct kn_future future; /* first */
    struct kn_io_wait wait;
    struct kn_io *io;
    struct kn_io_driver *driver;
    const struct kn_address *address;
    bool is_connecting; /* `io` is open, and this one's */
};

/**
 * Answers with `io`, connected and open with `driver`: it is the caller's to close then (owned: discarded, it is
 * closed). The address is lent until then. Fails with -ECONNREFUSED, -ETIMEDOUT, -EHOSTUNREACH, -EMFILE ... as
 * kn_tcp_connect and kn_io_open do; `io` is closed after a failure and a drop. Nothing gives up by itself sooner than
 * the system: kn_future_timeout does.
 */
struct kn_future *kn_future_connect(struct kn_future_connect *self, struct kn_io *io, struct kn_io_driver *driver,
                                    const struct kn_address *address);

/* ---- accepting ---- */

/** A listener of a driver. */
struct kn_io_listener {
    struct kn_io io;                 /* of the same descriptor */
    struct kn_tcp_listener listener; /**< for its address, and to shed a connection */
};

/** Listens, as kn_tcp_listen. On the driver's thread, or before that runs. @return 0, or as kn_tcp_listen and
 * kn_io_open. */
KN_CHECK_RESULT int kn_io_listen(struct kn_io_listener *listener, struct kn_io_driver *driver,
                                 const struct kn_address *address, const struct kn_tcp_listener_options *options);

/** Stops listening; who waits fails with -ECANCELED. Harmless on a closed one. On the driver's thread. */
void kn_io_listener_close(struct kn_io_listener *listener);

/** Accepts one connection. */
struct kn_future_accept {
    struct kn_future future; /* first */
    struct kn_io_wait wait;
    struct kn_io_listener *listener;
    struct kn_address peer; /**< whose connection was answered with */
};

/**
 * Answers with the descriptor of a connection, non-blocking (owned: discarded, it is closed). Connections that died
 * while they waited are passed over; fails with -EMFILE, -ENFILE, -ENOBUFS and -ENOMEM when the system is out of means.
 */
struct kn_future *kn_future_accept(struct kn_future_accept *self, struct kn_io_listener *listener);

/** How long a listener rests after a failure. */
#define KN_ACCEPT_REST_NS UINT64_C(50000000)

/** Accepts connections. */
struct kn_stream_accept {
    struct kn_stream stream; /* first */
    struct kn_future_accept accept;
    struct kn_future_delay rest; /* after a failure */
    bool is_resting;
    bool is_over; /* the listener is closed, or of another reactor */
};

/**
 * The connections of a listener, as kn_future_accept answers them; accept.peer says whose the last one is. Never ends
 * while the listener is open. When the system is out of means that failure is an item: who polls on waits
 * KN_ACCEPT_REST_NS before the next attempt, while the connections wait in the backlog. After another failure it ends.
 */
struct kn_stream *kn_stream_accept(struct kn_stream_accept *self, struct kn_io_listener *listener);

/* ---- half-closing ---- */

/** Ends a direction. */
struct kn_future_shutdown {
    struct kn_future future; /* first */
    struct kn_io *io;
    enum kn_tcp_shutdown how;
};

/** Answers with nothing once the direction has ended: after KN_TCP_SHUTDOWN_WRITE the peer reads the end. Fails with
 * -ENOTCONN, -ENOTSOCK, -EBADF ... The descriptor stays open. */
struct kn_future *kn_future_shutdown(struct kn_future_shutdown *self, struct kn_io *io, enum kn_tcp_shutdown how);

#endif
