/*
 * Semaphores of tasks. See semaphore.h for the invariant.
 */
#include <kernel/assert.h>
#include <kernel/semaphore.h>

/* Left in a node's `wanted` by a close: it was woken without being given anything. */
#define REFUSED UINT64_MAX

static uint64_t permits_of(uint64_t state)
{
    return state / KN_SEMAPHORE_PERMIT;
}

void kn_semaphore_init(struct kn_semaphore *semaphore, uint64_t permits)
{
    kn_assert(permits <= KN_SEMAPHORE_PERMITS_MAX);
    *semaphore = (struct kn_semaphore)KN_SEMAPHORE_INIT(permits);
}

bool kn_semaphore_is_closed(const struct kn_semaphore *semaphore)
{
    return (atomic_load_explicit(&semaphore->state, memory_order_relaxed) & KN_SEMAPHORE_CLOSED) != 0;
}

uint64_t kn_semaphore_available(const struct kn_semaphore *semaphore)
{
    return permits_of(atomic_load_explicit(&semaphore->state, memory_order_relaxed));
}

/* ---- taking ---- */

/* Takes permits if that needs no waiting; with `waits` says otherwise that somebody does, for which the lock is held.
 * @return 0, -EPIPE or -EAGAIN. */
static int take(struct kn_semaphore *semaphore, uint64_t permits, bool waits)
{
    uint64_t state = atomic_load_explicit(&semaphore->state, memory_order_relaxed);
    for (;;) {
        if (state & KN_SEMAPHORE_CLOSED)
            return -EPIPE;
        bool has_enough = !(state & KN_SEMAPHORE_WAITING) && permits_of(state) >= permits;
        if (!has_enough && (!waits || (state & KN_SEMAPHORE_WAITING)))
            return -EAGAIN;
        uint64_t next = has_enough ? state - permits * KN_SEMAPHORE_PERMIT : state | KN_SEMAPHORE_WAITING;
        /* Acquire pairs with the releases of release and give: what was done under these permits is seen. */
        if (atomic_compare_exchange_weak_explicit(&semaphore->state, &state, next, memory_order_acquire,
                                                  memory_order_relaxed))
            return has_enough ? 0 : -EAGAIN;
    }
}

int kn_semaphore_try_acquire(struct kn_semaphore *semaphore, uint64_t permits)
{
    kn_assert(permits <= KN_SEMAPHORE_PERMITS_MAX);
    return take(semaphore, permits, false);
}

/* ---- giving back ---- */

/* Adds permits if nobody waits for them. */
static bool add(struct kn_semaphore *semaphore, uint64_t permits)
{
    uint64_t state = atomic_load_explicit(&semaphore->state, memory_order_relaxed);
    while (!(state & KN_SEMAPHORE_WAITING)) {
        kn_assert(permits <= KN_SEMAPHORE_PERMITS_MAX - permits_of(state));
        /* Release pairs with the acquire of who takes them. */
        if (atomic_compare_exchange_weak_explicit(&semaphore->state, &state, state + permits * KN_SEMAPHORE_PERMIT,
                                                  memory_order_release, memory_order_relaxed))
            return true;
    }
    return false;
}

/* Adds permits where somebody waits, or did until his node was taken out, and hands out what is enough. With the lock
 * held, under which nobody else changes the word. */
static void hand_out(struct kn_semaphore *semaphore, uint64_t permits)
{
    struct kn_wait_node *first;
    /* Relaxed: whoever said that somebody waits has acquired what was left before, and had this lock before us. */
    uint64_t state = atomic_load_explicit(&semaphore->state, memory_order_relaxed);
    uint64_t left = permits_of(state) + permits;
    kn_assert((state & KN_SEMAPHORE_WAITING) && left <= KN_SEMAPHORE_PERMITS_MAX);
    while ((first = kn_wait_list_first(&semaphore->waiters)) && first->wanted <= left) {
        left -= first->wanted;
        kn_wait_list_wake(&semaphore->waiters, first);
    }
    state = left * KN_SEMAPHORE_PERMIT + (state & KN_SEMAPHORE_CLOSED) + (first ? KN_SEMAPHORE_WAITING : 0);
    /* Release pairs with the acquire of who takes what is left. */
    atomic_store_explicit(&semaphore->state, state, memory_order_release);
}

void kn_semaphore_release(struct kn_semaphore *semaphore, uint64_t permits)
{
    while (!add(semaphore, permits)) {
        kn_wait_list_lock(&semaphore->waiters);
        bool waits = kn_wait_list_first(&semaphore->waiters) != NULL;
        if (waits)
            hand_out(semaphore, permits);
        kn_wait_list_unlock(&semaphore->waiters);
        if (waits)
            return;
    }
}

void kn_semaphore_close(struct kn_semaphore *semaphore)
{
    struct kn_wait_node *first;
    kn_wait_list_lock(&semaphore->waiters);
    while ((first = kn_wait_list_first(&semaphore->waiters))) {
        first->wanted = REFUSED;
        kn_wait_list_wake(&semaphore->waiters, first);
    }
    atomic_fetch_or_explicit(&semaphore->state, KN_SEMAPHORE_CLOSED, memory_order_relaxed);
    atomic_fetch_and_explicit(&semaphore->state, ~(uint64_t)KN_SEMAPHORE_WAITING, memory_order_relaxed);
    kn_wait_list_unlock(&semaphore->waiters);
}

/* ---- acquire ---- */

/* Enters the line, or finds out that it need not. With the lock held. */
static struct kn_outcome begin(struct kn_semaphore_acquire *self, struct kn_waker *waker)
{
    int result = take(self->semaphore, self->permits, true);
    if (result == 0)
        return kn_ready(KN_NOTHING);
    if (result != -EAGAIN)
        return kn_failed(result);
    self->node.wanted = self->permits;
    kn_wait_list_add(&self->semaphore->waiters, &self->node, waker);
    return kn_pending();
}

/* Looks what has become of a node that entered the line. With the lock held. */
static struct kn_outcome look(struct kn_semaphore_acquire *self, struct kn_waker *waker)
{
    if (!kn_wait_node_is_woken(&self->node)) {
        kn_wait_list_add(&self->semaphore->waiters, &self->node, waker);
        return kn_pending();
    }
    kn_wait_list_remove(&self->semaphore->waiters, &self->node);
    return self->node.wanted == REFUSED ? kn_failed(-EPIPE) : kn_ready(KN_NOTHING);
}

/* Whether it is in the line, or was until it was woken. Its owner; nobody else makes a node idle or not so. */
static bool has_begun(const struct kn_semaphore_acquire *self)
{
    return atomic_load_explicit(&self->node.state, memory_order_relaxed) != KN_WAIT_NODE_IDLE;
}

static struct kn_outcome acquire_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_semaphore_acquire *self = KN_CONTAINER_OF(future, struct kn_semaphore_acquire, future);
    bool begun = has_begun(self);
    if (!begun) {
        int result = take(self->semaphore, self->permits, false);
        if (result == 0)
            return kn_ready(KN_NOTHING);
    }
    kn_wait_list_lock(&self->semaphore->waiters);
    struct kn_outcome outcome = begun ? look(self, context->waker) : begin(self, context->waker);
    kn_wait_list_unlock(&self->semaphore->waiters);
    return outcome;
}

static void acquire_drop(struct kn_future *future)
{
    struct kn_semaphore_acquire *self = KN_CONTAINER_OF(future, struct kn_semaphore_acquire, future);
    if (!has_begun(self))
        return;
    kn_wait_list_lock(&self->semaphore->waiters);
    bool was_woken = kn_wait_list_remove(&self->semaphore->waiters, &self->node);
    /* Behind it there may be one that wants less, and nobody may be left. */
    if (!was_woken)
        hand_out(self->semaphore, 0);
    kn_wait_list_unlock(&self->semaphore->waiters);
    if (was_woken && self->node.wanted != REFUSED)
        kn_semaphore_release(self->semaphore, self->permits);
}

static void acquire_discard(struct kn_future *future, kn_value_t value)
{
    (void)value;
    struct kn_semaphore_acquire *self = KN_CONTAINER_OF(future, struct kn_semaphore_acquire, future);
    kn_semaphore_release(self->semaphore, self->permits);
}

static const struct kn_future_type acquire_type = {
    .name = "semaphore_acquire", .poll = acquire_poll, .drop = acquire_drop, .discard = acquire_discard};

struct kn_future *kn_semaphore_acquire(struct kn_semaphore_acquire *self, struct kn_semaphore *semaphore,
                                       uint64_t permits)
{
    if (!self || !semaphore)
        return NULL;
    kn_assert(permits <= KN_SEMAPHORE_PERMITS_MAX);
    *self = (struct kn_semaphore_acquire){.future.type = &acquire_type, .semaphore = semaphore, .permits = permits};
    return &self->future;
}

/* ---- guarded ---- */

static void let_go(struct kn_semaphore_guarded *self)
{
    if (!self->holds)
        return;
    self->holds = false;
    kn_semaphore_release(self->acquire.semaphore, self->acquire.permits);
}

static struct kn_outcome guarded_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_semaphore_guarded *self = KN_CONTAINER_OF(future, struct kn_semaphore_guarded, future);
    if (!self->holds) {
        struct kn_outcome outcome = kn_future_poll(&self->acquire.future, context);
        if (outcome.status != KN_READY) {
            if (outcome.status != KN_PENDING)
                kn_future_drop(self->inner);
            return outcome;
        }
        self->holds = true;
    }
    struct kn_outcome outcome = kn_future_poll(self->inner, context);
    if (outcome.status != KN_PENDING)
        let_go(self);
    return outcome;
}

static void guarded_drop(struct kn_future *future)
{
    struct kn_semaphore_guarded *self = KN_CONTAINER_OF(future, struct kn_semaphore_guarded, future);
    kn_future_drop(&self->acquire.future);
    kn_future_drop(self->inner);
    let_go(self);
}

static void guarded_discard(struct kn_future *future, kn_value_t value)
{
    kn_future_discard(KN_CONTAINER_OF(future, struct kn_semaphore_guarded, future)->inner, value);
}

static const struct kn_future_type guarded_type = {
    .name = "semaphore_guarded", .poll = guarded_poll, .drop = guarded_drop, .discard = guarded_discard};

struct kn_future *kn_semaphore_guarded(struct kn_semaphore_guarded *self, struct kn_semaphore *semaphore,
                                       uint64_t permits, struct kn_future *inner)
{
    if (!self || !semaphore || !inner) {
        kn_future_drop(inner);
        return NULL;
    }
    self->future.type = &guarded_type;
    self->inner = inner;
    self->holds = false;
    kn_semaphore_acquire(&self->acquire, semaphore, permits);
    return &self->future;
}
