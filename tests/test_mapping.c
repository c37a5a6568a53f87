/* A head and a double-mapped ring, with and without a name. */
#include <errno.h>
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <kernel/mapping.h>

/* What a child exits with when the system does not let it set the scene. */
enum { CHILD_SKIPS = 77 };

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
    snprintf(name, sizeof(name), "/kernel-test-mapping-%ld", (long)getpid());
    return name;
}

static void assert_empty(const struct kn_mapping *mapping)
{
    assert_null(mapping->head);
    assert_null(mapping->ring);
    assert_int_equal(mapping->head_bytes, 0);
    assert_int_equal(mapping->ring_bytes, 0);
    assert_int_equal(mapping->descriptor, -1);
}

static void assert_refused(const struct kn_mapping_options *options, int error)
{
    struct kn_mapping mapping;
    int before = open_descriptors();
    assert_int_equal(kn_mapping_create(&mapping, options), error);
    assert_empty(&mapping);
    assert_int_equal(open_descriptors(), before);
}

static void mapping_shows_the_same_bytes_in_both_copies(void **state)
{
    (void)state;
    struct kn_mapping mapping;
    size_t length = 4 * kn_mapping_page_bytes();
    assert_int_equal(kn_mapping_create(&mapping, &(struct kn_mapping_options){.ring_bytes = length}), 0);
    assert_null(mapping.head);
    for (size_t i = 0; i < length; i++)
        mapping.ring[i] = (uint8_t)(i * 7);
    assert_memory_equal(mapping.ring, mapping.ring + length, length);
    memset(mapping.ring + length, 0xA5, 16);
    for (size_t i = 0; i < 16; i++)
        assert_int_equal(((volatile uint8_t *)mapping.ring)[i], 0xA5);
    kn_mapping_close(&mapping);
}

static void mapping_starts_zeroed(void **state)
{
    (void)state;
    size_t page = kn_mapping_page_bytes();
    for (int prefault = 0; prefault < 2; prefault++) {
        struct kn_mapping mapping;
        struct kn_mapping_options options = {.head_bytes = page, .ring_bytes = 2 * page, .prefault = prefault};
        assert_int_equal(kn_mapping_create(&mapping, &options), 0);
        for (size_t i = 0; i < page + 4 * page; i++)
            assert_int_equal(mapping.head[i], 0);
        kn_mapping_close(&mapping);
    }
}

static void mapping_keeps_bytes_that_cross_the_end_in_one_piece(void **state)
{
    (void)state;
    struct kn_mapping mapping;
    size_t length = kn_mapping_page_bytes();
    assert_int_equal(kn_mapping_create(&mapping, &(struct kn_mapping_options){.ring_bytes = length}), 0);
    static const char text[] = "across the end";
    memcpy(mapping.ring + length - 5, text, sizeof(text));
    assert_memory_equal(mapping.ring + length, text + 5, sizeof(text) - 5);
    const volatile uint8_t *start = mapping.ring;
    for (size_t i = 5; i < sizeof(text); i++)
        assert_int_equal(start[i - 5], text[i]);
    kn_mapping_close(&mapping);
}

static void mapping_keeps_the_head_apart_from_the_ring(void **state)
{
    (void)state;
    struct kn_mapping mapping;
    size_t page = kn_mapping_page_bytes();
    struct kn_mapping_options options = {.head_bytes = 3 * page, .ring_bytes = 2 * page};
    assert_int_equal(kn_mapping_create(&mapping, &options), 0);
    assert_ptr_equal(mapping.ring, mapping.head + 3 * page);
    assert_int_equal(mapping.page_bytes, page);
    memset(mapping.head, 0x11, mapping.head_bytes);
    for (size_t i = 0; i < 4 * page; i++)
        assert_int_equal(mapping.ring[i], 0);
    memset(mapping.ring, 0x22, mapping.ring_bytes);
    for (size_t i = 0; i < 3 * page; i++)
        assert_int_equal(mapping.head[i], 0x11);
    kn_mapping_close(&mapping);
}

static void mapping_refuses_lengths_that_are_no_whole_pages(void **state)
{
    (void)state;
    size_t page = kn_mapping_page_bytes();
    const size_t bad[] = {1, page - 1, page + 1, SIZE_MAX, SIZE_MAX - page + 1, (size_t)PTRDIFF_MAX + 1};
    assert_refused(&(struct kn_mapping_options){0}, -EINVAL);
    assert_refused(&(struct kn_mapping_options){.head_bytes = page}, -EINVAL);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_refused(&(struct kn_mapping_options){.ring_bytes = bad[i]}, -EINVAL);
        assert_refused(&(struct kn_mapping_options){.head_bytes = bad[i], .ring_bytes = page}, -EINVAL);
    }
}

static void mapping_reports_exhausted_memory(void **state)
{
    (void)state;
    struct kn_mapping mapping;
    size_t more_than_addresses = (size_t)1 << 60;
    int result = kn_mapping_create(&mapping, &(struct kn_mapping_options){.ring_bytes = more_than_addresses});
    assert_true(result == -ENOMEM || result == -EFBIG);
    assert_empty(&mapping);
    size_t more_than_memory = ((size_t)sysconf(_SC_PHYS_PAGES) + 1) * kn_mapping_page_bytes();
    assert_refused(&(struct kn_mapping_options){.ring_bytes = more_than_memory, .prefault = true}, -ENOMEM);
}

static void mapping_may_be_closed_twice(void **state)
{
    (void)state;
    struct kn_mapping mapping;
    int before = open_descriptors();
    struct kn_mapping_options options = {.ring_bytes = kn_mapping_page_bytes(), .keep_descriptor = true};
    assert_int_equal(kn_mapping_create(&mapping, &options), 0);
    kn_mapping_close(&mapping);
    kn_mapping_close(&mapping);
    assert_empty(&mapping);
    struct kn_mapping zeroed = {0};
    kn_mapping_close(&zeroed); /* descriptor 0 is not its own */
    assert_int_equal(open_descriptors(), before);
}

static void mapping_keeps_its_descriptor_only_if_asked_to(void **state)
{
    (void)state;
    struct kn_mapping mapping;
    int before = open_descriptors();
    struct kn_mapping_options options = {.ring_bytes = kn_mapping_page_bytes()};
    assert_int_equal(kn_mapping_create(&mapping, &options), 0);
    assert_int_equal(mapping.descriptor, -1);
    assert_int_equal(open_descriptors(), before);
    kn_mapping_close(&mapping);
    options.keep_descriptor = true;
    assert_int_equal(kn_mapping_create(&mapping, &options), 0);
    assert_int_equal(fcntl(mapping.descriptor, F_GETFD), FD_CLOEXEC);
    kn_mapping_close(&mapping);
    assert_int_equal(open_descriptors(), before);
}

static void attached_mapping_shares_the_bytes(void **state)
{
    (void)state;
    struct kn_mapping first;
    struct kn_mapping second;
    int before = open_descriptors();
    size_t page = kn_mapping_page_bytes();
    struct kn_mapping_options options = {.head_bytes = page, .ring_bytes = page, .keep_descriptor = true};
    assert_int_equal(kn_mapping_create(&first, &options), 0);
    assert_int_equal(kn_mapping_attach(&second, dup(first.descriptor), page, page), 0);
    assert_int_equal(second.page_bytes, page);
    memcpy(first.head + 10, "head", 5);
    memcpy(first.ring + 20, "ring", 5);
    assert_string_equal(second.head + 10, "head");
    assert_string_equal(second.ring + 20, "ring");
    assert_string_equal(second.ring + page + 20, "ring");
    kn_mapping_close(&first);
    assert_string_equal(second.ring + 20, "ring");
    kn_mapping_close(&second);
    assert_int_equal(open_descriptors(), before);
}

static void assert_attach_refused(int descriptor, size_t head_bytes, size_t ring_bytes, int error)
{
    struct kn_mapping mapping;
    int before = open_descriptors();
    assert_int_equal(kn_mapping_attach(&mapping, descriptor, head_bytes, ring_bytes), error);
    assert_empty(&mapping);
    assert_int_equal(open_descriptors(), before);
}

static void attach_refuses_what_does_not_fit_and_leaves_the_descriptor(void **state)
{
    (void)state;
    size_t page = kn_mapping_page_bytes();
    int descriptor = memfd_create("test", MFD_CLOEXEC);
    assert_int_equal(ftruncate(descriptor, (off_t)(2 * page)), 0);
    assert_attach_refused(descriptor, page, 2 * page, -ENODATA);
    assert_attach_refused(descriptor, 2 * page, page, -ENODATA);
    assert_attach_refused(descriptor, page, 0, -EINVAL);
    assert_attach_refused(descriptor, 1, page, -EINVAL);
    assert_attach_refused(descriptor, 0, page + 1, -EINVAL);
    assert_attach_refused(descriptor, SIZE_MAX - page + 1, page, -EINVAL);
    assert_attach_refused(-1, page, page, -EBADF);
    close(descriptor);
}

static void attach_refuses_a_descriptor_that_may_not_be_written(void **state)
{
    (void)state;
    struct kn_mapping mapping;
    size_t page = kn_mapping_page_bytes();
    struct kn_mapping_options options = {.ring_bytes = page, .name = own_name()};
    assert_int_equal(kn_mapping_create(&mapping, &options), 0);
    int descriptor = shm_open(own_name(), O_RDONLY, 0);
    assert_true(descriptor >= 0);
    assert_attach_refused(descriptor, 0, page, -EACCES);
    close(descriptor);
    kn_mapping_close(&mapping);
    assert_int_equal(kn_mapping_unlink(own_name()), 0);
}

static void named_mapping_is_created_once_and_outlives_its_creator(void **state)
{
    (void)state;
    struct kn_mapping mapping;
    struct stat file;
    int before = open_descriptors();
    size_t page = kn_mapping_page_bytes();
    struct kn_mapping_options options = {.head_bytes = page, .ring_bytes = page, .name = own_name()};
    assert_int_equal(kn_mapping_create(&mapping, &options), 0);
    assert_refused(&options, -EEXIST);
    assert_int_equal(fstat(mapping.descriptor, &file), 0);
    assert_int_equal(file.st_mode & 07777, 0600);
    assert_int_equal(file.st_size, 2 * page);
    memcpy(mapping.ring, "still here", 11);
    kn_mapping_close(&mapping);

    int descriptor;
    assert_int_equal(kn_mapping_open(&descriptor, own_name()), 0);
    assert_int_equal(fcntl(descriptor, F_GETFD), FD_CLOEXEC);
    assert_int_equal(kn_mapping_attach(&mapping, descriptor, page, page), 0);
    assert_int_equal(kn_mapping_unlink(own_name()), 0);
    assert_int_equal(kn_mapping_unlink(own_name()), -ENOENT);
    assert_int_equal(kn_mapping_open(&descriptor, own_name()), -ENOENT);
    assert_string_equal(mapping.ring, "still here");
    kn_mapping_close(&mapping);
    assert_int_equal(open_descriptors(), before);
}

static void mapping_refuses_what_is_no_name(void **state)
{
    (void)state;
    char longest[257] = "/";
    memset(longest + 1, 'x', 255);
    const char *const bad[] = {"", "/", "name", "/a/b", "//a", "/a/", "/.", "/..", longest};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        int descriptor;
        assert_refused(&(struct kn_mapping_options){.ring_bytes = kn_mapping_page_bytes(), .name = bad[i]}, -EINVAL);
        assert_int_equal(kn_mapping_open(&descriptor, bad[i]), -EINVAL);
        assert_int_equal(kn_mapping_unlink(bad[i]), -EINVAL);
    }
    longest[255] = '\0';
    assert_int_equal(kn_mapping_unlink(longest), -ENOENT);
}

static void mapping_reports_the_lack_of_descriptors(void **state)
{
    (void)state;
    struct rlimit limit;
    struct kn_mapping mapping;
    size_t page = kn_mapping_page_bytes();
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    struct rlimit none = {.rlim_cur = 0, .rlim_max = limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    int unnamed = kn_mapping_create(&mapping, &(struct kn_mapping_options){.ring_bytes = page});
    struct kn_mapping_options options = {.ring_bytes = page, .name = own_name()};
    int named = kn_mapping_create(&mapping, &options);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(unnamed, -EMFILE);
    assert_int_equal(named, -EMFILE);
    assert_empty(&mapping);
    assert_int_equal(kn_mapping_unlink(own_name()), -ENOENT);
}

static void huge_pages_fall_back_silently(void **state)
{
    (void)state;
    size_t huge = KN_HUGE_PAGE_BYTES;
    size_t page = kn_mapping_page_bytes();
    const struct kn_mapping_options wishes[] = {
        {.head_bytes = huge, .ring_bytes = huge, .huge_pages = true, .keep_descriptor = true},
        {.head_bytes = page, .ring_bytes = huge, .huge_pages = true, .keep_descriptor = true},
        {.head_bytes = huge, .ring_bytes = huge, .huge_pages = true, .name = own_name()},
    };
    for (size_t i = 0; i < sizeof(wishes) / sizeof(wishes[0]); i++) {
        struct kn_mapping mapping;
        struct kn_mapping again;
        int before = open_descriptors();
        assert_int_equal(kn_mapping_create(&mapping, &wishes[i]), 0);
        assert_true(mapping.page_bytes == page || (i == 0 && mapping.page_bytes == huge));
        assert_int_equal((uintptr_t)mapping.ring % mapping.page_bytes, 0);
        memcpy(mapping.ring + huge, "wrapped", 8);
        assert_int_equal(kn_mapping_attach(&again, dup(mapping.descriptor), wishes[i].head_bytes, wishes[i].ring_bytes),
                         0);
        assert_int_equal(again.page_bytes, mapping.page_bytes);
        assert_string_equal(again.ring, "wrapped");
        kn_mapping_close(&again);
        kn_mapping_close(&mapping);
        assert_int_equal(open_descriptors(), before);
    }
    assert_int_equal(kn_mapping_unlink(own_name()), 0);
}

static void assert_bound(const uint8_t *address)
{
    int mode = -1;
    unsigned long nodes[1024 / (8 * sizeof(unsigned long))] = {0};
    assert_int_equal(syscall(SYS_get_mempolicy, &mode, nodes, 1024UL + 1, address, MPOL_F_ADDR), 0);
    assert_int_equal(mode, MPOL_BIND);
    assert_int_equal(nodes[0], 1);
}

static void mapping_is_bound_to_its_node(void **state)
{
    (void)state;
    struct kn_mapping mapping;
    size_t page = kn_mapping_page_bytes();
    struct kn_mapping_options options = {
        .head_bytes = page, .ring_bytes = page, .prefault = true, .bind_numa_node = true, .numa_node = 0};
    int result = kn_mapping_create(&mapping, &options);
    if (result == -ENOSYS) {
        assert_empty(&mapping);
        skip();
    }
    assert_int_equal(result, 0);
    assert_bound(mapping.head);
    assert_bound(mapping.ring);
    assert_bound(mapping.ring + page);
    kn_mapping_close(&mapping);
}

static void mapping_refuses_a_node_that_does_not_exist(void **state)
{
    (void)state;
    const unsigned unknown[] = {1023, 1024, UINT32_MAX};
    int before = open_descriptors();
    for (size_t i = 0; i < 2 * sizeof(unknown) / sizeof(unknown[0]); i++) {
        struct kn_mapping mapping;
        struct kn_mapping_options options = {.ring_bytes = kn_mapping_page_bytes(),
                                             .bind_numa_node = true,
                                             .numa_node = unknown[i / 2],
                                             .name = i % 2 ? own_name() : NULL};
        int result = kn_mapping_create(&mapping, &options);
        assert_true(result == -EINVAL || result == -ENOSYS);
        assert_empty(&mapping);
        assert_int_equal(kn_mapping_unlink(own_name()), -ENOENT);
        assert_int_equal(open_descriptors(), before);
    }
}

static bool write_text(const char *path, const char *text)
{
    int descriptor = open(path, O_WRONLY | O_CLOEXEC);
    return descriptor >= 0 && write(descriptor, text, strlen(text)) == (ssize_t)strlen(text);
}

/* A name space in which this process may mount: as root, or as the root of a user name space. */
static bool enter_own_mounts(void)
{
    char users[64];
    char groups[64];
    if (unshare(CLONE_NEWNS) == 0)
        return true;
    snprintf(users, sizeof(users), "0 %u 1", geteuid());
    snprintf(groups, sizeof(groups), "0 %u 1", getegid());
    return unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 && write_text("/proc/self/setgroups", "deny") &&
           write_text("/proc/self/uid_map", users) && write_text("/proc/self/gid_map", groups);
}

/* In a child whose /dev/shm holds 16 pages. */
static int fill_file_system(void)
{
    struct kn_mapping mapping;
    size_t page = kn_mapping_page_bytes();
    signal(SIGBUS, SIG_DFL); /* not cmocka's handler, which would go on with the next test */
    if (!enter_own_mounts() || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("none", "/dev/shm", "tmpfs", 0, "nr_blocks=16") < 0)
        return CHILD_SKIPS;
    struct kn_mapping_options options = {.ring_bytes = 17 * page, .name = own_name()};
    if (kn_mapping_create(&mapping, &options) != -ENOSPC || kn_mapping_unlink(own_name()) != -ENOENT)
        return 1;
    options.ring_bytes = 16 * page;
    if (kn_mapping_create(&mapping, &options) != 0)
        return 2;
    memset(mapping.ring, 1, mapping.ring_bytes);
    return 0;
}

static void mapping_finds_a_full_file_system_before_its_first_use(void **state)
{
    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(fill_file_system());
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == CHILD_SKIPS)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mapping_shows_the_same_bytes_in_both_copies),
        cmocka_unit_test(mapping_starts_zeroed),
        cmocka_unit_test(mapping_keeps_bytes_that_cross_the_end_in_one_piece),
        cmocka_unit_test(mapping_keeps_the_head_apart_from_the_ring),
        cmocka_unit_test(mapping_refuses_lengths_that_are_no_whole_pages),
        cmocka_unit_test(mapping_reports_exhausted_memory),
        cmocka_unit_test(mapping_may_be_closed_twice),
        cmocka_unit_test(mapping_keeps_its_descriptor_only_if_asked_to),
        cmocka_unit_test(attached_mapping_shares_the_bytes),
        cmocka_unit_test(attach_refuses_what_does_not_fit_and_leaves_the_descriptor),
        cmocka_unit_test(attach_refuses_a_descriptor_that_may_not_be_written),
        cmocka_unit_test(named_mapping_is_created_once_and_outlives_its_creator),
        cmocka_unit_test(mapping_refuses_what_is_no_name),
        cmocka_unit_test(mapping_reports_the_lack_of_descriptors),
        cmocka_unit_test(huge_pages_fall_back_silently),
        cmocka_unit_test(mapping_is_bound_to_its_node),
        cmocka_unit_test(mapping_refuses_a_node_that_does_not_exist),
        cmocka_unit_test(mapping_finds_a_full_file_system_before_its_first_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
