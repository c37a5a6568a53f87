#include "queue/owner.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PID_MASK ((UINT64_C(1) << KN_OWNER_PID_BITS) - 1)
#define START_MAX (UINT64_MAX >> KN_OWNER_PID_BITS)

/* Places of the fields in /proc/PID/stat, see proc(5). */
enum { FIELD_STATE = 3, FIELD_THREADS = 20, FIELD_START = 22 };

struct process {
    char state;
    uint64_t threads;
    uint64_t start_ticks;
};

/* The command's name, the second field, may hold spaces and parentheses; behind its last parenthesis none follows. */
static int parse_stat(char *text, struct process *process)
{
    char *field = strrchr(text, ')');
    if (!field || field[1] != ' ')
        return -EBADMSG;
    field += 2;
    process->state = *field;
    for (int number = FIELD_STATE; number < FIELD_START; number++) {
        field = strchr(field, ' ');
        if (!field)
            return -EBADMSG;
        field++;
        if (number + 1 == FIELD_THREADS)
            process->threads = strtoull(field, NULL, 10);
    }
    char *end;
    process->start_ticks = strtoull(field, &end, 10);
    return end == field ? -EBADMSG : 0;
}

static int read_process(pid_t pid, struct process *process)
{
    char path[sizeof("/proc/.//stat") + 3 * sizeof(pid)];
    char text[1024]; /* the fields that are needed end well before */
    /* The dot keeps qemu-user from answering for its own process, and otherwise than others see it. */
    snprintf(path, sizeof(path), "/proc/./%ld/stat", (long)pid);
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return -errno;
    ssize_t length = read(descriptor, text, sizeof(text) - 1);
    int result = length < 0 ? -errno : 0;
    close(descriptor);
    if (result < 0)
        return result;
    text[length] = '\0';
    return parse_stat(text, process);
}

int kn_owner_of(pid_t pid, uint64_t *owner)
{
    struct process process = {0};
    if (pid <= 0 || (kill(pid, 0) < 0 && errno == ESRCH))
        return -ESRCH;
    int result = read_process(pid, &process);
    if (result < 0)
        return result;
    if ((uint64_t)pid > PID_MASK || process.start_ticks > START_MAX)
        return -EOVERFLOW;
    *owner = process.start_ticks << KN_OWNER_PID_BITS | (uint64_t)pid;
    return 0;
}

int kn_owner_self(uint64_t *owner)
{
    return kn_owner_of(getpid(), owner);
}

bool kn_owner_alive(uint64_t owner)
{
    pid_t pid = (pid_t)(owner & PID_MASK);
    struct process process = {0};
    if (pid == 0 || (kill(pid, 0) < 0 && errno == ESRCH))
        return false;
    if (read_process(pid, &process) < 0)
        return true; /* out of descriptors, or of luck: whoever asks will ask again */
    if (process.start_ticks != owner >> KN_OWNER_PID_BITS || process.state == 'X')
        return false;
    /* A process whose first thread has ended shows as a zombie too, while its other threads run. */
    return process.state != 'Z' || process.threads > 1;
}
