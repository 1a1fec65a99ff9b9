/* vmmd-inspect, started for one image: see core/port/image.h and backends/qemu/inspect_wire.h. It
 * reads what a stranger wrote, so its report is checked as a stranger's. */
#include "backends/qemu/inspect_wire.h"
#include "backends/qemu/qemu.h"
#include "backends/qemu/tool.h"
#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATIENCE_MS 60000
#define VIRTUAL_MAX (64ull << 40)

static char *program; /* set before there are threads */

void image_inspect_init(const char *path)
{
    free(program);
    program = str_dup(path);
}

static bool hear(int fd, struct inspect_report *out, struct err *err)
{
    const int64_t deadline = clock_mono_ms() + PATIENCE_MS;

    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        const int n = poll(&p, 1, (int)clock_left_ms(deadline));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(err, errno, "wait for vmmd-inspect");
        if (n == 0)
            return err_set(err, ERR_TIMEOUT, "the image was not read through within %d s",
                           PATIENCE_MS / 1000);
        break;
    }
    return (read(fd, out, sizeof *out) == sizeof *out && out->version == 1) ||
           err_set(err, ERR_INVALID,
                   "the image could not be looked into: vmmd-inspect was ended "
                   "by what is in it");
}

static bool is_text(const char *text, size_t size)
{
    return memchr(text, 0, size) != NULL;
}

static bool is_sane(const struct image_facts *f, int stated, uint64_t file_bytes)
{
    return f->format > IMAGE_UNKNOWN && f->format < IMAGE_FORMATS &&
           (stated == IMAGE_UNKNOWN ? f->format != IMAGE_RAW : f->format == stated) &&
           f->backing_format >= IMAGE_UNKNOWN && f->backing_format < IMAGE_FORMATS &&
           f->virtual_bytes && f->virtual_bytes <= VIRTUAL_MAX && f->virtual_bytes % 512 == 0 &&
           f->data_bytes <= f->virtual_bytes && f->file_bytes == file_bytes &&
           is_text(f->layout, sizeof f->layout) && is_text(f->backing, sizeof f->backing) &&
           (!f->has_backing || f->format == IMAGE_QCOW2) &&
           (!f->is_plain || ((f->format == IMAGE_RAW || f->format == IMAGE_VHD) &&
                             f->virtual_bytes <= (file_bytes + 511) / 512 * 512));
}

static bool judge(struct inspect_report *r, int stated, uint64_t file_bytes,
                  struct image_facts *out, struct err *err)
{
    r->detail[sizeof r->detail - 1] = 0;
    str_scrub(r->detail);
    if (r->outcome != INSPECT_DONE)
        return err_set(err, r->outcome == INSPECT_REFUSED ? ERR_INVALID : ERR_INTERNAL, "%s",
                       r->detail);
    if (!is_sane(&r->facts, stated, file_bytes))
        return err_set(err, ERR_INVALID, "the image is damaged: nothing sensible is known of it");
    *out = r->facts;
    return true;
}

bool image_inspect(int fd, int stated, struct image_facts *out, struct err *err)
{
    CLEANUP(closep) int in = -1;
    CLEANUP(mem_freep) struct inspect_report *report = mem_alloc(sizeof *report);
    char format[16] = "any";
    char *argv[] = {(char *)"vmmd-inspect", format, NULL};
    struct stat st;
    pid_t pid;
    bool ok;

    if (stated != IMAGE_UNKNOWN)
        snprintf(format, sizeof format, "%d", stated);
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return err_set(err, ERR_INVALID, "an image is a regular file");
    if (!tool_start(program, argv, &fd, 1, &in, &pid, err))
        return false;
    ok = hear(in, report, err);
    tool_end(pid, true);
    return ok && judge(report, stated, (uint64_t)st.st_size, out, err);
}
