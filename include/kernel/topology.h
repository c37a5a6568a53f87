/**
 * @file topology.h
 * Which processor cores this program may use, and how to stay on one.
 *
 * Use it to give each busy thread a core of its own. It sees what the system lets this program use (affinity masks and
 * cpusets are respected) and lists one processing unit of each physical core before the second of any, so that the
 * first threads placed do not share an execution unit. Discovery is hwloc's; a topology is read-only after it was
 * opened and any thread may read it.
 */
#ifndef KERNEL_TOPOLOGY_H
#define KERNEL_TOPOLOGY_H

#include <stddef.h>
#include <stdint.h>

#include <kernel/atomic.h>

/** A list of processing units, by the system's numbers. */
struct kn_topology {
    uint32_t *units;   /**< one of each core first, then their siblings */
    size_t unit_count; /**< processing units that may be used, at least 1 */
    size_t core_count; /**< physical cores among them: the first so many units are on different cores */
};

/**
 * Discovers the processing units that the calling thread may run on. The caller owns the topology and closes it.
 * @return 0, -ENOMEM, or what hwloc reports.
 */
KN_CHECK_RESULT int kn_topology_open(struct kn_topology *topology);

/** Frees it. Harmless on a zeroed or closed one. */
void kn_topology_close(struct kn_topology *topology);

/** Keeps the calling thread on one processing unit, by the system's number. @return 0, or -EINVAL where it may not run.
 */
int kn_topology_pin(uint32_t unit);

/**
 * Reads a list like "0,2-5": numbers and ranges, in the order given.
 * @param units room for `capacity` numbers. @param count how many there were.
 * @return 0; -EINVAL for anything else, a number twice, or an empty list; -ERANGE for more than `capacity`, or a number
 * above 4095.
 */
int kn_topology_parse_units(const char *text, uint32_t *units, size_t capacity, size_t *count);

#endif
