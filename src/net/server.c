#include "server_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <kernel/clock.h>

#include "base/poison.h"

/* ---- set-up ---- */

static int apply_defaults(struct kn_server_options *options)
{
    if (options->max_connections == 0)
        options->max_connections = 1024;
    if (options->max_input_bytes == 0)
        options->max_input_bytes = 64 << 10;
    if (options->max_output_bytes == 0)
        options->max_output_bytes = 256 << 10;
    if (options->idle_timeout_ns == 0)
        options->idle_timeout_ns = INT64_C(60000000000);
    if (options->drain_timeout_ns == 0)
        options->drain_timeout_ns = INT64_C(5000000000);
    /* Beyond a century, and safe to add to the clock. */
    if (options->idle_timeout_ns > INT64_MAX / 4)
        options->idle_timeout_ns = -1;
    if (options->drain_timeout_ns > INT64_MAX / 4)
        options->drain_timeout_ns = INT64_MAX / 4;
    bool sound = options->max_connections <= INT32_MAX && options->max_input_bytes <= KN_LIMIT_BYTES &&
                 options->max_output_bytes <= KN_LIMIT_BYTES && options->drain_timeout_ns >= 0 &&
                 options->spin_ns >= 0 && options->backlog >= 0;
    return sound ? 0 : -EINVAL;
}

static int open_listener(struct kn_server *server)
{
    if (server->options.address.length == 0)
        return 0;
    struct kn_tcp_listener_options options = {
        .backlog = server->options.backlog,
        .reuse_port = server->options.reuse_port,
    };
    int result = kn_tcp_listen(&server->listener, &server->options.address, &options);
    if (result < 0)
        return result;
    /* Accepted sockets inherit it, which saves a system call each. A local socket has no such option. */
    kn_tcp_no_delay(&(struct kn_tcp_stream){server->listener.descriptor}, true);
    return kn_tcp_listener_address(&server->listener, &server->address);
}

static int open_slab(struct kn_server *server)
{
    uint32_t capacity = server->options.max_connections;
    size_t length = kn_slab_required_bytes(sizeof(struct kn_connection), KN_CACHE_LINE, capacity);
    /* Mapped, so that entries no connection ever used cost no memory. */
    void *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return -ENOMEM;
    server->slab_memory = memory;
    server->slab_length_bytes = length;
    return kn_slab_init(&server->slab, memory, length, sizeof(struct kn_connection), KN_CACHE_LINE, capacity);
}

static void close_slab(struct kn_server *server)
{
    if (!server->slab_memory)
        return;
    /* The address sanitizer would otherwise remember released entries when the addresses are mapped anew. */
    KN_UNPOISON(server->slab_memory, server->slab_length_bytes);
    munmap(server->slab_memory, server->slab_length_bytes);
}

static int open_parts(struct kn_server *server)
{
    int result = open_slab(server);
    if (result == 0)
        result = kn_events_init(&server->events, KN_EVENTS_A_TURN);
    if (result == 0)
        result = kn_poll_open(&server->poll, server->options.backend);
    if (result == 0)
        result = kn_poll_waker_open(&server->waker, &server->poll, KN_SERVER_TOKEN_WAKER);
    if (result == 0)
        result = open_listener(server);
    if (result < 0)
        return result;
    server->receive_buffer = malloc(KN_RECEIVE_BYTES);
    if (!server->receive_buffer)
        return -ENOMEM;
    kn_server_listen(server);
    return server->listening || server->listener.descriptor < 0 ? 0 : -ENOMEM;
}

static struct kn_server *create(const struct kn_server_options *options, const struct kn_server_handler *handler)
{
    struct kn_server *server = aligned_alloc(KN_OWNER_STRIDE, sizeof(*server));
    if (!server)
        return NULL;
    memset(server, 0, sizeof(*server));
    server->options = *options;
    server->handler = *handler;
    server->poll.descriptor = -1;
    server->waker.descriptor = -1;
    server->listener.descriptor = -1;
    server->listener.spare_descriptor = -1;
    kn_link_init(&server->ready);
    kn_link_init(&server->active);
    server->now_ns = (int64_t)kn_clock_monotonic_ns();
    server->busy_ns = server->now_ns;
    server->accept_retry_ns = KN_NEVER_NS;
    server->warned_ns = server->now_ns - KN_WARNING_INTERVAL_NS;
    server->drain_deadline_ns = KN_NEVER_NS;
    server->placing_ns = options->idle_timeout_ns < 0 ? KN_NEVER_NS : options->idle_timeout_ns / 64;
    return server;
}

int kn_server_open(struct kn_server **server, const struct kn_server_options *options,
                   const struct kn_server_handler *handler)
{
    *server = NULL;
    struct kn_server_options chosen = *options;
    bool receives = handler->on_receive && handler->on_received;
    int result = apply_defaults(&chosen);
    if (result < 0 || (!handler->on_readable && !receives))
        return -EINVAL;
    struct kn_server *created = create(&chosen, handler);
    if (!created)
        return -ENOMEM;
    result = open_parts(created);
    if (result < 0) {
        kn_server_close(created);
        return result;
    }
    *server = created;
    return 0;
}

static void finish_all(struct kn_server *server)
{
    while (!kn_link_alone(&server->active))
        kn_connection_finish(kn_connection_of_active(server->active.next), KN_CLOSE_DRAIN);
}

static void close_listener(struct kn_server *server)
{
    if (server->listener.descriptor < 0)
        return;
    kn_server_unlisten(server);
    kn_tcp_listener_close(&server->listener);
    server->listener.descriptor = -1;
}

void kn_server_close(struct kn_server *server)
{
    if (!server)
        return;
    server->draining = true; /* no connection that closes reopens the listener */
    finish_all(server);
    close_listener(server);
    if (server->waker.descriptor >= 0)
        kn_poll_waker_close(&server->waker);
    if (server->poll.descriptor >= 0)
        kn_poll_close(&server->poll);
    kn_events_free(&server->events);
    close_slab(server);
    kn_buffer_pool_free(&server->pool);
    free(server->receive_buffer);
    free(server);
}

/* ---- questions ---- */

int kn_server_address(const struct kn_server *server, struct kn_address *address)
{
    *address = server->address;
    return 0;
}

struct kn_poll *kn_server_poll(struct kn_server *server)
{
    return &server->poll;
}

const struct kn_server_counters *kn_server_counters(const struct kn_server *server)
{
    return &server->counters;
}

struct kn_connection *kn_server_find(struct kn_server *server, uint64_t connection_id)
{
    return kn_slab_get(&server->slab, connection_id);
}

void kn_server_each(struct kn_server *server, void (*visit)(void *context, struct kn_connection *connection),
                    void *context)
{
    for (struct kn_link *link = server->active.next, *next; link != &server->active; link = next) {
        next = link->next; /* output of the visitor may move the connection within the list */
        visit(context, kn_connection_of_active(link));
    }
}

/* ---- other threads ---- */

void kn_server_wake(struct kn_server *server)
{
    int saved = errno; /* may run in a signal handler */
    kn_poll_waker_wake(&server->waker);
    errno = saved;
}

void kn_server_drain(struct kn_server *server)
{
    /* Relaxed: the flag carries nothing else, and the waker's system call makes the turn that reads it happen. */
    atomic_store_explicit(&server->drain_requested, true, memory_order_relaxed);
    kn_server_wake(server);
}

/* ---- a turn ---- */

static int64_t next_deadline_ns(const struct kn_server *server)
{
    int64_t deadline_ns = server->accept_retry_ns;
    if (server->drain_deadline_ns < deadline_ns)
        deadline_ns = server->drain_deadline_ns;
    if (server->options.idle_timeout_ns >= 0 && !kn_link_alone(&server->active)) {
        const struct kn_connection *head = kn_connection_of_active(server->active.next);
        int64_t idle_ns = head->placed_ns + server->options.idle_timeout_ns + server->placing_ns;
        if (idle_ns < deadline_ns)
            deadline_ns = idle_ns;
    }
    return deadline_ns;
}

/* Shortens the caller's timeout to the next deadline; the clock is the last turn's, which errs by the turn's length. */
static int64_t wait_limit_ns(const struct kn_server *server, int64_t timeout_ns)
{
    if (!kn_link_alone(&server->ready))
        return 0;
    int64_t deadline_ns = next_deadline_ns(server);
    if (deadline_ns == KN_NEVER_NS)
        return timeout_ns;
    int64_t left_ns = deadline_ns > server->now_ns ? deadline_ns - server->now_ns : 0;
    return timeout_ns < 0 || left_ns < timeout_ns ? left_ns : timeout_ns;
}

/* Polls until spin_ns after the last event, then sleeps: a wake-up costs more than the spin when traffic is dense. */
static int spin_then_wait(struct kn_server *server, int64_t timeout_ns)
{
    int64_t begin_ns = (int64_t)kn_clock_monotonic_ns();
    int64_t now_ns = begin_ns;
    while (now_ns - server->busy_ns < server->options.spin_ns) {
        int result = kn_poll_wait(&server->poll, &server->events, 0);
        if (result < 0 || server->events.count > 0)
            return result;
        now_ns = (int64_t)kn_clock_monotonic_ns();
        if (timeout_ns > 0 && now_ns - begin_ns >= timeout_ns)
            return 0;
        kn_cpu_relax();
    }
    if (timeout_ns > 0)
        timeout_ns -= now_ns - begin_ns;
    return kn_poll_wait(&server->poll, &server->events, timeout_ns);
}

int kn_server_wait(struct kn_server *server, int64_t timeout_ns)
{
    if (server->has_waited)
        return 0;
    int64_t limit_ns = wait_limit_ns(server, timeout_ns);
    int result = server->options.spin_ns > 0 && limit_ns != 0 ? spin_then_wait(server, limit_ns)
                                                              : kn_poll_wait(&server->poll, &server->events, limit_ns);
    server->now_ns = (int64_t)kn_clock_monotonic_ns();
    if (result == -EINTR)
        server->events.count = 0;
    else if (result < 0)
        return result;
    if (server->events.count > 0)
        server->busy_ns = server->now_ns;
    server->has_waited = true;
    return 0;
}

static void note_connection_event(struct kn_server *server, const struct kn_event *event)
{
    /* An event of a connection that has gone since carries an old generation: nothing is found. */
    struct kn_connection *connection = kn_slab_get(&server->slab, event->token);
    if (!connection)
        connection = kn_slab_get(&server->slab, event->token | KN_SERVER_TOKEN_USER);
    if (!connection)
        return;
    const uint32_t shut = KN_EVENT_READ_CLOSED | KN_EVENT_ERROR;
    if (event->flags & (KN_EVENT_READABLE | shut))
        connection->flags |= KN_CONNECTION_READABLE;
    if (event->flags & (KN_EVENT_WRITABLE | KN_EVENT_WRITE_CLOSED | KN_EVENT_ERROR))
        connection->flags |= KN_CONNECTION_WRITABLE;
    if (event->flags & shut)
        connection->flags |= KN_CONNECTION_PEER_SHUT;
    if (event->flags & KN_EVENT_ERROR)
        connection->flags |= KN_CONNECTION_ERROR;
    kn_connection_make_ready(connection);
}

static void note_events(struct kn_server *server)
{
    for (size_t i = 0; i < server->events.count; i++) {
        const struct kn_event *event = &server->events.list[i];
        if (event->token & KN_SERVER_TOKEN_USER) {
            if (server->handler.on_event)
                server->handler.on_event(server->handler.context, server, event->token & ~KN_SERVER_TOKEN_USER,
                                         event->flags);
        } else if (event->token == KN_SERVER_TOKEN_LISTENER) {
            server->accept_ready = true;
        } else if (event->token != KN_SERVER_TOKEN_WAKER) { /* a wake has done its work by ending the wait */
            note_connection_event(server, event);
        }
    }
}

/* Each connection once: those that queue themselves again land in the server's list, for the next turn. */
static void serve_ready(struct kn_server *server)
{
    struct kn_link batch;
    kn_link_init(&batch);
    kn_link_move_all(&server->ready, &batch);
    while (!kn_link_alone(&batch))
        kn_connection_serve(kn_connection_of_ready(batch.next));
}

/* What was published outside of serving, in on_turn, leaves now; the rest of the work stays for the next turn. */
static void flush_ready(struct kn_server *server)
{
    for (struct kn_link *link = server->ready.next; link != &server->ready; link = link->next)
        kn_connection_flush(kn_connection_of_ready(link));
}

static void expire(struct kn_server *server)
{
    if (server->now_ns >= server->accept_retry_ns) {
        server->accept_retry_ns = KN_NEVER_NS;
        kn_server_listen(server);
    }
    if (server->options.idle_timeout_ns < 0)
        return;
    for (unsigned i = 0; i < KN_EXPIRED_A_TURN && !kn_link_alone(&server->active); i++) {
        struct kn_connection *head = kn_connection_of_active(server->active.next);
        if (head->placed_ns + server->options.idle_timeout_ns + server->placing_ns > server->now_ns)
            return;
        if (head->holds > 0) {
            /* The application owes an answer: it is not the peer who is idle. */
            head->placed_ns = server->now_ns;
            kn_link_remove(&head->active);
            kn_link_append(&server->active, &head->active);
            continue;
        }
        enum kn_close_reason reason = KN_CLOSE_IDLE;
        if (head->flags & KN_CONNECTION_CLOSING)
            reason = head->reason;
        else if (head->flags & KN_CONNECTION_BLOCKED)
            reason = KN_CLOSE_OUTPUT_LIMIT;
        kn_counter_add(&server->counters.idle_closed, 1);
        kn_connection_finish(head, reason);
    }
}

/* ---- the end ---- */

void kn_connection_begin_drain(struct kn_connection *connection)
{
    int arrived = 0;
    if (ioctl(connection->stream.descriptor, FIONREAD, &arrived) < 0 || arrived < 0)
        arrived = 0;
    connection->drain_left_bytes = (uint32_t)arrived;
    connection->flags |= arrived > 0 ? KN_CONNECTION_READABLE : KN_CONNECTION_DRAIN_READ;
    kn_connection_make_ready(connection);
}

static void begin_drain(struct kn_server *server)
{
    while (server->listener.descriptor >= 0 && kn_server_accept(server))
        continue; /* who connected in time is answered; max_connections ends it at the latest */
    close_listener(server);
    server->draining = true;
    server->accept_retry_ns = KN_NEVER_NS;
    server->drain_deadline_ns = server->now_ns + server->options.drain_timeout_ns;
    for (struct kn_link *link = server->active.next; link != &server->active; link = link->next)
        kn_connection_begin_drain(kn_connection_of_active(link));
}

bool kn_server_has_drained(const struct kn_server *server)
{
    return server->draining && server->open == 0;
}

void kn_server_serve(struct kn_server *server)
{
    server->has_waited = false;
    kn_counter_add(&server->counters.turns, 1);
    server->accept_ready = false;
    note_events(server);
    if (!server->draining && atomic_load_explicit(&server->drain_requested, memory_order_relaxed))
        begin_drain(server);
    else if (server->accept_ready && server->listening)
        kn_server_accept(server);
    serve_ready(server);
    expire(server);
    if (server->now_ns >= server->drain_deadline_ns)
        finish_all(server);
    if (server->handler.on_turn)
        server->handler.on_turn(server->handler.context, server);
    flush_ready(server);
}

int kn_server_turn(struct kn_server *server, int64_t timeout_ns)
{
    if (kn_server_has_drained(server))
        return -ESHUTDOWN;
    int result = kn_server_wait(server, timeout_ns);
    if (result < 0)
        return result;
    kn_server_serve(server);
    return kn_server_has_drained(server) ? -ESHUTDOWN : 0;
}

int kn_server_run(struct kn_server *server)
{
    int result;
    do
        result = kn_server_turn(server, -1);
    while (result == 0);
    return result == -ESHUTDOWN ? 0 : result;
}
