/*
 * Streams and sinks of bytes. See io_stream.h.
 */
#include <kernel/io_stream.h>

#include <string.h>
#include <sys/socket.h>

#include <kernel/assert.h>

/* The item of a stream of chunks. */
static struct kn_outcome chunk_ready(const struct kn_io_chunk *chunk)
{
    return kn_ready(kn_value_of_pointer(chunk));
}

static struct kn_io_chunk chunk_of(kn_value_t value)
{
    return *(const struct kn_io_chunk *)value.pointer;
}

/* Takes bytes from the front of a chunk. */
static void chunk_advance(struct kn_io_chunk *chunk, size_t length)
{
    if (length > 0)
        chunk->bytes += length;
    chunk->length -= length;
}

/* Copies to where there is room; memcpy wants pointers even for nothing. */
static void append(uint8_t *buffer, size_t *held, const uint8_t *bytes, size_t length)
{
    if (length > 0)
        memcpy(buffer + *held, bytes, length);
    *held += length;
}

/* ---- read ---- */

static void read_drop(struct kn_stream *stream)
{
    kn_io_wait_end(&KN_CONTAINER_OF(stream, struct kn_stream_read, stream)->wait);
}

static struct kn_outcome read_next(struct kn_stream *stream, struct kn_context *context)
{
    struct kn_stream_read *self = KN_CONTAINER_OF(stream, struct kn_stream_read, stream);
    if (self->is_over)
        return kn_ended();
    ptrdiff_t count = -EAGAIN;
    while (count == -EAGAIN) {
        int64_t status = kn_io_poll_ready(&self->wait, self->io, KN_IO_READ, context);
        if (status == KN_PENDING)
            return kn_pending();
        count = status == KN_READY ? kn_io_try_read(self->io, self->buffer, self->capacity) : status;
    }
    kn_io_wait_end(&self->wait);
    self->is_over = count <= 0;
    if (count <= 0)
        return count == 0 ? kn_ended() : kn_failed(count);
    self->chunk = (struct kn_io_chunk){.bytes = self->buffer, .length = (size_t)count};
    return chunk_ready(&self->chunk);
}

static const struct kn_stream_type read_type = {.name = "read", .next = read_next, .drop = read_drop};

struct kn_stream *kn_stream_read(struct kn_stream_read *self, struct kn_io *io, void *buffer, size_t capacity_bytes)
{
    if (!self)
        return NULL;
    *self = (struct kn_stream_read){.stream.type = &read_type, .io = io, .buffer = buffer, .capacity = capacity_bytes};
    return &self->stream;
}

/* ---- write ---- */

static int64_t write_flush(struct kn_sink *sink, struct kn_context *context)
{
    struct kn_sink_write *self = KN_CONTAINER_OF(sink, struct kn_sink_write, sink);
    int64_t status = KN_READY;
    while (self->chunk.length > 0 && status == KN_READY) {
        status = kn_io_poll_ready(&self->wait, self->io, KN_IO_WRITE, context);
        if (status != KN_READY)
            break;
        if (!kn_context_may_continue(context))
            return KN_PENDING;
        ptrdiff_t count = kn_io_try_write(self->io, self->chunk.bytes, self->chunk.length);
        if (count > 0)
            chunk_advance(&self->chunk, (size_t)count);
        else if (count < 0 && count != -EAGAIN)
            status = count;
    }
    if (status != KN_PENDING)
        kn_io_wait_end(&self->wait);
    return status;
}

static int64_t write_ready(struct kn_sink *sink, struct kn_context *context)
{
    struct kn_sink_write *self = KN_CONTAINER_OF(sink, struct kn_sink_write, sink);
    return self->chunk.length > self->capacity / 2 ? write_flush(sink, context) : KN_READY;
}

static int64_t write_start(struct kn_sink *sink, kn_value_t value)
{
    struct kn_sink_write *self = KN_CONTAINER_OF(sink, struct kn_sink_write, sink);
    struct kn_io_chunk chunk = chunk_of(value);
    if (!self->buffer) {
        self->chunk = chunk;
        return KN_READY;
    }
    if (chunk.length > self->capacity / 2)
        return -EMSGSIZE;
    kn_assert(chunk.length <= self->capacity - self->chunk.length); /* or it was not asked whether it is ready */
    if (self->chunk.length == 0)
        self->chunk.bytes = self->buffer;
    /* What a flush that is still pending has left moves to the front where there is no room behind it. */
    size_t used = (size_t)(self->chunk.bytes - self->buffer) + self->chunk.length;
    if (chunk.length > self->capacity - used) {
        memmove(self->buffer, self->chunk.bytes, self->chunk.length);
        self->chunk.bytes = self->buffer;
        used = self->chunk.length;
    }
    append(self->buffer, &used, chunk.bytes, chunk.length);
    self->chunk.length += chunk.length;
    return KN_READY;
}

static int64_t write_close(struct kn_sink *sink, struct kn_context *context)
{
    struct kn_sink_write *self = KN_CONTAINER_OF(sink, struct kn_sink_write, sink);
    int64_t status = write_flush(sink, context);
    if (status != KN_READY)
        return status;
    /* Only to learn whether this is the place. */
    status = kn_io_poll_ready(&self->wait, self->io, KN_IO_WRITE, context);
    kn_io_wait_end(&self->wait);
    if (status < 0)
        return status == -EBADF ? KN_READY : status;
    if (shutdown(self->io->descriptor, SHUT_WR) == 0 || errno == ENOTCONN)
        return KN_READY;
    if (errno != ENOTSOCK)
        return -errno;
    kn_io_close(self->io);
    return KN_READY;
}

static void write_drop(struct kn_sink *sink)
{
    kn_io_wait_end(&KN_CONTAINER_OF(sink, struct kn_sink_write, sink)->wait);
}

static const struct kn_sink_type write_type = {.name = "write",
                                               .ready = write_ready,
                                               .start = write_start,
                                               .flush = write_flush,
                                               .close = write_close,
                                               .drop = write_drop};

struct kn_sink *kn_sink_write(struct kn_sink_write *self, struct kn_io *io, void *buffer, size_t capacity_bytes)
{
    if (!self)
        return NULL;
    *self = (struct kn_sink_write){
        .sink.type = &write_type, .io = io, .buffer = buffer, .capacity = buffer ? capacity_bytes : 0};
    return &self->sink;
}

/* ---- split, lines ---- */

/* The framer of line.h knows one delimiter only and keeps no failures apart from lines; this is it for any. */

static struct kn_outcome split_answer(struct kn_stream_split *self, const uint8_t *bytes, size_t length)
{
    if (self->is_lines && length > 0 && bytes[length - 1] == '\r')
        length--;
    self->piece = (struct kn_io_chunk){.bytes = bytes, .length = length};
    return chunk_ready(&self->piece);
}

/* Takes bytes of `rest`, up to the first delimiter. Pending: all were taken. */
static struct kn_outcome split_take(struct kn_stream_split *self)
{
    const uint8_t *bytes = self->rest.bytes;
    const uint8_t *end = memchr(bytes, self->delimiter, self->rest.length);
    size_t length = end ? (size_t)(end - bytes) : self->rest.length;
    chunk_advance(&self->rest, end ? length + 1 : length);
    if (self->is_skipping) {
        self->is_skipping = end == NULL;
        return kn_pending();
    }
    if (length > self->capacity - self->held) {
        self->held = 0;
        self->is_skipping = end == NULL;
        return kn_failed(-EMSGSIZE);
    }
    if (end && self->held == 0)
        return split_answer(self, bytes, length);
    append(self->buffer, &self->held, bytes, length);
    if (!end)
        return kn_pending();
    size_t held = self->held;
    self->held = 0;
    return split_answer(self, self->buffer, held);
}

static struct kn_outcome split_end(struct kn_stream_split *self)
{
    size_t held = self->held;
    self->is_over = true;
    self->held = 0;
    return held > 0 ? split_answer(self, self->buffer, held) : kn_ended();
}

static struct kn_outcome split_next(struct kn_stream *stream, struct kn_context *context)
{
    struct kn_stream_split *self = KN_CONTAINER_OF(stream, struct kn_stream_split, stream);
    if (self->is_over)
        return kn_ended();
    for (;;) {
        struct kn_outcome outcome = self->rest.length > 0 ? split_take(self) : kn_pending();
        if (outcome.status != KN_PENDING)
            return outcome;
        if (!kn_context_may_continue(context))
            return kn_pending();
        if (self->rest.length > 0)
            continue; /* the end of one that was too long */
        outcome = kn_stream_poll(self->inner, context);
        if (outcome.status == KN_END)
            return split_end(self);
        if (outcome.status != KN_READY)
            return outcome;
        self->rest = chunk_of(outcome.value);
    }
}

static void split_drop(struct kn_stream *stream)
{
    kn_stream_drop(KN_CONTAINER_OF(stream, struct kn_stream_split, stream)->inner);
}

static const struct kn_stream_type split_type = {.name = "split", .next = split_next, .drop = split_drop};

static struct kn_stream *split_make(struct kn_stream_split *self, struct kn_stream *inner,
                                    struct kn_stream_split fields)
{
    if (!self || !inner) {
        kn_stream_drop(inner);
        return NULL;
    }
    *self = fields;
    self->stream.type = &split_type;
    self->inner = inner;
    return &self->stream;
}

struct kn_stream *kn_stream_split(struct kn_stream_split *self, struct kn_stream *inner, uint8_t delimiter,
                                  void *buffer, size_t capacity_bytes)
{
    return split_make(self, inner,
                      (struct kn_stream_split){.delimiter = delimiter, .buffer = buffer, .capacity = capacity_bytes});
}

struct kn_stream *kn_stream_lines(struct kn_stream_split *self, struct kn_stream *inner, void *buffer,
                                  size_t capacity_bytes)
{
    return split_make(
        self, inner,
        (struct kn_stream_split){.delimiter = '\n', .is_lines = true, .buffer = buffer, .capacity = capacity_bytes});
}

/* ---- frames ---- */

static struct kn_outcome frames_fail(struct kn_stream_frames *self, int error)
{
    self->is_over = true;
    return kn_failed(error);
}

/* Takes bytes of the header. Pending: go on; or a failure. */
static struct kn_outcome frames_take_header(struct kn_stream_frames *self)
{
    size_t wanted = KN_FRAME_HEADER_BYTES - self->header_bytes;
    size_t taken = self->rest.length < wanted ? self->rest.length : wanted;
    append(self->header, &self->header_bytes, self->rest.bytes, taken);
    chunk_advance(&self->rest, taken);
    if (self->header_bytes < KN_FRAME_HEADER_BYTES)
        return kn_pending();
    const uint8_t *header = self->header;
    self->length = (size_t)header[0] << 24 | (size_t)header[1] << 16 | (size_t)header[2] << 8 | header[3];
    return self->length > self->capacity ? frames_fail(self, -EMSGSIZE) : kn_pending();
}

/* Takes bytes of the frame, once the header is whole. A frame that lies whole in its chunk is answered in place. */
static struct kn_outcome frames_take(struct kn_stream_frames *self)
{
    size_t wanted = self->length - self->held;
    size_t taken = self->rest.length < wanted ? self->rest.length : wanted;
    if (self->held == 0 && taken == wanted)
        self->frame = (struct kn_io_chunk){.bytes = self->rest.bytes, .length = wanted};
    else
        append(self->buffer, &self->held, self->rest.bytes, taken);
    chunk_advance(&self->rest, taken);
    if (taken < wanted)
        return kn_pending();
    if (self->held > 0)
        self->frame = (struct kn_io_chunk){.bytes = self->buffer, .length = self->length};
    self->held = 0;
    self->header_bytes = 0;
    return chunk_ready(&self->frame);
}

static struct kn_outcome frames_next(struct kn_stream *stream, struct kn_context *context)
{
    struct kn_stream_frames *self = KN_CONTAINER_OF(stream, struct kn_stream_frames, stream);
    if (self->is_over)
        return kn_ended();
    for (;;) {
        struct kn_outcome outcome = kn_pending();
        if (self->header_bytes < KN_FRAME_HEADER_BYTES)
            outcome = frames_take_header(self);
        if (outcome.status == KN_PENDING && self->header_bytes == KN_FRAME_HEADER_BYTES)
            outcome = frames_take(self);
        if (outcome.status != KN_PENDING)
            return outcome;
        if (!kn_context_may_continue(context))
            return kn_pending();
        outcome = kn_stream_poll(self->inner, context);
        if (outcome.status == KN_END && self->header_bytes > 0)
            return frames_fail(self, -ENODATA);
        if (outcome.status == KN_END)
            self->is_over = true;
        if (outcome.status != KN_READY)
            return outcome;
        self->rest = chunk_of(outcome.value);
    }
}

static void frames_drop(struct kn_stream *stream)
{
    kn_stream_drop(KN_CONTAINER_OF(stream, struct kn_stream_frames, stream)->inner);
}

static const struct kn_stream_type frames_type = {.name = "frames", .next = frames_next, .drop = frames_drop};

struct kn_stream *kn_stream_frames(struct kn_stream_frames *self, struct kn_stream *inner, void *buffer,
                                   size_t capacity_bytes)
{
    if (!self || !inner) {
        kn_stream_drop(inner);
        return NULL;
    }
    *self = (struct kn_stream_frames){
        .stream.type = &frames_type, .inner = inner, .buffer = buffer, .capacity = capacity_bytes};
    return &self->stream;
}

/* ---- frames, as a sink ---- */

static int64_t frames_ready(struct kn_sink *sink, struct kn_context *context)
{
    return kn_sink_poll_ready(KN_CONTAINER_OF(sink, struct kn_sink_frames, sink)->inner, context);
}

static int64_t frames_start(struct kn_sink *sink, kn_value_t value)
{
    struct kn_sink_frames *self = KN_CONTAINER_OF(sink, struct kn_sink_frames, sink);
    struct kn_io_chunk chunk = chunk_of(value);
    if (chunk.length > UINT32_MAX || self->capacity < KN_FRAME_HEADER_BYTES ||
        chunk.length > self->capacity - KN_FRAME_HEADER_BYTES)
        return -EMSGSIZE;
    for (unsigned i = 0; i < KN_FRAME_HEADER_BYTES; i++)
        self->buffer[i] = (uint8_t)(chunk.length >> 8 * (KN_FRAME_HEADER_BYTES - 1 - i));
    size_t length = KN_FRAME_HEADER_BYTES;
    append(self->buffer, &length, chunk.bytes, chunk.length);
    self->chunk = (struct kn_io_chunk){.bytes = self->buffer, .length = length};
    return kn_sink_start_send(self->inner, kn_value_of_pointer(&self->chunk));
}

static int64_t frames_flush(struct kn_sink *sink, struct kn_context *context)
{
    return kn_sink_poll_flush(KN_CONTAINER_OF(sink, struct kn_sink_frames, sink)->inner, context);
}

static int64_t frames_close(struct kn_sink *sink, struct kn_context *context)
{
    return kn_sink_poll_close(KN_CONTAINER_OF(sink, struct kn_sink_frames, sink)->inner, context);
}

static void frames_sink_drop(struct kn_sink *sink)
{
    kn_sink_drop(KN_CONTAINER_OF(sink, struct kn_sink_frames, sink)->inner);
}

static const struct kn_sink_type frames_sink_type = {.name = "frames",
                                                     .ready = frames_ready,
                                                     .start = frames_start,
                                                     .flush = frames_flush,
                                                     .close = frames_close,
                                                     .drop = frames_sink_drop};

struct kn_sink *kn_sink_frames(struct kn_sink_frames *self, struct kn_sink *inner, void *buffer, size_t capacity_bytes)
{
    if (!self || !inner) {
        kn_sink_drop(inner);
        return NULL;
    }
    *self = (struct kn_sink_frames){
        .sink.type = &frames_sink_type, .inner = inner, .buffer = buffer, .capacity = capacity_bytes};
    return &self->sink;
}

/* ---- gather ---- */

static struct kn_outcome gather_stop(struct kn_stream_gather *self, struct kn_outcome outcome)
{
    kn_stream_drop(self->inner);
    return outcome;
}

static struct kn_outcome gather_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_stream_gather *self = KN_CONTAINER_OF(future, struct kn_stream_gather, future);
    while (kn_context_may_continue(context)) {
        struct kn_outcome outcome = kn_stream_poll(self->inner, context);
        if (outcome.status == KN_PENDING)
            return outcome;
        if (outcome.status == KN_END)
            return gather_stop(self, kn_ready(kn_value_of_natural(self->length)));
        if (outcome.status != KN_READY)
            return gather_stop(self, outcome);
        struct kn_io_chunk chunk = chunk_of(outcome.value);
        if (chunk.length > self->capacity - self->length)
            return gather_stop(self, kn_failed(-EMSGSIZE));
        append(self->buffer, &self->length, chunk.bytes, chunk.length);
    }
    return kn_pending();
}

static void gather_drop(struct kn_future *future)
{
    kn_stream_drop(KN_CONTAINER_OF(future, struct kn_stream_gather, future)->inner);
}

static const struct kn_future_type gather_type = {.name = "gather", .poll = gather_poll, .drop = gather_drop};

struct kn_future *kn_stream_gather(struct kn_stream_gather *self, struct kn_stream *inner, void *buffer,
                                   size_t capacity_bytes)
{
    if (!self || !inner) {
        kn_stream_drop(inner);
        return NULL;
    }
    *self = (struct kn_stream_gather){
        .future.type = &gather_type, .inner = inner, .buffer = buffer, .capacity = capacity_bytes};
    return &self->future;
}
