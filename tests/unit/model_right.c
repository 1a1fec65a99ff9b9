/* Rights and roles: sets that grow with the role, and a page that says what the table says. */
#include "tests/lib/harness.h"

#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/model/right.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

static void a_higher_role_has_the_rights_of_the_lower_ones(void **state)
{
    for (enum role role = ROLE_VIEWER; role <= ROLE_ADMIN; role++) {
        assert_int_equal(role_rights(role) & role_rights(role - 1), role_rights(role - 1));
        assert_int_not_equal(role_rights(role), role_rights(role - 1));
    }
    assert_int_equal(role_rights(ROLE_NONE), RIGHT_BIT(RIGHT_PUBLIC) | RIGHT_BIT(RIGHT_SELF));
}

static void no_role_has_the_right_that_was_forgotten(void **state)
{
    for (enum role role = ROLE_NONE; role <= ROLE_ADMIN; role++)
        assert_false(role_rights(role) & RIGHT_BIT(RIGHT_NONE));
}

static void a_console_is_seen_typed_into_and_its_disk_read_by_rights_of_their_own(void **state)
{
    assert_int_not_equal(RIGHT_CONSOLE_SEE, RIGHT_CONSOLE_TYPE);
    assert_int_equal(right_role(RIGHT_VM_READ), ROLE_VIEWER);
    assert_int_equal(right_role(RIGHT_CONSOLE_SEE), ROLE_OPERATOR);
    assert_int_equal(right_role(RIGHT_ACCOUNT_ADMIN), ROLE_ADMIN);
}

static void a_set_is_written_as_words_and_read_again(void **state)
{
    CLEANUP(json_decrefp) json_t *list = rights_json(role_rights(ROLE_OPERATOR));
    CLEANUP(json_decrefp) json_t *wrong = json_pack("[s, s]", "vm-read", "public");
    CLEANUP(json_decrefp) json_t *number = json_pack("[i]", 7);
    uint64_t set = 0;

    assert_true(rights_parse(list, &set));
    assert_int_equal(set, role_rights(ROLE_OPERATOR));
    assert_false(rights_parse(wrong, &set)); /* "public" and "self" cannot be given */
    assert_false(rights_parse(number, &set));
    assert_false(rights_parse(NULL, &set));
}

static void only_roles_that_can_be_given_are_read(void **state)
{
    assert_int_equal(role_parse("operator"), ROLE_OPERATOR);
    assert_int_equal(role_parse("none"), ROLE_NONE);
    assert_int_equal(role_parse("Admin"), ROLE_NONE);
    assert_int_equal(role_parse(NULL), ROLE_NONE);
}

static int open_page(void)
{
    const char *src = getenv("VMMD_SRC");
    CLEANUP(mem_freep) char *path = str_format("%s/docs/accounts.md", src ? src : ".");

    return open(path, O_RDONLY | O_CLOEXEC);
}

static void the_page_says_what_the_table_says(void **state)
{
    static const struct {
        const char *word, *help;
        enum role role;
    } rows[] = {
#define X(name, word, role, help) {word, help, ROLE_##role},
        RIGHTS(X)
#undef X
    };
    CLEANUP(closep) int fd = open_page();
    CLEANUP(mem_freep) char *page = NULL;
    struct err err = {0};
    size_t len;

    assert_true(fs_read_all(fd, 1u << 20, &page, &len, &err));
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP(mem_freep)
        char *row = str_format("| `%s` | %s | %s |\n", rows[i].word, role_names[rows[i].role],
                               rows[i].help);
        if (!strstr(page, row))
            fail_msg("docs/accounts.md lacks the row: %s", row);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_higher_role_has_the_rights_of_the_lower_ones),
        cmocka_unit_test(no_role_has_the_right_that_was_forgotten),
        cmocka_unit_test(a_console_is_seen_typed_into_and_its_disk_read_by_rights_of_their_own),
        cmocka_unit_test(a_set_is_written_as_words_and_read_again),
        cmocka_unit_test(only_roles_that_can_be_given_are_read),
        cmocka_unit_test(the_page_says_what_the_table_says),
    };

    return cmocka_run_group_tests_name("unit/model_right", tests, NULL, NULL);
}
