/* The queue of fixed slots: one producer, one consumer. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <kernel/spsc.h>

#include "queue_stress.h"

struct order {
    uint64_t number;
    uint32_t price;
    uint32_t quantity;
};
KN_SPSC_DEFINE(orders, struct order);

struct block {
    uint64_t words[64];
};
KN_SPSC_DEFINE(blocks, struct block);

struct three_bytes {
    uint8_t bytes[3];
};
KN_SPSC_DEFINE(triples, struct three_bytes);

KN_SPSC_DEFINE(messages, struct stress_message);
KN_SPSC_DENSE_DEFINE(dense_messages, struct stress_message);
QUEUE_FACE(messages);
QUEUE_FACE(dense_messages);

/* So large that the ring has no more slots than the capacity, and each lap overwrites the last. */
struct page {
    uint64_t words[511];
};
KN_SPSC_DEFINE(pages, struct page);
QUEUE_FACE(pages);

struct dense_page {
    uint64_t words[512];
};
KN_SPSC_DENSE_DEFINE(dense_pages, struct dense_page);
QUEUE_FACE(dense_pages);

static struct orders *open_orders(size_t capacity_slots)
{
    struct orders *queue;
    assert_int_equal(orders_open(&queue, capacity_slots), 0);
    return queue;
}

static void spsc_gives_back_what_was_pushed_in_order(void **state)
{
    (void)state;
    struct orders *queue = open_orders(8);
    for (uint64_t i = 0; i < 8; i++)
        assert_int_equal(orders_try_push(&queue->producer, &(struct order){.number = i, .price = (uint32_t)i * 3}), 0);
    for (uint64_t i = 0; i < 8; i++) {
        struct order order;
        assert_int_equal(orders_try_pop(&queue->consumer, &order), 0);
        assert_int_equal(order.number, i);
        assert_int_equal(order.price, i * 3);
    }
    orders_close(queue);
}

static void spsc_answers_full_and_empty_without_blocking(void **state)
{
    (void)state;
    for (size_t capacity = 1; capacity <= 64; capacity *= 2) {
        struct orders *queue = open_orders(capacity);
        struct order order = {0};
        assert_int_equal(orders_try_pop(&queue->consumer, &order), -EAGAIN);
        for (size_t lap = 0; lap < 3; lap++) {
            for (size_t i = 0; i < capacity; i++)
                assert_int_equal(orders_try_push(&queue->producer, &order), 0);
            assert_int_equal(orders_try_push(&queue->producer, &order), -EAGAIN);
            for (size_t i = 0; i < capacity; i++)
                assert_int_equal(orders_try_pop(&queue->consumer, &order), 0);
            assert_int_equal(orders_try_pop(&queue->consumer, &order), -EAGAIN);
        }
        orders_close(queue);
    }
}

static void spsc_counts_what_is_in_flight(void **state)
{
    (void)state;
    struct orders *queue = open_orders(16);
    struct order order = {0};
    for (size_t lap = 0; lap < 40; lap++) {
        for (size_t i = 0; i < 16; i++) {
            assert_int_equal(orders_count(queue), i);
            assert_int_equal(orders_try_push(&queue->producer, &order), 0);
        }
        assert_int_equal(orders_count(queue), 16);
        for (size_t i = 16; i > 0; i--) {
            assert_int_equal(orders_try_pop(&queue->consumer, &order), 0);
            assert_int_equal(orders_count(queue), i - 1);
        }
    }
    assert_int_equal(kn_sector_capacity(&queue->sector), 16);
    orders_close(queue);
}

static void spsc_claims_are_written_in_place_and_seen_only_when_published(void **state)
{
    (void)state;
    struct orders *queue = open_orders(8);
    struct kn_span span;
    struct order order;
    assert_int_equal(orders_claim(&queue->producer, 5, &span), 0);
    assert_int_equal(span.count, 5);
    for (size_t i = 0; i < span.count; i++)
        *orders_at(&span, i) = (struct order){.number = 100 + i};
    assert_int_equal(orders_try_pop(&queue->consumer, &order), -EAGAIN);
    assert_int_equal(orders_publish(&queue->producer, 3), 0);

    struct kn_span seen;
    assert_int_equal(orders_peek(&queue->consumer, 8, &seen), 0);
    assert_int_equal(seen.count, 3);
    for (size_t i = 0; i < seen.count; i++) {
        assert_int_equal(orders_at(&seen, i)->number, 100 + i);
        assert_ptr_equal(orders_at(&seen, i), orders_at(&span, i));
    }
    assert_int_equal(orders_release(&queue->consumer, 3), 0);
    assert_int_equal(orders_try_pop(&queue->consumer, &order), -EAGAIN);
    orders_close(queue);
}

static void spsc_claim_gives_what_room_there_is(void **state)
{
    (void)state;
    struct orders *queue = open_orders(8);
    struct kn_span span;
    assert_int_equal(orders_claim(&queue->producer, 100, &span), 0);
    assert_int_equal(span.count, 8);
    assert_int_equal(orders_publish(&queue->producer, 6), 0);
    assert_int_equal(orders_claim(&queue->producer, 4, &span), 0);
    assert_int_equal(span.count, 2);
    assert_int_equal(orders_publish(&queue->producer, 2), 0);
    assert_int_equal(orders_claim(&queue->producer, 1, &span), -EAGAIN);
    assert_int_equal(orders_claim(&queue->producer, 0, &span), -EAGAIN);
    orders_close(queue);
}

static void spsc_peek_leaves_messages_until_released(void **state)
{
    (void)state;
    struct orders *queue = open_orders(4);
    struct kn_span span;
    struct order order = {.number = 7};
    assert_int_equal(orders_try_push(&queue->producer, &order), 0);
    assert_int_equal(orders_peek(&queue->consumer, 4, &span), 0);
    assert_int_equal(orders_peek(&queue->consumer, 4, &span), 0);
    assert_int_equal(span.count, 1);
    assert_int_equal(orders_count(queue), 1);
    assert_int_equal(orders_release(&queue->consumer, 1), 0);
    assert_int_equal(orders_count(queue), 0);
    assert_int_equal(orders_peek(&queue->consumer, 4, &span), -EAGAIN);
    orders_close(queue);
}

static void spsc_refuses_publish_and_release_beyond_what_was_handed_out(void **state)
{
    (void)state;
    struct orders *queue = open_orders(4);
    struct kn_span span;
    struct order order = {0};
    assert_int_equal(orders_publish(&queue->producer, 1), -EINVAL);
    assert_int_equal(orders_release(&queue->consumer, 1), -EINVAL);
    assert_int_equal(orders_claim(&queue->producer, 2, &span), 0);
    assert_int_equal(orders_publish(&queue->producer, 3), -EINVAL);
    assert_int_equal(orders_publish(&queue->producer, 2), 0);
    assert_int_equal(orders_publish(&queue->producer, 1), -EINVAL);
    assert_int_equal(orders_peek(&queue->consumer, 1, &span), 0);
    assert_int_equal(orders_release(&queue->consumer, 2), -EINVAL);
    assert_int_equal(orders_release(&queue->consumer, 1), 0);
    assert_int_equal(orders_release(&queue->consumer, 1), -EINVAL);
    assert_int_equal(orders_try_pop(&queue->consumer, &order), 0);
    assert_int_equal(orders_try_pop(&queue->consumer, &order), -EAGAIN);
    orders_close(queue);
}

static void spsc_batches_wrap_without_a_seam(void **state)
{
    (void)state;
    struct orders *queue = open_orders(256);
    struct order in[100];
    struct order out[100];
    uint64_t sent = 0;
    uint64_t received = 0;
    for (size_t lap = 0; lap < 50; lap++) {
        for (size_t i = 0; i < 100; i++)
            in[i] = (struct order){.number = sent + i};
        sent += orders_push_many(&queue->producer, in, 100);
        size_t count = orders_pop_many(&queue->consumer, out, 100);
        for (size_t i = 0; i < count; i++)
            assert_int_equal(out[i].number, received + i);
        received += count;
    }
    assert_int_equal(sent, 5000);
    assert_int_equal(received, 5000);
    orders_close(queue);
}

static void spsc_span_crosses_the_end_of_the_ring_in_one_piece(void **state)
{
    (void)state;
    struct orders *queue = open_orders(256);
    struct order order = {0};
    for (size_t i = 0; i < 250; i++) {
        assert_int_equal(orders_try_push(&queue->producer, &order), 0);
        assert_int_equal(orders_try_pop(&queue->consumer, &order), 0);
    }
    struct kn_span span;
    assert_int_equal(orders_claim(&queue->producer, 20, &span), 0);
    assert_int_equal(span.count, 20);
    for (size_t i = 0; i < 20; i++)
        orders_at(&span, i)->number = i;
    assert_int_equal(orders_publish(&queue->producer, 20), 0);
    assert_int_equal(orders_peek(&queue->consumer, 20, &span), 0);
    assert_int_equal(span.count, 20);
    for (size_t i = 0; i < 20; i++)
        assert_int_equal(orders_at(&span, i)->number, i);
    assert_int_equal(orders_release(&queue->consumer, 20), 0);
    orders_close(queue);
}

static void spsc_carries_messages_of_any_size(void **state)
{
    (void)state;
    for (size_t bytes = 1; bytes < 2000; bytes = bytes * 3 / 2 + 1) {
        struct kn_sector_options options = {
            .slot_bytes = bytes, .capacity_slots = 32, .readers = KN_READER_EXCLUSIVE, .layout = bytes % 2};
        void *opened;
        assert_int_equal(kn_queue_open(&opened, sizeof(struct kn_queue), &options), 0);
        struct kn_queue *queue = opened;
        uint8_t in[2000];
        uint8_t out[2000];
        for (unsigned round = 0; round < 100; round++) {
            for (size_t i = 0; i < bytes; i++)
                in[i] = (uint8_t)(round + i);
            assert_int_equal(kn_writer_try_push(&queue->producer, in), 0);
            assert_int_equal(kn_reader_try_pop(&queue->consumer, out), 0);
            assert_memory_equal(in, out, bytes);
        }
        kn_queue_close(queue);
    }
}

static void spsc_small_messages_never_straddle_a_cache_line(void **state)
{
    (void)state;
    for (size_t bytes = 1; bytes <= 56; bytes++) {
        size_t stride = KN_SEQUENCED_STRIDE_BYTES(bytes);
        assert_true(stride >= bytes + KN_STAMP_BYTES);
        assert_int_equal(KN_CACHE_LINE % stride, 0);
    }
    for (size_t bytes = 57; bytes <= 1024; bytes++)
        assert_int_equal(KN_SEQUENCED_STRIDE_BYTES(bytes) % KN_CACHE_LINE, 0);
}

static void spsc_refuses_bad_capacities(void **state)
{
    (void)state;
    const size_t bad[] = {0, 3, 1023, SIZE_MAX, (size_t)1 << 63};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct orders *queue = (void *)&state;
        assert_int_equal(orders_open(&queue, bad[i]), -EINVAL);
        assert_null(queue);
        orders_close(queue);
    }
}

enum { STRESS_MESSAGES = 400000 };

/* Each word is a function of the number, so that a torn or stale message shows. */
static uint64_t mark(uint64_t number, size_t word)
{
    return (number + 1) * UINT64_C(0x9E3779B97F4A7C15) + word;
}

static void *push_blocks(void *argument)
{
    struct blocks *queue = argument;
    for (uint64_t number = 0; number < STRESS_MESSAGES / 8; number++) {
        struct kn_span span;
        while (blocks_claim(&queue->producer, 1, &span) == -EAGAIN)
            (void)sched_yield();
        for (size_t word = 0; word < 64; word++)
            blocks_at(&span, 0)->words[word] = mark(number, word);
        (void)blocks_publish(&queue->producer, 1);
    }
    return NULL;
}

static void spsc_never_shows_a_torn_or_stale_message_across_threads(void **state)
{
    (void)state;
    struct blocks *queue;
    assert_int_equal(blocks_open(&queue, 8), 0);
    pthread_t producer;
    assert_int_equal(pthread_create(&producer, NULL, push_blocks, queue), 0);
    uint64_t wrong = 0;
    for (uint64_t number = 0; number < STRESS_MESSAGES / 8; number++) {
        struct kn_span span;
        while (blocks_peek(&queue->consumer, 1, &span) == -EAGAIN)
            (void)sched_yield();
        for (size_t word = 0; word < 64; word++)
            wrong += blocks_at(&span, 0)->words[word] != mark(number, word);
        wrong += blocks_release(&queue->consumer, 1) != 0;
    }
    pthread_join(producer, NULL);
    assert_int_equal(wrong, 0);
    assert_int_equal(blocks_count(queue), 0);
    blocks_close(queue);
}

static void *push_in_batches_of_every_size(void *argument)
{
    struct orders *queue = argument;
    struct order batch[16];
    uint64_t number = 0;
    while (number < STRESS_MESSAGES) {
        size_t wanted = 1 + number % 16;
        if (wanted > STRESS_MESSAGES - number)
            wanted = STRESS_MESSAGES - number;
        for (size_t i = 0; i < wanted; i++)
            batch[i] = (struct order){.number = number + i, .price = (uint32_t)mark(number + i, 0)};
        size_t pushed = 0;
        while (pushed < wanted) {
            size_t count = orders_push_many(&queue->producer, batch + pushed, wanted - pushed);
            if (count == 0)
                (void)sched_yield();
            pushed += count;
        }
        number += wanted;
    }
    return NULL;
}

static void spsc_delivers_every_message_in_order_across_threads(void **state)
{
    (void)state;
    for (size_t capacity = 1; capacity <= 1024; capacity *= 32) {
        struct orders *queue = open_orders(capacity);
        pthread_t producer;
        assert_int_equal(pthread_create(&producer, NULL, push_in_batches_of_every_size, queue), 0);
        struct order batch[7];
        uint64_t expected = 0;
        uint64_t wrong = 0;
        while (expected < STRESS_MESSAGES) {
            size_t count = orders_pop_many(&queue->consumer, batch, 7);
            if (count == 0)
                (void)sched_yield();
            for (size_t i = 0; i < count; i++, expected++)
                wrong += batch[i].number != expected || batch[i].price != (uint32_t)mark(expected, 0);
        }
        pthread_join(producer, NULL);
        assert_int_equal(wrong, 0);
        assert_int_equal(expected, STRESS_MESSAGES);
        assert_int_equal(orders_count(queue), 0);
        orders_close(queue);
    }
}

static void spsc_odd_sizes_keep_their_type(void **state)
{
    (void)state;
    struct triples *queue;
    assert_int_equal(triples_open(&queue, 2), 0);
    struct three_bytes in = {{1, 2, 3}};
    struct three_bytes out;
    assert_int_equal(triples_try_push(&queue->producer, &in), 0);
    assert_int_equal(triples_try_pop(&queue->consumer, &out), 0);
    assert_memory_equal(&in, &out, sizeof(in));
    triples_close(queue);
}

static void spsc_loses_and_doubles_nothing_in_either_layout(void **state)
{
    (void)state;
    struct queue_face faces[] = {messages_face(), dense_messages_face()};
    for (size_t i = 0; i < 4; i++) {
        for (unsigned round = 0; round < 4; round++)
            assert_int_equal(stress_run_all(&faces[i % 2], 10000, i / 2 != 0), 0);
    }
}

static void spsc_ring_of_a_few_slots_loses_and_doubles_nothing(void **state)
{
    (void)state;
    struct queue_face faces[] = {pages_face(), dense_pages_face()};
    for (size_t i = 0; i < 2; i++) {
        for (size_t capacity = 1; capacity <= 4; capacity *= 2) {
            /* Copies would be of pages, and the messages of the harness are none. */
            struct stress_options options = {.face = &faces[i],
                                             .capacity_slots = capacity,
                                             .producers = 1,
                                             .consumers = 1,
                                             .messages = 20000,
                                             .batch = 4};
            assert_int_equal(stress_run(&options), 0);
        }
    }
}

static void spsc_waits_in_every_way(void **state)
{
    (void)state;
    struct queue_face faces[] = {messages_face(), dense_messages_face()};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(stress_run_waiting(&faces[i], 1000, KN_WAIT_PARK), 0);
        assert_int_equal(stress_run_waiting(&faces[i], 1000, KN_WAIT_YIELD), 0);
        assert_int_equal(stress_run_waiting(&faces[i], 20, KN_WAIT_PAUSE), 0);
        assert_int_equal(stress_run_waiting(&faces[i], 20, KN_WAIT_SPIN), 0);
    }
}

/* Neither full nor empty is ever spurious. */
static void spsc_histories_are_linearizable(void **state)
{
    (void)state;
    struct queue_face faces[] = {messages_face(), dense_messages_face(), pages_face(), dense_pages_face()};
    for (size_t i = 0; i < 4; i++) {
        for (size_t capacity = 1; capacity <= 4; capacity *= 2) {
            struct history_options options = {.capacity_slots = capacity};
            assert_int_equal(stress_history(&faces[i], 1, 1, 5000, &options), HISTORY_LINEARIZABLE);
        }
    }
}

static void spsc_ends_leave_and_join_again(void **state)
{
    (void)state;
    struct orders *queue = open_orders(4);
    struct order order = {.number = 0};
    for (uint64_t i = 0; i < 1000; i++) {
        struct order batch[3] = {{.number = 3 * i}, {.number = 3 * i + 1}, {.number = 3 * i + 2}};
        assert_int_equal(orders_push_many(&queue->producer, batch, 3), 3);
        orders_producer_leave(&queue->producer);
        assert_int_equal(orders_producer_join(&queue->producer, &queue->sector), 0);
        for (uint64_t k = 0; k < 3; k++) {
            orders_consumer_leave(&queue->consumer);
            assert_int_equal(orders_consumer_join(&queue->consumer, &queue->sector, NULL), 0);
            assert_int_equal(orders_try_pop(&queue->consumer, &order), 0);
            assert_int_equal(order.number, 3 * i + k);
        }
    }
    orders_close(queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spsc_gives_back_what_was_pushed_in_order),
        cmocka_unit_test(spsc_answers_full_and_empty_without_blocking),
        cmocka_unit_test(spsc_counts_what_is_in_flight),
        cmocka_unit_test(spsc_claims_are_written_in_place_and_seen_only_when_published),
        cmocka_unit_test(spsc_claim_gives_what_room_there_is),
        cmocka_unit_test(spsc_peek_leaves_messages_until_released),
        cmocka_unit_test(spsc_refuses_publish_and_release_beyond_what_was_handed_out),
        cmocka_unit_test(spsc_batches_wrap_without_a_seam),
        cmocka_unit_test(spsc_span_crosses_the_end_of_the_ring_in_one_piece),
        cmocka_unit_test(spsc_carries_messages_of_any_size),
        cmocka_unit_test(spsc_small_messages_never_straddle_a_cache_line),
        cmocka_unit_test(spsc_refuses_bad_capacities),
        cmocka_unit_test(spsc_never_shows_a_torn_or_stale_message_across_threads),
        cmocka_unit_test(spsc_delivers_every_message_in_order_across_threads),
        cmocka_unit_test(spsc_odd_sizes_keep_their_type),
        cmocka_unit_test(spsc_loses_and_doubles_nothing_in_either_layout),
        cmocka_unit_test(spsc_ring_of_a_few_slots_loses_and_doubles_nothing),
        cmocka_unit_test(spsc_waits_in_every_way),
        cmocka_unit_test(spsc_histories_are_linearizable),
        cmocka_unit_test(spsc_ends_leave_and_join_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
