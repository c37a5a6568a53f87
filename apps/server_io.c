#include "server_io.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <kernel/clock.h>
#include <kernel/connection.h>
#include <kernel/error.h>
#include <kernel/offload.h>
#include <kernel/spsc.h>
#include <kernel/topology.h>

enum { ROWS_MAX = 1024, REQUESTS_MAX = 8 };

/* What travels from the console's thread to the IO thread, and back. */
struct connections_request {
    uint64_t number;
};

struct connections_answer {
    bool is_last;
    uint64_t left_out; /* with the last: connections that found no room */
    struct connection_row row;
};

KN_SPSC_DEFINE(requests, struct connections_request);
KN_SPSC_DEFINE(answers, struct connections_answer);

struct server_io {
    struct server_io_options options;
    void (*on_end)(void *context);
    void *on_end_context;
    struct kn_server *server;
    struct kn_offload *offload;
    struct kn_server_handler inner; /* the offload's callbacks, or the echo's */
    struct requests *requests;
    struct answers *answers;
    pthread_t io_thread;
    pthread_t handler_thread;
    bool io_started;
    bool handler_started;
    int result;
    _Atomic bool has_ended;
    uint64_t left_out; /* of the listing under way */
};

static void pin(struct server_io *io, int core, const char *what)
{
    if (core < 0)
        return;
    int result = kn_topology_pin((uint32_t)core);
    if (result < 0)
        kn_log_warning(io->options.log, "cannot pin the %s thread to core %d: %s", what, core, kn_error_text(result));
    else
        kn_log_debug(io->options.log, "%s thread on core %d", what, core);
}

/* ---- what the server does with bytes: it gives them back ---- */

static void echo_offloaded(void *context, struct kn_offload *offload, uint64_t connection_id, const void *bytes,
                           size_t length_bytes)
{
    (void)context;
    (void)connection_id;
    void *space;
    if (kn_offload_claim(offload, length_bytes, &space) < 0)
        return; /* stopped */
    memcpy(space, bytes, length_bytes);
    (void)kn_offload_publish(offload, length_bytes);
}

static size_t echo_inline(void *context, struct kn_connection *connection, const void *view, size_t length_bytes,
                          bool end_of_stream)
{
    (void)context;
    (void)end_of_stream;
    /* What finds no room stays unconsumed, and is shown again when there is some. */
    return kn_connection_write(connection, view, length_bytes) < 0 ? 0 : length_bytes;
}

/* ---- the IO thread's callbacks: the inner handler's, and requests of the console once a turn ---- */

static size_t on_readable(void *context, struct kn_connection *connection, const void *view, size_t length_bytes,
                          bool end_of_stream)
{
    struct server_io *io = context;
    return io->inner.on_readable(io->inner.context, connection, view, length_bytes, end_of_stream);
}

static size_t on_receive(void *context, struct kn_connection *connection, void **space)
{
    struct server_io *io = context;
    return io->inner.on_receive(io->inner.context, connection, space);
}

static void on_received(void *context, struct kn_connection *connection, size_t length_bytes, bool end_of_stream)
{
    struct server_io *io = context;
    io->inner.on_received(io->inner.context, connection, length_bytes, end_of_stream);
}

static void list_connection(void *context, struct kn_connection *connection)
{
    struct server_io *io = context;
    struct kn_connection_stats stats;
    kn_connection_stats(connection, &stats);
    struct connections_answer answer = {.row = {
                                            .id = kn_connection_id(connection),
                                            .bytes_in = stats.bytes_in,
                                            .bytes_out = stats.bytes_out,
                                            .age_ns = kn_clock_monotonic_ns() - stats.opened_ns,
                                            .pending_bytes = stats.pending_output_bytes,
                                            .is_paused = stats.paused,
                                        }};
    (void)kn_address_format(kn_connection_peer(connection), answer.row.peer, sizeof(answer.row.peer));
    /* One slot is kept for the last answer, which must always fit. */
    if (answers_count(io->answers) >= ROWS_MAX - 1 || answers_try_push(&io->answers->producer, &answer) < 0)
        io->left_out++;
}

static void on_turn(void *context, struct kn_server *server)
{
    struct server_io *io = context;
    if (io->inner.on_turn)
        io->inner.on_turn(io->inner.context, server);
    struct connections_request request;
    while (requests_try_pop(&io->requests->consumer, &request) == 0) {
        io->left_out = 0;
        kn_server_each(server, list_connection, io);
        struct connections_answer last = {.is_last = true, .left_out = io->left_out};
        (void)answers_try_push(&io->answers->producer, &last);
    }
}

uint64_t server_io_connections(struct server_io *io, void (*show)(void *context, const struct connection_row *row),
                               void *context)
{
    static const struct timespec A_MOMENT = {.tv_nsec = 100000};
    struct connections_request request = {0};
    if (requests_try_push(&io->requests->producer, &request) < 0)
        return 0;
    kn_server_wake(io->server);
    struct connections_answer answer;
    /* Acquire pairs with the release store in run_io: answers pushed before the end are seen. */
    while (!atomic_load_explicit(&io->has_ended, memory_order_acquire)) {
        if (answers_try_pop(&io->answers->consumer, &answer) < 0)
            nanosleep(&A_MOMENT, NULL);
        else if (answer.is_last)
            return answer.left_out;
        else
            show(context, &answer.row);
    }
    return 0;
}

/* ---- threads ---- */

static void *run_io(void *argument)
{
    struct server_io *io = argument;
    pin(io, io->options.io_core, "IO");
    io->result = kn_server_run(io->server);
    /* Release pairs with the acquire load in server_io_connections. */
    atomic_store_explicit(&io->has_ended, true, memory_order_release);
    io->on_end(io->on_end_context);
    return NULL;
}

static void *run_handler(void *argument)
{
    struct server_io *io = argument;
    pin(io, io->options.handler_core, "handler");
    (void)kn_offload_run(io->offload);
    return NULL;
}

static int open_handler(struct server_io *io)
{
    if (!io->options.offload) {
        io->inner = (struct kn_server_handler){.on_readable = echo_inline};
        return 0;
    }
    struct kn_offload_options options = {.max_connections = io->options.server.max_connections};
    struct kn_offload_handler handler = {.on_message = echo_offloaded};
    int result = kn_offload_open(&io->offload, &options, &handler);
    if (result == 0)
        io->inner = kn_offload_server_handler(io->offload);
    return result;
}

static int open_server(struct server_io *io)
{
    struct kn_server_handler handler = {
        .context = io,
        .on_readable = io->inner.on_readable ? on_readable : NULL,
        .on_receive = io->inner.on_receive ? on_receive : NULL,
        .on_received = io->inner.on_received ? on_received : NULL,
        .on_turn = on_turn,
    };
    int result = kn_server_open(&io->server, &io->options.server, &handler);
    if (result == 0 && io->offload)
        kn_offload_attach(io->offload, io->server);
    return result;
}

static int start_threads(struct server_io *io)
{
    int result = 0;
    if (io->offload) {
        result = -pthread_create(&io->handler_thread, NULL, run_handler, io);
        io->handler_started = result == 0;
    }
    if (result == 0) {
        result = -pthread_create(&io->io_thread, NULL, run_io, io);
        io->io_started = result == 0;
    }
    return result;
}

int server_io_start(struct server_io **io, const struct server_io_options *options, void (*on_end)(void *context),
                    void *context)
{
    *io = NULL;
    struct server_io *created = calloc(1, sizeof(*created));
    if (!created)
        return -ENOMEM;
    created->options = *options;
    created->on_end = on_end;
    created->on_end_context = context;
    int result = requests_open(&created->requests, REQUESTS_MAX);
    if (result == 0)
        result = answers_open(&created->answers, ROWS_MAX);
    if (result == 0)
        result = open_handler(created);
    if (result == 0)
        result = open_server(created);
    if (result == 0)
        result = start_threads(created);
    if (result < 0) {
        (void)server_io_finish(created);
        return result;
    }
    *io = created;
    return 0;
}

void server_io_drain(struct server_io *io)
{
    kn_server_drain(io->server);
}

int server_io_finish(struct server_io *io)
{
    if (io->io_started)
        pthread_join(io->io_thread, NULL);
    if (io->handler_started) {
        kn_offload_stop(io->offload);
        pthread_join(io->handler_thread, NULL);
    }
    int result = io->result;
    kn_server_close(io->server);
    kn_offload_close(io->offload);
    if (io->requests)
        requests_close(io->requests);
    if (io->answers)
        answers_close(io->answers);
    free(io);
    return result;
}

struct kn_server *server_io_server(struct server_io *io)
{
    return io->server;
}
