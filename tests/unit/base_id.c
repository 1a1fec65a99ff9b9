/* Identifiers: version 4, lower case, one spelling only. */
#include "tests/lib/harness.h"

#include "core/base/cleanup.h"
#include "core/base/id.h"

#include <string.h>

static void a_new_id_is_version_4_and_new(void **state)
{
    struct uuid before = {0};

    for (int i = 0; i < 1000; i++) {
        struct uuid id = uuid_new();
        assert_int_equal(id.b[6] >> 4, 4);
        assert_int_equal(id.b[8] >> 6, 2);
        assert_false(uuid_eq(&id, &before));
        before = id;
    }
}

static void text_and_id_go_there_and_back(void **state)
{
    for (int i = 0; i < 200; i++) {
        struct uuid id = uuid_new(), back;
        assert_int_equal(strlen(UUID_STR(&id)), 36);
        assert_true(uuid_parse(UUID_STR(&id), &back));
        assert_true(uuid_eq(&id, &back));
    }
}

static void there_is_one_spelling_only(void **state)
{
    static const char *const bad[] = {
        "",
        "3f2504e04f8911d39a0c0305e82c3301",
        "3F2504E0-4F89-41D3-9A0C-0305E82C3301",
        "3f2504e0-4f89-41d3-9a0c-0305e82c330",
        "3f2504e0-4f89-41d3-9a0c-0305e82c33011",
        "3f2504e04-f89-41d3-9a0c-0305e82c3301",
        "3f2504e0-4f89-41d3-9a0c-0305e82c330g",
        "{f2504e0-4f89-41d3-9a0c-0305e82c330}",
        "../../../../../../../../etc/passwd..",
    };
    struct uuid id;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (uuid_parse(bad[i], &id))
            fail_msg("accepted '%s'", bad[i]);
    assert_false(uuid_parse(NULL, &id));
    assert_true(uuid_parse("3f2504e0-4f89-41d3-9a0c-0305e82c3301", &id));
    assert_false(uuid_is_zero(&id));
    assert_true(uuid_parse("00000000-0000-0000-0000-000000000000", &id));
    assert_true(uuid_is_zero(&id));
}

static void random_bytes_fill_all_that_was_asked(void **state)
{
    uint8_t a[1000] = {0}, b[1000] = {0};
    unsigned zeros = 0;

    random_bytes(a, sizeof a);
    random_bytes(b, sizeof b);
    assert_memory_not_equal(a, b, sizeof a);
    for (unsigned i = 0; i < sizeof a; i++)
        zeros += a[i] == 0;
    assert_true(zeros < 40); /* 4 are expected */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_id_is_version_4_and_new),
        cmocka_unit_test(text_and_id_go_there_and_back),
        cmocka_unit_test(there_is_one_spelling_only),
        cmocka_unit_test(random_bytes_fill_all_that_was_asked),
    };

    return cmocka_run_group_tests_name("base/id", tests, NULL, NULL);
}
