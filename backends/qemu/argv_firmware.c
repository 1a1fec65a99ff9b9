/* QEMU's arguments for what runs first: the firmware, a kernel given directly, the boot order. Part
 * of argv.c's work and called by it only.
 *
 * UEFI is two flash chips. The code is a file of the host that the jail shows read-only until it is
 * sealed; the variables are a file of the VM, handed over as a descriptor. With Secure Boot only
 * code in system management mode may write the variables. */
#include "backends/qemu/builder.h"
#include "backends/qemu/firmware.h"

#include "core/base/str.h"

#include <stdio.h>
#include <string.h>

#define MENU_MS 5000

static void add_code(struct builder *b)
{
    const char *path = firmware_code(b->plan->spec->firmware.secure_boot);

    arg_json(b, "-blockdev",
             json_pack("{s:s,s:s,s:b,s:{s:s,s:s,s:s,s:b}}", "driver", "raw", "node-name", "fw-code",
                       "read-only", 1, "file", "driver", "file", "node-name", "fw-code-f",
                       "filename", path, "read-only", 1));
}

static void add_variables(struct builder *b)
{
    unsigned set = launch_set(b, b->plan->nvram_fd);
    char path[32];

    snprintf(path, sizeof path, "/dev/fdset/%u", set);
    arg_json(b, "-blockdev",
             json_pack("{s:s,s:s,s:b,s:{s:s,s:s,s:s,s:s}}", "driver", "raw", "node-name", "fw-vars",
                       "read-only", 0, "file", "driver", "file", "node-name", "fw-vars-f",
                       "filename", path, "locking", "on"));
}

void firmware_add(struct builder *b)
{
    const struct vm_firmware *firmware = &b->plan->spec->firmware;

    if (firmware->type != FIRMWARE_UEFI)
        return;
    add_code(b);
    add_variables(b);
    if (firmware->secure_boot)
        arg(b, "-global", "driver=cfi.pflash01,property=secure,value=on");
}

static void add_input(struct builder *b, const char *name, int fd)
{
    json_array_append_new(b->fds, json_pack("{s:s,s:s,s:i}", "input", name, "role", "file", "index",
                                            (int)launch_attach(b, fd)));
}

static void add_kernel(struct builder *b)
{
    const struct machine_plan *plan = b->plan;
    const char *cmdline = plan->spec->boot.cmdline;

    if (plan->kernel_fd < 0)
        return;
    add_input(b, "kernel", plan->kernel_fd);
    arg(b, "-kernel", "/in/kernel");
    if (plan->initrd_fd >= 0) {
        add_input(b, "initrd", plan->initrd_fd);
        arg(b, "-initrd", "/in/initrd");
    }
    if (cmdline && *cmdline) {
        json_array_append_new(b->argv, json_string("-append"));
        json_array_append_new(b->argv, json_string(cmdline));
    }
}

void boot_add(struct builder *b)
{
    /* Strict: what the order leaves out is not tried. */
    if (b->plan->spec->boot.menu)
        arg(b, "-boot", "strict=on,menu=on,splash-time=%d", MENU_MS);
    else
        arg(b, "-boot", "strict=on");
    add_kernel(b);
}

/* ---- the order ---- */

static const char *order_of(const struct vm_spec *spec)
{
    return spec->boot.order ? spec->boot.order : "disk,cdrom,network";
}

static size_t count_of(const struct machine_plan *plan, enum boot_kind kind)
{
    return kind == BOOT_DISK    ? plan->n_disks
           : kind == BOOT_CDROM ? plan->spec->n_cdroms
                                : plan->spec->n_nics;
}

static bool kind_of(const char *text, size_t len, enum boot_kind *out)
{
    static const char *const names[] = {
        [BOOT_DISK] = "disk", [BOOT_CDROM] = "cdrom", [BOOT_NETWORK] = "network"};

    for (unsigned i = 0; i < ARRAY_LEN(names); i++)
        if (strlen(names[i]) == len && strncmp(names[i], text, len) == 0) {
            *out = (enum boot_kind)i;
            return true;
        }
    return false;
}

void boot_place(const struct builder *b, json_t *device, enum boot_kind kind, size_t n)
{
    const char *order = order_of(b->plan->spec);
    size_t before = 0;

    for (size_t len; *order; order += len + (order[len] == ',')) {
        enum boot_kind at;
        len = strcspn(order, ",");
        if (!kind_of(order, len, &at))
            continue;
        if (at == kind) {
            json_put_u64(device, "bootindex", before + n + 1);
            return;
        }
        before += count_of(b->plan, at);
    }
}

bool boot_network_first(const struct vm_spec *spec)
{
    return str_starts(order_of(spec), "network");
}
