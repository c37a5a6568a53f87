#include "load_report.h"

#include <inttypes.h>
#include <string.h>

#define BAR_WIDTH 40
#define TIME_TEXT_BYTES 24

static const struct percentile {
    const char *name;
    double percent;
} percentiles[] = {{"p50", 50}, {"p90", 90}, {"p99", 99}, {"p99.9", 99.9}, {"p99.99", 99.99}};

#define PERCENTILE_COUNT (sizeof(percentiles) / sizeof(percentiles[0]))

static double seconds(int64_t time_ns)
{
    return (double)time_ns / 1e9;
}

static double per_second(uint64_t count, int64_t time_ns)
{
    return time_ns > 0 ? (double)count / seconds(time_ns) : 0;
}

/* Three significant digits and a unit, in `text`; returns `text`. */
static const char *format_time(double time_ns, char text[TIME_TEXT_BYTES])
{
    static const char *const units[] = {"ns", "us", "ms", "s"};
    size_t unit = 0;
    while (time_ns >= 999.5 && unit < 3) {
        time_ns /= 1000;
        unit++;
    }
    int digits = unit == 0 || time_ns >= 99.95 ? 0 : time_ns >= 9.995 ? 1 : 2;
    snprintf(text, TIME_TEXT_BYTES, "%.*f %s", digits, time_ns, units[unit]);
    return text;
}

void load_report_progress(void *context, const struct load_progress *progress)
{
    static const char *const phases[] = {
        [LOAD_CONNECTING] = "connecting", [LOAD_WARMING_UP] = "warming up", [LOAD_MEASURING] = "measuring"};
    FILE *file = context;
    fprintf(file, "%-10s %4.0f s  %10.0f requests/s  %u connections  %" PRIu64 " errors\n", phases[progress->phase],
            seconds(progress->elapsed_ns), per_second(progress->interval_requests, progress->interval_ns),
            progress->open_connections, progress->errors);
    fflush(file);
}

static void print_failures(FILE *file, const struct load_result *result)
{
    const struct {
        const char *name;
        uint64_t count;
    } failures[] = {
        {"errors", result->errors},         {"wrong replies", result->mismatches},
        {"reconnects", result->reconnects}, {"failed connects", result->connect_failures},
        {"unanswered", result->unanswered}, {"over 137 s", result->latency.overflow_count},
    };
    for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
        if (failures[i].count > 0)
            fprintf(file, "  %-16s %12" PRIu64 "\n", failures[i].name, failures[i].count);
    }
}

static void print_bar(FILE *file, const char *low, const char *high, uint64_t count, uint64_t total, uint64_t largest)
{
    static const char marks[] = "########################################";
    _Static_assert(sizeof(marks) == BAR_WIDTH + 1, "as many marks as the widest bar");
    int width = (int)((double)count / (double)largest * BAR_WIDTH + 0.5);
    if (count > 0 && width == 0)
        width = 1;
    fprintf(file, "  %7s - %-7s %7.3f %% %.*s\n", low, high, 100.0 * (double)count / (double)total, width, marks);
}

/* The first of 1, 2, 5, 10, 20, 50 ... that is above `bound`, itself one of them. */
static uint64_t next_bound(uint64_t bound)
{
    uint64_t decade = 1;
    while (decade * 10 <= bound)
        decade *= 10;
    return bound / decade == 2 ? decade * 5 : bound / decade == 5 ? decade * 10 : decade * 2;
}

/* One row from each of 1, 2, 5, 10 ... to the next, from the least latency to the greatest. */
static void print_bars(FILE *file, const struct histogram *latency)
{
    uint64_t largest = 0;
    for (uint64_t low = 0, high = 1; low <= latency->maximum_ns; low = high, high = next_bound(high)) {
        uint64_t count = histogram_count_between(latency, low, high);
        if (count > largest)
            largest = count;
    }
    uint64_t seen = 0;
    for (uint64_t low = 0, high = 1; seen < latency->count; low = high, high = next_bound(high)) {
        uint64_t count = histogram_count_between(latency, low, high);
        seen += count;
        if (seen == 0)
            continue;
        char low_text[TIME_TEXT_BYTES], high_text[TIME_TEXT_BYTES];
        snprintf(low_text, sizeof(low_text), "%s", "0");
        if (low > 0)
            format_time((double)low, low_text);
        print_bar(file, low_text, format_time((double)high, high_text), count, latency->count, largest);
    }
}

static void print_latency(FILE *file, const struct histogram *latency)
{
    char text[TIME_TEXT_BYTES];
    fprintf(file, "latency\n");
    fprintf(file, "  %-16s %12s\n", "min", format_time((double)histogram_min(latency), text));
    fprintf(file, "  %-16s %12s\n", "mean", format_time(histogram_mean(latency), text));
    for (size_t i = 0; i < PERCENTILE_COUNT; i++) {
        uint64_t value_ns = histogram_percentile(latency, percentiles[i].percent);
        fprintf(file, "  %-16s %12s\n", percentiles[i].name, format_time((double)value_ns, text));
    }
    fprintf(file, "  %-16s %12s\n", "max", format_time((double)histogram_max(latency), text));
    print_bars(file, latency);
}

void load_report_text(FILE *file, const struct load_options *options, const struct load_result *result)
{
    struct load_options chosen = load_options_with_defaults(options);
    char address[KN_ADDRESS_TEXT_BYTES] = "?";
    (void)kn_address_format(&chosen.address, address, sizeof(address));
    fprintf(file, "%s: %u connections, pipeline %u, %u bytes", address, chosen.connections, chosen.pipeline,
            chosen.message_bytes);
    if (chosen.rate > 0)
        fprintf(file, ", %" PRIu64 " requests/s due", chosen.rate);
    fprintf(file, ", %.1f s\n", seconds(result->elapsed_ns));
    fprintf(file, "throughput\n");
    fprintf(file, "  %-16s %12" PRIu64 "\n", "requests", result->requests);
    fprintf(file, "  %-16s %12.0f\n", "requests/s", per_second(result->requests, result->elapsed_ns));
    fprintf(file, "  %-16s %12.1f\n", "MB/s", per_second(result->bytes, result->elapsed_ns) / 1e6);
    print_failures(file, result);
    if (result->latency.count > 0)
        print_latency(file, &result->latency);
}

static void print_json_string(FILE *file, const char *text)
{
    fputc('"', file);
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            fputc('\\', file);
        if ((unsigned char)*text < ' ')
            fprintf(file, "\\u%04x", (unsigned)(unsigned char)*text);
        else
            fputc(*text, file);
    }
    fputc('"', file);
}

static void print_json_count(FILE *file, const char *name, uint64_t value)
{
    fprintf(file, ", \"%s\": %" PRIu64, name, value);
}

void load_report_json(FILE *file, const struct load_options *options, const struct load_result *result)
{
    struct load_options chosen = load_options_with_defaults(options);
    char address[KN_ADDRESS_TEXT_BYTES] = "?";
    (void)kn_address_format(&chosen.address, address, sizeof(address));
    fprintf(file, "{\"address\": ");
    print_json_string(file, address);
    print_json_count(file, "connections", chosen.connections);
    print_json_count(file, "pipeline", chosen.pipeline);
    print_json_count(file, "message_bytes", chosen.message_bytes);
    print_json_count(file, "rate", chosen.rate);
    print_json_count(file, "warmup_ns", (uint64_t)chosen.warmup_ns);
    print_json_count(file, "elapsed_ns", (uint64_t)result->elapsed_ns);
    print_json_count(file, "requests", result->requests);
    fprintf(file, ", \"requests_per_second\": %.1f", per_second(result->requests, result->elapsed_ns));
    print_json_count(file, "bytes", result->bytes);
    fprintf(file, ", \"bytes_per_second\": %.1f", per_second(result->bytes, result->elapsed_ns));
    print_json_count(file, "errors", result->errors);
    print_json_count(file, "mismatches", result->mismatches);
    print_json_count(file, "connect_failures", result->connect_failures);
    print_json_count(file, "reconnects", result->reconnects);
    print_json_count(file, "unanswered", result->unanswered);
    fprintf(file, ", \"latency_ns\": {\"samples\": %" PRIu64 ", \"overflows\": %" PRIu64 ", \"min\": %" PRIu64,
            result->latency.count, result->latency.overflow_count, histogram_min(&result->latency));
    fprintf(file, ", \"mean\": %.1f", histogram_mean(&result->latency));
    for (size_t i = 0; i < PERCENTILE_COUNT; i++)
        print_json_count(file, percentiles[i].name, histogram_percentile(&result->latency, percentiles[i].percent));
    fprintf(file, ", \"max\": %" PRIu64 "}}\n", histogram_max(&result->latency));
}
