/*
 * The table of one kind of processor: numeric_kernels.h for each type of number. Included once for each LEVEL, with
 * TARGET and VECTOR_BYTES as there.
 */
#define CONCATENATE(a, b, c) a##_##b##_##c
#define NAMED(name, type, level) CONCATENATE(name, type, level)

#define KERNEL(name) NAMED(name, f64, LEVEL)
#define SCALAR double
#define TOTAL double
#define NUMBER NUMBER_F64
#include "numeric_kernels.h"
#undef KERNEL
#undef SCALAR
#undef TOTAL
#undef NUMBER

#define KERNEL(name) NAMED(name, f32, LEVEL)
#define SCALAR float
#define TOTAL double
#define NUMBER NUMBER_F32
#include "numeric_kernels.h"
#undef KERNEL
#undef SCALAR
#undef TOTAL
#undef NUMBER

#define KERNEL(name) NAMED(name, i64, LEVEL)
#define SCALAR int64_t
#define TOTAL int64_t
#define NUMBER NUMBER_I64
#include "numeric_kernels.h"
#undef KERNEL
#undef SCALAR
#undef TOTAL
#undef NUMBER

#define REDUCTIONS(type)                                                                                               \
    {                                                                                                                  \
        NAMED(sum, type, LEVEL), NAMED(min, type, LEVEL), NAMED(max, type, LEVEL)                                      \
    }
#define MAPS(type, root_of_type)                                                                                       \
    {                                                                                                                  \
        [KN_MAP_SCALE] = NAMED(scale, type, LEVEL), [KN_MAP_ADD] = NAMED(add, type, LEVEL),                            \
        [KN_MAP_AFFINE] = NAMED(affine, type, LEVEL), [KN_MAP_CLAMP] = NAMED(clamp, type, LEVEL),                      \
        [KN_MAP_ABSOLUTE] = NAMED(absolute, type, LEVEL), [KN_MAP_NEGATE] = NAMED(negate, type, LEVEL),                \
        [KN_MAP_ROOT] = root_of_type                                                                                   \
    }

static const struct kn_numeric NAMED(numeric, table, LEVEL) = {
    .name = LEVEL_NAME,
    .reduce_f64 = REDUCTIONS(f64),
    .reduce_f32 = REDUCTIONS(f32),
    .reduce_i64 = REDUCTIONS(i64),
    .dot_f64 = NAMED(dot, f64, LEVEL),
    .dot_f32 = NAMED(dot, f32, LEVEL),
    .dot_i64 = NAMED(dot, i64, LEVEL),
    .greater_f64 = NAMED(greater, f64, LEVEL),
    .greater_f32 = NAMED(greater, f32, LEVEL),
    .greater_i64 = NAMED(greater, i64, LEVEL),
    .map_f64 = MAPS(f64, NAMED(root, f64, LEVEL)),
    .map_f32 = MAPS(f32, NAMED(root, f32, LEVEL)),
    .map_i64 = MAPS(i64, NULL),
    .moments_block = NAMED(moments, f64, LEVEL),
};

#undef CONCATENATE
#undef NAMED
#undef REDUCTIONS
#undef MAPS
