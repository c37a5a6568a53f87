/*
 * Ours. Wakers of the benchmark do nothing: what is measured is polling, not the reactor around it.
 */
#include "future_cells.h"

#include <stdlib.h>

#include <kernel/kernel.h>

/* ---- polling without a task ---- */

static void wake_nobody(struct kn_waker *waker)
{
    (void)waker;
}

struct poller {
    struct kn_waker waker;
    struct kn_executor executor;
    struct kn_context context;
};

static void poller_init(struct poller *poller)
{
    poller->waker.wake = wake_nobody;
    poller->executor = (struct kn_executor){.budget = UINT32_MAX};
    poller->context =
        (struct kn_context){.waker = &poller->waker, .executor = &poller->executor, .deadline_ns = KN_NEVER};
}

static struct kn_outcome poll_once(struct poller *poller, struct kn_future *future)
{
    poller->executor.budget = UINT32_MAX;
    return kn_future_poll(future, &poller->context);
}

/* ---- chains ---- */

struct chain {
    struct poller poller;
    struct kn_future_ready ready;
    struct kn_future_map maps[FUTURE_CHAIN];
    struct kn_future_and_then thens[FUTURE_CHAIN];
    struct kn_future_ready next[FUTURE_CHAIN];
};

static void *open_chain(void)
{
    struct chain *chain = bench_allocate(sizeof(*chain));
    poller_init(&chain->poller);
    return chain;
}

static kn_value_t add_one(kn_value_t value, void *context)
{
    (void)context;
    return KN_VALUE(value.natural + 1);
}

static struct kn_future *ready_one_more(kn_value_t value, void *context)
{
    return kn_future_ready(context, KN_VALUE(value.natural + 1));
}

static double run_map(void *context, uint64_t count, uint64_t *result)
{
    struct chain *chain = context;
    uint64_t sum = 0;
    double start_ns = bench_now_ns();
    for (uint64_t left = count / FUTURE_CHAIN; left > 0; left--) {
        struct kn_future *future = kn_future_ready(&chain->ready, KN_VALUE((uint64_t)0));
        for (size_t i = 0; i < FUTURE_CHAIN; i++)
            future = kn_future_map(&chain->maps[i], future, add_one, NULL);
        sum += poll_once(&chain->poller, future).value.natural;
    }
    double elapsed_ns = bench_now_ns() - start_ns;
    *result = sum;
    return elapsed_ns;
}

static double run_and_then(void *context, uint64_t count, uint64_t *result)
{
    struct chain *chain = context;
    uint64_t sum = 0;
    double start_ns = bench_now_ns();
    for (uint64_t left = count / FUTURE_CHAIN; left > 0; left--) {
        struct kn_future *future = kn_future_ready(&chain->ready, KN_VALUE((uint64_t)0));
        for (size_t i = 0; i < FUTURE_CHAIN; i += 2) {
            future = kn_future_map(&chain->maps[i], future, add_one, NULL);
            future = kn_future_and_then(&chain->thens[i], future, ready_one_more, &chain->next[i]);
        }
        sum += poll_once(&chain->poller, future).value.natural;
    }
    double elapsed_ns = bench_now_ns() - start_ns;
    *result = sum;
    return elapsed_ns;
}

/* ---- functions that wait ---- */

/* Pending at every other poll, and ready at the others. */
struct blink {
    struct kn_future future;
    bool blinked;
};

static struct kn_outcome blink_poll(struct kn_future *future, struct kn_context *context)
{
    (void)context;
    struct blink *blink = KN_CONTAINER_OF(future, struct blink, future);
    blink->blinked = !blink->blinked;
    return blink->blinked ? kn_pending() : kn_ready(KN_VALUE((uint64_t)1));
}

static const struct kn_future_type blink_type = {.name = "blink", .poll = blink_poll, .drop = kn_future_drop_nothing};

static struct kn_future *blink(struct blink *self)
{
    self->future.type = &blink_type;
    self->blinked = false;
    return &self->future;
}

struct waits {
    KN_ASYNC_STATE;
    struct blink blink;
    uint64_t sum;
};

KN_ASYNC(waits)
{
    KN_BEGIN;
    for (;;) {
        KN_TRY(blink(&self->blink));
        self->sum += KN_OUTCOME.value.natural;
    }
}

struct resume {
    struct poller poller;
    struct waits waits;
    struct kn_future *future;
};

static void *open_resume(void)
{
    struct resume *resume = bench_allocate(sizeof(*resume));
    poller_init(&resume->poller);
    resume->future = waits(&resume->waits);
    (void)poll_once(&resume->poller, resume->future);
    return resume;
}

static double run_resume(void *context, uint64_t count, uint64_t *result)
{
    struct resume *resume = context;
    resume->waits.sum = 0;
    double start_ns = bench_now_ns();
    for (uint64_t left = count; left > 0; left--)
        (void)poll_once(&resume->poller, resume->future);
    double elapsed_ns = bench_now_ns() - start_ns;
    *result = resume->waits.sum;
    return elapsed_ns;
}

struct awaits {
    KN_ASYNC_STATE;
    struct kn_future_ready ready;
    uint64_t left;
    uint64_t sum;
};

KN_ASYNC(awaits)
{
    KN_BEGIN;
    for (; self->left > 0; self->left--) {
        KN_TRY(kn_future_ready(&self->ready, KN_VALUE((uint64_t)1)));
        self->sum += KN_OUTCOME.value.natural;
    }
    KN_RETURN(self->sum);
}

static double run_await_ready(void *context, uint64_t count, uint64_t *result)
{
    struct chain *chain = context;
    struct awaits state = {.left = count};
    double start_ns = bench_now_ns();
    *result = poll_once(&chain->poller, awaits(&state)).value.natural;
    return bench_now_ns() - start_ns;
}

/* ---- many ---- */

/* Waits until it is told to. */
struct wait {
    struct kn_future future;
    struct kn_waker *waker;
    bool told;
};

static struct kn_outcome wait_poll(struct kn_future *future, struct kn_context *context)
{
    struct wait *wait = KN_CONTAINER_OF(future, struct wait, future);
    if (wait->told)
        return kn_ready(KN_VALUE((uint64_t)1));
    wait->waker = context->waker;
    return kn_pending();
}

static const struct kn_future_type wait_type = {.name = "wait", .poll = wait_poll, .drop = kn_future_drop_nothing};

struct join {
    struct poller poller;
    struct kn_join_member *members;
    struct kn_future_ready *readies;
    struct wait *waits;
    struct kn_future_join_all join;
};

static void *open_join(void)
{
    struct join *join = bench_allocate(sizeof(*join));
    poller_init(&join->poller);
    join->members = bench_allocate(FUTURE_MEMBERS * sizeof(*join->members));
    join->readies = bench_allocate(FUTURE_MEMBERS * sizeof(*join->readies));
    join->waits = bench_allocate(FUTURE_MEMBERS * sizeof(*join->waits));
    return join;
}

static void close_join(void *context)
{
    struct join *join = context;
    free(join->members);
    free(join->readies);
    free(join->waits);
    free(join);
}

static uint64_t sum_members(const struct join *join)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < FUTURE_MEMBERS; i++)
        sum += join->members[i].outcome.value.natural;
    return sum;
}

static double run_join_ready(void *context, uint64_t count, uint64_t *result)
{
    struct join *join = context;
    double start_ns = bench_now_ns();
    for (uint64_t left = count / FUTURE_MEMBERS; left > 0; left--) {
        for (size_t i = 0; i < FUTURE_MEMBERS; i++)
            join->members[i].future = kn_future_ready(&join->readies[i], KN_VALUE((uint64_t)1));
        struct kn_outcome outcome =
            poll_once(&join->poller, kn_future_join_all(&join->join, join->members, FUTURE_MEMBERS));
        if (outcome.status == KN_READY)
            *result += sum_members(join);
    }
    return bench_now_ns() - start_ns;
}

static double run_join_pending(void *context, uint64_t count, uint64_t *result)
{
    struct join *join = context;
    double start_ns = bench_now_ns();
    for (uint64_t left = count / FUTURE_MEMBERS; left > 0; left--) {
        for (size_t i = 0; i < FUTURE_MEMBERS; i++) {
            join->waits[i] = (struct wait){.future.type = &wait_type};
            join->members[i].future = &join->waits[i].future;
        }
        struct kn_future *future = kn_future_join_all(&join->join, join->members, FUTURE_MEMBERS);
        (void)poll_once(&join->poller, future);
        for (size_t i = 0; i < FUTURE_MEMBERS; i++) {
            join->waits[i].told = true;
            kn_waker_wake(join->waits[i].waker);
        }
        if (poll_once(&join->poller, future).status == KN_READY)
            *result += sum_members(join);
    }
    return bench_now_ns() - start_ns;
}

struct set {
    struct poller poller;
    struct kn_future_set set;
    struct kn_future_member *members;
    struct wait *waits;
    size_t count;
    size_t next;
};

static void close_set(void *context)
{
    struct set *set = context;
    kn_stream_drop(&set->set.stream);
    free(set->members);
    free(set->waits);
    free(set);
}

static void *open_set(size_t count)
{
    struct set *set = bench_allocate(sizeof(*set));
    poller_init(&set->poller);
    set->count = count;
    set->members = bench_allocate(count * sizeof(*set->members));
    set->waits = bench_allocate(count * sizeof(*set->waits));
    struct kn_stream *stream = kn_future_set(&set->set);
    for (size_t i = 0; i < count; i++) {
        set->waits[i].future.type = &wait_type;
        if (kn_future_set_add(&set->set, &set->members[i], &set->waits[i].future) < 0)
            abort();
    }
    set->poller.executor.budget = UINT32_MAX;
    (void)kn_stream_poll(stream, &set->poller.context);
    return set;
}

static void *open_set_few(void)
{
    return open_set(FUTURE_MEMBERS_FEW);
}

static void *open_set_many(void)
{
    return open_set(FUTURE_MEMBERS);
}

/* A member is woken, its answer taken, and put into the set again. */
static double run_set(void *context, uint64_t count, uint64_t *result)
{
    struct set *set = context;
    struct kn_stream *stream = &set->set.stream;
    set->poller.executor.budget = UINT32_MAX;
    double start_ns = bench_now_ns();
    for (uint64_t left = count; left > 0; left--) {
        struct wait *wait = &set->waits[set->next];
        wait->told = true;
        kn_waker_wake(wait->waker);
        *result += kn_stream_poll(stream, &set->poller.context).value.natural;
        wait->told = false;
        (void)kn_future_set_add(&set->set, kn_future_set_last(&set->set), &wait->future);
        (void)kn_stream_poll(stream, &set->poller.context);
        set->next = (set->next + FUTURE_SET_STRIDE) % set->count;
    }
    return bench_now_ns() - start_ns;
}

/* ---- channels ---- */

struct channel {
    struct poller poller;
    struct kn_channel channel;
    struct kn_future_channel_send send;
    struct kn_future_channel_receive receive;
};

static void *open_channel(void)
{
    struct channel *channel = bench_allocate(sizeof(*channel));
    poller_init(&channel->poller);
    const struct kn_channel_options options = {.capacity = FUTURE_CHANNEL_SLOTS};
    if (kn_channel_open(&channel->channel, &options) == 0)
        return channel;
    free(channel);
    return NULL;
}

static void close_channel(void *context)
{
    struct channel *channel = context;
    kn_channel_destroy(&channel->channel);
    free(channel);
}

/* A future is made and polled for each message sent, and for each received. */
static double run_bursts(struct channel *channel, uint64_t count, uint64_t burst, uint64_t *result)
{
    double start_ns = bench_now_ns();
    for (uint64_t left = count / burst; left > 0; left--) {
        for (uint64_t i = 0; i < burst; i++)
            (void)poll_once(&channel->poller,
                            kn_future_channel_send(&channel->send, &channel->channel, KN_VALUE((uint64_t)1)));
        for (uint64_t i = 0; i < burst; i++)
            *result += poll_once(&channel->poller, kn_future_channel_receive(&channel->receive, &channel->channel))
                           .value.natural;
    }
    return bench_now_ns() - start_ns;
}

static double run_channel_one(void *context, uint64_t count, uint64_t *result)
{
    return run_bursts(context, count, 1, result);
}

static double run_channel_many(void *context, uint64_t count, uint64_t *result)
{
    return run_bursts(context, count, FUTURE_CHANNEL_BURST, result);
}

const struct future_implementation future_kernel[] = {
    {"kernel", BENCH_OURS, FUTURE_MAP, open_chain, free, run_map},
    {"kernel", BENCH_OURS, FUTURE_AND_THEN, open_chain, free, run_and_then},
    {"kernel", BENCH_OURS, FUTURE_RESUME, open_resume, free, run_resume},
    {"kernel", BENCH_OURS, FUTURE_AWAIT_READY, open_chain, free, run_await_ready},
    {"kernel", BENCH_OURS, FUTURE_JOIN_READY, open_join, close_join, run_join_ready},
    {"kernel", BENCH_OURS, FUTURE_JOIN_PENDING, open_join, close_join, run_join_pending},
    {"kernel", BENCH_OURS, FUTURE_SET_FEW, open_set_few, close_set, run_set},
    {"kernel", BENCH_OURS, FUTURE_SET_MANY, open_set_many, close_set, run_set},
    {"kernel", BENCH_OURS, FUTURE_CHANNEL_ONE, open_channel, close_channel, run_channel_one},
    {"kernel", BENCH_OURS, FUTURE_CHANNEL_MANY, open_channel, close_channel, run_channel_many},
    {NULL, BENCH_OURS, FUTURE_CASES, NULL, NULL, NULL},
};
