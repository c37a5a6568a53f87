/* A placement that parses names each core once, has a task, and reads back from its text as it was; others change
 * nothing and say why. */
#include <kernel/placement.h>

#include "fuzz.h"

static void check_accepted(const struct kn_placement *placement, const struct kn_topology *topology)
{
    FUZZ_CHECK(placement->count > 0 && kn_placement_count(placement, KN_ROLE_TASK) > 0);
    FUZZ_CHECK(kn_placement_count(placement, KN_ROLE_CONTROL) <= 1);
    for (size_t i = 0; i < placement->count; i++) {
        FUZZ_CHECK(kn_topology_find(topology, placement->cores[i].unit) != NULL);
        for (size_t j = 0; j < i; j++)
            FUZZ_CHECK(placement->cores[i].unit != placement->cores[j].unit);
    }
    char text[1024];
    struct kn_placement again;
    int length = kn_placement_format(placement, text, sizeof(text));
    FUZZ_CHECK(length > 0);
    FUZZ_CHECK(kn_placement_parse(&again, topology, text, (size_t)length, NULL) == 0);
    FUZZ_CHECK(again.count == placement->count);
    FUZZ_CHECK(memcmp(again.cores, placement->cores, again.count * sizeof(again.cores[0])) == 0);
    kn_placement_close(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct kn_topology topology; /* the same for every input */
    if (topology.unit_count == 0 && kn_topology_open_synthetic(&topology, "package:2 l3:2 core:4 pu:2") < 0)
        abort();
    char *text = fuzz_string(data, size);
    struct kn_placement placement = {0};
    struct kn_placement_error error = {0};
    if (kn_placement_parse(&placement, &topology, text, size, &error) == 0) {
        check_accepted(&placement, &topology);
        kn_placement_close(&placement);
    } else {
        FUZZ_CHECK(placement.cores == NULL && placement.count == 0);
        FUZZ_CHECK(error.line > 0 && error.message[0] != '\0');
    }
    free(text);
    return 0;
}
