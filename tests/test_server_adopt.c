#include "loopback.h"

#include <kernel/clock.h>

/* What a server's handler has taken away instead of serving it. */
struct taken {
    bool takes;
    struct kn_tcp_stream stream;
    struct kn_address peer;
    unsigned count;
};

static bool take(void *context, struct kn_tcp_stream stream, const struct kn_address *peer)
{
    struct taken *taken = context;
    if (!taken->takes)
        return false;
    taken->stream = stream;
    taken->peer = *peer;
    taken->count++;
    return true;
}

static size_t echo(void *context, struct kn_connection *connection, const void *view, size_t length_bytes,
                   bool end_of_stream)
{
    (void)context;
    (void)end_of_stream;
    return kn_connection_write(connection, view, length_bytes) < 0 ? 0 : length_bytes;
}

static struct kn_server *open_acceptor(struct taken *taken)
{
    struct kn_server_handler handler = {.context = taken, .on_accept = take, .on_readable = echo};
    return loopback_server((struct kn_server_options){0}, handler);
}

/* A server that listens nowhere. */
static struct kn_server *open_adopter(struct kn_server_options options)
{
    struct kn_server_handler handler = {.on_readable = echo};
    struct kn_server *server;
    assert_int_equal(kn_server_open(&server, &options, &handler), 0);
    return server;
}

/* A client whose connection the acceptor's handler has taken. */
static int connect_taken(struct kn_server *acceptor, struct taken *taken)
{
    unsigned before = taken->count;
    int client = loopback_connect(acceptor);
    LOOPBACK_UNTIL(acceptor, taken->count > before);
    return client;
}

static void server_keeps_what_its_handler_does_not_take(void **state)
{
    (void)state;
    struct taken taken = {.takes = false};
    struct kn_server *server = open_acceptor(&taken);
    int client = loopback_connect(server);
    loopback_expect_echo(server, client, "hello");
    assert_int_equal(LOOPBACK_COUNTED(server, accepted), 1);
    close(client);
    kn_server_close(server);
}

static void taken_stream_is_not_the_servers(void **state)
{
    (void)state;
    struct taken taken = {.takes = true};
    struct kn_server *server = open_acceptor(&taken);
    int client = connect_taken(server, &taken);
    assert_int_equal(LOOPBACK_COUNTED(server, accepted), 0);
    assert_int_equal(LOOPBACK_COUNTED(server, open), 0);
    kn_server_close(server);
    assert_int_equal(kn_tcp_send(&taken.stream, "x", 1), 1); /* still ours */
    kn_tcp_close(&taken.stream);
    close(client);
}

static void adopted_connection_is_served_like_an_accepted_one(void **state)
{
    (void)state;
    struct taken taken = {.takes = true};
    struct kn_server *acceptor = open_acceptor(&taken);
    struct kn_server *adopter = open_adopter((struct kn_server_options){0});
    int client = connect_taken(acceptor, &taken);
    assert_int_equal(loopback_send(client, "early", 5), 5); /* before anybody looks */
    assert_int_equal(kn_server_adopt(adopter, taken.stream, &taken.peer), 0);
    char answer[5];
    loopback_receive_all(adopter, client, answer, 5);
    assert_memory_equal(answer, "early", 5);
    loopback_expect_echo(adopter, client, "later");
    assert_int_equal(LOOPBACK_COUNTED(adopter, accepted), 1);
    close(client);
    LOOPBACK_UNTIL(adopter, LOOPBACK_COUNTED(adopter, open) == 0);
    kn_server_close(adopter);
    kn_server_close(acceptor);
}

static void note_opening(void *context, struct kn_connection *connection)
{
    struct kn_connection_stats stats;
    kn_connection_stats(connection, &stats);
    *(uint64_t *)context = stats.opened_ns;
}

static void connection_is_as_old_as_its_adoption(void **state)
{
    (void)state;
    struct taken taken = {.takes = true};
    struct kn_server *acceptor = open_acceptor(&taken);
    struct kn_server *adopter = open_adopter((struct kn_server_options){0});
    int client = connect_taken(acceptor, &taken);
    uint64_t opened_ns = 0;
    uint64_t before_ns = kn_clock_monotonic_ns(); /* the adopter has taken no turn yet */
    assert_int_equal(kn_server_adopt(adopter, taken.stream, &taken.peer), 0);
    kn_server_each(adopter, note_opening, &opened_ns);
    assert_true(opened_ns >= before_ns);
    kn_server_close(adopter);
    kn_server_close(acceptor);
    close(client);
}

static void full_server_adopts_nothing(void **state)
{
    (void)state;
    struct taken taken = {.takes = true};
    struct kn_server *acceptor = open_acceptor(&taken);
    struct kn_server *adopter = open_adopter((struct kn_server_options){.max_connections = 1});
    int first = connect_taken(acceptor, &taken);
    assert_int_equal(kn_server_adopt(adopter, taken.stream, &taken.peer), 0);
    int second = connect_taken(acceptor, &taken);
    assert_int_equal(kn_server_adopt(adopter, taken.stream, &taken.peer), -EAGAIN);
    assert_int_equal(kn_tcp_send(&taken.stream, "x", 1), 1); /* still ours */
    kn_tcp_close(&taken.stream);
    loopback_expect_echo(adopter, first, "hello");
    close(first);
    close(second);
    kn_server_close(adopter);
    kn_server_close(acceptor);
}

static int refuse(void *context, struct kn_connection *connection)
{
    (void)context;
    (void)connection;
    return -EPERM;
}

static void server_closes_an_adopted_connection_that_its_handler_refuses(void **state)
{
    (void)state;
    struct taken taken = {.takes = true};
    struct kn_server *acceptor = open_acceptor(&taken);
    struct kn_server_options options = {0};
    struct kn_server_handler handler = {.on_open = refuse, .on_readable = echo};
    struct kn_server *adopter;
    assert_int_equal(kn_server_open(&adopter, &options, &handler), 0);
    int client = connect_taken(acceptor, &taken);
    assert_int_equal(kn_server_adopt(adopter, taken.stream, &taken.peer), 0);
    assert_int_equal(loopback_receive_end(adopter, client), 0);
    assert_int_equal(LOOPBACK_COUNTED(adopter, refused), 1);
    close(client);
    kn_server_close(adopter);
    kn_server_close(acceptor);
}

static void drained_server_answers_what_it_adopts_and_has_drained_again(void **state)
{
    (void)state;
    struct taken taken = {.takes = true};
    struct kn_server *acceptor = open_acceptor(&taken);
    struct kn_server *adopter = open_adopter((struct kn_server_options){0});
    int client = connect_taken(acceptor, &taken);
    kn_server_drain(adopter);
    LOOPBACK_UNTIL_DRAINED(adopter);
    assert_int_equal(loopback_send(client, "hello", 5), 5);
    assert_int_equal(kn_server_adopt(adopter, taken.stream, &taken.peer), 0);
    LOOPBACK_UNTIL_DRAINED(adopter);
    char answer[6];
    assert_int_equal(fcntl(client, F_SETFL, 0), 0);
    assert_int_equal(recv(client, answer, sizeof(answer), MSG_WAITALL), 5); /* and then the end */
    assert_memory_equal(answer, "hello", 5);
    close(client);
    kn_server_close(adopter);
    kn_server_close(acceptor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(server_keeps_what_its_handler_does_not_take),
        cmocka_unit_test(taken_stream_is_not_the_servers),
        cmocka_unit_test(adopted_connection_is_served_like_an_accepted_one),
        cmocka_unit_test(connection_is_as_old_as_its_adoption),
        cmocka_unit_test(full_server_adopts_nothing),
        cmocka_unit_test(server_closes_an_adopted_connection_that_its_handler_refuses),
        cmocka_unit_test(drained_server_answers_what_it_adopts_and_has_drained_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
