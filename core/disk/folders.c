/* Folders in the pool roots: see folders.h. */
#include "core/disk/folders.h"

#include "core/base/fs.h"
#include "core/core/parts.h"
#include "core/model/page.h"

#include <dirent.h>
#include <fcntl.h>

#define LIST_MAX 10000

int folder_open(const struct core *core, unsigned root, const char *folder, struct err *err)
{
    if (core->root_dirs[root] < 0) {
        err_set(err, ERR_NOT_FOUND, "the pool root %s cannot be reached", host_root_id(root));
        return -1;
    }
    return fs_open(core->root_dirs[root], folder, O_RDONLY | O_DIRECTORY, 0, err);
}

static void list_root(const struct core *core, unsigned root, const char *folder, folder_show *show,
                      json_t *list)
{
    struct err ignored = {0};
    int fd = folder_open(core, root, folder, &ignored);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);

    if (!dir) {
        closep(&fd);
        return;
    }
    for (struct dirent *e; json_array_size(list) < LIST_MAX && (e = readdir(dir));) {
        json_t *one = show(dirfd(dir), e->d_name, root);
        if (one)
            json_array_append_new(list, one);
    }
    closedir(dir);
}

void folder_list(const struct core *core, const char *folder, folder_show *show,
                 const struct query *query, struct strbuf *out)
{
    CLEANUP(page_clear) struct page page = {.query = query};
    CLEANUP(json_decrefp) json_t *found = json_array();
    json_t *one;
    size_t i;

    for (unsigned root = 0; root < host_roots(); root++)
        list_root(core, root, folder, show, found);
    json_array_foreach (found, i, one)
        page_offer(&page, json_incref(one));
    page_write(&page, NULL, NULL, out);
}
