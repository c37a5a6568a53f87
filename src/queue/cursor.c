#include <kernel/cursor.h>
#include <kernel/reader.h>

#include "cursor_internal.h"
#include "owner.h"

uint32_t kn_cursors_used(const struct kn_sector_head *head)
{
    /* Acquire pairs with the release half of the exchange in use_up_to. */
    uint64_t used = atomic_load_explicit(&head->cursors_used, memory_order_acquire);
    return used < head->header.cursors_max ? (uint32_t)used : head->header.cursors_max;
}

static void use_up_to(struct kn_sector_head *head, uint64_t count)
{
    uint64_t used = atomic_load_explicit(&head->cursors_used, memory_order_relaxed);
    /* Acquire and release pair with the acquire load in kn_cursors_used, and keep what others wrote visible. */
    while (used < count && !atomic_compare_exchange_weak_explicit(&head->cursors_used, &used, count,
                                                                  memory_order_acq_rel, memory_order_relaxed))
        ;
}

bool kn_entry_acquire(struct kn_cursor_entry *entry, uint64_t from, uint64_t owner)
{
    /* Acquire pairs with the release store in kn_entry_free and with the exchange of whoever had it before. */
    return atomic_compare_exchange_strong_explicit(&entry->owner, &from, owner, memory_order_acq_rel,
                                                   memory_order_relaxed);
}

void kn_entry_let_go(struct kn_cursor_entry *entry)
{
    /* Release pairs with the acquire half of the exchange in kn_entry_acquire. */
    atomic_store_explicit(&entry->owner, 0, memory_order_release);
}

void kn_entry_free(struct kn_cursor_entry *entry)
{
    atomic_store_explicit(&entry->kind, KN_CURSOR_FREE, memory_order_relaxed);
    /* Release both pairs with the acquire loads in kn_writer_find_gate: reads of slots have ended. */
    atomic_store_explicit(&entry->position, KN_POSITION_NONE, memory_order_release);
    atomic_store_explicit(&entry->intent_first, KN_POSITION_NONE, memory_order_release);
    /* Release pairs with the acquire load in kn_reader_limit: it is nobody's only after it holds nobody up. */
    atomic_store_explicit(&entry->id, 0, memory_order_release);
    kn_entry_let_go(entry);
}

enum kn_cursor_kind kn_entry_kind(const struct kn_cursor_entry *entry)
{
    uint64_t kind = atomic_load_explicit(&entry->kind, memory_order_relaxed);
    return (enum kn_cursor_kind)(kind & KN_CURSOR_KIND);
}

uint64_t kn_entry_detail(const struct kn_cursor_entry *entry)
{
    return atomic_load_explicit(&entry->kind, memory_order_relaxed) >> KN_CURSOR_DETAIL_SHIFT;
}

/* Takes the first free entry behind those that are set aside; its index, or -EMFILE. */
static int acquire_any(struct kn_sector_head *head, uint64_t owner, uint64_t kind)
{
    for (uint32_t i = KN_CURSORS_RESERVED; i < head->header.cursors_max; i++) {
        struct kn_cursor_entry *entry = &head->cursors[i];
        if (kn_entry_kind(entry) != KN_CURSOR_FREE || !kn_entry_acquire(entry, 0, owner))
            continue;
        if (kn_entry_kind(entry) != KN_CURSOR_FREE) {
            kn_entry_let_go(entry); /* a place that is kept for the reader of an id */
            continue;
        }
        atomic_store_explicit(&entry->kind, kind, memory_order_relaxed);
        use_up_to(head, (uint64_t)i + 1);
        return (int)i;
    }
    return -EMFILE;
}

int kn_entry_take_over(struct kn_cursor_entry *entry, uint64_t owner)
{
    uint64_t before = atomic_load_explicit(&entry->owner, memory_order_relaxed);
    if (before != 0 && kn_owner_alive(before))
        return -EBUSY;
    return kn_entry_acquire(entry, before, owner) ? 0 : -EBUSY;
}

static struct kn_form form_of(const struct kn_sector_header *header)
{
    return (struct kn_form){
        .slot_bytes = header->slot_bytes,
        .stride_bytes = header->stride_bytes,
        .dense = header->layout == KN_LAYOUT_DENSE,
        .shared_writers = header->writers == KN_WRITERS_SHARED,
        .marks_each = header->readers != KN_READER_EXCLUSIVE || header->robust,
        .group = header->readers == KN_READERS_GROUP,
        .dynamic = header->readers == KN_READERS_JOIN,
        .robust = header->robust != 0,
    };
}

void kn_cursor_view(struct kn_ring *ring, struct kn_form *form, const struct kn_sector *sector)
{
    const struct kn_sector_header *header = &sector->head->header;
    *form = form_of(header);
    ring->memory = sector->mapping.ring;
    ring->stamps = sector->stamps;
    ring->mask = header->ring_slots - 1;
    ring->capacity = header->capacity_slots;
    ring->lap_shift = (uint32_t)__builtin_ctzll(header->ring_slots);
    ring->head = sector->head;
}

int kn_cursor_open(struct kn_ring *ring, struct kn_form *form, const struct kn_sector *sector, uint64_t kind,
                   uint32_t wanted)
{
    struct kn_sector_head *head = sector->head;
    uint64_t owner;
    int result = kn_owner_self(&owner);
    if (result < 0)
        return result;
    kn_cursor_view(ring, form, sector);
    int index = (int)wanted;
    if (wanted == KN_CURSOR_ANY)
        index = acquire_any(head, owner, kind);
    else
        result = kn_entry_take_over(&head->cursors[wanted], owner);
    if (result < 0 || index < 0)
        return result < 0 ? result : index;
    ring->index = (uint32_t)index;
    ring->entry = &head->cursors[index];
    if (wanted != KN_CURSOR_ANY)
        atomic_store_explicit(&ring->entry->kind, kind, memory_order_relaxed);
    return 0;
}

int kn_reader_find(const struct kn_sector_head *head, uint64_t id)
{
    for (uint32_t i = 0; i < kn_cursors_used(head); i++) {
        const struct kn_cursor_entry *entry = &head->cursors[i];
        if (kn_entry_kind(entry) == KN_CURSOR_READER && atomic_load_explicit(&entry->id, memory_order_relaxed) == id)
            return (int)i;
    }
    return -ENOENT;
}

int kn_group_find(const struct kn_sector_head *head, uint64_t id)
{
    for (uint32_t i = 0; i < KN_SECTOR_GROUPS; i++) {
        /* Acquire pairs with the release half of the exchange in make_group (reader.c). */
        if (atomic_load_explicit(&head->groups[i].id, memory_order_acquire) == id)
            return (int)i;
    }
    return -ENOENT;
}

/* The oldest position that a reader needs or a group has not taken; `claimed` if there is none. */
static uint64_t least_needed(const struct kn_sector_head *head, uint64_t claimed)
{
    uint64_t least = claimed;
    for (uint32_t i = 0; i < KN_SECTOR_GROUPS; i++) {
        uint64_t taken = atomic_load_explicit(&head->groups[i].taken, memory_order_relaxed) >> KN_GROUP_SHIFT;
        least = taken < least ? taken : least;
    }
    for (uint32_t i = 0; i < kn_cursors_used(head); i++) {
        uint64_t position = atomic_load_explicit(&head->cursors[i].position, memory_order_relaxed) & ~KN_POSITION_HELD;
        if (kn_entry_kind(&head->cursors[i]) == KN_CURSOR_READER && position < least)
            least = position;
    }
    return least;
}

size_t kn_sector_count(const struct kn_sector *sector)
{
    /* Acquire pairs with the release by which it was claimed, so that no reader is found ahead of it. */
    uint64_t claimed = atomic_load_explicit(&sector->head->writers.claimed, memory_order_acquire);
    return claimed - least_needed(sector->head, claimed);
}

static bool competes_in(const struct kn_cursor_entry *entry, int group)
{
    enum kn_cursor_kind kind = kn_entry_kind(entry);
    return (kind == KN_CURSOR_MEMBER || kind == KN_CURSOR_ORPHAN) && kn_entry_detail(entry) == (uint64_t)group;
}

static int forget_entry(struct kn_sector_head *head, struct kn_cursor_entry *entry, uint64_t owner)
{
    int result = kn_entry_take_over(entry, owner);
    if (result < 0)
        return result;
    if (kn_entry_kind(entry) == KN_CURSOR_ORPHAN)
        atomic_fetch_sub_explicit(&head->orphans, 1, memory_order_relaxed);
    kn_entry_free(entry);
    return 0;
}

static int forget_group(struct kn_sector_head *head, int group, uint64_t owner)
{
    /* Before anything is changed: what a dead member had in its hands is for those who live. */
    for (uint32_t i = 0; i < kn_cursors_used(head); i++) {
        uint64_t holder = atomic_load_explicit(&head->cursors[i].owner, memory_order_relaxed);
        if (competes_in(&head->cursors[i], group) && holder != 0 && kn_owner_alive(holder))
            return -EBUSY;
    }
    for (uint32_t i = 0; i < kn_cursors_used(head); i++) {
        int result = competes_in(&head->cursors[i], group) ? forget_entry(head, &head->cursors[i], owner) : 0;
        if (result < 0)
            return result;
    }
    /* Release both pairs with kn_writer_find_gate, and with kn_group_find by those who make one here again. */
    atomic_store_explicit(&head->groups[group].taken, KN_GROUP_FREE, memory_order_release);
    atomic_store_explicit(&head->groups[group].id, 0, memory_order_release);
    return 0;
}

static int forget(struct kn_sector_head *head, uint64_t id, uint64_t owner)
{
    int reader = kn_reader_find(head, id);
    if (reader >= 0)
        return forget_entry(head, &head->cursors[reader], owner);
    int group = kn_group_find(head, id);
    return group < 0 ? -ENOENT : forget_group(head, group, owner);
}

int kn_sector_forget(const struct kn_sector *sector, uint64_t id)
{
    uint64_t owner;
    int result = id != 0 && id != KN_READER_PERMANENT ? kn_owner_self(&owner) : -ENOENT;
    if (result < 0)
        return result;
    result = forget(sector->head, id, owner);
    /* Writers have more room, and who came after it has more to read; in part even if a group could not be forgotten.
     */
    kn_eventcount_notify(&sector->head->released, KN_EVENTCOUNT_ALL);
    kn_eventcount_notify(&sector->head->published, KN_EVENTCOUNT_ALL);
    return result;
}
