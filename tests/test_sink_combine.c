#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include <kernel/sink_combine.h>

#include "async_harness.h"

/* A future that has the sink which another one borrows: drops both. */
struct scope {
    struct kn_future future;
    struct kn_future *inner;
    struct kn_sink *sink;
};

static struct kn_outcome scope_poll(struct kn_future *future, struct kn_context *context)
{
    return kn_future_poll(KN_CONTAINER_OF(future, struct scope, future)->inner, context);
}

static void scope_drop(struct kn_future *future)
{
    struct scope *self = KN_CONTAINER_OF(future, struct scope, future);
    kn_future_drop(self->inner);
    kn_sink_drop(self->sink);
}

static const struct kn_future_type scope_type = {.name = "scope", .poll = scope_poll, .drop = scope_drop};

static void spawn_with_sink(struct harness *world, struct kn_future *inner, struct kn_sink *sink)
{
    struct scope *self = KN_ARENA_NEW(harness_arena(world), struct scope);
    assert_non_null(self);
    assert_non_null(inner);
    *self = (struct scope){.future.type = &scope_type, .inner = inner, .sink = sink};
    harness_spawn(world, &self->future);
}

static void assert_taken(const struct harness *world, const int64_t *expected, size_t count)
{
    const int64_t *taken;
    assert_int_equal(harness_taken(world, &taken), count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(taken[i], expected[i]);
}

static const struct harness_item three_items[] = {
    {0, {KN_READY, {.integer = 1}}}, {1, {KN_READY, {.integer = 2}}}, {0, {KN_READY, {.integer = 3}}}};
static const struct harness_item failing_items[] = {{0, {KN_READY, {.integer = 1}}}, {1, {-EIO, {0}}}};

/* ---- send, feed, flush, close ---- */

/* What a test of one future on one sink does, and what must come of it. */
struct plan {
    struct kn_future *(*make)(struct harness *world, struct kn_sink *sink);
    struct kn_sink *(*before)(struct harness *world, struct kn_sink *sink); /* NULL: nothing */
    unsigned pendings;
    size_t fails_after;
    int64_t status;
    int64_t expected[8];
    size_t expected_count;
    bool closed;
    bool plain;  /* values are no objects */
    int64_t sum; /* of the values that unfold's function took */
};

static int64_t sum;

static void build_plan(struct harness *world, void *context)
{
    const struct plan *plan = context;
    sum = 0;
    struct kn_sink *sink = plan->plain ? harness_sink(world, plan->pendings, plan->fails_after)
                                       : harness_owned_sink(world, plan->pendings, plan->fails_after);
    if (plan->before)
        sink = plan->before(world, sink);
    assert_non_null(sink);
    spawn_with_sink(world, plan->make(world, sink), sink);
}

static void check_plan(struct harness *world, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)task;
    const struct plan *plan = context;
    assert_int_equal(outcome.status, plan->status);
    assert_taken(world, plan->expected, plan->expected_count);
    assert_int_equal(harness_is_closed(world), plan->closed);
    assert_int_equal(sum, plan->sum);
}

static uint64_t explore(struct plan plan)
{
    uint64_t executions = harness_explore(build_plan, check_plan, &plan, NULL);
    assert_true(executions > 1 && executions < 100000);
    return executions;
}

static struct kn_future *make_send(struct harness *world, struct kn_sink *sink)
{
    return KN_IN(harness_arena(world), kn_sink_send, sink, KN_VALUE(harness_object(world, 7)));
}

static struct kn_future *make_feed(struct harness *world, struct kn_sink *sink)
{
    struct kn_sink_send *self = KN_ARENA_NEW(harness_arena(world), struct kn_sink_send);
    return kn_sink_feed(self, sink, KN_VALUE(harness_object(world, 7)));
}

static struct kn_future *make_close(struct harness *world, struct kn_sink *sink)
{
    struct kn_sink_flush *self = KN_ARENA_NEW(harness_arena(world), struct kn_sink_flush);
    return kn_sink_close(self, sink);
}

static struct kn_future *make_flush(struct harness *world, struct kn_sink *sink)
{
    return KN_IN(harness_arena(world), kn_sink_flush, sink);
}

static void send_gives_its_value_and_waits_until_it_has_arrived(void **state)
{
    (void)state;
    uint64_t sends = explore(
        (struct plan){.make = make_send, .pendings = 2, .fails_after = 9, .expected = {7}, .expected_count = 1});
    uint64_t feeds = explore(
        (struct plan){.make = make_feed, .pendings = 2, .fails_after = 9, .expected = {7}, .expected_count = 1});
    assert_true(feeds < sends);
}

static void send_that_fails_gives_its_value_back(void **state)
{
    (void)state;
    explore((struct plan){.make = make_send, .pendings = 1, .status = -EPIPE});
    explore((struct plan){.make = make_feed, .pendings = 1, .status = -EPIPE});
}

static void flush_and_close_wait_for_the_sink(void **state)
{
    (void)state;
    explore((struct plan){.make = make_flush, .pendings = 2, .fails_after = 9});
    explore((struct plan){.make = make_close, .pendings = 2, .fails_after = 9, .closed = true});
}

/* ---- send_all, forward ---- */

static struct kn_future *make_send_all(struct harness *world, struct kn_sink *sink)
{
    struct kn_stream_forward *self = KN_ARENA_NEW(harness_arena(world), struct kn_stream_forward);
    return kn_sink_send_all(self, sink, harness_owned_stream(world, three_items, 3));
}

static struct kn_future *make_forward(struct harness *world, struct kn_sink *sink)
{
    return KN_IN(harness_arena(world), kn_stream_forward, harness_owned_stream(world, three_items, 3), sink);
}

static struct kn_future *make_failing_forward(struct harness *world, struct kn_sink *sink)
{
    return KN_IN(harness_arena(world), kn_stream_forward, harness_owned_stream(world, failing_items, 2), sink);
}

static void send_all_sends_every_value_in_order_and_flushes(void **state)
{
    (void)state;
    explore((struct plan){
        .make = make_send_all, .pendings = 1, .fails_after = 9, .expected = {1, 2, 3}, .expected_count = 3});
}

static void forward_sends_every_value_and_closes(void **state)
{
    (void)state;
    explore((struct plan){.make = make_forward,
                          .pendings = 1,
                          .fails_after = 9,
                          .expected = {1, 2, 3},
                          .expected_count = 3,
                          .closed = true});
}

static void forward_stops_at_the_first_failure_of_the_stream(void **state)
{
    (void)state;
    explore((struct plan){.make = make_failing_forward,
                          .pendings = 1,
                          .fails_after = 9,
                          .status = -EIO,
                          .expected = {1},
                          .expected_count = 1});
}

static void forward_gives_back_what_a_failing_sink_did_not_take(void **state)
{
    (void)state;
    explore((struct plan){.make = make_forward,
                          .pendings = 1,
                          .fails_after = 2,
                          .status = -EPIPE,
                          .expected = {1, 2},
                          .expected_count = 2});
    explore((struct plan){.make = make_send_all, .pendings = 1, .status = -EPIPE});
}

/* A stream that always has something to say. */
static struct kn_outcome endless_next(struct kn_stream *stream, struct kn_context *context)
{
    (void)stream;
    (void)context;
    return kn_ready(KN_NOTHING);
}

static void forward_of_an_endless_stream_lets_others_run(void **state)
{
    (void)state;
    static const struct kn_stream_type endless_type = {
        .name = "endless", .next = endless_next, .drop = kn_stream_drop_nothing};
    struct kn_stream endless = {&endless_type};
    struct kn_local_executor local;
    struct kn_sink_drain drain;
    struct kn_stream_forward forward;
    struct kn_outcome outcome;
    kn_local_executor_init(&local, 0);
    struct kn_future *future = kn_stream_forward(&forward, &endless, kn_sink_drain(&drain, NULL, NULL));
    assert_false(kn_local_executor_poll(&local, future, &outcome));
    assert_true(kn_local_executor_is_woken(&local));
    kn_future_drop(future);
}

/* ---- sinks of sinks ---- */

/* Takes an object and gives one of ten times its number. */
static kn_value_t tenfold(kn_value_t value, void *context)
{
    (void)context;
    struct harness_object *object = value.pointer;
    struct harness_object *result = harness_object(object->world, object->number * 10);
    harness_object_free(object);
    return KN_VALUE(result);
}

static struct kn_sink *before_with(struct harness *world, struct kn_sink *sink)
{
    sink = KN_IN(harness_arena(world), kn_sink_with, sink, tenfold, NULL);
    return KN_IN(harness_arena(world), kn_sink_owned, sink, harness_discard, NULL);
}

static void with_gives_on_what_its_function_makes(void **state)
{
    (void)state;
    explore((struct plan){.make = make_send_all,
                          .before = before_with,
                          .pendings = 1,
                          .fails_after = 9,
                          .expected = {10, 20, 30},
                          .expected_count = 3});
    explore((struct plan){.make = make_send,
                          .before = before_with,
                          .pendings = 1,
                          .fails_after = 9,
                          .expected = {70},
                          .expected_count = 1});
    explore((struct plan){.make = make_close, .before = before_with, .pendings = 1, .fails_after = 9, .closed = true});
}

static void with_passes_failures_on(void **state)
{
    (void)state;
    explore((struct plan){.make = make_send_all,
                          .before = before_with,
                          .pendings = 1,
                          .fails_after = 1,
                          .status = -EPIPE,
                          .expected = {10},
                          .expected_count = 1});
    explore((struct plan){.make = make_send, .before = before_with, .pendings = 1, .fails_after = 0, .status = -EPIPE});
}

/* A sink that has room, but refuses what it is given. */
struct refusing {
    struct kn_sink sink;
    bool refused;
};

static int64_t refusing_ready(struct kn_sink *sink, struct kn_context *context)
{
    (void)sink;
    (void)context;
    return KN_READY;
}

static int64_t refusing_start(struct kn_sink *sink, kn_value_t value)
{
    (void)value;
    KN_CONTAINER_OF(sink, struct refusing, sink)->refused = true;
    return -EMSGSIZE;
}

static int64_t refusing_after(struct kn_sink *sink, struct kn_context *context)
{
    (void)context;
    assert_false(KN_CONTAINER_OF(sink, struct refusing, sink)->refused);
    return KN_READY;
}

static void refusing_drop(struct kn_sink *sink)
{
    (void)sink;
}

static void refusing_discard(struct kn_sink *sink, kn_value_t value)
{
    (void)sink;
    harness_discard(value, NULL);
}

static struct kn_sink *before_refusing(struct harness *world, struct kn_sink *sink)
{
    static const struct kn_sink_type type = {.name = "refusing",
                                             .ready = refusing_ready,
                                             .start = refusing_start,
                                             .flush = refusing_after,
                                             .close = refusing_after,
                                             .drop = refusing_drop,
                                             .discard = refusing_discard};
    kn_sink_drop(sink);
    struct refusing *self = KN_ARENA_NEW(harness_arena(world), struct refusing);
    assert_non_null(self);
    *self = (struct refusing){.sink.type = &type};
    return &self->sink;
}

static struct kn_sink *before_with_refusing(struct harness *world, struct kn_sink *sink)
{
    return before_with(world, before_refusing(world, sink));
}

static void value_that_was_refused_is_given_back_once(void **state)
{
    (void)state;
    explore((struct plan){
        .make = make_send, .before = before_refusing, .pendings = 0, .fails_after = 9, .status = -EMSGSIZE});
    explore((struct plan){
        .make = make_forward, .before = before_refusing, .pendings = 0, .fails_after = 9, .status = -EMSGSIZE});
    explore((struct plan){
        .make = make_send, .before = before_with_refusing, .pendings = 0, .fails_after = 9, .status = -EMSGSIZE});
    explore((struct plan){
        .make = make_forward, .before = before_with_refusing, .pendings = 0, .fails_after = 9, .status = -EMSGSIZE});
}

/* As many values as the number says, with a wait before the second; no stream for 7. */
static struct kn_stream *repeat(kn_value_t value, void *context)
{
    static const struct harness_item items[] = {
        {0, {KN_READY, {.integer = 5}}}, {1, {KN_READY, {.integer = 6}}}, {0, {KN_READY, {.integer = 7}}}};
    struct harness *world = context;
    struct harness_object *object = value.pointer;
    size_t count = (size_t)object->number;
    harness_object_free(object);
    return count == 7 ? NULL : harness_owned_stream(world, items, count);
}

static struct kn_sink *before_flat(struct harness *world, struct kn_sink *sink)
{
    sink = KN_IN(harness_arena(world), kn_sink_with_flat_map, sink, repeat, world);
    return KN_IN(harness_arena(world), kn_sink_owned, sink, harness_discard, NULL);
}

static struct kn_future *make_forward_two(struct harness *world, struct kn_sink *sink)
{
    static const struct harness_item items[] = {{0, {KN_READY, {.integer = 2}}}, {0, {KN_READY, {.integer = 1}}}};
    return KN_IN(harness_arena(world), kn_stream_forward, harness_owned_stream(world, items, 2), sink);
}

static void with_flat_map_sends_every_value_of_every_stream(void **state)
{
    (void)state;
    explore((struct plan){.make = make_forward_two,
                          .before = before_flat,
                          .pendings = 1,
                          .fails_after = 9,
                          .expected = {5, 6, 5},
                          .expected_count = 3,
                          .closed = true});
}

static void with_flat_map_gives_back_what_was_left_when_the_sink_fails(void **state)
{
    (void)state;
    explore((struct plan){.make = make_forward_two,
                          .before = before_flat,
                          .pendings = 1,
                          .fails_after = 1,
                          .status = -EPIPE,
                          .expected = {5},
                          .expected_count = 1});
}

static void with_flat_map_without_a_stream_fails(void **state)
{
    (void)state;
    explore(
        (struct plan){.make = make_send, .before = before_flat, .pendings = 1, .fails_after = 9, .status = -ENOMEM});
}

static int64_t to_io_error(int64_t error, void *context)
{
    (void)context;
    return error == -EPIPE ? -EIO : error;
}

static struct kn_sink *before_map_err(struct harness *world, struct kn_sink *sink)
{
    return KN_IN(harness_arena(world), kn_sink_map_err, sink, to_io_error, NULL);
}

static void map_err_changes_failures_and_nothing_else(void **state)
{
    (void)state;
    explore((struct plan){.make = make_forward,
                          .before = before_map_err,
                          .pendings = 1,
                          .fails_after = 9,
                          .expected = {1, 2, 3},
                          .expected_count = 3,
                          .closed = true});
    explore((struct plan){.make = make_forward,
                          .before = before_map_err,
                          .pendings = 1,
                          .fails_after = 1,
                          .status = -EIO,
                          .expected = {1},
                          .expected_count = 1});
    explore(
        (struct plan){.make = make_send, .before = before_map_err, .pendings = 1, .fails_after = 0, .status = -EIO});
    explore((struct plan){.make = make_send,
                          .before = before_map_err,
                          .pendings = 1,
                          .fails_after = 9,
                          .expected = {7},
                          .expected_count = 1});
}

static struct kn_sink *before_buffer(struct harness *world, struct kn_sink *sink)
{
    kn_value_t *slots = kn_arena_allocate(harness_arena(world), 2 * sizeof *slots, sizeof *slots);
    return KN_IN(harness_arena(world), kn_sink_buffer, sink, slots, 2);
}

static void buffer_keeps_the_order_and_is_empty_after_a_flush(void **state)
{
    (void)state;
    explore((struct plan){.make = make_send_all,
                          .before = before_buffer,
                          .pendings = 1,
                          .fails_after = 9,
                          .expected = {1, 2, 3},
                          .expected_count = 3});
    explore((struct plan){.make = make_forward,
                          .before = before_buffer,
                          .pendings = 1,
                          .fails_after = 9,
                          .expected = {1, 2, 3},
                          .expected_count = 3,
                          .closed = true});
}

static void buffer_takes_values_while_the_sink_behind_has_no_room(void **state)
{
    (void)state;
    explore((struct plan){.make = make_feed, .before = before_buffer, .pendings = 2, .fails_after = 9});
}

static void buffer_gives_back_what_a_failing_sink_did_not_take(void **state)
{
    (void)state;
    explore((struct plan){.make = make_forward,
                          .before = before_buffer,
                          .pendings = 1,
                          .fails_after = 1,
                          .status = -EPIPE,
                          .expected = {1},
                          .expected_count = 1});
}

static struct kn_sink *before_fanout(struct harness *world, struct kn_sink *sink)
{
    return KN_IN(harness_arena(world), kn_sink_fanout, sink, harness_sink(world, 1, 2));
}

static struct kn_future *make_plain_forward(struct harness *world, struct kn_sink *sink)
{
    static const struct harness_item items[] = {{0, {KN_READY, {.integer = 1}}}, {0, {KN_READY, {.integer = 2}}}};
    return KN_IN(harness_arena(world), kn_stream_forward, harness_stream(world, items, 2), sink);
}

static struct kn_future *make_longer_forward(struct harness *world, struct kn_sink *sink)
{
    return KN_IN(harness_arena(world), kn_stream_forward, harness_stream(world, three_items, 3), sink);
}

static void fanout_gives_every_value_to_both_sinks(void **state)
{
    (void)state;
    explore((struct plan){.make = make_plain_forward,
                          .before = before_fanout,
                          .pendings = 1,
                          .fails_after = 9,
                          .expected = {1, 1, 2, 2},
                          .expected_count = 4,
                          .closed = true,
                          .plain = true});
}

static void fanout_fails_with_either_sink(void **state)
{
    (void)state;
    explore((struct plan){.make = make_longer_forward,
                          .before = before_fanout,
                          .pendings = 0,
                          .fails_after = 9,
                          .status = -EPIPE,
                          .expected = {1, 1, 2, 2},
                          .expected_count = 4,
                          .plain = true});
    explore((struct plan){.make = make_longer_forward,
                          .before = before_fanout,
                          .pendings = 0,
                          .fails_after = 1,
                          .status = -EPIPE,
                          .expected = {1, 1},
                          .expected_count = 2,
                          .plain = true});
}

static struct kn_sink *before_drain(struct harness *world, struct kn_sink *sink)
{
    kn_sink_drop(sink);
    return KN_IN(harness_arena(world), kn_sink_drain, harness_discard, NULL);
}

static void drain_takes_and_gives_back_all(void **state)
{
    (void)state;
    explore((struct plan){.make = make_forward, .before = before_drain, .pendings = 0, .fails_after = 9});
    explore((struct plan){.make = make_send, .before = before_drain, .pendings = 0, .fails_after = 9});
}

/* Waits once, then answers with an object that nobody takes; fails for 3. */
static struct kn_future *add_up(kn_value_t value, void *context)
{
    struct harness *world = context;
    struct harness_object *object = value.pointer;
    int64_t number = object->number;
    harness_object_free(object);
    sum += number;
    if (number == 7)
        return NULL;
    return number == 3 ? harness_future(world, 1, kn_failed(-ERANGE)) : harness_owned_future(world, 1, number);
}

static struct kn_sink *before_unfold(struct harness *world, struct kn_sink *sink)
{
    kn_sink_drop(sink);
    sink = KN_IN(harness_arena(world), kn_sink_unfold, add_up, world);
    return KN_IN(harness_arena(world), kn_sink_owned, sink, harness_discard, NULL);
}

static void unfold_waits_for_the_future_of_each_value(void **state)
{
    (void)state;
    explore((struct plan){.make = make_forward_two, .before = before_unfold, .sum = 3});
    explore((struct plan){.make = make_forward, .before = before_unfold, .status = -ERANGE, .sum = 6});
    explore((struct plan){.make = make_send, .before = before_unfold, .status = -ENOMEM, .sum = 7});
}

static void missing_memory_makes_null_and_drops_what_was_given(void **state)
{
    (void)state;
    struct kn_sink_drain drain;
    struct kn_stream_forward forward;
    kn_value_t slot;
    struct kn_sink_buffer buffer;
    assert_null(kn_sink_drain(NULL, NULL, NULL));
    assert_null(kn_sink_send(NULL, kn_sink_drain(&drain, NULL, NULL), KN_NOTHING));
    assert_null(kn_sink_buffer(&buffer, kn_sink_drain(&drain, NULL, NULL), &slot, 0));
    assert_null(kn_sink_buffer(&buffer, kn_sink_drain(&drain, NULL, NULL), NULL, 4));
    assert_null(kn_stream_forward(&forward, NULL, kn_sink_drain(&drain, NULL, NULL)));
    assert_null(kn_sink_flush(NULL, kn_sink_drain(&drain, NULL, NULL)));
    assert_null(kn_sink_unfold(NULL, NULL, NULL));
    assert_null(kn_sink_with(NULL, kn_sink_drain(&drain, NULL, NULL), tenfold, NULL));
    assert_null(kn_sink_fanout(NULL, NULL, kn_sink_drain(&drain, NULL, NULL)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(send_gives_its_value_and_waits_until_it_has_arrived),
        cmocka_unit_test(send_that_fails_gives_its_value_back),
        cmocka_unit_test(flush_and_close_wait_for_the_sink),
        cmocka_unit_test(send_all_sends_every_value_in_order_and_flushes),
        cmocka_unit_test(forward_sends_every_value_and_closes),
        cmocka_unit_test(forward_stops_at_the_first_failure_of_the_stream),
        cmocka_unit_test(forward_gives_back_what_a_failing_sink_did_not_take),
        cmocka_unit_test(forward_of_an_endless_stream_lets_others_run),
        cmocka_unit_test(with_gives_on_what_its_function_makes),
        cmocka_unit_test(with_passes_failures_on),
        cmocka_unit_test(value_that_was_refused_is_given_back_once),
        cmocka_unit_test(with_flat_map_sends_every_value_of_every_stream),
        cmocka_unit_test(with_flat_map_gives_back_what_was_left_when_the_sink_fails),
        cmocka_unit_test(with_flat_map_without_a_stream_fails),
        cmocka_unit_test(map_err_changes_failures_and_nothing_else),
        cmocka_unit_test(buffer_keeps_the_order_and_is_empty_after_a_flush),
        cmocka_unit_test(buffer_takes_values_while_the_sink_behind_has_no_room),
        cmocka_unit_test(buffer_gives_back_what_a_failing_sink_did_not_take),
        cmocka_unit_test(fanout_gives_every_value_to_both_sinks),
        cmocka_unit_test(fanout_fails_with_either_sink),
        cmocka_unit_test(drain_takes_and_gives_back_all),
        cmocka_unit_test(unfold_waits_for_the_future_of_each_value),
        cmocka_unit_test(missing_memory_makes_null_and_drops_what_was_given),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
