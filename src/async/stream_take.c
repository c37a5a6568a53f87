/*
 * Streams with another beginning or end. See stream_take.h.
 */
#include <kernel/executor.h>
#include <kernel/stream_take.h>

/* Ends a stream whose inner one has not ended. */
static struct kn_outcome end_early(struct kn_stream *inner)
{
    kn_stream_drop(inner);
    return kn_ended();
}

/* ---- take ---- */

static struct kn_outcome take_next(struct kn_stream *stream, struct kn_context *context)
{
    struct kn_stream_take *self = KN_CONTAINER_OF(stream, struct kn_stream_take, stream);
    if (self->remaining == 0)
        return end_early(self->inner);
    struct kn_outcome outcome = kn_stream_poll(self->inner, context);
    if (outcome.status == KN_READY)
        self->remaining--;
    return outcome;
}

static void take_drop(struct kn_stream *stream)
{
    kn_stream_drop(KN_CONTAINER_OF(stream, struct kn_stream_take, stream)->inner);
}

static void take_discard(struct kn_stream *stream, kn_value_t value)
{
    kn_stream_discard(KN_CONTAINER_OF(stream, struct kn_stream_take, stream)->inner, value);
}

static const struct kn_stream_type take_type = {
    .name = "take", .next = take_next, .drop = take_drop, .discard = take_discard};

struct kn_stream *kn_stream_take(struct kn_stream_take *self, struct kn_stream *inner, uint64_t count)
{
    if (!self || !inner) {
        kn_stream_drop(inner);
        return NULL;
    }
    *self = (struct kn_stream_take){.stream.type = &take_type, .inner = inner, .remaining = count};
    return &self->stream;
}

/* ---- take_while ---- */

static struct kn_outcome take_while_next(struct kn_stream *stream, struct kn_context *context)
{
    struct kn_stream_take_while *self = KN_CONTAINER_OF(stream, struct kn_stream_take_while, stream);
    struct kn_outcome outcome = kn_stream_poll(self->inner, context);
    if (outcome.status != KN_READY || self->predicate(outcome.value, self->context))
        return outcome;
    kn_stream_discard(self->inner, outcome.value);
    return end_early(self->inner);
}

static void take_while_drop(struct kn_stream *stream)
{
    kn_stream_drop(KN_CONTAINER_OF(stream, struct kn_stream_take_while, stream)->inner);
}

static void take_while_discard(struct kn_stream *stream, kn_value_t value)
{
    kn_stream_discard(KN_CONTAINER_OF(stream, struct kn_stream_take_while, stream)->inner, value);
}

static const struct kn_stream_type take_while_type = {
    .name = "take_while", .next = take_while_next, .drop = take_while_drop, .discard = take_while_discard};

struct kn_stream *kn_stream_take_while(struct kn_stream_take_while *self, struct kn_stream *inner,
                                       kn_predicate_function *predicate, void *context)
{
    if (!self || !inner) {
        kn_stream_drop(inner);
        return NULL;
    }
    *self = (struct kn_stream_take_while){
        .stream.type = &take_while_type, .inner = inner, .predicate = predicate, .context = context};
    return &self->stream;
}

/* ---- map_while, scan ---- */

/* What comes of an item of `inner` and what a function made of it. */
static struct kn_outcome after_step(struct kn_stream *inner, kn_value_t value, struct kn_outcome made)
{
    if (made.status != KN_READY)
        kn_stream_discard(inner, value);
    return made.status == KN_END ? end_early(inner) : made;
}

static struct kn_outcome map_while_next(struct kn_stream *stream, struct kn_context *context)
{
    struct kn_stream_map_while *self = KN_CONTAINER_OF(stream, struct kn_stream_map_while, stream);
    struct kn_outcome outcome = kn_stream_poll(self->inner, context);
    if (outcome.status != KN_READY)
        return outcome;
    return after_step(self->inner, outcome.value, self->function(outcome.value, self->context));
}

static void map_while_drop(struct kn_stream *stream)
{
    kn_stream_drop(KN_CONTAINER_OF(stream, struct kn_stream_map_while, stream)->inner);
}

static const struct kn_stream_type map_while_type = {
    .name = "map_while", .next = map_while_next, .drop = map_while_drop};

struct kn_stream *kn_stream_map_while(struct kn_stream_map_while *self, struct kn_stream *inner,
                                      kn_stream_step_function *function, void *context)
{
    if (!self || !inner) {
        kn_stream_drop(inner);
        return NULL;
    }
    *self = (struct kn_stream_map_while){
        .stream.type = &map_while_type, .inner = inner, .function = function, .context = context};
    return &self->stream;
}

static struct kn_outcome scan_next(struct kn_stream *stream, struct kn_context *context)
{
    struct kn_stream_scan *self = KN_CONTAINER_OF(stream, struct kn_stream_scan, stream);
    struct kn_outcome outcome = kn_stream_poll(self->inner, context);
    if (outcome.status != KN_READY)
        return outcome;
    return after_step(self->inner, outcome.value, self->function(&self->state, outcome.value, self->context));
}

static void scan_drop(struct kn_stream *stream)
{
    kn_stream_drop(KN_CONTAINER_OF(stream, struct kn_stream_scan, stream)->inner);
}

static const struct kn_stream_type scan_type = {.name = "scan", .next = scan_next, .drop = scan_drop};

struct kn_stream *kn_stream_scan(struct kn_stream_scan *self, struct kn_stream *inner, kn_value_t state,
                                 kn_stream_scan_function *function, void *context)
{
    if (!self || !inner) {
        kn_stream_drop(inner);
        return NULL;
    }
    *self = (struct kn_stream_scan){
        .stream.type = &scan_type, .inner = inner, .state = state, .function = function, .context = context};
    return &self->stream;
}

/* ---- take_until ---- */

static void take_until_drop(struct kn_stream *stream)
{
    struct kn_stream_take_until *self = KN_CONTAINER_OF(stream, struct kn_stream_take_until, stream);
    kn_stream_drop(self->inner);
    kn_future_drop(self->until);
}

static struct kn_outcome take_until_next(struct kn_stream *stream, struct kn_context *context)
{
    struct kn_stream_take_until *self = KN_CONTAINER_OF(stream, struct kn_stream_take_until, stream);
    if (self->is_over)
        return kn_ended();
    struct kn_outcome outcome = kn_future_poll(self->until, context);
    if (outcome.status == KN_PENDING) {
        outcome = kn_stream_poll(self->inner, context);
        if (outcome.status == KN_END)
            kn_future_drop(self->until);
        return outcome;
    }
    kn_future_discard_outcome(self->until, outcome);
    kn_stream_drop(self->inner);
    self->is_over = true;
    return outcome.status < 0 ? outcome : kn_ended();
}

static void take_until_discard(struct kn_stream *stream, kn_value_t value)
{
    kn_stream_discard(KN_CONTAINER_OF(stream, struct kn_stream_take_until, stream)->inner, value);
}

static const struct kn_stream_type take_until_type = {
    .name = "take_until", .next = take_until_next, .drop = take_until_drop, .discard = take_until_discard};

struct kn_stream *kn_stream_take_until(struct kn_stream_take_until *self, struct kn_stream *inner,
                                       struct kn_future *until)
{
    if (!self || !inner || !until) {
        kn_stream_drop(inner);
        kn_future_drop(until);
        return NULL;
    }
    *self = (struct kn_stream_take_until){.stream.type = &take_until_type, .inner = inner, .until = until};
    return &self->stream;
}

/* ---- skip ---- */

static struct kn_outcome skip_next(struct kn_stream *stream, struct kn_context *context)
{
    struct kn_stream_skip *self = KN_CONTAINER_OF(stream, struct kn_stream_skip, stream);
    do {
        struct kn_outcome outcome = kn_stream_poll(self->inner, context);
        if (self->remaining == 0 || outcome.status != KN_READY)
            return outcome;
        self->remaining--;
        kn_stream_discard(self->inner, outcome.value);
    } while (kn_context_may_continue(context));
    return kn_pending();
}

static void skip_drop(struct kn_stream *stream)
{
    kn_stream_drop(KN_CONTAINER_OF(stream, struct kn_stream_skip, stream)->inner);
}

static void skip_discard(struct kn_stream *stream, kn_value_t value)
{
    kn_stream_discard(KN_CONTAINER_OF(stream, struct kn_stream_skip, stream)->inner, value);
}

static const struct kn_stream_type skip_type = {
    .name = "skip", .next = skip_next, .drop = skip_drop, .discard = skip_discard};

struct kn_stream *kn_stream_skip(struct kn_stream_skip *self, struct kn_stream *inner, uint64_t count)
{
    if (!self || !inner) {
        kn_stream_drop(inner);
        return NULL;
    }
    *self = (struct kn_stream_skip){.stream.type = &skip_type, .inner = inner, .remaining = count};
    return &self->stream;
}

/* ---- skip_while ---- */

static struct kn_outcome skip_while_next(struct kn_stream *stream, struct kn_context *context)
{
    struct kn_stream_skip_while *self = KN_CONTAINER_OF(stream, struct kn_stream_skip_while, stream);
    do {
        struct kn_outcome outcome = kn_stream_poll(self->inner, context);
        if (!self->predicate || outcome.status != KN_READY)
            return outcome;
        if (!self->predicate(outcome.value, self->context)) {
            self->predicate = NULL;
            return outcome;
        }
        kn_stream_discard(self->inner, outcome.value);
    } while (kn_context_may_continue(context));
    return kn_pending();
}

static void skip_while_drop(struct kn_stream *stream)
{
    kn_stream_drop(KN_CONTAINER_OF(stream, struct kn_stream_skip_while, stream)->inner);
}

static void skip_while_discard(struct kn_stream *stream, kn_value_t value)
{
    kn_stream_discard(KN_CONTAINER_OF(stream, struct kn_stream_skip_while, stream)->inner, value);
}

static const struct kn_stream_type skip_while_type = {
    .name = "skip_while", .next = skip_while_next, .drop = skip_while_drop, .discard = skip_while_discard};

struct kn_stream *kn_stream_skip_while(struct kn_stream_skip_while *self, struct kn_stream *inner,
                                       kn_predicate_function *predicate, void *context)
{
    if (!self || !inner) {
        kn_stream_drop(inner);
        return NULL;
    }
    *self = (struct kn_stream_skip_while){
        .stream.type = &skip_while_type, .inner = inner, .predicate = predicate, .context = context};
    return &self->stream;
}

/* ---- into_future ---- */

static struct kn_outcome into_future_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_stream_into_future *self = KN_CONTAINER_OF(future, struct kn_stream_into_future, future);
    struct kn_outcome outcome = kn_stream_poll(self->inner, context);
    if (outcome.status == KN_PENDING)
        return outcome;
    struct kn_stream *rest = self->inner;
    self->inner = NULL; /* it is the answer's */
    if (outcome.status == KN_READY) {
        self->first = (struct kn_stream_first){.value = outcome.value, .rest = rest};
        return kn_ready(KN_VALUE(&self->first));
    }
    kn_stream_drop(rest);
    return outcome;
}

static void into_future_drop(struct kn_future *future)
{
    kn_stream_drop(KN_CONTAINER_OF(future, struct kn_stream_into_future, future)->inner);
}

static void into_future_discard(struct kn_future *future, kn_value_t value)
{
    (void)future;
    const struct kn_stream_first *first = value.pointer;
    kn_stream_discard(first->rest, first->value);
    kn_stream_drop(first->rest);
}

static const struct kn_future_type into_future_type = {
    .name = "into_future", .poll = into_future_poll, .drop = into_future_drop, .discard = into_future_discard};

struct kn_future *kn_stream_into_future(struct kn_stream_into_future *self, struct kn_stream *inner)
{
    if (!self || !inner) {
        kn_stream_drop(inner);
        return NULL;
    }
    self->future.type = &into_future_type;
    self->inner = inner;
    return &self->future;
}

/* ---- fuse ---- */

static struct kn_outcome fuse_next(struct kn_stream *stream, struct kn_context *context)
{
    struct kn_stream_fuse *self = KN_CONTAINER_OF(stream, struct kn_stream_fuse, stream);
    if (self->is_over)
        return kn_ended();
    struct kn_outcome outcome = kn_stream_poll(self->inner, context);
    self->is_over = outcome.status == KN_END;
    return outcome;
}

static void fuse_drop(struct kn_stream *stream)
{
    struct kn_stream_fuse *self = KN_CONTAINER_OF(stream, struct kn_stream_fuse, stream);
    kn_stream_drop(self->inner);
    self->is_over = true;
}

static void fuse_discard(struct kn_stream *stream, kn_value_t value)
{
    kn_stream_discard(KN_CONTAINER_OF(stream, struct kn_stream_fuse, stream)->inner, value);
}

static const struct kn_stream_type fuse_type = {
    .name = "fuse", .next = fuse_next, .drop = fuse_drop, .discard = fuse_discard};

struct kn_stream *kn_stream_fuse(struct kn_stream_fuse *self, struct kn_stream *inner)
{
    if (!self || !inner) {
        kn_stream_drop(inner);
        return NULL;
    }
    *self = (struct kn_stream_fuse){.stream.type = &fuse_type, .inner = inner};
    return &self->stream;
}

/* ---- boxed ---- */

/* The inner stream has ended: its memory goes, and with it perhaps what else was there; self is not. */
static void open_box(struct kn_stream_boxed *self)
{
    self->inner = NULL;
    if (self->release)
        self->release(self->context);
    else
        kn_arena_rewind(self->context, self->mark);
}

static struct kn_outcome boxed_next(struct kn_stream *stream, struct kn_context *context)
{
    struct kn_stream_boxed *self = KN_CONTAINER_OF(stream, struct kn_stream_boxed, stream);
    struct kn_outcome outcome = kn_stream_poll(self->inner, context);
    if (outcome.status == KN_END)
        open_box(self);
    return outcome;
}

static void boxed_drop(struct kn_stream *stream)
{
    struct kn_stream_boxed *self = KN_CONTAINER_OF(stream, struct kn_stream_boxed, stream);
    if (!self->inner)
        return;
    kn_stream_drop(self->inner);
    open_box(self);
}

static const struct kn_stream_type boxed_type = {.name = "boxed", .next = boxed_next, .drop = boxed_drop};

static struct kn_stream *boxed_make(struct kn_stream_boxed *self, const struct kn_stream_boxed *box)
{
    if (!self || !box->inner) {
        struct kn_stream_boxed empty = *box;
        kn_stream_drop(empty.inner);
        open_box(&empty);
        return NULL;
    }
    *self = *box;
    return &self->stream;
}

struct kn_stream *kn_stream_boxed(struct kn_stream_boxed *self, struct kn_stream *inner, kn_release_function *release,
                                  void *context)
{
    struct kn_stream_boxed box = {.stream.type = &boxed_type, .inner = inner, .release = release, .context = context};
    return boxed_make(self, &box);
}

struct kn_stream *kn_stream_boxed_in_arena(struct kn_stream_boxed *self, struct kn_stream *inner,
                                           struct kn_arena *arena, kn_arena_mark_t mark)
{
    struct kn_stream_boxed box = {.stream.type = &boxed_type, .inner = inner, .context = arena, .mark = mark};
    return boxed_make(self, &box);
}

/* ---- catch ---- */

/* A poll of the inner stream as a future: where it breaks, the guard drops that, and so the stream. */
static struct kn_outcome guarded_poll(struct kn_future *future, struct kn_context *context)
{
    return kn_stream_poll(KN_CONTAINER_OF(future, struct kn_stream_catch, poll)->inner, context);
}

static void guarded_drop(struct kn_future *future)
{
    kn_stream_drop(KN_CONTAINER_OF(future, struct kn_stream_catch, poll)->inner);
}

static const struct kn_future_type guarded_type = {.name = "catch", .poll = guarded_poll, .drop = guarded_drop};

static struct kn_outcome catch_next(struct kn_stream *stream, struct kn_context *context)
{
    struct kn_stream_catch *self = KN_CONTAINER_OF(stream, struct kn_stream_catch, stream);
    if (self->is_broken)
        return kn_ended();
    struct kn_future *guard = kn_future_catch(&self->caught, &self->poll);
    struct kn_outcome outcome = kn_future_poll(guard, context);
    self->is_broken = !self->caught.inner;
    return outcome;
}

static void catch_drop(struct kn_stream *stream)
{
    struct kn_stream_catch *self = KN_CONTAINER_OF(stream, struct kn_stream_catch, stream);
    if (!self->is_broken)
        kn_stream_drop(self->inner);
}

static void catch_discard(struct kn_stream *stream, kn_value_t value)
{
    kn_stream_discard(KN_CONTAINER_OF(stream, struct kn_stream_catch, stream)->inner, value);
}

static const struct kn_stream_type catch_type = {
    .name = "catch", .next = catch_next, .drop = catch_drop, .discard = catch_discard};

struct kn_stream *kn_stream_catch(struct kn_stream_catch *self, struct kn_stream *inner)
{
    if (!self || !inner) {
        kn_stream_drop(inner);
        return NULL;
    }
    self->stream.type = &catch_type;
    self->inner = inner;
    self->poll.type = &guarded_type;
    self->is_broken = false;
    return &self->stream;
}

/* ---- cycle ---- */

/* Goes on to the next stream. @return ready, or the answer instead. */
static struct kn_outcome cycle_renew(struct kn_stream_cycle *self)
{
    struct kn_stream *inner = self->make(self->context);
    if (!inner) {
        self->is_over = true;
        return kn_failed(-ENOMEM);
    }
    self->inner = inner;
    self->is_open = self->is_empty = true;
    return kn_ready(KN_NOTHING);
}

static struct kn_outcome cycle_next(struct kn_stream *stream, struct kn_context *context)
{
    struct kn_stream_cycle *self = KN_CONTAINER_OF(stream, struct kn_stream_cycle, stream);
    if (self->is_over)
        return kn_ended();
    for (;;) {
        if (!self->is_open) {
            struct kn_outcome renewed = cycle_renew(self);
            if (renewed.status != KN_READY)
                return renewed;
        }
        struct kn_outcome outcome = kn_stream_poll(self->inner, context);
        self->is_open = outcome.status != KN_END;
        if (self->is_open && outcome.status != KN_PENDING)
            self->is_empty = false;
        if (self->is_open || self->is_empty)
            return outcome;
    }
}

static void cycle_drop(struct kn_stream *stream)
{
    kn_stream_drop(KN_CONTAINER_OF(stream, struct kn_stream_cycle, stream)->inner);
}

static void cycle_discard(struct kn_stream *stream, kn_value_t value)
{
    kn_stream_discard(KN_CONTAINER_OF(stream, struct kn_stream_cycle, stream)->inner, value);
}

static const struct kn_stream_type cycle_type = {
    .name = "cycle", .next = cycle_next, .drop = cycle_drop, .discard = cycle_discard};

struct kn_stream *kn_stream_cycle(struct kn_stream_cycle *self, kn_stream_make_function *make, void *context)
{
    if (!self)
        return NULL;
    *self = (struct kn_stream_cycle){.stream.type = &cycle_type, .make = make, .context = context};
    return &self->stream;
}
