#include "loopback.h"

#include <stdio.h>
#include <sys/eventfd.h>

/* ---- bytes ---- */

static void server_echoes_what_it_receives(void **state)
{
    (void)state;
    struct loopback_record record = {0};
    struct kn_server *server = loopback_server((struct kn_server_options){0}, loopback_echo_handler(&record));
    int client = loopback_connect(server);
    loopback_expect_echo(server, client, "hello");
    loopback_expect_echo(server, client, "again");
    assert_int_equal(LOOPBACK_COUNTED(server, bytes_in), 10);
    assert_int_equal(LOOPBACK_COUNTED(server, bytes_out), 10);
    close(client);
    LOOPBACK_UNTIL(server, record.closed == 1);
    assert_int_equal(record.closed_for[KN_CLOSE_BY_PEER], 1);
    assert_int_equal(LOOPBACK_COUNTED(server, open), 0);
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

static void echo_through_many_connections(struct kn_server_options options)
{
    struct loopback_record record = {0};
    struct kn_server *server = loopback_server(options, loopback_echo_handler(&record));
    struct loopback_stream clients[CLIENTS] = {{0}};
    for (unsigned i = 0; i < CLIENTS; i++)
        clients[i].descriptor = loopback_connect(server);
    unsigned complete;
    do {
        complete = 0;
        for (unsigned i = 0; i < CLIENTS; i++) {
            if (clients[i].received < STREAM_BYTES)
                loopback_advance(&clients[i], i, STREAM_BYTES);
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
        LOOPBACK_UNTIL(server, LOOPBACK_COUNTED(server, bytes_in) == sent);
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
    struct loopback_stream client = {.descriptor = loopback_connect(server)};
    while (client.sent < TOTAL) {
        loopback_advance(&client, 9, TOTAL);
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

static void closing_with_unread_input_does_not_reset_the_connection(void **state)
{
    (void)state;
    struct loopback_record record = {0};
    struct kn_server_handler handler = loopback_echo_handler(&record);
    handler.on_readable = echo_and_close;
    struct kn_server *server = loopback_server((struct kn_server_options){.max_input_bytes = 1000}, handler);
    int client = loopback_connect(server);
    static uint8_t bytes[20000];
    loopback_send_all(server, client, bytes, sizeof(bytes));
    LOOPBACK_UNTIL(server, record.closed == 1);
    bool ended;
    assert_int_equal(loopback_receive(client, bytes, sizeof(bytes), &ended), 1001);
    assert_int_equal(recv(client, bytes, sizeof(bytes), 0), 0);
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
    assert_int_equal(LOOPBACK_COUNTED(server, refused), 1);
    assert_int_equal(LOOPBACK_COUNTED(server, open), 0);
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
    assert_int_equal(LOOPBACK_COUNTED(server, open), 2);
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
        cmocka_unit_test(closing_with_unread_input_does_not_reset_the_connection),
        cmocka_unit_test(refused_connection_is_closed_without_on_close),
        cmocka_unit_test(closing_the_server_tells_every_open_connection),
        cmocka_unit_test(id_of_a_closed_connection_finds_nothing),
        cmocka_unit_test(connections_beyond_the_limit_wait_and_are_served_later),
        cmocka_unit_test(events_of_the_application_reach_on_event),
        cmocka_unit_test(output_published_in_on_turn_leaves_in_the_same_turn),
        cmocka_unit_test(every_open_connection_is_visited_once_and_may_be_closed),
        cmocka_unit_test(connection_knows_its_peer_and_its_user),
        cmocka_unit_test(impossible_servers_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
