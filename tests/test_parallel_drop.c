/* Streams on several cores: drops, wakers and threads. */
#include "parallel_scene.h"

/* After `steps` turns of reactors that chance picks, the stream is dropped. @return whether it was done before. */
static bool drop_after(struct kn_runtime *runtime, struct scene *scene, struct kn_future *future, unsigned steps,
                       uint32_t *random)
{
    turn_all(runtime);
    scene_spawn(scene, future, kn_runtime_reactor(runtime, 0), true);
    for (unsigned i = 0; i < steps; i++) {
        *random = *random * 1664525 + 1013904223;
        assert_in_range(kn_reactor_turn(kn_runtime_reactor(runtime, (*random >> 16) % 3), 0), 0, 1);
    }
    bool was_done = scene->is_done;
    kn_task_cancel(&scene->task.task);
    while (!scene->is_done)
        assert_in_range(kn_reactor_turn(kn_runtime_reactor(runtime, 0), 0), 0, 1);
    uint64_t calls = scene->work.calls + scene->shard_work[0].calls + scene->shard_work[1].calls;
    assert_int_equal(scene->counted.live, 0);
    reactors_settle(runtime);
    /* What was taken back is never run, and is off the queues in the end. */
    assert_int_equal(scene->work.calls + scene->shard_work[0].calls + scene->shard_work[1].calls, calls);
    expect_all_given_back(runtime, scene);
    return was_done;
}

static void drop_takes_back_what_has_not_begun(void **state)
{
    (void)state;
    struct kn_runtime_options options = THREE;
    options.turn_tasks = 1; /* turns as short as can be, so that drops fall everywhere */
    struct kn_runtime *runtime = reactors_open(options);
    struct scene *scene = new_scene();
    uint32_t random = 1;
    unsigned done = 0;
    for (unsigned steps = 0; steps < 120; steps++) {
        for (unsigned kind = 0; kind < 4; kind++) {
            struct kn_parallel_options how = {.ordered = kind % 2, .limit = 1 + steps % 7};
            scene->shard_work[0].calls = scene->shard_work[1].calls = scene->work.calls = 0;
            struct kn_future *future =
                kind < 2 ? scene_map(scene, 15, 4, 0, how) : scene_shard(scene, 15, 4, 0, 2, how);
            done += drop_after(runtime, scene, future, steps, &random);
        }
    }
    assert_in_range(done, 1, 4 * 120 - 1); /* before the end, and after it */
    kn_runtime_close(runtime);
    free(scene);
}

static void stream_may_be_dropped_between_answers(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open(THREE);
    struct scene *scene = new_scene();
    for (uint64_t stop_after = 1; stop_after < 40; stop_after++) {
        struct kn_future *future = scene_map(scene, 40, 3, 0, (struct kn_parallel_options){.limit = 8});
        scene->taker.stop_after = stop_after;
        run_by_hand(runtime, scene, future);
        assert_int_equal(scene->taker.taken, stop_after);
        expect_all_given_back(runtime, scene);
    }
    kn_runtime_close(runtime);
    free(scene);
}

static void shards_may_be_anothers_after_a_drop(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open(THREE);
    struct scene *scene = new_scene();
    struct kn_shard kept[3];
    for (unsigned steps = 0; steps < 30; steps++) {
        uint32_t random = steps;
        (void)drop_after(runtime, scene, scene_shard(scene, 40, 0, 0, 3, (struct kn_parallel_options){.limit = 20}),
                         steps, &random);
        memcpy(kept, scene->shards, sizeof kept);
        struct kn_future *future = scene_shard(scene, 40, 0, 0, 3, (struct kn_parallel_options){.limit = 20});
        memcpy(scene->shards, kept, sizeof kept);
        run_by_hand(runtime, scene, future);
        assert_int_equal(scene->taker.taken, 40);
        expect_all_given_back(runtime, scene);
    }
    kn_runtime_close(runtime);
    free(scene);
}

static void memory_may_be_anothers_after_a_drop(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open(THREE);
    turn_all(runtime);
    for (unsigned steps = 0; steps < 12; steps++) {
        struct scene *scene = new_scene();
        scene_spawn(scene, scene_map(scene, 30, 0, 0, (struct kn_parallel_options){0}), kn_runtime_reactor(runtime, 0),
                    true);
        for (unsigned i = 0; i < steps; i++)
            assert_in_range(kn_reactor_turn(kn_runtime_reactor(runtime, i % 3), 0), 0, 1);
        kn_task_cancel(&scene->task.task);
        while (!scene->is_done)
            assert_in_range(kn_reactor_turn(kn_runtime_reactor(runtime, 0), 0), 0, 1);
        free(scene); /* jobs are still queued */
        reactors_settle(runtime);
        for (size_t i = 0; i < 3; i++)
            assert_int_equal(REACTORS_COUNTER(runtime, i, pool_used), 0);
    }
    kn_runtime_close(runtime);
}

static void stale_wakers_of_pool_memory_do_no_harm(void **state)
{
    (void)state;
    enum { STALE = 32 };
    struct kn_runtime *runtime = reactors_open(THREE);
    struct scene *scene = new_scene();
    struct kn_reactor *first = kn_runtime_reactor(runtime, 0);
    struct kn_task *stale[STALE];
    turn_all(runtime);
    assert_int_equal(kn_reactor_turn(first, 0), 0);
    for (unsigned i = 0; i < STALE; i++)
        assert_non_null(stale[i] = kn_reactor_task_acquire(first));
    for (unsigned i = 0; i < STALE; i++)
        kn_reactor_task_give_back(first, stale[i]);
    for (unsigned round = 0; round < 20; round++) {
        scene_spawn(scene, scene_map(scene, 60, 0, 0, (struct kn_parallel_options){.limit = STALE}), first, true);
        for (unsigned i = 0; i < 12; i++) {
            assert_in_range(kn_reactor_turn(kn_runtime_reactor(runtime, i % 3), 0), 0, 1);
            kn_task_cancel(stale[(i + round) % STALE]);
            kn_task_wake(stale[(i * 7 + round) % STALE]);
        }
        reactors_settle(runtime);
        assert_true(scene->is_done);
        assert_int_equal(scene->taker.taken, 60);
        assert_int_equal(scene->work.calls, 60);
        expect_all_given_back(runtime, scene);
    }
    kn_runtime_close(runtime);
    free(scene);
}

/* ---- threads ---- */

static void par_map_of_threads_delivers_every_item_once(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_start((struct kn_runtime_options){
        .reactors = 4, .unpinned = true, .pool_tasks = 512, .bus_messages = 4, .spin_ns = -1});
    struct scene *scenes[3];
    for (size_t i = 0; i < 3; i++)
        scenes[i] = new_scene();
    for (unsigned round = 0; round < 20; round++) {
        for (size_t i = 0; i < 3; i++) {
            struct kn_parallel_options options = {.ordered = round % 2, .limit = 1 + round * 3};
            struct kn_future *future = i < 2 ? scene_map(scenes[i], 1000, 1 + round, 2, options)
                                             : scene_shard(scenes[i], 1000, 1 + round, 2, 5, options);
            scene_spawn(scenes[i], future, kn_runtime_reactor(runtime, i), round % 3 == 0);
        }
        for (size_t i = 0; i < 3; i++) {
            assert_int_equal(kn_task_group_join(&scenes[i]->group, NULL), 0);
            assert_int_equal(scenes[i]->taker.taken, 1000);
            assert_int_equal(scenes[i]->counted.live, 0);
            if (round % 2)
                assert_int_equal(scenes[i]->taker.out_of_order, 0);
        }
    }
    for (size_t i = 0; i < 4; i++)
        REACTORS_AWAIT(REACTORS_COUNTER(runtime, i, pool_used) == 0);
    kn_runtime_close(runtime);
    for (size_t i = 0; i < 3; i++)
        free(scenes[i]);
}

static void drops_at_any_moment_leave_nothing_behind(void **state)
{
    (void)state;
    for (size_t reactors = 2; reactors <= 4; reactors++) {
        struct kn_runtime *runtime = reactors_start((struct kn_runtime_options){
            .reactors = reactors, .unpinned = true, .pool_tasks = 64, .bus_messages = 2, .spin_ns = -1});
        uint32_t random = (uint32_t)reactors;
        for (unsigned round = 0; round < 400; round++) {
            struct scene *scene = new_scene();
            random = random * 1664525 + 1013904223;
            struct kn_parallel_options options = {.ordered = round % 2, .limit = 1 + (random >> 10) % 40};
            struct kn_future *future = round % 3 ? scene_map(scene, 2000, 5, random >> 24, options)
                                                 : scene_shard(scene, 2000, 5, random >> 24, 3, options);
            scene_spawn(scene, future, kn_runtime_reactor(runtime, round % reactors), round % 5 == 0);
            if (round % 4 == 0)
                reactors_nap((random >> 16) % 128 * 1000);
            else
                spin((random >> 16) % 2048);
            kn_task_cancel(&scene->task.task);
            assert_int_equal(kn_task_group_join(&scene->group, NULL), 0);
            assert_int_equal(scene->counted.live, 0);
            free(scene);
        }
        for (size_t i = 0; i < reactors; i++)
            REACTORS_AWAIT(REACTORS_COUNTER(runtime, i, pool_used) == 0);
        kn_runtime_close(runtime);
    }
}

/* A waker that counts. */
struct counting_waker {
    struct kn_waker waker;
    _Atomic unsigned calls;
};

static void count_wake(struct kn_waker *waker)
{
    KN_CONTAINER_OF(waker, struct counting_waker, waker)->calls++;
}

static void waker_of_the_last_poll_is_called_and_no_other(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open(THREE);
    struct kn_reactor *here = kn_runtime_reactor(runtime, 0);
    struct scene *scene = new_scene();
    struct kn_executor executor = {.reactor = here, .budget = KN_EXECUTOR_BUDGET};
    struct counting_waker wakers[2] = {{.waker.wake = count_wake}, {.waker.wake = count_wake}};
    struct kn_reactor *const workers[] = {kn_runtime_reactor(runtime, 1), kn_runtime_reactor(runtime, 2)};
    struct kn_parallel_options options = {.reactors = workers, .reactor_count = 2};
    turn_all(runtime);
    assert_int_equal(kn_reactor_turn(here, 0), 0);
    struct kn_future *future = scene_map(scene, 2, 0, 0, options);
    for (unsigned i = 0; i < 2; i++) {
        struct kn_context context = {.waker = &wakers[i].waker, .executor = &executor, .deadline_ns = KN_NEVER};
        assert_int_equal(kn_future_poll(future, &context).status, KN_PENDING);
    }
    reactors_settle(runtime);
    assert_int_equal(wakers[0].calls, 0);
    assert_int_equal(wakers[1].calls, 1); /* of two that came back */
    kn_future_drop(future);
    reactors_settle(runtime); /* memory goes home */
    expect_all_given_back(runtime, scene);
    kn_runtime_close(runtime);
    free(scene);
}

/* Takes one result and then panics. */
static struct kn_outcome panic_after_one(void *stream, struct kn_context *context)
{
    assert_int_equal(kn_stream_poll(stream, context).status, KN_READY);
    kn_task_panic("a test");
}

static void panics_of_the_task_that_polls_stay_its_own(void **state)
{
    (void)state;
    struct kn_runtime *runtime =
        reactors_open((struct kn_runtime_options){.reactors = 1, .isolate_panics = true, .pool_tasks = 8});
    struct scene *scene = new_scene();
    struct kn_future_poll_fn future;
    (void)scene_map(scene, 4, 0, 0, (struct kn_parallel_options){0});
    scene_spawn(scene, kn_future_poll_fn(&future, panic_after_one, &scene->map.stream), kn_runtime_reactor(runtime, 0),
                true);
    reactors_settle(runtime);
    assert_int_equal(REACTORS_COUNTER(runtime, 0, panics), 1);
    assert_int_equal(scene->work.calls, 1);
    kn_runtime_close(runtime);
    free(scene);
}

/* A waker that takes long, as one does whose thread loses its core. */
struct slow_waker {
    struct kn_waker waker;
    _Atomic bool is_called;
    _Atomic bool has_returned;
};

static void wake_slowly(struct kn_waker *waker)
{
    struct slow_waker *slow = KN_CONTAINER_OF(waker, struct slow_waker, waker);
    slow->is_called = true;
    reactors_nap(2000000);
    slow->has_returned = true;
}

static void drop_waits_for_a_call_of_its_waker(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){.reactors = 2, .pool_tasks = 8});
    struct kn_reactor *here = kn_runtime_reactor(runtime, 0), *there = kn_runtime_reactor(runtime, 1);
    struct scene *scene = new_scene();
    struct kn_executor executor = {.reactor = here, .budget = KN_EXECUTOR_BUDGET};
    turn_all(runtime);
    assert_int_equal(kn_runtime_start(runtime, 1), 0);
    for (unsigned answers = 0; answers < 2;) {
        struct slow_waker slow = {.waker.wake = wake_slowly};
        struct kn_context context = {.waker = &slow.waker, .executor = &executor, .deadline_ns = KN_NEVER};
        struct kn_parallel_options options = {.reactors = &there, .reactor_count = 1};
        struct kn_future *future = scene_map(scene, 1, 0, 0, options);
        assert_in_range(kn_reactor_turn(here, 0), 0, 1);
        if (kn_future_poll(future, &context).status != KN_PENDING)
            continue; /* the other reactor was quicker than this poll */
        REACTORS_AWAIT(kn_reactor_turn(here, 0) >= 0 && slow.is_called);
        if (answers)
            assert_int_equal(kn_future_poll(future, &context).status, KN_READY);
        else
            kn_future_drop(future);
        assert_true(slow.has_returned);
        assert_int_equal(scene->counted.live, 0);
        answers++;
    }
    kn_runtime_close(runtime);
    free(scene);
}

/* A function that itself runs a stream of its own and drops it, as a recursive program would. */
struct nest {
    struct scene *scene;
    struct kn_runtime *runtime;
    _Atomic uint32_t running;
};

static struct kn_outcome nested(kn_value_t value, void *context)
{
    struct nest *nest = context;
    struct scene *scene = new_scene();
    struct kn_local_executor *local = malloc(sizeof *local);
    struct kn_outcome outcome;
    kn_local_executor_init(local, 0);
    local->executor.reactor = kn_reactor_current();
    struct kn_future *future = scene_map(scene, 100, 0, 4, (struct kn_parallel_options){.limit = 8});
    atomic_fetch_add(&nest->running, 1);
    (void)kn_local_executor_poll(local, future, &outcome); /* has answered where the pool is empty */
    spin(200);
    kn_future_drop(future);
    assert_int_equal(scene->counted.live, 0);
    free(local);
    free(scene);
    return kn_ready(value);
}

static void functions_may_drop_streams_of_their_own(void **state)
{
    (void)state;
    struct nest nest = {.scene = new_scene()};
    nest.runtime =
        reactors_start((struct kn_runtime_options){.reactors = 3, .unpinned = true, .pool_tasks = 128, .spin_ns = -1});
    for (unsigned round = 0; round < 10; round++) {
        struct kn_parallel_options options = with_release(nest.scene, (struct kn_parallel_options){.limit = 6});
        nest.scene->is_done = false;
        struct kn_stream *source = counted_init(&nest.scene->counted, 50, 0);
        struct kn_stream *results = kn_stream_par_map(&nest.scene->map, source, nested, &nest, &options);
        scene_spawn(nest.scene, taker_init(&nest.scene->taker, results), kn_runtime_reactor(nest.runtime, 0), false);
        if (round % 2) {
            REACTORS_AWAIT(atomic_load(&nest.running) >= 5 * round);
            kn_task_cancel(&nest.scene->task.task);
        }
        assert_int_equal(kn_task_group_join(&nest.scene->group, NULL), 0);
        assert_int_equal(nest.scene->counted.live, 0);
        if (round % 2 == 0)
            assert_int_equal(nest.scene->taker.taken, 50);
    }
    assert_true(nest.running >= 250);
    for (size_t i = 0; i < 3; i++)
        REACTORS_AWAIT(REACTORS_COUNTER(nest.runtime, i, pool_used) == 0);
    kn_runtime_close(nest.runtime);
    free(nest.scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(drop_takes_back_what_has_not_begun),
        cmocka_unit_test(stream_may_be_dropped_between_answers),
        cmocka_unit_test(shards_may_be_anothers_after_a_drop),
        cmocka_unit_test(memory_may_be_anothers_after_a_drop),
        cmocka_unit_test(stale_wakers_of_pool_memory_do_no_harm),
        cmocka_unit_test(par_map_of_threads_delivers_every_item_once),
        cmocka_unit_test(drops_at_any_moment_leave_nothing_behind),
        cmocka_unit_test(waker_of_the_last_poll_is_called_and_no_other),
        cmocka_unit_test(panics_of_the_task_that_polls_stay_its_own),
        cmocka_unit_test(drop_waits_for_a_call_of_its_waker),
        cmocka_unit_test(functions_may_drop_streams_of_their_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
