/*
 * Streams with another beginning or end. See stream_take.h.
 */
#include <kernel/assert.h>
#include <kernel/stream_source.h>
#include <kernel/stream_take.h>

#include "stream_observer.h"

static const struct harness_item mixed[] = {FAILURE(0, -EIO), ITEM(1, 1), ITEM(0, 2), FAILURE(1, -EPIPE),
                                            ITEM(0, 3),       ITEM(1, 4), ITEM(0, 1)};

static struct kn_stream *mixed_stream(struct harness *world)
{
    return harness_owned_stream(world, mixed, COUNT_OF(mixed));
}

/* For what gives no items back by itself. */
static struct kn_stream *owned(struct harness *world, struct kn_stream *stream)
{
    return KN_IN(harness_arena(world), kn_stream_owned, stream, harness_discard, NULL);
}

static bool is_below_three(kn_value_t value, void *context)
{
    (void)context;
    return read_object(value) < 3;
}

/* ---- take, take_while, map_while, scan ---- */

static struct kn_stream *make_take(struct harness *world)
{
    return KN_IN(harness_arena(world), kn_stream_take, mixed_stream(world), 3);
}

static struct kn_stream *make_take_more(struct harness *world)
{
    return KN_IN(harness_arena(world), kn_stream_take, mixed_stream(world), 100);
}

static void take_ends_after_its_count_of_items(void **state)
{
    (void)state;
    CLAIM(make_take, read_object, GIVE_BACK_AT_ONCE, -EIO, 1, 2, -EPIPE, 3);
    CLAIM(make_take, read_object, GIVE_BACK_AFTER_THE_END, -EIO, 1, 2, -EPIPE, 3);
    CLAIM(make_take_more, read_object, GIVE_BACK_AT_ONCE, -EIO, 1, 2, -EPIPE, 3, 4, 1);
}

static void take_of_none_polls_nothing(void **state)
{
    (void)state;
    struct kn_stream_take memory;
    struct observed observed;
    observe_all(kn_stream_take(&memory, victim(), 0), read_integer, &observed);
    assert_int_equal(observed.count, 0);
    assert_true(the_victim.drops >= 1);
}

static struct kn_stream *make_take_while(struct harness *world)
{
    return KN_IN(harness_arena(world), kn_stream_take_while, mixed_stream(world), is_below_three, NULL);
}

static void take_while_ends_at_the_first_item_that_it_gives_back(void **state)
{
    (void)state;
    CLAIM(make_take_while, read_object, GIVE_BACK_AT_ONCE, -EIO, 1, 2, -EPIPE);
    CLAIM(make_take_while, read_object, GIVE_BACK_AFTER_THE_END, -EIO, 1, 2, -EPIPE);
}

/* Ends at 4, fails for 2, multiplies the others. */
static struct kn_outcome step(kn_value_t value, void *context)
{
    (void)context;
    struct harness_object *object = value.pointer;
    if (object->number == 4)
        return kn_ended();
    if (object->number == 2)
        return kn_failed(-EPROTO);
    object->number *= 10;
    return kn_ready(value);
}

static struct kn_stream *make_map_while(struct harness *world)
{
    return owned(world, KN_IN(harness_arena(world), kn_stream_map_while, mixed_stream(world), step, NULL));
}

static void map_while_ends_where_its_function_does(void **state)
{
    (void)state;
    CLAIM(make_map_while, read_object, GIVE_BACK_AT_ONCE, -EIO, 10, -EPROTO, -EPIPE, 30);
    CLAIM(make_map_while, read_object, GIVE_BACK_AFTER_THE_END, -EIO, 10, -EPROTO, -EPIPE, 30);
}

/* Adds up to the first item that makes the sum 110 or more. */
static struct kn_outcome add(kn_value_t *sum, kn_value_t value, void *context)
{
    (void)context;
    struct harness_object *object = value.pointer;
    sum->integer += object->number;
    if (sum->integer >= 110)
        return kn_ended();
    object->number = sum->integer;
    return kn_ready(value);
}

static struct kn_stream *make_scan(struct harness *world)
{
    struct kn_stream *stream = mixed_stream(world);
    return owned(world, KN_IN(harness_arena(world), kn_stream_scan, stream, KN_VALUE(100), add, NULL));
}

static void scan_hands_its_state_from_item_to_item(void **state)
{
    (void)state;
    CLAIM(make_scan, read_object, GIVE_BACK_AT_ONCE, -EIO, 101, 103, -EPIPE, 106);
    CLAIM(make_scan, read_object, GIVE_BACK_AFTER_THE_END, -EIO, 101, 103, -EPIPE, 106);
}

/* ---- take_until ---- */

static const struct harness_item short_items[] = {ITEM(1, 1), FAILURE(0, -EIO), ITEM(1, 2), ITEM(1, 3)};

static struct kn_stream *short_stream(struct harness *world)
{
    return harness_owned_stream(world, short_items, COUNT_OF(short_items));
}

static unsigned were_all, were_none, had_failed;

static struct kn_stream *make_take_until(struct harness *world)
{
    struct kn_stream *stream = short_stream(world);
    return KN_IN(harness_arena(world), kn_stream_take_until, stream, harness_owned_future(world, 1, 99));
}

static struct kn_stream *make_take_until_failure(struct harness *world)
{
    struct kn_future *until = harness_future(world, 1, kn_failed(-ECANCELED));
    return KN_IN(harness_arena(world), kn_stream_take_until, short_stream(world), until);
}

static struct kn_stream *make_take_until_ready(struct harness *world)
{
    struct kn_stream *stream = short_stream(world);
    return KN_IN(harness_arena(world), kn_stream_take_until, stream, harness_owned_future(world, 0, 99));
}

/* Whether these are the first of short_items, perhaps with a failure of the future after them. */
static void is_beginning(const struct observed *observed)
{
    static const int64_t all[] = {1, -EIO, 2, 3};
    size_t count = observed->count;
    if (count > 0 && observed->answers[count - 1] == -ECANCELED) {
        had_failed++;
        count--;
    }
    assert_true(count <= COUNT_OF(all));
    assert_memory_equal(observed->answers, all, count * sizeof all[0]);
    were_all += observed->has_ended && count == COUNT_OF(all);
    were_none += observed->has_ended && count == 0;
}

static void take_until_ends_when_its_future_answers(void **state)
{
    (void)state;
    were_all = were_none = had_failed = 0;
    CLAIM_CHECKED(make_take_until, read_object, GIVE_BACK_AT_ONCE, is_beginning);
    CLAIM_CHECKED(make_take_until, read_object, GIVE_BACK_AFTER_THE_END, is_beginning);
    assert_true(were_all > 0 && were_none > 0);
    assert_int_equal(had_failed, 0);
    explore_claim((struct claim){.make = make_take_until_ready, .read = read_object});
}

static void take_until_passes_the_failure_of_its_future_on(void **state)
{
    (void)state;
    were_all = were_none = had_failed = 0;
    CLAIM_CHECKED(make_take_until_failure, read_object, GIVE_BACK_AT_ONCE, is_beginning);
    assert_true(were_all > 0 && were_none > 0 && had_failed > 0);
}

/* ---- skip, skip_while ---- */

static struct kn_stream *make_skip(struct harness *world)
{
    return KN_IN(harness_arena(world), kn_stream_skip, mixed_stream(world), 2);
}

static struct kn_stream *make_skip_none(struct harness *world)
{
    return KN_IN(harness_arena(world), kn_stream_skip, mixed_stream(world), 0);
}

static struct kn_stream *make_skip_all(struct harness *world)
{
    return KN_IN(harness_arena(world), kn_stream_skip, mixed_stream(world), 100);
}

static void skip_gives_back_its_count_of_items(void **state)
{
    (void)state;
    CLAIM(make_skip, read_object, GIVE_BACK_AT_ONCE, -EIO, -EPIPE, 3, 4, 1);
    CLAIM(make_skip, read_object, GIVE_BACK_AFTER_THE_END, -EIO, -EPIPE, 3, 4, 1);
    CLAIM(make_skip_none, read_object, GIVE_BACK_AT_ONCE, -EIO, 1, 2, -EPIPE, 3, 4, 1);
    CLAIM(make_skip_all, read_object, GIVE_BACK_AT_ONCE, -EIO, -EPIPE);
}

static struct kn_stream *make_skip_while(struct harness *world)
{
    return KN_IN(harness_arena(world), kn_stream_skip_while, mixed_stream(world), is_below_three, NULL);
}

static void skip_while_begins_at_the_first_item_that_it_does_not_give_back(void **state)
{
    (void)state;
    CLAIM(make_skip_while, read_object, GIVE_BACK_AT_ONCE, -EIO, -EPIPE, 3, 4, 1);
    CLAIM(make_skip_while, read_object, GIVE_BACK_AFTER_THE_END, -EIO, -EPIPE, 3, 4, 1);
}

static bool anything(kn_value_t value, void *context)
{
    (void)value;
    (void)context;
    return true;
}

static void assert_lets_others_run(struct kn_stream *stream)
{
    static struct kn_local_executor local;
    kn_local_executor_init(&local, 0);
    struct kn_context context = kn_local_executor_context(&local);
    assert_int_equal(kn_stream_poll(stream, &context).status, KN_PENDING);
    assert_true(kn_local_executor_is_woken(&local));
    kn_stream_drop(stream);
}

static void skips_let_others_run_however_much_they_leave_out(void **state)
{
    (void)state;
    struct kn_stream_repeat repeat;
    struct kn_stream_skip skip;
    struct kn_stream_skip_while skip_while;
    assert_lets_others_run(kn_stream_skip(&skip, kn_stream_repeat(&repeat, KN_NOTHING), UINT64_MAX));
    assert_lets_others_run(kn_stream_skip_while(&skip_while, kn_stream_repeat(&repeat, KN_NOTHING), anything, NULL));
}

static void take_and_skip_make_the_whole(void **state)
{
    (void)state;
    struct kn_stream_range range;
    struct kn_stream_take take;
    struct kn_stream_skip skip;
    struct observed whole, head, tail;
    observe_all(kn_stream_range(&range, 0, 20, 1), read_integer, &whole);
    for (uint64_t count = 0; count <= 22; count++) {
        observe_all(kn_stream_take(&take, kn_stream_range(&range, 0, 20, 1), count), read_integer, &head);
        observe_all(kn_stream_skip(&skip, kn_stream_range(&range, 0, 20, 1), count), read_integer, &tail);
        assert_int_equal(head.count, count < 20 ? count : 20);
        memcpy(&head.answers[head.count], tail.answers, tail.count * sizeof tail.answers[0]);
        head.count += tail.count;
        assert_same(&head, &whole);
    }
}

/* ---- into_future ---- */

static unsigned answered;

static void build_into_future(struct harness *world, void *context)
{
    (void)context;
    harness_spawn(world, KN_IN(harness_arena(world), kn_stream_into_future, short_stream(world)));
}

static void build_into_future_of_a_failure(struct harness *world, void *context)
{
    (void)context;
    harness_spawn(world, KN_IN(harness_arena(world), kn_stream_into_future, mixed_stream(world)));
}

static void build_into_future_of_nothing(struct harness *world, void *context)
{
    (void)context;
    struct kn_stream *stream = harness_owned_stream(world, NULL, 0);
    harness_spawn(world, KN_IN(harness_arena(world), kn_stream_into_future, stream));
}

static void check_first(struct harness *world, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)world;
    (void)task;
    answered++;
    const int64_t *status = context;
    assert_int_equal(outcome.status, *status);
    if (outcome.status == KN_READY)
        assert_int_equal(read_object(((const struct kn_stream_first *)outcome.value.pointer)->value), 1);
}

static void into_future_answers_with_the_first_item_and_the_rest(void **state)
{
    (void)state;
    int64_t status = KN_READY;
    answered = 0;
    harness_explore(build_into_future, check_first, &status, NULL);
    status = -EIO;
    harness_explore(build_into_future_of_a_failure, check_first, &status, NULL);
    status = KN_END;
    harness_explore(build_into_future_of_nothing, check_first, &status, NULL);
    assert_true(answered >= 3);
    struct kn_stream_range range;
    struct kn_stream_into_future memory;
    struct observed rest;
    static struct kn_local_executor local;
    kn_local_executor_init(&local, 0);
    struct kn_stream *stream = kn_stream_range(&range, 5, 8, 1);
    struct kn_outcome outcome = kn_local_executor_run(&local, kn_stream_into_future(&memory, stream));
    const struct kn_stream_first *first = outcome.value.pointer;
    assert_int_equal(first->value.integer, 5);
    observe_all(first->rest, read_integer, &rest);
    assert_int_equal(rest.count, 2);
    assert_int_equal(rest.answers[0], 6);
}

/* ---- fuse, boxed ---- */

static struct kn_outcome end_at_once(void *context, struct kn_context *poll)
{
    (void)poll;
    ++*(unsigned *)context;
    return kn_ended();
}

static struct kn_stream *make_fuse(struct harness *world)
{
    return KN_IN(harness_arena(world), kn_stream_fuse, short_stream(world));
}

static void fuse_may_be_polled_after_its_end_and_after_its_drop(void **state)
{
    (void)state;
    CLAIM(make_fuse, read_object, GIVE_BACK_AT_ONCE, 1, -EIO, 2, 3);
    CLAIM(make_fuse, read_object, GIVE_BACK_AFTER_THE_END, 1, -EIO, 2, 3);
    static struct kn_local_executor local;
    kn_local_executor_init(&local, 0);
    struct kn_context context = kn_local_executor_context(&local);
    struct kn_stream_poll_fn poll_fn;
    struct kn_stream_fuse fuse;
    unsigned polls = 0;
    struct kn_stream *stream = kn_stream_fuse(&fuse, kn_stream_poll_fn(&poll_fn, end_at_once, &polls));
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(kn_stream_poll(stream, &context).status, KN_END);
    assert_int_equal(polls, 1);
    stream = kn_stream_fuse(&fuse, victim());
    kn_stream_drop(stream);
    assert_int_equal(kn_stream_poll(stream, &context).status, KN_END);
}

static struct harness_object *box;

static void free_box(void *context)
{
    assert_ptr_equal(context, &box);
    harness_object_free(box);
}

static struct kn_stream *make_boxed(struct harness *world)
{
    box = harness_object(world, 0);
    struct kn_stream *stream = KN_IN(harness_arena(world), kn_stream_boxed, short_stream(world), free_box, &box);
    return owned(world, stream);
}

static void boxed_is_released_once_at_its_end_or_drop(void **state)
{
    (void)state;
    CLAIM(make_boxed, read_object, GIVE_BACK_AT_ONCE, 1, -EIO, 2, 3);
    CLAIM(make_boxed, read_object, GIVE_BACK_AFTER_THE_END, 1, -EIO, 2, 3);
}

static struct kn_stream *make_boxed_in_arena(struct harness *world)
{
    static uint8_t memory[256];
    static struct kn_arena box_arena;
    struct kn_arena *arena = harness_arena(world);
    kn_arena_init(&box_arena, memory, sizeof memory);
    struct kn_stream *stream = KN_IN(&box_arena, kn_stream_take, short_stream(world), 3);
    stream = kn_stream_boxed_in_arena(KN_ARENA_NEW(arena, struct kn_stream_boxed), stream, &box_arena, 0);
    return owned(world, stream);
}

static void boxed_in_arena_rewinds_it_at_its_end_or_drop(void **state)
{
    (void)state;
    CLAIM(make_boxed_in_arena, read_object, GIVE_BACK_AT_ONCE, 1, -EIO, 2, 3);
    static uint8_t memory[256]; /* stays poisoned */
    struct kn_arena arena;
    struct kn_stream_boxed boxed;
    struct observed observed;
    kn_arena_init(&arena, memory, sizeof memory);
    kn_arena_mark_t mark = kn_arena_mark(&arena);
    struct kn_stream *stream = KN_IN(&arena, kn_stream_range, 0, 2, 1);
    observe_all(kn_stream_boxed_in_arena(&boxed, stream, &arena, mark), read_integer, &observed);
    assert_int_equal(observed.count, 2);
    assert_int_equal(kn_arena_mark(&arena), mark);
    stream = KN_IN(&arena, kn_stream_range, 0, 2, 1);
    stream = kn_stream_boxed_in_arena(&boxed, stream, &arena, mark);
    kn_stream_drop(stream);
    assert_int_equal(kn_arena_mark(&arena), mark);
    stream = KN_IN(&arena, kn_stream_range, 0, 2, 1);
    assert_null(kn_stream_boxed_in_arena(NULL, stream, &arena, mark));
    assert_int_equal(kn_arena_mark(&arena), mark);
}

/* ---- catch ---- */

static void break_at_three(kn_value_t value, void *context)
{
    (void)context;
    if (read_object(value) == 3) {
        harness_discard(value, NULL); /* for its function is left here */
        kn_assert_failed("an item", __FILE__, __LINE__);
    }
}

static struct kn_stream *make_catch(struct harness *world)
{
    struct kn_arena *arena = harness_arena(world);
    struct kn_stream *stream = KN_IN(arena, kn_stream_inspect, mixed_stream(world), break_at_three, NULL);
    return KN_IN(arena, kn_stream_catch, stream);
}

static struct kn_stream *make_catch_of_what_holds(struct harness *world)
{
    return KN_IN(harness_arena(world), kn_stream_catch, short_stream(world));
}

static void catch_fails_and_ends_where_an_invariant_breaks(void **state)
{
    (void)state;
    CLAIM(make_catch, read_object, GIVE_BACK_AT_ONCE, -EIO, 1, 2, -EPIPE, -ECANCELED);
    CLAIM(make_catch, read_object, GIVE_BACK_AFTER_THE_END, -EIO, 1, 2, -EPIPE, -ECANCELED);
    CLAIM(make_catch_of_what_holds, read_object, GIVE_BACK_AT_ONCE, 1, -EIO, 2, 3);
}

/* ---- cycle ---- */

struct rounds {
    struct harness *world;
    unsigned made;
    unsigned last; /* which has no items, or is none */
    bool fails;
};

static struct rounds rounds;

static struct kn_stream *make_round(void *context)
{
    static const struct harness_item items[] = {ITEM(1, 1), ITEM(0, 2)};
    static const struct harness_item failure[] = {FAILURE(0, -EIO)};
    static const struct harness_item left_out[] = {ITEM(1, 9)};
    struct rounds *self = context;
    if (++self->made == self->last && self->fails)
        return NULL;
    if (self->made == self->last) {
        struct kn_stream *stream = harness_owned_stream(self->world, left_out, COUNT_OF(left_out));
        return KN_IN(harness_arena(self->world), kn_stream_skip, stream, 1);
    }
    if (self->made == 2)
        return harness_owned_stream(self->world, failure, COUNT_OF(failure));
    return harness_owned_stream(self->world, items, COUNT_OF(items));
}

static struct kn_stream *make_cycle(struct harness *world)
{
    rounds = (struct rounds){.world = world, .last = 4};
    return KN_IN(harness_arena(world), kn_stream_cycle, make_round, &rounds);
}

static struct kn_stream *make_cycle_of_nothing(struct harness *world)
{
    rounds = (struct rounds){.world = world, .last = 1};
    return KN_IN(harness_arena(world), kn_stream_cycle, make_round, &rounds);
}

static struct kn_stream *make_cycle_that_fails(struct harness *world)
{
    rounds = (struct rounds){.world = world, .last = 3, .fails = true};
    return KN_IN(harness_arena(world), kn_stream_cycle, make_round, &rounds);
}

static void cycle_goes_on_until_a_stream_is_empty(void **state)
{
    (void)state;
    CLAIM(make_cycle, read_object, GIVE_BACK_AT_ONCE, 1, 2, -EIO, 1, 2);
    CLAIM(make_cycle, read_object, GIVE_BACK_AFTER_THE_END, 1, 2, -EIO, 1, 2);
    explore_claim((struct claim){.make = make_cycle_of_nothing, .read = read_object});
}

static void cycle_fails_and_ends_when_no_stream_is_made(void **state)
{
    (void)state;
    CLAIM(make_cycle_that_fails, read_object, GIVE_BACK_AT_ONCE, 1, 2, -EIO, -ENOMEM);
    CLAIM(make_cycle_that_fails, read_object, GIVE_BACK_AFTER_THE_END, 1, 2, -EIO, -ENOMEM);
}

/* ---- in general ---- */

static void count_call(void *context)
{
    ++*(unsigned *)context;
}

static void what_is_made_of_nothing_is_null_and_drops_the_rest(void **state)
{
    (void)state;
    union {
        struct kn_stream_take take;
        struct kn_stream_take_while take_while;
        struct kn_stream_map_while map_while;
        struct kn_stream_scan scan;
        struct kn_stream_take_until take_until;
        struct kn_stream_skip skip;
        struct kn_stream_skip_while skip_while;
        struct kn_stream_into_future into_future;
        struct kn_stream_fuse fuse;
        struct kn_stream_boxed boxed;
        struct kn_stream_catch catch;
    } memory;
    struct dropped_future until;
    unsigned calls = 0;
    ASSERT_REFUSES(kn_stream_take(NULL, victim(), 1));
    assert_null(kn_stream_take(&memory.take, NULL, 1));
    ASSERT_REFUSES(kn_stream_take_while(NULL, victim(), anything, NULL));
    assert_null(kn_stream_take_while(&memory.take_while, NULL, anything, NULL));
    ASSERT_REFUSES(kn_stream_map_while(NULL, victim(), step, NULL));
    assert_null(kn_stream_map_while(&memory.map_while, NULL, step, NULL));
    ASSERT_REFUSES(kn_stream_scan(NULL, victim(), KN_NOTHING, add, NULL));
    assert_null(kn_stream_scan(&memory.scan, NULL, KN_NOTHING, add, NULL));
    ASSERT_REFUSES(kn_stream_take_until(NULL, victim(), dropped_future(&until)));
    assert_int_equal(until.drops, 1);
    ASSERT_REFUSES(kn_stream_take_until(&memory.take_until, victim(), NULL));
    assert_null(kn_stream_take_until(&memory.take_until, NULL, dropped_future(&until)));
    assert_int_equal(until.drops, 1);
    ASSERT_REFUSES(kn_stream_skip(NULL, victim(), 1));
    assert_null(kn_stream_skip(&memory.skip, NULL, 1));
    ASSERT_REFUSES(kn_stream_skip_while(NULL, victim(), anything, NULL));
    assert_null(kn_stream_skip_while(&memory.skip_while, NULL, anything, NULL));
    ASSERT_REFUSES(kn_stream_into_future(NULL, victim()));
    assert_null(kn_stream_into_future(&memory.into_future, NULL));
    ASSERT_REFUSES(kn_stream_fuse(NULL, victim()));
    assert_null(kn_stream_fuse(&memory.fuse, NULL));
    ASSERT_REFUSES(kn_stream_boxed(NULL, victim(), count_call, &calls));
    assert_null(kn_stream_boxed(&memory.boxed, NULL, count_call, &calls));
    assert_int_equal(calls, 2);
    ASSERT_REFUSES(kn_stream_catch(NULL, victim()));
    assert_null(kn_stream_catch(&memory.catch, NULL));
    assert_null(kn_stream_cycle(NULL, make_round, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(take_ends_after_its_count_of_items),
        cmocka_unit_test(take_of_none_polls_nothing),
        cmocka_unit_test(take_while_ends_at_the_first_item_that_it_gives_back),
        cmocka_unit_test(map_while_ends_where_its_function_does),
        cmocka_unit_test(scan_hands_its_state_from_item_to_item),
        cmocka_unit_test(take_until_ends_when_its_future_answers),
        cmocka_unit_test(take_until_passes_the_failure_of_its_future_on),
        cmocka_unit_test(skip_gives_back_its_count_of_items),
        cmocka_unit_test(skip_while_begins_at_the_first_item_that_it_does_not_give_back),
        cmocka_unit_test(skips_let_others_run_however_much_they_leave_out),
        cmocka_unit_test(take_and_skip_make_the_whole),
        cmocka_unit_test(into_future_answers_with_the_first_item_and_the_rest),
        cmocka_unit_test(fuse_may_be_polled_after_its_end_and_after_its_drop),
        cmocka_unit_test(boxed_is_released_once_at_its_end_or_drop),
        cmocka_unit_test(boxed_in_arena_rewinds_it_at_its_end_or_drop),
        cmocka_unit_test(catch_fails_and_ends_where_an_invariant_breaks),
        cmocka_unit_test(cycle_goes_on_until_a_stream_is_empty),
        cmocka_unit_test(cycle_fails_and_ends_when_no_stream_is_made),
        cmocka_unit_test(what_is_made_of_nothing_is_null_and_drops_the_rest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
