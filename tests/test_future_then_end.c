/* Futures and streams of each other, and the end of a future: fuse, boxed, catch. */

#include <kernel/assert.h>
#include <kernel/future_task.h>
#include <kernel/future_then.h>

#include "async_harness.h"
#include "reactors.h"

#define NEW(combinator, ...) combinator(KN_ARENA_NEW(harness_arena(world), struct combinator), __VA_ARGS__)

static struct harness *world; /* of this execution */

/* ---- a future that reads a stream to its end ---- */

struct drain {
    struct kn_future future;
    struct kn_stream *stream;
    int64_t sum;
};

/* Answers with the sum of the items' numbers, and 100 for each failure. */
static struct kn_outcome drain_poll(struct kn_future *future, struct kn_context *context)
{
    struct drain *self = KN_CONTAINER_OF(future, struct drain, future);
    for (;;) {
        struct kn_outcome outcome = kn_stream_poll(self->stream, context);
        if (outcome.status == KN_PENDING)
            return outcome;
        if (outcome.status == KN_END)
            return kn_ready(KN_VALUE(self->sum));
        if (outcome.status < 0) {
            self->sum += 100;
            continue;
        }
        self->sum += ((struct harness_object *)outcome.value.pointer)->number;
        kn_stream_discard(self->stream, outcome.value);
    }
}

static void drain_drop(struct kn_future *future)
{
    kn_stream_drop(KN_CONTAINER_OF(future, struct drain, future)->stream);
}

static const struct kn_future_type drain_type = {.name = "drain", .poll = drain_poll, .drop = drain_drop};

static struct kn_future *drain(struct kn_stream *stream)
{
    struct drain *self = KN_ARENA_NEW(harness_arena(world), struct drain);
    *self = (struct drain){.future.type = &drain_type, .stream = stream};
    return &self->future;
}

/* ---- programs ---- */

struct program {
    struct kn_future *(*build)(void);
    int64_t expected; /* an integer, or a negative errno */
    bool is_object;   /* the number of an object */
};

static void build(struct harness *of, void *context)
{
    world = of;
    harness_spawn(world, ((struct program *)context)->build());
}

static void check(struct harness *of, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)of;
    (void)task;
    const struct program *program = context;
    if (program->expected < 0) {
        assert_int_equal(outcome.status, program->expected);
        return;
    }
    assert_int_equal(outcome.status, KN_READY);
    assert_int_equal(program->is_object ? ((struct harness_object *)outcome.value.pointer)->number
                                        : outcome.value.integer,
                     program->expected);
}

static void explore(struct program program)
{
    harness_explore(build, check, &program, NULL);
}

static struct kn_outcome poll_once(struct kn_future *future)
{
    static struct kn_local_executor local;
    struct kn_outcome outcome;
    kn_local_executor_init(&local, 0);
    (void)kn_local_executor_poll(&local, future, &outcome);
    return outcome;
}

/* ---- streams ---- */

static const struct harness_item items[] = {{1, {KN_READY, {.integer = 3}}}, {1, {KN_READY, {.integer = 4}}}};

static kn_value_t to_stream(kn_value_t value, void *context)
{
    (void)context;
    harness_object_free(value.pointer);
    return KN_VALUE(harness_owned_stream(world, items, 2));
}

static struct kn_future *flatten_stream(void)
{
    struct kn_future *future = NEW(kn_future_map, harness_owned_future(world, 1, 7), to_stream, NULL);
    return drain(NEW(kn_future_flatten_stream, future));
}

static struct kn_future *flatten_stream_failure(void)
{
    return drain(NEW(kn_future_flatten_stream, harness_future(world, 2, kn_failed(-EIO))));
}

static struct kn_future *flatten_stream_nothing(void)
{
    return drain(NEW(kn_future_flatten_stream, harness_future(world, 2, kn_ready(KN_NOTHING))));
}

static void flatten_stream_gives_the_items_of_the_stream_it_is_given(void **state)
{
    (void)state;
    explore((struct program){.build = flatten_stream, .expected = 7});
}

static void flatten_stream_fails_once_and_ends(void **state)
{
    (void)state;
    explore((struct program){.build = flatten_stream_failure, .expected = 100});
    explore((struct program){.build = flatten_stream_nothing, .expected = 100});
}

static struct kn_future *into_stream(void)
{
    return drain(NEW(kn_future_into_stream, harness_owned_future(world, 2, 7)));
}

static struct kn_future *into_stream_failure(void)
{
    return drain(NEW(kn_future_into_stream, harness_future(world, 2, kn_failed(-EIO))));
}

static void into_stream_is_one_item_and_the_end(void **state)
{
    (void)state;
    explore((struct program){.build = into_stream, .expected = 7});
    explore((struct program){.build = into_stream_failure, .expected = 100});
}

/* ---- fuse ---- */

static struct kn_future *fuse(void)
{
    return NEW(kn_future_fuse, harness_owned_future(world, 2, 7));
}

static void fuse_passes_the_answer_on(void **state)
{
    (void)state;
    explore((struct program){.build = fuse, .expected = 7, .is_object = true});
}

static void fuse_waits_for_ever_after_its_answer(void **state)
{
    (void)state;
    struct kn_future_ready ready;
    struct kn_future_fuse memory;
    struct kn_future *future = kn_future_fuse(&memory, kn_future_ready(&ready, KN_VALUE(7)));
    assert_false(kn_future_fuse_is_terminated(&memory));
    struct kn_outcome outcome = poll_once(future);
    assert_int_equal(outcome.status, KN_READY);
    assert_int_equal(outcome.value.integer, 7);
    assert_true(kn_future_fuse_is_terminated(&memory));
    assert_int_equal(poll_once(future).status, KN_PENDING);

    struct kn_future_pending pending;
    future = kn_future_fuse(&memory, kn_future_pending(&pending));
    assert_int_equal(poll_once(future).status, KN_PENDING);
    assert_false(kn_future_fuse_is_terminated(&memory));
    kn_future_drop(future);
    assert_true(kn_future_fuse_is_terminated(&memory));
}

/* ---- boxed ---- */

static unsigned released;

static void release(void *context)
{
    assert_ptr_equal(context, &released);
    released++;
}

/* The leaf's value outlives the box, so it is owned outside of it. */
static struct kn_future *boxed(void)
{
    released = 0;
    struct kn_future *future = NEW(kn_future_boxed, harness_owned_future(world, 2, 7), release, &released);
    return NEW(kn_future_owned, future, harness_discard, NULL);
}

static void check_released(struct harness *of, void *context)
{
    (void)of;
    (void)context;
    assert_int_equal(released, 1);
}

static void boxed_gives_its_memory_back_exactly_once(void **state)
{
    (void)state;
    struct program program = {.build = boxed, .expected = 7, .is_object = true};
    struct harness_options options = {.ended = check_released};
    harness_explore(build, check, &program, &options);
}

static void boxed_gives_its_memory_back_also_when_it_cannot_be_made(void **state)
{
    (void)state;
    struct kn_future_boxed memory;
    struct kn_future_ready ready;
    released = 0;
    assert_null(kn_future_boxed(&memory, NULL, release, &released));
    assert_int_equal(released, 1);
    assert_null(kn_future_boxed(NULL, kn_future_ready(&ready, KN_NOTHING), release, &released));
    assert_int_equal(released, 2);
}

static kn_value_t increment(kn_value_t value, void *context)
{
    (void)context;
    return KN_VALUE(value.integer + 1);
}

static void boxed_in_arena_rewinds_it(void **state)
{
    (void)state;
    static uint8_t bytes[1024];
    struct kn_arena arena;
    struct kn_future_boxed memory;
    kn_arena_init(&arena, bytes, sizeof bytes);
    assert_non_null(kn_arena_allocate(&arena, 64, 8));
    kn_arena_mark_t mark = kn_arena_mark(&arena);
    struct kn_future *future = KN_IN(&arena, kn_future_ready, KN_VALUE(1));
    future = KN_IN(&arena, kn_future_map, future, increment, NULL);
    future = kn_future_boxed_in_arena(&memory, future, &arena, mark);
    assert_true(kn_arena_mark(&arena) > mark);
    struct kn_outcome outcome = poll_once(future);
    assert_int_equal(outcome.value.integer, 2);
    assert_int_equal(kn_arena_mark(&arena), mark);
    kn_future_drop(future); /* does not touch the future that was there, which is poisoned */
    assert_int_equal(kn_arena_mark(&arena), mark);
}

/* ---- catch ---- */

static void break_invariant(kn_value_t value, void *context)
{
    (void)value;
    (void)context;
    kn_assert_failed("the sum of the angles", __FILE__, __LINE__);
}

static struct kn_future *catch_nothing(void)
{
    return NEW(kn_future_catch, harness_owned_future(world, 2, 7));
}

static struct kn_future *catch_break(void)
{
    struct kn_future *future =
        NEW(kn_future_inspect, harness_future(world, 2, kn_ready(KN_NOTHING)), break_invariant, NULL);
    return NEW(kn_future_catch, future);
}

static void catch_turns_a_broken_invariant_into_a_failure(void **state)
{
    (void)state;
    explore((struct program){.build = catch_nothing, .expected = 7, .is_object = true});
    explore((struct program){.build = catch_break, .expected = -ECANCELED});
}

static struct kn_outcome waits_then_breaks(void *context, struct kn_context *poll)
{
    (void)poll;
    if (++*(unsigned *)context > 1)
        kn_assert_failed("once bitten", __FILE__, __LINE__);
    return kn_pending();
}

struct stubborn {
    struct kn_future future;
    unsigned drops;
    bool drop_breaks;
};

static struct kn_outcome stubborn_poll(struct kn_future *future, struct kn_context *context)
{
    (void)future;
    (void)context;
    kn_assert_failed("poll", __FILE__, __LINE__);
}

static void stubborn_drop(struct kn_future *future)
{
    struct stubborn *self = KN_CONTAINER_OF(future, struct stubborn, future);
    self->drops++;
    if (self->drop_breaks)
        kn_assert_failed("drop", __FILE__, __LINE__);
}

static const struct kn_future_type stubborn_type = {.name = "stubborn", .poll = stubborn_poll, .drop = stubborn_drop};

static void catch_drops_what_broke_once_even_if_that_breaks_too(void **state)
{
    (void)state;
    for (int breaks = 0; breaks < 2; breaks++) {
        struct stubborn stubborn = {.future.type = &stubborn_type, .drop_breaks = breaks == 1};
        struct kn_future_catch memory;
        struct kn_future *future = kn_future_catch(&memory, &stubborn.future);
        assert_int_equal(poll_once(future).status, -ECANCELED);
        assert_int_equal(stubborn.drops, 1);
        kn_future_drop(future);
        assert_int_equal(stubborn.drops, 1);
    }
}

struct pair {
    struct kn_future_catch inner_catch;
    struct kn_future_poll_fn inner;
    unsigned polls;
    int64_t inner_status;
};

/* Polls a catch whose future breaks the second time, and breaks itself after that. */
static struct kn_outcome break_after_the_inner_catch(void *context, struct kn_context *poll)
{
    struct pair *pair = context;
    struct kn_outcome outcome = kn_future_poll(&pair->inner_catch.future, poll);
    if (outcome.status == KN_PENDING)
        return outcome;
    pair->inner_status = outcome.status;
    kn_assert_failed("twice shy", __FILE__, __LINE__);
}

static void catches_nest(void **state)
{
    (void)state;
    struct pair pair = {.polls = 0};
    struct kn_future_poll_fn outer;
    struct kn_future_catch outer_catch;
    kn_future_catch(&pair.inner_catch, kn_future_poll_fn(&pair.inner, waits_then_breaks, &pair.polls));
    struct kn_future *future =
        kn_future_catch(&outer_catch, kn_future_poll_fn(&outer, break_after_the_inner_catch, &pair));
    assert_int_equal(poll_once(future).status, KN_PENDING);
    assert_int_equal(poll_once(future).status, -ECANCELED);
    assert_int_equal(pair.polls, 2);
    assert_int_equal(pair.inner_status, -ECANCELED);
}

static void hook_of_the_test(void *context, const char *expression, const char *file, int line)
{
    (void)context;
    (void)expression;
    (void)file;
    (void)line;
}

static void catch_guards_its_polls_only(void **state)
{
    (void)state;
    struct kn_future_ready ready;
    struct kn_future_catch memory;
    struct kn_future_inspect inspect;
    void *context;
    kn_assert_set_hook(hook_of_the_test, &ready);
    struct kn_future *future = kn_future_ready(&ready, KN_NOTHING);
    assert_int_equal(poll_once(kn_future_catch(&memory, future)).status, KN_READY);
    assert_true(kn_assert_get_hook(&context) == hook_of_the_test);
    assert_ptr_equal(context, &ready);
    future = kn_future_inspect(&inspect, future, break_invariant, NULL);
    assert_int_equal(poll_once(kn_future_catch(&memory, future)).status, -ECANCELED);
    assert_true(kn_assert_get_hook(&context) == hook_of_the_test);
    assert_ptr_equal(context, &ready);
    kn_assert_set_hook(NULL, NULL);
}

/* ---- catch within reactors ---- */

static struct kn_outcome panic(void *context)
{
    (void)context;
    kn_task_panic("out of cheese");
}

static struct kn_outcome fail_assertion(void *context)
{
    (void)context;
    kn_assert_failed("a poll", __FILE__, __LINE__);
}

static void note(struct kn_future_task *task, struct kn_outcome outcome, void *context)
{
    (void)task;
    *(int64_t *)context = outcome.status;
}

/* Runs three tasks: one that breaks under a catch as `function` does, one that breaks without one, if that is isolated,
 * and another under a catch. */
static void run_in_reactor(bool isolates, struct kn_outcome (*function)(void *context))
{
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){.isolate_panics = isolates});
    struct kn_reactor *reactor = kn_runtime_reactor(runtime, 0);
    struct kn_future_task tasks[3];
    struct kn_future_lazy lazies[3];
    struct kn_future_catch catches[2];
    int64_t statuses[3] = {1, 1, 1};
    memset(tasks, 0, sizeof tasks);
    for (unsigned i = 0; i < 3; i++) {
        struct kn_future_options options = {.finished = note, .context = &statuses[i]};
        struct kn_future *future = kn_future_lazy(&lazies[i], function, NULL);
        if (i != 1)
            future = kn_future_catch(&catches[i / 2], future);
        else if (!isolates)
            continue;
        assert_int_equal(kn_future_spawn(&tasks[i], future, reactor, &options), 0);
    }
    reactors_settle(runtime);
    assert_int_equal(statuses[0], -ECANCELED);
    assert_int_equal(statuses[1], 1);
    assert_int_equal(statuses[2], -ECANCELED);
    assert_int_equal(REACTORS_COUNTER(runtime, 0, panics), isolates ? 1 : 0);
    kn_runtime_close(runtime);
}

static void catch_leaves_the_isolation_of_a_reactor_as_it_was(void **state)
{
    (void)state;
    run_in_reactor(true, fail_assertion);
    run_in_reactor(true, panic);
}

static void catch_works_in_a_reactor_that_does_not_isolate(void **state)
{
    (void)state;
    run_in_reactor(false, fail_assertion);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flatten_stream_gives_the_items_of_the_stream_it_is_given),
        cmocka_unit_test(flatten_stream_fails_once_and_ends),
        cmocka_unit_test(into_stream_is_one_item_and_the_end),
        cmocka_unit_test(fuse_passes_the_answer_on),
        cmocka_unit_test(fuse_waits_for_ever_after_its_answer),
        cmocka_unit_test(boxed_gives_its_memory_back_exactly_once),
        cmocka_unit_test(boxed_gives_its_memory_back_also_when_it_cannot_be_made),
        cmocka_unit_test(boxed_in_arena_rewinds_it),
        cmocka_unit_test(catch_turns_a_broken_invariant_into_a_failure),
        cmocka_unit_test(catch_drops_what_broke_once_even_if_that_breaks_too),
        cmocka_unit_test(catches_nest),
        cmocka_unit_test(catch_guards_its_polls_only),
        cmocka_unit_test(catch_leaves_the_isolation_of_a_reactor_as_it_was),
        cmocka_unit_test(catch_works_in_a_reactor_that_does_not_isolate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
