#include "bench.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <kernel/atomic.h>

double bench_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

void *bench_allocate(size_t length_bytes)
{
    size_t aligned_bytes = (size_t)kn_align_up(length_bytes, KN_OWNER_STRIDE);
    void *memory = aligned_alloc(KN_OWNER_STRIDE, aligned_bytes);
    if (!memory) {
        perror("bench");
        exit(EXIT_FAILURE);
    }
    memset(memory, 0, aligned_bytes);
    return memory;
}

void *bench_allocate_shared(size_t length_bytes)
{
    void *memory = mmap(NULL, length_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED) {
        perror("bench");
        exit(EXIT_FAILURE);
    }
    return memory;
}

void bench_free_shared(void *memory, size_t length_bytes)
{
    munmap(memory, length_bytes);
}

int bench_pin(int core)
{
    cpu_set_t set;
    if (core < 0 || core >= CPU_SETSIZE)
        return -EINVAL;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    return sched_setaffinity(0, sizeof(set), &set) == 0 ? 0 : -errno;
}

int bench_check_cores(const struct bench_options *options)
{
    cpu_set_t affinity;
    if (sched_getaffinity(0, sizeof(affinity), &affinity) != 0)
        return -errno;
    for (size_t i = 0; i < options->core_count; i++) {
        int result = bench_pin(options->cores[i]);
        sched_setaffinity(0, sizeof(affinity), &affinity);
        if (result < 0) {
            fprintf(stderr, "bench: cannot run on processor %d: %s\n", options->cores[i], strerror(-result));
            return result;
        }
    }
    return 0;
}

/* Whether two processors of the system are hardware threads of one core. */
static bool are_siblings(int core, int other)
{
    char path[128];
    unsigned first[2] = {0, 0};
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", i ? other : core);
        FILE *file = fopen(path, "re");
        if (!file)
            return false;
        /* The list's first number names the core. */
        int read = fscanf(file, "%u", &first[i]);
        fclose(file);
        if (read != 1)
            return false;
    }
    return first[0] == first[1];
}

static bool is_sibling_of_any(const struct bench_options *options, int core)
{
    for (size_t i = 0; i < options->core_count; i++) {
        if (are_siblings(options->cores[i], core))
            return true;
    }
    return false;
}

int bench_pick_cores(struct bench_options *options)
{
    cpu_set_t set;
    int spare = -1;
    if (sched_getaffinity(0, sizeof(set), &set) != 0)
        return -errno;
    options->core_count = 0;
    for (int core = 0; core < CPU_SETSIZE && options->core_count < BENCH_CORES_MAX; core++) {
        if (!CPU_ISSET(core, &set))
            continue;
        if (!is_sibling_of_any(options, core))
            options->cores[options->core_count++] = core;
        else if (spare < 0)
            spare = core;
    }
    if (options->core_count == 1 && spare >= 0)
        options->cores[options->core_count++] = spare;
    return options->core_count < 2 ? -ENODEV : 0;
}
