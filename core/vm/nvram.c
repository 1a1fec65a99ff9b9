/* The firmware's variables: see nvram.h. Called when a VM starts.
 *
 * They are published whole (R2): a power cut leaves no file or the template. From then on only QEMU
 * writes to it. */
#include "core/vm/nvram.h"

#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/port/backend.h"
#include "core/vm/registry.h"

#include <fcntl.h>

static bool make(int dir, const char *name, bool secure_boot, struct err *err)
{
    CLEANUP(mem_freep) char *data = NULL;
    size_t len = 0;

    if (backend_nvram_template(secure_boot, &data, &len, err))
        return FAILPOINT("vm.start.nvram", err) && fs_publish(dir, name, data, len, 0600, err);
    return err->code == ERR_NOT_FOUND &&
           err_field(err, ERR_UNSUPPORTED, "/firmware/type",
                     "the UEFI firmware is not installed: install the package ovmf");
}

static const char *name_of(const struct vm_spec *spec)
{
    return spec->firmware.secure_boot ? "nvram-sb.fd" : "nvram.fd";
}

bool vm_nvram_is_there(struct core *core, const struct vm *vm, const struct vm_spec *spec)
{
    struct err none = {0};
    CLEANUP(closep) int dir = vm_dir_open(core, vm, false, &none);
    CLEANUP(closep) int fd = dir < 0 ? -1 : fs_open(dir, name_of(spec), O_RDONLY, 0, &none);

    return fd >= 0;
}

int vm_nvram_open(struct core *core, const struct vm *vm, const struct vm_spec *spec,
                  struct err *err)
{
    const char *name = name_of(spec);
    CLEANUP(closep) int dir = vm_dir_open(core, vm, true, err);
    struct err missing = {0};
    int fd = dir < 0 ? -1 : fs_open(dir, name, O_RDWR, 0, &missing);

    if (dir < 0 || fd >= 0)
        return fd;
    if (missing.code != ERR_NOT_FOUND) {
        *err = missing;
        return -1;
    }
    return make(dir, name, spec->firmware.secure_boot, err) ? fs_open(dir, name, O_RDWR, 0, err)
                                                            : -1;
}
