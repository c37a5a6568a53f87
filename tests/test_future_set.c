/* Sets of futures, in every order of wake-ups: their answers, and what happens to members and values. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <kernel/future_set.h>

#include "async_harness.h"

enum { MEMBERS = 3, ITEMS_MAX = 16 };

/* ---- a consumer ---- */

struct drain;

/* Sees each answer before it is discarded. */
typedef void drain_item(struct drain *drain, struct kn_outcome outcome);

/* A future that takes a set's answers to the end and answers with their number. The memory of who has answered is
 * overwritten at once, as nobody may touch it any more. */
struct drain {
    struct kn_future future;
    struct kn_future_set set;
    struct kn_future_member members[MEMBERS];
    struct harness *world;
    drain_item *item;
    int64_t taken[ITEMS_MAX]; /* numbers of owned values, or errors */
    int64_t count;
    bool ended; /* answered or dropped */
};

static struct kn_outcome drain_poll(struct kn_future *future, struct kn_context *context)
{
    struct drain *self = KN_CONTAINER_OF(future, struct drain, future);
    for (;;) {
        struct kn_outcome outcome = kn_stream_poll(&self->set.stream, context);
        if (outcome.status == KN_PENDING)
            return outcome;
        if (outcome.status == KN_END) {
            self->ended = true;
            return kn_ready(KN_VALUE(self->count));
        }
        struct kn_future_member *last = kn_future_set_last(&self->set);
        assert_non_null(last);
        memset(last, 0xaa, sizeof *last);
        assert_true(self->count < ITEMS_MAX);
        self->taken[self->count++] =
            outcome.status == KN_READY ? ((struct harness_object *)outcome.value.pointer)->number : outcome.status;
        if (self->item)
            self->item(self, outcome);
        kn_stream_discard_outcome(&self->set.stream, outcome);
    }
}

static void drain_drop(struct kn_future *future)
{
    struct drain *self = KN_CONTAINER_OF(future, struct drain, future);
    self->ended = true;
    kn_stream_drop(&self->set.stream);
}

static const struct kn_future_type drain_type = {.name = "drain", .poll = drain_poll, .drop = drain_drop};

static struct drain *new_drain(struct harness *world, bool ordered, drain_item *item)
{
    struct drain *self = KN_ARENA_NEW(harness_arena(world), struct drain);
    assert_non_null(self);
    self->future.type = &drain_type;
    self->world = world;
    self->item = item;
    self->count = 0;
    self->ended = false;
    assert_non_null(ordered ? kn_future_set_ordered(&self->set) : kn_future_set(&self->set));
    return self;
}

static void add_owned(struct drain *self, size_t member, unsigned pendings, int64_t number)
{
    struct kn_future *future = harness_owned_future(self->world, pendings, number);
    assert_int_equal(kn_future_set_add(&self->set, &self->members[member], future), 0);
}

/* ---- every order of wake-ups, every point of a drop ---- */

/* What one exploration is about. */
struct plan {
    bool ordered;
    unsigned pendings[MEMBERS];
    int64_t answers[MEMBERS]; /* numbers of owned values, or errors */
    size_t members;
    drain_item *item;
    struct drain *drain;
};

static void build_plan(struct harness *world, void *context)
{
    struct plan *plan = context;
    plan->drain = new_drain(world, plan->ordered, plan->item);
    for (size_t i = 0; i < plan->members; i++) {
        if (plan->answers[i] >= 0)
            add_owned(plan->drain, i, plan->pendings[i], plan->answers[i]);
        else
            kn_future_set_add(&plan->drain->set, &plan->drain->members[i],
                              harness_future(world, plan->pendings[i], kn_failed(plan->answers[i])));
    }
    harness_spawn(world, &plan->drain->future);
}

static void check_same_in_any_order(struct harness *world, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)world;
    (void)task;
    const struct plan *plan = context;
    assert_int_equal(outcome.status, KN_READY);
    assert_int_equal(outcome.value.integer, plan->members);
    for (size_t i = 0; i < plan->members; i++) {
        size_t found = 0;
        for (int64_t at = 0; at < plan->drain->count; at++)
            found += plan->drain->taken[at] == plan->answers[i];
        assert_int_equal(found, 1);
    }
}

static void check_in_order(struct harness *world, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)world;
    (void)task;
    const struct plan *plan = context;
    assert_int_equal(outcome.value.integer, plan->members);
    assert_memory_equal(plan->drain->taken, plan->answers, plan->members * sizeof plan->answers[0]);
}

static void unordered_set_answers_with_every_member_once(void **state)
{
    (void)state;
    struct plan plan = {.members = 3, .pendings = {2, 2, 1}, .answers = {10, 11, 12}};
    assert_true(harness_explore(build_plan, check_same_in_any_order, &plan, NULL) > 100);
}

static void unordered_set_answers_with_failures_as_with_values(void **state)
{
    (void)state;
    struct plan plan = {.members = 3, .pendings = {1, 2, 1}, .answers = {10, -EPIPE, 12}};
    harness_explore(build_plan, check_same_in_any_order, &plan, NULL);
}

static void ordered_set_answers_in_the_order_of_its_members(void **state)
{
    (void)state;
    struct plan plan = {.ordered = true, .members = 3, .pendings = {2, 2, 1}, .answers = {10, 11, 12}};
    assert_true(harness_explore(build_plan, check_in_order, &plan, NULL) > 100);
}

static void ordered_set_keeps_the_place_of_a_failure(void **state)
{
    (void)state;
    struct plan plan = {.ordered = true, .members = 3, .pendings = {1, 2, 1}, .answers = {10, -EPIPE, -EIO}};
    harness_explore(build_plan, check_in_order, &plan, NULL);
}

/* Adds another member in the memory of the first that has answered. */
static void add_in_place_of_the_last(struct drain *drain, struct kn_outcome outcome)
{
    (void)outcome;
    if (drain->count > 2)
        return;
    add_owned(drain, (size_t)(drain->taken[drain->count - 1] % 10), 1, drain->taken[drain->count - 1] + 10);
}

static void check_grown(struct harness *world, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)world;
    (void)task;
    (void)context;
    assert_int_equal(outcome.value.integer, 4);
}

static void members_are_added_while_the_set_runs_in_memory_of_those_before(void **state)
{
    (void)state;
    for (int ordered = 0; ordered < 2; ordered++) {
        struct plan plan = {.ordered = ordered,
                            .members = 2,
                            .pendings = {1, 1},
                            .answers = {10, 11},
                            .item = add_in_place_of_the_last};
        harness_explore(build_plan, check_grown, &plan, NULL);
    }
}

static void remove_the_middle(struct drain *drain, struct kn_outcome outcome)
{
    (void)outcome;
    if (drain->taken[drain->count - 1] == 11)
        return;
    kn_future_set_remove(&drain->set, &drain->members[1]);
    kn_future_set_remove(&drain->set, &drain->members[1]); /* once more is harmless */
    memset(&drain->members[1], 0, sizeof drain->members[1]);
}

static void check_without_the_middle(struct harness *world, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)world;
    (void)task;
    const struct plan *plan = context;
    const struct drain *drain = plan->drain;
    bool came_first = drain->taken[0] == 11;
    assert_int_equal(outcome.value.integer, came_first ? 3 : 2);
    if (plan->ordered)
        assert_false(came_first);
}

static void removed_member_is_dropped_and_answers_no_more(void **state)
{
    (void)state;
    for (int ordered = 0; ordered < 2; ordered++) {
        struct plan plan = {.ordered = ordered,
                            .members = 3,
                            .pendings = {1, 1, 1},
                            .answers = {10, 11, 12},
                            .item = remove_the_middle};
        harness_explore(build_plan, check_without_the_middle, &plan, NULL);
    }
}

/* ---- two tasks ---- */

/* Removes the only member, or adds one to a set whose first is still there. */
static struct kn_outcome change_from_outside(void *context)
{
    struct plan *plan = context;
    struct drain *drain = plan->drain;
    if (plan->members == 1)
        kn_future_set_remove(&drain->set, &drain->members[0]);
    else if (!drain->ended)
        add_owned(drain, 2, 1, 12);
    return kn_ready(KN_NOTHING);
}

/* Waits, and then does that. */
struct changer {
    struct kn_future future;
    struct kn_future *wait;
    struct plan *plan;
};

static struct kn_outcome changer_poll(struct kn_future *future, struct kn_context *context)
{
    struct changer *self = KN_CONTAINER_OF(future, struct changer, future);
    struct kn_outcome outcome = kn_future_poll(self->wait, context);
    return outcome.status == KN_PENDING ? outcome : change_from_outside(self->plan);
}

static void changer_drop(struct kn_future *future)
{
    kn_future_drop(KN_CONTAINER_OF(future, struct changer, future)->wait);
}

static const struct kn_future_type changer_type = {.name = "changer", .poll = changer_poll, .drop = changer_drop};

static void build_two_tasks(struct harness *world, void *context)
{
    build_plan(world, context);
    struct changer *changer = KN_ARENA_NEW(harness_arena(world), struct changer);
    *changer = (struct changer){
        .future.type = &changer_type, .wait = harness_future(world, 1, kn_ready(KN_NOTHING)), .plan = context};
    harness_spawn(world, &changer->future);
}

static void check_changed(struct harness *world, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)world;
    const struct plan *plan = context;
    if (task == 0 && plan->members == 1)
        assert_in_range(outcome.value.integer, 0, 1);
    else if (task == 0)
        assert_in_range(outcome.value.integer, 2, 3);
}

static void removing_the_last_member_from_outside_wakes_who_waits_for_the_end(void **state)
{
    (void)state;
    struct plan plan = {.members = 1, .pendings = {2}, .answers = {10}};
    harness_explore(build_two_tasks, check_changed, &plan, NULL);
}

static void adding_a_member_from_outside_wakes_who_waits(void **state)
{
    (void)state;
    struct plan plan = {.members = 2, .pendings = {1, 1}, .answers = {10, 11}};
    harness_explore(build_two_tasks, check_changed, &plan, NULL);
}

/* ---- sets in sets ---- */

static void build_nested(struct harness *world, void *context)
{
    struct drain **inner = context;
    struct kn_future_set *outer = KN_ARENA_NEW(harness_arena(world), struct kn_future_set);
    struct kn_future_member *members =
        kn_arena_allocate(harness_arena(world), 2 * sizeof *members, alignof(max_align_t));
    assert_non_null(kn_future_set(outer));
    for (size_t i = 0; i < 2; i++) {
        inner[i] = new_drain(world, i == 1, NULL);
        add_owned(inner[i], 0, 1, 10);
        add_owned(inner[i], 1, (unsigned)(1 - i), 11);
        assert_int_equal(kn_future_set_add(outer, &members[i], &inner[i]->future), 0);
    }
    /* Answers with the inner set that is done first; dropping the outer one is the harness's. */
    struct kn_stream_next *next = KN_ARENA_NEW(harness_arena(world), struct kn_stream_next);
    harness_spawn(world, kn_stream_next(next, &outer->stream));
    inner[2] = (void *)outer;
}

static void drop_outer(struct harness *world, void *context)
{
    (void)world;
    struct drain **inner = context;
    kn_stream_drop(&((struct kn_future_set *)(void *)inner[2])->stream);
}

static void check_two(struct harness *world, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)world;
    (void)task;
    (void)context;
    assert_int_equal(outcome.status, KN_READY);
    assert_int_equal(outcome.value.integer, 2);
}

static void sets_are_members_of_sets(void **state)
{
    (void)state;
    struct drain *inner[3];
    struct harness_options options = {.ended = drop_outer};
    harness_explore(build_nested, check_two, inner, &options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unordered_set_answers_with_every_member_once),
        cmocka_unit_test(unordered_set_answers_with_failures_as_with_values),
        cmocka_unit_test(ordered_set_answers_in_the_order_of_its_members),
        cmocka_unit_test(ordered_set_keeps_the_place_of_a_failure),
        cmocka_unit_test(members_are_added_while_the_set_runs_in_memory_of_those_before),
        cmocka_unit_test(removed_member_is_dropped_and_answers_no_more),
        cmocka_unit_test(removing_the_last_member_from_outside_wakes_who_waits_for_the_end),
        cmocka_unit_test(adding_a_member_from_outside_wakes_who_waits),
        cmocka_unit_test(sets_are_members_of_sets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
