/* Names and texts of errors. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <kernel/error.h>

static void error_texts_accept_either_sign(void **state)
{
    (void)state;
    assert_string_equal(kn_error_text(-ECONNREFUSED), "Connection refused");
    assert_string_equal(kn_error_text(ECONNREFUSED), "Connection refused");
    assert_string_equal(kn_error_name(-EAGAIN), "EAGAIN");
    assert_string_equal(kn_error_name(EMFILE), "EMFILE");
}

static void error_texts_exist_for_what_is_no_error(void **state)
{
    (void)state;
    const int strange[] = {-100000, 100000, INT32_MIN, INT32_MAX};
    for (size_t i = 0; i < sizeof(strange) / sizeof(strange[0]); i++) {
        assert_string_equal(kn_error_text(strange[i]), "Unknown error");
        assert_string_equal(kn_error_name(strange[i]), "EUNKNOWN");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(error_texts_accept_either_sign),
        cmocka_unit_test(error_texts_exist_for_what_is_no_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
