/* Sets of futures, step by step: which members are polled and when, and who is woken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <kernel/executor.h>
#include <kernel/future_set.h>

enum { GATES = 400 };

/* Pending until it is open; counts its polls, and may call its own waker in one. */
struct gate {
    struct kn_future future;
    struct kn_waker *waker;
    bool open;
    bool wakes_itself;
    unsigned polls;
    unsigned drops;
    unsigned turn; /* of all polls, when it was polled last */
    struct kn_outcome answer;
};

static unsigned turns;

static struct kn_outcome gate_poll(struct kn_future *future, struct kn_context *context)
{
    struct gate *gate = KN_CONTAINER_OF(future, struct gate, future);
    gate->polls++;
    gate->turn = ++turns;
    if (gate->wakes_itself)
        kn_waker_wake(context->waker);
    gate->waker = gate->open ? NULL : context->waker;
    return gate->open ? gate->answer : kn_pending();
}

static void gate_drop(struct kn_future *future)
{
    struct gate *gate = KN_CONTAINER_OF(future, struct gate, future);
    gate->drops++;
    gate->waker = NULL;
}

static const struct kn_future_type gate_type = {.name = "gate", .poll = gate_poll, .drop = gate_drop};

struct hand {
    struct kn_waker waker;
    unsigned wakes;
    struct kn_executor executor;
    struct kn_future_set set;
    struct kn_future_member members[GATES];
    struct gate gates[GATES];
};

static void count_wake(struct kn_waker *waker)
{
    KN_CONTAINER_OF(waker, struct hand, waker)->wakes++;
}

static struct hand *new_hand(bool ordered, size_t gates)
{
    static struct hand hand;
    memset(&hand, 0, sizeof hand);
    turns = 0;
    hand.waker.wake = count_wake;
    assert_non_null(ordered ? kn_future_set_ordered(&hand.set) : kn_future_set(&hand.set));
    for (size_t i = 0; i < gates; i++) {
        hand.gates[i] = (struct gate){.future.type = &gate_type, .answer = kn_ready(KN_VALUE((int64_t)i))};
        hand.members[i].user = KN_VALUE((int64_t)i);
        assert_int_equal(kn_future_set_add(&hand.set, &hand.members[i], &hand.gates[i].future), 0);
    }
    return &hand;
}

static struct kn_outcome poll(struct hand *hand)
{
    hand->executor.budget = KN_EXECUTOR_BUDGET;
    struct kn_context context = {.waker = &hand->waker, .executor = &hand->executor, .deadline_ns = 77};
    return kn_stream_poll(&hand->set.stream, &context);
}

static void expect_pending(struct hand *hand)
{
    assert_int_equal(poll(hand).status, KN_PENDING);
}

static void expect_item(struct hand *hand, int64_t number)
{
    struct kn_outcome outcome = poll(hand);
    assert_int_equal(outcome.status, KN_READY);
    assert_int_equal(outcome.value.integer, number);
    assert_ptr_equal(kn_future_set_last(&hand->set), &hand->members[number]);
    assert_int_equal(kn_future_set_last(&hand->set)->user.integer, number);
    assert_ptr_equal(kn_future_set_last(&hand->set)->future, &hand->gates[number].future);
    memset(&hand->members[number], 0xaa, sizeof hand->members[number]);
}

static void wake(struct gate *gate)
{
    struct kn_waker *waker = gate->waker;
    assert_non_null(waker);
    kn_waker_wake(waker);
}

static void open_gate(struct gate *gate)
{
    gate->open = true;
    wake(gate);
}

static void only_members_that_were_woken_are_polled_again(void **state)
{
    (void)state;
    struct hand *hand = new_hand(false, 10);
    expect_pending(hand);
    wake(&hand->gates[7]);
    wake(&hand->gates[7]);
    expect_pending(hand);
    expect_pending(hand);
    for (size_t i = 0; i < 10; i++)
        assert_int_equal(hand->gates[i].polls, i == 7 ? 2 : 1);
    kn_stream_drop(&hand->set.stream);
}

static void members_are_polled_in_the_order_in_which_they_were_woken(void **state)
{
    (void)state;
    static const size_t order[] = {3, 0, 4, 1};
    struct hand *hand = new_hand(false, 5);
    expect_pending(hand);
    for (size_t i = 0; i < 4; i++)
        wake(&hand->gates[order[i]]);
    expect_pending(hand);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(hand->gates[order[i]].turn, 5 + i + 1);
    for (size_t i = 0; i < 4; i++)
        open_gate(&hand->gates[order[i]]);
    for (size_t i = 0; i < 4; i++)
        expect_item(hand, (int64_t)order[i]);
    assert_int_equal(kn_future_set_count(&hand->set), 1);
    kn_stream_drop(&hand->set.stream);
}

static void task_is_woken_once_however_many_members_are(void **state)
{
    (void)state;
    struct hand *hand = new_hand(false, 10);
    expect_pending(hand);
    assert_int_equal(hand->wakes, 0);
    for (size_t i = 0; i < 10; i++)
        wake(&hand->gates[i]);
    assert_int_equal(hand->wakes, 1);
    expect_pending(hand);
    wake(&hand->gates[1]);
    assert_int_equal(hand->wakes, 2);
    kn_stream_drop(&hand->set.stream);
}

static void waker_is_taken_back_with_an_answer(void **state)
{
    (void)state;
    struct hand *hand = new_hand(false, 3);
    expect_pending(hand);
    open_gate(&hand->gates[0]);
    assert_int_equal(hand->wakes, 1);
    expect_item(hand, 0);
    wake(&hand->gates[1]);
    assert_int_equal(hand->wakes, 1);
    expect_pending(hand); /* which has found the second */
    assert_int_equal(hand->gates[1].polls, 2);
    wake(&hand->gates[2]);
    assert_int_equal(hand->wakes, 2);
    kn_stream_drop(&hand->set.stream);
}

static void waker_is_taken_back_with_a_drop(void **state)
{
    (void)state;
    struct hand *hand = new_hand(false, 2);
    expect_pending(hand);
    assert_ptr_equal(hand->set.woken.parent.waker, &hand->waker);
    wake(&hand->gates[1]);
    kn_future_set_remove(&hand->set, &hand->members[0]); /* leaves the other in the stack */
    expect_pending(hand);
    wake(&hand->gates[1]); /* and now it is there again */
    assert_non_null(atomic_load(&hand->set.woken.stack));
    kn_stream_drop(&hand->set.stream);
    assert_null(hand->set.woken.parent.waker);
    assert_null(atomic_load(&hand->set.woken.stack));
    assert_null(hand->set.woken.first);
    assert_int_equal(hand->gates[0].drops, 1);
    kn_stream_drop(&hand->set.stream);
    assert_int_equal(hand->gates[0].drops, 1);
    assert_int_equal(kn_future_set_count(&hand->set), 0);
}

static void member_that_wakes_itself_in_the_poll_that_answers_leaves_no_trace(void **state)
{
    (void)state;
    for (int ordered = 0; ordered < 2; ordered++) {
        struct hand *hand = new_hand(ordered, 4);
        expect_pending(hand);
        for (size_t i = 0; i < 3; i++) {
            hand->gates[i].wakes_itself = true;
            open_gate(&hand->gates[i]);
        }
        hand->gates[1].polls = 0;
        expect_item(hand, 0); /* and is overwritten */
        expect_item(hand, 1);
        expect_item(hand, 2);
        assert_int_equal(hand->gates[1].polls, 1);
        expect_pending(hand);
        open_gate(&hand->gates[3]);
        expect_item(hand, 3);
        assert_int_equal(poll(hand).status, KN_END);
    }
}

static void answers_out_of_turn_leave_the_stack_and_wait(void **state)
{
    (void)state;
    struct hand *hand = new_hand(true, 3);
    expect_pending(hand);
    hand->gates[2].wakes_itself = true;
    open_gate(&hand->gates[2]);
    open_gate(&hand->gates[1]);
    expect_pending(hand);
    expect_pending(hand);
    assert_int_equal(hand->gates[2].polls, 2);
    assert_int_equal(kn_future_set_count(&hand->set), 3);
    open_gate(&hand->gates[0]);
    for (int64_t i = 0; i < 3; i++)
        expect_item(hand, i);
    assert_int_equal(poll(hand).status, KN_END);
}

static void removing_the_head_lets_answers_out_of_turn_go(void **state)
{
    (void)state;
    struct hand *hand = new_hand(true, 3);
    expect_pending(hand);
    open_gate(&hand->gates[1]);
    expect_pending(hand);
    unsigned wakes = hand->wakes;
    kn_future_set_remove(&hand->set, &hand->members[0]);
    assert_int_equal(hand->gates[0].drops, 1);
    assert_int_equal(hand->wakes, wakes + 1);
    expect_item(hand, 1);
    kn_stream_drop(&hand->set.stream);
}

static void woken_member_that_is_removed_is_unlinked(void **state)
{
    (void)state;
    struct hand *hand = new_hand(false, 5);
    expect_pending(hand);
    for (size_t i = 0; i < 5; i++)
        wake(&hand->gates[i]);
    for (size_t i = 0; i < 5; i += 2) {
        kn_future_set_remove(&hand->set, &hand->members[i]);
        memset(&hand->members[i], 0xaa, sizeof hand->members[i]);
    }
    expect_pending(hand);
    assert_int_equal(hand->gates[1].polls, 2);
    assert_int_equal(hand->gates[3].polls, 2);
    assert_int_equal(hand->gates[4].polls, 1);
    /* The end of the turns is where the next is linked. */
    hand->gates[0] = (struct gate){.future.type = &gate_type, .open = true};
    hand->members[0].user = KN_VALUE(0);
    assert_int_equal(kn_future_set_add(&hand->set, &hand->members[0], &hand->gates[0].future), 0);
    expect_item(hand, 0);
    kn_stream_drop(&hand->set.stream);
}

static void new_member_that_is_removed_before_its_first_poll_is_not_polled(void **state)
{
    (void)state;
    struct hand *hand = new_hand(false, 3);
    kn_future_set_remove(&hand->set, &hand->members[2]);
    memset(&hand->members[2], 0xaa, sizeof hand->members[2]);
    expect_pending(hand);
    assert_int_equal(hand->gates[2].polls, 0);
    assert_int_equal(hand->gates[2].drops, 1);
    assert_int_equal(hand->gates[1].polls, 1);
    kn_stream_drop(&hand->set.stream);
}

static void member_that_never_waits_is_polled_once_a_poll(void **state)
{
    (void)state;
    struct hand *hand = new_hand(false, 2);
    hand->gates[0].wakes_itself = true;
    expect_pending(hand);
    assert_int_equal(hand->gates[0].polls, 2); /* new, and found in the stack */
    for (unsigned i = 0; i < 5; i++) {
        assert_true(hand->wakes > i);
        expect_pending(hand);
        assert_int_equal(hand->gates[0].polls, 3 + i);
    }
    kn_stream_drop(&hand->set.stream);
}

static void poll_stops_where_its_budget_ends_and_asks_for_another(void **state)
{
    (void)state;
    struct hand *hand = new_hand(false, GATES);
    expect_pending(hand);
    assert_int_equal(hand->gates[KN_EXECUTOR_BUDGET - 1].polls, 1);
    assert_int_equal(hand->gates[KN_EXECUTOR_BUDGET].polls, 0);
    assert_int_equal(hand->wakes, 1);
    expect_pending(hand);
    assert_int_equal(hand->gates[GATES - 1].polls, 1);
    assert_int_equal(hand->wakes, 1);
    kn_stream_drop(&hand->set.stream);
}

static void empty_set_has_ended_until_there_are_new_members(void **state)
{
    (void)state;
    struct hand *hand = new_hand(false, 0);
    assert_null(kn_future_set_last(&hand->set));
    for (int64_t i = 0; i < 3; i++) {
        assert_int_equal(poll(hand).status, KN_END);
        assert_null(kn_future_set_last(&hand->set));
        hand->gates[i] = (struct gate){.future.type = &gate_type, .open = true, .answer = kn_ready(KN_VALUE(i))};
        hand->members[i].user = KN_VALUE(i);
        assert_int_equal(kn_future_set_add(&hand->set, &hand->members[i], &hand->gates[i].future), 0);
        assert_int_equal(kn_future_set_count(&hand->set), 1);
        expect_item(hand, i);
    }
    assert_int_equal(hand->wakes, 0);
}

static void end_of_a_member_is_told_from_that_of_the_set(void **state)
{
    (void)state;
    struct hand *hand = new_hand(false, 1);
    hand->gates[0].open = true;
    hand->gates[0].answer = kn_ended();
    assert_int_equal(poll(hand).status, KN_END);
    assert_ptr_equal(kn_future_set_last(&hand->set), &hand->members[0]);
    assert_int_equal(poll(hand).status, KN_END);
    assert_null(kn_future_set_last(&hand->set));
}

/* Answers with the deadline it was given. */
static struct kn_outcome tell_deadline(void *context, struct kn_context *poll)
{
    struct hand *hand = context;
    assert_ptr_equal(poll->executor, &hand->executor);
    assert_ptr_equal(poll->waker, &hand->members[0].woken.waker);
    return kn_ready(KN_VALUE(poll->deadline_ns));
}

static void members_are_polled_with_the_context_of_the_set_and_wakers_of_their_own(void **state)
{
    (void)state;
    struct hand *hand = new_hand(false, 0);
    struct kn_future_poll_fn poll_fn;
    kn_future_set_add(&hand->set, &hand->members[0], kn_future_poll_fn(&poll_fn, tell_deadline, hand));
    assert_int_equal(poll(hand).value.natural, 77);
}

/* Adds another gate from the second poll of a member. */
static struct kn_outcome add_sibling(void *context, struct kn_context *poll)
{
    struct hand *hand = context;
    struct kn_future_member *sibling = &hand->members[1];
    if (!hand->gates[0].waker) {
        hand->gates[0].waker = poll->waker;
        return kn_pending();
    }
    hand->gates[1] = (struct gate){.future.type = &gate_type, .open = true, .answer = kn_ready(KN_VALUE(1))};
    sibling->user = KN_VALUE(1);
    assert_int_equal(kn_future_set_add(&hand->set, sibling, &hand->gates[1].future), 0);
    return kn_pending();
}

static void adding_members_wakes_who_waits_once(void **state)
{
    (void)state;
    struct hand *hand = new_hand(false, 1);
    expect_pending(hand);
    for (size_t i = 1; i < 4; i++) {
        hand->gates[i] = (struct gate){.future.type = &gate_type};
        assert_int_equal(kn_future_set_add(&hand->set, &hand->members[i], &hand->gates[i].future), 0);
        assert_int_equal(hand->wakes, 1);
    }
    expect_pending(hand);
    assert_int_equal(hand->gates[3].polls, 1);
    kn_stream_drop(&hand->set.stream);
}

static void members_add_siblings_that_are_polled_in_the_same_poll(void **state)
{
    (void)state;
    struct hand *hand = new_hand(false, 0);
    struct kn_future_poll_fn poll_fn;
    kn_future_set_add(&hand->set, &hand->members[0], kn_future_poll_fn(&poll_fn, add_sibling, hand));
    expect_pending(hand);
    wake(&hand->gates[0]);
    assert_int_equal(hand->wakes, 1);
    expect_item(hand, 1);
    assert_int_equal(hand->wakes, 1);
    kn_stream_drop(&hand->set.stream);
}

static void what_is_missing_is_told_and_the_future_dropped(void **state)
{
    (void)state;
    struct hand *hand = new_hand(false, 0);
    assert_null(kn_future_set(NULL));
    assert_null(kn_future_set_ordered(NULL));
    hand->gates[0].future.type = &gate_type;
    assert_int_equal(kn_future_set_add(&hand->set, NULL, &hand->gates[0].future), -ENOMEM);
    assert_int_equal(kn_future_set_add(NULL, &hand->members[0], &hand->gates[0].future), -ENOMEM);
    assert_int_equal(kn_future_set_add(&hand->set, &hand->members[0], NULL), -ENOMEM);
    assert_int_equal(hand->gates[0].drops, 2);
    assert_int_equal(kn_future_set_count(&hand->set), 0);
    kn_future_set_remove(&hand->set, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_members_that_were_woken_are_polled_again),
        cmocka_unit_test(members_are_polled_in_the_order_in_which_they_were_woken),
        cmocka_unit_test(task_is_woken_once_however_many_members_are),
        cmocka_unit_test(waker_is_taken_back_with_an_answer),
        cmocka_unit_test(waker_is_taken_back_with_a_drop),
        cmocka_unit_test(member_that_wakes_itself_in_the_poll_that_answers_leaves_no_trace),
        cmocka_unit_test(answers_out_of_turn_leave_the_stack_and_wait),
        cmocka_unit_test(removing_the_head_lets_answers_out_of_turn_go),
        cmocka_unit_test(woken_member_that_is_removed_is_unlinked),
        cmocka_unit_test(new_member_that_is_removed_before_its_first_poll_is_not_polled),
        cmocka_unit_test(member_that_never_waits_is_polled_once_a_poll),
        cmocka_unit_test(poll_stops_where_its_budget_ends_and_asks_for_another),
        cmocka_unit_test(empty_set_has_ended_until_there_are_new_members),
        cmocka_unit_test(end_of_a_member_is_told_from_that_of_the_set),
        cmocka_unit_test(members_are_polled_with_the_context_of_the_set_and_wakers_of_their_own),
        cmocka_unit_test(adding_members_wakes_who_waits_once),
        cmocka_unit_test(members_add_siblings_that_are_polled_in_the_same_poll),
        cmocka_unit_test(what_is_missing_is_told_and_the_future_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
