/*
 * One answer from any thread to one future. See oneshot.h.
 *
 * Of the two ends the one whose exchange of `state` finds the other's bit is the last. The other may still be calling a
 * waker then, which takes a few instructions: its second bit is waited for.
 */
#include <sched.h>

#include <kernel/assert.h>
#include <kernel/oneshot.h>

/* Pauses before others are let run: who is waited for may have lost its core. */
#define OUT_PAUSES 64

void kn_oneshot_init(struct kn_oneshot *oneshot, const struct kn_oneshot_options *options)
{
    *oneshot = (struct kn_oneshot){.options = options ? *options : (struct kn_oneshot_options){0}};
}

/* Waits for the last access of the other end. */
static void wait_for_other(const struct kn_oneshot *oneshot, uint32_t bit)
{
    unsigned pauses = 0;
    /* Acquire pairs with the release in step_out. */
    while (!(atomic_load_explicit(&oneshot->state, memory_order_acquire) & bit)) {
        if (++pauses % OUT_PAUSES == 0)
            sched_yield();
        else
            kn_cpu_relax();
    }
}

/* The last access of an end that is not the last. */
static void step_out(struct kn_oneshot *oneshot, uint32_t bit)
{
    /* Release pairs with the acquire in wait_for_other: the calling of the waker has ended. */
    atomic_fetch_or_explicit(&oneshot->state, bit, memory_order_release);
}

static void finish(struct kn_oneshot *oneshot)
{
    if (oneshot->options.finished)
        oneshot->options.finished(oneshot, oneshot->options.context);
}

/* ---- the sender ---- */

int kn_oneshot_send(struct kn_oneshot *oneshot, struct kn_outcome outcome)
{
    kn_assert(outcome.status != KN_PENDING);
    oneshot->outcome = outcome;
    /* Release hands the answer to the acquire in oneshot_poll; acquire pairs with the release of let_go. */
    uint32_t state = atomic_fetch_or_explicit(&oneshot->state, KN_ONESHOT_SENT, memory_order_acq_rel);
    kn_assert(!(state & KN_ONESHOT_SENT));
    if (state & KN_ONESHOT_GONE) {
        wait_for_other(oneshot, KN_ONESHOT_RECEIVER_OUT);
        finish(oneshot);
        return -EPIPE;
    }
    kn_waker_cell_wake(&oneshot->receiver);
    step_out(oneshot, KN_ONESHOT_SENDER_OUT);
    return 0;
}

int kn_oneshot_close(struct kn_oneshot *oneshot)
{
    return kn_oneshot_send(oneshot, kn_failed(-EPIPE));
}

bool kn_oneshot_is_closed(const struct kn_oneshot *oneshot)
{
    /* Acquire pairs with the release of let_go. */
    return atomic_load_explicit(&oneshot->state, memory_order_acquire) & KN_ONESHOT_GONE;
}

/* ---- cancelled ---- */

static void cancelled_drop(struct kn_future *future)
{
    struct kn_future_oneshot_cancelled *self = KN_CONTAINER_OF(future, struct kn_future_oneshot_cancelled, future);
    if (!self->oneshot)
        return;
    kn_waker_cell_clear(&self->oneshot->sender);
    self->oneshot = NULL;
}

static struct kn_outcome cancelled_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_future_oneshot_cancelled *self = KN_CONTAINER_OF(future, struct kn_future_oneshot_cancelled, future);
    kn_waker_cell_register(&self->oneshot->sender, context->waker);
    if (!kn_oneshot_is_closed(self->oneshot))
        return kn_pending();
    cancelled_drop(future);
    return kn_ready(KN_NOTHING);
}

static const struct kn_future_type cancelled_type = {
    .name = "cancelled", .poll = cancelled_poll, .drop = cancelled_drop};

struct kn_future *kn_future_oneshot_cancelled(struct kn_future_oneshot_cancelled *self, struct kn_oneshot *oneshot)
{
    if (!self || !oneshot)
        return NULL;
    *self = (struct kn_future_oneshot_cancelled){.future.type = &cancelled_type, .oneshot = oneshot};
    return &self->future;
}

/* ---- the receiver ---- */

/* Ends the receiver before it has an answer, or with one that nobody takes. */
static void let_go(struct kn_oneshot *oneshot)
{
    kn_waker_cell_clear(&oneshot->receiver);
    /* Release pairs with the acquires of the sender; acquire with the release of kn_oneshot_send. */
    uint32_t state = atomic_fetch_or_explicit(&oneshot->state, KN_ONESHOT_GONE, memory_order_acq_rel);
    if (!(state & KN_ONESHOT_SENT)) {
        kn_waker_cell_wake(&oneshot->sender);
        step_out(oneshot, KN_ONESHOT_RECEIVER_OUT);
        return;
    }
    wait_for_other(oneshot, KN_ONESHOT_SENDER_OUT);
    if (oneshot->outcome.status == KN_READY && oneshot->options.release)
        oneshot->options.release(oneshot->outcome.value, oneshot->options.context);
    finish(oneshot);
}

static void oneshot_drop(struct kn_future *future)
{
    struct kn_future_oneshot *self = KN_CONTAINER_OF(future, struct kn_future_oneshot, future);
    struct kn_oneshot *oneshot = self->oneshot;
    self->oneshot = NULL;
    if (oneshot)
        let_go(oneshot);
}

static bool is_sent(const struct kn_oneshot *oneshot)
{
    /* Acquire pairs with the release in kn_oneshot_send. */
    return atomic_load_explicit(&oneshot->state, memory_order_acquire) & KN_ONESHOT_SENT;
}

static struct kn_outcome oneshot_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_future_oneshot *self = KN_CONTAINER_OF(future, struct kn_future_oneshot, future);
    struct kn_oneshot *oneshot = self->oneshot;
    if (!is_sent(oneshot)) {
        kn_waker_cell_register(&oneshot->receiver, context->waker);
        if (!is_sent(oneshot))
            return kn_pending();
    }
    /* Then it has called the waker, or found none, and will not any more. */
    wait_for_other(oneshot, KN_ONESHOT_SENDER_OUT);
    struct kn_outcome outcome = oneshot->outcome;
    self->oneshot = NULL;
    finish(oneshot);
    return outcome;
}

static void oneshot_discard(struct kn_future *future, kn_value_t value)
{
    struct kn_future_oneshot *self = KN_CONTAINER_OF(future, struct kn_future_oneshot, future);
    if (self->options.release)
        self->options.release(value, self->options.context);
}

static const struct kn_future_type oneshot_type = {
    .name = "oneshot", .poll = oneshot_poll, .drop = oneshot_drop, .discard = oneshot_discard};

struct kn_future *kn_future_oneshot(struct kn_future_oneshot *self, struct kn_oneshot *oneshot)
{
    if (!oneshot)
        return NULL;
    if (!self) {
        let_go(oneshot);
        return NULL;
    }
    *self = (struct kn_future_oneshot){.future.type = &oneshot_type, .oneshot = oneshot, .options = oneshot->options};
    return &self->future;
}
