/*
 * A set of reactors: how it is made, started and stopped.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <kernel/topology.h>

#include "reactor_internal.h"

enum {
    TURN_TASKS = 64,
    TURN_TIMERS = 256,
    BUS_MESSAGES = 256,
    POOL_TASK_BYTES = 192,
    /* Of each queue at one look, each of which may be a question; and looks between two answers. */
    LOOK_MESSAGES_MAX = 64,
    LOOKS_MAX = 3
};

static const int64_t TURN_NS = 100000;
static const int64_t SPIN_NS = 20000;
static const int64_t IO_INTERVAL_NS = 20000;
static const uint64_t TIMER_RESOLUTION_NS = 1024;
static const uint64_t CALIBRATION_NS = 5000000;

static void fill_in(struct kn_runtime_options *options)
{
    options->turn_tasks = options->turn_tasks ? options->turn_tasks : TURN_TASKS;
    options->turn_ns = options->turn_ns ? options->turn_ns : TURN_NS;
    options->turn_timers = options->turn_timers ? options->turn_timers : TURN_TIMERS;
    options->bus_messages = options->bus_messages ? options->bus_messages : BUS_MESSAGES;
    options->spin_ns = options->spin_ns ? options->spin_ns : SPIN_NS;
    options->io_interval_ns = options->io_interval_ns ? options->io_interval_ns : IO_INTERVAL_NS;
    options->timer_resolution_ns = options->timer_resolution_ns ? options->timer_resolution_ns : TIMER_RESOLUTION_NS;
    options->pool_task_bytes = options->pool_task_bytes ? options->pool_task_bytes : POOL_TASK_BYTES;
    /* Objects are lines of their own. */
    options->pool_task_bytes = (size_t)kn_align_up(options->pool_task_bytes, KN_CACHE_LINE);
}

static int check(const struct kn_runtime_options *options)
{
    if (options->pool_task_bytes < sizeof(struct kn_task) || options->turn_ns < 0 || options->io_interval_ns < 0 ||
        (options->trace_events > 0 && !kn_is_power_of_two(options->trace_events)) ||
        options->pool_tasks > SIZE_MAX / KN_BALANCE_CORES_MAX / options->pool_task_bytes ||
        options->clock > KN_REACTOR_CLOCK_COARSE)
        return -EINVAL;
    for (unsigned class = 0; class < KN_PRIORITY_CLASSES; class ++)
        if (options->order[class] > KN_ORDER_DEADLINE)
            return -EINVAL;
    return 0;
}

/* ---- one reactor ---- */

static int open_trace(struct kn_trace *trace, size_t events)
{
    if (events == 0)
        return 0;
    trace->events = calloc(events, sizeof(trace->events[0]));
    trace->mask = events - 1;
    return trace->events ? 0 : -ENOMEM;
}

static void apply_options(struct kn_reactor *reactor, const struct kn_runtime_options *options)
{
    reactor->turn_tasks = reactor->budget = options->turn_tasks;
    reactor->turn_timers = options->turn_timers;
    reactor->guard_turns = options->guard_turns;
    reactor->turn_ns = (uint64_t)options->turn_ns;
    reactor->io_interval_ns = (uint64_t)options->io_interval_ns;
    reactor->spin_ns = options->spin_ns;
    reactor->isolates_panics = options->isolate_panics;
    reactor->on_panic = options->on_panic;
    reactor->on_panic_context = options->on_panic_context;
    for (unsigned class = 0; class < KN_PRIORITY_CLASSES; class ++)
        reactor->queue.order[class] = (uint8_t)options->order[class];
}

static int open_reactor(struct kn_runtime *runtime, uint32_t index, const struct kn_placement_core *core)
{
    struct kn_reactor *reactor = aligned_alloc(KN_OWNER_STRIDE, sizeof(*reactor));
    if (!reactor)
        return -ENOMEM;
    memset(reactor, 0, sizeof(*reactor));
    runtime->reactors[index] = reactor;
    reactor->runtime = runtime;
    reactor->bus = &runtime->bus;
    reactor->index = index;
    reactor->unit = core ? (int)core->unit : -1;
    reactor->roles = core ? core->roles : KN_ROLE_CONTROL | KN_ROLE_IO | KN_ROLE_TIMER | KN_ROLE_TASK;
    apply_options(reactor, &runtime->options);
    reactor->balances = runtime->count > 1 && !runtime->options.no_balance;
    reactor->clock_mask = 15;
    /* Other cores' queues are a load each; with many of them not after each poll. */
    reactor->look_every = reactor->look_at_least = (uint32_t)(runtime->count + 7) / 8;
    kn_park_init(&reactor->park);
    kn_mailbox_init(&reactor->outside);
    kn_balance_seat_init(&reactor->seat, &runtime->balance, index, index + 1);
    /* Looks busy until it runs, so that nobody sends it work that would lie there. */
    kn_balance_publish(&reactor->seat, kn_balance_load_word(reactor->queue.movable, 0));
    reactor->returned = calloc(runtime->count, sizeof(reactor->returned[0]));
    reactor->askers = calloc(runtime->count * LOOK_MESSAGES_MAX * LOOKS_MAX, sizeof(reactor->askers[0]));
    if (!reactor->returned || !reactor->askers)
        return -ENOMEM;
    return open_trace(&reactor->trace, runtime->options.trace_events);
}

static void close_reactor(struct kn_reactor *reactor)
{
    free(reactor->trace.events);
    free(reactor->askers);
    free(reactor->returned);
    free(reactor);
}

/* ---- what they share ---- */

/* One piece of memory for all pools, one behind the other, so that an object's owner can be told by its address. */
static int open_pools(struct kn_runtime *runtime)
{
    size_t object_bytes = runtime->options.pool_task_bytes;
    size_t pool_bytes = runtime->options.pool_tasks * object_bytes;
    if (pool_bytes == 0)
        return 0;
    void *memory = mmap(NULL, pool_bytes * runtime->count, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return -ENOMEM;
    for (size_t i = 0; i < runtime->count; i++)
        runtime->reactors[i]->pool = (struct kn_task_pool){.memory = (uint8_t *)memory + i * pool_bytes,
                                                           .memory_bytes = pool_bytes,
                                                           .object_bytes = object_bytes,
                                                           .capacity = runtime->options.pool_tasks};
    return 0;
}

static void close_pools(struct kn_runtime *runtime)
{
    struct kn_task_pool *first = runtime->reactors[0] ? &runtime->reactors[0]->pool : NULL;
    if (first && first->memory)
        munmap(first->memory, first->memory_bytes * runtime->count);
}

static int set_clocks(struct kn_runtime *runtime)
{
    enum kn_reactor_clock clock = runtime->options.clock;
    struct kn_tsc_clock counter = {0};
    if (clock == KN_REACTOR_CLOCK_AUTO || clock == KN_REACTOR_CLOCK_COUNTER) {
        int result = kn_tsc_clock_calibrate(&counter, CALIBRATION_NS);
        if (result < 0 && clock == KN_REACTOR_CLOCK_COUNTER)
            return result;
        clock = result < 0 ? KN_REACTOR_CLOCK_MONOTONIC : KN_REACTOR_CLOCK_COUNTER;
    }
    for (size_t i = 0; i < runtime->count; i++)
        kn_reactor_set_clock(runtime->reactors[i], clock, &counter);
    return 0;
}

struct distances {
    const struct kn_topology *topology; /* NULL: all alike */
    const struct kn_placement *placement;
};

static uint32_t distance(void *context, uint32_t from, uint32_t to)
{
    const struct distances *distances = context;
    if (!distances->topology || !distances->placement)
        return 1;
    return (uint32_t)kn_topology_distance(distances->topology, distances->placement->cores[from].unit,
                                          distances->placement->cores[to].unit);
}

static int open_balance(struct kn_runtime *runtime, const struct kn_placement *placement)
{
    struct kn_topology topology;
    bool known = kn_topology_open(&topology) == 0;
    struct distances distances = {.topology = known ? &topology : NULL, .placement = placement};
    /* What is published of a queue's length ends there: longer turns are balanced like the longest it can tell. */
    uint32_t turn_tasks = runtime->options.turn_tasks;
    struct kn_balance_options options = {.turn_tasks =
                                             turn_tasks < KN_BALANCE_SATURATED ? turn_tasks : KN_BALANCE_SATURATED - 1};
    int result = kn_balance_open(&runtime->balance, (uint32_t)runtime->count, distance, &distances, &options);
    if (known)
        kn_topology_close(&topology);
    return result;
}

static int open_parts(struct kn_runtime *runtime, const struct kn_placement *placement)
{
    int result = open_balance(runtime, placement);
    if (result == 0)
        result = kn_bus_open(&runtime->bus, runtime->count, runtime->options.bus_messages);
    for (uint32_t i = 0; result == 0 && i < runtime->count; i++)
        result = open_reactor(runtime, i, placement ? &placement->cores[i] : NULL);
    for (uint32_t i = 0; result == 0 && i < runtime->count; i++)
        result = kn_reactor_open_timers(runtime->reactors[i], runtime->options.timer_resolution_ns);
    if (result == 0)
        result = open_pools(runtime);
    return result < 0 ? result : set_clocks(runtime);
}

/* Makes the runtime for a placement, or for a number of reactors without one. */
static int open_placed(struct kn_runtime **runtime, const struct kn_runtime_options *options,
                       const struct kn_placement *placement)
{
    struct kn_runtime *opened = aligned_alloc(KN_OWNER_STRIDE, kn_align_up(sizeof(*opened), KN_OWNER_STRIDE));
    if (!opened)
        return -ENOMEM;
    memset(opened, 0, sizeof(*opened));
    opened->options = *options;
    opened->options.placement = NULL; /* not kept */
    opened->count = placement ? placement->count : options->reactors;
    opened->reactors = calloc(opened->count, sizeof(struct kn_reactor *));
    int result = opened->reactors ? open_parts(opened, placement) : -ENOMEM;
    if (result < 0) {
        kn_runtime_close(opened);
        return result;
    }
    *runtime = opened;
    return 0;
}

static int open_automatic(struct kn_runtime **runtime, const struct kn_runtime_options *options)
{
    struct kn_topology topology;
    struct kn_placement placement = {0};
    int result = kn_topology_open(&topology);
    if (result < 0)
        return result;
    result = kn_placement_automatic(&placement, &topology, NULL);
    if (result == 0)
        result = open_placed(runtime, options, &placement);
    kn_placement_close(&placement);
    kn_topology_close(&topology);
    return result;
}

int kn_runtime_open(struct kn_runtime **runtime, const struct kn_runtime_options *options)
{
    static const struct kn_runtime_options defaults;
    struct kn_runtime_options filled = options ? *options : defaults;
    *runtime = NULL;
    fill_in(&filled);
    int result = check(&filled);
    if (result < 0)
        return result;
    if (filled.placement)
        return filled.placement->count > 0 ? open_placed(runtime, &filled, filled.placement) : -EINVAL;
    return filled.reactors > 0 ? open_placed(runtime, &filled, NULL) : open_automatic(runtime, &filled);
}

static void join_threads(struct kn_runtime *runtime)
{
    for (size_t i = 0; i < runtime->count; i++) {
        struct kn_reactor *reactor = runtime->reactors[i];
        if (reactor && reactor->has_thread)
            pthread_join(reactor->thread, NULL);
        if (reactor)
            reactor->has_thread = false;
    }
}

void kn_runtime_close(struct kn_runtime *runtime)
{
    if (!runtime)
        return;
    if (runtime->reactors) {
        kn_runtime_stop(runtime);
        join_threads(runtime);
        close_pools(runtime);
        for (size_t i = 0; i < runtime->count; i++) {
            if (!runtime->reactors[i])
                continue;
            kn_reactor_leave(runtime->reactors[i]);
            close_reactor(runtime->reactors[i]);
        }
    }
    free(runtime->reactors);
    kn_bus_close(&runtime->bus);
    kn_balance_close(&runtime->balance);
    free(runtime);
}

/* ---- threads ---- */

static void *run_thread(void *argument)
{
    struct kn_reactor *reactor = argument;
    char name[16];
    snprintf(name, sizeof(name), "reactor-%u", (unsigned)reactor->index % 100000);
    (void)pthread_setname_np(pthread_self(), name);
    if (reactor->unit >= 0 && !reactor->runtime->options.unpinned)
        (void)kn_topology_pin((uint32_t)reactor->unit); /* where it is not allowed it runs elsewhere */
    (void)kn_reactor_run(reactor);
    return NULL;
}

int kn_runtime_start(struct kn_runtime *runtime, size_t first)
{
    for (size_t i = first; i < runtime->count; i++) {
        struct kn_reactor *reactor = runtime->reactors[i];
        int result = -pthread_create(&reactor->thread, NULL, run_thread, reactor);
        if (result < 0) {
            kn_runtime_stop(runtime);
            join_threads(runtime);
            return result;
        }
        reactor->has_thread = true;
    }
    return 0;
}

void kn_runtime_stop(struct kn_runtime *runtime)
{
    struct kn_reactor *here = kn_reactor_of_thread;
    bool inside = here && here->runtime == runtime;
    if (inside)
        here->stopping = true;
    for (size_t i = 0; i < runtime->count; i++) {
        struct kn_reactor *reactor = runtime->reactors[i];
        if (!reactor || reactor == here)
            continue;
        /* Release pairs with the acquire in is_stopped (reactor.c). Where its queue is full, the word will do. */
        if (!inside || kn_bus_send(&runtime->bus, here->index, i, KN_BUS_STOP, NULL) < 0)
            atomic_store_explicit(&reactor->stop, true, memory_order_release);
        kn_park_notify(&reactor->park);
    }
}

size_t kn_runtime_count(const struct kn_runtime *runtime)
{
    return runtime->count;
}

struct kn_reactor *kn_runtime_reactor(const struct kn_runtime *runtime, size_t index)
{
    return runtime->reactors[index];
}

struct kn_reactor *kn_runtime_find(const struct kn_runtime *runtime, uint32_t roles, size_t from)
{
    for (size_t i = from; i < runtime->count; i++)
        if (runtime->reactors[i]->roles & roles)
            return runtime->reactors[i];
    return NULL;
}

const struct kn_bus *kn_runtime_bus(const struct kn_runtime *runtime)
{
    return &runtime->bus;
}

void kn_runtime_trace(struct kn_runtime *runtime, bool on)
{
    if (runtime->options.trace_events > 0)
        atomic_store_explicit(&runtime->tracing, on, memory_order_relaxed);
}
