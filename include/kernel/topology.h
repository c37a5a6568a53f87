/**
 * @file topology.h
 * Which processor cores this program may use, how near they are to each other, and how to stay on one.
 *
 * Use it to give each busy thread a core of its own, and to know which of them share a cache; use placement.h to have
 * the work shared out among them. It sees what the system lets this program use (affinity masks, cpusets and the quota
 * of a container are respected) and lists one processing unit of each physical core before the second of any, so that
 * the first threads placed do not share an execution unit. A topology is read-only after it was opened and any thread
 * may read it.
 *
 * Discovery is hwloc's. Where the library was built without it, or where it knows of no cores (some virtual machines
 * and emulators), each unit stands for a core of its own, caches are unknown and all units are equally near. A cpuset
 * needs no reading of its own: the kernel keeps the affinity mask inside it. A quota is not in the mask, and is read
 * from the control groups of this process and all above them, of version 2 (cpu.max) and 1 (cpu.cfs_quota_us).
 */
#ifndef KERNEL_TOPOLOGY_H
#define KERNEL_TOPOLOGY_H

#include <stddef.h>
#include <stdint.h>

#include <kernel/atomic.h>

/** No such number: the cache of a unit that has none, or of which nothing is known. */
#define KN_TOPOLOGY_UNKNOWN UINT32_MAX

/** Cache levels that are described. */
#define KN_CACHE_LEVELS 3

/** One level of cache behind a processing unit; of level 1 the data cache. */
struct kn_topology_cache {
    uint32_t group;      /**< units with the same number share this cache; KN_TOPOLOGY_UNKNOWN where there is none */
    uint64_t size_bytes; /**< of the whole cache, however many share it; 0 where it is unknown */
};

/** One processing unit: a core, or one of the hardware threads of a core. */
struct kn_topology_unit {
    uint32_t number;      /**< the system's number: what kn_topology_pin takes */
    uint32_t core;        /**< its core, from 0 to core_count - 1 */
    uint32_t sibling;     /**< its place among the units of its core: 0 for the first */
    uint32_t package;     /**< its processor package, from 0; 0 where nothing is known */
    uint32_t node;        /**< its memory, by the system's number of the NUMA node; 0 where nothing is known */
    uint32_t speed_class; /**< 0 for the slowest kind of core; the same for all where no difference is known */
    struct kn_topology_cache caches[KN_CACHE_LEVELS]; /**< of level 1, 2 and 3 */
};

/**
 * What this program may use.
 *
 * units[i] is descriptions[i].number; for i below core_count it is the first unit of core i. Neighbours in the list are
 * neighbours in the machine.
 */
struct kn_topology {
    uint32_t *units;   /**< by the system's numbers: one of each core first, then their siblings */
    size_t unit_count; /**< processing units that may be used, at least 1 */
    size_t core_count; /**< physical cores among them: the first so many units are on different cores */
    struct kn_topology_unit *descriptions; /**< of units, in the same order */
    size_t package_count;                  /**< packages among them */
    size_t node_count;                     /**< NUMA nodes among them */
    size_t speed_class_count;              /**< kinds of cores among them, by speed: 1 on most machines */
    size_t machine_unit_count;             /**< units of the whole machine, whether or not they may be used */
    uint32_t
        cpu_limit_thousandths; /**< processor time a container may take: 1500 is one and a half units; 0: no limit */
    size_t useful_units;       /**< busy threads that make sense: the units, or the limit rounded up */
    uint32_t *positions;       /**< private: where in the lists a number stands */
    size_t position_count;     /**< private */
};

/** How far a message goes from one unit to another, nearest first. */
enum kn_distance {
    KN_DISTANCE_SAME,    /**< the unit itself */
    KN_DISTANCE_SIBLING, /**< another hardware thread of the same core */
    KN_DISTANCE_L2,      /**< a core that shares the second-level cache */
    KN_DISTANCE_L3,      /**< a core that shares the third-level cache */
    KN_DISTANCE_NODE,    /**< a core of the same package and NUMA node */
    KN_DISTANCE_PACKAGE, /**< a core of the same package */
    KN_DISTANCE_FAR,     /**< a core of another package */
};

/**
 * Discovers the processing units that the calling thread may run on. The caller owns the topology and closes it.
 * @return 0, -ENOMEM, or what sched_getaffinity reports.
 */
KN_CHECK_RESULT int kn_topology_open(struct kn_topology *topology);

/**
 * Describes a machine that need not exist, in hwloc's language: "package:2 l3:2 core:4 pu:2". All its units may be
 * used, without a limit; pinning to them is for the real machine alone.
 * @return 0; -EINVAL when hwloc cannot read it; -ERANGE above 4096 units; -ENOMEM; -ENOTSUP without hwloc.
 */
KN_CHECK_RESULT int kn_topology_open_synthetic(struct kn_topology *topology, const char *description);

/**
 * Describes the machine that `lstopo FILE.xml` saved; otherwise as kn_topology_open_synthetic.
 * @return also what open(2) says of the file.
 */
KN_CHECK_RESULT int kn_topology_open_file(struct kn_topology *topology, const char *path);

/** Frees it. Harmless on a zeroed or closed one. */
void kn_topology_close(struct kn_topology *topology);

/** The description of a unit by the system's number, or NULL if it may not be used. Constant time. */
const struct kn_topology_unit *kn_topology_find(const struct kn_topology *topology, uint32_t unit);

/**
 * How far two units are from each other, by the system's numbers; KN_DISTANCE_FAR if one may not be used.
 * Symmetric, and constant time.
 */
enum kn_distance kn_topology_distance(const struct kn_topology *topology, uint32_t unit_a, uint32_t unit_b);

/** A distance in words, as "shared L3". "unknown" for what is none. */
const char *kn_distance_name(enum kn_distance distance);

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
