/*
 * What becomes of cursors whose process was killed, at whatever instruction.
 *
 * All that a dead process leaves behind is in its cursors' entries and in the slots it had claimed.
 *
 *   - An entry belongs to its owner word. Whoever buries a dead one exchanges its own in first, so that two do not do
 *     it at once; if it dies over that, the entry has a dead owner again.
 *   - A claim. Whether a writer that named its intent had claimed the slots when it died cannot be told from its entry:
 *     its exchange may have failed. It is told by exclusion: a slot that is claimed, unpublished, and that no living
 *     writer intends is a dead one's, since a writer names its intent before it claims and forgets it after it
 *     published. Such a slot is stamped as abandoned, by compare-and-swap from what was read before.
 *   - What a member of a group had in its hands. Whether it had taken it, or its exchange had failed, is told by the
 *     group's word, which names who took last, and by `taken_end`, into which the next member writes that before it
 *     replaces the name.
 */
#include <kernel/cursor.h>
#include <kernel/writer.h>

#include "cursor_internal.h"
#include "owner.h"

static bool is_claimed_by_living(const struct kn_sector_head *head, uint64_t position)
{
    for (uint32_t i = 0; i < kn_cursors_used(head); i++) {
        const struct kn_cursor_entry *entry = &head->cursors[i];
        /* Acquire pairs with the release store in kn_writer_intend: the end is of this first, or of a later one. */
        uint64_t first = atomic_load_explicit(&entry->intent_first, memory_order_acquire);
        uint64_t end = atomic_load_explicit(&entry->intent_end, memory_order_relaxed);
        uint64_t owner = atomic_load_explicit(&entry->owner, memory_order_relaxed);
        /* An end of 0 stands in front of a claim that is being forgotten: whether it was published is seen later. */
        if (first <= position && (position < end || end == 0) && owner != 0 && kn_owner_alive(owner))
            return true;
    }
    return false;
}

/* Marks what dead writers had claimed. A slot in doubt is left: to its writer, or to the next call. */
static void abandon_unpublished(const struct kn_ring *ring, struct kn_form form)
{
    struct kn_sector_head *head = ring->head;
    /* Acquire pairs with the release half of the exchange in kn_writer_claim_shared: intents stand before claims. */
    uint64_t claimed = atomic_load_explicit(&head->writers.claimed, memory_order_acquire);
    /* The whole ring: where nobody reads, writers depend on what was published a lap before. */
    uint64_t position = claimed > ring->mask ? claimed - ring->mask - 1 : 0;
    for (; position < claimed; position++) {
        _Atomic uint64_t *word = kn_ring_stamp(ring, form, position);
        /* Acquire pairs with the release store in kn_writer_stamp. */
        uint64_t stamp = atomic_load_explicit(word, memory_order_acquire);
        uint64_t lap = kn_ring_lap(ring, position);
        /* An older lap is unpublished; a newer one was overwritten while we looked. */
        if (stamp < lap && !is_claimed_by_living(head, position))
            /* Release pairs with kn_ring_run: nothing follows, but a reader may read no less for it. */
            atomic_compare_exchange_strong_explicit(word, &stamp, lap + KN_STAMP_ABANDONED + 1, memory_order_release,
                                                    memory_order_relaxed);
    }
}

static bool has_taken(const struct kn_sector_head *head, uint32_t index)
{
    const struct kn_cursor_entry *entry = &head->cursors[index];
    uint64_t position = atomic_load_explicit(&entry->position, memory_order_relaxed);
    uint64_t held_end = atomic_load_explicit(&entry->held_end, memory_order_relaxed);
    if (position == KN_POSITION_NONE || held_end <= position)
        return false;
    /* Acquire pairs with kn_member_exchange: who has replaced the name has confirmed its take before. */
    uint64_t word = atomic_load_explicit(&head->groups[kn_entry_detail(entry)].taken, memory_order_acquire);
    if (word == (held_end << KN_GROUP_SHIFT | index))
        return true;
    uint64_t taken_end = atomic_load_explicit(&entry->taken_end, memory_order_acquire);
    return taken_end == (held_end << KN_GROUP_SHIFT | kn_entry_detail(entry));
}

static void keep_place(struct kn_cursor_entry *entry)
{
    /* In one step, since a writer may move a lagging reader at any time that it does not hold. Release pairs with the
     * acquire loads of the gate. */
    atomic_fetch_and_explicit(&entry->position, ~KN_POSITION_HELD, memory_order_release);
    kn_entry_let_go(entry);
}

/* Makes what a member had in its hands anybody's in its group; counted first, lest it be overlooked. */
static void make_orphan(struct kn_sector_head *head, struct kn_cursor_entry *entry)
{
    uint64_t detail = kn_entry_detail(entry) << KN_CURSOR_DETAIL_SHIFT;
    atomic_fetch_add_explicit(&head->orphans, 1, memory_order_relaxed);
    atomic_store_explicit(&entry->kind, KN_CURSOR_ORPHAN | detail, memory_order_relaxed);
    kn_entry_let_go(entry);
}

static void bury(struct kn_sector_head *head, uint32_t index)
{
    struct kn_cursor_entry *entry = &head->cursors[index];
    switch (kn_entry_kind(entry)) {
    case KN_CURSOR_READER:
        if (index == KN_CURSOR_PERMANENT_READER || atomic_load_explicit(&entry->id, memory_order_relaxed) != 0)
            keep_place(entry);
        else
            kn_entry_free(entry);
        break;
    case KN_CURSOR_MEMBER:
        if (has_taken(head, index))
            make_orphan(head, entry);
        else
            kn_entry_free(entry);
        break;
    case KN_CURSOR_ORPHAN:
        kn_entry_let_go(entry); /* whoever had adopted it is dead as well */
        break;
    case KN_CURSOR_WRITER:
    case KN_CURSOR_FREE:
        kn_entry_free(entry);
        break;
    }
}

int kn_sector_recover(const struct kn_sector *sector)
{
    struct kn_sector_head *head = sector->head;
    uint64_t owner;
    if (!head->header.robust)
        return -ENOTSUP;
    int result = kn_owner_self(&owner);
    if (result < 0)
        return result;
    int dead = 0;
    /* All of them: one that was killed while it joined may own an entry that does not count as used yet. */
    for (uint32_t i = 0; i < head->header.cursors_max; i++) {
        uint64_t before = atomic_load_explicit(&head->cursors[i].owner, memory_order_relaxed);
        if (before == 0 || kn_owner_alive(before) || !kn_entry_acquire(&head->cursors[i], before, owner))
            continue;
        bury(head, i);
        dead++;
    }
    if (head->header.writers == KN_WRITERS_SHARED) {
        struct kn_ring ring;
        struct kn_form form;
        kn_cursor_view(&ring, &form, sector);
        abandon_unpublished(&ring, form);
    }
    kn_eventcount_notify(&head->published, KN_EVENTCOUNT_ALL);
    kn_eventcount_notify(&head->released, KN_EVENTCOUNT_ALL);
    return dead;
}
