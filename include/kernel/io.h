/**
 * @file io.h
 * Descriptors for futures and streams: a driver that learns when they are ready, as the input and output of a reactor
 * or of a thread of its own, and reading and writing on top of it.
 *
 * Use it for sockets, pipes, terminals and whatever else epoll takes; for regular files take io_file.h, for connections
 * io_tcp.h, for lines and frames io_stream.h, for a whole server of one kind server.h. It guarantees that no poll
 * blocks and no write raises SIGPIPE, that a descriptor costs no system call while its task waits, and that an event
 * never reaches a descriptor that was opened later in the same place.
 *
 *        struct kn_io_driver *driver;
 *        kn_io_driver_open(&driver, NULL);
 *        struct kn_reactor_io io = kn_io_driver_reactor_io(driver, reactor);
 *        kn_reactor_set_io(reactor, &io);
 *        ...
 *        kn_io_open(&peer->io, driver, descriptor);                             on that reactor's thread
 *        kn_future_io_read(&peer->read, &peer->io, peer->bytes, sizeof(peer->bytes))
 *
 * Threads. A driver, its descriptors and what waits for them belong to one thread: that of its reactor, or that which
 * calls kn_io_driver_block_on. While a future waits, its task stays on its reactor; polled anywhere else than on its
 * driver's it fails with -EXDEV. Between two such futures the balance may move the task: so tasks that use descriptors
 * are spawned on the driver's reactor with `pinned` set in their options. A bare descriptor, as accept answers with,
 * belongs nowhere: it may be opened on another reactor than it came from.
 *
 * Readiness. Each descriptor is registered once, edge-triggered. What is believed to be ready is tried at once, and
 * only -EAGAIN has a future wait for the next event, as in tokio's try_io. One future at a time may wait for each
 * direction of a descriptor; a second one fails with -EBUSY.
 */
#ifndef KERNEL_IO_H
#define KERNEL_IO_H

#include <sys/uio.h>

#include <kernel/executor.h>
#include <kernel/poll.h>
#include <kernel/reactor.h>

/* ---- the driver ---- */

/** Waits for the descriptors of one thread. Opaque. */
struct kn_io_driver;

/** Zero means the default in parentheses. */
struct kn_io_driver_options {
    uint32_t capacity; /**< (1024) descriptors that are open at once */
    uint32_t events;   /**< (256) taken from the system at once */
};

/** Opens a driver; allocates. The caller owns it. @param options NULL: the defaults.
 * @return 0, -EINVAL, -ENOMEM, -EMFILE, -ENFILE. */
KN_CHECK_RESULT int kn_io_driver_open(struct kn_io_driver **driver, const struct kn_io_driver_options *options);

/** Frees it, once all its descriptors are closed, nothing waits for them and its reactor runs no more. NULL is
 * harmless. */
void kn_io_driver_close(struct kn_io_driver *driver);

/**
 * What to give to kn_reactor_set_io of `reactor`, whose driver it is from now on (NULL: of none any more). It stays
 * open until the reactor runs no more or has been given other input and output. As with kn_server_reactor_io, a poll
 * that may wait only waits, and leaves what it finds to the next one.
 */
struct kn_reactor_io kn_io_driver_reactor_io(struct kn_io_driver *driver, struct kn_reactor *reactor);

/** The reactor whose driver it is, or NULL. */
struct kn_reactor *kn_io_driver_reactor(const struct kn_io_driver *driver);

/** How many of its descriptors are open. */
size_t kn_io_driver_count(const struct kn_io_driver *driver);

/**
 * Waits for a future's answer on this thread, which runs no reactor, with the driver's poll as its sleep; futures of
 * time work. What is only lent to it, as a stream to kn_stream_next, may wait on until the next call. NULL fails with
 * -ENOMEM.
 * @param timeout_ns after which it is dropped; negative: never.
 * @return the answer; failed with -ETIMEDOUT; -EDEADLK on a reactor's thread; -EXDEV for the driver of a reactor;
 * -EBUSY inside another call for the same driver; another -errno of the system's wait.
 */
struct kn_outcome kn_io_driver_block_on(struct kn_io_driver *driver, struct kn_future *future, int64_t timeout_ns);

/* ---- descriptors ---- */

/** What is waited for. */
enum kn_io_direction {
    KN_IO_READ = 0, /**< bytes, connections, the end */
    KN_IO_WRITE = 1 /**< room */
};

struct kn_io_wait;

/** A descriptor of a driver; not moved while it is open. Fields are private but for `descriptor`. */
struct kn_io {
    int descriptor;              /**< -1: closed */
    uint8_t ready;               /* believed to be ready: 1 << direction */
    bool is_no_socket;           /* sending has shown it */
    struct kn_io_driver *driver; /* that it is registered with */
    uint64_t id;                 /* of its slot there; its token */
    struct kn_io_wait *waits[2]; /* who waits for each direction */
};

/**
 * Takes a descriptor over, makes it non-blocking (which all who share its open file see) and registers it. On the
 * driver's thread, or before that runs.
 * @return 0; or the descriptor stays the caller's and `io` is closed: -EPERM for regular files, -ENOSPC when the driver
 * is full, -EXDEV on another reactor's thread, -EEXIST, -EBADF, -ENOMEM.
 */
KN_CHECK_RESULT int kn_io_open(struct kn_io *io, struct kn_io_driver *driver, int descriptor);

/** Closes it; futures that wait for it fail with -ECANCELED, those polled later with -EBADF. Harmless on a closed one.
 * On the driver's thread. */
void kn_io_close(struct kn_io *io);

/** As kn_io_close, but leaves the descriptor open and gives it back; -1 for a closed one. */
KN_CHECK_RESULT int kn_io_release(struct kn_io *io);

/** Is called when a disowned descriptor is readable, or (final) when its driver closes; true: that was all. */
typedef bool kn_io_disowned(uint64_t argument, bool is_final);

/** As kn_io_close, but its driver keeps the descriptor and closes it after `done` has answered true, or once final. For
 * what must be seen to when nobody cares any more. On the driver's thread. */
void kn_io_disown(struct kn_io *io, kn_io_disowned *done, uint64_t argument);

/* ---- waiting, for futures of your own ---- */

/**
 * The wait of one future for one direction of a descriptor. Zeroed memory is an idle one.
 *
 * Invariant: while `io` is set, io->waits[direction] is this, and `executor` as well. Pinned from the first poll on,
 * also where that need not wait: what was begun here is finished here.
 */
struct kn_io_wait {
    struct kn_io *io;             /* NULL: idle, or cancelled */
    struct kn_waker *waker;       /* of the last poll */
    struct kn_executor *executor; /* pinned; NULL: not yet */
    uint8_t direction;            /* of enum kn_io_direction */
    bool is_cancelled;            /* the descriptor was closed */
};

/**
 * Whether it is worth trying to read or write: ready; pending, and the waker will be called; or -EBADF, -EBUSY,
 * -ECANCELED, -EXDEV, after which `io` is not touched any more. Executor only.
 */
int64_t kn_io_poll_ready(struct kn_io_wait *wait, struct kn_io *io, enum kn_io_direction direction,
                         struct kn_context *context);

/** Says that it was not: after -EAGAIN, before it is polled again. */
KN_INLINE void kn_io_clear_ready(struct kn_io *io, enum kn_io_direction direction)
{
    io->ready &= (uint8_t) ~(1u << direction);
}

/** Ends the wait: with the answer of the future and when it is dropped. Harmless on an idle one. */
void kn_io_wait_end(struct kn_io_wait *wait);

/** Reads what is there. @return bytes; 0 at the end; -EAGAIN, which clears the readiness; another -errno. */
ptrdiff_t kn_io_try_read(struct kn_io *io, void *bytes, size_t length_bytes);

/** Writes what fits, and raises no SIGPIPE. @return bytes; -EAGAIN, which clears the readiness; -EPIPE ... */
ptrdiff_t kn_io_try_write(struct kn_io *io, const void *bytes, size_t length_bytes);

/** The same for several pieces, at most IOV_MAX. */
ptrdiff_t kn_io_try_write_vector(struct kn_io *io, const struct iovec *pieces, size_t count);

/* ---- futures; the descriptor and the memory that they are given stay the caller's until the answer or drop ---- */

/** Waits for one direction. */
struct kn_future_io_ready {
    struct kn_future future; /* first */
    struct kn_io_wait wait;
    struct kn_io *io;
    enum kn_io_direction direction;
};

/** Answers with nothing once reading is worth a try. */
struct kn_future *kn_future_io_readable(struct kn_future_io_ready *self, struct kn_io *io);

/** The same for writing. */
struct kn_future *kn_future_io_writable(struct kn_future_io_ready *self, struct kn_io *io);

/** Reads. */
struct kn_future_io_read {
    struct kn_future future; /* first */
    struct kn_io_wait wait;
    struct kn_io *io;
    uint8_t *bytes;
    size_t length; /* wanted */
    size_t done;   /**< read so far, also after a failure */
    bool exact;    /* all of it */
};

/** Answers with how many bytes were read: what is there, at most `length_bytes`; 0 at the end. */
struct kn_future *kn_future_io_read(struct kn_future_io_read *self, struct kn_io *io, void *bytes, size_t length_bytes);

/** Answers with `length_bytes` once all were read; fails with -ENODATA when the end comes before. */
struct kn_future *kn_future_io_read_exact(struct kn_future_io_read *self, struct kn_io *io, void *bytes,
                                          size_t length_bytes);

/** Writes. */
struct kn_future_io_write_all {
    struct kn_future future; /* first */
    struct kn_io_wait wait;
    struct kn_io *io;
    struct iovec piece;         /* the one of write_all */
    const struct iovec *pieces; /* to write */
    size_t count;               /* of pieces left */
    size_t offset;              /* in the first of them */
    size_t done;                /**< bytes written so far, also after a failure */
};

/** Answers with `length_bytes` once all were written. */
struct kn_future *kn_future_io_write_all(struct kn_future_io_write_all *self, struct kn_io *io, const void *bytes,
                                         size_t length_bytes);

/** The same for several pieces, which are not changed. */
struct kn_future *kn_future_io_write_all_vector(struct kn_future_io_write_all *self, struct kn_io *io,
                                                const struct iovec *pieces, size_t count);

/** Copies. */
struct kn_future_io_copy {
    struct kn_future future; /* first */
    struct kn_io_wait reading;
    struct kn_io_wait writing;
    struct kn_io *from;
    struct kn_io *to;
    uint8_t *buffer;
    size_t capacity;
    size_t begin;    /* of what is to be written */
    size_t end;      /* likewise */
    uint64_t copied; /**< bytes written so far, also after a failure */
    bool is_at_end;  /* of what there is to read */
};

/** Reads from the one and writes to the other until the first one's end; answers with how many bytes. @param
 * capacity_bytes at least 1. */
struct kn_future *kn_future_io_copy(struct kn_future_io_copy *self, struct kn_io *from, struct kn_io *to, void *buffer,
                                    size_t capacity_bytes);

#endif
