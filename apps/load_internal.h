/*
 * What load.c (time: phases, rate, waiting) and load_connection.c (one connection: requests and replies) share.
 * Not for their users. Everything runs on the thread that called load_run.
 */
#ifndef APPS_LOAD_INTERNAL_H
#define APPS_LOAD_INTERNAL_H

#include <kernel/clock.h>
#include <kernel/poll.h>

#include "load.h"

#define LOAD_NS_PER_S INT64_C(1000000000)
/* Connects at once: fewer than a listener's usual backlog, or the kernel drops them and retries a second later. */
#define LOAD_CONNECTS_AT_ONCE 100u
#define LOAD_RECEIVE_BYTES ((size_t)64 * 1024)

enum connection_state { CONNECTION_WAITING, CONNECTION_CONNECTING, CONNECTION_OPEN };

/*
 * Offsets count in the window of prepared messages, see load_prepare_messages. Between calls
 * receive_offset + (bytes in flight, unsent ones included) == send_offset + unsent_bytes, modulo window_bytes.
 */
struct connection {
    struct kn_tcp_stream stream;
    enum connection_state state;
    bool opened_before;
    uint32_t in_flight;    /* requests issued and not answered */
    uint32_t oldest;       /* place of the first of these in the connection's ring of send times */
    size_t send_offset;    /* of the first unsent byte */
    size_t unsent_bytes;   /* issued, and not yet taken by the socket */
    size_t receive_offset; /* of the next byte expected */
    uint64_t due;          /* with a rate: requests that have become due since the start */
    uint64_t issued;       /* with a rate: of these, how many have been issued */
    int64_t retry_ns;      /* while waiting: when to connect */
};

struct load {
    struct load_options options;
    struct load_result *result;
    struct kn_poll poll;
    struct kn_events events;
    struct connection *connections;
    int64_t *send_times_ns; /* a ring of `pipeline` for each connection */
    char *receive_buffer;
    char *window;
    size_t window_bytes; /* without the tail */
    struct {
        uint32_t *indexes; /* a ring, in order of retry_ns */
        uint32_t first;
        uint32_t count;
    } waiting;
    uint32_t connecting;
    uint32_t open;
    bool ever_opened;
    bool issuing; /* requests may be issued: from the start of the warm-up */
    bool closing; /* closed loop: no more requests, only replies */
    int fatal_error;
    uint64_t outstanding; /* requests issued and not answered, and with a rate those due */
    uint64_t replies;
    int64_t start_ns;
    int64_t measure_start_ns; /* INT64_MAX until known */
    int64_t measure_end_ns;
    uint64_t due_count;  /* with a rate: requests due since the start, over all connections */
    uint32_t due_cursor; /* the connection whose turn is next */
    load_progress_function *progress;
    void *progress_context;
    const _Atomic bool *stop;
    int64_t phase_start_ns;
    int64_t progress_ns; /* of the last call */
    uint64_t progress_replies;
    enum load_phase phase;
};

static inline int64_t load_now_ns(void)
{
    return (int64_t)kn_clock_monotonic_ns();
}

/* Prepares the window of messages; 0 or -ENOMEM. */
int load_prepare_messages(struct load *load);

/* Puts a connection among those to be opened; retry_ns must not be below that of the last one put there. */
void load_wait_to_connect(struct load *load, uint32_t index, int64_t retry_ns);

/* Starts those connects whose time has come, some at once. */
void load_start_connects(struct load *load, int64_t time_ns);

/* Issues as many requests as the pipeline has room for (with a rate: of those that are due), in one send. */
void load_refill(struct load *load, struct connection *connection, int64_t time_ns);

/* Handles one event of a connection. */
void load_serve(struct load *load, const struct kn_event *event);

/* With a rate: when request number `index` of all connections together is due. */
int64_t load_due_time_ns(const struct load *load, uint64_t index);

/* When the connection's request counts as sent: at time_ns, or with a rate when its `number` is due. */
int64_t load_send_time_ns(const struct load *load, const struct connection *connection, uint64_t number,
                          int64_t time_ns);

#endif
