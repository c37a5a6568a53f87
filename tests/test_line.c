/* The line framer, and text shown as a quoted string. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <kernel/line.h>

enum { CAPACITY = 8 };

/* Feeds `input` in pieces of `step` bytes and notes what comes out: lines in brackets, too long ones in braces. */
static void frame(const char *input, size_t length, size_t step, char *noted)
{
    char buffer[CAPACITY];
    struct kn_line_framer framer;
    struct kn_line line;
    kn_line_framer_init(&framer, buffer, sizeof(buffer));
    *noted = '\0';
    for (size_t start = 0; start < length; start += step) {
        size_t piece = length - start < step ? length - start : step;
        char *copy = malloc(piece); /* of its own, so that a read beyond its end is found */
        assert_non_null(copy);
        memcpy(copy, input + start, piece);
        for (size_t used = 0; used < piece;) {
            size_t taken = kn_line_feed(&framer, copy + used, piece - used, &line);
            assert_true(taken > 0 || line.status != KN_LINE_NONE);
            used += taken;
            if (line.status != KN_LINE_NONE)
                sprintf(noted + strlen(noted), line.status == KN_LINE_COMPLETE ? "[%.*s]" : "{%.*s}",
                        (int)line.length_bytes, line.text);
        }
        free(copy);
    }
    kn_line_end(&framer, &line);
    if (line.status == KN_LINE_COMPLETE)
        sprintf(noted + strlen(noted), "[%.*s]", (int)line.length_bytes, line.text);
}

static void line_is_the_same_however_it_is_cut(void **state)
{
    (void)state;
    const struct {
        const char *input;
        const char *lines;
    } cases[] = {
        {"", ""},
        {"one\ntwo\n", "[one][two]"},
        {"one\ntwo", "[one][two]"},
        {"\n\n", "[][]"},
        {"a\r\nb\rc\r\n\r\n", "[a][b\rc][]"},
        {"12345678\n", "[12345678]"},
        {"123456789\n", "{12345678}"},
        {"123456789abcdefghijklmnop\nok\n", "{12345678}[ok]"},
        {"123456789", "{12345678}"},
        {"\xff\xfe\n", "[\xff\xfe]"},
        {"a\n123456789\nb", "[a]{12345678}[b]"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t length = strlen(cases[i].input);
        for (size_t step = 1; step <= length + 1; step++) {
            char noted[256];
            frame(cases[i].input, length, step, noted);
            assert_string_equal(noted, cases[i].lines);
        }
    }
}

static void line_passes_zero_bytes_through(void **state)
{
    (void)state;
    char buffer[CAPACITY];
    struct kn_line_framer framer;
    struct kn_line line;
    kn_line_framer_init(&framer, buffer, sizeof(buffer));
    assert_int_equal(kn_line_feed(&framer, "a\0b\n", 4, &line), 4);
    assert_int_equal(line.status, KN_LINE_COMPLETE);
    assert_int_equal(line.length_bytes, 3);
    assert_memory_equal(line.text, "a\0b", 3);
}

static void line_skips_a_gibibyte_in_constant_memory(void **state)
{
    (void)state;
    static char piece[1 << 20];
    char buffer[CAPACITY];
    struct kn_line_framer framer;
    struct kn_line line;
    unsigned reported = 0;
    memset(piece, 'x', sizeof(piece));
    kn_line_framer_init(&framer, buffer, sizeof(buffer));
    for (unsigned i = 0; i < 1024; i++)
        for (size_t used = 0; used < sizeof(piece);) {
            used += kn_line_feed(&framer, piece + used, sizeof(piece) - used, &line);
            reported += line.status != KN_LINE_NONE;
        }
    assert_int_equal(reported, 1);
    (void)kn_line_feed(&framer, "\n", 1, &line);
    assert_int_equal(line.status, KN_LINE_NONE);
    (void)kn_line_feed(&framer, "ok\n", 3, &line);
    assert_int_equal(line.status, KN_LINE_COMPLETE);
    assert_memory_equal(line.text, "ok", 2);
}

static void quote_shows_each_kind_of_byte(void **state)
{
    (void)state;
    const struct {
        const char *bytes;
        size_t length;
        const char *quoted;
    } cases[] = {
        {"ENSO", 4, "\"ENSO\""},
        {"", 0, "\"\""},
        {"a\"b\\c", 5, "\"a\\\"b\\\\c\""},
        {"\n\r\t\0", 4, "\"\\n\\r\\t\\0\""},
        {"\x1b[m\x7f", 4, "\"\\u{1b}[m\\u{7f}\""},
        {"\xc2\x85", 2, "\"\\u{85}\""},
        {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 9, "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""},
        {"\xff\x80", 2, "\"\\xff\\x80\""},
        {"\xc3", 1, "\"\\xc3\""},
        {"\xe2\x82", 2, "\"\\xe2\\x82\""},
        {"\xc0\xaf", 2, "\"\\xc0\\xaf\""},
        {"\xed\xa0\x80", 3, "\"\\xed\\xa0\\x80\""},
        {"\xf4\x90\x80\x80", 4, "\"\\xf4\\x90\\x80\\x80\""},
        {"\xe0\x9f\xbf", 3, "\"\\xe0\\x9f\\xbf\""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *text = malloc(KN_TEXT_QUOTE_BYTES(cases[i].length));
        assert_non_null(text);
        assert_int_equal(kn_text_quote(cases[i].bytes, cases[i].length, text), strlen(cases[i].quoted));
        assert_string_equal(text, cases[i].quoted);
        free(text);
    }
}

static void quote_fits_the_room_it_asks_for(void **state)
{
    (void)state;
    for (unsigned byte = 0; byte < 256; byte++) {
        char bytes[64];
        memset(bytes, (int)byte, sizeof(bytes));
        char *text = malloc(KN_TEXT_QUOTE_BYTES(sizeof(bytes)));
        assert_non_null(text);
        assert_true(kn_text_quote(bytes, sizeof(bytes), text) < KN_TEXT_QUOTE_BYTES(sizeof(bytes)));
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(line_is_the_same_however_it_is_cut),       cmocka_unit_test(line_passes_zero_bytes_through),
        cmocka_unit_test(line_skips_a_gibibyte_in_constant_memory), cmocka_unit_test(quote_shows_each_kind_of_byte),
        cmocka_unit_test(quote_fits_the_room_it_asks_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
