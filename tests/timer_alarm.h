/* What the tests of the timing wheel share: a wheel, and timers that write down when they fired. */
#ifndef KERNEL_TIMER_ALARM_H
#define KERNEL_TIMER_ALARM_H

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

#define SECOND_NS UINT64_C(1000000000)
#define YEAR_NS (UINT64_C(31557600) * SECOND_NS)
#define ALL SIZE_MAX

/* A timer that writes down when it fired. */
struct alarm {
    struct kn_timer timer;
    uint64_t fired_ns; /* the wheel's time then */
    unsigned fired;
    unsigned order; /* how many had fired before it */
};

static unsigned alarms_fired;

static inline struct alarm *alarm_of(struct kn_timer *timer)
{
    return KN_CONTAINER_OF(timer, struct alarm, timer);
}

static inline void ring(struct kn_timer *timer, void *owner)
{
    struct alarm *alarm = alarm_of(timer);
    (void)owner;
    alarm->fired_ns = kn_timer_wheel_now_ns(kn_timer_wheel_of(timer));
    alarm->order = alarms_fired++;
    alarm->fired++;
}

static inline void make_wheel(struct kn_timer_wheel *wheel, uint64_t resolution_ns, uint64_t start_ns)
{
    const struct kn_timer_wheel_options options = {.resolution_ns = resolution_ns, .start_ns = start_ns};
    assert_int_equal(kn_timer_wheel_init(wheel, &options), 0);
    alarms_fired = 0;
}

static inline void make_alarm(struct alarm *alarm)
{
    memset(alarm, 0, sizeof(*alarm));
    kn_timer_init(&alarm->timer, ring, 0);
}

static inline void arm(struct kn_timer_wheel *wheel, struct alarm *alarm, uint64_t deadline_ns)
{
    assert_int_equal(kn_timer_wheel_arm(wheel, &alarm->timer, deadline_ns), 0);
}

static inline uint64_t live(const struct kn_timer_wheel *wheel)
{
    return kn_counter_read(&kn_timer_wheel_counters(wheel)->live);
}

/* Sleeps until there is something to do and does it, until nothing is left or `most` wake-ups: how many. */
static inline unsigned run_dry(struct kn_timer_wheel *wheel, unsigned most)
{
    unsigned wakes = 0;
    uint64_t next_ns;
    while ((next_ns = kn_timer_wheel_next_ns(wheel)) != KN_NEVER && wakes < most) {
        kn_timer_wheel_advance(wheel, next_ns, ALL);
        wakes++;
    }
    return wakes;
}

#endif
