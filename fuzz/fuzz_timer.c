/*
 * The timing wheel against a sorted list. The first byte chooses the resolution and how far time has come; then each
 * operation is a byte of what and which timer, a byte that is a magnitude, and one of detail.
 */
#include <kernel/mailbox.h>
#include <kernel/timer.h>

#include "fuzz.h"

enum { TIMERS = 32 };

struct entry {
    struct kn_timer timer;
    struct entry *next; /* in the list, if it is armed */
    uint64_t tick;
    uint64_t deadline_ns;
    uint8_t detail; /* what its callback does */
    bool is_armed;
};

struct world {
    struct kn_timer_wheel wheel;
    struct entry entries[TIMERS];
    struct entry *first; /* of the list, by ticks */
    uint64_t resolution_ns;
    uint64_t now_ns;
    size_t fired;
    bool is_advancing;
};

static void list_remove(struct world *world, struct entry *entry)
{
    struct entry **link = &world->first;
    while (*link != entry)
        link = &(*link)->next;
    *link = entry->next;
    entry->is_armed = false;
}

static void list_insert(struct world *world, struct entry *entry)
{
    struct entry **link = &world->first;
    while (*link && (*link)->tick < entry->tick)
        link = &(*link)->next;
    entry->next = *link;
    *link = entry;
    entry->is_armed = true;
}

static uint64_t add(uint64_t time_ns, uint64_t span_ns)
{
    return time_ns > UINT64_MAX - span_ns ? UINT64_MAX : time_ns + span_ns;
}

/* When a timer is to fire that is armed now. */
static uint64_t choose_tick(const struct world *world, const struct entry *entry)
{
    uint64_t never = UINT64_MAX / world->resolution_ns;
    uint64_t now_tick = world->now_ns / world->resolution_ns;
    now_tick = (now_tick < never ? now_tick : never - 1) + world->is_advancing;
    uint64_t first = entry->deadline_ns / world->resolution_ns + (entry->deadline_ns % world->resolution_ns != 0);
    first = first < never ? first : never;
    first = first > now_tick ? first : now_tick;
    uint64_t slack_ns = (uint64_t)entry->timer.slack_us * 1000;
    if (entry->timer.period_ns > 0 && slack_ns >= entry->timer.period_ns)
        slack_ns = entry->timer.period_ns - 1;
    uint64_t last = add(entry->deadline_ns, slack_ns) / world->resolution_ns;
    last = last < never ? last : never - 1;
    for (unsigned bits = 63; bits > 0; bits--) {
        uint64_t rounded = last >> bits << bits;
        if (first <= rounded && first <= last)
            return rounded;
    }
    return first;
}

static void arm(struct world *world, struct entry *entry, uint64_t deadline_ns)
{
    if (entry->is_armed)
        list_remove(world, entry);
    entry->deadline_ns = deadline_ns;
    entry->tick = choose_tick(world, entry);
    list_insert(world, entry);
    FUZZ_CHECK(kn_timer_wheel_arm(&world->wheel, &entry->timer, deadline_ns) == 0);
}

static void cancel(struct world *world, struct entry *entry)
{
    bool was_armed = entry->is_armed;
    if (was_armed)
        list_remove(world, entry);
    FUZZ_CHECK(kn_timer_wheel_cancel(&world->wheel, &entry->timer) == (was_armed ? 0 : -EALREADY));
    FUZZ_CHECK(kn_timer_is_idle(&entry->timer) || world->is_advancing);
}

/* Between 0 and nearly 2^64, every magnitude as likely as another. */
static uint64_t span_of(uint8_t magnitude, uint8_t detail)
{
    return ((uint64_t)detail << 56 | UINT64_C(0x5a5a5a5a5a5a5a)) >> (63 - magnitude % 64);
}

static void expire(struct kn_timer *timer, void *owner)
{
    struct world *world = owner;
    struct entry *entry = KN_CONTAINER_OF(timer, struct entry, timer);
    FUZZ_CHECK(entry->is_armed && entry->deadline_ns <= world->now_ns);
    FUZZ_CHECK(entry->tick <= world->now_ns / world->resolution_ns && entry->tick == world->first->tick);
    list_remove(world, entry);
    if (timer->period_ns > 0) {
        uint64_t missed = (world->now_ns - entry->deadline_ns) / timer->period_ns;
        FUZZ_CHECK(kn_timer_wheel_overruns(&world->wheel) == missed);
        entry->deadline_ns = add(entry->deadline_ns + missed * timer->period_ns, timer->period_ns);
        entry->tick = choose_tick(world, entry);
        list_insert(world, entry);
    }
    world->fired++;
    struct entry *other = &world->entries[entry->detail % TIMERS];
    switch (entry->detail / TIMERS) {
    case 0:
        cancel(world, other);
        break;
    case 1:
        arm(world, other, world->now_ns);
        break;
    case 2:
        arm(world, other, add(world->now_ns, span_of(20, entry->detail)));
        break;
    default:
        break;
    }
}

static void advance(struct world *world, uint64_t now_ns, size_t most)
{
    const struct kn_timer_counters *counters = kn_timer_wheel_counters(&world->wheel);
    uint64_t cascaded = kn_counter_read(&counters->cascaded);
    world->now_ns = now_ns > world->now_ns ? now_ns : world->now_ns;
    world->fired = 0;
    world->is_advancing = true;
    size_t fired = kn_timer_wheel_advance(&world->wheel, now_ns, most);
    world->is_advancing = false;
    FUZZ_CHECK(fired == world->fired);
    size_t done = fired + (size_t)(kn_counter_read(&counters->cascaded) - cascaded);
    FUZZ_CHECK(done <= most);
    uint64_t never = UINT64_MAX / world->resolution_ns;
    if (world->first && world->first->tick <= world->now_ns / world->resolution_ns && world->first->tick < never)
        FUZZ_CHECK(done == most);
}

static void check(const struct world *world)
{
    uint64_t never = UINT64_MAX / world->resolution_ns;
    uint64_t next_ns = kn_timer_wheel_next_ns(&world->wheel);
    uint64_t live = 0;
    for (const struct entry *entry = world->first; entry; entry = entry->next)
        live++;
    FUZZ_CHECK(kn_counter_read(&kn_timer_wheel_counters(&world->wheel)->live) == live);
    if (world->first && world->first->tick < never)
        FUZZ_CHECK(next_ns <= world->first->tick * world->resolution_ns);
}

static void operate(struct world *world, uint8_t what, uint8_t magnitude, uint8_t detail)
{
    struct entry *entry = &world->entries[what % TIMERS];
    uint64_t span_ns = span_of(magnitude, detail);
    entry->detail = detail;
    switch (what / TIMERS) {
    case 0:
        cancel(world, entry);
        break;
    case 1:
        if (!entry->is_armed) {
            entry->timer.slack_us = (uint32_t)(span_of(magnitude % 40, detail) / 1000);
            entry->timer.period_ns = 0;
        }
        arm(world, entry, add(world->now_ns, span_of(detail, magnitude)));
        break;
    case 2:
        if (!entry->is_armed)
            entry->timer.period_ns = 1 + span_ns / 2;
        arm(world, entry, add(world->now_ns, span_ns));
        break;
    case 3:
        arm(world, entry, span_ns);
        break;
    case 4:
        advance(world, add(world->now_ns, span_ns >> 8), detail % 8);
        break;
    case 5:
        advance(world, add(world->now_ns, span_ns), SIZE_MAX);
        break;
    case 6:
        if (kn_timer_wheel_next_ns(&world->wheel) != KN_NEVER)
            advance(world, kn_timer_wheel_next_ns(&world->wheel), 1 + (size_t)detail);
        break;
    default:
        arm(world, entry, add(world->now_ns, span_ns));
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world world = {0};
    if (size == 0)
        return 0;
    world.resolution_ns = UINT64_C(1) << data[0] % 16;
    world.now_ns = span_of(data[0] / 4, data[0]);
    const struct kn_timer_wheel_options options = {
        .resolution_ns = world.resolution_ns, .start_ns = world.now_ns, .owner = &world};
    FUZZ_CHECK(kn_timer_wheel_init(&world.wheel, &options) == 0);
    for (size_t i = 0; i < TIMERS; i++)
        kn_timer_init(&world.entries[i].timer, expire, i % 4 == 0 ? KN_TIMER_SHARED : 0);
    for (size_t i = 1; i + 2 < size; i += 3) {
        operate(&world, data[i], data[i + 1], data[i + 2]);
        check(&world);
    }
    return 0;
}
