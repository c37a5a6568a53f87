/*
 * Trying again, in virtual time: how often, after which pauses, and in every order of events.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <kernel/retry.h>
#include <kernel/stream_fold.h>

#include "async_harness.h"

#define ITEM(pendings_, number)                                                                                        \
    {                                                                                                                  \
        .pendings = (pendings_), .outcome = {.status = KN_READY, .value.integer = (number) }                           \
    }
#define FAILURE(pendings_, error)                                                                                      \
    {                                                                                                                  \
        .pendings = (pendings_), .outcome = {.status = (error) }                                                       \
    }
#define COUNT(array) (sizeof(array) / sizeof *(array))

/* A unit of time that the wheel does not round, and when all tests begin. */
#define UNIT (UINT64_C(1) << 20)
#define START (1024 * UNIT)

enum { ATTEMPTS_MAX = 16, STREAMS_MAX = 3 };

static struct kn_local_executor executor;

/* ---- attempts that fail ---- */

/* Fails with -EAGAIN until its attempt `succeeds`, and notes when attempts are made. */
static struct attempts {
    struct kn_future_ready memory;
    unsigned succeeds;
    unsigned count;
    uint64_t at_ns[ATTEMPTS_MAX];
} attempts;

static int set_up(void **state)
{
    (void)state;
    kn_local_executor_init(&executor, START);
    attempts = (struct attempts){.succeeds = ATTEMPTS_MAX};
    return 0;
}

static struct kn_future *try_it(unsigned attempt, void *context)
{
    (void)context;
    assert_int_equal(attempt, attempts.count);
    assert_true(attempt < ATTEMPTS_MAX);
    attempts.at_ns[attempts.count++] = executor.executor.now_ns - START;
    return attempt < attempts.succeeds ? kn_future_failed(&attempts.memory, -EAGAIN)
                                       : kn_future_ready(&attempts.memory, KN_VALUE(attempt));
}

static struct kn_outcome run(struct kn_retry_options options)
{
    struct kn_future_retry memory;
    return kn_local_executor_run(&executor, kn_future_retry(&memory, try_it, NULL, &options));
}

static void check_pauses(const uint64_t *units, size_t count)
{
    uint64_t last_ns = 0;
    assert_int_equal(attempts.count, count + 1);
    for (size_t i = 1; i <= count; i++) {
        assert_int_equal(attempts.at_ns[i] - last_ns, units[i - 1] * UNIT);
        last_ns = attempts.at_ns[i];
    }
}

#define PAUSES(...) check_pauses((const uint64_t[]){__VA_ARGS__}, COUNT(((const uint64_t[]){__VA_ARGS__})))

static void the_first_success_is_the_answer(void **state)
{
    (void)state;
    attempts.succeeds = 3;
    struct kn_outcome outcome = run((struct kn_retry_options){.attempts = 10, .first_delay_ns = 5 * UNIT});
    assert_int_equal(outcome.status, KN_READY);
    assert_int_equal(outcome.value.integer, 3);
    PAUSES(5, 10, 20);
}

static void the_last_failure_is_the_answer(void **state)
{
    (void)state;
    assert_int_equal(run((struct kn_retry_options){.attempts = 3, .first_delay_ns = UNIT}).status, -EAGAIN);
    PAUSES(1, 2);
    assert_int_equal(kn_counter_read(&kn_timer_wheel_counters(&executor.wheel)->live), 0);
}

static void a_single_attempt_is_not_repeated(void **state)
{
    (void)state;
    assert_int_equal(run((struct kn_retry_options){.attempts = 1, .first_delay_ns = UNIT}).status, -EAGAIN);
    assert_int_equal(attempts.count, 1);
}

static void pauses_grow_by_their_factor_up_to_the_longest(void **state)
{
    (void)state;
    attempts.succeeds = 6;
    struct kn_retry_options options = {.first_delay_ns = 2 * UNIT, .factor = 3, .max_delay_ns = 50 * UNIT};
    assert_int_equal(run(options).status, KN_READY);
    PAUSES(2, 6, 18, 50, 50, 50);
}

static void a_factor_of_one_keeps_pauses_equal(void **state)
{
    (void)state;
    attempts.succeeds = 3;
    assert_int_equal(run((struct kn_retry_options){.first_delay_ns = 7 * UNIT, .factor = 1}).status, KN_READY);
    PAUSES(7, 7, 7);
}

static void without_options_there_are_no_pauses_and_no_limit(void **state)
{
    (void)state;
    struct kn_future_retry memory;
    attempts.succeeds = ATTEMPTS_MAX - 1;
    struct kn_outcome outcome = kn_local_executor_run(&executor, kn_future_retry(&memory, try_it, NULL, NULL));
    assert_int_equal(outcome.status, KN_READY);
    assert_int_equal(outcome.value.integer, ATTEMPTS_MAX - 1);
    assert_int_equal(executor.executor.now_ns, START);
}

static void nothing_is_made_before_the_first_poll(void **state)
{
    (void)state;
    struct kn_future_retry memory;
    kn_future_drop(kn_future_retry(&memory, try_it, NULL, NULL));
    assert_int_equal(attempts.count, 0);
    assert_null(kn_future_retry(NULL, try_it, NULL, NULL));
    assert_null(kn_stream_retry(NULL, NULL, NULL, NULL));
}

static bool is_first(int64_t error, unsigned attempt, void *context)
{
    (void)context;
    assert_int_equal(error, -EAGAIN);
    return attempt == 0;
}

static void should_retry_says_when_to_give_up(void **state)
{
    (void)state;
    assert_int_equal(run((struct kn_retry_options){.should_retry = is_first}).status, -EAGAIN);
    assert_int_equal(attempts.count, 2);
}

static void no_pause_outlasts_the_deadline(void **state)
{
    (void)state;
    struct kn_future_retry memory;
    struct kn_future_timeout timeout;
    const struct kn_retry_options options = {.first_delay_ns = 4 * UNIT};
    struct kn_future *future = kn_future_retry(&memory, try_it, NULL, &options);
    future = kn_future_timeout(&timeout, future, 20 * UNIT);
    assert_int_equal(kn_local_executor_run(&executor, future).status, -EAGAIN);
    PAUSES(4, 8);
    assert_int_equal(executor.executor.now_ns, START + 12 * UNIT);
}

static struct kn_future *make_none(unsigned attempt, void *context)
{
    (void)attempt;
    ++*(int *)context;
    return NULL;
}

static void an_attempt_that_cannot_be_made_is_not_repeated(void **state)
{
    (void)state;
    struct kn_future_retry memory;
    int calls = 0;
    struct kn_future *future = kn_future_retry(&memory, make_none, &calls, NULL);
    assert_int_equal(kn_local_executor_run(&executor, future).status, -ENOMEM);
    assert_int_equal(calls, 1);
}

/* ---- backoff ---- */

static void draw_pauses(uint64_t seed, double jitter, uint64_t *delays_ns, size_t count)
{
    struct kn_backoff backoff;
    struct kn_context context = kn_local_executor_context(&executor);
    const struct kn_retry_options options = {
        .first_delay_ns = KN_SECOND_NS, .factor = 1, .jitter = jitter, .seed = seed};
    kn_backoff_init(&backoff, &options, NULL);
    for (size_t i = 0; i < count; i++)
        assert_true(kn_backoff_next(&backoff, -EAGAIN, &context, &delays_ns[i]));
}

static void jitter_shortens_pauses_as_its_seed_says(void **state)
{
    (void)state;
    enum { DRAWS = 1000 };
    uint64_t delays_ns[DRAWS], again_ns[DRAWS], others_ns[DRAWS];
    draw_pauses(7, 0.25, delays_ns, DRAWS);
    draw_pauses(7, 0.25, again_ns, DRAWS);
    draw_pauses(8, 0.25, others_ns, DRAWS);
    assert_memory_equal(delays_ns, again_ns, sizeof delays_ns);
    assert_memory_not_equal(delays_ns, others_ns, sizeof delays_ns);
    uint64_t sum_ns = 0, shortest_ns = UINT64_MAX, longest_ns = 0;
    for (size_t i = 0; i < DRAWS; i++) {
        sum_ns += delays_ns[i];
        shortest_ns = delays_ns[i] < shortest_ns ? delays_ns[i] : shortest_ns;
        longest_ns = delays_ns[i] > longest_ns ? delays_ns[i] : longest_ns;
    }
    assert_in_range(shortest_ns, 750000000, 755000000);
    assert_in_range(longest_ns, 995000000, 1000000000);
    assert_in_range(sum_ns / DRAWS, 865000000, 885000000);
}

static void jitter_beyond_all_of_a_pause_is_all_of_it(void **state)
{
    (void)state;
    uint64_t delays_ns[100];
    draw_pauses(1, 100.0, delays_ns, COUNT(delays_ns));
    for (size_t i = 0; i < COUNT(delays_ns); i++)
        assert_true(delays_ns[i] <= KN_SECOND_NS);
}

static void pauses_of_any_length_stay_within_time(void **state)
{
    (void)state;
    struct kn_backoff backoff;
    struct kn_context context = kn_local_executor_context(&executor);
    const struct kn_retry_options options = {.first_delay_ns = UINT64_MAX, .factor = 1e300, .max_delay_ns = UINT64_MAX};
    kn_backoff_init(&backoff, &options, NULL);
    for (unsigned i = 0; i < 1000; i++) {
        uint64_t delay_ns;
        assert_true(kn_backoff_next(&backoff, -EAGAIN, &context, &delay_ns));
        assert_true(delay_ns == UINT64_C(4600000000000000000));
    }
}

static void reset_begins_again_with_the_first_pause(void **state)
{
    (void)state;
    struct kn_backoff backoff;
    struct kn_context context = kn_local_executor_context(&executor);
    const struct kn_retry_options options = {.attempts = 3, .first_delay_ns = 10};
    uint64_t delay_ns;
    kn_backoff_init(&backoff, &options, NULL);
    for (unsigned round = 0; round < 3; round++) {
        assert_true(kn_backoff_next(&backoff, -EAGAIN, &context, &delay_ns));
        assert_int_equal(delay_ns, 10);
        assert_true(kn_backoff_next(&backoff, -EAGAIN, &context, &delay_ns));
        assert_int_equal(delay_ns, 20);
        assert_false(kn_backoff_next(&backoff, -EAGAIN, &context, &delay_ns));
        kn_backoff_reset(&backoff);
    }
}

/* ---- in every order ---- */

/* What each attempt of a stream does, and what comes of it. */
struct scenario {
    const struct harness_item *items[STREAMS_MAX]; /* of attempts made one after another */
    size_t counts[STREAMS_MAX];
    struct kn_retry_options options;
    int64_t status;
    int64_t value;
    /* Of this execution. */
    struct harness *world;
    size_t made;
};

static struct kn_future *make_future(unsigned attempt, void *context)
{
    struct scenario *scenario = context;
    assert_int_equal(attempt, scenario->made);
    const struct harness_item *item = scenario->items[scenario->made++];
    if (!item)
        return NULL;
    if (item->outcome.status != KN_READY)
        return harness_future(scenario->world, item->pendings, item->outcome);
    return harness_owned_future(scenario->world, item->pendings, item->outcome.value.integer);
}

static void build_future(struct harness *world, void *context)
{
    struct scenario *scenario = context;
    scenario->world = world;
    scenario->made = 0;
    struct kn_arena *arena = harness_arena(world);
    harness_spawn_strict(world, KN_IN(arena, kn_future_retry, make_future, scenario, &scenario->options));
}

static void check_future(struct harness *world, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)world;
    (void)task;
    const struct scenario *scenario = context;
    assert_int_equal(outcome.status, scenario->status);
    if (outcome.status == KN_READY)
        assert_int_equal(KN_AS(struct harness_object *, outcome.value)->number, scenario->value);
}

static const struct harness_item success[] = {ITEM(1, 5)};
static const struct harness_item again[] = {FAILURE(1, -EAGAIN)};
static const struct harness_item two_items[] = {ITEM(1, 1), ITEM(0, 2), FAILURE(1, -EAGAIN)};
static const struct harness_item one_item[] = {ITEM(1, 3)};
static const struct harness_item one_more[] = {ITEM(0, 3), FAILURE(0, -EPIPE)};

static void retry_of_a_future_holds_in_every_order(void **state)
{
    (void)state;
    struct scenario scenarios[] = {
        {.items = {again, again, success}, .options = {.first_delay_ns = UNIT}, .value = 5},
        {.items = {again, again, success}, .options = {.attempts = 2}, .status = -EAGAIN},
        {.items = {again, success}, .value = 5},
        {.items = {again, NULL}, .options = {.first_delay_ns = UNIT}, .status = -ENOMEM},
    };
    for (size_t i = 0; i < COUNT(scenarios); i++)
        assert_true(harness_explore(build_future, check_future, &scenarios[i], NULL) > 1);
}

static struct kn_stream *make_stream(unsigned attempt, void *context)
{
    struct scenario *scenario = context;
    assert_true(attempt <= scenario->made);
    size_t made = scenario->made++;
    assert_true(made < STREAMS_MAX);
    if (!scenario->items[made])
        return NULL;
    return harness_owned_stream(scenario->world, scenario->items[made], scenario->counts[made]);
}

/* The items, as the digits of a number. */
static kn_value_t append(kn_value_t accumulator, kn_value_t item, void *context)
{
    (void)context;
    int64_t digit = KN_AS(struct harness_object *, item)->number;
    harness_discard(item, NULL);
    return KN_VALUE(accumulator.integer * 10 + digit);
}

static void build_stream(struct harness *world, void *context)
{
    struct scenario *scenario = context;
    scenario->world = world;
    scenario->made = 0;
    struct kn_arena *arena = harness_arena(world);
    struct kn_stream *stream = KN_IN(arena, kn_stream_retry, make_stream, scenario, &scenario->options);
    harness_spawn_strict(world, KN_IN(arena, kn_stream_fold, stream, KN_VALUE(0), append, NULL, NULL));
}

static void check_stream(struct harness *world, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)world;
    (void)task;
    const struct scenario *scenario = context;
    assert_int_equal(outcome.status, scenario->status);
    if (outcome.status == KN_READY)
        assert_int_equal(outcome.value.integer, scenario->value);
}

static void retry_of_a_stream_passes_on_the_items_of_all_attempts(void **state)
{
    (void)state;
    struct scenario scenarios[] = {
        {.items = {two_items, again, one_item}, .counts = {3, 1, 1}, .options = {.first_delay_ns = UNIT}, .value = 123},
        {.items = {again, again, one_item}, .counts = {1, 1, 1}, .options = {.attempts = 2}, .status = -EAGAIN},
        /* An item makes the attempts count from the beginning. */
        {.items = {two_items, two_items, one_item}, .counts = {3, 3, 1}, .options = {.attempts = 2}, .value = 12123},
        {.items = {one_more, NULL}, .counts = {2, 0}, .status = -ENOMEM},
    };
    for (size_t i = 0; i < COUNT(scenarios); i++)
        assert_true(harness_explore(build_stream, check_stream, &scenarios[i], NULL) > 1);
}

/* `last` gives back an item that it has kept only after the stream has failed and was made again, or has given up. */
static void build_kept(struct harness *world, void *context)
{
    struct scenario *scenario = context;
    scenario->world = world;
    scenario->made = 0;
    struct kn_arena *arena = harness_arena(world);
    struct kn_stream *stream = KN_IN(arena, kn_stream_retry, make_stream, scenario, &scenario->options);
    harness_spawn_strict(world, KN_IN(arena, kn_stream_last, stream));
}

static void items_are_given_back_through_the_last_attempt(void **state)
{
    (void)state;
    struct scenario scenarios[] = {
        {.items = {one_more, NULL}, .counts = {2, 0}, .options = {.first_delay_ns = UNIT}, .status = -ENOMEM},
        {.items = {one_more, again}, .counts = {2, 1}, .options = {.attempts = 2}, .status = -EAGAIN},
        {.items = {two_items, one_item}, .counts = {3, 0}, .value = 2},
    };
    for (size_t i = 0; i < COUNT(scenarios); i++)
        assert_true(harness_explore(build_kept, check_future, &scenarios[i], NULL) > 1);
}

static struct kn_stream *make_no_stream(unsigned attempt, void *context)
{
    (void)attempt;
    (void)context;
    return NULL;
}

static void a_stream_that_gives_up_fails_and_ends(void **state)
{
    (void)state;
    struct kn_stream_retry memory;
    struct kn_context context = kn_local_executor_context(&executor);
    struct kn_stream *stream = kn_stream_retry(&memory, make_no_stream, NULL, NULL);
    assert_int_equal(kn_stream_poll(stream, &context).status, -ENOMEM);
    assert_int_equal(kn_stream_poll(stream, &context).status, KN_END);
    kn_stream_drop(stream);
    kn_stream_drop(stream);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_first_success_is_the_answer, set_up),
        cmocka_unit_test_setup(the_last_failure_is_the_answer, set_up),
        cmocka_unit_test_setup(a_single_attempt_is_not_repeated, set_up),
        cmocka_unit_test_setup(pauses_grow_by_their_factor_up_to_the_longest, set_up),
        cmocka_unit_test_setup(a_factor_of_one_keeps_pauses_equal, set_up),
        cmocka_unit_test_setup(without_options_there_are_no_pauses_and_no_limit, set_up),
        cmocka_unit_test_setup(nothing_is_made_before_the_first_poll, set_up),
        cmocka_unit_test_setup(should_retry_says_when_to_give_up, set_up),
        cmocka_unit_test_setup(no_pause_outlasts_the_deadline, set_up),
        cmocka_unit_test_setup(an_attempt_that_cannot_be_made_is_not_repeated, set_up),
        cmocka_unit_test_setup(jitter_shortens_pauses_as_its_seed_says, set_up),
        cmocka_unit_test_setup(jitter_beyond_all_of_a_pause_is_all_of_it, set_up),
        cmocka_unit_test_setup(pauses_of_any_length_stay_within_time, set_up),
        cmocka_unit_test_setup(reset_begins_again_with_the_first_pause, set_up),
        cmocka_unit_test_setup(retry_of_a_future_holds_in_every_order, set_up),
        cmocka_unit_test_setup(retry_of_a_stream_passes_on_the_items_of_all_attempts, set_up),
        cmocka_unit_test_setup(items_are_given_back_through_the_last_attempt, set_up),
        cmocka_unit_test_setup(a_stream_that_gives_up_fails_and_ends, set_up),
    };
    return cmocka_run_group_tests_name("retry", tests, NULL, NULL);
}
