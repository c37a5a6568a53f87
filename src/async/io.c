/*
 * Descriptors for futures. See io.h.
 *
 * Everything here belongs to the driver's thread, but for the wakers: so who waits is a plain pointer in the
 * descriptor, which the driver finds through a slab of slots. A slot's id carries its generation; an event that was
 * taken from the system before a descriptor was closed finds nobody.
 */
#include <kernel/io.h>

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <kernel/assert.h>
#include <kernel/slab.h>

enum { DEFAULT_CAPACITY = 1024, DEFAULT_EVENTS = 256 };

/* Of the poll's waker: no slot's id. */
static const kn_token WAKER_TOKEN = KN_SLAB_NO_ID;

/* Who a token is for: a descriptor, or what became of a disowned one. */
struct slot {
    struct kn_io *io;         /* or NULL: disowned */
    kn_io_disowned *disowned; /* then */
    uint64_t argument;        /* for it */
    int descriptor;           /* to be closed then */
};

/* States of a thread in kn_io_driver_block_on. */
enum { AWAKE = 0, ASLEEP = 1, WOKEN = 2 };

struct kn_io_driver {
    struct kn_poll poll;
    struct kn_poll_waker waker;
    struct kn_events events;
    struct kn_slab slots;
    void *memory;               /* of the slab */
    struct kn_reactor *reactor; /* whose driver it is, or NULL */
    bool has_waited;            /* `events` are still to be served */
    /* For kn_io_driver_block_on. They stay between its calls, as what is lent to futures may wait on. */
    bool is_blocked;                /* inside it */
    struct kn_waker blocked;        /* of its polls */
    _Atomic uint32_t state;         /* whether it sleeps in the poll, or was woken since the future was polled */
    struct kn_local_executor local; /* but for its waker */
};

/* ---- set-up ---- */

static void wake_blocked(struct kn_waker *waker);

static int open_slots(struct kn_io_driver *driver, uint32_t capacity)
{
    size_t bytes = kn_slab_required_bytes(sizeof(struct slot), _Alignof(struct slot), capacity);
    if (bytes == 0)
        return -EINVAL;
    driver->memory = calloc(1, bytes);
    if (!driver->memory)
        return -ENOMEM;
    return kn_slab_init(&driver->slots, driver->memory, bytes, sizeof(struct slot), _Alignof(struct slot), capacity);
}

int kn_io_driver_open(struct kn_io_driver **driver, const struct kn_io_driver_options *options)
{
    static const struct kn_io_driver_options defaults;
    if (!options)
        options = &defaults;
    *driver = NULL;
    struct kn_io_driver *created = calloc(1, sizeof(*created));
    if (!created)
        return -ENOMEM;
    created->poll.descriptor = -1;
    created->waker.descriptor = -1;
    created->blocked.wake = wake_blocked;
    kn_local_executor_init(&created->local, kn_clock_monotonic_ns());
    int result = open_slots(created, options->capacity ? options->capacity : DEFAULT_CAPACITY);
    if (result == 0)
        result = kn_events_init(&created->events, options->events ? options->events : DEFAULT_EVENTS);
    if (result == 0)
        result = kn_poll_open(&created->poll, KN_POLL_BACKEND_AUTO);
    if (result == 0)
        result = kn_poll_waker_open(&created->waker, &created->poll, WAKER_TOKEN);
    if (result < 0) {
        kn_io_driver_close(created);
        return result;
    }
    *driver = created;
    return 0;
}

/* Gives a slot whose descriptor was disowned back. */
static void end_disowned(struct kn_io_driver *driver, struct slot *slot)
{
    (void)kn_poll_deregister(&driver->poll, slot->descriptor);
    close(slot->descriptor);
    (void)kn_slab_release(&driver->slots, kn_slab_id(&driver->slots, slot));
}

void kn_io_driver_close(struct kn_io_driver *driver)
{
    if (!driver)
        return;
    kn_assert(driver->local.executor.pins == 0); /* or something still waits, with a waker that is freed here */
    uint32_t cursor = 0;
    struct slot *slot;
    while (driver->memory && (slot = kn_slab_next(&driver->slots, &cursor)) != NULL) {
        kn_assert(!slot->io);
        (void)slot->disowned(slot->argument, true);
        end_disowned(driver, slot);
    }
    kn_poll_waker_close(&driver->waker);
    kn_poll_close(&driver->poll);
    kn_events_free(&driver->events);
    free(driver->memory);
    free(driver);
}

struct kn_reactor *kn_io_driver_reactor(const struct kn_io_driver *driver)
{
    return driver->reactor;
}

size_t kn_io_driver_count(const struct kn_io_driver *driver)
{
    return kn_slab_count(&driver->slots);
}

/* ---- events ---- */

static void tell(struct kn_io *io, enum kn_io_direction direction)
{
    io->ready |= (uint8_t)(1u << direction);
    if (io->waits[direction])
        kn_waker_wake(io->waits[direction]->waker);
}

static void serve_event(struct kn_io_driver *driver, const struct kn_event *event)
{
    struct slot *slot = kn_slab_get(&driver->slots, event->token);
    if (!slot)
        return; /* the waker, or a descriptor that was closed meanwhile */
    if (!slot->io) {
        if (slot->disowned(slot->argument, false))
            end_disowned(driver, slot);
        return;
    }
    /* Whoever waits finds an error out by trying. */
    if (event->flags & (KN_EVENT_READABLE | KN_EVENT_READ_CLOSED | KN_EVENT_ERROR))
        tell(slot->io, KN_IO_READ);
    if (event->flags & (KN_EVENT_WRITABLE | KN_EVENT_WRITE_CLOSED | KN_EVENT_ERROR))
        tell(slot->io, KN_IO_WRITE);
}

/* Unless there are events that were not served yet. */
static int wait_for_events(struct kn_io_driver *driver, int64_t timeout_ns)
{
    if (driver->has_waited)
        return 0;
    int result = kn_poll_wait(&driver->poll, &driver->events, timeout_ns);
    if (result == -EINTR)
        driver->events.count = 0;
    else if (result < 0)
        return result;
    driver->has_waited = driver->events.count > 0;
    return 0;
}

static void serve_events(struct kn_io_driver *driver)
{
    for (size_t i = 0; i < driver->events.count; i++)
        serve_event(driver, &driver->events.list[i]);
    driver->events.count = 0;
    driver->has_waited = false;
}

/* ---- on a reactor ---- */

/* A poll that may wait leaves what it finds to the next one, as the reactor expects: see server_reactor.c. */
static int poll_driver(void *context, int64_t timeout_ns)
{
    struct kn_io_driver *driver = context;
    int result = wait_for_events(driver, timeout_ns);
    if (result < 0)
        return result;
    size_t done = driver->events.count;
    if (timeout_ns == 0)
        serve_events(driver);
    return (int)done; /* kn_events_init allows no more than fit */
}

static void wake_driver(void *context)
{
    struct kn_io_driver *driver = context;
    (void)kn_poll_waker_wake(&driver->waker);
}

struct kn_reactor_io kn_io_driver_reactor_io(struct kn_io_driver *driver, struct kn_reactor *reactor)
{
    driver->reactor = reactor;
    return (struct kn_reactor_io){.context = driver, .poll = poll_driver, .wake = wake_driver};
}

/* ---- on a thread without one ---- */

static void wake_blocked(struct kn_waker *waker)
{
    struct kn_io_driver *driver = KN_CONTAINER_OF(waker, struct kn_io_driver, blocked);
    /* Release pairs with the acquires of poll_blocked and sleep_blocked. */
    if (atomic_exchange_explicit(&driver->state, WOKEN, memory_order_acq_rel) == ASLEEP)
        (void)kn_poll_waker_wake(&driver->waker);
}

static struct kn_outcome poll_blocked(struct kn_io_driver *driver, struct kn_future *future)
{
    struct kn_context context = kn_local_executor_context(&driver->local);
    context.waker = &driver->blocked;
    /* Acquire pairs with the release of a wake-up; one that comes from now on means another poll. */
    atomic_exchange_explicit(&driver->state, AWAKE, memory_order_acquire);
    return kn_future_poll(future, &context);
}

static int64_t timeout_until(uint64_t until_ns, uint64_t now_ns)
{
    if (until_ns == KN_NEVER)
        return -1;
    return until_ns > now_ns ? (int64_t)(until_ns - now_ns) : 0;
}

/* Sleeps until an event, a wake-up or until_ns, unless it was woken already; serves events in any case, so that a
 * future that is always woken does not keep them away. */
static int sleep_blocked(struct kn_io_driver *driver, uint64_t until_ns)
{
    uint32_t state = AWAKE;
    /* A wake-up from now on ends the poll. Acquire, on failure: as in poll_blocked. */
    bool may_sleep = atomic_compare_exchange_strong_explicit(&driver->state, &state, ASLEEP, memory_order_acq_rel,
                                                             memory_order_acquire);
    int64_t timeout_ns = may_sleep ? timeout_until(until_ns, kn_clock_monotonic_ns()) : 0;
    int result = wait_for_events(driver, timeout_ns);
    state = ASLEEP;
    if (may_sleep) /* or it was woken meanwhile, and stays so */
        (void)atomic_compare_exchange_strong_explicit(&driver->state, &state, AWAKE, memory_order_acq_rel,
                                                      memory_order_acquire);
    if (result == 0)
        serve_events(driver);
    return result;
}

static struct kn_outcome block(struct kn_io_driver *driver, struct kn_future *future, uint64_t give_up_ns)
{
    struct kn_local_executor *local = &driver->local;
    for (;;) {
        bool is_last = local->executor.now_ns >= give_up_ns;
        struct kn_outcome outcome = poll_blocked(driver, future);
        if (outcome.status != KN_PENDING)
            return outcome;
        int result = is_last ? -ETIMEDOUT : 0;
        do {
            uint64_t next_ns = kn_timer_wheel_next_ns(&local->wheel);
            if (result == 0)
                result = sleep_blocked(driver, next_ns < give_up_ns ? next_ns : give_up_ns);
            kn_local_executor_advance(local, kn_clock_monotonic_ns());
            /* Relaxed: poll_blocked acquires. */
        } while (result == 0 && atomic_load_explicit(&driver->state, memory_order_relaxed) != WOKEN &&
                 local->executor.now_ns < give_up_ns);
        if (result < 0) {
            kn_future_drop(future);
            return kn_failed(result);
        }
    }
}

struct kn_outcome kn_io_driver_block_on(struct kn_io_driver *driver, struct kn_future *future, int64_t timeout_ns)
{
    if (!future)
        return kn_failed(-ENOMEM);
    int refused = kn_reactor_current() ? -EDEADLK : driver->reactor ? -EXDEV : driver->is_blocked ? -EBUSY : 0;
    if (refused < 0) {
        kn_future_drop(future);
        return kn_failed(refused);
    }
    driver->is_blocked = true;
    kn_local_executor_advance(&driver->local, kn_clock_monotonic_ns());
    uint64_t now_ns = driver->local.executor.now_ns;
    struct kn_outcome outcome = block(driver, future, timeout_ns < 0 ? KN_NEVER : now_ns + (uint64_t)timeout_ns);
    driver->is_blocked = false;
    return outcome;
}

/* ---- descriptors ---- */

static int make_non_blocking(int descriptor)
{
    int flags = fcntl(descriptor, F_GETFL);
    if (flags >= 0 && !(flags & O_NONBLOCK))
        flags = fcntl(descriptor, F_SETFL, flags | O_NONBLOCK);
    return flags < 0 ? -errno : 0;
}

static int open_slot(struct kn_io *io)
{
    struct slot *slot = kn_slab_acquire(&io->driver->slots, &io->id);
    if (!slot)
        return -ENOSPC;
    *slot = (struct slot){.io = io};
    int result =
        kn_poll_register(&io->driver->poll, io->descriptor, io->id, KN_READABLE | KN_WRITABLE | (uint32_t)KN_EDGE);
    if (result < 0)
        (void)kn_slab_release(&io->driver->slots, io->id);
    return result;
}

int kn_io_open(struct kn_io *io, struct kn_io_driver *driver, int descriptor)
{
    *io = (struct kn_io){.descriptor = descriptor, .driver = driver, .ready = 1u << KN_IO_READ | 1u << KN_IO_WRITE};
    struct kn_reactor *current = kn_reactor_current();
    int result = current && current != driver->reactor ? -EXDEV : make_non_blocking(descriptor);
    if (result == 0)
        result = open_slot(io);
    if (result < 0)
        io->descriptor = -1;
    return result;
}

static void cancel(struct kn_io_wait *wait)
{
    if (!wait)
        return;
    wait->io = NULL;
    wait->is_cancelled = true;
    kn_waker_wake(wait->waker);
}

/* Lets go of those who wait. Which descriptor it was. */
static int detach(struct kn_io *io)
{
    int descriptor = io->descriptor;
    cancel(io->waits[KN_IO_READ]);
    cancel(io->waits[KN_IO_WRITE]);
    io->waits[KN_IO_READ] = io->waits[KN_IO_WRITE] = NULL;
    io->descriptor = -1;
    return descriptor;
}

int kn_io_release(struct kn_io *io)
{
    if (io->descriptor < 0)
        return -1;
    int descriptor = detach(io);
    /* By hand, as the system does so only with the last copy of the descriptor, which a child may have. */
    (void)kn_poll_deregister(&io->driver->poll, descriptor);
    (void)kn_slab_release(&io->driver->slots, io->id);
    return descriptor;
}

void kn_io_close(struct kn_io *io)
{
    int descriptor = kn_io_release(io);
    if (descriptor >= 0)
        close(descriptor);
}

void kn_io_disown(struct kn_io *io, kn_io_disowned *done, uint64_t argument)
{
    if (io->descriptor < 0)
        return;
    struct kn_io_driver *driver = io->driver;
    struct slot *slot = kn_slab_get(&driver->slots, io->id);
    int descriptor = detach(io);
    *slot = (struct slot){.disowned = done, .argument = argument, .descriptor = descriptor};
    /* An edge that was seen already comes no more: registering anew reports it again. */
    if (kn_poll_reregister(&driver->poll, descriptor, io->id, KN_READABLE | (uint32_t)KN_EDGE) < 0) {
        (void)done(argument, true);
        end_disowned(driver, slot);
    }
}

/* ---- waiting ---- */

static bool is_at_home(const struct kn_io_driver *driver, const struct kn_executor *executor)
{
    return driver->reactor ? executor->reactor == driver->reactor : executor == &driver->local.executor;
}

int64_t kn_io_poll_ready(struct kn_io_wait *wait, struct kn_io *io, enum kn_io_direction direction,
                         struct kn_context *context)
{
    if (wait->is_cancelled)
        return -ECANCELED;
    if (io->descriptor < 0)
        return -EBADF;
    if (!is_at_home(io->driver, context->executor))
        return -EXDEV;
    if (io->waits[direction] && io->waits[direction] != wait)
        return -EBUSY;
    if (!wait->executor)
        wait->executor = kn_context_pin(context);
    if (io->ready & 1u << direction)
        return KN_READY;
    wait->waker = context->waker;
    wait->io = io;
    wait->direction = (uint8_t)direction;
    io->waits[direction] = wait;
    return KN_PENDING;
}

void kn_io_wait_end(struct kn_io_wait *wait)
{
    if (wait->io)
        wait->io->waits[wait->direction] = NULL;
    if (wait->executor)
        kn_executor_unpin(wait->executor);
    *wait = (struct kn_io_wait){.io = NULL};
}

/* ---- attempts ---- */

static ptrdiff_t result_of(struct kn_io *io, ssize_t count, enum kn_io_direction direction)
{
    if (count >= 0)
        return count;
    int error = errno;
    if (error == EAGAIN)
        kn_io_clear_ready(io, direction);
    return -error;
}

ptrdiff_t kn_io_try_read(struct kn_io *io, void *bytes, size_t length_bytes)
{
    ssize_t count;
    do
        count = read(io->descriptor, bytes, length_bytes);
    while (count < 0 && errno == EINTR);
    return result_of(io, count, KN_IO_READ);
}

/* Pipes and terminals have no MSG_NOSIGNAL: SIGPIPE is held back on this thread, and taken if the write has raised it
 * and none was pending before. */
static ssize_t write_quietly(int descriptor, const struct iovec *pieces, size_t count)
{
    static const struct timespec at_once = {.tv_sec = 0};
    sigset_t pipe_signal;
    sigset_t before;
    sigset_t pending;
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_signal, &before);
    bool was_pending = sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE) == 1;
    ssize_t written = writev(descriptor, pieces, (int)count);
    int error = errno;
    if (written < 0 && error == EPIPE && !was_pending) {
        while (sigtimedwait(&pipe_signal, NULL, &at_once) < 0 && errno == EINTR)
            continue;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return written;
}

ptrdiff_t kn_io_try_write_vector(struct kn_io *io, const struct iovec *pieces, size_t count)
{
    /* sendmsg does not write to the pieces; its type only cannot say so. */
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)pieces, .msg_iovlen = count};
    ssize_t written;
    do {
        written = io->is_no_socket ? write_quietly(io->descriptor, pieces, count)
                                   : sendmsg(io->descriptor, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (written < 0 && errno == ENOTSOCK) {
            io->is_no_socket = true;
            errno = EINTR; /* again, the other way */
        }
    } while (written < 0 && errno == EINTR);
    return result_of(io, written, KN_IO_WRITE);
}

ptrdiff_t kn_io_try_write(struct kn_io *io, const void *bytes, size_t length_bytes)
{
    const struct iovec piece = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = length_bytes};
    return kn_io_try_write_vector(io, &piece, 1);
}
