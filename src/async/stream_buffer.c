/*
 * Streams that keep items. See stream_buffer.h.
 */
#include <string.h>

#include <kernel/executor.h>
#include <kernel/stream_buffer.h>

/* ---- peekable ---- */

struct kn_outcome kn_stream_poll_peek(struct kn_stream_peekable *peekable, struct kn_context *context)
{
    if (peekable->present.status == KN_PENDING)
        peekable->present = kn_stream_poll(peekable->inner, context);
    return peekable->present;
}

/* The end stays: it may have been looked at before it is answered. */
static void peekable_take(struct kn_stream_peekable *self)
{
    if (self->present.status != KN_END)
        self->present = kn_pending();
}

static struct kn_outcome peekable_next(struct kn_stream *stream, struct kn_context *context)
{
    struct kn_stream_peekable *self = KN_CONTAINER_OF(stream, struct kn_stream_peekable, stream);
    struct kn_outcome outcome = kn_stream_poll_peek(self, context);
    peekable_take(self);
    return outcome;
}

static void peekable_drop(struct kn_stream *stream)
{
    struct kn_stream_peekable *self = KN_CONTAINER_OF(stream, struct kn_stream_peekable, stream);
    struct kn_outcome present = self->present;
    self->present = kn_pending();
    kn_stream_drop(self->inner);
    kn_stream_discard_outcome(self->inner, present);
}

static void peekable_discard(struct kn_stream *stream, kn_value_t value)
{
    kn_stream_discard(KN_CONTAINER_OF(stream, struct kn_stream_peekable, stream)->inner, value);
}

static const struct kn_stream_type peekable_type = {
    .name = "peekable", .next = peekable_next, .drop = peekable_drop, .discard = peekable_discard};

struct kn_stream *kn_stream_peekable(struct kn_stream_peekable *self, struct kn_stream *inner)
{
    if (!self || !inner) {
        kn_stream_drop(inner);
        return NULL;
    }
    *self = (struct kn_stream_peekable){.stream.type = &peekable_type, .inner = inner, .present = kn_pending()};
    return &self->stream;
}

/* ---- peek ---- */

static struct kn_outcome peek_poll(struct kn_future *future, struct kn_context *context)
{
    return kn_stream_poll_peek(KN_CONTAINER_OF(future, struct kn_stream_peek, future)->peekable, context);
}

static const struct kn_future_type peek_type = {.name = "peek", .poll = peek_poll, .drop = kn_future_drop_nothing};

struct kn_future *kn_stream_peek(struct kn_stream_peek *self, struct kn_stream_peekable *peekable)
{
    if (!self || !peekable)
        return NULL;
    *self = (struct kn_stream_peek){.future.type = &peek_type, .peekable = peekable};
    return &self->future;
}

/* ---- next_if ---- */

static struct kn_outcome next_if_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_stream_next_if *self = KN_CONTAINER_OF(future, struct kn_stream_next_if, future);
    struct kn_outcome outcome = kn_stream_poll_peek(self->peekable, context);
    if (outcome.status == KN_READY && !self->function(outcome.value, self->context))
        return kn_ended();
    peekable_take(self->peekable);
    return outcome;
}

static void next_if_discard(struct kn_future *future, kn_value_t value)
{
    peekable_discard(&KN_CONTAINER_OF(future, struct kn_stream_next_if, future)->peekable->stream, value);
}

static const struct kn_future_type next_if_type = {
    .name = "next_if", .poll = next_if_poll, .drop = kn_future_drop_nothing, .discard = next_if_discard};

struct kn_future *kn_stream_next_if(struct kn_stream_next_if *self, struct kn_stream_peekable *peekable,
                                    kn_predicate_function *function, void *context)
{
    if (!self || !peekable)
        return NULL;
    *self = (struct kn_stream_next_if){
        .future.type = &next_if_type, .peekable = peekable, .function = function, .context = context};
    return &self->future;
}

/* ---- chunks, ready_chunks ---- */

struct kn_outcome kn_stream_chunks_flush(struct kn_stream_chunks *self)
{
    if (self->held == 0)
        return kn_pending();
    self->chunk.count = self->held;
    self->held = 0;
    return kn_ready(KN_VALUE(&self->chunk));
}

static struct kn_outcome chunks_next(struct kn_stream *stream, struct kn_context *context)
{
    struct kn_stream_chunks *self = KN_CONTAINER_OF(stream, struct kn_stream_chunks, stream);
    if (self->rest != KN_READY) {
        struct kn_outcome outcome = {.status = self->rest};
        self->rest = KN_READY;
        return outcome;
    }
    while (kn_context_may_continue(context)) {
        struct kn_outcome outcome = kn_stream_poll(self->inner, context);
        if (outcome.status == KN_PENDING)
            break;
        if (outcome.status != KN_READY) {
            if (self->held == 0)
                return outcome;
            self->rest = outcome.status;
            return kn_stream_chunks_flush(self);
        }
        self->chunk.values[self->held++] = outcome.value;
        if (self->held == self->capacity)
            return kn_stream_chunks_flush(self);
    }
    return self->is_eager ? kn_stream_chunks_flush(self) : kn_pending();
}

static void discard_all(struct kn_stream *inner, const kn_value_t *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        kn_stream_discard(inner, values[i]);
}

static void chunks_drop(struct kn_stream *stream)
{
    struct kn_stream_chunks *self = KN_CONTAINER_OF(stream, struct kn_stream_chunks, stream);
    size_t held = self->held;
    self->held = 0;
    kn_stream_drop(self->inner);
    discard_all(self->inner, self->chunk.values, held);
}

static void chunks_discard(struct kn_stream *stream, kn_value_t value)
{
    struct kn_stream_chunks *self = KN_CONTAINER_OF(stream, struct kn_stream_chunks, stream);
    const struct kn_stream_chunk *chunk = value.pointer;
    discard_all(self->inner, chunk->values, chunk->count);
}

static const struct kn_stream_type chunks_type = {
    .name = "chunks", .next = chunks_next, .drop = chunks_drop, .discard = chunks_discard};

struct kn_stream *kn_stream_chunks(struct kn_stream_chunks *self, struct kn_stream *inner, kn_value_t *values,
                                   size_t capacity)
{
    if (!self || !inner || !values || capacity == 0) {
        kn_stream_drop(inner);
        return NULL;
    }
    *self = (struct kn_stream_chunks){
        .stream.type = &chunks_type, .inner = inner, .chunk.values = values, .capacity = capacity};
    return &self->stream;
}

struct kn_stream *kn_stream_ready_chunks(struct kn_stream_ready_chunks *self, struct kn_stream *inner,
                                         kn_value_t *values, size_t capacity)
{
    struct kn_stream *stream = kn_stream_chunks(self ? &self->chunks : NULL, inner, values, capacity);
    if (stream)
        self->chunks.is_eager = true;
    return stream;
}

/* ---- windows ---- */

/* Gives up the items that are only in the window that was handed out. */
static void windows_slide(struct kn_stream_windows *self)
{
    size_t leaving = self->step < self->size ? self->step : self->size;
    kn_value_t *values = self->chunk.values;
    discard_all(self->inner, values, leaving);
    self->held -= leaving;
    memmove(values, values + leaving, self->held * sizeof *values);
    self->skip = self->step - leaving;
}

static struct kn_outcome windows_next(struct kn_stream *stream, struct kn_context *context)
{
    struct kn_stream_windows *self = KN_CONTAINER_OF(stream, struct kn_stream_windows, stream);
    if (self->held == self->size)
        windows_slide(self);
    while (kn_context_may_continue(context)) {
        struct kn_outcome outcome = kn_stream_poll(self->inner, context);
        if (outcome.status != KN_READY)
            return outcome;
        if (self->skip > 0) {
            self->skip--;
            kn_stream_discard(self->inner, outcome.value);
            continue;
        }
        self->chunk.values[self->held++] = outcome.value;
        if (self->held == self->size)
            return kn_ready(KN_VALUE(&self->chunk));
    }
    return kn_pending();
}

static void windows_drop(struct kn_stream *stream)
{
    struct kn_stream_windows *self = KN_CONTAINER_OF(stream, struct kn_stream_windows, stream);
    size_t held = self->held;
    self->held = 0;
    kn_stream_drop(self->inner);
    discard_all(self->inner, self->chunk.values, held);
}

static const struct kn_stream_type windows_type = {.name = "windows", .next = windows_next, .drop = windows_drop};

struct kn_stream *kn_stream_windows(struct kn_stream_windows *self, struct kn_stream *inner, kn_value_t *values,
                                    size_t size, size_t step)
{
    if (!self || !inner || !values || size == 0 || step == 0) {
        kn_stream_drop(inner);
        return NULL;
    }
    *self = (struct kn_stream_windows){.stream.type = &windows_type,
                                       .inner = inner,
                                       .chunk = {.values = values, .count = size},
                                       .size = size,
                                       .step = step};
    return &self->stream;
}

/* ---- partition ---- */

static void partition_wake(struct kn_waker *waker)
{
    struct kn_stream_partition *whole = KN_CONTAINER_OF(waker, struct kn_stream_partition, waker);
    kn_waker_cell_wake(&whole->parts[0].reader);
    kn_waker_cell_wake(&whole->parts[1].reader);
}

static struct kn_stream_part *other_part(const struct kn_stream_part *part)
{
    struct kn_stream_partition *whole = part->whole;
    return &whole->parts[part == &whole->parts[0]];
}

static bool part_is_full(const struct kn_stream_part *part)
{
    return !part->is_dropped && (part->count == part->whole->capacity || part->failure != KN_READY);
}

/* What the other reader has left for this one: pending when that is nothing. */
static struct kn_outcome part_take(struct kn_stream_part *part)
{
    bool was_full = part_is_full(part);
    struct kn_outcome outcome = kn_pending();
    if (part->count > 0) {
        outcome = kn_ready(part->values[part->first]);
        part->first = part->first + 1 < part->whole->capacity ? part->first + 1 : 0;
        part->count--;
    } else if (part->failure != KN_READY) {
        outcome = kn_failed(part->failure);
        part->failure = KN_READY;
    } else if (part->whole->has_ended) {
        outcome = kn_ended();
    }
    if (was_full)
        kn_waker_cell_wake(&other_part(part)->reader);
    return outcome;
}

static void part_put(struct kn_stream_part *part, kn_value_t value)
{
    size_t capacity = part->whole->capacity;
    if (part->is_dropped) {
        kn_stream_discard(part->whole->inner, value);
        return;
    }
    size_t end = part->first + part->count++;
    part->values[end < capacity ? end : end - capacity] = value;
}

/* Asks for items until one is this reader's. The other is woken whenever nobody waits for the items any more, to ask
 * for itself. */
static struct kn_outcome part_ask(struct kn_stream_part *part, struct kn_context *context)
{
    struct kn_stream_partition *whole = part->whole;
    struct kn_stream_part *other = other_part(part);
    struct kn_context inner = *context;
    inner.waker = &whole->waker;
    kn_waker_cell_register(&part->reader, context->waker);
    while (!part_is_full(other) && kn_context_may_continue(context)) {
        struct kn_outcome outcome = kn_stream_poll(whole->inner, &inner);
        if (outcome.status == KN_PENDING)
            return outcome;
        if (outcome.status == KN_READY && &whole->parts[whole->function(outcome.value, whole->context)] != part) {
            part_put(other, outcome.value);
            kn_waker_cell_wake(&other->reader);
            continue;
        }
        if (outcome.status == KN_END) {
            whole->has_ended = true;
            kn_stream_drop(whole->inner);
        } else if (outcome.status != KN_READY && !other->is_dropped) {
            other->failure = outcome.status;
        }
        kn_waker_cell_wake(&other->reader);
        return outcome;
    }
    return kn_pending();
}

static struct kn_outcome part_next(struct kn_stream *stream, struct kn_context *context)
{
    struct kn_stream_part *part = KN_CONTAINER_OF(stream, struct kn_stream_part, stream);
    struct kn_outcome outcome = part_take(part);
    if (outcome.status == KN_PENDING)
        outcome = part_ask(part, context);
    if (outcome.status != KN_PENDING)
        kn_waker_cell_clear(&part->reader);
    return outcome;
}

static void part_drop(struct kn_stream *stream)
{
    struct kn_stream_part *part = KN_CONTAINER_OF(stream, struct kn_stream_part, stream);
    struct kn_stream_part *other = other_part(part);
    struct kn_stream *inner = part->whole->inner;
    if (part->is_dropped)
        return;
    part->is_dropped = true;
    if (other->is_dropped)
        kn_stream_drop(inner);
    kn_waker_cell_clear(&part->reader);
    for (; part->count > 0; part->count--) {
        kn_stream_discard(inner, part->values[part->first]);
        part->first = part->first + 1 < part->whole->capacity ? part->first + 1 : 0;
    }
    /* It may have waited for room. */
    kn_waker_cell_wake(&other->reader);
}

static void part_discard(struct kn_stream *stream, kn_value_t value)
{
    kn_stream_discard(KN_CONTAINER_OF(stream, struct kn_stream_part, stream)->whole->inner, value);
}

static const struct kn_stream_type part_type = {
    .name = "partition", .next = part_next, .drop = part_drop, .discard = part_discard};

int kn_stream_partition(struct kn_stream_partition *self, struct kn_stream *inner, kn_predicate_function *function,
                        void *context, kn_value_t *values, size_t capacity, struct kn_stream **yes,
                        struct kn_stream **no)
{
    *yes = *no = NULL;
    if (!self || !inner || !values || capacity == 0) {
        kn_stream_drop(inner);
        return self && inner && values ? -EINVAL : -ENOMEM;
    }
    *self = (struct kn_stream_partition){
        .inner = inner, .waker.wake = partition_wake, .function = function, .context = context, .capacity = capacity};
    for (size_t i = 0; i < 2; i++) {
        struct kn_stream_part *part = &self->parts[i];
        part->stream.type = &part_type;
        part->whole = self;
        part->values = values + i * capacity;
    }
    *yes = &self->parts[1].stream;
    *no = &self->parts[0].stream;
    return 0;
}
