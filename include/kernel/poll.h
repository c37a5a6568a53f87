/* Readiness of many descriptors at once, in mio's vocabulary. */
#ifndef KERNEL_POLL_H
#define KERNEL_POLL_H

#include <stddef.h>
#include <stdint.h>

#include <kernel/atomic.h>

typedef uint64_t kn_token;

enum kn_interest {
    KN_READABLE = 1u << 0,
    KN_WRITABLE = 1u << 1,
    KN_EDGE = 1u << 8,    /* default is level-triggered */
    KN_ONESHOT = 1u << 9, /* disarmed after one event until reregistered */
};

enum kn_poll_backend { KN_POLL_BACKEND_AUTO = 0, KN_POLL_BACKEND_EPOLL };

enum kn_event_flag {
    KN_EVENT_READABLE = 1u << 0,
    KN_EVENT_WRITABLE = 1u << 1,
    KN_EVENT_READ_CLOSED = 1u << 2,
    KN_EVENT_WRITE_CLOSED = 1u << 3,
    KN_EVENT_ERROR = 1u << 4,
};

struct kn_event {
    kn_token token;
    uint32_t flags;
};

struct kn_events {
    struct kn_event *list;
    size_t count;
    size_t capacity;
    void *backend_storage;
};

struct kn_poll {
    int descriptor;
    enum kn_poll_backend backend;
};

struct kn_waker {
    int descriptor;
};

int kn_poll_backend_parse(const char *text, enum kn_poll_backend *backend);
const char *kn_poll_backend_name(enum kn_poll_backend backend);

int kn_events_init(struct kn_events *events, size_t capacity);
void kn_events_free(struct kn_events *events);

int kn_poll_open(struct kn_poll *poll, enum kn_poll_backend backend);
void kn_poll_close(struct kn_poll *poll);
int kn_poll_register(struct kn_poll *poll, int descriptor, kn_token token, uint32_t interest);
int kn_poll_reregister(struct kn_poll *poll, int descriptor, kn_token token, uint32_t interest);
int kn_poll_deregister(struct kn_poll *poll, int descriptor);
/* timeout_ns: 0 returns at once, negative waits for ever. EINTR is returned as -EINTR. */
int kn_poll_wait(struct kn_poll *poll, struct kn_events *events, int64_t timeout_ns);

int kn_waker_open(struct kn_waker *waker, struct kn_poll *poll, kn_token token);
void kn_waker_close(struct kn_waker *waker);
int kn_waker_wake(struct kn_waker *waker);  /* any thread, async-signal-safe */
void kn_waker_clear(struct kn_waker *waker); /* poll's thread, on the waker's event */

#endif
