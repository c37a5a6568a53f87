/*
 * Counts what the server takes from the heap by standing in for the allocator, which the sanitizers do as well: under
 * them these tests are skipped.
 */
#include "loopback.h"

#include <sys/mman.h>
#include <sys/syscall.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif

/* What was asked for while `counting`; everything here is one thread. */
static bool counting;
static uint64_t allocations;
static uint64_t allocated_bytes;

#ifndef SANITIZED
void *__libc_malloc(size_t length);
void *__libc_calloc(size_t count, size_t length);
void *__libc_realloc(void *memory, size_t length);
void *__libc_memalign(size_t alignment, size_t length);

static void count(size_t length)
{
    if (!counting)
        return;
    allocations++;
    allocated_bytes += length;
}

void *malloc(size_t length)
{
    count(length);
    return __libc_malloc(length);
}

void *calloc(size_t number, size_t length)
{
    count(number * length);
    return __libc_calloc(number, length);
}

void *realloc(void *memory, size_t length)
{
    count(length);
    return __libc_realloc(memory, length);
}

void *aligned_alloc(size_t alignment, size_t length)
{
    count(length);
    return __libc_memalign(alignment, length);
}

void *mmap(void *address, size_t length, int protection, int flags, int descriptor, off_t offset)
{
    count(length);
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

static void turn(struct kn_server *server)
{
    counting = true;
    int result = kn_server_turn(server, 0);
    counting = false;
    assert_int_equal(result, 0);
}

enum { CLIENTS = 20 };

/* One round: whole lines, many lines at once, a line in two halves, and one larger than the receive buffer's share. */
static void exchange(struct kn_server *server, const int *clients)
{
    static char text[40000];
    static char answer[40000];
    static const size_t lengths[] = {64, 64, 1000, 64, 40000};
    for (unsigned k = 0; k < sizeof(lengths) / sizeof(lengths[0]); k++) {
        memset(text, 'x', lengths[k]);
        text[lengths[k] / 3] = '\n';
        text[lengths[k] - 1] = '\n';
        size_t half = lengths[k] / 2;
        for (unsigned i = 0; i < CLIENTS; i++)
            assert_int_equal(loopback_send(clients[i], text, half), half);
        for (unsigned i = 0; i < 20; i++)
            turn(server);
        for (unsigned i = 0; i < CLIENTS; i++)
            assert_int_equal(loopback_send(clients[i], text + half, lengths[k] - half), lengths[k] - half);
        for (unsigned i = 0; i < CLIENTS; i++) {
            size_t received = 0;
            bool ended = false;
            while (received < lengths[k] && !ended) {
                turn(server);
                received += loopback_receive(clients[i], answer + received, lengths[k] - received, &ended);
            }
            assert_int_equal(received, lengths[k]);
            assert_memory_equal(answer, text, lengths[k]);
        }
    }
}

static void messages_and_readable_events_allocate_nothing_once_warm(void **state)
{
    (void)state;
    skip_if_sanitized();
    struct loopback_record record = {0};
    struct kn_server *server = loopback_server((struct kn_server_options){0}, loopback_line_handler(&record));
    int clients[CLIENTS];
    for (unsigned i = 0; i < CLIENTS; i++)
        clients[i] = loopback_connect(server);
    LOOPBACK_UNTIL(server, record.opened == CLIENTS);
    allocations = 0;
    exchange(server, clients);
    assert_true(allocations > 0); /* the counter does count: the pool filled */
    uint64_t events_before = LOOPBACK_COUNTED(server, readable_events);
    allocations = 0;
    for (unsigned i = 0; i < 50; i++)
        exchange(server, clients);
    assert_true(LOOPBACK_COUNTED(server, readable_events) - events_before >= 50 * 5 * CLIENTS);
    assert_int_equal(allocations, 0);
    for (unsigned i = 0; i < CLIENTS; i++)
        close(clients[i]);
    kn_server_close(server);
}

static void accepting_and_closing_allocates_nothing(void **state)
{
    (void)state;
    skip_if_sanitized();
    struct loopback_record record = {0};
    struct kn_server *server = loopback_server((struct kn_server_options){0}, loopback_line_handler(&record));
    allocations = 0;
    for (unsigned i = 0; i < 1000; i++) {
        int client = loopback_connect(server);
        while (record.opened == i)
            turn(server);
        close(client);
        while (record.closed == i)
            turn(server);
    }
    assert_int_equal(allocations, 0);
    kn_server_close(server);
}

static uint64_t bytes_to_open(uint32_t max_connections)
{
    struct loopback_record record = {0};
    allocated_bytes = 0;
    counting = true;
    struct kn_server *server =
        loopback_server((struct kn_server_options){.max_connections = max_connections}, loopback_echo_handler(&record));
    counting = false;
    kn_server_close(server);
    return allocated_bytes;
}

static void idle_connection_costs_at_most_512_bytes(void **state)
{
    (void)state;
    skip_if_sanitized();
    uint64_t few = bytes_to_open(1);
    uint64_t many = bytes_to_open(100001);
    assert_true(few > 0);
    assert_true(many - few <= 100000 * 512);

    /* And its first message leaves nothing allocated for it. */
    struct loopback_record record = {0};
    struct kn_server *server = loopback_server((struct kn_server_options){0}, loopback_echo_handler(&record));
    int first = loopback_connect(server);
    loopback_expect_echo(server, first, "hello");
    allocations = 0;
    int others[100];
    for (unsigned i = 0; i < 100; i++) {
        others[i] = loopback_connect(server);
        counting = true;
        loopback_expect_echo(server, others[i], "hello");
        counting = false;
    }
    assert_int_equal(allocations, 0);
    for (unsigned i = 0; i < 100; i++)
        close(others[i]);
    close(first);
    kn_server_close(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_and_readable_events_allocate_nothing_once_warm),
        cmocka_unit_test(accepting_and_closing_allocates_nothing),
        cmocka_unit_test(idle_connection_costs_at_most_512_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
