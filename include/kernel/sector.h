/**
 * @file sector.h
 * A sector is a preallocated ring of slots with the cursors that walk it, in one process or shared by several.
 *
 * Use it through the typed faces (spsc.h, mpsc.h, spmc.h, mpmc.h) to hand messages between threads, and directly, with
 * cursor.h, for broadcast, pipelines, several relations at once, or between processes; for messages of varying size
 * take spsc_bytes.h. It guarantees that nothing allocates after creation and that a sector of another version, another
 * shape, a damaged or a truncated one is refused with an error of its own.
 *
 * A sector is one file: memory without a name, whose descriptor can be sent to another process over a local socket,
 * or a named file under /dev/shm. In front is a head that describes itself and holds the cursors; behind, the slots.
 *
 *        +--------+-----------+--------+-----------------+----------+--------------------------------+
 *        | header | writers,  | groups | cursors         | stamps   | slots 0 .. 2^n-1, mapped twice |
 *        |        | events    |        | 128 bytes each  | (dense)  |                                |
 *        +--------+-----------+--------+-----------------+----------+--------------------------------+
 *
 * Layouts. Every position has a stamp, the word by which a run of messages is published:
 *   - sequenced: the stamp lies in front of the message, on its cache line. A message of up to 56 bytes then costs one
 *     line transfer: the least latency.
 *   - dense: the stamps have an array of their own and the messages lie without gaps. A batch is published by one
 *     stamp: the most throughput in batches and for messages of a line or more.
 */
#ifndef KERNEL_SECTOR_H
#define KERNEL_SECTOR_H

#include <kernel/atomic.h>
#include <kernel/eventcount.h>
#include <kernel/mapping.h>

/** Version of the format in memory: others are refused. */
#define KN_SECTOR_VERSION 1

/** Cursors that a sector can have at most; KN_SECTOR_CURSORS_DEFAULT without a wish. */
#define KN_SECTOR_CURSORS_MAX 250
#define KN_SECTOR_CURSORS_DEFAULT 32

/** Consumer groups that a sector can have. */
#define KN_SECTOR_GROUPS 8

/** Bytes of a stamp. */
#define KN_STAMP_BYTES sizeof(uint64_t)

/**
 * Distance of two messages of `slot_bytes` in the sequenced layout, stamp included. Up to a cache line strides are
 * powers of two, so that no message straddles two lines; above, whole lines.
 */
#define KN_SEQUENCED_STRIDE_BYTES(slot_bytes)                                                                          \
    ((slot_bytes) + KN_STAMP_BYTES <= 16 ? (size_t)16                                                                  \
     : (slot_bytes) + KN_STAMP_BYTES <= 32                                                                             \
         ? (size_t)32                                                                                                  \
         : ((slot_bytes) + KN_STAMP_BYTES + KN_CACHE_LINE - 1) / KN_CACHE_LINE * KN_CACHE_LINE)

/** Where the stamps lie. */
enum kn_layout {
    KN_LAYOUT_SEQUENCED, /**< in front of each message: least latency */
    KN_LAYOUT_DENSE      /**< in an array of their own: most throughput in batches */
};

/** Who moves the writers' end. */
enum kn_writers {
    KN_WRITER_EXCLUSIVE, /**< one cursor, by plain stores */
    KN_WRITERS_SHARED    /**< several, by compare-and-swap */
};

/** Who reads. Only on a sector of the first kind can readers of any relation join, and leave, at any time. */
enum kn_readers {
    KN_READERS_JOIN,     /**< nobody: readers join and leave; what is published while there is none is forgotten */
    KN_READER_EXCLUSIVE, /**< one reader, cursor 0: nothing is forgotten before it has released it */
    KN_READERS_GROUP /**< a group, group 0, whose members compete: nothing is forgotten before one has released it */
};

/** What a sector is made of. slot_bytes and capacity_slots are needed; zero is the default of all others. */
struct kn_sector_options {
    size_t slot_bytes;     /**< bytes of one message, at least 1 */
    size_t capacity_slots; /**< most messages in flight: a power of two */
    enum kn_layout layout;
    enum kn_writers writers;
    enum kn_readers readers;
    uint32_t cursors_max; /**< writers and readers together, and KN_CURSORS_RESERVED; 0: KN_SECTOR_CURSORS_DEFAULT */
    bool robust;          /**< cursors leave traces from which a killed process is recovered; on by itself if shared */
    bool shared;          /**< keep the descriptor, to send it to other processes */
    const char *name;     /**< "/name" under /dev/shm, for other processes to open; NULL: none */
    bool huge_pages;      /**< if the slots fill one and the system has some to spare; else plain ones */
    bool bind_numa_node;  /**< take the memory from `numa_node` */
    unsigned numa_node;
};

/** Describes the sector, never changes after creation, and is checked on attaching. */
struct kn_sector_header {
    char magic[8]; /* "KNSECTOR" */
    uint32_t version;
    uint32_t header_bytes; /* of this structure: catches another layout of the same version */
    uint64_t slot_bytes;
    uint64_t stride_bytes; /* from one message to the next */
    uint64_t capacity_slots;
    uint64_t ring_slots; /* slots in the ring, which may exceed the capacity so as to fill pages */
    uint64_t head_bytes;
    uint64_t ring_bytes;
    uint32_t layout;
    uint32_t writers;
    uint32_t readers;
    uint32_t cursors_max;
    uint32_t robust;
    uint32_t page_bytes;       /* that head and ring are rounded to: the system's, or KN_HUGE_PAGE_BYTES */
    uint64_t boot_id_hash;     /* of the boot it was made in: owners of an earlier one are all dead */
    _Atomic uint64_t checksum; /* over all of the above, stored last; 0: not finished yet */
};

/** No position: a cursor that holds nobody up. Larger than any position. */
#define KN_POSITION_NONE (UINT64_MAX >> 1)

/** What a dropped reader finds in its cursor. */
#define KN_POSITION_DROPPED (KN_POSITION_NONE - 1)

/** Set in a reader's position while it has a span in its hands: nobody may move it then. */
#define KN_POSITION_HELD (UINT64_C(1) << 63)

/** What an entry of the cursors is used for. */
enum kn_cursor_kind {
    KN_CURSOR_FREE,
    KN_CURSOR_WRITER,
    KN_CURSOR_READER, /**< sees every message */
    KN_CURSOR_MEMBER, /**< of a group: competes with its other members */
    KN_CURSOR_ORPHAN  /**< what a dead member had in its hands, to be read by another one */
};

/** In an entry's `kind`: the enum in the low byte, then a member's group or a reader's enum kn_lag. */
#define KN_CURSOR_KIND UINT64_C(0xff)
#define KN_CURSOR_DETAIL_SHIFT 8

/** Entries that are set aside: of the exclusive reader, and of the exclusive writer. */
#define KN_CURSOR_PERMANENT_READER 0
#define KN_CURSOR_EXCLUSIVE_WRITER 1
#define KN_CURSORS_RESERVED 2

/** The id of the reader, or the group, that a sector has from its creation on. */
#define KN_READER_PERMANENT UINT64_MAX

/**
 * A group's `taken`: the next position to take above KN_GROUP_SHIFT; below, the entry of the member that took last, or
 * that nobody did yet, or that the group is being made and nobody may. All ones: there is no such group.
 */
#define KN_GROUP_FREE UINT64_MAX
#define KN_GROUP_SHIFT 8
#define KN_GROUP_MEMBER UINT64_C(0xff)
#define KN_GROUP_NOBODY UINT64_C(0xff)
#define KN_GROUP_MAKING UINT64_C(0xfe)

/**
 * A cursor as all participants see it, on lines of its own. A reader: position is the oldest message it still needs.
 * A member of a group: position is the oldest message in its hands, NONE if there is none. A writer of a robust
 * sector: intent_first and intent_end bound the slots it is about to claim or has claimed and not yet published.
 */
struct kn_cursor_entry {
    KN_OWNED _Atomic uint64_t position;
    _Atomic uint64_t held_end;     /* member: end of what is in its hands */
    _Atomic uint64_t taken_end;    /* member: end of its last take and its group, once another member confirmed it */
    _Atomic uint64_t intent_first; /* writer: NONE without a claim */
    _Atomic uint64_t intent_end;
    _Atomic uint64_t owner; /* 0: free; else who, as owner.c packs it */
    _Atomic uint64_t id;    /* what a reader calls itself, to take its place up again after a crash; 0: nothing */
    _Atomic uint64_t kind;  /* enum kn_cursor_kind, and a detail above it */
};

/** A group's end. */
struct kn_group_entry {
    KN_OWNED _Atomic uint64_t taken; /* next position to take, and who took last */
    _Atomic uint64_t id;
};

/** The head of a sector. */
struct kn_sector_head {
    KN_OWNED struct kn_sector_header header;
    struct {
        KN_OWNED _Atomic uint64_t claimed; /* shared: next to claim; exclusive: next to publish */
        _Atomic uint64_t gate;             /* shared: a lower bound of what all readers have released */
    } writers;
    KN_OWNED _Atomic uint64_t membership;    /* exchanged by readers that join and by writers that look for readers */
    KN_OWNED _Atomic uint64_t cursors_used;  /* entries at and above were never in use */
    _Atomic uint64_t orphans;                /* entries of that kind */
    KN_OWNED struct kn_eventcount published; /* readers park here */
    KN_OWNED struct kn_eventcount released;  /* writers park here */
    struct kn_group_entry groups[KN_SECTOR_GROUPS];
    struct kn_cursor_entry cursors[];
};

/** A sector as one process holds it. Fields are private, except for reading. */
struct kn_sector {
    struct kn_sector_head *head;
    _Atomic uint64_t *stamps; /* dense: the array in the head; sequenced: in the slots themselves */
    struct kn_mapping mapping;
};

/**
 * Makes a sector. The caller owns it and closes it once nobody in this process uses it any more. Handing it to another
 * thread must itself be ordered, as pthread_create does.
 *
 * @return 0; -EINVAL when the capacity is no power of two, a size is zero, cursors_max out of range, or the whole too
 * large to map; -EEXIST for a name in use; else as kn_mapping_create. `*sector` is empty after an error.
 */
KN_CHECK_RESULT int kn_sector_create(struct kn_sector *sector, const struct kn_sector_options *options);

/**
 * Opens the named sector of another process. `expected` names what it must be made of: fields that are zero there are
 * not compared. NULL: anything goes.
 *
 * @return 0; -ENOENT without such a file; -EACCES; and, by what is wrong with it: -ENODATA truncated (or not finished
 * yet by its creator: try again), -EBADMSG no sector or a damaged header, -EPROTONOSUPPORT another version,
 * -EPROTOTYPE not of the expected shape, -ESTALE left over from before the machine was started.
 */
KN_CHECK_RESULT int kn_sector_open_named(struct kn_sector *sector, const char *name,
                                         const struct kn_sector_options *expected);

/** The same for a descriptor, which the sector takes over when it succeeds. */
KN_CHECK_RESULT int kn_sector_attach(struct kn_sector *sector, int descriptor,
                                     const struct kn_sector_options *expected);

/** Sends a shared sector over a connected local stream socket. @return 0; -EBADF not shared; or as sendmsg(2). */
KN_CHECK_RESULT int kn_sector_send(const struct kn_sector *sector, int socket);

/** Waits for a sector on such a socket and attaches it. @return as kn_sector_attach; -ENOMSG nothing sent; -ECONNRESET.
 */
KN_CHECK_RESULT int kn_sector_receive(struct kn_sector *sector, int socket, const struct kn_sector_options *expected);

/** Unmaps the sector here; other processes keep it. Harmless on an empty or closed one. */
void kn_sector_close(struct kn_sector *sector);

/** Removes a named sector's file; who has it open keeps it. @return 0, -EINVAL or -ENOENT. */
int kn_sector_unlink(const char *name);

/** Most messages in flight, in slots. Any thread. */
size_t kn_sector_capacity(const struct kn_sector *sector);

#endif
