/* Client sockets for the tests of the server, and a way to take turns until something has come true. */
#ifndef KERNEL_TESTS_LOOPBACK_H
#define KERNEL_TESTS_LOOPBACK_H

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include <kernel/connection.h>
#include <kernel/server.h>

/* Takes turns until `condition` holds; gives up after some twenty seconds of nothing. */
#define LOOPBACK_UNTIL(server, condition)                                                                              \
    do {                                                                                                               \
        for (unsigned loopback_turn = 0; !(condition); loopback_turn++) {                                              \
            assert_true(loopback_turn < 200000);                                                                       \
            assert_int_equal(kn_server_turn((server), 100000), 0);                                                     \
        }                                                                                                              \
    } while (0)

/* Takes turns until the server has drained. */
#define LOOPBACK_UNTIL_DRAINED(server)                                                                                 \
    do {                                                                                                               \
        int loopback_result = 0;                                                                                       \
        for (unsigned loopback_turn = 0; loopback_result == 0; loopback_turn++) {                                      \
            assert_true(loopback_turn < 200000);                                                                       \
            loopback_result = kn_server_turn((server), 100000);                                                        \
        }                                                                                                              \
        assert_int_equal(loopback_result, -ESHUTDOWN);                                                                 \
    } while (0)

/* A counter of the server. */
#define LOOPBACK_COUNTED(server, name) kn_counter_read(&kn_server_counters(server)->name)

KN_INLINE struct kn_server *loopback_server(struct kn_server_options options, struct kn_server_handler handler)
{
    struct kn_server *server = NULL;
    if (options.address.length == 0)
        assert_int_equal(kn_address_parse("127.0.0.1:0", &options.address), 0);
    assert_int_equal(kn_server_open(&server, &options, &handler), 0);
    return server;
}

/* A connected, non-blocking client; the server need not have accepted it yet. */
KN_INLINE int loopback_connect(const struct kn_server *server)
{
    struct kn_address address;
    assert_int_equal(kn_server_address(server, &address), 0);
    int client = socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(client >= 0);
    assert_int_equal(connect(client, (const struct sockaddr *)&address.storage, address.length), 0);
    assert_int_equal(fcntl(client, F_SETFL, O_NONBLOCK), 0);
    return client;
}

/* Bytes that the socket took now. */
KN_INLINE size_t loopback_send(int client, const void *bytes, size_t length)
{
    ssize_t sent = send(client, bytes, length, MSG_NOSIGNAL);
    if (sent < 0)
        assert_true(errno == EAGAIN || errno == EPIPE || errno == ECONNRESET);
    return sent < 0 ? 0 : (size_t)sent;
}

/* Sends all, taking turns while the socket is full. */
KN_INLINE void loopback_send_all(struct kn_server *server, int client, const void *bytes, size_t length)
{
    size_t sent = 0;
    LOOPBACK_UNTIL(server, (sent += loopback_send(client, (const uint8_t *)bytes + sent, length - sent)) == length);
}

/* Bytes that have come; `*ended` when the server has closed or reset the connection. */
KN_INLINE size_t loopback_receive(int client, void *bytes, size_t length, bool *ended)
{
    ssize_t received = recv(client, bytes, length, 0);
    *ended = received == 0 || (received < 0 && errno != EAGAIN);
    return received < 0 ? 0 : (size_t)received;
}

/* Receives exactly `length` bytes, taking turns while there are none. */
KN_INLINE void loopback_receive_all(struct kn_server *server, int client, void *bytes, size_t length)
{
    size_t received = 0;
    bool ended = false;
    LOOPBACK_UNTIL(server, (received += loopback_receive(client, (uint8_t *)bytes + received, length - received,
                                                         &ended)) == length ||
                               ended);
    assert_int_equal(received, length);
}

/* Takes turns until the server has closed the connection; what still came is counted and dropped. */
KN_INLINE size_t loopback_receive_end(struct kn_server *server, int client)
{
    static uint8_t dropped[65536];
    size_t received = 0;
    bool ended = false;
    LOOPBACK_UNTIL(server, (received += loopback_receive(client, dropped, sizeof(dropped), &ended), ended));
    return received;
}

/* Sends and expects the same back. */
KN_INLINE void loopback_expect_echo(struct kn_server *server, int client, const char *text)
{
    char answer[256] = "";
    size_t length = strlen(text);
    assert_true(length < sizeof(answer));
    loopback_send_all(server, client, text, length);
    loopback_receive_all(server, client, answer, length);
    assert_string_equal(answer, text);
}

/* Closes so that the peer sees a reset. */
KN_INLINE void loopback_reset(int client)
{
    struct linger linger = {.l_onoff = 1};
    assert_int_equal(setsockopt(client, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
    close(client);
}

/* The byte at a position of an endless stream that no shift of itself resembles. */
KN_INLINE uint8_t loopback_byte(uint64_t seed, uint64_t position)
{
    uint64_t word = (seed + 1) * UINT64_C(0x9e3779b97f4a7c15) + (position / 8) * UINT64_C(0xbf58476d1ce4e5b9);
    word ^= word >> 29;
    word *= UINT64_C(0x94d049bb133111eb);
    word ^= word >> 32;
    return (uint8_t)(word >> (position % 8 * 8));
}

KN_INLINE void loopback_fill(uint8_t *bytes, size_t length, uint64_t seed, uint64_t position)
{
    for (size_t i = 0; i < length; i++)
        bytes[i] = loopback_byte(seed, position + i);
}

/* Whether the bytes are those of the stream at that position. */
KN_INLINE bool loopback_matches(const uint8_t *bytes, size_t length, uint64_t seed, uint64_t position)
{
    for (size_t i = 0; i < length; i++) {
        if (bytes[i] != loopback_byte(seed, position + i))
            return false;
    }
    return true;
}

/* What a server's handler saw; the context of the handlers below. */
struct loopback_record {
    unsigned opened;
    unsigned closed;
    unsigned closed_for[KN_CLOSE_DRAIN + 1];
    unsigned written_after_full; /* on_writable */
    uint64_t last_id;
    size_t largest_view;
    size_t largest_pending;
};

KN_INLINE int loopback_on_open(void *context, struct kn_connection *connection)
{
    struct loopback_record *record = context;
    record->opened++;
    record->last_id = kn_connection_id(connection);
    return 0;
}

KN_INLINE void loopback_on_close(void *context, struct kn_connection *connection, enum kn_close_reason reason)
{
    struct loopback_record *record = context;
    (void)connection;
    record->closed++;
    record->closed_for[reason]++;
}

KN_INLINE void loopback_on_writable(void *context, struct kn_connection *connection)
{
    struct loopback_record *record = context;
    (void)connection;
    record->written_after_full++;
}

/* Echoes in pieces of 4 KiB and leaves what finds no room. */
KN_INLINE size_t loopback_echo(void *context, struct kn_connection *connection, const void *view, size_t length,
                               bool end_of_stream)
{
    struct loopback_record *record = context;
    (void)end_of_stream;
    if (length > record->largest_view)
        record->largest_view = length;
    size_t done = 0;
    while (done < length) {
        size_t piece = length - done < 4096 ? length - done : 4096;
        void *space;
        if (kn_connection_claim(connection, piece, &space) < 0)
            break;
        memcpy(space, (const uint8_t *)view + done, piece);
        kn_connection_publish(connection, piece);
        done += piece;
    }
    struct kn_connection_stats stats;
    kn_connection_stats(connection, &stats);
    if (stats.pending_output_bytes > record->largest_pending)
        record->largest_pending = stats.pending_output_bytes;
    return done;
}

KN_INLINE struct kn_server_handler loopback_echo_handler(struct loopback_record *record)
{
    return (struct kn_server_handler){
        .context = record,
        .on_open = loopback_on_open,
        .on_readable = loopback_echo,
        .on_writable = loopback_on_writable,
        .on_close = loopback_on_close,
    };
}

/* Echoes whole lines and leaves the rest. */
KN_INLINE size_t loopback_echo_lines(void *context, struct kn_connection *connection, const void *view, size_t length,
                                     bool end_of_stream)
{
    size_t lines = length;
    while (lines > 0 && ((const char *)view)[lines - 1] != '\n')
        lines--;
    return loopback_echo(context, connection, view, lines, end_of_stream);
}

KN_INLINE struct kn_server_handler loopback_line_handler(struct loopback_record *record)
{
    struct kn_server_handler handler = loopback_echo_handler(record);
    handler.on_readable = loopback_echo_lines;
    return handler;
}

/* A client that sends an endless stream and checks that it comes back. */
struct loopback_stream {
    int descriptor;
    size_t sent;
    size_t received;
};

/* Sends a piece of odd length and checks what has come back. */
KN_INLINE void loopback_advance(struct loopback_stream *client, uint64_t seed, size_t total)
{
    static uint8_t bytes[32768];
    size_t piece = 1 + (client->sent * 7 + seed * 131) % sizeof(bytes);
    piece = total - client->sent < piece ? total - client->sent : piece;
    if (piece > 0) {
        loopback_fill(bytes, piece, seed, client->sent);
        client->sent += loopback_send(client->descriptor, bytes, piece);
    }
    bool ended;
    size_t received = loopback_receive(client->descriptor, bytes, sizeof(bytes), &ended);
    assert_false(ended);
    assert_true(loopback_matches(bytes, received, seed, client->received));
    client->received += received;
}

/* A handler that produces a stream as fast as it may, then closes. */
struct loopback_generator {
    struct loopback_record record;
    size_t produced;
    size_t total;
    unsigned full;
};

KN_INLINE void loopback_produce(struct loopback_generator *generator, struct kn_connection *connection)
{
    while (generator->produced < generator->total) {
        void *space;
        int result = kn_connection_claim(connection, 1000, &space);
        if (result < 0) {
            assert_int_equal(result, -EAGAIN);
            assert_null(space);
            generator->full++;
            return;
        }
        loopback_fill(space, 1000, 4, generator->produced);
        kn_connection_publish(connection, 1000);
        generator->produced += 1000;
    }
    kn_connection_close(connection);
}

KN_INLINE int loopback_produce_on_open(void *context, struct kn_connection *connection)
{
    loopback_produce(context, connection);
    return 0;
}

#endif
