#include <kernel/log.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *const LEVEL_NAMES[] = {"error", "warning", "info", "debug", "trace"};
enum { LEVELS = sizeof(LEVEL_NAMES) / sizeof(LEVEL_NAMES[0]) };

void kn_log_init(struct kn_log *log, int descriptor, enum kn_log_level level)
{
    atomic_init(&log->level, (int)level);
    log->descriptor = descriptor;
}

const char *kn_log_level_name(enum kn_log_level level)
{
    return (unsigned)level < LEVELS ? LEVEL_NAMES[level] : "unknown";
}

int kn_log_level_parse(const char *text, enum kn_log_level *level)
{
    for (unsigned i = 0; i < LEVELS; i++) {
        if (strcmp(text, LEVEL_NAMES[i]) == 0) {
            *level = (enum kn_log_level)i;
            return 0;
        }
    }
    return -EINVAL;
}

/* Timestamp and level. Returns the length. */
static size_t write_prefix(char *line, size_t line_bytes, enum kn_log_level level)
{
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t length = strftime(line, line_bytes, "%Y-%m-%dT%H:%M:%S", &utc);
    int rest =
        snprintf(line + length, line_bytes - length, ".%06ldZ %s ", now.tv_nsec / 1000, kn_log_level_name(level));
    return length + (size_t)rest;
}

/*
 * Copies text, showing every byte outside printable ASCII and UTF-8's upper half as \xNN: control bytes could forge a
 * second line or command a terminal. Stops where `room` ends; returns the length, and whether all of it went in.
 */
static size_t escape(char *line, size_t room, const char *text, bool *complete)
{
    size_t length = 0;
    for (; *text; text++) {
        unsigned char byte = (unsigned char)*text;
        bool plain = byte >= 0x20 && byte != 0x7f;
        size_t needed = plain ? 1 : 4;
        if (length + needed > room) {
            *complete = false;
            return length;
        }
        if (plain)
            line[length] = (char)byte;
        else
            memcpy(line + length, (char[4]){'\\', 'x', "0123456789abcdef"[byte >> 4], "0123456789abcdef"[byte & 15]},
                   4);
        length += needed;
    }
    *complete = true;
    return length;
}

void kn_log_write(const struct kn_log *log, enum kn_log_level level, const char *format, ...)
{
    static const char ELLIPSIS[] = "...";
    if (!kn_log_enabled(log, level))
        return;
    int saved_errno = errno;
    char message[KN_LOG_LINE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    int wanted = vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    if (wanted >= 0) {
        char line[KN_LOG_LINE_BYTES];
        size_t length = write_prefix(line, sizeof(line), level);
        bool complete;
        length += escape(line + length, sizeof(line) - length - sizeof(ELLIPSIS), message, &complete);
        if (!complete || (size_t)wanted >= sizeof(message)) {
            memcpy(line + length, ELLIPSIS, sizeof(ELLIPSIS) - 1);
            length += sizeof(ELLIPSIS) - 1;
        }
        line[length++] = '\n';
        if (write(log->descriptor, line, length) < 0)
            errno = saved_errno; /* dropped: see the header */
    }
    errno = saved_errno;
}
