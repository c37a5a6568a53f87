/*
 * Streams whose items are futures. See stream_concurrent.h.
 */
#include <kernel/executor.h>
#include <kernel/stream_concurrent.h>

/* ---- jobs ---- */

static bool has_free_job(const struct kn_stream_buffered *self)
{
    return self->free || self->used < self->capacity;
}

static struct kn_stream_job *take_job(struct kn_stream_buffered *self)
{
    struct kn_stream_job *job = self->free;
    if (!job)
        return &self->jobs[self->used++];
    self->free = job->next;
    return job;
}

static void give_job_back(struct kn_stream_buffered *self)
{
    struct kn_stream_job *job = self->answered;
    self->answered = NULL;
    if (!job)
        return;
    job->next = self->free;
    self->free = job;
}

/* ---- buffered, buffer_unordered ---- */

/* Begins an item, or a failure in its place. */
static void begin(struct kn_stream_buffered *self, struct kn_outcome outcome)
{
    struct kn_stream_job *job = take_job(self);
    struct kn_future *future = NULL;
    if (outcome.status != KN_READY)
        future = kn_future_failed(&job->failure, (int)outcome.status);
    else if (self->function)
        future = self->function(outcome.value, (size_t)(job - self->jobs), self->context);
    else
        future = outcome.value.pointer;
    if (!future)
        future = kn_future_failed(&job->failure, -ENOMEM);
    (void)kn_future_set_add(&self->set, &job->member, future);
}

/* Begins as many items as are there and have room. */
static void fill(struct kn_stream_buffered *self, struct kn_context *context)
{
    while (!self->has_ended && has_free_job(self) && kn_context_may_continue(context)) {
        struct kn_outcome outcome = kn_stream_poll(self->source, context);
        if (outcome.status == KN_PENDING)
            return;
        if (outcome.status == KN_END) {
            self->has_ended = true;
            kn_stream_drop(self->source);
            return;
        }
        begin(self, outcome);
    }
}

static struct kn_outcome buffered_next(struct kn_stream *stream, struct kn_context *context)
{
    struct kn_stream_buffered *self = KN_CONTAINER_OF(stream, struct kn_stream_buffered, stream);
    for (;;) {
        give_job_back(self);
        fill(self, context);
        if (kn_future_set_count(&self->set) == 0)
            return self->has_ended ? kn_ended() : kn_pending();
        struct kn_outcome outcome = kn_stream_poll(&self->set.stream, context);
        if (outcome.status == KN_PENDING)
            return outcome;
        self->answered = KN_CONTAINER_OF(kn_future_set_last(&self->set), struct kn_stream_job, member);
        if (outcome.status != KN_END)
            return outcome;
    }
}

static void buffered_drop(struct kn_stream *stream)
{
    struct kn_stream_buffered *self = KN_CONTAINER_OF(stream, struct kn_stream_buffered, stream);
    kn_stream_drop(&self->set.stream);
    kn_stream_drop(self->source);
}

static void buffered_discard(struct kn_stream *stream, kn_value_t value)
{
    kn_stream_discard(&KN_CONTAINER_OF(stream, struct kn_stream_buffered, stream)->set.stream, value);
}

static const struct kn_stream_type buffered_type = {
    .name = "buffered", .next = buffered_next, .drop = buffered_drop, .discard = buffered_discard};

static struct kn_stream *buffered_make(struct kn_stream_buffered *self, struct kn_stream *source,
                                       kn_concurrent_function *function, void *context, struct kn_stream_job *jobs,
                                       size_t capacity)
{
    if (!self || !source || !jobs || capacity == 0) {
        kn_stream_drop(source);
        return NULL;
    }
    self->stream.type = &buffered_type;
    self->source = source;
    self->function = function;
    self->context = context;
    self->jobs = jobs;
    self->capacity = capacity;
    self->used = 0;
    self->free = NULL;
    self->answered = NULL;
    self->has_ended = false;
    return &self->stream;
}

struct kn_stream *kn_stream_buffered(struct kn_stream_buffered *self, struct kn_stream *source,
                                     kn_concurrent_function *function, void *context, struct kn_stream_job *jobs,
                                     size_t capacity)
{
    struct kn_stream *stream = buffered_make(self, source, function, context, jobs, capacity);
    if (stream)
        (void)kn_future_set_ordered(&self->set);
    return stream;
}

struct kn_stream *kn_stream_buffer_unordered(struct kn_stream_buffer_unordered *self, struct kn_stream *source,
                                             kn_concurrent_function *function, void *context,
                                             struct kn_stream_job *jobs, size_t capacity)
{
    struct kn_stream_buffered *buffered = self ? &self->buffered : NULL;
    struct kn_stream *stream = buffered_make(buffered, source, function, context, jobs, capacity);
    if (stream)
        (void)kn_future_set(&buffered->set);
    return stream;
}

/* ---- for_each_concurrent ---- */

static struct kn_outcome for_each_concurrent_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_stream *inner =
        &KN_CONTAINER_OF(future, struct kn_stream_for_each_concurrent, future)->inner.buffered.stream;
    while (kn_context_may_continue(context)) {
        struct kn_outcome outcome = buffered_next(inner, context);
        if (outcome.status == KN_PENDING)
            return outcome;
        if (outcome.status != KN_READY) {
            buffered_drop(inner);
            return outcome.status == KN_END ? kn_ready(KN_NOTHING) : outcome;
        }
        buffered_discard(inner, outcome.value);
    }
    return kn_pending();
}

static void for_each_concurrent_drop(struct kn_future *future)
{
    buffered_drop(&KN_CONTAINER_OF(future, struct kn_stream_for_each_concurrent, future)->inner.buffered.stream);
}

static const struct kn_future_type for_each_concurrent_type = {
    .name = "for_each_concurrent", .poll = for_each_concurrent_poll, .drop = for_each_concurrent_drop};

struct kn_future *kn_stream_for_each_concurrent(struct kn_stream_for_each_concurrent *self, struct kn_stream *source,
                                                kn_concurrent_function *function, void *context,
                                                struct kn_stream_job *jobs, size_t capacity)
{
    if (!self) {
        kn_stream_drop(source);
        return NULL;
    }
    if (!kn_stream_buffer_unordered(&self->inner, source, function, context, jobs, capacity))
        return NULL;
    self->future.type = &for_each_concurrent_type;
    return &self->future;
}
