/*
 * Spawns, wakes, cancels and joins very many tasks and timers on all reactors and from outside, and checks that none is
 * lost, run twice at once or run after its end.
 *
 * What takes part:
 * - cells, tasks in memory that stays, which anybody wakes, cancels, and spawns again when they are done. A cell notes
 *   how often it was woken by the time of its last poll: when all is quiet, that must be how often it was.
 * - drivers, a task on each reactor, that do so, make tasks from the pool and wait for their group, and arm and cancel
 *   timers, each other's too.
 * - threads without a reactor, that do so and join groups.
 * Work is done in rounds, each of which ends when all is quiet. A few runs of rounds have a runtime of their own, with
 * other options: a bus of one message, no spinning, other orders.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#include <kernel/reactor.h>

enum {
    ENDS_MAX = 16,   /* reactors, and threads outside */
    CELLS = 2048,    /* tasks that are there all the time */
    CHILDREN = 4,    /* tasks that a driver waits for */
    POOL_TASKS = 64, /* more than can be in use or on the way back */
    TIMERS = 8,      /* of each driver */
    JOINED = 8,      /* tasks that a thread joins */
    BATCH = 32,      /* operations of a driver in one poll */
    DRIVER_CLASS = 3,
    ROUNDS_EACH = 8,      /* with one runtime */
    QUIET_DIVISOR = 2000, /* rounds in which reactors sleep have this part of the operations */
    STUCK_SECONDS = 60    /* without any operation, until the program gives up */
};

static const uint64_t TIMER_SPAN_NS = 100000;

/* What can be wrong. */
enum fault {
    TWICE_AT_ONCE,
    AFTER_ITS_END,
    MOVED,
    ENDED_TWICE,
    WAKE_LOST,
    JOIN_WRONG,
    TIMER_EARLY,
    MEMORY_LOST,
    FAULTS
};

static const char *const FAULT_NAMES[FAULTS] = {"polled twice at once", "polled after its end", "moved though pinned",
                                                "ended twice",          "wake-up lost",         "group heard wrongly",
                                                "timer early",          "memory lost"};

static _Atomic uint64_t faults[FAULTS];

static void check(bool is_right, enum fault fault)
{
    if (!is_right)
        atomic_fetch_add_explicit(&faults[fault], 1, memory_order_relaxed);
}

/* How often something was wrong. */
static uint64_t count_faults(void)
{
    uint64_t wrong = 0;
    for (unsigned i = 0; i < FAULTS; i++)
        wrong += atomic_load_explicit(&faults[i], memory_order_relaxed);
    return wrong;
}

/* What was done, each written by many now and then. */
struct tally {
    _Atomic uint64_t operations;
    _Atomic uint64_t wakes;
    _Atomic uint64_t cancels;
    _Atomic uint64_t spawns;
    _Atomic uint64_t joins;
    _Atomic uint64_t timers;
};

static struct tally tally;

static uint64_t next_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state >> 33;
}

/* ---- cells ---- */

struct cell {
    struct kn_task task;
    KN_OWNED _Atomic uint64_t asked; /* wake-ups */
    _Atomic uint64_t seen;           /* of these, at the last poll */
    _Atomic uint32_t inside;         /* polls under way */
    _Atomic bool is_alive;           /* taken by who spawns it, given up by its end */
    /* The life's own: what is wrong with their order is seen by the thread sanitizer. */
    struct kn_reactor *place;
    uint64_t random;
    uint64_t lives;
    uint64_t ends;
    bool is_living;
};

static struct cell cells[CELLS];

/* What each poll begins with, and a cancellation. */
static void cell_enter(struct cell *cell, const struct kn_reactor *reactor)
{
    check(atomic_fetch_add_explicit(&cell->inside, 1, memory_order_relaxed) == 0, TWICE_AT_ONCE);
    check(cell->is_living, AFTER_ITS_END);
    check(!(cell->task.flags & KN_TASK_PINNED) || cell->place == reactor, MOVED);
    uint64_t asked = atomic_load_explicit(&cell->asked, memory_order_relaxed);
    atomic_store_explicit(&cell->seen, asked, memory_order_relaxed);
}

static enum kn_task_status cell_answer(struct cell *cell, unsigned one_of)
{
    uint64_t random = next_random(&cell->random);
    atomic_fetch_sub_explicit(&cell->inside, 1, memory_order_relaxed);
    if (random % one_of == 0)
        return KN_TASK_DONE;
    return random / one_of % 16 == 0 ? KN_TASK_YIELD : KN_TASK_PENDING;
}

static enum kn_task_status cell_poll(struct kn_task *task, struct kn_reactor *reactor)
{
    struct cell *cell = KN_CONTAINER_OF(task, struct cell, task);
    cell_enter(cell, reactor);
    return cell_answer(cell, 256);
}

static enum kn_task_status cell_cancelled(struct kn_task *task, struct kn_reactor *reactor)
{
    struct cell *cell = KN_CONTAINER_OF(task, struct cell, task);
    cell_enter(cell, reactor);
    return cell_answer(cell, 2);
}

static void cell_release(struct kn_task *task, struct kn_reactor *reactor)
{
    struct cell *cell = KN_CONTAINER_OF(task, struct cell, task);
    (void)reactor;
    check(cell->is_living && ++cell->ends == cell->lives, ENDED_TWICE);
    cell->is_living = false;
    /* Release pairs with the acquire in cell_spawn. */
    atomic_store_explicit(&cell->is_alive, false, memory_order_release);
}

static const struct kn_task_type CELL = {
    .name = "cell", .poll = cell_poll, .cancelled = cell_cancelled, .release = cell_release};

/* Spawns a cell that is done. Whether it was. */
static bool cell_spawn(struct cell *cell, struct kn_runtime *runtime, uint64_t random)
{
    /* Acquire pairs with the release in cell_release: the last life is over. */
    if (atomic_load_explicit(&cell->is_alive, memory_order_relaxed) ||
        atomic_exchange_explicit(&cell->is_alive, true, memory_order_acquire))
        return false;
    cell->place = kn_runtime_reactor(runtime, random % kn_runtime_count(runtime));
    cell->random = random;
    cell->lives++;
    cell->is_living = true;
    kn_task_init(&cell->task, &CELL, (unsigned)(random >> 8) % KN_PRIORITY_CLASSES);
    cell->task.deadline_ns = random >> 12 & 255;
    if (random >> 16 & 1)
        cell->task.flags |= KN_TASK_PINNED;
    kn_task_spawn(&cell->task, cell->place);
    return true;
}

static uint64_t cell_wake(struct cell *cell)
{
    uint64_t asked = atomic_fetch_add_explicit(&cell->asked, 1, memory_order_relaxed) + 1;
    kn_task_wake(&cell->task);
    return asked;
}

/* Whether it is done, or was polled after wake-up number `asked`. */
static bool cell_has_seen(const struct cell *cell, uint64_t asked)
{
    return atomic_load_explicit(&cell->seen, memory_order_relaxed) >= asked ||
           !atomic_load_explicit(&cell->is_alive, memory_order_relaxed);
}

/* ---- what drivers and threads both do ---- */

/* One that acts: its chance, and what it did since it last told. */
struct actor {
    struct kn_runtime *runtime;
    uint64_t random;
    uint64_t left; /* operations of this round */
    uint64_t wakes;
    uint64_t cancels;
    uint64_t spawns;
    uint64_t joins;
    uint64_t timers;
};

static void tell(struct actor *actor)
{
    uint64_t operations = actor->wakes + actor->cancels + actor->spawns + actor->joins + actor->timers;
    atomic_fetch_add_explicit(&tally.operations, operations, memory_order_relaxed);
    atomic_fetch_add_explicit(&tally.wakes, actor->wakes, memory_order_relaxed);
    atomic_fetch_add_explicit(&tally.cancels, actor->cancels, memory_order_relaxed);
    atomic_fetch_add_explicit(&tally.spawns, actor->spawns, memory_order_relaxed);
    atomic_fetch_add_explicit(&tally.joins, actor->joins, memory_order_relaxed);
    atomic_fetch_add_explicit(&tally.timers, actor->timers, memory_order_relaxed);
    actor->left -= operations < actor->left ? operations : actor->left;
    actor->wakes = actor->cancels = actor->spawns = actor->joins = actor->timers = 0;
}

/* Does something to a cell. */
static void act_on_cell(struct actor *actor)
{
    uint64_t random = next_random(&actor->random);
    struct cell *cell = &cells[random % CELLS];
    if (cell_spawn(cell, actor->runtime, next_random(&actor->random))) {
        actor->spawns++;
    } else if (random / CELLS % 64 == 0) {
        kn_task_cancel(&cell->task);
        actor->cancels++;
    } else {
        (void)cell_wake(cell);
        actor->wakes++;
    }
}

/* ---- drivers ---- */

struct timer {
    struct kn_timer timer;
    struct kn_reactor *place; /* where it is armed, always */
    _Atomic uint64_t armed;
    _Atomic uint64_t over; /* fired or cancelled */
};

struct driver {
    struct kn_task task;
    struct actor actor;
    struct kn_task_group children;
    _Atomic uint32_t children_done;
    bool waits;
    struct timer timers[TIMERS];
};

static struct driver drivers[ENDS_MAX];

struct child {
    struct kn_task task;
    struct driver *parent;
    uint32_t yields;
    uint32_t wakes;
};

static enum kn_task_status child_poll(struct kn_task *task, struct kn_reactor *reactor)
{
    struct child *child = KN_CONTAINER_OF(task, struct child, task);
    (void)reactor;
    if (child->yields > 0) {
        child->yields--;
        return KN_TASK_YIELD;
    }
    if (child->wakes > 0) {
        child->wakes--;
        kn_task_wake(task);
        return KN_TASK_PENDING;
    }
    atomic_fetch_add_explicit(&child->parent->children_done, 1, memory_order_relaxed);
    return KN_TASK_DONE;
}

static const struct kn_task_type CHILD = {.name = "child", .poll = child_poll};

static void make_children(struct driver *driver, struct kn_reactor *reactor)
{
    struct actor *actor = &driver->actor;
    kn_task_group_init(&driver->children, CHILDREN);
    atomic_store_explicit(&driver->children_done, 0, memory_order_relaxed);
    for (unsigned i = 0; i < CHILDREN; i++) {
        uint64_t random = next_random(&actor->random);
        struct child *child = kn_reactor_task_acquire(reactor);
        if (!child) { /* all on their way back, which ends */
            kn_task_group_done(&driver->children);
            atomic_fetch_add_explicit(&driver->children_done, 1, memory_order_relaxed);
            continue;
        }
        kn_task_init(&child->task, &CHILD, DRIVER_CLASS - 1);
        child->task.group = &driver->children;
        child->parent = driver;
        child->yields = random & 1;
        child->wakes = random >> 1 & 1;
        kn_task_spawn(&child->task,
                      kn_runtime_reactor(actor->runtime, (random >> 2) % kn_runtime_count(actor->runtime)));
        actor->spawns++;
    }
    actor->joins++;
    driver->waits = true;
}

static void timer_expired(struct kn_timer *kn_timer, void *owner)
{
    struct timer *timer = KN_CONTAINER_OF(kn_timer, struct timer, timer);
    check(kn_reactor_now_ns(owner) >= kn_timer_deadline_ns(kn_timer), TIMER_EARLY);
    atomic_fetch_add_explicit(&timer->over, 1, memory_order_relaxed);
}

static bool timer_is_over(struct timer *timer)
{
    return atomic_load_explicit(&timer->over, memory_order_relaxed) ==
               atomic_load_explicit(&timer->armed, memory_order_relaxed) &&
           kn_timer_is_idle(&timer->timer);
}

/* Arms a timer of its own, or cancels anybody's. */
static void act_on_timer(struct driver *driver, struct kn_reactor *reactor)
{
    struct actor *actor = &driver->actor;
    uint64_t random = next_random(&actor->random);
    struct timer *timer = &driver->timers[random % TIMERS];
    if (timer_is_over(timer)) {
        atomic_fetch_add_explicit(&timer->armed, 1, memory_order_relaxed);
        uint64_t deadline_ns = kn_reactor_now_ns(reactor) + next_random(&actor->random) % TIMER_SPAN_NS;
        if (kn_reactor_arm(timer->place, &timer->timer, deadline_ns) < 0)
            atomic_fetch_sub_explicit(&timer->armed, 1, memory_order_relaxed); /* the bus is full */
        else
            actor->timers++;
        return;
    }
    timer = &drivers[random / TIMERS % kn_runtime_count(actor->runtime)].timers[random % TIMERS];
    if (kn_reactor_cancel(&timer->timer) == 0)
        atomic_fetch_add_explicit(&timer->over, 1, memory_order_relaxed);
    actor->timers++;
}

/* Whether there are children still; the driver is woken when there are none any more. */
static bool has_children(struct driver *driver)
{
    if (!driver->waits)
        return false;
    if (kn_task_group_wait(&driver->children, &driver->task) < 0)
        return true;
    check(atomic_load_explicit(&driver->children_done, memory_order_relaxed) == CHILDREN, JOIN_WRONG);
    driver->waits = false;
    return false;
}

static void act(struct driver *driver, struct kn_reactor *reactor)
{
    uint64_t random = next_random(&driver->actor.random) % 256;
    if (random == 0 && !driver->waits)
        make_children(driver, reactor);
    else if (random < 10)
        act_on_timer(driver, reactor);
    else
        act_on_cell(&driver->actor);
}

static enum kn_task_status driver_poll(struct kn_task *task, struct kn_reactor *reactor)
{
    struct driver *driver = KN_CONTAINER_OF(task, struct driver, task);
    struct actor *actor = &driver->actor;
    bool is_over = actor->left == 0;
    for (unsigned i = 0; i < BATCH && !is_over; i++)
        act(driver, reactor);
    tell(actor);
    /* Most of the time it goes on while it has children. */
    if (has_children(driver))
        return is_over || next_random(&actor->random) % 8 == 0 ? KN_TASK_PENDING : KN_TASK_YIELD;
    for (unsigned i = 0; i < TIMERS && is_over; i++)
        is_over = timer_is_over(&driver->timers[i]);
    return is_over ? KN_TASK_DONE : KN_TASK_YIELD;
}

static const struct kn_task_type DRIVER = {.name = "driver", .poll = driver_poll};

static void start_drivers(struct kn_runtime *runtime, struct kn_task_group *group, uint64_t operations)
{
    size_t count = kn_runtime_count(runtime);
    kn_task_group_init(group, count);
    for (size_t i = 0; i < count; i++) {
        struct driver *driver = &drivers[i];
        kn_task_create(&driver->task, &DRIVER, DRIVER_CLASS);
        driver->task.flags = KN_TASK_PINNED;
        driver->task.group = group;
        driver->actor.runtime = runtime;
        driver->actor.left = operations;
        driver->actor.random += i + 1;
        driver->waits = false;
        kn_task_spawn(&driver->task, kn_runtime_reactor(runtime, i));
    }
}

/* ---- threads without a reactor ---- */

struct outsider {
    struct actor actor;
    bool is_quiet;
    pthread_t thread;
    struct kn_task_group group;
    struct joined {
        struct kn_task task;
        uint64_t polls;
    } joined[JOINED];
};

static struct outsider outsiders[ENDS_MAX];

static enum kn_task_status joined_poll(struct kn_task *task, struct kn_reactor *reactor)
{
    struct joined *joined = KN_CONTAINER_OF(task, struct joined, task);
    (void)reactor;
    return joined->polls++ % 2 == 0 ? KN_TASK_YIELD : KN_TASK_DONE;
}

static const struct kn_task_type JOINED_TYPE = {.name = "joined", .poll = joined_poll};

/* Spawns some tasks and joins their group, then says that all of it is free. */
static void join_some(struct outsider *outsider)
{
    struct actor *actor = &outsider->actor;
    kn_task_group_init(&outsider->group, JOINED);
    for (unsigned i = 0; i < JOINED; i++) {
        struct joined *joined = &outsider->joined[i];
        kn_task_create(&joined->task, &JOINED_TYPE, i % (DRIVER_CLASS + 1));
        joined->polls = 0;
        joined->task.group = &outsider->group;
        kn_task_spawn(&joined->task, kn_runtime_reactor(actor->runtime, next_random(&actor->random) %
                                                                            kn_runtime_count(actor->runtime)));
    }
    (void)kn_task_group_join(&outsider->group, NULL);
    for (unsigned i = 0; i < JOINED; i++)
        check(outsider->joined[i].polls == 2, JOIN_WRONG);
    memset(&outsider->group, 0xff, sizeof(outsider->group));
    actor->spawns += JOINED;
    actor->joins++;
}

/* Wakes a cell, and waits until it was polled: the reactors sleep in between. */
static void echo(struct outsider *outsider)
{
    struct actor *actor = &outsider->actor;
    struct cell *cell = &cells[next_random(&actor->random) % CELLS];
    if (cell_spawn(cell, actor->runtime, next_random(&actor->random))) {
        actor->spawns++;
        return;
    }
    uint64_t asked = cell_wake(cell);
    actor->wakes++;
    while (!cell_has_seen(cell, asked))
        sched_yield();
}

static void *run_outsider(void *argument)
{
    struct outsider *outsider = argument;
    while (outsider->actor.left > 0) {
        if (next_random(&outsider->actor.random) % 32 == 0)
            join_some(outsider);
        for (unsigned i = 0; i < BATCH; i++) {
            if (outsider->is_quiet)
                echo(outsider);
            else
                act_on_cell(&outsider->actor);
        }
        tell(&outsider->actor);
    }
    return NULL;
}

static bool start_outsiders(struct kn_runtime *runtime, size_t count, uint64_t operations, bool is_quiet)
{
    for (size_t i = 0; i < count; i++) {
        outsiders[i].actor.runtime = runtime;
        outsiders[i].actor.left = operations;
        outsiders[i].actor.random += ENDS_MAX + i;
        outsiders[i].is_quiet = is_quiet;
        if (pthread_create(&outsiders[i].thread, NULL, run_outsider, &outsiders[i]) != 0)
            return false;
    }
    return true;
}

/* ---- rounds ---- */

struct soak {
    uint64_t operations;
    size_t reactors;
    size_t outsiders;
};

static void nap(void)
{
    const struct timespec duration = {.tv_nsec = 200000};
    (void)nanosleep(&duration, NULL);
}

/* Waits until every cell that lives was polled after its last wake-up; not for ever. */
static void settle(void)
{
    uint64_t end_ns = kn_clock_monotonic_ns() + (uint64_t)STUCK_SECONDS * 1000000000;
    for (size_t i = 0; i < CELLS; i++) {
        uint64_t asked = atomic_load_explicit(&cells[i].asked, memory_order_relaxed);
        while (!cell_has_seen(&cells[i], asked) && kn_clock_monotonic_ns() < end_ns)
            nap();
        check(cell_has_seen(&cells[i], asked), WAKE_LOST);
    }
}

/* Waits until all memory is back in its pools; not for ever. */
static void settle_pools(struct kn_runtime *runtime)
{
    uint64_t end_ns = kn_clock_monotonic_ns() + (uint64_t)STUCK_SECONDS * 1000000000;
    for (size_t i = 0; i < kn_runtime_count(runtime); i++) {
        const struct kn_reactor_counters *counters = kn_reactor_counters(kn_runtime_reactor(runtime, i));
        while (kn_counter_read(&counters->pool_used) != 0 && kn_clock_monotonic_ns() < end_ns)
            nap();
        check(kn_counter_read(&counters->pool_used) == 0, MEMORY_LOST);
    }
}

/* One round. Whether its threads could be made. */
static bool run_round(struct kn_runtime *runtime, const struct soak *soak, uint64_t operations, bool is_quiet)
{
    size_t actors = is_quiet ? soak->outsiders : soak->outsiders + soak->reactors;
    uint64_t each = (is_quiet ? operations / QUIET_DIVISOR : operations) / actors + 1;
    struct kn_task_group group;
    if (!is_quiet)
        start_drivers(runtime, &group, each);
    bool started = start_outsiders(runtime, soak->outsiders, each, is_quiet);
    for (size_t i = 0; started && i < soak->outsiders; i++)
        (void)pthread_join(outsiders[i].thread, NULL);
    if (!is_quiet)
        (void)kn_task_group_join(&group, NULL);
    settle();
    settle_pools(runtime);
    return started;
}

/* What the runtimes had in common to report. */
struct totals {
    uint64_t polls;
    uint64_t moved;
    uint64_t parks;
    uint64_t bus_full;
};

static void add_counters(struct totals *totals, struct kn_runtime *runtime)
{
    for (size_t i = 0; i < kn_runtime_count(runtime); i++) {
        const struct kn_reactor_counters *counters = kn_reactor_counters(kn_runtime_reactor(runtime, i));
        totals->polls += kn_counter_read(&counters->polls);
        totals->moved += kn_counter_read(&counters->tasks_taken);
        totals->parks += kn_counter_read(&counters->parks);
        totals->bus_full += kn_counter_read(&counters->bus_full);
    }
}

static void prepare(struct kn_runtime *runtime)
{
    for (size_t i = 0; i < CELLS; i++) {
        kn_task_create(&cells[i].task, &CELL, 0);
        atomic_store_explicit(&cells[i].is_alive, false, memory_order_relaxed);
        cells[i].is_living = false;
        cells[i].ends = cells[i].lives;
        (void)cell_spawn(&cells[i], runtime, i * 65537);
    }
    for (size_t i = 0; i < kn_runtime_count(runtime); i++)
        for (size_t j = 0; j < TIMERS; j++) {
            struct timer *timer = &drivers[i].timers[j];
            kn_timer_init(&timer->timer, timer_expired, KN_TIMER_SHARED);
            timer->place = kn_runtime_reactor(runtime, (i + j) % kn_runtime_count(runtime));
        }
}

/* A runtime for a few rounds. 0 or what went wrong. */
static int run_rounds(const struct soak *soak, unsigned number, uint64_t operations, struct totals *totals)
{
    static const uint32_t bus_messages[] = {256, 1, 8};
    const struct kn_runtime_options options = {.reactors = soak->reactors,
                                               .pool_tasks = POOL_TASKS,
                                               .guard_turns = 4,
                                               .bus_messages = bus_messages[number % 3],
                                               .spin_ns = number % 2 == 1 ? -1 : 0,
                                               .order = {[1] = KN_ORDER_LIFO, [5] = KN_ORDER_DEADLINE}};
    struct kn_runtime *runtime;
    int result = kn_runtime_open(&runtime, &options);
    if (result < 0)
        return result;
    prepare(runtime);
    result = kn_runtime_start(runtime, 0);
    for (unsigned round = 0; result == 0 && round < ROUNDS_EACH && count_faults() == 0; round++)
        if (!run_round(runtime, soak, operations / ROUNDS_EACH, round % 4 == 3))
            result = -EAGAIN;
    add_counters(totals, runtime);
    kn_runtime_close(runtime);
    return result;
}

/* ---- the program ---- */

static const char HELP[] =
    "Usage: soak_task [OPTION]...\n"
    "Spawns, wakes, cancels and joins tasks and timers, and fails if any is lost, run twice at once or after its end.\n"
    "\n"
    "      --operations N   spawns, wake-ups, cancellations, joins and timers, all together (1000000000)\n"
    "      --reactors N     reactors: 1 to 16 (2)\n"
    "      --outside N      threads without a reactor: 1 to 16 (1)\n"
    "      --help           this text\n"
    "\n"
    "Prints what it did, and the progress on standard error. Exits with 1 if anything was wrong.\n";

static bool read_number(const char *text, uint64_t least, uint64_t most, uint64_t *number)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (end == text || *end != '\0' || *text == '-' || errno != 0 || value < least || value > most)
        return false;
    *number = value;
    return true;
}

static bool read_option(struct soak *soak, int option, const char *value)
{
    uint64_t number = 0;
    if (option == 'n')
        return read_number(value, 1, UINT64_C(1) << 60, &soak->operations);
    if (!read_number(value, 1, ENDS_MAX, &number))
        return false;
    *(option == 'r' ? &soak->reactors : &soak->outsiders) = (size_t)number;
    return true;
}

/* Says how far it has come, until it is over or nothing happens any more. */
struct reporter {
    _Atomic bool is_over;
    uint64_t expected;
};

static void *report(void *argument)
{
    struct reporter *reporter = argument;
    const struct timespec tenth = {.tv_nsec = 100000000};
    uint64_t before = 0;
    unsigned still = 0;
    for (unsigned tick = 1; !atomic_load_explicit(&reporter->is_over, memory_order_relaxed); tick++) {
        (void)nanosleep(&tenth, NULL);
        uint64_t operations = atomic_load_explicit(&tally.operations, memory_order_relaxed);
        still = operations == before ? still + 1 : 0;
        before = operations;
        if (still > 10 * 2 * STUCK_SECONDS) { /* longer than any wait that ends by itself */
            fprintf(stderr, "tasks: NOTHING HAPPENS ANY MORE after %" PRIu64 " operations\n", operations);
            _Exit(EXIT_FAILURE);
        }
        if (tick % 50 == 0)
            fprintf(stderr, "tasks: %" PRIu64 " of %" PRIu64 " (%.0f %%)\n", operations, reporter->expected,
                    100.0 * (double)operations / (double)reporter->expected);
    }
    return NULL;
}

/* Says what was done and what was wrong with it. Whether nothing was. */
static bool conclude(const struct totals *totals, uint64_t duration_ns)
{
    uint64_t wrong = count_faults();
    printf("tasks: %" PRIu64 " operations in %.1f s: %" PRIu64 " wakes, %" PRIu64 " cancels, %" PRIu64
           " spawns, %" PRIu64 " joins, %" PRIu64 " timers\n",
           tally.operations, (double)duration_ns * 1e-9, tally.wakes, tally.cancels, tally.spawns, tally.joins,
           tally.timers);
    printf("tasks: %" PRIu64 " polls, %" PRIu64 " moved, %" PRIu64 " parks, bus full %" PRIu64 " times\n",
           totals->polls, totals->moved, totals->parks, totals->bus_full);
    for (unsigned i = 0; i < FAULTS; i++)
        if (faults[i] > 0)
            printf("tasks: %s: %" PRIu64 " TIMES\n", FAULT_NAMES[i], faults[i]);
    printf("tasks: %s\n", wrong == 0 ? "every one polled when woken, and ended once" : "NOT AS THEY SHOULD BE");
    return wrong == 0;
}

static bool run(const struct soak *soak)
{
    struct reporter reporter = {.expected = soak->operations};
    struct totals totals = {0};
    pthread_t thread;
    bool is_reported = pthread_create(&thread, NULL, report, &reporter) == 0;
    uint64_t start_ns = kn_clock_monotonic_ns();
    uint64_t done;
    int result = 0;
    for (unsigned number = 0; result == 0 && count_faults() == 0 && (done = tally.operations) < soak->operations;
         number++) {
        /* At least three runtimes, one of each kind; then as much as one does in some seconds. */
        uint64_t part = (soak->operations + 2) / 3 < 50000000 ? (soak->operations + 2) / 3 : 50000000;
        result = run_rounds(soak, number, part < soak->operations - done ? part : soak->operations - done, &totals);
    }
    atomic_store_explicit(&reporter.is_over, true, memory_order_relaxed);
    if (is_reported)
        (void)pthread_join(thread, NULL);
    bool is_right = conclude(&totals, kn_clock_monotonic_ns() - start_ns);
    if (result < 0)
        fprintf(stderr, "soak_task: %s\n", strerror(-result));
    return is_right && result == 0;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"operations", required_argument, NULL, 'n'},
                                            {"reactors", required_argument, NULL, 'r'},
                                            {"outside", required_argument, NULL, 'o'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    struct soak soak = {.operations = UINT64_C(1000000000), .reactors = 2, .outsiders = 1};
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'h') {
            fputs(HELP, stdout);
            return EX_OK;
        }
        if (option == '?' || !read_option(&soak, option, optarg)) {
            fprintf(stderr, "soak_task: %s; see --help\n", option == '?' ? "that is no option" : optarg);
            return EX_USAGE;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "soak_task: %s: no arguments, please; see --help\n", argv[optind]);
        return EX_USAGE;
    }
    return run(&soak) ? EX_OK : EXIT_FAILURE;
}
