/* The queue of fixed slots: one producer, consumers that each see everything. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <kernel/broadcast.h>

#include "queue_stress.h"

KN_BROADCAST_DEFINE(messages, struct stress_message);
KN_BROADCAST_DENSE_DEFINE(dense_messages, struct stress_message);
QUEUE_FACE(messages);
QUEUE_FACE(dense_messages);

/* So large that the ring has no more slots than the capacity, and each lap overwrites the last. */
struct page {
    uint64_t words[511];
};
KN_BROADCAST_DEFINE(pages, struct page);
QUEUE_FACE(pages);

struct dense_page {
    uint64_t words[512];
};
KN_BROADCAST_DENSE_DEFINE(dense_pages, struct dense_page);
QUEUE_FACE(dense_pages);

/* Several producers, which the header has no name for. */
KN_QUEUE_DEFINE(news, struct stress_message, KN_LAYOUT_SEQUENCED, KN_WRITERS_SHARED, KN_READERS_JOIN);
KN_QUEUE_DEFINE(dense_news, struct stress_message, KN_LAYOUT_DENSE, KN_WRITERS_SHARED, KN_READERS_JOIN);
QUEUE_FACE(news);
QUEUE_FACE(dense_news);

static struct messages *open_messages(size_t capacity_slots)
{
    struct messages *queue;
    assert_int_equal(messages_open(&queue, capacity_slots), 0);
    return queue;
}

static void push(struct messages *queue, uint64_t number)
{
    struct stress_message message = {.number = number, .check = stress_mark(number)};
    assert_int_equal(messages_try_push(&queue->producer, &message), 0);
}

static void expect(struct messages_consumer *consumer, uint64_t number)
{
    struct stress_message message;
    assert_int_equal(messages_try_pop(consumer, &message), 0);
    assert_int_equal(message.number, number);
}

static void expect_empty(struct messages_consumer *consumer)
{
    struct stress_message message;
    assert_int_equal(messages_try_pop(consumer, &message), -EAGAIN);
}

static void broadcast_gives_every_message_to_every_consumer(void **state)
{
    (void)state;
    for (size_t capacity = 1; capacity <= 16; capacity *= 2) {
        struct messages *queue = open_messages(capacity);
        struct messages_consumer consumers[3];
        struct stress_message message = {0};
        for (unsigned c = 0; c < 3; c++)
            assert_int_equal(messages_consumer_join(&consumers[c], &queue->sector, NULL), 0);
        for (uint64_t lap = 0; lap < 400; lap++) {
            for (uint64_t i = 0; i < capacity; i++)
                push(queue, lap * capacity + i);
            for (unsigned c = 0; c < 3; c++) {
                assert_int_equal(messages_try_push(&queue->producer, &message), -EAGAIN);
                for (uint64_t i = 0; i < capacity; i++)
                    expect(&consumers[c], lap * capacity + i);
                expect_empty(&consumers[c]);
            }
            assert_int_equal(messages_count(queue), 0);
        }
        messages_close(queue);
    }
}

static void broadcast_forgets_what_is_published_while_nobody_reads(void **state)
{
    (void)state;
    struct messages *queue = open_messages(4);
    struct messages_consumer consumer;
    for (uint64_t i = 0; i < 1000; i++)
        push(queue, i);
    assert_int_equal(messages_count(queue), 0);
    assert_int_equal(messages_consumer_join(&consumer, &queue->sector, NULL), 0);
    expect_empty(&consumer);
    push(queue, 1000);
    expect(&consumer, 1000);
    messages_consumer_leave(&consumer);
    for (uint64_t i = 0; i < 1000; i++)
        push(queue, i);
    messages_close(queue);
}

static void broadcast_consumers_of_a_typed_queue_compete_in_a_group_and_see_everything_outside_it(void **state)
{
    (void)state;
    struct messages *queue = open_messages(8);
    struct messages_consumer members[2];
    struct messages_consumer alone;
    struct kn_reader_options group = {.group = 7};
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(messages_consumer_join(&members[i], &queue->sector, &group), 0);
    assert_int_equal(messages_consumer_join(&alone, &queue->sector, NULL), 0);
    for (uint64_t lap = 0; lap < 300; lap++) {
        for (uint64_t i = 0; i < 8; i++)
            push(queue, i);
        for (uint64_t i = 0; i < 8; i++) {
            expect(&alone, i);
            expect(&members[(i + lap) % 2], i);
        }
        expect_empty(&alone);
        expect_empty(&members[0]);
        expect_empty(&members[1]);
    }
    messages_close(queue);
}

static void broadcast_loses_and_doubles_nothing_between_any_number_of_threads(void **state)
{
    (void)state;
    struct queue_face faces[] = {messages_face(), dense_messages_face()};
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(stress_run_all(&faces[i], 3000, false), 0);
}

static void broadcast_robust_loses_and_doubles_nothing_either(void **state)
{
    (void)state;
    struct queue_face faces[] = {messages_face(), dense_messages_face()};
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(stress_run_all(&faces[i], 1000, true), 0);
}

static void broadcast_ring_of_a_few_slots_loses_and_doubles_nothing(void **state)
{
    (void)state;
    struct queue_face faces[] = {pages_face(), dense_pages_face()};
    for (size_t i = 0; i < 2; i++) {
        for (size_t capacity = 1; capacity <= 4; capacity *= 2) {
            /* Copies would be of pages, and the messages of the harness are none. */
            struct stress_options options = {.face = &faces[i],
                                             .capacity_slots = capacity,
                                             .producers = 1,
                                             .consumers = 4,
                                             .messages = 5000,
                                             .batch = 4};
            assert_int_equal(stress_run(&options), 0);
        }
    }
}

static void broadcast_waits_in_every_way_with_more_threads_than_cores(void **state)
{
    (void)state;
    struct queue_face faces[] = {messages_face(), dense_messages_face()};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(stress_run_waiting(&faces[i], 500, KN_WAIT_PARK), 0);
        assert_int_equal(stress_run_waiting(&faces[i], 500, KN_WAIT_YIELD), 0);
    }
}

static void broadcast_waits_without_yielding(void **state)
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

static void broadcast_of_several_producers_shows_every_consumer_the_same(void **state)
{
    (void)state;
    struct queue_face faces[] = {news_face(), dense_news_face()};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(stress_run_all(&faces[i], 300, i != 0), 0);
        assert_int_equal(stress_run_waiting(&faces[i], 200, KN_WAIT_PARK), 0);
    }
}

/* Answers of full depend on the slowest consumer and are not checked; empty counts. */
static void broadcast_histories_are_linearizable(void **state)
{
    (void)state;
    struct queue_face faces[] = {messages_face(), dense_messages_face(), pages_face(), dense_pages_face()};
    for (size_t i = 0; i < 4; i++) {
        for (size_t capacity = 1; capacity <= 4; capacity *= 2) {
            struct history_options options = {.capacity_slots = capacity, .readers = 3};
            assert_int_equal(stress_history(&faces[i], 1, 3, 2000, &options), HISTORY_LINEARIZABLE);
        }
    }
}

/* ---- consumers that lag, come and go, or follow others, while the producers run ---- */

enum { RUNNING_MESSAGES = 60000 };

/* A sector of numbers that several writers fill, and somebody who reads it. */
struct running {
    KN_OWNED struct kn_sector sector;
    _Atomic unsigned writers_left;
    _Atomic uint64_t numbers; /* given out so far */
    struct kn_reader reader;
    uint64_t received;
    uint64_t wrong;
    uint64_t joins;
};

static void *write_running(void *argument)
{
    struct running *running = argument;
    struct kn_writer writer;
    uint64_t errors = kn_writer_join(&writer, &running->sector) != 0;
    for (uint64_t sent = 0; errors == 0 && sent < RUNNING_MESSAGES;) {
        struct kn_span span;
        if (kn_writer_claim(&writer, 1 + sent % 5, &span) != 0) {
            (void)sched_yield();
            continue;
        }
        for (size_t i = 0; i < span.count; i++) {
            uint64_t number = atomic_fetch_add_explicit(&running->numbers, 1, memory_order_relaxed);
            *(struct stress_message *)kn_span_at(&span, i) =
                (struct stress_message){.number = number, .check = stress_mark(number)};
        }
        errors += kn_writer_publish(&writer, span.count) != 0;
        sent += span.count;
        if (sent % 64 < 5)
            (void)sched_yield();
    }
    kn_writer_leave(&writer);
    /* Release pairs with the acquire in read_running: all has been published. */
    (void)atomic_fetch_sub_explicit(&running->writers_left, 1, memory_order_release);
    return (void *)(uintptr_t)errors;
}

/* Reads the span twice, with a pause between: nobody writes there. */
static void check_held_span(struct running *running, const struct kn_span *span)
{
    for (unsigned look = 0; look < 2; look++) {
        for (size_t i = 0; i < span->count; i++) {
            const struct stress_message *message = kn_span_at(span, i);
            running->wrong += message->check != stress_mark(message->number);
        }
        if (running->received % 16 == 0)
            (void)sched_yield();
    }
}

/* Reads until all has been published and seen; joins again where it was dropped. */
static void *read_running(void *argument)
{
    struct running *running = argument;
    const struct kn_reader_options options = {.lag = running->reader.lag};
    for (;;) {
        struct kn_span span;
        bool last = atomic_load_explicit(&running->writers_left, memory_order_acquire) == 0;
        int result = kn_reader_peek(&running->reader, 8, &span);
        if (result == 0) {
            check_held_span(running, &span);
            running->received += span.count;
            running->wrong += kn_reader_release(&running->reader, span.count) != 0;
        } else if (result == -ESTALE) {
            kn_reader_leave(&running->reader);
            running->wrong += kn_reader_join(&running->reader, &running->sector, &options) != 0;
            running->joins++;
        } else if (last) {
            break;
        } else {
            (void)sched_yield();
        }
    }
    return NULL;
}

static void run_lagging(struct running *running, enum kn_layout layout, enum kn_writers writers, enum kn_lag lag)
{
    unsigned count = writers == KN_WRITERS_SHARED ? 2 : 1;
    struct kn_sector_options options = {
        .slot_bytes = sizeof(struct stress_message), .capacity_slots = 256, .layout = layout, .writers = writers};
    const struct kn_reader_options reader_options = {.lag = lag};
    pthread_t threads[3];
    *running = (struct running){.received = 0};
    atomic_init(&running->writers_left, count);
    assert_int_equal(kn_sector_create(&running->sector, &options), 0);
    assert_int_equal(kn_reader_join(&running->reader, &running->sector, &reader_options), 0);
    assert_int_equal(pthread_create(&threads[2], NULL, read_running, running), 0);
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_running, running), 0);
    for (unsigned i = 0; i < 3; i++) {
        void *errors = NULL;
        if (i < count || i == 2)
            assert_int_equal(pthread_join(threads[i], &errors), 0);
        assert_null(errors);
    }
    assert_int_equal(running->wrong, 0);
}

static void broadcast_consumer_that_skips_counts_exactly_what_it_lost(void **state)
{
    (void)state;
    for (unsigned shape = 0; shape < 4; shape++) {
        struct running running;
        run_lagging(&running, (enum kn_layout)(shape % 2), (enum kn_writers)(shape / 2), KN_LAG_SKIP);
        uint64_t published = atomic_load_explicit(&running.numbers, memory_order_relaxed);
        assert_int_equal(running.received + kn_reader_lost(&running.reader), published);
        kn_reader_leave(&running.reader);
        kn_sector_close(&running.sector);
    }
}

static void broadcast_never_overwrites_a_span_in_the_hands_of_a_consumer_that_may_be_dropped(void **state)
{
    (void)state;
    for (unsigned shape = 0; shape < 4; shape++) {
        struct running running;
        run_lagging(&running, (enum kn_layout)(shape % 2), (enum kn_writers)(shape / 2), KN_LAG_DROP);
        uint64_t published = atomic_load_explicit(&running.numbers, memory_order_relaxed);
        assert_true(running.received <= published);
        assert_true(running.joins > 0 || running.received == published);
        kn_reader_leave(&running.reader);
        kn_sector_close(&running.sector);
    }
}

/* Joins, sees some messages without a gap, and leaves, over and over. */
static void *visit(void *argument)
{
    struct running *running = argument;
    while (atomic_load_explicit(&running->writers_left, memory_order_acquire) != 0) {
        struct kn_reader reader;
        struct stress_message message;
        uint64_t next = 0;
        running->wrong += kn_reader_join(&reader, &running->sector, NULL) != 0;
        for (unsigned look = 0; look < 100; look++) {
            if (kn_reader_try_pop(&reader, &message) != 0)
                continue;
            running->wrong += message.check != stress_mark(message.number) || (next != 0 && message.number != next);
            next = message.number + 1;
            running->received++;
        }
        kn_reader_leave(&reader);
        running->joins++;
        (void)sched_yield();
    }
    return NULL;
}

static void broadcast_consumers_join_and_leave_while_it_runs_and_miss_nothing_between(void **state)
{
    (void)state;
    for (unsigned layout = 0; layout < 2; layout++) {
        struct running running = {.received = 0};
        struct kn_sector_options options = {.slot_bytes = sizeof(struct stress_message),
                                            .capacity_slots = 32,
                                            .layout = (enum kn_layout)layout,
                                            .writers = KN_WRITER_EXCLUSIVE};
        pthread_t writer;
        pthread_t visitor;
        void *errors;
        atomic_init(&running.writers_left, 1);
        assert_int_equal(kn_sector_create(&running.sector, &options), 0);
        assert_int_equal(pthread_create(&visitor, NULL, visit, &running), 0);
        assert_int_equal(pthread_create(&writer, NULL, write_running, &running), 0);
        assert_int_equal(pthread_join(writer, &errors), 0);
        assert_null(errors);
        assert_int_equal(pthread_join(visitor, NULL), 0);
        assert_int_equal(running.wrong, 0);
        assert_true(running.joins > 0);
        kn_sector_close(&running.sector);
    }
}

/* Stages of a pipeline: each adds one to what it finds, in place, and the next finds it so. */
struct stage {
    struct kn_reader reader;
    const struct kn_wait *how;
    uint64_t expected; /* what the stages before have added */
    uint64_t wrong;
};

static void *run_stage(void *argument)
{
    struct stage *stage = argument;
    uint64_t received = 0;
    while (received < RUNNING_MESSAGES / 10) {
        struct kn_span span;
        stage->wrong += kn_reader_peek_wait(&stage->reader, 7, &span, stage->how) != 0;
        for (size_t i = 0; i < span.count; i++) {
            uint64_t *added = kn_span_at(&span, i);
            stage->wrong += *added != stage->expected;
            (*added)++;
        }
        received += span.count;
        stage->wrong += kn_reader_release(&stage->reader, (span.count + 1) / 2) != 0;
        stage->wrong += kn_reader_release(&stage->reader, span.count / 2) != 0;
    }
    kn_reader_leave(&stage->reader);
    return NULL;
}

static void run_pipeline(enum kn_layout layout, const struct kn_wait *how)
{
    struct kn_sector sector;
    struct kn_writer writer;
    struct stage stages[3];
    pthread_t threads[3];
    struct kn_sector_options options = {.slot_bytes = sizeof(uint64_t), .capacity_slots = 16, .layout = layout};
    assert_int_equal(kn_sector_create(&sector, &options), 0);
    assert_int_equal(kn_writer_join(&writer, &sector), 0);
    for (uint64_t i = 0; i < 3; i++) {
        struct kn_reader_options reader_options = {.id = i + 1, .after = {i}};
        stages[i] = (struct stage){.how = how, .expected = i};
        assert_int_equal(kn_reader_join(&stages[i].reader, &sector, &reader_options), 0);
    }
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_stage, &stages[i]), 0);
    for (uint64_t sent = 0; sent < RUNNING_MESSAGES / 10;) {
        struct kn_span span;
        size_t wanted = 1 + sent % 9;
        wanted = wanted < RUNNING_MESSAGES / 10 - sent ? wanted : RUNNING_MESSAGES / 10 - sent;
        assert_int_equal(kn_writer_claim_wait(&writer, wanted, &span, how), 0);
        for (size_t i = 0; i < span.count; i++)
            *(uint64_t *)kn_span_at(&span, i) = 0;
        assert_int_equal(kn_writer_publish(&writer, span.count), 0);
        sent += span.count;
    }
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(stages[i].wrong, 0);
    kn_sector_close(&sector);
}

static void broadcast_stages_of_a_pipeline_work_in_place_and_never_overtake(void **state)
{
    (void)state;
    for (unsigned layout = 0; layout < 2; layout++) {
        run_pipeline((enum kn_layout)layout, &(struct kn_wait){.strategy = KN_WAIT_YIELD, .attempts = 1});
        run_pipeline((enum kn_layout)layout, &(struct kn_wait){.strategy = KN_WAIT_PARK, .attempts = 1});
    }
}

/* ---- readers that are moved into a run while it is being published ---- */

enum { LONG_RUN = 60000, LONG_RING = 131072, LONG_RUNS = 40 };

static void *publish_long_runs(void *argument)
{
    struct running *running = argument;
    struct kn_writer writer;
    uint64_t errors = kn_writer_join(&writer, &running->sector) != 0;
    for (unsigned runs = 0; errors == 0 && runs < LONG_RUNS;) {
        struct kn_span span;
        if (kn_writer_claim(&writer, LONG_RUN, &span) != 0) {
            (void)sched_yield();
            continue;
        }
        for (size_t i = 0; i < span.count; i++)
            *(struct stress_message *)kn_span_at(&span, i) = (struct stress_message){.check = stress_mark(0)};
        errors += kn_writer_publish(&writer, span.count) != 0;
        runs++;
    }
    kn_writer_leave(&writer);
    (void)atomic_fetch_sub_explicit(&running->writers_left, 1, memory_order_release);
    return (void *)(uintptr_t)errors;
}

static void broadcast_consumer_moved_into_a_run_sees_what_was_written_there(void **state)
{
    (void)state;
    for (unsigned layout = 0; layout < 2; layout++) {
        const struct kn_reader_options skip = {.lag = KN_LAG_SKIP};
        struct kn_sector_options options = {.slot_bytes = sizeof(struct stress_message),
                                            .capacity_slots = LONG_RING,
                                            .layout = (enum kn_layout)layout,
                                            .writers = KN_WRITERS_SHARED};
        struct running running = {.received = 0};
        pthread_t threads[3];
        atomic_init(&running.writers_left, 2);
        assert_int_equal(kn_sector_create(&running.sector, &options), 0);
        assert_int_equal(kn_reader_join(&running.reader, &running.sector, &skip), 0);
        assert_int_equal(pthread_create(&threads[0], NULL, read_running, &running), 0);
        assert_int_equal(pthread_create(&threads[1], NULL, publish_long_runs, &running), 0);
        assert_int_equal(pthread_create(&threads[2], NULL, publish_long_runs, &running), 0);
        for (unsigned i = 0; i < 3; i++) {
            void *errors;
            assert_int_equal(pthread_join(threads[i], &errors), 0);
            assert_null(errors);
        }
        assert_int_equal(running.wrong, 0);
        assert_true(running.received > 0);
        kn_reader_leave(&running.reader);
        kn_sector_close(&running.sector);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(broadcast_gives_every_message_to_every_consumer),
        cmocka_unit_test(broadcast_forgets_what_is_published_while_nobody_reads),
        cmocka_unit_test(broadcast_consumers_of_a_typed_queue_compete_in_a_group_and_see_everything_outside_it),
        cmocka_unit_test(broadcast_loses_and_doubles_nothing_between_any_number_of_threads),
        cmocka_unit_test(broadcast_robust_loses_and_doubles_nothing_either),
        cmocka_unit_test(broadcast_ring_of_a_few_slots_loses_and_doubles_nothing),
        cmocka_unit_test(broadcast_waits_in_every_way_with_more_threads_than_cores),
        cmocka_unit_test(broadcast_waits_without_yielding),
        cmocka_unit_test(broadcast_of_several_producers_shows_every_consumer_the_same),
        cmocka_unit_test(broadcast_histories_are_linearizable),
        cmocka_unit_test(broadcast_consumer_that_skips_counts_exactly_what_it_lost),
        cmocka_unit_test(broadcast_never_overwrites_a_span_in_the_hands_of_a_consumer_that_may_be_dropped),
        cmocka_unit_test(broadcast_consumers_join_and_leave_while_it_runs_and_miss_nothing_between),
        cmocka_unit_test(broadcast_stages_of_a_pipeline_work_in_place_and_never_overtake),
        cmocka_unit_test(broadcast_consumer_moved_into_a_run_sees_what_was_written_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
