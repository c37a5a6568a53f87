/*
 * What the parts of the topology share: the lists are built in topology.c, from what topology_hardware.c finds; quotas
 * are read in topology_limit.c.
 */
#ifndef SCHED_TOPOLOGY_INTERNAL_H
#define SCHED_TOPOLOGY_INTERNAL_H

#include <kernel/topology.h>

enum { KN_TOPOLOGY_UNIT_MAX = 4095 };

/* A set of processing units, by the system's numbers. */
struct kn_unit_set {
    uint64_t words[(KN_TOPOLOGY_UNIT_MAX + 1) / 64];
};

KN_INLINE void kn_unit_set_add(struct kn_unit_set *set, uint32_t unit)
{
    set->words[unit / 64] |= UINT64_C(1) << unit % 64;
}

KN_INLINE bool kn_unit_set_has(const struct kn_unit_set *set, uint32_t unit)
{
    return unit <= KN_TOPOLOGY_UNIT_MAX && (set->words[unit / 64] >> unit % 64 & 1) != 0;
}

/*
 * Fills a topology from units in the order in which they stand in the machine. Units of one core stand together and
 * have the same `core`, whatever its number: that and `sibling` are counted here.
 * Answers 0, -EINVAL for none, -ERANGE for a number above KN_TOPOLOGY_UNIT_MAX, or -ENOMEM.
 */
KN_CHECK_RESULT int kn_topology_fill(struct kn_topology *topology, const struct kn_topology_unit *found, size_t count);

/* Sets the limit and what follows from it. */
void kn_topology_set_limit(struct kn_topology *topology, uint32_t cpu_limit_thousandths);

/* Fills a topology with those units of this machine that are in the set: `count` of them, at least 1. */
KN_CHECK_RESULT int kn_topology_discover(struct kn_topology *topology, const struct kn_unit_set *allowed, size_t count);

/*
 * The least quota of this process's control groups in thousandths of a processor; 0 where there is none, or where it
 * cannot be read. `root` stands before every path: "" for this system, or a directory with proc and sys in it.
 */
uint32_t kn_topology_read_limit(const char *root);

#endif
