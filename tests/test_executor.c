/*
 * Executors on threads of the application's own.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <kernel/future_time.h>
#include <kernel/reactor.h>

/* A flag that another thread raises. */
struct signal {
    struct kn_waker_cell cell;
    _Atomic bool raised;
};

static struct kn_outcome wait_for_signal(void *context, struct kn_context *poll)
{
    struct signal *signal = context;
    kn_waker_cell_register(&signal->cell, poll->waker);
    /* Acquire pairs with the release of raise_signal. */
    if (!atomic_load_explicit(&signal->raised, memory_order_acquire))
        return kn_pending();
    kn_waker_cell_clear(&signal->cell);
    return kn_ready(KN_VALUE(17));
}

static void *raise_signal(void *argument)
{
    struct signal *signal = argument;
    /* Release pairs with the acquire of wait_for_signal. */
    atomic_store_explicit(&signal->raised, true, memory_order_release);
    kn_waker_cell_wake(&signal->cell);
    return NULL;
}

static void block_on_is_woken_by_another_thread(void **state)
{
    (void)state;
    for (int round = 0; round < 200; round++) {
        struct signal signal = {.raised = false};
        struct kn_future_poll_fn memory;
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, raise_signal, &signal), 0);
        struct kn_outcome outcome = kn_block_on(kn_future_poll_fn(&memory, wait_for_signal, &signal), -1);
        assert_int_equal(outcome.value.integer, 17);
        assert_int_equal(pthread_join(thread, NULL), 0);
    }
}

static void block_on_fires_timers_in_real_time(void **state)
{
    (void)state;
    struct kn_future_delay memory;
    uint64_t start_ns = kn_clock_monotonic_ns();
    assert_int_equal(kn_block_on(kn_future_delay(&memory, 3 * KN_MILLISECOND_NS), -1).status, KN_READY);
    assert_true(kn_clock_monotonic_ns() - start_ns >= 3 * KN_MILLISECOND_NS);
}

static void count_drop(kn_value_t value, void *context)
{
    (void)value;
    ++*(int *)context;
}

static void block_on_gives_up_and_drops(void **state)
{
    (void)state;
    struct kn_future_delay memory;
    struct kn_future *future = kn_future_delay(&memory, 60 * KN_SECOND_NS);
    assert_int_equal(kn_block_on(future, (int64_t)KN_MILLISECOND_NS).status, -ETIMEDOUT);
    assert_null(memory.executor);
    assert_int_equal(kn_block_on(NULL, -1).status, -ENOMEM);
}

static enum kn_task_status block_in_task(struct kn_task *task, struct kn_reactor *reactor)
{
    (void)task;
    struct kn_future_pending memory;
    int *answer = kn_task_local(task, 0);
    *answer = (int)kn_block_on(kn_future_pending(&memory), -1).status;
    kn_runtime_stop(kn_reactor_runtime(reactor));
    return KN_TASK_DONE;
}

static void block_on_refuses_a_reactor(void **state)
{
    (void)state;
    static const struct kn_task_type type = {.name = "block", .poll = block_in_task};
    struct kn_runtime *runtime;
    struct kn_runtime_options options = {.reactors = 1, .unpinned = true};
    assert_int_equal(kn_runtime_open(&runtime, &options), 0);
    int answer = 0;
    void *locals[KN_TASK_LOCALS] = {&answer};
    struct kn_task task;
    kn_task_create(&task, &type, 0);
    task.locals = locals;
    kn_task_spawn(&task, kn_runtime_reactor(runtime, 0));
    assert_int_equal(kn_reactor_run(kn_runtime_reactor(runtime, 0)), 0);
    kn_runtime_close(runtime);
    assert_int_equal(answer, -EDEADLK);
}

static void virtual_time_passes_at_once(void **state)
{
    (void)state;
    static struct kn_local_executor executor;
    struct kn_future_delay memory;
    kn_local_executor_init(&executor, 0);
    assert_int_equal(kn_local_executor_run(&executor, kn_future_delay(&memory, 3600 * KN_SECOND_NS)).status, KN_READY);
    assert_true(executor.executor.now_ns >= 3600 * KN_SECOND_NS);
}

static struct kn_outcome loop(void *context, struct kn_context *poll)
{
    unsigned *turns = context;
    while (kn_context_may_continue(poll))
        ++*turns;
    return *turns < 3 * KN_EXECUTOR_BUDGET ? kn_pending() : kn_ready(KN_NOTHING);
}

static void a_loop_lets_others_run_when_its_budget_is_spent(void **state)
{
    (void)state;
    static struct kn_local_executor executor;
    struct kn_future_poll_fn memory;
    struct kn_outcome outcome;
    unsigned turns = 0;
    int drops = 0;
    struct kn_future_owned owned;
    kn_local_executor_init(&executor, 0);
    struct kn_future *future = kn_future_poll_fn(&memory, loop, &turns);
    future = kn_future_owned(&owned, future, count_drop, &drops);
    assert_false(kn_local_executor_poll(&executor, future, &outcome));
    assert_int_equal(turns, KN_EXECUTOR_BUDGET);
    assert_int_equal(kn_local_executor_run(&executor, future).status, KN_READY);
    assert_int_equal(turns, 3 * KN_EXECUTOR_BUDGET);
    assert_int_equal(drops, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(block_on_is_woken_by_another_thread),
        cmocka_unit_test(block_on_fires_timers_in_real_time),
        cmocka_unit_test(block_on_gives_up_and_drops),
        cmocka_unit_test(block_on_refuses_a_reactor),
        cmocka_unit_test(virtual_time_passes_at_once),
        cmocka_unit_test(a_loop_lets_others_run_when_its_budget_is_spent),
    };
    return cmocka_run_group_tests_name("executor", tests, NULL, NULL);
}
