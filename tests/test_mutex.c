/* Locks of tasks: one at a time, in the order in which they came. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <kernel/mutex.h>

#include "async_locks.h"

static void try_lock_takes_a_lock_that_nobody_holds(void **state)
{
    (void)state;
    struct kn_mutex mutex = KN_MUTEX_INIT;
    assert_false(kn_mutex_locked(&mutex));
    assert_int_equal(kn_mutex_try_lock(&mutex), 0);
    assert_true(kn_mutex_locked(&mutex));
    assert_int_equal(kn_mutex_try_lock(&mutex), -EAGAIN);
    kn_mutex_unlock(&mutex);
    assert_int_equal(kn_mutex_try_lock(&mutex), 0);
}

static void a_future_dropped_after_its_answer_does_not_unlock(void **state)
{
    (void)state;
    struct kn_mutex mutex;
    struct kn_mutex_lock lock;
    kn_mutex_init(&mutex);
    struct kn_future *future = kn_mutex_lock(&lock, &mutex);
    assert_int_equal(kn_block_on(future, -1).status, KN_READY);
    kn_future_drop(future);
    assert_true(kn_mutex_locked(&mutex));
    assert_int_equal(kn_block_on(kn_mutex_lock(&lock, &mutex), 0).status, -ETIMEDOUT);
    kn_mutex_unlock(&mutex);
    assert_false(kn_mutex_locked(&mutex));
}

static void an_answer_that_nobody_takes_unlocks(void **state)
{
    (void)state;
    struct kn_mutex mutex = KN_MUTEX_INIT;
    struct kn_mutex_lock lock;
    struct kn_future *future = kn_mutex_lock(&lock, &mutex);
    kn_future_discard_outcome(future, kn_block_on(future, -1));
    assert_false(kn_mutex_locked(&mutex));
}

static void guarded_unlocks_when_its_future_fails(void **state)
{
    (void)state;
    struct kn_mutex mutex = KN_MUTEX_INIT;
    struct kn_mutex_guarded guarded;
    struct kn_future_ready failed;
    struct kn_future *future = kn_mutex_guarded(&guarded, &mutex, kn_future_failed(&failed, -EIO));
    assert_int_equal(kn_block_on(future, -1).status, -EIO);
    assert_false(kn_mutex_locked(&mutex));
}

static void guarded_holds_the_lock_while_its_future_waits(void **state)
{
    (void)state;
    struct kn_mutex mutex = KN_MUTEX_INIT;
    struct kn_mutex_guarded guarded;
    struct kn_future_pending pending;
    struct kn_local_executor local;
    struct kn_outcome outcome;
    kn_local_executor_init(&local, 0);
    struct kn_future *future = kn_mutex_guarded(&guarded, &mutex, kn_future_pending(&pending));
    assert_false(kn_local_executor_poll(&local, future, &outcome));
    assert_true(kn_mutex_locked(&mutex));
    kn_future_drop(future);
    assert_false(kn_mutex_locked(&mutex));
    kn_future_drop(future);
    assert_false(kn_mutex_locked(&mutex));
}

static void null_makes_null(void **state)
{
    (void)state;
    struct kn_mutex mutex = KN_MUTEX_INIT;
    struct kn_mutex_lock lock;
    struct kn_mutex_guarded guarded;
    struct kn_future_pending pending;
    assert_null(kn_mutex_lock(NULL, &mutex));
    assert_null(kn_mutex_lock(&lock, NULL));
    assert_null(kn_mutex_guarded(NULL, &mutex, kn_future_pending(&pending)));
    assert_null(kn_mutex_guarded(&guarded, NULL, kn_future_pending(&pending)));
    assert_null(kn_mutex_guarded(&guarded, &mutex, NULL));
}

/* ---- all orders ---- */

/* Tasks that hold the lock across a wait, each as one that came at its place. */
struct program {
    struct kn_mutex mutex;
    unsigned tasks;
    unsigned pendings; /* of each while it holds the lock */
    unsigned came;
    unsigned places[4];
    unsigned entered; /* the last one's place */
    bool is_inside;
};

static void look_at_task(struct probe *probe, enum probe_event event)
{
    struct program *program = probe->context;
    if (event == PROBE_BEGINS)
        program->places[probe->number] = ++program->came;
    if (event == PROBE_ANSWERS)
        assert_int_equal(probe->outcome.status, KN_READY);
    /* Whoever waits is kept off by somebody. */
    if (!kn_wait_list_is_empty(&program->mutex.semaphore.waiters))
        assert_true(kn_mutex_locked(&program->mutex));
}

static void look_at_holder(struct probe *probe, enum probe_event event)
{
    struct program *program = probe->context;
    if (event == PROBE_BEGINS) {
        assert_false(program->is_inside);
        assert_true(program->places[probe->number] > program->entered);
        program->entered = program->places[probe->number];
    }
    assert_true(kn_mutex_locked(&program->mutex));
    program->is_inside = event == PROBE_BEGINS || event == PROBE_WAITS;
}

static void build(struct harness *world, void *context)
{
    struct program *program = context;
    struct kn_arena *arena = harness_arena(world);
    kn_mutex_init(&program->mutex);
    program->came = program->entered = 0;
    program->is_inside = false;
    for (unsigned i = 0; i < program->tasks; i++) {
        struct kn_future *holder = harness_owned_future(world, program->pendings, i);
        holder = KN_IN(arena, probe, holder, i, look_at_holder, program);
        struct kn_future *task = KN_IN(arena, kn_mutex_guarded, &program->mutex, holder);
        harness_spawn(world, KN_IN(arena, probe, task, i, look_at_task, program));
    }
}

static void check_unlocked(struct harness *world, void *context)
{
    (void)world;
    const struct program *program = context;
    assert_false(program->is_inside);
    assert_false(kn_mutex_locked(&program->mutex));
    assert_true(kn_wait_list_is_empty(&program->mutex.semaphore.waiters));
}

static void one_at_a_time_and_in_order_whoever_is_dropped(void **state)
{
    (void)state;
    struct harness_options options = {.ended = check_unlocked};
    harness_explore(build, NULL, &(struct program){.tasks = 2, .pendings = 2}, &options);
    harness_explore(build, NULL, &(struct program){.tasks = 3, .pendings = 1}, &options);
}

static void four_in_order(void **state)
{
    (void)state;
    struct harness_options options = {.ended = check_unlocked, .no_drops = true};
    harness_explore(build, NULL, &(struct program){.tasks = 4, .pendings = 1}, &options);
}

/* The lock alone: the answer is discarded by the harness, as by a parent that was dropped meanwhile. */
static void build_locks(struct harness *world, void *context)
{
    struct program *program = context;
    kn_mutex_init(&program->mutex);
    for (unsigned i = 0; i < program->tasks; i++)
        harness_spawn(world, KN_IN(harness_arena(world), kn_mutex_lock, &program->mutex));
    program->is_inside = false;
}

static void check_locked(struct harness *world, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)world;
    (void)task;
    assert_int_equal(outcome.status, KN_READY);
    assert_true(kn_mutex_locked(&((struct program *)context)->mutex));
}

/* As above, but one task holds the lock first and hands it over. */
static void build_held_locks(struct harness *world, void *context)
{
    struct program *program = context;
    struct kn_arena *arena = harness_arena(world);
    build_locks(world, context);
    struct kn_future *holder = KN_IN(arena, kn_mutex_guarded, &program->mutex, harness_owned_future(world, 1, 0));
    harness_spawn(world, holder);
}

static void check_held_locks(struct harness *world, unsigned task, struct kn_outcome outcome, void *context)
{
    if (task < ((struct program *)context)->tasks)
        check_locked(world, task, outcome, context);
}

static void discarded_and_dropped_locks_are_passed_on(void **state)
{
    (void)state;
    struct harness_options options = {.ended = check_unlocked};
    harness_explore(build_locks, check_locked, &(struct program){.tasks = 3}, &options);
    harness_explore(build_held_locks, check_held_locks, &(struct program){.tasks = 3}, &options);
}

/* ---- threads ---- */

enum { ROUNDS = 3000 };

/* Plain data under a lock: a race is the thread sanitizer's to find. */
struct shared {
    struct kn_mutex mutex;
    uint64_t sum;
    _Atomic uint64_t done;
};

static void *add(void *context)
{
    struct shared *shared = context;
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct kn_mutex_lock lock;
        /* One in four gives up soon: perhaps when it was just given the lock. */
        int64_t timeout_ns = i % 4 == 3 ? (int64_t)(i % 32) * 1000 : -1;
        int64_t status = kn_block_on(kn_mutex_lock(&lock, &shared->mutex), timeout_ns).status;
        if (status == -ETIMEDOUT && kn_mutex_try_lock(&shared->mutex) != 0)
            continue;
        shared->sum++;
        kn_mutex_unlock(&shared->mutex);
        atomic_fetch_add_explicit(&shared->done, 1, memory_order_relaxed);
    }
    return NULL;
}

static void threads_take_turns(void **state)
{
    (void)state;
    struct shared shared = {.mutex = KN_MUTEX_INIT};
    probe_threads(add, &shared);
    assert_int_equal(shared.sum, atomic_load(&shared.done));
    assert_true(shared.sum >= PROBE_THREADS * ROUNDS * 3 / 4);
    assert_false(kn_mutex_locked(&shared.mutex));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(try_lock_takes_a_lock_that_nobody_holds),
        cmocka_unit_test(a_future_dropped_after_its_answer_does_not_unlock),
        cmocka_unit_test(an_answer_that_nobody_takes_unlocks),
        cmocka_unit_test(guarded_unlocks_when_its_future_fails),
        cmocka_unit_test(guarded_holds_the_lock_while_its_future_waits),
        cmocka_unit_test(null_makes_null),
        cmocka_unit_test(one_at_a_time_and_in_order_whoever_is_dropped),
        cmocka_unit_test(four_in_order),
        cmocka_unit_test(discarded_and_dropped_locks_are_passed_on),
        cmocka_unit_test(threads_take_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
