/*
 * The difference of two samples as tables: a line a reactor, at most 80 columns.
 */
#include <kernel/top.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "top_internal.h"

enum {
    BAR_COLUMNS = 6,
    BUS_COLUMNS = 16,
    NUMBER_BYTES = 16,
    ALL_PARTS = KN_TOP_LOAD | KN_TOP_TIMES | KN_TOP_BALANCE | KN_TOP_BUS
};

static const uint64_t NO_TIME = UINT64_MAX;

/* Of a reactor's share of time, from which on it is shown as much and as full. */
static const double SHARE_MUCH = 0.5;
static const double SHARE_FULL = 0.9;

/* What is being written. */
struct text {
    struct kn_top_output output;
    const struct kn_top_sample *before; /* NULL: totals */
    const struct kn_top_sample *after;
    double seconds; /* between the two; 1 for totals */
    bool ascii;
    bool colours;
};

enum colour { COLOUR_NONE, COLOUR_HEAD, COLOUR_DIM, COLOUR_GREEN, COLOUR_YELLOW, COLOUR_RED };

static void set_colour(struct text *text, enum colour colour)
{
    static const char *const sequences[] = {"\033[0m", "\033[1m", "\033[2m", "\033[32m", "\033[33m", "\033[31m"};
    if (text->colours)
        kn_top_put(&text->output, "%s", sequences[colour]);
}

static void end_line(struct text *text)
{
    kn_top_put(&text->output, "\n");
    kn_top_flush(&text->output);
}

/* A line that heads a table. */
static void put_head(struct text *text, const char *line)
{
    set_colour(text, COLOUR_HEAD);
    kn_top_put(&text->output, "%s", line);
    set_colour(text, COLOUR_NONE);
    end_line(text);
}

/* ---- numbers ---- */

/* A number in at most four columns: 7, 0.3, 999, 1.2k, 34M. */
static const char *short_number(char text[NUMBER_BYTES], double value)
{
    static const char units[] = " kMGTPE";
    unsigned unit = 0;
    while (value >= 999.5 && unit + 2 < sizeof(units)) {
        value /= 1000;
        unit++;
    }
    bool is_whole = unit == 0 && value == (double)(uint64_t)value;
    int length = snprintf(text, NUMBER_BYTES, value < 9.95 && !is_whole ? "%.1f" : "%.0f", value);
    if (unit > 0 && length > 0 && length < NUMBER_BYTES - 1) {
        text[length] = units[unit];
        text[length + 1] = '\0';
    }
    return text;
}

/* A number in at most three columns, rounded down: 7, 999, 12k, .9M. */
static const char *tiny_number(char text[NUMBER_BYTES], uint32_t value)
{
    static const char units[] = " kMGT";
    unsigned unit = 0;
    for (; value >= 1000; value /= 1000)
        unit++;
    if (unit == 0)
        snprintf(text, NUMBER_BYTES, "%" PRIu32, value);
    else if (value < 100)
        snprintf(text, NUMBER_BYTES, "%" PRIu32 "%c", value, units[unit]);
    else
        snprintf(text, NUMBER_BYTES, ".%" PRIu32 "%c", value / 100, units[unit + 1]);
    return text;
}

/* A time in at most five columns: 512ns, 2.0us, 4.3s. */
static const char *short_time(char text[NUMBER_BYTES], uint64_t time_ns)
{
    static const char *const units[] = {"ns", "us", "ms", "s"};
    double value = (double)time_ns;
    unsigned unit = 0;
    if (time_ns == NO_TIME)
        return ">2s";
    while (value >= 999.5 && unit < 3) {
        value /= 1000;
        unit++;
    }
    snprintf(text, NUMBER_BYTES, value < 9.95 && unit > 0 ? "%.1f%s" : "%.0f%s", value, units[unit]);
    return text;
}

/* What a number that only grows has grown by. Less than before is another program's: as if it had begun at zero. */
static uint64_t grown(const struct text *text, uint64_t before, uint64_t after)
{
    return text->before && before <= after ? after - before : after;
}

static const struct kn_top_reactor *reactor_before(const struct text *text, size_t index)
{
    static const struct kn_top_reactor none;
    return text->before ? &text->before->reactors[index] : &none;
}

/* Its share of the time, 0 to 1. */
static double busy_share(const struct text *text, size_t index)
{
    uint64_t busy_ns = grown(text, reactor_before(text, index)->busy_ns, text->after->reactors[index].busy_ns);
    double share = (double)busy_ns / 1e9 / text->seconds;
    return share < 1 ? share : 1; /* a turn counts when it ends */
}

/* ---- drawings ---- */

/* One column of which `eighths` of 8 are filled, from below; 0 is empty. */
static const char *level(const struct text *text, unsigned eighths)
{
    static const char *const blocks[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    static const char *const letters[] = {" ", ".", ".", ":", ":", "+", "+", "#", "#"};
    return text->ascii ? letters[eighths] : blocks[eighths];
}

/* One column of which `eighths` of 8 are filled, from the left. */
static const char *piece(const struct text *text, unsigned eighths)
{
    static const char *const blocks[] = {" ", "▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"};
    static const char *const letters[] = {" ", " ", " ", "-", "-", "-", "=", "=", "="};
    return text->ascii ? letters[eighths] : blocks[eighths];
}

static void put_bar(struct text *text, double share)
{
    unsigned eighths = (unsigned)(share * 8 * BAR_COLUMNS + 0.5);
    set_colour(text, share >= SHARE_FULL ? COLOUR_RED : share >= SHARE_MUCH ? COLOUR_YELLOW : COLOUR_GREEN);
    for (unsigned i = 0; i < BAR_COLUMNS; i++) {
        kn_top_put(&text->output, "%s", piece(text, eighths > 8 ? 8 : eighths));
        eighths -= eighths > 8 ? 8 : eighths;
    }
    set_colour(text, COLOUR_NONE);
}

static unsigned bits(uint64_t value)
{
    return value == 0 ? 0 : 64 - (unsigned)__builtin_clzll(value);
}

/* A column a bucket; one poll shows, and the highest column is full. The logarithm lets the rare slow ones be seen. */
static void put_histogram(struct text *text, const uint64_t times[KN_REACTOR_TIMES])
{
    uint64_t most = 0;
    unsigned columns = 0;
    for (unsigned i = 0; i < KN_REACTOR_TIMES; i++) {
        most = times[i] > most ? times[i] : most;
        columns = times[i] > 0 ? i + 1 : columns;
    }
    for (unsigned i = 0; i < columns; i++) {
        unsigned eighths = times[i] == 0 ? 0 : times[i] == most ? 8 : 1 + 6 * bits(times[i]) / bits(most);
        kn_top_put(&text->output, "%s", level(text, eighths > 7 && times[i] < most ? 7 : eighths));
    }
}

/* ---- the parts ---- */

static void write_summary(struct text *text)
{
    const struct kn_top_sample *after = text->after;
    uint64_t polls = 0;
    uint64_t moved = 0;
    uint64_t panics = 0;
    size_t parked = 0;
    char number[NUMBER_BYTES];
    for (size_t i = 0; i < after->count; i++) {
        const struct kn_top_reactor *now = &after->reactors[i];
        const struct kn_top_reactor *then = reactor_before(text, i);
        polls += grown(text, then->polls, now->polls);
        moved += grown(text, then->tasks_given, now->tasks_given) + grown(text, then->tasks_shed, now->tasks_shed);
        panics += now->panics;
        parked += now->is_parked;
    }
    kn_top_put(&text->output, "%zu reactor%s, %zu parked", after->count, after->count == 1 ? "" : "s", parked);
    if (!text->before)
        kn_top_put(&text->output, "  totals:");
    else if (text->seconds < 1000)
        kn_top_put(&text->output, "  in %.2f s:", text->seconds);
    else
        kn_top_put(&text->output, "  in %s s:", short_number(number, text->seconds));
    const char *unit = text->before ? "/s" : "";
    kn_top_put(&text->output, "  polls %s%s", short_number(number, (double)polls / text->seconds), unit);
    kn_top_put(&text->output, "  moved %s%s", short_number(number, (double)moved / text->seconds), unit);
    if (panics > 0)
        set_colour(text, COLOUR_RED);
    kn_top_put(&text->output, "  panics %s", short_number(number, (double)panics));
    if (panics > 0)
        set_colour(text, COLOUR_NONE);
    end_line(text);
}

static void put_rate(struct text *text, int columns, uint64_t before, uint64_t after)
{
    char number[NUMBER_BYTES];
    kn_top_put(&text->output, "%*s", columns, short_number(number, (double)grown(text, before, after) / text->seconds));
}

static void put_count(struct text *text, int columns, uint64_t count)
{
    char number[NUMBER_BYTES];
    kn_top_put(&text->output, "%*s", columns, short_number(number, (double)count));
}

static void write_load(struct text *text)
{
    static const char letters[] = "citw";
    char number[NUMBER_BYTES];
    put_head(text, "  no unit role state  busy        polls wait0    1    2    3    4    5    6    7");
    for (size_t i = 0; i < text->after->count; i++) {
        const struct kn_top_reactor *now = &text->after->reactors[i];
        const struct kn_top_reactor *then = reactor_before(text, i);
        char roles[sizeof(letters)];
        for (unsigned role = 0; role < sizeof(letters) - 1; role++)
            roles[role] = now->roles >> role & 1 ? letters[role] : '-';
        roles[sizeof(letters) - 1] = '\0';
        if (now->is_parked)
            set_colour(text, COLOUR_DIM);
        kn_top_put(&text->output, "%4zu %4" PRIi64 " %s %-5s", i, now->unit, roles, now->is_parked ? "park" : "run");
        if (now->is_parked)
            set_colour(text, COLOUR_NONE);
        if (text->before) {
            double share = busy_share(text, i);
            kn_top_put(&text->output, " %4.0f%% ", share * 100);
            put_bar(text, share);
        } else {
            kn_top_put(&text->output, " %5s %*s", "-", BAR_COLUMNS, "");
        }
        put_rate(text, 6, then->polls, now->polls);
        kn_top_put(&text->output, " ");
        for (unsigned class = 0; class < KN_PRIORITY_CLASSES; class ++)
            kn_top_put(&text->output, " %4s", short_number(number, (double)now->waiting[class]));
        end_line(text);
    }
}

static void write_times(struct text *text)
{
    char number[NUMBER_BYTES];
    put_head(text, "  no timed   50%   99%   max  1ns  32ns 1us  33us 1ms  34ms 1s");
    for (size_t i = 0; i < text->after->count; i++) {
        const struct kn_top_reactor *now = &text->after->reactors[i];
        const struct kn_top_reactor *then = reactor_before(text, i);
        uint64_t times[KN_REACTOR_TIMES];
        uint64_t total = 0;
        for (unsigned bucket = 0; bucket < KN_REACTOR_TIMES; bucket++) {
            times[bucket] = grown(text, then->poll_times[bucket], now->poll_times[bucket]);
            total += times[bucket];
        }
        kn_top_put(&text->output, "%4zu", i);
        put_rate(text, 6, 0, total);
        for (unsigned column = 0; column < 3; column++) {
            static const double shares[] = {0.5, 0.99, 1};
            uint64_t time_ns = kn_top_percentile_ns(times, shares[column]);
            kn_top_put(&text->output, " %5s", total > 0 ? short_time(number, time_ns) : "-");
        }
        if (total > 0) {
            kn_top_put(&text->output, "  ");
            put_histogram(text, times);
        }
        end_line(text);
    }
}

static void write_balance(struct text *text)
{
    put_head(text, "  no asked empty taken given shed full armed fired parks done pool none panic");
    for (size_t i = 0; i < text->after->count; i++) {
        const struct kn_top_reactor *now = &text->after->reactors[i];
        const struct kn_top_reactor *then = reactor_before(text, i);
        kn_top_put(&text->output, "%4zu", i);
        put_rate(text, 6, then->steals_asked, now->steals_asked);
        put_rate(text, 6, then->steals_empty, now->steals_empty);
        put_rate(text, 6, then->tasks_taken, now->tasks_taken);
        put_rate(text, 6, then->tasks_given, now->tasks_given);
        put_rate(text, 5, then->tasks_shed, now->tasks_shed);
        put_rate(text, 5, then->bus_full, now->bus_full);
        put_count(text, 6, now->timers);
        put_rate(text, 6, then->timers_fired, now->timers_fired);
        put_rate(text, 6, then->parks, now->parks);
        put_rate(text, 5, then->finished, now->finished);
        put_count(text, 5, now->pool_used);
        put_rate(text, 5, then->pool_empty, now->pool_empty);
        if (now->panics > 0)
            set_colour(text, COLOUR_RED);
        put_count(text, 6, now->panics);
        if (now->panics > 0)
            set_colour(text, COLOUR_NONE);
        end_line(text);
    }
}

/* ---- the bus ---- */

static bool has_any(const uint32_t *row, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (row[i] > 0)
            return true;
    return false;
}

/* Columns `first` and those after it, as many as fit, of the rows in which anything waits. */
static void write_bus_block(struct text *text, size_t first)
{
    const struct kn_top_sample *after = text->after;
    size_t columns = after->count - first < BUS_COLUMNS ? after->count - first : BUS_COLUMNS;
    char number[NUMBER_BYTES];
    set_colour(text, COLOUR_HEAD);
    kn_top_put(&text->output, "from  to");
    for (size_t to = first; to < first + columns; to++)
        kn_top_put(&text->output, to == first ? "%3zu" : "%4zu", to);
    set_colour(text, COLOUR_NONE);
    end_line(text);
    for (size_t from = 0; from < after->count; from++) {
        const uint32_t *row = &after->bus[from * after->count];
        if (!has_any(row + first, columns))
            continue;
        kn_top_put(&text->output, "%4zu   ", from);
        for (size_t to = first; to < first + columns; to++)
            kn_top_put(&text->output, " %3s", to == from ? "-" : tiny_number(number, row[to]));
        end_line(text);
    }
}

static void write_bus(struct text *text)
{
    const struct kn_top_sample *after = text->after;
    bool any = false;
    for (size_t first = 0; first < after->count; first += BUS_COLUMNS) {
        size_t columns = after->count - first < BUS_COLUMNS ? after->count - first : BUS_COLUMNS;
        bool here = false;
        for (size_t from = 0; from < after->count && !here; from++)
            here = has_any(&after->bus[from * after->count + first], columns);
        if (here)
            write_bus_block(text, first);
        any = any || here;
    }
    if (!any && after->count > 1)
        put_head(text, "bus: nothing waits");
}

void kn_top_write_text(const struct kn_top_sample *before, const struct kn_top_sample *after,
                       const struct kn_top_text *options, kn_top_write *write, void *context)
{
    bool is_span = before && before->count == after->count && before->time_ns < after->time_ns;
    uint32_t parts = options && options->parts != 0 ? options->parts : ALL_PARTS;
    struct text text = {
        .output = {.write = write, .context = context},
        .before = is_span ? before : NULL,
        .after = after,
        .seconds = is_span ? (double)(after->time_ns - before->time_ns) / 1e9 : 1,
        .ascii = options && options->ascii,
        .colours = options && options->colours,
    };
    write_summary(&text);
    if (parts & KN_TOP_LOAD)
        write_load(&text);
    if (parts & KN_TOP_TIMES)
        write_times(&text);
    if (parts & KN_TOP_BALANCE)
        write_balance(&text);
    if (parts & KN_TOP_BUS)
        write_bus(&text);
}
