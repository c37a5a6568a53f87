/* Stream sockets. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <kernel/tcp.h>

static struct kn_tcp_listener listen_on(const char *text, struct kn_address *address)
{
    struct kn_tcp_listener listener;
    assert_int_equal(kn_address_parse(text, address), 0);
    assert_int_equal(kn_tcp_listen(&listener, address, &(struct kn_tcp_listener_options){0}), 0);
    assert_int_equal(kn_tcp_listener_address(&listener, address), 0);
    return listener;
}

static void wait_for(int descriptor, short events)
{
    struct pollfd polled = {.fd = descriptor, .events = events};
    assert_int_equal(poll(&polled, 1, 10000), 1);
}

static struct kn_tcp_stream connect_to(const struct kn_address *address)
{
    struct kn_tcp_stream stream;
    int result = kn_tcp_connect(&stream, address);
    assert_true(result == 0 || result == -EINPROGRESS);
    wait_for(stream.descriptor, POLLOUT);
    assert_int_equal(kn_tcp_connect_result(&stream), 0);
    return stream;
}

static struct kn_tcp_stream accept_from(struct kn_tcp_listener *listener)
{
    struct kn_tcp_stream stream;
    struct kn_address peer;
    wait_for(listener->descriptor, POLLIN);
    assert_int_equal(kn_tcp_accept(listener, &stream, &peer), 0);
    return stream;
}

static void exchange_over(const char *text)
{
    struct kn_address address;
    struct kn_tcp_listener listener = listen_on(text, &address);
    struct kn_tcp_stream client = connect_to(&address);
    struct kn_tcp_stream server = accept_from(&listener);
    char buffer[32];
    assert_int_equal(kn_tcp_no_delay(&client, true), 0);
    assert_int_equal(kn_tcp_receive(&server, buffer, sizeof(buffer)), -EAGAIN);
    assert_int_equal(kn_tcp_send(&client, "question", 8), 8);
    wait_for(server.descriptor, POLLIN);
    assert_int_equal(kn_tcp_receive(&server, buffer, sizeof(buffer)), 8);
    assert_memory_equal(buffer, "question", 8);

    char first[3];
    char second[8];
    const struct iovec out[] = {{.iov_base = "ans", .iov_len = 3}, {.iov_base = "wer", .iov_len = 3}};
    const struct iovec in[] = {{.iov_base = first, .iov_len = 3}, {.iov_base = second, .iov_len = 8}};
    assert_int_equal(kn_tcp_send_vector(&server, out, 2), 6);
    wait_for(client.descriptor, POLLIN);
    assert_int_equal(kn_tcp_receive_vector(&client, in, 2), 6);
    assert_memory_equal(first, "ans", 3);
    assert_memory_equal(second, "wer", 3);
    kn_tcp_close(&client);
    kn_tcp_close(&client);
    kn_tcp_close(&server);
    kn_tcp_listener_close(&listener);
    kn_tcp_listener_close(&listener);
}

static void tcp_carries_bytes_over_ipv4(void **state)
{
    (void)state;
    exchange_over("127.0.0.1:0");
}

static void tcp_carries_bytes_over_ipv6(void **state)
{
    (void)state;
    struct kn_address address;
    struct kn_tcp_listener listener;
    assert_int_equal(kn_address_parse("[::1]:0", &address), 0);
    if (kn_tcp_listen(&listener, &address, &(struct kn_tcp_listener_options){0}) < 0) {
        print_message("no IPv6 loopback here\n");
        skip();
    }
    kn_tcp_listener_close(&listener);
    exchange_over("[::1]:0");
}

static void local_path(char *text, size_t room)
{
    snprintf(text, room, "unix:/tmp/kernel-test-%d.sock", (int)getpid());
}

static void tcp_carries_bytes_over_a_path_and_removes_it(void **state)
{
    (void)state;
    char text[64];
    local_path(text, sizeof(text));
    exchange_over(text);
    assert_int_equal(access(text + 5, F_OK), -1);
}

static void tcp_replaces_the_path_of_a_dead_server_but_not_of_a_living_one(void **state)
{
    (void)state;
    char text[64];
    struct kn_address address;
    struct kn_tcp_listener second;
    local_path(text, sizeof(text));
    struct kn_tcp_listener first = listen_on(text, &address);
    assert_int_equal(kn_tcp_listen(&second, &address, &(struct kn_tcp_listener_options){0}), -EADDRINUSE);
    close(first.descriptor); /* as if killed: the file stays */
    close(first.spare_descriptor);
    assert_int_equal(access(text + 5, F_OK), 0);
    assert_int_equal(kn_tcp_listen(&second, &address, &(struct kn_tcp_listener_options){0}), 0);
    kn_tcp_listener_close(&second);
    int file = open(text + 5, O_CREAT | O_WRONLY, 0600);
    assert_true(file >= 0);
    close(file);
    assert_int_equal(kn_tcp_listen(&second, &address, &(struct kn_tcp_listener_options){0}), -EADDRINUSE);
    assert_int_equal(unlink(text + 5), 0); /* a plain file is nobody's to remove */
}

static void tcp_connect_reports_a_refusal(void **state)
{
    (void)state;
    struct kn_address address;
    struct kn_tcp_listener listener = listen_on("127.0.0.1:0", &address);
    kn_tcp_listener_close(&listener);
    struct kn_tcp_stream stream;
    int result = kn_tcp_connect(&stream, &address);
    if (result == -EINPROGRESS) {
        wait_for(stream.descriptor, POLLOUT);
        result = kn_tcp_connect_result(&stream);
    }
    assert_int_equal(result, -ECONNREFUSED);
    kn_tcp_close(&stream);
}

static void tcp_half_closed_still_carries_the_other_way(void **state)
{
    (void)state;
    struct kn_address address;
    struct kn_tcp_listener listener = listen_on("127.0.0.1:0", &address);
    struct kn_tcp_stream client = connect_to(&address);
    struct kn_tcp_stream server = accept_from(&listener);
    char buffer[8];
    assert_int_equal(kn_tcp_shutdown(&client, KN_TCP_SHUTDOWN_WRITE), 0);
    wait_for(server.descriptor, POLLIN);
    assert_int_equal(kn_tcp_receive(&server, buffer, sizeof(buffer)), 0);
    assert_int_equal(kn_tcp_send(&client, "x", 1), -EPIPE); /* and no SIGPIPE */
    assert_int_equal(kn_tcp_send(&server, "late", 4), 4);
    wait_for(client.descriptor, POLLIN);
    assert_int_equal(kn_tcp_receive(&client, buffer, sizeof(buffer)), 4);
    kn_tcp_close(&client);
    kn_tcp_close(&server);
    kn_tcp_listener_close(&listener);
}

static void tcp_reports_a_reset(void **state)
{
    (void)state;
    struct kn_address address;
    struct kn_tcp_listener listener = listen_on("127.0.0.1:0", &address);
    struct kn_tcp_stream client = connect_to(&address);
    struct kn_tcp_stream server = accept_from(&listener);
    const struct linger reset = {.l_onoff = 1};
    char byte;
    assert_int_equal(setsockopt(client.descriptor, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
    kn_tcp_close(&client);
    wait_for(server.descriptor, POLLIN);
    assert_int_equal(kn_tcp_receive(&server, &byte, 1), -ECONNRESET);
    kn_tcp_close(&server);
    kn_tcp_listener_close(&listener);
}

static void tcp_listen_reports_an_address_in_use(void **state)
{
    (void)state;
    struct kn_address address;
    struct kn_tcp_listener second;
    struct kn_tcp_listener first = listen_on("127.0.0.1:0", &address);
    assert_int_equal(kn_tcp_listen(&second, &address, &(struct kn_tcp_listener_options){0}), -EADDRINUSE);
    assert_int_equal(second.descriptor, -1);
    kn_tcp_listener_close(&first);
}

static void tcp_listen_shares_a_port_when_asked(void **state)
{
    (void)state;
    struct kn_address address;
    struct kn_tcp_listener first, second;
    const struct kn_tcp_listener_options shared = {.reuse_port = true};
    assert_int_equal(kn_address_parse("127.0.0.1:0", &address), 0);
    assert_int_equal(kn_tcp_listen(&first, &address, &shared), 0);
    assert_int_equal(kn_tcp_listener_address(&first, &address), 0);
    assert_int_equal(kn_tcp_listen(&second, &address, &shared), 0);
    kn_tcp_listener_close(&first);
    kn_tcp_listener_close(&second);
}

/* Runs in a child, whose rights and limits may be spoilt; passes when that exits with 0. */
static void in_a_child(int (*body)(void))
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(body());
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static int listen_on_a_privileged_port(void)
{
    struct kn_address address;
    struct kn_tcp_listener listener;
    if (geteuid() == 0 && (setgid(65534) < 0 || setuid(65534) < 0))
        return 2;
    if (kn_address_parse("127.0.0.1:1", &address) < 0)
        return 3;
    return kn_tcp_listen(&listener, &address, &(struct kn_tcp_listener_options){0}) == -EACCES ? 0 : 1;
}

static void tcp_listen_reports_a_privileged_port(void **state)
{
    (void)state;
    FILE *file = fopen("/proc/sys/net/ipv4/ip_unprivileged_port_start", "r");
    int first = 1024;
    if (file) {
        (void)!fscanf(file, "%d", &first);
        fclose(file);
    }
    if (first <= 1) {
        print_message("every port is unprivileged here\n");
        skip();
    }
    in_a_child(listen_on_a_privileged_port);
}

static int shed_without_descriptors(void)
{
    struct kn_address address;
    struct kn_tcp_listener listener;
    struct kn_tcp_stream client, stream;
    struct kn_address peer;
    if (kn_address_parse("127.0.0.1:0", &address) < 0 ||
        kn_tcp_listen(&listener, &address, &(struct kn_tcp_listener_options){0}) < 0 ||
        kn_tcp_listener_address(&listener, &address) < 0)
        return 2;
    int result = kn_tcp_connect(&client, &address);
    if (result < 0 && result != -EINPROGRESS)
        return 3;
    struct pollfd polled = {.fd = listener.descriptor, .events = POLLIN};
    if (poll(&polled, 1, 10000) != 1)
        return 4;
    /* No number beyond those in use is left. */
    int next = dup(0);
    close(next);
    const struct rlimit none = {.rlim_cur = (rlim_t)next, .rlim_max = (rlim_t)next};
    if (setrlimit(RLIMIT_NOFILE, &none) < 0)
        return 5;
    if (kn_tcp_accept(&listener, &stream, &peer) != -EMFILE)
        return 6;
    if (kn_tcp_listener_shed(&listener) != 0 || listener.spare_descriptor < 0)
        return 7;
    char byte;
    polled = (struct pollfd){.fd = client.descriptor, .events = POLLIN};
    if (poll(&polled, 1, 10000) != 1 || kn_tcp_receive(&client, &byte, 1) > 0)
        return 8; /* the peer was not told */
    return kn_tcp_listener_shed(&listener) == -EAGAIN ? 0 : 9;
}

static void tcp_sheds_a_connection_when_descriptors_run_out(void **state)
{
    (void)state;
    in_a_child(shed_without_descriptors);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tcp_carries_bytes_over_ipv4),
        cmocka_unit_test(tcp_carries_bytes_over_ipv6),
        cmocka_unit_test(tcp_carries_bytes_over_a_path_and_removes_it),
        cmocka_unit_test(tcp_replaces_the_path_of_a_dead_server_but_not_of_a_living_one),
        cmocka_unit_test(tcp_connect_reports_a_refusal),
        cmocka_unit_test(tcp_half_closed_still_carries_the_other_way),
        cmocka_unit_test(tcp_reports_a_reset),
        cmocka_unit_test(tcp_listen_reports_an_address_in_use),
        cmocka_unit_test(tcp_listen_shares_a_port_when_asked),
        cmocka_unit_test(tcp_listen_reports_a_privileged_port),
        cmocka_unit_test(tcp_sheds_a_connection_when_descriptors_run_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
