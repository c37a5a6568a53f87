/**
 * @file io_signal.h
 * Signals as a stream: what the system or a person sends to the process, in its turn among everything else.
 *
 * Use it to end in good order, to read the configuration again, or to hear of a resized terminal; for the ends of
 * children take io_process.h. It guarantees that no code runs in a signal handler. Signals must be blocked in every
 * thread, or they do what they do without it: so call kn_signal_block in main before the first thread is made, which
 * inherits it.
 *
 *        kn_signal_block(KN_SIGNAL(SIGINT) | KN_SIGNAL(SIGTERM));
 *        ... kn_stream_signals(&program->signals, driver, KN_SIGNAL(SIGINT) | KN_SIGNAL(SIGTERM))
 *
 * As the system has it, a signal that is sent again before it was taken comes once, and of two streams that wait for
 * the same signal one gets it. Programs that are started inherit what is blocked; those of io_process.h start with
 * nothing blocked.
 */
#ifndef KERNEL_IO_SIGNAL_H
#define KERNEL_IO_SIGNAL_H

#include <signal.h>

#include <kernel/io.h>
#include <kernel/stream.h>

/** A set of one signal, 1 to 64; sets are united with |. */
#define KN_SIGNAL(number) (UINT64_C(1) << ((number)-1))

/** Blocks signals in this thread and those that it makes. @return 0 or -EINVAL. */
int kn_signal_block(uint64_t signals);

/** Waits for signals. */
struct kn_stream_signals {
    struct kn_stream stream; /* first */
    struct kn_io_wait wait;
    struct kn_io io; /* open from the first poll to the drop */
    struct kn_io_driver *driver;
    uint64_t signals;
    bool is_open;
    bool is_over; /* it has failed */
};

/** The numbers of signals that have come, one by one; never ends but after a failure. */
struct kn_stream *kn_stream_signals(struct kn_stream_signals *self, struct kn_io_driver *driver, uint64_t signals);

/** Waits for one signal. */
struct kn_future_signal {
    struct kn_future future; /* first */
    struct kn_stream_signals signals;
};

/** Answers with the number of the first that comes. */
struct kn_future *kn_future_signal(struct kn_future_signal *self, struct kn_io_driver *driver, uint64_t signals);

/** The same for SIGINT, which a person sends with Ctrl and C (tokio's ctrl_c). */
struct kn_future *kn_future_ctrl_c(struct kn_future_signal *self, struct kn_io_driver *driver);

#endif
