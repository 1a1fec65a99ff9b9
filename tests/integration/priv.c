/* The parent: what it gives its children, what it answers main, how it restarts and ends them. The
 * real vmmd and vmmd-front, with stand-ins for the rest. */
#include "tests/lib/parent.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "vmmd/config/config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* How many descriptors a process has; -1 when it may not be looked at. */
static int count_fds(pid_t pid)
{
    CLEANUP(mem_freep) char *path = str_format("/proc/%d/fd", pid);
    DIR *d = opendir(path);
    int n = d ? -2 : -1; /* "." and ".." */

    while (d && readdir(d))
        n++;
    if (d)
        closedir(d);
    return n;
}

static void main_and_front_get_exactly_their_descriptors(void **state)
{
    CLEANUP(mem_freep) char *fds = NULL;
    pid_t front = child_named(world.vmmd, "vmmd-front", 0);
    CLEANUP(mem_freep) char *echo = echo_over_tls("up");
    int64_t deadline = clock_mono_ms() + PATIENCE;

    assert_true(ask(ASK_FDS, NULL, 0, &fds, NULL, NULL));
    assert_string_equal(fds, "0 1 2 3 4 5 6 7 8 9 10");
    if (count_fds(front) < 0)
        skip(); /* its user namespace hides it even from its own user */
    /* 0-2, control, link, listener; certificate and key are closed by now, an eventfd is its own.
     * The connection above may still be on its way out. */
    while (count_fds(front) != 7 && clock_left_ms(deadline) > 0)
        poll(NULL, 0, 5);
    assert_int_equal(count_fds(front), 7);
}

/* The real vmmd-pam: root, and nothing else of it. */
static void with_a_service_main_gets_a_link_and_vmmd_pam_runs(void **state)
{
    CLEANUP(mem_freep) char *fds = NULL, *pids = NULL;
    pid_t pam;

    write_config("pam_service = vmmd");
    assert_int_equal(setenv("VMMD_PAM_CONFDIR", world.dir, 1), 0);
    world.vmmd = start_vmmd(NULL);
    assert_int_equal(unsetenv("VMMD_PAM_CONFDIR"), 0);
    wait_serving();
    assert_true(ask(ASK_FDS, NULL, 0, &fds, NULL, NULL));
    assert_string_equal(fds, "0 1 2 3 4 5 6 7 8 9 10 11");
    pam = child_named(world.vmmd, "vmmd-pam", 0);
    assert_status(pam, "\nUid:\t0\t0\t0\t0\n");
    assert_no_rights(pam);
    pids = str_format("\nNSpid:\t%d\t1\n", pam);
    assert_status(pam, pids);
}

static void nobody_has_more_rights_than_documented(void **state)
{
    pid_t front = child_named(world.vmmd, "vmmd-front", 0);
    pid_t main_pid = child_named(world.vmmd, "vmmd-main", 0);

    wait_serving();
    assert_uid(main_pid, 1000000);
    assert_no_rights(main_pid);
    assert_uid(front, 1000001);
    assert_status(front, "\nNoNewPrivs:\t1\n");
    assert_status(world.vmmd, "\nNoNewPrivs:\t1\n");
    if (world.uid == 0)
        assert_status(world.vmmd, "\nCapEff:\t00000000082401e5\n");
}

static void the_front_loses_its_capability_when_it_is_confined(void **state)
{
    pid_t front = child_named(world.vmmd, "vmmd-front", 0);
    int64_t deadline = clock_mono_ms() + PATIENCE;
    CLEANUP(mem_freep) char *root = str_format("/proc/%d/root/run", front);

    /* Its new root is empty. */
    while (access(root, F_OK) == 0 && clock_left_ms(deadline) > 0)
        poll(NULL, 0, 5);
    assert_int_equal(access(root, F_OK), -1);
    while (clock_left_ms(deadline) > 0) {
        CLEANUP(mem_freep) char *path = str_format("/proc/%d/status", front);
        CLEANUP(mem_freep) char *text = NULL;
        CLEANUP(closep) int fd = open(path, O_RDONLY);
        struct err err = {0};
        assert_true(fs_read_all(fd, 65536, &text, NULL, &err));
        if (strstr(text, "\nCapEff:\t0000000000000000\n"))
            break;
        poll(NULL, 0, 5);
    }
    assert_no_rights(front);
}

static void directories_belong_to_whom_they_should(void **state)
{
    static const struct {
        const char *name;
        uid_t uid;
        mode_t mode, rootless;
    } expected[] = {
        {"run", 0, 0755, 0700},
        {"run/vm", 1000000, 0700, 0700},
        {"run/empty", 0, 0555, 0555},
        {"state", 1000000, 0700, 0700},
        {"pools/main", 1000000, 0700, 0700},
    };
    wait_serving();

    for (unsigned i = 0; i < ARRAY_LEN(expected); i++) {
        CLEANUP(mem_freep) char *path = below(expected[i].name);
        struct stat st;
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_uid, world.uid ? world.uid : expected[i].uid);
        assert_int_equal(st.st_mode & 07777, world.uid ? expected[i].rootless : expected[i].mode);
    }
}

static void every_operation_is_answered_or_refused(void **state)
{
    CLEANUP(closep) int root = -1;
    CLEANUP(closep) int kernel = -1;
    CLEANUP(closep) int kvm = -1;
    CLEANUP(closep) int uffd = -1;
    struct priv_reply reply = request((struct priv_request){.op = PRIV_FACTS}, NULL);
    struct stat st, expected;
    CLEANUP(mem_freep) char *pool = below("pools/main");

    assert_int_equal(reply.error, 0);
    assert_int_equal(reply.slots, 33);
    assert_int_equal(!!(reply.facts & PRIV_FACT_ROOT), world.uid == 0);
    assert_true(reply.facts & PRIV_FACT_USERNS);
    assert_int_equal(!!(reply.facts & PRIV_FACT_KVM_NODE), access("/dev/kvm", F_OK) == 0);

    assert_int_equal(request((struct priv_request){.op = PRIV_READY}, NULL).error, ERR_WRONG_STATE);

    assert_int_equal(request((struct priv_request){.op = PRIV_ROOT_OPEN}, &root).error, 0);
    assert_int_equal(fstat(root, &st) | stat(pool, &expected), 0);
    assert_int_equal(st.st_ino, expected.st_ino);
    assert_int_equal(request((struct priv_request){.op = PRIV_ROOT_OPEN, .index = 1}, NULL).error,
                     ERR_NOT_FOUND);

    assert_int_equal(request((struct priv_request){.op = PRIV_BOOT_OPEN}, &kernel).error, 0);
    assert_int_equal(fcntl(kernel, F_GETFL) & O_ACCMODE, O_RDONLY);
    assert_int_equal(!!(fcntl(kernel, F_GETFL) & O_PATH), world.uid == 0); /* root's is a mount */
    reply = request((struct priv_request){.op = PRIV_BOOT_OPEN, .arg = 1}, NULL);
    assert_int_equal(reply.error, ERR_NOT_FOUND); /* it has no initrd */
    reply = request((struct priv_request){.op = PRIV_BOOT_OPEN, .index = 1}, NULL);
    assert_int_equal(reply.error, ERR_INTERNAL); /* the file is missing */
    reply = request((struct priv_request){.op = PRIV_BOOT_OPEN, .index = 0xffffffff}, NULL);
    assert_int_equal(reply.error, ERR_NOT_FOUND);

    reply = request((struct priv_request){.op = PRIV_KVM_OPEN}, &kvm);
    assert_int_equal(reply.error == 0, kvm >= 0);
    reply = request((struct priv_request){.op = PRIV_UFFD_OPEN}, &uffd);
    assert_int_equal(reply.error == 0, uffd >= 0);
    if (uffd < 0) { /* as root only where the kernel has it */
        assert_true(world.uid != 0 || access("/dev/userfaultfd", F_OK) != 0);
        assert_int_equal(reply.error, ERR_UNSUPPORTED);
        assert_non_null(strstr(reply.detail, "vm.unprivileged_userfaultfd=1"));
    }

    reply = request((struct priv_request){.op = PRIV_WORKER_SPAWN}, NULL);
    assert_int_equal(reply.error, ERR_INVALID); /* no VM */
    reply =
        request((struct priv_request){.op = PRIV_WORKER_SPAWN, .vm = vm_id(1), .index = 33}, NULL);
    assert_int_equal(reply.error, ERR_INVALID);
    reply =
        request((struct priv_request){.op = PRIV_WORKER_SPAWN, .vm = vm_id(1), .flags = 4}, NULL);
    assert_int_equal(reply.error, ERR_INVALID);
    kill_worker(9); /* never started */
}

static void broken_request(const void *data, size_t len)
{
    pid_t front, main_pid, worker;
    CLEANUP(mem_freep) char *report = NULL;
    CLEANUP(mem_freep) char *log = NULL;

    start_as_root(NULL);
    report = spawn(1, 0, false);
    worker = worker_pid(report);
    front = child_named(world.vmmd, "vmmd-front", 0);
    main_pid = child_named(world.vmmd, "vmmd-main", 0);
    assert_false(ask(ASK_HELPER, data, len, NULL, NULL, NULL));
    assert_int_equal(wait_exit(world.vmmd), EXIT_INTERNAL);
    log = read_log();
    assert_non_null(strstr(log, "malformed request"));
    wait_gone(front);
    wait_gone(main_pid);
    assert_int_equal(kill(worker, 0), 0); /* the VM goes on */
    world.vmmd = start_vmmd(NULL);        /* and its successor can end it */
    kill_worker(1);
    wait_gone(worker);
    assert_int_equal(stop(NULL), 0);
}

static void a_malformed_request_ends_the_helper(void **state)
{
    struct priv_request good = {.version = PRIV_VERSION, .op = PRIV_FACTS};
    struct priv_request bad = good;

    if (geteuid() != 0)
        skip();
    broken_request(&good, sizeof good - 1);
    bad.version = PRIV_VERSION + 1;
    broken_request(&bad, sizeof bad);
    bad = good;
    bad.op = PRIV_OP_COUNT;
    broken_request(&bad, sizeof bad);
    bad = good;
    bad.arg = 1; /* not a field of FACTS */
    broken_request(&bad, sizeof bad);
}

static void a_killed_main_is_replaced_and_serves_who_came_meanwhile(void **state)
{
    CLEANUP(mem_freep) char *report = spawn(1, 3, false);
    wait_serving();
    pid_t old = child_named(world.vmmd, "vmmd-main", 0);
    CLEANUP(mem_freep) char *before = echo_over_tls("before");
    CLEANUP(mem_freep) char *after = NULL;

    assert_string_equal(before, "before");
    /* A stopped main takes nothing out of the link: the connection lies there when it dies. */
    kill(old, SIGSTOP);
    pid_t client = fork();
    if (client == 0) {
        after = echo_over_tls("after");
        _exit(!str_eq(after, "after"));
    }
    poll(NULL, 0, 200);
    kill(old, SIGKILL);
    assert_int_equal(wait_exit(client), 0);
    assert_int_not_equal(child_named(world.vmmd, "vmmd-main", old), old);
    assert_int_equal(kill(worker_pid(report), 0), 0);
    kill_worker(1); /* by the new main */
}

static void a_killed_front_is_replaced(void **state)
{
    pid_t front = child_named(world.vmmd, "vmmd-front", 0);
    CLEANUP(mem_freep) char *before = echo_over_tls("one");
    CLEANUP(mem_freep) char *after = NULL;

    kill(front, SIGKILL);
    assert_int_not_equal(child_named(world.vmmd, "vmmd-front", front), front);
    after = echo_over_tls("two");
    assert_string_equal(after, "two");
}

static void a_main_that_keeps_dying_ends_vmmd(void **state)
{
    CLEANUP(mem_freep) char *log = NULL;
    int times = 0;

    assert_int_equal(wait_exit(start_vmmd("main.exit=1")), EXIT_INTERNAL);
    log = read_log();
    for (const char *p = log; (p = strstr(p, "vmmd-main ended by exit code 1")); p++)
        times++;
    assert_int_equal(times, 5);
    assert_non_null(strstr(log, "was started 5 times in 10 s: giving up"));
}

static void a_main_that_cannot_run_says_why_with_its_exit_code(void **state)
{
    assert_int_equal(wait_exit(start_vmmd("main.exit=73")), EXIT_TAKEN);
    assert_int_equal(wait_exit(start_vmmd("main.exit=78")), EXIT_CONFIG);
}

static void sigterm_ends_main_first_and_no_worker(void **state)
{
    CLEANUP(mem_freep) char *report = spawn(1, 3, false);
    pid_t front = child_named(world.vmmd, "vmmd-front", 0);
    pid_t main_pid = child_named(world.vmmd, "vmmd-main", 0);
    CLEANUP(mem_freep) char *sock = below("run/api.sock");
    CLEANUP(mem_freep) char *fds = NULL;
    uint8_t zero = 0;

    assert_true(ask(ASK_STUBBORN, NULL, 0, NULL, NULL, NULL));
    kill(world.vmmd, SIGTERM);
    /* While main takes its time, its requests are served and the front lives. */
    assert_true(ask(ASK_FDS, NULL, 0, &fds, NULL, NULL));
    assert_int_equal(request((struct priv_request){.op = PRIV_FACTS}, NULL).error, 0);
    assert_int_equal(kill(front, 0), 0);
    assert_false(ask(ASK_EXIT, &zero, 1, NULL, NULL, NULL));
    assert_int_equal(wait_exit(world.vmmd), 0);
    wait_gone(main_pid);
    wait_gone(front);
    assert_int_equal(access(sock, F_OK), -1);
    assert_int_equal(kill(worker_pid(report), 0), 0);
    world.vmmd = start_vmmd(NULL);
    kill_worker(1);
}

static void sighup_changes_nothing(void **state)
{
    wait_serving();
    int64_t deadline = clock_mono_ms() + PATIENCE;
    bool said = false;

    kill(world.vmmd, SIGHUP);
    while (!said && clock_left_ms(deadline) > 0) {
        CLEANUP(mem_freep) char *log = read_log();
        said = strstr(log, "read at start only") != NULL;
        poll(NULL, 0, 5);
    }
    assert_true(said);
    assert_int_equal(kill(world.vmmd, 0), 0);
}

static void a_second_vmmd_leaves_the_first_alone(void **state)
{
    wait_serving();

    assert_int_equal(wait_exit(start_vmmd(NULL)), EXIT_TAKEN);
    assert_int_equal(request((struct priv_request){.op = PRIV_FACTS}, NULL).error, 0);
}

static bool has_open(pid_t pid, const char *path)
{
    CLEANUP(mem_freep) char *fds = str_format("/proc/%d/fd", pid);
    DIR *dir = opendir(fds);
    char target[512];
    bool found = false;
    ssize_t n;

    for (struct dirent *e; dir && !found && (e = readdir(dir));) {
        n = readlinkat(dirfd(dir), e->d_name, target, sizeof target - 1);
        target[n > 0 ? n : 0] = 0;
        found = str_eq(target, path);
    }
    if (dir)
        closedir(dir);
    return found;
}

/* As children of a vmmd that was killed do while they become a worker and its jail. */
static void a_lock_that_outlives_its_vmmd_is_waited_for(void **state)
{
    CLEANUP(mem_freep) char *path = below("run/lock");
    CLEANUP(closep) int lock = open(path, O_RDWR | O_CLOEXEC);
    const int64_t deadline = clock_mono_ms() + PATIENCE;
    struct err err = {0};

    wait_serving();
    kill(world.vmmd, SIGKILL);
    assert_int_equal(waitpid(world.vmmd, NULL, 0), world.vmmd);
    while (!fs_lock(lock, &err) && clock_left_ms(deadline) > 0)
        poll(NULL, 0, 5);
    world.vmmd = start_vmmd(NULL);
    while (!has_open(world.vmmd, path) && clock_left_ms(deadline) > 0)
        poll(NULL, 0, 5);
    assert_int_equal(waitpid(world.vmmd, NULL, WNOHANG), 0);
    closep(&lock);
    wait_serving();
}

static void assert_refuses_to_start(const char *words)
{
    CLEANUP(mem_freep) char *log = NULL;

    assert_int_equal(wait_exit(start_vmmd(NULL)), EXIT_CONFIG);
    log = read_log();
    if (!strstr(log, words))
        fail_msg("no \"%s\" in %s", words, log);
}

static void what_is_wrong_at_start_is_said_in_one_sentence(void **state)
{
    CLEANUP(mem_freep) char *bad_key = str_format("chmod 644 %s/key.pem", world.dir);
    CLEANUP(mem_freep) char *good_key = str_format("chmod 600 %s/key.pem", world.dir);
    CLEANUP(mem_freep) char *no_worker = str_format("rm %s/bin/vmmd-worker", world.dir);
    CLEANUP(mem_freep)
    char *foreign = str_format("chown 12345 %s/state; chmod 700 %s/state", world.dir, world.dir);
    CLEANUP(mem_freep) char *pool = str_format("chown 12345 %s/pools/main", world.dir);
    CLEANUP(mem_freep)
    char *own = str_format("chown -R 1000000 %s/state %s/pools/main", world.dir, world.dir);

    shell(bad_key);
    assert_refuses_to_start("is open to all users: chmod o= ");
    shell(good_key);
    if (geteuid() == 0) {
        shell(foreign);
        assert_refuses_to_start("belongs to user 12345, but must belong to user 1000000");
        shell(own);
        shell(pool);
        assert_refuses_to_start("pool root main: user 1000000 cannot write to");
        shell(own);
    }
    write_config("nonsense = 1");
    assert_refuses_to_start("unknown key nonsense");
    write_config("");
    shell(no_worker);
    assert_refuses_to_start("vmmd-worker: No such file");
}

/* What passes by itself has an exit code for which systemd tries again. */
static void an_address_that_is_not_there_is_tried_again_later(void **state)
{
    CLEANUP(mem_freep)
    char *away =
        str_format("sed -i 's/^listen = 127.0.0.1/listen = 192.0.2.1/' %s/vmmd.conf", world.dir);
    CLEANUP(mem_freep) char *log = NULL;

    shell(away);
    assert_int_equal(wait_exit(start_vmmd(NULL)), EXIT_LATER);
    log = read_log();
    assert_non_null(strstr(log, "listen on 192.0.2.1:"));
    assert_non_null(strstr(log, "Cannot assign requested address"));
}

static int run_vmmd(const char *arguments)
{
    CLEANUP(mem_freep)
    char *command = str_format("%s/vmmd %s >/dev/null 2>&1", getenv("VMMD_BIN"), arguments);
    int status = system(command);

    return WEXITSTATUS(status);
}

static void the_command_line_is_checked(void **state)
{
    CLEANUP(mem_freep) char *check = str_format("--config %s/vmmd.conf --check-config", world.dir);
    CLEANUP(mem_freep) char *run = below("run");

    assert_int_equal(run_vmmd("--version"), 0);
    assert_int_equal(run_vmmd("--help"), 0);
    assert_int_equal(run_vmmd("--nonsense"), EXIT_USAGE);
    assert_int_equal(run_vmmd("word"), EXIT_USAGE);
    assert_int_equal(run_vmmd("--config /nonexistent"), EXIT_CONFIG);
    assert_int_equal(run_vmmd(check), 0);
    assert_int_equal(access(run, F_OK), -1); /* checking makes nothing */
}

/* A socket as systemd's, and vmmd started with it. */
static int start_notified(void)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    CLEANUP(closep) int sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    snprintf(at.sun_path, sizeof at.sun_path, "%s/notify", world.dir);
    assert_int_equal(bind(sock, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(chmod(at.sun_path, 0777), 0);
    setenv("NOTIFY_SOCKET", at.sun_path, 1);
    world.vmmd = start_vmmd(NULL);
    unsetenv("NOTIFY_SOCKET");
    return TAKE_FD(sock);
}

static void assert_notified(int sock, const char *text)
{
    struct pollfd p = {.fd = sock, .events = POLLIN};
    char got[256] = "";

    assert_int_equal(poll(&p, 1, PATIENCE), 1);
    assert_true(recv(sock, got, sizeof got - 1, 0) > 0);
    if (!str_starts(got, text))
        fail_msg("systemd was told %s, not %s", got, text);
}

static void systemd_is_told_when_main_serves_and_when_it_does_not(void **state)
{
    CLEANUP(closep) int sock = start_notified();

    assert_notified(sock, "READY=1\nSTATUS=Serving on 127.0.0.1:");
    assert_int_equal(kill(child_named(world.vmmd, "vmmd-main", 0), SIGKILL), 0);
    assert_notified(sock, "STATUS=vmmd-main ended by signal 9");
    assert_notified(sock, "READY=1");
    assert_int_equal(kill(world.vmmd, SIGTERM), 0);
    assert_notified(sock, "STOPPING=1\nSTATUS=Stopping");
}

static void systemds_watchdog_hears_from_the_parent(void **state)
{
    CLEANUP(closep) int sock = -1;
    char got[256] = "";

    setenv("WATCHDOG_USEC", "60000", 1);
    sock = start_notified();
    unsetenv("WATCHDOG_USEC");
    assert_notified(sock, "WATCHDOG=1"); /* as soon as it runs */
    while (!str_starts(got, "READY=1")) {
        memset(got, 0, sizeof got);
        assert_true(recv(sock, got, sizeof got - 1, 0) > 0);
    }
    assert_notified(sock, "WATCHDOG=1"); /* and while nothing happens */
    assert_notified(sock, "WATCHDOG=1");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest as_root[] = {
        AS_ROOT(main_and_front_get_exactly_their_descriptors),
        AS_ROOT(nobody_has_more_rights_than_documented),
        AS_ROOT(the_front_loses_its_capability_when_it_is_confined),
        AS_ROOT(directories_belong_to_whom_they_should),
        AS_ROOT(every_operation_is_answered_or_refused),
        AS_ROOT(a_killed_main_is_replaced_and_serves_who_came_meanwhile),
        AS_ROOT(a_killed_front_is_replaced),
        AS_ROOT(sigterm_ends_main_first_and_no_worker),
        AS_ROOT(a_second_vmmd_leaves_the_first_alone),
        AS_ROOT(a_lock_that_outlives_its_vmmd_is_waited_for),
        cmocka_unit_test(a_malformed_request_ends_the_helper),
        MADE(with_a_service_main_gets_a_link_and_vmmd_pam_runs),
    };
    const struct CMUnitTest rootless[] = {
        AS_USER(main_and_front_get_exactly_their_descriptors),
        AS_USER(nobody_has_more_rights_than_documented),
        AS_USER(directories_belong_to_whom_they_should),
        AS_USER(every_operation_is_answered_or_refused),
        AS_USER(a_killed_main_is_replaced_and_serves_who_came_meanwhile),
        AS_USER(sighup_changes_nothing),
        MADE(a_main_that_keeps_dying_ends_vmmd),
        MADE(a_main_that_cannot_run_says_why_with_its_exit_code),
        MADE(what_is_wrong_at_start_is_said_in_one_sentence),
        MADE(an_address_that_is_not_there_is_tried_again_later),
        MADE(the_command_line_is_checked),
        MADE(systemd_is_told_when_main_serves_and_when_it_does_not),
        MADE(systemds_watchdog_hears_from_the_parent),
    };
    int failed = 0;

    standin_play(argc, argv);
    parent_init();
    if (geteuid() == 0)
        failed += cmocka_run_group_tests(as_root, NULL, NULL);
    return failed + cmocka_run_group_tests(rootless, NULL, NULL);
}
