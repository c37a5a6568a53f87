/* The timing wheel against a naive list of deadlines, under random use. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <kernel/mailbox.h>
#include <kernel/timer.h>

enum { ENTRIES = 150, ALL = INT32_MAX };

/* A timer, and what the list knows about it. */
struct entry {
    struct kn_timer timer;
    bool is_armed;
    uint64_t tick; /* when it is to fire */
    uint64_t deadline_ns;
};

struct world {
    struct kn_timer_wheel wheel;
    struct entry entries[ENTRIES];
    uint64_t resolution_ns;
    uint64_t now_ns;
    bool is_advancing;
    size_t fired; /* in this advance */
    uint64_t all_fired;
    uint64_t all_overruns;
    uint64_t random;
};

static uint64_t draw(struct world *world)
{
    world->random ^= world->random << 13;
    world->random ^= world->random >> 7;
    world->random ^= world->random << 17;
    return world->random * UINT64_C(0x2545f4914f6cdd1d) >> 16;
}

/* A span of any magnitude. */
static uint64_t draw_span(struct world *world)
{
    unsigned bits = (unsigned)(draw(world) % 42);
    return (draw(world) << 16 ^ draw(world)) & ((UINT64_C(1) << bits) - 1);
}

static uint64_t now_tick(const struct world *world)
{
    return world->now_ns / world->resolution_ns;
}

/* What the wheel promises, the slow way: the multiple of the greatest power of two within the window. */
static uint64_t expected_tick(const struct world *world, const struct entry *entry)
{
    uint64_t slack_ns = (uint64_t)entry->timer.slack_us * 1000;
    if (entry->timer.period_ns > 0 && slack_ns >= entry->timer.period_ns)
        slack_ns = entry->timer.period_ns - 1;
    uint64_t floor_tick = now_tick(world) + (world->is_advancing ? 1 : 0);
    uint64_t first = (entry->deadline_ns + world->resolution_ns - 1) / world->resolution_ns;
    uint64_t last = (entry->deadline_ns + slack_ns) / world->resolution_ns;
    first = first > floor_tick ? first : floor_tick;
    for (unsigned bits = 63; bits-- > 0;) {
        uint64_t candidate = kn_align_up(first, UINT64_C(1) << bits);
        if (candidate >= first && candidate <= last)
            return candidate;
    }
    return first;
}

static uint64_t draw_deadline(struct world *world)
{
    uint64_t span_ns = draw_span(world);
    bool is_past = draw(world) % 16 == 0 && span_ns <= world->now_ns;
    return is_past ? world->now_ns - span_ns : world->now_ns + span_ns;
}

static uint32_t draw_slack_us(struct world *world)
{
    return draw(world) % 3 == 0 ? (uint32_t)(draw_span(world) / 1024) : 0;
}

static void arm_for(struct world *world, struct entry *entry, uint64_t deadline_ns)
{
    entry->deadline_ns = deadline_ns;
    entry->tick = expected_tick(world, entry);
    entry->is_armed = true;
    assert_int_equal(kn_timer_wheel_arm(&world->wheel, &entry->timer, deadline_ns), 0);
}

static void arm(struct world *world, struct entry *entry)
{
    if (!entry->is_armed) {
        entry->timer.slack_us = draw_slack_us(world);
        entry->timer.period_ns = draw(world) % 4 == 0 ? 1 + draw_span(world) : 0;
    }
    arm_for(world, entry, draw_deadline(world));
}

static void cancel(struct world *world, struct entry *entry)
{
    assert_int_equal(kn_timer_wheel_cancel(&world->wheel, &entry->timer), entry->is_armed ? 0 : -EALREADY);
    entry->is_armed = false;
}

static struct entry *any_entry(struct world *world)
{
    return &world->entries[draw(world) % ENTRIES];
}

/* The first of the list, or NULL. */
static struct entry *first_entry(struct world *world)
{
    struct entry *first = NULL;
    for (size_t i = 0; i < ENTRIES; i++) {
        struct entry *entry = &world->entries[i];
        if (entry->is_armed && (!first || entry->tick < first->tick))
            first = entry;
    }
    return first;
}

static void expect_to_fire(struct kn_timer *timer, void *owner)
{
    struct world *world = owner;
    struct entry *entry = KN_CONTAINER_OF(timer, struct entry, timer);
    assert_true(entry->is_armed);
    assert_true(entry->deadline_ns <= world->now_ns && entry->tick <= now_tick(world));
    assert_int_equal(entry->tick, first_entry(world)->tick);
    entry->is_armed = timer->period_ns > 0;
    if (entry->is_armed) {
        uint64_t missed = 0;
        while (missed < 1000 && entry->deadline_ns + (missed + 1) * timer->period_ns <= world->now_ns)
            missed++;
        if (missed == 1000)
            missed = (world->now_ns - entry->deadline_ns) / timer->period_ns;
        assert_int_equal(kn_timer_wheel_overruns(&world->wheel), missed);
        world->all_overruns += missed;
        entry->deadline_ns += (missed + 1) * timer->period_ns;
        entry->tick = expected_tick(world, entry);
        assert_int_equal(kn_timer_deadline_ns(timer), entry->deadline_ns);
    }
    world->fired++;
    world->all_fired++;
    switch (draw(world) % 8) {
    case 0:
        arm(world, entry);
        break;
    case 1:
        arm(world, any_entry(world));
        break;
    case 2:
        cancel(world, any_entry(world));
        break;
    case 3:
        cancel(world, entry);
        break;
    default:
        break;
    }
}

static void check_next(struct world *world)
{
    const struct entry *first = first_entry(world);
    uint64_t next_ns = kn_timer_wheel_next_ns(&world->wheel);
    if (!first)
        assert_true(next_ns == KN_NEVER || next_ns <= world->now_ns);
    else
        assert_true(next_ns <= first->tick * world->resolution_ns);
}

static void advance(struct world *world, uint64_t now_ns, size_t most)
{
    const struct kn_timer_counters *counters = kn_timer_wheel_counters(&world->wheel);
    uint64_t cascaded = kn_counter_read(&counters->cascaded);
    world->now_ns = now_ns > world->now_ns ? now_ns : world->now_ns;
    world->fired = 0;
    world->is_advancing = true;
    size_t fired = kn_timer_wheel_advance(&world->wheel, now_ns, most);
    assert_int_equal(fired, world->fired);
    world->is_advancing = false;
    cascaded = kn_counter_read(&counters->cascaded) - cascaded;
    assert_true(world->fired + cascaded <= most);
    const struct entry *first = first_entry(world);
    bool is_due = first && first->tick <= now_tick(world);
    if (is_due) /* it stopped because it had to */
        assert_int_equal(world->fired + cascaded, most);
    else if (world->fired + cascaded < most) /* what comes next is ahead */
        assert_true(kn_timer_wheel_next_ns(&world->wheel) > world->now_ns);
    check_next(world);
}

static size_t draw_most(struct world *world)
{
    return draw(world) % 3 == 0 ? draw(world) % 20 : ALL;
}

static void do_something(struct world *world)
{
    uint64_t next_ns;
    switch (draw(world) % 16) {
    case 0:
    case 1:
    case 2:
        cancel(world, any_entry(world));
        break;
    case 3:
    case 4:
        advance(world, world->now_ns + draw(world) % 5000, draw_most(world));
        break;
    case 5:
    case 6:
        next_ns = kn_timer_wheel_next_ns(&world->wheel);
        if (next_ns != KN_NEVER)
            advance(world, next_ns, draw_most(world));
        break;
    case 7:
        advance(world, world->now_ns + draw_span(world), draw_most(world));
        break;
    case 8:
        advance(world, world->now_ns - draw(world) % 1000, draw_most(world)); /* back */
        break;
    default:
        arm(world, any_entry(world));
        break;
    }
    check_next(world);
}

static void open_world(struct world *world, uint64_t seed)
{
    static const uint64_t resolutions[] = {1, 16, 1024, 65536};
    memset(world, 0, sizeof(*world));
    world->random = (seed + 1) * UINT64_C(0x9e3779b97f4a7c15);
    world->resolution_ns = resolutions[seed % 4];
    world->now_ns = 10000 + (draw_span(world) << draw(world) % 18);
    const struct kn_timer_wheel_options options = {
        .resolution_ns = world->resolution_ns, .start_ns = world->now_ns, .owner = world};
    assert_int_equal(kn_timer_wheel_init(&world->wheel, &options), 0);
    for (size_t i = 0; i < ENTRIES; i++)
        kn_timer_init(&world->entries[i].timer, expect_to_fire, i % 5 == 0 ? KN_TIMER_SHARED : 0);
}

static void wheel_does_what_a_list_of_deadlines_does(void **state)
{
    (void)state;
    struct world *world = malloc(sizeof(*world));
    assert_non_null(world);
    for (uint64_t seed = 0; seed < 60; seed++) {
        open_world(world, seed);
        for (unsigned i = 0; i < 3000; i++)
            do_something(world);
        const struct kn_timer_counters *counters = kn_timer_wheel_counters(&world->wheel);
        uint64_t armed = 0;
        for (size_t i = 0; i < ENTRIES; i++) {
            armed += world->entries[i].is_armed;
            assert_int_equal(kn_timer_is_idle(&world->entries[i].timer), !world->entries[i].is_armed);
        }
        assert_int_equal(kn_counter_read(&counters->live), armed);
        assert_int_equal(kn_counter_read(&counters->fired), world->all_fired);
        assert_int_equal(kn_counter_read(&counters->overruns), world->all_overruns);
        assert_true(world->all_fired > 100);
    }
    free(world);
}

static void count_moment(struct kn_timer *timer, void *owner)
{
    (void)timer;
    ++*(unsigned *)owner;
}

static void wheel_wakes_an_idle_loop_once_for_each_moment(void **state)
{
    (void)state;
    enum { FEW = 60 };
    struct world *world = malloc(sizeof(*world));
    assert_non_null(world);
    for (uint64_t seed = 0; seed < 500; seed++) {
        unsigned fired = 0;
        uint64_t ticks[FEW];
        unsigned moments = 0;
        open_world(world, seed);
        world->wheel.owner = &fired;
        for (size_t i = 0; i < FEW; i++) {
            struct entry *entry = &world->entries[i];
            kn_timer_init(&entry->timer, count_moment, 0);
            entry->timer.slack_us = draw_slack_us(world);
            arm_for(world, entry, draw_deadline(world));
            ticks[i] = entry->tick;
            bool is_new = true;
            for (size_t j = 0; j < i; j++)
                is_new = is_new && ticks[j] != ticks[i];
            moments += is_new;
        }
        unsigned wakes = 0;
        for (uint64_t next_ns; (next_ns = kn_timer_wheel_next_ns(&world->wheel)) != KN_NEVER; wakes++)
            assert_true(kn_timer_wheel_advance(&world->wheel, next_ns, ALL) > 0);
        assert_int_equal(fired, FEW);
        assert_int_equal(wakes, moments);
    }
    free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wheel_does_what_a_list_of_deadlines_does),
        cmocka_unit_test(wheel_wakes_an_idle_loop_once_for_each_moment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
