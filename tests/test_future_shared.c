/* One future whose answer many wait for. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <kernel/future_shared.h>
#include <kernel/future_then.h>

#include "async_harness.h"

enum { HANDLES = 2 };

/* How an execution is built; and its memory. */
struct program {
    bool lends;
    bool driver_last;
    bool fails;
    bool may_drop;
    unsigned pendings;
    struct kn_shared shared;
    struct kn_future_shared handles[HANDLES];
    unsigned answers; /* of handles, in all executions */
};

static unsigned driver_of(const struct program *program)
{
    return program->driver_last ? HANDLES : 0;
}

static void build(struct harness *world, void *context)
{
    struct program *program = context;
    struct kn_future *inner = program->fails ? harness_future(world, program->pendings, kn_failed(-EIO))
                                             : harness_owned_future(world, program->pendings, 7);
    struct kn_future *driver = (program->lends ? kn_shared_owned : kn_shared)(&program->shared, inner);
    struct kn_future *handles[HANDLES];
    for (unsigned i = 0; i < HANDLES; i++)
        handles[i] = kn_future_shared(&program->handles[i], &program->shared);
    if (!program->driver_last)
        harness_spawn(world, driver);
    for (unsigned i = 0; i < HANDLES; i++)
        harness_spawn(world, handles[i]);
    if (program->driver_last)
        harness_spawn(world, driver);
}

/* A lent value is there as long as its handle's answer; of a copy only the word is looked at. */
static void check(struct harness *world, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)world;
    struct program *program = context;
    if (task == driver_of(program)) {
        assert_int_equal(outcome.status, KN_READY);
        return;
    }
    program->answers++;
    if (outcome.status == -ECANCELED && program->may_drop)
        return;
    assert_int_equal(outcome.status, program->fails ? -EIO : KN_READY);
    if (program->fails)
        return;
    if (program->lends)
        assert_int_equal(((struct harness_object *)outcome.value.pointer)->number, 7);
    else
        assert_non_null(outcome.value.pointer);
}

static void explore(struct program program)
{
    struct harness_options no_drops = {.no_drops = true};
    for (program.pendings = 0; program.pendings < 2; program.pendings++) {
        for (int last = 0; last < 2; last++) {
            program.driver_last = last == 1;
            program.answers = 0;
            program.may_drop = false;
            uint64_t executions = harness_explore(build, check, &program, &no_drops);
            assert_int_equal(program.answers, HANDLES * executions); /* all of them wait for it, and get it */
            program.may_drop = true;
            harness_explore(build, check, &program, NULL);
        }
    }
}

static void all_handles_get_a_copy_and_the_value_is_discarded_once(void **state)
{
    (void)state;
    explore((struct program){.lends = false});
}

static void lent_value_is_discarded_after_the_last_was_given_back(void **state)
{
    (void)state;
    explore((struct program){.lends = true});
}

static void all_handles_get_the_failure(void **state)
{
    (void)state;
    explore((struct program){.lends = false, .fails = true});
    explore((struct program){.lends = true, .fails = true});
}

/* ---- a step at a time ---- */

static struct kn_outcome poll_on(struct kn_local_executor *local, struct kn_future *future)
{
    struct kn_outcome outcome;
    (void)kn_local_executor_poll(local, future, &outcome);
    return outcome;
}

static unsigned discards;

static void count_discard(kn_value_t value, void *context)
{
    (void)context;
    assert_int_equal(value.integer, 7);
    discards++;
}

struct steps {
    struct kn_local_executor executors[2]; /* the driver's, and that of the handle */
    struct kn_future_ready ready;
    struct kn_future_owned owned;
    struct kn_future_pending pending;
    struct kn_shared shared;
    struct kn_future_shared handles[2];
};

static struct steps *new_steps(void)
{
    static struct steps steps;
    discards = 0;
    kn_local_executor_init(&steps.executors[0], 0);
    kn_local_executor_init(&steps.executors[1], 0);
    return &steps;
}

static struct kn_future *owned_ready(struct steps *steps)
{
    return kn_future_owned(&steps->owned, kn_future_ready(&steps->ready, KN_VALUE(7)), count_discard, NULL);
}

static void driver_answers_when_the_last_lent_value_was_given_back(void **state)
{
    (void)state;
    struct steps *steps = new_steps();
    struct kn_future *driver = kn_shared_owned(&steps->shared, owned_ready(steps));
    struct kn_future *first = kn_future_shared(&steps->handles[0], &steps->shared);
    assert_int_equal(poll_on(&steps->executors[1], first).status, KN_PENDING);
    assert_int_equal(kn_shared_peek(&steps->shared).status, KN_PENDING);
    assert_int_equal(poll_on(&steps->executors[0], driver).status, KN_PENDING);
    assert_int_equal(kn_shared_peek(&steps->shared).value.integer, 7);
    assert_true(kn_local_executor_is_woken(&steps->executors[1]));
    /* A handle more, of who holds one; its answer is there at once. */
    struct kn_future *second = kn_future_shared(&steps->handles[1], &steps->shared);
    assert_int_equal(poll_on(&steps->executors[1], second).value.integer, 7);
    assert_int_equal(poll_on(&steps->executors[1], first).value.integer, 7);
    kn_future_drop(first); /* does nothing: the value is lent */
    kn_shared_give_back(&steps->shared);
    assert_false(kn_local_executor_is_woken(&steps->executors[0]));
    assert_int_equal(poll_on(&steps->executors[0], driver).status, KN_PENDING);
    kn_shared_give_back(&steps->shared);
    assert_int_equal(discards, 0);
    assert_true(kn_local_executor_is_woken(&steps->executors[0]));
    assert_int_equal(poll_on(&steps->executors[0], driver).status, KN_READY);
    assert_int_equal(discards, 1);
}

static void future_without_handles_is_dropped_and_the_driver_answers(void **state)
{
    (void)state;
    struct steps *steps = new_steps();
    struct kn_future *driver = kn_shared(&steps->shared, kn_future_pending(&steps->pending));
    struct kn_future *handle = kn_future_shared(&steps->handles[0], &steps->shared);
    assert_int_equal(poll_on(&steps->executors[0], driver).status, KN_PENDING);
    assert_false(kn_local_executor_is_woken(&steps->executors[0]));
    kn_future_drop(handle);
    assert_true(kn_local_executor_is_woken(&steps->executors[0]));
    assert_int_equal(poll_on(&steps->executors[0], driver).status, KN_READY);
}

static void dropped_driver_cancels_the_handles_or_leaves_them_the_value(void **state)
{
    (void)state;
    struct steps *steps = new_steps();
    struct kn_future *driver = kn_shared_owned(&steps->shared, kn_future_pending(&steps->pending));
    struct kn_future *handle = kn_future_shared(&steps->handles[0], &steps->shared);
    assert_int_equal(poll_on(&steps->executors[1], handle).status, KN_PENDING);
    assert_int_equal(poll_on(&steps->executors[0], driver).status, KN_PENDING);
    kn_future_drop(driver);
    assert_true(kn_local_executor_is_woken(&steps->executors[1]));
    assert_int_equal(poll_on(&steps->executors[1], handle).status, -ECANCELED);

    driver = kn_shared_owned(&steps->shared, owned_ready(steps));
    handle = kn_future_shared(&steps->handles[0], &steps->shared);
    assert_int_equal(poll_on(&steps->executors[0], driver).status, KN_PENDING);
    kn_future_drop(driver);
    assert_int_equal(discards, 0);
    struct kn_outcome outcome = poll_on(&steps->executors[1], handle);
    assert_int_equal(outcome.value.integer, 7);
    kn_future_discard_outcome(handle, outcome);
    assert_int_equal(discards, 1);
}

static void who_was_dropped_is_not_woken(void **state)
{
    (void)state;
    struct steps *steps = new_steps();
    struct kn_future *driver = kn_shared(&steps->shared, owned_ready(steps));
    struct kn_future *first = kn_future_shared(&steps->handles[0], &steps->shared);
    struct kn_future *second = kn_future_shared(&steps->handles[1], &steps->shared);
    assert_int_equal(poll_on(&steps->executors[1], first).status, KN_PENDING);
    kn_future_drop(first);
    assert_int_equal(poll_on(&steps->executors[0], driver).status, KN_PENDING);
    assert_false(kn_local_executor_is_woken(&steps->executors[1]));
    kn_future_drop(second);
    assert_int_equal(poll_on(&steps->executors[0], driver).status, KN_READY);

    driver = kn_shared(&steps->shared, owned_ready(steps));
    first = kn_future_shared(&steps->handles[0], &steps->shared);
    second = kn_future_shared(&steps->handles[1], &steps->shared);
    assert_int_equal(poll_on(&steps->executors[0], driver).status, KN_PENDING);
    kn_future_drop(driver);
    kn_future_drop(first);
    kn_future_drop(second);
    assert_false(kn_local_executor_is_woken(&steps->executors[0]));
    assert_int_equal(discards, 2);
}

static void count_drop(void *context)
{
    ++*(unsigned *)context;
}

static void missing_memory_drops_the_future(void **state)
{
    (void)state;
    struct steps *steps = new_steps();
    struct kn_future_boxed boxed;
    unsigned drops = 0;
    assert_null(kn_shared(NULL, kn_future_boxed(&boxed, kn_future_pending(&steps->pending), count_drop, &drops)));
    assert_int_equal(drops, 1);
    assert_null(kn_shared_owned(&steps->shared, NULL));
    assert_null(kn_future_shared(NULL, &steps->shared));
    assert_null(kn_future_shared(&steps->handles[0], NULL));
}

/* ---- threads ---- */

enum { THREADS = 3, ROUNDS = 200 };

static _Atomic int64_t objects;

static void free_object(kn_value_t value, void *context)
{
    (void)context;
    free(value.pointer);
    atomic_fetch_sub_explicit(&objects, 1, memory_order_relaxed);
}

/* Is woken by itself so many times, then answers with a new object. */
static struct kn_outcome count_down(void *context, struct kn_context *poll)
{
    unsigned *left = context;
    if (*left == 0) {
        int64_t *object = malloc(sizeof *object);
        *object = 7;
        atomic_fetch_add_explicit(&objects, 1, memory_order_relaxed);
        return kn_ready(KN_VALUE(object));
    }
    --*left;
    kn_waker_wake(poll->waker);
    return kn_pending();
}

struct waiter {
    struct kn_future_shared handle;
    struct kn_shared *shared;
    unsigned number;
    bool is_right;
};

/* Waits for the value, or is dropped while it waits, or before. */
static void *wait_for_value(void *argument)
{
    struct waiter *waiter = argument;
    struct kn_future *handle = &waiter->handle.future;
    waiter->is_right = true;
    if (waiter->number % 5 == 0) {
        kn_future_drop(handle);
        return NULL;
    }
    struct kn_outcome outcome = kn_block_on(handle, waiter->number % 5 == 1 ? 0 : -1);
    waiter->is_right = outcome.status == KN_READY ? *(int64_t *)outcome.value.pointer == 7
                                                  : outcome.status == -ETIMEDOUT && waiter->number % 5 == 1;
    if (outcome.status != KN_READY)
        return NULL;
    if (waiter->number % 2 == 0)
        kn_future_discard_outcome(handle, outcome);
    else
        kn_shared_give_back(waiter->shared);
    return NULL;
}

static void handles_wait_on_any_thread_and_the_driver_outlasts_them(void **state)
{
    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct kn_shared *shared = malloc(sizeof *shared);
        struct waiter waiters[THREADS];
        pthread_t threads[THREADS];
        struct kn_future_poll_fn poll_fn;
        struct kn_future_owned owned;
        unsigned left = round % 4;
        struct kn_future *inner = kn_future_poll_fn(&poll_fn, count_down, &left);
        struct kn_future *driver = kn_shared_owned(shared, kn_future_owned(&owned, inner, free_object, NULL));
        for (unsigned i = 0; i < THREADS; i++) {
            waiters[i] = (struct waiter){.shared = shared, .number = round + i};
            assert_non_null(kn_future_shared(&waiters[i].handle, shared));
        }
        for (unsigned i = 0; i < THREADS; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, wait_for_value, &waiters[i]), 0);
        assert_int_equal(kn_block_on(driver, -1).status, KN_READY);
        free(shared); /* nobody uses it any more, whatever the threads do */
        assert_int_equal(atomic_load_explicit(&objects, memory_order_relaxed), 0);
        for (unsigned i = 0; i < THREADS; i++) {
            assert_int_equal(pthread_join(threads[i], NULL), 0);
            assert_true(waiters[i].is_right);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_handles_get_a_copy_and_the_value_is_discarded_once),
        cmocka_unit_test(lent_value_is_discarded_after_the_last_was_given_back),
        cmocka_unit_test(all_handles_get_the_failure),
        cmocka_unit_test(driver_answers_when_the_last_lent_value_was_given_back),
        cmocka_unit_test(future_without_handles_is_dropped_and_the_driver_answers),
        cmocka_unit_test(dropped_driver_cancels_the_handles_or_leaves_them_the_value),
        cmocka_unit_test(who_was_dropped_is_not_woken),
        cmocka_unit_test(missing_memory_drops_the_future),
        cmocka_unit_test(handles_wait_on_any_thread_and_the_driver_outlasts_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
