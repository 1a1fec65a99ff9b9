/* Screenshots: QEMU writes a PNG, or a PPM to be made small, into a memory file of ours, and
 * nothing of it is believed. Called by core through backend_qemu.
 *
 * QEMU's screendump opens a path; "/dev/fdset/n" stands for a descriptor that was handed over, and
 * is found only when its access mode is exactly O_WRONLY. QEMU truncates the file first, so it
 * cannot be sealed at a size; a QEMU that was taken over can fill it, but pays for the memory
 * itself, and no more than SCREEN_MAX is read. */
#include "backends/qemu/machine.h"

#include "backends/qemu/png.h"
#include "backends/qemu/thumb.h"
#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SCREEN_MAX   (32u << 20)
#define SCREEN_PIECE (256u << 10)

static int memory_file(struct err *err)
{
    int fd = memfd_create("screen", MFD_CLOEXEC);

    if (fd < 0)
        err_errno(err, errno, "make room for a screenshot");
    return fd;
}

static int writing_end(int fd, struct err *err)
{
    char path[32];
    int out;

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    out = open(path, O_WRONLY | O_CLOEXEC);
    if (out < 0)
        err_errno(err, errno, "open a screenshot's file");
    return out;
}

void screen_explain(unsigned head, struct err *err)
{
    if (strstr(err->detail, "'" VIDEO_DEVICE "' not found"))
        err_set(err, ERR_UNSUPPORTED,
                "the VM has no graphics card: set video.model and start it anew, or use its serial "
                "port");
    else if (strstr(err->detail, "not bound to a QemuConsole"))
        err_set(err, ERR_INVALID, "the VM's graphics card has no display %u", head);
}

static int64_t left(int64_t deadline_ms)
{
    int64_t ms = deadline_ms - clock_mono_ms();

    return ms > 1 ? ms : 1;
}

static bool dump_to(struct machine *m, unsigned head, const char *format, int64_t deadline_ms,
                    int fd, struct err *err)
{
    char path[48];
    unsigned set;
    bool ok;

    if (!fdset_lend_within(m, left(deadline_ms), fd, "screen", &set, err))
        return false;
    snprintf(path, sizeof path, "/dev/fdset/%u", set);
    ok = link_qmp(m->link, "screendump",
                  json_pack("{s:s,s:s,s:s,s:i}", "filename", path, "format", format, "device",
                            VIDEO_DEVICE, "head", (int)head),
                  NULL, 0, left(deadline_ms), NULL, err);
    fdset_take_back_within(m, left(deadline_ms), set);
    if (!ok)
        screen_explain(head, err);
    return ok;
}

/* Reads piece by piece until the picture is whole, as 'measure' says. */
static bool read_picture(int fd, long (*measure)(const char *data, size_t len), char **out,
                         size_t *len, struct err *err)
{
    CLEANUP(mem_freep) char *data = NULL;
    size_t have = 0;
    long whole = 0;

    while (whole == 0 && have < SCREEN_MAX) {
        ssize_t n;
        data = mem_resize(data, have + SCREEN_PIECE, 1);
        n = pread(fd, data + have, SCREEN_PIECE, (off_t)have);
        if (n < 0)
            return err_errno(err, errno, "read a screenshot");
        if (n == 0)
            break;
        have += (size_t)n;
        whole = measure(data, have);
        whole = whole > (long)have ? 0 : whole;
    }
    if (whole <= 0)
        return err_set(err, ERR_HYPERVISOR, "QEMU's screenshot is not a picture of at most %u MiB",
                       SCREEN_MAX >> 20);
    *out = TAKE(data);
    *len = (size_t)whole;
    return true;
}

static bool shoot(struct machine *m, unsigned head, const char *format, int64_t wait_ms,
                  long (*measure)(const char *data, size_t len), char **out, size_t *len,
                  struct err *err)
{
    const int64_t deadline_ms = clock_mono_ms() + wait_ms;
    CLEANUP(closep) int file = memory_file(err);
    CLEANUP(closep) int end = file >= 0 ? writing_end(file, err) : -1;

    return end >= 0 && dump_to(m, head, format, deadline_ms, end, err) &&
           read_picture(file, measure, out, len, err);
}

bool machine_screenshot(struct machine *m, unsigned head, char **png, size_t *len, struct err *err)
{
    return shoot(m, head, "png", SCREEN_MS, png_measure, png, len, err);
}

bool machine_thumbnail(struct machine *m, unsigned max_px, char **png, size_t *len, struct err *err)
{
    CLEANUP(mem_freep) char *ppm = NULL;
    size_t ppm_len;

    return shoot(m, 0, "ppm", THUMB_MS, ppm_measure, &ppm, &ppm_len, err) &&
           thumb_of_ppm(ppm, ppm_len, max_px, png, len, err);
}
