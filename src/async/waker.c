/*
 * Cells of wakers. See waker.h for the protocol.
 */
#include <kernel/waker.h>

void kn_waker_cell_register(struct kn_waker_cell *cell, struct kn_waker *waker)
{
    uint32_t state = KN_WAKER_CELL_WAITING;
    /* Acquire pairs with the release at the end of a wake: `waker` is ours to write, and what that wake told of is seen
     * by the look that follows. */
    if (!atomic_compare_exchange_strong_explicit(&cell->state, &state, KN_WAKER_CELL_REGISTERING, memory_order_acquire,
                                                 memory_order_acquire)) {
        /* Somebody calls the waker that was left before: that call may be for a poll that has begun already. */
        kn_waker_wake(waker);
        return;
    }
    cell->waker = waker;
    state = KN_WAKER_CELL_REGISTERING;
    /* Release hands `waker` to the acquire of kn_waker_cell_wake; acquire pairs with the release of a wake that came
     * meanwhile: what it told of is seen. */
    if (atomic_compare_exchange_strong_explicit(&cell->state, &state, KN_WAKER_CELL_WAITING, memory_order_acq_rel,
                                                memory_order_acquire))
        return;
    cell->waker = NULL;
    /* As above. */
    atomic_exchange_explicit(&cell->state, KN_WAKER_CELL_WAITING, memory_order_acq_rel);
    kn_waker_wake(waker);
}

void kn_waker_cell_clear(struct kn_waker_cell *cell)
{
    uint32_t state = KN_WAKER_CELL_WAITING;
    /* Acquire pairs with the release at the end of a wake: its call of the waker has ended. */
    while (!atomic_compare_exchange_weak_explicit(&cell->state, &state, KN_WAKER_CELL_REGISTERING, memory_order_acquire,
                                                  memory_order_relaxed)) {
        state = KN_WAKER_CELL_WAITING;
        kn_cpu_relax();
    }
    cell->waker = NULL;
    /* A wake that came meanwhile had nothing to call. Acquire pairs with its release, so that the next look of the
     * owner sees what it told of; release hands `waker` to the acquire of the next one. */
    atomic_exchange_explicit(&cell->state, KN_WAKER_CELL_WAITING, memory_order_acq_rel);
}

void kn_waker_cell_wake(struct kn_waker_cell *cell)
{
    /* Release pairs with the acquires of kn_waker_cell_register, also where another wakes already: what was written
     * before is seen by the look that follows. Acquire pairs with the release that left `waker`. */
    uint32_t state = atomic_fetch_or_explicit(&cell->state, KN_WAKER_CELL_WAKING, memory_order_acq_rel);
    if (state != KN_WAKER_CELL_WAITING)
        return;
    struct kn_waker *waker = cell->waker;
    cell->waker = NULL;
    if (waker)
        kn_waker_wake(waker);
    /* Release pairs with the acquires of register and clear. */
    atomic_fetch_and_explicit(&cell->state, ~(uint32_t)KN_WAKER_CELL_WAKING, memory_order_release);
}
