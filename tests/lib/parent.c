/* A world around the real parent: see parent.h. */
#include "tests/lib/parent.h"

#include "core/base/clock.h"
#include "core/base/frame.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/sock.h"
#include "core/base/str.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

struct parent_world world;

static unsigned free_port(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    close(fd);
    return ntohs(at.sin_port);
}

char *below(const char *name)
{
    return str_format("%s/%s", world.dir, name);
}

void shell(const char *command)
{
    if (system(command) != 0)
        fail_msg("failed: %s", command);
}

void write_config(const char *extra)
{
    CLEANUP(mem_freep) char *path = below("vmmd.conf");
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fprintf(f, "[vmmd]\nlisten = 127.0.0.1:%u\nstate_dir = %s/state\nrun_dir = %s/run\n",
            world.port, world.dir, world.dir);
    fprintf(f, "tls_cert = %s/cert.pem\ntls_key = %s/key.pem\nlibexec_dir = %s/bin\n", world.dir,
            world.dir, world.dir);
    fprintf(f,
            "uid_count = 116\nuser = 1000000:1000000\n%s\n[pool-root main]\npath = %s/pools/main\n",
            extra, world.dir);
    fprintf(f, "[boot tiny]\nkernel = %s/cert.pem\n[boot gone]\nkernel = /nonexistent\n",
            world.dir);
    fclose(f);
    assert_int_equal(chmod(path, 0644), 0);
}

/* Programs, certificate and configuration; everything belongs to who starts vmmd. */
static void make_world(uid_t uid)
{
    CLEANUP(mem_freep) char *files = NULL;
    CLEANUP(mem_freep) char *self = realpath("/proc/self/exe", NULL);

    world.dir = tmp_dir_make();
    world.uid = uid;
    world.log = below("log");
    world.port = free_port();
    files = str_format(
        "cd %s && mkdir bin && for p in main worker jail split pack inspect kvmtest; do ln -s %s "
        "bin/vmmd-$p; done; "
        "for p in front net pam preload.so; do ln -s %s/vmmd-$p bin/; done; "
        " openssl req -x509 -newkey ec -pkeyopt "
        "ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -days 2 -keyout key.pem "
        "-out cert.pem 2>log && chmod 755 . && : > log && chmod 666 log",
        world.dir, self, getenv("VMMD_BIN"));
    shell(files);
    write_config("");
    if (geteuid() == 0 && uid != 0) {
        CLEANUP(mem_freep) char *give = str_format("chown -R %u:%u %s", uid, uid, world.dir);
        shell(give);
    }
}

pid_t start_vmmd(const char *failpoint)
{
    CLEANUP(mem_freep) char *program = str_format("%s/vmmd", getenv("VMMD_BIN"));
    CLEANUP(mem_freep) char *config = below("vmmd.conf");
    pid_t pid = fork();

    if (pid > 0)
        return pid;
    if (geteuid() == 0 && world.uid != 0 &&
        (setgroups(0, NULL) < 0 || setresgid(world.uid, world.uid, world.uid) < 0 ||
         setresuid(world.uid, world.uid, world.uid) < 0))
        _exit(98);
    if (failpoint)
        setenv("VMMD_FAILPOINT", failpoint, 1);
    dup2(open(world.log, O_WRONLY | O_APPEND), 2);
    execl(program, "vmmd", "--config", config, NULL);
    _exit(99);
}

char *read_log(void)
{
    CLEANUP(closep) int fd = open(world.log, O_RDONLY);
    struct err err = {0};
    char *text;

    assert_true(fs_read_all(fd, 1 << 20, &text, NULL, &err));
    return text;
}

static int try_api(void)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(at.sun_path, sizeof at.sun_path, "%s/run/api.sock", world.dir);
    if (connect(fd, (struct sockaddr *)&at, sizeof at) == 0)
        return fd;
    close(fd);
    return -1;
}

static int connect_api(void)
{
    int64_t deadline = clock_mono_ms() + PATIENCE;
    int fd;

    while ((fd = try_api()) < 0) {
        if (clock_left_ms(deadline) == 0) {
            CLEANUP(mem_freep) char *log = read_log();
            fail_msg("vmmd does not listen: %s", log);
        }
        poll(NULL, 0, 5);
    }
    return fd;
}

/* Asks main. False when main died over it. The payload (NUL-terminated) is the caller's. */
bool ask(enum ask what, const void *data, size_t len, char **reply, size_t *reply_len, int *fd)
{
    CLEANUP(closep) int sock = connect_api();
    struct frame_header head = {.type = (uint16_t)what, .length = (uint32_t)len};
    struct frame_reader in = {.sock = sock};
    struct err err = {0};
    struct frame f;
    bool ok;

    assert_true(sock_set_timeout_ms(sock, PATIENCE, &err));
    ok = frame_send(sock, &head, data, NULL, &err) && frame_read(&in, &f, &err);
    if (ok && reply)
        *reply = memcpy(mem_alloc(f.head.length + 1), f.payload, f.head.length);
    if (ok && reply_len)
        *reply_len = f.head.length;
    if (ok && fd && f.head.n_fds == 1)
        *fd = TAKE_FD(f.fds[0]);
    if (ok)
        frame_close_fds(&f);
    frame_reader_clear(&in);
    return ok;
}

/* One request to the helper. */
struct priv_reply request(struct priv_request req, int *fd)
{
    CLEANUP(mem_freep) char *text = NULL;
    struct priv_reply reply;
    size_t len = 0;

    req.version = PRIV_VERSION;
    req.serial = 77;
    if (!ask(ASK_HELPER, &req, sizeof req, &text, &len, fd)) {
        CLEANUP(mem_freep) char *log = read_log();
        fail_msg("main or the helper died over a request: %s", log);
    }
    assert_int_equal(len, sizeof reply);
    memcpy(&reply, text, sizeof reply);
    assert_int_equal(reply.version, PRIV_VERSION);
    assert_int_equal(reply.op, req.op);
    assert_int_equal(reply.serial, 77);
    if (reply.error)
        assert_true(reply.detail[0] != 0);
    return reply;
}

int wait_exit(pid_t pid)
{
    int64_t deadline = clock_mono_ms() + PATIENCE;
    int status;

    while (waitpid(pid, &status, WNOHANG) == 0) {
        if (clock_left_ms(deadline) == 0) {
            CLEANUP(mem_freep) char *log = read_log();
            kill(pid, SIGKILL);
            waitpid(pid, &status, 0);
            fail_msg("process %d does not end: %s", pid, log);
        }
        poll(NULL, 0, 5);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

void wait_gone(pid_t pid)
{
    int64_t deadline = clock_mono_ms() + PATIENCE;

    while (waitpid(pid, NULL, WNOHANG) != pid && (kill(pid, 0) == 0 || errno == EPERM)) {
        if (clock_left_ms(deadline) == 0)
            fail_msg("process %d does not end", pid);
        poll(NULL, 0, 5);
    }
}

static bool is_named(pid_t pid, const char *name)
{
    CLEANUP(mem_freep) char *path = str_format("/proc/%d/cmdline", pid);
    CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    char text[64] = "";

    return fd >= 0 && read(fd, text, sizeof text - 1) > 0 && str_eq(text, name);
}

pid_t child_named(pid_t parent, const char *name, pid_t old)
{
    CLEANUP(mem_freep) char *path = str_format("/proc/%d/task/%d/children", parent, parent);
    int64_t deadline = clock_mono_ms() + PATIENCE;
    pid_t found = 0;

    while (!found && clock_left_ms(deadline) > 0) {
        FILE *f = fopen(path, "r");
        int pid;
        while (f && !found && fscanf(f, "%d", &pid) == 1)
            if (pid != old && is_named(pid, name))
                found = pid;
        if (f)
            fclose(f);
        poll(NULL, 0, 5);
    }
    if (!found)
        fail_msg("there is no process %s", name);
    return found;
}

char *status_of(pid_t pid)
{
    CLEANUP(mem_freep) char *path = str_format("/proc/%d/status", pid);
    CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct err err = {0};
    char *text = NULL;

    assert_true(fd >= 0);
    assert_true(fs_read_all(fd, 65536, &text, NULL, &err));
    return text;
}

void assert_status(pid_t pid, const char *line)
{
    CLEANUP(mem_freep) char *text = status_of(pid);

    if (!strstr(text, line))
        fail_msg("process %d: no \"%s\" in %s", pid, line, text);
}

void assert_no_rights(pid_t pid)
{
    assert_status(pid, "\nCapInh:\t0000000000000000\nCapPrm:\t0000000000000000\n"
                       "CapEff:\t0000000000000000\n");
    assert_status(pid, "\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\n");
    if (world.uid == 0)
        assert_status(pid, "\nCapBnd:\t0000000000000000\n");
}

void assert_uid(pid_t pid, uid_t root_install)
{
    uid_t uid = world.uid == 0 ? root_install : world.uid;
    CLEANUP(mem_freep) char *line = str_format("\nUid:\t%u\t%u\t%u\t%u\n", uid, uid, uid, uid);
    CLEANUP(mem_freep) char *gids = str_format("\nGid:\t%u\t%u\t%u\t%u\n", uid, uid, uid, uid);

    assert_status(pid, line);
    assert_status(pid, gids);
    assert_status(pid, "\nGroups:\t \n");
}

struct uuid vm_id(uint8_t n)
{
    return (struct uuid){{n, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}};
}

bool have_cgroups(void)
{
    return request((struct priv_request){.op = PRIV_FACTS}, NULL).facts & PRIV_FACT_CGROUP_V2;
}

/* Starts the worker of a VM; its report (owned by the caller) comes over the socket. */
char *spawn(uint8_t vm, uint32_t slot, uint32_t flags)
{
    CLEANUP(closep) int sock = -1;
    struct priv_reply reply = request(
        (struct priv_request){
            .op = PRIV_WORKER_SPAWN, .vm = vm_id(vm), .index = slot, .flags = flags},
        &sock);
    char *report = mem_alloc(4096);
    struct pollfd p = {.fd = sock, .events = POLLIN};

    if (reply.error)
        fail_msg("spawn: %s", reply.detail);
    assert_true(sock >= 0);
    assert_int_equal(poll(&p, 1, PATIENCE), 1);
    assert_true(read(sock, report, 4095) > 0);
    return report;
}

void kill_worker(uint8_t vm)
{
    struct priv_reply reply =
        request((struct priv_request){.op = PRIV_WORKER_KILL, .vm = vm_id(vm)}, NULL);

    if (reply.error)
        fail_msg("kill: %s", reply.detail);
}

pid_t worker_pid(const char *report)
{
    return (pid_t)atoi(strstr(report, "worker ") + 7);
}

int start_as_root(void **state)
{
    make_world(0);
    world.vmmd = start_vmmd(NULL);
    return 0;
}

int start_as_user(void **state)
{
    make_world(geteuid() ? geteuid() : NOBODY);
    world.vmmd = start_vmmd(NULL);
    return 0;
}

int make_only(void **state)
{
    make_world(geteuid());
    world.vmmd = 0;
    return 0;
}

/* Ends whatever a story left: all that lost its parent is our child. */
static void end_leftovers(void)
{
    for (int pid = 0;;) {
        FILE *f = fopen("/proc/thread-self/children", "r");
        bool found = f && fscanf(f, "%d", &pid) == 1;
        if (f)
            fclose(f);
        if (!found)
            return;
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
}

void parent_init(void)
{
    if (getenv("VMMD_ONLY")) /* as in rig.c */
        cmocka_set_test_filter(getenv("VMMD_ONLY"));
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    signal(SIGPIPE, SIG_IGN);
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

int stop(void **state)
{
    int code = 0;

    if (world.vmmd > 0) {
        kill(world.vmmd, SIGTERM);
        code = wait_exit(world.vmmd);
    }
    if (code) {
        CLEANUP(mem_freep) char *log = read_log();
        print_error("exit code %d: %s\n", code, log);
    }
    end_leftovers();
    tmp_dir_remove(world.dir);
    free(world.log);
    return code;
}

void wait_serving(void)
{
    assert_true(ask(ASK_FDS, NULL, 0, NULL, NULL, NULL));
}

char *echo_over_tls(const char *text)
{
    CURL *curl = curl_easy_init();
    CLEANUP(mem_freep) char *url = str_format("https://127.0.0.1:%u/", world.port);
    char *got = mem_alloc(256);
    struct pollfd p = {.events = POLLIN};
    curl_socket_t sock;
    CURLcode code;
    size_t n = 0;

    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_CONNECT_ONLY, 1L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
    code = curl_easy_perform(curl);
    if (code != CURLE_OK)
        fail_msg("connect: %s", curl_easy_strerror(code));
    curl_easy_getinfo(curl, CURLINFO_ACTIVESOCKET, &sock);
    assert_int_equal(curl_easy_send(curl, text, strlen(text), &n), CURLE_OK);
    p.fd = sock;
    while ((code = curl_easy_recv(curl, got, 255, &n)) == CURLE_AGAIN)
        assert_int_equal(poll(&p, 1, PATIENCE), 1);
    assert_int_equal(code, CURLE_OK);
    curl_easy_cleanup(curl);
    return got;
}
