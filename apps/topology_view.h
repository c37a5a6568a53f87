/*
 * A machine and its placement as kernel-topology shows them: as text, JSON or a picture.
 *
 * The three ways share one view: the units sorted so that what is nested in the machine is a run of neighbours.
 */
#ifndef APPS_TOPOLOGY_VIEW_H
#define APPS_TOPOLOGY_VIEW_H

#include <stdio.h>

#include <kernel/placement.h>

/* What nests in what, outermost first. */
enum topology_level {
    TOPOLOGY_PACKAGE,
    TOPOLOGY_NODE,
    TOPOLOGY_L3,
    TOPOLOGY_L2,
    TOPOLOGY_CORE,
    TOPOLOGY_UNIT,
    TOPOLOGY_LEVELS,
};

/* Roles in the order in which they are shown. */
enum { TOPOLOGY_ROLES = 4, TOPOLOGY_LABEL_BYTES = 64 };
extern const enum kn_role topology_roles[TOPOLOGY_ROLES];

struct topology_view {
    const struct kn_topology *topology;
    const struct kn_placement *placement;
    const char *title;            /* what machine this is */
    const char *placement_source; /* where the placement comes from */
    const struct kn_topology_unit **units;
    bool is_shown[TOPOLOGY_LEVELS]; /* levels that say something */
};

/* Sorts the units, and decides what to show. Answers 0 or -ENOMEM. The rest of the fields is the caller's. */
int topology_view_open(struct topology_view *view);
void topology_view_close(struct topology_view *view);

/* How many units from `first` on, and before `end`, are in the same group of this level. */
size_t topology_view_run(const struct topology_view *view, enum topology_level level, size_t first, size_t end);

/* What the group of a unit is called, as "L3 0 (32 MiB)". */
void topology_view_label(const struct kn_topology_unit *unit, enum topology_level level,
                         char label[TOPOLOGY_LABEL_BYTES]);

/* The caches behind a unit that are not shown as a level of their own, as "L2 1 MiB, L1 32 KiB". May be empty. */
void topology_view_own_caches(const struct topology_view *view, const struct kn_topology_unit *unit,
                              char text[TOPOLOGY_LABEL_BYTES]);

/* The counts in words, as "32 units on 16 cores, 2 packages, 2 NUMA nodes". */
void topology_view_summary(const struct topology_view *view, char *text, size_t text_bytes);

/* The limits in words, as "16 of 32 units, 2.5 CPUs of time". */
void topology_view_limits(const struct topology_view *view, char *text, size_t text_bytes);

/* Bytes of the letter that a text in UTF-8 begins with; 0 for control characters and for what is no letter. */
size_t topology_view_letter(const char *text);

/* Write all of it; whether the file took it, ferror tells. The picture answers 0 or -ENOMEM. */
void topology_print_text(const struct topology_view *view, FILE *file);
void topology_print_json(const struct topology_view *view, FILE *file);
int topology_print_svg(const struct topology_view *view, FILE *file);

/* Writes a line for each role, as a placement file has it, each after `indent`. */
void topology_print_placement(const struct kn_placement *placement, const char *indent, FILE *file);

#endif
