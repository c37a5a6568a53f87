/* Sleeping and waking: no wake-up is lost, and nobody pays who does not sleep. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <kernel/clock.h>
#include <kernel/eventcount.h>

/* Parks after the first look that finds nothing. */
static const struct kn_wait PARK = {.strategy = KN_WAIT_PARK, .attempts = 1};

/* The least of things that threads can wait for: items that they compete for. */
struct shelf {
    KN_OWNED _Atomic uint64_t items;
    _Atomic uint64_t taken;
    _Atomic uint64_t long_waits;
    _Atomic bool closed;
    KN_OWNED struct kn_eventcount event;
};

static void shelf_init(struct shelf *shelf)
{
    *shelf = (struct shelf){0};
    kn_eventcount_init(&shelf->event, false);
}

static void put(struct shelf *shelf, uint64_t count)
{
    atomic_fetch_add_explicit(&shelf->items, count, memory_order_relaxed);
    kn_eventcount_notify(&shelf->event, (uint32_t)count);
}

static void close_shelf(struct shelf *shelf)
{
    /* Release pairs with the acquire load in take: what was put before is seen before. */
    atomic_store_explicit(&shelf->closed, true, memory_order_release);
    kn_eventcount_notify(&shelf->event, KN_EVENTCOUNT_ALL);
}

static bool try_take(struct shelf *shelf)
{
    uint64_t items = atomic_load_explicit(&shelf->items, memory_order_relaxed);
    while (items != 0)
        if (atomic_compare_exchange_weak_explicit(&shelf->items, &items, items - 1, memory_order_relaxed,
                                                  memory_order_relaxed))
            return true;
    return false;
}

/* Whether a wait took so long that its sleep ended by itself: so it does when the wake-up was lost. */
static bool was_long(const struct kn_waiter *waiter)
{
    return waiter->long_ns != 0 && (int64_t)kn_clock_monotonic_ns() >= waiter->long_ns;
}

/* Takes an item. @return 0; -EPIPE closed and empty; -ETIMEDOUT. */
static int take(struct shelf *shelf, const struct kn_wait *how)
{
    struct kn_waiter waiter;
    kn_waiter_begin(&waiter, &shelf->event, how);
    int result = 0;
    while (result == 0) {
        /* Acquire pairs with the release store in close_shelf. */
        bool closed = atomic_load_explicit(&shelf->closed, memory_order_acquire);
        if (try_take(shelf))
            break;
        bool waited_long;
        result = closed ? -EPIPE : kn_waiter_pause(&waiter, &waited_long);
    }
    kn_waiter_end(&waiter);
    atomic_fetch_add_explicit(&shelf->long_waits, was_long(&waiter), memory_order_relaxed);
    if (result == 0)
        atomic_fetch_add_explicit(&shelf->taken, 1, memory_order_relaxed);
    return result;
}

static uint32_t sleepers_of(struct shelf *shelf)
{
    return atomic_load_explicit(&shelf->event.sleepers, memory_order_relaxed) & ~KN_EVENTCOUNT_NO_MEMBARRIER;
}

static uint32_t epoch_of(struct shelf *shelf)
{
    return atomic_load_explicit(&shelf->event.epoch, memory_order_relaxed);
}

static void wait_for_sleepers(struct shelf *shelf, uint32_t count)
{
    while (sleepers_of(shelf) != count)
        usleep(100);
    usleep(2000); /* they are counted a moment before they sleep */
}

static void *take_one(void *argument)
{
    return (void *)(intptr_t)take(argument, &PARK);
}

static pthread_t start(void *(*function)(void *), void *argument)
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, function, argument), 0);
    return thread;
}

static int finish(pthread_t thread)
{
    void *result;
    assert_int_equal(pthread_join(thread, &result), 0);
    return (int)(intptr_t)result;
}

/* Calls pause until the thread is counted, without a look that finds anything. */
static void prepare(struct kn_waiter *waiter)
{
    bool waited_long;
    while (!waiter->prepared)
        assert_int_equal(kn_waiter_pause(waiter, &waited_long), 0);
}

static void event_wakes_a_sleeper(void **state)
{
    (void)state;
    struct shelf shelf;
    shelf_init(&shelf);
    pthread_t thread = start(take_one, &shelf);
    wait_for_sleepers(&shelf, 1);
    put(&shelf, 1);
    assert_int_equal(finish(thread), 0);
    assert_int_equal(shelf.taken, 1);
    assert_int_equal(sleepers_of(&shelf), 0);
}

static void *take_all(void *argument)
{
    struct shelf *shelf = argument;
    for (int strategy = KN_WAIT_PAUSE; strategy <= KN_WAIT_PARK; strategy++)
        if (take(shelf, &(struct kn_wait){.strategy = (enum kn_wait_strategy)strategy}) != 0)
            return (void *)(intptr_t)-1;
    return NULL;
}

static void event_ends_the_wait_of_every_strategy(void **state)
{
    (void)state;
    struct shelf shelf;
    shelf_init(&shelf);
    pthread_t thread = start(take_all, &shelf);
    for (uint64_t i = 0; i <= KN_WAIT_PARK; i++) {
        while (shelf.taken != i)
            usleep(100);
        usleep(1000);
        put(&shelf, 1);
    }
    assert_int_equal(finish(thread), 0);
}

static void event_notify_changes_nothing_while_nobody_sleeps(void **state)
{
    (void)state;
    struct shelf shelf;
    shelf_init(&shelf);
    uint32_t epoch = epoch_of(&shelf);
    for (int i = 0; i < 1000; i++)
        put(&shelf, 1);
    assert_int_equal(epoch_of(&shelf), epoch);
    kn_eventcount_wake(&shelf.event, 1);
    assert_int_equal(epoch_of(&shelf), epoch);
    atomic_fetch_or(&shelf.event.sleepers, KN_EVENTCOUNT_NO_MEMBARRIER);
    put(&shelf, 1);
    assert_int_equal(epoch_of(&shelf), epoch);
}

static void waiter_that_ends_before_it_sleeps_leaves_no_count(void **state)
{
    (void)state;
    struct shelf shelf;
    shelf_init(&shelf);
    struct kn_waiter waiter;
    kn_waiter_begin(&waiter, &shelf.event, &PARK);
    assert_int_equal(sleepers_of(&shelf), 0);
    kn_waiter_end(&waiter);
    assert_int_equal(sleepers_of(&shelf), 0);
    kn_waiter_begin(&waiter, &shelf.event, &PARK);
    prepare(&waiter);
    assert_int_equal(sleepers_of(&shelf), 1);
    kn_waiter_end(&waiter);
    assert_int_equal(sleepers_of(&shelf), 0);
}

static void waiter_looks_as_often_as_asked_before_it_is_counted(void **state)
{
    (void)state;
    struct shelf shelf;
    shelf_init(&shelf);
    struct kn_wait how = {.strategy = KN_WAIT_PARK, .attempts = 1000};
    struct kn_waiter waiter;
    kn_waiter_begin(&waiter, &shelf.event, &how);
    bool waited_long;
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(kn_waiter_pause(&waiter, &waited_long), 0);
        assert_int_equal(sleepers_of(&shelf), 0);
    }
    assert_int_equal(kn_waiter_pause(&waiter, &waited_long), 0);
    assert_int_equal(sleepers_of(&shelf), 1);
    kn_waiter_end(&waiter);
}

static long sleeps_of_this_thread(void)
{
    struct rusage usage;
    assert_int_equal(getrusage(RUSAGE_THREAD, &usage), 0);
    return usage.ru_nvcsw;
}

static void event_between_the_last_look_and_the_sleep_keeps_awake(void **state)
{
    (void)state;
    struct shelf shelf;
    shelf_init(&shelf);
    struct kn_waiter waiter;
    kn_waiter_begin(&waiter, &shelf.event, &PARK);
    for (int i = 0; i < 100; i++) {
        prepare(&waiter);
        put(&shelf, 1);
        assert_int_not_equal(waiter.epoch, epoch_of(&shelf));
        bool waited_long;
        long sleeps = sleeps_of_this_thread();
        assert_int_equal(kn_waiter_pause(&waiter, &waited_long), 0);
        assert_int_equal(sleeps_of_this_thread(), sleeps);
        assert_false(waiter.prepared);
    }
    kn_waiter_end(&waiter);
    assert_int_equal(sleepers_of(&shelf), 0);
}

static void waiter_gives_up_no_sooner_than_asked(void **state)
{
    (void)state;
    const int64_t timeouts_ns[] = {1, 1000000, 20000000};
    for (int strategy = KN_WAIT_PAUSE; strategy <= KN_WAIT_PARK; strategy++) {
        for (size_t i = 0; i < sizeof(timeouts_ns) / sizeof(timeouts_ns[0]); i++) {
            struct shelf shelf;
            shelf_init(&shelf);
            struct kn_wait how = {.strategy = (enum kn_wait_strategy)strategy, .timeout_ns = timeouts_ns[i]};
            uint64_t start_ns = kn_clock_monotonic_ns();
            assert_int_equal(take(&shelf, &how), -ETIMEDOUT);
            assert_true(kn_clock_monotonic_ns() - start_ns >= (uint64_t)timeouts_ns[i]);
            assert_int_equal(sleepers_of(&shelf), 0);
        }
    }
}

static void waiter_without_end_is_never_over_and_one_in_the_past_at_once(void **state)
{
    (void)state;
    struct shelf shelf;
    shelf_init(&shelf);
    struct kn_wait how = {.strategy = KN_WAIT_PARK, .attempts = 1, .timeout_ns = -1};
    assert_int_equal(take(&shelf, &how), -ETIMEDOUT);
    how.timeout_ns = INT64_MAX;
    struct kn_waiter waiter;
    kn_waiter_begin(&waiter, &shelf.event, &how);
    prepare(&waiter);
    kn_waiter_end(&waiter);
}

static void waiter_is_told_of_a_long_wait_whatever_the_strategy(void **state)
{
    (void)state;
    for (int strategy = KN_WAIT_PAUSE; strategy <= KN_WAIT_PARK; strategy++) {
        struct shelf shelf;
        shelf_init(&shelf);
        struct kn_wait how = {.strategy = (enum kn_wait_strategy)strategy};
        struct kn_waiter waiter;
        kn_waiter_begin(&waiter, &shelf.event, &how);
        uint64_t start_ns = kn_clock_monotonic_ns();
        bool waited_long = false;
        while (!waited_long)
            assert_int_equal(kn_waiter_pause(&waiter, &waited_long), 0);
        assert_true(kn_clock_monotonic_ns() - start_ns >= 100000000);
        kn_waiter_end(&waiter);
    }
}

static void event_wakes_many_sleepers_one_by_one(void **state)
{
    (void)state;
    enum { SLEEPERS = 6 };
    struct shelf shelf;
    shelf_init(&shelf);
    pthread_t threads[SLEEPERS];
    for (int i = 0; i < SLEEPERS; i++)
        threads[i] = start(take_one, &shelf);
    wait_for_sleepers(&shelf, SLEEPERS);
    for (uint64_t i = 1; i <= SLEEPERS; i++) {
        put(&shelf, 1);
        while (shelf.taken != i)
            usleep(100);
    }
    for (int i = 0; i < SLEEPERS; i++)
        assert_int_equal(finish(threads[i]), 0);
    assert_int_equal(sleepers_of(&shelf), 0);
}

static void event_wakes_all_sleepers_at_once(void **state)
{
    (void)state;
    enum { SLEEPERS = 6 };
    struct shelf shelf;
    shelf_init(&shelf);
    pthread_t threads[SLEEPERS];
    for (int i = 0; i < SLEEPERS; i++)
        threads[i] = start(take_one, &shelf);
    wait_for_sleepers(&shelf, SLEEPERS);
    close_shelf(&shelf);
    for (int i = 0; i < SLEEPERS; i++)
        assert_int_equal(finish(threads[i]), -EPIPE);
    assert_int_equal(sleepers_of(&shelf), 0);
}

/* ---- under stress ---- */

enum { TURNS = 20000, RACES = 5000, STRESS_ITEMS = 30000 };

/* A wake-up that is lost shows as a long wait. A machine that is busy with other things may cause a few as well. */
enum { LONG_WAITS_MAX = 50 };

/* Two threads that take turns, each asleep while it is not its own. */
struct game {
    struct shelf turns[2];
};

static void play(struct game *game, size_t me)
{
    for (uint64_t round = 0; round < TURNS && game->turns[me].long_waits <= LONG_WAITS_MAX; round++) {
        if (take(&game->turns[me], &PARK) != 0)
            break;
        put(&game->turns[!me], 1);
    }
    close_shelf(&game->turns[!me]);
}

static void *play_back(void *argument)
{
    play(argument, 1);
    return NULL;
}

static void play_game(uint32_t bit)
{
    struct game game;
    for (size_t i = 0; i < 2; i++) {
        shelf_init(&game.turns[i]);
        atomic_fetch_or(&game.turns[i].event.sleepers, bit);
    }
    pthread_t other = start(play_back, &game);
    put(&game.turns[0], 1);
    play(&game, 0);
    (void)finish(other);
    for (size_t i = 0; i < 2; i++) {
        assert_true(game.turns[i].long_waits <= LONG_WAITS_MAX);
        assert_int_equal(game.turns[i].taken, TURNS);
        assert_int_equal(sleepers_of(&game.turns[i]), 0);
        assert_int_not_equal(epoch_of(&game.turns[i]), 0);
    }
}

static void event_loses_no_wake_up_of_two_that_park_on_each_other(void **state)
{
    (void)state;
    play_game(0);
    play_game(KN_EVENTCOUNT_NO_MEMBARRIER);
}

/* Two threads that meet in each round: one posts, by a plain store, just when the other goes to sleep. */
struct race {
    KN_OWNED _Atomic uint64_t round; /* the sleeper is about to go to sleep */
    KN_OWNED _Atomic uint64_t posted;
    KN_OWNED struct kn_eventcount event;
    _Atomic uint64_t long_waits;
};

static bool race_goes_on(struct race *race, uint64_t round)
{
    return round <= RACES && race->long_waits <= LONG_WAITS_MAX;
}

/* Gives this thread the processor `index` of those it may use, as threads that wake each other tend to share one. */
static void run_on_processor(int index)
{
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0 || CPU_COUNT(&allowed) < 2)
        return;
    size_t processor = 0;
    while (!CPU_ISSET(processor, &allowed) || index-- > 0)
        processor++;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(processor, &one);
    (void)sched_setaffinity(0, sizeof(one), &one);
}

static void *post_each_round(void *argument)
{
    struct race *race = argument;
    run_on_processor(1);
    for (uint64_t round = 1; race_goes_on(race, round); round++) {
        for (unsigned looks = 0; race->round != round && race_goes_on(race, round); looks++)
            looks % 1024 == 1023 ? (void)sched_yield() : kn_cpu_relax();
        /* With the line of the count at hand and that of `posted` far, the load of the one passes the store. */
        for (uint64_t loads = round * 7 % 512; loads > 0; loads--)
            (void)atomic_load_explicit(&race->event.sleepers, memory_order_relaxed);
        atomic_store_explicit(&race->posted, round, memory_order_relaxed);
        kn_eventcount_notify(&race->event, 1);
    }
    return NULL;
}

/* @return how many waits were long, or -1 where somebody is still counted. */
static int run_race(bool shared)
{
    cpu_set_t allowed;
    bool bound = sched_getaffinity(0, sizeof(allowed), &allowed) == 0;
    struct race race = {.round = 0};
    kn_eventcount_init(&race.event, shared);
    pthread_t poster = start(post_each_round, &race);
    run_on_processor(0);
    for (uint64_t round = 1; race_goes_on(&race, round); round++) {
        struct kn_waiter waiter;
        kn_waiter_begin(&waiter, &race.event, &PARK);
        race.round = round;
        bool waited_long;
        while (atomic_load_explicit(&race.posted, memory_order_relaxed) < round)
            (void)kn_waiter_pause(&waiter, &waited_long);
        kn_waiter_end(&waiter);
        if (was_long(&waiter))
            race.long_waits++;
    }
    (void)finish(poster);
    if (bound)
        (void)sched_setaffinity(0, sizeof(allowed), &allowed);
    return (race.event.sleepers & ~KN_EVENTCOUNT_NO_MEMBARRIER) == 0 ? (int)race.long_waits : -1;
}

static void event_loses_no_wake_up_that_races_with_falling_asleep(void **state)
{
    (void)state;
    assert_in_range(run_race(false), 0, LONG_WAITS_MAX);
    assert_in_range(run_race(true), 0, LONG_WAITS_MAX);
}

static void *take_until_closed(void *argument)
{
    while (take(argument, &PARK) == 0)
        ;
    return NULL;
}

static void *put_many(void *argument)
{
    for (int i = 0; i < STRESS_ITEMS / 2; i++)
        put(argument, 1);
    return NULL;
}

static void event_serves_competing_sleepers_of_several_notifiers(void **state)
{
    (void)state;
    enum { TAKERS = 3 };
    struct shelf shelf;
    shelf_init(&shelf);
    pthread_t takers[TAKERS];
    for (int i = 0; i < TAKERS; i++)
        takers[i] = start(take_until_closed, &shelf);
    pthread_t putter = start(put_many, &shelf);
    (void)put_many(&shelf);
    (void)finish(putter);
    close_shelf(&shelf);
    for (int i = 0; i < TAKERS; i++)
        (void)finish(takers[i]);
    assert_int_equal(shelf.taken, STRESS_ITEMS);
    assert_true(shelf.long_waits <= LONG_WAITS_MAX);
    assert_int_equal(shelf.items, 0);
    assert_int_equal(sleepers_of(&shelf), 0);
}

/* ---- signals ---- */

static _Atomic unsigned signals_handled;

static void handle_signal(int number)
{
    (void)number;
    atomic_fetch_add_explicit(&signals_handled, 1, memory_order_relaxed);
}

static void catch_signals(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof(action));
    action.sa_handler = handle_signal; /* without SA_RESTART: the sleep must be interrupted */
    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
    signals_handled = 0;
}

static void signals_interrupt_a_sleeper_harmlessly(void **state)
{
    (void)state;
    struct shelf shelf;
    shelf_init(&shelf);
    catch_signals();
    pthread_t thread = start(take_one, &shelf);
    wait_for_sleepers(&shelf, 1);
    for (unsigned i = 1; i <= 50; i++) {
        assert_int_equal(pthread_kill(thread, SIGUSR1), 0);
        while (signals_handled != i)
            usleep(100);
    }
    assert_int_equal(shelf.taken, 0);
    put(&shelf, 1);
    assert_int_equal(finish(thread), 0);
    assert_int_equal(sleepers_of(&shelf), 0);
}

struct long_wait {
    struct shelf shelf;
    _Atomic bool told;
};

static void *wait_until_told(void *argument)
{
    struct long_wait *wait = argument;
    struct kn_waiter waiter;
    kn_waiter_begin(&waiter, &wait->shelf.event, &PARK);
    bool waited_long = false;
    while (!waited_long)
        (void)kn_waiter_pause(&waiter, &waited_long);
    kn_waiter_end(&waiter);
    wait->told = true;
    return NULL;
}

static void signals_and_vain_wake_ups_do_not_hide_a_long_wait(void **state)
{
    (void)state;
    struct long_wait wait = {.told = false};
    shelf_init(&wait.shelf);
    catch_signals();
    pthread_t thread = start(wait_until_told, &wait);
    while (!wait.told) {
        (void)pthread_kill(thread, SIGUSR1);
        kn_eventcount_notify(&wait.shelf.event, KN_EVENTCOUNT_ALL);
        usleep(1000);
    }
    (void)finish(thread);
}

/* ---- between processes ---- */

static struct shelf *map_shelf(void)
{
    void *memory = mmap(NULL, sizeof(struct shelf), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(memory, MAP_FAILED);
    return memory;
}

/* @return an exit status. */
static int take_in_process(struct shelf *shelf, int count)
{
    kn_eventcount_attach(&shelf->event);
    for (int i = 0; i < count; i++)
        if (take(shelf, &PARK) != 0)
            return 1;
    return 0;
}

static pid_t start_process(struct shelf *shelf, int count)
{
    pid_t process = fork();
    assert_true(process >= 0);
    if (process == 0)
        _exit(take_in_process(shelf, count));
    return process;
}

static int finish_process(pid_t process)
{
    int status;
    assert_int_equal(waitpid(process, &status, 0), process);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void event_wakes_a_sleeper_in_another_process(void **state)
{
    (void)state;
    struct shelf *shelf = map_shelf();
    kn_eventcount_init(&shelf->event, true);
    pid_t process = start_process(shelf, 100);
    for (uint64_t i = 0; i < 100; i++) {
        while (shelf->taken != i)
            usleep(10);
        wait_for_sleepers(shelf, 1);
        put(shelf, 1);
    }
    assert_int_equal(finish_process(process), 0);
    assert_true(shelf->long_waits <= LONG_WAITS_MAX);
    assert_int_equal(sleepers_of(shelf), 0);
    munmap(shelf, sizeof(*shelf));
}

static void process_killed_asleep_costs_the_others_nothing_but_a_count(void **state)
{
    (void)state;
    struct shelf *shelf = map_shelf();
    kn_eventcount_init(&shelf->event, true);
    pid_t killed = start_process(shelf, 1);
    wait_for_sleepers(shelf, 1);
    assert_int_equal(kill(killed, SIGKILL), 0);
    assert_int_equal(finish_process(killed), -SIGKILL);
    assert_int_equal(sleepers_of(shelf), 1);
    pid_t process = start_process(shelf, 3);
    for (uint64_t i = 0; i < 3; i++) {
        wait_for_sleepers(shelf, 2);
        put(shelf, 1);
        while (shelf->taken != i + 1)
            usleep(100);
    }
    assert_int_equal(finish_process(process), 0);
    assert_int_equal(sleepers_of(shelf), 1);
    munmap(shelf, sizeof(*shelf));
}

/* Has the system refuse membarrier to this process, as one that lacks it does. */
static bool forbid_membarrier(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof(filter) / sizeof(filter[0]), .filter = filter};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static bool can_forbid_membarrier(void)
{
    pid_t process = fork();
    assert_true(process >= 0);
    if (process == 0)
        _exit(forbid_membarrier() ? 0 : 1);
    return finish_process(process) == 0;
}

static void process_without_membarrier_has_the_others_pass_barriers(void **state)
{
    (void)state;
    if (!can_forbid_membarrier())
        skip();
    struct shelf *shelf = map_shelf();
    kn_eventcount_init(&shelf->event, true);
    assert_int_equal(shelf->event.sleepers, 0);
    pid_t process = fork();
    assert_true(process >= 0);
    if (process == 0)
        _exit(forbid_membarrier() ? take_in_process(shelf, 2) : 1);
    for (uint64_t i = 0; i < 2; i++) {
        wait_for_sleepers(shelf, 1);
        put(shelf, 1);
        while (shelf->taken != i + 1)
            usleep(100);
    }
    assert_int_equal(finish_process(process), 0);
    assert_int_equal(shelf->event.sleepers, KN_EVENTCOUNT_NO_MEMBARRIER);
    munmap(shelf, sizeof(*shelf));
}

static void event_loses_no_wake_up_where_there_is_no_membarrier(void **state)
{
    (void)state;
    if (!can_forbid_membarrier())
        skip();
    pid_t process = fork();
    assert_true(process >= 0);
    if (process == 0)
        _exit(forbid_membarrier() && (unsigned)run_race(false) <= LONG_WAITS_MAX ? 0 : 1);
    assert_int_equal(finish_process(process), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(event_wakes_a_sleeper),
        cmocka_unit_test(event_ends_the_wait_of_every_strategy),
        cmocka_unit_test(event_notify_changes_nothing_while_nobody_sleeps),
        cmocka_unit_test(waiter_that_ends_before_it_sleeps_leaves_no_count),
        cmocka_unit_test(waiter_looks_as_often_as_asked_before_it_is_counted),
        cmocka_unit_test(event_between_the_last_look_and_the_sleep_keeps_awake),
        cmocka_unit_test(waiter_gives_up_no_sooner_than_asked),
        cmocka_unit_test(waiter_without_end_is_never_over_and_one_in_the_past_at_once),
        cmocka_unit_test(waiter_is_told_of_a_long_wait_whatever_the_strategy),
        cmocka_unit_test(event_wakes_many_sleepers_one_by_one),
        cmocka_unit_test(event_wakes_all_sleepers_at_once),
        cmocka_unit_test(event_loses_no_wake_up_of_two_that_park_on_each_other),
        cmocka_unit_test(event_loses_no_wake_up_that_races_with_falling_asleep),
        cmocka_unit_test(event_serves_competing_sleepers_of_several_notifiers),
        cmocka_unit_test(signals_interrupt_a_sleeper_harmlessly),
        cmocka_unit_test(signals_and_vain_wake_ups_do_not_hide_a_long_wait),
        cmocka_unit_test(event_wakes_a_sleeper_in_another_process),
        cmocka_unit_test(process_killed_asleep_costs_the_others_nothing_but_a_count),
        cmocka_unit_test(process_without_membarrier_has_the_others_pass_barriers),
        cmocka_unit_test(event_loses_no_wake_up_where_there_is_no_membarrier),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
