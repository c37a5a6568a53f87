/*
 * A picture of the machine: boxes in boxes, as the parts nest, each unit in the colours of its roles.
 *
 * A box is as large as what is in it. Its children stand in rows, so many beside each other that the whole comes
 * nearest to the shape that its level wants.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "topology_view.h"

enum {
    UNIT_WIDTH = 88,
    UNIT_HEIGHT = 54,
    CORE_PADDING = 6,
    PADDING = 10,
    GAP = 8,
    LABEL_HEIGHT = 20,
    MARGIN = 24,
    HEAD_HEIGHT = 92,
    LEGEND_HEIGHT = 44,
    WIDTH_MIN = 620,
    TITLE_LETTER_WIDTH = 13, /* of most letters; less than of a W */
    LINE_BYTES = 256,
};

/* A part of the machine: units `first` and so on of the view. Indices of boxes; 0, the machine, is nobody's child. */
struct box {
    enum topology_level level;
    size_t first;
    size_t count;
    size_t child;
    size_t next;
    size_t children;
    double x, y, width, height;
};

struct picture {
    const struct topology_view *view;
    struct box *boxes;
    size_t box_count;
    FILE *file;
};

struct role_look {
    enum kn_role role;
    const char *fill;
    const char *meaning;
};

static const struct role_look looks[] = {
    {KN_ROLE_CONTROL, "#cdbcf5", "control"},
    {KN_ROLE_IO, "#a5d4f7", "input and output"},
    {KN_ROLE_TIMER, "#fbd58f", "timers"},
    {KN_ROLE_TASK, "#aee3ba", "tasks"},
    {0, "#e5e7eb", "not used"},
};

enum { LOOK_COUNT = sizeof(looks) / sizeof(looks[0]) };

static const struct {
    const char *fill;
    const char *stroke;
} boxes_look[TOPOLOGY_LEVELS] = {
    [TOPOLOGY_PACKAGE] = {"#f1f5f9", "#64748b"}, [TOPOLOGY_NODE] = {"#e6ebf2", "#94a3b8"},
    [TOPOLOGY_L3] = {"#fff7ed", "#e2b98a"},      [TOPOLOGY_L2] = {"#fdeedc", "#e2b98a"},
    [TOPOLOGY_CORE] = {"#ffffff", "#94a3b8"},    [TOPOLOGY_UNIT] = {"none", "#475569"},
};

static enum topology_level next_shown(const struct topology_view *view, enum topology_level level)
{
    while (!view->is_shown[level])
        level++;
    return level;
}

/* Makes the boxes of one group and returns the first of them; they are linked by `next`. */
static size_t add_boxes(struct picture *picture, enum topology_level level, size_t first, size_t end)
{
    size_t head = 0;
    size_t last = 0;
    for (size_t count; first < end; first += count) {
        count = topology_view_run(picture->view, level, first, end);
        size_t index = picture->box_count++;
        picture->boxes[index] = (struct box){.level = level, .first = first, .count = count};
        if (level < TOPOLOGY_UNIT) {
            size_t child = add_boxes(picture, next_shown(picture->view, level + 1), first, first + count);
            picture->boxes[index].child = child;
            for (; child != 0; child = picture->boxes[child].next)
                picture->boxes[index].children++;
        }
        if (head == 0)
            head = index;
        else
            picture->boxes[last].next = index;
        last = index;
    }
    return head;
}

static double padding_of(const struct box *box)
{
    return box->level == TOPOLOGY_CORE ? CORE_PADDING : PADDING;
}

/* Puts the children of a box in rows of so many, and sets its size. */
static void place_children(struct picture *picture, struct box *box, size_t columns)
{
    double padding = padding_of(box);
    double left = padding;
    double top = padding + LABEL_HEIGHT - 4;
    double row_height = 0;
    double width = 0;
    size_t column = 0;
    for (size_t index = box->child; index != 0; index = picture->boxes[index].next) {
        struct box *child = &picture->boxes[index];
        if (column == columns) {
            top += row_height + GAP;
            left = padding;
            row_height = 0;
            column = 0;
        }
        child->x = left;
        child->y = top;
        left += child->width + GAP;
        width = left > width ? left : width;
        row_height = child->height > row_height ? child->height : row_height;
        column++;
    }
    box->width = width - GAP + padding;
    box->height = top + row_height + padding;
}

/* How badly a box in this shape would look: away from its best shape, or with a gap in its last row. */
static double ugliness(const struct box *box, size_t columns)
{
    double wanted = box->level == TOPOLOGY_CORE ? 0.9 : 1.7;
    size_t rest = box->children % columns;
    double gap = rest == 0 ? 0 : (double)(columns - rest) / (double)columns;
    double shape = box->width / box->height / wanted;
    return (shape < 1 ? 1 / shape : shape) + gap;
}

/* Sizes a box from the inside out. */
static void lay_out(struct picture *picture, size_t index)
{
    struct box *box = &picture->boxes[index];
    if (box->level == TOPOLOGY_UNIT) {
        box->width = UNIT_WIDTH;
        box->height = UNIT_HEIGHT;
        return;
    }
    for (size_t child = box->child; child != 0; child = picture->boxes[child].next)
        lay_out(picture, child);
    size_t best = 1;
    double least = 0;
    for (size_t columns = 1; columns <= box->children; columns++) {
        place_children(picture, box, columns);
        double found = ugliness(box, columns);
        if (columns == 1 || found < least) {
            least = found;
            best = columns;
        }
    }
    place_children(picture, box, best);
}

/* Writes text that stands in XML: its signs escaped, and what is no text replaced. */
static void print_escaped(const char *text, FILE *file)
{
    for (; *text != '\0'; text++) {
        size_t length = topology_view_letter(text);
        if (*text == '<')
            fputs("&lt;", file);
        else if (*text == '>')
            fputs("&gt;", file);
        else if (*text == '&')
            fputs("&amp;", file);
        else if (*text == '"')
            fputs("&quot;", file);
        else if (length == 0)
            fputc('?', file);
        else
            fwrite(text, 1, length, file);
        text += length > 1 ? length - 1 : 0;
    }
}

static void print_text(const struct picture *picture, double x, double y, const char *style, const char *text)
{
    fprintf(picture->file, "<text x=\"%g\" y=\"%g\" class=\"%s\">", x, y, style);
    print_escaped(text, picture->file);
    fputs("</text>\n", picture->file);
}

/* What a pointer over a unit shows. */
static void print_tooltip(const struct picture *picture, const struct kn_topology_unit *unit, uint32_t roles)
{
    char label[TOPOLOGY_LABEL_BYTES];
    fprintf(picture->file, "<title>Unit %" PRIu32 ": ", unit->number);
    for (enum topology_level level = TOPOLOGY_CORE; level-- > 0;) {
        topology_view_label(unit, level, label);
        fprintf(picture->file, "%s, ", label);
    }
    topology_view_label(unit, TOPOLOGY_CORE, label);
    fprintf(picture->file, "%s;", label);
    for (size_t i = 0; i < TOPOLOGY_ROLES; i++)
        if ((roles & topology_roles[i]) != 0)
            fprintf(picture->file, " %s", kn_role_name(topology_roles[i]));
    fprintf(picture->file, "%s</title>\n", roles == 0 ? " not used" : "");
}

/* A stripe of the unit for each of its roles. */
static void print_stripes(const struct picture *picture, uint32_t roles)
{
    size_t stripes = 0;
    for (size_t i = 0; i < LOOK_COUNT; i++)
        stripes += looks[i].role == 0 ? roles == 0 : (roles & looks[i].role) != 0;
    double width = (double)UNIT_WIDTH / (double)stripes;
    double left = 0;
    for (size_t i = 0; i < LOOK_COUNT; i++) {
        if (looks[i].role == 0 ? roles != 0 : (roles & looks[i].role) == 0)
            continue;
        fprintf(picture->file, "<rect x=\"%g\" width=\"%g\" height=\"%d\" fill=\"%s\"/>", left, width, UNIT_HEIGHT,
                looks[i].fill);
        left += width;
    }
    fputc('\n', picture->file);
}

/* The names of the roles, two a line. */
static void print_roles(const struct picture *picture, uint32_t roles)
{
    double y = 37;
    size_t length = 0;
    size_t shown = 0;
    char line[32];
    for (size_t i = 0; i < TOPOLOGY_ROLES; i++) {
        if ((roles & topology_roles[i]) == 0)
            continue;
        length += (size_t)snprintf(line + length, sizeof(line) - length, "%s%s", length > 0 ? " " : "",
                                   kn_role_name(topology_roles[i]));
        roles &= ~(uint32_t)topology_roles[i];
        if (++shown % 2 == 0 || roles == 0) {
            print_text(picture, UNIT_WIDTH / 2.0, y, "role", line);
            length = 0;
            y += 11;
        }
    }
}

static void print_unit(const struct picture *picture, const struct box *box, double x, double y)
{
    char number[16];
    const struct kn_topology_unit *unit = picture->view->units[box->first];
    uint32_t roles = kn_placement_roles(picture->view->placement, unit->number);
    fprintf(picture->file, "<g transform=\"translate(%g %g)\" clip-path=\"url(#unit)\">\n", x, y);
    print_tooltip(picture, unit, roles);
    print_stripes(picture, roles);
    (void)snprintf(number, sizeof(number), "%" PRIu32, unit->number);
    print_text(picture, UNIT_WIDTH / 2.0, 22, "number", number);
    print_roles(picture, roles);
    fprintf(picture->file,
            "<rect width=\"%d\" height=\"%d\" rx=\"5\" fill=\"none\" stroke=\"%s\" stroke-width=\"2\"/>\n", UNIT_WIDTH,
            UNIT_HEIGHT, boxes_look[TOPOLOGY_UNIT].stroke);
    fputs("</g>\n", picture->file);
}

static void print_box(const struct picture *picture, size_t index, double x, double y)
{
    const struct box *box = &picture->boxes[index];
    x += box->x;
    y += box->y;
    if (box->level == TOPOLOGY_UNIT) {
        print_unit(picture, box, x, y);
        return;
    }
    char label[TOPOLOGY_LABEL_BYTES];
    const struct kn_topology_unit *unit = picture->view->units[box->first];
    topology_view_label(unit, box->level, label);
    fprintf(picture->file, "<rect x=\"%g\" y=\"%g\" width=\"%g\" height=\"%g\" rx=\"7\" fill=\"%s\" stroke=\"%s\"/>\n",
            x, y, box->width, box->height, boxes_look[box->level].fill, boxes_look[box->level].stroke);
    size_t length = strlen(label);
    if (box->level == TOPOLOGY_CORE && picture->view->topology->speed_class_count > 1 && unit->speed_class == 0)
        (void)snprintf(label + length, sizeof(label) - length, ", slow");
    print_text(picture, x + padding_of(box), y + LABEL_HEIGHT - 5, box->level == TOPOLOGY_CORE ? "core" : "label",
               label);
    for (size_t child = box->child; child != 0; child = picture->boxes[child].next)
        print_box(picture, child, x, y);
}

/* The title, cut where the picture ends; the whole of it is the picture's tooltip. */
static void print_title(const struct picture *picture, double width)
{
    char line[LINE_BYTES];
    const char *title = picture->view->title;
    size_t room = (size_t)((width - 2 * MARGIN) / TITLE_LETTER_WIDTH);
    room = room < sizeof(line) - 4 ? room : sizeof(line) - 4;
    bool is_long = strlen(title) > room;
    while (is_long && room > 0 && ((unsigned char)title[room] & 0xc0) == 0x80)
        room--; /* not in the middle of a letter */
    (void)snprintf(line, sizeof(line), "%.*s%s", (int)room, title, is_long ? "..." : "");
    print_text(picture, MARGIN, 38, "title", line);
}

static void print_head(const struct picture *picture)
{
    char line[LINE_BYTES];
    char caches[TOPOLOGY_LABEL_BYTES];
    topology_view_summary(picture->view, line, sizeof(line));
    topology_view_own_caches(picture->view, picture->view->units[0], caches);
    size_t length = strlen(line);
    if (caches[0] != '\0')
        (void)snprintf(line + length, sizeof(line) - length, "; core %" PRIu32 " has %s", picture->view->units[0]->core,
                       caches);
    print_text(picture, MARGIN, 60, "subtitle", line);
    topology_view_limits(picture->view, line, sizeof(line));
    length = strlen(line);
    (void)snprintf(line + length, sizeof(line) - length, "; placement: %.120s", picture->view->placement_source);
    print_text(picture, MARGIN, 78, "subtitle", line);
}

static void print_legend(const struct picture *picture, double y)
{
    double x = MARGIN;
    for (size_t i = 0; i < LOOK_COUNT; i++) {
        fprintf(picture->file,
                "<rect x=\"%g\" y=\"%g\" width=\"16\" height=\"16\" rx=\"3\" fill=\"%s\" stroke=\"%s\"/>\n", x, y,
                looks[i].fill, boxes_look[TOPOLOGY_UNIT].stroke);
        print_text(picture, x + 23, y + 12.5, "legend", looks[i].meaning);
        x += 23 + 6.7 * (double)strlen(looks[i].meaning) + 24;
    }
}

static void print_picture(const struct picture *picture)
{
    const struct box *machine = &picture->boxes[0];
    double width = machine->width + 2 * (MARGIN - PADDING);
    double left = MARGIN - PADDING;
    if (width < WIDTH_MIN)
        width = WIDTH_MIN;
    double top = HEAD_HEIGHT - LABEL_HEIGHT;
    double height = top + machine->height + LEGEND_HEIGHT;
    fprintf(picture->file,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%g\" height=\"%g\" viewBox=\"0 0 %g %g\" "
            "role=\"img\">\n<title>",
            width, height, width, height);
    print_escaped(picture->view->title, picture->file);
    fprintf(picture->file,
            "</title>\n<style>\n"
            "text { font-family: system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif; fill: #1e293b; }\n"
            ".title { font-size: 20px; font-weight: 600; }\n"
            ".subtitle { font-size: 12px; fill: #475569; }\n"
            ".label { font-size: 12px; font-weight: 600; }\n"
            ".core { font-size: 10.5px; fill: #475569; }\n"
            ".number { font-size: 16px; font-weight: 600; text-anchor: middle; }\n"
            ".role { font-size: 10px; text-anchor: middle; }\n"
            ".legend { font-size: 12px; }\n"
            "</style>\n"
            "<defs><clipPath id=\"unit\"><rect width=\"%d\" height=\"%d\" rx=\"5\"/></clipPath></defs>\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n",
            UNIT_WIDTH, UNIT_HEIGHT);
    print_title(picture, width);
    print_head(picture);
    for (size_t child = machine->child; child != 0; child = picture->boxes[child].next)
        print_box(picture, child, left, top);
    print_legend(picture, height - LEGEND_HEIGHT + 8);
    fputs("</svg>\n", picture->file);
}

int topology_print_svg(const struct topology_view *view, FILE *file)
{
    size_t count = view->topology->unit_count;
    struct picture picture = {
        .view = view,
        .boxes = calloc(count * TOPOLOGY_LEVELS + 1, sizeof(picture.boxes[0])),
        .box_count = 1,
        .file = file,
    };
    if (!picture.boxes)
        return -ENOMEM;
    struct box *machine = &picture.boxes[0];
    *machine = (struct box){.level = TOPOLOGY_PACKAGE, .count = count};
    machine->child = add_boxes(&picture, TOPOLOGY_PACKAGE, 0, count);
    for (size_t child = machine->child; child != 0; child = picture.boxes[child].next)
        machine->children++;
    lay_out(&picture, 0);
    print_picture(&picture);
    free(picture.boxes);
    return 0;
}
