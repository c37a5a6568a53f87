/* The generator of typed queues: what every shape has in common, and what it refuses. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include <kernel/broadcast.h>
#include <kernel/mpmc.h>
#include <kernel/mpsc.h>
#include <kernel/spmc.h>
#include <kernel/spsc.h>

#include "queue_stress.h"

struct order {
    uint64_t number;
    uint32_t price;
    uint32_t quantity;
};

KN_SPSC_DEFINE(spsc, struct order);
KN_SPSC_DENSE_DEFINE(spsc_dense, struct order);
KN_MPSC_DEFINE(mpsc, struct order);
KN_MPSC_DENSE_DEFINE(mpsc_dense, struct order);
KN_SPMC_DEFINE(spmc, struct order);
KN_SPMC_DENSE_DEFINE(spmc_dense, struct order);
KN_MPMC_DEFINE(mpmc, struct order);
KN_MPMC_DENSE_DEFINE(mpmc_dense, struct order);
KN_BROADCAST_DEFINE(broadcast, struct order);
KN_BROADCAST_DENSE_DEFINE(broadcast_dense, struct order);

/* A shape that no header has a name for. */
KN_QUEUE_DEFINE(news, struct order, KN_LAYOUT_DENSE, KN_WRITERS_SHARED, KN_READERS_JOIN);

QUEUE_FACE(spsc);
QUEUE_FACE(spsc_dense);
QUEUE_FACE(mpsc);
QUEUE_FACE(mpsc_dense);
QUEUE_FACE(spmc);
QUEUE_FACE(spmc_dense);
QUEUE_FACE(mpmc);
QUEUE_FACE(mpmc_dense);
QUEUE_FACE(broadcast);
QUEUE_FACE(broadcast_dense);
QUEUE_FACE(news);

enum { FACES = 11 };

static void list_faces(struct queue_face faces[FACES])
{
    const struct queue_face listed[FACES] = {
        spsc_face(), spsc_dense_face(), mpsc_face(),      mpsc_dense_face(),      spmc_face(), spmc_dense_face(),
        mpmc_face(), mpmc_dense_face(), broadcast_face(), broadcast_dense_face(), news_face(),
    };
    memcpy(faces, listed, sizeof(listed));
}

/* A sector of a face's shape, of 8 slots, with both ends joined. */
static void open_face(struct queue_pair *pair, const struct queue_face *face)
{
    struct kn_sector_options options = face->options;
    options.capacity_slots = 8;
    assert_int_equal(kn_sector_create(&pair->sector, &options), 0);
    assert_int_equal(face->producer_join(&pair->writer, &pair->sector), 0);
    assert_int_equal(face->consumer_join(&pair->reader, &pair->sector, NULL), 0);
}

static void queue_of_every_shape_carries_messages_in_place_and_by_copy(void **state)
{
    (void)state;
    struct queue_face faces[FACES];
    list_faces(faces);
    for (unsigned i = 0; i < FACES; i++) {
        const struct queue_face *face = &faces[i];
        struct queue_pair pair;
        open_face(&pair, face);
        for (uint64_t lap = 0; lap < 1000; lap++) {
            struct order batch[4] = {{.number = lap}, {.number = lap + 1}, {.number = lap + 2}, {.number = lap + 3}};
            struct kn_span span;
            assert_int_equal(face->push_many(&pair.writer, batch, 3), 3);
            assert_int_equal(face->try_push(&pair.writer, &batch[3]), 0);
            assert_int_equal(face->claim(&pair.writer, 2, &span), 0);
            ((struct order *)kn_span_at(&span, 0))->number = lap + 4;
            ((struct order *)kn_span_at(&span, 1))->number = lap + 5;
            assert_int_equal(face->publish(&pair.writer, 2), 0);
            assert_int_equal(face->push(&pair.writer, &(struct order){.number = lap + 6}, NULL), 0);
            assert_int_equal(face->claim_wait(&pair.writer, 9, &span, NULL), 0);
            assert_int_equal(span.count, 1);
            ((struct order *)kn_span_at(&span, 0))->number = lap + 7;
            assert_int_equal(face->publish(&pair.writer, 1), 0);
            assert_int_equal(face->try_push(&pair.writer, batch), -EAGAIN);

            assert_int_equal(face->peek(&pair.reader, 2, &span), 0);
            assert_int_equal(((struct order *)kn_span_at(&span, 1))->number, lap + 1);
            assert_int_equal(face->release(&pair.reader, 2), 0);
            assert_int_equal(face->pop_many(&pair.reader, batch, 3), 3);
            assert_int_equal(batch[2].number, lap + 4);
            assert_int_equal(face->try_pop(&pair.reader, batch), 0);
            assert_int_equal(face->pop(&pair.reader, batch, NULL), 0);
            assert_int_equal(batch[0].number, lap + 6);
            assert_int_equal(face->peek_wait(&pair.reader, 9, &span, NULL), 0);
            assert_int_equal(span.count, 1);
            assert_int_equal(((struct order *)kn_span_at(&span, 0))->number, lap + 7);
            assert_int_equal(face->release(&pair.reader, 1), 0);
            assert_int_equal(face->try_pop(&pair.reader, batch), -EAGAIN);
        }
        queue_pair_close(&pair);
    }
}

static void queue_refuses_a_sector_of_another_shape(void **state)
{
    (void)state;
    struct queue_face faces[FACES];
    list_faces(faces);
    for (unsigned i = 0; i < FACES; i++) {
        struct queue_pair pair;
        open_face(&pair, &faces[i]);
        for (unsigned k = 0; k < FACES; k++) {
            struct kn_writer writer;
            struct kn_reader reader;
            if (k == i)
                continue;
            assert_int_equal(faces[k].producer_join(&writer, &pair.sector), -EPROTOTYPE);
            assert_int_equal(faces[k].consumer_join(&reader, &pair.sector, NULL), -EPROTOTYPE);
        }
        queue_pair_close(&pair);
    }
}

struct other {
    uint8_t bytes[20];
};
KN_SPSC_DEFINE(others, struct other);

static void queue_refuses_a_sector_of_another_size_of_message(void **state)
{
    (void)state;
    struct spsc *queue;
    struct others_producer producer;
    struct others_consumer consumer;
    assert_int_equal(spsc_open(&queue, 8), 0);
    assert_int_equal(others_producer_join(&producer, &queue->sector), -EPROTOTYPE);
    assert_int_equal(others_consumer_join(&consumer, &queue->sector, NULL), -EPROTOTYPE);
    spsc_close(queue);
}

static void queue_does_not_open_with_a_bad_capacity(void **state)
{
    (void)state;
    const size_t bad[] = {0, 3, 1000, SIZE_MAX, (size_t)1 << 63, (size_t)1 << 60};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct mpmc *mpmc = (void *)&state;
        struct broadcast_dense *broadcast = (void *)&state;
        assert_int_equal(mpmc_open(&mpmc, bad[i]), -EINVAL);
        assert_null(mpmc);
        assert_int_equal(broadcast_dense_open(&broadcast, bad[i]), -EINVAL);
        assert_null(broadcast);
        mpmc_close(mpmc);
    }
}

static void queue_joins_the_ends_that_one_thread_owns_when_it_opens(void **state)
{
    (void)state;
    struct spmc *spmc;
    struct mpsc *mpsc;
    struct broadcast *broadcast;
    struct kn_writer writer;
    struct kn_reader reader;
    assert_int_equal(spmc_open(&spmc, 2), 0);
    assert_int_equal(kn_writer_join(&writer, &spmc->sector), -EBUSY);
    assert_int_equal(kn_reader_join(&reader, &spmc->sector, NULL), 0);
    assert_int_equal(mpsc_open(&mpsc, 2), 0);
    assert_int_equal(kn_reader_join(&reader, &mpsc->sector, NULL), -EBUSY);
    assert_int_equal(kn_writer_join(&writer, &mpsc->sector), 0);
    assert_int_equal(broadcast_open(&broadcast, 2), 0);
    assert_int_equal(kn_writer_join(&writer, &broadcast->sector), -EBUSY);
    assert_int_equal(kn_reader_join(&reader, &broadcast->sector, NULL), 0);
    spmc_close(spmc);
    mpsc_close(mpsc);
    broadcast_close(broadcast);
}

static void queue_counts_and_knows_its_capacity(void **state)
{
    (void)state;
    struct spsc_dense *queue;
    struct order order = {0};
    assert_int_equal(spsc_dense_open(&queue, 4), 0);
    assert_int_equal(kn_sector_capacity(&queue->sector), 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(spsc_dense_count(queue), i);
        assert_int_equal(spsc_dense_try_push(&queue->producer, &order), 0);
    }
    assert_int_equal(spsc_dense_count(queue), 4);
    assert_int_equal(spsc_dense_try_pop(&queue->consumer, &order), 0);
    assert_int_equal(spsc_dense_count(queue), 3);
    spsc_dense_close(queue);
}

static void queue_between_two_that_open_it_by_name(void **state)
{
    (void)state;
    char name[64];
    snprintf(name, sizeof(name), "/kn_test_queue_%d", (int)getpid());
    struct kn_sector_options options = mpmc_options(8);
    options.name = name;
    struct kn_sector ours;
    struct kn_sector theirs;
    struct mpmc_producer producer;
    struct mpmc_consumer consumer;
    struct spmc_consumer wrong;
    struct order order = {0};
    (void)kn_sector_unlink(name);
    assert_int_equal(kn_sector_create(&ours, &options), 0);
    options = mpmc_options(0);
    assert_int_equal(kn_sector_open_named(&theirs, name, &options), 0);
    assert_int_equal(kn_sector_unlink(name), 0);
    assert_int_equal(mpmc_producer_join(&producer, &ours), 0);
    assert_int_equal(mpmc_consumer_join(&consumer, &theirs, NULL), 0);
    assert_int_equal(spmc_consumer_join(&wrong, &theirs, NULL), -EPROTOTYPE);
    for (uint64_t i = 0; i < 5000; i++) {
        assert_int_equal(mpmc_try_push(&producer, &(struct order){.number = i}), 0);
        assert_int_equal(mpmc_try_pop(&consumer, &order), 0);
        assert_int_equal(order.number, i);
    }
    mpmc_consumer_leave(&consumer);
    mpmc_producer_leave(&producer);
    kn_sector_close(&theirs);
    kn_sector_close(&ours);
}

/* Types of every size and alignment: a char, one that straddles, and one of whole lines, which only dense can keep. */
struct line {
    alignas(64) uint8_t bytes[64];
};
struct odd {
    uint8_t bytes[57];
};
KN_MPMC_DEFINE(chars, char);
KN_MPMC_DENSE_DEFINE(dense_chars, char);
KN_MPSC_DENSE_DEFINE(lines, struct line);
KN_SPMC_DEFINE(odds, struct odd);

static void queue_keeps_the_type_of_its_messages(void **state)
{
    (void)state;
    struct chars *chars;
    struct chars_producer producer;
    struct chars_consumer consumer;
    char letter = 0;
    assert_int_equal(chars_open(&chars, 1), 0);
    assert_int_equal(chars_producer_join(&producer, &chars->sector), 0);
    assert_int_equal(chars_consumer_join(&consumer, &chars->sector, NULL), 0);
    for (unsigned i = 0; i < 10000; i++) {
        char pushed = (char)i;
        assert_int_equal(chars_try_push(&producer, &pushed), 0);
        assert_int_equal(chars_try_pop(&consumer, &letter), 0);
        assert_int_equal(letter, pushed);
    }
    chars_close(chars);

    struct dense_chars *dense;
    struct dense_chars_producer dense_producer;
    assert_int_equal(dense_chars_open(&dense, 64), 0);
    assert_int_equal(dense_chars_producer_join(&dense_producer, &dense->sector), 0);
    struct kn_span span;
    assert_int_equal(dense_chars_claim(&dense_producer, 64, &span), 0);
    assert_ptr_equal(dense_chars_at(&span, 63), dense_chars_at(&span, 0) + 63); /* an array */
    dense_chars_close(dense);
}

static void queue_aligns_its_messages_as_their_type_demands(void **state)
{
    (void)state;
    struct lines *lines;
    struct lines_producer producer;
    struct odds *odds;
    struct kn_span span;
    assert_int_equal(lines_open(&lines, 8), 0);
    assert_int_equal(lines_producer_join(&producer, &lines->sector), 0);
    assert_int_equal(lines_claim(&producer, 8, &span), 0);
    for (size_t i = 0; i < 8; i++)
        assert_int_equal((uintptr_t)lines_at(&span, i) % 64, 0);
    lines_close(lines);
    assert_int_equal(odds_open(&odds, 8), 0);
    assert_int_equal(odds_claim(&odds->producer, 8, &span), 0);
    for (size_t i = 0; i < 8; i++)
        assert_int_equal((uintptr_t)odds_at(&span, i) % 64, KN_STAMP_BYTES);
    odds_close(odds);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(queue_of_every_shape_carries_messages_in_place_and_by_copy),
        cmocka_unit_test(queue_refuses_a_sector_of_another_shape),
        cmocka_unit_test(queue_refuses_a_sector_of_another_size_of_message),
        cmocka_unit_test(queue_does_not_open_with_a_bad_capacity),
        cmocka_unit_test(queue_joins_the_ends_that_one_thread_owns_when_it_opens),
        cmocka_unit_test(queue_counts_and_knows_its_capacity),
        cmocka_unit_test(queue_between_two_that_open_it_by_name),
        cmocka_unit_test(queue_keeps_the_type_of_its_messages),
        cmocka_unit_test(queue_aligns_its_messages_as_their_type_demands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
