/*
 * The quota of a container: how much processor time its control group, and each group above it, may take.
 *
 * /proc/self/cgroup names this process's group in each hierarchy; /proc/self/mountinfo says where the hierarchies are
 * mounted, and from which group down, for a container often sees its own part only. Mounts that do not reach down to
 * our group say nothing about it and are passed over.
 */
#include "sched/topology_internal.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* This process's groups, as paths in their hierarchies. Empty: there is none. */
struct groups {
    char unified[PATH_MAX]; /* version 2 */
    char cpu[PATH_MAX];     /* of version 1, in the hierarchy of the cpu controller */
};

/* A line of mountinfo, taken apart. */
struct mount {
    char *root; /* the group that is mounted */
    char *place;
    const char *type;
    char *options;
};

enum { NUMBER_BYTES = 64 };

/* Whether a list separated by commas has this word. */
static bool list_has(const char *list, const char *word)
{
    size_t length = strlen(word);
    for (const char *item = list; item; item = strchr(item, ',')) {
        item += *item == ',';
        if (strncmp(item, word, length) == 0 && (item[length] == ',' || item[length] == '\0'))
            return true;
    }
    return false;
}

/* Reads the first line of a file, without its end. */
static bool read_line(const char *directory, const char *name, char *line, int capacity)
{
    char path[PATH_MAX];
    int length = snprintf(path, sizeof(path), "%s/%s", directory, name);
    FILE *file = length > 0 && (size_t)length < sizeof(path) ? fopen(path, "re") : NULL;
    if (!file)
        return false;
    bool is_read = fgets(line, capacity, file) != NULL;
    (void)fclose(file);
    if (is_read)
        line[strcspn(line, "\n")] = '\0';
    return is_read;
}

/* Reads a positive number. False for "max", "-1", and all that is none. */
static bool read_number(const char *text, const char **rest, uint64_t *number)
{
    char *end;
    if (*text < '0' || *text > '9')
        return false;
    *number = strtoull(text, &end, 10);
    *rest = end;
    return *number > 0 && *number < ULLONG_MAX / 1000;
}

static uint32_t to_thousandths(uint64_t quota_us, uint64_t period_us)
{
    uint64_t thousandths = quota_us * 1000 / period_us;
    if (thousandths == 0)
        return 1;
    return thousandths > UINT32_MAX ? 0 : (uint32_t)thousandths;
}

/* The quota of one group, or 0. */
static uint32_t read_unified(const char *directory)
{
    char line[NUMBER_BYTES];
    const char *rest;
    uint64_t quota_us;
    uint64_t period_us;
    if (!read_line(directory, "cpu.max", line, sizeof(line)) || !read_number(line, &rest, &quota_us) || *rest != ' ' ||
        !read_number(rest + 1, &rest, &period_us))
        return 0;
    return to_thousandths(quota_us, period_us);
}

static uint32_t read_version_1(const char *directory)
{
    char quota[NUMBER_BYTES];
    char period[NUMBER_BYTES];
    const char *rest;
    uint64_t quota_us;
    uint64_t period_us;
    if (!read_line(directory, "cpu.cfs_quota_us", quota, sizeof(quota)) || !read_number(quota, &rest, &quota_us) ||
        !read_line(directory, "cpu.cfs_period_us", period, sizeof(period)) || !read_number(period, &rest, &period_us))
        return 0;
    return to_thousandths(quota_us, period_us);
}

static uint32_t least(uint32_t a, uint32_t b)
{
    if (a == 0 || b == 0)
        return a + b;
    return a < b ? a : b;
}

/* The part of a group's path below the mounted one, or NULL if it is not below it. */
static const char *path_below(const char *group, const char *mounted)
{
    size_t length = strcmp(mounted, "/") == 0 ? 0 : strlen(mounted);
    if (strncmp(group, mounted, length) != 0 || (group[length] != '/' && group[length] != '\0'))
        return NULL;
    return strstr(group + length, "/..") ? NULL : group + length; /* outside of what this namespace shows */
}

/* Walks from a group up to the one that is mounted. */
static uint32_t walk(const char *root, const struct mount *mount, const char *group,
                     uint32_t (*read_group)(const char *directory))
{
    char directory[PATH_MAX];
    const char *below = group[0] != '\0' ? path_below(group, mount->root) : NULL;
    if (!below)
        return 0;
    int length = snprintf(directory, sizeof(directory), "%s%s%s", root, mount->place, below);
    if (length < 0 || (size_t)length >= sizeof(directory))
        return 0;
    size_t top = strlen(root) + strlen(mount->place);
    uint32_t limit = read_group(directory);
    for (size_t end = (size_t)length; end > top; end--) {
        if (directory[end - 1] != '/')
            continue;
        directory[end - 1] = '\0';
        limit = least(limit, read_group(directory));
    }
    return limit;
}

/* Undoes the kernel's escapes: a space is written \040. */
static void unescape(char *text)
{
    char *out = text;
    for (const char *in = text; *in != '\0';) {
        if (in[0] == '\\' && in[1] >= '0' && in[1] <= '3' && in[2] >= '0' && in[2] <= '7' && in[3] >= '0' &&
            in[3] <= '7') {
            *out++ = (char)((in[1] - '0') * 64 + (in[2] - '0') * 8 + (in[3] - '0'));
            in += 4;
        } else {
            *out++ = *in++;
        }
    }
    *out = '\0';
}

/* Fields are: id, parent, device, root, place, options, more of them, "-", type, source, options of the type. */
static bool parse_mount(char *line, struct mount *mount)
{
    char *rest = strstr(line, " - ");
    if (!rest)
        return false;
    *rest = '\0';
    char *state;
    char *field = strtok_r(line, " ", &state);
    for (int skipped = 0; field && skipped < 3; skipped++)
        field = strtok_r(NULL, " ", &state);
    mount->root = field;
    mount->place = field ? strtok_r(NULL, " ", &state) : NULL;
    mount->type = strtok_r(rest + 3, " \n", &state);
    mount->options = mount->type && strtok_r(NULL, " \n", &state) ? strtok_r(NULL, " \n", &state) : NULL;
    if (!mount->place || !mount->options)
        return false;
    unescape(mount->root);
    unescape(mount->place);
    return true;
}

static void copy_path(char *to, const char *from)
{
    size_t length = strcspn(from, "\n");
    if (length >= PATH_MAX)
        return;
    memcpy(to, from, length);
    to[length] = '\0';
}

/* A line is "hierarchy:controllers:path"; version 2 is hierarchy 0, without controllers. */
static void take_group(char *line, struct groups *groups)
{
    char *controllers = strchr(line, ':');
    char *path = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!path)
        return;
    *controllers++ = '\0';
    *path++ = '\0';
    if (strcmp(line, "0") == 0 && *controllers == '\0')
        copy_path(groups->unified, path);
    else if (list_has(controllers, "cpu"))
        copy_path(groups->cpu, path);
}

static FILE *open_below(const char *root, const char *name)
{
    char path[PATH_MAX];
    int length = snprintf(path, sizeof(path), "%s%s", root, name);
    return length > 0 && (size_t)length < sizeof(path) ? fopen(path, "re") : NULL;
}

static void read_groups(FILE *file, struct groups *groups)
{
    char *line = NULL;
    size_t capacity = 0;
    while (getline(&line, &capacity, file) > 0)
        take_group(line, groups);
    free(line);
}

static uint32_t read_mounts(FILE *file, const char *root, const struct groups *groups)
{
    uint32_t limit = 0;
    char *line = NULL;
    size_t capacity = 0;
    while (getline(&line, &capacity, file) > 0) {
        struct mount mount;
        if (!parse_mount(line, &mount))
            continue;
        if (strcmp(mount.type, "cgroup2") == 0)
            limit = least(limit, walk(root, &mount, groups->unified, read_unified));
        else if (strcmp(mount.type, "cgroup") == 0 && list_has(mount.options, "cpu"))
            limit = least(limit, walk(root, &mount, groups->cpu, read_version_1));
    }
    free(line);
    return limit;
}

uint32_t kn_topology_read_limit(const char *root)
{
    struct groups groups = {{0}, {0}};
    FILE *file = open_below(root, "/proc/self/cgroup");
    if (!file)
        return 0;
    read_groups(file, &groups);
    (void)fclose(file);
    file = open_below(root, "/proc/self/mountinfo");
    if (!file)
        return 0;
    uint32_t limit = read_mounts(file, root, &groups);
    (void)fclose(file);
    return limit;
}
