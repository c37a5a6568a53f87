#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include <kernel/sink_combine.h>
#include <kernel/watch.h>

#include "async_harness.h"

static struct kn_watch watch; /* of the present execution */

/* ---- every order, within one thread ---- */

/* Sends 1, 2, ... one at a time, each after a wait, then closes; closes as well when it is dropped. */
struct sender {
    struct kn_future future;
    struct kn_stream *moments;
    int64_t sent;
};

static void sender_drop(struct kn_future *future)
{
    kn_stream_drop(KN_CONTAINER_OF(future, struct sender, future)->moments);
    kn_watch_close(&watch);
}

static struct kn_outcome sender_poll(struct kn_future *future, struct kn_context *context)
{
    struct sender *self = KN_CONTAINER_OF(future, struct sender, future);
    for (;;) {
        struct kn_outcome outcome = kn_stream_poll(self->moments, context);
        if (outcome.status == KN_PENDING)
            return outcome;
        if (outcome.status == KN_END)
            break;
        assert_int_equal(kn_watch_send(&watch, KN_VALUE(++self->sent)), 0);
    }
    kn_watch_close(&watch);
    return kn_ready(KN_NOTHING);
}

static const struct kn_future_type sender_type = {.name = "sender", .poll = sender_poll, .drop = sender_drop};

static const struct harness_item moments[] = {{1, {KN_READY, {0}}}, {1, {KN_READY, {0}}}};

static struct kn_future *make_sender(struct harness *world, size_t count)
{
    struct sender *self = KN_ARENA_NEW(harness_arena(world), struct sender);
    assert_non_null(self);
    *self = (struct sender){.future.type = &sender_type, .moments = harness_stream(world, moments, count)};
    return &self->future;
}

static void build_streams(struct harness *world, void *context)
{
    unsigned receivers = *(unsigned *)context;
    kn_watch_init(&watch, KN_VALUE(0));
    harness_spawn(world, make_sender(world, receivers == 1 ? 2 : 1));
    for (unsigned i = 0; i < receivers; i++)
        harness_spawn(world, KN_IN(harness_arena(world), kn_stream_forward,
                                   KN_IN(harness_arena(world), kn_stream_watch, &watch),
                                   harness_sink(world, receivers == 1, 9)));
}

/* One receiver: what it saw grows, and ends with the last value. */
static void check_streams(struct harness *world, unsigned task, struct kn_outcome outcome, void *context)
{
    const int64_t *taken;
    size_t count = harness_taken(world, &taken);
    assert_int_equal(outcome.status, KN_READY);
    if (task == 0 || *(unsigned *)context > 1)
        return;
    assert_true(count > 0);
    for (size_t i = 1; i < count; i++)
        assert_true(taken[i] > taken[i - 1]);
    assert_int_equal(taken[count - 1], kn_watch_value(&watch).integer);
}

static void stream_gives_newer_and_newer_values_up_to_the_last(void **state)
{
    (void)state;
    for (unsigned receivers = 1; receivers <= 2; receivers++)
        assert_true(harness_explore(build_streams, check_streams, &receivers, NULL) < 150000);
}

static void build_changed(struct harness *world, void *context)
{
    (void)context;
    static struct kn_watch_receiver receivers[2];
    kn_watch_init(&watch, KN_VALUE(0));
    harness_spawn(world, make_sender(world, 1));
    for (int i = 0; i < 2; i++) {
        kn_watch_subscribe(&receivers[i], &watch);
        harness_spawn(world, KN_IN(harness_arena(world), kn_future_watch_changed, &receivers[i]));
    }
}

static void check_changed(struct harness *world, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)world;
    (void)context;
    if (task > 0 && outcome.status == KN_READY)
        assert_int_equal(outcome.value.integer, 1);
    else if (task > 0)
        assert_int_equal(outcome.status, -EPIPE); /* the sender was dropped */
}

static void changed_answers_every_receiver_with_the_new_value(void **state)
{
    (void)state;
    assert_true(harness_explore(build_changed, check_changed, NULL, NULL) > 10);
}

/* ---- what is seen ---- */

static void receiver_has_seen_what_it_looked_at(void **state)
{
    (void)state;
    struct kn_watch_receiver receiver;
    kn_watch_init(&watch, KN_VALUE(5));
    kn_watch_subscribe(&receiver, &watch);
    assert_false(kn_watch_has_changed(&receiver));
    assert_int_equal(kn_watch_send(&watch, KN_VALUE(6)), 0);
    assert_true(kn_watch_has_changed(&receiver));
    assert_int_equal(kn_watch_value(&watch).integer, 6);
    assert_true(kn_watch_has_changed(&receiver));
    assert_int_equal(kn_watch_look(&receiver).integer, 6);
    assert_false(kn_watch_has_changed(&receiver));
}

static kn_value_t add(kn_value_t value, void *context)
{
    return KN_VALUE(value.integer + *(int64_t *)context);
}

static void closed_watch_takes_no_value_and_gives_out_its_last(void **state)
{
    (void)state;
    struct kn_watch_receiver receiver;
    struct kn_future_watch_changed changed;
    int64_t two = 2;
    kn_watch_init(&watch, KN_VALUE(5));
    kn_watch_subscribe(&receiver, &watch);
    assert_int_equal(kn_watch_modify(&watch, add, &two), 0);
    assert_false(kn_watch_is_closed(&watch));
    kn_watch_close(&watch);
    assert_true(kn_watch_is_closed(&watch));
    assert_int_equal(kn_watch_send(&watch, KN_VALUE(9)), -EPIPE);
    assert_int_equal(kn_block_on(kn_future_watch_changed(&changed, &receiver), -1).value.integer, 7);
    assert_int_equal(kn_block_on(kn_future_watch_changed(&changed, &receiver), -1).status, -EPIPE);
    assert_null(kn_future_watch_changed(NULL, &receiver));
    assert_null(kn_stream_watch(NULL, &watch));
}

static void value_wakes_all_who_wait_and_nobody_who_was_dropped(void **state)
{
    (void)state;
    struct kn_local_executor local[3];
    struct kn_watch_receiver receivers[3];
    struct kn_future_watch_changed changed[3];
    struct kn_outcome outcome;
    kn_watch_init(&watch, KN_VALUE(0));
    for (int i = 0; i < 3; i++) {
        kn_local_executor_init(&local[i], 0);
        kn_watch_subscribe(&receivers[i], &watch);
        struct kn_future *future = kn_future_watch_changed(&changed[i], &receivers[i]);
        assert_false(kn_local_executor_poll(&local[i], future, &outcome));
    }
    kn_future_drop(&changed[1].future);
    assert_int_equal(kn_watch_send(&watch, KN_VALUE(3)), 0);
    assert_true(kn_local_executor_is_woken(&local[0]));
    assert_false(kn_local_executor_is_woken(&local[1]));
    assert_true(kn_local_executor_is_woken(&local[2]));
    for (int i = 0; i < 3; i += 2) {
        assert_true(kn_local_executor_poll(&local[i], &changed[i].future, &outcome));
        assert_int_equal(outcome.value.integer, 3);
    }
}

/* ---- threads ---- */

enum { SENDERS = 2, RECEIVERS = 2, VALUES = 5000 };

static void *count_up(void *argument)
{
    int64_t one = 1;
    for (int i = 0; i < VALUES; i++)
        if (kn_watch_modify(&watch, add, &one) < 0)
            return argument;
    return NULL;
}

/* Follows to the end. @return whether it saw the last value, and none out of order. */
static void *follow(void *argument)
{
    (void)argument;
    struct kn_stream_watch memory;
    struct kn_stream_next next;
    struct kn_stream *stream = kn_stream_watch(&memory, &watch);
    int64_t last = -1;
    for (;;) {
        struct kn_outcome outcome = kn_block_on(kn_stream_next(&next, stream), -1);
        if (outcome.status != KN_READY || outcome.value.integer <= last)
            break;
        last = outcome.value.integer;
    }
    kn_stream_drop(stream);
    return (void *)(intptr_t)last;
}

static void threads_see_the_last_value_and_no_older_one_after_a_newer(void **state)
{
    (void)state;
    pthread_t senders[SENDERS], receivers[RECEIVERS];
    void *result;
    kn_watch_init(&watch, KN_VALUE(0));
    for (int i = 0; i < RECEIVERS; i++)
        assert_int_equal(pthread_create(&receivers[i], NULL, follow, NULL), 0);
    for (int i = 0; i < SENDERS; i++)
        assert_int_equal(pthread_create(&senders[i], NULL, count_up, &watch), 0);
    for (int i = 0; i < SENDERS; i++) {
        pthread_join(senders[i], &result);
        assert_null(result);
    }
    kn_watch_close(&watch);
    for (int i = 0; i < RECEIVERS; i++) {
        pthread_join(receivers[i], &result);
        assert_int_equal((intptr_t)result, SENDERS * VALUES);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stream_gives_newer_and_newer_values_up_to_the_last),
        cmocka_unit_test(changed_answers_every_receiver_with_the_new_value),
        cmocka_unit_test(receiver_has_seen_what_it_looked_at),
        cmocka_unit_test(closed_watch_takes_no_value_and_gives_out_its_last),
        cmocka_unit_test(threads_see_the_last_value_and_no_older_one_after_a_newer),
        cmocka_unit_test(value_wakes_all_who_wait_and_nobody_who_was_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
