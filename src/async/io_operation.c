/*
 * Futures that read, write and copy. See io.h.
 */
#include <kernel/io.h>

/* Pieces handed to the system at once. */
enum { GATHERED_PIECES = 16 };

/* ---- ready ---- */

static struct kn_outcome ready_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_future_io_ready *self = KN_CONTAINER_OF(future, struct kn_future_io_ready, future);
    int64_t status = kn_io_poll_ready(&self->wait, self->io, self->direction, context);
    if (status == KN_PENDING)
        return kn_pending();
    kn_io_wait_end(&self->wait);
    return status == KN_READY ? kn_ready(KN_NOTHING) : kn_failed(status);
}

static void ready_drop(struct kn_future *future)
{
    kn_io_wait_end(&KN_CONTAINER_OF(future, struct kn_future_io_ready, future)->wait);
}

static const struct kn_future_type ready_type = {.name = "io_ready", .poll = ready_poll, .drop = ready_drop};

static struct kn_future *ready_make(struct kn_future_io_ready *self, struct kn_io *io, enum kn_io_direction direction)
{
    if (!self)
        return NULL;
    *self = (struct kn_future_io_ready){.future.type = &ready_type, .io = io, .direction = direction};
    return &self->future;
}

struct kn_future *kn_future_io_readable(struct kn_future_io_ready *self, struct kn_io *io)
{
    return ready_make(self, io, KN_IO_READ);
}

struct kn_future *kn_future_io_writable(struct kn_future_io_ready *self, struct kn_io *io)
{
    return ready_make(self, io, KN_IO_WRITE);
}

/* ---- read, read_exact ---- */

/* One attempt. Pending where another is worth making, which the caller's loop sees to. */
static struct kn_outcome read_more(struct kn_future_io_read *self)
{
    ptrdiff_t count = kn_io_try_read(self->io, self->bytes + self->done, self->length - self->done);
    if (count == -EAGAIN)
        return kn_pending();
    if (count < 0)
        return kn_failed(count);
    self->done += (size_t)count;
    if (!self->exact || self->done == self->length)
        return kn_ready(kn_value_of_natural(self->done));
    return count == 0 ? kn_failed(-ENODATA) : kn_pending();
}

static struct kn_outcome read_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_future_io_read *self = KN_CONTAINER_OF(future, struct kn_future_io_read, future);
    struct kn_outcome outcome = kn_pending();
    while (outcome.status == KN_PENDING) {
        int64_t status = kn_io_poll_ready(&self->wait, self->io, KN_IO_READ, context);
        if (status == KN_PENDING || (status == KN_READY && !kn_context_may_continue(context)))
            return kn_pending();
        outcome = status == KN_READY ? read_more(self) : kn_failed(status);
    }
    kn_io_wait_end(&self->wait);
    return outcome;
}

static void read_drop(struct kn_future *future)
{
    kn_io_wait_end(&KN_CONTAINER_OF(future, struct kn_future_io_read, future)->wait);
}

static const struct kn_future_type read_type = {.name = "io_read", .poll = read_poll, .drop = read_drop};

static struct kn_future *read_make(struct kn_future_io_read *self, struct kn_io *io, void *bytes, size_t length,
                                   bool exact)
{
    if (!self)
        return NULL;
    *self = (struct kn_future_io_read){
        .future.type = &read_type, .io = io, .bytes = bytes, .length = length, .exact = exact};
    return &self->future;
}

struct kn_future *kn_future_io_read(struct kn_future_io_read *self, struct kn_io *io, void *bytes, size_t length_bytes)
{
    return read_make(self, io, bytes, length_bytes, false);
}

struct kn_future *kn_future_io_read_exact(struct kn_future_io_read *self, struct kn_io *io, void *bytes,
                                          size_t length_bytes)
{
    return read_make(self, io, bytes, length_bytes, true);
}

/* ---- write_all ---- */

/* Passes over pieces of which nothing is left. */
static void skip_written(struct kn_future_io_write_all *self)
{
    while (self->count > 0 && self->offset >= self->pieces->iov_len) {
        self->offset -= self->pieces->iov_len;
        self->pieces++;
        self->count--;
    }
}

/* As read_more. The first pieces are copied, as the system takes no offset into the first one. */
static struct kn_outcome write_more(struct kn_future_io_write_all *self)
{
    struct iovec pieces[GATHERED_PIECES];
    pieces[0] = (struct iovec){.iov_base = (uint8_t *)self->pieces->iov_base + self->offset,
                               .iov_len = self->pieces->iov_len - self->offset};
    size_t count = 1;
    for (; count < self->count && count < GATHERED_PIECES; count++)
        pieces[count] = self->pieces[count];
    ptrdiff_t written = kn_io_try_write_vector(self->io, pieces, count);
    if (written == -EAGAIN)
        return kn_pending();
    if (written < 0)
        return kn_failed(written);
    self->done += (size_t)written;
    self->offset += (size_t)written;
    skip_written(self);
    return self->count > 0 ? kn_pending() : kn_ready(kn_value_of_natural(self->done));
}

static struct kn_outcome write_all_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_future_io_write_all *self = KN_CONTAINER_OF(future, struct kn_future_io_write_all, future);
    skip_written(self);
    struct kn_outcome outcome = self->count > 0 ? kn_pending() : kn_ready(KN_NOTHING);
    while (outcome.status == KN_PENDING) {
        int64_t status = kn_io_poll_ready(&self->wait, self->io, KN_IO_WRITE, context);
        if (status == KN_PENDING || (status == KN_READY && !kn_context_may_continue(context)))
            return kn_pending();
        outcome = status == KN_READY ? write_more(self) : kn_failed(status);
    }
    kn_io_wait_end(&self->wait);
    return outcome;
}

static void write_all_drop(struct kn_future *future)
{
    kn_io_wait_end(&KN_CONTAINER_OF(future, struct kn_future_io_write_all, future)->wait);
}

static const struct kn_future_type write_all_type = {
    .name = "io_write_all", .poll = write_all_poll, .drop = write_all_drop};

struct kn_future *kn_future_io_write_all(struct kn_future_io_write_all *self, struct kn_io *io, const void *bytes,
                                         size_t length_bytes)
{
    if (!kn_future_io_write_all_vector(self, io, NULL, 1))
        return NULL;
    self->piece = (struct iovec){.iov_base = (void *)(uintptr_t)bytes, .iov_len = length_bytes};
    self->pieces = &self->piece;
    return &self->future;
}

struct kn_future *kn_future_io_write_all_vector(struct kn_future_io_write_all *self, struct kn_io *io,
                                                const struct iovec *pieces, size_t count)
{
    if (!self)
        return NULL;
    *self = (struct kn_future_io_write_all){.future.type = &write_all_type, .io = io, .pieces = pieces, .count = count};
    return &self->future;
}

/* ---- copy ---- */

/* Writes what was read. Ready once the buffer is empty. */
static int64_t copy_out(struct kn_future_io_copy *self, struct kn_context *context)
{
    while (self->begin < self->end) {
        int64_t status = kn_io_poll_ready(&self->writing, self->to, KN_IO_WRITE, context);
        if (status != KN_READY)
            return status;
        ptrdiff_t count = kn_io_try_write(self->to, self->buffer + self->begin, self->end - self->begin);
        if (count < 0 && count != -EAGAIN)
            return count;
        if (count > 0) {
            self->begin += (size_t)count;
            self->copied += (uint64_t)count;
        }
    }
    return KN_READY;
}

/* Reads something. Ready, also at the end. */
static int64_t copy_in(struct kn_future_io_copy *self, struct kn_context *context)
{
    ptrdiff_t count = -EAGAIN;
    while (count == -EAGAIN) {
        int64_t status = kn_io_poll_ready(&self->reading, self->from, KN_IO_READ, context);
        if (status != KN_READY)
            return status;
        count = kn_io_try_read(self->from, self->buffer, self->capacity);
    }
    if (count < 0)
        return count;
    self->begin = 0;
    self->end = (size_t)count;
    self->is_at_end = count == 0;
    return KN_READY;
}

static void copy_drop(struct kn_future *future)
{
    struct kn_future_io_copy *self = KN_CONTAINER_OF(future, struct kn_future_io_copy, future);
    kn_io_wait_end(&self->reading);
    kn_io_wait_end(&self->writing);
}

static struct kn_outcome copy_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_future_io_copy *self = KN_CONTAINER_OF(future, struct kn_future_io_copy, future);
    int64_t status = KN_READY;
    while (status == KN_READY && !self->is_at_end) {
        if (!kn_context_may_continue(context))
            return kn_pending();
        status = copy_out(self, context);
        if (status == KN_READY)
            status = copy_in(self, context);
    }
    if (status == KN_PENDING)
        return kn_pending();
    copy_drop(future);
    return status == KN_READY ? kn_ready(kn_value_of_natural(self->copied)) : kn_failed(status);
}

static const struct kn_future_type copy_type = {.name = "io_copy", .poll = copy_poll, .drop = copy_drop};

struct kn_future *kn_future_io_copy(struct kn_future_io_copy *self, struct kn_io *from, struct kn_io *to, void *buffer,
                                    size_t capacity_bytes)
{
    if (!self)
        return NULL;
    *self = (struct kn_future_io_copy){
        .future.type = &copy_type, .from = from, .to = to, .buffer = buffer, .capacity = capacity_bytes};
    return &self->future;
}
