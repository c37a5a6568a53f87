/**
 * @file io_file.h
 * Work that blocks, on threads of its own, as futures; and files, which are such work.
 *
 * Use it for what has no descriptor to wait for: regular files, name look-ups, libraries that block, computations of
 * milliseconds; for computing on all cores take tasks. It guarantees that the reactor goes on meanwhile, that jobs
 * begin in the order in which they were polled first, that nothing is allocated once a pool is open, and that memory is
 * not touched any more when a drop has returned. (tokio's spawn_blocking and fs.)
 *
 * Dropping. A job that has not begun is taken back and never runs. One that runs cannot be stopped, and its memory and
 * buffers must stay until it has ended. So there are two kinds:
 *
 *        kn_future_offload            the drop waits for the function's end. The memory is free when it returns, as
 * with every future; but the dropping thread stands still that long. For short jobs: the files below are of this kind.
 *        kn_future_offload_detached   the drop returns at once. The job's memory is apart from the future's and belongs
 *                                     to the pool until `release` was called, on whichever thread had it last.
 *
 * An answer that comes too late, or that nobody takes, is discarded.
 *
 * Threads. A pool is used from any thread. Its futures hold nothing of a reactor: their tasks may be moved.
 */
#ifndef KERNEL_IO_FILE_H
#define KERNEL_IO_FILE_H

#include <sys/types.h>

#include <kernel/io_stream.h>
#include <kernel/wait_list.h>

/* ---- a pool of threads ---- */

/** Threads that run what blocks. Opaque. */
struct kn_offload_pool;

/** Zero means the default in parentheses. */
struct kn_offload_pool_options {
    uint32_t threads; /**< (4) jobs that run at once */
};

/** Makes the threads; allocates. They block all signals. The caller owns it. @param options NULL: the defaults.
 * @return 0, -EINVAL, -ENOMEM or -EAGAIN. */
KN_CHECK_RESULT int kn_offload_pool_open(struct kn_offload_pool **pool, const struct kn_offload_pool_options *options);

/** Waits for the jobs that run (detached ones), ends the threads and frees it. No job may still wait for its turn: all
 * its futures have answered or were dropped. NULL is harmless. */
void kn_offload_pool_close(struct kn_offload_pool *pool);

/* ---- any function ---- */

/** A function that may block; on a thread of the pool. @return ready or failed. */
typedef struct kn_outcome kn_offload_function(void *context);

struct kn_offload_job;

/** Takes the memory of a detached job back, with what its context points to. Any thread. */
typedef void kn_offload_release(struct kn_offload_job *job);

/** A function to be run. Fields are private; the pool's lock guards all that change. */
struct kn_offload_job {
    struct kn_wait_node node;      /* among those that wait for a thread */
    struct kn_waker *waker;        /* of the future's last poll, or of a drop that waits; NULL: none */
    kn_offload_function *function; /* to run */
    void *context;                 /* handed to it */
    kn_discard_function *discard;  /* of an answer that nobody takes, or NULL */
    kn_offload_release *release;   /* of a detached job, or NULL */
    struct kn_outcome outcome;     /* once it is done */
    uint8_t state;                 /* of the job */
    bool is_abandoned;             /* the future was dropped while it ran */
};

/** Runs a function elsewhere. */
struct kn_future_offload {
    struct kn_future future;      /* first */
    struct kn_offload_pool *pool; /* that runs it */
    struct kn_offload_job *job;   /* `own`, or a detached one; NULL: answered or dropped */
    struct kn_offload_job own;
};

/**
 * Answers as `function` does. A drop while it runs waits for its end. @param discard gives a value back that nobody
 * takes, with `context`; NULL: values own nothing.
 */
struct kn_future *kn_future_offload(struct kn_future_offload *self, struct kn_offload_pool *pool,
                                    kn_offload_function *function, void *context, kn_discard_function *discard);

/**
 * The same in memory apart, which a drop leaves behind: `release(job)` is called exactly once, with the answer, the
 * drop or after the function's late end. The answer must not point into it, and `discard` is handed NULL as context.
 * NULL for `job` answers NULL; for `self` releases the job first.
 */
struct kn_future *kn_future_offload_detached(struct kn_future_offload *self, struct kn_offload_pool *pool,
                                             struct kn_offload_job *job, kn_offload_function *function, void *context,
                                             kn_discard_function *discard, kn_offload_release *release);

/* ---- files; what they are given stays the caller's, and is lent until the answer or the drop ---- */

/** Opens a file. */
struct kn_future_file_open {
    struct kn_future_offload offload; /* first */
    const char *path;
    int flags;
    mode_t mode;
};

/** Answers with a descriptor, close-on-exec (owned: discarded, it is closed), as open(2) does with these flags and
 * mode.
 */
struct kn_future *kn_future_file_open(struct kn_future_file_open *self, struct kn_offload_pool *pool, const char *path,
                                      int flags, mode_t mode);

/** Reads, writes or flushes. */
struct kn_future_file {
    struct kn_future_offload offload; /* first */
    int descriptor;
    uint8_t *bytes;
    size_t length;
    uint64_t offset;
};

/** Answers with how many bytes were read at `offset`: all `length_bytes`, or fewer at the end of the file. */
struct kn_future *kn_future_file_read_at(struct kn_future_file *self, struct kn_offload_pool *pool, int descriptor,
                                         void *bytes, size_t length_bytes, uint64_t offset);

/** Answers with `length_bytes` once all are written at `offset`. */
struct kn_future *kn_future_file_write_at(struct kn_future_file *self, struct kn_offload_pool *pool, int descriptor,
                                          const void *bytes, size_t length_bytes, uint64_t offset);

/** Answers with nothing once all that was written is on the disk (fsync). */
struct kn_future *kn_future_file_sync(struct kn_future_file *self, struct kn_offload_pool *pool, int descriptor);

/** Reads a file chunk by chunk. */
struct kn_stream_file {
    struct kn_stream stream; /* first */
    struct kn_future_file read;
    struct kn_offload_pool *pool;
    int descriptor;
    uint8_t *buffer;
    size_t capacity;
    uint64_t offset;          /* of the next chunk */
    struct kn_io_chunk chunk; /* answered with */
    bool is_reading;
    bool is_over;
};

/** The bytes of a file from `offset` on, as chunks in `buffer` that are lent; ends at its end, and after a failure.
 * @param capacity_bytes at least 1. */
struct kn_stream *kn_stream_file(struct kn_stream_file *self, struct kn_offload_pool *pool, int descriptor,
                                 uint64_t offset, void *buffer, size_t capacity_bytes);

#endif
