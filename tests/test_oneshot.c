#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <kernel/oneshot.h>

#include "async_harness.h"

/* ---- every order, within one thread ---- */

/* A sender that waits for a leaf, then sends; or is dropped, and closes. */
struct sender {
    struct kn_future future;
    struct kn_future *leaf;
    struct kn_oneshot *oneshot;
    struct harness *world;
    bool is_done;
    bool closes;
};

static void sender_drop(struct kn_future *future)
{
    struct sender *self = KN_CONTAINER_OF(future, struct sender, future);
    kn_future_drop(self->leaf);
    if (!self->is_done)
        (void)kn_oneshot_close(self->oneshot);
    self->is_done = true;
}

static struct kn_outcome sender_poll(struct kn_future *future, struct kn_context *context)
{
    struct sender *self = KN_CONTAINER_OF(future, struct sender, future);
    if (kn_future_poll(self->leaf, context).status == KN_PENDING)
        return kn_pending();
    self->is_done = true;
    if (self->closes)
        return kn_failed(kn_oneshot_close(self->oneshot));
    struct harness_object *object = harness_object(self->world, 5);
    int result = kn_oneshot_send(self->oneshot, kn_ready(KN_VALUE(object)));
    if (result < 0)
        harness_object_free(object);
    return kn_failed(result);
}

static const struct kn_future_type sender_type = {.name = "sender", .poll = sender_poll, .drop = sender_drop};

static int finished_count; /* of the present execution */

static void count_finished(struct kn_oneshot *oneshot, void *context)
{
    (void)context;
    finished_count++;
    memset(oneshot, 0x5a, sizeof *oneshot); /* nobody may look at it any more */
}

static struct kn_oneshot *make_oneshot(struct harness *world)
{
    static const struct kn_oneshot_options options = {.release = harness_discard, .finished = count_finished};
    struct kn_oneshot *oneshot = KN_ARENA_NEW(harness_arena(world), struct kn_oneshot);
    assert_non_null(oneshot);
    kn_oneshot_init(oneshot, &options);
    finished_count = 0;
    return oneshot;
}

static struct kn_future *make_sender(struct harness *world, struct kn_oneshot *oneshot, bool closes)
{
    struct sender *self = KN_ARENA_NEW(harness_arena(world), struct sender);
    assert_non_null(self);
    *self = (struct sender){.future.type = &sender_type,
                            .leaf = harness_future(world, 1, kn_ready(KN_NOTHING)),
                            .oneshot = oneshot,
                            .world = world,
                            .closes = closes};
    return &self->future;
}

static void build_pair(struct harness *world, void *context)
{
    const bool *closes = context;
    struct kn_oneshot *oneshot = make_oneshot(world);
    harness_spawn(world, KN_IN(harness_arena(world), kn_future_oneshot, oneshot));
    harness_spawn(world, make_sender(world, oneshot, *closes));
}

static void check_pair(struct harness *world, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)world;
    const bool *closes = context;
    if (task == 1) {
        assert_true(outcome.status == 0 || outcome.status == -EPIPE);
    } else if (outcome.status == KN_READY) {
        assert_false(*closes);
        assert_int_equal(((struct harness_object *)outcome.value.pointer)->number, 5);
    } else {
        assert_int_equal(outcome.status, -EPIPE); /* it closes, or was dropped */
    }
}

static void finished_once(struct harness *world, void *context)
{
    (void)world;
    (void)context;
    assert_int_equal(finished_count, 1);
}

static void oneshot_brings_its_value_or_gives_it_back_in_every_order(void **state)
{
    (void)state;
    bool closes = false;
    struct harness_options options = {.ended = finished_once};
    assert_true(harness_explore(build_pair, check_pair, &closes, &options) > 10);
}

static void oneshot_that_is_closed_fails_in_every_order(void **state)
{
    (void)state;
    bool closes = true;
    struct harness_options options = {.ended = finished_once};
    assert_true(harness_explore(build_pair, check_pair, &closes, &options) > 10);
}

/* Tells the sender's side that nobody waits, then closes. */
struct canceller {
    struct kn_future future;
    struct kn_future_oneshot_cancelled cancelled;
    struct kn_oneshot *oneshot;
};

static void canceller_drop(struct kn_future *future)
{
    struct canceller *self = KN_CONTAINER_OF(future, struct canceller, future);
    kn_future_drop(&self->cancelled.future);
    if (self->oneshot)
        (void)kn_oneshot_close(self->oneshot);
    self->oneshot = NULL;
}

static struct kn_outcome canceller_poll(struct kn_future *future, struct kn_context *context)
{
    struct canceller *self = KN_CONTAINER_OF(future, struct canceller, future);
    if (kn_future_poll(&self->cancelled.future, context).status == KN_PENDING)
        return kn_pending();
    assert_true(kn_oneshot_is_closed(self->oneshot));
    int result = kn_oneshot_close(self->oneshot);
    self->oneshot = NULL;
    return kn_failed(result);
}

static const struct kn_future_type canceller_type = {
    .name = "canceller", .poll = canceller_poll, .drop = canceller_drop};

/* Drops a future when a leaf answers. */
struct dropper {
    struct kn_future future;
    struct kn_future *leaf;
    struct kn_future *victim;
};

static void dropper_drop(struct kn_future *future)
{
    struct dropper *self = KN_CONTAINER_OF(future, struct dropper, future);
    kn_future_drop(self->leaf);
    kn_future_drop(self->victim);
}

static struct kn_outcome dropper_poll(struct kn_future *future, struct kn_context *context)
{
    struct dropper *self = KN_CONTAINER_OF(future, struct dropper, future);
    assert_int_equal(kn_future_poll(self->victim, context).status, KN_PENDING);
    struct kn_outcome outcome = kn_future_poll(self->leaf, context);
    if (outcome.status != KN_PENDING)
        dropper_drop(future);
    return outcome;
}

static const struct kn_future_type dropper_type = {.name = "dropper", .poll = dropper_poll, .drop = dropper_drop};

static void build_cancelled(struct harness *world, void *context)
{
    (void)context;
    struct kn_oneshot *oneshot = make_oneshot(world);
    struct canceller *canceller = KN_ARENA_NEW(harness_arena(world), struct canceller);
    struct dropper *dropper = KN_ARENA_NEW(harness_arena(world), struct dropper);
    assert_non_null(canceller);
    assert_non_null(dropper);
    canceller->future.type = &canceller_type;
    canceller->oneshot = oneshot;
    assert_non_null(kn_future_oneshot_cancelled(&canceller->cancelled, oneshot));
    *dropper = (struct dropper){.future.type = &dropper_type,
                                .leaf = harness_future(world, 1, kn_ready(KN_NOTHING)),
                                .victim = KN_IN(harness_arena(world), kn_future_oneshot, oneshot)};
    harness_spawn(world, &canceller->future);
    harness_spawn(world, &dropper->future);
}

static void check_cancelled(struct harness *world, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)world;
    (void)context;
    assert_int_equal(outcome.status, task == 0 ? -EPIPE : 0);
}

/* The canceller is never dropped before it has seen the receiver go: a closed oneshot would answer the victim. */
static void sender_learns_that_the_receiver_is_gone(void **state)
{
    (void)state;
    struct harness_options options = {.ended = finished_once, .no_drops = true};
    assert_true(harness_explore(build_cancelled, check_cancelled, NULL, &options) > 2);
}

static void build_cancelled_pair(struct harness *world, void *context)
{
    (void)context;
    struct kn_oneshot *oneshot = make_oneshot(world);
    struct canceller *canceller = KN_ARENA_NEW(harness_arena(world), struct canceller);
    assert_non_null(canceller);
    canceller->future.type = &canceller_type;
    canceller->oneshot = oneshot;
    assert_non_null(kn_future_oneshot_cancelled(&canceller->cancelled, oneshot));
    harness_spawn(world, &canceller->future);
    harness_spawn(world, KN_IN(harness_arena(world), kn_future_oneshot, oneshot));
}

static void check_epipe(struct harness *world, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)world;
    (void)task;
    (void)context;
    assert_int_equal(outcome.status, -EPIPE);
}

static void either_end_may_be_dropped_while_the_sender_waits_for_that(void **state)
{
    (void)state;
    struct harness_options options = {.ended = finished_once, .may_wait = true};
    assert_true(harness_explore(build_cancelled_pair, check_epipe, NULL, &options) > 4);
}

static void failures_are_sent_like_values(void **state)
{
    (void)state;
    struct kn_oneshot oneshot;
    struct kn_future_oneshot receiver;
    kn_oneshot_init(&oneshot, NULL);
    assert_int_equal(kn_oneshot_send(&oneshot, kn_failed(-EIO)), 0);
    assert_int_equal(kn_block_on(kn_future_oneshot(&receiver, &oneshot), -1).status, -EIO);
}

static void receiver_without_memory_counts_as_dropped(void **state)
{
    (void)state;
    struct kn_oneshot oneshot;
    kn_oneshot_init(&oneshot, NULL);
    assert_null(kn_future_oneshot(NULL, &oneshot));
    assert_true(kn_oneshot_is_closed(&oneshot));
    assert_int_equal(kn_oneshot_send(&oneshot, kn_ready(KN_NOTHING)), -EPIPE);
}

/* ---- two threads ---- */

enum { ROUNDS = 2000 };

static _Atomic int64_t values_alive;

static void count_release(kn_value_t value, void *context)
{
    (void)value;
    (void)context;
    atomic_fetch_sub(&values_alive, 1);
}

static void free_oneshot(struct kn_oneshot *oneshot, void *context)
{
    (void)context;
    free(oneshot);
}

/* Takes the oneshots that the other thread hands over one by one. */
struct handover {
    struct kn_oneshot *_Atomic next;
};

static void *send_all(void *argument)
{
    struct handover *handover = argument;
    for (int64_t i = 0; i < ROUNDS; i++) {
        struct kn_oneshot *oneshot;
        /* Acquire pairs with the release of the other thread. */
        while (!(oneshot = atomic_exchange_explicit(&handover->next, NULL, memory_order_acquire)))
            kn_cpu_relax();
        if (i % 7 == 3) {
            (void)kn_oneshot_close(oneshot);
            continue;
        }
        atomic_fetch_add(&values_alive, 1);
        if (kn_oneshot_send(oneshot, kn_ready(KN_VALUE(i))) < 0)
            atomic_fetch_sub(&values_alive, 1);
    }
    return NULL;
}

static void memory_is_freed_once_whichever_thread_is_last(void **state)
{
    (void)state;
    static const struct kn_oneshot_options options = {.release = count_release, .finished = free_oneshot};
    struct handover handover = {NULL};
    struct kn_local_executor *local = malloc(sizeof *local);
    pthread_t thread;
    assert_non_null(local);
    kn_local_executor_init(local, 0);
    assert_int_equal(pthread_create(&thread, NULL, send_all, &handover), 0);
    for (int64_t i = 0; i < ROUNDS; i++) {
        struct kn_oneshot *oneshot = malloc(sizeof *oneshot);
        struct kn_future_oneshot receiver;
        assert_non_null(oneshot);
        kn_oneshot_init(oneshot, &options);
        struct kn_future *future = kn_future_oneshot(&receiver, oneshot);
        /* Release pairs with the acquire of the sender. */
        while (atomic_load_explicit(&handover.next, memory_order_relaxed))
            kn_cpu_relax();
        atomic_store_explicit(&handover.next, oneshot, memory_order_release);
        struct kn_outcome outcome = kn_pending();
        if (i % 3 == 0)
            outcome = kn_block_on(future, -1);
        else if (i % 3 == 1)
            (void)kn_local_executor_poll(local, future, &outcome);
        kn_future_drop(future);
        if (outcome.status == KN_READY)
            assert_int_equal(outcome.value.integer, i);
        kn_future_discard_outcome(future, outcome);
    }
    pthread_join(thread, NULL);
    free(local);
    assert_int_equal(atomic_load(&values_alive), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(oneshot_brings_its_value_or_gives_it_back_in_every_order),
        cmocka_unit_test(oneshot_that_is_closed_fails_in_every_order),
        cmocka_unit_test(sender_learns_that_the_receiver_is_gone),
        cmocka_unit_test(either_end_may_be_dropped_while_the_sender_waits_for_that),
        cmocka_unit_test(failures_are_sent_like_values),
        cmocka_unit_test(receiver_without_memory_counts_as_dropped),
        cmocka_unit_test(memory_is_freed_once_whichever_thread_is_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
