/*
 * Arithmetic over spans. See numeric.h; the loops are in numeric_kernels.h.
 */
#include <string.h>

#include <kernel/assert.h>
#include <kernel/executor.h>
#include <kernel/numeric.h>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

/* Types of numbers, for the preprocessor. */
#define NUMBER_F64 1
#define NUMBER_F32 2
#define NUMBER_I64 3

/* Bytes of a round: four of the widest vectors, so that additions that wait for each other leave none of them idle. */
#define ROUND_BYTES 256

/* Numbers whose sum is formed without pairing; those of which moments are formed at once, that is, from the cache; and
 * those that are counted in 32 bits. */
#define BLOCK 2048
#define MOMENTS_BLOCK 1024
#define COUNT_BLOCK ((size_t)1 << 20)

#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

#if defined(__x86_64__)
#define KEEP_ROUNDED(vector) __asm__("" : "+x"(vector))
#elif defined(__aarch64__)
#define KEEP_ROUNDED(vector) __asm__("" : "+w"(vector))
#else
#define KEEP_ROUNDED(vector) __asm__("" : "+m"(vector))
#endif

/* ---- sums of blocks ---- */

/* Adds numbers pairwise as they come: partial[i] is the sum of 2^i of them, and there where bit i of the count is set.
 */
struct blocks {
    uint64_t count;
    double partial[64];
};

static void blocks_add(struct blocks *blocks, double sum)
{
    unsigned level = 0;
    for (; blocks->count >> level & 1; level++)
        sum = blocks->partial[level] + sum;
    blocks->partial[level] = sum;
    blocks->count++;
}

static double blocks_total(const struct blocks *blocks)
{
    double total = 0;
    for (unsigned level = 0; blocks->count >> level; level++)
        if (blocks->count >> level & 1)
            total = blocks->partial[level] + total;
    return total;
}

/* ---- tables ---- */

#define LEVEL portable
#define LEVEL_NAME "portable"
#define TARGET
#define VECTOR_BYTES 16
#include "numeric_level.h"
#undef LEVEL
#undef LEVEL_NAME
#undef TARGET
#undef VECTOR_BYTES

#if defined(__x86_64__)
#define LEVEL avx2
#define LEVEL_NAME "avx2"
#define TARGET __attribute__((target("avx2")))
#define VECTOR_BYTES 32
#include "numeric_level.h"
#undef LEVEL
#undef LEVEL_NAME
#undef TARGET
#undef VECTOR_BYTES

#define LEVEL avx512
#define LEVEL_NAME "avx512"
#define TARGET __attribute__((target("avx512f,avx512dq")))
#define VECTOR_BYTES 64
#include "numeric_level.h"
#undef LEVEL
#undef LEVEL_NAME
#undef TARGET
#undef VECTOR_BYTES
#endif

const struct kn_numeric *kn_numeric_table(enum kn_numeric_level level)
{
    if (level == KN_NUMERIC_PORTABLE)
        return &numeric_table_portable;
#if defined(__x86_64__)
    if (level == KN_NUMERIC_AVX2 && __builtin_cpu_supports("avx2"))
        return &numeric_table_avx2;
    if (level == KN_NUMERIC_AVX512 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq"))
        return &numeric_table_avx512;
#endif
    return NULL;
}

const struct kn_numeric *kn_numeric_best(void)
{
    const struct kn_numeric *table = NULL;
    for (int level = KN_NUMERIC_LEVELS - 1; !table; level--)
        table = kn_numeric_table((enum kn_numeric_level)level);
    return table;
}

double kn_prefix_sum_f64(struct kn_span_f64 span)
{
    double sum = 0;
    for (size_t i = 0; i < span.count; i++)
        span.data[i] = sum += span.data[i];
    return sum;
}

/* ---- moments ---- */

void kn_moments_merge(struct kn_moments *moments, const struct kn_moments *other)
{
    if (other->count == 0)
        return;
    if (moments->count == 0) {
        *moments = *other;
        return;
    }
    double count = (double)(moments->count + other->count);
    double part = (double)other->count / count;
    double distance = other->mean - moments->mean;
    moments->mean += distance * part;
    moments->squares += other->squares + distance * distance * part * (double)moments->count;
    moments->count += other->count;
}

/* Merges what is known of a block. */
static void merge_block(const struct kn_numeric *numeric, struct kn_moments *moments, const double *data, size_t count)
{
    struct kn_moments block = numeric->moments_block(data, count);
    kn_moments_merge(moments, &block);
}

struct kn_moments kn_moments_f64(const struct kn_numeric *numeric, struct kn_span_f64 span)
{
    struct kn_moments moments = {.count = 0};
    for (size_t done = 0; done < span.count; done += MOMENTS_BLOCK) {
        size_t rest = span.count - done;
        merge_block(numeric, &moments, span.data + done, rest < MOMENTS_BLOCK ? rest : MOMENTS_BLOCK);
    }
    return moments;
}

/* The same of numbers that have to be made doubles first. */
#define MOMENTS_OF(span)                                                                                               \
    double block[MOMENTS_BLOCK];                                                                                       \
    struct kn_moments moments = {.count = 0};                                                                          \
    for (size_t done = 0; done < (span).count; done += MOMENTS_BLOCK) {                                                \
        size_t rest = (span).count - done, count = rest < MOMENTS_BLOCK ? rest : MOMENTS_BLOCK;                        \
        for (size_t i = 0; i < count; i++)                                                                             \
            block[i] = (double)(span).data[done + i];                                                                  \
        merge_block(numeric, &moments, block, count);                                                                  \
    }                                                                                                                  \
    return moments

struct kn_moments kn_moments_f32(const struct kn_numeric *numeric, struct kn_span_f32 span)
{
    MOMENTS_OF(span);
}

struct kn_moments kn_moments_i64(const struct kn_numeric *numeric, struct kn_span_i64 span)
{
    MOMENTS_OF(span);
}

/* ---- map_span ---- */

static void map_value(const struct kn_stream_map_span *self, void *span)
{
    if (self->number == KN_NUMBER_F64)
        kn_map_f64(self->numeric, self->map, *(struct kn_span_f64 *)span, self->a.real, self->b.real);
    else if (self->number == KN_NUMBER_F32)
        kn_map_f32(self->numeric, self->map, *(struct kn_span_f32 *)span, (float)self->a.real, (float)self->b.real);
    else
        kn_map_i64(self->numeric, self->map, *(struct kn_span_i64 *)span, self->a.integer, self->b.integer);
}

static struct kn_outcome map_next(struct kn_stream *stream, struct kn_context *context)
{
    struct kn_stream_map_span *self = KN_CONTAINER_OF(stream, struct kn_stream_map_span, stream);
    struct kn_outcome outcome = kn_stream_poll(self->source, context);
    if (outcome.status == KN_READY)
        map_value(self, outcome.value.pointer);
    return outcome;
}

static void map_drop(struct kn_stream *stream)
{
    kn_stream_drop(KN_CONTAINER_OF(stream, struct kn_stream_map_span, stream)->source);
}

static void map_discard(struct kn_stream *stream, kn_value_t value)
{
    kn_stream_discard(KN_CONTAINER_OF(stream, struct kn_stream_map_span, stream)->source, value);
}

static const struct kn_stream_type map_type = {
    .name = "map_span", .next = map_next, .drop = map_drop, .discard = map_discard};

struct kn_stream *kn_stream_map_span(struct kn_stream_map_span *self, struct kn_stream *source,
                                     const struct kn_numeric *numeric, enum kn_number number, enum kn_map map,
                                     kn_value_t a, kn_value_t b)
{
    if (!self || !source || (number == KN_NUMBER_I64 && map == KN_MAP_ROOT)) {
        kn_stream_drop(source);
        return NULL;
    }
    *self = (struct kn_stream_map_span){
        .stream.type = &map_type, .source = source, .numeric = numeric, .number = number, .map = map, .a = a, .b = b};
    return &self->stream;
}

/* ---- reduce_span, moments_span ---- */

/* Takes in one span. */
typedef void take_function(struct kn_future *future, const void *span);

/* Gives all spans to a function, and back. */
KN_INLINE struct kn_outcome consume(struct kn_stream *source, struct kn_context *context, take_function *take,
                                    struct kn_future *future)
{
    while (kn_context_may_continue(context)) {
        struct kn_outcome outcome = kn_stream_poll(source, context);
        if (outcome.status == KN_PENDING)
            return outcome;
        if (outcome.status != KN_READY) {
            kn_stream_drop(source);
            return outcome;
        }
        take(future, outcome.value.pointer);
        kn_stream_discard(source, outcome.value);
    }
    return kn_pending();
}

static double join_reals(enum kn_reduce reduce, double left, double right)
{
    if (reduce == KN_REDUCE_SUM)
        return left + right;
    return (reduce == KN_REDUCE_MIN) == (right < left) ? right : left;
}

static int64_t join_integers(enum kn_reduce reduce, int64_t left, int64_t right)
{
    if (reduce == KN_REDUCE_SUM)
        return (int64_t)((uint64_t)left + (uint64_t)right);
    return (reduce == KN_REDUCE_MIN) == (right < left) ? right : left;
}

static void reduce_take(struct kn_future *future, const void *span)
{
    struct kn_stream_reduce_span *self = KN_CONTAINER_OF(future, struct kn_stream_reduce_span, future);
    if (self->number == KN_NUMBER_I64) {
        int64_t integer = kn_reduce_i64(self->numeric, self->reduce, *(const struct kn_span_i64 *)span);
        self->result.integer = join_integers(self->reduce, self->result.integer, integer);
        return;
    }
    double real = self->number == KN_NUMBER_F64
                      ? kn_reduce_f64(self->numeric, self->reduce, *(const struct kn_span_f64 *)span)
                      : kn_reduce_f32(self->numeric, self->reduce, *(const struct kn_span_f32 *)span);
    self->result.real = join_reals(self->reduce, self->result.real, real);
}

static struct kn_outcome reduce_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_stream_reduce_span *self = KN_CONTAINER_OF(future, struct kn_stream_reduce_span, future);
    struct kn_outcome outcome = consume(self->source, context, reduce_take, future);
    return outcome.status == KN_END ? kn_ready(self->result) : outcome;
}

static void reduce_drop(struct kn_future *future)
{
    kn_stream_drop(KN_CONTAINER_OF(future, struct kn_stream_reduce_span, future)->source);
}

static const struct kn_future_type reduce_type = {.name = "reduce_span", .poll = reduce_poll, .drop = reduce_drop};

struct kn_future *kn_stream_reduce_span(struct kn_stream_reduce_span *self, struct kn_stream *source,
                                        const struct kn_numeric *numeric, enum kn_number number, enum kn_reduce reduce)
{
    if (!self || !source) {
        kn_stream_drop(source);
        return NULL;
    }
    *self = (struct kn_stream_reduce_span){
        .future.type = &reduce_type, .source = source, .numeric = numeric, .number = number, .reduce = reduce};
    if (number == KN_NUMBER_I64)
        self->result = KN_VALUE(kn_reduce_i64(numeric, reduce, (struct kn_span_i64){0}));
    else
        self->result = KN_VALUE(kn_reduce_f64(numeric, reduce, (struct kn_span_f64){0}));
    return &self->future;
}

static void moments_take(struct kn_future *future, const void *span)
{
    struct kn_stream_moments_span *self = KN_CONTAINER_OF(future, struct kn_stream_moments_span, future);
    struct kn_moments moments;
    if (self->number == KN_NUMBER_F64)
        moments = kn_moments_f64(self->numeric, *(const struct kn_span_f64 *)span);
    else if (self->number == KN_NUMBER_F32)
        moments = kn_moments_f32(self->numeric, *(const struct kn_span_f32 *)span);
    else
        moments = kn_moments_i64(self->numeric, *(const struct kn_span_i64 *)span);
    kn_moments_merge(&self->moments, &moments);
}

static struct kn_outcome moments_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_stream_moments_span *self = KN_CONTAINER_OF(future, struct kn_stream_moments_span, future);
    struct kn_outcome outcome = consume(self->source, context, moments_take, future);
    return outcome.status == KN_END ? kn_ready(KN_VALUE(&self->moments)) : outcome;
}

static void moments_drop(struct kn_future *future)
{
    kn_stream_drop(KN_CONTAINER_OF(future, struct kn_stream_moments_span, future)->source);
}

static const struct kn_future_type moments_type = {.name = "moments_span", .poll = moments_poll, .drop = moments_drop};

struct kn_future *kn_stream_moments_span(struct kn_stream_moments_span *self, struct kn_stream *source,
                                         const struct kn_numeric *numeric, enum kn_number number)
{
    if (!self || !source) {
        kn_stream_drop(source);
        return NULL;
    }
    *self = (struct kn_stream_moments_span){
        .future.type = &moments_type, .source = source, .numeric = numeric, .number = number};
    return &self->future;
}
