/* Tests of programs as children. */
#include "io_loop.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>

#include <kernel/future_set.h>
#include <kernel/io_process.h>
#include <kernel/io_stream.h>

/* Runs a line of shell. */
#define SHELL(line)                                                                                                    \
    (char *const[])                                                                                                    \
    {                                                                                                                  \
        "sh", "-c", (line), NULL                                                                                       \
    }

/* Whether this process has no child left, dead or alive. */
static bool has_no_children(void)
{
    return waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD;
}

/* Turns the driver until it has no descriptor left. */
static void await_none(struct kn_io_driver *driver)
{
    for (unsigned i = 0; kn_io_driver_count(driver) > 0; i++) {
        struct kn_future_delay delay;
        assert_true(i < 20000);
        (void)io_loop_run(driver, kn_future_delay(&delay, 1000000));
    }
}

static struct kn_process_options options_of(char *const *arguments)
{
    return (struct kn_process_options){
        .arguments = arguments, .input = KN_PROCESS_NULL, .output = KN_PROCESS_NULL, .error = KN_PROCESS_NULL};
}

/* ---- ends ---- */

static int64_t end_of(struct kn_io_driver *driver, char *line)
{
    struct kn_process process;
    struct kn_future_process_wait wait;
    struct kn_process_options options = options_of(SHELL(line));
    assert_int_equal(kn_process_spawn(&process, driver, &options), 0);
    int64_t end = io_loop_number(driver, kn_future_process_wait(&wait, &process));
    assert_int_equal(io_loop_number(driver, kn_future_process_wait(&wait, &process)), end); /* as often as one likes */
    assert_int_equal(kn_process_kill(&process, SIGTERM), -ESRCH);
    kn_process_close(&process);
    kn_process_close(&process);
    assert_int_equal(io_loop_failure(driver, kn_future_process_wait(&wait, &process)), -EBADF);
    return end;
}

static void waiting_answers_with_the_exit_code_or_the_signal(void **state)
{
    (void)state;
    struct kn_io_driver *driver = io_loop_open();
    assert_int_equal(end_of(driver, "exit 0"), 0);
    assert_int_equal(end_of(driver, "exit 3"), 3);
    assert_int_equal(end_of(driver, "sleep 0.02; exit 255"), 255);
    assert_int_equal(end_of(driver, "kill -TERM $$"), -SIGTERM);
    assert_int_equal(end_of(driver, "kill -USR1 $$"), -SIGUSR1); /* not mistaken for -ECHILD, of the same number */
    assert_true(has_no_children());
    assert_int_equal(kn_io_driver_count(driver), 0);
    kn_io_driver_close(driver);
}

static void what_cannot_be_started_is_a_failure_that_leaves_nothing(void **state)
{
    (void)state;
    struct kn_io_driver *driver = io_loop_open();
    size_t before = io_loop_descriptors();
    struct kn_process process;
    struct kn_process_options options = {.input = KN_PROCESS_PIPE, .output = KN_PROCESS_PIPE};
    assert_int_equal(kn_process_spawn(&process, driver, &options), -EINVAL);
    options.arguments = (char *const[]){"/nowhere/at/all", NULL};
    assert_int_equal(kn_process_spawn(&process, driver, &options), -ENOENT);
    options.path = "/";
    assert_int_equal(kn_process_spawn(&process, driver, &options), -EACCES);
    kn_process_close(&process);
    assert_int_equal(kn_io_driver_count(driver), 0);
    kn_io_driver_close(driver);
    /* No room for its end, after it has started: ended again. */
    assert_int_equal(kn_io_driver_open(&driver, &(struct kn_io_driver_options){.capacity = 2}), 0);
    options.path = NULL;
    options.arguments = SHELL("sleep 100");
    assert_int_equal(kn_process_spawn(&process, driver, &options), -ENOSPC);
    /* No room for a pipe. */
    options.error = KN_PROCESS_PIPE;
    assert_int_equal(kn_process_spawn(&process, driver, &options), -ENOSPC);
    assert_int_equal(kn_io_driver_count(driver), 0);
    kn_io_driver_close(driver);
    assert_true(has_no_children());
    assert_int_equal(io_loop_descriptors() + 2, before); /* less the driver's own */
}

static void a_status_that_others_took_is_a_failure(void **state)
{
    (void)state;
    struct kn_io_driver *driver = io_loop_open();
    struct kn_process process;
    struct kn_future_process_wait wait;
    struct kn_process_options options = options_of(SHELL("exit 0"));
    assert_int_equal(kn_process_spawn(&process, driver, &options), 0);
    assert_int_equal(waitpid(process.pid, NULL, 0), process.pid);
    assert_int_equal(io_loop_failure(driver, kn_future_process_wait(&wait, &process)), -ECHILD);
    kn_process_close(&process);
    kn_io_driver_close(driver);
}

/* ---- pipes ---- */

/* Writes, while others read; then closes the pipe. */
struct feeder {
    struct kn_future future;
    struct kn_future_io_write_all write;
    struct kn_io *io;
};

static struct kn_outcome feeder_poll(struct kn_future *future, struct kn_context *context)
{
    struct feeder *self = KN_CONTAINER_OF(future, struct feeder, future);
    struct kn_outcome outcome = kn_future_poll(&self->write.future, context);
    if (outcome.status != KN_PENDING)
        kn_io_close(self->io);
    return outcome;
}

static void feeder_drop(struct kn_future *future)
{
    kn_future_drop(&KN_CONTAINER_OF(future, struct feeder, future)->write.future);
}

static const struct kn_future_type feeder_type = {.name = "feeder", .poll = feeder_poll, .drop = feeder_drop};

enum { FED_BYTES = 500000 };

static void a_filter_is_fed_and_read_at_once(void **state)
{
    (void)state;
    struct kn_io_driver *driver = io_loop_open();
    struct kn_process process;
    struct kn_process_options options = {.arguments = SHELL("tr a b; echo $GREETING >&2"),
                                         .environment = (char *const[]){"GREETING=hello", "PATH=/usr/bin:/bin", NULL},
                                         .input = KN_PROCESS_PIPE,
                                         .output = KN_PROCESS_PIPE,
                                         .error = KN_PROCESS_PIPE};
    assert_int_equal(kn_process_spawn(&process, driver, &options), 0);
    static uint8_t fed[FED_BYTES];
    static uint8_t gathered[FED_BYTES + 1];
    static uint8_t buffers[2][4096];
    uint8_t errors[16];
    memset(fed, 'a', sizeof(fed));
    struct feeder feeder = {.future.type = &feeder_type, .io = &process.input};
    (void)kn_future_io_write_all(&feeder.write, &process.input, fed, sizeof(fed));
    struct kn_stream_read read[2];
    struct kn_stream_gather gather[2];
    struct kn_future_process_wait wait;
    struct kn_future_set set;
    struct kn_future_member members[4];
    struct kn_stream_next next;
    struct kn_stream *output = kn_stream_read(&read[0], &process.output, buffers[0], sizeof(buffers[0]));
    struct kn_stream *error = kn_stream_read(&read[1], &process.error, buffers[1], sizeof(buffers[1]));
    struct kn_stream *answers = kn_future_set_ordered(&set);
    assert_int_equal(kn_future_set_add(&set, &members[0], &feeder.future), 0);
    assert_int_equal(
        kn_future_set_add(&set, &members[1], kn_stream_gather(&gather[0], output, gathered, sizeof(gathered))), 0);
    assert_int_equal(kn_future_set_add(&set, &members[2], kn_stream_gather(&gather[1], error, errors, sizeof(errors))),
                     0);
    assert_int_equal(kn_future_set_add(&set, &members[3], kn_future_process_wait(&wait, &process)), 0);
    assert_int_equal(io_loop_number(driver, kn_stream_next(&next, answers)), FED_BYTES);
    assert_int_equal(io_loop_number(driver, kn_stream_next(&next, answers)), FED_BYTES);
    assert_int_equal(io_loop_number(driver, kn_stream_next(&next, answers)), 6);
    assert_int_equal(io_loop_number(driver, kn_stream_next(&next, answers)), 0);
    assert_memory_equal(errors, "hello\n", 6);
    memset(fed, 'b', sizeof(fed));
    assert_memory_equal(fed, gathered, FED_BYTES);
    kn_process_close(&process);
    kn_io_driver_close(driver);
}

/* Lists the descriptors of a child, whose parent has more. */
static void a_child_has_the_three_and_no_other(void **state)
{
    (void)state;
    for (int number = 3; number < 1024; number++) /* what this program was started with */
        (void)fcntl(number, F_SETFD, FD_CLOEXEC);
    struct kn_io_driver *driver = io_loop_open();
    struct kn_process process;
    struct kn_process_options options = {
        .arguments =
            SHELL("for n in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do test -e /proc/$$/fd/$n && echo $n; done"),
        .output = KN_PROCESS_PIPE,
        .input = KN_PROCESS_NULL,
        .error = KN_PROCESS_NULL};
    /* Also where one of the three was closed, and a pipe takes its number. */
    for (unsigned closed = 0; closed < 2; closed++) {
        int input = fcntl(0, F_DUPFD_CLOEXEC, 10);
        if (closed)
            close(0);
        int result = kn_process_spawn(&process, driver, &options);
        if (closed && input >= 0)
            dup2(input, 0);
        if (input >= 0)
            close(input);
        assert_int_equal(result, 0);
        assert_true(process.output.descriptor > 2);
        assert_true(process.exit.descriptor > 2);
        uint8_t buffer[64];
        uint8_t text[64];
        struct kn_stream_read read;
        struct kn_stream_gather gather;
        struct kn_stream *output = kn_stream_read(&read, &process.output, buffer, sizeof(buffer));
        int64_t length = io_loop_number(driver, kn_stream_gather(&gather, output, text, sizeof(text) - 1));
        text[length] = '\0';
        assert_string_equal(text, "0\n1\n2\n");
        kn_process_close(&process);
    }
    await_none(driver);
    kn_io_driver_close(driver);
}

static void a_child_starts_with_its_signals_as_usual(void **state)
{
    (void)state;
    struct kn_io_driver *driver = io_loop_open();
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(end_of(driver, "kill -PIPE $$"), -SIGPIPE);
    assert_int_equal(end_of(driver, "kill -TERM $$"), -SIGTERM);
    signal(SIGPIPE, SIG_DFL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    kn_io_driver_close(driver);
}

/* ---- closing before the end ---- */

static void closing_kills_where_that_was_asked_for(void **state)
{
    (void)state;
    struct kn_io_driver *driver = io_loop_open();
    struct kn_process process;
    struct kn_process_options options = options_of(SHELL("exec sleep 100"));
    options.kill_on_close = true;
    assert_int_equal(kn_process_spawn(&process, driver, &options), 0);
    kn_process_close(&process);
    memset(&process, 0xa5, sizeof(process)); /* its memory is free */
    await_none(driver);
    assert_true(has_no_children());
    kn_io_driver_close(driver);
}

static void a_child_that_runs_on_is_reaped_by_the_driver(void **state)
{
    (void)state;
    struct kn_io_driver *driver = io_loop_open();
    struct kn_process process;
    struct kn_process_options options = options_of(SHELL("sleep 0.05"));
    assert_int_equal(kn_process_spawn(&process, driver, &options), 0);
    kn_process_close(&process);
    assert_int_equal(kn_io_driver_count(driver), 1);
    assert_false(has_no_children());
    await_none(driver);
    assert_true(has_no_children());
    kn_io_driver_close(driver);
}

static void closing_the_driver_waits_for_those_that_were_killed(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 10; i++) {
        struct kn_io_driver *driver = io_loop_open();
        struct kn_process process;
        struct kn_process_options options = options_of(SHELL("exec sleep 100"));
        options.kill_on_close = true;
        assert_int_equal(kn_process_spawn(&process, driver, &options), 0);
        kn_process_close(&process);
        kn_io_driver_close(driver);
        assert_true(has_no_children());
    }
}

static void a_signal_ends_who_is_waited_for(void **state)
{
    (void)state;
    struct kn_io_driver *driver = io_loop_open();
    struct kn_process process;
    struct kn_future_process_wait wait;
    struct kn_future_timeout timeout;
    struct kn_process_options options = options_of(SHELL("exec sleep 100"));
    assert_int_equal(kn_process_spawn(&process, driver, &options), 0);
    struct kn_future *future = kn_future_timeout(&timeout, kn_future_process_wait(&wait, &process), 2000000);
    assert_int_equal(io_loop_failure(driver, future), -ETIMEDOUT);
    assert_int_equal(kn_process_kill(&process, 10000), -EINVAL);
    assert_int_equal(kn_process_kill(&process, SIGTERM), 0);
    assert_int_equal(io_loop_number(driver, kn_future_process_wait(&wait, &process)), -SIGTERM);
    kn_process_close(&process);
    kn_io_driver_close(driver);
}

/* ---- as a future ---- */

static void a_program_is_run_to_its_end(void **state)
{
    (void)state;
    struct kn_io_driver *driver = io_loop_open();
    struct kn_future_process process;
    struct kn_process_options options = options_of(SHELL("exit 7"));
    assert_int_equal(io_loop_number(driver, kn_future_process(&process, driver, &options)), 7);
    options.arguments = (char *const[]){"/nowhere/at/all", NULL};
    assert_int_equal(io_loop_failure(driver, kn_future_process(&process, driver, &options)), -ENOENT);
    assert_int_equal(kn_io_driver_count(driver), 0);
    assert_null(kn_future_process(NULL, driver, &options));
    assert_null(kn_future_process_wait(NULL, NULL));
    kn_io_driver_close(driver);
}

static void a_program_that_is_given_up_on_is_killed(void **state)
{
    (void)state;
    struct kn_io_driver *driver = io_loop_open();
    struct kn_future_process process;
    struct kn_future_timeout timeout;
    struct kn_process_options options = options_of(SHELL("exec sleep 100"));
    options.kill_on_close = true;
    struct kn_future *future = kn_future_timeout(&timeout, kn_future_process(&process, driver, &options), 2000000);
    assert_int_equal(io_loop_failure(driver, future), -ETIMEDOUT);
    await_none(driver);
    assert_true(has_no_children());
    kn_io_driver_close(driver);
}

struct dropped {
    struct kn_io_driver *driver;
    struct kn_future_process process;
    struct kn_process_options options;
};

static struct kn_future *dropped_make(struct kn_io_driver *driver, void *context)
{
    struct dropped *self = context;
    self->driver = driver;
    return kn_future_process(&self->process, driver, &self->options);
}

static void dropped_unmake(void *context)
{
    struct dropped *self = context;
    memset(&self->process, 0xa5, sizeof(self->process));
    await_none(self->driver);
    assert_true(has_no_children());
}

static void a_program_may_be_dropped_anywhere(void **state)
{
    (void)state;
    struct dropped dropped = {.options = options_of(SHELL("exit 0"))};
    (void)io_loop_cut_everywhere(dropped_make, dropped_unmake, &dropped);
    dropped.options.kill_on_close = true;
    dropped.options.input = dropped.options.output = dropped.options.error = KN_PROCESS_PIPE;
    (void)io_loop_cut_everywhere(dropped_make, dropped_unmake, &dropped);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waiting_answers_with_the_exit_code_or_the_signal),
        cmocka_unit_test(what_cannot_be_started_is_a_failure_that_leaves_nothing),
        cmocka_unit_test(a_status_that_others_took_is_a_failure),
        cmocka_unit_test(a_filter_is_fed_and_read_at_once),
        cmocka_unit_test(a_child_has_the_three_and_no_other),
        cmocka_unit_test(a_child_starts_with_its_signals_as_usual),
        cmocka_unit_test(closing_kills_where_that_was_asked_for),
        cmocka_unit_test(a_child_that_runs_on_is_reaped_by_the_driver),
        cmocka_unit_test(closing_the_driver_waits_for_those_that_were_killed),
        cmocka_unit_test(a_signal_ends_who_is_waited_for),
        cmocka_unit_test(a_program_is_run_to_its_end),
        cmocka_unit_test(a_program_that_is_given_up_on_is_killed),
        cmocka_unit_test(a_program_may_be_dropped_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
