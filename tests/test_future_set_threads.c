/* Sets and joins whose members are woken by other threads, while their own thread polls, adds, removes and drops. The
 * memory of a member is overwritten as soon as nobody may touch it: ThreadSanitizer sees who does. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <kernel/executor.h>
#include <kernel/future_join.h>

enum { RINGERS = 3, BELLS = 24, ANSWERS = 30000, ROUNDS = 3000, TIMEOUT_S = 60 };

/* A future that answers once a thread has rung. It is used again and again, and rung all the time. */
struct bell {
    struct kn_future future;
    struct kn_waker_cell cell;
    _Atomic bool rung;
    int64_t number;
};

static struct kn_outcome bell_poll(struct kn_future *future, struct kn_context *context)
{
    struct bell *bell = KN_CONTAINER_OF(future, struct bell, future);
    kn_waker_cell_register(&bell->cell, context->waker);
    if (!atomic_exchange_explicit(&bell->rung, false, memory_order_relaxed))
        return kn_pending();
    kn_waker_cell_clear(&bell->cell);
    return kn_ready(KN_VALUE(bell->number));
}

static void bell_drop(struct kn_future *future)
{
    kn_waker_cell_clear(&KN_CONTAINER_OF(future, struct bell, future)->cell);
}

static const struct kn_future_type bell_type = {.name = "bell", .poll = bell_poll, .drop = bell_drop};

struct town {
    struct bell bells[BELLS];
    struct kn_future_member members[BELLS];
    struct kn_join_member join_members[BELLS];
    struct kn_future_set set;
    struct kn_future_join_all join;
    pthread_t threads[RINGERS];
    _Atomic bool stop;
    _Atomic uint64_t seed;
    uint64_t random;
    uint64_t answers[BELLS];
    uint64_t total;
    int64_t next; /* ordered: the bell whose turn it is */
};

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Rings bells, and sometimes wakes without. */
static void *ring(void *context)
{
    struct town *town = context;
    uint64_t random = atomic_fetch_add_explicit(&town->seed, 77, memory_order_relaxed);
    while (!atomic_load_explicit(&town->stop, memory_order_relaxed)) {
        uint64_t choice = next_random(&random);
        struct bell *bell = &town->bells[choice % BELLS];
        if ((choice >> 32) % 4 != 0)
            atomic_store_explicit(&bell->rung, true, memory_order_relaxed);
        kn_waker_cell_wake(&bell->cell);
        if ((choice >> 40) % 16 == 0)
            sched_yield();
    }
    return NULL;
}

static struct town *start(void)
{
    static struct town town;
    memset(&town, 0, sizeof town);
    town.random = 88172645463325252u;
    atomic_init(&town.seed, 1234567);
    for (size_t i = 0; i < BELLS; i++) {
        town.bells[i].future.type = &bell_type;
        town.bells[i].number = (int64_t)i;
    }
    for (size_t i = 0; i < RINGERS; i++)
        assert_int_equal(pthread_create(&town.threads[i], NULL, ring, &town), 0);
    return &town;
}

static void stop(struct town *town)
{
    atomic_store_explicit(&town->stop, true, memory_order_relaxed);
    for (size_t i = 0; i < RINGERS; i++)
        assert_int_equal(pthread_join(town->threads[i], NULL), 0);
}

static void add(struct town *town, size_t index)
{
    struct kn_future_member *member = &town->members[index];
    memset(member, 0xaa, sizeof *member);
    assert_int_equal(kn_future_set_add(&town->set, member, &town->bells[index].future), 0);
}

/* One poll of the task: takes answers, puts each bell back, and now and then takes out another that waits. */
static struct kn_outcome serve(void *context, struct kn_context *poll)
{
    struct town *town = context;
    for (;;) {
        struct kn_outcome outcome = kn_stream_poll(&town->set.stream, poll);
        if (outcome.status == KN_PENDING)
            return outcome;
        assert_int_equal(outcome.status, KN_READY);
        size_t index = (size_t)outcome.value.integer;
        assert_ptr_equal(kn_future_set_last(&town->set), &town->members[index]);
        if (town->set.ordered) {
            assert_int_equal(index, town->next);
            town->next = (town->next + 1) % BELLS;
        }
        add(town, index);
        town->answers[index]++;
        if (++town->total == ANSWERS)
            return kn_ready(KN_NOTHING);
        if (!town->set.ordered && town->total % 8 == 0) {
            index = (size_t)(next_random(&town->random) % BELLS);
            kn_future_set_remove(&town->set, &town->members[index]);
            add(town, index);
        }
    }
}

static void serve_all(bool ordered)
{
    struct town *town = start();
    struct kn_future_poll_fn task;
    assert_non_null(ordered ? kn_future_set_ordered(&town->set) : kn_future_set(&town->set));
    for (size_t i = 0; i < BELLS; i++)
        add(town, i);
    struct kn_outcome outcome = kn_block_on(kn_future_poll_fn(&task, serve, town), TIMEOUT_S * (int64_t)KN_SECOND_NS);
    assert_int_equal(outcome.status, KN_READY);
    kn_stream_drop(&town->set.stream);
    memset(town->members, 0xaa, sizeof town->members);
    memset(&town->set, 0xaa, sizeof town->set);
    stop(town);
    for (size_t i = 0; i < BELLS; i++)
        assert_true(town->answers[i] > 0);
}

static void no_wake_up_of_other_threads_is_lost(void **state)
{
    (void)state;
    serve_all(false);
}

static void no_wake_up_is_lost_where_answers_wait_for_their_turn(void **state)
{
    (void)state;
    serve_all(true);
}

static void set_is_dropped_while_its_members_are_woken(void **state)
{
    (void)state;
    struct town *town = start();
    struct kn_local_executor *local = calloc(1, sizeof *local);
    assert_non_null(local);
    for (size_t round = 0; round < ROUNDS; round++) {
        assert_non_null(round % 2 ? kn_future_set_ordered(&town->set) : kn_future_set(&town->set));
        kn_local_executor_init(local, 0);
        for (size_t i = 0; i < BELLS; i++)
            add(town, i);
        struct kn_context context = kn_local_executor_context(local);
        for (size_t polls = 0; polls < round % 5; polls++)
            (void)kn_stream_poll(&town->set.stream, &context);
        kn_stream_drop(&town->set.stream);
        memset(town->members, 0xaa, sizeof town->members);
        memset(&town->set, 0xaa, sizeof town->set);
        memset(local, 0xaa, sizeof *local);
    }
    stop(town);
    free(local);
}

static void join_all_loses_no_wake_up_and_keeps_no_member(void **state)
{
    (void)state;
    struct town *town = start();
    for (size_t round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < BELLS; i++)
            town->join_members[i].future = &town->bells[i].future;
        struct kn_future *join = kn_future_join_all(&town->join, town->join_members, BELLS);
        assert_non_null(join);
        struct kn_outcome outcome = kn_block_on(join, round % 8 == 0 ? 0 : TIMEOUT_S * (int64_t)KN_SECOND_NS);
        assert_int_equal(outcome.status, outcome.status == KN_READY || round % 8 != 0 ? KN_READY : -ETIMEDOUT);
        for (size_t i = 0; i < BELLS && outcome.status == KN_READY; i++)
            assert_int_equal(town->join_members[i].outcome.value.integer, i);
        memset(town->join_members, 0xaa, sizeof town->join_members);
        memset(&town->join, 0xaa, sizeof town->join);
    }
    stop(town);
}

/* ---- what a wake-up makes visible ---- */

enum { LETTERS = 2000 };

/* A future that gives its waker to the writer at its first poll and reads at its second: it was woken, then. */
struct letter {
    struct kn_future future;
    struct kn_waker *_Atomic waker;
    int64_t text; /* no atomic: the wake-up alone makes it visible */
    bool waits;
    _Atomic bool is_called; /* the call of the waker is over */
};

static struct kn_outcome letter_poll(struct kn_future *future, struct kn_context *context)
{
    struct letter *letter = KN_CONTAINER_OF(future, struct letter, future);
    if (!letter->waits) {
        letter->waits = true;
        /* Release pairs with the acquire of write_letters. */
        atomic_store_explicit(&letter->waker, context->waker, memory_order_release);
        return kn_pending();
    }
    int64_t text = letter->text;
    /* Acquire pairs with the release of write_letters. */
    while (!atomic_load_explicit(&letter->is_called, memory_order_acquire))
        sched_yield();
    return kn_ready(KN_VALUE(text));
}

static const struct kn_future_type letter_type = {
    .name = "letter", .poll = letter_poll, .drop = kn_future_drop_nothing};

static void *write_letters(void *context)
{
    struct letter *letters = context;
    for (size_t i = 0; i < LETTERS; i++) {
        struct kn_waker *waker;
        /* Acquire pairs with the release of letter_poll. */
        while (!(waker = atomic_load_explicit(&letters[i].waker, memory_order_acquire)))
            sched_yield();
        letters[i].text = (int64_t)i + 1;
        kn_waker_wake(waker);
        /* Release pairs with the acquire of letter_poll. */
        atomic_store_explicit(&letters[i].is_called, true, memory_order_release);
    }
    return NULL;
}

static void what_was_written_before_a_wake_up_is_seen_by_the_poll(void **state)
{
    (void)state;
    struct letter *letters = calloc(LETTERS, sizeof *letters);
    struct kn_join_member *members = calloc(LETTERS, sizeof *members);
    assert_true(letters && members);
    for (size_t i = 0; i < LETTERS; i++) {
        letters[i].future.type = &letter_type;
        members[i].future = &letters[i].future;
    }
    pthread_t writer;
    assert_int_equal(pthread_create(&writer, NULL, write_letters, letters), 0);
    struct kn_future_join_all join;
    struct kn_outcome outcome =
        kn_block_on(kn_future_join_all(&join, members, LETTERS), TIMEOUT_S * (int64_t)KN_SECOND_NS);
    assert_int_equal(outcome.status, KN_READY);
    for (size_t i = 0; i < LETTERS; i++)
        assert_int_equal(members[i].outcome.value.integer, i + 1);
    assert_int_equal(pthread_join(writer, NULL), 0);
    free(letters);
    free(members);
}

/* ---- orderings that only the flag of a member gives ---- */

/* A member, and a thread that wakes it when it is told so without any ordering. */
struct pair {
    struct kn_future future;
    struct kn_future_set set;
    struct kn_future_member member;
    struct kn_local_executor local;
    struct kn_waker *waker;
    int64_t text; /* no atomic */
    int64_t seen;
    _Atomic bool go;
    _Atomic bool gone;
};

static struct kn_outcome pair_poll(struct kn_future *future, struct kn_context *context)
{
    struct pair *pair = KN_CONTAINER_OF(future, struct pair, future);
    pair->waker = context->waker;
    pair->seen = pair->text;
    return kn_pending();
}

static const struct kn_future_type pair_type = {.name = "pair", .poll = pair_poll, .drop = kn_future_drop_nothing};

static void *write_and_wake(void *context)
{
    struct pair *pair = context;
    while (!atomic_load_explicit(&pair->go, memory_order_relaxed))
        sched_yield();
    pair->text = 7;
    kn_waker_wake(&pair->member.woken.waker);
    atomic_store_explicit(&pair->gone, true, memory_order_relaxed);
    return NULL;
}

static void poll_pair(struct pair *pair)
{
    struct kn_context context = kn_local_executor_context(&pair->local);
    assert_int_equal(kn_stream_poll(&pair->set.stream, &context).status, KN_PENDING);
}

/* A pair whose member waits for the second time, and its thread, which had started before that. */
static struct pair *start_pair(pthread_t *thread)
{
    struct pair *pair = calloc(1, sizeof *pair);
    assert_non_null(pair);
    pair->future.type = &pair_type;
    kn_local_executor_init(&pair->local, 0);
    assert_non_null(kn_future_set(&pair->set));
    assert_int_equal(kn_future_set_add(&pair->set, &pair->member, &pair->future), 0);
    poll_pair(pair);
    assert_int_equal(pthread_create(thread, NULL, write_and_wake, pair), 0);
    return pair;
}

static void finish_pair(struct pair *pair, pthread_t thread)
{
    while (!atomic_load_explicit(&pair->gone, memory_order_relaxed))
        sched_yield();
    poll_pair(pair);
    assert_int_equal(pair->seen, 7);
    assert_int_equal(pthread_join(thread, NULL), 0);
    kn_stream_drop(&pair->set.stream);
    free(pair);
}

static void wake_up_of_a_member_that_was_woken_already_is_seen_as_well(void **state)
{
    (void)state;
    pthread_t thread;
    struct pair *pair = start_pair(&thread);
    kn_waker_wake(pair->waker); /* so that the thread finds it in the stack */
    atomic_store_explicit(&pair->go, true, memory_order_relaxed);
    finish_pair(pair, thread);
}

static void turn_of_a_member_is_over_before_it_is_linked_again(void **state)
{
    (void)state;
    pthread_t thread;
    struct pair *pair = start_pair(&thread);
    struct kn_woken_node *node = &pair->member.woken;
    /* What a turn does to the node, without the read of the text, which the thread writes. */
    kn_waker_wake(&node->waker);
    kn_woken_list_begin(&pair->set.woken);
    struct kn_context context = kn_local_executor_context(&pair->local);
    assert_ptr_equal(kn_woken_list_next(&pair->set.woken, &context), node);
    kn_woken_list_end(&pair->set.woken, true);
    atomic_store_explicit(&pair->go, true, memory_order_relaxed);
    finish_pair(pair, thread);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_wake_up_of_other_threads_is_lost),
        cmocka_unit_test(no_wake_up_is_lost_where_answers_wait_for_their_turn),
        cmocka_unit_test(set_is_dropped_while_its_members_are_woken),
        cmocka_unit_test(join_all_loses_no_wake_up_and_keeps_no_member),
        cmocka_unit_test(what_was_written_before_a_wake_up_is_seen_by_the_poll),
        cmocka_unit_test(wake_up_of_a_member_that_was_woken_already_is_seen_as_well),
        cmocka_unit_test(turn_of_a_member_is_over_before_it_is_linked_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
