#include <kernel/sector.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static const char MAGIC[8] = {'K', 'N', 'S', 'E', 'C', 'T', 'O', 'R'};
static const char NO_MAGIC[8] = {0};

/* What the system counts a file's blocks in, see stat(2). */
enum { BLOCK_BYTES = 512 };

/* The most that a mapping takes for each of its two parts. */
static const uint64_t PART_BYTES_MAX = PTRDIFF_MAX / 4;

static const struct kn_sector EMPTY = {.mapping = {.descriptor = -1}};

/* A checksum over every byte in front of it, without holes between the fields. */
_Static_assert(offsetof(struct kn_sector_header, checksum) == 96, "the format is fixed");
_Static_assert(sizeof(struct kn_sector_header) == 104, "the format is fixed");

/* FNV-1a of Fowler, Noll and Vo. Never 0. */
static uint64_t hash(const void *bytes, size_t length)
{
    const uint8_t *next = bytes;
    uint64_t value = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < length; i++)
        value = (value ^ next[i]) * UINT64_C(0x100000001b3);
    return value != 0 ? value : 1;
}

static uint64_t header_checksum(const struct kn_sector_header *header)
{
    return hash(header, offsetof(struct kn_sector_header, checksum));
}

/* The same value for everybody until the machine is started again; 0 where the system does not say. */
static uint64_t boot_id_hash(void)
{
    char text[64];
    int descriptor = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return 0;
    ssize_t length = read(descriptor, text, sizeof(text));
    close(descriptor);
    return length > 0 ? hash(text, (size_t)length) : 0;
}

/* Where the stamps of a dense sector begin, or would. */
static uint64_t stamps_offset(const struct kn_sector_header *header)
{
    uint64_t end = sizeof(struct kn_sector_head) + header->cursors_max * sizeof(struct kn_cursor_entry);
    return kn_align_up(end, KN_OWNER_STRIDE);
}

/*
 * Derives strides and lengths from slot_bytes, capacity_slots, layout, cursors_max and page_bytes. The ring is the
 * least that holds the capacity and fills whole pages, which the double mapping needs. False: no such sector can be.
 */
static bool lay_out(struct kn_sector_header *header)
{
    if (header->slot_bytes == 0 || header->slot_bytes > PART_BYTES_MAX || !kn_is_power_of_two(header->capacity_slots) ||
        header->cursors_max < KN_CURSORS_RESERVED || header->cursors_max > KN_SECTOR_CURSORS_MAX)
        return false;
    bool dense = header->layout == KN_LAYOUT_DENSE;
    uint64_t stride = dense ? header->slot_bytes : KN_SEQUENCED_STRIDE_BYTES(header->slot_bytes);
    uint64_t stride_alignment = stride & -stride;
    uint64_t page = header->page_bytes;
    uint64_t slots_min = stride_alignment < page ? page / stride_alignment : 1;
    uint64_t slots = header->capacity_slots > slots_min ? header->capacity_slots : slots_min;
    if (slots > PART_BYTES_MAX / stride || slots > PART_BYTES_MAX / (2 * KN_STAMP_BYTES))
        return false;
    header->stride_bytes = stride;
    header->ring_slots = slots;
    header->ring_bytes = slots * stride;
    header->head_bytes = kn_align_up(stamps_offset(header) + (dense ? slots * KN_STAMP_BYTES : 0), page);
    return true;
}

/* False: what is wished for cannot be. */
static bool describe(struct kn_sector_header *header, const struct kn_sector_options *options)
{
    if ((unsigned)options->layout > KN_LAYOUT_DENSE || (unsigned)options->writers > KN_WRITERS_SHARED ||
        (unsigned)options->readers > KN_READERS_GROUP)
        return false;
    *header = (struct kn_sector_header){
        .version = KN_SECTOR_VERSION,
        .header_bytes = sizeof(struct kn_sector_header),
        .slot_bytes = options->slot_bytes,
        .capacity_slots = options->capacity_slots,
        .layout = options->layout,
        .writers = options->writers,
        .readers = options->readers,
        .cursors_max = options->cursors_max != 0 ? options->cursors_max : KN_SECTOR_CURSORS_DEFAULT,
        .robust = options->robust || options->shared || options->name,
        .page_bytes = (uint32_t)kn_mapping_page_bytes(),
        .boot_id_hash = boot_id_hash(),
    };
    memcpy(header->magic, MAGIC, sizeof(MAGIC));
    if (!lay_out(header))
        return false;
    if (!options->huge_pages || options->name || header->ring_bytes < KN_HUGE_PAGE_BYTES)
        return true;
    header->page_bytes = KN_HUGE_PAGE_BYTES;
    return lay_out(header);
}

static void take_up(struct kn_sector *sector, const struct kn_sector_header *header)
{
    uint8_t *head = sector->mapping.head;
    uint8_t *stamps = header->layout == KN_LAYOUT_DENSE ? head + stamps_offset(header) : sector->mapping.ring;
    sector->head = (struct kn_sector_head *)(void *)head;
    sector->stamps = (_Atomic uint64_t *)(void *)stamps;
}

/* Sets what is not zero at the beginning; the memory is nobody else's yet. */
static void begin(struct kn_sector_head *head, const struct kn_sector_header *header, bool shared)
{
    for (size_t i = 0; i < KN_SECTOR_GROUPS; i++)
        atomic_init(&head->groups[i].taken, KN_GROUP_FREE);
    for (size_t i = 0; i < header->cursors_max; i++) {
        atomic_init(&head->cursors[i].position, KN_POSITION_NONE);
        atomic_init(&head->cursors[i].intent_first, KN_POSITION_NONE);
        atomic_init(&head->cursors[i].intent_end, KN_POSITION_NONE);
    }
    if (header->readers == KN_READER_EXCLUSIVE) {
        atomic_init(&head->cursors[0].position, 0);
        atomic_init(&head->cursors[0].kind, KN_CURSOR_READER);
        atomic_init(&head->cursors[0].id, KN_READER_PERMANENT);
        atomic_init(&head->cursors_used, 1);
    } else if (header->readers == KN_READERS_GROUP) {
        atomic_init(&head->groups[0].taken, KN_GROUP_NOBODY);
        atomic_init(&head->groups[0].id, KN_READER_PERMANENT);
    }
    kn_eventcount_init(&head->published, shared);
    kn_eventcount_init(&head->released, shared);
}

int kn_sector_create(struct kn_sector *sector, const struct kn_sector_options *options)
{
    *sector = EMPTY;
    struct kn_sector_header header;
    if (!describe(&header, options))
        return -EINVAL;
    struct kn_mapping_options mapping = {
        .head_bytes = header.head_bytes,
        .ring_bytes = header.ring_bytes,
        .prefault = true,
        .huge_pages = header.page_bytes == KN_HUGE_PAGE_BYTES,
        .bind_numa_node = options->bind_numa_node,
        .numa_node = options->numa_node,
        .keep_descriptor = options->shared,
        .name = options->name,
    };
    int result = kn_mapping_create(&sector->mapping, &mapping);
    if (result < 0)
        return result;
    take_up(sector, &header);
    struct kn_sector_head *head = sector->head;
    begin(head, &header, options->shared || options->name);
    memcpy(&head->header, &header, offsetof(struct kn_sector_header, checksum));
    /* Release: who finds the checksum finds all the rest. */
    atomic_store_explicit(&head->header.checksum, header_checksum(&header), memory_order_release);
    return 0;
}

/* Copies a part of the file, which may be anything. */
static int read_part(int descriptor, void *part, size_t length, size_t offset)
{
    ssize_t got = pread(descriptor, part, length, (off_t)offset);
    if (got < 0)
        return -errno;
    return (size_t)got < length ? -ENODATA : 0;
}

static int read_header(int descriptor, struct kn_sector_header *header)
{
    struct stat file;
    if (fstat(descriptor, &file) < 0)
        return -errno;
    if (!S_ISREG(file.st_mode))
        return -EBADMSG;
    uint64_t checksum;
    int result = read_part(descriptor, &checksum, sizeof(checksum), offsetof(struct kn_sector_header, checksum));
    if (result < 0)
        return result;
    /* The checksum is stored last and read first. Between system calls that is no promise: if the rest was older after
     * all it does not match, and a second look finds it. */
    result = read_part(descriptor, header, sizeof(*header), 0);
    if (result == 0 && checksum != header_checksum(header))
        result = read_part(descriptor, header, sizeof(*header), 0);
    atomic_init(&header->checksum, checksum);
    return result;
}

/* Trusts no field before it has been checked, and the checksum, which anybody can compute, only against accidents. */
static int check_header(const struct kn_sector_header *header)
{
    uint64_t checksum = atomic_load_explicit(&header->checksum, memory_order_relaxed);
    if (memcmp(header->magic, NO_MAGIC, sizeof(MAGIC)) != 0 && memcmp(header->magic, MAGIC, sizeof(MAGIC)) != 0)
        return -EBADMSG;
    if (checksum == 0 && (header->version == 0 || header->version == KN_SECTOR_VERSION))
        return -ENODATA; /* not finished yet */
    if (memcmp(header->magic, MAGIC, sizeof(MAGIC)) != 0)
        return -EBADMSG;
    if (header->version != KN_SECTOR_VERSION || header->header_bytes != sizeof(*header))
        return -EPROTONOSUPPORT;
    if (checksum != header_checksum(header) || header->layout > KN_LAYOUT_DENSE ||
        header->writers > KN_WRITERS_SHARED || header->readers > KN_READERS_GROUP || header->robust > 1 ||
        (header->page_bytes != kn_mapping_page_bytes() && header->page_bytes != KN_HUGE_PAGE_BYTES))
        return -EBADMSG;
    struct kn_sector_header derived = *header;
    if (!lay_out(&derived) || derived.stride_bytes != header->stride_bytes ||
        derived.ring_slots != header->ring_slots || derived.head_bytes != header->head_bytes ||
        derived.ring_bytes != header->ring_bytes)
        return -EBADMSG;
    return header->boot_id_hash == boot_id_hash() ? 0 : -ESTALE;
}

/* Whether the file is all there: a page that is missing would be a SIGBUS on its first use. */
static int check_file(int descriptor, const struct kn_sector_header *header)
{
    struct stat file;
    if (fstat(descriptor, &file) < 0)
        return -errno;
    uint64_t expected_bytes = header->head_bytes + header->ring_bytes;
    uint64_t file_bytes = (uint64_t)file.st_size;
    if (file_bytes < expected_bytes || (uint64_t)file.st_blocks < expected_bytes / BLOCK_BYTES)
        return -ENODATA;
    if (file_bytes > expected_bytes)
        return -EBADMSG;
    uint64_t cursors_used;
    int result =
        read_part(descriptor, &cursors_used, sizeof(cursors_used), offsetof(struct kn_sector_head, cursors_used));
    return result == 0 && cursors_used > header->cursors_max ? -EBADMSG : result;
}

static bool is_expected(const struct kn_sector_header *header, const struct kn_sector_options *expected)
{
    return (expected->slot_bytes == 0 || expected->slot_bytes == header->slot_bytes) &&
           (expected->capacity_slots == 0 || expected->capacity_slots == header->capacity_slots) &&
           (expected->layout == 0 || expected->layout == header->layout) &&
           (expected->writers == 0 || expected->writers == header->writers) &&
           (expected->readers == 0 || expected->readers == header->readers) &&
           (expected->cursors_max == 0 || expected->cursors_max == header->cursors_max);
}

int kn_sector_attach(struct kn_sector *sector, int descriptor, const struct kn_sector_options *expected)
{
    *sector = EMPTY;
    struct kn_sector_header header = {0};
    int result = read_header(descriptor, &header);
    if (result == 0)
        result = check_header(&header);
    if (result == 0)
        result = check_file(descriptor, &header);
    if (result == 0 && expected && !is_expected(&header, expected))
        result = -EPROTOTYPE;
    if (result == 0)
        result = kn_mapping_attach(&sector->mapping, descriptor, header.head_bytes, header.ring_bytes);
    if (result < 0)
        return result;
    take_up(sector, &header);
    kn_eventcount_attach(&sector->head->published);
    kn_eventcount_attach(&sector->head->released);
    return 0;
}

/* Attaches a descriptor that nobody else will close. */
static int attach_owned(struct kn_sector *sector, int descriptor, const struct kn_sector_options *expected)
{
    int result = kn_sector_attach(sector, descriptor, expected);
    if (result < 0)
        close(descriptor);
    return result;
}

int kn_sector_open_named(struct kn_sector *sector, const char *name, const struct kn_sector_options *expected)
{
    *sector = EMPTY;
    int descriptor;
    int result = kn_mapping_open(&descriptor, name);
    return result < 0 ? result : attach_owned(sector, descriptor, expected);
}

/* Room for one descriptor next to a message, aligned as its header must be. */
union control {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr header;
};

int kn_sector_send(const struct kn_sector *sector, int socket)
{
    if (!sector->head || sector->mapping.descriptor < 0)
        return -EBADF;
    char byte = 'S'; /* a descriptor only travels along with data */
    struct iovec data = {.iov_base = &byte, .iov_len = sizeof(byte)};
    union control control = {{0}};
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(&control.header), &sector->mapping.descriptor, sizeof(int));
    ssize_t sent;
    do
        sent = sendmsg(socket, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : 0;
}

int kn_sector_receive(struct kn_sector *sector, int socket, const struct kn_sector_options *expected)
{
    *sector = EMPTY;
    char byte;
    struct iovec data = {.iov_base = &byte, .iov_len = sizeof(byte)};
    union control control = {{0}};
    /* A length without the padding: with it, a second descriptor would fit, and stay open. */
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_LEN(sizeof(int))};
    ssize_t got;
    do
        got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return -errno;
    if (got == 0)
        return -ECONNRESET;
    const struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (!header || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS ||
        header->cmsg_len != CMSG_LEN(sizeof(int)))
        return (message.msg_flags & MSG_CTRUNC) != 0 ? -EMFILE : -ENOMSG; /* sent, but there was no room for it here */
    int descriptor;
    memcpy(&descriptor, CMSG_DATA(header), sizeof(descriptor));
    return attach_owned(sector, descriptor, expected);
}

void kn_sector_close(struct kn_sector *sector)
{
    kn_mapping_close(&sector->mapping);
    *sector = EMPTY;
}

int kn_sector_unlink(const char *name)
{
    return kn_mapping_unlink(name);
}

size_t kn_sector_capacity(const struct kn_sector *sector)
{
    return sector->head->header.capacity_slots;
}
