#include <kernel/reader.h>

#include "cursor_internal.h"

static uint64_t kind_of(enum kn_cursor_kind kind, uint64_t detail)
{
    return (uint64_t)kind | detail << KN_CURSOR_DETAIL_SHIFT;
}

/*
 * The first position of a reader that begins now, when its entry, or its group, already holds the writers at an earlier
 * one. The exchange makes the writers that look for the gate from now on find it; what was claimed by the others lies
 * before the position read here. See kn_writer_find_gate.
 */
static uint64_t begin_at_present(struct kn_sector_head *head)
{
    /* Acquire and release pair with the exchange in kn_writer_find_gate. */
    atomic_fetch_add_explicit(&head->membership, 1, memory_order_acq_rel);
    return atomic_load_explicit(&head->writers.claimed, memory_order_acquire);
}

static void start_at(struct kn_reader *reader, uint64_t position)
{
    reader->position = reader->ready = position;
}

/* Where the one before stood: an exclusive reader, or one with an id. */
static int resume(struct kn_reader *reader, const struct kn_sector *sector, uint32_t index, uint64_t kind)
{
    int result = kn_cursor_open(&reader->ring, &reader->form, sector, kind, index);
    if (result < 0)
        return result;
    /* Acquire pairs with the release store in kn_reader_move. In one step, since a writer may move a lagging reader at
     * any time that it does not hold. */
    uint64_t position =
        atomic_fetch_and_explicit(&reader->ring.entry->position, ~KN_POSITION_HELD, memory_order_acq_rel) &
        ~KN_POSITION_HELD;
    if (position >= KN_POSITION_DROPPED) { /* moved out of the way meanwhile */
        kn_entry_free(reader->ring.entry);
        return -ENOENT;
    }
    start_at(reader, position);
    /* One that has left inside a run, of which no slot but the first is stamped, knew how far it goes. */
    if (!reader->form.marks_each)
        reader->ready = atomic_load_explicit(&reader->ring.entry->held_end, memory_order_relaxed);
    return 0;
}

static int join_broadcast(struct kn_reader *reader, const struct kn_sector *sector,
                          const struct kn_reader_options *options)
{
    struct kn_sector_head *head = sector->head;
    uint64_t kind = kind_of(KN_CURSOR_READER, (uint64_t)options->lag);
    int known = options->id != 0 ? kn_reader_find(head, options->id) : -ENOENT;
    if (known >= 0) {
        int result = resume(reader, sector, (uint32_t)known, kind);
        if (result != -ENOENT)
            return result;
    }
    int result = kn_cursor_open(&reader->ring, &reader->form, sector, kind, KN_CURSOR_ANY);
    if (result < 0)
        return result;
    /* Held at what is an old position by now, until the present one is known; no writer may move it meanwhile. */
    kn_reader_move(reader, atomic_load_explicit(&head->writers.claimed, memory_order_acquire), KN_POSITION_HELD);
    start_at(reader, begin_at_present(head));
    kn_reader_move(reader, reader->position, 0);
    /* Last, lest the old position be kept for this id if the process is killed before. Release pairs with the acquire
     * load in predecessor_position. */
    atomic_store_explicit(&reader->ring.entry->id, options->id, memory_order_release);
    return 0;
}

/* Makes a group, or helps whoever began to, so that its first position is the present one. */
static void complete_group(struct kn_sector_head *head, struct kn_group_entry *group)
{
    uint64_t word = KN_GROUP_FREE;
    uint64_t early = atomic_load_explicit(&head->writers.claimed, memory_order_acquire);
    /* Release and acquire pair with the loads of `taken` by writers and members. */
    atomic_compare_exchange_strong_explicit(&group->taken, &word, early << KN_GROUP_SHIFT | KN_GROUP_MAKING,
                                            memory_order_acq_rel, memory_order_acquire);
    word = atomic_load_explicit(&group->taken, memory_order_acquire);
    if ((word & KN_GROUP_MEMBER) != KN_GROUP_MAKING)
        return;
    uint64_t position = begin_at_present(head);
    atomic_compare_exchange_strong_explicit(&group->taken, &word, position << KN_GROUP_SHIFT | KN_GROUP_NOBODY,
                                            memory_order_acq_rel, memory_order_acquire);
}

static int make_group(struct kn_sector_head *head, uint64_t id)
{
    for (uint32_t i = 0; i < KN_SECTOR_GROUPS; i++) {
        uint64_t none = 0;
        /* Acquire and release pair with kn_group_find. Who finds the place taken looks whether it was for the same id.
         */
        if (atomic_compare_exchange_strong_explicit(&head->groups[i].id, &none, id, memory_order_acq_rel,
                                                    memory_order_acquire) ||
            none == id)
            return (int)i;
    }
    return -EMFILE;
}

static int join_group(struct kn_reader *reader, const struct kn_sector *sector, uint64_t id)
{
    struct kn_sector_head *head = sector->head;
    /* The cursor first: a group that is made holds the writers up, whether it gets members or not. */
    int result = kn_cursor_open(&reader->ring, &reader->form, sector, KN_CURSOR_MEMBER, KN_CURSOR_ANY);
    if (result < 0)
        return result;
    int index = kn_group_find(head, id);
    if (index < 0)
        index = make_group(head, id);
    if (index < 0) {
        kn_entry_free(reader->ring.entry);
        return index;
    }
    reader->group = &head->groups[index];
    complete_group(head, reader->group);
    reader->form.group = true;
    reader->hands = reader->ring.entry;
    atomic_store_explicit(&reader->hands->kind, kind_of(KN_CURSOR_MEMBER, (uint64_t)index), memory_order_relaxed);
    /* Nothing is confirmed of this member. Who reads its name in the group's word finds this: see kn_member_exchange.
     */
    atomic_store_explicit(&reader->hands->taken_end, (uint64_t)index, memory_order_relaxed);
    return 0;
}

static int find_predecessors(struct kn_reader *reader, struct kn_sector_head *head, const uint64_t *ids)
{
    for (uint32_t i = 0; i < KN_AFTER_MAX; i++) {
        if (ids[i] == 0)
            continue;
        int entry = kn_reader_find(head, ids[i]);
        int group = entry < 0 ? kn_group_find(head, ids[i]) : -1;
        if (entry < 0 && group < 0)
            return -ENOENT;
        reader->after_ids[reader->after_count] = ids[i];
        reader->after[reader->after_count++] = entry >= 0 ? (uint32_t)entry : KN_AFTER_GROUP + (uint32_t)group;
    }
    return 0;
}

static bool are_default(const struct kn_reader_options *options)
{
    uint64_t any = options->id | options->group | (uint64_t)options->lag;
    for (uint32_t i = 0; i < KN_AFTER_MAX; i++)
        any |= options->after[i];
    return any == 0;
}

int kn_reader_join(struct kn_reader *reader, const struct kn_sector *sector, const struct kn_reader_options *options)
{
    static const struct kn_reader_options zero;
    struct kn_sector_head *head = sector->head;
    *reader = (struct kn_reader){.sector = sector};
    options = options ? options : &zero;
    if (head->header.readers == KN_READER_EXCLUSIVE)
        return are_default(options) ? resume(reader, sector, KN_CURSOR_PERMANENT_READER, KN_CURSOR_READER) : -EPERM;
    if (head->header.readers == KN_READERS_GROUP)
        return are_default(options) ? join_group(reader, sector, KN_READER_PERMANENT) : -EPERM;
    int result = find_predecessors(reader, head, options->after);
    if (result < 0)
        return result;
    reader->lag = options->lag;
    if (options->group == 0)
        return join_broadcast(reader, sector, options);
    if (options->lag != KN_LAG_BLOCK || options->id != 0 || reader->after_count > 0)
        return -EINVAL;
    return join_group(reader, sector, options->group);
}

void kn_reader_leave(struct kn_reader *reader)
{
    struct kn_eventcount *released = &reader->ring.head->released;
    struct kn_eventcount *published = &reader->ring.head->published;
    if (reader->form.group && reader->hands != reader->ring.entry)
        kn_reader_finish_adopted(reader);
    if (reader->ring.index == KN_CURSOR_PERMANENT_READER) {
        atomic_store_explicit(&reader->ring.entry->held_end, reader->ready, memory_order_relaxed);
        kn_entry_let_go(reader->ring.entry);
    } else {
        kn_entry_free(reader->ring.entry);
    }
    kn_eventcount_notify(released, KN_EVENTCOUNT_ALL);
    kn_eventcount_notify(published, KN_EVENTCOUNT_ALL);
    *reader = (struct kn_reader){0};
}

int kn_reader_hold(struct kn_reader *reader)
{
    uint64_t position = reader->position;
    /* Acquire pairs with the exchange in move_lagging (writer.c). */
    while (!atomic_compare_exchange_strong_explicit(&reader->ring.entry->position, &position,
                                                    position | KN_POSITION_HELD, memory_order_acq_rel,
                                                    memory_order_acquire)) {
        if (position >= KN_POSITION_DROPPED)
            return -ESTALE;
        reader->lost += position - reader->position;
        start_at(reader, position);
    }
    return 0;
}

void kn_reader_unhold(struct kn_reader *reader)
{
    kn_reader_move(reader, reader->position, 0);
}

/* Of a group, what nobody needs any more: what is taken and in nobody's hands. */
static uint64_t group_position(const struct kn_sector_head *head, uint32_t group)
{
    /* Acquire both: as kn_writer_find_gate, and in that order. */
    uint64_t least = atomic_load_explicit(&head->groups[group].taken, memory_order_acquire) >> KN_GROUP_SHIFT;
    for (uint32_t i = 0; i < kn_cursors_used(head); i++) {
        const struct kn_cursor_entry *entry = &head->cursors[i];
        uint64_t kind = atomic_load_explicit(&entry->kind, memory_order_relaxed);
        uint64_t position = atomic_load_explicit(&entry->position, memory_order_acquire);
        if ((kind == kind_of(KN_CURSOR_MEMBER, group) || kind == kind_of(KN_CURSOR_ORPHAN, group)) && position < least)
            least = position;
    }
    return least;
}

/* Where one of the predecessors stands; NONE once it has left, or what it was is another's: it limits nobody. */
static uint64_t predecessor_position(const struct kn_sector_head *head, uint32_t after, uint64_t id)
{
    uint64_t position, present;
    if (after >= KN_AFTER_GROUP) {
        position = group_position(head, after - KN_AFTER_GROUP);
        /* Acquire both: an id that is another is seen only after the position from before it. */
        present = atomic_load_explicit(&head->groups[after - KN_AFTER_GROUP].id, memory_order_acquire);
    } else {
        /* Acquire pairs with the release store in kn_reader_move: it has finished with what lies before. */
        position = atomic_load_explicit(&head->cursors[after].position, memory_order_acquire) & ~KN_POSITION_HELD;
        present = atomic_load_explicit(&head->cursors[after].id, memory_order_acquire);
    }
    return present == id ? position : KN_POSITION_NONE;
}

uint64_t kn_reader_limit(const struct kn_reader *reader)
{
    uint64_t least = KN_POSITION_NONE;
    for (uint32_t i = 0; i < reader->after_count; i++) {
        uint64_t position = predecessor_position(reader->ring.head, reader->after[i], reader->after_ids[i]);
        least = position < least ? position : least;
    }
    return least;
}

void kn_reader_confirm(const struct kn_reader *reader, uint64_t word)
{
    uint64_t member = word & KN_GROUP_MEMBER;
    uint64_t end = word >> KN_GROUP_SHIFT;
    if (member >= reader->ring.head->header.cursors_max)
        return;
    uint64_t group = (uint64_t)(reader->group - reader->ring.head->groups);
    _Atomic uint64_t *taken_end = &reader->ring.head->cursors[member].taken_end;
    uint64_t confirmed = atomic_load_explicit(taken_end, memory_order_relaxed);
    /* Upwards only: a slow helper must not undo what a later one confirmed. And of this group only: an entry that was
     * given to a member of another one meanwhile needs it no more. Release pairs with the acquire load in has_taken
     * (recover.c). */
    while ((confirmed & KN_GROUP_MEMBER) == group && confirmed >> KN_GROUP_SHIFT < end &&
           !atomic_compare_exchange_weak_explicit(taken_end, &confirmed, end << KN_GROUP_SHIFT | group,
                                                  memory_order_release, memory_order_relaxed))
        ;
}

bool kn_reader_adopt(struct kn_reader *reader)
{
    struct kn_sector_head *head = reader->ring.head;
    uint64_t owner = atomic_load_explicit(&reader->ring.entry->owner, memory_order_relaxed);
    uint64_t wanted = kind_of(KN_CURSOR_ORPHAN, (uint64_t)(reader->group - head->groups));
    for (uint32_t i = 0; i < kn_cursors_used(head); i++) {
        struct kn_cursor_entry *entry = &head->cursors[i];
        if (atomic_load_explicit(&entry->kind, memory_order_relaxed) != wanted || !kn_entry_acquire(entry, 0, owner))
            continue;
        if (atomic_load_explicit(&entry->kind, memory_order_relaxed) != wanted) {
            kn_entry_let_go(entry);
            continue;
        }
        reader->hands = entry;
        reader->position = atomic_load_explicit(&entry->position, memory_order_relaxed);
        reader->ready = atomic_load_explicit(&entry->held_end, memory_order_relaxed);
        return true;
    }
    return false;
}

void kn_reader_finish_adopted(struct kn_reader *reader)
{
    kn_entry_free(reader->hands);
    atomic_fetch_sub_explicit(&reader->ring.head->orphans, 1, memory_order_relaxed);
    reader->hands = reader->ring.entry;
}

int kn_reader_pause(struct kn_reader *reader, struct kn_waiter *waiter)
{
    bool slept_long = false;
    int result = kn_waiter_pause(waiter, &slept_long);
    if (slept_long && reader->form.robust)
        (void)kn_sector_recover(reader->sector);
    return result;
}
