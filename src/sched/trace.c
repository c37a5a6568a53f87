/*
 * The recorded events as JSON for Chrome's tracing and Perfetto: "Trace Event Format", the JSON object form.
 */
#include <kernel/trace.h>

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "reactor_internal.h"

static const uintptr_t KIND_MASK = 7;

/* A copy of an event. */
struct event {
    enum kn_trace_kind kind;
    uint64_t start_ns;
    uint64_t amount;
    const char *name;
    uintptr_t subject;
};

/* What was said of one reactor, or of all. */
struct tally {
    uint64_t recorded;    /* events there were */
    uint64_t overwritten; /* of these, before they were read */
};

/* ---- reading while it is written ---- */

/* The least number whose event may still be there. */
static uint64_t oldest(const struct kn_trace *trace)
{
    uint64_t begun = atomic_load_explicit(&trace->begun, memory_order_relaxed);
    return begun > trace->mask + 1 ? begun - trace->mask - 1 : 0;
}

/* Copies event `number`, which has ended. False when it is overwritten, or may be in parts. */
static bool read_event(const struct kn_trace *trace, uint64_t number, struct event *copy)
{
    const struct kn_trace_event *event = &trace->events[number & trace->mask];
    /* Acquire pairs with the releases in kn_trace_add: if one of these comes from a later event, the load of `begun`
     * that follows sees that event begun. If none does they are all of this one, as `end` was acquired before. */
    copy->start_ns = atomic_load_explicit(&event->start_ns, memory_order_acquire);
    copy->amount = atomic_load_explicit(&event->amount, memory_order_acquire);
    copy->name = (const char *)atomic_load_explicit(&event->name, memory_order_acquire);
    uintptr_t subject = atomic_load_explicit(&event->subject, memory_order_acquire);
    copy->kind = (enum kn_trace_kind)(subject & KIND_MASK);
    copy->subject = subject & ~KIND_MASK;
    return number >= oldest(trace);
}

/* ---- text ---- */

/* Bytes of the UTF-8 sequence that a text begins with, 0 if it is none. Shortest form and no surrogates, as RFC 3629
 * has it. */
static unsigned utf8_length(const unsigned char *text)
{
    unsigned first = text[0];
    unsigned length = first < 0x80 ? 1 : first >= 0xc2 && first < 0xe0 ? 2 : first >= 0xe0 && first < 0xf0 ? 3 : 0;
    if (first >= 0xf0 && first < 0xf5)
        length = 4;
    for (unsigned i = 1; i < length; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    if ((first == 0xe0 && text[1] < 0xa0) || (first == 0xed && text[1] >= 0xa0) || (first == 0xf0 && text[1] < 0x90) ||
        (first == 0xf4 && text[1] >= 0x90))
        return 0;
    return length;
}

/* Writes a text between quotes. Bytes that are no UTF-8 become the replacement character. */
static void write_string(FILE *file, const char *text)
{
    putc_unlocked('"', file);
    for (const unsigned char *next = (const unsigned char *)text; *next != '\0';) {
        unsigned length = utf8_length(next);
        if (length == 0)
            fputs("\\ufffd", file);
        else if (*next < 0x20 || *next == 0x7f)
            fprintf(file, "\\u%04x", *next);
        else if (*next == '"' || *next == '\\')
            fprintf(file, "\\%c", *next);
        else
            fwrite(next, 1, length, file);
        next += length > 0 ? length : 1;
    }
    putc_unlocked('"', file);
}

/* Nanoseconds as microseconds, in full. */
static void write_time(FILE *file, const char *key, uint64_t time_ns)
{
    fprintf(file, ",\"%s\":%" PRIu64 ".%03u", key, time_ns / 1000, (unsigned)(time_ns % 1000));
}

/* ---- events ---- */

static void write_event(FILE *file, int process, uint32_t reactor, const struct event *event)
{
    static const struct {
        const char *name;
        const char *category;
        bool is_span;
    } kinds[] = {
        [KN_TRACE_POLL] = {"task", "poll", true},     [KN_TRACE_PARK] = {"park", "park", true},
        [KN_TRACE_IO] = {"io", "io", true},           [KN_TRACE_TIMER] = {"timers", "timer", false},
        [KN_TRACE_TAKE] = {"take", "balance", false}, [KN_TRACE_GIVE] = {"give", "balance", false},
        [KN_TRACE_PANIC] = {"panic", "panic", false},
    };
    if (event->kind >= KN_TRACE_KINDS)
        return;
    bool is_span = kinds[event->kind].is_span;
    bool is_poll = event->kind == KN_TRACE_POLL;
    fputs(",\n{\"name\":", file);
    write_string(file, is_poll && event->name ? event->name : kinds[event->kind].name);
    fprintf(file, ",\"cat\":\"%s\",\"ph\":\"%s\",\"pid\":%d,\"tid\":%" PRIu32, kinds[event->kind].category,
            is_span ? "X" : "i", process, reactor);
    write_time(file, "ts", event->start_ns);
    if (is_span)
        write_time(file, "dur", event->amount);
    else
        fputs(",\"s\":\"t\"", file);
    if (event->subject) {
        fprintf(file, ",\"args\":{\"address\":\"0x%" PRIxPTR "\"", event->subject);
        if (!is_poll && event->name) {
            fputs(",\"task\":", file);
            write_string(file, event->name);
        }
        fputc('}', file);
    } else if (!is_span) {
        fprintf(file, ",\"args\":{\"count\":%" PRIu64 "}", event->amount);
    }
    fputc('}', file);
}

/* Names the row of a reactor. */
static void write_reactor_name(FILE *file, int process, const struct kn_reactor *reactor)
{
    const char *separator = " ";
    fprintf(file,
            ",\n{\"name\":\"thread_name\",\"ph\":\"M\",\"pid\":%d,\"tid\":%" PRIu32 ",\"args\":{\"name\":\"reactor-%u",
            process, reactor->index, reactor->index);
    for (uint32_t role = KN_ROLE_CONTROL; role <= KN_ROLE_TASK; role <<= 1) {
        if (!(reactor->roles & role))
            continue;
        fprintf(file, "%s%s", separator, kn_role_name((enum kn_role)role));
        separator = "+";
    }
    if (reactor->unit >= 0)
        fprintf(file, " on %d", reactor->unit);
    fprintf(file,
            "\"}},\n{\"name\":\"thread_sort_index\",\"ph\":\"M\",\"pid\":%d,\"tid\":%" PRIu32
            ",\"args\":{\"sort_index\":%" PRIu32 "}}",
            process, reactor->index, reactor->index);
}

static void write_reactor(FILE *file, int process, const struct kn_reactor *reactor, uint64_t end, struct tally *tally)
{
    const struct kn_trace *trace = &reactor->trace;
    struct event event;
    uint64_t number = oldest(trace);
    uint64_t written = 0;
    while (number < end && !ferror(file)) {
        if (read_event(trace, number, &event)) {
            write_event(file, process, reactor->index, &event);
            written++;
            number++;
        } else {
            /* The reactor came round. Begin again at the oldest that it has left. */
            number = oldest(trace);
        }
    }
    tally->recorded += end;
    tally->overwritten += end - written;
}

size_t kn_runtime_trace_events(const struct kn_runtime *runtime)
{
    return runtime->options.trace_events;
}

int kn_runtime_trace_write(const struct kn_runtime *runtime, FILE *file)
{
    if (runtime->options.trace_events == 0)
        return -ENOTSUP;
    int process = (int)getpid();
    struct tally tally = {0};
    flockfile(file);
    fprintf(file, "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n");
    fprintf(file, "{\"name\":\"process_name\",\"ph\":\"M\",\"pid\":%d,\"tid\":0,\"args\":{\"name\":", process);
    write_string(file, program_invocation_short_name);
    fputs("}}", file);
    for (size_t i = 0; i < runtime->count; i++)
        write_reactor_name(file, process, runtime->reactors[i]);
    for (size_t i = 0; i < runtime->count; i++) {
        /* Acquire pairs with the release in kn_trace_add: the events below are written. */
        uint64_t end = atomic_load_explicit(&runtime->reactors[i]->trace.end, memory_order_acquire);
        write_reactor(file, process, runtime->reactors[i], end, &tally);
    }
    fprintf(file,
            "\n],\"otherData\":{\"clock\":\"CLOCK_MONOTONIC\",\"recorded\":%" PRIu64 ",\"overwritten\":%" PRIu64
            "}\n}\n",
            tally.recorded, tally.overwritten);
    bool has_failed = fflush(file) != 0 || ferror(file);
    funlockfile(file);
    return has_failed ? -EIO : 0;
}
