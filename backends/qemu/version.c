/* QEMU's version: see version.h. Called once when the host is probed, and when a memory image is to
 * be gone on with: it may have been exchanged meanwhile. */
#include "backends/qemu/version.h"

#include "core/base/log.h"
#include "core/base/str.h"
#include "core/port/host.h"

#include <string.h>

#define VERSION_MS    20000 /* while a host starts, all its disks and processors are busy */
#define VERSION_WORDS "QEMU emulator version "

/* "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)\n…" -> "7.2.22 (Debian 1:7.2+dfsg-7)" */
static bool version_of(const char *text, char *out, size_t size)
{
    size_t len;

    if (!str_starts(text, VERSION_WORDS))
        return false;
    text += strlen(VERSION_WORDS);
    len = strcspn(text, "\r\n");
    if (len >= size)
        len = size - 1;
    memcpy(out, text, len);
    out[len] = 0;
    return str_is_utf8(out, len);
}

bool qemu_version_read(const struct capture *run, char *out, size_t size)
{
    if (!run->timed_out && run->wstatus == 0 && version_of(run->text, out, size))
        return true;
    out[0] = 0;
    log_warn("%s %s", host_qemu_path(),
             run->timed_out ? "took too long to tell its version" : "does not tell its version");
    return run->timed_out;
}

bool qemu_version(char *out, size_t size)
{
    char *const argv[] = {(char *)host_qemu_path(), "--version", NULL};
    struct err err = {0};
    struct capture run;

    out[0] = 0;
    if (capture_run(argv, -1, VERSION_MS, &run, &err))
        return qemu_version_read(&run, out, size);
    log_warn("QEMU: %s", err.detail);
    return false;
}
