/* One future after another. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <kernel/future_then.h>

#include "async_harness.h"

/* A program: what is built of a leaf, and what must come out. */
struct program {
    struct kn_future *(*build)(struct kn_future *leaf);
    int64_t leaf;     /* number of an owned value, or a negative errno */
    int64_t expected; /* likewise */
    bool plain;       /* the answer is an integer */
};

static struct harness *world; /* of this execution */
static unsigned seen;         /* times a function looked at something */

#define NEW(combinator, ...) combinator(KN_ARENA_NEW(harness_arena(world), struct combinator), __VA_ARGS__)

static int64_t number_of(kn_value_t value)
{
    return ((struct harness_object *)value.pointer)->number;
}

static struct kn_future *owned(struct kn_future *future)
{
    return NEW(kn_future_owned, future, harness_discard, NULL);
}

static struct kn_future *leaf_of(int64_t what, unsigned pendings)
{
    return what < 0 ? harness_future(world, pendings, kn_failed(what)) : harness_owned_future(world, pendings, what);
}

static void build(struct harness *of, void *context)
{
    const struct program *program = context;
    world = of;
    seen = 0;
    harness_spawn(world, program->build(leaf_of(program->leaf, 2)));
}

static void check(struct harness *of, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)of;
    const struct program *program = context;
    assert_int_equal(task, 0);
    if (program->expected < 0) {
        assert_int_equal(outcome.status, program->expected);
        return;
    }
    assert_int_equal(outcome.status, KN_READY);
    assert_int_equal(program->plain ? outcome.value.integer : number_of(outcome.value), program->expected);
}

static void explore(struct program program)
{
    harness_explore(build, check, &program, NULL);
}

/* ---- functions ---- */

static kn_value_t add_ten(kn_value_t value, void *context)
{
    (void)context;
    int64_t number = number_of(value);
    harness_object_free(value.pointer);
    return KN_VALUE(harness_object(world, number + 10));
}

static kn_value_t twice(kn_value_t value, void *context)
{
    (void)context;
    ((struct harness_object *)value.pointer)->number *= 2;
    return value;
}

static kn_value_t same(kn_value_t value, void *context)
{
    (void)context;
    return value;
}

static kn_value_t add_ten_then_twice(kn_value_t value, void *context)
{
    return twice(add_ten(value, context), context);
}

static int to_pipe(int error, void *context)
{
    (void)context;
    assert_int_equal(error, -EIO);
    return -EPIPE;
}

static kn_value_t object_of_error(int error, void *context)
{
    (void)context;
    return KN_VALUE(harness_object(world, -error));
}

static void look(kn_value_t value, void *context)
{
    (void)context;
    assert_int_equal(number_of(value), 7);
    seen++;
}

static void look_at_error(int error, void *context)
{
    (void)context;
    assert_int_equal(error, -EIO);
    seen++;
}

/* Another leaf, of the value and ten. */
static struct kn_future *next_leaf(kn_value_t value, void *context)
{
    (void)context;
    int64_t number = number_of(value);
    harness_object_free(value.pointer);
    return harness_owned_future(world, 1, number + 10);
}

static struct kn_future *next_is_missing(kn_value_t value, void *context)
{
    (void)context;
    harness_object_free(value.pointer);
    return NULL;
}

static struct kn_future *next_fails(kn_value_t value, void *context)
{
    (void)context;
    harness_object_free(value.pointer);
    return harness_future(world, 1, kn_failed(-EIO));
}

static struct kn_future *leaf_of_error(int error, void *context)
{
    (void)context;
    return harness_owned_future(world, 1, -error);
}

static struct kn_future *other_fails(int error, void *context)
{
    (void)context;
    return harness_future(world, 1, kn_failed(error == -EIO ? -EPIPE : -EINVAL));
}

static struct kn_future *leaf_of_outcome(struct kn_outcome outcome, void *context)
{
    return outcome.status == KN_READY ? next_leaf(outcome.value, context) : leaf_of_error((int)outcome.status, context);
}

/* ---- map and its like ---- */

static struct kn_future *map(struct kn_future *leaf)
{
    return owned(NEW(kn_future_map, leaf, add_ten, NULL));
}

static void map_applies_its_function_to_the_value(void **state)
{
    (void)state;
    explore((struct program){.build = map, .leaf = 7, .expected = 17});
}

static void map_passes_a_failure_on(void **state)
{
    (void)state;
    explore((struct program){.build = map, .leaf = -EIO, .expected = -EIO});
}

static struct kn_future *map_twice(struct kn_future *leaf)
{
    return owned(NEW(kn_future_map, NEW(kn_future_map, leaf, add_ten, NULL), twice, NULL));
}

static struct kn_future *map_composed(struct kn_future *leaf)
{
    return owned(NEW(kn_future_map, leaf, add_ten_then_twice, NULL));
}

static struct kn_future *map_same(struct kn_future *leaf)
{
    return owned(NEW(kn_future_map, leaf, same, NULL));
}

static void map_obeys_the_laws_of_a_functor(void **state)
{
    (void)state;
    explore((struct program){.build = map_same, .leaf = 7, .expected = 7});
    explore((struct program){.build = map_same, .leaf = -EIO, .expected = -EIO});
    explore((struct program){.build = map_twice, .leaf = 7, .expected = 34});
    explore((struct program){.build = map_composed, .leaf = 7, .expected = 34});
}

static struct kn_future *map_err(struct kn_future *leaf)
{
    return NEW(kn_future_map_err, leaf, to_pipe, NULL);
}

static void map_err_applies_its_function_to_the_error(void **state)
{
    (void)state;
    explore((struct program){.build = map_err, .leaf = -EIO, .expected = -EPIPE});
    explore((struct program){.build = map_err, .leaf = 7, .expected = 7});
}

static struct kn_future *map_or_else(struct kn_future *leaf)
{
    return owned(NEW(kn_future_map_or_else, leaf, add_ten, object_of_error, NULL));
}

static void map_or_else_makes_a_value_of_either(void **state)
{
    (void)state;
    explore((struct program){.build = map_or_else, .leaf = 7, .expected = 17});
    explore((struct program){.build = map_or_else, .leaf = -EIO, .expected = EIO});
}

static struct kn_future *unwrap_or_else(struct kn_future *leaf)
{
    return owned(NEW(kn_future_unwrap_or_else, leaf, object_of_error, NULL));
}

static void unwrap_or_else_never_fails(void **state)
{
    (void)state;
    explore((struct program){.build = unwrap_or_else, .leaf = 7, .expected = 7});
    explore((struct program){.build = unwrap_or_else, .leaf = -EIO, .expected = EIO});
}

static kn_value_t plain_of_error(int error, void *context)
{
    (void)context;
    return KN_VALUE(-error);
}

/* What the leaf answers with is discarded, what the function has made is not. */
static struct kn_future *unwrap_or_else_plain(struct kn_future *leaf)
{
    return NEW(kn_future_unwrap_or_else, owned(leaf), plain_of_error, NULL);
}

static void unwrap_or_else_does_not_discard_what_its_function_made(void **state)
{
    (void)state;
    explore((struct program){.build = unwrap_or_else_plain, .leaf = 7, .expected = 7});
    explore((struct program){.build = unwrap_or_else_plain, .leaf = -EIO, .expected = EIO, .plain = true});
}

static struct kn_future *inspect(struct kn_future *leaf)
{
    leaf = NEW(kn_future_inspect, leaf, look, NULL);
    return NEW(kn_future_inspect_err, leaf, look_at_error, NULL);
}

static void check_seen(struct harness *of, unsigned task, struct kn_outcome outcome, void *context)
{
    check(of, task, outcome, context);
    assert_int_equal(seen, 1);
}

static void inspect_shows_the_answer_once_and_passes_it_on(void **state)
{
    (void)state;
    struct program program = {.build = inspect, .leaf = 7, .expected = 7};
    harness_explore(build, check_seen, &program, NULL);
    program.leaf = program.expected = -EIO;
    harness_explore(build, check_seen, &program, NULL);
}

/* ---- and_then and its like ---- */

static struct kn_future *and_then(struct kn_future *leaf)
{
    return NEW(kn_future_and_then, leaf, next_leaf, NULL);
}

static void and_then_goes_on_with_the_next_future(void **state)
{
    (void)state;
    explore((struct program){.build = and_then, .leaf = 7, .expected = 17});
    explore((struct program){.build = and_then, .leaf = -EIO, .expected = -EIO});
}

static struct kn_future *and_then_fails(struct kn_future *leaf)
{
    return NEW(kn_future_and_then, leaf, next_fails, NULL);
}

static struct kn_future *and_then_missing(struct kn_future *leaf)
{
    return NEW(kn_future_and_then, leaf, next_is_missing, NULL);
}

/* The stages after it see the failure. */
static struct kn_future *and_then_missing_recovers(struct kn_future *leaf)
{
    return NEW(kn_future_or_else, and_then_missing(leaf), leaf_of_error, NULL);
}

static struct kn_future *and_then_missing_unwraps(struct kn_future *leaf)
{
    return owned(NEW(kn_future_unwrap_or_else, and_then_missing(leaf), object_of_error, NULL));
}

static void and_then_fails_as_its_next_future_does(void **state)
{
    (void)state;
    explore((struct program){.build = and_then_fails, .leaf = 7, .expected = -EIO});
    explore((struct program){.build = and_then_missing, .leaf = 7, .expected = -ENOMEM});
    explore((struct program){.build = and_then_missing_unwraps, .leaf = 7, .expected = ENOMEM});
}

static struct kn_future *ready_object(kn_value_t value, void *context)
{
    (void)context;
    return owned(NEW(kn_future_ready, value));
}

static struct kn_future *right_identity(struct kn_future *leaf)
{
    return NEW(kn_future_and_then, leaf, ready_object, NULL);
}

static struct kn_future *left_identity(struct kn_future *leaf)
{
    kn_future_drop(leaf);
    return NEW(kn_future_and_then, owned(NEW(kn_future_ready, KN_VALUE(harness_object(world, 7)))), next_leaf, NULL);
}

static struct kn_future *associated_left(struct kn_future *leaf)
{
    return and_then(and_then(leaf));
}

static struct kn_future *next_and_then(kn_value_t value, void *context)
{
    return and_then(next_leaf(value, context));
}

static struct kn_future *associated_right(struct kn_future *leaf)
{
    return NEW(kn_future_and_then, leaf, next_and_then, NULL);
}

static void and_then_obeys_the_laws_of_a_monad(void **state)
{
    (void)state;
    /* A drop before the first poll leaves the object of ready's to whoever made it. */
    struct program identity = {.build = left_identity, .leaf = 7, .expected = 17};
    struct harness_options no_drops = {.no_drops = true};
    harness_explore(build, check, &identity, &no_drops);
    explore((struct program){.build = right_identity, .leaf = 7, .expected = 7});
    explore((struct program){.build = associated_left, .leaf = 7, .expected = 27});
    explore((struct program){.build = associated_right, .leaf = 7, .expected = 27});
}

static struct kn_future *or_else(struct kn_future *leaf)
{
    return NEW(kn_future_or_else, leaf, leaf_of_error, NULL);
}

static struct kn_future *or_else_fails(struct kn_future *leaf)
{
    return NEW(kn_future_or_else, leaf, other_fails, NULL);
}

static void or_else_goes_on_after_an_error(void **state)
{
    (void)state;
    explore((struct program){.build = or_else, .leaf = 7, .expected = 7});
    explore((struct program){.build = or_else, .leaf = -EIO, .expected = EIO});
    explore((struct program){.build = or_else_fails, .leaf = -EIO, .expected = -EPIPE});
}

static struct kn_future *then(struct kn_future *leaf)
{
    return NEW(kn_future_then, leaf, leaf_of_outcome, NULL);
}

static void then_goes_on_after_any_answer(void **state)
{
    (void)state;
    explore((struct program){.build = then, .leaf = 7, .expected = 17});
    explore((struct program){.build = then, .leaf = -EIO, .expected = EIO});
}

/* A future of the next leaf, which nobody has polled. */
static kn_value_t to_future(kn_value_t value, void *context)
{
    return KN_VALUE(next_leaf(value, context));
}

static struct kn_future *flatten(struct kn_future *leaf)
{
    return NEW(kn_future_flatten, NEW(kn_future_map, leaf, to_future, NULL));
}

static kn_value_t to_nothing(kn_value_t value, void *context)
{
    (void)context;
    harness_object_free(value.pointer);
    return KN_NOTHING;
}

static struct kn_future *flatten_nothing(struct kn_future *leaf)
{
    return NEW(kn_future_flatten, NEW(kn_future_map, leaf, to_nothing, NULL));
}

static void flatten_goes_on_with_the_future_it_is_given(void **state)
{
    (void)state;
    explore((struct program){.build = flatten, .leaf = 7, .expected = 17});
    explore((struct program){.build = flatten, .leaf = -EIO, .expected = -EIO});
    explore((struct program){.build = flatten_nothing, .leaf = 7, .expected = -ENOMEM});
}

/* ---- chains ---- */

static struct kn_future *chain_of_all(struct kn_future *leaf)
{
    leaf = NEW(kn_future_inspect, leaf, look, NULL);       /* 7 */
    leaf = NEW(kn_future_and_then, leaf, next_leaf, NULL); /* 17 */
    leaf = NEW(kn_future_map, leaf, twice, NULL);          /* 34 */
    leaf = NEW(kn_future_or_else, leaf, leaf_of_error, NULL);
    leaf = NEW(kn_future_and_then, leaf, next_fails, NULL);                  /* -EIO */
    leaf = NEW(kn_future_map, leaf, add_ten, NULL);                          /* -EIO */
    leaf = NEW(kn_future_inspect_err, leaf, look_at_error, NULL);            /* -EIO */
    leaf = NEW(kn_future_map_err, leaf, to_pipe, NULL);                      /* -EPIPE */
    leaf = NEW(kn_future_then, leaf, leaf_of_outcome, NULL);                 /* 32 */
    leaf = NEW(kn_future_map, leaf, to_future, NULL);                        /* a future */
    leaf = NEW(kn_future_flatten, leaf);                                     /* 42 */
    leaf = NEW(kn_future_map_or_else, leaf, add_ten, object_of_error, NULL); /* 52 */
    return owned(leaf);
}

static void check_seen_twice(struct harness *of, unsigned task, struct kn_outcome outcome, void *context)
{
    check(of, task, outcome, context);
    assert_int_equal(seen, 2);
}

static void stages_of_a_chain_are_each_applied_once_and_in_order(void **state)
{
    (void)state;
    struct program program = {.build = chain_of_all, .leaf = 7, .expected = 52};
    harness_explore(build, check_seen_twice, &program, NULL);
    explore((struct program){.build = and_then_missing_recovers, .leaf = 7, .expected = ENOMEM});
}

static struct kn_outcome poll_once(struct kn_future *future)
{
    static struct kn_local_executor local;
    struct kn_outcome outcome;
    kn_local_executor_init(&local, 0);
    (void)kn_local_executor_poll(&local, future, &outcome);
    return outcome;
}

static kn_value_t increment(kn_value_t value, void *context)
{
    (void)context;
    return KN_VALUE(value.integer + 1);
}

static struct kn_future *next_yield(kn_value_t value, void *context)
{
    assert_int_equal(value.integer, 2);
    return kn_future_yield(context);
}

/* A future that was polled may still become part of a chain. */
static void a_chain_that_waits_may_be_continued(void **state)
{
    (void)state;
    struct kn_future_yield yield;
    struct kn_future_ready ready;
    struct kn_future_map maps[5];
    struct kn_future_and_then next;
    struct kn_future *future = kn_future_ready(&ready, KN_VALUE(0));
    future = kn_future_map(&maps[0], future, increment, NULL);
    future = kn_future_map(&maps[1], future, increment, NULL);
    future = kn_future_and_then(&next, future, next_yield, &yield);
    struct kn_future *whole = kn_future_map(&maps[2], future, increment, NULL);
    assert_int_equal(poll_once(whole).status, KN_PENDING);
    whole = kn_future_map(&maps[3], whole, increment, NULL);
    struct kn_outcome outcome = poll_once(whole);
    assert_int_equal(outcome.status, KN_READY);
    assert_int_equal(outcome.value.integer, 2); /* of nothing, which is 0: the yield's */

    /* Also where no stage was left. */
    future = kn_future_map(&maps[0], kn_future_ready(&ready, KN_VALUE(1)), increment, NULL);
    future = kn_future_and_then(&next, future, next_yield, &yield);
    assert_int_equal(poll_once(future).status, KN_PENDING);
    outcome = poll_once(kn_future_map(&maps[4], future, increment, NULL));
    assert_int_equal(outcome.status, KN_READY);
    assert_int_equal(outcome.value.integer, 1);
}

/* A future that answers with the status of a stream's end. */
static struct kn_outcome answer_end(void *context)
{
    (void)context;
    return kn_ended();
}

static kn_value_t never(kn_value_t value, void *context)
{
    (void)context;
    fail_msg("called for an end");
    return value;
}

static kn_value_t never_of_error(int error, void *context)
{
    (void)context;
    fail_msg("called for an end: %d", error);
    return KN_NOTHING;
}

static void other_statuses_pass_by_every_stage(void **state)
{
    (void)state;
    struct kn_future_lazy lazy;
    struct kn_future_map map_memory;
    struct kn_future_map_or_else either;
    struct kn_future_unwrap_or_else unwrap;
    struct kn_future *future = kn_future_lazy(&lazy, answer_end, NULL);
    future = kn_future_map(&map_memory, future, never, NULL);
    future = kn_future_map_or_else(&either, future, never, never_of_error, NULL);
    future = kn_future_unwrap_or_else(&unwrap, future, never_of_error, NULL);
    assert_int_equal(poll_once(future).status, KN_END);
}

/* ---- missing memory ---- */

struct counted {
    struct kn_future future;
    unsigned drops;
};

static void counted_drop(struct kn_future *future)
{
    KN_CONTAINER_OF(future, struct counted, future)->drops++;
}

static const struct kn_future_type counted_type = {.name = "counted", .poll = NULL, .drop = counted_drop};

static void missing_memory_drops_the_future_and_missing_futures_make_none(void **state)
{
    (void)state;
    struct counted counted = {.future.type = &counted_type};
    struct kn_future *inner = &counted.future;
    assert_null(kn_future_map(NULL, inner, same, NULL));
    assert_null(kn_future_map_err(NULL, inner, to_pipe, NULL));
    assert_null(kn_future_map_or_else(NULL, inner, same, object_of_error, NULL));
    assert_null(kn_future_unwrap_or_else(NULL, inner, object_of_error, NULL));
    assert_null(kn_future_inspect(NULL, inner, look, NULL));
    assert_null(kn_future_inspect_err(NULL, inner, look_at_error, NULL));
    assert_null(kn_future_then(NULL, inner, leaf_of_outcome, NULL));
    assert_null(kn_future_and_then(NULL, inner, next_leaf, NULL));
    assert_null(kn_future_or_else(NULL, inner, leaf_of_error, NULL));
    assert_null(kn_future_flatten(NULL, inner));
    assert_int_equal(counted.drops, 10);
    struct kn_future_map map_memory;
    struct kn_future_map_or_else either;
    struct kn_future_and_then next;
    assert_null(kn_future_map(&map_memory, NULL, same, NULL));
    assert_null(kn_future_map_or_else(&either, NULL, same, object_of_error, NULL));
    assert_null(kn_future_and_then(&next, kn_future_map(NULL, inner, same, NULL), next_leaf, NULL));
    assert_int_equal(counted.drops, 11);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(map_applies_its_function_to_the_value),
        cmocka_unit_test(map_passes_a_failure_on),
        cmocka_unit_test(map_obeys_the_laws_of_a_functor),
        cmocka_unit_test(map_err_applies_its_function_to_the_error),
        cmocka_unit_test(map_or_else_makes_a_value_of_either),
        cmocka_unit_test(unwrap_or_else_never_fails),
        cmocka_unit_test(unwrap_or_else_does_not_discard_what_its_function_made),
        cmocka_unit_test(inspect_shows_the_answer_once_and_passes_it_on),
        cmocka_unit_test(and_then_goes_on_with_the_next_future),
        cmocka_unit_test(and_then_fails_as_its_next_future_does),
        cmocka_unit_test(and_then_obeys_the_laws_of_a_monad),
        cmocka_unit_test(or_else_goes_on_after_an_error),
        cmocka_unit_test(then_goes_on_after_any_answer),
        cmocka_unit_test(flatten_goes_on_with_the_future_it_is_given),
        cmocka_unit_test(stages_of_a_chain_are_each_applied_once_and_in_order),
        cmocka_unit_test(a_chain_that_waits_may_be_continued),
        cmocka_unit_test(other_statuses_pass_by_every_stage),
        cmocka_unit_test(missing_memory_drops_the_future_and_missing_futures_make_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
