/* Pushes very many messages through queues of every shape, and checks that none is lost, doubled or out of order. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#include <kernel/broadcast.h>
#include <kernel/mpmc.h>
#include <kernel/mpsc.h>
#include <kernel/spmc.h>
#include <kernel/spsc.h>

#include "queue_stress.h"

KN_SPSC_DEFINE(spsc, struct stress_message);
KN_SPSC_DENSE_DEFINE(spsc_dense, struct stress_message);
KN_MPSC_DEFINE(mpsc, struct stress_message);
KN_MPSC_DENSE_DEFINE(mpsc_dense, struct stress_message);
KN_SPMC_DEFINE(spmc, struct stress_message);
KN_SPMC_DENSE_DEFINE(spmc_dense, struct stress_message);
KN_MPMC_DEFINE(mpmc, struct stress_message);
KN_MPMC_DENSE_DEFINE(mpmc_dense, struct stress_message);
KN_BROADCAST_DEFINE(broadcast, struct stress_message);
KN_BROADCAST_DENSE_DEFINE(broadcast_dense, struct stress_message);
QUEUE_FACE(spsc);
QUEUE_FACE(spsc_dense);
QUEUE_FACE(mpsc);
QUEUE_FACE(mpsc_dense);
QUEUE_FACE(spmc);
QUEUE_FACE(spmc_dense);
QUEUE_FACE(mpmc);
QUEUE_FACE(mpmc_dense);
QUEUE_FACE(broadcast);
QUEUE_FACE(broadcast_dense);

enum { SHAPES = 5, CAPACITY = 1024, BATCH = 32 };

static const char *const NAMES[SHAPES] = {"spsc", "mpsc", "spmc", "mpmc", "broadcast"};

static struct queue_face face_of(unsigned shape, bool dense)
{
    switch (shape) {
    case 0:
        return dense ? spsc_dense_face() : spsc_face();
    case 1:
        return dense ? mpsc_dense_face() : mpsc_face();
    case 2:
        return dense ? spmc_dense_face() : spmc_face();
    case 3:
        return dense ? mpmc_dense_face() : mpmc_face();
    default:
        return dense ? broadcast_dense_face() : broadcast_face();
    }
}

struct soak {
    unsigned shape; /* SHAPES: all */
    uint64_t messages;
    bool dense;
    unsigned producers;
    unsigned consumers;
};

static const char HELP[] =
    "Usage: soak_queue [OPTION]...\n"
    "Pushes messages through queues, and fails if any is lost, doubled, torn or out of order.\n"
    "\n"
    "      --shape NAME     spsc, mpsc, spmc, mpmc, broadcast or all (all)\n"
    "      --messages N     messages through each shape, by all producers together (1000000000)\n"
    "      --layout NAME    sequenced or dense (sequenced)\n"
    "      --producers N    threads that push, where a shape has several: 1 to 4 (2)\n"
    "      --consumers N    threads that pop, where a shape has several: 1 to 4 (2)\n"
    "      --help           this text\n"
    "\n"
    "Prints a line for each shape, and the progress on standard error. Exits with 1 if anything was wrong.\n";

static bool read_number(const char *text, uint64_t least, uint64_t most, uint64_t *number)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (end == text || *end != '\0' || *text == '-' || errno != 0 || value < least || value > most)
        return false;
    *number = value;
    return true;
}

static bool read_shape(const char *text, unsigned *shape)
{
    for (*shape = 0; *shape < SHAPES; (*shape)++)
        if (strcmp(text, NAMES[*shape]) == 0)
            return true;
    return strcmp(text, "all") == 0;
}

/* One option's value; false when it is none. */
static bool read_option(struct soak *soak, int option, const char *value)
{
    uint64_t number = 0;
    switch (option) {
    case 's':
        return read_shape(value, &soak->shape);
    case 'm':
        return read_number(value, 1, UINT64_C(1) << (STRESS_PRODUCER_SHIFT - 1), &soak->messages);
    case 'l':
        soak->dense = strcmp(value, "dense") == 0;
        return soak->dense || strcmp(value, "sequenced") == 0;
    case 'p':
    case 'c':
        if (!read_number(value, 1, STRESS_ENDS_MAX, &number))
            return false;
        *(option == 'p' ? &soak->producers : &soak->consumers) = (unsigned)number;
        return true;
    default:
        return false;
    }
}

/* Says how far a run has come, until it is over. */
struct reporter {
    _Atomic uint64_t received;
    _Atomic bool over;
    uint64_t expected;
    const char *name;
};

static void *report(void *argument)
{
    struct reporter *reporter = argument;
    const struct timespec tenth = {.tv_nsec = 100000000};
    for (unsigned tick = 1; !atomic_load_explicit(&reporter->over, memory_order_relaxed); tick++) {
        (void)nanosleep(&tenth, NULL);
        if (tick % 50 != 0)
            continue;
        uint64_t received = atomic_load_explicit(&reporter->received, memory_order_relaxed);
        fprintf(stderr, "%s: %" PRIu64 " of %" PRIu64 " (%.0f %%)\n", reporter->name, received, reporter->expected,
                100.0 * (double)received / (double)reporter->expected);
    }
    return NULL;
}

/* Runs one shape; whether nothing was wrong. */
static bool run(const struct soak *soak, unsigned shape)
{
    struct queue_face face = face_of(shape, soak->dense);
    bool several = face.options.readers != KN_READER_EXCLUSIVE;
    struct reporter reporter = {.name = NAMES[shape]};
    struct stress_options options = {.face = &face,
                                     .capacity_slots = CAPACITY,
                                     .producers = face.options.writers == KN_WRITERS_SHARED ? soak->producers : 1,
                                     .consumers = several ? soak->consumers : 1,
                                     .batch = BATCH,
                                     .full_batches = true,
                                     .progress = &reporter.received};
    options.messages = (soak->messages + options.producers - 1) / options.producers;
    uint64_t pushed = options.messages * options.producers;
    reporter.expected = face.options.readers == KN_READERS_JOIN ? pushed * options.consumers : pushed;
    pthread_t thread;
    bool reported = pthread_create(&thread, NULL, report, &reporter) == 0;
    uint64_t wrong = stress_run(&options);
    atomic_store_explicit(&reporter.over, true, memory_order_relaxed);
    if (reported)
        (void)pthread_join(thread, NULL);
    printf("%s %s: %" PRIu64 " messages, %u producers, %u consumers: %s\n", NAMES[shape],
           soak->dense ? "dense" : "sequenced", pushed, options.producers, options.consumers,
           wrong == 0 ? "every one once and in order" : "LOST, DOUBLED, TORN OR OUT OF ORDER");
    (void)fflush(stdout);
    return wrong == 0;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"shape", required_argument, NULL, 's'},
                                            {"messages", required_argument, NULL, 'm'},
                                            {"layout", required_argument, NULL, 'l'},
                                            {"producers", required_argument, NULL, 'p'},
                                            {"consumers", required_argument, NULL, 'c'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    struct soak soak = {.shape = SHAPES, .messages = UINT64_C(1000000000), .producers = 2, .consumers = 2};
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'h') {
            fputs(HELP, stdout);
            return EX_OK;
        }
        if (option == '?' || !read_option(&soak, option, optarg)) {
            fprintf(stderr, "soak_queue: %s; see --help\n", option == '?' ? "that is no option" : optarg);
            return EX_USAGE;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "soak_queue: %s: no arguments, please; see --help\n", argv[optind]);
        return EX_USAGE;
    }
    bool right = true;
    for (unsigned shape = 0; shape < SHAPES; shape++)
        if (soak.shape == shape || soak.shape == SHAPES)
            right &= run(&soak, shape);
    return right ? EX_OK : EXIT_FAILURE;
}
