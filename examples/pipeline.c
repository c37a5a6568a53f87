/* A pipeline with a speed limit: readings are cleaned, at most 1000 a second go on, in lots of 8, three at once. */
#include <kernel/kernel.h>
#include <kernel/stream_buffer.h>
#include <kernel/stream_concurrent.h>
#include <kernel/stream_fold.h>
#include <kernel/stream_map.h>
#include <kernel/stream_source.h>
#include <kernel/stream_time.h>
#include <stdio.h>
#include <stdlib.h>

enum { READINGS = 100, LOT = 8, AT_ONCE = 3 };

KN_PREDICATE(is_sound, int64_t, void *)(int64_t reading, void *unused)
{
    (void)unused;
    return reading % 10 != 3;
}

/* Stores a lot, which takes 2 ms. Each of those under way has a place of its own. */
struct store {
    KN_ASYNC_STATE;
    int64_t sum;
    struct kn_future_delay disk;
};

KN_ASYNC(store)
{
    KN_BEGIN;
    KN_TRY(kn_future_delay(&self->disk, 2 * KN_MILLISECOND_NS));
    KN_RETURN(self->sum);
}

static struct kn_future *begin_to_store(kn_value_t value, size_t slot, void *context)
{
    const struct kn_stream_chunk *lot = value.pointer;
    struct store *place = (struct store *)context + slot;
    *place = (struct store){.sum = 0};
    for (size_t i = 0; i < lot->count; i++)
        place->sum += lot->values[i].integer;
    return store(place);
}

static kn_value_t add(kn_value_t total, kn_value_t sum, void *context)
{
    (void)context;
    return KN_VALUE(total.integer + sum.integer);
}

int main(void)
{
    static uint8_t memory[8192];
    static struct store places[AT_ONCE];
    static struct kn_stream_job jobs[AT_ONCE];
    kn_value_t lot[LOT];
    struct kn_arena arena;
    kn_arena_init(&arena, memory, sizeof memory);

    struct kn_stream *readings = KN_IN(&arena, kn_stream_range, 0, READINGS, 1);
    readings = KN_IN(&arena, kn_stream_filter, readings, is_sound, NULL);
    readings = KN_IN(&arena, kn_stream_throttle, readings, KN_MILLISECOND_NS);
    readings = KN_IN(&arena, kn_stream_chunks, readings, lot, LOT);
    readings = KN_IN(&arena, kn_stream_buffered, readings, begin_to_store, places, jobs, AT_ONCE);
    struct kn_future *total = KN_IN(&arena, kn_stream_fold, readings, KN_VALUE(0), add, NULL, NULL);

    struct kn_outcome outcome = kn_block_on(total, -1);
    if (outcome.status != KN_READY)
        return EXIT_FAILURE;
    printf("stored, sum %lld\n", (long long)outcome.value.integer);
    return EXIT_SUCCESS;
}
