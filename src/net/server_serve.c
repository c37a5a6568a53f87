/*
 * Serving one connection. Its descriptor is registered once, edge-triggered for both directions, when it is accepted;
 * from then on no epoll_ctl is needed: an edge sets READABLE or WRITABLE, a receive or send that finds the socket
 * empty or full clears it, and pausing is nothing but not looking at READABLE. A receive that returns less than asked
 * for has emptied the socket (epoll(7) says so for stream sockets), which saves the second receive that would only
 * answer -EAGAIN: one receive and one send for a request and its reply.
 */
#include "server_internal.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

static const uint32_t UNREADABLE = KN_CONNECTION_ENDED | KN_CONNECTION_BLOCKED | KN_CONNECTION_PAUSED |
                                   KN_CONNECTION_OUTPUT_PAUSED | KN_CONNECTION_CLOSING | KN_CONNECTION_FAILED |
                                   KN_CONNECTION_DRAIN_READ;

static bool may_receive(const struct kn_connection *connection)
{
    return (connection->flags & (UNREADABLE | KN_CONNECTION_READABLE)) == KN_CONNECTION_READABLE &&
           kn_buffer_length(connection->input) <= connection->server->options.max_input_bytes;
}

static bool may_show_kept(const struct kn_connection *connection)
{
    const uint32_t stopped =
        KN_CONNECTION_BLOCKED | KN_CONNECTION_PAUSED | KN_CONNECTION_CLOSING | KN_CONNECTION_FAILED;
    return (connection->flags & (stopped | KN_CONNECTION_RESHOW)) == KN_CONNECTION_RESHOW;
}

static bool may_unblock(const struct kn_connection *connection)
{
    size_t limit = connection->server->options.max_output_bytes;
    size_t pending = kn_buffer_length(connection->output);
    return (connection->flags & (KN_CONNECTION_BLOCKED | KN_CONNECTION_CLOSING | KN_CONNECTION_FAILED)) ==
               KN_CONNECTION_BLOCKED &&
           (pending == 0 || pending < limit / 2) && pending + connection->wanted_bytes <= limit;
}

static bool may_send(const struct kn_connection *connection)
{
    return connection->output &&
           (connection->flags & (KN_CONNECTION_WRITABLE | KN_CONNECTION_FAILED)) == KN_CONNECTION_WRITABLE;
}

/* Backpressure with hysteresis, so that a connection near the threshold does not flutter. */
static void update_output_pause(struct kn_connection *connection)
{
    size_t limit = connection->server->options.max_output_bytes;
    size_t pending = kn_buffer_length(connection->output);
    if (connection->flags & KN_CONNECTION_OUTPUT_PAUSED) {
        if (pending == 0 || pending < limit / 4)
            connection->flags &= ~(uint32_t)KN_CONNECTION_OUTPUT_PAUSED;
    } else if (pending > limit / 2) {
        connection->flags |= KN_CONNECTION_OUTPUT_PAUSED;
        kn_counter_add(&connection->server->counters.paused, 1);
    }
}

static void drop_input(struct kn_connection *connection)
{
    kn_buffer_give_back(&connection->server->pool, connection->input);
    connection->input = NULL;
}

/* Makes the lease hold the last `left` bytes of a view that lies in the shared receive buffer. */
static int store_input(struct kn_connection *connection, const uint8_t *view, size_t length, size_t left)
{
    struct kn_buffer *input = connection->input;
    size_t kept = kn_buffer_length(input);
    if (kept > 0 && left == length && input->capacity_bytes - input->end >= length - kept) {
        /* Nothing was consumed: only what is new is copied. */
        memcpy(input->bytes + input->end, view + kept, length - kept);
        input->end += length - kept;
        return 0;
    }
    if (!input || input->capacity_bytes < left) {
        drop_input(connection);
        /* Room for as much again: a message that drips in is not copied anew for every drop. */
        connection->input = input = kn_buffer_lease(&connection->server->pool, left + left / 2);
        if (!input)
            return -ENOMEM;
    }
    memcpy(input->bytes, view + length - left, left);
    input->begin = 0;
    input->end = left;
    return 0;
}

/* Shows a view and keeps what the handler leaves. A view in the lease already counts as its live bytes. */
static void show(struct kn_connection *connection, const uint8_t *view, size_t length)
{
    struct kn_server *server = connection->server;
    bool in_lease = connection->input && view == connection->input->bytes + connection->input->begin;
    bool end_of_stream = (connection->flags & KN_CONNECTION_ENDED) != 0;
    connection->flags &= ~(uint32_t)KN_CONNECTION_RESHOW;
    kn_counter_add(&server->counters.readable_events, 1);
    size_t consumed = server->handler.on_readable(server->handler.context, connection, view, length, end_of_stream);
    kn_assert(consumed <= length);
    size_t left = length - consumed;
    int result = 0;
    if (left == 0)
        drop_input(connection);
    else if (in_lease)
        connection->input->begin += consumed;
    else
        result = store_input(connection, view, length, left);
    if (result < 0)
        kn_connection_fail(connection, result);
    else if (left > server->options.max_input_bytes &&
             !(connection->flags & (KN_CONNECTION_BLOCKED | KN_CONNECTION_PAUSED | KN_CONNECTION_CLOSING))) {
        connection->flags |= KN_CONNECTION_CLOSING;
        connection->reason = KN_CLOSE_INPUT_LIMIT;
    }
}

/* Draws the conclusions of a receive that asked for `asked` bytes. Whether there is something to show. */
static bool note_received(struct kn_connection *connection, ptrdiff_t received, size_t asked)
{
    struct kn_server *server = connection->server;
    if (received > 0) {
        if ((size_t)received < asked && !(connection->flags & KN_CONNECTION_PEER_SHUT))
            connection->flags &= ~(uint32_t)KN_CONNECTION_READABLE;
        connection->bytes_in += (uint64_t)received;
        kn_counter_add(&server->counters.bytes_in, (uint64_t)received);
        kn_connection_touch(connection);
        if (server->draining)
            connection->drain_left_bytes -= (uint32_t)received;
    } else if (received == 0) {
        connection->flags |= KN_CONNECTION_ENDED;
    } else if (received == -EAGAIN) {
        connection->flags &= ~(uint32_t)KN_CONNECTION_READABLE;
    } else {
        kn_connection_fail(connection, (int)received);
    }
    if (server->draining && (connection->drain_left_bytes == 0 || received == -EAGAIN))
        connection->flags |= KN_CONNECTION_DRAIN_READ;
    return received >= 0;
}

static size_t least(size_t left, size_t right)
{
    return left < right ? left : right;
}

static size_t drain_bound(const struct kn_connection *connection, size_t room)
{
    return connection->server->draining ? least(room, connection->drain_left_bytes) : room;
}

/*
 * Finds contiguous space behind the kept input: little of it is copied to the front of the shared buffer, which keeps
 * receives large; much is extended where it lies, so that a long message in many pieces is not copied over and over.
 */
static uint8_t *place_view(struct kn_connection *connection, size_t *room)
{
    struct kn_server *server = connection->server;
    size_t kept = kn_buffer_length(connection->input);
    /* One byte beyond the limit tells a message that just fits from one that does not. */
    size_t bound = (size_t)server->options.max_input_bytes + 1 - kept;
    if (kept <= KN_INPUT_COPY_BYTES) {
        if (kept > 0)
            memcpy(server->receive_buffer, connection->input->bytes + connection->input->begin, kept);
        *room = least(bound, KN_RECEIVE_BYTES - kept);
        return server->receive_buffer;
    }
    struct kn_buffer *input = connection->input;
    if (input->capacity_bytes - input->end < least(bound, KN_INPUT_COPY_BYTES)) {
        if (kn_buffer_reserve(&server->pool, &connection->input, least(bound, KN_RECEIVE_BYTES), 0) < 0)
            return NULL;
        input = connection->input;
    }
    *room = least(least(bound, KN_RECEIVE_BYTES), input->capacity_bytes - input->end);
    return input->bytes + input->begin;
}

/* Receives once for on_readable. Bytes received. */
static size_t receive_view(struct kn_connection *connection)
{
    size_t kept = kn_buffer_length(connection->input);
    size_t room = 0;
    uint8_t *view = place_view(connection, &room);
    if (!view) {
        kn_connection_fail(connection, -ENOMEM);
        return 0;
    }
    room = drain_bound(connection, room);
    ptrdiff_t received = kn_tcp_receive(&connection->stream, view + kept, room);
    if (!note_received(connection, received, room))
        return 0;
    if (kept > 0 && view == connection->input->bytes + connection->input->begin)
        connection->input->end += (size_t)received;
    show(connection, view, kept + (size_t)received);
    return (size_t)received;
}

/* Receives once into the handler's own memory. Bytes received. */
static size_t receive_into_handler(struct kn_connection *connection)
{
    struct kn_server *server = connection->server;
    void *context = server->handler.context;
    void *space = NULL;
    size_t room = server->handler.on_receive(context, connection, &space);
    if (room == 0) {
        kn_connection_pause(connection);
        return 0;
    }
    room = drain_bound(connection, room);
    ptrdiff_t received = kn_tcp_receive(&connection->stream, space, room);
    note_received(connection, received, room);
    kn_counter_add(&server->counters.readable_events, 1);
    server->handler.on_received(context, connection, received > 0 ? (size_t)received : 0, received == 0);
    return received > 0 ? (size_t)received : 0;
}

static void receive(struct kn_connection *connection)
{
    bool into_handler = connection->server->handler.on_receive != NULL;
    size_t total = 0;
    while (total < KN_RECEIVE_BYTES && may_receive(connection)) {
        size_t received = into_handler ? receive_into_handler(connection) : receive_view(connection);
        if (received == 0)
            return;
        total += received;
        if (kn_buffer_length(connection->output) > connection->server->options.max_output_bytes / 2)
            kn_connection_flush(connection);
        update_output_pause(connection);
    }
}

/* An error of a socket that nobody receives from shows nowhere else. */
static void look_for_error(struct kn_connection *connection)
{
    if (!(connection->flags & KN_CONNECTION_ERROR) || may_receive(connection))
        return;
    int error = 0;
    socklen_t length = sizeof(error);
    if (getsockopt(connection->stream.descriptor, SOL_SOCKET, SO_ERROR, &error, &length) == 0 && error != 0)
        kn_connection_fail(connection, -error);
    connection->flags &= ~(uint32_t)KN_CONNECTION_ERROR;
}

static void tell_writable(struct kn_connection *connection)
{
    struct kn_server_handler *handler = &connection->server->handler;
    connection->flags &= ~(uint32_t)KN_CONNECTION_BLOCKED;
    connection->flags |= KN_CONNECTION_RESHOW;
    if (handler->on_writable)
        handler->on_writable(handler->context, connection);
}

static void show_kept(struct kn_connection *connection)
{
    connection->flags &= ~(uint32_t)KN_CONNECTION_RESHOW;
    if (connection->input && connection->server->handler.on_readable)
        show(connection, connection->input->bytes + connection->input->begin, kn_buffer_length(connection->input));
}

/* Whether nothing is owed to the peer any more. */
static bool answered(const struct kn_connection *connection)
{
    bool kept_for_later = connection->input && (connection->flags & KN_CONNECTION_PAUSED);
    return !connection->output && connection->holds == 0 && !kept_for_later &&
           !(connection->flags & KN_CONNECTION_BLOCKED);
}

/* Ends the connection if its time has come, or queues it for what is left to do. */
static void settle(struct kn_connection *connection)
{
    uint32_t flags = connection->flags;
    if (flags & KN_CONNECTION_FAILED)
        kn_connection_finish(connection, KN_CLOSE_RESET);
    else if ((flags & KN_CONNECTION_CLOSING) && !connection->output)
        kn_connection_finish(connection, connection->reason);
    else if (may_receive(connection) || may_send(connection) || may_unblock(connection) || may_show_kept(connection))
        kn_connection_make_ready(connection);
    else if ((flags & KN_CONNECTION_ENDED) && answered(connection))
        kn_connection_finish(connection, KN_CLOSE_BY_PEER);
    else if ((flags & KN_CONNECTION_DRAIN_READ) && answered(connection))
        kn_connection_finish(connection, KN_CLOSE_DRAIN);
}

void kn_connection_serve(struct kn_connection *connection)
{
    kn_link_remove(&connection->ready);
    connection->flags |= KN_CONNECTION_SERVING;
    kn_connection_flush(connection);
    update_output_pause(connection);
    if (may_unblock(connection))
        tell_writable(connection);
    if (may_show_kept(connection))
        show_kept(connection);
    look_for_error(connection);
    receive(connection);
    kn_connection_flush(connection);
    update_output_pause(connection);
    connection->flags &= ~(uint32_t)KN_CONNECTION_SERVING;
    settle(connection);
}

/* Closing a socket with unread input resets it, and a reset may overtake the replies just sent. */
static void discard_unread(struct kn_connection *connection)
{
    size_t discarded = 0;
    ptrdiff_t received;
    do {
        received = kn_tcp_receive(&connection->stream, connection->server->receive_buffer, KN_RECEIVE_BYTES);
        discarded += received > 0 ? (size_t)received : 0;
    } while (received == KN_RECEIVE_BYTES && discarded < KN_DISCARDED_BYTES);
}

void kn_connection_finish(struct kn_connection *connection, enum kn_close_reason reason)
{
    struct kn_server *server = connection->server;
    connection->flags |= KN_CONNECTION_CLOSED | KN_CONNECTION_SERVING;
    if (server->handler.on_close)
        server->handler.on_close(server->handler.context, connection, reason);
    if (!(connection->flags & (KN_CONNECTION_ENDED | KN_CONNECTION_FAILED)))
        discard_unread(connection);
    kn_poll_deregister(&server->poll, connection->stream.descriptor);
    kn_tcp_close(&connection->stream);
    drop_input(connection);
    kn_buffer_give_back(&server->pool, connection->output);
    kn_link_remove(&connection->ready);
    kn_link_remove(&connection->active);
    int released = kn_slab_release(&server->slab, connection->id);
    kn_assert(released == 0);
    server->open--;
    kn_counter_add(&server->counters.closed, 1);
    kn_counter_add(&server->counters.open, UINT64_MAX);
    if (reason == KN_CLOSE_RESET)
        kn_counter_add(&server->counters.resets, 1);
    kn_server_listen(server);
}
