/*
 * Streams of time. See stream_time.h.
 */
#include <kernel/stream_time.h>

/* A delay that is not armed, so that it may be dropped. */
static void delay_clear(struct kn_future_delay *delay)
{
    (void)kn_future_delay_until(delay, KN_NEVER);
}

static void delay_drop(struct kn_future_delay *delay)
{
    kn_future_drop(&delay->future);
}

/* Polls a delay until `due_ns`, which is made first unless it is armed. */
static struct kn_outcome delay_poll(struct kn_future_delay *delay, bool *is_armed, uint64_t due_ns,
                                    struct kn_context *context)
{
    if (!*is_armed)
        (void)kn_future_delay_until(delay, due_ns);
    struct kn_outcome outcome = kn_future_poll(&delay->future, context);
    *is_armed = outcome.status == KN_PENDING;
    return outcome;
}

static void delay_disarm(struct kn_future_delay *delay, bool *is_armed)
{
    *is_armed = false;
    delay_drop(delay);
}

/* ---- interval ---- */

/* Goes on to the next tick, when the present one was due at due_ns and is taken now. */
static void interval_advance(struct kn_stream_interval *self, uint64_t now_ns)
{
    uint64_t late_ns = now_ns > self->due_ns ? now_ns - self->due_ns : 0;
    uint64_t ticks = self->missed == KN_MISSED_SKIP ? late_ns / self->period_ns + 1 : 1;
    uint64_t from_ns = self->missed == KN_MISSED_DELAY ? self->due_ns + late_ns : self->due_ns;
    self->number += ticks;
    self->due_ns = kn_time_after(from_ns + (ticks - 1) * self->period_ns, self->period_ns);
    (void)kn_future_delay_until(&self->delay, self->due_ns);
}

static struct kn_outcome interval_next(struct kn_stream *stream, struct kn_context *context)
{
    struct kn_stream_interval *self = KN_CONTAINER_OF(stream, struct kn_stream_interval, stream);
    if (self->has_failed)
        return kn_ended();
    if (self->due_ns == KN_NEVER && self->number == 0) {
        self->due_ns = context->executor->now_ns;
        (void)kn_future_delay_until(&self->delay, self->due_ns);
    }
    struct kn_outcome outcome = kn_future_poll(&self->delay.future, context);
    self->has_failed = outcome.status < 0;
    if (outcome.status != KN_READY)
        return outcome;
    outcome.value = KN_VALUE(self->number);
    interval_advance(self, context->executor->now_ns);
    return outcome;
}

static void interval_drop(struct kn_stream *stream)
{
    delay_drop(&KN_CONTAINER_OF(stream, struct kn_stream_interval, stream)->delay);
}

static const struct kn_stream_type interval_type = {.name = "interval", .next = interval_next, .drop = interval_drop};

struct kn_stream *kn_stream_interval_at(struct kn_stream_interval *self, uint64_t start_ns, uint64_t period_ns,
                                        enum kn_missed_ticks missed)
{
    if (!self)
        return NULL;
    self->stream.type = &interval_type;
    self->due_ns = start_ns;
    self->period_ns = period_ns > 0 ? period_ns : 1;
    self->number = 0;
    self->missed = missed;
    self->has_failed = false;
    (void)kn_future_delay_until(&self->delay, start_ns);
    return &self->stream;
}

struct kn_stream *kn_stream_interval(struct kn_stream_interval *self, uint64_t period_ns, enum kn_missed_ticks missed)
{
    return kn_stream_interval_at(self, KN_NEVER, period_ns, missed);
}

/* ---- throttle ---- */

static struct kn_outcome throttle_next(struct kn_stream *stream, struct kn_context *context)
{
    struct kn_stream_throttle *self = KN_CONTAINER_OF(stream, struct kn_stream_throttle, stream);
    uint64_t now_ns = context->executor->now_ns;
    struct kn_outcome outcome;
    while (self->waits || self->full_ns > kn_time_after(now_ns, self->tolerance_ns)) {
        outcome = delay_poll(&self->delay, &self->waits, self->full_ns - self->tolerance_ns, context);
        if (outcome.status != KN_READY)
            return outcome;
    }
    outcome = kn_stream_poll(self->inner, context);
    if (outcome.status == KN_READY)
        self->full_ns = kn_time_after(self->full_ns > now_ns ? self->full_ns : now_ns, self->interval_ns);
    return outcome;
}

static void throttle_drop(struct kn_stream *stream)
{
    struct kn_stream_throttle *self = KN_CONTAINER_OF(stream, struct kn_stream_throttle, stream);
    delay_disarm(&self->delay, &self->waits);
    kn_stream_drop(self->inner);
}

static void throttle_discard(struct kn_stream *stream, kn_value_t value)
{
    kn_stream_discard(KN_CONTAINER_OF(stream, struct kn_stream_throttle, stream)->inner, value);
}

static const struct kn_stream_type throttle_type = {
    .name = "throttle", .next = throttle_next, .drop = throttle_drop, .discard = throttle_discard};

struct kn_stream *kn_stream_rate_limit(struct kn_stream_throttle *self, struct kn_stream *inner, uint64_t interval_ns,
                                       uint64_t burst)
{
    if (!self || !inner) {
        kn_stream_drop(inner);
        return NULL;
    }
    uint64_t spare = burst > 1 ? burst - 1 : 0;
    self->stream.type = &throttle_type;
    self->inner = inner;
    self->interval_ns = interval_ns;
    self->tolerance_ns = interval_ns == 0 || spare < KN_NEVER / interval_ns ? spare * interval_ns : KN_NEVER;
    self->full_ns = 0;
    self->waits = false;
    delay_clear(&self->delay);
    return &self->stream;
}

struct kn_stream *kn_stream_throttle(struct kn_stream_throttle *self, struct kn_stream *inner, uint64_t interval_ns)
{
    return kn_stream_rate_limit(self, inner, interval_ns, 1);
}

/* ---- debounce, sample ---- */

static void debounce_keep(struct kn_stream_debounce *self, kn_value_t value, uint64_t now_ns)
{
    if (self->is_held)
        kn_stream_discard(self->inner, self->held);
    if (!self->is_held || !self->is_sample)
        self->due_ns = kn_time_after(now_ns, self->duration_ns);
    self->held = value;
    self->is_held = true;
}

static struct kn_outcome debounce_pass_on(struct kn_stream_debounce *self)
{
    delay_disarm(&self->delay, &self->is_armed);
    self->is_held = false;
    return kn_ready(self->held);
}

/* A delay that was armed for an older item is let run out, rather than armed anew for each. */
static struct kn_outcome debounce_wait(struct kn_stream_debounce *self, struct kn_context *context)
{
    for (;;) {
        struct kn_outcome outcome = delay_poll(&self->delay, &self->is_armed, self->due_ns, context);
        if (outcome.status != KN_READY)
            return outcome;
        if (self->due_ns <= context->executor->now_ns)
            return debounce_pass_on(self);
    }
}

static struct kn_outcome debounce_next(struct kn_stream *stream, struct kn_context *context)
{
    struct kn_stream_debounce *self = KN_CONTAINER_OF(stream, struct kn_stream_debounce, stream);
    if (self->rest != KN_READY) {
        struct kn_outcome outcome = {.status = self->rest};
        self->rest = KN_READY;
        return outcome;
    }
    while (kn_context_may_continue(context)) {
        struct kn_outcome outcome = kn_stream_poll(self->inner, context);
        if (outcome.status == KN_PENDING)
            break;
        if (outcome.status == KN_READY) {
            debounce_keep(self, outcome.value, context->executor->now_ns);
            continue;
        }
        if (!self->is_held)
            return outcome;
        self->rest = outcome.status;
        return debounce_pass_on(self);
    }
    return self->is_held ? debounce_wait(self, context) : kn_pending();
}

static void debounce_drop(struct kn_stream *stream)
{
    struct kn_stream_debounce *self = KN_CONTAINER_OF(stream, struct kn_stream_debounce, stream);
    delay_disarm(&self->delay, &self->is_armed);
    kn_stream_drop(self->inner);
    if (self->is_held) {
        self->is_held = false;
        kn_stream_discard(self->inner, self->held);
    }
}

static void debounce_discard(struct kn_stream *stream, kn_value_t value)
{
    kn_stream_discard(KN_CONTAINER_OF(stream, struct kn_stream_debounce, stream)->inner, value);
}

static const struct kn_stream_type debounce_type = {
    .name = "debounce", .next = debounce_next, .drop = debounce_drop, .discard = debounce_discard};

struct kn_stream *kn_stream_debounce(struct kn_stream_debounce *self, struct kn_stream *inner, uint64_t quiet_ns)
{
    if (!self || !inner) {
        kn_stream_drop(inner);
        return NULL;
    }
    self->stream.type = &debounce_type;
    self->inner = inner;
    self->duration_ns = quiet_ns;
    self->rest = KN_READY;
    self->is_held = self->is_armed = self->is_sample = false;
    delay_clear(&self->delay);
    return &self->stream;
}

struct kn_stream *kn_stream_sample(struct kn_stream_sample *self, struct kn_stream *inner, uint64_t period_ns)
{
    struct kn_stream *stream = kn_stream_debounce(self ? &self->debounce : NULL, inner, period_ns);
    if (self && stream)
        self->debounce.is_sample = true;
    return stream;
}

/* ---- timeout ---- */

static struct kn_outcome timeout_next(struct kn_stream *stream, struct kn_context *context)
{
    struct kn_stream_timeout *self = KN_CONTAINER_OF(stream, struct kn_stream_timeout, stream);
    uint64_t due_ns =
        self->is_armed ? self->delay.deadline_ns : kn_time_after(context->executor->now_ns, self->timeout_ns);
    struct kn_context within = *context;
    if (!self->is_over && due_ns < within.deadline_ns)
        within.deadline_ns = due_ns;
    struct kn_outcome outcome = kn_stream_poll(self->inner, &within);
    if (outcome.status != KN_PENDING) {
        delay_disarm(&self->delay, &self->is_armed);
        self->is_over = false;
        return outcome;
    }
    if (self->is_over)
        return outcome;
    outcome = delay_poll(&self->delay, &self->is_armed, due_ns, context);
    if (outcome.status != KN_READY)
        return outcome;
    self->is_over = !self->is_repeating;
    return kn_failed(-ETIMEDOUT);
}

static void timeout_drop(struct kn_stream *stream)
{
    struct kn_stream_timeout *self = KN_CONTAINER_OF(stream, struct kn_stream_timeout, stream);
    delay_disarm(&self->delay, &self->is_armed);
    kn_stream_drop(self->inner);
}

static void timeout_discard(struct kn_stream *stream, kn_value_t value)
{
    kn_stream_discard(KN_CONTAINER_OF(stream, struct kn_stream_timeout, stream)->inner, value);
}

static const struct kn_stream_type timeout_type = {
    .name = "timeout", .next = timeout_next, .drop = timeout_drop, .discard = timeout_discard};

struct kn_stream *kn_stream_timeout(struct kn_stream_timeout *self, struct kn_stream *inner, uint64_t timeout_ns)
{
    if (!self || !inner) {
        kn_stream_drop(inner);
        return NULL;
    }
    self->stream.type = &timeout_type;
    self->inner = inner;
    self->timeout_ns = timeout_ns;
    self->is_armed = self->is_over = self->is_repeating = false;
    delay_clear(&self->delay);
    return &self->stream;
}

struct kn_stream *kn_stream_timeout_repeating(struct kn_stream_timeout *self, struct kn_stream *inner,
                                              uint64_t timeout_ns)
{
    struct kn_stream *stream = kn_stream_timeout(self, inner, timeout_ns);
    if (stream)
        self->is_repeating = true;
    return stream;
}

/* ---- chunks_timeout ---- */

static struct kn_outcome chunks_timeout_next(struct kn_stream *stream, struct kn_context *context)
{
    struct kn_stream_chunks_timeout *self = KN_CONTAINER_OF(stream, struct kn_stream_chunks_timeout, stream);
    struct kn_outcome outcome = kn_stream_poll(&self->chunks.stream, context);
    if (outcome.status != KN_PENDING) {
        delay_disarm(&self->delay, &self->is_armed);
        return outcome;
    }
    if (self->chunks.held == 0)
        return outcome;
    uint64_t due_ns = kn_time_after(context->executor->now_ns, self->duration_ns);
    outcome = delay_poll(&self->delay, &self->is_armed, due_ns, context);
    return outcome.status == KN_READY ? kn_stream_chunks_flush(&self->chunks) : outcome;
}

static void chunks_timeout_drop(struct kn_stream *stream)
{
    struct kn_stream_chunks_timeout *self = KN_CONTAINER_OF(stream, struct kn_stream_chunks_timeout, stream);
    delay_disarm(&self->delay, &self->is_armed);
    kn_stream_drop(&self->chunks.stream);
}

static void chunks_timeout_discard(struct kn_stream *stream, kn_value_t value)
{
    kn_stream_discard(&KN_CONTAINER_OF(stream, struct kn_stream_chunks_timeout, stream)->chunks.stream, value);
}

static const struct kn_stream_type chunks_timeout_type = {.name = "chunks_timeout",
                                                          .next = chunks_timeout_next,
                                                          .drop = chunks_timeout_drop,
                                                          .discard = chunks_timeout_discard};

struct kn_stream *kn_stream_chunks_timeout(struct kn_stream_chunks_timeout *self, struct kn_stream *inner,
                                           kn_value_t *values, size_t capacity, uint64_t duration_ns)
{
    if (!kn_stream_chunks(self ? &self->chunks : NULL, inner, values, capacity) || !self)
        return NULL;
    self->stream.type = &chunks_timeout_type;
    self->duration_ns = duration_ns;
    self->is_armed = false;
    delay_clear(&self->delay);
    return &self->stream;
}
