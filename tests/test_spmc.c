/* The queue of fixed slots: one producer, several consumers, each message to one of them. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <kernel/spmc.h>

#include "queue_stress.h"

KN_SPMC_DEFINE(messages, struct stress_message);
KN_SPMC_DENSE_DEFINE(dense_messages, struct stress_message);
QUEUE_FACE(messages);
QUEUE_FACE(dense_messages);

/* So large that the ring has no more slots than the capacity, and each lap overwrites the last. */
struct page {
    uint64_t words[511];
};
KN_SPMC_DEFINE(pages, struct page);
QUEUE_FACE(pages);

struct dense_page {
    uint64_t words[512];
};
KN_SPMC_DENSE_DEFINE(dense_pages, struct dense_page);
QUEUE_FACE(dense_pages);

enum { CONSUMERS = 3 };

struct fan {
    struct messages *queue;
    struct messages_consumer consumers[CONSUMERS];
};

static void fan_open(struct fan *fan, size_t capacity_slots)
{
    assert_int_equal(messages_open(&fan->queue, capacity_slots), 0);
    for (unsigned i = 0; i < CONSUMERS; i++)
        assert_int_equal(messages_consumer_join(&fan->consumers[i], &fan->queue->sector, NULL), 0);
}

static void fan_close(struct fan *fan)
{
    for (unsigned i = 0; i < CONSUMERS; i++)
        messages_consumer_leave(&fan->consumers[i]);
    messages_close(fan->queue);
}

static void push(struct fan *fan, uint64_t number)
{
    struct stress_message message = {.number = number};
    assert_int_equal(messages_try_push(&fan->queue->producer, &message), 0);
}

static void expect(struct fan *fan, unsigned consumer, uint64_t number)
{
    struct stress_message message;
    assert_int_equal(messages_try_pop(&fan->consumers[consumer], &message), 0);
    assert_int_equal(message.number, number);
}

static void expect_empty(struct fan *fan)
{
    struct stress_message message;
    for (unsigned i = 0; i < CONSUMERS; i++)
        assert_int_equal(messages_try_pop(&fan->consumers[i], &message), -EAGAIN);
}

static void spmc_gives_each_message_to_one_consumer_in_order(void **state)
{
    (void)state;
    for (size_t capacity = 1; capacity <= 16; capacity *= 2) {
        struct fan fan;
        struct stress_message message = {0};
        fan_open(&fan, capacity);
        for (uint64_t lap = 0; lap < 600; lap++) {
            for (uint64_t i = 0; i < capacity; i++)
                push(&fan, lap * capacity + i);
            assert_int_equal(messages_try_push(&fan.queue->producer, &message), -EAGAIN);
            assert_int_equal(messages_count(fan.queue), capacity);
            for (uint64_t i = 0; i < capacity; i++)
                expect(&fan, (unsigned)((i + lap) % CONSUMERS), lap * capacity + i);
            expect_empty(&fan);
        }
        fan_close(&fan);
    }
}

static void spmc_keeps_messages_until_the_first_consumer_joins(void **state)
{
    (void)state;
    struct messages *queue;
    struct messages_consumer consumer;
    struct stress_message batch[4] = {{.number = 0}, {.number = 1}, {.number = 2}, {.number = 3}};
    assert_int_equal(messages_open(&queue, 4), 0);
    assert_int_equal(messages_push_many(&queue->producer, batch, 4), 4);
    assert_int_equal(messages_push_many(&queue->producer, batch, 1), 0);
    assert_int_equal(messages_consumer_join(&consumer, &queue->sector, NULL), 0);
    for (uint64_t i = 0; i < 4; i++) {
        assert_int_equal(messages_try_pop(&consumer, batch), 0);
        assert_int_equal(batch[0].number, i);
    }
    messages_consumer_leave(&consumer);
    messages_close(queue);
}

static void spmc_a_peeked_span_is_its_consumers_alone(void **state)
{
    (void)state;
    struct fan fan;
    struct kn_span span;
    fan_open(&fan, 8);
    for (uint64_t i = 0; i < 8; i++)
        push(&fan, i);
    assert_int_equal(messages_peek(&fan.consumers[0], 3, &span), 0);
    assert_int_equal(span.count, 3);
    expect(&fan, 1, 3);
    /* Peeking again shows the same three, not more. */
    assert_int_equal(messages_peek(&fan.consumers[0], 8, &span), 0);
    assert_int_equal(span.count, 3);
    assert_int_equal(messages_at(&span, 0)->number, 0);
    assert_int_equal(messages_release(&fan.consumers[0], 1), 0);
    assert_int_equal(messages_peek(&fan.consumers[0], 8, &span), 0);
    assert_int_equal(span.count, 2);
    assert_int_equal(messages_at(&span, 0)->number, 1);
    expect(&fan, 0, 1); /* a copy comes from its own as well */
    expect(&fan, 2, 4);
    fan_close(&fan);
}

static void spmc_a_stalled_consumer_holds_up_the_producer_a_lap_later_but_no_other_consumer(void **state)
{
    (void)state;
    struct fan fan;
    struct kn_span span;
    struct stress_message message = {0};
    fan_open(&fan, 4);
    push(&fan, 0);
    assert_int_equal(messages_peek(&fan.consumers[0], 1, &span), 0);
    for (uint64_t i = 1; i < 4; i++) {
        push(&fan, i);
        expect(&fan, 1 + (unsigned)(i % 2), i);
    }
    assert_int_equal(messages_try_push(&fan.queue->producer, &message), -EAGAIN);
    assert_int_equal(messages_at(&span, 0)->number, 0);
    assert_int_equal(messages_release(&fan.consumers[0], 1), 0);
    for (uint64_t i = 4; i < 8; i++)
        push(&fan, i);
    fan_close(&fan);
}

static void spmc_what_a_leaving_consumer_has_in_its_hands_counts_as_read(void **state)
{
    (void)state;
    struct fan fan;
    struct kn_span span;
    struct messages_consumer guest;
    fan_open(&fan, 4);
    for (uint64_t lap = 0; lap < 100; lap++) {
        for (uint64_t i = 0; i < 4; i++)
            push(&fan, lap * 4 + i);
        assert_int_equal(messages_consumer_join(&guest, &fan.queue->sector, NULL), 0);
        assert_int_equal(messages_peek(&guest, 2, &span), 0);
        messages_consumer_leave(&guest);
        expect(&fan, 0, lap * 4 + 2);
        expect(&fan, 1, lap * 4 + 3);
        expect_empty(&fan);
    }
    fan_close(&fan);
}

static void spmc_loses_and_doubles_nothing_between_any_number_of_threads(void **state)
{
    (void)state;
    struct queue_face faces[] = {messages_face(), dense_messages_face()};
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(stress_run_all(&faces[i], 4000, false), 0);
}

static void spmc_robust_loses_and_doubles_nothing_either(void **state)
{
    (void)state;
    struct queue_face faces[] = {messages_face(), dense_messages_face()};
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(stress_run_all(&faces[i], 1000, true), 0);
}

static void spmc_ring_of_a_few_slots_loses_and_doubles_nothing(void **state)
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

static void spmc_waits_in_every_way_with_more_threads_than_cores(void **state)
{
    (void)state;
    struct queue_face faces[] = {messages_face(), dense_messages_face()};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(stress_run_waiting(&faces[i], 500, KN_WAIT_PARK), 0);
        assert_int_equal(stress_run_waiting(&faces[i], 500, KN_WAIT_YIELD), 0);
    }
}

static void spmc_waits_without_yielding(void **state)
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
 * Full may be spurious: a consumer that tried to take a message has its position in its hands for a moment after
 * another took it. Empty is not: with one producer nothing is claimed and unpublished.
 */
static void spmc_histories_are_linearizable(void **state)
{
    (void)state;
    struct queue_face faces[] = {messages_face(), dense_messages_face(), pages_face(), dense_pages_face()};
    for (size_t i = 0; i < 4; i++) {
        for (size_t capacity = 1; capacity <= 4; capacity *= 2) {
            struct history_options options = {.capacity_slots = capacity, .spurious_full = true};
            assert_int_equal(stress_history(&faces[i], 1, 2, 4000, &options), HISTORY_LINEARIZABLE);
            assert_int_equal(stress_history(&faces[i], 1, 4, 2000, &options), HISTORY_LINEARIZABLE);
        }
    }
}

/* ---- a consumer that is interrupted at any instruction ---- */

enum { INTERRUPTIONS = 6000 };

struct interrupted {
    struct pages *queue;
    _Atomic uint64_t pushed;
    _Atomic uint64_t popped;
    _Atomic uint64_t empty;
    _Atomic bool over;
};

/* So that the others go around the ring meanwhile. */
static void pause_a_while(int signal)
{
    (void)signal;
    const struct timespec while_ns = {.tv_nsec = 30000};
    (void)nanosleep(&while_ns, NULL);
}

static void *keep_stocked(void *argument)
{
    struct interrupted *run = argument;
    while (!atomic_load_explicit(&run->over, memory_order_relaxed)) {
        struct kn_span span;
        if (pages_claim(&run->queue->producer, 1, &span) == 0 && pages_publish(&run->queue->producer, 1) == 0)
            atomic_fetch_add_explicit(&run->pushed, 1, memory_order_release);
        else
            (void)sched_yield();
    }
    return NULL;
}

/* Looks only while there are three: at most one is in the hands of the other consumer. */
static void *take_while_stocked(void *argument)
{
    struct interrupted *run = argument;
    struct pages_consumer consumer;
    if (pages_consumer_join(&consumer, &run->queue->sector, NULL) != 0)
        return run;
    while (!atomic_load_explicit(&run->over, memory_order_relaxed)) {
        struct kn_span span;
        uint64_t pushed = atomic_load_explicit(&run->pushed, memory_order_acquire);
        if (pushed - atomic_load_explicit(&run->popped, memory_order_acquire) < 3 || pushed == 0)
            (void)sched_yield();
        else if (pages_peek(&consumer, 1, &span) != 0)
            atomic_fetch_add_explicit(&run->empty, 1, memory_order_relaxed);
        else if (pages_release(&consumer, 1) == 0)
            atomic_fetch_add_explicit(&run->popped, 1, memory_order_release);
    }
    pages_consumer_leave(&consumer);
    return NULL;
}

static void spmc_never_answers_empty_while_there_are_messages_wherever_a_consumer_is_interrupted(void **state)
{
    (void)state;
    struct interrupted run = {.queue = NULL};
    pthread_t threads[3];
    void *failed = NULL;
    struct sigaction action = {.sa_handler = pause_a_while};
    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
    assert_int_equal(pages_open(&run.queue, 8), 0);
    assert_int_equal(pthread_create(&threads[0], NULL, keep_stocked, &run), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, take_while_stocked, &run), 0);
    assert_int_equal(pthread_create(&threads[2], NULL, take_while_stocked, &run), 0);
    for (unsigned i = 0; i < INTERRUPTIONS; i++) {
        assert_int_equal(pthread_kill(threads[1 + i % 2], SIGUSR1), 0);
        usleep(50);
    }
    atomic_store_explicit(&run.over, true, memory_order_relaxed);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    assert_int_equal(atomic_load_explicit(&run.empty, memory_order_relaxed), 0);
    pages_close(run.queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spmc_gives_each_message_to_one_consumer_in_order),
        cmocka_unit_test(spmc_keeps_messages_until_the_first_consumer_joins),
        cmocka_unit_test(spmc_a_peeked_span_is_its_consumers_alone),
        cmocka_unit_test(spmc_a_stalled_consumer_holds_up_the_producer_a_lap_later_but_no_other_consumer),
        cmocka_unit_test(spmc_what_a_leaving_consumer_has_in_its_hands_counts_as_read),
        cmocka_unit_test(spmc_loses_and_doubles_nothing_between_any_number_of_threads),
        cmocka_unit_test(spmc_robust_loses_and_doubles_nothing_either),
        cmocka_unit_test(spmc_ring_of_a_few_slots_loses_and_doubles_nothing),
        cmocka_unit_test(spmc_waits_in_every_way_with_more_threads_than_cores),
        cmocka_unit_test(spmc_waits_without_yielding),
        cmocka_unit_test(spmc_histories_are_linearizable),
        cmocka_unit_test(spmc_never_answers_empty_while_there_are_messages_wherever_a_consumer_is_interrupted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
