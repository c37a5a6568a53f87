/*
 * Streams of the items of another, changed or chosen. See stream_map.h.
 */
#include <kernel/executor.h>
#include <kernel/stream_map.h>

/* ---- map ---- */

static struct kn_outcome map_next(struct kn_stream *stream, struct kn_context *context)
{
    struct kn_stream_map *self = KN_CONTAINER_OF(stream, struct kn_stream_map, stream);
    struct kn_outcome outcome = kn_stream_poll(self->inner, context);
    if (outcome.status == KN_READY)
        outcome.value = self->function(outcome.value, self->context);
    return outcome;
}

static void map_drop(struct kn_stream *stream)
{
    kn_stream_drop(KN_CONTAINER_OF(stream, struct kn_stream_map, stream)->inner);
}

static const struct kn_stream_type map_type = {.name = "map", .next = map_next, .drop = map_drop};

struct kn_stream *kn_stream_map(struct kn_stream_map *self, struct kn_stream *inner, kn_map_function *function,
                                void *context)
{
    if (!self || !inner) {
        kn_stream_drop(inner);
        return NULL;
    }
    *self = (struct kn_stream_map){.stream.type = &map_type, .inner = inner, .function = function, .context = context};
    return &self->stream;
}

/* ---- map_err ---- */

static struct kn_outcome map_err_next(struct kn_stream *stream, struct kn_context *context)
{
    struct kn_stream_map_err *self = KN_CONTAINER_OF(stream, struct kn_stream_map_err, stream);
    struct kn_outcome outcome = kn_stream_poll(self->inner, context);
    if (outcome.status < 0)
        outcome.status = self->function((int)outcome.status, self->context);
    return outcome;
}

static void map_err_drop(struct kn_stream *stream)
{
    kn_stream_drop(KN_CONTAINER_OF(stream, struct kn_stream_map_err, stream)->inner);
}

static void map_err_discard(struct kn_stream *stream, kn_value_t value)
{
    kn_stream_discard(KN_CONTAINER_OF(stream, struct kn_stream_map_err, stream)->inner, value);
}

static const struct kn_stream_type map_err_type = {
    .name = "map_err", .next = map_err_next, .drop = map_err_drop, .discard = map_err_discard};

struct kn_stream *kn_stream_map_err(struct kn_stream_map_err *self, struct kn_stream *inner,
                                    kn_map_error_function *function, void *context)
{
    if (!self || !inner) {
        kn_stream_drop(inner);
        return NULL;
    }
    *self = (struct kn_stream_map_err){
        .stream.type = &map_err_type, .inner = inner, .function = function, .context = context};
    return &self->stream;
}

/* ---- filter ---- */

static struct kn_outcome filter_next(struct kn_stream *stream, struct kn_context *context)
{
    struct kn_stream_filter *self = KN_CONTAINER_OF(stream, struct kn_stream_filter, stream);
    do {
        struct kn_outcome outcome = kn_stream_poll(self->inner, context);
        if (outcome.status != KN_READY || self->predicate(outcome.value, self->context))
            return outcome;
        kn_stream_discard(self->inner, outcome.value);
    } while (kn_context_may_continue(context));
    return kn_pending();
}

static void filter_drop(struct kn_stream *stream)
{
    kn_stream_drop(KN_CONTAINER_OF(stream, struct kn_stream_filter, stream)->inner);
}

static void filter_discard(struct kn_stream *stream, kn_value_t value)
{
    kn_stream_discard(KN_CONTAINER_OF(stream, struct kn_stream_filter, stream)->inner, value);
}

static const struct kn_stream_type filter_type = {
    .name = "filter", .next = filter_next, .drop = filter_drop, .discard = filter_discard};

struct kn_stream *kn_stream_filter(struct kn_stream_filter *self, struct kn_stream *inner,
                                   kn_predicate_function *predicate, void *context)
{
    if (!self || !inner) {
        kn_stream_drop(inner);
        return NULL;
    }
    *self = (struct kn_stream_filter){
        .stream.type = &filter_type, .inner = inner, .predicate = predicate, .context = context};
    return &self->stream;
}

/* ---- filter_map ---- */

static struct kn_outcome filter_map_next(struct kn_stream *stream, struct kn_context *context)
{
    struct kn_stream_filter_map *self = KN_CONTAINER_OF(stream, struct kn_stream_filter_map, stream);
    do {
        struct kn_outcome outcome = kn_stream_poll(self->inner, context);
        if (outcome.status != KN_READY)
            return outcome;
        struct kn_outcome made = self->function(outcome.value, self->context);
        if (made.status != KN_READY)
            kn_stream_discard(self->inner, outcome.value);
        if (made.status != KN_END)
            return made;
    } while (kn_context_may_continue(context));
    return kn_pending();
}

static void filter_map_drop(struct kn_stream *stream)
{
    kn_stream_drop(KN_CONTAINER_OF(stream, struct kn_stream_filter_map, stream)->inner);
}

static const struct kn_stream_type filter_map_type = {
    .name = "filter_map", .next = filter_map_next, .drop = filter_map_drop};

struct kn_stream *kn_stream_filter_map(struct kn_stream_filter_map *self, struct kn_stream *inner,
                                       kn_stream_step_function *function, void *context)
{
    if (!self || !inner) {
        kn_stream_drop(inner);
        return NULL;
    }
    *self = (struct kn_stream_filter_map){
        .stream.type = &filter_map_type, .inner = inner, .function = function, .context = context};
    return &self->stream;
}

/* ---- inspect ---- */

static struct kn_outcome inspect_next(struct kn_stream *stream, struct kn_context *context)
{
    struct kn_stream_inspect *self = KN_CONTAINER_OF(stream, struct kn_stream_inspect, stream);
    struct kn_outcome outcome = kn_stream_poll(self->inner, context);
    if (outcome.status == KN_READY)
        self->function(outcome.value, self->context);
    return outcome;
}

static void inspect_drop(struct kn_stream *stream)
{
    kn_stream_drop(KN_CONTAINER_OF(stream, struct kn_stream_inspect, stream)->inner);
}

static void inspect_discard(struct kn_stream *stream, kn_value_t value)
{
    kn_stream_discard(KN_CONTAINER_OF(stream, struct kn_stream_inspect, stream)->inner, value);
}

static const struct kn_stream_type inspect_type = {
    .name = "inspect", .next = inspect_next, .drop = inspect_drop, .discard = inspect_discard};

struct kn_stream *kn_stream_inspect(struct kn_stream_inspect *self, struct kn_stream *inner,
                                    kn_inspect_function *function, void *context)
{
    if (!self || !inner) {
        kn_stream_drop(inner);
        return NULL;
    }
    *self = (struct kn_stream_inspect){
        .stream.type = &inspect_type, .inner = inner, .function = function, .context = context};
    return &self->stream;
}

/* ---- inspect_err ---- */

static struct kn_outcome inspect_err_next(struct kn_stream *stream, struct kn_context *context)
{
    struct kn_stream_inspect_err *self = KN_CONTAINER_OF(stream, struct kn_stream_inspect_err, stream);
    struct kn_outcome outcome = kn_stream_poll(self->inner, context);
    if (outcome.status < 0)
        self->function((int)outcome.status, self->context);
    return outcome;
}

static void inspect_err_drop(struct kn_stream *stream)
{
    kn_stream_drop(KN_CONTAINER_OF(stream, struct kn_stream_inspect_err, stream)->inner);
}

static void inspect_err_discard(struct kn_stream *stream, kn_value_t value)
{
    kn_stream_discard(KN_CONTAINER_OF(stream, struct kn_stream_inspect_err, stream)->inner, value);
}

static const struct kn_stream_type inspect_err_type = {
    .name = "inspect_err", .next = inspect_err_next, .drop = inspect_err_drop, .discard = inspect_err_discard};

struct kn_stream *kn_stream_inspect_err(struct kn_stream_inspect_err *self, struct kn_stream *inner,
                                        kn_inspect_error_function *function, void *context)
{
    if (!self || !inner) {
        kn_stream_drop(inner);
        return NULL;
    }
    *self = (struct kn_stream_inspect_err){
        .stream.type = &inspect_err_type, .inner = inner, .function = function, .context = context};
    return &self->stream;
}

/* ---- enumerate ---- */

static struct kn_outcome enumerate_next(struct kn_stream *stream, struct kn_context *context)
{
    struct kn_stream_enumerate *self = KN_CONTAINER_OF(stream, struct kn_stream_enumerate, stream);
    struct kn_outcome outcome = kn_stream_poll(self->inner, context);
    if (outcome.status != KN_READY)
        return outcome;
    self->item = (struct kn_stream_numbered){.index = self->count++, .value = outcome.value};
    return kn_ready(KN_VALUE(&self->item));
}

static void enumerate_drop(struct kn_stream *stream)
{
    kn_stream_drop(KN_CONTAINER_OF(stream, struct kn_stream_enumerate, stream)->inner);
}

static void enumerate_discard(struct kn_stream *stream, kn_value_t value)
{
    const struct kn_stream_numbered *item = value.pointer;
    kn_stream_discard(KN_CONTAINER_OF(stream, struct kn_stream_enumerate, stream)->inner, item->value);
}

static const struct kn_stream_type enumerate_type = {
    .name = "enumerate", .next = enumerate_next, .drop = enumerate_drop, .discard = enumerate_discard};

struct kn_stream *kn_stream_enumerate(struct kn_stream_enumerate *self, struct kn_stream *inner)
{
    if (!self || !inner) {
        kn_stream_drop(inner);
        return NULL;
    }
    *self = (struct kn_stream_enumerate){.stream.type = &enumerate_type, .inner = inner};
    return &self->stream;
}

/* ---- then, and_then, or_else ---- */

/* Polls the future of the present answer of `inner`, which is over when that has ended the stream. */
static struct kn_outcome poll_waiting(struct kn_future **waiting, struct kn_stream *inner, struct kn_context *context)
{
    if (!*waiting)
        return kn_failed(-ENOMEM);
    struct kn_outcome outcome = kn_future_poll(*waiting, context);
    if (outcome.status != KN_PENDING)
        *waiting = NULL;
    if (outcome.status == KN_END)
        kn_stream_drop(inner);
    return outcome;
}

static void drop_waiting(struct kn_future **waiting, struct kn_stream *inner)
{
    kn_future_drop(*waiting);
    *waiting = NULL;
    kn_stream_drop(inner);
}

static struct kn_outcome then_next(struct kn_stream *stream, struct kn_context *context)
{
    struct kn_stream_then *self = KN_CONTAINER_OF(stream, struct kn_stream_then, stream);
    if (!self->waiting) {
        struct kn_outcome outcome = kn_stream_poll(self->inner, context);
        if (outcome.status == KN_PENDING || outcome.status == KN_END)
            return outcome;
        self->waiting = self->function(outcome, self->context);
    }
    return poll_waiting(&self->waiting, self->inner, context);
}

static void then_drop(struct kn_stream *stream)
{
    struct kn_stream_then *self = KN_CONTAINER_OF(stream, struct kn_stream_then, stream);
    drop_waiting(&self->waiting, self->inner);
}

static const struct kn_stream_type then_type = {.name = "then", .next = then_next, .drop = then_drop};

struct kn_stream *kn_stream_then(struct kn_stream_then *self, struct kn_stream *inner, kn_then_function *function,
                                 void *context)
{
    if (!self || !inner) {
        kn_stream_drop(inner);
        return NULL;
    }
    *self =
        (struct kn_stream_then){.stream.type = &then_type, .inner = inner, .function = function, .context = context};
    return &self->stream;
}

static struct kn_outcome and_then_next(struct kn_stream *stream, struct kn_context *context)
{
    struct kn_stream_and_then *self = KN_CONTAINER_OF(stream, struct kn_stream_and_then, stream);
    if (!self->waiting) {
        struct kn_outcome outcome = kn_stream_poll(self->inner, context);
        if (outcome.status != KN_READY)
            return outcome;
        self->waiting = self->function(outcome.value, self->context);
    }
    return poll_waiting(&self->waiting, self->inner, context);
}

static void and_then_drop(struct kn_stream *stream)
{
    struct kn_stream_and_then *self = KN_CONTAINER_OF(stream, struct kn_stream_and_then, stream);
    drop_waiting(&self->waiting, self->inner);
}

static const struct kn_stream_type and_then_type = {.name = "and_then", .next = and_then_next, .drop = and_then_drop};

struct kn_stream *kn_stream_and_then(struct kn_stream_and_then *self, struct kn_stream *inner,
                                     kn_next_function *function, void *context)
{
    if (!self || !inner) {
        kn_stream_drop(inner);
        return NULL;
    }
    *self = (struct kn_stream_and_then){
        .stream.type = &and_then_type, .inner = inner, .function = function, .context = context};
    return &self->stream;
}

static struct kn_outcome or_else_next(struct kn_stream *stream, struct kn_context *context)
{
    struct kn_stream_or_else *self = KN_CONTAINER_OF(stream, struct kn_stream_or_else, stream);
    if (!self->waiting) {
        struct kn_outcome outcome = kn_stream_poll(self->inner, context);
        if (outcome.status >= 0)
            return outcome;
        self->waiting = self->function((int)outcome.status, self->context);
    }
    return poll_waiting(&self->waiting, self->inner, context);
}

static void or_else_drop(struct kn_stream *stream)
{
    struct kn_stream_or_else *self = KN_CONTAINER_OF(stream, struct kn_stream_or_else, stream);
    drop_waiting(&self->waiting, self->inner);
}

static void or_else_discard(struct kn_stream *stream, kn_value_t value)
{
    kn_stream_discard(KN_CONTAINER_OF(stream, struct kn_stream_or_else, stream)->inner, value);
}

static const struct kn_stream_type or_else_type = {
    .name = "or_else", .next = or_else_next, .drop = or_else_drop, .discard = or_else_discard};

struct kn_stream *kn_stream_or_else(struct kn_stream_or_else *self, struct kn_stream *inner,
                                    kn_recover_function *function, void *context)
{
    if (!self || !inner) {
        kn_stream_drop(inner);
        return NULL;
    }
    *self = (struct kn_stream_or_else){
        .stream.type = &or_else_type, .inner = inner, .function = function, .context = context};
    return &self->stream;
}
