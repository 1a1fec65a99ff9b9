/* Checks of QEMU and of the programs and files that VMs need besides it. */
#include "core/inspect/check.h"

#include "core/base/str.h"
#include "core/inspect/sysfs.h"

#include <stdio.h>
#include <string.h>

#define OLDEST_MAJOR 7
#define OLDEST_MINOR 2

static enum severity look_qemu(struct sight *s)
{
    unsigned major, minor;

    if (!s->facts->qemu.version[0])
        return saw(s, SEVERITY_ERROR, "%s is missing or does not tell its version",
                   s->facts->qemu_path);
    if (sscanf(s->facts->qemu.version, "%u.%u", &major, &minor) == 2 &&
        (major < OLDEST_MAJOR || (major == OLDEST_MAJOR && minor < OLDEST_MINOR))) {
        advise(s, "use QEMU %d.%d or later", OLDEST_MAJOR, OLDEST_MINOR);
        return saw(s, SEVERITY_WARNING, "%s is version %s", s->facts->qemu_path,
                   s->facts->qemu.version);
    }
    return saw(s, SEVERITY_OK, "%s, version %s", s->facts->qemu_path, s->facts->qemu.version);
}

/* True when a line of QEMU's help begins with 'word'. */
static bool offers(const char *help, const char *word)
{
    size_t len = strlen(word);

    for (const char *line = help; line && *line; line += *line == '\n') {
        if (strncmp(line, word, len) == 0 && strchr(" \t\r\n", line[len]))
            return true;
        line = strchrnul(line, '\n');
    }
    return false;
}

static enum severity look_machines(struct sight *s)
{
    const char *help = s->facts->qemu.machines;
    bool q35, pc;

    if (!help)
        return SEVERITY_NONE;
    q35 = offers(help, "q35");
    pc = offers(help, "pc");
    return saw(s, q35 && pc ? SEVERITY_OK : SEVERITY_WARNING,
               "-machine help: q35 %s, pc %s, microvm %s", q35 ? "yes" : "no", pc ? "yes" : "no",
               offers(help, "microvm") ? "yes" : "no");
}

static enum severity look_accels(struct sight *s)
{
    const char *help = s->facts->qemu.accels;
    bool kvm, tcg;

    if (!help)
        return SEVERITY_NONE;
    kvm = offers(help, "kvm");
    tcg = offers(help, "tcg");
    return saw(s, kvm && tcg ? SEVERITY_OK : SEVERITY_WARNING, "-accel help: kvm %s, tcg %s",
               kvm ? "yes" : "no", tcg ? "yes" : "no");
}

/* The first of the files that is there, "" when none is. */
static const char *first_of(int root, const char *const *paths)
{
    for (; *paths; paths++)
        if (sys_exists(root, "%s", *paths + 1))
            return *paths;
    return "";
}

/* 'what' is in one of 'paths' (absolute), or an info. */
static enum severity look_file(struct sight *s, const char *const *paths, enum severity missing)
{
    const char *found = first_of(s->facts->root, paths);

    return *found ? saw(s, SEVERITY_OK, "%s", found) : saw(s, missing, "%s is missing", paths[0]);
}

static enum severity look_uefi(struct sight *s)
{
    static const char *const paths[] = {"/usr/share/OVMF/OVMF_CODE_4M.fd",
                                        "/usr/share/OVMF/OVMF_CODE.fd",
                                        "/usr/share/edk2/ovmf/OVMF_CODE.fd",
                                        "/usr/share/edk2/x64/OVMF_CODE.4m.fd",
                                        "/usr/share/qemu/ovmf-x86_64-code.bin",
                                        "/usr/share/qemu/edk2-x86_64-code.fd",
                                        NULL};

    return look_file(s, paths, SEVERITY_INFO);
}

static enum severity look_secure_boot(struct sight *s)
{
    static const char *const paths[] = {"/usr/share/OVMF/OVMF_CODE_4M.ms.fd",
                                        "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd",
                                        "/usr/share/OVMF/OVMF_CODE.secboot.fd",
                                        "/usr/share/edk2/ovmf/OVMF_CODE.secboot.fd",
                                        "/usr/share/edk2/x64/OVMF_CODE.secboot.4m.fd",
                                        "/usr/share/qemu/ovmf-x86_64-smm-ms-code.bin",
                                        "/usr/share/qemu/edk2-x86_64-secure-code.fd",
                                        NULL};

    return look_file(s, paths, SEVERITY_INFO);
}

static enum severity look_swtpm(struct sight *s)
{
    static const char *const paths[] = {"/usr/bin/swtpm", "/usr/local/bin/swtpm", NULL};

    return look_file(s, paths, SEVERITY_INFO);
}

static enum severity look_virtiofsd(struct sight *s)
{
    static const char *const paths[] = {"/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd",
                                        "/usr/lib/virtiofsd", NULL};

    return look_file(s, paths, SEVERITY_INFO);
}

static enum severity look_img(struct sight *s)
{
    static const char *const paths[] = {"/usr/bin/qemu-img", "/usr/local/bin/qemu-img", NULL};

    return look_file(s, paths, SEVERITY_INFO);
}

static enum severity look_modules(struct sight *s)
{
    static const char *const dirs[] = {"usr/lib/x86_64-linux-gnu/qemu", "usr/lib64/qemu-kvm",
                                       "usr/lib64/qemu", "usr/lib/qemu"};
    static const struct {
        const char *file, *what;
    } parts[] = {{"hw-display-virtio-gpu.so", "virtio-gpu"},
                 {"hw-usb-host.so", "USB devices of the host"},
                 {"hw-usb-redirect.so", "USB redirection"},
                 {"chardev-spice.so", "SPICE"},
                 {"block-rbd.so", "Ceph"},
                 {"block-iscsi.so", "iSCSI"}};
    char found[300] = "";
    size_t len = 0;

    for (size_t d = 0; d < ARRAY_LEN(dirs); d++)
        for (size_t i = 0; i < ARRAY_LEN(parts); i++)
            if (sys_exists(s->facts->root, "%s/%s", dirs[d], parts[i].file) && len < sizeof found)
                len += (size_t)snprintf(found + len, sizeof found - len, "%s%s", len ? ", " : "",
                                        parts[i].what);
    return len ? saw(s, SEVERITY_OK, "installed: %s", found)
               : saw(s, SEVERITY_OK, "none is installed apart; they may be built in");
}

static const struct check checks[] = {
    {"qemu", "QEMU", look_qemu, "install the package qemu-system-x86"},
    {"qemu-machines", "Machines of QEMU", look_machines,
     "install a QEMU with q35 and pc (package qemu-system-x86)"},
    {"qemu-accelerators", "Accelerators of QEMU", look_accels,
     "install a QEMU with KVM and TCG (package qemu-system-x86)"},
    {"qemu-modules", "Modules of QEMU", look_modules, NULL},
    {"qemu-img", "qemu-img for images", look_img,
     "to look into images yourself install the package qemu-utils"},
    {"uefi", "UEFI firmware for guests", look_uefi,
     "for guests with UEFI install the package ovmf"},
    {"secure-boot", "UEFI firmware with Secure Boot", look_secure_boot,
     "for guests with Secure Boot install the package ovmf"},
    {"swtpm", "Virtual TPM (swtpm)", look_swtpm,
     "for guests with a TPM, as Windows 11 wants it, install the package swtpm"},
    {"virtiofsd", "Shared directories (virtiofsd)", look_virtiofsd,
     "to share directories with guests install the package virtiofsd (Debian 12: "
     "qemu-system-common)"},
};
const struct check_topic checks_qemu = {"qemu", checks, ARRAY_LEN(checks)};
