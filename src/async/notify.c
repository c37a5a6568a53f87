/*
 * Signs between tasks. See notify.h for the invariant.
 */
#include <kernel/notify.h>

/* What a node was given, in its `wanted`. */
enum sign { SIGN_FOR_ONE = 1, SIGN_FOR_ALL = 2 };

static uint64_t calls_of(uint64_t state)
{
    return state / KN_NOTIFY_CALL;
}

/* With the lock held. */
static void wake_first(struct kn_notify *notify, enum sign sign)
{
    struct kn_wait_node *first = kn_wait_list_first(&notify->waiters);
    first->wanted = sign;
    kn_wait_list_wake(&notify->waiters, first);
}

/* With the lock held, once a node has left the line. */
static void update_waiting(struct kn_notify *notify)
{
    if (!kn_wait_list_first(&notify->waiters))
        atomic_fetch_and_explicit(&notify->state, ~(uint64_t)KN_NOTIFY_WAITING, memory_order_relaxed);
}

/* Changes the word if nobody waits. @return whether it has. */
static bool change(struct kn_notify *notify, uint64_t bits, uint64_t calls)
{
    uint64_t state = atomic_load_explicit(&notify->state, memory_order_relaxed);
    while (!(state & KN_NOTIFY_WAITING)) {
        /* Release pairs with the acquires of take and of kn_notify_notified: what was written before is seen. */
        if (atomic_compare_exchange_weak_explicit(&notify->state, &state, (state | bits) + calls * KN_NOTIFY_CALL,
                                                  memory_order_release, memory_order_relaxed))
            return true;
    }
    return false;
}

void kn_notify_one(struct kn_notify *notify)
{
    bool given = false;
    /* Also where a sign is stored already: this one tells of what has happened since. */
    while (!given && !change(notify, KN_NOTIFY_STORED, 0)) {
        kn_wait_list_lock(&notify->waiters);
        given = kn_wait_list_first(&notify->waiters) != NULL;
        if (given) {
            wake_first(notify, SIGN_FOR_ONE);
            update_waiting(notify);
        }
        kn_wait_list_unlock(&notify->waiters);
    }
}

void kn_notify_waiters(struct kn_notify *notify)
{
    bool given = false;
    while (!given && !change(notify, 0, 1)) {
        kn_wait_list_lock(&notify->waiters);
        given = kn_wait_list_first(&notify->waiters) != NULL;
        while (kn_wait_list_first(&notify->waiters))
            wake_first(notify, SIGN_FOR_ALL);
        /* Clears `waiting` and counts the call, for who has made a future and not entered the line. Release as above.
         */
        if (given)
            atomic_fetch_add_explicit(&notify->state, KN_NOTIFY_CALL - (uint64_t)KN_NOTIFY_WAITING,
                                      memory_order_release);
        kn_wait_list_unlock(&notify->waiters);
    }
}

/* ---- notified ---- */

/* Takes a sign that is there; with `waits` says otherwise that somebody waits, for which the lock is held.
 * @return whether there was one. */
static bool take(struct kn_notify_notified *self, bool waits)
{
    struct kn_notify *notify = self->notify;
    /* Acquire, here and in the exchange: pairs with the releases of who gives signs. */
    uint64_t state = atomic_load_explicit(&notify->state, memory_order_acquire);
    for (;;) {
        if (calls_of(state) != calls_of(self->made))
            return true;
        bool is_stored = (state & KN_NOTIFY_STORED) != 0;
        if (!is_stored && (!waits || (state & KN_NOTIFY_WAITING)))
            return false;
        uint64_t next = is_stored ? state & ~(uint64_t)KN_NOTIFY_STORED : state | KN_NOTIFY_WAITING;
        if (atomic_compare_exchange_weak_explicit(&notify->state, &state, next, memory_order_acquire,
                                                  memory_order_acquire)) {
            self->has_sign = is_stored;
            return is_stored;
        }
    }
}

/* Whether it is in the line, or was until it was woken. Its owner; nobody else makes a node idle or not so. */
static bool has_begun(const struct kn_notify_notified *self)
{
    return atomic_load_explicit(&self->node.state, memory_order_relaxed) != KN_WAIT_NODE_IDLE;
}

/* Enters the line, or takes what came to it there. With the lock held. @return whether there was a sign. */
static bool look(struct kn_notify_notified *self, struct kn_waker *waker)
{
    if (!has_begun(self) && take(self, true))
        return true;
    if (kn_wait_node_is_woken(&self->node)) {
        kn_wait_list_remove(&self->notify->waiters, &self->node);
        self->has_sign = self->node.wanted == SIGN_FOR_ONE;
        return true;
    }
    kn_wait_list_add(&self->notify->waiters, &self->node, waker);
    return false;
}

static struct kn_outcome notified_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_notify_notified *self = KN_CONTAINER_OF(future, struct kn_notify_notified, future);
    if (!has_begun(self) && take(self, false))
        return kn_ready(KN_NOTHING);
    kn_wait_list_lock(&self->notify->waiters);
    bool has_answer = look(self, context->waker);
    kn_wait_list_unlock(&self->notify->waiters);
    return has_answer ? kn_ready(KN_NOTHING) : kn_pending();
}

static void notified_drop(struct kn_future *future)
{
    struct kn_notify_notified *self = KN_CONTAINER_OF(future, struct kn_notify_notified, future);
    if (!has_begun(self))
        return;
    kn_wait_list_lock(&self->notify->waiters);
    bool was_woken = kn_wait_list_remove(&self->notify->waiters, &self->node);
    update_waiting(self->notify);
    kn_wait_list_unlock(&self->notify->waiters);
    if (was_woken && self->node.wanted == SIGN_FOR_ONE)
        kn_notify_one(self->notify);
}

static void notified_discard(struct kn_future *future, kn_value_t value)
{
    (void)value;
    struct kn_notify_notified *self = KN_CONTAINER_OF(future, struct kn_notify_notified, future);
    if (self->has_sign)
        kn_notify_one(self->notify);
}

static const struct kn_future_type notified_type = {
    .name = "notified", .poll = notified_poll, .drop = notified_drop, .discard = notified_discard};

struct kn_future *kn_notify_notified(struct kn_notify_notified *self, struct kn_notify *notify)
{
    if (!self || !notify)
        return NULL;
    *self = (struct kn_notify_notified){.future.type = &notified_type, .notify = notify};
    /* Acquire pairs with the release of kn_notify_waiters: who missed a call sees what it told of. */
    self->made = atomic_load_explicit(&notify->state, memory_order_acquire);
    return &self->future;
}
