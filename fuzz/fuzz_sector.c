/*
 * A sector is attached only if it is consistent, whatever the file holds; and then all of it can be touched.
 *
 * The first byte of the input says what to repair, so that the later checks are reached too; the next two how long the
 * file is, in pages, and how much longer. The rest is what the file holds, zeros behind.
 */
#include <kernel/sector.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"

enum { REPAIR_START = 1, REPAIR_BOOT = 2, REPAIR_CHECKSUM = 4, PAGES_MAX = 64, CONTROL_BYTES = 3 };

/* FNV-1a, as sector.c has it. */
static uint64_t checksum_of(const struct kn_sector_header *header)
{
    const uint8_t *bytes = (const uint8_t *)header;
    uint64_t value = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < offsetof(struct kn_sector_header, checksum); i++)
        value = (value ^ bytes[i]) * UINT64_C(0x100000001b3);
    return value;
}

/* The header of a real sector of this boot. */
static const struct kn_sector_header *real_header(void)
{
    static struct kn_sector_header header;
    if (header.version == 0) {
        struct kn_sector sector;
        FUZZ_CHECK(kn_sector_create(&sector, &(struct kn_sector_options){.slot_bytes = 1, .capacity_slots = 1}) == 0);
        memcpy(&header, &sector.head->header, sizeof(header));
        kn_sector_close(&sector);
    }
    return &header;
}

static void repair(struct kn_sector_header *header, unsigned what)
{
    const struct kn_sector_header *real = real_header();
    if (what & REPAIR_START)
        memcpy(header, real, offsetof(struct kn_sector_header, slot_bytes));
    if (what & REPAIR_BOOT)
        header->boot_id_hash = real->boot_id_hash;
    if (what & REPAIR_CHECKSUM)
        header->checksum = checksum_of(header);
}

/* A file of the input. */
static int make_file(const uint8_t *data, size_t size, size_t *length)
{
    int descriptor = memfd_create("fuzz", MFD_CLOEXEC);
    FUZZ_CHECK(descriptor >= 0);
    *length = data[1] % PAGES_MAX * kn_mapping_page_bytes() + data[2];
    size_t content = size - CONTROL_BYTES < *length ? size - CONTROL_BYTES : *length;
    if (*length > 0)
        FUZZ_CHECK(fallocate(descriptor, 0, 0, (off_t)*length) == 0);
    FUZZ_CHECK(pwrite(descriptor, data + CONTROL_BYTES, content, 0) == (ssize_t)content);
    struct kn_sector_header header;
    if (pread(descriptor, &header, sizeof(header), 0) == (ssize_t)sizeof(header)) {
        repair(&header, data[0]);
        FUZZ_CHECK(pwrite(descriptor, &header, sizeof(header), 0) == (ssize_t)sizeof(header));
    }
    return descriptor;
}

static void check_accepted(struct kn_sector *sector, size_t length)
{
    const struct kn_sector_header *header = &sector->head->header;
    uint8_t *ring = sector->mapping.ring;
    uint8_t *stamps = (uint8_t *)sector->stamps;
    FUZZ_CHECK(header->head_bytes + header->ring_bytes == length);
    FUZZ_CHECK(kn_is_power_of_two(header->ring_slots) && kn_is_power_of_two(header->capacity_slots));
    FUZZ_CHECK(header->capacity_slots <= header->ring_slots);
    FUZZ_CHECK(header->ring_slots * header->stride_bytes == header->ring_bytes);
    bool dense = header->layout == KN_LAYOUT_DENSE;
    FUZZ_CHECK(header->stride_bytes >= header->slot_bytes + (dense ? 0 : KN_STAMP_BYTES));
    FUZZ_CHECK(header->cursors_max <= KN_SECTOR_CURSORS_MAX && sector->head->cursors_used <= header->cursors_max);
    FUZZ_CHECK((uint8_t *)&sector->head->cursors[header->cursors_max] <= (dense ? stamps : ring));
    FUZZ_CHECK(!dense || stamps + header->ring_slots * KN_STAMP_BYTES <= ring);
    memset(stamps, 1, KN_STAMP_BYTES);
    memset(ring, 0, 2 * header->ring_bytes);
    memset(sector->mapping.head, 0, sector->mapping.head_bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < CONTROL_BYTES)
        return 0;
    size_t length;
    int descriptor = make_file(data, size, &length);
    struct kn_sector sector;
    int result = kn_sector_attach(&sector, descriptor, NULL);
    if (result == 0) {
        check_accepted(&sector, length);
        kn_sector_close(&sector);
        return 0;
    }
    FUZZ_CHECK(result == -ENODATA || result == -EBADMSG || result == -EPROTONOSUPPORT || result == -ESTALE);
    FUZZ_CHECK(!sector.head && fcntl(descriptor, F_GETFD) >= 0);
    close(descriptor);
    return 0;
}
