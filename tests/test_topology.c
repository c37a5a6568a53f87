/* Cores. */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "sched/topology_internal.h"

static void topology_lists_each_allowed_unit_once(void **state)
{
    (void)state;
    struct kn_topology topology;
    cpu_set_t allowed;
    assert_int_equal(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
    assert_int_equal(kn_topology_open(&topology), 0);
    assert_int_equal(topology.unit_count, CPU_COUNT(&allowed));
    assert_true(topology.core_count >= 1 && topology.core_count <= topology.unit_count);
    assert_true(topology.machine_unit_count >= topology.unit_count);
    assert_true(topology.useful_units >= 1 && topology.useful_units <= topology.unit_count);
    for (size_t i = 0; i < topology.unit_count; i++) {
        assert_true(CPU_ISSET(topology.units[i], &allowed));
        CPU_CLR(topology.units[i], &allowed);
        assert_ptr_equal(kn_topology_find(&topology, topology.units[i]), &topology.descriptions[i]);
        assert_true(topology.descriptions[i].core < topology.core_count);
    }
    kn_topology_close(&topology);
    kn_topology_close(&topology);
}

static void topology_respects_an_affinity_mask(void **state)
{
    (void)state;
    cpu_set_t before;
    assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
    struct kn_topology topology;
    assert_int_equal(kn_topology_open(&topology), 0);
    uint32_t last = topology.units[topology.unit_count - 1];
    kn_topology_close(&topology);
    assert_int_equal(kn_topology_pin(last), 0);
    assert_int_equal(sched_getcpu(), last);
    assert_int_equal(kn_topology_open(&topology), 0);
    assert_int_equal(topology.unit_count, 1);
    assert_int_equal(topology.units[0], last);
    assert_true(topology.machine_unit_count > last);
    for (uint32_t unit = 0; unit < last; unit++)
        assert_null(kn_topology_find(&topology, unit));
    kn_topology_close(&topology);
    assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
}

static void topology_refuses_to_pin_where_there_is_no_unit(void **state)
{
    (void)state;
    assert_int_equal(kn_topology_pin(UINT32_MAX), -EINVAL);
    assert_int_equal(kn_topology_pin(CPU_SETSIZE - 1), -EINVAL);
}

static void topology_reads_lists_of_units(void **state)
{
    (void)state;
    uint32_t units[8];
    size_t count;
    assert_int_equal(kn_topology_parse_units("3,0-2", units, 8, &count), 0);
    assert_int_equal(count, 4);
    const uint32_t expected[] = {3, 0, 1, 2};
    assert_memory_equal(units, expected, sizeof(expected));
    assert_int_equal(kn_topology_parse_units("4095", units, 8, &count), 0);
    assert_int_equal(units[0], 4095);
}

static void topology_refuses_lists_that_make_no_sense(void **state)
{
    (void)state;
    uint32_t units[4];
    size_t count;
    const char *const bad[] = {"", ",", "1,", ",1", "a", "1-", "-1", "3-1", "1,1", "0-2,2", "1 ", "1;2", "0x1", "1--2"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(kn_topology_parse_units(bad[i], units, 4, &count), -EINVAL);
    assert_int_equal(kn_topology_parse_units("0-4", units, 4, &count), -ERANGE);
    assert_int_equal(kn_topology_parse_units("4096", units, 4, &count), -ERANGE);
    assert_int_equal(kn_topology_parse_units("99999999999999999999", units, 4, &count), -ERANGE);
}

/* Two hardware threads a core, numbered as Linux does: core c has units c and c + 4. Cores 0 and 1 share everything. */
static const struct kn_topology_unit two_packages[] = {
    {.number = 0, .core = 9, .package = 0, .node = 0, .caches = {{0, 1}, {0, 2}, {0, 3}}},
    {.number = 4, .core = 9, .package = 0, .node = 0, .caches = {{0, 1}, {0, 2}, {0, 3}}},
    {.number = 1, .core = 5, .package = 0, .node = 0, .caches = {{1, 1}, {0, 2}, {0, 3}}},
    {.number = 5, .core = 5, .package = 0, .node = 0, .caches = {{1, 1}, {0, 2}, {0, 3}}},
    {.number = 2, .core = 7, .package = 0, .node = 1, .caches = {{2, 1}, {1, 2}, {KN_TOPOLOGY_UNKNOWN, 0}}},
    {.number = 6, .core = 7, .package = 0, .node = 1, .caches = {{2, 1}, {1, 2}, {KN_TOPOLOGY_UNKNOWN, 0}}},
    {.number = 3, .core = 0, .package = 1, .node = 1, .caches = {{3, 1}, {2, 2}, {KN_TOPOLOGY_UNKNOWN, 0}}},
};

static void topology_lists_one_unit_of_each_core_before_siblings(void **state)
{
    (void)state;
    struct kn_topology topology;
    assert_int_equal(kn_topology_fill(&topology, two_packages, 7), 0);
    const uint32_t expected[] = {0, 1, 2, 3, 4, 5, 6};
    assert_memory_equal(topology.units, expected, sizeof(expected));
    assert_int_equal(topology.core_count, 4);
    assert_int_equal(topology.package_count, 2);
    assert_int_equal(topology.node_count, 2);
    assert_int_equal(topology.speed_class_count, 1);
    for (uint32_t i = 0; i < 7; i++) {
        assert_int_equal(topology.descriptions[i].core, i % 4);
        assert_int_equal(topology.descriptions[i].sibling, i / 4);
    }
    kn_topology_close(&topology);
}

static void topology_knows_how_near_units_are(void **state)
{
    (void)state;
    struct kn_topology topology;
    struct kn_topology_unit units[8];
    memcpy(units, two_packages, sizeof(two_packages));
    units[7] = (struct kn_topology_unit){
        .number = 9, .core = 8, .package = 1, .node = 1, .caches = {{4, 1}, {3, 2}, {KN_TOPOLOGY_UNKNOWN, 0}}};
    assert_int_equal(kn_topology_fill(&topology, units, 8), 0);
    assert_int_equal(kn_topology_distance(&topology, 0, 0), KN_DISTANCE_SAME);
    assert_int_equal(kn_topology_distance(&topology, 0, 4), KN_DISTANCE_SIBLING);
    assert_int_equal(kn_topology_distance(&topology, 0, 5), KN_DISTANCE_L2);
    assert_int_equal(kn_topology_distance(&topology, 0, 2), KN_DISTANCE_PACKAGE);
    assert_int_equal(kn_topology_distance(&topology, 3, 9), KN_DISTANCE_NODE);
    assert_int_equal(kn_topology_distance(&topology, 2, 3), KN_DISTANCE_FAR); /* one node, but two packages */
    assert_int_equal(kn_topology_distance(&topology, 0, 8), KN_DISTANCE_FAR); /* there is no 8 */
    assert_int_equal(kn_topology_distance(&topology, UINT32_MAX, 0), KN_DISTANCE_FAR);
    for (uint32_t a = 0; a < 10; a++)
        for (uint32_t b = 0; b < 10; b++)
            assert_int_equal(kn_topology_distance(&topology, a, b), kn_topology_distance(&topology, b, a));
    kn_topology_close(&topology);
}

static void topology_says_distances_in_words(void **state)
{
    (void)state;
    assert_string_equal(kn_distance_name(KN_DISTANCE_SAME), "same unit");
    assert_string_equal(kn_distance_name(KN_DISTANCE_FAR), "another package");
    assert_string_equal(kn_distance_name((enum kn_distance)(KN_DISTANCE_FAR + 1)), "unknown");
}

static void topology_takes_no_unit_beyond_its_range(void **state)
{
    (void)state;
    struct kn_topology topology;
    struct kn_topology_unit unit = {.number = KN_TOPOLOGY_UNIT_MAX};
    assert_int_equal(kn_topology_fill(&topology, &unit, 0), -EINVAL);
    assert_int_equal(kn_topology_fill(&topology, &unit, 1), 0);
    kn_topology_close(&topology);
    unit.number++;
    assert_int_equal(kn_topology_fill(&topology, &unit, 1), -ERANGE);
}

static void topology_rounds_a_limit_up_to_whole_units(void **state)
{
    (void)state;
    struct kn_topology topology;
    assert_int_equal(kn_topology_fill(&topology, two_packages, 7), 0);
    const struct {
        uint32_t limit;
        size_t useful;
    } cases[] = {{0, 7}, {1, 1}, {1000, 1}, {1001, 2}, {2500, 3}, {7000, 7}, {64000, 7}, {UINT32_MAX, 7}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        kn_topology_set_limit(&topology, cases[i].limit);
        assert_int_equal(topology.cpu_limit_thousandths, cases[i].limit);
        assert_int_equal(topology.useful_units, cases[i].useful);
    }
    kn_topology_close(&topology);
}

/* A tree of files as the kernel shows them, in a directory of its own. */
struct tree {
    char root[64];
};

static void plant(const struct tree *tree, const char *name, const char *text)
{
    char path[512];
    int length = snprintf(path, sizeof(path), "%s/%s", tree->root, name);
    assert_in_range(length, 1, sizeof(path) - 1);
    for (char *slash = path + strlen(tree->root) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        assert_true(mkdir(path, 0700) == 0 || errno == EEXIST);
        *slash = '/';
    }
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static int open_tree(void **state)
{
    static struct tree tree;
    strcpy(tree.root, "/tmp/test_topology.XXXXXX");
    *state = &tree;
    return mkdtemp(tree.root) ? 0 : -1;
}

static int close_tree(void **state)
{
    char command[128];
    const struct tree *tree = *state;
    (void)snprintf(command, sizeof(command), "rm -r '%s'", tree->root);
    return system(command); /* NOLINT(cert-env33-c): a path of our own */
}

static const char unified_mount[] = "20 1 0:20 / /proc rw - proc proc rw\n"
                                    "42 32 0:27 / /sys/fs/cgroup ro,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

static void limit_is_none_where_nothing_is_known(void **state)
{
    const struct tree *tree = *state;
    assert_int_equal(kn_topology_read_limit(tree->root), 0);
    plant(tree, "proc/self/cgroup", "0::/\n");
    assert_int_equal(kn_topology_read_limit(tree->root), 0);
    plant(tree, "proc/self/mountinfo", unified_mount);
    assert_int_equal(kn_topology_read_limit(tree->root), 0);
    assert_int_equal(kn_topology_read_limit("/nowhere"), 0);
}

static void limit_of_a_container_is_read_from_its_root(void **state)
{
    const struct tree *tree = *state;
    plant(tree, "proc/self/cgroup", "0::/\n");
    plant(tree, "proc/self/mountinfo", unified_mount);
    plant(tree, "sys/fs/cgroup/cpu.max", "150000 100000\n");
    assert_int_equal(kn_topology_read_limit(tree->root), 1500);
    plant(tree, "sys/fs/cgroup/cpu.max", "max 100000\n");
    assert_int_equal(kn_topology_read_limit(tree->root), 0);
    plant(tree, "sys/fs/cgroup/cpu.max", "20 100000\n"); /* less than a thousandth is still a limit */
    assert_int_equal(kn_topology_read_limit(tree->root), 1);
}

static void limit_is_the_least_of_all_groups_above(void **state)
{
    const struct tree *tree = *state;
    plant(tree, "proc/self/cgroup", "0::/system.slice/app.service/inner\n");
    plant(tree, "proc/self/mountinfo", unified_mount);
    plant(tree, "sys/fs/cgroup/system.slice/app.service/inner/cpu.max", "400000 100000\n");
    assert_int_equal(kn_topology_read_limit(tree->root), 4000);
    plant(tree, "sys/fs/cgroup/system.slice/cpu.max", "250000 100000\n");
    assert_int_equal(kn_topology_read_limit(tree->root), 2500);
    plant(tree, "sys/fs/cgroup/system.slice/app.service/cpu.max", "max 100000\n");
    assert_int_equal(kn_topology_read_limit(tree->root), 2500);
    plant(tree, "sys/fs/cgroup/cpu.max", "100000 200000\n");
    assert_int_equal(kn_topology_read_limit(tree->root), 500);
    plant(tree, "sys/fs/cgroup/system.slice/other.service/cpu.max", "1000 100000\n"); /* not above us */
    assert_int_equal(kn_topology_read_limit(tree->root), 500);
}

static void limit_is_read_from_version_1(void **state)
{
    const struct tree *tree = *state;
    plant(tree, "proc/self/cgroup", "5:cpuset:/docker/c\n4:cpu,cpuacct:/docker/c\n0::/docker/c\n");
    plant(tree, "proc/self/mountinfo",
          "33 30 0:28 /docker/c /sys/fs/cgroup/cpuset ro master:9 - cgroup cgroup rw,cpuset\n"
          "34 30 0:29 /docker/c /sys/fs/cgroup/cpu,cpuacct ro master:10 - cgroup cgroup rw,cpu,cpuacct\n");
    plant(tree, "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
    plant(tree, "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
    assert_int_equal(kn_topology_read_limit(tree->root), 0);
    plant(tree, "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "350000\n");
    assert_int_equal(kn_topology_read_limit(tree->root), 3500);
    plant(tree, "sys/fs/cgroup/cpuset/cpu.cfs_quota_us", "100000\n"); /* another hierarchy has no say */
    plant(tree, "sys/fs/cgroup/cpuset/cpu.cfs_period_us", "100000\n");
    assert_int_equal(kn_topology_read_limit(tree->root), 3500);
}

static void limit_passes_over_mounts_that_show_other_groups(void **state)
{
    const struct tree *tree = *state;
    plant(tree, "sys/fs/cgroup/cpu.max", "100000 100000\n");
    plant(tree, "sys/fs/cgroupwise/cpu.max", "100000 100000\n");
    plant(tree, "proc/self/mountinfo", "42 32 0:27 /other /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    const char *const groups[] = {"0::/mine\n", "0::/otherwise\n", "0::/other/../mine\n", "0::/\n"};
    for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
        plant(tree, "proc/self/cgroup", groups[i]);
        assert_int_equal(kn_topology_read_limit(tree->root), 0);
    }
    plant(tree, "proc/self/cgroup", "0::/other/deep\n");
    assert_int_equal(kn_topology_read_limit(tree->root), 1000);
}

static void limit_is_found_where_a_mount_has_spaces(void **state)
{
    const struct tree *tree = *state;
    plant(tree, "proc/self/cgroup", "0::/my app\n");
    plant(tree, "proc/self/mountinfo", "42 32 0:27 / /sys/control\\040groups rw - cgroup2 none rw\n");
    plant(tree, "sys/control groups/my app/cpu.max", "300000 100000\n");
    assert_int_equal(kn_topology_read_limit(tree->root), 3000);
}

static void limit_survives_files_that_make_no_sense(void **state)
{
    const struct tree *tree = *state;
    plant(tree, "proc/self/cgroup", "\n:\n0:\n::\n0::/a\n");
    plant(tree, "proc/self/mountinfo",
          "\n - \n1 2 3 - cgroup2 a\n - cgroup2 a b\n1 2 3 / - cgroup2 a b\n"
          "42 32 0:27 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    const char *const quotas[] = {"",
                                  "\n",
                                  "1",
                                  "100000",
                                  "100000 ",
                                  "100000 max",
                                  "100000 0",
                                  "0 100000",
                                  "-5 100000",
                                  "x 100000",
                                  "99999999999999999999999 100000",
                                  "18446744073709551615 1",
                                  "9223372036854775807 1",
                                  "9000000000000000 1"};
    for (size_t i = 0; i < sizeof(quotas) / sizeof(quotas[0]); i++) {
        plant(tree, "sys/fs/cgroup/a/cpu.max", quotas[i]);
        assert_int_equal(kn_topology_read_limit(tree->root), 0);
    }
    plant(tree, "sys/fs/cgroup/a/cpu.max", "100000 100000");
    assert_int_equal(kn_topology_read_limit(tree->root), 1000);
}

/* Opens a machine in hwloc's language; without hwloc there is nothing to test. */
static void open_machine(struct kn_topology *topology, const char *description)
{
    int result = kn_topology_open_synthetic(topology, description);
    if (result == -ENOTSUP)
        skip();
    assert_int_equal(result, 0);
}

static void synthetic_machine_is_described_in_full(void **state)
{
    (void)state;
    struct kn_topology topology;
    open_machine(&topology, "package:2 [numa] l3:2(size=33554432) l2:4(size=1048576) l1:1(size=32768) core:1 pu:2");
    assert_int_equal(topology.unit_count, 32);
    assert_int_equal(topology.core_count, 16);
    assert_int_equal(topology.package_count, 2);
    assert_int_equal(topology.node_count, 2);
    assert_int_equal(topology.speed_class_count, 1);
    assert_int_equal(topology.machine_unit_count, 32);
    assert_int_equal(topology.cpu_limit_thousandths, 0);
    assert_int_equal(topology.useful_units, 32);
    const struct kn_topology_unit *last = kn_topology_find(&topology, 31);
    assert_int_equal(last->core, 15);
    assert_int_equal(last->sibling, 1);
    assert_int_equal(last->package, 1);
    assert_int_equal(last->node, 1);
    assert_int_equal(last->caches[0].group, 15);
    assert_int_equal(last->caches[0].size_bytes, 32 << 10);
    assert_int_equal(last->caches[1].group, 15);
    assert_int_equal(last->caches[1].size_bytes, 1 << 20);
    assert_int_equal(last->caches[2].group, 3);
    assert_int_equal(last->caches[2].size_bytes, 32 << 20);
    assert_int_equal(kn_topology_distance(&topology, 31, 30), KN_DISTANCE_SIBLING);
    assert_int_equal(kn_topology_distance(&topology, 31, 24), KN_DISTANCE_L3);
    assert_int_equal(kn_topology_distance(&topology, 31, 23), KN_DISTANCE_NODE);
    assert_int_equal(kn_topology_distance(&topology, 31, 15), KN_DISTANCE_FAR);
    kn_topology_close(&topology);
}

static void synthetic_machine_must_make_sense(void **state)
{
    (void)state;
    struct kn_topology topology;
    open_machine(&topology, "pu:1");
    kn_topology_close(&topology);
    assert_int_equal(kn_topology_open_synthetic(&topology, ""), -EINVAL);
    assert_int_equal(kn_topology_open_synthetic(&topology, "elephant:2"), -EINVAL);
    assert_int_equal(kn_topology_open_synthetic(&topology, "core:64 pu:128"), -ERANGE);
    kn_topology_close(&topology); /* nothing is left open */
}

/* A fast core of two threads and two slow cores, as hwloc writes it. */
static const char hybrid[] =
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE topology SYSTEM \"hwloc2.dtd\">\n<topology "
    "version=\"2.0\">\n"
    "<object type=\"Machine\" os_index=\"0\" cpuset=\"0xf\" complete_cpuset=\"0xf\" allowed_cpuset=\"0xf\" "
    "nodeset=\"0x1\" complete_nodeset=\"0x1\" allowed_nodeset=\"0x1\" gp_index=\"1\">\n"
    "<object type=\"NUMANode\" os_index=\"0\" cpuset=\"0xf\" complete_cpuset=\"0xf\" nodeset=\"0x1\" "
    "complete_nodeset=\"0x1\" gp_index=\"2\" local_memory=\"1073741824\"/>\n"
    "<object type=\"Core\" os_index=\"0\" cpuset=\"0x3\" complete_cpuset=\"0x3\" nodeset=\"0x1\" "
    "complete_nodeset=\"0x1\" gp_index=\"3\">\n"
    "<object type=\"PU\" os_index=\"0\" cpuset=\"0x1\" complete_cpuset=\"0x1\" nodeset=\"0x1\" "
    "complete_nodeset=\"0x1\" gp_index=\"4\"/>\n"
    "<object type=\"PU\" os_index=\"1\" cpuset=\"0x2\" complete_cpuset=\"0x2\" nodeset=\"0x1\" "
    "complete_nodeset=\"0x1\" gp_index=\"5\"/>\n</object>\n"
    "<object type=\"Core\" os_index=\"1\" cpuset=\"0x4\" complete_cpuset=\"0x4\" nodeset=\"0x1\" "
    "complete_nodeset=\"0x1\" gp_index=\"6\">\n"
    "<object type=\"PU\" os_index=\"2\" cpuset=\"0x4\" complete_cpuset=\"0x4\" nodeset=\"0x1\" "
    "complete_nodeset=\"0x1\" gp_index=\"7\"/>\n</object>\n"
    "<object type=\"Core\" os_index=\"2\" cpuset=\"0x8\" complete_cpuset=\"0x8\" nodeset=\"0x1\" "
    "complete_nodeset=\"0x1\" gp_index=\"8\">\n"
    "<object type=\"PU\" os_index=\"3\" cpuset=\"0x8\" complete_cpuset=\"0x8\" nodeset=\"0x1\" "
    "complete_nodeset=\"0x1\" gp_index=\"9\"/>\n</object>\n</object>\n"
    "<cpukind cpuset=\"0x3\"><info name=\"CoreType\" value=\"IntelCore\"/></cpukind>\n"
    "<cpukind cpuset=\"0xc\"><info name=\"CoreType\" value=\"IntelAtom\"/></cpukind>\n</topology>\n";

static void saved_machine_knows_its_slow_cores(void **state)
{
    const struct tree *tree = *state;
    struct kn_topology topology;
    open_machine(&topology, "pu:1");
    kn_topology_close(&topology);
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/hybrid.xml", tree->root);
    plant(tree, "hybrid.xml", hybrid);
    assert_int_equal(kn_topology_open_file(&topology, path), 0);
    assert_int_equal(topology.unit_count, 4);
    assert_int_equal(topology.core_count, 3);
    assert_int_equal(topology.speed_class_count, 2);
    assert_int_equal(kn_topology_find(&topology, 0)->speed_class, 1);
    assert_int_equal(kn_topology_find(&topology, 1)->speed_class, 1);
    assert_int_equal(kn_topology_find(&topology, 2)->speed_class, 0);
    assert_int_equal(kn_topology_find(&topology, 3)->speed_class, 0);
    kn_topology_close(&topology);
}

static void saved_machine_must_be_readable(void **state)
{
    const struct tree *tree = *state;
    struct kn_topology topology;
    open_machine(&topology, "pu:1");
    kn_topology_close(&topology);
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/bad.xml", tree->root);
    assert_int_equal(kn_topology_open_file(&topology, path), -ENOENT);
    plant(tree, "bad.xml", "<topology");
    assert_int_equal(kn_topology_open_file(&topology, path), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(topology_lists_each_allowed_unit_once),
        cmocka_unit_test(topology_respects_an_affinity_mask),
        cmocka_unit_test(topology_refuses_to_pin_where_there_is_no_unit),
        cmocka_unit_test(topology_reads_lists_of_units),
        cmocka_unit_test(topology_refuses_lists_that_make_no_sense),
        cmocka_unit_test(topology_lists_one_unit_of_each_core_before_siblings),
        cmocka_unit_test(topology_knows_how_near_units_are),
        cmocka_unit_test(topology_says_distances_in_words),
        cmocka_unit_test(topology_takes_no_unit_beyond_its_range),
        cmocka_unit_test(topology_rounds_a_limit_up_to_whole_units),
        cmocka_unit_test_setup_teardown(limit_is_none_where_nothing_is_known, open_tree, close_tree),
        cmocka_unit_test_setup_teardown(limit_of_a_container_is_read_from_its_root, open_tree, close_tree),
        cmocka_unit_test_setup_teardown(limit_is_the_least_of_all_groups_above, open_tree, close_tree),
        cmocka_unit_test_setup_teardown(limit_is_read_from_version_1, open_tree, close_tree),
        cmocka_unit_test_setup_teardown(limit_passes_over_mounts_that_show_other_groups, open_tree, close_tree),
        cmocka_unit_test_setup_teardown(limit_is_found_where_a_mount_has_spaces, open_tree, close_tree),
        cmocka_unit_test_setup_teardown(limit_survives_files_that_make_no_sense, open_tree, close_tree),
        cmocka_unit_test(synthetic_machine_is_described_in_full),
        cmocka_unit_test(synthetic_machine_must_make_sense),
        cmocka_unit_test_setup_teardown(saved_machine_knows_its_slow_cores, open_tree, close_tree),
        cmocka_unit_test_setup_teardown(saved_machine_must_be_readable, open_tree, close_tree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
