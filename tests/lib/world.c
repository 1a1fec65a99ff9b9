/* A whole daemon but for its processes: see world.h. The host port is answered here. */
#include "tests/lib/world.h"

#include "backends/qemu/qemu.h"
#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/bundle/document.h"
#include "core/disk/change.h"
#include "core/disk/imports.h"
#include "core/disk/media.h"
#include "core/disk/pool.h"
#include "core/event/event.h"
#include "core/job/job.h"
#include "core/model/profile.h"
#include "core/port/host.h"
#include "core/port/store.h"
#include "core/template/template.h"
#include "core/user/token.h"
#include "store/reserve.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

const struct origin world_admin = {
    .principal = "test", .role = ROLE_ADMIN, .request_id = "r-test", .route = "test"};

static char roots[2][256];
static const char *qemu = "/usr/bin/qemu-system-x86_64";

/* ---- core/port/host.h ---- */

bool host_facts(struct host_facts *out, struct err *err)
{
    *out = (struct host_facts){.root = true, .userns = true, .slots = 1000};
    return true;
}

bool host_root_open(unsigned index, int *fd, struct err *err)
{
    *fd = open(roots[index], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *fd >= 0 || err_set(err, ERR_INTERNAL, "no such root");
}

bool host_boot_open(unsigned index, bool initrd, int *fd, struct err *err)
{
    return err_set(err, ERR_NOT_FOUND, "no boot entry");
}

bool host_kvm_open(int *fd, struct err *err)
{
    return err_set(err, ERR_NOT_FOUND, "there is no /dev/kvm here");
}

void host_worker_starts(struct histogram_seen *out)
{
    *out = (struct histogram_seen){0};
}

bool host_worker_limit(const struct uuid *vm, const struct host_limits *limits, struct err *err)
{
    return true;
}

bool host_uffd_open(int *fd, struct err *err)
{
    return err_set(err, ERR_UNSUPPORTED, "there is no /dev/userfaultfd here");
}

bool host_worker_spawn(const struct uuid *vm, uint32_t slot, struct host_wants wants,
                       const struct host_limits *limits, int *sock, struct err *err)
{
    return err_set(err, ERR_UNSUPPORTED, "no workers here");
}

bool host_worker_kill(const struct uuid *vm, struct err *err)
{
    return true;
}

bool host_worker_each(bool (*each)(void *ctx, const struct uuid *vm, bool populated), void *ctx,
                      struct err *err)
{
    return true;
}

bool host_run_dir(const struct uuid *vm, int *fd, struct err *err)
{
    return err_set(err, ERR_NOT_FOUND, "no run directory");
}

bool host_run_dir_remove(const struct uuid *vm, struct err *err)
{
    return true;
}

bool host_run_dir_each(bool (*each)(void *ctx, const struct uuid *vm, bool populated), void *ctx,
                       struct err *err)
{
    return true;
}

unsigned host_roots(void)
{
    return 2;
}

const char *host_root_id(unsigned index)
{
    return index ? "second" : "main";
}

unsigned host_boots(void)
{
    return 1;
}

const char *host_boot_id(unsigned index)
{
    return "tiny";
}

const char *host_qemu_path(void)
{
    return qemu;
}

bool host_fake_allowed(void)
{
    return true;
}

/* ---- the world ---- */

pam_ask *world_pam;

bool world_open(struct world *w)
{
    disk_unplug_ms = 300; /* a fake guest answers at once, or not at all */
    CLEANUP(mem_freep) char *state = str_format("%s/state", w->dir);
    const struct core_config config = {
        .state_dir = state, .pam = world_pam, .on_epoch = backend_qemu_init};
    struct err err = {0};

    w->core = core_open(&config, &err);
    if (!w->core)
        print_message("core_open: %s\n", err.detail);
    return w->core != NULL;
}

void world_without_qemu(void)
{
    qemu = "/nonexistent/qemu";
}

/* The programs that core has something done by; they are spawned. */
static void use_programs(void)
{
    const char *bin = getenv("VMMD_BIN") ? getenv("VMMD_BIN") : "build/dev";
    CLEANUP(mem_freep) char *pack = str_format("%s/vmmd-pack", bin);
    CLEANUP(mem_freep) char *inspect = str_format("%s/vmmd-inspect", bin);

    image_pack_init(pack);
    image_inspect_init(inspect);
}

void world_adopt(struct world *w, char *dir)
{
    CLEANUP(mem_freep) char *state = str_format("%s/state", dir);
    struct err err = {0};

    use_programs();
    w->dir = dir;
    assert_true(fs_mkdirs(state, 0700, &err));
    for (unsigned i = 0; i < 2; i++) {
        snprintf(roots[i], sizeof roots[i], "%s/root-%s", w->dir, host_root_id(i));
        assert_true(fs_mkdirs(roots[i], 0700, &err));
    }
}

static unsigned alone; /* threads of a process that has no world: a sanitizer may have one */

static unsigned threads(void)
{
    DIR *tasks = opendir("/proc/self/task");
    unsigned n = 0;

    assert_non_null(tasks);
    for (struct dirent *e; (e = readdir(tasks));)
        n += e->d_name[0] != '.';
    closedir(tasks);
    return n;
}

static char *shared; /* a directory of this process, with a reserve */
static pid_t shared_by;

static void remove_shared(void)
{
    if (getpid() == shared_by)
        tmp_dir_remove(shared);
}

/* The reserve beside the database is 16 MiB of zeroes, and in memory they are written: all worlds
 * of a process have the same file. What is done to a reserve is to remove its name. */
static void give_reserve(const char *dir)
{
    CLEANUP(mem_freep) char *state = str_format("%s/state", dir);
    CLEANUP(mem_freep) char *to = str_format("%s/" RESERVE_FILE, state);
    CLEANUP(mem_freep) char *from = NULL;
    CLEANUP(closep) int fd = -1;
    struct err err = {0};

    if (!shared) {
        shared = tmp_dir_make();
        shared_by = getpid();
        assert_int_equal(atexit(remove_shared), 0);
        from = str_format("%s/" RESERVE_FILE, shared);
        fd = open(from, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        assert_true(fd >= 0 && fallocate(fd, 0, 0, RESERVE_BYTES) == 0);
    } else {
        from = str_format("%s/" RESERVE_FILE, shared);
    }
    assert_true(fs_mkdirs(state, 0700, &err));
    (void)!link(from, to); /* else the store makes one */
}

void world_make(struct world *w)
{
    char *dir = tmp_dir_make();

    if (!alone)
        alone = threads();
    give_reserve(dir);
    world_make_in(w, dir);
}

/* Every world begins with the same empty database: it is made once in a process, since hundreds of
 * worlds are made in a walk. */
static void give_database(const char *state)
{
    static char *database;
    static size_t len;
    CLEANUP(closep) int to = open(state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct err err = {0};

    if (!database) {
        char *dir = tmp_dir_make();
        struct store *store = store_open(dir, &err);
        assert_non_null(store);
        store_close(store);
        CLEANUP(closep) int from = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        CLEANUP(closep) int file = fs_open(from, "vmmd.db", O_RDONLY, 0, &err);
        assert_true(fs_read_all(file, 64u << 20, &database, &len, &err));
        tmp_dir_remove(dir);
    }
    assert_true(fs_publish(to, "vmmd.db", database, len, 0600, &err));
}

void world_make_in(struct world *w, char *dir)
{
    CLEANUP(mem_freep) char *state = str_format("%s/state", dir);
    struct err err = {0};
    struct uuid pool;

    world_adopt(w, dir);
    give_database(state);
    assert_true(world_open(w));
    if (!pool_create(w->core, "main", "main", &world_admin, &pool, &err))
        fail_msg("%s", err.detail);
}

void world_close(struct world *w)
{
    if (w->core)
        core_close(w->core);
    w->core = NULL;
}

void world_remove(struct world *w)
{
    world_close(w);
    tmp_dir_remove(TAKE(w->dir));
}

bool world_try_create(struct world *w, const char *name, const char *more, struct uuid *op,
                      struct err *err)
{
    CLEANUP(mem_freep)
    char *text = str_format("{\"name\":\"%s\",\"backend\":\"fake\",\"nics\":[]%s%s}", name,
                            *more ? "," : "", more);
    CLEANUP(json_decrefp) json_t *json = json_read(text, strlen(text), err);
    struct vm_spec spec;
    struct uuid vm;
    bool start;

    return json && vm_create_decode(w->core, json, &spec, &start, err) &&
           vm_create(w->core, &spec, start, &world_admin, op, &vm, err);
}

json_t *world_copy_of(struct world *w, const char *vm_id, uint64_t revision)
{
    CLEANUP(mem_freep) char *path = str_format("%s/state/vm/%s/config.json", w->dir, vm_id);
    int64_t deadline = clock_mono_ms() + 10000;

    do {
        json_t *copy = json_load_file(path, 0, NULL);
        if (json_get_u64(copy, "revision", 0) == revision)
            return copy;
        json_decref(copy);
        (void)!usleep(1000);
    } while (clock_mono_ms() < deadline);
    return NULL;
}

static bool list_of(struct world *w, const struct query *q, struct strbuf *out, struct err *err)
{
    if (q->schema == &schema_operation)
        return job_list(w->core, NULL, q, out, err);
    if (q->schema == &schema_disk)
        return disk_list(w->core, NULL, q, out, err);
    if (q->schema == &schema_medium)
        media_list(w->core, q, out);
    else if (q->schema == &schema_vm)
        vm_list(w->core, q, out);
    else if (q->schema == &schema_pool)
        pool_list(w->core, q, out);
    else if (q->schema == &schema_import)
        import_list(w->core, q, out);
    else if (q->schema == &schema_template)
        template_list(w->core, q, out);
    else
        token_list(w->core, q, out);
    return true;
}

json_t *world_list(struct world *w, const struct query_schema *schema, struct query_ask ask,
                   struct err *err)
{
    CLEANUP(query_clear) struct query q = {0};
    CLEANUP(strbuf_clear) struct strbuf text = {0};
    json_t *list;

    if (!ask.page_size)
        ask.page_size = 100;
    if (!query_parse(schema, &ask, &q, err) || !list_of(w, &q, &text, err))
        return NULL;
    list = json_loadb(text.data, text.len, 0, NULL); /* our own: longer than a stranger's may be */
    assert_non_null(list);
    return list;
}

json_t *world_end_of(struct world *w, const struct uuid *op)
{
    int64_t deadline = clock_mono_ms() + 20000;
    struct err err = {0};
    json_t *job = NULL;

    do {
        json_decref(job);
        job = job_wait(w->core, op, 200, &err);
        if (core_is_broken(w->core)) {
            json_decref(job);
            return NULL;
        }
        if (!job)
            fail_msg("%s", err.detail);
        if (!json_is_null(json_object_get(job, "ended_at")))
            return job;
    } while (clock_mono_ms() < deadline);
    fail_msg("the operation %s did not end: %s", UUID_STR(op), json_get_text(job, "state"));
    return NULL;
}

static const char *outcome(struct world *w, const struct uuid *op)
{
    CLEANUP(json_decrefp) json_t *job = world_end_of(w, op);
    static _Thread_local char text[64];

    str_copy(text, sizeof text, job ? json_get_text(job, "state") : "broken");
    return text;
}

void world_create(struct world *w, const char *name, const char *more)
{
    struct err err = {0};
    struct uuid op;

    if (!world_try_create(w, name, more, &op, &err))
        fail_msg("%s", err.detail);
    assert_string_equal(outcome(w, &op), "succeeded");
}

const char *world_act(struct world *w, const char *name, enum vm_verb verb)
{
    struct err err = {0};
    struct uuid op;

    if (!vm_act(w->core, name, verb, NULL, &world_admin, &op, &err))
        return err_slug(err.code);
    return outcome(w, &op);
}

const char *world_delete(struct world *w, const char *name)
{
    struct err err = {0};
    struct uuid op;

    if (!vm_delete(w->core, name, NULL, &world_admin, &op, &err))
        return err_slug(err.code);
    return outcome(w, &op);
}

const char *world_vm(struct world *w, const char *name, const char *member)
{
    static _Thread_local char text[2048];
    struct etag etag;
    struct err err = {0};
    size_t len;
    CLEANUP(mem_freep) char *shown = vm_show_text(w->core, name, &etag, &len, &err);
    CLEANUP(json_decrefp) json_t *vm = shown ? json_loads(shown, 0, NULL) : NULL;
    const json_t *value = vm;
    char copy[64], *save = NULL;

    if (!vm)
        return err_slug(err.code);
    str_copy(copy, sizeof copy, member);
    for (char *part = strtok_r(copy, ".", &save); part; part = strtok_r(NULL, ".", &save))
        value = json_object_get(value, part);
    if (json_is_string(value))
        str_copy(text, sizeof text, json_string_value(value));
    else {
        CLEANUP(mem_freep) char *dump = value ? json_write(value) : str_dup("null");
        str_copy(text, sizeof text, dump);
    }
    return text;
}

bool world_has_vm(struct world *w, const char *name)
{
    return strcmp(world_vm(w, name, "name"), name) == 0;
}

void world_await(struct world *w, const char *name, const char *member, const char *value)
{
    int64_t deadline = clock_mono_ms() + 10000;
    uint64_t newest = event_newest(w->core);
    struct event_line lines[16];

    while (strcmp(world_vm(w, name, member), value) != 0) {
        struct err err = {0};
        bool gap;
        ssize_t n = event_wait(w->core, newest, 200, lines, 16, &gap, &newest, &err);

        for (ssize_t i = 0; i < n; i++) {
            newest = lines[i].seq;
            event_line_clear(&lines[i]);
        }
        if (clock_mono_ms() > deadline)
            fail_msg("%s of %s is %s, not %s", member, name, world_vm(w, name, member), value);
    }
}

void world_settle(struct world *w, const char *name)
{
    int64_t deadline = clock_mono_ms() + 10000;

    while (world_has_vm(w, name) && strcmp(world_vm(w, name, "job"), "null") != 0 &&
           strcmp(world_vm(w, name, "job"), "not-found") != 0) {
        (void)poll(NULL, 0, 2); /* asked again until it is so */
        if (clock_mono_ms() > deadline)
            fail_msg("an operation of %s does not end: %s", name, world_vm(w, name, "job"));
    }
}

/* Each image file of all pools; 'path' is lent. */
static void each_image(void (*visit)(void *ctx, const char *path), void *ctx)
{
    for (unsigned i = 0; i < 2; i++) {
        DIR *root = opendir(roots[i]);
        assert_non_null(root);
        for (struct dirent *p; (p = readdir(root));) {
            CLEANUP(mem_freep) char *path = str_format("%s/%s", roots[i], p->d_name);
            bool is_pool = p->d_name[0] != '.' && strcmp(p->d_name, "media") != 0 &&
                           strcmp(p->d_name, "exports") != 0 && strcmp(p->d_name, "imports") != 0 &&
                           strcmp(p->d_name, COPY_FOLDER) != 0 &&
                           strcmp(p->d_name, BUNDLE_FOLDER) != 0;
            DIR *pool = is_pool ? opendir(path) : NULL;
            for (struct dirent *f; pool && (f = readdir(pool));) {
                CLEANUP(mem_freep) char *file = str_format("%s/%s", path, f->d_name);
                if (f->d_name[0] != '.')
                    visit(ctx, file);
            }
            if (pool)
                closedir(pool);
        }
        closedir(root);
    }
}

static void count(void *ctx, const char *path)
{
    ++*(unsigned *)ctx;
}

unsigned world_files(struct world *w)
{
    unsigned n = 0;

    each_image(count, &n);
    return n;
}

static void fatten(void *ctx, const char *path)
{
    static char bytes[1 << 20];
    CLEANUP(closep) int fd = open(path, O_RDWR | O_CLOEXEC);
    struct stat st;

    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    memset(bytes, 7, sizeof bytes);
    assert_int_equal(pwrite(fd, bytes, sizeof bytes, st.st_size < (1 << 20) ? st.st_size : 0),
                     sizeof bytes);
}

void world_fatten(struct world *w)
{
    each_image(fatten, NULL);
}

static void count_fat(void *ctx, const char *path)
{
    struct stat st;

    *(unsigned *)ctx += stat(path, &st) == 0 && st.st_blocks * 512 >= 1 << 20;
}

unsigned world_fat_files(struct world *w)
{
    unsigned n = 0;

    each_image(count_fat, &n);
    return n;
}

void world_await_alone(void)
{
    const int64_t deadline_ms = clock_mono_ms() + 10000;

    while (threads() > alone) {
        if (clock_mono_ms() > deadline_ms)
            fail_msg("a thread of a closed world does not end");
        (void)poll(NULL, 0, 1); /* asked again until it has */
    }
}
