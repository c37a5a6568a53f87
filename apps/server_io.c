#include "server_io.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <kernel/clock.h>
#include <kernel/connection.h>
#include <kernel/error.h>
#include <kernel/offload.h>
#include <kernel/server_reactor.h>
#include <kernel/topology.h>

enum { ROWS_MAX = 1024 };

/* How long a console waits for the other reactors: each turn of theirs is far shorter. */
static const int64_t LISTING_TIMEOUT_NS = 200000000;

/* What belongs to one reactor. */
struct io_core {
    struct server_io *io;
    struct kn_reactor *reactor;
    struct kn_server *server;
    struct kn_reactor_io turns; /* of the server */
    int result;                 /* what ended it; 0: a drain */
    _Atomic uint64_t coming;    /* connections on their way here */

    /* Where messages are handled elsewhere. */
    struct kn_offload *offload;
    struct kn_server_handler inner; /* the offload's callbacks, or the echo's */
    pthread_t handler;
    int handler_unit; /* -1: wherever the system likes */
    bool has_handler;

    /* The list of its connections: the task's while it is under way, the console's otherwise. */
    struct kn_task lister;
    _Atomic bool is_listing;
    uint64_t left_out;
    size_t row_count;
    struct connection_row *rows;
};

struct server_io {
    struct server_io_options options;
    struct kn_eventcount listed; /* a core has listed its connections */
    _Atomic size_t serving;      /* cores that have not ended */
    _Atomic bool draining;       /* connections stay where they are accepted */
    size_t core_count;
    struct io_core cores[];
};

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

/* ---- callbacks: the inner handler's, and the console's descriptors ---- */

static size_t on_readable(void *context, struct kn_connection *connection, const void *view, size_t length_bytes,
                          bool end_of_stream)
{
    struct io_core *core = context;
    return core->inner.on_readable(core->inner.context, connection, view, length_bytes, end_of_stream);
}

static size_t on_receive(void *context, struct kn_connection *connection, void **space)
{
    struct io_core *core = context;
    return core->inner.on_receive(core->inner.context, connection, space);
}

static void on_received(void *context, struct kn_connection *connection, size_t length_bytes, bool end_of_stream)
{
    struct io_core *core = context;
    core->inner.on_received(core->inner.context, connection, length_bytes, end_of_stream);
}

static void on_turn(void *context, struct kn_server *server)
{
    struct io_core *core = context;
    core->inner.on_turn(core->inner.context, server);
}

static void on_event(void *context, struct kn_server *server, uint64_t number, uint32_t event_flags)
{
    (void)server;
    (void)event_flags;
    struct io_core *core = context;
    core->io->options.on_event(core->io->options.context, number);
}

/* ---- connections that are handed over ---- */

/* In memory of the accepting reactor's pool. */
struct handover {
    struct kn_task task;
    struct io_core *to;
    struct kn_tcp_stream stream;
    struct kn_address peer;
};

const size_t server_io_task_bytes = sizeof(struct handover);

static uint64_t connections_of(const struct io_core *core)
{
    return kn_counter_read(&kn_server_counters(core->server)->open) +
           atomic_load_explicit(&core->coming, memory_order_relaxed);
}

/* The one with so much less to do that another core's cold cache is worth it: with few connections any difference. */
static struct io_core *better_core(struct io_core *core)
{
    struct server_io *io = core->io;
    struct io_core *best = core;
    uint64_t here = connections_of(core);
    uint64_t fewest = here - here / 8;
    for (size_t i = 0; i < io->core_count; i++) {
        uint64_t there = connections_of(&io->cores[i]);
        if (there < fewest) {
            fewest = there;
            best = &io->cores[i];
        }
    }
    return best;
}

static enum kn_task_status poll_handover(struct kn_task *task, struct kn_reactor *reactor)
{
    (void)reactor;
    struct handover *handover = KN_CONTAINER_OF(task, struct handover, task);
    if (kn_server_adopt(handover->to->server, handover->stream, &handover->peer) < 0)
        kn_tcp_close(&handover->stream);
    /* Relaxed: only this thread ends this core. */
    atomic_fetch_sub_explicit(&handover->to->coming, 1, memory_order_relaxed);
    return KN_TASK_DONE;
}

/* Counts a connection in, unless that core may have ended already. */
static bool announce(struct io_core *to)
{
    /* Sequentially consistent, as are the store in server_io_drain and the loads in may_end: a core that ends has seen
     * the drain begin; either it sees this addition too, and waits for the connection, or this thread sees the drain.
     */
    atomic_fetch_add_explicit(&to->coming, 1, memory_order_seq_cst);
    if (!atomic_load_explicit(&to->io->draining, memory_order_seq_cst))
        return true;
    atomic_fetch_sub_explicit(&to->coming, 1, memory_order_relaxed);
    return false;
}

static bool on_accept(void *context, struct kn_tcp_stream stream, const struct kn_address *peer)
{
    static const struct kn_task_type HANDOVER = {.name = "hand over", .poll = poll_handover};
    struct io_core *core = context;
    struct io_core *to = better_core(core);
    struct handover *handover = to == core ? NULL : kn_reactor_task_acquire(core->reactor);
    if (!handover)
        return false;
    if (!announce(to)) {
        kn_reactor_task_give_back(core->reactor, &handover->task);
        return false;
    }
    kn_task_init(&handover->task, &HANDOVER, 0);
    handover->task.flags |= KN_TASK_PINNED;
    handover->to = to;
    handover->stream = stream;
    handover->peer = *peer;
    kn_task_spawn(&handover->task, to->reactor);
    return true;
}

/* ---- turns ---- */

static int end_core(struct io_core *core, int result)
{
    struct server_io *io = core->io;
    core->result = result == -ESHUTDOWN ? 0 : result;
    if (core->result < 0)
        server_io_drain(io); /* half a server is none */
    /* Acquire-release pairs with the other cores: the last one has all of their ends behind it. */
    if (atomic_fetch_sub_explicit(&io->serving, 1, memory_order_acq_rel) == 1)
        io->options.on_end(io->options.context);
    return -ESHUTDOWN; /* the reactor goes on, to answer what the console asks */
}

/* Whether no connection will come any more. */
static bool may_end(struct io_core *core)
{
    /* Sequentially consistent: see announce. */
    return atomic_load_explicit(&core->io->draining, memory_order_seq_cst) &&
           atomic_load_explicit(&core->coming, memory_order_seq_cst) == 0;
}

static int poll_core(void *context, int64_t timeout_ns)
{
    struct io_core *core = context;
    int result = core->turns.poll(core->turns.context, timeout_ns);
    if (result == -ESHUTDOWN && !may_end(core))
        return 1; /* it is about to serve again */
    return result < 0 ? end_core(core, result) : result;
}

static void wake_core(void *context)
{
    struct io_core *core = context;
    core->turns.wake(core->turns.context);
}

static struct kn_reactor_io turns_of(struct io_core *core)
{
    return (struct kn_reactor_io){.context = core, .poll = poll_core, .wake = wake_core};
}

/* ---- the list of connections ---- */

static void list_connection(void *context, struct kn_connection *connection)
{
    struct io_core *core = context;
    if (core->row_count == ROWS_MAX) {
        core->left_out++;
        return;
    }
    struct kn_connection_stats stats;
    kn_connection_stats(connection, &stats);
    core->rows[core->row_count++] = (struct connection_row){
        .id = kn_connection_id(connection),
        .peer = *kn_connection_peer(connection),
        .bytes_in = stats.bytes_in,
        .bytes_out = stats.bytes_out,
        .age_ns = kn_clock_monotonic_ns() - stats.opened_ns,
        .is_paused = stats.paused,
    };
}

static void list_core(struct io_core *core)
{
    core->row_count = 0;
    core->left_out = 0;
    kn_server_each(core->server, list_connection, core);
}

static enum kn_task_status poll_lister(struct kn_task *task, struct kn_reactor *reactor)
{
    (void)reactor;
    list_core(KN_CONTAINER_OF(task, struct io_core, lister));
    return KN_TASK_DONE;
}

static void release_lister(struct kn_task *task, struct kn_reactor *reactor)
{
    (void)reactor;
    struct io_core *core = KN_CONTAINER_OF(task, struct io_core, lister);
    struct server_io *io = core->io;
    /* Release pairs with the acquire in is_listed: the rows are written, and the task may be spawned anew. */
    atomic_store_explicit(&core->is_listing, false, memory_order_release);
    kn_eventcount_notify(&io->listed, KN_EVENTCOUNT_ALL);
}

static bool is_listed(const struct io_core *core)
{
    /* Acquire pairs with the release in release_lister. */
    return !atomic_load_explicit(&core->is_listing, memory_order_acquire);
}

static bool are_all_listed(const struct server_io *io)
{
    for (size_t i = 0; i < io->core_count; i++)
        if (!is_listed(&io->cores[i]))
            return false;
    return true;
}

static void begin_listing(struct io_core *core)
{
    static const struct kn_task_type LISTER = {
        .name = "list connections", .poll = poll_lister, .release = release_lister};
    if (kn_reactor_index(core->reactor) == 0) {
        list_core(core); /* this thread's */
        return;
    }
    if (!is_listed(core))
        return; /* the answer to the last question is still to come */
    atomic_store_explicit(&core->is_listing, true, memory_order_relaxed);
    kn_task_create(&core->lister, &LISTER, 0);
    core->lister.flags |= KN_TASK_PINNED;
    kn_task_spawn(&core->lister, core->reactor);
}

void server_io_list(struct server_io *io)
{
    const struct kn_wait how = {.strategy = KN_WAIT_PARK, .timeout_ns = LISTING_TIMEOUT_NS};
    struct kn_waiter waiter;
    bool ignored;
    for (size_t i = 0; i < io->core_count; i++)
        begin_listing(&io->cores[i]);
    kn_waiter_begin(&waiter, &io->listed, &how);
    while (!are_all_listed(io) && kn_waiter_pause(&waiter, &ignored) == 0)
        continue;
    kn_waiter_end(&waiter);
}

int server_io_rows(const struct server_io *io, size_t index, const struct connection_row **rows, size_t *count,
                   uint64_t *left_out)
{
    const struct io_core *core = &io->cores[index];
    if (!is_listed(core))
        return -ETIMEDOUT;
    *rows = core->rows;
    *count = core->row_count;
    *left_out = core->left_out;
    return 0;
}

/* ---- threads that handle ---- */

/* Of the cores that run tasks and nothing else, the one for handler number `index`; -1 where there is none. */
static int unit_of_handler(const struct server_io *io, size_t index)
{
    struct kn_runtime *runtime = io->options.runtime;
    size_t count = 0;
    for (size_t i = 0; i < kn_runtime_count(runtime); i++)
        count += kn_reactor_roles(kn_runtime_reactor(runtime, i)) == KN_ROLE_TASK;
    if (count == 0)
        return -1;
    size_t number = index % count;
    size_t i = 0;
    while (kn_reactor_roles(kn_runtime_reactor(runtime, i)) != KN_ROLE_TASK || number-- > 0)
        i++;
    return kn_reactor_unit(kn_runtime_reactor(runtime, i));
}

static void *run_handler(void *argument)
{
    struct io_core *core = argument;
    int result = core->handler_unit >= 0 ? kn_topology_pin((uint32_t)core->handler_unit) : 0;
    if (result < 0)
        kn_log_warning(core->io->options.log, "cannot pin a handler to core %d: %s", core->handler_unit,
                       kn_error_text(result));
    (void)kn_offload_run(core->offload);
    return NULL;
}

static int open_handler(struct io_core *core, uint32_t max_connections)
{
    if (!core->io->options.offload) {
        core->inner = (struct kn_server_handler){.on_readable = echo_inline};
        return 0;
    }
    struct kn_offload_options options = {.max_connections = max_connections};
    struct kn_offload_handler handler = {.on_message = echo_offloaded};
    int result = kn_offload_open(&core->offload, &options, &handler);
    if (result == 0)
        core->inner = kn_offload_server_handler(core->offload);
    return result;
}

static int start_handler(struct io_core *core)
{
    if (!core->offload)
        return 0;
    kn_offload_attach(core->offload, core->server);
    core->handler_unit = unit_of_handler(core->io, (size_t)(core - core->io->cores));
    int result = -pthread_create(&core->handler, NULL, run_handler, core);
    core->has_handler = result == 0;
    return result;
}

/* ---- set-up ---- */

static int open_core(struct io_core *core, const struct kn_server_options *options)
{
    int result = open_handler(core, options->max_connections);
    if (result < 0)
        return result;
    struct kn_server_handler handler = {
        .context = core,
        .on_accept = core->io->core_count > 1 ? on_accept : NULL,
        .on_readable = core->inner.on_readable ? on_readable : NULL,
        .on_receive = core->inner.on_receive ? on_receive : NULL,
        .on_received = core->inner.on_received ? on_received : NULL,
        .on_turn = core->inner.on_turn ? on_turn : NULL,
        .on_event = on_event,
    };
    core->rows = calloc(ROWS_MAX, sizeof(core->rows[0]));
    result = core->rows ? kn_server_open(&core->server, options, &handler) : -ENOMEM;
    if (result < 0)
        return result;
    core->turns = kn_server_reactor_io(core->server);
    return start_handler(core);
}

/* Servers that share a port would share it with another program's that does so, too: that is found out beforehand. */
static int check_port(const struct kn_address *address)
{
    const int enabled = 1;
    int result = 0;
    if (kn_address_port(address) == 0)
        return 0;
    int probe = socket(address->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (probe < 0)
        return -errno;
    if (setsockopt(probe, SOL_SOCKET, SO_REUSEADDR, &enabled, sizeof(enabled)) < 0 ||
        bind(probe, (const struct sockaddr *)&address->storage, address->length) < 0)
        result = -errno;
    close(probe);
    return result;
}

static int open_cores(struct server_io *io)
{
    struct kn_server_options options = io->options.server;
    int result = 0;
    bool is_local = kn_address_path(&options.address) != NULL;
    options.reuse_port = io->core_count > 1 && !is_local;
    options.max_connections = (uint32_t)((options.max_connections + io->core_count - 1) / io->core_count);
    if (options.reuse_port)
        result = check_port(&options.address);
    for (size_t i = 0; result == 0 && i < io->core_count; i++) {
        result = open_core(&io->cores[i], &options);
        if (result == 0) /* the others take the port that the first one got; a path has no room for them */
            (void)kn_server_address(io->cores[i].server, &options.address);
        if (is_local)
            options.address = (struct kn_address){0};
    }
    return result;
}

static size_t count_cores(const struct kn_runtime *runtime)
{
    size_t count = 0;
    for (size_t i = 0; i < kn_runtime_count(runtime); i++)
        count += (kn_reactor_roles(kn_runtime_reactor(runtime, i)) & KN_ROLE_IO) != 0;
    return count;
}

int server_io_open(struct server_io **io, const struct server_io_options *options)
{
    *io = NULL;
    size_t count = count_cores(options->runtime);
    if (count == 0)
        return -ENOSYS;
    size_t length = sizeof(struct server_io) + count * sizeof(struct io_core);
    struct server_io *created = calloc(1, length);
    if (!created)
        return -ENOMEM;
    created->options = *options;
    created->core_count = count;
    atomic_init(&created->serving, count);
    kn_eventcount_init(&created->listed, false);
    struct kn_reactor *reactor = NULL;
    for (size_t i = 0; i < count; i++) {
        reactor = kn_runtime_find(options->runtime, KN_ROLE_IO, reactor ? kn_reactor_index(reactor) + 1 : 0);
        created->cores[i].io = created;
        created->cores[i].reactor = reactor;
    }
    int result = open_cores(created);
    if (result < 0) {
        (void)server_io_close(created);
        return result;
    }
    for (size_t i = 0; i < count; i++) {
        struct kn_reactor_io turns = turns_of(&created->cores[i]);
        if (kn_reactor_index(created->cores[i].reactor) > 0)
            kn_reactor_set_io(created->cores[i].reactor, &turns);
    }
    *io = created;
    return 0;
}

static void close_core(struct io_core *core)
{
    if (core->has_handler) {
        kn_offload_stop(core->offload);
        pthread_join(core->handler, NULL);
    }
    kn_server_close(core->server);
    kn_offload_close(core->offload);
    free(core->rows);
}

int server_io_close(struct server_io *io)
{
    int result = 0;
    if (!io)
        return 0;
    for (size_t i = 0; i < io->core_count; i++) {
        result = result < 0 ? result : io->cores[i].result;
        close_core(&io->cores[i]);
    }
    free(io);
    return result;
}

void server_io_drain(struct server_io *io)
{
    /* Sequentially consistent: see announce. */
    atomic_store_explicit(&io->draining, true, memory_order_seq_cst);
    for (size_t i = 0; i < io->core_count; i++)
        kn_server_drain(io->cores[i].server);
}

/* ---- questions ---- */

struct kn_server *server_io_local(struct server_io *io, struct kn_reactor_io *turns)
{
    if (kn_reactor_index(io->cores[0].reactor) > 0)
        return NULL;
    *turns = turns_of(&io->cores[0]);
    return io->cores[0].server;
}

size_t server_io_count(const struct server_io *io)
{
    return io->core_count;
}

struct kn_server *server_io_server(const struct server_io *io, size_t index)
{
    return io->cores[index].server;
}

struct kn_reactor *server_io_reactor(const struct server_io *io, size_t index)
{
    return io->cores[index].reactor;
}
