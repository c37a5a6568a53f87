/*
 * The simplest futures. See future.h.
 */
#include <kernel/executor.h>
#include <kernel/future.h>

void kn_future_drop_nothing(struct kn_future *future)
{
    (void)future;
}

/* ---- ready, failed ---- */

static struct kn_outcome ready_poll(struct kn_future *future, struct kn_context *context)
{
    (void)context;
    return KN_CONTAINER_OF(future, struct kn_future_ready, future)->outcome;
}

const struct kn_future_type kn_future_ready_type = {
    .name = "ready", .poll = ready_poll, .drop = kn_future_drop_nothing};

/* ---- pending ---- */

static struct kn_outcome pending_poll(struct kn_future *future, struct kn_context *context)
{
    (void)future;
    (void)context;
    return kn_pending();
}

static const struct kn_future_type pending_type = {
    .name = "pending", .poll = pending_poll, .drop = kn_future_drop_nothing};

struct kn_future *kn_future_pending(struct kn_future_pending *self)
{
    if (!self)
        return NULL;
    self->future.type = &pending_type;
    return &self->future;
}

/* ---- lazy ---- */

static struct kn_outcome lazy_poll(struct kn_future *future, struct kn_context *context)
{
    (void)context;
    struct kn_future_lazy *self = KN_CONTAINER_OF(future, struct kn_future_lazy, future);
    return self->function(self->context);
}

static const struct kn_future_type lazy_type = {.name = "lazy", .poll = lazy_poll, .drop = kn_future_drop_nothing};

struct kn_future *kn_future_lazy(struct kn_future_lazy *self, struct kn_outcome (*function)(void *context),
                                 void *context)
{
    if (!self)
        return NULL;
    *self = (struct kn_future_lazy){.future.type = &lazy_type, .function = function, .context = context};
    return &self->future;
}

/* ---- poll_fn ---- */

static struct kn_outcome poll_fn_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_future_poll_fn *self = KN_CONTAINER_OF(future, struct kn_future_poll_fn, future);
    return self->function(self->context, context);
}

static const struct kn_future_type poll_fn_type = {
    .name = "poll_fn", .poll = poll_fn_poll, .drop = kn_future_drop_nothing};

struct kn_future *kn_future_poll_fn(struct kn_future_poll_fn *self, kn_poll_function *function, void *context)
{
    if (!self)
        return NULL;
    *self = (struct kn_future_poll_fn){.future.type = &poll_fn_type, .function = function, .context = context};
    return &self->future;
}

/* ---- yield ---- */

static struct kn_outcome yield_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_future_yield *self = KN_CONTAINER_OF(future, struct kn_future_yield, future);
    if (self->yielded)
        return kn_ready(KN_NOTHING);
    self->yielded = true;
    kn_waker_wake(context->waker);
    return kn_pending();
}

static const struct kn_future_type yield_type = {.name = "yield", .poll = yield_poll, .drop = kn_future_drop_nothing};

struct kn_future *kn_future_yield(struct kn_future_yield *self)
{
    if (!self)
        return NULL;
    *self = (struct kn_future_yield){.future.type = &yield_type, .yielded = false};
    return &self->future;
}

/* ---- owned ---- */

static struct kn_outcome owned_poll(struct kn_future *future, struct kn_context *context)
{
    return kn_future_poll(KN_CONTAINER_OF(future, struct kn_future_owned, future)->inner, context);
}

static void owned_drop(struct kn_future *future)
{
    kn_future_drop(KN_CONTAINER_OF(future, struct kn_future_owned, future)->inner);
}

static void owned_discard(struct kn_future *future, kn_value_t value)
{
    struct kn_future_owned *self = KN_CONTAINER_OF(future, struct kn_future_owned, future);
    self->release(value, self->context);
}

static const struct kn_future_type owned_type = {
    .name = "owned", .poll = owned_poll, .drop = owned_drop, .discard = owned_discard};

struct kn_future *kn_future_owned(struct kn_future_owned *self, struct kn_future *inner, kn_discard_function *release,
                                  void *context)
{
    if (!self || !inner) {
        kn_future_drop(inner);
        return NULL;
    }
    *self =
        (struct kn_future_owned){.future.type = &owned_type, .inner = inner, .release = release, .context = context};
    return &self->future;
}
