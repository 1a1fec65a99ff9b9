/* The web UI's files: a table of what is built in. With a web directory configured (development)
 * the same names are read from there instead. Nothing else is ever served from the file system. */
#include "api/assets.h"
#include "api/handlers.h"
#include "api/server.h"
#include "core/base/fs.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FILE_BYTES (8u << 20)

static const struct page_file {
    const char *name;
    const char *type;
    const char *begin, *end;
} files[] = {
#define X(symbol, path, type) {&path[sizeof UI_FOLDER - 1], type, symbol, symbol##_end},
    UI_FILES(X)
#undef X
};

static bool serve_from(struct request *rq, const char *dir, const struct page_file *file,
                       struct err *err)
{
    CLEANUP(closep) int dirfd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    CLEANUP(closep) int fd = -1;
    char *data = NULL;
    size_t len = 0;

    if (dirfd >= 0)
        fd = fs_open(dirfd, file->name, O_RDONLY, 0, err);
    if (fd < 0 || !fs_read_all(fd, MAX_FILE_BYTES, &data, &len, err))
        return err_set(err, ERR_NOT_FOUND, "the web directory has no readable %s", file->name);
    return reply_bytes(rq, file->type, data, len);
}

static bool serve_file(struct request *rq, const char *name, struct err *err)
{
    const char *dir = rq->api->config.web_dir_or_null;

    rq->reply.is_page = true;
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        if (strcmp(files[i].name, name) != 0)
            continue;
        if (dir)
            return serve_from(rq, dir, &files[i], err);
        return reply_static(rq, files[i].type, files[i].begin,
                            (size_t)(files[i].end - files[i].begin));
    }
    return err_set(err, ERR_NOT_FOUND, "there is no such file in the web UI");
}

bool ui_index(struct request *rq, struct err *err)
{
    return serve_file(rq, "index.html", err);
}

bool ui_file(struct request *rq, struct err *err)
{
    return serve_file(rq, rq->ref, err);
}
