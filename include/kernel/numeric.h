/**
 * @file numeric.h
 * Arithmetic over spans of numbers, by the widest vectors of the processor: sums, least and greatest, dot products,
 * means and variances, counts, and maps in place; and streams of spans.
 *
 * Use it where numbers come in chunks: columns, samples, blocks of a file; one number at a time is what the compiler
 * does well itself. Streams of single numbers become streams of spans by chunks. It guarantees that every table gives
 * the same bits as the portable one, so that a result does not change with the processor of the day; that data may
 * stand at any address its type may; and that an empty span is a span.
 *
 *        const struct kn_numeric *numeric = kn_numeric_best();      once; keep it
 *        double mean = kn_reduce_f64(numeric, KN_REDUCE_SUM, prices) / (double)prices.count;
 *        kn_map_f64(numeric, KN_MAP_SCALE, prices, 1.19, 0);
 *
 * Accuracy. A sum is formed in 32 (of floats 64) interleaved partial sums for each block of 2048 numbers, and blocks
 * are added pairwise. So it differs in its last bits from the sum from left to right, and is mostly closer: its error
 * grows with the logarithm of the number of blocks. Blocks of floats are added up as doubles. Products are rounded
 * before they are added (no fused multiply-add). Sums and products of integers wrap around.
 *
 * Not a number. Sums, products, means and variances of spans with a NaN are NaN. Least, greatest and counts pass over
 * it. Maps keep it. Which of two zeros of different sign is the lesser is not said.
 *
 * Sources: pairwise summation as in N. Higham, SIAM J. Sci. Comput. 14(4), 1993; moments by the corrected two-pass
 * algorithm within blocks, merged as by T. Chan, G. Golub, R. LeVeque, 1979.
 */
#ifndef KERNEL_NUMERIC_H
#define KERNEL_NUMERIC_H

#include <kernel/stream.h>

/** Numbers that lie one after another; lent by whoever made it. */
struct kn_span_f64 {
    double *data;
    size_t count;
};

/** The same of floats. */
struct kn_span_f32 {
    float *data;
    size_t count;
};

/** The same of integers. */
struct kn_span_i64 {
    int64_t *data;
    size_t count;
};

/** Count, mean and the sum of squared deviations from it. Zeroed: of nothing. */
struct kn_moments {
    uint64_t count;
    double mean;
    double squares;
};

/** What becomes of a span. */
enum kn_reduce {
    KN_REDUCE_SUM, /**< of nothing: 0 */
    KN_REDUCE_MIN, /**< of nothing, or of NaNs: infinity; of integers INT64_MAX */
    KN_REDUCE_MAX, /**< of nothing, or of NaNs: -infinity; of integers INT64_MIN */
    KN_REDUCES
};

/** What becomes of each number, given two more, a and b, of which most maps use one or none. */
enum kn_map {
    KN_MAP_SCALE,    /**< a x */
    KN_MAP_ADD,      /**< x + a */
    KN_MAP_AFFINE,   /**< a x + b, the product rounded */
    KN_MAP_CLAMP,    /**< at least a, at most b; a where these are the wrong way round */
    KN_MAP_ABSOLUTE, /**< without its sign; the least integer stays */
    KN_MAP_NEGATE,   /**< -x */
    KN_MAP_ROOT,     /**< the square root; NaN of negative numbers. Not of integers: NULL */
    KN_MAPS
};

/** Functions for one kind of processor. Prefer the inline functions below; all take any count, also 0. */
struct kn_numeric {
    const char *name; /**< "portable", "avx2", "avx512" */
    double (*reduce_f64[KN_REDUCES])(const double *data, size_t count);
    double (*reduce_f32[KN_REDUCES])(const float *data, size_t count);
    int64_t (*reduce_i64[KN_REDUCES])(const int64_t *data, size_t count);
    double (*dot_f64)(const double *left, const double *right, size_t count);
    double (*dot_f32)(const float *left, const float *right, size_t count);
    int64_t (*dot_i64)(const int64_t *left, const int64_t *right, size_t count);
    uint64_t (*greater_f64)(const double *data, size_t count, double limit);
    uint64_t (*greater_f32)(const float *data, size_t count, float limit);
    uint64_t (*greater_i64)(const int64_t *data, size_t count, int64_t limit);
    void (*map_f64[KN_MAPS])(double *data, size_t count, double a, double b);
    void (*map_f32[KN_MAPS])(float *data, size_t count, float a, float b);
    void (*map_i64[KN_MAPS])(int64_t *data, size_t count, int64_t a, int64_t b);
    struct kn_moments (*moments_block)(const double *data, size_t count); /* private: of 1 to 1024 */
};

/** Kinds of processors, each of which can do what those before it can. */
enum kn_numeric_level {
    KN_NUMERIC_PORTABLE, /**< whatever the program was compiled for: SSE2, NEON */
    KN_NUMERIC_AVX2,
    KN_NUMERIC_AVX512, /**< F and DQ */
    KN_NUMERIC_LEVELS
};

/** The table of a level, or NULL where this processor or build has none. Any thread; wait-free. */
const struct kn_numeric *kn_numeric_table(enum kn_numeric_level level);

/** The table of the highest level there is. Asks the processor each time: keep the answer. Any thread; wait-free. */
const struct kn_numeric *kn_numeric_best(void);

/* ---- spans ---- */

/** Sum, least or greatest. Wait-free in `count` steps, as all of these. */
KN_INLINE double kn_reduce_f64(const struct kn_numeric *numeric, enum kn_reduce reduce, struct kn_span_f64 span)
{
    return numeric->reduce_f64[reduce](span.data, span.count);
}

KN_INLINE double kn_reduce_f32(const struct kn_numeric *numeric, enum kn_reduce reduce, struct kn_span_f32 span)
{
    return numeric->reduce_f32[reduce](span.data, span.count);
}

KN_INLINE int64_t kn_reduce_i64(const struct kn_numeric *numeric, enum kn_reduce reduce, struct kn_span_i64 span)
{
    return numeric->reduce_i64[reduce](span.data, span.count);
}

/** The sum of the products of `count` pairs; they may overlap. */
KN_INLINE double kn_dot_f64(const struct kn_numeric *numeric, const double *left, const double *right, size_t count)
{
    return numeric->dot_f64(left, right, count);
}

KN_INLINE double kn_dot_f32(const struct kn_numeric *numeric, const float *left, const float *right, size_t count)
{
    return numeric->dot_f32(left, right, count);
}

KN_INLINE int64_t kn_dot_i64(const struct kn_numeric *numeric, const int64_t *left, const int64_t *right, size_t count)
{
    return numeric->dot_i64(left, right, count);
}

/** How many are greater than `limit`. */
KN_INLINE uint64_t kn_count_greater_f64(const struct kn_numeric *numeric, struct kn_span_f64 span, double limit)
{
    return numeric->greater_f64(span.data, span.count, limit);
}

KN_INLINE uint64_t kn_count_greater_f32(const struct kn_numeric *numeric, struct kn_span_f32 span, float limit)
{
    return numeric->greater_f32(span.data, span.count, limit);
}

KN_INLINE uint64_t kn_count_greater_i64(const struct kn_numeric *numeric, struct kn_span_i64 span, int64_t limit)
{
    return numeric->greater_i64(span.data, span.count, limit);
}

/** Changes each number where it stands. */
KN_INLINE void kn_map_f64(const struct kn_numeric *numeric, enum kn_map map, struct kn_span_f64 span, double a,
                          double b)
{
    numeric->map_f64[map](span.data, span.count, a, b);
}

KN_INLINE void kn_map_f32(const struct kn_numeric *numeric, enum kn_map map, struct kn_span_f32 span, float a, float b)
{
    numeric->map_f32[map](span.data, span.count, a, b);
}

/** @param map not KN_MAP_ROOT. */
KN_INLINE void kn_map_i64(const struct kn_numeric *numeric, enum kn_map map, struct kn_span_i64 span, int64_t a,
                          int64_t b)
{
    numeric->map_i64[map](span.data, span.count, a, b);
}

/** Replaces each number by the sum of all up to it, from left to right. @return the last one; 0 of nothing. */
double kn_prefix_sum_f64(struct kn_span_f64 span);

/* ---- mean and variance ---- */

/** Adds what is known of some numbers to what is known of others. Order matters in the last bits only. */
void kn_moments_merge(struct kn_moments *moments, const struct kn_moments *other);

/** Of a span; integers beyond 2^53 are rounded first. */
struct kn_moments kn_moments_f64(const struct kn_numeric *numeric, struct kn_span_f64 span);
struct kn_moments kn_moments_f32(const struct kn_numeric *numeric, struct kn_span_f32 span);
struct kn_moments kn_moments_i64(const struct kn_numeric *numeric, struct kn_span_i64 span);

/** The mean squared deviation of these numbers themselves; of nothing 0. */
KN_INLINE double kn_moments_variance(const struct kn_moments *moments)
{
    return moments->count > 0 ? moments->squares / (double)moments->count : 0;
}

/** The variance of what these numbers were drawn from; of fewer than two 0. */
KN_INLINE double kn_moments_sample_variance(const struct kn_moments *moments)
{
    return moments->count > 1 ? moments->squares / (double)(moments->count - 1) : 0;
}

/* ---- streams of spans ---- */

/** What the spans of a stream hold: its items are pointers to struct kn_span_f64, _f32 or _i64. */
enum kn_number { KN_NUMBER_F64, KN_NUMBER_F32, KN_NUMBER_I64 };

/** A map over the spans of a stream. */
struct kn_stream_map_span {
    struct kn_stream stream;          /* first */
    struct kn_stream *source;         /* of spans */
    const struct kn_numeric *numeric; /* how */
    enum kn_number number;            /* of what */
    enum kn_map map;                  /* to what */
    kn_value_t a, b;                  /* real; of integers integer */
};

/**
 * Passes on the spans of `source` after changing their numbers where they stand. A and b are KN_VALUE of doubles, for
 * floats as well, or of integers. NULL also for a map that these numbers do not have.
 */
struct kn_stream *kn_stream_map_span(struct kn_stream_map_span *self, struct kn_stream *source,
                                     const struct kn_numeric *numeric, enum kn_number number, enum kn_map map,
                                     kn_value_t a, kn_value_t b);

/** A sum, least or greatest of a stream of spans. */
struct kn_stream_reduce_span {
    struct kn_future future;          /* first */
    struct kn_stream *source;         /* of spans */
    const struct kn_numeric *numeric; /* how */
    enum kn_number number;            /* of what */
    enum kn_reduce reduce;            /* to what */
    kn_value_t result;                /* so far */
};

/** Answers with a double, or an integer, for all numbers of all spans, which it gives back. Sums of spans are added in
 * their order. */
struct kn_future *kn_stream_reduce_span(struct kn_stream_reduce_span *self, struct kn_stream *source,
                                        const struct kn_numeric *numeric, enum kn_number number, enum kn_reduce reduce);

/** Moments of a stream of spans. */
struct kn_stream_moments_span {
    struct kn_future future;          /* first */
    struct kn_stream *source;         /* of spans */
    const struct kn_numeric *numeric; /* how */
    enum kn_number number;            /* of what */
    struct kn_moments moments;        /* so far */
};

/** Answers with a pointer to the struct kn_moments of all numbers, in its own memory. Gives the spans back. */
struct kn_future *kn_stream_moments_span(struct kn_stream_moments_span *self, struct kn_stream *source,
                                         const struct kn_numeric *numeric, enum kn_number number);

#endif
