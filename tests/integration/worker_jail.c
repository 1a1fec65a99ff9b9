/* What the jail shuts in, looked at from outside (/proc) and from inside (a shell in QEMU's place),
 * as root's and as an ordinary user's; and passt beside it. Needs root, qemu-system-x86_64 and
 * passt. */
#include "tests/lib/harness.h"

#include "backends/qemu/preload.h"
#include "core/base/clock.h"
#include "core/base/frame.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "tests/lib/worker_client.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---------------------------------------------------------------- looking into /proc */

/* The value of "Key:\tvalue" in /proc/PID/status. */
static void status_value(pid_t pid, const char *key, char *out, size_t size)
{
    char path[64], line[512];
    size_t n = strlen(key);
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    file = fopen(path, "re");
    assert_non_null(file);
    *out = 0;
    while (fgets(line, sizeof line, file)) {
        if (strncmp(line, key, n) != 0 || line[n] != ':')
            continue;
        line[strcspn(line, "\n")] = 0;
        str_copy(out, size, line + n + 1 + strspn(line + n + 1, "\t "));
    }
    fclose(file);
}

static void expect_status(pid_t pid, const char *key, const char *expected)
{
    char value[256];

    status_value(pid, key, value, sizeof value);
    if (strcmp(value, expected) != 0)
        fail_msg("%s of %d is '%s', not '%s'", key, (int)pid, value, expected);
}

static void link_text(pid_t pid, const char *name, char *out, size_t size)
{
    char path[96];
    ssize_t n;

    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    n = readlink(path, out, size - 1);
    if (n < 0)
        fail_msg("cannot read %s", path);
    out[n] = 0;
}

/* The names in a directory of /proc/PID, joined by blanks; owned by the caller. */
static char *names_in(pid_t pid, const char *dir)
{
    struct dirent **list;
    struct strbuf all = {0};
    char path[96];
    int n;

    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, dir);
    n = scandir(path, &list, NULL, alphasort);
    if (n < 0)
        fail_msg("cannot list %s", path);
    for (int i = 0; i < n; i++) {
        if (list[i]->d_name[0] != '.')
            strbuf_addf(&all, "%s%s", all.len ? " " : "", list[i]->d_name);
        free(list[i]);
    }
    free(list);
    return strbuf_take(&all);
}

static void expect_names(pid_t pid, const char *dir, const char *expected)
{
    char *names = names_in(pid, dir);

    if (strcmp(names, expected) != 0)
        fail_msg("%s holds '%s', not '%s'", dir, names, expected);
    free(names);
}

/* How many descriptors of the process point to something whose name begins with 'prefix'. */
static unsigned count_fds(pid_t pid, const char *prefix)
{
    char *names = names_in(pid, "fd"), *rest = names, *name;
    unsigned n = 0;

    while ((name = strsep(&rest, " "))) {
        char what[32], target[256];
        snprintf(what, sizeof what, "fd/%s", name);
        link_text(pid, what, target, sizeof target);
        n += str_starts(target, prefix);
    }
    free(names);
    return n;
}

static unsigned count_all_fds(pid_t pid)
{
    return count_fds(pid, "");
}

static void expect_gone(int pidfd)
{
    struct pollfd p = {.fd = pidfd, .events = POLLIN};

    if (poll(&p, 1, WORKER_TEST_MS) != 1)
        fail_msg("a process still lives");
    close(pidfd);
}

/* ---------------------------------------------------------------- QEMU, sealed */

static void expect_no_rights(pid_t pid, int uid)
{
    static const char *const sets[] = {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"};
    char ids[64];

    for (unsigned i = 0; i < ARRAY_LEN(sets); i++)
        expect_status(pid, sets[i], "0000000000000000");
    expect_status(pid, "NoNewPrivs", "1");
    expect_status(pid, "Seccomp", "2");
    snprintf(ids, sizeof ids, "%d\t%d\t%d\t%d", uid, uid, uid, uid);
    expect_status(pid, "Uid", ids);
    expect_status(pid, "Gid", ids);
}

static void expect_own_namespaces(pid_t pid)
{
    static const char *const kinds[] = {"user", "mnt", "pid", "net", "ipc", "uts", "cgroup"};

    for (unsigned i = 0; i < ARRAY_LEN(kinds); i++) {
        char name[32], ours[64], theirs[64];
        snprintf(name, sizeof name, "ns/%s", kinds[i]);
        link_text(getpid(), name, ours, sizeof ours);
        link_text(pid, name, theirs, sizeof theirs);
        if (strcmp(ours, theirs) == 0)
            fail_msg("QEMU lives in our own %s namespace", kinds[i]);
    }
}

/* Only what was passed, and what QEMU makes itself. */
static void expect_own_fds(pid_t pid)
{
    unsigned known = count_fds(pid, "pipe:") + count_fds(pid, "socket:") +
                     count_fds(pid, "/memfd:disk") + count_fds(pid, "anon_inode:") +
                     count_fds(pid, "/dev/null");

    assert_int_equal(count_fds(pid, "pipe:"), 2);   /* its standard output and error */
    assert_int_equal(count_fds(pid, "socket:"), 2); /* monitor and serial port */
    assert_int_equal(count_fds(pid, "anon_inode:[pidfd]"), 0);
    assert_int_equal(count_all_fds(pid), known);
}

static void expect_sealed(const struct guest *g, int uid)
{
    expect_no_rights(g->qemu, uid);
    expect_own_namespaces(g->qemu);
    expect_names(g->qemu, "root", "dev");
    expect_names(g->qemu, "root/dev", "null");
    expect_names(g->qemu, "net/dev_snmp6", "lo");
    expect_own_fds(g->qemu);
}

static void a_sealed_qemu_has_nothing(void **state)
{
    struct guest g;

    guest_boot(&g, false);
    expect_sealed(&g, SPAWN_JAIL_UID + 1);
    expect_status(g.qemu, "Groups", "");
    guest_type(&g, "and it works");
    guest_await_serial(&g, "and it wo");
    guest_clear(&g);
}

static void an_ordinary_users_qemu_has_nothing_either(void **state)
{
    struct guest g;

    guest_boot(&g, true);
    expect_sealed(&g, SPAWN_ROOTLESS_UID);
    client_tell(&g.c, WORKER_KILL, "{}");
    guest_expect_clean_end(&g);
    guest_expect_record(&g, "killed", -1); /* it quit, or was too slow for that */
    guest_clear(&g);
}

/* Whether QEMU could write down its memory while the guest runs; the caller's. */
static json_t *look_at_memory(struct guest *g)
{
    json_t *answer = client_ask(&g->c, WORKER_MEMORY_LOOK, "{}");

    assert_true(json_get_bool(answer, "can", false));
    return answer;
}

static void a_lent_userfaultfd_is_all_that_a_background_snapshot_needs(void **state)
{
    int uffd = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);

    if (uffd < 0)
        skip(); /* this kernel has none */
    for (int rootless = 0; rootless < 2; rootless++) {
        struct guest g;
        json_t *answer;
        guest_init(&g, rootless);
        g.uffd = uffd;
        guest_launch(&g, NULL);
        expect_no_rights(g.qemu, rootless ? SPAWN_ROOTLESS_UID : SPAWN_JAIL_UID + 1);
        expect_names(g.qemu, "root", "dev");
        assert_int_equal(count_fds(g.qemu, "/dev/userfaultfd"), 1);
        assert_int_equal(count_fds(g.s.worker, "/dev/userfaultfd"), 0);
        assert_int_equal(count_fds(g.s.jail, "/dev/userfaultfd"), 0);
        answer = look_at_memory(&g);
        if (!json_get_bool(answer, "background", false))
            fail_msg("%s", json_get_text(answer, "reason"));
        json_decref(answer);
        guest_clear(&g);
    }
    close(uffd);
}

static bool anybody_may(void)
{
    int fd = open("/proc/sys/vm/unprivileged_userfaultfd", O_RDONLY | O_CLOEXEC);
    char digit = '0';
    bool may = fd >= 0 && read(fd, &digit, 1) == 1 && digit == '1';

    if (fd >= 0)
        close(fd);
    return may;
}

static void without_it_the_reason_names_what_is_missing(void **state)
{
    if (anybody_may())
        skip(); /* anybody may here */
    for (int rootless = 0; rootless < 2; rootless++) {
        struct guest g;
        json_t *answer;
        guest_init(&g, rootless);
        guest_launch(&g, NULL);
        answer = look_at_memory(&g);
        assert_false(json_get_bool(answer, "background", true));
        assert_non_null(strstr(json_get_text(answer, "reason"), "vm.unprivileged_userfaultfd"));
        json_decref(answer);
        guest_clear(&g);
    }
}

static void init_keeps_nothing_but_the_kill(void **state)
{
    struct guest g;

    guest_boot(&g, false);
    expect_status(g.s.jail, "CapPrm", "0000000000000020"); /* CAP_KILL in its own namespace */
    expect_status(g.s.jail, "CapBnd", "0000000000000000");
    expect_status(g.s.jail, "NoNewPrivs", "1");
    assert_int_equal(count_fds(g.s.jail, "/memfd:"), 0);
    assert_int_equal(count_fds(g.s.jail, "socket:"), 1);
    assert_int_equal(count_fds(g.s.jail, g.s.run), 1); /* alive */
    guest_clear(&g);
}

/* An image's lock belongs to the open file: a copy of ours would outlive QEMU. */
static void the_worker_keeps_no_image(void **state)
{
    struct guest g;

    guest_boot(&g, false);
    assert_int_equal(count_fds(g.s.worker, "/memfd:disk"), 0);
    assert_int_equal(count_fds(g.s.worker, "/memfd:kernel"), 0);
    assert_int_equal(count_fds(g.s.worker, "/memfd:serial"), 1);
    guest_clear(&g);
}

/* ---------------------------------------------------------------- the jail from inside */

/* A file open for reading alone, as an image is; the caller's. */
static int image_to_read(const char *text)
{
    int fd = memfd_create("image", MFD_CLOEXEC), again;
    char path[64];

    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    again = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(again >= 0);
    close(fd);
    return again;
}

/* Runs a shell script in QEMU's place; what it prints is in the launch error. Owned by the caller.
 */
static char *run_inside(const char *script, bool rootless, bool with_image)
{
    CLEANUP(json_decrefp)
    json_t *launch =
        json_pack("{s:[s,s,s],s:[{s:i,s:s},{s:s,s:s,s:i}]}", "argv", "/usr/bin/sh", "-c", script,
                  "fds", "fd", 3, "role", "qmp", "input", "kernel", "role", "file", "index", 0);
    char *text, *words;
    struct guest g;
    bool failed;
    FILE *input = tmpfile();
    json_t *body;
    int fds[2];

    if (with_image)
        json_array_append_new(
            json_object_get(launch, "fds"),
            json_pack("{s:i,s:s,s:i}", "fd", PRELOAD_FD_MEMORY, "role", "file", "index", 1));
    text = json_dumps(launch, 0);
    guest_init(&g, rootless);
    fputs("kernel text", input);
    fflush(input);
    fds[0] = fileno(input);
    fds[1] = image_to_read("memory text");
    body = client_answer(
        &g.c, client_send(&g.c, WORKER_LAUNCH, text, strlen(text), fds, with_image ? 2 : 1),
        &failed);
    close(fds[1]);
    assert_true(failed);
    words = strdup(json_get_text(body, "detail"));
    json_decref(body);
    free(text);
    fclose(input);
    guest_expect_clean_end(&g);
    guest_clear(&g);
    return words;
}

static void expect_words(const char *script, bool rootless, bool with_image, const char *expected)
{
    char *words = run_inside(script, rootless, with_image);

    if (!strstr(words, expected))
        fail_msg("the script '%s' says: %s", script, words);
    free(words);
}

static void expect_inside(const char *script, bool rootless, const char *expected)
{
    expect_words(script, rootless, false, expected);
}

static void the_jail_shows_what_was_given(void **state)
{
    for (int rootless = 0; rootless < 2; rootless++) {
        expect_inside("cat /in/kernel", rootless, "QEMU did not start: kernel text");
        expect_inside("env | sort | tr '\\n' ' '", rootless, "HOME=/ LC_ALL=C PATH=/usr/bin PWD=/");
        expect_inside("echo host=$(uname -n) pid=$$", rootless, "host=vm pid=2");
        expect_inside("ls -d /preload; exec cat <" PRELOAD_MEMORY_PATH, rootless,
                      "'/preload': No such file");
    }
}

/* What QEMU can ask for by name is there, and what it is found with can only be read. */
static void an_image_can_be_opened_by_a_name_that_is_nowhere(void **state)
{
    static const char *const forbidden[] = {"echo x >/preload/vmmd-preload.so",
                                            "touch /preload/x",
                                            "rm /preload/vmmd-preload.so",
                                            "cp /usr/bin/true /preload/true",
                                            "ls /preload",
                                            ("echo x >" PRELOAD_MEMORY_PATH),
                                            "umount /preload"};

    for (int rootless = 0; rootless < 2; rootless++) {
        expect_words("env | sort | tr '\n' ' '", rootless, true,
                     "HOME=/ LC_ALL=C LD_PRELOAD=/preload/vmmd-preload.so PATH=/usr/bin PWD=/");
        expect_words("exec cat <" PRELOAD_MEMORY_PATH, rootless, true, "memory text");
        expect_words("read -r text </in/kernel; echo \"$text\"", rootless, true, "kernel text");
        for (unsigned i = 0; i < ARRAY_LEN(forbidden); i++) {
            CLEANUP(mem_freep)
            char *script =
                str_format("{ %s; } </dev/null && echo POSSIBLE || echo denied", forbidden[i]);
            expect_words(script, rootless, true, "denied");
        }
    }
}

static void the_jail_lets_nothing_else_happen(void **state)
{
    static const char *const forbidden[] = {
        "ls / >/dev/null",
        "cat /etc/passwd",
        "cat /proc/self/status",
        "touch /x",
        "touch /in/x",
        "touch /usr/x",
        "touch /dev/x",
        "cp /usr/bin/true /in/true && /in/true",
        "kill -9 1 && test $(id -u) = 1", /* one uid for both: sent, but init cannot be hurt */
        "mount -t tmpfs x /in",
        "mount -t proc x /usr",
        "umount /usr",
        "unshare -U true",
        "setpriv --reuid 0 true && id -u | grep -v 0",
        "cat /dev/kvm",
        "mknod /in/null c 1 3",
        "ls /tmp",
    };

    for (unsigned i = 0; i < ARRAY_LEN(forbidden); i++) {
        char *script =
            str_format("{ %s; } </dev/null && echo POSSIBLE || echo denied", forbidden[i]);
        expect_inside(script, false, "denied");
        expect_inside(script, true, "denied");
        free(script);
    }
}

/* ---------------------------------------------------------------- files */

#define RESIZE "{\"execute\":\"block_resize\",\"arguments\":{\"node-name\":\"d0\",\"size\":%u}}"

/* QEMU's answer to a wish for a larger disk: its error, or "". The caller's. */
static char *resize(struct guest *g, unsigned bytes)
{
    CLEANUP(mem_freep) char *text = str_format(RESIZE, bytes);
    bool failed;
    CLEANUP(json_decrefp)
    json_t *body =
        client_answer(&g->c, client_send(&g->c, WORKER_QMP, text, strlen(text), NULL, 0), &failed);

    return str_dup(failed ? json_get_text(body, "detail") : "");
}

static void no_file_grows_further_than_was_said(void **state)
{
    CLEANUP(mem_freep) char *allowed = NULL;
    CLEANUP(mem_freep) char *beyond = NULL;
    struct guest g;

    guest_init(&g, false);
    g.file_max_bytes = 2 << 20;
    guest_launch(&g, NULL);
    allowed = resize(&g, 2 << 20);
    beyond = resize(&g, (2 << 20) + 512);
    if (*allowed || !strstr(beyond, "File too large"))
        fail_msg("%s, %s", allowed, beyond);
    json_decref(client_qmp(&g.c, "cont")); /* it lives, and works */
    guest_await_serial(&g, "BOOT\n");
    guest_clear(&g);
}

/* ---------------------------------------------------------------- passt */

/* The child whose name begins so; 0 when there is none. */
static pid_t look_for(pid_t parent, const char *begin)
{
    char path[64], name[64];
    FILE *file;
    int pid, found = 0;

    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)parent, (int)parent);
    file = fopen(path, "re");
    assert_non_null(file);
    while (!found && fscanf(file, "%d", &pid) == 1) {
        status_value(pid, "Name", name, sizeof name);
        found = str_starts(name, begin) ? pid : 0;
    }
    fclose(file);
    return found;
}

/* It has its name once it is executed, which may be after LAUNCH was answered. */
static pid_t find_passt(pid_t worker)
{
    const pid_t net = look_for(worker, "vmmd-net");
    int64_t deadline = clock_mono_ms() + 5000;
    pid_t passt;

    while (!(passt = look_for(net, "passt")) && clock_mono_ms() < deadline)
        (void)poll(NULL, 0, 5); /* asked again until it is there */
    return passt;
}

static void a_guest_outlives_its_passt(void **state)
{
    struct guest g;
    pid_t passt;

    guest_init(&g, false);
    guest_launch(&g, "1400");
    passt = find_passt(g.s.worker);
    assert_true(passt > 0);
    kill(passt, SIGKILL);
    client_await_event(&g.c, "WORKER_PASST_ENDED");
    json_decref(client_qmp(&g.c, "cont"));
    guest_await_serial(&g, "BOOT\n");
    guest_clear(&g);
}

static void passt_ends_with_the_vm(void **state)
{
    for (int how = 0; how < 2; how++) {
        struct guest g;
        int passt;

        guest_init(&g, how == 1);
        guest_launch(&g, "1400");
        passt = pidfd_open(find_passt(g.s.worker), 0);
        assert_true(passt >= 0);
        if (how == 0)
            kill(g.s.worker, SIGKILL);
        else
            client_tell(&g.c, WORKER_KILL, "{}");
        expect_gone(passt);
        guest_clear(&g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sealed_qemu_has_nothing),
        cmocka_unit_test(an_ordinary_users_qemu_has_nothing_either),
        cmocka_unit_test(a_lent_userfaultfd_is_all_that_a_background_snapshot_needs),
        cmocka_unit_test(without_it_the_reason_names_what_is_missing),
        cmocka_unit_test(init_keeps_nothing_but_the_kill),
        cmocka_unit_test(the_worker_keeps_no_image),
        cmocka_unit_test(the_jail_shows_what_was_given),
        cmocka_unit_test(an_image_can_be_opened_by_a_name_that_is_nowhere),
        cmocka_unit_test(the_jail_lets_nothing_else_happen),
        cmocka_unit_test(no_file_grows_further_than_was_said),
        cmocka_unit_test(a_guest_outlives_its_passt),
        cmocka_unit_test(passt_ends_with_the_vm),
    };

    return cmocka_run_group_tests_name("integration/worker_jail", tests, NULL, NULL);
}
