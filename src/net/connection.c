#include "server_internal.h"

#include <errno.h>
#include <string.h>

uint64_t kn_connection_id(const struct kn_connection *connection)
{
    return connection->id;
}

const struct kn_address *kn_connection_peer(const struct kn_connection *connection)
{
    return &connection->peer;
}

void *kn_connection_user(const struct kn_connection *connection)
{
    return connection->user;
}

void kn_connection_set_user(struct kn_connection *connection, void *user)
{
    connection->user = user;
}

int kn_connection_error(const struct kn_connection *connection)
{
    return connection->error;
}

void kn_connection_stats(const struct kn_connection *connection, struct kn_connection_stats *stats)
{
    const uint32_t paused = KN_CONNECTION_PAUSED | KN_CONNECTION_OUTPUT_PAUSED | KN_CONNECTION_BLOCKED;
    *stats = (struct kn_connection_stats){
        .bytes_in = connection->bytes_in,
        .bytes_out = connection->bytes_out,
        .opened_ns = (uint64_t)connection->opened_ns,
        .active_ns = (uint64_t)connection->active_ns,
        .pending_input_bytes = (uint32_t)kn_buffer_length(connection->input),
        .pending_output_bytes = (uint32_t)kn_buffer_length(connection->output),
        .paused = (connection->flags & paused) != 0,
    };
}

void kn_connection_fail(struct kn_connection *connection, int error)
{
    connection->error = error;
    connection->flags |= KN_CONNECTION_FAILED;
    kn_connection_make_ready(connection);
}

/* Bytes sent; 0 when the socket is full or broken, and the flags tell which. */
static size_t send_bytes(struct kn_connection *connection, const void *bytes, size_t length_bytes)
{
    ptrdiff_t sent = kn_tcp_send(&connection->stream, bytes, length_bytes);
    if (sent < 0) {
        if (sent == -EAGAIN)
            connection->flags &= ~(uint32_t)KN_CONNECTION_WRITABLE;
        else
            kn_connection_fail(connection, (int)sent);
        return 0;
    }
    connection->bytes_out += (uint64_t)sent;
    kn_counter_add(&connection->server->counters.bytes_out, (uint64_t)sent);
    kn_connection_touch(connection);
    return (size_t)sent;
}

void kn_connection_flush(struct kn_connection *connection)
{
    struct kn_buffer *output = connection->output;
    if (!output)
        return;
    /* Until the system says -EAGAIN, not until a short send: only the former promises a writable edge on every kind of
     * socket. */
    while (output->begin < output->end &&
           (connection->flags & (KN_CONNECTION_WRITABLE | KN_CONNECTION_FAILED)) == KN_CONNECTION_WRITABLE)
        output->begin += send_bytes(connection, output->bytes + output->begin, output->end - output->begin);
    if (output->begin == output->end) {
        kn_buffer_give_back(&connection->server->pool, output);
        connection->output = NULL;
    }
}

/* Whether `length_bytes` more output may pend. */
static int check_output(struct kn_connection *connection, size_t length_bytes)
{
    const uint32_t over = KN_CONNECTION_CLOSING | KN_CONNECTION_FAILED | KN_CONNECTION_CLOSED;
    size_t limit = connection->server->options.max_output_bytes;
    if (connection->flags & over)
        return -EPIPE;
    if (length_bytes > limit)
        return -EMSGSIZE;
    if (KN_LIKELY(kn_buffer_length(connection->output) + length_bytes <= limit))
        return 0;
    connection->claimed_bytes = 0;
    kn_connection_flush(connection);
    if (connection->flags & KN_CONNECTION_FAILED)
        return -EPIPE;
    if (kn_buffer_length(connection->output) + length_bytes <= limit)
        return 0;
    connection->flags |= KN_CONNECTION_BLOCKED;
    connection->wanted_bytes = (uint32_t)length_bytes;
    return -EAGAIN;
}

int kn_connection_claim(struct kn_connection *connection, size_t length_bytes, void **space)
{
    *space = NULL;
    int result = check_output(connection, length_bytes);
    if (result == 0)
        result =
            kn_buffer_reserve(&connection->server->pool, &connection->output, length_bytes, KN_OUTPUT_SMALLEST_BYTES);
    if (result < 0)
        return result;
    *space = connection->output->bytes + connection->output->end;
    connection->claimed_bytes = (uint32_t)length_bytes;
    return 0;
}

void kn_connection_publish(struct kn_connection *connection, size_t length_bytes)
{
    kn_assert(length_bytes <= connection->claimed_bytes);
    connection->claimed_bytes = 0;
    if (length_bytes > 0)
        connection->output->end += length_bytes;
    kn_connection_make_ready(connection);
}

int kn_connection_write(struct kn_connection *connection, const void *bytes, size_t length_bytes)
{
    int result = check_output(connection, length_bytes);
    if (result < 0 || length_bytes == 0)
        return result;
    size_t sent = 0;
    if (kn_buffer_length(connection->output) == 0 && (connection->flags & KN_CONNECTION_WRITABLE))
        sent = send_bytes(connection, bytes, length_bytes);
    if (connection->flags & KN_CONNECTION_FAILED)
        return -EPIPE;
    if (sent == length_bytes)
        return 0;
    result = kn_buffer_reserve(&connection->server->pool, &connection->output, length_bytes - sent,
                               KN_OUTPUT_SMALLEST_BYTES);
    if (result < 0) {
        /* Part of it may be gone already: the stream cannot go on without the rest. */
        if (sent > 0)
            kn_connection_fail(connection, result);
        return result;
    }
    memcpy(connection->output->bytes + connection->output->end, (const uint8_t *)bytes + sent, length_bytes - sent);
    connection->output->end += length_bytes - sent;
    kn_connection_make_ready(connection);
    return 0;
}

void kn_connection_pause(struct kn_connection *connection)
{
    if (connection->flags & KN_CONNECTION_PAUSED)
        return;
    connection->flags |= KN_CONNECTION_PAUSED;
    kn_counter_add(&connection->server->counters.paused, 1);
}

void kn_connection_resume(struct kn_connection *connection)
{
    if (!(connection->flags & KN_CONNECTION_PAUSED))
        return;
    connection->flags &= ~(uint32_t)KN_CONNECTION_PAUSED;
    connection->flags |= KN_CONNECTION_RESHOW;
    kn_connection_make_ready(connection);
}

void kn_connection_hold(struct kn_connection *connection)
{
    kn_assert(connection->holds < UINT32_MAX);
    connection->holds++;
}

void kn_connection_release(struct kn_connection *connection)
{
    kn_assert(connection->holds > 0);
    connection->holds--;
    if (connection->holds == 0)
        kn_connection_make_ready(connection);
}

void kn_connection_close(struct kn_connection *connection)
{
    if (connection->flags & (KN_CONNECTION_CLOSING | KN_CONNECTION_CLOSED))
        return;
    connection->flags |= KN_CONNECTION_CLOSING;
    connection->reason = KN_CLOSE_BY_HANDLER;
    kn_connection_make_ready(connection);
}
