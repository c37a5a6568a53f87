#include "sched/topology_internal.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int allocate(struct kn_topology *topology, size_t unit_count, size_t position_count)
{
    *topology = (struct kn_topology){
        .units = calloc(unit_count, sizeof(topology->units[0])),
        .unit_count = unit_count,
        .descriptions = calloc(unit_count, sizeof(topology->descriptions[0])),
        .machine_unit_count = unit_count,
        .positions = malloc(position_count * sizeof(topology->positions[0])),
        .position_count = position_count,
    };
    if (!topology->units || !topology->descriptions || !topology->positions) {
        kn_topology_close(topology);
        return -ENOMEM;
    }
    for (size_t i = 0; i < position_count; i++)
        topology->positions[i] = KN_TOPOLOGY_UNKNOWN;
    return 0;
}

/* Appends the units that stand at place `sibling` of their core, core by core. Returns the new count. */
static size_t append_siblings(struct kn_topology *topology, const struct kn_topology_unit *found, uint32_t sibling,
                              size_t filled)
{
    uint32_t core = 0;
    uint32_t place = 0;
    for (size_t i = 0; i < topology->unit_count; i++) {
        bool is_same_core = i > 0 && found[i].core == found[i - 1].core;
        core += i > 0 && !is_same_core;
        place = is_same_core ? place + 1 : 0;
        if (place != sibling)
            continue;
        struct kn_topology_unit *unit = &topology->descriptions[filled];
        *unit = found[i];
        unit->core = core;
        unit->sibling = sibling;
        topology->units[filled] = unit->number;
        topology->positions[unit->number] = (uint32_t)filled++;
    }
    return filled;
}

static void count_groups(struct kn_topology *topology)
{
    const struct kn_topology_unit *units = topology->descriptions;
    for (size_t i = 0; i < topology->unit_count; i++) {
        bool is_new_package = true;
        bool is_new_node = true;
        bool is_new_class = true;
        for (size_t j = i; j-- > 0 && (is_new_package || is_new_node || is_new_class);) {
            is_new_package = is_new_package && units[j].package != units[i].package;
            is_new_node = is_new_node && units[j].node != units[i].node;
            is_new_class = is_new_class && units[j].speed_class != units[i].speed_class;
        }
        topology->package_count += is_new_package;
        topology->node_count += is_new_node;
        topology->speed_class_count += is_new_class;
    }
}

int kn_topology_fill(struct kn_topology *topology, const struct kn_topology_unit *found, size_t count)
{
    uint32_t highest = 0;
    for (size_t i = 0; i < count; i++)
        highest = found[i].number > highest ? found[i].number : highest;
    if (count == 0)
        return -EINVAL;
    if (highest > KN_TOPOLOGY_UNIT_MAX)
        return -ERANGE;
    int result = allocate(topology, count, (size_t)highest + 1);
    if (result < 0)
        return result;
    topology->core_count = append_siblings(topology, found, 0, 0);
    size_t filled = topology->core_count;
    for (uint32_t sibling = 1; filled < count; sibling++)
        filled = append_siblings(topology, found, sibling, filled);
    count_groups(topology);
    kn_topology_set_limit(topology, 0);
    return 0;
}

void kn_topology_set_limit(struct kn_topology *topology, uint32_t cpu_limit_thousandths)
{
    topology->cpu_limit_thousandths = cpu_limit_thousandths;
    topology->useful_units = topology->unit_count;
    size_t affordable = ((size_t)cpu_limit_thousandths + 999) / 1000;
    if (affordable > 0 && affordable < topology->useful_units)
        topology->useful_units = affordable;
}

int kn_topology_open(struct kn_topology *topology)
{
    *topology = (struct kn_topology){0};
    cpu_set_t mask;
    if (sched_getaffinity(0, sizeof(mask), &mask) < 0)
        return -errno;
    struct kn_unit_set allowed = {0};
    for (uint32_t unit = 0; unit < CPU_SETSIZE; unit++)
        if (CPU_ISSET(unit, &mask))
            kn_unit_set_add(&allowed, unit);
    int result = kn_topology_discover(topology, &allowed, (size_t)CPU_COUNT(&mask));
    if (result < 0)
        return result;
    long configured = sysconf(_SC_NPROCESSORS_CONF);
    topology->machine_unit_count = topology->position_count;
    if (configured > 0 && (size_t)configured > topology->position_count)
        topology->machine_unit_count = (size_t)configured;
    kn_topology_set_limit(topology, kn_topology_read_limit(""));
    return 0;
}

void kn_topology_close(struct kn_topology *topology)
{
    free(topology->units);
    free(topology->descriptions);
    free(topology->positions);
    *topology = (struct kn_topology){0};
}

const struct kn_topology_unit *kn_topology_find(const struct kn_topology *topology, uint32_t unit)
{
    if (unit >= topology->position_count || topology->positions[unit] == KN_TOPOLOGY_UNKNOWN)
        return NULL;
    return &topology->descriptions[topology->positions[unit]];
}

static bool share_cache(const struct kn_topology_unit *a, const struct kn_topology_unit *b, unsigned level)
{
    uint32_t group = a->caches[level - 1].group;
    return group != KN_TOPOLOGY_UNKNOWN && group == b->caches[level - 1].group;
}

enum kn_distance kn_topology_distance(const struct kn_topology *topology, uint32_t unit_a, uint32_t unit_b)
{
    const struct kn_topology_unit *a = kn_topology_find(topology, unit_a);
    const struct kn_topology_unit *b = kn_topology_find(topology, unit_b);
    if (!a || !b)
        return KN_DISTANCE_FAR;
    if (a == b)
        return KN_DISTANCE_SAME;
    if (a->core == b->core)
        return KN_DISTANCE_SIBLING;
    if (share_cache(a, b, 2))
        return KN_DISTANCE_L2;
    if (share_cache(a, b, 3))
        return KN_DISTANCE_L3;
    if (a->package != b->package)
        return KN_DISTANCE_FAR;
    return a->node == b->node ? KN_DISTANCE_NODE : KN_DISTANCE_PACKAGE;
}

const char *kn_distance_name(enum kn_distance distance)
{
    static const char *const names[] = {
        [KN_DISTANCE_SAME] = "same unit",      [KN_DISTANCE_SIBLING] = "same core",
        [KN_DISTANCE_L2] = "shared L2",        [KN_DISTANCE_L3] = "shared L3",
        [KN_DISTANCE_NODE] = "same NUMA node", [KN_DISTANCE_PACKAGE] = "same package",
        [KN_DISTANCE_FAR] = "another package",
    };
    return (size_t)distance < sizeof(names) / sizeof(names[0]) ? names[distance] : "unknown";
}

int kn_topology_pin(uint32_t unit)
{
    if (unit >= CPU_SETSIZE)
        return -EINVAL;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(unit, &set);
    return -pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

/* Reads a decimal number and moves the text behind it. */
static int parse_unit(const char **text, uint32_t *unit)
{
    uint32_t value = 0;
    const char *digit = *text;
    for (; *digit >= '0' && *digit <= '9'; digit++) {
        value = value * 10 + (uint32_t)(*digit - '0');
        if (value > KN_TOPOLOGY_UNIT_MAX)
            return -ERANGE;
    }
    if (digit == *text)
        return -EINVAL;
    *text = digit;
    *unit = value;
    return 0;
}

static int append_range(uint32_t first, uint32_t last, uint32_t *units, size_t capacity, size_t *count)
{
    if (last < first)
        return -EINVAL;
    for (uint32_t unit = first; unit <= last; unit++) {
        for (size_t i = 0; i < *count; i++)
            if (units[i] == unit)
                return -EINVAL;
        if (*count == capacity)
            return -ERANGE;
        units[(*count)++] = unit;
    }
    return 0;
}

int kn_topology_parse_units(const char *text, uint32_t *units, size_t capacity, size_t *count)
{
    *count = 0;
    for (;;) {
        uint32_t first = 0;
        int result = parse_unit(&text, &first);
        uint32_t last = first;
        if (result == 0 && *text == '-') {
            text++;
            result = parse_unit(&text, &last);
        }
        if (result == 0)
            result = append_range(first, last, units, capacity, count);
        if (result < 0)
            return result;
        if (*text == '\0')
            return 0;
        if (*text++ != ',')
            return -EINVAL;
    }
}
