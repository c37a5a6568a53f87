/**
 * @file sector.h
 * A sector is the preallocated memory that a queue walks: a ring mapped twice, back to back.
 *
 * Use it through the queues that stand on it, or directly when bytes must wrap around without ever being split:
 * what is written at offset `length_bytes + n` is at offset `n` as well, so that any range of up to
 * `length_bytes` bytes that starts inside the first copy is contiguous. Do not use it for memory that is
 * resized. It guarantees that after kn_sector_open nothing allocates and, with `prefault`, nothing page-faults.
 *
 * The double mapping is the "magic ring buffer" of Virtual Ring Buffers (Philip Howard, 2003).
 */
#ifndef KERNEL_SECTOR_H
#define KERNEL_SECTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <kernel/atomic.h>

/** What a sector is made of. The zero value is refused: a length is needed. */
struct kn_sector_options {
    size_t length_bytes; /**< a multiple of kn_sector_page_bytes() */
    bool prefault;       /**< touch every page now, so that no first use faults later */
};

/** A mapped ring. Plain memory: the holder decides who may read and write what, and when. */
struct kn_sector {
    uint8_t *memory;     /**< first copy; the second follows at memory + length_bytes */
    size_t length_bytes; /**< of one copy */
};

/** The granularity of sector lengths, in bytes: the system's page size. Thread-safe. */
size_t kn_sector_page_bytes(void);

/**
 * Maps a zero-filled ring twice. The caller owns the sector and closes it once.
 * Not for concurrent use on one sector; different sectors are independent.
 *
 * @return 0; -EINVAL for a length that is zero, no multiple of a page, or too large to map twice;
 * -ENOMEM, -EMFILE, -ENFILE as the system reports.
 */
KN_CHECK_RESULT int kn_sector_open(struct kn_sector *sector, const struct kn_sector_options *options);

/** Unmaps both copies. No thread may use the memory any more. Harmless on a zeroed or closed sector. */
void kn_sector_close(struct kn_sector *sector);

#endif
