#include <kernel/clock.h>

#include <errno.h>
#include <time.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

static const uint64_t NS_PER_SECOND = 1000000000;
static const uint64_t CALIBRATION_MIN_NS = 1000000;

static uint64_t read_clock(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now); /* cannot fail: both clocks exist on every supported system */
    return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

uint64_t kn_clock_monotonic_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

uint64_t kn_clock_coarse_ns(void)
{
    return read_clock(CLOCK_MONOTONIC_COARSE);
}

bool kn_tsc_is_invariant(void)
{
#if defined(__x86_64__)
    unsigned eax;
    unsigned ebx;
    unsigned ecx;
    unsigned edx;
    return __get_cpuid(0x80000007, &eax, &ebx, &ecx, &edx) != 0 && (edx & (1u << 8)) != 0;
#elif defined(__aarch64__)
    return true;
#else
    return false;
#endif
}

struct reading {
    uint64_t ticks;
    uint64_t ns;
};

/* Both clocks at one moment: the reading with the least time around it, so that a preemption between does not count. */
static struct reading read_both(void)
{
    struct reading best = {0};
    uint64_t narrowest = UINT64_MAX;
    for (int i = 0; i < 16; i++) {
        uint64_t before = kn_tsc_read();
        uint64_t ns = kn_clock_monotonic_ns();
        uint64_t width = kn_tsc_read() - before;
        if (width < narrowest) {
            narrowest = width;
            best = (struct reading){.ticks = before + width / 2, .ns = ns};
        }
    }
    return best;
}

int kn_tsc_clock_calibrate(struct kn_tsc_clock *clock, uint64_t duration_ns)
{
    if (duration_ns < CALIBRATION_MIN_NS)
        return -EINVAL;
    if (!kn_tsc_is_invariant())
        return -ENOTSUP;
    struct reading start = read_both();
    struct reading end = start;
    while (end.ns - start.ns < duration_ns)
        end = read_both();
    if (end.ticks <= start.ticks)
        return -ENOTSUP;
    double ns_per_tick = (double)(end.ns - start.ns) / (double)(end.ticks - start.ticks);
    clock->multiplier = (uint64_t)(ns_per_tick * 4294967296.0 + 0.5);
    clock->base_ticks = end.ticks;
    clock->base_ns = end.ns;
    return 0;
}
