#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include <kernel/broadcast_channel.h>
#include <kernel/sink_combine.h>

#include "async_harness.h"

static struct kn_broadcast_channel channel; /* of the present execution */
static kn_value_t slots[64];

/* ---- every order, within one thread ---- */

static const struct harness_item items[] = {
    {0, {KN_READY, {.integer = 1}}}, {1, {KN_READY, {.integer = 2}}}, {0, {KN_READY, {.integer = 3}}}};

static void build_one_receiver(struct harness *world, void *context)
{
    kn_broadcast_channel_init(&channel, slots, *(size_t *)context);
    harness_spawn(world, KN_IN(harness_arena(world), kn_stream_forward,
                               KN_IN(harness_arena(world), kn_stream_broadcast, &channel), harness_sink(world, 1, 9)));
    harness_spawn(world, KN_IN(harness_arena(world), kn_stream_forward, harness_stream(world, items, 3),
                               KN_IN(harness_arena(world), kn_sink_broadcast, &channel)));
}

/* All values in order where there is room for them; else as many, or the news that there were more. */
static void check_one_receiver(struct harness *world, unsigned task, struct kn_outcome outcome, void *context)
{
    const int64_t *taken;
    size_t count = harness_taken(world, &taken);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(taken[i], (int64_t)i + 1);
    if (task == 1)
        assert_int_equal(outcome.status, KN_READY);
    else if (outcome.status == -EOVERFLOW)
        assert_true(*(size_t *)context < 3 && count < 3);
    else
        assert_int_equal(count, 3);
}

static void every_value_comes_in_order_or_its_loss_is_told(void **state)
{
    (void)state;
    for (size_t capacity = 1; capacity <= 4; capacity++)
        assert_true(harness_explore(build_one_receiver, check_one_receiver, &capacity, NULL) < 100000);
}

static void build_two_receivers(struct harness *world, void *context)
{
    (void)context;
    static struct kn_broadcast_receiver receivers[2];
    kn_broadcast_channel_init(&channel, slots, 2);
    for (int i = 0; i < 2; i++) {
        kn_broadcast_channel_subscribe(&receivers[i], &channel);
        harness_spawn(world, KN_IN(harness_arena(world), kn_future_broadcast_receive, &receivers[i]));
    }
    harness_spawn(world, KN_IN(harness_arena(world), kn_stream_forward, harness_stream(world, items, 1),
                               KN_IN(harness_arena(world), kn_sink_broadcast, &channel)));
}

static void check_two_receivers(struct harness *world, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)world;
    (void)context;
    assert_int_equal(outcome.status, KN_READY);
    if (task < 2)
        assert_int_equal(outcome.value.integer, 1);
}

static void every_receiver_gets_the_value(void **state)
{
    (void)state;
    assert_true(harness_explore(build_two_receivers, check_two_receivers, NULL, NULL) > 10);
}

/* ---- loss, and the end ---- */

static void receiver_that_lags_is_told_how_much_it_lost_and_goes_on(void **state)
{
    (void)state;
    struct kn_broadcast_receiver receiver;
    kn_value_t value;
    kn_broadcast_channel_init(&channel, slots, 3);
    kn_broadcast_channel_subscribe(&receiver, &channel);
    assert_int_equal(kn_broadcast_channel_try_receive(&receiver, &value), -EAGAIN);
    for (int i = 0; i < 8; i++)
        assert_int_equal(kn_broadcast_channel_send(&channel, KN_VALUE(i)), 0);
    assert_int_equal(kn_broadcast_channel_try_receive(&receiver, &value), -EOVERFLOW);
    assert_int_equal(kn_broadcast_receiver_lost(&receiver), 5);
    for (int i = 5; i < 8; i++) {
        assert_int_equal(kn_broadcast_channel_try_receive(&receiver, &value), 0);
        assert_int_equal(value.integer, i);
    }
    assert_int_equal(kn_broadcast_channel_try_receive(&receiver, &value), -EAGAIN);
}

static void closed_channel_takes_no_value_and_gives_out_what_it_has(void **state)
{
    (void)state;
    struct kn_broadcast_receiver receiver, late;
    struct kn_future_broadcast_receive receive;
    kn_value_t value;
    kn_broadcast_channel_init(&channel, slots, 3);
    kn_broadcast_channel_subscribe(&receiver, &channel);
    assert_int_equal(kn_broadcast_channel_send(&channel, KN_VALUE(1)), 0);
    kn_broadcast_channel_subscribe(&late, &channel);
    kn_broadcast_channel_close(&channel);
    assert_int_equal(kn_broadcast_channel_send(&channel, KN_VALUE(2)), -EPIPE);
    assert_int_equal(kn_block_on(kn_future_broadcast_receive(&receive, &receiver), -1).value.integer, 1);
    assert_int_equal(kn_block_on(kn_future_broadcast_receive(&receive, &receiver), -1).status, KN_END);
    assert_int_equal(kn_broadcast_channel_try_receive(&late, &value), -EPIPE);
    assert_null(kn_future_broadcast_receive(NULL, &receiver));
    assert_null(kn_stream_broadcast(NULL, &channel));
    assert_null(kn_sink_broadcast(NULL, &channel));
}

static void value_wakes_nobody_who_was_dropped(void **state)
{
    (void)state;
    struct kn_local_executor local[2];
    struct kn_broadcast_receiver receivers[2];
    struct kn_future_broadcast_receive receives[2];
    struct kn_outcome outcome;
    kn_broadcast_channel_init(&channel, slots, 2);
    for (int i = 0; i < 2; i++) {
        kn_local_executor_init(&local[i], 0);
        kn_broadcast_channel_subscribe(&receivers[i], &channel);
        struct kn_future *future = kn_future_broadcast_receive(&receives[i], &receivers[i]);
        assert_false(kn_local_executor_poll(&local[i], future, &outcome));
    }
    kn_future_drop(&receives[0].future);
    assert_int_equal(kn_broadcast_channel_send(&channel, KN_VALUE(3)), 0);
    assert_false(kn_local_executor_is_woken(&local[0]));
    assert_true(kn_local_executor_is_woken(&local[1]));
}

/* ---- threads ---- */

enum { SENDERS = 2, RECEIVERS = 2, VALUES = 4000 };

static void *send_values(void *argument)
{
    int64_t sender = (int64_t)(intptr_t)argument;
    for (int64_t i = 0; i < VALUES; i++)
        (void)kn_broadcast_channel_send(&channel, KN_VALUE(sender << 32 | i));
    return NULL;
}

struct follower {
    struct kn_stream_broadcast memory;
    struct kn_stream *stream;
    uint64_t received;
    bool in_order;
};

static void *follow(void *argument)
{
    struct follower *self = argument;
    int64_t last[SENDERS] = {-1, -1};
    struct kn_outcome outcome;
    self->in_order = true;
    for (;;) {
        struct kn_stream_next next;
        outcome = kn_block_on(kn_stream_next(&next, self->stream), -1);
        if (outcome.status == -EOVERFLOW)
            continue;
        if (outcome.status != KN_READY)
            break;
        int64_t sender = outcome.value.integer >> 32, number = outcome.value.integer & 0xffffffff;
        self->in_order = self->in_order && number > last[sender];
        last[sender] = number;
        self->received++;
    }
    self->in_order = self->in_order && outcome.status == KN_END;
    return NULL;
}

static void threads_get_or_count_every_value_in_its_senders_order(void **state)
{
    (void)state;
    pthread_t senders[SENDERS], receivers[RECEIVERS];
    static struct follower followers[RECEIVERS];
    kn_broadcast_channel_init(&channel, slots, 64);
    for (int i = 0; i < RECEIVERS; i++) {
        followers[i].received = 0;
        followers[i].stream = kn_stream_broadcast(&followers[i].memory, &channel);
        assert_int_equal(pthread_create(&receivers[i], NULL, follow, &followers[i]), 0);
    }
    for (intptr_t i = 0; i < SENDERS; i++)
        assert_int_equal(pthread_create(&senders[i], NULL, send_values, (void *)i), 0);
    for (int i = 0; i < SENDERS; i++)
        pthread_join(senders[i], NULL);
    kn_broadcast_channel_close(&channel);
    for (int i = 0; i < RECEIVERS; i++) {
        pthread_join(receivers[i], NULL);
        assert_true(followers[i].in_order);
        assert_int_equal(followers[i].received + kn_broadcast_receiver_lost(&followers[i].memory.receiver),
                         SENDERS * VALUES);
        kn_stream_drop(followers[i].stream);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_value_comes_in_order_or_its_loss_is_told),
        cmocka_unit_test(every_receiver_gets_the_value),
        cmocka_unit_test(receiver_that_lags_is_told_how_much_it_lost_and_goes_on),
        cmocka_unit_test(closed_channel_takes_no_value_and_gives_out_what_it_has),
        cmocka_unit_test(threads_get_or_count_every_value_in_its_senders_order),
        cmocka_unit_test(value_wakes_nobody_who_was_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
