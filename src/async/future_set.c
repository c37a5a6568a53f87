/*
 * Sets of futures. See future_set.h.
 */
#include <kernel/assert.h>
#include <kernel/executor.h>
#include <kernel/future_set.h>

/* ---- who was woken ---- */

void kn_woken_list_init(struct kn_woken_list *list)
{
    list->first = NULL;
    list->last = &list->first;
    list->polling = list->looked = list->held = false;
    list->parent = (struct kn_waker_cell){.waker = NULL};
    atomic_init(&list->stack, NULL);
}

/*
 * Only the first of a stack wakes the task: who polls leaves its waker and then takes the stack, so that whoever comes
 * after that finds it empty. The others may return before that wake-up was given; it is under way, then.
 */
void kn_woken_node_wake(struct kn_waker *waker)
{
    struct kn_woken_node *node = KN_CONTAINER_OF(waker, struct kn_woken_node, waker);
    /* Release pairs with the acquire of the node's next turn: what was written before this wake-up is seen by that
     * poll, also where the node was queued already. Acquire pairs with the release of its last turn: `next` has been
     * read. */
    if (atomic_exchange_explicit(&node->queued, true, memory_order_acq_rel))
        return;
    struct kn_woken_list *list = node->list;
    struct kn_woken_node *top = atomic_load_explicit(&list->stack, memory_order_relaxed);
    do {
        node->next = top;
        /* Release hands `next` to the acquire of take_stack. The node must not be touched after this. */
    } while (
        !atomic_compare_exchange_weak_explicit(&list->stack, &top, node, memory_order_release, memory_order_relaxed));
    if (!top)
        kn_waker_cell_wake(&list->parent);
}

static void link_turn(struct kn_woken_list *list, struct kn_woken_node *node)
{
    node->next = NULL;
    node->previous = list->last;
    *list->last = node;
    list->last = &node->next;
}

static void unlink_turn(struct kn_woken_list *list, struct kn_woken_node *node)
{
    kn_assert(node->previous);
    *node->previous = node->next;
    if (node->next)
        node->next->previous = node->previous;
    else
        list->last = node->previous;
    node->previous = NULL;
}

/* Moves the stack behind the turns, oldest first. */
static void take_stack(struct kn_woken_list *list)
{
    if (!atomic_load_explicit(&list->stack, memory_order_relaxed))
        return;
    /* Acquire pairs with the releases of all that pushed: theirs are read-modify-writes, one after the other. */
    struct kn_woken_node *node = atomic_exchange_explicit(&list->stack, NULL, memory_order_acquire);
    struct kn_woken_node *oldest = NULL;
    while (node) {
        struct kn_woken_node *next = node->next;
        node->next = oldest;
        oldest = node;
        node = next;
    }
    while (oldest) {
        struct kn_woken_node *next = oldest->next;
        link_turn(list, oldest);
        oldest = next;
    }
}

void kn_woken_list_wake(struct kn_woken_list *list)
{
    if (list->held && !list->polling)
        kn_waker_cell_wake(&list->parent);
}

void kn_woken_list_add(struct kn_woken_list *list, struct kn_woken_node *node)
{
    /* Where others wait for their turn, a wake-up for these has been given or is under way. */
    bool is_first = list->first == NULL;
    link_turn(list, node);
    if (is_first)
        kn_woken_list_wake(list);
}

struct kn_woken_node *kn_woken_list_next(struct kn_woken_list *list, struct kn_context *context)
{
    if (!list->first && !list->looked) {
        kn_waker_cell_register(&list->parent, context->waker);
        list->looked = list->held = true;
        take_stack(list);
    }
    struct kn_woken_node *node = list->first;
    if (!node || !kn_context_may_continue(context))
        return NULL;
    unlink_turn(list, node);
    /* A new node is not queued, and nobody knows it yet. Acquire pairs with the release of every wake-up since its last
     * turn, a read-modify-write for the sake of those that found it queued; release hands `next` back to the next. */
    if (atomic_load_explicit(&node->queued, memory_order_relaxed))
        atomic_exchange_explicit(&node->queued, false, memory_order_acq_rel);
    return node;
}

void kn_woken_list_end(struct kn_woken_list *list, bool pending)
{
    list->polling = false;
    if (pending || !list->held)
        return;
    kn_waker_cell_clear(&list->parent);
    list->held = false;
}

void kn_woken_list_forget(struct kn_woken_list *list, struct kn_woken_node *node)
{
    /* Nobody wakes it any more: its future has seen to it that these calls happened before, and `queued` stays. */
    if (!node->previous && atomic_load_explicit(&node->queued, memory_order_relaxed))
        take_stack(list);
    if (node->previous)
        unlink_turn(list, node);
}

void kn_woken_list_reset(struct kn_woken_list *list)
{
    list->first = NULL;
    list->last = &list->first;
    atomic_store_explicit(&list->stack, NULL, memory_order_relaxed);
    kn_woken_list_end(list, false);
}

/* ---- members ---- */

static void unlink_member(struct kn_future_set *self, struct kn_future_member *member)
{
    *member->previous = member->next;
    if (member->next)
        member->next->previous = member->previous;
    else
        self->last = member->previous;
    member->set = NULL;
    self->count--;
}

/* Ends a member whose answer nobody will take. */
static void end_member(struct kn_future_member *member)
{
    if (member->finished)
        kn_future_discard_outcome(member->future, member->outcome);
    else
        kn_future_drop(member->future);
}

static struct kn_outcome hand_out(struct kn_future_set *self, struct kn_future_member *member,
                                  struct kn_outcome outcome)
{
    unlink_member(self, member);
    self->answered = member;
    self->origin = member->future;
    return outcome;
}

static bool has_finished_head(const struct kn_future_set *self)
{
    return self->first && self->first->finished;
}

/* ---- the stream ---- */

static struct kn_outcome go_on(struct kn_future_set *self, struct kn_context *context)
{
    struct kn_context inner = *context;
    for (;;) {
        if (has_finished_head(self))
            return hand_out(self, self->first, self->first->outcome);
        if (!self->first) {
            self->answered = NULL;
            return kn_ended();
        }
        struct kn_woken_node *node = kn_woken_list_next(&self->woken, context);
        if (!node)
            return kn_pending();
        struct kn_future_member *member = KN_CONTAINER_OF(node, struct kn_future_member, woken);
        inner.waker = &node->waker;
        struct kn_outcome outcome = kn_future_poll(member->future, &inner);
        if (outcome.status == KN_PENDING)
            continue;
        kn_woken_list_forget(&self->woken, node);
        if (!self->ordered || member == self->first)
            return hand_out(self, member, outcome);
        member->finished = true;
        member->outcome = outcome;
    }
}

static struct kn_outcome set_next(struct kn_stream *stream, struct kn_context *context)
{
    struct kn_future_set *self = KN_CONTAINER_OF(stream, struct kn_future_set, stream);
    kn_woken_list_begin(&self->woken);
    struct kn_outcome outcome = go_on(self, context);
    kn_woken_list_end(&self->woken, outcome.status == KN_PENDING);
    return outcome;
}

static void set_drop(struct kn_stream *stream)
{
    struct kn_future_set *self = KN_CONTAINER_OF(stream, struct kn_future_set, stream);
    while (self->first) {
        struct kn_future_member *member = self->first;
        unlink_member(self, member);
        end_member(member);
    }
    /* Only now: what the stack and the turns are linked of has stayed. */
    kn_woken_list_reset(&self->woken);
}

static void set_discard(struct kn_stream *stream, kn_value_t value)
{
    kn_future_discard(KN_CONTAINER_OF(stream, struct kn_future_set, stream)->origin, value);
}

static const struct kn_stream_type set_type = {
    .name = "future_set", .next = set_next, .drop = set_drop, .discard = set_discard};

static struct kn_stream *make(struct kn_future_set *self, bool ordered)
{
    if (!self)
        return NULL;
    self->stream.type = &set_type;
    self->ordered = ordered;
    self->count = 0;
    self->first = NULL;
    self->last = &self->first;
    self->answered = NULL;
    self->origin = NULL;
    kn_woken_list_init(&self->woken);
    return &self->stream;
}

struct kn_stream *kn_future_set(struct kn_future_set *self)
{
    return make(self, false);
}

struct kn_stream *kn_future_set_ordered(struct kn_future_set *self)
{
    return make(self, true);
}

int kn_future_set_add(struct kn_future_set *set, struct kn_future_member *member, struct kn_future *future)
{
    if (!set || !member || !future) {
        kn_future_drop(future);
        return -ENOMEM;
    }
    member->future = future;
    member->set = set;
    member->finished = false;
    member->next = NULL;
    member->previous = set->last;
    *set->last = member;
    set->last = &member->next;
    set->count++;
    kn_woken_node_init(&member->woken, &set->woken);
    kn_woken_list_add(&set->woken, &member->woken);
    return 0;
}

void kn_future_set_remove(struct kn_future_set *set, struct kn_future_member *member)
{
    if (!member || member->set != set)
        return;
    unlink_member(set, member);
    end_member(member);
    kn_woken_list_forget(&set->woken, &member->woken);
    if (!set->first || has_finished_head(set))
        kn_woken_list_wake(&set->woken);
}

size_t kn_future_set_count(const struct kn_future_set *set)
{
    return set->count;
}

struct kn_future_member *kn_future_set_last(const struct kn_future_set *set)
{
    return set->answered;
}
