/* The machine as hwloc sees it; without hwloc, as a plain list of units. */
#include "sched/topology_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#ifdef KN_HWLOC
#include <hwloc.h>
#endif

static struct kn_topology_unit plain_unit(uint32_t number)
{
    return (struct kn_topology_unit){
        .number = number,
        .core = number,
        .caches = {{KN_TOPOLOGY_UNKNOWN, 0}, {KN_TOPOLOGY_UNKNOWN, 0}, {KN_TOPOLOGY_UNKNOWN, 0}},
    };
}

/* Each unit stands for a core: where hwloc knows of none, or is not linked. */
static int discover_plainly(struct kn_topology *topology, const struct kn_unit_set *allowed, size_t count)
{
    struct kn_topology_unit *found = calloc(count, sizeof(found[0]));
    if (!found)
        return -ENOMEM;
    size_t used = 0;
    for (uint32_t unit = 0; unit <= KN_TOPOLOGY_UNIT_MAX && used < count; unit++)
        if (kn_unit_set_has(allowed, unit))
            found[used++] = plain_unit(unit);
    int result = kn_topology_fill(topology, found, used);
    free(found);
    return result;
}

#ifdef KN_HWLOC
static struct kn_topology_cache find_cache(hwloc_topology_t hardware, hwloc_obj_t unit, hwloc_obj_type_t type)
{
    hwloc_obj_t cache = hwloc_get_ancestor_obj_by_type(hardware, type, unit);
    if (!cache)
        return (struct kn_topology_cache){.group = KN_TOPOLOGY_UNKNOWN};
    return (struct kn_topology_cache){.group = cache->logical_index, .size_bytes = cache->attr->cache.size};
}

/* hwloc ranks kinds from the slowest; an efficiency of -1 says that it could not tell. */
static uint32_t find_speed_class(hwloc_topology_t hardware, hwloc_obj_t unit)
{
#if HWLOC_API_VERSION >= 0x00020400
    int kind = hwloc_cpukinds_get_by_cpuset(hardware, unit->cpuset, 0);
    int efficiency = -1;
    if (kind > 0 && hwloc_cpukinds_get_info(hardware, (unsigned)kind, NULL, &efficiency, NULL, NULL, 0) == 0 &&
        efficiency >= 0)
        return (uint32_t)kind;
#else
    (void)hardware;
    (void)unit;
#endif
    return 0;
}

static struct kn_topology_unit describe(hwloc_topology_t hardware, hwloc_obj_t unit)
{
    hwloc_obj_t core = hwloc_get_ancestor_obj_by_type(hardware, HWLOC_OBJ_CORE, unit);
    hwloc_obj_t package = hwloc_get_ancestor_obj_by_type(hardware, HWLOC_OBJ_PACKAGE, unit);
    int node = unit->nodeset ? hwloc_bitmap_first(unit->nodeset) : -1;
    return (struct kn_topology_unit){
        .number = unit->os_index,
        /* A unit without a core is one: numbered so that it cannot be taken for a neighbour. */
        .core = core ? core->logical_index : KN_TOPOLOGY_UNKNOWN - unit->logical_index,
        .package = package ? package->logical_index : 0,
        .node = node > 0 ? (uint32_t)node : 0,
        .speed_class = find_speed_class(hardware, unit),
        .caches = {find_cache(hardware, unit, HWLOC_OBJ_L1CACHE), find_cache(hardware, unit, HWLOC_OBJ_L2CACHE),
                   find_cache(hardware, unit, HWLOC_OBJ_L3CACHE)},
    };
}

/* Fills a topology with the units of a loaded machine that are in the set, or with all of them if there is none. */
static int fill_from(struct kn_topology *topology, hwloc_topology_t hardware, const struct kn_unit_set *allowed)
{
    int total = hwloc_get_nbobjs_by_type(hardware, HWLOC_OBJ_PU);
    if (total <= 0)
        return -EINVAL;
    struct kn_topology_unit *found = calloc((size_t)total, sizeof(found[0]));
    if (!found)
        return -ENOMEM;
    size_t count = 0;
    hwloc_obj_t unit = NULL;
    while ((unit = hwloc_get_next_obj_by_type(hardware, HWLOC_OBJ_PU, unit)) != NULL)
        if (!allowed || kn_unit_set_has(allowed, unit->os_index))
            found[count++] = describe(hardware, unit);
    int result = kn_topology_fill(topology, found, count);
    free(found);
    return result;
}

int kn_topology_discover(struct kn_topology *topology, const struct kn_unit_set *allowed, size_t count)
{
    hwloc_topology_t hardware;
    if (hwloc_topology_init(&hardware) < 0)
        return -ENOMEM;
    int result = hwloc_topology_load(hardware) < 0 ? -EIO : fill_from(topology, hardware, allowed);
    hwloc_topology_destroy(hardware);
    if (result == -ENOMEM || (result == 0 && topology->unit_count == count))
        return result;
    /* It knows nothing, or not all that may be used. */
    if (result == 0)
        kn_topology_close(topology);
    return discover_plainly(topology, allowed, count);
}

/* Loads another machine: `select` tells hwloc which. */
static int open_other(struct kn_topology *topology, int (*select)(hwloc_topology_t, const char *), const char *text)
{
    *topology = (struct kn_topology){0};
    hwloc_topology_t hardware;
    if (hwloc_topology_init(&hardware) < 0)
        return -ENOMEM;
    int result = -EINVAL;
    if (select(hardware, text) == 0 && hwloc_topology_load(hardware) == 0)
        result = fill_from(topology, hardware, NULL);
    hwloc_topology_destroy(hardware);
    return result;
}

int kn_topology_open_synthetic(struct kn_topology *topology, const char *description)
{
    return open_other(topology, hwloc_topology_set_synthetic, description);
}

int kn_topology_open_file(struct kn_topology *topology, const char *path)
{
    *topology = (struct kn_topology){0};
    int file = open(path, O_RDONLY | O_CLOEXEC); /* hwloc does not say why it cannot */
    if (file < 0)
        return -errno;
    close(file);
    return open_other(topology, hwloc_topology_set_xml, path);
}
#else
int kn_topology_discover(struct kn_topology *topology, const struct kn_unit_set *allowed, size_t count)
{
    return discover_plainly(topology, allowed, count);
}

int kn_topology_open_synthetic(struct kn_topology *topology, const char *description)
{
    (void)description;
    *topology = (struct kn_topology){0};
    return -ENOTSUP;
}

int kn_topology_open_file(struct kn_topology *topology, const char *path)
{
    (void)path;
    *topology = (struct kn_topology){0};
    return -ENOTSUP;
}
#endif
