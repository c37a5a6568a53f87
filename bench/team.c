#include "bench.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kernel/atomic.h>

/* Pauses before a waiting member lets others run: only at the edges of a run, never while one is measured. */
#define ATTEMPTS 64

struct member {
    KN_OWNED struct bench_team *team;
    size_t number;
    int core;
    sem_t wake; /* posted by the caller, once a run and once to end */
    pthread_t thread;
    pid_t process; /* of a team of processes, instead */
    double end_ns; /* when its part of the run was done */
};

/* What a run is made of is written by the caller while all others sleep. */
struct bench_team {
    bench_job *job; /* NULL ends the others */
    void *context;
    uint64_t run;
    KN_OWNED _Atomic uint64_t ready;    /* members awake in this run */
    KN_OWNED _Atomic uint64_t released; /* the run that may begin; written by the caller */
    KN_OWNED _Atomic uint64_t finished; /* members done with this run */
    size_t size;
    size_t length_bytes; /* of all this, where it is shared by processes; else 0 */
    cpu_set_t affinity;  /* the caller's, before */
    struct member members[];
};

static void await(_Atomic uint64_t *counter, uint64_t value)
{
    /* Acquire pairs with the release operations in run_member and bench_team_run. */
    for (unsigned attempt = 1; atomic_load_explicit(counter, memory_order_acquire) != value; attempt++) {
        if (attempt % ATTEMPTS == 0)
            sched_yield();
        else
            kn_cpu_relax();
    }
}

static void *run_member(void *argument)
{
    struct member *member = argument;
    struct bench_team *team = member->team;
    int result = bench_pin(member->core);
    if (result < 0)
        fprintf(stderr, "bench: cannot run on processor %d: %s\n", member->core, strerror(-result));
    for (;;) {
        while (sem_wait(&member->wake) != 0)
            ;
        if (!team->job)
            return NULL;
        atomic_fetch_add_explicit(&team->ready, 1, memory_order_release);
        await(&team->released, team->run);
        team->job(team->context, member->number);
        member->end_ns = bench_now_ns();
        /* Release pairs with the acquire load in await: whatever the job wrote. */
        atomic_fetch_add_explicit(&team->finished, 1, memory_order_release);
    }
}

static int start_process(struct member *member)
{
    pid_t process = fork();
    if (process < 0)
        return -errno;
    if (process == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        run_member(member);
        _exit(EXIT_SUCCESS);
    }
    member->process = process; /* not in the child, which shares this memory */
    return 0;
}

static int start_member(struct bench_team *team, int core)
{
    struct member *member = &team->members[team->size];
    bool process = team->length_bytes > 0;
    member->team = team;
    member->number = team->size;
    member->core = core;
    sem_init(&member->wake, process, 0);
    int result = process ? start_process(member) : -pthread_create(&member->thread, NULL, run_member, member);
    if (result == 0)
        team->size++;
    return result;
}

static int open_team(struct bench_team **team, struct bench_team *opened, const struct bench_options *options,
                     size_t members)
{
    *team = NULL;
    opened->size = 1; /* the caller */
    sched_getaffinity(0, sizeof(opened->affinity), &opened->affinity);
    int result = bench_pin(options->cores[0]);
    while (result == 0 && opened->size < members)
        result = start_member(opened, options->cores[opened->size % options->core_count]);
    if (result < 0) {
        fprintf(stderr, "bench: cannot start %zu members of a team: %s\n", members, strerror(-result));
        bench_team_close(opened);
        return result;
    }
    *team = opened;
    return 0;
}

static size_t team_bytes(size_t members)
{
    return sizeof(struct bench_team) + members * sizeof(struct member);
}

int bench_team_open(struct bench_team **team, const struct bench_options *options, size_t members)
{
    return open_team(team, bench_allocate(team_bytes(members)), options, members);
}

int bench_team_open_processes(struct bench_team **team, const struct bench_options *options, size_t members)
{
    struct bench_team *opened = bench_allocate_shared(team_bytes(members));
    opened->length_bytes = team_bytes(members);
    return open_team(team, opened, options, members);
}

void bench_team_close(struct bench_team *team)
{
    if (!team)
        return;
    team->job = NULL;
    for (size_t i = 1; i < team->size; i++) {
        struct member *member = &team->members[i];
        sem_post(&member->wake);
        if (member->process > 0)
            waitpid(member->process, NULL, 0);
        else
            pthread_join(member->thread, NULL);
        sem_destroy(&member->wake);
    }
    sched_setaffinity(0, sizeof(team->affinity), &team->affinity);
    if (team->length_bytes > 0)
        bench_free_shared(team, team->length_bytes);
    else
        free(team);
}

double bench_team_run(struct bench_team *team, size_t members, bench_job *job, void *context)
{
    team->job = job;
    team->context = context;
    team->run++;
    atomic_store_explicit(&team->ready, 0, memory_order_relaxed);
    atomic_store_explicit(&team->finished, 0, memory_order_relaxed);
    for (size_t i = 1; i < members; i++)
        sem_post(&team->members[i].wake);
    await(&team->ready, members - 1);
    double start_ns = bench_now_ns();
    /* Release pairs with the acquire load in await. */
    atomic_store_explicit(&team->released, team->run, memory_order_release);
    job(context, 0);
    double end_ns = bench_now_ns();
    await(&team->finished, members - 1);
    for (size_t i = 1; i < members; i++)
        end_ns = team->members[i].end_ns > end_ns ? team->members[i].end_ns : end_ns;
    return end_ns - start_ns;
}

struct pair {
    void (*sides[2])(void *context);
    void *context;
};

static void run_side(void *context, size_t member)
{
    struct pair *pair = context;
    pair->sides[member](pair->context);
}

double bench_team_run_pair(struct bench_team *team, void (*here)(void *context), void (*there)(void *context),
                           void *context)
{
    struct pair pair = {{here, there}, context};
    return bench_team_run(team, 2, run_side, &pair);
}
