/* What the parts of the simulation share: the machine, and what its work may do to it. */
#ifndef BALANCE_SIMULATION_INTERNAL_H
#define BALANCE_SIMULATION_INTERNAL_H

#include "balance_simulation.h"

enum {
    CORES_PER_CACHE = 8,
    CORES_PER_PACKAGE = 64,
    SEND_NS = 50,
    MOVE_NS = 4, /* one task, at either end */
    LOOK_NS = 200,
    WAKE_COST_NS = 1500,
    IDLE_FIRST_NS = 1000,
    IDLE_LAST_NS = 64000, /* then it parks */
    CLASSES = KN_PRIORITY_CLASSES,
    ORDINARY = 4,        /* class of the workloads that have but one */
    TASK_NS = 1000,      /* on average */
    RENEW_NS = 20000000, /* tasks that start anew do so until then */
    STALL_FROM_NS = 50000,
    STALL_NS = 2000000,
    BURST_TASKS = 256, /* a core */
    NO_INDEX = UINT32_MAX,
};

struct task {
    uint64_t ready_ns;
    uint64_t start_ns; /* 0 before */
    uint32_t next;
    uint32_t service_ns;
    uint16_t moves;
    uint8_t class;
    bool pinned;
};

struct list {
    uint32_t first, last, count;
};

/* How a core stands. Turns are run ahead: what happens within one is settled when it begins. */
enum state { RUNNING, IDLE, PARKED, WAKING };

struct core {
    struct kn_balance_seat seat;
    struct list queues[2][CLASSES]; /* movable, pinned */
    struct list inbox;              /* of messages */
    enum state state;
    uint32_t budget;   /* tasks of the next turn, by the last */
    uint32_t slowness; /* times that a task takes */
    uint32_t pause_ns; /* until it looks around again */
    uint32_t timer;    /* number of its last EVENT_LOOK: older ones are void */
    uint64_t turn_start_ns;
    uint32_t turn_ran; /* tasks of this turn so far */
    bool stalls;
    bool began;   /* a task */
    bool full;    /* its last turn used its budget up and left something behind */
    bool goes_on; /* its turn does, unless a message comes */
};

enum message_kind { MESSAGE_ASK, MESSAGE_CHAIN, MESSAGE_REFUSAL, MESSAGE_ARRIVAL };

struct message {
    uint32_t next;
    uint32_t from;
    enum message_kind kind;
    struct list chain;
    unsigned class;
    bool answer; /* to a question, and not shed */
};

enum event_kind { EVENT_TURN_END, EVENT_LOOK, EVENT_MESSAGE, EVENT_WOKEN, EVENT_ARRIVE };

struct event {
    uint64_t time_ns;
    uint64_t number; /* of two at once, the one that was planned first is first */
    enum event_kind kind;
    uint32_t core;
    uint32_t value; /* message, or the number of a look */
};

struct machine {
    const struct simulation_options *options;
    struct simulation_result *result;
    struct kn_balance balance;
    struct core *cores;
    struct task *tasks;
    uint32_t task_count, task_capacity;
    struct message *messages;
    uint32_t message_count, message_capacity, message_free;
    struct event *events; /* a heap */
    uint32_t event_count, event_capacity;
    uint64_t event_number;
    uint64_t now_ns;
    uint64_t waiting; /* tasks in all queues and chains */
    uint64_t random;
    uint64_t alive;       /* tasks that are to run yet */
    uint64_t ends_ns;     /* of the workloads that renew themselves */
    uint64_t last_end_ns; /* of a task */
    uint64_t work_ns;
    uint64_t to_arrive; /* tasks, or to be forked */
    double arrival_gap_ns;
    uint64_t last_arrival_ns;
    double idle_ns, loaded_ns; /* of all cores, while much waits */
    uint64_t sampled_ns;
    uint32_t idle_cores;
    uint32_t began;
    uint64_t waits[64 * 8];
    bool failed; /* out of memory */
};

/* --- balance_simulation.c ---------------------------------------------------------------------------------- */

void simulation_plan(struct machine *machine, uint64_t time_ns, enum event_kind kind, uint32_t core, uint32_t value);

/* Creates a task that no queue has yet. */
uint32_t simulation_create_task(struct machine *machine, uint32_t service_ns, unsigned class, bool pinned);

void simulation_append_task(struct machine *machine, struct list *list, uint32_t task);

/* Puts a task into its queue at a core. */
void simulation_enqueue(struct machine *machine, uint32_t core, uint32_t task, uint64_t ready_ns);

/* Sends a message off at a time; answers what that costs the sender. */
uint64_t simulation_send(struct machine *machine, uint64_t time_ns, uint32_t to, struct message message);

/* --- balance_simulation_work.c ----------------------------------------------------------------------------- */

/* By chance, below a bound. */
uint32_t simulation_below(struct machine *machine, uint32_t bound);

/* Gives the cores their speeds and all that is there at first. */
void simulation_begin(struct machine *machine);

/* Lets what comes from outside at this time come. */
void simulation_arrive(struct machine *machine);

/* What a task does when it ends: nothing, or it forks, or starts anew. */
void simulation_finish(struct machine *machine, uint32_t self, uint32_t index, uint64_t time_ns);

/* Fills in the result. False without memory. */
bool simulation_summarise(struct machine *machine);

#endif
