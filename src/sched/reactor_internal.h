/*
 * What the parts of a reactor share: the turn (reactor.c), its queue and messages (exchange.c), the set (runtime.c).
 */
#ifndef KERNEL_SCHED_REACTOR_INTERNAL_H
#define KERNEL_SCHED_REACTOR_INTERNAL_H

#include <pthread.h>
#include <setjmp.h>

#include <kernel/reactor.h>
#include <kernel/trace.h>

#include "park.h"
#include "run_queue.h"

/* A pool's objects that are free, the one used last first; memory beyond `touched` was never used. */
struct kn_task_pool {
    struct kn_task *free;
    uint8_t *memory;
    size_t memory_bytes;
    size_t object_bytes;
    size_t touched;
    size_t capacity;
};

struct kn_reactor {
    /* What does not change while it runs. */
    struct kn_runtime *runtime;
    struct kn_bus *bus;
    uint32_t index;
    uint32_t roles;
    int unit;
    uint32_t turn_tasks;
    uint32_t turn_timers;
    uint32_t guard_turns;
    uint64_t turn_ns;
    uint64_t io_interval_ns;
    int64_t spin_ns;
    bool balances;
    bool isolates_panics;
    enum kn_reactor_clock clock;
    struct kn_tsc_clock counter; /* set right now and then */

    /* Its thread's. */
    struct kn_run_queue queue;
    struct kn_timer_wheel wheel;
    struct kn_balance_seat seat;
    struct kn_task_pool pool;
    struct kn_task_chain *returned; /* for each reactor: memory of its pool on the way there */
    uint32_t *askers;               /* who asked for tasks and was not answered yet */
    uint32_t asker_count;
    uint32_t polls_since_look;
    uint32_t poll_number;
    uint32_t clock_mask;    /* the clock is looked at when poll_number & clock_mask is 0 */
    uint32_t turn_polls;    /* of this turn */
    uint32_t budget;        /* polls that the next turn is likely to get done */
    uint32_t look_every;    /* polls between two looks at the bus */
    uint32_t look_at_least; /* the same at most often: with many other cores a look costs more */
    uint32_t idle_turns;
    uint32_t next_ask;  /* idle turns before the next question */
    bool turn_was_full; /* the last turn ended by its budget or its time */
    bool holds_back;    /* something waits in an outbox */
    bool returns;       /* something waits in `returned` */
    bool stopping;
    uint64_t now_ns;
    uint64_t turn_end_ns;
    uint64_t idle_since_ns;
    uint64_t io_looked_ns;
    uint64_t shed_ns;       /* when it last looked for whom to send some */
    uint64_t counter_limit; /* ticks at which the counter is to be set right */
    uint64_t turn_number;
    uint64_t served_turn[KN_PRIORITY_CLASSES]; /* when each class was last served, for the guard */
    struct kn_task *polling;
    int io_error;
    jmp_buf panic;
    const char *panic_reason;
    char panic_text[256];
    kn_panic_report *on_panic;
    void *on_panic_context;
    struct kn_trace trace;

    /* Written by its thread, read by any. */
    KN_OWNED struct kn_reactor_counters counters;

    /* Written by others. */
    KN_OWNED struct kn_park park;
    _Atomic bool stop;
    KN_OWNED struct kn_mailbox outside; /* tasks from threads without a reactor */
    pthread_t thread;
    bool has_thread;
};

struct kn_runtime {
    size_t count;
    struct kn_reactor **reactors;
    struct kn_bus bus;
    struct kn_balance balance;
    struct kn_runtime_options options;
    _Atomic bool tracing;
};

/* The reactor of this thread. */
extern _Thread_local struct kn_reactor *kn_reactor_of_thread __attribute__((tls_model("initial-exec")));

/* ---- reactor.c ---- */

void kn_reactor_set_clock(struct kn_reactor *reactor, enum kn_reactor_clock clock, const struct kn_tsc_clock *counter);

/* Ends this thread's being the reactor's. */
void kn_reactor_leave(struct kn_reactor *reactor);

/* ---- reactor_timer.c ---- */

int kn_reactor_open_timers(struct kn_reactor *reactor, uint64_t resolution_ns);

/* Fires what is due, within the bounds of a turn. How many fired or moved. */
unsigned kn_reactor_advance_timers(struct kn_reactor *reactor);

/* When the next one is due; UINT64_MAX: never. */
uint64_t kn_reactor_next_timer_ns(const struct kn_reactor *reactor);

/* What messages of others ask for. */
void kn_reactor_take_timer(struct kn_reactor *reactor, struct kn_timer *timer);
void kn_reactor_forget_timer(struct kn_reactor *reactor, struct kn_timer *timer);

/* ---- exchange.c ---- */

/* Takes in what has come over the bus and from outside. How many messages. */
unsigned kn_reactor_look(struct kn_reactor *reactor);

/* Answers who asked for tasks meanwhile. */
void kn_reactor_answer(struct kn_reactor *reactor);

/* Sends what was held back and the memory of others' pools. */
void kn_reactor_flush(struct kn_reactor *reactor);

/* Publishes the load. `running`: a class, or an enum kn_balance_rest. */
void kn_reactor_publish(struct kn_reactor *reactor, int running);

/* After a turn: gives to others what will wait for long. */
void kn_reactor_shed(struct kn_reactor *reactor);

/* Asks another for work, if there is one that has much more than the `waiting` here. Whether one was asked. */
bool kn_reactor_ask(struct kn_reactor *reactor, uint32_t waiting);

/* ---- task.c ---- */

/* Returns a task's memory to its pool, wherever that is. */
void kn_task_pool_give(struct kn_reactor *reactor, struct kn_task *task);

#endif
