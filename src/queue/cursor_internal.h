/* What the modules of the cursors share: entries of a sector's head, and who owns them. */
#ifndef KERNEL_QUEUE_CURSOR_INTERNAL_H
#define KERNEL_QUEUE_CURSOR_INTERNAL_H

#include <kernel/cursor.h>

/*
 * Life of an entry. `owner` decides: 0 is nobody. Whoever exchanges it in, from 0 or from a dead owner, may change the
 * rest, and stores 0 when done. Only an entry of kind FREE is anybody's to take; of another kind without an owner it is
 * a place that is kept: of a reader with an id, of the exclusive ends, or of what a dead member had in its hands.
 */

/* No entry in particular. */
#define KN_CURSOR_ANY UINT32_MAX

/* Entries that were ever in use. */
uint32_t kn_cursors_used(const struct kn_sector_head *head);

/* Makes `owner` the owner of an entry that belongs to `from`; whether it was still so. */
bool kn_entry_acquire(struct kn_cursor_entry *entry, uint64_t from, uint64_t owner);

/* The same from whoever had it, unless that one lives: 0 or -EBUSY. */
int kn_entry_take_over(struct kn_cursor_entry *entry, uint64_t owner);

/* Gives an own entry up, as it is; or emptied, for anybody. */
void kn_entry_let_go(struct kn_cursor_entry *entry);
void kn_entry_free(struct kn_cursor_entry *entry);

enum kn_cursor_kind kn_entry_kind(const struct kn_cursor_entry *entry);
uint64_t kn_entry_detail(const struct kn_cursor_entry *entry);

/*
 * Takes an entry for a cursor of this `kind` (with detail) and copies the fields of the sector that never change.
 * `wanted`: an entry that is set aside or kept, or KN_CURSOR_ANY. 0, -EBUSY, -EMFILE or -EOVERFLOW.
 */
int kn_cursor_open(struct kn_ring *ring, struct kn_form *form, const struct kn_sector *sector, uint64_t kind,
                   uint32_t wanted);

/* Copies the fields of a sector that never change, for one who has no cursor. */
void kn_cursor_view(struct kn_ring *ring, struct kn_form *form, const struct kn_sector *sector);

/* The group of an id: its index, or -ENOENT. */
int kn_group_find(const struct kn_sector_head *head, uint64_t id);

/* The entry of a reader's id, living or not: its index, or -ENOENT. */
int kn_reader_find(const struct kn_sector_head *head, uint64_t id);

#endif
