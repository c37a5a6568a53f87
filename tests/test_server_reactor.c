#include "loopback.h"
#include "reactors.h"

#include <poll.h>

#include <kernel/server_reactor.h>

enum { CLIENTS = 16 };

static size_t echo(void *context, struct kn_connection *connection, const void *view, size_t length_bytes,
                   bool end_of_stream)
{
    (void)context;
    (void)end_of_stream;
    return kn_connection_write(connection, view, length_bytes) < 0 ? 0 : length_bytes;
}

static struct kn_server *open_server(struct kn_server_options options)
{
    return loopback_server(options, (struct kn_server_handler){.on_readable = echo});
}

static void attach(struct kn_runtime *runtime, size_t index, struct kn_server *server)
{
    struct kn_reactor_io io = kn_server_reactor_io(server);
    kn_reactor_set_io(kn_runtime_reactor(runtime, index), &io);
}

/* Waits for bytes that another thread, or nobody but the system, is about to send. */
static size_t await_bytes(int client, void *bytes, size_t length)
{
    size_t received = 0;
    while (received < length) {
        struct pollfd polled = {.fd = client, .events = POLLIN};
        assert_int_equal(poll(&polled, 1, 60000), 1);
        ssize_t count = recv(client, (char *)bytes + received, length - received, 0);
        if (count <= 0)
            break;
        received += (size_t)count;
    }
    return received;
}

static void assert_echoes(int client)
{
    char answer[5];
    assert_int_equal(loopback_send(client, "hello", 5), 5);
    assert_int_equal(await_bytes(client, answer, 5), 5);
    assert_memory_equal(answer, "hello", 5);
}

/* Turns reactor 0 until a condition holds. */
#define TURN_UNTIL(runtime, condition)                                                                                 \
    do {                                                                                                               \
        while (!(condition))                                                                                           \
            assert_in_range(kn_reactor_turn(kn_runtime_reactor((runtime), 0), 1000000), 0, 1);                         \
    } while (0)

static void reactor_serves_the_connections_of_its_server(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){0});
    struct kn_server *server = open_server((struct kn_server_options){0});
    attach(runtime, 0, server);
    int client = loopback_connect(server);
    char answer[5];
    assert_int_equal(loopback_send(client, "hello", 5), 5);
    TURN_UNTIL(runtime, LOOPBACK_COUNTED(server, bytes_out) == 5);
    assert_int_equal(await_bytes(client, answer, 5), 5);
    close(client);
    TURN_UNTIL(runtime, LOOPBACK_COUNTED(server, closed) == 1);
    kn_runtime_close(runtime);
    kn_server_close(server);
}

static void reactor_that_sleeps_in_its_server_is_woken_by_a_client(void **state)
{
    (void)state;
    struct kn_server *server = open_server((struct kn_server_options){.idle_timeout_ns = -1});
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){.spin_ns = -1});
    attach(runtime, 0, server);
    assert_int_equal(kn_runtime_start(runtime, 0), 0);
    reactors_await_parked(runtime, 0);
    int client = loopback_connect(server);
    assert_echoes(client);
    reactors_await_parked(runtime, 0);
    assert_echoes(client);
    close(client);
    kn_runtime_close(runtime);
    kn_server_close(server);
}

static void reactor_that_sleeps_in_its_server_is_woken_by_a_task(void **state)
{
    (void)state;
    struct kn_server *server = open_server((struct kn_server_options){0});
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){.spin_ns = -1, .reactors = 2});
    attach(runtime, 0, server);
    assert_int_equal(kn_runtime_start(runtime, 0), 0);
    for (unsigned i = 0; i < 100; i++) {
        struct probe probe;
        reactors_await_parked(runtime, 0);
        probe_init(&probe, 0, "d", NULL);
        struct kn_task_group group;
        kn_task_group_init(&group, 1);
        probe.task.group = &group;
        probe.task.flags |= KN_TASK_PINNED;
        kn_task_spawn(&probe.task, kn_runtime_reactor(runtime, 0));
        assert_int_equal(kn_task_group_join(&group, NULL), 0);
        assert_ptr_equal(probe.last, kn_runtime_reactor(runtime, 0));
    }
    kn_runtime_close(runtime);
    kn_server_close(server);
}

static void reactor_goes_on_without_its_server_once_that_has_drained(void **state)
{
    (void)state;
    struct kn_server *server = open_server((struct kn_server_options){0});
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){0});
    attach(runtime, 0, server);
    int client = loopback_connect(server);
    TURN_UNTIL(runtime, LOOPBACK_COUNTED(server, open) == 1);
    kn_server_drain(server);
    TURN_UNTIL(runtime, LOOPBACK_COUNTED(server, open) == 0);
    assert_int_equal(kn_server_turn(server, 0), -ESHUTDOWN);
    (void)reactors_settle(runtime);
    kn_server_close(server); /* nobody has it any more */
    struct probe probe;
    probe_init(&probe, 0, "d", NULL);
    kn_task_spawn(&probe.task, kn_runtime_reactor(runtime, 0));
    (void)reactors_settle(runtime);
    assert_true(probe_is_done(&probe));
    close(client);
    kn_runtime_close(runtime);
}

static void sleeping_reactor_closes_a_connection_that_is_idle_for_too_long(void **state)
{
    (void)state;
    struct kn_server *server = open_server((struct kn_server_options){.idle_timeout_ns = 20000000});
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){.spin_ns = -1});
    attach(runtime, 0, server);
    assert_int_equal(kn_runtime_start(runtime, 0), 0);
    int client = loopback_connect(server);
    char byte;
    assert_int_equal(await_bytes(client, &byte, 1), 0); /* the end of the stream */
    assert_int_equal(LOOPBACK_COUNTED(server, idle_closed), 1);
    close(client);
    kn_runtime_close(runtime);
    kn_server_close(server);
}

/* A task that writes to the only connection. */
struct writer {
    struct kn_task task;
    struct kn_server *server;
};

static void write_greeting(void *context, struct kn_connection *connection)
{
    (void)context;
    void *space;
    assert_int_equal(kn_connection_claim(connection, 8, &space), 0);
    memcpy(space, "greeting", 8);
    kn_connection_publish(connection, 8);
}

static enum kn_task_status poll_writer(struct kn_task *task, struct kn_reactor *reactor)
{
    (void)reactor;
    kn_server_each(KN_CONTAINER_OF(task, struct writer, task)->server, write_greeting, NULL);
    return KN_TASK_DONE;
}

static void what_a_task_publishes_leaves_though_nothing_arrives(void **state)
{
    (void)state;
    static const struct kn_task_type WRITER = {.name = "writer", .poll = poll_writer};
    struct kn_server *server = open_server((struct kn_server_options){0});
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){.spin_ns = -1});
    attach(runtime, 0, server);
    assert_int_equal(kn_runtime_start(runtime, 0), 0);
    int client = loopback_connect(server);
    assert_echoes(client);
    reactors_await_parked(runtime, 0);
    struct writer writer = {.server = server};
    kn_task_create(&writer.task, &WRITER, 0);
    kn_task_spawn(&writer.task, kn_runtime_reactor(runtime, 0));
    char greeting[8];
    assert_int_equal(await_bytes(client, greeting, 8), 8);
    assert_memory_equal(greeting, "greeting", 8);
    close(client);
    kn_runtime_close(runtime);
    kn_server_close(server);
}

static void servers_of_several_reactors_share_a_port(void **state)
{
    (void)state;
    struct kn_server_options options = {.reuse_port = true};
    struct kn_server *servers[2];
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){.reactors = 2});
    int clients[CLIENTS];
    for (size_t i = 0; i < 2; i++) {
        servers[i] = open_server(options);
        attach(runtime, i, servers[i]);
        assert_int_equal(kn_server_address(servers[i], &options.address), 0);
    }
    assert_int_equal(kn_runtime_start(runtime, 0), 0);
    for (size_t i = 0; i < CLIENTS; i++) {
        clients[i] = loopback_connect(servers[i % 2]);
        assert_echoes(clients[i]);
    }
    assert_int_equal(LOOPBACK_COUNTED(servers[0], open) + LOOPBACK_COUNTED(servers[1], open), CLIENTS);
    for (size_t i = 0; i < CLIENTS; i++)
        assert_echoes(clients[i]);
    for (size_t i = 0; i < CLIENTS; i++)
        close(clients[i]);
    kn_runtime_close(runtime);
    kn_server_close(servers[0]);
    kn_server_close(servers[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reactor_serves_the_connections_of_its_server),
        cmocka_unit_test(reactor_that_sleeps_in_its_server_is_woken_by_a_client),
        cmocka_unit_test(reactor_that_sleeps_in_its_server_is_woken_by_a_task),
        cmocka_unit_test(reactor_goes_on_without_its_server_once_that_has_drained),
        cmocka_unit_test(sleeping_reactor_closes_a_connection_that_is_idle_for_too_long),
        cmocka_unit_test(what_a_task_publishes_leaves_though_nothing_arrives),
        cmocka_unit_test(servers_of_several_reactors_share_a_port),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
