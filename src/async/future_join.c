/*
 * Joins. See future_join.h.
 */
#include <kernel/executor.h>
#include <kernel/future_join.h>

/* ---- a few ---- */

#define BIT(index) ((uint8_t)(1u << (index)))

static void drop_all(struct kn_future *const *futures, size_t count)
{
    for (size_t i = 0; i < count; i++)
        kn_future_drop(futures[i]);
}

/* Whether the futures are as many as they may be, and all there. */
static bool are_complete(struct kn_future *const *futures, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!futures[i])
            return false;
    }
    return count > 0 && count <= KN_JOIN_MAX;
}

static void drop_waiting(struct kn_future *const *futures, size_t count, uint8_t waiting)
{
    for (size_t i = 0; i < count; i++) {
        if (waiting & BIT(i))
            kn_future_drop(futures[i]);
    }
}

/* Discards the outcomes of those that do not wait. */
static void discard_outcomes(struct kn_future_join *self, uint8_t waiting)
{
    for (size_t i = 0; i < self->count; i++) {
        if (!(waiting & BIT(i)))
            kn_future_discard_outcome(self->futures[i], self->outcomes[i]);
    }
}

static struct kn_outcome join_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_future_join *self = KN_CONTAINER_OF(future, struct kn_future_join, future);
    for (size_t i = 0; i < self->count; i++) {
        if (!(self->waiting & BIT(i)))
            continue;
        self->outcomes[i] = kn_future_poll(self->futures[i], context);
        if (self->outcomes[i].status != KN_PENDING)
            self->waiting &= (uint8_t)~BIT(i);
    }
    return self->waiting ? kn_pending() : kn_ready(KN_VALUE(self->outcomes));
}

static void join_drop(struct kn_future *future)
{
    struct kn_future_join *self = KN_CONTAINER_OF(future, struct kn_future_join, future);
    uint8_t waiting = self->waiting;
    if (!waiting)
        return;
    self->waiting = 0;
    drop_waiting(self->futures, self->count, waiting);
    discard_outcomes(self, waiting);
}

static void join_discard(struct kn_future *future, kn_value_t value)
{
    (void)value;
    discard_outcomes(KN_CONTAINER_OF(future, struct kn_future_join, future), 0);
}

static const struct kn_future_type join_type = {
    .name = "join", .poll = join_poll, .drop = join_drop, .discard = join_discard};

struct kn_future *kn_future_join(struct kn_future_join *self, struct kn_future *const *futures, size_t count)
{
    if (!self || !are_complete(futures, count)) {
        drop_all(futures, count);
        return NULL;
    }
    for (size_t i = 0; i < count; i++)
        self->futures[i] = futures[i];
    self->future.type = &join_type;
    self->count = (uint8_t)count;
    self->waiting = (uint8_t)((1u << count) - 1);
    return &self->future;
}

/* ---- a few, while none fails ---- */

static void discard_values(struct kn_future_try_join *self)
{
    for (size_t i = 0; i < self->count; i++) {
        if (self->ready & BIT(i))
            kn_future_discard(self->futures[i], self->values[i]);
    }
}

static void try_join_drop(struct kn_future *future)
{
    struct kn_future_try_join *self = KN_CONTAINER_OF(future, struct kn_future_try_join, future);
    uint8_t waiting = self->waiting;
    if (!waiting)
        return;
    self->waiting = 0;
    drop_waiting(self->futures, self->count, waiting);
    discard_values(self);
}

static struct kn_outcome try_join_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_future_try_join *self = KN_CONTAINER_OF(future, struct kn_future_try_join, future);
    for (size_t i = 0; i < self->count; i++) {
        if (!(self->waiting & BIT(i)))
            continue;
        struct kn_outcome outcome = kn_future_poll(self->futures[i], context);
        if (outcome.status == KN_PENDING)
            continue;
        if (outcome.status != KN_READY) {
            try_join_drop(future); /* among others the one that has failed, which is harmless */
            return outcome;
        }
        self->waiting &= (uint8_t)~BIT(i);
        self->ready |= BIT(i);
        self->values[i] = outcome.value;
    }
    return self->waiting ? kn_pending() : kn_ready(KN_VALUE(self->values));
}

static void try_join_discard(struct kn_future *future, kn_value_t value)
{
    (void)value;
    discard_values(KN_CONTAINER_OF(future, struct kn_future_try_join, future));
}

static const struct kn_future_type try_join_type = {
    .name = "try_join", .poll = try_join_poll, .drop = try_join_drop, .discard = try_join_discard};

struct kn_future *kn_future_try_join(struct kn_future_try_join *self, struct kn_future *const *futures, size_t count)
{
    if (!self || !are_complete(futures, count)) {
        drop_all(futures, count);
        return NULL;
    }
    for (size_t i = 0; i < count; i++)
        self->futures[i] = futures[i];
    self->future.type = &try_join_type;
    self->count = (uint8_t)count;
    self->waiting = (uint8_t)((1u << count) - 1);
    self->ready = 0;
    return &self->future;
}

/* ---- any number ---- */

static void discard_members(struct kn_future_join_all *self)
{
    for (size_t i = 0; i < self->count; i++)
        kn_future_discard_outcome(self->members[i].future, self->members[i].outcome);
}

static void join_all_drop(struct kn_future *future)
{
    struct kn_future_join_all *self = KN_CONTAINER_OF(future, struct kn_future_join_all, future);
    if (!self->held)
        return;
    self->held = false;
    for (size_t i = 0; i < self->count; i++) {
        struct kn_join_member *member = &self->members[i];
        if (i >= self->started || member->outcome.status == KN_PENDING)
            kn_future_drop(member->future);
        else
            kn_future_discard_outcome(member->future, member->outcome);
    }
    kn_woken_list_reset(&self->woken);
}

static void join_all_discard(struct kn_future *future, kn_value_t value)
{
    (void)value;
    discard_members(KN_CONTAINER_OF(future, struct kn_future_join_all, future));
}

/* The next member to be polled: those that were not yet, then those that were woken; NULL: the join is pending. */
static struct kn_join_member *next_member(struct kn_future_join_all *self, struct kn_context *context)
{
    if (self->started < self->count) {
        if (!kn_context_may_continue(context))
            return NULL;
        struct kn_join_member *member = &self->members[self->started++];
        kn_woken_node_init(&member->woken, &self->woken);
        return member;
    }
    for (;;) {
        struct kn_woken_node *node = kn_woken_list_next(&self->woken, context);
        if (!node)
            return NULL;
        struct kn_join_member *member = KN_CONTAINER_OF(node, struct kn_join_member, woken);
        /* It may have been woken in the very poll that answered. */
        if (member->outcome.status == KN_PENDING)
            return member;
    }
}

static struct kn_outcome join_members(struct kn_future_join_all *self, struct kn_context *context)
{
    struct kn_context inner = *context;
    while (self->waiting > 0) {
        struct kn_join_member *member = next_member(self, context);
        if (!member)
            return kn_pending();
        inner.waker = &member->woken.waker;
        member->outcome = kn_future_poll(member->future, &inner);
        if (member->outcome.status == KN_PENDING)
            continue;
        self->waiting--;
        if (self->fails && member->outcome.status != KN_READY)
            return member->outcome;
    }
    return kn_ready(KN_VALUE(self->members));
}

static struct kn_outcome join_all_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_future_join_all *self = KN_CONTAINER_OF(future, struct kn_future_join_all, future);
    kn_woken_list_begin(&self->woken);
    struct kn_outcome outcome = join_members(self, context);
    kn_woken_list_end(&self->woken, outcome.status == KN_PENDING);
    if (outcome.status == KN_READY)
        self->held = false;
    else if (outcome.status != KN_PENDING)
        join_all_drop(future);
    return outcome;
}

static const struct kn_future_type join_all_type = {
    .name = "join_all", .poll = join_all_poll, .drop = join_all_drop, .discard = join_all_discard};

static struct kn_future *join_all_make(struct kn_future_join_all *self, struct kn_join_member *members, size_t count,
                                       bool fails)
{
    bool complete = self && (members || count == 0);
    for (size_t i = 0; members && i < count; i++)
        complete = complete && members[i].future;
    if (!complete) {
        for (size_t i = 0; members && i < count; i++)
            kn_future_drop(members[i].future);
        return NULL;
    }
    self->future.type = &join_all_type;
    self->fails = fails;
    self->held = true;
    self->count = self->waiting = count;
    self->started = 0;
    self->members = members;
    kn_woken_list_init(&self->woken);
    return &self->future;
}

struct kn_future *kn_future_join_all(struct kn_future_join_all *self, struct kn_join_member *members, size_t count)
{
    return join_all_make(self, members, count, false);
}

struct kn_future *kn_future_try_join_all(struct kn_future_join_all *self, struct kn_join_member *members, size_t count)
{
    return join_all_make(self, members, count, true);
}
