/* The queue of fixed slots: several producers, several consumers. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <kernel/mpmc.h>

#include "queue_stress.h"

KN_MPMC_DEFINE(messages, struct stress_message);
KN_MPMC_DENSE_DEFINE(dense_messages, struct stress_message);
QUEUE_FACE(messages);
QUEUE_FACE(dense_messages);

/* So large that the ring has no more slots than the capacity, and each lap overwrites the last. */
struct page {
    uint64_t words[511];
};
KN_MPMC_DEFINE(pages, struct page);
QUEUE_FACE(pages);

struct dense_page {
    uint64_t words[512];
};
KN_MPMC_DENSE_DEFINE(dense_pages, struct dense_page);
QUEUE_FACE(dense_pages);

enum { CROWD = 3 };

/* A queue with several at both ends. */
struct crowd {
    struct messages *queue;
    struct messages_producer producers[CROWD];
    struct messages_consumer consumers[CROWD];
};

static void crowd_open(struct crowd *crowd, size_t capacity_slots)
{
    assert_int_equal(messages_open(&crowd->queue, capacity_slots), 0);
    for (unsigned i = 0; i < CROWD; i++) {
        assert_int_equal(messages_producer_join(&crowd->producers[i], &crowd->queue->sector), 0);
        assert_int_equal(messages_consumer_join(&crowd->consumers[i], &crowd->queue->sector, NULL), 0);
    }
}

static void crowd_close(struct crowd *crowd)
{
    for (unsigned i = 0; i < CROWD; i++) {
        messages_producer_leave(&crowd->producers[i]);
        messages_consumer_leave(&crowd->consumers[i]);
    }
    messages_close(crowd->queue);
}

static void push(struct crowd *crowd, unsigned producer, uint64_t number)
{
    struct stress_message message = {.number = number};
    assert_int_equal(messages_try_push(&crowd->producers[producer], &message), 0);
}

static void expect(struct crowd *crowd, unsigned consumer, uint64_t number)
{
    struct stress_message message = {0};
    assert_int_equal(messages_try_pop(&crowd->consumers[consumer], &message), 0);
    assert_int_equal(message.number, number);
}

static void mpmc_gives_each_message_to_one_consumer_in_the_order_of_pushes(void **state)
{
    (void)state;
    struct crowd crowd;
    struct stress_message message = {0};
    crowd_open(&crowd, 8);
    for (uint64_t lap = 0; lap < 100; lap++) {
        for (uint64_t i = 0; i < 8; i++)
            push(&crowd, (unsigned)(i % CROWD), lap * 8 + i);
        for (unsigned i = 0; i < CROWD; i++)
            assert_int_equal(messages_try_push(&crowd.producers[i], &message), -EAGAIN);
        for (uint64_t i = 0; i < 8; i++)
            expect(&crowd, (unsigned)((i + lap) % CROWD), lap * 8 + i);
        for (unsigned i = 0; i < CROWD; i++)
            assert_int_equal(messages_try_pop(&crowd.consumers[i], &message), -EAGAIN);
    }
    crowd_close(&crowd);
}

static void mpmc_shows_claims_in_their_order_and_only_when_published(void **state)
{
    (void)state;
    struct crowd crowd;
    struct kn_span first;
    struct kn_span second;
    struct stress_message message = {0};
    crowd_open(&crowd, 8);
    assert_int_equal(messages_claim(&crowd.producers[0], 2, &first), 0);
    assert_int_equal(messages_claim(&crowd.producers[1], 2, &second), 0);
    for (size_t i = 0; i < 2; i++) {
        messages_at(&first, i)->number = i;
        messages_at(&second, i)->number = 2 + i;
    }
    assert_int_equal(messages_publish(&crowd.producers[1], 2), 0);
    assert_int_equal(messages_try_pop(&crowd.consumers[0], &message), -EAGAIN);
    assert_int_equal(messages_publish(&crowd.producers[0], 2), 0);
    for (uint64_t i = 0; i < 4; i++)
        expect(&crowd, (unsigned)(i % CROWD), i);
    crowd_close(&crowd);
}

static void mpmc_releases_in_any_order_and_the_oldest_holds_the_producers_up(void **state)
{
    (void)state;
    struct crowd crowd;
    struct kn_span spans[2];
    struct stress_message message = {0};
    crowd_open(&crowd, 4);
    for (uint64_t i = 0; i < 4; i++)
        push(&crowd, 0, i);
    assert_int_equal(messages_peek(&crowd.consumers[0], 1, &spans[0]), 0);
    assert_int_equal(messages_peek(&crowd.consumers[1], 3, &spans[1]), 0);
    assert_int_equal(messages_at(&spans[0], 0)->number, 0);
    assert_int_equal(spans[1].count, 3);
    assert_int_equal(messages_release(&crowd.consumers[1], 3), 0);
    assert_int_equal(messages_try_push(&crowd.producers[1], &message), -EAGAIN);
    assert_int_equal(messages_at(&spans[0], 0)->number, 0);
    assert_int_equal(messages_release(&crowd.consumers[0], 1), 0);
    for (uint64_t i = 4; i < 8; i++)
        push(&crowd, 1, i);
    for (uint64_t i = 4; i < 8; i++)
        expect(&crowd, 2, i);
    crowd_close(&crowd);
}

static void mpmc_batches_are_shared_out_among_the_consumers(void **state)
{
    (void)state;
    struct crowd crowd;
    struct stress_message batch[64] = {0};
    uint64_t next = 0;
    crowd_open(&crowd, 64);
    for (uint64_t i = 0; i < 64; i++)
        batch[i].number = i;
    assert_int_equal(messages_push_many(&crowd.producers[0], batch, 64), 64);
    assert_int_equal(messages_push_many(&crowd.producers[1], batch, 1), 0);
    for (size_t wanted = 1; next < 64; wanted++) {
        size_t count = messages_pop_many(&crowd.consumers[wanted % CROWD], batch, wanted);
        assert_int_equal(count, wanted < 64 - next ? wanted : 64 - next);
        for (size_t i = 0; i < count; i++)
            assert_int_equal(batch[i].number, next++);
    }
    crowd_close(&crowd);
}

static void mpmc_consumers_and_producers_come_and_go(void **state)
{
    (void)state;
    struct messages *queue;
    assert_int_equal(messages_open(&queue, 4), 0);
    for (uint64_t i = 0; i < 1000; i++) {
        struct messages_producer producer;
        struct messages_consumer consumer;
        struct stress_message message = {.number = i};
        assert_int_equal(messages_producer_join(&producer, &queue->sector), 0);
        assert_int_equal(messages_try_push(&producer, &message), 0);
        messages_producer_leave(&producer);
        assert_int_equal(messages_count(queue), 1);
        assert_int_equal(messages_consumer_join(&consumer, &queue->sector, NULL), 0);
        assert_int_equal(messages_try_pop(&consumer, &message), 0);
        assert_int_equal(message.number, i);
        messages_consumer_leave(&consumer);
        assert_int_equal(messages_count(queue), 0);
    }
    messages_close(queue);
}

static void mpmc_loses_and_doubles_nothing_between_any_number_of_threads(void **state)
{
    (void)state;
    struct queue_face faces[] = {messages_face(), dense_messages_face()};
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(stress_run_all(&faces[i], 1000, false), 0);
}

static void mpmc_robust_loses_and_doubles_nothing_either(void **state)
{
    (void)state;
    struct queue_face faces[] = {messages_face(), dense_messages_face()};
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(stress_run_all(&faces[i], 300, true), 0);
}

static void mpmc_ring_of_a_few_slots_loses_and_doubles_nothing(void **state)
{
    (void)state;
    struct queue_face faces[] = {pages_face(), dense_pages_face()};
    for (size_t i = 0; i < 2; i++) {
        for (size_t capacity = 1; capacity <= 4; capacity *= 2) {
            /* Copies would be of pages, and the messages of the harness are none. */
            struct stress_options options = {.face = &faces[i],
                                             .capacity_slots = capacity,
                                             .producers = 3,
                                             .consumers = 3,
                                             .messages = 10000,
                                             .batch = 4};
            assert_int_equal(stress_run(&options), 0);
        }
    }
}

static void mpmc_waits_in_every_way_with_more_threads_than_cores(void **state)
{
    (void)state;
    struct queue_face faces[] = {messages_face(), dense_messages_face()};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(stress_run_waiting(&faces[i], 500, KN_WAIT_PARK), 0);
        assert_int_equal(stress_run_waiting(&faces[i], 500, KN_WAIT_YIELD), 0);
    }
}

static void mpmc_waits_without_yielding(void **state)
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

/*
 * Empty may be spurious: a message that is claimed and not yet published hides those behind it. Full may be: a consumer
 * that tried to take a message has its position in its hands for a moment after another took it.
 */
static void mpmc_histories_are_linearizable(void **state)
{
    (void)state;
    struct queue_face faces[] = {messages_face(), dense_messages_face(), pages_face(), dense_pages_face()};
    for (size_t i = 0; i < 4; i++) {
        for (size_t capacity = 1; capacity <= 4; capacity *= 2) {
            struct history_options options = {
                .capacity_slots = capacity, .spurious_full = true, .spurious_empty = true};
            assert_int_equal(stress_history(&faces[i], 2, 2, 2000, &options), HISTORY_LINEARIZABLE);
            assert_int_equal(stress_history(&faces[i], 3, 4, 500, &options), HISTORY_LINEARIZABLE);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mpmc_gives_each_message_to_one_consumer_in_the_order_of_pushes),
        cmocka_unit_test(mpmc_shows_claims_in_their_order_and_only_when_published),
        cmocka_unit_test(mpmc_releases_in_any_order_and_the_oldest_holds_the_producers_up),
        cmocka_unit_test(mpmc_batches_are_shared_out_among_the_consumers),
        cmocka_unit_test(mpmc_consumers_and_producers_come_and_go),
        cmocka_unit_test(mpmc_loses_and_doubles_nothing_between_any_number_of_threads),
        cmocka_unit_test(mpmc_robust_loses_and_doubles_nothing_either),
        cmocka_unit_test(mpmc_ring_of_a_few_slots_loses_and_doubles_nothing),
        cmocka_unit_test(mpmc_waits_in_every_way_with_more_threads_than_cores),
        cmocka_unit_test(mpmc_waits_without_yielding),
        cmocka_unit_test(mpmc_histories_are_linearizable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
