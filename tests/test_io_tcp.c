/* Tests of connections for futures. */
#include "io_loop.h"
#include "reactors.h"

#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <kernel/future_task.h>
#include <kernel/io_tcp.h>

static struct kn_address address_of(const char *text)
{
    struct kn_address address;
    assert_int_equal(kn_address_parse(text, &address), 0);
    return address;
}

/* Listens on a port that the system chooses. */
static struct kn_address listen_anywhere(struct kn_io_driver *driver, struct kn_io_listener *listener)
{
    struct kn_address address = address_of("127.0.0.1:0");
    assert_int_equal(kn_io_listen(listener, driver, &address, NULL), 0);
    assert_int_equal(kn_tcp_listener_address(&listener->listener, &address), 0);
    return address;
}

/* ---- connections ---- */

static void echo_over(const char *text)
{
    struct kn_io_driver *driver = io_loop_open();
    struct kn_io_listener listener;
    struct kn_address address = address_of(text);
    assert_int_equal(kn_io_listen(&listener, driver, &address, NULL), 0);
    assert_int_equal(kn_tcp_listener_address(&listener.listener, &address), 0);
    struct kn_io client;
    struct kn_io served;
    struct kn_future_connect connect;
    struct kn_future_accept accept;
    struct kn_future_io_read read;
    struct kn_future_io_write_all write;
    struct kn_future_shutdown shutdown;
    char bytes[8];
    struct kn_outcome outcome = io_loop_run(driver, kn_future_connect(&connect, &client, driver, &address));
    assert_int_equal(outcome.status, KN_READY);
    assert_ptr_equal(outcome.value.pointer, &client);
    int64_t descriptor = io_loop_number(driver, kn_future_accept(&accept, &listener));
    assert_int_equal(kn_io_open(&served, driver, (int)descriptor), 0);
    assert_int_equal(io_loop_number(driver, kn_future_io_write_all(&write, &client, "ping", 4)), 4);
    assert_int_equal(io_loop_number(driver, kn_future_io_read_exact(&read, &served, bytes, 4)), 4);
    /* Half-closed: the one direction has ended, the other goes on. */
    assert_int_equal(io_loop_number(driver, kn_future_shutdown(&shutdown, &client, KN_TCP_SHUTDOWN_WRITE)), 0);
    assert_int_equal(io_loop_number(driver, kn_future_io_read(&read, &served, bytes, 4)), 0);
    assert_int_equal(io_loop_number(driver, kn_future_io_write_all(&write, &served, "pong", 4)), 4);
    assert_int_equal(io_loop_number(driver, kn_future_io_read_exact(&read, &client, bytes, 4)), 4);
    assert_memory_equal(bytes, "pong", 4);
    kn_io_close(&served);
    assert_int_equal(io_loop_number(driver, kn_future_io_read(&read, &client, bytes, 4)), 0);
    kn_io_close(&client);
    assert_int_equal(io_loop_failure(driver, kn_future_shutdown(&shutdown, &client, KN_TCP_SHUTDOWN_WRITE)), -EBADF);
    kn_io_listener_close(&listener);
    kn_io_driver_close(driver);
}

static void connections_go_over_addresses_of_all_kinds(void **state)
{
    (void)state;
    size_t before = io_loop_descriptors();
    char path[64];
    snprintf(path, sizeof(path), "unix:/tmp/kernel_test_io_tcp.%d", (int)getpid());
    echo_over("127.0.0.1:0");
    echo_over(path);
    assert_int_equal(access(path + strlen("unix:"), F_OK), -1); /* removed */
    assert_int_equal(io_loop_descriptors(), before);
}

static void connecting_to_nobody_fails_and_leaves_nothing_open(void **state)
{
    (void)state;
    struct kn_io_driver *driver = io_loop_open();
    size_t before = io_loop_descriptors();
    struct kn_io_listener listener;
    struct kn_address address = listen_anywhere(driver, &listener);
    kn_io_listener_close(&listener);
    struct kn_io client;
    struct kn_future_connect connect;
    assert_int_equal(io_loop_failure(driver, kn_future_connect(&connect, &client, driver, &address)), -ECONNREFUSED);
    address = address_of("unix:/nowhere/at/all");
    assert_int_equal(io_loop_failure(driver, kn_future_connect(&connect, &client, driver, &address)), -ENOENT);
    assert_int_equal(client.descriptor, -1);
    assert_int_equal(kn_io_driver_count(driver), 0);
    assert_int_equal(io_loop_descriptors(), before);
    kn_io_driver_close(driver);
}

static void a_listener_that_cannot_be_is_a_failure(void **state)
{
    (void)state;
    struct kn_io_driver *driver = io_loop_open();
    struct kn_io_listener listener;
    struct kn_io_listener second;
    struct kn_address address = listen_anywhere(driver, &listener);
    assert_int_equal(kn_io_listen(&second, driver, &address, NULL), -EADDRINUSE);
    kn_io_listener_close(&second);
    kn_io_listener_close(&listener);
    kn_io_listener_close(&listener);
    kn_io_driver_close(driver);
}

/* Closes the listener once. */
static struct kn_outcome close_poll(void *context, struct kn_context *poll)
{
    (void)poll;
    kn_io_listener_close(context);
    return kn_ready(KN_NOTHING);
}

/* Polls the stream, then the other. */
struct closing {
    struct kn_stream *stream;
    struct kn_future_poll_fn close;
    bool is_closed;
};

static struct kn_outcome closing_poll(void *context, struct kn_context *poll)
{
    struct closing *self = context;
    struct kn_outcome outcome = kn_stream_poll(self->stream, poll);
    if (outcome.status == KN_PENDING && !self->is_closed) {
        self->is_closed = true;
        (void)kn_future_poll(&self->close.future, poll);
    }
    return outcome;
}

static void closing_the_listener_ends_its_stream(void **state)
{
    (void)state;
    struct kn_io_driver *driver = io_loop_open();
    struct kn_io_listener listener;
    (void)listen_anywhere(driver, &listener);
    struct kn_stream_accept accept;
    struct kn_stream_next next;
    struct kn_future_poll_fn both;
    struct closing closing = {.stream = kn_stream_accept(&accept, &listener)};
    (void)kn_future_poll_fn(&closing.close, close_poll, &listener);
    assert_int_equal(io_loop_failure(driver, kn_future_poll_fn(&both, closing_poll, &closing)), -ECANCELED);
    assert_int_equal(io_loop_failure(driver, kn_stream_next(&next, closing.stream)), KN_END);
    kn_stream_drop(closing.stream);
    kn_io_driver_close(driver);
}

static void a_stream_accepts_all_in_turn(void **state)
{
    (void)state;
    enum { CLIENTS = 20 };
    struct kn_io_driver *driver = io_loop_open();
    struct kn_io_listener listener;
    struct kn_address address = listen_anywhere(driver, &listener);
    struct kn_stream_accept accept;
    struct kn_stream_next next;
    struct kn_stream *stream = kn_stream_accept(&accept, &listener);
    struct kn_io clients[CLIENTS];
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct kn_future_connect connect;
        assert_int_equal(io_loop_run(driver, kn_future_connect(&connect, &clients[i], driver, &address)).status, 0);
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct kn_outcome outcome = io_loop_run(driver, kn_stream_next(&next, stream));
        assert_int_equal(outcome.status, KN_READY);
        struct kn_address local = {.length = sizeof(local.storage)};
        struct sockaddr *raw = (struct sockaddr *)(void *)&local.storage;
        assert_int_equal(getsockname(clients[i].descriptor, raw, &local.length), 0);
        assert_int_equal(kn_address_port(&accept.accept.peer), kn_address_port(&local));
        kn_stream_discard(stream, outcome.value); /* nobody takes it: closed */
        char byte;
        struct kn_future_io_read read;
        assert_int_equal(io_loop_number(driver, kn_future_io_read(&read, &clients[i], &byte, 1)), 0);
        kn_io_close(&clients[i]);
    }
    kn_stream_drop(stream);
    kn_io_listener_close(&listener);
    kn_io_driver_close(driver);
}

/* ---- out of descriptors ---- */

/* In a process of its own, whose limit is lowered. */
static void run_out_of_descriptors(void)
{
    struct kn_io_driver *driver = io_loop_open();
    struct kn_io_listener listener;
    struct kn_address address = listen_anywhere(driver, &listener);
    struct kn_io clients[2];
    struct kn_future_connect connect;
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(io_loop_run(driver, kn_future_connect(&connect, &clients[i], driver, &address)).status, 0);
    int last = dup(clients[1].descriptor); /* the lowest free number is this or more */
    assert_true(last >= 0);
    close(last);
    struct rlimit limit = {.rlim_cur = (rlim_t)last, .rlim_max = (rlim_t)last + 10};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    struct kn_stream_accept accept;
    struct kn_stream_next next;
    struct kn_stream *stream = kn_stream_accept(&accept, &listener);
    uint64_t start_ns = kn_clock_monotonic_ns();
    /* Each attempt fails, and the next comes no sooner than after a rest, although the listener is ready all the time.
     */
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(io_loop_failure(driver, kn_stream_next(&next, stream)), -EMFILE);
    assert_true(kn_clock_monotonic_ns() - start_ns >= 2 * KN_ACCEPT_REST_NS);
    struct kn_io more;
    assert_int_equal(io_loop_failure(driver, kn_future_connect(&connect, &more, driver, &address)), -EMFILE);
    /* With means again it goes on, and nobody was lost. */
    limit.rlim_cur = (rlim_t)last + 10;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    for (unsigned i = 0; i < 2; i++) {
        struct kn_outcome outcome = io_loop_run(driver, kn_stream_next(&next, stream));
        assert_int_equal(outcome.status, KN_READY);
        kn_stream_discard(stream, outcome.value);
        kn_io_close(&clients[i]);
    }
    kn_stream_drop(stream);
    kn_io_listener_close(&listener);
    kn_io_driver_close(driver);
}

static void a_listener_out_of_descriptors_says_so_and_rests(void **state)
{
    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        run_out_of_descriptors();
        _exit(0); /* a failed assertion leaves otherwise */
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- drops ---- */

/* Connects or accepts, with or without the other side there; and nobody takes the answer. */
struct dropped {
    unsigned kind;
    struct kn_io_listener listener;
    struct kn_address address;
    struct kn_io client;
    int other;
    struct kn_future_connect connect;
    struct kn_future_accept accept;
};

static struct kn_future *dropped_make(struct kn_io_driver *driver, void *context)
{
    struct dropped *self = context;
    self->address = listen_anywhere(driver, &self->listener);
    if (self->kind == 0)
        return kn_future_connect(&self->connect, &self->client, driver, &self->address);
    const struct sockaddr *raw = (const struct sockaddr *)(const void *)&self->address.storage;
    self->other = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(self->other, raw, self->address.length), 0);
    kn_io_clear_ready(&self->listener.io, KN_IO_READ); /* so that it waits for the event, which was not taken yet */
    return kn_future_accept(&self->accept, &self->listener);
}

static void dropped_unmake(void *context)
{
    struct dropped *self = context;
    if (self->kind == 0)
        assert_int_equal(self->client.descriptor, -1);
    else
        close(self->other);
    assert_null(self->listener.io.waits[KN_IO_READ]);
    kn_io_listener_close(&self->listener);
}

static void connecting_and_accepting_may_be_dropped_anywhere(void **state)
{
    (void)state;
    static struct dropped dropped;
    for (dropped.kind = 0; dropped.kind < 2; dropped.kind++)
        (void)io_loop_cut_everywhere(dropped_make, dropped_unmake, &dropped);
}

static void memory_that_is_missing_makes_no_future(void **state)
{
    (void)state;
    assert_null(kn_future_connect(NULL, NULL, NULL, NULL));
    assert_null(kn_future_accept(NULL, NULL));
    assert_null(kn_stream_accept(NULL, NULL));
    assert_null(kn_future_shutdown(NULL, NULL, KN_TCP_SHUTDOWN_BOTH));
}

/* ---- two reactors: the one listens, the other serves ---- */

struct served {
    struct kn_future future;
    struct kn_future_task task;
    struct kn_io_driver *driver;
    struct kn_future_io_copy copy;
    struct kn_io io;
    int descriptor;
    bool is_open;
    uint8_t buffer[512];
};

/* Echoes. */
static struct kn_outcome served_poll(struct kn_future *future, struct kn_context *context)
{
    struct served *self = KN_CONTAINER_OF(future, struct served, future);
    if (!self->is_open) {
        int result = kn_io_open(&self->io, self->driver, self->descriptor);
        if (result < 0)
            return kn_failed(result);
        self->is_open = true;
        (void)kn_future_io_copy(&self->copy, &self->io, &self->io, self->buffer, sizeof(self->buffer));
    }
    struct kn_outcome outcome = kn_future_poll(&self->copy.future, context);
    if (outcome.status != KN_PENDING)
        kn_io_close(&self->io);
    return outcome;
}

static void served_drop(struct kn_future *future)
{
    struct served *self = KN_CONTAINER_OF(future, struct served, future);
    if (self->is_open) {
        kn_future_drop(&self->copy.future);
        kn_io_close(&self->io);
    }
}

static const struct kn_future_type served_type = {.name = "served", .poll = served_poll, .drop = served_drop};

enum { CLIENTS = 16, CLIENT_BYTES = 20000 };

struct acceptor {
    struct kn_future future;
    struct kn_future_task task;
    struct kn_stream_accept accept;
    struct kn_io_driver *target;
    struct kn_reactor *reactor;
    struct kn_task_group *group;
    struct served served[CLIENTS];
    unsigned count;
};

static _Atomic int64_t echoed;

static void note_echo(struct kn_future_task *task, struct kn_outcome outcome, void *context)
{
    (void)task;
    (void)context;
    if (outcome.status == KN_READY)
        echoed += outcome.value.integer;
}

static struct kn_outcome acceptor_poll(struct kn_future *future, struct kn_context *context)
{
    struct acceptor *self = KN_CONTAINER_OF(future, struct acceptor, future);
    while (self->count < CLIENTS) {
        struct kn_outcome outcome = kn_stream_poll(&self->accept.stream, context);
        if (outcome.status != KN_READY)
            return outcome;
        struct served *served = &self->served[self->count++];
        served->future.type = &served_type;
        served->driver = self->target;
        served->descriptor = (int)outcome.value.integer;
        struct kn_future_options options = {.pinned = true, .group = self->group, .finished = note_echo};
        int result = kn_future_spawn(&served->task, &served->future, self->reactor, &options);
        if (result < 0)
            return kn_failed(result);
    }
    kn_stream_drop(&self->accept.stream);
    return kn_ready(KN_NOTHING);
}

static void acceptor_drop(struct kn_future *future)
{
    kn_stream_drop(&KN_CONTAINER_OF(future, struct acceptor, future)->accept.stream);
}

static const struct kn_future_type acceptor_type = {.name = "acceptor", .poll = acceptor_poll, .drop = acceptor_drop};

static void talk(const struct kn_address *address, unsigned seed)
{
    static uint8_t sent[CLIENT_BYTES];
    static uint8_t received[CLIENT_BYTES];
    int client = socket(address->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(client, (const struct sockaddr *)(const void *)&address->storage, address->length), 0);
    for (size_t i = 0; i < CLIENT_BYTES; i++)
        sent[i] = (uint8_t)(i * seed + i / 200);
    assert_int_equal(send(client, sent, CLIENT_BYTES, MSG_NOSIGNAL), CLIENT_BYTES);
    assert_int_equal(recv(client, received, CLIENT_BYTES, MSG_WAITALL), CLIENT_BYTES);
    assert_memory_equal(sent, received, CLIENT_BYTES);
    close(client);
}

static void one_reactor_accepts_for_another(void **state)
{
    (void)state;
    size_t before = io_loop_descriptors();
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){.reactors = 2, .turn_ns = 100000});
    struct kn_io_driver *drivers[2];
    for (size_t i = 0; i < 2; i++) {
        drivers[i] = io_loop_open();
        struct kn_reactor_io io = kn_io_driver_reactor_io(drivers[i], kn_runtime_reactor(runtime, i));
        kn_reactor_set_io(kn_runtime_reactor(runtime, i), &io);
    }
    struct kn_io_listener listener;
    struct kn_address address = listen_anywhere(drivers[0], &listener);
    struct kn_task_group group;
    kn_task_group_init(&group, CLIENTS + 1);
    static struct acceptor acceptor;
    acceptor = (struct acceptor){.future.type = &acceptor_type,
                                 .target = drivers[1],
                                 .reactor = kn_runtime_reactor(runtime, 1),
                                 .group = &group};
    echoed = 0;
    (void)kn_stream_accept(&acceptor.accept, &listener);
    assert_int_equal(kn_runtime_start(runtime, 0), 0);
    struct kn_future_options options = {.pinned = true, .group = &group};
    assert_int_equal(kn_future_spawn(&acceptor.task, &acceptor.future, kn_runtime_reactor(runtime, 0), &options), 0);
    for (unsigned i = 0; i < CLIENTS; i++)
        talk(&address, i);
    assert_int_equal(kn_task_group_join(&group, NULL), 0);
    assert_int_equal(echoed, CLIENTS * CLIENT_BYTES);
    kn_runtime_close(runtime);
    kn_io_listener_close(&listener);
    kn_io_driver_close(drivers[0]);
    kn_io_driver_close(drivers[1]);
    assert_int_equal(io_loop_descriptors(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connections_go_over_addresses_of_all_kinds),
        cmocka_unit_test(connecting_to_nobody_fails_and_leaves_nothing_open),
        cmocka_unit_test(a_listener_that_cannot_be_is_a_failure),
        cmocka_unit_test(closing_the_listener_ends_its_stream),
        cmocka_unit_test(a_stream_accepts_all_in_turn),
        cmocka_unit_test(a_listener_out_of_descriptors_says_so_and_rests),
        cmocka_unit_test(connecting_and_accepting_may_be_dropped_anywhere),
        cmocka_unit_test(memory_that_is_missing_makes_no_future),
        cmocka_unit_test(one_reactor_accepts_for_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
