/* The entry point of a fuzz target: any bytes, and a process that must survive them. */
#ifndef KERNEL_FUZZ_H
#define KERNEL_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Stops the fuzzer at a broken property. */
#define FUZZ_CHECK(property) ((property) ? (void)0 : abort())

/* The input as a string: up to its first zero byte, in memory of its own. */
static inline char *fuzz_string(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    if (!text)
        abort();
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    return text;
}

#endif
