/**
 * @file mapping.h
 * Memory of a queue: a head of plain pages, followed by a ring that is mapped twice, back to back.
 *
 * Use it for a ring of bytes that must wrap around without ever being split: what is written at ring offset
 * `ring_bytes + n` is at offset `n` as well, so that any range of up to `ring_bytes` bytes that starts inside the first
 * copy is contiguous. Take sector.h for slots with cursors. It guarantees that after creation nothing allocates and,
 * with `prefault`, nothing page-faults.
 *
 * The double mapping is the "magic ring buffer" of Virtual Ring Buffers (Philip Howard, 2003). The memory belongs to a
 * descriptor (memfd or a file under /dev/shm), so that other processes can map it too.
 *
 * Nothing here is for concurrent use on one mapping; different mappings are independent.
 */
#ifndef KERNEL_MAPPING_H
#define KERNEL_MAPPING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <kernel/atomic.h>

/** Bytes of a huge page. */
#define KN_HUGE_PAGE_BYTES ((size_t)2 << 20)

/** What a mapping is made of. The zero value of each field but ring_bytes is a sensible choice. */
struct kn_mapping_options {
    size_t head_bytes;    /**< in front of the ring; a multiple of kn_mapping_page_bytes(), or 0: none */
    size_t ring_bytes;    /**< a multiple of kn_mapping_page_bytes(), at least one */
    bool prefault;        /**< touch every page now, so that no first use faults later */
    bool huge_pages;      /**< huge pages if the system has some to spare and both sizes are multiples; else plain */
    bool bind_numa_node;  /**< take the pages from `numa_node` alone */
    unsigned numa_node;   /**< as the system numbers it */
    bool keep_descriptor; /**< so that it can be passed on; a named mapping keeps it always */
    const char *name;     /**< "/name" of a new file under /dev/shm, mode 0600; NULL: memory without a name */
};

/** A mapping. Plain memory: the holder decides who may read and write what, and when. */
struct kn_mapping {
    uint8_t *head; /**< NULL without a head */
    uint8_t *ring; /**< first copy; the second follows at ring + ring_bytes */
    size_t head_bytes;
    size_t ring_bytes;
    size_t page_bytes; /**< of the pages it lies on: tells whether huge ones were to be had */
    int descriptor;    /**< -1 unless kept */
};

/** The granularity of lengths, in bytes: the system's page size. Thread-safe. */
size_t kn_mapping_page_bytes(void);

/**
 * Maps zero-filled memory. The caller owns the mapping and closes it once.
 *
 * @return 0; -EINVAL for a length that is zero, no multiple of a page or too large, a name that is not "/" and one to
 * 254 other characters, or a NUMA node that the system does not know; -EEXIST for a name in use; -ENOSYS where the
 * system cannot bind to a node; -ENOMEM, -EMFILE, -ENFILE, -ENOSPC, -EACCES as the system reports. `*mapping` is empty
 * after an error and no file is left behind.
 */
KN_CHECK_RESULT int kn_mapping_create(struct kn_mapping *mapping, const struct kn_mapping_options *options);

/**
 * Maps what a descriptor refers to, of these lengths, and touches every page. The mapping takes the descriptor over
 * when it succeeds.
 *
 * @return 0; -EINVAL for lengths as above; -ENODATA when the file is shorter than both together; or what the system
 * reports. The descriptor stays the caller's after an error.
 */
KN_CHECK_RESULT int kn_mapping_attach(struct kn_mapping *mapping, int descriptor, size_t head_bytes, size_t ring_bytes);

/**
 * Opens the named file of a mapping, for kn_mapping_attach. The caller closes it unless that succeeds.
 *
 * @return 0; -EINVAL for what is no name; -ENOENT, -EACCES, or what the system reports.
 */
KN_CHECK_RESULT int kn_mapping_open(int *descriptor, const char *name);

/** Unmaps, and closes the descriptor; a named file stays until kn_mapping_unlink. Harmless on an empty mapping. */
void kn_mapping_close(struct kn_mapping *mapping);

/** Removes a named file; who has it mapped keeps the memory. @return 0; -EINVAL for what is no name; -ENOENT. */
int kn_mapping_unlink(const char *name);

#endif
