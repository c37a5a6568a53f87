/**
 * @file line.h
 * Cuts a stream of bytes into lines, and shows bytes as text.
 *
 * Use the framer wherever input comes in pieces that do not end where lines do; bytes of any value pass through. It
 * holds at most its buffer: a line that does not fit is reported once as too long and skipped to its end, however long
 * it is, so that hostile input costs constant memory. Nothing allocates; a framer belongs to one thread at a time.
 */
#ifndef KERNEL_LINE_H
#define KERNEL_LINE_H

#include <stdbool.h>
#include <stddef.h>

#include <kernel/atomic.h>

/** What a call of the framer found. */
enum kn_line_status {
    KN_LINE_NONE = 0, /**< no line yet: all bytes were taken in */
    KN_LINE_COMPLETE, /**< a line */
    KN_LINE_TOO_LONG, /**< the beginning of a line that does not fit; the rest of it will be skipped */
};

/** A line, or the beginning of one that is too long. */
struct kn_line {
    enum kn_line_status status;
    const char *text;    /**< without its end ("\n" or "\r\n"), not terminated; valid until the next call */
    size_t length_bytes; /**< of `text` */
};

/** The framer. Fields are private to line.c. Invariant: length <= capacity; skipping implies length == 0. */
struct kn_line_framer {
    char *buffer;
    size_t capacity;
    size_t length;
    bool skipping;
};

/** Starts at the beginning of a line. The buffer is the caller's, outlives the framer, and holds the longest line. */
void kn_line_framer_init(struct kn_line_framer *framer, char *buffer, size_t capacity_bytes);

/**
 * Takes bytes in, up to the end of the first line among them. A line that lies whole in `bytes` is shown in place.
 * @return how many bytes were taken; call again with the rest.
 */
size_t kn_line_feed(struct kn_line_framer *framer, const void *bytes, size_t length_bytes, struct kn_line *line);

/** At the end of the stream: the last line, if it has no end of its own. The framer starts anew. */
void kn_line_end(struct kn_line_framer *framer, struct kn_line *line);

/** Room that kn_text_quote needs at most for `length_bytes` bytes. */
#define KN_TEXT_QUOTE_BYTES(length_bytes) ((size_t)(length_bytes)*6 + 3)

/**
 * Writes bytes as a quoted string, as Rust's Debug does, terminated:
 *
 *     "ENSO"              plain text, and well-formed UTF-8, as it is
 *     "\n \r \t \0"      the usual escapes, of the quote and the backslash as well
 *     "\u{1b}"            other control characters
 *     "\xff"              bytes that are no UTF-8
 *
 * @param text room for KN_TEXT_QUOTE_BYTES(length_bytes). @return the length without the terminator.
 */
size_t kn_text_quote(const void *bytes, size_t length_bytes, char *text);

#endif
