/*
 * Whether a text is JSON as RFC 8259 has it, and in UTF-8; for tests of what writes it.
 */
#ifndef TESTS_JSON_CHECKER_H
#define TESTS_JSON_CHECKER_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* Each takes one thing off the front, and answers whether it was there. */
struct json_text {
    const char *next;
    const char *end;
};

static inline void json_skip_space(struct json_text *text)
{
    while (text->next < text->end && memchr(" \t\r\n", *text->next, 4))
        text->next++;
}

static inline bool json_take(struct json_text *text, const char *wanted)
{
    size_t length = strlen(wanted);
    if ((size_t)(text->end - text->next) < length || memcmp(text->next, wanted, length) != 0)
        return false;
    text->next += length;
    return true;
}

static inline size_t json_take_run(struct json_text *text, const char *of)
{
    const char *start = text->next;
    while (text->next < text->end && *text->next != '\0' && strchr(of, *text->next))
        text->next++;
    return (size_t)(text->next - start);
}

static inline bool json_take_escape(struct json_text *text)
{
    if (text->next < text->end && *text->next != '\0' && strchr("\"\\/bfnrt", *text->next)) {
        text->next++;
        return true;
    }
    if (!json_take(text, "u"))
        return false;
    for (unsigned i = 0; i < 4; i++, text->next++)
        if (text->next == text->end || *text->next == '\0' || !strchr("0123456789abcdefABCDEF", *text->next))
            return false;
    return true;
}

/* A character of more than one byte: shortest form, no surrogates. */
static inline bool json_take_utf8(struct json_text *text)
{
    static const unsigned least[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned first = (unsigned char)*text->next;
    unsigned length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    unsigned value = first & (0x7fu >> length);
    if (first < 0xc0 || first > 0xf7 || (size_t)(text->end - text->next) < length)
        return false;
    for (unsigned i = 1; i < length; i++) {
        unsigned byte = (unsigned char)text->next[i];
        if ((byte & 0xc0) != 0x80)
            return false;
        value = value << 6 | (byte & 0x3f);
    }
    text->next += length;
    return value >= least[length] && value <= 0x10ffff && (value < 0xd800 || value > 0xdfff);
}

static inline bool json_take_string(struct json_text *text)
{
    if (!json_take(text, "\""))
        return false;
    while (text->next < text->end && *text->next != '"') {
        unsigned char byte = (unsigned char)*text->next;
        bool fits = byte >= 0x20;
        if (byte >= 0x80)
            fits = json_take_utf8(text);
        else
            text->next++;
        if (!fits || (byte == '\\' && !json_take_escape(text)))
            return false;
    }
    return json_take(text, "\"");
}

static inline bool json_take_number(struct json_text *text)
{
    (void)json_take(text, "-");
    if (!json_take(text, "0") && json_take_run(text, "0123456789") == 0)
        return false;
    if (json_take(text, ".") && json_take_run(text, "0123456789") == 0)
        return false;
    if (!json_take(text, "e") && !json_take(text, "E"))
        return true;
    if (!json_take(text, "+"))
        (void)json_take(text, "-");
    return json_take_run(text, "0123456789") > 0;
}

static inline bool json_take_value(struct json_text *text, unsigned depth);

/* The items of an object (with keys) or an array, after its opening bracket. */
static inline bool json_take_items(struct json_text *text, const char *closer, bool has_keys, unsigned depth)
{
    json_skip_space(text);
    if (json_take(text, closer))
        return true;
    do {
        json_skip_space(text);
        if (has_keys && !json_take_string(text))
            return false;
        json_skip_space(text);
        if ((has_keys && !json_take(text, ":")) || !json_take_value(text, depth - 1))
            return false;
        json_skip_space(text);
    } while (json_take(text, ","));
    return json_take(text, closer);
}

static inline bool json_take_value(struct json_text *text, unsigned depth)
{
    json_skip_space(text);
    if (depth == 0 || text->next == text->end)
        return false;
    if (json_take(text, "{"))
        return json_take_items(text, "}", true, depth);
    if (json_take(text, "["))
        return json_take_items(text, "]", false, depth);
    if (*text->next == '"')
        return json_take_string(text);
    return json_take(text, "true") || json_take(text, "false") || json_take(text, "null") || json_take_number(text);
}

static inline bool json_is_valid(const char *bytes, size_t length)
{
    struct json_text text = {.next = bytes, .end = bytes + length};
    bool is_value = json_take_value(&text, 32);
    json_skip_space(&text);
    return is_value && text.next == text.end;
}

#endif
