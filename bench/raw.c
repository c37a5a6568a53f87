#include "raw.h"

#include <math.h>
#include <stdlib.h>

#include <kernel/atomic.h>

#define ROUND_TRIPS_FIRST 1024
#define PAYLOAD_WORDS (KN_CACHE_LINE / sizeof(uint64_t))

const char *const raw_case_names[RAW_CASES] = {"one-line-shared", "line-each-way", "line-pair-each-way"};

/* A flag and, on the neighbouring line, what it announces. */
struct mailbox {
    KN_OWNED _Atomic uint64_t flag;
    alignas(KN_CACHE_LINE) uint64_t payload[PAYLOAD_WORDS];
};

struct raw_transfer {
    struct mailbox there;
    struct mailbox back;
    uint64_t round_trips;
};

static inline void send_flag(struct mailbox *mailbox, uint64_t value)
{
    /* Release pairs with the acquire load in await_flag. */
    atomic_store_explicit(&mailbox->flag, value, memory_order_release);
}

static inline void await_flag(struct mailbox *mailbox, uint64_t value)
{
    /* Acquire pairs with the release store in send_flag. */
    while (atomic_load_explicit(&mailbox->flag, memory_order_acquire) != value)
        kn_cpu_relax();
}

static inline void send_payload(struct mailbox *mailbox, uint64_t value)
{
    for (size_t i = 0; i < PAYLOAD_WORDS; i++)
        mailbox->payload[i] = value + i;
    send_flag(mailbox, value);
}

static inline void await_payload(struct mailbox *mailbox, uint64_t value)
{
    uint64_t sum = 0;
    await_flag(mailbox, value);
    for (size_t i = 0; i < PAYLOAD_WORDS; i++)
        sum += mailbox->payload[i];
    if (sum != PAYLOAD_WORDS * value + PAYLOAD_WORDS * (PAYLOAD_WORDS - 1) / 2)
        abort();
}

static void one_line_ping(void *context)
{
    struct raw_transfer *transfer = context;
    for (uint64_t i = 0; i < transfer->round_trips; i++) {
        send_flag(&transfer->there, 2 * i + 1);
        await_flag(&transfer->there, 2 * i + 2);
    }
}

static void one_line_pong(void *context)
{
    struct raw_transfer *transfer = context;
    for (uint64_t i = 0; i < transfer->round_trips; i++) {
        await_flag(&transfer->there, 2 * i + 1);
        send_flag(&transfer->there, 2 * i + 2);
    }
}

static void line_each_way_ping(void *context)
{
    struct raw_transfer *transfer = context;
    for (uint64_t i = 1; i <= transfer->round_trips; i++) {
        send_flag(&transfer->there, i);
        await_flag(&transfer->back, i);
    }
}

static void line_each_way_pong(void *context)
{
    struct raw_transfer *transfer = context;
    for (uint64_t i = 1; i <= transfer->round_trips; i++) {
        await_flag(&transfer->there, i);
        send_flag(&transfer->back, i);
    }
}

static void line_pair_ping(void *context)
{
    struct raw_transfer *transfer = context;
    for (uint64_t i = 1; i <= transfer->round_trips; i++) {
        send_payload(&transfer->there, i);
        await_payload(&transfer->back, i);
    }
}

static void line_pair_pong(void *context)
{
    struct raw_transfer *transfer = context;
    for (uint64_t i = 1; i <= transfer->round_trips; i++) {
        await_payload(&transfer->there, i);
        send_payload(&transfer->back, i);
    }
}

double raw_transfer_ns(struct raw_pace *pace, struct bench_team *team, enum raw_case raw_case, double slice_seconds)
{
    static void (*const pings[RAW_CASES])(void *) = {one_line_ping, line_each_way_ping, line_pair_ping};
    static void (*const pongs[RAW_CASES])(void *) = {one_line_pong, line_each_way_pong, line_pair_pong};
    struct raw_transfer *transfer = bench_allocate(sizeof(*transfer));
    uint64_t *round_trips = &pace->round_trips[raw_case];
    if (*round_trips == 0)
        *round_trips = ROUND_TRIPS_FIRST;
    transfer->round_trips = *round_trips;
    double elapsed_ns = bench_team_run_pair(team, pings[raw_case], pongs[raw_case], transfer);
    double value_ns = elapsed_ns / (double)*round_trips / 2;
    *round_trips = bench_next_count(*round_trips, elapsed_ns, slice_seconds);
    free(transfer);
    return value_ns;
}

void raw_measure_lines(struct raw_pace *pace, struct bench_team *team, size_t message_bytes, double slice_seconds,
                       double *line_ns, double *pair_ns)
{
    *line_ns = raw_transfer_ns(pace, team, RAW_LINE_EACH_WAY, slice_seconds);
    *pair_ns = NAN;
    if (message_bytes == KN_CACHE_LINE)
        *pair_ns = raw_transfer_ns(pace, team, RAW_LINE_PAIR_EACH_WAY, slice_seconds);
}
