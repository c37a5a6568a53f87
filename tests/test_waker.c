/* The cell of wakers: no wake-up is lost, and nobody calls a waker that was taken back. */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <kernel/waker.h>

#include "async_locks.h"

/* A waker that counts, and may do something else. */
struct counter {
    struct kn_waker waker;
    unsigned calls;
    struct kn_waker_cell *cell; /* where `other` is registered during the call, or NULL */
    struct counter *other;
};

static void count(struct kn_waker *waker)
{
    struct counter *counter = KN_CONTAINER_OF(waker, struct counter, waker);
    counter->calls++;
    if (counter->cell)
        kn_waker_cell_register(counter->cell, &counter->other->waker);
}

static void a_waker_is_called_once(void **state)
{
    (void)state;
    struct kn_waker_cell cell = {.state = 0};
    struct counter counter = {.waker.wake = count};
    kn_waker_cell_register(&cell, &counter.waker);
    assert_int_equal(counter.calls, 0);
    kn_waker_cell_wake(&cell);
    assert_int_equal(counter.calls, 1);
    kn_waker_cell_wake(&cell);
    assert_int_equal(counter.calls, 1);
    kn_waker_cell_register(&cell, &counter.waker);
    kn_waker_cell_wake(&cell);
    assert_int_equal(counter.calls, 2);
}

static void waking_an_empty_cell_leaves_nothing_behind(void **state)
{
    (void)state;
    struct kn_waker_cell cell = {.state = 0};
    struct counter counter = {.waker.wake = count};
    kn_waker_cell_wake(&cell);
    kn_waker_cell_register(&cell, &counter.waker);
    assert_int_equal(counter.calls, 0);
    kn_waker_cell_wake(&cell);
    assert_int_equal(counter.calls, 1);
}

static void a_waker_takes_the_place_of_the_one_before(void **state)
{
    (void)state;
    struct kn_waker_cell cell = {.state = 0};
    struct counter counters[2] = {{.waker.wake = count}, {.waker.wake = count}};
    kn_waker_cell_register(&cell, &counters[0].waker);
    kn_waker_cell_register(&cell, &counters[1].waker);
    kn_waker_cell_wake(&cell);
    assert_int_equal(counters[0].calls, 0);
    assert_int_equal(counters[1].calls, 1);
}

static void a_cleared_waker_is_not_called(void **state)
{
    (void)state;
    struct kn_waker_cell cell = {.state = 0};
    struct counter counter = {.waker.wake = count};
    kn_waker_cell_clear(&cell);
    kn_waker_cell_register(&cell, &counter.waker);
    kn_waker_cell_clear(&cell);
    kn_waker_cell_clear(&cell);
    kn_waker_cell_wake(&cell);
    assert_int_equal(counter.calls, 0);
    kn_waker_cell_register(&cell, &counter.waker);
    kn_waker_cell_wake(&cell);
    assert_int_equal(counter.calls, 1);
}

static void a_registration_during_a_call_is_woken_at_once(void **state)
{
    (void)state;
    struct kn_waker_cell cell = {.state = 0};
    struct counter other = {.waker.wake = count};
    struct counter counter = {.waker.wake = count, .cell = &cell, .other = &other};
    kn_waker_cell_register(&cell, &counter.waker);
    kn_waker_cell_wake(&cell);
    assert_int_equal(counter.calls, 1);
    assert_int_equal(other.calls, 1);
    kn_waker_cell_wake(&cell);
    assert_int_equal(other.calls, 1);
}

/* ---- threads ---- */

enum { EVENTS = 5000, WAKERS = PROBE_THREADS - 1 };

/* Three threads count up and wake; one waits for each change. */
struct shared {
    struct kn_waker_cell cell;
    _Atomic uint32_t roles;
    _Atomic uint64_t events;
    _Atomic uint64_t seen; /* by who waits */
};

/* Answers once there are more events than `seen`. */
struct change {
    struct kn_future future;
    struct shared *shared;
    uint64_t seen;
};

static struct kn_outcome change_poll(struct kn_future *future, struct kn_context *context)
{
    struct change *self = KN_CONTAINER_OF(future, struct change, future);
    kn_waker_cell_register(&self->shared->cell, context->waker);
    /* Relaxed: the cell orders it. */
    uint64_t events = atomic_load_explicit(&self->shared->events, memory_order_relaxed);
    if (events == self->seen)
        return kn_pending();
    kn_waker_cell_clear(&self->shared->cell);
    return kn_ready(KN_VALUE(events));
}

static void change_drop(struct kn_future *future)
{
    kn_waker_cell_clear(&KN_CONTAINER_OF(future, struct change, future)->shared->cell);
}

static const struct kn_future_type change_type = {.name = "change", .poll = change_poll, .drop = change_drop};

static void wait_for_all(struct shared *shared)
{
    uint64_t seen = 0;
    for (unsigned round = 0; seen < (uint64_t)EVENTS * WAKERS; round++) {
        /* Both the future and the executor with its waker are gone when this is over. */
        struct change change = {.future.type = &change_type, .shared = shared, .seen = seen};
        int64_t timeout_ns = round % 4 == 3 ? (int64_t)(round % 16) * 1000 : -1;
        struct kn_outcome outcome = kn_block_on(&change.future, timeout_ns);
        if (outcome.status == -ETIMEDOUT)
            continue;
        assert_int_equal(outcome.status, KN_READY);
        assert_true(outcome.value.natural > seen);
        seen = outcome.value.natural;
        atomic_store_explicit(&shared->seen, seen, memory_order_relaxed);
    }
}

static void *wait_or_wake(void *context)
{
    struct shared *shared = context;
    if (atomic_fetch_add_explicit(&shared->roles, 1, memory_order_relaxed) == 0) {
        wait_for_all(shared);
        return NULL;
    }
    for (unsigned i = 0; i < EVENTS; i++) {
        uint64_t mine = atomic_fetch_add_explicit(&shared->events, 1, memory_order_relaxed) + 1;
        kn_waker_cell_wake(&shared->cell);
        /* Not too far ahead, so that a lost wake-up stops all. */
        while (atomic_load_explicit(&shared->seen, memory_order_relaxed) + 2 * WAKERS < mine)
            sched_yield();
    }
    return NULL;
}

static void no_wake_up_of_other_threads_is_lost(void **state)
{
    (void)state;
    struct shared shared = {.events = 0};
    probe_threads(wait_or_wake, &shared);
    assert_int_equal(atomic_load(&shared.events), EVENTS * WAKERS);
    assert_int_equal(atomic_load(&shared.seen), EVENTS * WAKERS);
    assert_null(shared.cell.waker);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_waker_is_called_once),
        cmocka_unit_test(waking_an_empty_cell_leaves_nothing_behind),
        cmocka_unit_test(a_waker_takes_the_place_of_the_one_before),
        cmocka_unit_test(a_cleared_waker_is_not_called),
        cmocka_unit_test(a_registration_during_a_call_is_woken_at_once),
        cmocka_unit_test(no_wake_up_of_other_threads_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
