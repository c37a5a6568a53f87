/*
 * Channels of which every receiver gets every value. See broadcast_channel.h.
 */
#include <kernel/broadcast_channel.h>

#include <kernel/assert.h>

void kn_broadcast_channel_init(struct kn_broadcast_channel *channel, kn_value_t *slots, size_t capacity)
{
    kn_assert(capacity > 0);
    *channel = (struct kn_broadcast_channel){.slots = slots, .capacity = capacity};
}

/* With the lock held. */
static void wake_all(struct kn_broadcast_channel *channel)
{
    while (kn_wait_list_first(&channel->line))
        kn_wait_list_wake(&channel->line, kn_wait_list_first(&channel->line));
}

int kn_broadcast_channel_send(struct kn_broadcast_channel *channel, kn_value_t value)
{
    kn_wait_list_lock(&channel->line);
    bool closed = channel->closed;
    if (!closed) {
        channel->slots[channel->next++ % channel->capacity] = value;
        wake_all(channel);
    }
    kn_wait_list_unlock(&channel->line);
    return closed ? -EPIPE : 0;
}

void kn_broadcast_channel_close(struct kn_broadcast_channel *channel)
{
    kn_wait_list_lock(&channel->line);
    channel->closed = true;
    wake_all(channel);
    kn_wait_list_unlock(&channel->line);
}

void kn_broadcast_channel_subscribe(struct kn_broadcast_receiver *receiver, struct kn_broadcast_channel *channel)
{
    kn_wait_list_lock(&channel->line);
    *receiver = (struct kn_broadcast_receiver){.channel = channel, .next = channel->next};
    kn_wait_list_unlock(&channel->line);
}

uint64_t kn_broadcast_receiver_lost(const struct kn_broadcast_receiver *receiver)
{
    return receiver->lost;
}

/* With the lock held. */
static int receive(struct kn_broadcast_receiver *receiver, kn_value_t *value)
{
    const struct kn_broadcast_channel *channel = receiver->channel;
    uint64_t behind = channel->next - receiver->next;
    if (behind == 0)
        return channel->closed ? -EPIPE : -EAGAIN;
    if (behind > channel->capacity) {
        receiver->lost += behind - channel->capacity;
        receiver->next = channel->next - channel->capacity;
        return -EOVERFLOW;
    }
    *value = channel->slots[receiver->next++ % channel->capacity];
    return 0;
}

int kn_broadcast_channel_try_receive(struct kn_broadcast_receiver *receiver, kn_value_t *value)
{
    kn_wait_list_lock(&receiver->channel->line);
    int result = receive(receiver, value);
    kn_wait_list_unlock(&receiver->channel->line);
    return result;
}

/* ---- receive ---- */

static void receive_drop(struct kn_future *future)
{
    struct kn_future_broadcast_receive *self = KN_CONTAINER_OF(future, struct kn_future_broadcast_receive, future);
    if (atomic_load_explicit(&self->node.state, memory_order_relaxed) == KN_WAIT_NODE_IDLE)
        return;
    struct kn_wait_list *line = &self->receiver->channel->line;
    kn_wait_list_lock(line);
    (void)kn_wait_list_remove(line, &self->node); /* all are woken: nothing to hand on */
    kn_wait_list_unlock(line);
}

static struct kn_outcome receive_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_future_broadcast_receive *self = KN_CONTAINER_OF(future, struct kn_future_broadcast_receive, future);
    struct kn_wait_list *line = &self->receiver->channel->line;
    kn_value_t value = KN_NOTHING;
    kn_wait_list_lock(line);
    int result = receive(self->receiver, &value);
    if (result != -EAGAIN || kn_wait_node_is_woken(&self->node))
        (void)kn_wait_list_remove(line, &self->node);
    if (result == -EAGAIN)
        kn_wait_list_add(line, &self->node, context->waker);
    kn_wait_list_unlock(line);
    if (result == -EAGAIN)
        return kn_pending();
    return result == -EPIPE ? kn_ended() : (struct kn_outcome){.status = result, .value = value};
}

static const struct kn_future_type receive_type = {
    .name = "broadcast_receive", .poll = receive_poll, .drop = receive_drop};

struct kn_future *kn_future_broadcast_receive(struct kn_future_broadcast_receive *self,
                                              struct kn_broadcast_receiver *receiver)
{
    if (!self || !receiver)
        return NULL;
    self->future.type = &receive_type;
    self->receiver = receiver;
    atomic_init(&self->node.state, KN_WAIT_NODE_IDLE);
    return &self->future;
}

/* ---- the stream ---- */

static struct kn_outcome stream_next(struct kn_stream *stream, struct kn_context *context)
{
    return receive_poll(&KN_CONTAINER_OF(stream, struct kn_stream_broadcast, stream)->receive.future, context);
}

static void stream_drop(struct kn_stream *stream)
{
    receive_drop(&KN_CONTAINER_OF(stream, struct kn_stream_broadcast, stream)->receive.future);
}

static const struct kn_stream_type stream_type = {.name = "broadcast", .next = stream_next, .drop = stream_drop};

struct kn_stream *kn_stream_broadcast(struct kn_stream_broadcast *self, struct kn_broadcast_channel *channel)
{
    if (!self || !channel)
        return NULL;
    self->stream.type = &stream_type;
    kn_broadcast_channel_subscribe(&self->receiver, channel);
    (void)kn_future_broadcast_receive(&self->receive, &self->receiver);
    return &self->stream;
}

/* ---- the sink ---- */

static int64_t sink_ready(struct kn_sink *sink, struct kn_context *context)
{
    (void)sink;
    (void)context;
    return KN_READY;
}

static int64_t sink_start(struct kn_sink *sink, kn_value_t value)
{
    return kn_broadcast_channel_send(KN_CONTAINER_OF(sink, struct kn_sink_broadcast, sink)->channel, value);
}

static int64_t sink_close(struct kn_sink *sink, struct kn_context *context)
{
    (void)context;
    kn_broadcast_channel_close(KN_CONTAINER_OF(sink, struct kn_sink_broadcast, sink)->channel);
    return KN_READY;
}

static void sink_drop(struct kn_sink *sink)
{
    (void)sink;
}

static const struct kn_sink_type sink_type = {.name = "broadcast",
                                              .ready = sink_ready,
                                              .start = sink_start,
                                              .flush = sink_ready,
                                              .close = sink_close,
                                              .drop = sink_drop};

struct kn_sink *kn_sink_broadcast(struct kn_sink_broadcast *self, struct kn_broadcast_channel *channel)
{
    if (!self || !channel)
        return NULL;
    *self = (struct kn_sink_broadcast){.sink.type = &sink_type, .channel = channel};
    return &self->sink;
}
