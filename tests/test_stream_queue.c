#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include <kernel/mpmc.h>
#include <kernel/sink_combine.h>
#include <kernel/spsc.h>
#include <kernel/stream_queue.h>

#include "async_harness.h"

KN_SPSC_DEFINE(numbers, int64_t);
KN_MPMC_DEFINE(contended_numbers, int64_t);

static struct kn_queue_signal queue_signal; /* of the present execution */

/* ---- every order, within one thread ---- */

static const struct harness_item items[] = {
    {0, {KN_READY, {.integer = 1}}}, {1, {KN_READY, {.integer = 2}}}, {0, {KN_READY, {.integer = 3}}}};

/* What is written is copied, so that one place for it is enough. */
static kn_value_t to_message(kn_value_t value, void *context)
{
    *(int64_t *)context = value.integer;
    return KN_VALUE(context);
}

static kn_value_t of_message(kn_value_t value, void *context)
{
    (void)context;
    return KN_VALUE(*(const int64_t *)value.pointer);
}

static void spawn_writer(struct harness *world, struct kn_sink *sink, size_t count)
{
    static int64_t message;
    harness_spawn(world, KN_IN(harness_arena(world), kn_stream_forward, harness_stream(world, items, count),
                               KN_IN(harness_arena(world), kn_sink_with, sink, to_message, &message)));
}

static void spawn_reader(struct harness *world, struct kn_stream *stream, unsigned pendings)
{
    harness_spawn(world,
                  KN_IN(harness_arena(world), kn_stream_forward, stream,
                        KN_IN(harness_arena(world), kn_sink_with, harness_sink(world, pendings, 9), of_message, NULL)));
}

/* What was read is what was written, from the first on. */
static void check_order(const struct harness *world)
{
    const int64_t *taken;
    size_t count = harness_taken(world, &taken);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(taken[i], (int64_t)i + 1);
}

static struct numbers *queue;

static void build_pair(struct harness *world, void *context)
{
    kn_queue_signal_init(&queue_signal);
    assert_int_equal(numbers_open(&queue, 1), 0);
    spawn_writer(world, KN_IN(harness_arena(world), kn_sink_writer, &queue->producer.writer, &queue_signal),
                 *(size_t *)context);
    spawn_reader(world, KN_IN(harness_arena(world), kn_stream_reader, &queue->consumer.reader, &queue_signal),
                 *(size_t *)context < 3);
}

static void check_pair(struct harness *world, unsigned task, struct kn_outcome outcome, void *context)
{
    const int64_t *taken;
    assert_int_equal(outcome.status, KN_READY);
    check_order(world);
    if (task == 1)
        assert_int_equal(harness_taken(world, &taken), *(size_t *)context);
}

static void close_queue(struct harness *world, void *context)
{
    (void)world;
    (void)context;
    numbers_close(queue);
}

static void every_message_comes_in_order_and_then_the_end(void **state)
{
    (void)state;
    struct harness_options options = {.ended = close_queue};
    for (size_t count = 0; count <= 3; count++)
        assert_true(harness_explore(build_pair, check_pair, &count, &options) < 100000);
}

/* ---- writers that compete, readers that compete ---- */

static struct contended_numbers *contended;
static struct contended_numbers_producer producers[2];
static struct contended_numbers_consumer consumers[2];

static void open_contended(size_t capacity)
{
    kn_queue_signal_init(&queue_signal);
    assert_int_equal(contended_numbers_open(&contended, capacity), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(contended_numbers_producer_join(&producers[i], &contended->sector), 0);
        assert_int_equal(contended_numbers_consumer_join(&consumers[i], &contended->sector, NULL), 0);
    }
}

/* How many of each, and how many messages of each writer. */
struct crowd {
    unsigned writers, readers;
    size_t messages;
};

static unsigned writers_done;

static void build_contended(struct harness *world, void *context)
{
    const struct crowd *crowd = context;
    open_contended(1);
    writers_done = 0;
    for (unsigned i = 0; i < crowd->writers; i++)
        spawn_writer(world, KN_IN(harness_arena(world), kn_sink_writer, &producers[i].writer, &queue_signal),
                     crowd->messages);
    for (unsigned i = 0; i < crowd->readers; i++)
        spawn_reader(world, KN_IN(harness_arena(world), kn_stream_reader, &consumers[i].reader, &queue_signal), 0);
}

/* The last of the writers that come to their end says that this is all. */
static void check_contended(struct harness *world, unsigned task, struct kn_outcome outcome, void *context)
{
    const struct crowd *crowd = context;
    const int64_t *taken;
    assert_int_equal(outcome.status, KN_READY);
    if (task >= crowd->writers)
        assert_in_range(harness_taken(world, &taken), 0, crowd->writers * crowd->messages);
    else if (++writers_done == crowd->writers)
        kn_queue_signal_close(&queue_signal);
}

static void close_contended(struct harness *world, void *context)
{
    (void)context;
    const int64_t *taken;
    size_t count = harness_taken(world, &taken);
    for (size_t i = 0; i < count; i++)
        assert_in_range(taken[i], 1, 3);
    contended_numbers_close(contended);
}

static void those_who_compete_all_come_through(void **state)
{
    (void)state;
    struct harness_options options = {.ended = close_contended};
    struct crowd two_writers = {.writers = 2, .readers = 1, .messages = 1};
    struct crowd two_readers = {.writers = 1, .readers = 2, .messages = 2};
    assert_true(harness_explore(build_contended, check_contended, &two_writers, &options) < 100000);
    assert_true(harness_explore(build_contended, check_contended, &two_readers, &options) < 100000);
}

/* One that polls by hand. */
struct hand {
    struct kn_local_executor local;
    struct kn_context context;
};

static struct kn_context *poll_of(struct hand *hand)
{
    hand->context = kn_local_executor_context(&hand->local);
    return &hand->context;
}

static struct hand hands[3];

static void start_hands(void)
{
    for (int i = 0; i < 3; i++)
        kn_local_executor_init(&hands[i].local, 0);
}

static void claim_that_is_given_up_makes_room_for_who_waits(void **state)
{
    (void)state;
    struct kn_sink_writer writers[2];
    struct kn_stream_reader reader;
    int64_t message = 8;
    open_contended(1);
    start_hands();
    struct kn_sink *first = kn_sink_writer(&writers[0], &producers[0].writer, &queue_signal);
    struct kn_sink *second = kn_sink_writer(&writers[1], &producers[1].writer, &queue_signal);
    struct kn_stream *stream = kn_stream_reader(&reader, &consumers[0].reader, &queue_signal);
    assert_int_equal(kn_sink_poll_ready(first, poll_of(&hands[0])), KN_READY);
    assert_int_equal(kn_sink_poll_ready(second, poll_of(&hands[1])), KN_PENDING);
    assert_int_equal(kn_stream_poll(stream, poll_of(&hands[2])).status, KN_PENDING);
    kn_sink_drop(first);
    assert_true(kn_local_executor_is_woken(&hands[2].local));
    assert_int_equal(kn_stream_poll(stream, poll_of(&hands[2])).status, KN_PENDING);
    assert_true(kn_local_executor_is_woken(&hands[1].local));
    assert_int_equal(kn_sink_poll_ready(second, poll_of(&hands[1])), KN_READY);
    assert_int_equal(kn_sink_start_send(second, KN_VALUE(&message)), KN_READY);
    assert_int_equal(*(int64_t *)kn_stream_poll(stream, poll_of(&hands[2])).value.pointer, 8);
    kn_stream_drop(stream);
    kn_sink_drop(second);
    contended_numbers_close(contended);
}

/* Of two that wait the first is woken and dropped: the message is the other's. */
static void reader_that_is_dropped_lets_the_next_have_its_message(void **state)
{
    (void)state;
    struct kn_stream_reader memory[2];
    struct kn_stream *streams[2];
    int64_t message = 6;
    open_contended(2);
    start_hands();
    for (int i = 0; i < 2; i++) {
        streams[i] = kn_stream_reader(&memory[i], &consumers[i].reader, &queue_signal);
        assert_int_equal(kn_stream_poll(streams[i], poll_of(&hands[i])).status, KN_PENDING);
    }
    assert_int_equal(contended_numbers_try_push(&producers[0], &message), 0);
    kn_queue_signal_published(&queue_signal, 1);
    assert_true(kn_local_executor_is_woken(&hands[0].local));
    assert_false(kn_local_executor_is_woken(&hands[1].local));
    kn_stream_drop(streams[0]);
    assert_true(kn_local_executor_is_woken(&hands[1].local));
    assert_int_equal(*(int64_t *)kn_stream_poll(streams[1], poll_of(&hands[1])).value.pointer, 6);
    kn_stream_drop(streams[1]);
    contended_numbers_close(contended);
}

/* ---- readers that see every message ---- */

static struct kn_sector sector;
static struct kn_writer sector_writer;

static void open_sector(size_t capacity)
{
    struct kn_sector_options options = {.slot_bytes = sizeof(int64_t), .capacity_slots = capacity};
    kn_queue_signal_init(&queue_signal);
    assert_int_equal(kn_sector_create(&sector, &options), 0);
    assert_int_equal(kn_writer_join(&sector_writer, &sector), 0);
    start_hands();
}

static void reader_after_another_waits_for_its_release(void **state)
{
    (void)state;
    struct kn_reader readers[2];
    struct kn_reader_options before = {.id = 1}, after = {.id = 2, .after = {1}};
    struct kn_stream_reader streams[2];
    struct kn_sink_writer memory;
    int64_t message = 4;
    open_sector(4);
    assert_int_equal(kn_reader_join(&readers[0], &sector, &before), 0);
    assert_int_equal(kn_reader_join(&readers[1], &sector, &after), 0);
    struct kn_stream *first = kn_stream_reader(&streams[0], &readers[0], &queue_signal);
    struct kn_stream *second = kn_stream_reader(&streams[1], &readers[1], &queue_signal);
    struct kn_sink *sink = kn_sink_writer(&memory, &sector_writer, &queue_signal);
    assert_int_equal(kn_stream_poll(second, poll_of(&hands[1])).status, KN_PENDING);
    assert_int_equal(kn_sink_poll_ready(sink, poll_of(&hands[2])), KN_READY);
    assert_int_equal(kn_sink_start_send(sink, KN_VALUE(&message)), KN_READY);
    assert_int_equal(kn_stream_poll(second, poll_of(&hands[1])).status, KN_PENDING);
    assert_int_equal(*(int64_t *)kn_stream_poll(first, poll_of(&hands[0])).value.pointer, 4);
    assert_int_equal(kn_stream_poll(second, poll_of(&hands[1])).status, KN_PENDING);
    assert_int_equal(kn_stream_poll(first, poll_of(&hands[0])).status, KN_PENDING);
    assert_true(kn_local_executor_is_woken(&hands[1].local));
    assert_int_equal(*(int64_t *)kn_stream_poll(second, poll_of(&hands[1])).value.pointer, 4);
    assert_int_equal(kn_sink_poll_close(sink, poll_of(&hands[2])), KN_READY);
    assert_true(kn_local_executor_is_woken(&hands[0].local));
    assert_int_equal(kn_stream_poll(first, poll_of(&hands[0])).status, KN_END);
    assert_int_equal(kn_stream_poll(second, poll_of(&hands[1])).status, KN_END);
    kn_stream_drop(first);
    kn_stream_drop(second);
    kn_sector_close(&sector);
}

static void reader_that_lagged_and_was_dropped_fails_and_ends(void **state)
{
    (void)state;
    struct kn_reader reader;
    struct kn_reader_options options = {.lag = KN_LAG_DROP};
    struct kn_stream_reader memory;
    open_sector(4);
    assert_int_equal(kn_reader_join(&reader, &sector, &options), 0);
    struct kn_stream *stream = kn_stream_reader(&memory, &reader, &queue_signal);
    for (int64_t i = 0; i < 5; i++)
        assert_int_equal(kn_writer_try_push(&sector_writer, &i), 0);
    assert_int_equal(kn_stream_poll(stream, poll_of(&hands[0])).status, -ESTALE);
    assert_int_equal(kn_stream_poll(stream, poll_of(&hands[0])).status, KN_END);
    kn_stream_drop(stream);
    kn_sector_close(&sector);
}

static void message_is_released_when_the_next_is_asked_for(void **state)
{
    (void)state;
    struct kn_stream_reader memory;
    kn_queue_signal_init(&queue_signal);
    start_hands();
    assert_int_equal(numbers_open(&queue, 2), 0);
    struct kn_stream *stream = kn_stream_reader(&memory, &queue->consumer.reader, &queue_signal);
    for (int64_t i = 0; i < 2; i++)
        assert_int_equal(numbers_try_push(&queue->producer, &i), 0);
    assert_int_equal(*(int64_t *)kn_stream_poll(stream, poll_of(&hands[0])).value.pointer, 0);
    assert_int_equal(numbers_count(queue), 2);
    assert_int_equal(*(int64_t *)kn_stream_poll(stream, poll_of(&hands[0])).value.pointer, 1);
    assert_int_equal(numbers_count(queue), 1);
    kn_stream_drop(stream);
    assert_int_equal(numbers_count(queue), 0);
    numbers_close(queue);
}

/* What was peeked and not handed out is still there for the next who reads. */
static void stream_that_is_dropped_loses_no_message(void **state)
{
    (void)state;
    struct kn_stream_reader memory;
    int64_t message = 0;
    kn_queue_signal_init(&queue_signal);
    start_hands();
    assert_int_equal(numbers_open(&queue, 4), 0);
    for (int64_t i = 0; i < 4; i++)
        assert_int_equal(numbers_try_push(&queue->producer, &i), 0);
    struct kn_stream *stream = kn_stream_reader(&memory, &queue->consumer.reader, &queue_signal);
    assert_int_equal(*(int64_t *)kn_stream_poll(stream, poll_of(&hands[0])).value.pointer, 0);
    kn_stream_drop(stream);
    for (int64_t i = 1; i < 4; i++) {
        assert_int_equal(numbers_try_pop(&queue->consumer, &message), 0);
        assert_int_equal(message, i);
    }
    numbers_close(queue);
}

/* ---- intervals ---- */

static void queue_without_a_signal_is_looked_at_again_and_again(void **state)
{
    (void)state;
    struct kn_stream_reader reader;
    struct kn_sink_writer writer;
    struct kn_stream_next next;
    struct kn_sink_send send;
    struct kn_outcome outcome;
    int64_t message = 3;
    struct kn_local_executor *local = &hands[0].local;
    start_hands();
    assert_int_equal(numbers_open(&queue, 1), 0);
    struct kn_stream *stream = kn_stream_reader_every(&reader, &queue->consumer.reader, KN_MILLISECOND_NS);
    struct kn_sink *sink = kn_sink_writer_every(&writer, &queue->producer.writer, KN_MILLISECOND_NS);
    struct kn_future *future = kn_stream_next(&next, stream);
    assert_false(kn_local_executor_poll(local, future, &outcome));
    kn_local_executor_advance(local, 2 * KN_MILLISECOND_NS);
    assert_true(kn_local_executor_is_woken(local));
    assert_false(kn_local_executor_poll(local, future, &outcome));
    assert_int_equal(numbers_try_push(&queue->producer, &message), 0);
    assert_false(kn_local_executor_is_woken(local));
    kn_local_executor_advance(local, 4 * KN_MILLISECOND_NS);
    assert_true(kn_local_executor_is_woken(local));
    assert_true(kn_local_executor_poll(local, future, &outcome));
    assert_int_equal(*(int64_t *)outcome.value.pointer, 3);

    future = kn_sink_send(&send, sink, KN_VALUE(&message));
    assert_false(kn_local_executor_poll(local, future, &outcome));
    kn_stream_drop(stream);
    kn_local_executor_advance(local, 6 * KN_MILLISECOND_NS);
    assert_true(kn_local_executor_poll(local, future, &outcome));
    assert_int_equal(numbers_count(queue), 1);
    assert_int_equal(kn_local_executor_context(local).executor->pins, 0);
    kn_sink_drop(sink);
    numbers_close(queue);
}

static void wait_that_is_dropped_leaves_no_timer(void **state)
{
    (void)state;
    struct kn_stream_reader reader;
    start_hands();
    assert_int_equal(numbers_open(&queue, 1), 0);
    struct kn_stream *stream = kn_stream_reader_every(&reader, &queue->consumer.reader, 0);
    assert_int_equal(kn_stream_poll(stream, poll_of(&hands[0])).status, KN_PENDING);
    assert_int_equal(hands[0].local.executor.pins, 1);
    kn_stream_drop(stream);
    kn_stream_drop(stream);
    assert_int_equal(hands[0].local.executor.pins, 0);
    assert_true(kn_timer_wheel_next_ns(&hands[0].local.wheel) == KN_NEVER);
    numbers_close(queue);
}

/* ---- mailboxes ---- */

struct letter {
    struct kn_mailbox_node node;
    int64_t number;
};

static struct kn_mailbox mailbox;
static struct letter letters[4];

static kn_value_t to_letter(kn_value_t value, void *context)
{
    (void)context;
    letters[value.integer].number = value.integer;
    return KN_VALUE(&letters[value.integer].node);
}

static kn_value_t of_letter(kn_value_t value, void *context)
{
    (void)context;
    return KN_VALUE(KN_CONTAINER_OF((struct kn_mailbox_node *)value.pointer, struct letter, node)->number);
}

static void build_mailbox(struct harness *world, void *context)
{
    (void)context;
    struct kn_arena *arena = harness_arena(world);
    kn_queue_signal_init(&queue_signal);
    kn_mailbox_init(&mailbox);
    harness_spawn(world, KN_IN(arena, kn_stream_forward, harness_stream(world, items, 3),
                               KN_IN(arena, kn_sink_with, KN_IN(arena, kn_sink_mailbox, &mailbox, &queue_signal),
                                     to_letter, NULL)));
    harness_spawn(world, KN_IN(arena, kn_stream_forward, KN_IN(arena, kn_stream_mailbox, &mailbox, &queue_signal),
                               KN_IN(arena, kn_sink_with, harness_sink(world, 1, 9), of_letter, NULL)));
}

static void check_mailbox(struct harness *world, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)context;
    const int64_t *taken;
    assert_int_equal(outcome.status, KN_READY);
    check_order(world);
    if (task == 0)
        kn_queue_signal_close(&queue_signal);
    else
        assert_int_equal(harness_taken(world, &taken), 3);
}

static void letters_come_in_order_and_then_the_end(void **state)
{
    (void)state;
    assert_true(harness_explore(build_mailbox, check_mailbox, NULL, NULL) < 100000);
}

/* ---- threads ---- */

enum { MESSAGES = 8000 };

static void *write_messages(void *argument)
{
    struct contended_numbers_producer *producer = argument;
    struct kn_sink_writer memory;
    struct kn_sink *sink = kn_sink_writer(&memory, &producer->writer, &queue_signal);
    for (int64_t i = 1; i <= MESSAGES; i++) {
        struct kn_sink_send send;
        if (kn_block_on(kn_sink_send(&send, sink, KN_VALUE(&i)), -1).status != KN_READY)
            break;
    }
    kn_sink_drop(sink);
    return NULL;
}

/* The sum of what it reads. */
static void *read_messages(void *argument)
{
    struct contended_numbers_consumer *consumer = argument;
    struct kn_stream_reader memory;
    struct kn_stream *stream = kn_stream_reader(&memory, &consumer->reader, &queue_signal);
    int64_t sum = 0;
    for (;;) {
        struct kn_stream_next next;
        struct kn_outcome outcome = kn_block_on(kn_stream_next(&next, stream), -1);
        if (outcome.status != KN_READY)
            break;
        sum += *(int64_t *)outcome.value.pointer;
    }
    kn_stream_drop(stream);
    return (void *)(intptr_t)sum;
}

static void threads_that_compete_get_every_message_once(void **state)
{
    (void)state;
    pthread_t writers[2], readers[2];
    int64_t sum = 0;
    open_contended(4);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&readers[i], NULL, read_messages, &consumers[i]), 0);
        assert_int_equal(pthread_create(&writers[i], NULL, write_messages, &producers[i]), 0);
    }
    for (int i = 0; i < 2; i++)
        pthread_join(writers[i], NULL);
    kn_queue_signal_close(&queue_signal);
    for (int i = 0; i < 2; i++) {
        void *part;
        pthread_join(readers[i], &part);
        sum += (intptr_t)part;
    }
    assert_int_equal(sum, (int64_t)MESSAGES * (MESSAGES + 1));
    contended_numbers_close(contended);
}

/* A thread that knows nothing of tasks but the signal, and pushes in batches. */
static void *push_letters(void *argument)
{
    struct letter *mine = argument;
    for (int64_t i = 0; i < MESSAGES; i++) {
        kn_mailbox_push(&mailbox, &mine[i].node);
        if (i % 7 == 6 || i == MESSAGES - 1)
            kn_queue_signal_published(&queue_signal, 1);
    }
    return NULL;
}

static void threads_push_into_a_mailbox_that_a_task_reads(void **state)
{
    (void)state;
    static struct letter mine[2][MESSAGES];
    pthread_t threads[2];
    struct kn_stream_mailbox memory;
    kn_queue_signal_init(&queue_signal);
    kn_mailbox_init(&mailbox);
    struct kn_stream *stream = kn_stream_mailbox(&memory, &mailbox, &queue_signal);
    for (int i = 0; i < 2; i++) {
        for (int64_t j = 0; j < MESSAGES; j++)
            mine[i][j].number = i * MESSAGES + j;
        assert_int_equal(pthread_create(&threads[i], NULL, push_letters, mine[i]), 0);
    }
    int64_t next[2] = {0, MESSAGES};
    for (int64_t i = 0; i < 2 * MESSAGES; i++) {
        struct kn_stream_next future;
        struct kn_outcome outcome = kn_block_on(kn_stream_next(&future, stream), -1);
        assert_int_equal(outcome.status, KN_READY);
        int64_t number = of_letter(outcome.value, NULL).integer;
        assert_int_equal(number, next[number / MESSAGES]++);
    }
    kn_stream_drop(stream);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
}

static void missing_memory_makes_null(void **state)
{
    (void)state;
    struct kn_stream_mailbox memory;
    kn_mailbox_init(&mailbox);
    assert_null(kn_stream_mailbox(&memory, &mailbox, NULL));
    assert_null(kn_sink_mailbox(NULL, &mailbox, &queue_signal));
    assert_null(kn_stream_reader(NULL, NULL, &queue_signal));
    assert_null(kn_sink_writer_every(NULL, NULL, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_comes_in_order_and_then_the_end),
        cmocka_unit_test(those_who_compete_all_come_through),
        cmocka_unit_test(claim_that_is_given_up_makes_room_for_who_waits),
        cmocka_unit_test(reader_after_another_waits_for_its_release),
        cmocka_unit_test(reader_that_lagged_and_was_dropped_fails_and_ends),
        cmocka_unit_test(message_is_released_when_the_next_is_asked_for),
        cmocka_unit_test(stream_that_is_dropped_loses_no_message),
        cmocka_unit_test(queue_without_a_signal_is_looked_at_again_and_again),
        cmocka_unit_test(wait_that_is_dropped_leaves_no_timer),
        cmocka_unit_test(letters_come_in_order_and_then_the_end),
        cmocka_unit_test(threads_that_compete_get_every_message_once),
        cmocka_unit_test(threads_push_into_a_mailbox_that_a_task_reads),
        cmocka_unit_test(missing_memory_makes_null),
        cmocka_unit_test(reader_that_is_dropped_lets_the_next_have_its_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
