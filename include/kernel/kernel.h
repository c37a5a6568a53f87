/**
 * @file kernel.h
 * Everything: each module's own header is its manual.
 *
 * @mainpage
 * A module a header: see the list of files. README.md says what the library is for.
 */
#ifndef KERNEL_KERNEL_H
#define KERNEL_KERNEL_H

#include <kernel/address.h>
#include <kernel/arena.h>
#include <kernel/assert.h>
#include <kernel/atomic.h>
#include <kernel/balance.h>
#include <kernel/broadcast.h>
#include <kernel/bus.h>
#include <kernel/clock.h>
#include <kernel/connection.h>
#include <kernel/console.h>
#include <kernel/cursor.h>
#include <kernel/error.h>
#include <kernel/eventcount.h>
#include <kernel/line.h>
#include <kernel/log.h>
#include <kernel/mailbox.h>
#include <kernel/mapping.h>
#include <kernel/mpmc.h>
#include <kernel/mpsc.h>
#include <kernel/offload.h>
#include <kernel/placement.h>
#include <kernel/poll.h>
#include <kernel/priority.h>
#include <kernel/queue.h>
#include <kernel/reactor.h>
#include <kernel/reader.h>
#include <kernel/sector.h>
#include <kernel/server.h>
#include <kernel/server_reactor.h>
#include <kernel/slab.h>
#include <kernel/spmc.h>
#include <kernel/spsc.h>
#include <kernel/spsc_bytes.h>
#include <kernel/task.h>
#include <kernel/tcp.h>
#include <kernel/timer.h>
#include <kernel/top.h>
#include <kernel/topology.h>
#include <kernel/trace.h>
#include <kernel/version.h>
#include <kernel/writer.h>

#endif
