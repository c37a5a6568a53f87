#include "loopback.h"

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
    assert_true(LOOPBACK_COUNTED(server, paused) > 0);
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

static void produce_on_writable(void *context, struct kn_connection *connection)
{
    struct loopback_generator *generator = context;
    struct kn_connection_stats stats;
    kn_connection_stats(connection, &stats);
    assert_true(stats.pending_output_bytes < 10000 / 2);
    generator->record.written_after_full++;
    loopback_produce(generator, connection);
}

static void producer_continues_when_told_writable(void **state)
{
    (void)state;
    struct loopback_generator generator = {.total = 20000000};
    struct kn_server_handler handler = loopback_echo_handler(&generator.record);
    handler.on_open = loopback_produce_on_open;
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

/* Answers each byte of a request with 4096 bytes of the stream. */
static size_t multiply(void *context, struct kn_connection *connection, const void *view, size_t length,
                       bool end_of_stream)
{
    struct loopback_generator *generator = context;
    (void)view;
    (void)end_of_stream;
    for (size_t done = 0; done < length; done++) {
        void *space;
        if (kn_connection_claim(connection, 4096, &space) < 0)
            return done;
        loopback_fill(space, 4096, 4, generator->produced);
        kn_connection_publish(connection, 4096);
        generator->produced += 4096;
    }
    return length;
}

static void input_that_found_no_room_is_shown_again_though_nothing_arrives(void **state)
{
    (void)state;
    enum { REQUEST = 4000 };
    struct loopback_generator generator = {0};
    struct kn_server_handler handler = loopback_echo_handler(&generator.record);
    handler.on_readable = multiply;
    struct kn_server *server = loopback_server((struct kn_server_options){.max_output_bytes = 20000}, handler);
    int client = loopback_connect(server);
    static uint8_t bytes[100000];
    loopback_send_all(server, client, bytes, REQUEST);
    LOOPBACK_UNTIL(server, LOOPBACK_COUNTED(server, bytes_in) == REQUEST);
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(kn_server_turn(server, 0), 0);
    assert_true(generator.produced < REQUEST * 4096);
    bool ended = false;
    for (size_t received = 0; received < REQUEST * 4096;) {
        size_t length = loopback_receive(client, bytes, sizeof(bytes), &ended);
        assert_false(ended);
        assert_true(loopback_matches(bytes, length, 4, received));
        received += length;
        assert_int_equal(kn_server_turn(server, length > 0 ? 0 : 100000), 0);
    }
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
    LOOPBACK_UNTIL(server, LOOPBACK_COUNTED(server, paused) == 1);
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
    receiver.room = 1;
    kn_connection_resume(kn_server_find(server, receiver.record.last_id));
    LOOPBACK_UNTIL(server, receiver.received == 8);
    assert_int_equal(receiver.asked, 2);
    close(client);
    kn_server_close(server);
}

static void paused_connection_is_not_read(void **state)
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
    assert_int_equal(LOOPBACK_COUNTED(server, bytes_in), 8);
    receiver.room = 1;
    kn_connection_resume(kn_server_find(server, receiver.record.last_id));
    LOOPBACK_UNTIL(server, receiver.received == 17);
    close(client);
    kn_server_close(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(peer_that_does_not_read_is_not_read_from_and_loses_nothing),
        cmocka_unit_test(producer_continues_when_told_writable),
        cmocka_unit_test(input_that_found_no_room_is_shown_again_though_nothing_arrives),
        cmocka_unit_test(claim_that_can_never_fit_is_refused),
        cmocka_unit_test(written_and_published_bytes_keep_their_order),
        cmocka_unit_test(bytes_are_received_into_the_handlers_memory_until_it_has_no_room),
        cmocka_unit_test(held_connection_outlives_its_end_of_stream_until_released),
        cmocka_unit_test(resumed_connection_shows_what_was_kept_though_nothing_arrives),
        cmocka_unit_test(paused_connection_is_not_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
