/* The queue of fixed slots: several producers, one consumer. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <kernel/mpsc.h>

#include "queue_stress.h"

KN_MPSC_DEFINE(messages, struct stress_message);
KN_MPSC_DENSE_DEFINE(dense_messages, struct stress_message);
QUEUE_FACE(messages);
QUEUE_FACE(dense_messages);

/* So large that the ring has no more slots than the capacity, and each lap overwrites the last. */
struct page {
    uint64_t words[511];
};
KN_MPSC_DEFINE(pages, struct page);
QUEUE_FACE(pages);

struct dense_page {
    uint64_t words[512];
};
KN_MPSC_DENSE_DEFINE(dense_pages, struct dense_page);
QUEUE_FACE(dense_pages);

enum { PRODUCERS = 3 };

struct fan {
    struct messages *queue;
    struct messages_producer producers[PRODUCERS];
};

static void fan_open(struct fan *fan, size_t capacity_slots)
{
    assert_int_equal(messages_open(&fan->queue, capacity_slots), 0);
    for (unsigned i = 0; i < PRODUCERS; i++)
        assert_int_equal(messages_producer_join(&fan->producers[i], &fan->queue->sector), 0);
}

static void fan_close(struct fan *fan)
{
    for (unsigned i = 0; i < PRODUCERS; i++)
        messages_producer_leave(&fan->producers[i]);
    messages_close(fan->queue);
}

static void push(struct fan *fan, unsigned producer, uint64_t number)
{
    struct stress_message message = {.number = number};
    assert_int_equal(messages_try_push(&fan->producers[producer], &message), 0);
}

static void expect(struct fan *fan, uint64_t number)
{
    struct stress_message message;
    assert_int_equal(messages_try_pop(&fan->queue->consumer, &message), 0);
    assert_int_equal(message.number, number);
}

static void expect_empty(struct fan *fan)
{
    struct stress_message message;
    assert_int_equal(messages_try_pop(&fan->queue->consumer, &message), -EAGAIN);
}

static void mpsc_gives_back_what_was_pushed_by_all_in_order(void **state)
{
    (void)state;
    for (size_t capacity = 1; capacity <= 16; capacity *= 2) {
        struct fan fan;
        struct stress_message message = {0};
        fan_open(&fan, capacity);
        for (uint64_t lap = 0; lap < 600; lap++) {
            for (uint64_t i = 0; i < capacity; i++)
                push(&fan, (unsigned)(i % PRODUCERS), lap * capacity + i);
            for (unsigned i = 0; i < PRODUCERS; i++)
                assert_int_equal(messages_try_push(&fan.producers[i], &message), -EAGAIN);
            assert_int_equal(messages_count(fan.queue), capacity);
            for (uint64_t i = 0; i < capacity; i++)
                expect(&fan, lap * capacity + i);
            expect_empty(&fan);
        }
        fan_close(&fan);
    }
}

static void mpsc_claims_of_several_lie_apart_and_are_seen_in_their_order(void **state)
{
    (void)state;
    struct fan fan;
    struct kn_span spans[PRODUCERS];
    fan_open(&fan, 8);
    for (uint64_t i = 0; i < PRODUCERS; i++) {
        assert_int_equal(messages_claim(&fan.producers[i], 2, &spans[i]), 0);
        assert_int_equal(spans[i].count, 2);
    }
    for (uint64_t i = 0; i < PRODUCERS; i++)
        for (size_t k = 0; k < 2; k++)
            messages_at(&spans[i], k)->number = i * 2 + k;
    /* Published from the last to the first: nothing is seen before the first, then everything. */
    assert_int_equal(messages_publish(&fan.producers[2], 2), 0);
    expect_empty(&fan);
    assert_int_equal(messages_publish(&fan.producers[1], 1), 0);
    expect_empty(&fan);
    assert_int_equal(messages_publish(&fan.producers[0], 2), 0);
    expect(&fan, 0);
    expect(&fan, 1);
    expect(&fan, 2);
    expect(&fan, 4); /* 3 was claimed and given up */
    expect(&fan, 5);
    expect_empty(&fan);
    fan_close(&fan);
}

static void mpsc_consumer_peeks_over_the_batches_of_several(void **state)
{
    (void)state;
    struct fan fan;
    struct stress_message batch[3] = {{.number = 0}, {.number = 1}, {.number = 2}};
    struct kn_span span;
    fan_open(&fan, 16);
    for (unsigned i = 0; i < PRODUCERS; i++)
        assert_int_equal(messages_push_many(&fan.producers[i], batch, 3), 3);
    assert_int_equal(messages_peek(&fan.queue->consumer, 16, &span), 0);
    assert_int_equal(span.count, 9);
    for (size_t i = 0; i < 9; i++)
        assert_int_equal(messages_at(&span, i)->number, i % 3);
    assert_int_equal(messages_release(&fan.queue->consumer, 4), 0);
    assert_int_equal(messages_count(fan.queue), 5);
    expect(&fan, 1);
    assert_int_equal(messages_pop_many(&fan.queue->consumer, batch, 3), 3);
    assert_int_equal(batch[0].number, 2);
    fan_close(&fan);
}

static void mpsc_producers_come_and_go(void **state)
{
    (void)state;
    struct fan fan;
    fan_open(&fan, 4);
    for (uint64_t i = 0; i < 1000; i++) {
        struct messages_producer guest;
        struct kn_span span;
        assert_int_equal(messages_producer_join(&guest, &fan.queue->sector), 0);
        assert_int_equal(messages_claim(&guest, 2, &span), 0);
        messages_at(&span, 0)->number = i;
        if (i % 2 == 0)
            assert_int_equal(messages_publish(&guest, 1), 0);
        messages_producer_leave(&guest);
        push(&fan, 0, i);
        if (i % 2 == 0)
            expect(&fan, i);
        expect(&fan, i);
        expect_empty(&fan);
    }
    fan_close(&fan);
}

static void mpsc_consumer_leaves_and_the_next_goes_on(void **state)
{
    (void)state;
    struct fan fan;
    struct messages_consumer second;
    struct stress_message batch[3] = {{.number = 0}, {.number = 1}, {.number = 2}};
    fan_open(&fan, 4);
    assert_int_equal(messages_consumer_join(&second, &fan.queue->sector, NULL), -EBUSY);
    assert_int_equal(messages_push_many(&fan.producers[0], batch, 3), 3);
    expect(&fan, 0); /* in the middle of a run */
    messages_consumer_leave(&fan.queue->consumer);
    assert_int_equal(messages_consumer_join(&second, &fan.queue->sector, NULL), 0);
    assert_int_equal(messages_pop_many(&second, batch, 3), 2);
    assert_int_equal(batch[0].number, 1);
    assert_int_equal(batch[1].number, 2);
    messages_consumer_leave(&second);
    fan_close(&fan);
}

static void mpsc_loses_and_doubles_nothing_between_any_number_of_threads(void **state)
{
    (void)state;
    struct queue_face faces[] = {messages_face(), dense_messages_face()};
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(stress_run_all(&faces[i], 4000, false), 0);
}

static void mpsc_robust_loses_and_doubles_nothing_either(void **state)
{
    (void)state;
    struct queue_face faces[] = {messages_face(), dense_messages_face()};
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(stress_run_all(&faces[i], 1000, true), 0);
}

static void mpsc_ring_of_a_few_slots_loses_and_doubles_nothing(void **state)
{
    (void)state;
    struct queue_face faces[] = {pages_face(), dense_pages_face()};
    for (size_t i = 0; i < 2; i++) {
        for (size_t capacity = 1; capacity <= 4; capacity *= 2) {
            /* Copies would be of pages, and the messages of the harness are none. */
            struct stress_options options = {.face = &faces[i],
                                             .capacity_slots = capacity,
                                             .producers = 4,
                                             .consumers = 1,
                                             .messages = 5000,
                                             .batch = 4};
            assert_int_equal(stress_run(&options), 0);
        }
    }
}

static void mpsc_waits_in_every_way_with_more_threads_than_cores(void **state)
{
    (void)state;
    struct queue_face faces[] = {messages_face(), dense_messages_face()};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(stress_run_waiting(&faces[i], 500, KN_WAIT_PARK), 0);
        assert_int_equal(stress_run_waiting(&faces[i], 500, KN_WAIT_YIELD), 0);
    }
}

static void mpsc_waits_without_yielding(void **state)
{
    (void)state;
    struct queue_face faces[] = {messages_face(), dense_messages_face()};
    for (size_t i = 0; i < 4; i++) {
        struct kn_wait how = {.strategy = i / 2 == 0 ? KN_WAIT_PAUSE : KN_WAIT_SPIN};
        struct stress_options options = {.face = &faces[i % 2],
                                         .capacity_slots = 64,
                                         .producers = 1,
                                         .consumers = 1,
                                         .messages = 20000,
                                         .how = &how};
        options.batch = 16;
        assert_int_equal(stress_run(&options), 0);
    }
}

/* Empty may be spurious: a message that is claimed and not yet published hides those behind it. Full is not. */
static void mpsc_histories_are_linearizable(void **state)
{
    (void)state;
    struct queue_face faces[] = {messages_face(), dense_messages_face(), pages_face(), dense_pages_face()};
    for (size_t i = 0; i < 4; i++) {
        for (size_t capacity = 1; capacity <= 4; capacity *= 2) {
            struct history_options options = {.capacity_slots = capacity, .spurious_empty = true};
            assert_int_equal(stress_history(&faces[i], 2, 1, 2000, &options), HISTORY_LINEARIZABLE);
            assert_int_equal(stress_history(&faces[i], 4, 1, 500, &options), HISTORY_LINEARIZABLE);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mpsc_gives_back_what_was_pushed_by_all_in_order),
        cmocka_unit_test(mpsc_claims_of_several_lie_apart_and_are_seen_in_their_order),
        cmocka_unit_test(mpsc_consumer_peeks_over_the_batches_of_several),
        cmocka_unit_test(mpsc_producers_come_and_go),
        cmocka_unit_test(mpsc_consumer_leaves_and_the_next_goes_on),
        cmocka_unit_test(mpsc_loses_and_doubles_nothing_between_any_number_of_threads),
        cmocka_unit_test(mpsc_robust_loses_and_doubles_nothing_either),
        cmocka_unit_test(mpsc_ring_of_a_few_slots_loses_and_doubles_nothing),
        cmocka_unit_test(mpsc_waits_in_every_way_with_more_threads_than_cores),
        cmocka_unit_test(mpsc_waits_without_yielding),
        cmocka_unit_test(mpsc_histories_are_linearizable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
