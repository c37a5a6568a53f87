#include <kernel/offload.h>

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <kernel/assert.h>
#include <kernel/clock.h>
#include <kernel/connection.h>
#include <kernel/spsc_bytes.h>

/* Goes in front of the bytes in both queues. */
struct envelope {
    uint64_t connection_id;
    uint64_t
        completed_bytes; /* on the way back: the last answer to a message says how long that message was, plus one */
};

/* Resumed a turn: enough to refill the queue, few enough that they do not all stall again. */
enum { RESUMED_A_TURN = 32 };

enum { PARKED = 1, AWAKE = 0 };

struct kn_offload {
    /* Set before the threads start. */
    struct kn_offload_handler handler;
    struct kn_spsc_bytes *inbound;
    struct kn_spsc_bytes *outbound;
    struct kn_server *server;
    size_t message_bytes;
    size_t inflight_bytes;
    int64_t spin_ns;

    /* The server's thread: connections that found the inbound queue full, oldest first, as a ring of ids. */
    struct {
        KN_OWNED uint64_t *ids;
        uint64_t mask;
        uint64_t first;
        uint64_t end;
        uint8_t *claimed; /* the envelope of the claim that on_receive made */
    } stalled;

    /* The handler's thread. */
    struct {
        KN_OWNED uint64_t connection_id; /* whose message is being handled */
        struct envelope *claimed;        /* the answer being written */
        struct envelope *last;           /* the last answer staged and still invisible */
    } answer;

    KN_OWNED _Atomic int parked;             /* PARKED while the handler's thread sleeps, or is about to */
    KN_OWNED _Atomic bool answers_signalled; /* the server's thread has been told of answers it has not yet looked at */
    KN_OWNED _Atomic bool stopping;
};

/*
 * What the server remembers of a connection for us, in its user word: bytes on their way, and whether the connection
 * is paused until they are fewer. Below 2^31 bytes, so it fits a pointer of any width.
 */
struct flight {
    size_t bytes;
    bool paused;
};

static struct flight flight_of(const struct kn_connection *connection)
{
    uintptr_t word = (uintptr_t)kn_connection_user(connection);
    return (struct flight){.bytes = word >> 1, .paused = (word & 1) != 0};
}

static void set_flight(struct kn_connection *connection, struct flight flight)
{
    kn_connection_set_user(connection, (void *)(flight.bytes << 1 | (flight.paused ? 1 : 0)));
}

static void futex_wait(_Atomic int *word, int expected)
{
    /* Returns for a wake, a change of the word or a signal; the caller looks again whichever it was. */
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, NULL, NULL, 0);
}

/*
 * Wakes the handler's thread if it sleeps. Both sides exchange the same word: if the sleeper's exchange comes first in
 * its modification order we see PARKED and wake; if ours comes first, the sleeper's acquires what we published before,
 * and its last look at the queue finds it. models/park_wake.pml exhausts this.
 */
static void wake_handler(struct kn_offload *offload)
{
    /* Acquire-release pairs with the exchange in sleep_until_woken. */
    if (atomic_exchange_explicit(&offload->parked, AWAKE, memory_order_acq_rel) == PARKED)
        syscall(SYS_futex, &offload->parked, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* ---- the server's thread ---- */

static void forget_stale_ids(struct kn_offload *offload)
{
    uint64_t kept = offload->stalled.first;
    for (uint64_t i = offload->stalled.first; i != offload->stalled.end; i++) {
        uint64_t id = offload->stalled.ids[i & offload->stalled.mask];
        if (kn_server_find(offload->server, id))
            offload->stalled.ids[kept++ & offload->stalled.mask] = id;
    }
    offload->stalled.end = kept;
}

static void stall(struct kn_offload *offload, uint64_t connection_id)
{
    if (offload->stalled.end - offload->stalled.first > offload->stalled.mask)
        forget_stale_ids(offload);
    /* A connection stalls once until it is resumed, so the living ones always fit. */
    kn_assert(offload->stalled.end - offload->stalled.first <= offload->stalled.mask);
    offload->stalled.ids[offload->stalled.end++ & offload->stalled.mask] = connection_id;
}

static int claim_inbound(struct kn_offload *offload, size_t length_bytes)
{
    void *space;
    int result = kn_spsc_bytes_claim(offload->inbound, sizeof(struct envelope) + length_bytes, &space);
    offload->stalled.claimed = space;
    return result;
}

static size_t receive_into_queue(void *context, struct kn_connection *connection, void **space)
{
    struct kn_offload *offload = context;
    struct flight flight = flight_of(connection);
    if (flight.bytes >= offload->inflight_bytes) {
        flight.paused = true;
        set_flight(connection, flight);
        return 0;
    }
    size_t room = offload->inflight_bytes - flight.bytes;
    if (room > offload->message_bytes)
        room = offload->message_bytes;
    if (claim_inbound(offload, room) < 0) {
        stall(offload, kn_connection_id(connection));
        return 0;
    }
    *space = offload->stalled.claimed + sizeof(struct envelope);
    return room;
}

static void pass_to_handler(void *context, struct kn_connection *connection, size_t length_bytes, bool end_of_stream)
{
    (void)end_of_stream; /* the server closes once every answer owed, a hold each, has been sent */
    struct kn_offload *offload = context;
    if (length_bytes == 0)
        return; /* the next claim takes the space again */
    struct envelope envelope = {.connection_id = kn_connection_id(connection)};
    memcpy(offload->stalled.claimed, &envelope, sizeof(envelope));
    int result = kn_spsc_bytes_publish(offload->inbound, sizeof(envelope) + length_bytes);
    kn_assert(result == 0);
    struct flight flight = flight_of(connection);
    flight.bytes += length_bytes;
    set_flight(connection, flight);
    kn_connection_hold(connection);
    wake_handler(offload);
}

static void settle(struct kn_connection *connection, size_t completed_bytes)
{
    struct flight flight = flight_of(connection);
    bool resume = flight.paused;
    flight.bytes -= completed_bytes;
    flight.paused = false;
    set_flight(connection, flight);
    if (resume)
        kn_connection_resume(connection);
    kn_connection_release(connection);
}

static void send_answer(struct kn_offload *offload, const struct envelope *envelope, size_t length_bytes)
{
    struct kn_connection *connection = kn_server_find(offload->server, envelope->connection_id);
    if (!connection)
        return; /* it went away before it was answered */
    if (length_bytes > 0 && kn_connection_write(connection, envelope + 1, length_bytes) < 0)
        kn_connection_close(connection);
    /* The write may have found the peer gone. */
    connection = kn_server_find(offload->server, envelope->connection_id);
    if (connection && envelope->completed_bytes > 0)
        settle(connection, envelope->completed_bytes - 1);
}

static void resume_stalled(struct kn_offload *offload)
{
    for (unsigned i = 0; i < RESUMED_A_TURN && offload->stalled.first != offload->stalled.end; i++) {
        if (claim_inbound(offload, offload->message_bytes) < 0)
            return;
        uint64_t id = offload->stalled.ids[offload->stalled.first++ & offload->stalled.mask];
        struct kn_connection *connection = kn_server_find(offload->server, id);
        if (connection)
            kn_connection_resume(connection);
    }
}

static void send_answers(void *context, struct kn_server *server)
{
    (void)server;
    struct kn_offload *offload = context;
    /* A plain look first: the exchange would take the line from the handler's core every turn. Acquire-release pairs
     * with the exchange in signal_answers. */
    if (atomic_load_explicit(&offload->answers_signalled, memory_order_relaxed))
        atomic_exchange_explicit(&offload->answers_signalled, false, memory_order_acq_rel);
    const void *message;
    size_t length_bytes;
    while (kn_spsc_bytes_peek(offload->outbound, &message, &length_bytes) == 0) {
        send_answer(offload, message, length_bytes - sizeof(struct envelope));
        int result = kn_spsc_bytes_release(offload->outbound);
        kn_assert(result == 0);
    }
    resume_stalled(offload);
}

struct kn_server_handler kn_offload_server_handler(struct kn_offload *offload)
{
    return (struct kn_server_handler){
        .context = offload,
        .on_receive = receive_into_queue,
        .on_received = pass_to_handler,
        .on_turn = send_answers,
    };
}

void kn_offload_attach(struct kn_offload *offload, struct kn_server *server)
{
    offload->server = server;
}

/* ---- the handler's thread ---- */

static void signal_answers(struct kn_offload *offload)
{
    /* Only the first answer since the server's thread last looked pays for a wake. Acquire-release pairs with the
     * exchange in send_answers: when it is `true` already, that thread's look is still to come and finds the answer. */
    if (!atomic_exchange_explicit(&offload->answers_signalled, true, memory_order_acq_rel))
        kn_server_wake(offload->server);
}

static void flush_answers(struct kn_offload *offload)
{
    kn_spsc_bytes_flush(offload->outbound);
    offload->answer.last = NULL;
    signal_answers(offload);
}

static int claim_outbound(struct kn_offload *offload, size_t length_bytes)
{
    void *space;
    int result;
    while ((result = kn_spsc_bytes_claim(offload->outbound, sizeof(struct envelope) + length_bytes, &space)) ==
           -EAGAIN) {
        /* What is staged must become visible, or the room we wait for never comes. */
        if (offload->answer.last)
            flush_answers(offload);
        /* Relaxed: the flag alone matters, nothing is read on the strength of it. */
        if (atomic_load_explicit(&offload->stopping, memory_order_relaxed))
            return -ECANCELED;
        kn_cpu_relax();
    }
    offload->answer.claimed = space;
    return result;
}

int kn_offload_claim(struct kn_offload *offload, size_t length_bytes, void **space)
{
    *space = NULL;
    if (length_bytes > offload->message_bytes)
        return -EMSGSIZE;
    int result = claim_outbound(offload, length_bytes);
    if (result == 0)
        *space = offload->answer.claimed + 1;
    return result;
}

int kn_offload_publish(struct kn_offload *offload, size_t length_bytes)
{
    struct envelope *envelope = offload->answer.claimed;
    int result = kn_spsc_bytes_stage(offload->outbound, sizeof(struct envelope) + length_bytes);
    if (result < 0)
        return result;
    *envelope = (struct envelope){.connection_id = offload->answer.connection_id};
    offload->answer.last = envelope;
    offload->answer.claimed = NULL;
    return 0;
}

static void handle(struct kn_offload *offload, const struct envelope *envelope, size_t length_bytes)
{
    offload->answer.connection_id = envelope->connection_id;
    offload->handler.on_message(offload->handler.context, offload, envelope->connection_id, envelope + 1, length_bytes);
    /* The last answer carries the completion; a message without one still invisible gets an empty answer. */
    if (!offload->answer.last && (claim_outbound(offload, 0) < 0 || kn_offload_publish(offload, 0) < 0))
        return; /* stopped: nobody waits for the completion any more */
    offload->answer.last->completed_bytes = length_bytes + 1;
    flush_answers(offload);
}

static bool handle_next(struct kn_offload *offload)
{
    const void *message;
    size_t length_bytes;
    if (kn_spsc_bytes_peek(offload->inbound, &message, &length_bytes) < 0)
        return false;
    handle(offload, message, length_bytes - sizeof(struct envelope));
    int result = kn_spsc_bytes_release(offload->inbound);
    kn_assert(result == 0);
    return true;
}

/* Sleeps unless there is something to do; whoever makes something to do wakes. */
static void sleep_until_woken(struct kn_offload *offload)
{
    /* Acquire-release pairs with the exchange in wake_handler. */
    atomic_exchange_explicit(&offload->parked, PARKED, memory_order_acq_rel);
    /* Relaxed is enough for `stopping`: kn_offload_stop sets it before its exchange of `parked`. */
    if (!atomic_load_explicit(&offload->stopping, memory_order_relaxed) && !handle_next(offload))
        futex_wait(&offload->parked, PARKED);
    atomic_store_explicit(&offload->parked, AWAKE, memory_order_relaxed);
}

int kn_offload_run(struct kn_offload *offload)
{
    int64_t last_work_ns = (int64_t)kn_clock_monotonic_ns();
    for (;;) {
        if (handle_next(offload)) {
            while (handle_next(offload))
                continue;
            last_work_ns = (int64_t)kn_clock_monotonic_ns();
        } else if (atomic_load_explicit(&offload->stopping, memory_order_relaxed)) {
            return 0;
        } else if ((int64_t)kn_clock_monotonic_ns() - last_work_ns < offload->spin_ns) {
            kn_cpu_relax();
        } else {
            sleep_until_woken(offload);
            last_work_ns = (int64_t)kn_clock_monotonic_ns();
        }
    }
}

void kn_offload_stop(struct kn_offload *offload)
{
    atomic_store_explicit(&offload->stopping, true, memory_order_relaxed);
    wake_handler(offload);
}

/* ---- set-up ---- */

static int apply_defaults(struct kn_offload_options *options)
{
    if (options->queue_bytes == 0)
        options->queue_bytes = (size_t)1 << 20;
    if (options->message_bytes == 0)
        options->message_bytes = (size_t)16 << 10;
    if (options->inflight_bytes == 0)
        options->inflight_bytes = (size_t)64 << 10;
    if (options->max_connections == 0)
        options->max_connections = 1024;
    if (options->spin_ns == 0)
        options->spin_ns = 50000;
    bool sound = options->message_bytes <= options->queue_bytes / 4 && options->inflight_bytes <= INT32_MAX &&
                 options->max_connections <= INT32_MAX;
    return sound ? 0 : -EINVAL;
}

static int open_stalled(struct kn_offload *offload, uint32_t max_connections)
{
    uint64_t capacity = 1;
    while (capacity < max_connections)
        capacity *= 2;
    offload->stalled.ids = malloc(capacity * sizeof(uint64_t));
    offload->stalled.mask = capacity - 1;
    return offload->stalled.ids ? 0 : -ENOMEM;
}

int kn_offload_open(struct kn_offload **offload, const struct kn_offload_options *options,
                    const struct kn_offload_handler *handler)
{
    *offload = NULL;
    struct kn_offload_options chosen = *options;
    int result = apply_defaults(&chosen);
    if (result < 0 || !handler->on_message)
        return -EINVAL;
    struct kn_offload *created = aligned_alloc(KN_OWNER_STRIDE, sizeof(*created));
    if (!created)
        return -ENOMEM;
    memset(created, 0, sizeof(*created));
    created->handler = *handler;
    created->message_bytes = chosen.message_bytes;
    created->inflight_bytes = chosen.inflight_bytes;
    created->spin_ns = chosen.spin_ns;
    struct kn_spsc_bytes_options queue = {.capacity_bytes = chosen.queue_bytes};
    result = kn_spsc_bytes_open(&created->inbound, &queue);
    if (result == 0)
        result = kn_spsc_bytes_open(&created->outbound, &queue);
    if (result == 0)
        result = open_stalled(created, chosen.max_connections);
    if (result < 0) {
        kn_offload_close(created);
        return result;
    }
    *offload = created;
    return 0;
}

void kn_offload_close(struct kn_offload *offload)
{
    if (!offload)
        return;
    kn_spsc_bytes_close(offload->inbound);
    kn_spsc_bytes_close(offload->outbound);
    free(offload->stalled.ids);
    free(offload);
}
