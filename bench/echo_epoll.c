#include "echo_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

void echo_report_port(int report_descriptor, uint16_t port)
{
    if (write(report_descriptor, &port, sizeof(port)) != (ssize_t)sizeof(port))
        perror("bench: echo");
    close(report_descriptor);
}

int echo_listen(int report_descriptor)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, length) < 0 || listen(listener, SOMAXCONN) < 0 ||
        getsockname(listener, (struct sockaddr *)&address, &length) < 0) {
        perror("bench: echo");
        if (listener >= 0)
            close(listener);
        return -1;
    }
    echo_report_port(report_descriptor, ntohs(address.sin_port));
    return listener;
}

static void accept_all(int poll_descriptor, int listener)
{
    int enabled = 1;
    int descriptor;
    while ((descriptor = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = descriptor};
        setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &enabled, sizeof(enabled));
        if (epoll_ctl(poll_descriptor, EPOLL_CTL_ADD, descriptor, &event) < 0)
            close(descriptor);
    }
}

/* Sends everything, waiting for the peer where it must: a peer that reads what it asked for never makes it wait. */
static bool send_all(int descriptor, const char *bytes, size_t length_bytes)
{
    while (length_bytes > 0) {
        ssize_t sent = send(descriptor, bytes, length_bytes, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN)
            return false;
        if (sent < 0) {
            struct pollfd writable = {.fd = descriptor, .events = POLLOUT};
            poll(&writable, 1, -1);
            continue;
        }
        bytes += sent;
        length_bytes -= (size_t)sent;
    }
    return true;
}

static void echo_once(int descriptor)
{
    static char buffer[ECHO_BUFFER_BYTES];
    ssize_t received = recv(descriptor, buffer, sizeof(buffer), 0);
    if (received < 0 && errno == EAGAIN)
        return;
    if (received <= 0 || !send_all(descriptor, buffer, (size_t)received))
        close(descriptor);
}

void echo_serve_epoll(int report_descriptor)
{
    struct epoll_event events[256];
    int listener = echo_listen(report_descriptor);
    int poll_descriptor = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
    if (listener < 0 || poll_descriptor < 0 || epoll_ctl(poll_descriptor, EPOLL_CTL_ADD, listener, &event) < 0)
        return;
    for (;;) {
        int count = epoll_wait(poll_descriptor, events, sizeof(events) / sizeof(events[0]), -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == listener)
                accept_all(poll_descriptor, listener);
            else
                echo_once(events[i].data.fd);
        }
    }
}
