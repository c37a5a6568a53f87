#include <kernel/timer.h>

#include <kernel/assert.h>

enum { SLOT_BITS = 6, SHIFT_MAX = 40, DEFAULT_SHIFT = 10 };

/* From so many timers on, a slot is spread from its beginning on, and not only when the first of them is due. */
enum { CROWD = 64 };

_Static_assert(KN_TIMER_SLOTS == 1 << SLOT_BITS, "a slot is a digit of a tick");
_Static_assert(KN_TIMER_LEVELS *SLOT_BITS >= 64, "the levels hold every tick");

/* ---- places ---- */

/* Where a timer of this tick belongs: the highest digit in which it differs from the wheel's tick. */
KN_INLINE unsigned level_of(const struct kn_timer_wheel *wheel, uint64_t tick)
{
    uint64_t difference = (tick ^ wheel->tick) | (KN_TIMER_SLOTS - 1);
    return (63U - (unsigned)__builtin_clzll(difference)) / SLOT_BITS;
}

KN_INLINE unsigned digit_of(uint64_t tick, unsigned level)
{
    return (unsigned)(tick >> (level * SLOT_BITS)) % KN_TIMER_SLOTS;
}

/* The first tick of a slot that lies ahead of the wheel. */
static uint64_t slot_begin(const struct kn_timer_wheel *wheel, unsigned level, unsigned slot)
{
    unsigned bits = level * SLOT_BITS;
    uint64_t above = bits + SLOT_BITS < 64 ? wheel->tick >> (bits + SLOT_BITS) << (bits + SLOT_BITS) : 0;
    return above | (uint64_t)slot << bits;
}

KN_INLINE void link_timer(struct kn_timer_wheel *wheel, struct kn_timer *timer)
{
    unsigned level = level_of(wheel, timer->tick);
    unsigned digit = digit_of(timer->tick, level);
    struct kn_timer_slot *slot = &wheel->slots[level][digit];
    struct kn_timer *first = slot->first;
    timer->next = first;
    timer->previous = &slot->first;
    slot->first = timer;
    if (first) {
        first->previous = &timer->next;
        /* Branches, not minima: a store that need not be is the dearest part of this. */
        if (KN_UNLIKELY(timer->tick < slot->earliest))
            slot->earliest = timer->tick;
        if (KN_UNLIKELY(slot->arrivals < CROWD))
            slot->arrivals++;
        return;
    }
    slot->earliest = timer->tick;
    slot->arrivals = 1;
    wheel->occupied[level] |= UINT64_C(1) << digit;
    wheel->levels |= 1U << level;
}

/* What `first`, the beginning of a slot of the wheel, has lost was its last timer. */
static void mark_empty(struct kn_timer_wheel *wheel, struct kn_timer *const *first)
{
    const struct kn_timer_slot *slot = (const struct kn_timer_slot *)(const void *)first;
    size_t index = (size_t)(slot - &wheel->slots[0][0]);
    unsigned level = (unsigned)(index / KN_TIMER_SLOTS);
    wheel->occupied[level] &= ~(UINT64_C(1) << index % KN_TIMER_SLOTS);
    if (wheel->occupied[level] == 0)
        wheel->levels &= ~(1U << level);
}

KN_INLINE bool is_slot(const struct kn_timer_wheel *wheel, struct kn_timer *const *link)
{
    return (uintptr_t)link - (uintptr_t)wheel->slots < sizeof(wheel->slots);
}

KN_INLINE void unlink_timer(struct kn_timer_wheel *wheel, struct kn_timer *timer)
{
    kn_assert(timer->previous != NULL);
    *timer->previous = timer->next;
    if (timer->next)
        timer->next->previous = timer->previous;
    else if (is_slot(wheel, timer->previous))
        mark_empty(wheel, timer->previous);
    timer->previous = NULL;
}

/* The same of one that goes for good. */
static void remove_timer(struct kn_timer_wheel *wheel, struct kn_timer *timer)
{
    unlink_timer(wheel, timer);
    kn_counter_add(&wheel->counters.live, UINT64_MAX);
}

/* ---- times ---- */

KN_INLINE uint64_t least(uint64_t one, uint64_t other)
{
    return one < other ? one : other;
}

KN_INLINE uint64_t greatest(uint64_t one, uint64_t other)
{
    return one > other ? one : other;
}

static uint64_t add_saturating(uint64_t time_ns, uint64_t span_ns)
{
    return time_ns > UINT64_MAX - span_ns ? UINT64_MAX : time_ns + span_ns;
}

/* The first tick that is not before a time; what the end of time leaves no tick for is never. */
KN_INLINE uint64_t tick_after(const struct kn_timer_wheel *wheel, uint64_t time_ns)
{
    uint64_t tick_ns_less_1 = (UINT64_C(1) << wheel->shift) - 1;
    return (least(time_ns, ~tick_ns_less_1) + tick_ns_less_1) >> wheel->shift;
}

/* Of all ticks from `first` to `last`, the one with the most zeros at its end. */
static uint64_t roundest(uint64_t first, uint64_t last)
{
    if (first == 0 || first == last)
        return first;
    /* What they have in common, one bit more, and zeros. */
    unsigned bits = 63U - (unsigned)__builtin_clzll((first - 1) ^ last);
    return last >> bits << bits;
}

/* The tick for a timer with slack that may fire from `tick` on. */
static uint64_t relax_tick(struct kn_timer_wheel *wheel, const struct kn_timer *timer, uint64_t tick)
{
    uint64_t slack_ns = (uint64_t)timer->slack_us * 1000;
    if (timer->period_ns > 0)
        slack_ns = least(slack_ns, timer->period_ns - 1); /* or it would miss the next */
    /* This is never `never` but where `tick` is, as that has no zero at its end. */
    uint64_t last_tick = greatest(add_saturating(timer->deadline_ns, slack_ns) >> wheel->shift, tick);
    uint64_t chosen = roundest(tick, last_tick);
    kn_counter_add(&wheel->counters.coalesced, chosen != tick);
    return chosen;
}

/* The tick at which a timer fires that is armed now. */
KN_INLINE uint64_t choose_tick(struct kn_timer_wheel *wheel, const struct kn_timer *timer)
{
    uint64_t tick = greatest(tick_after(wheel, timer->deadline_ns), wheel->next_tick);
    return KN_LIKELY(timer->slack_us == 0) ? tick : relax_tick(wheel, timer, tick);
}

/* ---- arming and cancelling ---- */

static uint8_t state_of(const struct kn_timer *timer)
{
    return atomic_load_explicit(&timer->state, memory_order_relaxed);
}

KN_INLINE bool is_shared(const struct kn_timer *timer)
{
    return (timer->flags & KN_TIMER_SHARED) != 0;
}

/* The owner's side of the race with kn_timer_try_cancel: whether the timer was still in the one state. */
static bool change_state(struct kn_timer *timer, uint8_t from, uint8_t to)
{
    /* Acquire, also where it fails, and release pair with kn_timer_try_cancel. */
    return atomic_compare_exchange_strong_explicit(&timer->state, &from, to, memory_order_acq_rel,
                                                   memory_order_acquire);
}

/* Whether no other thread has cancelled it, in which case a repeating timer is an armed one again. */
static bool may_arm(struct kn_timer *timer)
{
    uint8_t state = state_of(timer);
    if (state == KN_TIMER_REPEATING)
        return change_state(timer, KN_TIMER_REPEATING, KN_TIMER_ARMED);
    return state != KN_TIMER_CANCELLED;
}

/* Has the timer in the slot of its deadline, or in an earlier one: whether it was in none. */
KN_INLINE bool place_timer(struct kn_timer_wheel *wheel, struct kn_timer *timer, uint64_t deadline_ns)
{
    uint64_t old_tick = timer->tick;
    timer->deadline_ns = deadline_ns;
    timer->tick = choose_tick(wheel, timer);
    if (!timer->previous) {
        link_timer(wheel, timer);
        kn_counter_add(&wheel->counters.live, 1);
        return true;
    }
    kn_assert(timer->wheel == wheel);
    /* Its slot comes no later than the old tick: for one that is due later, that is soon enough to move it. */
    if (timer->tick < old_tick) {
        unlink_timer(wheel, timer);
        link_timer(wheel, timer);
    }
    return false;
}

static int arm_shared(struct kn_timer_wheel *wheel, struct kn_timer *timer, uint64_t deadline_ns)
{
    if (!may_arm(timer))
        return -ECANCELED;
    /* Where another thread may be looking, it is this wheel already. */
    if (timer->wheel != wheel && !timer->previous)
        timer->wheel = wheel;
    if (place_timer(wheel, timer, deadline_ns))
        /* Release pairs with the acquire of kn_timer_try_cancel: who cancels it finds the wheel. */
        atomic_store_explicit(&timer->state, KN_TIMER_ARMED, memory_order_release);
    return 0;
}

int kn_timer_wheel_arm(struct kn_timer_wheel *wheel, struct kn_timer *timer, uint64_t deadline_ns)
{
    if (is_shared(timer))
        return arm_shared(wheel, timer, deadline_ns);
    if (place_timer(wheel, timer, deadline_ns)) {
        if (KN_UNLIKELY(timer->wheel != wheel))
            timer->wheel = wheel;
        atomic_store_explicit(&timer->state, KN_TIMER_ARMED, memory_order_relaxed);
    }
    return 0;
}

void kn_timer_wheel_forget(struct kn_timer_wheel *wheel, struct kn_timer *timer)
{
    kn_assert(timer->wheel == wheel && state_of(timer) == KN_TIMER_CANCELLED);
    if (timer->previous)
        remove_timer(wheel, timer);
    /* Release pairs with the acquire in kn_timer_is_idle: it was unlinked before, and is touched no more. */
    atomic_store_explicit(&timer->state, wheel->calling == timer ? KN_TIMER_FIRING : KN_TIMER_IDLE,
                          memory_order_release);
}

int kn_timer_wheel_cancel(struct kn_timer_wheel *wheel, struct kn_timer *timer)
{
    if (is_shared(timer)) {
        int result = kn_timer_try_cancel(timer);
        if (result == 0)
            kn_timer_wheel_forget(wheel, timer);
        return result;
    }
    if (!timer->previous)
        return -EALREADY;
    kn_assert(timer->wheel == wheel);
    remove_timer(wheel, timer);
    atomic_store_explicit(&timer->state, KN_TIMER_IDLE, memory_order_relaxed);
    return 0;
}

/* ---- expiry ---- */

/* Arms a timer that fires now for its next period. */
static void repeat(struct kn_timer_wheel *wheel, struct kn_timer *timer)
{
    uint64_t late_ns = wheel->now_ns - timer->deadline_ns;
    if (late_ns >= timer->period_ns) {
        wheel->overruns = late_ns / timer->period_ns;
        kn_counter_add(&wheel->counters.overruns, wheel->overruns);
    }
    /* No overflow: this is at most now. */
    uint64_t passed_ns = timer->deadline_ns + wheel->overruns * timer->period_ns;
    timer->deadline_ns = add_saturating(passed_ns, timer->period_ns);
    timer->tick = choose_tick(wheel, timer);
    link_timer(wheel, timer);
}

static void call(const struct kn_timer_wheel *wheel, struct kn_timer *timer)
{
    if (timer->flags & KN_TIMER_WAKES)
        wheel->wake(timer->target.wakes, wheel->owner);
    else
        timer->target.expired(timer, wheel->owner);
}

/* The callback of a shared timer has ended; another thread may have cancelled it meanwhile, if it was armed. */
static void end_call(struct kn_timer_wheel *wheel, struct kn_timer *timer)
{
    wheel->calling = NULL;
    if (state_of(timer) == KN_TIMER_REPEATING)
        change_state(timer, KN_TIMER_REPEATING, KN_TIMER_ARMED);
    else if (state_of(timer) == KN_TIMER_FIRING)
        /* Release pairs with the acquire in kn_timer_is_idle, and in kn_timer_try_cancel where that fails. */
        atomic_store_explicit(&timer->state, KN_TIMER_IDLE, memory_order_release);
}

/* Fires the timer unless another thread has cancelled it: whether it did. */
static bool expire(struct kn_timer_wheel *wheel, struct kn_timer *timer)
{
    bool repeats = timer->period_ns > 0;
    unlink_timer(wheel, timer);
    if (is_shared(timer)) {
        if (!change_state(timer, KN_TIMER_ARMED, repeats ? KN_TIMER_REPEATING : KN_TIMER_FIRING)) {
            kn_counter_add(&wheel->counters.live, UINT64_MAX);
            return false;
        }
        wheel->calling = timer;
    } else if (!repeats) {
        atomic_store_explicit(&timer->state, KN_TIMER_IDLE, memory_order_relaxed);
    }
    wheel->overruns = 0;
    if (repeats)
        repeat(wheel, timer);
    else
        kn_counter_add(&wheel->counters.live, UINT64_MAX);
    kn_counter_add(&wheel->counters.fired, 1);
    call(wheel, timer);
    /* One that is not shared may have been freed. */
    if (wheel->calling)
        end_call(wheel, timer);
    return true;
}

/* Brings a timer to the slot where it belongs now. One that was cancelled elsewhere is not worth it. */
static void move(struct kn_timer_wheel *wheel, struct kn_timer *timer)
{
    if (is_shared(timer) && state_of(timer) == KN_TIMER_CANCELLED) {
        remove_timer(wheel, timer);
        return;
    }
    unlink_timer(wheel, timer);
    link_timer(wheel, timer);
    kn_counter_add(&wheel->counters.cascaded, 1);
}

/* ---- the way through time ---- */

struct place {
    unsigned level;
    unsigned slot;
    uint64_t begin; /* its first tick */
};

/* What comes next in a wheel that has timers. */
static struct place next_place(const struct kn_timer_wheel *wheel)
{
    struct place place;
    if (wheel->spreading > 0) {
        place.level = wheel->spreading;
        place.slot = digit_of(wheel->tick, place.level);
        place.begin = wheel->tick;
        return place;
    }
    place.level = (unsigned)__builtin_ctz(wheel->levels);
    place.slot = (unsigned)__builtin_ctzll(wheel->occupied[place.level]);
    place.begin = slot_begin(wheel, place.level, place.slot);
    return place;
}

uint64_t kn_timer_wheel_next_ns(const struct kn_timer_wheel *wheel)
{
    if (wheel->levels == 0)
        return KN_NEVER;
    struct place place = next_place(wheel);
    const struct kn_timer_slot *slot = &wheel->slots[place.level][place.slot];
    uint64_t tick = place.begin;
    if (place.level > 0 && wheel->spreading == 0 && slot->arrivals < CROWD)
        tick = slot->earliest;
    return tick == wheel->last_tick ? KN_NEVER : tick << wheel->shift;
}

/* Fires or moves timers of the slot on which the wheel stands, and answers how many it was allowed to do more. */
static size_t empty_slot(struct kn_timer_wheel *wheel, struct place place, size_t most, size_t *fired)
{
    struct kn_timer_slot *slot = &wheel->slots[place.level][place.slot];
    struct kn_timer *timer;
    for (; most > 0 && (timer = slot->first) != NULL; most--) {
        if (place.level > 0 || timer->tick > wheel->tick)
            move(wheel, timer);
        else
            *fired += expire(wheel, timer);
    }
    wheel->spreading = slot->first ? place.level : 0;
    return most;
}

size_t kn_timer_wheel_advance(struct kn_timer_wheel *wheel, uint64_t now_ns, size_t most)
{
    size_t fired = 0;
    kn_assert(!wheel->is_advancing);
    wheel->now_ns = greatest(wheel->now_ns, now_ns);
    wheel->now_tick = least(wheel->now_ns >> wheel->shift, wheel->last_tick - 1);
    wheel->is_advancing = true;
    /* In a callback the present tick is over, or a timer that arms itself ever anew would keep this from ending. */
    wheel->next_tick = wheel->now_tick + 1;
    while (wheel->levels != 0) {
        struct place place = next_place(wheel);
        if (place.begin > wheel->now_tick || most == 0)
            break;
        wheel->tick = place.begin;
        most = empty_slot(wheel, place, most, &fired);
    }
    if (wheel->levels == 0 || next_place(wheel).begin > wheel->now_tick) {
        wheel->spreading = 0;
        wheel->tick = wheel->now_tick;
    }
    wheel->next_tick = wheel->now_tick;
    wheel->is_advancing = false;
    return fired;
}

/* ---- making and looking ---- */

int kn_timer_wheel_init(struct kn_timer_wheel *wheel, const struct kn_timer_wheel_options *options)
{
    uint32_t shift = DEFAULT_SHIFT;
    if (options->resolution_ns > UINT64_C(1) << SHIFT_MAX)
        return -EINVAL;
    if (options->resolution_ns > 0)
        for (shift = 0; UINT64_C(1) << shift < options->resolution_ns;)
            shift++;
    *wheel = (struct kn_timer_wheel){
        .shift = shift,
        .last_tick = UINT64_MAX >> shift,
        .now_ns = options->start_ns,
        .owner = options->owner,
        .wake = options->wake,
    };
    wheel->now_tick = least(wheel->now_ns >> shift, wheel->last_tick - 1);
    wheel->next_tick = wheel->now_tick;
    wheel->tick = wheel->now_tick;
    return 0;
}

uint64_t kn_timer_wheel_now_ns(const struct kn_timer_wheel *wheel)
{
    return wheel->now_ns;
}

uint64_t kn_timer_wheel_overruns(const struct kn_timer_wheel *wheel)
{
    return wheel->overruns;
}

uint64_t kn_timer_wheel_resolution_ns(const struct kn_timer_wheel *wheel)
{
    return UINT64_C(1) << wheel->shift;
}

void *kn_timer_wheel_owner(const struct kn_timer_wheel *wheel)
{
    return wheel->owner;
}

const struct kn_timer_counters *kn_timer_wheel_counters(const struct kn_timer_wheel *wheel)
{
    return &wheel->counters;
}
