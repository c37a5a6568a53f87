#include "balance_simulation_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const char *const simulation_policy_names[POLICIES] = {"none",   "steal", "shed", "both",
                                                       "random", "one",   "late", "turn"};
const char *const simulation_workload_names[WORKLOADS] = {"skew",     "tail",   "long",    "poisson", "burst", "fork",
                                                          "priority", "pinned", "unequal", "stall",   "renew", "few"};

/* --- Chance, memory and the heap --------------------------------------------------------------------------- */

/* Makes room for one more; the old memory where there is none. */
static void *grow(struct machine *machine, void *memory, uint32_t count, uint32_t *capacity, size_t bytes)
{
    if (count < *capacity)
        return memory;
    uint32_t wanted = *capacity ? *capacity * 2 : 1024;
    void *grown = realloc(memory, wanted * bytes);
    if (!grown) {
        machine->failed = true;
        return memory;
    }
    *capacity = wanted;
    return grown;
}

static bool is_earlier(const struct event *one, const struct event *other)
{
    return one->time_ns != other->time_ns ? one->time_ns < other->time_ns : one->number < other->number;
}

void simulation_plan(struct machine *machine, uint64_t time_ns, enum event_kind kind, uint32_t core, uint32_t value)
{
    machine->events =
        grow(machine, machine->events, machine->event_count, &machine->event_capacity, sizeof(machine->events[0]));
    if (machine->failed)
        return;
    struct event event = {time_ns, machine->event_number++, kind, core, value};
    uint32_t hole = machine->event_count++;
    for (; hole > 0 && is_earlier(&event, &machine->events[(hole - 1) / 2]); hole = (hole - 1) / 2)
        machine->events[hole] = machine->events[(hole - 1) / 2];
    machine->events[hole] = event;
}

static struct event next_event(struct machine *machine)
{
    struct event *events = machine->events;
    struct event first = events[0];
    struct event last = events[--machine->event_count];
    uint32_t hole = 0;
    for (;;) {
        uint32_t child = 2 * hole + 1;
        if (child >= machine->event_count)
            break;
        if (child + 1 < machine->event_count && is_earlier(&events[child + 1], &events[child]))
            child++;
        if (!is_earlier(&events[child], &last))
            break;
        events[hole] = events[child];
        hole = child;
    }
    events[hole] = last;
    return first;
}

/* --- Tasks and messages ------------------------------------------------------------------------------------ */

void simulation_append_task(struct machine *machine, struct list *list, uint32_t task)
{
    machine->tasks[task].next = NO_INDEX;
    if (list->count++ == 0)
        list->first = task;
    else
        machine->tasks[list->last].next = task;
    list->last = task;
}

static uint32_t take_task(struct machine *machine, struct list *list)
{
    uint32_t task = list->first;
    list->first = machine->tasks[task].next;
    list->count--;
    return task;
}

uint32_t simulation_create_task(struct machine *machine, uint32_t service_ns, unsigned class, bool pinned)
{
    machine->tasks =
        grow(machine, machine->tasks, machine->task_count, &machine->task_capacity, sizeof(machine->tasks[0]));
    if (machine->failed)
        return 0;
    uint32_t task = machine->task_count++;
    machine->tasks[task] =
        (struct task){.service_ns = service_ns, .class = (uint8_t) class, .pinned = pinned, .next = NO_INDEX};
    machine->alive++;
    machine->work_ns += service_ns;
    return task;
}

void simulation_enqueue(struct machine *machine, uint32_t core, uint32_t task, uint64_t ready_ns)
{
    if (machine->failed)
        return;
    struct task *entered = &machine->tasks[task];
    entered->ready_ns = ready_ns;
    simulation_append_task(machine, &machine->cores[core].queues[entered->pinned][entered->class], task);
    machine->waiting++;
}

static unsigned distance_class(uint32_t from, uint32_t to)
{
    if (from / CORES_PER_CACHE == to / CORES_PER_CACHE)
        return 1;
    return from / CORES_PER_PACKAGE == to / CORES_PER_PACKAGE ? 2 : 4;
}

static uint32_t machine_distance(void *context, uint32_t from, uint32_t to)
{
    (void)context;
    return distance_class(from, to);
}

/* Sends a message off at a time; answers what that costs the sender. */
uint64_t simulation_send(struct machine *machine, uint64_t time_ns, uint32_t to, struct message message)
{
    uint32_t index = machine->message_free;
    if (index != NO_INDEX) {
        machine->message_free = machine->messages[index].next;
    } else {
        machine->messages = grow(machine, machine->messages, machine->message_count, &machine->message_capacity,
                                 sizeof(machine->messages[0]));
        if (machine->failed)
            return 0;
        index = machine->message_count++;
    }
    message.next = NO_INDEX;
    machine->messages[index] = message;
    uint64_t cost_ns = SEND_NS + (uint64_t)MOVE_NS * message.chain.count;
    if (machine->cores[to].state == PARKED)
        cost_ns += WAKE_COST_NS;
    simulation_plan(machine, time_ns + cost_ns + distance_class(message.from, to) * UINT64_C(100), EVENT_MESSAGE, to,
                    index);
    return cost_ns;
}

/* --- Giving and asking ------------------------------------------------------------------------------------- */

static void count_tasks(const struct core *core, uint32_t waiting[CLASSES], uint32_t movable[CLASSES])
{
    for (unsigned class = 0; class < CLASSES; class ++) {
        movable[class] = core->queues[0][class].count;
        waiting[class] = movable[class] + core->queues[1][class].count;
    }
}

static uint32_t total(const uint32_t counts[CLASSES])
{
    uint32_t sum = 0;
    for (unsigned class = 0; class < CLASSES; class ++)
        sum += counts[class];
    return sum;
}

/* Takes tasks out of a queue, to send them. */
static struct list take_chain(struct machine *machine, struct core *core, unsigned class, uint32_t count)
{
    struct list chain = {0};
    struct list *queue = &core->queues[0][class];
    if (count > queue->count || count > machine->balance.options.moved_max)
        machine->result->broken++;
    for (uint32_t i = 0; i < count && queue->count > 0; i++) {
        uint32_t task = take_task(machine, queue);
        machine->tasks[task].moves++;
        simulation_append_task(machine, &chain, task);
    }
    machine->result->moves_mean += chain.count;
    if (machine->ends_ns == 0 || machine->now_ns < machine->ends_ns)
        machine->result->settled_ns = (double)machine->now_ns;
    return chain;
}

static bool policy_steals(const struct machine *machine)
{
    return machine->options->policy != POLICY_NONE && machine->options->policy != POLICY_SHED;
}

static bool policy_sheds(const struct machine *machine)
{
    return machine->options->policy != POLICY_NONE && machine->options->policy != POLICY_STEAL;
}

/* Answers one of `askers` questions. Returns the cost. */
static uint64_t answer(struct machine *machine, uint64_t time_ns, uint32_t self, uint32_t thief, uint32_t askers)
{
    struct core *core = &machine->cores[self];
    uint32_t waiting[CLASSES];
    uint32_t movable[CLASSES];
    unsigned class = 0;
    count_tasks(core, waiting, movable);
    uint32_t count = kn_balance_share(&machine->balance.options, waiting, movable, core->budget, askers,
                                      kn_balance_load(&machine->balance, thief), &class);
    struct message message = {.from = self, .kind = MESSAGE_REFUSAL, .answer = true};
    if (count * UINT64_C(2) > total(waiting))
        machine->result->broken++;
    if (machine->options->policy == POLICY_ONE && count > 1)
        count = 1;
    if (count > 0) {
        message.kind = MESSAGE_CHAIN;
        message.class = class;
        message.chain = take_chain(machine, core, class, count);
        machine->result->steals++;
    }
    return simulation_send(machine, time_ns, thief, message);
}

static uint64_t shed(struct machine *machine, uint64_t time_ns, uint32_t self)
{
    struct core *core = &machine->cores[self];
    uint64_t cost_ns = 0;
    if (!policy_sheds(machine))
        return 0;
    for (uint32_t i = 0; i < machine->balance.options.sheds_max; i++) {
        uint32_t waiting[CLASSES];
        uint32_t movable[CLASSES];
        unsigned class = 0;
        uint32_t count = 0;
        count_tasks(core, waiting, movable);
        size_t target =
            kn_balance_target(&core->seat, waiting, movable, core->budget, core->full && i == 0, &class, &count);
        if (target == KN_BALANCE_NONE)
            break;
        if (count * UINT64_C(2) > total(waiting) || count == 0 || target == self)
            machine->result->broken++;
        struct message message = {.from = self, .kind = MESSAGE_CHAIN, .class = class};
        message.chain = take_chain(machine, core, class, count);
        cost_ns += LOOK_NS;
        cost_ns += simulation_send(machine, time_ns + cost_ns, (uint32_t)target, message);
        machine->result->sheds++;
    }
    return cost_ns;
}

/* Lets chance order the cores that this one looks at. */
static void shuffle_order(struct machine *machine, uint32_t self)
{
    uint32_t others = machine->balance.count - 1;
    uint16_t *order = machine->balance.orders + (size_t)self * others;
    for (uint32_t i = 0; i < others && i < machine->balance.options.look_near; i++) {
        uint32_t other = i + simulation_below(machine, others - i);
        uint16_t swapped = order[i];
        order[i] = order[other];
        order[other] = swapped;
    }
}

static void ask(struct machine *machine, uint64_t time_ns, uint32_t self, uint32_t waiting)
{
    if (machine->options->policy == POLICY_RANDOM)
        shuffle_order(machine, self);
    size_t victim = kn_balance_victim(&machine->cores[self].seat, waiting);
    if (victim == KN_BALANCE_NONE)
        return;
    machine->result->asks++;
    (void)simulation_send(machine, time_ns + LOOK_NS, (uint32_t)victim,
                          (struct message){.from = self, .kind = MESSAGE_ASK});
}

/* --- Turns ------------------------------------------------------------------------------------------------- */

/* Reads the bus: takes in what came, and answers all who asked. Returns the cost. */
static uint64_t read_bus(struct machine *machine, uint32_t self)
{
    struct core *core = &machine->cores[self];
    uint64_t cost_ns = 0;
    uint32_t askers = 0;
    for (uint32_t i = core->inbox.first, left = core->inbox.count; left > 0; left--, i = machine->messages[i].next) {
        struct message *message = &machine->messages[i];
        askers += message->kind == MESSAGE_ASK;
        if (message->answer)
            kn_balance_answered(&core->seat, message->from);
        while (message->chain.count > 0) {
            uint32_t task = take_task(machine, &message->chain);
            simulation_append_task(machine, &core->queues[machine->tasks[task].pinned][machine->tasks[task].class],
                                   task);
            cost_ns += MOVE_NS;
        }
    }
    while (core->inbox.count > 0) {
        uint32_t index = core->inbox.first;
        struct message message = machine->messages[index];
        core->inbox.first = message.next;
        core->inbox.count--;
        machine->messages[index].next = machine->message_free;
        machine->message_free = index;
        if (message.kind == MESSAGE_ASK)
            cost_ns += answer(machine, machine->now_ns + cost_ns, self, message.from, askers--);
    }
    return cost_ns;
}

/* Which of two tasks is ready for longer. */
static bool is_older(const struct machine *machine, uint32_t one, uint32_t other)
{
    uint64_t one_ns = machine->tasks[one].ready_ns;
    uint64_t other_ns = machine->tasks[other].ready_ns;
    return one_ns != other_ns ? one_ns < other_ns : one < other;
}

/* The most urgent task that waits at a core; of a class, the one that is ready for longest. */
static uint32_t pick(struct machine *machine, struct core *core)
{
    for (unsigned class = 0; class < CLASSES; class ++) {
        struct list *movable = &core->queues[0][class];
        struct list *pinned = &core->queues[1][class];
        if (movable->count > 0 && pinned->count > 0)
            return take_task(machine, is_older(machine, pinned->first, movable->first) ? pinned : movable);
        if (movable->count + pinned->count > 0)
            return take_task(machine, movable->count > 0 ? movable : pinned);
    }
    return NO_INDEX;
}

static void note_wait(struct machine *machine, uint64_t wait_ns)
{
    unsigned octave = wait_ns < 8 ? 0 : 61U - (unsigned)__builtin_clzll(wait_ns);
    machine->waits[octave * 8 + (octave == 0 ? wait_ns : wait_ns >> (octave - 1) & 7)]++;
    machine->result->wait_mean_ns += (double)wait_ns;
}

/* Runs a turn ahead, or one task of it where a message may end it, and plans what comes then. */
static void run_turn(struct machine *machine, uint32_t self, uint64_t time_ns)
{
    struct core *core = &machine->cores[self];
    uint32_t turn_tasks = machine->balance.options.turn_tasks;
    uint32_t waiting[CLASSES];
    uint32_t movable[CLASSES];
    count_tasks(core, waiting, movable);
    int class = 0;
    while (class < CLASSES && waiting[class] == 0)
        class ++;
    kn_balance_publish(&core->seat, kn_balance_load_word(waiting, class));
    uint32_t most = core->turn_ran + machine->balance.options.look_tasks;
    if (most > turn_tasks)
        most = turn_tasks;
    if (!core->began) {
        core->began = true;
        if (++machine->began == machine->balance.count)
            machine->result->spread_ns = (double)time_ns;
    }
    uint32_t index;
    while (core->turn_ran < most && time_ns - core->turn_start_ns < SIMULATION_TURN_NS &&
           (index = pick(machine, core)) != NO_INDEX) {
        struct task *task = &machine->tasks[index];
        if (task->start_ns != 0)
            machine->result->lost++;
        task->start_ns = time_ns + 1;
        machine->waiting--;
        note_wait(machine, time_ns > task->ready_ns ? time_ns - task->ready_ns : 0);
        time_ns += (uint64_t)task->service_ns * core->slowness;
        core->turn_ran++;
        simulation_finish(machine, self, index, time_ns);
    }
    count_tasks(core, waiting, movable);
    bool over = core->turn_ran == turn_tasks || time_ns - core->turn_start_ns >= SIMULATION_TURN_NS;
    core->goes_on = !over && total(waiting) > 0;
    core->full = over && total(waiting) > 0;
    core->budget = core->full ? core->turn_ran : turn_tasks;
    simulation_plan(machine, time_ns, EVENT_TURN_END, self, 0);
}

/* Adds up, until now, how long cores idled while much waited. */
static void sample(struct machine *machine)
{
    uint64_t elapsed_ns = machine->now_ns - machine->sampled_ns;
    machine->sampled_ns = machine->now_ns;
    if (machine->waiting < UINT64_C(2) * machine->balance.options.turn_tasks * machine->balance.count)
        return;
    machine->idle_ns += (double)elapsed_ns * machine->idle_cores;
    machine->loaded_ns += (double)elapsed_ns * machine->balance.count;
}

static void set_state(struct machine *machine, struct core *core, enum state state)
{
    machine->idle_cores += (uint32_t)(state != RUNNING) - (uint32_t)(core->state != RUNNING);
    core->state = state;
}

/* Looks around for work, and falls asleep when that has long been in vain. */
static void rest(struct machine *machine, uint32_t self, uint64_t time_ns)
{
    struct core *core = &machine->cores[self];
    const uint32_t nothing[CLASSES] = {0};
    bool parks = core->pause_ns > IDLE_LAST_NS && policy_sheds(machine);
    kn_balance_publish(&core->seat, kn_balance_load_word(nothing, parks ? KN_BALANCE_PARKED : KN_BALANCE_IDLE));
    set_state(machine, core, parks ? PARKED : IDLE);
    core->timer++;
    if (parks)
        return;
    if (policy_steals(machine))
        ask(machine, time_ns, self, 0);
    simulation_plan(machine, time_ns + core->pause_ns, EVENT_LOOK, self, core->timer);
    if (core->pause_ns < IDLE_LAST_NS || policy_sheds(machine))
        core->pause_ns *= 2;
}

/* What a core does between two turns. */
static void look(struct machine *machine, uint32_t self, enum event_kind cause)
{
    struct core *core = &machine->cores[self];
    uint64_t time_ns = machine->now_ns + read_bus(machine, self);
    time_ns += shed(machine, time_ns, self);
    uint32_t waiting[CLASSES];
    uint32_t movable[CLASSES];
    count_tasks(core, waiting, movable);
    if (total(waiting) > 0) {
        set_state(machine, core, RUNNING);
        core->pause_ns = IDLE_FIRST_NS;
        core->turn_start_ns = time_ns;
        core->turn_ran = 0;
        if (total(waiting) <= core->budget && policy_steals(machine) && machine->options->policy != POLICY_LATE)
            ask(machine, time_ns, self, total(waiting));
        run_turn(machine, self, time_ns);
    } else if (cause != EVENT_MESSAGE) {
        rest(machine, self, time_ns);
    }
}

/* Puts a message into the inbox of its core, which sees it now where it waits for one. */
static void receive(struct machine *machine, uint32_t self, uint32_t index)
{
    struct core *core = &machine->cores[self];
    if (core->inbox.count++ == 0)
        core->inbox.first = index;
    else
        machine->messages[core->inbox.last].next = index;
    core->inbox.last = index;
    if (core->state == IDLE) {
        look(machine, self, EVENT_MESSAGE);
    } else if (core->state == PARKED) {
        machine->result->wakes++;
        set_state(machine, core, WAKING);
        core->pause_ns = IDLE_FIRST_NS;
        simulation_plan(machine, machine->now_ns + SIMULATION_WAKE_NS, EVENT_WOKEN, self, 0);
    }
}

/* --- The machine ------------------------------------------------------------------------------------------- */

static void hash(struct machine *machine, uint64_t value)
{
    for (unsigned i = 0; i < 64; i += 8)
        machine->result->trace_hash = (machine->result->trace_hash ^ (value >> i & 255)) * UINT64_C(0x100000001b3);
}

static void handle(struct machine *machine, const struct event *event)
{
    struct core *core = &machine->cores[event->core];
    hash(machine, event->time_ns);
    hash(machine, (uint64_t)event->core << 32 | event->value << 4 | event->kind);
    sample(machine);
    if (event->kind == EVENT_ARRIVE) {
        simulation_arrive(machine);
        return;
    }
    if (core->stalls && event->time_ns >= STALL_FROM_NS && event->time_ns < STALL_FROM_NS + STALL_NS) {
        simulation_plan(machine, STALL_FROM_NS + STALL_NS, event->kind, event->core, event->value);
        return;
    }
    if (event->kind == EVENT_MESSAGE) {
        receive(machine, event->core, event->value);
    } else if (event->kind == EVENT_LOOK) {
        if (core->state == IDLE && core->timer == event->value)
            look(machine, event->core, event->kind);
    } else if (event->kind == EVENT_TURN_END && core->goes_on && core->inbox.count == 0) {
        run_turn(machine, event->core, event->time_ns);
    } else {
        look(machine, event->core, event->kind);
    }
}

static int open_machine(struct machine *machine)
{
    const struct simulation_options *options = machine->options;
    struct kn_balance_options balance = options->balance;
    if (options->policy == POLICY_TURN)
        balance.look_tasks = UINT32_MAX;
    int result = kn_balance_open(&machine->balance, options->cores, machine_distance, NULL, &balance);
    if (result < 0)
        return result;
    machine->cores = aligned_alloc(KN_OWNER_STRIDE, kn_align_up(options->cores * sizeof(machine->cores[0]), 128));
    if (!machine->cores)
        return -ENOMEM;
    memset(machine->cores, 0, options->cores * sizeof(machine->cores[0]));
    machine->message_free = NO_INDEX;
    machine->idle_cores = options->cores;
    machine->random = (options->seed + 1) * UINT64_C(0x9e3779b97f4a7c15);
    machine->result->trace_hash = UINT64_C(0xcbf29ce484222325);
    for (uint32_t i = 0; i < options->cores; i++) {
        struct core *core = &machine->cores[i];
        kn_balance_seat_init(&core->seat, &machine->balance, i, options->seed);
        core->state = IDLE;
        core->pause_ns = IDLE_FIRST_NS;
        core->budget = machine->balance.options.turn_tasks;
    }
    return 0;
}

int simulation_run(const struct simulation_options *options, struct simulation_result *result)
{
    struct machine machine = {.options = options, .result = result};
    *result = (struct simulation_result){0};
    int error = open_machine(&machine);
    if (error == 0)
        simulation_begin(&machine);
    while (error == 0 && !machine.failed && machine.event_count > 0 && machine.alive + machine.to_arrive > 0) {
        struct event event = next_event(&machine);
        machine.now_ns = event.time_ns;
        handle(&machine, &event);
    }
    if (machine.failed)
        error = -ENOMEM;
    if (error == 0 && !simulation_summarise(&machine))
        error = -ENOMEM;
    kn_balance_close(&machine.balance);
    free(machine.cores);
    free(machine.tasks);
    free(machine.messages);
    free(machine.events);
    return error;
}
