/* The folders with bundles, listing and removing: see bundle.h. What is being written has a name
 * that begins with a dot and is not shown. Whatever lies in a folder may be anybody's. */
#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/bundle/inside.h"
#include "core/core/parts.h"
#include "core/disk/folders.h"
#include "core/job/job.h"
#include "core/model/field.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PART_ENDING ".part"
#define OPEN_FLAGS  (O_RDONLY | O_NONBLOCK | O_NOCTTY)

int bundles_folder(struct core *core, const char *root, struct err *err)
{
    for (unsigned i = 0; i < host_roots(); i++)
        if (str_eq(host_root_id(i), root) && core->root_dirs[i] >= 0)
            return fs_dir(core->root_dirs[i], BUNDLE_FOLDER, 0750, err);
    err_set(err, ERR_UNAVAILABLE, "the pool root '%.64s' cannot be reached", root ? root : "");
    return -1;
}

bool bundle_name_is_fine(const char *name)
{
    const char *why;

    return strlen(name) <= BUNDLE_NAME_MAX && check_name(name, &why);
}

int bundle_open(struct core *core, const char *name, const char **root, struct err *err)
{
    for (unsigned i = 0; bundle_name_is_fine(name) && i < host_roots(); i++) {
        struct err ignored = {0};
        CLEANUP(closep) int folder = folder_open(core, i, BUNDLE_FOLDER, &ignored);
        int dir = folder < 0 ? -1 : fs_open(folder, name, O_RDONLY | O_DIRECTORY, 0, &ignored);
        if (dir < 0)
            continue;
        if (root)
            *root = host_root_id(i);
        return dir;
    }
    err_set(err, ERR_NOT_FOUND, "there is no bundle '%.64s': GET /bundles lists them", name);
    return -1;
}

/* ---- what is in one ---- */

static bool is_a_file_of(int fd, uint64_t *bytes)
{
    struct stat st;

    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_nlink != 1)
        return false;
    *bytes = (uint64_t)st.st_size;
    return true;
}

char *bundle_text(int dir, size_t *len, struct err *err)
{
    struct err why = {0};
    CLEANUP(closep) int fd = fs_open(dir, BUNDLE_DOCUMENT, OPEN_FLAGS, 0, &why);
    char *text = NULL;
    uint64_t bytes;

    if (fd < 0 || !is_a_file_of(fd, &bytes) || bytes > BUNDLE_MAX ||
        !fs_read_all(fd, BUNDLE_MAX, &text, len, &why)) {
        err_set(err, ERR_INVALID, "its %s is missing, or cannot be read", BUNDLE_DOCUMENT);
        return NULL;
    }
    return text;
}

int bundle_file_open(int dir, const char *name, uint64_t bytes, struct err *err)
{
    struct err why = {0};
    CLEANUP(closep) int fd = fs_open(dir, name, OPEN_FLAGS, 0, &why);
    uint64_t has;

    if (fd < 0)
        err_set(err, ERR_INVALID, "its file %s is missing, or a link", name);
    else if (!is_a_file_of(fd, &has))
        err_set(err, ERR_INVALID, "%s in it is no regular file with one name", name);
    else if (has != bytes)
        err_set(err, ERR_INVALID, "its file %s has %llu bytes in place of %llu", name,
                (unsigned long long)has, (unsigned long long)bytes);
    else
        return TAKE_FD(fd);
    return -1;
}

/* ---- removing ---- */

/* Large files, whose space takes long to free. */
static void remove_files(int dir)
{
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = fd < 0 ? NULL : fdopendir(fd);
    struct err ignored = {0};
    struct stat st;

    if (!list)
        closep(&fd);
    for (struct dirent *e; list && (e = readdir(list));)
        if (fstatat(dir, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
            err_ignore(fs_remove_large(dir, e->d_name, &ignored), &ignored);
    if (list)
        closedir(list);
}

static bool is_a_folder(int dir, const char *name)
{
    struct stat st;

    return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

bool bundle_folder_remove(int folder, const char *name, struct err *err)
{
    struct err ignored = {0};
    CLEANUP(closep) int dir = fs_open(folder, name, O_RDONLY | O_DIRECTORY, 0, &ignored);

    if (dir >= 0 && !is_a_folder(dir, BUNDLE_DOCUMENT) && !fs_remove(dir, BUNDLE_DOCUMENT, err))
        return false;
    if (dir >= 0)
        remove_files(dir);
    return fs_remove_tree(folder, name, err);
}

/* ---- what exports have left ---- */

void bundle_part_name(const struct uuid *job, char out[BUNDLE_NAME_BYTES])
{
    snprintf(out, BUNDLE_NAME_BYTES, ".%s" PART_ENDING, UUID_STR(job));
}

static bool is_part_name(const char *name, struct uuid *job)
{
    char id[UUID_TEXT];

    if (name[0] != '.' || strlen(name) != UUID_TEXT + strlen(PART_ENDING) ||
        !str_eq(name + UUID_TEXT, PART_ENDING))
        return false;
    str_copy(id, sizeof id, name + 1);
    return uuid_parse(id, job);
}

/* One that nobody here knows may be another host's, which shares the folder. */
static bool is_left(struct core *core, const struct uuid *job)
{
    struct err ignored = {0};
    CLEANUP(json_decrefp) json_t *shown = job_show(core, job, &ignored);

    return shown && json_get_text(shown, "ended_at");
}

static void sweep_one(struct core *core, int folder, const char *name)
{
    struct err err = {0};
    struct uuid job;

    if (!is_part_name(name, &job))
        return;
    if (!is_left(core, &job))
        log_info("%s/%s is no ended export's: it stays", BUNDLE_FOLDER, name);
    else if (bundle_folder_remove(folder, name, &err))
        log_info("removed %s/%s, which an export had left", BUNDLE_FOLDER, name);
    else
        log_warn("%s/%s stays, which an export has left: %s", BUNDLE_FOLDER, name, err.detail);
}

void bundles_sweep(struct core *core)
{
    for (unsigned i = 0; i < host_roots(); i++) {
        struct err ignored = {0};
        int fd = folder_open(core, i, BUNDLE_FOLDER, &ignored);
        DIR *dir = fd < 0 ? NULL : fdopendir(fd);
        if (!dir)
            closep(&fd);
        for (struct dirent *e; dir && (e = readdir(dir));)
            sweep_one(core, dirfd(dir), e->d_name);
        if (dir)
            closedir(dir);
    }
}

static bool record_removal(struct core *core, const char *name, struct err *err)
{
    CLEANUP(store_rollback) struct store_txn *txn = store_begin(core->store, err);
    const struct uuid none = {0}; /* it has a name only */
    json_t *data;

    if (!txn)
        return false;
    data = json_object();
    json_put_text(data, "name", name);
    return event_add(txn, "bundle.deleted", "bundle", &none, data, err) && store_commit(&txn, err);
}

bool bundle_remove(struct core *core, const char *name, const struct origin *origin,
                   struct err *err)
{
    const char *root = NULL;
    CLEANUP(closep) int dir = bundle_open(core, name, &root, err);
    CLEANUP(closep) int folder = -1;

    if (dir < 0 || origin->dry_run)
        return dir >= 0;
    folder = bundles_folder(core, root, err);
    if (folder < 0 || !FAILPOINT("bundle.remove", err) ||
        !bundle_folder_remove(folder, name, err) || !record_removal(core, name, err))
        return false;
    events_ring(core);
    return true;
}

/* ---- all ---- */

static bool files_are_there(int dir, const struct bundle *b, uint64_t *bytes, uint64_t *on_disk,
                            struct err *err)
{
    char name[BUNDLE_NAME_BYTES];
    struct stat st;

    for (size_t i = 0; i < b->n_files + b->n_extras; i++) {
        const bool is_file = i < b->n_files;
        const struct bundle_extra *e = is_file ? NULL : &b->extras[i - b->n_files];
        CLEANUP(closep) int fd = -1;
        if (e)
            bundle_extra_name(e->kind, &e->snapshot, name);
        else
            bundle_file_name(&b->copy.files[i], name);
        fd = bundle_file_open(dir, name, e ? e->bytes : b->files[i].bytes, err);
        if (fd < 0 || fstat(fd, &st) < 0)
            return false;
        *bytes += (uint64_t)st.st_size;
        *on_disk += (uint64_t)st.st_blocks * 512;
    }
    return true;
}

static bool has_memory(const struct vm_copy *copy)
{
    for (size_t i = 0; i < copy->n_files; i++)
        if (copy->files[i].role == COPY_MEMORY)
            return true;
    return false;
}

static void show_content(json_t *v, const struct bundle *b)
{
    json_put_text(v, "vm", json_get_text(b->copy.spec, "name"));
    json_put_u64(v, "disks", b->copy.n_disks);
    json_put_u64(v, "snapshots", b->copy.n_snapshots);
    json_put_bool(v, "memory", has_memory(&b->copy));
    json_put_bool(v, "saved", !uuid_is_zero(&b->copy.memory));
    json_put_time(v, "created_at", (int64_t)b->made_ms);
}

static json_t *show(int dir, const char *name, unsigned root)
{
    CLEANUP(bundle_clear) struct bundle b = {0};
    CLEANUP(mem_freep) char *text = NULL;
    uint64_t bytes = 0, on_disk = 0;
    json_t *v = json_object();
    struct err why = {0};
    bool ok;
    size_t len;

    text = bundle_text(dir, &len, &why);
    ok = text && bundle_read(text, len, &b, &why);
    json_put_text(v, "name", name);
    json_put_text(v, "root", host_root_id(root));
    if (ok)
        show_content(v, &b);
    ok = ok && files_are_there(dir, &b, &bytes, &on_disk, &why);
    json_put_text(v, "state", ok ? "complete" : "broken");
    if (!ok)
        json_put_text(v, "reason", why.detail);
    json_put_u64(v, "size_bytes", bytes);
    json_put_u64(v, "file_bytes", on_disk);
    return v;
}

static json_t *show_one(int folder, const char *name, unsigned root)
{
    struct err ignored = {0};
    CLEANUP(closep) int dir = -1;

    if (!bundle_name_is_fine(name))
        return NULL;
    dir = fs_open(folder, name, O_RDONLY | O_DIRECTORY, 0, &ignored);
    return dir < 0 ? NULL : show(dir, name, root);
}

void bundle_list(struct core *core, const struct query *query, struct strbuf *out)
{
    folder_list(core, BUNDLE_FOLDER, show_one, query, out);
}
