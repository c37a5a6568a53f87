/* One writer, three readers of every trade: risk first, the strategy only after risk, a display that may fall behind.
 */
#include <kernel/kernel.h>
#include <pthread.h>
#include <stdio.h>

struct trade {
    uint64_t number;
    uint64_t volume;
    bool approved;
};
KN_BROADCAST_DEFINE(trades, struct trade);

enum { TRADES = 200000, RISK = 1 };
static const struct kn_wait yielding = {.strategy = KN_WAIT_YIELD};

static struct trades_consumer risk, strategy, display;
static uint64_t approved, shown;

/* Writes its verdict into the message itself: the strategy comes after it and reads it there. */
static void *check_risk(void *unused)
{
    struct kn_span span;
    for (uint64_t seen = 0; seen < TRADES; seen += span.count) {
        (void)trades_peek_wait(&risk, 64, &span, &yielding);
        for (size_t i = 0; i < span.count; i++)
            trades_at(&span, i)->approved = trades_at(&span, i)->volume < 90;
        (void)trades_release(&risk, span.count);
    }
    return unused;
}

static void *follow(void *unused)
{
    struct trade trade = {0};
    while (trade.number < TRADES && trades_pop(&strategy, &trade, &yielding) == 0)
        approved += trade.approved;
    return unused;
}

static void *show(void *unused)
{
    struct trade trade = {0};
    while (trade.number < TRADES && trades_pop(&display, &trade, &yielding) == 0)
        shown++;
    return unused;
}

int main(void)
{
    struct trades *queue;
    pthread_t threads[3];
    struct kn_reader_options as_risk = {.id = RISK}, after_risk = {.after = {RISK}}, lossy = {.lag = KN_LAG_SKIP};
    if (trades_open(&queue, 1024) < 0 || trades_consumer_join(&risk, &queue->sector, &as_risk) < 0 ||
        trades_consumer_join(&strategy, &queue->sector, &after_risk) < 0 ||
        trades_consumer_join(&display, &queue->sector, &lossy) < 0)
        return 1;
    void *(*const work[])(void *) = {check_risk, follow, show};
    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, work[i], NULL);
    for (uint64_t number = 1; number <= TRADES; number++) {
        struct trade trade = {.number = number, .volume = number % 100};
        (void)trades_push(&queue->producer, &trade, &yielding);
    }
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    printf("%llu approved, %llu shown and %llu passed over\n", (unsigned long long)approved, (unsigned long long)shown,
           (unsigned long long)kn_reader_lost(&display.reader));
    return shown + kn_reader_lost(&display.reader) == TRADES ? 0 : 1;
}
