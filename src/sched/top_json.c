/*
 * A sample as one line of JSON (RFC 8259), written and read.
 */
#include <kernel/top.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "top_internal.h"

/* Keys and values are short, and nothing unknown is nested deeper than this. */
enum { VERSION = 1, KEY_BYTES = 32, DEPTH_MAX = 16 };

/* ---- writing ---- */

static void put_roles(struct kn_top_output *output, uint32_t roles)
{
    const char *separator = "";
    kn_top_put(output, "\"roles\":[");
    for (uint32_t role = KN_ROLE_CONTROL; role <= KN_ROLE_TASK; role <<= 1) {
        if (!(roles & role))
            continue;
        kn_top_put(output, "%s\"%s\"", separator, kn_role_name((enum kn_role)role));
        separator = ",";
    }
    kn_top_put(output, "]");
}

static void put_field(struct kn_top_output *output, struct kn_top_reactor *reactor, const struct kn_top_field *field)
{
    const uint64_t *values = kn_top_values(reactor, field);
    if (field->count == 1) {
        kn_top_put(output, ",\"%s\":%" PRIu64, field->key, values[0]);
        return;
    }
    kn_top_put(output, ",\"%s\":[", field->key);
    for (size_t i = 0; i < field->count; i++)
        kn_top_put(output, "%s%" PRIu64, i > 0 ? "," : "", values[i]);
    kn_top_put(output, "]");
}

static void put_reactor(struct kn_top_output *output, const struct kn_top_sample *sample, size_t index)
{
    struct kn_top_reactor *reactor = &sample->reactors[index];
    kn_top_put(output, "%s{\"reactor\":%zu,\"unit\":%" PRIi64 ",", index > 0 ? "," : "", index, reactor->unit);
    put_roles(output, reactor->roles);
    kn_top_put(output, ",\"parked\":%s", reactor->is_parked ? "true" : "false");
    for (unsigned i = 0; i < KN_TOP_FIELDS; i++)
        put_field(output, reactor, &kn_top_fields[i]);
    kn_top_put(output, ",\"bus_out\":[");
    for (size_t to = 0; to < sample->count; to++)
        kn_top_put(output, "%s%" PRIu32, to > 0 ? "," : "", sample->bus[index * sample->count + to]);
    kn_top_put(output, "]}");
}

void kn_top_write_json(const struct kn_top_sample *sample, kn_top_write *write, void *context)
{
    struct kn_top_output output = {.write = write, .context = context};
    kn_top_put(&output, "{\"version\":%d,\"time_ns\":%" PRIu64 ",\"count\":%zu,\"reactors\":[", VERSION,
               sample->time_ns, sample->count);
    for (size_t i = 0; i < sample->count; i++)
        put_reactor(&output, sample, i);
    kn_top_put(&output, "]}\n");
    kn_top_flush(&output);
}

/* ---- reading ---- */

/* A place in the text. Invariant: once `error` is set nothing more is read. */
struct input {
    const char *next;
    const char *end;
    int error;
};

static void fail(struct input *input, int error)
{
    if (input->error == 0)
        input->error = error;
    input->next = input->end;
}

static bool is_one_of(char character, const char *set)
{
    return character != '\0' && strchr(set, character);
}

/* The next character that is no space, left where it is; 0 at the end. */
static char look(struct input *input)
{
    while (input->next < input->end && is_one_of(*input->next, " \t\r\n"))
        input->next++;
    return input->next < input->end ? *input->next : '\0';
}

/* Takes a character if it is the next. */
static bool take(struct input *input, char wanted)
{
    if (look(input) != wanted)
        return false;
    input->next++;
    return true;
}

static void expect(struct input *input, char wanted)
{
    if (!take(input, wanted))
        fail(input, -EINVAL);
}

/* Reads a string; one that is too long or has escapes is none that we know, and becomes "?". */
static void read_string(struct input *input, char text[KEY_BYTES])
{
    bool is_known = true;
    size_t length = 0;
    expect(input, '"');
    while (input->next < input->end && *input->next != '"') {
        bool escapes = *input->next == '\\';
        is_known = is_known && !escapes && length < KEY_BYTES - 1 && (unsigned char)*input->next >= 0x20;
        if (is_known)
            text[length++] = *input->next;
        input->next += escapes && input->end - input->next > 1 ? 2 : 1;
    }
    expect(input, '"');
    text[length] = '\0';
    if (!is_known)
        memcpy(text, "?", 2);
}

static uint64_t read_number(struct input *input)
{
    uint64_t value = 0;
    char first = look(input);
    if (first < '0' || first > '9')
        fail(input, -EINVAL);
    while (input->next < input->end && *input->next >= '0' && *input->next <= '9') {
        if (__builtin_mul_overflow(value, UINT64_C(10), &value) ||
            __builtin_add_overflow(value, (uint64_t)(*input->next - '0'), &value))
            fail(input, -EINVAL);
        else
            input->next++;
    }
    return value;
}

static int64_t read_signed(struct input *input)
{
    bool is_negative = take(input, '-');
    uint64_t value = read_number(input);
    if (value > INT64_MAX)
        fail(input, -EINVAL);
    return is_negative ? -(int64_t)(value & INT64_MAX) : (int64_t)(value & INT64_MAX);
}

static bool read_boolean(struct input *input)
{
    static const char *const words[] = {"false", "true"};
    look(input);
    for (unsigned i = 0; i < 2; i++) {
        size_t length = strlen(words[i]);
        if ((size_t)(input->end - input->next) >= length && memcmp(input->next, words[i], length) == 0) {
            input->next += length;
            return i != 0;
        }
    }
    fail(input, -EINVAL);
    return false;
}

/* Passes over a value of any kind, loosely: brackets must pair, what is between them need not make sense. */
static void skip_value(struct input *input)
{
    char closers[DEPTH_MAX];
    unsigned depth = 0;
    char text[KEY_BYTES];
    do {
        char next = look(input);
        if (next == '"') {
            read_string(input, text);
        } else if ((next == '[' || next == '{') && depth < DEPTH_MAX) {
            closers[depth++] = next == '[' ? ']' : '}';
            input->next++;
        } else if (depth > 0 && next == closers[depth - 1]) {
            depth--;
            input->next++;
        } else if (depth > 0 && (next == ',' || next == ':')) {
            input->next++;
        } else {
            size_t length = 0;
            while (input->next + length < input->end && !is_one_of(input->next[length], ",:[]{}\" \t\r\n"))
                length++;
            input->next += length;
            if (length == 0)
                fail(input, -EINVAL);
        }
    } while (depth > 0 && input->error == 0);
}

/* Begins with an object or array, then asks for each item: whether there is another. */
static bool next_item(struct input *input, bool is_first, char closer)
{
    if (input->error != 0 || take(input, closer))
        return false;
    if (!is_first)
        expect(input, ',');
    return input->error == 0;
}

static bool next_key(struct input *input, bool is_first, char key[KEY_BYTES])
{
    if (!next_item(input, is_first, '}'))
        return false;
    read_string(input, key);
    expect(input, ':');
    return input->error == 0;
}

/* Numbers in an array, of which the first `count` are kept. */
static void read_values(struct input *input, uint64_t *values, size_t count)
{
    size_t index = 0;
    expect(input, '[');
    for (bool is_first = true; next_item(input, is_first, ']'); is_first = false) {
        uint64_t value = read_number(input);
        if (index < count)
            values[index++] = value;
    }
}

static void read_depths(struct input *input, uint32_t *depths, size_t count)
{
    size_t index = 0;
    expect(input, '[');
    for (bool is_first = true; next_item(input, is_first, ']'); is_first = false) {
        uint64_t value = read_number(input);
        if (index < count)
            depths[index++] = value < UINT32_MAX ? (uint32_t)value : UINT32_MAX;
    }
}

static uint32_t read_roles(struct input *input)
{
    uint32_t roles = 0;
    char name[KEY_BYTES];
    expect(input, '[');
    for (bool is_first = true; next_item(input, is_first, ']'); is_first = false) {
        read_string(input, name);
        for (uint32_t role = KN_ROLE_CONTROL; role <= KN_ROLE_TASK; role <<= 1)
            if (strcmp(name, kn_role_name((enum kn_role)role)) == 0)
                roles |= role;
    }
    return roles;
}

static const struct kn_top_field *find_field(const char *key)
{
    for (unsigned i = 0; i < KN_TOP_FIELDS; i++)
        if (strcmp(key, kn_top_fields[i].key) == 0)
            return &kn_top_fields[i];
    return NULL;
}

static void read_reactor(struct input *input, struct kn_top_sample *sample, size_t index)
{
    struct kn_top_reactor *reactor = &sample->reactors[index];
    char key[KEY_BYTES];
    *reactor = (struct kn_top_reactor){.unit = -1};
    expect(input, '{');
    for (bool is_first = true; next_key(input, is_first, key); is_first = false) {
        const struct kn_top_field *field = find_field(key);
        if (field && field->count == 1)
            *kn_top_values(reactor, field) = read_number(input);
        else if (field)
            read_values(input, kn_top_values(reactor, field), field->count);
        else if (strcmp(key, "unit") == 0)
            reactor->unit = read_signed(input);
        else if (strcmp(key, "roles") == 0)
            reactor->roles = read_roles(input);
        else if (strcmp(key, "parked") == 0)
            reactor->is_parked = read_boolean(input);
        else if (strcmp(key, "bus_out") == 0)
            read_depths(input, &sample->bus[index * sample->count], sample->count);
        else
            skip_value(input);
    }
}

/* Makes room for so many reactors, all zero. */
static void make_room(struct input *input, struct kn_top_sample *sample, uint64_t count)
{
    if (input->error != 0)
        return;
    if (sample->count == count && count > 0) {
        memset(sample->reactors, 0, count * sizeof(sample->reactors[0]));
        memset(sample->bus, 0, count * count * sizeof(sample->bus[0]));
        return;
    }
    kn_top_close(sample);
    int result = kn_top_open(sample, count);
    if (result < 0)
        fail(input, result);
}

static void read_reactors(struct input *input, struct kn_top_sample *sample, bool has_room)
{
    size_t index = 0;
    expect(input, '[');
    for (bool is_first = true; next_item(input, is_first, ']'); is_first = false) {
        if (!has_room || index >= sample->count)
            fail(input, -EINVAL);
        else
            read_reactor(input, sample, index++);
    }
    if (index != sample->count)
        fail(input, -EINVAL);
}

int kn_top_read_json(struct kn_top_sample *sample, const char *text, size_t length_bytes)
{
    struct input input = {.next = text, .end = text + length_bytes};
    char key[KEY_BYTES];
    uint64_t time_ns = 0;
    bool has_room = false;
    bool has_reactors = false;
    expect(&input, '{');
    for (bool is_first = true; next_key(&input, is_first, key); is_first = false) {
        if (strcmp(key, "version") == 0) {
            if (read_number(&input) != VERSION)
                fail(&input, -EPROTONOSUPPORT);
        } else if (strcmp(key, "time_ns") == 0) {
            time_ns = read_number(&input);
        } else if (strcmp(key, "count") == 0 && !has_room) {
            make_room(&input, sample, read_number(&input));
            has_room = input.error == 0;
        } else if (strcmp(key, "reactors") == 0 && !has_reactors) {
            read_reactors(&input, sample, has_room);
            has_reactors = true;
        } else {
            skip_value(&input);
        }
    }
    if (look(&input) != '\0' || !has_reactors)
        fail(&input, -EINVAL);
    sample->time_ns = time_ns;
    if (input.error < 0)
        kn_top_close(sample);
    return input.error;
}
