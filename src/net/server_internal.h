/*
 * What the server's files share: the connection, the pool of leased buffers, and the server itself.
 *
 * server.c takes turns, server_accept.c fills the slab, server_serve.c moves a connection's bytes and ends it,
 * server_buffer.c leases buffers, connection.c is what the handler sees.
 */
#ifndef KERNEL_NET_SERVER_INTERNAL_H
#define KERNEL_NET_SERVER_INTERNAL_H

#include <kernel/assert.h>
#include <kernel/connection.h>
#include <kernel/slab.h>

/* ---- intrusive circular list; a node outside any list points to itself ---- */

struct kn_link {
    struct kn_link *previous;
    struct kn_link *next;
};

KN_INLINE void kn_link_init(struct kn_link *link)
{
    link->previous = link;
    link->next = link;
}

KN_INLINE bool kn_link_alone(const struct kn_link *link)
{
    return link->next == link;
}

KN_INLINE void kn_link_remove(struct kn_link *link)
{
    link->previous->next = link->next;
    link->next->previous = link->previous;
    kn_link_init(link);
}

KN_INLINE void kn_link_append(struct kn_link *list, struct kn_link *link)
{
    link->previous = list->previous;
    link->next = list;
    list->previous->next = link;
    list->previous = link;
}

/* Moves all of `from` to the empty list `to`. */
KN_INLINE void kn_link_move_all(struct kn_link *from, struct kn_link *to)
{
    if (kn_link_alone(from))
        return;
    *to = *from;
    to->next->previous = to;
    to->previous->next = to;
    kn_link_init(from);
}

/* ---- leased buffers ---- */

enum {
    KN_BUFFER_SMALLEST_BYTES = 512,
    KN_BUFFER_CLASSES = 23,              /* powers of two, 512 bytes to 2 GiB */
    KN_BUFFER_RETAINED_BYTES = 64 << 20, /* beyond it, buffers given back go back to the heap */
    KN_OUTPUT_SMALLEST_BYTES = 4 << 10,  /* first lease for output: some tens of small replies */
    KN_RECEIVE_BYTES = 64 << 10,         /* the shared receive buffer, and a connection's share of a turn */
    KN_INPUT_COPY_BYTES = 16 << 10,      /* kept input up to this is copied in front of what is received */
    KN_ACCEPTED_A_TURN = 64,
    KN_EXPIRED_A_TURN = 256,
    KN_EVENTS_A_TURN = 512,
    KN_DISCARDED_BYTES = 256 << 10, /* most unread input thrown away on close */
    KN_LIMIT_BYTES = 1 << 30,       /* most that a limit may be */
};

#define KN_ACCEPT_PAUSE_NS INT64_C(50000000) /* out of means: how long until accept is tried again */
#define KN_WARNING_INTERVAL_NS INT64_C(1000000000)
#define KN_NEVER_NS INT64_MAX

/* Live bytes are [begin, end). */
struct kn_buffer {
    struct kn_buffer *next; /* in the free list */
    size_t capacity_bytes;
    size_t begin;
    size_t end;
    uint8_t bytes[];
};

struct kn_buffer_pool {
    struct kn_buffer *free[KN_BUFFER_CLASSES];
    size_t retained_bytes;
};

/* An empty buffer of at least capacity_bytes, or NULL without memory. From the heap only when none is free. */
struct kn_buffer *kn_buffer_lease(struct kn_buffer_pool *pool, size_t capacity_bytes);
void kn_buffer_give_back(struct kn_buffer_pool *pool, struct kn_buffer *buffer); /* NULL is harmless */
void kn_buffer_pool_free(struct kn_buffer_pool *pool);
/*
 * Sees to `room_bytes` behind the live bytes of *buffer (NULL: leases one of at least smallest_bytes): moves them to
 * the front when that is cheap, else to a buffer at least twice as large. 0 or -ENOMEM.
 */
int kn_buffer_reserve(struct kn_buffer_pool *pool, struct kn_buffer **buffer, size_t room_bytes, size_t smallest_bytes);

KN_INLINE size_t kn_buffer_length(const struct kn_buffer *buffer)
{
    return buffer ? buffer->end - buffer->begin : 0;
}

/* ---- connections ---- */

enum kn_connection_flag {
    KN_CONNECTION_READABLE = 1u << 0,      /* the socket may hold input: no receive has found it empty since */
    KN_CONNECTION_WRITABLE = 1u << 1,      /* the socket may take output: no send has found it full since */
    KN_CONNECTION_PEER_SHUT = 1u << 2,     /* an end or an error follows the input: a short read does not empty it */
    KN_CONNECTION_ERROR = 1u << 3,         /* the socket reports an error */
    KN_CONNECTION_ENDED = 1u << 4,         /* the end of stream was received and shown */
    KN_CONNECTION_BLOCKED = 1u << 5,       /* a claim answered -EAGAIN; on_writable is owed */
    KN_CONNECTION_RESHOW = 1u << 6,        /* kept input is to be shown though nothing arrives */
    KN_CONNECTION_PAUSED = 1u << 7,        /* by the handler */
    KN_CONNECTION_OUTPUT_PAUSED = 1u << 8, /* by pending output */
    KN_CONNECTION_CLOSING = 1u << 9,       /* closes with `reason` once output is flushed */
    KN_CONNECTION_FAILED = 1u << 10,       /* socket error: closes at once */
    KN_CONNECTION_DRAIN_READ = 1u << 11,   /* what had arrived before the drain has been shown */
    KN_CONNECTION_CLOSED = 1u << 12,       /* on_close is running */
    KN_CONNECTION_SERVING = 1u << 13,      /* kn_connection_serve looks at all that callbacks change when they return */
};

/*
 * Invariant: a connection that has work to do which no event will announce is in the server's ready list, unless it is
 * being served. Every connection is in the active list.
 *
 * The fields of the hot path fill the first two cache lines.
 */
struct kn_connection {
    struct kn_link ready;
    struct kn_link active;
    struct kn_server *server;
    void *user;
    uint64_t id;
    uint32_t flags;
    struct kn_tcp_stream stream;

    struct kn_buffer *input;  /* what the handler left; NULL: nothing */
    struct kn_buffer *output; /* what is not yet sent; NULL: nothing */
    int64_t active_ns;        /* when a byte last moved */
    int64_t placed_ns;        /* active_ns when last moved to the end of the active list */
    uint64_t bytes_in;
    uint64_t bytes_out;
    uint32_t holds;
    uint32_t claimed_bytes;
    uint32_t wanted_bytes;     /* length of the claim that answered -EAGAIN */
    uint32_t drain_left_bytes; /* of what had arrived before the drain */

    int64_t opened_ns;
    int error;
    enum kn_close_reason reason;
    struct kn_address peer;
};

_Static_assert(sizeof(struct kn_connection) <= 320, "an idle connection must stay small");

/* ---- the server ---- */

struct kn_server {
    struct kn_server_handler handler;
    struct kn_server_options options; /* no zeros left */
    struct kn_poll poll;
    struct kn_poll_waker waker;
    struct kn_events events;
    struct kn_slab slab;
    void *slab_memory;
    size_t slab_length_bytes;
    uint8_t *receive_buffer;
    struct kn_buffer_pool pool;
    struct kn_link ready;    /* connections with work, oldest first */
    struct kn_link active;   /* all connections, by placed_ns: the head is the first to become idle */
    int64_t now_ns;          /* read once a turn */
    int64_t busy_ns;         /* when a wait last found something */
    int64_t accept_retry_ns; /* when to try again after running out of means */
    int64_t warned_ns;       /* when that was last logged */
    int64_t drain_deadline_ns;
    int64_t placing_ns; /* how far active_ns runs ahead of placed_ns before the connection is moved */
    uint32_t open;
    bool listening;    /* the listener's interest is registered */
    bool accept_ready; /* the listener reported connections this turn */
    bool draining;
    bool has_waited; /* events of a wait are still to be served */
    struct kn_tcp_listener listener;
    struct kn_address address;
    struct kn_server_counters counters;
    KN_OWNED _Atomic bool drain_requested;
};

KN_INLINE struct kn_connection *kn_connection_of_ready(struct kn_link *link)
{
    return (void *)((char *)link - offsetof(struct kn_connection, ready));
}

KN_INLINE struct kn_connection *kn_connection_of_active(struct kn_link *link)
{
    return (void *)((char *)link - offsetof(struct kn_connection, active));
}

/* The generation's top bit is given up: in a token it marks the application's. */
#define KN_SERVER_TOKEN_USER (UINT64_C(1) << 63)
#define KN_SERVER_TOKEN_LISTENER UINT64_C(0xffffffff)
#define KN_SERVER_TOKEN_WAKER UINT64_C(0xfffffffe)

KN_INLINE kn_token kn_connection_token(const struct kn_connection *connection)
{
    return connection->id & ~KN_SERVER_TOKEN_USER;
}

/* Has the connection served in this turn, or the next when its turn is over. */
KN_INLINE void kn_connection_make_ready(struct kn_connection *connection)
{
    if (!(connection->flags & KN_CONNECTION_SERVING) && kn_link_alone(&connection->ready))
        kn_link_append(&connection->server->ready, &connection->ready);
}

/*
 * Notes that a byte moved. The list is sorted by placed_ns because the timeout is one constant; moving a connection at
 * most once per 1/64 of the timeout keeps neighbours' cache lines out of the hot path.
 */
KN_INLINE void kn_connection_touch(struct kn_connection *connection)
{
    struct kn_server *server = connection->server;
    connection->active_ns = server->now_ns;
    if (server->now_ns - connection->placed_ns < server->placing_ns)
        return;
    connection->placed_ns = server->now_ns;
    kn_link_remove(&connection->active);
    kn_link_append(&server->active, &connection->active);
}

/* Sends what is pending until nothing is or the socket is full; an error marks the connection failed. */
void kn_connection_flush(struct kn_connection *connection);
/* Marks the connection failed; it closes when it is next served. */
void kn_connection_fail(struct kn_connection *connection, int error);
/* Does all there is to do, by KN_RECEIVE_BYTES at most; may end in kn_connection_finish. */
void kn_connection_serve(struct kn_connection *connection);
/* Calls on_close and frees. No callback of this connection may be on the stack. */
void kn_connection_finish(struct kn_connection *connection, enum kn_close_reason reason);

/* The two halves of a turn: waits, unless what an earlier wait found is still to be served; serves it. */
int kn_server_wait(struct kn_server *server, int64_t timeout_ns);
void kn_server_serve(struct kn_server *server);
/* Whether a drain is over. */
bool kn_server_has_drained(const struct kn_server *server);
/* Has a connection answer what had arrived by now, and close. */
void kn_connection_begin_drain(struct kn_connection *connection);

/* Registers or removes the listener's interest. */
void kn_server_listen(struct kn_server *server);
void kn_server_unlisten(struct kn_server *server);
/* Takes up to KN_ACCEPTED_A_TURN connections from the backlog. Whether that bound, and nothing else, ended it. */
bool kn_server_accept(struct kn_server *server);

#endif
