/* Uses a module of each layer of the installed library. */
#include <kernel/kernel.h>
#include <stdio.h>
#include <string.h>

KN_SPSC_DEFINE(numbers, uint64_t);

int main(void)
{
    struct numbers *queue;
    struct kn_topology topology;
    struct kn_address address;
    uint64_t in = 42, out = 0;
    if (numbers_open(&queue, 8) < 0 || numbers_try_push(&queue->producer, &in) < 0 ||
        numbers_try_pop(&queue->consumer, &out) < 0 || kn_topology_open(&topology) < 0 ||
        kn_address_parse(":8000", &address) < 0 || out != in)
        return 1;
    printf("kernel %s, %zu cores\n", KN_VERSION, topology.core_count);
    numbers_close(queue);
    kn_topology_close(&topology);
    return 0;
}
