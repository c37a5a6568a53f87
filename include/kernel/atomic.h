/*
 * Cache lines, processor hints and the atomic vocabulary that every layer shares.
 *
 * Include it when a structure is touched by more than one thread. It guarantees nothing by itself: the
 * pairing of every ordered access is written where the access stands. Atomics themselves are C11's
 * <stdatomic.h>; this header only adds what C11 leaves out.
 */
#ifndef KERNEL_ATOMIC_H
#define KERNEL_ATOMIC_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Bytes that two cores must not share when each writes its own. The hardware line is 64 bytes on the
 * processors we run on, but Intel's spatial prefetcher and some Arm cores move lines in pairs: fields of
 * different owners therefore stand 128 bytes apart.
 */
#define KN_CACHE_LINE 64
#define KN_OWNER_STRIDE 128

/* Starts a field (or variable) on memory that no other owner writes. */
#define KN_OWNED alignas(KN_OWNER_STRIDE)

#if defined(__GNUC__) || defined(__clang__)
#define KN_LIKELY(condition) __builtin_expect(!!(condition), 1)
#define KN_UNLIKELY(condition) __builtin_expect(!!(condition), 0)
#define KN_INLINE static inline __attribute__((always_inline, unused))
#define KN_CHECK_RESULT __attribute__((warn_unused_result))
#define KN_PRINTF(format_index, first_argument) __attribute__((format(printf, format_index, first_argument)))
#define KN_PREFETCH_READ(address) __builtin_prefetch((address), 0, 3)
#define KN_PREFETCH_WRITE(address) __builtin_prefetch((address), 1, 3)
#else
#define KN_LIKELY(condition) (condition)
#define KN_UNLIKELY(condition) (condition)
#define KN_INLINE static inline
#define KN_CHECK_RESULT
#define KN_PRINTF(format_index, first_argument)
#define KN_PREFETCH_READ(address) ((void)(address))
#define KN_PREFETCH_WRITE(address) ((void)(address))
#endif

/* Tells the processor that this thread spins, so that a sibling hardware thread may run. Wait-free. */
KN_INLINE void kn_cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("isb" ::: "memory");
#else
    atomic_signal_fence(memory_order_seq_cst);
#endif
}

/*
 * Adds to a counter that one thread writes and any thread reads. A plain load and store instead of a
 * locked add: correct because the owner is the only writer. Wait-free.
 */
KN_INLINE void kn_counter_add(_Atomic uint64_t *counter, uint64_t amount)
{
    uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, value + amount, memory_order_relaxed);
}

/* Reads such a counter from any thread; the value may be a moment old. Wait-free. */
KN_INLINE uint64_t kn_counter_read(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* Whether `value` is a power of two; zero is not. */
KN_INLINE bool kn_is_power_of_two(uint64_t value)
{
    return value != 0 && (value & (value - 1)) == 0;
}

/* The least multiple of `alignment`, a power of two, that is at least `value`. Wraps beyond UINT64_MAX. */
KN_INLINE uint64_t kn_align_up(uint64_t value, uint64_t alignment)
{
    return (value + alignment - 1) & ~(alignment - 1);
}

#endif
