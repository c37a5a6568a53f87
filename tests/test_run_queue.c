/* A reactor's waiting tasks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sched/run_queue.h"

enum { TASKS = 512 };

static const struct kn_task_type TYPE = {.name = "never polled"};

static void make(struct kn_task *task, unsigned class, unsigned flags, uint64_t deadline_ns)
{
    kn_task_create(task, &TYPE, class);
    task->flags = (uint8_t)flags;
    task->deadline_ns = deadline_ns;
}

/* What the invariant above the struct says, and that the lists hold what the counts say. */
static void check(const struct kn_run_queue *queue)
{
    for (unsigned class = 0; class < KN_PRIORITY_CLASSES; class ++) {
        assert_int_equal(queue->classes >> class & 1, queue->waiting[class] > 0);
        assert_true(queue->movable[class] <= queue->waiting[class]);
        if (queue->order[class] == KN_ORDER_DEADLINE)
            continue;
        for (unsigned list = 0; list < KN_LISTS; list++) {
            uint32_t count = 0;
            struct kn_task *previous = NULL;
            for (struct kn_task *task = queue->lists[class][list].first; task; task = kn_task_next(task)) {
                assert_ptr_equal(task->previous, previous);
                previous = task;
                count++;
            }
            assert_ptr_equal(queue->lists[class][list].last, previous);
            assert_int_equal(count, list == KN_LIST_MOVABLE ? queue->movable[class]
                                                            : queue->waiting[class] - queue->movable[class]);
        }
    }
}

static void run_queue_takes_the_first_first_in_a_fair_class(void **state)
{
    (void)state;
    struct kn_run_queue queue = {0};
    struct kn_task tasks[TASKS];
    assert_null(kn_run_queue_pop(&queue));
    for (unsigned i = 0; i < TASKS; i++) {
        make(&tasks[i], 3, 0, 0);
        kn_run_queue_push(&queue, &tasks[i], KN_RUN_ORDER);
    }
    check(&queue);
    for (unsigned i = 0; i < TASKS; i++)
        assert_ptr_equal(kn_run_queue_pop(&queue), &tasks[i]);
    assert_null(kn_run_queue_pop(&queue));
    check(&queue);
}

static void run_queue_takes_the_newest_first_where_it_shall(void **state)
{
    (void)state;
    struct kn_run_queue queue = {.order[5] = KN_ORDER_LIFO};
    struct kn_task tasks[TASKS];
    for (unsigned i = 0; i < TASKS; i++) {
        make(&tasks[i], 5, 0, 0);
        kn_run_queue_push(&queue, &tasks[i], KN_RUN_ORDER);
    }
    check(&queue);
    for (unsigned i = TASKS; i > 0; i--)
        assert_ptr_equal(kn_run_queue_pop(&queue), &tasks[i - 1]);
    assert_null(kn_run_queue_pop(&queue));
}

static void run_queue_puts_who_yields_behind_all_others_even_so(void **state)
{
    (void)state;
    struct kn_run_queue queue = {.order[5] = KN_ORDER_LIFO};
    struct kn_task tasks[3];
    for (unsigned i = 0; i < 3; i++) {
        make(&tasks[i], 5, 0, 0);
        kn_run_queue_push(&queue, &tasks[i], i == 2 ? KN_RUN_LAST : KN_RUN_ORDER);
    }
    assert_ptr_equal(kn_run_queue_pop(&queue), &tasks[1]);
    assert_ptr_equal(kn_run_queue_pop(&queue), &tasks[0]);
    assert_ptr_equal(kn_run_queue_pop(&queue), &tasks[2]);
}

static void run_queue_takes_the_more_urgent_class_first(void **state)
{
    (void)state;
    struct kn_run_queue queue = {0};
    struct kn_task tasks[KN_PRIORITY_CLASSES];
    for (unsigned i = 0; i < KN_PRIORITY_CLASSES; i++) {
        make(&tasks[i], i * 5 % KN_PRIORITY_CLASSES, 0, 0);
        kn_run_queue_push(&queue, &tasks[i], KN_RUN_ORDER);
    }
    for (unsigned class = 0; class < KN_PRIORITY_CLASSES; class ++)
        assert_int_equal(kn_run_queue_pop(&queue)->class, class);
    assert_null(kn_run_queue_pop(&queue));
}

static void run_queue_takes_the_earliest_deadline_first_and_none_last(void **state)
{
    (void)state;
    struct kn_run_queue queue = {.order[2] = KN_ORDER_DEADLINE};
    struct kn_task tasks[TASKS];
    srand(1);
    for (unsigned i = 0; i < TASKS; i++) {
        make(&tasks[i], 2, 0, i % 7 == 0 ? 0 : 1 + (uint64_t)rand() % 50);
        kn_run_queue_push(&queue, &tasks[i], KN_RUN_ORDER);
    }
    const struct kn_task *before = kn_run_queue_pop(&queue);
    for (unsigned i = 1; i < TASKS; i++) {
        const struct kn_task *task = kn_run_queue_pop(&queue);
        assert_non_null(task);
        assert_true(task->deadline_ns - 1 >= before->deadline_ns - 1);
        if (task->deadline_ns == before->deadline_ns)
            assert_true(task > before); /* equal ones as they came */
        before = task;
    }
    assert_null(kn_run_queue_pop(&queue));
    check(&queue);
}

static void run_queue_orders_equal_deadlines_as_they_came_when_its_numbers_wrap(void **state)
{
    (void)state;
    struct kn_run_queue queue = {.order[2] = KN_ORDER_DEADLINE, .sequence = UINT32_MAX - 2};
    struct kn_task tasks[6];
    for (unsigned i = 0; i < 6; i++) {
        make(&tasks[i], 2, 0, 9);
        kn_run_queue_push(&queue, &tasks[i], KN_RUN_ORDER);
    }
    for (unsigned i = 0; i < 6; i++)
        assert_ptr_equal(kn_run_queue_pop(&queue), &tasks[i]);
}

static void run_queue_lets_pinned_and_movable_tasks_take_turns(void **state)
{
    (void)state;
    struct kn_run_queue queue = {0};
    struct kn_task tasks[6];
    for (unsigned i = 0; i < 6; i++) {
        make(&tasks[i], 1, i < 4 ? KN_TASK_PINNED : 0, 0);
        kn_run_queue_push(&queue, &tasks[i], KN_RUN_ORDER);
    }
    check(&queue);
    unsigned next_pinned = 0;
    unsigned next_movable = 4;
    bool was_pinned = false;
    for (unsigned i = 0; i < 6; i++) {
        const struct kn_task *task = kn_run_queue_pop(&queue);
        bool is_pinned = (task->flags & KN_TASK_PINNED) != 0;
        if (i > 0 && i < 4)
            assert_true(is_pinned != was_pinned);
        assert_ptr_equal(task, is_pinned ? &tasks[next_pinned++] : &tasks[next_movable++]);
        was_pinned = is_pinned;
    }
    assert_null(kn_run_queue_pop(&queue));
}

/* Gives `count` of TASKS tasks of class 4, of which every fourth is pinned. */
static void give(enum kn_order order, uint32_t count, struct kn_task tasks[TASKS], struct kn_run_queue *queue,
                 struct kn_task_chain *chain)
{
    *queue = (struct kn_run_queue){.order[4] = (uint8_t)order};
    for (unsigned i = 0; i < TASKS; i++) {
        make(&tasks[i], 4, i % 4 == 0 ? KN_TASK_PINNED : 0, 1 + i);
        kn_run_queue_push(queue, &tasks[i], KN_RUN_ORDER);
    }
    *chain = kn_run_queue_give(queue, 4, count);
    check(queue);
    assert_int_equal(queue->waiting[4], TASKS - chain->count);
}

static void run_queue_gives_what_would_wait_longest_and_nothing_pinned(void **state)
{
    (void)state;
    struct kn_run_queue queue;
    struct kn_task tasks[TASKS];
    struct kn_task_chain chain;
    for (enum kn_order order = KN_ORDER_FIFO; order <= KN_ORDER_DEADLINE; order++) {
        give(order, 100, tasks, &queue, &chain);
        assert_int_equal(chain.count, 100);
        bool given[TASKS] = {false};
        while (chain.count > 0) {
            struct kn_task *task = kn_task_chain_take(&chain);
            size_t index = (size_t)(task - tasks);
            assert_false(task->flags & KN_TASK_PINNED);
            assert_false(given[index]);
            given[index] = true;
        }
        for (unsigned i = 0; i < 133; i++) { /* where 100 movable tasks are */
            if (order == KN_ORDER_FIFO)
                assert_int_equal(given[TASKS - 1 - i], (TASKS - 1 - i) % 4 != 0);
            else if (order == KN_ORDER_LIFO)
                assert_int_equal(given[i], i % 4 != 0);
        }
        assert_false(given[order == KN_ORDER_LIFO ? TASKS - 1 : 1]); /* what runs next stays */
        /* What is left comes out in order, each once. */
        for (unsigned left = TASKS - 100; left > 0; left--) {
            size_t index = (size_t)(kn_run_queue_pop(&queue) - tasks);
            assert_false(given[index]);
            given[index] = true;
        }
        assert_null(kn_run_queue_pop(&queue));
    }
}

static void run_queue_gives_no_more_than_there_is(void **state)
{
    (void)state;
    struct kn_run_queue queue;
    struct kn_task tasks[TASKS];
    struct kn_task_chain chain;
    for (enum kn_order order = KN_ORDER_FIFO; order <= KN_ORDER_DEADLINE; order++) {
        give(order, UINT32_MAX, tasks, &queue, &chain);
        assert_int_equal(chain.count, TASKS / 4 * 3);
        assert_int_equal(queue.movable[4], 0);
        for (unsigned left = TASKS / 4; left > 0; left--)
            assert_true(kn_run_queue_pop(&queue)->flags & KN_TASK_PINNED);
        assert_int_equal(queue.classes, 0);
        chain = kn_run_queue_give(&queue, 4, 1);
        assert_int_equal(chain.count, 0);
        assert_null(chain.first);
    }
}

static void run_queue_gives_tasks_in_the_order_in_which_they_would_have_run(void **state)
{
    (void)state;
    struct kn_run_queue queue;
    struct kn_run_queue other;
    struct kn_task tasks[TASKS];
    struct kn_task_chain chain;
    for (enum kn_order order = KN_ORDER_FIFO; order <= KN_ORDER_DEADLINE; order++) {
        give(order, 50, tasks, &queue, &chain);
        other = (struct kn_run_queue){.order[4] = (uint8_t)order};
        while (chain.count > 0)
            kn_run_queue_push(&other, kn_task_chain_take(&chain), KN_RUN_ORDER);
        const struct kn_task *before = kn_run_queue_pop(&other);
        for (unsigned i = 1; i < 50; i++) {
            const struct kn_task *task = kn_run_queue_pop(&other);
            assert_true(order == KN_ORDER_LIFO ? task < before : task > before);
            before = task;
        }
    }
}

/* Pushes, takes and gives at random; each task comes out once, the right one where the order says which. */
static void run_queue_loses_nothing_whatever_is_done_to_it(void **state)
{
    (void)state;
    struct kn_run_queue queue = {
        .order = {KN_ORDER_FIFO, KN_ORDER_LIFO, KN_ORDER_DEADLINE, KN_ORDER_DEADLINE, KN_ORDER_FIFO}};
    static struct kn_task tasks[TASKS];
    static bool is_in[TASKS];
    unsigned in = 0;
    srand(2);
    for (unsigned step = 0; step < 200000; step++) {
        unsigned index = (unsigned)rand() % TASKS;
        if (!is_in[index] && rand() % 5 < 3) {
            make(&tasks[index], (unsigned)rand() % 6, rand() % 4 == 0 ? KN_TASK_PINNED : 0, (uint64_t)rand() % 20);
            kn_run_queue_push(&queue, &tasks[index], rand() % 3 == 0 ? KN_RUN_LAST : KN_RUN_ORDER);
            is_in[index] = true;
            in++;
        } else if (rand() % 8 == 0) {
            unsigned class = (unsigned)rand() % 6;
            struct kn_task_chain chain = kn_run_queue_give(&queue, class, (uint32_t)rand() % 5);
            for (; chain.count > 0; in--) {
                struct kn_task *task = kn_task_chain_take(&chain);
                assert_int_equal(task->class, class);
                assert_true(is_in[task - tasks]);
                is_in[task - tasks] = false;
            }
        } else {
            unsigned class = queue.classes ? (unsigned)__builtin_ctz(queue.classes) : 0;
            struct kn_task *task = kn_run_queue_pop(&queue);
            assert_int_equal(task != NULL, in > 0);
            if (!task)
                continue;
            assert_int_equal(task->class, class);
            assert_true(is_in[task - tasks]);
            is_in[task - tasks] = false;
            in--;
        }
        uint32_t waiting = 0;
        for (unsigned class = 0; class < KN_PRIORITY_CLASSES; class ++)
            waiting += queue.waiting[class];
        assert_int_equal(waiting, in);
        if (step % 512 == 0)
            check(&queue);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(run_queue_takes_the_first_first_in_a_fair_class),
        cmocka_unit_test(run_queue_takes_the_newest_first_where_it_shall),
        cmocka_unit_test(run_queue_puts_who_yields_behind_all_others_even_so),
        cmocka_unit_test(run_queue_takes_the_more_urgent_class_first),
        cmocka_unit_test(run_queue_takes_the_earliest_deadline_first_and_none_last),
        cmocka_unit_test(run_queue_orders_equal_deadlines_as_they_came_when_its_numbers_wrap),
        cmocka_unit_test(run_queue_lets_pinned_and_movable_tasks_take_turns),
        cmocka_unit_test(run_queue_gives_what_would_wait_longest_and_nothing_pinned),
        cmocka_unit_test(run_queue_gives_no_more_than_there_is),
        cmocka_unit_test(run_queue_gives_tasks_in_the_order_in_which_they_would_have_run),
        cmocka_unit_test(run_queue_loses_nothing_whatever_is_done_to_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
