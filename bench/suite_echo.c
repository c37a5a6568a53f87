#include "bench.h"
#include "echo_server.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "load.h"

#define REQUEST_BYTES 64

static const struct bench_metric throughput = {"throughput", "request/s", true};
/* Time of the server's process. Of the one that spins, the spinning too. */
static const struct bench_metric server_cpu = {"server_cpu", "ns/request", false};
static const struct bench_metric p50 = {"p50", "us", false};
static const struct bench_metric p99 = {"p99", "us", false};
static const struct bench_metric p999 = {"p99.9", "us", false};

struct implementation {
    const char *name;
    enum bench_role role;
    void (*serve)(int report_descriptor);
};

static const struct implementation implementations[] = {
    {"kernel", BENCH_OURS, echo_serve_kernel},
    {"kernel-spin", BENCH_OURS, echo_serve_kernel_spin},
    {"epoll-minimal", BENCH_REFERENCE, echo_serve_epoll},
#ifdef KN_BENCH_PEERS
    {"libuv", BENCH_PEER, echo_serve_uv},
    {"libevent", BENCH_PEER, echo_serve_event},
#endif
};

#define IMPLEMENTATIONS (sizeof(implementations) / sizeof(implementations[0]))

struct test_case {
    const char *name;
    uint32_t connections;
    uint32_t pipeline;
};

static const struct test_case cases[] = {
    {"64-bytes-1-connection-pipeline-1", 1, 1},
    {"64-bytes-1-connection-pipeline-16", 1, 16},
    {"64-bytes-100-connections-pipeline-1", 100, 1},
    {"64-bytes-100-connections-pipeline-16", 100, 16},
};

#define CASES (sizeof(cases) / sizeof(cases[0]))

struct server_process {
    pid_t process;
    struct kn_address address;
};

/* The child's side: dies with its parent, never returns. */
static _Noreturn void run_child(const struct implementation *implementation, int core, int report_descriptor)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int result = bench_pin(core);
    if (result < 0)
        fprintf(stderr, "bench: echo: cannot run on processor %d: %s\n", core, strerror(-result));
    else
        implementation->serve(report_descriptor);
    _exit(EXIT_FAILURE);
}

static int start_server(struct server_process *server, const struct implementation *implementation, int core)
{
    int report[2];
    uint16_t port = 0;
    char text[KN_ADDRESS_TEXT_BYTES];
    if (pipe(report) < 0)
        return -errno;
    /* What is buffered would be written twice. */
    fflush(NULL);
    pid_t process = fork();
    if (process < 0) {
        int error = errno;
        close(report[0]);
        close(report[1]);
        return -error;
    }
    if (process == 0) {
        close(report[0]);
        run_child(implementation, core, report[1]);
    }
    server->process = process;
    close(report[1]);
    ssize_t length = read(report[0], &port, sizeof(port));
    close(report[0]);
    if (length != (ssize_t)sizeof(port))
        return -ECHILD;
    snprintf(text, sizeof(text), "127.0.0.1:%u", port);
    return kn_address_parse(text, &server->address);
}

static void stop_server(struct server_process *server)
{
    if (server->process <= 0)
        return;
    kill(server->process, SIGKILL);
    waitpid(server->process, NULL, 0);
}

static double process_cpu_ns(pid_t process)
{
    clockid_t clock;
    struct timespec used;
    if (clock_getcpuclockid(process, &clock) != 0 || clock_gettime(clock, &used) != 0)
        return NAN;
    return (double)used.tv_sec * 1e9 + (double)used.tv_nsec;
}

static int measure(const struct test_case *test_case, const struct implementation *implementation,
                   const struct server_process *server, int core, double slice_seconds, struct bench_report *report)
{
    static struct load_result result; /* too large for the stack */
    struct load_options options = {
        .address = server->address,
        .connections = test_case->connections,
        .pipeline = test_case->pipeline,
        .message_bytes = REQUEST_BYTES,
        .duration_ns = (int64_t)(slice_seconds * 1e9),
        .warmup_ns = (int64_t)(slice_seconds * 1e8),
        .spin = true,
        .pin = true,
        .cpu = core,
    };
    double cpu_ns = -process_cpu_ns(server->process);
    int error = load_run(&options, &result, NULL, NULL, NULL);
    if (error == 0 && (result.errors > 0 || result.requests == 0))
        error = -EBADMSG;
    if (error < 0) {
        fprintf(stderr, "bench: echo: %s: %s: %s\n", test_case->name, implementation->name, strerror(-error));
        return error;
    }
    const char *name = implementation->name;
    enum bench_role role = implementation->role;
    double rate = (double)result.requests * 1e9 / (double)result.elapsed_ns;
    bench_report_add(report, test_case->name, name, role, &throughput, rate);
    /* The server works through the warm-up as well, whose replies are not counted. */
    double served =
        (double)result.requests * (double)(options.duration_ns + options.warmup_ns) / (double)options.duration_ns;
    cpu_ns += process_cpu_ns(server->process);
    bench_report_add(report, test_case->name, name, role, &server_cpu, cpu_ns / served);
    bench_report_add(report, test_case->name, name, role, &p50,
                     (double)histogram_percentile(&result.latency, 50) / 1e3);
    bench_report_add(report, test_case->name, name, role, &p99,
                     (double)histogram_percentile(&result.latency, 99) / 1e3);
    bench_report_add(report, test_case->name, name, role, &p999,
                     (double)histogram_percentile(&result.latency, 99.9) / 1e3);
    return 0;
}

static int measure_rounds(const struct bench_options *options, const struct server_process *servers,
                          struct bench_report *report)
{
    struct bench_plan plan = bench_plan(options, 60, CASES * IMPLEMENTATIONS, 0.03, 0.15);
    for (uint64_t round = 1; round <= plan.rounds; round++) {
        for (size_t i = 0; i < CASES; i++) {
            for (size_t j = 0; j < IMPLEMENTATIONS; j++) {
                /* Another one begins in each round, so that none always follows the same. */
                size_t chosen = (j + round) % IMPLEMENTATIONS;
                int result = measure(&cases[i], &implementations[chosen], &servers[chosen], options->cores[1],
                                     plan.slice_seconds, report);
                if (result < 0)
                    return result;
            }
        }
        bench_progress("echo", round, plan.rounds);
    }
    return 0;
}

static int run_echo(const struct bench_options *options, struct bench_report *report)
{
    struct server_process servers[IMPLEMENTATIONS];
    int result = 0;
    memset(servers, 0, sizeof(servers));
    for (size_t i = 0; i < IMPLEMENTATIONS && result == 0; i++) {
        result = start_server(&servers[i], &implementations[i], options->cores[0]);
        if (result < 0)
            fprintf(stderr, "bench: echo: %s does not start: %s\n", implementations[i].name, strerror(-result));
    }
    if (result == 0)
        result = measure_rounds(options, servers, report);
    for (size_t i = 0; i < IMPLEMENTATIONS; i++)
        stop_server(&servers[i]);
    return result;
}

const struct bench_suite bench_suite_echo = {
    .name = "echo",
    .summary = "TCP echo over loopback, 64-byte requests, server and load on a core each",
    .run = run_echo,
};
