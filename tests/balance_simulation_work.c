/* What the simulated machines have to do, and how well they did it. */
#include "balance_simulation_internal.h"

#include <math.h>
#include <stdlib.h>

/* --- Chance ------------------------------------------------------------------------------------------------ */

static uint64_t chance(struct machine *machine)
{
    machine->random ^= machine->random << 13;
    machine->random ^= machine->random >> 7;
    machine->random ^= machine->random << 17;
    return machine->random;
}

/* Above 0, up to 1. */
static double fraction(struct machine *machine)
{
    return (double)((chance(machine) >> 11) + 1) * 0x1p-53;
}

uint32_t simulation_below(struct machine *machine, uint32_t bound)
{
    return (uint32_t)((chance(machine) >> 32) * bound >> 32);
}

/* --- Workloads --------------------------------------------------------------------------------------------- */

static uint32_t draw_service(struct machine *machine)
{
    switch (machine->options->workload) {
    case WORKLOAD_TAIL: {
        double drawn_ns = 1000.0 / 3 * pow(fraction(machine), -1 / 1.5);
        return drawn_ns < 1e6 ? (uint32_t)drawn_ns : 1000000;
    }
    case WORKLOAD_LONG:
        return 2000000;
    case WORKLOAD_FORK:
        return TASK_NS;
    default:
        return 20 + (uint32_t)(-980.0 * log(fraction(machine)));
    }
}

static double capacity(const struct machine *machine)
{
    double sum = 0;
    for (uint32_t i = 0; i < machine->balance.count; i++)
        sum += 1.0 / machine->cores[i].slowness;
    return sum;
}

/* Tasks that come from outside at once. */
static uint32_t burst_tasks(const struct machine *machine)
{
    uint32_t cores = machine->balance.count;
    switch (machine->options->workload) {
    case WORKLOAD_PRIORITY:
        return cores < 12 ? 32 * cores : 400;
    case WORKLOAD_BURST:
        return BURST_TASKS * cores;
    default:
        return 1;
    }
}

void simulation_arrive(struct machine *machine)
{
    enum simulation_workload workload = machine->options->workload;
    uint32_t core = workload == WORKLOAD_POISSON ? 0 : simulation_below(machine, machine->balance.count);
    struct message message = {.from = core, .kind = MESSAGE_ARRIVAL};
    for (uint32_t left = burst_tasks(machine); left > 0 && machine->to_arrive > 0; left--, machine->to_arrive--) {
        unsigned class = workload == WORKLOAD_PRIORITY ? 0 : ORDINARY;
        uint32_t task = simulation_create_task(machine, draw_service(machine), class, false);
        if (machine->failed)
            return;
        machine->tasks[task].ready_ns = machine->now_ns;
        simulation_append_task(machine, &message.chain, task);
        machine->waiting++;
    }
    machine->last_arrival_ns = machine->now_ns;
    (void)simulation_send(machine, machine->now_ns, core, message);
    double gap_ns = machine->arrival_gap_ns;
    if (workload == WORKLOAD_POISSON)
        gap_ns *= -log(fraction(machine));
    if (machine->to_arrive > 0)
        simulation_plan(machine, machine->now_ns + (uint64_t)gap_ns, EVENT_ARRIVE, 0, 0);
}

static uint64_t usual_tasks(enum simulation_workload workload, uint32_t cores)
{
    switch (workload) {
    case WORKLOAD_LONG:
        return UINT64_C(8) * cores;
    case WORKLOAD_RENEW:
        return UINT64_C(3) * cores;
    case WORKLOAD_FEW:
        return cores < 4 ? 1 : cores / 4 * UINT64_C(3);
    default:
        return UINT64_C(2000) * cores;
    }
}

static void put_task(struct machine *machine, uint32_t core, unsigned class, bool pinned)
{
    uint32_t task = simulation_create_task(machine, draw_service(machine), class, pinned);
    simulation_enqueue(machine, core, task, 0);
}

/* Puts what is there at first into the queues. */
static void put_tasks(struct machine *machine, uint64_t tasks)
{
    uint32_t cores = machine->balance.count;
    switch (machine->options->workload) {
    case WORKLOAD_POISSON:
    case WORKLOAD_BURST:
        break;
    case WORKLOAD_FORK:
        put_task(machine, 0, ORDINARY, false);
        break;
    case WORKLOAD_PRIORITY:
        for (uint64_t i = 0; i < tasks; i++)
            put_task(machine, (uint32_t)(i % cores), 5 + simulation_below(machine, 3), false);
        break;
    default:
        for (uint64_t i = 0; i < tasks; i++) {
            put_task(machine, 0, ORDINARY, false);
            if (machine->options->workload == WORKLOAD_PINNED)
                put_task(machine, (uint32_t)(i % cores), ORDINARY, true);
        }
    }
}

/* Plans what comes from outside. */
static void plan_arrivals(struct machine *machine, uint64_t tasks)
{
    double cores = machine->balance.count;
    switch (machine->options->workload) {
    case WORKLOAD_FORK:
        machine->to_arrive = tasks - 1;
        return;
    case WORKLOAD_POISSON:
        machine->to_arrive = tasks;
        machine->arrival_gap_ns = TASK_NS / cores / 0.8;
        break;
    case WORKLOAD_BURST:
        machine->to_arrive = tasks;
        machine->arrival_gap_ns = TASK_NS * BURST_TASKS / 0.6;
        break;
    case WORKLOAD_PRIORITY:
        /* A burst each 100 us, for the first four fifths of the time that the other work takes. */
        machine->to_arrive = (uint64_t)((double)tasks / cores / 125) * burst_tasks(machine);
        machine->arrival_gap_ns = 100000;
        break;
    default:
        return;
    }
    simulation_plan(machine, 0, EVENT_ARRIVE, 0, 0);
}

void simulation_begin(struct machine *machine)
{
    enum simulation_workload workload = machine->options->workload;
    uint32_t cores = machine->balance.count;
    uint64_t tasks = machine->options->tasks ? machine->options->tasks : usual_tasks(workload, cores);
    for (uint32_t i = 0; i < cores; i++) {
        machine->cores[i].slowness = workload == WORKLOAD_UNEQUAL && i % 2 == 1 ? 4 : 1;
        machine->cores[i].stalls = workload == WORKLOAD_STALL && i % 8 == 1;
    }
    if (workload == WORKLOAD_RENEW || workload == WORKLOAD_FEW)
        machine->ends_ns = RENEW_NS;
    put_tasks(machine, tasks);
    for (uint32_t i = 0; i < cores; i++)
        simulation_plan(machine, i, EVENT_LOOK, i, 0);
    plan_arrivals(machine, tasks);
}

void simulation_finish(struct machine *machine, uint32_t self, uint32_t index, uint64_t time_ns)
{
    enum simulation_workload workload = machine->options->workload;
    uint32_t service_ns = machine->tasks[index].service_ns;
    machine->alive--;
    machine->result->tasks++;
    if (machine->last_end_ns < time_ns)
        machine->last_end_ns = time_ns;
    if ((workload == WORKLOAD_RENEW || workload == WORKLOAD_FEW) && time_ns < machine->ends_ns) {
        machine->tasks[index].start_ns = 0;
        machine->alive++;
        machine->work_ns += service_ns;
        simulation_enqueue(machine, self, index, time_ns);
    }
    for (unsigned i = 0; workload == WORKLOAD_FORK && i < 2 && machine->to_arrive > 0; i++, machine->to_arrive--)
        simulation_enqueue(machine, self, simulation_create_task(machine, service_ns, ORDINARY, false), time_ns);
}

/* --- Measures ---------------------------------------------------------------------------------------------- */

static int compare_times(const void *left, const void *right)
{
    uint64_t one = *(const uint64_t *)left;
    uint64_t other = *(const uint64_t *)right;
    return (one > other) - (one < other);
}

/* The greatest of sorted numbers that is below a bound; 0 where none is. */
static uint64_t last_below(const uint64_t *numbers, uint32_t count, uint64_t bound)
{
    uint32_t low = 0;
    for (uint32_t high = count; low < high;) {
        uint32_t middle = low + (high - low) / 2;
        if (numbers[middle] < bound)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 ? numbers[low - 1] : 0;
}

/* How long the most urgent tasks waited while less urgent ones were begun. False without memory. */
static bool measure_inversions(struct machine *machine)
{
    struct simulation_result *result = machine->result;
    uint64_t *starts = malloc(((size_t)machine->task_count + 1) * sizeof(starts[0]));
    if (!starts)
        return false;
    uint32_t count = 0;
    uint64_t urgent = 0;
    for (uint32_t i = 0; i < machine->task_count; i++)
        if (machine->tasks[i].class > 0)
            starts[count++] = machine->tasks[i].start_ns;
    qsort(starts, count, sizeof(starts[0]), compare_times);
    for (uint32_t i = 0; i < machine->task_count; i++) {
        const struct task *task = &machine->tasks[i];
        if (task->class > 0)
            continue;
        double inverted_ns = (double)last_below(starts, count, task->start_ns) - (double)task->ready_ns;
        urgent++;
        if (inverted_ns > 0)
            result->inverted_mean_ns += inverted_ns;
        if (inverted_ns > result->inverted_max_ns)
            result->inverted_max_ns = inverted_ns;
    }
    if (urgent > 0)
        result->inverted_mean_ns /= (double)urgent;
    free(starts);
    return true;
}

bool simulation_summarise(struct machine *machine)
{
    struct simulation_result *result = machine->result;
    for (uint32_t i = 0; i < machine->task_count; i++) {
        const struct task *task = &machine->tasks[i];
        if (task->start_ns == 0)
            result->lost++;
        if (task->pinned && task->moves > 0)
            result->broken++;
        if (task->moves > result->moves_max)
            result->moves_max = task->moves;
    }
    result->moves_mean /= machine->task_count;
    result->wait_mean_ns /= (double)result->tasks;
    uint64_t seen = 0;
    unsigned slot = 0;
    for (; slot < 64 * 8 - 1 && (seen += machine->waits[slot]) * 100 < result->tasks * 99; slot++)
        ;
    result->wait_p99_ns = slot < 8 ? slot : ldexp(8 + slot % 8, (int)slot / 8 - 1);
    result->makespan_ns = (double)machine->last_end_ns;
    if (machine->began < machine->balance.count)
        result->spread_ns = result->makespan_ns;
    result->idle_share = machine->loaded_ns > 0 ? machine->idle_ns / machine->loaded_ns : 0;
    result->ideal_ns = (double)machine->work_ns / capacity(machine);
    if (result->ideal_ns < (double)machine->last_arrival_ns)
        result->ideal_ns = (double)machine->last_arrival_ns;
    return measure_inversions(machine);
}
