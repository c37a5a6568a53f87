#include "load.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "load_internal.h"

#define CONNECT_TIMEOUT_NS (10 * LOAD_NS_PER_S)
#define COLLECT_TIMEOUT_NS LOAD_NS_PER_S
#define PROGRESS_INTERVAL_NS LOAD_NS_PER_S
/* The longest sleep: how soon *stop is noticed. */
#define SLEEP_MAX_NS (LOAD_NS_PER_S / 10)
/* A sleep ends up to the kernel's timer slack (50 us) late: wake that much early and poll for the rest. */
#define WAKE_EARLY_NS 70000
#define EVENTS_AT_ONCE 1024
/* Descriptors beside the connections': standard streams, the poll, what the caller has open. */
#define SPARE_DESCRIPTORS 32

static bool is_stopped(const struct load *load)
{
    /* Relaxed: nothing is read on the strength of it. */
    return load->stop && atomic_load_explicit(load->stop, memory_order_relaxed);
}

/* ---- time ---- */

/* With a rate: makes due what has become due by now, in turn over the connections. */
static void make_due(struct load *load, int64_t time_ns)
{
    if (time_ns >= load->measure_end_ns)
        time_ns = load->measure_end_ns - 1;
    double elapsed_s = (double)(time_ns - load->start_ns) / (double)LOAD_NS_PER_S;
    uint64_t due_count = (uint64_t)(elapsed_s * (double)load->options.rate) + 1;
    if (due_count <= load->due_count)
        return;
    uint32_t connections = load->options.connections;
    uint64_t added = due_count - load->due_count;
    uint64_t each = added / connections;
    uint64_t remainder = added % connections;
    load->due_count = due_count;
    load->outstanding += added;
    for (uint64_t i = 0; i < (each > 0 ? connections : remainder); i++) {
        struct connection *connection = &load->connections[load->due_cursor];
        load->due_cursor = load->due_cursor + 1 < connections ? load->due_cursor + 1 : 0;
        connection->due += each + (i < remainder);
        if (connection->state == CONNECTION_OPEN)
            load_refill(load, connection, time_ns);
    }
    if (each > 0)
        load->due_cursor = (uint32_t)((load->due_cursor + remainder) % connections);
}

static void report_progress(struct load *load, int64_t time_ns)
{
    if (!load->progress || time_ns - load->progress_ns < PROGRESS_INTERVAL_NS)
        return;
    struct load_progress progress = {
        .phase = load->phase,
        .elapsed_ns = time_ns - load->phase_start_ns,
        .interval_ns = time_ns - load->progress_ns,
        .interval_requests = load->replies - load->progress_replies,
        .errors = load->result->errors,
        .open_connections = load->open,
    };
    load->progress(load->progress_context, &progress);
    load->progress_ns = time_ns;
    load->progress_replies = load->replies;
}

/* How long this turn may sleep. */
static int64_t sleep_ns(const struct load *load, int64_t time_ns, int64_t deadline_ns)
{
    if (load->options.spin)
        return 0;
    int64_t until_ns = time_ns + SLEEP_MAX_NS;
    if (until_ns > deadline_ns)
        until_ns = deadline_ns;
    if (load->waiting.count > 0 && load->connecting < LOAD_CONNECTS_AT_ONCE) {
        int64_t retry_ns = load->connections[load->waiting.indexes[load->waiting.first]].retry_ns;
        if (until_ns > retry_ns)
            until_ns = retry_ns;
    }
    if (load->issuing && load->options.rate > 0 && time_ns < load->measure_end_ns) {
        int64_t due_ns = load_due_time_ns(load, load->due_count) - WAKE_EARLY_NS;
        if (until_ns > due_ns)
            until_ns = due_ns;
    }
    return until_ns > time_ns ? until_ns - time_ns : 0;
}

/* One turn; 0 or -errno. */
static int turn(struct load *load, int64_t time_ns, int64_t deadline_ns)
{
    load_start_connects(load, time_ns);
    if (load->issuing && load->options.rate > 0)
        make_due(load, time_ns);
    int result = kn_poll_wait(&load->poll, &load->events, sleep_ns(load, time_ns, deadline_ns));
    if (result < 0)
        return result == -EINTR ? 0 : result;
    for (size_t i = 0; i < load->events.count; i++)
        load_serve(load, &load->events.list[i]);
    report_progress(load, time_ns);
    return load->fatal_error;
}

static void enter_phase(struct load *load, enum load_phase phase, int64_t time_ns)
{
    load->phase = phase;
    load->phase_start_ns = time_ns;
    load->progress_ns = time_ns;
    load->progress_replies = load->replies;
}

static int connect_all(struct load *load)
{
    int64_t time_ns = load_now_ns();
    int64_t deadline_ns = time_ns + CONNECT_TIMEOUT_NS;
    enter_phase(load, LOAD_CONNECTING, time_ns);
    for (uint32_t i = 0; i < load->options.connections; i++)
        load_wait_to_connect(load, i, time_ns);
    while (load->open < load->options.connections && time_ns < deadline_ns) {
        if (is_stopped(load))
            return -ECANCELED;
        int result = turn(load, time_ns, deadline_ns);
        if (result < 0)
            return result;
        time_ns = load_now_ns();
    }
    return load->open > 0 ? 0 : -ETIMEDOUT;
}

static int warm_up_and_measure(struct load *load)
{
    int64_t time_ns = load_now_ns();
    load->start_ns = time_ns;
    load->measure_start_ns = time_ns + load->options.warmup_ns;
    load->measure_end_ns = load->measure_start_ns + load->options.duration_ns;
    load->issuing = true;
    enter_phase(load, LOAD_WARMING_UP, time_ns);
    for (uint32_t i = 0; i < load->options.connections; i++) {
        if (load->connections[i].state == CONNECTION_OPEN)
            load_refill(load, &load->connections[i], time_ns);
    }
    for (; time_ns < load->measure_end_ns && !is_stopped(load); time_ns = load_now_ns()) {
        if (load->phase == LOAD_WARMING_UP && time_ns >= load->measure_start_ns)
            enter_phase(load, LOAD_MEASURING, time_ns);
        int result = turn(load, time_ns, load->measure_end_ns);
        if (result < 0)
            return result;
    }
    if (time_ns < load->measure_end_ns)
        load->measure_end_ns = time_ns;
    load->result->elapsed_ns = load->measure_end_ns - load->measure_start_ns;
    if (load->result->elapsed_ns <= 0) {
        load->result->elapsed_ns = 0;
        return -ECANCELED;
    }
    return 0;
}

/* Waits for the replies still on their way: those of a server that stalls are the ones that matter. */
static int collect(struct load *load)
{
    int64_t time_ns = load_now_ns();
    int64_t deadline_ns = time_ns + COLLECT_TIMEOUT_NS;
    load->closing = load->options.rate == 0;
    load->progress = NULL;
    for (; load->outstanding > 0 && time_ns < deadline_ns; time_ns = load_now_ns()) {
        int result = turn(load, time_ns, deadline_ns);
        if (result < 0)
            return result;
    }
    return 0;
}

static void count_unanswered(struct load *load, int64_t sent_ns, int64_t time_ns)
{
    if (sent_ns < load->measure_start_ns)
        return;
    load->result->unanswered++;
    histogram_record(&load->result->latency, time_ns > sent_ns ? (uint64_t)(time_ns - sent_ns) : 0);
}

static void count_all_unanswered(struct load *load)
{
    int64_t time_ns = load_now_ns();
    uint32_t pipeline = load->options.pipeline;
    for (uint32_t i = 0; i < load->options.connections; i++) {
        const struct connection *connection = &load->connections[i];
        for (uint32_t j = 0; j < connection->in_flight; j++)
            count_unanswered(load, load->send_times_ns[(size_t)i * pipeline + (connection->oldest + j) % pipeline],
                             time_ns);
        if (load->options.rate == 0)
            continue;
        for (uint64_t number = connection->issued; number < connection->due; number++)
            count_unanswered(load, load_send_time_ns(load, connection, number, 0), time_ns);
    }
}

/* ---- set-up ---- */

struct load_options load_options_with_defaults(const struct load_options *options)
{
    struct load_options chosen = *options;
    if (chosen.connections == 0)
        chosen.connections = 1;
    if (chosen.pipeline == 0)
        chosen.pipeline = 1;
    if (chosen.message_bytes == 0)
        chosen.message_bytes = 64;
    if (chosen.duration_ns == 0)
        chosen.duration_ns = 10 * LOAD_NS_PER_S;
    return chosen;
}

static bool options_are_sound(const struct load_options *options)
{
    return options->connections <= LOAD_CONNECTIONS_MAX && options->pipeline <= LOAD_PIPELINE_MAX &&
           (uint64_t)options->connections * options->pipeline <= LOAD_INFLIGHT_MAX &&
           options->message_bytes >= LOAD_MESSAGE_BYTES_MIN && options->message_bytes <= LOAD_MESSAGE_BYTES_MAX &&
           (uint64_t)options->pipeline * options->message_bytes <= LOAD_INFLIGHT_BYTES_MAX &&
           options->rate <= LOAD_RATE_MAX && options->duration_ns > 0 && options->duration_ns <= LOAD_DURATION_MAX_NS &&
           options->warmup_ns >= 0 && options->warmup_ns <= LOAD_DURATION_MAX_NS;
}

static int raise_descriptor_limit(uint32_t connections)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return -errno;
    if (limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
            return -errno;
    }
    return limit.rlim_cur >= (rlim_t)connections + SPARE_DESCRIPTORS ? 0 : -EMFILE;
}

static int open_load(struct load *load)
{
    size_t connections = load->options.connections;
    int result = raise_descriptor_limit(load->options.connections);
    if (result < 0)
        return result;
    load->connections = calloc(connections, sizeof(*load->connections));
    load->waiting.indexes = calloc(connections, sizeof(*load->waiting.indexes));
    load->send_times_ns = calloc(connections * load->options.pipeline, sizeof(*load->send_times_ns));
    load->receive_buffer = malloc(LOAD_RECEIVE_BYTES);
    if (!load->connections || !load->waiting.indexes || !load->send_times_ns || !load->receive_buffer)
        return -ENOMEM;
    result = load_prepare_messages(load);
    if (result == 0)
        result = kn_events_init(&load->events, EVENTS_AT_ONCE);
    if (result < 0)
        return result;
    return kn_poll_open(&load->poll, KN_POLL_BACKEND_AUTO);
}

static void close_load(struct load *load)
{
    for (uint32_t i = 0; load->connections && i < load->options.connections; i++) {
        if (load->connections[i].state != CONNECTION_WAITING)
            kn_tcp_close(&load->connections[i].stream);
    }
    if (load->poll.descriptor >= 0)
        kn_poll_close(&load->poll);
    kn_events_free(&load->events);
    free(load->connections);
    free(load->waiting.indexes);
    free(load->send_times_ns);
    free(load->receive_buffer);
    free(load->window);
}

static int run_phases(struct load *load)
{
    int result = open_load(load);
    if (result == 0)
        result = connect_all(load);
    if (result == 0)
        result = warm_up_and_measure(load);
    if (result == 0)
        result = collect(load);
    if (result == 0)
        count_all_unanswered(load);
    load->result->bytes = load->result->requests * load->options.message_bytes;
    return result;
}

static int run_pinned(struct load *load)
{
    cpu_set_t before, only;
    if (sched_getaffinity(0, sizeof(before), &before) < 0)
        return -errno;
    if (load->options.cpu < 0 || load->options.cpu >= CPU_SETSIZE)
        return -EINVAL;
    CPU_ZERO(&only);
    CPU_SET((unsigned)load->options.cpu, &only);
    if (sched_setaffinity(0, sizeof(only), &only) < 0)
        return -errno;
    int result = run_phases(load);
    sched_setaffinity(0, sizeof(before), &before);
    return result;
}

int load_run(const struct load_options *options, struct load_result *result, load_progress_function *progress,
             void *progress_context, const _Atomic bool *stop)
{
    memset(result, 0, sizeof(*result));
    histogram_reset(&result->latency);
    struct load load = {
        .options = load_options_with_defaults(options),
        .result = result,
        .poll.descriptor = -1,
        .measure_start_ns = INT64_MAX,
        .progress = progress,
        .progress_context = progress_context,
        .stop = stop,
    };
    if (!options_are_sound(&load.options))
        return -EINVAL;
    int run_result = load.options.pin ? run_pinned(&load) : run_phases(&load);
    close_load(&load);
    return run_result;
}
