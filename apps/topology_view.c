#include "topology_view.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

const enum kn_role topology_roles[TOPOLOGY_ROLES] = {KN_ROLE_CONTROL, KN_ROLE_IO, KN_ROLE_TIMER, KN_ROLE_TASK};

typedef const struct kn_topology_unit *unit_pointer;

/* What tells one group of a level from its neighbours. */
static uint32_t key_of(const struct kn_topology_unit *unit, enum topology_level level)
{
    switch (level) {
    case TOPOLOGY_PACKAGE:
        return unit->package;
    case TOPOLOGY_NODE:
        return unit->node;
    case TOPOLOGY_L3:
        return unit->caches[2].group;
    case TOPOLOGY_L2:
        return unit->caches[1].group;
    case TOPOLOGY_CORE:
        return unit->core;
    default:
        return unit->sibling;
    }
}

static int compare_units(const void *left, const void *right)
{
    const struct kn_topology_unit *a = *(const unit_pointer *)left;
    const struct kn_topology_unit *b = *(const unit_pointer *)right;
    for (enum topology_level level = 0; level < TOPOLOGY_LEVELS; level++) {
        uint32_t key_a = key_of(a, level);
        uint32_t key_b = key_of(b, level);
        if (key_a != key_b)
            return key_a < key_b ? -1 : 1;
    }
    return 0;
}

/* Whether some cache of the second level has several cores behind it. */
static bool is_l2_shared(const struct topology_view *view)
{
    size_t count = view->topology->unit_count;
    for (size_t i = 1; i < count; i++) {
        const struct kn_topology_unit *unit = view->units[i];
        const struct kn_topology_unit *before = view->units[i - 1];
        if (unit->caches[1].group != KN_TOPOLOGY_UNKNOWN && unit->caches[1].group == before->caches[1].group &&
            unit->core != before->core)
            return true;
    }
    return false;
}

static bool has_l3(const struct topology_view *view)
{
    for (size_t i = 0; i < view->topology->unit_count; i++)
        if (view->units[i]->caches[2].group != KN_TOPOLOGY_UNKNOWN)
            return true;
    return false;
}

int topology_view_open(struct topology_view *view)
{
    size_t count = view->topology->unit_count;
    view->units = malloc(count * sizeof(unit_pointer));
    if (!view->units)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        view->units[i] = &view->topology->descriptions[i];
    qsort(view->units, count, sizeof(unit_pointer), compare_units);
    for (enum topology_level level = 0; level < TOPOLOGY_LEVELS; level++)
        view->is_shown[level] = true;
    view->is_shown[TOPOLOGY_NODE] = view->topology->node_count > 1;
    view->is_shown[TOPOLOGY_L3] = has_l3(view);
    view->is_shown[TOPOLOGY_L2] = is_l2_shared(view);
    return 0;
}

void topology_view_close(struct topology_view *view)
{
    free(view->units);
    view->units = NULL;
}

size_t topology_view_run(const struct topology_view *view, enum topology_level level, size_t first, size_t end)
{
    size_t count = 1;
    while (first + count < end && key_of(view->units[first + count], level) == key_of(view->units[first], level))
        count++;
    return count;
}

/* Bytes as people say them: "32 MiB", "1.25 MiB", "48 KiB". */
static void format_size(uint64_t bytes, char *text, size_t text_bytes)
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    size_t unit = 0;
    for (; value >= 1024 && unit < sizeof(units) / sizeof(units[0]) - 1; unit++)
        value /= 1024;
    (void)snprintf(text, text_bytes, "%.4g %s", value, units[unit]);
}

static void format_cache(const struct kn_topology_cache *cache, unsigned level, char label[TOPOLOGY_LABEL_BYTES])
{
    char size[24];
    format_size(cache->size_bytes, size, sizeof(size));
    if (cache->group == KN_TOPOLOGY_UNKNOWN)
        (void)snprintf(label, TOPOLOGY_LABEL_BYTES, "No L%u", level);
    else if (cache->size_bytes == 0)
        (void)snprintf(label, TOPOLOGY_LABEL_BYTES, "L%u %" PRIu32, level, cache->group);
    else
        (void)snprintf(label, TOPOLOGY_LABEL_BYTES, "L%u %" PRIu32 " (%s)", level, cache->group, size);
}

void topology_view_label(const struct kn_topology_unit *unit, enum topology_level level,
                         char label[TOPOLOGY_LABEL_BYTES])
{
    static const char *const names[] = {
        [TOPOLOGY_PACKAGE] = "Package",
        [TOPOLOGY_NODE] = "NUMA node",
        [TOPOLOGY_CORE] = "Core",
    };
    if (level == TOPOLOGY_L3)
        format_cache(&unit->caches[2], 3, label);
    else if (level == TOPOLOGY_L2)
        format_cache(&unit->caches[1], 2, label);
    else if (level == TOPOLOGY_UNIT)
        (void)snprintf(label, TOPOLOGY_LABEL_BYTES, "Unit %" PRIu32, unit->number);
    else
        (void)snprintf(label, TOPOLOGY_LABEL_BYTES, "%s %" PRIu32, names[level], key_of(unit, level));
}

void topology_view_own_caches(const struct topology_view *view, const struct kn_topology_unit *unit,
                              char text[TOPOLOGY_LABEL_BYTES])
{
    const unsigned highest = view->is_shown[TOPOLOGY_L2] ? 1 : 2;
    size_t length = 0;
    text[0] = '\0';
    for (unsigned level = highest; level > 0; level--) {
        const struct kn_topology_cache *cache = &unit->caches[level - 1];
        char size[24];
        if (cache->group == KN_TOPOLOGY_UNKNOWN || cache->size_bytes == 0)
            continue;
        format_size(cache->size_bytes, size, sizeof(size));
        length += (size_t)snprintf(text + length, TOPOLOGY_LABEL_BYTES - length, "%sL%u %s", length > 0 ? ", " : "",
                                   level, size);
    }
}

static const char *plural(size_t count)
{
    return count == 1 ? "" : "s";
}

void topology_view_summary(const struct topology_view *view, char *text, size_t text_bytes)
{
    const struct kn_topology *topology = view->topology;
    (void)snprintf(text, text_bytes, "%zu unit%s on %zu core%s, %zu package%s, %zu NUMA node%s", topology->unit_count,
                   plural(topology->unit_count), topology->core_count, plural(topology->core_count),
                   topology->package_count, plural(topology->package_count), topology->node_count,
                   plural(topology->node_count));
}

void topology_view_limits(const struct topology_view *view, char *text, size_t text_bytes)
{
    const struct kn_topology *topology = view->topology;
    uint32_t limit = topology->cpu_limit_thousandths;
    char quota[48];
    if (limit == 0)
        (void)snprintf(quota, sizeof(quota), "no quota");
    else
        (void)snprintf(quota, sizeof(quota), "a quota of %.6g CPU%s", limit / 1000.0, limit == 1000 ? "" : "s");
    (void)snprintf(text, text_bytes, "%zu of %zu units open, %s: %zu useful", topology->unit_count,
                   topology->machine_unit_count, quota, topology->useful_units);
}

size_t topology_view_letter(const char *text)
{
    const unsigned char *byte = (const unsigned char *)text;
    if (byte[0] < 0x80)
        return byte[0] >= ' ' && byte[0] < 0x7f;
    size_t length = 2 + (byte[0] >= 0xe0) + (byte[0] >= 0xf0);
    uint32_t letter = byte[0] & (0x7fU >> length);
    if (byte[0] < 0xc2 || byte[0] > 0xf4)
        return 0;
    for (size_t i = 1; i < length; i++) {
        if ((byte[i] & 0xc0) != 0x80)
            return 0;
        letter = letter << 6 | (byte[i] & 0x3f);
    }
    /* Not the long way of writing a short one, no half of a pair, and nothing that XML forbids. */
    bool is_long = (length == 3 && letter < 0x800) || (length == 4 && letter < 0x10000);
    bool is_no_letter = letter < 0xa0 || (letter >= 0xd800 && letter < 0xe000) || (letter & 0xfffe) == 0xfffe;
    return is_long || is_no_letter || letter > 0x10ffff ? 0 : length;
}
