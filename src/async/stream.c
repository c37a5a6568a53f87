/*
 * What every stream needs. See stream.h.
 */
#include <kernel/stream.h>

void kn_stream_drop_nothing(struct kn_stream *stream)
{
    (void)stream;
}

/* ---- next ---- */

static struct kn_outcome next_poll(struct kn_future *future, struct kn_context *context)
{
    return kn_stream_poll(KN_CONTAINER_OF(future, struct kn_stream_next, future)->stream, context);
}

static void next_discard(struct kn_future *future, kn_value_t value)
{
    kn_stream_discard(KN_CONTAINER_OF(future, struct kn_stream_next, future)->stream, value);
}

static const struct kn_future_type next_type = {
    .name = "next", .poll = next_poll, .drop = kn_future_drop_nothing, .discard = next_discard};

struct kn_future *kn_stream_next(struct kn_stream_next *self, struct kn_stream *stream)
{
    if (!self || !stream)
        return NULL;
    *self = (struct kn_stream_next){.future.type = &next_type, .stream = stream};
    return &self->future;
}

/* ---- by_ref ---- */

static struct kn_outcome by_ref_next(struct kn_stream *stream, struct kn_context *context)
{
    return kn_stream_poll(KN_CONTAINER_OF(stream, struct kn_stream_by_ref, stream)->inner, context);
}

static void by_ref_discard(struct kn_stream *stream, kn_value_t value)
{
    kn_stream_discard(KN_CONTAINER_OF(stream, struct kn_stream_by_ref, stream)->inner, value);
}

static const struct kn_stream_type by_ref_type = {
    .name = "by_ref", .next = by_ref_next, .drop = kn_stream_drop_nothing, .discard = by_ref_discard};

struct kn_stream *kn_stream_by_ref(struct kn_stream_by_ref *self, struct kn_stream *inner)
{
    if (!self || !inner)
        return NULL;
    *self = (struct kn_stream_by_ref){.stream.type = &by_ref_type, .inner = inner};
    return &self->stream;
}

/* ---- owned ---- */

static struct kn_outcome owned_next(struct kn_stream *stream, struct kn_context *context)
{
    return kn_stream_poll(KN_CONTAINER_OF(stream, struct kn_stream_owned, stream)->inner, context);
}

static void owned_drop(struct kn_stream *stream)
{
    kn_stream_drop(KN_CONTAINER_OF(stream, struct kn_stream_owned, stream)->inner);
}

static void owned_discard(struct kn_stream *stream, kn_value_t value)
{
    struct kn_stream_owned *self = KN_CONTAINER_OF(stream, struct kn_stream_owned, stream);
    self->release(value, self->context);
}

static const struct kn_stream_type owned_type = {
    .name = "owned", .next = owned_next, .drop = owned_drop, .discard = owned_discard};

struct kn_stream *kn_stream_owned(struct kn_stream_owned *self, struct kn_stream *inner, kn_discard_function *release,
                                  void *context)
{
    if (!self || !inner) {
        kn_stream_drop(inner);
        return NULL;
    }
    *self =
        (struct kn_stream_owned){.stream.type = &owned_type, .inner = inner, .release = release, .context = context};
    return &self->stream;
}
