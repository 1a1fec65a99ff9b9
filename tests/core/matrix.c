/* Who gets in where: every route of the table times every kind of caller, so that a new route is in
 * it by itself. What is expected follows from the route's right and from what it is about; that
 * what is allowed is also done is for others to test: here it is answered as an administrator is.
 */
#include "tests/lib/world.h"

#include "api/api.h"
#include "api/routes.h"
#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/sock.h"
#include "core/disk/pool.h"
#include "core/snap/snap.h"
#include "core/template/template.h"
#include "core/user/grant.h"
#include "core/user/granting.h"
#include "core/user/session.h"
#include "core/user/token.h"
#include "core/user/user.h"
#include "tests/lib/world_acts.h"

#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PASSWORD "correct horse battery"
#define NOBODYS  "3f2504e0-4f89-41d3-9a0c-0305e82c3301" /* an id that nothing has */

static struct world w;
static struct api *api;
static struct err why; /* of MUST() */

#define MUST(call)                                                                                 \
    do {                                                                                           \
        why = (struct err){0};                                                                     \
        if (!(call))                                                                               \
            fail_msg("%s: %s", #call, why.detail);                                                 \
    } while (0)

/* What the routes are asked about. */
static char vm_id[UUID_TEXT], snapshot_id[UUID_TEXT], disk_id[UUID_TEXT], pool_id[UUID_TEXT],
    template_id[UUID_TEXT], operation_id[UUID_TEXT];

/* ---- one request ---- */

struct answer {
    unsigned status;
    char *body;
};

static void answer_clear(struct answer *a)
{
    mem_freep(&a->body);
}

static char *read_all(int fd)
{
    struct strbuf text = {0};
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char piece[4096];
    ssize_t n;

    while ((n = poll(&p, 1, 20000)) > 0 && (n = recv(fd, piece, sizeof piece, 0)) > 0)
        strbuf_add(&text, piece, (size_t)n);
    if (n < 0 || !text.len)
        fail_msg("no answer");
    return strbuf_take(&text);
}

static struct answer ask(const char *method, const char *path, const char *headers,
                         const char *type, const char *body)
{
    struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons(4711)};
    CLEANUP(mem_freep) char *text = NULL, *seen = NULL;
    const uint8_t none[32] = {0};
    struct answer a = {0};
    char kind[128] = "";
    int pair[2];

    MUST(sock_pair(SOCK_STREAM, pair, &why));
    assert_true(api_add_tls(api, pair[1], (struct sockaddr *)&peer, sizeof peer, none));
    if (body)
        snprintf(kind, sizeof kind, "Content-Type: %s\r\nContent-Length: %zu\r\n", type,
                 strlen(body));
    text = str_format("%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAccept: "
                      "application/json\r\n%s%s\r\n%s",
                      method, path, headers, kind, body ? body : "");
    assert_int_equal(send(pair[0], text, strlen(text), MSG_NOSIGNAL), strlen(text));
    seen = read_all(pair[0]);
    close(pair[0]);
    a.status = (unsigned)atoi(seen + 9);
    a.body = str_dup(strstr(seen, "\r\n\r\n") + 4);
    return a;
}

static const char *ref_of(enum about about)
{
    switch (about) {
    case ABOUT_VM:
        return vm_id;
    case ABOUT_SNAPSHOT:
        return snapshot_id;
    case ABOUT_DISK:
        return disk_id;
    case ABOUT_POOL:
        return pool_id;
    case ABOUT_TEMPLATE:
        return template_id;
    case ABOUT_OPERATION:
        return operation_id;
    case ABOUT_USER:
        return "ann";
    default:
        return NOBODYS;
    }
}

/* The route with this in the place of its id; owned. Nothing is done that can be left. */
static char *path_of(const struct route *route, const char *ref)
{
    struct strbuf path = {0};

    for (const char *p = route->pattern; *p; p++) {
        if (*p != '{') {
            strbuf_add(&path, p, 1);
            continue;
        }
        strbuf_adds(&path, strncmp(p, "{id}", 4) == 0 ? ref : NOBODYS);
        p = strchr(p, '}');
    }
    if (strstr(route->query, "dry_run"))
        strbuf_adds(&path, "?dry_run=true");
    else if (route->about == ABOUT_EVENTS)
        strbuf_adds(&path, "?after=0&wait=0&page_size=1000");
    return strbuf_take(&path);
}

static struct answer ask_route(const struct route *route, const char *ref, const char *headers)
{
    CLEANUP(mem_freep) char *path = path_of(route, ref);
    const char *body = route->body == BODY_JSON || route->body == BODY_PATCH ? "{}"
                       : route->body == BODY_BYTES                           ? "x"
                                                                             : NULL;

    return ask(route->method, path, headers,
               route->body == BODY_BYTES ? "application/octet-stream" : "application/json", body);
}

/* ---- who asks ---- */

static char *bearer(const struct token_spec *spec)
{
    char text[TOKEN_TEXT];
    struct uuid id;

    MUST(token_create_as(w.core, spec, &world_admin, &id, text, &why));
    return str_format("Authorization: Bearer %s\r\n", text);
}

static struct uuid make_user(const char *name, enum role role)
{
    const struct user_spec spec = {.name = name, .role = role};
    struct uuid id;

    MUST(user_create(w.core, &spec, &world_admin, &id, &why));
    return id;
}

/* Somebody without a role, with all rights that there are for the label and the pool. */
static char *somebody_with(const char *name, const char *label, const char *pool)
{
    struct token_spec spec = {
        .name = name, .role = ROLE_ADMIN, .owner = make_user(name, ROLE_NONE)};
    const struct grant_spec grants[] = {{.label = label, .role = ROLE_ADMIN},
                                        {.pool = pool, .role = ROLE_ADMIN}};
    struct uuid id;

    for (size_t i = 0; i < ARRAY_LEN(grants); i++)
        MUST(grant_create(w.core, name, &grants[i], &world_admin, &id, &why));
    return bearer(&spec);
}

/* ---- the world ---- */

static void make_objects(void)
{
    CLEANUP(json_decrefp)
    json_t *template =
        json_pack("{s:s, s:{s:s}, s:{}}", "name", "tpl", "labels", "team", "a", "spec");
    CLEANUP(json_decrefp) json_t *vm = NULL, *shown = NULL;
    struct uuid op, made;
    struct etag etag;

    MUST(pool_create(w.core, "spare", "second", &world_admin, &made, &why));
    MUST(world_try_create(
        &w, "mine", "\"labels\":{\"team\":\"a\"},\"disks\":[{\"size_bytes\":1048576}]", &op, &why));
    uuid_text(&op, operation_id);
    json_decref(world_end_of(&w, &op));
    assert_string_equal(world_take(&w, "mine", "before"), "succeeded");
    MUST(vm = vm_show(w.core, "mine", &etag, &why));
    str_copy(vm_id, sizeof vm_id, json_get_text(vm, "id"));
    str_copy(disk_id, sizeof disk_id,
             json_get_text(json_array_get(json_object_get(vm, "disks"), 0), "id"));
    MUST(shown = snapshot_show(w.core, "mine", "before", &why));
    str_copy(snapshot_id, sizeof snapshot_id, json_get_text(shown, "id"));
    json_decref(shown);
    MUST(shown = pool_show(w.core, "main", &why));
    str_copy(pool_id, sizeof pool_id, json_get_text(shown, "id"));
    MUST(template_create(w.core, template, &world_admin, &made, &why));
    uuid_text(&made, template_id);
}

static int setup(void **state)
{
    static const char *const names[] = {"x"};
    struct api_config config = {.host_names = names, .n_host_names = 1};

    world_make(&w);
    make_objects();
    make_user("ann", ROLE_VIEWER);
    config.core = w.core;
    MUST(api = api_start(&config, &why));
    return 0;
}

static int teardown(void **state)
{
    api_stop(api);
    world_remove(&w);
    return 0;
}

/* ---- what is to be expected ---- */

static bool is_free(const struct route *route)
{
    return route->right == RIGHT_PUBLIC || route->right == RIGHT_SELF;
}

/* Of what there are grants for. */
static bool has_objects(enum about about)
{
    static const enum about kinds[] = {
        ABOUT_VM,         ABOUT_VMS,    ABOUT_SNAPSHOT, ABOUT_DISK,      ABOUT_DISKS,
        ABOUT_POOL,       ABOUT_POOLS,  ABOUT_TEMPLATE, ABOUT_TEMPLATES, ABOUT_OPERATION,
        ABOUT_OPERATIONS, ABOUT_EVENTS, ABOUT_MEDIA,
    };

    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (kinds[i] == about)
            return true;
    return false;
}

static bool is_about_one(const struct route *route)
{
    return strstr(route->pattern, "{id}") != NULL;
}

/* Lists are read only, but for VMs. */
static bool can_be_granted(const struct route *route)
{
    return has_objects(route->about) && (RIGHT_BIT(route->right) & grant_possible()) &&
           (is_about_one(route) || strcmp(route->method, "GET") == 0 || route->about == ABOUT_VMS);
}

static void must_be(const struct route *route, const char *who, unsigned status, unsigned expected,
                    const char *body)
{
    if (status != expected)
        fail_msg("%s by %s: %u instead of %u: %s", route->operation, who, status, expected, body);
}

static void must_answer(const struct route *route, const char *who, const char *headers,
                        unsigned expected)
{
    CLEANUP(answer_clear) struct answer a = ask_route(route, ref_of(route->about), headers);

    must_be(route, who, a.status, expected, a.body);
}

static unsigned admins_answer(const struct route *route, const char *admin)
{
    CLEANUP(answer_clear) struct answer a = ask_route(route, ref_of(route->about), admin);

    assert_true(a.status != 401 && a.status != 403 && a.status < 500);
    return a.status;
}

static void who_is_not_known_gets_in_nowhere(void **state)
{
    struct token_spec soon = {.name = "soon", .role = ROLE_ADMIN, .ttl_s = 1};
    CLEANUP(mem_freep) char *old = bearer(&soon);
    char text[TOKEN_TEXT] = "";
    struct err gone = {0};
    struct who who;

    sscanf(old, "Authorization: Bearer %127s", text);
    for (size_t i = 0; i < n_routes; i++)
        if (routes[i].right != RIGHT_PUBLIC) {
            must_answer(&routes[i], "nobody", "", 401);
            must_answer(&routes[i], "a made-up token",
                        "Authorization: Bearer vmmd_" NOBODYS "_x\r\n", 401);
            must_answer(&routes[i], "a made-up session",
                        "Cookie: __Host-vmmd=00000000000000000000000000000001_"
                        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n",
                        401);
        }
    for (int64_t end = clock_mono_ms() + 10000; token_check(w.core, text, &who, &gone);)
        assert_true(clock_mono_ms() < end);
    for (size_t i = 0; i < n_routes; i++)
        if (routes[i].right != RIGHT_PUBLIC)
            must_answer(&routes[i], "a token of yesterday", old, 401);
}

static void a_role_gets_in_where_it_has_the_right(void **state)
{
    char *by[ROLE_ADMIN + 1] = {0};
    struct token_spec one = {
        .name = "one", .role = ROLE_ADMIN, .rights = RIGHT_BIT(RIGHT_AUDIT_READ)};
    CLEANUP(mem_freep) char *narrow = bearer(&one);

    for (enum role role = ROLE_VIEWER; role <= ROLE_ADMIN; role++)
        by[role] = bearer(&(struct token_spec){.name = role_names[role], .role = role});
    for (size_t i = 0; i < n_routes; i++) {
        const struct route *route = &routes[i];
        unsigned admin;

        if (is_free(route))
            continue;
        admin = admins_answer(route, by[ROLE_ADMIN]);
        for (enum role role = ROLE_VIEWER; role < ROLE_ADMIN; role++)
            must_answer(route, role_names[role], by[role],
                        role_rights(role) & RIGHT_BIT(route->right) ? admin : 403);
        must_answer(route, "a token with another right", narrow,
                    route->right == RIGHT_AUDIT_READ ? admin : 403);
    }
    for (enum role role = ROLE_VIEWER; role <= ROLE_ADMIN; role++)
        free(by[role]);
}

static void a_session_changes_nothing_without_its_page(void **state)
{
    CLEANUP(mem_freep) char *cookie = NULL;
    CLEANUP(who_clear) struct who who = {0};
    char text[SESSION_TEXT], csrf[SESSION_CSRF];

    make_user("boss", ROLE_ADMIN);
    MUST(user_set_password(w.core, "boss", PASSWORD, &world_admin, &why));
    MUST(session_begin(w.core, "boss", PASSWORD, "here", &who, text, &why));
    session_csrf(text, csrf);
    cookie = str_format("Cookie: __Host-vmmd=%s\r\n", text);
    for (size_t i = 0; i < n_routes; i++) {
        const struct route *route = &routes[i];
        CLEANUP(mem_freep)
        char *foreign =
            str_format("%sX-VMM-CSRF: %s\r\nOrigin: https://evil.example\r\n", cookie, csrf);

        if (is_free(route))
            continue;
        must_answer(route, "another site's page", foreign, 403);
        if (strcmp(route->method, "GET") != 0)
            must_answer(route, "a session without its csrf", cookie, 403);
        else
            must_answer(route, "a session", cookie, admins_answer(route, cookie));
    }
}

static void a_grant_lets_in_where_it_selects(void **state)
{
    CLEANUP(mem_freep) char *here = somebody_with("here", "team=a", "main");
    CLEANUP(mem_freep)
    char *admin = bearer(&(struct token_spec){.name = "admin", .role = ROLE_ADMIN});

    for (size_t i = 0; i < n_routes; i++)
        if (!is_free(&routes[i]))
            must_answer(&routes[i], "somebody with grants here", here,
                        can_be_granted(&routes[i]) ? admins_answer(&routes[i], admin) : 403);
}

/* A problem document without what is another one at each request, and without the reference. */
static json_t *plain(const char *body, const char *ref)
{
    json_t *v = json_loads(body, 0, NULL);
    const char *detail = json_get_text(v, "detail");
    const char *at = detail ? strstr(detail, ref) : NULL;

    assert_non_null(v);
    if (at)
        json_put(v, "detail",
                 json_sprintf("%.*s<ref>%s", (int)(at - detail), detail, at + strlen(ref)));
    json_object_del(v, "instance");
    json_object_del(v, "request_id");
    return v;
}

static void must_say_the_same_of_nothing(const struct route *route, const char *body,
                                         const char *headers)
{
    CLEANUP(answer_clear) struct answer nothing = ask_route(route, NOBODYS, headers);
    CLEANUP(json_decrefp) json_t *a = plain(body, ref_of(route->about));
    CLEANUP(json_decrefp) json_t *b = plain(nothing.body, NOBODYS);

    if (!json_equal(a, b))
        fail_msg("%s: what may not be seen is told from what is not there: %s %s", route->operation,
                 body, nothing.body);
}

static void must_not_tell(const struct route *route, const char *body)
{
    const char *const secrets[] = {vm_id,      snapshot_id,  disk_id,    pool_id,
                                   "\"mine\"", operation_id, template_id};

    for (size_t i = 0; i < ARRAY_LEN(secrets); i++)
        if (strstr(body, secrets[i]))
            fail_msg("%s tells of %s: %s", route->operation, secrets[i], body);
}

static void a_grant_elsewhere_shows_nothing(void **state)
{
    CLEANUP(mem_freep) char *elsewhere = somebody_with("elsewhere", "team=b", "spare");
    CLEANUP(mem_freep)
    char *admin = bearer(&(struct token_spec){.name = "admin", .role = ROLE_ADMIN});

    for (size_t i = 0; i < n_routes; i++) {
        const struct route *route = &routes[i];
        CLEANUP(answer_clear) struct answer a = {0};

        if (is_free(route))
            continue;
        a = ask_route(route, ref_of(route->about), elsewhere);
        must_be(route, "somebody with grants elsewhere", a.status,
                !can_be_granted(route) ? 403
                : is_about_one(route)  ? 404
                                       : admins_answer(route, admin),
                a.body);
        if (is_about_one(route))
            must_say_the_same_of_nothing(route, a.body, elsewhere);
        else
            must_not_tell(route, a.body);
    }
}

static void who_has_nothing_gets_nothing(void **state)
{
    struct token_spec spec = {
        .name = "none", .role = ROLE_ADMIN, .owner = make_user("none", ROLE_NONE)};
    CLEANUP(mem_freep) char *none = bearer(&spec);

    for (size_t i = 0; i < n_routes; i++)
        if (!is_free(&routes[i]))
            must_answer(&routes[i], "somebody without anything", none, 403);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(who_is_not_known_gets_in_nowhere, setup, teardown),
        cmocka_unit_test_setup_teardown(a_role_gets_in_where_it_has_the_right, setup, teardown),
        cmocka_unit_test_setup_teardown(a_session_changes_nothing_without_its_page, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_grant_lets_in_where_it_selects, setup, teardown),
        cmocka_unit_test_setup_teardown(a_grant_elsewhere_shows_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(who_has_nothing_gets_nothing, setup, teardown),
    };

    return cmocka_run_group_tests_name("core/matrix", tests, NULL, NULL);
}
