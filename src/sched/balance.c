#include <kernel/balance.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <kernel/assert.h>

enum {
    TURN_TASKS_DEFAULT = 64,
    MOVED_MAX_DEFAULT = 256,
    LOOK_NEAR_DEFAULT = 8,
    LOOK_RANDOM_DEFAULT = 8,
    LOOK_TASKS_DEFAULT = 8,
    ASKS_MAX_DEFAULT = 4,
    SHEDS_MAX_DEFAULT = 16,
    /* Looks after which a transfer counts as published: what came and was run in between changes no word. */
    SENT_LOOKS = 64,
    /* A transfer unasked is worth its message from this part of a turn on. */
    WORTH_DIVISOR = 8,
    /* Counts of tasks above this are taken for it, so that products of two fit into 64 bits. */
    COUNT_MAX = INT32_MAX,
};

/* --- Opening ----------------------------------------------------------------------------------------------- */

static uint32_t value_or(uint32_t value, uint32_t otherwise)
{
    return value != 0 ? value : otherwise;
}

static bool fill_options(struct kn_balance_options *filled, const struct kn_balance_options *options)
{
    struct kn_balance_options given = options ? *options : (struct kn_balance_options){0};
    *filled = (struct kn_balance_options){
        .turn_tasks = value_or(given.turn_tasks, TURN_TASKS_DEFAULT),
        .moved_max = value_or(given.moved_max, MOVED_MAX_DEFAULT),
        .look_near = value_or(given.look_near, LOOK_NEAR_DEFAULT),
        .look_random = value_or(given.look_random, LOOK_RANDOM_DEFAULT),
        .look_tasks = value_or(given.look_tasks, LOOK_TASKS_DEFAULT),
        .asks_max = value_or(given.asks_max, ASKS_MAX_DEFAULT),
        .sheds_max = value_or(given.sheds_max, SHEDS_MAX_DEFAULT),
    };
    return filled->turn_tasks < KN_BALANCE_SATURATED && filled->look_near <= KN_BALANCE_LOOKS_MAX &&
           filled->look_random <= KN_BALANCE_LOOKS_MAX - filled->look_near && filled->asks_max <= KN_BALANCE_ASKS_MAX;
}

struct neighbour {
    uint32_t distance;
    uint32_t place; /* behind the core itself, all around */
};

static int compare_neighbours(const void *left, const void *right)
{
    const struct neighbour *one = left;
    const struct neighbour *other = right;
    if (one->distance != other->distance)
        return one->distance < other->distance ? -1 : 1;
    return one->place < other->place ? -1 : 1;
}

/* Sorts the other cores by their distance from `self`. */
static void sort_order(struct kn_balance *balance, uint32_t self, kn_balance_distance *distance, void *context,
                       struct neighbour *neighbours)
{
    uint32_t others = balance->count - 1;
    for (uint32_t i = 0; i < others; i++) {
        uint32_t core = (self + 1 + i) % balance->count;
        neighbours[i] = (struct neighbour){.distance = distance ? distance(context, self, core) : 0, .place = i};
    }
    qsort(neighbours, others, sizeof(neighbours[0]), compare_neighbours);
    for (uint32_t i = 0; i < others; i++)
        balance->orders[(size_t)self * others + i] = (uint16_t)((self + 1 + neighbours[i].place) % balance->count);
}

int kn_balance_open(struct kn_balance *balance, uint32_t count, kn_balance_distance *distance, void *context,
                    const struct kn_balance_options *options)
{
    *balance = (struct kn_balance){0};
    struct kn_balance_options filled;
    if (count == 0 || count > KN_BALANCE_CORES_MAX || !fill_options(&filled, options))
        return -EINVAL;
    balance->count = count;
    balance->options = filled;
    balance->cells = aligned_alloc(KN_OWNER_STRIDE, count * sizeof(balance->cells[0]));
    balance->orders = malloc((size_t)count * count * sizeof(balance->orders[0]));
    struct neighbour *neighbours = malloc(count * sizeof(neighbours[0]));
    if (!balance->cells || !balance->orders || !neighbours) {
        free(neighbours);
        kn_balance_close(balance);
        return -ENOMEM;
    }
    for (uint32_t core = 0; core < count; core++) {
        atomic_init(&balance->cells[core].load, 0);
        atomic_init(&balance->cells[core].number, 0);
        sort_order(balance, core, distance, context, neighbours);
    }
    free(neighbours);
    return 0;
}

void kn_balance_close(struct kn_balance *balance)
{
    free(balance->cells);
    free(balance->orders);
    *balance = (struct kn_balance){0};
}

/* SplitMix64: G. Steele, D. Lea, C. Flood, Fast Splittable Pseudorandom Number Generators, OOPSLA 2014. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t mixed = *state += UINT64_C(0x9e3779b97f4a7c15);
    mixed = (mixed ^ mixed >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ mixed >> 27) * UINT64_C(0x94d049bb133111eb);
    return mixed ^ mixed >> 31;
}

void kn_balance_seat_init(struct kn_balance_seat *seat, const struct kn_balance *balance, uint32_t self, uint64_t seed)
{
    kn_assert(self < balance->count);
    memset(seat, 0, sizeof(*seat));
    seat->balance = balance;
    seat->self = self;
    seat->random = seed;
    /* Neighbours in number would otherwise be neighbours in chance. */
    seat->random = next_random(&seat->random) + self * UINT64_C(0xd1342543de82ef95);
}

static uint32_t least(uint64_t one, uint64_t other)
{
    return (uint32_t)(one < other ? one : other);
}

/* --- Looking around ---------------------------------------------------------------------------------------- */

/* Below `bound`, by chance. */
static uint32_t random_below(struct kn_balance_seat *seat, uint32_t bound)
{
    return (uint32_t)((next_random(&seat->random) >> 32) * bound >> 32);
}

/* How many cores one try looks at. */
static uint32_t look_count(const struct kn_balance *balance)
{
    uint32_t others = balance->count - 1;
    uint32_t most = balance->options.look_near + balance->options.look_random;
    return others < most ? others : most;
}

/* The core that a try looks at as its `index`-th: the near ones in order, then those that chance picks. */
static uint32_t look_at(struct kn_balance_seat *seat, uint32_t index)
{
    const struct kn_balance *balance = seat->balance;
    uint32_t others = balance->count - 1;
    uint32_t near = balance->options.look_near;
    if (others > near + balance->options.look_random && index >= near)
        index = near + random_below(seat, others - near);
    return balance->orders[(size_t)seat->self * others + index];
}

/* Tasks that a word shows in the classes 0 to `class`. */
static uint32_t waiting_up_to(uint64_t word, unsigned class)
{
    uint32_t sum = 0;
    for (unsigned i = 0; i <= class; i++)
        sum += kn_balance_load_waiting(word, i);
    return sum;
}

/* Whether a word says "or more" of any class. */
static bool is_saturated(uint64_t word)
{
    bool saturated = false;
    for (unsigned i = 0; i < KN_PRIORITY_CLASSES; i++)
        saturated |= kn_balance_load_waiting(word, i) == KN_BALANCE_SATURATED;
    return saturated;
}

/* --- Stealing ---------------------------------------------------------------------------------------------- */

static uint32_t asked_index(const struct kn_balance_seat *seat, size_t core)
{
    uint32_t index = 0;
    while (index < seat->asked_count && seat->asked[index] != core)
        index++;
    return index;
}

size_t kn_balance_victim(struct kn_balance_seat *seat, uint32_t waiting)
{
    const struct kn_balance_options *options = &seat->balance->options;
    if (seat->asked_count >= options->asks_max)
        return KN_BALANCE_NONE;
    size_t victim = KN_BALANCE_NONE;
    uint32_t looks = look_count(seat->balance);
    for (uint32_t i = 0; i < looks; i++) {
        uint32_t core = look_at(seat, i);
        uint64_t word = kn_balance_load(seat->balance, core);
        uint32_t there = waiting_up_to(word, KN_PRIORITY_CLASSES - 1);
        bool much = there > options->turn_tasks;
        bool sensible = there / 2 > waiting || is_saturated(word);
        if (!sensible || (victim != KN_BALANCE_NONE && !much) || asked_index(seat, core) < seat->asked_count)
            continue;
        victim = core;
        if (much)
            break;
    }
    if (victim != KN_BALANCE_NONE)
        seat->asked[seat->asked_count++] = (uint16_t)victim;
    return victim;
}

void kn_balance_answered(struct kn_balance_seat *seat, size_t core)
{
    uint32_t index = asked_index(seat, core);
    if (index < seat->asked_count)
        seat->asked[index] = seat->asked[--seat->asked_count];
}

/* --- Giving ------------------------------------------------------------------------------------------------ */

/*
 * The class to give of: the first one with something movable among that in which the budget is used up and those
 * behind. `ahead` is how many tasks wait up to that class. KN_PRIORITY_CLASSES where there is none.
 */
static unsigned class_beyond(const uint32_t waiting[KN_PRIORITY_CLASSES], const uint32_t movable[KN_PRIORITY_CLASSES],
                             uint32_t budget, uint64_t *ahead)
{
    *ahead = 0;
    unsigned class = 0;
    for (; class < KN_PRIORITY_CLASSES; class ++) {
        *ahead += waiting[class];
        if (*ahead > budget && movable[class] > 0)
            break;
    }
    return class;
}

/* The least urgent class with something movable; KN_PRIORITY_CLASSES where there is none. */
static unsigned class_last(const uint32_t waiting[KN_PRIORITY_CLASSES], const uint32_t movable[KN_PRIORITY_CLASSES],
                           uint64_t *ahead)
{
    unsigned last = KN_PRIORITY_CLASSES;
    uint64_t sum = 0;
    for (unsigned i = 0; i < KN_PRIORITY_CLASSES; i++) {
        sum += waiting[i];
        if (movable[i] > 0) {
            last = i;
            *ahead = sum;
        }
    }
    return last;
}

uint32_t kn_balance_share(const struct kn_balance_options *options, const uint32_t waiting[KN_PRIORITY_CLASSES],
                          const uint32_t movable[KN_PRIORITY_CLASSES], uint32_t budget, uint32_t askers,
                          uint64_t asker_load, unsigned *class)
{
    uint64_t total = 0;
    for (unsigned i = 0; i < KN_PRIORITY_CLASSES; i++)
        total += waiting[i];
    uint64_t ahead;
    unsigned from = class_beyond(waiting, movable, budget, &ahead);
    if (from == KN_PRIORITY_CLASSES)
        from = class_last(waiting, movable, &ahead);
    if (from == KN_PRIORITY_CLASSES || total < 2)
        return 0;
    uint64_t parts = (uint64_t)askers + 1;
    uint64_t part = (waiting[from] + parts - 1) / parts;
    uint64_t most = total / parts > 0 ? total / parts : 1;
    if (waiting_up_to(asker_load, KN_PRIORITY_CLASSES - 1) > 0) {
        uint64_t there = waiting_up_to(asker_load, from);
        most = least(most, ahead > there ? (ahead - there) / 2 : 0);
    }
    uint32_t count = least(least(part, most), least(movable[from], options->moved_max));
    if (count > 0)
        *class = from;
    return count;
}

static uint64_t published_number(const struct kn_balance_seat *seat, uint32_t core)
{
    return kn_counter_read(&seat->balance->cells[core].number);
}

/* Tasks of `class` or more urgent that this core has sent to `core` and that the word does not show yet. */
static uint32_t underway(struct kn_balance_seat *seat, uint32_t core, unsigned class)
{
    uint32_t count = 0;
    uint64_t number = published_number(seat, core);
    for (uint32_t i = seat->sent_count; i-- > 0;) {
        const struct kn_balance_sent *sent = &seat->sent[i];
        if (sent->target != core)
            continue;
        if (sent->number != number || seat->look - sent->look > SENT_LOOKS)
            seat->sent[i] = seat->sent[--seat->sent_count];
        else if (sent->class <= class)
            count += sent->count;
    }
    return count;
}

/* Remembers a transfer; where too many are remembered, some other is forgotten. */
static void note_sent(struct kn_balance_seat *seat, const struct kn_balance_sent *sent)
{
    uint32_t index = seat->sent_count < KN_BALANCE_SENT_MAX ? seat->sent_count++ : seat->look % KN_BALANCE_SENT_MAX;
    seat->sent[index] = *sent;
}

/* How well a core suits as a target, the best first. */
enum fitness { FIT_IDLE, FIT_PARKED, FIT_LESS_URGENT, UNFIT };

/* `there` is how many tasks of `class` or more urgent the core has or is to get. */
static enum fitness fitness_of(uint64_t word, unsigned class, uint32_t there)
{
    int running = kn_balance_load_running(word);
    if (there > 0 || (running >= 0 && running <= (int)class))
        return UNFIT;
    if (running == KN_BALANCE_PARKED)
        return FIT_PARKED;
    return running == KN_BALANCE_IDLE ? FIT_IDLE : FIT_LESS_URGENT;
}

/* What one look around found. */
struct outlook {
    size_t target;
    uint64_t mean;   /* tasks up to the class, of the cores looked at and this one */
    uint64_t excess; /* of those above the mean, together */
};

/* Looks for a target fitter than `limit` to tasks of a class, up to which `ahead` tasks wait here. */
static struct outlook look_around(struct kn_balance_seat *seat, unsigned class, uint64_t ahead, enum fitness limit)
{
    struct outlook outlook = {.target = KN_BALANCE_NONE};
    uint32_t there[KN_BALANCE_LOOKS_MAX];
    uint32_t looks = look_count(seat->balance);
    uint64_t sum = ahead;
    seat->look++;
    for (uint32_t i = 0; i < looks; i++) {
        uint32_t core = look_at(seat, i);
        uint64_t word = kn_balance_load(seat->balance, core);
        there[i] = waiting_up_to(word, class) + underway(seat, core, class);
        enum fitness fitness = fitness_of(word, class, there[i]);
        sum += there[i];
        if (fitness >= limit)
            continue;
        limit = fitness;
        outlook.target = core;
    }
    outlook.mean = sum / (looks + 1);
    outlook.excess = ahead > outlook.mean ? ahead - outlook.mean : 0;
    for (uint32_t i = 0; i < looks; i++)
        outlook.excess += there[i] > outlook.mean ? there[i] - outlook.mean : 0;
    return outlook;
}

/*
 * How many of `ahead` tasks to send. Every core with more than the mean sees about the same target, which lacks the
 * mean: each sends the part of it that is its own part of what all have too much. Where that is not worth a message,
 * one that is goes now and then instead; 0: not now.
 */
static uint32_t part_of_lack(struct kn_balance_seat *seat, const struct outlook *outlook, uint64_t ahead,
                             uint32_t budget)
{
    uint64_t part = ahead > outlook->mean ? outlook->mean * (ahead - outlook->mean) / outlook->excess : 0;
    uint32_t worth = least(budget / WORTH_DIVISOR, ahead / 2);
    if (part == 0)
        part = 1;
    if (part < worth)
        part = random_below(seat, worth) < part ? worth : 0;
    return least(part, ahead / 2);
}

size_t kn_balance_target(struct kn_balance_seat *seat, const uint32_t waiting[KN_PRIORITY_CLASSES],
                         const uint32_t movable[KN_PRIORITY_CLASSES], uint32_t budget, bool full, unsigned *class,
                         uint32_t *count)
{
    uint64_t ahead = 0;
    unsigned from = class_beyond(waiting, movable, budget, &ahead);
    bool beyond = from < KN_PRIORITY_CLASSES;
    if (!beyond && full)
        from = class_last(waiting, movable, &ahead);
    if (from == KN_PRIORITY_CLASSES || ahead < 2)
        return KN_BALANCE_NONE;
    ahead = least(ahead, COUNT_MAX);
    struct outlook outlook = look_around(seat, from, ahead, beyond ? UNFIT : FIT_LESS_URGENT);
    if (outlook.target == KN_BALANCE_NONE)
        return KN_BALANCE_NONE;
    uint32_t part = beyond ? part_of_lack(seat, &outlook, ahead, budget) : least(ahead / 2, COUNT_MAX);
    part = least(part, least(movable[from], seat->balance->options.moved_max));
    if (part == 0)
        return KN_BALANCE_NONE;
    *class = from;
    *count = part;
    note_sent(seat, &(struct kn_balance_sent){.number = published_number(seat, (uint32_t)outlook.target),
                                              .count = part,
                                              .look = seat->look,
                                              .target = (uint16_t)outlook.target,
                                              .class = (uint8_t)from});
    return outlook.target;
}
