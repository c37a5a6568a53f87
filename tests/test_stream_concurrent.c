/*
 * Streams whose items are futures: how many run, in which order they answer, and that none is left over.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <kernel/stream_concurrent.h>
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

enum { SLOTS = 3, SEEN_MAX = 16 };

/* ---- scenarios ---- */

enum kind { BUFFERED, UNORDERED, FOR_EACH, ONE_AFTER_ANOTHER };

/*
 * Items are numbers of two digits: the future of item 12 waits once and answers with 2. It fails for a last digit of
 * 9, answers with the end for 8, and is not made for 7.
 */
struct scenario {
    enum kind kind;
    const struct harness_item *items;
    size_t count;
    size_t capacity;
    int64_t status;
    int64_t value;        /* for_each: of no interest; otherwise the answers, as the digits of a number */
    bool is_unordered;    /* only their sum is certain */
    const char *expected; /* what begins (b) and ends (e), if it is certain */
    /* Of this execution. */
    struct harness *world;
    size_t running;
    size_t running_most; /* of all executions */
    bool slots[SLOTS];
    char seen[2 * SEEN_MAX + 1];
    size_t seen_count;
};

static void see(struct scenario *scenario, char what, int64_t number)
{
    assert_true(scenario->seen_count < 2 * SEEN_MAX);
    scenario->seen[scenario->seen_count++] = what;
    scenario->seen[scenario->seen_count++] = (char)('0' + number);
    scenario->seen[scenario->seen_count] = '\0';
}

/* The future of an item, which counts as running from when it is made until it has answered or was dropped. */
struct job {
    struct kn_future future;
    struct kn_future *inner;
    struct scenario *scenario;
    size_t slot;
    int64_t number;
    bool is_over;
};

static void job_end(struct job *self)
{
    if (self->is_over)
        return;
    self->is_over = true;
    self->scenario->running--;
    self->scenario->slots[self->slot] = false;
}

static struct kn_outcome job_poll(struct kn_future *future, struct kn_context *context)
{
    struct job *self = KN_CONTAINER_OF(future, struct job, future);
    assert_false(self->is_over);
    struct kn_outcome outcome = kn_future_poll(self->inner, context);
    if (outcome.status == KN_PENDING)
        return outcome;
    see(self->scenario, 'e', self->number);
    job_end(self);
    return outcome;
}

static void job_drop(struct kn_future *future)
{
    struct job *self = KN_CONTAINER_OF(future, struct job, future);
    kn_future_drop(self->inner);
    job_end(self);
}

static void job_discard(struct kn_future *future, kn_value_t value)
{
    kn_future_discard(KN_CONTAINER_OF(future, struct job, future)->inner, value);
}

static const struct kn_future_type job_type = {
    .name = "job", .poll = job_poll, .drop = job_drop, .discard = job_discard};

static struct kn_future *make_job(kn_value_t value, size_t slot, void *context)
{
    struct scenario *scenario = context;
    struct job *self = KN_ARENA_NEW(harness_arena(scenario->world), struct job);
    int64_t number = KN_AS(struct harness_object *, value)->number % 10;
    harness_discard(value, NULL);
    assert_true(slot < scenario->capacity);
    assert_false(scenario->slots[slot]);
    if (number == 7)
        return NULL;
    see(scenario, 'b', number);
    scenario->slots[slot] = true;
    scenario->running++;
    assert_true(scenario->running <= scenario->capacity);
    if (scenario->running > scenario->running_most)
        scenario->running_most = scenario->running;
    *self = (struct job){.future.type = &job_type, .scenario = scenario, .slot = slot, .number = number};
    if (number == 9)
        self->inner = harness_future(scenario->world, 1, kn_failed(-EDOM));
    else if (number == 8)
        self->inner = harness_future(scenario->world, 1, kn_ended());
    else
        self->inner = harness_owned_future(scenario->world, 1, number);
    return &self->future;
}

static struct kn_future *make_next_job(kn_value_t value, void *context)
{
    return make_job(value, 0, context);
}

/* The answers, as the digits of a number, or their sum. */
static kn_value_t append(kn_value_t accumulator, kn_value_t item, void *context)
{
    const struct scenario *scenario = context;
    int64_t digit = KN_AS(struct harness_object *, item)->number;
    harness_discard(item, NULL);
    return KN_VALUE(accumulator.integer * (scenario->is_unordered ? 1 : 10) + digit);
}

static void build(struct harness *world, void *context)
{
    struct scenario *scenario = context;
    struct kn_arena *arena = harness_arena(world);
    struct kn_stream_job *jobs =
        kn_arena_allocate(arena, scenario->capacity * sizeof *jobs, _Alignof(struct kn_stream_job));
    struct kn_stream *stream = harness_owned_stream(world, scenario->items, scenario->count);
    size_t capacity = scenario->capacity;
    scenario->world = world;
    scenario->running = 0;
    scenario->seen_count = 0;
    for (size_t i = 0; i < SLOTS; i++)
        scenario->slots[i] = false;
    if (scenario->kind == FOR_EACH) {
        harness_spawn_strict(world,
                             KN_IN(arena, kn_stream_for_each_concurrent, stream, make_job, scenario, jobs, capacity));
        return;
    }
    if (scenario->kind == ONE_AFTER_ANOTHER) {
        harness_spawn_strict(world, KN_IN(arena, kn_stream_for_each_future, stream, make_next_job, scenario));
        return;
    }
    stream = scenario->kind == BUFFERED
                 ? KN_IN(arena, kn_stream_buffered, stream, make_job, scenario, jobs, capacity)
                 : KN_IN(arena, kn_stream_buffer_unordered, stream, make_job, scenario, jobs, capacity);
    harness_spawn_strict(world, KN_IN(arena, kn_stream_fold, stream, KN_VALUE(0), append, NULL, scenario));
}

static void check(struct harness *world, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)world;
    (void)task;
    const struct scenario *scenario = context;
    assert_int_equal(outcome.status, scenario->status);
    assert_int_equal(scenario->running, 0);
    if (outcome.status == KN_READY)
        assert_int_equal(outcome.value.integer, scenario->value);
    if (scenario->expected)
        assert_string_equal(scenario->seen, scenario->expected);
}

/* All executions reach, and none exceeds, `capacity` futures at a time. */
static void explore(struct scenario scenario)
{
    const struct harness_options options = {.executions = 200000};
    assert_true(harness_explore(build, check, &scenario, &options) > 1);
    assert_true(scenario.running_most <= scenario.capacity);
    if (scenario.count >= scenario.capacity && scenario.status == KN_READY)
        assert_int_equal(scenario.running_most, scenario.capacity);
}

#define ITEMS(array) .items = (array), .count = COUNT(array)

static const struct harness_item some[] = {ITEM(1, 11), ITEM(0, 12), ITEM(0, 13)};
static const struct harness_item broken[] = {ITEM(0, 11), FAILURE(0, -EPIPE), ITEM(0, 13)};
static const struct harness_item failing[] = {ITEM(0, 11), ITEM(0, 19), ITEM(0, 13)};
static const struct harness_item full[] = {ITEM(1, 11), ITEM(0, 17), ITEM(0, 13)};
static const struct harness_item skipping[] = {ITEM(0, 18), ITEM(1, 12), ITEM(0, 13)};

/* ---- buffered ---- */

static void buffered_keeps_the_order_of_the_items(void **state)
{
    (void)state;
    explore((struct scenario){BUFFERED, ITEMS(some), .capacity = 2, .value = 123});
    explore((struct scenario){BUFFERED, ITEMS(some), .capacity = 3, .value = 123});
}

static void buffered_of_one_runs_one_after_another(void **state)
{
    (void)state;
    explore((struct scenario){BUFFERED, ITEMS(some), .capacity = 1, .value = 123, .expected = "b1e1b2e2b3e3"});
}

static void buffered_of_no_items_ends(void **state)
{
    (void)state;
    static const struct harness_item late[] = {ITEM(1, 0)};
    explore((struct scenario){BUFFERED, .items = late, .count = 0, .capacity = 2});
}

/* Answers with how many items came before the first failure. */
static kn_value_t count_before(kn_value_t accumulator, kn_value_t item, void *context)
{
    harness_discard(item, NULL);
    ++*(int64_t *)context;
    return accumulator;
}

static int64_t before;

static void build_before(struct harness *world, void *context)
{
    const struct harness_item *items = context;
    static struct scenario scenario;
    struct kn_arena *arena = harness_arena(world);
    struct kn_stream_job *jobs = kn_arena_allocate(arena, 2 * sizeof *jobs, _Alignof(struct kn_stream_job));
    scenario = (struct scenario){.world = world, .capacity = 2};
    before = 0;
    struct kn_stream *stream = harness_owned_stream(world, items, 3);
    stream = KN_IN(arena, kn_stream_buffered, stream, make_job, &scenario, jobs, 2);
    harness_spawn_strict(world, KN_IN(arena, kn_stream_fold, stream, KN_VALUE(0), count_before, NULL, &before));
}

static void check_before(struct harness *world, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)world;
    (void)task;
    int64_t expected = context == failing ? -EDOM : context == full ? -ENOMEM : -EPIPE;
    assert_int_equal(outcome.status, expected);
    assert_int_equal(before, 1);
}

static void failures_of_all_kinds_keep_their_place(void **state)
{
    (void)state;
    const struct harness_item *all[] = {broken, failing, full, NULL};
    for (const struct harness_item **items = all; *items; items++)
        assert_true(harness_explore(build_before, check_before, (void *)(uintptr_t)*items, NULL) > 1);
}

static void a_future_that_answers_with_the_end_makes_no_item(void **state)
{
    (void)state;
    explore((struct scenario){BUFFERED, ITEMS(skipping), .capacity = 2, .value = 23});
    explore((struct scenario){UNORDERED, ITEMS(skipping), .capacity = 2, .value = 5, .is_unordered = true});
}

/* ---- buffer_unordered ---- */

static void buffer_unordered_answers_for_every_item(void **state)
{
    (void)state;
    explore((struct scenario){UNORDERED, ITEMS(some), .capacity = 2, .value = 6, .is_unordered = true});
    explore((struct scenario){UNORDERED, ITEMS(some), .capacity = 3, .value = 6, .is_unordered = true});
}

static void buffer_unordered_of_one_keeps_the_order(void **state)
{
    (void)state;
    explore((struct scenario){UNORDERED, ITEMS(some), .capacity = 1, .value = 123, .expected = "b1e1b2e2b3e3"});
}

static bool is_seven(kn_value_t item, void *context)
{
    (void)context;
    return item.integer == 7;
}

/* The future that ends first is the one that was put in last. */
static void build_overtaking(struct harness *world, void *context)
{
    struct harness_item *items = context;
    struct kn_arena *arena = harness_arena(world);
    struct kn_stream_job *jobs = kn_arena_allocate(arena, 2 * sizeof *jobs, _Alignof(struct kn_stream_job));
    struct kn_future *slow = KN_IN(arena, kn_future_pending);
    items[0] = (struct harness_item){.outcome = kn_ready(KN_VALUE(slow))};
    items[1] = (struct harness_item){.outcome = kn_ready(KN_VALUE(harness_future(world, 1, kn_ready(KN_VALUE(7)))))};
    struct kn_stream *stream = harness_stream(world, items, 2);
    stream = KN_IN(arena, kn_stream_buffer_unordered, stream, NULL, NULL, jobs, 2);
    harness_spawn_strict(world, KN_IN(arena, kn_stream_any, stream, is_seven, NULL));
}

static void check_true(struct harness *world, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)world;
    (void)task;
    (void)context;
    assert_int_equal(outcome.status, KN_READY);
    assert_true(outcome.value.natural);
}

static void buffer_unordered_takes_items_that_are_futures_and_lets_them_overtake(void **state)
{
    (void)state;
    struct harness_item items[2];
    assert_true(harness_explore(build_overtaking, check_true, items, NULL) > 1);
}

/* ---- for_each_concurrent ---- */

static void for_each_concurrent_answers_once_all_have(void **state)
{
    (void)state;
    explore((struct scenario){FOR_EACH, ITEMS(some), .capacity = 2});
    explore((struct scenario){FOR_EACH, ITEMS(some), .capacity = 3});
}

static void for_each_concurrent_fails_with_the_first_that_fails(void **state)
{
    (void)state;
    explore((struct scenario){FOR_EACH, ITEMS(failing), .capacity = 2, .status = -EDOM});
    explore((struct scenario){FOR_EACH, ITEMS(broken), .capacity = 2, .status = -EPIPE});
    explore((struct scenario){FOR_EACH, ITEMS(full), .capacity = 2, .status = -ENOMEM});
}

static void for_each_concurrent_of_one_is_for_each(void **state)
{
    (void)state;
    explore((struct scenario){FOR_EACH, ITEMS(some), .capacity = 1, .expected = "b1e1b2e2b3e3"});
    explore((struct scenario){ONE_AFTER_ANOTHER, ITEMS(some), .capacity = 1, .expected = "b1e1b2e2b3e3"});
    explore((struct scenario){FOR_EACH, ITEMS(failing), .capacity = 1, .status = -EDOM, .expected = "b1e1b9e9"});
    explore(
        (struct scenario){ONE_AFTER_ANOTHER, ITEMS(failing), .capacity = 1, .status = -EDOM, .expected = "b1e1b9e9"});
}

/* ---- many ---- */

/* A stream of the numbers up to a limit. */
struct numbers {
    struct kn_stream stream;
    int64_t next, limit;
};

static struct kn_outcome numbers_next(struct kn_stream *stream, struct kn_context *context)
{
    (void)context;
    struct numbers *self = KN_CONTAINER_OF(stream, struct numbers, stream);
    return self->next == self->limit ? kn_ended() : kn_ready(KN_VALUE(self->next++));
}

static const struct kn_stream_type numbers_type = {
    .name = "numbers", .next = numbers_next, .drop = kn_stream_drop_nothing};

enum { MANY = 10000, MANY_SLOTS = 64 };

/* Makes futures in memory of their slots that wait once and answer with a place in that memory. */
struct many {
    struct slot {
        struct kn_future future;
        int64_t number;
        bool has_waited;
    } slots[MANY_SLOTS];
};

static struct kn_outcome slot_poll(struct kn_future *future, struct kn_context *context)
{
    struct slot *slot = KN_CONTAINER_OF(future, struct slot, future);
    if (slot->has_waited)
        return kn_ready(KN_VALUE(&slot->number));
    slot->has_waited = true;
    kn_waker_wake(context->waker);
    return kn_pending();
}

static const struct kn_future_type slot_type = {.name = "slot", .poll = slot_poll, .drop = kn_future_drop_nothing};

static struct kn_future *make_slot(kn_value_t value, size_t index, void *context)
{
    struct slot *slot = &((struct many *)context)->slots[index];
    *slot = (struct slot){.future.type = &slot_type, .number = value.integer};
    return &slot->future;
}

/* Items come in order, unbroken: their values have stayed in the memory of their slots. */
static kn_value_t follow(kn_value_t accumulator, kn_value_t item, void *context)
{
    (void)context;
    assert_int_equal(*KN_AS(int64_t *, item), accumulator.integer);
    return KN_VALUE(accumulator.integer + 1);
}

static void ten_thousand_futures_share_the_memory_of_sixty_four(void **state)
{
    (void)state;
    static struct kn_stream_job jobs[MANY_SLOTS];
    static struct many many;
    static struct kn_stream_buffered buffered;
    struct numbers numbers = {.stream.type = &numbers_type, .limit = MANY};
    struct kn_stream_fold fold;
    struct kn_local_executor executor;
    kn_local_executor_init(&executor, 0);
    struct kn_stream *stream = kn_stream_buffered(&buffered, &numbers.stream, make_slot, &many, jobs, MANY_SLOTS);
    struct kn_future *future = kn_stream_fold(&fold, stream, KN_VALUE(0), follow, NULL, NULL);
    struct kn_outcome outcome = kn_local_executor_run(&executor, future);
    assert_int_equal(outcome.status, KN_READY);
    assert_int_equal(outcome.value.integer, MANY);
}

static unsigned drops;

static void count_drop(struct kn_stream *stream)
{
    (void)stream;
    drops++;
}

static void without_memory_or_a_source_nothing_is_made(void **state)
{
    (void)state;
    static const struct kn_stream_type counted_type = {.name = "counted", .next = numbers_next, .drop = count_drop};
    struct kn_stream source = {.type = &counted_type};
    static struct kn_stream_buffered buffered;
    static struct kn_stream_for_each_concurrent each;
    struct kn_stream_job jobs[1];
    drops = 0;
    assert_null(kn_stream_buffered(NULL, &source, make_job, NULL, jobs, 1));
    assert_null(kn_stream_buffered(&buffered, &source, make_job, NULL, NULL, 1));
    assert_null(kn_stream_buffered(&buffered, &source, make_job, NULL, jobs, 0));
    assert_null(kn_stream_buffer_unordered(NULL, &source, make_job, NULL, jobs, 1));
    assert_null(kn_stream_for_each_concurrent(NULL, &source, make_job, NULL, jobs, 1));
    assert_int_equal(drops, 5);
    assert_null(kn_stream_buffered(&buffered, NULL, make_job, NULL, jobs, 1));
    assert_null(kn_stream_for_each_concurrent(&each, NULL, make_job, NULL, jobs, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buffered_keeps_the_order_of_the_items),
        cmocka_unit_test(buffered_of_one_runs_one_after_another),
        cmocka_unit_test(buffered_of_no_items_ends),
        cmocka_unit_test(failures_of_all_kinds_keep_their_place),
        cmocka_unit_test(a_future_that_answers_with_the_end_makes_no_item),
        cmocka_unit_test(buffer_unordered_answers_for_every_item),
        cmocka_unit_test(buffer_unordered_of_one_keeps_the_order),
        cmocka_unit_test(buffer_unordered_takes_items_that_are_futures_and_lets_them_overtake),
        cmocka_unit_test(for_each_concurrent_answers_once_all_have),
        cmocka_unit_test(for_each_concurrent_fails_with_the_first_that_fails),
        cmocka_unit_test(for_each_concurrent_of_one_is_for_each),
        cmocka_unit_test(ten_thousand_futures_share_the_memory_of_sixty_four),
        cmocka_unit_test(without_memory_or_a_source_nothing_is_made),
    };
    return cmocka_run_group_tests_name("stream_concurrent", tests, NULL, NULL);
}
