/* How a reactor sleeps and is woken. */
#include <errno.h>
#include <sched.h>

#include "reactors.h"
#include "sched/park.h"

/* Every claim is made twice: as this system is, and as one without membarrier. */
static struct kn_park open_park(bool pays)
{
    struct kn_park park = {0};
    kn_park_init(&park);
    if (pays)
        atomic_fetch_or(&park.word, KN_PARK_NO_MEMBARRIER);
    return park;
}

static bool is_parked(struct kn_park *park)
{
    return (park->word & KN_PARKED) != 0;
}

/* Input and output that notes what it is told. */
struct face {
    _Atomic unsigned polls;
    _Atomic unsigned wakes;
    int64_t timeout_ns;
    int answer;
};

static int face_poll(void *context, int64_t timeout_ns)
{
    struct face *face = context;
    face->timeout_ns = timeout_ns;
    face->polls++;
    return face->answer;
}

static void face_wake(void *context)
{
    struct face *face = context;
    face->wakes++;
}

static const struct kn_reactor_io *io_of(struct face *face, struct kn_reactor_io *io)
{
    *io = (struct kn_reactor_io){.context = face, .poll = face_poll, .wake = face_wake};
    return io;
}

static void park_does_not_sleep_when_it_was_woken_before(void **state)
{
    (void)state;
    for (int pays = 0; pays <= 1; pays++) {
        struct kn_park park = open_park(pays);
        kn_park_begin(&park);
        assert_true(is_parked(&park));
        kn_park_notify(&park);
        assert_false(is_parked(&park));
        assert_int_equal(kn_park_sleep(&park, UINT64_MAX), 0); /* or this would never end */
        kn_park_end(&park);
        assert_false(is_parked(&park));
    }
}

static void park_sleeps_until_a_time(void **state)
{
    (void)state;
    for (int pays = 0; pays <= 1; pays++) {
        struct kn_park park = open_park(pays);
        uint64_t until_ns = kn_clock_monotonic_ns() + 3000000;
        kn_park_begin(&park);
        while (kn_clock_monotonic_ns() < until_ns) /* again after a signal, as a reactor would */
            assert_int_equal(kn_park_sleep(&park, until_ns), 0);
        assert_true(is_parked(&park));
        assert_int_equal(kn_park_sleep(&park, 1), 0); /* long past */
        kn_park_end(&park);
        assert_false(is_parked(&park));
    }
}

static void park_sleeps_in_its_input_and_output(void **state)
{
    (void)state;
    struct kn_park park = open_park(false);
    struct face face = {.answer = 7};
    struct kn_reactor_io io;
    kn_park_set_io(&park, io_of(&face, &io));
    kn_park_begin(&park);
    assert_int_equal(kn_park_sleep(&park, UINT64_MAX), 7);
    assert_int_equal(face.timeout_ns, -1);
    uint64_t until_ns = kn_clock_monotonic_ns() + UINT64_C(1000000000000);
    assert_int_equal(kn_park_sleep(&park, until_ns), 7);
    assert_in_range(face.timeout_ns, 1, UINT64_C(1000000000000));
    assert_int_equal(kn_park_sleep(&park, 1), 7);
    assert_int_equal(face.timeout_ns, 0);
    face.answer = -EPIPE;
    assert_int_equal(kn_park_sleep(&park, 1), -EPIPE);
    kn_park_end(&park);
    assert_int_equal(face.polls, 4);
    assert_int_equal(face.wakes, 0);
}

static void park_wakes_its_input_and_output_once(void **state)
{
    (void)state;
    for (int pays = 0; pays <= 1; pays++) {
        struct kn_park park = open_park(pays);
        struct face face = {0};
        struct kn_reactor_io io;
        kn_park_set_io(&park, io_of(&face, &io));
        kn_park_notify(&park); /* nobody sleeps */
        assert_int_equal(face.wakes, 0);
        kn_park_begin(&park);
        for (unsigned i = 0; i < 5; i++)
            kn_park_notify(&park);
        assert_int_equal(face.wakes, 1);
        kn_park_end(&park);
        kn_park_notify(&park);
        assert_int_equal(face.wakes, 1);
        kn_park_begin(&park);
        kn_park_notify(&park);
        assert_int_equal(face.wakes, 2);
        kn_park_end(&park);
        kn_park_set_io(&park, NULL);
        kn_park_begin(&park);
        kn_park_notify(&park);
        assert_int_equal(kn_park_sleep(&park, UINT64_MAX), 0);
        assert_int_equal(face.wakes + face.polls, 2);
        kn_park_end(&park);
    }
}

/* ---- with a thread that sends ---- */

enum { ROUNDS = 50000 };

struct pair {
    KN_OWNED struct kn_park park;
    KN_OWNED _Atomic uint64_t sent;
    KN_OWNED _Atomic uint64_t received;
};

/* Sends numbers, three of four of them when the one before was received. */
static void *send_numbers(void *argument)
{
    struct pair *pair = argument;
    for (uint64_t i = 1; i <= ROUNDS; i++) {
        while (i % 4 != 0 && atomic_load_explicit(&pair->received, memory_order_relaxed) != i - 1)
            sched_yield();
        atomic_store_explicit(&pair->sent, i, memory_order_release);
        kn_park_notify(&pair->park);
    }
    return NULL;
}

static void park_loses_no_wake_up(void **state)
{
    (void)state;
    for (int pays = 0; pays <= 1; pays++) {
        static struct pair pair;
        pair = (struct pair){.park = open_park(pays)};
        pthread_t thread;
        unsigned sleeps = 0;
        assert_int_equal(pthread_create(&thread, NULL, send_numbers, &pair), 0);
        uint64_t seen = 0;
        while (seen < ROUNDS) {
            uint64_t sent = atomic_load_explicit(&pair.sent, memory_order_acquire);
            if (sent == seen) {
                kn_park_begin(&pair.park);
                sent = atomic_load_explicit(&pair.sent, memory_order_acquire);
                if (sent == seen) {
                    (void)kn_park_sleep(&pair.park, UINT64_MAX);
                    sleeps++;
                }
                kn_park_end(&pair.park);
                sent = atomic_load_explicit(&pair.sent, memory_order_acquire);
            }
            assert_true(sent >= seen);
            seen = sent;
            atomic_store_explicit(&pair.received, seen, memory_order_relaxed);
        }
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_true(sleeps > 0);
        assert_int_equal(pair.park.word & ~(uint32_t)KN_PARK_NO_MEMBARRIER, 0);
    }
}

/* Input and output that counts its uses after it was taken away. */
struct mortal {
    _Atomic bool is_dead;
    _Atomic unsigned late;
};

static int mortal_poll(void *context, int64_t timeout_ns)
{
    (void)context;
    (void)timeout_ns;
    return 0;
}

static void mortal_wake(void *context)
{
    struct mortal *mortal = context;
    sched_yield();
    mortal->late += mortal->is_dead;
}

static void *notify_without_end(void *argument)
{
    struct pair *pair = argument;
    while (pair->received == 0)
        kn_park_notify(&pair->park);
    return NULL;
}

static void park_leaves_input_and_output_alone_once_it_was_replaced(void **state)
{
    (void)state;
    static struct pair pair;
    static struct mortal mortals[2000];
    pair = (struct pair){.park = open_park(false)};
    pthread_t threads[2];
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, notify_without_end, &pair), 0);
    for (unsigned i = 0; i < 2000; i++) {
        struct kn_reactor_io io = {.context = &mortals[i], .poll = mortal_poll, .wake = mortal_wake};
        kn_park_set_io(&pair.park, &io);
        kn_park_begin(&pair.park);
        (void)kn_park_sleep(&pair.park, UINT64_MAX);
        kn_park_end(&pair.park);
        kn_park_set_io(&pair.park, NULL);
        mortals[i].is_dead = true;
    }
    pair.received = 1;
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (unsigned i = 0; i < 2000; i++)
        assert_int_equal(mortals[i].late, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(park_does_not_sleep_when_it_was_woken_before),
        cmocka_unit_test(park_sleeps_until_a_time),
        cmocka_unit_test(park_sleeps_in_its_input_and_output),
        cmocka_unit_test(park_wakes_its_input_and_output_once),
        cmocka_unit_test(park_loses_no_wake_up),
        cmocka_unit_test(park_leaves_input_and_output_alone_once_it_was_replaced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
