/* A list of units that parses holds no unit twice and no more than there is room for. */
#include <kernel/topology.h>

#include "fuzz.h"

enum { CAPACITY = 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = fuzz_string(data, size);
    uint32_t units[CAPACITY];
    size_t count;
    if (kn_topology_parse_units(text, units, CAPACITY, &count) == 0) {
        FUZZ_CHECK(count > 0 && count <= CAPACITY);
        for (size_t i = 0; i < count; i++)
            for (size_t j = 0; j < i; j++)
                FUZZ_CHECK(units[i] != units[j]);
    }
    free(text);
    return 0;
}
