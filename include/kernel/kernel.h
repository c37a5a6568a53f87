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
#include <kernel/async.h>
#include <kernel/atomic.h>
#include <kernel/balance.h>
#include <kernel/barrier.h>
#include <kernel/broadcast.h>
#include <kernel/broadcast_channel.h>
#include <kernel/bus.h>
#include <kernel/channel.h>
#include <kernel/clock.h>
#include <kernel/connection.h>
#include <kernel/console.h>
#include <kernel/cursor.h>
#include <kernel/error.h>
#include <kernel/eventcount.h>
#include <kernel/executor.h>
#include <kernel/future.h>
#include <kernel/future_join.h>
#include <kernel/future_remote.h>
#include <kernel/future_select.h>
#include <kernel/future_set.h>
#include <kernel/future_shared.h>
#include <kernel/future_task.h>
#include <kernel/future_then.h>
#include <kernel/future_time.h>
#include <kernel/io.h>
#include <kernel/io_file.h>
#include <kernel/io_process.h>
#include <kernel/io_signal.h>
#include <kernel/io_stream.h>
#include <kernel/io_tcp.h>
#include <kernel/line.h>
#include <kernel/log.h>
#include <kernel/mailbox.h>
#include <kernel/mapping.h>
#include <kernel/mpmc.h>
#include <kernel/mpsc.h>
#include <kernel/mutex.h>
#include <kernel/notify.h>
#include <kernel/numeric.h>
#include <kernel/nursery.h>
#include <kernel/offload.h>
#include <kernel/oneshot.h>
#include <kernel/parallel.h>
#include <kernel/placement.h>
#include <kernel/poll.h>
#include <kernel/priority.h>
#include <kernel/queue.h>
#include <kernel/reactor.h>
#include <kernel/reader.h>
#include <kernel/retry.h>
#include <kernel/rwlock.h>
#include <kernel/sector.h>
#include <kernel/semaphore.h>
#include <kernel/server.h>
#include <kernel/server_reactor.h>
#include <kernel/sink.h>
#include <kernel/sink_combine.h>
#include <kernel/slab.h>
#include <kernel/spmc.h>
#include <kernel/spsc.h>
#include <kernel/spsc_bytes.h>
#include <kernel/stream.h>
#include <kernel/stream_buffer.h>
#include <kernel/stream_combine.h>
#include <kernel/stream_concurrent.h>
#include <kernel/stream_fold.h>
#include <kernel/stream_map.h>
#include <kernel/stream_queue.h>
#include <kernel/stream_source.h>
#include <kernel/stream_take.h>
#include <kernel/stream_time.h>
#include <kernel/task.h>
#include <kernel/tcp.h>
#include <kernel/timer.h>
#include <kernel/top.h>
#include <kernel/topology.h>
#include <kernel/trace.h>
#include <kernel/version.h>
#include <kernel/wait_list.h>
#include <kernel/waker.h>
#include <kernel/watch.h>
#include <kernel/writer.h>

#endif
