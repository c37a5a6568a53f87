/*
 * Futures with many waiters. See future_shared.h.
 */
#include <kernel/assert.h>
#include <kernel/future_shared.h>

static bool is_answered(const struct kn_shared *shared)
{
    return shared->outcome.status != KN_PENDING;
}

/* Takes what nobody wants any more, to be discarded without the lock. */
static struct kn_outcome take_outcome(struct kn_shared *shared)
{
    struct kn_outcome outcome = shared->outcome;
    shared->outcome = kn_failed(-ECANCELED);
    return outcome;
}

/* Gives a reference back and unlocks: the last that is done with the shared, but where the driver was dropped before.
 */
static void leave_and_unlock(struct kn_shared *shared)
{
    struct kn_outcome outcome = kn_pending();
    kn_assert(shared->references > 0);
    shared->references--;
    if (shared->references == 1 && shared->driver) {
        struct kn_waker *driver = shared->driver;
        shared->driver = NULL;
        kn_waker_wake(driver);
    }
    if (shared->references == 0)
        outcome = take_outcome(shared);
    bool is_last = shared->references == 0;
    kn_wait_list_unlock(&shared->waiting);
    if (is_last)
        kn_future_discard_outcome(shared->inner, outcome);
}

/* Hands the answer to all who wait. With the lock held. */
static void publish(struct kn_shared *shared, struct kn_outcome outcome)
{
    shared->outcome = outcome;
    struct kn_wait_node *node;
    while ((node = kn_wait_list_first(&shared->waiting)) != NULL)
        kn_wait_list_wake(&shared->waiting, node);
}

/* ---- the driver ---- */

/* Whether handles are left: then the driver is told when they are not. */
static bool is_wanted(struct kn_shared *self, struct kn_waker *waker)
{
    kn_wait_list_lock(&self->waiting);
    bool wanted = self->references > 1;
    self->driver = wanted ? waker : NULL;
    kn_wait_list_unlock(&self->waiting);
    return wanted;
}

/* Nobody else is left: needs no lock. */
static struct kn_outcome end_alone(struct kn_shared *self)
{
    self->has_ended = true;
    self->references = 0;
    if (is_answered(self))
        kn_future_discard_outcome(self->inner, take_outcome(self));
    else
        kn_future_drop(self->inner);
    return kn_ready(KN_NOTHING);
}

static struct kn_outcome driver_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_shared *self = KN_CONTAINER_OF(future, struct kn_shared, future);
    if (!is_wanted(self, context->waker))
        return end_alone(self);
    if (is_answered(self))
        return kn_pending();
    struct kn_outcome outcome = kn_future_poll(self->inner, context);
    if (outcome.status == KN_PENDING)
        return outcome;
    kn_wait_list_lock(&self->waiting);
    publish(self, outcome);
    kn_wait_list_unlock(&self->waiting);
    return kn_pending();
}

static void driver_drop(struct kn_future *future)
{
    struct kn_shared *self = KN_CONTAINER_OF(future, struct kn_shared, future);
    if (self->has_ended)
        return;
    self->has_ended = true;
    bool has_answer = is_answered(self); /* which the driver has written itself */
    if (!has_answer)
        kn_future_drop(self->inner);
    kn_wait_list_lock(&self->waiting);
    self->driver = NULL;
    if (!has_answer)
        publish(self, kn_failed(-ECANCELED));
    leave_and_unlock(self);
}

static const struct kn_future_type driver_type = {.name = "shared_driver", .poll = driver_poll, .drop = driver_drop};

static struct kn_future *share(struct kn_shared *self, struct kn_future *inner, bool lends)
{
    if (!self || !inner) {
        kn_future_drop(inner);
        return NULL;
    }
    *self = (struct kn_shared){.future.type = &driver_type, .inner = inner, .lends = lends, .references = 1};
    self->outcome = kn_pending();
    return &self->future;
}

struct kn_future *kn_shared(struct kn_shared *self, struct kn_future *inner)
{
    return share(self, inner, false);
}

struct kn_future *kn_shared_owned(struct kn_shared *self, struct kn_future *inner)
{
    return share(self, inner, true);
}

void kn_shared_give_back(struct kn_shared *shared)
{
    kn_wait_list_lock(&shared->waiting);
    leave_and_unlock(shared);
}

struct kn_outcome kn_shared_peek(struct kn_shared *shared)
{
    kn_wait_list_lock(&shared->waiting);
    struct kn_outcome outcome = shared->outcome;
    kn_wait_list_unlock(&shared->waiting);
    return outcome;
}

/* ---- handles ---- */

static struct kn_outcome handle_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_future_shared *self = KN_CONTAINER_OF(future, struct kn_future_shared, future);
    struct kn_shared *shared = self->shared;
    kn_wait_list_lock(&shared->waiting);
    if (!is_answered(shared)) {
        kn_wait_list_add(&shared->waiting, &self->node, context->waker);
        kn_wait_list_unlock(&shared->waiting);
        return kn_pending();
    }
    struct kn_outcome outcome = shared->outcome;
    self->has_ended = true;
    if (shared->lends && outcome.status == KN_READY)
        kn_wait_list_unlock(&shared->waiting);
    else
        leave_and_unlock(shared);
    return outcome;
}

static void handle_drop(struct kn_future *future)
{
    struct kn_future_shared *self = KN_CONTAINER_OF(future, struct kn_future_shared, future);
    if (self->has_ended)
        return;
    self->has_ended = true;
    kn_wait_list_lock(&self->shared->waiting);
    (void)kn_wait_list_remove(&self->shared->waiting, &self->node);
    leave_and_unlock(self->shared);
}

static void handle_discard(struct kn_future *future, kn_value_t value)
{
    (void)value;
    struct kn_future_shared *self = KN_CONTAINER_OF(future, struct kn_future_shared, future);
    if (self->shared->lends)
        kn_shared_give_back(self->shared);
}

static const struct kn_future_type copy_type = {.name = "shared", .poll = handle_poll, .drop = handle_drop};

static const struct kn_future_type reference_type = {
    .name = "shared", .poll = handle_poll, .drop = handle_drop, .discard = handle_discard};

struct kn_future *kn_future_shared(struct kn_future_shared *self, struct kn_shared *shared)
{
    if (!self || !shared)
        return NULL;
    *self = (struct kn_future_shared){.future.type = shared->lends ? &reference_type : &copy_type, .shared = shared};
    kn_wait_list_lock(&shared->waiting);
    kn_assert(shared->references > 0);
    shared->references++;
    kn_wait_list_unlock(&shared->waiting);
    return &self->future;
}
