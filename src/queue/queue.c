#include <kernel/queue.h>

#include <stdlib.h>

static int join_ends(struct kn_queue *queue, const struct kn_sector_options *options)
{
    int result = 0;
    if (options->writers == KN_WRITER_EXCLUSIVE)
        result = kn_writer_join(&queue->producer, &queue->sector);
    if (result == 0 && options->readers == KN_READER_EXCLUSIVE)
        result = kn_reader_join(&queue->consumer, &queue->sector, NULL);
    return result;
}

int kn_queue_open(void **queue, size_t queue_bytes, const struct kn_sector_options *options)
{
    *queue = NULL;
    struct kn_queue *opened = aligned_alloc(KN_OWNER_STRIDE, queue_bytes);
    if (!opened)
        return -ENOMEM;
    memset(opened, 0, queue_bytes);
    int result = kn_sector_create(&opened->sector, options);
    if (result == 0)
        result = join_ends(opened, options);
    if (result < 0) {
        kn_queue_close(opened);
        return result;
    }
    *queue = opened;
    return 0;
}

void kn_queue_close(void *queue)
{
    struct kn_queue *closed = queue;
    if (!closed)
        return;
    kn_sector_close(&closed->sector);
    free(closed);
}

int kn_queue_check(const struct kn_sector *sector, const struct kn_sector_options *options)
{
    const struct kn_sector_header *header = &sector->head->header;
    bool same = header->slot_bytes == options->slot_bytes && header->layout == options->layout &&
                header->writers == options->writers && header->readers == options->readers;
    return same ? 0 : -EPROTOTYPE;
}
