/* Streams on several cores: what comes out of them. */
#include "parallel_scene.h"

#include "async_harness.h"

/* ---- without other cores: the laws, exhausted by the harness ---- */

static struct kn_outcome twice(kn_value_t value, void *context)
{
    (void)context;
    struct harness_object *object = value.pointer;
    object->number *= 2;
    if (object->number == 8) {
        harness_object_free(object);
        return kn_failed(-EDOM);
    }
    return kn_ready(value);
}

static const struct harness_item one_two_fails_three[] = {{1, {KN_READY, {.integer = 1}}},
                                                          {0, {KN_READY, {.integer = 2}}},
                                                          {1, {-EIO, {0}}},
                                                          {0, {KN_READY, {.integer = 3}}}};
static const struct kn_parallel_options owned_results = {.release = harness_discard, .ordered = true};

/* Adds up results and failures, as decimal digits. */
struct digits {
    struct kn_future future;
    struct kn_stream *stream;
    int64_t sum;
};

static struct kn_outcome digits_poll(struct kn_future *future, struct kn_context *context)
{
    struct digits *digits = KN_CONTAINER_OF(future, struct digits, future);
    for (;;) {
        struct kn_outcome outcome = kn_stream_poll(digits->stream, context);
        if (outcome.status == KN_PENDING)
            return outcome;
        if (outcome.status == KN_END)
            return kn_ready(KN_VALUE(digits->sum));
        digits->sum =
            digits->sum * 10 + (outcome.status < 0 ? 9 : ((struct harness_object *)outcome.value.pointer)->number);
        kn_stream_discard_outcome(digits->stream, outcome);
    }
}

static void digits_drop(struct kn_future *future)
{
    kn_stream_drop(KN_CONTAINER_OF(future, struct digits, future)->stream);
}

static const struct kn_future_type digits_type = {.name = "digits", .poll = digits_poll, .drop = digits_drop};

static struct kn_future *digits_of(struct harness *world, struct kn_stream *stream)
{
    struct digits *digits = KN_ARENA_NEW(harness_arena(world), struct digits);
    assert_non_null(stream);
    *digits = (struct digits){.future.type = &digits_type, .stream = stream};
    return &digits->future;
}

static void build_map(struct harness *world, void *context)
{
    (void)context;
    struct kn_stream *source = harness_owned_stream(world, one_two_fails_three, 4);
    harness_spawn(
        world, digits_of(world, KN_IN(harness_arena(world), kn_stream_par_map, source, twice, NULL, &owned_results)));
}

static void expect_digits(struct harness *world, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)world;
    (void)task;
    assert_int_equal(outcome.status, KN_READY);
    assert_int_equal(outcome.value.integer, *(const int64_t *)context);
}

static void par_map_without_reactors_is_a_map(void **state)
{
    (void)state;
    int64_t expected = 2496;
    assert_true(harness_explore(build_map, expect_digits, &expected, NULL) > 10);
}

static uint64_t key_of_object(kn_value_t value, void *context)
{
    (void)context;
    return (uint64_t)((struct harness_object *)value.pointer)->number;
}

static void build_shard(struct harness *world, void *context)
{
    (void)context;
    struct kn_stream *source = harness_owned_stream(world, one_two_fails_three, 4);
    struct kn_shard *shards = kn_arena_allocate(harness_arena(world), 3 * sizeof *shards, _Alignof(struct kn_shard));
    memset(shards, 0, 3 * sizeof *shards);
    harness_spawn(world, digits_of(world, KN_IN(harness_arena(world), kn_stream_shard, source, key_of_object, twice,
                                                NULL, shards, 3, &owned_results)));
}

static void shard_without_reactors_is_a_map(void **state)
{
    (void)state;
    int64_t expected = 2496;
    assert_true(harness_explore(build_shard, expect_digits, &expected, NULL) > 10);
}

static const struct harness_item one_two_four[] = {
    {1, {KN_READY, {.integer = 1}}}, {0, {KN_READY, {.integer = 2}}}, {1, {KN_READY, {.integer = 4}}}};

static void build_for_each(struct harness *world, void *context)
{
    const size_t *count = context;
    struct kn_stream *source = harness_owned_stream(world, one_two_four, *count);
    harness_spawn(world, KN_IN(harness_arena(world), kn_stream_par_for_each, source, twice, NULL, &owned_results));
}

static void expect_success_of_two(struct harness *world, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)world;
    (void)task;
    /* The third one fails. */
    assert_int_equal(outcome.status, *(const size_t *)context < 3 ? KN_READY : -EDOM);
}

static void par_for_each_answers_with_the_first_failure(void **state)
{
    (void)state;
    for (size_t count = 0; count <= 3; count++)
        assert_true(harness_explore(build_for_each, expect_success_of_two, &count, NULL) > 1);
}

static void build_for_each_of_failing(struct harness *world, void *context)
{
    (void)context;
    struct kn_stream *source = harness_owned_stream(world, one_two_fails_three, 4);
    harness_spawn(world, KN_IN(harness_arena(world), kn_stream_par_for_each, source, twice, NULL, &owned_results));
}

static void expect_io_error(struct harness *world, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)world;
    (void)task;
    (void)context;
    assert_int_equal(outcome.status, -EIO);
}

static void par_for_each_answers_with_a_failure_of_its_source(void **state)
{
    (void)state;
    assert_true(harness_explore(build_for_each_of_failing, expect_io_error, NULL, NULL) > 10);
}

static void missing_parts_make_null_and_drop_the_source(void **state)
{
    (void)state;
    struct kn_shard shard = {.context = NULL};
    static struct kn_stream_par_map map;
    static struct kn_stream_shard shards;
    static struct kn_stream_par_for_each each;
    assert_null(kn_stream_par_map(&map, NULL, work, NULL, NULL));
    assert_null(kn_stream_par_for_each(&each, NULL, work, NULL, NULL));
    assert_null(kn_stream_shard(&shards, NULL, number_of, work, NULL, &shard, 1, NULL));
    struct counted *counted = &new_scene()->counted;
    assert_null(kn_stream_par_map(NULL, counted_init(counted, 1, 0), work, NULL, NULL));
    assert_null(kn_stream_par_for_each(NULL, counted_init(counted, 1, 0), work, NULL, NULL));
    assert_null(kn_stream_shard(&shards, counted_init(counted, 1, 0), number_of, work, NULL, NULL, 1, NULL));
    assert_null(kn_stream_shard(&shards, counted_init(counted, 1, 0), number_of, work, NULL, &shard, 0, NULL));
    free(KN_CONTAINER_OF(counted, struct scene, counted));
}

/* ---- several reactors, turned by hand ---- */

static void par_map_spreads_items_over_the_reactors(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open(THREE);
    struct scene *scene = new_scene();
    run_by_hand(runtime, scene, scene_map(scene, 300, 7, 0, (struct kn_parallel_options){0}));
    assert_int_equal(scene->taker.taken, 300);
    assert_int_equal(scene->work.calls, 300);
    unsigned done[3] = {0};
    for (size_t i = 0; i < 300; i++)
        done[kn_reactor_index(scene->counted.items[i].worker)]++;
    for (size_t i = 0; i < 3; i++)
        assert_true(done[i] > 30);
    expect_all_given_back(runtime, scene);
    kn_runtime_close(runtime);
    free(scene);
}

static void par_map_keeps_the_order_where_told_to(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open(THREE);
    struct scene *scene = new_scene();
    for (size_t limit = 1; limit < 10; limit++) {
        struct kn_parallel_options options = {.ordered = true, .limit = limit};
        run_by_hand(runtime, scene, scene_map(scene, 100, 5, 0, options));
        assert_int_equal(scene->taker.taken, 100);
        assert_int_equal(scene->taker.out_of_order, 0);
        expect_all_given_back(runtime, scene);
    }
    kn_runtime_close(runtime);
    free(scene);
}

static void par_map_answers_in_the_order_of_completion_otherwise(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open(THREE);
    struct kn_reactor *const workers[] = {kn_runtime_reactor(runtime, 1), kn_runtime_reactor(runtime, 2)};
    struct scene *scene = new_scene();
    struct kn_parallel_options options = {.reactors = workers, .reactor_count = 2, .limit = 4};
    turn_all(runtime);
    scene_spawn(scene, scene_map(scene, 4, 0, 0, options), kn_runtime_reactor(runtime, 0), true);
    assert_int_equal(kn_reactor_turn(kn_runtime_reactor(runtime, 0), 0), 1);
    assert_int_equal(kn_reactor_turn(workers[1], 0), 1); /* the items 1 and 3 */
    assert_int_equal(kn_reactor_turn(kn_runtime_reactor(runtime, 0), 0), 1);
    assert_int_equal(scene->taker.taken, 2);
    reactors_settle(runtime);
    assert_true(scene->is_done);
    assert_int_equal(scene->taker.taken, 4);
    assert_memory_equal(scene->taker.first, ((const uint64_t[]){1, 3, 0, 2}), sizeof scene->taker.first);
    expect_all_given_back(runtime, scene);
    kn_runtime_close(runtime);
    free(scene);
}

static void par_map_has_no_more_under_way_than_its_limit(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open(THREE);
    struct scene *scene = new_scene();
    turn_all(runtime);
    scene_spawn(scene, scene_map(scene, 100, 0, 0, (struct kn_parallel_options){.limit = 5, .ordered = true}),
                kn_runtime_reactor(runtime, 0), true);
    while (!scene->is_done) {
        for (size_t i = 0; i < 3; i++) {
            assert_in_range(kn_reactor_turn(kn_runtime_reactor(runtime, i), 0), 0, 1);
            assert_in_range(scene->counted.made - scene->taker.taken, 0, 5);
        }
    }
    expect_all_given_back(runtime, scene);
    kn_runtime_close(runtime);
    free(scene);
}

static void failures_take_their_place_in_the_order(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open(THREE);
    struct scene *scene = new_scene();
    for (unsigned ordered = 0; ordered < 2; ordered++) {
        struct kn_future *future = scene_map(scene, 50, 3, 0, (struct kn_parallel_options){.ordered = ordered});
        scene->counted.fails_at = 20;
        scene->work.fails_at = 30;
        run_by_hand(runtime, scene, future);
        assert_int_equal(scene->taker.taken, 48);
        assert_int_equal(scene->taker.failed, 2);
        assert_int_equal(scene->work.calls, 49);
        if (ordered)
            assert_int_equal(scene->taker.out_of_order, 0);
        expect_all_given_back(runtime, scene);
    }
    kn_runtime_close(runtime);
    free(scene);
}

static void par_for_each_stops_at_the_first_failure(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open(THREE);
    struct scene *scene = new_scene();
    for (uint64_t fails_at = 0; fails_at <= 100; fails_at += 10) {
        (void)scene_map(scene, 100, 3, 0, (struct kn_parallel_options){0});
        struct kn_parallel_options options = with_release(scene, (struct kn_parallel_options){.limit = 6});
        scene->work.fails_at = fails_at;
        struct kn_future *each =
            kn_stream_par_for_each(&scene->each, &scene->counted.stream, work, &scene->work, &options);
        run_by_hand(runtime, scene, each);
        assert_int_equal(scene->outcome.status, fails_at < 100 ? -EDOM : KN_READY);
        /* The others went on while the one that fails waited for its reactor's turn. */
        assert_in_range(scene->work.calls, fails_at < 100 ? fails_at / 2 : 100, fails_at + 20);
        expect_all_given_back(runtime, scene);
    }
    kn_runtime_close(runtime);
    free(scene);
}

static void broken_invariant_of_a_function_is_a_failure_where_panics_are_isolated(void **state)
{
    (void)state;
    struct kn_runtime_options options = THREE;
    options.isolate_panics = true;
    struct kn_runtime *runtime = reactors_open(options);
    struct scene *scene = new_scene();
    for (uint64_t broken = 0; broken < 6; broken++) {
        struct kn_future *future = scene_map(scene, 50, 3, 0, (struct kn_parallel_options){.ordered = true});
        scene->work.fails_at = broken;
        scene->work.breaks = true;
        run_by_hand(runtime, scene, future);
        assert_int_equal(scene->taker.taken, 49);
        assert_int_equal(scene->taker.failed, 1);
        expect_all_given_back(runtime, scene);
    }
    kn_runtime_close(runtime);
    free(scene);
}

static void streams_do_the_work_themselves_where_nobody_else_can(void **state)
{
    (void)state;
    struct kn_runtime_options each[] = {
        {.reactors = 1, .pool_tasks = 256},                         /* no other reactor */
        {.reactors = 3},                                            /* no pool */
        {.reactors = 3, .pool_tasks = 256, .pool_task_bytes = 128}, /* too small objects */
    };
    struct scene *scene = new_scene();
    for (size_t i = 0; i < sizeof each / sizeof each[0]; i++) {
        struct kn_runtime *runtime = reactors_open(each[i]);
        run_by_hand(runtime, scene, scene_map(scene, 100, 5, 0, (struct kn_parallel_options){0}));
        assert_int_equal(scene->taker.taken, 100);
        assert_int_equal(scene->taker.out_of_order, 0);
        for (size_t j = 0; j < 100; j++)
            assert_int_equal(kn_reactor_index(scene->counted.items[j].worker), 0);
        run_by_hand(runtime, scene, scene_shard(scene, 100, 5, 0, 3, (struct kn_parallel_options){0}));
        assert_int_equal(scene->taker.taken, 100);
        expect_all_given_back(runtime, scene);
        kn_runtime_close(runtime);
    }
    free(scene);
}

static void jobs_are_not_sent_to_reactors_that_do_not_run(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open(THREE);
    struct scene *scene = new_scene();
    struct kn_reactor *first = kn_runtime_reactor(runtime, 0);
    struct kn_reactor *second = kn_runtime_reactor(runtime, 1);
    scene_spawn(scene, scene_map(scene, 10, 0, 0, (struct kn_parallel_options){0}), first, true);
    while (!scene->is_done)
        assert_int_equal(kn_reactor_turn(first, 0), 1);
    assert_int_equal(scene->taker.taken, 10);
    assert_int_equal(kn_reactor_turn(second, 0), 0);
    scene_spawn(scene, scene_map(scene, 10, 0, 0, (struct kn_parallel_options){0}), first, true);
    while (!scene->is_done) {
        assert_in_range(kn_reactor_turn(first, 0), 0, 1);
        assert_in_range(kn_reactor_turn(second, 0), 0, 1);
    }
    assert_int_equal(scene->taker.taken, 10);
    assert_ptr_equal(scene->counted.items[1].worker, second);
    kn_runtime_close(runtime);
    free(scene);
}

static void a_small_pool_is_waited_for(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){.reactors = 3, .pool_tasks = 2});
    struct scene *scene = new_scene();
    run_by_hand(runtime, scene, scene_map(scene, 100, 5, 0, (struct kn_parallel_options){.ordered = true}));
    assert_int_equal(scene->taker.taken, 100);
    assert_int_equal(scene->taker.out_of_order, 0);
    unsigned elsewhere = 0;
    for (size_t i = 0; i < 100; i++)
        elsewhere += kn_reactor_index(scene->counted.items[i].worker) != 0;
    assert_true(elsewhere > 30);
    expect_all_given_back(runtime, scene);
    kn_runtime_close(runtime);
    free(scene);
}

static void shard_keeps_equal_keys_on_one_core_and_in_order(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open(THREE);
    struct scene *scene = new_scene();
    for (size_t shards = 1; shards <= SHARDS_MOST; shards++) {
        for (unsigned ordered = 0; ordered < 2; ordered++) {
            struct kn_parallel_options options = {.ordered = ordered, .limit = 4 * shards};
            run_by_hand(runtime, scene, scene_shard(scene, 400, 7, 0, shards, options));
            assert_int_equal(scene->taker.taken, 400);
            if (ordered)
                assert_int_equal(scene->taker.out_of_order, 0);
            uint64_t calls = 0;
            for (size_t i = 0; i < shards; i++)
                calls += scene->shard_work[i].calls;
            assert_int_equal(calls, 400);
            for (size_t i = 16; i < 400; i++)
                assert_ptr_equal(scene->counted.items[i].worker, scene->counted.items[i - 16].worker);
            expect_all_given_back(runtime, scene);
        }
    }
    kn_runtime_close(runtime);
    free(scene);
}

static void shard_keeps_order_whatever_the_order_of_the_queue(void **state)
{
    (void)state;
    struct kn_runtime_options options = THREE;
    options.order[2] = KN_ORDER_LIFO;
    options.bus_messages = 1;
    struct kn_runtime *runtime = reactors_open(options);
    struct scene *scene = new_scene();
    run_by_hand(runtime, scene, scene_shard(scene, 400, 7, 0, 4, (struct kn_parallel_options){.class = 2}));
    assert_int_equal(scene->taker.taken, 400); /* `work` looks at the order */
    expect_all_given_back(runtime, scene);
    kn_runtime_close(runtime);
    free(scene);
}

static void shard_of_spreads_keys_evenly(void **state)
{
    (void)state;
    for (size_t count = 1; count < 20; count++) {
        unsigned found[20] = {0};
        for (uint64_t key = 0; key < 20000; key++) {
            size_t shard = kn_shard_of(key * 64, count);
            assert_in_range(shard, 0, count - 1);
            found[shard]++;
        }
        for (size_t i = 0; i < count; i++)
            assert_in_range(found[i], 20000 / count * 8 / 10, 20000 / count * 12 / 10);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(par_map_without_reactors_is_a_map),
        cmocka_unit_test(shard_without_reactors_is_a_map),
        cmocka_unit_test(par_for_each_answers_with_the_first_failure),
        cmocka_unit_test(par_for_each_answers_with_a_failure_of_its_source),
        cmocka_unit_test(missing_parts_make_null_and_drop_the_source),
        cmocka_unit_test(par_map_spreads_items_over_the_reactors),
        cmocka_unit_test(par_map_keeps_the_order_where_told_to),
        cmocka_unit_test(par_map_answers_in_the_order_of_completion_otherwise),
        cmocka_unit_test(par_map_has_no_more_under_way_than_its_limit),
        cmocka_unit_test(failures_take_their_place_in_the_order),
        cmocka_unit_test(par_for_each_stops_at_the_first_failure),
        cmocka_unit_test(broken_invariant_of_a_function_is_a_failure_where_panics_are_isolated),
        cmocka_unit_test(streams_do_the_work_themselves_where_nobody_else_can),
        cmocka_unit_test(jobs_are_not_sent_to_reactors_that_do_not_run),
        cmocka_unit_test(a_small_pool_is_waited_for),
        cmocka_unit_test(shard_keeps_equal_keys_on_one_core_and_in_order),
        cmocka_unit_test(shard_keeps_order_whatever_the_order_of_the_queue),
        cmocka_unit_test(shard_of_spreads_keys_evenly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
