/*
 * Futures as tasks of reactors.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <kernel/async.h>
#include <kernel/future_remote.h>
#include <kernel/future_time.h>

#include "reactors.h"

/* ---- tasks ---- */

struct answer {
    struct kn_outcome outcome;
    unsigned times;
};

static void note_answer(struct kn_future_task *task, struct kn_outcome outcome, void *context)
{
    (void)task;
    struct answer *answer = context;
    answer->outcome = outcome;
    answer->times++;
}

/* Turns until a timer of so many ns has had time to fire. */
static void turn_until(struct kn_runtime *runtime, const struct answer *answer)
{
    while (answer->times == 0) {
        for (size_t i = 0; i < kn_runtime_count(runtime); i++)
            assert_in_range(kn_reactor_turn(kn_runtime_reactor(runtime, i), 0), 0, 1);
    }
}

static void a_spawned_future_answers_its_finished_function(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){.reactors = 1});
    struct kn_future_task task = {.context = NULL};
    struct kn_future_delay delay;
    struct answer answer = {.times = 0};
    struct kn_future_options options = {.finished = note_answer, .context = &answer};
    assert_int_equal(
        kn_future_spawn(&task, kn_future_delay(&delay, KN_MILLISECOND_NS), kn_runtime_reactor(runtime, 0), &options),
        0);
    turn_until(runtime, &answer);
    assert_int_equal(answer.outcome.status, KN_READY);
    assert_int_equal(answer.times, 1);
    kn_runtime_close(runtime);
}

static void a_cancelled_task_drops_its_future(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){.reactors = 1});
    struct kn_reactor *reactor = kn_runtime_reactor(runtime, 0);
    struct kn_future_task task = {.context = NULL};
    struct kn_future_delay delay;
    struct answer answer = {.times = 0};
    struct kn_future_options options = {.finished = note_answer, .context = &answer};
    assert_int_equal(kn_future_spawn(&task, kn_future_delay(&delay, 60 * KN_SECOND_NS), reactor, &options), 0);
    reactors_settle(runtime);
    assert_int_equal(kn_counter_read(&kn_reactor_timer_counters(reactor)->live), 1);
    assert_true(task.task.flags & KN_TASK_PINNED);
    kn_task_cancel(&task.task);
    reactors_settle(runtime);
    assert_int_equal(answer.outcome.status, -ECANCELED);
    assert_int_equal(kn_counter_read(&kn_reactor_timer_counters(reactor)->live), 0);
    kn_runtime_close(runtime);
}

static void count_discard(kn_value_t value, void *context)
{
    *(int64_t *)context += value.integer;
}

static void a_value_that_nobody_takes_is_discarded(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){.reactors = 1});
    struct kn_future_task task = {.context = NULL};
    struct kn_future_ready ready;
    struct kn_future_owned owned;
    int64_t discarded = 0;
    struct kn_future *future =
        kn_future_owned(&owned, kn_future_ready(&ready, KN_VALUE(41)), count_discard, &discarded);
    assert_int_equal(kn_future_spawn(&task, future, kn_runtime_reactor(runtime, 0), NULL), 0);
    reactors_settle(runtime);
    assert_int_equal(discarded, 41);
    assert_int_equal(kn_future_spawn(&task, NULL, kn_runtime_reactor(runtime, 0), NULL), -ENOMEM);
    assert_int_equal(kn_future_spawn(NULL, kn_future_ready(&ready, KN_NOTHING), kn_runtime_reactor(runtime, 0), NULL),
                     -ENOMEM);
    kn_runtime_close(runtime);
}

static struct kn_outcome remaining(void *context, struct kn_context *poll)
{
    (void)context;
    return kn_ready(KN_VALUE(poll->deadline_ns));
}

static void a_task_hands_its_deadline_down(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){.reactors = 1});
    struct kn_future_task task = {.context = NULL};
    struct kn_future_poll_fn fn;
    struct answer answer = {.times = 0};
    struct kn_future_options options = {.finished = note_answer, .context = &answer, .deadline_ns = 12345};
    assert_int_equal(
        kn_future_spawn(&task, kn_future_poll_fn(&fn, remaining, NULL), kn_runtime_reactor(runtime, 0), &options), 0);
    reactors_settle(runtime);
    assert_int_equal(answer.outcome.value.natural, 12345);
    kn_runtime_close(runtime);
}

/* ---- tasks of a pool, with an arena ---- */

struct pooled {
    struct kn_runtime *runtime;
    unsigned made;
    bool was_full;
};

static void spawn_pooled(void *argument)
{
    struct pooled *pooled = argument;
    struct kn_reactor *reactor = kn_runtime_reactor(pooled->runtime, 0);
    for (;;) {
        struct kn_future_task *task = kn_future_task_acquire(reactor);
        if (!task)
            break;
        struct kn_future *future = KN_IN(&task->arena, kn_future_yield);
        future = KN_IN(&task->arena, kn_future_timeout, future, KN_SECOND_NS);
        assert_non_null(future);
        while (KN_IN(&task->arena, kn_future_yield))
            pooled->was_full = true;
        assert_int_equal(kn_future_spawn(task, future, reactor, NULL), 0);
        pooled->made++;
    }
}

static void tasks_of_the_pool_bring_an_arena_and_return(void **state)
{
    (void)state;
    struct kn_runtime *runtime =
        reactors_open((struct kn_runtime_options){.reactors = 1, .pool_tasks = 4, .pool_task_bytes = 512});
    struct pooled pooled = {.runtime = runtime};
    for (unsigned round = 1; round <= 3; round++) {
        spawn_pooled(&pooled);
        assert_int_equal(pooled.made, 4 * round);
        assert_true(pooled.was_full);
        reactors_settle(runtime);
        assert_int_equal(REACTORS_COUNTER(runtime, 0, pool_used), 0);
    }
    struct kn_future_task *task = kn_future_task_acquire(kn_runtime_reactor(runtime, 0));
    kn_future_task_give_back(kn_runtime_reactor(runtime, 0), task);
    assert_int_equal(REACTORS_COUNTER(runtime, 0, pool_used), 0);
    kn_runtime_close(runtime);
}

static void a_pool_of_small_objects_has_no_such_tasks(void **state)
{
    (void)state;
    struct kn_runtime *runtime =
        reactors_open((struct kn_runtime_options){.reactors = 1, .pool_tasks = 4, .pool_task_bytes = 64});
    assert_null(kn_future_task_acquire(kn_runtime_reactor(runtime, 0)));
    assert_null(kn_remote_acquire(kn_runtime_reactor(runtime, 0)));
    kn_runtime_close(runtime);
}

/* ---- tasks that move ---- */

struct work {
    struct kn_future_task task;
    struct kn_future_yield yield;
    KN_ASYNC_STATE;
    unsigned rounds;
    struct kn_future_delay delay;
    _Atomic uint64_t *sum;
};

KN_ASYNC(work)
{
    KN_BEGIN;
    for (self->rounds = 0; self->rounds < 20; self->rounds++) {
        KN_TRY(kn_future_yield(&self->yield));
        if (self->rounds % 5 == 0)
            KN_TRY(kn_future_delay(&self->delay, 20000));
    }
    atomic_fetch_add_explicit(self->sum, self->rounds, memory_order_relaxed);
    KN_FINISH;
}

static void tasks_move_between_cores_and_timers_stay(void **state)
{
    (void)state;
    enum { COUNT = 2000 };
    struct work *works = calloc(COUNT, sizeof *works);
    assert_non_null(works);
    _Atomic uint64_t sum = 0;
    struct kn_task_group group;
    kn_task_group_init(&group, COUNT);
    struct kn_runtime *runtime = reactors_start((struct kn_runtime_options){.reactors = 2, .unpinned = true});
    struct kn_future_options options = {.group = &group};
    for (int i = 0; i < COUNT; i++) {
        works[i].sum = &sum;
        assert_int_equal(kn_future_spawn(&works[i].task, work(&works[i]), kn_runtime_reactor(runtime, 0), &options), 0);
    }
    assert_int_equal(kn_task_group_join(&group, NULL), 0);
    assert_int_equal(atomic_load(&sum), COUNT * 20);
    kn_runtime_close(runtime);
    free(works);
}

/* ---- handles ---- */

struct square {
    KN_ASYNC_STATE;
    int64_t number;
    struct kn_future_yield yield;
};

KN_ASYNC(square)
{
    KN_BEGIN;
    KN_TRY(kn_future_yield(&self->yield));
    if (self->number < 0)
        KN_FAIL(-EDOM);
    KN_RETURN(self->number * self->number);
}

/* Sums squares that are computed on the other reactors. */
struct parent {
    KN_ASYNC_STATE;
    struct kn_runtime *runtime;
    int64_t number;
    int64_t until;
    int64_t sum;
    struct kn_future_remote handle;
};

static struct kn_future *square_elsewhere(struct parent *self, struct kn_context *context)
{
    struct kn_remote *remote = kn_remote_acquire(context->executor->reactor);
    if (!remote)
        return NULL;
    struct square *state = KN_ARENA_NEW(&remote->task.arena, struct square);
    if (state)
        *state = (struct square){.number = self->number};
    size_t there = (size_t)self->number % kn_runtime_count(self->runtime);
    return kn_future_remote(&self->handle, remote, square(state), kn_runtime_reactor(self->runtime, there), NULL);
}

KN_ASYNC(parent)
{
    KN_BEGIN;
    for (self->number = 0; self->number < self->until; self->number++) {
        int64_t answer;
        KN_TRY_INTO(answer, square_elsewhere(self, context));
        self->sum += answer;
    }
    KN_RETURN(self->sum);
}

static void a_handle_answers_what_ran_on_another_reactor(void **state)
{
    (void)state;
    enum { PARENTS = 20 };
    struct parent parents[PARENTS];
    struct kn_future_task tasks[PARENTS] = {{.context = NULL}};
    struct answer answers[PARENTS] = {{.times = 0}};
    struct kn_task_group group;
    kn_task_group_init(&group, PARENTS);
    struct kn_runtime *runtime = reactors_start(
        (struct kn_runtime_options){.reactors = 2, .unpinned = true, .pool_tasks = 64, .pool_task_bytes = 512});
    for (int i = 0; i < PARENTS; i++) {
        struct kn_future_options options = {.group = &group, .finished = note_answer, .context = &answers[i]};
        parents[i] = (struct parent){.runtime = runtime, .until = 100};
        assert_int_equal(kn_future_spawn(&tasks[i], parent(&parents[i]), kn_runtime_reactor(runtime, 0), &options), 0);
    }
    assert_int_equal(kn_task_group_join(&group, NULL), 0);
    for (int i = 0; i < PARENTS; i++)
        assert_int_equal(answers[i].outcome.value.integer, 99 * 100 * 199 / 6);
    REACTORS_AWAIT(REACTORS_COUNTER(runtime, 0, pool_used) + REACTORS_COUNTER(runtime, 1, pool_used) == 0);
    kn_runtime_close(runtime);
}

/* Gives up at once on what would take a minute, again and again. */
struct impatient {
    KN_ASYNC_STATE;
    struct kn_runtime *runtime;
    unsigned rounds;
    struct kn_future_remote handle;
    struct kn_future_timeout timeout;
};

static struct kn_future *sleep_elsewhere(struct impatient *self, struct kn_context *context)
{
    struct kn_remote *remote = kn_remote_acquire(context->executor->reactor);
    if (!remote)
        return NULL;
    struct kn_future *sleep = KN_IN(&remote->task.arena, kn_future_delay, 60 * KN_SECOND_NS);
    struct kn_future *handle =
        kn_future_remote(&self->handle, remote, sleep, kn_runtime_reactor(self->runtime, self->rounds % 2), NULL);
    return kn_future_timeout(&self->timeout, handle, self->rounds % 3 * 5000);
}

KN_ASYNC(impatient)
{
    KN_BEGIN;
    for (self->rounds = 0; self->rounds < 200; self->rounds++) {
        KN_AWAIT(sleep_elsewhere(self, context));
        if (KN_OUTCOME.status != -ETIMEDOUT)
            KN_FAIL(KN_OUTCOME.status);
    }
    KN_FINISH;
}

static void dropping_a_handle_cancels_its_task(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_start(
        (struct kn_runtime_options){.reactors = 2, .unpinned = true, .pool_tasks = 512, .pool_task_bytes = 512});
    struct kn_task_group group;
    struct impatient impatient_state = {.runtime = runtime};
    struct kn_future_task task = {.context = NULL};
    struct answer answer = {.times = 0};
    struct kn_future_options options = {.group = &group, .finished = note_answer, .context = &answer};
    kn_task_group_init(&group, 1);
    assert_int_equal(kn_future_spawn(&task, impatient(&impatient_state), kn_runtime_reactor(runtime, 0), &options), 0);
    assert_int_equal(kn_task_group_join(&group, NULL), 0);
    assert_int_equal(answer.outcome.status, KN_READY);
    REACTORS_AWAIT(REACTORS_COUNTER(runtime, 0, pool_used) + REACTORS_COUNTER(runtime, 1, pool_used) == 0);
    kn_runtime_close(runtime);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_spawned_future_answers_its_finished_function),
        cmocka_unit_test(a_cancelled_task_drops_its_future),
        cmocka_unit_test(a_value_that_nobody_takes_is_discarded),
        cmocka_unit_test(a_task_hands_its_deadline_down),
        cmocka_unit_test(tasks_of_the_pool_bring_an_arena_and_return),
        cmocka_unit_test(a_pool_of_small_objects_has_no_such_tasks),
        cmocka_unit_test(tasks_move_between_cores_and_timers_stay),
        cmocka_unit_test(a_handle_answers_what_ran_on_another_reactor),
        cmocka_unit_test(dropping_a_handle_cancels_its_task),
    };
    return cmocka_run_group_tests_name("future_task", tests, NULL, NULL);
}
