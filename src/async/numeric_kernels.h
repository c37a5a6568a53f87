/*
 * The loops of numeric.c for one type of number and one width of vectors. Included once for each pair:
 *
 *        KERNEL(name)    the name of a function of this pair
 *        TARGET          the attribute that lets the compiler use the processor's vectors
 *        VECTOR_BYTES    of a vector: 16, 32 or 64
 *        SCALAR          double, float or int64_t, and NUMBER_F64, NUMBER_F32 or NUMBER_I64 as NUMBER
 *        TOTAL           what sums are added up in
 *
 * Whatever the width, a round takes 256 bytes, and each place of a round has a partial result of its own; so every
 * width does the same operations on the same numbers, and comes to the same bits. What is left over at the end of a
 * span becomes a whole round by numbers that change nothing.
 */

typedef SCALAR KERNEL(vector) __attribute__((vector_size(VECTOR_BYTES)));
typedef SCALAR KERNEL(loose) __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(SCALAR)), may_alias));
#if NUMBER == NUMBER_F32
typedef int32_t KERNEL(mask) __attribute__((vector_size(VECTOR_BYTES)));
#else
typedef int64_t KERNEL(mask) __attribute__((vector_size(VECTOR_BYTES)));
#endif
typedef uint64_t KERNEL(words) __attribute__((vector_size(VECTOR_BYTES)));

#define VECTOR KERNEL(vector)
#define LANES ((size_t)(VECTOR_BYTES / sizeof(SCALAR)))
#define VECTORS ((size_t)(ROUND_BYTES / VECTOR_BYTES))
#define ROUND (ROUND_BYTES / sizeof(SCALAR))
#define LOAD(address) ((VECTOR) * (const KERNEL(loose) *)(address))
#define STORE(address, value) (*(KERNEL(loose) *)(address) = (value))
/* Not 0 + number, which makes a zero of -0. */
#define EVERYWHERE(number) ((SCALAR)(number) - (VECTOR){0})
#define SELECT(condition, yes, no) ((VECTOR)(((KERNEL(mask))(yes) & (condition)) | ((KERNEL(mask))(no) & ~(condition))))
/* Numbers that leave a least or greatest one as it is. */
#if NUMBER == NUMBER_I64
#define GREATEST INT64_MAX
#define LEAST INT64_MIN
#define PLUS(left, right) ((VECTOR)((KERNEL(words))(left) + (KERNEL(words))(right)))
#define TIMES(left, right) ((VECTOR)((KERNEL(words))(left) * (KERNEL(words))(right)))
#define MINUS(value) ((VECTOR)(-(KERNEL(words))(value)))
#define SCALAR_PLUS(left, right) ((int64_t)((uint64_t)(left) + (uint64_t)(right)))
#else
#define GREATEST ((SCALAR)__builtin_inf())
#define LEAST (-(SCALAR)__builtin_inf())
#define PLUS(left, right) ((left) + (right))
#define TIMES(left, right) ((left) * (right))
#define MINUS(value) (-(value))
#define SCALAR_PLUS(left, right) ((left) + (right))
#endif

/* The lesser, and the greater: `kept` where they are equal or one is NaN. */
KN_INLINE TARGET VECTOR KERNEL(lesser)(VECTOR value, VECTOR kept)
{
#if VECTOR_BYTES == 64 && NUMBER == NUMBER_F64
    return _mm512_min_pd(value, kept);
#elif VECTOR_BYTES == 64 && NUMBER == NUMBER_F32
    return _mm512_min_ps(value, kept);
#elif VECTOR_BYTES == 64
    return (VECTOR)_mm512_min_epi64((__m512i)value, (__m512i)kept);
#elif VECTOR_BYTES == 32 && NUMBER == NUMBER_F64
    return _mm256_min_pd(value, kept);
#elif VECTOR_BYTES == 32 && NUMBER == NUMBER_F32
    return _mm256_min_ps(value, kept);
#elif defined(__x86_64__) && NUMBER == NUMBER_F64
    return _mm_min_pd(value, kept);
#elif defined(__x86_64__) && NUMBER == NUMBER_F32
    return _mm_min_ps(value, kept);
#else
    return SELECT(value < kept, value, kept);
#endif
}

KN_INLINE TARGET VECTOR KERNEL(greater_of)(VECTOR value, VECTOR kept)
{
#if VECTOR_BYTES == 64 && NUMBER == NUMBER_F64
    return _mm512_max_pd(value, kept);
#elif VECTOR_BYTES == 64 && NUMBER == NUMBER_F32
    return _mm512_max_ps(value, kept);
#elif VECTOR_BYTES == 64
    return (VECTOR)_mm512_max_epi64((__m512i)value, (__m512i)kept);
#elif VECTOR_BYTES == 32 && NUMBER == NUMBER_F64
    return _mm256_max_pd(value, kept);
#elif VECTOR_BYTES == 32 && NUMBER == NUMBER_F32
    return _mm256_max_ps(value, kept);
#elif defined(__x86_64__) && NUMBER == NUMBER_F64
    return _mm_max_pd(value, kept);
#elif defined(__x86_64__) && NUMBER == NUMBER_F32
    return _mm_max_ps(value, kept);
#else
    return SELECT(value > kept, value, kept);
#endif
}

/* A product that is rounded before it is added to anything: the compiler cannot look through this. */
KN_INLINE TARGET VECTOR KERNEL(product)(VECTOR left, VECTOR right)
{
    VECTOR product = TIMES(left, right);
#if NUMBER != NUMBER_I64
    KEEP_ROUNDED(product);
#endif
    return product;
}

#if NUMBER != NUMBER_I64
KN_INLINE TARGET VECTOR KERNEL(root_of)(VECTOR value)
{
#if VECTOR_BYTES == 64 && NUMBER == NUMBER_F64
    return _mm512_sqrt_pd(value);
#elif VECTOR_BYTES == 64
    return _mm512_sqrt_ps(value);
#elif VECTOR_BYTES == 32 && NUMBER == NUMBER_F64
    return _mm256_sqrt_pd(value);
#elif VECTOR_BYTES == 32
    return _mm256_sqrt_ps(value);
#elif defined(__x86_64__) && NUMBER == NUMBER_F64
    return _mm_sqrt_pd(value);
#elif defined(__x86_64__)
    return _mm_sqrt_ps(value);
#elif defined(__aarch64__) && NUMBER == NUMBER_F64
    return (VECTOR)vsqrtq_f64((float64x2_t)value);
#elif defined(__aarch64__)
    return (VECTOR)vsqrtq_f32((float32x4_t)value);
#else
    for (size_t i = 0; i < LANES; i++)
        value[i] = (SCALAR)__builtin_sqrt(value[i]);
    return value;
#endif
}
#endif

/*
 * Defines a reduction of up to a whole block: `step` takes the round's partial result of one place, `kept`, and the
 * vector `value` there, and makes the next; `join` makes one of two partial results, as vectors and as scalars.
 */
#define DEFINE_REDUCTION(name, neutral, step, join, scalar_join)                                                       \
    static TARGET SCALAR KERNEL(name)(const SCALAR *data, size_t count)                                                \
    {                                                                                                                  \
        VECTOR partial[VECTORS];                                                                                       \
        SCALAR lanes[ROUND];                                                                                           \
        const VECTOR start = EVERYWHERE(neutral);                                                                      \
        UNROLL for (size_t i = 0; i < VECTORS; i++) partial[i] = start;                                                \
        for (; count >= ROUND; count -= ROUND, data += ROUND)                                                          \
            UNROLL for (size_t i = 0; i < VECTORS; i++) partial[i] = step(LOAD(data + i * LANES), partial[i]);         \
        if (count > 0) {                                                                                               \
            UNROLL for (size_t i = 0; i < VECTORS; i++) STORE(lanes + i * LANES, start);                               \
            memcpy(lanes, data, count * sizeof(SCALAR));                                                               \
            UNROLL for (size_t i = 0; i < VECTORS; i++) partial[i] = step(LOAD(lanes + i * LANES), partial[i]);        \
        }                                                                                                              \
        UNROLL for (size_t half = VECTORS / 2; half > 0; half /= 2) UNROLL for (size_t i = 0; i < half; i++)           \
            partial[i] = join(partial[i + half], partial[i]);                                                          \
        STORE(lanes, partial[0]);                                                                                      \
        for (size_t half = LANES / 2; half > 0; half /= 2)                                                             \
            for (size_t i = 0; i < half; i++)                                                                          \
                lanes[i] = scalar_join(lanes[i + half], lanes[i]);                                                     \
        return lanes[0];                                                                                               \
    }

#define SCALAR_LESSER(value, kept) ((value) < (kept) ? (value) : (kept))
#define SCALAR_GREATER(value, kept) ((value) > (kept) ? (value) : (kept))

DEFINE_REDUCTION(sum_block, 0, PLUS, PLUS, SCALAR_PLUS)
DEFINE_REDUCTION(least, GREATEST, KERNEL(lesser), KERNEL(lesser), SCALAR_LESSER)
DEFINE_REDUCTION(greatest, LEAST, KERNEL(greater_of), KERNEL(greater_of), SCALAR_GREATER)

static TARGET TOTAL KERNEL(min)(const SCALAR *data, size_t count)
{
    return KERNEL(least)(data, count);
}

static TARGET TOTAL KERNEL(max)(const SCALAR *data, size_t count)
{
    return KERNEL(greatest)(data, count);
}

static TARGET TOTAL KERNEL(sum)(const SCALAR *data, size_t count)
{
#if NUMBER == NUMBER_I64
    return KERNEL(sum_block)(data, count);
#else
    struct blocks blocks = {.count = 0};
    for (; count > BLOCK; count -= BLOCK, data += BLOCK)
        blocks_add(&blocks, KERNEL(sum_block)(data, BLOCK));
    blocks_add(&blocks, KERNEL(sum_block)(data, count));
    return blocks_total(&blocks);
#endif
}

static TARGET SCALAR KERNEL(dot_block)(const SCALAR *left, const SCALAR *right, size_t count)
{
    VECTOR partial[VECTORS] = {0};
    SCALAR lanes[2][ROUND];
    for (; count >= ROUND; count -= ROUND, left += ROUND, right += ROUND)
        UNROLL for (size_t i = 0; i < VECTORS; i++) partial[i] =
            PLUS(partial[i], KERNEL(product)(LOAD(left + i * LANES), LOAD(right + i * LANES)));
    if (count > 0) {
        memset(lanes, 0, sizeof lanes);
        memcpy(lanes[0], left, count * sizeof(SCALAR));
        memcpy(lanes[1], right, count * sizeof(SCALAR));
        UNROLL for (size_t i = 0; i < VECTORS; i++) partial[i] =
            PLUS(partial[i], KERNEL(product)(LOAD(lanes[0] + i * LANES), LOAD(lanes[1] + i * LANES)));
    }
    UNROLL for (size_t i = 0; i < VECTORS; i++) STORE(lanes[0] + i * LANES, partial[i]);
    return KERNEL(sum_block)(lanes[0], ROUND);
}

static TARGET TOTAL KERNEL(dot)(const SCALAR *left, const SCALAR *right, size_t count)
{
#if NUMBER == NUMBER_I64
    return KERNEL(dot_block)(left, right, count);
#else
    struct blocks blocks = {.count = 0};
    for (; count > BLOCK; count -= BLOCK, left += BLOCK, right += BLOCK)
        blocks_add(&blocks, KERNEL(dot_block)(left, right, BLOCK));
    blocks_add(&blocks, KERNEL(dot_block)(left, right, count));
    return blocks_total(&blocks);
#endif
}

#if NUMBER == NUMBER_F64
/* Of at least one, by two passes over what the first has brought near. */
static TARGET struct kn_moments KERNEL(moments)(const double *data, size_t count)
{
    VECTOR partial[VECTORS] = {0};
    double lanes[ROUND];
    struct kn_moments moments = {.count = count, .mean = KERNEL(sum_block)(data, count) / (double)count};
    const VECTOR mean = EVERYWHERE(moments.mean);
    for (; count >= ROUND; count -= ROUND, data += ROUND)
        UNROLL for (size_t i = 0; i < VECTORS; i++)
        {
            const VECTOR deviation = LOAD(data + i * LANES) - mean;
            partial[i] = PLUS(partial[i], KERNEL(product)(deviation, deviation));
        }
    if (count > 0) {
        UNROLL for (size_t i = 0; i < VECTORS; i++) STORE(lanes + i * LANES, mean);
        memcpy(lanes, data, count * sizeof(double));
        UNROLL for (size_t i = 0; i < VECTORS; i++)
        {
            const VECTOR deviation = LOAD(lanes + i * LANES) - mean;
            partial[i] = PLUS(partial[i], KERNEL(product)(deviation, deviation));
        }
    }
    UNROLL for (size_t i = 0; i < VECTORS; i++) STORE(lanes + i * LANES, partial[i]);
    moments.squares = KERNEL(sum_block)(lanes, ROUND);
    return moments;
}
#endif

/* Counts up to a block, in lanes as wide as the numbers. */
static TARGET uint64_t KERNEL(greater_block)(const SCALAR *data, size_t count, SCALAR limit)
{
    KERNEL(mask) partial[VECTORS] = {0};
    SCALAR lanes[ROUND];
    const VECTOR limits = EVERYWHERE(limit);
    uint64_t total = 0;
    for (; count >= ROUND; count -= ROUND, data += ROUND)
        UNROLL for (size_t i = 0; i < VECTORS; i++) partial[i] -= LOAD(data + i * LANES) > limits;
    if (count > 0) {
        UNROLL for (size_t i = 0; i < VECTORS; i++) STORE(lanes + i * LANES, limits);
        memcpy(lanes, data, count * sizeof(SCALAR));
        UNROLL for (size_t i = 0; i < VECTORS; i++) partial[i] -= LOAD(lanes + i * LANES) > limits;
    }
    UNROLL for (size_t i = 1; i < VECTORS; i++) partial[0] += partial[i];
    for (size_t i = 0; i < LANES; i++)
        total += (uint64_t)partial[0][i];
    return total;
}

static TARGET uint64_t KERNEL(greater)(const SCALAR *data, size_t count, SCALAR limit)
{
    uint64_t total = 0;
    for (; count > COUNT_BLOCK; count -= COUNT_BLOCK, data += COUNT_BLOCK)
        total += KERNEL(greater_block)(data, COUNT_BLOCK, limit);
    return total + KERNEL(greater_block)(data, count, limit);
}

/* Defines a map: `expression` of the vector x, and of vectors of a and b. */
#define DEFINE_MAP(name, expression)                                                                                   \
    static TARGET void KERNEL(name)(SCALAR * data, size_t count, SCALAR first, SCALAR second)                          \
    {                                                                                                                  \
        const VECTOR a = EVERYWHERE(first), b = EVERYWHERE(second);                                                    \
        (void)a, (void)b;                                                                                              \
        for (; count >= LANES; count -= LANES, data += LANES) {                                                        \
            const VECTOR x = LOAD(data);                                                                               \
            STORE(data, (expression));                                                                                 \
        }                                                                                                              \
        if (count > 0) {                                                                                               \
            SCALAR rest[VECTOR_BYTES / sizeof(SCALAR)] = {0};                                                          \
            memcpy(rest, data, count * sizeof(SCALAR));                                                                \
            const VECTOR x = LOAD(rest);                                                                               \
            STORE(rest, (expression));                                                                                 \
            memcpy(data, rest, count * sizeof(SCALAR));                                                                \
        }                                                                                                              \
    }

DEFINE_MAP(scale, TIMES(x, a))
DEFINE_MAP(add, PLUS(x, a))
DEFINE_MAP(affine, PLUS(KERNEL(product)(x, a), b))
DEFINE_MAP(clamp, KERNEL(greater_of)(a, KERNEL(lesser)(b, x)))
DEFINE_MAP(negate, MINUS(x))
#if NUMBER == NUMBER_I64
DEFINE_MAP(absolute, SELECT(x < 0, MINUS(x), x))
#elif NUMBER == NUMBER_F64
DEFINE_MAP(absolute, (VECTOR)((KERNEL(mask))x &INT64_MAX))
DEFINE_MAP(root, KERNEL(root_of)(x))
#else
DEFINE_MAP(absolute, (VECTOR)((KERNEL(mask))x &INT32_MAX))
DEFINE_MAP(root, KERNEL(root_of)(x))
#endif

#undef VECTOR
#undef LANES
#undef VECTORS
#undef ROUND
#undef LOAD
#undef STORE
#undef EVERYWHERE
#undef SELECT
#undef GREATEST
#undef LEAST
#undef PLUS
#undef TIMES
#undef MINUS
#undef SCALAR_PLUS
#undef SCALAR_LESSER
#undef SCALAR_GREATER
#undef DEFINE_REDUCTION
#undef DEFINE_MAP
