/* Tests of signals as a stream. */
#include "io_loop.h"

#include <pthread.h>
#include <time.h>

#include <kernel/io_signal.h>

static void signals_come_as_numbers(void **state)
{
    (void)state;
    struct kn_io_driver *driver = io_loop_open();
    struct kn_stream_signals signals;
    struct kn_stream_next next;
    struct kn_stream *stream = kn_stream_signals(&signals, driver, KN_SIGNAL(SIGUSR1) | KN_SIGNAL(SIGUSR2));
    assert_int_equal(kill(getpid(), SIGUSR2), 0); /* before it is looked for: waits, as it is blocked */
    assert_int_equal(io_loop_number(driver, kn_stream_next(&next, stream)), SIGUSR2);
    assert_int_equal(kill(getpid(), SIGUSR1), 0);
    assert_int_equal(kill(getpid(), SIGUSR1), 0); /* once only */
    assert_int_equal(io_loop_number(driver, kn_stream_next(&next, stream)), SIGUSR1);
    kn_stream_drop(stream);
    kn_stream_drop(stream);
    assert_int_equal(kn_io_driver_count(driver), 0);
    struct kn_future_signal signal;
    struct kn_future_timeout timeout;
    struct kn_future *again = kn_future_signal(&signal, driver, KN_SIGNAL(SIGUSR1));
    assert_int_equal(io_loop_failure(driver, kn_future_timeout(&timeout, again, 1000000)), -ETIMEDOUT);
    assert_int_equal(kn_io_driver_count(driver), 0);
    kn_io_driver_close(driver);
}

static void *send_later(void *argument)
{
    const struct timespec nap = {.tv_nsec = 500000};
    nanosleep(&nap, NULL);
    kill(getpid(), *(int *)argument);
    return NULL;
}

static void ctrl_c_wakes_who_waits_for_it(void **state)
{
    (void)state;
    struct kn_io_driver *driver = io_loop_open();
    for (unsigned i = 0; i < 10; i++) {
        struct kn_future_signal signal;
        pthread_t thread;
        int number = SIGINT;
        assert_int_equal(pthread_create(&thread, NULL, send_later, &number), 0);
        assert_int_equal(io_loop_number(driver, kn_future_ctrl_c(&signal, driver)), SIGINT);
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_int_equal(kn_io_driver_count(driver), 0);
    }
    kn_io_driver_close(driver);
}

static void a_full_driver_is_a_failure_and_then_the_end(void **state)
{
    (void)state;
    struct kn_io_driver *driver;
    assert_int_equal(kn_io_driver_open(&driver, &(struct kn_io_driver_options){.capacity = 1}), 0);
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    struct kn_io io;
    assert_int_equal(kn_io_open(&io, driver, ends[0]), 0);
    size_t before = io_loop_descriptors();
    struct kn_stream_signals signals;
    struct kn_stream_next next;
    struct kn_stream *stream = kn_stream_signals(&signals, driver, KN_SIGNAL(SIGUSR1));
    assert_int_equal(io_loop_failure(driver, kn_stream_next(&next, stream)), -ENOSPC);
    assert_int_equal(io_loop_failure(driver, kn_stream_next(&next, stream)), KN_END);
    assert_int_equal(io_loop_descriptors(), before);
    kn_stream_drop(stream);
    kn_io_close(&io);
    close(ends[1]);
    kn_io_driver_close(driver);
}

/* ---- drops ---- */

static struct kn_future *signal_make(struct kn_io_driver *driver, void *context)
{
    assert_int_equal(kill(getpid(), SIGUSR1), 0);
    return kn_future_signal(context, driver, KN_SIGNAL(SIGUSR1));
}

static void signal_unmake(void *context)
{
    struct kn_future_signal *signal = context;
    assert_false(signal->signals.is_open);
}

static void waiting_may_be_dropped_anywhere(void **state)
{
    (void)state;
    struct kn_future_signal signal;
    (void)io_loop_cut_everywhere(signal_make, signal_unmake, &signal);
    /* Also where none comes. */
    struct kn_io_driver *driver = io_loop_open();
    size_t before = io_loop_descriptors();
    struct io_loop_cut cut = {.future.type = &io_loop_cut_type, .polls = 1};
    cut.inner = kn_future_ctrl_c(&signal, driver);
    assert_int_equal(io_loop_failure(driver, &cut.future), KN_END);
    assert_int_equal(io_loop_descriptors(), before);
    kn_io_driver_close(driver);
    assert_null(kn_future_ctrl_c(NULL, driver));
    assert_null(kn_stream_signals(NULL, driver, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signals_come_as_numbers),
        cmocka_unit_test(ctrl_c_wakes_who_waits_for_it),
        cmocka_unit_test(a_full_driver_is_a_failure_and_then_the_end),
        cmocka_unit_test(waiting_may_be_dropped_anywhere),
    };
    if (kn_signal_block(KN_SIGNAL(SIGINT) | KN_SIGNAL(SIGUSR1) | KN_SIGNAL(SIGUSR2)) < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
