/* Tests of the futures that read, write and copy. */
#include "io_loop.h"

#include <signal.h>
#include <sys/wait.h>
#include <time.h>

/* ---- reading and writing ---- */

static void read_answers_what_is_there_and_nothing_at_the_end(void **state)
{
    (void)state;
    struct kn_io_driver *driver = io_loop_open();
    struct kn_io left;
    struct kn_io right;
    struct kn_future_io_read read;
    struct kn_future_io_write_all write;
    char bytes[16];
    io_loop_pair(driver, &left, &right);
    assert_int_equal(io_loop_number(driver, kn_future_io_write_all(&write, &right, "hello", 5)), 5);
    assert_int_equal(io_loop_number(driver, kn_future_io_read(&read, &left, bytes, sizeof(bytes))), 5);
    assert_memory_equal(bytes, "hello", 5);
    assert_int_equal(io_loop_number(driver, kn_future_io_write_all(&write, &right, "", 0)), 0);
    kn_io_close(&right);
    assert_int_equal(io_loop_number(driver, kn_future_io_read(&read, &left, bytes, sizeof(bytes))), 0);
    kn_io_close(&left);
    kn_io_driver_close(driver);
}

static void read_exact_waits_for_all_or_fails_at_the_end(void **state)
{
    (void)state;
    struct kn_io_driver *driver = io_loop_open();
    struct kn_io reader;
    struct kn_io writer;
    struct kn_future_io_read read;
    char bytes[8];
    io_loop_pipe(driver, &reader, &writer);
    assert_int_equal(write(writer.descriptor, "abc", 3), 3);
    struct kn_future *exact = kn_future_io_read_exact(&read, &reader, bytes, 4);
    struct kn_future_timeout timeout;
    assert_int_equal(io_loop_failure(driver, kn_future_timeout(&timeout, exact, 1000000)), -ETIMEDOUT);
    assert_int_equal(read.done, 3);
    assert_null(reader.waits[KN_IO_READ]);
    assert_int_equal(write(writer.descriptor, "defgh", 5), 5);
    assert_int_equal(io_loop_number(driver, kn_future_io_read_exact(&read, &reader, bytes, 4)), 4);
    assert_memory_equal(bytes, "defg", 4);
    kn_io_close(&writer);
    assert_int_equal(io_loop_failure(driver, kn_future_io_read_exact(&read, &reader, bytes, 4)), -ENODATA);
    assert_int_equal(read.done, 1);
    kn_io_close(&reader);
    kn_io_driver_close(driver);
}

static uint8_t *pattern(size_t length)
{
    uint8_t *bytes = malloc(length);
    assert_non_null(bytes);
    for (size_t i = 0; i < length; i++)
        bytes[i] = (uint8_t)(i * 31 + i / 251);
    return bytes;
}

static void more_than_the_system_buffers_goes_through(void **state)
{
    (void)state;
    enum { LENGTH = 3000000 };
    struct kn_io_driver *driver = io_loop_open();
    uint8_t *sent = pattern(LENGTH);
    uint8_t *received = calloc(1, LENGTH);
    for (unsigned kind = 0; kind < 2; kind++) {
        struct kn_io left;
        struct kn_io right;
        (kind == 0 ? io_loop_pair : io_loop_pipe)(driver, &left, &right);
        struct io_loop_both both;
        struct kn_future_io_write_all write;
        struct kn_future_io_read read;
        memset(received, 0, LENGTH);
        io_loop_run_both(driver, &both, kn_future_io_write_all(&write, &right, sent, LENGTH),
                         kn_future_io_read_exact(&read, &left, received, LENGTH));
        assert_int_equal(both.outcomes[0].value.natural, LENGTH);
        assert_int_equal(both.outcomes[1].value.natural, LENGTH);
        assert_memory_equal(sent, received, LENGTH);
        kn_io_close(&left);
        kn_io_close(&right);
    }
    free(sent);
    free(received);
    kn_io_driver_close(driver);
}

static void pieces_are_written_in_order_and_not_changed(void **state)
{
    (void)state;
    enum { PIECES = 40, LENGTH = 50000 };
    struct kn_io_driver *driver = io_loop_open();
    uint8_t *sent = pattern((size_t)PIECES * LENGTH);
    uint8_t *received = calloc(PIECES, LENGTH);
    struct iovec pieces[2 * PIECES + 1];
    for (size_t i = 0; i < PIECES; i++) {
        pieces[2 * i] = (struct iovec){.iov_base = sent + i * LENGTH, .iov_len = LENGTH};
        pieces[2 * i + 1] = (struct iovec){.iov_base = NULL, .iov_len = 0};
    }
    struct iovec copies[2 * PIECES];
    memcpy(copies, pieces, sizeof(copies));
    struct kn_io left;
    struct kn_io right;
    struct io_loop_both both;
    struct kn_future_io_write_all write;
    struct kn_future_io_read read;
    io_loop_pair(driver, &left, &right);
    io_loop_run_both(driver, &both, kn_future_io_write_all_vector(&write, &right, pieces, (size_t)2 * PIECES),
                     kn_future_io_read_exact(&read, &left, received, (size_t)PIECES * LENGTH));
    assert_int_equal(both.outcomes[0].value.natural, PIECES * LENGTH);
    assert_memory_equal(sent, received, (size_t)PIECES * LENGTH);
    assert_memory_equal(copies, pieces, sizeof(copies));
    kn_io_close(&left);
    kn_io_close(&right);
    free(sent);
    free(received);
    kn_io_driver_close(driver);
}

static void copy_brings_all_from_one_to_the_other(void **state)
{
    (void)state;
    enum { LENGTH = 1000000 };
    struct kn_io_driver *driver = io_loop_open();
    uint8_t *sent = pattern(LENGTH);
    uint8_t *received = calloc(1, LENGTH);
    struct kn_io source[2];
    struct kn_io target[2];
    io_loop_pair(driver, &source[0], &source[1]);
    io_loop_pipe(driver, &target[0], &target[1]);
    static uint8_t buffer[4096];
    struct io_loop_both both;
    struct kn_future_io_copy copy;
    struct kn_future_io_read read;
    struct kn_future_io_write_all write;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) { /* a writer of its own, that blocks */
        fcntl(source[1].descriptor, F_SETFL, 0);
        size_t done = 0;
        while (done < LENGTH) {
            ssize_t count = send(source[1].descriptor, sent + done, LENGTH - done, MSG_NOSIGNAL);
            if (count < 0)
                _exit(1);
            done += (size_t)count;
        }
        _exit(0);
    }
    kn_io_close(&source[1]);
    io_loop_run_both(driver, &both, kn_future_io_copy(&copy, &source[0], &target[1], buffer, sizeof(buffer)),
                     kn_future_io_read_exact(&read, &target[0], received, LENGTH));
    assert_int_equal(both.outcomes[0].value.natural, LENGTH);
    assert_memory_equal(sent, received, LENGTH);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    kn_io_close(&target[0]);
    assert_int_equal(io_loop_failure(driver, kn_future_io_write_all(&write, &target[1], "x", 1)), -EPIPE);
    kn_io_close(&source[0]);
    kn_io_close(&target[1]);
    free(sent);
    free(received);
    kn_io_driver_close(driver);
}

static void a_closed_peer_is_a_failure_and_no_signal(void **state)
{
    (void)state;
    struct kn_io_driver *driver = io_loop_open();
    assert_true(signal(SIGPIPE, SIG_DFL) != SIG_ERR); /* would end the program */
    for (unsigned kind = 0; kind < 2; kind++) {
        struct kn_io left;
        struct kn_io right;
        struct kn_future_io_write_all write;
        (kind == 0 ? io_loop_pair : io_loop_pipe)(driver, &left, &right);
        kn_io_close(&left);
        assert_int_equal(io_loop_failure(driver, kn_future_io_write_all(&write, &right, "x", 1)), -EPIPE);
        kn_io_close(&right);
    }
    sigset_t pending;
    assert_int_equal(sigpending(&pending), 0);
    assert_int_equal(sigismember(&pending, SIGPIPE), 0);
    kn_io_driver_close(driver);
}

static void a_sigpipe_of_others_is_left_pending(void **state)
{
    (void)state;
    struct kn_io_driver *driver = io_loop_open();
    struct kn_io left;
    struct kn_io right;
    struct kn_future_io_write_all write;
    static const struct timespec at_once = {.tv_sec = 0};
    sigset_t set;
    sigset_t before;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &set, &before);
    assert_int_equal(raise(SIGPIPE), 0);
    io_loop_pipe(driver, &left, &right);
    kn_io_close(&left);
    assert_int_equal(io_loop_failure(driver, kn_future_io_write_all(&write, &right, "x", 1)), -EPIPE);
    assert_int_equal(sigtimedwait(&set, NULL, &at_once), SIGPIPE);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    kn_io_close(&right);
    kn_io_driver_close(driver);
}

/* ---- drops ---- */

/* What is dropped in the middle: one of the operations, with data that comes bit by bit. */
struct operation {
    unsigned kind;
    struct kn_io near[2];
    struct kn_io far[2];
    struct kn_future_io_read read;
    struct kn_future_io_write_all write;
    struct kn_future_io_copy copy;
    struct kn_future_io_ready ready;
    struct kn_future_poll_fn fed;
    struct kn_future *inner;
    uint8_t *bytes;
};

enum { OPERATION_BYTES = 1000000 };

/* Before each poll of the operation, the other end takes what there is and gives a byte; so each poll gets on. */
static struct kn_outcome feed_poll(void *context, struct kn_context *poll)
{
    struct operation *self = context;
    static uint8_t sunk[OPERATION_BYTES];
    if (self->kind != 4)
        (void)!write(self->far[0].descriptor, "x", 1);
    if (self->kind == 3)
        (void)!read(self->far[1].descriptor, sunk, sizeof(sunk));
    if (self->kind == 2)
        (void)!read(self->far[0].descriptor, sunk, sizeof(sunk));
    struct kn_outcome outcome = kn_future_poll(self->inner, poll);
    if (outcome.status == KN_PENDING)
        kn_waker_wake(poll->waker);
    return outcome;
}

static void feed_drop(struct kn_future *future)
{
    struct operation *self = KN_CONTAINER_OF(future, struct operation, fed.future);
    kn_future_drop(self->inner);
}

static struct kn_outcome feed_next(struct kn_future *future, struct kn_context *context)
{
    return feed_poll(KN_CONTAINER_OF(future, struct operation, fed.future), context);
}

static const struct kn_future_type feed_type = {.name = "feed", .poll = feed_next, .drop = feed_drop};

static struct kn_future *operation_make(struct kn_io_driver *driver, void *context)
{
    struct operation *self = context;
    io_loop_pair(driver, &self->near[0], &self->far[0]);
    io_loop_pair(driver, &self->near[1], &self->far[1]);
    switch (self->kind) {
    case 0:
        self->inner = kn_future_io_read(&self->read, &self->near[0], self->bytes, 3);
        break;
    case 1:
        self->inner = kn_future_io_read_exact(&self->read, &self->near[0], self->bytes, 3);
        break;
    case 2:
        self->inner = kn_future_io_write_all(&self->write, &self->near[0], self->bytes, OPERATION_BYTES);
        break;
    case 3:
        assert_int_equal(send(self->far[0].descriptor, "abc", 3, 0), 3);
        assert_int_equal(shutdown(self->far[0].descriptor, SHUT_WR), 0);
        self->inner = kn_future_io_copy(&self->copy, &self->near[0], &self->near[1], self->bytes, 1);
        break;
    default:
        self->inner = kn_future_io_writable(&self->ready, &self->near[0]);
        break;
    }
    self->fed.future.type = &feed_type;
    return &self->fed.future;
}

static void operation_unmake(void *context)
{
    struct operation *self = context;
    for (unsigned i = 0; i < 2; i++) {
        assert_null(self->near[i].waits[KN_IO_READ]);
        assert_null(self->near[i].waits[KN_IO_WRITE]);
        kn_io_close(&self->near[i]);
        kn_io_close(&self->far[i]);
    }
}

static void operations_may_be_dropped_anywhere(void **state)
{
    (void)state;
    struct operation operation = {.bytes = calloc(1, OPERATION_BYTES)};
    signal(SIGPIPE, SIG_IGN); /* the feeder's own writes */
    for (operation.kind = 0; operation.kind < 5; operation.kind++) {
        unsigned polls = io_loop_cut_everywhere(operation_make, operation_unmake, &operation);
        assert_true(operation.kind == 0 || operation.kind >= 3 || polls > 1);
    }
    signal(SIGPIPE, SIG_DFL);
    free(operation.bytes);
}

static void memory_that_is_missing_makes_no_future(void **state)
{
    (void)state;
    struct kn_io io = {.descriptor = -1};
    assert_null(kn_future_io_readable(NULL, &io));
    assert_null(kn_future_io_writable(NULL, &io));
    assert_null(kn_future_io_read(NULL, &io, NULL, 0));
    assert_null(kn_future_io_read_exact(NULL, &io, NULL, 0));
    assert_null(kn_future_io_write_all(NULL, &io, NULL, 0));
    assert_null(kn_future_io_write_all_vector(NULL, &io, NULL, 0));
    assert_null(kn_future_io_copy(NULL, &io, &io, NULL, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(read_answers_what_is_there_and_nothing_at_the_end),
        cmocka_unit_test(read_exact_waits_for_all_or_fails_at_the_end),
        cmocka_unit_test(more_than_the_system_buffers_goes_through),
        cmocka_unit_test(pieces_are_written_in_order_and_not_changed),
        cmocka_unit_test(copy_brings_all_from_one_to_the_other),
        cmocka_unit_test(a_closed_peer_is_a_failure_and_no_signal),
        cmocka_unit_test(a_sigpipe_of_others_is_left_pending),
        cmocka_unit_test(operations_may_be_dropped_anywhere),
        cmocka_unit_test(memory_that_is_missing_makes_no_future),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
