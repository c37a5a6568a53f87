#include <kernel/placement.h>

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <kernel/assert.h>

/* From so many cores on, control and timers have one each. */
static const size_t MANY_CORES = 6;

static const struct {
    const char *name;
    enum kn_role role;
} keys[] = {
    {"control", KN_ROLE_CONTROL},
    {"io", KN_ROLE_IO},
    {"timer", KN_ROLE_TIMER},
    {"task", KN_ROLE_TASK},
};

enum { KEY_COUNT = sizeof(keys) / sizeof(keys[0]) };

/* Makes a placement of roles by position in the topology's lists. */
static int collect(struct kn_placement *placement, const struct kn_topology *topology, const uint32_t *roles)
{
    size_t count = 0;
    for (size_t i = 0; i < topology->unit_count; i++)
        count += roles[i] != 0;
    kn_assert(count > 0); /* whoever calls this has checked that there is a core for tasks */
    struct kn_placement_core *cores = calloc(count, sizeof(cores[0]));
    if (!cores)
        return -ENOMEM;
    size_t used = 0;
    for (size_t i = 0; i < topology->unit_count; i++)
        if ((roles[i] & KN_ROLE_CONTROL) != 0)
            cores[used++] = (struct kn_placement_core){topology->units[i], roles[i]};
    for (uint32_t number = 0; used < count; number++) {
        const struct kn_topology_unit *unit = kn_topology_find(topology, number);
        uint32_t held = unit ? roles[unit - topology->descriptions] : 0;
        if (held != 0 && (held & KN_ROLE_CONTROL) == 0)
            cores[used++] = (struct kn_placement_core){number, held};
    }
    *placement = (struct kn_placement){.cores = cores, .count = count};
    return 0;
}

typedef const struct kn_topology_unit *unit_pointer;

static int compare(uint32_t a, uint32_t b)
{
    return (a > b) - (a < b);
}

/* Slow cores first. */
static int compare_for_control(const void *left, const void *right)
{
    const struct kn_topology_unit *a = *(const unit_pointer *)left;
    const struct kn_topology_unit *b = *(const unit_pointer *)right;
    if (a->sibling != b->sibling)
        return compare(a->sibling, b->sibling);
    if (a->speed_class != b->speed_class)
        return compare(a->speed_class, b->speed_class);
    return compare(a->core, b->core);
}

/* What to use: first units before siblings, and those from the last core down, where tasks are; fast cores first. */
static int compare_for_choice(const void *left, const void *right)
{
    const struct kn_topology_unit *a = *(const unit_pointer *)left;
    const struct kn_topology_unit *b = *(const unit_pointer *)right;
    if (a->sibling != b->sibling)
        return compare(a->sibling, b->sibling);
    if (a->speed_class != b->speed_class)
        return compare(b->speed_class, a->speed_class);
    return a->sibling == 0 ? compare(a->core, b->core) : compare(b->core, a->core);
}

/* How to share out what is used: along the machine, the units of a core together; fast cores first. */
static int compare_for_order(const void *left, const void *right)
{
    const struct kn_topology_unit *a = *(const unit_pointer *)left;
    const struct kn_topology_unit *b = *(const unit_pointer *)right;
    if (a->speed_class != b->speed_class)
        return compare(b->speed_class, a->speed_class);
    if (a->core != b->core)
        return compare(a->core, b->core);
    return compare(a->sibling, b->sibling);
}

static size_t decide_count(const struct kn_topology *topology, const struct kn_placement_options *options)
{
    size_t count = topology->useful_units;
    if (options->cores_max > 0 && options->cores_max < count)
        count = options->cores_max;
    return options->whole_cores && topology->core_count < count ? topology->core_count : count;
}

/* Cores that do control and timers and nothing else. */
static size_t decide_quiet(size_t count)
{
    if (count < 4)
        return 0;
    return count < MANY_CORES ? 1 : 2;
}

/* Brings `count` units to the front, in the order in which roles are given to them. */
static void choose(const struct kn_topology *topology, unit_pointer *units, size_t count)
{
    for (size_t i = 0; i < topology->unit_count; i++)
        units[i] = &topology->descriptions[i];
    size_t quiet = 0;
    if (topology->speed_class_count > 1) {
        quiet = decide_quiet(count);
        qsort(units, topology->unit_count, sizeof(unit_pointer), compare_for_control);
    }
    qsort(units + quiet, topology->unit_count - quiet, sizeof(unit_pointer), compare_for_choice);
    qsort(units + quiet, count - quiet, sizeof(unit_pointer), compare_for_order);
}

/* The roles of the place-th of `count` cores, of which `io_cores` do input and output and nothing else. */
static uint32_t decide_roles(size_t place, size_t count, size_t io_cores)
{
    size_t quiet = decide_quiet(count);
    if (place == 0) {
        uint32_t roles = KN_ROLE_CONTROL;
        roles |= count < 3 ? KN_ROLE_IO : 0;
        roles |= count < MANY_CORES ? KN_ROLE_TIMER : 0;
        return roles | (quiet == 0 ? KN_ROLE_TASK : 0);
    }
    if (place < quiet)
        return KN_ROLE_TIMER;
    size_t first_io = quiet > 0 ? quiet : 1;
    return place < first_io + io_cores ? KN_ROLE_IO : KN_ROLE_TASK;
}

/* Cores that do input and output and nothing else. Left to itself, it does not part the units of a core. */
static size_t decide_io_cores(const unit_pointer *units, size_t count, const struct kn_placement_options *options)
{
    if (count < 3)
        return 0;
    size_t quiet = decide_quiet(count);
    size_t first = quiet > 0 ? quiet : 1;
    size_t most = count - first - 1;
    size_t wanted = options->io_cores > 0 ? options->io_cores : count / 4;
    wanted = wanted > 0 ? wanted : 1;
    if (options->io_cores == 0)
        while (wanted < most && units[first + wanted]->core == units[first + wanted - 1]->core)
            wanted++;
    return wanted < most ? wanted : most;
}

int kn_placement_automatic(struct kn_placement *placement, const struct kn_topology *topology,
                           const struct kn_placement_options *options)
{
    static const struct kn_placement_options no_options = {0};
    if (!options)
        options = &no_options;
    uint32_t *roles = calloc(topology->unit_count, sizeof(roles[0]));
    unit_pointer *units = malloc(topology->unit_count * sizeof(unit_pointer));
    int result = -ENOMEM;
    if (roles && units) {
        size_t count = decide_count(topology, options);
        choose(topology, units, count);
        size_t io_cores = decide_io_cores(units, count, options);
        for (size_t place = 0; place < count; place++)
            roles[units[place] - topology->descriptions] = decide_roles(place, count, io_cores);
        result = collect(placement, topology, roles);
    }
    free(units);
    free(roles);
    return result;
}

void kn_placement_close(struct kn_placement *placement)
{
    free(placement->cores);
    *placement = (struct kn_placement){0};
}

uint32_t kn_placement_roles(const struct kn_placement *placement, uint32_t unit)
{
    for (size_t i = 0; i < placement->count; i++)
        if (placement->cores[i].unit == unit)
            return placement->cores[i].roles;
    return 0;
}

size_t kn_placement_count(const struct kn_placement *placement, enum kn_role role)
{
    size_t count = 0;
    for (size_t i = 0; i < placement->count; i++)
        count += (placement->cores[i].roles & role) != 0;
    return count;
}

const char *kn_role_name(enum kn_role role)
{
    for (size_t i = 0; i < KEY_COUNT; i++)
        if (keys[i].role == role)
            return keys[i].name;
    return "unknown";
}

/* A text that is being read, and the roles read so far. */
struct reading {
    const struct kn_topology *topology;
    struct kn_placement_error *error;
    size_t line;
    size_t key_lines[KEY_COUNT]; /* where each key stood; 0: not yet */
    uint32_t *roles;             /* by position in the topology's lists */
};

/* A piece of the text. */
struct piece {
    const char *begin;
    const char *end;
};

enum { SHOWN_BYTES = 24, SHOWN_TEXT_BYTES = SHOWN_BYTES + 4 };

KN_PRINTF(2, 3) static int refuse(const struct reading *reading, const char *format, ...)
{
    if (!reading->error)
        return -EINVAL;
    va_list arguments;
    va_start(arguments, format);
    reading->error->line = reading->line;
    (void)vsnprintf(reading->error->message, sizeof(reading->error->message), format, arguments);
    va_end(arguments);
    return -EINVAL;
}

/* A piece as it may stand in a message: its beginning, what is not printable replaced. */
static const char *show(struct piece piece, char *shown)
{
    size_t length = 0;
    for (const char *byte = piece.begin; byte < piece.end && length < SHOWN_BYTES; byte++)
        shown[length++] = *byte >= ' ' && *byte <= '~' ? *byte : '?';
    (void)snprintf(shown + length, SHOWN_TEXT_BYTES - length, "%s", piece.end - piece.begin > SHOWN_BYTES ? "..." : "");
    return shown;
}

static bool is_space(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r';
}

static struct piece trim(struct piece piece)
{
    while (piece.begin < piece.end && is_space(*piece.begin))
        piece.begin++;
    while (piece.begin < piece.end && is_space(piece.end[-1]))
        piece.end--;
    return piece;
}

/* The piece up to the first `separator`, which goes from `rest` with it; all of it if there is none. */
static struct piece split(struct piece *rest, char separator)
{
    struct piece first = *rest;
    const char *found = rest->begin < rest->end ? memchr(rest->begin, separator, (size_t)(rest->end - rest->begin)) : 0;
    if (found)
        first.end = found;
    rest->begin = found ? found + 1 : rest->end;
    return first;
}

/* Numbers too high for any machine all read the same. */
static bool read_number(struct piece piece, uint32_t *number)
{
    const uint32_t beyond = 1000000;
    *number = 0;
    for (const char *digit = piece.begin; digit < piece.end; digit++) {
        if (*digit < '0' || *digit > '9')
            return false;
        *number = *number * 10 + (uint32_t)(*digit - '0');
        if (*number > beyond)
            *number = beyond;
    }
    return piece.begin < piece.end;
}

static int give(const struct reading *reading, size_t key, uint32_t number)
{
    const struct kn_topology *topology = reading->topology;
    const struct kn_topology_unit *unit = kn_topology_find(topology, number);
    if (!unit && number < topology->machine_unit_count)
        return refuse(reading, "core %u is not open to this program (by its affinity mask or cpuset)", number);
    if (!unit)
        return refuse(reading, "there is no such core as %u (this machine has 0 to %zu)", number,
                      topology->machine_unit_count - 1);
    uint32_t *roles = &reading->roles[unit - topology->descriptions];
    if ((*roles & keys[key].role) != 0)
        return refuse(reading, "core %u stands twice under '%s'", number, keys[key].name);
    *roles |= keys[key].role;
    return 0;
}

/* Reads "4" or "4-7". */
static int read_item(const struct reading *reading, size_t key, struct piece item)
{
    char shown[SHOWN_TEXT_BYTES];
    struct piece rest = item;
    struct piece low = trim(split(&rest, '-'));
    bool is_range = memchr(item.begin, '-', (size_t)(item.end - item.begin)) != NULL;
    uint32_t first;
    uint32_t last;
    if (!read_number(low, &first) || !read_number(is_range ? trim(rest) : low, &last))
        return refuse(reading, "'%s' is no core (try a number, or a range like 4-7)", show(item, shown));
    if (last < first)
        return refuse(reading, "'%s' runs backwards", show(item, shown));
    for (uint32_t number = first; number <= last; number++) {
        int result = give(reading, key, number);
        if (result < 0)
            return result;
    }
    return 0;
}

static int read_list(const struct reading *reading, size_t key, struct piece list)
{
    if (list.begin == list.end)
        return refuse(reading, "'%s' names no core (leave the line out if none is meant)", keys[key].name);
    bool is_last = false;
    while (!is_last) {
        struct piece item = split(&list, ',');
        is_last = item.end == list.end;
        int result = read_item(reading, key, trim(item));
        if (result < 0)
            return result;
    }
    return 0;
}

static size_t find_key(struct piece name)
{
    size_t length = (size_t)(name.end - name.begin);
    size_t key = 0;
    while (key < KEY_COUNT && (strlen(keys[key].name) != length || memcmp(keys[key].name, name.begin, length) != 0))
        key++;
    return key;
}

static int read_setting(struct reading *reading, struct piece line)
{
    char shown[SHOWN_TEXT_BYTES];
    struct piece content = trim(split(&line, '#'));
    if (content.begin == content.end)
        return 0;
    struct piece value = content;
    struct piece name = split(&value, '=');
    if (name.end == content.end)
        return refuse(reading, "'%s' sets nothing (a line reads like 'task = 4-7')", show(content, shown));
    name = trim(name);
    size_t key = find_key(name);
    if (key == KEY_COUNT)
        return refuse(reading, "'%s' is no key (there are control, io, timer and task)", show(name, shown));
    if (reading->key_lines[key] != 0)
        return refuse(reading, "'%s' stands twice (first in line %zu)", keys[key].name, reading->key_lines[key]);
    reading->key_lines[key] = reading->line;
    return read_list(reading, key, trim(value));
}

static int check(const struct reading *reading)
{
    size_t control_count = 0;
    bool has_task = false;
    for (size_t i = 0; i < reading->topology->unit_count; i++) {
        control_count += (reading->roles[i] & KN_ROLE_CONTROL) != 0;
        has_task = has_task || (reading->roles[i] & KN_ROLE_TASK) != 0;
    }
    if (control_count > 1) {
        struct reading at = *reading;
        at.line = reading->key_lines[0];
        return refuse(&at, "control is for one core, not for %zu", control_count);
    }
    return has_task ? 0 : refuse(reading, "no core runs tasks (add a line like 'task = 4-7')");
}

static int read_text(struct reading *reading, struct piece text)
{
    if (text.end - text.begin > KN_PLACEMENT_TEXT_BYTES_MAX) {
        reading->line = 1;
        return refuse(reading, "too long: more than %d bytes", KN_PLACEMENT_TEXT_BYTES_MAX);
    }
    do {
        struct piece line = split(&text, '\n');
        reading->line++;
        int result = read_setting(reading, line);
        if (result < 0)
            return result;
    } while (text.begin < text.end);
    return check(reading);
}

int kn_placement_parse(struct kn_placement *placement, const struct kn_topology *topology, const char *text,
                       size_t length_bytes, struct kn_placement_error *error)
{
    struct reading reading = {
        .topology = topology,
        .error = error,
        .roles = calloc(topology->unit_count, sizeof(reading.roles[0])),
    };
    if (!reading.roles)
        return -ENOMEM;
    int result = read_text(&reading, (struct piece){text, text + length_bytes});
    if (result == 0)
        result = collect(placement, topology, reading.roles);
    free(reading.roles);
    return result;
}

/* Reads a file, up to the capacity. Returns the length, or what the system says. */
static ssize_t read_file(const char *path, char *text, size_t capacity_bytes)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return -errno;
    size_t length = 0;
    ssize_t piece;
    do {
        piece = read(file, text + length, capacity_bytes - length);
        if (piece > 0)
            length += (size_t)piece;
    } while (length < capacity_bytes && (piece > 0 || (piece < 0 && errno == EINTR)));
    int error = errno;
    close(file);
    return piece < 0 ? -error : (ssize_t)length;
}

int kn_placement_load(struct kn_placement *placement, const struct kn_topology *topology, const char *path,
                      struct kn_placement_error *error)
{
    const size_t capacity_bytes = KN_PLACEMENT_TEXT_BYTES_MAX + 1; /* one more, to know that it is too long */
    char *text = calloc(1, capacity_bytes);
    if (!text)
        return -ENOMEM;
    ssize_t length = read_file(path, text, capacity_bytes);
    int result = (int)length;
    if (length >= 0) {
        result = kn_placement_parse(placement, topology, text, (size_t)length, error);
    } else if (error) {
        error->line = 0;
        (void)snprintf(error->message, sizeof(error->message), "cannot be read");
    }
    free(text);
    return result;
}

/* Text that is being written; the length counts on when it is full. */
struct writing {
    char *text;
    size_t capacity_bytes;
    size_t length;
};

KN_PRINTF(2, 3) static void append(struct writing *writing, const char *format, ...)
{
    size_t used = writing->length < writing->capacity_bytes ? writing->length : writing->capacity_bytes;
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(writing->text + used, writing->capacity_bytes - used, format, arguments);
    va_end(arguments);
    writing->length += length > 0 ? (size_t)length : 0;
}

/* The lowest core from `number` on that has the role, or KN_TOPOLOGY_UNKNOWN. */
static uint32_t next_core(const struct kn_placement *placement, enum kn_role role, uint32_t number)
{
    uint32_t lowest = KN_TOPOLOGY_UNKNOWN;
    for (size_t i = 0; i < placement->count; i++) {
        const struct kn_placement_core *core = &placement->cores[i];
        if ((core->roles & role) != 0 && core->unit >= number && core->unit < lowest)
            lowest = core->unit;
    }
    return lowest;
}

static void append_role(struct writing *writing, const struct kn_placement *placement, size_t key)
{
    enum kn_role role = keys[key].role;
    uint32_t first = next_core(placement, role, 0);
    if (first == KN_TOPOLOGY_UNKNOWN)
        return;
    append(writing, "%s = ", keys[key].name);
    for (const char *separator = ""; first != KN_TOPOLOGY_UNKNOWN; separator = ",") {
        uint32_t last = first;
        uint32_t next;
        while ((next = next_core(placement, role, last + 1)) == last + 1)
            last = next;
        if (last > first)
            append(writing, "%s%u%s%u", separator, first, last == first + 1 ? "," : "-", last);
        else
            append(writing, "%s%u", separator, first);
        first = next;
    }
    append(writing, "\n");
}

int kn_placement_format(const struct kn_placement *placement, char *text, size_t text_bytes)
{
    struct writing writing = {.text = text, .capacity_bytes = text_bytes};
    for (size_t key = 0; key < KEY_COUNT; key++)
        append_role(&writing, placement, key);
    return writing.length < text_bytes ? (int)writing.length : -ENOSPC;
}
