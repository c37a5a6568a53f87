#include <kernel/writer.h>

#include <kernel/reader.h>

#include "cursor_internal.h"

int kn_writer_join(struct kn_writer *writer, const struct kn_sector *sector)
{
    bool exclusive = sector->head->header.writers == KN_WRITER_EXCLUSIVE;
    *writer = (struct kn_writer){.sector = sector};
    int result = kn_cursor_open(&writer->ring, &writer->form, sector, KN_CURSOR_WRITER,
                                exclusive ? KN_CURSOR_EXCLUSIVE_WRITER : KN_CURSOR_ANY);
    if (result < 0 || !exclusive)
        return result;
    /* Acquire pairs with the release store in kn_writer_publish_slots, by the one before. */
    uint64_t position = atomic_load_explicit(&sector->head->writers.claimed, memory_order_acquire);
    uint64_t run;
    /* One that was killed may have published a run and not yet said so, or not stamped all of it, where a reader may
     * have to begin. */
    while ((run = kn_ring_run(&writer->ring, writer->form, position) & KN_STAMP_RUN) > 0) {
        kn_writer_stamp(&writer->ring, writer->form, position, run, 0);
        position += run;
    }
    writer->position = position;
    /* Release: as in kn_writer_publish_slots. */
    atomic_store_explicit(&sector->head->writers.claimed, position, memory_order_release);
    writer->gate = kn_writer_gate(writer, writer->form, 0);
    return 0;
}

void kn_writer_leave(struct kn_writer *writer)
{
    (void)kn_writer_publish(writer, 0);
    if (writer->form.shared_writers)
        kn_entry_free(writer->ring.entry);
    else
        kn_entry_let_go(writer->ring.entry);
    *writer = (struct kn_writer){0};
}

void kn_writer_abandon(struct kn_writer *writer, uint64_t position, uint64_t slots)
{
    kn_writer_stamp(&writer->ring, writer->form, position, slots, KN_STAMP_ABANDONED);
    if (writer->position == position) /* nothing of the claim is published: forget it here */
        kn_writer_intend(writer, writer->form, KN_POSITION_NONE, 0);
    kn_eventcount_notify(&writer->ring.head->published, KN_EVENTCOUNT_ALL);
    if (writer->form.dynamic) /* as what is published, it can be claimed again */
        kn_eventcount_notify(&writer->ring.head->released, KN_EVENTCOUNT_ALL);
}

/* Moves a reader that lags behind `needed`, if its policy is not to block; its new position. */
static uint64_t move_lagging(const struct kn_ring *ring, struct kn_cursor_entry *entry, uint64_t position,
                             uint64_t needed, uint64_t claimed)
{
    uint64_t lag = kn_entry_detail(entry);
    if (kn_entry_kind(entry) != KN_CURSOR_READER || lag == KN_LAG_BLOCK)
        return position;
    uint64_t target = KN_POSITION_DROPPED;
    if (lag == KN_LAG_SKIP) {
        /* An eighth of the ring further than it must be, so that it is not moved again at once. */
        target = needed + ring->capacity / 8;
        target = target < claimed ? target : claimed;
    }
    /* Release pairs with the acquire half of the exchange in kn_reader_hold. Acquire: as the other loads of the gate.
     */
    if (atomic_compare_exchange_strong_explicit(&entry->position, &position, target, memory_order_acq_rel,
                                                memory_order_acquire))
        return target;
    return position & ~KN_POSITION_HELD;
}

/*
 * The gate is the least position that somebody still needs, and at most what was claimed before anybody joined.
 *
 * A reader that joins exchanges `membership` before it reads `claimed` for its first position; so do we before we look
 * at the readers. If its exchange comes first we find it; if ours does, what we claim by this gate lies no further than
 * a capacity ahead of where it begins. Of a group, `taken` is read before the hands of its members: what was taken by
 * then is found in the hands, or was released.
 */
uint64_t kn_writer_find_gate(struct kn_writer *writer, uint64_t wanted)
{
    struct kn_sector_head *head = writer->ring.head;
    /* Acquire pairs with the release half of the exchange by which it was claimed. */
    uint64_t claimed = atomic_load_explicit(&head->writers.claimed, memory_order_acquire);
    uint64_t gate = claimed;
    if (writer->form.dynamic) /* Acquire and release pair with the exchange in begin_at_present (reader.c). */
        atomic_fetch_add_explicit(&head->membership, 1, memory_order_acq_rel);
    uint32_t groups = writer->form.group ? 1 : KN_SECTOR_GROUPS;
    for (uint32_t i = 0; i < groups; i++) {
        /* Acquire pairs with the release half of the exchange in kn_member_exchange: the hands were filled before. */
        uint64_t taken = atomic_load_explicit(&head->groups[i].taken, memory_order_acquire) >> KN_GROUP_SHIFT;
        gate = taken < gate ? taken : gate;
    }
    /* No room is made for more than there can ever be. */
    uint64_t needed = wanted < writer->ring.capacity ? claimed + wanted - writer->ring.capacity : claimed;
    uint32_t used = kn_cursors_used(head);
    for (uint32_t i = 0; i < used; i++) {
        struct kn_cursor_entry *entry = &head->cursors[i];
        /* Acquire pairs with the release stores of readers: what they read before lies behind them. */
        uint64_t position = atomic_load_explicit(&entry->position, memory_order_acquire);
        if (writer->form.dynamic && position < KN_POSITION_DROPPED && (int64_t)(needed - position) > 0)
            position = move_lagging(&writer->ring, entry, position, needed, claimed);
        position &= ~KN_POSITION_HELD;
        gate = position < gate ? position : gate;
    }
    return gate;
}

int kn_writer_pause(struct kn_writer *writer, struct kn_waiter *waiter)
{
    bool slept_long = false;
    int result = kn_waiter_pause(waiter, &slept_long);
    if (slept_long && writer->form.robust)
        (void)kn_sector_recover(writer->sector);
    return result;
}
