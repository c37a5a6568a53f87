/* The intercore bus. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <kernel/bus.h>

enum { DEPTH = 4 };

static const struct kn_task_type TYPE = {.name = "never polled"};

static struct kn_bus open_bus(size_t reactors, size_t depth)
{
    struct kn_bus bus;
    assert_int_equal(kn_bus_open(&bus, reactors, depth), 0);
    return bus;
}

/* A task with a number. */
static struct kn_task *number(struct kn_task *task, uint64_t number)
{
    kn_task_create(task, &TYPE, 0);
    task->deadline_ns = number;
    return task;
}

static struct kn_task_chain chain_of(struct kn_task *tasks, unsigned count)
{
    struct kn_task_chain chain = {0};
    for (unsigned i = 0; i < count; i++)
        kn_task_chain_append(&chain, &tasks[i]);
    return chain;
}

static int receive(struct kn_bus *bus, size_t from, size_t to, struct kn_bus_message *message)
{
    return kn_bus_ring_try_pop(&kn_bus_ring(bus, from, to)->consumer, message);
}

/* Receives a message of this kind and checks that it has tasks first..first + count - 1. */
static void expect(struct kn_bus *bus, enum kn_bus_kind kind, uint64_t first, uint32_t count)
{
    struct kn_bus_message message = {0};
    assert_int_equal(receive(bus, 0, 1, &message), 0);
    assert_int_equal(message.kind, kind);
    assert_int_equal(message.count, count);
    struct kn_task_chain chain = {.first = message.first, .last = message.last, .count = message.count};
    for (uint64_t i = first; i < first + count; i++)
        assert_int_equal(kn_task_chain_take(&chain)->deadline_ns, i);
}

static void expect_nothing(struct kn_bus *bus)
{
    struct kn_bus_message message;
    assert_int_equal(receive(bus, 0, 1, &message), -EAGAIN);
}

/* Fills the queue from 0 to 1 with messages that say nothing. */
static void fill(struct kn_bus *bus)
{
    while (kn_bus_send(bus, 0, 1, KN_BUS_STEAL, NULL) == 0)
        ;
}

static void expect_filling(struct kn_bus *bus, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        expect(bus, KN_BUS_STEAL, 0, 0);
}

static void bus_refuses_what_makes_no_sense(void **state)
{
    (void)state;
    struct kn_bus bus;
    assert_int_equal(kn_bus_open(&bus, 0, DEPTH), -EINVAL);
    assert_int_equal(kn_bus_open(&bus, (size_t)UINT16_MAX + 1, DEPTH), -EINVAL);
    assert_int_equal(kn_bus_open(&bus, 2, 3), -EINVAL);
    assert_int_equal(kn_bus_open(&bus, 2, 0), -EINVAL);
    kn_bus_close(&bus); /* harmless after an error, */
    kn_bus_close(&bus); /* and twice */
    bus = (struct kn_bus){0};
    kn_bus_close(&bus);
}

static void bus_has_a_queue_for_each_ordered_pair(void **state)
{
    (void)state;
    struct kn_bus bus = open_bus(3, DEPTH);
    struct kn_bus_message message;
    for (size_t from = 0; from < 3; from++)
        for (size_t to = 0; to < 3; to++) {
            if (from == to)
                assert_null(kn_bus_ring(&bus, from, to));
            else
                assert_int_equal(kn_bus_send(&bus, from, to, KN_BUS_TIMER, &bus.rings[from * 3 + to]), 0);
        }
    for (size_t from = 0; from < 3; from++)
        for (size_t to = 0; to < 3; to++) {
            if (from == to)
                continue;
            assert_int_equal(kn_bus_depth(&bus, from, to), 1);
            assert_int_equal(receive(&bus, from, to, &message), 0);
            assert_int_equal(message.kind, KN_BUS_TIMER);
            assert_ptr_equal(message.first, &bus.rings[from * 3 + to]);
            assert_int_equal(kn_bus_depth(&bus, from, to), 0);
            assert_int_equal(receive(&bus, from, to, &message), -EAGAIN);
        }
    kn_bus_close(&bus);
}

static void bus_carries_many_tasks_in_one_message(void **state)
{
    (void)state;
    struct kn_bus bus = open_bus(2, DEPTH);
    struct kn_task tasks[100];
    for (unsigned i = 0; i < 100; i++)
        number(&tasks[i], i);
    struct kn_task_chain chain = chain_of(tasks, 100);
    assert_true(kn_bus_send_tasks(&bus, 0, 1, KN_BUS_WAKE, &chain));
    assert_int_equal(kn_bus_depth(&bus, 0, 1), 1);
    expect(&bus, KN_BUS_WAKE, 0, 100);
    kn_bus_close(&bus);
}

static void bus_answers_that_it_is_full(void **state)
{
    (void)state;
    struct kn_bus bus = open_bus(2, DEPTH);
    for (unsigned i = 0; i < DEPTH; i++)
        assert_int_equal(kn_bus_send(&bus, 0, 1, KN_BUS_STEAL, NULL), 0);
    assert_int_equal(kn_bus_send(&bus, 0, 1, KN_BUS_STEAL, NULL), -EAGAIN);
    assert_int_equal(kn_bus_depth(&bus, 0, 1), DEPTH);
    assert_int_equal(kn_bus_send(&bus, 1, 0, KN_BUS_STEAL, NULL), 0); /* the other way is free */
    expect_filling(&bus, DEPTH);
    kn_bus_close(&bus);
}

static void note_sent(void *context, size_t to)
{
    unsigned *sent = context;
    sent[to]++;
}

static void bus_holds_tasks_back_while_it_is_full_and_keeps_their_order(void **state)
{
    (void)state;
    struct kn_bus bus = open_bus(2, DEPTH);
    struct kn_task tasks[10];
    unsigned sent[2] = {0};
    for (unsigned i = 0; i < 10; i++)
        number(&tasks[i], i);
    assert_false(kn_bus_flush(&bus, 0, note_sent, sent)); /* nothing is held back yet */
    fill(&bus);
    struct kn_task_chain chain = chain_of(tasks, 3);
    assert_false(kn_bus_send_tasks(&bus, 0, 1, KN_BUS_SPAWN, &chain));
    assert_true(kn_bus_flush(&bus, 0, note_sent, sent));
    expect_filling(&bus, 1);
    /* There is room now, but what is held back goes first. */
    chain = chain_of(&tasks[3], 7);
    assert_false(kn_bus_send_tasks(&bus, 0, 1, KN_BUS_WAKE, &chain));
    assert_int_equal(sent[1], 0);
    assert_false(kn_bus_flush(&bus, 0, note_sent, sent));
    assert_int_equal(sent[0], 0);
    assert_int_equal(sent[1], 1);
    assert_false(kn_bus_flush(&bus, 0, NULL, NULL));
    expect_filling(&bus, DEPTH - 1);
    expect(&bus, KN_BUS_WAKE, 0, 10);
    expect_nothing(&bus);
    kn_bus_close(&bus);
}

static void bus_owes_an_answer_that_did_not_fit(void **state)
{
    (void)state;
    struct kn_bus bus = open_bus(2, DEPTH);
    const struct kn_task_chain none = {0};
    assert_true(kn_bus_send_tasks(&bus, 0, 1, KN_BUS_GIVE, &none));
    expect(&bus, KN_BUS_GIVE, 0, 0);
    fill(&bus);
    assert_false(kn_bus_send_tasks(&bus, 0, 1, KN_BUS_GIVE, &none));
    assert_true(kn_bus_flush(&bus, 0, NULL, NULL));
    expect_filling(&bus, DEPTH);
    assert_false(kn_bus_flush(&bus, 0, NULL, NULL));
    expect(&bus, KN_BUS_GIVE, 0, 0);
    /* With tasks. */
    struct kn_task tasks[2];
    number(&tasks[0], 0);
    number(&tasks[1], 1);
    struct kn_task_chain chain = chain_of(tasks, 2);
    fill(&bus);
    assert_false(kn_bus_send_tasks(&bus, 0, 1, KN_BUS_GIVE, &chain));
    expect_filling(&bus, DEPTH);
    assert_false(kn_bus_flush(&bus, 0, NULL, NULL));
    expect(&bus, KN_BUS_GIVE, 0, 2);
    expect_nothing(&bus);
    kn_bus_close(&bus);
}

static void bus_holds_memory_back_apart_from_tasks(void **state)
{
    (void)state;
    struct kn_bus bus = open_bus(2, DEPTH);
    struct kn_task tasks[4];
    for (unsigned i = 0; i < 4; i++)
        number(&tasks[i], i);
    fill(&bus);
    struct kn_task_chain memory = chain_of(&tasks[2], 2);
    assert_false(kn_bus_send_tasks(&bus, 0, 1, KN_BUS_RETURN, &memory));
    struct kn_task_chain woken = chain_of(tasks, 2);
    assert_false(kn_bus_send_tasks(&bus, 0, 1, KN_BUS_WAKE, &woken));
    expect_filling(&bus, 1);
    assert_true(kn_bus_flush(&bus, 0, NULL, NULL)); /* room for one of two */
    expect_filling(&bus, DEPTH - 1);
    assert_false(kn_bus_flush(&bus, 0, NULL, NULL));
    expect(&bus, KN_BUS_WAKE, 0, 2);
    expect(&bus, KN_BUS_RETURN, 2, 2);
    expect_nothing(&bus);
    kn_bus_close(&bus);
}

enum { SENT = 200000 };

struct stream {
    struct kn_bus *bus;
    struct kn_task *tasks;
    uint64_t held_back;
};

/* Sends all tasks, one to three at a time. */
static void *send_all(void *argument)
{
    struct stream *stream = argument;
    for (unsigned next = 0, count; next < SENT; next += count) {
        count = next % 3 + 1 < SENT - next ? next % 3 + 1 : SENT - next;
        struct kn_task_chain chain = chain_of(&stream->tasks[next], count);
        if (!kn_bus_send_tasks(stream->bus, 0, 1, KN_BUS_WAKE, &chain))
            stream->held_back++;
        if (next % 4 == 0)
            (void)kn_bus_flush(stream->bus, 0, NULL, NULL);
    }
    while (kn_bus_flush(stream->bus, 0, NULL, NULL))
        sched_yield();
    return NULL;
}

static void bus_loses_nothing_between_two_threads_however_small_it_is(void **state)
{
    (void)state;
    for (size_t depth = 1; depth <= 2; depth *= 2) {
        struct kn_bus bus = open_bus(2, depth);
        struct stream stream = {.bus = &bus, .tasks = calloc(SENT, sizeof(stream.tasks[0]))};
        assert_non_null(stream.tasks);
        for (unsigned i = 0; i < SENT; i++)
            number(&stream.tasks[i], i);
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, send_all, &stream), 0);
        for (uint64_t next = 0; next < SENT;) {
            struct kn_bus_message message;
            if (receive(&bus, 0, 1, &message) < 0) {
                sched_yield();
                continue;
            }
            struct kn_task_chain chain = {.first = message.first, .last = message.last, .count = message.count};
            while (chain.count > 0)
                assert_int_equal(kn_task_chain_take(&chain)->deadline_ns, next++);
        }
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_true(stream.held_back > 0);
        expect_nothing(&bus);
        free(stream.tasks);
        kn_bus_close(&bus);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bus_refuses_what_makes_no_sense),
        cmocka_unit_test(bus_has_a_queue_for_each_ordered_pair),
        cmocka_unit_test(bus_carries_many_tasks_in_one_message),
        cmocka_unit_test(bus_answers_that_it_is_full),
        cmocka_unit_test(bus_holds_tasks_back_while_it_is_full_and_keeps_their_order),
        cmocka_unit_test(bus_owes_an_answer_that_did_not_fit),
        cmocka_unit_test(bus_holds_memory_back_apart_from_tasks),
        cmocka_unit_test(bus_loses_nothing_between_two_threads_however_small_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
