#include "bench.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <kernel/atomic.h>

struct bench_pair {
    KN_OWNED _Atomic uint64_t started; /* jobs handed out; written by the caller */
    void (*job)(void *context);        /* of the job `started`; NULL ends the thread */
    void *context;
    int core;
    KN_OWNED _Atomic uint64_t finished; /* jobs done; written by the other thread */
    KN_OWNED pthread_t thread;
    cpu_set_t affinity; /* the caller's, before */
};

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

int bench_pin(int core)
{
    cpu_set_t set;
    if (core < 0 || core >= CPU_SETSIZE)
        return -EINVAL;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    return sched_setaffinity(0, sizeof(set), &set) == 0 ? 0 : -errno;
}

int bench_check_cores(const int cores[2])
{
    cpu_set_t affinity;
    if (sched_getaffinity(0, sizeof(affinity), &affinity) != 0)
        return -errno;
    for (int i = 0; i < 2; i++) {
        int result = bench_pin(cores[i]);
        sched_setaffinity(0, sizeof(affinity), &affinity);
        if (result < 0) {
            fprintf(stderr, "bench: cannot run on processor %d: %s\n", cores[i], strerror(-result));
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

int bench_pick_cores(int cores[2])
{
    cpu_set_t set;
    int first = -1;
    int second = -1;
    if (sched_getaffinity(0, sizeof(set), &set) != 0)
        return -errno;
    for (int core = 0; core < CPU_SETSIZE; core++) {
        if (!CPU_ISSET(core, &set))
            continue;
        if (first < 0) {
            first = core;
            continue;
        }
        if (second < 0)
            second = core;
        if (!are_siblings(first, core)) {
            second = core;
            break;
        }
    }
    if (second < 0)
        return -ENODEV;
    cores[0] = first;
    cores[1] = second;
    return 0;
}

static void *run_jobs(void *argument)
{
    struct bench_pair *pair = argument;
    uint64_t job = 0;
    int result = bench_pin(pair->core);
    if (result < 0)
        fprintf(stderr, "bench: cannot run on processor %d: %s\n", pair->core, strerror(-result));
    for (;;) {
        /* Acquire pairs with the release store in start_job: the job's function and context. */
        while (atomic_load_explicit(&pair->started, memory_order_acquire) == job)
            kn_cpu_relax();
        job++;
        if (!pair->job)
            return NULL;
        pair->job(pair->context);
        /* Release pairs with the acquire load in bench_pair_run: whatever the job wrote. */
        atomic_store_explicit(&pair->finished, job, memory_order_release);
    }
}

static void start_job(struct bench_pair *pair, void (*job)(void *context), void *context)
{
    uint64_t started = atomic_load_explicit(&pair->started, memory_order_relaxed);
    pair->job = job;
    pair->context = context;
    /* Release pairs with the acquire load in run_jobs. */
    atomic_store_explicit(&pair->started, started + 1, memory_order_release);
}

int bench_pair_open(struct bench_pair **pair, const int cores[2])
{
    struct bench_pair *opened = bench_allocate(sizeof(*opened));
    *pair = NULL;
    opened->core = cores[1];
    sched_getaffinity(0, sizeof(opened->affinity), &opened->affinity);
    int result = bench_pin(cores[0]);
    if (result == 0)
        result = -pthread_create(&opened->thread, NULL, run_jobs, opened);
    if (result < 0) {
        fprintf(stderr, "bench: cannot run on processors %d and %d: %s\n", cores[0], cores[1], strerror(-result));
        sched_setaffinity(0, sizeof(opened->affinity), &opened->affinity);
        free(opened);
        return result;
    }
    *pair = opened;
    return 0;
}

void bench_pair_close(struct bench_pair *pair)
{
    if (!pair)
        return;
    start_job(pair, NULL, NULL);
    pthread_join(pair->thread, NULL);
    sched_setaffinity(0, sizeof(pair->affinity), &pair->affinity);
    free(pair);
}

double bench_pair_run(struct bench_pair *pair, void (*here)(void *context), void (*there)(void *context), void *context)
{
    double start_ns = bench_now_ns();
    start_job(pair, there, context);
    here(context);
    uint64_t started = atomic_load_explicit(&pair->started, memory_order_relaxed);
    /* Acquire pairs with the release store in run_jobs. */
    while (atomic_load_explicit(&pair->finished, memory_order_acquire) != started)
        kn_cpu_relax();
    return bench_now_ns() - start_ns;
}
