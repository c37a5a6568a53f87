/* The console. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <kernel/console.h>

struct recorder {
    char text[8192];
    size_t length;
    unsigned runs;
    char arguments[64];
};

static void record(void *context, const char *text, size_t length)
{
    struct recorder *recorder = context;
    assert_true(recorder->length + length < sizeof(recorder->text));
    memcpy(recorder->text + recorder->length, text, length);
    recorder->length += length;
    recorder->text[recorder->length] = '\0';
}

static void run_sum(void *context, struct kn_console *console, const char *arguments)
{
    struct recorder *recorder = context;
    recorder->runs++;
    snprintf(recorder->arguments, sizeof(recorder->arguments), "%s", arguments);
    kn_console_print(console, "sum %d\n", 42);
}

static const struct kn_console_command COMMANDS[] = {{":sum", "adds", run_sum}, {":subtract", "takes away", run_sum}};

static struct kn_console *open_console(struct recorder *recorder, size_t line_bytes_max)
{
    struct kn_console *console;
    memset(recorder, 0, sizeof(*recorder));
    struct kn_console_options options = {.context = recorder,
                                         .write = record,
                                         .commands = COMMANDS,
                                         .command_count = 2,
                                         .line_bytes_max = line_bytes_max};
    assert_int_equal(kn_console_open(&console, &options), 0);
    return console;
}

static int feed(struct kn_console *console, const char *text)
{
    return kn_console_feed(console, text, strlen(text));
}

static void console_answers_text_with_itself(void **state)
{
    (void)state;
    struct recorder recorder;
    struct kn_console *console = open_console(&recorder, 0);
    assert_int_equal(feed(console, "ENSO\nh\xff\xc3\xa9\r\n\n"), 0);
    assert_string_equal(recorder.text, "Message: \"ENSO\"\nMessage: \"h\\xff\xc3\xa9\"\nMessage: \"\"\n");
    kn_console_close(console);
}

static void console_runs_commands_with_their_arguments(void **state)
{
    (void)state;
    struct recorder recorder;
    struct kn_console *console = open_console(&recorder, 0);
    assert_int_equal(feed(console, ":su"), 0);
    assert_int_equal(feed(console, "m   1 2  \n"), 0);
    assert_int_equal(recorder.runs, 1);
    assert_string_equal(recorder.arguments, "1 2");
    assert_string_equal(recorder.text, "sum 42\n");
    kn_console_close(console);
}

static void console_lists_every_command(void **state)
{
    (void)state;
    struct recorder recorder;
    struct kn_console *console = open_console(&recorder, 0);
    assert_int_equal(feed(console, ":help\n"), 0);
    const char *const expected[] = {":help", ":quit", ":sum", ":subtract", "takes away"};
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
        assert_non_null(strstr(recorder.text, expected[i]));
    kn_console_close(console);
}

static void console_says_what_it_does_not_know(void **state)
{
    (void)state;
    struct recorder recorder;
    struct kn_console *console = open_console(&recorder, 0);
    assert_int_equal(feed(console, ":nothing\n:\n:su\n"), 0);
    assert_string_equal(recorder.text, "Unknown command \":nothing\" (try :help)\nUnknown command \":\" (try :help)\n"
                                       "Unknown command \":su\" (try :help)\n");
    assert_int_equal(recorder.runs, 0);
    kn_console_close(console);
}

static void console_refuses_a_line_too_long_and_goes_on(void **state)
{
    (void)state;
    struct recorder recorder;
    struct kn_console *console = open_console(&recorder, 16);
    for (unsigned i = 0; i < 100000; i++)
        assert_int_equal(feed(console, "0123456789"), 0);
    assert_int_equal(feed(console, "\nok\n"), 0);
    assert_string_equal(recorder.text, "Line longer than 16 bytes: ignored\nMessage: \"ok\"\n");
    kn_console_close(console);
}

static void console_does_nothing_after_quit(void **state)
{
    (void)state;
    struct recorder recorder;
    struct kn_console *console = open_console(&recorder, 0);
    assert_int_equal(feed(console, "a\n:quit\nb\n"), -ESHUTDOWN);
    assert_int_equal(feed(console, "c\n"), -ESHUTDOWN);
    assert_int_equal(kn_console_end(console), -ESHUTDOWN);
    assert_string_equal(recorder.text, "Message: \"a\"\n");
    kn_console_close(console);
}

static void console_answers_a_last_line_without_end(void **state)
{
    (void)state;
    struct recorder recorder;
    struct kn_console *console = open_console(&recorder, 0);
    assert_int_equal(feed(console, "last"), 0);
    assert_string_equal(recorder.text, "");
    assert_int_equal(kn_console_end(console), 0);
    assert_string_equal(recorder.text, "Message: \"last\"\n");
    kn_console_close(console);
}

static void console_completes_commands(void **state)
{
    (void)state;
    struct recorder recorder;
    struct kn_console *console = open_console(&recorder, 0);
    assert_string_equal(kn_console_complete(console, ":su", 0), ":sum");
    assert_string_equal(kn_console_complete(console, ":su", 1), ":subtract");
    assert_null(kn_console_complete(console, ":su", 2));
    assert_string_equal(kn_console_complete(console, ":q", 0), ":quit");
    assert_null(kn_console_complete(console, "quit", 0));
    kn_console_close(console);
}

static void console_reads_a_pipe_over_a_poll(void **state)
{
    (void)state;
    struct recorder recorder;
    struct kn_console *console = open_console(&recorder, 0);
    struct kn_poll poll;
    struct kn_events events;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(kn_poll_open(&poll, KN_POLL_BACKEND_AUTO), 0);
    assert_int_equal(kn_events_init(&events, 4), 0);
    assert_int_equal(kn_console_attach(&poll, ends[0], 7), 0);
    assert_int_equal(write(ends[1], "one\ntwo", 7), 7);
    assert_int_equal(kn_poll_wait(&poll, &events, -1), 0);
    assert_int_equal(events.list[0].token, 7);
    assert_int_equal(kn_console_read(console, ends[0]), 0);
    close(ends[1]);
    assert_int_equal(kn_poll_wait(&poll, &events, -1), 0);
    assert_int_equal(kn_console_read(console, ends[0]), 1);
    assert_string_equal(recorder.text, "Message: \"one\"\nMessage: \"two\"\n");
    close(ends[0]);
    kn_events_free(&events);
    kn_poll_close(&poll);
    kn_console_close(console);
}

static void console_says_that_a_file_is_always_ready(void **state)
{
    (void)state;
    struct kn_poll poll;
    assert_int_equal(kn_poll_open(&poll, KN_POLL_BACKEND_AUTO), 0);
    int descriptor = open("/dev/null", O_RDONLY);
    assert_int_equal(kn_console_attach(&poll, descriptor, 1), 1);
    assert_int_equal(kn_console_attach(&poll, -1, 1), -EBADF);
    close(descriptor);
    kn_poll_close(&poll);
}

static void console_refuses_bad_options(void **state)
{
    (void)state;
    struct kn_console *console;
    assert_int_equal(kn_console_open(&console, &(struct kn_console_options){0}), -EINVAL);
    assert_int_equal(
        kn_console_open(&console, &(struct kn_console_options){.write = record, .line_bytes_max = SIZE_MAX}), -EINVAL);
    assert_null(console);
    kn_console_close(console);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(console_answers_text_with_itself),
        cmocka_unit_test(console_runs_commands_with_their_arguments),
        cmocka_unit_test(console_lists_every_command),
        cmocka_unit_test(console_says_what_it_does_not_know),
        cmocka_unit_test(console_refuses_a_line_too_long_and_goes_on),
        cmocka_unit_test(console_does_nothing_after_quit),
        cmocka_unit_test(console_answers_a_last_line_without_end),
        cmocka_unit_test(console_completes_commands),
        cmocka_unit_test(console_reads_a_pipe_over_a_poll),
        cmocka_unit_test(console_says_that_a_file_is_always_ready),
        cmocka_unit_test(console_refuses_bad_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
