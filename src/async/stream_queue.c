/*
 * Queues between threads as streams and sinks. See stream_queue.h.
 */
#include <kernel/stream_queue.h>

#include <kernel/assert.h>

/* Messages that a reader peeks at once, where that keeps them from nobody else. */
#define BATCH 64

/* ---- signals ---- */

void kn_queue_signal_init(struct kn_queue_signal *signal)
{
    *signal = (struct kn_queue_signal){0};
}

/* Wakes up to `count` of those who wait for what has happened. */
static void notify(struct kn_queue_event *event, size_t count)
{
    /* An addition of nothing as a barrier, as the thread sanitizer knows no fences. Acquire and release pair with the
     * same in stand_in_line: either that one comes later, and its look finds what has happened, or this finds it. */
    (void)atomic_fetch_add_explicit(&event->barrier, 0, memory_order_acq_rel);
    if (!kn_wait_list_is_empty(&event->line))
        (void)kn_wait_list_notify(&event->line, count);
}

void kn_queue_signal_published(struct kn_queue_signal *signal, size_t count)
{
    notify(&signal->published, count);
}

void kn_queue_signal_released(struct kn_queue_signal *signal, size_t count)
{
    notify(&signal->released, count);
}

void kn_queue_signal_close(struct kn_queue_signal *signal)
{
    /* Release pairs with the acquire in is_closed. */
    atomic_store_explicit(&signal->closed, true, memory_order_release);
    notify(&signal->published, SIZE_MAX);
}

static bool is_closed(const struct kn_queue_signal *signal)
{
    /* Acquire pairs with the release in kn_queue_signal_close: what was published before is found. */
    return atomic_load_explicit(&signal->closed, memory_order_acquire);
}

/* ---- waiting ---- */

/* @param event NULL: to look again every `interval_ns`. */
static void init_wait(struct kn_queue_wait *wait, struct kn_queue_event *event, uint64_t interval_ns)
{
    wait->event = event;
    atomic_init(&wait->node.state, KN_WAIT_NODE_IDLE);
    wait->interval_ns = interval_ns > 0 ? interval_ns : 1;
    wait->delays = false;
}

static void stand_in_line(struct kn_queue_wait *wait, struct kn_waker *waker)
{
    struct kn_wait_list *line = &wait->event->line;
    kn_wait_list_lock(line);
    if (kn_wait_node_is_woken(&wait->node))
        (void)kn_wait_list_remove(line, &wait->node); /* what it was woken for is gone */
    kn_wait_list_add(line, &wait->node, waker);
    kn_wait_list_unlock(line);
    /* As in notify. */
    (void)atomic_fetch_add_explicit(&wait->event->barrier, 0, memory_order_acq_rel);
}

/* Waits, after a look that has found nothing. @return ready: another look is due; pending, or a failure. */
static int64_t wait_on(struct kn_queue_wait *wait, struct kn_context *context)
{
    if (wait->event) {
        stand_in_line(wait, context->waker);
        return KN_READY;
    }
    if (!wait->delays)
        (void)kn_future_delay(&wait->delay, wait->interval_ns);
    int64_t status = kn_future_poll(&wait->delay.future, context).status;
    wait->delays = status == KN_PENDING;
    return status;
}

/*
 * Ends a wait. Who was woken wakes the next: it may leave what it was woken for, and there may be more than that, as
 * when what one has published, or released, was hidden behind what another had not. Who finds nothing wakes nobody.
 */
static void end_wait(struct kn_queue_wait *wait)
{
    if (wait->delays)
        kn_future_drop(&wait->delay.future);
    wait->delays = false;
    if (atomic_load_explicit(&wait->node.state, memory_order_relaxed) == KN_WAIT_NODE_IDLE)
        return;
    struct kn_wait_list *line = &wait->event->line;
    kn_wait_list_lock(line);
    if (kn_wait_list_remove(line, &wait->node) && kn_wait_list_first(line))
        kn_wait_list_wake(line, kn_wait_list_first(line));
    kn_wait_list_unlock(line);
}

/* A look at a queue: 0, -EAGAIN, KN_END or a failure. */
typedef int64_t look_function(void *self);

/* Looks, and waits as long as there is nothing. @return what the look has found, or pending, or a failure. */
static int64_t look_or_wait(struct kn_queue_wait *wait, look_function *look, void *self, struct kn_context *context)
{
    int64_t found = look(self);
    while (found == -EAGAIN) {
        int64_t status = wait_on(wait, context);
        if (status != KN_READY)
            return status;
        found = look(self);
        if (found == -EAGAIN && wait->event)
            return KN_PENDING;
    }
    end_wait(wait);
    return found;
}

/* ---- readers ---- */

/* What was lent to the consumer goes back to the writers. */
static void release_message(struct kn_stream_reader *self)
{
    if (!self->holds)
        return;
    self->holds = false;
    (void)kn_reader_release(self->reader, 1);
    if (!self->signal)
        return;
    kn_queue_signal_released(self->signal, 1);
    if (self->reader->form.dynamic) /* for readers that come after this one */
        kn_queue_signal_published(self->signal, SIZE_MAX);
}

static int64_t peek(struct kn_stream_reader *self)
{
    const struct kn_reader *reader = self->reader;
    bool shares = reader->form.group || reader->lag != KN_LAG_BLOCK;
    self->index = 0;
    return kn_reader_peek(self->reader, shares ? 1 : BATCH, &self->span);
}

static int64_t look_for_message(void *argument)
{
    struct kn_stream_reader *self = argument;
    int64_t result = peek(self);
    if (result != -EAGAIN || !self->signal)
        return result;
    if (is_closed(self->signal)) {
        result = peek(self); /* it was closed after the last one */
        return result == -EAGAIN ? KN_END : result;
    }
    /* Slots that their writers gave up were passed over: the next writer may be waiting for just those. */
    kn_queue_signal_released(self->signal, 1);
    return result;
}

static struct kn_outcome reader_next(struct kn_stream *stream, struct kn_context *context)
{
    struct kn_stream_reader *self = KN_CONTAINER_OF(stream, struct kn_stream_reader, stream);
    release_message(self);
    if (self->ended)
        return kn_ended();
    if (self->index == self->span.count) {
        int64_t found = look_or_wait(&self->wait, look_for_message, self, context);
        if (found != 0) {
            self->ended = found != KN_PENDING;
            return (struct kn_outcome){.status = found, .value = KN_NOTHING};
        }
    }
    self->holds = true;
    return kn_ready(KN_VALUE(kn_span_at(&self->span, self->index++)));
}

static void reader_drop(struct kn_stream *stream)
{
    struct kn_stream_reader *self = KN_CONTAINER_OF(stream, struct kn_stream_reader, stream);
    release_message(self);
    end_wait(&self->wait);
}

static const struct kn_stream_type reader_type = {.name = "reader", .next = reader_next, .drop = reader_drop};

static struct kn_stream *reader_make(struct kn_stream_reader *self, struct kn_reader *reader,
                                     struct kn_queue_signal *signal, uint64_t interval_ns)
{
    self->stream.type = &reader_type;
    self->reader = reader;
    self->signal = signal;
    self->span = (struct kn_span){0};
    self->index = 0;
    self->holds = self->ended = false;
    init_wait(&self->wait, signal ? &signal->published : NULL, interval_ns);
    return &self->stream;
}

struct kn_stream *kn_stream_reader(struct kn_stream_reader *self, struct kn_reader *reader,
                                   struct kn_queue_signal *signal)
{
    return self && reader && signal ? reader_make(self, reader, signal, 0) : NULL;
}

struct kn_stream *kn_stream_reader_every(struct kn_stream_reader *self, struct kn_reader *reader, uint64_t interval_ns)
{
    return self && reader ? reader_make(self, reader, NULL, interval_ns) : NULL;
}

/* ---- writers ---- */

static int64_t look_for_room(void *argument)
{
    struct kn_sink_writer *self = argument;
    return kn_writer_claim(self->writer, 1, &self->span);
}

static int64_t writer_ready(struct kn_sink *sink, struct kn_context *context)
{
    struct kn_sink_writer *self = KN_CONTAINER_OF(sink, struct kn_sink_writer, sink);
    return self->span.count > 0 ? KN_READY : look_or_wait(&self->wait, look_for_room, self, context);
}

/* Tells the tasks at the other end what kn_writer_publish tells threads. */
static void tell_published(const struct kn_sink_writer *self, bool is_for_all)
{
    if (!self->signal)
        return;
    kn_queue_signal_published(self->signal, is_for_all ? SIZE_MAX : 1);
    if (self->writer->form.shared_writers && self->writer->form.dynamic) /* it can be claimed again, a lap later */
        kn_queue_signal_released(self->signal, 1);
}

static int64_t writer_start(struct kn_sink *sink, kn_value_t value)
{
    struct kn_sink_writer *self = KN_CONTAINER_OF(sink, struct kn_sink_writer, sink);
    kn_assert(self->span.count > 0);
    memcpy(self->span.first, value.pointer, self->writer->form.slot_bytes);
    self->span.count = 0;
    (void)kn_writer_publish(self->writer, 1);
    tell_published(self, self->writer->form.dynamic);
    return KN_READY;
}

static int64_t writer_flush(struct kn_sink *sink, struct kn_context *context)
{
    (void)sink;
    (void)context;
    return KN_READY;
}

static void writer_drop(struct kn_sink *sink)
{
    struct kn_sink_writer *self = KN_CONTAINER_OF(sink, struct kn_sink_writer, sink);
    end_wait(&self->wait);
    if (self->span.count == 0)
        return;
    self->span.count = 0;
    (void)kn_writer_publish(self->writer, 0);
    tell_published(self, true); /* what lies behind the slot that was given up can be read now */
}

static int64_t writer_close(struct kn_sink *sink, struct kn_context *context)
{
    (void)context;
    struct kn_sink_writer *self = KN_CONTAINER_OF(sink, struct kn_sink_writer, sink);
    writer_drop(sink);
    if (self->signal && !self->writer->form.shared_writers)
        kn_queue_signal_close(self->signal);
    return KN_READY;
}

static const struct kn_sink_type writer_type = {.name = "writer",
                                                .ready = writer_ready,
                                                .start = writer_start,
                                                .flush = writer_flush,
                                                .close = writer_close,
                                                .drop = writer_drop};

static struct kn_sink *writer_make(struct kn_sink_writer *self, struct kn_writer *writer,
                                   struct kn_queue_signal *signal, uint64_t interval_ns)
{
    self->sink.type = &writer_type;
    self->writer = writer;
    self->signal = signal;
    self->span = (struct kn_span){0};
    init_wait(&self->wait, signal ? &signal->released : NULL, interval_ns);
    return &self->sink;
}

struct kn_sink *kn_sink_writer(struct kn_sink_writer *self, struct kn_writer *writer, struct kn_queue_signal *signal)
{
    return self && writer && signal ? writer_make(self, writer, signal, 0) : NULL;
}

struct kn_sink *kn_sink_writer_every(struct kn_sink_writer *self, struct kn_writer *writer, uint64_t interval_ns)
{
    return self && writer ? writer_make(self, writer, NULL, interval_ns) : NULL;
}

/* ---- mailboxes ---- */

/* What a look has popped. */
struct pop {
    struct kn_stream_mailbox *stream;
    struct kn_mailbox_node *node;
};

/* A push that is under way tells of itself when it is done: until then there is nothing. */
static int64_t look_for_node(void *argument)
{
    struct pop *pop = argument;
    const struct kn_stream_mailbox *self = pop->stream;
    if (kn_mailbox_try_pop(self->mailbox, &pop->node) == 0)
        return 0;
    if (!is_closed(self->signal))
        return -EAGAIN;
    int result = kn_mailbox_try_pop(self->mailbox, &pop->node); /* it was closed after the last one */
    if (result == -EBUSY)
        return -EAGAIN;
    return result == -EAGAIN ? KN_END : result;
}

static struct kn_outcome mailbox_next(struct kn_stream *stream, struct kn_context *context)
{
    struct pop pop = {.stream = KN_CONTAINER_OF(stream, struct kn_stream_mailbox, stream)};
    int64_t found = look_or_wait(&pop.stream->wait, look_for_node, &pop, context);
    return (struct kn_outcome){.status = found, .value = KN_VALUE(pop.node)};
}

static void mailbox_drop(struct kn_stream *stream)
{
    end_wait(&KN_CONTAINER_OF(stream, struct kn_stream_mailbox, stream)->wait);
}

static const struct kn_stream_type mailbox_type = {.name = "mailbox", .next = mailbox_next, .drop = mailbox_drop};

struct kn_stream *kn_stream_mailbox(struct kn_stream_mailbox *self, struct kn_mailbox *mailbox,
                                    struct kn_queue_signal *signal)
{
    if (!self || !mailbox || !signal)
        return NULL;
    self->stream.type = &mailbox_type;
    self->mailbox = mailbox;
    self->signal = signal;
    init_wait(&self->wait, &signal->published, 0);
    return &self->stream;
}

static int64_t mailbox_ready(struct kn_sink *sink, struct kn_context *context)
{
    (void)sink;
    (void)context;
    return KN_READY;
}

static int64_t mailbox_start(struct kn_sink *sink, kn_value_t value)
{
    struct kn_sink_mailbox *self = KN_CONTAINER_OF(sink, struct kn_sink_mailbox, sink);
    kn_mailbox_push(self->mailbox, value.pointer);
    kn_queue_signal_published(self->signal, 1);
    return KN_READY;
}

static void mailbox_sink_drop(struct kn_sink *sink)
{
    (void)sink;
}

static const struct kn_sink_type mailbox_sink_type = {.name = "mailbox",
                                                      .ready = mailbox_ready,
                                                      .start = mailbox_start,
                                                      .flush = mailbox_ready,
                                                      .close = mailbox_ready,
                                                      .drop = mailbox_sink_drop};

struct kn_sink *kn_sink_mailbox(struct kn_sink_mailbox *self, struct kn_mailbox *mailbox,
                                struct kn_queue_signal *signal)
{
    if (!self || !mailbox || !signal)
        return NULL;
    *self = (struct kn_sink_mailbox){.sink.type = &mailbox_sink_type, .mailbox = mailbox, .signal = signal};
    return &self->sink;
}
