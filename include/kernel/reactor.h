/**
 * @file reactor.h
 * A runtime of reactors, one a core: each polls its tasks by priority, fires its timers, turns its input and output,
 * takes part in the balance, and sleeps exactly until there is something to do.
 *
 * Use it for programs of many small activities on a few cores; for two threads and one queue between them take spsc.h
 * alone. It guarantees that more urgent classes come first, that nothing is lost when a bus is full, that no lock is
 * taken and nothing allocated once a runtime is open, and that an idle reactor uses no processor time at all.
 *
 *        turn:  bus --> timers --> tasks (turn_tasks at most; bus looked at in between) --> io --> balance
 *                ^                                                                            |
 *                +------------------------------------------------------ nothing to do: spin, then park
 *
 * Queues are private to their reactor; whatever comes from another core comes as a message over the bus (bus.h), even
 * theft: an idle reactor asks, the one asked gives half of what it can spare. balance.h says whom and how much.
 *
 * Threads. A reactor belongs to the thread that runs it: kn_runtime_start makes a thread for each, or the application
 * calls kn_reactor_run or kn_reactor_turn on threads of its own. Functions of a reactor are for that thread unless they
 * say otherwise; kn_task_spawn, kn_task_wake and kn_task_cancel are for any.
 */
#ifndef KERNEL_REACTOR_H
#define KERNEL_REACTOR_H

#include <kernel/balance.h>
#include <kernel/bus.h>
#include <kernel/clock.h>
#include <kernel/placement.h>
#include <kernel/task.h>
#include <kernel/timer.h>

/** A set of reactors. Opaque. */
struct kn_runtime;

/** A reactor. Opaque. */
struct kn_reactor;

/** In which order the tasks of one class run. */
enum kn_order {
    KN_ORDER_FIFO,    /**< as they were woken: fair */
    KN_ORDER_LIFO,    /**< the newest first: depth first, for tasks that make tasks and wait for them; unfair */
    KN_ORDER_DEADLINE /**< the earliest deadline_ns first (0: none, last); equal ones as they were woken */
};

/** What a reactor's time is read from. */
enum kn_reactor_clock {
    KN_REACTOR_CLOCK_AUTO,      /**< the processor's counter where it is invariant, else monotonic */
    KN_REACTOR_CLOCK_COUNTER,   /**< the processor's counter, set right by the monotonic clock every ms */
    KN_REACTOR_CLOCK_MONOTONIC, /**< the system's */
    KN_REACTOR_CLOCK_COARSE     /**< the system's, as old as its last tick: timers are late by up to 10 ms */
};

/** Why a task was given up. */
typedef void kn_panic_report(void *context, struct kn_task *task, const char *reason);

/** What a runtime is made of. Zero means the default in parentheses. */
struct kn_runtime_options {
    const struct kn_placement *placement; /**< (automatic, of all cores this process may use) */
    size_t reactors; /**< how many, without a placement and without keeping threads to cores (as placed) */
    bool unpinned;   /**< threads are not kept to their cores */
    enum kn_order order[KN_PRIORITY_CLASSES]; /**< (first in, first out) of each class */
    uint32_t turn_tasks;                      /**< (64) polls a turn */
    int64_t turn_ns;                          /**< (100 us) after which a turn ends, at the end of a poll */
    uint32_t turn_timers;                     /**< (256) expiries a turn, and timers moved towards theirs */
    uint32_t guard_turns;         /**< (0: strict) a class that got nothing for so many turns gets one poll */
    uint32_t bus_messages;        /**< (256) in each queue of the bus; a power of two */
    int64_t spin_ns;              /**< (20 us) without anything to do before parking; negative: park at once */
    int64_t io_interval_ns;       /**< (20 us) between two looks at input and output while there are tasks */
    uint64_t timer_resolution_ns; /**< (1024) of the timing wheels; rounded up to a power of two */
    enum kn_reactor_clock clock;
    bool no_balance;        /**< tasks stay where they were spawned */
    size_t pool_tasks;      /**< (0) objects in the pool of each reactor; memory is touched when needed first */
    size_t pool_task_bytes; /**< (192) of one object */
    size_t trace_events;    /**< (0: none) kept for each reactor: a power of two; see trace.h */
    bool isolate_panics; /**< a kn_assert that fails in a poll, and kn_task_panic, end that task and not the program */
    kn_panic_report *on_panic; /**< (silent) told of it, on the reactor's thread */
    void *on_panic_context;
};

/** Input and output of a reactor, which lies in a layer above. Both are needed. */
struct kn_reactor_io {
    void *context; /**< handed to both */
    /** Serves what is ready, waiting up to `timeout_ns` for it (0: not at all; negative: for ever). Time in a call that
     * may wait counts as sleep: one that had to wait had better return as soon as something is ready, and serve it when
     * it is called next, which is at once.
     * @return how much was done, 0 for nothing; -ESHUTDOWN when there will be nothing any more; another -errno, which
     * ends the reactor's run. */
    int (*poll)(void *context, int64_t timeout_ns);
    /** Ends a poll that waits, or the next one that would. From any thread. */
    void (*wake)(void *context);
};

/** Buckets of a histogram of times: number n counts those of at least 2^n and below 2^(n+1) ns, 0 also those of 0. */
#define KN_REACTOR_TIMES 32

/** Written by the reactor's thread, read by any with kn_counter_read. All but the last group only ever grow. */
struct kn_reactor_counters {
    _Atomic uint64_t turns;                        /**< taken, idle ones not counted */
    _Atomic uint64_t polls;                        /**< of tasks */
    _Atomic uint64_t finished;                     /**< tasks done */
    _Atomic uint64_t panics;                       /**< tasks given up */
    _Atomic uint64_t received[KN_BUS_KINDS];       /**< messages of each kind */
    _Atomic uint64_t bus_full;                     /**< sends that had to be held back */
    _Atomic uint64_t steals_asked;                 /**< requests to others */
    _Atomic uint64_t steals_empty;                 /**< answered with nothing */
    _Atomic uint64_t tasks_taken;                  /**< that came by the balance */
    _Atomic uint64_t tasks_given;                  /**< in answer to requests */
    _Atomic uint64_t tasks_shed;                   /**< unasked */
    _Atomic uint64_t parks;                        /**< times it went to sleep */
    _Atomic uint64_t pool_empty;                   /**< acquisitions that found none */
    _Atomic uint64_t poll_times[KN_REACTOR_TIMES]; /**< histogram of one poll in 64 */
    _Atomic uint64_t busy_ns;                      /**< in turns that were not idle; without what they waited */
    _Atomic uint64_t waiting[KN_PRIORITY_CLASSES]; /**< now: tasks in the queue of each class */
    _Atomic uint64_t pool_used;                    /**< now: objects of the pool that are in use */
    _Atomic uint64_t is_parked;                    /**< now: whether it sleeps */
};

/** Fills in a runtime; no thread is made. The caller owns it. @return 0, -EINVAL, -ENOMEM, or as kn_sector_create. */
KN_CHECK_RESULT int kn_runtime_open(struct kn_runtime **runtime, const struct kn_runtime_options *options);

/** Stops, joins the threads of kn_runtime_start, and frees it. Tasks that are not done are not touched any more, and no
 * other thread may use them. NULL is harmless. */
void kn_runtime_close(struct kn_runtime *runtime);

/** Makes a thread for each reactor from number `first` on; the caller runs those below. @return 0 or -errno, after
 * which none runs. */
KN_CHECK_RESULT int kn_runtime_start(struct kn_runtime *runtime, size_t first);

/** Asks all reactors to take no more turns, and returns at once. Any thread; also from a task. */
void kn_runtime_stop(struct kn_runtime *runtime);

/** How many reactors. */
size_t kn_runtime_count(const struct kn_runtime *runtime);

/** Reactor number `index`, below kn_runtime_count. Any thread. */
struct kn_reactor *kn_runtime_reactor(const struct kn_runtime *runtime, size_t index);

/** The first reactor with one of the roles (of enum kn_role), from number `from` on, or NULL. Any thread. */
struct kn_reactor *kn_runtime_find(const struct kn_runtime *runtime, uint32_t roles, size_t from);

/** Its bus, for a look at the depth of its queues. Any thread. */
const struct kn_bus *kn_runtime_bus(const struct kn_runtime *runtime);

/** Turns until stopped. The calling thread is the reactor's from now on. @return 0, or what its input and output
 * answered. */
int kn_reactor_run(struct kn_reactor *reactor);

/**
 * One turn, for loops of the application's own. @param timeout_ns how long to park if there is nothing to do: 0 not at
 * all, negative for ever. @return 1 when something was done, 0 when not; -ESHUTDOWN once stopped; another -errno of its
 * input and output.
 */
KN_CHECK_RESULT int kn_reactor_turn(struct kn_reactor *reactor, int64_t timeout_ns);

/** The reactor that the calling thread runs, or NULL. Any thread. */
struct kn_reactor *kn_reactor_current(void);

/** Gives it input and output, before it runs or on its thread. NULL: none any more. The structure is copied. */
void kn_reactor_set_io(struct kn_reactor *reactor, const struct kn_reactor_io *io);

/** Its number in the runtime. Any thread. */
size_t kn_reactor_index(const struct kn_reactor *reactor);

/** The processing unit it was placed on, or -1. Any thread. */
int kn_reactor_unit(const struct kn_reactor *reactor);

/** Its roles, of enum kn_role. Any thread. */
uint32_t kn_reactor_roles(const struct kn_reactor *reactor);

/** Its runtime. Any thread. */
struct kn_runtime *kn_reactor_runtime(const struct kn_reactor *reactor);

/** Its counters, valid as long as the runtime. Any thread. */
const struct kn_reactor_counters *kn_reactor_counters(const struct kn_reactor *reactor);

/** The figures of its timers, likewise. */
const struct kn_timer_counters *kn_reactor_timer_counters(const struct kn_reactor *reactor);

/** Its wheel of timers, for who arms and cancels there himself, on its thread. */
struct kn_timer_wheel *kn_reactor_timers(struct kn_reactor *reactor);

/** The time of its present turn, on the time line of kn_clock_monotonic_ns. */
uint64_t kn_reactor_now_ns(const struct kn_reactor *reactor);

/**
 * Arms a timer (timer.h) of this reactor's, for a time of kn_clock_monotonic_ns, or arms it anew. It fires on this
 * reactor's thread; the callback's `owner` is the reactor, and kn_timer_init_waking(timer, task, 0) makes one that
 * wakes a task. From another reactor of the runtime a message: the timer must be idle, and cannot be cancelled before
 * that has arrived.
 *
 * @return 0; -ECANCELED for one that another thread has just cancelled; -EAGAIN when the bus is full; -EPERM on a
 * thread that runs no reactor of the runtime: let a task do it.
 */
int kn_reactor_arm(struct kn_reactor *reactor, struct kn_timer *timer, uint64_t deadline_ns);

/**
 * Cancels a timer, on whichever reactor of this thread's runtime it is armed. After 0 it does not fire. One of another
 * reactor must have been made with KN_TIMER_SHARED and be armed on that one for its whole life; its memory stays until
 * kn_timer_is_idle.
 *
 * @return 0; -EALREADY when it is not armed or fires already; -EAGAIN when the bus is full, nothing is changed then;
 * -EPERM for another reactor's that is not shared, and on a thread that runs no reactor.
 */
int kn_reactor_cancel(struct kn_timer *timer);

/**
 * A task's memory from this reactor's pool, pool_task_bytes long and not cleared but for the flag that says so; begin
 * with kn_task_init. It returns there by itself when the task is done, on whatever core. @return NULL when all are
 * used.
 */
void *kn_reactor_task_acquire(struct kn_reactor *reactor);

/** How many bytes the objects of its pool have. Any thread. */
size_t kn_reactor_pool_task_bytes(const struct kn_reactor *reactor);

/** Gives it back unspawned. On the thread of any reactor of the runtime. */
void kn_reactor_task_give_back(struct kn_reactor *reactor, struct kn_task *task);

/**
 * Ends the task that is being polled: kn_assert does so as well where isolate_panics is set. Its memory is not given
 * back, as it can no longer be trusted; its group hears that it is done. Without isolate_panics it aborts the program.
 */
_Noreturn void kn_task_panic(const char *reason);

#endif
