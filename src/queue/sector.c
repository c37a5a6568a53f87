#include <kernel/sector.h>

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

size_t kn_sector_page_bytes(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

/* Puts one view of the descriptor's pages at a fixed place inside the reservation. */
static int map_copy(uint8_t *place, size_t length_bytes, int descriptor, bool prefault)
{
    int flags = MAP_SHARED | MAP_FIXED | (prefault ? MAP_POPULATE : 0);
    void *mapped = mmap(place, length_bytes, PROT_READ | PROT_WRITE, flags, descriptor, 0);
    return mapped == MAP_FAILED ? -errno : 0;
}

static int map_twice(struct kn_sector *sector, int descriptor, bool prefault)
{
    size_t length_bytes = sector->length_bytes;
    /* Reserving both halves at once keeps another thread's mmap from landing in the second. */
    void *reservation = mmap(NULL, 2 * length_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (reservation == MAP_FAILED)
        return -errno;
    uint8_t *memory = reservation;
    int result = map_copy(memory, length_bytes, descriptor, prefault);
    if (result == 0)
        result = map_copy(memory + length_bytes, length_bytes, descriptor, prefault);
    if (result < 0) {
        munmap(reservation, 2 * length_bytes);
        return result;
    }
    sector->memory = memory;
    return 0;
}

int kn_sector_open(struct kn_sector *sector, const struct kn_sector_options *options)
{
    *sector = (struct kn_sector){.length_bytes = options->length_bytes};
    if (options->length_bytes == 0 || options->length_bytes % kn_sector_page_bytes() != 0 ||
        options->length_bytes > PTRDIFF_MAX / 2)
        return -EINVAL;
    int descriptor = memfd_create("kernel-sector", MFD_CLOEXEC);
    if (descriptor < 0)
        return -errno;
    int result = ftruncate(descriptor, (off_t)options->length_bytes) < 0 ? -errno : 0;
    if (result == 0)
        result = map_twice(sector, descriptor, options->prefault);
    close(descriptor); /* the mappings keep the memory alive */
    if (result < 0)
        *sector = (struct kn_sector){0};
    return result;
}

void kn_sector_close(struct kn_sector *sector)
{
    if (sector->memory)
        munmap(sector->memory, 2 * sector->length_bytes);
    *sector = (struct kn_sector){0};
}
