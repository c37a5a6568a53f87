/* Timers that other threads cancel. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <kernel/mailbox.h>
#include <kernel/timer.h>

enum { ALL = INT32_MAX };

struct alarm {
    struct kn_timer timer;
    unsigned fired;
};

static void make_wheel(struct kn_timer_wheel *wheel)
{
    const struct kn_timer_wheel_options options = {.resolution_ns = 1};
    assert_int_equal(kn_timer_wheel_init(wheel, &options), 0);
}

static void ring(struct kn_timer *timer, void *owner)
{
    (void)owner;
    assert_false(kn_timer_is_idle(timer));
    KN_CONTAINER_OF(timer, struct alarm, timer)->fired++;
}

static void make_alarm(struct alarm *alarm, kn_timer_expired *expired)
{
    memset(alarm, 0, sizeof(*alarm));
    kn_timer_init(&alarm->timer, expired, KN_TIMER_SHARED);
}

static uint64_t live(const struct kn_timer_wheel *wheel)
{
    return kn_counter_read(&kn_timer_wheel_counters(wheel)->live);
}

static void shared_timer_that_was_cancelled_never_fires_and_is_idle_when_forgotten(void **state)
{
    (void)state;
    struct kn_timer_wheel wheel;
    struct alarm alarm;
    make_wheel(&wheel);
    make_alarm(&alarm, ring);
    assert_int_equal(kn_timer_try_cancel(&alarm.timer), -EALREADY);
    assert_int_equal(kn_timer_wheel_arm(&wheel, &alarm.timer, 5000), 0);
    assert_int_equal(kn_timer_try_cancel(&alarm.timer), 0);
    assert_ptr_equal(kn_timer_wheel_of(&alarm.timer), &wheel);
    assert_int_equal(kn_timer_try_cancel(&alarm.timer), -EALREADY);
    assert_int_equal(kn_timer_wheel_cancel(&wheel, &alarm.timer), -EALREADY);
    assert_int_equal(kn_timer_wheel_arm(&wheel, &alarm.timer, 6000), -ECANCELED);
    assert_false(kn_timer_is_idle(&alarm.timer));
    kn_timer_wheel_forget(&wheel, &alarm.timer);
    assert_true(kn_timer_is_idle(&alarm.timer));
    assert_int_equal(live(&wheel), 0);
    memset(&alarm, 0xee, sizeof(alarm)); /* nobody looks there any more */
    assert_int_equal(kn_timer_wheel_advance(&wheel, 10000, ALL), 0);
}

/* Once where the timer would be moved, once where it would fire. */
static void wheel_passes_over_a_cancelled_timer_and_leaves_it_to_be_forgotten(void **state)
{
    (void)state;
    static const uint64_t deadlines[] = {5000, 50};
    for (size_t i = 0; i < 2; i++) {
        struct kn_timer_wheel wheel;
        struct alarm alarms[3];
        make_wheel(&wheel);
        for (size_t j = 0; j < 3; j++) {
            make_alarm(&alarms[j], ring);
            assert_int_equal(kn_timer_wheel_arm(&wheel, &alarms[j].timer, deadlines[i]), 0);
        }
        assert_int_equal(kn_timer_try_cancel(&alarms[1].timer), 0);
        assert_int_equal(kn_timer_wheel_advance(&wheel, 10000, ALL), 2);
        assert_int_equal(alarms[1].fired, 0);
        assert_int_equal(live(&wheel), 0);
        assert_int_equal(kn_timer_wheel_next_ns(&wheel), KN_NEVER);
        assert_false(kn_timer_is_idle(&alarms[1].timer));
        assert_int_equal(kn_timer_wheel_arm(&wheel, &alarms[1].timer, 20000), -ECANCELED);
        kn_timer_wheel_forget(&wheel, &alarms[1].timer);
        assert_true(kn_timer_is_idle(&alarms[1].timer));
        assert_int_equal(live(&wheel), 0);
        assert_int_equal(kn_timer_wheel_arm(&wheel, &alarms[1].timer, 20000), 0);
        assert_int_equal(kn_timer_wheel_advance(&wheel, 20000, ALL), 1);
    }
}

static void wheel_does_not_carry_a_cancelled_timer_along(void **state)
{
    (void)state;
    struct kn_timer_wheel wheel;
    struct alarm alarm;
    make_wheel(&wheel);
    make_alarm(&alarm, ring);
    assert_int_equal(kn_timer_wheel_arm(&wheel, &alarm.timer, 5000), 0);
    assert_int_equal(kn_timer_try_cancel(&alarm.timer), 0);
    assert_int_equal(live(&wheel), 1);
    assert_int_equal(kn_timer_wheel_advance(&wheel, 4500, ALL), 0); /* past the beginning of its slot */
    assert_int_equal(live(&wheel), 0);
    kn_timer_wheel_forget(&wheel, &alarm.timer);
    assert_int_equal(live(&wheel), 0);
}

static void owner_cancels_shared_timers_at_once(void **state)
{
    (void)state;
    struct kn_timer_wheel wheel;
    struct alarm alarm;
    make_wheel(&wheel);
    make_alarm(&alarm, ring);
    assert_int_equal(kn_timer_wheel_cancel(&wheel, &alarm.timer), -EALREADY);
    assert_int_equal(kn_timer_wheel_arm(&wheel, &alarm.timer, 50), 0);
    assert_int_equal(kn_timer_wheel_cancel(&wheel, &alarm.timer), 0);
    assert_true(kn_timer_is_idle(&alarm.timer));
    assert_int_equal(kn_timer_wheel_arm(&wheel, &alarm.timer, 60), 0);
    assert_int_equal(kn_timer_wheel_arm(&wheel, &alarm.timer, 70), 0);
    assert_int_equal(kn_timer_wheel_advance(&wheel, 69, ALL), 0);
    assert_int_equal(kn_timer_wheel_advance(&wheel, 70, ALL), 1);
    assert_int_equal(kn_timer_wheel_cancel(&wheel, &alarm.timer), -EALREADY);
    assert_true(kn_timer_is_idle(&alarm.timer));
}

static void cancel_in_its_callback(struct kn_timer *timer, void *owner)
{
    bool repeats = timer->period_ns > 0;
    ring(timer, owner);
    assert_int_equal(kn_timer_wheel_cancel(kn_timer_wheel_of(timer), timer), repeats ? 0 : -EALREADY);
    assert_false(kn_timer_is_idle(timer));
}

static void lose_in_its_callback(struct kn_timer *timer, void *owner)
{
    ring(timer, owner);
    assert_int_equal(kn_timer_try_cancel(timer), 0);
    assert_int_equal(kn_timer_wheel_arm(kn_timer_wheel_of(timer), timer, 1000), -ECANCELED);
}

static void lose_and_forget_in_its_callback(struct kn_timer *timer, void *owner)
{
    lose_in_its_callback(timer, owner);
    kn_timer_wheel_forget(kn_timer_wheel_of(timer), timer);
    assert_false(kn_timer_is_idle(timer));
}

static void arm_in_its_callback(struct kn_timer *timer, void *owner)
{
    ring(timer, owner);
    assert_int_equal(kn_timer_wheel_arm(kn_timer_wheel_of(timer), timer, 1000), 0);
}

static void shared_timers_are_idle_when_their_callback_has_ended(void **state)
{
    (void)state;
    static const struct {
        kn_timer_expired *expired;
        uint64_t period_ns;
        bool is_idle;
        bool is_lost;
        uint64_t next_ns;
    } cases[] = {
        {ring, 0, true, false, KN_NEVER},
        {ring, 100, false, false, 150},
        {cancel_in_its_callback, 0, true, false, KN_NEVER},
        {cancel_in_its_callback, 100, true, false, KN_NEVER},
        {lose_in_its_callback, 100, false, true, 150},
        {lose_and_forget_in_its_callback, 100, true, false, KN_NEVER},
        {arm_in_its_callback, 0, false, false, 1000},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct kn_timer_wheel wheel;
        struct alarm alarm;
        make_wheel(&wheel);
        make_alarm(&alarm, cases[i].expired);
        alarm.timer.period_ns = cases[i].period_ns;
        assert_int_equal(kn_timer_wheel_arm(&wheel, &alarm.timer, 50), 0);
        assert_int_equal(kn_timer_wheel_advance(&wheel, 50, ALL), 1);
        assert_int_equal(alarm.fired, 1);
        assert_int_equal(kn_timer_is_idle(&alarm.timer), cases[i].is_idle);
        assert_true(kn_timer_wheel_next_ns(&wheel) <= cases[i].next_ns);
        if (cases[i].is_lost) {
            kn_timer_wheel_forget(&wheel, &alarm.timer);
            assert_true(kn_timer_is_idle(&alarm.timer));
        }
        assert_int_equal(kn_timer_wheel_advance(&wheel, 2000, ALL), !cases[i].is_idle && !cases[i].is_lost);
    }
}

/*
 * Threads that have timers armed, cancel them, wait until they are idle, and reuse their memory at once; the owner of
 * the wheel arms what is asked for, and again and again, lets time pass and forgets what it is told.
 */
enum { CANCELLERS = 3, ITEMS = 6, ROUNDS = 30000 };

enum wish { NOTHING, TO_BE_ARMED, ARMED_ONCE };

struct item {
    struct kn_timer timer;
    struct kn_mailbox_node node;
    _Atomic uint32_t wish; /* of enum wish */
    bool is_in_use;        /* the owner's: not idle */
    uint32_t fired;        /* written by the callback, read when idle */
    uint64_t random;
};

KN_MAILBOX_DEFINE(forgets, struct item, node);

struct canceller {
    KN_OWNED struct item items[ITEMS];
    struct forgets *forgets;
    struct kn_timer_wheel *wheel;
    uint64_t random;
    uint64_t fired;
    uint64_t cancelled;
    uint64_t wrong;
    _Atomic bool is_done;
};

static uint64_t draw(uint64_t *random)
{
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    return *random * UINT64_C(0x2545f4914f6cdd1d) >> 16;
}

static void count_expiry(struct kn_timer *timer, void *owner)
{
    struct item *item = KN_CONTAINER_OF(timer, struct item, timer);
    (void)owner;
    item->fired++;
    item->is_in_use = timer->period_ns > 0;
    if (item->is_in_use && item->fired % 2 == 0) /* it may have been cancelled meanwhile */
        (void)kn_timer_wheel_arm(kn_timer_wheel_of(timer), timer, kn_timer_deadline_ns(timer) + 7);
}

static void wait_until_idle(const struct item *item)
{
    while (!kn_timer_is_idle(&item->timer))
        sched_yield();
}

static void ask_for(struct canceller *canceller, struct item *item)
{
    memset(&item->timer, 0xee, sizeof(item->timer)); /* all of it is ours */
    kn_timer_init(&item->timer, count_expiry, KN_TIMER_SHARED);
    item->timer.period_ns = draw(&canceller->random) % 3 == 0 ? 1 + draw(&canceller->random) % 300 : 0;
    item->fired = 0;
    item->random = draw(&canceller->random);
    /* Release pairs with the acquire in serve_wishes. */
    atomic_store_explicit(&item->wish, TO_BE_ARMED, memory_order_release);
}

/* Cancels one timer, or finds that it has fired, and checks that it was either. */
static void cancel_one(struct canceller *canceller, struct item *item)
{
    bool repeats = item->timer.period_ns > 0;
    /* Acquire pairs with the release in serve_wishes: it was armed. */
    while (atomic_load_explicit(&item->wish, memory_order_acquire) != ARMED_ONCE)
        sched_yield();
    for (uint64_t i = draw(&canceller->random) % 200; i > 0; i--)
        kn_cpu_relax();
    int result = kn_timer_try_cancel(&item->timer);
    if (result == 0) {
        canceller->wrong += kn_timer_wheel_of(&item->timer) != canceller->wheel;
        forgets_push(canceller->forgets, item);
    }
    wait_until_idle(item);
    canceller->fired += item->fired > 0;
    canceller->cancelled += result == 0;
    if (repeats)
        canceller->wrong += result != 0;
    else
        canceller->wrong += item->fired != (result == 0 ? 0 : 1);
}

static void *cancel_timers(void *argument)
{
    struct canceller *canceller = argument;
    for (size_t i = 0; i < ITEMS; i++)
        ask_for(canceller, &canceller->items[i]);
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct item *item = &canceller->items[draw(&canceller->random) % ITEMS];
        cancel_one(canceller, item);
        ask_for(canceller, item);
    }
    for (size_t i = 0; i < ITEMS; i++)
        cancel_one(canceller, &canceller->items[i]);
    atomic_store_explicit(&canceller->is_done, true, memory_order_relaxed);
    return NULL;
}

static void serve_wishes(struct kn_timer_wheel *wheel, struct canceller *canceller, uint64_t now_ns)
{
    for (size_t i = 0; i < ITEMS; i++) {
        struct item *item = &canceller->items[i];
        if (item->is_in_use) {
            int result = kn_timer_wheel_arm(wheel, &item->timer, now_ns + now_ns / 100 % 7 * 300);
            if (result < 0 && result != -ECANCELED)
                abort();
            continue;
        }
        /* Acquire pairs with the release in ask_for. */
        if (atomic_load_explicit(&item->wish, memory_order_acquire) != TO_BE_ARMED)
            continue;
        if (kn_timer_wheel_arm(wheel, &item->timer, now_ns + item->random % 2000) < 0)
            abort();
        item->is_in_use = true;
        /* Release pairs with the acquire in cancel_one. */
        atomic_store_explicit(&item->wish, ARMED_ONCE, memory_order_release);
    }
}

static void every_shared_timer_fires_or_is_cancelled_and_never_both(void **state)
{
    (void)state;
    struct kn_timer_wheel *wheel = malloc(sizeof(*wheel));
    struct canceller *cancellers = aligned_alloc(KN_OWNER_STRIDE, CANCELLERS * sizeof(*cancellers));
    struct forgets forgets;
    pthread_t threads[CANCELLERS];
    uint64_t now_ns = 0;
    assert_non_null(wheel);
    assert_non_null(cancellers);
    memset(cancellers, 0, CANCELLERS * sizeof(*cancellers));
    make_wheel(wheel);
    forgets_init(&forgets);
    for (size_t i = 0; i < CANCELLERS; i++) {
        cancellers[i].forgets = &forgets;
        cancellers[i].wheel = wheel;
        cancellers[i].random = (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
        assert_int_equal(pthread_create(&threads[i], NULL, cancel_timers, &cancellers[i]), 0);
    }
    for (bool is_done = false; !is_done;) {
        struct item *item;
        is_done = true;
        for (size_t i = 0; i < CANCELLERS; i++) {
            serve_wishes(wheel, &cancellers[i], now_ns);
            is_done = is_done && atomic_load_explicit(&cancellers[i].is_done, memory_order_relaxed);
        }
        now_ns += 100;
        if (kn_timer_wheel_advance(wheel, now_ns, 5) == 0)
            sched_yield();
        while (forgets_try_pop(&forgets, &item) == 0) {
            item->is_in_use = false;
            kn_timer_wheel_forget(wheel, &item->timer);
        }
    }
    uint64_t fired = 0;
    uint64_t cancelled = 0;
    for (size_t i = 0; i < CANCELLERS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(cancellers[i].wrong, 0);
        fired += cancellers[i].fired;
        cancelled += cancellers[i].cancelled;
    }
    assert_true(fired > 0 && cancelled > 0);
    assert_int_equal(live(wheel), 0);
    free(cancellers);
    free(wheel);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shared_timer_that_was_cancelled_never_fires_and_is_idle_when_forgotten),
        cmocka_unit_test(wheel_passes_over_a_cancelled_timer_and_leaves_it_to_be_forgotten),
        cmocka_unit_test(wheel_does_not_carry_a_cancelled_timer_along),
        cmocka_unit_test(owner_cancels_shared_timers_at_once),
        cmocka_unit_test(shared_timers_are_idle_when_their_callback_has_ended),
        cmocka_unit_test(every_shared_timer_fires_or_is_cancelled_and_never_both),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
