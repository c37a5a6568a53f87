/*
 * Trying again. See retry.h.
 */
#include <kernel/retry.h>

#define FACTOR_DEFAULT 2.0

/* Longest pause that is counted with: some 146 years, which floating point numbers can tell from KN_NEVER. */
#define DELAY_MAX_NS 4.6e18

/* ---- backoff ---- */

/* The next random number: splitmix64, by S. Vigna after G. Steele, D. Lea, C. Flood, Fast Splittable Pseudorandom
 * Number Generators, OOPSLA 2014. */
static uint64_t draw(uint64_t *state)
{
    uint64_t bits = *state += UINT64_C(0x9e3779b97f4a7c15);
    bits = (bits ^ (bits >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    bits = (bits ^ (bits >> 27)) * UINT64_C(0x94d049bb133111eb);
    return bits ^ (bits >> 31);
}

/* A random number from 0 up to, but not, 1: of 53 bits. */
static double draw_fraction(uint64_t *state)
{
    return (double)(draw(state) >> 11) * 0x1p-53;
}

/* A pause as it may be at most. */
static double limit_delay(const struct kn_backoff *backoff, double delay_ns)
{
    uint64_t max_delay_ns = backoff->options.max_delay_ns;
    double limit_ns = max_delay_ns > 0 && (double)max_delay_ns < DELAY_MAX_NS ? (double)max_delay_ns : DELAY_MAX_NS;
    return delay_ns < limit_ns ? delay_ns : limit_ns;
}

void kn_backoff_reset(struct kn_backoff *backoff)
{
    backoff->attempt = 0;
    backoff->delay_ns = limit_delay(backoff, (double)backoff->options.first_delay_ns);
}

void kn_backoff_init(struct kn_backoff *backoff, const struct kn_retry_options *options, void *context)
{
    backoff->options = options ? *options : (struct kn_retry_options){.attempts = 0};
    backoff->context = context;
    backoff->random = backoff->options.seed;
    if (!(backoff->options.factor > 0))
        backoff->options.factor = FACTOR_DEFAULT;
    if (!(backoff->options.jitter < 1))
        backoff->options.jitter = 1;
    kn_backoff_reset(backoff);
}

bool kn_backoff_next(struct kn_backoff *backoff, int64_t error, const struct kn_context *context, uint64_t *delay_ns)
{
    const struct kn_retry_options *options = &backoff->options;
    unsigned attempt = backoff->attempt;
    if (options->attempts > 0 && attempt + 1 >= options->attempts)
        return false;
    if (options->should_retry && !options->should_retry(error, attempt, backoff->context))
        return false;
    double left_out = options->jitter > 0 ? options->jitter * draw_fraction(&backoff->random) : 0;
    *delay_ns = (uint64_t)(backoff->delay_ns * (1 - left_out));
    if (*delay_ns >= kn_context_remaining_ns(context))
        return false;
    backoff->delay_ns = limit_delay(backoff, backoff->delay_ns * options->factor);
    if (attempt < UINT32_MAX)
        backoff->attempt++;
    return true;
}

/* ---- retry of futures ---- */

static void delay_clear(struct kn_future_delay *delay)
{
    (void)kn_future_delay_until(delay, KN_NEVER);
}

/* Waits until the pause is over. @return ready then, pending, or a failure. */
static struct kn_outcome poll_pause(struct kn_future_delay *delay, bool *pauses, struct kn_context *context)
{
    struct kn_outcome outcome = kn_future_poll(&delay->future, context);
    *pauses = outcome.status == KN_PENDING;
    return outcome;
}

static struct kn_outcome future_retry_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_future_retry *self = KN_CONTAINER_OF(future, struct kn_future_retry, future);
    struct kn_outcome outcome;
    uint64_t delay_ns;
    while (kn_context_may_continue(context)) {
        if (self->pauses) {
            outcome = poll_pause(&self->delay, &self->pauses, context);
            if (outcome.status != KN_READY)
                return outcome;
            self->inner = NULL;
        }
        if (!self->inner) {
            self->inner = self->make(self->backoff.attempt, self->context);
            if (!self->inner)
                return kn_failed(-ENOMEM);
        }
        outcome = kn_future_poll(self->inner, context);
        if (outcome.status >= 0 || !kn_backoff_next(&self->backoff, outcome.status, context, &delay_ns))
            return outcome;
        (void)kn_future_delay(&self->delay, delay_ns);
        self->pauses = true;
    }
    return kn_pending();
}

static void future_retry_drop(struct kn_future *future)
{
    struct kn_future_retry *self = KN_CONTAINER_OF(future, struct kn_future_retry, future);
    kn_future_drop(&self->delay.future);
    kn_future_drop(self->inner);
}

static void future_retry_discard(struct kn_future *future, kn_value_t value)
{
    kn_future_discard(KN_CONTAINER_OF(future, struct kn_future_retry, future)->inner, value);
}

static const struct kn_future_type future_retry_type = {
    .name = "retry", .poll = future_retry_poll, .drop = future_retry_drop, .discard = future_retry_discard};

struct kn_future *kn_future_retry(struct kn_future_retry *self, kn_retry_function *make, void *context,
                                  const struct kn_retry_options *options)
{
    if (!self)
        return NULL;
    self->future.type = &future_retry_type;
    self->make = make;
    self->context = context;
    self->inner = NULL;
    self->pauses = false;
    delay_clear(&self->delay);
    kn_backoff_init(&self->backoff, options, context);
    return &self->future;
}

/* ---- retry of streams ---- */

/* Makes the next attempt, if none is under way. The last one stays where items are given back through until there is
 * another. @return ready when one is under way, pending, or the failure of giving up. */
static struct kn_outcome begin_attempt(struct kn_stream_retry *self, struct kn_context *context)
{
    if (self->pauses) {
        struct kn_outcome outcome = poll_pause(&self->delay, &self->pauses, context);
        if (outcome.status != KN_READY)
            return outcome;
    }
    if (self->is_under_way)
        return kn_ready(KN_NOTHING);
    struct kn_stream *made = self->make(self->backoff.attempt, self->context);
    if (!made)
        return kn_failed(-ENOMEM);
    self->inner = made;
    self->is_under_way = true;
    return kn_ready(KN_NOTHING);
}

static struct kn_outcome stream_retry_next(struct kn_stream *stream, struct kn_context *context)
{
    struct kn_stream_retry *self = KN_CONTAINER_OF(stream, struct kn_stream_retry, stream);
    uint64_t delay_ns;
    if (self->has_given_up)
        return kn_ended();
    while (kn_context_may_continue(context)) {
        struct kn_outcome outcome = begin_attempt(self, context);
        if (outcome.status == KN_PENDING)
            return outcome;
        if (outcome.status != KN_READY) {
            self->has_given_up = true;
            return outcome;
        }
        outcome = kn_stream_poll(self->inner, context);
        if (outcome.status == KN_READY)
            kn_backoff_reset(&self->backoff);
        if (outcome.status >= 0)
            return outcome;
        kn_stream_drop(self->inner);
        self->is_under_way = false;
        if (!kn_backoff_next(&self->backoff, outcome.status, context, &delay_ns)) {
            self->has_given_up = true;
            return outcome;
        }
        (void)kn_future_delay(&self->delay, delay_ns);
        self->pauses = true;
    }
    return kn_pending();
}

static void stream_retry_drop(struct kn_stream *stream)
{
    struct kn_stream_retry *self = KN_CONTAINER_OF(stream, struct kn_stream_retry, stream);
    kn_future_drop(&self->delay.future);
    kn_stream_drop(self->inner);
}

static void stream_retry_discard(struct kn_stream *stream, kn_value_t value)
{
    kn_stream_discard(KN_CONTAINER_OF(stream, struct kn_stream_retry, stream)->inner, value);
}

static const struct kn_stream_type stream_retry_type = {
    .name = "retry", .next = stream_retry_next, .drop = stream_retry_drop, .discard = stream_retry_discard};

struct kn_stream *kn_stream_retry(struct kn_stream_retry *self, kn_stream_retry_function *make, void *context,
                                  const struct kn_retry_options *options)
{
    if (!self)
        return NULL;
    self->stream.type = &stream_retry_type;
    self->make = make;
    self->context = context;
    self->inner = NULL;
    self->is_under_way = self->pauses = self->has_given_up = false;
    delay_clear(&self->delay);
    kn_backoff_init(&self->backoff, options, context);
    return &self->stream;
}
