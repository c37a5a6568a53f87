/*
 * Futures of time. See future_time.h.
 */
#include <kernel/future_time.h>

/* ---- delay ---- */

static void delay_expired(struct kn_timer *timer, void *owner)
{
    (void)owner;
    struct kn_future_delay *self = KN_CONTAINER_OF(timer, struct kn_future_delay, timer);
    self->is_over = true;
    kn_executor_unpin(self->executor);
    self->executor = NULL;
    kn_waker_wake(self->waker);
}

static void delay_drop(struct kn_future *future)
{
    struct kn_future_delay *self = KN_CONTAINER_OF(future, struct kn_future_delay, future);
    if (!self->executor)
        return;
    (void)kn_timer_wheel_cancel(kn_timer_wheel_of(&self->timer), &self->timer);
    kn_executor_unpin(self->executor);
    self->executor = NULL;
}

/* At the first poll: the time counts from here, unless there is a moment. */
static void fix_deadline(struct kn_future_delay *self, uint64_t now_ns)
{
    if (self->deadline_ns == KN_NEVER)
        self->deadline_ns = kn_time_after(now_ns, self->delay_ns);
}

static struct kn_outcome delay_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_future_delay *self = KN_CONTAINER_OF(future, struct kn_future_delay, future);
    struct kn_executor *executor = context->executor;
    self->waker = context->waker;
    if (self->executor)
        return kn_pending();
    if (self->is_over)
        return kn_ready(KN_NOTHING);
    fix_deadline(self, executor->now_ns);
    if (self->deadline_ns <= executor->now_ns)
        return kn_ready(KN_NOTHING);
    if (!executor->timers)
        return kn_failed(-ENOSYS);
    kn_timer_init(&self->timer, delay_expired, 0);
    (void)kn_timer_wheel_arm(executor->timers, &self->timer, self->deadline_ns);
    self->executor = kn_context_pin(context);
    return kn_pending();
}

static const struct kn_future_type delay_type = {.name = "delay", .poll = delay_poll, .drop = delay_drop};

static struct kn_future *delay_make(struct kn_future_delay *self, uint64_t deadline_ns, uint64_t delay_ns)
{
    if (!self)
        return NULL;
    self->future.type = &delay_type;
    self->executor = NULL;
    self->deadline_ns = deadline_ns;
    self->delay_ns = delay_ns;
    self->is_over = false;
    return &self->future;
}

struct kn_future *kn_future_delay(struct kn_future_delay *self, uint64_t delay_ns)
{
    return delay_make(self, KN_NEVER, delay_ns);
}

struct kn_future *kn_future_delay_until(struct kn_future_delay *self, uint64_t deadline_ns)
{
    return delay_make(self, deadline_ns, KN_NEVER);
}

/* ---- timeout ---- */

static void timeout_drop(struct kn_future *future)
{
    struct kn_future_timeout *self = KN_CONTAINER_OF(future, struct kn_future_timeout, future);
    kn_future_drop(self->inner);
    delay_drop(&self->delay.future);
}

static struct kn_outcome timeout_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_future_timeout *self = KN_CONTAINER_OF(future, struct kn_future_timeout, future);
    struct kn_future_delay *delay = &self->delay;
    fix_deadline(delay, context->executor->now_ns);
    if (context->deadline_ns < delay->deadline_ns)
        delay->deadline_ns = context->deadline_ns;
    struct kn_context within = *context;
    within.deadline_ns = delay->deadline_ns;
    struct kn_outcome outcome = kn_future_poll(self->inner, &within);
    if (outcome.status != KN_PENDING) {
        delay_drop(&delay->future);
        return outcome;
    }
    outcome = delay_poll(&delay->future, context);
    if (outcome.status == KN_PENDING)
        return outcome;
    kn_future_drop(self->inner);
    return kn_failed(outcome.status == KN_READY ? -ETIMEDOUT : outcome.status);
}

static void timeout_discard(struct kn_future *future, kn_value_t value)
{
    kn_future_discard(KN_CONTAINER_OF(future, struct kn_future_timeout, future)->inner, value);
}

static const struct kn_future_type timeout_type = {
    .name = "timeout", .poll = timeout_poll, .drop = timeout_drop, .discard = timeout_discard};

static struct kn_future *timeout_make(struct kn_future_timeout *self, struct kn_future *inner, uint64_t deadline_ns,
                                      uint64_t timeout_ns)
{
    if (!self || !inner) {
        kn_future_drop(inner);
        return NULL;
    }
    self->future.type = &timeout_type;
    self->inner = inner;
    (void)delay_make(&self->delay, deadline_ns, timeout_ns);
    return &self->future;
}

struct kn_future *kn_future_timeout(struct kn_future_timeout *self, struct kn_future *inner, uint64_t timeout_ns)
{
    return timeout_make(self, inner, KN_NEVER, timeout_ns);
}

struct kn_future *kn_future_timeout_at(struct kn_future_timeout *self, struct kn_future *inner, uint64_t deadline_ns)
{
    return timeout_make(self, inner, deadline_ns, KN_NEVER);
}
