/*
 * Programs as children. See io_process.h.
 */
#include <kernel/io_process.h>

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Below this are the three that a child is given: ours stay clear of them, so that putting one in its place never
 * overwrites another, nor does a parent that opens its own again. */
enum { FIRST_FREE = 3 };

/* ---- the end of a child ---- */

static struct kn_outcome outcome_of(int raw)
{
    return kn_ready(kn_value_of_integer(WIFSIGNALED(raw) ? -(int64_t)WTERMSIG(raw) : WEXITSTATUS(raw)));
}

/* Takes the status of a child, if it has ended or somebody else took it. Whether that is so. */
static bool reap(pid_t pid, int flags, struct kn_outcome *outcome)
{
    int raw = 0;
    pid_t found;
    do
        found = waitpid(pid, &raw, flags);
    while (found < 0 && errno == EINTR);
    if (found == 0)
        return false;
    *outcome = found < 0 ? kn_failed(-errno) : outcome_of(raw);
    return true;
}

static bool reap_process(struct kn_process *process)
{
    if (!process->is_reaped)
        process->is_reaped = reap(process->pid, WNOHANG, &process->outcome);
    return process->is_reaped;
}

/* A child that was closed before its end, as an argument of kn_io_disown. */
#define WAS_KILLED (UINT64_C(1) << 32)

static bool reap_disowned(uint64_t argument, bool is_final)
{
    struct kn_outcome ignored;
    /* One that was killed ends soon, whatever it does. */
    int flags = is_final && (argument & WAS_KILLED) ? 0 : WNOHANG;
    return reap((pid_t)(argument & UINT32_MAX), flags, &ignored);
}

/* ---- starting ---- */

static int above_the_three(int descriptor)
{
    if (descriptor < 0 || descriptor >= FIRST_FREE)
        return descriptor;
    int moved = fcntl(descriptor, F_DUPFD_CLOEXEC, FIRST_FREE);
    int error = errno;
    close(descriptor);
    errno = error;
    return moved;
}

static void close_if_open(int *descriptor)
{
    if (*descriptor >= 0)
        close(*descriptor);
    *descriptor = -1;
}

/* Makes a pipe, of which *theirs is the child's end, and opens the other one. */
static int open_pipe(struct kn_io *ours, int *theirs, bool child_reads, struct kn_io_driver *driver)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    ends[0] = above_the_three(ends[0]);
    int result = ends[0] < 0 ? -errno : 0;
    ends[1] = above_the_three(ends[1]);
    if (result == 0 && ends[1] < 0)
        result = -errno;
    if (result == 0)
        result = kn_io_open(ours, driver, ends[child_reads]);
    if (result < 0) {
        close_if_open(&ends[0]);
        close_if_open(&ends[1]);
        return result;
    }
    *theirs = ends[!child_reads];
    return 0;
}

/* Has the child's descriptor `number` be what is asked for. */
static int place(posix_spawn_file_actions_t *actions, int number, enum kn_process_end end, int theirs)
{
    if (end == KN_PROCESS_PIPE)
        return -posix_spawn_file_actions_adddup2(actions, theirs, number);
    if (end == KN_PROCESS_NULL)
        return -posix_spawn_file_actions_addopen(actions, number, "/dev/null", O_RDWR, 0);
    return 0;
}

/* Nothing blocked; and SIGPIPE, which servers ignore and programs count on, as usual. */
static int set_signals(posix_spawnattr_t *attributes)
{
    sigset_t none;
    sigset_t usual;
    sigemptyset(&none);
    sigemptyset(&usual);
    sigaddset(&usual, SIGPIPE);
    int error = posix_spawnattr_setsigmask(attributes, &none);
    if (error == 0)
        error = posix_spawnattr_setsigdefault(attributes, &usual);
    if (error == 0)
        error = posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    return -error;
}

static int start(struct kn_process *process, const struct kn_process_options *options, const int theirs[FIRST_FREE])
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    const enum kn_process_end ends[FIRST_FREE] = {options->input, options->output, options->error};
    int result = -posix_spawn_file_actions_init(&actions);
    if (result < 0)
        return result;
    result = -posix_spawnattr_init(&attributes);
    if (result < 0) {
        posix_spawn_file_actions_destroy(&actions);
        return result;
    }
    result = set_signals(&attributes);
    for (int i = 0; i < FIRST_FREE && result == 0; i++)
        result = place(&actions, i, ends[i], theirs[i]);
    if (result == 0)
        result = -posix_spawnp(&process->pid, options->path ? options->path : options->arguments[0], &actions,
                               &attributes, options->arguments, options->environment ? options->environment : environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return result;
}

/* A descriptor of a child, close-on-exec by itself; readable when it has ended. */
static int open_pidfd(pid_t pid)
{
#ifdef SYS_pidfd_open
    int descriptor = above_the_three((int)syscall(SYS_pidfd_open, pid, 0));
    return descriptor < 0 ? -errno : descriptor;
#else
    (void)pid;
    return -ENOSYS;
#endif
}

/* Has the driver watch a child that has just been started; one that cannot be is ended again. */
static int watch(struct kn_process *process, struct kn_io_driver *driver)
{
    int descriptor = open_pidfd(process->pid);
    int result = descriptor < 0 ? descriptor : kn_io_open(&process->exit, driver, descriptor);
    if (result == 0)
        return 0;
    close_if_open(&descriptor);
    (void)kill(process->pid, SIGKILL);
    (void)reap(process->pid, 0, &process->outcome);
    return result;
}

static void close_pipes(struct kn_process *process)
{
    kn_io_close(&process->input);
    kn_io_close(&process->output);
    kn_io_close(&process->error);
}

int kn_process_spawn(struct kn_process *process, struct kn_io_driver *driver, const struct kn_process_options *options)
{
    int theirs[FIRST_FREE] = {-1, -1, -1};
    int result = options->arguments && options->arguments[0] ? 0 : -EINVAL;
    *process = (struct kn_process){.kills = options->kill_on_close,
                                   .input.descriptor = -1,
                                   .output.descriptor = -1,
                                   .error.descriptor = -1,
                                   .exit.descriptor = -1};
    if (result == 0 && options->input == KN_PROCESS_PIPE)
        result = open_pipe(&process->input, &theirs[0], true, driver);
    if (result == 0 && options->output == KN_PROCESS_PIPE)
        result = open_pipe(&process->output, &theirs[1], false, driver);
    if (result == 0 && options->error == KN_PROCESS_PIPE)
        result = open_pipe(&process->error, &theirs[2], false, driver);
    if (result == 0)
        result = start(process, options, theirs);
    for (int i = 0; i < FIRST_FREE; i++)
        close_if_open(&theirs[i]);
    if (result == 0)
        result = watch(process, driver);
    if (result < 0)
        close_pipes(process);
    process->is_open = result == 0;
    return result;
}

/* ---- ending ---- */

int kn_process_kill(struct kn_process *process, int signal)
{
    /* One that has ended keeps its number until it is reaped, which only this process does. */
    if (!process->is_open || process->is_reaped)
        return -ESRCH;
    return kill(process->pid, signal) < 0 ? -errno : 0;
}

void kn_process_close(struct kn_process *process)
{
    if (!process->is_open)
        return;
    bool kills = process->kills && kn_process_kill(process, SIGKILL) == 0;
    process->is_open = false;
    close_pipes(process);
    if (reap_process(process))
        kn_io_close(&process->exit);
    else
        kn_io_disown(&process->exit, reap_disowned, (uint32_t)process->pid | (kills ? WAS_KILLED : 0));
}

/* ---- wait ---- */

static int64_t wait_ready(struct kn_future_process_wait *self, struct kn_context *context)
{
    struct kn_process *process = self->process;
    for (;;) {
        int64_t status = kn_io_poll_ready(&self->wait, &process->exit, KN_IO_READ, context);
        if (status != KN_READY || reap_process(process))
            return status;
        kn_io_clear_ready(&process->exit, KN_IO_READ);
    }
}

static struct kn_outcome wait_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_future_process_wait *self = KN_CONTAINER_OF(future, struct kn_future_process_wait, future);
    int64_t status = wait_ready(self, context);
    if (status == KN_PENDING)
        return kn_pending();
    kn_io_wait_end(&self->wait);
    return status < 0 ? kn_failed(status) : self->process->outcome; /* failed, the process may be gone */
}

static void wait_drop(struct kn_future *future)
{
    kn_io_wait_end(&KN_CONTAINER_OF(future, struct kn_future_process_wait, future)->wait);
}

static const struct kn_future_type wait_type = {.name = "process_wait", .poll = wait_poll, .drop = wait_drop};

struct kn_future *kn_future_process_wait(struct kn_future_process_wait *self, struct kn_process *process)
{
    if (!self)
        return NULL;
    *self = (struct kn_future_process_wait){.future.type = &wait_type, .process = process};
    return &self->future;
}

/* ---- process ---- */

static void process_drop(struct kn_future *future)
{
    struct kn_future_process *self = KN_CONTAINER_OF(future, struct kn_future_process, future);
    wait_drop(&self->wait.future);
    kn_process_close(&self->process);
}

static struct kn_outcome process_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_future_process *self = KN_CONTAINER_OF(future, struct kn_future_process, future);
    int result = self->process.is_open ? 0 : kn_process_spawn(&self->process, self->driver, self->options);
    if (result < 0)
        return kn_failed(result);
    struct kn_outcome outcome = wait_poll(&self->wait.future, context);
    if (outcome.status != KN_PENDING)
        process_drop(future);
    return outcome;
}

static const struct kn_future_type process_type = {.name = "process", .poll = process_poll, .drop = process_drop};

struct kn_future *kn_future_process(struct kn_future_process *self, struct kn_io_driver *driver,
                                    const struct kn_process_options *options)
{
    if (!self)
        return NULL;
    self->future.type = &process_type;
    self->driver = driver;
    self->options = options;
    self->process = (struct kn_process){.is_open = false};
    (void)kn_future_process_wait(&self->wait, &self->process);
    return &self->future;
}
