/* The folders with images to import: see imports.h. */
#include "core/disk/imports.h"

#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/core/parts.h"
#include "core/disk/upload.h"
#include "core/model/field.h"
#include "core/model/page.h"
#include "core/vm/kinds.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIST_MAX 10000
#define PART_END ".part"

int import_folder(struct core *core, const char *root, unsigned *index, struct err *err)
{
    for (unsigned i = 0; i < host_roots(); i++) {
        if (!str_eq(host_root_id(i), root) || core->root_dirs[i] < 0)
            continue;
        if (index)
            *index = i;
        return fs_dir(core->root_dirs[i], IMPORTS_FOLDER, 0750, err);
    }
    err_field(err, ERR_NOT_FOUND, "/root",
              "there is no pool root '%.64s' that can be reached: GET /host lists them", root);
    return -1;
}

bool import_name_is_good(const char *name)
{
    const char *why;

    return *name && strlen(name) <= IMPORT_NAME_MAX && check_name(name, &why);
}

bool import_record(struct core *core, const char *type, const char *root, const char *name,
                   struct err *err)
{
    CLEANUP(store_rollback) struct store_txn *txn = store_begin(core->store, err);
    const struct uuid none = {0}; /* it has a name only */
    json_t *data;

    if (!txn)
        return false;
    data = json_object();
    json_put_text(data, "name", name);
    json_put_text(data, "root", root);
    if (!event_add(txn, type, "import", &none, data, err) || !store_commit(&txn, err))
        return false;
    events_ring(core);
    return true;
}

/* ---- unfinished ones ---- */

static int64_t modified_ms(const struct stat *st)
{
    return st->st_mtim.tv_sec * INT64_C(1000) + st->st_mtim.tv_nsec / 1000000;
}

/* ".NAME.TOTAL.part" */
static bool part_parse(const char *entry, struct part *out)
{
    const size_t len = strlen(entry), end = sizeof PART_END - 1;
    char *dot;

    *out = (struct part){0};
    if (len <= end + 1 || len > PART_NAME_MAX || entry[0] != '.' ||
        strcmp(entry + len - end, PART_END) != 0)
        return false;
    memcpy(out->entry, entry, len + 1);
    out->entry[len - end] = 0;
    dot = strrchr(out->entry + 1, '.');
    if (!dot || dot - (out->entry + 1) > IMPORT_NAME_MAX || !str_to_u64(dot + 1, &out->total_bytes))
        return false;
    memcpy(out->name, out->entry + 1, (size_t)(dot - (out->entry + 1)));
    memcpy(out->entry, entry, len + 1);
    return out->total_bytes && import_name_is_good(out->name);
}

bool part_read(int dir, const char *entry, struct part *out)
{
    struct stat st;

    if (!part_parse(entry, out) || fstatat(dir, entry, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
        !S_ISREG(st.st_mode) || st.st_nlink != 1 || (uint64_t)st.st_size > out->total_bytes)
        return false;
    out->have_bytes = (uint64_t)st.st_size;
    out->file_bytes = (uint64_t)st.st_blocks * 512;
    out->modified_ms = modified_ms(&st);
    return true;
}

bool part_find(int dir, const char *name, struct part *out, unsigned *count)
{
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = fd < 0 ? NULL : fdopendir(fd);
    bool found = false;
    struct part part;

    if (count)
        *count = 0;
    if (!entries) {
        closep(&fd);
        return false;
    }
    for (struct dirent *e; (e = readdir(entries));) {
        if (e->d_name[0] != '.' || !part_read(dir, e->d_name, &part))
            continue;
        if (count)
            ++*count;
        if (strcmp(part.name, name) != 0)
            continue;
        *out = part;
        found = true;
    }
    closedir(entries);
    return found;
}

/* ---- what is shown ---- */

static json_t *view(const char *root, const struct part *part, const char *state)
{
    json_t *v = json_object();

    json_put_text(v, "name", part->name);
    json_put_text(v, "root", root);
    json_put_text(v, "state", state);
    json_put_u64(v, "size_bytes", part->total_bytes);
    json_put_u64(v, "uploaded_bytes", part->have_bytes);
    json_put_u64(v, "file_bytes", part->file_bytes);
    json_put_time(v, "modified_at", part->modified_ms);
    return v;
}

/* NULL when it is no image: a link, a device, a name that nobody can say. */
static json_t *view_file(int dir, const char *root, const char *name)
{
    struct part whole = {0};
    struct stat st;

    if (!import_name_is_good(name) || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
        !S_ISREG(st.st_mode) || st.st_nlink != 1)
        return NULL;
    str_copy(whole.name, sizeof whole.name, name);
    whole.total_bytes = whole.have_bytes = (uint64_t)st.st_size;
    whole.file_bytes = (uint64_t)st.st_blocks * 512;
    whole.modified_ms = modified_ms(&st);
    return view(root, &whole, "ready");
}

/* What has come of an image that is there as a whole by now is not shown. */
static json_t *view_entry(int dir, const char *root, const char *entry)
{
    struct part part;

    if (entry[0] != '.')
        return view_file(dir, root, entry);
    if (!part_read(dir, entry, &part) || faccessat(dir, part.name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return NULL;
    return view(root, &part, "uploading");
}

static void list_root(struct core *core, json_t *list, unsigned root)
{
    struct err ignored = {0};
    int fd = import_folder(core, host_root_id(root), NULL, &ignored);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    json_t *one;

    if (!dir) {
        closep(&fd);
        return;
    }
    for (struct dirent *e; json_array_size(list) < LIST_MAX && (e = readdir(dir));)
        if ((one = view_entry(dirfd(dir), host_root_id(root), e->d_name)))
            json_array_append_new(list, one);
    closedir(dir);
}

void import_list(struct core *core, const struct query *query, struct strbuf *out)
{
    CLEANUP(page_clear) struct page page = {.query = query};
    CLEANUP(json_decrefp) json_t *found = json_array();
    json_t *one;
    size_t i;

    for (unsigned root = 0; root < host_roots(); root++)
        list_root(core, found, root);
    json_array_foreach (found, i, one)
        page_offer(&page, json_incref(one));
    page_write(&page, NULL, NULL, out);
}

static bool is_missing(const char *root, const char *name, struct err *err)
{
    return err_set(err, ERR_NOT_FOUND,
                   "there is no image '%.64s' in the folder " IMPORTS_FOLDER
                   " of the pool root %.64s: GET /imports lists them",
                   name, root);
}

json_t *import_show(struct core *core, const char *root, const char *name, struct err *err)
{
    CLEANUP(closep) int dir = import_folder(core, root, NULL, err);
    struct part part;
    json_t *v;

    if (dir < 0)
        return NULL;
    v = view_file(dir, root, name);
    if (!v && part_find(dir, name, &part, NULL))
        v = view(root, &part, "uploading");
    if (!v)
        is_missing(root, name, err);
    return v;
}

/* ---- removing one ---- */

struct image_ref {
    const char *root, *name;
};

static bool is_read_by(const json_t *args, void *ctx)
{
    const json_t *source = json_object_get(args, "source");
    const struct image_ref *image = ctx;

    return str_eq(json_get_text(source, "file"), image->name) &&
           str_eq(json_get_text(source, "root"), image->root);
}

/* One that is being imported is kept, since an operation that is taken up again looks for it. */
static bool is_free(struct core *core, const char *root, const char *name, struct err *err)
{
    struct image_ref image = {root, name};

    return !job_any(core, &vm_import_disk_kind, is_read_by, &image) ||
           err_set(err, ERR_BUSY,
                   "a disk is being made of the image %.64s: wait for the operation, or cancel it",
                   name);
}

static bool remove_files(int dir, const char *name, const struct part *part, struct err *err)
{
    return FAILPOINT("import.remove", err) && fs_remove_large(dir, name, err) &&
           (!part || fs_remove_large(dir, part->entry, err));
}

static void claim_drop(struct upload **claim)
{
    upload_close(*claim);
}

bool import_remove(struct core *core, const char *root, const char *name,
                   const struct origin *origin, struct err *err)
{
    unsigned index = 0;
    CLEANUP(closep) int dir = import_folder(core, root, &index, err);
    CLEANUP(claim_drop) struct upload *claim = NULL;
    CLEANUP(json_decrefp) json_t *whole = NULL;
    struct part part;
    bool begun;

    if (dir < 0)
        return false;
    claim = upload_claim(core, index, name, err);
    if (!claim)
        return false;
    whole = view_file(dir, root, name);
    begun = part_find(dir, name, &part, NULL);
    if (!whole && !begun)
        return is_missing(root, name, err);
    if (!is_free(core, root, name, err))
        return false;
    if (origin->dry_run)
        return true;
    return remove_files(dir, name, begun ? &part : NULL, err) &&
           import_record(core, "import.deleted", root, name, err);
}
