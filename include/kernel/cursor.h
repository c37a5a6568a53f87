/**
 * @file cursor.h
 * Cursors walk a sector: writers claim slots, write in place and publish; readers peek, read in place and release.
 *
 * This is what writer.h and reader.h have in common; include those for broadcast, pipelines, several relations on one
 * sector, lagging readers and other processes, and the typed faces (spsc.h, mpsc.h, spmc.h, mpmc.h, broadcast.h),
 * which are the same functions with the shape known to the compiler, for a queue of one type. Nothing here allocates,
 * copies, locks or enters the system; full and empty are answered with -EAGAIN.
 *
 * How it works. Positions count slots from the sector's beginning; position p lies in slot p modulo the ring.
 *
 *   - A writer claims positions: an exclusive one by advancing its own word, shared ones by compare-and-swap of
 *     `claimed`. It never claims further than a capacity ahead of the slowest cursor (the gate), which it looks for
 *     only when the gate it knows is used up.
 *   - A claim is published by the stamp of its first slot: the number of the lap and how many messages follow, a run.
 *     One release store publishes a batch, in whatever order the writers get there. Where a reader may begin in the
 *     middle of a run (groups, readers that join, robust sectors), every slot of it carries its own stamp.
 *   - A reader owns a position, the oldest message it still needs. Broadcast readers each have one; one that comes
 *     after others is limited by their positions as well as by the stamps (pipeline); members of a group take
 *     positions from a word of the group by compare-and-swap, and each says in its own entry what is in its hands.
 *   - The gate is the least of all those words. So competing readers may release out of order and nobody waits for
 *     anybody: a member that stalls holds up the writers a lap later, not the other members.
 *
 * Progress. Exclusive writers and readers: wait-free. Shared claims and takes: lock-free. A writer that stalls between
 * claim and publish holds up the readers behind its slots, though not the other writers before the ring is full; if it
 * is dead and the sector robust, kn_sector_recover lets the readers pass.
 *
 * Sources: claim, publish and gating are the Disruptor's (Thompson, Farley, Barker et al., 2011); a stamp with a lap
 * per slot is D. Vyukov's (bounded MPMC queue, 2010) and the Disruptor's availability buffer. That a run is published
 * by its first stamp, and the hands of a group's members in place of a second cursor, are ours; the latter is a
 * hazard pointer (Michael, 2004) made of a position. models/ holds a model of each relation that Spin exhausts.
 */
#ifndef KERNEL_CURSOR_H
#define KERNEL_CURSOR_H

#include <errno.h>
#include <string.h>

#include <kernel/atomic.h>
#include <kernel/sector.h>

/** Most slots that one claim gives out. */
#define KN_CLAIM_MAX 65535

/* A stamp: the number of the lap plus one, whether the run is abandoned, and its length in slots. */
#define KN_STAMP_RUN UINT64_C(0xffff)
#define KN_STAMP_ABANDONED (UINT64_C(1) << 16)
#define KN_STAMP_LAP_SHIFT 17

/** Consecutive slots, each at a fixed distance from the one before. Valid until published or released. */
struct kn_span {
    uint8_t *first;      /**< message of the first slot */
    size_t stride_bytes; /**< from one message to the next */
    size_t count;        /**< slots */
};

/** The message of slot `index` (below `span->count`) of a span. Wait-free. */
KN_INLINE void *kn_span_at(const struct kn_span *span, size_t index)
{
    return span->first + index * span->stride_bytes;
}

/* What the functions must know of a sector's shape: constants in the typed faces, else read from the sector. */
struct kn_form {
    size_t slot_bytes;
    size_t stride_bytes;
    bool dense;          /* the layout */
    bool shared_writers; /* else one exclusive writer */
    bool marks_each;     /* every slot of a run carries its stamp */
    bool group;          /* reader: is a member of a group; writer: the only reader is group 0 */
    bool dynamic;        /* readers join and leave */
    bool robust;         /* cursors leave traces for kn_sector_recover */
};

/* The fields of a sector that never change; each cursor has a copy so that no third line is fetched. */
struct kn_ring {
    uint8_t *memory;
    _Atomic uint64_t *stamps;
    uint64_t mask;
    uint64_t capacity;
    struct kn_sector_head *head;
    struct kn_cursor_entry *entry; /* the cursor's own */
    uint32_t lap_shift;            /* of a position, to get the number of its lap */
    uint32_t index;                /* of the entry */
};

/* The message of a position, always by its first address: ThreadSanitizer takes the second mapping for other memory. */
KN_INLINE uint8_t *kn_ring_message(const struct kn_ring *ring, struct kn_form form, uint64_t position)
{
    return ring->memory + (position & ring->mask) * form.stride_bytes + (form.dense ? 0 : KN_STAMP_BYTES);
}

KN_INLINE _Atomic uint64_t *kn_ring_stamp(const struct kn_ring *ring, struct kn_form form, uint64_t position)
{
    uint64_t slot = position & ring->mask;
    return form.dense ? ring->stamps + slot : (_Atomic uint64_t *)(void *)(ring->memory + slot * form.stride_bytes);
}

/* The stamp of a position in its lap, without flag and length. */
KN_INLINE uint64_t kn_ring_lap(const struct kn_ring *ring, uint64_t position)
{
    return ((position >> ring->lap_shift) + 1) << KN_STAMP_LAP_SHIFT;
}

/* The length of the run that is published at a position, with KN_STAMP_ABANDONED where it is; 0: not published yet. */
KN_INLINE uint64_t kn_ring_run(const struct kn_ring *ring, struct kn_form form, uint64_t position)
{
    /* Acquire pairs with the release store in kn_writer_stamp: the messages were written before. */
    uint64_t stamp = atomic_load_explicit(kn_ring_stamp(ring, form, position), memory_order_acquire);
    uint64_t run = stamp - kn_ring_lap(ring, position);
    return run >> KN_STAMP_LAP_SHIFT == 0 ? run : 0;
}

KN_INLINE struct kn_span kn_ring_span(const struct kn_ring *ring, struct kn_form form, uint64_t position, size_t count)
{
    return (struct kn_span){
        .first = kn_ring_message(ring, form, position), .stride_bytes = form.stride_bytes, .count = count};
}

/* Slots from a position to a capacity behind the gate. The gate may lie far back for a moment, when a reader joins or a
 * member gets its hands on an old position: none, then. */
KN_INLINE uint64_t kn_ring_room(const struct kn_ring *ring, uint64_t gate, uint64_t position)
{
    int64_t room = (int64_t)(gate + ring->capacity - position);
    return room > 0 ? (uint64_t)room : 0;
}

/**
 * Forgets a reader that is gone, or a group without members, by its id, so that it holds the writers up no longer.
 *
 * @return 0; -ENOENT when nobody has this id; -EBUSY while one lives. Not while others join by that id.
 */
int kn_sector_forget(const struct kn_sector *sector, uint64_t id);

/**
 * Looks after the dead: cursors of processes that were killed. Unpublished claims are marked as abandoned, so that
 * readers skip them; readers without an id no longer hold the writers up, those with one keep their place for who takes
 * it up again; what a group's member had in its hands is shown once more to another. Waiting forms that park call this
 * by themselves; call it when a full or empty sector stays so. Robust sectors only. Any thread; enters the system.
 *
 * @return how many dead cursors were found; -ENOTSUP when the sector is not robust.
 */
int kn_sector_recover(const struct kn_sector *sector);

/** Messages claimed (exclusive writer: published) and not yet released by the slowest reader, or taken by its group. A
 * moment old, exact while everybody rests. Any thread. */
size_t kn_sector_count(const struct kn_sector *sector);

#endif
