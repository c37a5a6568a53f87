/*
 * Bounded channels for tasks. See channel.h.
 */
#include <kernel/channel.h>

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <kernel/assert.h>

/* Values received without a wait after which nobody is expected to wait; a power of two. */
#define PATIENCE UINT64_C(4096)

static bool membarrier(int command)
{
    return syscall(SYS_membarrier, command, 0, 0) == 0;
}

/* ---- opening and closing ---- */

int kn_channel_open(struct kn_channel *channel, const struct kn_channel_options *options)
{
    *channel = (struct kn_channel){.common.options = *options};
    struct kn_sector_options shape = kn_channel_queue_options(options->capacity);
    struct kn_sector *sector = &channel->queue.sector;
    int result = kn_sector_create(sector, &shape);
    if (result == 0)
        result = kn_channel_queue_producer_join(&channel->queue.producer, sector);
    if (result == 0)
        result = kn_channel_queue_consumer_join(&channel->queue.consumer, sector, NULL);
    if (result < 0) {
        kn_sector_close(sector);
        return result;
    }
    channel->common.has_membarrier = membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED);
    atomic_init(&channel->common.receiver_heed, KN_CHANNEL_HEEDFUL);
    atomic_init(&channel->senders.heed, KN_CHANNEL_HEEDFUL);
    atomic_init(&channel->senders.count, 1);
    return 0;
}

/* kn_channel_queue_try_pop without what this channel has no use for. The receiver. */
KN_INLINE bool take(struct kn_channel *channel, kn_value_t *value)
{
    struct kn_reader *reader = &channel->queue.consumer.reader;
    const struct kn_form form = kn_channel_queue_form(false, false);
    if (kn_ring_run(&reader->ring, form, reader->position) == 0)
        return false;
    kn_reader_fetch_ahead(reader, form, 1);
    memcpy(value, kn_ring_message(&reader->ring, form, reader->position), sizeof *value);
    kn_reader_move(reader, reader->position + 1, 0);
    return true;
}

/* Gives back what is in the queue. The receiver. */
static void discard_all(struct kn_channel *channel)
{
    kn_value_t value;
    while (take(channel, &value))
        kn_channel_release(channel, value);
}

void kn_channel_destroy(struct kn_channel *channel)
{
    discard_all(channel);
    kn_sector_close(&channel->queue.sector);
}

static uint32_t closed(const struct kn_channel *channel)
{
    /* Acquire pairs with the release in kn_channel_close: what was sent before is found. */
    return atomic_load_explicit(&channel->common.closed, memory_order_acquire);
}

bool kn_channel_is_closed(const struct kn_channel *channel)
{
    return closed(channel) != 0;
}

size_t kn_channel_capacity(const struct kn_channel *channel)
{
    return kn_sector_capacity(&channel->queue.sector);
}

size_t kn_channel_count(const struct kn_channel *channel)
{
    return kn_channel_queue_count(&channel->queue);
}

/* ---- whether somebody waits ---- */

/* Calls the receiver, if it waits. @return 0, so that it can be the last thing that a sender does. */
static __attribute__((noinline)) int wake_receiver(struct kn_channel *channel)
{
    _Atomic uint32_t *heed = &channel->common.receiver_heed;
    /* An addition of nothing as a barrier, as the thread sanitizer knows no fences. Acquire and release pair with the
     * exchange in make_heedful: either that one comes later and acquires what was sent, or this finds that it waits. */
    uint32_t before = atomic_fetch_add_explicit(heed, 0, memory_order_acq_rel);
    if ((before & KN_CHANNEL_WAITS) &&
        (atomic_fetch_and_explicit(heed, ~(uint32_t)KN_CHANNEL_WAITS, memory_order_acq_rel) & KN_CHANNEL_WAITS))
        kn_waker_cell_wake(&channel->receiver.cell);
    return 0;
}

/* After a value was sent: whether wake_receiver is to be called. */
KN_INLINE bool must_wake_receiver(const struct kn_channel *channel)
{
    /* Keeps the compiler from moving the look before the sending; the processor is kept by the barrier of who makes the
     * channel heedful: either this load sees that, or its look afterwards sees what was sent. */
    atomic_signal_fence(memory_order_seq_cst);
    return atomic_load_explicit(&channel->common.receiver_heed, memory_order_relaxed) != 0;
}

/* Calls the sender that has waited longest, if one waits. */
static void wake_sender(struct kn_channel *channel)
{
    /* As in wake_receiver, with the exchange in make_heedful. */
    (void)atomic_fetch_add_explicit(&channel->senders.heed, 0, memory_order_acq_rel);
    if (!kn_wait_list_is_empty(&channel->senders.line))
        (void)kn_wait_list_notify(&channel->senders.line, 1);
}

/* Ends the heedfulness of those who have moved a value, where nobody has waited for long. The receiver. */
static void relax(struct kn_channel *channel)
{
    if (!channel->common.has_membarrier)
        return;
    if (!channel->receiver.has_waited && !channel->receiver.is_registered)
        atomic_store_explicit(&channel->common.receiver_heed, 0, memory_order_relaxed);
    channel->receiver.has_waited = false;
    if (atomic_load_explicit(&channel->senders.heed, memory_order_relaxed) == 0)
        return;
    kn_wait_list_lock(&channel->senders.line);
    bool was_waited = atomic_load_explicit(&channel->senders.heed, memory_order_relaxed) & KN_CHANNEL_WAITS;
    bool is_waited = kn_wait_list_first(&channel->senders.line) != NULL;
    atomic_store_explicit(&channel->senders.heed, was_waited || is_waited ? KN_CHANNEL_HEEDFUL : 0,
                          memory_order_relaxed);
    kn_wait_list_unlock(&channel->senders.line);
}

/* After a value was received: whether look_after_senders is to be called. */
KN_INLINE bool must_look_after_senders(const struct kn_channel *channel)
{
    /* As in must_wake_receiver. */
    atomic_signal_fence(memory_order_seq_cst);
    return atomic_load_explicit(&channel->senders.heed, memory_order_relaxed) != 0 ||
           channel->queue.consumer.reader.position % PATIENCE == 0;
}

static void look_after_senders(struct kn_channel *channel)
{
    if (atomic_load_explicit(&channel->senders.heed, memory_order_relaxed) != 0)
        wake_sender(channel);
    if (channel->queue.consumer.reader.position % PATIENCE == 0)
        relax(channel);
}

/* Makes those heedful who move values. @return whether they were not: then have_all_pass is to be called. */
static bool make_heedful(_Atomic uint32_t *heed)
{
    /* Acquire and release pair with the additions in wake_receiver and wake_sender. */
    uint32_t before = atomic_fetch_or_explicit(heed, KN_CHANNEL_HEEDFUL | KN_CHANNEL_WAITS, memory_order_acq_rel);
    return !(before & KN_CHANNEL_HEEDFUL);
}

/* Has every thread pass a barrier, so that it sees that it is to be heedful. Whether that was possible: else the caller
 * must not wait this time, and is polled again. */
static bool have_all_pass(const struct kn_channel *channel, _Atomic uint32_t *heed)
{
    kn_assert(channel->common.has_membarrier);
    if (KN_LIKELY(membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED)))
        return true;
    /* So that the next to wait does not rely on it. */
    atomic_fetch_and_explicit(heed, ~(uint32_t)KN_CHANNEL_HEEDFUL, memory_order_relaxed);
    return false;
}

/* ---- sending ---- */

/* kn_channel_queue_try_push by a writer that all senders share: nothing of it is changed. */
KN_INLINE bool push(struct kn_channel *channel, kn_value_t value)
{
    struct kn_writer *writer = &channel->queue.producer.writer;
    const struct kn_form form = kn_channel_queue_form(false, false);
    _Atomic uint64_t *claimed = &writer->ring.head->writers.claimed;
    /* As in kn_writer_claim_shared. */
    uint64_t position = atomic_load_explicit(claimed, memory_order_acquire);
    do {
        if (kn_writer_shared_room(writer, form, position, 1) == 0)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(claimed, &position, position + 1, memory_order_acq_rel,
                                                    memory_order_acquire));
    memcpy(kn_ring_message(&writer->ring, form, position), &value, sizeof value);
    kn_writer_stamp(&writer->ring, form, position, 1, 0);
    return true;
}

/* Calls nothing where nobody waits. */
KN_INLINE int try_send(struct kn_channel *channel, kn_value_t value)
{
    if (KN_UNLIKELY(closed(channel) != 0))
        return -EPIPE;
    if (KN_UNLIKELY(!push(channel, value)))
        return -EAGAIN;
    return KN_UNLIKELY(must_wake_receiver(channel)) ? wake_receiver(channel) : 0;
}

int kn_channel_try_send(struct kn_channel *channel, kn_value_t value)
{
    return try_send(channel, value);
}

/* Puts a sender into the line, or its new waker. @return whether it may wait there, after another look. */
static bool stand_in_line(struct kn_channel *channel, struct kn_wait_node *node, struct kn_waker *waker)
{
    struct kn_wait_list *line = &channel->senders.line;
    kn_wait_list_lock(line);
    if (kn_wait_node_is_woken(node))
        (void)kn_wait_list_remove(line, node); /* what it was woken for has been taken by another */
    kn_wait_list_add(line, node, waker);
    bool is_first = make_heedful(&channel->senders.heed);
    kn_wait_list_unlock(line);
    /* Others may rely on this barrier before it has come: what they miss, this one finds, sends into that room, and has
     * them woken when that is received. */
    return !is_first || have_all_pass(channel, &channel->senders.heed);
}

static bool is_in_line(const struct kn_wait_node *node)
{
    return atomic_load_explicit(&node->state, memory_order_relaxed) != KN_WAIT_NODE_IDLE;
}

/* Whether there is room. Only who was woken for it asks: it has then seen what was released. */
static bool has_room(struct kn_channel *channel)
{
    struct kn_writer *writer = &channel->queue.producer.writer;
    uint64_t claimed = atomic_load_explicit(&writer->ring.head->writers.claimed, memory_order_relaxed);
    return kn_ring_room(&writer->ring, kn_writer_gate(writer, kn_channel_queue_form(false, false), 1), claimed) > 0;
}

/*
 * Takes a sender out of the line. The room for which it was woken may be still there: when it gives up, and also when
 * it has sent, as it may have done so before, into other room, and be woken for what it has sent itself. Then the next
 * one gets it.
 */
static void leave_line(struct kn_channel *channel, struct kn_wait_node *node)
{
    if (!is_in_line(node))
        return;
    struct kn_wait_list *line = &channel->senders.line;
    kn_wait_list_lock(line);
    if (kn_wait_list_remove(line, node) && kn_wait_list_first(line) && has_room(channel))
        kn_wait_list_wake(line, kn_wait_list_first(line));
    kn_wait_list_unlock(line);
}

/* Sends, or stands in line for it. @return 0, -EPIPE, or KN_PENDING. */
static int64_t send_or_wait(struct kn_channel *channel, kn_value_t value, struct kn_wait_node *node,
                            struct kn_context *context)
{
    int64_t result = kn_channel_try_send(channel, value);
    if (result == -EAGAIN) {
        bool may_wait = stand_in_line(channel, node, context->waker);
        result = kn_channel_try_send(channel, value);
        if (result == -EAGAIN) {
            if (!may_wait)
                kn_waker_wake(context->waker);
            return KN_PENDING;
        }
    }
    leave_line(channel, node);
    return result;
}

void kn_channel_join(struct kn_channel *channel)
{
    atomic_fetch_add_explicit(&channel->senders.count, 1, memory_order_relaxed);
}

void kn_channel_leave(struct kn_channel *channel)
{
    /* Release and acquire pair with each other: the last one closes after all that the others have sent. */
    uint32_t count = atomic_fetch_sub_explicit(&channel->senders.count, 1, memory_order_acq_rel);
    kn_assert(count > 0);
    if (count == 1)
        kn_channel_close(channel);
}

static void close_as(struct kn_channel *channel, uint32_t how)
{
    /* Release pairs with the acquire in closed. */
    atomic_fetch_or_explicit(&channel->common.closed, how, memory_order_acq_rel);
    (void)wake_receiver(channel);
    (void)kn_wait_list_notify(&channel->senders.line, SIZE_MAX);
}

void kn_channel_close(struct kn_channel *channel)
{
    close_as(channel, KN_CHANNEL_CLOSED);
}

/* ---- receiving ---- */

int kn_channel_try_receive(struct kn_channel *channel, kn_value_t *value)
{
    if (KN_UNLIKELY(!take(channel, value))) {
        if (closed(channel) == 0)
            return -EAGAIN;
        if (!take(channel, value)) /* it was closed after what was sent */
            return -EPIPE;
    }
    if (KN_UNLIKELY(must_look_after_senders(channel)))
        look_after_senders(channel);
    return 0;
}

/* Leaves the waker to who sends next. @return whether the receiver may wait, after another look. */
static bool start_waiting(struct kn_channel *channel, struct kn_waker *waker)
{
    channel->receiver.is_registered = true;
    channel->receiver.has_waited = true;
    kn_waker_cell_register(&channel->receiver.cell, waker);
    return !make_heedful(&channel->common.receiver_heed) || have_all_pass(channel, &channel->common.receiver_heed);
}

/* Takes the waker back. */
static void stop_waiting(struct kn_channel *channel)
{
    if (!channel->receiver.is_registered)
        return;
    channel->receiver.is_registered = false;
    atomic_fetch_and_explicit(&channel->common.receiver_heed, ~(uint32_t)KN_CHANNEL_WAITS, memory_order_relaxed);
    kn_waker_cell_clear(&channel->receiver.cell);
}

/* Receives, or waits; also the end of a wait. */
static struct kn_outcome receive_or_wait(struct kn_channel *channel, struct kn_context *context)
{
    kn_value_t value = KN_NOTHING;
    int result = kn_channel_try_receive(channel, &value);
    if (result == -EAGAIN) {
        bool may_wait = start_waiting(channel, context->waker);
        result = kn_channel_try_receive(channel, &value);
        if (result == -EAGAIN) {
            if (!may_wait)
                kn_waker_wake(context->waker);
            return kn_pending();
        }
    }
    stop_waiting(channel);
    return result == 0 ? kn_ready(value) : kn_ended();
}

/* What is left to do for who has received where that is not all. */
static __attribute__((noinline)) struct kn_outcome end_receiving(struct kn_channel *channel, kn_value_t value)
{
    stop_waiting(channel);
    look_after_senders(channel);
    return kn_ready(value);
}

/* Most values go this way, which calls nothing and keeps no registers. */
KN_INLINE struct kn_outcome receive(struct kn_channel *channel, struct kn_context *context)
{
    kn_value_t value;
    if (KN_UNLIKELY(!take(channel, &value)))
        return receive_or_wait(channel, context);
    if (KN_UNLIKELY(must_look_after_senders(channel) || channel->receiver.is_registered))
        return end_receiving(channel, value);
    return kn_ready(value);
}

/* ---- the future that sends ---- */

static void send_drop(struct kn_future *future)
{
    struct kn_future_channel_send *self = KN_CONTAINER_OF(future, struct kn_future_channel_send, future);
    if (!self->holds)
        return;
    self->holds = false;
    leave_line(self->channel, &self->node);
    kn_channel_release(self->channel, self->value);
}

/* What is left to do for who has sent, or could not at once. */
static __attribute__((noinline)) struct kn_outcome go_on_sending(struct kn_future_channel_send *self,
                                                                 struct kn_context *context)
{
    int64_t result = 0;
    if (self->holds)
        result = send_or_wait(self->channel, self->value, &self->node, context);
    else
        (void)wake_receiver(self->channel);
    if (result == 0)
        self->holds = false;
    else if (result != KN_PENDING)
        send_drop(&self->future);
    return (struct kn_outcome){.status = result, .value = KN_NOTHING};
}

static struct kn_outcome send_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_future_channel_send *self = KN_CONTAINER_OF(future, struct kn_future_channel_send, future);
    struct kn_channel *channel = self->channel;
    /* As in receive; who stands in line has waited, and does not go this way again. */
    if (KN_UNLIKELY(is_in_line(&self->node) || closed(channel) != 0) || KN_UNLIKELY(!push(channel, self->value)))
        return go_on_sending(self, context);
    self->holds = false;
    if (KN_UNLIKELY(must_wake_receiver(channel)))
        return go_on_sending(self, context);
    return kn_ready(KN_NOTHING);
}

const struct kn_future_type kn_channel_send_type = {.name = "channel_send", .poll = send_poll, .drop = send_drop};

/* ---- the future that receives ---- */

static void receive_drop(struct kn_future *future)
{
    struct kn_future_channel_receive *self = KN_CONTAINER_OF(future, struct kn_future_channel_receive, future);
    if (!self->waits)
        return;
    self->waits = false;
    stop_waiting(self->channel);
}

/* Receives where the channel has, or is to have, the waker. */
static __attribute__((noinline)) struct kn_outcome wait_for_value(struct kn_future_channel_receive *self,
                                                                  struct kn_context *context)
{
    struct kn_outcome outcome = receive_or_wait(self->channel, context);
    self->waits = outcome.status == KN_PENDING;
    return outcome;
}

static struct kn_outcome receive_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_future_channel_receive *self = KN_CONTAINER_OF(future, struct kn_future_channel_receive, future);
    struct kn_channel *channel = self->channel;
    kn_value_t value;
    if (KN_UNLIKELY(channel->receiver.is_registered) || KN_UNLIKELY(!take(channel, &value)))
        return wait_for_value(self, context);
    if (KN_UNLIKELY(must_look_after_senders(channel)))
        return end_receiving(channel, value);
    return kn_ready(value);
}

static void receive_discard(struct kn_future *future, kn_value_t value)
{
    kn_channel_release(KN_CONTAINER_OF(future, struct kn_future_channel_receive, future)->channel, value);
}

const struct kn_future_type kn_channel_receive_type = {
    .name = "channel_receive", .poll = receive_poll, .drop = receive_drop, .discard = receive_discard};

/* ---- the stream ---- */

static struct kn_outcome stream_next(struct kn_stream *stream, struct kn_context *context)
{
    return receive(KN_CONTAINER_OF(stream, struct kn_stream_channel, stream)->channel, context);
}

static void stream_drop(struct kn_stream *stream)
{
    struct kn_stream_channel *self = KN_CONTAINER_OF(stream, struct kn_stream_channel, stream);
    struct kn_channel *channel = self->channel;
    if (closed(channel) & KN_CHANNEL_RECEIVER_GONE)
        return;
    stop_waiting(channel);
    close_as(channel, KN_CHANNEL_RECEIVER_GONE);
    discard_all(channel);
}

static void stream_discard(struct kn_stream *stream, kn_value_t value)
{
    kn_channel_release(KN_CONTAINER_OF(stream, struct kn_stream_channel, stream)->channel, value);
}

static const struct kn_stream_type stream_type = {
    .name = "channel", .next = stream_next, .drop = stream_drop, .discard = stream_discard};

struct kn_stream *kn_stream_channel(struct kn_stream_channel *self, struct kn_channel *channel)
{
    if (!channel)
        return NULL;
    struct kn_stream_channel nowhere = {.stream.type = &stream_type, .channel = channel};
    if (!self) {
        stream_drop(&nowhere.stream);
        return NULL;
    }
    *self = nowhere;
    return &self->stream;
}

/* ---- the sink ---- */

/* Sends the value that waits, if there is one. */
static int64_t send_held(struct kn_sink_channel *self, struct kn_context *context)
{
    if (!self->holds)
        return KN_READY;
    int64_t result = send_or_wait(self->channel, self->value, &self->node, context);
    if (result == 0)
        self->holds = false;
    return result;
}

static int64_t sink_ready(struct kn_sink *sink, struct kn_context *context)
{
    struct kn_sink_channel *self = KN_CONTAINER_OF(sink, struct kn_sink_channel, sink);
    if (KN_UNLIKELY(self->holds))
        return send_held(self, context);
    return closed(self->channel) == 0 ? KN_READY : -EPIPE;
}

static __attribute__((noinline)) int hold(struct kn_sink_channel *self, kn_value_t value)
{
    self->value = value;
    self->holds = true;
    return KN_READY;
}

static int64_t sink_start(struct kn_sink *sink, kn_value_t value)
{
    struct kn_sink_channel *self = KN_CONTAINER_OF(sink, struct kn_sink_channel, sink);
    int result = try_send(self->channel, value);
    return KN_LIKELY(result != -EAGAIN) ? result : hold(self, value);
}

static int64_t sink_flush(struct kn_sink *sink, struct kn_context *context)
{
    return send_held(KN_CONTAINER_OF(sink, struct kn_sink_channel, sink), context);
}

static void sink_discard(struct kn_sink *sink, kn_value_t value)
{
    const struct kn_channel_options *options = KN_CONTAINER_OF(sink, struct kn_sink_channel, sink)->options;
    if (options->release)
        options->release(value, options->context);
}

static void sink_drop(struct kn_sink *sink)
{
    struct kn_sink_channel *self = KN_CONTAINER_OF(sink, struct kn_sink_channel, sink);
    if (!self->channel)
        return;
    leave_line(self->channel, &self->node);
    if (self->holds)
        sink_discard(sink, self->value);
    self->holds = false;
    kn_channel_leave(self->channel);
    self->channel = NULL;
}

static int64_t sink_close(struct kn_sink *sink, struct kn_context *context)
{
    int64_t result = send_held(KN_CONTAINER_OF(sink, struct kn_sink_channel, sink), context);
    if (result == KN_READY)
        sink_drop(sink);
    return result;
}

static const struct kn_sink_type sink_type = {.name = "channel",
                                              .ready = sink_ready,
                                              .start = sink_start,
                                              .flush = sink_flush,
                                              .close = sink_close,
                                              .drop = sink_drop,
                                              .discard = sink_discard};

struct kn_sink *kn_sink_channel(struct kn_sink_channel *self, struct kn_channel *channel)
{
    if (!self || !channel)
        return NULL;
    *self = (struct kn_sink_channel){.sink.type = &sink_type, .channel = channel, .options = &channel->common.options};
    kn_channel_join(channel);
    return &self->sink;
}
