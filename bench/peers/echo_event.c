/*
 * libevent at its best for small replies: a persistent read event for each connection and plain recv and send, which
 * spare the two evbuffer copies that a bufferevent makes.
 */
#include "../echo_server.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

static char read_buffer[ECHO_BUFFER_BYTES];

struct connection {
    struct event *readable;
    struct event *writable;
    char *pending; /* what the socket did not take; nothing is read meanwhile */
    size_t pending_bytes;
};

static void close_connection(struct connection *connection, evutil_socket_t descriptor)
{
    event_free(connection->readable);
    event_free(connection->writable);
    free(connection->pending);
    free(connection);
    close(descriptor);
}

/* Whether the connection still lives. */
static int send_or_keep(struct connection *connection, evutil_socket_t descriptor, const char *bytes,
                        size_t length_bytes)
{
    ssize_t sent = send(descriptor, bytes, length_bytes, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN)
        return 0;
    size_t done = sent < 0 ? 0 : (size_t)sent;
    if (done == length_bytes)
        return 1;
    connection->pending = malloc(length_bytes - done);
    if (!connection->pending)
        return 0;
    connection->pending_bytes = length_bytes - done;
    memcpy(connection->pending, bytes + done, length_bytes - done);
    event_del(connection->readable);
    event_add(connection->writable, NULL);
    return 1;
}

static void on_writable(evutil_socket_t descriptor, short what, void *context)
{
    struct connection *connection = context;
    char *bytes = connection->pending;
    (void)what;
    connection->pending = NULL;
    int alive = send_or_keep(connection, descriptor, bytes, connection->pending_bytes);
    free(bytes);
    if (!alive)
        close_connection(connection, descriptor);
    else if (!connection->pending)
        event_add(connection->readable, NULL);
}

static void on_readable(evutil_socket_t descriptor, short what, void *context)
{
    struct connection *connection = context;
    ssize_t received = recv(descriptor, read_buffer, sizeof(read_buffer), 0);
    (void)what;
    if (received < 0 && errno == EAGAIN)
        return;
    if (received <= 0 || !send_or_keep(connection, descriptor, read_buffer, (size_t)received))
        close_connection(connection, descriptor);
}

static void on_acceptable(evutil_socket_t listener, short what, void *context)
{
    int enabled = 1;
    int descriptor;
    (void)what;
    while ((descriptor = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct connection *connection = calloc(1, sizeof(*connection));
        if (!connection) {
            close(descriptor);
            continue;
        }
        setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &enabled, sizeof(enabled));
        connection->readable = event_new(context, descriptor, EV_READ | EV_PERSIST, on_readable, connection);
        connection->writable = event_new(context, descriptor, EV_WRITE, on_writable, connection);
        event_add(connection->readable, NULL);
    }
}

void echo_serve_event(int report_descriptor)
{
    struct event_base *base = event_base_new();
    int listener = echo_listen(report_descriptor);
    struct event *acceptable =
        base && listener >= 0 ? event_new(base, listener, EV_READ | EV_PERSIST, on_acceptable, base) : NULL;
    if (!acceptable || event_add(acceptable, NULL) != 0) {
        fprintf(stderr, "bench: echo: libevent cannot listen\n");
        return;
    }
    event_base_dispatch(base);
}
