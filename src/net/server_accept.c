#include "server_internal.h"

#include <errno.h>
#include <string.h>

#include <kernel/clock.h>
#include <kernel/error.h>
#include <kernel/log.h>

void kn_server_listen(struct kn_server *server)
{
    if (server->listening || server->draining || server->listener.descriptor < 0 ||
        server->accept_retry_ns != KN_NEVER_NS || server->open >= server->options.max_connections)
        return;
    /* Level-triggered: what a turn's bound leaves in the backlog is reported again. */
    if (kn_poll_register(&server->poll, server->listener.descriptor, KN_SERVER_TOKEN_LISTENER, KN_READABLE) == 0)
        server->listening = true;
    else
        server->accept_retry_ns = server->now_ns + KN_ACCEPT_PAUSE_NS;
}

void kn_server_unlisten(struct kn_server *server)
{
    if (!server->listening)
        return;
    kn_poll_deregister(&server->poll, server->listener.descriptor);
    server->listening = false;
}

/* Out of means that no shedding gives back: looks away for a moment, lest the waiting listener spins the loop. */
static void pause_accepting(struct kn_server *server)
{
    kn_server_unlisten(server);
    server->accept_retry_ns = server->now_ns + KN_ACCEPT_PAUSE_NS;
}

static void init_connection(struct kn_server *server, struct kn_connection *connection, uint64_t id,
                            struct kn_tcp_stream stream, const struct kn_address *peer)
{
    memset(connection, 0, sizeof(*connection));
    connection->server = server;
    connection->id = id;
    connection->stream = stream;
    connection->peer = *peer;
    connection->flags = KN_CONNECTION_WRITABLE; /* a new socket has room; registering reports whether it has input */
    connection->opened_ns = connection->active_ns = connection->placed_ns = server->now_ns;
    kn_link_init(&connection->ready);
    kn_link_append(&server->active, &connection->active);
    server->open++;
    kn_counter_add(&server->counters.open, 1);
}

/* Takes back what init_connection did, without a word to the handler. */
static void refuse(struct kn_connection *connection)
{
    struct kn_server *server = connection->server;
    kn_poll_deregister(&server->poll, connection->stream.descriptor);
    kn_tcp_close(&connection->stream);
    kn_buffer_give_back(&server->pool, connection->output);
    kn_link_remove(&connection->ready);
    kn_link_remove(&connection->active);
    int released = kn_slab_release(&server->slab, connection->id);
    kn_assert(released == 0);
    server->open--;
    kn_counter_add(&server->counters.open, UINT64_MAX);
    kn_counter_add(&server->counters.refused, 1);
}

/* The connection, or NULL when it was refused. */
static struct kn_connection *admit(struct kn_server *server, struct kn_tcp_stream stream, const struct kn_address *peer)
{
    struct kn_server_handler *handler = &server->handler;
    uint64_t id;
    struct kn_connection *connection = kn_slab_acquire(&server->slab, &id);
    kn_assert(connection != NULL); /* the slab holds max_connections, and fewer are open */
    init_connection(server, connection, id, stream, peer);
    int result = kn_poll_register(&server->poll, stream.descriptor, kn_connection_token(connection),
                                  KN_READABLE | KN_WRITABLE | KN_EDGE);
    if (result == 0 && handler->on_open)
        result = handler->on_open(handler->context, connection);
    if (result < 0) {
        refuse(connection);
        return NULL;
    }
    kn_counter_add(&server->counters.accepted, 1);
    return connection;
}

int kn_server_adopt(struct kn_server *server, struct kn_tcp_stream stream, const struct kn_address *peer)
{
    if (server->open >= server->options.max_connections)
        return -EAGAIN;
    server->now_ns = (int64_t)kn_clock_monotonic_ns(); /* there may have been no turn for long */
    struct kn_connection *connection = admit(server, stream, peer);
    if (connection && server->draining)
        kn_connection_begin_drain(connection);
    return 0;
}

static void take_in(struct kn_server *server, struct kn_tcp_stream stream, const struct kn_address *peer)
{
    struct kn_server_handler *handler = &server->handler;
    if (!handler->on_accept || !handler->on_accept(handler->context, stream, peer))
        (void)admit(server, stream, peer);
}

static void warn(struct kn_server *server, const char *what, int error)
{
    if (server->now_ns - server->warned_ns < KN_WARNING_INTERVAL_NS)
        return;
    server->warned_ns = server->now_ns;
    kn_log_warning(server->options.log, "%s: %s (%llu connections open, %llu shed)", what, kn_error_text(error),
                   (unsigned long long)server->open, (unsigned long long)kn_counter_read(&server->counters.shed));
}

/* What to do about an accept that failed. Whether to go on accepting. */
static bool shed(struct kn_server *server, int error)
{
    if (error == -EAGAIN)
        return false;
    int result = error;
    if (error == -EMFILE || error == -ENFILE)
        result = kn_tcp_listener_shed(&server->listener);
    if (result == 0) {
        kn_counter_add(&server->counters.shed, 1);
        warn(server, "connection shed", error);
    } else if (result != -EAGAIN) {
        pause_accepting(server);
        warn(server, "accepting paused", result);
    }
    return result == 0;
}

bool kn_server_accept(struct kn_server *server)
{
    for (unsigned i = 0; i < KN_ACCEPTED_A_TURN; i++) {
        if (server->open >= server->options.max_connections) {
            kn_server_unlisten(server); /* the rest wait in the backlog until one closes */
            return false;
        }
        struct kn_tcp_stream stream;
        struct kn_address peer;
        int result = kn_tcp_accept(&server->listener, &stream, &peer);
        if (result == 0)
            take_in(server, stream, &peer);
        else if (!shed(server, result))
            return false;
    }
    return true;
}
