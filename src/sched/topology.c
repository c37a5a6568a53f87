#include <kernel/topology.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#ifdef KN_HWLOC
#include <hwloc.h>
#endif

enum { UNIT_MAX = 4095 };

/* Each unit stands for a core: where hwloc knows of none (some virtual machines and emulators), or is not linked. */
static void list_allowed(const cpu_set_t *allowed, struct kn_topology *topology)
{
    size_t count = 0;
    for (uint32_t unit = 0; unit < CPU_SETSIZE; unit++)
        if (CPU_ISSET(unit, allowed))
            topology->units[count++] = unit;
    topology->unit_count = count;
    topology->core_count = count;
}

#ifdef KN_HWLOC
/* Lists the units that stand at place `sibling` of their core. Returns how many. */
static size_t list_siblings(hwloc_topology_t hardware, const cpu_set_t *allowed, unsigned sibling, uint32_t *units)
{
    size_t count = 0;
    hwloc_obj_t core = NULL;
    while ((core = hwloc_get_next_obj_by_type(hardware, HWLOC_OBJ_CORE, core)) != NULL) {
        unsigned place = 0;
        int unit;
        hwloc_bitmap_foreach_begin(unit, core->cpuset)
        {
            if (unit < CPU_SETSIZE && CPU_ISSET(unit, allowed) && place++ == sibling)
                units[count++] = (uint32_t)unit;
        }
        hwloc_bitmap_foreach_end();
    }
    return count;
}

static int list_by_core(const cpu_set_t *allowed, struct kn_topology *topology)
{
    hwloc_topology_t hardware;
    if (hwloc_topology_init(&hardware) < 0)
        return -ENOMEM;
    if (hwloc_topology_load(hardware) < 0) {
        hwloc_topology_destroy(hardware);
        return -EIO;
    }
    size_t total = (size_t)CPU_COUNT(allowed);
    topology->core_count = list_siblings(hardware, allowed, 0, topology->units);
    topology->unit_count = topology->core_count;
    size_t added = topology->core_count;
    for (unsigned sibling = 1; added > 0 && topology->unit_count < total; sibling++) {
        added = list_siblings(hardware, allowed, sibling, topology->units + topology->unit_count);
        topology->unit_count += added;
    }
    if (topology->unit_count < total)
        list_allowed(allowed, topology);
    hwloc_topology_destroy(hardware);
    return 0;
}
#else
static int list_by_core(const cpu_set_t *allowed, struct kn_topology *topology)
{
    list_allowed(allowed, topology);
    return 0;
}
#endif

int kn_topology_open(struct kn_topology *topology)
{
    *topology = (struct kn_topology){0};
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof(allowed), &allowed) < 0)
        return -errno;
    topology->units = calloc((size_t)CPU_COUNT(&allowed), sizeof(topology->units[0]));
    if (!topology->units)
        return -ENOMEM;
    int result = list_by_core(&allowed, topology);
    if (result < 0)
        kn_topology_close(topology);
    return result;
}

void kn_topology_close(struct kn_topology *topology)
{
    free(topology->units);
    *topology = (struct kn_topology){0};
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
        if (value > UNIT_MAX)
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
