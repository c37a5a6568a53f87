#include "park.h"

#include <errno.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <kernel/clock.h>

static const uint64_t NS_PER_SECOND = 1000000000;

static bool membarrier(int command)
{
    return syscall(SYS_membarrier, command, 0, 0) == 0;
}

/* Has those who send pay for the barrier. Whether they did before. */
static bool pay_here(struct kn_park *park)
{
    return atomic_fetch_or_explicit(&park->word, KN_PARK_NO_MEMBARRIER, memory_order_relaxed) & KN_PARK_NO_MEMBARRIER;
}

void kn_park_init(struct kn_park *park)
{
    if (!membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED))
        (void)pay_here(park);
}

void kn_park_set_io(struct kn_park *park, const struct kn_reactor_io *io)
{
    static const struct kn_reactor_io none;
    /* Acquire pairs with the release at the end of kn_park_wake: that one is done with the old one. Nobody new comes,
     * as this thread is not parked. */
    while (atomic_load_explicit(&park->word, memory_order_acquire) >= KN_PARK_WAKER)
        sched_yield();
    park->io = io ? *io : none;
}

void kn_park_wake(struct kn_park *park)
{
    /* Acquire-release pairs with the addition in kn_park_begin: either this one comes later and takes PARKED out, or
     * that one acquires what was sent before this. An addition of nothing where it does not sleep, as the thread
     * sanitizer knows no fences. */
    uint32_t word = atomic_fetch_add_explicit(&park->word, 0, memory_order_acq_rel);
    do {
        if (!(word & KN_PARKED))
            return;
    } while (!atomic_compare_exchange_weak_explicit(&park->word, &word, (word & ~(uint32_t)KN_PARKED) + KN_PARK_WAKER,
                                                    memory_order_acq_rel, memory_order_relaxed));
    if (park->io.wake)
        park->io.wake(park->io.context);
    else
        syscall(SYS_futex, &park->word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    /* Release pairs with the acquire in kn_park_set_io. */
    atomic_fetch_sub_explicit(&park->word, KN_PARK_WAKER, memory_order_release);
}

bool kn_park_begin(struct kn_park *park)
{
    /* Acquire-release pairs with kn_park_wake: what was sent before a wake-up that came earlier is seen by the look
     * that follows; `io` was written before whoever takes PARKED out reads it. */
    atomic_fetch_or_explicit(&park->word, KN_PARKED, memory_order_acq_rel);
    /* Also where the bit is set, for those who have not seen it yet. Refused only now, as where memory is short, the
     * bit comes too late for whoever is sending at this moment. */
    return membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) || pay_here(park);
}

static int64_t timeout_until(uint64_t until_ns)
{
    if (until_ns == UINT64_MAX)
        return -1;
    uint64_t now_ns = kn_clock_monotonic_ns();
    return until_ns > now_ns ? (int64_t)(until_ns - now_ns) : 0;
}

int kn_park_sleep(struct kn_park *park, uint64_t until_ns)
{
    uint32_t word = atomic_load_explicit(&park->word, memory_order_relaxed);
    if (park->io.poll) /* a wake-up that came already has made this return at once */
        return park->io.poll(park->io.context, timeout_until(until_ns));
    if (!(word & KN_PARKED))
        return 0;
    struct timespec until = {.tv_sec = (time_t)(until_ns / NS_PER_SECOND), .tv_nsec = (long)(until_ns % NS_PER_SECOND)};
    /* The one form of waiting that takes the end as a point in time, of CLOCK_MONOTONIC. */
    syscall(SYS_futex, &park->word, FUTEX_WAIT_BITSET_PRIVATE, word, until_ns == UINT64_MAX ? NULL : &until, NULL,
            FUTEX_BITSET_MATCH_ANY);
    return 0;
}

void kn_park_end(struct kn_park *park)
{
    /* Relaxed: this thread looks at everything before it parks again; who sees the word late wakes in vain. */
    atomic_fetch_and_explicit(&park->word, ~(uint32_t)KN_PARKED, memory_order_relaxed);
}
