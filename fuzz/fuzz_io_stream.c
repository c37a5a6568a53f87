/* However bytes come in chunks, lines, pieces and frames are the same, and what was framed is what comes out. First
 * byte: the length of chunks; second: which cutter. */
#include <kernel/io_stream.h>

#include "fuzz.h"

enum { CAPACITY = 32 };

/* The input, in chunks of `step` bytes. */
struct source {
    struct kn_stream stream;
    const uint8_t *data;
    size_t left;
    size_t step;
    struct kn_io_chunk chunk;
};

static struct kn_outcome source_next(struct kn_stream *stream, struct kn_context *context)
{
    (void)context;
    struct source *source = KN_CONTAINER_OF(stream, struct source, stream);
    if (source->left == 0)
        return kn_ended();
    source->chunk.length = source->left < source->step ? source->left : source->step;
    source->chunk.bytes = source->data;
    source->data += source->chunk.length;
    source->left -= source->chunk.length;
    return kn_ready(KN_VALUE(&source->chunk));
}

static const struct kn_stream_type source_type = {
    .name = "source", .next = source_next, .drop = kn_stream_drop_nothing};

/* Folds all that comes out into one number. */
static uint64_t fold(const uint8_t *data, size_t size, size_t step, unsigned cutter)
{
    struct source source = {.stream.type = &source_type, .data = data, .left = size, .step = step};
    struct kn_stream_split split;
    struct kn_stream_frames frames;
    uint8_t buffer[CAPACITY];
    struct kn_stream *stream = cutter == 0   ? kn_stream_lines(&split, &source.stream, buffer, CAPACITY)
                               : cutter == 1 ? kn_stream_split(&split, &source.stream, ',', buffer, CAPACITY)
                                             : kn_stream_frames(&frames, &source.stream, buffer, CAPACITY);
    struct kn_executor executor = {.budget = UINT32_MAX};
    struct kn_context context = {.executor = &executor, .deadline_ns = KN_NEVER};
    uint64_t sum = 0;
    for (;;) {
        executor.budget = UINT32_MAX;
        struct kn_outcome outcome = kn_stream_poll(stream, &context);
        FUZZ_CHECK(outcome.status != KN_PENDING);
        sum = sum * 31 + (uint64_t)outcome.status;
        if (outcome.status == KN_END)
            break;
        if (outcome.status != KN_READY) {
            FUZZ_CHECK(outcome.status == -EMSGSIZE || outcome.status == -ENODATA);
            continue;
        }
        const struct kn_io_chunk *piece = outcome.value.pointer;
        FUZZ_CHECK(piece->length <= CAPACITY);
        for (size_t i = 0; i < piece->length; i++)
            sum = sum * 31 + piece->bytes[i] + 3;
    }
    kn_stream_drop(stream);
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    unsigned cutter = data[1] % 3;
    FUZZ_CHECK(fold(data + 2, size - 2, 1 + data[0] % 64, cutter) == fold(data + 2, size - 2, size, cutter));
    return 0;
}
