/*
 * Functions that wait, and generators.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include <kernel/async.h>
#include <kernel/future_time.h>

#include "async_harness.h"

/* ---- waits in loops, branches and switches ---- */

struct walk {
    KN_ASYNC_STATE;
    struct harness *world;
    int64_t total;
    int step;
};

KN_ASYNC(walk)
{
    KN_BEGIN;
    for (self->step = 0; self->step < 4; self->step++) {
        switch (self->step) {
        case 0:
            KN_TRY(harness_future(self->world, 1, kn_ready(KN_VALUE(1))));
            self->total += KN_OUTCOME.value.integer;
            break;
        case 1:
            if (self->total == 1) {
                int64_t value;
                KN_TRY_INTO(value, harness_future(self->world, 1, kn_ready(KN_VALUE(10))));
                self->total += value;
            } else {
                KN_FAIL(-EPROTO);
            }
            break;
        case 2:
            KN_AWAIT(harness_future(self->world, 0, kn_failed(-EIO)));
            self->total += KN_OUTCOME.status == -EIO ? 100 : 0;
            KN_YIELD;
            break;
        default:
            KN_TRY(harness_future(self->world, 1, kn_ready(KN_VALUE(1000))));
            self->total += KN_OUTCOME.value.integer;
            break;
        }
    }
    KN_RETURN(self->total);
}

static void build_walk(struct harness *world, void *context)
{
    (void)context;
    struct walk *memory = KN_ARENA_NEW(harness_arena(world), struct walk);
    *memory = (struct walk){.world = world};
    harness_spawn(world, walk(memory));
}

static void check_walk(struct harness *world, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)world;
    (void)task;
    ++*(unsigned *)context;
    assert_int_equal(outcome.status, KN_READY);
    assert_int_equal(outcome.value.integer, 1111);
}

static void waits_stand_in_loops_branches_and_switches(void **state)
{
    (void)state;
    unsigned answers = 0;
    harness_explore(build_walk, check_walk, &answers, NULL);
    assert_true(answers > 0);
}

/* ---- failures, cleanup, drops ---- */

struct careful {
    KN_ASYNC_STATE;
    struct harness *world;
    struct harness_object *held;
    int64_t error;
    unsigned *cleanups;
};

static void careful_cleanup(struct careful *self)
{
    ++*self->cleanups;
    if (self->held)
        harness_object_free(self->held);
}

KN_ASYNC_WITH_CLEANUP(careful, careful_cleanup)
{
    KN_BEGIN;
    KN_TRY_INTO(self->held, harness_owned_future(self->world, 1, 3));
    KN_TRY(harness_future(self->world, 1, self->error ? kn_failed(self->error) : kn_ready(KN_NOTHING)));
    KN_TRY(harness_future(self->world, 1, kn_ready(KN_NOTHING)));
    KN_RETURN(self->held->number);
}

struct careful_case {
    int64_t error;
    unsigned cleanups;
    unsigned begun;
};

static void build_careful(struct harness *world, void *context)
{
    struct careful_case *expected = context;
    struct careful *memory = KN_ARENA_NEW(harness_arena(world), struct careful);
    *memory = (struct careful){.world = world, .error = expected->error, .cleanups = &expected->cleanups};
    expected->cleanups = 0;
    harness_spawn(world, careful(memory));
}

static void check_careful(struct harness *world, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)world;
    (void)task;
    struct careful_case *expected = context;
    assert_int_equal(expected->cleanups, 1);
    expected->begun++;
    if (expected->error)
        assert_int_equal(outcome.status, expected->error);
    else
        assert_int_equal(outcome.value.integer, 3);
}

static void end_careful(struct harness *world, void *context)
{
    (void)world;
    assert_true(((struct careful_case *)context)->cleanups <= 1);
}

static void a_function_cleans_up_once_however_it_ends(void **state)
{
    (void)state;
    struct harness_options options = {.ended = end_careful};
    for (int64_t error = 0; error >= -EPIPE; error -= EPIPE) {
        struct careful_case expected = {.error = error};
        harness_explore(build_careful, check_careful, &expected, &options);
        assert_true(expected.begun > 0);
    }
}

struct nothing {
    KN_ASYNC_STATE;
    unsigned cleanups;
};

static void nothing_cleanup(struct nothing *self)
{
    self->cleanups++;
}

KN_ASYNC_WITH_CLEANUP(nothing, nothing_cleanup)
{
    KN_BEGIN;
    KN_AWAIT(NULL);
    if (KN_OUTCOME.status != -ENOMEM)
        KN_FAIL(-EPROTO);
    KN_FINISH;
}

static void a_function_that_has_not_begun_does_not_clean_up(void **state)
{
    (void)state;
    static struct kn_local_executor executor;
    struct nothing memory = {.cleanups = 0};
    kn_local_executor_init(&executor, 0);
    kn_future_drop(nothing(&memory));
    assert_int_equal(memory.cleanups, 0);
    assert_int_equal(kn_local_executor_run(&executor, nothing(&memory)).status, KN_READY);
    assert_int_equal(memory.cleanups, 1);
    kn_future_drop(&memory.async.future);
    assert_int_equal(memory.cleanups, 1);
    assert_null(nothing(NULL));
}

/* ---- functions that call functions ---- */

struct leaf_call {
    KN_ASYNC_STATE;
    int64_t depth;
    struct leaf_call *inner;
    struct kn_future_delay pause;
};

KN_ASYNC(leaf_call)
{
    KN_BEGIN;
    if (self->inner) {
        int64_t below;
        KN_TRY_INTO(below, leaf_call(self->inner));
        KN_RETURN(below + 1);
    }
    KN_TRY(kn_future_delay(&self->pause, KN_MILLISECOND_NS));
    KN_RETURN(0);
}

static void functions_await_functions(void **state)
{
    (void)state;
    static struct kn_local_executor executor;
    struct leaf_call calls[50] = {{.depth = 0}};
    for (int i = 0; i < 49; i++)
        calls[i].inner = &calls[i + 1];
    kn_local_executor_init(&executor, 0);
    assert_int_equal(kn_local_executor_run(&executor, leaf_call(&calls[0])).value.integer, 49);
}

/* ---- generators ---- */

struct squares {
    KN_GENERATOR_STATE;
    struct harness *world;
    int64_t number;
    int64_t fails_at;
    unsigned *cleanups;
};

static void squares_cleanup(struct squares *self)
{
    ++*self->cleanups;
}

KN_GENERATOR_WITH_CLEANUP(squares, squares_cleanup)
{
    KN_BEGIN;
    for (self->number = 1; self->number <= 3; self->number++) {
        KN_TRY(harness_future(self->world, 1, kn_ready(KN_NOTHING)));
        if (self->number == self->fails_at)
            KN_FAIL(-ERANGE);
        KN_EMIT(self->number * self->number);
    }
    KN_FINISH_STREAM;
}

struct sum {
    KN_ASYNC_STATE;
    struct squares squares;
    struct kn_stream *stream;
    int64_t total;
};

static void sum_cleanup(struct sum *self)
{
    kn_stream_drop(self->stream);
}

KN_ASYNC_WITH_CLEANUP(sum, sum_cleanup)
{
    KN_BEGIN;
    self->stream = squares(&self->squares);
    for (;;) {
        KN_NEXT(self->stream);
        if (KN_OUTCOME.status != KN_READY)
            break;
        self->total += KN_OUTCOME.value.integer;
    }
    if (KN_OUTCOME.status != KN_END)
        KN_FAIL(KN_OUTCOME.status);
    KN_RETURN(self->total);
}

struct sum_case {
    int64_t fails_at;
    unsigned cleanups;
    unsigned answers;
};

static void build_sum(struct harness *world, void *context)
{
    struct sum_case *expected = context;
    expected->cleanups = 0;
    struct sum *memory = KN_ARENA_NEW(harness_arena(world), struct sum);
    *memory =
        (struct sum){.squares = {.world = world, .fails_at = expected->fails_at, .cleanups = &expected->cleanups}};
    harness_spawn(world, sum(memory));
}

static void check_sum(struct harness *world, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)world;
    (void)task;
    struct sum_case *expected = context;
    expected->answers++;
    assert_int_equal(expected->cleanups, 1);
    if (expected->fails_at)
        assert_int_equal(outcome.status, -ERANGE);
    else
        assert_int_equal(outcome.value.integer, 14);
}

static void a_generator_hands_out_items_until_it_ends_or_fails(void **state)
{
    (void)state;
    for (int64_t fails_at = 0; fails_at <= 3; fails_at++) {
        struct sum_case expected = {.fails_at = fails_at};
        harness_explore(build_sum, check_sum, &expected, NULL);
        assert_true(expected.answers > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waits_stand_in_loops_branches_and_switches),
        cmocka_unit_test(a_function_cleans_up_once_however_it_ends),
        cmocka_unit_test(a_function_that_has_not_begun_does_not_clean_up),
        cmocka_unit_test(functions_await_functions),
        cmocka_unit_test(a_generator_hands_out_items_until_it_ends_or_fails),
    };
    return cmocka_run_group_tests_name("async", tests, NULL, NULL);
}
