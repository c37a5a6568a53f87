/*
 * Who holds a cursor: a process by its number and the moment it started, in one word.
 *
 * Use it to find out whether the process that wrote the word still lives. The start tells it from a later process that
 * was given the same number. Nothing here allocates, but everything enters the system: not for hot paths. All
 * processes of a sector must see the same process numbers, that is, share a pid and a time namespace.
 */
#ifndef KERNEL_QUEUE_OWNER_H
#define KERNEL_QUEUE_OWNER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <kernel/atomic.h>

/* The process number in the low 22 bits (the most that Linux gives out), above it the start in clock ticks since the
 * machine's. Never 0. */
#define KN_OWNER_PID_BITS 22

/* The owner word of a process. @return 0; -ESRCH without such a process; -EOVERFLOW when the numbers do not fit; or
 * why /proc cannot be read. Thread-safe. */
KN_CHECK_RESULT int kn_owner_of(pid_t pid, uint64_t *owner);

/* The owner word of this process, to be asked for again after fork. @return as kn_owner_of. Thread-safe. */
KN_CHECK_RESULT int kn_owner_self(uint64_t *owner);

/* Whether the process may still run: false only if it is surely gone, or waits as a zombie for its parent to look.
 * Thread-safe. */
bool kn_owner_alive(uint64_t owner);

#endif
