#include <kernel/poll.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "net/poll_backend.h"

/* AUTO stands for the first that opens. */
static const struct kn_poll_backend_operations *const BACKENDS[] = {
    [KN_POLL_BACKEND_EPOLL] = &kn_poll_epoll,
};
enum { BACKEND_COUNT = sizeof(BACKENDS) / sizeof(BACKENDS[0]) };

static const char AUTO_NAME[] = "auto";

static const struct kn_poll_backend_operations *operations(const struct kn_poll *poll)
{
    return BACKENDS[poll->backend];
}

int kn_poll_backend_parse(const char *text, enum kn_poll_backend *backend)
{
    for (unsigned i = 0; i < BACKEND_COUNT; i++) {
        if (strcmp(text, kn_poll_backend_name((enum kn_poll_backend)i)) == 0) {
            *backend = (enum kn_poll_backend)i;
            return 0;
        }
    }
    return -EINVAL;
}

const char *kn_poll_backend_name(enum kn_poll_backend backend)
{
    if (backend == KN_POLL_BACKEND_AUTO)
        return AUTO_NAME;
    return (unsigned)backend < BACKEND_COUNT ? BACKENDS[backend]->name : "unknown";
}

int kn_events_init(struct kn_events *events, size_t capacity)
{
    *events = (struct kn_events){0};
    if (capacity == 0 || capacity > INT32_MAX / sizeof(struct kn_event))
        return -EINVAL;
    size_t raw_bytes = 1; /* of the backend that needs most, since events do not belong to one poll */
    for (unsigned i = 1; i < BACKEND_COUNT; i++)
        raw_bytes = BACKENDS[i]->raw_event_bytes > raw_bytes ? BACKENDS[i]->raw_event_bytes : raw_bytes;
    events->list = calloc(capacity, sizeof(events->list[0]));
    events->backend_storage = calloc(capacity, raw_bytes);
    if (!events->list || !events->backend_storage) {
        kn_events_free(events);
        return -ENOMEM;
    }
    events->capacity = capacity;
    return 0;
}

void kn_events_free(struct kn_events *events)
{
    free(events->list);
    free(events->backend_storage);
    *events = (struct kn_events){0};
}

int kn_poll_open(struct kn_poll *poll, enum kn_poll_backend backend)
{
    *poll = (struct kn_poll){.descriptor = -1};
    if ((unsigned)backend >= BACKEND_COUNT)
        return -EINVAL;
    unsigned first = backend == KN_POLL_BACKEND_AUTO ? 1 : (unsigned)backend;
    unsigned last = backend == KN_POLL_BACKEND_AUTO ? BACKEND_COUNT - 1 : (unsigned)backend;
    int result = -ENOTSUP;
    for (unsigned i = first; i <= last && result < 0; i++) {
        poll->backend = (enum kn_poll_backend)i;
        result = BACKENDS[i]->open(poll);
    }
    return result;
}

void kn_poll_close(struct kn_poll *poll)
{
    if (poll->descriptor >= 0)
        operations(poll)->close(poll);
    poll->descriptor = -1;
}

static int check_interest(uint32_t interest)
{
    const uint32_t readiness = KN_READABLE | KN_WRITABLE;
    const uint32_t known = readiness | KN_EDGE | KN_ONESHOT;
    return (interest & readiness) != 0 && (interest & ~known) == 0 ? 0 : -EINVAL;
}

int kn_poll_register(struct kn_poll *poll, int descriptor, kn_token token, uint32_t interest)
{
    int result = check_interest(interest);
    return result < 0 ? result : operations(poll)->add(poll, descriptor, token, interest);
}

int kn_poll_reregister(struct kn_poll *poll, int descriptor, kn_token token, uint32_t interest)
{
    int result = check_interest(interest);
    return result < 0 ? result : operations(poll)->change(poll, descriptor, token, interest);
}

int kn_poll_deregister(struct kn_poll *poll, int descriptor)
{
    return operations(poll)->remove(poll, descriptor);
}

int kn_poll_wait(struct kn_poll *poll, struct kn_events *events, int64_t timeout_ns)
{
    return operations(poll)->wait(poll, events, timeout_ns);
}

int kn_poll_waker_open(struct kn_poll_waker *waker, struct kn_poll *poll, kn_token token)
{
    waker->descriptor = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (waker->descriptor < 0)
        return -errno;
    /* Edge-triggered, so that the counter need never be read back: each write is an edge. */
    int result = kn_poll_register(poll, waker->descriptor, token, KN_READABLE | KN_EDGE);
    if (result < 0)
        kn_poll_waker_close(waker);
    return result;
}

void kn_poll_waker_close(struct kn_poll_waker *waker)
{
    if (waker->descriptor >= 0)
        close(waker->descriptor);
    waker->descriptor = -1;
}

int kn_poll_waker_wake(struct kn_poll_waker *waker)
{
    int saved_errno = errno;
    const uint64_t one = 1;
    uint64_t drained;
    int result = 0;
    while (write(waker->descriptor, &one, sizeof(one)) < 0 && result == 0) {
        /* The counter is full after 2^64 - 2 wakes: emptying it and writing again makes the edge. */
        if (errno == EAGAIN)
            (void)!read(waker->descriptor, &drained, sizeof(drained));
        else if (errno != EINTR)
            result = -errno;
    }
    errno = saved_errno;
    return result;
}
