/* The policy of balancing: each function by itself, then many cores of which nobody runs anything. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <kernel/balance.h>

enum { CLASSES = KN_PRIORITY_CLASSES, LAST = CLASSES - 1, TURN = 64, MOVED_MAX = 256 };

static const uint32_t NOTHING[CLASSES];

/* Eight cores to a cache, as in the simulation. */
static uint32_t by_cache(void *context, uint32_t from, uint32_t to)
{
    (void)context;
    return from / 8 == to / 8 ? 1 : 2;
}

static struct kn_balance open_balance(uint32_t cores)
{
    struct kn_balance balance;
    assert_int_equal(kn_balance_open(&balance, cores, by_cache, NULL, NULL), 0);
    return balance;
}

static struct kn_balance_seat seat_of(const struct kn_balance *balance, uint32_t core)
{
    struct kn_balance_seat seat;
    kn_balance_seat_init(&seat, balance, core, 1);
    return seat;
}

/* Lets a core publish `count` tasks of a class, and that it runs such. */
static void show(struct kn_balance_seat *seat, unsigned class, uint32_t count)
{
    uint32_t waiting[CLASSES] = {0};
    waiting[class] = count;
    kn_balance_publish(seat, kn_balance_load_word(waiting, (int)class));
}

static void show_rest(struct kn_balance_seat *seat, enum kn_balance_rest rest)
{
    kn_balance_publish(seat, kn_balance_load_word(NOTHING, rest));
}

static uint32_t random_below(uint64_t *state, uint32_t bound)
{
    *state = *state * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (uint32_t)((*state >> 33) * bound >> 31);
}

/* --- Words and orders -------------------------------------------------------------------------------------- */

static void word_tells_what_waits_and_what_runs(void **state)
{
    (void)state;
    const uint32_t waiting[CLASSES] = {0, 1, 126, 127, 128, UINT32_MAX, 64, 2};
    const uint32_t shown[CLASSES] = {0, 1, 126, 127, 127, 127, 64, 2};
    for (int running = KN_BALANCE_PARKED; running < CLASSES; running++) {
        uint64_t word = kn_balance_load_word(waiting, running);
        assert_int_equal(kn_balance_load_running(word), running);
        for (unsigned class = 0; class < CLASSES; class ++)
            assert_int_equal(kn_balance_load_waiting(word, class), shown[class]);
    }
    assert_true(kn_balance_load_word(NOTHING, KN_BALANCE_IDLE) == 0);
}

static void publishing_writes_only_what_changed(void **state)
{
    (void)state;
    struct kn_balance balance = open_balance(2);
    struct kn_balance_seat seat = seat_of(&balance, 1);
    assert_true(kn_balance_load(&balance, 1) == 0);
    show(&seat, 3, 5);
    show(&seat, 3, 5);
    assert_int_equal(kn_balance_load_waiting(kn_balance_load(&balance, 1), 3), 5);
    assert_true(kn_balance_load(&balance, 0) == 0);
    assert_int_equal(kn_counter_read(&balance.cells[1].number), 1);
    kn_balance_close(&balance);
}

static void order_has_each_other_core_once_and_near_ones_first(void **state)
{
    (void)state;
    const uint32_t counts[] = {1, 2, 8, 9, 100, KN_BALANCE_CORES_MAX};
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        struct kn_balance balance = open_balance(counts[i]);
        uint32_t others = counts[i] - 1;
        for (uint32_t self = 0; self < counts[i]; self++) {
            bool seen[KN_BALANCE_CORES_MAX] = {0};
            uint32_t farthest = 0;
            for (uint32_t place = 0; place < others; place++) {
                uint32_t core = balance.orders[(size_t)self * others + place];
                assert_true(core < counts[i] && core != self && !seen[core]);
                seen[core] = true;
                assert_true(by_cache(NULL, self, core) >= farthest);
                farthest = by_cache(NULL, self, core);
            }
        }
        kn_balance_close(&balance);
    }
}

static void cores_at_one_distance_prefer_different_ones(void **state)
{
    (void)state;
    struct kn_balance balance = open_balance(64);
    uint32_t chosen[64] = {0};
    for (uint32_t self = 0; self < 64; self++)
        chosen[balance.orders[self * 63]]++;
    for (uint32_t core = 0; core < 64; core++)
        assert_int_equal(chosen[core], 1);
    kn_balance_close(&balance);
}

static void open_refuses_what_makes_no_sense(void **state)
{
    (void)state;
    struct kn_balance balance;
    assert_int_equal(kn_balance_open(&balance, 0, NULL, NULL, NULL), -EINVAL);
    assert_int_equal(kn_balance_open(&balance, KN_BALANCE_CORES_MAX + 1, NULL, NULL, NULL), -EINVAL);
    const struct kn_balance_options bad[] = {
        {.turn_tasks = KN_BALANCE_SATURATED},    {.look_near = KN_BALANCE_LOOKS_MAX},
        {.look_near = KN_BALANCE_LOOKS_MAX + 1}, {.look_random = UINT32_MAX},
        {.asks_max = KN_BALANCE_ASKS_MAX + 1},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(kn_balance_open(&balance, 2, NULL, NULL, &bad[i]), -EINVAL);
    kn_balance_close(&balance);
}

static void one_core_alone_has_nobody_to_ask_or_give_to(void **state)
{
    (void)state;
    struct kn_balance balance = open_balance(1);
    struct kn_balance_seat seat = seat_of(&balance, 0);
    const uint32_t waiting[CLASSES] = {1000};
    unsigned class;
    uint32_t count;
    assert_true(kn_balance_victim(&seat, 0) == KN_BALANCE_NONE);
    assert_true(kn_balance_target(&seat, waiting, waiting, TURN, true, &class, &count) == KN_BALANCE_NONE);
    kn_balance_close(&balance);
}

/* --- Asking ------------------------------------------------------------------------------------------------ */

static void thief_asks_the_nearest_that_has_more_than_a_turn(void **state)
{
    (void)state;
    struct kn_balance balance = open_balance(16);
    struct kn_balance_seat seats[16];
    for (uint32_t i = 0; i < 16; i++)
        seats[i] = seat_of(&balance, i);
    assert_true(kn_balance_victim(&seats[0], 0) == KN_BALANCE_NONE);
    show(&seats[1], 0, 1); /* what it runs itself, at once */
    assert_true(kn_balance_victim(&seats[0], 0) == KN_BALANCE_NONE);
    show(&seats[2], 7, 2);
    show(&seats[3], 7, TURN);
    show(&seats[9], 7, TURN + 1);
    assert_int_equal(kn_balance_victim(&seats[0], 0), 9);
    show(&seats[9], 7, 0);
    assert_int_equal(kn_balance_victim(&seats[0], 0), 2);
    kn_balance_close(&balance);
}

static void thief_asks_nobody_twice_before_the_answer_nor_too_many(void **state)
{
    (void)state;
    struct kn_balance balance = open_balance(16);
    struct kn_balance_seat thief = seat_of(&balance, 0);
    for (uint32_t i = 1; i < 16; i++) {
        struct kn_balance_seat seat = seat_of(&balance, i);
        show(&seat, 0, 100);
    }
    for (uint32_t i = 1; i <= balance.options.asks_max; i++)
        assert_int_equal(kn_balance_victim(&thief, 0), i);
    assert_true(kn_balance_victim(&thief, 0) == KN_BALANCE_NONE);
    kn_balance_answered(&thief, 15); /* which was not asked */
    assert_true(kn_balance_victim(&thief, 0) == KN_BALANCE_NONE);
    kn_balance_answered(&thief, 2);
    assert_int_equal(kn_balance_victim(&thief, 0), 2);
    kn_balance_close(&balance);
}

static void core_with_work_asks_only_one_that_has_more_than_twice_of_it(void **state)
{
    (void)state;
    struct kn_balance balance = open_balance(2);
    struct kn_balance_seat thief = seat_of(&balance, 0);
    struct kn_balance_seat victim = seat_of(&balance, 1);
    show(&victim, 4, 21);
    assert_true(kn_balance_victim(&thief, 10) == KN_BALANCE_NONE);
    show(&victim, 4, 22);
    assert_int_equal(kn_balance_victim(&thief, 10), 1);
    kn_balance_answered(&thief, 1);
    show(&victim, 4, 5000); /* more than it can say */
    assert_int_equal(kn_balance_victim(&thief, TURN), 1);
    kn_balance_close(&balance);
}

static void chance_finds_the_one_loaded_core_of_many(void **state)
{
    (void)state;
    struct kn_balance balance = open_balance(1024);
    struct kn_balance_seat victim = seat_of(&balance, 1000);
    struct kn_balance_seat thief = seat_of(&balance, 3);
    show(&victim, 4, 100);
    unsigned tries = 1;
    while (kn_balance_victim(&thief, 0) == KN_BALANCE_NONE)
        assert_true(++tries < 1024);
    kn_balance_close(&balance);
}

/* --- Answering --------------------------------------------------------------------------------------------- */

static const struct kn_balance_options OPTIONS = {.turn_tasks = TURN, .moved_max = MOVED_MAX};

/* What is given of these, and the class in `class`. */
static uint32_t share(const uint32_t waiting[CLASSES], const uint32_t movable[CLASSES], uint32_t askers,
                      unsigned *class)
{
    *class = CLASSES;
    return kn_balance_share(&OPTIONS, waiting, movable, TURN, askers, 0, class);
}

static void victim_gives_half_of_the_class_in_which_its_turn_ends(void **state)
{
    (void)state;
    unsigned class;
    const uint32_t first[CLASSES] = {100, 0, 50, 1000};
    assert_int_equal(share(first, first, 1, &class), 50);
    assert_int_equal(class, 0);
    const uint32_t later[CLASSES] = {10, 0, 40, 31, 1000};
    assert_int_equal(share(later, later, 1, &class), 16);
    assert_int_equal(class, 3);
    const uint32_t many[CLASSES] = {0, 0, 0, 0, 0, 100000};
    assert_int_equal(share(many, many, 1, &class), MOVED_MAX);
    assert_int_equal(class, 5);
}

static void victim_gives_of_its_least_urgent_where_all_fits_into_a_turn(void **state)
{
    (void)state;
    unsigned class;
    const uint32_t waiting[CLASSES] = {5, 0, 6, 1};
    assert_int_equal(share(waiting, waiting, 1, &class), 1);
    assert_int_equal(class, 3);
    const uint32_t two[CLASSES] = {0, 2};
    assert_int_equal(share(two, two, 1, &class), 1);
    const uint32_t one[CLASSES] = {0, 1};
    assert_int_equal(share(one, one, 1, &class), 0);
    assert_int_equal(share(NOTHING, NOTHING, 1, &class), 0);
    assert_int_equal(class, CLASSES);
}

static void victim_gives_nothing_that_is_pinned(void **state)
{
    (void)state;
    unsigned class;
    const uint32_t waiting[CLASSES] = {10, 90, 0, 80};
    const uint32_t none[CLASSES] = {0};
    assert_int_equal(share(waiting, none, 1, &class), 0);
    const uint32_t behind[CLASSES] = {10, 0, 0, 7};
    assert_int_equal(share(waiting, behind, 1, &class), 7);
    assert_int_equal(class, 3);
    const uint32_t before[CLASSES] = {10};
    assert_int_equal(share(waiting, before, 1, &class), 5);
    assert_int_equal(class, 0);
}

static void several_thieves_get_equal_parts(void **state)
{
    (void)state;
    uint32_t waiting[CLASSES] = {0, 0, 0, 800};
    for (uint32_t askers = 7; askers > 0; askers--) {
        unsigned class;
        uint32_t count = share(waiting, waiting, askers, &class);
        assert_int_equal(count, 100);
        waiting[3] -= count;
    }
    assert_int_equal(waiting[3], 100);
    unsigned class;
    const uint32_t few[CLASSES] = {0, 0, 0, 3};
    assert_int_equal(share(few, few, 50, &class), 1);
}

static void thief_that_has_tasks_gets_half_of_the_difference(void **state)
{
    (void)state;
    unsigned class = 0;
    const uint32_t waiting[CLASSES] = {0, 0, 80};
    const uint32_t there[CLASSES] = {0, 30, 0, 20};
    assert_int_equal(kn_balance_share(&OPTIONS, waiting, waiting, TURN, 1, kn_balance_load_word(there, 1), &class), 25);
    assert_int_equal(class, 2);
    const uint32_t more[CLASSES] = {79};
    class = CLASSES;
    assert_int_equal(kn_balance_share(&OPTIONS, waiting, waiting, TURN, 1, kn_balance_load_word(more, 0), &class), 0);
    assert_int_equal(class, CLASSES);
}

/* --- Sending unasked --------------------------------------------------------------------------------------- */

static void loaded_core_prefers_idle_to_parked_to_less_urgent(void **state)
{
    (void)state;
    struct kn_balance balance = open_balance(5);
    struct kn_balance_seat seats[5];
    for (uint32_t i = 0; i < 5; i++)
        seats[i] = seat_of(&balance, i);
    const uint32_t waiting[CLASSES] = {0, 0, 400};
    show(&seats[1], 2, 1);
    show(&seats[2], 3, 100);
    show_rest(&seats[3], KN_BALANCE_PARKED);
    unsigned class;
    uint32_t count;
    const size_t expected[] = {4, 3, 2, KN_BALANCE_NONE}; /* 4 idles, 3 sleeps, 2 does less, 1 does as much */
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
        assert_true(kn_balance_target(&seats[0], waiting, waiting, TURN, false, &class, &count) == expected[i]);
    assert_int_equal(class, 2);
    kn_balance_close(&balance);
}

static void core_that_runs_its_last_urgent_task_is_no_target(void **state)
{
    (void)state;
    struct kn_balance balance = open_balance(2);
    struct kn_balance_seat giver = seat_of(&balance, 0);
    struct kn_balance_seat target = seat_of(&balance, 1);
    const uint32_t waiting[CLASSES] = {0, 0, 300};
    unsigned class;
    uint32_t count;
    for (unsigned runs = 0; runs <= 2; runs++) {
        show(&target, runs, 0);
        assert_true(kn_balance_target(&giver, waiting, waiting, TURN, false, &class, &count) == KN_BALANCE_NONE);
    }
    show(&target, 3, 0);
    assert_int_equal(kn_balance_target(&giver, waiting, waiting, TURN, false, &class, &count), 1);
    kn_balance_close(&balance);
}

static void less_urgent_tasks_on_their_way_hold_up_no_more_urgent_ones(void **state)
{
    (void)state;
    struct kn_balance balance = open_balance(2);
    struct kn_balance_seat giver = seat_of(&balance, 0);
    const uint32_t later[CLASSES] = {0, 0, 0, 0, 0, 300};
    const uint32_t urgent[CLASSES] = {0, 0, 300};
    unsigned class;
    uint32_t count;
    assert_int_equal(kn_balance_target(&giver, later, later, TURN, false, &class, &count), 1);
    assert_int_equal(kn_balance_target(&giver, urgent, urgent, TURN, false, &class, &count), 1);
    assert_true(kn_balance_target(&giver, later, later, TURN, false, &class, &count) == KN_BALANCE_NONE);
    kn_balance_close(&balance);
}

static void loaded_core_sends_again_only_after_the_target_published(void **state)
{
    (void)state;
    struct kn_balance balance = open_balance(2);
    struct kn_balance_seat giver = seat_of(&balance, 0);
    struct kn_balance_seat target = seat_of(&balance, 1);
    const uint32_t waiting[CLASSES] = {300};
    unsigned class;
    uint32_t count;
    show(&target, 7, 1000);
    assert_int_equal(kn_balance_target(&giver, waiting, waiting, TURN, false, &class, &count), 1);
    assert_int_equal(count, 150);
    assert_true(kn_balance_target(&giver, waiting, waiting, TURN, false, &class, &count) == KN_BALANCE_NONE);
    show(&target, 0, 150); /* it has them */
    assert_true(kn_balance_target(&giver, waiting, waiting, TURN, false, &class, &count) == KN_BALANCE_NONE);
    show(&target, 7, 1000); /* it has run them: the word is what it was when they were sent */
    assert_int_equal(kn_balance_target(&giver, waiting, waiting, TURN, false, &class, &count), 1);
    unsigned calls = 1;
    while (kn_balance_target(&giver, waiting, waiting, TURN, false, &class, &count) == KN_BALANCE_NONE)
        assert_true(++calls <= 100); /* it may have taken and run them without a word */
    assert_true(calls > 60);
    kn_balance_close(&balance);
}

static void loaded_core_keeps_what_its_next_turn_runs(void **state)
{
    (void)state;
    struct kn_balance balance = open_balance(4);
    struct kn_balance_seat giver = seat_of(&balance, 0);
    unsigned class = CLASSES;
    uint32_t count = 0;
    const uint32_t fits[CLASSES] = {30, 0, 34};
    assert_true(kn_balance_target(&giver, fits, fits, TURN, false, &class, &count) == KN_BALANCE_NONE);
    const uint32_t pinned[CLASSES] = {0};
    const uint32_t exceeds[CLASSES] = {30, 0, 35};
    assert_true(kn_balance_target(&giver, exceeds, pinned, TURN, true, &class, &count) == KN_BALANCE_NONE);
    assert_int_equal(class, CLASSES);
    assert_true(kn_balance_target(&giver, exceeds, exceeds, TURN, false, &class, &count) != KN_BALANCE_NONE);
    assert_int_equal(class, 2);
    /* Long tasks: the last turn ended by time after two. */
    const uint32_t few[CLASSES] = {0, 0, 0, 8};
    assert_true(kn_balance_target(&giver, few, few, 2, false, &class, &count) != KN_BALANCE_NONE);
    assert_int_equal(class, 3);
    kn_balance_close(&balance);
}

static void tasks_that_never_end_reach_a_core_that_sleeps(void **state)
{
    (void)state;
    struct kn_balance balance = open_balance(2);
    struct kn_balance_seat giver = seat_of(&balance, 0);
    struct kn_balance_seat target = seat_of(&balance, 1);
    const uint32_t waiting[CLASSES] = {0, 3, 3};
    unsigned class;
    uint32_t count;
    show(&target, 7, 10); /* busy, if with less: what waits here runs in the next turn */
    assert_true(kn_balance_target(&giver, waiting, waiting, TURN, true, &class, &count) == KN_BALANCE_NONE);
    show_rest(&target, KN_BALANCE_PARKED);
    assert_true(kn_balance_target(&giver, waiting, waiting, TURN, false, &class, &count) == KN_BALANCE_NONE);
    assert_int_equal(kn_balance_target(&giver, waiting, waiting, TURN, true, &class, &count), 1);
    assert_int_equal(class, 2);
    assert_int_equal(count, 3);
    const uint32_t one[CLASSES] = {0, 1};
    assert_true(kn_balance_target(&giver, one, one, TURN, true, &class, &count) == KN_BALANCE_NONE);
    kn_balance_close(&balance);
}

static void givers_that_choose_one_target_together_fill_its_lack(void **state)
{
    (void)state;
    struct kn_balance balance = open_balance(16);
    struct kn_balance_seat seats[16];
    for (uint32_t i = 0; i < 15; i++) {
        seats[i] = seat_of(&balance, i);
        show(&seats[i], 4, 100 + i % 3);
    }
    uint64_t sent = 0;
    enum { ROUNDS = 200 };
    for (uint32_t round = 0; round < ROUNDS; round++) {
        for (uint32_t i = 0; i < 15; i++) {
            const uint32_t waiting[CLASSES] = {0, 0, 0, 0, 100 + i % 3};
            unsigned class;
            uint32_t count;
            seats[i].sent_count = 0; /* as if the target had come to nothing again */
            if (kn_balance_target(&seats[i], waiting, waiting, TURN, false, &class, &count) == KN_BALANCE_NONE)
                continue;
            assert_int_equal(count, TURN / 8);
            sent += count;
        }
    }
    /* It lacks the mean, 94. Each giving half of what it has would send 750. */
    assert_in_range(sent / ROUNDS, 75, 115);
    kn_balance_close(&balance);
}

/* --- Coming to rest ---------------------------------------------------------------------------------------- */

/* Cores that run nothing, whose words are true: what policy alone makes of a distribution. */
struct still {
    struct kn_balance balance;
    struct kn_balance_seat seats[64];
    uint32_t waiting[64][CLASSES];
    uint32_t movable[64][CLASSES];
    uint32_t cores;
    uint64_t transfers;
};

static uint32_t up_to(const uint32_t counts[CLASSES], unsigned class)
{
    uint32_t sum = 0;
    for (unsigned i = 0; i <= class; i++)
        sum += counts[i];
    return sum;
}

static void show_truth(struct still *still, uint32_t core)
{
    int running = 0;
    while (running < CLASSES && still->waiting[core][running] == 0)
        running++;
    kn_balance_publish(&still->seats[core],
                       kn_balance_load_word(still->waiting[core], running < CLASSES ? running : KN_BALANCE_IDLE));
}

/* Moves tasks, and checks that the eight sums of squares, read as one number, became smaller. */
static void move(struct still *still, uint32_t from, uint32_t to, unsigned class, uint32_t count)
{
    assert_true(class < CLASSES && count > 0 && count <= MOVED_MAX && count <= still->movable[from][class]);
    bool smaller = false;
    for (unsigned i = class; i < CLASSES && !smaller; i++) {
        /* a and b become a - m and b + m: the sum of squares falls by 2 m (a - b - m). */
        int64_t fall = (int64_t)up_to(still->waiting[from], i) - up_to(still->waiting[to], i) - count;
        assert_true(fall >= 0);
        smaller = fall > 0;
    }
    assert_true(smaller);
    /* Strict priority: what is more urgent and stays runs in the next turn, but for what may not move. */
    if (class > 0) {
        uint32_t free = 0;
        for (unsigned i = 0; i < class; i++)
            free = still->movable[from][i] > 0 ? up_to(still->waiting[from], i) : free;
        assert_true(free <= TURN);
    }
    still->waiting[from][class] -= count;
    still->movable[from][class] -= count;
    still->waiting[to][class] += count;
    still->movable[to][class] += count;
    still->transfers++;
    show_truth(still, from);
    show_truth(still, to);
}

/* Lets one core do what a reactor does between two turns. Whether anything moved. */
static bool step(struct still *still, uint32_t core)
{
    unsigned class = CLASSES;
    uint32_t count = 0;
    size_t other =
        kn_balance_target(&still->seats[core], still->waiting[core], still->movable[core], TURN, true, &class, &count);
    if (other != KN_BALANCE_NONE) {
        move(still, core, (uint32_t)other, class, count);
        return true;
    }
    uint32_t total = up_to(still->waiting[core], LAST);
    other = total <= TURN ? kn_balance_victim(&still->seats[core], total) : KN_BALANCE_NONE;
    if (other == KN_BALANCE_NONE)
        return false;
    kn_balance_answered(&still->seats[core], other);
    count = kn_balance_share(&still->balance.options, still->waiting[other], still->movable[other], TURN, 1,
                             kn_balance_load(&still->balance, core), &class);
    if (count > 0)
        move(still, (uint32_t)other, core, class, count);
    return count > 0;
}

static void fill(struct still *still, uint64_t *random)
{
    const uint32_t scales[] = {2, 10, 100, 1000};
    for (uint32_t core = 0; core < still->cores; core++) {
        bool empty = random_below(random, 3) == 0;
        for (unsigned class = 0; class < CLASSES; class ++) {
            uint32_t count = random_below(random, scales[random_below(random, 4)]);
            still->waiting[core][class] = empty || random_below(random, 2) ? 0 : count;
            still->movable[core][class] = random_below(random, 4) ? still->waiting[core][class] : count / 2;
            if (still->movable[core][class] > still->waiting[core][class])
                still->movable[core][class] = still->waiting[core][class];
        }
        show_truth(still, core);
    }
}

static void transfers_alone_come_to_rest(void **state)
{
    (void)state;
    static struct still still;
    uint64_t random = 7;
    for (unsigned trial = 0; trial < 300; trial++) {
        memset(&still, 0, sizeof(still));
        still.cores = 2 + random_below(&random, 63);
        still.balance = open_balance(still.cores);
        for (uint32_t core = 0; core < still.cores; core++)
            still.seats[core] = seat_of(&still.balance, core);
        fill(&still, &random);
        for (unsigned quiet = 0; quiet < 100; quiet++)
            for (uint32_t core = 0; core < still.cores; core++)
                if (step(&still, core))
                    quiet = 0;
        assert_true(still.transfers < 100 * still.cores);
        /* Nobody is left without work where somebody has two movable tasks. */
        for (uint32_t core = 0; core < still.cores && still.cores <= 17; core++) {
            for (uint32_t other = 0; other < still.cores && up_to(still.waiting[core], LAST) == 0; other++)
                assert_true(up_to(still.movable[other], LAST) == 0 || up_to(still.waiting[other], LAST) < 2);
        }
        kn_balance_close(&still.balance);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(word_tells_what_waits_and_what_runs),
        cmocka_unit_test(publishing_writes_only_what_changed),
        cmocka_unit_test(order_has_each_other_core_once_and_near_ones_first),
        cmocka_unit_test(cores_at_one_distance_prefer_different_ones),
        cmocka_unit_test(open_refuses_what_makes_no_sense),
        cmocka_unit_test(one_core_alone_has_nobody_to_ask_or_give_to),
        cmocka_unit_test(thief_asks_the_nearest_that_has_more_than_a_turn),
        cmocka_unit_test(thief_asks_nobody_twice_before_the_answer_nor_too_many),
        cmocka_unit_test(core_with_work_asks_only_one_that_has_more_than_twice_of_it),
        cmocka_unit_test(chance_finds_the_one_loaded_core_of_many),
        cmocka_unit_test(victim_gives_half_of_the_class_in_which_its_turn_ends),
        cmocka_unit_test(victim_gives_of_its_least_urgent_where_all_fits_into_a_turn),
        cmocka_unit_test(victim_gives_nothing_that_is_pinned),
        cmocka_unit_test(several_thieves_get_equal_parts),
        cmocka_unit_test(thief_that_has_tasks_gets_half_of_the_difference),
        cmocka_unit_test(loaded_core_prefers_idle_to_parked_to_less_urgent),
        cmocka_unit_test(core_that_runs_its_last_urgent_task_is_no_target),
        cmocka_unit_test(less_urgent_tasks_on_their_way_hold_up_no_more_urgent_ones),
        cmocka_unit_test(loaded_core_sends_again_only_after_the_target_published),
        cmocka_unit_test(loaded_core_keeps_what_its_next_turn_runs),
        cmocka_unit_test(tasks_that_never_end_reach_a_core_that_sleeps),
        cmocka_unit_test(givers_that_choose_one_target_together_fill_its_lack),
        cmocka_unit_test(transfers_alone_come_to_rest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
