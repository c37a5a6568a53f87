/*
 * The last value of something. See watch.h.
 */
#include <kernel/watch.h>

/* Version 0 is that of who has seen nothing. */
#define FIRST_VERSION 1

void kn_watch_init(struct kn_watch *watch, kn_value_t value)
{
    *watch = (struct kn_watch){.value = value};
    atomic_init(&watch->version, FIRST_VERSION);
}

static uint64_t version_of(const struct kn_watch *watch)
{
    return atomic_load_explicit(&watch->version, memory_order_relaxed);
}

/* Tells all who wait. With the lock held. */
static void change_version(struct kn_watch *watch)
{
    atomic_store_explicit(&watch->version, version_of(watch) + 1, memory_order_relaxed);
    while (kn_wait_list_first(&watch->line))
        kn_wait_list_wake(&watch->line, kn_wait_list_first(&watch->line));
}

static kn_value_t keep(kn_value_t value, void *context)
{
    (void)value;
    return *(kn_value_t *)context;
}

int kn_watch_send(struct kn_watch *watch, kn_value_t value)
{
    return kn_watch_modify(watch, keep, &value);
}

int kn_watch_modify(struct kn_watch *watch, kn_map_function *function, void *context)
{
    kn_wait_list_lock(&watch->line);
    bool closed = watch->closed;
    if (!closed) {
        watch->value = function(watch->value, context);
        change_version(watch);
    }
    kn_wait_list_unlock(&watch->line);
    return closed ? -EPIPE : 0;
}

void kn_watch_close(struct kn_watch *watch)
{
    kn_wait_list_lock(&watch->line);
    watch->closed = true;
    while (kn_wait_list_first(&watch->line))
        kn_wait_list_wake(&watch->line, kn_wait_list_first(&watch->line));
    kn_wait_list_unlock(&watch->line);
}

bool kn_watch_is_closed(struct kn_watch *watch)
{
    kn_wait_list_lock(&watch->line);
    bool closed = watch->closed;
    kn_wait_list_unlock(&watch->line);
    return closed;
}

kn_value_t kn_watch_value(struct kn_watch *watch)
{
    struct kn_watch_receiver anybody = {.watch = watch};
    return kn_watch_look(&anybody);
}

void kn_watch_subscribe(struct kn_watch_receiver *receiver, struct kn_watch *watch)
{
    *receiver = (struct kn_watch_receiver){.watch = watch, .seen = version_of(watch)};
}

bool kn_watch_has_changed(const struct kn_watch_receiver *receiver)
{
    return version_of(receiver->watch) != receiver->seen;
}

kn_value_t kn_watch_look(struct kn_watch_receiver *receiver)
{
    struct kn_watch *watch = receiver->watch;
    kn_wait_list_lock(&watch->line);
    kn_value_t value = watch->value;
    receiver->seen = version_of(watch);
    kn_wait_list_unlock(&watch->line);
    return value;
}

/* ---- changed ---- */

static void changed_drop(struct kn_future *future)
{
    struct kn_future_watch_changed *self = KN_CONTAINER_OF(future, struct kn_future_watch_changed, future);
    if (atomic_load_explicit(&self->node.state, memory_order_relaxed) == KN_WAIT_NODE_IDLE)
        return;
    struct kn_wait_list *line = &self->receiver->watch->line;
    kn_wait_list_lock(line);
    (void)kn_wait_list_remove(line, &self->node); /* all are woken: nothing to hand on */
    kn_wait_list_unlock(line);
}

static struct kn_outcome changed_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_future_watch_changed *self = KN_CONTAINER_OF(future, struct kn_future_watch_changed, future);
    struct kn_watch_receiver *receiver = self->receiver;
    struct kn_watch *watch = receiver->watch;
    struct kn_outcome outcome = kn_pending();
    kn_wait_list_lock(&watch->line);
    if (version_of(watch) != receiver->seen) {
        receiver->seen = version_of(watch);
        outcome = kn_ready(watch->value);
    } else if (watch->closed) {
        outcome = kn_failed(-EPIPE);
    }
    if (outcome.status != KN_PENDING || kn_wait_node_is_woken(&self->node))
        (void)kn_wait_list_remove(&watch->line, &self->node);
    if (outcome.status == KN_PENDING)
        kn_wait_list_add(&watch->line, &self->node, context->waker);
    kn_wait_list_unlock(&watch->line);
    return outcome;
}

static const struct kn_future_type changed_type = {.name = "watch_changed", .poll = changed_poll, .drop = changed_drop};

struct kn_future *kn_future_watch_changed(struct kn_future_watch_changed *self, struct kn_watch_receiver *receiver)
{
    if (!self || !receiver)
        return NULL;
    self->future.type = &changed_type;
    self->receiver = receiver;
    atomic_init(&self->node.state, KN_WAIT_NODE_IDLE);
    return &self->future;
}

/* ---- the stream ---- */

static struct kn_outcome stream_next(struct kn_stream *stream, struct kn_context *context)
{
    struct kn_stream_watch *self = KN_CONTAINER_OF(stream, struct kn_stream_watch, stream);
    struct kn_outcome outcome = changed_poll(&self->changed.future, context);
    return outcome.status == -EPIPE ? kn_ended() : outcome;
}

static void stream_drop(struct kn_stream *stream)
{
    changed_drop(&KN_CONTAINER_OF(stream, struct kn_stream_watch, stream)->changed.future);
}

static const struct kn_stream_type stream_type = {.name = "watch", .next = stream_next, .drop = stream_drop};

struct kn_stream *kn_stream_watch(struct kn_stream_watch *self, struct kn_watch *watch)
{
    if (!self || !watch)
        return NULL;
    self->stream.type = &stream_type;
    self->receiver = (struct kn_watch_receiver){.watch = watch};
    (void)kn_future_watch_changed(&self->changed, &self->receiver);
    return &self->stream;
}
