/* Samples of a runtime, as text and as JSON. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <kernel/top.h>

#include "json_checker.h"

enum { COLUMNS_MAX = 80, TEXT_BYTES = 4 * 1024 * 1024 };

/* What was written. */
struct recorder {
    char *text;
    size_t length;
    unsigned broken_lines; /* pieces that were no whole lines */
};

static struct recorder recorder;

static int open_recorder(void **state)
{
    (void)state;
    recorder.text = malloc(TEXT_BYTES);
    return recorder.text ? 0 : -1;
}

static int close_recorder(void **state)
{
    (void)state;
    free(recorder.text);
    return 0;
}

static void record(void *context, const char *text, size_t length)
{
    struct recorder *into = context;
    assert_true(length > 0 && into->length + length < TEXT_BYTES);
    memcpy(into->text + into->length, text, length);
    into->length += length;
    into->text[into->length] = '\0';
    into->broken_lines += text[length - 1] != '\n';
}

static const char *text_of(const struct kn_top_sample *before, const struct kn_top_sample *after,
                           const struct kn_top_text *options)
{
    recorder.length = recorder.broken_lines = 0;
    kn_top_write_text(before, after, options, record, &recorder);
    assert_int_equal(recorder.broken_lines, 0);
    return recorder.text;
}

static const char *json_of(const struct kn_top_sample *sample)
{
    recorder.length = 0;
    kn_top_write_json(sample, record, &recorder);
    assert_true(json_is_valid(recorder.text, recorder.length));
    assert_ptr_equal(strchr(recorder.text, '\n'), recorder.text + recorder.length - 1); /* one line */
    return recorder.text;
}

static struct kn_top_sample open_sample(size_t reactors, uint64_t time_ns)
{
    struct kn_top_sample sample;
    assert_int_equal(kn_top_open(&sample, reactors), 0);
    sample.time_ns = time_ns;
    for (size_t i = 0; i < reactors; i++)
        sample.reactors[i].unit = (int64_t)i;
    return sample;
}

/* Every number of a sample, from a sequence that visits all lengths of numbers. */
static struct kn_top_sample open_varied_sample(size_t reactors)
{
    struct kn_top_sample sample = open_sample(reactors, 123456789012345);
    uint64_t random = 88172645463325252;
    for (size_t i = 0; i < reactors; i++) {
        struct kn_top_reactor *reactor = &sample.reactors[i];
        uint64_t *first = &reactor->turns;
        uint64_t *end = (uint64_t *)(void *)(reactor + 1);
        for (uint64_t *value = first; value < end; value++) {
            random ^= random << 13; /* Marsaglia's xorshift */
            random ^= random >> 7;
            random ^= random << 17;
            *value = random >> random % 64;
        }
        reactor->unit = (int64_t)(i % 3) - 1;
        reactor->roles = (uint32_t)i % 16;
        reactor->is_parked = i % 2 != 0;
        for (size_t to = 0; to < reactors; to++)
            sample.bus[i * reactors + to] = to == i ? 0 : (uint32_t)(random >> (i + to) % 64);
    }
    return sample;
}

/* ---- samples ---- */

static enum kn_task_status yield(struct kn_task *task, struct kn_reactor *reactor)
{
    (void)reactor;
    return kn_task_is_cancelled(task) ? KN_TASK_DONE : KN_TASK_YIELD;
}

static const struct kn_task_type yielding = {.name = "yielding", .poll = yield};

static void ignore(struct kn_timer *timer, void *owner)
{
    (void)timer;
    (void)owner;
}

static void sample_shows_what_a_reactor_has(void **state)
{
    (void)state;
    struct kn_runtime *runtime;
    struct kn_runtime_options options = {.reactors = 1, .unpinned = true, .turn_tasks = 4, .pool_tasks = 9};
    assert_int_equal(kn_runtime_open(&runtime, &options), 0);
    struct kn_reactor *reactor = kn_runtime_reactor(runtime, 0);
    struct kn_task tasks[10];
    for (unsigned i = 0; i < 10; i++) {
        kn_task_create(&tasks[i], &yielding, i < 7 ? 2 : 5);
        kn_task_spawn(&tasks[i], reactor);
    }
    assert_int_equal(kn_reactor_turn(reactor, 0), 1);
    struct kn_timer timer;
    kn_timer_init(&timer, ignore, 0);
    assert_int_equal(kn_reactor_arm(reactor, &timer, UINT64_C(1) << 62), 0);
    assert_non_null(kn_reactor_task_acquire(reactor));
    struct kn_top_sample sample;
    assert_int_equal(kn_top_open(&sample, 1), 0);
    kn_top_take(&sample, runtime);
    const struct kn_top_reactor *taken = &sample.reactors[0];
    assert_true(sample.time_ns > 0 && sample.time_ns <= kn_clock_monotonic_ns());
    assert_int_equal(taken->unit, -1);
    assert_int_equal(taken->roles, KN_ROLE_CONTROL | KN_ROLE_IO | KN_ROLE_TIMER | KN_ROLE_TASK);
    assert_false(taken->is_parked);
    assert_int_equal(taken->turns, 1);
    assert_int_equal(taken->polls, kn_counter_read(&kn_reactor_counters(reactor)->polls));
    assert_in_range(taken->polls, 1, 4);
    assert_true(taken->busy_ns > 0);
    assert_int_equal(taken->waiting[2], 7);
    assert_int_equal(taken->waiting[5], 3);
    assert_int_equal(taken->timers, 1);
    assert_int_equal(taken->timers_fired, 0);
    assert_int_equal(taken->pool_used, 1);
    assert_int_equal(taken->pool_capacity, 9);
    assert_int_equal(sample.bus[0], 0);
    kn_top_close(&sample);
    kn_runtime_close(runtime);
}

static void sample_shows_what_waits_on_the_bus(void **state)
{
    (void)state;
    struct kn_runtime *runtime;
    struct kn_runtime_options options = {.reactors = 3, .unpinned = true, .no_balance = true};
    assert_int_equal(kn_runtime_open(&runtime, &options), 0);
    struct kn_reactor *from = kn_runtime_reactor(runtime, 1);
    struct kn_task tasks[5];
    assert_int_equal(kn_reactor_turn(from, 0), 0); /* this thread is its thread */
    for (unsigned i = 0; i < 5; i++) {
        kn_task_create(&tasks[i], &yielding, 0);
        kn_task_spawn(&tasks[i], kn_runtime_reactor(runtime, 2));
    }
    struct kn_top_sample sample;
    assert_int_equal(kn_top_open(&sample, 3), 0);
    kn_top_take(&sample, runtime);
    for (unsigned i = 0; i < 9; i++)
        assert_int_equal(sample.bus[i], i == 1 * 3 + 2 ? 5 : 0);
    kn_top_close(&sample);
    kn_runtime_close(runtime);
}

static void samples_of_running_reactors_only_grow(void **state)
{
    (void)state;
    struct kn_runtime *runtime;
    struct kn_runtime_options options = {.reactors = 2, .unpinned = true};
    struct kn_task tasks[6];
    struct kn_task_group group;
    struct kn_top_sample samples[2];
    assert_int_equal(kn_runtime_open(&runtime, &options), 0);
    assert_int_equal(kn_runtime_start(runtime, 0), 0);
    kn_task_group_init(&group, 6);
    for (unsigned i = 0; i < 6; i++) {
        kn_task_create(&tasks[i], &yielding, i);
        tasks[i].group = &group;
        kn_task_spawn(&tasks[i], kn_runtime_reactor(runtime, 0));
    }
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(kn_top_open(&samples[i], 2), 0);
        kn_top_take(&samples[i], runtime);
    }
    unsigned next = 0;
    for (unsigned grown = 0; grown < 100; next ^= 1) {
        const struct kn_top_sample *before = &samples[next ^ 1];
        struct kn_top_sample *after = &samples[next];
        kn_top_take(after, runtime);
        assert_true(after->time_ns >= before->time_ns);
        for (unsigned i = 0; i < 2; i++) {
            assert_true(after->reactors[i].polls >= before->reactors[i].polls);
            assert_true(after->reactors[i].turns >= before->reactors[i].turns);
            assert_true(after->reactors[i].busy_ns >= before->reactors[i].busy_ns);
            grown += after->reactors[i].polls > before->reactors[i].polls;
        }
    }
    for (unsigned i = 0; i < 6; i++)
        kn_task_cancel(&tasks[i]);
    assert_int_equal(kn_task_group_join(&group, NULL), 0);
    kn_top_close(&samples[0]);
    kn_top_close(&samples[1]);
    kn_runtime_close(runtime);
}

static void sample_of_none_or_too_many_is_refused(void **state)
{
    (void)state;
    struct kn_top_sample sample;
    assert_int_equal(kn_top_open(&sample, 0), -EINVAL);
    assert_int_equal(kn_top_open(&sample, KN_TOP_REACTORS_MAX + 1), -EINVAL);
    kn_top_close(&sample); /* harmless */
    assert_int_equal(kn_top_open(&sample, KN_TOP_REACTORS_MAX), 0);
    kn_top_close(&sample);
    kn_top_close(&sample);
}

static void percentiles_are_the_upper_ends_of_buckets(void **state)
{
    (void)state;
    uint64_t times[KN_REACTOR_TIMES] = {0};
    assert_int_equal(kn_top_percentile_ns(times, 0.5), 0);
    times[10] = 99;
    times[20] = 1;
    assert_int_equal(kn_top_percentile_ns(times, 0), 2048);
    assert_int_equal(kn_top_percentile_ns(times, 0.5), 2048);
    assert_int_equal(kn_top_percentile_ns(times, 0.99), 2048);
    assert_int_equal(kn_top_percentile_ns(times, 0.991), 2097152);
    assert_int_equal(kn_top_percentile_ns(times, 1), 2097152);
    times[0] = 100;
    assert_int_equal(kn_top_percentile_ns(times, 0.5), 2);
    assert_int_equal(kn_top_percentile_ns(times, 0.51), 2048);
    times[KN_REACTOR_TIMES - 1] = 1;
    assert_true(kn_top_percentile_ns(times, 1) == UINT64_MAX);
}

/* ---- text ---- */

static void text_shows_what_happened_in_between(void **state)
{
    (void)state;
    static const char expected[] = "2 reactors, 1 parked  in 2.00 s:  polls 5.0M/s  moved 4/s  panics 1\n"
                                   "  no unit role state  busy        polls wait0    1    2    3    4    5    6    7\n"
                                   "   0    0 c-t- run     50% ===     5.0M     0    3    0 1.2k    0    0    0  12M\n"
                                   "   1    1 --tw park    25% =-       50k     0    0    0    0    0    0    0    0\n"
                                   "  no timed   50%   99%   max  1ns  32ns 1us  33us 1ms  34ms 1s\n"
                                   "   0   550 2.0us 2.1ms 2.1ms            #         +\n"
                                   "   1     0     -     -     -\n"
                                   "  no asked empty taken given shed full armed fired parks done pool none panic\n"
                                   "   0     0     0     0   3.5  0.5    0    17   500     0    0    4    0     0\n"
                                   "   1    10   6.5   3.5     0    0    0     0     0     8    0    0    0     1\n"
                                   "from  to  0   1\n"
                                   "   0      - 200\n";
    struct kn_top_sample before = open_sample(2, 1000000000);
    struct kn_top_sample after = open_sample(2, 3000000000);
    before.reactors[0] = (struct kn_top_reactor){.polls = 1000, .tasks_given = 1, .busy_ns = 5};
    after.reactors[0] = (struct kn_top_reactor){.roles = KN_ROLE_CONTROL | KN_ROLE_TIMER,
                                                .polls = 10001000,
                                                .busy_ns = 1000000005,
                                                .tasks_given = 8,
                                                .tasks_shed = 1,
                                                .timers = 17,
                                                .timers_fired = 1000,
                                                .pool_used = 4,
                                                .waiting = {[1] = 3, [3] = 1234, [7] = 12000000}};
    before.reactors[0].poll_times[10] = 7;
    after.reactors[0].poll_times[10] = 1007;
    after.reactors[0].poll_times[20] = 100;
    after.reactors[1] = (struct kn_top_reactor){.unit = 1,
                                                .roles = KN_ROLE_TIMER | KN_ROLE_TASK,
                                                .is_parked = true,
                                                .polls = 100000,
                                                .busy_ns = 500000000,
                                                .steals_asked = 20,
                                                .steals_empty = 13,
                                                .tasks_taken = 7,
                                                .parks = 16,
                                                .panics = 1};
    after.bus[0 * 2 + 1] = 200;
    assert_string_equal(text_of(&before, &after, &(struct kn_top_text){.ascii = true}), expected);
    kn_top_close(&before);
    kn_top_close(&after);
}

static void text_without_an_earlier_sample_shows_totals(void **state)
{
    (void)state;
    struct kn_top_sample other = open_sample(3, 1);
    struct kn_top_sample later = open_sample(1, 10);
    struct kn_top_sample sample = open_sample(1, 5);
    sample.reactors[0].polls = 777;
    const char *text = text_of(NULL, &sample, NULL);
    assert_non_null(strstr(text, "1 reactor, 0 parked  totals:  polls 777  moved 0  panics 0\n"));
    assert_non_null(strstr(text_of(&other, &sample, NULL), "totals:"));
    assert_non_null(strstr(text_of(&later, &sample, NULL), "totals:"));
    assert_non_null(strstr(text_of(&sample, &sample, NULL), "totals:"));
    assert_non_null(strstr(text_of(&sample, &later, NULL), "in 0.00 s:"));
    kn_top_close(&other);
    kn_top_close(&later);
    kn_top_close(&sample);
}

static void text_takes_a_program_that_began_anew_as_beginning_at_zero(void **state)
{
    (void)state;
    struct kn_top_sample before = open_sample(1, 1000000000);
    struct kn_top_sample after = open_sample(1, 2000000000);
    before.reactors[0].polls = 1000000;
    before.reactors[0].busy_ns = 1000000;
    after.reactors[0].polls = 55;
    const char *text = text_of(&before, &after, NULL);
    assert_non_null(strstr(text, "polls 55/s "));
    assert_non_null(strstr(text, "   0% "));
    kn_top_close(&before);
    kn_top_close(&after);
}

static void text_has_the_parts_that_were_asked_for(void **state)
{
    (void)state;
    static const struct {
        uint32_t part;
        const char *head;
    } parts[] = {{KN_TOP_LOAD, "wait0    1"},
                 {KN_TOP_TIMES, " 99% "},
                 {KN_TOP_BALANCE, " asked "},
                 {KN_TOP_BUS, "bus: nothing"}};
    struct kn_top_sample sample = open_sample(2, 1);
    for (unsigned asked = 0; asked < 16; asked++) {
        const char *text = text_of(NULL, &sample, &(struct kn_top_text){.parts = asked});
        for (unsigned i = 0; i < 4; i++) {
            bool is_there = strstr(text, parts[i].head) != NULL;
            assert_int_equal(is_there, asked == 0 || (asked & parts[i].part) != 0);
        }
    }
    kn_top_close(&sample);
}

/* The columns of the widest line. Escape sequences take none, a character of UTF-8 takes one. */
static unsigned widest(const char *text)
{
    unsigned most = 0;
    unsigned columns = 0;
    for (; *text != '\0'; text++) {
        if (*text == '\033')
            text = strchr(text, 'm');
        else if (*text == '\n')
            columns = 0;
        else
            columns += ((unsigned char)*text & 0xc0) != 0x80;
        most = columns > most ? columns : most;
    }
    return most;
}

static unsigned lines_of(const char *text)
{
    unsigned lines = 0;
    for (; *text != '\0'; text++)
        lines += *text == '\n';
    return lines;
}

static void no_line_is_wider_than_80_columns(void **state)
{
    (void)state;
    static const size_t counts[] = {1, 2, 16, 17, 200};
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        struct kn_top_sample before = open_sample(counts[i], 1);
        struct kn_top_sample after = open_varied_sample(counts[i]);
        for (unsigned form = 0; form < 8; form++) {
            struct kn_top_text options = {.ascii = form & 1, .colours = form & 2};
            const char *text = text_of(form & 4 ? &before : NULL, &after, &options);
            assert_in_range(widest(text), 70, COLUMNS_MAX);
            assert_int_equal(strchr(text, '\033') != NULL, options.colours);
            if (options.ascii)
                for (const char *next = text; *next != '\0'; next++)
                    assert_true((unsigned char)*next < 0x80);
        }
        kn_top_close(&before);
        kn_top_close(&after);
    }
}

static void sixteen_reactors_have_one_line_each_in_a_part(void **state)
{
    (void)state;
    struct kn_top_sample sample = open_varied_sample(16);
    for (uint32_t part = KN_TOP_LOAD; part <= KN_TOP_BALANCE; part <<= 1)
        assert_int_equal(lines_of(text_of(NULL, &sample, &(struct kn_top_text){.parts = part})), 2 + 16);
    assert_int_equal(lines_of(text_of(NULL, &sample, &(struct kn_top_text){.parts = KN_TOP_BUS})), 2 + 16);
    kn_top_close(&sample);
}

/* ---- JSON ---- */

static void json_is_one_valid_line_of_documented_keys(void **state)
{
    (void)state;
    static const char *const keys[] = {
        "version",      "time_ns",       "count",        "reactors",    "reactor",     "unit",
        "roles",        "parked",        "turns",        "polls",       "finished",    "panics",
        "parks",        "busy_ns",       "steals_asked", "tasks_taken", "tasks_given", "bus_full",
        "steals_empty", "tasks_shed",    "timers",       "pool_used",   "pool_empty",  "timers_fired",
        "waiting",      "pool_capacity", "received",     "poll_times",  "bus_out",
    };
    struct kn_top_sample sample = open_varied_sample(1);
    sample.reactors[0].polls = UINT64_MAX;
    const char *text = json_of(&sample);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        char quoted[32];
        snprintf(quoted, sizeof(quoted), "\"%s\":", keys[i]);
        assert_non_null(strstr(text, quoted));
        assert_null(strstr(strstr(text, quoted) + 1, quoted)); /* once */
    }
    assert_non_null(strstr(text, "\"polls\":18446744073709551615"));
    kn_top_close(&sample);
}

static void json_reads_back_as_it_was(void **state)
{
    (void)state;
    static const size_t counts[] = {1, 5, 5, 130, 16};
    struct kn_top_sample read = {0};
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        struct kn_top_sample sample = open_varied_sample(counts[i]);
        const char *text = json_of(&sample);
        assert_int_equal(kn_top_read_json(&read, text, strlen(text)), 0);
        assert_int_equal(read.time_ns, sample.time_ns);
        assert_int_equal(read.count, counts[i]);
        for (size_t reactor = 0; reactor < counts[i]; reactor++) {
            const struct kn_top_reactor *expected = &sample.reactors[reactor];
            const struct kn_top_reactor *actual = &read.reactors[reactor];
            assert_int_equal(actual->unit, expected->unit);
            assert_int_equal(actual->roles, expected->roles);
            assert_int_equal(actual->is_parked, expected->is_parked);
            size_t numbers = offsetof(struct kn_top_reactor, turns);
            assert_memory_equal(&actual->turns, &expected->turns, sizeof(*actual) - numbers);
        }
        assert_memory_equal(read.bus, sample.bus, counts[i] * counts[i] * sizeof(read.bus[0]));
        kn_top_close(&sample);
    }
    kn_top_close(&read);
}

static void json_with_unknown_and_missing_keys_is_read(void **state)
{
    (void)state;
    static const char text[] =
        " { \"future\" : {\"a\":[1,2.5e3,{\"b\":null}],\"c\":\"x\\\"}]\"}, \"count\":2,\t\"version\":1,\"z\":-1.5,"
        "\"reactors\":[{\"polls\":5,\"surprise\":[[],{}],\"unit\":-1,\"roles\":[\"io\",\"dance\"],\"waiting\":[1,2]},"
        "{\"parked\":true,\"bus_out\":[9,8,7],\"a key that is longer than any that we know\":true}]}\n";
    struct kn_top_sample sample = {0};
    assert_true(json_is_valid(text, sizeof(text) - 1));
    assert_int_equal(kn_top_read_json(&sample, text, sizeof(text) - 1), 0);
    assert_int_equal(sample.count, 2);
    assert_int_equal(sample.time_ns, 0);
    assert_int_equal(sample.reactors[0].polls, 5);
    assert_int_equal(sample.reactors[0].turns, 0);
    assert_int_equal(sample.reactors[0].unit, -1);
    assert_int_equal(sample.reactors[0].roles, KN_ROLE_IO);
    assert_int_equal(sample.reactors[0].waiting[1], 2);
    assert_true(sample.reactors[1].is_parked);
    assert_int_equal(sample.bus[2], 9);
    assert_int_equal(sample.bus[3], 8);
    kn_top_close(&sample);
}

static void what_is_not_such_json_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int error;
    } cases[] = {
        {"", -EINVAL},
        {"Unknown command \":top\" (try :help)", -EINVAL},
        {"[]", -EINVAL},
        {"{}", -EINVAL},
        {"{\"version\":1,\"count\":1}", -EINVAL},
        {"{\"version\":2,\"count\":1,\"reactors\":[{}]}", -EPROTONOSUPPORT},
        {"{\"count\":0,\"reactors\":[]}", -EINVAL},
        {"{\"count\":1025,\"reactors\":[]}", -EINVAL},
        {"{\"count\":18446744073709551616,\"reactors\":[]}", -EINVAL},
        {"{\"count\":-1,\"reactors\":[]}", -EINVAL},
        {"{\"count\":2,\"reactors\":[{}]}", -EINVAL},
        {"{\"count\":1,\"reactors\":[{},{}]}", -EINVAL},
        {"{\"reactors\":[{}],\"count\":1}", -EINVAL},
        {"{\"count\":1,\"reactors\":[{}]} x", -EINVAL},
        {"{\"count\":1,\"reactors\":[{}],}", -EINVAL},
        {"{\"count\":1,\"reactors\":[{\"polls\":1.5}]}", -EINVAL},
        {"{\"count\":1,\"reactors\":[{\"polls\":-1}]}", -EINVAL},
        {"{\"count\":1,\"reactors\":[{\"polls\":[1]}]}", -EINVAL},
        {"{\"count\":1,\"reactors\":[{\"waiting\":1}]}", -EINVAL},
        {"{\"count\":1,\"reactors\":[{\"parked\":1}]}", -EINVAL},
        {"{\"count\":1,\"reactors\":[{\"x\":[}]}]}", -EINVAL},
        {"{\"x\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]],\"count\":1,\"reactors\":[{}]"
         "}",
         -EINVAL},
    };
    struct kn_top_sample sample = {0};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(kn_top_read_json(&sample, cases[i].text, strlen(cases[i].text)), cases[i].error);
        assert_int_equal(sample.count, 0);
        assert_null(sample.reactors);
    }
}

/* In a block of its own size, so that the address sanitizer sees what reads behind it. */
static int read_exact(struct kn_top_sample *sample, const char *text, size_t length)
{
    char *copy = malloc(length > 0 ? length : 1);
    assert_non_null(copy);
    memcpy(copy, text, length);
    int result = kn_top_read_json(sample, copy, length);
    free(copy);
    return result;
}

static void json_that_is_cut_short_is_refused(void **state)
{
    (void)state;
    struct kn_top_sample sample = open_varied_sample(2);
    struct kn_top_sample read = {0};
    size_t length = strlen(json_of(&sample)) - 1; /* the line's end may be missing */
    assert_int_equal(read_exact(&read, recorder.text, length), 0);
    for (size_t i = 0; i < length; i++) {
        assert_int_equal(read_exact(&read, recorder.text, i), -EINVAL);
        assert_int_equal(read.count, 0);
    }
    kn_top_close(&sample);
}

static void json_with_a_wrong_byte_does_no_harm(void **state)
{
    (void)state;
    static const char bytes[] = {'\0', '"', '\\', '[', ']', '{', '}', ',', ':', '9', '-', ' ', '\xff', 'x'};
    struct kn_top_sample sample = open_varied_sample(2);
    struct kn_top_sample read = {0};
    size_t length = strlen(json_of(&sample));
    unsigned refused = 0;
    for (size_t i = 0; i < length; i++) {
        char right = recorder.text[i];
        recorder.text[i] = bytes[i % sizeof(bytes)];
        int result = read_exact(&read, recorder.text, length);
        assert_true(result == 0 || result == -EINVAL || result == -EPROTONOSUPPORT);
        assert_int_equal(read.count == 0, result < 0);
        refused += result < 0;
        recorder.text[i] = right;
    }
    assert_true(refused > length / 2);
    kn_top_close(&read);
    kn_top_close(&sample);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sample_shows_what_a_reactor_has),
        cmocka_unit_test(sample_shows_what_waits_on_the_bus),
        cmocka_unit_test(samples_of_running_reactors_only_grow),
        cmocka_unit_test(sample_of_none_or_too_many_is_refused),
        cmocka_unit_test(percentiles_are_the_upper_ends_of_buckets),
        cmocka_unit_test(text_shows_what_happened_in_between),
        cmocka_unit_test(text_without_an_earlier_sample_shows_totals),
        cmocka_unit_test(text_takes_a_program_that_began_anew_as_beginning_at_zero),
        cmocka_unit_test(text_has_the_parts_that_were_asked_for),
        cmocka_unit_test(no_line_is_wider_than_80_columns),
        cmocka_unit_test(sixteen_reactors_have_one_line_each_in_a_part),
        cmocka_unit_test(json_is_one_valid_line_of_documented_keys),
        cmocka_unit_test(json_reads_back_as_it_was),
        cmocka_unit_test(json_with_unknown_and_missing_keys_is_read),
        cmocka_unit_test(what_is_not_such_json_is_refused),
        cmocka_unit_test(json_that_is_cut_short_is_refused),
        cmocka_unit_test(json_with_a_wrong_byte_does_no_harm),
    };
    return cmocka_run_group_tests(tests, open_recorder, close_recorder);
}
