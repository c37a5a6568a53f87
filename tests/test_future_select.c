/* The first of several futures. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <kernel/future_select.h>
#include <kernel/future_then.h>

#include "async_harness.h"

#define NEW(combinator, ...) combinator(KN_ARENA_NEW(harness_arena(world), struct combinator), __VA_ARGS__)

/* Memory of one execution. */
static struct harness *world;
static struct kn_future *children[3];
static struct kn_future_race race;
static struct kn_future_select_all all;
static struct kn_future_select two;
static int64_t sum;

static int64_t number_of(kn_value_t value)
{
    return ((struct harness_object *)value.pointer)->number;
}

static struct kn_outcome poll_once(struct kn_future *future)
{
    static struct kn_local_executor local;
    struct kn_outcome outcome;
    kn_local_executor_init(&local, 0);
    (void)kn_local_executor_poll(&local, future, &outcome);
    return outcome;
}

/* Three leaves that answer with 0, 10, 20 after as many waits as are given. */
static struct kn_future **three(unsigned first, unsigned second, unsigned third)
{
    children[0] = harness_owned_future(world, first, 0);
    children[1] = harness_owned_future(world, second, 10);
    children[2] = harness_owned_future(world, third, 20);
    return children;
}

/* ---- race ---- */

static void build_race(struct harness *of, void *context)
{
    (void)context;
    world = of;
    harness_spawn(world, kn_future_race(&race, three(2, 1, 2), 3));
}

static void check_race(struct harness *of, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)of;
    (void)task;
    bool *won = context;
    assert_int_equal(outcome.status, KN_READY);
    assert_int_equal(number_of(outcome.value), 10 * (int64_t)race.winner);
    won[race.winner] = true;
}

static void race_is_won_by_any_and_drops_the_others(void **state)
{
    (void)state;
    bool won[3] = {false};
    harness_explore(build_race, check_race, won, NULL);
    assert_true(won[0] && won[1] && won[2]);
}

static void build_race_with_failure(struct harness *of, void *context)
{
    (void)context;
    world = of;
    children[0] = harness_owned_future(world, 1, 0);
    children[1] = harness_future(world, 1, kn_failed(-EIO));
    harness_spawn(world, kn_future_race(&race, children, 2));
}

static void check_race_with_failure(struct harness *of, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)of;
    (void)task;
    (void)context;
    assert_int_equal(outcome.status, race.winner == 0 ? KN_READY : -EIO);
}

static void race_may_be_won_by_a_failure(void **state)
{
    (void)state;
    harness_explore(build_race_with_failure, check_race_with_failure, NULL, NULL);
}

/* ---- select_ok ---- */

static void build_select_ok(struct harness *of, void *context)
{
    (void)context;
    world = of;
    three(1, 1, 1);
    kn_future_drop(children[0]);
    children[0] = harness_future(world, 1, kn_failed(-EIO));
    harness_spawn(world, NEW(kn_future_select_ok, children, 3));
}

static void check_select_ok(struct harness *of, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)of;
    (void)task;
    bool *won = context;
    assert_int_equal(outcome.status, KN_READY);
    won[number_of(outcome.value) / 10] = true;
}

static void select_ok_passes_over_failures(void **state)
{
    (void)state;
    bool won[3] = {false};
    harness_explore(build_select_ok, check_select_ok, won, NULL);
    assert_true(!won[0] && won[1] && won[2]);
}

static void build_all_fail(struct harness *of, void *context)
{
    (void)context;
    world = of;
    children[0] = harness_future(world, 0, kn_failed(-EIO));
    children[1] = harness_future(world, 2, kn_failed(-EPIPE));
    children[2] = harness_future(world, 0, kn_failed(-EINTR));
    harness_spawn(world, NEW(kn_future_select_ok, children, 3));
}

static void check_last_failure(struct harness *of, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)of;
    (void)task;
    (void)context;
    assert_int_equal(outcome.status, -EPIPE);
}

static void select_ok_fails_with_the_last_error(void **state)
{
    (void)state;
    harness_explore(build_all_fail, check_last_failure, NULL, NULL);
}

/* ---- select ---- */

static void build_select(struct harness *of, void *context)
{
    (void)context;
    world = of;
    three(1, 2, 0);
    kn_future_drop(children[2]);
    harness_spawn(world, kn_future_select(&two, children[0], children[1]));
}

/* Takes the outcome every other time, and nothing else: the rest goes with the answer. */
static void check_select(struct harness *of, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)of;
    (void)task;
    unsigned *wins = context;
    assert_int_equal(outcome.status, KN_READY);
    int64_t index = outcome.value.integer;
    if (wins[index]++ % 2 == 0)
        return;
    struct kn_outcome taken = kn_future_select_outcome(&two);
    assert_int_equal(taken.status, KN_READY);
    assert_int_equal(number_of(taken.value), 10 * index);
    harness_object_free(taken.value.pointer);
    assert_int_equal(kn_future_select_outcome(&two).status, KN_PENDING);
}

static void select_that_nobody_takes_drops_the_other(void **state)
{
    (void)state;
    unsigned wins[2] = {0};
    harness_explore(build_select, check_select, wins, NULL);
    assert_true(wins[0] > 1 && wins[1] > 1);
}

/* Goes on with the one that lost. */
static struct kn_future *go_on_with_other(kn_value_t value, void *context)
{
    (void)context;
    struct kn_outcome outcome = kn_future_select_outcome(&two);
    assert_int_equal(number_of(outcome.value), 10 * value.integer);
    sum = number_of(outcome.value);
    harness_object_free(outcome.value.pointer);
    struct kn_future *other = kn_future_select_other(&two);
    assert_null(kn_future_select_other(&two));
    return other;
}

static void build_select_both(struct harness *of, void *context)
{
    (void)context;
    world = of;
    three(1, 2, 0);
    kn_future_drop(children[2]);
    struct kn_future *either = kn_future_select(&two, children[0], children[1]);
    harness_spawn(world, NEW(kn_future_and_then, either, go_on_with_other, NULL));
}

static void check_select_both(struct harness *of, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)of;
    (void)task;
    (void)context;
    assert_int_equal(outcome.status, KN_READY);
    assert_int_equal(sum + number_of(outcome.value), 10);
}

static void select_hands_the_other_back(void **state)
{
    (void)state;
    harness_explore(build_select_both, check_select_both, NULL, NULL);
}

static void select_prefers_the_first_and_tells_of_failures(void **state)
{
    (void)state;
    struct kn_future_select memory;
    struct kn_future_ready ready[2];
    struct kn_outcome outcome = poll_once(
        kn_future_select(&memory, kn_future_failed(&ready[0], -EIO), kn_future_ready(&ready[1], KN_VALUE(1))));
    assert_int_equal(outcome.status, KN_READY);
    assert_int_equal(outcome.value.integer, 0);
    assert_int_equal(kn_future_select_outcome(&memory).status, -EIO);
    assert_ptr_equal(kn_future_select_other(&memory), &ready[1].future);
}

/* ---- select_all ---- */

/* Takes one answer after the other. */
static struct kn_future *take_answer(kn_value_t value, void *context)
{
    assert_in_range(value.integer, 0, 2);
    struct kn_outcome outcome = kn_future_select_all_outcome(&all);
    sum += number_of(outcome.value) + 1;
    harness_object_free(outcome.value.pointer);
    size_t left = kn_future_select_all_rest(&all);
    assert_int_equal(kn_future_select_all_rest(&all), 0);
    if (left == 0)
        return NEW(kn_future_ready, KN_VALUE(sum));
    return NEW(kn_future_and_then, kn_future_select_all(&all, children, left), take_answer, context);
}

static void build_select_all(struct harness *of, void *context)
{
    world = of;
    sum = 0;
    struct kn_future *first = kn_future_select_all(&all, three(1, 1, 2), 3);
    harness_spawn(world, context ? first : NEW(kn_future_and_then, first, take_answer, NULL));
}

static void check_select_all(struct harness *of, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)of;
    (void)task;
    assert_int_equal(outcome.status, KN_READY);
    if (context)
        ((bool *)context)[outcome.value.integer] = true;
    else
        assert_int_equal(outcome.value.integer, 33);
}

static void select_all_hands_the_others_back_for_the_next_round(void **state)
{
    (void)state;
    harness_explore(build_select_all, check_select_all, NULL, NULL);
}

static void select_all_that_nobody_takes_drops_the_others(void **state)
{
    (void)state;
    bool won[3] = {false};
    harness_explore(build_select_all, check_select_all, won, NULL);
    assert_true(won[0] && won[1] && won[2]);
}

/* ---- what all have in common ---- */

struct counted {
    struct kn_future future;
    unsigned drops;
};

static void counted_drop(struct kn_future *future)
{
    KN_CONTAINER_OF(future, struct counted, future)->drops++;
}

static struct kn_outcome counted_poll(struct kn_future *future, struct kn_context *context)
{
    (void)future;
    (void)context;
    return kn_pending();
}

static const struct kn_future_type counted_type = {.name = "counted", .poll = counted_poll, .drop = counted_drop};

static void select_holds_the_other_until_its_answer_is_discarded(void **state)
{
    (void)state;
    struct counted counted = {.future.type = &counted_type};
    struct kn_future_ready ready;
    struct kn_future *future = kn_future_select(&two, &counted.future, kn_future_ready(&ready, KN_VALUE(1)));
    struct kn_outcome outcome = poll_once(future);
    assert_int_equal(outcome.value.integer, 1);
    kn_future_drop(future);
    assert_int_equal(counted.drops, 0);
    kn_future_discard_outcome(future, outcome);
    assert_int_equal(counted.drops, 1);
}

static void losers_are_dropped_before_the_answer(void **state)
{
    (void)state;
    struct counted counted = {.future.type = &counted_type};
    struct kn_future_ready ready;
    struct kn_future_select_ok ok;
    struct kn_future *some[] = {&counted.future, kn_future_ready(&ready, KN_VALUE(1))};
    assert_int_equal(poll_once(kn_future_race(&race, some, 2)).value.integer, 1);
    assert_int_equal(counted.drops, 1);
    assert_int_equal(poll_once(kn_future_select_ok(&ok, some, 2)).value.integer, 1);
    assert_int_equal(counted.drops, 2);
}

static void nothing_to_choose_from_is_an_error(void **state)
{
    (void)state;
    struct kn_future_select_ok ok;
    assert_int_equal(poll_once(kn_future_race(&race, NULL, 0)).status, -EINVAL);
    assert_int_equal(poll_once(kn_future_select_ok(&ok, NULL, 0)).status, -EINVAL);
    assert_int_equal(poll_once(kn_future_select_all(&all, NULL, 0)).status, -EINVAL);
}

static void a_missing_child_or_memory_drops_the_others(void **state)
{
    (void)state;
    struct counted counted = {.future.type = &counted_type};
    struct kn_future *some[] = {&counted.future, NULL, &counted.future};
    struct kn_future_select_ok ok;
    assert_null(kn_future_race(&race, some, 3));
    assert_null(kn_future_select_ok(&ok, some, 3));
    assert_null(kn_future_select_all(&all, some, 3));
    assert_int_equal(counted.drops, 6);
    assert_null(kn_future_race(NULL, some, 1));
    assert_null(kn_future_select_ok(NULL, some, 1));
    assert_null(kn_future_select_all(NULL, some, 1));
    assert_int_equal(counted.drops, 9);
    assert_null(kn_future_race(&race, NULL, 1));
    assert_null(kn_future_select(&two, &counted.future, NULL));
    assert_null(kn_future_select(&two, NULL, &counted.future));
    assert_null(kn_future_select(NULL, &counted.future, &counted.future));
    assert_int_equal(counted.drops, 13);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(race_is_won_by_any_and_drops_the_others),
        cmocka_unit_test(race_may_be_won_by_a_failure),
        cmocka_unit_test(select_ok_passes_over_failures),
        cmocka_unit_test(select_ok_fails_with_the_last_error),
        cmocka_unit_test(select_that_nobody_takes_drops_the_other),
        cmocka_unit_test(select_hands_the_other_back),
        cmocka_unit_test(select_prefers_the_first_and_tells_of_failures),
        cmocka_unit_test(select_all_hands_the_others_back_for_the_next_round),
        cmocka_unit_test(select_all_that_nobody_takes_drops_the_others),
        cmocka_unit_test(select_holds_the_other_until_its_answer_is_discarded),
        cmocka_unit_test(losers_are_dropped_before_the_answer),
        cmocka_unit_test(nothing_to_choose_from_is_an_error),
        cmocka_unit_test(a_missing_child_or_memory_drops_the_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
