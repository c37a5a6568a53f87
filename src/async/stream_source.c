/*
 * Where streams begin. See stream_source.h.
 */
#include <kernel/stream_source.h>

/* ---- iter ---- */

static struct kn_outcome iter_next(struct kn_stream *stream, struct kn_context *context)
{
    (void)context;
    struct kn_stream_iter *self = KN_CONTAINER_OF(stream, struct kn_stream_iter, stream);
    if (self->count == 0)
        return kn_ended();
    struct kn_outcome outcome = kn_ready(KN_VALUE((void *)self->element));
    self->count--;
    self->element += self->element_bytes;
    return outcome;
}

static const struct kn_stream_type iter_type = {.name = "iter", .next = iter_next, .drop = kn_stream_drop_nothing};

struct kn_stream *kn_stream_iter(struct kn_stream_iter *self, const void *array, size_t count, size_t element_bytes)
{
    if (!self)
        return NULL;
    *self = (struct kn_stream_iter){
        .stream.type = &iter_type, .element = (uint8_t *)array, .count = count, .element_bytes = element_bytes};
    return &self->stream;
}

/* ---- iter_values ---- */

static struct kn_outcome iter_values_next(struct kn_stream *stream, struct kn_context *context)
{
    (void)context;
    struct kn_stream_iter_values *self = KN_CONTAINER_OF(stream, struct kn_stream_iter_values, stream);
    if (self->count == 0)
        return kn_ended();
    self->count--;
    return kn_ready(*self->value++);
}

static const struct kn_stream_type iter_values_type = {
    .name = "iter_values", .next = iter_values_next, .drop = kn_stream_drop_nothing};

struct kn_stream *kn_stream_iter_values(struct kn_stream_iter_values *self, const kn_value_t *values, size_t count)
{
    if (!self)
        return NULL;
    *self = (struct kn_stream_iter_values){.stream.type = &iter_values_type, .value = values, .count = count};
    return &self->stream;
}

/* ---- once ---- */

static struct kn_outcome once_next(struct kn_stream *stream, struct kn_context *context)
{
    (void)context;
    struct kn_stream_once *self = KN_CONTAINER_OF(stream, struct kn_stream_once, stream);
    if (self->is_over)
        return kn_ended();
    self->is_over = true;
    return kn_ready(self->value);
}

static const struct kn_stream_type once_type = {.name = "once", .next = once_next, .drop = kn_stream_drop_nothing};

struct kn_stream *kn_stream_once(struct kn_stream_once *self, kn_value_t value)
{
    if (!self)
        return NULL;
    *self = (struct kn_stream_once){.stream.type = &once_type, .value = value};
    return &self->stream;
}

/* ---- empty ---- */

static struct kn_outcome empty_next(struct kn_stream *stream, struct kn_context *context)
{
    (void)stream;
    (void)context;
    return kn_ended();
}

static const struct kn_stream_type empty_type = {.name = "empty", .next = empty_next, .drop = kn_stream_drop_nothing};

struct kn_stream *kn_stream_empty(struct kn_stream_empty *self)
{
    if (!self)
        return NULL;
    self->stream.type = &empty_type;
    return &self->stream;
}

/* ---- pending ---- */

static struct kn_outcome pending_next(struct kn_stream *stream, struct kn_context *context)
{
    (void)stream;
    (void)context;
    return kn_pending();
}

static const struct kn_stream_type pending_type = {
    .name = "pending", .next = pending_next, .drop = kn_stream_drop_nothing};

struct kn_stream *kn_stream_pending(struct kn_stream_pending *self)
{
    if (!self)
        return NULL;
    self->stream.type = &pending_type;
    return &self->stream;
}

/* ---- repeat ---- */

static struct kn_outcome repeat_next(struct kn_stream *stream, struct kn_context *context)
{
    (void)context;
    return kn_ready(KN_CONTAINER_OF(stream, struct kn_stream_repeat, stream)->value);
}

static const struct kn_stream_type repeat_type = {
    .name = "repeat", .next = repeat_next, .drop = kn_stream_drop_nothing};

struct kn_stream *kn_stream_repeat(struct kn_stream_repeat *self, kn_value_t value)
{
    if (!self)
        return NULL;
    *self = (struct kn_stream_repeat){.stream.type = &repeat_type, .value = value};
    return &self->stream;
}

/* ---- range ---- */

static struct kn_outcome range_next(struct kn_stream *stream, struct kn_context *context)
{
    (void)context;
    struct kn_stream_range *self = KN_CONTAINER_OF(stream, struct kn_stream_range, stream);
    if (self->count == 0)
        return kn_ended();
    struct kn_outcome outcome = kn_ready(KN_VALUE((int64_t)self->next));
    self->count--;
    self->next += self->step;
    return outcome;
}

/* How many steps of `step` begin within `distance`, which is not 0. */
static uint64_t steps_within(uint64_t distance, uint64_t step)
{
    return step == 0 ? UINT64_MAX : (distance - 1) / step + 1;
}

static const struct kn_stream_type range_type = {.name = "range", .next = range_next, .drop = kn_stream_drop_nothing};

struct kn_stream *kn_stream_range(struct kn_stream_range *self, int64_t from, int64_t to, int64_t step)
{
    if (!self)
        return NULL;
    /* Unsigned, as the distance may be more than a signed number holds. */
    uint64_t count = 0;
    if (from > to && step <= 0)
        count = steps_within((uint64_t)from - (uint64_t)to, -(uint64_t)step);
    else if (from < to && step >= 0)
        count = steps_within((uint64_t)to - (uint64_t)from, (uint64_t)step);
    *self = (struct kn_stream_range){
        .stream.type = &range_type, .next = (uint64_t)from, .step = (uint64_t)step, .count = count};
    return &self->stream;
}

/* ---- repeat_with ---- */

static struct kn_outcome repeat_with_next(struct kn_stream *stream, struct kn_context *context)
{
    (void)context;
    struct kn_stream_repeat_with *self = KN_CONTAINER_OF(stream, struct kn_stream_repeat_with, stream);
    return kn_ready(self->function(self->context));
}

static const struct kn_stream_type repeat_with_type = {
    .name = "repeat_with", .next = repeat_with_next, .drop = kn_stream_drop_nothing};

struct kn_stream *kn_stream_repeat_with(struct kn_stream_repeat_with *self, kn_value_t (*function)(void *context),
                                        void *context)
{
    if (!self)
        return NULL;
    *self = (struct kn_stream_repeat_with){.stream.type = &repeat_with_type, .function = function, .context = context};
    return &self->stream;
}

/* ---- unfold ---- */

static struct kn_outcome unfold_next(struct kn_stream *stream, struct kn_context *context)
{
    (void)context;
    struct kn_stream_unfold *self = KN_CONTAINER_OF(stream, struct kn_stream_unfold, stream);
    return self->function(self->context);
}

static const struct kn_stream_type unfold_type = {
    .name = "unfold", .next = unfold_next, .drop = kn_stream_drop_nothing};

struct kn_stream *kn_stream_unfold(struct kn_stream_unfold *self, struct kn_outcome (*function)(void *context),
                                   void *context)
{
    if (!self)
        return NULL;
    *self = (struct kn_stream_unfold){.stream.type = &unfold_type, .function = function, .context = context};
    return &self->stream;
}

/* ---- unfold_future ---- */

static struct kn_outcome unfold_future_next(struct kn_stream *stream, struct kn_context *context)
{
    struct kn_stream_unfold_future *self = KN_CONTAINER_OF(stream, struct kn_stream_unfold_future, stream);
    if (!self->waiting)
        self->waiting = self->function(self->context);
    if (!self->waiting)
        return kn_ended();
    struct kn_outcome outcome = kn_future_poll(self->waiting, context);
    if (outcome.status != KN_PENDING)
        self->waiting = NULL;
    return outcome;
}

static void unfold_future_drop(struct kn_stream *stream)
{
    struct kn_stream_unfold_future *self = KN_CONTAINER_OF(stream, struct kn_stream_unfold_future, stream);
    kn_future_drop(self->waiting);
    self->waiting = NULL;
}

static const struct kn_stream_type unfold_future_type = {
    .name = "unfold_future", .next = unfold_future_next, .drop = unfold_future_drop};

struct kn_stream *kn_stream_unfold_future(struct kn_stream_unfold_future *self,
                                          struct kn_future *(*function)(void *context), void *context)
{
    if (!self)
        return NULL;
    *self =
        (struct kn_stream_unfold_future){.stream.type = &unfold_future_type, .function = function, .context = context};
    return &self->stream;
}

/* ---- poll_fn ---- */

static struct kn_outcome poll_fn_next(struct kn_stream *stream, struct kn_context *context)
{
    struct kn_stream_poll_fn *self = KN_CONTAINER_OF(stream, struct kn_stream_poll_fn, stream);
    return self->function(self->context, context);
}

static const struct kn_stream_type poll_fn_type = {
    .name = "poll_fn", .next = poll_fn_next, .drop = kn_stream_drop_nothing};

struct kn_stream *kn_stream_poll_fn(struct kn_stream_poll_fn *self, kn_poll_function *function, void *context)
{
    if (!self)
        return NULL;
    *self = (struct kn_stream_poll_fn){.stream.type = &poll_fn_type, .function = function, .context = context};
    return &self->stream;
}

/* ---- poll_immediate ---- */

static struct kn_outcome poll_immediate_next(struct kn_stream *stream, struct kn_context *context)
{
    struct kn_stream_poll_immediate *self = KN_CONTAINER_OF(stream, struct kn_stream_poll_immediate, stream);
    struct kn_outcome outcome = kn_stream_poll(self->inner, context);
    if (outcome.status != KN_READY && outcome.status != KN_PENDING)
        return outcome;
    self->outcome = outcome;
    return kn_ready(KN_VALUE(&self->outcome));
}

static void poll_immediate_drop(struct kn_stream *stream)
{
    kn_stream_drop(KN_CONTAINER_OF(stream, struct kn_stream_poll_immediate, stream)->inner);
}

static void poll_immediate_discard(struct kn_stream *stream, kn_value_t value)
{
    const struct kn_outcome *outcome = value.pointer;
    kn_stream_discard_outcome(KN_CONTAINER_OF(stream, struct kn_stream_poll_immediate, stream)->inner, *outcome);
}

static const struct kn_stream_type poll_immediate_type = {.name = "poll_immediate",
                                                          .next = poll_immediate_next,
                                                          .drop = poll_immediate_drop,
                                                          .discard = poll_immediate_discard};

struct kn_stream *kn_stream_poll_immediate(struct kn_stream_poll_immediate *self, struct kn_stream *inner)
{
    if (!self || !inner) {
        kn_stream_drop(inner);
        return NULL;
    }
    self->stream.type = &poll_immediate_type;
    self->inner = inner;
    return &self->stream;
}
