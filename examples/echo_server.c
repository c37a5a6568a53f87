/* A server that echoes what its clients send, until SIGTERM. Build it against libkernel; try it with `client`. */
#include <kernel/kernel.h>
#include <signal.h>
#include <stdio.h>

static struct kn_server *server;

static size_t echo(void *context, struct kn_connection *connection, const void *view, size_t length, bool end_of_stream)
{
    (void)context, (void)end_of_stream;
    return kn_connection_write(connection, view, length) == 0 ? length : 0; /* no room: shown again when there is */
}

static void on_signal(int number)
{
    (void)number;
    kn_server_drain(server); /* what was received is answered first */
}

int main(int count, char **words)
{
    struct kn_server_options options = {.max_connections = 10000};
    struct kn_server_handler handler = {.on_readable = echo};
    int result = kn_address_parse(count > 1 ? words[1] : "127.0.0.1:8000", &options.address);
    if (result == 0 && (result = kn_server_open(&server, &options, &handler)) == 0) {
        signal(SIGTERM, on_signal);
        result = kn_server_run(server);
    }
    if (result < 0)
        fprintf(stderr, "echo_server: %s\n", kn_error_text(result));
    kn_server_close(server);
    return result < 0;
}
