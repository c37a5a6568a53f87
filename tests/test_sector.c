/* Making, sharing and refusing sectors. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <kernel/sector.h>

static const struct kn_sector_options SHARED = {.slot_bytes = 24, .capacity_slots = 64, .shared = true};

static int open_descriptors(void)
{
    int count = 0;
    for (int descriptor = 0; descriptor < 1024; descriptor++)
        count += fcntl(descriptor, F_GETFD) >= 0;
    return count;
}

/* A name that no other run of the tests uses. */
static const char *own_name(void)
{
    static char name[64];
    snprintf(name, sizeof(name), "/kernel-test-sector-%ld", (long)getpid());
    return name;
}

static void assert_empty(const struct kn_sector *sector)
{
    assert_null(sector->head);
    assert_null(sector->stamps);
    assert_null(sector->mapping.ring);
    assert_int_equal(sector->mapping.descriptor, -1);
}

static void assert_refused(const struct kn_sector_options *options, int error)
{
    struct kn_sector sector;
    int before = open_descriptors();
    assert_int_equal(kn_sector_create(&sector, options), error);
    assert_empty(&sector);
    assert_int_equal(open_descriptors(), before);
    kn_sector_close(&sector);
}

/* The descriptor stays open, and no other one does. */
static void assert_attach_refused(int descriptor, const struct kn_sector_options *expected, int error)
{
    struct kn_sector sector;
    int before = open_descriptors();
    assert_int_equal(kn_sector_attach(&sector, descriptor, expected), error);
    assert_empty(&sector);
    assert_int_equal(open_descriptors(), before);
}

static void assert_attaches(int descriptor, const struct kn_sector_options *expected)
{
    struct kn_sector sector;
    int before = open_descriptors();
    assert_int_equal(kn_sector_attach(&sector, dup(descriptor), expected), 0);
    kn_sector_close(&sector);
    assert_int_equal(open_descriptors(), before);
}

/* What the header's checksum should be: FNV-1a, as sector.c has it. */
static uint64_t checksum_of(const struct kn_sector_header *header)
{
    const uint8_t *bytes = (const uint8_t *)header;
    uint64_t value = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < offsetof(struct kn_sector_header, checksum); i++)
        value = (value ^ bytes[i]) * UINT64_C(0x100000001b3);
    return value;
}

static int wait_for(pid_t child)
{
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void ring_holds_the_capacity_and_fills_pages(void **state)
{
    (void)state;
    size_t page = kn_mapping_page_bytes();
    const size_t slot_bytes[] = {1, 7, 8, 9, 24, 25, 56, 57, 100, 120, 1000, 4096, 5000};
    for (size_t i = 0; i < sizeof(slot_bytes) / sizeof(slot_bytes[0]); i++) {
        for (size_t capacity = 1; capacity <= 1024; capacity *= 4) {
            for (unsigned layout = 0; layout < 2; layout++) {
                struct kn_sector sector;
                struct kn_sector_options options = {
                    .slot_bytes = slot_bytes[i], .capacity_slots = capacity, .layout = layout};
                assert_int_equal(kn_sector_create(&sector, &options), 0);
                const struct kn_sector_header *header = &sector.head->header;
                uint64_t stride = layout == KN_LAYOUT_DENSE ? slot_bytes[i] : KN_SEQUENCED_STRIDE_BYTES(slot_bytes[i]);
                assert_int_equal(kn_sector_capacity(&sector), capacity);
                assert_int_equal(header->stride_bytes, stride);
                assert_true(kn_is_power_of_two(header->ring_slots) && header->ring_slots >= capacity);
                assert_int_equal(header->ring_slots * stride, sector.mapping.ring_bytes);
                assert_int_equal(sector.mapping.ring_bytes % page, 0);
                /* Half of it would not do. */
                assert_true(header->ring_slots == capacity || header->ring_slots / 2 * stride % page != 0);
                assert_int_equal(sector.mapping.descriptor, -1);
                kn_sector_close(&sector);
            }
        }
    }
}

static void stride_never_lets_a_message_straddle_more_lines_than_it_must(void **state)
{
    (void)state;
    for (size_t bytes = 1; bytes <= 56; bytes++) {
        size_t stride = KN_SEQUENCED_STRIDE_BYTES(bytes);
        assert_true(stride >= bytes + KN_STAMP_BYTES);
        assert_int_equal(KN_CACHE_LINE % stride, 0);
    }
    for (size_t bytes = 57; bytes <= 1024; bytes++)
        assert_int_equal(KN_SEQUENCED_STRIDE_BYTES(bytes) % KN_CACHE_LINE, 0);
}

static void stamps_lie_in_the_slots_or_behind_the_cursors(void **state)
{
    (void)state;
    struct kn_sector sector;
    struct kn_sector_options options = {.slot_bytes = 10, .capacity_slots = 16, .cursors_max = 3};
    assert_int_equal(kn_sector_create(&sector, &options), 0);
    assert_ptr_equal(sector.stamps, sector.mapping.ring);
    kn_sector_close(&sector);
    options.layout = KN_LAYOUT_DENSE;
    assert_int_equal(kn_sector_create(&sector, &options), 0);
    assert_true((uint8_t *)sector.stamps >= (uint8_t *)&sector.head->cursors[3]);
    assert_int_equal((uintptr_t)sector.stamps % KN_OWNER_STRIDE, 0);
    assert_true((uint8_t *)(sector.stamps + sector.head->header.ring_slots) <= sector.mapping.ring);
    for (size_t i = 0; i < sector.head->header.ring_slots; i++)
        assert_int_equal(sector.stamps[i], 0);
    kn_sector_close(&sector);
}

static void fresh_sector_holds_nobody_up(void **state)
{
    (void)state;
    struct kn_sector sector;
    struct kn_sector_options options = {.slot_bytes = 8, .capacity_slots = 8, .cursors_max = 250};
    assert_int_equal(kn_sector_create(&sector, &options), 0);
    struct kn_sector_head *head = sector.head;
    assert_int_equal(head->header.cursors_max, KN_SECTOR_CURSORS_MAX);
    assert_int_equal(head->header.robust, 0);
    assert_int_equal(head->writers.claimed, 0);
    assert_int_equal(head->writers.gate, 0);
    assert_int_equal(head->cursors_used, 0);
    for (size_t i = 0; i < KN_SECTOR_GROUPS; i++)
        assert_true(head->groups[i].taken == KN_GROUP_FREE && head->groups[i].id == 0);
    for (size_t i = 0; i < KN_SECTOR_CURSORS_MAX; i++) {
        const struct kn_cursor_entry *entry = &head->cursors[i];
        assert_true(entry->position == KN_POSITION_NONE && entry->intent_first == KN_POSITION_NONE &&
                    entry->intent_end == KN_POSITION_NONE);
        assert_true(entry->owner == 0 && entry->id == 0 && entry->kind == KN_CURSOR_FREE);
    }
    kn_sector_close(&sector);
}

static void permanent_reader_or_group_stands_at_the_beginning(void **state)
{
    (void)state;
    struct kn_sector sector;
    struct kn_sector_options options = {.slot_bytes = 8, .capacity_slots = 8, .readers = KN_READER_EXCLUSIVE};
    assert_int_equal(kn_sector_create(&sector, &options), 0);
    assert_int_equal(sector.head->header.cursors_max, KN_SECTOR_CURSORS_DEFAULT);
    assert_int_equal(sector.head->cursors_used, 1);
    assert_int_equal(sector.head->cursors[0].position, 0);
    assert_int_equal(sector.head->cursors[0].kind, KN_CURSOR_READER);
    assert_true(sector.head->cursors[0].id == KN_READER_PERMANENT);
    assert_int_equal(sector.head->cursors[0].owner, 0);
    assert_true(sector.head->cursors[1].position == KN_POSITION_NONE);
    kn_sector_close(&sector);

    options.readers = KN_READERS_GROUP;
    assert_int_equal(kn_sector_create(&sector, &options), 0);
    assert_int_equal(sector.head->groups[0].taken >> 8, 0);
    assert_int_equal(sector.head->groups[0].taken & 0xff, KN_GROUP_NOBODY);
    assert_true(sector.head->groups[0].id == KN_READER_PERMANENT);
    assert_true(sector.head->groups[1].taken == KN_GROUP_FREE);
    assert_int_equal(sector.head->cursors_used, 0);
    kn_sector_close(&sector);
}

static void sector_is_robust_if_wished_or_shared(void **state)
{
    (void)state;
    const struct kn_sector_options robust[] = {
        {.slot_bytes = 8, .capacity_slots = 8, .robust = true},
        {.slot_bytes = 8, .capacity_slots = 8, .shared = true},
        {.slot_bytes = 8, .capacity_slots = 8, .name = own_name()},
    };
    for (size_t i = 0; i < sizeof(robust) / sizeof(robust[0]); i++) {
        struct kn_sector sector;
        assert_int_equal(kn_sector_create(&sector, &robust[i]), 0);
        assert_int_equal(sector.head->header.robust, 1);
        kn_sector_close(&sector);
    }
    assert_int_equal(kn_sector_unlink(own_name()), 0);
}

static void sector_refuses_bad_options(void **state)
{
    (void)state;
    const struct kn_sector_options bad[] = {
        {0},
        {.slot_bytes = 8},
        {.capacity_slots = 8},
        {.slot_bytes = 8, .capacity_slots = 3},
        {.slot_bytes = 8, .capacity_slots = SIZE_MAX},
        {.slot_bytes = 8, .capacity_slots = (size_t)1 << 63},
        {.slot_bytes = 8, .capacity_slots = (size_t)1 << 61, .layout = KN_LAYOUT_DENSE},
        {.slot_bytes = 1, .capacity_slots = (size_t)1 << 60, .layout = KN_LAYOUT_DENSE},
        {.slot_bytes = SIZE_MAX, .capacity_slots = 8},
        {.slot_bytes = SIZE_MAX - 7, .capacity_slots = 1},
        {.slot_bytes = SIZE_MAX, .capacity_slots = 1, .layout = KN_LAYOUT_DENSE},
        {.slot_bytes = (size_t)PTRDIFF_MAX / 2, .capacity_slots = 1},
        {.slot_bytes = (size_t)1 << 60, .capacity_slots = (size_t)1 << 20},
        {.slot_bytes = 8, .capacity_slots = 8, .cursors_max = KN_SECTOR_CURSORS_MAX + 1},
        {.slot_bytes = 8, .capacity_slots = 8, .cursors_max = UINT32_MAX},
        {.slot_bytes = 8, .capacity_slots = 8, .cursors_max = KN_CURSORS_RESERVED - 1},
        {.slot_bytes = 8, .capacity_slots = 8, .layout = (enum kn_layout)2},
        {.slot_bytes = 8, .capacity_slots = 8, .writers = (enum kn_writers)2},
        {.slot_bytes = 8, .capacity_slots = 8, .readers = (enum kn_readers)3},
        {.slot_bytes = 8, .capacity_slots = 8, .name = "no slash"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_refused(&bad[i], -EINVAL);
}

static void sector_reports_exhausted_memory(void **state)
{
    (void)state;
    assert_refused(&(struct kn_sector_options){.slot_bytes = (size_t)1 << 40, .capacity_slots = 1}, -ENOMEM);
    assert_refused(&(struct kn_sector_options){.slot_bytes = (size_t)1 << 50, .capacity_slots = 2}, -ENOMEM);
}

static void sector_reports_the_lack_of_descriptors(void **state)
{
    (void)state;
    struct rlimit limit;
    struct kn_sector sector;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    struct rlimit none = {.rlim_cur = 0, .rlim_max = limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    int result = kn_sector_create(&sector, &SHARED);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(result, -EMFILE);
    assert_empty(&sector);
}

static void sector_takes_huge_pages_only_if_its_slots_fill_one(void **state)
{
    (void)state;
    struct kn_sector sector;
    struct kn_sector_options options = {.slot_bytes = 56, .capacity_slots = 64, .huge_pages = true, .shared = true};
    assert_int_equal(kn_sector_create(&sector, &options), 0);
    assert_int_equal(sector.head->header.page_bytes, kn_mapping_page_bytes());
    assert_true(sector.mapping.ring_bytes < KN_HUGE_PAGE_BYTES);
    assert_attaches(sector.mapping.descriptor, &options);
    kn_sector_close(&sector);
    options.capacity_slots = KN_HUGE_PAGE_BYTES / 64;
    assert_int_equal(kn_sector_create(&sector, &options), 0);
    assert_int_equal(sector.head->header.page_bytes, KN_HUGE_PAGE_BYTES);
    assert_int_equal(sector.mapping.head_bytes, KN_HUGE_PAGE_BYTES);
    assert_int_equal(sector.mapping.ring_bytes, KN_HUGE_PAGE_BYTES);
    assert_attaches(sector.mapping.descriptor, &options);
    kn_sector_close(&sector);
}

static void sector_is_bound_to_its_node(void **state)
{
    (void)state;
    struct kn_sector sector;
    struct kn_sector_options options = {.slot_bytes = 8, .capacity_slots = 8, .bind_numa_node = true};
    int result = kn_sector_create(&sector, &options);
    assert_true(result == 0 || result == -ENOSYS);
    kn_sector_close(&sector);
    options.numa_node = 100000;
    assert_refused(&options, -EINVAL);
}

static void sector_may_be_closed_twice(void **state)
{
    (void)state;
    struct kn_sector sector;
    int before = open_descriptors();
    assert_int_equal(kn_sector_create(&sector, &SHARED), 0);
    kn_sector_close(&sector);
    kn_sector_close(&sector);
    assert_empty(&sector);
    struct kn_sector zeroed = {0};
    kn_sector_close(&zeroed);
    assert_int_equal(open_descriptors(), before);
}

static void any_flipped_bit_of_the_header_is_refused(void **state)
{
    (void)state;
    struct kn_sector sector;
    assert_int_equal(kn_sector_create(&sector, &SHARED), 0);
    uint8_t *bytes = (uint8_t *)&sector.head->header;
    for (size_t offset = 0; offset < sizeof(struct kn_sector_header); offset++) {
        bool version = offset >= offsetof(struct kn_sector_header, version) &&
                       offset < offsetof(struct kn_sector_header, slot_bytes);
        for (unsigned bit = 0; bit < 8; bit++) {
            bytes[offset] ^= (uint8_t)(1U << bit);
            assert_attach_refused(sector.mapping.descriptor, NULL, version ? -EPROTONOSUPPORT : -EBADMSG);
            bytes[offset] ^= (uint8_t)(1U << bit);
        }
    }
    assert_attaches(sector.mapping.descriptor, NULL);
    kn_sector_close(&sector);
}

/* Puts values into a field and makes the checksum right again: a mistake of a program, not of the memory. */
static void assert_field_refused(const struct kn_sector *sector, size_t offset, size_t bytes, int error)
{
    struct kn_sector_header *header = &sector->head->header;
    uint8_t *field = (uint8_t *)header + offset;
    uint64_t old = 0;
    memcpy(&old, field, bytes);
    const uint64_t values[] = {0, old + 1000, old * 3, UINT64_MAX, UINT64_MAX / 2, UINT64_C(1) << 63, old | 1u << 31};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        memcpy(field, &values[i], bytes);
        if (memcmp(field, &old, bytes) == 0)
            continue;
        header->checksum = checksum_of(header);
        assert_attach_refused(sector->mapping.descriptor, NULL, error);
    }
    memcpy(field, &old, bytes);
    header->checksum = checksum_of(header);
    assert_attaches(sector->mapping.descriptor, NULL);
}

#define ASSERT_FIELD_REFUSED(sector, field, error)                                                                     \
    assert_field_refused((sector), offsetof(struct kn_sector_header, field), sizeof((sector)->head->header.field),     \
                         error)

static void header_that_contradicts_itself_is_refused(void **state)
{
    (void)state;
    for (unsigned layout = 0; layout < 2; layout++) {
        struct kn_sector sector;
        struct kn_sector_options options = SHARED;
        options.layout = layout;
        options.cursors_max = 200;
        options.writers = KN_WRITERS_SHARED;
        options.readers = KN_READERS_GROUP;
        assert_int_equal(kn_sector_create(&sector, &options), 0);
        assert_true(sector.head->header.checksum == checksum_of(&sector.head->header));
        ASSERT_FIELD_REFUSED(&sector, stride_bytes, -EBADMSG);
        ASSERT_FIELD_REFUSED(&sector, ring_slots, -EBADMSG);
        ASSERT_FIELD_REFUSED(&sector, head_bytes, -EBADMSG);
        ASSERT_FIELD_REFUSED(&sector, ring_bytes, -EBADMSG);
        ASSERT_FIELD_REFUSED(&sector, slot_bytes, -EBADMSG);
        ASSERT_FIELD_REFUSED(&sector, capacity_slots, -EBADMSG);
        ASSERT_FIELD_REFUSED(&sector, cursors_max, -EBADMSG);
        ASSERT_FIELD_REFUSED(&sector, page_bytes, -EBADMSG);
        ASSERT_FIELD_REFUSED(&sector, version, -EPROTONOSUPPORT);
        ASSERT_FIELD_REFUSED(&sector, header_bytes, -EPROTONOSUPPORT);
        ASSERT_FIELD_REFUSED(&sector, boot_id_hash, -ESTALE);
        kn_sector_close(&sector);
    }
}

static void header_with_an_unknown_relation_is_refused(void **state)
{
    (void)state;
    struct kn_sector sector;
    assert_int_equal(kn_sector_create(&sector, &SHARED), 0);
    struct kn_sector_header *header = &sector.head->header;
    uint32_t *const fields[] = {&header->layout, &header->writers, &header->readers, &header->robust};
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        uint32_t old = *fields[i];
        *fields[i] = 3;
        header->checksum = checksum_of(header);
        assert_attach_refused(sector.mapping.descriptor, NULL, -EBADMSG);
        *fields[i] = old;
    }
    kn_sector_close(&sector);
}

static void more_cursors_than_there_can_be_are_refused(void **state)
{
    (void)state;
    struct kn_sector sector;
    assert_int_equal(kn_sector_create(&sector, &SHARED), 0);
    sector.head->cursors_used = KN_SECTOR_CURSORS_DEFAULT;
    assert_attaches(sector.mapping.descriptor, NULL);
    sector.head->cursors_used = KN_SECTOR_CURSORS_DEFAULT + 1;
    assert_attach_refused(sector.mapping.descriptor, NULL, -EBADMSG);
    kn_sector_close(&sector);
}

static void truncated_sector_is_refused(void **state)
{
    (void)state;
    struct kn_sector sector;
    assert_int_equal(kn_sector_create(&sector, &SHARED), 0);
    int descriptor = dup(sector.mapping.descriptor);
    off_t whole = (off_t)(sector.mapping.head_bytes + sector.mapping.ring_bytes);
    kn_sector_close(&sector); /* its pages are about to go */
    off_t page = (off_t)kn_mapping_page_bytes();
    assert_int_equal(ftruncate(descriptor, whole + 1), 0);
    assert_attach_refused(descriptor, NULL, -EBADMSG);
    const off_t lengths[] = {whole - 1, whole - page, page + 1, 1024, 104, 103, 96, 8, 1, 0};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        assert_int_equal(ftruncate(descriptor, lengths[i]), 0);
        assert_attach_refused(descriptor, NULL, -ENODATA);
    }
    close(descriptor);
}

static void sector_with_a_hole_is_refused(void **state)
{
    (void)state;
    struct kn_sector sector;
    assert_int_equal(kn_sector_create(&sector, &SHARED), 0);
    off_t ring = (off_t)sector.mapping.head_bytes;
    assert_int_equal(fallocate(sector.mapping.descriptor, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, ring,
                               (off_t)kn_mapping_page_bytes()),
                     0);
    assert_attach_refused(sector.mapping.descriptor, NULL, -ENODATA);
    kn_sector_close(&sector);
}

static void half_made_sector_is_recognised(void **state)
{
    (void)state;
    struct kn_sector sector;
    assert_int_equal(kn_sector_create(&sector, &SHARED), 0);
    struct kn_sector_header *header = &sector.head->header;
    header->checksum = 0;
    assert_attach_refused(sector.mapping.descriptor, NULL, -ENODATA);
    header->version = 0;
    assert_attach_refused(sector.mapping.descriptor, NULL, -ENODATA);
    memset(header, 0, sizeof(*header));
    assert_attach_refused(sector.mapping.descriptor, NULL, -ENODATA);
    kn_sector_close(&sector);
}

static void foreign_files_are_refused(void **state)
{
    (void)state;
    int pipes[2];
    static const char text[] = "GIF89a and what else there may be in a file that is no sector at all, but longer than "
                               "the header of one would have to be.";
    int descriptor = memfd_create("foreign", MFD_CLOEXEC);
    assert_int_equal(write(descriptor, text, sizeof(text)), sizeof(text));
    assert_attach_refused(descriptor, NULL, -EBADMSG);
    close(descriptor);
    assert_int_equal(pipe(pipes), 0);
    assert_attach_refused(pipes[0], NULL, -EBADMSG);
    close(pipes[0]);
    close(pipes[1]);
    descriptor = open("/", O_RDONLY | O_DIRECTORY);
    assert_attach_refused(descriptor, NULL, -EBADMSG);
    close(descriptor);
    assert_attach_refused(-1, NULL, -EBADF);
}

static void sector_of_another_shape_is_refused(void **state)
{
    (void)state;
    struct kn_sector sector;
    struct kn_sector_options options = {.slot_bytes = 24, .capacity_slots = 64, .cursors_max = 5, .shared = true};
    options.layout = KN_LAYOUT_DENSE;
    options.writers = KN_WRITERS_SHARED;
    options.readers = KN_READER_EXCLUSIVE;
    const struct kn_sector_options others[] = {
        {.slot_bytes = 25},
        {.slot_bytes = 23},
        {.capacity_slots = 32},
        {.slot_bytes = 24, .capacity_slots = 128},
        {.readers = KN_READERS_GROUP},
        {.cursors_max = 6},
    };
    assert_int_equal(kn_sector_create(&sector, &options), 0);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_attach_refused(sector.mapping.descriptor, &others[i], -EPROTOTYPE);
    assert_attaches(sector.mapping.descriptor, &options);
    assert_attaches(sector.mapping.descriptor, &(struct kn_sector_options){0});
    assert_attaches(sector.mapping.descriptor, &(struct kn_sector_options){.name = "/other", .robust = true});
    kn_sector_close(&sector);

    options.layout = KN_LAYOUT_SEQUENCED;
    options.writers = KN_WRITER_EXCLUSIVE;
    assert_int_equal(kn_sector_create(&sector, &options), 0);
    assert_attach_refused(sector.mapping.descriptor, &(struct kn_sector_options){.layout = KN_LAYOUT_DENSE},
                          -EPROTOTYPE);
    assert_attach_refused(sector.mapping.descriptor, &(struct kn_sector_options){.writers = KN_WRITERS_SHARED},
                          -EPROTOTYPE);
    kn_sector_close(&sector);
}

/* In the child: takes a sector from the socket, compares, and answers through it. */
static int answer_through_received(int socket)
{
    struct kn_sector sector;
    int result = kn_sector_receive(&sector, socket, &SHARED);
    if (result < 0)
        return -result;
    bool same = strcmp((char *)sector.mapping.ring + 100, "to the child") == 0;
    memcpy(sector.mapping.ring + sector.mapping.ring_bytes + 200, "to the parent", 14);
    sector.head->membership = 7;
    kn_sector_close(&sector);
    return same ? 0 : 255;
}

static void sector_sent_to_another_process_shares_its_memory(void **state)
{
    (void)state;
    struct kn_sector sector;
    int sockets[2];
    int before = open_descriptors();
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
    pid_t child = fork(); /* before there is a sector that it could inherit */
    assert_true(child >= 0);
    if (child == 0) {
        close(sockets[0]);
        _exit(answer_through_received(sockets[1]));
    }
    close(sockets[1]);
    assert_int_equal(kn_sector_create(&sector, &SHARED), 0);
    memcpy(sector.mapping.ring + 100, "to the child", 13);
    assert_int_equal(kn_sector_send(&sector, sockets[0]), 0);
    assert_int_equal(wait_for(child), 0);
    assert_string_equal(sector.mapping.ring + 200, "to the parent");
    assert_int_equal(sector.head->membership, 7);
    kn_sector_close(&sector);
    close(sockets[0]);
    assert_int_equal(open_descriptors(), before);
}

static void only_a_shared_sector_can_be_sent(void **state)
{
    (void)state;
    struct kn_sector sector;
    int sockets[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
    assert_int_equal(
        kn_sector_create(&sector, &(struct kn_sector_options){.slot_bytes = 8, .capacity_slots = 8, .robust = true}),
        0);
    assert_int_equal(kn_sector_send(&sector, sockets[0]), -EBADF);
    kn_sector_close(&sector);
    assert_int_equal(kn_sector_send(&sector, sockets[0]), -EBADF);
    assert_int_equal(kn_sector_send(&(struct kn_sector){0}, sockets[0]), -EBADF);
    assert_int_equal(kn_sector_create(&sector, &SHARED), 0);
    close(sockets[1]);
    assert_int_equal(kn_sector_send(&sector, sockets[0]), -EPIPE); /* and no signal */
    assert_int_equal(kn_sector_send(&sector, -1), -EBADF);
    kn_sector_close(&sector);
    close(sockets[0]);
}

static void assert_receive_fails(int socket, const struct kn_sector_options *expected, int error)
{
    struct kn_sector sector;
    int before = open_descriptors();
    assert_int_equal(kn_sector_receive(&sector, socket, expected), error);
    assert_empty(&sector);
    assert_int_equal(open_descriptors(), before);
}

/* Sends so many descriptors at once. */
static void send_descriptors(int socket, const int *descriptors, size_t count)
{
    union {
        char bytes[CMSG_SPACE(2 * sizeof(int))];
        struct cmsghdr header;
    } control = {{0}};
    struct iovec data = {.iov_base = "x", .iov_len = 1};
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_SPACE(count * sizeof(int))};
    control.header =
        (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(count * sizeof(int))};
    memcpy(CMSG_DATA(&control.header), descriptors, count * sizeof(int));
    assert_int_equal(sendmsg(socket, &message, 0), 1);
}

static void receive_tells_what_it_did_not_get_and_leaks_nothing(void **state)
{
    (void)state;
    struct kn_sector sector;
    int sockets[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
    assert_int_equal(write(sockets[0], "x", 1), 1);
    assert_receive_fails(sockets[1], NULL, -ENOMSG);
    assert_int_equal(kn_sector_create(&sector, &SHARED), 0);
    assert_int_equal(kn_sector_send(&sector, sockets[0]), 0);
    assert_receive_fails(sockets[1], &(struct kn_sector_options){.slot_bytes = 8}, -EPROTOTYPE);
    send_descriptors(sockets[0], &sockets[0], 1);
    assert_receive_fails(sockets[1], NULL, -EBADMSG);

    struct kn_sector received;
    int before = open_descriptors();
    if (!getenv("KN_TEST_EMULATED")) { /* qemu-user gives the system a larger buffer, and drops the second itself */
        send_descriptors(sockets[0], (int[]){sector.mapping.descriptor, sockets[0]}, 2);
        assert_int_equal(kn_sector_receive(&received, sockets[1], NULL), 0); /* the second is dropped */
        assert_int_equal(open_descriptors(), before + 1);
        kn_sector_close(&received);
    }

    struct rlimit limit;
    assert_int_equal(kn_sector_send(&sector, sockets[0]), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    struct rlimit none = {.rlim_cur = 0, .rlim_max = limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    int result = kn_sector_receive(&received, sockets[1], NULL);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(result, -EMFILE);

    close(sockets[0]);
    assert_receive_fails(sockets[1], NULL, -ECONNRESET);
    close(sockets[1]);
    assert_receive_fails(-1, NULL, -EBADF);
    kn_sector_close(&sector);
}

/* In the child: opens by name, and waits through the memory alone. */
static int answer_through_opened(const char *name)
{
    struct kn_sector sector;
    int result;
    while ((result = kn_sector_open_named(&sector, name, NULL)) == -ENOENT || result == -ENODATA)
        usleep(100); /* not there yet, or not finished */
    if (result < 0)
        return -result;
    /* Acquire and release pair with the parent's loads and stores of the same word. */
    while (atomic_load_explicit(&sector.head->membership, memory_order_acquire) != 1)
        usleep(100);
    bool same = strcmp((char *)sector.mapping.ring, "by name") == 0;
    memcpy(sector.mapping.ring, "answered", 9);
    atomic_store_explicit(&sector.head->membership, 2, memory_order_release);
    kn_sector_close(&sector);
    return same ? 0 : 255;
}

static void named_sector_is_opened_by_another_process(void **state)
{
    (void)state;
    struct kn_sector sector;
    int before = open_descriptors();
    const char *name = own_name();
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* it waits for what a failed test never does */
        _exit(answer_through_opened(name));
    }
    struct kn_sector_options options = {.slot_bytes = 24, .capacity_slots = 64, .name = name};
    assert_int_equal(kn_sector_create(&sector, &options), 0);
    assert_refused(&options, -EEXIST);
    memcpy(sector.mapping.ring, "by name", 8);
    /* Release pairs with the child's acquire load. */
    atomic_store_explicit(&sector.head->membership, 1, memory_order_release);
    assert_int_equal(wait_for(child), 0);
    assert_string_equal(sector.mapping.ring, "answered");
    kn_sector_close(&sector);
    assert_int_equal(kn_sector_unlink(name), 0);
    assert_int_equal(kn_sector_unlink(name), -ENOENT);
    assert_int_equal(open_descriptors(), before);
}

static void opening_by_name_fails_clearly_and_leaks_nothing(void **state)
{
    (void)state;
    struct kn_sector sector;
    struct kn_sector_options options = {.slot_bytes = 24, .capacity_slots = 64, .name = own_name()};
    int before = open_descriptors();
    assert_int_equal(kn_sector_open_named(&sector, own_name(), NULL), -ENOENT);
    assert_empty(&sector);
    assert_int_equal(kn_sector_open_named(&sector, "no slash", NULL), -EINVAL);
    assert_int_equal(kn_sector_unlink("no slash"), -EINVAL);
    assert_int_equal(kn_sector_create(&sector, &options), 0);
    kn_sector_close(&sector);
    assert_int_equal(kn_sector_open_named(&sector, own_name(), &(struct kn_sector_options){.slot_bytes = 32}),
                     -EPROTOTYPE);
    assert_empty(&sector);
    int descriptor = shm_open(own_name(), O_RDWR, 0);
    assert_int_equal(pwrite(descriptor, "?", 1, 0), 1);
    close(descriptor);
    assert_int_equal(kn_sector_open_named(&sector, own_name(), NULL), -EBADMSG);
    assert_int_equal(kn_sector_unlink(own_name()), 0);
    assert_int_equal(open_descriptors(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ring_holds_the_capacity_and_fills_pages),
        cmocka_unit_test(stride_never_lets_a_message_straddle_more_lines_than_it_must),
        cmocka_unit_test(stamps_lie_in_the_slots_or_behind_the_cursors),
        cmocka_unit_test(fresh_sector_holds_nobody_up),
        cmocka_unit_test(permanent_reader_or_group_stands_at_the_beginning),
        cmocka_unit_test(sector_is_robust_if_wished_or_shared),
        cmocka_unit_test(sector_refuses_bad_options),
        cmocka_unit_test(sector_reports_exhausted_memory),
        cmocka_unit_test(sector_reports_the_lack_of_descriptors),
        cmocka_unit_test(sector_takes_huge_pages_only_if_its_slots_fill_one),
        cmocka_unit_test(sector_is_bound_to_its_node),
        cmocka_unit_test(sector_may_be_closed_twice),
        cmocka_unit_test(any_flipped_bit_of_the_header_is_refused),
        cmocka_unit_test(header_that_contradicts_itself_is_refused),
        cmocka_unit_test(header_with_an_unknown_relation_is_refused),
        cmocka_unit_test(more_cursors_than_there_can_be_are_refused),
        cmocka_unit_test(truncated_sector_is_refused),
        cmocka_unit_test(sector_with_a_hole_is_refused),
        cmocka_unit_test(half_made_sector_is_recognised),
        cmocka_unit_test(foreign_files_are_refused),
        cmocka_unit_test(sector_of_another_shape_is_refused),
        cmocka_unit_test(sector_sent_to_another_process_shares_its_memory),
        cmocka_unit_test(only_a_shared_sector_can_be_sent),
        cmocka_unit_test(receive_tells_what_it_did_not_get_and_leaks_nothing),
        cmocka_unit_test(named_sector_is_opened_by_another_process),
        cmocka_unit_test(opening_by_name_fails_clearly_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
