/* Reactors that have nothing to do: how they sleep, what wakes them, and their input and output. */
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "reactors.h"

static struct kn_reactor *first_of(struct kn_runtime *runtime)
{
    return kn_runtime_reactor(runtime, 0);
}

/* ---- sleep ---- */

static void note_thread(struct probe *probe, struct kn_reactor *reactor)
{
    (void)reactor;
    clockid_t *clock = probe->argument;
    assert_int_equal(pthread_getcpuclockid(pthread_self(), clock), 0);
}

static int64_t time_of(clockid_t clock)
{
    struct timespec time;
    assert_int_equal(clock_gettime(clock, &time), 0);
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

/* Learns of the clock of processor time of each reactor's thread. */
static void find_clocks(struct kn_runtime *runtime, clockid_t *clocks)
{
    for (size_t i = 0; i < kn_runtime_count(runtime); i++) {
        struct kn_task_group group;
        struct probe probe;
        probe_init(&probe, 3, "d", NULL);
        probe.act = note_thread;
        probe.argument = &clocks[i];
        kn_task_group_init(&group, 1);
        probe.task.group = &group;
        probe.task.flags = KN_TASK_PINNED;
        kn_task_spawn(&probe.task, kn_runtime_reactor(runtime, i));
        assert_int_equal(kn_task_group_join(&group, NULL), 0);
    }
}

static void reactor_without_work_uses_no_processor_time_and_has_no_tick(void **state)
{
    (void)state;
    const int64_t span_ns = 300000000;
    for (enum kn_reactor_clock clock = KN_REACTOR_CLOCK_AUTO; clock <= KN_REACTOR_CLOCK_COARSE; clock++) {
        if (clock == KN_REACTOR_CLOCK_COUNTER) /* not on every machine; automatic where it is */
            continue;
        struct kn_runtime *runtime;
        struct kn_runtime_options options = {.reactors = 2, .clock = clock};
        assert_int_equal(kn_runtime_open(&runtime, &options), 0);
        assert_int_equal(kn_runtime_start(runtime, 0), 0);
        clockid_t clocks[2] = {0};
        int64_t before_ns[2];
        uint64_t parks[2];
        find_clocks(runtime, clocks);
        for (size_t i = 0; i < 2; i++)
            reactors_await_parked(runtime, i);
        for (size_t i = 0; i < 2; i++) {
            before_ns[i] = time_of(clocks[i]);
            parks[i] = REACTORS_COUNTER(runtime, i, parks);
        }
        reactors_nap(span_ns);
        for (size_t i = 0; i < 2; i++) {
            assert_in_range(time_of(clocks[i]) - before_ns[i], 0, span_ns / 20);
            assert_in_range(REACTORS_COUNTER(runtime, i, parks) - parks[i], 0, 2);
            assert_int_equal(REACTORS_COUNTER(runtime, i, is_parked), 1);
        }
        kn_runtime_close(runtime);
    }
}

static void reactor_whose_tasks_all_wait_sleeps(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_start((struct kn_runtime_options){.reactors = 2});
    struct probe probes[100];
    for (unsigned i = 0; i < 100; i++) {
        probe_init(&probes[i], i % KN_PRIORITY_CLASSES, "p", NULL);
        kn_task_spawn(&probes[i].task, kn_runtime_reactor(runtime, i % 2));
    }
    for (unsigned i = 0; i < 100; i++)
        REACTORS_AWAIT(probes[i].polls == 1);
    for (size_t i = 0; i < 2; i++)
        reactors_await_parked(runtime, i);
    kn_runtime_close(runtime);
}

static void wake(void *task)
{
    kn_task_wake(task);
}

static void reactor_that_sleeps_is_woken_by_a_thread(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_start((struct kn_runtime_options){.spin_ns = -1});
    for (unsigned i = 0; i < 200; i++) {
        struct probe probe;
        struct kn_task_group group;
        reactors_await_parked(runtime, 0);
        probe_init(&probe, 3, "p", NULL);
        kn_task_group_init(&group, 1);
        probe.task.group = &group;
        kn_task_spawn(&probe.task, first_of(runtime));
        REACTORS_AWAIT(probe.polls == 1);
        reactors_await_parked(runtime, 0);
        kn_task_wake(&probe.task);
        REACTORS_AWAIT(probe.polls == 2);
        reactors_await_parked(runtime, 0);
        kn_task_cancel(&probe.task);
        assert_int_equal(kn_task_group_join(&group, NULL), 0);
        assert_int_equal(probe.polls, 2);
    }
    assert_true(REACTORS_COUNTER(runtime, 0, parks) >= 600);
    kn_runtime_close(runtime);
}

static void spawn_then_wake_argument(struct probe *probe, struct kn_reactor *reactor)
{
    if (probe->polls == 1)
        kn_task_spawn(probe->argument, kn_runtime_reactor(kn_reactor_runtime(reactor), 1));
    else
        kn_task_wake(probe->argument);
}

static void reactor_that_sleeps_is_woken_by_another(void **state)
{
    (void)state;
    struct kn_runtime *runtime =
        reactors_start((struct kn_runtime_options){.reactors = 2, .spin_ns = -1, .no_balance = true});
    for (unsigned i = 0; i < 200; i++) {
        struct probe sleeper;
        struct probe actor;
        struct kn_task_group group;
        reactors_await_parked(runtime, 1);
        probe_init(&sleeper, 3, "pd", NULL);
        probe_init(&actor, 3, "pd", NULL);
        kn_task_group_init(&group, 2);
        sleeper.task.group = actor.task.group = &group;
        actor.act = spawn_then_wake_argument;
        actor.argument = &sleeper.task;
        kn_task_spawn(&actor.task, first_of(runtime));
        REACTORS_AWAIT(sleeper.polls == 1);
        reactors_await_parked(runtime, 0);
        reactors_await_parked(runtime, 1);
        kn_task_wake(&actor.task);
        assert_int_equal(kn_task_group_join(&group, NULL), 0);
        assert_int_equal(sleeper.polls, 2);
        assert_ptr_equal(sleeper.last, kn_runtime_reactor(runtime, 1));
    }
    kn_runtime_close(runtime);
}

/* ---- turns of an application's own ---- */

static void reactor_turn_without_a_timeout_does_not_sleep(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){0});
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(kn_reactor_turn(first_of(runtime), 0), 0);
    assert_int_equal(REACTORS_COUNTER(runtime, 0, parks), 0);
    kn_runtime_close(runtime);
}

static void reactor_turn_sleeps_for_its_timeout(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){0});
    uint64_t start_ns = kn_clock_monotonic_ns();
    assert_int_equal(kn_reactor_turn(first_of(runtime), 2000000), 0);
    assert_true(kn_clock_monotonic_ns() - start_ns >= 2000000);
    assert_int_equal(REACTORS_COUNTER(runtime, 0, parks), 1);
    assert_int_equal(REACTORS_COUNTER(runtime, 0, is_parked), 0);
    /* Not when there is something to do. */
    struct probe probe;
    probe_init(&probe, 3, "d", NULL);
    kn_task_spawn(&probe.task, first_of(runtime));
    assert_int_equal(kn_reactor_turn(first_of(runtime), -1), 1);
    assert_int_equal(REACTORS_COUNTER(runtime, 0, parks), 1);
    kn_runtime_close(runtime);
}

static void *wake_once_parked(void *argument)
{
    struct probe *probe = argument;
    struct kn_runtime *runtime = probe->argument;
    reactors_await_parked(runtime, 0);
    kn_task_wake(&probe->task);
    return NULL;
}

static void reactor_turn_that_sleeps_for_ever_is_woken(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){0});
    struct probe probe;
    pthread_t thread;
    probe_init(&probe, 3, "p", NULL);
    probe.argument = runtime;
    kn_task_spawn(&probe.task, first_of(runtime));
    assert_int_equal(kn_reactor_turn(first_of(runtime), -1), 1);
    assert_int_equal(pthread_create(&thread, NULL, wake_once_parked, &probe), 0);
    while (probe.polls < 2)
        assert_in_range(kn_reactor_turn(first_of(runtime), -1), 0, 1);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(REACTORS_COUNTER(runtime, 0, parks) >= 1);
    kn_runtime_close(runtime);
}

/* ---- input and output ---- */

/* Input and output that answers what it is told, and sleeps on a descriptor if that is nothing. */
struct face {
    int event;
    _Atomic int answer; /* of polls that do not sleep */
    _Atomic int sleep_answer;
    _Atomic unsigned polls;
    _Atomic unsigned sleeps;
    _Atomic unsigned wakes;
};

static int face_poll(void *context, int64_t timeout_ns)
{
    struct face *face = context;
    if (timeout_ns == 0) {
        face->polls++;
        return face->answer;
    }
    face->sleeps++;
    struct pollfd descriptor = {.fd = face->event, .events = POLLIN};
    uint64_t count;
    if (face->sleep_answer == 0 && poll(&descriptor, 1, timeout_ns < 0 ? -1 : (int)(timeout_ns / 1000000 + 1)) > 0)
        assert_int_equal(read(face->event, &count, sizeof(count)), sizeof(count));
    return face->sleep_answer;
}

static void face_wake(void *context)
{
    struct face *face = context;
    const uint64_t one = 1;
    face->wakes++;
    assert_int_equal(write(face->event, &one, sizeof(one)), sizeof(one));
}

static void face_open(struct face *face, struct kn_reactor *reactor)
{
    *face = (struct face){.event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    assert_true(face->event >= 0);
    const struct kn_reactor_io io = {.context = face, .poll = face_poll, .wake = face_wake};
    kn_reactor_set_io(reactor, &io);
}

static void reactor_serves_its_input_and_output_while_there_are_tasks(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){.io_interval_ns = 1});
    struct face face;
    struct probe probe;
    face_open(&face, first_of(runtime));
    probe_init(&probe, 0, "y", NULL);
    kn_task_spawn(&probe.task, first_of(runtime));
    for (unsigned i = 0; i < 50; i++)
        assert_int_equal(kn_reactor_turn(first_of(runtime), -1), 1);
    assert_int_equal(probe.polls, 50 * 64);
    assert_int_equal(face.polls, 50);
    assert_int_equal(face.sleeps, 0);
    kn_runtime_close(runtime);
    close(face.event);
}

static void reactor_looks_no_more_often_than_its_interval(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){.io_interval_ns = INT64_C(1000000000000)});
    struct face face;
    struct probe probe;
    face_open(&face, first_of(runtime));
    probe_init(&probe, 0, "y", NULL);
    kn_task_spawn(&probe.task, first_of(runtime));
    for (unsigned i = 0; i < 50; i++)
        assert_int_equal(kn_reactor_turn(first_of(runtime), -1), 1);
    assert_in_range(face.polls, 0, 1);
    kn_runtime_close(runtime);
    close(face.event);
}

static void reactor_did_something_when_its_input_and_output_did(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){0});
    struct face face;
    face_open(&face, first_of(runtime));
    face.answer = 3;
    assert_int_equal(kn_reactor_turn(first_of(runtime), -1), 1);
    face.answer = 0;
    face.sleep_answer = 2;
    reactors_nap(2000); /* so that it is looked at again, and at once: */
    assert_int_equal(kn_reactor_turn(first_of(runtime), 1000000), 1);
    assert_int_equal(face.sleeps, 1);
    face.sleep_answer = 0;
    assert_int_equal(kn_reactor_turn(first_of(runtime), 1000000), 0);
    assert_int_equal(face.sleeps, 2);
    kn_runtime_close(runtime);
    close(face.event);
}

static void reactor_sleeps_in_its_input_and_output_and_is_woken_there(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){.spin_ns = -1});
    struct face face;
    struct probe probe;
    face_open(&face, first_of(runtime));
    assert_int_equal(kn_runtime_start(runtime, 0), 0);
    probe_init(&probe, 3, "p", NULL);
    reactors_await_parked(runtime, 0);
    kn_task_spawn(&probe.task, first_of(runtime));
    for (unsigned i = 1; i <= 200; i++) {
        REACTORS_AWAIT(probe.polls == i);
        reactors_await_parked(runtime, 0);
        reactors_outside(wake, &probe.task);
    }
    REACTORS_AWAIT(probe.polls == 201);
    assert_true(face.wakes >= 200);
    assert_true(face.sleeps >= 200);
    kn_runtime_close(runtime);
    close(face.event);
}

static void reactor_goes_on_when_its_input_and_output_has_ended(void **state)
{
    (void)state;
    for (unsigned asleep = 0; asleep <= 1; asleep++) {
        struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){0});
        struct face face;
        struct probe probe;
        face_open(&face, first_of(runtime));
        face.answer = asleep ? 0 : -ESHUTDOWN;
        face.sleep_answer = -ESHUTDOWN;
        assert_int_equal(kn_reactor_turn(first_of(runtime), asleep ? 1000000 : 0), 0);
        assert_int_equal(face.polls, 1);
        assert_int_equal(face.sleeps, asleep);
        close(face.event);
        probe_init(&probe, 3, "yyyd", NULL);
        kn_task_spawn(&probe.task, first_of(runtime));
        reactors_settle(runtime);
        assert_int_equal(probe.polls, 4);
        assert_int_equal(kn_reactor_turn(first_of(runtime), 1000000), 0);
        assert_int_equal(face.polls + face.sleeps, 1 + asleep);
        kn_runtime_close(runtime);
    }
}

static void reactor_ends_its_run_when_its_input_and_output_fails(void **state)
{
    (void)state;
    for (unsigned asleep = 0; asleep <= 1; asleep++) {
        struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){.spin_ns = -1});
        struct face face;
        face_open(&face, first_of(runtime));
        if (asleep)
            face.sleep_answer = -EIO;
        else
            face.answer = -EPIPE;
        assert_int_equal(asleep ? kn_reactor_run(first_of(runtime)) : kn_reactor_turn(first_of(runtime), -1),
                         asleep ? -EIO : -EPIPE);
        kn_runtime_close(runtime);
        close(face.event);
    }
}

static void reactor_goes_on_when_a_signal_ends_its_input_and_output(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){0});
    struct face face;
    face_open(&face, first_of(runtime));
    face.answer = -EINTR;
    face.sleep_answer = -EINTR;
    assert_int_equal(kn_reactor_turn(first_of(runtime), 1000000), 0);
    face.answer = 1;
    reactors_nap(2000);
    assert_int_equal(kn_reactor_turn(first_of(runtime), 1000000), 1);
    kn_runtime_close(runtime);
    close(face.event);
}

static void reactor_may_lose_its_input_and_output(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){0});
    struct face face;
    face_open(&face, first_of(runtime));
    kn_reactor_set_io(first_of(runtime), NULL);
    close(face.event);
    assert_int_equal(kn_reactor_turn(first_of(runtime), 1000000), 0);
    assert_int_equal(face.polls + face.sleeps, 0);
    assert_int_equal(REACTORS_COUNTER(runtime, 0, parks), 1);
    kn_runtime_close(runtime);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reactor_without_work_uses_no_processor_time_and_has_no_tick),
        cmocka_unit_test(reactor_whose_tasks_all_wait_sleeps),
        cmocka_unit_test(reactor_that_sleeps_is_woken_by_a_thread),
        cmocka_unit_test(reactor_that_sleeps_is_woken_by_another),
        cmocka_unit_test(reactor_turn_without_a_timeout_does_not_sleep),
        cmocka_unit_test(reactor_turn_sleeps_for_its_timeout),
        cmocka_unit_test(reactor_turn_that_sleeps_for_ever_is_woken),
        cmocka_unit_test(reactor_serves_its_input_and_output_while_there_are_tasks),
        cmocka_unit_test(reactor_looks_no_more_often_than_its_interval),
        cmocka_unit_test(reactor_did_something_when_its_input_and_output_did),
        cmocka_unit_test(reactor_sleeps_in_its_input_and_output_and_is_woken_there),
        cmocka_unit_test(reactor_goes_on_when_its_input_and_output_has_ended),
        cmocka_unit_test(reactor_ends_its_run_when_its_input_and_output_fails),
        cmocka_unit_test(reactor_goes_on_when_a_signal_ends_its_input_and_output),
        cmocka_unit_test(reactor_may_lose_its_input_and_output),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
