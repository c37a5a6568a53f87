/**
 * @file top.h
 * What the reactors of a runtime do, at a glance: a sample of their counters, as a table for people and as JSON for
 * programs.
 *
 * Use it to look into a running program, from its console or over a socket (kernel-top); a program that acts on its own
 * load reads the counters themselves (reactor.h). Taking a sample reads each counter once, relaxed: it holds nobody up
 * and allocates nothing, and its figures are consistent one by one, not among each other. Everything here works on any
 * thread, one thread a sample.
 *
 * A sample holds totals. What happened in a span of time is the difference of two samples, which kn_top_write_text
 * takes; JSON holds the totals, so that any reader can take the difference to whatever sample it kept.
 *
 * The JSON, one line. All numbers are whole, of up to 64 bits. More keys may come, at any place; these stay:
 * @code
 * {"version":1,
 *  "time_ns":N,              when, of CLOCK_MONOTONIC
 *  "count":N,                reactors
 *  "reactors":[{             by number:
 *    "reactor":N,            the number
 *    "unit":N,               processing unit it was placed on, or -1
 *    "roles":["control","io","timer","task"],   those it has
 *    "parked":BOOLEAN,       whether it sleeps
 *    "turns":N, "polls":N, "finished":N, "panics":N, "parks":N, "busy_ns":N,
 *    "steals_asked":N, "steals_empty":N, "tasks_taken":N, "tasks_given":N, "tasks_shed":N, "bus_full":N,
 *    "timers":N, "timers_fired":N, "pool_used":N, "pool_capacity":N, "pool_empty":N,
 *    "waiting":[8 of N],     tasks in the queue of each class, most urgent first
 *    "received":[8 of N],    messages of each kind, in the order of enum kn_bus_kind
 *    "poll_times":[32 of N], histogram of one poll in 64 (of all while a trace is recorded); see KN_REACTOR_TIMES
 *    "bus_out":[count of N]  messages in the queue to each reactor
 *   }, ...]}
 * @endcode
 * Keys are named as the fields of struct kn_top_reactor, which says what they mean.
 */
#ifndef KERNEL_TOP_H
#define KERNEL_TOP_H

#include <kernel/reactor.h>

/** Most reactors of a sample. */
#define KN_TOP_REACTORS_MAX 1024

/** What is known of a reactor. Those said to be of now may fall, all others only grow. */
struct kn_top_reactor {
    int64_t unit;                          /**< processing unit it was placed on, or -1 */
    uint32_t roles;                        /**< of enum kn_role */
    bool is_parked;                        /**< now: sleeps */
    uint64_t turns;                        /**< taken, idle ones not counted */
    uint64_t polls;                        /**< of tasks */
    uint64_t finished;                     /**< tasks done */
    uint64_t panics;                       /**< tasks given up */
    uint64_t parks;                        /**< times it went to sleep */
    uint64_t busy_ns;                      /**< in turns that were not idle and have ended */
    uint64_t steals_asked;                 /**< requests to others */
    uint64_t steals_empty;                 /**< answered with nothing */
    uint64_t tasks_taken;                  /**< that came by the balance */
    uint64_t tasks_given;                  /**< in answer to requests */
    uint64_t tasks_shed;                   /**< unasked */
    uint64_t bus_full;                     /**< sends that had to be held back */
    uint64_t timers;                       /**< now: armed */
    uint64_t timers_fired;                 /**< expiries */
    uint64_t pool_used;                    /**< now: objects of the pool in use */
    uint64_t pool_capacity;                /**< objects of the pool */
    uint64_t pool_empty;                   /**< acquisitions that found none */
    uint64_t waiting[KN_PRIORITY_CLASSES]; /**< now, at the end of its last turn: tasks in the queue of each class */
    uint64_t received[KN_BUS_KINDS];       /**< messages of each kind */
    uint64_t poll_times[KN_REACTOR_TIMES]; /**< histogram of polls, see KN_REACTOR_TIMES */
};

/** A sample. The caller may read it; zeroed it is closed. */
struct kn_top_sample {
    uint64_t time_ns;                /**< of kn_clock_monotonic_ns; of another machine's where the sample was read */
    size_t count;                    /**< reactors */
    struct kn_top_reactor *reactors; /**< one each */
    uint32_t *bus;                   /**< messages in the queue from one to another: [from * count + to] */
};

/** Takes text, `length_bytes` of it, not terminated. */
typedef void kn_top_write(void *context, const char *text, size_t length_bytes);

/** Parts of the text: a set of these. */
enum kn_top_part {
    KN_TOP_LOAD = 1,    /**< share of time, polls and what waits */
    KN_TOP_TIMES = 2,   /**< how long polls take */
    KN_TOP_BALANCE = 4, /**< tasks taken and given, timers, sleeps, pools, panics */
    KN_TOP_BUS = 8,     /**< what waits in the queues between reactors */
};

/** How text is written. Zero means the default in parentheses. */
struct kn_top_text {
    uint32_t parts; /**< (all) of enum kn_top_part */
    bool ascii;     /**< no block characters, which are UTF-8 */
    bool colours;   /**< with a terminal's escape sequences */
};

/** Makes room. The caller owns the sample and closes it. @return 0, -EINVAL for none or too many reactors, -ENOMEM. */
KN_CHECK_RESULT int kn_top_open(struct kn_top_sample *sample, size_t reactors);

/** Frees it. Harmless on a zeroed or closed one. */
void kn_top_close(struct kn_top_sample *sample);

/** Takes a sample, which must be open for kn_runtime_count reactors. Any thread, while the reactors run. */
void kn_top_take(struct kn_top_sample *sample, const struct kn_runtime *runtime);

/**
 * The time that a share of the polls in a histogram does not exceed, as precisely as it is known: the upper end of a
 * bucket. @param share 0 to 1; 1 gives the greatest. @return ns; 0 without polls; UINT64_MAX when the last bucket's.
 */
uint64_t kn_top_percentile_ns(const uint64_t times[KN_REACTOR_TIMES], double share);

/**
 * Writes what happened between two samples as tables of a line a reactor, at most 80 columns wide.
 * @param before NULL, or one of other reactors: totals are shown instead of rates.
 * @param text NULL for the default. @param write is called with whole lines.
 */
void kn_top_write_text(const struct kn_top_sample *before, const struct kn_top_sample *after,
                       const struct kn_top_text *text, kn_top_write *write, void *context);

/** Writes a sample as one line of JSON with its end. @param write is called with pieces of it. */
void kn_top_write_json(const struct kn_top_sample *sample, kn_top_write *write, void *context);

/**
 * Reads what kn_top_write_json wrote; keys it does not know are passed over, those that are missing are zero. The
 * sample is zeroed, or one from before: room is made if it holds another number of reactors.
 * @return 0; -EINVAL for what is not such JSON; -EPROTONOSUPPORT for another version; -ENOMEM. After an error the
 * sample is closed.
 */
KN_CHECK_RESULT int kn_top_read_json(struct kn_top_sample *sample, const char *text, size_t length_bytes);

#endif
