/*
 * The check, in three steps.
 *
 * match_values pairs each push with the pop of its value; values are unique, so that nothing is left to choose.
 *
 * find_patterns looks for what no order can explain, in one pass over the stamps: the ways in which a queue goes
 * wrong that Henzinger, Sezgin and Vafeiadis name in "Aspect-oriented linearizability proofs" (2013), and their like
 * for a bounded queue. It is quick, and says what is wrong in one sentence.
 *
 * search decides. It is the algorithm of Wing and Gong, "Testing and verifying concurrent objects" (1993), with the
 * undo and the set of visited configurations that Lowe adds in "Testing for linearizability" (2017): linearize any
 * operation that was invoked before the first response of one that is not yet linearized, step back when stuck, and
 * never visit twice a set of linearized operations with the same content of the queue. Where it gets stuck it does
 * not only step back, but mends the order in which it had pushed; see mend. Four facts keep it from choosing where
 * nothing depends on the choice:
 *   - A refusal leaves the queue as it was: once it can be linearized, now is as good as later.
 *   - The pop of the front can be linearized now, unless an answer of full might need the slot to stay taken.
 *   - A push cannot come first if the value of another, still to come, was popped entirely before its own.
 *   - Of two pushes, the one that responds no later, and whose pop neither begins nor ends later, can come first: in
 *     an order that has them the other way round they can change places.
 */
#include "linearizability.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum {
    DEFAULT_CONFIGURATIONS = 1 << 22,
    WINDOW_OPERATIONS = 5, /* shown before and after each operation that a counterexample names */
    TRAIL_OPERATIONS = 8,  /* shown of the longest order that the search found */
    PATIENCE = 200,        /* configurations without progress before the search is stuck */
    REACH = 8,             /* of a change of the order, to either side of an end of the queue */
    CHANGES = 3,           /* at most, of the order, between two attempts */
    ATTEMPTS = 1000,       /* to improve on the best order */
};

/* Operations and events count from 1, so that 0 can stand for none of them, and for the head of a chain. */
#define NOBODY 0u
#define NEVER UINT64_MAX
#define EVERYBODY UINT32_MAX

struct operation {
    struct history_operation seen;
    uint32_t peer; /* the pop of a pushed value, the push of a popped one */
    uint32_t invocation;
    uint32_t response;
    uint64_t popped_from; /* of a push, the stamps of its pop */
    uint64_t popped_until;
};

/* An invocation or a response. */
struct event {
    uint64_t stamp;
    uint32_t operation;
    bool response;
};

/* One history under examination: operations in order of invocation, events in order of time. */
struct judge {
    const struct history_options *options;
    FILE *report;
    size_t count;
    struct operation *operations;
    struct event *events;
};

/* ---- Reports ---- */

static void print_operation(const struct judge *judge, uint32_t number, bool named)
{
    const struct history_operation *seen = &judge->operations[number].seen;
    (void)fprintf(judge->report, "%s thread %2" PRIu32 "  [%6" PRIu64 ", %6" PRIu64 "]  ", named ? "  >" : "   ",
                  seen->thread, seen->invoked, seen->responded);
    if (seen->kind == HISTORY_POP && seen->refused)
        (void)fprintf(judge->report, "pop  -> empty\n");
    else if (seen->kind == HISTORY_POP)
        (void)fprintf(judge->report, "pop  -> 0x%" PRIx64 "\n", seen->value);
    else
        (void)fprintf(judge->report, "push 0x%" PRIx64 "%s\n", seen->value, seen->refused ? " -> full" : "");
}

static bool is_near(uint32_t number, uint32_t named)
{
    return named != NOBODY && number + WINDOW_OPERATIONS >= named && number <= named + WINDOW_OPERATIONS;
}

static void print_window(const struct judge *judge, uint32_t first, uint32_t second)
{
    bool gap = false;
    for (uint32_t number = 1; number <= judge->count; number++) {
        if (is_near(number, first) || is_near(number, second)) {
            print_operation(judge, number, number == first || number == second);
            gap = false;
        } else if (!gap) {
            (void)fprintf(judge->report, "    ...\n");
            gap = true;
        }
    }
}

/* Prints why no order explains the history, with the operations around the one or two to blame. */
KN_PRINTF(4, 5)
static enum history_verdict refuse(const struct judge *judge, uint32_t first, uint32_t second, const char *why, ...)
{
    va_list arguments;
    va_start(arguments, why);
    (void)fprintf(judge->report, "not linearizable: ");
    (void)vfprintf(judge->report, why, arguments);
    (void)fprintf(judge->report, "\n");
    va_end(arguments);
    print_window(judge, first, second);
    return HISTORY_NOT_LINEARIZABLE;
}

static enum history_verdict give_up(FILE *report, const char *why)
{
    (void)fprintf(report, "inconclusive: %s\n", why);
    return HISTORY_INCONCLUSIVE;
}

/* ---- From what was recorded to what is examined ---- */

static int compare(uint64_t left, uint64_t right)
{
    return (left > right) - (left < right);
}

static int by_invocation(const void *left, const void *right)
{
    const struct operation *a = left;
    const struct operation *b = right;
    return compare(a->seen.invoked, b->seen.invoked);
}

/* At one stamp, invocations come first: operations that touch overlap. */
static int by_time(const void *left, const void *right)
{
    const struct event *a = left;
    const struct event *b = right;
    return a->stamp != b->stamp ? compare(a->stamp, b->stamp) : a->response - b->response;
}

static void judge_close(struct judge *judge)
{
    free(judge->operations);
    free(judge->events);
}

/* Whether the queue of `reader` alone is to explain it; every reader has to explain the pushes. */
static bool concerns(const struct history_operation *seen, uint32_t reader)
{
    if (reader == EVERYBODY)
        return true;
    return seen->kind == HISTORY_PUSH ? !seen->refused : seen->thread == reader;
}

static bool judge_open(struct judge *judge, const struct history *history, uint32_t reader)
{
    size_t total = 0;
    for (unsigned i = 0; i < history->options.threads; i++)
        total += history->threads[i].count;
    judge->operations = calloc(total + 1, sizeof(*judge->operations));
    judge->events = calloc(2 * total + 1, sizeof(*judge->events));
    if (judge->operations == NULL || judge->events == NULL || total >= UINT32_MAX / 2)
        return false;
    for (unsigned i = 0; i < history->options.threads; i++) {
        for (size_t j = 0; j < history->threads[i].count; j++) {
            const struct history_operation *seen = &history->threads[i].operations[j];
            if (concerns(seen, reader))
                judge->operations[++judge->count].seen = *seen;
        }
    }
    qsort(judge->operations + 1, judge->count, sizeof(*judge->operations), by_invocation);
    for (uint32_t i = 1; i <= judge->count; i++) {
        const struct history_operation *seen = &judge->operations[i].seen;
        judge->events[2 * i - 1] = (struct event){.stamp = seen->invoked, .operation = i};
        judge->events[2 * i] = (struct event){.stamp = seen->responded, .operation = i, .response = true};
    }
    qsort(judge->events + 1, 2 * judge->count, sizeof(*judge->events), by_time);
    for (uint32_t i = 1; i <= 2 * judge->count; i++) {
        struct operation *operation = &judge->operations[judge->events[i].operation];
        *(judge->events[i].response ? &operation->response : &operation->invocation) = i;
    }
    return true;
}

struct match {
    uint64_t value;
    uint32_t operation;
    enum history_kind kind;
};

static int by_value(const void *left, const void *right)
{
    const struct match *a = left;
    const struct match *b = right;
    return a->value != b->value ? compare(a->value, b->value) : (int)a->kind - (int)b->kind;
}

/* Joins the push and the pop of one value: the `count` operations that had it, pushes first. */
static enum history_verdict match_value(struct judge *judge, const struct match *matches, size_t count)
{
    uint32_t push = matches[0].operation;
    uint32_t pop = count > 1 ? matches[1].operation : NOBODY;
    uint64_t value = matches[0].value;
    if (matches[0].kind == HISTORY_POP)
        return refuse(judge, push, NOBODY, "0x%" PRIx64 " was popped, but nobody pushed it", value);
    if (count > 1 && matches[1].kind == HISTORY_PUSH)
        return give_up(judge->report, "a value was pushed twice: pushes must have values of their own");
    if (count > 2)
        return refuse(judge, pop, matches[2].operation, "0x%" PRIx64 " was popped twice", value);
    if (pop == NOBODY && judge->options->drained)
        return refuse(judge, push, NOBODY, "0x%" PRIx64 " was lost: the queue was drained without it", value);
    struct operation *operation = &judge->operations[push];
    operation->popped_from = operation->popped_until = NEVER;
    if (pop == NOBODY)
        return HISTORY_LINEARIZABLE;
    operation->peer = pop;
    operation->popped_from = judge->operations[pop].seen.invoked;
    operation->popped_until = judge->operations[pop].seen.responded;
    judge->operations[pop].peer = push;
    if (operation->popped_until < operation->seen.invoked)
        return refuse(judge, pop, push, "0x%" PRIx64 " was popped before its push began", value);
    return HISTORY_LINEARIZABLE;
}

static enum history_verdict match_values(struct judge *judge)
{
    struct match *matches = calloc(judge->count + 1, sizeof(*matches));
    if (matches == NULL)
        return give_up(judge->report, "no memory");
    size_t count = 0;
    for (uint32_t i = 1; i <= judge->count; i++) {
        const struct history_operation *seen = &judge->operations[i].seen;
        if (!seen->refused)
            matches[count++] = (struct match){.value = seen->value, .operation = i, .kind = seen->kind};
    }
    qsort(matches, count, sizeof(*matches), by_value);
    enum history_verdict verdict = HISTORY_LINEARIZABLE;
    for (size_t from = 0, to = 0; from < count && verdict == HISTORY_LINEARIZABLE; from = to) {
        while (to < count && matches[to].value == matches[from].value)
            to++;
        verdict = match_value(judge, matches + from, to - from);
    }
    free(matches);
    return verdict;
}

/* ---- What no order explains ---- */

/*
 * The bounds of what the queue holds as time goes by. `certain` counts values whose push has responded and whose pop
 * has not begun; `possible` those whose push has begun and whose pop has not responded.
 */
struct bounds {
    size_t certain;
    size_t possible;
    uint64_t held_since;  /* `certain` has been above 0 */
    uint64_t short_since; /* `possible` has been below the capacity */
    uint32_t holder;      /* the push that made it so */
    uint32_t releaser;    /* the pop that made it so */
    uint32_t latest;      /* the push that has responded whose pop begins last */
};

static enum history_verdict pass_push(const struct judge *judge, struct bounds *now, const struct event *event)
{
    const struct operation *operation = &judge->operations[event->operation];
    size_t capacity = judge->options->capacity_slots;
    if (!event->response) {
        const struct operation *latest = &judge->operations[now->latest];
        if (now->latest != NOBODY && latest->popped_from > operation->popped_until)
            return refuse(judge, latest->peer != NOBODY ? latest->peer : now->latest, operation->peer,
                          "0x%" PRIx64 " was pushed before 0x%" PRIx64 ", yet %s", latest->seen.value,
                          operation->seen.value, latest->peer != NOBODY ? "popped after it" : "only the latter popped");
        if (++now->possible >= capacity)
            now->short_since = NEVER;
        return HISTORY_LINEARIZABLE;
    }
    if (now->latest == NOBODY || operation->popped_from > judge->operations[now->latest].popped_from)
        now->latest = event->operation;
    if (operation->popped_from <= event->stamp)
        return HISTORY_LINEARIZABLE;
    if (now->certain++ == 0) {
        now->held_since = event->stamp;
        now->holder = event->operation;
    }
    if (capacity != 0 && now->certain > capacity)
        return refuse(judge, event->operation, NOBODY, "the queue held %zu values, but has %zu slots", now->certain,
                      capacity);
    return HISTORY_LINEARIZABLE;
}

static void pass_pop(const struct judge *judge, struct bounds *now, const struct event *event)
{
    const struct operation *operation = &judge->operations[event->operation];
    if (!event->response) {
        if (judge->operations[operation->peer].seen.responded < event->stamp && --now->certain == 0)
            now->held_since = NEVER;
    } else if (--now->possible + 1 == judge->options->capacity_slots) {
        now->short_since = event->stamp;
        now->releaser = event->operation;
    }
}

static enum history_verdict pass_refusal(const struct judge *judge, const struct bounds *now, const struct event *event)
{
    const struct history_operation *seen = &judge->operations[event->operation].seen;
    if (!event->response)
        return HISTORY_LINEARIZABLE;
    if (seen->kind == HISTORY_POP && now->held_since < seen->invoked)
        return refuse(judge, event->operation, now->holder, "a pop answered empty while the queue held something");
    if (seen->kind == HISTORY_PUSH && judge->options->capacity_slots == 0)
        return refuse(judge, event->operation, NOBODY, "a push answered full, but the queue has no bound");
    if (seen->kind == HISTORY_PUSH && now->short_since < seen->invoked)
        return refuse(judge, event->operation, now->releaser, "a push answered full while there was a free slot");
    return HISTORY_LINEARIZABLE;
}

static enum history_verdict find_patterns(const struct judge *judge)
{
    struct bounds now = {.held_since = NEVER};
    enum history_verdict verdict = HISTORY_LINEARIZABLE;
    for (uint32_t i = 1; i <= 2 * judge->count && verdict == HISTORY_LINEARIZABLE; i++) {
        const struct event *event = &judge->events[i];
        const struct history_operation *seen = &judge->operations[event->operation].seen;
        if (seen->refused)
            verdict = pass_refusal(judge, &now, event);
        else if (seen->kind == HISTORY_PUSH)
            verdict = pass_push(judge, &now, event);
        else
            pass_pop(judge, &now, event);
    }
    return verdict;
}

/* ---- The search ---- */

/* A doubly linked list of numbers; what is removed can be restored, last first, to where it was. */
struct chain {
    uint32_t *previous;
    uint32_t *next;
};

static bool chain_open(struct chain *chain, size_t numbers)
{
    chain->previous = calloc(numbers + 1, sizeof(*chain->previous));
    chain->next = calloc(numbers + 1, sizeof(*chain->next));
    return chain->previous != NULL && chain->next != NULL;
}

static void chain_close(struct chain *chain)
{
    free(chain->previous);
    free(chain->next);
}

static uint32_t chain_first(const struct chain *chain)
{
    return chain->next[0];
}

static void chain_append(struct chain *chain, uint32_t number)
{
    uint32_t last = chain->previous[0];
    chain->previous[number] = last;
    chain->next[number] = 0;
    chain->next[last] = number;
    chain->previous[0] = number;
}

static void chain_remove(struct chain *chain, uint32_t number)
{
    chain->next[chain->previous[number]] = chain->next[number];
    chain->previous[chain->next[number]] = chain->previous[number];
}

static void chain_restore(struct chain *chain, uint32_t number)
{
    chain->next[chain->previous[number]] = number;
    chain->previous[chain->next[number]] = number;
}

/*
 * A configuration by its fingerprint: the exclusive or of one random number for each linearized operation and one
 * for each value in its place in the queue. That two configurations of a search share all 128 bits by chance is less
 * likely than a fault of the machine.
 */
struct fingerprint {
    uint64_t low;
    uint64_t high;
};

/* The finalizer of Steele, Lea and Flood's SplitMix64. */
static uint64_t scramble(uint64_t number)
{
    number = (number ^ (number >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    number = (number ^ (number >> 27)) * UINT64_C(0x94D049BB133111EB);
    return number ^ (number >> 31);
}

static void toggle(struct fingerprint *fingerprint, uint32_t operation, size_t place)
{
    uint64_t key = ((uint64_t)place << 32) + operation;
    fingerprint->low ^= scramble(key + UINT64_C(0x9E3779B97F4A7C15));
    fingerprint->high ^= scramble(~key);
}

/* A set of fingerprints with open addressing; all zero is a free slot. */
struct visited {
    struct fingerprint *slots;
    size_t size;
    size_t count;
    size_t limit;
};

enum visit {
    VISIT_FIRST,
    VISIT_AGAIN,
    VISIT_NO_ROOM,
};

static struct fingerprint *visited_slot(const struct visited *visited, struct fingerprint sought)
{
    size_t at = sought.low & (visited->size - 1);
    struct fingerprint *slot = &visited->slots[at];
    while ((slot->low | slot->high) != 0 && (slot->low != sought.low || slot->high != sought.high)) {
        at = (at + 1) & (visited->size - 1);
        slot = &visited->slots[at];
    }
    return slot;
}

static bool visited_grow(struct visited *visited)
{
    struct visited larger = *visited;
    larger.size = visited->size == 0 ? 1024 : 2 * visited->size;
    larger.slots = calloc(larger.size, sizeof(*larger.slots));
    if (larger.slots == NULL)
        return false;
    for (size_t i = 0; i < visited->size; i++) {
        if ((visited->slots[i].low | visited->slots[i].high) != 0)
            *visited_slot(&larger, visited->slots[i]) = visited->slots[i];
    }
    free(visited->slots);
    *visited = larger;
    return true;
}

static enum visit visited_add(struct visited *visited, struct fingerprint fingerprint)
{
    if (4 * visited->count >= 3 * visited->size && !visited_grow(visited))
        return VISIT_NO_ROOM;
    struct fingerprint *slot = visited_slot(visited, fingerprint);
    if ((slot->low | slot->high) != 0)
        return VISIT_AGAIN;
    if (visited->count == visited->limit)
        return VISIT_NO_ROOM;
    *slot = fingerprint;
    visited->count++;
    return VISIT_FIRST;
}

/* A move that the search made: the operation that it linearized, and which of the moves open to it that was. */
struct step {
    uint32_t operation;
    uint32_t choice;
};

/*
 * Where the search stands. The queue is content[head..tail): what is pushed lands behind all that ever was, so that
 * stepping back is moving an index. `events` holds those of the operations not yet linearized.
 */
struct search {
    const struct judge *judge;
    struct chain events;
    struct chain pushes; /* not yet linearized, in order of the response of their pops */
    struct chain fulls;  /* refused pushes not yet linearized, in order of invocation */
    uint32_t *content;
    size_t head;
    size_t tail;
    struct fingerprint fingerprint;
    struct visited visited;
    struct step *path;
    size_t depth;
    uint32_t *open; /* operations invoked before the first response */
    size_t open_count;
    uint32_t *moves;

    /* An era is a search with one order, in which the first `ordered` values must be pushed; the rest is free. */
    uint32_t *order;
    size_t ordered;
    size_t patience;
    uint32_t era;

    /* The point of this era with the most operations linearized. */
    size_t deepest;
    size_t deepest_head;
    size_t deepest_tail;
    size_t deepest_visited; /* configurations by then */
    uint32_t *latest;       /* the content there */
    size_t agreed;          /* values in which that and the present content are the same */
    uint32_t stuck;         /* the operation that had to come next */
    uint32_t trail[TRAIL_OPERATIONS];
};

static void search_close(struct search *search)
{
    chain_close(&search->events);
    chain_close(&search->pushes);
    chain_close(&search->fulls);
    free(search->content);
    free(search->visited.slots);
    free(search->path);
    free(search->open);
    free(search->moves);
    free(search->order);
    free(search->latest);
}

static void search_fill(struct search *search)
{
    const struct judge *judge = search->judge;
    for (uint32_t i = 1; i <= 2 * judge->count; i++) {
        const struct operation *operation = &judge->operations[judge->events[i].operation];
        chain_append(&search->events, i);
        if (judge->events[i].response && operation->seen.kind == HISTORY_POP && !operation->seen.refused)
            chain_append(&search->pushes, operation->peer);
    }
    for (uint32_t i = 1; i <= judge->count; i++) {
        const struct operation *operation = &judge->operations[i];
        if (operation->seen.kind == HISTORY_PUSH && operation->seen.refused)
            chain_append(&search->fulls, i);
        else if (operation->seen.kind == HISTORY_PUSH && operation->peer == NOBODY)
            chain_append(&search->pushes, i);
    }
}

static bool search_open(struct search *search, const struct judge *judge)
{
    *search = (struct search){.judge = judge};
    size_t limit = judge->options->configurations;
    search->visited.limit = limit == 0 ? DEFAULT_CONFIGURATIONS : limit;
    bool chains = chain_open(&search->events, 2 * judge->count);
    chains = chain_open(&search->pushes, judge->count) && chains;
    chains = chain_open(&search->fulls, judge->count) && chains;
    search->content = calloc(judge->count + 1, sizeof(*search->content));
    search->path = calloc(judge->count + 1, sizeof(*search->path));
    search->open = calloc(judge->count + 1, sizeof(*search->open));
    search->moves = calloc(judge->count + 1, sizeof(*search->moves));
    search->order = calloc(judge->count + 1, sizeof(*search->order));
    search->latest = calloc(judge->count + 1, sizeof(*search->latest));
    if (!chains || search->content == NULL || search->path == NULL || search->open == NULL || search->moves == NULL ||
        search->order == NULL || search->latest == NULL)
        return false;
    search_fill(search);
    return true;
}

static void linearize(struct search *search, uint32_t number)
{
    const struct operation *operation = &search->judge->operations[number];
    chain_remove(&search->events, operation->invocation);
    chain_remove(&search->events, operation->response);
    toggle(&search->fingerprint, number, 0);
    if (operation->seen.kind == HISTORY_PUSH && operation->seen.refused) {
        chain_remove(&search->fulls, number);
    } else if (operation->seen.kind == HISTORY_PUSH) {
        chain_remove(&search->pushes, number);
        search->content[search->tail++] = number;
        toggle(&search->fingerprint, number, search->tail);
    } else if (!operation->seen.refused) {
        search->head++;
        toggle(&search->fingerprint, operation->peer, search->head);
    }
}

/* Undoes the last linearize: the same, backwards. */
static void step_back(struct search *search, uint32_t number)
{
    const struct operation *operation = &search->judge->operations[number];
    if (operation->seen.kind == HISTORY_PUSH && operation->seen.refused) {
        chain_restore(&search->fulls, number);
    } else if (operation->seen.kind == HISTORY_PUSH) {
        toggle(&search->fingerprint, number, search->tail);
        search->tail--;
        if (search->agreed > search->tail)
            search->agreed = search->tail;
        chain_restore(&search->pushes, number);
    } else if (!operation->seen.refused) {
        toggle(&search->fingerprint, operation->peer, search->head);
        search->head--;
    }
    toggle(&search->fingerprint, number, 0);
    chain_restore(&search->events, operation->response);
    chain_restore(&search->events, operation->invocation);
}

/* Fills `open`, and answers the operation whose response comes first: it must be linearized before any later one. */
static uint32_t collect_open(struct search *search)
{
    const struct event *events = search->judge->events;
    search->open_count = 0;
    uint32_t at = chain_first(&search->events);
    for (; !events[at].response; at = search->events.next[at])
        search->open[search->open_count++] = events[at].operation;
    return events[at].operation;
}

/* The pop of the front, if it has begun. */
static uint32_t open_pop(const struct search *search, uint32_t urgent)
{
    const struct operation *operations = search->judge->operations;
    if (search->head == search->tail)
        return NOBODY;
    uint32_t pop = operations[search->content[search->head]].peer;
    return pop != NOBODY && operations[pop].invocation < operations[urgent].response ? pop : NOBODY;
}

static bool may_come_next(const struct search *search, uint32_t push)
{
    const struct operation *operations = search->judge->operations;
    uint32_t earliest = chain_first(&search->pushes);
    return earliest == push || operations[earliest].popped_until >= operations[push].popped_from;
}

static bool is_push(const struct operation *operation)
{
    return operation->seen.kind == HISTORY_PUSH && !operation->seen.refused;
}

/* Whether an order that starts with `push` can be turned into one that starts with another open push. */
static bool is_dominated(const struct search *search, uint32_t push)
{
    const struct operation *loser = &search->judge->operations[push];
    for (size_t i = 0; i < search->open_count; i++) {
        const struct operation *winner = &search->judge->operations[search->open[i]];
        if (winner == loser || !is_push(winner) || winner->response > loser->response ||
            winner->popped_from > loser->popped_from || winner->popped_until > loser->popped_until)
            continue;
        return true;
    }
    return false;
}

/* The pushes that may be linearized now: the urgent one first, then in the order in which they are popped. */
static size_t find_pushes(const struct search *search, uint32_t urgent, uint32_t *moves)
{
    const struct operation *operations = search->judge->operations;
    size_t capacity = search->judge->options->capacity_slots;
    if (capacity != 0 && search->tail - search->head == capacity)
        return 0;
    if (search->tail < search->ordered) {
        moves[0] = search->order[search->tail];
        return operations[moves[0]].invocation < operations[urgent].response;
    }
    size_t count = 0;
    for (size_t i = 0; i < search->open_count; i++) {
        uint32_t push = search->open[i];
        if (!is_push(&operations[push]) || !may_come_next(search, push) || is_dominated(search, push))
            continue;
        size_t at = count++;
        for (; at > 0 && moves[at - 1] != urgent; at--) {
            if (push != urgent && operations[moves[at - 1]].popped_until <= operations[push].popped_until)
                break;
            moves[at] = moves[at - 1];
        }
        moves[at] = push;
    }
    return count;
}

/* The moves worth trying from here, the most promising first. One alone when nothing depends on the choice. */
static size_t find_moves(struct search *search)
{
    const struct operation *operations = search->judge->operations;
    uint32_t urgent = collect_open(search);
    size_t size = search->tail - search->head;
    bool full_awaited = false;
    for (size_t i = 0; i < search->open_count; i++) {
        const struct history_operation *seen = &operations[search->open[i]].seen;
        if (!seen->refused)
            continue;
        if (size == (seen->kind == HISTORY_PUSH ? search->judge->options->capacity_slots : 0)) {
            search->moves[0] = search->open[i];
            return 1;
        }
        full_awaited |= seen->kind == HISTORY_PUSH;
    }
    uint32_t pop = open_pop(search, urgent);
    uint32_t full = chain_first(&search->fulls);
    size_t count = 0;
    if (pop != NOBODY && !full_awaited) {
        search->moves[count++] = pop;
        if (full == NOBODY || operations[full].invocation > operations[pop].response)
            return count;
    }
    count += find_pushes(search, urgent, search->moves + count);
    if (pop != NOBODY && full_awaited)
        search->moves[count++] = pop;
    return count;
}

/* In step with `agreed`, so that it copies only what has changed since. */
static void keep_deepest(struct search *search)
{
    memcpy(search->latest + search->agreed, search->content + search->agreed,
           (search->tail - search->agreed) * sizeof(*search->latest));
    search->agreed = search->tail;
    search->deepest_head = search->head;
    search->deepest_tail = search->tail;
}

static void note_progress(struct search *search)
{
    if (search->depth <= search->deepest)
        return;
    search->deepest = search->depth;
    search->deepest_visited = search->visited.count;
    keep_deepest(search);
}

static void note_dead_end(struct search *search)
{
    if (search->depth < search->deepest)
        return;
    search->stuck = collect_open(search);
    for (size_t i = 0; i < TRAIL_OPERATIONS; i++)
        search->trail[i] = i < search->depth ? search->path[search->depth - 1 - i].operation : NOBODY;
}

static enum history_verdict refuse_search(const struct search *search)
{
    const struct judge *judge = search->judge;
    (void)refuse(judge, search->stuck, NOBODY, "no order of the operations explains their answers");
    (void)fprintf(judge->report, "the longest order that does takes %zu of %zu operations, and ends:\n",
                  search->deepest, judge->count);
    for (size_t i = TRAIL_OPERATIONS; i-- > 0;) {
        if (search->trail[i] != NOBODY)
            print_operation(judge, search->trail[i], false);
    }
    return HISTORY_NOT_LINEARIZABLE;
}

enum outcome {
    OUTCOME_FOUND,
    OUTCOME_EXHAUSTED,
    OUTCOME_STUCK,
    OUTCOME_NO_ROOM,
};

/* Searches on from where it stands. */
static enum outcome search_on(struct search *search)
{
    uint32_t choice = 0;
    while (chain_first(&search->events) != NOBODY) {
        if (search->visited.count - search->deepest_visited > search->patience)
            return OUTCOME_STUCK;
        if (choice < find_moves(search)) {
            uint32_t operation = search->moves[choice];
            linearize(search, operation);
            enum visit visit = visited_add(&search->visited, search->fingerprint);
            if (visit == VISIT_NO_ROOM)
                return OUTCOME_NO_ROOM;
            if (visit == VISIT_FIRST) {
                search->path[search->depth++] = (struct step){.operation = operation, .choice = choice};
                note_progress(search);
                choice = 0;
                continue;
            }
            step_back(search, operation);
            choice++;
        } else {
            note_dead_end(search);
            if (search->depth == 0)
                return OUTCOME_EXHAUSTED;
            struct step last = search->path[--search->depth];
            step_back(search, last.operation);
            choice = last.choice + 1;
        }
    }
    return OUTCOME_FOUND;
}

/* Steps back to where no more than `tail` values had been pushed, for 0 to the start, and opens a new era. */
static void search_anew(struct search *search, size_t tail)
{
    while (search->depth > 0 && (search->tail > tail || tail == 0))
        step_back(search, search->path[--search->depth].operation);
    toggle(&search->fingerprint, NOBODY, ++search->era);
    search->deepest = search->depth;
    search->deepest_visited = search->visited.count;
    keep_deepest(search);
}

/* ---- Mending the order of the pushes ---- */

static void change_places(struct search *search, size_t place)
{
    uint32_t first = search->order[place];
    search->order[place] = search->order[place + 1];
    search->order[place + 1] = first;
}

/* Whether the stamps of two neighbours, and of their pops, leave open which of them came first. */
static bool may_change_places(const struct search *search, size_t place)
{
    const struct operation *operations = search->judge->operations;
    const struct operation *first = &operations[search->order[place]];
    const struct operation *second = &operations[search->order[place + 1]];
    uint64_t first_until = first->popped_until < first->seen.responded ? first->popped_until : first->seen.responded;
    return first_until >= second->seen.invoked && first->popped_until >= second->popped_from;
}

/* Any of the neighbours near a place that may change places; `ordered` if there are none. */
static size_t pick_change(const struct search *search, size_t near, uint64_t random)
{
    size_t picked = search->ordered;
    size_t count = 0;
    for (size_t place = near > REACH ? near - REACH : 0; place < near + REACH; place++) {
        if (place + 1 < search->ordered && may_change_places(search, place) && random % ++count == 0)
            picked = place;
    }
    return picked;
}

/* How far the best attempt went, and what was changed in the order since. */
struct attempt {
    size_t changes[CHANGES];
    size_t count;
    size_t depth;
    size_t head;
    size_t tail;
    uint64_t random;
};

/* Takes over the order of the last attempt, or takes its changes back. Answers the first place that is new. */
static size_t keep_better_order(struct search *search, struct attempt *best)
{
    size_t first = search->tail;
    if (search->deepest >= best->depth) { /* not only if better: else it would never leave a plateau */
        best->count = 0;
        best->depth = search->deepest;
        best->head = search->deepest_head;
        best->tail = search->deepest_tail;
        memcpy(search->order, search->latest, best->tail * sizeof(*search->order));
        search->ordered = best->tail;
        first = search->agreed;
    }
    while (best->count > 0) {
        size_t place = best->changes[--best->count];
        change_places(search, place);
        first = place < first ? place : first;
    }
    return first;
}

/* Prepares another attempt. */
static void change_order(struct search *search, struct attempt *best)
{
    size_t first = keep_better_order(search, best);
    best->random = scramble(best->random + UINT64_C(0x9E3779B97F4A7C15));
    for (uint64_t left = 1 + best->random % CHANGES; left > 0; left--) {
        best->random = scramble(best->random + UINT64_C(0x9E3779B97F4A7C15));
        /* Mostly at the front: whether an order fits shows there, long after the values were pushed. */
        size_t place = pick_change(search, best->random >> 62 != 0 ? best->head : best->tail, best->random >> 8);
        if (place == search->ordered)
            continue;
        change_places(search, place);
        best->changes[best->count++] = place;
        first = place < first ? place : first;
    }
    search_anew(search, first);
}

/*
 * Searches on where it got stuck. In which order two values were pushed at the same time may come to matter only
 * when they are popped, and stepping back to there a move at a time would try all that came between, which in a long
 * queue is for ever. So a few values near the ends of the queue change places in the order of the best attempt, and
 * the search goes on from the first that did: with that order it has next to nothing left to choose. Finding nothing
 * proves nothing.
 */
static enum outcome mend(struct search *search)
{
    struct attempt best = {.random = 1};
    enum outcome outcome = OUTCOME_STUCK;
    for (unsigned left = ATTEMPTS; left > 0 && outcome != OUTCOME_FOUND && outcome != OUTCOME_NO_ROOM; left--) {
        if (search->deepest > best.depth)
            left = ATTEMPTS;
        change_order(search, &best);
        outcome = search_on(search);
    }
    return outcome;
}

static enum history_verdict search_run(struct search *search)
{
    search->patience = PATIENCE;
    enum outcome outcome = search_on(search);
    if (outcome == OUTCOME_STUCK) {
        outcome = mend(search);
        if (outcome != OUTCOME_FOUND && outcome != OUTCOME_NO_ROOM) {
            search->ordered = 0;
            search->patience = SIZE_MAX;
            search_anew(search, 0);
            outcome = search_on(search);
        }
    }
    if (outcome == OUTCOME_NO_ROOM)
        return give_up(search->judge->report, "more configurations than the search may visit");
    return outcome == OUTCOME_FOUND ? HISTORY_LINEARIZABLE : refuse_search(search);
}

static enum history_verdict search_for_order(const struct judge *judge)
{
    struct search search;
    enum history_verdict verdict = HISTORY_INCONCLUSIVE;
    if (search_open(&search, judge))
        verdict = search_run(&search);
    else
        verdict = give_up(judge->report, "no memory");
    search_close(&search);
    return verdict;
}

/* ---- Checks ---- */

static FILE *report_of(const struct history *history)
{
    return history->options.report != NULL ? history->options.report : stderr;
}

static enum history_verdict check_one_queue(const struct history *history, uint32_t reader)
{
    struct judge judge = {.options = &history->options, .report = report_of(history)};
    enum history_verdict verdict = HISTORY_INCONCLUSIVE;
    if (!judge_open(&judge, history, reader))
        verdict = give_up(judge.report, "no memory");
    else if ((verdict = match_values(&judge)) == HISTORY_LINEARIZABLE &&
             (verdict = find_patterns(&judge)) == HISTORY_LINEARIZABLE)
        verdict = search_for_order(&judge);
    judge_close(&judge);
    return verdict;
}

/* The next value that a reader saw, from `at` on; false at its end. */
static bool next_seen(const struct history_thread *reader, size_t *at, uint64_t *value)
{
    for (; *at < reader->count; (*at)++) {
        const struct history_operation *operation = &reader->operations[*at];
        if (operation->kind == HISTORY_POP && !operation->refused) {
            *value = operation->value;
            (*at)++;
            return true;
        }
    }
    return false;
}

/* Each reader alone must see a queue; together they must agree, as far as both have read, on its order. */
static enum history_verdict check_broadcast(const struct history *history)
{
    const struct history_thread *end = history->threads + history->options.threads;
    const struct history_thread *first = end - history->options.readers;
    for (const struct history_thread *reader = first; reader < end; reader++) {
        enum history_verdict verdict = check_one_queue(history, reader->number);
        if (verdict != HISTORY_LINEARIZABLE)
            return verdict;
        uint64_t ours;
        uint64_t theirs;
        for (size_t at = 0, other = 0; next_seen(reader, &at, &ours) && next_seen(first, &other, &theirs);) {
            if (ours == theirs)
                continue;
            (void)fprintf(report_of(history),
                          "not linearizable: thread %" PRIu32 " saw 0x%" PRIx64 " where thread %" PRIu32
                          " saw 0x%" PRIx64 "\n",
                          reader->number, ours, first->number, theirs);
            return HISTORY_NOT_LINEARIZABLE;
        }
    }
    return HISTORY_LINEARIZABLE;
}

enum history_verdict history_check(const struct history *history)
{
    for (unsigned i = 0; i < history->options.threads; i++) {
        if (history->threads[i].dropped != 0)
            return give_up(report_of(history), "a thread did more than it had room to record");
    }
    return history->options.readers != 0 ? check_broadcast(history) : check_one_queue(history, EVERYBODY);
}

/* ---- Recording ---- */

int history_open(struct history *history, const struct history_options *options)
{
    memset(history, 0, sizeof(*history));
    history->options = *options;
    atomic_init(&history->clock, 1);
    if (options->threads == 0 || options->operations_per_thread == 0 || options->readers > options->threads)
        return -EINVAL;
    size_t bytes = options->threads * sizeof(struct history_thread);
    history->threads = aligned_alloc(KN_OWNER_STRIDE, bytes);
    if (history->threads == NULL)
        return -ENOMEM;
    memset(history->threads, 0, bytes);
    for (unsigned i = 0; i < options->threads; i++) {
        struct history_thread *thread = &history->threads[i];
        thread->history = history;
        thread->number = i;
        thread->room = options->operations_per_thread;
        thread->operations = calloc(thread->room, sizeof(*thread->operations));
        if (thread->operations == NULL) {
            history_close(history);
            return -ENOMEM;
        }
    }
    return 0;
}

void history_close(struct history *history)
{
    for (unsigned i = 0; history->threads != NULL && i < history->options.threads; i++)
        free(history->threads[i].operations);
    free(history->threads);
    history->threads = NULL;
}

/* ---- Runs ---- */

enum start {
    START_AWAITED,
    START_GO,
    START_NEVER,
};

struct run {
    const struct history_subject *subject;
    struct history history;
    _Atomic unsigned producers_left;
    _Atomic unsigned consumers_left;
    _Atomic enum start start;
};

struct worker {
    struct run *run;
    struct history_thread *record;
    unsigned number; /* among the producers, or among the consumers */
    pthread_t thread;
};

/* So that the first threads do not finish before the last have been created. */
static bool wait_for_start(struct run *run)
{
    enum start start = START_AWAITED;
    /* Relaxed: only a flag; what the threads read was written before they were created. */
    while ((start = atomic_load_explicit(&run->start, memory_order_relaxed)) == START_AWAITED)
        (void)sched_yield();
    return start == START_GO;
}

/* Pushes until the queue takes it; false when nobody is left to make room. */
static bool push_once(const struct worker *worker)
{
    const struct history_subject *subject = worker->run->subject;
    uint64_t value = history_next_value(worker->record);
    for (;;) {
        uint64_t began = history_begin(worker->record);
        int result = subject->try_push(subject->queue, worker->number, value);
        history_pushed(worker->record, began, value, result);
        if (result == 0)
            return true;
        /* Relaxed: seen late it costs another turn. */
        if (atomic_load_explicit(&worker->run->consumers_left, memory_order_relaxed) == 0)
            return false;
        (void)sched_yield();
    }
}

static void *produce(void *argument)
{
    struct worker *worker = argument;
    size_t left = wait_for_start(worker->run) ? worker->run->subject->messages_per_producer : 0;
    while (left > 0 && push_once(worker))
        left--;
    /* Release: whoever sees the last producer gone also sees its messages. Counterpart: the acquire in consume. */
    (void)atomic_fetch_sub_explicit(&worker->run->producers_left, 1, memory_order_release);
    return NULL;
}

static int pop_once(const struct worker *worker)
{
    const struct history_subject *subject = worker->run->subject;
    uint64_t value = 0;
    uint64_t began = history_begin(worker->record);
    int result = subject->try_pop(subject->queue, worker->number, &value);
    history_popped(worker->record, began, &value, result);
    return result;
}

/* Ends when its record is full, too: a queue that repeats itself would otherwise never let it go. */
static void *consume(void *argument)
{
    struct worker *worker = argument;
    struct run *run = worker->run;
    bool go = wait_for_start(run);
    while (go && history_has_room(worker->record)) {
        /* Acquire, counterpart: the release in produce. Read before the pop, or a last message could be missed. */
        bool last = atomic_load_explicit(&run->producers_left, memory_order_acquire) == 0;
        if (pop_once(worker) == 0)
            continue;
        if (last)
            break;
        (void)sched_yield();
    }
    (void)atomic_fetch_sub_explicit(&run->consumers_left, 1, memory_order_relaxed);
    return NULL;
}

static bool run_threads(struct run *run, struct worker *workers, unsigned count)
{
    unsigned producers = run->subject->producers;
    unsigned created = 0;
    for (; created < count; created++) {
        struct worker *worker = &workers[created];
        worker->run = run;
        worker->record = &run->history.threads[created];
        worker->number = created < producers ? created : created - producers;
        if (pthread_create(&worker->thread, NULL, created < producers ? produce : consume, worker) != 0)
            break;
    }
    atomic_store_explicit(&run->start, created == count ? START_GO : START_NEVER, memory_order_relaxed);
    for (unsigned i = 0; i < created; i++)
        (void)pthread_join(workers[i].thread, NULL);
    if (created < count)
        return false;
    for (unsigned i = producers; i < count; i++) {
        while (history_has_room(workers[i].record) && pop_once(&workers[i]) == 0)
            continue;
    }
    return true;
}

enum history_verdict history_run(const struct history_subject *subject, const struct history_options *options)
{
    unsigned count = subject->producers + subject->consumers;
    struct run run = {.subject = subject};
    struct history_options filled = *options;
    filled.threads = count;
    filled.drained = true;
    /* A consumer may get every message; twice that, since refusals take half of the room. */
    filled.operations_per_thread = 2 * subject->producers * subject->messages_per_producer + 2;
    atomic_init(&run.producers_left, subject->producers);
    atomic_init(&run.consumers_left, subject->consumers);
    struct worker *workers = calloc(count, sizeof(*workers));
    FILE *report = options->report != NULL ? options->report : stderr;
    enum history_verdict verdict = HISTORY_INCONCLUSIVE;
    if (workers == NULL || history_open(&run.history, &filled) != 0) {
        verdict = give_up(report, "no memory");
    } else {
        verdict = run_threads(&run, workers, count) ? history_check(&run.history) : give_up(report, "no threads");
        history_close(&run.history);
    }
    free(workers);
    return verdict;
}
