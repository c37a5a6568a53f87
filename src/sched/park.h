/*
 * How a reactor sleeps and is woken: one word that the sleeper sets and the first to wake it clears.
 *
 * Who has sent something looks at the word, which is one load of a line that hardly ever changes. Who wants to sleep
 * sets it, has every other thread of the process pass a barrier (membarrier(2)), looks at all that it could be woken
 * for once more, and only then sleeps. Where the system has no membarrier the word is never zero, and who sends pays
 * for the barrier with a read-modify-write of it. models/reactor_park.pml exhausts that no wake-up is lost.
 *
 * It differs from an event count (eventcount.h) in that one thread sleeps, and may do so in its input and output.
 */
#ifndef KERNEL_SCHED_PARK_H
#define KERNEL_SCHED_PARK_H

#include <kernel/atomic.h>
#include <kernel/reactor.h>

/* In the word; from KN_PARK_WAKER on, the number of threads that are about to wake the sleeper. */
enum { KN_PARKED = 1u << 0, KN_PARK_NO_MEMBARRIER = 1u << 1, KN_PARK_WAKER = 1u << 2 };

struct kn_park {
    _Atomic uint32_t word;   /* the futex */
    struct kn_reactor_io io; /* sleeps in there where poll is set */
};

/* Prepares it, in zeroed memory, and this process. */
void kn_park_init(struct kn_park *park);

/* Changes where it sleeps. The sleeper's thread, not while parked; afterwards nobody uses the old one any more. */
void kn_park_set_io(struct kn_park *park, const struct kn_reactor_io *io);

/* What is left to do for who finds the word not zero. */
void kn_park_wake(struct kn_park *park);

/* Wakes the sleeper, if it sleeps, after something was sent to it. Any thread. */
KN_INLINE void kn_park_notify(struct kn_park *park)
{
    /* Keeps the compiler from moving the look before what was sent; the processor is kept by the membarrier of
     * kn_park_begin: either this load sees the sleeper, or the sleeper's last look sees what was sent. */
    atomic_signal_fence(memory_order_seq_cst);
    if (KN_UNLIKELY(atomic_load_explicit(&park->word, memory_order_relaxed) != 0))
        kn_park_wake(park);
}

/* Announces the sleep. Afterwards the caller looks at everything once more, then sleeps or ends. Whether everybody will
 * see it: otherwise the caller must not sleep this time. */
bool kn_park_begin(struct kn_park *park);

/* Sleeps until woken, or until a point in time of the monotonic clock; not at all when it was woken since the begin. A
 * signal ends it early. @return what its input and output answered, 0 without any. */
int kn_park_sleep(struct kn_park *park, uint64_t until_ns);

/* Ends it, slept or not. */
void kn_park_end(struct kn_park *park);

#endif
