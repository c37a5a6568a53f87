/*
 * Ours: a runtime for each case. With one core the caller turns its reactor; with two both have threads of their own,
 * which sleep while others are measured, and the caller sleeps meanwhile.
 */
#include "task_cells.h"

#include <stdlib.h>

#include <kernel/kernel.h>

/* The class of all tasks. */
enum { CLASS = 3 };

enum { POOL_TASKS = 1 << 18, TASK_BYTES = 256 };

struct own_count {
    KN_OWNED uint64_t value;
};

struct context {
    struct kn_runtime *runtime;
    size_t cores;
    struct kn_task_group all;               /* that the caller waits for */
    struct own_count count[TASK_CORES_MAX]; /* of each reactor */
    uint64_t depth;
    double end_ns; /* when the last task was done; 0: not yet */
    struct side *sides;
};

/* ---- runtimes ---- */

static void *open_runtime(const struct bench_options *options, size_t cores, enum kn_order order)
{
    struct context *context = bench_allocate(sizeof(*context));
    struct kn_placement_core placed[TASK_CORES_MAX];
    const struct kn_placement placement = {.cores = placed, .count = cores};
    struct kn_runtime_options runtime_options = {
        .placement = &placement, .pool_tasks = POOL_TASKS, .pool_task_bytes = TASK_BYTES};
    for (size_t i = 0; i < cores; i++)
        placed[i] = (struct kn_placement_core){.unit = (uint32_t)options->cores[i], .roles = KN_ROLE_TASK};
    runtime_options.order[CLASS] = order;
    context->cores = cores;
    int result = kn_runtime_open(&context->runtime, &runtime_options);
    if (result == 0 && cores > 1)
        result = kn_runtime_start(context->runtime, 0);
    if (result == 0)
        return context;
    kn_runtime_close(context->runtime);
    free(context);
    return NULL;
}

static void *open_one(const struct bench_options *options)
{
    return open_runtime(options, 1, KN_ORDER_LIFO);
}

static void *open_two(const struct bench_options *options)
{
    return open_runtime(options, 2, KN_ORDER_LIFO);
}

static void close_runtime(void *pointer)
{
    struct context *context = pointer;
    kn_runtime_close(context->runtime);
    free(context->sides);
    free(context);
}

static struct kn_reactor *first_reactor(const struct context *context)
{
    return kn_runtime_reactor(context->runtime, 0);
}

/* Takes a turn of the caller's reactor. */
static void turn(struct kn_reactor *reactor)
{
    if (kn_reactor_turn(reactor, 0) < 0)
        abort();
}

/* Runs a task, and what it makes, until it has noted its end. How long that took. */
static double run_root(struct context *context, struct kn_task *root)
{
    kn_task_group_init(&context->all, 1);
    root->group = &context->all;
    context->end_ns = 0;
    double start_ns = bench_now_ns();
    kn_task_spawn(root, first_reactor(context));
    if (context->cores > 1) {
        (void)kn_task_group_join(&context->all, NULL);
    } else {
        while (context->end_ns == 0)
            turn(first_reactor(context));
    }
    return context->end_ns - start_ns;
}

/* Memory for a task; there is enough. */
static void *acquire(struct kn_reactor *reactor)
{
    void *task = kn_reactor_task_acquire(reactor);
    if (!task)
        abort();
    return task;
}

/* ---- spawn-run ---- */

struct empty {
    struct kn_task task;
    uint64_t *ran;
};

static enum kn_task_status poll_empty(struct kn_task *task, struct kn_reactor *reactor)
{
    (void)reactor;
    ++*((struct empty *)task)->ran;
    return KN_TASK_DONE;
}

static const struct kn_task_type empty_type = {.name = "empty", .poll = poll_empty};

TASK_INLINE double spawn_run(struct context *context, uint64_t tasks, uint64_t *ran, struct kn_task_group *group)
{
    struct kn_reactor *reactor = first_reactor(context);
    *ran = 0;
    double start_ns = bench_now_ns();
    for (uint64_t spawned = 0; spawned < tasks; spawned += TASK_BATCH) {
        if (group)
            kn_task_group_init(group, TASK_BATCH);
        for (unsigned i = 0; i < TASK_BATCH; i++) {
            struct empty *empty = acquire(reactor);
            kn_task_init(&empty->task, &empty_type, CLASS);
            empty->task.group = group;
            empty->ran = ran;
            kn_task_spawn(&empty->task, reactor);
        }
        while (*ran < spawned + TASK_BATCH)
            turn(reactor);
    }
    return bench_now_ns() - start_ns;
}

static double run_spawn(void *context, uint64_t size, uint64_t *result)
{
    return spawn_run(context, size, result, NULL);
}

static double run_spawn_group(void *pointer, uint64_t size, uint64_t *result)
{
    struct context *context = pointer;
    return spawn_run(context, size, result, &context->all);
}

/* ---- ping-pong ---- */

/* One of two tasks that wake each other. */
struct side {
    KN_OWNED struct kn_task task;
    struct kn_task *other;
    struct context *context;
    uint64_t left; /* polls before it ends the run; 0: it never does */
};

static enum kn_task_status poll_side(struct kn_task *task, struct kn_reactor *reactor)
{
    struct side *side = KN_CONTAINER_OF(task, struct side, task);
    (void)reactor;
    if (side->left > 0 && --side->left == 0) {
        side->context->end_ns = bench_now_ns();
        kn_task_group_done(&side->context->all);
    } else {
        kn_task_wake(side->other);
    }
    return KN_TASK_PENDING;
}

/* The first poll of a side: it waits to be woken. */
static enum kn_task_status poll_new_side(struct kn_task *task, struct kn_reactor *reactor)
{
    static const struct kn_task_type side_type = {.name = "side", .poll = poll_side};
    struct side *side = KN_CONTAINER_OF(task, struct side, task);
    (void)reactor;
    task->type = &side_type;
    kn_task_group_done(&side->context->all);
    return KN_TASK_PENDING;
}

static const struct kn_task_type new_side_type = {.name = "new side", .poll = poll_new_side};

/* Waits until the group that two or one reactors work for is done. */
static void await_all(struct context *context)
{
    const struct kn_wait look = {.strategy = KN_WAIT_PAUSE, .timeout_ns = 1};
    if (context->cores > 1) {
        (void)kn_task_group_join(&context->all, NULL);
        return;
    }
    while (kn_task_group_join(&context->all, &look) < 0)
        for (unsigned i = 0; i < 64; i++)
            turn(first_reactor(context));
}

static void *open_sides(const struct bench_options *options, size_t cores)
{
    struct context *context = open_runtime(options, cores, KN_ORDER_FIFO);
    if (!context)
        return NULL;
    context->sides = bench_allocate(2 * sizeof(context->sides[0]));
    kn_task_group_init(&context->all, 2);
    for (size_t i = 0; i < 2; i++) {
        struct side *side = &context->sides[i];
        kn_task_create(&side->task, &new_side_type, CLASS);
        side->task.flags |= KN_TASK_PINNED;
        side->context = context;
        side->other = &context->sides[1 - i].task;
        kn_task_spawn(&side->task, kn_runtime_reactor(context->runtime, i % cores));
    }
    await_all(context);
    return context;
}

static void *open_sides_one(const struct bench_options *options)
{
    return open_sides(options, 1);
}

static void *open_sides_two(const struct bench_options *options)
{
    return open_sides(options, 2);
}

static double run_sides(void *pointer, uint64_t size, uint64_t *result)
{
    struct context *context = pointer;
    struct side *first = &context->sides[0];
    kn_task_group_init(&context->all, 1);
    /* Every second one is the first side's. */
    first->left = size / 2 + 1;
    *result = 0;
    double start_ns = bench_now_ns();
    kn_task_wake(&first->task);
    await_all(context);
    return context->end_ns - start_ns;
}

/* ---- Skynet ---- */

/* A node: waits for its children, and hands their sum on. */
struct skynet {
    struct kn_task task;
    uint64_t *answer;
    uint64_t first;
    uint64_t leaves;
    struct kn_task_group children;
    uint64_t parts[TASK_SKYNET_FAN];
    struct context *context; /* of the root; else NULL */
};

_Static_assert(sizeof(struct skynet) <= TASK_BYTES, "a node of Skynet fits a pool's object");

static enum kn_task_status poll_skynet(struct kn_task *task, struct kn_reactor *reactor);

static const struct kn_task_type skynet_type = {.name = "skynet", .poll = poll_skynet};

static struct skynet *make_skynet(struct kn_reactor *reactor, uint64_t *answer, uint64_t first, uint64_t leaves)
{
    struct skynet *node = acquire(reactor);
    kn_task_init(&node->task, &skynet_type, CLASS);
    node->answer = answer;
    node->first = first;
    node->leaves = leaves;
    return node;
}

static enum kn_task_status poll_skynet_sum(struct kn_task *task, struct kn_reactor *reactor)
{
    struct skynet *node = (struct skynet *)task;
    (void)reactor;
    if (kn_task_group_wait(&node->children, task) < 0)
        return KN_TASK_PENDING;
    uint64_t sum = 0;
    for (size_t i = 0; i < TASK_SKYNET_FAN; i++)
        sum += node->parts[i];
    *node->answer = sum;
    if (node->context)
        node->context->end_ns = bench_now_ns();
    return KN_TASK_DONE;
}

static enum kn_task_status poll_skynet(struct kn_task *task, struct kn_reactor *reactor)
{
    static const struct kn_task_type sum_type = {.name = "skynet sum", .poll = poll_skynet_sum};
    struct skynet *node = (struct skynet *)task;
    if (node->leaves == 1) {
        *node->answer = node->first;
        return KN_TASK_DONE;
    }
    uint64_t part = node->leaves / TASK_SKYNET_FAN;
    task->type = &sum_type;
    kn_task_group_init(&node->children, TASK_SKYNET_FAN);
    for (size_t i = 0; i < TASK_SKYNET_FAN; i++) {
        struct skynet *child = make_skynet(reactor, &node->parts[i], node->first + i * part, part);
        child->task.group = &node->children;
        child->context = NULL;
        kn_task_spawn(&child->task, reactor);
    }
    return poll_skynet_sum(task, reactor);
}

static double run_skynet(void *pointer, uint64_t size, uint64_t *result)
{
    struct context *context = pointer;
    struct skynet *root = bench_allocate(sizeof(*root));
    kn_task_create(&root->task, &skynet_type, CLASS);
    root->answer = result;
    root->leaves = size;
    root->context = context;
    double elapsed_ns = run_root(context, &root->task);
    free(root);
    return elapsed_ns;
}

/* ---- unbalanced tree ---- */

struct tree {
    struct kn_task task;
    struct context *context;
    struct task_tree_node node;
    struct kn_task_group children;
};

_Static_assert(sizeof(struct tree) <= TASK_BYTES, "a node of the tree fits a pool's object");

static enum kn_task_status poll_tree(struct kn_task *task, struct kn_reactor *reactor);

static const struct kn_task_type tree_type = {.name = "tree", .poll = poll_tree};

static enum kn_task_status end_tree(struct tree *tree)
{
    if (tree->node.height == 0)
        tree->context->end_ns = bench_now_ns();
    return KN_TASK_DONE;
}

static enum kn_task_status poll_tree_wait(struct kn_task *task, struct kn_reactor *reactor)
{
    struct tree *tree = (struct tree *)task;
    (void)reactor;
    return kn_task_group_wait(&tree->children, task) < 0 ? KN_TASK_PENDING : end_tree(tree);
}

static enum kn_task_status poll_tree(struct kn_task *task, struct kn_reactor *reactor)
{
    static const struct kn_task_type wait_type = {.name = "tree wait", .poll = poll_tree_wait};
    struct tree *tree = (struct tree *)task;
    struct context *context = tree->context;
    context->count[kn_reactor_index(reactor)].value++;
    uint32_t children = task_tree_children(&tree->node, context->depth);
    if (children == 0)
        return end_tree(tree);
    task->type = &wait_type;
    kn_task_group_init(&tree->children, children);
    for (uint32_t i = 0; i < children; i++) {
        struct tree *child = acquire(reactor);
        kn_task_init(&child->task, &tree_type, CLASS);
        child->task.group = &tree->children;
        child->context = context;
        task_tree_child(&child->node, &tree->node, i);
        kn_task_spawn(&child->task, reactor);
    }
    return poll_tree_wait(task, reactor);
}

static double run_tree(void *pointer, uint64_t size, uint64_t *result)
{
    struct context *context = pointer;
    struct tree *root = bench_allocate(sizeof(*root));
    kn_task_create(&root->task, &tree_type, CLASS);
    root->context = context;
    task_tree_root(&root->node);
    context->depth = size;
    for (size_t i = 0; i < TASK_CORES_MAX; i++)
        context->count[i].value = 0;
    double elapsed_ns = run_root(context, &root->task);
    *result = context->count[0].value + context->count[1].value;
    free(root);
    return elapsed_ns;
}

/* ---- balance ---- */

struct spinner {
    struct kn_task task;
    struct context *context;
};

struct spawner {
    struct kn_task task;
    struct context *context;
    uint64_t tasks;
    struct kn_task_group spinners;
};

static enum kn_task_status poll_spinner(struct kn_task *task, struct kn_reactor *reactor)
{
    struct context *context = ((struct spinner *)task)->context;
    task_spin(TASK_BALANCE_NS);
    context->count[kn_reactor_index(reactor)].value++;
    return KN_TASK_DONE;
}

static enum kn_task_status poll_spawner(struct kn_task *task, struct kn_reactor *reactor)
{
    static const struct kn_task_type spinner_type = {.name = "spinner", .poll = poll_spinner};
    struct spawner *spawner = KN_CONTAINER_OF(task, struct spawner, task);
    for (; spawner->tasks > 0; spawner->tasks--) {
        struct spinner *spinner = acquire(reactor);
        kn_task_init(&spinner->task, &spinner_type, CLASS);
        spinner->task.group = &spawner->spinners;
        spinner->context = spawner->context;
        kn_task_spawn(&spinner->task, reactor);
    }
    if (kn_task_group_wait(&spawner->spinners, task) < 0)
        return KN_TASK_PENDING;
    spawner->context->end_ns = bench_now_ns();
    return KN_TASK_DONE;
}

static const struct kn_task_type spawner_type = {.name = "spawner", .poll = poll_spawner};

static void *open_balance(const struct bench_options *options)
{
    return open_runtime(options, 2, KN_ORDER_FIFO);
}

static double run_balance(void *pointer, uint64_t size, uint64_t *result)
{
    struct context *context = pointer;
    struct spawner *spawner = bench_allocate(sizeof(*spawner));
    kn_task_create(&spawner->task, &spawner_type, CLASS);
    spawner->task.flags |= KN_TASK_PINNED;
    spawner->context = context;
    spawner->tasks = size;
    kn_task_group_init(&spawner->spinners, size);
    for (size_t i = 0; i < TASK_CORES_MAX; i++)
        context->count[i].value = 0;
    double elapsed_ns = run_root(context, &spawner->task);
    *result = context->count[0].value + context->count[1].value;
    free(spawner);
    return elapsed_ns;
}

#define KERNEL_IMPLEMENTATION(name, test_case, open, run)                                                              \
    {                                                                                                                  \
        name, BENCH_OURS, test_case, open, close_runtime, run,                                                         \
    }

const struct task_implementation task_kernel[] = {
    KERNEL_IMPLEMENTATION("kernel", TASK_SPAWN_RUN, open_one, run_spawn),
    KERNEL_IMPLEMENTATION("kernel-group", TASK_SPAWN_RUN, open_one, run_spawn_group),
    KERNEL_IMPLEMENTATION("kernel", TASK_PING_PONG_ONE, open_sides_one, run_sides),
    KERNEL_IMPLEMENTATION("kernel", TASK_PING_PONG_TWO, open_sides_two, run_sides),
    KERNEL_IMPLEMENTATION("kernel", TASK_SKYNET_ONE, open_one, run_skynet),
    KERNEL_IMPLEMENTATION("kernel", TASK_SKYNET_TWO, open_two, run_skynet),
    KERNEL_IMPLEMENTATION("kernel", TASK_TREE_ONE, open_one, run_tree),
    KERNEL_IMPLEMENTATION("kernel", TASK_TREE_TWO, open_two, run_tree),
    KERNEL_IMPLEMENTATION("kernel", TASK_BALANCE, open_balance, run_balance),
    {0},
};
