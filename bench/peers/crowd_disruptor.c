/*
 * The LMAX Disruptor, which lives in Java virtual machines of its own: DisruptorPeer.java runs one slice for each line
 * that it is sent. A machine serves one size of messages with one wait strategy, for all cases; it is started by the
 * first case and ended by the last, is idle, with all its threads asleep, whenever others are measured, and its threads
 * are pinned as all others are.
 */
#include "../bench.h"
#include "../crowd_loops.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREAD_NAME "bench-"

struct machine {
    const char *message_bytes;
    const char *strategy;
    unsigned users; /* cases */
    pid_t process;
    FILE *to;
    FILE *from;
};

/* The child's side: becomes the machine, on the cores that its threads will be pinned to. */
static _Noreturn void become_machine(const struct machine *machine, const struct crowd_setup *setup, const int to[2],
                                     const int from[2])
{
    char slots[16];
    cpu_set_t set;
    CPU_ZERO(&set);
    for (size_t i = 0; i < setup->core_count; i++)
        CPU_SET((unsigned)setup->cores[i], &set);
    sched_setaffinity(0, sizeof(set), &set);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    snprintf(slots, sizeof(slots), "%d", SPSC_CAPACITY_SLOTS);
    dup2(to[0], STDIN_FILENO);
    dup2(from[1], STDOUT_FILENO);
    for (int i = 0; i < 2; i++) {
        close(to[i]);
        close(from[i]);
    }
    execl(KN_BENCH_JAVA, "java", "-XX:+UseSerialGC", "-Xms64m", "-Xmx64m", "-XX:-UsePerfData", "-cp",
          KN_BENCH_CLASSPATH, "DisruptorPeer", machine->message_bytes, machine->strategy, slots, (char *)NULL);
    perror("bench: " KN_BENCH_JAVA);
    _exit(EXIT_FAILURE);
}

/* The number in the name of a thread, when it bears one of ours; else -1. */
static int read_number(const char *tasks, const char *task)
{
    char path[512];
    char name[32] = "";
    snprintf(path, sizeof(path), "%s/%s/comm", tasks, task);
    FILE *file = fopen(path, "re");
    if (!file)
        return -1;
    bool ours = fgets(name, sizeof(name), file) && strncmp(name, THREAD_NAME, strlen(THREAD_NAME)) == 0;
    fclose(file);
    return ours ? (int)strtol(name + strlen(THREAD_NAME), NULL, 10) : -1;
}

/* Pins the threads that bear our name, by their number, to the cores in turn. */
static void pin_threads(const struct machine *machine, const struct crowd_setup *setup)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/task", (int)machine->process);
    DIR *tasks = opendir(path);
    for (struct dirent *task; tasks && (task = readdir(tasks)) != NULL;) {
        int number = read_number(path, task->d_name);
        if (number < 0)
            continue;
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET((unsigned)setup->cores[(size_t)number % setup->core_count], &set);
        sched_setaffinity((pid_t)strtol(task->d_name, NULL, 10), sizeof(set), &set);
    }
    if (tasks)
        closedir(tasks);
}

static void stop_machine(struct machine *machine)
{
    if (machine->to)
        fclose(machine->to);
    if (machine->from)
        fclose(machine->from);
    if (machine->process > 0) {
        kill(machine->process, SIGKILL);
        waitpid(machine->process, NULL, 0);
    }
    machine->to = machine->from = NULL;
    machine->process = 0;
}

static int start_machine(struct machine *machine, const struct crowd_setup *setup)
{
    int to[2];
    int from[2];
    char line[64];
    if (pipe2(to, O_CLOEXEC) < 0)
        return -errno;
    if (pipe2(from, O_CLOEXEC) < 0) {
        int result = -errno;
        close(to[0]);
        close(to[1]);
        return result;
    }
    machine->process = fork();
    if (machine->process == 0)
        become_machine(machine, setup, to, from);
    close(to[0]);
    close(from[1]);
    machine->to = fdopen(to[1], "w");
    machine->from = fdopen(from[0], "r");
    if (machine->process < 0 || !fgets(line, sizeof(line), machine->from)) {
        stop_machine(machine);
        return -EIO;
    }
    pin_threads(machine, setup);
    return 0;
}

static void *open_machine(struct machine *machine, const struct crowd_setup *setup)
{
    if (machine->users == 0 && start_machine(machine, setup) < 0)
        return NULL;
    machine->users++;
    return machine;
}

static void close_machine(void *queue)
{
    struct machine *machine = queue;
    if (--machine->users == 0)
        stop_machine(machine);
}

static double run_machine(void *queue, const struct crowd_errand *errand, uint64_t *wrong)
{
    struct machine *machine = queue;
    char line[64];
    uint64_t elapsed_ns;
    fprintf(machine->to, "%s %u %" PRIu64 " %zu %" PRIu32 "\n",
            errand->shape == CROWD_PIPELINE ? "pipeline" : "broadcast", errand->consumers, errand->messages,
            errand->batch, errand->attempts);
    fflush(machine->to);
    if (!fgets(line, sizeof(line), machine->from) ||
        sscanf(line, "%" SCNu64 " %" SCNu64, &elapsed_ns, wrong) != 2) // NOLINT(cert-err34-c): digits of our own
        return -1;
    return (double)elapsed_ns;
}

#define DISRUPTOR(name, message_bytes, strategy)                                                                       \
    static void *open_##name(const struct crowd_setup *setup)                                                          \
    {                                                                                                                  \
        static struct machine machine = {message_bytes, strategy, 0, 0, NULL, NULL};                                   \
        return open_machine(&machine, setup);                                                                          \
    }

DISRUPTOR(yielding_8, "8", "yielding")
DISRUPTOR(yielding_64, "64", "yielding")
DISRUPTOR(busy_spin_8, "8", "busy-spin")
DISRUPTOR(busy_spin_64, "64", "busy-spin")

#define DISRUPTOR_ENTRY(shown_name, size, opener)                                                                      \
    {                                                                                                                  \
        .name = shown_name, .shapes = CROWD_IN(CROWD_BROADCAST) | CROWD_IN(CROWD_PIPELINE), .message_bytes = size,     \
        .open = opener, .close = close_machine, .run = run_machine                                                     \
    }

const struct crowd_implementation crowd_disruptor[] = {
    DISRUPTOR_ENTRY("disruptor-yielding", 8, open_yielding_8),
    DISRUPTOR_ENTRY("disruptor-yielding", 64, open_yielding_64),
    DISRUPTOR_ENTRY("disruptor-busy-spin", 8, open_busy_spin_8),
    DISRUPTOR_ENTRY("disruptor-busy-spin", 64, open_busy_spin_64),
    {0},
};
