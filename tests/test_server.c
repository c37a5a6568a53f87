#include "loopback.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>

#include <kernel/assert.h>

static uint64_t counted(struct kn_server *server, const _Atomic uint64_t *counter)
{
    (void)server;
    return kn_counter_read(counter);
}

#define COUNTED(server, name) counted((server), &kn_server_counters(server)->name)

/* ---- bytes ---- */

static void server_echoes_what_it_receives(void **state)
{
    (void)state;
    struct loopback_record record = {0};
    struct kn_server *server = loopback_server((struct kn_server_options){0}, loopback_echo_handler(&record));
    int client = loopback_connect(server);
    loopback_expect_echo(server, client, "hello");
    loopback_expect_echo(server, client, "again");
    assert_int_equal(COUNTED(server, bytes_in), 10);
    assert_int_equal(COUNTED(server, bytes_out), 10);
    close(client);
    LOOPBACK_UNTIL(server, record.closed == 1);
    assert_int_equal(record.closed_for[KN_CLOSE_BY_PEER], 1);
    assert_int_equal(COUNTED(server, open), 0);
    kn_server_close(server);
}

static void server_serves_local_sockets(void **state)
{
    (void)state;
    char text[96];
    snprintf(text, sizeof(text), "unix:/tmp/kernel-test-server-%d", (int)getpid());
    struct kn_server_options options = {0};
    assert_int_equal(kn_address_parse(text, &options.address), 0);
    struct loopback_record record = {0};
    struct kn_server *server = loopback_server(options, loopback_echo_handler(&record));
    int client = loopback_connect(server);
    loopback_expect_echo(server, client, "hello");
    close(client);
    LOOPBACK_UNTIL(server, record.closed == 1);
    kn_server_close(server);
    unlink(text + strlen("unix:"));
}

enum { CLIENTS = 100, STREAM_BYTES = (64 << 20) / CLIENTS };

struct stream_client {
    int descriptor;
    size_t sent;
    size_t received;
};

/* Sends a piece of odd length and checks what has come back. */
static void advance(struct stream_client *client, uint64_t seed, size_t total)
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

static void echo_through_many_connections(struct kn_server_options options)
{
    struct loopback_record record = {0};
    struct kn_server *server = loopback_server(options, loopback_echo_handler(&record));
    struct stream_client clients[CLIENTS] = {{0}};
    for (unsigned i = 0; i < CLIENTS; i++)
        clients[i].descriptor = loopback_connect(server);
    unsigned complete;
    do {
        complete = 0;
        for (unsigned i = 0; i < CLIENTS; i++) {
            if (clients[i].received < STREAM_BYTES)
                advance(&clients[i], i, STREAM_BYTES);
            complete += clients[i].received == STREAM_BYTES;
        }
        assert_int_equal(kn_server_turn(server, 0), 0);
    } while (complete < CLIENTS);
    for (unsigned i = 0; i < CLIENTS; i++)
        close(clients[i].descriptor);
    LOOPBACK_UNTIL(server, record.closed == CLIENTS);
    kn_server_close(server);
}

static void server_echoes_64_mebibytes_through_100_connections_byte_for_byte(void **state)
{
    (void)state;
    echo_through_many_connections((struct kn_server_options){0});
}

static void server_echoes_byte_for_byte_under_tight_limits(void **state)
{
    (void)state;
    echo_through_many_connections((struct kn_server_options){.max_input_bytes = 20000, .max_output_bytes = 5000});
}

static void unconsumed_bytes_are_shown_again_in_one_piece(void **state)
{
    (void)state;
    enum { LINE_BYTES = 60000 };
    struct loopback_record record = {0};
    struct kn_server *server = loopback_server((struct kn_server_options){0}, loopback_line_handler(&record));
    int client = loopback_connect(server);
    static char line[LINE_BYTES];
    static char answer[LINE_BYTES];
    for (size_t i = 0; i + 1 < LINE_BYTES; i++)
        line[i] = (char)('a' + loopback_byte(1, i) % 26);
    line[LINE_BYTES - 1] = '\n';
    for (size_t sent = 0; sent < LINE_BYTES;) {
        size_t piece = LINE_BYTES - sent < 997 ? LINE_BYTES - sent : 997;
        loopback_send_all(server, client, line + sent, piece);
        sent += piece;
        LOOPBACK_UNTIL(server, COUNTED(server, bytes_in) == sent);
    }
    loopback_receive_all(server, client, answer, LINE_BYTES);
    assert_memory_equal(answer, line, LINE_BYTES);
    close(client);
    kn_server_close(server);
}

static void pipelined_requests_are_answered_in_order(void **state)
{
    (void)state;
    struct loopback_record record = {0};
    struct kn_server *server = loopback_server((struct kn_server_options){0}, loopback_line_handler(&record));
    int client = loopback_connect(server);
    static char requests[200000];
    static char answers[200000];
    size_t length = 0;
    for (unsigned i = 0; length + 32 < sizeof(requests); i++)
        length += (size_t)snprintf(requests + length, 32, "request %u\n", i);
    size_t sent = 0;
    size_t received = 0;
    bool ended = false;
    LOOPBACK_UNTIL(server,
                   (sent += loopback_send(client, requests + sent, length - sent),
                    received += loopback_receive(client, answers + received, length - received, &ended)) == length);
    assert_memory_equal(answers, requests, length);
    close(client);
    kn_server_close(server);
}

/* ---- ends ---- */

static void half_closed_client_gets_all_its_answers(void **state)
{
    (void)state;
    enum { TOTAL = 3 << 20 };
    struct loopback_record record = {0};
    struct kn_server_options options = {.max_output_bytes = 65536};
    struct kn_server *server = loopback_server(options, loopback_echo_handler(&record));
    struct stream_client client = {.descriptor = loopback_connect(server)};
    while (client.sent < TOTAL) {
        advance(&client, 9, TOTAL);
        assert_int_equal(kn_server_turn(server, 0), 0);
    }
    assert_int_equal(shutdown(client.descriptor, SHUT_WR), 0);
    static uint8_t bytes[65536];
    bool ended = false;
    while (!ended) {
        size_t received = loopback_receive(client.descriptor, bytes, sizeof(bytes), &ended);
        assert_true(loopback_matches(bytes, received, 9, client.received));
        client.received += received;
        assert_int_equal(kn_server_turn(server, 0), 0);
    }
    assert_int_equal(client.received, TOTAL);
    LOOPBACK_UNTIL(server, record.closed_for[KN_CLOSE_BY_PEER] == 1);
    close(client.descriptor);
    kn_server_close(server);
}

struct ending {
    struct loopback_record record;
    unsigned ends_shown;
    size_t length_at_end;
};

static size_t note_end(void *context, struct kn_connection *connection, const void *view, size_t length,
                       bool end_of_stream)
{
    struct ending *ending = context;
    (void)connection;
    (void)view;
    if (end_of_stream) {
        ending->ends_shown++;
        ending->length_at_end = length;
    }
    return 0;
}

static void end_of_stream_is_shown_once_with_what_was_left(void **state)
{
    (void)state;
    struct ending ending = {0};
    struct kn_server_handler handler = loopback_echo_handler(&ending.record);
    handler.on_readable = note_end;
    struct kn_server *server = loopback_server((struct kn_server_options){0}, handler);
    int client = loopback_connect(server);
    loopback_send_all(server, client, "half a mess", 11);
    assert_int_equal(shutdown(client, SHUT_WR), 0);
    LOOPBACK_UNTIL(server, ending.record.closed == 1);
    assert_int_equal(ending.ends_shown, 1);
    assert_int_equal(ending.length_at_end, 11);
    assert_int_equal(ending.record.closed_for[KN_CLOSE_BY_PEER], 1);
    close(client);
    kn_server_close(server);
}

static int close_at_once(void *context, struct kn_connection *connection)
{
    loopback_on_open(context, connection);
    assert_int_equal(kn_connection_write(connection, "bye", 3), 0);
    kn_connection_close(connection);
    assert_int_equal(kn_connection_write(connection, "more", 4), -EPIPE);
    kn_connection_close(connection);
    return 0;
}

static void closing_in_on_open_sends_what_was_written_and_closes_once(void **state)
{
    (void)state;
    struct loopback_record record = {0};
    struct kn_server_handler handler = loopback_echo_handler(&record);
    handler.on_open = close_at_once;
    struct kn_server *server = loopback_server((struct kn_server_options){0}, handler);
    int client = loopback_connect(server);
    assert_int_equal(loopback_receive_end(server, client), 3);
    LOOPBACK_UNTIL(server, record.closed == 1);
    assert_int_equal(record.closed_for[KN_CLOSE_BY_HANDLER], 1);
    close(client);
    kn_server_close(server);
}

static size_t echo_and_close(void *context, struct kn_connection *connection, const void *view, size_t length,
                             bool end_of_stream)
{
    size_t done = loopback_echo(context, connection, view, length, end_of_stream);
    kn_connection_close(connection);
    return done;
}

static void closing_in_on_readable_flushes_the_answer_first(void **state)
{
    (void)state;
    struct loopback_record record = {0};
    struct kn_server_handler handler = loopback_echo_handler(&record);
    handler.on_readable = echo_and_close;
    struct kn_server *server = loopback_server((struct kn_server_options){0}, handler);
    int client = loopback_connect(server);
    loopback_send_all(server, client, "last words", 10);
    assert_int_equal(loopback_receive_end(server, client), 10);
    assert_int_equal(record.closed_for[KN_CLOSE_BY_HANDLER], 1);
    close(client);
    kn_server_close(server);
}

static int refuse(void *context, struct kn_connection *connection)
{
    loopback_on_open(context, connection);
    return -EPERM;
}

static void refused_connection_is_closed_without_on_close(void **state)
{
    (void)state;
    struct loopback_record record = {0};
    struct kn_server_handler handler = loopback_echo_handler(&record);
    handler.on_open = refuse;
    struct kn_server *server = loopback_server((struct kn_server_options){0}, handler);
    int client = loopback_connect(server);
    assert_int_equal(loopback_receive_end(server, client), 0);
    assert_int_equal(record.opened, 1);
    assert_int_equal(record.closed, 0);
    assert_int_equal(COUNTED(server, refused), 1);
    assert_int_equal(COUNTED(server, open), 0);
    close(client);
    kn_server_close(server);
}

static void closing_the_server_tells_every_open_connection(void **state)
{
    (void)state;
    struct loopback_record record = {0};
    struct kn_server *server = loopback_server((struct kn_server_options){0}, loopback_echo_handler(&record));
    int first = loopback_connect(server);
    int second = loopback_connect(server);
    LOOPBACK_UNTIL(server, record.opened == 2);
    kn_server_close(server);
    assert_int_equal(record.closed_for[KN_CLOSE_DRAIN], 2);
    close(first);
    close(second);
}

static void id_of_a_closed_connection_finds_nothing(void **state)
{
    (void)state;
    struct loopback_record record = {0};
    struct kn_server *server =
        loopback_server((struct kn_server_options){.max_connections = 1}, loopback_echo_handler(&record));
    int client = loopback_connect(server);
    LOOPBACK_UNTIL(server, record.opened == 1);
    uint64_t first = record.last_id;
    assert_non_null(kn_server_find(server, first));
    assert_int_equal(kn_connection_id(kn_server_find(server, first)), first);
    close(client);
    LOOPBACK_UNTIL(server, record.closed == 1);
    client = loopback_connect(server);
    LOOPBACK_UNTIL(server, record.opened == 2);
    assert_null(kn_server_find(server, first));
    assert_non_null(kn_server_find(server, record.last_id));
    close(client);
    kn_server_close(server);
}

/* ---- backpressure ---- */

static void peer_that_does_not_read_is_not_read_from_and_loses_nothing(void **state)
{
    (void)state;
    enum { LIMIT = 100000 };
    struct loopback_record record = {0};
    struct kn_server *server =
        loopback_server((struct kn_server_options){.max_output_bytes = LIMIT}, loopback_echo_handler(&record));
    int client = loopback_connect(server);
    static uint8_t bytes[65536];
    size_t sent = 0;
    unsigned refused = 0;
    /* Sends until neither side moves any more. */
    while (refused < 200) {
        loopback_fill(bytes, sizeof(bytes), 3, sent);
        size_t taken = loopback_send(client, bytes, sizeof(bytes));
        sent += taken;
        refused = taken == 0 ? refused + 1 : 0;
        assert_int_equal(kn_server_turn(server, 0), 0);
    }
    struct kn_connection_stats stats;
    kn_connection_stats(kn_server_find(server, record.last_id), &stats);
    assert_true(stats.paused);
    assert_true(stats.pending_output_bytes > LIMIT / 4);
    assert_true(record.largest_pending <= LIMIT);
    assert_true(COUNTED(server, paused) > 0);
    size_t received = 0;
    while (received < sent) {
        bool ended;
        size_t length = loopback_receive(client, bytes, sizeof(bytes), &ended);
        assert_false(ended);
        assert_true(loopback_matches(bytes, length, 3, received));
        received += length;
        assert_int_equal(kn_server_turn(server, 0), 0);
    }
    loopback_expect_echo(server, client, "and on it goes");
    close(client);
    kn_server_close(server);
}

struct generator {
    struct loopback_record record;
    size_t produced;
    size_t total;
    unsigned full;
};

static void produce(struct generator *generator, struct kn_connection *connection)
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

static int produce_on_open(void *context, struct kn_connection *connection)
{
    produce(context, connection);
    return 0;
}

static void produce_on_writable(void *context, struct kn_connection *connection)
{
    struct generator *generator = context;
    struct kn_connection_stats stats;
    kn_connection_stats(connection, &stats);
    assert_true(stats.pending_output_bytes < 10000 / 2);
    generator->record.written_after_full++;
    produce(generator, connection);
}

static void producer_continues_when_told_writable(void **state)
{
    (void)state;
    struct generator generator = {.total = 20000000};
    struct kn_server_handler handler = loopback_echo_handler(&generator.record);
    handler.on_open = produce_on_open;
    handler.on_writable = produce_on_writable;
    struct kn_server *server = loopback_server((struct kn_server_options){.max_output_bytes = 10000}, handler);
    int client = loopback_connect(server);
    static uint8_t bytes[100000];
    size_t received = 0;
    bool ended = false;
    while (!ended) {
        size_t length = loopback_receive(client, bytes, sizeof(bytes), &ended);
        assert_true(loopback_matches(bytes, length, 4, received));
        received += length;
        assert_int_equal(kn_server_turn(server, 0), 0);
    }
    assert_int_equal(received, generator.total);
    assert_true(generator.full > 0);
    assert_int_equal(generator.record.written_after_full, generator.full);
    close(client);
    kn_server_close(server);
}

static int claim_too_much(void *context, struct kn_connection *connection)
{
    void *space = context;
    assert_int_equal(kn_connection_claim(connection, 1001, &space), -EMSGSIZE);
    assert_null(space);
    static const char bytes[1001];
    assert_int_equal(kn_connection_write(connection, bytes, 1001), -EMSGSIZE);
    assert_int_equal(kn_connection_write(connection, bytes, 1000), 0);
    return loopback_on_open(context, connection);
}

static void claim_that_can_never_fit_is_refused(void **state)
{
    (void)state;
    struct loopback_record record = {0};
    struct kn_server_handler handler = loopback_echo_handler(&record);
    handler.on_open = claim_too_much;
    struct kn_server *server = loopback_server((struct kn_server_options){.max_output_bytes = 1000}, handler);
    int client = loopback_connect(server);
    LOOPBACK_UNTIL(server, record.opened == 1);
    close(client);
    kn_server_close(server);
}

static size_t answer_both_ways(void *context, struct kn_connection *connection, const void *view, size_t length,
                               bool end_of_stream)
{
    (void)context;
    (void)view;
    (void)end_of_stream;
    void *space;
    assert_int_equal(kn_connection_write(connection, "a", 1), 0);
    assert_int_equal(kn_connection_claim(connection, 100, &space), 0);
    memcpy(space, "b", 1);
    kn_connection_publish(connection, 1);
    assert_int_equal(kn_connection_write(connection, "c", 1), 0);
    assert_int_equal(kn_connection_claim(connection, 9000, &space), 0);
    memcpy(space, "d", 1);
    kn_connection_publish(connection, 1);
    return length;
}

static void written_and_published_bytes_keep_their_order(void **state)
{
    (void)state;
    struct loopback_record record = {0};
    struct kn_server_handler handler = loopback_echo_handler(&record);
    handler.on_readable = answer_both_ways;
    struct kn_server *server = loopback_server((struct kn_server_options){0}, handler);
    int client = loopback_connect(server);
    char answer[5] = "";
    loopback_send_all(server, client, "?", 1);
    loopback_receive_all(server, client, answer, 4);
    assert_string_equal(answer, "abcd");
    close(client);
    kn_server_close(server);
}

/* ---- receiving into the handler's memory ---- */

struct receiver {
    struct loopback_record record;
    struct kn_connection *connection;
    uint8_t memory[4096];
    size_t room;
    size_t received;
    unsigned asked;
    unsigned answered;
    bool ended;
};

static size_t offer_memory(void *context, struct kn_connection *connection, void **space)
{
    struct receiver *receiver = context;
    receiver->connection = connection;
    *space = receiver->memory + receiver->received;
    size_t room = receiver->room - receiver->received;
    receiver->asked += room > 0;
    return room;
}

static void take_memory(void *context, struct kn_connection *connection, size_t length, bool end_of_stream)
{
    struct receiver *receiver = context;
    (void)connection;
    receiver->answered++;
    receiver->received += length;
    receiver->ended = receiver->ended || end_of_stream;
}

static struct kn_server_handler receiver_handler(struct receiver *receiver)
{
    return (struct kn_server_handler){
        .context = receiver,
        .on_open = loopback_on_open,
        .on_receive = offer_memory,
        .on_received = take_memory,
        .on_close = loopback_on_close,
    };
}

static void bytes_are_received_into_the_handlers_memory_until_it_has_no_room(void **state)
{
    (void)state;
    struct receiver receiver = {.room = 1000};
    struct kn_server *server = loopback_server((struct kn_server_options){0}, receiver_handler(&receiver));
    int client = loopback_connect(server);
    uint8_t bytes[3000];
    loopback_fill(bytes, sizeof(bytes), 5, 0);
    loopback_send_all(server, client, bytes, sizeof(bytes));
    LOOPBACK_UNTIL(server, COUNTED(server, paused) == 1);
    assert_int_equal(receiver.received, 1000);
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(kn_server_turn(server, 0), 0);
    assert_int_equal(receiver.received, 1000);
    receiver.room = sizeof(receiver.memory);
    kn_connection_resume(receiver.connection);
    LOOPBACK_UNTIL(server, receiver.received == sizeof(bytes));
    assert_memory_equal(receiver.memory, bytes, sizeof(bytes));
    assert_int_equal(receiver.asked, receiver.answered);
    assert_int_equal(shutdown(client, SHUT_WR), 0);
    LOOPBACK_UNTIL(server, receiver.ended);
    LOOPBACK_UNTIL(server, receiver.record.closed_for[KN_CLOSE_BY_PEER] == 1);
    close(client);
    kn_server_close(server);
}

static void held_connection_outlives_its_end_of_stream_until_released(void **state)
{
    (void)state;
    struct receiver receiver = {.room = sizeof(receiver.memory)};
    struct kn_server *server = loopback_server((struct kn_server_options){0}, receiver_handler(&receiver));
    int client = loopback_connect(server);
    loopback_send_all(server, client, "question", 8);
    LOOPBACK_UNTIL(server, receiver.received == 8);
    struct kn_connection *connection = kn_server_find(server, receiver.record.last_id);
    kn_connection_hold(connection);
    kn_connection_hold(connection);
    assert_int_equal(shutdown(client, SHUT_WR), 0);
    LOOPBACK_UNTIL(server, receiver.ended);
    kn_connection_release(connection);
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(kn_server_turn(server, 0), 0);
    assert_int_equal(receiver.record.closed, 0);
    assert_int_equal(kn_connection_write(connection, "answer", 6), 0);
    kn_connection_release(connection);
    assert_int_equal(loopback_receive_end(server, client), 6);
    assert_int_equal(receiver.record.closed_for[KN_CLOSE_BY_PEER], 1);
    close(client);
    kn_server_close(server);
}

static size_t take_after_pause(void *context, struct kn_connection *connection, const void *view, size_t length,
                               bool end_of_stream)
{
    struct receiver *receiver = context;
    (void)view;
    (void)end_of_stream;
    receiver->asked++;
    if (receiver->room == 0) {
        kn_connection_pause(connection);
        return 0;
    }
    receiver->received += length;
    return length;
}

static void resumed_connection_shows_what_was_kept_though_nothing_arrives(void **state)
{
    (void)state;
    struct receiver receiver = {0};
    struct kn_server_handler handler = loopback_echo_handler(&receiver.record);
    handler.context = &receiver;
    handler.on_readable = take_after_pause;
    struct kn_server *server = loopback_server((struct kn_server_options){0}, handler);
    int client = loopback_connect(server);
    loopback_send_all(server, client, "question", 8);
    LOOPBACK_UNTIL(server, receiver.asked == 1);
    loopback_send_all(server, client, " and more", 9);
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(kn_server_turn(server, 0), 0);
    assert_int_equal(receiver.asked, 1);
    receiver.room = 1;
    kn_connection_resume(kn_server_find(server, receiver.record.last_id));
    LOOPBACK_UNTIL(server, receiver.received == 17);
    close(client);
    kn_server_close(server);
}

/* ---- time ---- */

static void idle_connection_is_closed_and_a_busy_one_is_not(void **state)
{
    (void)state;
    struct loopback_record record = {0};
    struct kn_server *server =
        loopback_server((struct kn_server_options){.idle_timeout_ns = 30000000}, loopback_echo_handler(&record));
    int busy = loopback_connect(server);
    int idle = loopback_connect(server);
    bool ended = false;
    char byte;
    /* The busy one has always sent something by the time a turn looks at the clock. */
    while (!ended) {
        assert_int_equal(loopback_send(busy, "x", 1), 1);
        assert_int_equal(kn_server_turn(server, 1000000), 0);
        loopback_receive(idle, &byte, 1, &ended);
    }
    assert_int_equal(record.closed, 1);
    assert_int_equal(record.closed_for[KN_CLOSE_IDLE], 1);
    assert_int_equal(COUNTED(server, idle_closed), 1);
    assert_int_equal(COUNTED(server, open), 1);
    close(busy);
    close(idle);
    kn_server_close(server);
}

static void idle_timeout_ends_a_wait_without_events(void **state)
{
    (void)state;
    struct loopback_record record = {0};
    struct kn_server *server =
        loopback_server((struct kn_server_options){.idle_timeout_ns = 20000000}, loopback_echo_handler(&record));
    int client = loopback_connect(server);
    while (record.closed == 0)
        assert_int_equal(kn_server_turn(server, -1), 0);
    assert_int_equal(record.closed_for[KN_CLOSE_IDLE], 1);
    close(client);
    kn_server_close(server);
}

static void held_connection_is_not_idle(void **state)
{
    (void)state;
    struct loopback_record record = {0};
    struct kn_server *server =
        loopback_server((struct kn_server_options){.idle_timeout_ns = 10000000}, loopback_echo_handler(&record));
    int held = loopback_connect(server);
    LOOPBACK_UNTIL(server, record.opened == 1);
    uint64_t held_id = record.last_id;
    kn_connection_hold(kn_server_find(server, held_id));
    int idle = loopback_connect(server);
    LOOPBACK_UNTIL(server, record.closed == 1);
    assert_non_null(kn_server_find(server, held_id));
    kn_connection_release(kn_server_find(server, held_id));
    LOOPBACK_UNTIL(server, record.closed_for[KN_CLOSE_IDLE] == 2);
    close(held);
    close(idle);
    kn_server_close(server);
}

static void spinning_server_serves_and_sleeps(void **state)
{
    (void)state;
    struct loopback_record record = {0};
    struct kn_server *server =
        loopback_server((struct kn_server_options){.spin_ns = 1000000}, loopback_echo_handler(&record));
    int client = loopback_connect(server);
    loopback_expect_echo(server, client, "hello");
    assert_int_equal(kn_server_turn(server, 3000000), 0);
    loopback_expect_echo(server, client, "again");
    close(client);
    kn_server_close(server);
}

/* ---- drain ---- */

static void drain_answers_what_had_arrived_and_closes(void **state)
{
    (void)state;
    struct loopback_record record = {0};
    struct kn_server *server = loopback_server((struct kn_server_options){0}, loopback_echo_handler(&record));
    int client = loopback_connect(server);
    loopback_expect_echo(server, client, "hello");
    int waiting = loopback_connect(server); /* still in the backlog */
    static uint8_t bytes[100000];
    static uint8_t answer[100000];
    loopback_fill(bytes, sizeof(bytes), 6, 0);
    assert_int_equal(loopback_send(client, bytes, sizeof(bytes)), sizeof(bytes));
    assert_int_equal(loopback_send(waiting, bytes, 1000), 1000);
    kn_server_drain(server);
    LOOPBACK_UNTIL_DRAINED(server);
    assert_int_equal(kn_server_turn(server, -1), -ESHUTDOWN);
    bool ended = false;
    size_t received = 0;
    while (!ended)
        received += loopback_receive(client, answer + received, sizeof(answer) - received, &ended);
    assert_int_equal(received, sizeof(bytes));
    assert_memory_equal(answer, bytes, sizeof(bytes));
    assert_int_equal(loopback_receive(waiting, answer, sizeof(answer), &ended), 1000);
    assert_int_equal(record.closed_for[KN_CLOSE_DRAIN], 2);
    close(client);
    close(waiting);
    kn_server_close(server);
}

static void drain_waits_until_the_peer_has_taken_its_answers(void **state)
{
    (void)state;
    struct generator generator = {.total = 8000000};
    struct kn_server_handler handler = loopback_echo_handler(&generator.record);
    handler.on_open = produce_on_open;
    struct kn_server_options options = {.max_output_bytes = 8000000, .drain_timeout_ns = INT64_C(60000000000)};
    struct kn_server *server = loopback_server(options, handler);
    int client = loopback_connect(server);
    LOOPBACK_UNTIL(server, generator.produced == generator.total);
    kn_server_drain(server);
    assert_int_equal(kn_server_turn(server, 0), 0);
    static uint8_t bytes[100000];
    size_t received = 0;
    for (bool ended = false; !ended;) {
        size_t length = loopback_receive(client, bytes, sizeof(bytes), &ended);
        assert_true(loopback_matches(bytes, length, 4, received));
        received += length;
        int result = kn_server_turn(server, 0);
        assert_true(result == 0 || result == -ESHUTDOWN);
    }
    assert_int_equal(received, generator.total);
    close(client);
    kn_server_close(server);
}

static void drain_waits_for_answers_owed(void **state)
{
    (void)state;
    struct loopback_record record = {0};
    struct kn_server *server = loopback_server((struct kn_server_options){.drain_timeout_ns = INT64_C(60000000000)},
                                               loopback_echo_handler(&record));
    int client = loopback_connect(server);
    LOOPBACK_UNTIL(server, record.opened == 1);
    struct kn_connection *connection = kn_server_find(server, record.last_id);
    kn_connection_hold(connection);
    kn_server_drain(server);
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(kn_server_turn(server, 0), 0);
    assert_int_equal(kn_connection_write(connection, "late", 4), 0);
    kn_connection_release(connection);
    LOOPBACK_UNTIL_DRAINED(server);
    char answer[8];
    bool ended;
    assert_int_equal(loopback_receive(client, answer, sizeof(answer), &ended), 4);
    assert_int_equal(record.closed_for[KN_CLOSE_DRAIN], 1);
    close(client);
    kn_server_close(server);
}

static void drain_cuts_off_what_is_left_after_its_timeout(void **state)
{
    (void)state;
    struct loopback_record record = {0};
    struct kn_server *server =
        loopback_server((struct kn_server_options){.drain_timeout_ns = 10000000}, loopback_echo_handler(&record));
    int client = loopback_connect(server);
    LOOPBACK_UNTIL(server, record.opened == 1);
    kn_connection_hold(kn_server_find(server, record.last_id));
    kn_server_drain(server);
    assert_int_equal(kn_server_run(server), 0);
    assert_int_equal(record.closed_for[KN_CLOSE_DRAIN], 1);
    close(client);
    kn_server_close(server);
}

static void drained_server_no_longer_listens(void **state)
{
    (void)state;
    struct loopback_record record = {0};
    struct kn_server *server = loopback_server((struct kn_server_options){0}, loopback_echo_handler(&record));
    struct kn_address address;
    assert_int_equal(kn_server_address(server, &address), 0);
    kn_server_drain(server);
    assert_int_equal(kn_server_run(server), 0);
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(client, (const struct sockaddr *)&address.storage, address.length), -1);
    assert_int_equal(errno, ECONNREFUSED);
    close(client);
    kn_server_close(server);
}

/* Both set before the client thread starts and the handler is installed. */
static struct kn_server *signalled_server;

static void drain_on_signal(int signal_number)
{
    (void)signal_number;
    kn_server_drain(signalled_server);
}

static int blocking_client(const struct kn_server *server)
{
    int client = loopback_connect(server);
    assert_int_equal(fcntl(client, F_SETFL, 0), 0);
    return client;
}

static void *terminate_while_connected(void *context)
{
    struct kn_server *server = context;
    int client = blocking_client(server);
    char answer[16];
    kn_assert(send(client, "hello", 5, 0) == 5);
    kn_assert(recv(client, answer, 5, MSG_WAITALL) == 5);
    kn_assert(kill(getpid(), SIGTERM) == 0);
    kn_assert(recv(client, answer, sizeof(answer), 0) == 0);
    close(client);
    return NULL;
}

static void termination_signal_drains_the_server(void **state)
{
    (void)state;
    struct loopback_record record = {0};
    struct kn_server *server = loopback_server((struct kn_server_options){0}, loopback_echo_handler(&record));
    signalled_server = server;
    struct sigaction action = {.sa_handler = drain_on_signal};
    struct sigaction previous;
    assert_int_equal(sigaction(SIGTERM, &action, &previous), 0);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, terminate_while_connected, server), 0);
    assert_int_equal(kn_server_run(server), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(sigaction(SIGTERM, &previous, NULL), 0);
    assert_int_equal(record.closed_for[KN_CLOSE_DRAIN], 1);
    kn_server_close(server);
}

static void *run_server(void *context)
{
    kn_assert(kn_server_run(context) == 0);
    return NULL;
}

static void server_runs_on_its_own_thread_until_drained_from_another(void **state)
{
    (void)state;
    struct loopback_record record = {0};
    struct kn_server *server = loopback_server((struct kn_server_options){0}, loopback_echo_handler(&record));
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, run_server, server), 0);
    int client = blocking_client(server);
    for (unsigned i = 0; i < 1000; i++) {
        char request[64];
        char answer[64];
        loopback_fill((uint8_t *)request, sizeof(request), i, 0);
        assert_int_equal(send(client, request, sizeof(request), 0), sizeof(request));
        assert_int_equal(recv(client, answer, sizeof(answer), MSG_WAITALL), sizeof(answer));
        assert_memory_equal(answer, request, sizeof(request));
        kn_server_wake(server);
    }
    assert_int_equal(COUNTED(server, bytes_in), 64000);
    kn_server_drain(server);
    assert_int_equal(pthread_join(thread, NULL), 0);
    close(client);
    kn_server_close(server);
}

/* ---- the loop ---- */

static void connections_beyond_the_limit_wait_and_are_served_later(void **state)
{
    (void)state;
    struct loopback_record record = {0};
    struct kn_server *server =
        loopback_server((struct kn_server_options){.max_connections = 2}, loopback_echo_handler(&record));
    int clients[5];
    for (unsigned i = 0; i < 5; i++) {
        clients[i] = loopback_connect(server);
        assert_int_equal(loopback_send(clients[i], "x", 1), 1);
    }
    for (unsigned i = 0; i < 50; i++)
        assert_int_equal(kn_server_turn(server, 0), 0);
    assert_int_equal(COUNTED(server, open), 2);
    for (unsigned i = 0; i < 5; i++) {
        char answer;
        loopback_receive_all(server, clients[i], &answer, 1);
        close(clients[i]);
    }
    LOOPBACK_UNTIL(server, record.closed == 5);
    kn_server_close(server);
}

struct event_record {
    struct loopback_record record;
    uint64_t number;
    unsigned events;
    int descriptor;
};

static void note_event(void *context, struct kn_server *server, uint64_t number, uint32_t event_flags)
{
    struct event_record *record = context;
    (void)server;
    assert_true((event_flags & KN_EVENT_READABLE) != 0);
    uint64_t value;
    assert_int_equal(read(record->descriptor, &value, sizeof(value)), sizeof(value));
    record->number = number;
    record->events++;
}

static void events_of_the_application_reach_on_event(void **state)
{
    (void)state;
    struct event_record record = {.descriptor = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
    struct kn_server_handler handler = loopback_echo_handler(&record.record);
    handler.on_event = note_event;
    struct kn_server *server = loopback_server((struct kn_server_options){0}, handler);
    const uint64_t number = UINT64_C(0x7fffffffffffffff);
    assert_int_equal(
        kn_poll_register(kn_server_poll(server), record.descriptor, KN_SERVER_USER_TOKEN(number), KN_READABLE), 0);
    assert_int_equal(kn_server_turn(server, 0), 0);
    assert_int_equal(record.events, 0);
    uint64_t one = 1;
    assert_int_equal(write(record.descriptor, &one, sizeof(one)), sizeof(one));
    LOOPBACK_UNTIL(server, record.events == 1);
    assert_int_equal(record.number, number);
    assert_int_equal(kn_poll_deregister(kn_server_poll(server), record.descriptor), 0);
    close(record.descriptor);
    kn_server_close(server);
}

static void publish_each_turn(void *context, struct kn_server *server)
{
    struct loopback_record *record = context;
    struct kn_connection *connection = kn_server_find(server, record->last_id);
    void *space;
    if (!connection || record->written_after_full > 0)
        return;
    record->written_after_full = 1;
    assert_int_equal(kn_connection_claim(connection, 4, &space), 0);
    memcpy(space, "tick", 4);
    kn_connection_publish(connection, 4);
}

static void output_published_in_on_turn_leaves_in_the_same_turn(void **state)
{
    (void)state;
    struct loopback_record record = {.last_id = UINT64_MAX};
    struct kn_server_handler handler = loopback_echo_handler(&record);
    handler.on_turn = publish_each_turn;
    struct kn_server *server = loopback_server((struct kn_server_options){0}, handler);
    int client = loopback_connect(server);
    LOOPBACK_UNTIL(server, record.written_after_full == 1);
    char answer[4];
    bool ended;
    assert_int_equal(loopback_receive(client, answer, 4, &ended), 4);
    assert_memory_equal(answer, "tick", 4);
    close(client);
    kn_server_close(server);
}

static void close_visited(void *context, struct kn_connection *connection)
{
    unsigned *visited = context;
    ++*visited;
    assert_int_equal(kn_connection_write(connection, "x", 1), 0);
    kn_connection_close(connection);
}

static void every_open_connection_is_visited_once_and_may_be_closed(void **state)
{
    (void)state;
    struct loopback_record record = {0};
    struct kn_server *server = loopback_server((struct kn_server_options){0}, loopback_echo_handler(&record));
    int clients[10];
    for (unsigned i = 0; i < 10; i++)
        clients[i] = loopback_connect(server);
    LOOPBACK_UNTIL(server, record.opened == 10);
    unsigned visited = 0;
    kn_server_each(server, close_visited, &visited);
    assert_int_equal(visited, 10);
    LOOPBACK_UNTIL(server, record.closed_for[KN_CLOSE_BY_HANDLER] == 10);
    for (unsigned i = 0; i < 10; i++)
        close(clients[i]);
    kn_server_close(server);
}

static void connection_knows_its_peer_and_its_user(void **state)
{
    (void)state;
    struct loopback_record record = {0};
    struct kn_server *server = loopback_server((struct kn_server_options){0}, loopback_echo_handler(&record));
    int client = loopback_connect(server);
    loopback_expect_echo(server, client, "hello");
    struct kn_connection *connection = kn_server_find(server, record.last_id);
    struct sockaddr_storage own;
    socklen_t length = sizeof(own);
    assert_int_equal(getsockname(client, (struct sockaddr *)&own, &length), 0);
    assert_int_equal(kn_connection_peer(connection)->length, length);
    assert_memory_equal(&kn_connection_peer(connection)->storage, &own, length);
    assert_null(kn_connection_user(connection));
    kn_connection_set_user(connection, &record);
    assert_ptr_equal(kn_connection_user(connection), &record);
    struct kn_connection_stats stats;
    kn_connection_stats(connection, &stats);
    assert_int_equal(stats.bytes_in, 5);
    assert_int_equal(stats.bytes_out, 5);
    assert_true(stats.active_ns >= stats.opened_ns);
    assert_false(stats.paused);
    close(client);
    kn_server_close(server);
}

static void impossible_servers_are_refused(void **state)
{
    (void)state;
    struct loopback_record record = {0};
    struct kn_server_handler handler = loopback_echo_handler(&record);
    struct kn_server *server = loopback_server((struct kn_server_options){0}, handler);
    struct kn_server *second = server;
    struct kn_server_options options = {0};
    assert_int_equal(kn_server_address(server, &options.address), 0);
    assert_int_equal(kn_server_open(&second, &options, &handler), -EADDRINUSE);
    assert_null(second);
    handler.on_readable = NULL;
    assert_int_equal(kn_server_open(&second, &options, &handler), -EINVAL);
    handler = loopback_echo_handler(&record);
    options.max_output_bytes = UINT32_MAX;
    assert_int_equal(kn_server_open(&second, &options, &handler), -EINVAL);
    kn_server_close(server);
    kn_server_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(server_echoes_what_it_receives),
        cmocka_unit_test(server_serves_local_sockets),
        cmocka_unit_test(server_echoes_64_mebibytes_through_100_connections_byte_for_byte),
        cmocka_unit_test(server_echoes_byte_for_byte_under_tight_limits),
        cmocka_unit_test(unconsumed_bytes_are_shown_again_in_one_piece),
        cmocka_unit_test(pipelined_requests_are_answered_in_order),
        cmocka_unit_test(half_closed_client_gets_all_its_answers),
        cmocka_unit_test(end_of_stream_is_shown_once_with_what_was_left),
        cmocka_unit_test(closing_in_on_open_sends_what_was_written_and_closes_once),
        cmocka_unit_test(closing_in_on_readable_flushes_the_answer_first),
        cmocka_unit_test(refused_connection_is_closed_without_on_close),
        cmocka_unit_test(closing_the_server_tells_every_open_connection),
        cmocka_unit_test(id_of_a_closed_connection_finds_nothing),
        cmocka_unit_test(peer_that_does_not_read_is_not_read_from_and_loses_nothing),
        cmocka_unit_test(producer_continues_when_told_writable),
        cmocka_unit_test(claim_that_can_never_fit_is_refused),
        cmocka_unit_test(written_and_published_bytes_keep_their_order),
        cmocka_unit_test(bytes_are_received_into_the_handlers_memory_until_it_has_no_room),
        cmocka_unit_test(held_connection_outlives_its_end_of_stream_until_released),
        cmocka_unit_test(resumed_connection_shows_what_was_kept_though_nothing_arrives),
        cmocka_unit_test(idle_connection_is_closed_and_a_busy_one_is_not),
        cmocka_unit_test(idle_timeout_ends_a_wait_without_events),
        cmocka_unit_test(held_connection_is_not_idle),
        cmocka_unit_test(spinning_server_serves_and_sleeps),
        cmocka_unit_test(drain_answers_what_had_arrived_and_closes),
        cmocka_unit_test(drain_waits_until_the_peer_has_taken_its_answers),
        cmocka_unit_test(drain_waits_for_answers_owed),
        cmocka_unit_test(drain_cuts_off_what_is_left_after_its_timeout),
        cmocka_unit_test(drained_server_no_longer_listens),
        cmocka_unit_test(termination_signal_drains_the_server),
        cmocka_unit_test(server_runs_on_its_own_thread_until_drained_from_another),
        cmocka_unit_test(connections_beyond_the_limit_wait_and_are_served_later),
        cmocka_unit_test(events_of_the_application_reach_on_event),
        cmocka_unit_test(output_published_in_on_turn_leaves_in_the_same_turn),
        cmocka_unit_test(every_open_connection_is_visited_once_and_may_be_closed),
        cmocka_unit_test(connection_knows_its_peer_and_its_user),
        cmocka_unit_test(impossible_servers_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
