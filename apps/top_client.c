#include "top_client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <kernel/address.h>
#include <kernel/clock.h>

static const size_t ROOM_BYTES = 64 * 1024;
static const size_t LINE_BYTES_MAX = 64 * 1024 * 1024;
static const int64_t NS_PER_MS = 1000000;

void top_client_default_path(char *path, size_t path_bytes)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    snprintf(path, path_bytes, "%s/kernel-server.sock", runtime && *runtime == '/' ? runtime : "/tmp");
}

int top_client_open(struct top_client *client, const char *path)
{
    char text[KN_ADDRESS_TEXT_BYTES];
    struct kn_address address;
    *client = (struct top_client){.descriptor = -1};
    int length = snprintf(text, sizeof(text), "unix:%s", path);
    int result = length < (int)sizeof(text) ? kn_address_parse(text, &address) : -ENAMETOOLONG;
    if (result < 0)
        return result;
    client->descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct sockaddr *raw = (const struct sockaddr *)(const void *)&address.storage;
    if (client->descriptor >= 0 && connect(client->descriptor, raw, address.length) == 0)
        return 0;
    result = -errno;
    top_client_close(client);
    return result;
}

void top_client_close(struct top_client *client)
{
    if (client->bytes || client->descriptor > 0)
        close(client->descriptor);
    free(client->bytes);
    *client = (struct top_client){.descriptor = -1};
}

/* Commands are short: they fit what the socket takes at once, unless the program has not read many of them. */
int top_client_ask(struct top_client *client, const char *command)
{
    char line[64];
    int length = snprintf(line, sizeof(line), "%s\n", command);
    if (length >= (int)sizeof(line))
        return -EINVAL;
    for (int sent = 0; sent < length;) {
        ssize_t count = send(client->descriptor, line + sent, (size_t)(length - sent), MSG_NOSIGNAL);
        if (count < 0 && errno != EINTR)
            return errno == EPIPE ? -ECONNRESET : -errno;
        sent += count > 0 ? (int)count : 0;
    }
    return 0;
}

/* Forgets the lines that were taken, and makes room for more. */
static int make_room(struct top_client *client)
{
    if (client->shown > 0)
        memmove(client->bytes, client->bytes + client->shown, client->length - client->shown);
    client->length -= client->shown;
    client->shown = 0;
    if (client->capacity - client->length >= ROOM_BYTES / 2)
        return 0;
    if (client->capacity >= LINE_BYTES_MAX)
        return -EMSGSIZE;
    size_t capacity = client->capacity > 0 ? client->capacity * 2 : ROOM_BYTES;
    char *bytes = realloc(client->bytes, capacity);
    if (!bytes)
        return -ENOMEM;
    client->bytes = bytes;
    client->capacity = capacity;
    return 0;
}

int top_client_receive(struct top_client *client)
{
    int result = make_room(client);
    if (result < 0)
        return result;
    ssize_t count = recv(client->descriptor, client->bytes + client->length, client->capacity - client->length, 0);
    if (count < 0)
        return errno == EINTR ? 0 : -errno;
    client->length += (size_t)count;
    return count > 0 ? 0 : -ECONNRESET;
}

bool top_client_line(struct top_client *client, const char **line, size_t *length_bytes)
{
    if (client->shown == client->length)
        return false;
    const char *start = client->bytes + client->shown;
    const char *end = memchr(start, '\n', client->length - client->shown);
    if (!end)
        return false;
    *line = start;
    *length_bytes = (size_t)(end - start);
    client->shown += *length_bytes + 1;
    return true;
}

int top_client_wait(struct top_client *client, int64_t timeout_ns, int interruption, const char **line,
                    size_t *length_bytes)
{
    uint64_t end_ns = kn_clock_monotonic_ns() + (uint64_t)timeout_ns;
    while (!top_client_line(client, line, length_bytes)) {
        struct pollfd polled[] = {{.fd = client->descriptor, .events = POLLIN}, {.fd = interruption, .events = POLLIN}};
        int64_t left_ns = (int64_t)(end_ns - kn_clock_monotonic_ns());
        if (left_ns <= 0)
            return -ETIMEDOUT;
        int count = poll(polled, 2, (int)(left_ns / NS_PER_MS + 1));
        if (count < 0 && errno != EINTR)
            return -errno;
        if (count <= 0)
            continue;
        if (polled[1].revents)
            return -EINTR;
        int result = top_client_receive(client);
        if (result < 0)
            return result;
    }
    return 0;
}
