#include <kernel/spsc_bytes.h>

#include <stdlib.h>
#include <string.h>

int kn_spsc_bytes_open(struct kn_spsc_bytes **queue, const struct kn_spsc_bytes_options *options)
{
    *queue = NULL;
    if (!kn_is_power_of_two(options->capacity_bytes) || options->capacity_bytes < kn_mapping_page_bytes())
        return -EINVAL;
    struct kn_spsc_bytes *created = aligned_alloc(KN_OWNER_STRIDE, sizeof(*created));
    if (!created)
        return -ENOMEM;
    memset(created, 0, sizeof(*created));
    struct kn_mapping_options mapping = {.ring_bytes = options->capacity_bytes, .prefault = true};
    int result = kn_mapping_create(&created->mapping, &mapping);
    if (result < 0) {
        free(created);
        return result;
    }
    created->producer.memory = created->mapping.ring;
    created->producer.capacity = options->capacity_bytes;
    created->consumer.memory = created->mapping.ring;
    created->consumer.capacity = options->capacity_bytes;
    *queue = created;
    return 0;
}

void kn_spsc_bytes_close(struct kn_spsc_bytes *queue)
{
    if (!queue)
        return;
    kn_mapping_close(&queue->mapping);
    free(queue);
}

size_t kn_spsc_bytes_message_max(const struct kn_spsc_bytes *queue)
{
    return queue->mapping.ring_bytes - 2 * KN_SPSC_BYTES_HEADER;
}
