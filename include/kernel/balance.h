/**
 * @file balance.h
 * Decides which core asks which for work, and how many tasks of which priority class then go from one to the other.
 *
 * Use it from a reactor whose run queues are its own and which talks to the others by messages: it answers questions
 * from what a core knows of itself and what the others have published, and moves nothing. It has no clock, allocates
 * nothing after kn_balance_open and takes a bounded number of steps, whatever the number of cores, so that the very
 * same functions run in the reactor and in a simulation that is repeated exactly.
 *
 * What it guarantees where the published words are true: no transfer leaves its receiver with more than its giver, in
 * the classes that stand before what was moved or, for a thief that has nothing, in all, so that transfers alone come
 * to rest (below); and no task that is more urgent than those given waits at the giver for longer than its next turn.
 * Words are a moment old and several cores may choose one target at once; what then goes wrong is bounded by what is in
 * flight, and tests/test_balance_simulation.c measures it.
 *
 * How it works. Each core publishes one word: how many tasks wait in each class, and what it runs. It is in a cache
 * line of its own; others read it whenever they like.
 *
 *     63      59    56 55 49 48                          7 6     0
 *     +--------+------+-----+-----------------------------+-------+
 *     | parked | runs |  7  |  6  ...                   1 |   0   |    seven bits a class, 127 meaning "or more"
 *     +--------+------+-----+-----------------------------+-------+
 *
 * Stealing: a core that has no work, or no more than its next turn runs, asks the nearest core that has much more
 * (kn_balance_victim); that core gives, when it next looks at its bus, half a queue (kn_balance_share). Shedding: a
 * core that has more than its next turn runs sends tasks unasked to a core that has nothing as urgent
 * (kn_balance_target). This is the only way to a core that sleeps, and the way by which urgent tasks reach cores that
 * are busy with less urgent ones. Both look at the nearest few cores and at a few that chance picks, never at all of
 * them.
 *
 * What a reactor does with it, between two turns:
 *
 *     read the bus: take in the chains that came; kn_balance_answered for each answer; answer each question by
 *         kn_balance_share, with `askers` counting down;
 *     send what kn_balance_target says, up to options.sheds_max times;
 *     if no more waits than the next turn runs: ask whom kn_balance_victim names;
 *     if anything waits: kn_balance_publish, and run a turn; after each options.look_tasks tasks publish again, and end
 *         the turn there if a message has come;
 *     else: kn_balance_publish idle, later parked, and wait for messages; while awake, kn_balance_victim now and then.
 *
 * What a turn runs is its `budget`: options.turn_tasks, or where the last turn was ended by time after fewer, so many.
 * In this way long tasks are spread as many short ones are.
 *
 * Why it comes to rest. Let P(c) of a core be its tasks in the classes 0 to c, which are those that a task of class c
 * waits for. A transfer of m tasks of class c takes m <= (P(c) of giver - P(c) of receiver) / 2, which makes the sum of
 * all P(c) squared smaller and changes no P of a more urgent class: the sums for the classes 0 to 7, read as one number
 * of eight digits, fall with each transfer. To a thief that has nothing m may be larger, but as m <= P(c) and
 * m <= P(7) / 2, no digit rises and the last one falls. There is no way round to where they were.
 *
 * Sources: U. Acar, A. Chargueraud, M. Rainey, Scheduling Parallel Programs by Work Stealing with Private Deques, PPoPP
 * 2013 (asking and giving by messages); R. Blumofe, C. Leiserson, JACM 46(5), 1999 (chance); D. Eager, E. Lazowska,
 * J. Zahorjan, Performance Evaluation 6, 1986 (giver- and receiver-initiated sharing, and that few looks suffice).
 * docs/decisions/0007-balancing-by-message.md has the measurements.
 */
#ifndef KERNEL_BALANCE_H
#define KERNEL_BALANCE_H

#include <stddef.h>
#include <stdint.h>

#include <kernel/atomic.h>
#include <kernel/priority.h>

/** There is no such core. */
#define KN_BALANCE_NONE SIZE_MAX

/** Most cores. */
#define KN_BALANCE_CORES_MAX 1024

/** A published count of waiting tasks that says no more than "at least so many". */
#define KN_BALANCE_SATURATED 127

/** What a core does that runs no task; instead of the class of the task it runs. */
enum kn_balance_rest {
    KN_BALANCE_IDLE = -1,   /**< awake, and looking for work */
    KN_BALANCE_PARKED = -2, /**< asleep: a message wakes it */
};

/** What one core publishes, on memory that no other core writes. */
struct kn_balance_cell {
    KN_OWNED _Atomic uint64_t load; /**< kn_balance_load_word */
    _Atomic uint64_t number;        /**< how often it has changed: it may have been the same before */
};

/** How far it is from one core to another: any measure, larger is farther. `context` is the caller's. */
typedef uint32_t kn_balance_distance(void *context, uint32_t from, uint32_t to);

/** How to balance. Zeros are the defaults, which docs/decisions/0007-balancing-by-message.md has the reasons for. */
struct kn_balance_options {
    uint32_t turn_tasks;  /**< most tasks of one turn; 0: 64. Below 127 */
    uint32_t moved_max;   /**< most tasks of one transfer; 0: 256 */
    uint32_t look_near;   /**< nearest cores looked at in one try; 0: 8 */
    uint32_t look_random; /**< cores looked at that chance picks among all others; 0: 8. Both together: 64 at most */
    uint32_t look_tasks;  /**< tasks after which a message ends a turn; turn_tasks: nothing does; 0: 8 */
    uint32_t asks_max;    /**< most cores that a thief has asked and not heard of; 0: 4. At most 8 */
    uint32_t sheds_max;   /**< most transfers that a reactor sends unasked between two turns; 0: 16 */
};

/**
 * What all cores share: the published words and who is near to whom.
 *
 * Invariant: nothing changes after it was opened but the words, each of which one core writes. A row of `orders` has
 * every other core once.
 */
struct kn_balance {
    struct kn_balance_cell *cells;     /**< one for each core */
    uint16_t *orders;                  /**< for each core all others, nearest first: count rows of count - 1 */
    uint32_t count;                    /**< cores */
    struct kn_balance_options options; /**< with the defaults filled in */
};

enum {
    KN_BALANCE_ASKS_MAX = 8,   /**< most that options.asks_max can be */
    KN_BALANCE_LOOKS_MAX = 64, /**< most that options.look_near and look_random can be together */
    KN_BALANCE_SENT_MAX = 32,  /**< transfers that a core remembers */
};

/** A transfer that its receiver may not have published yet. Private. */
struct kn_balance_sent {
    uint64_t number; /* of what the receiver had published when it was sent */
    uint32_t count;  /* tasks */
    uint32_t look;   /* the seat's, when it was sent */
    uint16_t target; /* core */
    uint8_t class;
};

/**
 * One core's own view: its place, its chance and what it has asked for and sent. One thread's. Fields are private.
 *
 * Invariant: asked[0..asked_count) are the cores that were asked and have not answered, each once; sent[0..sent_count)
 * are the latest transfers that are not known to have been published.
 */
struct kn_balance_seat {
    const struct kn_balance *balance;
    uint64_t random;
    uint64_t published;
    uint32_t self;
    uint32_t look; /* calls of kn_balance_target that looked: what old entries of `sent` are told by */
    uint32_t asked_count;
    uint32_t sent_count;
    uint16_t asked[KN_BALANCE_ASKS_MAX];
    struct kn_balance_sent sent[KN_BALANCE_SENT_MAX];
};

/**
 * Makes what `count` cores share, all idle, and sorts for each core the others by distance; among cores at one distance
 * each core begins behind itself, so that not all prefer the same. Takes count * count * log(count) steps.
 *
 * @param distance NULL: all are as far. @param options NULL: the defaults.
 * @return 0; -EINVAL for no core, more than KN_BALANCE_CORES_MAX, or options out of range; -ENOMEM.
 */
KN_CHECK_RESULT int kn_balance_open(struct kn_balance *balance, uint32_t count, kn_balance_distance *distance,
                                    void *context, const struct kn_balance_options *options);

/** Frees it; no seat may be used any more. Harmless on a zeroed or closed one. */
void kn_balance_close(struct kn_balance *balance);

/** Takes the place of core `self`, below the count. The same seed makes the same choices. */
void kn_balance_seat_init(struct kn_balance_seat *seat, const struct kn_balance *balance, uint32_t self, uint64_t seed);

/** Packs what waits in each class, and what runs: the class of the next task or an enum kn_balance_rest. */
KN_INLINE uint64_t kn_balance_load_word(const uint32_t waiting[KN_PRIORITY_CLASSES], int running)
{
    uint64_t word = running >= 0 ? (uint64_t)(running + 1) << 56 : (uint64_t)(running == KN_BALANCE_PARKED) << 63;
    for (unsigned class = 0; class < KN_PRIORITY_CLASSES; class ++) {
        uint64_t count = waiting[class] < KN_BALANCE_SATURATED ? waiting[class] : KN_BALANCE_SATURATED;
        word |= count << (7 * class);
    }
    return word;
}

/** Tasks that wait in a class according to a word; KN_BALANCE_SATURATED: or more. */
KN_INLINE uint32_t kn_balance_load_waiting(uint64_t word, unsigned class)
{
    return (uint32_t)(word >> (7 * class)) & KN_BALANCE_SATURATED;
}

/** What a core runs according to a word: a class or an enum kn_balance_rest. */
KN_INLINE int kn_balance_load_running(uint64_t word)
{
    if (word >> 63)
        return KN_BALANCE_PARKED;
    return (int)(word >> 56 & 15) - 1;
}

/**
 * Publishes this core's word where it changed. Call it once the bus was read and before tasks run, each
 * options.look_tasks tasks, and whenever the core becomes idle or parks.
 *
 * The store is relaxed: a word is a hint, and what it leads to is moved by messages, which order themselves.
 */
KN_INLINE void kn_balance_publish(struct kn_balance_seat *seat, uint64_t word)
{
    if (word == seat->published)
        return;
    seat->published = word;
    struct kn_balance_cell *cell = &seat->balance->cells[seat->self];
    atomic_store_explicit(&cell->load, word, memory_order_relaxed);
    kn_counter_add(&cell->number, 1);
}

/** What a core has published; a moment old. Any thread. */
KN_INLINE uint64_t kn_balance_load(const struct kn_balance *balance, size_t core)
{
    return atomic_load_explicit(&balance->cells[core].load, memory_order_relaxed);
}

/**
 * Whom to ask for work: the nearest of the cores looked at that has more waiting than a turn runs, and thus something
 * left when it reads its bus; else the nearest that has any two. It must have more than twice of what waits here, or
 * more than it can say. Notes that it was asked: it is not named again before kn_balance_answered, and at most
 * options.asks_max are asked at once, so that a core that stands still holds up no thief.
 *
 * Call it where nothing waits, and before a turn that will run all that waits: the answer then comes while it runs.
 *
 * @param waiting tasks of all classes that wait here.
 * @return a core, which the caller then asks; or KN_BALANCE_NONE.
 */
size_t kn_balance_victim(struct kn_balance_seat *seat, uint32_t waiting);

/** Notes that a core answered, with tasks or with none. Harmless for one that was not asked. */
void kn_balance_answered(struct kn_balance_seat *seat, size_t core);

/**
 * How much a core that was asked gives, and of which class. Walking from the most urgent class, the one in which the
 * budget is used up is the one to give of: what is more urgent runs in the next turn anyway. Where that has nothing
 * movable, the next one that has; where all fits into one turn, the least urgent that has. It gives half of that class,
 * rounded up, but not more than half of all that waits; where several ask, one of as many parts as there are askers and
 * itself. To an asker that has tasks itself it gives no more than half of the difference up to that class.
 *
 * @param waiting tasks in each class, one that runs excluded. @param movable those among them that are not pinned.
 * @param budget tasks that the next turn will run. @param askers questions not answered yet, this one included.
 * @param asker_load what the asker has published. @param class of those to give; untouched when 0 is answered.
 * @return how many, 0..options.moved_max. 0 is an answer that the asker must be told, too.
 */
uint32_t kn_balance_share(const struct kn_balance_options *options, const uint32_t waiting[KN_PRIORITY_CLASSES],
                          const uint32_t movable[KN_PRIORITY_CLASSES], uint32_t budget, uint32_t askers,
                          uint64_t asker_load, unsigned *class);

/**
 * To whom to send tasks unasked. Where more waits than the next turn runs, it is tasks of the class in which the budget
 * is used up, or of the next one that has something movable. They go to one of the cores looked at that has nothing
 * waiting, running or sent to it that is as urgent: an idle one, else a parked one, else one that is busy with less; of
 * these the nearest. It gets this core's part of what it lacks of the mean of the cores looked at, as others will send
 * theirs, and never more than half of what is here up to that class; parts that are not worth a message are sent whole
 * now and then instead.
 *
 * Where all fits into one turn, but the last one, too, used up its budget and left something behind (`full`), half of
 * that goes to one core that is idle or parked: tasks that start anew for ever are spread as well.
 *
 * Call it with the counts that are left until it answers none, up to options.sheds_max times, `full` only the first.
 * Notes what was sent: a target counts as having it until its word has changed or 64 more calls have been made.
 *
 * @param waiting, movable, budget as for kn_balance_share.
 * @param class of those to send. @param count how many, 1..options.moved_max. Both untouched when it answers none.
 * @return a core, which the caller then sends so many; or KN_BALANCE_NONE.
 */
size_t kn_balance_target(struct kn_balance_seat *seat, const uint32_t waiting[KN_PRIORITY_CLASSES],
                         const uint32_t movable[KN_PRIORITY_CLASSES], uint32_t budget, bool full, unsigned *class,
                         uint32_t *count);

#endif
