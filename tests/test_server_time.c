#include "loopback.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>

/* cmocka's assertions belong to the thread that runs the test. */
static void must(bool condition)
{
    if (!condition)
        abort();
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
    assert_int_equal(LOOPBACK_COUNTED(server, idle_closed), 1);
    assert_int_equal(LOOPBACK_COUNTED(server, open), 1);
    LOOPBACK_UNTIL(server, record.closed_for[KN_CLOSE_IDLE] == 2); /* no longer busy */
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
    static uint8_t bytes[60000];
    static uint8_t answer[60000];
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

static void drain_is_not_prolonged_by_a_client_that_keeps_sending(void **state)
{
    (void)state;
    struct loopback_record record = {0};
    /* A local socket holds more than a turn takes from the first moment on. */
    char text[96];
    snprintf(text, sizeof(text), "unix:/tmp/kernel-test-drain-%d", (int)getpid());
    struct kn_server_options options = {.drain_timeout_ns = INT64_C(60000000000)};
    assert_int_equal(kn_address_parse(text, &options.address), 0);
    struct kn_server *server = loopback_server(options, loopback_echo_handler(&record));
    int client = loopback_connect(server);
    loopback_expect_echo(server, client, "hello");
    static uint8_t bytes[65536];
    size_t sent = 0;
    for (size_t taken; (taken = loopback_send(client, bytes, sizeof(bytes))) > 0;)
        sent += taken;
    assert_true(sent > sizeof(bytes));
    kn_server_drain(server);
    int result = 0;
    size_t received = 0;
    for (unsigned turns = 0; result == 0 && turns < 1000; turns++) {
        result = kn_server_turn(server, 0);
        bool ended;
        received += loopback_receive(client, bytes, sizeof(bytes), &ended);
        loopback_send(client, bytes, sizeof(bytes));
    }
    assert_int_equal(result, -ESHUTDOWN);
    for (bool ended = false; !ended;)
        received += loopback_receive(client, bytes, sizeof(bytes), &ended);
    assert_int_equal(received, sent);
    assert_int_equal(record.closed_for[KN_CLOSE_DRAIN], 1);
    close(client);
    kn_server_close(server);
}

static void drain_waits_until_the_peer_has_taken_its_answers(void **state)
{
    (void)state;
    struct loopback_generator generator = {.total = 8000000};
    struct kn_server_handler handler = loopback_echo_handler(&generator.record);
    handler.on_open = loopback_produce_on_open;
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
    must(send(client, "hello", 5, 0) == 5);
    must(recv(client, answer, 5, MSG_WAITALL) == 5);
    must(kill(getpid(), SIGTERM) == 0);
    must(recv(client, answer, sizeof(answer), 0) == 0);
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
    must(kn_server_run(context) == 0);
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
    assert_int_equal(LOOPBACK_COUNTED(server, bytes_in), 64000);
    kn_server_drain(server);
    assert_int_equal(pthread_join(thread, NULL), 0);
    close(client);
    kn_server_close(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(idle_connection_is_closed_and_a_busy_one_is_not),
        cmocka_unit_test(idle_timeout_ends_a_wait_without_events),
        cmocka_unit_test(held_connection_is_not_idle),
        cmocka_unit_test(spinning_server_serves_and_sleeps),
        cmocka_unit_test(drain_answers_what_had_arrived_and_closes),
        cmocka_unit_test(drain_is_not_prolonged_by_a_client_that_keeps_sending),
        cmocka_unit_test(drain_waits_until_the_peer_has_taken_its_answers),
        cmocka_unit_test(drain_waits_for_answers_owed),
        cmocka_unit_test(drain_cuts_off_what_is_left_after_its_timeout),
        cmocka_unit_test(drained_server_no_longer_listens),
        cmocka_unit_test(termination_signal_drains_the_server),
        cmocka_unit_test(server_runs_on_its_own_thread_until_drained_from_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
