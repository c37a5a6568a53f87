/**
 * @file io_process.h
 * Programs that are started, talked to over pipes, waited for and ended, as futures and streams.
 *
 * Use it for helpers, compilers, shells; for work of one's own that blocks take io_file.h. It guarantees that a child
 * that has ended does not stay a zombie, whether anybody waits for it or not, as long as its driver is open; that
 * children inherit no descriptor of this library's but those three that they are given; and that they start with no
 * signal blocked.
 *
 *        struct kn_process_options options = {.arguments = arguments, .output = KN_PROCESS_PIPE, .kill_on_close =
 * true}; kn_process_spawn(&child->process, driver, &options);
 *        ... kn_stream_read(&child->read, &child->process.output, ...)     kn_future_process_wait(&child->wait, ...)
 *        kn_process_close(&child->process);
 *
 * The end of a child is learnt from a descriptor (pidfd_open, Linux 5.3). The program must not ignore SIGCHLD, nor wait
 * for children that are not its own: then their status is lost, and waiting fails with -ECHILD. io.h says on which
 * thread what may be used.
 */
#ifndef KERNEL_IO_PROCESS_H
#define KERNEL_IO_PROCESS_H

#include <sys/types.h>

#include <kernel/io.h>

/** What a child has for one of its three descriptors. */
enum kn_process_end {
    KN_PROCESS_INHERIT = 0, /**< its parent's */
    KN_PROCESS_NULL,        /**< nothing: /dev/null */
    KN_PROCESS_PIPE         /**< a pipe, whose other end is the process's field of the same name */
};

/** How a program is started. Zero means the default in parentheses. */
struct kn_process_options {
    const char *path;           /**< (arguments[0]) of the program; searched in PATH where it has no slash */
    char *const *arguments;     /**< needed: from its name on, NULL at the end */
    char *const *environment;   /**< (the parent's) NULL at the end */
    enum kn_process_end input;  /**< (inherited) */
    enum kn_process_end output; /**< (inherited) */
    enum kn_process_end error;  /**< (inherited) */
    bool kill_on_close;         /**< kn_process_close kills it, if it still runs; otherwise it runs on */
};

/** A child. Not moved while it is open; zeroed memory is none. */
struct kn_process {
    pid_t pid;                 /**< its number; of nobody any more once it was reaped */
    struct kn_io input;        /**< what it reads, to write to and to close; or closed */
    struct kn_io output;       /**< what it writes, to read from; or closed */
    struct kn_io error;        /**< likewise, of its errors */
    struct kn_io exit;         /* readable when it has ended */
    bool is_open;              /* until kn_process_close */
    bool is_reaped;            /* `outcome` is known */
    bool kills;                /* kill_on_close */
    struct kn_outcome outcome; /* then: as waiting answers */
};

/**
 * Starts a program. On the driver's thread. The options are not needed any more afterwards.
 * @return 0, and the process is the caller's to close; or -ENOENT, -EACCES, ... as execve(2), -EINVAL without
 * arguments, -ENOSYS where there is no pidfd_open, -EMFILE, -ENFILE, -EAGAIN, -ENOMEM, or as kn_io_open.
 */
KN_CHECK_RESULT int kn_process_spawn(struct kn_process *process, struct kn_io_driver *driver,
                                     const struct kn_process_options *options);

/** Sends it a signal. @return 0; -ESRCH once it was reaped or closed; -EINVAL, -EPERM. */
int kn_process_kill(struct kn_process *process, int signal);

/**
 * Closes its pipes, and kills it if so asked. What then still runs is the driver's, which takes its status when it
 * ends; a driver that is closed before waits for those that were killed, and leaves the others to the system. Futures
 * that wait fail with -ECANCELED. Harmless on a closed one. On the driver's thread.
 */
void kn_process_close(struct kn_process *process);

/** Waits for a child's end. */
struct kn_future_process_wait {
    struct kn_future future; /* first */
    struct kn_io_wait wait;
    struct kn_process *process;
};

/** Answers with its exit code, 0 to 255, or with the negative number of the signal that killed it; also when it is
 * asked again. The process stays the caller's. */
struct kn_future *kn_future_process_wait(struct kn_future_process_wait *self, struct kn_process *process);

/** Runs a program from its start to its end. */
struct kn_future_process {
    struct kn_future future;   /* first */
    struct kn_process process; /**< started with the first poll */
    struct kn_future_process_wait wait;
    struct kn_io_driver *driver;
    const struct kn_process_options *options;
};

/** Starts the program with its first poll and answers as kn_future_process_wait does; a drop closes the process, and so
 * kills it or not, as the options say, which are lent until the first poll. Its pipes are closed with the answer. */
struct kn_future *kn_future_process(struct kn_future_process *self, struct kn_io_driver *driver,
                                    const struct kn_process_options *options);

#endif
