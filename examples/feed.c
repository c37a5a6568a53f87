/* Two processes: one publishes prices into a named sector, the other reads them there. Kill either; the other goes on.
 */
#include <kernel/kernel.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct price {
    uint64_t number;
    double value;
};
KN_SPSC_DEFINE(prices, struct price);

enum { PRICES = 100000 };
static const struct kn_wait parking = {.strategy = KN_WAIT_PARK};

static int publish(const char *name)
{
    struct kn_sector sector;
    struct prices_producer producer;
    int result = kn_sector_open_named(&sector, name, NULL);
    if (result < 0 || (result = prices_producer_join(&producer, &sector)) < 0)
        return result;
    for (uint64_t number = 1; number <= PRICES; number++) {
        struct price price = {.number = number, .value = 100 + (double)(number % 7)};
        (void)prices_push(&producer, &price, &parking);
    }
    prices_producer_leave(&producer);
    kn_sector_close(&sector);
    return 0;
}

int main(void)
{
    struct kn_sector sector;
    struct prices_consumer consumer;
    struct price price = {0};
    char name[64];
    snprintf(name, sizeof(name), "/kernel-feed-%d", (int)getpid());
    struct kn_sector_options options = prices_options(1024);
    options.name = name;
    int result = kn_sector_create(&sector, &options);
    if (result < 0 || (result = prices_consumer_join(&consumer, &sector, NULL)) < 0) {
        fprintf(stderr, "feed: %s\n", kn_error_text(result));
        return 1;
    }
    pid_t publisher = fork();
    if (publisher == 0)
        _exit(publish(name) < 0);
    double sum = 0;
    while (price.number < PRICES && prices_pop(&consumer, &price, &parking) == 0)
        sum += price.value;
    waitpid(publisher, NULL, 0);
    printf("%llu prices, sum %.0f\n", (unsigned long long)price.number, sum);
    kn_sector_unlink(name);
    kn_sector_close(&sector);
    return 0;
}
