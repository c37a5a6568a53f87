/*
 * oneTBB: an arena of one slot, which the caller takes, or of two, whose worker is kept to the second core.
 */
#include "../task_cells.h"

#include <new>
#include <optional>

#include <oneapi/tbb/blocked_range.h>
#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/parallel_for.h>
#include <oneapi/tbb/parallel_reduce.h>
#include <oneapi/tbb/partitioner.h>
#include <oneapi/tbb/task.h>
#include <oneapi/tbb/task_arena.h>
#include <oneapi/tbb/task_group.h>
#include <oneapi/tbb/task_scheduler_observer.h>

namespace
{

/* Keeps whoever enters to the core of its slot. */
class Pin : public tbb::task_scheduler_observer
{
  public:
    Pin(tbb::task_arena &arena, const struct bench_options *options)
        : tbb::task_scheduler_observer(arena), options_(options)
    {
        observe(true);
    }
    ~Pin() override
    {
        observe(false);
    }
    void on_scheduler_entry(bool) override
    {
        bench_pin(options_->cores[tbb::this_task_arena::current_thread_index()]);
    }

  private:
    const struct bench_options *options_;
};

struct alignas(128) Count {
    uint64_t value;
};

struct Arena {
    Arena(const struct bench_options *options, int cores) : arena(cores, 1), pin(arena, options)
    {
    }

    /* The caller is kept to one core, from which oneTBB would conclude that there is no other. */
    tbb::global_control control{tbb::global_control::max_allowed_parallelism, TASK_CORES_MAX};
    tbb::task_arena arena;
    Pin pin;
    Count count[TASK_CORES_MAX] = {};
};

void *open_one(const struct bench_options *options)
{
    return new Arena(options, 1);
}

void *open_two(const struct bench_options *options)
{
    return new Arena(options, 2);
}

void close_arena(void *context)
{
    delete static_cast<Arena *>(context);
}

/* Runs a function in the arena, on the caller's thread. How long that took. */
template <typename Function> double timed(void *context, const Function &function)
{
    double start_ns = bench_now_ns();
    static_cast<Arena *>(context)->arena.execute(function);
    return bench_now_ns() - start_ns;
}

/* --- spawn-run --------------------------------------------------------------------------------------------- */

double run_spawn(void *context, uint64_t size, uint64_t *result)
{
    *result = 0;
    return timed(context, [=] {
        tbb::task_group group;
        for (uint64_t spawned = 0; spawned < size; spawned += TASK_BATCH) {
            for (unsigned i = 0; i < TASK_BATCH; i++)
                group.run([result] { ++*result; });
            group.wait();
        }
    });
}

/* --- ping-pong --------------------------------------------------------------------------------------------- */

/* Two tasks with stacks of their own, each of which goes to sleep by waking the other. */
struct Side {
    tbb::task::suspend_point point = nullptr;
    bool finished = false;

    void run(Side &other, uint64_t rounds)
    {
        for (uint64_t i = 0; i < rounds; i++)
            tbb::task::suspend([this, &other](tbb::task::suspend_point here) {
                point = here;
                if (other.point)
                    tbb::task::resume(other.point);
            });
        finished = true;
        if (!other.finished)
            tbb::task::resume(other.point);
    }
};

double run_sides(void *context, uint64_t size, uint64_t *result)
{
    *result = 0;
    return timed(context, [=] {
        Side sides[2];
        tbb::task_group group;
        group.run([&] { sides[0].run(sides[1], size / 2); });
        group.run([&] { sides[1].run(sides[0], size / 2); });
        group.wait();
    });
}

/* --- Skynet ------------------------------------------------------------------------------------------------ */

uint64_t sum_by_group(uint64_t first, uint64_t leaves)
{
    if (leaves == 1)
        return first;
    uint64_t part = leaves / TASK_SKYNET_FAN;
    uint64_t parts[TASK_SKYNET_FAN];
    tbb::task_group group;
    for (uint64_t i = 0; i < TASK_SKYNET_FAN - 1; i++)
        group.run([=, &parts] { parts[i] = sum_by_group(first + i * part, part); });
    group.run_and_wait(
        [=, &parts] { parts[TASK_SKYNET_FAN - 1] = sum_by_group(first + (TASK_SKYNET_FAN - 1) * part, part); });
    uint64_t sum = 0;
    for (uint64_t each : parts)
        sum += each;
    return sum;
}

double run_skynet_group(void *context, uint64_t size, uint64_t *result)
{
    return timed(context, [=] { *result = sum_by_group(0, size); });
}

/* Splits down to single leaves, whatever the partitioner of oneTBB's own choice would make of it. */
double run_skynet_reduce(void *context, uint64_t size, uint64_t *result)
{
    return timed(context, [=] {
        *result = tbb::parallel_reduce(
            tbb::blocked_range<uint64_t>(0, size), uint64_t(0),
            [](const tbb::blocked_range<uint64_t> &range, uint64_t sum) {
                for (uint64_t i = range.begin(); i < range.end(); i++)
                    sum += i;
                return sum;
            },
            [](uint64_t left, uint64_t right) { return left + right; }, tbb::simple_partitioner());
    });
}

/* --- unbalanced tree --------------------------------------------------------------------------------------- */

void count_node(Arena *context)
{
    context->count[tbb::this_task_arena::current_thread_index()].value++;
}

void visit_by_groups(Arena *context, const struct task_tree_node &node, uint64_t depth)
{
    count_node(context);
    uint32_t children = task_tree_children(&node, depth);
    if (children == 0)
        return;
    tbb::task_group group;
    for (uint32_t i = 0; i < children; i++) {
        struct task_tree_node child;
        task_tree_child(&child, &node, i);
        group.run([=] { visit_by_groups(context, child, depth); });
    }
    group.wait();
}

void visit_by_one_group(Arena *context, tbb::task_group &group, const struct task_tree_node &node, uint64_t depth)
{
    count_node(context);
    uint32_t children = task_tree_children(&node, depth);
    for (uint32_t i = 0; i < children; i++) {
        struct task_tree_node child;
        task_tree_child(&child, &node, i);
        group.run([=, &group] { visit_by_one_group(context, group, child, depth); });
    }
}

template <typename Visit> double run_tree(void *context, uint64_t *result, const Visit &visit)
{
    Arena *arena = static_cast<Arena *>(context);
    for (Count &count : arena->count)
        count.value = 0;
    double elapsed_ns = timed(context, [=] {
        struct task_tree_node root;
        task_tree_root(&root);
        visit(arena, root);
    });
    *result = arena->count[0].value + arena->count[1].value;
    return elapsed_ns;
}

double run_tree_groups(void *context, uint64_t size, uint64_t *result)
{
    return run_tree(context, result,
                    [=](Arena *arena, const struct task_tree_node &root) { visit_by_groups(arena, root, size); });
}

double run_tree_one_group(void *context, uint64_t size, uint64_t *result)
{
    return run_tree(context, result, [=](Arena *arena, const struct task_tree_node &root) {
        tbb::task_group group;
        visit_by_one_group(arena, group, root, size);
        group.wait();
    });
}

/* --- balance ----------------------------------------------------------------------------------------------- */

double run_balance(void *context, uint64_t size, uint64_t *result)
{
    Arena *arena = static_cast<Arena *>(context);
    for (Count &count : arena->count)
        count.value = 0;
    double elapsed_ns = timed(context, [=] {
        tbb::task_group group;
        for (uint64_t i = 0; i < size; i++)
            group.run([=] {
                task_spin(TASK_BALANCE_NS);
                count_node(arena);
            });
        group.wait();
    });
    *result = arena->count[0].value + arena->count[1].value;
    return elapsed_ns;
}

} // namespace

#define TBB_IMPLEMENTATION(name, test_case, open, run)                                                                 \
    {                                                                                                                  \
        name, BENCH_PEER, test_case, open, close_arena, run,                                                           \
    }

extern "C" const struct task_implementation task_tbb[] = {
    TBB_IMPLEMENTATION("tbb-task_group", TASK_SPAWN_RUN, open_one, run_spawn),
    TBB_IMPLEMENTATION("tbb-suspend", TASK_PING_PONG_ONE, open_one, run_sides),
    TBB_IMPLEMENTATION("tbb-task_group", TASK_SKYNET_ONE, open_one, run_skynet_group),
    TBB_IMPLEMENTATION("tbb-parallel_reduce", TASK_SKYNET_ONE, open_one, run_skynet_reduce),
    TBB_IMPLEMENTATION("tbb-task_group", TASK_SKYNET_TWO, open_two, run_skynet_group),
    TBB_IMPLEMENTATION("tbb-parallel_reduce", TASK_SKYNET_TWO, open_two, run_skynet_reduce),
    TBB_IMPLEMENTATION("tbb-task_groups", TASK_TREE_ONE, open_one, run_tree_groups),
    TBB_IMPLEMENTATION("tbb-one-task_group", TASK_TREE_ONE, open_one, run_tree_one_group),
    TBB_IMPLEMENTATION("tbb-task_groups", TASK_TREE_TWO, open_two, run_tree_groups),
    TBB_IMPLEMENTATION("tbb-one-task_group", TASK_TREE_TWO, open_two, run_tree_one_group),
    TBB_IMPLEMENTATION("tbb-task_group", TASK_BALANCE, open_two, run_balance),
    {},
};
