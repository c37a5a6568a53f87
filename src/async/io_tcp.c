/*
 * Connections for futures. See io_tcp.h.
 */
#include <kernel/io_tcp.h>

#include <unistd.h>

/* ---- connect ---- */

static void connect_drop(struct kn_future *future)
{
    struct kn_future_connect *self = KN_CONTAINER_OF(future, struct kn_future_connect, future);
    kn_io_wait_end(&self->wait);
    if (self->is_connecting)
        kn_io_close(self->io);
    self->is_connecting = false;
}

/* Opens the socket and begins. -EINPROGRESS, 0 or a failure. */
static int connect_begin(struct kn_future_connect *self)
{
    struct kn_tcp_stream stream;
    int begun = kn_tcp_connect(&stream, self->address);
    if (begun < 0 && begun != -EINPROGRESS)
        return begun;
    int result = kn_io_open(self->io, self->driver, stream.descriptor);
    if (result < 0) {
        kn_tcp_close(&stream);
        return result;
    }
    self->is_connecting = true;
    return begun;
}

/* How an attempt went that is worth a look; -EINPROGRESS when the event was spurious. */
static int connect_result(const struct kn_future_connect *self)
{
    struct kn_tcp_stream stream = {.descriptor = self->io->descriptor};
    struct sockaddr_storage peer;
    socklen_t length = sizeof(peer);
    int result = kn_tcp_connect_result(&stream);
    if (result == 0 && getpeername(stream.descriptor, (struct sockaddr *)(void *)&peer, &length) < 0)
        result = errno == ENOTCONN ? -EINPROGRESS : -errno;
    return result;
}

static struct kn_outcome connect_end(struct kn_future_connect *self, int64_t status)
{
    if (status < 0) {
        connect_drop(&self->future);
        return kn_failed(status);
    }
    kn_io_wait_end(&self->wait);
    self->is_connecting = false;
    return kn_ready(kn_value_of_pointer(self->io));
}

static struct kn_outcome connect_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_future_connect *self = KN_CONTAINER_OF(future, struct kn_future_connect, future);
    if (!self->is_connecting) {
        int begun = connect_begin(self);
        if (begun == 0) /* only looks whether this is the place */
            return connect_end(self, kn_io_poll_ready(&self->wait, self->io, KN_IO_WRITE, context));
        if (begun != -EINPROGRESS)
            return kn_failed(begun);
        kn_io_clear_ready(self->io, KN_IO_WRITE);
    }
    int64_t status;
    do {
        status = kn_io_poll_ready(&self->wait, self->io, KN_IO_WRITE, context);
        if (status == KN_PENDING)
            return kn_pending();
        if (status == KN_READY)
            status = connect_result(self);
        if (status == -EINPROGRESS)
            kn_io_clear_ready(self->io, KN_IO_WRITE);
    } while (status == -EINPROGRESS);
    return connect_end(self, status);
}

static void connect_discard(struct kn_future *future, kn_value_t value)
{
    (void)future;
    kn_io_close(value.pointer);
}

static const struct kn_future_type connect_type = {
    .name = "connect", .poll = connect_poll, .drop = connect_drop, .discard = connect_discard};

struct kn_future *kn_future_connect(struct kn_future_connect *self, struct kn_io *io, struct kn_io_driver *driver,
                                    const struct kn_address *address)
{
    if (!self)
        return NULL;
    *self = (struct kn_future_connect){.future.type = &connect_type, .io = io, .driver = driver, .address = address};
    io->descriptor = -1;
    return &self->future;
}

/* ---- listeners ---- */

int kn_io_listen(struct kn_io_listener *listener, struct kn_io_driver *driver, const struct kn_address *address,
                 const struct kn_tcp_listener_options *options)
{
    static const struct kn_tcp_listener_options defaults;
    listener->io.descriptor = -1;
    int result = kn_tcp_listen(&listener->listener, address, options ? options : &defaults);
    if (result < 0)
        return result;
    result = kn_io_open(&listener->io, driver, listener->listener.descriptor);
    if (result < 0)
        kn_tcp_listener_close(&listener->listener);
    return result;
}

void kn_io_listener_close(struct kn_io_listener *listener)
{
    /* The descriptor is closed by the one that also removes a local socket's file. */
    if (kn_io_release(&listener->io) >= 0)
        kn_tcp_listener_close(&listener->listener);
}

/* ---- accept ---- */

static void close_descriptor(kn_value_t value)
{
    close((int)value.integer);
}

static struct kn_outcome accept_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_future_accept *self = KN_CONTAINER_OF(future, struct kn_future_accept, future);
    struct kn_tcp_stream stream = {.descriptor = -1};
    int64_t status = -EAGAIN;
    while (status == -EAGAIN) {
        status = kn_io_poll_ready(&self->wait, &self->listener->io, KN_IO_READ, context);
        if (status == KN_PENDING)
            return kn_pending();
        if (status == KN_READY)
            status = kn_tcp_accept(&self->listener->listener, &stream, &self->peer);
        if (status == -EAGAIN)
            kn_io_clear_ready(&self->listener->io, KN_IO_READ);
    }
    kn_io_wait_end(&self->wait);
    return status == KN_READY ? kn_ready(kn_value_of_integer(stream.descriptor)) : kn_failed(status);
}

static void accept_drop(struct kn_future *future)
{
    kn_io_wait_end(&KN_CONTAINER_OF(future, struct kn_future_accept, future)->wait);
}

static void accept_discard(struct kn_future *future, kn_value_t value)
{
    (void)future;
    close_descriptor(value);
}

static const struct kn_future_type accept_type = {
    .name = "accept", .poll = accept_poll, .drop = accept_drop, .discard = accept_discard};

struct kn_future *kn_future_accept(struct kn_future_accept *self, struct kn_io_listener *listener)
{
    if (!self)
        return NULL;
    self->future.type = &accept_type;
    self->wait = (struct kn_io_wait){.io = NULL};
    self->listener = listener;
    self->peer.length = 0;
    return &self->future;
}

/* ---- accept, as a stream ---- */

/* Failures that pass. */
static bool is_out_of_means(int64_t status)
{
    return status == -EMFILE || status == -ENFILE || status == -ENOBUFS || status == -ENOMEM;
}

static struct kn_outcome accept_next(struct kn_stream *stream, struct kn_context *context)
{
    struct kn_stream_accept *self = KN_CONTAINER_OF(stream, struct kn_stream_accept, stream);
    if (self->is_over)
        return kn_ended();
    if (self->is_resting) {
        struct kn_outcome rested = kn_future_poll(&self->rest.future, context);
        if (rested.status == KN_PENDING)
            return rested;
        self->is_resting = false;
        self->is_over = rested.status != KN_READY;
        if (self->is_over)
            return rested;
    }
    struct kn_outcome outcome = kn_future_poll(&self->accept.future, context);
    if (outcome.status >= 0)
        return outcome;
    self->is_resting = is_out_of_means(outcome.status);
    self->is_over = !self->is_resting;
    if (self->is_resting)
        (void)kn_future_delay(&self->rest, KN_ACCEPT_REST_NS);
    return outcome;
}

static void accept_stream_drop(struct kn_stream *stream)
{
    struct kn_stream_accept *self = KN_CONTAINER_OF(stream, struct kn_stream_accept, stream);
    kn_future_drop(&self->accept.future);
    kn_future_drop(&self->rest.future);
}

static void accept_stream_discard(struct kn_stream *stream, kn_value_t value)
{
    (void)stream;
    close_descriptor(value);
}

static const struct kn_stream_type accept_stream_type = {
    .name = "accept", .next = accept_next, .drop = accept_stream_drop, .discard = accept_stream_discard};

struct kn_stream *kn_stream_accept(struct kn_stream_accept *self, struct kn_io_listener *listener)
{
    if (!self)
        return NULL;
    self->stream.type = &accept_stream_type;
    (void)kn_future_accept(&self->accept, listener);
    (void)kn_future_delay(&self->rest, KN_ACCEPT_REST_NS);
    self->is_resting = false;
    self->is_over = false;
    return &self->stream;
}

/* ---- shutdown ---- */

static struct kn_outcome shutdown_poll(struct kn_future *future, struct kn_context *context)
{
    (void)context;
    struct kn_future_shutdown *self = KN_CONTAINER_OF(future, struct kn_future_shutdown, future);
    struct kn_tcp_stream stream = {.descriptor = self->io->descriptor};
    int result = kn_tcp_shutdown(&stream, self->how);
    return result < 0 ? kn_failed(result) : kn_ready(KN_NOTHING);
}

static const struct kn_future_type shutdown_type = {
    .name = "shutdown", .poll = shutdown_poll, .drop = kn_future_drop_nothing};

struct kn_future *kn_future_shutdown(struct kn_future_shutdown *self, struct kn_io *io, enum kn_tcp_shutdown how)
{
    if (!self)
        return NULL;
    *self = (struct kn_future_shutdown){.future.type = &shutdown_type, .io = io, .how = how};
    return &self->future;
}
