/* The machine for people (text) and for programs (JSON). */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <kernel/version.h>

#include "topology_view.h"

enum {
    PLACEMENT_TEXT_BYTES = 65536, /* 4096 units under four keys are less */
    MATRIX_UNITS_MAX = 64,        /* wider is not readable */
    LINE_BYTES = 256,
};

void topology_print_placement(const struct kn_placement *placement, const char *indent, FILE *file)
{
    static char text[PLACEMENT_TEXT_BYTES];
    if (kn_placement_format(placement, text, sizeof(text)) < 0)
        return;
    char *state;
    for (char *line = strtok_r(text, "\n", &state); line; line = strtok_r(NULL, "\n", &state))
        fprintf(file, "%s%s\n", indent, line);
}

static void print_indent(FILE *file, unsigned depth)
{
    fprintf(file, "%*s", (int)depth * 2, "");
}

static void print_core(const struct topology_view *view, const struct kn_topology_unit *unit, FILE *file)
{
    char caches[TOPOLOGY_LABEL_BYTES];
    topology_view_own_caches(view, unit, caches);
    bool has_class = view->topology->speed_class_count > 1;
    if (has_class || caches[0] != '\0')
        fputs(" (", file);
    if (has_class)
        fprintf(file, "speed class %" PRIu32 "%s", unit->speed_class, caches[0] != '\0' ? ", " : "");
    fputs(caches, file);
    if (has_class || caches[0] != '\0')
        fputc(')', file);
}

static void print_roles(const struct topology_view *view, uint32_t unit, FILE *file)
{
    uint32_t roles = kn_placement_roles(view->placement, unit);
    for (size_t i = 0; i < TOPOLOGY_ROLES; i++)
        if ((roles & topology_roles[i]) != 0)
            fprintf(file, " %s", kn_role_name(topology_roles[i]));
    if (roles == 0)
        fputs(" -", file);
}

/* Prints the units from `first` to `end`, which are one group of the level above. */
static void print_tree(const struct topology_view *view, enum topology_level level, size_t first, size_t end,
                       unsigned depth, FILE *file)
{
    if (!view->is_shown[level]) {
        print_tree(view, level + 1, first, end, depth, file);
        return;
    }
    for (size_t count; first < end; first += count) {
        char label[TOPOLOGY_LABEL_BYTES];
        const struct kn_topology_unit *unit = view->units[first];
        count = topology_view_run(view, level, first, end);
        topology_view_label(unit, level, label);
        print_indent(file, depth);
        if (level == TOPOLOGY_UNIT) {
            fprintf(file, "%-10s", label);
            print_roles(view, unit->number, file);
        } else {
            fputs(label, file);
        }
        if (level == TOPOLOGY_CORE)
            print_core(view, unit, file);
        fputc('\n', file);
        if (level < TOPOLOGY_UNIT)
            print_tree(view, level + 1, first, first + count, depth + 1, file);
    }
}

static void print_matrix(const struct topology_view *view, FILE *file)
{
    const struct kn_topology *topology = view->topology;
    fputs("\nDistances:", file);
    for (enum kn_distance distance = KN_DISTANCE_SAME; distance <= KN_DISTANCE_FAR; distance++)
        fprintf(file, " %d %s%s", (int)distance, kn_distance_name(distance), distance < KN_DISTANCE_FAR ? "," : "\n");
    if (topology->unit_count > MATRIX_UNITS_MAX) {
        fprintf(file, "  (too many to print here; --json has them)\n");
        return;
    }
    fputs("      ", file);
    for (size_t column = 0; column < topology->unit_count; column++)
        fprintf(file, " %3" PRIu32, view->units[column]->number);
    for (size_t row = 0; row < topology->unit_count; row++) {
        fprintf(file, "\n  %4" PRIu32, view->units[row]->number);
        for (size_t column = 0; column < topology->unit_count; column++)
            fprintf(file, " %3d",
                    (int)kn_topology_distance(topology, view->units[row]->number, view->units[column]->number));
    }
    fputc('\n', file);
}

void topology_print_text(const struct topology_view *view, FILE *file)
{
    char line[LINE_BYTES];
    topology_view_summary(view, line, sizeof(line));
    fprintf(file, "%s: %s\n", view->title, line);
    topology_view_limits(view, line, sizeof(line));
    fprintf(file, "Limits: %s\n\n", line);
    print_tree(view, TOPOLOGY_PACKAGE, 0, view->topology->unit_count, 0, file);
    print_matrix(view, file);
    fprintf(file, "\nPlacement (%s):\n", view->placement_source);
    topology_print_placement(view->placement, "  ", file);
}

static void print_string(const char *text, FILE *file)
{
    fputc('"', file);
    for (; *text != '\0'; text++) {
        size_t length = topology_view_letter(text);
        if (*text == '"' || *text == '\\')
            fprintf(file, "\\%c", *text);
        else if (length == 0)
            fprintf(file, "\\u%04x", (unsigned char)*text);
        else
            fwrite(text, 1, length, file);
        text += length > 1 ? length - 1 : 0;
    }
    fputc('"', file);
}

static void print_json_unit(const struct topology_view *view, const struct kn_topology_unit *unit, FILE *file)
{
    fprintf(file,
            "    {\"number\": %" PRIu32 ", \"core\": %" PRIu32 ", \"sibling\": %" PRIu32 ", \"package\": %" PRIu32
            ", \"node\": %" PRIu32 ", \"speed_class\": %" PRIu32,
            unit->number, unit->core, unit->sibling, unit->package, unit->node, unit->speed_class);
    for (unsigned level = 1; level <= KN_CACHE_LEVELS; level++) {
        const struct kn_topology_cache *cache = &unit->caches[level - 1];
        if (cache->group == KN_TOPOLOGY_UNKNOWN)
            fprintf(file, ", \"l%u\": null", level);
        else
            fprintf(file, ", \"l%u\": {\"group\": %" PRIu32 ", \"size_bytes\": %" PRIu64 "}", level, cache->group,
                    cache->size_bytes);
    }
    fputs(", \"roles\": [", file);
    uint32_t roles = kn_placement_roles(view->placement, unit->number);
    const char *separator = "";
    for (size_t i = 0; i < TOPOLOGY_ROLES; i++) {
        if ((roles & topology_roles[i]) == 0)
            continue;
        fprintf(file, "%s\"%s\"", separator, kn_role_name(topology_roles[i]));
        separator = ", ";
    }
    fputs("]}", file);
}

static void print_json_distances(const struct topology_view *view, FILE *file)
{
    const struct kn_topology *topology = view->topology;
    fputs("  \"distance_names\": [", file);
    for (enum kn_distance distance = KN_DISTANCE_SAME; distance <= KN_DISTANCE_FAR; distance++)
        fprintf(file, "%s\"%s\"", distance > KN_DISTANCE_SAME ? ", " : "", kn_distance_name(distance));
    fputs("],\n  \"distances\": [\n", file);
    for (size_t row = 0; row < topology->unit_count; row++) {
        fputs("    [", file);
        for (size_t column = 0; column < topology->unit_count; column++)
            fprintf(file, "%s%d", column > 0 ? ", " : "",
                    (int)kn_topology_distance(topology, topology->units[row], topology->units[column]));
        fprintf(file, "]%s\n", row + 1 < topology->unit_count ? "," : "");
    }
    fputs("  ],\n", file);
}

static void print_json_placement(const struct kn_placement *placement, FILE *file)
{
    fputs("  \"placement\": {", file);
    for (size_t i = 0; i < TOPOLOGY_ROLES; i++) {
        const char *separator = "";
        fprintf(file, "%s\"%s\": [", i > 0 ? ", " : "", kn_role_name(topology_roles[i]));
        for (size_t core = 0; core < placement->count; core++) {
            if ((placement->cores[core].roles & topology_roles[i]) == 0)
                continue;
            fprintf(file, "%s%" PRIu32, separator, placement->cores[core].unit);
            separator = ", ";
        }
        fputc(']', file);
    }
    fputs("}\n", file);
}

void topology_print_json(const struct topology_view *view, FILE *file)
{
    const struct kn_topology *topology = view->topology;
    fputs("{\n  \"title\": ", file);
    print_string(view->title, file);
    fprintf(file, ",\n  \"version\": \"%s\",\n", KN_VERSION);
    fprintf(file,
            "  \"unit_count\": %zu,\n  \"core_count\": %zu,\n  \"package_count\": %zu,\n  \"node_count\": %zu,\n"
            "  \"speed_class_count\": %zu,\n  \"machine_unit_count\": %zu,\n  \"useful_units\": %zu,\n",
            topology->unit_count, topology->core_count, topology->package_count, topology->node_count,
            topology->speed_class_count, topology->machine_unit_count, topology->useful_units);
    if (topology->cpu_limit_thousandths == 0)
        fputs("  \"cpu_limit\": null,\n", file);
    else
        fprintf(file, "  \"cpu_limit\": %" PRIu32 ".%03" PRIu32 ",\n", topology->cpu_limit_thousandths / 1000,
                topology->cpu_limit_thousandths % 1000);
    fputs("  \"units\": [\n", file);
    for (size_t i = 0; i < topology->unit_count; i++) {
        print_json_unit(view, &topology->descriptions[i], file);
        fputs(i + 1 < topology->unit_count ? ",\n" : "\n", file);
    }
    fputs("  ],\n", file);
    print_json_distances(view, file);
    fputs("  \"placement_source\": ", file);
    print_string(view->placement_source, file);
    fputs(",\n", file);
    print_json_placement(view->placement, file);
    fputs("}\n", file);
}
