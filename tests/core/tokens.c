/* Tokens: what is shown once, what is kept, who gets in. */
#include "tests/lib/world.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/user/token.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct world w;

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

static void make(const char *name, enum role role, uint64_t ttl_s, char text[TOKEN_TEXT])
{
    struct err err = {0};
    struct uuid id;

    if (!token_create(w.core, name, role, ttl_s, &world_admin, &id, text, &err))
        fail_msg("%s", err.detail);
}

static bool gets_in(const char *text, struct who *who)
{
    struct err err = {0};
    bool ok = token_check(w.core, text, who, &err);

    if (!ok)
        assert_int_equal(err.code, ERR_UNAUTHENTICATED);
    return ok;
}

static void the_bearer_of_a_token_gets_in_with_its_role(void **state)
{
    char text[TOKEN_TEXT];
    struct who who;

    make("ci", ROLE_OPERATOR, 0, text);
    assert_true(str_starts(text, "vmmd_"));
    assert_true(gets_in(text, &who));
    assert_string_equal(who.principal, "token:ci");
    assert_int_equal(who.role, ROLE_OPERATOR);
}

static void every_changed_character_keeps_out(void **state)
{
    char text[TOKEN_TEXT], bad[TOKEN_TEXT];
    struct who who;

    make("ci", ROLE_ADMIN, 0, text);
    for (size_t i = 0; i < strlen(text); i++) {
        memcpy(bad, text, sizeof bad);
        bad[i] = bad[i] == 'a' ? 'b' : 'a';
        assert_false(gets_in(bad, &who));
        assert_int_equal(who.role, ROLE_NONE);
    }
    assert_false(gets_in("", &who));
    assert_false(gets_in("vmmd_", &who));
    strcat(strcpy(bad, text), "0");
    assert_false(gets_in(bad, &who));
}

static void an_expired_token_keeps_out(void **state)
{
    int64_t deadline = clock_mono_ms() + 5000;
    char text[TOKEN_TEXT];
    struct who who;

    make("short", ROLE_ADMIN, 1, text);
    assert_true(gets_in(text, &who));
    while (gets_in(text, &who)) {
        assert_true(clock_mono_ms() < deadline);
        (void)poll(NULL, 0, 20); /* asked again until it has expired */
    }
}

static void a_revoked_token_keeps_out_also_after_a_restart(void **state)
{
    char stays[TOKEN_TEXT], goes[TOKEN_TEXT];
    struct who who;
    struct err err = {0};

    make("stays", ROLE_VIEWER, 0, stays);
    make("goes", ROLE_VIEWER, 0, goes);
    assert_true(token_revoke(w.core, "goes", &world_admin, &err));
    assert_false(gets_in(goes, &who));
    world_close(&w);
    assert_true(world_open(&w));
    assert_true(gets_in(stays, &who));
    assert_int_equal(who.role, ROLE_VIEWER);
    assert_false(gets_in(goes, &who));
}

static void a_name_is_taken_once_and_listed(void **state)
{
    char text[TOKEN_TEXT];
    struct err err = {0};
    struct uuid id;
    CLEANUP(json_decrefp) json_t *one = NULL, *two = NULL;

    make("a", ROLE_ADMIN, 0, text);
    make("b", ROLE_ADMIN, 0, text);
    make("c", ROLE_ADMIN, 0, text);
    assert_false(token_create(w.core, "b", ROLE_ADMIN, 0, &world_admin, &id, text, &err));
    assert_int_equal(err.code, ERR_EXISTS);
    one = world_list(&w, &schema_token, (struct query_ask){.page_size = 2}, &err);
    two = world_list(
        &w, &schema_token,
        (struct query_ask){.page_size = 2, .page_token = json_get_text(one, "next_page_token")},
        &err);
    assert_int_equal(json_array_size(json_object_get(one, "items")), 2);
    assert_int_equal(json_array_size(json_object_get(two, "items")), 1);
}

/* Nothing that the daemon writes holds the secret. */
static void the_secret_is_nowhere_on_the_disk(void **state)
{
    static const char *const files[] = {"vmmd.db", "vmmd.db-wal"};
    char text[TOKEN_TEXT];
    struct err err = {0};
    unsigned looked = 0;

    make("ci", ROLE_ADMIN, 0, text);
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        CLEANUP(mem_freep) char *path = str_format("%s/state/%s", w.dir, files[i]);
        CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
        CLEANUP(mem_freep) char *data = NULL;
        const char *secret = strrchr(text, '_') + 1;
        size_t len;

        if (fd < 0)
            continue;
        assert_true(fs_read_all(fd, 64 << 20, &data, &len, &err));
        assert_null(memmem(data, len, secret, strlen(secret)));
        looked++;
    }
    assert_true(looked > 0);
}

#define STORY(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(the_bearer_of_a_token_gets_in_with_its_role),
        STORY(every_changed_character_keeps_out),
        STORY(an_expired_token_keeps_out),
        STORY(a_revoked_token_keeps_out_also_after_a_restart),
        STORY(a_name_is_taken_once_and_listed),
        STORY(the_secret_is_nowhere_on_the_disk),
    };

    return cmocka_run_group_tests_name("core/tokens", tests, NULL, NULL);
}
