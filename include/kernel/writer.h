/**
 * @file writer.h
 * A writer's cursor on a sector: claim slots, write in place, publish.
 *
 * Use it with reader.h where the typed faces are too narrow; cursor.h says how both work. A writer belongs to one
 * thread. An exclusive writer's operations are wait-free, a shared one's lock-free: its claim is a compare-and-swap
 * that fails only when another writer's succeeds. None enters the system, except the forms that wait.
 */
#ifndef KERNEL_WRITER_H
#define KERNEL_WRITER_H

#include <kernel/cursor.h>

/** Pauses of a writer that finds the sector nearly full, before it looks once more. */
#ifndef KN_NEARLY_FULL_PAUSES
#define KN_NEARLY_FULL_PAUSES 8
#endif

/** A writer. The caller owns the memory. Fields are private. */
struct kn_writer {
    KN_OWNED uint64_t position; /* exclusive: next to publish; shared: first of the present claim */
    uint64_t gate;              /* exclusive: the last gate seen */
    uint64_t claimed;           /* slots of the present claim; 0: none */
    struct kn_ring ring;
    struct kn_form form;
    const struct kn_sector *sector;
};

/**
 * Joins a sector as a writer. The sector must stay open, and in its place, as long as the writer is used. An exclusive
 * writer goes on where a dead one stopped. Any thread; not for hot paths.
 *
 * @return 0; -EBUSY when the exclusive writer's place is taken by one that lives; -EMFILE when the sector has no free
 * cursor; -EOVERFLOW when the system's process ids are larger than an owner word holds.
 */
KN_CHECK_RESULT int kn_writer_join(struct kn_writer *writer, const struct kn_sector *sector);

/** Leaves: a claim not published is abandoned. The memory is the caller's again. */
void kn_writer_leave(struct kn_writer *writer);

/* The gate where readers are several or come and go: the slow path. Moves lagging readers out of the way. */
uint64_t kn_writer_find_gate(struct kn_writer *writer, uint64_t wanted);

/* Stamps the given-up end of a claim so that readers skip it. */
void kn_writer_abandon(struct kn_writer *writer, uint64_t position, uint64_t slots);

/* Waits a little for room, and looks after the dead when that takes long. 0: look again; or -ETIMEDOUT. */
int kn_writer_pause(struct kn_writer *writer, struct kn_waiter *waiter);

/* The present gate. Acquire pairs with the release stores of readers: they have finished with the slots before it. */
KN_INLINE uint64_t kn_writer_gate(struct kn_writer *writer, struct kn_form form, uint64_t wanted)
{
    if (!form.dynamic && !form.group)
        return atomic_load_explicit(&writer->ring.head->cursors[KN_CURSOR_PERMANENT_READER].position,
                                    memory_order_acquire);
    return kn_writer_find_gate(writer, wanted);
}

/*
 * The gate when the last one seen gives no room. A writer on the heels of its readers would look for every message, and
 * each look takes the lines from the readers that they are about to write. So one that finds little room lets them get
 * on for a moment and looks once more. What it writes waits behind nearly a capacity of messages anyway.
 */
KN_INLINE uint64_t kn_writer_next_gate(struct kn_writer *writer, struct kn_form form, uint64_t position,
                                       uint64_t wanted)
{
    uint64_t gate = kn_writer_gate(writer, form, wanted);
    uint64_t room = kn_ring_room(&writer->ring, gate, position);
    if (room == 0 || room >= writer->ring.capacity / 8)
        return gate;
    for (int i = 0; i < KN_NEARLY_FULL_PAUSES; i++)
        kn_cpu_relax();
    return kn_writer_gate(writer, form, wanted);
}

KN_INLINE uint64_t kn_writer_claim_exclusive(struct kn_writer *writer, struct kn_form form, uint64_t wanted)
{
    uint64_t room = kn_ring_room(&writer->ring, writer->gate, writer->position);
    if (KN_UNLIKELY(room < wanted)) {
        writer->gate = kn_writer_next_gate(writer, form, writer->position, wanted);
        room = kn_ring_room(&writer->ring, writer->gate, writer->position);
    }
    return room < wanted ? room : wanted;
}

/* The room behind a position that several writers may claim, by the gate that they share. */
KN_INLINE uint64_t kn_writer_shared_room(struct kn_writer *writer, struct kn_form form, uint64_t position,
                                         uint64_t wanted)
{
    _Atomic uint64_t *shared_gate = &writer->ring.head->writers.gate;
    /* Acquire pairs with the release store below, by whoever looked at the readers last. */
    uint64_t room = kn_ring_room(&writer->ring, atomic_load_explicit(shared_gate, memory_order_acquire), position);
    if (KN_UNLIKELY(room < wanted)) {
        uint64_t gate = kn_writer_next_gate(writer, form, position, wanted);
        /* Release pairs with the acquire load above. Storing an older gate over a newer one does no harm. */
        atomic_store_explicit(shared_gate, gate, memory_order_release);
        room = kn_ring_room(&writer->ring, gate, position);
    }
    return room < wanted ? room : wanted;
}

/* Says which slots this writer is about to claim, or that it has none, for kn_sector_recover. */
KN_INLINE void kn_writer_intend(struct kn_writer *writer, struct kn_form form, uint64_t first, uint64_t end)
{
    if (!form.robust)
        return;
    atomic_store_explicit(&writer->ring.entry->intent_end, end, memory_order_relaxed);
    /* Release pairs with the acquire load in is_claimed_by_living (recover.c): the end stands before the first, and
     * what was published before it is forgotten. */
    atomic_store_explicit(&writer->ring.entry->intent_first, first, memory_order_release);
}

/*
 * How many of `slots` from a position on were published in the lap before. Where readers join, the gate does not tell:
 * it passes over what was claimed before anybody read, and a writer that stalls there still owns its slots a lap later.
 */
KN_INLINE uint64_t kn_writer_reusable(const struct kn_ring *ring, struct kn_form form, uint64_t position,
                                      uint64_t slots)
{
    for (uint64_t i = 0; i < slots; i++) {
        /* Acquire pairs with the release stores in kn_writer_stamp: its writer has finished with the slot. */
        uint64_t stamp = atomic_load_explicit(kn_ring_stamp(ring, form, position + i), memory_order_acquire);
        uint64_t lap_before = kn_ring_lap(ring, position + i) - (UINT64_C(1) << KN_STAMP_LAP_SHIFT);
        if ((stamp ^ lap_before) >> KN_STAMP_LAP_SHIFT != 0)
            return i;
    }
    return slots;
}

KN_INLINE uint64_t kn_writer_claim_shared(struct kn_writer *writer, struct kn_form form, uint64_t wanted)
{
    _Atomic uint64_t *claimed = &writer->ring.head->writers.claimed;
    /* Acquire pairs with the release half of the exchange below: a position comes with all that was true of it. */
    uint64_t position = atomic_load_explicit(claimed, memory_order_acquire);
    uint64_t slots;
    do {
        slots = kn_writer_shared_room(writer, form, position, wanted);
        if (form.dynamic)
            slots = kn_writer_reusable(&writer->ring, form, position, slots);
        if (slots == 0)
            break;
        kn_writer_intend(writer, form, position, position + slots);
        /* When the position read is an old one, the gate may be too new for it: then this fails. Release pairs with the
         * acquire loads of this word here and in recover.c: the intent stands before the claim. */
    } while (!atomic_compare_exchange_weak_explicit(claimed, &position, position + slots, memory_order_acq_rel,
                                                    memory_order_acquire));
    if (slots == 0)
        kn_writer_intend(writer, form, KN_POSITION_NONE, 0);
    writer->position = position;
    return slots;
}

KN_INLINE uint64_t kn_writer_claim_slots(struct kn_writer *writer, struct kn_form form, uint64_t wanted)
{
    wanted = wanted < KN_CLAIM_MAX ? wanted : KN_CLAIM_MAX;
    return form.shared_writers ? kn_writer_claim_shared(writer, form, wanted)
                               : kn_writer_claim_exclusive(writer, form, wanted);
}

/*
 * Publishes a run. One release store covers it, since a reader looks at its first stamp first; where every slot carries
 * a stamp, the others are for readers that begin in the middle.
 *
 * The first comes last: once it stands the run may be read, released and claimed anew, and a stamp that came later
 * would undo a newer one; of a writer that is killed in between the front is abandoned. It comes first where nobody can
 * claim a slot anew that is not stamped yet. That is an exclusive writer's, whose successor goes on behind what it
 * finds there and stamps the rest; and where readers join, so that one that is moved into the middle has read nothing
 * in front.
 */
KN_INLINE void kn_writer_stamp(const struct kn_ring *ring, struct kn_form form, uint64_t position, uint64_t slots,
                               uint64_t flag)
{
    bool forwards = form.shared_writers ? form.dynamic : form.robust;
    uint64_t marked = form.marks_each ? slots : 1;
    for (uint64_t i = 0; i < marked; i++) {
        uint64_t slot = forwards ? i : marked - 1 - i;
        /* Release pairs with the acquire load in kn_ring_run. */
        atomic_store_explicit(kn_ring_stamp(ring, form, position + slot),
                              kn_ring_lap(ring, position + slot) + flag + slots - slot, memory_order_release);
    }
}

KN_INLINE void kn_writer_publish_slots(struct kn_writer *writer, struct kn_form form, uint64_t slots)
{
    struct kn_sector_head *head = writer->ring.head;
    kn_writer_stamp(&writer->ring, form, writer->position, slots, 0);
    writer->position += slots;
    if (form.shared_writers)
        kn_writer_intend(writer, form, KN_POSITION_NONE, 0);
    else /* Release pairs with the acquire loads of a reader that joins and of a writer that goes on after a crash. */
        atomic_store_explicit(&head->writers.claimed, writer->position, memory_order_release);
    if (form.shared_writers && form.dynamic) /* what is published can be claimed again, a lap later */
        kn_eventcount_notify(&head->released, 1);
    /* Broadcast readers want every message; of a group as many are woken as there are messages. */
    kn_eventcount_notify(&head->published, form.dynamic ? KN_EVENTCOUNT_ALL : form.group ? (uint32_t)slots : 1);
}

KN_INLINE int kn_writer_claim_as(struct kn_writer *writer, struct kn_form form, size_t slots_max, struct kn_span *span)
{
    uint64_t slots = writer->claimed;
    /* An exclusive claim is known to nobody else and can be made anew, a shared one cannot. */
    if (!form.shared_writers || slots == 0)
        writer->claimed = slots = kn_writer_claim_slots(writer, form, slots_max);
    if (KN_UNLIKELY(slots > slots_max))
        slots = slots_max;
    if (slots == 0) {
        *span = (struct kn_span){0};
        return -EAGAIN;
    }
    *span = kn_ring_span(&writer->ring, form, writer->position, slots);
    return 0;
}

KN_INLINE int kn_writer_publish_as(struct kn_writer *writer, struct kn_form form, size_t slots)
{
    uint64_t claimed = writer->claimed;
    if (KN_UNLIKELY(slots > claimed))
        return -EINVAL;
    writer->claimed = 0;
    if (form.shared_writers && KN_UNLIKELY(slots < claimed))
        kn_writer_abandon(writer, writer->position + slots, claimed - slots);
    if (slots > 0)
        kn_writer_publish_slots(writer, form, slots);
    return 0;
}

KN_INLINE size_t kn_writer_push_many_as(struct kn_writer *writer, struct kn_form form, const void *messages,
                                        size_t count)
{
    if (KN_UNLIKELY(writer->claimed > 0))
        return 0;
    uint64_t slots = kn_writer_claim_slots(writer, form, count);
    if (slots == 0)
        return 0;
    for (uint64_t i = 0; i < slots; i++)
        memcpy(kn_ring_message(&writer->ring, form, writer->position + i),
               (const uint8_t *)messages + i * form.slot_bytes, form.slot_bytes);
    kn_writer_publish_slots(writer, form, slots);
    return slots;
}

KN_INLINE int kn_writer_try_push_as(struct kn_writer *writer, struct kn_form form, const void *message)
{
    if (KN_UNLIKELY(writer->claimed > 0))
        return -EBUSY;
    if (kn_writer_claim_slots(writer, form, 1) == 0)
        return -EAGAIN;
    memcpy(kn_ring_message(&writer->ring, form, writer->position), message, form.slot_bytes);
    kn_writer_publish_slots(writer, form, 1);
    return 0;
}

KN_INLINE int kn_writer_claim_wait_as(struct kn_writer *writer, struct kn_form form, size_t slots_max,
                                      struct kn_span *span, const struct kn_wait *how)
{
    struct kn_eventcount *released = &writer->ring.head->released;
    int result = kn_writer_claim_as(writer, form, slots_max, span);
    if (KN_LIKELY(result != -EAGAIN || slots_max == 0))
        return result;
    struct kn_waiter waiter;
    kn_waiter_begin(&waiter, released, how);
    while ((result = kn_writer_claim_as(writer, form, slots_max, span)) == -EAGAIN &&
           (result = kn_writer_pause(writer, &waiter)) == 0)
        ;
    kn_waiter_end(&waiter);
    if (result == 0 && form.shared_writers)
        kn_eventcount_notify(released,
                             1); /* a release wakes one writer: who got room wakes the next, for the rest of it */
    return result;
}

KN_INLINE int kn_writer_push_as(struct kn_writer *writer, struct kn_form form, const void *message,
                                const struct kn_wait *how)
{
    struct kn_span span;
    if (KN_UNLIKELY(writer->claimed > 0))
        return -EBUSY;
    int result = kn_writer_claim_wait_as(writer, form, 1, &span, how);
    if (result != 0)
        return result;
    memcpy(span.first, message, form.slot_bytes);
    return kn_writer_publish_as(writer, form, 1);
}

/**
 * Claims up to `slots_max` slots (at most KN_CLAIM_MAX) to be written in place. Claiming again before publishing gives
 * the same slots. An exclusive claim that is never published costs nothing; a shared one holds up the readers.
 *
 * @return 0 with span->count in 1..slots_max, or -EAGAIN with an empty span when there is no room (or slots_max is 0).
 */
KN_INLINE int kn_writer_claim(struct kn_writer *writer, size_t slots_max, struct kn_span *span)
{
    return kn_writer_claim_as(writer, writer->form, slots_max, span);
}

/**
 * Makes the first `slots` claimed slots visible, all at once; the rest of the claim is given up (a shared one's is
 * marked so that readers skip it). A process that is killed in here may have published any part of a batch, in order.
 *
 * @return 0, or -EINVAL for more slots than were claimed: nothing is published then.
 */
KN_INLINE int kn_writer_publish(struct kn_writer *writer, size_t slots)
{
    return kn_writer_publish_as(writer, writer->form, slots);
}

/** Copies one message of slot_bytes in. @return 0; -EAGAIN when full; -EBUSY while a claim is unpublished. */
KN_INLINE int kn_writer_try_push(struct kn_writer *writer, const void *message)
{
    return kn_writer_try_push_as(writer, writer->form, message);
}

/** Copies up to `count` consecutive messages in. @return how many went in: 0 when full or while a claim is unpublished.
 */
KN_INLINE size_t kn_writer_push_many(struct kn_writer *writer, const void *messages, size_t count)
{
    return kn_writer_push_many_as(writer, writer->form, messages, count);
}

/** Claims as kn_writer_claim and waits for room. @param how NULL: pausing, for ever. @return 0 or -ETIMEDOUT. */
KN_INLINE int kn_writer_claim_wait(struct kn_writer *writer, size_t slots_max, struct kn_span *span,
                                   const struct kn_wait *how)
{
    return kn_writer_claim_wait_as(writer, writer->form, slots_max, span, how);
}

/** Copies one message in and waits for room. @param how NULL: pausing, for ever. @return 0, -ETIMEDOUT or -EBUSY. */
KN_INLINE int kn_writer_push(struct kn_writer *writer, const void *message, const struct kn_wait *how)
{
    return kn_writer_push_as(writer, writer->form, message, how);
}

#endif
