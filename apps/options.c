#include "options.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

struct unit {
    const char *name;
    uint64_t scale;
};

static const struct unit size_units[] = {{"", 1}, {"k", 1024}, {"m", 1024 * 1024}, {"g", 1024 * 1024 * 1024}};

static const struct unit duration_units[] = {
    {"ns", 1},
    {"us", 1000},
    {"ms", 1000 * 1000},
    {"s", 1000 * 1000 * 1000},
    {"m", UINT64_C(60) * 1000 * 1000 * 1000},
    {"h", UINT64_C(3600) * 1000 * 1000 * 1000},
};

__attribute__((format(printf, 1, 2))) static int invalid(const char *format, ...)
{
    va_list arguments;

    fprintf(stderr, "%s: ", program_invocation_short_name);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    return -EINVAL;
}

/* Reads decimal digits; false without any, or when the number does not fit. */
static bool read_digits(const char **text, uint64_t *value)
{
    const char *cursor = *text;
    uint64_t total = 0;

    if (!isdigit((unsigned char)*cursor))
        return false;
    for (; isdigit((unsigned char)*cursor); cursor++) {
        if (__builtin_mul_overflow(total, UINT64_C(10), &total) ||
            __builtin_add_overflow(total, (uint64_t)(*cursor - '0'), &total))
            return false;
    }
    *text = cursor;
    *value = total;
    return true;
}

static const struct unit *find_unit(const struct unit *units, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcasecmp(units[i].name, name) == 0)
            return &units[i];
    }
    return NULL;
}

int option_parse_count(const char *name, const char *text, uint64_t min, uint64_t max, uint64_t *value)
{
    const char *cursor = text;
    uint64_t number;

    if (!read_digits(&cursor, &number) || *cursor != '\0')
        return invalid("%s: '%s' is not a number (try %" PRIu64 ")", name, text, min);
    if (number < min || number > max)
        return invalid("%s: %s is out of range (%" PRIu64 " to %" PRIu64 ")", name, text, min, max);
    *value = number;
    return 0;
}

int option_parse_size(const char *name, const char *text, uint64_t min, uint64_t max, uint64_t *value_bytes)
{
    const char *cursor = text;
    const struct unit *unit;
    uint64_t number;

    if (!read_digits(&cursor, &number))
        return invalid("%s: '%s' is not a size (try 64, 16k, 1m)", name, text);
    unit = find_unit(size_units, sizeof(size_units) / sizeof(size_units[0]), cursor);
    if (unit == NULL)
        return invalid("%s: '%s' is not a size (try 64, 16k, 1m)", name, text);
    if (__builtin_mul_overflow(number, unit->scale, &number) || number < min || number > max)
        return invalid("%s: %s is out of range (%" PRIu64 " to %" PRIu64 " bytes)", name, text, min, max);
    *value_bytes = number;
    return 0;
}

/* The digits after a decimal point as billionths; more than nine digits are refused. */
static bool read_fraction(const char **text, uint64_t *billionths)
{
    const char *start = *text;
    uint64_t value;

    if (!read_digits(text, &value) || *text - start > 9)
        return false;
    for (ptrdiff_t digits = *text - start; digits < 9; digits++)
        value *= 10;
    *billionths = value;
    return true;
}

/* value = whole * scale + billionths * scale / 10^9, or false when that exceeds INT64_MAX. */
static bool scale_duration(uint64_t whole, uint64_t billionths, uint64_t scale, int64_t *value_ns)
{
    uint64_t rest_ns = (uint64_t)((unsigned __int128)billionths * scale / 1000000000u);
    uint64_t total_ns;

    if (__builtin_mul_overflow(whole, scale, &total_ns) || __builtin_add_overflow(total_ns, rest_ns, &total_ns) ||
        total_ns > INT64_MAX)
        return false;
    *value_ns = (int64_t)total_ns;
    return true;
}

int option_parse_duration_ns(const char *name, const char *text, int64_t *value_ns)
{
    const char *cursor = text;
    const struct unit *unit;
    uint64_t whole;
    uint64_t billionths = 0;

    if (strcmp(text, "0") == 0) {
        *value_ns = 0;
        return 0;
    }
    if (!read_digits(&cursor, &whole))
        return invalid("%s: '%s' is not a duration (try 30s, 500ms, 2m)", name, text);
    if (*cursor == '.') {
        cursor++;
        if (!read_fraction(&cursor, &billionths))
            return invalid("%s: '%s' is not a duration (try 30s, 500ms, 2m)", name, text);
    }
    unit = find_unit(duration_units, sizeof(duration_units) / sizeof(duration_units[0]), cursor);
    if (unit == NULL)
        return invalid("%s: '%s' is not a duration (try 30s, 500ms, 2m)", name, text);
    if (!scale_duration(whole, billionths, unit->scale, value_ns))
        return invalid("%s: %s is out of range (at most 292 years)", name, text);
    return 0;
}

int option_parse_address(const char *name, const char *text, struct kn_address *address)
{
    struct kn_address parsed;

    if (kn_address_parse(text, &parsed) != 0)
        return invalid("%s: '%s' is not an address (try 127.0.0.1:8000, [::1]:8000, :8000)", name, text);
    *address = parsed;
    return 0;
}

int option_parse_cores(const char *name, const char *text, int *cores, size_t *count)
{
    int parsed[OPTION_CORES_MAX];
    const char *cursor = text;
    size_t used = 0;

    for (;;) {
        uint64_t number;

        if (used == OPTION_CORES_MAX)
            return invalid("%s: '%s' lists more than %d cores", name, text, OPTION_CORES_MAX);
        if (!read_digits(&cursor, &number) || number > 65535 || (*cursor != ',' && *cursor != '\0'))
            return invalid("%s: '%s' is not a list of cores (try 0,1)", name, text);
        parsed[used++] = (int)number;
        if (*cursor == '\0')
            break;
        cursor++;
    }
    memcpy(cores, parsed, used * sizeof(parsed[0]));
    *count = used;
    return 0;
}

int option_usage_error(const char *format, ...)
{
    va_list arguments;

    fprintf(stderr, "%s: ", program_invocation_short_name);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "\nTry '%s --help' for the options.\n", program_invocation_short_name);
    return EX_USAGE;
}

int option_exit_code(int error)
{
    switch (error) {
    case 0:
        return EX_OK;
    case -EACCES:
    case -EPERM:
        return EX_NOPERM;
    case -EADDRINUSE:
    case -EADDRNOTAVAIL:
    case -ECONNREFUSED:
    case -ENOENT:
    case -ETIMEDOUT:
        return EX_UNAVAILABLE;
    case -EHOSTUNREACH:
    case -ENETUNREACH:
        return EX_NOHOST;
    case -ECONNRESET:
    case -EPIPE:
        return EX_IOERR;
    case -EINVAL:
        return EX_USAGE;
    default:
        return EX_OSERR;
    }
}
