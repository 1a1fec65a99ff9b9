/* The folders with exported images: see export.h. What is being written has a name that begins with
 * a dot and is not shown. */
#include "core/snap/export.h"

#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/core/parts.h"
#include "core/disk/folders.h"
#include "core/model/field.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define OPEN_FLAGS (O_RDONLY | O_NONBLOCK | O_NOCTTY)

int export_folder(struct core *core, const char *root, struct err *err)
{
    for (unsigned i = 0; i < host_roots(); i++)
        if (str_eq(host_root_id(i), root) && core->root_dirs[i] >= 0)
            return fs_dir(core->root_dirs[i], EXPORTS_FOLDER, 0750, err);
    err_field(err, ERR_NOT_FOUND, "/root",
              "there is no pool root '%.64s' that can be reached: GET /host lists them", root);
    return -1;
}

static bool is_a_name(const char *name)
{
    const char *why;

    return strlen(name) <= EXPORT_NAME_MAX && check_name(name, &why);
}

/* In the first root that has it. */
static int find(struct core *core, const char *name, int *dir, struct stat *st, struct err *err)
{
    for (unsigned i = 0; is_a_name(name) && i < host_roots(); i++) {
        struct err ignored = {0};
        int fd;
        *dir = folder_open(core, i, EXPORTS_FOLDER, &ignored);
        fd = *dir < 0 ? -1 : fs_open(*dir, name, OPEN_FLAGS, 0, &ignored);
        if (fd >= 0 && fstat(fd, st) == 0 && S_ISREG(st->st_mode))
            return fd;
        closep(&fd);
        closep(dir);
    }
    err_set(err, ERR_NOT_FOUND, "there is no exported image '%.64s': GET /exports lists them",
            name);
    return -1;
}

int export_open(struct core *core, const char *name, uint64_t *size, struct err *err)
{
    CLEANUP(closep) int dir = -1;
    struct stat st;
    int fd = find(core, name, &dir, &st, err);

    *size = fd >= 0 ? (uint64_t)st.st_size : 0;
    return fd;
}

static bool record_removal(struct core *core, const char *name, const struct origin *origin,
                           struct err *err)
{
    CLEANUP(store_rollback) struct store_txn *txn = store_begin(core->store, err);
    const struct uuid none = {0}; /* it has a name only */
    json_t *data;

    if (!txn)
        return false;
    data = json_object();
    json_put_text(data, "name", name);
    return event_add(txn, "export.deleted", "export", &none, data, err) && store_commit(&txn, err);
}

bool export_remove(struct core *core, const char *name, const struct origin *origin,
                   struct err *err)
{
    CLEANUP(closep) int dir = -1;
    struct stat st;
    CLEANUP(closep) int fd = find(core, name, &dir, &st, err);

    if (fd < 0 || origin->dry_run)
        return fd >= 0;
    if (!FAILPOINT("export.remove", err) || !fs_remove(dir, name, err) ||
        !record_removal(core, name, origin, err))
        return false;
    events_ring(core);
    return true;
}

/* ---- all ---- */

static json_t *show(int dir, const char *name, unsigned root)
{
    struct stat st;
    json_t *v;

    if (!is_a_name(name) || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
        !S_ISREG(st.st_mode))
        return NULL;
    v = json_object();
    json_put_text(v, "name", name);
    json_put_text(v, "root", host_root_id(root));
    json_put_u64(v, "size_bytes", (uint64_t)st.st_size);
    json_put_u64(v, "file_bytes", (uint64_t)st.st_blocks * 512);
    json_put_time(v, "created_at",
                  st.st_mtim.tv_sec * INT64_C(1000) + st.st_mtim.tv_nsec / 1000000);
    return v;
}

void export_list(struct core *core, const struct query *query, struct strbuf *out)
{
    folder_list(core, EXPORTS_FOLDER, show, query, out);
}
