/* Readiness. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

#include <kernel/poll.h>

struct fixture {
    struct kn_poll poll;
    struct kn_events events;
    int near;
    int far;
};

static struct fixture open_fixture(void)
{
    struct fixture fixture = {0};
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    assert_int_equal(kn_poll_open(&fixture.poll, KN_POLL_BACKEND_AUTO), 0);
    assert_int_equal(kn_events_init(&fixture.events, 8), 0);
    fixture.near = pair[0];
    fixture.far = pair[1];
    return fixture;
}

static void close_fixture(struct fixture *fixture)
{
    close(fixture->near);
    close(fixture->far);
    kn_events_free(&fixture->events);
    kn_poll_close(&fixture->poll);
}

/* What is ready now for the one registration, or 0. */
static uint32_t ready(struct fixture *fixture)
{
    assert_int_equal(kn_poll_wait(&fixture->poll, &fixture->events, 0), 0);
    return fixture->events.count > 0 ? fixture->events.list[0].flags : 0;
}

static void poll_reports_level_readiness_as_long_as_it_lasts(void **state)
{
    (void)state;
    struct fixture fixture = open_fixture();
    char byte;
    assert_int_equal(kn_poll_register(&fixture.poll, fixture.near, 17, KN_READABLE), 0);
    assert_int_equal(ready(&fixture), 0);
    assert_int_equal(write(fixture.far, "x", 1), 1);
    assert_int_equal(ready(&fixture), KN_EVENT_READABLE);
    assert_int_equal(fixture.events.list[0].token, 17);
    assert_int_equal(ready(&fixture), KN_EVENT_READABLE);
    assert_int_equal(read(fixture.near, &byte, 1), 1);
    assert_int_equal(ready(&fixture), 0);
    close_fixture(&fixture);
}

static void poll_reports_an_edge_once_until_the_next(void **state)
{
    (void)state;
    struct fixture fixture = open_fixture();
    assert_int_equal(kn_poll_register(&fixture.poll, fixture.near, 1, KN_READABLE | KN_EDGE), 0);
    assert_int_equal(write(fixture.far, "x", 1), 1);
    assert_int_equal(ready(&fixture), KN_EVENT_READABLE);
    assert_int_equal(ready(&fixture), 0);
    assert_int_equal(write(fixture.far, "y", 1), 1);
    assert_int_equal(ready(&fixture), KN_EVENT_READABLE);
    assert_int_equal(ready(&fixture), 0);
    close_fixture(&fixture);
}

static void poll_reports_a_oneshot_once_until_reregistered(void **state)
{
    (void)state;
    struct fixture fixture = open_fixture();
    assert_int_equal(kn_poll_register(&fixture.poll, fixture.near, 1, KN_READABLE | KN_ONESHOT), 0);
    assert_int_equal(write(fixture.far, "x", 1), 1);
    assert_int_equal(ready(&fixture), KN_EVENT_READABLE);
    assert_int_equal(write(fixture.far, "y", 1), 1);
    assert_int_equal(ready(&fixture), 0);
    assert_int_equal(kn_poll_reregister(&fixture.poll, fixture.near, 2, KN_READABLE | KN_ONESHOT), 0);
    assert_int_equal(ready(&fixture), KN_EVENT_READABLE);
    assert_int_equal(fixture.events.list[0].token, 2);
    close_fixture(&fixture);
}

static void poll_reports_only_what_was_asked_for(void **state)
{
    (void)state;
    struct fixture fixture = open_fixture();
    assert_int_equal(write(fixture.far, "x", 1), 1);
    assert_int_equal(kn_poll_register(&fixture.poll, fixture.near, 1, KN_WRITABLE), 0);
    assert_int_equal(ready(&fixture), KN_EVENT_WRITABLE);
    assert_int_equal(kn_poll_reregister(&fixture.poll, fixture.near, 1, KN_READABLE | KN_WRITABLE), 0);
    assert_int_equal(ready(&fixture), KN_EVENT_READABLE | KN_EVENT_WRITABLE);
    assert_int_equal(kn_poll_deregister(&fixture.poll, fixture.near), 0);
    assert_int_equal(ready(&fixture), 0);
    close_fixture(&fixture);
}

static void poll_tells_half_closed_from_closed(void **state)
{
    (void)state;
    struct fixture fixture = open_fixture();
    assert_int_equal(kn_poll_register(&fixture.poll, fixture.near, 1, KN_READABLE), 0);
    assert_int_equal(shutdown(fixture.far, SHUT_WR), 0);
    assert_int_equal(ready(&fixture), KN_EVENT_READABLE | KN_EVENT_READ_CLOSED);
    close(fixture.far);
    fixture.far = -1;
    assert_int_equal(ready(&fixture), KN_EVENT_READABLE | KN_EVENT_READ_CLOSED | KN_EVENT_WRITE_CLOSED);
    close_fixture(&fixture);
}

static void poll_loses_nothing_when_more_is_ready_than_fits(void **state)
{
    (void)state;
    enum { PIPES = 20 };
    struct fixture fixture = open_fixture();
    int ends[PIPES][2];
    unsigned seen[PIPES] = {0};
    for (unsigned i = 0; i < PIPES; i++) {
        assert_int_equal(pipe(ends[i]), 0);
        assert_int_equal(kn_poll_register(&fixture.poll, ends[i][0], i, KN_READABLE | KN_EDGE), 0);
        assert_int_equal(write(ends[i][1], "x", 1), 1);
    }
    for (unsigned round = 0; round < 3; round++) {
        assert_int_equal(kn_poll_wait(&fixture.poll, &fixture.events, 0), 0);
        assert_true(fixture.events.count <= 8);
        for (size_t i = 0; i < fixture.events.count; i++)
            seen[fixture.events.list[i].token]++;
    }
    for (unsigned i = 0; i < PIPES; i++) {
        assert_int_equal(seen[i], 1);
        close(ends[i][0]);
        close(ends[i][1]);
    }
    close_fixture(&fixture);
}

static void poll_refuses_registrations_that_make_no_sense(void **state)
{
    (void)state;
    struct fixture fixture = open_fixture();
    assert_int_equal(kn_poll_register(&fixture.poll, fixture.near, 1, 0), -EINVAL);
    assert_int_equal(kn_poll_register(&fixture.poll, fixture.near, 1, KN_EDGE), -EINVAL);
    assert_int_equal(kn_poll_register(&fixture.poll, fixture.near, 1, KN_READABLE | 1u << 20), -EINVAL);
    assert_int_equal(kn_poll_register(&fixture.poll, -1, 1, KN_READABLE), -EBADF);
    assert_int_equal(kn_poll_reregister(&fixture.poll, fixture.near, 1, KN_READABLE), -ENOENT);
    assert_int_equal(kn_poll_deregister(&fixture.poll, fixture.near), -ENOENT);
    assert_int_equal(kn_poll_register(&fixture.poll, fixture.near, 1, KN_READABLE), 0);
    assert_int_equal(kn_poll_register(&fixture.poll, fixture.near, 1, KN_READABLE), -EEXIST);
    close_fixture(&fixture);
    struct kn_events events;
    assert_int_equal(kn_events_init(&events, 0), -EINVAL);
    assert_int_equal(kn_events_init(&events, SIZE_MAX), -EINVAL);
    struct kn_poll poll;
    assert_int_equal(kn_poll_open(&poll, (enum kn_poll_backend)99), -EINVAL);
    kn_poll_close(&poll);
}

static void poll_never_returns_before_its_timeout(void **state)
{
    (void)state;
    struct fixture fixture = open_fixture();
    struct timespec before, after;
    const int64_t timeout_ns = 3500000;
    clock_gettime(CLOCK_MONOTONIC, &before);
    assert_int_equal(kn_poll_wait(&fixture.poll, &fixture.events, timeout_ns), 0);
    clock_gettime(CLOCK_MONOTONIC, &after);
    assert_int_equal(fixture.events.count, 0);
    assert_true((after.tv_sec - before.tv_sec) * INT64_C(1000000000) + after.tv_nsec - before.tv_nsec >= timeout_ns);
    close_fixture(&fixture);
}

static void *wake_a_thousand_times(void *waker)
{
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(kn_poll_waker_wake(waker), 0);
    return NULL;
}

static void waker_ends_the_wait_of_another_thread_and_coalesces(void **state)
{
    (void)state;
    struct fixture fixture = open_fixture();
    struct kn_poll_waker waker;
    pthread_t thread;
    assert_int_equal(kn_poll_waker_open(&waker, &fixture.poll, 5), 0);
    assert_int_equal(pthread_create(&thread, NULL, wake_a_thousand_times, &waker), 0);
    assert_int_equal(kn_poll_wait(&fixture.poll, &fixture.events, -1), 0);
    assert_int_equal(fixture.events.count, 1);
    assert_int_equal(fixture.events.list[0].token, 5);
    pthread_join(thread, NULL);
    (void)ready(&fixture); /* the rest of the thousand are one event at most ... */
    assert_int_equal(ready(&fixture), 0);
    assert_int_equal(kn_poll_waker_wake(&waker), 0);
    assert_int_equal(kn_poll_waker_wake(&waker), 0);
    assert_int_equal(ready(&fixture), KN_EVENT_READABLE); /* ... and as two are */
    assert_int_equal(ready(&fixture), 0);
    kn_poll_waker_close(&waker);
    close_fixture(&fixture);
}

static struct kn_poll_waker *signalled_waker;

static void wake_on_signal(int number)
{
    (void)number;
    kn_poll_waker_wake(signalled_waker);
}

static void wait_is_interrupted_by_a_signal_which_may_wake(void **state)
{
    (void)state;
    struct fixture fixture = open_fixture();
    struct kn_poll_waker waker;
    assert_int_equal(kn_poll_waker_open(&waker, &fixture.poll, 5), 0);
    signalled_waker = &waker;
    struct sigaction action = {.sa_handler = wake_on_signal};
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    struct itimerval timer = {.it_value.tv_usec = 20000};
    assert_int_equal(setitimer(ITIMER_REAL, &timer, NULL), 0);
    int result = kn_poll_wait(&fixture.poll, &fixture.events, -1);
    assert_true(result == -EINTR || (result == 0 && fixture.events.count == 1));
    if (result == -EINTR)
        assert_int_equal(ready(&fixture), KN_EVENT_READABLE);
    kn_poll_waker_close(&waker);
    close_fixture(&fixture);
}

static void poll_backends_have_names_and_back(void **state)
{
    (void)state;
    enum kn_poll_backend backend = KN_POLL_BACKEND_AUTO;
    assert_int_equal(kn_poll_backend_parse("epoll", &backend), 0);
    assert_int_equal(backend, KN_POLL_BACKEND_EPOLL);
    assert_int_equal(kn_poll_backend_parse("kqueue", &backend), -EINVAL);
    assert_int_equal(backend, KN_POLL_BACKEND_EPOLL);
    assert_int_equal(kn_poll_backend_parse("auto", &backend), 0);
    assert_string_equal(kn_poll_backend_name(backend), "auto");
    assert_string_equal(kn_poll_backend_name((enum kn_poll_backend)99), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(poll_reports_level_readiness_as_long_as_it_lasts),
        cmocka_unit_test(poll_reports_an_edge_once_until_the_next),
        cmocka_unit_test(poll_reports_a_oneshot_once_until_reregistered),
        cmocka_unit_test(poll_reports_only_what_was_asked_for),
        cmocka_unit_test(poll_tells_half_closed_from_closed),
        cmocka_unit_test(poll_loses_nothing_when_more_is_ready_than_fits),
        cmocka_unit_test(poll_refuses_registrations_that_make_no_sense),
        cmocka_unit_test(poll_never_returns_before_its_timeout),
        cmocka_unit_test(waker_ends_the_wait_of_another_thread_and_coalesces),
        cmocka_unit_test(wait_is_interrupted_by_a_signal_which_may_wake),
        cmocka_unit_test(poll_backends_have_names_and_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
