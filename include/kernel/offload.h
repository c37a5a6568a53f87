/* Runs a server's handler on another core: bytes go there and back through two zero-copy queues. */
#ifndef KERNEL_OFFLOAD_H
#define KERNEL_OFFLOAD_H

#include <kernel/server.h>

struct kn_offload;

/* Zero means the default in parentheses. */
struct kn_offload_options {
    size_t queue_bytes;         /* each direction (1 MiB), a power of two */
    size_t message_bytes;       /* most bytes received at once (16 KiB) */
    int64_t spin_ns;            /* how long the handler's core spins before it parks (50 us) */
};

struct kn_offload_handler {
    void *context;
    /* On the handler's core: bytes of a connection, in place, valid until it returns. */
    void (*on_message)(void *context, struct kn_offload *offload, uint64_t connection_id, const void *bytes,
                       size_t length_bytes);
};

int kn_offload_open(struct kn_offload **offload, const struct kn_offload_options *options,
                    const struct kn_offload_handler *handler);
void kn_offload_close(struct kn_offload *offload); /* after both threads have left it */
/* What to pass to kn_server_open; then attach before the server's first turn. */
struct kn_server_handler kn_offload_server_handler(struct kn_offload *offload);
int kn_offload_attach(struct kn_offload *offload, struct kn_server *server);
/* The handler's thread calls this: serves until kn_offload_stop. */
int kn_offload_run(struct kn_offload *offload);
void kn_offload_stop(struct kn_offload *offload); /* any thread, after the server has stopped */
/* Inside on_message: space for a reply of exactly length_bytes (0..message_bytes), waits for room; then publish. */
int kn_offload_claim(struct kn_offload *offload, size_t length_bytes, void **space);
void kn_offload_publish(struct kn_offload *offload, size_t length_bytes);

#endif
