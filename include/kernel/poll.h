/**
 * @file poll.h
 * Readiness of many descriptors at once, in the vocabulary of Rust's mio.
 *
 * Use it to wait on sockets, pipes and terminals from one thread; for a whole server take server.h. Regular files are
 * always ready and cannot be registered (-EPERM). It guarantees that an event is reported for every readiness that was
 * asked for and did occur, and does not guarantee the reverse: an event may be spurious, so reads and writes must
 * be non-blocking and -EAGAIN an ordinary answer.
 *
 * Portability: edge-triggered events come again whenever more bytes arrive, even unread ones; a closed peer makes a
 * descriptor readable as well as KN_EVENT_READ_CLOSED, since the end of the stream must be read. A poll, its events
 * and its registrations belong to one thread; only kn_poll_waker_wake may be called from others.
 */
#ifndef KERNEL_POLL_H
#define KERNEL_POLL_H

#include <stddef.h>
#include <stdint.h>

#include <kernel/atomic.h>

/** What a registration is known by: chosen by the caller, returned with its events. */
typedef uint64_t kn_token;

/** What to report, and how. */
enum kn_interest {
    KN_READABLE = 1u << 0, /**< bytes, a connection or an end of stream to read */
    KN_WRITABLE = 1u << 1, /**< room to write */
    KN_EDGE = 1u << 8,     /**< report once whenever it becomes ready; without it, as long as it is */
    KN_ONESHOT = 1u << 9,  /**< report once, then not until reregistered */
};

/** How readiness is learnt. */
enum kn_poll_backend {
    KN_POLL_BACKEND_AUTO = 0, /**< the best that the system offers */
    KN_POLL_BACKEND_EPOLL,    /**< Linux's epoll */
};

/** What became ready. */
enum kn_event_flag {
    KN_EVENT_READABLE = 1u << 0,     /**< reading will not block */
    KN_EVENT_WRITABLE = 1u << 1,     /**< writing will not block */
    KN_EVENT_READ_CLOSED = 1u << 2,  /**< the peer sends no more */
    KN_EVENT_WRITE_CLOSED = 1u << 3, /**< the peer reads no more */
    KN_EVENT_ERROR = 1u << 4,        /**< an error waits to be fetched by reading or writing */
};

/** One event. */
struct kn_event {
    kn_token token; /**< of the registration */
    uint32_t flags; /**< of enum kn_event_flag */
};

/** The events of one wait, in memory allocated once. */
struct kn_events {
    struct kn_event *list; /**< what the last wait found */
    size_t count;          /**< how many */
    size_t capacity;       /**< most at once; the rest come with the next wait */
    void *backend_storage; /**< private */
};

/** A set of registrations. */
struct kn_poll {
    int descriptor;               /**< private */
    enum kn_poll_backend backend; /**< the one in use, never AUTO */
};

/** A way to end another thread's wait. */
struct kn_poll_waker {
    int descriptor; /**< private */
};

/** "auto" or "epoll". @return 0, or -EINVAL with nothing written. */
int kn_poll_backend_parse(const char *text, enum kn_poll_backend *backend);

/** The name that kn_poll_backend_parse reads. */
const char *kn_poll_backend_name(enum kn_poll_backend backend);

/** Allocates room for `capacity` events a wait, at least 1. @return 0, -EINVAL or -ENOMEM. */
KN_CHECK_RESULT int kn_events_init(struct kn_events *events, size_t capacity);

/** Frees it. Harmless on zeroed events. */
void kn_events_free(struct kn_events *events);

/** Opens an empty set. @return 0; -ENOTSUP for a backend the system lacks; -EMFILE, -ENFILE, -ENOMEM. */
KN_CHECK_RESULT int kn_poll_open(struct kn_poll *poll, enum kn_poll_backend backend);

/** Closes the set, not the descriptors in it. */
void kn_poll_close(struct kn_poll *poll);

/**
 * Adds a descriptor. It must be deregistered or closed before its number is used again.
 * @param interest of enum kn_interest, at least one of readable and writable.
 * @return 0; -EINVAL for an interest of nothing or unknown bits; -EEXIST; -EBADF; -EPERM for regular files;
 * -ENOMEM, -ENOSPC.
 */
int kn_poll_register(struct kn_poll *poll, int descriptor, kn_token token, uint32_t interest);

/** Changes token and interest, and arms a oneshot again. @return as kn_poll_register, and -ENOENT. */
int kn_poll_reregister(struct kn_poll *poll, int descriptor, kn_token token, uint32_t interest);

/** Removes a descriptor; events already returned by a wait are not withdrawn. @return 0, -ENOENT or -EBADF. */
int kn_poll_deregister(struct kn_poll *poll, int descriptor);

/**
 * Waits until something is ready, and lists it.
 * @param timeout_ns 0 looks and returns at once; negative waits for ever; otherwise never returns sooner without an
 * event (rounded up to whole milliseconds on systems without epoll_pwait2).
 * @return 0, with events->count 0 when the time is up; -EINTR when a signal handler ran.
 */
int kn_poll_wait(struct kn_poll *poll, struct kn_events *events, int64_t timeout_ns);

/** Opens a waker whose wakes appear in `poll` as a readable event with `token`. @return 0 or -errno. */
KN_CHECK_RESULT int kn_poll_waker_open(struct kn_poll_waker *waker, struct kn_poll *poll, kn_token token);

/** Closes it; no thread may use it any more. */
void kn_poll_waker_close(struct kn_poll_waker *waker);

/**
 * Makes the poll's present or next wait return. Any thread, and signal handlers; never blocks; keeps errno. Many wakes
 * before the poll looks are one event. What the waking thread wrote before is visible to the woken one.
 * @return 0 or -errno.
 */
int kn_poll_waker_wake(struct kn_poll_waker *waker);

#endif
