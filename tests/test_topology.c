/* Cores. */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <kernel/topology.h>

static void topology_lists_each_allowed_unit_once(void **state)
{
    (void)state;
    struct kn_topology topology;
    cpu_set_t allowed;
    assert_int_equal(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
    assert_int_equal(kn_topology_open(&topology), 0);
    assert_int_equal(topology.unit_count, CPU_COUNT(&allowed));
    assert_true(topology.core_count >= 1 && topology.core_count <= topology.unit_count);
    for (size_t i = 0; i < topology.unit_count; i++) {
        assert_true(CPU_ISSET(topology.units[i], &allowed));
        CPU_CLR(topology.units[i], &allowed);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(topology_lists_each_allowed_unit_once),
        cmocka_unit_test(topology_respects_an_affinity_mask),
        cmocka_unit_test(topology_refuses_to_pin_where_there_is_no_unit),
        cmocka_unit_test(topology_reads_lists_of_units),
        cmocka_unit_test(topology_refuses_lists_that_make_no_sense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
