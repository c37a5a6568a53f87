/* Who does what. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <kernel/placement.h>

#include "sched/topology_internal.h"

enum { CONTROL = KN_ROLE_CONTROL, IO = KN_ROLE_IO, TIMER = KN_ROLE_TIMER, TASK = KN_ROLE_TASK, UNITS_MAX = 256 };

/* A machine of cores with so many hardware threads, numbered as Linux does: all first ones, then all second ones. */
static struct kn_topology open_machine(uint32_t cores, uint32_t threads, uint32_t slow_cores)
{
    struct kn_topology topology;
    struct kn_topology_unit units[UNITS_MAX];
    size_t count = 0;
    for (uint32_t core = 0; core < cores; core++) {
        bool is_slow = core >= cores - slow_cores;
        for (uint32_t thread = 0; thread < (is_slow ? 1 : threads); thread++)
            units[count++] = (struct kn_topology_unit){
                .number = core + thread * cores,
                .core = core,
                .speed_class = slow_cores > 0 && !is_slow,
                .caches = {{core, 0}, {core, 0}, {core / 4, 0}},
            };
    }
    assert_int_equal(kn_topology_fill(&topology, units, count), 0);
    return topology;
}

static void assert_text(const struct kn_placement *placement, const char *expected)
{
    char text[4096];
    int length = kn_placement_format(placement, text, sizeof(text));
    assert_int_equal(length, strlen(text));
    assert_string_equal(text, expected);
}

static void assert_automatic(struct kn_topology topology, const struct kn_placement_options *options,
                             const char *expected)
{
    struct kn_placement placement;
    assert_int_equal(kn_placement_automatic(&placement, &topology, options), 0);
    assert_text(&placement, expected);
    kn_placement_close(&placement);
    kn_topology_close(&topology);
}

static void automatic_gives_a_single_core_everything(void **state)
{
    (void)state;
    assert_automatic(open_machine(1, 1, 0), NULL, "control = 0\nio = 0\ntimer = 0\ntask = 0\n");
}

static void automatic_lets_small_machines_run_tasks_beside_control(void **state)
{
    (void)state;
    assert_automatic(open_machine(2, 1, 0), NULL, "control = 0\nio = 0\ntimer = 0\ntask = 0,1\n");
    assert_automatic(open_machine(3, 1, 0), NULL, "control = 0\nio = 1\ntimer = 0\ntask = 0,2\n");
}

static void automatic_sets_control_apart_on_larger_machines(void **state)
{
    (void)state;
    assert_automatic(open_machine(4, 1, 0), NULL, "control = 0\nio = 1\ntimer = 0\ntask = 2,3\n");
    assert_automatic(open_machine(5, 1, 0), NULL, "control = 0\nio = 1\ntimer = 0\ntask = 2-4\n");
    assert_automatic(open_machine(6, 1, 0), NULL, "control = 0\nio = 2\ntimer = 1\ntask = 3-5\n");
    assert_automatic(open_machine(16, 1, 0), NULL, "control = 0\nio = 2-5\ntimer = 1\ntask = 6-15\n");
}

static void automatic_uses_whole_cores_first(void **state)
{
    (void)state;
    const struct kn_placement_options eight = {.cores_max = 8};
    assert_automatic(open_machine(8, 2, 0), &eight, "control = 0\nio = 2,3\ntimer = 1\ntask = 4-7\n");
    const struct kn_placement_options whole = {.whole_cores = true};
    assert_automatic(open_machine(8, 2, 0), &whole, "control = 0\nio = 2,3\ntimer = 1\ntask = 4-7\n");
}

static void automatic_doubles_the_cores_of_tasks_first(void **state)
{
    (void)state;
    const struct kn_placement_options ten = {.cores_max = 10};
    assert_automatic(open_machine(8, 2, 0), &ten, "control = 0\nio = 2,3\ntimer = 1\ntask = 4-7,14,15\n");
}

static void automatic_gives_both_threads_of_a_core_the_same_work(void **state)
{
    (void)state;
    struct kn_topology topology = open_machine(8, 2, 0);
    struct kn_placement placement;
    assert_int_equal(kn_placement_automatic(&placement, &topology, NULL), 0);
    assert_text(&placement, "control = 0\nio = 1,2,9,10\ntimer = 8\ntask = 3-7,11-15\n");
    for (uint32_t core = 1; core < 8; core++)
        assert_int_equal(kn_placement_roles(&placement, core), kn_placement_roles(&placement, core + 8));
    kn_placement_close(&placement);
    kn_topology_close(&topology);
}

static void automatic_leaves_slow_cores_to_control_and_timers(void **state)
{
    (void)state;
    /* Cores 0 to 3 are fast and have second threads 8 to 11; 4 to 7 are slow. */
    const struct kn_placement_options eight = {.cores_max = 8};
    assert_automatic(open_machine(8, 2, 4), NULL, "control = 4\nio = 0,1,8,9\ntimer = 5\ntask = 2,3,6,7,10,11\n");
    assert_automatic(open_machine(8, 2, 4), &eight, "control = 4\nio = 0,1\ntimer = 5\ntask = 2,3,6,7\n");
    const struct kn_placement_options four = {.cores_max = 4};
    assert_automatic(open_machine(8, 2, 4), &four, "control = 4\nio = 0\ntimer = 4\ntask = 1,2\n");
    const struct kn_placement_options two = {.cores_max = 2}; /* both run tasks, and want to be fast */
    assert_automatic(open_machine(8, 2, 4), &two, "control = 0\nio = 0\ntimer = 0\ntask = 0,1\n");
}

static void automatic_stays_within_the_limit_of_a_container(void **state)
{
    (void)state;
    struct kn_topology topology = open_machine(64, 1, 0);
    kn_topology_set_limit(&topology, 3500);
    assert_automatic(topology, NULL, "control = 0\nio = 1\ntimer = 0\ntask = 2,3\n");
    topology = open_machine(64, 1, 0);
    kn_topology_set_limit(&topology, 3500);
    const struct kn_placement_options two = {.cores_max = 2};
    assert_automatic(topology, &two, "control = 0\nio = 0\ntimer = 0\ntask = 0,1\n");
}

static void automatic_heeds_wishes_but_leaves_a_core_for_tasks(void **state)
{
    (void)state;
    const struct kn_placement_options three = {.io_cores = 3};
    assert_automatic(open_machine(8, 1, 0), &three, "control = 0\nio = 2-4\ntimer = 1\ntask = 5-7\n");
    assert_automatic(open_machine(6, 2, 0), &three, "control = 0\nio = 1,2,7\ntimer = 6\ntask = 3-5,8-11\n");
    const struct kn_placement_options many = {.io_cores = SIZE_MAX};
    assert_automatic(open_machine(8, 1, 0), &many, "control = 0\nio = 2-6\ntimer = 1\ntask = 7\n");
    assert_automatic(open_machine(3, 1, 0), &many, "control = 0\nio = 1\ntimer = 0\ntask = 0,2\n");
    assert_automatic(open_machine(2, 1, 0), &many, "control = 0\nio = 0\ntimer = 0\ntask = 0,1\n");
}

static void automatic_names_each_core_once_on_any_machine(void **state)
{
    (void)state;
    for (uint32_t cores = 1; cores <= 40; cores++) {
        for (uint32_t shape = 0; shape < 6; shape++) {
            uint32_t slow_cores = shape / 2 * (cores / 3);
            struct kn_topology topology = open_machine(cores, 1 + shape % 2, slow_cores);
            for (size_t most = 1; most <= topology.unit_count; most++) {
                const struct kn_placement_options options = {.cores_max = most};
                struct kn_placement placement;
                assert_int_equal(kn_placement_automatic(&placement, &topology, &options), 0);
                assert_int_equal(placement.count, most);
                uint32_t all = 0;
                for (size_t i = 0; i < most; i++) {
                    assert_non_null(kn_topology_find(&topology, placement.cores[i].unit));
                    assert_true(placement.cores[i].roles != 0);
                    assert_true(i < 2 || placement.cores[i].unit > placement.cores[i - 1].unit);
                    all |= placement.cores[i].roles;
                }
                assert_int_equal(all, CONTROL | IO | TIMER | TASK);
                assert_int_equal(kn_placement_count(&placement, KN_ROLE_CONTROL), 1);
                assert_true((placement.cores[0].roles & CONTROL) != 0);
                kn_placement_close(&placement);
            }
            kn_topology_close(&topology);
        }
    }
}

static int parse(struct kn_placement *placement, const struct kn_topology *topology, const char *text,
                 struct kn_placement_error *error)
{
    return kn_placement_parse(placement, topology, text, strlen(text), error);
}

static void file_says_who_does_what(void **state)
{
    (void)state;
    struct kn_topology topology = open_machine(8, 1, 0);
    struct kn_placement placement;
    const char *text = "# who does what\n"
                       "\n"
                       "task=4-6 , 7,0\t# all the rest\r\n"
                       "  control = 3\n"
                       "io = 2 , 1\n"
                       "timer = 3";
    assert_int_equal(parse(&placement, &topology, text, NULL), 0);
    const struct kn_placement_core expected[] = {
        {3, CONTROL | TIMER}, {0, TASK}, {1, IO}, {2, IO}, {4, TASK}, {5, TASK}, {6, TASK}, {7, TASK},
    };
    assert_int_equal(placement.count, 8);
    assert_memory_equal(placement.cores, expected, sizeof(expected));
    assert_int_equal(kn_placement_roles(&placement, 3), CONTROL | TIMER);
    assert_int_equal(kn_placement_roles(&placement, 8), 0);
    assert_int_equal(kn_placement_count(&placement, KN_ROLE_TASK), 5);
    assert_text(&placement, "control = 3\nio = 1,2\ntimer = 3\ntask = 0,4-7\n");
    kn_placement_close(&placement);
    kn_placement_close(&placement);
    assert_int_equal(kn_placement_roles(&placement, 3), 0);
    kn_topology_close(&topology);
}

static void file_needs_only_a_core_for_tasks(void **state)
{
    (void)state;
    struct kn_topology topology = open_machine(8, 1, 0);
    struct kn_placement placement;
    assert_int_equal(parse(&placement, &topology, "task = 7", NULL), 0);
    assert_text(&placement, "task = 7\n");
    kn_placement_close(&placement);
    kn_topology_close(&topology);
}

/* Processors 0 to 3 of a machine of 8, of which this program may use the first four. */
static struct kn_topology open_part(void)
{
    struct kn_topology topology = open_machine(4, 1, 0);
    topology.machine_unit_count = 8;
    return topology;
}

static void file_that_makes_no_sense_is_refused_with_its_line(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t line;
        const char *message;
    } cases[] = {
        {"", 1, "no core runs tasks (add a line like 'task = 4-7')"},
        {"\n\n", 2, "no core runs tasks (add a line like 'task = 4-7')"},
        {"control = 0\nio = 1\n", 2, "no core runs tasks (add a line like 'task = 4-7')"},
        {"\ntasks = 1", 2, "'tasks' is no key (there are control, io, timer and task)"},
        {"tas = 1", 1, "'tas' is no key (there are control, io, timer and task)"},
        {"TASK = 1", 1, "'TASK' is no key (there are control, io, timer and task)"},
        {"= 1", 1, "'' is no key (there are control, io, timer and task)"},
        {"k\x01\xffy = 1", 1, "'k??y' is no key (there are control, io, timer and task)"},
        {"a_key_that_is_far_too_long_to_be_shown = 1", 1,
         "'a_key_that_is_far_too_lo...' is no key (there are control, io, timer and task)"},
        {"task 1", 1, "'task 1' sets nothing (a line reads like 'task = 4-7')"},
        {"task # = 1", 1, "'task' sets nothing (a line reads like 'task = 4-7')"},
        {"task = 1\n\ntask = 2", 3, "'task' stands twice (first in line 1)"},
        {"io =\ntask = 1", 1, "'io' names no core (leave the line out if none is meant)"},
        {"task = # 1", 1, "'task' names no core (leave the line out if none is meant)"},
        {"task = 1,", 1, "'' is no core (try a number, or a range like 4-7)"},
        {"task = ,1", 1, "'' is no core (try a number, or a range like 4-7)"},
        {"task = one", 1, "'one' is no core (try a number, or a range like 4-7)"},
        {"task = 0x1", 1, "'0x1' is no core (try a number, or a range like 4-7)"},
        {"task = 1 2", 1, "'1 2' is no core (try a number, or a range like 4-7)"},
        {"task = -1", 1, "'-1' is no core (try a number, or a range like 4-7)"},
        {"task = 1-", 1, "'1-' is no core (try a number, or a range like 4-7)"},
        {"task = 1-2-3", 1, "'1-2-3' is no core (try a number, or a range like 4-7)"},
        {"task = 3-1", 1, "'3-1' runs backwards"},
        {"task = 2-1", 1, "'2-1' runs backwards"},
        {"task = 1 = 2", 1, "'1 = 2' is no core (try a number, or a range like 4-7)"},
        {"task = 0,1,0", 1, "core 0 stands twice under 'task'"},
        {"task = 0-2,1-3", 1, "core 1 stands twice under 'task'"},
        {"task = 3-5", 1, "core 4 is not open to this program (by its affinity mask or cpuset)"},
        {"task = 8", 1, "there is no such core as 8 (this machine has 0 to 7)"},
        {"task = 99999999999999999999", 1, "there is no such core as 1000000 (this machine has 0 to 7)"},
        {"task = 4294967296", 1, "there is no such core as 1000000 (this machine has 0 to 7)"},
        {"task = 0\ncontrol = 0-2\n\n", 2, "control is for one core, not for 3"},
        {"task = 0\ncontrol = 2,0", 2, "control is for one core, not for 2"},
    };
    struct kn_topology topology = open_part();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct kn_placement_core core = {2, TASK};
        struct kn_placement placement = {.cores = &core, .count = 1};
        struct kn_placement_error error;
        assert_int_equal(parse(&placement, &topology, cases[i].text, &error), -EINVAL);
        assert_int_equal(error.line, cases[i].line);
        assert_string_equal(error.message, cases[i].message);
        assert_ptr_equal(placement.cores, &core); /* nothing has changed */
        assert_int_equal(placement.count, 1);
        assert_int_equal(parse(&placement, &topology, cases[i].text, NULL), -EINVAL);
    }
    kn_topology_close(&topology);
}

static void file_may_hold_any_bytes(void **state)
{
    (void)state;
    struct kn_topology topology = open_part();
    struct kn_placement placement;
    struct kn_placement_error error;
    assert_int_equal(kn_placement_parse(&placement, &topology, "task\0 = 1", 9, &error), -EINVAL);
    assert_string_equal(error.message, "'task?' is no key (there are control, io, timer and task)");
    assert_int_equal(kn_placement_parse(&placement, &topology, "task = 12", 8, NULL), 0); /* no end is needed */
    assert_text(&placement, "task = 1\n");
    kn_placement_close(&placement);
    kn_topology_close(&topology);
}

static void file_is_read_up_to_its_longest(void **state)
{
    (void)state;
    struct kn_topology topology = open_part();
    struct kn_placement placement;
    struct kn_placement_error error;
    const char setting[] = {'t', 'a', 's', 'k', '=', '1'};
    char *text = malloc(KN_PLACEMENT_TEXT_BYTES_MAX + 1);
    assert_non_null(text);
    memset(text, '\n', KN_PLACEMENT_TEXT_BYTES_MAX + 1);
    memcpy(text, setting, sizeof(setting));
    assert_int_equal(kn_placement_parse(&placement, &topology, text, KN_PLACEMENT_TEXT_BYTES_MAX, &error), 0);
    kn_placement_close(&placement);
    assert_int_equal(kn_placement_parse(&placement, &topology, text, KN_PLACEMENT_TEXT_BYTES_MAX + 1, &error), -EINVAL);
    assert_int_equal(error.line, 1);
    assert_string_equal(error.message, "too long: more than 65536 bytes");
    free(text);
    kn_topology_close(&topology);
}

static void format_says_when_there_is_no_room(void **state)
{
    (void)state;
    struct kn_placement_core cores[] = {{0, CONTROL}, {1, TASK}, {3, TASK}};
    const struct kn_placement placement = {.cores = cores, .count = 3};
    const char expected[] = "control = 0\ntask = 1,3\n";
    char text[sizeof(expected)];
    for (size_t capacity = 1; capacity < sizeof(expected); capacity++)
        assert_int_equal(kn_placement_format(&placement, text, capacity), -ENOSPC);
    assert_int_equal(kn_placement_format(&placement, text, sizeof(text)), sizeof(expected) - 1);
    assert_string_equal(text, expected);
}

static void format_is_read_back_as_it_was(void **state)
{
    (void)state;
    for (uint32_t cores = 1; cores <= 64; cores++) {
        struct kn_topology topology = open_machine(cores, 2, cores / 3);
        struct kn_placement written;
        struct kn_placement read;
        char text[1024];
        assert_int_equal(kn_placement_automatic(&written, &topology, NULL), 0);
        int length = kn_placement_format(&written, text, sizeof(text));
        assert_true(length > 0);
        assert_int_equal(kn_placement_parse(&read, &topology, text, (size_t)length, NULL), 0);
        assert_int_equal(read.count, written.count);
        assert_memory_equal(read.cores, written.cores, read.count * sizeof(read.cores[0]));
        kn_placement_close(&read);
        kn_placement_close(&written);
        kn_topology_close(&topology);
    }
}

static void load_reads_a_file_or_says_why_not(void **state)
{
    (void)state;
    struct kn_topology topology = open_part();
    struct kn_placement placement;
    struct kn_placement_error error;
    char path[] = "/tmp/test_placement.XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0);
    assert_int_equal(write(file, "task = 2,3\n", 11), 11);
    assert_int_equal(kn_placement_load(&placement, &topology, path, &error), 0);
    assert_text(&placement, "task = 2,3\n");
    kn_placement_close(&placement);
    assert_int_equal(write(file, "io = 9\n", 7), 7);
    assert_int_equal(kn_placement_load(&placement, &topology, path, &error), -EINVAL);
    assert_int_equal(error.line, 2);
    assert_int_equal(ftruncate(file, KN_PLACEMENT_TEXT_BYTES_MAX + 100), 0);
    assert_int_equal(kn_placement_load(&placement, &topology, path, &error), -EINVAL);
    assert_string_equal(error.message, "too long: more than 65536 bytes");
    close(file);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(kn_placement_load(&placement, &topology, path, &error), -ENOENT);
    assert_int_equal(error.line, 0);
    assert_int_equal(kn_placement_load(&placement, &topology, "/", NULL), -EISDIR);
    kn_topology_close(&topology);
}

static void roles_have_names(void **state)
{
    (void)state;
    assert_string_equal(kn_role_name(KN_ROLE_CONTROL), "control");
    assert_string_equal(kn_role_name(KN_ROLE_TASK), "task");
    assert_string_equal(kn_role_name((enum kn_role)3), "unknown");
}

static void this_machine_can_be_placed(void **state)
{
    (void)state;
    struct kn_topology topology;
    struct kn_placement placement;
    assert_int_equal(kn_topology_open(&topology), 0);
    assert_int_equal(kn_placement_automatic(&placement, &topology, NULL), 0);
    assert_int_equal(placement.count, topology.useful_units);
    kn_placement_close(&placement);
    kn_topology_close(&topology);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(automatic_gives_a_single_core_everything),
        cmocka_unit_test(automatic_lets_small_machines_run_tasks_beside_control),
        cmocka_unit_test(automatic_sets_control_apart_on_larger_machines),
        cmocka_unit_test(automatic_uses_whole_cores_first),
        cmocka_unit_test(automatic_doubles_the_cores_of_tasks_first),
        cmocka_unit_test(automatic_gives_both_threads_of_a_core_the_same_work),
        cmocka_unit_test(automatic_leaves_slow_cores_to_control_and_timers),
        cmocka_unit_test(automatic_stays_within_the_limit_of_a_container),
        cmocka_unit_test(automatic_heeds_wishes_but_leaves_a_core_for_tasks),
        cmocka_unit_test(automatic_names_each_core_once_on_any_machine),
        cmocka_unit_test(file_says_who_does_what),
        cmocka_unit_test(file_needs_only_a_core_for_tasks),
        cmocka_unit_test(file_that_makes_no_sense_is_refused_with_its_line),
        cmocka_unit_test(file_may_hold_any_bytes),
        cmocka_unit_test(file_is_read_up_to_its_longest),
        cmocka_unit_test(format_says_when_there_is_no_room),
        cmocka_unit_test(format_is_read_back_as_it_was),
        cmocka_unit_test(load_reads_a_file_or_says_why_not),
        cmocka_unit_test(roles_have_names),
        cmocka_unit_test(this_machine_can_be_placed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
