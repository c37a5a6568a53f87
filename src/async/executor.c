/*
 * Executors on a thread of the caller's. See executor.h.
 */
#include <kernel/assert.h>
#include <kernel/executor.h>
#include <kernel/reactor.h>

/* Expiries at once: all that is due, as nobody else waits for this thread. */
#define ADVANCE_ALL SIZE_MAX

static void wake(struct kn_waker *waker)
{
    struct kn_local_executor *local = KN_CONTAINER_OF(waker, struct kn_local_executor, waker);
    /* Release pairs with the acquire of kn_local_executor_context: what was written before is seen by that poll. */
    atomic_store_explicit(&local->woken, true, memory_order_release);
    kn_eventcount_notify(&local->wakes, KN_EVENTCOUNT_ALL);
}

void kn_local_executor_init(struct kn_local_executor *local, uint64_t start_ns)
{
    local->waker.wake = wake;
    atomic_init(&local->woken, false);
    local->executor = (struct kn_executor){.timers = &local->wheel, .now_ns = start_ns};
    local->wakes = (struct kn_eventcount){.shared = 0};
    kn_eventcount_init(&local->wakes, false);
    struct kn_timer_wheel_options options = {.start_ns = start_ns, .owner = local};
    int result = kn_timer_wheel_init(&local->wheel, &options);
    kn_assert(result == 0);
    (void)result;
}

struct kn_context kn_local_executor_context(struct kn_local_executor *local)
{
    /* Acquire pairs with the release of a wake-up; one that comes from now on means another poll. */
    atomic_exchange_explicit(&local->woken, false, memory_order_acquire);
    local->executor.budget = KN_EXECUTOR_BUDGET;
    return (struct kn_context){.waker = &local->waker, .executor = &local->executor, .deadline_ns = KN_NEVER};
}

bool kn_local_executor_poll(struct kn_local_executor *local, struct kn_future *future, struct kn_outcome *outcome)
{
    struct kn_context context = kn_local_executor_context(local);
    *outcome = kn_future_poll(future, &context);
    return outcome->status != KN_PENDING;
}

bool kn_local_executor_is_woken(const struct kn_local_executor *local)
{
    /* Acquire pairs with the release of a wake-up, for who asks before it looks. */
    return atomic_load_explicit(&local->woken, memory_order_acquire);
}

void kn_local_executor_advance(struct kn_local_executor *local, uint64_t now_ns)
{
    if (now_ns > local->executor.now_ns)
        local->executor.now_ns = now_ns;
    (void)kn_timer_wheel_advance(&local->wheel, local->executor.now_ns, ADVANCE_ALL);
}

struct kn_outcome kn_local_executor_run(struct kn_local_executor *local, struct kn_future *future)
{
    struct kn_outcome outcome;
    if (!future)
        return kn_failed(-ENOMEM);
    while (!kn_local_executor_poll(local, future, &outcome)) {
        while (!kn_local_executor_is_woken(local)) {
            uint64_t next_ns = kn_timer_wheel_next_ns(&local->wheel);
            if (next_ns == KN_NEVER) {
                kn_future_drop(future);
                return kn_failed(-EDEADLK);
            }
            kn_local_executor_advance(local, next_ns);
        }
    }
    return outcome;
}

/* Sleeps until a wake-up or until_ns. */
static void sleep_until(struct kn_local_executor *local, uint64_t until_ns)
{
    uint64_t now_ns = kn_clock_monotonic_ns();
    if (until_ns <= now_ns)
        return;
    struct kn_wait how = {.strategy = KN_WAIT_PARK,
                          .timeout_ns = until_ns - now_ns < INT64_MAX ? (int64_t)(until_ns - now_ns) : 0};
    struct kn_waiter waiter;
    bool waited_long;
    kn_waiter_begin(&waiter, &local->wakes, &how);
    while (!kn_local_executor_is_woken(local) && kn_waiter_pause(&waiter, &waited_long) == 0)
        continue;
    kn_waiter_end(&waiter);
}

struct kn_outcome kn_block_on(struct kn_future *future, int64_t timeout_ns)
{
    if (!future)
        return kn_failed(-ENOMEM);
    if (kn_reactor_current()) {
        kn_future_drop(future);
        return kn_failed(-EDEADLK);
    }
    struct kn_local_executor local;
    struct kn_outcome outcome;
    uint64_t start_ns = kn_clock_monotonic_ns();
    uint64_t give_up_ns = timeout_ns < 0 ? KN_NEVER : start_ns + (uint64_t)timeout_ns;
    kn_local_executor_init(&local, start_ns);
    while (!kn_local_executor_poll(&local, future, &outcome)) {
        while (!kn_local_executor_is_woken(&local)) {
            uint64_t now_ns = kn_clock_monotonic_ns();
            kn_local_executor_advance(&local, now_ns);
            if (kn_local_executor_is_woken(&local))
                break;
            if (now_ns >= give_up_ns) {
                kn_future_drop(future);
                return kn_failed(-ETIMEDOUT);
            }
            uint64_t next_ns = kn_timer_wheel_next_ns(&local.wheel);
            sleep_until(&local, next_ns < give_up_ns ? next_ns : give_up_ns);
        }
    }
    return outcome;
}
