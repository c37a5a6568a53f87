/* Semaphores of tasks: first come, first served, and no permit is lost whoever is dropped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <kernel/semaphore.h>

#include "async_locks.h"

/* A task by hand: one waker that counts, and an executor. */
struct hand {
    struct kn_waker waker;
    unsigned wakes;
    struct kn_executor executor;
};

static void count_wake(struct kn_waker *waker)
{
    KN_CONTAINER_OF(waker, struct hand, waker)->wakes++;
}

static struct kn_outcome poll(struct hand *hand, struct kn_future *future)
{
    struct kn_context context = {.waker = &hand->waker, .executor = &hand->executor, .deadline_ns = KN_NEVER};
    hand->waker.wake = count_wake;
    return kn_future_poll(future, &context);
}

static void permits_are_taken_and_given_back(void **state)
{
    (void)state;
    struct kn_semaphore semaphore = KN_SEMAPHORE_INIT(3);
    assert_int_equal(kn_semaphore_try_acquire(&semaphore, 2), 0);
    assert_int_equal(kn_semaphore_available(&semaphore), 1);
    assert_int_equal(kn_semaphore_try_acquire(&semaphore, 2), -EAGAIN);
    assert_int_equal(kn_semaphore_available(&semaphore), 1);
    kn_semaphore_release(&semaphore, 2);
    assert_int_equal(kn_semaphore_try_acquire(&semaphore, 3), 0);
    assert_int_equal(kn_semaphore_try_acquire(&semaphore, 0), 0);
}

static void zeroed_memory_is_a_semaphore_without_permits(void **state)
{
    (void)state;
    struct kn_semaphore zeroed = {.state = 0};
    assert_int_equal(kn_semaphore_try_acquire(&zeroed, 1), -EAGAIN);
    kn_semaphore_release(&zeroed, 1);
    assert_int_equal(kn_semaphore_try_acquire(&zeroed, 1), 0);
}

static void init_gives_as_many_permits_as_there_can_be(void **state)
{
    (void)state;
    struct kn_semaphore semaphore;
    kn_semaphore_init(&semaphore, KN_SEMAPHORE_PERMITS_MAX);
    assert_true(kn_semaphore_available(&semaphore) == KN_SEMAPHORE_PERMITS_MAX);
    assert_int_equal(kn_semaphore_try_acquire(&semaphore, KN_SEMAPHORE_PERMITS_MAX), 0);
    assert_int_equal(kn_semaphore_available(&semaphore), 0);
    kn_semaphore_release(&semaphore, KN_SEMAPHORE_PERMITS_MAX);
    assert_int_equal(kn_semaphore_try_acquire(&semaphore, 1), 0);
}

static void acquire_answers_at_once_where_permits_are(void **state)
{
    (void)state;
    struct kn_semaphore semaphore = KN_SEMAPHORE_INIT(2);
    struct kn_semaphore_acquire acquire;
    struct hand hand = {.wakes = 0};
    assert_int_equal(poll(&hand, kn_semaphore_acquire(&acquire, &semaphore, 2)).status, KN_READY);
    kn_future_drop(&acquire.future); /* the caller has them */
    assert_int_equal(kn_semaphore_available(&semaphore), 0);
}

static void nothing_is_taken_before_the_first_poll(void **state)
{
    (void)state;
    struct kn_semaphore semaphore = KN_SEMAPHORE_INIT(1);
    struct kn_semaphore_acquire acquire;
    kn_semaphore_acquire(&acquire, &semaphore, 1);
    assert_int_equal(kn_semaphore_available(&semaphore), 1);
    kn_future_drop(&acquire.future);
    assert_int_equal(kn_semaphore_available(&semaphore), 1);
}

static void who_wants_many_is_not_overtaken(void **state)
{
    (void)state;
    struct kn_semaphore semaphore = KN_SEMAPHORE_INIT(1);
    struct kn_semaphore_acquire many;
    struct kn_semaphore_acquire one;
    struct hand hands[2] = {{.wakes = 0}};
    assert_int_equal(poll(&hands[0], kn_semaphore_acquire(&many, &semaphore, 3)).status, KN_PENDING);
    assert_int_equal(kn_semaphore_try_acquire(&semaphore, 1), -EAGAIN);
    assert_int_equal(poll(&hands[1], kn_semaphore_acquire(&one, &semaphore, 1)).status, KN_PENDING);
    kn_semaphore_release(&semaphore, 1);
    assert_int_equal(kn_semaphore_available(&semaphore), 2);
    assert_int_equal(poll(&hands[0], &many.future).status, KN_PENDING);
    kn_semaphore_release(&semaphore, 2);
    assert_int_equal(hands[0].wakes, 1);
    assert_int_equal(hands[1].wakes, 1); /* one was left */
    assert_int_equal(kn_semaphore_available(&semaphore), 0);
    assert_int_equal(poll(&hands[1], &one.future).status, KN_READY);
    assert_int_equal(poll(&hands[0], &many.future).status, KN_READY);
}

static void who_leaves_the_front_lets_the_next_have_what_is_enough_for_him(void **state)
{
    (void)state;
    struct kn_semaphore semaphore = KN_SEMAPHORE_INIT(1);
    struct kn_semaphore_acquire many;
    struct kn_semaphore_acquire one;
    struct hand hands[2] = {{.wakes = 0}};
    assert_int_equal(poll(&hands[0], kn_semaphore_acquire(&many, &semaphore, 2)).status, KN_PENDING);
    assert_int_equal(poll(&hands[1], kn_semaphore_acquire(&one, &semaphore, 1)).status, KN_PENDING);
    kn_future_drop(&many.future);
    assert_int_equal(hands[0].wakes, 0);
    assert_int_equal(hands[1].wakes, 1);
    assert_int_equal(poll(&hands[1], &one.future).status, KN_READY);
}

static void permits_given_to_a_future_that_is_dropped_go_to_the_next(void **state)
{
    (void)state;
    struct kn_semaphore semaphore = KN_SEMAPHORE_INIT(0);
    struct kn_semaphore_acquire acquires[2];
    struct hand hands[2] = {{.wakes = 0}};
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(poll(&hands[i], kn_semaphore_acquire(&acquires[i], &semaphore, 1)).status, KN_PENDING);
    kn_semaphore_release(&semaphore, 1);
    assert_int_equal(hands[0].wakes, 1);
    kn_future_drop(&acquires[0].future);
    kn_future_drop(&acquires[0].future);
    assert_int_equal(hands[1].wakes, 1);
    kn_future_drop(&acquires[1].future);
    assert_int_equal(kn_semaphore_available(&semaphore), 1);
}

static void an_answer_that_nobody_takes_gives_its_permits_back(void **state)
{
    (void)state;
    struct kn_semaphore semaphore = KN_SEMAPHORE_INIT(2);
    struct kn_semaphore_acquire acquire;
    struct hand hand = {.wakes = 0};
    struct kn_outcome outcome = poll(&hand, kn_semaphore_acquire(&acquire, &semaphore, 2));
    kn_future_drop(&acquire.future);
    kn_future_discard_outcome(&acquire.future, outcome);
    assert_int_equal(kn_semaphore_available(&semaphore), 2);
}

static void a_poll_with_another_waker_replaces_the_first(void **state)
{
    (void)state;
    struct kn_semaphore semaphore = KN_SEMAPHORE_INIT(0);
    struct kn_semaphore_acquire acquire;
    struct hand hands[2] = {{.wakes = 0}};
    assert_int_equal(poll(&hands[0], kn_semaphore_acquire(&acquire, &semaphore, 1)).status, KN_PENDING);
    assert_int_equal(poll(&hands[1], &acquire.future).status, KN_PENDING);
    kn_semaphore_release(&semaphore, 1);
    assert_int_equal(hands[0].wakes, 0);
    assert_int_equal(hands[1].wakes, 1);
    assert_int_equal(poll(&hands[1], &acquire.future).status, KN_READY);
}

static void close_makes_waiting_and_coming_tasks_fail(void **state)
{
    (void)state;
    struct kn_semaphore semaphore = KN_SEMAPHORE_INIT(0);
    struct kn_semaphore_acquire given;
    struct kn_semaphore_acquire waiting;
    struct kn_semaphore_acquire coming;
    struct hand hands[3] = {{.wakes = 0}};
    assert_int_equal(poll(&hands[0], kn_semaphore_acquire(&given, &semaphore, 1)).status, KN_PENDING);
    assert_int_equal(poll(&hands[1], kn_semaphore_acquire(&waiting, &semaphore, 1)).status, KN_PENDING);
    kn_semaphore_release(&semaphore, 1);
    assert_false(kn_semaphore_is_closed(&semaphore));
    kn_semaphore_close(&semaphore);
    kn_semaphore_close(&semaphore);
    assert_true(kn_semaphore_is_closed(&semaphore));
    assert_int_equal(hands[1].wakes, 1);
    assert_int_equal(poll(&hands[1], &waiting.future).status, -EPIPE);
    assert_int_equal(poll(&hands[2], kn_semaphore_acquire(&coming, &semaphore, 1)).status, -EPIPE);
    assert_int_equal(kn_semaphore_try_acquire(&semaphore, 1), -EPIPE);
    /* What was given before stays given. */
    assert_int_equal(poll(&hands[0], &given.future).status, KN_READY);
    kn_semaphore_release(&semaphore, 1);
    assert_int_equal(kn_semaphore_available(&semaphore), 1);
    assert_int_equal(kn_semaphore_try_acquire(&semaphore, 1), -EPIPE);
}

static void a_refused_future_that_is_dropped_gives_nothing_back(void **state)
{
    (void)state;
    struct kn_semaphore semaphore = KN_SEMAPHORE_INIT(0);
    struct kn_semaphore_acquire acquire;
    struct hand hand = {.wakes = 0};
    assert_int_equal(poll(&hand, kn_semaphore_acquire(&acquire, &semaphore, 1)).status, KN_PENDING);
    kn_semaphore_close(&semaphore);
    kn_future_drop(&acquire.future);
    assert_int_equal(kn_semaphore_available(&semaphore), 0);
}

static void guarded_holds_nothing_once_it_has_answered(void **state)
{
    (void)state;
    struct kn_semaphore semaphore = KN_SEMAPHORE_INIT(2);
    struct kn_semaphore_guarded guarded;
    struct kn_future_yield yield;
    struct hand hand = {.wakes = 0};
    struct kn_future *future = kn_semaphore_guarded(&guarded, &semaphore, 2, kn_future_yield(&yield));
    assert_int_equal(poll(&hand, future).status, KN_PENDING);
    assert_int_equal(kn_semaphore_available(&semaphore), 0);
    assert_int_equal(poll(&hand, future).status, KN_READY);
    assert_int_equal(kn_semaphore_available(&semaphore), 2);
    kn_future_drop(future);
    assert_int_equal(kn_semaphore_available(&semaphore), 2);
}

static struct kn_outcome never_polled(struct kn_future *future, struct kn_context *context)
{
    (void)future;
    (void)context;
    fail_msg("polled without permits");
    return kn_pending();
}

/* A future that only counts its drops. */
struct dropped {
    struct kn_future future;
    unsigned drops;
};

static void count_drop(struct kn_future *future)
{
    KN_CONTAINER_OF(future, struct dropped, future)->drops++;
}

static void guarded_drops_its_future_unpolled_when_it_is_refused(void **state)
{
    (void)state;
    static const struct kn_future_type type = {.name = "dropped", .poll = never_polled, .drop = count_drop};
    struct kn_semaphore semaphore = KN_SEMAPHORE_INIT(1);
    struct kn_semaphore_guarded guarded;
    struct dropped inner = {.future.type = &type};
    struct hand hand = {.wakes = 0};
    kn_semaphore_close(&semaphore);
    struct kn_future *future = kn_semaphore_guarded(&guarded, &semaphore, 1, &inner.future);
    assert_int_equal(poll(&hand, future).status, -EPIPE);
    assert_int_equal(inner.drops, 1);
}

static void null_makes_null(void **state)
{
    (void)state;
    struct kn_semaphore semaphore = KN_SEMAPHORE_INIT(1);
    struct kn_semaphore_acquire acquire;
    struct kn_semaphore_guarded guarded;
    struct kn_future_pending pending;
    assert_null(kn_semaphore_acquire(NULL, &semaphore, 1));
    assert_null(kn_semaphore_acquire(&acquire, NULL, 1));
    assert_null(kn_semaphore_guarded(NULL, &semaphore, 1, kn_future_pending(&pending)));
    assert_null(kn_semaphore_guarded(&guarded, NULL, 1, kn_future_pending(&pending)));
    assert_null(kn_semaphore_guarded(&guarded, &semaphore, 1, NULL));
}

/* ---- all orders ---- */

enum { WORLD_PERMITS = 2, WORLD_TASKS = 3 };

/* A program: tasks that hold permits across a wait. */
struct program {
    struct kn_semaphore semaphore;
    unsigned wants[WORLD_TASKS];
    unsigned tasks;
    unsigned used;
    bool closes; /* one more task closes it */
};

/* Never does anybody wait for permits that are there. */
static void check_line(const struct kn_semaphore *semaphore)
{
    const struct kn_wait_node *first = kn_wait_list_first(&semaphore->waiters);
    assert_int_equal((semaphore->state & KN_SEMAPHORE_WAITING) != 0, first != NULL);
    assert_int_equal(kn_wait_list_is_empty(&semaphore->waiters), first == NULL);
    if (first)
        assert_true(kn_semaphore_available(semaphore) < first->wanted);
}

static void look_at_task(struct probe *probe, enum probe_event event)
{
    struct program *program = probe->context;
    if (event == PROBE_ANSWERS && program->closes)
        assert_true(probe->outcome.status == KN_READY || probe->outcome.status == -EPIPE);
    else if (event == PROBE_ANSWERS)
        assert_int_equal(probe->outcome.status, KN_READY);
    check_line(&program->semaphore);
}

static void look_at_holder(struct probe *probe, enum probe_event event)
{
    struct program *program = probe->context;
    if (event == PROBE_BEGINS)
        program->used += program->wants[probe->number];
    else if (event != PROBE_WAITS)
        program->used -= program->wants[probe->number];
    assert_true(program->used <= WORLD_PERMITS);
}

static struct kn_outcome close_it(void *context)
{
    kn_semaphore_close(&((struct program *)context)->semaphore);
    check_line(&((struct program *)context)->semaphore);
    return kn_ready(KN_NOTHING);
}

static void build(struct harness *world, void *context)
{
    struct program *program = context;
    struct kn_arena *arena = harness_arena(world);
    kn_semaphore_init(&program->semaphore, WORLD_PERMITS);
    program->used = 0;
    for (unsigned i = 0; i < program->tasks; i++) {
        struct kn_future *holder = KN_IN(arena, probe, harness_owned_future(world, 1, i), i, look_at_holder, program);
        struct kn_future *task = KN_IN(arena, kn_semaphore_guarded, &program->semaphore, program->wants[i], holder);
        harness_spawn(world, KN_IN(arena, probe, task, i, look_at_task, program));
    }
    if (program->closes)
        harness_spawn(world, KN_IN(arena, kn_future_lazy, close_it, program));
}

static void check_permits(struct harness *world, void *context)
{
    (void)world;
    const struct program *program = context;
    assert_int_equal(program->used, 0);
    assert_int_equal(kn_semaphore_available(&program->semaphore), WORLD_PERMITS);
    check_line(&program->semaphore);
}

static void explore(struct program *program)
{
    struct harness_options options = {.ended = check_permits};
    uint64_t executions = harness_explore(build, NULL, program, &options);
    print_message("%llu executions\n", (unsigned long long)executions);
}

static void no_permit_is_lost_or_doubled_in_any_order(void **state)
{
    (void)state;
    explore(&(struct program){.tasks = 2, .wants = {2, 2}});
    explore(&(struct program){.tasks = 3, .wants = {1, 2, 1}});
}

static void close_ends_all_waiting_in_any_order(void **state)
{
    (void)state;
    explore(&(struct program){.tasks = 2, .wants = {2, 1}, .closes = true});
}

/* ---- threads ---- */

enum { ROUNDS = 2000, SHARED_PERMITS = 3 };

struct shared {
    struct kn_semaphore semaphore;
    _Atomic uint32_t used;
};

static void *use(void *context)
{
    struct shared *shared = context;
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct kn_semaphore_acquire acquire;
        uint32_t wanted = 1 + i % SHARED_PERMITS;
        /* One in four gives up soon: perhaps when it was just given them. */
        int64_t timeout_ns = i % 4 == 3 ? (int64_t)(i % 32) * 1000 : -1;
        struct kn_outcome outcome = kn_block_on(kn_semaphore_acquire(&acquire, &shared->semaphore, wanted), timeout_ns);
        if (outcome.status == -ETIMEDOUT)
            continue;
        assert_int_equal(outcome.status, KN_READY);
        uint32_t before = atomic_fetch_add_explicit(&shared->used, wanted, memory_order_relaxed);
        assert_true(before + wanted <= SHARED_PERMITS);
        atomic_fetch_sub_explicit(&shared->used, wanted, memory_order_relaxed);
        kn_semaphore_release(&shared->semaphore, wanted);
    }
    return NULL;
}

static void threads_never_use_more_permits_than_there_are(void **state)
{
    (void)state;
    struct shared shared = {.semaphore = KN_SEMAPHORE_INIT(SHARED_PERMITS)};
    probe_threads(use, &shared);
    assert_int_equal(kn_semaphore_available(&shared.semaphore), SHARED_PERMITS);
    check_line(&shared.semaphore);
}

static void *use_until_closed(void *context)
{
    struct shared *shared = context;
    struct kn_outcome outcome;
    do {
        struct kn_semaphore_acquire acquire;
        outcome = kn_block_on(kn_semaphore_acquire(&acquire, &shared->semaphore, 2), -1);
        if (outcome.status != KN_READY)
            break;
        /* Whoever is the hundredth closes it while the others come and wait. */
        if (atomic_fetch_add_explicit(&shared->used, 1, memory_order_relaxed) == 99)
            kn_semaphore_close(&shared->semaphore);
        kn_semaphore_release(&shared->semaphore, 2);
    } while (true);
    assert_int_equal(outcome.status, -EPIPE);
    return NULL;
}

static void close_lets_threads_go(void **state)
{
    (void)state;
    struct shared shared = {.semaphore = KN_SEMAPHORE_INIT(SHARED_PERMITS)};
    probe_threads(use_until_closed, &shared);
    assert_true(atomic_load(&shared.used) >= 100);
    assert_int_equal(kn_semaphore_available(&shared.semaphore), SHARED_PERMITS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(permits_are_taken_and_given_back),
        cmocka_unit_test(zeroed_memory_is_a_semaphore_without_permits),
        cmocka_unit_test(init_gives_as_many_permits_as_there_can_be),
        cmocka_unit_test(acquire_answers_at_once_where_permits_are),
        cmocka_unit_test(nothing_is_taken_before_the_first_poll),
        cmocka_unit_test(who_wants_many_is_not_overtaken),
        cmocka_unit_test(who_leaves_the_front_lets_the_next_have_what_is_enough_for_him),
        cmocka_unit_test(permits_given_to_a_future_that_is_dropped_go_to_the_next),
        cmocka_unit_test(an_answer_that_nobody_takes_gives_its_permits_back),
        cmocka_unit_test(a_poll_with_another_waker_replaces_the_first),
        cmocka_unit_test(close_makes_waiting_and_coming_tasks_fail),
        cmocka_unit_test(a_refused_future_that_is_dropped_gives_nothing_back),
        cmocka_unit_test(guarded_holds_nothing_once_it_has_answered),
        cmocka_unit_test(guarded_drops_its_future_unpolled_when_it_is_refused),
        cmocka_unit_test(null_makes_null),
        cmocka_unit_test(no_permit_is_lost_or_doubled_in_any_order),
        cmocka_unit_test(close_ends_all_waiting_in_any_order),
        cmocka_unit_test(threads_never_use_more_permits_than_there_are),
        cmocka_unit_test(close_lets_threads_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
