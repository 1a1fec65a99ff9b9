/* Images that come through the API: see upload.h.
 *
 *   ".NAME.TOTAL.part" ─► bytes are put behind those that are there ─► flushed ─► compared with the
 *        digest ─► * renamed to NAME, the folder flushed
 *
 * The file's size is how much has come, and its name says how much there will be: nothing of it is
 * in the database, and nothing is lost with the daemon. Room for all of it is taken from the file
 * system when it is made, beyond its end, so that no upload that was begun ends for want of space.
 * A reply is given when what it tells of is on the disk. */
#include "core/disk/upload.h"

#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/core/parts.h"
#include "core/disk/space.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FLUSH_BYTES (64ull << 20) /* so much lies in memory at most, not yet written */
#define BLOCK_BYTES (256u << 10)
#define SHA256_LEN  32

struct upload {
    struct core *core;
    unsigned root;
    char name[IMPORT_NAME_MAX + 1];
    struct upload *next; /* registry's lock */

    int dir, fd;
    struct part part;
    uint64_t unflushed;
    bool counts;     /* a body is taken, of which there may be so many */
    bool is_checked; /* against … */
    uint8_t sha256[SHA256_LEN];
    const atomic_bool *no_more;
};

/* ---- one at a time ---- */

static bool enlist(struct upload *u, struct err *err)
{
    struct registry *registry = &u->core->registry;
    bool taken = false, fits;
    unsigned n = 0;

    lock_take(&registry->lock);
    for (struct upload *other = registry->uploads; other; other = other->next) {
        taken |= other->root == u->root && strcmp(other->name, u->name) == 0;
        n += other->counts;
    }
    fits = !u->counts || n < UPLOADS_AT_ONCE;
    if (!taken && fits) {
        u->next = registry->uploads;
        registry->uploads = u;
    }
    lock_drop(&registry->lock);
    if (taken)
        return err_set(err, ERR_BUSY,
                       "the image %.64s is being uploaded at the moment: one request at a time; a "
                       "connection that broke counts for half a minute",
                       u->name);
    return fits || err_set(err, ERR_BUSY,
                           "%u uploads are under way, and there may not be more at once: try again "
                           "later",
                           UPLOADS_AT_ONCE);
}

static void delist(struct upload *u)
{
    struct upload **at;

    lock_take(&u->core->registry.lock);
    for (at = &u->core->registry.uploads; *at && *at != u; at = &(*at)->next)
        ;
    if (*at)
        *at = u->next;
    lock_drop(&u->core->registry.lock);
}

void upload_close(struct upload *upload)
{
    if (!upload)
        return;
    delist(upload);
    closep(&upload->fd);
    closep(&upload->dir);
    free(upload);
}

static void upload_closep(struct upload **upload)
{
    upload_close(*upload);
}

static struct upload *claim(struct core *core, unsigned root, const char *name, bool counts,
                            struct err *err)
{
    CLEANUP(upload_closep) struct upload *u = mem_alloc(sizeof *u);

    *u = (struct upload){.core = core, .root = root, .dir = -1, .fd = -1, .counts = counts};
    if (!import_name_is_good(name)) {
        err_set(err, ERR_INVALID,
                "the name of an image starts with a letter or digit, has up to %d letters, digits, "
                "'.', '_' and '-', and is no UUID",
                IMPORT_NAME_MAX);
        return NULL;
    }
    str_copy(u->name, sizeof u->name, name);
    return enlist(u, err) ? TAKE(u) : NULL;
}

struct upload *upload_claim(struct core *core, unsigned root, const char *name, struct err *err)
{
    return claim(core, root, name, false, err);
}

/* ---- beginning ---- */

static bool check_ask(const struct upload_ask *ask, struct upload *u, struct err *err)
{
    if (!ask->total || ask->total > UPLOAD_BYTES_MAX)
        return err_set(err, ERR_INVALID, "an image has at least a byte, and at most 64 TiB");
    if (ask->from > ask->total || ask->len > ask->total - ask->from)
        return err_set(err, ERR_INVALID,
                       "the piece does not lie within the image's %" PRIu64 " bytes", ask->total);
    u->is_checked = ask->sha256 != NULL;
    u->no_more = ask->no_more;
    return !ask->sha256 || str_unhex(ask->sha256, u->sha256, SHA256_LEN) ||
           err_field(err, ERR_INVALID, "?sha256",
                     "sha256 is 64 hexadecimal digits in lower case, as sha256sum prints them");
}

static bool is_new(struct upload *u, struct err *err)
{
    return faccessat(u->dir, u->name, F_OK, AT_SYMLINK_NOFOLLOW) < 0 ||
           err_set(err, ERR_EXISTS,
                   "there is something called %.64s in that folder: delete it first, or choose "
                   "another name",
                   u->name);
}

/* From the file system, beyond the end of the file; some cannot do that. */
static bool take_room(const struct upload *u, struct err *err)
{
    if (fallocate(u->fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)u->part.total_bytes) == 0 ||
        errno == EOPNOTSUPP || errno == ENOSYS)
        return true;
    return err_errno(err, errno, "take room for an upload");
}

static bool make_part(struct upload *u, struct err *err)
{
    snprintf(u->part.entry, sizeof u->part.entry, ".%s.%" PRIu64 ".part", u->name,
             u->part.total_bytes);
    if (!FAILPOINT("upload.make", err))
        return false;
    u->fd = fs_open(u->dir, u->part.entry, O_RDWR | O_CREAT | O_EXCL | O_NOCTTY, 0640, err);
    if (u->fd < 0)
        return false;
    if (take_room(u, err) && fs_sync(u->dir, "the folder of images to import", err))
        return true;
    (void)unlinkat(u->dir, u->part.entry, 0);
    return false;
}

/* From its first byte on; what there was of it goes, once it is clear that there is room. */
static bool begin_anew(struct upload *u, const struct upload_ask *ask, const struct part *old,
                       unsigned n_parts, struct err *err)
{
    const uint64_t back = old ? old->file_bytes : 0;

    if (!old && n_parts >= UPLOADS_LEFT)
        return err_set(err, ERR_WRONG_STATE,
                       "%u unfinished uploads lie there: go on with some, or delete them", n_parts);
    if (!space_check_root(u->core, ask->root, u->dir, ask->total > back ? ask->total - back : 0,
                          err))
        return false;
    if (old && !fs_remove(u->dir, old->entry, err))
        return false;
    u->part.total_bytes = ask->total;
    return make_part(u, err);
}

static bool go_on(struct upload *u, const struct upload_ask *ask, const struct part *old,
                  struct err *err)
{
    struct stat st;

    if (!old)
        return err_set(err, ERR_WRONG_STATE,
                       "nothing of the image %.64s has come yet: begin at its first byte", u->name);
    if (old->total_bytes != ask->total)
        return err_set(err, ERR_WRONG_STATE,
                       "the upload of %.64s was begun with %" PRIu64 " bytes: begin anew at its "
                       "first byte if the image is another by now",
                       u->name, old->total_bytes);
    if (old->have_bytes != ask->from)
        return err_set(err, ERR_WRONG_STATE,
                       "%" PRIu64 " bytes of the image %.64s have come: go on there",
                       old->have_bytes, u->name);
    u->part = *old;
    u->fd = fs_open(u->dir, old->entry, O_RDWR | O_NONBLOCK | O_NOCTTY, 0, err);
    if (u->fd < 0)
        return false;
    if (fstat(u->fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == ask->from &&
        lseek(u->fd, st.st_size, SEEK_SET) == st.st_size)
        return true;
    return err_set(err, ERR_WRONG_STATE, "the upload was changed meanwhile");
}

static bool open_part(struct upload *u, const struct upload_ask *ask, struct err *err)
{
    unsigned n_parts;
    struct part old;
    const bool begun = part_find(u->dir, u->name, &old, &n_parts);

    if (!ask->from)
        return begin_anew(u, ask, begun ? &old : NULL, n_parts, err);
    return go_on(u, ask, begun ? &old : NULL, err);
}

struct upload *upload_begin(struct core *core, const struct upload_ask *ask, struct err *err)
{
    unsigned root = 0;
    CLEANUP(closep) int dir = import_folder(core, ask->root, &root, err);
    CLEANUP(upload_closep) struct upload *u = NULL;

    if (dir < 0)
        return NULL;
    u = claim(core, root, ask->name, true, err);
    if (!u)
        return NULL;
    u->dir = TAKE_FD(dir);
    return check_ask(ask, u, err) && is_new(u, err) && open_part(u, ask, err) ? TAKE(u) : NULL;
}

/* ---- taking ---- */

/* The kernel says once that it could not write something, and what it has in memory of it may still
 * be read for a while: so it has not come. Room for the rest is asked for again, since a file that
 * is made shorter loses what lies beyond its end. */
static void take_back(struct upload *u)
{
    u->part.have_bytes -= u->unflushed;
    u->unflushed = 0;
    if (ftruncate(u->fd, (off_t)u->part.have_bytes) < 0) {
        log_warn("an upload that could not be flushed is removed, as it cannot be made shorter: %s",
                 strerror(errno));
        (void)unlinkat(u->dir, u->part.entry, 0);
        return;
    }
    (void)fallocate(u->fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)u->part.total_bytes);
}

static bool flush(struct upload *u, struct err *err)
{
    if (!FAILPOINT("upload.flush", err) || !fs_sync(u->fd, "an upload", err)) {
        take_back(u);
        return false;
    }
    u->unflushed = 0;
    return true;
}

bool upload_add(struct upload *u, const void *data, size_t len, struct err *err)
{
    if (len > u->part.total_bytes - u->part.have_bytes)
        return err_set(err, ERR_INVALID, "more came than was announced");
    if (!FAILPOINT("upload.write", err) || !fs_write_all(u->fd, data, len, err))
        return false;
    u->part.have_bytes += len;
    u->unflushed += len;
    return u->unflushed < FLUSH_BYTES || flush(u, err);
}

/* ---- ending ---- */

static bool digest_file(struct upload *u, EVP_MD_CTX *md, uint8_t *block, struct err *err)
{
    for (uint64_t at = 0; at < u->part.total_bytes;) {
        ssize_t n = pread(u->fd, block, BLOCK_BYTES, (off_t)at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return err_errno(err, n < 0 ? errno : EIO, "read an upload back");
        if (EVP_DigestUpdate(md, block, (size_t)n) != 1)
            return err_set(err, ERR_INTERNAL, "SHA-256 is not available");
        at += (uint64_t)n;
        if (u->no_more && atomic_load(u->no_more))
            return err_set(err, ERR_UNAVAILABLE, "vmmd is stopping: ask once more in a moment");
    }
    return true;
}

/* As it lies on the disk, whoever brought which piece of it, and not as memory has it. */
static bool digest(struct upload *u, uint8_t out[SHA256_LEN], struct err *err)
{
    CLEANUP(mem_freep) uint8_t *block = mem_alloc(BLOCK_BYTES);
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool ok = (md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1) ||
              err_set(err, ERR_INTERNAL, "SHA-256 is not available");

    (void)posix_fadvise(u->fd, 0, 0, POSIX_FADV_DONTNEED);
    ok = ok && digest_file(u, md, block, err);
    if (ok && EVP_DigestFinal_ex(md, out, NULL) != 1)
        ok = err_set(err, ERR_INTERNAL, "SHA-256 is not available");
    EVP_MD_CTX_free(md);
    return ok;
}

static bool check_digest(struct upload *u, struct err *err)
{
    uint8_t found[SHA256_LEN];
    char text[2 * SHA256_LEN + 1];

    if (!u->is_checked)
        return true;
    if (!digest(u, found, err))
        return false;
    if (memcmp(found, u->sha256, sizeof found) == 0)
        return true;
    if (!fs_remove_large(u->dir, u->part.entry, err))
        return false;
    str_hex(found, sizeof found, text);
    return err_field(err, ERR_INVALID, "?sha256",
                     "what came has the SHA-256 %s, which is not what it should be: it was "
                     "removed; begin anew",
                     text);
}

/* Not every file system can rename only if there is nothing of that name. Then it is looked before:
 * nobody but us puts anything there that is not whole. */
static bool rename_new(struct upload *u, struct err *err)
{
    if (renameat2(u->dir, u->part.entry, u->dir, u->name, RENAME_NOREPLACE) == 0)
        return true;
    if (errno == EEXIST || errno != EINVAL)
        return errno == EEXIST ? is_new(u, err) : err_errno(err, errno, "name an upload");
    return is_new(u, err) && (renameat(u->dir, u->part.entry, u->dir, u->name) == 0 ||
                              err_errno(err, errno, "name an upload"));
}

bool upload_end(struct upload *u, bool *whole, struct err *err)
{
    *whole = false;
    if (!flush(u, err) || !FAILPOINT("upload.flushed", err))
        return false;
    if (u->part.have_bytes < u->part.total_bytes)
        return true;
    if (!check_digest(u, err) || !FAILPOINT_AROUND("upload.name", rename_new(u, err), err) ||
        !fs_sync(u->dir, "the folder of images to import", err) ||
        !import_record(u->core, "import.uploaded", host_root_id(u->root), u->name, err))
        return false;
    return *whole = true;
}

/* ---- leftovers ---- */

/* The claim makes sure that nobody is about to go on with it. */
static void sweep_part(struct core *core, unsigned root, int dir, const char *entry, int64_t now_ms)
{
    CLEANUP(upload_closep) struct upload *claim = NULL;
    struct err err = {0};
    struct part part;

    if (!part_read(dir, entry, &part) || now_ms - part.modified_ms < UPLOAD_KEEP_MS)
        return;
    claim = upload_claim(core, root, part.name, &err);
    if (!claim || !part_read(dir, entry, &part) || now_ms - part.modified_ms < UPLOAD_KEEP_MS)
        return;
    if (fs_remove_large(dir, entry, &err))
        log_info("removed what had come of the image %s: nobody went on with it for 7 days",
                 part.name);
    else
        log_warn("what had come of the image %s was not removed: %s", part.name, err.detail);
}

static void sweep_root(struct core *core, unsigned root, int64_t now_ms)
{
    struct err ignored = {0};
    int fd = fs_open(core->root_dirs[root], IMPORTS_FOLDER, O_RDONLY | O_DIRECTORY, 0, &ignored);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);

    if (!dir) {
        closep(&fd);
        return;
    }
    for (struct dirent *e; (e = readdir(dir));)
        sweep_part(core, root, dirfd(dir), e->d_name, now_ms);
    closedir(dir);
}

void uploads_sweep(struct core *core)
{
    const int64_t now_ms = clock_wall_ms();

    for (unsigned root = 0; root < host_roots(); root++)
        if (core->root_dirs[root] >= 0)
            sweep_root(core, root, now_ms);
}
