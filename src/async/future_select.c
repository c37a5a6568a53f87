/*
 * The first of several futures. See future_select.h.
 */
#include <kernel/future_select.h>

/* Drops the children from `first` on. */
static void drop_children(struct kn_future **children, size_t first, size_t count)
{
    for (size_t i = first; i < count; i++)
        kn_future_drop(children[i]);
}

/* Whether there is memory and all children. Drops those that there are otherwise. */
static bool is_complete(const void *self, struct kn_future **children, size_t count)
{
    bool complete = self != NULL && (children || count == 0);
    for (size_t i = 0; complete && i < count; i++)
        complete = children[i] != NULL;
    if (!complete && children)
        drop_children(children, 0, count);
    return complete;
}

/* Takes a child out of the array: the last one fills its place. */
static struct kn_future *take_child(struct kn_future **children, size_t index, size_t *count)
{
    struct kn_future *child = children[index];
    children[index] = children[--*count];
    return child;
}

/* ---- race ---- */

static void race_drop(struct kn_future *future)
{
    struct kn_future_race *self = KN_CONTAINER_OF(future, struct kn_future_race, future);
    drop_children(self->children, 0, self->count);
    self->count = 0;
}

static struct kn_outcome race_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_future_race *self = KN_CONTAINER_OF(future, struct kn_future_race, future);
    for (size_t i = 0; i < self->count; i++) {
        struct kn_outcome outcome = kn_future_poll(self->children[i], context);
        if (outcome.status == KN_PENDING)
            continue;
        self->winner = i;
        race_drop(future);
        return outcome;
    }
    return self->count > 0 ? kn_pending() : kn_failed(-EINVAL);
}

static void race_discard(struct kn_future *future, kn_value_t value)
{
    struct kn_future_race *self = KN_CONTAINER_OF(future, struct kn_future_race, future);
    kn_future_discard(self->children[self->winner], value);
}

static const struct kn_future_type race_type = {
    .name = "race", .poll = race_poll, .drop = race_drop, .discard = race_discard};

struct kn_future *kn_future_race(struct kn_future_race *self, struct kn_future **children, size_t count)
{
    if (!is_complete(self, children, count))
        return NULL;
    *self = (struct kn_future_race){.future.type = &race_type, .children = children, .count = count};
    return &self->future;
}

/* ---- select_ok ---- */

static void select_ok_drop(struct kn_future *future)
{
    struct kn_future_select_ok *self = KN_CONTAINER_OF(future, struct kn_future_select_ok, future);
    drop_children(self->children, 0, self->count);
    self->count = 0;
}

static struct kn_outcome select_ok_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_future_select_ok *self = KN_CONTAINER_OF(future, struct kn_future_select_ok, future);
    size_t i = 0;
    while (i < self->count) {
        struct kn_outcome outcome = kn_future_poll(self->children[i], context);
        if (outcome.status == KN_PENDING) {
            i++;
            continue;
        }
        struct kn_future *child = take_child(self->children, i, &self->count);
        self->status = outcome.status;
        if (outcome.status == KN_READY) {
            select_ok_drop(future);
            self->children[0] = child;
            return outcome;
        }
    }
    return self->count > 0 ? kn_pending() : kn_failed(self->status);
}

static void select_ok_discard(struct kn_future *future, kn_value_t value)
{
    kn_future_discard(KN_CONTAINER_OF(future, struct kn_future_select_ok, future)->children[0], value);
}

static const struct kn_future_type select_ok_type = {
    .name = "select_ok", .poll = select_ok_poll, .drop = select_ok_drop, .discard = select_ok_discard};

struct kn_future *kn_future_select_ok(struct kn_future_select_ok *self, struct kn_future **children, size_t count)
{
    if (!is_complete(self, children, count))
        return NULL;
    *self = (struct kn_future_select_ok){
        .future.type = &select_ok_type, .children = children, .count = count, .status = -EINVAL};
    return &self->future;
}

/* ---- select_all, select ---- */

static struct kn_outcome select_all_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_future_select_all *self = KN_CONTAINER_OF(future, struct kn_future_select_all, future);
    for (size_t i = 0; i < self->count; i++) {
        struct kn_outcome outcome = kn_future_poll(self->children[i], context);
        if (outcome.status == KN_PENDING)
            continue;
        self->outcome = outcome;
        self->winner = take_child(self->children, i, &self->count);
        return kn_ready(KN_VALUE(i));
    }
    return self->count > 0 ? kn_pending() : kn_failed(-EINVAL);
}

/* After the answer they belong to it. */
static void select_all_drop(struct kn_future *future)
{
    struct kn_future_select_all *self = KN_CONTAINER_OF(future, struct kn_future_select_all, future);
    if (self->winner)
        return;
    drop_children(self->children, 0, self->count);
    self->count = 0;
}

static void select_all_discard(struct kn_future *future, kn_value_t value)
{
    (void)value;
    struct kn_future_select_all *self = KN_CONTAINER_OF(future, struct kn_future_select_all, future);
    struct kn_outcome outcome = kn_future_select_all_outcome(self);
    kn_future_discard_outcome(self->winner, outcome);
    drop_children(self->children, 0, kn_future_select_all_rest(self));
}

static const struct kn_future_type select_all_type = {
    .name = "select_all", .poll = select_all_poll, .drop = select_all_drop, .discard = select_all_discard};

static const struct kn_future_type select_type = {
    .name = "select", .poll = select_all_poll, .drop = select_all_drop, .discard = select_all_discard};

static struct kn_future *select_all_make(struct kn_future_select_all *self, const struct kn_future_type *type,
                                         struct kn_future **children, size_t count)
{
    *self = (struct kn_future_select_all){
        .future.type = type, .children = children, .count = count, .outcome.status = KN_PENDING};
    return &self->future;
}

struct kn_future *kn_future_select_all(struct kn_future_select_all *self, struct kn_future **children, size_t count)
{
    return is_complete(self, children, count) ? select_all_make(self, &select_all_type, children, count) : NULL;
}

struct kn_outcome kn_future_select_all_outcome(struct kn_future_select_all *self)
{
    struct kn_outcome outcome = self->outcome;
    self->outcome.status = KN_PENDING;
    return outcome;
}

size_t kn_future_select_all_rest(struct kn_future_select_all *self)
{
    size_t count = self->count;
    self->count = 0;
    return count;
}

struct kn_future *kn_future_select(struct kn_future_select *self, struct kn_future *first, struct kn_future *second)
{
    struct kn_future *children[] = {first, second};
    if (!is_complete(self, children, 2))
        return NULL;
    self->children[0] = first;
    self->children[1] = second;
    return select_all_make(&self->all, &select_type, self->children, 2);
}

struct kn_outcome kn_future_select_outcome(struct kn_future_select *self)
{
    return kn_future_select_all_outcome(&self->all);
}

struct kn_future *kn_future_select_other(struct kn_future_select *self)
{
    return kn_future_select_all_rest(&self->all) > 0 ? self->children[0] : NULL;
}

/* ---- abortable ---- */

void kn_abort_handle_abort(struct kn_abort_handle *handle)
{
    /* Release pairs with the acquire of kn_abort_handle_is_aborted: what was written before is seen there. Where the
     * future registers at the same time, the cell is what makes it see this: waker.h. */
    atomic_store_explicit(&handle->is_aborted, true, memory_order_release);
    kn_waker_cell_wake(&handle->waiter);
}

bool kn_abort_handle_is_aborted(const struct kn_abort_handle *handle)
{
    /* Acquire pairs with the release of kn_abort_handle_abort. */
    return atomic_load_explicit(&handle->is_aborted, memory_order_acquire);
}

/* Takes the waker back. */
static void leave_handle(struct kn_future_abortable *self)
{
    if (!self->is_registered)
        return;
    self->is_registered = false;
    kn_waker_cell_clear(&self->handle->waiter);
}

static void abortable_drop(struct kn_future *future)
{
    struct kn_future_abortable *self = KN_CONTAINER_OF(future, struct kn_future_abortable, future);
    leave_handle(self);
    kn_future_drop(self->inner);
}

static struct kn_outcome abortable_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_future_abortable *self = KN_CONTAINER_OF(future, struct kn_future_abortable, future);
    if (!kn_abort_handle_is_aborted(self->handle)) {
        struct kn_outcome outcome = kn_future_poll(self->inner, context);
        if (outcome.status != KN_PENDING) {
            leave_handle(self);
            return outcome;
        }
        self->is_registered = true;
        kn_waker_cell_register(&self->handle->waiter, context->waker);
        /* Whoever aborted before that had nobody to wake. */
        if (!kn_abort_handle_is_aborted(self->handle))
            return outcome;
    }
    abortable_drop(future);
    return kn_failed(-ECANCELED);
}

static void abortable_discard(struct kn_future *future, kn_value_t value)
{
    kn_future_discard(KN_CONTAINER_OF(future, struct kn_future_abortable, future)->inner, value);
}

static const struct kn_future_type abortable_type = {
    .name = "abortable", .poll = abortable_poll, .drop = abortable_drop, .discard = abortable_discard};

struct kn_future *kn_future_abortable(struct kn_future_abortable *self, struct kn_future *inner,
                                      struct kn_abort_handle *handle)
{
    if (!self || !inner || !handle) {
        kn_future_drop(inner);
        return NULL;
    }
    *self = (struct kn_future_abortable){.future.type = &abortable_type, .inner = inner, .handle = handle};
    return &self->future;
}

/* ---- now_or_never ---- */

static struct kn_outcome now_or_never_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_future_now_or_never *self = KN_CONTAINER_OF(future, struct kn_future_now_or_never, future);
    struct kn_outcome outcome = kn_future_poll(self->inner, context);
    if (outcome.status != KN_PENDING)
        return outcome;
    kn_future_drop(self->inner);
    return kn_failed(-EAGAIN);
}

static void now_or_never_drop(struct kn_future *future)
{
    kn_future_drop(KN_CONTAINER_OF(future, struct kn_future_now_or_never, future)->inner);
}

static void now_or_never_discard(struct kn_future *future, kn_value_t value)
{
    kn_future_discard(KN_CONTAINER_OF(future, struct kn_future_now_or_never, future)->inner, value);
}

static const struct kn_future_type now_or_never_type = {
    .name = "now_or_never", .poll = now_or_never_poll, .drop = now_or_never_drop, .discard = now_or_never_discard};

struct kn_future *kn_future_now_or_never(struct kn_future_now_or_never *self, struct kn_future *inner)
{
    if (!self || !inner) {
        kn_future_drop(inner);
        return NULL;
    }
    *self = (struct kn_future_now_or_never){.future.type = &now_or_never_type, .inner = inner};
    return &self->future;
}

/* ---- poll_immediate ---- */

static struct kn_outcome poll_immediate_poll(struct kn_future *future, struct kn_context *context)
{
    struct kn_outcome outcome =
        kn_future_poll(KN_CONTAINER_OF(future, struct kn_future_poll_immediate, future)->inner, context);
    return outcome.status != KN_PENDING ? outcome : kn_failed(-EAGAIN);
}

static void poll_immediate_discard(struct kn_future *future, kn_value_t value)
{
    kn_future_discard(KN_CONTAINER_OF(future, struct kn_future_poll_immediate, future)->inner, value);
}

static const struct kn_future_type poll_immediate_type = {.name = "poll_immediate",
                                                          .poll = poll_immediate_poll,
                                                          .drop = kn_future_drop_nothing,
                                                          .discard = poll_immediate_discard};

struct kn_future *kn_future_poll_immediate(struct kn_future_poll_immediate *self, struct kn_future *inner)
{
    if (!self || !inner)
        return NULL;
    *self = (struct kn_future_poll_immediate){.future.type = &poll_immediate_type, .inner = inner};
    return &self->future;
}
