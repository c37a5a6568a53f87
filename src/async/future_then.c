/*
 * One future after another. See future_then.h.
 */
#include <setjmp.h>
#include <string.h>

#include <kernel/assert.h>
#include <kernel/future_then.h>

#include "sched/reactor_internal.h"

/* Whether there is memory and a future to make one of. Drops the future otherwise. */
static bool is_complete(const void *self, struct kn_future *inner)
{
    if (self && inner)
        return true;
    kn_future_drop(inner);
    return false;
}

/* ---- stages ---- */

static enum kn_stage_kind kind_of(const struct kn_future_stage *stage)
{
    return (enum kn_stage_kind)(stage->future.type - kn_stage_types);
}

/* What a stage does with a value. What it goes on with as a next future is left in `next`. */
KN_INLINE struct kn_outcome apply_to_value(struct kn_future_stage *stage, kn_value_t value, struct kn_future **next)
{
    /* The two that are met most do without the indirect jump of a table. */
    if (stage->future.type == &kn_stage_types[KN_STAGE_MAP])
        return kn_ready(stage->function.map(value, stage->context));
    if (stage->future.type == &kn_stage_types[KN_STAGE_AND_THEN]) {
        *next = stage->function.next(value, stage->context);
        return kn_pending();
    }
    switch (kind_of(stage)) {
    case KN_STAGE_MAP_OR_ELSE:
        return kn_ready(stage->function.map(value, stage->context));
    case KN_STAGE_INSPECT:
        stage->function.inspect(value, stage->context);
        break;
    case KN_STAGE_THEN:
        *next = stage->function.then(kn_ready(value), stage->context);
        return kn_pending();
    case KN_STAGE_FLATTEN:
        *next = value.pointer;
        return kn_pending();
    default:
        break;
    }
    return kn_ready(value);
}

/* The same with a failure or another status. */
static struct kn_outcome apply_to_error(struct kn_future_stage *stage, struct kn_outcome outcome,
                                        struct kn_future **next)
{
    int error = (int)outcome.status;
    enum kn_stage_kind kind = kind_of(stage);
    if (kind == KN_STAGE_THEN) {
        *next = stage->function.then(outcome, stage->context);
        return kn_pending();
    }
    if (error >= 0)
        return outcome;
    switch (kind) {
    case KN_STAGE_MAP_ERR:
        error = stage->function.map_error(error, stage->context);
        kn_assert(error < 0);
        return kn_failed(error);
    case KN_STAGE_MAP_OR_ELSE:
        return kn_ready(KN_CONTAINER_OF(stage, struct kn_future_map_or_else, stage)->fallback(error, stage->context));
    case KN_STAGE_UNWRAP_OR_ELSE:
        stage->inner = NULL; /* which could not discard this value */
        return kn_ready(stage->function.unwrap(error, stage->context));
    case KN_STAGE_INSPECT_ERR:
        stage->function.inspect_error(error, stage->context);
        break;
    case KN_STAGE_OR_ELSE:
        *next = stage->function.recover(error, stage->context);
        return kn_pending();
    default:
        break;
    }
    return outcome;
}

/* Goes on with the next future of a stage. Most are ready, and need no call. */
KN_INLINE struct kn_outcome go_on(struct kn_future_stage *last, struct kn_future_stage *stage, struct kn_future *next,
                                  struct kn_context *context)
{
    stage->inner = next;
    stage->future.type += KN_STAGE_HAS_NEXT;
    if (KN_UNLIKELY(!next)) {
        last->link.at = stage;
        return kn_failed(-ENOMEM);
    }
    if (KN_LIKELY(next->type == &kn_future_ready_type))
        return KN_CONTAINER_OF(next, struct kn_future_ready, future)->outcome;
    /* Before the poll, in which an invariant may break: what is dropped then is the new one. */
    last->link.at = stage;
    return kn_future_poll(next, context);
}

/* Polls what is waited for, and hands its answer on from stage to stage, as far as there is one. */
static struct kn_outcome stage_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_future_stage *self = KN_CONTAINER_OF(future, struct kn_future_stage, future);
    struct kn_future_stage *stage = self->link.at;
    struct kn_outcome outcome = kn_future_poll(stage->inner, context);
    while (outcome.status != KN_PENDING) {
        struct kn_future *next = NULL;
        struct kn_future_stage *after = stage == self ? NULL : stage->link.after;
        if (KN_LIKELY(outcome.status == KN_READY))
            outcome = apply_to_value(stage, outcome.value, &next);
        else
            outcome = apply_to_error(stage, outcome, &next);
        if (outcome.status == KN_PENDING)
            outcome = go_on(self, stage, next, context);
        if (!after)
            break;
        stage = after;
    }
    return outcome;
}

static void stage_drop(struct kn_future *future)
{
    kn_future_drop(KN_CONTAINER_OF(future, struct kn_future_stage, future)->link.at->inner);
}

static void stage_discard(struct kn_future *future, kn_value_t value)
{
    struct kn_future *inner = KN_CONTAINER_OF(future, struct kn_future_stage, future)->inner;
    if (inner)
        kn_future_discard(inner, value);
}

/* A stage that makes its values has no way to discard them. */
#define STAGE(kind, type_name, how_to_discard)                                                                         \
    [kind] = {.name = (type_name), .poll = stage_poll, .drop = stage_drop, .discard = (how_to_discard)}
#define STAGE_WITH_NEXT(kind, type_name)                                                                               \
    STAGE(kind, type_name, stage_discard), STAGE((kind) + KN_STAGE_HAS_NEXT, type_name, stage_discard)

const struct kn_future_type kn_stage_types[KN_STAGE_KINDS] = {
    STAGE(KN_STAGE_MAP, "map", NULL),
    STAGE(KN_STAGE_MAP_ERR, "map_err", stage_discard),
    STAGE(KN_STAGE_MAP_OR_ELSE, "map_or_else", NULL),
    STAGE(KN_STAGE_UNWRAP_OR_ELSE, "unwrap_or_else", stage_discard),
    STAGE(KN_STAGE_INSPECT, "inspect", stage_discard),
    STAGE(KN_STAGE_INSPECT_ERR, "inspect_err", stage_discard),
    STAGE_WITH_NEXT(KN_STAGE_THEN, "then"),
    STAGE_WITH_NEXT(KN_STAGE_AND_THEN, "and_then"),
    STAGE_WITH_NEXT(KN_STAGE_OR_ELSE, "or_else"),
    STAGE_WITH_NEXT(KN_STAGE_FLATTEN, "flatten"),
};

struct kn_future *kn_stage_refuse(struct kn_future *inner)
{
    kn_future_drop(inner);
    return NULL;
}

struct kn_future *kn_future_map_err(struct kn_future_map_err *self, struct kn_future *inner,
                                    kn_map_error_function *function, void *context)
{
    return kn_stage_make(self ? &self->stage : NULL, inner, KN_STAGE_MAP_ERR,
                         (union kn_stage_function){.map_error = function}, context);
}

struct kn_future *kn_future_map_or_else(struct kn_future_map_or_else *self, struct kn_future *inner,
                                        kn_map_function *function, kn_unwrap_function *fallback, void *context)
{
    if (self)
        self->fallback = fallback;
    return kn_stage_make(self ? &self->stage : NULL, inner, KN_STAGE_MAP_OR_ELSE,
                         (union kn_stage_function){.map = function}, context);
}

struct kn_future *kn_future_unwrap_or_else(struct kn_future_unwrap_or_else *self, struct kn_future *inner,
                                           kn_unwrap_function *function, void *context)
{
    return kn_stage_make(self ? &self->stage : NULL, inner, KN_STAGE_UNWRAP_OR_ELSE,
                         (union kn_stage_function){.unwrap = function}, context);
}

struct kn_future *kn_future_inspect(struct kn_future_inspect *self, struct kn_future *inner,
                                    kn_inspect_function *function, void *context)
{
    return kn_stage_make(self ? &self->stage : NULL, inner, KN_STAGE_INSPECT,
                         (union kn_stage_function){.inspect = function}, context);
}

struct kn_future *kn_future_inspect_err(struct kn_future_inspect_err *self, struct kn_future *inner,
                                        kn_inspect_error_function *function, void *context)
{
    return kn_stage_make(self ? &self->stage : NULL, inner, KN_STAGE_INSPECT_ERR,
                         (union kn_stage_function){.inspect_error = function}, context);
}

struct kn_future *kn_future_then(struct kn_future_then *self, struct kn_future *inner, kn_then_function *function,
                                 void *context)
{
    return kn_stage_make(self ? &self->stage : NULL, inner, KN_STAGE_THEN, (union kn_stage_function){.then = function},
                         context);
}

struct kn_future *kn_future_or_else(struct kn_future_or_else *self, struct kn_future *inner,
                                    kn_recover_function *function, void *context)
{
    return kn_stage_make(self ? &self->stage : NULL, inner, KN_STAGE_OR_ELSE,
                         (union kn_stage_function){.recover = function}, context);
}

struct kn_future *kn_future_flatten(struct kn_future_flatten *self, struct kn_future *inner)
{
    return kn_stage_make(self ? &self->stage : NULL, inner, KN_STAGE_FLATTEN, (union kn_stage_function){.map = NULL},
                         NULL);
}

/* ---- flatten_stream ---- */

static struct kn_outcome flatten_stream_next(struct kn_stream *stream, struct kn_context *context)
{
    struct kn_future_flatten_stream *self = KN_CONTAINER_OF(stream, struct kn_future_flatten_stream, stream);
    if (KN_LIKELY(self->source != NULL))
        return kn_stream_poll(self->source, context);
    if (!self->inner)
        return kn_ended();
    struct kn_outcome outcome = kn_future_poll(self->inner, context);
    if (outcome.status == KN_PENDING)
        return outcome;
    self->inner = NULL;
    if (outcome.status != KN_READY)
        return outcome;
    self->source = outcome.value.pointer;
    return self->source ? kn_stream_poll(self->source, context) : kn_failed(-ENOMEM);
}

static void flatten_stream_drop(struct kn_stream *stream)
{
    struct kn_future_flatten_stream *self = KN_CONTAINER_OF(stream, struct kn_future_flatten_stream, stream);
    kn_future_drop(self->inner);
    kn_stream_drop(self->source);
}

static void flatten_stream_discard(struct kn_stream *stream, kn_value_t value)
{
    kn_stream_discard(KN_CONTAINER_OF(stream, struct kn_future_flatten_stream, stream)->source, value);
}

static const struct kn_stream_type flatten_stream_type = {.name = "flatten_stream",
                                                          .next = flatten_stream_next,
                                                          .drop = flatten_stream_drop,
                                                          .discard = flatten_stream_discard};

struct kn_stream *kn_future_flatten_stream(struct kn_future_flatten_stream *self, struct kn_future *inner)
{
    if (!is_complete(self, inner))
        return NULL;
    *self = (struct kn_future_flatten_stream){.stream.type = &flatten_stream_type, .inner = inner};
    return &self->stream;
}

/* ---- into_stream ---- */

static struct kn_outcome into_stream_next(struct kn_stream *stream, struct kn_context *context)
{
    struct kn_future_into_stream *self = KN_CONTAINER_OF(stream, struct kn_future_into_stream, stream);
    if (self->has_answered)
        return kn_ended();
    struct kn_outcome outcome = kn_future_poll(self->inner, context);
    self->has_answered = outcome.status != KN_PENDING;
    return outcome;
}

static void into_stream_drop(struct kn_stream *stream)
{
    kn_future_drop(KN_CONTAINER_OF(stream, struct kn_future_into_stream, stream)->inner);
}

static void into_stream_discard(struct kn_stream *stream, kn_value_t value)
{
    kn_future_discard(KN_CONTAINER_OF(stream, struct kn_future_into_stream, stream)->inner, value);
}

static const struct kn_stream_type into_stream_type = {
    .name = "into_stream", .next = into_stream_next, .drop = into_stream_drop, .discard = into_stream_discard};

struct kn_stream *kn_future_into_stream(struct kn_future_into_stream *self, struct kn_future *inner)
{
    if (!is_complete(self, inner))
        return NULL;
    *self = (struct kn_future_into_stream){.stream.type = &into_stream_type, .inner = inner};
    return &self->stream;
}

/* ---- fuse ---- */

static struct kn_outcome fuse_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_future_fuse *self = KN_CONTAINER_OF(future, struct kn_future_fuse, future);
    if (self->is_terminated)
        return kn_pending();
    struct kn_outcome outcome = kn_future_poll(self->inner, context);
    self->is_terminated = outcome.status != KN_PENDING;
    return outcome;
}

static void fuse_drop(struct kn_future *future)
{
    struct kn_future_fuse *self = KN_CONTAINER_OF(future, struct kn_future_fuse, future);
    if (self->is_terminated)
        return;
    self->is_terminated = true;
    kn_future_drop(self->inner);
}

static void fuse_discard(struct kn_future *future, kn_value_t value)
{
    kn_future_discard(KN_CONTAINER_OF(future, struct kn_future_fuse, future)->inner, value);
}

static const struct kn_future_type fuse_type = {
    .name = "fuse", .poll = fuse_poll, .drop = fuse_drop, .discard = fuse_discard};

struct kn_future *kn_future_fuse(struct kn_future_fuse *self, struct kn_future *inner)
{
    if (!is_complete(self, inner))
        return NULL;
    *self = (struct kn_future_fuse){.future.type = &fuse_type, .inner = inner};
    return &self->future;
}

bool kn_future_fuse_is_terminated(const struct kn_future_fuse *self)
{
    return self->is_terminated;
}

/* ---- catch ---- */

/* Where a thread goes on when an invariant breaks. In a task of a reactor that isolates panics the place is the
 * reactor's, which its own hook and kn_task_panic use, and which is lent; elsewhere there is one of ours, and a hook.
 */
struct guard {
    jmp_buf *place;
    jmp_buf buffer;             /* ours; or what the reactor's held before */
    struct kn_reactor *reactor; /* or NULL */
    kn_assert_hook *hook;       /* without a reactor: the one that was there before */
    void *hook_context;         /* of it */
};

static void invariant_broke(void *context, const char *expression, const char *file, int line)
{
    (void)expression;
    (void)file;
    (void)line;
    struct guard *guard = context;
    longjmp(*guard->place, 1);
}

static void enter_guard(struct guard *guard)
{
    struct kn_reactor *reactor = kn_reactor_current();
    if (reactor && reactor->isolates_panics && reactor->polling) {
        guard->reactor = reactor;
        guard->place = &reactor->panic;
        memcpy(&guard->buffer, guard->place, sizeof guard->buffer);
        return;
    }
    guard->reactor = NULL;
    guard->place = &guard->buffer;
    guard->hook = kn_assert_get_hook(&guard->hook_context);
    kn_assert_set_hook(invariant_broke, guard);
}

static void leave_guard(struct guard *guard)
{
    if (guard->reactor)
        memcpy(guard->place, &guard->buffer, sizeof guard->buffer);
    else
        kn_assert_set_hook(guard->hook, guard->hook_context);
}

/* Polls, or drops where there is no outcome to be had. @return whether nothing broke. */
static bool guarded(struct kn_future *inner, struct kn_context *context, struct kn_outcome *outcome)
{
    struct guard guard;
    enter_guard(&guard);
    if (setjmp(*guard.place) != 0) {
        leave_guard(&guard);
        return false;
    }
    if (outcome)
        *outcome = kn_future_poll(inner, context);
    else
        kn_future_drop(inner);
    leave_guard(&guard);
    return true;
}

static struct kn_outcome catch_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_future_catch *self = KN_CONTAINER_OF(future, struct kn_future_catch, future);
    struct kn_outcome outcome;
    if (KN_LIKELY(guarded(self->inner, context, &outcome)))
        return outcome;
    struct kn_future *broken = self->inner;
    self->inner = NULL;
    (void)guarded(broken, context, NULL);
    return kn_failed(-ECANCELED);
}

static void catch_drop(struct kn_future *future)
{
    kn_future_drop(KN_CONTAINER_OF(future, struct kn_future_catch, future)->inner);
}

static void catch_discard(struct kn_future *future, kn_value_t value)
{
    kn_future_discard(KN_CONTAINER_OF(future, struct kn_future_catch, future)->inner, value);
}

static const struct kn_future_type catch_type = {
    .name = "catch", .poll = catch_poll, .drop = catch_drop, .discard = catch_discard};

struct kn_future *kn_future_catch(struct kn_future_catch *self, struct kn_future *inner)
{
    if (!is_complete(self, inner))
        return NULL;
    *self = (struct kn_future_catch){.future.type = &catch_type, .inner = inner};
    return &self->future;
}

/* ---- boxed ---- */

/* The inner future has ended: its memory goes, and with it perhaps what else was there; self is not. */
static void open_box(struct kn_future_boxed *self)
{
    self->inner = NULL;
    if (self->release)
        self->release(self->context);
    else
        kn_arena_rewind(self->context, self->mark);
}

static struct kn_outcome boxed_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_future_boxed *self = KN_CONTAINER_OF(future, struct kn_future_boxed, future);
    struct kn_outcome outcome = kn_future_poll(self->inner, context);
    if (outcome.status != KN_PENDING)
        open_box(self);
    return outcome;
}

static void boxed_drop(struct kn_future *future)
{
    struct kn_future_boxed *self = KN_CONTAINER_OF(future, struct kn_future_boxed, future);
    if (!self->inner)
        return;
    kn_future_drop(self->inner);
    open_box(self);
}

static const struct kn_future_type boxed_type = {.name = "boxed", .poll = boxed_poll, .drop = boxed_drop};

static struct kn_future *boxed_make(struct kn_future_boxed *self, const struct kn_future_boxed *box)
{
    if (!is_complete(self, box->inner)) {
        struct kn_future_boxed empty = *box;
        open_box(&empty);
        return NULL;
    }
    *self = *box;
    return &self->future;
}

struct kn_future *kn_future_boxed(struct kn_future_boxed *self, struct kn_future *inner, kn_release_function *release,
                                  void *context)
{
    struct kn_future_boxed box = {.future.type = &boxed_type, .inner = inner, .release = release, .context = context};
    return boxed_make(self, &box);
}

struct kn_future *kn_future_boxed_in_arena(struct kn_future_boxed *self, struct kn_future *inner,
                                           struct kn_arena *arena, kn_arena_mark_t mark)
{
    struct kn_future_boxed box = {.future.type = &boxed_type, .inner = inner, .context = arena, .mark = mark};
    return boxed_make(self, &box);
}
