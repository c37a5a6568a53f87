/*
 * What a reactor exchanges with others: messages of the bus, tasks from outside, tasks taken and given.
 */
#include <string.h>

#include "reactor_internal.h"

/* Messages that one look takes from one queue at most, so that a busy sender does not hold the tasks up. */
enum { LOOK_MESSAGES = 64, LOOK_OUTSIDE = 64 };

/* Whether it is to be noted in the trace. */
static bool is_tracing(const struct kn_reactor *reactor)
{
    return KN_UNLIKELY(atomic_load_explicit(&reactor->runtime->tracing, memory_order_relaxed));
}

static void take_in(struct kn_reactor *reactor, const struct kn_bus_message *message)
{
    struct kn_task_chain chain = {.first = message->first, .last = message->last, .count = message->count};
    while (chain.count > 0) {
        struct kn_task *task = kn_task_chain_take(&chain);
        task->home = reactor;
        kn_run_queue_push(&reactor->queue, task, KN_RUN_ORDER);
    }
}

static void take_given(struct kn_reactor *reactor, uint32_t from, const struct kn_bus_message *message)
{
    kn_balance_answered(&reactor->seat, from);
    if (message->count == 0) {
        kn_counter_add(&reactor->counters.steals_empty, 1);
        return;
    }
    reactor->next_ask = 0;
    kn_counter_add(&reactor->counters.tasks_taken, message->count);
    if (is_tracing(reactor))
        kn_trace_add(&reactor->trace, KN_TRACE_TAKE, reactor->now_ns, message->count, NULL, NULL);
    take_in(reactor, message);
}

static void take_back(struct kn_reactor *reactor, const struct kn_bus_message *message)
{
    struct kn_task *last = message->last;
    kn_task_set_next(last, reactor->pool.free);
    reactor->pool.free = message->first;
    kn_counter_add(&reactor->counters.pool_used, 0 - (uint64_t)message->count);
}

static void take_message(struct kn_reactor *reactor, uint32_t from, const struct kn_bus_message *message)
{
    kn_counter_add(&reactor->counters.received[message->kind], 1);
    switch ((enum kn_bus_kind)message->kind) {
    case KN_BUS_SPAWN:
    case KN_BUS_WAKE:
        take_in(reactor, message);
        return;
    case KN_BUS_GIVE:
        take_given(reactor, from, message);
        return;
    case KN_BUS_STEAL:
        reactor->askers[reactor->asker_count++] = from;
        return;
    case KN_BUS_RETURN:
        take_back(reactor, message);
        return;
    case KN_BUS_TIMER:
        kn_reactor_take_timer(reactor, message->first);
        return;
    case KN_BUS_CANCEL:
        kn_reactor_forget_timer(reactor, message->first);
        return;
    case KN_BUS_STOP:
        reactor->stopping = true;
        return;
    case KN_BUS_KINDS:
        break;
    }
    kn_assert(!"a message of the bus is of a known kind");
}

/* Takes what threads without a reactor have sent. */
static unsigned look_outside(struct kn_reactor *reactor)
{
    unsigned count = 0;
    struct kn_mailbox_node *node;
    while (count < LOOK_OUTSIDE && kn_mailbox_try_pop(&reactor->outside, &node) == 0) {
        struct kn_task *task = KN_CONTAINER_OF(node, struct kn_task, node);
        kn_run_queue_push(&reactor->queue, task, KN_RUN_ORDER);
        count++;
    }
    return count;
}

unsigned kn_reactor_look(struct kn_reactor *reactor)
{
    unsigned count = 0;
    size_t reactors = reactor->bus->reactors;
    for (uint32_t from = 0; from < reactors; from++) {
        if (from == reactor->index)
            continue;
        struct kn_bus_ring *ring = kn_bus_ring(reactor->bus, from, reactor->index);
        struct kn_bus_message message;
        for (unsigned taken = 0; taken < LOOK_MESSAGES && kn_bus_ring_try_pop(&ring->consumer, &message) == 0;
             taken++) {
            take_message(reactor, from, &message);
            count++;
        }
    }
    return count + look_outside(reactor);
}

/* Sends a chain to another one, of whatever kind, and wakes it. */
static void send_chain(struct kn_reactor *reactor, size_t to, enum kn_bus_kind kind, const struct kn_task_chain *chain)
{
    if (kn_bus_send_tasks(reactor->bus, reactor->index, to, kind, chain)) {
        kn_park_notify(&reactor->runtime->reactors[to]->park);
    } else {
        reactor->holds_back = true;
        kn_counter_add(&reactor->counters.bus_full, 1);
    }
}

/* Gives tasks of a class to another one. How many. */
static uint32_t give(struct kn_reactor *reactor, size_t to, unsigned class, uint32_t count)
{
    struct kn_task_chain chain = {0};
    if (count > 0)
        chain = kn_run_queue_give(&reactor->queue, class, count);
    if (chain.count > 0 && is_tracing(reactor))
        kn_trace_add(&reactor->trace, KN_TRACE_GIVE, reactor->now_ns, chain.count, NULL, NULL);
    send_chain(reactor, to, KN_BUS_GIVE, &chain);
    return chain.count;
}

void kn_reactor_answer(struct kn_reactor *reactor)
{
    struct kn_run_queue *queue = &reactor->queue;
    const struct kn_balance *balance = reactor->seat.balance;
    for (; reactor->asker_count > 0; reactor->asker_count--) {
        uint32_t asker = reactor->askers[reactor->asker_count - 1];
        unsigned class = 0;
        uint32_t count = kn_balance_share(&balance->options, queue->waiting, queue->movable, reactor->budget,
                                          reactor->asker_count, kn_balance_load(balance, asker), &class);
        count = give(reactor, asker, class, count);
        kn_counter_add(&reactor->counters.tasks_given, count);
    }
}

static void notify_sent(void *context, size_t to)
{
    struct kn_runtime *runtime = context;
    kn_park_notify(&runtime->reactors[to]->park);
}

void kn_reactor_flush(struct kn_reactor *reactor)
{
    if (reactor->returns) {
        for (size_t to = 0; to < reactor->bus->reactors; to++) {
            if (!reactor->returned[to].first)
                continue;
            send_chain(reactor, to, KN_BUS_RETURN, &reactor->returned[to]);
            reactor->returned[to] = (struct kn_task_chain){0};
        }
        reactor->returns = false;
    }
    if (reactor->holds_back)
        reactor->holds_back = kn_bus_flush(reactor->bus, reactor->index, notify_sent, reactor->runtime);
}

void kn_reactor_publish(struct kn_reactor *reactor, int running)
{
    if (!reactor->balances)
        return;
    /* One that takes no part gives, and looks as if it ran the most urgent. */
    if (!(reactor->roles & KN_ROLE_TASK))
        running = 0;
    kn_balance_publish(&reactor->seat, kn_balance_load_word(reactor->queue.movable, running));
}

void kn_reactor_shed(struct kn_reactor *reactor)
{
    struct kn_run_queue *queue = &reactor->queue;
    unsigned class;
    uint32_t count;
    for (uint32_t i = 0; i < reactor->seat.balance->options.sheds_max; i++) {
        size_t to = kn_balance_target(&reactor->seat, queue->waiting, queue->movable, reactor->budget,
                                      reactor->turn_was_full && i == 0, &class, &count);
        if (to == KN_BALANCE_NONE)
            return;
        count = give(reactor, to, class, count);
        kn_counter_add(&reactor->counters.tasks_shed, count);
    }
}

bool kn_reactor_ask(struct kn_reactor *reactor, uint32_t waiting)
{
    size_t victim = kn_balance_victim(&reactor->seat, waiting);
    if (victim == KN_BALANCE_NONE)
        return false;
    kn_counter_add(&reactor->counters.steals_asked, 1);
    if (kn_bus_send(reactor->bus, reactor->index, victim, KN_BUS_STEAL, NULL) == 0)
        kn_park_notify(&reactor->runtime->reactors[victim]->park);
    else
        kn_balance_answered(&reactor->seat, victim); /* its queue is full: as if it had answered with nothing */
    return true;
}
