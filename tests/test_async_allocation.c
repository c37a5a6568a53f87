/*
 * Counts what futures, streams, channels and tasks take from the heap and from the system once they are made: nothing.
 * Stands in for the allocator, which the sanitizers do as well: under them these tests are skipped.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include <kernel/kernel.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif

/* What was asked for while `counting`; everything here is one thread. */
static volatile bool counting;
static volatile uint64_t allocations;

#ifndef SANITIZED
void *__libc_malloc(size_t length);
void *__libc_calloc(size_t number, size_t length);
void *__libc_realloc(void *memory, size_t length);
void *__libc_memalign(size_t alignment, size_t length);

void *malloc(size_t length)
{
    allocations += counting;
    return __libc_malloc(length);
}

void *calloc(size_t number, size_t length)
{
    allocations += counting;
    return __libc_calloc(number, length);
}

void *realloc(void *memory, size_t length)
{
    allocations += counting;
    return __libc_realloc(memory, length);
}

void *aligned_alloc(size_t alignment, size_t length)
{
    allocations += counting;
    return __libc_memalign(alignment, length);
}

void *mmap(void *address, size_t length, int protection, int flags, int descriptor, off_t offset)
{
    allocations += counting;
    return (void *)syscall(SYS_mmap, address, length, protection, flags, descriptor, offset);
}
#endif

static void skip_if_sanitized(void)
{
#ifdef SANITIZED
    print_message("skipped: a sanitizer holds the allocator\n");
    skip();
#endif
}

/* ---- a day's work ---- */

enum { CHILDREN = 20, VALUES = 200, AT_ONCE = 4, LOT = 8 };

struct child {
    KN_ASYNC_STATE;
    struct kn_channel *channel;
    struct kn_mutex *mutex;
    int64_t *sum;
    int64_t number;
    struct kn_mutex_lock lock;
    struct kn_future_delay delay;
    struct kn_future_channel_send send;
    struct kn_future_member member;
};

KN_ASYNC(child)
{
    KN_BEGIN;
    KN_TRY(kn_mutex_lock(&self->lock, self->mutex));
    *self->sum += self->number;
    KN_TRY(kn_future_delay(&self->delay, 1000));
    kn_mutex_unlock(self->mutex);
    KN_TRY(kn_future_channel_send(&self->send, self->channel, KN_VALUE(self->number)));
    KN_FINISH;
}

struct parent {
    KN_ASYNC_STATE;
    struct kn_nursery nursery;
    struct kn_channel *channel;
    struct kn_mutex mutex;
    struct child children[CHILDREN];
    int next;
    int received;
    int64_t sum;
    int64_t received_sum;
    struct kn_future_channel_receive receive;
    struct kn_future_remote handle;
};

static struct kn_future *squared_elsewhere(struct parent *self, struct kn_context *context)
{
    struct kn_remote *remote = kn_remote_acquire(context->executor->reactor);
    struct kn_future *yield = remote ? KN_IN(&remote->task.arena, kn_future_yield) : NULL;
    return kn_future_remote(&self->handle, remote, yield, context->executor->reactor, NULL);
}

KN_ASYNC(parent)
{
    KN_BEGIN;
    for (self->next = 0; self->next < CHILDREN; self->next++) {
        struct child *each = &self->children[self->next];
        *each =
            (struct child){.channel = self->channel, .mutex = &self->mutex, .sum = &self->sum, .number = self->next};
        if (kn_nursery_start(&self->nursery, &each->member, child(each)) < 0)
            KN_FAIL(-ENOMEM);
    }
    for (self->received = 0; self->received < CHILDREN; self->received++) {
        KN_TRY(kn_future_channel_receive(&self->receive, self->channel));
        self->received_sum += KN_OUTCOME.value.integer;
    }
    KN_TRY(squared_elsewhere(self, context));
    KN_RETURN(self->received_sum);
}

static struct kn_future *yields(kn_value_t value, size_t slot, void *context)
{
    (void)value;
    return kn_future_yield((struct kn_future_yield *)context + slot);
}

static kn_value_t count_up(kn_value_t total, kn_value_t value, void *context)
{
    (void)value;
    (void)context;
    return KN_VALUE(total.integer + 1);
}

/* A stream of many combinators, in an arena. */
static struct kn_future *make_stream(struct kn_arena *arena, kn_value_t *lot, struct kn_stream_job *jobs,
                                     struct kn_future_yield *slots)
{
    struct kn_stream *stream = KN_IN(arena, kn_stream_range, 0, VALUES, 1);
    stream = KN_IN(arena, kn_stream_throttle, stream, 1000);
    stream = KN_IN(arena, kn_stream_chunks, stream, lot, LOT);
    stream = KN_IN(arena, kn_stream_buffered, stream, yields, slots, jobs, AT_ONCE);
    return KN_IN(arena, kn_stream_fold, stream, KN_VALUE(0), count_up, NULL, NULL);
}

static void note(struct kn_future_task *task, struct kn_outcome outcome, void *context)
{
    (void)task;
    *(struct kn_outcome *)context = outcome;
}

static void nothing_is_allocated_once_all_is_made(void **state)
{
    (void)state;
    skip_if_sanitized();
    static uint8_t memory[16384];
    static struct parent root;
    static struct kn_stream_job jobs[AT_ONCE];
    static struct kn_future_yield slots[AT_ONCE];
    static struct kn_future_task tasks[2];
    kn_value_t lot[LOT];
    struct kn_channel channel;
    struct kn_arena arena;
    struct kn_runtime *runtime;
    struct kn_channel_options channel_options = {.capacity = 4};
    struct kn_runtime_options options = {.reactors = 1, .unpinned = true, .pool_tasks = 4, .pool_task_bytes = 512};
    kn_arena_init(&arena, memory, sizeof memory);
    assert_int_equal(kn_channel_open(&channel, &channel_options), 0);
    assert_int_equal(kn_runtime_open(&runtime, &options), 0);
    struct kn_reactor *reactor = kn_runtime_reactor(runtime, 0);
    assert_in_range(kn_reactor_turn(reactor, 0), 0, 1); /* the first turn reads the clock */
    struct kn_outcome outcomes[2] = {kn_pending(), kn_pending()};
    root = (struct parent){.channel = &channel};
    kn_mutex_init(&root.mutex);

    counting = true;
    struct kn_future *scope = kn_nursery(&root.nursery, parent(&root), NULL, NULL);
    struct kn_future_options first = {.finished = note, .context = &outcomes[0]};
    struct kn_future_options second = {.finished = note, .context = &outcomes[1]};
    int turned = 0;
    int spawned = kn_future_spawn(&tasks[0], scope, reactor, &first);
    spawned += kn_future_spawn(&tasks[1], make_stream(&arena, lot, jobs, slots), reactor, &second);
    while (outcomes[0].status == KN_PENDING || outcomes[1].status == KN_PENDING)
        turned |= kn_reactor_turn(reactor, (int64_t)KN_MILLISECOND_NS);
    counting = false;

    assert_int_equal(spawned, 0);
    assert_true(turned >= 0);
    assert_int_equal(outcomes[0].value.integer, CHILDREN * (CHILDREN - 1) / 2);
    assert_int_equal(outcomes[1].value.integer, VALUES / LOT);
    assert_int_equal(allocations, 0);
    kn_runtime_close(runtime);
    kn_channel_destroy(&channel);
}

static void the_counter_counts(void **state)
{
    (void)state;
    skip_if_sanitized();
    counting = true;
    void *volatile memory = malloc(10);
    counting = false;
    free(memory);
    assert_int_equal(allocations, 1);
    allocations = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_counter_counts),
        cmocka_unit_test(nothing_is_allocated_once_all_is_made),
    };
    return cmocka_run_group_tests_name("async_allocation", tests, NULL, NULL);
}
