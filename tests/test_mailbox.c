/* The mailbox: many producers, one consumer, linked through the messages. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <kernel/mailbox.h>

struct letter {
    uint64_t producer;
    uint64_t number;
    struct kn_mailbox_node node;
    struct kn_mailbox_node other_node;
    uint64_t check;
};
KN_MAILBOX_DEFINE(letters, struct letter, node);
KN_MAILBOX_DEFINE(others, struct letter, other_node);

/* Pops the letter of this number. */
static void expect(struct letters *mailbox, uint64_t number)
{
    struct letter *letter;
    assert_int_equal(letters_try_pop(mailbox, &letter), 0);
    assert_non_null(letter);
    assert_int_equal(letter->number, number);
}

static void expect_empty(struct letters *mailbox)
{
    struct letter *letter = (void *)mailbox;
    assert_true(letters_is_empty(mailbox));
    assert_int_equal(letters_try_pop(mailbox, &letter), -EAGAIN);
    assert_null(letter);
}

static void mailbox_gives_back_what_was_pushed_in_order(void **state)
{
    (void)state;
    struct letters mailbox;
    struct letter letters[100];
    letters_init(&mailbox);
    for (uint64_t i = 0; i < 100; i++) {
        letters[i].number = i;
        letters_push(&mailbox, &letters[i]);
    }
    for (size_t i = 0; i < 100; i++) {
        struct letter *letter;
        assert_int_equal(letters_try_pop(&mailbox, &letter), 0);
        assert_ptr_equal(letter, &letters[i]);
        assert_int_equal(letter->number, i);
    }
    expect_empty(&mailbox);
}

static void mailbox_answers_empty_without_blocking(void **state)
{
    (void)state;
    struct letters mailbox;
    struct letter letter;
    struct letter *many[4];
    letters_init(&mailbox);
    for (uint64_t lap = 0; lap < 5; lap++) {
        expect_empty(&mailbox);
        assert_int_equal(letters_pop_many(&mailbox, many, 4), 0);
        letter.number = lap;
        letters_push(&mailbox, &letter);
        assert_false(letters_is_empty(&mailbox));
        assert_int_equal(letters_pop_many(&mailbox, many, 0), 0);
        expect(&mailbox, lap);
    }
    expect_empty(&mailbox);
}

/* What kn_mailbox_push does before its link, so that a test can stand in between. */
static struct kn_mailbox_node *exchange_without_link(struct letters *mailbox, struct letter *letter)
{
    atomic_store_explicit(&letter->node.next, NULL, memory_order_relaxed);
    return atomic_exchange_explicit(&mailbox->mailbox.producers.newest, &letter->node, memory_order_acq_rel);
}

static void expect_busy(struct letters *mailbox)
{
    struct letter *letter = (void *)mailbox;
    assert_false(letters_is_empty(mailbox));
    assert_int_equal(letters_try_pop(mailbox, &letter), -EBUSY);
    assert_null(letter);
    assert_int_equal(letters_pop_many(mailbox, &letter, 1), 0);
}

static void mailbox_answers_busy_while_the_first_producer_has_yet_to_link(void **state)
{
    (void)state;
    struct letters mailbox;
    struct letter letters[2] = {{.number = 0}, {.number = 1}};
    letters_init(&mailbox);
    struct kn_mailbox_node *previous = exchange_without_link(&mailbox, &letters[0]);
    expect_busy(&mailbox);
    letters_push(&mailbox, &letters[1]);
    expect_busy(&mailbox);
    atomic_store_explicit(&previous->next, &letters[0].node, memory_order_release);
    expect(&mailbox, 0);
    expect(&mailbox, 1);
    expect_empty(&mailbox);
}

static void mailbox_answers_busy_while_the_successor_of_the_oldest_has_yet_to_be_linked(void **state)
{
    (void)state;
    struct letters mailbox;
    struct letter letters[3] = {{.number = 0}, {.number = 1}, {.number = 2}};
    letters_init(&mailbox);
    letters_push(&mailbox, &letters[0]);
    struct kn_mailbox_node *previous = exchange_without_link(&mailbox, &letters[1]);
    assert_ptr_equal(previous, &letters[0].node);
    expect_busy(&mailbox);
    expect_busy(&mailbox);
    letters_push(&mailbox, &letters[2]);
    expect_busy(&mailbox);
    atomic_store_explicit(&previous->next, &letters[1].node, memory_order_release);
    for (uint64_t i = 0; i < 3; i++)
        expect(&mailbox, i);
    expect_empty(&mailbox);
}

static void mailbox_pushes_a_chain_in_one_piece(void **state)
{
    (void)state;
    struct letters mailbox;
    struct letter letters[6];
    letters_init(&mailbox);
    for (uint64_t i = 0; i < 6; i++)
        letters[i].number = i;
    letters_push(&mailbox, &letters[0]);
    struct letters_chain chain = {0};
    letters_push_chain(&mailbox, &chain);
    for (size_t i = 1; i < 4; i++)
        letters_chain_append(&chain, &letters[i]);
    assert_ptr_equal(chain.chain.first, &letters[1].node);
    assert_ptr_equal(chain.chain.last, &letters[3].node);
    letters_push_chain(&mailbox, &chain);
    assert_null(chain.chain.first);
    assert_null(chain.chain.last);
    letters_chain_append(&chain, &letters[4]);
    letters_push_chain(&mailbox, &chain);
    letters_push(&mailbox, &letters[5]);
    for (uint64_t i = 0; i < 6; i++)
        expect(&mailbox, i);
    expect_empty(&mailbox);
}

static void mailbox_pushes_and_pops_many(void **state)
{
    (void)state;
    struct letters mailbox;
    struct letter letters[10];
    struct letter *many[10];
    letters_init(&mailbox);
    for (uint64_t i = 0; i < 10; i++) {
        letters[i].number = i;
        many[i] = &letters[i];
    }
    letters_push_many(&mailbox, many, 0);
    expect_empty(&mailbox);
    letters_push_many(&mailbox, many, 7);
    letters_push_many(&mailbox, many + 7, 3);
    struct letter *out[10] = {0};
    assert_int_equal(letters_pop_many(&mailbox, out, 4), 4);
    assert_null(out[4]);
    assert_int_equal(letters_pop_many(&mailbox, out + 4, 10 - 4), 6);
    for (size_t i = 0; i < 10; i++)
        assert_ptr_equal(out[i], &letters[i]);
    expect_empty(&mailbox);
}

static void mailbox_interleaves_both_ends_in_any_pattern(void **state)
{
    (void)state;
    enum { LETTERS = 16 };
    struct letters mailbox;
    struct letter letters[LETTERS];
    uint64_t pushed = 0;
    uint64_t popped = 0;
    uint32_t random = 1;
    letters_init(&mailbox);
    for (size_t step = 0; step < 20000; step++) {
        random = random * 1664525 + 1013904223;
        struct letters_chain chain = {0};
        for (uint32_t count = random >> 28; count > 0 && pushed - popped < LETTERS; count--, pushed++) {
            letters[pushed % LETTERS].number = pushed;
            if (random & 1 << 20)
                letters_chain_append(&chain, &letters[pushed % LETTERS]);
            else
                letters_push(&mailbox, &letters[pushed % LETTERS]);
        }
        letters_push_chain(&mailbox, &chain);
        for (uint32_t count = random >> 24 & 15; count > 0 && popped < pushed; count--)
            expect(&mailbox, popped++);
        assert_int_equal(letters_is_empty(&mailbox), pushed == popped);
    }
}

static void mailbox_lets_a_node_be_pushed_again_as_soon_as_it_was_popped(void **state)
{
    (void)state;
    struct letters mailbox;
    struct letter letters[2] = {{.number = 0}, {.number = 1}};
    letters_init(&mailbox);
    for (size_t count = 1; count <= 2; count++) {
        for (size_t i = 0; i < count; i++)
            letters_push(&mailbox, &letters[i]);
        for (size_t i = 0; i < 100; i++) {
            struct letter *letter;
            assert_int_equal(letters_try_pop(&mailbox, &letter), 0);
            assert_ptr_equal(letter, &letters[i % count]);
            letter->node.next = (void *)letter; /* nothing of the last time may matter */
            letters_push(&mailbox, letter);
        }
        struct letter *many[2];
        assert_int_equal(letters_pop_many(&mailbox, many, 2), count);
    }
    expect_empty(&mailbox);
}

static void mailbox_carries_a_message_in_two_mailboxes_at_once(void **state)
{
    (void)state;
    struct letters letters;
    struct others others;
    struct letter letter = {.number = 7};
    struct letter *popped;
    letters_init(&letters);
    others_init(&others);
    letters_push(&letters, &letter);
    others_push(&others, &letter);
    assert_int_equal(others_try_pop(&others, &popped), 0);
    assert_ptr_equal(popped, &letter);
    assert_int_equal(letters_try_pop(&letters, &popped), 0);
    assert_ptr_equal(popped, &letter);
}

static void mailbox_takes_bare_nodes_too(void **state)
{
    (void)state;
    struct kn_mailbox mailbox;
    struct letter letters[3] = {{.number = 0}, {.number = 1}, {.number = 2}};
    struct kn_mailbox_node *nodes[] = {&letters[0].node, &letters[1].node, &letters[2].node};
    struct kn_mailbox_node *out[3] = {0};
    kn_mailbox_init(&mailbox);
    kn_mailbox_push_many(&mailbox, nodes, 2);
    kn_mailbox_push(&mailbox, nodes[2]);
    assert_int_equal(kn_mailbox_pop_many(&mailbox, out, 3), 3);
    for (size_t i = 0; i < 3; i++)
        assert_ptr_equal(KN_CONTAINER_OF(out[i], struct letter, node), &letters[i]);
    assert_true(kn_mailbox_is_empty(&mailbox));
}

static void mailbox_keeps_producers_and_consumer_on_lines_of_their_own(void **state)
{
    (void)state;
    size_t producers = offsetof(struct kn_mailbox, producers);
    size_t consumer = offsetof(struct kn_mailbox, consumer);
    assert_int_equal(producers % KN_OWNER_STRIDE, 0);
    assert_int_equal(consumer % KN_OWNER_STRIDE, 0);
    assert_true(consumer >= producers + KN_OWNER_STRIDE);
    assert_true(sizeof(struct kn_mailbox) >= consumer + KN_OWNER_STRIDE);
}

enum { PRODUCERS = 4, STRESS_MESSAGES = 300000, POOL = 24, BATCH = 5 };

/* A function of the letter, so that a torn or stale one shows. */
static uint64_t mark(uint64_t producer, uint64_t number)
{
    return (number * PRODUCERS + producer + 1) * UINT64_C(0x9E3779B97F4A7C15);
}

/* A producer, with the letters it has and the mailbox in which it gets them back. */
struct writer {
    struct letters *mailbox;
    struct letters returned;
    struct letter pool[POOL];
    uint64_t producer;
};

/* Gets 1..count letters back, waiting for the first. */
static size_t take_returned(struct writer *writer, struct letter **letters, size_t count)
{
    size_t taken;
    while ((taken = letters_pop_many(&writer->returned, letters, count)) == 0)
        sched_yield();
    return taken;
}

static void *write_letters(void *argument)
{
    struct writer *writer = argument;
    uint64_t number = 0;
    while (number < STRESS_MESSAGES) {
        struct letter *batch[BATCH];
        size_t wanted = 1 + number % BATCH;
        if (wanted > STRESS_MESSAGES - number)
            wanted = STRESS_MESSAGES - number;
        size_t count = take_returned(writer, batch, wanted);
        for (size_t i = 0; i < count; i++, number++) {
            batch[i]->producer = writer->producer;
            batch[i]->number = number;
            batch[i]->check = mark(writer->producer, number);
        }
        if (number % 3 == 0)
            letters_push_many(writer->mailbox, batch, count);
        else
            for (size_t i = 0; i < count; i++)
                letters_push(writer->mailbox, batch[i]);
    }
    return NULL;
}

/* Reads and returns letters until all have come, or more. Answers how many were not as they must be. */
static uint64_t read_letters(struct letters *mailbox, struct writer *writers)
{
    uint64_t expected[PRODUCERS] = {0};
    uint64_t wrong = 0;
    for (uint64_t received = 0; received < (uint64_t)PRODUCERS * STRESS_MESSAGES;) {
        struct letter *batch[BATCH];
        size_t count = letters_pop_many(mailbox, batch, 1 + received % BATCH);
        if (count == 0)
            sched_yield();
        received += count;
        for (size_t i = 0; i < count; i++) {
            uint64_t producer = batch[i]->producer;
            assert_true(producer < PRODUCERS);
            wrong += batch[i]->number != expected[producer]++;
            wrong += batch[i]->check != mark(producer, batch[i]->number);
            letters_push(&writers[producer].returned, batch[i]);
        }
    }
    for (size_t i = 0; i < PRODUCERS; i++)
        wrong += expected[i] != STRESS_MESSAGES;
    return wrong;
}

static void mailbox_delivers_every_message_once_and_in_each_producers_order_across_threads(void **state)
{
    (void)state;
    struct letters mailbox;
    struct writer *writers = aligned_alloc(KN_OWNER_STRIDE, PRODUCERS * sizeof(*writers));
    pthread_t threads[PRODUCERS];
    assert_non_null(writers);
    letters_init(&mailbox);
    for (size_t i = 0; i < PRODUCERS; i++) {
        writers[i].mailbox = &mailbox;
        writers[i].producer = i;
        letters_init(&writers[i].returned);
        for (size_t j = 0; j < POOL; j++)
            letters_push(&writers[i].returned, &writers[i].pool[j]);
        assert_int_equal(pthread_create(&threads[i], NULL, write_letters, &writers[i]), 0);
    }
    uint64_t wrong = read_letters(&mailbox, writers);
    for (size_t i = 0; i < PRODUCERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(wrong, 0);
    expect_empty(&mailbox);
    for (size_t i = 0; i < PRODUCERS; i++) {
        struct letter *letters[POOL + 1];
        assert_int_equal(letters_pop_many(&writers[i].returned, letters, POOL + 1), POOL);
    }
    free(writers);
}

static void *write_letters_to_be_freed(void *argument)
{
    struct letters *mailbox = argument;
    for (uint64_t number = 0; number < 3; number++) {
        struct letter *letter = malloc(sizeof(*letter));
        if (!letter)
            abort();
        letter->number = number;
        letters_push(mailbox, letter);
    }
    return NULL;
}

static void mailbox_may_be_freed_with_its_messages_when_the_last_of_each_producer_was_popped(void **state)
{
    (void)state;
    for (size_t round = 0; round < 300; round++) {
        struct letters *mailbox = aligned_alloc(KN_OWNER_STRIDE, sizeof(*mailbox));
        pthread_t threads[2];
        assert_non_null(mailbox);
        letters_init(mailbox);
        for (size_t i = 0; i < 2; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, write_letters_to_be_freed, mailbox), 0);
        uint64_t sum = 0;
        for (size_t received = 0; received < 6;) {
            struct letter *letter;
            if (letters_try_pop(mailbox, &letter) < 0) {
                sched_yield();
                continue;
            }
            received++;
            sum += letter->number;
            free(letter);
        }
        free(mailbox);
        assert_int_equal(sum, 6);
        for (size_t i = 0; i < 2; i++)
            pthread_join(threads[i], NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mailbox_gives_back_what_was_pushed_in_order),
        cmocka_unit_test(mailbox_answers_empty_without_blocking),
        cmocka_unit_test(mailbox_answers_busy_while_the_first_producer_has_yet_to_link),
        cmocka_unit_test(mailbox_answers_busy_while_the_successor_of_the_oldest_has_yet_to_be_linked),
        cmocka_unit_test(mailbox_pushes_a_chain_in_one_piece),
        cmocka_unit_test(mailbox_pushes_and_pops_many),
        cmocka_unit_test(mailbox_interleaves_both_ends_in_any_pattern),
        cmocka_unit_test(mailbox_lets_a_node_be_pushed_again_as_soon_as_it_was_popped),
        cmocka_unit_test(mailbox_carries_a_message_in_two_mailboxes_at_once),
        cmocka_unit_test(mailbox_takes_bare_nodes_too),
        cmocka_unit_test(mailbox_keeps_producers_and_consumer_on_lines_of_their_own),
        cmocka_unit_test(mailbox_delivers_every_message_once_and_in_each_producers_order_across_threads),
        cmocka_unit_test(mailbox_may_be_freed_with_its_messages_when_the_last_of_each_producer_was_popped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
