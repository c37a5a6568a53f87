#include <kernel/line.h>

#include <stdint.h>
#include <stdio.h>
#include <string.h>

void kn_line_framer_init(struct kn_line_framer *framer, char *buffer, size_t capacity_bytes)
{
    *framer = (struct kn_line_framer){.buffer = buffer, .capacity = capacity_bytes};
}

static void show(struct kn_line *line, enum kn_line_status status, const char *text, size_t length)
{
    if (status == KN_LINE_COMPLETE && length > 0 && text[length - 1] == '\r')
        length--;
    *line = (struct kn_line){.status = status, .text = text, .length_bytes = length};
}

/* The buffer is full and the line goes on. */
static void overflow(struct kn_line_framer *framer, struct kn_line *line)
{
    show(line, KN_LINE_TOO_LONG, framer->buffer, framer->length);
    framer->length = 0;
    framer->skipping = true;
}

size_t kn_line_feed(struct kn_line_framer *framer, const void *bytes, size_t length_bytes, struct kn_line *line)
{
    *line = (struct kn_line){.status = KN_LINE_NONE};
    const char *text = bytes;
    const char *newline = length_bytes > 0 ? memchr(text, '\n', length_bytes) : NULL;
    size_t content = newline ? (size_t)(newline - text) : length_bytes;
    size_t taken = newline ? content + 1 : content;
    if (framer->skipping) {
        framer->skipping = newline == NULL;
        return taken;
    }
    if (newline && framer->length == 0 && content <= framer->capacity) {
        show(line, KN_LINE_COMPLETE, text, content);
        return taken;
    }
    size_t room = framer->capacity - framer->length;
    size_t copied = content < room ? content : room;
    if (copied > 0)
        memcpy(framer->buffer + framer->length, text, copied);
    framer->length += copied;
    if (copied < content) {
        overflow(framer, line);
        return copied; /* the rest is skipped by the next call */
    }
    if (newline) {
        show(line, KN_LINE_COMPLETE, framer->buffer, framer->length);
        framer->length = 0;
    }
    return taken;
}

void kn_line_end(struct kn_line_framer *framer, struct kn_line *line)
{
    *line = (struct kn_line){.status = KN_LINE_NONE};
    if (framer->length > 0)
        show(line, KN_LINE_COMPLETE, framer->buffer, framer->length);
    framer->length = 0;
    framer->skipping = false;
}

/*
 * Length of the well-formed UTF-8 sequence at `bytes`, or 0: Table 3-7 of the Unicode Standard, which leaves out
 * overlong forms, surrogates and what is beyond U+10FFFF.
 */
static size_t utf8_length(const uint8_t *bytes, size_t available)
{
    uint8_t first = bytes[0];
    if (first < 0x80)
        return 1;
    size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || available < length)
        return 0;
    uint8_t low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    uint8_t high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    if (bytes[1] < low || bytes[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++)
        if ((bytes[i] & 0xc0) != 0x80)
            return 0;
    return length;
}

/* The letter that stands for a character after a backslash, or 0. */
static char short_escape(uint8_t byte)
{
    switch (byte) {
    case '"':
    case '\\':
        return (char)byte;
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    case '\0':
        return '0';
    default:
        return 0;
    }
}

/* Writes one character of `length` bytes (0: one byte that is none). Returns how much was written, at most 6. */
static size_t quote_character(const uint8_t *bytes, size_t length, char *text)
{
    static const char HEX[] = "0123456789abcdef";
    uint8_t byte = bytes[0];
    if (length == 0) {
        memcpy(text, (char[]){'\\', 'x', HEX[byte >> 4], HEX[byte & 15]}, 4);
        return 4;
    }
    if (length == 1 && short_escape(byte)) {
        text[0] = '\\';
        text[1] = short_escape(byte);
        return 2;
    }
    bool is_control = byte < 0x20 || byte == 0x7f;
    bool is_c1_control = length == 2 && byte == 0xc2 && bytes[1] < 0xa0;
    if (is_control || is_c1_control) {
        char escape[8];
        int written = snprintf(escape, sizeof(escape), "\\u{%x}", is_control ? byte : bytes[1]);
        memcpy(text, escape, (size_t)written);
        return (size_t)written;
    }
    memcpy(text, bytes, length);
    return length;
}

size_t kn_text_quote(const void *bytes, size_t length_bytes, char *text)
{
    const uint8_t *next = bytes;
    size_t left = length_bytes;
    size_t written = 0;
    text[written++] = '"';
    while (left > 0) {
        size_t length = utf8_length(next, left);
        written += quote_character(next, length, text + written);
        size_t taken = length > 0 ? length : 1;
        next += taken;
        left -= taken;
    }
    text[written++] = '"';
    text[written] = '\0';
    return written;
}
