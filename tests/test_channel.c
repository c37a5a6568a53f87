#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include <kernel/channel.h>
#include <kernel/sink_combine.h>

#include "async_harness.h"

/* ---- every order, within one thread ---- */

static struct kn_channel channel; /* of the present execution */

static void open_channel(size_t capacity, kn_discard_function *release)
{
    struct kn_channel_options options = {.capacity = capacity, .release = release};
    assert_int_equal(kn_channel_open(&channel, &options), 0);
}

static void destroy_channel(struct harness *world, void *context)
{
    (void)world;
    (void)context;
    kn_channel_destroy(&channel);
}

static const struct harness_options with_channel = {.ended = destroy_channel};

static const struct harness_item items[] = {
    {0, {KN_READY, {.integer = 1}}}, {1, {KN_READY, {.integer = 2}}}, {0, {KN_READY, {.integer = 3}}}};

static void spawn_forward(struct harness *world, struct kn_stream *stream, struct kn_sink *sink)
{
    harness_spawn(world, KN_IN(harness_arena(world), kn_stream_forward, stream, sink));
}

static void spawn_receiver(struct harness *world, unsigned pendings, size_t fails_after)
{
    spawn_forward(world, KN_IN(harness_arena(world), kn_stream_channel, &channel),
                  harness_owned_sink(world, pendings, fails_after));
}

static struct kn_sink *make_sink(struct harness *world)
{
    return KN_IN(harness_arena(world), kn_sink_channel, &channel);
}

static void build_one_sender(struct harness *world, void *context)
{
    open_channel(1, harness_discard);
    spawn_forward(world, harness_owned_stream(world, items, *(size_t *)context), make_sink(world));
    spawn_receiver(world, 1, 9);
    kn_channel_leave(&channel);
}

/* What was received is what was sent, from the first on; all of it, unless the sender was dropped. */
static void check_order(struct harness *world, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)context;
    const int64_t *taken;
    size_t count = harness_taken(world, &taken);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(taken[i], (int64_t)i + 1);
    if (task == 1)
        assert_int_equal(outcome.status, KN_READY);
    else
        assert_true(outcome.status == KN_READY || outcome.status == -EPIPE);
}

static void every_value_comes_in_order_and_then_the_end(void **state)
{
    (void)state;
    for (size_t count = 0; count <= 2; count++)
        assert_true(harness_explore(build_one_sender, check_order, &count, &with_channel) < 100000);
}

static void check_all_three(struct harness *world, unsigned task, struct kn_outcome outcome, void *context)
{
    check_order(world, task, outcome, context);
    const int64_t *taken;
    if (task == 1)
        assert_int_equal(harness_taken(world, &taken), 3);
}

static void nothing_is_lost_where_nothing_is_dropped(void **state)
{
    (void)state;
    size_t count = 3;
    struct harness_options options = {.ended = destroy_channel, .no_drops = true};
    assert_true(harness_explore(build_one_sender, check_all_three, &count, &options) < 100000);
}

static void build_failing_receiver(struct harness *world, void *context)
{
    (void)context;
    open_channel(1, harness_discard);
    spawn_forward(world, harness_owned_stream(world, items, 3), make_sink(world));
    spawn_receiver(world, 0, 1);
    kn_channel_leave(&channel);
}

static void check_failing(struct harness *world, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)world;
    (void)task;
    (void)context;
    assert_true(outcome.status == -EPIPE || outcome.status == KN_READY);
}

static void sending_fails_once_the_receiver_is_gone(void **state)
{
    (void)state;
    assert_true(harness_explore(build_failing_receiver, check_failing, NULL, &with_channel) < 100000);
}

/* Receives `left` values, each with a future of its own. */
struct receive_some {
    struct kn_future future;
    struct kn_future_channel_receive receive;
    unsigned left;
    int64_t sum;
    bool made;
};

static struct kn_outcome receive_some_poll(struct kn_future *future, struct kn_context *context)
{
    struct receive_some *self = KN_CONTAINER_OF(future, struct receive_some, future);
    for (; self->left > 0; self->left--) {
        if (!self->made)
            (void)kn_future_channel_receive(&self->receive, &channel);
        self->made = true;
        struct kn_outcome outcome = kn_future_poll(&self->receive.future, context);
        if (outcome.status != KN_READY)
            return outcome;
        self->made = false;
        self->sum = self->sum * 10 + ((struct harness_object *)outcome.value.pointer)->number;
        kn_future_discard_outcome(&self->receive.future, outcome);
    }
    return kn_ready(KN_VALUE(self->sum));
}

static void receive_some_drop(struct kn_future *future)
{
    struct receive_some *self = KN_CONTAINER_OF(future, struct receive_some, future);
    if (self->made)
        kn_future_drop(&self->receive.future);
}

static const struct kn_future_type receive_some_type = {
    .name = "receive_some", .poll = receive_some_poll, .drop = receive_some_drop};

static void build_senders(struct harness *world, void *context)
{
    unsigned senders = *(unsigned *)context;
    open_channel(1, harness_discard);
    for (unsigned i = 0; i < senders; i++)
        harness_spawn(world, KN_IN(harness_arena(world), kn_future_channel_send, &channel,
                                   KN_VALUE(harness_object(world, (int64_t)i + 1))));
    struct receive_some *receiver = KN_ARENA_NEW(harness_arena(world), struct receive_some);
    assert_non_null(receiver);
    *receiver = (struct receive_some){.future.type = &receive_some_type, .left = senders};
    harness_spawn(world, &receiver->future);
}

static void check_senders(struct harness *world, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)world;
    unsigned senders = *(unsigned *)context;
    assert_int_equal(outcome.status, KN_READY);
    if (task < senders)
        return;
    int64_t digits = 0;
    for (int64_t sum = outcome.value.integer; sum > 0; sum /= 10)
        digits += sum % 10;
    assert_int_equal(digits, senders * (senders + 1) / 2);
}

static void senders_that_wait_in_line_all_come_through(void **state)
{
    (void)state;
    unsigned senders = 2;
    assert_true(harness_explore(build_senders, check_senders, &senders, &with_channel) < 100000);
    senders = 3;
    struct harness_options options = {.ended = destroy_channel, .no_drops = true};
    assert_true(harness_explore(build_senders, check_senders, &senders, &options) < 100000);
}

/* Of three that wait the second is woken and dropped: its room goes to the third. */
static void sender_that_is_dropped_lets_the_next_have_its_room(void **state)
{
    (void)state;
    struct kn_local_executor local[3];
    struct kn_future_channel_send sends[3];
    struct kn_outcome outcome;
    kn_value_t value;
    open_channel(1, NULL);
    assert_int_equal(kn_channel_try_send(&channel, KN_VALUE(0)), 0);
    for (int i = 0; i < 3; i++) {
        kn_local_executor_init(&local[i], 0);
        struct kn_future *send = kn_future_channel_send(&sends[i], &channel, KN_VALUE(i + 1));
        assert_false(kn_local_executor_poll(&local[i], send, &outcome));
        assert_false(kn_local_executor_is_woken(&local[i]));
    }
    assert_int_equal(kn_channel_try_receive(&channel, &value), 0);
    assert_true(kn_local_executor_is_woken(&local[0]));
    assert_true(kn_local_executor_poll(&local[0], &sends[0].future, &outcome));
    assert_int_equal(kn_channel_try_receive(&channel, &value), 0);
    assert_true(kn_local_executor_is_woken(&local[1]));
    assert_false(kn_local_executor_is_woken(&local[2]));
    kn_future_drop(&sends[1].future);
    assert_true(kn_local_executor_is_woken(&local[2]));
    assert_true(kn_local_executor_poll(&local[2], &sends[2].future, &outcome));
    assert_int_equal(kn_channel_try_receive(&channel, &value), 0);
    assert_int_equal(value.integer, 3);
    kn_channel_destroy(&channel);
}

/* ---- what threads do without waiting ---- */

static void capacity_is_a_bound_and_a_power_of_two(void **state)
{
    (void)state;
    struct kn_channel_options options = {.capacity = 3};
    kn_value_t value;
    assert_int_equal(kn_channel_open(&channel, &options), -EINVAL);
    open_channel(4, NULL);
    assert_int_equal(kn_channel_capacity(&channel), 4);
    for (int i = 0; i < 4; i++)
        assert_int_equal(kn_channel_try_send(&channel, KN_VALUE(i)), 0);
    assert_int_equal(kn_channel_try_send(&channel, KN_VALUE(4)), -EAGAIN);
    assert_int_equal(kn_channel_count(&channel), 4);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(kn_channel_try_receive(&channel, &value), 0);
        assert_int_equal(value.integer, i);
    }
    assert_int_equal(kn_channel_try_receive(&channel, &value), -EAGAIN);
    kn_channel_destroy(&channel);
}

static void closed_channel_gives_out_what_it_has_and_then_its_end(void **state)
{
    (void)state;
    kn_value_t value;
    open_channel(4, NULL);
    kn_channel_join(&channel);
    assert_int_equal(kn_channel_try_send(&channel, KN_VALUE(1)), 0);
    kn_channel_leave(&channel);
    assert_false(kn_channel_is_closed(&channel));
    kn_channel_leave(&channel);
    assert_true(kn_channel_is_closed(&channel));
    assert_int_equal(kn_channel_try_send(&channel, KN_VALUE(2)), -EPIPE);
    assert_int_equal(kn_channel_try_receive(&channel, &value), 0);
    assert_int_equal(kn_channel_try_receive(&channel, &value), -EPIPE);
    kn_channel_destroy(&channel);
}

static void a_sender_who_is_not_the_last_may_close_the_channel(void **state)
{
    (void)state;
    kn_value_t value;
    open_channel(4, NULL);
    kn_channel_join(&channel);
    assert_int_equal(kn_channel_try_send(&channel, KN_VALUE(5)), 0);
    kn_channel_close(&channel);
    assert_true(kn_channel_is_closed(&channel));
    assert_int_equal(kn_channel_try_send(&channel, KN_VALUE(6)), -EPIPE);
    assert_int_equal(kn_channel_try_receive(&channel, &value), 0);
    assert_int_equal(value.integer, 5);
    assert_int_equal(kn_channel_try_receive(&channel, &value), -EPIPE);
    kn_channel_leave(&channel);
    kn_channel_leave(&channel);
    kn_channel_destroy(&channel);
}

static void count_release(kn_value_t value, void *context)
{
    (void)value;
    ++*(unsigned *)context;
}

static void what_is_left_is_given_back(void **state)
{
    (void)state;
    unsigned released = 0;
    struct kn_channel_options options = {.capacity = 4, .release = count_release, .context = &released};
    assert_int_equal(kn_channel_open(&channel, &options), 0);
    assert_int_equal(kn_channel_try_send(&channel, KN_NOTHING), 0);
    assert_int_equal(kn_channel_try_send(&channel, KN_NOTHING), 0);
    assert_null(kn_future_channel_send(NULL, &channel, KN_NOTHING));
    assert_int_equal(released, 1);
    kn_channel_destroy(&channel);
    assert_int_equal(released, 3);
}

static void receiver_without_memory_closes_the_channel(void **state)
{
    (void)state;
    open_channel(4, NULL);
    assert_null(kn_stream_channel(NULL, &channel));
    assert_int_equal(kn_channel_try_send(&channel, KN_NOTHING), -EPIPE);
    kn_channel_destroy(&channel);
}

/* ---- heed ---- */

enum { LONG = 3 * 4096 };

static void pass_values(unsigned count)
{
    kn_value_t value;
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(kn_channel_try_send(&channel, KN_VALUE(i)), 0);
        assert_int_equal(kn_channel_try_receive(&channel, &value), 0);
    }
}

static void waiters_are_found_however_long_nobody_has_waited(void **state)
{
    (void)state;
    struct kn_local_executor local;
    struct kn_stream_channel memory;
    struct kn_future_channel_send send;
    struct kn_outcome outcome;
    kn_value_t value;
    open_channel(1, NULL);
    struct kn_stream *stream = kn_stream_channel(&memory, &channel);
    kn_local_executor_init(&local, 0);
    for (int round = 0; round < 3; round++) {
        pass_values(LONG);
        assert_true(!channel.common.has_membarrier || atomic_load(&channel.common.receiver_heed) == 0);
        assert_true(!channel.common.has_membarrier || atomic_load(&channel.senders.heed) == 0);
        struct kn_context context = kn_local_executor_context(&local);
        assert_int_equal(kn_stream_poll(stream, &context).status, KN_PENDING);
        assert_int_equal(kn_channel_try_send(&channel, KN_VALUE(7)), 0);
        assert_true(kn_local_executor_is_woken(&local));
        assert_int_equal(kn_stream_poll(stream, &context).value.integer, 7);
        assert_int_equal(kn_channel_try_send(&channel, KN_VALUE(8)), 0);
        assert_false(kn_local_executor_poll(&local, kn_future_channel_send(&send, &channel, KN_VALUE(9)), &outcome));
        assert_false(kn_local_executor_is_woken(&local));
        assert_int_equal(kn_channel_try_receive(&channel, &value), 0);
        assert_true(kn_local_executor_is_woken(&local));
        assert_true(kn_local_executor_poll(&local, &send.future, &outcome));
        assert_int_equal(kn_channel_try_receive(&channel, &value), 0);
        assert_int_equal(value.integer, 9);
    }
    kn_stream_drop(stream);
    kn_channel_destroy(&channel);
}

/* A receiver that has left its waker stays heeded, even if it receives otherwise for long. */
static void receiver_that_waits_is_never_forgotten(void **state)
{
    (void)state;
    struct kn_local_executor local;
    struct kn_future_channel_receive receive;
    struct kn_outcome outcome;
    open_channel(1, NULL);
    kn_local_executor_init(&local, 0);
    assert_false(kn_local_executor_poll(&local, kn_future_channel_receive(&receive, &channel), &outcome));
    pass_values(LONG);
    assert_true(kn_local_executor_is_woken(&local));
    assert_false(kn_local_executor_poll(&local, &receive.future, &outcome));
    assert_int_equal(kn_channel_try_send(&channel, KN_VALUE(5)), 0);
    assert_true(kn_local_executor_is_woken(&local));
    assert_true(kn_local_executor_poll(&local, &receive.future, &outcome));
    assert_int_equal(outcome.value.integer, 5);
    kn_channel_destroy(&channel);
}

/* ---- threads ---- */

enum { SENDERS = 3, VALUES = 6000 };

static void *send_values(void *argument)
{
    int64_t sender = (int64_t)(intptr_t)argument;
    for (int64_t i = 0; i < VALUES; i++) {
        struct kn_future_channel_send send;
        kn_value_t value = KN_VALUE(sender << 32 | i);
        if (i % 64 < 32 && kn_channel_try_send(&channel, value) == 0)
            continue;
        struct kn_outcome outcome;
        do
            outcome = kn_block_on(kn_future_channel_send(&send, &channel, value), i % 8 == 0 ? 1000 : -1);
        while (outcome.status == -ETIMEDOUT);
        if (outcome.status != KN_READY)
            return argument;
    }
    kn_channel_leave(&channel);
    return NULL;
}

static void *sink_values(void *argument)
{
    struct kn_sink *sink = argument;
    for (int64_t i = 0; i < VALUES; i++) {
        struct kn_sink_send send;
        if (kn_block_on(kn_sink_send(&send, sink, KN_VALUE(i)), -1).status != KN_READY)
            return argument;
    }
    kn_sink_drop(sink);
    return NULL;
}

/* Through so few slots that senders wait, and with some that give up meanwhile. */
static void send_through(size_t capacity)
{
    pthread_t threads[SENDERS];
    int64_t next[SENDERS] = {0};
    struct kn_sink_channel sink;
    struct kn_stream_channel memory;
    struct kn_outcome outcome;
    open_channel(capacity, NULL);
    struct kn_stream *stream = kn_stream_channel(&memory, &channel);
    assert_int_equal(pthread_create(&threads[0], NULL, sink_values, kn_sink_channel(&sink, &channel)), 0);
    for (intptr_t i = 1; i < SENDERS; i++) {
        kn_channel_join(&channel);
        assert_int_equal(pthread_create(&threads[i], NULL, send_values, (void *)i), 0);
    }
    kn_channel_leave(&channel);
    for (;;) {
        struct kn_stream_next following;
        outcome = kn_block_on(kn_stream_next(&following, stream), -1);
        if (outcome.status != KN_READY)
            break;
        int64_t sender = outcome.value.integer >> 32;
        assert_in_range(sender, 0, SENDERS - 1);
        assert_int_equal(outcome.value.integer & 0xffffffff, next[sender]++);
    }
    assert_int_equal(outcome.status, KN_END);
    for (int i = 0; i < SENDERS; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
        assert_int_equal(next[i], VALUES);
    }
    kn_stream_drop(stream);
    kn_channel_destroy(&channel);
}

static void threads_send_and_every_value_comes_once_in_its_senders_order(void **state)
{
    (void)state;
    send_through(1);
    send_through(8);
}

/* Streams for long, so that nobody is heeded, and stops again and again, so that somebody waits. */
static void *send_in_bursts(void *argument)
{
    struct kn_channel *requests = argument;
    for (int64_t i = 0; i < 8 * LONG; i++) {
        struct kn_future_channel_send send;
        if (kn_block_on(kn_future_channel_send(&send, requests, KN_VALUE(i)), -1).status != KN_READY)
            return argument;
        if (i % LONG == 0)
            (void)sched_yield();
    }
    kn_channel_leave(requests);
    return NULL;
}

static void no_wake_up_is_lost_between_bursts(void **state)
{
    (void)state;
    pthread_t thread;
    void *failed;
    kn_value_t value;
    open_channel(4096, NULL);
    assert_int_equal(pthread_create(&thread, NULL, send_in_bursts, &channel), 0);
    int64_t expected = 0;
    for (;;) {
        struct kn_future_channel_receive receive;
        struct kn_outcome outcome = kn_block_on(kn_future_channel_receive(&receive, &channel), -1);
        if (outcome.status != KN_READY)
            break;
        assert_int_equal(outcome.value.integer, expected++);
        for (int i = 0; i < 100 && kn_channel_try_receive(&channel, &value) == 0; i++)
            assert_int_equal(value.integer, expected++);
    }
    assert_int_equal(expected, 8 * LONG);
    pthread_join(thread, &failed);
    assert_null(failed);
    kn_channel_destroy(&channel);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_value_comes_in_order_and_then_the_end),
        cmocka_unit_test(nothing_is_lost_where_nothing_is_dropped),
        cmocka_unit_test(sending_fails_once_the_receiver_is_gone),
        cmocka_unit_test(senders_that_wait_in_line_all_come_through),
        cmocka_unit_test(sender_that_is_dropped_lets_the_next_have_its_room),
        cmocka_unit_test(capacity_is_a_bound_and_a_power_of_two),
        cmocka_unit_test(closed_channel_gives_out_what_it_has_and_then_its_end),
        cmocka_unit_test(a_sender_who_is_not_the_last_may_close_the_channel),
        cmocka_unit_test(what_is_left_is_given_back),
        cmocka_unit_test(receiver_without_memory_closes_the_channel),
        cmocka_unit_test(waiters_are_found_however_long_nobody_has_waited),
        cmocka_unit_test(receiver_that_waits_is_never_forgotten),
        cmocka_unit_test(threads_send_and_every_value_comes_once_in_its_senders_order),
        cmocka_unit_test(no_wake_up_is_lost_between_bursts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
