/* The checker of histories: what it must accept, what it must refuse, and when it must not pretend to know. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "linearizability.h"

#define PUSH(pushed, from, to)                                                                                         \
    {                                                                                                                  \
        .kind = HISTORY_PUSH, .value = (pushed), .invoked = (from), .responded = (to)                                  \
    }
#define FULL(pushed, from, to)                                                                                         \
    {                                                                                                                  \
        .kind = HISTORY_PUSH, .value = (pushed), .invoked = (from), .responded = (to), .refused = true                 \
    }
#define POP(popped, from, to)                                                                                          \
    {                                                                                                                  \
        .kind = HISTORY_POP, .value = (popped), .invoked = (from), .responded = (to)                                   \
    }
#define EMPTY(from, to)                                                                                                \
    {                                                                                                                  \
        .kind = HISTORY_POP, .invoked = (from), .responded = (to), .refused = true                                     \
    }
#define READ(reader, read, from, to)                                                                                   \
    {                                                                                                                  \
        .thread = (reader), .kind = HISTORY_POP, .value = (read), .invoked = (from), .responded = (to)                 \
    }

/* The verdict on these operations; what it printed is left in `said`, which the caller frees, if that is not NULL. */
static enum history_verdict judge(struct history_options options, const struct history_operation *operations,
                                  size_t count, char **said)
{
    char *text = NULL;
    size_t length = 0;
    struct history history;
    options.threads = options.threads == 0 ? 8 : options.threads;
    options.operations_per_thread = options.operations_per_thread == 0 ? 2 * count + 2 : options.operations_per_thread;
    options.report = open_memstream(&text, &length);
    assert_non_null(options.report);
    assert_int_equal(history_open(&history, &options), 0);
    for (size_t i = 0; i < count; i++)
        history_keep(&history.threads[operations[i].thread], operations[i]);
    enum history_verdict verdict = history_check(&history);
    history_close(&history);
    fclose(options.report);
    if (said != NULL)
        *said = text;
    else
        free(text);
    return verdict;
}

#define VERDICT(options, ...)                                                                                          \
    judge((options), (const struct history_operation[]){__VA_ARGS__},                                                  \
          sizeof((const struct history_operation[]){__VA_ARGS__}) / sizeof(struct history_operation), NULL)
#define ACCEPTS(options, ...) assert_int_equal(VERDICT(options, __VA_ARGS__), HISTORY_LINEARIZABLE)
#define REFUSES(options, ...) assert_int_equal(VERDICT(options, __VA_ARGS__), HISTORY_NOT_LINEARIZABLE)

static const struct history_options unbounded = {0};
static const struct history_options two_slots = {.capacity_slots = 2};
static const struct history_options drained = {.drained = true};

static void history_of_one_thread_is_accepted(void **state)
{
    (void)state;
    ACCEPTS(two_slots, EMPTY(1, 2), PUSH(1, 3, 4), PUSH(2, 5, 6), FULL(3, 7, 8), POP(1, 9, 10), PUSH(4, 11, 12),
            POP(2, 13, 14), POP(4, 15, 16), EMPTY(17, 18));
    assert_int_equal(judge(unbounded, NULL, 0, NULL), HISTORY_LINEARIZABLE);
}

static void history_with_a_lost_message_is_refused(void **state)
{
    (void)state;
    REFUSES(unbounded, PUSH(1, 1, 2), PUSH(2, 3, 4), POP(2, 5, 6));
    REFUSES(unbounded, PUSH(1, 1, 2), EMPTY(3, 4));
    REFUSES(drained, PUSH(1, 1, 2), PUSH(2, 3, 4), POP(1, 5, 6));
    ACCEPTS(unbounded, PUSH(1, 1, 2), PUSH(2, 3, 4), POP(1, 5, 6));
}

static void history_with_a_doubled_or_invented_message_is_refused(void **state)
{
    (void)state;
    REFUSES(unbounded, PUSH(1, 1, 2), POP(1, 3, 4), POP(1, 5, 6));
    REFUSES(unbounded, PUSH(1, 1, 8), POP(1, 2, 9), POP(1, 3, 10));
    REFUSES(unbounded, PUSH(1, 1, 2), POP(7, 3, 4));
    REFUSES(unbounded, FULL(1, 1, 2), POP(1, 3, 4));
}

static void history_out_of_order_is_refused(void **state)
{
    (void)state;
    REFUSES(unbounded, PUSH(1, 1, 2), PUSH(2, 3, 4), POP(2, 5, 6), POP(1, 7, 8));
    REFUSES(unbounded, PUSH(1, 1, 2), PUSH(2, 3, 9), POP(2, 4, 5), POP(1, 6, 7));
}

static void history_with_a_pop_before_its_push_is_refused(void **state)
{
    (void)state;
    REFUSES(unbounded, POP(1, 1, 2), PUSH(1, 3, 4));
    ACCEPTS(unbounded, POP(1, 1, 3), PUSH(1, 2, 4));
}

static void history_with_an_empty_answer_of_a_queue_that_held_something_is_refused(void **state)
{
    (void)state;
    REFUSES(unbounded, PUSH(1, 1, 2), EMPTY(3, 4), POP(1, 5, 6));
    /* Never the same message, but always one: the first is there until the second has been pushed. */
    REFUSES(unbounded, PUSH(1, 1, 2), EMPTY(3, 10), PUSH(2, 4, 5), POP(1, 6, 7), POP(2, 11, 12));
    ACCEPTS(unbounded, PUSH(1, 1, 2), EMPTY(3, 10), POP(1, 4, 5), PUSH(2, 6, 7), POP(2, 11, 12));
}

static void history_with_a_full_answer_of_a_queue_that_had_room_is_refused(void **state)
{
    (void)state;
    REFUSES(unbounded, FULL(1, 1, 2));
    REFUSES(two_slots, FULL(1, 1, 2));
    REFUSES(two_slots, PUSH(1, 1, 2), FULL(2, 3, 4));
    REFUSES(two_slots, PUSH(1, 1, 2), PUSH(2, 3, 4), POP(1, 5, 6), FULL(3, 7, 8));
    ACCEPTS(two_slots, PUSH(1, 1, 2), PUSH(2, 3, 4), POP(1, 5, 8), FULL(3, 6, 7));
}

static void history_that_exceeds_the_capacity_is_refused(void **state)
{
    (void)state;
    REFUSES(two_slots, PUSH(1, 1, 2), PUSH(2, 3, 4), PUSH(3, 5, 6), POP(1, 7, 8));
    ACCEPTS(two_slots, PUSH(1, 1, 2), PUSH(2, 3, 4), PUSH(3, 5, 8), POP(1, 6, 7));
    ACCEPTS(unbounded, PUSH(1, 1, 2), PUSH(2, 3, 4), PUSH(3, 5, 6), POP(1, 7, 8));
}

static void history_of_overlapping_operations_may_take_either_order(void **state)
{
    (void)state;
    ACCEPTS(unbounded, PUSH(1, 1, 3), PUSH(2, 2, 4), POP(1, 5, 6), POP(2, 7, 8));
    ACCEPTS(unbounded, PUSH(1, 1, 3), PUSH(2, 2, 4), POP(2, 5, 6), POP(1, 7, 8));
    ACCEPTS(unbounded, PUSH(1, 1, 2), PUSH(2, 3, 4), POP(2, 5, 7), POP(1, 6, 8));
    ACCEPTS(unbounded, PUSH(1, 1, 3), EMPTY(2, 4), POP(1, 5, 6));
    /* Operations that touch overlap. */
    ACCEPTS(unbounded, PUSH(1, 1, 2), PUSH(2, 2, 3), POP(2, 4, 5), POP(1, 6, 7));
}

/* Each answer alone is possible, and so are any two: the patterns see nothing, the search must. */
static void history_whose_answers_exclude_each_other_is_refused(void **state)
{
    (void)state;
    char *said = NULL;
    /* The empty needs neither pushed yet, the full before it both, and nobody pops. */
    const struct history_operation full_then_empty[] = {PUSH(1, 1, 9), PUSH(2, 2, 10), FULL(3, 3, 4), EMPTY(5, 6)};
    assert_int_equal(judge(two_slots, full_then_empty, 4, &said), HISTORY_NOT_LINEARIZABLE);
    assert_non_null(strstr(said, "no order of the operations explains their answers"));
    assert_non_null(strstr(said, "pop  -> empty"));
    free(said);
}

static void refusal_names_the_operations_to_blame(void **state)
{
    (void)state;
    const struct history_operation reordered[] = {PUSH(0xa, 1, 2), PUSH(0xb, 3, 4), POP(0xb, 5, 6), POP(0xa, 7, 8)};
    char *said = NULL;
    assert_int_equal(judge(unbounded, reordered, 4, &said), HISTORY_NOT_LINEARIZABLE);
    assert_string_equal(said, "not linearizable: 0xa was pushed before 0xb, yet popped after it\n"
                              "    thread  0  [     1,      2]  push 0xa\n"
                              "    thread  0  [     3,      4]  push 0xb\n"
                              "  > thread  0  [     5,      6]  pop  -> 0xb\n"
                              "  > thread  0  [     7,      8]  pop  -> 0xa\n");
    free(said);
}

static void spurious_answers_are_let_pass_only_where_they_are_documented(void **state)
{
    (void)state;
    const struct history_options may_say_empty = {.capacity_slots = 2, .spurious_empty = true};
    const struct history_options may_say_full = {.capacity_slots = 2, .spurious_full = true};
    ACCEPTS(may_say_empty, PUSH(1, 1, 2), EMPTY(3, 4), POP(1, 5, 6));
    REFUSES(may_say_full, PUSH(1, 1, 2), EMPTY(3, 4), POP(1, 5, 6));
    ACCEPTS(may_say_full, PUSH(1, 1, 2), FULL(2, 3, 4), POP(1, 5, 6));
    REFUSES(may_say_empty, PUSH(1, 1, 2), FULL(2, 3, 4), POP(1, 5, 6));
    REFUSES(may_say_empty, PUSH(1, 1, 2), EMPTY(3, 4), POP(2, 5, 6));
}

static void broadcast_readers_must_agree_on_one_order(void **state)
{
    (void)state;
    const struct history_options three_of_which_two_read = {.threads = 3, .readers = 2};
    ACCEPTS(three_of_which_two_read, PUSH(1, 1, 3), PUSH(2, 2, 4), READ(1, 2, 5, 6), READ(1, 1, 7, 8),
            READ(2, 2, 9, 10), READ(2, 1, 11, 12));
    ACCEPTS(three_of_which_two_read, PUSH(1, 1, 3), PUSH(2, 2, 4), READ(1, 2, 5, 6), READ(1, 1, 7, 8));
    REFUSES(three_of_which_two_read, PUSH(1, 1, 3), PUSH(2, 2, 4), READ(1, 2, 5, 6), READ(1, 1, 7, 8),
            READ(2, 1, 9, 10), READ(2, 2, 11, 12));
    REFUSES(three_of_which_two_read, PUSH(1, 1, 2), PUSH(2, 3, 4), READ(1, 2, 5, 6), READ(2, 2, 7, 8));
    const struct history_options to_the_end = {.threads = 3, .readers = 2, .drained = true};
    REFUSES(to_the_end, PUSH(1, 1, 2), READ(1, 1, 3, 4));
    ACCEPTS(to_the_end, PUSH(1, 1, 2), READ(1, 1, 3, 4), READ(2, 1, 5, 6));
}

static void check_that_cannot_tell_says_so(void **state)
{
    (void)state;
    const struct history_operation fine[] = {PUSH(1, 1, 2), PUSH(2, 3, 4), POP(1, 5, 6), POP(2, 7, 8)};
    const struct history_operation twice[] = {PUSH(1, 1, 2), PUSH(1, 3, 4)};
    assert_int_equal(judge((struct history_options){.configurations = 3}, fine, 4, NULL), HISTORY_INCONCLUSIVE);
    assert_int_equal(judge((struct history_options){.configurations = 4}, fine, 4, NULL), HISTORY_LINEARIZABLE);
    assert_int_equal(judge((struct history_options){.operations_per_thread = 3}, fine, 4, NULL), HISTORY_INCONCLUSIVE);
    assert_int_equal(judge(unbounded, twice, 2, NULL), HISTORY_INCONCLUSIVE);
}

static void record_refuses_bad_options(void **state)
{
    (void)state;
    struct history history;
    assert_int_equal(history_open(&history, &(struct history_options){.threads = 1}), -EINVAL);
    assert_int_equal(history_open(&history, &(struct history_options){.operations_per_thread = 1}), -EINVAL);
    assert_int_equal(
        history_open(&history, &(struct history_options){.threads = 1, .readers = 2, .operations_per_thread = 1}),
        -EINVAL);
    history_close(&history);
}

/* ---- Random histories ---- */

/* Steele, Lea and Flood's SplitMix64: below `limit`. */
static uint64_t draw(uint64_t *random, uint64_t limit)
{
    uint64_t number = (*random += UINT64_C(0x9E3779B97F4A7C15));
    number = (number ^ (number >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    number = (number ^ (number >> 27)) * UINT64_C(0x94D049BB133111EB);
    return (number ^ (number >> 31)) % limit;
}

enum { SIMULATED_THREADS = 8, SIMULATED_OPERATIONS = 6000 };

/* A sequential queue, and threads that begin, do and end their operations on it in any interleaving. */
struct simulation {
    uint64_t random;
    unsigned producers;
    unsigned consumers;
    size_t capacity;
    size_t operations; /* to generate */
    uint64_t stall;    /* one step in so many puts its thread to sleep for so many; 0: never */
    uint64_t now;
    uint64_t pushed;
    uint64_t popped;
    uint64_t *content;
    struct {
        enum { IDLE, BEGUN, DONE } phase;
        uint64_t asleep_until;
        struct history_operation operation;
    } threads[SIMULATED_THREADS];
    size_t count;
    struct history_operation *done;
};

/* Where the operation of a thread takes effect: the moment that makes the history linearizable. */
static void take_effect(struct simulation *simulation, struct history_operation *operation)
{
    uint64_t size = simulation->pushed - simulation->popped;
    if (operation->kind == HISTORY_PUSH) {
        operation->refused = simulation->capacity != 0 && size == simulation->capacity;
        if (!operation->refused)
            simulation->content[simulation->pushed++] = operation->value;
    } else {
        operation->refused = size == 0;
        if (!operation->refused)
            operation->value = simulation->content[simulation->popped++];
    }
}

static void simulate(struct simulation *simulation)
{
    unsigned threads = simulation->producers + simulation->consumers;
    size_t begun = 0;
    while (simulation->count < simulation->operations) {
        unsigned number = (unsigned)draw(&simulation->random, threads);
        struct history_operation *operation = &simulation->threads[number].operation;
        simulation->now++;
        if (simulation->threads[number].asleep_until > simulation->now)
            continue;
        if (simulation->stall != 0 && draw(&simulation->random, simulation->stall) == 0)
            simulation->threads[number].asleep_until = simulation->now + simulation->stall;
        switch (simulation->threads[number].phase) {
        case IDLE:
            if (begun == simulation->operations)
                break;
            begun++;
            *operation = (struct history_operation){.thread = number, .invoked = simulation->now};
            operation->kind = number < simulation->producers ? HISTORY_PUSH : HISTORY_POP;
            operation->value = operation->kind == HISTORY_PUSH ? begun : 0;
            simulation->threads[number].phase = BEGUN;
            break;
        case BEGUN:
            take_effect(simulation, operation);
            simulation->threads[number].phase = DONE;
            break;
        case DONE:
            operation->responded = simulation->now;
            simulation->done[simulation->count++] = *operation;
            simulation->threads[number].phase = IDLE;
            break;
        }
    }
}

static struct simulation *simulated(struct simulation settings)
{
    struct simulation *simulation = malloc(sizeof(*simulation));
    assert_non_null(simulation);
    *simulation = settings;
    simulation->content = calloc(settings.operations, sizeof(*simulation->content));
    simulation->done = calloc(settings.operations, sizeof(*simulation->done));
    assert_non_null(simulation->content);
    assert_non_null(simulation->done);
    simulate(simulation);
    return simulation;
}

static void forget(struct simulation *simulation)
{
    free(simulation->content);
    free(simulation->done);
    free(simulation);
}

/* Few threads and many, bounds of one slot and none, all awake or often preempted. */
static struct simulation settings_of_round(uint64_t round)
{
    static const size_t capacities[] = {1, 2, 8, 64, 0};
    static const uint64_t stalls[] = {0, 30, 300};
    return (struct simulation){
        .random = round,
        .producers = 1 + (unsigned)(round % 4),
        .consumers = 1 + (unsigned)(round / 4 % 4),
        .capacity = capacities[round % 5],
        .stall = stalls[round % 3],
        .operations = SIMULATED_OPERATIONS,
    };
}

static void history_of_a_sequential_queue_with_overlapping_operations_is_accepted(void **state)
{
    (void)state;
    for (uint64_t round = 0; round < 60; round++) {
        struct simulation *simulation = simulated(settings_of_round(round));
        struct history_options options = {.capacity_slots = simulation->capacity};
        assert_int_equal(judge(options, simulation->done, simulation->count, NULL), HISTORY_LINEARIZABLE);
        forget(simulation);
    }
}

static const struct history_operation *push_of(const struct simulation *simulation, uint64_t value)
{
    for (size_t i = 0; i < simulation->count; i++) {
        if (simulation->done[i].kind == HISTORY_PUSH && simulation->done[i].value == value)
            return &simulation->done[i];
    }
    return NULL;
}

/* Picks two messages whose pushes are strictly ordered, and their pops too. */
static bool pick_ordered_pops(struct simulation *simulation, struct history_operation **first,
                              struct history_operation **second)
{
    for (unsigned attempt = 0; attempt < 10000; attempt++) {
        size_t at = draw(&simulation->random, simulation->count);
        *first = &simulation->done[at];
        *second = &simulation->done[at + draw(&simulation->random, simulation->count - at)];
        if ((*first)->kind != HISTORY_POP || (*second)->kind != HISTORY_POP || (*first)->refused ||
            (*second)->refused || (*first)->responded >= (*second)->invoked)
            continue;
        if (push_of(simulation, (*first)->value)->responded < push_of(simulation, (*second)->value)->invoked)
            return true;
    }
    return false;
}

static void history_with_two_ordered_pops_swapped_is_refused(void **state)
{
    (void)state;
    for (uint64_t round = 0; round < 60; round++) {
        struct simulation *simulation = simulated(settings_of_round(round));
        struct history_options options = {.capacity_slots = simulation->capacity};
        struct history_operation *first;
        struct history_operation *second;
        assert_true(pick_ordered_pops(simulation, &first, &second));
        uint64_t value = first->value;
        first->value = second->value;
        second->value = value;
        assert_int_equal(judge(options, simulation->done, simulation->count, NULL), HISTORY_NOT_LINEARIZABLE);
        forget(simulation);
    }
}

static void history_with_a_pop_left_out_is_refused(void **state)
{
    (void)state;
    for (uint64_t round = 0; round < 60; round++) {
        struct simulation *simulation = simulated(settings_of_round(round));
        struct history_options options = {.capacity_slots = simulation->capacity};
        struct history_operation *first;
        struct history_operation *second;
        assert_true(pick_ordered_pops(simulation, &first, &second));
        *first = simulation->done[--simulation->count];
        assert_int_equal(judge(options, simulation->done, simulation->count, NULL), HISTORY_NOT_LINEARIZABLE);
        forget(simulation);
    }
}

/* ---- Against a search without any cleverness ---- */

enum { SMALL_OPERATIONS = 10 };

/* Whether some order of the operations not in `taken` explains them, from this content of the queue on. */
static bool is_explained(const struct history_operation *operations, size_t count, size_t capacity, unsigned taken,
                         const uint64_t *content, size_t size)
{
    bool all_taken = true;
    for (size_t i = 0; i < count; i++) {
        const struct history_operation *next = &operations[i];
        bool may_be_next = (taken >> i & 1) == 0;
        all_taken &= !may_be_next;
        for (size_t j = 0; j < count && may_be_next; j++)
            may_be_next = (taken >> j & 1) != 0 || operations[j].responded >= next->invoked;
        if (!may_be_next)
            continue;
        uint64_t after[SMALL_OPERATIONS] = {0};
        size_t popped = next->kind == HISTORY_POP && !next->refused;
        bool is_full = capacity != 0 && size == capacity;
        if (next->kind == HISTORY_PUSH ? next->refused != is_full : next->refused != (size == 0))
            continue;
        if (popped != 0 && content[0] != next->value)
            continue;
        if (size > popped)
            memcpy(after, content + popped, (size - popped) * sizeof(*after));
        if (next->kind == HISTORY_PUSH && !next->refused)
            after[size] = next->value;
        size_t size_after = next->refused ? size : next->kind == HISTORY_PUSH ? size + 1 : size - 1;
        if (is_explained(operations, count, capacity, taken | 1u << i, after, size_after))
            return true;
    }
    return all_taken;
}

/* Changes one answer or one stamp, to what may be wrong or not. */
static void disturb(struct simulation *simulation)
{
    struct history_operation *operation = &simulation->done[draw(&simulation->random, simulation->count)];
    const struct history_operation *other = &simulation->done[draw(&simulation->random, simulation->count)];
    switch (draw(&simulation->random, 6)) {
    case 0:
    case 1:
    case 2:
        operation->refused = !operation->refused;
        break;
    case 3:
        if (operation->kind == HISTORY_POP && other->kind == HISTORY_PUSH) {
            operation->value = other->value;
            operation->refused = false;
        }
        break;
    case 4:
        operation->responded += draw(&simulation->random, 8);
        break;
    default:
        operation->invoked -= draw(&simulation->random, operation->invoked);
        break;
    }
}

static void check_agrees_with_an_exhaustive_search_of_small_histories(void **state)
{
    (void)state;
    unsigned accepted = 0;
    unsigned refused = 0;
    unsigned refused_by_search = 0;
    for (uint64_t round = 0; round < 20000; round++) {
        struct simulation *simulation = simulated((struct simulation){
            .random = round,
            .producers = 1 + (unsigned)(round % 4),
            .consumers = 1 + (unsigned)(round / 4 % 3),
            .capacity = round % 4,
            .stall = round % 3 * 15,
            .operations = SMALL_OPERATIONS,
        });
        for (uint64_t changes = draw(&simulation->random, 5); changes > 0; changes--)
            disturb(simulation);
        char *said = NULL;
        struct history_options options = {.capacity_slots = simulation->capacity};
        enum history_verdict verdict = judge(options, simulation->done, simulation->count, &said);
        bool explained = is_explained(simulation->done, simulation->count, simulation->capacity, 0, NULL, 0);
        assert_int_equal(verdict, explained ? HISTORY_LINEARIZABLE : HISTORY_NOT_LINEARIZABLE);
        accepted += explained;
        refused += !explained;
        refused_by_search += strstr(said, "no order of the operations") != NULL;
        free(said);
        forget(simulation);
    }
    /* Or the comparison would prove little. */
    assert_true(accepted > 5000);
    assert_true(refused > 5000);
    assert_true(refused_by_search > 30);
}

/* ---- Real threads ---- */

enum fault {
    SOUND,
    STACK,    /* last in, first out */
    LOSES,    /* now and then overwrites a message */
    DOUBLES,  /* now and then hands out a message twice */
    REPEATS,  /* hands out the same message for ever */
    REORDERS, /* now and then lets the second overtake the first */
};

enum { PLAIN_CAPACITY = 512, PLAIN_READERS = 2 };

/* A queue behind a lock, and its faults. */
struct plain {
    pthread_mutex_t lock;
    enum fault fault;
    size_t capacity;
    size_t withheld; /* answers empty before so many were pushed, so that there is something to confuse */
    uint64_t slots[PLAIN_CAPACITY];
    size_t size;
    size_t pushes;
    size_t pops;
};

static int plain_push(void *argument, unsigned producer, uint64_t value)
{
    (void)producer;
    struct plain *queue = argument;
    int result = -EAGAIN;
    pthread_mutex_lock(&queue->lock);
    if (queue->size < queue->capacity) {
        queue->pushes++;
        if (queue->fault == LOSES && queue->pushes % 100 == 0 && queue->size > 0)
            queue->size--;
        queue->slots[queue->size++] = value;
        result = 0;
    }
    pthread_mutex_unlock(&queue->lock);
    return result;
}

static int plain_pop(void *argument, unsigned consumer, uint64_t *value)
{
    (void)consumer;
    struct plain *queue = argument;
    int result = -EAGAIN;
    pthread_mutex_lock(&queue->lock);
    if (queue->size > 0 && queue->pushes >= queue->withheld) {
        bool acts_up = ++queue->pops % 100 == 0 && queue->size > 1;
        size_t from = queue->fault == STACK ? queue->size - 1 : queue->fault == REORDERS && acts_up ? 1 : 0;
        *value = queue->slots[from];
        if (queue->fault != REPEATS && (queue->fault != DOUBLES || !acts_up)) {
            queue->size--;
            memmove(&queue->slots[from], &queue->slots[from + 1], (queue->size - from) * sizeof(queue->slots[0]));
        }
        result = 0;
    }
    pthread_mutex_unlock(&queue->lock);
    return result;
}

static enum history_verdict run_plain_once(struct plain queue, unsigned producers, unsigned consumers,
                                           struct history_options options)
{
    char *text = NULL;
    size_t length = 0;
    struct history_subject subject = {
        .queue = &queue,
        .try_push = plain_push,
        .try_pop = plain_pop,
        .producers = producers,
        .consumers = consumers,
        .messages_per_producer = 1000,
    };
    assert_int_equal(pthread_mutex_init(&queue.lock, NULL), 0);
    options.capacity_slots = queue.capacity;
    options.report = open_memstream(&text, &length);
    assert_non_null(options.report);
    enum history_verdict verdict = history_run(&subject, &options);
    fclose(options.report);
    free(text);
    pthread_mutex_destroy(&queue.lock);
    return verdict;
}

/* On a busy machine a thread may be held up for so long that its history says nothing: then there is another one. */
static enum history_verdict run_plain(struct plain queue, unsigned producers, unsigned consumers,
                                      struct history_options options)
{
    enum history_verdict verdict = HISTORY_INCONCLUSIVE;
    for (unsigned i = 0; i < 10 && verdict == HISTORY_INCONCLUSIVE; i++)
        verdict = run_plain_once(queue, producers, consumers, options);
    return verdict;
}

static void history_of_threads_at_a_locked_queue_is_accepted(void **state)
{
    (void)state;
    for (size_t capacity = 1; capacity <= PLAIN_CAPACITY; capacity *= 8) {
        for (unsigned threads = 1; threads <= 4; threads++) {
            struct plain queue = {.capacity = capacity};
            assert_int_equal(run_plain(queue, threads, 5 - threads, unbounded), HISTORY_LINEARIZABLE);
        }
    }
}

static void history_of_threads_at_a_broken_queue_is_refused(void **state)
{
    (void)state;
    const struct history_options may_say_empty = {.spurious_empty = true};
    for (enum fault fault = SOUND; fault <= REORDERS; fault++) {
        struct plain queue = {.capacity = PLAIN_CAPACITY, .withheld = PLAIN_CAPACITY / 2, .fault = fault};
        enum history_verdict expected = fault == SOUND ? HISTORY_LINEARIZABLE : HISTORY_NOT_LINEARIZABLE;
        assert_int_equal(run_plain(queue, 2, 2, may_say_empty), expected);
        assert_int_equal(run_plain(queue, 1, 1, may_say_empty), expected);
    }
}

/* A log behind a lock, of which each reader sees all. */
struct journal {
    pthread_mutex_t lock;
    bool skips;
    size_t count;
    size_t read[PLAIN_READERS];
    uint64_t values[4096];
};

static int journal_push(void *argument, unsigned producer, uint64_t value)
{
    (void)producer;
    struct journal *journal = argument;
    pthread_mutex_lock(&journal->lock);
    journal->values[journal->count++] = value;
    pthread_mutex_unlock(&journal->lock);
    return 0;
}

static int journal_read(void *argument, unsigned consumer, uint64_t *value)
{
    struct journal *journal = argument;
    int result = -EAGAIN;
    pthread_mutex_lock(&journal->lock);
    if (journal->skips && consumer == 1 && journal->read[1] == 1500)
        journal->read[1]++;
    if (journal->read[consumer] < journal->count) {
        *value = journal->values[journal->read[consumer]++];
        result = 0;
    }
    pthread_mutex_unlock(&journal->lock);
    return result;
}

static void history_of_a_broadcast_is_accepted_unless_a_reader_misses_a_message(void **state)
{
    (void)state;
    for (int skips = 0; skips < 2; skips++) {
        struct journal journal = {.skips = skips != 0};
        struct history_subject subject = {
            .queue = &journal,
            .try_push = journal_push,
            .try_pop = journal_read,
            .producers = 2,
            .consumers = PLAIN_READERS,
            .messages_per_producer = 1000,
        };
        char *text = NULL;
        size_t length = 0;
        FILE *report = open_memstream(&text, &length);
        assert_non_null(report);
        assert_int_equal(pthread_mutex_init(&journal.lock, NULL), 0);
        struct history_options options = {.readers = PLAIN_READERS, .report = report};
        assert_int_equal(history_run(&subject, &options), skips != 0 ? HISTORY_NOT_LINEARIZABLE : HISTORY_LINEARIZABLE);
        fclose(report);
        free(text);
        pthread_mutex_destroy(&journal.lock);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(history_of_one_thread_is_accepted),
        cmocka_unit_test(history_with_a_lost_message_is_refused),
        cmocka_unit_test(history_with_a_doubled_or_invented_message_is_refused),
        cmocka_unit_test(history_out_of_order_is_refused),
        cmocka_unit_test(history_with_a_pop_before_its_push_is_refused),
        cmocka_unit_test(history_with_an_empty_answer_of_a_queue_that_held_something_is_refused),
        cmocka_unit_test(history_with_a_full_answer_of_a_queue_that_had_room_is_refused),
        cmocka_unit_test(history_that_exceeds_the_capacity_is_refused),
        cmocka_unit_test(history_of_overlapping_operations_may_take_either_order),
        cmocka_unit_test(history_whose_answers_exclude_each_other_is_refused),
        cmocka_unit_test(refusal_names_the_operations_to_blame),
        cmocka_unit_test(spurious_answers_are_let_pass_only_where_they_are_documented),
        cmocka_unit_test(broadcast_readers_must_agree_on_one_order),
        cmocka_unit_test(check_that_cannot_tell_says_so),
        cmocka_unit_test(record_refuses_bad_options),
        cmocka_unit_test(history_of_a_sequential_queue_with_overlapping_operations_is_accepted),
        cmocka_unit_test(history_with_two_ordered_pops_swapped_is_refused),
        cmocka_unit_test(history_with_a_pop_left_out_is_refused),
        cmocka_unit_test(check_agrees_with_an_exhaustive_search_of_small_histories),
        cmocka_unit_test(history_of_threads_at_a_locked_queue_is_accepted),
        cmocka_unit_test(history_of_threads_at_a_broken_queue_is_refused),
        cmocka_unit_test(history_of_a_broadcast_is_accepted_unless_a_reader_misses_a_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
