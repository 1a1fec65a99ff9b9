/* vmmd-pam with a module of the tests' own (tests/pam/module.c): what it makes of good and bad
 * answers, of modules that hang and crash, and of messages that main does not send; and a daemon
 * whose users sign in by it. */
#include "tests/lib/proc.h"
#include "tests/lib/rig.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/sock.h"
#include "core/base/str.h"
#include "vmmd/pam/proto.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PASSWORD  "correct horse battery"
#define ANSWER_MS "1000"
#define PATIENCE  20000
#define NOBODY    -1 /* the answer of nobody */

/* ---- the program alone ---- */

static char *dir;
static pid_t pam;
static int control, link_fd;

static void shell(const char *command)
{
    if (system(command) != 0)
        fail_msg("failed: %s", command);
}

/* The service "test", and the module beside it. */
static void make_service(const char *where)
{
    CLEANUP(mem_freep)
    char *command = str_format("cd %s && cp %s/tests/pam_vmmd_test.so . && printf "
                               "'auth required %s/pam_vmmd_test.so\\naccount required "
                               "%s/pam_vmmd_test.so\\n' >vmmd",
                               where, getenv("VMMD_BIN"), where, where);

    shell(command);
    assert_int_equal(setenv("VMMD_PAM_CONFDIR", where, 1), 0);
    assert_int_equal(setenv("VMMD_PAM_ANSWER_MS", ANSWER_MS, 1), 0);
}

static int start(void **state)
{
    CLEANUP(mem_freep) char *program = str_format("%s/vmmd-pam", getenv("VMMD_BIN"));
    int parent[2], link[2];
    struct err err = {0};

    dir = tmp_dir_make();
    make_service(dir);
    assert_true(sock_pair(SOCK_SEQPACKET, parent, &err) && sock_pair(SOCK_SEQPACKET, link, &err));
    control = parent[0];
    link_fd = link[0];
    pam = fork();
    if (pam == 0) {
        int high[] = {fcntl(parent[1], F_DUPFD_CLOEXEC, 50), fcntl(link[1], F_DUPFD_CLOEXEC, 50)};
        dup2(high[0], PAM_FD_PARENT);
        dup2(high[1], PAM_FD_MAIN);
        execl(program, "vmmd-pam", "vmmd", NULL);
        _exit(99);
    }
    close(parent[1]);
    close(link[1]);
    return 0;
}

/* Returns how it ended. */
static int await_end(void)
{
    int64_t deadline = clock_mono_ms() + PATIENCE;
    int status = 0;

    while (waitpid(pam, &status, WNOHANG) == 0) {
        assert_true(clock_left_ms(deadline) > 0);
        poll(NULL, 0, 5);
    }
    pam = 0;
    return status;
}

static int stop(void **state)
{
    close(control);
    if (pam)
        assert_int_equal(await_end(), 0);
    close(link_fd);
    tmp_dir_remove(dir);
    return 0;
}

static struct pam_question question(const char *user, const char *password)
{
    struct pam_question q = {.version = PAM_WIRE_VERSION, .address = "192.0.2.7"};

    str_copy(q.user, sizeof q.user, user);
    str_copy(q.password, sizeof q.password, password);
    return q;
}

/* Sends; the socket on which the answer comes. */
static int send_question(const void *q, size_t len)
{
    struct err err = {0};
    int pair[2];

    assert_true(sock_pair(SOCK_SEQPACKET, pair, &err));
    assert_true(sock_send(link_fd, q, len, &pair[1], 1, &err));
    close(pair[1]);
    assert_true(sock_set_timeout_ms(pair[0], PATIENCE, &err));
    return pair[0];
}

/* enum pam_answer, or NOBODY. */
static int answer_at(int sock)
{
    struct pam_reply reply;
    struct err err = {0};
    ssize_t n = sock_recv(sock, &reply, sizeof reply, NULL, 0, NULL, &err);

    close(sock);
    assert_true(n == 0 || n == sizeof reply);
    if (n)
        assert_int_equal(reply.version, PAM_WIRE_VERSION);
    return n ? (int)reply.answer : NOBODY;
}

static int ask(const char *user, const char *password)
{
    struct pam_question q = question(user, password);

    return answer_at(send_question(&q, sizeof q));
}

static void the_answer_is_the_modules(void **state)
{
    static const struct {
        const char *user, *password;
        int answer;
    } cases[] = {
        {"ann", PASSWORD, PAM_SAYS_GOOD},
        {"ann", "correct horse", PAM_SAYS_WRONG},
        {"ann", "", PAM_SAYS_WRONG},
        {"locked", PASSWORD, PAM_SAYS_REFUSED},
        {"locked", "x", PAM_SAYS_WRONG},
        {"stale", PASSWORD, PAM_SAYS_REFUSED},
        {"talkative", PASSWORD, PAM_SAYS_GOOD},
        {"far", PASSWORD, PAM_SAYS_GOOD},
        {"broken", PASSWORD, NOBODY},
        {"away", PASSWORD, NOBODY},
    };

    for (unsigned i = 0; i < ARRAY_LEN(cases); i++)
        if (ask(cases[i].user, cases[i].password) != cases[i].answer)
            fail_msg("%s, '%s'", cases[i].user, cases[i].password);
}

/* One hidden prompt is for the password; whatever else is asked for nobody is there to say. */
static void a_module_gets_the_password_once_and_nothing_else(void **state)
{
    assert_int_equal(ask("twice", PASSWORD), PAM_SAYS_WRONG);
    assert_int_equal(ask("shown", PASSWORD), PAM_SAYS_WRONG);
    assert_int_equal(ask("other", PASSWORD), PAM_SAYS_WRONG); /* it is about somebody else now */
}

/* The module asks for three seconds. */
static void a_modules_delay_is_not_waited_for(void **state)
{
    int64_t begin = clock_mono_ms();

    assert_int_equal(ask("ann", "wrong"), PAM_SAYS_WRONG);
    assert_true(clock_mono_ms() - begin < 2000);
}

static void a_module_that_hangs_or_crashes_ends_alone(void **state)
{
    assert_int_equal(ask("crash", PASSWORD), NOBODY);
    assert_int_equal(ask("slow", PASSWORD), NOBODY); /* killed after ANSWER_MS */
    assert_int_equal(ask("ann", PASSWORD), PAM_SAYS_GOOD);
    assert_int_equal(kill(pam, 0), 0);
}

static void more_than_it_can_ask_at_once_it_does_not_ask(void **state)
{
    struct pam_question slow = question("slow", PASSWORD), good = question("ann", PASSWORD);
    int waiting[PAM_AT_ONCE];

    for (unsigned i = 0; i < PAM_AT_ONCE; i++)
        waiting[i] = send_question(&slow, sizeof slow);
    assert_int_equal(answer_at(send_question(&good, sizeof good)), NOBODY);
    for (unsigned i = 0; i < PAM_AT_ONCE; i++)
        assert_int_equal(answer_at(waiting[i]), NOBODY);
    assert_int_equal(ask("ann", PASSWORD), PAM_SAYS_GOOD);
}

/* Each is what main never sends. */
static void a_malformed_question_ends_it(void **state)
{
    struct pam_question q[8];
    struct err err = {0};

    for (unsigned i = 0; i < ARRAY_LEN(q); i++)
        q[i] = question("ann", PASSWORD);
    q[0].version = 2;
    memset(q[1].user, 'a', sizeof q[1].user);
    memset(q[2].password, 'a', sizeof q[2].password);
    q[3].user[10] = 'x'; /* behind the end */
    str_copy(q[4].user, sizeof q[4].user, "../ann");
    str_copy(q[5].address, sizeof q[5].address, "host.example");
    q[6].user[0] = 0;
    for (unsigned i = 0; i <= ARRAY_LEN(q) + 1; i++) {
        if (i)
            start(state);
        if (i < ARRAY_LEN(q) - 1)
            assert_int_equal(answer_at(send_question(&q[i], sizeof q[i])), NOBODY);
        else if (i == ARRAY_LEN(q) - 1)
            assert_int_equal(answer_at(send_question(&q[7], sizeof q[7] - 1)), NOBODY);
        else if (i == ARRAY_LEN(q))
            assert_int_equal(answer_at(send_question(&q[7], 4)), NOBODY);
        else
            assert_true(sock_send(link_fd, &q[7], sizeof q[7], NULL, 0, &err));
        assert_int_equal(WEXITSTATUS(await_end()), 70);
        if (i <= ARRAY_LEN(q))
            stop(state);
    }
}

static void it_ends_with_vmmd(void **state)
{
    assert_int_equal(ask("ann", PASSWORD), PAM_SAYS_GOOD);
    close(control);
    assert_int_equal(await_end(), 0);
    control = -1;
}

/* ---- a daemon ---- */

static struct rig rig;

static int make_rig(void **state)
{
    rig.more = "pam_service = vmmd\n";
    rig.before = NULL;
    dir = tmp_dir_make();
    make_service(dir);
    rig_make(&rig, 0);
    return 0;
}

static int remove_rig(void **state)
{
    rig_remove(&rig);
    tmp_dir_remove(dir);
    return 0;
}

static void add_user(const char *name)
{
    CLEANUP(mem_freep)
    char *body =
        str_format("{\"name\":\"%s\",\"role\":\"operator\",\"password_source\":\"pam\"}", name);

    json_decref(rig_do(&rig, "POST", "/api/v1/users", body, 201));
}

static int sign_in(const char *name, const char *password)
{
    CLEANUP(mem_freep)
    char *body = str_format("{\"user\":\"%s\",\"password\":\"%s\"}", name, password);
    int status;

    json_decref(rig_call(&rig, "POST", "/api/v1/session", body, &status));
    return status;
}

static void users_sign_in_with_the_hosts_password(void **state)
{
    add_user("ann");
    add_user("locked");
    add_user("crash");
    assert_int_equal(sign_in("ann", PASSWORD), 201);
    assert_int_equal(sign_in("ann", "correct horse"), 401);
    assert_int_equal(sign_in("bob", PASSWORD), 401); /* the host knows him, vmmd does not */
    assert_int_equal(sign_in("locked", PASSWORD), 403);
    assert_int_equal(sign_in("crash", PASSWORD), 503);
    assert_int_equal(sign_in("ann", PASSWORD), 201);
    json_decref(rig_do(&rig, "POST", "/api/v1/users/ann/actions/link", "{}", 409));
}

/* By the network, as a browser does: the cookie is worth something. */
static void the_cookie_is_the_users(void **state)
{
    CLEANUP(mem_freep)
    char *command = str_format(
        "cd %s && port=$(sed -n 's/^listen = .*:\\([0-9]*\\)$/\\1/p' vmmd.conf) && "
        "call() { curl -sk --max-time 60 -o out -w '%%{http_code}' -b jar -c jar \"$@\"; } && "
        "test \"$(call -H 'Content-Type: application/json' "
        "-d '{\"user\":\"ann\",\"password\":\"" PASSWORD
        "\"}' https://127.0.0.1:$port/api/v1/session)\" = 201 && "
        "test \"$(call https://127.0.0.1:$port/api/v1/session)\" = 200 && "
        "grep -q '\"principal\":\"user:ann\"' out && grep -q '\"by\":\"session\"' out",
        rig.dir);

    add_user("ann");
    shell(command);
}

/* Whoever it was that ended it: it comes back by itself, the daemon goes on. */
static void a_dead_vmmd_pam_is_started_again(void **state)
{
    pid_t before = rig_child(&rig, "vmmd-pam"), main_pid = rig_child(&rig, "vmmd-main");

    add_user("ann");
    assert_true(before > 0);
    assert_int_equal(kill(before, SIGKILL), 0);
    assert_int_equal(sign_in("ann", PASSWORD), 201); /* waits for its successor */
    assert_true(rig_child(&rig, "vmmd-pam") != before);
    assert_int_equal(rig_child(&rig, "vmmd-main"), main_pid);
}

static bool sees(pid_t pid, const char *path)
{
    CLEANUP(mem_freep) char *full = str_format("/proc/%d/root%s", (int)pid, path);

    return access(full, F_OK) == 0;
}

/* docs/security.md promises what is looked at here. */
static void it_is_root_without_its_powers(void **state)
{
    static const char *const sets[] = {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"};
    pid_t pid = rig_child(&rig, "vmmd-pam");
    CLEANUP(mem_freep) char *state_dir = str_format("%s/state/vmmd.db", rig.dir);
    CLEANUP(mem_freep) char *pids = str_format("%d\t1", (int)pid);
    char text[256];

    for (unsigned i = 0; i < ARRAY_LEN(sets); i++) {
        assert_true(proc_status(pid, sets[i], text, sizeof text));
        assert_string_equal(text, "0000000000000000");
    }
    assert_true(proc_status(pid, "NoNewPrivs", text, sizeof text));
    assert_string_equal(text, "1");
    assert_true(proc_status(pid, "Seccomp", text, sizeof text));
    assert_string_equal(text, "2");
    assert_true(proc_status(pid, "NSpid", text, sizeof text)); /* init of a pid namespace */
    assert_string_equal(text, pids);
    assert_true(sees(pid, "/etc/passwd"));
    assert_false(sees(pid, "/root"));
    assert_false(sees(pid, "/home"));
    assert_false(sees(pid, "/sys/kernel"));
    assert_false(sees(pid, "/run/dbus"));
}

#define ALONE(f) cmocka_unit_test_setup_teardown(f, start, stop)
#define WHOLE(f) cmocka_unit_test_setup_teardown(f, make_rig, remove_rig)

int main(void)
{
    const struct CMUnitTest alone[] = {
        ALONE(the_answer_is_the_modules),
        ALONE(a_module_gets_the_password_once_and_nothing_else),
        ALONE(a_modules_delay_is_not_waited_for),
        ALONE(a_module_that_hangs_or_crashes_ends_alone),
        ALONE(more_than_it_can_ask_at_once_it_does_not_ask),
        ALONE(a_malformed_question_ends_it),
        ALONE(it_ends_with_vmmd),
    };
    const struct CMUnitTest whole[] = {
        WHOLE(users_sign_in_with_the_hosts_password),
        WHOLE(the_cookie_is_the_users),
        WHOLE(a_dead_vmmd_pam_is_started_again),
        WHOLE(it_is_root_without_its_powers),
    };
    int failed;
    const char *why;

    signal(SIGPIPE, SIG_IGN);
    failed = cmocka_run_group_tests_name("integration/pam, the program", alone, NULL, NULL);
    if (geteuid() != 0 || !rig_possible_bare(&why)) {
        print_message("[  SKIPPED ] integration/pam, the daemon: %s\n",
                      geteuid() ? "only a daemon of root may ask for passwords" : why);
        return failed;
    }
    return failed + cmocka_run_group_tests_name("integration/pam, the daemon", whole, NULL, NULL);
}
