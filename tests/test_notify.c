/* Signs between tasks: none is lost, and none is given twice. */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <kernel/notify.h>

#include "async_locks.h"

static bool is_stored(const struct kn_notify *notify)
{
    return (atomic_load(&notify->state) & KN_NOTIFY_STORED) != 0;
}

/* Whether a future made now answers at once. */
static bool has_sign(struct kn_notify *notify)
{
    struct kn_notify_notified notified;
    return kn_block_on(kn_notify_notified(&notified, notify), 0).status == KN_READY;
}

static void a_sign_for_one_is_kept_for_the_next_who_asks(void **state)
{
    (void)state;
    struct kn_notify notify = {.state = 0};
    assert_false(has_sign(&notify));
    kn_notify_one(&notify);
    assert_true(has_sign(&notify));
    assert_false(has_sign(&notify));
}

static void signs_for_one_are_not_counted(void **state)
{
    (void)state;
    struct kn_notify notify = {.state = 0};
    kn_notify_one(&notify);
    kn_notify_one(&notify);
    assert_true(has_sign(&notify));
    assert_false(has_sign(&notify));
}

static void a_sign_for_all_is_for_those_made_before(void **state)
{
    (void)state;
    struct kn_notify notify = {.state = 0};
    struct kn_notify_notified before;
    kn_notify_notified(&before, &notify);
    kn_notify_waiters(&notify);
    assert_false(has_sign(&notify));
    assert_int_equal(kn_block_on(&before.future, 0).status, KN_READY);
}

static void a_sign_for_all_leaves_the_one_that_is_kept(void **state)
{
    (void)state;
    struct kn_notify notify = {.state = 0};
    struct kn_notify_notified before;
    kn_notify_notified(&before, &notify);
    kn_notify_one(&notify);
    kn_notify_waiters(&notify);
    assert_int_equal(kn_block_on(&before.future, 0).status, KN_READY);
    assert_true(has_sign(&notify));
    assert_false(has_sign(&notify));
}

static void signs_for_one_go_to_who_waits_in_order(void **state)
{
    (void)state;
    struct kn_notify notify = {.state = 0};
    struct kn_notify_notified notified[3];
    struct kn_local_executor locals[3];
    struct kn_outcome outcome;
    for (unsigned i = 0; i < 3; i++) {
        kn_local_executor_init(&locals[i], 0);
        assert_false(kn_local_executor_poll(&locals[i], kn_notify_notified(&notified[i], &notify), &outcome));
    }
    kn_notify_one(&notify);
    assert_true(kn_local_executor_is_woken(&locals[0]));
    assert_false(kn_local_executor_is_woken(&locals[1]));
    kn_future_drop(&notified[0].future); /* passes it on */
    assert_true(kn_local_executor_is_woken(&locals[1]));
    assert_false(kn_local_executor_is_woken(&locals[2]));
    kn_notify_waiters(&notify);
    assert_true(kn_local_executor_is_woken(&locals[2]));
    kn_future_drop(&notified[2].future); /* one for all is not passed on */
    assert_false(is_stored(&notify));
    assert_true(kn_local_executor_poll(&locals[1], &notified[1].future, &outcome));
    kn_future_discard_outcome(&notified[1].future, outcome); /* but one for one is */
    assert_true(is_stored(&notify));
}

static void null_makes_null(void **state)
{
    (void)state;
    struct kn_notify notify = {.state = 0};
    struct kn_notify_notified notified;
    assert_null(kn_notify_notified(NULL, &notify));
    assert_null(kn_notify_notified(&notified, NULL));
}

/* ---- all orders ---- */

/* Tasks that wait, and tasks that give signs after a while. */
struct program {
    unsigned waiters;
    unsigned for_one; /* tasks that give a sign */
    unsigned for_all;
    bool takes; /* answers are taken; otherwise the harness discards them */
    struct kn_notify notify;
    unsigned given_one;
    unsigned given_all;
    unsigned answers;
};

static void look_at_notify(const struct kn_notify *notify)
{
    bool waits = kn_wait_list_first(&notify->waiters) != NULL;
    assert_int_equal((atomic_load(&notify->state) & KN_NOTIFY_WAITING) != 0, waits);
    assert_false(waits && is_stored(notify));
}

static void look_at_waiter(struct probe *probe, enum probe_event event)
{
    struct program *program = probe->context;
    if (event == PROBE_WAITS)
        assert_int_equal(program->given_all, 0); /* all were made before */
    if (event == PROBE_ANSWERS)
        program->answers++;
    look_at_notify(&program->notify);
}

static void give(struct probe *probe, enum probe_event event)
{
    struct program *program = probe->context;
    if (event != PROBE_ANSWERS)
        return;
    if (probe->number == 1) {
        program->given_one++;
        kn_notify_one(&program->notify);
    } else {
        program->given_all++;
        kn_notify_waiters(&program->notify);
    }
    look_at_notify(&program->notify);
}

static void take(kn_value_t value, void *context)
{
    (void)value;
    (void)context;
}

static void build(struct harness *world, void *context)
{
    struct program *program = context;
    struct kn_arena *arena = harness_arena(world);
    program->notify = (struct kn_notify){.state = 0};
    program->given_one = program->given_all = program->answers = 0;
    for (unsigned i = 0; i < program->waiters; i++) {
        struct kn_future *waiter = KN_IN(arena, kn_notify_notified, &program->notify);
        if (program->takes)
            waiter = KN_IN(arena, kn_future_owned, waiter, take, NULL);
        harness_spawn(world, KN_IN(arena, probe, waiter, i, look_at_waiter, program));
    }
    for (unsigned i = 0; i < program->for_one + program->for_all; i++) {
        struct kn_future *giver = harness_owned_future(world, 0, i);
        harness_spawn(world, KN_IN(arena, probe, giver, i < program->for_one ? 1 : 2, give, program));
    }
}

static void check_signs(struct harness *world, void *context)
{
    (void)world;
    const struct program *program = context;
    unsigned stored = is_stored(&program->notify);
    look_at_notify(&program->notify);
    assert_true(kn_wait_list_is_empty(&program->notify.waiters));
    if (program->for_all == 0 && program->takes)
        assert_true(program->answers + stored <= program->given_one);
    if (program->for_all == 0)
        assert_true(program->answers + stored >= (program->given_one > 0));
    if (program->given_one == 0)
        assert_int_equal(stored, 0);
    else if (!program->takes)
        assert_int_equal(stored, 1); /* passed on until nobody was left */
}

static void explore(const struct program *what)
{
    struct program program = *what;
    struct harness_options options = {.ended = check_signs, .may_wait = true};
    uint64_t executions = harness_explore(build, NULL, &program, &options);
    print_message("%llu executions\n", (unsigned long long)executions);
}

static void one_sign_is_answered_or_kept_whoever_is_dropped(void **state)
{
    (void)state;
    explore(&(struct program){.waiters = 3, .for_one = 1, .takes = true});
    explore(&(struct program){.waiters = 2, .for_one = 2, .takes = true});
}

static void a_sign_that_nobody_takes_is_passed_on_to_all_and_kept(void **state)
{
    (void)state;
    explore(&(struct program){.waiters = 3, .for_one = 1});
}

static void a_sign_for_all_is_missed_by_none_who_were_made(void **state)
{
    (void)state;
    explore(&(struct program){.waiters = 3, .for_all = 1, .takes = true});
    explore(&(struct program){.waiters = 2, .for_all = 1, .for_one = 1});
}

/* ---- threads ---- */

enum { ITEMS = 2000, PHASES = 1000 };

struct shared {
    struct kn_notify notify;
    _Atomic uint32_t roles;
    _Atomic uint64_t items; /* or the phase */
    _Atomic uint64_t seen;  /* in this phase */
};

/* One takes what the others put, and sleeps on signs for one. */
static void *put_and_take(void *context)
{
    struct shared *shared = context;
    if (atomic_fetch_add(&shared->roles, 1) > 0) {
        for (unsigned i = 0; i < ITEMS; i++) {
            atomic_fetch_add_explicit(&shared->items, 1, memory_order_relaxed);
            kn_notify_one(&shared->notify);
        }
        return NULL;
    }
    uint64_t taken = 0;
    while (taken < ITEMS * (PROBE_THREADS - 1)) {
        struct kn_notify_notified notified;
        taken += atomic_exchange_explicit(&shared->items, 0, memory_order_relaxed);
        if (taken == ITEMS * (PROBE_THREADS - 1))
            break;
        /* Sometimes it gives up, and so does not take what it may just have been given. */
        int64_t status = kn_block_on(kn_notify_notified(&notified, &shared->notify), taken % 3 ? -1 : 1000).status;
        assert_true(status == KN_READY || status == -ETIMEDOUT);
    }
    return NULL;
}

static void a_thread_misses_no_sign_for_one(void **state)
{
    (void)state;
    struct shared shared = {.items = 0};
    probe_threads(put_and_take, &shared);
    assert_int_equal(atomic_load(&shared.items), 0);
}

/* One tells the others of a phase, and goes on when all have seen it. */
static void tell(struct shared *shared)
{
    for (uint64_t phase = 1; phase <= PHASES; phase++) {
        atomic_store_explicit(&shared->seen, 0, memory_order_relaxed);
        atomic_store_explicit(&shared->items, phase, memory_order_relaxed);
        kn_notify_waiters(&shared->notify);
        while (atomic_load_explicit(&shared->seen, memory_order_relaxed) < PROBE_THREADS - 1)
            sched_yield();
    }
}

static void *tell_and_hear(void *context)
{
    struct shared *shared = context;
    if (atomic_fetch_add(&shared->roles, 1) == 0) {
        tell(shared);
        return NULL;
    }
    for (uint64_t phase = 1; phase <= PHASES; phase++) {
        while (true) {
            struct kn_notify_notified notified;
            struct kn_future *told = kn_notify_notified(&notified, &shared->notify);
            /* The future is made first, and so misses nothing that is told after this. */
            if (atomic_load_explicit(&shared->items, memory_order_relaxed) == phase)
                break;
            assert_int_equal(kn_block_on(told, -1).status, KN_READY);
        }
        atomic_fetch_add_explicit(&shared->seen, 1, memory_order_relaxed);
    }
    return NULL;
}

static void threads_miss_no_sign_for_all(void **state)
{
    (void)state;
    struct shared shared = {.items = 0};
    probe_threads(tell_and_hear, &shared);
    assert_int_equal(atomic_load(&shared.items), PHASES);
}

/* Two pairs of threads; each has a number that is written by turns, and nothing but signs to order that. */
struct rally {
    struct kn_notify notify[2][2];
    uint64_t balls[2];
    _Atomic uint32_t roles;
};

static void *play(void *context)
{
    struct rally *rally = context;
    uint32_t role = atomic_fetch_add_explicit(&rally->roles, 1, memory_order_relaxed);
    uint32_t pair = role / 2;
    uint32_t side = role % 2;
    for (uint64_t i = 0; i < ITEMS; i++) {
        struct kn_notify_notified notified;
        struct kn_future *turn = kn_notify_notified(&notified, &rally->notify[pair][side]);
        if (i > 0 || side > 0)
            assert_int_equal(kn_block_on(turn, -1).status, KN_READY);
        assert_int_equal(rally->balls[pair], 2 * i + side);
        rally->balls[pair]++;
        kn_notify_one(&rally->notify[pair][1 - side]);
    }
    return NULL;
}

static void what_was_written_before_a_sign_is_seen(void **state)
{
    (void)state;
    struct rally rally = {.roles = 0};
    probe_threads(play, &rally);
    assert_int_equal(rally.balls[0], 2 * ITEMS);
    assert_int_equal(rally.balls[1], 2 * ITEMS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sign_for_one_is_kept_for_the_next_who_asks),
        cmocka_unit_test(signs_for_one_are_not_counted),
        cmocka_unit_test(a_sign_for_all_is_for_those_made_before),
        cmocka_unit_test(a_sign_for_all_leaves_the_one_that_is_kept),
        cmocka_unit_test(signs_for_one_go_to_who_waits_in_order),
        cmocka_unit_test(null_makes_null),
        cmocka_unit_test(one_sign_is_answered_or_kept_whoever_is_dropped),
        cmocka_unit_test(a_sign_that_nobody_takes_is_passed_on_to_all_and_kept),
        cmocka_unit_test(a_sign_for_all_is_missed_by_none_who_were_made),
        cmocka_unit_test(a_thread_misses_no_sign_for_one),
        cmocka_unit_test(threads_miss_no_sign_for_all),
        cmocka_unit_test(what_was_written_before_a_sign_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
