/**
 * @file reader.h
 * A reader's cursor on a sector: peek at published messages, read in place, release.
 *
 * Use it with writer.h where the typed faces are too narrow; cursor.h says how both work. A reader belongs to one
 * thread and is either alone at its position (it sees every message: broadcast, or pipeline after others) or a member
 * of a group (each message goes to one member). The former is wait-free, the latter lock-free: its take is a
 * compare-and-swap that fails only when another member's succeeds. None enters the system, except the forms that wait.
 */
#ifndef KERNEL_READER_H
#define KERNEL_READER_H

#include <kernel/cursor.h>

/** Predecessors that a reader in a pipeline can have. */
#define KN_AFTER_MAX 4

/** How far ahead of the message being taken the reader fetches, in bytes. */
#define KN_PREFETCH_BYTES ((size_t)8 * KN_CACHE_LINE)

/** What becomes of a reader that lags a whole capacity behind. */
enum kn_lag {
    KN_LAG_BLOCK, /**< it blocks the writers: they find the sector full */
    KN_LAG_SKIP,  /**< they move it forward, past what it has not read, and it is told how much it lost */
    KN_LAG_DROP   /**< they drop it: its next call answers -ESTALE */
};

/**
 * How a reader joins. The zero value: it sees every message claimed from now on, and blocks the writers when it lags.
 * A span in its hands is never overwritten, whatever the policy: the writers wait for its release.
 */
struct kn_reader_options {
    uint64_t id;    /**< not 0: after a crash, the reader that joins by the same id goes on where this one stood */
    uint64_t group; /**< not 0: compete with the other readers of this group, instead of seeing every message */
    uint64_t after[KN_AFTER_MAX]; /**< ids of readers or groups that must have released a message first; 0: none */
    enum kn_lag lag;              /**< a member of a group always blocks */
};

/** A reader. The caller owns the memory. Fields are private. */
struct kn_reader {
    KN_OWNED uint64_t position; /* the oldest message not yet released (member: in its hands) */
    uint64_t ready;             /* published up to here; member: taken up to here */
    uint64_t peeked;            /* slots of the present span; 0: none */
    uint64_t lost;
    struct kn_ring ring;
    struct kn_form form;
    enum kn_lag lag;
    uint32_t after_count;
    uint32_t after[KN_AFTER_MAX];     /* indices of entries; of groups, KN_AFTER_GROUP plus their index */
    uint64_t after_ids[KN_AFTER_MAX]; /* whose they must be: an entry may have become another's */
    struct kn_group_entry *group;
    struct kn_cursor_entry *hands; /* member: the entry that says what it holds: its own, or that of a dead one */
    const struct kn_sector *sector;
};

#define KN_AFTER_GROUP UINT32_C(0x10000)

/**
 * Joins a sector as a reader. The sector must stay open, and in its place, as long as the reader is used. On a sector
 * with a permanent reader or group that one is joined without options. Any thread; not for hot paths.
 *
 * @param options NULL: the zero value. On a sector with an exclusive reader they must be zero.
 * @return 0; -EBUSY when a living reader has this id, or the exclusive reader's place; -ENOENT when `after` names
 * nobody; -EPERM for options on a sector with an exclusive reader; -EMFILE when there is no free cursor or group;
 * -EINVAL for a member of a group with a policy, an id or predecessors; -EOVERFLOW as kn_writer_join.
 */
KN_CHECK_RESULT int kn_reader_join(struct kn_reader *reader, const struct kn_sector *sector,
                                   const struct kn_reader_options *options);

/**
 * Leaves: a broadcast reader holds nobody up any more, and its id is forgotten. The exclusive reader's place and a
 * group's position stay, for the next to go on from. What a group's member has in its hands counts as read.
 */
void kn_reader_leave(struct kn_reader *reader);

/** Slots that this lagging reader was moved past, in all: messages, and what shared writers gave up among them. */
KN_INLINE uint64_t kn_reader_lost(const struct kn_reader *reader)
{
    return reader->lost;
}

/* Keeps the writers from moving a lagging reader; 0 or -ESTALE. And lets them again. */
int kn_reader_hold(struct kn_reader *reader);
void kn_reader_unhold(struct kn_reader *reader);

/* The least position of those that a reader comes after. */
uint64_t kn_reader_limit(const struct kn_reader *reader);

/* Takes over what a dead member of the group had in its hands: whether there was any. And gives up its entry. */
bool kn_reader_adopt(struct kn_reader *reader);
void kn_reader_finish_adopted(struct kn_reader *reader);

/* Notes that the member named in a group's word has really taken up to the position in it. */
void kn_reader_confirm(const struct kn_reader *reader, uint64_t word);

/* Waits a little for messages, and looks after the dead when that takes long. 0: look again; or -ETIMEDOUT. */
int kn_reader_pause(struct kn_reader *reader, struct kn_waiter *waiter);

KN_INLINE bool kn_reader_is_lossy(const struct kn_reader *reader, struct kn_form form)
{
    return form.dynamic && !form.group && reader->lag != KN_LAG_BLOCK;
}

/* Release pairs with the acquire loads of the gate, and of readers that come after this one: our reads end before. */
KN_INLINE void kn_reader_move(struct kn_reader *reader, uint64_t position, uint64_t flag)
{
    reader->position = position;
    atomic_store_explicit(&reader->ring.entry->position, position | flag, memory_order_release);
}

/* Learns of published runs until `wanted` messages are ready. An abandoned run is skipped in front and ends the span
 * behind. */
KN_INLINE uint64_t kn_reader_extend(struct kn_reader *reader, struct kn_form form, uint64_t wanted)
{
    uint64_t ready = reader->ready;
    while (ready - reader->position < wanted) {
        uint64_t run = kn_ring_run(&reader->ring, form, ready);
        if (run == 0)
            break;
        if (KN_UNLIKELY((run & KN_STAMP_ABANDONED) != 0)) {
            if (ready != reader->position)
                break;
            run &= KN_STAMP_RUN;
            kn_reader_move(reader, ready + run, kn_reader_is_lossy(reader, form) ? KN_POSITION_HELD : 0);
            kn_eventcount_notify(&reader->ring.head->released, 1);
        }
        ready += run;
    }
    reader->ready = ready;
    return ready - reader->position;
}

/* The same, no further than those have come that this reader comes after. */
KN_INLINE uint64_t kn_reader_extend_after(struct kn_reader *reader, struct kn_form form, uint64_t wanted)
{
    uint64_t limit = kn_reader_limit(reader);
    uint64_t allowed = limit > reader->position ? limit - reader->position : 0;
    (void)kn_reader_extend(reader, form, wanted < allowed ? wanted : allowed);
    /* A run may reach further, and so may what was passed over in front. */
    uint64_t end = reader->ready < limit ? reader->ready : limit;
    return end > reader->position ? end - reader->position : 0;
}

/*
 * Moves a group's word from `*word` to `end`, which gives the messages between to this member.
 *
 * The hands are filled first: a writer that reads the new word finds them, by the release half of the exchange. One
 * that finds them though the exchange failed is held back for nothing, until they are filled anew or emptied.
 */
KN_INLINE bool kn_member_exchange(struct kn_reader *reader, struct kn_form form, uint64_t *word, uint64_t end,
                                  bool abandoned)
{
    struct kn_cursor_entry *entry = reader->ring.entry;
    if (form.robust) {
        if ((*word & KN_GROUP_MEMBER) != reader->ring.index)
            kn_reader_confirm(reader, *word);
        /* Should this process be killed, nobody is to be shown what is only skipped. */
        atomic_store_explicit(&entry->held_end, abandoned ? 0 : end, memory_order_relaxed);
    }
    /* Release: what this member read before is read, should a writer find the new position instead of NONE. */
    atomic_store_explicit(&entry->position, *word >> KN_GROUP_SHIFT, memory_order_release);
    /* Acquire and release pair with each other and with the acquire load in kn_writer_find_gate. */
    return atomic_compare_exchange_weak_explicit(&reader->group->taken, word,
                                                 end << KN_GROUP_SHIFT | reader->ring.index, memory_order_acq_rel,
                                                 memory_order_acquire);
}

KN_INLINE void kn_member_empty_hands(struct kn_reader *reader)
{
    /* Release pairs with the acquire load in kn_writer_find_gate: our reads have ended. */
    atomic_store_explicit(&reader->hands->position, KN_POSITION_NONE, memory_order_release);
}

/* Takes up to `wanted` messages from the group into this member's empty hands, oldest first. */
KN_INLINE uint64_t kn_member_take(struct kn_reader *reader, struct kn_form form, uint64_t wanted)
{
    /* Acquire pairs with the release half of the exchange: a newer position must not meet older stamps. */
    uint64_t word = atomic_load_explicit(&reader->group->taken, memory_order_acquire);
    bool tried = false;
    for (;;) {
        uint64_t first = word >> KN_GROUP_SHIFT;
        uint64_t end = first;
        uint64_t run = kn_ring_run(&reader->ring, form, end);
        bool abandoned = (run & KN_STAMP_ABANDONED) != 0;
        if (run == 0) {
            /* Nothing there, unless others have taken it meanwhile, and writers gone round the ring. Acquire as above.
             */
            uint64_t present = atomic_load_explicit(&reader->group->taken, memory_order_acquire);
            if (present == word)
                break;
            word = present;
            continue;
        }
        end += run & KN_STAMP_RUN;
        while (!abandoned && end - first < wanted && (run = kn_ring_run(&reader->ring, form, end)) != 0 &&
               (run & KN_STAMP_ABANDONED) == 0)
            end += run;
        if (!abandoned && end - first > wanted)
            end = first + wanted;
        tried = true;
        if (!kn_member_exchange(reader, form, &word, end, abandoned))
            continue;
        if (KN_UNLIKELY(abandoned)) { /* skipped for all members */
            word = end << KN_GROUP_SHIFT | reader->ring.index;
            kn_member_empty_hands(reader);
            kn_eventcount_notify(&reader->ring.head->released, 1);
            continue;
        }
        reader->position = first;
        reader->ready = end;
        return end - first;
    }
    if (tried)
        kn_member_empty_hands(reader);
    return 0;
}

/* How many messages, at most `wanted`, this reader may read now, from its position on. */
KN_INLINE uint64_t kn_reader_take(struct kn_reader *reader, struct kn_form form, uint64_t wanted)
{
    uint64_t count = reader->ready - reader->position;
    if (!form.group && form.dynamic && KN_UNLIKELY(reader->after_count > 0))
        count = kn_reader_extend_after(reader, form, wanted);
    else if (!form.group && count < wanted)
        count = kn_reader_extend(reader, form, wanted);
    else if (form.group && count == 0 && wanted > 0) {
        if (form.robust && KN_UNLIKELY(atomic_load_explicit(&reader->ring.head->orphans, memory_order_relaxed) > 0) &&
            kn_reader_adopt(reader))
            count = reader->ready - reader->position;
        else
            count = kn_member_take(reader, form, wanted);
    }
    return count < wanted ? count : wanted;
}

/*
 * A reader that lags has quiet lines ahead of it: fetching them while others are on their way hides their transfer. One
 * that does not lag finds lines it still holds from the lap before, which costs nothing. Harmless beyond the ring's
 * end.
 */
KN_INLINE void kn_reader_fetch_ahead(const struct kn_reader *reader, struct kn_form form, uint64_t slots)
{
    const uint8_t *end = kn_ring_message(&reader->ring, form, reader->position) + slots * form.stride_bytes;
    for (size_t offset = 0; offset < KN_PREFETCH_BYTES; offset += KN_CACHE_LINE) {
        if (slots == 1)
            offset = KN_PREFETCH_BYTES - KN_CACHE_LINE;
        KN_PREFETCH_READ(end + offset);
    }
}

/* Gives back the first `slots` messages of those that this reader may read. */
KN_INLINE void kn_reader_give(struct kn_reader *reader, struct kn_form form, uint64_t slots, uint64_t flag)
{
    if (!form.group) {
        kn_reader_move(reader, reader->position + slots, flag);
    } else {
        reader->position += slots;
        if (form.robust && KN_UNLIKELY(reader->hands != reader->ring.entry) && reader->position == reader->ready)
            kn_reader_finish_adopted(reader);
        else /* Release as in kn_member_empty_hands. */
            atomic_store_explicit(&reader->hands->position,
                                  reader->position == reader->ready ? KN_POSITION_NONE : reader->position,
                                  memory_order_release);
    }
    kn_eventcount_notify(&reader->ring.head->released, 1);
    if (form.dynamic) /* for those that come after this one */
        kn_eventcount_notify(&reader->ring.head->published, KN_EVENTCOUNT_ALL);
}

KN_INLINE int kn_reader_peek_as(struct kn_reader *reader, struct kn_form form, size_t slots_max, struct kn_span *span)
{
    *span = (struct kn_span){0};
    if (kn_reader_is_lossy(reader, form)) {
        int result = reader->peeked > 0 ? 0 : kn_reader_hold(reader);
        if (result < 0)
            return result;
    }
    uint64_t slots = kn_reader_take(reader, form, slots_max);
    reader->peeked = slots;
    if (slots == 0) {
        if (kn_reader_is_lossy(reader, form))
            kn_reader_unhold(reader);
        return -EAGAIN;
    }
    kn_reader_fetch_ahead(reader, form, slots);
    *span = kn_ring_span(&reader->ring, form, reader->position, slots);
    return 0;
}

KN_INLINE int kn_reader_release_as(struct kn_reader *reader, struct kn_form form, size_t slots)
{
    if (KN_UNLIKELY(slots - 1 >= reader->peeked)) /* none: without a span it may be moved, and must not store */
        return slots == 0 ? 0 : -EINVAL;
    reader->peeked -= slots;
    kn_reader_give(reader, form, slots, kn_reader_is_lossy(reader, form) && reader->peeked > 0 ? KN_POSITION_HELD : 0);
    return 0;
}

/* Copies up to `count` messages out of what may be read. */
KN_INLINE size_t kn_reader_copy_as(struct kn_reader *reader, struct kn_form form, void *messages, size_t count)
{
    uint64_t slots = kn_reader_take(reader, form, count);
    reader->peeked = 0;
    if (slots == 0)
        return 0;
    kn_reader_fetch_ahead(reader, form, slots);
    for (uint64_t i = 0; i < slots; i++)
        memcpy((uint8_t *)messages + i * form.slot_bytes, kn_ring_message(&reader->ring, form, reader->position + i),
               form.slot_bytes);
    kn_reader_give(reader, form, slots, 0);
    return slots;
}

/* As kn_reader_copy_as, also for readers that the writers may move: count, or -ESTALE. */
KN_INLINE int kn_reader_pop_as(struct kn_reader *reader, struct kn_form form, void *messages, size_t count,
                               size_t *popped)
{
    *popped = 0;
    if (kn_reader_is_lossy(reader, form)) {
        int result = reader->peeked > 0 ? 0 : kn_reader_hold(reader);
        if (result < 0)
            return result;
    }
    *popped = kn_reader_copy_as(reader, form, messages, count);
    if (*popped == 0 && kn_reader_is_lossy(reader, form))
        kn_reader_unhold(reader);
    return *popped > 0 ? 0 : -EAGAIN;
}

KN_INLINE int kn_reader_try_pop_as(struct kn_reader *reader, struct kn_form form, void *message)
{
    size_t popped;
    return kn_reader_pop_as(reader, form, message, 1, &popped);
}

KN_INLINE size_t kn_reader_pop_many_as(struct kn_reader *reader, struct kn_form form, void *messages, size_t count)
{
    size_t popped;
    (void)kn_reader_pop_as(reader, form, messages, count, &popped);
    return popped;
}

KN_INLINE int kn_reader_peek_wait_as(struct kn_reader *reader, struct kn_form form, size_t slots_max,
                                     struct kn_span *span, const struct kn_wait *how)
{
    struct kn_eventcount *published = &reader->ring.head->published;
    int result = kn_reader_peek_as(reader, form, slots_max, span);
    if (KN_LIKELY(result != -EAGAIN || slots_max == 0))
        return result;
    struct kn_waiter waiter;
    kn_waiter_begin(&waiter, published, how);
    while ((result = kn_reader_peek_as(reader, form, slots_max, span)) == -EAGAIN &&
           (result = kn_reader_pause(reader, &waiter)) == 0)
        ;
    kn_waiter_end(&waiter);
    if (result == 0 && form.group)
        kn_eventcount_notify(published, 1); /* who got a message wakes the next member, for those that are left */
    return result;
}

KN_INLINE int kn_reader_pop_wait_as(struct kn_reader *reader, struct kn_form form, void *message,
                                    const struct kn_wait *how)
{
    struct kn_span span;
    int result = kn_reader_peek_wait_as(reader, form, 1, &span, how);
    if (result != 0)
        return result;
    memcpy(message, span.first, form.slot_bytes);
    return kn_reader_release_as(reader, form, 1);
}

/**
 * Shows up to `slots_max` published messages in place, oldest first. Peeking again before releasing shows the same
 * ones. For a group's member they are its own from now on: no other member gets them.
 *
 * @return 0 with span->count in 1..slots_max; -EAGAIN with an empty span when there is nothing (or slots_max is 0);
 * -ESTALE when this reader lagged and was dropped.
 */
KN_INLINE int kn_reader_peek(struct kn_reader *reader, size_t slots_max, struct kn_span *span)
{
    return kn_reader_peek_as(reader, reader->form, slots_max, span);
}

/**
 * Gives the first `slots` peeked messages back to the writers; pointers into them end here.
 *
 * @return 0, or -EINVAL for more slots than were peeked: nothing is released then.
 */
KN_INLINE int kn_reader_release(struct kn_reader *reader, size_t slots)
{
    return kn_reader_release_as(reader, reader->form, slots);
}

/** Copies the oldest message out; ends a span that was peeked. @return 0; -EAGAIN when there is none; -ESTALE. */
KN_INLINE int kn_reader_try_pop(struct kn_reader *reader, void *message)
{
    return kn_reader_try_pop_as(reader, reader->form, message);
}

/** Copies up to `count` messages out, oldest first; ends a span. @return how many came, 0 when empty (or dropped). */
KN_INLINE size_t kn_reader_pop_many(struct kn_reader *reader, void *messages, size_t count)
{
    return kn_reader_pop_many_as(reader, reader->form, messages, count);
}

/** Peeks and waits for a message. @param how NULL: pausing, for ever. @return 0, -ETIMEDOUT or -ESTALE. */
KN_INLINE int kn_reader_peek_wait(struct kn_reader *reader, size_t slots_max, struct kn_span *span,
                                  const struct kn_wait *how)
{
    return kn_reader_peek_wait_as(reader, reader->form, slots_max, span, how);
}

/** Copies the oldest message out and waits for one. @param how NULL: pausing, for ever. @return as above. */
KN_INLINE int kn_reader_pop(struct kn_reader *reader, void *message, const struct kn_wait *how)
{
    return kn_reader_pop_wait_as(reader, reader->form, message, how);
}

#endif
