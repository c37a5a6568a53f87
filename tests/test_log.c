/* The log. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <kernel/log.h>

static struct kn_log open_log(int ends[2], enum kn_log_level level)
{
    struct kn_log log;
    assert_int_equal(pipe(ends), 0);
    kn_log_init(&log, ends[1], level);
    return log;
}

static size_t read_all(int ends[2], char *text, size_t room)
{
    close(ends[1]);
    size_t length = 0;
    ssize_t count;
    while ((count = read(ends[0], text + length, room - 1 - length)) > 0)
        length += (size_t)count;
    text[length] = '\0';
    close(ends[0]);
    return length;
}

static void log_writes_a_line_with_time_and_level(void **state)
{
    (void)state;
    int ends[2];
    char text[4096];
    struct kn_log log = open_log(ends, KN_LOG_INFO);
    kn_log_warning(&log, "%d connections", 12);
    size_t length = read_all(ends, text, sizeof(text));
    unsigned year, month, day, hour, minute, second, micro;
    int used = 0;
    assert_int_equal(
        sscanf(text, "%4u-%2u-%2uT%2u:%2u:%2u.%6uZ %n", &year, &month, &day, &hour, &minute, &second, &micro, &used),
        7);
    assert_string_equal(text + used, "warning 12 connections\n");
    assert_int_equal(text[length - 1], '\n');
}

static void log_shows_its_level_and_graver(void **state)
{
    (void)state;
    int ends[2];
    char text[4096];
    int evaluated = 0;
    struct kn_log log = open_log(ends, KN_LOG_WARNING);
    kn_log_error(&log, "first");
    kn_log_info(&log, "hidden %d", ++evaluated);
    atomic_store(&log.level, KN_LOG_DEBUG);
    kn_log_debug(&log, "second");
    kn_log_trace(&log, "hidden");
    kn_log_error(NULL, "silent");
    read_all(ends, text, sizeof(text));
    assert_non_null(strstr(text, "error first\n"));
    assert_non_null(strstr(text, "debug second\n"));
    assert_null(strstr(text, "hidden"));
    assert_int_equal(evaluated, 0);
}

static void log_escapes_what_could_forge_a_line(void **state)
{
    (void)state;
    int ends[2];
    char text[4096];
    struct kn_log log = open_log(ends, KN_LOG_INFO);
    kn_log_info(&log, "%s", "a\nforged\x1b[31m\x7f \xc3\xa9");
    read_all(ends, text, sizeof(text));
    assert_non_null(strstr(text, "info a\\x0aforged\\x1b[31m\\x7f \xc3\xa9\n"));
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
}

static void log_cuts_long_lines_visibly(void **state)
{
    (void)state;
    for (size_t length = KN_LOG_LINE_BYTES - 64; length < KN_LOG_LINE_BYTES * 2; length += 7) {
        int ends[2];
        static char text[4 * KN_LOG_LINE_BYTES];
        static char message[4 * KN_LOG_LINE_BYTES];
        struct kn_log log = open_log(ends, KN_LOG_INFO);
        memset(message, 'x', length);
        message[length] = '\0';
        kn_log_info(&log, "%s", message);
        size_t written = read_all(ends, text, sizeof(text));
        assert_true(written <= KN_LOG_LINE_BYTES);
        assert_int_equal(text[written - 1], '\n');
        bool whole = strstr(text, message) != NULL;
        bool cut = written >= 4 && strcmp(text + written - 4, "...\n") == 0;
        assert_true(whole != cut);
    }
}

static void log_survives_a_descriptor_that_cannot_be_written(void **state)
{
    (void)state;
    struct kn_log log;
    kn_log_init(&log, -1, KN_LOG_INFO);
    errno = EDOM;
    kn_log_error(&log, "nowhere");
    assert_int_equal(errno, EDOM);
}

static void log_levels_have_names_and_back(void **state)
{
    (void)state;
    for (int level = KN_LOG_ERROR; level <= KN_LOG_TRACE; level++) {
        enum kn_log_level parsed;
        assert_int_equal(kn_log_level_parse(kn_log_level_name((enum kn_log_level)level), &parsed), 0);
        assert_int_equal(parsed, level);
    }
    enum kn_log_level untouched = KN_LOG_DEBUG;
    assert_int_equal(kn_log_level_parse("loud", &untouched), -EINVAL);
    assert_int_equal(kn_log_level_parse("", &untouched), -EINVAL);
    assert_int_equal(untouched, KN_LOG_DEBUG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(log_writes_a_line_with_time_and_level),
        cmocka_unit_test(log_shows_its_level_and_graver),
        cmocka_unit_test(log_escapes_what_could_forge_a_line),
        cmocka_unit_test(log_cuts_long_lines_visibly),
        cmocka_unit_test(log_survives_a_descriptor_that_cannot_be_written),
        cmocka_unit_test(log_levels_have_names_and_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
