/* A real daemon for integration tests: see rig.h. */
#include "tests/lib/rig.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "tests/lib/proc.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define READY_MS 40000
#define PATIENCE 3 /* times what a quiet machine needs; only what fails takes all of it */
#define SHOWN    800

/* VMMD_ONLY=name has a program run that story alone; * and ? as in a shell. */
__attribute__((constructor)) static void choose_story(void)
{
    if (getenv("VMMD_ONLY"))
        cmocka_set_test_filter(getenv("VMMD_ONLY"));
}

/* ---- requests ---- */

struct reply {
    struct strbuf body;
    long status;
    char type[64];
};

static size_t take(char *data, size_t size, size_t n, void *ctx)
{
    strbuf_add(ctx, data, size * n);
    return size * n;
}

/* How a request is sent beyond its method, path and body. */
struct manner {
    const char *type; /* of the body */
    bool wait;
    const char *key; /* or NULL */
};

static struct curl_slist *headers(const char *body, const struct manner *manner)
{
    struct curl_slist *list = curl_slist_append(NULL, manner->wait ? "Prefer: wait=60" : "Prefer:");

    if (manner->key) {
        CLEANUP(mem_freep) char *line = str_format("Idempotency-Key: %s", manner->key);
        list = curl_slist_append(list, line);
    }
    if (body) {
        CLEANUP(mem_freep) char *line = str_format("Content-Type: %s", manner->type);
        list = curl_slist_append(list, line);
    }
    return curl_slist_append(list, "Expect:");
}

static void request(struct rig *r, const char *method, const char *path, const char *body,
                    const struct manner *manner, struct reply *out)
{
    CLEANUP(mem_freep) char *socket = str_format("%s/run/api.sock", r->dir);
    CLEANUP(mem_freep) char *url = str_format("http://localhost%s", path);
    struct curl_slist *list = headers(body, manner);
    CURL *curl = curl_easy_init();
    char *got = NULL;

    *out = (struct reply){0};
    curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, socket);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, list);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &out->body);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, 120000L);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    if (body)
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    if (curl_easy_perform(curl) == CURLE_OK) {
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &out->status);
        curl_easy_getinfo(curl, CURLINFO_CONTENT_TYPE, &got);
        str_copy(out->type, sizeof out->type, got ? got : "");
    }
    curl_slist_free_all(list);
    curl_easy_cleanup(curl);
}

static json_t *call(struct rig *r, const char *method, const char *path, const char *body,
                    bool wait, const char *key, int *status)
{
    bool patch = strcmp(method, "PATCH") == 0;
    struct manner manner = {patch ? "application/merge-patch+json" : "application/json", wait, key};
    json_t *json = NULL;
    struct reply reply;

    request(r, method, path, body, &manner, &reply);
    *status = (int)reply.status;
    if (strstr(reply.type, "json"))
        json = json_loads(reply.body.data, JSON_DECODE_ANY, NULL);
    strbuf_clear(&reply.body);
    return json;
}

json_t *rig_call(struct rig *r, const char *method, const char *path, const char *body, int *status)
{
    return call(r, method, path, body, true, NULL, status);
}

json_t *rig_send(struct rig *r, const char *method, const char *path, const char *body,
                 const char *key, int *status)
{
    return call(r, method, path, body, false, key, status);
}

json_t *rig_do(struct rig *r, const char *method, const char *path, const char *body, int status)
{
    int got;
    json_t *json = rig_call(r, method, path, body, &got);

    if (got != status) {
        CLEANUP(mem_freep) char *text = json ? json_write(json) : str_dup("");
        fail_msg("%s %s: %d instead of %d: %s", method, path, got, status, text);
    }
    return json;
}

char *rig_get_bytes(struct rig *r, const char *path, size_t *len)
{
    static const struct manner plain = {.wait = true};
    struct reply reply;

    request(r, "GET", path, NULL, &plain, &reply);
    if (reply.status != 200)
        fail_msg("GET %s: %ld %s", path, reply.status, reply.body.data ? reply.body.data : "");
    *len = reply.body.len;
    return strbuf_take(&reply.body);
}

/* ---- the daemon ---- */

static const char *guest_dir(void)
{
    static char path[256];
    const char *cache = getenv("VMMD_GUEST_DIR");

    snprintf(path, sizeof path, "%s/tiny", cache ? cache : "/var/cache/vmmd/guest");
    return path;
}

static bool have_guest(void)
{
    CLEANUP(mem_freep) char *kernel = str_format("%s/vmlinuz", guest_dir());

    return access(kernel, R_OK) == 0;
}

bool rig_possible_bare(const char **why)
{
    *why = "needs root";
    return geteuid() == 0;
}

bool rig_possible(const char **why)
{
    *why = "the tiny guest is not built: run tools/guest/build-tiny, or set VMMD_GUEST_DIR";
    return have_guest() && rig_possible_bare(why);
}

/* A TCP port of the loopback that nobody has at this moment. */
static unsigned free_port(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t len = sizeof a;

    assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0 &&
                getsockname(fd, (struct sockaddr *)&a, &len) == 0);
    close(fd);
    return ntohs(a.sin_port);
}

static void write_config(struct rig *r)
{
    CLEANUP(mem_freep)
    char *boot = str_format("[boot tiny]\nkernel = %s/vmlinuz\ninitrd = %s/initrd.img\n",
                            guest_dir(), guest_dir());
    CLEANUP(mem_freep)
    char *text =
        str_format("[vmmd]\nlisten = 127.0.0.1:%u\nstate_dir = %s/state\nrun_dir = %s/run\n"
                   "tls_cert = %s/cert.pem\ntls_key = %s/key.pem\n"
                   "enable_fake_backend = true\n%s"
                   "[pool-root main]\npath = %s/main\n[pool-root second]\npath = %s/second\n%s",
                   free_port(), r->dir, r->dir, r->dir, r->dir, r->more ? r->more : "", r->dir,
                   r->dir, have_guest() ? boot : "");
    CLEANUP(mem_freep)
    char *openssl = str_format("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 "
                               "-nodes -days 2 -subj /CN=test -keyout %s/key.pem -out %s/cert.pem "
                               "2>/dev/null",
                               r->dir, r->dir);
    CLEANUP(mem_freep) char *path = str_format("%s/vmmd.conf", r->dir);
    CLEANUP(mem_freep) char *key = str_format("%s/key.pem", r->dir);
    FILE *f = fopen(path, "we");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    assert_int_equal(system(openssl), 0);
    assert_int_equal(chmod(r->dir, 0755), 0);
    if (r->uid)
        assert_true(chown(r->dir, r->uid, r->uid) == 0 && chown(key, r->uid, r->uid) == 0 &&
                    chown(path, r->uid, r->uid) == 0);
}

static void run_vmmd(struct rig *r)
{
    const char *bin = getenv("VMMD_BIN") ? getenv("VMMD_BIN") : "build/dev";
    CLEANUP(mem_freep) char *program = str_format("%s/vmmd", bin);
    CLEANUP(mem_freep) char *config = str_format("%s/vmmd.conf", r->dir);
    CLEANUP(mem_freep) char *log = str_format("%s/log", r->dir);
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0666);
    int out;

    if (r->uid && (setgroups(0, NULL) < 0 || setresgid(r->uid, r->uid, r->uid) < 0 ||
                   setresuid(r->uid, r->uid, r->uid) < 0))
        _exit(99);
    out = dup2(fd, 2);
    if (out < 0 || setenv("HOME", r->dir, 1) < 0)
        _exit(99);
    execl(program, "vmmd", "--config", config, (char *)NULL);
    _exit(98);
}

void rig_launch(struct rig *r)
{
    r->vmmd = fork();
    if (r->vmmd == 0)
        run_vmmd(r);
    assert_true(r->vmmd > 0);
}

void rig_await_served(struct rig *r)
{
    int64_t deadline = clock_mono_ms() + READY_MS;
    int status = 0;

    for (;;) {
        json_decref(rig_call(r, "GET", "/healthz", NULL, &status));
        if (status == 200)
            return;
        if (waitpid(r->vmmd, &status, WNOHANG) == r->vmmd)
            fail_msg("vmmd ended with status %#x: see %s/log", status, r->dir);
        if (clock_mono_ms() > deadline)
            fail_msg("vmmd does not serve: see %s/log", r->dir);
        (void)poll(NULL, 0, 20); /* asked again until it serves */
    }
}

void rig_spawn(struct rig *r)
{
    rig_launch(r);
    rig_await_served(r);
}

void rig_await_log(struct rig *r, const char *words)
{
    CLEANUP(mem_freep) char *path = str_format("%s/log", r->dir);
    int64_t deadline = clock_mono_ms() + READY_MS;

    for (;;) {
        CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
        CLEANUP(mem_freep) char *text = NULL;
        struct err err = {0};
        size_t len;

        assert_true(fd >= 0 && fs_read_all(fd, 64u << 20, &text, &len, &err));
        if (strstr(text, words))
            return;
        if (clock_mono_ms() > deadline) {
            rig_print_log(r, 4096);
            fail_msg("vmmd does not say '%s'", words);
        }
        (void)poll(NULL, 0, 20); /* read again until it is there */
    }
}

void rig_make(struct rig *r, uid_t uid)
{
    r->dir = tmp_dir_make();
    r->uid = uid;
    write_config(r);
    if (r->before)
        r->before(r);
    rig_spawn(r);
    json_decref(rig_do(r, "POST", "/api/v1/pools", "{\"name\":\"main\",\"root\":\"main\"}", 201));
    json_decref(
        rig_do(r, "POST", "/api/v1/pools", "{\"name\":\"second\",\"root\":\"second\"}", 201));
}

void rig_stop(struct rig *r)
{
    int64_t deadline = clock_mono_ms() + 30000;
    int status;

    kill(r->vmmd, SIGTERM);
    while (waitpid(r->vmmd, &status, WNOHANG) == 0) {
        if (clock_mono_ms() > deadline)
            fail_msg("vmmd does not end on SIGTERM: see %s/log", r->dir);
        (void)poll(NULL, 0, 10); /* asked again until it has ended */
    }
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    r->vmmd = 0;
}

void rig_kill(struct rig *r, void (*then)(void))
{
    pid_t children[16];
    unsigned n;

    assert_int_equal(kill(r->vmmd, SIGSTOP), 0); /* so that it starts no child behind our back */
    n = proc_children(r->vmmd, children, ARRAY_LEN(children));
    assert_true(n <= ARRAY_LEN(children));
    assert_int_equal(kill(r->vmmd, SIGKILL), 0);
    assert_int_equal(waitpid(r->vmmd, NULL, 0), r->vmmd);
    r->vmmd = 0;
    if (then)
        then();
    for (unsigned i = 0; i < n; i++)
        rig_await_dead(children[i], 20000);
}

static void stop_all(struct rig *r)
{
    CLEANUP(json_decrefp) json_t *list = rig_do(r, "GET", "/api/v1/vms?page_size=1000", NULL, 200);
    json_t *items = json_object_get(list, "items"), *vm;
    size_t i;

    json_array_foreach (items, i, vm) {
        CLEANUP(mem_freep)
        char *path = str_format("/api/v1/vms/%s/actions/stop", json_get_text(vm, "id"));
        int status;
        json_decref(rig_call(r, "POST", path, "", &status));
    }
}

/* The test's promise: no process, socket, directory or mount of ours outlives it. */
static void nothing_is_left(struct rig *r)
{
    CLEANUP(mem_freep) char *vms = str_format("%s/run/vm", r->dir);

    assert_int_equal(proc_entries(vms), 0);
    assert_int_equal(proc_count_mounts(r->dir), 0);
    assert_int_equal(proc_count_open(r->dir), 0);
}

void rig_remove(struct rig *r)
{
    stop_all(r);
    rig_stop(r);
    if (r->after)
        r->after(r);
    nothing_is_left(r);
    tmp_dir_remove(TAKE(r->dir));
}

/* ---- VMs ---- */

void rig_create_tiny(struct rig *r, const char *name)
{
    CLEANUP(mem_freep)
    char *body = str_format("{\"name\":\"%s\",\"memory_bytes\":201326592,"
                            "\"boot\":{\"kernel\":\"tiny\",\"cmdline\":\"" RIG_CMDLINE "\"},"
                            "\"disks\":[{\"size_bytes\":67108864}]}",
                            name);

    json_decref(rig_do(r, "POST", "/api/v1/vms", body, 201));
}

void rig_fill_disk(struct rig *r, const char *suffix, const char *image)
{
    CLEANUP(mem_freep) char *pattern = str_format("%s/main/*/*.%s", r->dir, suffix);
    CLEANUP(closep) int from = open(image, O_RDONLY | O_CLOEXEC);
    glob_t found;
    ssize_t n;
    int to;

    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    assert_int_equal(found.gl_pathc, 1);
    to = open(found.gl_pathv[0], O_WRONLY | O_CLOEXEC);
    globfree(&found);
    assert_true(from >= 0 && to >= 0);
    while ((n = copy_file_range(from, NULL, to, NULL, 64u << 20, 0)) > 0)
        ;
    assert_int_equal(n, 0);
    close(to);
}

void rig_act(struct rig *r, const char *name, const char *verb)
{
    CLEANUP(mem_freep) char *path = str_format("/api/v1/vms/%s/actions/%s", name, verb);

    json_decref(rig_do(r, "POST", path, "{}", 200));
}

char *rig_text(struct rig *r, const char *name, const char *member)
{
    CLEANUP(mem_freep) char *path = str_format("/api/v1/vms/%s", name);
    CLEANUP(mem_freep) char *copy = str_dup(member);
    int status;
    CLEANUP(json_decrefp) json_t *vm = rig_call(r, "GET", path, NULL, &status);
    const json_t *value = vm;
    char *save = NULL;

    for (char *part = strtok_r(copy, ".", &save); part; part = strtok_r(NULL, ".", &save))
        value = json_object_get(value, part);
    return json_is_string(value) ? str_dup(json_string_value(value)) : str_format("(%d)", status);
}

void rig_await(struct rig *r, const char *name, const char *state, const char *reason, int ms)
{
    int64_t deadline = clock_mono_ms() + ms;

    for (;;) {
        CLEANUP(mem_freep) char *is = rig_text(r, name, "run.state");
        CLEANUP(mem_freep) char *why = rig_text(r, name, "run.reason");
        if (strcmp(is, state) == 0 && (!reason || strcmp(why, reason) == 0))
            return;
        if (clock_mono_ms() > deadline)
            fail_msg("%s is %s (%s), not %s (%s): see %s/log", name, is, why, state,
                     reason ? reason : "any", r->dir);
        (void)poll(NULL, 0, 20); /* asked again until it is so */
    }
}

/* ---- the serial console ---- */

static size_t read_serial(struct rig *r, const char *name, uint64_t offset, int wait_s,
                          struct strbuf *out)
{
    CLEANUP(mem_freep)
    char *path = str_format("/api/v1/vms/%s/serial?offset=%llu&wait=%d", name,
                            (unsigned long long)offset, wait_s);
    CLEANUP(mem_freep) char *data = NULL;
    size_t len;

    data = rig_get_bytes(r, path, &len);
    strbuf_add(out, data, len);
    return len;
}

/* 'all' is what it said instead. */
static bool hears(struct rig *r, const char *name, uint64_t *offset, const char *text, int ms,
                  struct strbuf *all)
{
    int64_t deadline = clock_mono_ms() + ms;
    char *at;

    strbuf_adds(all, "");
    while (!(at = strstr(all->data, text))) {
        if (clock_mono_ms() > deadline)
            return false;
        read_serial(r, name, *offset + all->len, 2, all);
    }
    *offset += (uint64_t)(at - all->data) + strlen(text);
    return true;
}

bool rig_hears(struct rig *r, const char *name, uint64_t *offset, const char *text, int ms)
{
    CLEANUP(strbuf_clear) struct strbuf all = {0};

    return hears(r, name, offset, text, ms, &all);
}

void rig_expect(struct rig *r, const char *name, uint64_t *offset, const char *text, int ms)
{
    CLEANUP(strbuf_clear) struct strbuf all = {0};
    size_t from;

    if (hears(r, name, offset, text, PATIENCE * ms, &all))
        return;
    from = all.len > SHOWN ? all.len - SHOWN : 0; /* fail_msg() has room for 1,024 bytes */
    fail_msg("%s did not say '%s' but (%zu bytes): %s", name, text, all.len, all.data + from);
}

void rig_type(struct rig *r, const char *name, const char *text)
{
    CLEANUP(mem_freep) char *path = str_format("/api/v1/vms/%s/serial", name);
    static const struct manner bytes = {.type = "application/octet-stream", .wait = true};
    struct reply reply;

    request(r, "POST", path, text, &bytes, &reply);
    if (reply.status != 204)
        fail_msg("serial input: %ld %s", reply.status, reply.body.data ? reply.body.data : "");
    strbuf_clear(&reply.body);
}

void rig_boot(struct rig *r, const char *name, uint64_t *offset)
{
    rig_act(r, name, "start");
    rig_expect(r, name, offset, "VMMD-GUEST READY", 120000);
}

size_t rig_serial_during(struct rig *r, const char *name, uint64_t *offset, int ms)
{
    CLEANUP(strbuf_clear) struct strbuf all = {0};
    int64_t deadline = clock_mono_ms() + ms;

    while (clock_mono_ms() < deadline)
        read_serial(r, name, *offset + all.len, 1, &all);
    *offset += all.len;
    return all.len;
}

void rig_print_log(struct rig *r, long last_bytes)
{
    CLEANUP(mem_freep) char *path = str_format("%s/log", r->dir);
    FILE *f = fopen(path, "re");
    char line[1024];

    if (f && fseek(f, -last_bytes, SEEK_END) < 0)
        rewind(f);
    while (f && fgets(line, sizeof line, f))
        print_message("    %s", line);
    if (f)
        fclose(f);
}

/* ---- processes ---- */

pid_t rig_child(struct rig *r, const char *argv0)
{
    return proc_child_named(r->vmmd, argv0);
}

struct rig_pids rig_pids(struct rig *r, const char *name)
{
    CLEANUP(mem_freep) char *id = rig_text(r, name, "id");
    struct rig_pids pids = {.worker = proc_with_args("vmmd-worker", id)};

    if (!pids.worker)
        return pids;
    pids.jail = proc_child_named(pids.worker, "vmmd-jail");
    pids.net = proc_child_named(pids.worker, "vmmd-net");
    pids.passt = pids.net ? proc_child_named(pids.net, "/usr/bin/passt") : 0;
    pids.qemu = pids.jail ? proc_child_named(pids.jail, "/usr/bin/qemu-system-x86_64") : 0;
    return pids;
}

bool rig_lives(pid_t pid)
{
    return proc_lives(pid);
}

void rig_await_dead(pid_t pid, int ms)
{
    int64_t deadline = clock_mono_ms() + ms;

    while (proc_lives(pid)) {
        if (clock_mono_ms() > deadline)
            fail_msg("process %d still lives", (int)pid);
        (void)poll(NULL, 0, 5); /* asked again until it is gone */
    }
}
