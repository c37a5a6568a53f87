/*
 * The futures crate of Rust. `rust-futures` is as one writes it; `rust-boxed` has each stage of a chain boxed.
 */
#include "../future_cells.h"

uint64_t rust_map(uint64_t count);
uint64_t rust_and_then(uint64_t count);
uint64_t rust_map_boxed(uint64_t count);
uint64_t rust_and_then_boxed(uint64_t count);
uint64_t rust_resume(uint64_t count);
uint64_t rust_await_ready(uint64_t count);
uint64_t rust_join_ready(uint64_t count);
uint64_t rust_join_pending(uint64_t count);
void *rust_set_open(uint64_t count);
void rust_set_close(void *set);
uint64_t rust_set_wake(void *set, uint64_t count);
void *rust_channel_open(uint64_t slots);
void rust_channel_close(void *channel);
uint64_t rust_channel(void *channel, uint64_t count, uint64_t burst);

static int nothing;

static void *open_nothing(void)
{
    return &nothing;
}

static void close_nothing(void *context)
{
    (void)context;
}

static void *open_set_few(void)
{
    return rust_set_open(FUTURE_MEMBERS_FEW);
}

static void *open_set_many(void)
{
    return rust_set_open(FUTURE_MEMBERS);
}

static void *open_channel(void)
{
    return rust_channel_open(FUTURE_CHANNEL_SLOTS);
}

/* Times one of the functions above. */
#define TIMED(name, call)                                                                                              \
    static double name(void *context, uint64_t count, uint64_t *result)                                                \
    {                                                                                                                  \
        (void)context;                                                                                                 \
        double start_ns = bench_now_ns();                                                                              \
        *result = call;                                                                                                \
        return bench_now_ns() - start_ns;                                                                              \
    }

TIMED(run_map, rust_map(count))
TIMED(run_and_then, rust_and_then(count))
TIMED(run_map_boxed, rust_map_boxed(count))
TIMED(run_and_then_boxed, rust_and_then_boxed(count))
TIMED(run_resume, rust_resume(count))
TIMED(run_await_ready, rust_await_ready(count))
TIMED(run_join_ready, rust_join_ready(count))
TIMED(run_join_pending, rust_join_pending(count))
TIMED(run_set, rust_set_wake(context, count))
TIMED(run_channel_one, rust_channel(context, count, 1))
TIMED(run_channel_many, rust_channel(context, count, FUTURE_CHANNEL_BURST))

const struct future_implementation future_rust[] = {
    {"rust-futures", BENCH_PEER, FUTURE_MAP, open_nothing, close_nothing, run_map},
    {"rust-boxed", BENCH_PEER, FUTURE_MAP, open_nothing, close_nothing, run_map_boxed},
    {"rust-futures", BENCH_PEER, FUTURE_AND_THEN, open_nothing, close_nothing, run_and_then},
    {"rust-boxed", BENCH_PEER, FUTURE_AND_THEN, open_nothing, close_nothing, run_and_then_boxed},
    {"rust-futures", BENCH_PEER, FUTURE_RESUME, open_nothing, close_nothing, run_resume},
    {"rust-futures", BENCH_PEER, FUTURE_AWAIT_READY, open_nothing, close_nothing, run_await_ready},
    {"rust-futures", BENCH_PEER, FUTURE_JOIN_READY, open_nothing, close_nothing, run_join_ready},
    {"rust-futures", BENCH_PEER, FUTURE_JOIN_PENDING, open_nothing, close_nothing, run_join_pending},
    {"rust-futures", BENCH_PEER, FUTURE_SET_FEW, open_set_few, rust_set_close, run_set},
    {"rust-futures", BENCH_PEER, FUTURE_SET_MANY, open_set_many, rust_set_close, run_set},
    {"rust-futures", BENCH_PEER, FUTURE_CHANNEL_ONE, open_channel, rust_channel_close, run_channel_one},
    {"rust-futures", BENCH_PEER, FUTURE_CHANNEL_MANY, open_channel, rust_channel_close, run_channel_many},
    {NULL, BENCH_PEER, FUTURE_CASES, NULL, NULL, NULL},
};
