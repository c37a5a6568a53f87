#include <kernel/tcp.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static const struct sockaddr *raw_address(const struct kn_address *address)
{
    return (const struct sockaddr *)(const void *)&address->storage;
}

static int open_socket(const struct kn_address *address)
{
    int descriptor = socket(address->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    return descriptor < 0 ? -errno : descriptor;
}

static int open_spare(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* Removes a socket file that nobody answers any more, as a killed server leaves it; anything else stays. */
static void remove_stale_path(const struct kn_address *address)
{
    struct stat status;
    const char *path = kn_address_path(address);
    if (!path || lstat(path, &status) < 0 || !S_ISSOCK(status.st_mode))
        return;
    int probe = open_socket(address);
    if (probe < 0)
        return;
    if (connect(probe, raw_address(address), address->length) < 0 && errno == ECONNREFUSED)
        unlink(path);
    close(probe);
}

static int bind_and_listen(int descriptor, const struct kn_address *address,
                           const struct kn_tcp_listener_options *options)
{
    const int enabled = 1;
    if (setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &enabled, sizeof(enabled)) < 0)
        return -errno;
    if (options->reuse_port && setsockopt(descriptor, SOL_SOCKET, SO_REUSEPORT, &enabled, sizeof(enabled)) < 0)
        return -errno;
    remove_stale_path(address);
    if (bind(descriptor, raw_address(address), address->length) < 0)
        return -errno;
    return listen(descriptor, options->backlog > 0 ? options->backlog : SOMAXCONN) < 0 ? -errno : 0;
}

int kn_tcp_listen(struct kn_tcp_listener *listener, const struct kn_address *address,
                  const struct kn_tcp_listener_options *options)
{
    *listener = (struct kn_tcp_listener){.descriptor = -1, .spare_descriptor = -1};
    int descriptor = open_socket(address);
    if (descriptor < 0)
        return descriptor;
    int result = bind_and_listen(descriptor, address, options);
    int spare = result < 0 ? -1 : open_spare();
    if (result == 0 && spare < 0)
        result = -errno;
    if (result < 0) {
        close(descriptor);
        return result;
    }
    listener->descriptor = descriptor;
    listener->spare_descriptor = spare;
    return 0;
}

void kn_tcp_listener_close(struct kn_tcp_listener *listener)
{
    if (listener->descriptor < 0)
        return;
    struct kn_address address;
    if (kn_tcp_listener_address(listener, &address) == 0 && kn_address_path(&address))
        unlink(kn_address_path(&address));
    close(listener->descriptor);
    if (listener->spare_descriptor >= 0)
        close(listener->spare_descriptor);
    *listener = (struct kn_tcp_listener){.descriptor = -1, .spare_descriptor = -1};
}

int kn_tcp_listener_address(const struct kn_tcp_listener *listener, struct kn_address *address)
{
    *address = (struct kn_address){.length = sizeof(address->storage)};
    struct sockaddr *raw = (struct sockaddr *)(void *)&address->storage;
    return getsockname(listener->descriptor, raw, &address->length) < 0 ? -errno : 0;
}

/* Errors of a connection that died while it waited, not of the listener: see accept(2). */
static bool is_of_the_connection(int error)
{
    switch (error) {
    case EINTR:
    case ECONNABORTED:
    case EPROTO:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH:
    case EPERM:
        return true;
    default:
        return false;
    }
}

int kn_tcp_accept(struct kn_tcp_listener *listener, struct kn_tcp_stream *stream, struct kn_address *peer)
{
    struct sockaddr *raw = (struct sockaddr *)(void *)&peer->storage;
    do {
        peer->length = sizeof(peer->storage);
        stream->descriptor = accept4(listener->descriptor, raw, &peer->length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    } while (stream->descriptor < 0 && is_of_the_connection(errno));
    return stream->descriptor < 0 ? -errno : 0;
}

int kn_tcp_listener_shed(struct kn_tcp_listener *listener)
{
    if (listener->spare_descriptor >= 0)
        close(listener->spare_descriptor);
    struct kn_tcp_stream stream;
    struct kn_address peer;
    int result = kn_tcp_accept(listener, &stream, &peer);
    kn_tcp_close(&stream);
    listener->spare_descriptor = open_spare();
    return result;
}

int kn_tcp_connect(struct kn_tcp_stream *stream, const struct kn_address *address)
{
    stream->descriptor = open_socket(address);
    if (stream->descriptor < 0)
        return stream->descriptor;
    if (connect(stream->descriptor, raw_address(address), address->length) == 0)
        return 0;
    /* An interrupted connect goes on in the background, as one in progress does. */
    int result = errno == EINTR ? -EINPROGRESS : -errno;
    if (result != -EINPROGRESS)
        kn_tcp_close(stream);
    return result;
}

int kn_tcp_connect_result(struct kn_tcp_stream *stream)
{
    int error = 0;
    socklen_t length = sizeof(error);
    if (getsockopt(stream->descriptor, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
        return -errno;
    return -error;
}

void kn_tcp_close(struct kn_tcp_stream *stream)
{
    if (stream->descriptor >= 0)
        close(stream->descriptor);
    stream->descriptor = -1;
}

int kn_tcp_shutdown(struct kn_tcp_stream *stream, enum kn_tcp_shutdown how)
{
    static const int HOW[] = {
        [KN_TCP_SHUTDOWN_READ] = SHUT_RD, [KN_TCP_SHUTDOWN_WRITE] = SHUT_WR, [KN_TCP_SHUTDOWN_BOTH] = SHUT_RDWR};
    return shutdown(stream->descriptor, HOW[how]) < 0 ? -errno : 0;
}

int kn_tcp_no_delay(struct kn_tcp_stream *stream, bool enabled)
{
    int value = enabled;
    if (setsockopt(stream->descriptor, IPPROTO_TCP, TCP_NODELAY, &value, sizeof(value)) == 0)
        return 0;
    return errno == EOPNOTSUPP ? 0 : -errno; /* a local socket never delays */
}

ptrdiff_t kn_tcp_receive(struct kn_tcp_stream *stream, void *buffer, size_t length_bytes)
{
    ssize_t count;
    do {
        count = recv(stream->descriptor, buffer, length_bytes, MSG_DONTWAIT);
    } while (count < 0 && errno == EINTR);
    return count < 0 ? -errno : count;
}

ptrdiff_t kn_tcp_receive_vector(struct kn_tcp_stream *stream, const struct iovec *vector, size_t count)
{
    /* recvmsg does not write to the vector; its type only cannot say so. */
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)vector, .msg_iovlen = count};
    ssize_t received;
    do {
        received = recvmsg(stream->descriptor, &message, MSG_DONTWAIT);
    } while (received < 0 && errno == EINTR);
    return received < 0 ? -errno : received;
}

ptrdiff_t kn_tcp_send(struct kn_tcp_stream *stream, const void *buffer, size_t length_bytes)
{
    ssize_t count;
    do {
        count = send(stream->descriptor, buffer, length_bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (count < 0 && errno == EINTR);
    return count < 0 ? -errno : count;
}

ptrdiff_t kn_tcp_send_vector(struct kn_tcp_stream *stream, const struct iovec *vector, size_t count)
{
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)vector, .msg_iovlen = count};
    ssize_t sent;
    do {
        sent = sendmsg(stream->descriptor, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : sent;
}
