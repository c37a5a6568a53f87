/* Futures that are given up: by another thread, or at once. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <kernel/future_select.h>

#include "async_harness.h"

#define NEW(combinator, ...) combinator(KN_ARENA_NEW(harness_arena(world), struct combinator), __VA_ARGS__)

static struct harness *world; /* of this execution */
static struct kn_abort_handle handle;

/* ---- abortable ---- */

static struct kn_outcome abort_it(void *context)
{
    kn_abort_handle_abort(context);
    return kn_ready(KN_NOTHING);
}

static void build_abortable(struct harness *of, void *context)
{
    (void)context;
    world = of;
    handle = (struct kn_abort_handle){.is_aborted = false};
    harness_spawn(world, NEW(kn_future_abortable, harness_owned_future(world, 2, 7), &handle));
    harness_spawn(world, NEW(kn_future_lazy, abort_it, &handle));
}

static void check_abortable(struct harness *of, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)of;
    unsigned *answers = context;
    if (task == 1)
        return;
    assert_true(outcome.status == KN_READY || outcome.status == -ECANCELED);
    assert_true(outcome.status == KN_READY || kn_abort_handle_is_aborted(&handle));
    answers[outcome.status == KN_READY]++;
}

static void abortable_answers_or_is_aborted(void **state)
{
    (void)state;
    unsigned answers[2] = {0};
    struct harness_options no_drops = {.no_drops = true};
    harness_explore(build_abortable, check_abortable, answers, NULL);
    assert_true(answers[0] > 0 && answers[1] > 0);
    harness_explore(build_abortable, check_abortable, answers, &no_drops); /* also fails for who waits for ever */
}

static void build_never(struct harness *of, void *context)
{
    world = of;
    handle = (struct kn_abort_handle){.is_aborted = false};
    harness_spawn(world, NEW(kn_future_abortable, kn_future_pending(context), &handle));
    harness_spawn(world, NEW(kn_future_lazy, abort_it, &handle));
}

static void check_never(struct harness *of, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)of;
    (void)context;
    assert_int_equal(outcome.status, task == 0 ? -ECANCELED : KN_READY);
}

static void abort_wakes_what_would_wait_for_ever(void **state)
{
    (void)state;
    struct kn_future_pending pending;
    struct harness_options no_drops = {.no_drops = true};
    harness_explore(build_never, check_never, &pending, &no_drops);
}

/* Polls an abortable that waits at first; @return whether an abort after its end wakes it. */
static bool is_woken_after_its_end(bool is_dropped)
{
    static struct kn_local_executor local;
    struct kn_future_yield yield;
    struct kn_future_abortable abortable;
    struct kn_outcome outcome;
    handle = (struct kn_abort_handle){.is_aborted = false};
    kn_local_executor_init(&local, 0);
    struct kn_future *future = kn_future_abortable(&abortable, kn_future_yield(&yield), &handle);
    assert_false(kn_local_executor_poll(&local, future, &outcome));
    if (is_dropped)
        kn_future_drop(future);
    else
        assert_true(kn_local_executor_poll(&local, future, &outcome));
    (void)kn_local_executor_context(&local); /* forgets the wake-up of the yield */
    kn_abort_handle_abort(&handle);
    return kn_local_executor_is_woken(&local);
}

static void abort_after_the_end_wakes_nobody(void **state)
{
    (void)state;
    assert_false(is_woken_after_its_end(false));
    assert_false(is_woken_after_its_end(true));
}

/* Rounds between a thread that waits and one that aborts. */
struct rounds {
    struct kn_abort_handle handle;
    _Atomic unsigned begun;
    _Atomic unsigned ended;
    unsigned count;
};

static void *abort_each_round(void *argument)
{
    struct rounds *rounds = argument;
    for (unsigned i = 1; i <= rounds->count; i++) {
        /* Acquire pairs with the release of the other thread: the handle is ready. */
        while (atomic_load_explicit(&rounds->begun, memory_order_acquire) < i)
            sched_yield();
        for (unsigned pauses = 0; pauses < i % 64; pauses++)
            kn_cpu_relax();
        kn_abort_handle_abort(&rounds->handle);
        /* Release pairs with the acquire of the other thread: the handle is not in use. */
        atomic_store_explicit(&rounds->ended, i, memory_order_release);
    }
    return NULL;
}

/* Is woken by itself so many times, then answers. */
static struct kn_outcome count_down(void *context, struct kn_context *poll)
{
    unsigned *left = context;
    if (*left == 0)
        return kn_ready(KN_VALUE(7));
    --*left;
    kn_waker_wake(poll->waker);
    return kn_pending();
}

static void abort_may_come_from_another_thread_while_the_future_ends(void **state)
{
    (void)state;
    static struct rounds rounds;
    rounds.count = 1000;
    unsigned aborted = 0;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, abort_each_round, &rounds), 0);
    for (unsigned i = 1; i <= rounds.count; i++) {
        struct kn_future_poll_fn poll_fn;
        struct kn_future_abortable abortable;
        unsigned left = i % 8 == 0 ? UINT32_MAX : i % 7;
        rounds.handle = (struct kn_abort_handle){.is_aborted = false};
        atomic_store_explicit(&rounds.begun, i, memory_order_release); /* pairs with the acquire above */
        struct kn_future *future = kn_future_poll_fn(&poll_fn, count_down, &left);
        struct kn_outcome outcome = kn_block_on(kn_future_abortable(&abortable, future, &rounds.handle), -1);
        assert_true(outcome.status == -ECANCELED || (outcome.status == KN_READY && outcome.value.integer == 7));
        aborted += outcome.status == -ECANCELED;
        memset(&abortable, 0xa5, sizeof abortable);                           /* nobody uses it any more */
        while (atomic_load_explicit(&rounds.ended, memory_order_acquire) < i) /* pairs with the release above */
            sched_yield();
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(aborted >= rounds.count / 8);
}

static void abort_wakes_a_thread_that_sleeps(void **state)
{
    (void)state;
    static struct rounds rounds;
    rounds.count = 300;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, abort_each_round, &rounds), 0);
    for (unsigned i = 1; i <= rounds.count; i++) {
        struct kn_future_pending pending;
        struct kn_future_abortable abortable;
        rounds.handle = (struct kn_abort_handle){.is_aborted = false};
        atomic_store_explicit(&rounds.begun, i, memory_order_release); /* pairs with the acquire above */
        struct kn_future *future = kn_future_abortable(&abortable, kn_future_pending(&pending), &rounds.handle);
        assert_int_equal(kn_block_on(future, -1).status, -ECANCELED);
        while (atomic_load_explicit(&rounds.ended, memory_order_acquire) < i) /* pairs with the release above */
            sched_yield();
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
}

/* ---- now or never ---- */

static void build_now_or_never(struct harness *of, void *context)
{
    world = of;
    harness_spawn(world, NEW(kn_future_now_or_never, harness_owned_future(world, *(unsigned *)context, 7)));
}

static void check_now_or_never(struct harness *of, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)of;
    (void)task;
    assert_int_equal(outcome.status, *(unsigned *)context == 0 ? KN_READY : -EAGAIN);
}

static void now_or_never_answers_at_once(void **state)
{
    (void)state;
    for (unsigned pendings = 0; pendings < 2; pendings++)
        harness_explore(build_now_or_never, check_now_or_never, &pendings, NULL);
}

/* Looks at a leaf, and then waits for it. */
struct patience {
    struct kn_future future;
    struct kn_future *leaf;
    struct kn_future_poll_immediate look;
    bool has_looked;
};

static struct kn_outcome patience_poll(struct kn_future *future, struct kn_context *context)
{
    struct patience *self = KN_CONTAINER_OF(future, struct patience, future);
    if (self->has_looked)
        return kn_future_poll(self->leaf, context);
    self->has_looked = true;
    struct kn_future *look = kn_future_poll_immediate(&self->look, self->leaf);
    struct kn_outcome outcome = kn_future_poll(look, context);
    kn_future_drop(look);
    return outcome.status == -EAGAIN ? kn_pending() : outcome;
}

static void patience_drop(struct kn_future *future)
{
    kn_future_drop(KN_CONTAINER_OF(future, struct patience, future)->leaf);
}

/* As who takes nothing of a look does. */
static void patience_discard(struct kn_future *future, kn_value_t value)
{
    kn_future_discard(&KN_CONTAINER_OF(future, struct patience, future)->look.future, value);
}

static const struct kn_future_type patience_type = {
    .name = "patience", .poll = patience_poll, .drop = patience_drop, .discard = patience_discard};

static void build_patience(struct harness *of, void *context)
{
    static struct patience memory;
    world = of;
    memory =
        (struct patience){.future.type = &patience_type, .leaf = harness_owned_future(world, *(unsigned *)context, 7)};
    harness_spawn(world, &memory.future);
}

static void check_patience(struct harness *of, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)of;
    (void)task;
    (void)context;
    assert_int_equal(outcome.status, KN_READY);
    assert_int_equal(((struct harness_object *)outcome.value.pointer)->number, 7);
}

static void poll_immediate_leaves_the_future_to_be_polled_on(void **state)
{
    (void)state;
    for (unsigned pendings = 0; pendings < 3; pendings++)
        harness_explore(build_patience, check_patience, &pendings, NULL);
}

/* ---- what is dropped ---- */

struct counted {
    struct kn_future future;
    unsigned drops;
};

static struct kn_outcome counted_poll(struct kn_future *future, struct kn_context *context)
{
    (void)future;
    (void)context;
    return kn_pending();
}

static void counted_drop(struct kn_future *future)
{
    KN_CONTAINER_OF(future, struct counted, future)->drops++;
}

static const struct kn_future_type counted_type = {.name = "counted", .poll = counted_poll, .drop = counted_drop};

static struct kn_outcome poll_once(struct kn_future *future)
{
    static struct kn_local_executor local;
    struct kn_outcome outcome;
    kn_local_executor_init(&local, 0);
    (void)kn_local_executor_poll(&local, future, &outcome);
    return outcome;
}

static void now_or_never_drops_what_was_not_ready(void **state)
{
    (void)state;
    struct counted counted = {.future.type = &counted_type};
    struct kn_future_now_or_never never;
    assert_int_equal(poll_once(kn_future_now_or_never(&never, &counted.future)).status, -EAGAIN);
    assert_int_equal(counted.drops, 1);
}

static void missing_memory_drops_the_future_unless_it_is_lent(void **state)
{
    (void)state;
    struct counted counted = {.future.type = &counted_type};
    struct kn_future_abortable abortable;
    struct kn_future_poll_immediate immediate;
    assert_null(kn_future_abortable(&abortable, &counted.future, NULL));
    assert_null(kn_future_abortable(NULL, &counted.future, &handle));
    assert_null(kn_future_abortable(&abortable, NULL, &handle));
    assert_null(kn_future_now_or_never(NULL, &counted.future));
    assert_int_equal(counted.drops, 3);
    assert_null(kn_future_poll_immediate(NULL, &counted.future)); /* which is lent */
    assert_null(kn_future_poll_immediate(&immediate, NULL));
    assert_int_equal(counted.drops, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(abortable_answers_or_is_aborted),
        cmocka_unit_test(abort_wakes_what_would_wait_for_ever),
        cmocka_unit_test(abort_after_the_end_wakes_nobody),
        cmocka_unit_test(abort_may_come_from_another_thread_while_the_future_ends),
        cmocka_unit_test(abort_wakes_a_thread_that_sleeps),
        cmocka_unit_test(now_or_never_answers_at_once),
        cmocka_unit_test(poll_immediate_leaves_the_future_to_be_polled_on),
        cmocka_unit_test(now_or_never_drops_what_was_not_ready),
        cmocka_unit_test(missing_memory_drops_the_future_unless_it_is_lent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
