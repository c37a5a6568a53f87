/* Lines of wakers: first in, first out; each is called once, and none that has left. */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <kernel/wait_list.h>

#include "async_locks.h"

enum { NODES = 4 };

/* Nodes with wakers that note the order of their calls. */
struct line {
    struct kn_wait_list list;
    struct kn_wait_node nodes[NODES];
    struct call {
        struct kn_waker waker;
        struct line *line;
        unsigned calls;
        unsigned turn; /* of the last call, from 1 */
    } calls[NODES];
    unsigned turns;
};

static void note(struct kn_waker *waker)
{
    struct call *call = KN_CONTAINER_OF(waker, struct call, waker);
    call->calls++;
    call->turn = ++call->line->turns;
}

static void add(struct line *line, unsigned i, unsigned call)
{
    kn_wait_list_lock(&line->list);
    kn_wait_list_add(&line->list, &line->nodes[i], &line->calls[call].waker);
    kn_wait_list_unlock(&line->list);
}

static bool take_out(struct line *line, unsigned i)
{
    kn_wait_list_lock(&line->list);
    bool was_woken = kn_wait_list_remove(&line->list, &line->nodes[i]);
    kn_wait_list_unlock(&line->list);
    return was_woken;
}

/* An empty line; then the first `count` nodes wait. */
static void fill(struct line *line, unsigned count)
{
    *line = (struct line){.turns = 0};
    for (unsigned i = 0; i < NODES; i++)
        line->calls[i] = (struct call){.waker.wake = note, .line = line};
    for (unsigned i = 0; i < count; i++)
        add(line, i, i);
}

static void the_oldest_are_woken_first(void **state)
{
    (void)state;
    struct line line;
    fill(&line, NODES);
    assert_false(kn_wait_list_is_empty(&line.list));
    assert_int_equal(kn_wait_list_notify(&line.list, 1), 1);
    assert_int_equal(line.calls[0].turn, 1);
    assert_int_equal(line.turns, 1);
    assert_true(kn_wait_node_is_woken(&line.nodes[0]));
    assert_false(kn_wait_node_is_woken(&line.nodes[1]));
    assert_int_equal(kn_wait_list_notify(&line.list, SIZE_MAX), NODES - 1);
    for (unsigned i = 0; i < NODES; i++) {
        assert_int_equal(line.calls[i].calls, 1);
        assert_int_equal(line.calls[i].turn, i + 1);
    }
    assert_true(kn_wait_list_is_empty(&line.list));
    assert_int_equal(kn_wait_list_notify(&line.list, SIZE_MAX), 0);
}

static void a_node_may_leave_wherever_it_is(void **state)
{
    (void)state;
    for (unsigned leaver = 0; leaver < NODES; leaver++) {
        struct line line;
        unsigned turn = 0;
        fill(&line, NODES);
        assert_false(take_out(&line, leaver));
        assert_ptr_equal(kn_wait_list_first(&line.list), &line.nodes[leaver == 0 ? 1 : 0]);
        assert_int_equal(kn_wait_list_notify(&line.list, SIZE_MAX), NODES - 1);
        for (unsigned i = 0; i < NODES; i++)
            assert_int_equal(line.calls[i].turn, i == leaver ? 0 : ++turn);
        assert_null(kn_wait_list_first(&line.list));
    }
}

static void all_may_leave_and_come_again(void **state)
{
    (void)state;
    struct line line;
    fill(&line, 2);
    assert_false(take_out(&line, 1));
    assert_false(take_out(&line, 0));
    assert_true(kn_wait_list_is_empty(&line.list));
    add(&line, 1, 1);
    add(&line, 0, 0);
    assert_ptr_equal(kn_wait_list_first(&line.list), &line.nodes[1]);
    assert_int_equal(kn_wait_list_notify(&line.list, SIZE_MAX), 2);
    assert_int_equal(line.calls[1].turn, 1);
    assert_int_equal(line.calls[0].turn, 2);
}

static void taking_a_woken_node_out_tells_so_once(void **state)
{
    (void)state;
    struct line line;
    fill(&line, 1);
    kn_wait_list_notify(&line.list, 1);
    assert_true(take_out(&line, 0));
    assert_false(kn_wait_node_is_woken(&line.nodes[0]));
    assert_false(take_out(&line, 0));
    add(&line, 0, 0);
    assert_false(kn_wait_list_is_empty(&line.list));
    assert_false(take_out(&line, 0));
}

static void adding_a_node_that_waits_replaces_its_waker_and_keeps_its_place(void **state)
{
    (void)state;
    struct line line;
    fill(&line, 2);
    add(&line, 0, 3);
    assert_int_equal(kn_wait_list_notify(&line.list, SIZE_MAX), 2);
    assert_int_equal(line.calls[0].calls, 0);
    assert_int_equal(line.calls[3].turn, 1);
    assert_int_equal(line.calls[1].turn, 2);
}

static void any_node_may_be_woken_with_the_lock_held(void **state)
{
    (void)state;
    struct line line;
    fill(&line, 3);
    kn_wait_list_lock(&line.list);
    kn_wait_list_wake(&line.list, &line.nodes[1]);
    kn_wait_list_unlock(&line.list);
    assert_int_equal(line.calls[1].turn, 1);
    assert_int_equal(kn_wait_list_notify(&line.list, SIZE_MAX), 2);
    assert_int_equal(line.calls[0].turn, 2);
    assert_int_equal(line.calls[2].turn, 3);
}

/* ---- threads ---- */

enum { STEPS = 3000, WAITERS = PROBE_THREADS - 1 };

/* A number that one thread raises, step by step, when all the others have seen it. */
struct gate {
    struct kn_wait_list list;
    _Atomic uint32_t roles;
    _Atomic uint64_t step;
    _Atomic uint64_t seen;
};

/* Answers once the gate is past `step`. */
struct pass {
    struct kn_future future;
    struct gate *gate;
    uint64_t step;
    struct kn_wait_node node;
};

static void leave(struct pass *self)
{
    kn_wait_list_lock(&self->gate->list);
    kn_wait_list_remove(&self->gate->list, &self->node);
    kn_wait_list_unlock(&self->gate->list);
}

static struct kn_outcome pass_poll(struct kn_future *future, struct kn_context *context)
{
    struct pass *self = KN_CONTAINER_OF(future, struct pass, future);
    /* One that was woken comes again: the wake-up may have been meant for a step before, by who looked at the line
     * then. */
    kn_wait_list_lock(&self->gate->list);
    if (kn_wait_node_is_woken(&self->node))
        kn_wait_list_remove(&self->gate->list, &self->node);
    kn_wait_list_add(&self->gate->list, &self->node, context->waker);
    kn_wait_list_unlock(&self->gate->list);
    /* Sequentially consistent: see kn_wait_list_is_empty. */
    if (atomic_load_explicit(&self->gate->step, memory_order_seq_cst) == self->step)
        return kn_pending();
    leave(self);
    return kn_ready(KN_NOTHING);
}

static void pass_drop(struct kn_future *future)
{
    leave(KN_CONTAINER_OF(future, struct pass, future));
}

static const struct kn_future_type pass_type = {.name = "pass", .poll = pass_poll, .drop = pass_drop};

static void raise_steps(struct gate *gate)
{
    for (uint64_t step = 1; step <= STEPS; step++) {
        atomic_store_explicit(&gate->seen, 0, memory_order_relaxed);
        /* Sequentially consistent, and seen by who looks after it has added itself; see kn_wait_list_is_empty. */
        atomic_fetch_add_explicit(&gate->step, 1, memory_order_seq_cst);
        if (!kn_wait_list_is_empty(&gate->list))
            kn_wait_list_notify(&gate->list, SIZE_MAX);
        while (atomic_load_explicit(&gate->seen, memory_order_relaxed) < WAITERS)
            sched_yield();
    }
}

static void *raise_or_pass(void *context)
{
    struct gate *gate = context;
    uint32_t role = atomic_fetch_add_explicit(&gate->roles, 1, memory_order_relaxed);
    if (role == 0) {
        raise_steps(gate);
        return NULL;
    }
    for (uint64_t step = 0; step < STEPS; step++) {
        struct pass pass = {.future.type = &pass_type, .gate = gate, .step = step};
        /* Each gives up now and then, and comes again. */
        if (step % 4 == role)
            (void)kn_block_on(&pass.future, (int64_t)(step % 16) * 500);
        pass = (struct pass){.future.type = &pass_type, .gate = gate, .step = step};
        assert_int_equal(kn_block_on(&pass.future, -1).status, KN_READY);
        atomic_fetch_add_explicit(&gate->seen, 1, memory_order_relaxed);
    }
    return NULL;
}

static void no_thread_is_missed_where_looking_for_waiters_takes_no_lock(void **state)
{
    (void)state;
    struct gate gate = {.step = 0};
    probe_threads(raise_or_pass, &gate);
    assert_int_equal(atomic_load(&gate.step), STEPS);
    assert_true(kn_wait_list_is_empty(&gate.list));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_oldest_are_woken_first),
        cmocka_unit_test(a_node_may_leave_wherever_it_is),
        cmocka_unit_test(all_may_leave_and_come_again),
        cmocka_unit_test(taking_a_woken_node_out_tells_so_once),
        cmocka_unit_test(adding_a_node_that_waits_replaces_its_waker_and_keeps_its_place),
        cmocka_unit_test(any_node_may_be_woken_with_the_lock_held),
        cmocka_unit_test(no_thread_is_missed_where_looking_for_waiters_takes_no_lock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
