/*
 * libuv at its best for small replies: one buffer for all reads, which the loop's single thread allows, and
 * uv_try_write first, so that no request object is needed unless the socket is full.
 */
#include "../echo_server.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uv.h>

static char read_buffer[ECHO_BUFFER_BYTES];

/* What the socket did not take. */
struct pending_write {
    uv_write_t request;
    char bytes[];
};

static void free_handle(uv_handle_t *handle)
{
    free(handle);
}

static void provide_buffer(uv_handle_t *handle, size_t suggested_bytes, uv_buf_t *buffer)
{
    (void)handle;
    (void)suggested_bytes;
    *buffer = uv_buf_init(read_buffer, sizeof(read_buffer));
}

static void pending_written(uv_write_t *request, int status)
{
    (void)status;
    free(request->data);
}

static void write_later(uv_stream_t *stream, const char *bytes, size_t length_bytes)
{
    struct pending_write *pending = malloc(sizeof(*pending) + length_bytes);
    if (!pending)
        return;
    memcpy(pending->bytes, bytes, length_bytes);
    uv_buf_t buffer = uv_buf_init(pending->bytes, (unsigned)length_bytes);
    pending->request.data = pending;
    if (uv_write(&pending->request, stream, &buffer, 1, pending_written) != 0)
        free(pending);
}

static void echo_read(uv_stream_t *stream, ssize_t length_bytes, const uv_buf_t *buffer)
{
    if (length_bytes < 0) {
        uv_close((uv_handle_t *)stream, free_handle);
        return;
    }
    if (length_bytes == 0)
        return;
    uv_buf_t reply = uv_buf_init(buffer->base, (unsigned)length_bytes);
    int written = uv_try_write(stream, &reply, 1);
    if (written == UV_EAGAIN)
        written = 0;
    if (written < 0)
        return;
    if (written < length_bytes)
        write_later(stream, buffer->base + written, (size_t)(length_bytes - written));
}

static void accept_connection(uv_stream_t *listener, int status)
{
    uv_tcp_t *connection = status == 0 ? malloc(sizeof(*connection)) : NULL;
    if (!connection)
        return;
    uv_tcp_init(listener->loop, connection);
    if (uv_accept(listener, (uv_stream_t *)connection) != 0) {
        uv_close((uv_handle_t *)connection, free_handle);
        return;
    }
    uv_tcp_nodelay(connection, 1);
    uv_read_start((uv_stream_t *)connection, provide_buffer, echo_read);
}

void echo_serve_uv(int report_descriptor)
{
    uv_loop_t loop;
    uv_tcp_t listener;
    struct sockaddr_in address;
    struct sockaddr_storage bound;
    int length = sizeof(bound);
    uv_ip4_addr("127.0.0.1", 0, &address);
    if (uv_loop_init(&loop) != 0 || uv_tcp_init(&loop, &listener) != 0 ||
        uv_tcp_bind(&listener, (const struct sockaddr *)&address, 0) != 0 ||
        uv_listen((uv_stream_t *)&listener, SOMAXCONN, accept_connection) != 0 ||
        uv_tcp_getsockname(&listener, (struct sockaddr *)&bound, &length) != 0) {
        fprintf(stderr, "bench: echo: libuv cannot listen\n");
        return;
    }
    echo_report_port(report_descriptor, ntohs(((const struct sockaddr_in *)&bound)->sin_port));
    uv_run(&loop, UV_RUN_DEFAULT);
}
