#include "loopback.h"

#include <dirent.h>
#include <sys/resource.h>

/* ---- limits ---- */

static void input_beyond_the_limit_closes_only_the_offender(void **state)
{
    (void)state;
    struct loopback_record record = {0};
    struct kn_server *server =
        loopback_server((struct kn_server_options){.max_input_bytes = 1000}, loopback_line_handler(&record));
    int honest = loopback_connect(server);
    int offender = loopback_connect(server);
    static char text[1001];
    memset(text, 'x', sizeof(text));
    loopback_send_all(server, offender, text, sizeof(text));
    assert_int_equal(loopback_receive_end(server, offender), 0);
    assert_int_equal(record.closed_for[KN_CLOSE_INPUT_LIMIT], 1);
    assert_int_equal(record.closed, 1);
    loopback_expect_echo(server, honest, "still here\n");
    close(honest);
    close(offender);
    kn_server_close(server);
}

static void message_as_long_as_the_limit_is_served(void **state)
{
    (void)state;
    struct loopback_record record = {0};
    struct kn_server *server =
        loopback_server((struct kn_server_options){.max_input_bytes = 1000}, loopback_line_handler(&record));
    int client = loopback_connect(server);
    static char text[1000];
    static char answer[1000];
    memset(text, 'x', sizeof(text));
    loopback_send_all(server, client, text, sizeof(text));
    LOOPBACK_UNTIL(server, LOOPBACK_COUNTED(server, bytes_in) == sizeof(text));
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(kn_server_turn(server, 0), 0);
    assert_int_equal(record.closed, 0);
    text[999] = '\n';
    loopback_send_all(server, client, text + 999, 1);
    loopback_receive_all(server, client, answer, 999);
    loopback_receive_all(server, client, answer, 2);
    assert_memory_equal(answer, "x\n", 2);
    close(client);
    kn_server_close(server);
}

static void endless_line_costs_the_server_no_more_than_the_limit(void **state)
{
    (void)state;
    enum { LIMIT = 1 << 20 };
    struct loopback_record record = {0};
    struct kn_server *server =
        loopback_server((struct kn_server_options){.max_input_bytes = LIMIT}, loopback_line_handler(&record));
    int client = loopback_connect(server);
    static char text[65536];
    memset(text, 'x', sizeof(text));
    /* A gibibyte would follow if the server let it. */
    size_t sent = 0;
    for (; sent < (size_t)1 << 30 && record.closed == 0; sent += loopback_send(client, text, sizeof(text)))
        assert_int_equal(kn_server_turn(server, 0), 0);
    assert_int_equal(record.closed_for[KN_CLOSE_INPUT_LIMIT], 1);
    assert_true(LOOPBACK_COUNTED(server, bytes_in) <= LIMIT + 1);
    int honest = loopback_connect(server);
    loopback_expect_echo(server, honest, "still here\n");
    close(client);
    close(honest);
    kn_server_close(server);
}

static size_t fill_output(void *context, struct kn_connection *connection, const void *view, size_t length,
                          bool end_of_stream)
{
    (void)context;
    (void)view;
    (void)end_of_stream;
    void *space;
    while (kn_connection_claim(connection, 4096, &space) == 0) {
        memset(space, 'y', 4096);
        kn_connection_publish(connection, 4096);
    }
    return length;
}

static void peer_that_never_takes_its_output_is_closed_in_the_end(void **state)
{
    (void)state;
    struct loopback_record record = {0};
    struct kn_server_handler handler = loopback_echo_handler(&record);
    handler.on_readable = fill_output;
    struct kn_server *server =
        loopback_server((struct kn_server_options){.max_output_bytes = 8192, .idle_timeout_ns = 20000000}, handler);
    int client = loopback_connect(server);
    loopback_send_all(server, client, "?", 1);
    LOOPBACK_UNTIL(server, record.closed == 1);
    assert_int_equal(record.closed_for[KN_CLOSE_OUTPUT_LIMIT], 1);
    close(client);
    kn_server_close(server);
}

static void flood_of_one_client_leaves_the_others_their_turn(void **state)
{
    (void)state;
    struct loopback_record record = {0};
    struct kn_server *server = loopback_server((struct kn_server_options){0}, loopback_line_handler(&record));
    int flood = loopback_connect(server);
    int honest = loopback_connect(server);
    LOOPBACK_UNTIL(server, record.opened == 2);
    static char lines[1 << 20];
    memset(lines, '\n', sizeof(lines));
    for (unsigned i = 0; i < 100; i++) {
        while (loopback_send(flood, lines, sizeof(lines)) > 0)
            continue;
        char answer[4];
        bool ended;
        assert_int_equal(loopback_send(honest, "me\n", 3), 3);
        uint64_t before = LOOPBACK_COUNTED(server, bytes_in);
        assert_int_equal(kn_server_turn(server, 0), 0);
        assert_true(LOOPBACK_COUNTED(server, bytes_in) - before <= 2 * 65536 + 3);
        /* Its event was in the same wait, and the flood ahead of it had a bounded share. */
        assert_int_equal(loopback_receive(honest, answer, sizeof(answer), &ended), 3);
        while (loopback_receive(flood, lines, sizeof(lines), &ended) > 0)
            continue;
    }
    close(flood);
    close(honest);
    kn_server_close(server);
}

static void every_byte_value_passes(void **state)
{
    (void)state;
    struct loopback_record record = {0};
    struct kn_server *server = loopback_server((struct kn_server_options){0}, loopback_line_handler(&record));
    int client = loopback_connect(server);
    uint8_t bytes[257];
    uint8_t answer[257];
    for (unsigned i = 0; i < 256; i++)
        bytes[i] = (uint8_t)(255 - i);
    bytes[256] = '\n';
    loopback_send_all(server, client, bytes, sizeof(bytes));
    loopback_receive_all(server, client, answer, sizeof(answer));
    assert_memory_equal(answer, bytes, sizeof(bytes));
    close(client);
    kn_server_close(server);
}

/* ---- resets and storms ---- */

static void reset_in_the_middle_of_a_message_ends_that_connection_only(void **state)
{
    (void)state;
    struct loopback_record record = {0};
    struct kn_server *server = loopback_server((struct kn_server_options){0}, loopback_line_handler(&record));
    int honest = loopback_connect(server);
    int broken = loopback_connect(server);
    loopback_send_all(server, broken, "half a mess", 11);
    LOOPBACK_UNTIL(server, LOOPBACK_COUNTED(server, bytes_in) == 11);
    loopback_reset(broken);
    LOOPBACK_UNTIL(server, record.closed == 1);
    assert_int_equal(record.closed_for[KN_CLOSE_RESET], 1);
    assert_int_equal(LOOPBACK_COUNTED(server, resets), 1);
    loopback_expect_echo(server, honest, "still here\n");
    close(honest);
    kn_server_close(server);
}

static int error_seen;

static void note_error(void *context, struct kn_connection *connection, enum kn_close_reason reason)
{
    error_seen = kn_connection_error(connection);
    loopback_on_close(context, connection, reason);
}

static int pause_on_open(void *context, struct kn_connection *connection)
{
    kn_connection_pause(connection);
    return loopback_on_open(context, connection);
}

static void reset_of_a_paused_connection_is_noticed(void **state)
{
    (void)state;
    struct loopback_record record = {0};
    struct kn_server_handler handler = loopback_echo_handler(&record);
    handler.on_open = pause_on_open;
    handler.on_close = note_error;
    error_seen = 0;
    struct kn_server *server = loopback_server((struct kn_server_options){0}, handler);
    int client = loopback_connect(server);
    LOOPBACK_UNTIL(server, record.opened == 1);
    loopback_reset(client);
    LOOPBACK_UNTIL(server, record.closed_for[KN_CLOSE_RESET] == 1);
    assert_int_equal(error_seen, -ECONNRESET);
    kn_server_close(server);
}

static unsigned open_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    assert_non_null(directory);
    unsigned count = 0;
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

static void ten_thousand_connections_slammed_shut_leave_nothing_behind(void **state)
{
    (void)state;
    struct loopback_record record = {0};
    struct kn_server *server = loopback_server((struct kn_server_options){0}, loopback_line_handler(&record));
    int honest = loopback_connect(server);
    loopback_expect_echo(server, honest, "first\n");
    unsigned before = open_descriptors();
    for (unsigned i = 0; i < 10000; i += 50) {
        int clients[50];
        for (unsigned k = 0; k < 50; k++) {
            clients[k] = loopback_connect(server);
            if (k % 3 == 0)
                assert_int_equal(loopback_send(clients[k], "cut o", 5), 5);
        }
        for (unsigned k = 0; k < 50; k++) {
            if (k % 2 == 0)
                loopback_reset(clients[k]);
            else
                close(clients[k]);
            if (k == 25)
                assert_int_equal(kn_server_turn(server, 0), 0);
        }
        loopback_expect_echo(server, honest, "among them\n");
    }
    LOOPBACK_UNTIL(server, LOOPBACK_COUNTED(server, open) == 1);
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(kn_server_turn(server, 0), 0);
    assert_int_equal(LOOPBACK_COUNTED(server, open), 1);
    assert_int_equal(record.opened, record.closed + 1);
    assert_int_equal(open_descriptors(), before);
    loopback_expect_echo(server, honest, "last\n");
    close(honest);
    kn_server_close(server);
}

static void storm_of_connections_is_taken_in_portions(void **state)
{
    (void)state;
    struct loopback_record record = {0};
    struct kn_server *server = loopback_server((struct kn_server_options){0}, loopback_line_handler(&record));
    int honest = loopback_connect(server);
    LOOPBACK_UNTIL(server, record.opened == 1);
    int storm[200];
    for (unsigned i = 0; i < 200; i++)
        storm[i] = loopback_connect(server);
    assert_int_equal(loopback_send(honest, "me\n", 3), 3);
    assert_int_equal(kn_server_turn(server, 0), 0);
    assert_true(record.opened < 200);
    char answer[4];
    bool ended;
    assert_int_equal(loopback_receive(honest, answer, sizeof(answer), &ended), 3);
    LOOPBACK_UNTIL(server, record.opened == 201);
    for (unsigned i = 0; i < 200; i++)
        close(storm[i]);
    close(honest);
    kn_server_close(server);
}

struct pair {
    struct loopback_record record;
    struct kn_server *server;
    uint64_t ids[2];
    unsigned shown;
};

static int note_pair(void *context, struct kn_connection *connection)
{
    struct pair *pair = context;
    pair->ids[pair->record.opened] = kn_connection_id(connection);
    return loopback_on_open(context, connection);
}

static size_t close_the_other(void *context, struct kn_connection *connection, const void *view, size_t length,
                              bool end_of_stream)
{
    struct pair *pair = context;
    (void)view;
    (void)end_of_stream;
    pair->shown++;
    bool is_first = pair->ids[0] == kn_connection_id(connection);
    kn_connection_close(kn_server_find(pair->server, pair->ids[is_first ? 1 : 0]));
    return length;
}

static void connection_closed_by_another_in_the_same_turn_sees_no_more_events(void **state)
{
    (void)state;
    struct pair pair = {0};
    struct kn_server_handler handler = loopback_echo_handler(&pair.record);
    handler.on_open = note_pair;
    handler.on_readable = close_the_other;
    pair.server = loopback_server((struct kn_server_options){0}, handler);
    int clients[2] = {loopback_connect(pair.server), loopback_connect(pair.server)};
    LOOPBACK_UNTIL(pair.server, pair.record.opened == 2);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(kn_server_turn(pair.server, 0), 0);
    assert_int_equal(loopback_send(clients[0], "x", 1), 1);
    assert_int_equal(loopback_send(clients[1], "x", 1), 1);
    LOOPBACK_UNTIL(pair.server, pair.record.closed == 1);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(kn_server_turn(pair.server, 0), 0);
    assert_int_equal(pair.shown, 1);
    assert_int_equal(pair.record.closed_for[KN_CLOSE_BY_HANDLER], 1);
    assert_int_equal(pair.record.closed, 1);
    close(clients[0]);
    close(clients[1]);
    kn_server_close(pair.server);
}

/* ---- descriptors ---- */

static void exhausted_descriptors_cost_the_newcomers_and_nobody_else(void **state)
{
    (void)state;
    enum { NEWCOMERS = 8, LIMIT = 256 };
    struct rlimit previous;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &previous), 0);
    struct rlimit lowered = {.rlim_cur = LIMIT, .rlim_max = previous.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &lowered), 0);

    struct loopback_record record = {0};
    struct kn_server *server = loopback_server((struct kn_server_options){0}, loopback_line_handler(&record));
    int honest = loopback_connect(server);
    loopback_expect_echo(server, honest, "before\n");
    int newcomers[NEWCOMERS];
    for (unsigned i = 0; i < NEWCOMERS; i++)
        newcomers[i] = loopback_connect(server);
    int held[LIMIT];
    unsigned held_count = 0;
    while ((held[held_count] = fcntl(honest, F_DUPFD_CLOEXEC, 0)) >= 0)
        held_count++;
    assert_int_equal(errno, EMFILE);

    for (unsigned i = 0; i < NEWCOMERS; i++)
        assert_int_equal(loopback_receive_end(server, newcomers[i]), 0);
    assert_int_equal(LOOPBACK_COUNTED(server, shed), NEWCOMERS);
    assert_int_equal(LOOPBACK_COUNTED(server, open), 1);
    loopback_expect_echo(server, honest, "meanwhile\n");

    while (held_count > 0)
        close(held[--held_count]);
    int later = loopback_connect(server);
    loopback_expect_echo(server, later, "afterwards\n");
    loopback_expect_echo(server, honest, "as well\n");
    for (unsigned i = 0; i < NEWCOMERS; i++)
        close(newcomers[i]);
    close(later);
    close(honest);
    kn_server_close(server);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &previous), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(input_beyond_the_limit_closes_only_the_offender),
        cmocka_unit_test(message_as_long_as_the_limit_is_served),
        cmocka_unit_test(endless_line_costs_the_server_no_more_than_the_limit),
        cmocka_unit_test(peer_that_never_takes_its_output_is_closed_in_the_end),
        cmocka_unit_test(flood_of_one_client_leaves_the_others_their_turn),
        cmocka_unit_test(every_byte_value_passes),
        cmocka_unit_test(reset_in_the_middle_of_a_message_ends_that_connection_only),
        cmocka_unit_test(reset_of_a_paused_connection_is_noticed),
        cmocka_unit_test(ten_thousand_connections_slammed_shut_leave_nothing_behind),
        cmocka_unit_test(storm_of_connections_is_taken_in_portions),
        cmocka_unit_test(connection_closed_by_another_in_the_same_turn_sees_no_more_events),
        cmocka_unit_test(exhausted_descriptors_cost_the_newcomers_and_nobody_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
