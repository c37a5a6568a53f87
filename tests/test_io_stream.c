/* Tests of streams and sinks of bytes. */
#include "async_harness.h"
#include "io_loop.h"

#include <pthread.h>
#include <stdio.h>
#include <time.h>

#include <kernel/io_stream.h>
#include <kernel/sink_combine.h>

/* ---- a stream of chunks from memory, and all that a stream answers as text ---- */

/* Bytes in chunks: bit i of `cuts` ends one after byte i. */
struct source {
    struct kn_stream stream;
    const uint8_t *bytes;
    size_t length;
    size_t done;
    uint64_t cuts;
    uint8_t lent[64]; /* the chunk, overwritten with the next: so that who keeps it is found out */
    struct kn_io_chunk chunk;
};

static struct kn_outcome source_next(struct kn_stream *stream, struct kn_context *context)
{
    (void)context;
    struct source *self = KN_CONTAINER_OF(stream, struct source, stream);
    memset(self->lent, '?', sizeof(self->lent));
    if (self->done == self->length)
        return kn_ended();
    size_t begin = self->done++;
    while (self->done < self->length && !(self->cuts >> (self->done - 1) & 1))
        self->done++;
    self->chunk = (struct kn_io_chunk){.bytes = self->lent, .length = self->done - begin};
    memcpy(self->lent, self->bytes + begin, self->chunk.length);
    return kn_ready(kn_value_of_pointer(&self->chunk));
}

static const struct kn_stream_type source_type = {
    .name = "source", .next = source_next, .drop = kn_stream_drop_nothing};

static struct kn_stream *source(struct source *self, const void *bytes, size_t length, uint64_t cuts)
{
    *self = (struct source){.stream.type = &source_type, .bytes = bytes, .length = length, .cuts = cuts};
    return &self->stream;
}

/* All answers: pieces in angle brackets, failures as their names' first letters, a full stop for the end. */
static const char *told(struct kn_stream *stream)
{
    static struct kn_local_executor local;
    static char text[1024];
    size_t length = 0;
    kn_local_executor_init(&local, 0);
    for (;;) {
        struct kn_context context = kn_local_executor_context(&local);
        struct kn_outcome outcome = kn_stream_poll(stream, &context);
        if (outcome.status == KN_READY) {
            const struct kn_io_chunk *chunk = outcome.value.pointer;
            length += (size_t)snprintf(text + length, sizeof(text) - length, "<%.*s>", (int)chunk->length,
                                       chunk->length > 0 ? (const char *)chunk->bytes : "");
        } else if (outcome.status == KN_END) {
            snprintf(text + length, sizeof(text) - length, ".");
            assert_int_equal(kn_stream_poll(stream, &context).status, KN_END);
            kn_stream_drop(stream);
            return text;
        } else {
            assert_true(outcome.status == -EMSGSIZE || outcome.status == -ENODATA);
            text[length++] = outcome.status == -EMSGSIZE ? 'M' : 'N';
        }
    }
}

static const char *lines_of(const char *text, uint64_t cuts, size_t capacity)
{
    static struct source bytes;
    static struct kn_stream_split split;
    static uint8_t buffer[64];
    return told(kn_stream_lines(&split, source(&bytes, text, strlen(text), cuts), buffer, capacity));
}

/* ---- lines and pieces ---- */

static void lines_end_with_newlines_or_the_stream(void **state)
{
    (void)state;
    assert_string_equal(lines_of("", 0, 9), ".");
    assert_string_equal(lines_of("a\nbc\n", 0, 9), "<a><bc>.");
    assert_string_equal(lines_of("a\r\n\r\n\nlast", 0, 9), "<a><><><last>.");
    assert_string_equal(lines_of("a\rb\n", 0, 9), "<a\rb>.");
    assert_string_equal(lines_of("a\rb\r", 0, 9), "<a\rb>.");
}

static void a_line_that_is_too_long_is_skipped_and_told_once(void **state)
{
    (void)state;
    assert_string_equal(lines_of("abc\nabcd\nx\n", 0, 3), "<abc>M<x>.");
    assert_string_equal(lines_of("abcdefghi\nx", UINT64_MAX, 3), "M<x>.");
    assert_string_equal(lines_of("abcdefghi", UINT64_MAX, 3), "M.");
    assert_string_equal(lines_of("\n\n", 0, 0), "<><>.");
}

/* What lines_of must answer, from the definition: whole text in one piece. */
static void lines_by_hand(const char *text, size_t capacity, char *expected)
{
    while (*text) {
        size_t length = strcspn(text, "\n");
        size_t shown = length > 0 && text[length - 1] == '\r' ? length - 1 : length;
        if (length > capacity)
            expected += sprintf(expected, "M");
        else
            expected += sprintf(expected, "<%.*s>", (int)shown, text);
        text += length + (text[length] == '\n');
    }
    memcpy(expected, ".", 2);
}

static void lines_do_not_depend_on_the_chunks(void **state)
{
    (void)state;
    static const char LETTERS[] = "a\n\r";
    enum { LENGTH = 6, TEXTS = 729 };
    for (unsigned number = 0; number < TEXTS; number++) {
        char text[LENGTH + 1] = "";
        char expected[128];
        for (unsigned i = 0, rest = number; i < LENGTH; i++, rest /= 3)
            text[i] = LETTERS[rest % 3];
        for (size_t capacity = 0; capacity <= 3; capacity++) {
            lines_by_hand(text, capacity, expected);
            for (uint64_t cuts = 0; cuts < 1u << (LENGTH - 1); cuts++)
                assert_string_equal(lines_of(text, cuts, capacity), expected);
        }
    }
}

static void split_cuts_at_any_byte_and_keeps_the_rest_as_it_is(void **state)
{
    (void)state;
    struct source bytes;
    struct kn_stream_split split;
    uint8_t buffer[8];
    for (uint64_t cuts = 0; cuts < 1u << 7; cuts++) {
        struct kn_stream *pieces =
            kn_stream_split(&split, source(&bytes, "a\r;\n;;bc", 8, cuts), ';', buffer, sizeof(buffer));
        assert_string_equal(told(pieces), "<a\r><\n><><bc>.");
    }
}

/* ---- frames ---- */

static const char *frames_of(const void *text, size_t length, uint64_t cuts, size_t capacity)
{
    static struct source bytes;
    static struct kn_stream_frames frames;
    static uint8_t buffer[64];
    return told(kn_stream_frames(&frames, source(&bytes, text, length, cuts), buffer, capacity));
}

static void frames_do_not_depend_on_the_chunks(void **state)
{
    (void)state;
    static const char TEXT[] = "\0\0\0\1a\0\0\0\0\0\0\0\3bcd";
    static const char CUT_IN_FRAME[] = "\0\0\0\1a\0\0\0\3bc";
    static const char CUT_IN_HEADER[] = "\0\0\0\1a\0\0\0";
    static const char TOO_LONG[] = "\0\0\0\2ab\0\0\0\4abcd\0\0\0\1x";
    for (uint64_t cuts = 0; cuts < 1u << 16; cuts++)
        assert_string_equal(frames_of(TEXT, sizeof(TEXT) - 1, cuts, 3), "<a><><bcd>.");
    for (uint64_t cuts = 0; cuts < 1u << 11; cuts++) {
        assert_string_equal(frames_of(CUT_IN_FRAME, sizeof(CUT_IN_FRAME) - 1, cuts, 3), "<a>N.");
        assert_string_equal(frames_of(CUT_IN_HEADER, sizeof(CUT_IN_HEADER) - 1, cuts, 3), "<a>N.");
        assert_string_equal(frames_of(TOO_LONG, sizeof(TOO_LONG) - 1, cuts, 3), "<ab>M.");
    }
    assert_string_equal(frames_of("\xff\xff\xff\xff", 4, 0, 64), "M.");
    assert_string_equal(frames_of("", 0, 0, 64), ".");
}

static void cutters_survive_any_bytes(void **state)
{
    (void)state;
    uint64_t random = 1;
    for (unsigned round = 0; round < 20000; round++) {
        uint8_t bytes[40];
        for (size_t i = 0; i < sizeof(bytes); i++) {
            random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
            bytes[i] = (random >> 60) < 9 ? 0 : (uint8_t)(random >> 61);
        }
        uint64_t cuts = random;
        size_t capacity = (size_t)(random >> 33) % 8;
        struct source one;
        struct kn_stream_frames frames;
        uint8_t *buffer = malloc(capacity + 1); /* exact, for the sanitizers */
        assert_non_null(buffer);
        char whole[1024];
        struct kn_stream *stream = kn_stream_frames(&frames, source(&one, bytes, sizeof(bytes), 0), buffer, capacity);
        memcpy(whole, told(stream), sizeof(whole));
        stream = kn_stream_frames(&frames, source(&one, bytes, sizeof(bytes), cuts), buffer, capacity);
        assert_string_equal(told(stream), whole);
        free(buffer);
    }
}

/* ---- under the model executor: every order of wake-ups, and a drop at every point ---- */

static const struct kn_io_chunk HELLO = {.bytes = (const uint8_t *)"he\nll", .length = 5};
static const struct kn_io_chunk WORLD = {.bytes = (const uint8_t *)"o\nworld", .length = 7};
static const struct kn_io_chunk FRAME_BEGIN = {.bytes = (const uint8_t *)"\0\0\0\1a\0\0", .length = 7};
static const struct kn_io_chunk FRAME_END = {.bytes = (const uint8_t *)"\0\2bc", .length = 4};

enum { PIECE_BYTES = 32 };

/* Adds up what the pieces say. */
struct sum {
    struct kn_future future;
    struct kn_stream *stream;
    int64_t pieces;
    int64_t bytes;
};

static struct kn_outcome sum_poll(struct kn_future *future, struct kn_context *context)
{
    struct sum *self = KN_CONTAINER_OF(future, struct sum, future);
    for (;;) {
        struct kn_outcome outcome = kn_stream_poll(self->stream, context);
        if (outcome.status == KN_PENDING)
            return outcome;
        if (outcome.status != KN_READY) {
            kn_stream_drop(self->stream);
            return outcome.status == KN_END ? kn_ready(KN_VALUE(self->pieces * 100 + self->bytes)) : outcome;
        }
        self->pieces++;
        self->bytes += (int64_t)((const struct kn_io_chunk *)outcome.value.pointer)->length;
    }
}

static void sum_drop(struct kn_future *future)
{
    kn_stream_drop(KN_CONTAINER_OF(future, struct sum, future)->stream);
}

static const struct kn_future_type sum_type = {.name = "sum", .poll = sum_poll, .drop = sum_drop};

static struct kn_future *sum(struct sum *self, struct kn_stream *stream)
{
    if (!self || !stream) {
        kn_stream_drop(stream);
        return NULL;
    }
    *self = (struct sum){.future.type = &sum_type, .stream = stream};
    return &self->future;
}

static void build_cutters(struct harness *world, void *context)
{
    (void)context;
    static const struct harness_item TEXT[] = {
        {.pendings = 1, .outcome = {.value.pointer = (void *)(uintptr_t)&HELLO}},
        {.pendings = 1, .outcome = {.value.pointer = (void *)(uintptr_t)&WORLD}}};
    struct harness_item frames[] = {{.pendings = 1, .outcome = kn_ready(kn_value_of_pointer(&FRAME_BEGIN))},
                                    {.pendings = 1, .outcome = kn_ready(kn_value_of_pointer(&FRAME_END))},
                                    {.pendings = 1, .outcome = kn_failed(-EIO)}};
    static struct harness_item kept[3];
    memcpy(kept, frames, sizeof(kept));
    struct kn_arena *arena = harness_arena(world);
    struct kn_stream_split *split = KN_ARENA_NEW(arena, struct kn_stream_split);
    struct kn_stream *lines =
        kn_stream_lines(split, harness_stream(world, TEXT, 2), kn_arena_allocate(arena, PIECE_BYTES, 1), PIECE_BYTES);
    harness_spawn(world, KN_IN(arena, sum, lines));
    struct kn_stream *cut = harness_stream(world, kept, 3);
    cut = KN_IN(arena, kn_stream_frames, cut, kn_arena_allocate(arena, PIECE_BYTES, 1), PIECE_BYTES);
    harness_spawn(world, KN_IN(arena, sum, cut));
}

static void check_cutters(struct harness *world, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)world;
    (void)context;
    if (task == 0) {
        assert_int_equal(outcome.status, KN_READY);
        assert_int_equal(outcome.value.integer, 3 * 100 + 10); /* he llo world */
    } else {
        assert_int_equal(outcome.status, -EIO);
    }
}

static void cutters_wake_and_drop_in_every_order(void **state)
{
    (void)state;
    assert_true(harness_explore(build_cutters, check_cutters, NULL, NULL) > 10);
}

static void build_gather(struct harness *world, void *context)
{
    size_t capacity = *(size_t *)context;
    static const struct harness_item TEXT[] = {
        {.pendings = 1, .outcome = {.value.pointer = (void *)(uintptr_t)&HELLO}},
        {.pendings = 2, .outcome = {.value.pointer = (void *)(uintptr_t)&WORLD}}};
    struct kn_arena *arena = harness_arena(world);
    harness_spawn(world, KN_IN(arena, kn_stream_gather, harness_stream(world, TEXT, 2),
                               kn_arena_allocate(arena, capacity, 1), capacity));
}

static void check_gather(struct harness *world, unsigned task, struct kn_outcome outcome, void *context)
{
    (void)world;
    (void)task;
    if (*(size_t *)context >= 12)
        assert_int_equal(outcome.value.natural, 12);
    else
        assert_int_equal(outcome.status, -EMSGSIZE);
}

static void gather_answers_with_all_bytes_or_fails_when_they_do_not_fit(void **state)
{
    (void)state;
    for (size_t capacity = 11; capacity <= 12; capacity++)
        assert_true(harness_explore(build_gather, check_gather, &capacity, NULL) > 3);
}

/* ---- sinks ---- */

/* Sends `count` times the same value, then closes. */
struct sender {
    struct kn_future future;
    struct kn_sink *sink;
    const struct kn_io_chunk *chunk;
    unsigned count;
    bool flushes; /* after each */
    bool is_sent;
};

static struct kn_outcome sender_poll(struct kn_future *future, struct kn_context *context)
{
    struct sender *self = KN_CONTAINER_OF(future, struct sender, future);
    int64_t status = KN_READY;
    while (status == KN_READY && self->count > 0) {
        if (!self->is_sent) {
            status = kn_sink_poll_ready(self->sink, context);
            if (status == KN_READY)
                status = kn_sink_start_send(self->sink, kn_value_of_pointer(self->chunk));
            self->is_sent = status == KN_READY;
        }
        if (status == KN_READY && self->flushes)
            status = kn_sink_poll_flush(self->sink, context);
        if (status == KN_READY) {
            self->is_sent = false;
            self->count--;
        }
    }
    if (status == KN_READY)
        status = kn_sink_poll_close(self->sink, context);
    if (status == KN_PENDING)
        return kn_pending();
    kn_sink_drop(self->sink);
    return status == KN_READY ? kn_ready(KN_NOTHING) : kn_failed(status);
}

static void sender_drop(struct kn_future *future)
{
    kn_sink_drop(KN_CONTAINER_OF(future, struct sender, future)->sink);
}

static const struct kn_future_type sender_type = {.name = "sender", .poll = sender_poll, .drop = sender_drop};

static struct kn_future *sender(struct sender *self, struct kn_sink *sink, const struct kn_io_chunk *chunk,
                                unsigned count, bool flushes)
{
    *self =
        (struct sender){.future.type = &sender_type, .sink = sink, .chunk = chunk, .count = count, .flushes = flushes};
    return &self->future;
}

/* One side's work while the other's stream is read to its end. */
struct pair {
    struct kn_future future;
    struct kn_future *sending;
    struct kn_stream *stream;
    struct kn_outcome sent;
    size_t items;
    size_t bytes;
    uint64_t sum;
};

static struct kn_outcome pair_poll(struct kn_future *future, struct kn_context *context)
{
    struct pair *self = KN_CONTAINER_OF(future, struct pair, future);
    if (self->sent.status == KN_PENDING)
        self->sent = kn_future_poll(self->sending, context);
    for (;;) {
        struct kn_outcome outcome = kn_stream_poll(self->stream, context);
        if (outcome.status == KN_PENDING)
            return outcome;
        if (outcome.status != KN_READY) {
            kn_stream_drop(self->stream);
            return outcome.status == KN_END ? kn_ready(KN_NOTHING) : outcome;
        }
        const struct kn_io_chunk *chunk = outcome.value.pointer;
        self->items++;
        self->bytes += chunk->length;
        for (size_t i = 0; i < chunk->length; i++)
            self->sum += chunk->bytes[i];
    }
}

static void pair_drop(struct kn_future *future)
{
    struct pair *self = KN_CONTAINER_OF(future, struct pair, future);
    kn_future_drop(self->sending);
    kn_stream_drop(self->stream);
}

static const struct kn_future_type pair_type = {.name = "pair", .poll = pair_poll, .drop = pair_drop};

static struct kn_future *pair(struct pair *self, struct kn_future *sending, struct kn_stream *stream)
{
    *self = (struct pair){.future.type = &pair_type, .sending = sending, .stream = stream, .sent.status = KN_PENDING};
    return &self->future;
}

enum { VALUE_BYTES = 1000, VALUES = 1000 };

static uint8_t value_bytes[VALUE_BYTES];

static struct kn_io_chunk value_chunk(uint64_t *sum)
{
    *sum = 0;
    for (size_t i = 0; i < VALUE_BYTES; i++) {
        value_bytes[i] = (uint8_t)(i * 7);
        *sum += value_bytes[i];
    }
    return (struct kn_io_chunk){.bytes = value_bytes, .length = VALUE_BYTES};
}

/* Sockets and pipes, with and without a buffer, flushed each time and at the end only. */
static void what_is_written_to_a_sink_is_read_as_a_stream(void **state)
{
    (void)state;
    uint64_t sum;
    struct kn_io_chunk chunk = value_chunk(&sum);
    struct kn_io_driver *driver = io_loop_open();
    static uint8_t buffers[2][3 * VALUE_BYTES];
    for (unsigned how = 0; how < 8; how++) {
        struct kn_io left;
        struct kn_io right;
        (how & 1 ? io_loop_pipe : io_loop_pair)(driver, &left, &right);
        struct kn_sink_write write;
        struct kn_stream_read read;
        struct sender send;
        struct pair both;
        struct kn_sink *sink = kn_sink_write(&write, &right, how & 2 ? buffers[0] : NULL, sizeof(buffers[0]));
        struct kn_future *sending = sender(&send, sink, &chunk, VALUES, how & 4);
        struct kn_stream *stream = kn_stream_read(&read, &left, buffers[1], sizeof(buffers[1]));
        assert_int_equal(io_loop_run(driver, pair(&both, sending, stream)).status, KN_READY);
        assert_int_equal(both.sent.status, KN_READY);
        assert_int_equal(both.bytes, VALUES * VALUE_BYTES);
        assert_int_equal(both.sum, sum * VALUES);
        assert_int_equal(right.descriptor < 0, how & 1); /* a pipe was closed, a socket half */
        kn_io_close(&left);
        kn_io_close(&right);
    }
    kn_io_driver_close(driver);
}

static void frames_go_through_whole(void **state)
{
    (void)state;
    uint64_t sum;
    struct kn_io_chunk chunk = value_chunk(&sum);
    struct kn_io_driver *driver = io_loop_open();
    static uint8_t buffers[4][3 * VALUE_BYTES];
    struct kn_io left;
    struct kn_io right;
    io_loop_pair(driver, &left, &right);
    struct kn_sink_write write;
    struct kn_sink_frames encode;
    struct kn_stream_read read;
    struct kn_stream_frames frames;
    struct sender send;
    struct pair both;
    struct kn_sink *sink = kn_sink_write(&write, &right, buffers[0], sizeof(buffers[0]));
    sink = kn_sink_frames(&encode, sink, buffers[1], VALUE_BYTES + KN_FRAME_HEADER_BYTES);
    struct kn_stream *stream = kn_stream_read(&read, &left, buffers[2], 777);
    stream = kn_stream_frames(&frames, stream, buffers[3], VALUE_BYTES);
    struct kn_future *future = pair(&both, sender(&send, sink, &chunk, VALUES, false), stream);
    assert_int_equal(io_loop_run(driver, future).status, KN_READY);
    assert_int_equal(both.items, VALUES);
    assert_int_equal(both.bytes, VALUES * VALUE_BYTES);
    assert_int_equal(both.sum, sum * VALUES);
    kn_io_close(&left);
    kn_io_close(&right);
    kn_io_driver_close(driver);
}

/* The stream lends one buffer for all its chunks; the sink has kept what it could not write yet. */
static void a_stream_that_lends_is_forwarded_to_a_sink_with_a_buffer(void **state)
{
    (void)state;
    uint64_t sum;
    struct kn_io_chunk chunk = value_chunk(&sum);
    struct kn_io_driver *driver = io_loop_open();
    static uint8_t buffers[4][4096];
    struct kn_io source[2];
    struct kn_io target[2];
    io_loop_pair(driver, &source[0], &source[1]);
    io_loop_pipe(driver, &target[0], &target[1]);
    struct kn_sink_write first;
    struct kn_sink_write second;
    struct kn_stream_read between;
    struct kn_stream_read last;
    struct kn_stream_forward forward;
    struct sender send;
    struct pair both;
    struct io_loop_both run;
    struct kn_sink *sink = kn_sink_write(&first, &source[1], buffers[0], sizeof(buffers[0]));
    struct kn_future *sending = sender(&send, sink, &chunk, VALUES, false);
    sink = kn_sink_write(&second, &target[1], buffers[1], sizeof(buffers[1]));
    struct kn_stream *stream = kn_stream_read(&between, &source[0], buffers[2], sizeof(buffers[2]) / 2);
    struct kn_future *forwarding = kn_stream_forward(&forward, stream, sink);
    stream = kn_stream_read(&last, &target[0], buffers[3], 100);
    io_loop_run_both(driver, &run, pair(&both, forwarding, stream), sending);
    assert_int_equal(both.sent.status, KN_READY);
    assert_int_equal(both.bytes, VALUES * VALUE_BYTES);
    assert_int_equal(both.sum, sum * VALUES);
    for (unsigned i = 0; i < 2; i++) {
        kn_io_close(&source[i]);
        kn_io_close(&target[i]);
    }
    kn_io_driver_close(driver);
}

static void a_value_beyond_its_buffer_is_refused(void **state)
{
    (void)state;
    struct kn_io_driver *driver = io_loop_open();
    struct kn_io left;
    struct kn_io right;
    uint8_t buffer[8];
    uint8_t header[8];
    struct kn_sink_write write;
    struct kn_sink_frames encode;
    struct sender send;
    const struct kn_io_chunk five = {.bytes = (const uint8_t *)"12345", .length = 5};
    io_loop_pair(driver, &left, &right);
    struct kn_sink *sink = kn_sink_write(&write, &right, buffer, sizeof(buffer));
    assert_int_equal(io_loop_failure(driver, sender(&send, sink, &five, 1, false)), -EMSGSIZE);
    sink = kn_sink_frames(&encode, kn_sink_write(&write, &right, NULL, 0), header, sizeof(header));
    assert_int_equal(io_loop_failure(driver, sender(&send, sink, &five, 1, false)), -EMSGSIZE);
    sink = kn_sink_frames(&encode, kn_sink_write(&write, &right, NULL, 0), header, 2);
    assert_int_equal(io_loop_failure(driver, sender(&send, sink, &five, 1, false)), -EMSGSIZE);
    kn_io_close(&left);
    sink = kn_sink_write(&write, &right, buffer, sizeof(buffer));
    const struct kn_io_chunk four = {.bytes = five.bytes, .length = 4};
    assert_int_equal(io_loop_failure(driver, sender(&send, sink, &four, 1, false)), -EPIPE);
    kn_io_close(&right);
    kn_io_driver_close(driver);
}

/* Another thread's hand: sends when the reader has waited. */
static void *send_later(void *argument)
{
    const struct timespec nap = {.tv_nsec = 300000};
    for (unsigned i = 0; i < 3; i++) {
        nanosleep(&nap, NULL);
        assert_int_equal(send(*(int *)argument, "ab\ncd", 5, MSG_NOSIGNAL), 5);
    }
    shutdown(*(int *)argument, SHUT_WR);
    return NULL;
}

static void lines_of_a_socket_come_as_they_are_sent(void **state)
{
    (void)state;
    struct kn_io_driver *driver = io_loop_open();
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    struct kn_io io;
    assert_int_equal(kn_io_open(&io, driver, ends[0]), 0);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, send_later, &ends[1]), 0);
    struct kn_stream_read read;
    struct kn_stream_split lines;
    struct kn_stream_next next;
    uint8_t bytes[4];
    uint8_t line[16];
    struct kn_stream *stream = kn_stream_read(&read, &io, bytes, sizeof(bytes));
    stream = kn_stream_lines(&lines, stream, line, sizeof(line));
    static const char *const EXPECTED[] = {"ab", "cdab", "cdab", "cd"};
    for (unsigned i = 0; i < 4; i++) {
        struct kn_outcome outcome = io_loop_run(driver, kn_stream_next(&next, stream));
        assert_int_equal(outcome.status, KN_READY);
        const struct kn_io_chunk *chunk = outcome.value.pointer;
        assert_int_equal(chunk->length, strlen(EXPECTED[i]));
        assert_memory_equal(chunk->bytes, EXPECTED[i], chunk->length);
    }
    assert_int_equal(io_loop_failure(driver, kn_stream_next(&next, stream)), KN_END);
    pthread_join(thread, NULL);
    kn_stream_drop(stream);
    kn_io_close(&io);
    close(ends[1]);
    kn_io_driver_close(driver);
}

/* ---- drops ---- */

struct dropped {
    struct kn_io left;
    struct kn_io right;
    struct kn_sink_write write;
    struct kn_stream_read read;
    struct kn_stream_split lines;
    struct kn_sink_frames encode;
    struct sender send;
    struct pair both;
    struct kn_io_chunk chunk;
    uint8_t buffers[3][400000];
};

static struct kn_future *dropped_make(struct kn_io_driver *driver, void *context)
{
    struct dropped *self = context;
    io_loop_pair(driver, &self->left, &self->right);
    self->chunk = (struct kn_io_chunk){.bytes = value_bytes, .length = VALUE_BYTES};
    struct kn_sink *sink = kn_sink_write(&self->write, &self->right, self->buffers[0], sizeof(self->buffers[0]));
    sink = kn_sink_frames(&self->encode, sink, self->buffers[1], sizeof(self->buffers[1]));
    struct kn_stream *stream = kn_stream_read(&self->read, &self->left, self->buffers[2], 1000);
    stream = kn_stream_lines(&self->lines, stream, self->buffers[2] + 1000, 2000);
    return pair(&self->both, sender(&self->send, sink, &self->chunk, 2000, false), stream);
}

static void dropped_unmake(void *context)
{
    struct dropped *self = context;
    assert_null(self->left.waits[KN_IO_READ]);
    assert_null(self->right.waits[KN_IO_WRITE]);
    kn_io_close(&self->left);
    kn_io_close(&self->right);
}

static void streams_and_sinks_may_be_dropped_anywhere(void **state)
{
    (void)state;
    static struct dropped dropped;
    memset(value_bytes, '\n', sizeof(value_bytes));
    assert_true(io_loop_cut_everywhere(dropped_make, dropped_unmake, &dropped) > 2);
}

static void what_is_missing_makes_nothing(void **state)
{
    (void)state;
    struct source bytes;
    struct kn_stream_split split;
    struct kn_stream_frames frames;
    struct kn_sink_frames encode;
    struct kn_stream_gather gather;
    struct kn_stream *stream = source(&bytes, "", 0, 0);
    assert_null(kn_stream_read(NULL, NULL, NULL, 0));
    assert_null(kn_sink_write(NULL, NULL, NULL, 0));
    assert_null(kn_stream_lines(NULL, stream, NULL, 0));
    assert_null(kn_stream_lines(&split, NULL, NULL, 0));
    assert_null(kn_stream_frames(NULL, stream, NULL, 0));
    assert_null(kn_stream_frames(&frames, NULL, NULL, 0));
    assert_null(kn_sink_frames(&encode, NULL, NULL, 0));
    assert_null(kn_stream_gather(NULL, stream, NULL, 0));
    assert_null(kn_stream_gather(&gather, NULL, NULL, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_end_with_newlines_or_the_stream),
        cmocka_unit_test(a_line_that_is_too_long_is_skipped_and_told_once),
        cmocka_unit_test(lines_do_not_depend_on_the_chunks),
        cmocka_unit_test(split_cuts_at_any_byte_and_keeps_the_rest_as_it_is),
        cmocka_unit_test(frames_do_not_depend_on_the_chunks),
        cmocka_unit_test(cutters_survive_any_bytes),
        cmocka_unit_test(cutters_wake_and_drop_in_every_order),
        cmocka_unit_test(gather_answers_with_all_bytes_or_fails_when_they_do_not_fit),
        cmocka_unit_test(what_is_written_to_a_sink_is_read_as_a_stream),
        cmocka_unit_test(frames_go_through_whole),
        cmocka_unit_test(a_stream_that_lends_is_forwarded_to_a_sink_with_a_buffer),
        cmocka_unit_test(a_value_beyond_its_buffer_is_refused),
        cmocka_unit_test(lines_of_a_socket_come_as_they_are_sent),
        cmocka_unit_test(streams_and_sinks_may_be_dropped_anywhere),
        cmocka_unit_test(what_is_missing_makes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
