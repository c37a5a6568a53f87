/* What becomes of a sector whose processes are killed: at a chosen step, and at every instruction of an operation. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <kernel/reader.h>
#include <kernel/writer.h>

#include "torture.h"

enum { CAPACITY = 8, CURSORS_MAX = 6, CHILDRENS = 1000 };

/* ---- what the tests are made of ---- */

static struct kn_sector open_sector(enum kn_writers writers, enum kn_readers readers)
{
    struct kn_sector sector;
    const struct kn_sector_options options = {.slot_bytes = sizeof(uint64_t),
                                              .capacity_slots = CAPACITY,
                                              .writers = writers,
                                              .readers = readers,
                                              .cursors_max = CURSORS_MAX,
                                              .shared = true};
    assert_int_equal(kn_sector_create(&sector, &options), 0);
    return sector;
}

static void join_writer(struct kn_writer *writer, const struct kn_sector *sector)
{
    assert_int_equal(kn_writer_join(writer, sector), 0);
}

static void join_reader(struct kn_reader *reader, const struct kn_sector *sector, uint64_t id, uint64_t group)
{
    const struct kn_reader_options options = {.id = id, .group = group};
    assert_int_equal(kn_reader_join(reader, sector, &options), 0);
}

static void push(struct kn_writer *writer, uint64_t first, uint64_t last)
{
    for (uint64_t number = first; number <= last; number++)
        assert_int_equal(kn_writer_try_push(writer, &number), 0);
}

static void expect_full(struct kn_writer *writer)
{
    assert_int_equal(kn_writer_try_push(writer, &(uint64_t){0}), -EAGAIN);
}

static void expect_empty(struct kn_reader *reader)
{
    assert_int_equal(kn_reader_try_pop(reader, &(uint64_t){0}), -EAGAIN);
}

static void expect(struct kn_reader *reader, uint64_t first, uint64_t last)
{
    for (uint64_t number = first; number <= last; number++) {
        uint64_t popped;
        assert_int_equal(kn_reader_try_pop(reader, &popped), 0);
        assert_int_equal(popped, number);
    }
}

static void kill_after(torture_part *part, struct kn_sector *sector)
{
    assert_true(torture_perish(part, sector));
}

/* ---- parts that children play ---- */

static void claim(struct kn_writer *writer, void *sector, size_t slots, size_t written, uint64_t first)
{
    struct kn_span span;
    TORTURE_MUST(kn_writer_join(writer, sector) == 0);
    TORTURE_MUST(kn_writer_claim(writer, slots, &span) == 0 && span.count == slots);
    for (size_t i = 0; i < written; i++)
        memcpy(kn_span_at(&span, i), &(uint64_t){first + i}, sizeof(uint64_t));
}

static void claim_one(void *sector)
{
    struct kn_writer writer;
    claim(&writer, sector, 1, 0, 0);
}

static void claim_four_and_write_two(void *sector)
{
    struct kn_writer writer;
    claim(&writer, sector, 4, 2, 100);
}

static void publish_two_of_four(void *sector)
{
    struct kn_writer writer;
    claim(&writer, sector, 4, 4, 2);
    TORTURE_MUST(kn_writer_publish(&writer, 2) == 0);
}

/* As an exclusive writer that is killed before it has said how far it has come. */
static void stamp_two(void *sector)
{
    struct kn_writer writer;
    claim(&writer, sector, 2, 2, 2);
    kn_writer_stamp(&writer.ring, writer.form, writer.position, 2, 0);
}

/* As an exclusive writer that is killed while it stamps a batch, of which the first stamp says how long it is. */
static void stamp_two_of_four(void *sector)
{
    struct kn_writer writer;
    claim(&writer, sector, 4, 4, 2);
    for (uint64_t i = 0; i < 2; i++) {
        uint64_t position = writer.position + i;
        atomic_store(kn_ring_stamp(&writer.ring, writer.form, position), kn_ring_lap(&writer.ring, position) + 4 - i);
    }
}

static void open_by_name_and_claim_one(void *name)
{
    struct kn_sector sector;
    TORTURE_MUST(kn_sector_open_named(&sector, name, NULL) == 0);
    claim_one(&sector);
}

static void peek(struct kn_reader *reader, void *sector, const struct kn_reader_options *options, size_t slots)
{
    struct kn_span span;
    TORTURE_MUST(kn_reader_join(reader, sector, options) == 0);
    TORTURE_MUST(kn_reader_peek(reader, slots, &span) == 0 && span.count == slots);
}

static void peek_three(void *sector)
{
    struct kn_reader reader;
    peek(&reader, sector, NULL, 3);
}

static void peek_three_and_release_one(void *sector)
{
    struct kn_reader reader;
    peek(&reader, sector, NULL, 3);
    TORTURE_MUST(kn_reader_release(&reader, 1) == 0);
}

static void read_nothing(void *sector)
{
    struct kn_reader reader;
    TORTURE_MUST(kn_reader_join(&reader, sector, NULL) == 0);
}

static void read_nothing_as_7(void *sector)
{
    struct kn_reader reader;
    TORTURE_MUST(kn_reader_join(&reader, sector, &(struct kn_reader_options){.id = 7}) == 0);
}

static void write_nothing(void *sector)
{
    struct kn_writer writer;
    TORTURE_MUST(kn_writer_join(&writer, sector) == 0);
}

/* ---- dead writers ---- */

static void recover_skips_the_claim_of_a_dead_writer(void **state)
{
    (void)state;
    struct kn_sector sector = open_sector(KN_WRITERS_SHARED, KN_READER_EXCLUSIVE);
    struct kn_writer writer;
    struct kn_reader reader;
    join_writer(&writer, &sector);
    join_reader(&reader, &sector, 0, 0);
    for (unsigned lap = 0; lap < 10; lap++) {
        push(&writer, 1, 1);
        kill_after(lap % 2 ? claim_one : claim_four_and_write_two, &sector);
        push(&writer, 2, 3);
        expect(&reader, 1, 1);
        expect_empty(&reader);
        assert_int_equal(kn_sector_recover(&sector), 1);
        expect(&reader, 2, 3);
        expect_empty(&reader);
        assert_int_equal(kn_sector_count(&sector), 0);
    }
    kn_sector_close(&sector);
}

static void recover_works_on_a_sector_opened_by_name(void **state)
{
    (void)state;
    char name[64];
    struct kn_sector sector;
    struct kn_writer writer;
    struct kn_reader reader;
    snprintf(name, sizeof(name), "/kernel_test_recover_%ld", (long)getpid());
    const struct kn_sector_options options = {.slot_bytes = sizeof(uint64_t),
                                              .capacity_slots = CAPACITY,
                                              .layout = KN_LAYOUT_DENSE,
                                              .writers = KN_WRITERS_SHARED,
                                              .readers = KN_READERS_GROUP,
                                              .name = name};
    assert_int_equal(kn_sector_create(&sector, &options), 0);
    bool killed = torture_perish(open_by_name_and_claim_one, name);
    assert_int_equal(kn_sector_unlink(name), 0);
    assert_true(killed);
    join_writer(&writer, &sector);
    join_reader(&reader, &sector, 0, 0);
    push(&writer, 1, 2);
    expect_empty(&reader);
    assert_int_equal(kn_sector_recover(&sector), 1);
    expect(&reader, 1, 2);
    expect_empty(&reader);
    kn_sector_close(&sector);
}

static void recover_loses_nothing_that_a_dead_writer_published(void **state)
{
    (void)state;
    struct kn_sector sector = open_sector(KN_WRITERS_SHARED, KN_READERS_GROUP);
    struct kn_writer writer;
    struct kn_reader reader;
    join_writer(&writer, &sector);
    join_reader(&reader, &sector, 0, 0);
    push(&writer, 1, 1);
    kill_after(publish_two_of_four, &sector);
    push(&writer, 4, 4);
    assert_int_equal(kn_sector_recover(&sector), 1);
    expect(&reader, 1, 4);
    expect_empty(&reader);
    assert_int_equal(kn_sector_count(&sector), 0);
    kn_sector_close(&sector);
}

static void exclusive_writers_successor_goes_on_where_the_dead_one_stood(void **state)
{
    (void)state;
    struct kn_sector sector = open_sector(KN_WRITER_EXCLUSIVE, KN_READER_EXCLUSIVE);
    struct kn_writer writer;
    struct kn_reader reader;
    join_reader(&reader, &sector, 0, 0);
    join_writer(&writer, &sector);
    assert_int_equal(kn_writer_join(&(struct kn_writer){0}, &sector), -EBUSY);
    push(&writer, 1, 1);
    kn_writer_leave(&writer);
    kill_after(publish_two_of_four, &sector);
    kill_after(claim_four_and_write_two, &sector); /* not published: as if it had never been */
    join_writer(&writer, &sector);
    push(&writer, 4, 8);
    expect_full(&writer);
    expect(&reader, 1, 8);
    expect_empty(&reader);
    kn_sector_close(&sector);
}

static void exclusive_writers_successor_keeps_what_was_stamped(void **state)
{
    (void)state;
    torture_part *const parts[] = {stamp_two, stamp_two_of_four};
    for (size_t i = 0; i < 2; i++) {
        struct kn_sector sector = open_sector(KN_WRITER_EXCLUSIVE, KN_READERS_GROUP);
        struct kn_writer writer;
        struct kn_reader reader;
        join_reader(&reader, &sector, 0, 0);
        join_writer(&writer, &sector);
        push(&writer, 1, 1);
        kn_writer_leave(&writer);
        kill_after(parts[i], &sector);
        join_writer(&writer, &sector);
        push(&writer, i == 0 ? 4 : 6, 8);
        expect(&reader, 1, 8); /* one by one: from slots that are not the first of their run */
        expect_empty(&reader);
        assert_int_equal(kn_sector_count(&sector), 0);
        kn_sector_close(&sector);
    }
}

static void recover_leaves_the_claims_of_living_writers_alone(void **state)
{
    (void)state;
    struct kn_sector sector = open_sector(KN_WRITERS_SHARED, KN_READER_EXCLUSIVE);
    struct kn_writer writer;
    struct kn_reader reader;
    struct kn_span span;
    join_reader(&reader, &sector, 0, 0);
    join_writer(&writer, &sector);
    kill_after(claim_one, &sector);
    assert_int_equal(kn_writer_claim(&writer, 2, &span), 0);
    kill_after(claim_one, &sector);
    assert_int_equal(kn_sector_recover(&sector), 2);
    assert_int_equal(kn_sector_recover(&sector), 0);
    expect_empty(&reader);
    for (size_t i = 0; i < 2; i++)
        memcpy(kn_span_at(&span, i), &(uint64_t){1 + i}, sizeof(uint64_t));
    assert_int_equal(kn_writer_publish(&writer, 2), 0);
    push(&writer, 3, 3);
    expect(&reader, 1, 3);
    expect_empty(&reader);
    kn_sector_close(&sector);
}

static void recover_leaves_the_claims_of_other_living_processes_alone(void **state)
{
    (void)state;
    struct kn_sector sector = open_sector(KN_WRITERS_SHARED, KN_READER_EXCLUSIVE);
    struct kn_reader reader;
    int status;
    join_reader(&reader, &sector, 0, 0);
    pid_t child = torture_fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct kn_writer writer;
        claim(&writer, &sector, 2, 2, 1);
        torture_stop();
        _exit(kn_writer_publish(&writer, 2) == 0 ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, WUNTRACED), child);
    assert_true(WIFSTOPPED(status));
    kill_after(claim_one, &sector);
    assert_int_equal(kn_sector_recover(&sector), 1);
    expect_empty(&reader);
    assert_int_equal(kill(child, SIGCONT), 0);
    assert_true(torture_wait(child));
    expect(&reader, 1, 2);
    expect_empty(&reader);
    kn_sector_close(&sector);
}

/* Pops what there is: of numbers from `expected` on, all in order, and of a child's, which are less, any. */
static uint64_t pop_all(struct kn_reader *reader, uint64_t expected)
{
    uint64_t popped;
    while (kn_reader_try_pop(reader, &popped) == 0)
        if (popped >= CHILDRENS)
            assert_int_equal(popped, expected++);
    return expected;
}

static void publish_four_in_steps(void *sector)
{
    struct kn_writer writer;
    TORTURE_MUST(kn_writer_join(&writer, sector) == 0);
    torture_stop();
    (void)kn_writer_push_many(&writer, (uint64_t[]){1, 2, 3, 4}, 4); /* none, if it stopped before and all is full */
    torture_stop();
    kn_writer_leave(&writer);
}

/* Holds a child up after so many instructions, for nearly a lap and with what is published on the next; all is read. */
static uint64_t hold_up_at(struct kn_sector *sector, struct kn_writer *writer, struct kn_reader *reader, uint64_t *sent,
                           uint64_t steps)
{
    uint64_t read = *sent;
    uint64_t lap = atomic_load(&sector->head->writers.claimed) + sector->head->header.ring_slots - 2;
    pid_t child = torture_start(publish_four_in_steps, sector);
    if (child == -ENOTSUP)
        skip();
    assert_true(child > 0);
    uint64_t done = torture_step(child, steps);
    for (; kn_writer_try_push(writer, sent) == 0; ++*sent)
        if (atomic_load(&sector->head->writers.claimed) < lap)
            read = pop_all(reader, read);
    assert_true(torture_go_on(child));
    assert_int_equal(pop_all(reader, read), *sent);
    return done;
}

/* Its batch may be read as soon as the first of it is visible, and its slots be in use again a lap later. */
static void writer_held_up_at_any_instruction_disturbs_nobody_a_lap_later(void **state)
{
    (void)state;
    struct kn_sector sector = open_sector(KN_WRITERS_SHARED, KN_READER_EXCLUSIVE);
    struct kn_writer writer;
    struct kn_reader reader;
    uint64_t sent = CHILDRENS;
    join_writer(&writer, &sector);
    join_reader(&reader, &sector, 0, 0);
    uint64_t length = hold_up_at(&sector, &writer, &reader, &sent, UINT64_MAX);
    for (uint64_t steps = 0; steps < length;
         steps += 1 + length / 400) /* more, where the build is an instrumented one */
        (void)hold_up_at(&sector, &writer, &reader, &sent, steps);
    kn_sector_close(&sector);
}

/* ---- dead readers ---- */

static void exclusive_readers_successor_is_shown_what_was_not_released(void **state)
{
    (void)state;
    struct kn_sector sector = open_sector(KN_WRITER_EXCLUSIVE, KN_READER_EXCLUSIVE);
    struct kn_writer writer;
    struct kn_reader reader;
    join_writer(&writer, &sector);
    push(&writer, 1, 8);
    kill_after(peek_three_and_release_one, &sector);
    push(&writer, 9, 9);
    expect_full(&writer);
    join_reader(&reader, &sector, 0, 0);
    assert_int_equal(kn_reader_join(&(struct kn_reader){0}, &sector, NULL), -EBUSY);
    expect(&reader, 2, 9);
    expect_empty(&reader);
    kn_sector_close(&sector);
}

static void recover_lets_the_writers_pass_a_dead_reader_without_id(void **state)
{
    (void)state;
    struct kn_sector sector = open_sector(KN_WRITERS_SHARED, KN_READERS_JOIN);
    struct kn_writer writer;
    struct kn_reader reader;
    join_writer(&writer, &sector);
    kill_after(read_nothing, &sector);
    push(&writer, 1, 8);
    expect_full(&writer);
    assert_int_equal(kn_sector_recover(&sector), 1);
    join_reader(&reader, &sector, 0, 0);
    push(&writer, 9, 16);
    expect_full(&writer);
    expect(&reader, 9, 16);
    kn_sector_close(&sector);
}

static void recover_keeps_the_place_of_a_dead_reader_for_its_id(void **state)
{
    (void)state;
    struct kn_sector sector = open_sector(KN_WRITERS_SHARED, KN_READERS_JOIN);
    struct kn_writer writer;
    struct kn_reader other;
    struct kn_reader reader;
    kill_after(read_nothing_as_7, &sector); /* in the first entry of all */
    join_writer(&writer, &sector);
    push(&writer, 1, 8);
    assert_int_equal(kn_sector_recover(&sector), 1);
    assert_int_equal(kn_sector_recover(&sector), 0);
    expect_full(&writer);
    join_reader(&other, &sector, 8, 0);
    expect_empty(&other);
    join_reader(&reader, &sector, 7, 0);
    assert_int_equal(kn_reader_join(&(struct kn_reader){0}, &sector, &(struct kn_reader_options){.id = 7}), -EBUSY);
    expect(&reader, 1, 8);
    expect_empty(&reader);
    push(&writer, 9, 9);
    expect(&reader, 9, 9);
    expect(&other, 9, 9);
    kn_sector_close(&sector);
}

static void forget_gives_up_the_place_of_a_dead_reader(void **state)
{
    (void)state;
    struct kn_sector sector = open_sector(KN_WRITERS_SHARED, KN_READERS_JOIN);
    struct kn_writer writer;
    struct kn_reader reader;
    join_writer(&writer, &sector);
    kill_after(read_nothing_as_7, &sector);
    push(&writer, 1, 8);
    expect_full(&writer);
    assert_int_equal(kn_sector_forget(&sector, 8), -ENOENT);
    assert_int_equal(kn_sector_forget(&sector, 7), 0);
    assert_int_equal(kn_sector_forget(&sector, 7), -ENOENT);
    push(&writer, 9, 9);
    join_reader(&reader, &sector, 7, 0);
    assert_int_equal(kn_sector_forget(&sector, 7), -EBUSY);
    expect_empty(&reader);
    kn_sector_close(&sector);
}

/* Of a reader that died with a span in its hands, which no writer may take from one that lives. */
static void expect_movable_once_dead(enum kn_lag lag)
{
    struct kn_sector sector = open_sector(KN_WRITERS_SHARED, KN_READERS_JOIN);
    const struct kn_reader_options options = {.id = 7, .lag = lag};
    struct kn_writer writer;
    struct kn_reader reader;
    uint64_t popped;
    join_writer(&writer, &sector);
    assert_int_equal(kn_reader_join(&reader, &sector, &options), 0);
    kn_reader_leave(&reader);
    pid_t child = torture_fork();
    assert_true(child >= 0);
    if (child == 0) {
        TORTURE_MUST(kn_reader_join(&reader, &sector, &options) == 0);
        TORTURE_MUST(kn_writer_join(&writer, &sector) == 0);
        TORTURE_MUST(kn_writer_try_push(&writer, &(uint64_t){1}) == 0);
        TORTURE_MUST(kn_reader_peek(&reader, 1, &(struct kn_span){0}) == 0);
        raise(SIGKILL);
    }
    torture_wait(child);
    push(&writer, 2, 8);
    expect_full(&writer);
    assert_int_equal(kn_sector_recover(&sector), 2);
    push(&writer, 9, 9);
    assert_int_equal(kn_reader_join(&reader, &sector, &options), 0);
    if (lag == KN_LAG_SKIP) {
        assert_int_equal(kn_reader_try_pop(&reader, &popped), 0);
        assert_in_range(popped, 2, 9);
        expect(&reader, popped + 1, 9);
    }
    expect_empty(&reader);
    push(&writer, 10, 10);
    expect(&reader, 10, 10);
    kn_sector_close(&sector);
}

static void recover_lets_the_writers_move_a_lagging_reader_that_died_with_a_span(void **state)
{
    (void)state;
    expect_movable_once_dead(KN_LAG_SKIP);
    expect_movable_once_dead(KN_LAG_DROP);
}

/* ---- dead members of a group ---- */

static void recover_shows_what_a_dead_member_held_once_to_another(void **state)
{
    (void)state;
    struct kn_sector sector = open_sector(KN_WRITERS_SHARED, KN_READERS_GROUP);
    struct kn_writer writer;
    struct kn_reader reader;
    struct kn_reader other;
    join_writer(&writer, &sector);
    join_reader(&reader, &sector, 0, 0);
    push(&writer, 1, 8);
    kill_after(peek_three_and_release_one, &sector);
    push(&writer, 9, 9);
    expect_full(&writer);
    expect(&reader, 4, 5); /* the dead one is not the last any more that took */
    assert_int_equal(kn_sector_recover(&sector), 1);
    expect(&reader, 2, 3);
    expect(&reader, 6, 6);
    join_reader(&other, &sector, 0, 0);
    expect(&other, 7, 9);
    expect_empty(&reader);
    kill_after(write_nothing, &sector);
    assert_int_equal(kn_sector_recover(&sector), 1);
    expect_empty(&reader);
    push(&writer, 11, 18);
    kill_after(peek_three, &sector); /* the last that took */
    assert_int_equal(kn_sector_recover(&sector), 1);
    expect(&other, 11, 13);
    expect(&reader, 14, 18);
    push(&writer, 19, 26);
    expect_full(&writer);
    kn_sector_close(&sector);
}

/* As a member that is killed before its exchange, or after it has failed. */
static void fill_hands_with_three(void *sector)
{
    struct kn_reader reader;
    TORTURE_MUST(kn_reader_join(&reader, sector, NULL) == 0);
    uint64_t first = atomic_load(&reader.group->taken) >> KN_GROUP_SHIFT;
    atomic_store(&reader.ring.entry->held_end, first + 3);
    atomic_store(&reader.ring.entry->position, first);
}

static void recover_shows_nothing_twice_that_a_dead_member_only_intended_to_take(void **state)
{
    (void)state;
    struct kn_sector sector = open_sector(KN_WRITERS_SHARED, KN_READERS_GROUP);
    struct kn_writer writer;
    struct kn_reader reader;
    join_writer(&writer, &sector);
    join_reader(&reader, &sector, 0, 0);
    push(&writer, 1, 8);
    kill_after(fill_hands_with_three, &sector);
    assert_int_equal(kn_sector_recover(&sector), 1);
    expect(&reader, 1, 1);
    kill_after(fill_hands_with_three, &sector);
    expect(&reader, 2, 4); /* took the same, and to the same end */
    push(&writer, 9, 9);
    expect_full(&writer);
    assert_int_equal(kn_sector_recover(&sector), 1);
    expect(&reader, 5, 9);
    expect_empty(&reader);
    push(&writer, 10, 17);
    expect(&reader, 10, 17);
    expect_empty(&reader);
    kn_sector_close(&sector);
}

static void recover_shows_what_an_adopter_held_when_it_died_to_the_next(void **state)
{
    (void)state;
    struct kn_sector sector = open_sector(KN_WRITERS_SHARED, KN_READERS_GROUP);
    struct kn_writer writer;
    struct kn_reader reader;
    join_writer(&writer, &sector);
    push(&writer, 1, 5);
    kill_after(peek_three, &sector);
    assert_int_equal(kn_sector_recover(&sector), 1);
    kill_after(peek_three, &sector); /* what it holds is in the entry of the first */
    assert_int_equal(kn_sector_recover(&sector), 2);
    kill_after(peek_three_and_release_one, &sector);
    assert_int_equal(kn_sector_recover(&sector), 2);
    join_reader(&reader, &sector, 0, 0);
    expect(&reader, 2, 5);
    expect_empty(&reader);
    push(&writer, 6, 13);
    expect_full(&writer);
    expect(&reader, 6, 13);
    kn_sector_close(&sector);
}

static void peek_two_in_group_12(void *sector)
{
    struct kn_reader reader;
    peek(&reader, sector, &(struct kn_reader_options){.group = 12}, 2);
}

/* The entry of a member remembers how far its last take went, of which the next member, of a group further back, knows
 * nothing. */
static void recover_tells_the_takes_of_two_groups_apart(void **state)
{
    (void)state;
    struct kn_sector sector = open_sector(KN_WRITERS_SHARED, KN_READERS_JOIN);
    struct kn_writer writer;
    struct kn_reader fast;
    struct kn_reader second;
    struct kn_reader slow;
    join_writer(&writer, &sector);
    join_reader(&slow, &sector, 0, 12);
    join_reader(&second, &sector, 0, 11);
    join_reader(&fast, &sector, 0, 11);
    push(&writer, 1, 8);
    expect(&fast, 1, 7);
    expect(&second, 8, 8); /* confirms what the first took, up to 7 */
    kn_reader_leave(&fast);
    kill_after(peek_two_in_group_12, &sector); /* in the same entry */
    expect(&slow, 3, 8);
    assert_int_equal(kn_sector_recover(&sector), 1);
    expect(&slow, 1, 2);
    expect_empty(&slow);
    kn_sector_close(&sector);
}

static void peek_three_in_group_11(void *sector)
{
    struct kn_reader reader;
    peek(&reader, sector, &(struct kn_reader_options){.group = 11}, 3);
}

static void forget_changes_nothing_while_a_member_of_the_group_lives(void **state)
{
    (void)state;
    struct kn_sector sector = open_sector(KN_WRITERS_SHARED, KN_READERS_JOIN);
    struct kn_writer writer;
    struct kn_reader reader;
    struct kn_reader other;
    join_writer(&writer, &sector);
    join_reader(&other, &sector, 0, 11);
    kn_reader_leave(&other);
    push(&writer, 1, 8);
    kill_after(peek_three_in_group_11, &sector); /* in front of the one that lives */
    join_reader(&reader, &sector, 0, 11);
    assert_int_equal(kn_sector_forget(&sector, 11), -EBUSY);
    assert_int_equal(kn_sector_recover(&sector), 1);
    assert_int_equal(kn_sector_forget(&sector, 11), -EBUSY);
    expect(&reader, 1, 3);
    expect(&reader, 4, 8);
    kn_reader_leave(&reader);
    push(&writer, 9, 16);
    kill_after(peek_three_in_group_11, &sector);
    expect_full(&writer);
    assert_int_equal(kn_sector_forget(&sector, 11), 0);
    assert_int_equal(kn_sector_forget(&sector, 11), -ENOENT);
    push(&writer, 17, 24);
    kn_sector_close(&sector);
}

/* ---- the sector as a whole ---- */

static void recover_gives_the_entries_of_the_dead_to_others(void **state)
{
    (void)state;
    struct kn_sector sector = open_sector(KN_WRITERS_SHARED, KN_READERS_GROUP);
    struct kn_writer writers[CURSORS_MAX];
    torture_part *const parts[] = {write_nothing, claim_one, read_nothing, claim_four_and_write_two};
    for (unsigned death = 0; death < 40; death++) {
        kill_after(parts[death % 4], &sector);
        if (death % 4 == 3)
            assert_int_equal(kn_sector_recover(&sector), 4);
        if (death % 4 == 3) {
            struct kn_reader reader;
            join_reader(&reader, &sector, 0, 0);
            expect_empty(&reader);
            kn_reader_leave(&reader);
        }
    }
    for (size_t i = 0; i < CURSORS_MAX - KN_CURSORS_RESERVED; i++)
        join_writer(&writers[i], &sector);
    assert_int_equal(kn_writer_join(&writers[CURSORS_MAX - 1], &sector), -EMFILE);
    push(&writers[0], 1, 8);
    expect_full(&writers[1]);
    kn_sector_close(&sector);
}

/* As one that is killed between the two steps by which it gets an entry. */
static void own_the_last_entry(void *argument)
{
    const struct kn_sector *sector = argument;
    struct kn_writer writer;
    TORTURE_MUST(kn_writer_join(&writer, sector) == 0);
    uint64_t owner = atomic_load(&writer.ring.entry->owner);
    kn_writer_leave(&writer);
    atomic_store(&sector->head->cursors[CURSORS_MAX - 1].owner, owner);
}

static void recover_finds_the_dead_who_had_hardly_begun_to_join(void **state)
{
    (void)state;
    struct kn_sector sector = open_sector(KN_WRITERS_SHARED, KN_READERS_GROUP);
    struct kn_writer writer;
    kill_after(own_the_last_entry, &sector);
    assert_int_equal(kn_sector_recover(&sector), 1);
    for (size_t i = 0; i < CURSORS_MAX - KN_CURSORS_RESERVED; i++)
        join_writer(&writer, &sector);
    kn_sector_close(&sector);
}

static void recover_answers_what_it_found(void **state)
{
    (void)state;
    struct kn_sector sector;
    struct kn_sector_options options = {.slot_bytes = 8, .capacity_slots = CAPACITY};
    assert_int_equal(kn_sector_create(&sector, &options), 0);
    assert_int_equal(kn_sector_recover(&sector), -ENOTSUP);
    kn_sector_close(&sector);
    options.robust = true;
    assert_int_equal(kn_sector_create(&sector, &options), 0);
    assert_int_equal(kn_sector_recover(&sector), 0);
    kn_sector_close(&sector);
    sector = open_sector(KN_WRITER_EXCLUSIVE, KN_READER_EXCLUSIVE);
    kill_after(write_nothing, &sector);
    kill_after(read_nothing, &sector);
    assert_int_equal(kn_sector_recover(&sector), 2);
    assert_int_equal(kn_sector_recover(&sector), 0);
    kn_sector_close(&sector);
}

static const struct kn_wait PARK = {.strategy = KN_WAIT_PARK, .attempts = 1, .timeout_ns = INT64_C(60000000000)};

static void parked_reader_passes_the_claim_of_a_dead_writer_by_itself(void **state)
{
    (void)state;
    struct kn_sector sector = open_sector(KN_WRITERS_SHARED, KN_READERS_GROUP);
    struct kn_writer writer;
    join_writer(&writer, &sector);
    kill_after(claim_one, &sector);
    pid_t child = torture_fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct kn_reader reader;
        uint64_t popped;
        TORTURE_MUST(kn_reader_join(&reader, &sector, NULL) == 0);
        TORTURE_MUST(kn_reader_pop(&reader, &popped, &PARK) == 0 && popped == 1);
        _exit(0);
    }
    while (atomic_load(&sector.head->published.sleepers) == 0)
        usleep(100);
    push(&writer, 1, 1);
    assert_true(torture_wait(child));
    kn_sector_close(&sector);
}

static void parked_writer_passes_a_dead_reader_by_itself(void **state)
{
    (void)state;
    struct kn_sector sector = open_sector(KN_WRITERS_SHARED, KN_READERS_JOIN);
    struct kn_writer writer;
    join_writer(&writer, &sector);
    kill_after(read_nothing, &sector);
    push(&writer, 1, 8);
    expect_full(&writer);
    assert_int_equal(kn_writer_push(&writer, &(uint64_t){9}, &PARK), 0);
    kn_sector_close(&sector);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recover_skips_the_claim_of_a_dead_writer),
        cmocka_unit_test(recover_works_on_a_sector_opened_by_name),
        cmocka_unit_test(recover_loses_nothing_that_a_dead_writer_published),
        cmocka_unit_test(exclusive_writers_successor_goes_on_where_the_dead_one_stood),
        cmocka_unit_test(exclusive_writers_successor_keeps_what_was_stamped),
        cmocka_unit_test(recover_leaves_the_claims_of_living_writers_alone),
        cmocka_unit_test(recover_leaves_the_claims_of_other_living_processes_alone),
        cmocka_unit_test(writer_held_up_at_any_instruction_disturbs_nobody_a_lap_later),
        cmocka_unit_test(exclusive_readers_successor_is_shown_what_was_not_released),
        cmocka_unit_test(recover_lets_the_writers_pass_a_dead_reader_without_id),
        cmocka_unit_test(recover_keeps_the_place_of_a_dead_reader_for_its_id),
        cmocka_unit_test(forget_gives_up_the_place_of_a_dead_reader),
        cmocka_unit_test(recover_lets_the_writers_move_a_lagging_reader_that_died_with_a_span),
        cmocka_unit_test(recover_shows_what_a_dead_member_held_once_to_another),
        cmocka_unit_test(recover_shows_nothing_twice_that_a_dead_member_only_intended_to_take),
        cmocka_unit_test(recover_shows_what_an_adopter_held_when_it_died_to_the_next),
        cmocka_unit_test(recover_tells_the_takes_of_two_groups_apart),
        cmocka_unit_test(forget_changes_nothing_while_a_member_of_the_group_lives),
        cmocka_unit_test(recover_gives_the_entries_of_the_dead_to_others),
        cmocka_unit_test(recover_finds_the_dead_who_had_hardly_begun_to_join),
        cmocka_unit_test(recover_answers_what_it_found),
        cmocka_unit_test(parked_reader_passes_the_claim_of_a_dead_writer_by_itself),
        cmocka_unit_test(parked_writer_passes_a_dead_reader_by_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
