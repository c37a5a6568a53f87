/* What a way of learning readiness must offer. Interests have been checked before. */
#ifndef KERNEL_NET_POLL_BACKEND_H
#define KERNEL_NET_POLL_BACKEND_H

#include <kernel/poll.h>

struct kn_poll_backend_operations {
    const char *name;
    int (*open)(struct kn_poll *poll);
    void (*close)(struct kn_poll *poll);
    int (*add)(struct kn_poll *poll, int descriptor, kn_token token, uint32_t interest);
    int (*change)(struct kn_poll *poll, int descriptor, kn_token token, uint32_t interest);
    int (*remove)(struct kn_poll *poll, int descriptor);
    int (*wait)(struct kn_poll *poll, struct kn_events *events, int64_t timeout_ns);
    size_t raw_event_bytes; /* of backend_storage, for each event */
};

extern const struct kn_poll_backend_operations kn_poll_epoll;

#endif
