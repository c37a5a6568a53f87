/* The trace of a runtime. */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <kernel/reactor.h>
#include <kernel/trace.h>

#include "sched/reactor_internal.h"

#include "json_checker.h"

static struct kn_runtime *open_runtime(size_t trace_events, bool isolate_panics)
{
    struct kn_runtime *runtime;
    struct kn_runtime_options options = {
        .reactors = 1, .unpinned = true, .trace_events = trace_events, .isolate_panics = isolate_panics};
    assert_int_equal(kn_runtime_open(&runtime, &options), 0);
    return runtime;
}

static enum kn_task_status finish(struct kn_task *task, struct kn_reactor *reactor)
{
    (void)task;
    (void)reactor;
    return KN_TASK_DONE;
}

/* Polls so many tasks of a type on this thread. */
static void poll_tasks(struct kn_runtime *runtime, const struct kn_task_type *type, unsigned count)
{
    struct kn_reactor *reactor = kn_runtime_reactor(runtime, 0);
    struct kn_task task;
    for (unsigned i = 0; i < count; i++) {
        kn_task_create(&task, type, 0);
        kn_task_spawn(&task, reactor);
        assert_int_equal(kn_reactor_turn(reactor, 0), 1);
    }
}

/* What the trace says, to be freed. */
static char *written(const struct kn_runtime *runtime)
{
    char *text;
    size_t length;
    FILE *file = open_memstream(&text, &length);
    assert_non_null(file);
    assert_int_equal(kn_runtime_trace_write(runtime, file), 0);
    fclose(file);
    assert_true(json_is_valid(text, length));
    assert_true(length > 3 && text[0] == '{');
    assert_string_equal(text + length - 3, "\n}\n");
    return text;
}

static unsigned occurrences(const char *text, const char *part)
{
    unsigned count = 0;
    for (const char *next = strstr(text, part); next; next = strstr(next + 1, part))
        count++;
    return count;
}

/* The number after a key, the first time from there on. */
static uint64_t number_after(const char *text, const char *key)
{
    const char *found = strstr(text, key);
    assert_non_null(found);
    return strtoull(found + strlen(key), NULL, 10);
}

/* A time after a key, in ns. */
static uint64_t time_after(const char *text, const char *key)
{
    const char *found = strstr(text, key);
    char *fraction;
    assert_non_null(found);
    uint64_t whole = strtoull(found + strlen(key), &fraction, 10);
    assert_int_equal(*fraction, '.');
    return whole * 1000 + strtoull(fraction + 1, NULL, 10);
}

static void trace_shows_each_poll_with_name_start_and_duration(void **state)
{
    (void)state;
    static const struct kn_task_type type = {.name = "counted", .poll = finish};
    struct kn_runtime *runtime = open_runtime(64, false);
    kn_runtime_trace(runtime, true);
    uint64_t before_ns = kn_clock_monotonic_ns();
    poll_tasks(runtime, &type, 10);
    uint64_t after_ns = kn_clock_monotonic_ns();
    char *text = written(runtime);
    assert_int_equal(occurrences(text, "\"name\":\"counted\",\"cat\":\"poll\",\"ph\":\"X\""), 10);
    /* The reactor's clock may be off the system's by the error of its calibration. */
    uint64_t start_ns = time_after(text, "\"ts\":");
    assert_in_range(start_ns, before_ns - 1000000, after_ns + 1000000);
    assert_true(time_after(text, "\"dur\":") < after_ns - before_ns + 1000000);
    assert_int_equal(number_after(text, "\"recorded\":"), 10);
    assert_int_equal(number_after(text, "\"overwritten\":"), 0);
    free(text);
    kn_runtime_close(runtime);
}

static void trace_names_the_process_and_each_reactor(void **state)
{
    (void)state;
    struct kn_runtime *runtime;
    struct kn_runtime_options options = {.reactors = 3, .unpinned = true, .trace_events = 8};
    assert_int_equal(kn_runtime_open(&runtime, &options), 0);
    char *text = written(runtime);
    assert_int_equal(occurrences(text, "\"process_name\""), 1);
    assert_int_equal(occurrences(text, "\"thread_name\""), 3);
    assert_int_equal(occurrences(text, "\"tid\":2,\"args\":{\"name\":\"reactor-2 control+io+timer+task\"}"), 1);
    assert_int_equal(number_after(text, "\"recorded\":"), 0);
    free(text);
    kn_runtime_close(runtime);
}

static void trace_keeps_the_last_events_and_counts_the_others(void **state)
{
    (void)state;
    static const struct kn_task_type early = {.name = "early", .poll = finish};
    static const struct kn_task_type late = {.name = "late", .poll = finish};
    struct kn_runtime *runtime = open_runtime(8, false);
    kn_runtime_trace(runtime, true);
    poll_tasks(runtime, &early, 93);
    poll_tasks(runtime, &late, 7);
    char *text = written(runtime);
    assert_int_equal(occurrences(text, "\"early\""), 1);
    assert_int_equal(occurrences(text, "\"late\""), 7);
    assert_true(strstr(text, "\"early\"") < strstr(text, "\"late\""));
    assert_int_equal(number_after(text, "\"recorded\":"), 100);
    assert_int_equal(number_after(text, "\"overwritten\":"), 92);
    free(text);
    kn_runtime_close(runtime);
}

static void trace_records_only_while_it_is_on(void **state)
{
    (void)state;
    static const struct kn_task_type type = {.name = "counted", .poll = finish};
    struct kn_runtime *runtime = open_runtime(64, false);
    poll_tasks(runtime, &type, 5);
    kn_runtime_trace(runtime, true);
    poll_tasks(runtime, &type, 3);
    kn_runtime_trace(runtime, false);
    poll_tasks(runtime, &type, 5);
    char *text = written(runtime);
    assert_int_equal(occurrences(text, "\"counted\""), 3);
    free(text);
    kn_runtime_close(runtime);
}

static void trace_escapes_names(void **state)
{
    (void)state;
    static const struct {
        struct kn_task_type type;
        const char *expected;
    } cases[] = {
        {{.name = "say \"hi\" \\ there", .poll = finish}, "\"say \\\"hi\\\" \\\\ there\""},
        {{.name = "\n\x01\x7f", .poll = finish}, "\"\\u000a\\u0001\\u007f\""},
        {{.name = "größe €𝄞", .poll = finish}, "\"größe €𝄞\""},
        {{.name = "a\xff\xc3", .poll = finish}, "\"a\\ufffd\\ufffd\""},
        {{.name = "\xc0\x80\xed\xa0\x80", .poll = finish}, "\"\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\""},
        {{.name = NULL, .poll = finish}, "\"task\""},
        {{.name = "", .poll = finish}, "\"\""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct kn_runtime *runtime = open_runtime(8, false);
        kn_runtime_trace(runtime, true);
        poll_tasks(runtime, &cases[i].type, 1);
        char *text = written(runtime);
        char expected[128];
        snprintf(expected, sizeof(expected), "{\"name\":%s,\"cat\":\"poll\"", cases[i].expected);
        assert_int_equal(occurrences(text, expected), 1);
        free(text);
        kn_runtime_close(runtime);
    }
}

static void trace_shows_every_kind_of_event(void **state)
{
    (void)state;
    struct kn_runtime *runtime = open_runtime(16, false);
    struct kn_trace *trace = &kn_runtime_reactor(runtime, 0)->trace;
    for (enum kn_trace_kind kind = KN_TRACE_POLL; kind < KN_TRACE_KINDS; kind++)
        kn_trace_add(trace, kind, 1000000 + 1000 * kind, 2000 + kind, NULL, NULL);
    char *text = written(runtime);
    assert_non_null(strstr(text, "\"name\":\"task\",\"cat\":\"poll\",\"ph\":\"X\""));
    assert_non_null(strstr(text, "\"ts\":1000.000,\"dur\":2.000}"));
    assert_non_null(strstr(text, "\"name\":\"park\",\"cat\":\"park\",\"ph\":\"X\""));
    assert_non_null(strstr(text, "\"ts\":1001.000,\"dur\":2.001}"));
    assert_non_null(strstr(text, "\"name\":\"io\",\"cat\":\"io\",\"ph\":\"X\""));
    assert_non_null(strstr(text, "\"name\":\"timers\",\"cat\":\"timer\",\"ph\":\"i\""));
    assert_non_null(strstr(text, "\"ts\":1003.000,\"s\":\"t\",\"args\":{\"count\":2003}}"));
    assert_non_null(strstr(text, "\"name\":\"take\",\"cat\":\"balance\",\"ph\":\"i\""));
    assert_non_null(strstr(text, "\"name\":\"give\",\"cat\":\"balance\",\"ph\":\"i\""));
    assert_non_null(strstr(text, "\"name\":\"panic\",\"cat\":\"panic\",\"ph\":\"i\""));
    free(text);
    kn_runtime_close(runtime);
}

static enum kn_task_status panic(struct kn_task *task, struct kn_reactor *reactor)
{
    (void)task;
    (void)reactor;
    kn_task_panic("on purpose");
}

static void trace_shows_which_task_was_given_up(void **state)
{
    (void)state;
    static const struct kn_task_type type = {.name = "doomed", .poll = panic};
    struct kn_runtime *runtime = open_runtime(16, true);
    kn_runtime_trace(runtime, true);
    poll_tasks(runtime, &type, 1);
    char *text = written(runtime);
    const char *event = strstr(text, "\"name\":\"panic\"");
    assert_non_null(event);
    assert_non_null(strstr(event, "\"task\":\"doomed\""));
    free(text);
    kn_runtime_close(runtime);
}

static void trace_of_a_runtime_without_room_is_refused(void **state)
{
    (void)state;
    static const struct kn_task_type type = {.name = "counted", .poll = finish};
    struct kn_runtime *runtime = open_runtime(0, false);
    assert_int_equal(kn_runtime_trace_events(runtime), 0);
    kn_runtime_trace(runtime, true); /* without effect */
    poll_tasks(runtime, &type, 5);
    assert_int_equal(kn_runtime_trace_write(runtime, stdout), -ENOTSUP);
    kn_runtime_close(runtime);
    runtime = open_runtime(32, false);
    assert_int_equal(kn_runtime_trace_events(runtime), 32);
    kn_runtime_close(runtime);
}

static void trace_says_that_a_disk_is_full(void **state)
{
    (void)state;
    struct kn_runtime *runtime = open_runtime(8, false);
    FILE *file = fopen("/dev/full", "w");
    assert_non_null(file);
    assert_int_equal(kn_runtime_trace_write(runtime, file), -EIO);
    fclose(file);
    kn_runtime_close(runtime);
}

/* ---- reading while it is written ---- */

enum { SHARED_EVENTS = 64, ROUNDS = 200 };

struct writer {
    struct kn_trace *trace;
    _Atomic bool stop;
    _Atomic uint64_t written;
};

/* All parts of an event follow from its number. */
static uint64_t amount_of(uint64_t number)
{
    return number * 7 + 3;
}

static void *write_events(void *argument)
{
    struct writer *writer = argument;
    uint64_t number = 0;
    while (!atomic_load_explicit(&writer->stop, memory_order_relaxed)) {
        kn_trace_add(writer->trace, KN_TRACE_POLL, number, amount_of(number), number % 2 ? "odd" : "even",
                     (const void *)(uintptr_t)(number * 8 + 8));
        atomic_store_explicit(&writer->written, ++number, memory_order_relaxed);
    }
    return NULL;
}

/* Checks that each event is whole and later than the one before. @return how many; *last is the last one's number. */
static unsigned check_events(const char *text, uint64_t *last)
{
    unsigned count = 0;
    for (const char *event = strstr(text, "\"cat\":\"poll\""); event; event = strstr(event + 1, "\"cat\":\"poll\"")) {
        uint64_t number = time_after(event, "\"ts\":");
        assert_true(count == 0 || number > *last);
        assert_int_equal(time_after(event, "\"dur\":"), amount_of(number));
        const char *address = strstr(event, "\"0x");
        assert_non_null(address);
        assert_int_equal(strtoull(address + 3, NULL, 16), number * 8 + 8);
        assert_memory_equal(event - 6, number % 2 ? "\"odd\"," : "even\",", 6);
        *last = number;
        count++;
    }
    return count;
}

static void trace_shows_no_event_in_parts_while_it_is_written(void **state)
{
    (void)state;
    struct kn_runtime *runtime = open_runtime(SHARED_EVENTS, false);
    struct writer writer = {.trace = &kn_runtime_reactor(runtime, 0)->trace};
    pthread_t thread;
    uint64_t last = 0;
    unsigned count = 0;
    assert_int_equal(pthread_create(&thread, NULL, write_events, &writer), 0);
    uint64_t seen = 0;
    for (unsigned round = 0; round < ROUNDS;) {
        char *text = written(runtime);
        count += check_events(text, &last);
        free(text);
        /* A round is one in which the writer has come round. */
        uint64_t now = atomic_load_explicit(&writer.written, memory_order_relaxed);
        if (now - seen > SHARED_EVENTS) {
            seen = now;
            round++;
        }
    }
    atomic_store_explicit(&writer.stop, true, memory_order_relaxed);
    pthread_join(thread, NULL);
    assert_true(count > 0);
    /* At rest nothing is left out. */
    char *text = written(runtime);
    assert_int_equal(check_events(text, &last), SHARED_EVENTS);
    assert_int_equal(last + 1, atomic_load(&writer.written));
    free(text);
    kn_runtime_close(runtime);
}

static enum kn_task_status yield(struct kn_task *task, struct kn_reactor *reactor)
{
    (void)reactor;
    return kn_task_is_cancelled(task) ? KN_TASK_DONE : KN_TASK_YIELD;
}

static void trace_is_written_while_reactors_run(void **state)
{
    (void)state;
    static const struct kn_task_type type = {.name = "yielding", .poll = yield};
    struct kn_runtime *runtime;
    struct kn_runtime_options options = {.reactors = 2, .unpinned = true, .trace_events = 256};
    struct kn_task tasks[4];
    struct kn_task_group group;
    assert_int_equal(kn_runtime_open(&runtime, &options), 0);
    assert_int_equal(kn_runtime_start(runtime, 0), 0);
    kn_task_group_init(&group, 4);
    kn_runtime_trace(runtime, true);
    for (unsigned i = 0; i < 4; i++) {
        kn_task_create(&tasks[i], &type, i);
        tasks[i].group = &group;
        kn_task_spawn(&tasks[i], kn_runtime_reactor(runtime, 0));
    }
    unsigned polls = 0;
    while (polls < 10000) {
        char *text = written(runtime);
        polls += occurrences(text, "\"yielding\"");
        free(text);
    }
    for (unsigned i = 0; i < 4; i++)
        kn_task_cancel(&tasks[i]);
    assert_int_equal(kn_task_group_join(&group, NULL), 0);
    kn_runtime_close(runtime);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trace_shows_each_poll_with_name_start_and_duration),
        cmocka_unit_test(trace_names_the_process_and_each_reactor),
        cmocka_unit_test(trace_keeps_the_last_events_and_counts_the_others),
        cmocka_unit_test(trace_records_only_while_it_is_on),
        cmocka_unit_test(trace_escapes_names),
        cmocka_unit_test(trace_shows_every_kind_of_event),
        cmocka_unit_test(trace_shows_which_task_was_given_up),
        cmocka_unit_test(trace_of_a_runtime_without_room_is_refused),
        cmocka_unit_test(trace_says_that_a_disk_is_full),
        cmocka_unit_test(trace_shows_no_event_in_parts_while_it_is_written),
        cmocka_unit_test(trace_is_written_while_reactors_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
