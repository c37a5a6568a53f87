/* One thread hands orders to another: written in place, read in place, a cache line each. */
#include <kernel/kernel.h>
#include <pthread.h>
#include <stdio.h>

struct order {
    uint64_t number;
    uint32_t price, quantity;
};
KN_SPSC_DEFINE(orders, struct order);

static void *trade(void *argument)
{
    struct orders *queue = argument;
    for (uint64_t number = 1; number <= 1000000;) {
        struct order order = {.number = number, .price = 100 + number % 7, .quantity = 10};
        if (orders_try_push(&queue->producer, &order) == 0)
            number++;
        else
            kn_cpu_relax(); /* full: how to wait is the caller's choice */
    }
    return NULL;
}

int main(void)
{
    struct orders *queue;
    pthread_t trader;
    uint64_t received = 0, volume = 0;
    if (orders_open(&queue, 1024) < 0 || pthread_create(&trader, NULL, trade, queue) != 0)
        return 1;
    while (received < 1000000) {
        struct kn_span span;
        if (orders_peek(&queue->consumer, 64, &span) < 0)
            continue;
        for (size_t i = 0; i < span.count; i++)
            volume += (uint64_t)orders_at(&span, i)->price * orders_at(&span, i)->quantity;
        received += span.count;
        (void)orders_release(&queue->consumer, span.count);
    }
    pthread_join(trader, NULL);
    printf("%llu orders, volume %llu\n", (unsigned long long)received, (unsigned long long)volume);
    orders_close(queue);
    return 0;
}
