/* Writers of sectors of every shape: claim, publish, full, joining, leaving and waiting. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <kernel/clock.h>
#include <kernel/reader.h>
#include <kernel/writer.h>

#include "queue_stress.h"

static void open_pair(struct queue_pair *pair, unsigned shape, size_t capacity_slots)
{
    struct kn_sector_options options = queue_shape(shape, sizeof(uint64_t), capacity_slots);
    assert_int_equal(queue_pair_open(pair, &options, NULL), 0);
}

static bool is_shared(unsigned shape)
{
    return queue_shape(shape, 1, 1).writers == KN_WRITERS_SHARED;
}

static void expect(struct kn_reader *reader, uint64_t number)
{
    uint64_t got;
    assert_int_equal(kn_reader_try_pop(reader, &got), 0);
    assert_int_equal(got, number);
}

static void expect_empty(struct kn_reader *reader)
{
    uint64_t got;
    assert_int_equal(kn_reader_try_pop(reader, &got), -EAGAIN);
}

static uint64_t *at(const struct kn_span *span, size_t index)
{
    return kn_span_at(span, index);
}

static void writer_is_told_of_a_full_sector_and_goes_on_when_a_slot_is_released(void **state)
{
    (void)state;
    for (unsigned shape = 0; shape < QUEUE_SHAPES; shape++) {
        for (size_t capacity = 1; capacity <= 512; capacity *= 8) {
            struct queue_pair pair;
            struct kn_span span;
            open_pair(&pair, shape, capacity);
            for (uint64_t i = 0; i < capacity; i++)
                assert_int_equal(kn_writer_try_push(&pair.writer, &i), 0);
            for (uint64_t i = 0; i < 2000; i++) {
                uint64_t number = capacity + i;
                assert_int_equal(kn_writer_try_push(&pair.writer, &number), -EAGAIN);
                assert_int_equal(kn_writer_push_many(&pair.writer, &number, 1), 0);
                assert_int_equal(kn_writer_claim(&pair.writer, 1, &span), -EAGAIN);
                assert_int_equal(span.count, 0);
                assert_int_equal(kn_sector_count(&pair.sector), capacity);
                expect(&pair.reader, i);
                assert_int_equal(kn_writer_try_push(&pair.writer, &number), 0);
            }
            queue_pair_close(&pair);
        }
    }
}

static void writer_claims_as_many_slots_as_there_is_room_for(void **state)
{
    (void)state;
    for (unsigned shape = 0; shape < QUEUE_SHAPES; shape++) {
        struct queue_pair pair;
        struct kn_span span;
        open_pair(&pair, shape, 8);
        for (unsigned lap = 0; lap < 200; lap++) {
            assert_int_equal(kn_writer_claim(&pair.writer, 0, &span), -EAGAIN);
            assert_int_equal(kn_writer_claim(&pair.writer, 5, &span), 0);
            assert_int_equal(span.count, 5);
            assert_int_equal(kn_writer_publish(&pair.writer, 5), 0);
            assert_int_equal(kn_writer_claim(&pair.writer, SIZE_MAX, &span), 0);
            assert_int_equal(span.count, 3);
            assert_int_equal(kn_writer_publish(&pair.writer, 3), 0);
            assert_int_equal(kn_reader_peek(&pair.reader, SIZE_MAX, &span), 0);
            assert_int_equal(span.count, 8);
            assert_int_equal(kn_reader_release(&pair.reader, 8), 0);
        }
        queue_pair_close(&pair);
    }
}

static void writer_that_claims_again_gets_the_same_slots(void **state)
{
    (void)state;
    for (unsigned shape = 0; shape < QUEUE_SHAPES; shape++) {
        struct queue_pair pair;
        struct kn_span first;
        struct kn_span again;
        open_pair(&pair, shape, 8);
        assert_int_equal(kn_writer_claim(&pair.writer, 3, &first), 0);
        for (size_t i = 0; i < 3; i++)
            *at(&first, i) = i;
        for (size_t wanted = 3; wanted > 0; wanted--) {
            assert_int_equal(kn_writer_claim(&pair.writer, wanted, &again), 0);
            assert_int_equal(again.count, wanted);
            assert_ptr_equal(again.first, first.first);
        }
        assert_int_equal(kn_writer_claim(&pair.writer, 3, &again), 0);
        assert_ptr_equal(again.first, first.first);
        assert_int_equal(kn_writer_publish(&pair.writer, 3), 0);
        for (uint64_t i = 0; i < 3; i++)
            expect(&pair.reader, i);
        expect_empty(&pair.reader);
        queue_pair_close(&pair);
    }
}

static void writer_gives_up_what_it_does_not_publish(void **state)
{
    (void)state;
    for (unsigned shape = 0; shape < QUEUE_SHAPES; shape++) {
        struct queue_pair pair;
        struct kn_span span;
        open_pair(&pair, shape, 8);
        for (uint64_t lap = 0; lap < 1000; lap++) {
            size_t published = (size_t)(lap % 5);
            assert_int_equal(kn_writer_claim(&pair.writer, 5, &span), 0);
            for (size_t i = 0; i < span.count; i++)
                *at(&span, i) = lap * 8 + i;
            assert_int_equal(kn_writer_publish(&pair.writer, published), 0);
            assert_int_equal(kn_writer_try_push(&pair.writer, &lap), 0);
            for (uint64_t i = 0; i < published; i++)
                expect(&pair.reader, lap * 8 + i);
            expect(&pair.reader, lap);
            expect_empty(&pair.reader);
        }
        queue_pair_close(&pair);
    }
}

static void writer_gets_the_whole_capacity_back_when_it_gives_up_all_of_it(void **state)
{
    (void)state;
    for (unsigned shape = 0; shape < QUEUE_SHAPES; shape++) {
        struct queue_pair pair;
        struct kn_span span;
        open_pair(&pair, shape, 4);
        for (unsigned lap = 0; lap < 100; lap++) {
            assert_int_equal(kn_writer_claim(&pair.writer, 4, &span), 0);
            assert_int_equal(span.count, 4);
            assert_int_equal(kn_writer_publish(&pair.writer, 0), 0);
            expect_empty(&pair.reader); /* which passes over what was given up */
        }
        queue_pair_close(&pair);
    }
}

static void writer_publishes_nothing_when_asked_for_more_than_it_claimed(void **state)
{
    (void)state;
    for (unsigned shape = 0; shape < QUEUE_SHAPES; shape++) {
        struct queue_pair pair;
        struct kn_span span;
        open_pair(&pair, shape, 4);
        assert_int_equal(kn_writer_publish(&pair.writer, 1), -EINVAL);
        assert_int_equal(kn_writer_publish(&pair.writer, 0), 0);
        assert_int_equal(kn_writer_claim(&pair.writer, 2, &span), 0);
        *at(&span, 0) = 7;
        assert_int_equal(kn_writer_publish(&pair.writer, 3), -EINVAL);
        expect_empty(&pair.reader);
        assert_int_equal(kn_writer_publish(&pair.writer, 1), 0);
        assert_int_equal(kn_writer_publish(&pair.writer, 1), -EINVAL);
        expect(&pair.reader, 7);
        expect_empty(&pair.reader);
        queue_pair_close(&pair);
    }
}

static void writer_does_not_push_while_a_claim_is_open(void **state)
{
    (void)state;
    for (unsigned shape = 0; shape < QUEUE_SHAPES; shape++) {
        struct queue_pair pair;
        struct kn_span span;
        uint64_t number = 1;
        open_pair(&pair, shape, 4);
        assert_int_equal(kn_writer_claim(&pair.writer, 1, &span), 0);
        assert_int_equal(kn_writer_try_push(&pair.writer, &number), -EBUSY);
        assert_int_equal(kn_writer_push(&pair.writer, &number, NULL), -EBUSY);
        assert_int_equal(kn_writer_push_many(&pair.writer, &number, 1), 0);
        expect_empty(&pair.reader);
        *at(&span, 0) = 2;
        assert_int_equal(kn_writer_publish(&pair.writer, 1), 0);
        assert_int_equal(kn_writer_push(&pair.writer, &number, NULL), 0);
        expect(&pair.reader, 2);
        expect(&pair.reader, 1);
        queue_pair_close(&pair);
    }
}

static void writer_that_is_exclusive_is_the_only_one(void **state)
{
    (void)state;
    for (unsigned shape = 0; shape < QUEUE_SHAPES; shape++) {
        struct queue_pair pair;
        struct kn_writer second;
        open_pair(&pair, shape, 4);
        int result = kn_writer_join(&second, &pair.sector);
        assert_int_equal(result, is_shared(shape) ? 0 : -EBUSY);
        if (result == 0)
            kn_writer_leave(&second);
        queue_pair_close(&pair);
    }
}

static void writers_beyond_the_limit_of_cursors_are_refused(void **state)
{
    (void)state;
    struct kn_sector_options options = {.slot_bytes = 8,
                                        .capacity_slots = 4,
                                        .writers = KN_WRITERS_SHARED,
                                        .readers = KN_READER_EXCLUSIVE,
                                        .cursors_max = KN_CURSORS_RESERVED + 3};
    struct kn_sector sector;
    struct kn_writer writers[4];
    assert_int_equal(kn_sector_create(&sector, &options), 0);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 3; i++)
            assert_int_equal(kn_writer_join(&writers[i], &sector), 0);
        assert_int_equal(kn_writer_join(&writers[3], &sector), -EMFILE);
        kn_writer_leave(&writers[1]);
        assert_int_equal(kn_writer_join(&writers[3], &sector), 0);
        kn_writer_leave(&writers[0]);
        kn_writer_leave(&writers[2]);
        kn_writer_leave(&writers[3]);
    }
    kn_sector_close(&sector);
}

static void writer_leaves_and_the_next_goes_on(void **state)
{
    (void)state;
    for (unsigned shape = 0; shape < QUEUE_SHAPES; shape++) {
        struct queue_pair pair;
        open_pair(&pair, shape, 4);
        for (uint64_t i = 0; i < 2000; i++) {
            uint64_t pushed[2] = {2 * i, 2 * i + 1};
            assert_int_equal(kn_writer_push_many(&pair.writer, pushed, 2), 2);
            kn_writer_leave(&pair.writer);
            assert_int_equal(kn_writer_join(&pair.writer, &pair.sector), 0);
            if (i % 2 == 0)
                continue;
            assert_int_equal(kn_writer_try_push(&pair.writer, &i), -EAGAIN);
            for (uint64_t k = 2 * i - 2; k < 2 * i + 2; k++)
                expect(&pair.reader, k);
        }
        queue_pair_close(&pair);
    }
}

static void writer_that_leaves_gives_its_claim_up(void **state)
{
    (void)state;
    for (unsigned shape = 0; shape < QUEUE_SHAPES; shape++) {
        struct queue_pair pair;
        struct kn_span span;
        open_pair(&pair, shape, 4);
        for (uint64_t i = 0; i < 1000; i++) {
            assert_int_equal(kn_writer_claim(&pair.writer, 1 + i % 3, &span), 0);
            *at(&span, 0) = UINT64_MAX;
            kn_writer_leave(&pair.writer);
            assert_int_equal(kn_writer_join(&pair.writer, &pair.sector), 0);
            assert_int_equal(kn_writer_try_push(&pair.writer, &i), 0);
            expect(&pair.reader, i);
            expect_empty(&pair.reader);
        }
        queue_pair_close(&pair);
    }
}

static void writer_claims_at_most_so_many_slots_at_once(void **state)
{
    (void)state;
    enum { CAPACITY = 131072 };
    uint64_t *numbers = calloc(CAPACITY, sizeof(*numbers));
    assert_non_null(numbers);
    for (unsigned shape = 0; shape < QUEUE_SHAPES; shape++) {
        struct queue_pair pair;
        struct kn_span span;
        open_pair(&pair, shape, CAPACITY);
        for (uint64_t lap = 0; lap < 2; lap++) {
            for (uint64_t i = 0; i < CAPACITY; i++)
                numbers[i] = lap + i;
            assert_int_equal(kn_writer_claim(&pair.writer, CAPACITY, &span), 0);
            assert_int_equal(span.count, KN_CLAIM_MAX);
            memcpy(at(&span, 0), numbers, sizeof(uint64_t));
            for (size_t i = 0; i < span.count; i++)
                *at(&span, i) = numbers[i];
            assert_int_equal(kn_writer_publish(&pair.writer, span.count), 0);
            assert_int_equal(kn_writer_push_many(&pair.writer, numbers + KN_CLAIM_MAX, CAPACITY), KN_CLAIM_MAX);
            assert_int_equal(kn_writer_push_many(&pair.writer, numbers + 2 * KN_CLAIM_MAX, CAPACITY), 2);
            assert_int_equal(kn_reader_peek(&pair.reader, CAPACITY, &span), 0);
            assert_int_equal(span.count, CAPACITY);
            size_t wrong = 0;
            for (size_t i = 0; i < CAPACITY; i++)
                wrong += *at(&span, i) != lap + i;
            assert_int_equal(wrong, 0);
            assert_int_equal(kn_reader_release(&pair.reader, CAPACITY), 0);
        }
        queue_pair_close(&pair);
    }
    free(numbers);
}

static void writer_is_never_full_while_nobody_reads(void **state)
{
    (void)state;
    for (unsigned shape = 0; shape < QUEUE_SHAPES; shape++) {
        struct queue_pair pair;
        if (queue_shape(shape, 1, 1).readers != KN_READERS_JOIN)
            continue;
        open_pair(&pair, shape, 4);
        kn_reader_leave(&pair.reader);
        for (uint64_t i = 0; i < 5000; i++)
            assert_int_equal(kn_writer_try_push(&pair.writer, &i), 0);
        assert_int_equal(kn_sector_count(&pair.sector), 0);
        assert_int_equal(kn_reader_join(&pair.reader, &pair.sector, NULL), 0);
        queue_pair_close(&pair);
    }
}

static void writer_moves_no_reader_that_has_read_everything(void **state)
{
    (void)state;
    const enum kn_lag policies[] = {KN_LAG_SKIP, KN_LAG_DROP};
    for (unsigned i = 0; i < 8; i++) {
        struct queue_pair pair;
        struct kn_span span;
        struct kn_reader_options reader_options = {.lag = policies[i / 4]};
        struct kn_sector_options options = queue_shape(i % 4, sizeof(uint64_t), 8);
        assert_int_equal(queue_pair_open(&pair, &options, &reader_options), 0);
        for (unsigned lap = 0; lap < 10; lap++) {
            /* More than there can ever be room for. */
            assert_int_equal(kn_writer_claim(&pair.writer, 1000, &span), 0);
            assert_int_equal(span.count, 8);
            *at(&span, 0) = lap;
            assert_int_equal(kn_writer_publish(&pair.writer, 1), 0);
            expect(&pair.reader, lap);
            expect_empty(&pair.reader);
        }
        assert_int_equal(kn_reader_lost(&pair.reader), 0);
        queue_pair_close(&pair);
    }
}

/* ---- waiting ---- */

static const enum kn_wait_strategy STRATEGIES[] = {KN_WAIT_PAUSE, KN_WAIT_SPIN, KN_WAIT_YIELD, KN_WAIT_PARK};

static void writer_gives_up_waiting_after_its_time(void **state)
{
    (void)state;
    for (unsigned shape = 0; shape < QUEUE_SHAPES; shape++) {
        struct queue_pair pair;
        struct kn_span span;
        uint64_t number = 0;
        struct kn_wait how = {.strategy = STRATEGIES[shape % 4], .timeout_ns = 2000000};
        open_pair(&pair, shape, 1);
        assert_int_equal(kn_writer_push(&pair.writer, &number, &how), 0);
        uint64_t began = kn_clock_monotonic_ns();
        assert_int_equal(kn_writer_push(&pair.writer, &number, &how), -ETIMEDOUT);
        assert_true(kn_clock_monotonic_ns() - began >= 2000000);
        assert_int_equal(kn_writer_claim_wait(&pair.writer, 3, &span, &how), -ETIMEDOUT);
        assert_int_equal(span.count, 0);
        assert_true(kn_clock_monotonic_ns() - began >= 4000000);
        assert_int_equal(kn_writer_claim_wait(&pair.writer, 0, &span, &how), -EAGAIN);
        expect(&pair.reader, 0);
        assert_int_equal(kn_writer_claim_wait(&pair.writer, 3, &span, &how), 0);
        assert_int_equal(span.count, 1);
        queue_pair_close(&pair);
    }
}

/* Pops one number after the other, to make room, and checks them. */
struct drain {
    struct queue_pair pair;
    uint64_t count;
    uint64_t wrong;
};

static void *drain(void *argument)
{
    struct drain *drain = argument;
    for (uint64_t i = 0; i < drain->count; i++) {
        uint64_t number;
        while (kn_reader_try_pop(&drain->pair.reader, &number) == -EAGAIN)
            (void)sched_yield();
        drain->wrong += number != i;
    }
    return NULL;
}

static void wait_for_room(unsigned shape, uint64_t count, const struct kn_wait *how)
{
    struct drain drained = {.count = count};
    pthread_t thread;
    open_pair(&drained.pair, shape, 2);
    assert_int_equal(pthread_create(&thread, NULL, drain, &drained), 0);
    uint64_t wrong = 0;
    for (uint64_t i = 0; i < count; i++)
        wrong += kn_writer_push(&drained.pair.writer, &i, how) != 0;
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(wrong + drained.wrong, 0);
    queue_pair_close(&drained.pair);
}

static void writer_waits_for_room_in_every_way(void **state)
{
    (void)state;
    for (unsigned shape = 0; shape < QUEUE_SHAPES; shape++) {
        for (unsigned i = 0; i < 4; i++) {
            /* Those that do not yield are given a core by the system now and then: few messages. */
            struct kn_wait how = {.strategy = STRATEGIES[i], .attempts = 1};
            wait_for_room(shape, i < 2 ? 10 : 500, &how);
        }
    }
}

static void writer_without_a_wish_waits_for_ever(void **state)
{
    (void)state;
    wait_for_room(0, 20, NULL);
    wait_for_room(6, 20, NULL);
}

static void writer_asleep_is_woken_by_every_way_to_make_room(void **state)
{
    (void)state;
    for (unsigned shape = 0; shape < QUEUE_SHAPES; shape++) {
        struct queue_pair pair;
        struct kn_waiter waiter;
        struct kn_span span;
        uint64_t number = 1;
        open_pair(&pair, shape, 4);
        struct kn_eventcount *released = &pair.sector.head->released;
        for (unsigned i = 0; i < 3; i++)
            assert_int_equal(kn_writer_try_push(&pair.writer, &number), 0);
        queue_sleep(&waiter, released);
        expect(&pair.reader, 1);
        assert_true(queue_was_woken(&waiter));

        assert_int_equal(kn_reader_peek(&pair.reader, 1, &span), 0);
        queue_sleep(&waiter, released);
        assert_int_equal(kn_reader_release(&pair.reader, 1), 0);
        assert_true(queue_was_woken(&waiter));

        queue_sleep(&waiter, released);
        kn_reader_leave(&pair.reader);
        assert_true(queue_was_woken(&waiter));
        assert_int_equal(kn_reader_join(&pair.reader, &pair.sector, NULL), 0);
        queue_pair_close(&pair);
    }
}

static void writer_asleep_is_woken_when_a_reader_passes_over_what_another_gave_up(void **state)
{
    (void)state;
    for (unsigned shape = 0; shape < QUEUE_SHAPES; shape++) {
        struct queue_pair pair;
        struct kn_waiter waiter;
        struct kn_span span;
        if (!is_shared(shape))
            continue;
        open_pair(&pair, shape, 4);
        assert_int_equal(kn_writer_claim(&pair.writer, 4, &span), 0);
        assert_int_equal(kn_writer_publish(&pair.writer, 0), 0);
        queue_sleep(&waiter, &pair.sector.head->released);
        expect_empty(&pair.reader);
        assert_int_equal(kn_writer_claim(&pair.writer, 4, &span), 0); /* there is room now */
        assert_true(queue_was_woken(&waiter));
        queue_pair_close(&pair);
    }
}

/* Pushes until it is full, or twice around the ring; how many went in. */
static uint64_t push_around(struct kn_writer *writer, const struct kn_sector *sector)
{
    uint64_t pushed = 0;
    while (pushed < 2 * sector->head->header.ring_slots && kn_writer_try_push(writer, &pushed) == 0)
        pushed++;
    return pushed;
}

/* Whether nobody reads, or a reader that lags is moved: what is claimed is the claimant's until it is published. */
static void writer_never_gets_the_slots_of_anothers_open_claim(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3 * QUEUE_SHAPES; i++) {
        struct kn_sector_options options = queue_shape(i / 3, sizeof(uint64_t), 8);
        struct kn_reader_options reader_options = {.lag = i % 3 == 1 ? KN_LAG_SKIP : KN_LAG_DROP};
        struct queue_pair pair;
        struct kn_writer second;
        struct kn_span span;
        struct kn_waiter waiter;
        if (options.writers != KN_WRITERS_SHARED || options.readers != KN_READERS_JOIN)
            continue;
        assert_int_equal(queue_pair_open(&pair, &options, &reader_options), 0);
        if (i % 3 == 0)
            kn_reader_leave(&pair.reader);
        assert_int_equal(kn_writer_join(&second, &pair.sector), 0);
        assert_int_equal(kn_writer_claim(&pair.writer, 1, &span), 0);
        *at(&span, 0) = UINT64_MAX;
        assert_true(push_around(&second, &pair.sector) < pair.sector.head->header.ring_slots);
        assert_int_equal(*at(&span, 0), UINT64_MAX);
        queue_sleep(&waiter, &pair.sector.head->released);
        assert_int_equal(kn_writer_publish(&pair.writer, 1), 0);
        assert_int_equal(push_around(&second, &pair.sector), 2 * pair.sector.head->header.ring_slots);
        assert_true(queue_was_woken(&waiter)); /* for the room that there was */
        if (i % 3 != 0)
            kn_reader_leave(&pair.reader);
        assert_int_equal(kn_reader_join(&pair.reader, &pair.sector, NULL), 0);
        for (uint64_t number = 0; number < 5000; number++) {
            assert_int_equal(kn_writer_try_push(&second, &number), 0);
            expect(&pair.reader, number);
        }
        kn_writer_leave(&second);
        queue_pair_close(&pair);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writer_is_told_of_a_full_sector_and_goes_on_when_a_slot_is_released),
        cmocka_unit_test(writer_claims_as_many_slots_as_there_is_room_for),
        cmocka_unit_test(writer_that_claims_again_gets_the_same_slots),
        cmocka_unit_test(writer_gives_up_what_it_does_not_publish),
        cmocka_unit_test(writer_gets_the_whole_capacity_back_when_it_gives_up_all_of_it),
        cmocka_unit_test(writer_publishes_nothing_when_asked_for_more_than_it_claimed),
        cmocka_unit_test(writer_does_not_push_while_a_claim_is_open),
        cmocka_unit_test(writer_that_is_exclusive_is_the_only_one),
        cmocka_unit_test(writers_beyond_the_limit_of_cursors_are_refused),
        cmocka_unit_test(writer_leaves_and_the_next_goes_on),
        cmocka_unit_test(writer_that_leaves_gives_its_claim_up),
        cmocka_unit_test(writer_claims_at_most_so_many_slots_at_once),
        cmocka_unit_test(writer_is_never_full_while_nobody_reads),
        cmocka_unit_test(writer_moves_no_reader_that_has_read_everything),
        cmocka_unit_test(writer_gives_up_waiting_after_its_time),
        cmocka_unit_test(writer_waits_for_room_in_every_way),
        cmocka_unit_test(writer_without_a_wish_waits_for_ever),
        cmocka_unit_test(writer_asleep_is_woken_by_every_way_to_make_room),
        cmocka_unit_test(writer_asleep_is_woken_when_a_reader_passes_over_what_another_gave_up),
        cmocka_unit_test(writer_never_gets_the_slots_of_anothers_open_claim),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
