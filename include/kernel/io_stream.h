/**
 * @file io_stream.h
 * Streams and sinks of bytes: a descriptor read and written chunk by chunk, and chunks cut into lines, pieces between
 * delimiters and frames with their length in front.
 *
 * Use it for protocols over connections and pipes, and for the output of programs; for bytes that are not cut take the
 * futures of io.h. The cutters work on any stream of chunks. They guarantee that the pieces do not depend on how the
 * bytes came in chunks, that no more than the caller's buffer is held, whatever comes, and that bad input is a failure
 * after all that was good before it.
 *
 *        struct kn_stream *lines = kn_stream_read(&peer->read, &peer->io, peer->bytes, sizeof(peer->bytes));
 *        lines = kn_stream_lines(&peer->lines, lines, peer->line, sizeof(peer->line));
 *
 * Items are pointers to a kn_io_chunk and lent: it and its bytes are valid until the stream is polled again or dropped.
 */
#ifndef KERNEL_IO_STREAM_H
#define KERNEL_IO_STREAM_H

#include <kernel/io.h>
#include <kernel/sink.h>

/** Bytes: the item of streams and sinks that carry them, as a pointer to this. */
struct kn_io_chunk {
    const uint8_t *bytes; /**< may be NULL if there are none */
    size_t length;        /**< how many */
};

/* ---- descriptors ---- */

/** Reads chunk by chunk. */
struct kn_stream_read {
    struct kn_stream stream; /* first */
    struct kn_io_wait wait;
    struct kn_io *io;
    uint8_t *buffer;
    size_t capacity;
    struct kn_io_chunk chunk; /* answered with */
    bool is_over;             /* ended or failed */
};

/** What is read into `buffer`, as chunks; ends at the end, and after a failure. The descriptor stays the caller's.
 * @param capacity_bytes at least 1. */
struct kn_stream *kn_stream_read(struct kn_stream_read *self, struct kn_io *io, void *buffer, size_t capacity_bytes);

/** Writes chunk by chunk. */
struct kn_sink_write {
    struct kn_sink sink; /* first */
    struct kn_io_wait wait;
    struct kn_io *io;
    uint8_t *buffer;          /* or NULL */
    size_t capacity;          /* of it */
    struct kn_io_chunk chunk; /* to be written: in `buffer`, or the value's own bytes */
};

/**
 * Writes chunks. With a buffer it copies and gathers them, writing when it is more than half full and when it is
 * flushed: values have at most half of `capacity_bytes`, or are refused with -EMSGSIZE. Without (NULL) the bytes of a
 * value, though not its structure, are lent until the sink answers ready or flushed: not for streams that lend. Closing
 * ends the writing direction of a socket, and closes any other descriptor; otherwise that stays the caller's.
 */
struct kn_sink *kn_sink_write(struct kn_sink_write *self, struct kn_io *io, void *buffer, size_t capacity_bytes);

/* ---- pieces ---- */

/**
 * Cuts at delimiters.
 *
 * Invariant: `held` bytes in the buffer begin a piece; `rest` is what was not looked at of the inner stream's chunk.
 */
struct kn_stream_split {
    struct kn_stream stream; /* first */
    struct kn_stream *inner; /* of chunks */
    uint8_t *buffer;
    size_t capacity;
    size_t held;
    struct kn_io_chunk rest;
    struct kn_io_chunk piece; /* answered with */
    uint8_t delimiter;
    bool is_lines;    /* a "\r" before the delimiter belongs to it */
    bool is_skipping; /* the rest of a piece that was too long */
    bool is_over;     /* the inner stream has ended */
};

/**
 * The pieces between delimiters, without them; the last one need not have one. A piece of more than `capacity_bytes` is
 * skipped, and the failure -EMSGSIZE once in its place.
 */
struct kn_stream *kn_stream_split(struct kn_stream_split *self, struct kn_stream *inner, uint8_t delimiter,
                                  void *buffer, size_t capacity_bytes);

/** Lines: the same for "\n" and "\r\n" (tokio's LinesCodec). */
struct kn_stream *kn_stream_lines(struct kn_stream_split *self, struct kn_stream *inner, void *buffer,
                                  size_t capacity_bytes);

/* ---- frames ---- */

/** Bytes of the length in front of a frame. */
#define KN_FRAME_HEADER_BYTES 4

/** Cuts into frames. */
struct kn_stream_frames {
    struct kn_stream stream; /* first */
    struct kn_stream *inner; /* of chunks */
    uint8_t *buffer;
    size_t capacity;
    size_t held;         /* bytes of the frame in `buffer` */
    size_t length;       /* of the frame, once the header is whole */
    size_t header_bytes; /* of `header` so far */
    uint8_t header[KN_FRAME_HEADER_BYTES];
    bool is_over; /* ended or failed */
    struct kn_io_chunk rest;
    struct kn_io_chunk frame; /* answered with */
};

/**
 * The frames of a stream in which each is preceded by its length, 32 bits, big endian (tokio's LengthDelimitedCodec).
 * Fails with -EMSGSIZE for one of more than `capacity_bytes` and with -ENODATA when the end comes within one, and ends
 * after either, as nothing sound can follow.
 */
struct kn_stream *kn_stream_frames(struct kn_stream_frames *self, struct kn_stream *inner, void *buffer,
                                   size_t capacity_bytes);

/** Puts lengths in front. */
struct kn_sink_frames {
    struct kn_sink sink;   /* first */
    struct kn_sink *inner; /* of chunks */
    uint8_t *buffer;
    size_t capacity;
    struct kn_io_chunk chunk; /* header and frame, given to `inner` */
};

/** Takes chunks, copies each with its length in front to `buffer` and gives that to `inner`; -EMSGSIZE for one that is
 * larger than `capacity_bytes` less KN_FRAME_HEADER_BYTES. */
struct kn_sink *kn_sink_frames(struct kn_sink_frames *self, struct kn_sink *inner, void *buffer, size_t capacity_bytes);

/* ---- all of it ---- */

/** Gathers chunks. */
struct kn_stream_gather {
    struct kn_future future; /* first */
    struct kn_stream *inner;
    uint8_t *buffer;
    size_t capacity;
    size_t length; /**< gathered so far, also after a failure */
};

/** Answers with the number of bytes in `buffer` once the stream of chunks has ended (tokio's read_to_end); fails with
 * -EMSGSIZE when they do not fit, and as the stream does. */
struct kn_future *kn_stream_gather(struct kn_stream_gather *self, struct kn_stream *inner, void *buffer,
                                   size_t capacity_bytes);

#endif
