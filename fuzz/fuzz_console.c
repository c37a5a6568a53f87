/* A console survives any input, answers whole lines, and says nothing after it was quit. */
#include <kernel/console.h>

#include "fuzz.h"

struct output {
    bool is_quit;
    bool ends_a_line;
};

static void take(void *context, const char *text, size_t length_bytes)
{
    struct output *output = context;
    FUZZ_CHECK(!output->is_quit && length_bytes > 0);
    output->ends_a_line = text[length_bytes - 1] == '\n';
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct output output = {.ends_a_line = true};
    struct kn_console_options options = {.context = &output, .write = take, .line_bytes_max = 64};
    struct kn_console *console;
    if (kn_console_open(&console, &options) < 0)
        return 0;
    size_t step = size > 0 ? 1 + data[0] % 32 : 1;
    for (size_t used = 0; used < size; used += step) {
        size_t piece = size - used < step ? size - used : step;
        output.is_quit = kn_console_feed(console, data + used, piece) < 0 || output.is_quit;
        FUZZ_CHECK(output.ends_a_line);
    }
    (void)kn_console_end(console);
    FUZZ_CHECK(output.ends_a_line);
    kn_console_close(console);
    return 0;
}
