/* The pools of tasks. */
#include "reactors.h"

static struct kn_reactor *first_of(struct kn_runtime *runtime)
{
    return kn_runtime_reactor(runtime, 0);
}

static void cancel(void *task)
{
    kn_task_cancel(task);
}

static enum kn_task_status pooled_poll(struct kn_task *task, struct kn_reactor *reactor)
{
    (void)reactor;
    return task->deadline_ns-- > 1 ? KN_TASK_YIELD : KN_TASK_DONE;
}

static const struct kn_task_type POOLED = {.name = "pooled", .poll = pooled_poll};

static void pool_hands_out_as_many_as_it_has_and_gets_them_back(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){.pool_tasks = 100, .pool_task_bytes = 100});
    struct kn_reactor *reactor = first_of(runtime);
    for (unsigned round = 0; round < 3; round++) {
        struct kn_task *tasks[100];
        for (unsigned i = 0; i < 100; i++) {
            tasks[i] = kn_reactor_task_acquire(reactor);
            assert_non_null(tasks[i]);
            assert_int_equal((uintptr_t)tasks[i] % KN_CACHE_LINE, 0);
            memset(tasks[i] + 1, (int)i, 100 - sizeof(struct kn_task));
            kn_task_init(tasks[i], &POOLED, 3);
            tasks[i]->deadline_ns = i;
        }
        assert_null(kn_reactor_task_acquire(reactor));
        assert_int_equal(REACTORS_COUNTER(runtime, 0, pool_empty), round + 1);
        assert_int_equal(REACTORS_COUNTER(runtime, 0, pool_used), 100);
        for (unsigned i = 0; i < 100; i++) {
            unsigned char expected[100 - sizeof(struct kn_task)];
            memset(expected, (int)i, sizeof(expected));
            assert_memory_equal(tasks[i] + 1, expected, sizeof(expected)); /* nobody else wrote there */
            if (i % 2 == 0)
                kn_task_spawn(tasks[i], reactor);
            else
                kn_reactor_task_give_back(reactor, tasks[i]);
            if (i % 4 == 0)
                kn_task_cancel(tasks[i]);
        }
        reactors_settle(runtime);
        assert_int_equal(REACTORS_COUNTER(runtime, 0, pool_used), 0);
    }
    kn_runtime_close(runtime);
}

static void pool_of_no_size_is_empty(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){0});
    assert_null(kn_reactor_task_acquire(first_of(runtime)));
    assert_int_equal(REACTORS_COUNTER(runtime, 0, pool_empty), 1);
    kn_runtime_close(runtime);
}

static void pool_memory_may_be_woken_at_any_time(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){.pool_tasks = 1});
    struct kn_reactor *reactor = first_of(runtime);
    for (unsigned i = 0; i < 3; i++) {
        struct kn_task *task = kn_reactor_task_acquire(reactor);
        assert_non_null(task);
        kn_task_wake(task); /* not spawned yet, */
        reactors_outside(cancel, task);
        kn_task_init(task, &POOLED, 3);
        kn_task_wake(task);
        kn_task_spawn(task, reactor);
        reactors_settle(runtime);
        kn_task_wake(task); /* or done */
        reactors_outside(cancel, task);
        assert_int_equal(reactors_settle(runtime), 0);
        assert_int_equal(REACTORS_COUNTER(runtime, 0, finished), i + 1);
        assert_int_equal(REACTORS_COUNTER(runtime, 0, pool_used), 0);
    }
    kn_runtime_close(runtime);
}

static void pool_gets_memory_back_that_another_reactor_was_done_with(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open(
        (struct kn_runtime_options){.reactors = 3, .pool_tasks = 16, .bus_messages = 1, .no_balance = true});
    for (unsigned i = 0; i < 10000; i++) {
        struct kn_reactor *owner = kn_runtime_reactor(runtime, i % 3);
        assert_int_equal(kn_reactor_turn(owner, 0), 0); /* this thread is its own now */
        struct kn_task *tasks[16];
        for (unsigned j = 0; j < 16; j++) {
            tasks[j] = kn_reactor_task_acquire(owner);
            assert_non_null(tasks[j]);
            kn_task_init(tasks[j], &POOLED, 3);
        }
        assert_null(kn_reactor_task_acquire(owner));
        for (unsigned j = 0; j < 16; j++) {
            struct kn_reactor *other = kn_runtime_reactor(runtime, (i + j) % 3);
            if (j % 5 < 4)
                kn_task_spawn(tasks[j], other);
            else
                kn_reactor_task_give_back(owner, tasks[j]);
        }
        reactors_settle(runtime);
        for (unsigned j = 0; j < 3; j++)
            assert_int_equal(REACTORS_COUNTER(runtime, j, pool_used), 0);
    }
    kn_runtime_close(runtime);
}

/* Makes `left` tasks that run on the other reactor, as its pool has room. */
struct maker {
    struct kn_task task;
    struct kn_reactor *other;
    struct kn_task_group *group;
    unsigned left;
};

static enum kn_task_status maker_poll(struct kn_task *task, struct kn_reactor *reactor)
{
    struct maker *maker = KN_CONTAINER_OF(task, struct maker, task);
    for (unsigned i = 0; i < 64 && maker->left > 0; i++) {
        struct kn_task *made = kn_reactor_task_acquire(reactor);
        if (!made)
            break;
        kn_task_init(made, &POOLED, 3);
        made->group = maker->group;
        made->deadline_ns = i % 3;
        kn_task_spawn(made, maker->other);
        maker->left--;
    }
    return maker->left > 0 ? KN_TASK_YIELD : KN_TASK_DONE;
}

static void pool_does_not_shrink_by_tasks_that_cross_cores(void **state)
{
    (void)state;
    enum { MADE = 100000 };
    static const struct kn_task_type type = {.name = "maker", .poll = maker_poll};
    struct kn_runtime *runtime =
        reactors_start((struct kn_runtime_options){.reactors = 2, .pool_tasks = 256, .bus_messages = 2});
    static struct maker makers[2];
    struct kn_task_group group;
    kn_task_group_init(&group, 2 + 2 * MADE);
    for (unsigned i = 0; i < 2; i++) {
        makers[i] = (struct maker){.other = kn_runtime_reactor(runtime, 1 - i), .group = &group, .left = MADE};
        kn_task_create(&makers[i].task, &type, 4);
        makers[i].task.flags = KN_TASK_PINNED;
        makers[i].task.group = &group;
        kn_task_spawn(&makers[i].task, kn_runtime_reactor(runtime, i));
    }
    assert_int_equal(kn_task_group_join(&group, NULL), 0);
    for (unsigned i = 0; i < 2; i++)
        REACTORS_AWAIT(REACTORS_COUNTER(runtime, i, pool_used) == 0);
    assert_int_equal(REACTORS_COUNTER(runtime, 0, finished) + REACTORS_COUNTER(runtime, 1, finished), 2 + 2 * MADE);
    kn_runtime_close(runtime);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pool_hands_out_as_many_as_it_has_and_gets_them_back),
        cmocka_unit_test(pool_of_no_size_is_empty),
        cmocka_unit_test(pool_memory_may_be_woken_at_any_time),
        cmocka_unit_test(pool_gets_memory_back_that_another_reactor_was_done_with),
        cmocka_unit_test(pool_does_not_shrink_by_tasks_that_cross_cores),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
