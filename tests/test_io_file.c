/* Tests of work that blocks, and of files. */
#include "io_loop.h"
#include "reactors.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>

#include <kernel/future_task.h>
#include <kernel/io_file.h>

static struct kn_offload_pool *pool_of(uint32_t threads)
{
    struct kn_offload_pool *pool;
    assert_int_equal(kn_offload_pool_open(&pool, &(struct kn_offload_pool_options){.threads = threads}), 0);
    return pool;
}

/* Waits on a thread without a driver: none is needed. */
static struct kn_outcome run(struct kn_future *future)
{
    struct kn_outcome outcome = kn_block_on(future, IO_LOOP_PATIENCE_NS);
    assert_int_not_equal(outcome.status, -ETIMEDOUT);
    return outcome;
}

/* ---- functions ---- */

static struct kn_outcome twice(void *context)
{
    return kn_ready(KN_VALUE(*(int *)context * 2));
}

static struct kn_outcome refuse(void *context)
{
    (void)context;
    return kn_failed(-EACCES);
}

static void a_function_runs_elsewhere_and_answers(void **state)
{
    (void)state;
    struct kn_offload_pool *pool = pool_of(0);
    struct kn_future_offload offload;
    int number = 21;
    assert_int_equal(run(kn_future_offload(&offload, pool, twice, &number, NULL)).value.integer, 42);
    assert_int_equal(run(kn_future_offload(&offload, pool, refuse, NULL, NULL)).status, -EACCES);
    assert_null(kn_future_offload(NULL, pool, twice, &number, NULL));
    kn_offload_pool_close(pool);
    kn_offload_pool_close(NULL);
    struct kn_offload_pool_options options = {.threads = UINT32_MAX};
    assert_int_equal(kn_offload_pool_open(&pool, &options), -EINVAL);
}

/* A function that waits until it is let go, and what became of it. */
struct gated {
    struct kn_offload_job job; /* of a detached one */
    sem_t gate;
    _Atomic unsigned begun;
    _Atomic unsigned ended;
    _Atomic unsigned discarded;
    _Atomic unsigned released;
};

static struct kn_outcome gated_function(void *context)
{
    struct gated *self = context;
    self->begun++;
    while (sem_wait(&self->gate) < 0)
        continue;
    self->ended++;
    return kn_ready(kn_value_of_pointer(self));
}

static struct gated *discarded_from; /* detached jobs hand no context */

static void gated_discard(kn_value_t value, void *context)
{
    struct gated *self = value.pointer;
    assert_true(context == NULL || context == self);
    discarded_from->discarded++;
}

static void gated_release(struct kn_offload_job *job)
{
    KN_CONTAINER_OF(job, struct gated, job)->released++;
}

static void gated_init(struct gated *self)
{
    memset(self, 0, sizeof(*self));
    assert_int_equal(sem_init(&self->gate, 0, 0), 0);
    discarded_from = self;
}

/* One poll; whether it has answered. */
static bool poll_once(struct kn_local_executor *local, struct kn_future *future)
{
    struct kn_outcome outcome;
    bool answered = kn_local_executor_poll(local, future, &outcome);
    if (answered)
        kn_future_discard_outcome(future, outcome);
    return answered;
}

static void a_job_that_waits_is_taken_back(void **state)
{
    (void)state;
    static struct kn_local_executor local;
    kn_local_executor_init(&local, 0);
    struct kn_offload_pool *pool = pool_of(1);
    struct gated busy;
    struct gated waiting;
    struct kn_future_offload first;
    struct kn_future_offload second;
    gated_init(&waiting);
    gated_init(&busy);
    struct kn_future *running = kn_future_offload(&first, pool, gated_function, &busy, NULL);
    assert_false(poll_once(&local, running));
    REACTORS_AWAIT(busy.begun == 1);
    struct kn_future *queued = kn_future_offload(&second, pool, gated_function, &waiting, NULL);
    kn_future_drop(queued); /* before the first poll: nothing */
    queued = kn_future_offload(&second, pool, gated_function, &waiting, NULL);
    assert_false(poll_once(&local, queued));
    assert_false(poll_once(&local, queued));
    kn_future_drop(queued);
    kn_future_drop(queued);
    sem_post(&busy.gate);
    assert_ptr_equal(run(running).value.pointer, &busy);
    kn_offload_pool_close(pool);
    assert_int_equal(waiting.begun, 0);
}

static void *open_gate(void *argument)
{
    struct gated *self = argument;
    reactors_nap(3000000);
    sem_post(&self->gate);
    return NULL;
}

static void a_drop_waits_for_a_function_that_runs(void **state)
{
    (void)state;
    static struct kn_local_executor local;
    kn_local_executor_init(&local, 0);
    struct kn_offload_pool *pool = pool_of(1);
    struct gated gated;
    struct kn_future_offload offload;
    gated_init(&gated);
    struct kn_future *future = kn_future_offload(&offload, pool, gated_function, &gated, gated_discard);
    assert_false(poll_once(&local, future));
    REACTORS_AWAIT(gated.begun == 1);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, open_gate, &gated), 0);
    kn_future_drop(future);
    assert_int_equal(gated.ended, 1);
    assert_int_equal(gated.discarded, 1);
    memset(&offload, 0xa5, sizeof(offload)); /* the memory is free */
    pthread_join(thread, NULL);
    kn_offload_pool_close(pool);
}

static void a_detached_drop_returns_at_once_and_the_memory_comes_later(void **state)
{
    (void)state;
    static struct kn_local_executor local;
    kn_local_executor_init(&local, 0);
    struct kn_offload_pool *pool = pool_of(1);
    struct gated gated;
    struct kn_future_offload offload;
    gated_init(&gated);
    struct kn_future *future =
        kn_future_offload_detached(&offload, pool, &gated.job, gated_function, &gated, gated_discard, gated_release);
    assert_false(poll_once(&local, future));
    REACTORS_AWAIT(gated.begun == 1);
    kn_future_drop(future);
    kn_future_drop(future);
    assert_int_equal(gated.released, 0);
    memset(&offload, 0xa5, sizeof(offload));
    sem_post(&gated.gate);
    REACTORS_AWAIT(gated.released == 1);
    assert_int_equal(gated.discarded, 1);
    kn_offload_pool_close(pool);
    assert_int_equal(gated.released, 1);
}

static void a_detached_job_is_released_once_on_every_way(void **state)
{
    (void)state;
    static struct kn_local_executor local;
    kn_local_executor_init(&local, 0);
    struct kn_offload_pool *pool = pool_of(1);
    struct gated gated;
    struct kn_future_offload offload;
    gated_init(&gated);
    assert_null(kn_future_offload_detached(NULL, pool, &gated.job, gated_function, &gated, NULL, gated_release));
    assert_int_equal(gated.released, 1);
    assert_null(kn_future_offload_detached(&offload, pool, NULL, gated_function, &gated, NULL, gated_release));
    /* Never polled. */
    kn_future_drop(kn_future_offload_detached(&offload, pool, &gated.job, gated_function, &gated, NULL, gated_release));
    assert_int_equal(gated.released, 2);
    /* Answered. */
    sem_post(&gated.gate);
    struct kn_future *future =
        kn_future_offload_detached(&offload, pool, &gated.job, gated_function, &gated, gated_discard, gated_release);
    assert_ptr_equal(run(future).value.pointer, &gated);
    assert_int_equal(gated.released, 3);
    kn_future_drop(future);
    assert_int_equal(gated.released, 3);
    /* Done, and nobody has asked for the answer. */
    sem_post(&gated.gate);
    future =
        kn_future_offload_detached(&offload, pool, &gated.job, gated_function, &gated, gated_discard, gated_release);
    assert_false(poll_once(&local, future));
    REACTORS_AWAIT(kn_local_executor_is_woken(&local));
    kn_future_drop(future);
    assert_int_equal(gated.released, 4);
    assert_int_equal(gated.discarded, 1);
    kn_offload_pool_close(pool);
}

/* Drops and polls against the end of the function: each value is taken or given back, once. */
static void racing_drops_lose_no_value(void **state)
{
    (void)state;
    enum { ROUNDS = 3000 };
    static struct kn_local_executor local;
    kn_local_executor_init(&local, 0);
    struct kn_offload_pool *pool = pool_of(2);
    struct gated gated;
    gated_init(&gated);
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct kn_future_offload offload;
        sem_post(&gated.gate);
        bool detached = round & 1;
        struct kn_future *future = detached ? kn_future_offload_detached(&offload, pool, &gated.job, gated_function,
                                                                         &gated, gated_discard, gated_release)
                                            : kn_future_offload(&offload, pool, gated_function, &gated, gated_discard);
        unsigned ended = gated.ended;
        unsigned released = gated.released;
        bool answered = poll_once(&local, future);
        for (volatile unsigned i = 0; i < round % 500 * 20; i++)
            continue;
        if (!answered && round % 3 == 0)
            answered = poll_once(&local, future);
        kn_future_drop(future);
        if (detached) {
            REACTORS_AWAIT(gated.released == released + 1);
        }
        if (gated.ended == ended) /* it never ran: what it would have taken is taken here */
            assert_int_equal(sem_trywait(&gated.gate), 0);
    }
    assert_int_equal(gated.begun, gated.ended);
    assert_int_equal(gated.discarded, gated.ended);
    kn_offload_pool_close(pool);
}

/* ---- on reactors ---- */

enum { JOBS = 200 };

static _Atomic int64_t answers;

static void note(struct kn_future_task *task, struct kn_outcome outcome, void *context)
{
    (void)task;
    (void)context;
    answers += outcome.status == KN_READY ? outcome.value.integer : 1000000;
}

static void reactors_go_on_meanwhile(void **state)
{
    (void)state;
    struct kn_runtime *runtime = reactors_start((struct kn_runtime_options){.reactors = 2});
    struct kn_offload_pool *pool = pool_of(3);
    struct job {
        struct kn_future_task task;
        struct kn_future_offload offload;
        int number;
    };
    struct job *jobs = calloc(JOBS, sizeof(*jobs));
    struct kn_task_group group;
    kn_task_group_init(&group, JOBS);
    answers = 0;
    for (int i = 0; i < JOBS; i++) {
        jobs[i].number = i;
        struct kn_future_options options = {.group = &group, .finished = note};
        struct kn_future *future = kn_future_offload(&jobs[i].offload, pool, twice, &jobs[i].number, NULL);
        assert_int_equal(kn_future_spawn(&jobs[i].task, future, kn_runtime_reactor(runtime, (size_t)i % 2), &options),
                         0);
    }
    assert_int_equal(kn_task_group_join(&group, NULL), 0);
    assert_int_equal(answers, JOBS * (JOBS - 1));
    kn_runtime_close(runtime);
    kn_offload_pool_close(pool);
    free(jobs);
}

/* ---- files ---- */

static int open_temporary(struct kn_offload_pool *pool)
{
    char path[64];
    struct kn_future_file_open open;
    snprintf(path, sizeof(path), "/tmp/kernel_test_io_file.%d", (int)getpid());
    struct kn_outcome outcome = run(kn_future_file_open(&open, pool, path, O_RDWR | O_CREAT | O_EXCL, 0600));
    assert_int_equal(outcome.status, KN_READY);
    assert_int_equal(unlink(path), 0);
    int descriptor = (int)outcome.value.integer;
    assert_true(fcntl(descriptor, F_GETFD) & FD_CLOEXEC);
    return descriptor;
}

static void what_was_written_is_read_again(void **state)
{
    (void)state;
    struct kn_offload_pool *pool = pool_of(0);
    int descriptor = open_temporary(pool);
    struct kn_future_file file;
    char bytes[16] = "";
    assert_int_equal(run(kn_future_file_write_at(&file, pool, descriptor, "hello, world", 12, 3)).value.integer, 12);
    assert_int_equal(run(kn_future_file_sync(&file, pool, descriptor)).status, KN_READY);
    assert_int_equal(run(kn_future_file_read_at(&file, pool, descriptor, bytes, 5, 3)).value.integer, 5);
    assert_memory_equal(bytes, "hello", 5);
    assert_int_equal(run(kn_future_file_read_at(&file, pool, descriptor, bytes, 16, 10)).value.integer, 5);
    assert_memory_equal(bytes, "world", 5);
    assert_int_equal(run(kn_future_file_read_at(&file, pool, descriptor, bytes, 16, 15)).value.integer, 0);
    close(descriptor);
    assert_int_equal(run(kn_future_file_read_at(&file, pool, descriptor, bytes, 1, 0)).status, -EBADF);
    assert_int_equal(run(kn_future_file_write_at(&file, pool, descriptor, bytes, 1, 0)).status, -EBADF);
    assert_int_equal(run(kn_future_file_sync(&file, pool, descriptor)).status, -EBADF);
    struct kn_future_file_open open;
    assert_int_equal(run(kn_future_file_open(&open, pool, "/nowhere/at/all", O_RDONLY, 0)).status, -ENOENT);
    assert_null(kn_future_file_open(NULL, pool, "", 0, 0));
    assert_null(kn_future_file_read_at(NULL, pool, 0, NULL, 0, 0));
    assert_null(kn_future_file_write_at(NULL, pool, 0, NULL, 0, 0));
    assert_null(kn_future_file_sync(NULL, pool, 0));
    assert_null(kn_stream_file(NULL, pool, 0, 0, NULL, 0));
    kn_offload_pool_close(pool);
}

static void a_full_disk_is_a_failure(void **state)
{
    (void)state;
    struct kn_offload_pool *pool = pool_of(1);
    int descriptor = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_true(descriptor >= 0);
    struct kn_future_file file;
    assert_int_equal(run(kn_future_file_write_at(&file, pool, descriptor, "x", 1, 0)).status, -ENOSPC);
    close(descriptor);
    kn_offload_pool_close(pool);
}

static void a_file_streams_its_lines(void **state)
{
    (void)state;
    struct kn_offload_pool *pool = pool_of(1);
    int descriptor = open_temporary(pool);
    assert_int_equal(pwrite(descriptor, "skipped\none\ntwo\nthree", 21, 0), 21);
    struct kn_stream_file file;
    struct kn_stream_split lines;
    struct kn_stream_next next;
    uint8_t bytes[4];
    uint8_t line[8];
    struct kn_stream *stream = kn_stream_file(&file, pool, descriptor, 8, bytes, sizeof(bytes));
    stream = kn_stream_lines(&lines, stream, line, sizeof(line));
    static const char *const EXPECTED[] = {"one", "two", "three"};
    for (unsigned i = 0; i < 3; i++) {
        struct kn_outcome outcome = run(kn_stream_next(&next, stream));
        assert_int_equal(outcome.status, KN_READY);
        const struct kn_io_chunk *chunk = outcome.value.pointer;
        assert_int_equal(chunk->length, strlen(EXPECTED[i]));
        assert_memory_equal(chunk->bytes, EXPECTED[i], chunk->length);
    }
    assert_int_equal(run(kn_stream_next(&next, stream)).status, KN_END);
    kn_stream_drop(stream);
    close(descriptor);
    stream = kn_stream_file(&file, pool, descriptor, 0, bytes, sizeof(bytes));
    assert_int_equal(run(kn_stream_next(&next, stream)).status, -EBADF);
    assert_int_equal(run(kn_stream_next(&next, stream)).status, KN_END);
    kn_stream_drop(stream);
    kn_offload_pool_close(pool);
}

/* ---- drops ---- */

struct dropped {
    struct kn_offload_pool *pool;
    struct kn_future_file_open open;
    struct kn_stream_file file;
    struct kn_stream_gather gather;
    uint8_t bytes[64];
    uint8_t all[4096];
    int descriptor;
};

static struct kn_future *open_make(struct kn_io_driver *driver, void *context)
{
    (void)driver;
    struct dropped *self = context;
    return kn_future_file_open(&self->open, self->pool, "/proc/self/exe", O_RDONLY, 0);
}

static struct kn_future *stream_make(struct kn_io_driver *driver, void *context)
{
    (void)driver;
    struct dropped *self = context;
    struct kn_stream *stream =
        kn_stream_file(&self->file, self->pool, self->descriptor, 0, self->bytes, sizeof(self->bytes));
    return kn_stream_gather(&self->gather, stream, self->all, sizeof(self->all));
}

static void unmake_nothing(void *context)
{
    (void)context;
}

static void files_may_be_dropped_anywhere(void **state)
{
    (void)state;
    static struct dropped dropped;
    dropped.pool = pool_of(1);
    dropped.descriptor = open_temporary(dropped.pool);
    assert_int_equal(ftruncate(dropped.descriptor, 1000), 0);
    assert_int_equal(io_loop_cut_everywhere(open_make, unmake_nothing, &dropped), 2);
    assert_true(io_loop_cut_everywhere(stream_make, unmake_nothing, &dropped) > 1);
    close(dropped.descriptor);
    kn_offload_pool_close(dropped.pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_function_runs_elsewhere_and_answers),
        cmocka_unit_test(a_job_that_waits_is_taken_back),
        cmocka_unit_test(a_drop_waits_for_a_function_that_runs),
        cmocka_unit_test(a_detached_drop_returns_at_once_and_the_memory_comes_later),
        cmocka_unit_test(a_detached_job_is_released_once_on_every_way),
        cmocka_unit_test(racing_drops_lose_no_value),
        cmocka_unit_test(reactors_go_on_meanwhile),
        cmocka_unit_test(what_was_written_is_read_again),
        cmocka_unit_test(a_full_disk_is_a_failure),
        cmocka_unit_test(a_file_streams_its_lines),
        cmocka_unit_test(files_may_be_dropped_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
