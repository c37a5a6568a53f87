/*
 * From the wake-up of an urgent task to its poll, on a core that has nothing else to do, and on one that has.
 *
 * The woken task is of class 0; what loads its core are tasks of class 7 that yield without end. All stay on their
 * reactor, so that the other one, which the caller turns by hand, has nothing to do but to wake.
 */
#include "task_cells.h"

#include <errno.h>
#include <stdlib.h>

#include <kernel/kernel.h>

enum { LOADS = 256, CLASS_WOKEN = 0, CLASS_LOAD = 7 };

/* A yielding task keeps the core for 300 to 1000 ns at a time. */
static const uint64_t LOAD_LEAST_NS = 300;
static const uint64_t LOAD_SPREAD_NS = 700;
/* Between two wake-ups pass 5 to 25 us, so that they meet the load at any point. */
static const uint64_t GAP_LEAST_NS = 5000;
static const uint64_t GAP_SPREAD_NS = 20000;
/* An idle reactor does not fall asleep between two of them. */
static const int64_t SPIN_NS = 1000000;

struct load {
    struct kn_task task;
    struct task_wake *wake;
    uint64_t duration_ns;
};

struct task_wake {
    /* The woken task, its timer and what it writes. */
    KN_OWNED struct kn_task woken;
    struct kn_timer timer;
    _Atomic uint64_t polled_ns; /* when; 0: not yet */
    double *latency_ns;         /* where it notes how late its timer was; NULL: woken by a core */
    size_t left;
    uint64_t random;
    struct kn_task_group finished;
    /* The load. */
    KN_OWNED struct kn_task spawner;
    _Atomic bool is_loading;
    struct kn_task_group loads;
    struct load load[LOADS];
    /* Written before all that. */
    KN_OWNED struct kn_runtime *runtime;
    struct kn_reactor *here;
    struct kn_reactor *there;
};

static uint64_t draw_below(uint64_t *random, uint64_t limit)
{
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    return *random % limit;
}

/* Takes a turn of the caller's reactor. */
static void turn(struct kn_reactor *reactor)
{
    if (kn_reactor_turn(reactor, 0) < 0)
        abort();
}

/* ---- the load ---- */

static enum kn_task_status poll_load(struct kn_task *task, struct kn_reactor *reactor)
{
    struct load *load = KN_CONTAINER_OF(task, struct load, task);
    (void)reactor;
    task_spin(load->duration_ns);
    return atomic_load_explicit(&load->wake->is_loading, memory_order_relaxed) ? KN_TASK_YIELD : KN_TASK_DONE;
}

static enum kn_task_status poll_spawner(struct kn_task *task, struct kn_reactor *reactor)
{
    static const struct kn_task_type load_type = {.name = "load", .poll = poll_load};
    struct task_wake *wake = KN_CONTAINER_OF(task, struct task_wake, spawner);
    for (size_t i = 0; i < LOADS; i++) {
        struct load *load = &wake->load[i];
        kn_task_create(&load->task, &load_type, CLASS_LOAD);
        load->task.flags |= KN_TASK_PINNED;
        load->task.group = &wake->loads;
        kn_task_spawn(&load->task, reactor);
    }
    return KN_TASK_DONE;
}

/* Turns the caller's reactor until all of a group are done. */
static void await_group(struct task_wake *wake, struct kn_task_group *group)
{
    const struct kn_wait look = {.strategy = KN_WAIT_PAUSE, .timeout_ns = 1000};
    while (kn_task_group_join(group, &look) < 0)
        turn(wake->here);
}

static void begin_load(struct task_wake *wake)
{
    static const struct kn_task_type spawner_type = {.name = "load spawner", .poll = poll_spawner};
    atomic_store_explicit(&wake->is_loading, true, memory_order_relaxed);
    kn_task_group_init(&wake->loads, LOADS + 1);
    kn_task_create(&wake->spawner, &spawner_type, CLASS_LOAD);
    wake->spawner.flags |= KN_TASK_PINNED;
    wake->spawner.group = &wake->loads;
    kn_task_spawn(&wake->spawner, wake->there);
    turn(wake->here);
}

static void end_load(struct task_wake *wake)
{
    atomic_store_explicit(&wake->is_loading, false, memory_order_relaxed);
    await_group(wake, &wake->loads);
}

/* ---- the woken task ---- */

static enum kn_task_status poll_woken(struct kn_task *task, struct kn_reactor *reactor)
{
    struct task_wake *wake = KN_CONTAINER_OF(task, struct task_wake, woken);
    if (!wake->latency_ns) {
        /* Release pairs with the acquire in wake_by_core. */
        atomic_store_explicit(&wake->polled_ns, task_clock_ns(), memory_order_release);
        return KN_TASK_PENDING;
    }
    uint64_t now_ns = kn_clock_monotonic_ns();
    if (kn_timer_deadline_ns(&wake->timer) > 0) /* else it is woken for the first time, to arm it */
        wake->latency_ns[--wake->left] = (double)now_ns - (double)kn_timer_deadline_ns(&wake->timer);
    if (wake->left == 0)
        kn_task_group_done(&wake->finished);
    else
        (void)kn_reactor_arm(reactor, &wake->timer, now_ns + GAP_LEAST_NS + draw_below(&wake->random, GAP_SPREAD_NS));
    return KN_TASK_PENDING;
}

static const struct kn_task_type woken_type = {.name = "woken", .poll = poll_woken};

static void await_poll(struct task_wake *wake)
{
    while (atomic_load_explicit(&wake->polled_ns, memory_order_acquire) == 0)
        kn_cpu_relax();
}

static void wake_by_core(struct task_wake *wake, double *latency_ns, size_t count)
{
    wake->latency_ns = NULL;
    for (size_t i = 0; i < count; i++) {
        task_spin(GAP_LEAST_NS + draw_below(&wake->random, GAP_SPREAD_NS));
        atomic_store_explicit(&wake->polled_ns, 0, memory_order_relaxed);
        uint64_t start_ns = task_clock_ns();
        kn_task_wake(&wake->woken);
        await_poll(wake);
        uint64_t end_ns = atomic_load_explicit(&wake->polled_ns, memory_order_relaxed);
        latency_ns[i] = (double)end_ns - (double)start_ns;
    }
}

static void wake_by_timer(struct task_wake *wake, double *latency_ns, size_t count)
{
    wake->latency_ns = latency_ns;
    wake->left = count;
    kn_task_group_init(&wake->finished, 1);
    kn_timer_init_waking(&wake->timer, &wake->woken, 0);
    kn_task_wake(&wake->woken);
    await_group(wake, &wake->finished);
}

void task_wake_measure(struct task_wake *wake, enum task_waker waker, bool loaded, double *latency_ns, size_t count)
{
    /* From now on this thread is the first reactor. */
    turn(wake->here);
    if (loaded)
        begin_load(wake);
    if (waker == TASK_WAKER_CORE)
        wake_by_core(wake, latency_ns, count);
    else
        wake_by_timer(wake, latency_ns, count);
    if (loaded)
        end_load(wake);
}

/* ---- opening ---- */

static void init_tasks(struct task_wake *wake)
{
    wake->random = UINT64_C(0x9e3779b97f4a7c15);
    for (size_t i = 0; i < LOADS; i++) {
        wake->load[i].wake = wake;
        wake->load[i].duration_ns = LOAD_LEAST_NS + draw_below(&wake->random, LOAD_SPREAD_NS);
    }
    kn_task_create(&wake->woken, &woken_type, CLASS_WOKEN);
    wake->woken.flags |= KN_TASK_PINNED;
    kn_task_spawn(&wake->woken, wake->there);
    await_poll(wake);
}

int task_wake_open(struct task_wake **wake, const struct bench_options *options)
{
    struct kn_placement_core cores[] = {{(uint32_t)options->cores[0], KN_ROLE_CONTROL},
                                        {(uint32_t)options->cores[1], KN_ROLE_TASK | KN_ROLE_TIMER}};
    const struct kn_placement placement = {.cores = cores, .count = 2};
    const struct kn_runtime_options runtime_options = {.placement = &placement, .spin_ns = SPIN_NS};
    struct task_wake *opened = bench_allocate(sizeof(*opened));
    int result = kn_runtime_open(&opened->runtime, &runtime_options);
    if (result == 0)
        result = kn_runtime_start(opened->runtime, 1);
    if (result < 0) {
        fprintf(stderr, "bench: task: the wake-ups cannot be measured here: error %d\n", -result);
        kn_runtime_close(opened->runtime);
        free(opened);
        return result;
    }
    opened->here = kn_runtime_reactor(opened->runtime, 0);
    opened->there = kn_runtime_reactor(opened->runtime, 1);
    init_tasks(opened);
    *wake = opened;
    return 0;
}

void task_wake_close(struct task_wake *wake)
{
    if (!wake)
        return;
    kn_runtime_close(wake->runtime);
    free(wake);
}
