/* The model executor finds what it is there to find: each planted fault is reported, and what has none passes. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "async_harness.h"

/* What is wrong with the combinator. */
enum fault {
    NO_FAULT,
    LOSES_WAKE_UP,      /* wants another poll, and sees to none */
    IGNORES_WAKE_UP,    /* answers pending without a look at the child that was woken */
    LEAKS_WHEN_DROPPED, /* a value that it keeps */
    LEAKS_WHEN_READY,   /* a value that it has used */
    KEEPS_CHILD,        /* does not drop one of two */
    KEEPS_LOSER,        /* answers as soon as the first has, and leaves the second as it is */
    POLLS_AGAIN,        /* polls a child that has answered */
    TRUSTS_POLLS,       /* takes every poll for a child's wake-up */
    LEAVES_TIMER        /* does not cancel it in its drop */
};

/* A join of two futures with owned values: frees both and answers with the sum of their numbers. */
struct join {
    struct kn_future future;
    struct kn_future *children[2];
    struct kn_outcome outcomes[2];
    enum fault fault;
    unsigned polls;
    bool has_lost; /* with KEEPS_LOSER: its drop does nothing any more */
    struct kn_timer_wheel *timers;
    struct kn_timer timer;
};

static void ignore_expiry(struct kn_timer *timer, void *owner)
{
    (void)timer;
    (void)owner;
}

static struct kn_outcome sum(struct join *self)
{
    int64_t total = 0;
    for (unsigned i = 0; i < 2; i++) {
        struct harness_object *object = self->outcomes[i].value.pointer;
        total += object->number;
        if (self->fault != LEAKS_WHEN_READY || i == 0)
            harness_object_free(object);
        self->outcomes[i] = kn_pending();
    }
    return kn_ready(KN_VALUE(total));
}

static struct kn_outcome join_poll(struct kn_future *future, struct kn_context *context)
{
    struct join *self = KN_CONTAINER_OF(future, struct join, future);
    self->polls++;
    if (self->fault == IGNORES_WAKE_UP && self->polls == 2)
        return kn_pending();
    if (self->fault == TRUSTS_POLLS && self->polls == 2)
        return kn_ready(KN_VALUE(0));
    if (self->fault == LEAVES_TIMER && self->polls == 1) {
        self->timers = context->executor->timers;
        kn_timer_init(&self->timer, ignore_expiry, 0);
        assert_int_equal(kn_timer_wheel_arm(self->timers, &self->timer, 2 * KN_SECOND_NS), 0);
    }
    for (unsigned i = 0; i < 2; i++) {
        if (self->outcomes[i].status != KN_PENDING && self->fault != POLLS_AGAIN)
            continue;
        self->outcomes[i] = kn_future_poll(self->children[i], context);
        if (self->fault == LOSES_WAKE_UP && self->outcomes[i].status == KN_READY && i == 0)
            return kn_pending();
    }
    if (self->fault == KEEPS_LOSER && self->outcomes[0].status == KN_READY && self->outcomes[1].status == KN_PENDING) {
        harness_object_free(self->outcomes[0].value.pointer);
        self->has_lost = true;
        return kn_ready(KN_VALUE(3));
    }
    if (self->outcomes[0].status == KN_PENDING || self->outcomes[1].status == KN_PENDING)
        return kn_pending();
    if (self->fault == LEAVES_TIMER)
        (void)kn_timer_wheel_cancel(self->timers, &self->timer);
    return sum(self);
}

static void join_drop(struct kn_future *future)
{
    struct join *self = KN_CONTAINER_OF(future, struct join, future);
    for (unsigned i = 0; i < 2 && !self->has_lost; i++) {
        if (self->fault != KEEPS_CHILD || i == 0)
            kn_future_drop(self->children[i]);
        if (self->fault != LEAKS_WHEN_DROPPED)
            kn_future_discard_outcome(self->children[i], self->outcomes[i]);
        self->outcomes[i] = kn_pending();
    }
}

static struct kn_future *join(struct join *self, struct kn_future *left, struct kn_future *right, enum fault fault)
{
    static const struct kn_future_type type = {.name = "join", .poll = join_poll, .drop = join_drop};
    *self = (struct join){
        .future.type = &type, .children = {left, right}, .outcomes = {kn_pending(), kn_pending()}, .fault = fault};
    return &self->future;
}

static void build_join(struct harness *world, void *context)
{
    struct kn_future *left = harness_owned_future(world, 1, 1);
    struct kn_future *right = harness_owned_future(world, 1, 2);
    harness_spawn(world, KN_IN(harness_arena(world), join, left, right, *(enum fault *)context));
}

static void check_sum(struct harness *world, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)world;
    (void)context;
    assert_int_equal(task, 0);
    assert_int_equal(outcome.status, KN_READY);
    if (outcome.value.integer != 3)
        fail_msg("a wrong sum");
}

/* ---- explorations that must fail ---- */

typedef void exploration(void *context);

/* Explores in a child, and expects it to fail with this message. */
static void expect_report(exploration *explore, void *context, const char *message)
{
    char text[4096];
    size_t length = 0;
    ssize_t count;
    int pipes[2];
    int status;
    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct rlimit no_core = {0};
        (void)setrlimit(RLIMIT_CORE, &no_core);
        (void)dup2(pipes[1], STDERR_FILENO);
        /* A failure is printed and aborts, in place of going on with the next test. */
        (void)setenv("CMOCKA_TEST_ABORT", "1", 1);
        explore(context);
        _exit(0);
    }
    close(pipes[1]);
    while (length < sizeof text - 1 && (count = read(pipes[0], text + length, sizeof text - 1 - length)) > 0)
        length += (size_t)count;
    text[length] = '\0';
    close(pipes[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT || !strstr(text, message))
        fail_msg("not reported: %s; but status %d and: %s", message, status, text);
}

static void explore_join(void *context)
{
    harness_explore(build_join, check_sum, context, NULL);
}

static void what_has_no_fault_passes(void **state)
{
    (void)state;
    enum fault fault = NO_FAULT;
    explore_join(&fault);
}

static void each_planted_fault_is_reported(void **state)
{
    (void)state;
    static const struct {
        enum fault fault;
        const char *message;
    } expected[] = {
        {LOSES_WAKE_UP, "tasks wait, and nothing is left that could wake them"},
        {IGNORES_WAKE_UP, "tasks wait, and nothing is left that could wake them"},
        {LEAKS_WHEN_DROPPED, "1 owned values were not given back"},
        {LEAKS_WHEN_READY, "1 owned values were not given back"},
        {KEEPS_CHILD, "1 resources of leaves are held"},
        {KEEPS_LOSER, "leaf 1 still has a waker"},
        {POLLS_AGAIN, "a leaf was polled after its end"},
        {TRUSTS_POLLS, "a wrong sum"},
        {LEAVES_TIMER, "timers are armed"},
    };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        enum fault fault = expected[i].fault;
        expect_report(explore_join, &fault, expected[i].message);
    }
}

/* ---- faults with streams and sinks ---- */

static const struct harness_item TWO_ITEMS[] = {
    {.pendings = 0, .outcome = {.status = KN_READY, .value = {.integer = 1}}},
    {.pendings = 0, .outcome = {.status = KN_READY, .value = {.integer = 2}}}};

/* Polls a stream and gives its items to a sink, wrongly. */
struct pump {
    struct kn_stream *stream;
    struct kn_sink *sink;
};

static struct kn_outcome poll_past_end(void *context, struct kn_context *poll)
{
    struct pump *pump = context;
    for (unsigned i = 0; i < 4; i++)
        (void)kn_stream_poll(pump->stream, poll);
    return kn_ready(KN_NOTHING);
}

static struct kn_outcome send_unasked(void *context, struct kn_context *poll)
{
    struct pump *pump = context;
    struct kn_outcome outcome = kn_stream_poll(pump->stream, poll);
    pump->sink->type->start(pump->sink, outcome.value);
    return kn_ready(KN_NOTHING);
}

static struct kn_outcome leave_open(void *context, struct kn_context *poll)
{
    struct pump *pump = context;
    (void)kn_stream_poll(pump->stream, poll);
    return kn_ready(KN_NOTHING);
}

static void build_pump(struct harness *world, void *context)
{
    struct pump *pump = KN_ARENA_NEW(harness_arena(world), struct pump);
    *pump = (struct pump){.stream = harness_stream(world, TWO_ITEMS, 2), .sink = harness_sink(world, 0, SIZE_MAX)};
    harness_spawn(world, KN_IN(harness_arena(world), kn_future_poll_fn, *(kn_poll_function **)context, pump));
}

static void explore_pump(void *context)
{
    harness_explore(build_pump, NULL, context, &(struct harness_options){.no_drops = true});
}

static void faults_with_streams_and_sinks_are_reported(void **state)
{
    (void)state;
    kn_poll_function *function = poll_past_end;
    expect_report(explore_pump, &function, "a leaf was polled after its end");
    function = send_unasked;
    expect_report(explore_pump, &function, "a value was given to a sink that was not ready");
    function = leave_open;
    expect_report(explore_pump, &function, "1 resources of leaves are held");
}

/* ---- the exploration itself ---- */

static void explore_too_little(void *context)
{
    harness_explore(build_join, check_sum, context, &(struct harness_options){.executions = 2});
}

static void a_program_with_more_executions_than_allowed_is_reported(void **state)
{
    (void)state;
    enum fault fault = NO_FAULT;
    expect_report(explore_too_little, &fault, "more than 2 executions");
}

/* What was seen of all executions. */
struct seen {
    unsigned order; /* of this execution's answers, as digits */
    bool orders[1000];
    unsigned drops[3]; /* by how often it had been polled */
};

/* Says how often it was polled before it was dropped. */
struct watched {
    struct kn_future future;
    struct kn_future *inner;
    struct seen *seen;
    unsigned polls;
    bool ended;
};

static struct kn_outcome watched_poll(struct kn_future *future, struct kn_context *context)
{
    struct watched *self = KN_CONTAINER_OF(future, struct watched, future);
    self->polls++;
    struct kn_outcome outcome = kn_future_poll(self->inner, context);
    self->ended = outcome.status != KN_PENDING;
    return outcome;
}

static void watched_drop(struct kn_future *future)
{
    struct watched *self = KN_CONTAINER_OF(future, struct watched, future);
    kn_future_drop(self->inner);
    if (!self->ended)
        self->seen->drops[self->polls < 2 ? self->polls : 2]++;
    self->ended = true;
}

static void watched_discard(struct kn_future *future, kn_value_t value)
{
    kn_future_discard(KN_CONTAINER_OF(future, struct watched, future)->inner, value);
}

static struct kn_future *watched(struct watched *self, struct kn_future *inner, struct seen *seen)
{
    static const struct kn_future_type type = {
        .name = "watched", .poll = watched_poll, .drop = watched_drop, .discard = watched_discard};
    *self = (struct watched){.future.type = &type, .inner = inner, .seen = seen};
    return &self->future;
}

static void build_three(struct harness *world, void *context)
{
    struct seen *seen = context;
    seen->order = 0;
    for (unsigned i = 0; i < 3; i++)
        harness_spawn(world, harness_future(world, 1, kn_ready(KN_VALUE(i))));
}

static void note_order(struct harness *world, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)world;
    struct seen *seen = context;
    assert_int_equal(outcome.value.integer, task);
    seen->order = seen->order * 10 + task + 1;
    seen->orders[seen->order] = true;
}

static void all_orders_are_executed(void **state)
{
    (void)state;
    static const unsigned orders[] = {123, 132, 213, 231, 312, 321};
    struct seen seen = {.order = 0};
    harness_explore(build_three, note_order, &seen, &(struct harness_options){.no_drops = true});
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++)
        assert_true(seen.orders[orders[i]]);
}

static void build_watched(struct harness *world, void *context)
{
    harness_spawn(world, KN_IN(harness_arena(world), watched, harness_owned_future(world, 2, 1), context));
}

static void a_task_is_dropped_before_its_first_poll_while_it_waits_and_once_it_was_woken(void **state)
{
    (void)state;
    struct seen seen = {.order = 0};
    uint64_t executions = harness_explore(build_watched, NULL, &seen, NULL);
    for (size_t i = 0; i < 3; i++)
        assert_true(seen.drops[i] > 0);
    assert_true(executions > (uint64_t)seen.drops[0] + seen.drops[1] + seen.drops[2]); /* and some are not dropped */
    assert_int_equal(seen.drops[0], 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_has_no_fault_passes),
        cmocka_unit_test(each_planted_fault_is_reported),
        cmocka_unit_test(faults_with_streams_and_sinks_are_reported),
        cmocka_unit_test(a_program_with_more_executions_than_allowed_is_reported),
        cmocka_unit_test(all_orders_are_executed),
        cmocka_unit_test(a_task_is_dropped_before_its_first_poll_while_it_waits_and_once_it_was_woken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
