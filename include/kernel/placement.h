/**
 * @file placement.h
 * Which core does what: control, input and output, timers, tasks.
 *
 * Use it to share a machine out among the threads of a program, either by itself or as a plain file says; a program
 * with two threads picks its cores from topology.h. It guarantees that every core it names is open to this program and
 * stands once, and that some core runs tasks; a file that says anything else is refused with its line and a reason, and
 * changes nothing. A placement is data: it pins nobody, and any thread may read it.
 *
 * A file has a line for each kind of work: its key and the cores that do it, by the system's numbers. A core may stand
 * under several keys; what follows a # is a remark:
 * @code
 * control = 0        # one core
 * io      = 1,2
 * timer   = 3
 * task    = 4-7
 * @endcode
 * Only task is needed. Work that no core is named for is not done by any.
 *
 * A core is here one processing unit: where cores have two hardware threads, each has a number and may have its own
 * work.
 */
#ifndef KERNEL_PLACEMENT_H
#define KERNEL_PLACEMENT_H

#include <stddef.h>
#include <stdint.h>

#include <kernel/topology.h>

/** Longest text that is read. */
#define KN_PLACEMENT_TEXT_BYTES_MAX 65536

/** What a core does: a set of these. */
enum kn_role {
    KN_ROLE_CONTROL = 1, /**< starts and stops the others, console; one core at most */
    KN_ROLE_IO = 2,      /**< waits for sockets and moves their bytes */
    KN_ROLE_TIMER = 4,   /**< keeps deadlines */
    KN_ROLE_TASK = 8,    /**< runs tasks */
};

/** A core and its work. */
struct kn_placement_core {
    uint32_t unit;  /**< by the system's number */
    uint32_t roles; /**< a set of enum kn_role, never empty */
};

/** Who does what: the core of control first, if there is one, and then by number. */
struct kn_placement {
    struct kn_placement_core *cores; /**< each once */
    size_t count;                    /**< at least 1 */
};

/** Wishes for an automatic placement. Zero is a good default. */
struct kn_placement_options {
    size_t cores_max; /**< most cores to use; 0: all that are useful */
    size_t io_cores;  /**< for input and output, as far as one is left for tasks; 0: a quarter, but no part of a core */
    bool whole_cores; /**< leave the second hardware thread of each core idle: lower latency, less throughput */
};

/** Where and why a file was refused. */
struct kn_placement_error {
    size_t line;       /**< from 1; the last one for what is missing; 0 if the file could not be read */
    char message[160]; /**< in words, without an end of line */
};

/**
 * Shares out a machine.
 *
 * - One core does everything.
 * - Of two, the first does everything and the second runs tasks: what moves bytes is seldom the bottleneck.
 * - Of three, the first has control, timers and tasks, the second input and output, the third tasks.
 * - Of four and five, the first has control and timers.
 * - From six on, one has control, one timers, a quarter input and output, the rest tasks.
 *
 * Control is on the first core, which started the machine and answers most of its interrupts. Cores of one role are
 * neighbours. Second hardware threads are used last, those of the cores that run tasks first, and whenever possible
 * both threads of a core do the same. Where cores differ, slow ones have control and timers.
 *
 * The caller owns the placement and closes it. @param options NULL for the default.
 * @return 0 or -ENOMEM; the placement is not written then.
 */
KN_CHECK_RESULT int kn_placement_automatic(struct kn_placement *placement, const struct kn_topology *topology,
                                           const struct kn_placement_options *options);

/**
 * Reads a placement for this machine; the text needs no end. The caller owns the placement and closes it.
 * @param error where to put what was wrong, or NULL.
 * @return 0; -EINVAL for a text that makes no sense or asks for a core that is not there or not open to this program;
 * -ENOMEM. After an error `*placement` is what it was before.
 */
KN_CHECK_RESULT int kn_placement_parse(struct kn_placement *placement, const struct kn_topology *topology,
                                       const char *text, size_t length_bytes, struct kn_placement_error *error);

/** Reads it from a file. @return as kn_placement_parse, or what open(2) and read(2) say. */
KN_CHECK_RESULT int kn_placement_load(struct kn_placement *placement, const struct kn_topology *topology,
                                      const char *path, struct kn_placement_error *error);

/**
 * Writes a placement as kn_placement_parse reads it: "task = 4-7" and so on, a line for each role that is held.
 * @return the length without the end; -ENOSPC when `text_bytes` is too small.
 */
int kn_placement_format(const struct kn_placement *placement, char *text, size_t text_bytes);

/** Frees it. Harmless on a zeroed or closed one. */
void kn_placement_close(struct kn_placement *placement);

/** What a core does, by the system's number; 0 if nothing. */
uint32_t kn_placement_roles(const struct kn_placement *placement, uint32_t unit);

/** How many cores have this role. */
size_t kn_placement_count(const struct kn_placement *placement, enum kn_role role);

/** The key of a role, as "io". "unknown" for what is none. */
const char *kn_role_name(enum kn_role role);

#endif
