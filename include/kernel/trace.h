/**
 * @file trace.h
 * The last events of a reactor, and all of them as a file that Chrome's tracing and Perfetto show.
 *
 * Use it to see what ran when, and where; for figures take the counters (reactor.h), which cost less. Recording takes
 * two readings of the clock a poll and writes to memory of the recording core alone; it neither allocates nor waits.
 * Old events are overwritten by new ones, and what is overwritten while it is read is left out.
 */
#ifndef KERNEL_TRACE_H
#define KERNEL_TRACE_H

#include <stdio.h>

#include <kernel/atomic.h>

struct kn_runtime;

/** What an event tells. */
enum kn_trace_kind {
    KN_TRACE_POLL,  /**< a task was polled: its type's name, its address, how long */
    KN_TRACE_PARK,  /**< the reactor slept: how long */
    KN_TRACE_IO,    /**< input and output were served: how long */
    KN_TRACE_TIMER, /**< timers fired: how many */
    KN_TRACE_TAKE,  /**< tasks came by the balance: how many */
    KN_TRACE_GIVE,  /**< tasks were given away: how many */
    KN_TRACE_PANIC, /**< a task was given up: its type's name, its address */
    KN_TRACE_KINDS
};

/** An event. */
struct kn_trace_event {
    _Atomic uint64_t start_ns; /**< of kn_clock_monotonic_ns */
    _Atomic uint64_t amount;   /**< duration in ns, or how many */
    _Atomic uintptr_t name;    /**< a string that lives as long as the program, or 0 */
    _Atomic uintptr_t subject; /**< the task's address, kind in the low three bits */
};

_Static_assert(KN_TRACE_KINDS <= 8, "a kind fits below an address");

/**
 * The events of one reactor. Invariant: event number n, of those below `end` and not below `begun` - mask - 1, lies
 * whole at n & mask; `end` <= `begun` <= `end` + 1.
 *
 * Each event is a sequence lock whose two counts all events share, as their numbers only grow. The writer counts an
 * event as begun, writes it, and counts it as ended. A reader takes the end first, so that it sees each event below it
 * whole or overwritten, and looks at the beginning last, which tells of the overwriting.
 */
struct kn_trace {
    struct kn_trace_event *events; /**< mask + 1 of them */
    uint64_t mask;                 /**< a power of two less one */
    _Atomic uint64_t begun;        /**< events begun so far */
    _Atomic uint64_t end;          /**< events recorded so far */
};

/** Records an event. The thread of the reactor; wait-free. */
KN_INLINE void kn_trace_add(struct kn_trace *trace, enum kn_trace_kind kind, uint64_t start_ns, uint64_t amount,
                            const char *name, const void *subject)
{
    uint64_t number = atomic_load_explicit(&trace->end, memory_order_relaxed);
    struct kn_trace_event *event = &trace->events[number & trace->mask];
    atomic_store_explicit(&trace->begun, number + 1, memory_order_relaxed);
    /* Release pairs with the acquire of a reader that meets one of the new fields (read_event in trace.c): it then sees
     * that this event has begun, and hence that the one it reads is gone. */
    atomic_store_explicit(&event->start_ns, start_ns, memory_order_release);
    atomic_store_explicit(&event->amount, amount, memory_order_release);
    atomic_store_explicit(&event->name, (uintptr_t)name, memory_order_release);
    atomic_store_explicit(&event->subject, (uintptr_t)subject | kind, memory_order_release);
    /* Release pairs with the acquire of the end in trace.c: the events below it are written. */
    atomic_store_explicit(&trace->end, number + 1, memory_order_release);
}

/**
 * Writes what is recorded of all reactors as Chrome trace JSON: an object with "traceEvents", one a line, a row a
 * reactor, times in microseconds of CLOCK_MONOTONIC. Polls, sleeps, and input and output are spans; timers, tasks taken
 * and given, and panics are instants with a count. "otherData" says how many events there were and how many of them
 * were overwritten. The first line begins with a brace, the last one is nothing but a brace.
 *
 * Any thread, while the reactors run; what is recorded after the call began may be left out. It allocates nothing; the
 * file is flushed and stays the caller's.
 * @return 0, -ENOTSUP for a runtime that was opened without room for events, or -EIO.
 */
int kn_runtime_trace_write(const struct kn_runtime *runtime, FILE *file);

/**
 * Switches recording on or off; a runtime begins with it off. What was recorded stays. Any thread.
 * Without effect where the runtime was opened without room for events.
 */
void kn_runtime_trace(struct kn_runtime *runtime, bool on);

/** Events kept for each reactor; 0: none are recorded. Any thread. */
size_t kn_runtime_trace_events(const struct kn_runtime *runtime);

#endif
