#include "server_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static unsigned class_of(size_t capacity_bytes)
{
    unsigned class = 0;
    while (((size_t)KN_BUFFER_SMALLEST_BYTES << class) < capacity_bytes)
        class ++;
    return class;
}

struct kn_buffer *kn_buffer_lease(struct kn_buffer_pool *pool, size_t capacity_bytes)
{
    unsigned class = class_of(capacity_bytes);
    kn_assert(class < KN_BUFFER_CLASSES);
    struct kn_buffer *buffer = pool->free[class];
    if (KN_LIKELY(buffer != NULL)) {
        pool->free[class] = buffer->next;
        pool->retained_bytes -= buffer->capacity_bytes;
    } else {
        size_t class_bytes = (size_t)KN_BUFFER_SMALLEST_BYTES << class;
        buffer = malloc(sizeof(*buffer) + class_bytes);
        if (!buffer)
            return NULL;
        buffer->capacity_bytes = class_bytes;
    }
    buffer->next = NULL;
    buffer->begin = 0;
    buffer->end = 0;
    return buffer;
}

void kn_buffer_give_back(struct kn_buffer_pool *pool, struct kn_buffer *buffer)
{
    if (!buffer)
        return;
    if (pool->retained_bytes + buffer->capacity_bytes > KN_BUFFER_RETAINED_BYTES) {
        free(buffer);
        return;
    }
    /* Last in, first out: the next lease finds it in the cache. */
    unsigned class = class_of(buffer->capacity_bytes);
    buffer->next = pool->free[class];
    pool->free[class] = buffer;
    pool->retained_bytes += buffer->capacity_bytes;
}

void kn_buffer_pool_free(struct kn_buffer_pool *pool)
{
    for (unsigned class = 0; class < KN_BUFFER_CLASSES; class ++) {
        while (pool->free[class]) {
            struct kn_buffer *buffer = pool->free[class];
            pool->free[class] = buffer->next;
            free(buffer);
        }
    }
    pool->retained_bytes = 0;
}

static void move_live_bytes(struct kn_buffer *to, const struct kn_buffer *from)
{
    size_t length = from->end - from->begin;
    memcpy(to->bytes, from->bytes + from->begin, length);
    to->begin = 0;
    to->end = length;
}

int kn_buffer_reserve(struct kn_buffer_pool *pool, struct kn_buffer **buffer, size_t room_bytes, size_t smallest_bytes)
{
    struct kn_buffer *old = *buffer;
    if (!old) {
        *buffer = kn_buffer_lease(pool, room_bytes > smallest_bytes ? room_bytes : smallest_bytes);
        return *buffer ? 0 : -ENOMEM;
    }
    size_t length = old->end - old->begin;
    if (length == 0)
        old->begin = old->end = 0;
    if (old->capacity_bytes - old->end >= room_bytes)
        return 0;
    /* Moving no more bytes than have left already keeps the cost per byte constant, as doubling does below. */
    if (old->capacity_bytes - length >= room_bytes && old->begin >= length) {
        move_live_bytes(old, old);
        return 0;
    }
    size_t wanted = room_bytes > length ? length + room_bytes : 2 * length;
    struct kn_buffer *larger = kn_buffer_lease(pool, wanted);
    if (!larger)
        return -ENOMEM;
    move_live_bytes(larger, old);
    kn_buffer_give_back(pool, old);
    *buffer = larger;
    return 0;
}
