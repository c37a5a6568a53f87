/* Joins: all answers in order, whatever the order of wake-ups; the first failure of try_ forms; and nothing lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <kernel/future_join.h>

#include "async_harness.h"

enum { FUTURES_MAX = 4, MANY = 1000 };

enum kind { PLAIN, JOIN, NESTED, ALL, TRY, TRY_NESTED, TRY_ALL };

/* What one exploration is about. */
struct plan {
    enum kind kind;
    size_t count;
    unsigned pendings[FUTURES_MAX];
    int64_t answers[FUTURES_MAX]; /* numbers of owned values, or errors */
};

static struct kn_future *leaf(struct harness *world, const struct plan *plan, size_t index)
{
    if (plan->answers[index] < 0)
        return harness_future(world, plan->pendings[index], kn_failed(plan->answers[index]));
    return harness_owned_future(world, plan->pendings[index], plan->answers[index]);
}

static struct kn_future *make(struct harness *world, const struct plan *plan)
{
    struct kn_arena *arena = harness_arena(world);
    struct kn_future *futures[FUTURES_MAX] = {NULL};
    for (size_t i = 0; i < plan->count; i++)
        futures[i] = leaf(world, plan, i);
    switch (plan->kind) {
    case PLAIN:
        return futures[0];
    case JOIN:
        return KN_IN(arena, kn_future_join, futures, plan->count);
    case NESTED:
        return KN_JOIN(KN_ARENA_NEW(arena, struct kn_future_join),
                       KN_IN(arena, kn_future_join, futures, plan->count - 1), futures[plan->count - 1]);
    case TRY:
        return KN_IN(arena, kn_future_try_join, futures, plan->count);
    case TRY_NESTED:
        return KN_TRY_JOIN(KN_ARENA_NEW(arena, struct kn_future_try_join),
                           KN_IN(arena, kn_future_try_join, futures, plan->count - 1), futures[plan->count - 1]);
    default:
        break;
    }
    struct kn_join_member *members =
        kn_arena_allocate(arena, plan->count * sizeof *members, alignof(struct kn_join_member));
    assert_non_null(members);
    for (size_t i = 0; i < plan->count; i++)
        members[i].future = futures[i];
    struct kn_future_join_all *all = KN_ARENA_NEW(arena, struct kn_future_join_all);
    return plan->kind == ALL ? kn_future_join_all(all, members, plan->count)
                             : kn_future_try_join_all(all, members, plan->count);
}

static void build(struct harness *world, void *context)
{
    harness_spawn(world, make(world, context));
}

static void expect_answer(struct kn_outcome outcome, int64_t answer)
{
    if (answer < 0) {
        assert_int_equal(outcome.status, answer);
        return;
    }
    assert_int_equal(outcome.status, KN_READY);
    assert_int_equal(((struct harness_object *)outcome.value.pointer)->number, answer);
}

/* The outcome of the future of this index, wherever the kind of join has it. */
static struct kn_outcome outcome_of(const struct plan *plan, struct kn_outcome outcome, size_t index)
{
    const struct kn_outcome *outcomes = outcome.value.pointer;
    const kn_value_t *values = outcome.value.pointer;
    size_t last = plan->count - 1;
    switch (plan->kind) {
    case PLAIN:
        return outcome;
    case JOIN:
        return outcomes[index];
    case NESTED:
        return index == last ? outcomes[1] : ((const struct kn_outcome *)outcomes[0].value.pointer)[index];
    case TRY:
        return kn_ready(values[index]);
    case TRY_NESTED:
        return kn_ready(index == last ? values[1] : ((const kn_value_t *)values[0].pointer)[index]);
    default:
        return ((const struct kn_join_member *)outcome.value.pointer)[index].outcome;
    }
}

static void check_all(struct harness *world, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)world;
    (void)task;
    const struct plan *plan = context;
    assert_int_equal(outcome.status, plan->kind == PLAIN ? outcome.status : KN_READY);
    for (size_t i = 0; i < plan->count; i++)
        expect_answer(outcome_of(plan, outcome, i), plan->answers[i]);
}

/* The answer is one of the failures. */
static void check_failed(struct harness *world, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)world;
    (void)task;
    const struct plan *plan = context;
    bool found = false;
    for (size_t i = 0; i < plan->count; i++)
        found = found || (plan->answers[i] < 0 && plan->answers[i] == outcome.status);
    assert_true(found);
}

static const struct plan all_ready = {.count = 3, .pendings = {1, 2, 1}, .answers = {10, 11, 12}};
static const struct plan one_fails = {.count = 3, .pendings = {1, 2, 1}, .answers = {10, 11, -EPIPE}};
static const struct plan two_fail = {.count = 3, .pendings = {1, 1, 1}, .answers = {-EIO, 11, -EPIPE}};

static uint64_t explore(const struct plan *plan, enum kind kind, harness_check *check)
{
    struct plan copy = *plan;
    copy.kind = kind;
    return harness_explore(build, check, &copy, NULL);
}

/* ---- every order of wake-ups, every point of a drop ---- */

static void join_answers_with_all_outcomes_in_order(void **state)
{
    (void)state;
    assert_true(explore(&all_ready, JOIN, check_all) > 100);
    assert_true(explore(&one_fails, JOIN, check_all) > 100);
    assert_true(explore(&two_fail, JOIN, check_all) > 100);
}

static void join_all_answers_with_all_outcomes_in_order(void **state)
{
    (void)state;
    assert_true(explore(&all_ready, ALL, check_all) > 100);
    assert_true(explore(&one_fails, ALL, check_all) > 100);
    assert_true(explore(&two_fail, ALL, check_all) > 100);
}

static void try_join_answers_with_all_values_in_order(void **state)
{
    (void)state;
    assert_true(explore(&all_ready, TRY, check_all) > 100);
}

static void try_join_all_answers_with_all_values_in_order(void **state)
{
    (void)state;
    assert_true(explore(&all_ready, TRY_ALL, check_all) > 100);
}

static void try_join_fails_at_the_first_failure(void **state)
{
    (void)state;
    assert_true(explore(&one_fails, TRY, check_failed) > 50);
    assert_true(explore(&two_fail, TRY, check_failed) > 50);
}

static void try_join_all_fails_at_the_first_failure(void **state)
{
    (void)state;
    assert_true(explore(&one_fails, TRY_ALL, check_failed) > 50);
    assert_true(explore(&two_fail, TRY_ALL, check_failed) > 50);
}

/* ---- laws: two futures take the same steps when they have the same executions ---- */

static void join_commutes_up_to_the_order_of_its_answers(void **state)
{
    (void)state;
    const struct plan turned = {.count = 3, .pendings = {1, 2, 1}, .answers = {-EPIPE, 11, 10}};
    assert_int_equal(explore(&one_fails, JOIN, check_all), explore(&turned, JOIN, check_all));
    assert_int_equal(explore(&one_fails, ALL, check_all), explore(&turned, ALL, check_all));
}

static void join_of_one_is_its_future_but_for_the_form_of_the_answer(void **state)
{
    (void)state;
    static const struct plan plans[] = {{.count = 1, .pendings = {3}, .answers = {10}},
                                        {.count = 1, .pendings = {3}, .answers = {-EPIPE}}};
    for (size_t i = 0; i < 2; i++) {
        uint64_t executions = explore(&plans[i], PLAIN, check_all);
        assert_int_equal(explore(&plans[i], JOIN, check_all), executions);
        assert_int_equal(explore(&plans[i], ALL, check_all), executions);
        harness_check *check = i == 0 ? check_all : check_failed;
        assert_int_equal(explore(&plans[i], TRY, check), executions);
        assert_int_equal(explore(&plans[i], TRY_ALL, check), executions);
    }
}

static void join_associates(void **state)
{
    (void)state;
    assert_int_equal(explore(&one_fails, NESTED, check_all), explore(&one_fails, JOIN, check_all));
    assert_int_equal(explore(&all_ready, TRY_NESTED, check_all), explore(&all_ready, TRY, check_all));
    assert_int_equal(explore(&two_fail, TRY_NESTED, check_failed), explore(&two_fail, TRY, check_failed));
}

static void join_all_of_a_few_is_their_join(void **state)
{
    (void)state;
    assert_int_equal(explore(&all_ready, ALL, check_all), explore(&all_ready, JOIN, check_all));
    assert_int_equal(explore(&one_fails, TRY_ALL, check_failed), explore(&one_fails, TRY, check_failed));
}

/* ---- by hand ---- */

/* Pending until it is open; counts. Calls its own waker in the poll that answers. */
struct gate {
    struct kn_future future;
    struct kn_waker *waker;
    bool open;
    unsigned polls;
    unsigned drops;
    unsigned discards;
    struct kn_outcome answer;
};

static struct kn_outcome gate_poll(struct kn_future *future, struct kn_context *context)
{
    struct gate *gate = KN_CONTAINER_OF(future, struct gate, future);
    gate->polls++;
    if (!gate->open) {
        gate->waker = context->waker;
        return kn_pending();
    }
    kn_waker_wake(context->waker);
    gate->waker = NULL;
    return gate->answer;
}

static void gate_drop(struct kn_future *future)
{
    struct gate *gate = KN_CONTAINER_OF(future, struct gate, future);
    gate->drops++;
    gate->waker = NULL;
}

static void gate_discard(struct kn_future *future, kn_value_t value)
{
    struct gate *gate = KN_CONTAINER_OF(future, struct gate, future);
    assert_int_equal(value.integer, gate->answer.value.integer);
    gate->discards++;
}

static const struct kn_future_type gate_type = {
    .name = "gate", .poll = gate_poll, .drop = gate_drop, .discard = gate_discard};

struct hand {
    struct kn_local_executor local;
    struct gate gates[MANY];
    struct kn_join_member members[MANY];
    struct kn_future_join_all all;
};

static struct hand *new_hand(void)
{
    static struct hand hand;
    kn_local_executor_init(&hand.local, 0);
    memset(&hand.all, 0xaa, sizeof hand.all);
    memset(hand.members, 0xaa, sizeof hand.members);
    for (size_t i = 0; i < MANY; i++) {
        hand.gates[i] = (struct gate){.future.type = &gate_type, .answer = kn_ready(KN_VALUE((int64_t)i))};
        hand.members[i].future = &hand.gates[i].future;
    }
    return &hand;
}

static void open_gate(struct gate *gate)
{
    gate->open = true;
    if (gate->waker)
        kn_waker_wake(gate->waker);
}

/* Polls as an executor does: as long as it is woken. */
static struct kn_outcome poll_while_woken(struct hand *hand, struct kn_future *future)
{
    struct kn_outcome outcome;
    while (!kn_local_executor_poll(&hand->local, future, &outcome) && kn_local_executor_is_woken(&hand->local))
        continue;
    return outcome;
}

static void join_all_polls_only_members_that_were_woken(void **state)
{
    (void)state;
    struct hand *hand = new_hand();
    struct kn_future *future = kn_future_join_all(&hand->all, hand->members, MANY);
    assert_int_equal(poll_while_woken(hand, future).status, KN_PENDING);
    for (size_t i = 0; i < MANY; i++)
        open_gate(&hand->gates[(i * 7) % MANY]);
    struct kn_outcome outcome = poll_while_woken(hand, future);
    assert_int_equal(outcome.status, KN_READY);
    assert_ptr_equal(outcome.value.pointer, hand->members);
    for (size_t i = 0; i < MANY; i++) {
        assert_int_equal(hand->gates[i].polls, 2);
        assert_int_equal(hand->members[i].outcome.value.integer, i);
    }
    kn_future_drop(future);
    assert_int_equal(hand->gates[0].drops + hand->gates[0].discards, 0);
    kn_future_discard_outcome(future, outcome);
    for (size_t i = 0; i < MANY; i++)
        assert_int_equal(hand->gates[i].discards, 1);
}

static void join_all_stops_where_its_budget_ends_and_asks_for_another_poll(void **state)
{
    (void)state;
    struct hand *hand = new_hand();
    struct kn_outcome outcome;
    struct kn_future *future = kn_future_join_all(&hand->all, hand->members, MANY);
    kn_local_executor_poll(&hand->local, future, &outcome);
    assert_int_equal(hand->gates[KN_EXECUTOR_BUDGET - 1].polls, 1);
    assert_int_equal(hand->gates[KN_EXECUTOR_BUDGET].polls, 0);
    assert_true(kn_local_executor_is_woken(&hand->local));
    /* Half of its members were never polled when it is dropped. */
    kn_future_drop(future);
    kn_future_drop(future);
    for (size_t i = 0; i < MANY; i++)
        assert_int_equal(hand->gates[i].drops, 1);
}

static void join_all_that_is_dropped_takes_its_waker_back(void **state)
{
    (void)state;
    struct hand *hand = new_hand();
    struct kn_future *future = kn_future_join_all(&hand->all, hand->members, 3);
    assert_int_equal(poll_while_woken(hand, future).status, KN_PENDING);
    assert_ptr_equal(hand->all.woken.parent.waker, &hand->local.waker);
    kn_future_drop(future);
    assert_null(hand->all.woken.parent.waker);
}

static void try_join_all_drops_and_discards_once_when_one_of_many_fails(void **state)
{
    (void)state;
    struct hand *hand = new_hand();
    struct kn_future *future = kn_future_try_join_all(&hand->all, hand->members, MANY);
    assert_int_equal(poll_while_woken(hand, future).status, KN_PENDING);
    for (size_t i = 0; i < 100; i++)
        open_gate(&hand->gates[i]);
    assert_int_equal(poll_while_woken(hand, future).status, KN_PENDING);
    hand->gates[500].answer = kn_failed(-EPIPE);
    open_gate(&hand->gates[500]);
    assert_int_equal(poll_while_woken(hand, future).status, -EPIPE);
    kn_future_drop(future);
    for (size_t i = 0; i < MANY; i++) {
        assert_int_equal(hand->gates[i].discards, i < 100);
        assert_int_equal(hand->gates[i].drops, i >= 100 && i != 500);
    }
}

static void join_all_of_none_answers_at_once(void **state)
{
    (void)state;
    struct hand *hand = new_hand();
    struct kn_outcome outcome;
    assert_true(kn_local_executor_poll(&hand->local, kn_future_join_all(&hand->all, NULL, 0), &outcome));
    assert_int_equal(outcome.status, KN_READY);
    assert_true(kn_local_executor_poll(&hand->local, kn_future_try_join_all(&hand->all, hand->members, 0), &outcome));
    assert_int_equal(outcome.status, KN_READY);
    assert_int_equal(hand->gates[0].polls, 0);
}

static void join_takes_as_many_as_it_says(void **state)
{
    (void)state;
    struct hand *hand = new_hand();
    struct kn_future_join join;
    struct kn_future_try_join try_join;
    struct gate *g = hand->gates;
    for (size_t i = 0; i < 16; i++)
        g[i].open = true;
    struct kn_future *future = KN_JOIN(&join, &g[0].future, &g[1].future, &g[2].future, &g[3].future, &g[4].future,
                                       &g[5].future, &g[6].future, &g[7].future);
    const struct kn_outcome *outcomes = poll_while_woken(hand, future).value.pointer;
    future = KN_TRY_JOIN(&try_join, &g[8].future, &g[9].future, &g[10].future, &g[11].future, &g[12].future,
                         &g[13].future, &g[14].future, &g[15].future);
    const kn_value_t *values = poll_while_woken(hand, future).value.pointer;
    for (size_t i = 0; i < KN_JOIN_MAX; i++) {
        assert_int_equal(outcomes[i].status, KN_READY);
        assert_int_equal(outcomes[i].value.integer, i);
        assert_int_equal(values[i].integer, i + 8);
    }
    kn_future_discard(&join.future, KN_VALUE(outcomes));
    kn_future_discard(&try_join.future, KN_VALUE(values));
    for (size_t i = 0; i < 16; i++)
        assert_int_equal(g[i].discards, 1);
}

static void try_join_passes_on_whatever_is_not_ready(void **state)
{
    (void)state;
    struct hand *hand = new_hand();
    struct kn_future_try_join join;
    hand->gates[1].answer = kn_ended();
    hand->gates[0].open = hand->gates[1].open = true;
    struct kn_future *future = KN_TRY_JOIN(&join, hand->members[0].future, hand->members[1].future);
    assert_int_equal(poll_while_woken(hand, future).status, KN_END);
    assert_int_equal(hand->gates[0].discards, 1);
    new_hand();
    hand->gates[1].answer = kn_ended();
    hand->gates[0].open = hand->gates[1].open = true;
    future = kn_future_try_join_all(&hand->all, hand->members, 2);
    assert_int_equal(poll_while_woken(hand, future).status, KN_END);
    assert_int_equal(hand->gates[0].discards, 1);
}

static void expect_dropped(struct hand *hand, struct kn_future *future, size_t count, unsigned times)
{
    assert_null(future);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(hand->gates[i].drops, times);
}

static void join_of_what_is_missing_drops_the_rest(void **state)
{
    (void)state;
    struct hand *hand = new_hand();
    struct kn_future_join join;
    struct kn_future_try_join try_join;
    struct kn_future *futures[KN_JOIN_MAX + 1];
    for (size_t i = 0; i <= KN_JOIN_MAX; i++)
        futures[i] = &hand->gates[i].future;
    expect_dropped(hand, kn_future_join(NULL, futures, 2), 2, 1);
    expect_dropped(hand, kn_future_try_join(NULL, futures, 2), 2, 2);
    expect_dropped(hand, KN_JOIN(&join, futures[0], NULL, futures[1]), 2, 3);
    expect_dropped(hand, KN_TRY_JOIN(&try_join, futures[0], futures[1], NULL), 2, 4);
    expect_dropped(hand, kn_future_join(&join, futures, 0), 2, 4);
    new_hand();
    expect_dropped(hand, kn_future_join(&join, futures, KN_JOIN_MAX + 1), KN_JOIN_MAX + 1, 1);
    expect_dropped(hand, kn_future_join_all(NULL, hand->members, 9), 9, 2);
    hand->members[9].future = NULL;
    expect_dropped(hand, kn_future_try_join_all(&hand->all, hand->members, 10), 9, 3);
    assert_null(kn_future_join_all(&hand->all, NULL, 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(join_answers_with_all_outcomes_in_order),
        cmocka_unit_test(join_all_answers_with_all_outcomes_in_order),
        cmocka_unit_test(try_join_answers_with_all_values_in_order),
        cmocka_unit_test(try_join_all_answers_with_all_values_in_order),
        cmocka_unit_test(try_join_fails_at_the_first_failure),
        cmocka_unit_test(try_join_all_fails_at_the_first_failure),
        cmocka_unit_test(join_commutes_up_to_the_order_of_its_answers),
        cmocka_unit_test(join_of_one_is_its_future_but_for_the_form_of_the_answer),
        cmocka_unit_test(join_associates),
        cmocka_unit_test(join_all_of_a_few_is_their_join),
        cmocka_unit_test(join_all_polls_only_members_that_were_woken),
        cmocka_unit_test(join_all_stops_where_its_budget_ends_and_asks_for_another_poll),
        cmocka_unit_test(join_all_that_is_dropped_takes_its_waker_back),
        cmocka_unit_test(try_join_all_drops_and_discards_once_when_one_of_many_fails),
        cmocka_unit_test(join_all_of_none_answers_at_once),
        cmocka_unit_test(join_takes_as_many_as_it_says),
        cmocka_unit_test(try_join_passes_on_whatever_is_not_ready),
        cmocka_unit_test(join_of_what_is_missing_drops_the_rest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
