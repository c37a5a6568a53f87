#include "net/poll_backend.h"

#include <errno.h>
#include <limits.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const int64_t NS_PER_SECOND = 1000000000;
static const int64_t NS_PER_MS = 1000000;

static int epoll_open(struct kn_poll *poll)
{
    poll->descriptor = epoll_create1(EPOLL_CLOEXEC);
    return poll->descriptor < 0 ? -errno : 0;
}

static void epoll_close(struct kn_poll *poll)
{
    close(poll->descriptor);
}

static int control(struct kn_poll *poll, int operation, int descriptor, kn_token token, uint32_t interest)
{
    struct epoll_event event = {.data.u64 = token};
    if (interest & KN_READABLE)
        event.events |= EPOLLIN | EPOLLRDHUP;
    if (interest & KN_WRITABLE)
        event.events |= EPOLLOUT;
    if (interest & KN_EDGE)
        event.events |= EPOLLET;
    if (interest & KN_ONESHOT)
        event.events |= EPOLLONESHOT;
    return epoll_ctl(poll->descriptor, operation, descriptor, &event) < 0 ? -errno : 0;
}

static int epoll_add(struct kn_poll *poll, int descriptor, kn_token token, uint32_t interest)
{
    return control(poll, EPOLL_CTL_ADD, descriptor, token, interest);
}

static int epoll_change(struct kn_poll *poll, int descriptor, kn_token token, uint32_t interest)
{
    return control(poll, EPOLL_CTL_MOD, descriptor, token, interest);
}

static int epoll_remove(struct kn_poll *poll, int descriptor)
{
    return control(poll, EPOLL_CTL_DEL, descriptor, 0, 0);
}

static uint32_t flags_of(uint32_t events)
{
    uint32_t flags = 0;
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP))
        flags |= KN_EVENT_READABLE;
    if (events & EPOLLOUT)
        flags |= KN_EVENT_WRITABLE;
    if (events & (EPOLLRDHUP | EPOLLHUP))
        flags |= KN_EVENT_READ_CLOSED;
    if (events & (EPOLLHUP | EPOLLERR))
        flags |= KN_EVENT_WRITE_CLOSED;
    if (events & EPOLLERR)
        flags |= KN_EVENT_ERROR;
    return flags;
}

/* Rounded up: a wait that ends too soon would have its caller spin until the deadline. */
static int whole_milliseconds(int64_t timeout_ns)
{
    if (timeout_ns < 0)
        return -1;
    int64_t ms = timeout_ns / NS_PER_MS + (timeout_ns % NS_PER_MS != 0);
    return ms > INT_MAX ? INT_MAX : (int)ms;
}

/* epoll_pwait2 came with Linux 5.11; emulators and older systems answer ENOSYS. */
static int wait_raw(int descriptor, struct epoll_event *raw, int capacity, int64_t timeout_ns)
{
#ifdef SYS_epoll_pwait2
    if (timeout_ns > 0) {
        struct timespec timeout = {.tv_sec = timeout_ns / NS_PER_SECOND, .tv_nsec = timeout_ns % NS_PER_SECOND};
        int count = (int)syscall(SYS_epoll_pwait2, descriptor, raw, capacity, &timeout, NULL, 0);
        if (count >= 0 || errno != ENOSYS)
            return count;
    }
#endif
    return epoll_wait(descriptor, raw, capacity, whole_milliseconds(timeout_ns));
}

static int epoll_wait_events(struct kn_poll *poll, struct kn_events *events, int64_t timeout_ns)
{
    struct epoll_event *raw = events->backend_storage;
    events->count = 0;
    int count = wait_raw(poll->descriptor, raw, (int)events->capacity, timeout_ns);
    if (count < 0)
        return -errno;
    for (int i = 0; i < count; i++)
        events->list[i] = (struct kn_event){.token = raw[i].data.u64, .flags = flags_of(raw[i].events)};
    events->count = (size_t)count;
    return 0;
}

const struct kn_poll_backend_operations kn_poll_epoll = {
    .name = "epoll",
    .open = epoll_open,
    .close = epoll_close,
    .add = epoll_add,
    .change = epoll_change,
    .remove = epoll_remove,
    .wait = epoll_wait_events,
    .raw_event_bytes = sizeof(struct epoll_event),
};
