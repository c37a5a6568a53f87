/**
 * @file timer.h
 * A hierarchical timing wheel: millions of deadlines, each armed, moved and cancelled in constant time.
 *
 * Use it for whatever a loop must do later or give up on; a reactor has one of its own, other loops open theirs. A
 * handful of deadlines that are never cancelled do as well in a sorted list. It guarantees that a timer never fires
 * before its deadline, nor later than one resolution and one turn of the loop after it, while a turn is allowed to do
 * all that is due; that no turn does more than it is allowed to, whatever falls due at once; and that no call
 * allocates, waits or reads a clock.
 *
 * How it works. Time is counted in ticks of one resolution, a power of two of nanoseconds. Eleven levels of 64 slots
 * each stand for the digits of a tick in base 64. A timer is in the level of the highest digit in which its tick
 * differs from the wheel's own, in the slot of that digit:
 *
 *        wheel at   0 | 17 | 05              level 0   slot 5 ... 63: one tick each
 *        timer at   0 | 17 | 44  ->  level 0, slot 44
 *        timer at   0 | 33 | 02  ->  level 1, slot 33      (64 ticks wide)
 *        timer at   2 | 00 | 00  ->  level 2, slot 2       (4096 ticks wide)
 *
 * So whatever is in a lower level is due before all that is in a higher one, and within a level slots are due in their
 * order: the lowest bit of the lowest occupied level is what comes next. When the wheel arrives at a slot of level 0,
 * its timers fire; at one of a higher level, they are spread over the levels below (a cascade). Slots without timers
 * are never visited: a jump of time, however long, costs no more than what expires in it.
 *
 * There is no tick. kn_timer_wheel_next_ns says when there is something to do, and a loop sleeps until then. Each slot
 * knows the earliest of its timers, so that a sleeper is not woken for a cascade alone; only a slot of so many timers
 * that spreading them takes more than a moment is begun when its time comes.
 *
 * A timer that is armed again for later stays where it is, and is moved when the wheel gets there: pushing back an
 * idle timeout with every message writes one cache line. It may cost one early wake-up each time it would have expired.
 *
 * Slack. A timer with slack may fire anywhere between its deadline and that much later, and fires at the moment in
 * between that has the most zeros at its end; so timers with slack share their moments, and the wake-ups for them.
 *
 * Threads. A wheel belongs to one thread, its owner, and so do its timers, save for kn_timer_try_cancel and
 * kn_timer_is_idle, which any thread may call on a timer made with KN_TIMER_SHARED. Whether such a timer fires or is
 * cancelled is decided by one compare-and-exchange of its state:
 *
 *                     arm                    expiry                         the callback has ended
 *             idle --------------> armed -----------------> firing --------------------------------> idle
 *              ^                     |  ^                                      (one with a period: repeating -> armed)
 *              |                     |  +-- arm, expiry with a period
 *              | forget (owner)      | try_cancel (any thread; of a repeating one too)
 *              +----- cancelled <----+
 *
 * Who has cancelled a timer has its owner told, by whatever way messages go there, and the owner calls
 * kn_timer_wheel_forget: until then the timer is still linked to others, and its memory is not to be reused. Every
 * kn_timer_try_cancel that answered 0 is followed by exactly one kn_timer_wheel_forget. models/timer_cancel.pml holds
 * this protocol as a model that Spin exhausts.
 *
 * Sources: G. Varghese, A. Lauck, Hashed and Hierarchical Timing Wheels, SOSP 1987 (scheme 7); the choice of the level
 * by the highest differing bit is J. Snellman's, Ratas, 2016; the rounding of slack is A. van de Ven's, of
 * Linux 2.6.28.
 */
#ifndef KERNEL_TIMER_H
#define KERNEL_TIMER_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <kernel/atomic.h>

/** A deadline that does not come. A timer with it is armed all the same. */
#define KN_NEVER UINT64_MAX

/** The moment `duration_ns` after `from_ns`; KN_NEVER where that is beyond all times. */
KN_INLINE uint64_t kn_time_after(uint64_t from_ns, uint64_t duration_ns)
{
    return duration_ns < KN_NEVER - from_ns ? from_ns + duration_ns : KN_NEVER;
}

struct kn_timer;
struct kn_timer_wheel;

/**
 * What a timer does when it fires, on the thread of the wheel's owner; KN_CONTAINER_OF of mailbox.h leads to the
 * structure around it. It may arm and cancel any timer of the wheel, this one and others that are due as well, and may
 * free the timer unless that is shared or armed again. It must not advance the wheel.
 *
 * @param owner as given to kn_timer_wheel_init.
 */
typedef void kn_timer_expired(struct kn_timer *timer, void *owner);

/** Properties of a timer, for its whole life. */
enum kn_timer_flag {
    KN_TIMER_SHARED = 1u << 0, /**< other threads cancel it: an expiry and a cancel cost one read-modify-write more */
    KN_TIMER_WAKES = 1u << 1   /**< private: it has a target in place of a callback; see kn_timer_init_waking */
};

/** What becomes of a timer; see the picture above. Those that are not shared are only ever idle or armed. */
enum kn_timer_state {
    KN_TIMER_IDLE,      /**< nothing refers to it */
    KN_TIMER_ARMED,     /**< will fire */
    KN_TIMER_FIRING,    /**< its callback runs */
    KN_TIMER_REPEATING, /**< its callback runs, and it is armed for the next period */
    KN_TIMER_CANCELLED  /**< will not fire; its owner is yet to be told */
};

/**
 * A timer, to be part of a structure of the caller's. Fields are private but for the two said to be set.
 *
 * Invariant: `previous` is not NULL while it is in a slot; and it is in the slot of its tick, or in one of an earlier
 * tick, from where it will be moved. While idle nothing points to it.
 */
struct kn_timer {
    struct kn_timer *next;      /* in its slot */
    struct kn_timer **previous; /* what points to it: the slot, or `next` of the one before; NULL: in none */
    uint64_t tick;              /* when it is due, rounded up and with slack */
    uint64_t deadline_ns;       /* as asked for */
    uint64_t period_ns;         /**< set before it is armed: from one deadline to the next; 0: fires once */
    union {
        kn_timer_expired *expired; /* called */
        void *wakes;               /* or woken */
    } target;
    struct kn_timer_wheel *wheel; /* where it was armed last */
    uint32_t slack_us;            /**< set before it is armed: how much later than its deadline it may fire */
    uint8_t flags;                /* of enum kn_timer_flag */
    _Atomic uint8_t state;        /* of enum kn_timer_state */
};

_Static_assert(sizeof(struct kn_timer) <= KN_CACHE_LINE, "a timer is at most one cache line");

/** What a wheel is made of. Zero means the default in parentheses. */
struct kn_timer_wheel_options {
    uint64_t resolution_ns; /**< (1024) of a tick: rounded up to a power of two, at most 2^40 */
    uint64_t start_ns;      /**< (0) the time now, on the time line of all deadlines */
    void *owner;            /**< handed to callbacks and to `wake` */
    /** What is done for the target of a timer of kn_timer_init_waking; needed if there are any. */
    void (*wake)(void *target, void *owner);
};

/** Written by the owner, read by any thread with kn_counter_read. */
struct kn_timer_counters {
    _Atomic uint64_t live;      /**< now: armed; those cancelled elsewhere count until the wheel finds out */
    _Atomic uint64_t fired;     /**< expiries */
    _Atomic uint64_t cascaded;  /**< timers moved to another slot on the way to their expiry */
    _Atomic uint64_t coalesced; /**< times that slack moved an expiry */
    _Atomic uint64_t overruns;  /**< periods missed and skipped */
};

/** Levels of a wheel, as many as a time of 64 bits needs at the finest resolution; and slots of each. */
#define KN_TIMER_LEVELS 11
#define KN_TIMER_SLOTS 64

/** Timers that are due in the same ticks; private to timer.c. */
struct kn_timer_slot {
    struct kn_timer *first; /* armed last; NULL: none */
    uint64_t earliest;      /* no timer of the slot has an earlier tick; meaningless while there is none */
    uint64_t arrivals;      /* since it was empty: there are no more timers than this */
};

/**
 * The wheel, some 17 KiB of the caller's memory. Fields are private to timer.c.
 *
 * Invariant: a timer in slot s of level l shares with `tick` all digits above the l-th, and s is greater than the l-th
 * digit of `tick`; but for the slot on which the wheel stands, while it is being emptied, and that of level 0. A bit is
 * set for each slot that is not empty, and for each level that has one.
 */
struct kn_timer_wheel {
    uint64_t tick;                      /* where the wheel stands: nothing before is left */
    uint64_t now_tick;                  /* the time it is on its way to */
    uint64_t next_tick;                 /* the first that is left for a timer armed now */
    uint64_t last_tick;                 /* greatest there is; stands for never */
    uint64_t now_ns;                    /* as told */
    uint64_t overruns;                  /* of the timer whose callback runs */
    uint32_t shift;                     /* of a tick to nanoseconds */
    uint32_t levels;                    /* bit l: level l has timers */
    uint32_t spreading;                 /* level whose slot at `tick` is being spread; 0: none */
    bool is_advancing;                  /* a callback may be running */
    const struct kn_timer *calling;     /* shared timer whose callback runs, or NULL */
    void *owner;                        /* handed to callbacks */
    void (*wake)(void *, void *);       /* for timers without one */
    struct kn_timer_counters counters;  /* what it did */
    uint64_t occupied[KN_TIMER_LEVELS]; /* bit s of level l: slot s has timers */
    struct kn_timer_slot slots[KN_TIMER_LEVELS][KN_TIMER_SLOTS];
};

/**
 * Makes an empty wheel of the caller's memory, which may be freed as soon as no timer in it is used any more: there is
 * nothing to close, and timers that are armed then are not touched.
 * @return 0; -EINVAL for a resolution above 2^40.
 */
KN_CHECK_RESULT int kn_timer_wheel_init(struct kn_timer_wheel *wheel, const struct kn_timer_wheel_options *options);

/** Makes an idle timer that calls `expired`. @param flags 0 or KN_TIMER_SHARED. */
KN_INLINE void kn_timer_init(struct kn_timer *timer, kn_timer_expired *expired, unsigned flags)
{
    *timer = (struct kn_timer){.target.expired = expired, .flags = (uint8_t)flags};
}

/**
 * Makes an idle timer that has no callback: the wheel's `wake` is called with `target`, such as a task. What was missed
 * by one with a period is seen from its kn_timer_deadline_ns. @param flags 0 or KN_TIMER_SHARED.
 */
KN_INLINE void kn_timer_init_waking(struct kn_timer *timer, void *target, unsigned flags)
{
    *timer = (struct kn_timer){.target.wakes = target, .flags = (uint8_t)(flags | KN_TIMER_WAKES)};
}

/**
 * Arms a timer, or arms it anew if it is armed. The timer belongs to the wheel until it is idle again. Owner only;
 * wait-free.
 *
 * A deadline that has passed makes it due at the next kn_timer_wheel_advance, after what was due before; from within a
 * callback, at the next that is called a resolution later. A timer is armed in one wheel at a time.
 *
 * @return 0; -ECANCELED for a shared timer that another thread has cancelled, and of which the owner has not been told
 * yet: it is not armed, as who cancelled it was promised.
 */
int kn_timer_wheel_arm(struct kn_timer_wheel *wheel, struct kn_timer *timer, uint64_t deadline_ns);

/**
 * Cancels a timer: it will not fire, and is idle (shared ones within their own callback: once that has ended). Owner
 * only; wait-free but for a shared timer, whose compare-and-exchange may be repeated once.
 * @return 0; -EALREADY when it was not armed, or another thread has cancelled it.
 */
int kn_timer_wheel_cancel(struct kn_timer_wheel *wheel, struct kn_timer *timer);

/**
 * Cancels a shared timer from any thread: one compare-and-exchange decides between this, other calls of this, and the
 * expiry. After 0 it never fires: its callback is not called, unless it has a period and a call that was decided before
 * is under way, which has ended once the timer is idle.
 *
 * The caller who got 0, and nobody else, now has the owner of kn_timer_wheel_of(timer) call kn_timer_wheel_forget,
 * which makes the timer idle. Until then the memory must stay. Lock-free; wait-free for a timer without a period.
 *
 * @return 0; -EALREADY when it fires or has fired, was cancelled by another, or was not armed.
 */
KN_INLINE int kn_timer_try_cancel(struct kn_timer *timer)
{
    uint8_t state = atomic_load_explicit(&timer->state, memory_order_acquire);
    /* Acquire, also where it fails, pairs with the release of who armed the timer, so that kn_timer_wheel_of is known,
     * and with the release after its callback. Release: what was done before is seen by who fails to fire it. */
    while (state == KN_TIMER_ARMED || state == KN_TIMER_REPEATING) {
        if (atomic_compare_exchange_strong_explicit(&timer->state, &state, KN_TIMER_CANCELLED, memory_order_acq_rel,
                                                    memory_order_acquire))
            return 0;
    }
    return -EALREADY;
}

/** Unlinks a timer that kn_timer_try_cancel has cancelled, and makes it idle. Owner only; wait-free. */
void kn_timer_wheel_forget(struct kn_timer_wheel *wheel, struct kn_timer *timer);

/**
 * Whether nothing refers to the timer, so that its memory may be reused, provided that nobody arms it meanwhile. For a
 * shared one any thread may ask, and sees then all that its callback did; false while that runs. Wait-free.
 */
KN_INLINE bool kn_timer_is_idle(const struct kn_timer *timer)
{
    /* Acquire pairs with the release that makes a shared timer idle: the owner touches it no more. */
    return atomic_load_explicit(&timer->state, memory_order_acquire) == KN_TIMER_IDLE;
}

/** The deadline that it was armed for last; with a period, of the expiry to come. Owner only. */
KN_INLINE uint64_t kn_timer_deadline_ns(const struct kn_timer *timer)
{
    return timer->deadline_ns;
}

/**
 * The wheel in which it was armed last. Any thread that has cancelled it, or seen that it was armed, as long as it is
 * not armed in another one.
 */
KN_INLINE struct kn_timer_wheel *kn_timer_wheel_of(const struct kn_timer *timer)
{
    return timer->wheel;
}

/**
 * When kn_timer_wheel_advance has something to do: no later than the first expiry, and exactly then unless that timer
 * was cancelled or armed anew since, or many timers must be spread before. Owner only; wait-free.
 * @return a time, which may have passed; KN_NEVER when nothing will ever fire.
 */
uint64_t kn_timer_wheel_next_ns(const struct kn_timer_wheel *wheel);

/**
 * Fires what is due, in the order of the ticks; the order of timers of one tick is unspecified. Owner only.
 *
 * One with a period is armed for its deadline plus a multiple of the period, the first that is not past, before its
 * callback is called; periods in between are not made up for but counted.
 *
 * @param now_ns the time; one before that of an earlier call counts as that.
 * @param most expiries, and timers moved on their way there, each counting one. What is left is taken up by the next
 * call, and kn_timer_wheel_next_ns is not after now_ns.
 * @return how many fired.
 */
size_t kn_timer_wheel_advance(struct kn_timer_wheel *wheel, uint64_t now_ns, size_t most);

/** The latest time that the wheel was advanced to. Owner only. */
uint64_t kn_timer_wheel_now_ns(const struct kn_timer_wheel *wheel);

/** How many periods were skipped by the timer whose callback runs: 0 for one that is on time. Owner only. */
uint64_t kn_timer_wheel_overruns(const struct kn_timer_wheel *wheel);

/** The resolution after rounding. Any thread. */
uint64_t kn_timer_wheel_resolution_ns(const struct kn_timer_wheel *wheel);

/** As given to kn_timer_wheel_init. Any thread. */
void *kn_timer_wheel_owner(const struct kn_timer_wheel *wheel);

/** Its counters, valid as long as the wheel. Any thread. */
const struct kn_timer_counters *kn_timer_wheel_counters(const struct kn_timer_wheel *wheel);

#endif
