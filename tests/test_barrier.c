/* Barriers of tasks: nobody goes on before all are there, one leads, and who leaves counts no more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <kernel/barrier.h>

#include "async_locks.h"

static void a_barrier_of_one_or_none_holds_off_nobody(void **state)
{
    (void)state;
    struct kn_barrier zeroed = {.tasks = 0};
    struct kn_barrier one = KN_BARRIER_INIT(1);
    for (unsigned i = 0; i < 2; i++) {
        struct kn_barrier_wait wait;
        struct kn_outcome outcome = kn_block_on(kn_barrier_wait(&wait, &zeroed), 0);
        assert_int_equal(outcome.status, KN_READY);
        assert_int_equal(outcome.value.integer, 1);
        outcome = kn_block_on(kn_barrier_wait(&wait, &one), 0);
        assert_int_equal(outcome.status, KN_READY);
        assert_int_equal(outcome.value.integer, 1);
    }
}

static void the_last_leads_and_lets_the_others_go(void **state)
{
    (void)state;
    struct kn_barrier barrier;
    struct kn_barrier_wait waits[3];
    struct kn_local_executor locals[3];
    struct kn_outcome outcome;
    kn_barrier_init(&barrier, 3);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 3; i++) {
            kn_local_executor_init(&locals[i], 0);
            assert_int_equal(kn_local_executor_poll(&locals[i], kn_barrier_wait(&waits[i], &barrier), &outcome),
                             i == 2);
        }
        assert_int_equal(outcome.value.integer, 1);
        for (unsigned i = 0; i < 2; i++) {
            assert_true(kn_local_executor_is_woken(&locals[i]));
            assert_true(kn_local_executor_poll(&locals[i], &waits[i].future, &outcome));
            assert_int_equal(outcome.value.integer, 0);
        }
    }
}

static void null_makes_null(void **state)
{
    (void)state;
    struct kn_barrier barrier = KN_BARRIER_INIT(2);
    struct kn_barrier_wait wait;
    assert_null(kn_barrier_wait(NULL, &barrier));
    assert_null(kn_barrier_wait(&wait, NULL));
}

/* ---- all orders ---- */

enum { TASKS_MAX = 4 };

/* Tasks that come to a barrier. */
struct program {
    unsigned tasks;
    uint32_t width; /* of the barrier */
    struct kn_barrier barrier;
    unsigned generation;      /* how often it has let tasks go */
    unsigned came[TASKS_MAX]; /* the generation then */
    unsigned present;         /* tasks that wait in this generation */
    unsigned free;            /* tasks that were let go and have not answered */
};

static void look_at_task(struct probe *probe, enum probe_event event)
{
    struct program *program = probe->context;
    bool is_leader = event == PROBE_ANSWERS && probe->outcome.value.integer == 1;
    if (event == PROBE_BEGINS) {
        program->came[probe->number] = program->generation;
        program->present++;
    } else if (is_leader) {
        assert_int_equal(program->came[probe->number], program->generation);
        assert_int_equal(program->present, program->width);
        program->generation++;
        program->free += program->width - 1;
        program->present = 0;
    } else if (event == PROBE_WAITS) {
        assert_true(program->present < program->width);
        assert_int_equal(program->came[probe->number], program->generation); /* or it would have been let go */
    } else if (program->came[probe->number] < program->generation) {
        program->free--;
    } else {
        assert_int_equal(event, PROBE_LEAVES);
        program->present--;
    }
    assert_int_equal(program->barrier.waiters.count, program->present - (event == PROBE_BEGINS));
}

static void build(struct harness *world, void *context)
{
    struct program *program = context;
    struct kn_arena *arena = harness_arena(world);
    *program = (struct program){.tasks = program->tasks, .width = program->width};
    kn_barrier_init(&program->barrier, program->width);
    for (unsigned i = 0; i < program->tasks; i++) {
        struct kn_future *wait = KN_IN(arena, kn_barrier_wait, &program->barrier);
        harness_spawn(world, KN_IN(arena, probe, wait, i, look_at_task, program));
    }
}

static void check_ready(struct harness *world, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)world;
    (void)task;
    (void)context;
    assert_int_equal(outcome.status, KN_READY);
}

static void check_nobody_is_left(struct harness *world, void *context)
{
    (void)world;
    const struct program *program = context;
    assert_int_equal(program->present, 0);
    assert_int_equal(program->free, 0);
    assert_true(kn_wait_list_is_empty(&program->barrier.waiters));
}

static void explore(unsigned tasks, uint32_t width)
{
    struct program program = {.tasks = tasks, .width = width};
    struct harness_options options = {.ended = check_nobody_is_left, .may_wait = tasks % width != 0};
    uint64_t executions = harness_explore(build, check_ready, &program, &options);
    print_message("%u at a barrier of %u: %llu executions\n", tasks, (unsigned)width, (unsigned long long)executions);
}

static void all_are_let_go_together_whoever_is_dropped(void **state)
{
    (void)state;
    explore(2, 2);
    explore(3, 3);
    explore(3, 2);
    explore(4, 2);
}

/* ---- threads ---- */

enum { ROUNDS = 1000 };

/* Plain data that only the barrier orders. */
struct shared {
    struct kn_barrier barrier;
    _Atomic uint32_t roles;
    uint64_t steps[PROBE_THREADS];
    _Atomic uint64_t leaders;
};

static void meet(struct shared *shared)
{
    struct kn_barrier_wait wait;
    struct kn_outcome outcome = kn_block_on(kn_barrier_wait(&wait, &shared->barrier), -1);
    assert_int_equal(outcome.status, KN_READY);
    atomic_fetch_add_explicit(&shared->leaders, outcome.value.natural, memory_order_relaxed);
}

static void *step(void *context)
{
    struct shared *shared = context;
    uint32_t role = atomic_fetch_add_explicit(&shared->roles, 1, memory_order_relaxed);
    for (uint64_t round = 1; round <= ROUNDS; round++) {
        shared->steps[role] = round;
        meet(shared);
        for (unsigned i = 0; i < PROBE_THREADS; i++)
            assert_int_equal(shared->steps[i], round);
        meet(shared);
    }
    return NULL;
}

static void threads_go_on_together(void **state)
{
    (void)state;
    struct shared shared = {.barrier = KN_BARRIER_INIT(PROBE_THREADS)};
    probe_threads(step, &shared);
    assert_int_equal(atomic_load(&shared.leaders), 2 * ROUNDS);
}

static void *come_and_go(void *context)
{
    struct shared *shared = context;
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct kn_barrier_wait wait;
        struct kn_outcome outcome = kn_block_on(kn_barrier_wait(&wait, &shared->barrier), (int64_t)(i % 32) * 1000);
        if (outcome.status == -ETIMEDOUT)
            continue;
        assert_int_equal(outcome.status, KN_READY);
        atomic_fetch_add_explicit(&shared->leaders, outcome.value.natural, memory_order_relaxed);
    }
    return NULL;
}

static void threads_that_give_up_leave_nothing_behind(void **state)
{
    (void)state;
    struct shared shared = {.barrier = KN_BARRIER_INIT(2)};
    probe_threads(come_and_go, &shared);
    assert_true(kn_wait_list_is_empty(&shared.barrier.waiters));
    /* Nobody is there: one alone waits. */
    struct kn_barrier_wait wait;
    assert_int_equal(kn_block_on(kn_barrier_wait(&wait, &shared.barrier), 0).status, -ETIMEDOUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_barrier_of_one_or_none_holds_off_nobody),
        cmocka_unit_test(the_last_leads_and_lets_the_others_go),
        cmocka_unit_test(null_makes_null),
        cmocka_unit_test(all_are_let_go_together_whoever_is_dropped),
        cmocka_unit_test(threads_go_on_together),
        cmocka_unit_test(threads_that_give_up_leave_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
