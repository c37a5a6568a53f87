#include <kernel/bus.h>

#include <stdlib.h>

int kn_bus_open(struct kn_bus *bus, size_t reactors, size_t depth)
{
    *bus = (struct kn_bus){.reactors = reactors};
    if (reactors == 0 || reactors > UINT16_MAX)
        return -EINVAL;
    bus->rings = calloc(reactors * reactors, sizeof(struct kn_bus_ring *));
    bus->outbox = calloc(reactors * reactors, sizeof(bus->outbox[0]));
    int result = bus->rings && bus->outbox ? 0 : -ENOMEM;
    for (size_t i = 0; result == 0 && i < reactors * reactors; i++)
        if (i / reactors != i % reactors)
            result = kn_bus_ring_open(&bus->rings[i], depth);
    if (result < 0)
        kn_bus_close(bus);
    return result;
}

void kn_bus_close(struct kn_bus *bus)
{
    for (size_t i = 0; bus->rings && i < bus->reactors * bus->reactors; i++)
        kn_bus_ring_close(bus->rings[i]);
    free(bus->rings);
    free(bus->outbox);
    *bus = (struct kn_bus){0};
}

static int send_chain(struct kn_bus *bus, size_t from, size_t to, enum kn_bus_kind kind,
                      const struct kn_task_chain *chain)
{
    struct kn_bus_message message = {.kind = kind, .count = chain->count, .first = chain->first, .last = chain->last};
    return kn_bus_ring_try_push(&kn_bus_ring(bus, from, to)->producer, &message);
}

static void append_chain(struct kn_task_chain *chain, const struct kn_task_chain *more)
{
    if (!chain->last) {
        *chain = *more;
        return;
    }
    atomic_store_explicit(&chain->last->node.next, &more->first->node, memory_order_relaxed);
    chain->last = more->last;
    chain->count += more->count;
}

bool kn_bus_send_tasks(struct kn_bus *bus, size_t from, size_t to, enum kn_bus_kind kind,
                       const struct kn_task_chain *chain)
{
    struct kn_bus_outbox *outbox = &bus->outbox[from * bus->reactors + to];
    struct kn_task_chain *held = kind == KN_BUS_RETURN ? &outbox->returned : &outbox->tasks;
    /* What is held back goes first, so that tasks do not overtake each other. */
    if (!held->first && send_chain(bus, from, to, kind, chain) == 0)
        return true;
    if (chain->first)
        append_chain(held, chain);
    if (kind == KN_BUS_GIVE)
        outbox->owes_answer = true;
    return false;
}

int kn_bus_send(struct kn_bus *bus, size_t from, size_t to, enum kn_bus_kind kind, void *subject)
{
    struct kn_bus_message message = {.kind = kind, .first = subject};
    return kn_bus_ring_try_push(&kn_bus_ring(bus, from, to)->producer, &message);
}

/* Sends one box as far as there is room. Whether anything was sent. */
static bool flush_box(struct kn_bus *bus, size_t from, size_t to, struct kn_bus_outbox *box)
{
    bool sent = false;
    enum kn_bus_kind kind = box->owes_answer ? KN_BUS_GIVE : KN_BUS_WAKE;
    if ((box->tasks.first || box->owes_answer) && send_chain(bus, from, to, kind, &box->tasks) == 0) {
        box->tasks = (struct kn_task_chain){0};
        box->owes_answer = false;
        sent = true;
    }
    if (box->returned.first && send_chain(bus, from, to, KN_BUS_RETURN, &box->returned) == 0) {
        box->returned = (struct kn_task_chain){0};
        sent = true;
    }
    return sent;
}

bool kn_bus_flush(struct kn_bus *bus, size_t from, void (*sent_to)(void *context, size_t to), void *context)
{
    bool held = false;
    for (size_t to = 0; to < bus->reactors; to++) {
        struct kn_bus_outbox *box = &bus->outbox[from * bus->reactors + to];
        if (!box->tasks.first && !box->returned.first && !box->owes_answer)
            continue;
        if (flush_box(bus, from, to, box) && sent_to)
            sent_to(context, to);
        held = held || box->tasks.first || box->returned.first || box->owes_answer;
    }
    return held;
}
