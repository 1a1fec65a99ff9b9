/* Grants: what users may do with some VMs and pools, and how they get and lose that. */
#include "tests/lib/world.h"

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/disk/pool.h"
#include "core/user/grant.h"
#include "core/user/granting.h"
#include "core/user/session.h"
#include "core/user/token.h"
#include "core/user/user.h"

#include <stdlib.h>
#include <string.h>

static struct world w;
static struct err why; /* of MUST() */

static int setup(void **state)
{
    world_make(&w);
    return 0;
}

static int teardown(void **state)
{
    world_remove(&w);
    return 0;
}

#define MUST(call)                                                                                 \
    do {                                                                                           \
        why = (struct err){0};                                                                     \
        if (!(call))                                                                               \
            fail_msg("%s: %s", #call, why.detail);                                                 \
    } while (0)

#define MUST_FAIL(call, expected)                                                                  \
    do {                                                                                           \
        why = (struct err){0};                                                                     \
        assert_false(call);                                                                        \
        assert_int_equal(why.code, expected);                                                      \
    } while (0)

static struct uuid make_user(const char *name, enum role role)
{
    const struct user_spec spec = {.name = name, .role = role};
    struct uuid id;

    MUST(user_create(w.core, &spec, &world_admin, &id, &why));
    return id;
}

static struct uuid grant(const char *user, struct grant_spec spec)
{
    struct uuid id;

    MUST(grant_create(w.core, user, &spec, &world_admin, &id, &why));
    return id;
}

/* What the user may do with what has this label, which is no more than one. */
static uint64_t may(const struct uuid *user, const char *key, const char *value)
{
    CLEANUP(json_decrefp) json_t *labels = json_object();
    const struct selectable object = {.labels = labels};
    CLEANUP(who_clear) struct who who = {0};

    json_put_text(labels, key, value);
    MUST(user_is(w.core, user, &who, &why));
    return who_rights_on(&who, &object);
}

static const uint64_t nothing = RIGHT_BIT(RIGHT_PUBLIC) | RIGHT_BIT(RIGHT_SELF);

static void a_grant_is_for_what_it_selects(void **state)
{
    struct uuid ann = make_user("ann", ROLE_NONE);

    assert_int_equal(may(&ann, "team", "a"), nothing);
    grant("ann", (struct grant_spec){.label = "team=a", .role = ROLE_OPERATOR});
    assert_int_equal(may(&ann, "team", "a"),
                     nothing | (role_rights(ROLE_OPERATOR) & grant_possible()));
    assert_int_equal(may(&ann, "team", "b"), nothing);
    assert_int_equal(may(&ann, "Team", "a"), nothing);
    assert_false(grant_possible() & RIGHT_BIT(RIGHT_HOST_READ));
    assert_false(grant_possible() & RIGHT_BIT(RIGHT_ACCOUNT_ADMIN));
}

static void a_grant_adds_to_the_role_and_never_takes_away(void **state)
{
    struct uuid ann = make_user("ann", ROLE_VIEWER);

    grant("ann", (struct grant_spec){.label = "team=a", .rights = RIGHT_BIT(RIGHT_VM_POWER)});
    assert_int_equal(may(&ann, "team", "a"), role_rights(ROLE_VIEWER) | RIGHT_BIT(RIGHT_VM_POWER));
    assert_int_equal(may(&ann, "team", "b"), role_rights(ROLE_VIEWER));
}

static void several_grants_add_up(void **state)
{
    struct uuid ann = make_user("ann", ROLE_NONE);
    CLEANUP(json_decrefp) json_t *labels = json_pack("{s:s, s:s}", "team", "a", "env", "test");
    struct selectable object = {.labels = labels};
    CLEANUP(who_clear) struct who who = {0};

    grant("ann", (struct grant_spec){.label = "team=a", .rights = RIGHT_BIT(RIGHT_VM_READ)});
    grant("ann", (struct grant_spec){.label = "env=test", .rights = RIGHT_BIT(RIGHT_VM_POWER)});
    MUST(user_is(w.core, &ann, &who, &why));
    assert_int_equal(who_rights_on(&who, &object),
                     nothing | RIGHT_BIT(RIGHT_VM_READ) | RIGHT_BIT(RIGHT_VM_POWER));
}

static void grants_outlive_the_daemon(void **state)
{
    struct uuid ann = make_user("ann", ROLE_NONE);

    grant("ann", (struct grant_spec){.label = "team=a", .rights = RIGHT_BIT(RIGHT_VM_READ)});
    grant("ann", (struct grant_spec){.pool = "main", .role = ROLE_VIEWER});
    world_close(&w);
    assert_true(world_open(&w));
    assert_int_equal(may(&ann, "team", "a"), nothing | RIGHT_BIT(RIGHT_VM_READ));
    CLEANUP(json_decrefp) json_t *list = grant_list(w.core, "ann", &why);
    assert_int_equal(json_array_size(list), 2);
    assert_string_equal(json_get_text(json_array_get(list, 1), "pool"), "main");
}

static void what_makes_no_sense_is_refused(void **state)
{
    const struct grant_spec bad[] = {
        {0},
        {.label = "a=b"},
        {.role = ROLE_VIEWER},
        {.label = "a=b", .pool = "main", .role = ROLE_VIEWER},
        {.label = "a=b", .role = ROLE_VIEWER, .rights = RIGHT_BIT(RIGHT_VM_READ)},
        {.label = "no-equals", .role = ROLE_VIEWER},
        {.label = "=b", .role = ROLE_VIEWER},
        {.label = "a b=c", .role = ROLE_VIEWER},
        {.label = "a=b", .rights = RIGHT_BIT(RIGHT_HOST_ADMIN)},
    };
    struct uuid id;

    make_user("ann", ROLE_NONE);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        MUST_FAIL(grant_create(w.core, "ann", &bad[i], &world_admin, &id, &why), ERR_INVALID);
    MUST_FAIL(grant_create(w.core, "ann",
                           &(struct grant_spec){.pool = "nowhere", .role = ROLE_VIEWER},
                           &world_admin, &id, &why),
              ERR_NOT_FOUND);
    MUST_FAIL(grant_create(w.core, "nobody",
                           &(struct grant_spec){.label = "a=b", .role = ROLE_VIEWER}, &world_admin,
                           &id, &why),
              ERR_NOT_FOUND);
}

static void a_selector_has_one_grant_of_a_user(void **state)
{
    const struct grant_spec spec = {.label = "a=b", .role = ROLE_VIEWER};
    struct uuid id, first;

    make_user("ann", ROLE_NONE);
    first = grant("ann", spec);
    MUST_FAIL(grant_create(w.core, "ann", &spec, &world_admin, &id, &why), ERR_EXISTS);
    MUST(grant_delete(w.core, "ann", UUID_STR(&first), &world_admin, &why));
    MUST_FAIL(grant_delete(w.core, "ann", UUID_STR(&first), &world_admin, &why), ERR_NOT_FOUND);
    grant("ann", spec);
}

static void another_role_and_name_leave_the_grants(void **state)
{
    struct uuid ann = make_user("ann", ROLE_ADMIN);

    grant("ann", (struct grant_spec){.label = "team=a", .rights = RIGHT_BIT(RIGHT_VM_READ)});
    MUST(user_edit(w.core, "ann",
                   &(struct user_spec){.name = "eve", .to_none = true, .keep_disabled = true},
                   &world_admin, &why));
    assert_int_equal(may(&ann, "team", "a"), nothing | RIGHT_BIT(RIGHT_VM_READ));
}

static void a_pool_that_goes_takes_its_grants_along(void **state)
{
    struct uuid id;
    json_t *list;

    make_user("ann", ROLE_NONE);
    MUST(pool_create(w.core, "spare", "second", &world_admin, &id, &why));
    grant("ann", (struct grant_spec){.pool = "spare", .role = ROLE_VIEWER});
    MUST(pool_delete(w.core, "spare", &world_admin, &why));
    list = grant_list(w.core, "ann", &why);
    assert_int_equal(json_array_size(list), 0);
    json_decref(list);
}

static void a_token_has_no_more_than_its_owner_and_itself(void **state)
{
    struct token_spec spec = {.name = "ci", .role = ROLE_VIEWER};
    CLEANUP(json_decrefp) json_t *labels = json_pack("{s:s}", "team", "a");
    const struct selectable object = {.labels = labels};
    CLEANUP(who_clear) struct who who = {0};
    char text[TOKEN_TEXT];
    struct uuid id;

    spec.owner = make_user("ann", ROLE_NONE);
    grant("ann",
          (struct grant_spec){.label = "team=a",
                              .rights = RIGHT_BIT(RIGHT_VM_READ) | RIGHT_BIT(RIGHT_VM_POWER)});
    MUST(token_create_as(w.core, &spec, &world_admin, &id, text, &why));
    MUST(token_check(w.core, text, &who, &why));
    assert_int_equal(who.rights, nothing);
    assert_int_equal(who_rights_on(&who, &object), nothing | RIGHT_BIT(RIGHT_VM_READ));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_grant_is_for_what_it_selects, setup, teardown),
        cmocka_unit_test_setup_teardown(a_grant_adds_to_the_role_and_never_takes_away, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(several_grants_add_up, setup, teardown),
        cmocka_unit_test_setup_teardown(grants_outlive_the_daemon, setup, teardown),
        cmocka_unit_test_setup_teardown(what_makes_no_sense_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_selector_has_one_grant_of_a_user, setup, teardown),
        cmocka_unit_test_setup_teardown(another_role_and_name_leave_the_grants, setup, teardown),
        cmocka_unit_test_setup_teardown(a_pool_that_goes_takes_its_grants_along, setup, teardown),
        cmocka_unit_test_setup_teardown(a_token_has_no_more_than_its_owner_and_itself, setup,
                                        teardown),
    };

    return cmocka_run_group_tests_name("core/grants", tests, NULL, NULL);
}
