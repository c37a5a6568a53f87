/* Locks of readers and writers: many read or one writes, in the order in which they came. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <kernel/rwlock.h>

#include "async_locks.h"

static void many_read_or_one_writes(void **state)
{
    (void)state;
    struct kn_rwlock rwlock = KN_RWLOCK_INIT;
    assert_int_equal(kn_rwlock_try_read(&rwlock), 0);
    assert_int_equal(kn_rwlock_try_read(&rwlock), 0);
    assert_int_equal(kn_rwlock_readers(&rwlock), 2);
    assert_int_equal(kn_rwlock_try_write(&rwlock), -EAGAIN);
    kn_rwlock_unlock_read(&rwlock);
    assert_int_equal(kn_rwlock_try_write(&rwlock), -EAGAIN);
    kn_rwlock_unlock_read(&rwlock);
    assert_int_equal(kn_rwlock_try_write(&rwlock), 0);
    assert_true(kn_rwlock_write_locked(&rwlock));
    assert_int_equal(kn_rwlock_readers(&rwlock), 0);
    assert_int_equal(kn_rwlock_try_read(&rwlock), -EAGAIN);
    assert_int_equal(kn_rwlock_try_write(&rwlock), -EAGAIN);
    kn_rwlock_unlock_write(&rwlock);
    assert_false(kn_rwlock_write_locked(&rwlock));
    assert_int_equal(kn_rwlock_try_read(&rwlock), 0);
}

static void downgrade_lets_others_read(void **state)
{
    (void)state;
    struct kn_rwlock rwlock;
    kn_rwlock_init(&rwlock);
    assert_int_equal(kn_rwlock_try_write(&rwlock), 0);
    kn_rwlock_downgrade(&rwlock);
    assert_int_equal(kn_rwlock_readers(&rwlock), 1);
    assert_int_equal(kn_rwlock_try_read(&rwlock), 0);
    assert_int_equal(kn_rwlock_try_write(&rwlock), -EAGAIN);
    kn_rwlock_unlock_read(&rwlock);
    kn_rwlock_unlock_read(&rwlock);
    assert_int_equal(kn_rwlock_try_write(&rwlock), 0);
}

static void a_writer_in_line_holds_off_new_readers_until_it_is_dropped(void **state)
{
    (void)state;
    struct kn_rwlock rwlock = KN_RWLOCK_INIT;
    struct kn_rwlock_write write;
    struct kn_rwlock_read read;
    struct kn_local_executor locals[2];
    struct kn_outcome outcome;
    for (unsigned i = 0; i < 2; i++)
        kn_local_executor_init(&locals[i], 0);
    assert_int_equal(kn_rwlock_try_read(&rwlock), 0);
    assert_false(kn_local_executor_poll(&locals[0], kn_rwlock_write(&write, &rwlock), &outcome));
    assert_int_equal(kn_rwlock_try_read(&rwlock), -EAGAIN);
    assert_false(kn_local_executor_poll(&locals[1], kn_rwlock_read(&read, &rwlock), &outcome));
    assert_int_equal(kn_rwlock_readers(&rwlock), 1);
    kn_future_drop(&write.acquire.future);
    assert_true(kn_local_executor_is_woken(&locals[1]));
    assert_true(kn_local_executor_poll(&locals[1], &read.acquire.future, &outcome));
    assert_int_equal(outcome.status, KN_READY);
    assert_int_equal(kn_rwlock_readers(&rwlock), 2);
}

static void downgrade_lets_in_no_writer(void **state)
{
    (void)state;
    struct kn_rwlock rwlock = KN_RWLOCK_INIT;
    struct kn_rwlock_write write;
    struct kn_rwlock_read read;
    struct kn_local_executor local;
    struct kn_outcome outcome;
    kn_local_executor_init(&local, 0);
    assert_int_equal(kn_rwlock_try_write(&rwlock), 0);
    assert_false(kn_local_executor_poll(&local, kn_rwlock_read(&read, &rwlock), &outcome));
    assert_false(kn_local_executor_poll(&local, kn_rwlock_write(&write, &rwlock), &outcome));
    kn_rwlock_downgrade(&rwlock);
    assert_true(kn_local_executor_poll(&local, &read.acquire.future, &outcome));
    assert_false(kn_local_executor_poll(&local, &write.acquire.future, &outcome));
    kn_rwlock_unlock_read(&rwlock);
    kn_rwlock_unlock_read(&rwlock);
    assert_true(kn_local_executor_poll(&local, &write.acquire.future, &outcome));
    assert_true(kn_rwlock_write_locked(&rwlock));
}

static void null_makes_null(void **state)
{
    (void)state;
    struct kn_rwlock rwlock = KN_RWLOCK_INIT;
    struct kn_rwlock_read read;
    struct kn_rwlock_write write;
    struct kn_rwlock_guarded_read guarded_read;
    struct kn_rwlock_guarded_write guarded_write;
    struct kn_future_pending pending;
    assert_null(kn_rwlock_read(NULL, &rwlock));
    assert_null(kn_rwlock_read(&read, NULL));
    assert_null(kn_rwlock_write(NULL, &rwlock));
    assert_null(kn_rwlock_write(&write, NULL));
    assert_null(kn_rwlock_guarded_read(NULL, &rwlock, kn_future_pending(&pending)));
    assert_null(kn_rwlock_guarded_read(&guarded_read, &rwlock, NULL));
    assert_null(kn_rwlock_guarded_write(&guarded_write, NULL, kn_future_pending(&pending)));
    assert_null(kn_rwlock_guarded_write(&guarded_write, &rwlock, NULL));
}

/* ---- all orders ---- */

enum { TASKS_MAX = 4 };

/* Tasks that hold the lock across a wait: `kinds` says which. */
struct program {
    const char *kinds; /* 'r' or 'w', one each */
    struct kn_rwlock rwlock;
    unsigned came;
    unsigned places[TASKS_MAX];
    unsigned writer_entered; /* the last one's place */
    unsigned entered;        /* the newest place of all that have entered */
    unsigned readers;
    unsigned writers;
};

static void check_line(const struct kn_rwlock *rwlock)
{
    const struct kn_wait_node *first = kn_wait_list_first(&rwlock->semaphore.waiters);
    if (first)
        assert_true(kn_semaphore_available(&rwlock->semaphore) < first->wanted);
}

static void look_at_task(struct probe *probe, enum probe_event event)
{
    struct program *program = probe->context;
    if (event == PROBE_BEGINS)
        program->places[probe->number] = ++program->came;
    if (event == PROBE_ANSWERS)
        assert_int_equal(probe->outcome.status, KN_READY);
    check_line(&program->rwlock);
}

static void look_at_holder(struct probe *probe, enum probe_event event)
{
    struct program *program = probe->context;
    bool is_writer = program->kinds[probe->number] == 'w';
    unsigned place = program->places[probe->number];
    unsigned *holders = is_writer ? &program->writers : &program->readers;
    if (event == PROBE_BEGINS) {
        ++*holders;
        /* Nobody overtakes a writer, and a writer overtakes nobody. */
        assert_true(place > (is_writer ? program->entered : program->writer_entered));
        program->entered = place > program->entered ? place : program->entered;
        program->writer_entered = is_writer ? place : program->writer_entered;
    }
    assert_true(program->writers == 0 || program->writers + program->readers == 1);
    assert_int_equal(kn_rwlock_write_locked(&program->rwlock), program->writers == 1);
    assert_true(kn_rwlock_readers(&program->rwlock) >= program->readers);
    if (event == PROBE_ANSWERS || event == PROBE_LEAVES)
        --*holders;
}

static void build(struct harness *world, void *context)
{
    struct program *program = context;
    struct kn_arena *arena = harness_arena(world);
    *program = (struct program){.kinds = program->kinds, .rwlock = KN_RWLOCK_INIT};
    for (unsigned i = 0; program->kinds[i]; i++) {
        struct kn_future *holder = harness_owned_future(world, 1, i);
        holder = KN_IN(arena, probe, holder, i, look_at_holder, program);
        struct kn_future *task = program->kinds[i] == 'w'
                                     ? KN_IN(arena, kn_rwlock_guarded_write, &program->rwlock, holder)
                                     : KN_IN(arena, kn_rwlock_guarded_read, &program->rwlock, holder);
        harness_spawn(world, KN_IN(arena, probe, task, i, look_at_task, program));
    }
}

static void check_unlocked(struct harness *world, void *context)
{
    (void)world;
    const struct program *program = context;
    assert_int_equal(program->readers + program->writers, 0);
    assert_int_equal(kn_semaphore_available(&program->rwlock.semaphore), KN_RWLOCK_READERS_MAX);
    assert_true(kn_wait_list_is_empty(&program->rwlock.semaphore.waiters));
}

static void readers_and_writers_take_turns_whoever_is_dropped(void **state)
{
    (void)state;
    static const char *const kinds[] = {"ww", "rwr", "wrr", "wwr"};
    struct harness_options options = {.ended = check_unlocked};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct program program = {.kinds = kinds[i]};
        uint64_t executions = harness_explore(build, NULL, &program, &options);
        print_message("%s: %llu executions\n", kinds[i], (unsigned long long)executions);
    }
}

/* ---- threads ---- */

enum { ROUNDS = 2000 };

/* Plain data: a race is the thread sanitizer's to find. */
struct shared {
    struct kn_rwlock rwlock;
    uint64_t left;
    uint64_t right;
    _Atomic uint64_t writes;
};

/* Writes both, reads them again when it only reads any more. */
static void write_both(struct shared *shared, int64_t timeout_ns)
{
    struct kn_rwlock_write write;
    int64_t status = kn_block_on(kn_rwlock_write(&write, &shared->rwlock), timeout_ns).status;
    if (status == -ETIMEDOUT)
        return;
    assert_int_equal(status, KN_READY);
    uint64_t written = ++shared->left;
    shared->right++;
    kn_rwlock_downgrade(&shared->rwlock);
    assert_int_equal(shared->left, written);
    atomic_fetch_add_explicit(&shared->writes, 1, memory_order_relaxed);
    kn_rwlock_unlock_read(&shared->rwlock);
}

static void read_both(struct shared *shared, int64_t timeout_ns)
{
    struct kn_rwlock_read read;
    int64_t status = kn_block_on(kn_rwlock_read(&read, &shared->rwlock), timeout_ns).status;
    if (status == -ETIMEDOUT)
        return;
    assert_int_equal(status, KN_READY);
    assert_int_equal(shared->left, shared->right);
    kn_rwlock_unlock_read(&shared->rwlock);
}

static void *read_and_write(void *context)
{
    struct shared *shared = context;
    for (unsigned i = 0; i < ROUNDS; i++) {
        /* One in four gives up soon: perhaps when it was just given the lock. */
        int64_t timeout_ns = i % 8 >= 6 ? (int64_t)(i % 32) * 1000 : -1;
        if (i % 3 == 0)
            write_both(shared, timeout_ns);
        else
            read_both(shared, timeout_ns);
    }
    return NULL;
}

static void threads_read_what_was_written(void **state)
{
    (void)state;
    struct shared shared = {.rwlock = KN_RWLOCK_INIT};
    probe_threads(read_and_write, &shared);
    assert_int_equal(shared.left, atomic_load(&shared.writes));
    assert_int_equal(shared.right, shared.left);
    assert_true(shared.left >= PROBE_THREADS * ROUNDS / 4);
    assert_int_equal(kn_semaphore_available(&shared.rwlock.semaphore), KN_RWLOCK_READERS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_read_or_one_writes),
        cmocka_unit_test(downgrade_lets_others_read),
        cmocka_unit_test(a_writer_in_line_holds_off_new_readers_until_it_is_dropped),
        cmocka_unit_test(downgrade_lets_in_no_writer),
        cmocka_unit_test(null_makes_null),
        cmocka_unit_test(readers_and_writers_take_turns_whoever_is_dropped),
        cmocka_unit_test(threads_read_what_was_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
