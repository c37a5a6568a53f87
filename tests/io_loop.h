/*
 * What the tests of descriptors share: a driver to block on, pairs of descriptors, futures that are dropped after so
 * many polls, and a count of what is open. The model executor of async_harness.h has no descriptors, so these run in
 * real time on real ones.
 */
#ifndef KERNEL_TESTS_IO_LOOP_H
#define KERNEL_TESTS_IO_LOOP_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include <kernel/future_set.h>
#include <kernel/future_time.h>
#include <kernel/io.h>

/* After which a test that waits in vain fails. */
#define IO_LOOP_PATIENCE_NS (INT64_C(20) * 1000000000)

/* How many descriptors this process has open. */
static inline size_t io_loop_descriptors(void)
{
    size_t count = 0;
    DIR *directory = opendir("/proc/self/fd");
    assert_non_null(directory);
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

static inline struct kn_io_driver *io_loop_open(void)
{
    struct kn_io_driver *driver;
    assert_int_equal(kn_io_driver_open(&driver, NULL), 0);
    return driver;
}

/* Waits for the answer. */
static inline struct kn_outcome io_loop_run(struct kn_io_driver *driver, struct kn_future *future)
{
    uint64_t start_ns = kn_clock_monotonic_ns();
    struct kn_outcome outcome = kn_io_driver_block_on(driver, future, IO_LOOP_PATIENCE_NS);
    assert_true(kn_clock_monotonic_ns() - start_ns < (uint64_t)IO_LOOP_PATIENCE_NS);
    return outcome;
}

/* The same, for a number. */
static inline int64_t io_loop_number(struct kn_io_driver *driver, struct kn_future *future)
{
    struct kn_outcome outcome = io_loop_run(driver, future);
    assert_int_equal(outcome.status, KN_READY);
    return outcome.value.integer;
}

/* The same, for a failure. */
static inline int64_t io_loop_failure(struct kn_io_driver *driver, struct kn_future *future)
{
    return io_loop_run(driver, future).status;
}

/* Two ends of a local socket, of `driver`. */
static inline void io_loop_pair(struct kn_io_driver *driver, struct kn_io *left, struct kn_io *right)
{
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(kn_io_open(left, driver, ends[0]), 0);
    assert_int_equal(kn_io_open(right, driver, ends[1]), 0);
}

/* Two ends of a pipe, of `driver`. */
static inline void io_loop_pipe(struct kn_io_driver *driver, struct kn_io *reader, struct kn_io *writer)
{
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(kn_io_open(reader, driver, ends[0]), 0);
    assert_int_equal(kn_io_open(writer, driver, ends[1]), 0);
}

/* ---- two futures at once ---- */

/* Two futures side by side, in a set; answers once both have. */
struct io_loop_both {
    struct kn_future_set set;
    struct kn_future_member members[2];
    struct kn_outcome outcomes[2];
    struct kn_future_poll_fn future;
};

static inline struct kn_outcome io_loop_both_poll(void *context, struct kn_context *poll)
{
    struct io_loop_both *both = context;
    for (;;) {
        struct kn_outcome outcome = kn_stream_poll(&both->set.stream, poll);
        if (outcome.status == KN_PENDING)
            return outcome;
        if (outcome.status == KN_END)
            return kn_ready(KN_NOTHING);
        both->outcomes[kn_future_set_last(&both->set) - both->members] = outcome;
    }
}

static inline void io_loop_run_both(struct kn_io_driver *driver, struct io_loop_both *both, struct kn_future *first,
                                    struct kn_future *second)
{
    (void)kn_future_set(&both->set);
    assert_int_equal(kn_future_set_add(&both->set, &both->members[0], first), 0);
    assert_int_equal(kn_future_set_add(&both->set, &both->members[1], second), 0);
    assert_int_equal(io_loop_number(driver, kn_future_poll_fn(&both->future, io_loop_both_poll, both)), 0);
}

/* ---- cut: a future that is dropped in the middle ---- */

/* Polls `inner` `polls` times at most, then drops it and answers with the status KN_END. */
struct io_loop_cut {
    struct kn_future future;
    struct kn_future *inner;
    unsigned polls;
};

static inline struct kn_outcome io_loop_cut_poll(struct kn_future *future, struct kn_context *context)
{
    struct io_loop_cut *self = KN_CONTAINER_OF(future, struct io_loop_cut, future);
    struct kn_outcome outcome = kn_pending();
    if (self->polls > 0) {
        self->polls--;
        outcome = kn_future_poll(self->inner, context);
    }
    if (outcome.status == KN_PENDING && self->polls > 0)
        return outcome;
    kn_future_drop(self->inner);
    kn_future_drop(self->inner); /* once more is harmless */
    assert_int_equal(context->executor->pins, 0);
    kn_future_discard_outcome(self->inner, outcome);
    return outcome.status == KN_PENDING ? kn_ended() : outcome;
}

static inline void io_loop_cut_drop(struct kn_future *future)
{
    kn_future_drop(KN_CONTAINER_OF(future, struct io_loop_cut, future)->inner);
}

static const struct kn_future_type io_loop_cut_type = {
    .name = "cut", .poll = io_loop_cut_poll, .drop = io_loop_cut_drop};

/* Makes the future to be cut; called anew for each number of polls, with all that belongs to it. */
typedef struct kn_future *io_loop_make(struct kn_io_driver *driver, void *context);

/* Undoes what io_loop_make did, but for the future. */
typedef void io_loop_unmake(void *context);

/* Drops the future after 0, 1, 2 ... polls until it answers, and sees that no descriptor is left open or registered.
 * @return after how many polls it answered. */
static inline unsigned io_loop_cut_everywhere(io_loop_make *make, io_loop_unmake *unmake, void *context)
{
    for (unsigned polls = 0; polls < 100; polls++) {
        size_t before = io_loop_descriptors();
        struct kn_io_driver *driver = io_loop_open();
        struct io_loop_cut cut = {.future.type = &io_loop_cut_type, .polls = polls};
        cut.inner = make(driver, context);
        struct kn_outcome outcome = io_loop_run(driver, &cut.future);
        unmake(context);
        assert_int_equal(kn_io_driver_count(driver), 0);
        kn_io_driver_close(driver);
        assert_int_equal(io_loop_descriptors(), before);
        if (outcome.status != KN_END)
            return polls;
    }
    fail_msg("it never answered");
    return 0;
}

#endif
