/* The queue of messages of varying size: one producer, one consumer. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <kernel/spsc_bytes.h>

enum { CAPACITY = 4096 };

static struct kn_spsc_bytes *open_queue(size_t capacity_bytes)
{
    struct kn_spsc_bytes *queue;
    assert_int_equal(kn_spsc_bytes_open(&queue, &(struct kn_spsc_bytes_options){capacity_bytes}), 0);
    return queue;
}

/* Message number n: its length and every byte follow from n. */
static size_t length_of(uint64_t number)
{
    return (number * 2654435761u >> 7) % 300;
}

static uint8_t byte_of(uint64_t number, size_t index)
{
    return (uint8_t)(number * 31 + index * 7 + 0x80);
}

static int push(struct kn_spsc_bytes *queue, uint64_t number)
{
    void *space;
    int result = kn_spsc_bytes_claim(queue, length_of(number), &space);
    if (result < 0)
        return result;
    for (size_t i = 0; i < length_of(number); i++)
        ((uint8_t *)space)[i] = byte_of(number, i);
    return kn_spsc_bytes_stage(queue, length_of(number));
}

/* Peeks one message and counts what differs from number n. */
static int peek_and_compare(struct kn_spsc_bytes *queue, uint64_t number, uint64_t *wrong)
{
    const void *message;
    size_t length;
    int result = kn_spsc_bytes_peek(queue, &message, &length);
    if (result < 0)
        return result;
    *wrong += length != length_of(number);
    for (size_t i = 0; i < length; i++)
        *wrong += ((const uint8_t *)message)[i] != byte_of(number, i);
    return 0;
}

static void bytes_come_out_as_they_went_in(void **state)
{
    (void)state;
    struct kn_spsc_bytes *queue = open_queue(CAPACITY);
    uint64_t wrong = 0;
    for (uint64_t number = 0; number < 5000; number++) {
        assert_int_equal(push(queue, number), 0);
        kn_spsc_bytes_flush(queue);
        assert_int_equal(peek_and_compare(queue, number, &wrong), 0);
        assert_int_equal(kn_spsc_bytes_release(queue), 0);
    }
    assert_int_equal(wrong, 0);
    kn_spsc_bytes_close(queue);
}

static void bytes_fill_and_drain_at_every_phase_of_the_ring(void **state)
{
    (void)state;
    struct kn_spsc_bytes *queue = open_queue(CAPACITY);
    uint64_t sent = 0;
    uint64_t received = 0;
    uint64_t wrong = 0;
    for (unsigned lap = 0; lap < 500; lap++) {
        while (push(queue, sent) == 0) {
            kn_spsc_bytes_flush(queue);
            sent++;
        }
        assert_true(sent > received);
        while (peek_and_compare(queue, received, &wrong) == 0)
            received++;
        assert_int_equal(sent, received);
        assert_int_equal(kn_spsc_bytes_release(queue), 0);
    }
    assert_int_equal(wrong, 0);
    kn_spsc_bytes_close(queue);
}

static void bytes_hold_empty_messages(void **state)
{
    (void)state;
    struct kn_spsc_bytes *queue = open_queue(CAPACITY);
    void *space;
    const void *message;
    size_t length = 99;
    assert_int_equal(kn_spsc_bytes_claim(queue, 0, &space), 0);
    assert_int_equal(kn_spsc_bytes_publish(queue, 0), 0);
    assert_int_equal(kn_spsc_bytes_peek(queue, &message, &length), 0);
    assert_int_equal(length, 0);
    assert_int_equal(kn_spsc_bytes_peek(queue, &message, &length), -EAGAIN);
    kn_spsc_bytes_close(queue);
}

static void bytes_publish_less_than_claimed(void **state)
{
    (void)state;
    struct kn_spsc_bytes *queue = open_queue(CAPACITY);
    void *space;
    const void *message;
    size_t length;
    for (unsigned i = 0; i < 1000; i++) {
        assert_int_equal(kn_spsc_bytes_claim(queue, 2000, &space), 0);
        memset(space, 0xFF, 2000); /* what is not published must not be taken for a header later */
        assert_int_equal(kn_spsc_bytes_publish(queue, i % 20), 0);
        assert_int_equal(kn_spsc_bytes_peek(queue, &message, &length), 0);
        assert_int_equal(length, i % 20);
        assert_int_equal(kn_spsc_bytes_peek(queue, &message, &length), -EAGAIN);
        assert_int_equal(kn_spsc_bytes_release(queue), 0);
    }
    kn_spsc_bytes_close(queue);
}

static void bytes_staged_are_invisible_until_flushed(void **state)
{
    (void)state;
    struct kn_spsc_bytes *queue = open_queue(CAPACITY);
    const void *message;
    size_t length;
    uint64_t wrong = 0;
    for (uint64_t number = 0; number < 8; number++) {
        assert_int_equal(push(queue, number), 0);
        assert_int_equal(kn_spsc_bytes_peek(queue, &message, &length), -EAGAIN);
    }
    kn_spsc_bytes_flush(queue);
    kn_spsc_bytes_flush(queue);
    for (uint64_t number = 0; number < 8; number++)
        assert_int_equal(peek_and_compare(queue, number, &wrong), 0);
    assert_int_equal(kn_spsc_bytes_peek(queue, &message, &length), -EAGAIN);
    assert_int_equal(wrong, 0);
    kn_spsc_bytes_close(queue);
}

static void bytes_peeked_stay_until_released(void **state)
{
    (void)state;
    struct kn_spsc_bytes *queue = open_queue(CAPACITY);
    void *space;
    const void *message;
    size_t length;
    size_t half = kn_spsc_bytes_message_max(queue) / 2;
    assert_int_equal(kn_spsc_bytes_claim(queue, half, &space), 0);
    memset(space, 'a', half);
    assert_int_equal(kn_spsc_bytes_publish(queue, half), 0);
    assert_int_equal(kn_spsc_bytes_peek(queue, &message, &length), 0);
    assert_int_equal(kn_spsc_bytes_claim(queue, half + 16, &space), -EAGAIN);
    assert_null(space);
    for (size_t i = 0; i < length; i++)
        assert_int_equal(((const uint8_t *)message)[i], 'a');
    assert_int_equal(kn_spsc_bytes_release(queue), 0);
    assert_int_equal(kn_spsc_bytes_claim(queue, half + 16, &space), 0);
    kn_spsc_bytes_close(queue);
}

static void bytes_accept_the_longest_message_and_refuse_one_longer(void **state)
{
    (void)state;
    struct kn_spsc_bytes *queue = open_queue(CAPACITY);
    size_t longest = kn_spsc_bytes_message_max(queue);
    void *space;
    const void *message;
    size_t length;
    assert_int_equal(kn_spsc_bytes_claim(queue, longest + 1, &space), -EMSGSIZE);
    assert_int_equal(kn_spsc_bytes_claim(queue, SIZE_MAX, &space), -EMSGSIZE);
    for (unsigned lap = 0; lap < 10; lap++) {
        assert_int_equal(kn_spsc_bytes_claim(queue, longest, &space), 0);
        memset(space, (int)lap + 1, longest);
        assert_int_equal(kn_spsc_bytes_publish(queue, longest), 0);
        assert_int_equal(kn_spsc_bytes_claim(queue, 0, &space), -EAGAIN);
        assert_int_equal(kn_spsc_bytes_peek(queue, &message, &length), 0);
        assert_int_equal(length, longest);
        for (size_t i = 0; i < length; i++)
            assert_int_equal(((const uint8_t *)message)[i], lap + 1);
        assert_int_equal(kn_spsc_bytes_release(queue), 0);
    }
    kn_spsc_bytes_close(queue);
}

static void bytes_refuse_calls_out_of_turn(void **state)
{
    (void)state;
    struct kn_spsc_bytes *queue = open_queue(CAPACITY);
    void *space;
    const void *message;
    size_t length;
    assert_int_equal(kn_spsc_bytes_publish(queue, 0), -EINVAL);
    assert_int_equal(kn_spsc_bytes_release(queue), -EINVAL);
    assert_int_equal(kn_spsc_bytes_claim(queue, 8, &space), 0);
    assert_int_equal(kn_spsc_bytes_publish(queue, 9), -EINVAL);
    assert_int_equal(kn_spsc_bytes_peek(queue, &message, &length), -EAGAIN);
    assert_int_equal(kn_spsc_bytes_publish(queue, 8), 0);
    assert_int_equal(kn_spsc_bytes_publish(queue, 0), -EINVAL);
    assert_int_equal(kn_spsc_bytes_peek(queue, &message, &length), 0);
    assert_int_equal(kn_spsc_bytes_release(queue), 0);
    assert_int_equal(kn_spsc_bytes_release(queue), -EINVAL);
    kn_spsc_bytes_close(queue);
}

static void bytes_refuse_bad_capacities(void **state)
{
    (void)state;
    const size_t bad[] = {0, 1, 64, 4095, 4097, 12288, SIZE_MAX, (size_t)1 << 63};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct kn_spsc_bytes *queue = (void *)&state;
        assert_int_equal(kn_spsc_bytes_open(&queue, &(struct kn_spsc_bytes_options){bad[i]}), -EINVAL);
        assert_null(queue);
        kn_spsc_bytes_close(queue);
    }
}

enum { STRESS_MESSAGES = 150000 };

static void *produce(void *argument)
{
    struct kn_spsc_bytes *queue = argument;
    for (uint64_t number = 0; number < STRESS_MESSAGES;) {
        uint64_t batch_end = number + 1 + number % 5;
        while (number < batch_end && number < STRESS_MESSAGES && push(queue, number) == 0)
            number++;
        kn_spsc_bytes_flush(queue);
        kn_cpu_relax();
    }
    return NULL;
}

static void bytes_arrive_whole_and_in_order_across_threads(void **state)
{
    (void)state;
    struct kn_spsc_bytes *queue = open_queue(CAPACITY);
    pthread_t producer;
    assert_int_equal(pthread_create(&producer, NULL, produce, queue), 0);
    uint64_t wrong = 0;
    for (uint64_t number = 0; number < STRESS_MESSAGES;) {
        uint64_t before = number;
        while (number - before < 3 && number < STRESS_MESSAGES && peek_and_compare(queue, number, &wrong) == 0)
            number++;
        if (number == before)
            kn_cpu_relax();
        else
            wrong += kn_spsc_bytes_release(queue) != 0;
    }
    pthread_join(producer, NULL);
    assert_int_equal(wrong, 0);
    kn_spsc_bytes_close(queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_come_out_as_they_went_in),
        cmocka_unit_test(bytes_fill_and_drain_at_every_phase_of_the_ring),
        cmocka_unit_test(bytes_hold_empty_messages),
        cmocka_unit_test(bytes_publish_less_than_claimed),
        cmocka_unit_test(bytes_staged_are_invisible_until_flushed),
        cmocka_unit_test(bytes_peeked_stay_until_released),
        cmocka_unit_test(bytes_accept_the_longest_message_and_refuse_one_longer),
        cmocka_unit_test(bytes_refuse_calls_out_of_turn),
        cmocka_unit_test(bytes_refuse_bad_capacities),
        cmocka_unit_test(bytes_arrive_whole_and_in_order_across_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
