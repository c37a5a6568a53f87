/* What cursors have in common: laps, runs, counting, forgetting, and every relation at once against a model. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

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

static void cursor_walks_many_laps_with_runs_of_every_length(void **state)
{
    (void)state;
    for (unsigned shape = 0; shape < QUEUE_SHAPES; shape++) {
        for (size_t slot_bytes = 3; slot_bytes < 9000; slot_bytes = slot_bytes * 11 + 1) {
            struct kn_sector_options options = queue_shape(shape, slot_bytes, 16);
            struct queue_pair pair;
            uint8_t message[16 * 9000];
            uint64_t wrong = 0;
            assert_int_equal(queue_pair_open(&pair, &options, NULL), 0);
            for (unsigned lap = 0; lap < 600; lap++) {
                size_t count = 1 + lap % 16;
                for (size_t i = 0; i < count; i++)
                    memset(message + i * slot_bytes, (int)(lap * 3 + i), slot_bytes);
                assert_int_equal(kn_writer_push_many(&pair.writer, message, count), count);
                assert_int_equal(kn_reader_pop_many(&pair.reader, message, 16), count);
                for (size_t i = 0; i < count; i++)
                    wrong += message[i * slot_bytes] != (uint8_t)(lap * 3 + i) ||
                             message[(i + 1) * slot_bytes - 1] != (uint8_t)(lap * 3 + i);
            }
            assert_int_equal(wrong, 0);
            queue_pair_close(&pair);
        }
    }
}

static void cursor_spans_cross_the_end_of_the_ring_in_one_piece(void **state)
{
    (void)state;
    for (unsigned shape = 0; shape < QUEUE_SHAPES; shape++) {
        struct kn_sector_options options = queue_shape(shape, 504, 16);
        struct queue_pair pair;
        struct kn_span written;
        struct kn_span read;
        assert_int_equal(queue_pair_open(&pair, &options, NULL), 0);
        for (uint64_t lap = 0; lap < 1000; lap += 11) {
            assert_int_equal(kn_writer_claim(&pair.writer, 11, &written), 0);
            assert_int_equal(written.count, 11);
            for (size_t i = 0; i < 11; i++)
                memset(kn_span_at(&written, i), (int)(lap + i), 504);
            assert_int_equal(kn_writer_publish(&pair.writer, 11), 0);
            assert_int_equal(kn_reader_peek(&pair.reader, 16, &read), 0);
            assert_int_equal(read.count, 11);
            assert_ptr_equal(read.first, written.first);
            for (size_t i = 0; i < 11; i++) {
                const uint8_t *message = kn_span_at(&read, i);
                assert_int_equal(message[0], (uint8_t)(lap + i));
                assert_int_equal(message[503], (uint8_t)(lap + i));
            }
            assert_int_equal(kn_reader_release(&pair.reader, 11), 0);
        }
        queue_pair_close(&pair);
    }
}

static void sector_counts_what_the_slowest_reader_has_not_released(void **state)
{
    (void)state;
    for (unsigned shape = 0; shape < BROADCAST_SHAPES; shape++) {
        struct queue_pair pair;
        struct kn_reader slow;
        struct kn_reader member;
        open_broadcast(&pair, shape, 8, NULL);
        join(&slow, &pair, (struct kn_reader_options){0});
        join(&member, &pair, (struct kn_reader_options){.group = 1});
        push_run(&pair, 0, 6);
        for (uint64_t i = 0; i < 6; i++) {
            expect(&pair.reader, i);
            expect(&member, i);
        }
        assert_int_equal(kn_sector_count(&pair.sector), 6);
        expect_peek(&slow, 4, 0, 4);
        assert_int_equal(kn_sector_count(&pair.sector), 6);
        assert_int_equal(kn_reader_release(&slow, 4), 0);
        assert_int_equal(kn_sector_count(&pair.sector), 2);
        kn_reader_leave(&slow);
        assert_int_equal(kn_sector_count(&pair.sector), 0);
        push(&pair, 6);
        expect(&pair.reader, 6);
        assert_int_equal(kn_sector_count(&pair.sector), 1);
        expect_peek(&member, 4, 6, 7);
        assert_int_equal(kn_sector_count(&pair.sector), 0); /* taken by its group */
        kn_reader_leave(&member);
        queue_pair_close(&pair);
    }
}

static void sector_that_is_not_robust_has_nothing_to_recover_from(void **state)
{
    (void)state;
    for (unsigned shape = 0; shape < QUEUE_SHAPES; shape++) {
        struct queue_pair pair;
        open_pair(&pair, shape, 4);
        push_run(&pair, 0, 2);
        assert_int_equal(kn_sector_recover(&pair.sector), queue_shape(shape, 1, 1).robust ? 0 : -ENOTSUP);
        expect(&pair.reader, 0);
        expect(&pair.reader, 1);
        queue_pair_close(&pair);
    }
}

static void sector_forgets_nobody_who_lives_or_whom_it_does_not_know(void **state)
{
    (void)state;
    struct queue_pair pair;
    open_broadcast(&pair, 0, 4, &(struct kn_reader_options){.id = 3});
    assert_int_equal(kn_sector_forget(&pair.sector, 0), -ENOENT);
    assert_int_equal(kn_sector_forget(&pair.sector, KN_READER_PERMANENT), -ENOENT);
    assert_int_equal(kn_sector_forget(&pair.sector, 4), -ENOENT);
    assert_int_equal(kn_sector_forget(&pair.sector, 3), -EBUSY);
    push(&pair, 1);
    expect(&pair.reader, 1);
    kn_reader_leave(&pair.reader);
    assert_int_equal(kn_sector_forget(&pair.sector, 3), -ENOENT);
    assert_int_equal(kn_reader_join(&pair.reader, &pair.sector, NULL), 0);
    queue_pair_close(&pair);
    for (unsigned shape = 4; shape < 12; shape += 4) {
        open_pair(&pair, shape, 4);
        assert_int_equal(kn_sector_forget(&pair.sector, KN_READER_PERMANENT), -ENOENT);
        queue_pair_close(&pair);
    }
}

/* A process that joins by these options, reads the first number if it is there, and dies. */
static void join_and_die(const struct queue_pair *pair, const struct kn_reader_options *options)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct kn_reader reader;
        _exit(kn_reader_join(&reader, &pair->sector, options) != 0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void reader_of_a_dead_process_keeps_its_place_for_its_id_until_it_is_forgotten(void **state)
{
    (void)state;
    const struct kn_reader_options options = {.id = 77};
    for (unsigned shape = 0; shape < BROADCAST_SHAPES; shape++) {
        struct queue_pair pair;
        struct kn_reader reader;
        struct kn_waiter waiter;
        uint64_t number = 9;
        open_broadcast(&pair, shape, 4, NULL);
        join_and_die(&pair, &options);
        push_run(&pair, 0, 4);
        expect_peek(&pair.reader, 4, 0, 4);
        assert_int_equal(kn_reader_release(&pair.reader, 4), 0);
        assert_int_equal(kn_writer_try_push(&pair.writer, &number), -EAGAIN);
        assert_int_equal(kn_reader_join(&reader, &pair.sector, &options), 0);
        expect_peek(&reader, 3, 0, 3);
        kn_reader_leave(&reader);

        join_and_die(&pair, &options);
        push_run(&pair, 4, 8);
        expect_peek(&pair.reader, 4, 4, 8);
        assert_int_equal(kn_reader_release(&pair.reader, 4), 0);
        assert_int_equal(kn_writer_try_push(&pair.writer, &number), -EAGAIN);
        queue_sleep(&waiter, &pair.sector.head->released);
        assert_int_equal(kn_sector_forget(&pair.sector, 77), 0);
        push(&pair, 8);
        assert_true(queue_was_woken(&waiter)); /* a writer asleep has room now */
        assert_int_equal(kn_sector_forget(&pair.sector, 77), -ENOENT);
        queue_pair_close(&pair);
    }
}

/* ---- groups ---- */

static void groups_members_compete_and_several_groups_each_see_everything(void **state)
{
    (void)state;
    for (unsigned shape = 0; shape < BROADCAST_SHAPES; shape++) {
        struct queue_pair pair;
        struct kn_reader members[3][2];
        open_broadcast(&pair, shape, 16, NULL);
        for (unsigned group = 0; group < 3; group++)
            for (unsigned i = 0; i < 2; i++)
                join(&members[group][i], &pair, (struct kn_reader_options){.group = group + 1});
        for (uint64_t lap = 0; lap < 4000; lap += 16) {
            push_run(&pair, lap, lap + 9);
            push_run(&pair, lap + 9, lap + 16);
            for (unsigned group = 0; group < 3; group++)
                for (uint64_t i = lap; i < lap + 16; i++)
                    expect(&members[group][(i / 3 + group) % 2], i);
            expect_peek(&pair.reader, 16, lap, lap + 16);
            assert_int_equal(kn_reader_release(&pair.reader, 16), 0);
        }
        for (unsigned i = 0; i < 6; i++) {
            expect_empty(&members[i / 2][i % 2]);
            kn_reader_leave(&members[i / 2][i % 2]);
        }
        queue_pair_close(&pair);
    }
}

static void groups_member_keeps_its_part_and_the_slowest_holds_the_writer_up(void **state)
{
    (void)state;
    for (unsigned shape = 0; shape < QUEUE_SHAPES; shape++) {
        struct queue_pair pair;
        struct kn_reader other;
        uint64_t number = 8;
        if (queue_shape(shape, 1, 1).readers != KN_READERS_GROUP)
            continue;
        open_pair(&pair, shape, 8);
        assert_int_equal(kn_reader_join(&other, &pair.sector, NULL), 0);
        push_run(&pair, 0, 8);
        expect_peek(&pair.reader, 3, 0, 3);
        expect_peek(&other, 8, 3, 8);
        assert_int_equal(kn_sector_count(&pair.sector), 0); /* taken */
        assert_int_equal(kn_reader_release(&other, 5), 0);
        assert_int_equal(kn_writer_try_push(&pair.writer, &number), -EAGAIN);
        assert_int_equal(kn_reader_release(&pair.reader, 1), 0);
        push(&pair, 8);
        assert_int_equal(kn_writer_try_push(&pair.writer, &number), -EAGAIN);
        expect_peek(&pair.reader, 8, 1, 3);
        kn_reader_leave(&pair.reader); /* what it has in its hands counts as read */
        push_run(&pair, 9, 16);
        expect_peek(&other, 16, 8, 16);
        assert_int_equal(kn_reader_join(&pair.reader, &pair.sector, NULL), 0);
        expect_empty(&pair.reader);
        kn_reader_leave(&other);
        queue_pair_close(&pair);
    }
}

static void group_without_members_keeps_its_place_until_it_is_forgotten(void **state)
{
    (void)state;
    for (unsigned shape = 0; shape < BROADCAST_SHAPES; shape++) {
        struct queue_pair pair;
        struct kn_reader member;
        uint64_t number = 4;
        open_broadcast(&pair, shape, 4, NULL);
        join(&member, &pair, (struct kn_reader_options){.group = 5});
        push_run(&pair, 0, 4);
        expect(&member, 0);
        kn_reader_leave(&member);
        join(&member, &pair, (struct kn_reader_options){.group = 5});
        expect(&member, 1);
        assert_int_equal(kn_sector_forget(&pair.sector, 5), -EBUSY);
        kn_reader_leave(&member);
        for (uint64_t i = 0; i < 4; i++)
            expect(&pair.reader, i);
        push_run(&pair, 4, 6);
        assert_int_equal(kn_writer_try_push(&pair.writer, &number), -EAGAIN);
        assert_int_equal(kn_sector_forget(&pair.sector, 5), 0);
        assert_int_equal(kn_sector_forget(&pair.sector, 5), -ENOENT);
        push_run(&pair, 6, 8);
        join(&member, &pair, (struct kn_reader_options){.group = 5});
        expect_empty(&member);
        kn_reader_leave(&member);
        queue_pair_close(&pair);
    }
}

/* ---- pipelines ---- */

static void pipeline_never_overtakes(void **state)
{
    (void)state;
    for (unsigned shape = 0; shape < BROADCAST_SHAPES; shape++) {
        struct queue_pair pair;
        struct kn_reader second;
        struct kn_reader third;
        open_broadcast(&pair, shape, 8, &(struct kn_reader_options){.id = 1});
        join(&second, &pair, (struct kn_reader_options){.id = 2, .after = {1}});
        join(&third, &pair, (struct kn_reader_options){.after = {2, 1}});
        for (uint64_t lap = 0; lap < 4000; lap += 8) {
            push_run(&pair, lap, lap + 8);
            expect_empty(&second);
            expect_peek(&pair.reader, 8, lap, lap + 8);
            expect_empty(&second);
            assert_int_equal(kn_reader_release(&pair.reader, 3), 0);
            expect_peek(&second, 8, lap, lap + 3);
            expect_empty(&third);
            assert_int_equal(kn_reader_release(&second, 2), 0);
            expect_peek(&third, 8, lap, lap + 2);
            assert_int_equal(kn_reader_release(&third, 2), 0);
            expect_empty(&third);
            expect(&second, lap + 2);
            expect_empty(&second);
            assert_int_equal(kn_reader_release(&pair.reader, 5), 0);
            expect_peek(&second, 16, lap + 3, lap + 8);
            expect_peek(&third, 16, lap + 2, lap + 3);
            assert_int_equal(kn_reader_release(&second, 5), 0);
            expect_peek(&third, 16, lap + 2, lap + 8);
            assert_int_equal(kn_reader_release(&third, 6), 0);
        }
        kn_reader_leave(&third);
        kn_reader_leave(&second);
        queue_pair_close(&pair);
    }
}

static void pipeline_never_overtakes_past_what_was_given_up(void **state)
{
    (void)state;
    for (unsigned shape = 0; shape < BROADCAST_SHAPES; shape++) {
        struct queue_pair pair;
        struct kn_reader second;
        struct kn_span span;
        open_broadcast(&pair, shape, 8, &(struct kn_reader_options){.id = 1});
        join(&second, &pair, (struct kn_reader_options){.after = {1}});
        assert_int_equal(kn_writer_claim(&pair.writer, 2, &span), 0);
        assert_int_equal(kn_writer_publish(&pair.writer, 0), 0);
        push(&pair, 0);
        expect_peek(&pair.reader, 1, 0, 1); /* has passed over it, and not released what follows */
        expect_empty(&second);
        expect(&pair.reader, 0);
        expect(&second, 0);
        kn_reader_leave(&second);
        queue_pair_close(&pair);
    }
}

static void pipeline_never_overtakes_the_slowest_member_of_a_group(void **state)
{
    (void)state;
    for (unsigned shape = 0; shape < BROADCAST_SHAPES; shape++) {
        struct queue_pair pair;
        struct kn_reader members[2];
        struct kn_reader last;
        open_broadcast(&pair, shape, 8, NULL);
        kn_reader_leave(&pair.reader);
        for (unsigned i = 0; i < 2; i++)
            join(&members[i], &pair, (struct kn_reader_options){.group = 4});
        join(&last, &pair, (struct kn_reader_options){.after = {4}});
        for (uint64_t lap = 0; lap < 4000; lap += 8) {
            push_run(&pair, lap, lap + 8);
            expect_empty(&last);
            expect_peek(&members[0], 2, lap, lap + 2);
            expect_peek(&members[1], 3, lap + 2, lap + 5);
            expect_empty(&last);
            assert_int_equal(kn_reader_release(&members[1], 3), 0);
            expect_empty(&last);
            assert_int_equal(kn_reader_release(&members[0], 1), 0);
            expect_peek(&last, 8, lap, lap + 1);
            assert_int_equal(kn_reader_release(&members[0], 1), 0);
            expect_peek(&last, 8, lap, lap + 5);
            expect_peek(&members[1], 8, lap + 5, lap + 8);
            assert_int_equal(kn_reader_release(&members[1], 3), 0);
            expect_peek(&last, 8, lap, lap + 8);
            assert_int_equal(kn_reader_release(&last, 8), 0);
        }
        kn_reader_leave(&last);
        for (unsigned i = 0; i < 2; i++)
            kn_reader_leave(&members[i]);
        kn_writer_leave(&pair.writer);
        kn_sector_close(&pair.sector);
    }
}

static void pipeline_waits_for_nobody_who_has_left_nor_for_who_took_its_place(void **state)
{
    (void)state;
    for (unsigned shape = 0; shape < BROADCAST_SHAPES; shape++) {
        struct queue_pair pair;
        struct kn_reader second;
        struct kn_reader stranger;
        open_broadcast(&pair, shape, 8, &(struct kn_reader_options){.id = 1});
        join(&second, &pair, (struct kn_reader_options){.after = {1}});
        push(&pair, 0);
        expect_empty(&second);
        kn_reader_leave(&pair.reader);
        expect(&second, 0);
        join(&stranger, &pair, (struct kn_reader_options){0});
        push(&pair, 1);
        expect(&second, 1);
        expect(&stranger, 1);
        kn_reader_leave(&second);
        kn_reader_leave(&stranger);
        kn_writer_leave(&pair.writer);
        kn_sector_close(&pair.sector);
    }
}

/* ---- every relation at once, against a model ---- */

enum { MODEL_SLOTS = 20000, MODEL_CAPACITY = 16, MODEL_WRITERS = 2, MODEL_READERS = 6 };

/* What is known of a position: published with its number, given up, or neither. */
enum fate { FATE_OPEN, FATE_PUBLISHED, FATE_GIVEN_UP };

/* Positions are told by the order of claims. A reader that may be moved says where it is by the number it reads. */
struct model {
    struct kn_sector sector;
    struct kn_writer writers[MODEL_WRITERS];
    struct kn_reader readers[MODEL_READERS];
    unsigned writers_used;
    uint64_t claimed;
    uint64_t claim_first[MODEL_WRITERS];
    uint64_t claim_count[MODEL_WRITERS];
    uint8_t fates[MODEL_SLOTS];
    uint64_t positions[MODEL_READERS]; /* next to read; of a group, in its first member's place */
    uint64_t random;
};

/* Readers: 0 sees all, 1 comes after it, 2 skips, 3 and 4 are a group, 5 comes after the group. */
static const struct kn_reader_options MODEL_OPTIONS[MODEL_READERS] = {
    {.id = 1}, {.id = 2, .after = {1}}, {.lag = KN_LAG_SKIP}, {.group = 3}, {.group = 3}, {.after = {3, 2}}};

static uint64_t draw(struct model *model, uint64_t below)
{
    /* Steele, Lea and Flood's SplitMix64. */
    uint64_t value = model->random += UINT64_C(0x9E3779B97F4A7C15);
    value = (value ^ value >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    value = (value ^ value >> 27) * UINT64_C(0x94D049BB133111EB);
    return (value ^ value >> 31) % below;
}

static void model_write(struct model *model, unsigned writer)
{
    struct kn_writer *cursor = &model->writers[writer];
    struct kn_span span;
    if (model->claim_count[writer] == 0) {
        if (kn_writer_claim(cursor, 1 + draw(model, 6), &span) != 0)
            return;
        model->claim_first[writer] = model->claimed;
        model->claim_count[writer] = span.count;
        for (size_t i = 0; i < span.count; i++)
            *(uint64_t *)kn_span_at(&span, i) = model->claimed + i;
        model->claimed += span.count;
        return;
    }
    uint64_t first = model->claim_first[writer];
    uint64_t published = draw(model, 4) == 0 ? draw(model, model->claim_count[writer] + 1) : model->claim_count[writer];
    if (model->writers_used == 1) /* an exclusive one's rest is no position: it is claimed anew */
        published = model->claim_count[writer];
    assert_int_equal(kn_writer_publish(cursor, published), 0);
    for (uint64_t i = 0; i < model->claim_count[writer]; i++)
        model->fates[first + i] = i < published ? FATE_PUBLISHED : FATE_GIVEN_UP;
    model->claim_count[writer] = 0;
}

/* Where a reader's next message is: the first published position from here on; `claimed` if it cannot be told. */
static uint64_t model_next(const struct model *model, uint64_t position)
{
    while (position < model->claimed && model->fates[position] == FATE_GIVEN_UP)
        position++;
    return position < model->claimed && model->fates[position] == FATE_PUBLISHED ? position : model->claimed;
}

/* How far a reader may go: as far as those before it have released. */
static uint64_t model_limit(const struct model *model, unsigned reader)
{
    if (reader == 1)
        return model->positions[0];
    if (reader == 5)
        return model->positions[3] < model->positions[1] ? model->positions[3] : model->positions[1];
    return model->claimed;
}

static void model_read(struct model *model, unsigned reader)
{
    struct kn_reader *cursor = &model->readers[reader];
    uint64_t *position = &model->positions[reader == 4 ? 3 : reader];
    struct kn_span span;
    int result = kn_reader_peek(cursor, 1 + draw(model, 8), &span);
    if (reader == 2 && result == 0) { /* it may have been moved, and was told */
        uint64_t number = *(uint64_t *)kn_span_at(&span, 0);
        assert_true(number >= *position);
        *position = number;
    }
    uint64_t next = model_next(model, *position);
    bool ready = next < model->claimed && next < model_limit(model, reader);
    if (reader != 2)
        assert_int_equal(result, ready ? 0 : -EAGAIN);
    if (result != 0)
        return;
    for (size_t i = 0; i < span.count; i++, next = model_next(model, next + 1))
        assert_int_equal(*(uint64_t *)kn_span_at(&span, i), next);
    uint64_t last = *(uint64_t *)kn_span_at(&span, span.count - 1);
    assert_true(last < model_limit(model, reader));
    uint64_t released = reader == 3 || reader == 4 ? span.count : draw(model, span.count + 1);
    if (released > 0)
        *position = *(uint64_t *)kn_span_at(&span, released - 1) + 1;
    assert_int_equal(kn_reader_release(cursor, released), 0);
    if (reader == 2 && released == 0) /* else it keeps its span, and with it the writers */
        assert_int_equal(kn_reader_release(cursor, span.count), 0);
    if (reader == 2 && released == 0)
        *position = last + 1;
}

static void model_run(unsigned shape, uint64_t seed)
{
    struct model *model = aligned_alloc(KN_OWNER_STRIDE, sizeof(*model));
    assert_non_null(model);
    struct kn_sector_options options = queue_shape(shape % 4 + shape / 4 * 12, sizeof(uint64_t), MODEL_CAPACITY);
    *model = (struct model){.writers_used = options.writers == KN_WRITERS_SHARED ? MODEL_WRITERS : 1, .random = seed};
    assert_int_equal(kn_sector_create(&model->sector, &options), 0);
    for (unsigned i = 0; i < model->writers_used; i++)
        assert_int_equal(kn_writer_join(&model->writers[i], &model->sector), 0);
    for (unsigned i = 0; i < MODEL_READERS; i++)
        assert_int_equal(kn_reader_join(&model->readers[i], &model->sector, &MODEL_OPTIONS[i]), 0);
    unsigned idle = 0;
    while (model->claimed < MODEL_SLOTS - 8) {
        uint64_t before = model->claimed;
        unsigned who = (unsigned)draw(model, MODEL_READERS + 2 * model->writers_used);
        if (who < MODEL_READERS)
            model_read(model, who);
        else
            model_write(model, who % model->writers_used);
        idle = model->claimed == before ? idle + 1 : 0;
        assert_true(idle < 10000); /* nobody is stuck */
    }
    for (unsigned i = 0; i < MODEL_READERS; i++)
        kn_reader_leave(&model->readers[i]);
    for (unsigned i = 0; i < model->writers_used; i++)
        kn_writer_leave(&model->writers[i]);
    kn_sector_close(&model->sector);
    free(model);
}

static void cursors_of_every_relation_agree_with_a_model(void **state)
{
    (void)state;
    for (unsigned shape = 0; shape < BROADCAST_SHAPES; shape++)
        for (uint64_t seed = 1; seed <= 5; seed++)
            model_run(shape, seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cursor_walks_many_laps_with_runs_of_every_length),
        cmocka_unit_test(cursor_spans_cross_the_end_of_the_ring_in_one_piece),
        cmocka_unit_test(sector_counts_what_the_slowest_reader_has_not_released),
        cmocka_unit_test(sector_that_is_not_robust_has_nothing_to_recover_from),
        cmocka_unit_test(sector_forgets_nobody_who_lives_or_whom_it_does_not_know),
        cmocka_unit_test(reader_of_a_dead_process_keeps_its_place_for_its_id_until_it_is_forgotten),
        cmocka_unit_test(groups_members_compete_and_several_groups_each_see_everything),
        cmocka_unit_test(groups_member_keeps_its_part_and_the_slowest_holds_the_writer_up),
        cmocka_unit_test(group_without_members_keeps_its_place_until_it_is_forgotten),
        cmocka_unit_test(pipeline_never_overtakes),
        cmocka_unit_test(pipeline_never_overtakes_past_what_was_given_up),
        cmocka_unit_test(pipeline_never_overtakes_the_slowest_member_of_a_group),
        cmocka_unit_test(pipeline_waits_for_nobody_who_has_left_nor_for_who_took_its_place),
        cmocka_unit_test(cursors_of_every_relation_agree_with_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
