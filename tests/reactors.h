/*
 * What the tests of the scheduler share: runtimes, turns taken by hand, threads without a reactor, and tasks that do as
 * they are told and note what happens to them.
 *
 * reactors_settle runs all reactors of a runtime on one thread, one after the other, so that a test goes the same way
 * each time; the thread is then that of the reactor that turned last. reactors_outside does something on a thread that
 * has no reactor. REACTORS_AWAIT waits for other threads, for as long as the test may run.
 */
#ifndef KERNEL_TESTS_REACTORS_H
#define KERNEL_TESTS_REACTORS_H

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include <kernel/reactor.h>

/* ---- runtimes ---- */

/* Opens a runtime. Unless chosen, the clock is the system's, which needs no calibration, and turns end by their budget
 * alone, however slow the machine is. */
static inline struct kn_runtime *reactors_open(struct kn_runtime_options options)
{
    struct kn_runtime *runtime;
    if (options.clock == KN_REACTOR_CLOCK_AUTO)
        options.clock = KN_REACTOR_CLOCK_MONOTONIC;
    if (options.turn_ns == 0)
        options.turn_ns = INT64_MAX / 2;
    if (options.reactors == 0 && !options.placement)
        options.reactors = 1;
    assert_int_equal(kn_runtime_open(&runtime, &options), 0);
    return runtime;
}

/* Opens a runtime with turns as usual, and each reactor on a thread of its own. */
static inline struct kn_runtime *reactors_start(struct kn_runtime_options options)
{
    if (options.turn_ns == 0)
        options.turn_ns = 100000;
    struct kn_runtime *runtime = reactors_open(options);
    assert_int_equal(kn_runtime_start(runtime, 0), 0);
    return runtime;
}

/* Turns all reactors until none has anything to do. How many turns did something. Two rounds of nothing, as the first
 * may send what a full bus held back. */
static inline unsigned reactors_settle(struct kn_runtime *runtime)
{
    unsigned busy = 0;
    size_t quiet = 0;
    for (size_t i = 0; quiet < 2 * kn_runtime_count(runtime); i = (i + 1) % kn_runtime_count(runtime)) {
        int result = kn_reactor_turn(kn_runtime_reactor(runtime, i), 0);
        assert_in_range(result, 0, 1);
        busy += (unsigned)result;
        quiet = result > 0 ? 0 : quiet + 1;
    }
    return busy;
}

/* A counter of one of the reactors, by the name of its field. */
#define REACTORS_COUNTER(runtime, index, field)                                                                        \
    kn_counter_read(&kn_reactor_counters(kn_runtime_reactor((runtime), (index)))->field)

/* ---- threads ---- */

struct reactors_call {
    void (*function)(void *argument);
    void *argument;
};

static inline void *reactors_call(void *argument)
{
    struct reactors_call *call = argument;
    call->function(call->argument);
    return NULL;
}

/* Calls a function on a thread without a reactor, and waits for its end. */
static inline void reactors_outside(void (*function)(void *), void *argument)
{
    struct reactors_call call = {function, argument};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, reactors_call, &call), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static inline void reactors_nap(int64_t duration_ns)
{
    struct timespec duration = {.tv_sec = duration_ns / 1000000000, .tv_nsec = (long)(duration_ns % 1000000000)};
    (void)nanosleep(&duration, NULL);
}

/* Waits until a condition that other threads bring about holds. */
#define REACTORS_AWAIT(condition)                                                                                      \
    do {                                                                                                               \
        while (!(condition))                                                                                           \
            reactors_nap(50000);                                                                                       \
    } while (0)

/* Waits until a reactor that has a thread sleeps. */
static inline void reactors_await_parked(struct kn_runtime *runtime, size_t index)
{
    REACTORS_AWAIT(REACTORS_COUNTER(runtime, index, is_parked) == 1);
}

/* ---- tasks ---- */

/* What happened, a letter for each poll. */
struct probe_log {
    char text[512];
    size_t length;
};

/*
 * A task that answers what `answers` says: a letter for each poll, p(ending), y(ield) or d(one), the last one for ever.
 * What other threads may look at is atomic.
 */
struct probe {
    struct kn_task task;
    const char *answers;
    const char *cancel_answer;                                    /* likewise, of the one call of its hook */
    void (*act)(struct probe *probe, struct kn_reactor *reactor); /* done in each poll, or NULL */
    void *argument;                                               /* of `act` */
    struct probe_log *log;                                        /* or NULL */
    char letter;                                                  /* in the log */
    _Atomic uint32_t polls;
    _Atomic uint32_t cancels;
    _Atomic uint32_t releases;
    _Atomic uint32_t inside;         /* polls under way: more than one is wrong */
    struct kn_reactor *_Atomic last; /* where it was polled last */
};

static inline enum kn_task_status probe_answer(const char *answers, uint32_t number)
{
    size_t length = strlen(answers);
    char answer = answers[number < length ? number : length - 1];
    return answer == 'p' ? KN_TASK_PENDING : answer == 'y' ? KN_TASK_YIELD : KN_TASK_DONE;
}

static inline enum kn_task_status probe_poll(struct kn_task *task, struct kn_reactor *reactor)
{
    struct probe *probe = KN_CONTAINER_OF(task, struct probe, task);
    assert_int_equal(probe->inside++, 0);
    if (probe->log && probe->log->length < sizeof(probe->log->text) - 1)
        probe->log->text[probe->log->length++] = probe->letter;
    probe->last = reactor;
    uint32_t number = probe->polls++;
    if (probe->act)
        probe->act(probe, reactor);
    enum kn_task_status status = probe_answer(probe->answers, number);
    probe->inside--;
    return status;
}

static inline enum kn_task_status probe_cancelled(struct kn_task *task, struct kn_reactor *reactor)
{
    struct probe *probe = KN_CONTAINER_OF(task, struct probe, task);
    probe->last = reactor;
    return probe_answer(probe->cancel_answer, probe->cancels++);
}

static inline void probe_release(struct kn_task *task, struct kn_reactor *reactor)
{
    struct probe *probe = KN_CONTAINER_OF(task, struct probe, task);
    probe->last = reactor;
    probe->releases++;
}

static const struct kn_task_type PROBE = {.name = "probe", .poll = probe_poll};
static const struct kn_task_type PROBE_HOOKED = {
    .name = "hooked probe", .poll = probe_poll, .cancelled = probe_cancelled, .release = probe_release};

/* Makes a probe in memory of the caller's, hooked if it has an answer to being cancelled. */
static inline void probe_init(struct probe *probe, unsigned class, const char *answers, const char *cancel_answer)
{
    *probe = (struct probe){.answers = answers, .cancel_answer = cancel_answer};
    kn_task_create(&probe->task, cancel_answer ? &PROBE_HOOKED : &PROBE, class);
}

/* Makes a probe that writes its letter into a log with each poll. */
static inline void probe_init_logged(struct probe *probe, unsigned class, const char *answers, struct probe_log *log,
                                     char letter)
{
    probe_init(probe, class, answers, NULL);
    probe->log = log;
    probe->letter = letter;
}

/* Whether it was done, as far as its own thread can tell. */
static inline bool probe_is_done(struct probe *probe)
{
    return (atomic_load_explicit(&probe->task.state, memory_order_relaxed) & KN_TASK_FINISHED) != 0;
}

#endif
