/* Tests of the driver of descriptors, alone and on reactors, and of waiting for them. */
#include "io_loop.h"
#include "reactors.h"

#include <pthread.h>
#include <time.h>

#include <kernel/future_task.h>

/* ---- the driver ---- */

static void driver_refuses_what_epoll_refuses(void **state)
{
    (void)state;
    struct kn_io_driver *driver = io_loop_open();
    struct kn_io io;
    int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    assert_true(file >= 0);
    assert_int_equal(kn_io_open(&io, driver, file), -EPERM);
    assert_int_equal(io.descriptor, -1);
    close(file);
    assert_int_equal(kn_io_open(&io, driver, file), -EBADF);
    kn_io_close(&io);
    assert_int_equal(kn_io_driver_count(driver), 0);
    kn_io_driver_close(driver);
}

static void driver_is_full_at_its_capacity(void **state)
{
    (void)state;
    struct kn_io_driver *driver;
    assert_int_equal(kn_io_driver_open(&driver, &(struct kn_io_driver_options){.capacity = 2}), 0);
    struct kn_io left;
    struct kn_io right;
    struct kn_io third;
    io_loop_pair(driver, &left, &right);
    int spare = dup(left.descriptor);
    assert_int_equal(kn_io_open(&third, driver, spare), -ENOSPC);
    kn_io_close(&left);
    assert_int_equal(kn_io_open(&third, driver, spare), 0);
    kn_io_close(&third);
    kn_io_close(&right);
    kn_io_driver_close(driver);
}

static void block_on_answers_without_descriptors_too(void **state)
{
    (void)state;
    struct kn_io_driver *driver = io_loop_open();
    struct kn_future_ready ready;
    struct kn_future_yield yield;
    struct kn_future_pending pending;
    assert_int_equal(io_loop_number(driver, kn_future_ready(&ready, KN_VALUE(7))), 7);
    assert_int_equal(io_loop_failure(driver, kn_future_failed(&ready, -EIO)), -EIO);
    assert_int_equal(io_loop_number(driver, kn_future_yield(&yield)), 0);
    assert_int_equal(kn_io_driver_block_on(driver, NULL, 0).status, -ENOMEM);
    assert_int_equal(kn_io_driver_block_on(driver, kn_future_pending(&pending), 1000000).status, -ETIMEDOUT);
    assert_int_equal(kn_io_driver_block_on(driver, kn_future_pending(&pending), 0).status, -ETIMEDOUT);
    kn_io_driver_close(driver);
}

static void block_on_fires_timers(void **state)
{
    (void)state;
    struct kn_io_driver *driver = io_loop_open();
    struct kn_future_delay delay;
    uint64_t start_ns = kn_clock_monotonic_ns();
    assert_int_equal(io_loop_number(driver, kn_future_delay(&delay, 3000000)), 0);
    assert_true(kn_clock_monotonic_ns() - start_ns >= 3000000);
    struct kn_future_timeout timeout;
    struct kn_future_pending pending;
    assert_int_equal(io_loop_failure(driver, kn_future_timeout(&timeout, kn_future_pending(&pending), 1000000)),
                     -ETIMEDOUT);
    kn_io_driver_close(driver);
}

/* A flag that another thread sets. */
struct flag {
    struct kn_waker_cell cell;
    _Atomic bool is_set;
};

static struct kn_outcome flag_poll(void *context, struct kn_context *poll)
{
    struct flag *flag = context;
    kn_waker_cell_register(&flag->cell, poll->waker);
    if (!atomic_load_explicit(&flag->is_set, memory_order_relaxed))
        return kn_pending();
    kn_waker_cell_clear(&flag->cell);
    return kn_ready(KN_NOTHING);
}

static void *flag_set(void *argument)
{
    struct flag *flag = argument;
    reactors_nap(500000);
    atomic_store_explicit(&flag->is_set, true, memory_order_relaxed);
    kn_waker_cell_wake(&flag->cell);
    return NULL;
}

static void block_on_is_woken_by_other_threads(void **state)
{
    (void)state;
    struct kn_io_driver *driver = io_loop_open();
    for (unsigned i = 0; i < 20; i++) {
        struct flag flag = {.is_set = false};
        struct kn_future_poll_fn wait;
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, flag_set, &flag), 0);
        assert_int_equal(io_loop_number(driver, kn_future_poll_fn(&wait, flag_poll, &flag)), 0);
        pthread_join(thread, NULL);
    }
    kn_io_driver_close(driver);
}

/* Wakes itself for ever. */
static struct kn_outcome restless_poll(void *context, struct kn_context *poll)
{
    struct kn_future *inner = context;
    struct kn_outcome outcome = kn_future_poll(inner, poll);
    if (outcome.status == KN_PENDING)
        kn_waker_wake(poll->waker);
    return outcome;
}

static void a_restless_future_keeps_no_events_away(void **state)
{
    (void)state;
    struct kn_io_driver *driver = io_loop_open();
    struct kn_io left;
    struct kn_io right;
    struct kn_future_poll_fn restless;
    struct kn_future_io_read read;
    char byte;
    io_loop_pair(driver, &left, &right);
    struct kn_future *future = kn_future_io_read(&read, &left, &byte, 1);
    struct kn_future_timeout timeout;
    struct kn_future *both = kn_future_timeout(&timeout, kn_future_poll_fn(&restless, restless_poll, future), 2000000);
    assert_int_equal(io_loop_failure(driver, both), -ETIMEDOUT);
    kn_future_drop(future); /* poll_fn is not told */
    assert_int_equal(write(right.descriptor, "x", 1), 1);
    future = kn_future_io_read(&read, &left, &byte, 1);
    assert_int_equal(io_loop_number(driver, kn_future_poll_fn(&restless, restless_poll, future)), 1);
    struct kn_future_pending pending;
    future = kn_future_poll_fn(&restless, restless_poll, kn_future_pending(&pending));
    assert_int_equal(kn_io_driver_block_on(driver, future, 1000000).status, -ETIMEDOUT);
    kn_io_close(&left);
    kn_io_close(&right);
    kn_io_driver_close(driver);
}

/* ---- waiting ---- */

static void one_future_waits_for_each_direction(void **state)
{
    (void)state;
    struct kn_io_driver *driver = io_loop_open();
    struct kn_io left;
    struct kn_io right;
    struct io_loop_both both;
    struct kn_future_io_read first;
    struct kn_future_io_ready second;
    struct kn_future_timeout timeout;
    char byte;
    io_loop_pair(driver, &left, &right);
    io_loop_run_both(driver, &both, kn_future_timeout(&timeout, kn_future_io_read(&first, &left, &byte, 1), 1000000),
                     kn_future_io_readable(&second, &left));
    assert_int_equal(both.outcomes[0].status, -ETIMEDOUT);
    /* The second believed it to be ready, or met the first: whichever was polled first. */
    assert_int_equal(both.outcomes[1].status, -EBUSY);
    io_loop_run_both(driver, &both, kn_future_timeout(&timeout, kn_future_io_read(&first, &left, &byte, 1), 1000000),
                     kn_future_io_writable(&second, &left));
    assert_int_equal(both.outcomes[0].status, -ETIMEDOUT);
    assert_int_equal(both.outcomes[1].status, KN_READY);
    kn_io_close(&left);
    kn_io_close(&right);
    kn_io_driver_close(driver);
}

/* Closes a descriptor once. */
static struct kn_outcome close_poll(void *context, struct kn_context *poll)
{
    (void)poll;
    kn_io_close(context);
    memset(context, 0xa5, sizeof(struct kn_io)); /* its memory may go */
    return kn_ready(KN_NOTHING);
}

static void closing_cancels_who_waits(void **state)
{
    (void)state;
    struct kn_io_driver *driver = io_loop_open();
    struct kn_io left;
    struct kn_io right;
    struct io_loop_both both;
    struct kn_future_io_read read;
    struct kn_future_poll_fn closing;
    char byte;
    io_loop_pair(driver, &left, &right);
    io_loop_run_both(driver, &both, kn_future_io_read(&read, &left, &byte, 1),
                     kn_future_poll_fn(&closing, close_poll, &left));
    assert_int_equal(both.outcomes[0].status, -ECANCELED);
    kn_io_close(&right);
    assert_int_equal(io_loop_failure(driver, kn_future_io_read(&read, &right, &byte, 1)), -EBADF);
    kn_io_close(&right);
    assert_int_equal(kn_io_driver_count(driver), 0);
    kn_io_driver_close(driver);
}

static void events_of_a_closed_descriptor_do_not_reach_the_next(void **state)
{
    (void)state;
    struct kn_io_driver *driver = io_loop_open();
    struct kn_io left;
    struct kn_io right;
    struct kn_io later[2];
    struct kn_future_pending pending;
    io_loop_pair(driver, &left, &right);
    /* A copy keeps the open file alive, and with it what epoll would know of it. */
    int copy = dup(left.descriptor);
    (void)kn_io_driver_block_on(driver, kn_future_pending(&pending), 0);
    assert_int_equal(write(right.descriptor, "x", 1), 1);
    struct kn_reactor_io io = kn_io_driver_reactor_io(driver, NULL);
    assert_true(io.poll(io.context, 1000000000) >= 1); /* waits, and leaves the event to be served */
    kn_io_close(&left);
    io_loop_pair(driver, &later[0], &later[1]);
    kn_io_clear_ready(&later[0], KN_IO_READ);
    kn_io_clear_ready(&later[1], KN_IO_READ);
    assert_true(io.poll(io.context, 0) >= 1);
    while (io.poll(io.context, 0) > 0)
        continue;
    assert_int_equal(later[0].ready & 1u << KN_IO_READ, 0);
    assert_int_equal(later[1].ready & 1u << KN_IO_READ, 0);
    close(copy);
    kn_io_close(&right);
    kn_io_close(&later[0]);
    kn_io_close(&later[1]);
    kn_io_driver_close(driver);
}

static void a_released_descriptor_stays_open(void **state)
{
    (void)state;
    struct kn_io_driver *driver = io_loop_open();
    struct kn_io left;
    struct kn_io right;
    io_loop_pair(driver, &left, &right);
    int descriptor = kn_io_release(&left);
    assert_true(descriptor >= 0);
    assert_int_equal(kn_io_release(&left), -1);
    assert_int_equal(send(right.descriptor, "x", 1, 0), 1);
    char byte;
    assert_int_equal(recv(descriptor, &byte, 1, 0), 1);
    close(descriptor);
    kn_io_close(&right);
    kn_io_driver_close(driver);
}

static unsigned disowned_calls;

static bool disowned(uint64_t argument, bool is_final)
{
    assert_int_equal(argument, 77);
    disowned_calls++;
    return disowned_calls == 2 || is_final;
}

static void a_disowned_descriptor_is_closed_when_it_is_done(void **state)
{
    (void)state;
    size_t before = io_loop_descriptors();
    for (unsigned final = 0; final < 2; final++) {
        struct kn_io_driver *driver = io_loop_open();
        struct kn_io reader;
        struct kn_io writer;
        struct kn_future_pending pending;
        disowned_calls = 0;
        io_loop_pipe(driver, &reader, &writer);
        kn_io_disown(&reader, disowned, 77);
        assert_int_equal(reader.descriptor, -1);
        (void)kn_io_driver_block_on(driver, kn_future_pending(&pending), 1000000);
        assert_int_equal(disowned_calls, 0);
        assert_int_equal(write(writer.descriptor, "x", 1), 1);
        (void)kn_io_driver_block_on(driver, kn_future_pending(&pending), 1000000);
        assert_int_equal(disowned_calls, 1);
        assert_int_equal(kn_io_driver_count(driver), 2);
        if (!final) {
            assert_int_equal(write(writer.descriptor, "x", 1), 1);
            (void)kn_io_driver_block_on(driver, kn_future_pending(&pending), 1000000);
            assert_int_equal(kn_io_driver_count(driver), 1);
        }
        kn_io_close(&writer);
        kn_io_driver_close(driver);
        assert_int_equal(disowned_calls, 2);
    }
    assert_int_equal(io_loop_descriptors(), before);
}

/* ---- on reactors ---- */

/* Sends each byte it gets back one higher, until it reads the end; then its end is closed. */
struct answerer {
    struct kn_future future;
    struct kn_future_task task;
    struct kn_io_driver *driver;
    struct kn_io io;
    int descriptor;
    union {
        struct kn_future_io_read read;
        struct kn_future_io_write_all write;
    };
    struct kn_future *step;
    bool is_writing;
    uint8_t byte;
    uint32_t rounds;
};

static struct kn_outcome answerer_poll(struct kn_future *future, struct kn_context *context)
{
    struct answerer *self = KN_CONTAINER_OF(future, struct answerer, future);
    if (!self->step) {
        int result = kn_io_open(&self->io, self->driver, self->descriptor);
        if (result < 0)
            return kn_failed(result);
        self->step = kn_future_io_read(&self->read, &self->io, &self->byte, 1);
    }
    for (;;) {
        struct kn_outcome outcome = kn_future_poll(self->step, context);
        if (outcome.status == KN_PENDING)
            return outcome;
        if (outcome.status != KN_READY || outcome.value.natural == 0) {
            kn_io_close(&self->io);
            return outcome.status == KN_READY ? kn_ready(KN_VALUE(self->rounds)) : outcome;
        }
        self->rounds += self->is_writing;
        self->byte++;
        self->byte -= self->is_writing;
        self->is_writing = !self->is_writing;
        self->step = self->is_writing ? kn_future_io_write_all(&self->write, &self->io, &self->byte, 1)
                                      : kn_future_io_read(&self->read, &self->io, &self->byte, 1);
    }
}

static void answerer_drop(struct kn_future *future)
{
    struct answerer *self = KN_CONTAINER_OF(future, struct answerer, future);
    if (self->step) {
        kn_future_drop(self->step);
        kn_io_close(&self->io);
    }
}

static const struct kn_future_type answerer_type = {.name = "answerer", .poll = answerer_poll, .drop = answerer_drop};

static _Atomic int64_t answered;
static _Atomic int64_t failed_with;

static void note_answer(struct kn_future_task *task, struct kn_outcome outcome, void *context)
{
    (void)task;
    (void)context;
    if (outcome.status == KN_READY)
        answered += outcome.value.integer;
    else
        failed_with = outcome.status;
}

static void answerer_spawn(struct answerer *self, struct kn_io_driver *driver, struct kn_reactor *reactor,
                           int descriptor, struct kn_task_group *group)
{
    *self = (struct answerer){.future.type = &answerer_type, .driver = driver, .descriptor = descriptor};
    struct kn_future_options options = {.pinned = true, .finished = note_answer, .group = group};
    assert_int_equal(kn_future_spawn(&self->task, &self->future, reactor, &options), 0);
}

enum { PEERS = 8, ROUNDS = 200 };

/* Two reactors, each with a driver, whose tasks answer each other over sockets that this thread opened. */
static void reactors_serve_descriptors_of_their_own(void **state)
{
    (void)state;
    size_t before = io_loop_descriptors();
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){.reactors = 2, .turn_ns = 100000});
    struct kn_io_driver *drivers[2];
    for (size_t i = 0; i < 2; i++) {
        drivers[i] = io_loop_open();
        struct kn_reactor_io io = kn_io_driver_reactor_io(drivers[i], kn_runtime_reactor(runtime, i));
        assert_ptr_equal(kn_io_driver_reactor(drivers[i]), kn_runtime_reactor(runtime, i));
        kn_reactor_set_io(kn_runtime_reactor(runtime, i), &io);
    }
    assert_int_equal(kn_runtime_start(runtime, 0), 0);
    struct kn_task_group group;
    kn_task_group_init(&group, PEERS);
    static struct answerer answerers[PEERS];
    int mine[PEERS];
    answered = 0;
    failed_with = 0;
    for (size_t i = 0; i < PEERS; i++) {
        int ends[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
        mine[i] = ends[0];
        answerer_spawn(&answerers[i], drivers[i % 2], kn_runtime_reactor(runtime, i % 2), ends[1], &group);
    }
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < PEERS; i++) {
            uint8_t byte = (uint8_t)(round + i);
            assert_int_equal(send(mine[i], &byte, 1, 0), 1);
        }
        for (size_t i = 0; i < PEERS; i++) {
            uint8_t byte;
            assert_int_equal(recv(mine[i], &byte, 1, 0), 1);
            assert_int_equal(byte, (uint8_t)(round + i + 1));
        }
    }
    for (size_t i = 0; i < PEERS; i++)
        close(mine[i]);
    assert_int_equal(kn_task_group_join(&group, NULL), 0);
    assert_int_equal(answered, PEERS * ROUNDS);
    assert_int_equal(failed_with, 0);
    kn_runtime_close(runtime);
    kn_io_driver_close(drivers[0]);
    kn_io_driver_close(drivers[1]);
    assert_int_equal(io_loop_descriptors(), before);
}

static void a_descriptor_of_another_reactor_is_refused(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){.reactors = 2});
    struct kn_io_driver *driver = io_loop_open();
    struct kn_reactor_io io = kn_io_driver_reactor_io(driver, kn_runtime_reactor(runtime, 0));
    kn_reactor_set_io(kn_runtime_reactor(runtime, 0), &io);
    struct kn_io left;
    struct kn_io right;
    io_loop_pair(driver, &left, &right);
    struct kn_future_task task = {.waker.wake = NULL};
    struct kn_future_io_read read;
    char byte;
    struct kn_future_options options = {.pinned = true, .finished = note_answer};
    failed_with = 0;
    answered = 0;
    /* A future of the one reactor on the other, and an opening there. */
    assert_int_equal(
        kn_future_spawn(&task, kn_future_io_read(&read, &left, &byte, 1), kn_runtime_reactor(runtime, 1), &options), 0);
    reactors_settle(runtime);
    assert_int_equal(failed_with, -EXDEV);
    static struct answerer answerer;
    failed_with = 0;
    int spare = dup(left.descriptor);
    answerer_spawn(&answerer, driver, kn_runtime_reactor(runtime, 1), spare, NULL);
    reactors_settle(runtime);
    assert_int_equal(failed_with, -EXDEV);
    close(spare);
    /* At home it waits, pinned though its task is not; then it is cancelled. */
    failed_with = 0;
    options.pinned = false;
    assert_int_equal(
        kn_future_spawn(&task, kn_future_io_read(&read, &left, &byte, 1), kn_runtime_reactor(runtime, 0), &options), 0);
    reactors_settle(runtime);
    assert_int_equal(failed_with, 0);
    assert_true(task.task.flags & KN_TASK_PINNED);
    kn_task_cancel(&task.task);
    reactors_settle(runtime);
    assert_int_equal(failed_with, -ECANCELED);
    assert_null(left.waits[KN_IO_READ]);
    assert_int_equal(kn_io_driver_block_on(driver, kn_future_io_read(&read, &left, &byte, 1), 0).status, -EDEADLK);
    kn_runtime_close(runtime);
    kn_io_close(&left);
    kn_io_close(&right);
    kn_io_driver_close(driver);
}

static void block_somewhere_else(void *argument)
{
    struct kn_future_ready ready;
    assert_int_equal(kn_io_driver_block_on(argument, kn_future_ready(&ready, KN_NOTHING), 0).status, -EXDEV);
}

static void the_driver_of_a_reactor_is_not_blocked_on(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){.reactors = 1});
    struct kn_io_driver *driver = io_loop_open();
    (void)kn_io_driver_reactor_io(driver, kn_runtime_reactor(runtime, 0));
    reactors_outside(block_somewhere_else, driver);
    kn_runtime_close(runtime);
    kn_io_driver_close(driver);
}

static void an_idle_reactor_with_a_driver_sleeps(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_open((struct kn_runtime_options){.reactors = 1, .turn_ns = 100000});
    struct kn_io_driver *driver = io_loop_open();
    struct kn_reactor_io io = kn_io_driver_reactor_io(driver, kn_runtime_reactor(runtime, 0));
    kn_reactor_set_io(kn_runtime_reactor(runtime, 0), &io);
    struct kn_io left;
    struct kn_io right;
    io_loop_pair(driver, &left, &right);
    assert_int_equal(kn_runtime_start(runtime, 0), 0);
    reactors_await_parked(runtime, 0);
    uint64_t parks = REACTORS_COUNTER(runtime, 0, parks);
    reactors_nap(30000000);
    assert_true(REACTORS_COUNTER(runtime, 0, parks) - parks <= 5);
    /* A task from elsewhere ends the sleep. */
    struct probe probe;
    probe_init(&probe, 0, "d", NULL);
    kn_task_spawn(&probe.task, kn_runtime_reactor(runtime, 0));
    REACTORS_AWAIT(probe.polls == 1);
    kn_runtime_close(runtime);
    kn_io_close(&left);
    kn_io_close(&right);
    kn_io_driver_close(driver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(driver_refuses_what_epoll_refuses),
        cmocka_unit_test(driver_is_full_at_its_capacity),
        cmocka_unit_test(block_on_answers_without_descriptors_too),
        cmocka_unit_test(block_on_fires_timers),
        cmocka_unit_test(block_on_is_woken_by_other_threads),
        cmocka_unit_test(a_restless_future_keeps_no_events_away),
        cmocka_unit_test(one_future_waits_for_each_direction),
        cmocka_unit_test(closing_cancels_who_waits),
        cmocka_unit_test(events_of_a_closed_descriptor_do_not_reach_the_next),
        cmocka_unit_test(a_released_descriptor_stays_open),
        cmocka_unit_test(a_disowned_descriptor_is_closed_when_it_is_done),
        cmocka_unit_test(reactors_serve_descriptors_of_their_own),
        cmocka_unit_test(a_descriptor_of_another_reactor_is_refused),
        cmocka_unit_test(the_driver_of_a_reactor_is_not_blocked_on),
        cmocka_unit_test(an_idle_reactor_with_a_driver_sleeps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
