/* What was let in and goes on (event streams, waits) ends when whoever it is for may not
 * do that any more: a real daemon, followed by clients over TLS that do nothing but listen. */
#include "tests/lib/rig.h"

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SOON_MS  5000 /* docs/accounts.md says: at once; a machine under load takes its time */
#define PATIENCE 20000
#define PASSWORD "correct horse battery"

static struct rig rig;

static void shell(const char *command)
{
    if (system(command) != 0)
        fail_msg("failed: %s", command);
}

static char *read_file(const char *name)
{
    CLEANUP(mem_freep) char *path = str_format("%s/%s", rig.dir, name);
    FILE *f = fopen(path, "re");
    char *text = mem_alloc(65536);

    if (f) {
        text[fread(text, 1, 65535, f)] = 0;
        fclose(f);
    }
    return text;
}

/* ---- clients ---- */

/* curl with 'header' for 'path', writing to the file 'name'; its head goes there first. */
static pid_t listen_with(const char *name, const char *header, const char *path)
{
    CLEANUP(mem_freep)
    char *command = str_format(
        "cd %s && exec curl -siNk --max-time 90 -H '%s' "
        "https://127.0.0.1:$(sed -n 's/^listen = .*:\\([0-9]*\\)$/\\1/p' vmmd.conf)/api/v1'%s' >%s",
        rig.dir, header, path, name);
    pid_t pid = fork();

    if (pid == 0) {
        execl("/bin/sh", "sh", "-c", command, NULL);
        _exit(99);
    }
    return pid;
}

static void await_text(const char *name, const char *text)
{
    int64_t deadline = clock_mono_ms() + PATIENCE;

    for (;;) {
        CLEANUP(mem_freep) char *seen = read_file(name);
        if (strstr(seen, text))
            return;
        if (clock_left_ms(deadline) == 0)
            fail_msg("%s never says '%s': %s", name, text, seen);
        poll(NULL, 0, 20);
    }
}

static void expect_end(pid_t pid, const char *name)
{
    int64_t deadline = clock_mono_ms() + SOON_MS;
    int status;

    while (waitpid(pid, &status, WNOHANG) == 0) {
        if (clock_left_ms(deadline) == 0) {
            kill(pid, SIGKILL);
            waitpid(pid, &status, 0);
            fail_msg("%s goes on", name);
        }
        poll(NULL, 0, 20);
    }
}

/* ---- who they are ---- */

static void do_it(const char *method, const char *path, const char *body, int status)
{
    json_decref(rig_do(&rig, method, path, body, status));
}

/* The header by which ann's token lets in; owned by the caller. */
static char *token_of(const char *user, const char *role)
{
    CLEANUP(mem_freep)
    char *body =
        str_format("{\"name\":\"%s-%s\",\"role\":\"%s\",\"owner\":\"%s\"}", user, role, role, user);
    json_t *made = rig_do(&rig, "POST", "/api/v1/tokens", body, 201);
    char *header = str_format("Authorization: Bearer %s", json_get_text(made, "token"));

    json_decref(made);
    return header;
}

static char *session_of(const char *user)
{
    CLEANUP(mem_freep)
    char *command = str_format(
        "cd %s && curl -sik -o session --max-time 60 -H 'Content-Type: application/json' "
        "-d '{\"user\":\"%s\",\"password\":\"" PASSWORD "\"}' "
        "https://127.0.0.1:$(sed -n 's/^listen = .*:\\([0-9]*\\)$/\\1/p' vmmd.conf)/api/v1/session",
        rig.dir, user);
    char *from, *text;

    shell(command);
    text = read_file("session");
    from = strstr(text, "__Host-vmmd=");
    if (!from) {
        char copy[600];
        str_copy(copy, sizeof copy, text);
        free(text);
        fail_msg("no cookie: %s", copy);
        return NULL;
    }
    from = str_format("Cookie: %.*s", (int)strcspn(from, ";"), from);
    free(text);
    return from;
}

static void make_user(const char *name, const char *role)
{
    CLEANUP(mem_freep) char *body = str_format("{\"name\":\"%s\",\"role\":\"%s\"}", name, role);
    CLEANUP(mem_freep) char *path = str_format("/api/v1/users/%s/actions/set-password", name);

    do_it("POST", "/api/v1/users", body, 201);
    do_it("POST", path, "{\"password\":\"" PASSWORD "\"}", 204);
}

/* A VM without a guest, and without words. */
static void make_vm(const char *name, const char *team)
{
    CLEANUP(mem_freep)
    char *body = str_format(
        "{\"name\":\"%s\",\"backend\":\"fake\",\"nics\":[],\"labels\":{\"team\":\"%s\"}}", name,
        team);

    do_it("POST", "/api/v1/vms", body, 201);
}

/* ---- stories ---- */

static void a_disabled_user_hears_nothing_more(void **state)
{
    CLEANUP(mem_freep) char *token = NULL, *cookie = NULL, *heard = NULL;
    pid_t pids[2];

    make_user("ann", "operator");
    token = token_of("ann", "operator");
    cookie = session_of("ann");
    make_vm("a", "x");
    pids[0] = listen_with("by-token", token, "/events");
    pids[1] = listen_with("by-cookie", cookie, "/events");
    await_text("by-token", "retry: ");
    await_text("by-cookie", "retry: ");
    do_it("PATCH", "/api/v1/users/ann", "{\"disabled\":true}", 200);
    expect_end(pids[0], "an event stream by a token");
    expect_end(pids[1], "an event stream by a session");
    heard = read_file("by-token");
    assert_null(strstr(heard, "user.changed")); /* not even that */
}

static void a_wait_ends_with_what_let_it_in(void **state)
{
    CLEANUP(mem_freep) char *token = NULL, *said = NULL;
    pid_t pids[2];

    make_user("ann", "operator");
    token = token_of("ann", "operator");
    make_vm("a", "x");
    pids[0] = listen_with("events", token, "/events?wait=60&types=nothing");
    pids[1] = listen_with("words", token, "/vms/a/serial?wait=60");
    poll(NULL, 0, 300); /* most likely they wait by now; if not they are refused at the door */
    do_it("DELETE", "/api/v1/tokens/ann-operator", NULL, 204);
    expect_end(pids[0], "a wait for events");
    expect_end(pids[1], "a wait for a guest's words");
    said = read_file("events");
    assert_non_null(strstr(said, " 401 "));
}

static void a_revoked_grant_takes_its_streams_along(void **state)
{
    CLEANUP(mem_freep) char *token = NULL, *path = NULL, *heard = NULL;
    CLEANUP(json_decrefp) json_t *grant = NULL;
    pid_t events;

    make_user("bob", "none");
    make_vm("mine", "a");
    make_vm("other", "b");
    grant = rig_do(&rig, "POST", "/api/v1/users/bob/grants",
                   "{\"role\":\"operator\",\"label\":\"team=a\"}", 201);
    json_decref(rig_do(&rig, "POST", "/api/v1/users/bob/grants",
                       "{\"role\":\"viewer\",\"label\":\"team=c\"}", 201));
    token = token_of("bob", "operator");
    events = listen_with("bobs", token, "/events?types=vm");
    await_text("bobs", "retry: ");
    do_it("PATCH", "/api/v1/vms/mine", "{\"notes\":\"seen\"}", 200);
    await_text("bobs", "vm.changed");
    path = str_format("/api/v1/users/bob/grants/%s", json_get_text(grant, "id"));
    do_it("DELETE", path, NULL, 204);
    do_it("PATCH", "/api/v1/vms/mine", "{\"notes\":\"not seen\"}", 200);
    do_it("POST", "/api/v1/vms",
          "{\"name\":\"c\",\"backend\":\"fake\",\"nics\":[],\"labels\":{\"team\":\"c\"}}", 201);
    await_text("bobs", "vm.created"); /* the other grant goes on */
    heard = read_file("bobs");
    assert_null(strstr(heard, "not seen"));
    assert_null(strstr(strstr(heard, "event: vm.changed") + 10, "event: vm.changed"));
    do_it("DELETE", "/api/v1/users/bob", NULL, 204);
    expect_end(events, "the events of a user who is gone");
}

/* An administrator who becomes an operator still follows events, but not the audit trail's. */
static void a_lower_role_narrows_what_is_heard(void **state)
{
    CLEANUP(mem_freep) char *token = NULL, *heard = NULL, *after = NULL;
    pid_t events;

    make_user("ann", "admin");
    token = token_of("ann", "admin");
    events = listen_with("anns", token, "/events");
    await_text("anns", "retry: ");
    make_vm("a", "x");
    await_text("anns", "event: audit.");
    do_it("PATCH", "/api/v1/users/ann", "{\"role\":\"operator\"}", 200);
    make_vm("late", "x");
    await_text("anns", "\"late\"");
    make_vm("later", "x");
    await_text("anns", "\"later\"");
    heard = read_file("anns");
    after = strstr(heard, "\"late\"");
    assert_null(strstr(TAKE(after), "event: audit."));
    kill(events, SIGTERM);
    expect_end(events, "curl");
}

static int make_rig(void **state)
{
    rig_make(&rig, 0);
    return 0;
}

static int remove_rig(void **state)
{
    rig_remove(&rig);
    return 0;
}

#define T(f) cmocka_unit_test_setup_teardown(f, make_rig, remove_rig)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_disabled_user_hears_nothing_more),
        T(a_wait_ends_with_what_let_it_in),
        T(a_revoked_grant_takes_its_streams_along),
        T(a_lower_role_narrows_what_is_heard),
    };
    const char *why;

    signal(SIGPIPE, SIG_IGN);
    if (!rig_possible_bare(&why)) {
        print_message("[  SKIPPED ] integration/revoked: %s\n", why);
        return 0;
    }
    return cmocka_run_group_tests_name("integration/revoked", tests, NULL, NULL);
}
