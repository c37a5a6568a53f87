#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "load_internal.h"

#define RECONNECT_DELAY_NS (LOAD_NS_PER_S / 10)
#define SEQUENCE_BYTES 8
#define WINDOW_MESSAGES_MAX 1024
#define WINDOW_BYTES ((size_t)64 * 1024)

/* ---- messages ---- */

/* Seven printable characters of six bits, lowest first, and one of filling. */
static void write_sequence(char *message, uint64_t sequence)
{
    for (int i = 0; i < SEQUENCE_BYTES - 1; i++)
        message[i] = (char)('0' + (sequence >> (6 * i) & 63));
}

/*
 * All messages that will ever be sent, prepared once and shared by all connections: a window of numbered messages that
 * each connection goes round, and a tail that repeats its beginning, so that a whole pipeline of them lies
 * in one piece wherever it starts. What is sent and what must come back are then both slices of it.
 */
int load_prepare_messages(struct load *load)
{
    size_t message_bytes = load->options.message_bytes;
    size_t messages = WINDOW_BYTES / message_bytes;
    if (messages > WINDOW_MESSAGES_MAX)
        messages = WINDOW_MESSAGES_MAX;
    /* More than are in flight: a reply a whole pipeline early or late is still a wrong one. */
    if (messages < (size_t)load->options.pipeline + 1)
        messages = (size_t)load->options.pipeline + 1;
    size_t total = messages + load->options.pipeline;
    load->window_bytes = messages * message_bytes;
    load->window = malloc(total * message_bytes);
    if (!load->window)
        return -ENOMEM;
    for (size_t i = 0; i < total; i++) {
        char *message = load->window + i * message_bytes;
        memset(message, '.', message_bytes);
        write_sequence(message, i % messages);
        message[message_bytes - 1] = '\n';
    }
    return 0;
}

/* Neighbours start far apart in the window, so that a reply to the wrong connection is noticed. */
static size_t first_offset(const struct load *load, uint32_t index)
{
    size_t messages = load->window_bytes / load->options.message_bytes;
    return ((size_t)index * 37 % messages) * load->options.message_bytes;
}

/* Whether the sequence numbers in received bytes are those expected; `within` is where in its message the first byte
 * lies. A number may come in pieces. */
static bool sequences_match(const char *received, const char *expected, size_t length, size_t within,
                            size_t message_bytes)
{
    if (within < SEQUENCE_BYTES) {
        size_t piece = SEQUENCE_BYTES - within < length ? SEQUENCE_BYTES - within : length;
        if (memcmp(received, expected, piece) != 0)
            return false;
    }
    size_t position = message_bytes - within;
    for (; position + SEQUENCE_BYTES <= length; position += message_bytes) {
        if (memcmp(received + position, expected + position, SEQUENCE_BYTES) != 0)
            return false;
    }
    return position >= length || memcmp(received + position, expected + position, length - position) == 0;
}

/* ---- connections ---- */

void load_wait_to_connect(struct load *load, uint32_t index, int64_t retry_ns)
{
    struct connection *connection = &load->connections[index];
    uint32_t last = load->waiting.first + load->waiting.count;
    if (last >= load->options.connections)
        last -= load->options.connections;
    connection->state = CONNECTION_WAITING;
    connection->retry_ns = retry_ns;
    load->waiting.indexes[last] = index;
    load->waiting.count++;
}

static void close_stream(struct load *load, struct connection *connection)
{
    /* Closing deregisters as well; the answer is of no use here. */
    (void)kn_poll_deregister(&load->poll, connection->stream.descriptor);
    kn_tcp_close(&connection->stream);
}

static void lose(struct load *load, struct connection *connection)
{
    close_stream(load, connection);
    load->open--;
    load->result->errors++;
    load->outstanding -= connection->in_flight;
    connection->in_flight = 0;
    connection->unsent_bytes = 0;
    load_wait_to_connect(load, (uint32_t)(connection - load->connections), load_now_ns() + RECONNECT_DELAY_NS);
}

static void fail_to_connect(struct load *load, uint32_t index, int error)
{
    load->result->connect_failures++;
    /* A local listener's full backlog, -EAGAIN, passes; anything else that happens before a first success is
     * taken as the answer. */
    if (!load->ever_opened && error != -EAGAIN)
        load->fatal_error = error;
    load_wait_to_connect(load, index, load_now_ns() + RECONNECT_DELAY_NS);
}

/* Sends what is unsent; false when the connection was lost over it. */
static bool flush(struct load *load, struct connection *connection)
{
    while (connection->unsent_bytes > 0) {
        ptrdiff_t sent =
            kn_tcp_send(&connection->stream, load->window + connection->send_offset, connection->unsent_bytes);
        if (sent == -EAGAIN)
            return true;
        if (sent < 0) {
            lose(load, connection);
            return false;
        }
        connection->unsent_bytes -= (size_t)sent;
        connection->send_offset += (size_t)sent;
        if (connection->send_offset >= load->window_bytes)
            connection->send_offset -= load->window_bytes;
    }
    return true;
}

int64_t load_due_time_ns(const struct load *load, uint64_t index)
{
    return load->start_ns + (int64_t)((double)index * (double)LOAD_NS_PER_S / (double)load->options.rate);
}

int64_t load_send_time_ns(const struct load *load, const struct connection *connection, uint64_t number,
                          int64_t time_ns)
{
    if (load->options.rate == 0)
        return time_ns;
    uint64_t index = (uint64_t)(connection - load->connections);
    return load_due_time_ns(load, index + number * load->options.connections);
}

void load_refill(struct load *load, struct connection *connection, int64_t time_ns)
{
    uint32_t pipeline = load->options.pipeline;
    uint64_t count = pipeline - connection->in_flight;
    if (load->options.rate > 0 && connection->due - connection->issued < count)
        count = connection->due - connection->issued;
    if (count == 0 || !load->issuing || load->closing)
        return;
    int64_t *ring = load->send_times_ns + (size_t)(connection - load->connections) * pipeline;
    uint32_t place = connection->oldest + connection->in_flight;
    for (uint64_t i = 0; i < count; i++, place++) {
        ring[place < pipeline ? place : place - pipeline] =
            load_send_time_ns(load, connection, connection->issued + i, time_ns);
    }
    connection->issued += count;
    connection->in_flight += (uint32_t)count;
    connection->unsent_bytes += count * load->options.message_bytes;
    if (load->options.rate == 0)
        load->outstanding += count;
    flush(load, connection);
}

static void opened(struct load *load, struct connection *connection)
{
    connection->state = CONNECTION_OPEN;
    connection->oldest = 0;
    connection->send_offset = first_offset(load, (uint32_t)(connection - load->connections));
    connection->receive_offset = connection->send_offset;
    if (connection->opened_before)
        load->result->reconnects++;
    connection->opened_before = true;
    load->ever_opened = true;
    load->open++;
    /* A local socket has no such delay and refuses. */
    (void)kn_tcp_no_delay(&connection->stream, true);
    load_refill(load, connection, load_now_ns());
}

static void start_connect(struct load *load, uint32_t index)
{
    struct connection *connection = &load->connections[index];
    int connected = kn_tcp_connect(&connection->stream, &load->options.address);
    if (connected < 0 && connected != -EINPROGRESS) {
        fail_to_connect(load, index, connected);
        return;
    }
    int result =
        kn_poll_register(&load->poll, connection->stream.descriptor, index, KN_READABLE | KN_WRITABLE | KN_EDGE);
    if (result < 0) {
        kn_tcp_close(&connection->stream);
        fail_to_connect(load, index, result);
    } else if (connected == 0) {
        opened(load, connection);
    } else {
        connection->state = CONNECTION_CONNECTING;
        load->connecting++;
    }
}

void load_start_connects(struct load *load, int64_t time_ns)
{
    for (unsigned i = 0;
         i < LOAD_CONNECTS_AT_ONCE && load->waiting.count > 0 && load->connecting < LOAD_CONNECTS_AT_ONCE; i++) {
        uint32_t index = load->waiting.indexes[load->waiting.first];
        if (load->connections[index].retry_ns > time_ns)
            return;
        load->waiting.first = load->waiting.first + 1 < load->options.connections ? load->waiting.first + 1 : 0;
        load->waiting.count--;
        start_connect(load, index);
    }
}

static void finish_connect(struct load *load, struct connection *connection)
{
    int result = kn_tcp_connect_result(&connection->stream);
    if (result == -EINPROGRESS || result == -EAGAIN)
        return;
    load->connecting--;
    if (result == 0) {
        opened(load, connection);
        return;
    }
    close_stream(load, connection);
    fail_to_connect(load, (uint32_t)(connection - load->connections), result);
}

/* ---- replies ---- */

/* Takes the send times of `count` answered requests off the connection's ring. */
static void record_replies(struct load *load, struct connection *connection, uint64_t count, int64_t time_ns)
{
    uint32_t pipeline = load->options.pipeline;
    const int64_t *ring = load->send_times_ns + (size_t)(connection - load->connections) * pipeline;
    uint32_t place = connection->oldest;
    for (uint64_t i = 0; i < count; i++) {
        int64_t sent_ns = ring[place];
        place = place + 1 < pipeline ? place + 1 : 0;
        if (sent_ns >= load->measure_start_ns)
            histogram_record(&load->result->latency, time_ns > sent_ns ? (uint64_t)(time_ns - sent_ns) : 0);
    }
    connection->oldest = place;
    connection->in_flight -= (uint32_t)count;
    load->outstanding -= count;
    load->replies += count;
    if (time_ns >= load->measure_start_ns && time_ns < load->measure_end_ns)
        load->result->requests += count;
}

/* Checks and counts what was received; false when it is not what was expected. */
static bool accept_bytes(struct load *load, struct connection *connection, size_t length, int64_t time_ns)
{
    size_t message_bytes = load->options.message_bytes;
    size_t within = connection->receive_offset % message_bytes;
    if (length > connection->in_flight * message_bytes - within - connection->unsent_bytes)
        return false;
    const char *expected = load->window + connection->receive_offset;
    bool matches = load->options.verify
                       ? memcmp(load->receive_buffer, expected, length) == 0
                       : sequences_match(load->receive_buffer, expected, length, within, message_bytes);
    if (!matches)
        return false;
    connection->receive_offset += length;
    if (connection->receive_offset >= load->window_bytes)
        connection->receive_offset -= load->window_bytes;
    record_replies(load, connection, (within + length) / message_bytes, time_ns);
    return true;
}

static void receive(struct load *load, struct connection *connection, uint32_t event_flags)
{
    int64_t time_ns = 0;
    for (;;) {
        ptrdiff_t length = kn_tcp_receive(&connection->stream, load->receive_buffer, LOAD_RECEIVE_BYTES);
        if (length == -EAGAIN)
            break;
        if (length <= 0) {
            lose(load, connection);
            return;
        }
        time_ns = load_now_ns();
        if (!accept_bytes(load, connection, (size_t)length, time_ns)) {
            load->result->mismatches++;
            lose(load, connection);
            return;
        }
        /* A buffer that was not filled has emptied the socket: the next bytes make a new edge. Only an end of stream
         * that has been reported already would not. */
        if ((size_t)length < LOAD_RECEIVE_BYTES && !(event_flags & KN_EVENT_READ_CLOSED))
            break;
    }
    if (time_ns > 0)
        load_refill(load, connection, time_ns);
}

void load_serve(struct load *load, const struct kn_event *event)
{
    struct connection *connection = &load->connections[event->token];
    if (connection->state == CONNECTION_CONNECTING) {
        if (event->flags & (KN_EVENT_WRITABLE | KN_EVENT_WRITE_CLOSED | KN_EVENT_ERROR))
            finish_connect(load, connection);
    } else if (connection->state == CONNECTION_OPEN) {
        if ((event->flags & KN_EVENT_WRITABLE) && connection->unsent_bytes > 0 && !flush(load, connection))
            return;
        if (event->flags & (KN_EVENT_READABLE | KN_EVENT_READ_CLOSED | KN_EVENT_ERROR))
            receive(load, connection, event->flags);
    }
}
