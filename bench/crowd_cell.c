#include "crowd_cell.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/time.h>

/* Little, as it may take long: some waits depend on what else the machine does. */
#define COUNT_FIRST 256

/* A slice that takes longer is ended, with fewer messages. */
#define LIMIT_US 250000

/* Of the run that the alarm ends; a signal has no context. */
static struct crowd_run *limited;

static void stop_run(int signal)
{
    (void)signal;
    __atomic_store_n(&limited->stopped, 1, __ATOMIC_RELAXED);
}

struct crowd_run *crowd_run_open(void)
{
    struct sigaction action = {.sa_handler = stop_run, .sa_flags = SA_RESTART};
    limited = bench_allocate_shared(sizeof(*limited));
    sigaction(SIGALRM, &action, NULL);
    return limited;
}

void crowd_run_close(struct crowd_run *run)
{
    signal(SIGALRM, SIG_DFL);
    limited = NULL;
    bench_free_shared(run, sizeof(*run));
}

static void set_alarm(long limit_us)
{
    struct itimerval timer = {.it_value.tv_usec = limit_us};
    setitimer(ITIMER_REAL, &timer, NULL);
}

size_t crowd_case_members(const struct crowd_case *test_case)
{
    return test_case->crowd.producers + test_case->crowd.consumers;
}

static size_t parts_bytes(const struct crowd_cell *cell)
{
    return crowd_case_members(cell->test_case) * sizeof(cell->parts[0]);
}

int crowd_cell_open(struct crowd_cell *cell, const struct crowd_case *test_case, const struct bench_options *options)
{
    const struct crowd_implementation *implementation = cell->implementation;
    const struct crowd *crowd = &test_case->crowd;
    cell->test_case = test_case;
    cell->count = COUNT_FIRST;
    cell->attempts = crowd_case_members(test_case) > options->core_count ? CROWD_ATTEMPTS : CROWD_ATTEMPTS_ALONE;
    cell->parts = cell->processes ? bench_allocate_shared(parts_bytes(cell)) : bench_allocate(parts_bytes(cell));
    struct crowd_setup setup = {.shape = crowd->shape,
                                .producers = crowd->producers,
                                .consumers = crowd->consumers,
                                .attempts = cell->attempts,
                                .cores = options->cores,
                                .core_count = options->core_count};
    cell->there = implementation->open(&setup);
    cell->back = test_case->latency ? implementation->open(&setup) : NULL;
    if (cell->there && (cell->back || !test_case->latency))
        return 0;
    fprintf(stderr, "bench: %s: %s cannot be opened\n", test_case->name, implementation->name);
    return -ENOMEM;
}

void crowd_cell_close(struct crowd_cell *cell)
{
    if (cell->there)
        cell->implementation->close(cell->there);
    if (cell->back)
        cell->implementation->close(cell->back);
    if (cell->parts && cell->processes)
        bench_free_shared(cell->parts, parts_bytes(cell));
    else
        free(cell->parts);
}

static void *hold(void *(*hold_end)(void *queue, unsigned number), void *queue, size_t number)
{
    return hold_end ? hold_end(queue, (unsigned)number) : queue;
}

/* A bench_job, as are the next two: what each thread or process does with its own part. */
static void hold_part(void *context, size_t member)
{
    struct crowd_cell *cell = context;
    const struct crowd_implementation *implementation = cell->implementation;
    const struct crowd_case *test_case = cell->test_case;
    struct crowd_part *part = &cell->parts[member];
    if (test_case->latency) {
        /* The first side puts there and takes from what comes back, the second the other way. */
        part->end = hold(implementation->hold_producer, member == 0 ? cell->there : cell->back, 0);
        part->back = hold(implementation->hold_consumer, member == 0 ? cell->back : cell->there, 0);
        return;
    }
    size_t producers = test_case->crowd.producers;
    part->producer = member;
    part->end = member < producers ? hold(implementation->hold_producer, cell->there, member)
                                   : hold(implementation->hold_consumer, cell->there, member - producers);
}

static void drop_part(void *context, size_t member)
{
    struct crowd_cell *cell = context;
    const struct crowd_implementation *implementation = cell->implementation;
    struct crowd_part *part = &cell->parts[member];
    bool produces = cell->test_case->latency || member < cell->test_case->crowd.producers;
    void (*drop_end)(void *end) = produces ? implementation->drop_producer : implementation->drop_consumer;
    if (part->end && drop_end)
        drop_end(part->end);
    if (part->back && implementation->drop_consumer)
        implementation->drop_consumer(part->back);
}

static void run_part(void *context, size_t member)
{
    struct crowd_cell *cell = context;
    const struct crowd_case *test_case = cell->test_case;
    const struct crowd_loops *loops = &cell->implementation->forms[test_case->form];
    struct crowd_part *part = &cell->parts[member];
    if (test_case->latency)
        (member == 0 ? loops->ping : loops->pong)(part);
    else
        (member < test_case->crowd.producers ? loops->produce : loops->consume)(part);
}

/* By every process for itself; for threads one after the other, by the caller. */
static void by_each(struct crowd_cell *cell, struct bench_team *processes, bench_job *job)
{
    size_t members = crowd_case_members(cell->test_case);
    if (cell->processes) {
        bench_team_run(processes, members, job, cell);
        return;
    }
    for (size_t i = 0; i < members; i++)
        job(cell, i);
}

int crowd_cell_hold(struct crowd_cell *cell, struct bench_team *processes)
{
    if (cell->implementation->run)
        return 0;
    by_each(cell, processes, hold_part);
    for (size_t i = 0; i < crowd_case_members(cell->test_case); i++) {
        if (cell->parts[i].end && (cell->parts[i].back || !cell->test_case->latency))
            continue;
        fprintf(stderr, "bench: %s: %s cannot be joined\n", cell->test_case->name, cell->implementation->name);
        return -ENOMEM;
    }
    return 0;
}

void crowd_cell_drop(struct crowd_cell *cell, struct bench_team *processes)
{
    if (!cell->implementation->run)
        by_each(cell, processes, drop_part);
}

/* The sum of the tags of one producer's messages, in the arithmetic of the loops: modulo 2^64. */
static uint64_t sum_of_tags(uint64_t producer, uint64_t messages)
{
    uint64_t pairs = messages % 2 == 0 ? messages / 2 * (messages - 1) : (messages - 1) / 2 * messages;
    return messages * (producer << CROWD_TAG_BITS) + pairs;
}

/* Whether consumers share the messages out among them, and do not each see all. */
static bool consumers_compete(const struct crowd_case *test_case)
{
    enum crowd_shape shape = test_case->crowd.shape;
    return !test_case->latency && (shape == CROWD_SPMC || shape == CROWD_MPMC);
}

/* How many messages are wrong, or that some were lost or doubled: 0 when those who had to take all did, each once. */
static uint64_t check_parts(const struct crowd_cell *cell, uint64_t *items)
{
    const struct crowd_case *test_case = cell->test_case;
    bool compete = consumers_compete(test_case);
    size_t producers = test_case->latency ? 1 : test_case->crowd.producers;
    uint64_t expected = 0;
    uint64_t sum = 0;
    uint64_t taken = 0;
    uint64_t wrong = 0;
    *items = 0;
    for (size_t i = 0; i < producers; i++) {
        expected += sum_of_tags(i, cell->parts[i].messages);
        *items += cell->parts[i].messages;
    }
    for (size_t i = test_case->latency ? 0 : producers; i < crowd_case_members(test_case); i++) {
        const struct crowd_part *part = &cell->parts[i];
        wrong += part->wrong;
        sum += part->sum;
        taken += part->taken;
        if (!compete)
            wrong += part->taken != *items || part->sum != expected;
    }
    if (compete)
        wrong += taken != *items || sum != expected;
    return wrong;
}

/* Of `messages` of each producer, as many as the time allows. Answers the time in ns, and how many in all. */
static double run_members(struct crowd_cell *cell, struct bench_team *team, uint64_t messages, uint64_t *items,
                          uint64_t *wrong)
{
    const struct crowd_case *test_case = cell->test_case;
    size_t members = crowd_case_members(test_case);
    cell->left = messages * test_case->crowd.producers;
    cell->run->stopped = 0;
    cell->run->shortfall = 0;
    for (size_t i = 0; i < members; i++) {
        struct crowd_part *part = &cell->parts[i];
        part->run = cell->run;
        part->messages = messages;
        part->own_left = cell->left;
        part->left = consumers_compete(test_case) ? &cell->left : &part->own_left;
        part->attempts = cell->attempts;
        part->leaves =
            i < test_case->crowd.producers || (consumers_compete(test_case) && i > test_case->crowd.producers);
        part->taken = 0;
    }
    set_alarm(LIMIT_US);
    double elapsed_ns = bench_team_run(team, members, run_part, cell);
    set_alarm(0);
    *wrong = check_parts(cell, items);
    return elapsed_ns;
}

static double run_errand(struct crowd_cell *cell, uint64_t messages, uint64_t *wrong)
{
    const struct crowd_case *test_case = cell->test_case;
    struct crowd_errand errand = {test_case->crowd.shape, test_case->crowd.consumers, messages,
                                  test_case->form == CROWD_BATCHED ? SPSC_BATCH : 1, cell->attempts};
    return cell->implementation->run(cell->there, &errand, wrong);
}

int crowd_cell_measure(struct crowd_cell *cell, struct bench_team *team, double slice_seconds)
{
    const struct crowd_case *test_case = cell->test_case;
    uint64_t messages = cell->count / test_case->crowd.producers;
    uint64_t items = messages * test_case->crowd.producers;
    uint64_t wrong = 0;
    double elapsed_ns = cell->implementation->run ? run_errand(cell, messages, &wrong)
                                                  : run_members(cell, team, messages, &items, &wrong);
    if (elapsed_ns < 0 || wrong > 0) {
        fprintf(stderr, "bench: %s: %s %s\n", test_case->name, cell->implementation->name,
                elapsed_ns < 0 ? "failed" : "lost, doubled or disordered messages");
        return -EBADMSG;
    }
    cell->value_ns = items > 0 ? elapsed_ns / (double)items / (test_case->latency ? 2 : 1) : NAN;
    cell->count = bench_next_count(items, elapsed_ns, slice_seconds);
    return 0;
}
