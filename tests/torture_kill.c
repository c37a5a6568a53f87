/*
 * Kills the processes that share a sector, one after the other at random instructions, and checks that nothing is lost.
 *
 * Producers and consumers run over one sector. Again and again one of them is killed: after a random time, or after a
 * random number of instructions of an operation, in the middle of which it may have been held up for a while. A new one
 * takes its seat. Each notes in memory that outlives it what it is about to do and what it has done, and at the end of
 * a round the notes must fit together:
 *
 *   - Every message whose publish returned was read. None was read that nobody meant to publish; none was torn.
 *   - None was read twice, except what a consumer had not released when it was killed: that is shown again, and was
 *     read before, not after, by the dead.
 *   - The messages of each producer were read in their order; by each consumer of a group, by all of a reader's place.
 *   - The sector is as good as new: it takes a capacity of messages and gives them back.
 */
#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sysexits.h>
#include <time.h>

#include <kernel/clock.h>
#include <kernel/reader.h>
#include <kernel/writer.h>

#include "torture.h"

/* Of a round. A process that has used up its notes leaves, and another takes its seat. */
enum { PROCESSES_MAX = 1024, MESSAGES_MAX = 8192, READS_MAX = 16384, KILLS_A_ROUND = 50, SEATS_MAX = 6, LANES_MAX = 2 };

/* A reader that need not see everything. */
enum { LANE_NONE = LANES_MAX };

static const unsigned WATCHDOG_SECONDS = 60;
static const struct kn_wait WAIT = {.strategy = KN_WAIT_PARK, .timeout_ns = 1000000, .attempts = 10};
static const char HELP[] = "usage: torture_kill [--kills N] [--seed S] [--shape spsc|mpsc|spmc|mpmc|broadcast|all]\n"
                           "Kills N processes of each shape (100), and checks what the others were given.\n";

struct shape {
    const char *name;
    enum kn_writers writers;
    enum kn_readers readers;
    unsigned producers;
    unsigned consumers;
    unsigned lanes; /* places that must each see every message */
};

static const struct shape SHAPES[] = {
    {"spsc", KN_WRITER_EXCLUSIVE, KN_READER_EXCLUSIVE, 1, 1, 1},
    {"mpsc", KN_WRITERS_SHARED, KN_READER_EXCLUSIVE, 3, 1, 1},
    {"spmc", KN_WRITER_EXCLUSIVE, KN_READERS_GROUP, 1, 3, 1},
    {"mpmc", KN_WRITERS_SHARED, KN_READERS_GROUP, 3, 3, 1},
    {"broadcast", KN_WRITERS_SHARED, KN_READERS_JOIN, 2, 3, 2},
};

struct message {
    uint64_t name; /* number of its producer above 32 bits, its sequence below, from 1 */
    uint64_t words[4];
    uint64_t check;
};

struct read {
    uint64_t name;
    uint64_t when_ns : 63;
    uint64_t adopted : 1; /* from the hands of a dead member */
};

/* What a process has noted; the parent reads it once the process is dead, or later. */
struct notes {
    KN_OWNED _Atomic uint64_t intended; /* producer: the last sequence that it may have published */
    _Atomic uint64_t published;         /* the last of which it knows that it has */
    _Atomic uint64_t read;              /* consumer: messages, in reads[] */
    _Atomic uint64_t releasing;         /* of those, the first so many it may have released */
    _Atomic uint64_t released;          /* and so many it knows that it has */
    _Atomic uint64_t stop;              /* asks it to stop in front of its next operation */
    uint32_t lane;                      /* set by the parent, as what follows */
    bool consumer;
    bool killed;
    struct read reads[READS_MAX];
};

struct board {
    KN_OWNED _Atomic uint64_t closing;  /* producers leave */
    KN_OWNED _Atomic uint64_t draining; /* consumers leave once it is empty */
    KN_OWNED _Atomic uint64_t torn;
    struct notes notes[PROCESSES_MAX];
};

struct seat {
    pid_t pid;
    uint32_t process; /* index of its notes */
};

static struct round {
    const struct shape *shape;
    struct kn_sector sector;
    struct board *board;
    size_t capacity;
    uint64_t batch_max;
    uint64_t random;
    uint32_t processes;
    uint64_t kills;
    struct seat seats[SEATS_MAX];
} round;

/* ---- small things ---- */

/* splitmix64 of Steele, Lea and Flood. */
static uint64_t mix(uint64_t value)
{
    value = (value ^ value >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ value >> 27) * UINT64_C(0x94d049bb133111eb);
    return value ^ value >> 31;
}

static uint64_t next_random(uint64_t below)
{
    round.random += UINT64_C(0x9e3779b97f4a7c15);
    return mix(round.random) % below;
}

static void sleep_us(uint64_t time_us)
{
    nanosleep(&(struct timespec){.tv_nsec = (long)time_us * 1000}, NULL);
}

static void idle(void)
{
    if (next_random(32) == 0)
        sleep_us(1);
    else
        sched_yield();
}

static void note(_Atomic uint64_t *word, uint64_t value)
{
    /* Release: notes are in the order of what they are about; the kernel's end of the process does the rest. */
    atomic_store_explicit(word, value, memory_order_release);
}

static uint64_t noted(_Atomic uint64_t *word)
{
    /* Acquire pairs with the release store in note. */
    return atomic_load_explicit(word, memory_order_acquire);
}

static void print_state(void)
{
    fprintf(stderr, "shape %s, batches of %u\n", round.shape->name, (unsigned)round.batch_max);
    torture_print(&round.sector);
}

static void bark(int signal_number)
{
    (void)signal_number;
    fprintf(stderr, "torture_kill: hangs\n");
    print_state();
    _exit(1);
}

/* ---- what the children do ---- */

static void write_message(struct message *message, uint32_t process, uint64_t sequence)
{
    message->name = (uint64_t)process << 32 | sequence;
    message->check = message->name;
    for (size_t i = 0; i < 4; i++)
        message->check += message->words[i] = mix(message->name + i);
}

static bool is_whole(const struct message *message)
{
    uint64_t check = message->name;
    bool whole = message->name >> 32 < PROCESSES_MAX && (message->name & UINT32_MAX) < MESSAGES_MAX;
    for (size_t i = 0; i < 4; i++) {
        whole = whole && message->words[i] == mix(message->name + i);
        check += message->words[i];
    }
    return whole && check == message->check;
}

/* Between two operations: stops if asked to, looks after the dead now and then. */
static void rest(struct notes *notes)
{
    if (noted(&notes->stop) != 0)
        torture_stop();
    if (next_random(64) == 0)
        TORTURE_MUST(kn_sector_recover(&round.sector) >= 0);
}

/* Publishes up to `count` messages from `sequence` on; how many. */
static uint64_t publish(struct kn_writer *writer, uint32_t process, uint64_t sequence, uint64_t count)
{
    struct message messages[16];
    struct kn_span span;
    bool waits = next_random(8) == 0;
    if (next_random(2) == 0) {
        for (uint64_t i = 0; i < count; i++)
            write_message(&messages[i], process, sequence + i);
        if (waits)
            return kn_writer_push(writer, messages, &WAIT) == 0 ? 1 : 0;
        return next_random(2) == 0 ? (uint64_t)(kn_writer_try_push(writer, messages) == 0)
                                   : kn_writer_push_many(writer, messages, count);
    }
    if ((waits ? kn_writer_claim_wait(writer, count, &span, &WAIT) : kn_writer_claim(writer, count, &span)) < 0)
        return 0;
    for (uint64_t i = 0; i < span.count; i++)
        write_message(kn_span_at(&span, i), process, sequence + i);
    uint64_t given_up = next_random(4) == 0 ? next_random(span.count + 1) : 0;
    TORTURE_MUST(kn_writer_publish(writer, span.count - given_up) == 0);
    return span.count - given_up;
}

/* Joining is refused while one that looks after the dead holds the place, and while the dead hold all of them. */
static void join_again(struct notes *notes, int result)
{
    TORTURE_MUST(result == -EBUSY || result == -EMFILE);
    if (noted(&notes->stop) != 0)
        torture_stop();
    TORTURE_MUST(kn_sector_recover(&round.sector) >= 0);
    sleep_us(50);
}

static void produce(uint32_t process)
{
    struct notes *notes = &round.board->notes[process];
    struct kn_writer writer;
    int result;
    while ((result = kn_writer_join(&writer, &round.sector)) < 0)
        join_again(notes, result);
    uint64_t sequence = 1;
    while (sequence < MESSAGES_MAX - 16 && !noted(&round.board->closing)) {
        uint64_t wanted = 1 + next_random(round.batch_max);
        rest(notes);
        note(&notes->intended, sequence + wanted - 1);
        uint64_t count = publish(&writer, process, sequence, wanted);
        sequence += count;
        note(&notes->published, sequence - 1);
        if (count == 0)
            idle();
    }
    kn_writer_leave(&writer);
}

static void join_consumer(struct kn_reader *reader, uint32_t process)
{
    struct notes *notes = &round.board->notes[process];
    bool broadcast = round.shape->readers == KN_READERS_JOIN;
    struct kn_reader_options options = {0};
    if (broadcast && notes->lane == LANE_NONE)
        options.lag = next_random(2) == 0 ? KN_LAG_SKIP : KN_LAG_BLOCK;
    else if (broadcast)
        options.id = 1 + notes->lane;
    int result;
    while ((result = kn_reader_join(reader, &round.sector, &options)) < 0)
        join_again(notes, result);
}

/* Reads some messages, in one span; how many. */
static uint64_t consume_some(struct kn_reader *reader, uint32_t process, bool waits)
{
    struct notes *notes = &round.board->notes[process];
    uint64_t wanted = 1 + next_random(round.batch_max);
    struct kn_span span;
    if ((waits ? kn_reader_peek_wait(reader, wanted, &span, &WAIT) : kn_reader_peek(reader, wanted, &span)) < 0)
        return 0;
    bool adopted = reader->form.group && reader->hands != reader->ring.entry;
    uint64_t read = notes->read;
    for (uint64_t i = 0; i < span.count; i++) {
        struct message message;
        memcpy(&message, kn_span_at(&span, i), sizeof(message));
        atomic_fetch_add(&round.board->torn, !is_whole(&message));
        notes->reads[read++] =
            (struct read){.name = message.name, .when_ns = kn_clock_monotonic_ns(), .adopted = adopted};
    }
    note(&notes->read, read);
    uint64_t front = next_random(span.count + 1);
    const uint64_t parts[] = {front, span.count - front};
    for (size_t i = 0; i < 2; i++) {
        if (parts[i] == 0)
            continue;
        note(&notes->releasing, notes->releasing + parts[i]);
        TORTURE_MUST(kn_reader_release(reader, parts[i]) == 0);
        note(&notes->released, notes->releasing);
    }
    return span.count;
}

static void consume(uint32_t process)
{
    struct notes *notes = &round.board->notes[process];
    struct kn_reader reader;
    join_consumer(&reader, process);
    while (notes->read < READS_MAX - 16) {
        bool draining = noted(&round.board->draining) != 0;
        rest(notes);
        if (consume_some(&reader, process, next_random(8) == 0) > 0)
            continue;
        if (draining)
            break;
        idle();
    }
    if (round.shape->readers == KN_READERS_JOIN && notes->lane != LANE_NONE)
        raise(SIGKILL); /* by leaving it would give its place up */
    kn_reader_leave(&reader);
}

/* ---- who kills them ---- */

static struct notes *notes_of(const struct seat *seat)
{
    return &round.board->notes[seat->process];
}

static uint32_t new_process(bool consumer, uint32_t lane)
{
    struct notes *notes = &round.board->notes[round.processes];
    notes->consumer = consumer;
    notes->lane = lane < round.shape->lanes ? lane : LANE_NONE;
    return round.processes++;
}

static void start(struct seat *seat)
{
    uint32_t index = (uint32_t)(seat - round.seats);
    bool consumer = index >= round.shape->producers;
    bool broadcast = round.shape->readers == KN_READERS_JOIN;
    seat->process = new_process(consumer, broadcast ? index - round.shape->producers : 0);
    uint64_t seed = next_random(UINT64_MAX);
    seat->pid = torture_fork();
    if (seat->pid == 0) {
        round.random = seed;
        if (consumer)
            consume(seat->process);
        else
            produce(seat->process);
        _exit(0);
    }
    TORTURE_MUST(seat->pid > 0);
}

/* Notes how the process of a seat has ended. */
static void vacate(struct seat *seat, int status)
{
    bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    if (!killed && !(WIFEXITED(status) && WEXITSTATUS(status) == 0)) {
        fprintf(stderr, "torture_kill: process %u ended with status %x\n", seat->process, (unsigned)status);
        print_state();
        exit(1);
    }
    notes_of(seat)->killed = killed;
    round.kills += killed;
    seat->pid = 0;
}

/* Whether the process of a seat has ended by itself, having used up its notes or having been told to. */
static bool has_left(struct seat *seat, int options)
{
    int status;
    if (seat->pid == 0)
        return true;
    if (waitpid(seat->pid, &status, options) != seat->pid)
        return false;
    vacate(seat, status);
    return true;
}

static void kill_now(struct seat *seat)
{
    kill(seat->pid, SIGKILL);
    while (seat->pid != 0) {
        int status;
        TORTURE_MUST(waitpid(seat->pid, &status, __WALL) == seat->pid);
        if (!WIFSTOPPED(status))
            vacate(seat, status);
    }
}

/* Stops a process in front of an operation or anywhere, lets it go on step by step while the others run, and kills it
 * or sets it free. */
static void kill_in_an_operation(struct seat *seat)
{
    int status;
    _Atomic uint64_t *stop = &notes_of(seat)->stop;
    if (ptrace(PTRACE_SEIZE, seat->pid, NULL, NULL) < 0) {
        kill_now(seat); /* it has just left, or nobody may be traced here */
        return;
    }
    if (next_random(4) != 0)
        note(stop, 1);
    else
        ptrace(PTRACE_INTERRUPT, seat->pid, NULL, NULL);
    TORTURE_MUST(waitpid(seat->pid, &status, __WALL) == seat->pid);
    if (!WIFSTOPPED(status)) {
        vacate(seat, status);
        return;
    }
    note(stop, 0);
    torture_step(seat->pid, next_random(600));
    if (next_random(2) == 0) {
        sleep_us(next_random(1000));
        torture_step(seat->pid, next_random(100));
    }
    if (next_random(4) != 0 || ptrace(PTRACE_DETACH, seat->pid, NULL, NULL) < 0)
        kill_now(seat);
}

/* Until a process has begun to work, or for a moment, since it may have to wait for others. */
static void wait_for_work(const struct seat *seat)
{
    struct notes *notes = notes_of(seat);
    for (unsigned i = 0; i < 100 && noted(&notes->intended) == 0 && noted(&notes->read) == 0; i++)
        sleep_us(100);
}

static void kill_one(void)
{
    struct seat *seat = &round.seats[next_random(round.shape->producers + round.shape->consumers)];
    if (next_random(4) != 0) /* else it may be joining */
        wait_for_work(seat);
    if (next_random(2) == 0) {
        sleep_us(next_random(400));
        kill_now(seat);
    } else {
        kill_in_an_operation(seat);
    }
    if (next_random(2) == 0)
        TORTURE_MUST(kn_sector_recover(&round.sector) >= 0);
}

/* Waits until the seats from `first` to `last` are empty. */
static void empty_seats(uint32_t first, uint32_t last)
{
    for (uint32_t i = first; i < last; i++)
        while (!has_left(&round.seats[i], WNOHANG)) {
            TORTURE_MUST(kn_sector_recover(&round.sector) >= 0);
            sleep_us(500);
        }
}

static void kill_many(uint64_t kills)
{
    uint32_t seats = round.shape->producers + round.shape->consumers;
    for (uint32_t i = 0; i < seats; i++)
        start(&round.seats[i]);
    while (round.kills < kills && round.processes < PROCESSES_MAX - 2 * SEATS_MAX) {
        alarm(WATCHDOG_SECONDS);
        kill_one();
        for (uint32_t i = 0; i < seats; i++)
            if (has_left(&round.seats[i], WNOHANG))
                start(&round.seats[i]);
    }
    note(&round.board->closing, 1);
    empty_seats(0, round.shape->producers);
    note(&round.board->draining, 1);
    empty_seats(round.shape->producers, seats);
}

/* ---- whether all is well ---- */

static unsigned violations;

static void violated(const char *claim, uint64_t name)
{
    if (++violations <= 20)
        fprintf(stderr, "torture_kill: %s: message %llu of process %llu\n", claim,
                (unsigned long long)(name & UINT32_MAX), (unsigned long long)(name >> 32));
}

/* Reads what is left, then fills the sector and reads that. */
static void use_up(void)
{
    struct kn_reader readers[LANES_MAX];
    uint32_t processes[LANES_MAX];
    struct kn_writer writer;
    struct message message;
    uint32_t process = new_process(false, 0);
    TORTURE_MUST(kn_sector_recover(&round.sector) >= 0);
    for (uint32_t lane = 0; lane < round.shape->lanes; lane++) {
        processes[lane] = new_process(true, lane);
        join_consumer(&readers[lane], processes[lane]);
        while (consume_some(&readers[lane], processes[lane], false) > 0)
            ;
    }
    if (kn_sector_count(&round.sector) != 0)
        violated("not empty at the end", kn_sector_count(&round.sector));
    TORTURE_MUST(kn_writer_join(&writer, &round.sector) == 0);
    for (uint64_t i = 1; i <= round.capacity; i++) {
        write_message(&message, process, i);
        if (kn_writer_try_push(&writer, &message) < 0)
            violated("no room", message.name);
        else
            round.board->notes[process].published = round.board->notes[process].intended = i;
    }
    if (kn_writer_try_push(&writer, &message) != -EAGAIN)
        violated("too much room", message.name);
    for (uint32_t lane = 0; lane < round.shape->lanes; lane++)
        while (consume_some(&readers[lane], processes[lane], false) > 0)
            ;
    if (kn_sector_count(&round.sector) != 0)
        violated("not empty at the end", kn_sector_count(&round.sector));
    for (uint32_t lane = 0; lane < round.shape->lanes; lane++)
        kn_reader_leave(&readers[lane]);
    kn_writer_leave(&writer);
}

/* What became of a message in a lane. */
struct fate {
    uint64_t released_ns;
    uint8_t released; /* times that it was read and surely released */
    uint8_t doubtful; /* by one that was killed while it released it */
    uint8_t shown;    /* by one that was killed before */
};

static uint64_t index_of(uint64_t name)
{
    return (name >> 32) * MESSAGES_MAX + (name & UINT32_MAX);
}

static bool is_sane(uint64_t name)
{
    return name >> 32 < round.processes && (name & UINT32_MAX) < MESSAGES_MAX;
}

static void note_fates(struct fate *fates, struct notes *notes)
{
    for (uint64_t i = 0; i < notes->read; i++) {
        const struct read *read = &notes->reads[i];
        if (!is_sane(read->name)) {
            violated("torn", read->name);
            continue;
        }
        struct fate *fate = &fates[index_of(read->name)];
        if (i < notes->released || !notes->killed) {
            fate->released++;
            fate->released_ns = read->when_ns;
        } else if (i < notes->releasing) {
            fate->doubtful++;
        } else {
            fate->shown++;
        }
    }
}

/* `last`: of each producer, the sequence read last. */
static void check_order(const struct fate *fates, const struct notes *notes, uint64_t *last)
{
    for (uint64_t i = 0; i < notes->read; i++) {
        const struct read *read = &notes->reads[i];
        if (!is_sane(read->name))
            continue;
        const struct fate *fate = &fates[index_of(read->name)];
        uint64_t *before = &last[read->name >> 32];
        bool again = fate->shown + fate->doubtful > 0;
        if (again && i >= notes->released && fate->released > 0 && read->when_ns > fate->released_ns)
            violated("shown again after it was released", read->name);
        if (again || read->adopted)
            continue;
        if ((read->name & UINT32_MAX) <= *before)
            violated("out of order", read->name);
        *before = read->name & UINT32_MAX;
    }
}

static void check_lane(uint32_t lane)
{
    struct fate *fates = calloc((size_t)PROCESSES_MAX * MESSAGES_MAX, sizeof(*fates));
    uint64_t last[PROCESSES_MAX] = {0};
    TORTURE_MUST(fates);
    for (uint32_t i = 0; i < round.processes; i++)
        if (round.board->notes[i].consumer && round.board->notes[i].lane == lane)
            note_fates(fates, &round.board->notes[i]);
    for (uint32_t i = 0; i < round.processes; i++) {
        if (round.shape->readers == KN_READERS_GROUP || lane == LANE_NONE)
            memset(last, 0, sizeof(last));
        if (round.board->notes[i].consumer && round.board->notes[i].lane == lane)
            check_order(fates, &round.board->notes[i], last);
    }
    for (uint32_t i = 0; lane != LANE_NONE && i < round.processes; i++) {
        const struct notes *notes = &round.board->notes[i];
        for (uint64_t sequence = 1; sequence < MESSAGES_MAX && !notes->consumer; sequence++) {
            uint64_t name = (uint64_t)i << 32 | sequence;
            const struct fate *fate = &fates[index_of(name)];
            if (sequence <= notes->published && fate->released + fate->doubtful == 0)
                violated(fate->shown ? "not shown again" : "lost", name);
            if (fate->released > 1)
                violated("read twice", name);
            if (sequence > notes->intended && fate->released + fate->doubtful + fate->shown > 0)
                violated("never meant", name);
        }
    }
    free(fates);
}

static uint64_t messages_read(void)
{
    uint64_t read = 0;
    for (uint32_t i = 0; i < round.processes; i++)
        read += round.board->notes[i].read;
    return read;
}

static void keep_place(void *process)
{
    struct kn_reader reader;
    join_consumer(&reader, *(uint32_t *)process);
}

/* Plays one round of up to `kills` kills; how many there were. */
static uint64_t play(const struct shape *shape, uint64_t kills, uint64_t *messages)
{
    round = (struct round){.shape = shape, .random = round.random};
    round.capacity = (size_t)1 << (1 + next_random(6));
    round.batch_max = 1 + next_random(round.capacity < 16 ? round.capacity : 16);
    const struct kn_sector_options options = {.slot_bytes = sizeof(struct message),
                                              .capacity_slots = round.capacity,
                                              .layout = next_random(2) ? KN_LAYOUT_DENSE : KN_LAYOUT_SEQUENCED,
                                              .writers = shape->writers,
                                              .readers = shape->readers,
                                              .cursors_max = KN_CURSORS_RESERVED + 2 * SEATS_MAX,
                                              .shared = true};
    TORTURE_MUST(kn_sector_create(&round.sector, &options) == 0);
    round.board =
        mmap(NULL, sizeof(*round.board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    TORTURE_MUST(round.board != MAP_FAILED);
    for (uint32_t lane = 0; shape->readers == KN_READERS_JOIN && lane < shape->lanes; lane++) {
        uint32_t process = new_process(true, lane);
        TORTURE_MUST(torture_perish(keep_place, &process)); /* a place from the first message on */
        TORTURE_MUST(kn_sector_recover(&round.sector) == 1);
    }
    kill_many(kills);
    use_up();
    for (uint32_t lane = 0; lane < shape->lanes; lane++)
        check_lane(lane);
    check_lane(LANE_NONE);
    if (round.board->torn != 0)
        violated("torn", round.board->torn);
    if (violations > 0)
        print_state();
    *messages += messages_read();
    munmap(round.board, sizeof(*round.board));
    kn_sector_close(&round.sector);
    return round.kills;
}

static void torture(const struct shape *shape, uint64_t kills)
{
    uint64_t done = 0;
    uint64_t messages = 0;
    while (done < kills && violations == 0) {
        uint64_t left = kills - done;
        done += play(shape, left < KILLS_A_ROUND ? left : KILLS_A_ROUND, &messages);
    }
    fprintf(stderr, "torture_kill: %s: %llu kills, %llu messages read: %s\n", shape->name, (unsigned long long)done,
            (unsigned long long)messages, violations == 0 ? "all is well" : "VIOLATED");
}

static bool parse(const char *text, uint64_t *value)
{
    char *end;
    errno = 0;
    *value = strtoull(text, &end, 10);
    return errno == 0 && end != text && *end == '\0';
}

int main(int argc, char **argv)
{
    static const struct option OPTIONS[] = {{"kills", required_argument, NULL, 'k'},
                                            {"seed", required_argument, NULL, 's'},
                                            {"shape", required_argument, NULL, 'p'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    uint64_t kills = 100;
    uint64_t seed = 1;
    const char *wanted = "all";
    bool found = false;
    int option;
    while ((option = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1) {
        if (option == 'p')
            wanted = optarg;
        if (option == 'h' && fputs(HELP, stdout) >= 0)
            return EX_OK;
        if (option == '?' || (option == 'k' && !parse(optarg, &kills)) || (option == 's' && !parse(optarg, &seed)))
            return fputs(HELP, stderr) < 0 ? EX_IOERR : EX_USAGE;
    }
    signal(SIGALRM, bark);
    for (size_t i = 0; i < sizeof(SHAPES) / sizeof(SHAPES[0]); i++) {
        if (strcmp(wanted, "all") != 0 && strcmp(wanted, SHAPES[i].name) != 0)
            continue;
        found = true;
        round.random = mix(seed + i);
        torture(&SHAPES[i], kills);
    }
    if (!found)
        fputs(HELP, stderr);
    return !found ? EX_USAGE : violations > 0 ? 1 : 0;
}
