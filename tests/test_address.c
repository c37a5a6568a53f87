/* Addresses as text. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <kernel/address.h>

static void address_survives_the_way_to_text_and_back(void **state)
{
    (void)state;
    const char *const texts[] = {"127.0.0.1:8000", "0.0.0.0:0",          "255.255.255.255:65535", "[::1]:8000",
                                 "[::]:1",         "[2001:db8::17]:443", "unix:/run/kernel.sock", "unix:relative"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct kn_address address;
        char text[KN_ADDRESS_TEXT_BYTES];
        assert_int_equal(kn_address_parse(texts[i], &address), 0);
        assert_int_equal(kn_address_format(&address, text, sizeof(text)), strlen(texts[i]));
        assert_string_equal(text, texts[i]);
    }
}

static void address_without_a_host_is_loopback(void **state)
{
    (void)state;
    const char *const texts[] = {":8000", "localhost:8000", "127.0.0.1:8000"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct kn_address address;
        char text[KN_ADDRESS_TEXT_BYTES];
        assert_int_equal(kn_address_parse(texts[i], &address), 0);
        assert_true(kn_address_format(&address, text, sizeof(text)) > 0);
        assert_string_equal(text, "127.0.0.1:8000");
        assert_int_equal(kn_address_port(&address), 8000);
        assert_null(kn_address_path(&address));
    }
}

static void address_refuses_everything_else(void **state)
{
    (void)state;
    const char *const bad[] = {"",
                               ":",
                               "8000",
                               "127.0.0.1",
                               "127.0.0.1:",
                               "127.0.0.1:65536",
                               "127.0.0.1:-1",
                               "127.0.0.1:80x",
                               "127.0.0.1: 80",
                               "127.0.0.1:+80",
                               "127.0.0:80",
                               "127.0.0.256:80",
                               "example.org:80",
                               "::1:80",
                               "[::1]80",
                               "[::1:80",
                               "[::1]:",
                               "[127.0.0.1]:80",
                               "[]:80",
                               "unix:",
                               "\xff\xfe:80",
                               "127.0.0.1:99999999999999999999",
                               "[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]:1"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct kn_address address;
        memset(&address, 0x5a, sizeof(address));
        struct kn_address before = address;
        assert_int_equal(kn_address_parse(bad[i], &address), -EINVAL);
        assert_memory_equal(&address, &before, sizeof(address));
    }
}

static void address_refuses_a_path_longer_than_a_socket_takes(void **state)
{
    (void)state;
    char text[300] = "unix:";
    struct kn_address address;
    memset(text + 5, 'p', 107);
    assert_int_equal(kn_address_parse(text, &address), 0);
    assert_string_equal(kn_address_path(&address), text + 5);
    text[5 + 107] = 'p';
    assert_int_equal(kn_address_parse(text, &address), -ENAMETOOLONG);
}

static void address_format_says_when_the_room_is_too_small(void **state)
{
    (void)state;
    struct kn_address address;
    char text[15];
    assert_int_equal(kn_address_parse("127.0.0.1:8000", &address), 0);
    assert_int_equal(kn_address_format(&address, text, 14), -ENOSPC);
    assert_int_equal(kn_address_format(&address, text, 15), 14);
    address.storage.ss_family = AF_PACKET;
    assert_int_equal(kn_address_format(&address, text, 15), -EAFNOSUPPORT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(address_survives_the_way_to_text_and_back),
        cmocka_unit_test(address_without_a_host_is_loopback),
        cmocka_unit_test(address_refuses_everything_else),
        cmocka_unit_test(address_refuses_a_path_longer_than_a_socket_takes),
        cmocka_unit_test(address_format_says_when_the_room_is_too_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
