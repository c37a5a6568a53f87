#include <kernel/mapping.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/memfd.h>
#include <linux/mempolicy.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

/* The most that Linux can be configured for. */
enum { NUMA_NODES_MAX = 1024, NAME_LENGTH_MAX = 255 };

/* Allocated by one system call: a signal makes it undo its work, so that a steady timer could keep a larger one from
 * ever ending. */
static const size_t ALLOCATE_BYTES = (size_t)64 << 20;

static const struct kn_mapping EMPTY = {.descriptor = -1};

size_t kn_mapping_page_bytes(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static bool lengths_are_valid(size_t head_bytes, size_t ring_bytes, size_t page_bytes)
{
    return ring_bytes != 0 && head_bytes % page_bytes == 0 && ring_bytes % page_bytes == 0 &&
           head_bytes <= PTRDIFF_MAX / 4 && ring_bytes <= PTRDIFF_MAX / 4;
}

static bool name_is_valid(const char *name)
{
    size_t length = strnlen(name, NAME_LENGTH_MAX + 1);
    return name[0] == '/' && length >= 2 && length <= NAME_LENGTH_MAX && !strchr(name + 1, '/') &&
           strcmp(name, "/.") != 0 && strcmp(name, "/..") != 0;
}

/* Address space that nobody else's mmap lands in, aligned as the pages that will be put there must be; or NULL. */
static uint8_t *reserve(size_t length_bytes, size_t alignment)
{
    size_t spare = alignment - kn_mapping_page_bytes();
    void *reserved = mmap(NULL, length_bytes + spare, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (reserved == MAP_FAILED)
        return NULL;
    uint8_t *memory = reserved;
    size_t before = (size_t)(kn_align_up((uintptr_t)memory, alignment) - (uintptr_t)memory);
    if (before > 0)
        munmap(memory, before);
    if (spare > before)
        munmap(memory + before + length_bytes, spare - before);
    return memory + before;
}

/* Puts a view of the descriptor's pages at a fixed place inside the reservation. */
static int map_view(uint8_t *place, size_t length_bytes, int descriptor, size_t offset_bytes, int flags)
{
    flags |= MAP_SHARED | MAP_FIXED;
    void *mapped = mmap(place, length_bytes, PROT_READ | PROT_WRITE, flags, descriptor, (off_t)offset_bytes);
    return mapped == MAP_FAILED ? -errno : 0;
}

static size_t mapped_bytes(const struct kn_mapping *mapping)
{
    return mapping->head_bytes + 2 * mapping->ring_bytes;
}

static void unmap(struct kn_mapping *mapping)
{
    munmap(mapping->ring - mapping->head_bytes, mapped_bytes(mapping));
    *mapping = EMPTY;
}

/* Maps head and ring by one view, and the ring by a second one behind it. Lengths and pages are set. */
static int map_views(struct kn_mapping *mapping, int descriptor, int flags)
{
    uint8_t *memory = reserve(mapped_bytes(mapping), mapping->page_bytes);
    if (!memory) {
        *mapping = EMPTY;
        return -errno;
    }
    size_t file_bytes = mapping->head_bytes + mapping->ring_bytes;
    mapping->head = mapping->head_bytes > 0 ? memory : NULL;
    mapping->ring = memory + mapping->head_bytes;
    int result = map_view(memory, file_bytes, descriptor, 0, flags);
    if (result == 0)
        result = map_view(memory + file_bytes, mapping->ring_bytes, descriptor, mapping->head_bytes, flags);
    if (result < 0)
        unmap(mapping);
    return result;
}

/* Sets the file's policy, which then holds for both copies. By the system call: libnuma would be one more library. */
static int bind_to_node(const struct kn_mapping *mapping, unsigned node)
{
    enum { BITS = 8 * sizeof(unsigned long) };
    unsigned long nodes[NUMA_NODES_MAX / BITS] = {0};
    if (node >= NUMA_NODES_MAX)
        return -EINVAL;
    nodes[node / BITS] = 1UL << (node % BITS);
    /* The system takes one bit less than it is told of. */
    if (syscall(SYS_mbind, mapping->ring - mapping->head_bytes, mapping->head_bytes + mapping->ring_bytes, MPOL_BIND,
                nodes, (unsigned long)NUMA_NODES_MAX + 1, 0U) == 0)
        return 0;
    return errno == EPERM ? -ENOSYS : -errno; /* containers forbid what they do not want to provide */
}

/* Takes the memory from the system now: later, the lack of it is a SIGBUS. */
static int allocate(int descriptor, size_t length_bytes)
{
    /* Memory without a name has no limit of its own: asking for too much would end other processes. */
    if (length_bytes / kn_mapping_page_bytes() > (size_t)sysconf(_SC_PHYS_PAGES))
        return -ENOMEM;
    for (size_t offset = 0; offset < length_bytes;) {
        size_t rest = length_bytes - offset;
        size_t bytes = rest < ALLOCATE_BYTES ? rest : ALLOCATE_BYTES;
        if (fallocate(descriptor, 0, (off_t)offset, (off_t)bytes) == 0)
            offset += bytes;
        else if (errno != EINTR)
            return -errno;
    }
    return 0;
}

/* Fills the page tables; nobody else has the memory yet. */
static void touch(const struct kn_mapping *mapping)
{
    volatile uint8_t *memory = mapping->ring - mapping->head_bytes;
    size_t page_bytes = kn_mapping_page_bytes();
    for (size_t offset = 0; offset < mapped_bytes(mapping); offset += page_bytes)
        memory[offset] = 0;
}

/* Sizes, maps and fills a file that was just created. It stays the caller's. */
static int build(struct kn_mapping *mapping, const struct kn_mapping_options *options, int descriptor,
                 size_t page_bytes)
{
    size_t file_bytes = options->head_bytes + options->ring_bytes;
    if (ftruncate(descriptor, (off_t)file_bytes) < 0)
        return -errno;
    *mapping = (struct kn_mapping){.head_bytes = options->head_bytes,
                                   .ring_bytes = options->ring_bytes,
                                   .page_bytes = page_bytes,
                                   .descriptor = -1};
    int result = map_views(mapping, descriptor, 0);
    if (result < 0)
        return result;
    if (options->bind_numa_node)
        result = bind_to_node(mapping, options->numa_node); /* before the first page is taken from anywhere */
    /* A node, a file system and the pool of huge pages have limits that only taking the memory finds. */
    if (result == 0 && (options->prefault || options->name || page_bytes == KN_HUGE_PAGE_BYTES))
        result = allocate(descriptor, file_bytes);
    if (result < 0)
        unmap(mapping);
    else if (options->prefault)
        touch(mapping);
    return result;
}

static int create_unnamed(struct kn_mapping *mapping, const struct kn_mapping_options *options, unsigned flags,
                          size_t page_bytes)
{
    int descriptor = memfd_create("kernel-mapping", MFD_CLOEXEC | flags);
    if (descriptor < 0)
        return -errno;
    int result = build(mapping, options, descriptor, page_bytes);
    if (result == 0 && options->keep_descriptor)
        mapping->descriptor = descriptor;
    else
        close(descriptor); /* the views keep the memory alive */
    return result;
}

static int create_named(struct kn_mapping *mapping, const struct kn_mapping_options *options)
{
    int descriptor = shm_open(options->name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR);
    if (descriptor < 0)
        return -errno;
    int result = build(mapping, options, descriptor, kn_mapping_page_bytes());
    if (result < 0) {
        shm_unlink(options->name);
        close(descriptor);
        return result;
    }
    mapping->descriptor = descriptor;
    return 0;
}

int kn_mapping_create(struct kn_mapping *mapping, const struct kn_mapping_options *options)
{
    *mapping = EMPTY;
    if (!lengths_are_valid(options->head_bytes, options->ring_bytes, kn_mapping_page_bytes()) ||
        (options->name && !name_is_valid(options->name)))
        return -EINVAL;
    if (options->name)
        return create_named(mapping, options);
    if (options->huge_pages && lengths_are_valid(options->head_bytes, options->ring_bytes, KN_HUGE_PAGE_BYTES) &&
        create_unnamed(mapping, options, MFD_HUGETLB | MFD_HUGE_2MB, KN_HUGE_PAGE_BYTES) == 0)
        return 0;
    return create_unnamed(mapping, options, 0, kn_mapping_page_bytes());
}

int kn_mapping_open(int *descriptor, const char *name)
{
    *descriptor = -1;
    if (!name_is_valid(name))
        return -EINVAL;
    *descriptor = shm_open(name, O_RDWR | O_CLOEXEC, 0);
    return *descriptor < 0 ? -errno : 0;
}

int kn_mapping_attach(struct kn_mapping *mapping, int descriptor, size_t head_bytes, size_t ring_bytes)
{
    *mapping = EMPTY;
    struct stat file;
    struct statfs system;
    if (fstat(descriptor, &file) < 0 || fstatfs(descriptor, &system) < 0)
        return -errno;
    size_t page_bytes = system.f_type == HUGETLBFS_MAGIC ? (size_t)system.f_bsize : kn_mapping_page_bytes();
    if (!lengths_are_valid(head_bytes, ring_bytes, page_bytes))
        return -EINVAL;
    if (file.st_size < 0 || (size_t)file.st_size < head_bytes + ring_bytes)
        return -ENODATA;
    *mapping = (struct kn_mapping){
        .head_bytes = head_bytes, .ring_bytes = ring_bytes, .page_bytes = page_bytes, .descriptor = -1};
    int result = map_views(mapping, descriptor, MAP_POPULATE);
    if (result == 0)
        mapping->descriptor = descriptor;
    return result;
}

void kn_mapping_close(struct kn_mapping *mapping)
{
    if (!mapping->ring)
        return;
    int descriptor = mapping->descriptor;
    unmap(mapping);
    if (descriptor >= 0)
        close(descriptor);
}

int kn_mapping_unlink(const char *name)
{
    if (!name_is_valid(name))
        return -EINVAL;
    return shm_unlink(name) < 0 ? -errno : 0;
}
