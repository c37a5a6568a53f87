#include "top_console.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <kernel/error.h>
#include <kernel/top.h>
#include <kernel/trace.h>

/* The last look, of this process: two samples, of which one is filled next. */
static struct {
    struct kn_top_sample samples[2];
    unsigned next;
    bool has_last; /* the other one holds a look */
} look;

static void write_console(void *context, const char *text, size_t length_bytes)
{
    kn_console_print(context, "%.*s", (int)length_bytes, text);
}

/* ---- :top ---- */

static int take_look(struct kn_runtime *runtime)
{
    struct kn_top_sample *sample = &look.samples[look.next];
    if (sample->count != kn_runtime_count(runtime)) {
        kn_top_close(sample);
        int result = kn_top_open(sample, kn_runtime_count(runtime));
        if (result < 0)
            return result;
    }
    kn_top_take(sample, runtime);
    look.next ^= 1;
    return 0;
}

void top_console_start(struct kn_runtime *runtime)
{
    look.has_last = take_look(runtime) == 0;
}

void top_console_end(void)
{
    kn_top_close(&look.samples[0]);
    kn_top_close(&look.samples[1]);
    look.has_last = false;
}

static int show_table(struct kn_console *console, struct kn_runtime *runtime)
{
    int result = take_look(runtime);
    if (result < 0)
        return result;
    const struct kn_top_sample *now = &look.samples[look.next ^ 1];
    kn_top_write_text(look.has_last ? &look.samples[look.next] : NULL, now, NULL, write_console, console);
    look.has_last = true;
    return 0;
}

static int show_json(struct kn_console *console, struct kn_runtime *runtime)
{
    struct kn_top_sample sample;
    int result = kn_top_open(&sample, kn_runtime_count(runtime));
    if (result < 0)
        return result;
    kn_top_take(&sample, runtime);
    kn_top_write_json(&sample, write_console, console);
    kn_top_close(&sample);
    return 0;
}

void top_console_show(struct kn_console *console, struct kn_runtime *runtime, const char *arguments)
{
    int result = 0;
    if (*arguments == '\0')
        result = show_table(console, runtime);
    else if (strcmp(arguments, "--json") == 0)
        result = show_json(console, runtime);
    else
        kn_console_print(console, "Usage: :top [--json]\n");
    if (result < 0)
        kn_console_print(console, "Cannot look: %s\n", kn_error_text(result));
}

/* ---- :trace ---- */

static ssize_t write_cookie(void *cookie, const char *text, size_t length_bytes)
{
    /* What a console prints at once is limited. */
    enum { PIECE_BYTES = 2048 };
    for (size_t done = 0; done < length_bytes; done += PIECE_BYTES)
        write_console(cookie, text + done, length_bytes - done < PIECE_BYTES ? length_bytes - done : PIECE_BYTES);
    return (ssize_t)length_bytes;
}

static bool can_trace(struct kn_console *console, const struct kn_runtime *runtime)
{
    if (kn_runtime_trace_events(runtime) > 0)
        return true;
    kn_console_print(console, "No trace: the program keeps no events\n");
    return false;
}

static void dump_trace(struct kn_console *console, struct kn_runtime *runtime)
{
    FILE *file = fopencookie(console, "w", (cookie_io_functions_t){.write = write_cookie});
    if (!file) {
        kn_console_print(console, "Cannot dump the trace: %s\n", kn_error_text(errno));
        return;
    }
    /* A console cannot fail: whoever reads it misses the end. */
    (void)kn_runtime_trace_write(runtime, file);
    fclose(file);
}

static void write_trace(struct kn_console *console, struct kn_runtime *runtime, const char *path)
{
    int result = 0;
    FILE *file = fopen(path, "we");
    if (!file) {
        result = -errno;
    } else {
        result = kn_runtime_trace_write(runtime, file);
        if (fclose(file) != 0 && result == 0)
            result = -errno;
    }
    if (result < 0)
        kn_console_print(console, "Cannot write %s: %s\n", path, kn_error_text(result));
    else
        kn_console_print(console, "Trace written to %s\n", path);
}

void top_console_trace(struct kn_console *console, struct kn_runtime *runtime, const char *arguments)
{
    bool on = strcmp(arguments, "on") == 0;
    size_t word = strcspn(arguments, " \t");
    const char *path = arguments + word + strspn(arguments + word, " \t");
    bool writes = word == strlen("write") && strncmp(arguments, "write", word) == 0 && *path != '\0';
    bool dumps = strcmp(arguments, "dump") == 0;
    if (!on && !dumps && !writes && strcmp(arguments, "off") != 0) {
        kn_console_print(console, "Usage: :trace on | off | write FILE | dump\n");
    } else if (!can_trace(console, runtime)) {
        return;
    } else if (writes) {
        write_trace(console, runtime, path);
    } else if (dumps) {
        dump_trace(console, runtime);
    } else {
        kn_runtime_trace(runtime, on);
        kn_console_print(console, "Trace %s\n", arguments);
    }
}
