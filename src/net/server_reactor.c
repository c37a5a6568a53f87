#include <kernel/server_reactor.h>

#include <errno.h>
#include <limits.h>

#include "server_internal.h"

/*
 * A poll that may wait does nothing else: what it finds is served by the next one, which the reactor makes at once as
 * part of a turn. So the reactor knows when it works and when it sleeps, and its messages come first as always.
 */
static int poll_server(void *context, int64_t timeout_ns)
{
    struct kn_server *server = context;
    if (kn_server_has_drained(server))
        return -ESHUTDOWN;
    int result = kn_server_wait(server, timeout_ns);
    if (result < 0)
        return result;
    size_t done = server->events.count;
    if (timeout_ns == 0) {
        kn_server_serve(server);
        if (kn_server_has_drained(server))
            return -ESHUTDOWN;
        /* Connections with work left want the next turn soon, though no event announces it. */
        done += !kn_link_alone(&server->ready);
    }
    return done < INT_MAX ? (int)done : INT_MAX;
}

static void wake_server(void *context)
{
    kn_server_wake(context);
}

struct kn_reactor_io kn_server_reactor_io(struct kn_server *server)
{
    return (struct kn_reactor_io){.context = server, .poll = poll_server, .wake = wake_server};
}
