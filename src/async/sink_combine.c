/*
 * Futures that write to sinks, and sinks of sinks. See sink_combine.h.
 */
#include <kernel/executor.h>
#include <kernel/sink_combine.h>

/* A status of a sink as a future's answer. */
static struct kn_outcome answer(int64_t status)
{
    return (struct kn_outcome){.status = status, .value = KN_NOTHING};
}

/* ---- send, feed ---- */

static void send_drop(struct kn_future *future)
{
    struct kn_sink_send *self = KN_CONTAINER_OF(future, struct kn_sink_send, future);
    if (!self->holds)
        return;
    self->holds = false;
    kn_sink_discard(self->sink, self->value);
}

static struct kn_outcome send_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_sink_send *self = KN_CONTAINER_OF(future, struct kn_sink_send, future);
    if (self->holds) {
        int64_t status = kn_sink_poll_ready(self->sink, context);
        if (status == KN_PENDING)
            return kn_pending();
        if (status == KN_READY)
            status = kn_sink_start_send(self->sink, self->value);
        if (status != KN_READY) {
            send_drop(future);
            return answer(status);
        }
        self->holds = false;
    }
    return answer(self->flushes ? kn_sink_poll_flush(self->sink, context) : KN_READY);
}

static const struct kn_future_type send_type = {.name = "send", .poll = send_poll, .drop = send_drop};

static struct kn_future *send_make(struct kn_sink_send *self, struct kn_sink *sink, kn_value_t value, bool flushes)
{
    if (!sink)
        return NULL;
    if (!self) {
        kn_sink_discard(sink, value);
        return NULL;
    }
    *self = (struct kn_sink_send){
        .future.type = &send_type, .sink = sink, .value = value, .holds = true, .flushes = flushes};
    return &self->future;
}

struct kn_future *kn_sink_send(struct kn_sink_send *self, struct kn_sink *sink, kn_value_t value)
{
    return send_make(self, sink, value, true);
}

struct kn_future *kn_sink_feed(struct kn_sink_send *self, struct kn_sink *sink, kn_value_t value)
{
    return send_make(self, sink, value, false);
}

/* ---- flush, close ---- */

static struct kn_outcome flush_poll(struct kn_future *future, struct kn_context *context)
{
    return answer(kn_sink_poll_flush(KN_CONTAINER_OF(future, struct kn_sink_flush, future)->sink, context));
}

static struct kn_outcome close_poll(struct kn_future *future, struct kn_context *context)
{
    return answer(kn_sink_poll_close(KN_CONTAINER_OF(future, struct kn_sink_flush, future)->sink, context));
}

static const struct kn_future_type flush_type = {.name = "flush", .poll = flush_poll, .drop = kn_future_drop_nothing};
static const struct kn_future_type close_type = {.name = "close", .poll = close_poll, .drop = kn_future_drop_nothing};

static struct kn_future *flush_make(struct kn_sink_flush *self, struct kn_sink *sink, const struct kn_future_type *type)
{
    if (!self || !sink)
        return NULL;
    *self = (struct kn_sink_flush){.future.type = type, .sink = sink};
    return &self->future;
}

struct kn_future *kn_sink_flush(struct kn_sink_flush *self, struct kn_sink *sink)
{
    return flush_make(self, sink, &flush_type);
}

struct kn_future *kn_sink_close(struct kn_sink_flush *self, struct kn_sink *sink)
{
    return flush_make(self, sink, &close_type);
}

/* ---- send_all, forward ---- */

static void forward_drop(struct kn_future *future)
{
    struct kn_stream_forward *self = KN_CONTAINER_OF(future, struct kn_stream_forward, future);
    if (self->holds) {
        self->holds = false;
        kn_stream_discard(self->stream, self->value);
    }
    kn_stream_drop(self->stream);
    if (self->closes)
        kn_sink_drop(self->sink);
}

/* Moves values from a stream to a sink. @return the end of the stream, or what keeps it from going on. */
static int64_t move_values(struct kn_stream *stream, struct kn_sink *sink, kn_value_t *value, bool *holds,
                           struct kn_context *context)
{
    for (;;) {
        if (!*holds) {
            if (!kn_context_may_continue(context))
                return KN_PENDING;
            struct kn_outcome outcome = kn_stream_poll(stream, context);
            if (outcome.status != KN_READY)
                return outcome.status;
            *value = outcome.value;
            *holds = true;
        }
        int64_t status = kn_sink_poll_ready(sink, context);
        if (status == KN_READY)
            status = kn_sink_start_send(sink, *value);
        if (status != KN_READY)
            return status;
        *holds = false;
    }
}

static struct kn_outcome forward_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_stream_forward *self = KN_CONTAINER_OF(future, struct kn_stream_forward, future);
    int64_t status = KN_END;
    if (!self->ended) {
        status = move_values(self->stream, self->sink, &self->value, &self->holds, context);
        if (status == KN_PENDING) {
            /* What was taken need not wait for what comes; a sink that waits for room does that by itself. */
            status = self->holds ? KN_PENDING : kn_sink_poll_flush(self->sink, context);
            if (status == KN_READY || status == KN_PENDING)
                return kn_pending();
        }
        self->ended = status == KN_END;
    }
    if (status == KN_END)
        status = self->closes ? kn_sink_poll_close(self->sink, context) : kn_sink_poll_flush(self->sink, context);
    if (status != KN_PENDING)
        forward_drop(future);
    return answer(status);
}

static const struct kn_future_type forward_type = {.name = "forward", .poll = forward_poll, .drop = forward_drop};

static struct kn_future *forward_make(struct kn_stream_forward *self, struct kn_stream *stream, struct kn_sink *sink,
                                      bool closes)
{
    if (!self || !stream || !sink) {
        kn_stream_drop(stream);
        if (closes)
            kn_sink_drop(sink);
        return NULL;
    }
    *self = (struct kn_stream_forward){.future.type = &forward_type, .stream = stream, .sink = sink, .closes = closes};
    return &self->future;
}

struct kn_future *kn_sink_send_all(struct kn_stream_forward *self, struct kn_sink *sink, struct kn_stream *stream)
{
    return forward_make(self, stream, sink, false);
}

struct kn_future *kn_stream_forward(struct kn_stream_forward *self, struct kn_stream *stream, struct kn_sink *sink)
{
    return forward_make(self, stream, sink, true);
}

/* ---- owned ---- */

static int64_t owned_ready(struct kn_sink *sink, struct kn_context *context)
{
    return kn_sink_poll_ready(KN_CONTAINER_OF(sink, struct kn_sink_owned, sink)->inner, context);
}

static int64_t owned_start(struct kn_sink *sink, kn_value_t value)
{
    return kn_sink_start_send(KN_CONTAINER_OF(sink, struct kn_sink_owned, sink)->inner, value);
}

static int64_t owned_flush(struct kn_sink *sink, struct kn_context *context)
{
    return kn_sink_poll_flush(KN_CONTAINER_OF(sink, struct kn_sink_owned, sink)->inner, context);
}

static int64_t owned_close(struct kn_sink *sink, struct kn_context *context)
{
    return kn_sink_poll_close(KN_CONTAINER_OF(sink, struct kn_sink_owned, sink)->inner, context);
}

static void owned_drop(struct kn_sink *sink)
{
    kn_sink_drop(KN_CONTAINER_OF(sink, struct kn_sink_owned, sink)->inner);
}

static void owned_discard(struct kn_sink *sink, kn_value_t value)
{
    struct kn_sink_owned *self = KN_CONTAINER_OF(sink, struct kn_sink_owned, sink);
    self->release(value, self->context);
}

static const struct kn_sink_type owned_type = {.name = "owned",
                                               .ready = owned_ready,
                                               .start = owned_start,
                                               .flush = owned_flush,
                                               .close = owned_close,
                                               .drop = owned_drop,
                                               .discard = owned_discard};

struct kn_sink *kn_sink_owned(struct kn_sink_owned *self, struct kn_sink *inner, kn_discard_function *release,
                              void *context)
{
    if (!self || !inner) {
        kn_sink_drop(inner);
        return NULL;
    }
    *self = (struct kn_sink_owned){.sink.type = &owned_type, .inner = inner, .release = release, .context = context};
    return &self->sink;
}

/* ---- with ---- */

static int64_t with_ready(struct kn_sink *sink, struct kn_context *context)
{
    struct kn_sink_with *self = KN_CONTAINER_OF(sink, struct kn_sink_with, sink);
    return self->failure ? self->failure : kn_sink_poll_ready(self->inner, context);
}

static int64_t with_start(struct kn_sink *sink, kn_value_t value)
{
    struct kn_sink_with *self = KN_CONTAINER_OF(sink, struct kn_sink_with, sink);
    kn_value_t result = self->function(value, self->context);
    int64_t status = kn_sink_start_send(self->inner, result);
    if (status == KN_READY)
        return KN_READY;
    /* The value is taken, so that refusing it now would have it given back twice. */
    kn_sink_discard(self->inner, result);
    self->failure = status;
    return KN_READY;
}

static int64_t with_flush(struct kn_sink *sink, struct kn_context *context)
{
    struct kn_sink_with *self = KN_CONTAINER_OF(sink, struct kn_sink_with, sink);
    return self->failure ? self->failure : kn_sink_poll_flush(self->inner, context);
}

static int64_t with_close(struct kn_sink *sink, struct kn_context *context)
{
    struct kn_sink_with *self = KN_CONTAINER_OF(sink, struct kn_sink_with, sink);
    return self->failure ? self->failure : kn_sink_poll_close(self->inner, context);
}

static void with_drop(struct kn_sink *sink)
{
    kn_sink_drop(KN_CONTAINER_OF(sink, struct kn_sink_with, sink)->inner);
}

static const struct kn_sink_type with_type = {.name = "with",
                                              .ready = with_ready,
                                              .start = with_start,
                                              .flush = with_flush,
                                              .close = with_close,
                                              .drop = with_drop};

struct kn_sink *kn_sink_with(struct kn_sink_with *self, struct kn_sink *inner, kn_map_function *function, void *context)
{
    if (!self || !inner) {
        kn_sink_drop(inner);
        return NULL;
    }
    *self = (struct kn_sink_with){.sink.type = &with_type, .inner = inner, .function = function, .context = context};
    return &self->sink;
}

/* ---- with_flat_map ---- */

/* Forgets the present stream. */
static void end_stream(struct kn_sink_with_flat_map *self)
{
    if (!self->stream)
        return;
    if (self->holds) {
        self->holds = false;
        kn_stream_discard(self->stream, self->value);
    }
    kn_stream_drop(self->stream);
    self->stream = NULL;
}

/* Brings the present stream into the sink behind. */
static int64_t empty_stream(struct kn_sink_with_flat_map *self, struct kn_context *context)
{
    if (self->failure)
        return self->failure;
    if (!self->stream)
        return KN_READY;
    int64_t status = move_values(self->stream, self->inner, &self->value, &self->holds, context);
    if (status == KN_PENDING)
        return KN_PENDING;
    end_stream(self);
    return status == KN_END ? KN_READY : status;
}

static int64_t with_flat_map_ready(struct kn_sink *sink, struct kn_context *context)
{
    return empty_stream(KN_CONTAINER_OF(sink, struct kn_sink_with_flat_map, sink), context);
}

static int64_t with_flat_map_start(struct kn_sink *sink, kn_value_t value)
{
    struct kn_sink_with_flat_map *self = KN_CONTAINER_OF(sink, struct kn_sink_with_flat_map, sink);
    self->stream = self->function(value, self->context);
    if (!self->stream)
        self->failure = -ENOMEM; /* not now: the function has taken the value */
    return KN_READY;
}

static int64_t with_flat_map_flush(struct kn_sink *sink, struct kn_context *context)
{
    struct kn_sink_with_flat_map *self = KN_CONTAINER_OF(sink, struct kn_sink_with_flat_map, sink);
    int64_t status = empty_stream(self, context);
    return status == KN_READY ? kn_sink_poll_flush(self->inner, context) : status;
}

static int64_t with_flat_map_close(struct kn_sink *sink, struct kn_context *context)
{
    struct kn_sink_with_flat_map *self = KN_CONTAINER_OF(sink, struct kn_sink_with_flat_map, sink);
    int64_t status = empty_stream(self, context);
    return status == KN_READY ? kn_sink_poll_close(self->inner, context) : status;
}

static void with_flat_map_drop(struct kn_sink *sink)
{
    struct kn_sink_with_flat_map *self = KN_CONTAINER_OF(sink, struct kn_sink_with_flat_map, sink);
    end_stream(self);
    kn_sink_drop(self->inner);
}

static const struct kn_sink_type with_flat_map_type = {.name = "with_flat_map",
                                                       .ready = with_flat_map_ready,
                                                       .start = with_flat_map_start,
                                                       .flush = with_flat_map_flush,
                                                       .close = with_flat_map_close,
                                                       .drop = with_flat_map_drop};

struct kn_sink *kn_sink_with_flat_map(struct kn_sink_with_flat_map *self, struct kn_sink *inner,
                                      kn_sink_expand_function *function, void *context)
{
    if (!self || !inner) {
        kn_sink_drop(inner);
        return NULL;
    }
    *self = (struct kn_sink_with_flat_map){
        .sink.type = &with_flat_map_type, .inner = inner, .function = function, .context = context};
    return &self->sink;
}

/* ---- map_err ---- */

static int64_t change(const struct kn_sink_map_err *self, int64_t status)
{
    return status < 0 ? self->function(status, self->context) : status;
}

static int64_t map_err_ready(struct kn_sink *sink, struct kn_context *context)
{
    struct kn_sink_map_err *self = KN_CONTAINER_OF(sink, struct kn_sink_map_err, sink);
    return change(self, kn_sink_poll_ready(self->inner, context));
}

static int64_t map_err_start(struct kn_sink *sink, kn_value_t value)
{
    struct kn_sink_map_err *self = KN_CONTAINER_OF(sink, struct kn_sink_map_err, sink);
    return change(self, kn_sink_start_send(self->inner, value));
}

static int64_t map_err_flush(struct kn_sink *sink, struct kn_context *context)
{
    struct kn_sink_map_err *self = KN_CONTAINER_OF(sink, struct kn_sink_map_err, sink);
    return change(self, kn_sink_poll_flush(self->inner, context));
}

static int64_t map_err_close(struct kn_sink *sink, struct kn_context *context)
{
    struct kn_sink_map_err *self = KN_CONTAINER_OF(sink, struct kn_sink_map_err, sink);
    return change(self, kn_sink_poll_close(self->inner, context));
}

static void map_err_drop(struct kn_sink *sink)
{
    kn_sink_drop(KN_CONTAINER_OF(sink, struct kn_sink_map_err, sink)->inner);
}

static void map_err_discard(struct kn_sink *sink, kn_value_t value)
{
    kn_sink_discard(KN_CONTAINER_OF(sink, struct kn_sink_map_err, sink)->inner, value);
}

static const struct kn_sink_type map_err_type = {.name = "map_err",
                                                 .ready = map_err_ready,
                                                 .start = map_err_start,
                                                 .flush = map_err_flush,
                                                 .close = map_err_close,
                                                 .drop = map_err_drop,
                                                 .discard = map_err_discard};

struct kn_sink *kn_sink_map_err(struct kn_sink_map_err *self, struct kn_sink *inner,
                                int64_t (*function)(int64_t error, void *context), void *context)
{
    if (!self || !inner) {
        kn_sink_drop(inner);
        return NULL;
    }
    *self =
        (struct kn_sink_map_err){.sink.type = &map_err_type, .inner = inner, .function = function, .context = context};
    return &self->sink;
}

/* ---- buffer ---- */

/* Brings what is in the buffer into the sink behind: ready once it is empty. */
static int64_t empty_buffer(struct kn_sink_buffer *self, struct kn_context *context)
{
    while (self->count > 0) {
        if (!kn_context_may_continue(context))
            return KN_PENDING;
        int64_t status = kn_sink_poll_ready(self->inner, context);
        if (status == KN_READY)
            status = kn_sink_start_send(self->inner, self->slots[self->first]);
        if (status != KN_READY)
            return status;
        self->first = self->first + 1 < self->capacity ? self->first + 1 : 0;
        self->count--;
    }
    return KN_READY;
}

static int64_t buffer_ready(struct kn_sink *sink, struct kn_context *context)
{
    struct kn_sink_buffer *self = KN_CONTAINER_OF(sink, struct kn_sink_buffer, sink);
    int64_t status = empty_buffer(self, context);
    return status == KN_PENDING && self->count < self->capacity ? KN_READY : status;
}

static int64_t buffer_start(struct kn_sink *sink, kn_value_t value)
{
    struct kn_sink_buffer *self = KN_CONTAINER_OF(sink, struct kn_sink_buffer, sink);
    size_t slot = self->first + self->count;
    self->slots[slot < self->capacity ? slot : slot - self->capacity] = value;
    self->count++;
    return KN_READY;
}

static int64_t buffer_flush(struct kn_sink *sink, struct kn_context *context)
{
    struct kn_sink_buffer *self = KN_CONTAINER_OF(sink, struct kn_sink_buffer, sink);
    int64_t status = empty_buffer(self, context);
    return status == KN_READY ? kn_sink_poll_flush(self->inner, context) : status;
}

static int64_t buffer_close(struct kn_sink *sink, struct kn_context *context)
{
    struct kn_sink_buffer *self = KN_CONTAINER_OF(sink, struct kn_sink_buffer, sink);
    int64_t status = empty_buffer(self, context);
    return status == KN_READY ? kn_sink_poll_close(self->inner, context) : status;
}

static void buffer_drop(struct kn_sink *sink)
{
    struct kn_sink_buffer *self = KN_CONTAINER_OF(sink, struct kn_sink_buffer, sink);
    for (; self->count > 0; self->count--) {
        kn_sink_discard(self->inner, self->slots[self->first]);
        self->first = self->first + 1 < self->capacity ? self->first + 1 : 0;
    }
    kn_sink_drop(self->inner);
}

static void buffer_discard(struct kn_sink *sink, kn_value_t value)
{
    kn_sink_discard(KN_CONTAINER_OF(sink, struct kn_sink_buffer, sink)->inner, value);
}

static const struct kn_sink_type buffer_type = {.name = "buffer",
                                                .ready = buffer_ready,
                                                .start = buffer_start,
                                                .flush = buffer_flush,
                                                .close = buffer_close,
                                                .drop = buffer_drop,
                                                .discard = buffer_discard};

struct kn_sink *kn_sink_buffer(struct kn_sink_buffer *self, struct kn_sink *inner, kn_value_t *slots, size_t capacity)
{
    if (!self || !inner || !slots || capacity == 0) {
        kn_sink_drop(inner);
        return NULL;
    }
    *self = (struct kn_sink_buffer){.sink.type = &buffer_type, .inner = inner, .slots = slots, .capacity = capacity};
    return &self->sink;
}

/* ---- fanout ---- */

/* Ready if both are; a failure of either comes first. */
static int64_t both(int64_t first, int64_t second)
{
    if (first < 0)
        return first;
    return second < 0 || first == KN_READY ? second : first;
}

static int64_t fanout_ready(struct kn_sink *sink, struct kn_context *context)
{
    struct kn_sink_fanout *self = KN_CONTAINER_OF(sink, struct kn_sink_fanout, sink);
    int64_t first = kn_sink_poll_ready(self->inner[0], context);
    return first < 0 ? first : both(first, kn_sink_poll_ready(self->inner[1], context));
}

static int64_t fanout_start(struct kn_sink *sink, kn_value_t value)
{
    struct kn_sink_fanout *self = KN_CONTAINER_OF(sink, struct kn_sink_fanout, sink);
    int64_t status = kn_sink_start_send(self->inner[0], value);
    return status < 0 ? status : kn_sink_start_send(self->inner[1], value);
}

static int64_t fanout_flush(struct kn_sink *sink, struct kn_context *context)
{
    struct kn_sink_fanout *self = KN_CONTAINER_OF(sink, struct kn_sink_fanout, sink);
    int64_t first = kn_sink_poll_flush(self->inner[0], context);
    return first < 0 ? first : both(first, kn_sink_poll_flush(self->inner[1], context));
}

static int64_t close_one(struct kn_sink_fanout *self, int which, struct kn_context *context)
{
    if (self->closed[which])
        return KN_READY;
    int64_t status = kn_sink_poll_close(self->inner[which], context);
    self->closed[which] = status == KN_READY;
    return status;
}

static int64_t fanout_close(struct kn_sink *sink, struct kn_context *context)
{
    struct kn_sink_fanout *self = KN_CONTAINER_OF(sink, struct kn_sink_fanout, sink);
    int64_t first = close_one(self, 0, context);
    return first < 0 ? first : both(first, close_one(self, 1, context));
}

static void fanout_drop(struct kn_sink *sink)
{
    struct kn_sink_fanout *self = KN_CONTAINER_OF(sink, struct kn_sink_fanout, sink);
    kn_sink_drop(self->inner[0]);
    kn_sink_drop(self->inner[1]);
}

static const struct kn_sink_type fanout_type = {.name = "fanout",
                                                .ready = fanout_ready,
                                                .start = fanout_start,
                                                .flush = fanout_flush,
                                                .close = fanout_close,
                                                .drop = fanout_drop};

struct kn_sink *kn_sink_fanout(struct kn_sink_fanout *self, struct kn_sink *first, struct kn_sink *second)
{
    if (!self || !first || !second) {
        kn_sink_drop(first);
        kn_sink_drop(second);
        return NULL;
    }
    *self = (struct kn_sink_fanout){.sink.type = &fanout_type, .inner = {first, second}};
    return &self->sink;
}

/* ---- drain ---- */

static int64_t drain_ready(struct kn_sink *sink, struct kn_context *context)
{
    (void)sink;
    (void)context;
    return KN_READY;
}

static void drain_discard(struct kn_sink *sink, kn_value_t value)
{
    struct kn_sink_drain *self = KN_CONTAINER_OF(sink, struct kn_sink_drain, sink);
    if (self->release)
        self->release(value, self->context);
}

static int64_t drain_start(struct kn_sink *sink, kn_value_t value)
{
    drain_discard(sink, value);
    return KN_READY;
}

static void drain_drop(struct kn_sink *sink)
{
    (void)sink;
}

static const struct kn_sink_type drain_type = {.name = "drain",
                                               .ready = drain_ready,
                                               .start = drain_start,
                                               .flush = drain_ready,
                                               .close = drain_ready,
                                               .drop = drain_drop,
                                               .discard = drain_discard};

struct kn_sink *kn_sink_drain(struct kn_sink_drain *self, kn_discard_function *release, void *context)
{
    if (!self)
        return NULL;
    *self = (struct kn_sink_drain){.sink.type = &drain_type, .release = release, .context = context};
    return &self->sink;
}

/* ---- unfold ---- */

static int64_t unfold_ready(struct kn_sink *sink, struct kn_context *context)
{
    struct kn_sink_unfold *self = KN_CONTAINER_OF(sink, struct kn_sink_unfold, sink);
    if (self->failure)
        return self->failure;
    if (!self->future)
        return KN_READY;
    struct kn_outcome outcome = kn_future_poll(self->future, context);
    if (outcome.status == KN_PENDING)
        return KN_PENDING;
    kn_future_discard_outcome(self->future, outcome);
    self->future = NULL;
    return outcome.status;
}

static int64_t unfold_start(struct kn_sink *sink, kn_value_t value)
{
    struct kn_sink_unfold *self = KN_CONTAINER_OF(sink, struct kn_sink_unfold, sink);
    self->future = self->function(value, self->context);
    if (!self->future)
        self->failure = -ENOMEM; /* not now: the function has taken the value */
    return KN_READY;
}

static void unfold_drop(struct kn_sink *sink)
{
    struct kn_sink_unfold *self = KN_CONTAINER_OF(sink, struct kn_sink_unfold, sink);
    kn_future_drop(self->future);
    self->future = NULL;
}

static const struct kn_sink_type unfold_type = {.name = "unfold",
                                                .ready = unfold_ready,
                                                .start = unfold_start,
                                                .flush = unfold_ready,
                                                .close = unfold_ready,
                                                .drop = unfold_drop};

struct kn_sink *kn_sink_unfold(struct kn_sink_unfold *self, kn_next_function *function, void *context)
{
    if (!self)
        return NULL;
    *self = (struct kn_sink_unfold){.sink.type = &unfold_type, .function = function, .context = context};
    return &self->sink;
}
