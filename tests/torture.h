/*
 * Processes that are killed at a chosen instruction.
 *
 * Use it to test what a process leaves behind in shared memory: torture_perish kills it after a part of its work;
 * torture_start runs it to where it stops itself, and from there torture_step lets it execute a number of instructions,
 * before it is killed or goes on. So every instruction can be hit, however short the window; this needs ptrace(2).
 */
#ifndef KERNEL_TESTS_TORTURE_H
#define KERNEL_TESTS_TORTURE_H

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kernel/cursor.h>

#include "queue/cursor_internal.h"

/* In a child: ends it with a failure that the parent sees. */
#define TORTURE_MUST(condition)                                                                                        \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                                    \
            _exit(1);                                                                                                  \
        }                                                                                                              \
    } while (0)

/* What a process does; it may stop itself with torture_stop where it is to be stepped from. */
typedef void torture_part(void *argument);

/* Forks a child that does not outlive its parent. @return as fork(2). */
KN_INLINE pid_t torture_fork(void)
{
    pid_t parent = getpid();
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
    }
    return child;
}

/* Kills a child and waits for its end; whether it was killed and had not ended before. */
KN_INLINE bool torture_kill(pid_t child)
{
    int status;
    kill(child, SIGKILL);
    while (waitpid(child, &status, __WALL) == child)
        if (WIFEXITED(status) || WIFSIGNALED(status))
            return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    return false;
}

/* Waits for a child's own end; whether it succeeded. */
KN_INLINE bool torture_wait(pid_t child)
{
    int status;
    return waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Runs `part` in a child, to its end, where the child is killed. */
KN_INLINE bool torture_perish(torture_part *part, void *argument)
{
    pid_t child = torture_fork();
    if (child == 0) {
        part(argument);
        raise(SIGKILL);
    }
    int status;
    return waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

/* In a traced child: stops until the tracer goes on. */
KN_INLINE void torture_stop(void)
{
    raise(SIGSTOP);
}

/* Lets a stopped child execute up to `steps` instructions; how many it did before it stopped or ended otherwise. */
KN_INLINE uint64_t torture_step(pid_t child, uint64_t steps)
{
    for (uint64_t done = 0; done < steps; done++) {
        int status;
        if (ptrace(PTRACE_SINGLESTEP, child, NULL, NULL) < 0 || waitpid(child, &status, __WALL) != child ||
            !WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP)
            return done;
    }
    return steps;
}

/* Starts a child that plays `part`, up to its first stop. @return its number; -ENOTSUP when it cannot be traced here;
 * -ECHILD when it failed. */
KN_INLINE pid_t torture_start(torture_part *part, void *argument)
{
    pid_t child = torture_fork();
    if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
            _exit(2);
        part(argument);
        _exit(0);
    }
    int status;
    if (child > 0 && waitpid(child, &status, 0) == child && WIFSTOPPED(status))
        return child;
    return child > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 2 ? -ENOTSUP : -ECHILD;
}

/* Lets a stopped child go on to its end; whether it succeeded. */
KN_INLINE bool torture_go_on(pid_t child)
{
    int status = 0;
    do
        if (ptrace(PTRACE_CONT, child, NULL, NULL) < 0 || waitpid(child, &status, __WALL) != child)
            return false;
    while (WIFSTOPPED(status));
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Prints the cursors of a sector, and the stamps from where its slowest reader is. */
KN_INLINE void torture_print(const struct kn_sector *sector)
{
    const struct kn_sector_head *head = sector->head;
    struct kn_ring ring;
    struct kn_form form;
    uint64_t claimed = head->writers.claimed;
    fprintf(stderr, "layout %u, capacity %#jx, claimed %#jx, gate %#jx, orphans %ju\n", head->header.layout,
            (uintmax_t)head->header.capacity_slots, (uintmax_t)claimed, (uintmax_t)head->writers.gate,
            (uintmax_t)head->orphans);
    for (uint32_t i = 0; i < KN_SECTOR_GROUPS; i++)
        if (head->groups[i].id != 0)
            fprintf(stderr, "group %u: taken %#jx by %ju\n", i, (uintmax_t)(head->groups[i].taken >> KN_GROUP_SHIFT),
                    (uintmax_t)(head->groups[i].taken & KN_GROUP_MEMBER));
    for (uint32_t i = 0; i < head->header.cursors_max; i++) {
        const struct kn_cursor_entry *entry = &head->cursors[i];
        fprintf(stderr, "cursor %u: kind %#jx, owner %#jx, id %#jx, position %#jx, held to %#jx, taken to %#jx, ", i,
                (uintmax_t)entry->kind, (uintmax_t)entry->owner, (uintmax_t)entry->id, (uintmax_t)entry->position,
                (uintmax_t)entry->held_end, (uintmax_t)entry->taken_end);
        fprintf(stderr, "intent %#jx to %#jx\n", (uintmax_t)entry->intent_first, (uintmax_t)entry->intent_end);
    }
    kn_cursor_view(&ring, &form, sector);
    uint64_t position = claimed - kn_sector_count(sector);
    for (uint64_t end = position + 16; position < end; position++)
        fprintf(stderr, "position %#jx: stamp %#jx, published from %#jx on\n", (uintmax_t)position,
                (uintmax_t)*kn_ring_stamp(&ring, form, position), (uintmax_t)kn_ring_lap(&ring, position));
}

#endif
