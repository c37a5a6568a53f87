/* However the stream is cut, the lines are the same; quoted text fits the room it asks for. First byte: the cut. */
#include <kernel/line.h>

#include "fuzz.h"

enum { CAPACITY = 32 };

/* Folds every line that comes out of the stream, fed in pieces of `step` bytes, into one number. */
static uint64_t fold(const uint8_t *data, size_t size, size_t step)
{
    char buffer[CAPACITY];
    char quoted[KN_TEXT_QUOTE_BYTES(CAPACITY)];
    struct kn_line_framer framer;
    struct kn_line line;
    uint64_t sum = 0;
    kn_line_framer_init(&framer, buffer, sizeof(buffer));
    for (size_t used = 0; used <= size;) {
        if (used == size) {
            kn_line_end(&framer, &line);
            used++;
        } else {
            size_t piece = size - used < step ? size - used : step;
            size_t taken = kn_line_feed(&framer, data + used, piece, &line);
            FUZZ_CHECK(taken <= piece && (taken > 0 || line.status != KN_LINE_NONE));
            used += taken;
        }
        if (line.status == KN_LINE_NONE)
            continue;
        FUZZ_CHECK(line.length_bytes <= CAPACITY);
        FUZZ_CHECK(kn_text_quote(line.text, line.length_bytes, quoted) < sizeof(quoted));
        for (size_t i = 0; i < line.length_bytes; i++)
            sum = sum * 31 + (uint8_t)line.text[i];
        sum = sum * 31 + 256 + (uint64_t)line.status;
    }
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0)
        FUZZ_CHECK(fold(data + 1, size - 1, 1 + data[0] % 64) == fold(data + 1, size - 1, size));
    return 0;
}
