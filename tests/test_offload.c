/* A server whose handler runs on another thread. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
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
#include <kernel/offload.h>
#include <kernel/spsc_bytes.h>

/* A server and its handler's thread, echoing `answers_per_message` times. */
struct fixture {
    struct kn_server *server;
    struct kn_offload *offload;
    struct kn_address address;
    pthread_t server_thread;
    pthread_t handler_thread;
    unsigned answers_per_message;
    _Atomic uint64_t messages;
};

static void echo(void *context, struct kn_offload *offload, uint64_t connection_id, const void *bytes,
                 size_t length_bytes)
{
    (void)connection_id;
    struct fixture *fixture = context;
    atomic_fetch_add(&fixture->messages, 1);
    for (unsigned i = 0; i < fixture->answers_per_message; i++) {
        void *space;
        if (kn_offload_claim(offload, length_bytes, &space) == 0) {
            memcpy(space, bytes, length_bytes);
            (void)kn_offload_publish(offload, length_bytes);
        }
    }
}

static void *run_server(void *argument)
{
    return (void *)(intptr_t)kn_server_run(((struct fixture *)argument)->server);
}

static void *run_handler(void *argument)
{
    return (void *)(intptr_t)kn_offload_run(((struct fixture *)argument)->offload);
}

static void start(struct fixture *fixture, const struct kn_offload_options *options)
{
    struct kn_offload_handler handler = {.context = fixture, .on_message = echo};
    assert_int_equal(kn_offload_open(&fixture->offload, options, &handler), 0);
    struct kn_server_handler server_handler = kn_offload_server_handler(fixture->offload);
    struct kn_server_options server_options = {.drain_timeout_ns = INT64_C(10000000000)};
    assert_int_equal(kn_address_parse("127.0.0.1:0", &server_options.address), 0);
    assert_int_equal(kn_server_open(&fixture->server, &server_options, &server_handler), 0);
    assert_int_equal(kn_server_address(fixture->server, &fixture->address), 0);
    kn_offload_attach(fixture->offload, fixture->server);
    assert_int_equal(pthread_create(&fixture->handler_thread, NULL, run_handler, fixture), 0);
    assert_int_equal(pthread_create(&fixture->server_thread, NULL, run_server, fixture), 0);
}

/* Drains the server, then stops the handler: the order that an application follows. */
static void finish(struct fixture *fixture)
{
    void *result;
    kn_server_drain(fixture->server);
    pthread_join(fixture->server_thread, &result);
    assert_int_equal((intptr_t)result, 0);
    kn_offload_stop(fixture->offload);
    pthread_join(fixture->handler_thread, &result);
    assert_int_equal((intptr_t)result, 0);
    kn_server_close(fixture->server);
    kn_offload_close(fixture->offload);
}

static int connect_blocking(const struct fixture *fixture)
{
    int descriptor = socket(fixture->address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(descriptor >= 0);
    assert_int_equal(connect(descriptor, (const struct sockaddr *)&fixture->address.storage, fixture->address.length),
                     0);
    return descriptor;
}

static void fill(uint8_t *bytes, size_t length, uint32_t seed)
{
    for (size_t i = 0; i < length; i++) {
        seed = seed * 1664525u + 1013904223u;
        bytes[i] = (uint8_t)(seed >> 24);
    }
}

static void read_exactly(int descriptor, uint8_t *bytes, size_t length)
{
    size_t done = 0;
    while (done < length) {
        ssize_t count = recv(descriptor, bytes + done, length - done, 0);
        assert_true(count > 0);
        done += (size_t)count;
    }
}

static void offload_echoes_each_byte_of_every_connection_in_order(void **state)
{
    (void)state;
    enum { CONNECTIONS = 8, LENGTH = 1 << 20 };
    struct fixture fixture = {.answers_per_message = 1};
    start(&fixture, &(struct kn_offload_options){.queue_bytes = 1 << 16, .message_bytes = 4096});
    struct pollfd polled[CONNECTIONS];
    uint8_t *sent[CONNECTIONS];
    uint8_t *received[CONNECTIONS];
    size_t written[CONNECTIONS] = {0};
    size_t read_back[CONNECTIONS] = {0};
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        polled[i] = (struct pollfd){.fd = connect_blocking(&fixture), .events = POLLIN | POLLOUT};
        sent[i] = malloc(LENGTH);
        received[i] = malloc(LENGTH);
        assert_non_null(sent[i]);
        assert_non_null(received[i]);
        fill(sent[i], LENGTH, i + 1);
    }
    unsigned finished = 0;
    while (finished < CONNECTIONS) {
        assert_true(poll(polled, CONNECTIONS, 30000) > 0);
        for (unsigned i = 0; i < CONNECTIONS; i++) {
            if (polled[i].revents & POLLOUT && written[i] < LENGTH) {
                ssize_t count = send(polled[i].fd, sent[i] + written[i], LENGTH - written[i], MSG_DONTWAIT);
                written[i] += count > 0 ? (size_t)count : 0;
                if (written[i] == LENGTH) {
                    shutdown(polled[i].fd, SHUT_WR);
                    polled[i].events = POLLIN;
                }
            }
            if (polled[i].revents & (POLLIN | POLLHUP) && read_back[i] < LENGTH) {
                ssize_t count = recv(polled[i].fd, received[i] + read_back[i], LENGTH - read_back[i], MSG_DONTWAIT);
                assert_int_not_equal(count, 0);
                read_back[i] += count > 0 ? (size_t)count : 0;
                if (read_back[i] == LENGTH)
                    finished++;
            }
        }
    }
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        uint8_t extra;
        assert_memory_equal(sent[i], received[i], LENGTH);
        assert_int_equal(recv(polled[i].fd, &extra, 1, 0), 0); /* nothing more, and an orderly end */
        close(polled[i].fd);
        free(sent[i]);
        free(received[i]);
    }
    finish(&fixture);
}

static void offload_wakes_a_sleeping_handler(void **state)
{
    (void)state;
    struct fixture fixture = {.answers_per_message = 1};
    start(&fixture, &(struct kn_offload_options){.spin_ns = -1});
    int descriptor = connect_blocking(&fixture);
    for (unsigned round = 0; round < 2000; round++) {
        uint8_t question[16];
        uint8_t answer[16];
        fill(question, sizeof(question), round);
        assert_int_equal(send(descriptor, question, sizeof(question), 0), sizeof(question));
        read_exactly(descriptor, answer, sizeof(answer));
        assert_memory_equal(question, answer, sizeof(answer));
    }
    close(descriptor);
    finish(&fixture);
}

static void offload_answers_what_was_received_before_a_drain(void **state)
{
    (void)state;
    struct fixture fixture = {.answers_per_message = 1};
    start(&fixture, &(struct kn_offload_options){0});
    int descriptor = connect_blocking(&fixture);
    uint8_t question[1000];
    uint8_t answer[1000];
    fill(question, sizeof(question), 3);
    assert_int_equal(send(descriptor, question, sizeof(question), 0), sizeof(question));
    while (atomic_load(&fixture.messages) == 0)
        usleep(100);
    finish(&fixture);
    read_exactly(descriptor, answer, sizeof(answer));
    assert_memory_equal(question, answer, sizeof(answer));
    assert_int_equal(recv(descriptor, answer, 1, 0), 0);
    close(descriptor);
}

static void offload_sends_several_answers_to_one_message_in_order(void **state)
{
    (void)state;
    struct fixture fixture = {.answers_per_message = 3};
    start(&fixture, &(struct kn_offload_options){.queue_bytes = 4096, .message_bytes = 512});
    int descriptor = connect_blocking(&fixture);
    for (unsigned round = 0; round < 500; round++) {
        uint8_t question[400];
        uint8_t answer[1200];
        fill(question, sizeof(question), round);
        assert_int_equal(send(descriptor, question, sizeof(question), 0), sizeof(question));
        read_exactly(descriptor, answer, sizeof(answer));
        for (unsigned i = 0; i < 3; i++)
            assert_memory_equal(question, answer + i * 400, 400);
    }
    close(descriptor);
    finish(&fixture);
}

static void offload_lets_a_silent_handler_keep_a_connection_open(void **state)
{
    (void)state;
    struct fixture fixture = {.answers_per_message = 0};
    start(&fixture, &(struct kn_offload_options){.queue_bytes = 4096, .message_bytes = 256, .inflight_bytes = 256});
    int descriptor = connect_blocking(&fixture);
    static uint8_t bytes[1 << 18];
    size_t sent = 0;
    while (sent < sizeof(bytes)) {
        ssize_t count = send(descriptor, bytes + sent, sizeof(bytes) - sent, 0);
        assert_true(count > 0);
        sent += (size_t)count;
    }
    shutdown(descriptor, SHUT_WR);
    uint8_t extra;
    assert_int_equal(recv(descriptor, &extra, 1, 0), 0); /* every byte was handled, then the server closed */
    assert_true(atomic_load(&fixture.messages) >= sizeof(bytes) / 256);
    close(descriptor);
    finish(&fixture);
}

static void offload_survives_connections_that_leave_before_their_answer(void **state)
{
    (void)state;
    struct fixture fixture = {.answers_per_message = 1};
    start(&fixture, &(struct kn_offload_options){.queue_bytes = 8192, .message_bytes = 1024});
    static uint8_t bytes[20000];
    for (unsigned round = 0; round < 300; round++) {
        int descriptor = connect_blocking(&fixture);
        (void)send(descriptor, bytes, sizeof(bytes), MSG_DONTWAIT);
        struct linger reset = {.l_onoff = 1};
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
        close(descriptor);
    }
    int descriptor = connect_blocking(&fixture);
    uint8_t answer[64];
    assert_int_equal(send(descriptor, bytes, sizeof(answer), 0), sizeof(answer));
    read_exactly(descriptor, answer, sizeof(answer));
    close(descriptor);
    finish(&fixture);
}

static void offload_refuses_bad_options(void **state)
{
    (void)state;
    struct kn_offload_handler handler = {.on_message = echo};
    const struct kn_offload_options bad[] = {
        {.queue_bytes = 5000},
        {.queue_bytes = 64},
        {.queue_bytes = 4096, .message_bytes = 4096},
        {.inflight_bytes = (size_t)1 << 40},
        {.max_connections = UINT32_MAX},
    };
    struct kn_offload *offload;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(kn_offload_open(&offload, &bad[i], &handler), -EINVAL);
        assert_null(offload);
    }
    struct kn_offload_handler no_handler = {0};
    assert_int_equal(kn_offload_open(&offload, &(struct kn_offload_options){0}, &no_handler), -EINVAL);
    kn_offload_close(offload);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(offload_echoes_each_byte_of_every_connection_in_order),
        cmocka_unit_test(offload_wakes_a_sleeping_handler),
        cmocka_unit_test(offload_answers_what_was_received_before_a_drain),
        cmocka_unit_test(offload_sends_several_answers_to_one_message_in_order),
        cmocka_unit_test(offload_lets_a_silent_handler_keep_a_connection_open),
        cmocka_unit_test(offload_survives_connections_that_leave_before_their_answer),
        cmocka_unit_test(offload_refuses_bad_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
