/*
 * A load generator for servers that echo: requests over many connections from one thread, and their latencies.
 *
 * Use it to measure a server's throughput and latency over TCP or a local socket; the server must answer with the bytes
 * it is sent, in order. It costs one receive and one send for each batch of replies and nothing is allocated while
 * it runs, so that the server is what is measured.
 *
 * Without a rate the loop is closed: every connection keeps `pipeline` requests in flight, and k replies are followed
 * by k new requests in one send. With a rate it is open: requests are due at fixed times whatever the server does, and
 * latency counts from the time a request was due, not from when there was room for it. A stalled server can therefore
 * not hide the requests it kept from being sent (coordinated omission, after Gil Tene).
 *
 * Each request is one printable line: 7 characters of sequence number, filling, and a newline at its end.
 */
#ifndef APPS_LOAD_H
#define APPS_LOAD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <kernel/tcp.h>

#include "histogram.h"

#define LOAD_MESSAGE_BYTES_MIN 8
#define LOAD_MESSAGE_BYTES_MAX (64u << 20)
#define LOAD_CONNECTIONS_MAX 1000000u
#define LOAD_PIPELINE_MAX 65536u
/* Most bytes of one connection in flight: pipeline times message_bytes. */
#define LOAD_INFLIGHT_BYTES_MAX (256u << 20)
/* Most requests in flight over all connections: connections times pipeline. */
#define LOAD_INFLIGHT_MAX (64u << 20)
#define LOAD_RATE_MAX UINT64_C(1000000000)
/* A week. */
#define LOAD_DURATION_MAX_NS (INT64_C(7) * 24 * 3600 * 1000000000)

/* Zero means the default in parentheses. */
struct load_options {
    struct kn_address address;
    uint32_t connections;   /* (1) */
    uint32_t pipeline;      /* (1) most requests of one connection in flight */
    uint32_t message_bytes; /* (64) of each request and its reply */
    uint64_t rate;          /* requests a second over all connections (0: closed loop, as fast as replies come) */
    int64_t duration_ns;    /* (10 s) measured, after the warm-up */
    int64_t warmup_ns;      /* (0) load before that, not measured; begins when the connections are open */
    bool spin;              /* polls without ever sleeping: less noise, at the price of a whole core */
    bool verify;            /* compares each byte of each reply; otherwise its sequence number only */
    bool pin;               /* runs on processor `cpu` only; the thread's affinity is restored afterwards */
    int cpu;
};

/* Times are of the measured part. A lost or wrong reply ends its connection, which is then opened anew. */
struct load_result {
    uint64_t requests;         /* replies that arrived complete while measuring */
    uint64_t bytes;            /* of these replies */
    int64_t elapsed_ns;        /* measured: duration_ns, or less when stopped early */
    uint64_t errors;           /* connections lost while open, and mismatches; warm-up included */
    uint64_t mismatches;       /* of these errors: replies that were not the request's bytes */
    uint64_t connect_failures; /* attempts to connect that failed */
    uint64_t reconnects;       /* connections opened again after an error */
    uint64_t unanswered;       /* due while measuring, no reply within a second after the end */
    /* One sample for each request that was sent (with a rate: was due) while measuring, unless lost with its
     * connection. One that was never answered counts with the age it had reached. */
    struct histogram latency;
};

enum load_phase { LOAD_CONNECTING, LOAD_WARMING_UP, LOAD_MEASURING };

struct load_progress {
    enum load_phase phase;
    int64_t elapsed_ns;         /* in this phase */
    int64_t interval_ns;        /* since the last call */
    uint64_t interval_requests; /* replies since the last call */
    uint64_t errors;            /* so far, as in the result */
    uint32_t open_connections;
};

/* Called about once a second on the load's thread. */
typedef void load_progress_function(void *context, const struct load_progress *progress);

/*
 * Runs the load on the calling thread: connects, warms up, measures, collects the replies still on their way. Raises
 * the soft limit of open descriptors to the hard one. `progress` and `stop` may be NULL; *stop set to true, from any
 * thread or a signal handler, ends the load early with what was measured so far.
 *
 * 0; -EINVAL for options out of range; -EMFILE when the limit of descriptors is below `connections`; -ENOMEM; what
 * the first connection failed with, when none could be opened (-ECONNREFUSED ...; -ETIMEDOUT after 10 s); -ECANCELED
 * when stopped before anything was measured. *result is valid in every case, empty if nothing ran.
 */
int load_run(const struct load_options *options, struct load_result *result, load_progress_function *progress,
             void *progress_context, const _Atomic bool *stop);

/* The options with every zero replaced by its default, as load_run uses them. */
struct load_options load_options_with_defaults(const struct load_options *options);

#endif
