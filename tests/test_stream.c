/*
 * What every stream has: the next item, lending, owned items.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <kernel/async.h>
#include <kernel/stream_source.h>
#include <kernel/stream_take.h>

#include "async_harness.h"

static const struct harness_item ITEMS[] = {
    {1, {KN_READY, {.integer = 1}}}, {0, {KN_READY, {.integer = 2}}}, {1, {KN_READY, {.integer = 3}}}};

/* Takes one item by next, one through a lent stream that is dropped, and one by next again. */
struct taker {
    KN_ASYNC_STATE;
    struct kn_stream *stream;
    struct kn_stream_next next;
    struct kn_stream_by_ref lent;
    struct kn_stream_take take;
    struct kn_stream *rest;
    int64_t numbers;
};

static void taker_cleanup(struct taker *self)
{
    kn_stream_drop(self->rest);
    kn_stream_drop(self->stream);
}

static int64_t take_number(struct kn_outcome outcome)
{
    struct harness_object *object = outcome.value.pointer;
    int64_t number = object->number;
    harness_object_free(object);
    return number;
}

KN_ASYNC_WITH_CLEANUP(taker, taker_cleanup)
{
    KN_BEGIN;
    KN_TRY(kn_stream_next(&self->next, self->stream));
    self->numbers = take_number(KN_OUTCOME);
    self->rest = kn_stream_take(&self->take, kn_stream_by_ref(&self->lent, self->stream), 1);
    KN_NEXT(self->rest);
    self->numbers = self->numbers * 10 + take_number(KN_OUTCOME);
    kn_stream_drop(self->rest);
    KN_TRY(kn_stream_next(&self->next, self->stream));
    self->numbers = self->numbers * 10 + take_number(KN_OUTCOME);
    KN_AWAIT(kn_stream_next(&self->next, self->stream));
    if (KN_OUTCOME.status != KN_END)
        KN_FAIL(-EPROTO);
    KN_RETURN(self->numbers);
}

static void build_taker(struct harness *world, void *context)
{
    (void)context;
    struct taker *memory = KN_ARENA_NEW(harness_arena(world), struct taker);
    *memory = (struct taker){.stream = harness_owned_stream(world, ITEMS, 3)};
    harness_spawn(world, taker(memory));
}

static void check_taker(struct harness *world, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)world;
    (void)task;
    ++*(unsigned *)context;
    assert_int_equal(outcome.status, KN_READY);
    assert_int_equal(outcome.value.integer, 123);
}

/* A taker that is dropped before its first poll has not begun, and leaves its stream to whoever made it. */
static void a_lent_stream_loses_nothing(void **state)
{
    (void)state;
    unsigned answers = 0;
    harness_explore(build_taker, check_taker, &answers, NULL);
    assert_true(answers > 0);
}

struct count {
    KN_GENERATOR_STATE;
    int number;
};

KN_GENERATOR(count)
{
    KN_BEGIN;
    for (self->number = 1; self->number <= 3; self->number++) {
        if (self->number == 2)
            KN_YIELD;
        KN_EMIT(self->number);
    }
    KN_FINISH_STREAM;
}

static void count_release(kn_value_t value, void *context)
{
    *(int64_t *)context += value.integer;
}

static void a_plain_generator_is_a_stream(void **state)
{
    (void)state;
    static struct kn_local_executor executor;
    struct count memory;
    struct kn_stream_next next;
    struct kn_stream_owned owned;
    int64_t released = 0;
    kn_local_executor_init(&executor, 0);
    struct kn_stream *stream = kn_stream_owned(&owned, count(&memory), count_release, &released);
    for (int64_t expected = 1; expected <= 3; expected++) {
        struct kn_outcome outcome = kn_local_executor_run(&executor, kn_stream_next(&next, stream));
        assert_int_equal(outcome.value.integer, expected);
        kn_stream_discard_outcome(stream, outcome);
    }
    assert_int_equal(kn_local_executor_run(&executor, kn_stream_next(&next, stream)).status, KN_END);
    assert_int_equal(released, 1 + 2 + 3);
    assert_null(kn_stream_next(&next, NULL));
    assert_null(kn_stream_by_ref(NULL, stream));
    assert_null(kn_stream_owned(NULL, stream, count_release, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lent_stream_loses_nothing),
        cmocka_unit_test(a_plain_generator_is_a_stream),
    };
    return cmocka_run_group_tests_name("stream", tests, NULL, NULL);
}
