/*
 * References: what the same work costs without tasks, and a switch between two contexts of one thread.
 */
#include "task_cells.h"

#include <stdlib.h>
#include <ucontext.h>

enum { STACK_BYTES = 65536 };

struct context {
    ucontext_t main;
    ucontext_t other;
    uint64_t left;
    uint8_t *stack;
};

static void *open_nothing(const struct bench_options *options)
{
    (void)options;
    return bench_allocate(sizeof(struct context));
}

static void close_context(void *pointer)
{
    struct context *context = pointer;
    free(context->stack);
    free(context);
}

/* ---- swapcontext, which also saves the mask of signals ---- */

static void *open_contexts(const struct bench_options *options)
{
    struct context *context = open_nothing(options);
    context->stack = bench_allocate(STACK_BYTES);
    return context;
}

static void run_other(unsigned high, unsigned low)
{
    struct context *context = (struct context *)(uintptr_t)((uint64_t)high << 32 | low);
    while (context->left > 1) {
        context->left--;
        swapcontext(&context->other, &context->main);
    }
}

static double run_contexts(void *pointer, uint64_t size, uint64_t *result)
{
    struct context *context = pointer;
    uint64_t address = (uint64_t)(uintptr_t)context;
    getcontext(&context->other);
    context->other.uc_stack.ss_sp = context->stack;
    context->other.uc_stack.ss_size = STACK_BYTES;
    context->other.uc_link = &context->main;
    makecontext(&context->other, (void (*)(void))run_other, 2, (unsigned)(address >> 32), (unsigned)address);
    context->left = size / 2;
    *result = 0;
    double start_ns = bench_now_ns();
    for (uint64_t i = 0; i < size / 2; i++)
        swapcontext(&context->main, &context->other);
    return bench_now_ns() - start_ns;
}

/* ---- recursion ---- */

static __attribute__((noinline)) uint64_t sum_leaves(uint64_t first, uint64_t leaves)
{
    uint64_t sum = 0;
    if (leaves == 1)
        return first;
    for (uint64_t i = 0; i < TASK_SKYNET_FAN; i++)
        sum += sum_leaves(first + i * (leaves / TASK_SKYNET_FAN), leaves / TASK_SKYNET_FAN);
    return sum;
}

static double run_skynet(void *context, uint64_t size, uint64_t *result)
{
    (void)context;
    double start_ns = bench_now_ns();
    *result = sum_leaves(0, size);
    return bench_now_ns() - start_ns;
}

static double run_tree(void *context, uint64_t size, uint64_t *result)
{
    (void)context;
    struct task_tree_node root;
    double start_ns = bench_now_ns();
    task_tree_root(&root);
    *result = task_tree_count(&root, size);
    return bench_now_ns() - start_ns;
}

const struct task_implementation task_reference[] = {
    {"swapcontext", BENCH_REFERENCE, TASK_PING_PONG_ONE, open_contexts, close_context, run_contexts},
    {"recursion", BENCH_REFERENCE, TASK_SKYNET_ONE, open_nothing, close_context, run_skynet},
    {"recursion", BENCH_REFERENCE, TASK_TREE_ONE, open_nothing, close_context, run_tree},
    {0},
};
