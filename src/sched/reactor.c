/*
 * The turn of a reactor.
 */
#include <kernel/reactor.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "reactor_internal.h"

/* One poll in so many is timed. A power of two. */
enum { TIMED_POLLS = 64 };

/* Between two looks at the loads of others to send them some: each look may cost a line of another core. */
static const uint64_t SHED_INTERVAL_NS = 5000;

/* One in so many turns that will run all there is asks for more beforehand: looking costs a line of another core. */
enum { LEAN_TURNS = 16 };

/* Idle turns before the first question to others, and most between two. */
enum { ASK_FIRST = 32, ASK_LAST = 4096 };

/* Polls between two looks at the bus, and between two at the clock, by what a poll took on average in the last turn: a
 * look costs some nanoseconds, and what has come should not wait for longer than about a microsecond. */
enum { SHORT_POLL_NS = 100, MIDDLE_POLL_NS = 500, LONG_POLL_NS = 2000 };

/* Between two looks at input and output while there is nothing else to do. */
static const uint64_t IDLE_IO_INTERVAL_NS = 1000;

/* How long the processor's counter may run by itself. It is taken to be slower than it was found to be, by one part in
 * 1 << 12, which is more than a calibration is wrong by: so no timer fires before its time. */
static const uint64_t COUNTER_ALONE_NS = 1000000;
enum { COUNTER_SLACK_SHIFT = 12 };

/* How long to sleep at most with something held back for another one, whose queue is full. */
static const uint64_t HELD_BACK_NS = 50000;

_Thread_local struct kn_reactor *kn_reactor_of_thread;

struct kn_reactor *kn_reactor_current(void)
{
    return kn_reactor_of_thread;
}

/* ---- time ---- */

static uint64_t read_clock(struct kn_reactor *reactor)
{
    if (reactor->clock == KN_REACTOR_CLOCK_MONOTONIC)
        return kn_clock_monotonic_ns();
    if (reactor->clock == KN_REACTOR_CLOCK_COARSE)
        return kn_clock_coarse_ns();
    uint64_t ticks = kn_tsc_read();
    /* Also after a jump of the counter, in whatever direction: the difference is then large. */
    if (KN_UNLIKELY(ticks - reactor->counter.base_ticks >= reactor->counter_limit)) {
        reactor->counter.base_ns = kn_clock_monotonic_ns();
        reactor->counter.base_ticks = ticks;
    }
    return reactor->counter.base_ns + kn_tsc_ticks_to_ns(&reactor->counter, ticks - reactor->counter.base_ticks);
}

static uint64_t update_now(struct kn_reactor *reactor)
{
    uint64_t now_ns = read_clock(reactor);
    if (now_ns > reactor->now_ns)
        reactor->now_ns = now_ns;
    return reactor->now_ns;
}

void kn_reactor_set_clock(struct kn_reactor *reactor, enum kn_reactor_clock clock, const struct kn_tsc_clock *counter)
{
    reactor->clock = clock;
    reactor->counter = *counter;
    reactor->counter.multiplier -= counter->multiplier >> COUNTER_SLACK_SHIFT;
    if (clock == KN_REACTOR_CLOCK_COUNTER)
        reactor->counter_limit = (uint64_t)((double)COUNTER_ALONE_NS * 4294967296.0 / (double)counter->multiplier);
    reactor->now_ns = kn_clock_monotonic_ns();
}

static bool is_tracing(const struct kn_reactor *reactor)
{
    return KN_UNLIKELY(atomic_load_explicit(&reactor->runtime->tracing, memory_order_relaxed));
}

/* ---- one task ---- */

static void note_time(struct kn_reactor *reactor, uint64_t duration_ns)
{
    unsigned bucket = duration_ns > 1 ? 63 - (unsigned)__builtin_clzll(duration_ns) : 0;
    kn_counter_add(&reactor->counters.poll_times[bucket < KN_REACTOR_TIMES ? bucket : KN_REACTOR_TIMES - 1], 1);
}

static __attribute__((noinline)) enum kn_task_status poll_timed(struct kn_reactor *reactor, struct kn_task *task,
                                                                bool is_traced)
{
    const char *name = task->type->name; /* the task may be gone afterwards */
    uint64_t start_ns = read_clock(reactor);
    enum kn_task_status status = task->type->poll(task, reactor);
    uint64_t duration_ns = read_clock(reactor) - start_ns;
    note_time(reactor, duration_ns);
    if (is_traced)
        kn_trace_add(&reactor->trace, KN_TRACE_POLL, start_ns, duration_ns, name, task);
    return status;
}

KN_INLINE void finish(struct kn_reactor *reactor, struct kn_task *task)
{
    struct kn_task_group *group = task->group;
    /* Relaxed: who waits learns of it by the group; a waker that reads it only has nothing to do. */
    atomic_store_explicit(&task->state, KN_TASK_FINISHED, memory_order_relaxed);
    kn_counter_add(&reactor->counters.finished, 1);
    if (task->type->release)
        task->type->release(task, reactor);
    else if (task->flags & KN_TASK_POOLED)
        kn_task_pool_give(reactor, task);
    if (group)
        kn_task_group_done(group);
}

static __attribute__((noinline)) enum kn_task_status answer_cancel(struct kn_reactor *reactor, struct kn_task *task)
{
    if (!task->type->cancelled)
        return KN_TASK_DONE;
    /* Acquire pairs with the release in kn_task_cancel, also where the task counted as running and nothing was taken:
     * the hook sees what was written before. */
    (void)atomic_load_explicit(&task->state, memory_order_acquire);
    task->flags |= KN_TASK_STAYS;
    return task->type->cancelled(task, reactor);
}

KN_INLINE void run_task(struct kn_reactor *reactor, struct kn_task *task)
{
    /* A fresh task is running already, and nobody writes its state but to add bits. */
    uint16_t state = atomic_load_explicit(&task->state, memory_order_relaxed);
    if (!(state & KN_TASK_RUNNING))
        /* Acquire pairs with the release in kn_task_wake: the poll sees what was written before. */
        state = atomic_fetch_xor_explicit(&task->state, KN_TASK_SCHEDULED | KN_TASK_RUNNING, memory_order_acquire);
    reactor->polling = task;
    enum kn_task_status status;
    bool is_traced = is_tracing(reactor);
    if (KN_UNLIKELY((state & KN_TASK_CANCELLED) && !(task->flags & KN_TASK_STAYS)))
        status = answer_cancel(reactor, task);
    else if (KN_UNLIKELY((reactor->poll_number & (TIMED_POLLS - 1)) == 0 || is_traced))
        status = poll_timed(reactor, task, is_traced);
    else
        status = task->type->poll(task, reactor);
    reactor->polling = NULL;
    if (status == KN_TASK_DONE) {
        finish(reactor, task);
    } else if (status == KN_TASK_YIELD) {
        /* Still counts as running: a wake-up meanwhile is one more poll after the next. */
        kn_run_queue_push(&reactor->queue, task, KN_RUN_LAST);
    } else {
        /* Release pairs with the acquire in kn_task_wake: who finds the task idle finds its home and all else written.
         * Nothing is acquired: where it was woken meanwhile, the next poll's beginning does. */
        state = atomic_fetch_and_explicit(&task->state, (uint16_t)~KN_TASK_RUNNING, memory_order_release);
        if (state & KN_TASK_SCHEDULED)
            kn_run_queue_push(&reactor->queue, task, KN_RUN_ORDER);
    }
}

/* ---- panics ---- */

_Noreturn void kn_task_panic(const char *reason)
{
    struct kn_reactor *reactor = kn_reactor_of_thread;
    if (!reactor || !reactor->polling || !reactor->isolates_panics) {
        fprintf(stderr, "panic of a task: %s\n", reason);
        abort();
    }
    reactor->panic_reason = reason;
    longjmp(reactor->panic, 1);
}

static void assert_failed(void *context, const char *expression, const char *file, int line)
{
    struct kn_reactor *reactor = context;
    if (!reactor->polling)
        return; /* the reactor itself is broken */
    snprintf(reactor->panic_text, sizeof(reactor->panic_text), "%s:%d: broken invariant: %s", file, line, expression);
    kn_task_panic(reactor->panic_text);
}

/* The task that was polled is given up: its group hears that it is done, its memory is not used again. */
static void give_up(struct kn_reactor *reactor)
{
    struct kn_task *task = reactor->polling;
    struct kn_task_group *group = task->group;
    reactor->polling = NULL;
    atomic_store_explicit(&task->state, KN_TASK_FINISHED, memory_order_relaxed);
    kn_counter_add(&reactor->counters.panics, 1);
    if (is_tracing(reactor))
        kn_trace_add(&reactor->trace, KN_TRACE_PANIC, reactor->now_ns, 0, task->type->name, task);
    if (reactor->on_panic)
        reactor->on_panic(reactor->on_panic_context, task, reactor->panic_reason);
    if (group)
        kn_task_group_done(group);
}

/* ---- the parts of a turn ---- */

/* The class that the guard lets have one poll: one that has had none for long; the most urgent one if there is none. */
static unsigned guarded_class(const struct kn_reactor *reactor)
{
    unsigned first = (unsigned)__builtin_ctz(reactor->queue.classes);
    for (unsigned class = KN_PRIORITY_CLASSES - 1; class > first; class --)
        if (reactor->queue.waiting[class] > 0 &&
            reactor->turn_number - reactor->served_turn[class] > reactor->guard_turns)
            return class;
    return first;
}

/* Lets a starving class have one poll. Classes without a task count as served. */
static void guard(struct kn_reactor *reactor)
{
    for (unsigned class = 0; class < KN_PRIORITY_CLASSES; class ++)
        if (reactor->queue.waiting[class] == 0)
            reactor->served_turn[class] = reactor->turn_number;
    if (reactor->queue.classes == 0)
        return;
    unsigned class = guarded_class(reactor);
    reactor->served_turn[class] = reactor->turn_number;
    reactor->turn_polls++;
    run_task(reactor, kn_run_queue_take(&reactor->queue, class));
}

/* Whether the turn's time is over. Timers that became due meanwhile fire, as tasks that they wake may be more urgent.
 */
static bool look_at_clock(struct kn_reactor *reactor)
{
    update_now(reactor);
    kn_reactor_advance_timers(reactor);
    if (reactor->queue.classes != 0)
        kn_reactor_publish(reactor, __builtin_ctz(reactor->queue.classes));
    return reactor->now_ns >= reactor->turn_end_ns;
}

static __attribute__((noinline)) void look_within_turn(struct kn_reactor *reactor)
{
    reactor->polls_since_look = 0;
    kn_reactor_look(reactor);
    if (KN_UNLIKELY(reactor->asker_count > 0))
        kn_reactor_answer(reactor);
}

/* Polls up to the budget. In pieces that end by a panic, too. */
static void poll_tasks(struct kn_reactor *reactor)
{
    struct kn_task *task;
    if (reactor->guard_turns > 0 && reactor->turn_polls == 0)
        guard(reactor);
    while (reactor->turn_polls < reactor->turn_tasks && (task = kn_run_queue_pop(&reactor->queue)) != NULL) {
        reactor->turn_polls++;
        reactor->poll_number++;
        if (KN_UNLIKELY(reactor->guard_turns > 0))
            reactor->served_turn[task->class] = reactor->turn_number;
        run_task(reactor, task);
        if (++reactor->polls_since_look >= reactor->look_every)
            look_within_turn(reactor);
        if ((reactor->poll_number & reactor->clock_mask) == 0 && look_at_clock(reactor)) {
            reactor->turn_was_full = true;
            return;
        }
    }
    reactor->turn_was_full = reactor->turn_polls >= reactor->turn_tasks;
}

/* The same where a task that panics comes back here. */
static void poll_isolated(struct kn_reactor *reactor)
{
    if (setjmp(reactor->panic) != 0)
        give_up(reactor);
    poll_tasks(reactor);
}

/* Asks for work before it is needed, now and then, so that the answer comes while what is left runs. */
static void ask_early(struct kn_reactor *reactor)
{
    if (!reactor->balances || !(reactor->roles & KN_ROLE_TASK) || reactor->turn_number % LEAN_TURNS != 0)
        return;
    uint32_t waiting = 0;
    for (unsigned class = 0; class < KN_PRIORITY_CLASSES; class ++)
        waiting += reactor->queue.waiting[class];
    if (waiting <= reactor->budget)
        kn_reactor_ask(reactor, waiting);
}

static unsigned run_tasks(struct kn_reactor *reactor)
{
    if (reactor->queue.classes == 0)
        return 0;
    reactor->turn_number++;
    reactor->turn_polls = 0;
    reactor->turn_end_ns = reactor->now_ns + reactor->turn_ns;
    kn_reactor_publish(reactor, __builtin_ctz(reactor->queue.classes));
    ask_early(reactor);
    if (reactor->isolates_panics)
        poll_isolated(reactor);
    else
        poll_tasks(reactor);
    kn_counter_add(&reactor->counters.polls, reactor->turn_polls);
    return reactor->turn_polls;
}

static int serve_io(struct kn_reactor *reactor, uint64_t interval_ns)
{
    struct kn_reactor_io *io = &reactor->park.io;
    if (!io->poll || reactor->now_ns - reactor->io_looked_ns < interval_ns)
        return 0;
    reactor->io_looked_ns = reactor->now_ns;
    uint64_t start_ns = is_tracing(reactor) ? read_clock(reactor) : 0;
    int result = io->poll(io->context, 0);
    if (start_ns != 0 && result > 0)
        kn_trace_add(&reactor->trace, KN_TRACE_IO, start_ns, read_clock(reactor) - start_ns, NULL, NULL);
    return result;
}

/* Takes what its input and output answered: the end of it, or an error. Whether anything was done. */
static bool take_io_result(struct kn_reactor *reactor, int result)
{
    if (result == -ESHUTDOWN)
        kn_reactor_set_io(reactor, NULL);
    else if (result < 0 && result != -EINTR)
        reactor->io_error = result;
    return result > 0;
}

/* Sets how often the next turn looks at the bus and at the clock. */
static void set_pace(struct kn_reactor *reactor, uint64_t poll_ns)
{
    uint32_t many = reactor->look_at_least;
    if (poll_ns < SHORT_POLL_NS)
        reactor->look_every = many > 8 ? many : 8;
    else if (poll_ns < MIDDLE_POLL_NS)
        reactor->look_every = many > 2 ? many : 2;
    else
        reactor->look_every = many;
    reactor->clock_mask = poll_ns < SHORT_POLL_NS ? 63 : poll_ns < MIDDLE_POLL_NS ? 15 : poll_ns < LONG_POLL_NS ? 3 : 0;
}

/* Notes how busy the turn was, once it was. */
static void end_turn(struct kn_reactor *reactor, uint64_t start_ns, unsigned polls)
{
    struct kn_reactor_counters *counters = &reactor->counters;
    uint64_t busy_ns = update_now(reactor) - start_ns;
    kn_counter_add(&counters->turns, 1);
    kn_counter_add(&counters->busy_ns, busy_ns);
    if (polls > 0) {
        /* What the next turn will run: a whole one, unless time ends it. */
        reactor->budget = reactor->turn_was_full ? polls : reactor->turn_tasks;
        set_pace(reactor, busy_ns / polls);
    }
    for (unsigned class = 0; class < KN_PRIORITY_CLASSES; class ++)
        atomic_store_explicit(&counters->waiting[class], reactor->queue.waiting[class], memory_order_relaxed);
    if (reactor->balances && reactor->queue.classes != 0 && reactor->now_ns - reactor->shed_ns >= SHED_INTERVAL_NS) {
        reactor->shed_ns = reactor->now_ns;
        kn_reactor_shed(reactor);
    }
}

/* One turn without sleep. Whether anything was done. */
static bool take_turn(struct kn_reactor *reactor)
{
    uint64_t start_ns = update_now(reactor);
    unsigned messages = kn_reactor_look(reactor);
    unsigned timers = kn_reactor_advance_timers(reactor);
    unsigned polls = run_tasks(reactor);
    uint64_t io_interval_ns = polls > 0 ? reactor->io_interval_ns : IDLE_IO_INTERVAL_NS;
    bool io = take_io_result(reactor, serve_io(reactor, io_interval_ns));
    if (reactor->asker_count > 0)
        kn_reactor_answer(reactor);
    if (reactor->returns || reactor->holds_back)
        kn_reactor_flush(reactor);
    if (messages + timers + polls == 0 && !io)
        return false;
    end_turn(reactor, start_ns, polls);
    return true;
}

/* ---- nothing to do ---- */

/* Asks others for work, ever more seldom. */
static void look_for_work(struct kn_reactor *reactor)
{
    if (!reactor->balances || !(reactor->roles & KN_ROLE_TASK) || reactor->idle_turns < reactor->next_ask)
        return;
    uint32_t wait = reactor->next_ask < ASK_FIRST ? ASK_FIRST : reactor->next_ask;
    kn_reactor_ask(reactor, 0);
    reactor->next_ask = reactor->idle_turns + (wait < ASK_LAST ? wait : ASK_LAST);
}

static void note_idle(struct kn_reactor *reactor)
{
    if (reactor->idle_turns++ > 0)
        return;
    reactor->idle_since_ns = reactor->now_ns;
    reactor->next_ask = ASK_FIRST;
    kn_reactor_publish(reactor, KN_BALANCE_IDLE);
}

/* Whether there is something that a message or the clock does not announce. */
static bool has_work(struct kn_reactor *reactor)
{
    bool asks = reactor->balances && (reactor->roles & KN_ROLE_TASK) && kn_reactor_ask(reactor, 0);
    return kn_reactor_look(reactor) > 0 || reactor->asker_count > 0 || reactor->queue.classes != 0 || asks ||
           atomic_load_explicit(&reactor->stop, memory_order_relaxed);
}

static uint64_t wake_time(struct kn_reactor *reactor, int64_t timeout_ns)
{
    uint64_t until_ns = kn_reactor_next_timer_ns(reactor);
    uint64_t limit_ns = reactor->holds_back ? reactor->now_ns + HELD_BACK_NS : UINT64_MAX;
    if (timeout_ns >= 0 && reactor->now_ns + (uint64_t)timeout_ns < limit_ns)
        limit_ns = reactor->now_ns + (uint64_t)timeout_ns;
    return until_ns < limit_ns ? until_ns : limit_ns;
}

/* Sleeps until there is something to do, or for the timeout. Whether its input and output did something meanwhile. */
static bool park(struct kn_reactor *reactor, int64_t timeout_ns)
{
    uint64_t until_ns = wake_time(reactor, timeout_ns);
    if (until_ns <= reactor->now_ns)
        return false;
    kn_reactor_publish(reactor, KN_BALANCE_PARKED);
    bool is_announced = kn_park_begin(&reactor->park);
    int result = 0;
    if (is_announced && !has_work(reactor)) {
        uint64_t start_ns = reactor->now_ns;
        kn_counter_add(&reactor->counters.parks, 1);
        atomic_store_explicit(&reactor->counters.is_parked, 1, memory_order_relaxed);
        result = kn_park_sleep(&reactor->park, until_ns);
        atomic_store_explicit(&reactor->counters.is_parked, 0, memory_order_relaxed);
        update_now(reactor);
        if (is_tracing(reactor))
            kn_trace_add(&reactor->trace, KN_TRACE_PARK, start_ns, reactor->now_ns - start_ns, NULL, NULL);
    }
    kn_park_end(&reactor->park);
    kn_reactor_publish(reactor, KN_BALANCE_IDLE);
    return take_io_result(reactor, result);
}

/* ---- for the application ---- */

static bool is_stopped(struct kn_reactor *reactor)
{
    /* Acquire pairs with the release in kn_runtime_stop: what was written before is seen after the run. */
    return reactor->stopping || atomic_load_explicit(&reactor->stop, memory_order_acquire);
}

/* Makes this thread the reactor's. */
static void enter(struct kn_reactor *reactor)
{
    if (kn_reactor_of_thread == reactor)
        return;
    kn_reactor_of_thread = reactor;
    if (reactor->isolates_panics)
        kn_assert_set_hook(assert_failed, reactor);
}

void kn_reactor_leave(struct kn_reactor *reactor)
{
    if (kn_reactor_of_thread != reactor)
        return;
    kn_reactor_of_thread = NULL;
    if (reactor->isolates_panics)
        kn_assert_set_hook(NULL, NULL);
}

int kn_reactor_turn(struct kn_reactor *reactor, int64_t timeout_ns)
{
    enter(reactor);
    if (is_stopped(reactor))
        return -ESHUTDOWN;
    bool done = take_turn(reactor);
    if (done) {
        reactor->idle_turns = 0;
    } else {
        note_idle(reactor);
        look_for_work(reactor);
        done = timeout_ns != 0 && reactor->io_error == 0 && park(reactor, timeout_ns);
    }
    return reactor->io_error < 0 ? reactor->io_error : done;
}

int kn_reactor_run(struct kn_reactor *reactor)
{
    enter(reactor);
    while (!is_stopped(reactor) && reactor->io_error == 0) {
        if (take_turn(reactor)) {
            reactor->idle_turns = 0;
            continue;
        }
        note_idle(reactor);
        look_for_work(reactor);
        if (reactor->io_error < 0)
            break;
        if ((int64_t)(reactor->now_ns - reactor->idle_since_ns) < reactor->spin_ns)
            kn_cpu_relax();
        else if (park(reactor, -1))
            reactor->idle_turns = 0;
    }
    kn_reactor_leave(reactor);
    return reactor->io_error;
}

void kn_reactor_set_io(struct kn_reactor *reactor, const struct kn_reactor_io *io)
{
    kn_park_set_io(&reactor->park, io);
}

size_t kn_reactor_index(const struct kn_reactor *reactor)
{
    return reactor->index;
}

int kn_reactor_unit(const struct kn_reactor *reactor)
{
    return reactor->unit;
}

uint32_t kn_reactor_roles(const struct kn_reactor *reactor)
{
    return reactor->roles;
}

struct kn_runtime *kn_reactor_runtime(const struct kn_reactor *reactor)
{
    return reactor->runtime;
}

const struct kn_reactor_counters *kn_reactor_counters(const struct kn_reactor *reactor)
{
    return &reactor->counters;
}

uint64_t kn_reactor_now_ns(const struct kn_reactor *reactor)
{
    return reactor->now_ns;
}
