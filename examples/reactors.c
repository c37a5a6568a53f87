/* Requests that each wait a little, as tasks on all cores; the most urgent are answered first. */
#include <stdio.h>

#include <kernel/clock.h>
#include <kernel/reactor.h>

struct request {
    struct kn_task task;
    struct kn_timer timer;
    uint64_t waits_ns;
    bool has_waited;
};

static enum kn_task_status serve(struct kn_task *task, struct kn_reactor *reactor)
{
    struct request *request = KN_CONTAINER_OF(task, struct request, task);
    if (!request->has_waited) {
        request->has_waited = true;
        kn_timer_init_waking(&request->timer, task, 0);
        if (kn_reactor_arm(reactor, &request->timer, kn_reactor_now_ns(reactor) + request->waits_ns) == 0)
            return KN_TASK_PENDING; /* polled again when the timer has fired */
    }
    return KN_TASK_DONE; /* its memory goes back to the pool, and the group hears of it */
}

static enum kn_task_status accept_all(struct kn_task *task, struct kn_reactor *reactor)
{
    static const struct kn_task_type type = {.name = "serve", .poll = serve};
    for (unsigned i = 0; i < 10000; i++) {
        struct request *request = kn_reactor_task_acquire(reactor);
        if (!request)
            return KN_TASK_DONE; /* the pool is used up */
        kn_task_init(&request->task, &type, i % KN_PRIORITY_CLASSES);
        request->task.group = task->group;
        request->waits_ns = i * 1000;
        request->has_waited = false;
        kn_task_group_add(task->group, 1);
        kn_task_spawn(&request->task, reactor); /* here at first; idle cores take their share */
    }
    return KN_TASK_DONE;
}

int main(void)
{
    static const struct kn_task_type type = {.name = "accept", .poll = accept_all};
    struct kn_runtime_options options = {.pool_tasks = 10000, .pool_task_bytes = sizeof(struct request)};
    struct kn_runtime *runtime;
    struct kn_task acceptor;
    struct kn_task_group all;
    if (kn_runtime_open(&runtime, &options) < 0 || kn_runtime_start(runtime, 0) < 0)
        return 1;
    uint64_t start_ns = kn_clock_monotonic_ns();
    kn_task_group_init(&all, 1);
    kn_task_create(&acceptor, &type, 0);
    acceptor.group = &all;
    kn_task_spawn(&acceptor, kn_runtime_reactor(runtime, 0));
    (void)kn_task_group_join(&all, NULL);
    printf("10000 requests on %zu cores, done after %.0f ms\n", kn_runtime_count(runtime),
           (double)(kn_clock_monotonic_ns() - start_ns) / 1e6);
    kn_runtime_close(runtime);
    return 0;
}
