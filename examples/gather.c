/* Fan-out and fan-in: asks eight venues for a price at once, and takes the best of those that answer within 20 ms. */
#include <kernel/kernel.h>
#include <stdio.h>
#include <stdlib.h>

enum { VENUES = 8 };

/* One request. It stands in for a socket: the venue thinks for a while, and some have no price. */
struct quote {
    KN_ASYNC_STATE;
    int venue;
    struct kn_future_delay thinks;
    struct kn_future_timeout timeout;
};

KN_ASYNC(quote)
{
    KN_BEGIN;
    KN_TRY(kn_future_delay(&self->thinks, (uint64_t)self->venue * 7 * KN_MILLISECOND_NS));
    if (self->venue == 1)
        KN_FAIL(-ENODATA);
    KN_RETURN(100.0 + 3 * self->venue % 5);
}

int main(void)
{
    struct quote quotes[VENUES];
    struct kn_join_member members[VENUES];
    struct kn_future_join_all all;
    for (int i = 0; i < VENUES; i++) {
        quotes[i] = (struct quote){.venue = i};
        members[i].future = kn_future_timeout(&quotes[i].timeout, quote(&quotes[i]), 20 * KN_MILLISECOND_NS);
    }
    struct kn_outcome outcome = kn_block_on(kn_future_join_all(&all, members, VENUES), -1);
    if (outcome.status != KN_READY)
        return EXIT_FAILURE;

    double best = 0;
    for (int i = 0; i < VENUES; i++) {
        int64_t status = members[i].outcome.status;
        if (status == KN_READY)
            best = members[i].outcome.value.real > best ? members[i].outcome.value.real : best;
        printf("venue %d: %s\n", i, status == KN_READY ? "answered" : kn_error_text((int)status));
    }
    printf("best price %.1f\n", best);
    return EXIT_SUCCESS;
}
