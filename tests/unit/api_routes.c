/* The table of routes against the built-in openapi.yaml: neither has what the other has not. (The
 * schemas are compared with real replies by tests/contract.) */
#include "tests/unit/api/rig.h"

#include "api/about.h"
#include "api/assets.h"
#include "api/routes.h"

/* The text of the operation 'id' in the contract: from its operationId to the next one. */
static char *operation_text(const char *id)
{
    char *mark = str_format("operationId: %s\n", id), *text = NULL;
    const char *begin = strstr(asset_openapi, mark), *end;

    if (begin) {
        end = strstr(begin + 1, "operationId: ");
        text = str_format("%.*s", end ? (int)(end - begin) : (int)strlen(begin), begin);
    }
    free(mark);
    return text;
}

static void every_route_is_in_the_contract(void **state)
{
    for (size_t i = 0; i < n_routes; i++) {
        CLEANUP(mem_freep) char *text = operation_text(routes[i].operation);
        CLEANUP(mem_freep) char *path = str_format("\n  %s:\n", routes[i].pattern);
        CLEANUP(mem_freep) char *right = str_format("x-right: %s\n", right_names[routes[i].right]);

        if (!text || !strstr(asset_openapi, path) || !strstr(text, right))
            fail_msg("%s: not in openapi.yaml, or with another path or right", routes[i].operation);
        assert_int_equal(routes[i].body != BODY_NONE, strstr(text, "requestBody:") != NULL);
    }
}

static void every_operation_of_the_contract_is_routed_once(void **state)
{
    size_t n = 0;

    for (const char *p = asset_openapi; (p = strstr(p, "operationId: ")); p++)
        n++;
    assert_int_equal(n, n_routes);
    for (size_t i = 0; i < n_routes; i++)
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(routes[i].operation, routes[j].operation);
}

/* A kind of object that nobody has said how to find would be one that grants do not guard. */
static void what_a_route_is_about_is_known(void **state)
{
    for (size_t i = 0; i < n_routes; i++)
        if (!about_is_known(routes[i].about))
            fail_msg("%s: api/about.c does not say what its kind means for grants",
                     routes[i].operation);
    for (enum about about = 0; about < ABOUT_COUNT; about++)
        assert_true(about_is_known(about));
}

static void no_two_routes_answer_the_same(void **state)
{
    for (size_t i = 0; i < n_routes; i++)
        for (size_t j = 0; j < i; j++)
            assert_false(str_eq(routes[i].method, routes[j].method) &&
                         str_eq(routes[i].pattern, routes[j].pattern));
}

static void only_signing_in_and_harmless_reads_need_nobody(void **state)
{
    for (size_t i = 0; i < n_routes; i++)
        if (routes[i].right == RIGHT_PUBLIC && !str_eq(routes[i].operation, "signIn") &&
            !str_eq(routes[i].operation, "useLink")) {
            assert_string_equal(routes[i].method, "GET");
            assert_true(!str_starts(routes[i].pattern, "/api/") ||
                        str_eq(routes[i].pattern, "/api/v1/openapi.yaml"));
        }
}

/* Without, with a bad, and with a too small token. */
static void every_route_asks_who_it_is(void **state)
{
    static const char *const tokens[] = {"", "Authorization: Bearer none\r\n", VIEWER, OPERATOR};

    for (size_t i = 0; i < n_routes; i++) {
        CLEANUP(mem_freep) char *line = NULL;
        const char *id = strstr(routes[i].pattern, "{id}");

        line = id ? str_format("%s %.*shello%s", routes[i].method, (int)(id - routes[i].pattern),
                               routes[i].pattern, id + 4)
                  : str_format("%s %s", routes[i].method, routes[i].pattern);
        if (routes[i].right != RIGHT_PUBLIC) {
            expect(*state, line, tokens[0], NULL, 401, "unauthenticated");
            expect(*state, line, tokens[1], NULL, 401, "unauthenticated");
        }
        if (right_role(routes[i].right) >= ROLE_OPERATOR)
            expect(*state, line, tokens[2], NULL, 403, "forbidden");
        if (right_role(routes[i].right) >= ROLE_ADMIN)
            expect(*state, line, tokens[3], NULL, 403, "forbidden");
    }
}

static void the_contract_knows_every_error(void **state)
{
    for (enum err_code code = ERR_NONE + 1; code < ERR_COUNT; code++) {
        CLEANUP(mem_freep) char *line = str_format("        - %s\n", err_slug(code));

        if (!strstr(asset_openapi, line))
            fail_msg("%s is not in ErrorCode", err_slug(code));
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, rig_start, rig_stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_route_is_in_the_contract),
        cmocka_unit_test(every_operation_of_the_contract_is_routed_once),
        cmocka_unit_test(no_two_routes_answer_the_same),
        cmocka_unit_test(what_a_route_is_about_is_known),
        cmocka_unit_test(only_signing_in_and_harmless_reads_need_nobody),
        TEST(every_route_asks_who_it_is),
        cmocka_unit_test(the_contract_knows_every_error),
    };

    return cmocka_run_group_tests_name("api/routes", tests, NULL, NULL);
}
