/*
 * Samples of the reactors' counters, and their difference as text.
 */
#include <kernel/top.h>

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reactor_internal.h"
#include "top_internal.h"

#define FIELD(name, number)                                                                                            \
    {                                                                                                                  \
        .key = #name, .counter_offset = offsetof(struct kn_reactor_counters, name),                                    \
        .offset = offsetof(struct kn_top_reactor, name), .count = (number)                                             \
    }

/* What is no counter of the reactor's own; take_reactor knows where it is from. */
#define ELSEWHERE(name)                                                                                                \
    {                                                                                                                  \
        .key = #name, .counter_offset = SIZE_MAX, .offset = offsetof(struct kn_top_reactor, name), .count = 1          \
    }

const struct kn_top_field kn_top_fields[KN_TOP_FIELDS] = {
    FIELD(turns, 1),
    FIELD(polls, 1),
    FIELD(finished, 1),
    FIELD(panics, 1),
    FIELD(parks, 1),
    FIELD(busy_ns, 1),
    FIELD(steals_asked, 1),
    FIELD(steals_empty, 1),
    FIELD(tasks_taken, 1),
    FIELD(tasks_given, 1),
    FIELD(tasks_shed, 1),
    FIELD(bus_full, 1),
    ELSEWHERE(timers),
    ELSEWHERE(timers_fired),
    FIELD(pool_used, 1),
    ELSEWHERE(pool_capacity),
    FIELD(pool_empty, 1),
    FIELD(waiting, KN_PRIORITY_CLASSES),
    FIELD(received, KN_BUS_KINDS),
    FIELD(poll_times, KN_REACTOR_TIMES),
};

/* ---- samples ---- */

int kn_top_open(struct kn_top_sample *sample, size_t reactors)
{
    *sample = (struct kn_top_sample){0};
    if (reactors == 0 || reactors > KN_TOP_REACTORS_MAX)
        return -EINVAL;
    sample->reactors = calloc(reactors, sizeof(sample->reactors[0]));
    sample->bus = calloc(reactors * reactors, sizeof(sample->bus[0]));
    sample->count = reactors;
    if (sample->reactors && sample->bus)
        return 0;
    kn_top_close(sample);
    return -ENOMEM;
}

void kn_top_close(struct kn_top_sample *sample)
{
    free(sample->reactors);
    free(sample->bus);
    *sample = (struct kn_top_sample){0};
}

static void take_reactor(struct kn_top_reactor *taken, const struct kn_reactor *reactor)
{
    const char *counters = (const char *)&reactor->counters;
    taken->unit = reactor->unit;
    taken->roles = reactor->roles;
    taken->is_parked = kn_counter_read(&reactor->counters.is_parked) != 0;
    for (const struct kn_top_field *field = kn_top_fields; field < kn_top_fields + KN_TOP_FIELDS; field++) {
        if (field->counter_offset == SIZE_MAX)
            continue;
        const _Atomic uint64_t *counter = (const void *)(counters + field->counter_offset);
        for (size_t i = 0; i < field->count; i++)
            kn_top_values(taken, field)[i] = kn_counter_read(&counter[i]);
    }
    const struct kn_timer_counters *timers = kn_reactor_timer_counters(reactor);
    taken->timers = kn_counter_read(&timers->live);
    taken->timers_fired = kn_counter_read(&timers->fired);
    taken->pool_capacity = reactor->pool.capacity;
}

void kn_top_take(struct kn_top_sample *sample, const struct kn_runtime *runtime)
{
    size_t count = runtime->count;
    kn_assert(sample->count == count);
    sample->time_ns = kn_clock_monotonic_ns();
    for (size_t i = 0; i < count; i++) {
        take_reactor(&sample->reactors[i], runtime->reactors[i]);
        for (size_t to = 0; to < count; to++)
            sample->bus[i * count + to] = to == i ? 0 : (uint32_t)kn_bus_depth(&runtime->bus, i, to);
    }
}

uint64_t kn_top_percentile_ns(const uint64_t times[KN_REACTOR_TIMES], double share)
{
    uint64_t total = 0;
    for (unsigned i = 0; i < KN_REACTOR_TIMES; i++)
        total += times[i];
    if (total == 0)
        return 0;
    /* The number of the poll that is looked for, from 1. */
    double exact = share * (double)total;
    uint64_t rank = exact <= 1 ? 1 : (uint64_t)exact + ((double)(uint64_t)exact < exact);
    rank = rank > total ? total : rank;
    uint64_t passed = 0;
    for (unsigned i = 0; i < KN_REACTOR_TIMES - 1; i++) {
        passed += times[i];
        if (passed >= rank)
            return UINT64_C(2) << i;
    }
    return UINT64_MAX;
}

/* ---- text on its way ---- */

void kn_top_flush(struct kn_top_output *output)
{
    if (output->length > 0)
        output->write(output->context, output->text, output->length);
    output->length = 0;
}

void kn_top_put(struct kn_top_output *output, const char *format, ...)
{
    va_list arguments;
    if (sizeof(output->text) - output->length < 256)
        kn_top_flush(output);
    va_start(arguments, format);
    int length = vsnprintf(output->text + output->length, sizeof(output->text) - output->length, format, arguments);
    va_end(arguments);
    if (length > 0)
        output->length += (size_t)length;
}
