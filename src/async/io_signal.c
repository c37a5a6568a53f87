/*
 * Signals as a stream. See io_signal.h.
 */
#include <kernel/io_signal.h>

#include <sys/signalfd.h>
#include <unistd.h>

enum { SIGNALS = 64 };

static sigset_t set_of(uint64_t signals)
{
    sigset_t set;
    sigemptyset(&set);
    for (int number = 1; number <= SIGNALS; number++) {
        if (signals & KN_SIGNAL(number))
            sigaddset(&set, number);
    }
    return set;
}

int kn_signal_block(uint64_t signals)
{
    sigset_t set = set_of(signals);
    return -pthread_sigmask(SIG_BLOCK, &set, NULL);
}

/* ---- signals ---- */

static int signals_open(struct kn_stream_signals *self)
{
    sigset_t set = set_of(self->signals);
    int descriptor = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (descriptor < 0)
        return -errno;
    int result = kn_io_open(&self->io, self->driver, descriptor);
    if (result < 0)
        close(descriptor);
    self->is_open = result == 0;
    return result;
}

static void signals_drop(struct kn_stream *stream)
{
    struct kn_stream_signals *self = KN_CONTAINER_OF(stream, struct kn_stream_signals, stream);
    kn_io_wait_end(&self->wait);
    if (self->is_open)
        kn_io_close(&self->io);
    self->is_open = false;
}

static struct kn_outcome signals_fail(struct kn_stream_signals *self, int64_t status)
{
    signals_drop(&self->stream);
    self->is_over = true;
    return kn_failed(status);
}

static struct kn_outcome signals_next(struct kn_stream *stream, struct kn_context *context)
{
    struct kn_stream_signals *self = KN_CONTAINER_OF(stream, struct kn_stream_signals, stream);
    if (self->is_over)
        return kn_ended();
    int result = self->is_open ? 0 : signals_open(self);
    if (result < 0)
        return signals_fail(self, result);
    struct signalfd_siginfo information = {.ssi_signo = 0};
    ptrdiff_t count = -EAGAIN;
    while (count == -EAGAIN) {
        int64_t status = kn_io_poll_ready(&self->wait, &self->io, KN_IO_READ, context);
        if (status == KN_PENDING)
            return kn_pending();
        count = status == KN_READY ? kn_io_try_read(&self->io, &information, sizeof(information)) : status;
    }
    if (count < 0)
        return signals_fail(self, count);
    kn_io_wait_end(&self->wait);
    return kn_ready(kn_value_of_integer((int64_t)information.ssi_signo));
}

static const struct kn_stream_type signals_type = {.name = "signals", .next = signals_next, .drop = signals_drop};

struct kn_stream *kn_stream_signals(struct kn_stream_signals *self, struct kn_io_driver *driver, uint64_t signals)
{
    if (!self)
        return NULL;
    *self = (struct kn_stream_signals){.stream.type = &signals_type, .driver = driver, .signals = signals};
    return &self->stream;
}

/* ---- signal, ctrl_c ---- */

static struct kn_outcome signal_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_future_signal *self = KN_CONTAINER_OF(future, struct kn_future_signal, future);
    struct kn_outcome outcome = signals_next(&self->signals.stream, context);
    if (outcome.status != KN_PENDING)
        signals_drop(&self->signals.stream);
    return outcome;
}

static void signal_drop(struct kn_future *future)
{
    signals_drop(&KN_CONTAINER_OF(future, struct kn_future_signal, future)->signals.stream);
}

static const struct kn_future_type signal_type = {.name = "signal", .poll = signal_poll, .drop = signal_drop};

struct kn_future *kn_future_signal(struct kn_future_signal *self, struct kn_io_driver *driver, uint64_t signals)
{
    if (!self)
        return NULL;
    self->future.type = &signal_type;
    (void)kn_stream_signals(&self->signals, driver, signals);
    return &self->future;
}

struct kn_future *kn_future_ctrl_c(struct kn_future_signal *self, struct kn_io_driver *driver)
{
    return kn_future_signal(self, driver, KN_SIGNAL(SIGINT));
}
