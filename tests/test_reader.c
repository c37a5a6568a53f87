/* Readers of sectors of every shape: peek, release, joining, leaving, groups, pipelines, lag and waiting. */
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

/* Shapes below BROADCAST_SHAPES whose readers join and leave; the pair's reader has these options. */
enum { BROADCAST_SHAPES = 8 };

static void open_broadcast(struct queue_pair *pair, unsigned shape, size_t capacity_slots,
                           const struct kn_reader_options *reader_options)
{
    struct kn_sector_options options = queue_shape(shape % 4 + shape / 4 * 12, sizeof(uint64_t), capacity_slots);
    assert_int_equal(options.readers, KN_READERS_JOIN);
    assert_int_equal(queue_pair_open(pair, &options, reader_options), 0);
}

static void join(struct kn_reader *reader, struct queue_pair *pair, struct kn_reader_options options)
{
    assert_int_equal(kn_reader_join(reader, &pair->sector, &options), 0);
}

static void push(struct queue_pair *pair, uint64_t number)
{
    assert_int_equal(kn_writer_try_push(&pair->writer, &number), 0);
}

/* Pushes the numbers from `first` to before `end`, as one run. */
static void push_run(struct queue_pair *pair, uint64_t first, uint64_t end)
{
    uint64_t numbers[64];
    for (uint64_t i = first; i < end; i++)
        numbers[i - first] = i;
    assert_int_equal(kn_writer_push_many(&pair->writer, numbers, end - first), end - first);
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
    struct kn_span span;
    assert_int_equal(kn_reader_try_pop(reader, &got), -EAGAIN);
    assert_int_equal(kn_reader_pop_many(reader, &got, 1), 0);
    assert_int_equal(kn_reader_peek(reader, 8, &span), -EAGAIN);
    assert_int_equal(span.count, 0);
}

/* Peeks at most `wanted` and finds the numbers from `first` to before `end`. */
static void expect_peek(struct kn_reader *reader, size_t wanted, uint64_t first, uint64_t end)
{
    struct kn_span span;
    assert_int_equal(kn_reader_peek(reader, wanted, &span), 0);
    assert_int_equal(span.count, end - first);
    for (size_t i = 0; i < span.count; i++)
        assert_int_equal(*(uint64_t *)kn_span_at(&span, i), first + i);
}

static void reader_shows_messages_in_order_until_they_are_released(void **state)
{
    (void)state;
    for (unsigned shape = 0; shape < QUEUE_SHAPES; shape++) {
        struct queue_pair pair;
        struct kn_span span;
        open_pair(&pair, shape, 8);
        expect_empty(&pair.reader);
        for (uint64_t lap = 0; lap < 3000; lap += 6) {
            push_run(&pair, lap, lap + 4);
            push_run(&pair, lap + 4, lap + 6);
            assert_int_equal(kn_reader_peek(&pair.reader, 0, &span), -EAGAIN);
            expect_peek(&pair.reader, 3, lap, lap + 3);
            expect_peek(&pair.reader, 3, lap, lap + 3);
            assert_int_equal(kn_reader_release(&pair.reader, 2), 0);
            expect_peek(&pair.reader, 1, lap + 2, lap + 3);
            assert_int_equal(kn_reader_release(&pair.reader, 1), 0);
            expect_peek(&pair.reader, 8, lap + 3, lap + 6);
            assert_int_equal(kn_reader_release(&pair.reader, 3), 0);
            expect_empty(&pair.reader);
        }
        queue_pair_close(&pair);
    }
}

static void reader_releases_nothing_when_asked_for_more_than_it_peeked(void **state)
{
    (void)state;
    for (unsigned shape = 0; shape < QUEUE_SHAPES; shape++) {
        struct queue_pair pair;
        open_pair(&pair, shape, 8);
        assert_int_equal(kn_reader_release(&pair.reader, 1), -EINVAL);
        push_run(&pair, 0, 4);
        assert_int_equal(kn_reader_release(&pair.reader, 1), -EINVAL);
        expect_peek(&pair.reader, 2, 0, 2);
        assert_int_equal(kn_reader_release(&pair.reader, 3), -EINVAL);
        assert_int_equal(kn_sector_count(&pair.sector), queue_shape(shape, 1, 1).readers == KN_READERS_GROUP ? 2 : 4);
        assert_int_equal(kn_reader_release(&pair.reader, 2), 0);
        assert_int_equal(kn_reader_release(&pair.reader, 1), -EINVAL);
        assert_int_equal(kn_reader_release(&pair.reader, 0), 0);
        expect_peek(&pair.reader, 2, 2, 4);
        expect(&pair.reader, 2); /* a copy ends the span */
        assert_int_equal(kn_reader_release(&pair.reader, 1), -EINVAL);
        expect(&pair.reader, 3);
        queue_pair_close(&pair);
    }
}

static void reader_of_any_kind_passes_over_what_a_writer_gave_up(void **state)
{
    (void)state;
    for (unsigned shape = 0; shape < BROADCAST_SHAPES; shape++) {
        struct queue_pair pair;
        struct kn_reader readers[5];
        open_broadcast(&pair, shape, 16, &(struct kn_reader_options){.id = 1});
        join(&readers[0], &pair, (struct kn_reader_options){.after = {1}});
        join(&readers[1], &pair, (struct kn_reader_options){.lag = KN_LAG_SKIP});
        join(&readers[2], &pair, (struct kn_reader_options){.lag = KN_LAG_DROP});
        join(&readers[3], &pair, (struct kn_reader_options){.group = 9});
        join(&readers[4], &pair, (struct kn_reader_options){.after = {9}});
        for (uint64_t lap = 0; lap < 2000; lap += 5) {
            struct kn_span span;
            assert_int_equal(kn_writer_claim(&pair.writer, 7, &span), 0);
            for (size_t i = 0; i < 3; i++)
                *(uint64_t *)kn_span_at(&span, i) = lap + i;
            assert_int_equal(kn_writer_publish(&pair.writer, lap % 2 == 0 ? 3 : 0), 0);
            push_run(&pair, lap + 3, lap + 5);
            for (unsigned i = 0; i < 6; i++) {
                struct kn_reader *reader = i == 0 ? &pair.reader : &readers[i - 1];
                for (uint64_t number = lap % 2 == 0 ? lap : lap + 3; number < lap + 5; number++)
                    expect(reader, number);
                expect_empty(reader);
            }
        }
        for (unsigned i = 0; i < 5; i++)
            kn_reader_leave(&readers[i]);
        queue_pair_close(&pair);
    }
}

static void reader_that_releases_nothing_changes_nothing(void **state)
{
    (void)state;
    for (unsigned shape = 0; shape < BROADCAST_SHAPES; shape++) {
        struct queue_pair pair;
        uint64_t number;
        open_broadcast(&pair, shape, 4, &(struct kn_reader_options){.lag = KN_LAG_DROP});
        for (uint64_t i = 0; i < 5; i++)
            push(&pair, i);
        assert_int_equal(kn_reader_release(&pair.reader, 0), 0);
        assert_int_equal(kn_reader_try_pop(&pair.reader, &number), -ESTALE);
        queue_pair_close(&pair);
    }
}

/* ---- joining and leaving ---- */

static void reader_that_is_exclusive_is_the_only_one_and_has_no_options(void **state)
{
    (void)state;
    const struct kn_reader_options options[] = {{.id = 1}, {.group = 1}, {.after = {1}}, {.lag = KN_LAG_SKIP}};
    const struct kn_reader_options none = {0};
    for (unsigned shape = 0; shape < QUEUE_SHAPES; shape++) {
        enum kn_readers readers = queue_shape(shape, 1, 1).readers;
        struct queue_pair pair;
        struct kn_reader second;
        open_pair(&pair, shape, 4);
        int expected = readers == KN_READER_EXCLUSIVE ? -EBUSY : 0;
        assert_int_equal(kn_reader_join(&second, &pair.sector, NULL), expected);
        if (expected == 0)
            kn_reader_leave(&second);
        assert_int_equal(kn_reader_join(&second, &pair.sector, &none), expected);
        if (expected == 0)
            kn_reader_leave(&second);
        for (size_t i = 0; readers != KN_READERS_JOIN && i < 4; i++)
            assert_int_equal(kn_reader_join(&second, &pair.sector, &options[i]), -EPERM);
        queue_pair_close(&pair);
    }
}

static void reader_with_impossible_options_is_refused(void **state)
{
    (void)state;
    struct queue_pair pair;
    struct kn_reader reader;
    open_broadcast(&pair, 0, 4, &(struct kn_reader_options){.id = 1});
    const struct {
        struct kn_reader_options options;
        int error;
    } cases[] = {{{.after = {2}}, -ENOENT},
                 {{.after = {1, 0, 0, 2}}, -ENOENT},
                 {{.id = 1}, -EBUSY},
                 {{.group = 5, .id = 6}, -EINVAL},
                 {{.group = 5, .after = {1}}, -EINVAL},
                 {{.group = 5, .lag = KN_LAG_SKIP}, -EINVAL},
                 {{.group = 5, .lag = KN_LAG_DROP}, -EINVAL}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(kn_reader_join(&reader, &pair.sector, &cases[i].options), cases[i].error);
    /* None of them left anything behind that holds the writer up. */
    for (uint64_t i = 0; i < 100; i++) {
        push(&pair, i);
        expect(&pair.reader, i);
    }
    queue_pair_close(&pair);
}

static void readers_beyond_the_limit_are_refused_and_leave_nothing_behind(void **state)
{
    (void)state;
    struct kn_sector_options options = {
        .slot_bytes = 8, .capacity_slots = 4, .cursors_max = KN_CURSORS_RESERVED + 1, .writers = KN_WRITER_EXCLUSIVE};
    struct queue_pair pair;
    struct kn_reader second;
    const struct kn_reader_options group = {.group = 3};
    const struct kn_reader_options id = {.id = 3};
    assert_int_equal(queue_pair_open(&pair, &options, NULL), 0);
    assert_int_equal(kn_reader_join(&second, &pair.sector, NULL), -EMFILE);
    assert_int_equal(kn_reader_join(&second, &pair.sector, &id), -EMFILE);
    assert_int_equal(kn_reader_join(&second, &pair.sector, &group), -EMFILE);
    for (uint64_t i = 0; i < 100; i++) {
        push(&pair, i);
        expect(&pair.reader, i);
    }
    queue_pair_close(&pair);
}

static void groups_beyond_the_limit_are_refused(void **state)
{
    (void)state;
    struct queue_pair pair;
    struct kn_reader members[KN_SECTOR_GROUPS + 1];
    struct kn_reader_options options = {.group = 100};
    open_broadcast(&pair, 0, 4, NULL);
    for (unsigned i = 0; i < KN_SECTOR_GROUPS; i++, options.group++)
        assert_int_equal(kn_reader_join(&members[i], &pair.sector, &options), 0);
    assert_int_equal(kn_reader_join(&members[KN_SECTOR_GROUPS], &pair.sector, &options), -EMFILE);
    push(&pair, 1);
    for (unsigned i = 0; i < KN_SECTOR_GROUPS; i++) {
        expect(&members[i], 1);
        kn_reader_leave(&members[i]);
    }
    /* A group stays without members, until it is forgotten. */
    assert_int_equal(kn_reader_join(&members[0], &pair.sector, &options), -EMFILE);
    assert_int_equal(kn_sector_forget(&pair.sector, 100), 0);
    assert_int_equal(kn_reader_join(&members[0], &pair.sector, &options), 0);
    queue_pair_close(&pair);
}

static void reader_that_stays_leaves_and_joins_again_and_goes_on_where_it_stood(void **state)
{
    (void)state;
    for (unsigned shape = 0; shape < QUEUE_SHAPES; shape++) {
        struct queue_pair pair;
        if (queue_shape(shape, 1, 1).readers == KN_READERS_JOIN)
            continue;
        open_pair(&pair, shape, 8);
        for (uint64_t lap = 0; lap < 3000; lap += 5) {
            push_run(&pair, lap, lap + 5);
            for (uint64_t i = lap; i < lap + 5; i++) { /* also in the middle of the run */
                kn_reader_leave(&pair.reader);
                assert_int_equal(kn_reader_join(&pair.reader, &pair.sector, NULL), 0);
                expect(&pair.reader, i);
            }
            kn_reader_leave(&pair.reader);
            assert_int_equal(kn_reader_join(&pair.reader, &pair.sector, NULL), 0);
            expect_empty(&pair.reader);
        }
        queue_pair_close(&pair);
    }
}

static void exclusive_reader_that_leaves_with_a_span_finds_it_again(void **state)
{
    (void)state;
    for (unsigned shape = 0; shape < QUEUE_SHAPES; shape++) {
        struct queue_pair pair;
        if (queue_shape(shape, 1, 1).readers != KN_READER_EXCLUSIVE)
            continue;
        open_pair(&pair, shape, 8);
        push_run(&pair, 0, 5);
        expect_peek(&pair.reader, 4, 0, 4);
        assert_int_equal(kn_reader_release(&pair.reader, 1), 0);
        kn_reader_leave(&pair.reader);
        push(&pair, 5);
        assert_int_equal(kn_reader_join(&pair.reader, &pair.sector, NULL), 0);
        assert_int_equal(kn_reader_release(&pair.reader, 1), -EINVAL);
        expect_peek(&pair.reader, 8, 1, 6);
        queue_pair_close(&pair);
    }
}

static void reader_that_joins_late_sees_exactly_what_is_published_from_then_on(void **state)
{
    (void)state;
    for (unsigned shape = 0; shape < BROADCAST_SHAPES; shape++) {
        struct queue_pair pair;
        struct kn_reader late;
        open_broadcast(&pair, shape, 8, NULL);
        for (uint64_t lap = 0; lap < 2000; lap += 4) {
            const struct kn_reader_options group = {.group = lap + 1};
            push_run(&pair, lap, lap + 2);
            assert_int_equal(kn_reader_join(&late, &pair.sector, lap % 8 == 0 ? NULL : &group), 0);
            expect_empty(&late);
            push_run(&pair, lap + 2, lap + 4);
            expect_peek(&late, 8, lap + 2, lap + 4);
            expect_peek(&pair.reader, 8, lap, lap + 4);
            assert_int_equal(kn_reader_release(&pair.reader, 4), 0);
            kn_reader_leave(&late);
            if (lap % 8 != 0)
                assert_int_equal(kn_sector_forget(&pair.sector, group.group), 0);
        }
        queue_pair_close(&pair);
    }
}

static void reader_that_leaves_holds_the_writer_up_no_longer(void **state)
{
    (void)state;
    const struct kn_reader_options options[] = {{0}, {.id = 5}, {.lag = KN_LAG_SKIP}, {.lag = KN_LAG_DROP}};
    for (unsigned shape = 0; shape < BROADCAST_SHAPES; shape++) {
        for (unsigned i = 0; i < 4; i++) {
            struct queue_pair pair;
            struct kn_reader slow;
            uint64_t number = 4;
            open_broadcast(&pair, shape, 4, NULL);
            join(&slow, &pair, options[i]);
            for (uint64_t k = 0; k < 4; k++) {
                push(&pair, k);
                expect(&pair.reader, k);
            }
            expect_peek(&slow, 2, 0, 2);
            assert_int_equal(kn_writer_try_push(&pair.writer, &number), -EAGAIN);
            kn_reader_leave(&slow);
            push_run(&pair, 4, 8);
            expect_peek(&pair.reader, 8, 4, 8);
            join(&slow, &pair, options[i]); /* by the same id, which was forgotten */
            expect_empty(&slow);
            kn_reader_leave(&slow);
            queue_pair_close(&pair);
        }
    }
}

/* ---- lag ---- */

static void lag_block_makes_the_writer_wait(void **state)
{
    (void)state;
    for (unsigned shape = 0; shape < BROADCAST_SHAPES; shape++) {
        struct queue_pair pair;
        uint64_t number = 4;
        open_broadcast(&pair, shape, 4, NULL);
        push_run(&pair, 0, 4);
        assert_int_equal(kn_writer_try_push(&pair.writer, &number), -EAGAIN);
        expect(&pair.reader, 0);
        push(&pair, 4);
        assert_int_equal(kn_reader_lost(&pair.reader), 0);
        queue_pair_close(&pair);
    }
}

static void lag_skip_loses_the_oldest_and_says_how_many(void **state)
{
    (void)state;
    for (unsigned shape = 0; shape < BROADCAST_SHAPES; shape++) {
        for (size_t capacity = 1; capacity <= 32; capacity *= 2) {
            struct queue_pair pair;
            uint64_t received = 0;
            uint64_t next = 0;
            open_broadcast(&pair, shape, capacity, &(struct kn_reader_options){.lag = KN_LAG_SKIP});
            for (uint64_t i = 0; i < 5000; i++) {
                uint64_t number;
                push(&pair, i);
                if (i % 100 < 60 || kn_reader_try_pop(&pair.reader, &number) != 0)
                    continue;
                received++;
                assert_true(number >= next);
                assert_int_equal(received + kn_reader_lost(&pair.reader), number + 1);
                assert_true(i - number < capacity);
                next = number + 1;
            }
            assert_true(capacity >= 64 || kn_reader_lost(&pair.reader) > 0);
            queue_pair_close(&pair);
        }
    }
}

/* A writer that moves a reader past a claim of another cannot know yet what will be published of it. */
static void lag_skip_counts_slots_that_shared_writers_gave_up_as_lost(void **state)
{
    (void)state;
    for (unsigned shape = 0; shape < BROADCAST_SHAPES; shape++) {
        struct queue_pair pair;
        uint64_t received = 0;
        uint64_t number;
        open_broadcast(&pair, shape, 8, &(struct kn_reader_options){.lag = KN_LAG_SKIP});
        for (uint64_t i = 0; i < 99; i++) {
            struct kn_span span;
            assert_int_equal(kn_writer_claim(&pair.writer, 2, &span), 0);
            assert_int_equal(kn_writer_publish(&pair.writer, 0), 0);
            push(&pair, i);
        }
        while (kn_reader_try_pop(&pair.reader, &number) == 0)
            received++;
        assert_int_equal(number, 98);
        assert_true(received > 0);
        if (queue_shape(shape, 1, 1).writers == KN_WRITER_EXCLUSIVE)
            assert_int_equal(received + kn_reader_lost(&pair.reader), 99);
        else /* but for those right in front of what was received */
            assert_in_range(kn_reader_lost(&pair.reader), 3 * (99 - received), 3 * (99 - received) + 2);
        queue_pair_close(&pair);
    }
}

static void lag_drop_tells_the_reader_which_may_join_again(void **state)
{
    (void)state;
    for (unsigned shape = 0; shape < BROADCAST_SHAPES; shape++) {
        const struct kn_reader_options options = {.lag = KN_LAG_DROP};
        struct queue_pair pair;
        struct kn_span span;
        uint64_t number;
        open_broadcast(&pair, shape, 4, &options);
        for (unsigned round = 0; round < 10; round++) {
            push_run(&pair, 0, 4);
            expect(&pair.reader, 0);
            push(&pair, 4);
            expect(&pair.reader, 1); /* not a capacity behind yet */
            push_run(&pair, 5, 9);
            assert_int_equal(kn_reader_try_pop(&pair.reader, &number), -ESTALE);
            assert_int_equal(kn_reader_peek(&pair.reader, 4, &span), -ESTALE);
            assert_int_equal(kn_reader_pop_many(&pair.reader, &number, 1), 0);
            kn_reader_leave(&pair.reader);
            assert_int_equal(kn_reader_join(&pair.reader, &pair.sector, &options), 0);
            expect_empty(&pair.reader);
        }
        queue_pair_close(&pair);
    }
}

static void lag_never_overwrites_a_span_in_a_readers_hands(void **state)
{
    (void)state;
    const enum kn_lag policies[] = {KN_LAG_BLOCK, KN_LAG_SKIP, KN_LAG_DROP};
    for (unsigned shape = 0; shape < 3 * BROADCAST_SHAPES; shape++) {
        struct queue_pair pair;
        uint64_t number = 9;
        open_broadcast(&pair, shape / 3, 4, &(struct kn_reader_options){.lag = policies[shape % 3]});
        push_run(&pair, 0, 4);
        expect_peek(&pair.reader, 3, 0, 3);
        assert_int_equal(kn_writer_try_push(&pair.writer, &number), -EAGAIN);
        assert_int_equal(kn_reader_release(&pair.reader, 1), 0);
        push(&pair, 4); /* where the released one was, and no further */
        assert_int_equal(kn_writer_try_push(&pair.writer, &number), -EAGAIN);
        expect_peek(&pair.reader, 2, 1, 3);
        assert_int_equal(kn_reader_release(&pair.reader, 2), 0);
        push_run(&pair, 5, 7);
        expect_peek(&pair.reader, 4, 3, 7);
        queue_pair_close(&pair);
    }
}

/* ---- waiting ---- */

static void reader_gives_up_waiting_after_its_time(void **state)
{
    (void)state;
    const enum kn_wait_strategy strategies[] = {KN_WAIT_PAUSE, KN_WAIT_SPIN, KN_WAIT_YIELD, KN_WAIT_PARK};
    for (unsigned shape = 0; shape < QUEUE_SHAPES; shape++) {
        struct queue_pair pair;
        struct kn_span span;
        uint64_t number;
        struct kn_wait how = {.strategy = strategies[shape % 4], .timeout_ns = 2000000};
        open_pair(&pair, shape, 4);
        uint64_t began = kn_clock_monotonic_ns();
        assert_int_equal(kn_reader_pop(&pair.reader, &number, &how), -ETIMEDOUT);
        assert_true(kn_clock_monotonic_ns() - began >= 2000000);
        assert_int_equal(kn_reader_peek_wait(&pair.reader, 3, &span, &how), -ETIMEDOUT);
        assert_int_equal(span.count, 0);
        assert_true(kn_clock_monotonic_ns() - began >= 4000000);
        assert_int_equal(kn_reader_peek_wait(&pair.reader, 0, &span, &how), -EAGAIN);
        push(&pair, 1);
        assert_int_equal(kn_reader_peek_wait(&pair.reader, 3, &span, &how), 0);
        assert_int_equal(span.count, 1);
        assert_int_equal(kn_reader_pop(&pair.reader, &number, &how), 0);
        assert_int_equal(number, 1);
        queue_pair_close(&pair);
    }
}

struct feed {
    struct queue_pair pair;
    uint64_t count;
};

static void *feed(void *argument)
{
    struct feed *feed = argument;
    for (uint64_t i = 0; i < feed->count; i++) {
        while (kn_writer_try_push(&feed->pair.writer, &i) == -EAGAIN)
            (void)sched_yield();
        if (i % 4 == 0)
            (void)sched_yield();
    }
    return NULL;
}

static void wait_for_messages(unsigned shape, uint64_t count, const struct kn_wait *how)
{
    struct feed fed = {.count = count};
    pthread_t thread;
    open_pair(&fed.pair, shape, 2);
    assert_int_equal(pthread_create(&thread, NULL, feed, &fed), 0);
    uint64_t wrong = 0;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t number = UINT64_MAX;
        wrong += kn_reader_pop(&fed.pair.reader, &number, how) != 0 || number != i;
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(wrong, 0);
    queue_pair_close(&fed.pair);
}

static void reader_waits_for_messages_in_every_way(void **state)
{
    (void)state;
    const enum kn_wait_strategy strategies[] = {KN_WAIT_PAUSE, KN_WAIT_SPIN, KN_WAIT_YIELD, KN_WAIT_PARK};
    for (unsigned shape = 0; shape < QUEUE_SHAPES; shape++) {
        for (unsigned i = 0; i < 4; i++) {
            struct kn_wait how = {.strategy = strategies[i], .attempts = 1};
            wait_for_messages(shape, i < 2 ? 10 : 500, &how);
        }
    }
    wait_for_messages(0, 20, NULL);
    wait_for_messages(8, 20, NULL);
}

static void reader_that_was_dropped_is_told_instead_of_waiting(void **state)
{
    (void)state;
    struct queue_pair pair;
    struct kn_span span;
    uint64_t number;
    open_broadcast(&pair, 0, 4, &(struct kn_reader_options){.lag = KN_LAG_DROP});
    for (uint64_t i = 0; i < 5; i++)
        push(&pair, i);
    assert_int_equal(kn_reader_peek_wait(&pair.reader, 1, &span, NULL), -ESTALE);
    assert_int_equal(kn_reader_pop(&pair.reader, &number, NULL), -ESTALE);
    queue_pair_close(&pair);
}

static void reader_asleep_is_woken_by_a_message_and_by_a_claim_that_is_given_up(void **state)
{
    (void)state;
    for (unsigned shape = 0; shape < QUEUE_SHAPES; shape++) {
        struct queue_pair pair;
        struct kn_waiter waiter;
        struct kn_span span;
        open_pair(&pair, shape, 8);
        queue_sleep(&waiter, &pair.sector.head->published);
        push(&pair, 1);
        assert_true(queue_was_woken(&waiter));
        assert_int_equal(kn_writer_claim(&pair.writer, 2, &span), 0);
        queue_sleep(&waiter, &pair.sector.head->published);
        assert_int_equal(kn_writer_publish(&pair.writer, 0), 0);
        /* It may hide messages of others; an exclusive one hides nothing. */
        assert_int_equal(queue_was_woken(&waiter), queue_shape(shape, 1, 1).writers == KN_WRITERS_SHARED);
        queue_pair_close(&pair);
    }
}

static void reader_of_a_pipeline_asleep_is_woken_when_those_before_it_release_or_leave(void **state)
{
    (void)state;
    for (unsigned shape = 0; shape < BROADCAST_SHAPES; shape++) {
        struct queue_pair pair;
        struct kn_reader second;
        struct kn_waiter waiter;
        open_broadcast(&pair, shape, 8, &(struct kn_reader_options){.id = 1});
        join(&second, &pair, (struct kn_reader_options){.after = {1}});
        push_run(&pair, 0, 2);
        expect_empty(&second);
        queue_sleep(&waiter, &pair.sector.head->published);
        expect(&pair.reader, 0);
        expect(&second, 0); /* there is something to wake up for */
        assert_true(queue_was_woken(&waiter));
        queue_sleep(&waiter, &pair.sector.head->published);
        kn_reader_leave(&pair.reader);
        expect(&second, 1);
        assert_true(queue_was_woken(&waiter));
        kn_reader_leave(&second);
        kn_writer_leave(&pair.writer);
        kn_sector_close(&pair.sector);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reader_shows_messages_in_order_until_they_are_released),
        cmocka_unit_test(reader_releases_nothing_when_asked_for_more_than_it_peeked),
        cmocka_unit_test(reader_of_any_kind_passes_over_what_a_writer_gave_up),
        cmocka_unit_test(reader_that_releases_nothing_changes_nothing),
        cmocka_unit_test(reader_that_is_exclusive_is_the_only_one_and_has_no_options),
        cmocka_unit_test(reader_with_impossible_options_is_refused),
        cmocka_unit_test(readers_beyond_the_limit_are_refused_and_leave_nothing_behind),
        cmocka_unit_test(groups_beyond_the_limit_are_refused),
        cmocka_unit_test(reader_that_stays_leaves_and_joins_again_and_goes_on_where_it_stood),
        cmocka_unit_test(exclusive_reader_that_leaves_with_a_span_finds_it_again),
        cmocka_unit_test(reader_that_joins_late_sees_exactly_what_is_published_from_then_on),
        cmocka_unit_test(reader_that_leaves_holds_the_writer_up_no_longer),
        cmocka_unit_test(lag_block_makes_the_writer_wait),
        cmocka_unit_test(lag_skip_loses_the_oldest_and_says_how_many),
        cmocka_unit_test(lag_skip_counts_slots_that_shared_writers_gave_up_as_lost),
        cmocka_unit_test(lag_drop_tells_the_reader_which_may_join_again),
        cmocka_unit_test(lag_never_overwrites_a_span_in_a_readers_hands),
        cmocka_unit_test(reader_gives_up_waiting_after_its_time),
        cmocka_unit_test(reader_waits_for_messages_in_every_way),
        cmocka_unit_test(reader_that_was_dropped_is_told_instead_of_waiting),
        cmocka_unit_test(reader_asleep_is_woken_by_a_message_and_by_a_claim_that_is_given_up),
        cmocka_unit_test(reader_of_a_pipeline_asleep_is_woken_when_those_before_it_release_or_leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
