/* The queue of eight classes. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <kernel/priority.h>

struct job {
    uint32_t producer;
    uint32_t class;
    uint64_t number; /* of this producer in this class */
};
KN_PRIORITY_DEFINE(jobs, struct job);

struct fixture {
    struct jobs *queue;
    struct jobs_producer producer;
    struct jobs_consumer consumer;
};

static struct fixture *open_fixture(size_t capacity_slots)
{
    struct fixture *fixture = aligned_alloc(KN_OWNER_STRIDE, sizeof(*fixture));
    assert_non_null(fixture);
    assert_int_equal(jobs_open(&fixture->queue, capacity_slots), 0);
    assert_int_equal(jobs_producer_join(&fixture->producer, fixture->queue), 0);
    assert_int_equal(jobs_consumer_join(&fixture->consumer, fixture->queue), 0);
    return fixture;
}

static void close_fixture(struct fixture *fixture)
{
    jobs_producer_leave(&fixture->producer);
    jobs_consumer_leave(&fixture->consumer);
    jobs_close(fixture->queue);
    free(fixture);
}

static void push_number(struct fixture *fixture, unsigned class, uint64_t number)
{
    struct job job = {.class = class, .number = number};
    assert_int_equal(jobs_try_push(&fixture->producer, class, &job), 0);
}

static void priority_takes_the_most_urgent_class_first(void **state)
{
    (void)state;
    struct fixture *fixture = open_fixture(8);
    struct job job;
    unsigned class;
    for (unsigned i = KN_PRIORITY_CLASSES; i-- > 0;)
        push_number(fixture, i, i);
    for (unsigned i = 0; i < KN_PRIORITY_CLASSES; i++) {
        assert_int_equal(jobs_try_pop(&fixture->consumer, &job, &class), 0);
        assert_int_equal(class, i);
        assert_int_equal(job.number, i);
    }
    assert_int_equal(jobs_try_pop(&fixture->consumer, &job, &class), -EAGAIN);
    close_fixture(fixture);
}

static void priority_is_first_in_first_out_within_a_class(void **state)
{
    (void)state;
    struct fixture *fixture = open_fixture(64);
    struct job job;
    for (uint64_t i = 0; i < 60; i++)
        push_number(fixture, i % 3, i);
    for (unsigned class = 0; class < 3; class ++) {
        for (uint64_t i = class; i < 60; i += 3) {
            assert_int_equal(jobs_try_pop(&fixture->consumer, &job, NULL), 0);
            assert_int_equal(job.number, i);
        }
    }
    close_fixture(fixture);
}

static void priority_lets_an_urgent_message_overtake_at_the_next_pop(void **state)
{
    (void)state;
    struct fixture *fixture = open_fixture(8);
    struct job job;
    unsigned class;
    push_number(fixture, 5, 1);
    push_number(fixture, 5, 2);
    assert_int_equal(jobs_try_pop(&fixture->consumer, &job, &class), 0);
    push_number(fixture, 1, 3);
    assert_int_equal(jobs_try_pop(&fixture->consumer, &job, &class), 0);
    assert_int_equal(class, 1);
    assert_int_equal(jobs_try_pop(&fixture->consumer, &job, &class), 0);
    assert_int_equal(class, 5);
    assert_int_equal(job.number, 2);
    close_fixture(fixture);
}

static void priority_answers_full_by_class_and_refuses_classes_there_are_not(void **state)
{
    (void)state;
    struct fixture *fixture = open_fixture(2);
    struct job job = {0};
    for (unsigned class = 0; class < KN_PRIORITY_CLASSES; class ++) {
        assert_int_equal(jobs_try_push(&fixture->producer, class, &job), 0);
        assert_int_equal(jobs_try_push(&fixture->producer, class, &job), 0);
        assert_int_equal(jobs_try_push(&fixture->producer, class, &job), -EAGAIN);
    }
    assert_int_equal(kn_priority_count(&fixture->queue->queue), 2 * KN_PRIORITY_CLASSES);
    assert_int_equal(jobs_try_push(&fixture->producer, KN_PRIORITY_CLASSES, &job), -EINVAL);
    assert_int_equal(jobs_push_many(&fixture->producer, KN_PRIORITY_CLASSES, &job, 1), 0);
    assert_int_equal(jobs_push(&fixture->producer, KN_PRIORITY_CLASSES, &job, NULL), -EINVAL);
    close_fixture(fixture);
}

static void priority_pops_batches_across_classes_in_order(void **state)
{
    (void)state;
    struct fixture *fixture = open_fixture(16);
    struct job in[6];
    struct job out[16];
    for (unsigned i = 0; i < 6; i++)
        in[i] = (struct job){.number = i};
    assert_int_equal(jobs_push_many(&fixture->producer, 7, in, 6), 6);
    assert_int_equal(jobs_push_many(&fixture->producer, 2, in, 4), 4);
    assert_int_equal(jobs_pop_many(&fixture->consumer, out, 7), 7);
    for (unsigned i = 0; i < 7; i++)
        assert_int_equal(out[i].number, i < 4 ? i : i - 4);
    assert_int_equal(jobs_pop_many(&fixture->consumer, out, 16), 3);
    assert_int_equal(out[2].number, 5);
    assert_int_equal(jobs_pop_many(&fixture->consumer, out, 16), 0);
    close_fixture(fixture);
}

static void priority_shows_messages_in_place_until_released(void **state)
{
    (void)state;
    struct fixture *fixture = open_fixture(8);
    struct kn_priority_consumer *consumer = &fixture->consumer.consumer;
    struct kn_span span;
    unsigned class;
    assert_int_equal(kn_priority_release(consumer, 1), -EINVAL);
    push_number(fixture, 4, 10);
    push_number(fixture, 4, 11);
    assert_int_equal(kn_priority_peek(consumer, 8, &span, &class), 0);
    assert_int_equal(span.count, 2);
    assert_int_equal(kn_priority_release(consumer, 3), -EINVAL);
    push_number(fixture, 0, 12); /* the span in hand is finished first */
    assert_int_equal(kn_priority_release(consumer, 1), 0);
    assert_int_equal(kn_priority_peek(consumer, 8, &span, &class), 0);
    assert_int_equal(class, 4);
    assert_int_equal(((struct job *)kn_span_at(&span, 0))->number, 11);
    assert_int_equal(kn_priority_release(consumer, 1), 0);
    assert_int_equal(kn_priority_peek(consumer, 8, &span, &class), 0);
    assert_int_equal(class, 0);
    assert_int_equal(kn_priority_release(consumer, 1), 0);
    assert_int_equal(kn_priority_peek(consumer, 8, &span, &class), -EAGAIN);
    close_fixture(fixture);
}

static void priority_refuses_bad_options_and_too_many_participants(void **state)
{
    (void)state;
    struct jobs *queue = (void *)&state;
    assert_int_equal(jobs_open(&queue, 3), -EINVAL);
    assert_null(queue);
    struct kn_priority *small;
    struct kn_priority_options options = {
        .slot_bytes = 8, .capacity_slots = 8, .cursors_max = KN_CURSORS_RESERVED + 1, .exclusive_consumer = true};
    assert_int_equal(kn_priority_open(&small, &options), 0);
    static struct kn_priority_producer first, second;
    static struct kn_priority_consumer one, other;
    assert_int_equal(kn_priority_producer_join(&first, small), 0);
    assert_int_equal(kn_priority_producer_join(&second, small), -EMFILE);
    kn_priority_producer_leave(&first);
    assert_int_equal(kn_priority_producer_join(&second, small), 0);
    assert_int_equal(kn_priority_consumer_join(&one, small), 0);
    assert_int_equal(kn_priority_consumer_join(&other, small), -EBUSY);
    kn_priority_close(small);
}

enum { THREADS = 3, MESSAGES = 20000 };

struct worker {
    struct jobs *queue;
    const struct kn_wait *how;
    uint32_t number;
    uint64_t expected[THREADS][KN_PRIORITY_CLASSES]; /* least number that may come next */
    uint64_t popped;
    uint64_t sum;
    uint64_t disordered;
};

static void *produce(void *argument)
{
    struct worker *worker = argument;
    struct jobs_producer *producer = aligned_alloc(KN_OWNER_STRIDE, sizeof(*producer));
    uint64_t next[KN_PRIORITY_CLASSES] = {0};
    assert_int_equal(jobs_producer_join(producer, worker->queue), 0);
    for (uint64_t i = 0; i < MESSAGES; i++) {
        uint32_t class = (uint32_t)(i * 2654435761U >> 7) % KN_PRIORITY_CLASSES;
        struct job job = {.producer = worker->number, .class = class, .number = next[class]++};
        assert_int_equal(jobs_push(producer, class, &job, worker->how), 0);
    }
    jobs_producer_leave(producer);
    free(producer);
    return NULL;
}

/* Ends at a message of the producer that there is not. */
static void *consume(void *argument)
{
    struct worker *worker = argument;
    struct jobs_consumer *consumer = aligned_alloc(KN_OWNER_STRIDE, sizeof(*consumer));
    struct job job;
    assert_int_equal(jobs_consumer_join(consumer, worker->queue), 0);
    while (jobs_pop(consumer, &job, NULL, worker->how) == 0 && job.producer < THREADS) {
        uint64_t *expected = &worker->expected[job.producer][job.class];
        worker->disordered += job.number < *expected;
        *expected = job.number + 1;
        worker->popped++;
        worker->sum += job.number + 1;
    }
    jobs_consumer_leave(consumer);
    free(consumer);
    return NULL;
}

static void run_crowd(const struct kn_wait *how, size_t capacity_slots)
{
    static struct worker producers[THREADS], consumers[THREADS];
    pthread_t threads[2 * THREADS];
    struct fixture *fixture = open_fixture(capacity_slots);
    jobs_consumer_leave(&fixture->consumer);
    for (uint32_t i = 0; i < THREADS; i++) {
        producers[i] = consumers[i] = (struct worker){.queue = fixture->queue, .how = how, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, produce, &producers[i]), 0);
        assert_int_equal(pthread_create(&threads[THREADS + i], NULL, consume, &consumers[i]), 0);
    }
    for (uint32_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    uint64_t popped = 0;
    uint64_t disordered = 0;
    for (uint32_t i = 0; i < THREADS; i++) {
        struct job end = {.producer = THREADS};
        assert_int_equal(jobs_push(&fixture->producer, KN_PRIORITY_CLASSES - 1, &end, how), 0);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        pthread_join(threads[THREADS + i], NULL);
        popped += consumers[i].popped;
        disordered += consumers[i].disordered;
    }
    assert_int_equal(popped, (uint64_t)THREADS * MESSAGES);
    assert_int_equal(disordered, 0);
    assert_int_equal(kn_priority_count(&fixture->queue->queue), 0);
    assert_int_equal(jobs_consumer_join(&fixture->consumer, fixture->queue), 0);
    close_fixture(fixture);
}

static void priority_loses_nothing_between_crowds_that_yield(void **state)
{
    (void)state;
    run_crowd(&(struct kn_wait){.strategy = KN_WAIT_YIELD, .attempts = 10}, 16);
}

static void priority_loses_no_wake_up_between_crowds_that_park(void **state)
{
    (void)state;
    run_crowd(&(struct kn_wait){.strategy = KN_WAIT_PARK, .attempts = 1}, 4);
}

static void priority_pop_gives_up_after_its_time(void **state)
{
    (void)state;
    struct fixture *fixture = open_fixture(2);
    struct job job = {0};
    struct kn_wait how = {.strategy = KN_WAIT_PARK, .timeout_ns = 1000000};
    assert_int_equal(jobs_pop(&fixture->consumer, &job, NULL, &how), -ETIMEDOUT);
    push_number(fixture, 3, 0);
    push_number(fixture, 3, 1);
    assert_int_equal(jobs_push(&fixture->producer, 3, &job, &how), -ETIMEDOUT);
    close_fixture(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(priority_takes_the_most_urgent_class_first),
        cmocka_unit_test(priority_is_first_in_first_out_within_a_class),
        cmocka_unit_test(priority_lets_an_urgent_message_overtake_at_the_next_pop),
        cmocka_unit_test(priority_answers_full_by_class_and_refuses_classes_there_are_not),
        cmocka_unit_test(priority_pops_batches_across_classes_in_order),
        cmocka_unit_test(priority_shows_messages_in_place_until_released),
        cmocka_unit_test(priority_refuses_bad_options_and_too_many_participants),
        cmocka_unit_test(priority_loses_nothing_between_crowds_that_yield),
        cmocka_unit_test(priority_loses_no_wake_up_between_crowds_that_park),
        cmocka_unit_test(priority_pop_gives_up_after_its_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
