/* The firmware's files: see firmware.h. Called by the arguments' builder, the probe and, through
 * core/port/backend.h, by core when a VM starts for the first time. */
#include "backends/qemu/firmware.h"

#include "core/base/fs.h"
#include "core/port/backend.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define TEMPLATE_MAX (4u << 20)

/* Indexed by 'secure_boot'. The second pair has the keys of Microsoft enrolled, which sign what
 * distributions and Windows boot. */
static const struct {
    const char *code, *variables;
} files[] = {
    {"/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"},
    {"/usr/share/OVMF/OVMF_CODE_4M.secboot.fd", "/usr/share/OVMF/OVMF_VARS_4M.ms.fd"},
};

const char *firmware_code(bool secure_boot)
{
    return files[secure_boot].code;
}

bool firmware_found(bool secure_boot)
{
    return access(files[secure_boot].code, R_OK) == 0 &&
           access(files[secure_boot].variables, R_OK) == 0;
}

bool backend_nvram_template(bool secure_boot, char **data, size_t *len, struct err *err)
{
    CLEANUP(closep) int fd = open(files[secure_boot].variables, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return err_errno(err, errno, "open the firmware's variables");
    return fs_read_all(fd, TEMPLATE_MAX, data, len, err);
}
