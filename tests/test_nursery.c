/*
 * Scopes: children do not outlive them, failures and drops reach everybody.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <kernel/async.h>
#include <kernel/future_time.h>
#include <kernel/nursery.h>

#include "async_harness.h"

/* A body that starts children and waits in between. */
struct body {
    KN_ASYNC_STATE;
    struct harness *world;
    struct kn_nursery *nursery;
    struct kn_future_member *members;
    int64_t failing; /* number of the child that fails; -1: none */
    int child;
};

enum { CHILDREN = 2 };

static int start_child(struct body *self)
{
    struct kn_future *child = self->child == self->failing ? harness_future(self->world, 1, kn_failed(-ECONNRESET))
                                                           : harness_owned_future(self->world, 1, self->child);
    return kn_nursery_start(self->nursery, &self->members[self->child], child);
}

KN_ASYNC(body)
{
    KN_BEGIN;
    for (self->child = 0; self->child < CHILDREN; self->child++) {
        KN_TRY(harness_future(self->world, self->child == 1, kn_ready(KN_NOTHING)));
        assert_int_equal(start_child(self), 0);
    }
    KN_RETURN(harness_object(self->world, 77));
}

struct scope_case {
    int64_t failing;
    unsigned answers;
    unsigned ended;    /* children of this execution that ended with a value */
    unsigned dropped;  /* or were dropped */
    unsigned failures; /* or failed */
};

static void note_child(struct kn_future_member *member, struct kn_outcome outcome, void *context)
{
    (void)member;
    struct scope_case *expected = context;
    if (outcome.status == KN_READY) {
        expected->ended++;
        harness_object_free(outcome.value.pointer);
    } else if (outcome.status == -ECANCELED) {
        expected->dropped++;
    } else {
        expected->failures++;
    }
}

static void build_scope(struct harness *world, void *context)
{
    struct scope_case *expected = context;
    struct kn_arena *arena = harness_arena(world);
    struct kn_nursery *nursery = KN_ARENA_NEW(arena, struct kn_nursery);
    struct body *memory = KN_ARENA_NEW(arena, struct body);
    struct kn_future_member *members =
        kn_arena_allocate(arena, CHILDREN * sizeof *members, _Alignof(struct kn_future_member));
    *memory = (struct body){.world = world, .nursery = nursery, .members = members, .failing = expected->failing};
    expected->ended = expected->dropped = expected->failures = 0;
    struct kn_future *owned = KN_IN(arena, kn_future_owned, body(memory), harness_discard, NULL);
    harness_spawn(world, kn_nursery(nursery, owned, note_child, expected));
}

static void check_scope(struct harness *world, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)world;
    (void)task;
    struct scope_case *expected = context;
    expected->answers++;
    if (expected->failing >= 0) {
        assert_int_equal(outcome.status, -ECONNRESET);
        assert_int_equal(expected->failures, 1);
    } else {
        assert_int_equal(((struct harness_object *)outcome.value.pointer)->number, 77);
        assert_int_equal(expected->ended, CHILDREN);
    }
}

static void end_scope(struct harness *world, void *context)
{
    (void)world;
    struct scope_case *expected = context;
    assert_true(expected->ended + expected->dropped + expected->failures <= CHILDREN);
}

static void a_scope_answers_once_its_body_and_children_have_ended(void **state)
{
    (void)state;
    struct harness_options options = {.ended = end_scope};
    for (int64_t failing = -1; failing < CHILDREN; failing++) {
        struct scope_case expected = {.failing = failing};
        harness_explore(build_scope, check_scope, &expected, &options);
        assert_true(expected.answers > 0);
    }
}

/* ---- a body that fails ---- */

static void build_failing_body(struct harness *world, void *context)
{
    struct scope_case *expected = context;
    struct kn_arena *arena = harness_arena(world);
    struct kn_nursery *nursery = KN_ARENA_NEW(arena, struct kn_nursery);
    struct kn_future_member *member = KN_ARENA_NEW(arena, struct kn_future_member);
    expected->dropped = expected->ended = 0;
    struct kn_future *scope = kn_nursery(nursery, harness_future(world, 1, kn_failed(-EACCES)), note_child, expected);
    assert_int_equal(kn_nursery_start(nursery, member, harness_owned_future(world, 3, 1)), 0);
    assert_int_equal(kn_nursery_count(nursery), 1);
    harness_spawn(world, scope);
}

static void check_failing_body(struct harness *world, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)world;
    (void)task;
    struct scope_case *expected = context;
    expected->answers++;
    assert_int_equal(outcome.status, -EACCES);
    assert_int_equal(expected->dropped + expected->ended, 1);
}

static void a_body_that_fails_drops_the_children(void **state)
{
    (void)state;
    struct scope_case expected = {.failing = -1};
    harness_explore(build_failing_body, check_failing_body, &expected, NULL);
    assert_true(expected.answers > 0);
}

/* ---- deadlines, and scopes that have ended ---- */

static struct kn_outcome deadline_of(void *context, struct kn_context *poll)
{
    *(uint64_t *)context = poll->deadline_ns;
    return kn_ready(KN_NOTHING);
}

static void children_inherit_the_deadline(void **state)
{
    (void)state;
    static struct kn_local_executor executor;
    struct kn_nursery nursery;
    struct kn_future_member member;
    struct kn_future_ready ready;
    struct kn_future_poll_fn child;
    struct kn_future_timeout timeout;
    uint64_t deadline_ns = 0;
    kn_local_executor_init(&executor, 1000);
    struct kn_future *scope = kn_nursery(&nursery, kn_future_ready(&ready, KN_VALUE(1)), NULL, NULL);
    assert_int_equal(kn_nursery_start(&nursery, &member, kn_future_poll_fn(&child, deadline_of, &deadline_ns)), 0);
    struct kn_outcome outcome = kn_local_executor_run(&executor, kn_future_timeout(&timeout, scope, 500));
    assert_int_equal(outcome.value.integer, 1);
    assert_int_equal(deadline_ns, 1500);
    assert_int_equal(kn_nursery_start(&nursery, &member, kn_future_ready(&ready, KN_NOTHING)), -ECANCELED);
    assert_null(kn_nursery(NULL, kn_future_ready(&ready, KN_NOTHING), NULL, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_scope_answers_once_its_body_and_children_have_ended),
        cmocka_unit_test(a_body_that_fails_drops_the_children),
        cmocka_unit_test(children_inherit_the_deadline),
    };
    return cmocka_run_group_tests_name("nursery", tests, NULL, NULL);
}
