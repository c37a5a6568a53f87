/*
 * The ends of streams. See stream_fold.h.
 */
#include <string.h>

#include <kernel/assert.h>
#include <kernel/executor.h>
#include <kernel/stream_fold.h>

/* What becomes of an item: pending to go on with the next one, or the answer. */
typedef struct kn_outcome take_function(void *self, kn_value_t item);

/* Takes items until one decides, the stream fails or ends, or has nothing now. Nothing but the last leaves the stream
 * with anything. */
KN_INLINE struct kn_outcome consume(struct kn_stream *stream, struct kn_context *context, take_function *take,
                                    void *self)
{
    while (kn_context_may_continue(context)) {
        struct kn_outcome outcome = kn_stream_poll(stream, context);
        if (outcome.status == KN_PENDING)
            return outcome;
        if (outcome.status == KN_READY) {
            outcome = take(self, outcome.value);
            if (outcome.status == KN_PENDING)
                continue;
        }
        kn_stream_drop(stream);
        return outcome;
    }
    return kn_pending();
}

int kn_compare_integers(kn_value_t left, kn_value_t right, void *context)
{
    (void)context;
    return (left.integer > right.integer) - (left.integer < right.integer);
}

int kn_compare_reals(kn_value_t left, kn_value_t right, void *context)
{
    (void)context;
    return (left.real > right.real) - (left.real < right.real);
}

/* ---- accumulators ---- */

static void accumulator_put(struct kn_stream_accumulator *accumulator, kn_value_t value)
{
    accumulator->value = value;
    accumulator->is_held = true;
}

static kn_value_t accumulator_take(struct kn_stream_accumulator *accumulator)
{
    accumulator->is_held = false;
    return accumulator->value;
}

static void accumulator_discard(const struct kn_stream_accumulator *accumulator, kn_value_t value)
{
    if (accumulator->release)
        accumulator->release(value, accumulator->context);
}

static void accumulator_drop(struct kn_stream_accumulator *accumulator)
{
    if (accumulator->is_held)
        accumulator_discard(accumulator, accumulator_take(accumulator));
}

/* The answer when `outcome` is what the stream or the function has come to. */
static struct kn_outcome accumulator_answer(struct kn_stream_accumulator *accumulator, struct kn_outcome outcome)
{
    if (outcome.status == KN_END)
        return kn_ready(accumulator_take(accumulator));
    if (outcome.status != KN_PENDING)
        accumulator_drop(accumulator);
    return outcome;
}

/* Begins a fold of memory that may be NULL; gives back what it was to be made of otherwise. */
static struct kn_future *begin_fold(struct kn_stream_accumulator *self, const struct kn_future_type *type,
                                    struct kn_stream *stream, kn_value_t initial, kn_discard_function *release,
                                    void *context)
{
    if (!self || !stream) {
        kn_stream_drop(stream);
        if (release)
            release(initial, context);
        return NULL;
    }
    *self = (struct kn_stream_accumulator){.future.type = type,
                                           .stream = stream,
                                           .value = initial,
                                           .release = release,
                                           .context = context,
                                           .is_held = true};
    return &self->future;
}

static void fold_drop(struct kn_future *future)
{
    struct kn_stream_accumulator *self = KN_CONTAINER_OF(future, struct kn_stream_accumulator, future);
    kn_stream_drop(self->stream);
    accumulator_drop(self);
}

static void fold_discard(struct kn_future *future, kn_value_t value)
{
    accumulator_discard(KN_CONTAINER_OF(future, struct kn_stream_accumulator, future), value);
}

/* ---- fold ---- */

static struct kn_outcome fold_take(void *memory, kn_value_t item)
{
    struct kn_stream_fold *self = memory;
    struct kn_stream_accumulator *accumulator = &self->accumulator;
    accumulator->value = self->function(accumulator->value, item, accumulator->context);
    return kn_pending();
}

static struct kn_outcome fold_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_stream_fold *self = KN_CONTAINER_OF(future, struct kn_stream_fold, accumulator.future);
    return accumulator_answer(&self->accumulator, consume(self->accumulator.stream, context, fold_take, self));
}

static const struct kn_future_type fold_type = {
    .name = "fold", .poll = fold_poll, .drop = fold_drop, .discard = fold_discard};

struct kn_future *kn_stream_fold(struct kn_stream_fold *self, struct kn_stream *stream, kn_value_t initial,
                                 kn_fold_function *function, kn_discard_function *release, void *context)
{
    if (self)
        self->function = function;
    return begin_fold(self ? &self->accumulator : NULL, &fold_type, stream, initial, release, context);
}

/* ---- try_fold ---- */

static struct kn_outcome try_fold_take(void *memory, kn_value_t item)
{
    struct kn_stream_try_fold *self = memory;
    struct kn_stream_accumulator *accumulator = &self->accumulator;
    struct kn_outcome outcome = self->function(accumulator_take(accumulator), item, accumulator->context);
    kn_assert(outcome.status != KN_PENDING);
    if (outcome.status == KN_END)
        return kn_ready(outcome.value);
    if (outcome.status != KN_READY)
        return outcome;
    accumulator_put(accumulator, outcome.value);
    return kn_pending();
}

static struct kn_outcome try_fold_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_stream_try_fold *self = KN_CONTAINER_OF(future, struct kn_stream_try_fold, accumulator.future);
    return accumulator_answer(&self->accumulator, consume(self->accumulator.stream, context, try_fold_take, self));
}

static const struct kn_future_type try_fold_type = {
    .name = "try_fold", .poll = try_fold_poll, .drop = fold_drop, .discard = fold_discard};

struct kn_future *kn_stream_try_fold(struct kn_stream_try_fold *self, struct kn_stream *stream, kn_value_t initial,
                                     kn_try_fold_function *function, kn_discard_function *release, void *context)
{
    if (self)
        self->function = function;
    return begin_fold(self ? &self->accumulator : NULL, &try_fold_type, stream, initial, release, context);
}

/* ---- fold_future ---- */

static struct kn_outcome fold_future_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_stream_fold_future *self = KN_CONTAINER_OF(future, struct kn_stream_fold_future, accumulator.future);
    struct kn_stream_accumulator *accumulator = &self->accumulator;
    struct kn_outcome outcome;
    for (;;) {
        if (self->inner) {
            outcome = kn_future_poll(self->inner, context);
            if (outcome.status == KN_PENDING)
                return outcome;
            self->inner = NULL;
            if (outcome.status != KN_READY) {
                kn_stream_drop(accumulator->stream);
                return outcome;
            }
            accumulator_put(accumulator, outcome.value);
        }
        if (!kn_context_may_continue(context))
            return kn_pending();
        outcome = kn_stream_poll(accumulator->stream, context);
        if (outcome.status == KN_PENDING)
            return outcome;
        if (outcome.status != KN_READY)
            break;
        self->inner = self->function(accumulator_take(accumulator), outcome.value, accumulator->context);
        if (!self->inner) {
            kn_stream_drop(accumulator->stream);
            return kn_failed(-ENOMEM);
        }
    }
    kn_stream_drop(accumulator->stream);
    return accumulator_answer(accumulator, outcome);
}

static void fold_future_drop(struct kn_future *future)
{
    struct kn_stream_fold_future *self = KN_CONTAINER_OF(future, struct kn_stream_fold_future, accumulator.future);
    kn_future_drop(self->inner);
    fold_drop(future);
}

static const struct kn_future_type fold_future_type = {
    .name = "fold_future", .poll = fold_future_poll, .drop = fold_future_drop, .discard = fold_discard};

struct kn_future *kn_stream_fold_future(struct kn_stream_fold_future *self, struct kn_stream *stream,
                                        kn_value_t initial, kn_fold_future_function *function,
                                        kn_discard_function *release, void *context)
{
    if (self) {
        self->inner = NULL;
        self->function = function;
    }
    return begin_fold(self ? &self->accumulator : NULL, &fold_future_type, stream, initial, release, context);
}

/* ---- all others ---- */

/* Whether there is memory for one; drops its stream otherwise. */
static bool has_memory(const void *self, struct kn_stream *stream)
{
    if (!self)
        kn_stream_drop(stream);
    return self;
}

static struct kn_future *consumer_make(struct kn_stream_consumer *consumer, const struct kn_future_type *type,
                                       struct kn_stream *stream)
{
    consumer->future.type = type;
    consumer->stream = stream;
    return stream ? &consumer->future : NULL;
}

static void consumer_drop(struct kn_future *future)
{
    kn_stream_drop(KN_CONTAINER_OF(future, struct kn_stream_consumer, future)->stream);
}

/* What the stream has come to, with the answer that its end stands for. */
static struct kn_outcome end_is(struct kn_outcome outcome, kn_value_t value)
{
    return outcome.status == KN_END ? kn_ready(value) : outcome;
}

/* ---- for_each ---- */

static struct kn_outcome for_each_take(void *memory, kn_value_t item)
{
    struct kn_stream_for_each *self = memory;
    self->function(item, self->context);
    return kn_pending();
}

static struct kn_outcome for_each_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_stream_for_each *self = KN_CONTAINER_OF(future, struct kn_stream_for_each, consumer.future);
    return end_is(consume(self->consumer.stream, context, for_each_take, self), KN_NOTHING);
}

static const struct kn_future_type for_each_type = {.name = "for_each", .poll = for_each_poll, .drop = consumer_drop};

struct kn_future *kn_stream_for_each(struct kn_stream_for_each *self, struct kn_stream *stream,
                                     kn_each_function *function, void *context)
{
    if (!has_memory(self, stream))
        return NULL;
    self->function = function;
    self->context = context;
    return consumer_make(&self->consumer, &for_each_type, stream);
}

/* ---- try_for_each ---- */

static struct kn_outcome try_for_each_take(void *memory, kn_value_t item)
{
    struct kn_stream_try_for_each *self = memory;
    int64_t status = self->function(item, self->context);
    kn_assert(status != KN_PENDING);
    if (status == KN_READY)
        return kn_pending();
    return status == KN_END ? kn_ready(KN_NOTHING) : kn_failed(status);
}

static struct kn_outcome try_for_each_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_stream_try_for_each *self = KN_CONTAINER_OF(future, struct kn_stream_try_for_each, consumer.future);
    return end_is(consume(self->consumer.stream, context, try_for_each_take, self), KN_NOTHING);
}

static const struct kn_future_type try_for_each_type = {
    .name = "try_for_each", .poll = try_for_each_poll, .drop = consumer_drop};

struct kn_future *kn_stream_try_for_each(struct kn_stream_try_for_each *self, struct kn_stream *stream,
                                         kn_try_each_function *function, void *context)
{
    if (!has_memory(self, stream))
        return NULL;
    self->function = function;
    self->context = context;
    return consumer_make(&self->consumer, &try_for_each_type, stream);
}

/* ---- for_each_future ---- */

static struct kn_outcome for_each_future_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_stream_for_each_future *self = KN_CONTAINER_OF(future, struct kn_stream_for_each_future, consumer.future);
    struct kn_outcome outcome;
    for (;;) {
        if (self->inner) {
            outcome = kn_future_poll(self->inner, context);
            if (outcome.status == KN_PENDING)
                return outcome;
            kn_future_discard_outcome(self->inner, outcome);
            self->inner = NULL;
            if (outcome.status != KN_READY) {
                kn_stream_drop(self->consumer.stream);
                return outcome;
            }
        }
        if (!kn_context_may_continue(context))
            return kn_pending();
        outcome = kn_stream_poll(self->consumer.stream, context);
        if (outcome.status == KN_PENDING)
            return outcome;
        if (outcome.status != KN_READY)
            break;
        self->inner = self->function(outcome.value, self->context);
        if (!self->inner) {
            outcome = kn_failed(-ENOMEM);
            break;
        }
    }
    kn_stream_drop(self->consumer.stream);
    return end_is(outcome, KN_NOTHING);
}

static void for_each_future_drop(struct kn_future *future)
{
    struct kn_stream_for_each_future *self = KN_CONTAINER_OF(future, struct kn_stream_for_each_future, consumer.future);
    kn_future_drop(self->inner);
    kn_stream_drop(self->consumer.stream);
}

static const struct kn_future_type for_each_future_type = {
    .name = "for_each_future", .poll = for_each_future_poll, .drop = for_each_future_drop};

struct kn_future *kn_stream_for_each_future(struct kn_stream_for_each_future *self, struct kn_stream *stream,
                                            kn_next_function *function, void *context)
{
    if (!has_memory(self, stream))
        return NULL;
    self->inner = NULL;
    self->function = function;
    self->context = context;
    return consumer_make(&self->consumer, &for_each_future_type, stream);
}

/* ---- collect ---- */

static struct kn_outcome collect_take(void *memory, kn_value_t item)
{
    struct kn_stream_collect *self = memory;
    if (self->count == self->capacity) {
        kn_stream_discard(self->consumer.stream, item);
        return kn_failed(-ENOBUFS);
    }
    self->values[self->count++] = item;
    return kn_pending();
}

static void collect_discard(struct kn_future *future, kn_value_t value)
{
    struct kn_stream_collect *self = KN_CONTAINER_OF(future, struct kn_stream_collect, consumer.future);
    for (size_t i = 0; i < value.natural; i++)
        kn_stream_discard(self->consumer.stream, self->values[i]);
}

/* Holds nothing any more. @return how much that was. */
static kn_value_t collect_release(struct kn_stream_collect *self)
{
    kn_value_t count = KN_VALUE(self->count);
    self->count = 0;
    return count;
}

static struct kn_outcome collect_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_stream_collect *self = KN_CONTAINER_OF(future, struct kn_stream_collect, consumer.future);
    struct kn_outcome outcome = consume(self->consumer.stream, context, collect_take, self);
    if (outcome.status == KN_END)
        return kn_ready(collect_release(self));
    if (outcome.status != KN_PENDING)
        collect_discard(future, collect_release(self));
    return outcome;
}

static void collect_drop(struct kn_future *future)
{
    struct kn_stream_collect *self = KN_CONTAINER_OF(future, struct kn_stream_collect, consumer.future);
    kn_stream_drop(self->consumer.stream);
    collect_discard(future, collect_release(self));
}

static const struct kn_future_type collect_type = {
    .name = "collect", .poll = collect_poll, .drop = collect_drop, .discard = collect_discard};

struct kn_future *kn_stream_collect(struct kn_stream_collect *self, struct kn_stream *stream, kn_value_t *values,
                                    size_t capacity)
{
    if (!has_memory(capacity == 0 || values ? self : NULL, stream))
        return NULL;
    self->values = values;
    self->capacity = capacity;
    self->count = 0;
    return consumer_make(&self->consumer, &collect_type, stream);
}

/* ---- concat ---- */

static struct kn_outcome concat_take(void *memory, kn_value_t item)
{
    struct kn_stream_concat *self = memory;
    const struct kn_stream_span *span = item.pointer;
    bool fits = span->length <= self->capacity_bytes - self->length;
    if (fits && span->length > 0) {
        memcpy(self->buffer + self->length, span->bytes, span->length);
        self->length += span->length;
    }
    kn_stream_discard(self->consumer.stream, item);
    return fits ? kn_pending() : kn_failed(-ENOBUFS);
}

static struct kn_outcome concat_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_stream_concat *self = KN_CONTAINER_OF(future, struct kn_stream_concat, consumer.future);
    struct kn_outcome outcome = consume(self->consumer.stream, context, concat_take, self);
    return end_is(outcome, KN_VALUE(self->length));
}

static const struct kn_future_type concat_type = {.name = "concat", .poll = concat_poll, .drop = consumer_drop};

struct kn_future *kn_stream_concat(struct kn_stream_concat *self, struct kn_stream *stream, uint8_t *buffer,
                                   size_t capacity_bytes)
{
    if (!has_memory(capacity_bytes == 0 || buffer ? self : NULL, stream))
        return NULL;
    self->buffer = buffer;
    self->capacity_bytes = capacity_bytes;
    self->length = 0;
    return consumer_make(&self->consumer, &concat_type, stream);
}

/* ---- count ---- */

static struct kn_outcome count_take(void *memory, kn_value_t item)
{
    struct kn_stream_count *self = memory;
    kn_stream_discard(self->consumer.stream, item);
    self->count++;
    return kn_pending();
}

static struct kn_outcome count_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_stream_count *self = KN_CONTAINER_OF(future, struct kn_stream_count, consumer.future);
    struct kn_outcome outcome = consume(self->consumer.stream, context, count_take, self);
    return end_is(outcome, KN_VALUE(self->count));
}

static const struct kn_future_type count_type = {.name = "count", .poll = count_poll, .drop = consumer_drop};

struct kn_future *kn_stream_count(struct kn_stream_count *self, struct kn_stream *stream)
{
    if (!has_memory(self, stream))
        return NULL;
    self->count = 0;
    return consumer_make(&self->consumer, &count_type, stream);
}

/* ---- any, all ---- */

static struct kn_outcome search_take(void *memory, kn_value_t item)
{
    struct kn_stream_search *self = memory;
    bool answer = self->function(item, self->context);
    kn_stream_discard(self->consumer.stream, item);
    return answer == self->decides ? kn_ready(KN_VALUE(answer)) : kn_pending();
}

static struct kn_outcome search_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_stream_search *self = KN_CONTAINER_OF(future, struct kn_stream_search, consumer.future);
    struct kn_outcome outcome = consume(self->consumer.stream, context, search_take, self);
    return end_is(outcome, KN_VALUE((bool)!self->decides));
}

static const struct kn_future_type any_type = {.name = "any", .poll = search_poll, .drop = consumer_drop};
static const struct kn_future_type all_type = {.name = "all", .poll = search_poll, .drop = consumer_drop};

static struct kn_future *search_make(struct kn_stream_search *self, struct kn_stream *stream,
                                     kn_predicate_function *function, void *context, bool decides)
{
    self->function = function;
    self->context = context;
    self->decides = decides;
    return consumer_make(&self->consumer, decides ? &any_type : &all_type, stream);
}

struct kn_future *kn_stream_any(struct kn_stream_any *self, struct kn_stream *stream, kn_predicate_function *function,
                                void *context)
{
    return has_memory(self, stream) ? search_make(&self->search, stream, function, context, true) : NULL;
}

struct kn_future *kn_stream_all(struct kn_stream_all *self, struct kn_stream *stream, kn_predicate_function *function,
                                void *context)
{
    return has_memory(self, stream) ? search_make(&self->search, stream, function, context, false) : NULL;
}

/* ---- last, min_by, max_by ---- */

/* Whether an item takes the place of the one that is kept. */
static bool is_better(const struct kn_stream_best *self, kn_value_t item)
{
    if (!self->compare)
        return true;
    int order = self->compare(item, self->kept, self->context);
    return self->is_minimum ? order < 0 : order >= 0;
}

static struct kn_outcome best_take(void *memory, kn_value_t item)
{
    struct kn_stream_best *self = memory;
    struct kn_stream *stream = self->consumer.stream;
    if (self->is_held && !is_better(self, item)) {
        kn_stream_discard(stream, item);
        return kn_pending();
    }
    if (self->is_held)
        kn_stream_discard(stream, self->kept);
    self->is_held = true;
    self->kept = item;
    return kn_pending();
}

static void best_drop(struct kn_future *future)
{
    struct kn_stream_best *self = KN_CONTAINER_OF(future, struct kn_stream_best, consumer.future);
    kn_stream_drop(self->consumer.stream);
    if (self->is_held) {
        self->is_held = false;
        kn_stream_discard(self->consumer.stream, self->kept);
    }
}

static struct kn_outcome best_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_stream_best *self = KN_CONTAINER_OF(future, struct kn_stream_best, consumer.future);
    struct kn_outcome outcome = consume(self->consumer.stream, context, best_take, self);
    if (outcome.status == KN_END && self->is_held) {
        self->is_held = false;
        return kn_ready(self->kept);
    }
    if (outcome.status != KN_PENDING)
        best_drop(future);
    return outcome;
}

static void best_discard(struct kn_future *future, kn_value_t value)
{
    kn_stream_discard(KN_CONTAINER_OF(future, struct kn_stream_best, consumer.future)->consumer.stream, value);
}

static const struct kn_future_type best_type = {
    .name = "best", .poll = best_poll, .drop = best_drop, .discard = best_discard};

static struct kn_future *best_make(struct kn_stream_best *self, struct kn_stream *stream, kn_compare_function *compare,
                                   void *context, bool is_minimum)
{
    self->compare = compare;
    self->context = context;
    self->is_minimum = is_minimum;
    self->is_held = false;
    return consumer_make(&self->consumer, &best_type, stream);
}

struct kn_future *kn_stream_last(struct kn_stream_last *self, struct kn_stream *stream)
{
    return has_memory(self, stream) ? best_make(&self->best, stream, NULL, NULL, false) : NULL;
}

struct kn_future *kn_stream_min_by(struct kn_stream_min_by *self, struct kn_stream *stream,
                                   kn_compare_function *compare, void *context)
{
    return has_memory(self, stream) ? best_make(&self->best, stream, compare, context, true) : NULL;
}

struct kn_future *kn_stream_max_by(struct kn_stream_max_by *self, struct kn_stream *stream,
                                   kn_compare_function *compare, void *context)
{
    return has_memory(self, stream) ? best_make(&self->best, stream, compare, context, false) : NULL;
}
