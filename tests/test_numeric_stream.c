/* Streams of spans. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <kernel/numeric.h>

#include "async_harness.h"

/* What a stream of spans is built for. */
struct spans {
    enum kn_number number;
    enum kn_reduce reduce;
    bool moments;
    bool fails;
};

enum { SPANS = 3 };

/* A span, with its numbers, held by an owned object that the harness counts. */
struct owned_span {
    union {
        struct kn_span_f64 f64;
        struct kn_span_f32 f32;
        struct kn_span_i64 i64;
    } span;
    struct harness_object *object;
    double f64[2];
    float f32[2];
    int64_t i64[2];
};

/* Makes a span of an owned object: 10 n and 10 n + 1. */
static struct kn_outcome make_span(struct harness *world, struct harness_object *object, enum kn_number number)
{
    struct owned_span *made = KN_ARENA_NEW(harness_arena(world), struct owned_span);
    assert_non_null(made);
    made->object = object;
    for (int i = 0; i < 2; i++) {
        made->i64[i] = object->number * 10 + i;
        made->f64[i] = (double)made->i64[i];
        made->f32[i] = (float)made->i64[i];
    }
    if (number == KN_NUMBER_F64)
        made->span.f64 = (struct kn_span_f64){made->f64, 2};
    else if (number == KN_NUMBER_F32)
        made->span.f32 = (struct kn_span_f32){made->f32, 2};
    else
        made->span.i64 = (struct kn_span_i64){made->i64, 2};
    return kn_ready(KN_VALUE(made));
}

struct span_source {
    struct kn_stream stream;
    struct kn_stream *inner; /* of owned objects */
    struct harness *world;
    enum kn_number number;
};

static struct kn_outcome span_next(struct kn_stream *stream, struct kn_context *context)
{
    struct span_source *source = KN_CONTAINER_OF(stream, struct span_source, stream);
    struct kn_outcome outcome = kn_stream_poll(source->inner, context);
    return outcome.status == KN_READY ? make_span(source->world, outcome.value.pointer, source->number) : outcome;
}

static void span_drop(struct kn_stream *stream)
{
    kn_stream_drop(KN_CONTAINER_OF(stream, struct span_source, stream)->inner);
}

static void span_discard(struct kn_stream *stream, kn_value_t value)
{
    (void)stream;
    harness_object_free(((struct owned_span *)value.pointer)->object);
}

static const struct kn_stream_type span_type = {
    .name = "spans", .next = span_next, .drop = span_drop, .discard = span_discard};

static const struct harness_item three_spans[] = {
    {1, {KN_READY, {.integer = 1}}}, {0, {KN_READY, {.integer = 2}}}, {1, {KN_READY, {.integer = 3}}}};
static const struct harness_item failing_spans[] = {{1, {KN_READY, {.integer = 1}}}, {1, {-EIO, {0}}}};

static struct kn_stream *span_source(struct harness *world, const struct spans *spans)
{
    struct span_source *source = KN_ARENA_NEW(harness_arena(world), struct span_source);
    assert_non_null(source);
    source->stream.type = &span_type;
    source->inner =
        spans->fails ? harness_owned_stream(world, failing_spans, 2) : harness_owned_stream(world, three_spans, SPANS);
    source->world = world;
    source->number = spans->number;
    return &source->stream;
}

/* Scales by -2, then reduces. */
static void build_spans(struct harness *world, void *context)
{
    const struct spans *spans = context;
    struct kn_arena *arena = harness_arena(world);
    kn_value_t factor = spans->number == KN_NUMBER_I64 ? KN_VALUE(-2) : KN_VALUE(-2.0);
    struct kn_stream *scaled = KN_IN(arena, kn_stream_map_span, span_source(world, spans), kn_numeric_best(),
                                     spans->number, KN_MAP_SCALE, factor, KN_NOTHING);
    if (spans->moments)
        harness_spawn(world, KN_IN(arena, kn_stream_moments_span, scaled, kn_numeric_best(), spans->number));
    else
        harness_spawn(world,
                      KN_IN(arena, kn_stream_reduce_span, scaled, kn_numeric_best(), spans->number, spans->reduce));
}

static void expect_reduced(struct harness *world, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)world;
    (void)task;
    static const double expected[KN_REDUCES] = {-246, -62, -20};
    const struct spans *spans = context;
    if (spans->fails) {
        assert_int_equal(outcome.status, -EIO);
        return;
    }
    assert_int_equal(outcome.status, KN_READY);
    if (spans->moments) {
        const struct kn_moments *moments = outcome.value.pointer;
        /* Of -20, -22, -40, -42, -60, -62. */
        assert_int_equal(moments->count, 6);
        assert_true(moments->mean > -41 - 1e-12 && moments->mean < -41 + 1e-12);
        assert_true(moments->squares > 1606 - 1e-9 && moments->squares < 1606 + 1e-9);
    } else if (spans->number == KN_NUMBER_I64) {
        assert_int_equal(outcome.value.integer, (int64_t)expected[spans->reduce]);
    } else {
        assert_true(outcome.value.real == expected[spans->reduce]);
    }
}

static void streams_of_spans_are_reduced(void **state)
{
    (void)state;
    for (int number = KN_NUMBER_F64; number <= KN_NUMBER_I64; number++) {
        for (int reduce = 0; reduce < KN_REDUCES; reduce++) {
            struct spans spans = {.number = (enum kn_number)number, .reduce = (enum kn_reduce)reduce};
            assert_true(harness_explore(build_spans, expect_reduced, &spans, NULL) > 5);
        }
        struct spans spans = {.number = (enum kn_number)number, .moments = true};
        assert_true(harness_explore(build_spans, expect_reduced, &spans, NULL) > 5);
    }
}

static void failures_of_streams_of_spans_are_the_answer(void **state)
{
    (void)state;
    for (int moments = 0; moments < 2; moments++) {
        struct spans spans = {.moments = moments, .fails = true};
        assert_true(harness_explore(build_spans, expect_reduced, &spans, NULL) > 3);
    }
}

/* Takes the spans of a mapped stream and gives them back through it: answers with their sum. */
struct summer {
    struct kn_future future;
    struct kn_stream *spans;
    double sum;
};

static struct kn_outcome summer_poll(struct kn_future *future, struct kn_context *context)
{
    struct summer *summer = KN_CONTAINER_OF(future, struct summer, future);
    for (;;) {
        struct kn_outcome outcome = kn_stream_poll(summer->spans, context);
        if (outcome.status == KN_END)
            return kn_ready(KN_VALUE(summer->sum));
        if (outcome.status != KN_READY)
            return outcome;
        const struct kn_span_f64 *span = outcome.value.pointer;
        assert_int_equal(span->count, 2);
        summer->sum += span->data[0] + span->data[1];
        kn_stream_discard(summer->spans, outcome.value);
    }
}

static void summer_drop(struct kn_future *future)
{
    kn_stream_drop(KN_CONTAINER_OF(future, struct summer, future)->spans);
}

static const struct kn_future_type summer_type = {.name = "summer", .poll = summer_poll, .drop = summer_drop};

static void build_map_alone(struct harness *world, void *context)
{
    struct summer *summer = KN_ARENA_NEW(harness_arena(world), struct summer);
    assert_non_null(summer);
    *summer = (struct summer){.future.type = &summer_type};
    summer->spans = KN_IN(harness_arena(world), kn_stream_map_span, span_source(world, context), kn_numeric_best(),
                          KN_NUMBER_F64, KN_MAP_ADD, KN_VALUE(0.5), KN_NOTHING);
    harness_spawn(world, &summer->future);
}

static void expect_sum_with_halves(struct harness *world, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)world;
    (void)task;
    (void)context;
    assert_int_equal(outcome.status, KN_READY);
    assert_true(outcome.value.real == 126);
}

static void map_span_passes_on_spans_and_who_takes_them_back(void **state)
{
    (void)state;
    struct spans spans = {.number = KN_NUMBER_F64};
    assert_true(harness_explore(build_map_alone, expect_sum_with_halves, &spans, NULL) > 5);
}

static void missing_parts_make_null(void **state)
{
    (void)state;
    static struct kn_stream_map_span map;
    static struct kn_stream_reduce_span reduce;
    static struct kn_stream_moments_span moments;
    struct kn_stream source = {.type = &(struct kn_stream_type){.drop = kn_stream_drop_nothing}};
    const struct kn_numeric *numeric = kn_numeric_best();
    assert_null(kn_stream_map_span(NULL, &source, numeric, KN_NUMBER_F64, KN_MAP_ADD, KN_NOTHING, KN_NOTHING));
    assert_null(kn_stream_map_span(&map, NULL, numeric, KN_NUMBER_F64, KN_MAP_ADD, KN_NOTHING, KN_NOTHING));
    assert_null(kn_stream_map_span(&map, &source, numeric, KN_NUMBER_I64, KN_MAP_ROOT, KN_NOTHING, KN_NOTHING));
    assert_null(kn_stream_reduce_span(NULL, &source, numeric, KN_NUMBER_F64, KN_REDUCE_SUM));
    assert_null(kn_stream_reduce_span(&reduce, NULL, numeric, KN_NUMBER_F64, KN_REDUCE_SUM));
    assert_null(kn_stream_moments_span(NULL, &source, numeric, KN_NUMBER_F64));
    assert_null(kn_stream_moments_span(&moments, NULL, numeric, KN_NUMBER_F64));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_of_spans_are_reduced),
        cmocka_unit_test(failures_of_streams_of_spans_are_the_answer),
        cmocka_unit_test(map_span_passes_on_spans_and_who_takes_them_back),
        cmocka_unit_test(missing_parts_make_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
