/*
 * Where streams begin. See stream_source.h.
 */
#include <kernel/stream_map.h>
#include <kernel/stream_source.h>
#include <kernel/stream_take.h>

#include "stream_observer.h"

/* ---- of what is there ---- */

struct pixel {
    uint8_t red, green, blue;
};

static int64_t read_pixel(kn_value_t value)
{
    const struct pixel *pixel = value.pointer;
    return pixel->red + pixel->green * 100 + pixel->blue * 10000;
}

static struct kn_stream *make_iter(struct harness *world)
{
    static const struct pixel pixels[] = {{1, 2, 3}, {4, 5, 6}, {7, 8, 9}};
    return KN_IN(harness_arena(world), kn_stream_iter, pixels, COUNT_OF(pixels), sizeof pixels[0]);
}

static void iter_points_to_each_element_in_order(void **state)
{
    (void)state;
    CLAIM(make_iter, read_pixel, GIVE_BACK_AT_ONCE, 30201, 60504, 90807);
    CLAIM(make_iter, read_pixel, GIVE_BACK_AFTER_THE_END, 30201, 60504, 90807);
}

static void iter_of_no_elements_ends_at_once(void **state)
{
    (void)state;
    struct kn_stream_iter memory;
    struct observed observed;
    observe_all(kn_stream_iter(&memory, NULL, 0, 4), read_integer, &observed);
    assert_int_equal(observed.count, 0);
}

static struct kn_stream *make_iter_values(struct harness *world)
{
    static const kn_value_t values[] = {{.integer = 3}, {.integer = -1}, {.integer = 4}};
    return KN_IN(harness_arena(world), kn_stream_iter_values, values, COUNT_OF(values));
}

static void iter_values_gives_the_values_of_an_array(void **state)
{
    (void)state;
    CLAIM(make_iter_values, read_integer, GIVE_BACK_AT_ONCE, 3, -1, 4);
}

static struct kn_stream *make_once(struct harness *world)
{
    return KN_IN(harness_arena(world), kn_stream_once, KN_VALUE(7));
}

static struct kn_stream *make_empty(struct harness *world)
{
    return KN_IN(harness_arena(world), kn_stream_empty);
}

static void once_gives_its_value_and_empty_none(void **state)
{
    (void)state;
    CLAIM(make_once, read_integer, GIVE_BACK_AT_ONCE, 7);
    struct claim nothing = {.make = make_empty, .read = read_integer};
    explore_claim(nothing);
    struct kn_stream_empty memory;
    struct observed observed;
    observe_all(kn_stream_empty(&memory), read_integer, &observed);
    assert_int_equal(observed.count, 0);
}

static void pending_waits_for_ever(void **state)
{
    (void)state;
    struct kn_stream_pending pending;
    struct kn_stream_next next;
    static struct kn_local_executor local;
    kn_local_executor_init(&local, 0);
    struct kn_stream *stream = kn_stream_pending(&pending);
    assert_int_equal(kn_local_executor_run(&local, kn_stream_next(&next, stream)).status, -EDEADLK);
    kn_stream_drop(stream);
}

static struct kn_stream *make_repeat(struct harness *world)
{
    struct kn_arena *arena = harness_arena(world);
    struct kn_stream *stream = KN_IN(arena, kn_stream_repeat, KN_VALUE(5));
    return KN_IN(arena, kn_stream_take, stream, 4);
}

static void repeat_gives_its_value_again_and_again(void **state)
{
    (void)state;
    CLAIM(make_repeat, read_integer, GIVE_BACK_AT_ONCE, 5, 5, 5, 5);
}

static struct observed range(int64_t from, int64_t to, int64_t step, uint64_t at_most)
{
    struct kn_stream_range range;
    struct kn_stream_take take;
    struct observed observed;
    observe_all(kn_stream_take(&take, kn_stream_range(&range, from, to, step), at_most), read_integer, &observed);
    return observed;
}

static void range_goes_from_the_first_to_before_the_last(void **state)
{
    (void)state;
    static const int64_t starts[] = {-3, 0, 5};
    static const int64_t ends[] = {-7, -3, 0, 4, 9};
    for (size_t i = 0; i < COUNT_OF(starts); i++) {
        for (size_t j = 0; j < COUNT_OF(ends); j++) {
            for (int64_t step = -4; step <= 4; step++) {
                if (step == 0)
                    continue;
                struct observed observed = range(starts[i], ends[j], step, OBSERVED_MAX);
                size_t count = 0;
                for (int64_t k = starts[i]; step > 0 ? k < ends[j] : k > ends[j]; k += step)
                    assert_int_equal(observed.answers[count++], k);
                assert_int_equal(observed.count, count);
            }
        }
    }
}

static void range_holds_at_the_limits_of_integers(void **state)
{
    (void)state;
    struct observed up = range(INT64_MIN, INT64_MAX, INT64_MAX, OBSERVED_MAX);
    assert_int_equal(up.count, 3);
    assert_int_equal(up.answers[0], INT64_MIN);
    assert_int_equal(up.answers[1], -1);
    assert_int_equal(up.answers[2], INT64_MAX - 1);
    struct observed down = range(INT64_MAX, INT64_MIN, INT64_MIN, OBSERVED_MAX);
    assert_int_equal(down.count, 2);
    assert_int_equal(down.answers[0], INT64_MAX);
    assert_int_equal(down.answers[1], -1);
    struct observed still = range(3, 4, 0, 5);
    assert_int_equal(still.count, 5);
    assert_int_equal(still.answers[4], 3);
    assert_int_equal(range(3, 3, 0, 5).count, 0);
}

/* ---- of a function ---- */

static int64_t counter;

static kn_value_t count_up(void *context)
{
    return KN_VALUE(++*(int64_t *)context);
}

static struct kn_stream *make_repeat_with(struct harness *world)
{
    struct kn_arena *arena = harness_arena(world);
    counter = 10;
    struct kn_stream *stream = KN_IN(arena, kn_stream_repeat_with, count_up, &counter);
    return KN_IN(arena, kn_stream_take, stream, 3);
}

static void repeat_with_calls_its_function_for_each_item(void **state)
{
    (void)state;
    CLAIM(make_repeat_with, read_integer, GIVE_BACK_AT_ONCE, 11, 12, 13);
    assert_int_equal(counter, 10); /* the last execution drops it first: nothing is made before it is asked for */
}

/* Owned values up to 4, and a failure where 3 would be. */
struct countdown {
    struct harness *world;
    int64_t number;
};

static struct countdown countdown;

static struct kn_outcome count_objects(void *context)
{
    struct countdown *self = context;
    if (++self->number == 3)
        return kn_failed(-EIO);
    return self->number > 4 ? kn_ended() : kn_ready(KN_VALUE(harness_object(self->world, self->number)));
}

static struct kn_stream *make_unfold(struct harness *world)
{
    struct kn_arena *arena = harness_arena(world);
    countdown = (struct countdown){.world = world};
    struct kn_stream *stream = KN_IN(arena, kn_stream_unfold, count_objects, &countdown);
    return KN_IN(arena, kn_stream_owned, stream, harness_discard, NULL);
}

static void unfold_gives_what_its_function_makes_up_to_its_end(void **state)
{
    (void)state;
    CLAIM(make_unfold, read_object, GIVE_BACK_AT_ONCE, 1, 2, -EIO, 4);
    CLAIM(make_unfold, read_object, GIVE_BACK_AFTER_THE_END, 1, 2, -EIO, 4);
}

static struct kn_future *count_futures(void *context)
{
    struct countdown *self = context;
    if (++self->number == 2)
        return harness_future(self->world, 1, kn_failed(-EIO));
    return self->number > 3 ? NULL : harness_owned_future(self->world, 1, self->number);
}

static struct kn_future *count_futures_to_an_end(void *context)
{
    struct countdown *self = context;
    if (++self->number == 2)
        return harness_future(self->world, 1, kn_ended());
    return harness_owned_future(self->world, 0, self->number);
}

static struct kn_stream *make_unfold_of(struct harness *world, struct kn_future *(*function)(void *context))
{
    struct kn_arena *arena = harness_arena(world);
    countdown = (struct countdown){.world = world};
    struct kn_stream *stream = KN_IN(arena, kn_stream_unfold_future, function, &countdown);
    return KN_IN(arena, kn_stream_owned, stream, harness_discard, NULL);
}

static struct kn_stream *make_unfold_future(struct harness *world)
{
    return make_unfold_of(world, count_futures);
}

static struct kn_stream *make_unfold_future_to_an_end(struct harness *world)
{
    return make_unfold_of(world, count_futures_to_an_end);
}

static void unfold_future_waits_for_the_future_of_each_item(void **state)
{
    (void)state;
    CLAIM(make_unfold_future, read_object, GIVE_BACK_AT_ONCE, 1, -EIO, 3);
    CLAIM(make_unfold_future, read_object, GIVE_BACK_AFTER_THE_END, 1, -EIO, 3);
    CLAIM(make_unfold_future_to_an_end, read_object, GIVE_BACK_AT_ONCE, 1);
}

static struct kn_future *hand_out(void *context)
{
    return context;
}

static void unfold_future_drops_its_future_once(void **state)
{
    (void)state;
    struct kn_stream_unfold_future memory;
    struct dropped_future future;
    poll_and_drop_twice(kn_stream_unfold_future(&memory, hand_out, dropped_future(&future)));
    assert_int_equal(future.drops, 1);
}

static struct kn_outcome every_other_poll(void *context, struct kn_context *poll)
{
    int64_t *polls = context;
    if (++*polls > 5)
        return kn_ended();
    if (*polls % 2 == 1) {
        kn_waker_wake(poll->waker);
        return kn_pending();
    }
    return kn_ready(KN_VALUE(*polls));
}

static struct kn_stream *make_poll_fn(struct harness *world)
{
    counter = 0;
    return KN_IN(harness_arena(world), kn_stream_poll_fn, every_other_poll, &counter);
}

static void poll_fn_answers_what_its_function_does(void **state)
{
    (void)state;
    CLAIM(make_poll_fn, read_integer, GIVE_BACK_AT_ONCE, 2, 4);
}

/* ---- of another stream's polls ---- */

enum { WAITED = 1000 };

static int64_t read_poll(kn_value_t value)
{
    const struct kn_outcome *outcome = value.pointer;
    return outcome->status == KN_PENDING ? WAITED : read_object(outcome->value);
}

static struct kn_stream *make_poll_immediate(struct harness *world)
{
    static const struct harness_item items[] = {ITEM(0, 1), ITEM(0, 2), FAILURE(0, -EIO), ITEM(0, 3)};
    struct kn_stream *stream = harness_owned_stream(world, items, COUNT_OF(items));
    return KN_IN(harness_arena(world), kn_stream_poll_immediate, stream);
}

static struct kn_stream *make_poll_immediate_of_one_that_waits(struct harness *world)
{
    static const struct harness_item items[] = {ITEM(0, 1), ITEM(1, 2)};
    struct kn_arena *arena = harness_arena(world);
    struct kn_stream *stream = harness_owned_stream(world, items, COUNT_OF(items));
    stream = KN_IN(arena, kn_stream_poll_immediate, stream);
    return KN_IN(arena, kn_stream_take, stream, 3);
}

static void poll_immediate_makes_items_of_polls(void **state)
{
    (void)state;
    CLAIM(make_poll_immediate, read_poll, GIVE_BACK_AT_ONCE, 1, 2, -EIO, 3);
    CLAIM(make_poll_immediate_of_one_that_waits, read_poll, GIVE_BACK_AT_ONCE, 1, WAITED, WAITED);
}

/* ---- in general ---- */

static void sources_without_memory_are_null(void **state)
{
    (void)state;
    int64_t number = 0;
    assert_null(kn_stream_iter(NULL, &number, 1, sizeof number));
    assert_null(kn_stream_iter_values(NULL, NULL, 0));
    assert_null(kn_stream_once(NULL, KN_NOTHING));
    assert_null(kn_stream_empty(NULL));
    assert_null(kn_stream_pending(NULL));
    assert_null(kn_stream_repeat(NULL, KN_NOTHING));
    assert_null(kn_stream_range(NULL, 0, 1, 1));
    assert_null(kn_stream_repeat_with(NULL, count_up, NULL));
    assert_null(kn_stream_unfold(NULL, count_objects, NULL));
    assert_null(kn_stream_unfold_future(NULL, count_futures, NULL));
    assert_null(kn_stream_poll_fn(NULL, every_other_poll, NULL));
    struct kn_stream_poll_immediate memory;
    ASSERT_REFUSES(kn_stream_poll_immediate(NULL, victim()));
    assert_null(kn_stream_poll_immediate(&memory, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(iter_points_to_each_element_in_order),
        cmocka_unit_test(iter_of_no_elements_ends_at_once),
        cmocka_unit_test(iter_values_gives_the_values_of_an_array),
        cmocka_unit_test(once_gives_its_value_and_empty_none),
        cmocka_unit_test(pending_waits_for_ever),
        cmocka_unit_test(repeat_gives_its_value_again_and_again),
        cmocka_unit_test(range_goes_from_the_first_to_before_the_last),
        cmocka_unit_test(range_holds_at_the_limits_of_integers),
        cmocka_unit_test(repeat_with_calls_its_function_for_each_item),
        cmocka_unit_test(unfold_gives_what_its_function_makes_up_to_its_end),
        cmocka_unit_test(unfold_future_waits_for_the_future_of_each_item),
        cmocka_unit_test(unfold_future_drops_its_future_once),
        cmocka_unit_test(poll_fn_answers_what_its_function_does),
        cmocka_unit_test(poll_immediate_makes_items_of_polls),
        cmocka_unit_test(sources_without_memory_are_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
