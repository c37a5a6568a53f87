/*
 * Work that blocks, and files. See io_file.h.
 *
 * Jobs wait in a list of wait_list.h, whose lock also guards their states: a thread of the pool writes the answer and
 * calls the waker under it, so that whoever has held it afterwards knows that the thread is done with the job.
 *
 *        made --first poll--> waiting --a thread--> running ---> done --poll--> answered
 *                               | drop                | drop       | drop: discarded
 *                               v                     +--> waits for its end, or (detached) is abandoned to the thread
 *                             made
 */
#include <kernel/io_file.h>

#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <kernel/assert.h>

enum { DEFAULT_THREADS = 4, MAX_THREADS = 1024 };

enum job_state { MADE = 0, WAITING, RUNNING, DONE };

struct kn_offload_pool {
    struct kn_wait_list jobs; /* that wait; and the lock */
    sem_t available; /* posted once for each, and for each thread at the end; a job taken back leaves one over */
    bool is_closing; /* under the lock */
    uint32_t count;  /* threads that run */
    pthread_t threads[];
};

static void lock(struct kn_offload_pool *pool)
{
    kn_wait_list_lock(&pool->jobs);
}

static void unlock(struct kn_offload_pool *pool)
{
    kn_wait_list_unlock(&pool->jobs);
}

/* ---- the threads ---- */

static void discard_answer(struct kn_offload_job *job)
{
    if (job->outcome.status == KN_READY && job->discard)
        job->discard(job->outcome.value, job->release ? NULL : job->context);
}

static void release_job(struct kn_offload_job *job)
{
    if (job->release)
        job->release(job);
}

static void run_job(struct kn_offload_pool *pool, struct kn_offload_job *job)
{
    struct kn_outcome outcome = job->function(job->context);
    kn_assert(outcome.status != KN_PENDING);
    lock(pool);
    job->outcome = outcome;
    job->state = DONE;
    bool is_ours = job->is_abandoned;
    if (job->waker)
        kn_waker_wake(job->waker);
    unlock(pool);
    if (is_ours) {
        discard_answer(job);
        release_job(job);
    }
}

/* The next job; NULL: none, *ended says whether there will be none any more. */
static struct kn_offload_job *take_job(struct kn_offload_pool *pool, bool *ended)
{
    struct kn_offload_job *job = NULL;
    lock(pool);
    struct kn_wait_node *node = kn_wait_list_first(&pool->jobs);
    if (node) {
        (void)kn_wait_list_remove(&pool->jobs, node);
        job = KN_CONTAINER_OF(node, struct kn_offload_job, node);
        job->state = RUNNING;
    }
    *ended = pool->is_closing;
    unlock(pool);
    return job;
}

static void *run_thread(void *argument)
{
    struct kn_offload_pool *pool = argument;
    bool ended = false;
    while (!ended) {
        while (sem_wait(&pool->available) < 0)
            continue; /* a debugger's signal */
        struct kn_offload_job *job = take_job(pool, &ended);
        if (job)
            run_job(pool, job);
    }
    return NULL;
}

static int make_threads(struct kn_offload_pool *pool, uint32_t count)
{
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = 0;
    while (error == 0 && pool->count < count) {
        error = pthread_create(&pool->threads[pool->count], NULL, run_thread, pool);
        pool->count += error == 0;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -error;
}

int kn_offload_pool_open(struct kn_offload_pool **pool, const struct kn_offload_pool_options *options)
{
    uint32_t threads = options && options->threads ? options->threads : DEFAULT_THREADS;
    *pool = NULL;
    if (threads > MAX_THREADS)
        return -EINVAL;
    struct kn_offload_pool *created = calloc(1, sizeof(*created) + threads * sizeof(created->threads[0]));
    if (!created)
        return -ENOMEM;
    int result = sem_init(&created->available, 0, 0);
    kn_assert(result == 0); /* it refuses values out of range only */
    result = make_threads(created, threads);
    if (result < 0) {
        kn_offload_pool_close(created);
        return result;
    }
    *pool = created;
    return 0;
}

void kn_offload_pool_close(struct kn_offload_pool *pool)
{
    if (!pool)
        return;
    lock(pool);
    kn_assert(!kn_wait_list_first(&pool->jobs));
    pool->is_closing = true;
    unlock(pool);
    for (uint32_t i = 0; i < pool->count; i++)
        sem_post(&pool->available);
    for (uint32_t i = 0; i < pool->count; i++)
        pthread_join(pool->threads[i], NULL);
    sem_destroy(&pool->available);
    free(pool);
}

/* ---- offload ---- */

static struct kn_outcome offload_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_future_offload *self = KN_CONTAINER_OF(future, struct kn_future_offload, future);
    struct kn_offload_pool *pool = self->pool;
    struct kn_offload_job *job = self->job;
    lock(pool);
    bool is_new = job->state == MADE;
    bool is_done = job->state == DONE;
    job->waker = context->waker;
    if (is_new) {
        job->state = WAITING;
        kn_wait_list_add(&pool->jobs, &job->node, NULL);
    }
    unlock(pool);
    if (is_new)
        sem_post(&pool->available);
    if (!is_done)
        return kn_pending();
    struct kn_outcome outcome = job->outcome;
    self->job = NULL;
    release_job(job);
    return outcome;
}

/* A thread that waits for a job's end. */
struct blocked {
    struct kn_waker waker;
    sem_t woken;
};

static void wake_blocked(struct kn_waker *waker)
{
    sem_post(&KN_CONTAINER_OF(waker, struct blocked, waker)->woken);
}

/* Waits for the end of a job that runs. With the lock held, at the end as well. */
static void await_job(struct kn_offload_pool *pool, struct kn_offload_job *job)
{
    struct blocked blocked = {.waker.wake = wake_blocked};
    int result = sem_init(&blocked.woken, 0, 0);
    kn_assert(result == 0); /* as above */
    (void)result;
    job->waker = &blocked.waker;
    unlock(pool);
    while (sem_wait(&blocked.woken) < 0)
        continue;
    lock(pool); /* the thread has let go of it, and with it of the semaphore and the job */
    sem_destroy(&blocked.woken);
}

static void offload_drop(struct kn_future *future)
{
    struct kn_future_offload *self = KN_CONTAINER_OF(future, struct kn_future_offload, future);
    struct kn_offload_pool *pool = self->pool;
    struct kn_offload_job *job = self->job;
    if (!job)
        return;
    self->job = NULL;
    lock(pool);
    job->waker = NULL;
    if (job->state == WAITING)
        (void)kn_wait_list_remove(&pool->jobs, &job->node);
    if (job->state == RUNNING && !job->release)
        await_job(pool, job);
    job->is_abandoned = job->state == RUNNING;
    bool is_ours = !job->is_abandoned;
    unlock(pool);
    if (!is_ours)
        return;
    if (job->state == DONE)
        discard_answer(job);
    release_job(job);
}

/* Of a detached job the memory may be gone; what this needs is in `own` as well. */
static void offload_discard(struct kn_future *future, kn_value_t value)
{
    struct kn_future_offload *self = KN_CONTAINER_OF(future, struct kn_future_offload, future);
    if (self->own.discard)
        self->own.discard(value, self->own.context);
}

static const struct kn_future_type offload_type = {
    .name = "offload", .poll = offload_poll, .drop = offload_drop, .discard = offload_discard};

static void fill_job(struct kn_offload_job *job, kn_offload_function *function, void *context,
                     kn_discard_function *discard, kn_offload_release *release)
{
    *job = (struct kn_offload_job){.function = function, .context = context, .discard = discard, .release = release};
}

struct kn_future *kn_future_offload(struct kn_future_offload *self, struct kn_offload_pool *pool,
                                    kn_offload_function *function, void *context, kn_discard_function *discard)
{
    if (!self)
        return NULL;
    self->future.type = &offload_type;
    self->pool = pool;
    self->job = &self->own;
    fill_job(&self->own, function, context, discard, NULL);
    return &self->future;
}

struct kn_future *kn_future_offload_detached(struct kn_future_offload *self, struct kn_offload_pool *pool,
                                             struct kn_offload_job *job, kn_offload_function *function, void *context,
                                             kn_discard_function *discard, kn_offload_release *release)
{
    if (!self || !job) {
        if (job)
            release(job);
        return NULL;
    }
    (void)kn_future_offload(self, pool, function, NULL, discard);
    self->job = job;
    fill_job(job, function, context, discard, release);
    return &self->future;
}

/* ---- files ---- */

static struct kn_outcome answer_of(ssize_t result)
{
    return result < 0 ? kn_failed(-errno) : kn_ready(kn_value_of_integer(result));
}

static void close_descriptor(kn_value_t value, void *context)
{
    (void)context;
    close((int)value.integer);
}

static struct kn_outcome open_now(void *context)
{
    const struct kn_future_file_open *self = context;
    return answer_of(open(self->path, self->flags | O_CLOEXEC, self->mode));
}

struct kn_future *kn_future_file_open(struct kn_future_file_open *self, struct kn_offload_pool *pool, const char *path,
                                      int flags, mode_t mode)
{
    if (!self)
        return NULL;
    self->path = path;
    self->flags = flags;
    self->mode = mode;
    return kn_future_offload(&self->offload, pool, open_now, self, close_descriptor);
}

/* One direction; all of it, as far as it goes. */
static struct kn_outcome transfer(struct kn_future_file *self, bool writes)
{
    size_t done = 0;
    while (done < self->length) {
        uint8_t *bytes = self->bytes + done;
        size_t length = self->length - done;
        off_t offset = (off_t)(self->offset + done);
        ssize_t count =
            writes ? pwrite(self->descriptor, bytes, length, offset) : pread(self->descriptor, bytes, length, offset);
        if (count < 0)
            return kn_failed(-errno);
        if (count == 0)
            break;
        done += (size_t)count;
    }
    return done < self->length && writes ? kn_failed(-EIO) : kn_ready(kn_value_of_natural(done));
}

static struct kn_outcome read_now(void *context)
{
    return transfer(context, false);
}

static struct kn_outcome write_now(void *context)
{
    return transfer(context, true);
}

static struct kn_outcome sync_now(void *context)
{
    const struct kn_future_file *self = context;
    return answer_of(fsync(self->descriptor));
}

static struct kn_future *file_make(struct kn_future_file *self, struct kn_offload_pool *pool,
                                   kn_offload_function *function)
{
    return kn_future_offload(&self->offload, pool, function, self, NULL);
}

struct kn_future *kn_future_file_read_at(struct kn_future_file *self, struct kn_offload_pool *pool, int descriptor,
                                         void *bytes, size_t length_bytes, uint64_t offset)
{
    if (!self)
        return NULL;
    self->descriptor = descriptor;
    self->bytes = bytes;
    self->length = length_bytes;
    self->offset = offset;
    return file_make(self, pool, read_now);
}

struct kn_future *kn_future_file_write_at(struct kn_future_file *self, struct kn_offload_pool *pool, int descriptor,
                                          const void *bytes, size_t length_bytes, uint64_t offset)
{
    /* Only read from, as the function says. */
    if (!kn_future_file_read_at(self, pool, descriptor, (void *)(uintptr_t)bytes, length_bytes, offset))
        return NULL;
    return file_make(self, pool, write_now);
}

struct kn_future *kn_future_file_sync(struct kn_future_file *self, struct kn_offload_pool *pool, int descriptor)
{
    if (!self)
        return NULL;
    self->descriptor = descriptor;
    return file_make(self, pool, sync_now);
}

/* ---- file, as a stream ---- */

static struct kn_outcome file_next(struct kn_stream *stream, struct kn_context *context)
{
    struct kn_stream_file *self = KN_CONTAINER_OF(stream, struct kn_stream_file, stream);
    if (self->is_over)
        return kn_ended();
    if (!self->is_reading)
        (void)kn_future_file_read_at(&self->read, self->pool, self->descriptor, self->buffer, self->capacity,
                                     self->offset);
    self->is_reading = true;
    struct kn_outcome outcome = kn_future_poll(&self->read.offload.future, context);
    if (outcome.status == KN_PENDING)
        return outcome;
    self->is_reading = false;
    self->is_over = outcome.status != KN_READY || outcome.value.natural == 0;
    if (self->is_over)
        return outcome.status == KN_READY ? kn_ended() : outcome;
    self->chunk = (struct kn_io_chunk){.bytes = self->buffer, .length = (size_t)outcome.value.natural};
    self->offset += outcome.value.natural;
    return kn_ready(kn_value_of_pointer(&self->chunk));
}

static void file_drop(struct kn_stream *stream)
{
    struct kn_stream_file *self = KN_CONTAINER_OF(stream, struct kn_stream_file, stream);
    if (self->is_reading)
        kn_future_drop(&self->read.offload.future);
    self->is_reading = false;
}

static const struct kn_stream_type file_type = {.name = "file", .next = file_next, .drop = file_drop};

struct kn_stream *kn_stream_file(struct kn_stream_file *self, struct kn_offload_pool *pool, int descriptor,
                                 uint64_t offset, void *buffer, size_t capacity_bytes)
{
    if (!self)
        return NULL;
    self->stream.type = &file_type;
    self->pool = pool;
    self->descriptor = descriptor;
    self->offset = offset;
    self->buffer = buffer;
    self->capacity = capacity_bytes;
    self->is_reading = false;
    self->is_over = false;
    return &self->stream;
}
