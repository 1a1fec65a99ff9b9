/* ISO files for CD drives: see media.h. */
#include "core/disk/media.h"

#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/core/parts.h"
#include "core/model/page.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* O_NONBLOCK: a pipe that lies there must not hold us up. */
#define OPEN_FLAGS (O_RDONLY | O_NONBLOCK | O_NOCTTY)

/* Bounds the reply: a folder is somebody else's. */
#define MEDIA_MAX 10000

static int folder_open(const struct core *core, unsigned root, struct err *err)
{
    if (core->root_dirs[root] < 0) {
        err_set(err, ERR_NOT_FOUND, "the pool root %s cannot be reached", host_root_id(root));
        return -1;
    }
    return fs_open(core->root_dirs[root], MEDIA_FOLDER, O_RDONLY | O_DIRECTORY, 0, err);
}

static bool is_medium(int fd, struct stat *st)
{
    return fstat(fd, st) == 0 && S_ISREG(st->st_mode) && st->st_size > 0;
}

/* ---- one ---- */

static int refuse(const char *name, int fd, struct err *err)
{
    close(fd);
    err_set(err, ERR_INVALID,
            "'%s' is not a file with something in it: put an ISO image itself, not a link to one, "
            "into the folder media of a pool root",
            name);
    return -1;
}

static bool is_a_name(const char *name, const char **why)
{
    *why = "must not be " MEDIA_UNKNOWN ": that stands for a drive whose content is not known";
    return strcmp(name, MEDIA_UNKNOWN) != 0 && check_media(name, why);
}

int media_open(struct core *core, const char *name, struct err *err)
{
    const char *why;
    struct stat st;

    if (!is_a_name(name, &why)) {
        err_set(err, ERR_INVALID, "the name of a medium %s", why);
        return -1;
    }
    for (unsigned i = 0; i < host_roots(); i++) {
        struct err ignored = {0};
        CLEANUP(closep) int dir = folder_open(core, i, &ignored);
        int fd = dir < 0 ? -1 : fs_open(dir, name, OPEN_FLAGS, 0, &ignored);

        if (fd >= 0)
            return is_medium(fd, &st) ? fd : refuse(name, fd, err);
        if (dir >= 0 && ignored.code != ERR_NOT_FOUND) {
            err_set(err, ERR_INVALID,
                    "'%s' in the pool root %s cannot be read: it must be a file, no link, and "
                    "readable for everyone",
                    name, host_root_id(i));
            return -1;
        }
    }
    err_set(err, ERR_NOT_FOUND,
            "there is no medium '%s': put the file into the folder media of a pool root; GET "
            "/media lists what is there",
            name);
    return -1;
}

/* ---- all ---- */

static json_t *medium_view(const char *name, unsigned root, const struct stat *st)
{
    json_t *v = json_object();

    json_put_text(v, "name", name);
    json_put_text(v, "root", host_root_id(root));
    json_put_u64(v, "size_bytes", (uint64_t)st->st_size);
    json_put_time(v, "modified_at",
                  st->st_mtim.tv_sec * INT64_C(1000) + st->st_mtim.tv_nsec / 1000000);
    return v;
}

static void list_file(json_t *list, int dir, unsigned root, const char *name)
{
    CLEANUP(closep) int fd = -1;
    struct err ignored = {0};
    const char *why;
    struct stat st;

    if (strlen(name) > MEDIA_NAME_MAX || !is_a_name(name, &why))
        return;
    fd = fs_open(dir, name, OPEN_FLAGS, 0, &ignored);
    if (fd >= 0 && is_medium(fd, &st))
        json_array_append_new(list, medium_view(name, root, &st));
}

static void list_root(const struct core *core, json_t *list, unsigned root)
{
    struct err ignored = {0};
    int fd = folder_open(core, root, &ignored);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);

    if (!dir) {
        closep(&fd);
        return;
    }
    for (struct dirent *e; json_array_size(list) < MEDIA_MAX && (e = readdir(dir));)
        list_file(list, dirfd(dir), root, e->d_name);
    closedir(dir);
}

void media_list(struct core *core, const struct query *query, struct strbuf *out)
{
    CLEANUP(page_clear) struct page page = {.query = query};
    CLEANUP(json_decrefp) json_t *found = json_array();
    json_t *medium;
    size_t i;

    for (unsigned root = 0; root < host_roots(); root++)
        list_root(core, found, root);
    json_array_foreach (found, i, medium)
        page_offer(&page, json_incref(medium));
    page_write(&page, NULL, NULL, out);
}
