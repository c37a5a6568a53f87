/*
 * One stream of several. See stream_combine.h.
 */
#include <kernel/executor.h>
#include <kernel/stream_combine.h>

/* ---- chain ---- */

static struct kn_outcome chain_next(struct kn_stream *stream, struct kn_context *context)
{
    struct kn_stream_chain *self = KN_CONTAINER_OF(stream, struct kn_stream_chain, stream);
    if (!self->is_second) {
        struct kn_outcome outcome = kn_stream_poll(self->first, context);
        if (outcome.status != KN_END)
            return outcome;
        self->is_second = true;
    }
    return kn_stream_poll(self->second, context);
}

static void chain_drop(struct kn_stream *stream)
{
    struct kn_stream_chain *self = KN_CONTAINER_OF(stream, struct kn_stream_chain, stream);
    kn_stream_drop(self->first);
    kn_stream_drop(self->second);
}

static void chain_discard(struct kn_stream *stream, kn_value_t value)
{
    struct kn_stream_chain *self = KN_CONTAINER_OF(stream, struct kn_stream_chain, stream);
    kn_stream_discard(self->is_second ? self->second : self->first, value);
}

static const struct kn_stream_type chain_type = {
    .name = "chain", .next = chain_next, .drop = chain_drop, .discard = chain_discard};

struct kn_stream *kn_stream_chain(struct kn_stream_chain *self, struct kn_stream *first, struct kn_stream *second)
{
    if (!self || !first || !second) {
        kn_stream_drop(first);
        kn_stream_drop(second);
        return NULL;
    }
    *self = (struct kn_stream_chain){.stream.type = &chain_type, .first = first, .second = second};
    return &self->stream;
}

/* ---- zip ---- */

static void zip_drop(struct kn_stream *stream)
{
    struct kn_stream_zip *self = KN_CONTAINER_OF(stream, struct kn_stream_zip, stream);
    if (self->has_first)
        kn_stream_discard(self->inputs[0], self->pair.first);
    if (self->has_second)
        kn_stream_discard(self->inputs[1], self->pair.second);
    self->has_first = self->has_second = false;
    kn_stream_drop(self->inputs[0]);
    kn_stream_drop(self->inputs[1]);
}

/* Gets one half of a pair, unless it is there. @return ready or pending, or the answer instead. */
static struct kn_outcome zip_half(struct kn_stream *input, kn_value_t *half, bool *has_half, struct kn_context *context)
{
    if (*has_half)
        return kn_ready(KN_NOTHING);
    struct kn_outcome outcome = kn_stream_poll(input, context);
    if (outcome.status == KN_READY) {
        *half = outcome.value;
        *has_half = true;
    }
    return outcome;
}

static struct kn_outcome zip_next(struct kn_stream *stream, struct kn_context *context)
{
    struct kn_stream_zip *self = KN_CONTAINER_OF(stream, struct kn_stream_zip, stream);
    struct kn_outcome outcome = zip_half(self->inputs[0], &self->pair.first, &self->has_first, context);
    if (outcome.status == KN_READY || outcome.status == KN_PENDING)
        outcome = zip_half(self->inputs[1], &self->pair.second, &self->has_second, context);
    if (outcome.status == KN_END)
        zip_drop(stream);
    if (outcome.status != KN_READY || !self->has_first)
        return outcome.status == KN_READY ? kn_pending() : outcome;
    self->has_first = self->has_second = false;
    return kn_ready(KN_VALUE(&self->pair));
}

static void zip_discard(struct kn_stream *stream, kn_value_t value)
{
    struct kn_stream_zip *self = KN_CONTAINER_OF(stream, struct kn_stream_zip, stream);
    const struct kn_stream_pair *pair = value.pointer;
    kn_stream_discard(self->inputs[0], pair->first);
    kn_stream_discard(self->inputs[1], pair->second);
}

static const struct kn_stream_type zip_type = {
    .name = "zip", .next = zip_next, .drop = zip_drop, .discard = zip_discard};

struct kn_stream *kn_stream_zip(struct kn_stream_zip *self, struct kn_stream *first, struct kn_stream *second)
{
    if (!self || !first || !second) {
        kn_stream_drop(first);
        kn_stream_drop(second);
        return NULL;
    }
    *self = (struct kn_stream_zip){.stream.type = &zip_type, .inputs = {first, second}};
    return &self->stream;
}

/* ---- select, select_with_strategy ---- */

static struct kn_outcome sides_next(struct kn_stream_sides *sides, enum kn_stream_side first,
                                    struct kn_context *context)
{
    for (unsigned i = 0; i < 2; i++) {
        enum kn_stream_side side = first ^ i;
        if (sides->has_ended[side])
            continue;
        struct kn_outcome outcome = kn_stream_poll(sides->inputs[side], context);
        if (outcome.status == KN_END) {
            sides->has_ended[side] = true;
        } else if (outcome.status != KN_PENDING) {
            sides->last = side;
            return outcome;
        }
    }
    return sides->has_ended[KN_STREAM_LEFT] && sides->has_ended[KN_STREAM_RIGHT] ? kn_ended() : kn_pending();
}

static void sides_drop(struct kn_stream_sides *sides)
{
    kn_stream_drop(sides->inputs[KN_STREAM_LEFT]);
    kn_stream_drop(sides->inputs[KN_STREAM_RIGHT]);
}

static struct kn_outcome select_next(struct kn_stream *stream, struct kn_context *context)
{
    struct kn_stream_sides *sides = &KN_CONTAINER_OF(stream, struct kn_stream_select, stream)->sides;
    return sides_next(sides, sides->last ^ 1u, context);
}

static void select_drop(struct kn_stream *stream)
{
    sides_drop(&KN_CONTAINER_OF(stream, struct kn_stream_select, stream)->sides);
}

static void select_discard(struct kn_stream *stream, kn_value_t value)
{
    struct kn_stream_sides *sides = &KN_CONTAINER_OF(stream, struct kn_stream_select, stream)->sides;
    kn_stream_discard(sides->inputs[sides->last], value);
}

static const struct kn_stream_type select_type = {
    .name = "select", .next = select_next, .drop = select_drop, .discard = select_discard};

struct kn_stream *kn_stream_select(struct kn_stream_select *self, struct kn_stream *left, struct kn_stream *right)
{
    if (!self || !left || !right) {
        kn_stream_drop(left);
        kn_stream_drop(right);
        return NULL;
    }
    *self = (struct kn_stream_select){.stream.type = &select_type,
                                      .sides = {.inputs = {left, right}, .last = KN_STREAM_RIGHT}};
    return &self->stream;
}

static struct kn_outcome strategy_next(struct kn_stream *stream, struct kn_context *context)
{
    struct kn_stream_select_with_strategy *self =
        KN_CONTAINER_OF(stream, struct kn_stream_select_with_strategy, stream);
    return sides_next(&self->sides, self->strategy ? self->strategy(self->context) : KN_STREAM_LEFT, context);
}

static void strategy_drop(struct kn_stream *stream)
{
    sides_drop(&KN_CONTAINER_OF(stream, struct kn_stream_select_with_strategy, stream)->sides);
}

static void strategy_discard(struct kn_stream *stream, kn_value_t value)
{
    struct kn_stream_sides *sides = &KN_CONTAINER_OF(stream, struct kn_stream_select_with_strategy, stream)->sides;
    kn_stream_discard(sides->inputs[sides->last], value);
}

static const struct kn_stream_type strategy_type = {
    .name = "select_with_strategy", .next = strategy_next, .drop = strategy_drop, .discard = strategy_discard};

struct kn_stream *kn_stream_select_with_strategy(struct kn_stream_select_with_strategy *self, struct kn_stream *left,
                                                 struct kn_stream *right, kn_stream_strategy_function *strategy,
                                                 void *context)
{
    if (!self || !left || !right) {
        kn_stream_drop(left);
        kn_stream_drop(right);
        return NULL;
    }
    *self = (struct kn_stream_select_with_strategy){
        .stream.type = &strategy_type, .sides.inputs = {left, right}, .strategy = strategy, .context = context};
    return &self->stream;
}

/* ---- select_all ---- */

/*
 * Polls each stream of an array once, from `next` on, and leaves NULL where one has ended.
 * @param open counts down for each of those. @return pending when no stream has answered.
 */
static struct kn_outcome poll_round(struct kn_stream **inputs, size_t count, size_t *open, size_t *next,
                                    struct kn_stream **last, struct kn_context *context)
{
    size_t index = *next;
    for (size_t i = 0; i < count; i++, index++) {
        if (index >= count)
            index = 0;
        struct kn_stream *input = inputs[index];
        if (!input)
            continue;
        struct kn_outcome outcome = kn_stream_poll(input, context);
        if (outcome.status == KN_END) {
            inputs[index] = NULL;
            --*open;
        } else if (outcome.status != KN_PENDING) {
            *next = index + 1;
            *last = input;
            return outcome;
        }
    }
    return kn_pending();
}

static void drop_array(struct kn_stream *const *inputs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        kn_stream_drop(inputs[i]);
}

static struct kn_outcome select_all_next(struct kn_stream *stream, struct kn_context *context)
{
    struct kn_stream_select_all *self = KN_CONTAINER_OF(stream, struct kn_stream_select_all, stream);
    struct kn_outcome outcome = poll_round(self->inputs, self->count, &self->open, &self->next, &self->last, context);
    return outcome.status == KN_PENDING && self->open == 0 ? kn_ended() : outcome;
}

static void select_all_drop(struct kn_stream *stream)
{
    struct kn_stream_select_all *self = KN_CONTAINER_OF(stream, struct kn_stream_select_all, stream);
    drop_array(self->inputs, self->count);
}

static void select_all_discard(struct kn_stream *stream, kn_value_t value)
{
    kn_stream_discard(KN_CONTAINER_OF(stream, struct kn_stream_select_all, stream)->last, value);
}

static const struct kn_stream_type select_all_type = {
    .name = "select_all", .next = select_all_next, .drop = select_all_drop, .discard = select_all_discard};

struct kn_stream *kn_stream_select_all(struct kn_stream_select_all *self, struct kn_stream **inputs, size_t count)
{
    if (!inputs && count > 0)
        return NULL;
    bool has_null = !self;
    for (size_t i = 0; i < count; i++)
        has_null |= !inputs[i];
    if (has_null) {
        drop_array(inputs, count);
        return NULL;
    }
    *self =
        (struct kn_stream_select_all){.stream.type = &select_all_type, .inputs = inputs, .count = count, .open = count};
    return &self->stream;
}

/* ---- flatten, flat_map ---- */

static struct kn_outcome flatten_next(struct kn_stream *stream, struct kn_context *context)
{
    struct kn_stream_flatten *self = KN_CONTAINER_OF(stream, struct kn_stream_flatten, stream);
    do {
        struct kn_outcome outcome;
        if (self->is_open) {
            outcome = kn_stream_poll(self->inner, context);
            if (outcome.status != KN_END)
                return outcome;
            self->is_open = false;
        }
        outcome = kn_stream_poll(self->outer, context);
        if (outcome.status != KN_READY)
            return outcome;
        struct kn_stream *inner = self->function ? self->function(outcome.value, self->context) : outcome.value.pointer;
        if (!inner)
            return kn_failed(-ENOMEM);
        self->inner = inner;
        self->is_open = true;
    } while (kn_context_may_continue(context));
    return kn_pending();
}

static void flatten_drop(struct kn_stream *stream)
{
    struct kn_stream_flatten *self = KN_CONTAINER_OF(stream, struct kn_stream_flatten, stream);
    if (self->is_open)
        kn_stream_drop(self->inner);
    self->is_open = false;
    kn_stream_drop(self->outer);
}

static void flatten_discard(struct kn_stream *stream, kn_value_t value)
{
    kn_stream_discard(KN_CONTAINER_OF(stream, struct kn_stream_flatten, stream)->inner, value);
}

static const struct kn_stream_type flatten_type = {
    .name = "flatten", .next = flatten_next, .drop = flatten_drop, .discard = flatten_discard};

struct kn_stream *kn_stream_flatten(struct kn_stream_flatten *self, struct kn_stream *outer)
{
    if (!self || !outer) {
        kn_stream_drop(outer);
        return NULL;
    }
    *self = (struct kn_stream_flatten){.stream.type = &flatten_type, .outer = outer};
    return &self->stream;
}

struct kn_stream *kn_stream_flat_map(struct kn_stream_flat_map *self, struct kn_stream *outer,
                                     kn_stream_flat_map_function *function, void *context)
{
    if (!self || !outer) {
        kn_stream_drop(outer);
        return NULL;
    }
    self->flatten = (struct kn_stream_flatten){
        .stream.type = &flatten_type, .outer = outer, .function = function, .context = context};
    return &self->flatten.stream;
}

/* ---- flatten_unordered ---- */

/* Puts streams into the free slots, as far as there are any. @return ready when all slots are used, or the answer of
 * `outer`. */
static struct kn_outcome fill_slots(struct kn_stream_flatten_unordered *self, struct kn_context *context)
{
    if (self->has_ended)
        return kn_ended();
    for (size_t i = 0; i < self->count; i++) {
        if (self->slots[i])
            continue;
        struct kn_outcome outcome = kn_stream_poll(self->outer, context);
        self->has_ended = outcome.status == KN_END;
        if (outcome.status != KN_READY)
            return outcome;
        if (!outcome.value.pointer)
            return kn_failed(-ENOMEM);
        self->slots[i] = outcome.value.pointer;
        self->used++;
    }
    return kn_ready(KN_NOTHING);
}

static struct kn_outcome flatten_unordered_next(struct kn_stream *stream, struct kn_context *context)
{
    struct kn_stream_flatten_unordered *self = KN_CONTAINER_OF(stream, struct kn_stream_flatten_unordered, stream);
    do {
        struct kn_outcome filled = fill_slots(self, context);
        if (filled.status < 0)
            return filled;
        struct kn_outcome outcome =
            poll_round(self->slots, self->count, &self->used, &self->next, &self->last, context);
        if (outcome.status != KN_PENDING)
            return outcome;
        if (self->has_ended && self->used == 0)
            return kn_ended();
        /* Slots that have become free are for who was not asked, as there was none. */
        if (filled.status != KN_READY || self->used == self->count)
            return kn_pending();
    } while (kn_context_may_continue(context));
    return kn_pending();
}

static void flatten_unordered_drop(struct kn_stream *stream)
{
    struct kn_stream_flatten_unordered *self = KN_CONTAINER_OF(stream, struct kn_stream_flatten_unordered, stream);
    for (size_t i = 0; i < self->count; i++) {
        kn_stream_drop(self->slots[i]);
        self->slots[i] = NULL;
    }
    kn_stream_drop(self->outer);
}

static void flatten_unordered_discard(struct kn_stream *stream, kn_value_t value)
{
    kn_stream_discard(KN_CONTAINER_OF(stream, struct kn_stream_flatten_unordered, stream)->last, value);
}

static const struct kn_stream_type flatten_unordered_type = {.name = "flatten_unordered",
                                                             .next = flatten_unordered_next,
                                                             .drop = flatten_unordered_drop,
                                                             .discard = flatten_unordered_discard};

struct kn_stream *kn_stream_flatten_unordered(struct kn_stream_flatten_unordered *self, struct kn_stream *outer,
                                              struct kn_stream **slots, size_t count)
{
    if (!self || !outer || !slots || count == 0) {
        kn_stream_drop(outer);
        return NULL;
    }
    for (size_t i = 0; i < count; i++)
        slots[i] = NULL;
    *self = (struct kn_stream_flatten_unordered){
        .stream.type = &flatten_unordered_type, .outer = outer, .slots = slots, .count = count};
    return &self->stream;
}
