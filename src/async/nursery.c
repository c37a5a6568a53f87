/*
 * Scopes of children. See nursery.h.
 */
#include <kernel/nursery.h>

static struct kn_nursery *nursery_of(struct kn_future *future)
{
    return KN_CONTAINER_OF(future, struct kn_nursery, future);
}

/* Tells of a child's end, or of that of the body, whose value it keeps. */
static void end_member(struct kn_nursery *self, struct kn_future_member *member, struct kn_outcome outcome)
{
    if (member == &self->body)
        self->outcome = outcome;
    else if (self->ended)
        self->ended(member, outcome, self->context);
    else if (outcome.status == KN_READY)
        kn_stream_discard(&self->set.stream, outcome.value);
}

static void nursery_drop(struct kn_future *future)
{
    struct kn_nursery *self = nursery_of(future);
    while (self->set.first) {
        struct kn_future_member *member = self->set.first;
        kn_future_set_remove(&self->set, member);
        if (member != &self->body && self->ended)
            self->ended(member, kn_failed(-ECANCELED), self->context);
    }
    kn_stream_drop(&self->set.stream);
    kn_future_discard_outcome(self->inner, self->outcome);
    self->outcome = kn_failed(-ECANCELED);
}

static struct kn_outcome nursery_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_nursery *self = nursery_of(future);
    for (;;) {
        struct kn_outcome outcome = kn_stream_poll(&self->set.stream, context);
        if (outcome.status == KN_PENDING)
            return outcome;
        if (outcome.status == KN_END) {
            outcome = self->outcome;
            self->outcome = kn_failed(-ECANCELED);
            return outcome;
        }
        end_member(self, kn_future_set_last(&self->set), outcome);
        if (outcome.status != KN_READY) {
            nursery_drop(future);
            return outcome;
        }
    }
}

static void nursery_discard(struct kn_future *future, kn_value_t value)
{
    kn_future_discard(nursery_of(future)->inner, value);
}

static const struct kn_future_type nursery_type = {
    .name = "nursery", .poll = nursery_poll, .drop = nursery_drop, .discard = nursery_discard};

struct kn_future *kn_nursery(struct kn_nursery *self, struct kn_future *body, kn_nursery_ended *ended, void *context)
{
    if (!self || !body) {
        kn_future_drop(body);
        return NULL;
    }
    self->future.type = &nursery_type;
    (void)kn_future_set(&self->set);
    self->inner = body;
    self->outcome = kn_pending();
    self->ended = ended;
    self->context = context;
    int result = kn_future_set_add(&self->set, &self->body, body);
    return result == 0 ? &self->future : NULL;
}

int kn_nursery_start(struct kn_nursery *nursery, struct kn_future_member *member, struct kn_future *child)
{
    if (nursery->set.count == 0) {
        kn_future_drop(child);
        return -ECANCELED;
    }
    return kn_future_set_add(&nursery->set, member, child);
}

size_t kn_nursery_count(const struct kn_nursery *nursery)
{
    size_t count = kn_future_set_count(&nursery->set);
    return nursery->outcome.status == KN_PENDING && count > 0 ? count - 1 : count;
}
