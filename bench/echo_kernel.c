#include "echo_server.h"

#include <stdio.h>
#include <string.h>

#include <kernel/connection.h>
#include <kernel/server.h>

static size_t echo_view(void *context, struct kn_connection *connection, const void *view, size_t length_bytes,
                        bool end_of_stream)
{
    (void)context;
    (void)end_of_stream;
    if (length_bytes == 0)
        return 0;
    /* One reply to the whole view: a write sends it from where it was received; claim and publish, which copy it,
     * measure the same. Without room the view is kept, and shown again when there is some. */
    return kn_connection_write(connection, view, length_bytes) == 0 ? length_bytes : 0;
}

static void serve(int report_descriptor, int64_t spin_ns)
{
    struct kn_server_options options = {.max_connections = ECHO_MAX_CONNECTIONS, .spin_ns = spin_ns};
    struct kn_server_handler handler = {.on_readable = echo_view};
    struct kn_address address;
    struct kn_server *server = NULL;
    int result = kn_address_parse("127.0.0.1:0", &options.address);
    if (result == 0)
        result = kn_server_open(&server, &options, &handler);
    if (result == 0)
        result = kn_server_address(server, &address);
    if (result == 0) {
        echo_report_port(report_descriptor, kn_address_port(&address));
        result = kn_server_run(server);
    }
    fprintf(stderr, "bench: echo: kernel: %s\n", strerror(-result));
    kn_server_close(server);
}

void echo_serve_kernel(int report_descriptor)
{
    serve(report_descriptor, 0);
}

void echo_serve_kernel_spin(int report_descriptor)
{
    serve(report_descriptor, ECHO_SPIN_NS);
}
