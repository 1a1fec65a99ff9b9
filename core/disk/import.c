/* Bringing an image in: see import.h. The operation is that of adding a disk (add.c), whose file is
 * filled here before it becomes the VM's:
 *
 *   an empty overlay, without a name ─► the image (read only, its format stated)
 *        └─ mirrored into the new file by a QEMU that runs no guest and opens nothing else
 *
 * The overlay makes the disk as large as the new file, whatever the image says by then. */
#include "core/disk/import.h"

#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/core/parts.h"
#include "core/disk/disks.h"
#include "core/disk/space.h"
#include "core/model/field.h"
#include "core/snap/convert.h"
#include "core/snap/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATIENCE_MS (10 * 60 * 1000) /* a mirror tells of progress several times a second */
#define OPEN_FLAGS  (O_RDONLY | O_NONBLOCK | O_NOCTTY)

/* ---- what a client says ---- */

static const char *const formats[] = {"auto", "qcow2", "raw", "vhd", "vhdx", "vmdk", NULL};

static const struct field source_fields[] = {
    {.name = "file",
     .type = FIELD_TEXT,
     .flags = FIELD_REQUIRED,
     .offset = offsetof(struct import_source, file),
     .min = 1,
     .max = IMPORT_NAME_MAX,
     .check = check_name,
     .help = "name of an image in the folder imports of a pool root"},
    {.name = "root",
     .type = FIELD_TEXT,
     .offset = offsetof(struct import_source, root),
     .min = 1,
     .max = NAME_MAX_BYTES,
     .check = check_line,
     .help = "id of a pool root; absent: that of the disk's pool"},
    {.name = "format",
     .type = FIELD_ENUM,
     .offset = offsetof(struct import_source, format),
     .names = formats,
     .fallback = "\"auto\"",
     .help = "auto: what its content says, which is never raw"},
};
static const struct model source_model = {"DiskSource", sizeof(struct import_source), source_fields,
                                          ARRAY_LEN(source_fields)};

void import_close(struct import *import)
{
    model_clear(&source_model, &import->source);
    closep(&import->fd);
}

json_t *import_encode(const struct import *import)
{
    json_t *said = json_object();

    json_put_text(said, "file", import->source.file);
    json_put_text(said, "root", import->source.root);
    json_put_text(said, "format", image_format_names[import->facts.format]);
    return said;
}

/* ---- finding and opening it ---- */

static bool is_plain(const struct stat *st, struct err *err)
{
    if (!S_ISREG(st->st_mode))
        return err_field(err, ERR_INVALID, "/file",
                         "what has that name is no file: only plain files are imported");
    return st->st_nlink == 1 ||
           err_field(err, ERR_INVALID, "/file",
                     "the file has another name somewhere else as well: copy it, so that it is "
                     "only here");
}

static bool why_not_open(const char *file, struct err *err)
{
    if (err->code == ERR_NOT_FOUND) {
        *err = (struct err){0};
        return err_field(err, ERR_NOT_FOUND, "/file",
                         "there is no image '%.64s' in the folder " IMPORTS_FOLDER
                         " of that pool root: GET /imports lists them",
                         file);
    }
    *err = (struct err){0};
    return err_field(err, ERR_INVALID, "/file",
                     "the file cannot be opened: give it to the user that vmmd runs as");
}

/* Looked at before it is opened as well: opening a device or a pipe does something already. */
static int open_beneath(int dir, const char *file, struct err *err)
{
    CLEANUP(closep) int fd = -1;
    struct stat before, st;

    if (fstatat(dir, file, &before, AT_SYMLINK_NOFOLLOW) < 0) {
        struct err gone = {.code = errno == ENOENT ? ERR_NOT_FOUND : ERR_INTERNAL};
        *err = gone;
        why_not_open(file, err);
        return -1;
    }
    if (!is_plain(&before, err))
        return -1;
    fd = fs_open(dir, file, OPEN_FLAGS, 0, err);
    if (fd < 0) {
        why_not_open(file, err);
        return -1;
    }
    if (fstat(fd, &st) < 0 || !is_plain(&st, err))
        return -1;
    return TAKE_FD(fd);
}

static bool look(struct import *import, struct err *err)
{
    if (!image_inspect(import->fd, import->source.format - 1, &import->facts, err))
        return err->code != ERR_INVALID ? false : err_under(err, "/file");
    if (import->facts.has_backing)
        return err_field(err, ERR_INVALID, "/file",
                         "the image has only what differs from another file, which is never "
                         "opened: make one file of both with qemu-img convert -O qcow2");
    return true;
}

bool import_open(struct core *core, const json_t *said, const char *root, struct import *out,
                 struct err *err)
{
    CLEANUP(closep) int dir = -1;

    *out = (struct import){.fd = -1};
    if (!model_decode(&source_model, said, MODEL_CLIENT, &out->source, err))
        return err_under(err, "/source");
    if (!out->source.root)
        out->source.root = str_dup(root);
    dir = import_folder(core, out->source.root, NULL, err);
    out->fd = dir < 0 ? -1 : open_beneath(dir, out->source.file, err);
    return (out->fd >= 0 && look(out, err)) || err_under(err, "/source");
}

/* ---- filling a disk's file ---- */

/* Without a name, so that nothing is left of it; where files must have one, in memory. */
static int make_overlay(int dir, uint64_t size_bytes, struct err *err)
{
    const struct image_parent below = {"imported", DISK_RAW};
    int fd = openat(dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd < 0)
        fd = memfd_create("overlay", MFD_CLOEXEC);
    if (fd < 0)
        err_errno(err, errno, "make room for an overlay");
    else if (!image_create(fd, DISK_QCOW2, size_bytes, &below, err))
        closep(&fd);
    return fd;
}

/* The image below an overlay; it is taken. */
static struct plan_disk *make_disk(struct import *import, int overlay, uint64_t size_bytes)
{
    struct plan_disk *disk = mem_alloc(sizeof *disk);

    *disk = (struct plan_disk){.id = uuid_new(),
                               .format = DISK_QCOW2,
                               .size_bytes = size_bytes,
                               .files = mem_array(2, sizeof *disk->files),
                               .fds = mem_array(2, sizeof *disk->fds),
                               .base_formats = mem_array(2, sizeof *disk->base_formats),
                               .n_fds = 2,
                               .leaf_stays_empty = true};
    disk->files[0] = uuid_new();
    disk->files[1] = uuid_new();
    disk->fds[0] = overlay;
    disk->fds[1] = import->fd;
    disk->base_formats[0] = import->facts.format;
    if (import->facts.is_plain) { /* QEMUs differ on how large the disk of a fixed vhd is */
        disk->base_formats[0] = DISK_RAW;
        disk->base_bytes = import->facts.format == IMAGE_RAW ? 0 : import->facts.virtual_bytes;
    }
    import->fd = -1;
    return disk;
}

/* The largest that a copy can be: all of the disk with the tables of any format, and a last block
 * of vhdx, which are the largest. */
uint64_t import_file_max(uint64_t size_bytes)
{
    return size_bytes + size_bytes / 512 + (320ull << 20);
}

static bool convert(struct core *core, struct job *job, struct vm *shadow, struct plan_disk *disk,
                    const struct layer *layer, struct err *err)
{
    struct convert order = {.core = core,
                            .job = job,
                            .shadow = shadow,
                            .image = layer->id,
                            .format = layer->format,
                            .size_bytes = layer->size_bytes,
                            .full = "the pool is full",
                            .cancelled = "nothing was imported",
                            .patience_ms = PATIENCE_MS,
                            .stuck = "nothing of the image could be copied for ten minutes: it is "
                                     "damaged, or storage does not answer; nothing was imported",
                            .overgrown = "the image holds more than the disk it says it is: it is "
                                         "damaged, or was made to be; nothing was imported"};
    bool ok;

    order.helper =
        helper_start_on(core, shadow, disk, helper_in_memory(layer->dir, layer->size_bytes),
                        import_file_max(layer->size_bytes), err);
    if (!order.helper)
        return false;
    order.fd = layer_open(layer, O_RDWR, err);
    ok = order.fd >= 0 && FAILPOINT_AROUND("import.mirror", convert_run(&order, err), err);
    helper_stop(core, shadow, order.helper);
    return ok;
}

static bool copy(struct core *core, struct job *job, int backend, struct import *import,
                 const struct layer *layer, struct err *err)
{
    const int overlay = make_overlay(layer->dir, layer->size_bytes, err);
    struct plan_disk *disk;
    struct vm *shadow;
    bool ok;

    if (overlay < 0)
        return false;
    disk = make_disk(import, overlay, layer->size_bytes);
    shadow = helper_shadow(core, job_id(job), backend);
    ok = convert(core, job, shadow, disk, layer, err);
    helper_shadow_free(core, shadow);
    disks_close(disk, 1);
    return ok;
}

static bool flush(const struct layer *layer, struct err *err)
{
    CLEANUP(closep) int fd = layer_open(layer, O_RDONLY, err);

    return fd >= 0 && fs_sync(fd, "an imported disk", err) && FAILPOINT("import.flushed", err);
}

bool import_fill(struct core *core, struct job *job, int backend, const struct layer *layer,
                 const json_t *source, struct err *err)
{
    CLEANUP(import_close) struct import import = {.fd = -1};

    if (!FAILPOINT("import.look", err) || !import_open(core, source, NULL, &import, err))
        return false;
    if (import.facts.virtual_bytes > layer->size_bytes)
        return err_set(err, ERR_INVALID, "the image has become larger since it was looked into");
    return space_reserve(core, &layer->pool, job_id(job), import.facts.data_bytes, "/pool", err) &&
           copy(core, job, backend, &import, layer, err) && flush(layer, err);
}

void import_settle(struct core *core, struct job *job)
{
    struct err err = {0};

    space_release(core, job_id(job));
    if (!fs_remove_tree(core->vms_fd, UUID_STR(job_id(job)), &err))
        log_warn("what an import needed was not removed: %s", err.detail);
}
