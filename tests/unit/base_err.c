/* The error value: every code has a status, a slug and a title, and the helpers keep the code. */
#include "tests/lib/harness.h"

#include "core/base/err.h"

#include <errno.h>
#include <string.h>

static void every_code_is_complete_and_unique(void **state)
{
    for (enum err_code a = ERR_NONE + 1; a < ERR_COUNT; a++) {
        assert_in_range(err_status(a), 400, 599);
        assert_true(strlen(err_title(a)) > 5);
        assert_int_equal(err_from_slug(err_slug(a)), a);
        for (enum err_code b = a + 1; b < ERR_COUNT; b++)
            assert_string_not_equal(err_slug(a), err_slug(b));
    }
}

static void errno_becomes_the_right_code(void **state)
{
    struct err err = {0};

    assert_false(err_errno(&err, ENOSPC, "write %s", "x"));
    assert_int_equal(err.code, ERR_NO_SPACE);
    assert_non_null(strstr(err.detail, "write x: "));
    assert_false(err_errno(&err, EIO, "read"));
    assert_int_equal(err.code, ERR_INTERNAL);
}

static void prefixes_keep_code_and_compose(void **state)
{
    struct err err = {0};

    err_field(&err, ERR_INVALID, "/size_bytes", "too small");
    err_under(&err, "/disks/0");
    err_prefix(&err, "disk %d", 0);
    assert_int_equal(err.code, ERR_INVALID);
    assert_string_equal(err.field, "/disks/0/size_bytes");
    assert_string_equal(err.detail, "disk 0: too small");
}

static void a_long_detail_is_cut_not_overrun(void **state)
{
    struct err err = {0};
    char big[2000];

    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = 0;
    err_set(&err, ERR_INTERNAL, "%s", big);
    err_prefix(&err, "%s", big);
    err_under(&err, big);
    assert_true(strlen(err.detail) < sizeof err.detail);
    assert_true(strlen(err.field) < sizeof err.field);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_is_complete_and_unique),
        cmocka_unit_test(errno_becomes_the_right_code),
        cmocka_unit_test(prefixes_keep_code_and_compose),
        cmocka_unit_test(a_long_detail_is_cut_not_overrun),
    };

    return cmocka_run_group_tests_name("base/err", tests, NULL, NULL);
}
