/*
 * Coroutines of C++20, as a library makes tasks of them: a function that waits is resumed through the handle that the
 * innermost wait left.
 */
#include "../future_cells.h"

#include <coroutine>
#include <cstdlib>
#include <exception>

namespace
{

struct Task {
    struct promise_type {
        Task get_return_object()
        {
            return {std::coroutine_handle<promise_type>::from_promise(*this)};
        }
        std::suspend_always initial_suspend() noexcept
        {
            return {};
        }
        std::suspend_always final_suspend() noexcept
        {
            return {};
        }
        void return_void()
        {
        }
        void unhandled_exception()
        {
            std::terminate();
        }
    };
    std::coroutine_handle<promise_type> handle;
};

/* Suspends, and leaves the handle where it will be resumed from. */
struct Blink {
    std::coroutine_handle<> *waiting;
    bool await_ready() const noexcept
    {
        return false;
    }
    void await_suspend(std::coroutine_handle<> handle) const noexcept
    {
        *waiting = handle;
    }
    uint64_t await_resume() const noexcept
    {
        return 1;
    }
};

struct Ready {
    uint64_t value;
    bool await_ready() const noexcept
    {
        return true;
    }
    void await_suspend(std::coroutine_handle<>) const noexcept
    {
    }
    uint64_t await_resume() const noexcept
    {
        return value;
    }
};

struct Resume {
    std::coroutine_handle<> waiting;
    Task task;
    uint64_t sum;
};

Task waits(Resume *resume)
{
    for (;;) {
        const uint64_t value = co_await Blink{&resume->waiting};
        resume->sum += value;
    }
}

Task awaits(uint64_t count, uint64_t *sum)
{
    for (; count > 0; count--) {
        uint64_t one = 1;
        asm volatile("" : "+r"(one));
        *sum += co_await Ready{one};
    }
}

void *open_resume()
{
    Resume *resume = static_cast<Resume *>(bench_allocate(sizeof(Resume)));
    resume->task = waits(resume);
    resume->task.handle.resume();
    return resume;
}

void close_resume(void *context)
{
    Resume *resume = static_cast<Resume *>(context);
    resume->task.handle.destroy();
    std::free(resume);
}

double run_resume(void *context, uint64_t count, uint64_t *result)
{
    Resume *resume = static_cast<Resume *>(context);
    resume->sum = 0;
    const double start_ns = bench_now_ns();
    for (uint64_t left = count; left > 0; left--) {
        asm volatile("" : : "r"(resume) : "memory");
        resume->waiting.resume();
    }
    const double elapsed_ns = bench_now_ns() - start_ns;
    *result = resume->sum;
    return elapsed_ns;
}

void *open_nothing()
{
    return bench_allocate(sizeof(uint64_t));
}

double run_await_ready(void *, uint64_t count, uint64_t *result)
{
    const double start_ns = bench_now_ns();
    Task task = awaits(count, result);
    task.handle.resume();
    const double elapsed_ns = bench_now_ns() - start_ns;
    task.handle.destroy();
    return elapsed_ns;
}

} // namespace

const struct future_implementation future_coroutine[] = {
    {"c++20", BENCH_PEER, FUTURE_RESUME, open_resume, close_resume, run_resume},
    {"c++20", BENCH_PEER, FUTURE_AWAIT_READY, open_nothing, std::free, run_await_ready},
    {nullptr, BENCH_PEER, FUTURE_CASES, nullptr, nullptr, nullptr},
};
