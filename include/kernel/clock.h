/**
 * @file clock.h
 * Time since some fixed point, in nanoseconds: from the system, coarsely, or from the processor's counter.
 *
 * Use kn_clock_monotonic_ns for deadlines, the coarse clock where a few milliseconds do not matter, and a calibrated
 * kn_tsc_clock on paths where even the system's clock (some 20 ns) is too much. All are monotonic on one core; the
 * counter is refused where the processor does not promise that it is invariant. Reading any of them is wait-free and
 * thread-safe.
 */
#ifndef KERNEL_CLOCK_H
#define KERNEL_CLOCK_H

#include <stdint.h>

#include <kernel/atomic.h>

/** Lengths of time, as in 50 * KN_MILLISECOND_NS. */
#define KN_MICROSECOND_NS UINT64_C(1000)
#define KN_MILLISECOND_NS UINT64_C(1000000)
#define KN_SECOND_NS UINT64_C(1000000000)

/** Nanoseconds of CLOCK_MONOTONIC. */
uint64_t kn_clock_monotonic_ns(void);

/** Nanoseconds of CLOCK_MONOTONIC_COARSE: cheaper, and as old as the system's last tick (1 to 10 ms). */
uint64_t kn_clock_coarse_ns(void);

/** The processor's time stamp counter, in ticks; 0 where there is none. Not ordered with surrounding loads. */
KN_INLINE uint64_t kn_tsc_read(void)
{
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    uint64_t ticks;
    __asm__ __volatile__("mrs %0, cntvct_el0" : "=r"(ticks));
    return ticks;
#else
    return 0;
#endif
}

/** Whether the counter runs at one rate, in all sleep states (x86: CPUID 8000_0007h EDX bit 8; aarch64: always). */
bool kn_tsc_is_invariant(void);

/** A calibrated counter. Plain data: copy it freely, share it read-only. */
struct kn_tsc_clock {
    uint64_t base_ticks; /**< counter at base_ns */
    uint64_t base_ns;    /**< kn_clock_monotonic_ns() then */
    uint64_t multiplier; /**< nanoseconds a tick, as a fraction of 2^32 */
};

/**
 * Calibrates against the monotonic clock for `duration_ns` (at least 1 ms; 10 ms gives about 10 ppm), busily.
 * @return 0; -EINVAL for a shorter duration; -ENOTSUP where the counter is missing or not invariant.
 */
KN_CHECK_RESULT int kn_tsc_clock_calibrate(struct kn_tsc_clock *clock, uint64_t duration_ns);

/** A span of ticks in nanoseconds; exact to the calibration for spans of any length. */
KN_INLINE uint64_t kn_tsc_ticks_to_ns(const struct kn_tsc_clock *clock, uint64_t ticks)
{
    return (ticks >> 32) * clock->multiplier + (((ticks & UINT32_MAX) * clock->multiplier) >> 32);
}

/** Nanoseconds on the time line of kn_clock_monotonic_ns, from which it drifts by the error of the calibration. */
KN_INLINE uint64_t kn_tsc_clock_ns(const struct kn_tsc_clock *clock)
{
    return clock->base_ns + kn_tsc_ticks_to_ns(clock, kn_tsc_read() - clock->base_ticks);
}

#endif
