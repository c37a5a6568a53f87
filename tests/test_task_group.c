/* Groups: waiting for tasks, as a task and as a thread. */
#include <sched.h>

#include <kernel/assert.h>

#include "reactors.h"

static struct kn_reactor *first_of(struct kn_runtime *runtime)
{
    return kn_runtime_reactor(runtime, 0);
}

/* A task that waits for its group, and notes what the waits answered. */
struct waiter {
    struct kn_task task;
    struct kn_task_group *group;
    bool frees; /* the group, as soon as it may */
    _Atomic unsigned polls;
    _Atomic bool is_through;
};

static enum kn_task_status waiter_poll(struct kn_task *task, struct kn_reactor *reactor)
{
    struct waiter *waiter = KN_CONTAINER_OF(task, struct waiter, task);
    (void)reactor;
    waiter->polls++;
    int result = kn_task_group_wait(waiter->group, task);
    if (result == -EAGAIN)
        return KN_TASK_PENDING;
    assert_int_equal(result, 0);
    if (waiter->frees) {
        memset(waiter->group, 0xff, sizeof(*waiter->group));
        free(waiter->group);
    }
    waiter->is_through = true;
    return KN_TASK_DONE;
}

static const struct kn_task_type WAITER = {.name = "waiter", .poll = waiter_poll};

static void waiter_init(struct waiter *waiter, struct kn_task_group *group)
{
    *waiter = (struct waiter){.group = group};
    kn_task_create(&waiter->task, &WAITER, 1);
}

static void group_of_none_lets_everybody_pass(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){0});
    struct kn_task_group group;
    struct waiter waiter;
    kn_task_group_init(&group, 0);
    assert_int_equal(kn_task_group_join(&group, NULL), 0);
    assert_int_equal(kn_task_group_wait(&group, NULL), 0);
    waiter_init(&waiter, &group);
    kn_task_spawn(&waiter.task, first_of(runtime));
    reactors_settle(runtime);
    assert_int_equal(waiter.polls, 1);
    assert_true(waiter.is_through);
    kn_runtime_close(runtime);
}

static void group_wakes_a_waiting_task_once_all_are_done(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){0});
    struct kn_task_group group;
    struct waiter waiter;
    struct probe members[3];
    kn_task_group_init(&group, 3);
    waiter_init(&waiter, &group);
    kn_task_spawn(&waiter.task, first_of(runtime));
    for (unsigned i = 0; i < 3; i++) {
        probe_init(&members[i], 5, "pd", NULL);
        members[i].task.group = &group;
        kn_task_spawn(&members[i].task, first_of(runtime));
    }
    reactors_settle(runtime);
    assert_int_equal(waiter.polls, 1);
    for (unsigned i = 0; i < 3; i++) {
        assert_false(waiter.is_through);
        kn_task_wake(&waiter.task); /* for nothing: it waits again */
        reactors_settle(runtime);
        kn_task_wake(&members[i].task);
        reactors_settle(runtime);
    }
    assert_true(waiter.is_through);
    assert_int_equal(waiter.polls, 1 + 3 + 1);
    kn_runtime_close(runtime);
}

static void group_hears_of_tasks_that_were_cancelled(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){0});
    struct kn_task_group group;
    struct probe members[3];
    kn_task_group_init(&group, 3);
    for (unsigned i = 0; i < 3; i++) {
        probe_init(&members[i], 5, "p", i == 2 ? "d" : NULL);
        members[i].task.group = &group;
        kn_task_spawn(&members[i].task, first_of(runtime));
    }
    kn_task_cancel(&members[0].task);
    reactors_settle(runtime);
    kn_task_cancel(&members[1].task);
    kn_task_cancel(&members[2].task);
    reactors_settle(runtime);
    assert_int_equal(kn_task_group_join(&group, NULL), 0);
    kn_runtime_close(runtime);
}

static void group_hears_of_a_task_only_when_that_was_released(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_start((struct kn_runtime_options){0});
    for (unsigned i = 0; i < 1000; i++) {
        struct kn_task_group group;
        struct probe *member = malloc(sizeof(*member));
        assert_non_null(member);
        probe_init(member, 5, "yd", "d");
        kn_task_group_init(&group, 1);
        member->task.group = &group;
        kn_task_spawn(&member->task, first_of(runtime));
        assert_int_equal(kn_task_group_join(&group, NULL), 0);
        assert_int_equal(member->polls, 2);
        assert_int_equal(member->releases, 1);
        free(member); /* nobody's any more */
    }
    kn_runtime_close(runtime);
}

static void group_may_grow_while_it_is_open(void **state)
{
    (void)state;
    struct kn_task_group group;
    const struct kn_wait moment = {.strategy = KN_WAIT_PARK, .timeout_ns = 1000000};
    kn_task_group_init(&group, 1);
    kn_task_group_add(&group, 2);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(kn_task_group_join(&group, &moment), -ETIMEDOUT);
        kn_task_group_done(&group);
    }
    assert_int_equal(kn_task_group_join(&group, &moment), 0);
    kn_task_group_init(&group, 0);
    kn_task_group_add(&group, 1);
    assert_int_equal(kn_task_group_join(&group, &moment), -ETIMEDOUT);
    kn_task_group_done(&group);
    assert_int_equal(kn_task_group_join(&group, NULL), 0);
}

static void group_counts_what_is_no_task(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){0});
    struct kn_task_group group;
    struct waiter waiter;
    kn_task_group_init(&group, 2);
    waiter_init(&waiter, &group);
    kn_task_spawn(&waiter.task, first_of(runtime));
    reactors_settle(runtime);
    kn_task_group_done(&group);
    assert_int_equal(reactors_settle(runtime), 0);
    kn_task_group_done(&group);
    reactors_settle(runtime);
    assert_true(waiter.is_through);
    assert_int_equal(waiter.polls, 2);
    kn_runtime_close(runtime);
}

/* Says that it is done with each of many groups. */
struct doer {
    struct kn_task_group *_Atomic *groups;
    unsigned count;
};

static void *do_all(void *argument)
{
    const struct doer *doer = argument;
    for (unsigned i = 0; i < doer->count; i++) {
        struct kn_task_group *group;
        while (!(group = doer->groups[i]))
            sched_yield();
        kn_task_group_done(group);
    }
    return NULL;
}

enum { DOERS = 3, GROUPS = 1000 };

static void start_doers(struct doer doers[DOERS], pthread_t threads[DOERS], struct kn_task_group *_Atomic *groups)
{
    for (unsigned i = 0; i < DOERS; i++) {
        doers[i] = (struct doer){.groups = groups, .count = GROUPS};
        assert_int_equal(pthread_create(&threads[i], NULL, do_all, &doers[i]), 0);
    }
}

static void group_is_nobodys_once_a_thread_has_joined_it(void **state)
{
    (void)state;
    static struct kn_task_group *_Atomic groups[GROUPS];
    static const struct kn_wait hows[] = {
        {.strategy = KN_WAIT_YIELD}, {.strategy = KN_WAIT_PARK, .attempts = 1}, {.strategy = KN_WAIT_PARK}};
    struct doer doers[DOERS];
    pthread_t threads[DOERS];
    start_doers(doers, threads, groups);
    for (unsigned i = 0; i < GROUPS; i++) {
        struct kn_task_group *group = malloc(sizeof(*group));
        assert_non_null(group);
        kn_task_group_init(group, DOERS);
        groups[i] = group;
        assert_int_equal(kn_task_group_join(group, &hows[i % 3]), 0);
        memset(group, 0xff, sizeof(*group)); /* late touches are found by this or by the sanitizers */
        free(group);
    }
    for (unsigned i = 0; i < DOERS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
}

static void group_is_nobodys_once_a_task_has_waited_for_it(void **state)
{
    (void)state;
    static struct kn_task_group *_Atomic groups[GROUPS];
    struct kn_runtime *runtime = reactors_start((struct kn_runtime_options){.reactors = 2});
    struct doer doers[DOERS];
    pthread_t threads[DOERS];
    start_doers(doers, threads, groups);
    unsigned woken = 0;
    for (unsigned i = 0; i < GROUPS; i++) {
        struct kn_task_group *group = malloc(sizeof(*group));
        struct kn_task_group end;
        struct waiter waiter;
        assert_non_null(group);
        kn_task_group_init(group, DOERS + 1);
        kn_task_group_init(&end, 1);
        waiter_init(&waiter, group);
        waiter.frees = true;
        waiter.task.group = &end;
        kn_task_spawn(&waiter.task, kn_runtime_reactor(runtime, i % 2));
        groups[i] = group;
        if (i % 2 == 0)
            REACTORS_AWAIT(waiter.polls > 0);
        kn_task_group_done(group);
        assert_int_equal(kn_task_group_join(&end, NULL), 0);
        assert_true(waiter.is_through);
        woken += waiter.polls > 1;
    }
    assert_true(woken >= GROUPS / 2); /* those that were polled before they were done */
    for (unsigned i = 0; i < DOERS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    kn_runtime_close(runtime);
}

static void group_gives_up_a_join_after_its_time(void **state)
{
    (void)state;
    struct kn_task_group group;
    kn_task_group_init(&group, 1);
    for (enum kn_wait_strategy strategy = KN_WAIT_PAUSE; strategy <= KN_WAIT_PARK; strategy++) {
        const struct kn_wait how = {.strategy = strategy, .timeout_ns = 2000000};
        uint64_t start_ns = kn_clock_monotonic_ns();
        assert_int_equal(kn_task_group_join(&group, &how), -ETIMEDOUT);
        assert_true(kn_clock_monotonic_ns() - start_ns >= 2000000);
    }
    kn_task_group_done(&group); /* it is as good as before */
    assert_int_equal(kn_task_group_join(&group, NULL), 0);
}

/* ---- a tree of tasks, each of which waits for its own ---- */

struct branch {
    struct kn_task task;
    struct kn_task_group group;
    struct branch *parent;
    _Atomic uint32_t leaves;
    unsigned depth;
    bool has_grown;
};

static enum kn_task_status branch_poll(struct kn_task *task, struct kn_reactor *reactor);

static const struct kn_task_type BRANCH = {.name = "branch", .poll = branch_poll};

static enum kn_task_status branch_poll(struct kn_task *task, struct kn_reactor *reactor)
{
    struct branch *branch = KN_CONTAINER_OF(task, struct branch, task);
    if (branch->depth > 0 && !branch->has_grown) {
        branch->has_grown = true;
        kn_task_group_init(&branch->group, 4);
        for (unsigned i = 0; i < 4; i++) {
            struct branch *child = kn_reactor_task_acquire(reactor);
            kn_assert(child);
            kn_task_init(&child->task, &BRANCH, 3);
            child->task.group = &branch->group;
            child->parent = branch;
            atomic_init(&child->leaves, branch->depth == 1);
            child->depth = branch->depth - 1;
            child->has_grown = false;
            kn_task_spawn(&child->task, reactor);
        }
    }
    if (branch->depth > 0 && kn_task_group_wait(&branch->group, task) < 0)
        return KN_TASK_PENDING;
    if (branch->parent)
        branch->parent->leaves += branch->leaves;
    return KN_TASK_DONE;
}

static void group_waits_for_groups_of_groups_on_all_reactors(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_start((struct kn_runtime_options){
        .reactors = 2, .pool_tasks = 30000, .order[3] = KN_ORDER_LIFO, .pool_task_bytes = sizeof(struct branch)});
    for (unsigned i = 0; i < 5; i++) {
        static struct branch root;
        struct kn_task_group group;
        root = (struct branch){.depth = 7};
        kn_task_create(&root.task, &BRANCH, 3);
        kn_task_group_init(&group, 1);
        root.task.group = &group;
        kn_task_spawn(&root.task, kn_runtime_reactor(runtime, i % 2));
        assert_int_equal(kn_task_group_join(&group, NULL), 0);
        assert_int_equal(root.leaves, 4 * 4 * 4 * 4 * 4 * 4 * 4);
    }
    kn_runtime_close(runtime);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(group_of_none_lets_everybody_pass),
        cmocka_unit_test(group_wakes_a_waiting_task_once_all_are_done),
        cmocka_unit_test(group_hears_of_tasks_that_were_cancelled),
        cmocka_unit_test(group_hears_of_a_task_only_when_that_was_released),
        cmocka_unit_test(group_may_grow_while_it_is_open),
        cmocka_unit_test(group_counts_what_is_no_task),
        cmocka_unit_test(group_is_nobodys_once_a_thread_has_joined_it),
        cmocka_unit_test(group_is_nobodys_once_a_task_has_waited_for_it),
        cmocka_unit_test(group_gives_up_a_join_after_its_time),
        cmocka_unit_test(group_waits_for_groups_of_groups_on_all_reactors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
