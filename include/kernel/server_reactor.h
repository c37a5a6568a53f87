/**
 * @file server_reactor.h
 * A server as the input and output of a reactor: its turns become part of the reactor's.
 *
 * Use it where connections are served on cores that run tasks as well: one server for each reactor that has
 * KN_ROLE_IO, all on one port (`reuse_port`); a program of one server alone calls kn_server_run. It guarantees that the
 * reactor sleeps in the server's wait, so that neither connections nor messages of other reactors are late, and that an
 * idle server uses no processor time.
 *
 * Callbacks of the server run on the reactor's thread, which is the server's: they may spawn and wake tasks, and tasks
 * on that reactor may use the server's connections, but for kn_server_turn, kn_server_run and kn_server_close.
 * @code
 *      struct kn_reactor_io io = kn_server_reactor_io(server);
 *      kn_reactor_set_io(reactor, &io);
 *      ...
 *      kn_server_drain(server);       // from any thread; the reactor runs on without input and output once that is
 * over kn_runtime_close(runtime); kn_server_close(server);
 * @endcode
 */
#ifndef KERNEL_SERVER_REACTOR_H
#define KERNEL_SERVER_REACTOR_H

#include <kernel/reactor.h>
#include <kernel/server.h>

/**
 * What to give to kn_reactor_set_io; neither function is NULL. A poll that may wait ends as soon as there is
 * something and leaves it to the next one, which serves it. Both answer how many events that were; -ESHUTDOWN once the
 * server has drained. The server stays the caller's, and stays open until the reactor runs no more or has been given
 * other input and output; afterwards it may be turned by hand again.
 */
struct kn_reactor_io kn_server_reactor_io(struct kn_server *server);

#endif
