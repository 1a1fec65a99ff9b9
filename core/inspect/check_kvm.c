/* Checks of KVM and of what belongs to it: nesting, IOMMU, userfaultfd. */
#include "core/inspect/check.h"

#include "core/base/fs.h"
#include "core/base/str.h"
#include "core/inspect/sysfs.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static enum severity look_kvm(struct sight *s)
{
    if (s->facts->kvm_fix && *s->facts->kvm_fix)
        advise(s, "%s", s->facts->kvm_fix);
    return saw(s, s->facts->kvm_healthy ? SEVERITY_OK : SEVERITY_WARNING, "%s",
               s->facts->kvm_verdict ? s->facts->kvm_verdict : "KVM was not tried");
}

static enum severity look_device(struct sight *s)
{
    CLEANUP(closep) int fd = sys_open(s->facts->root, "dev/kvm", O_PATH);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return saw(s, SEVERITY_WARNING, "/dev/kvm does not exist");
    return saw(s, SEVERITY_OK, "/dev/kvm has mode %04o, owner %u, group %u", st.st_mode & 07777,
               (unsigned)st.st_uid, (unsigned)st.st_gid);
}

static enum severity look_nested(struct sight *s)
{
    int root = s->facts->root;
    const char *module = sys_exists(root, "sys/module/kvm_intel") ? "kvm_intel"
                         : sys_exists(root, "sys/module/kvm_amd") ? "kvm_amd"
                                                                  : NULL;

    if (!module)
        return SEVERITY_NONE;
    if (sys_flag(root, false, "sys/module/%s/parameters/nested", module))
        return saw(s, SEVERITY_OK, "/sys/module/%s/parameters/nested is on", module);
    advise(s, "for VMs inside VMs: options %s nested=1 in /etc/modprobe.d, then load it again",
           module);
    return saw(s, SEVERITY_INFO, "/sys/module/%s/parameters/nested is off", module);
}

static enum severity look_iommu(struct sight *s)
{
    CLEANUP(sys_names_clear) struct sys_names units = sys_list(s->facts->root, "sys/class/iommu");
    CLEANUP(sys_names_clear)
    struct sys_names groups = sys_list(s->facts->root, "sys/kernel/iommu_groups");
    bool intel = sys_exists(s->facts->root, "sys/firmware/acpi/tables/DMAR");
    bool amd = sys_exists(s->facts->root, "sys/firmware/acpi/tables/IVRS");

    if (groups.n)
        return saw(s, SEVERITY_OK, "%zu unit%s, %zu groups in /sys/kernel/iommu_groups", units.n,
                   units.n == 1 ? "" : "s", groups.n);
    if (intel)
        advise(s, "to give devices to VMs boot with intel_iommu=on iommu=pt");
    if (!intel && !amd)
        return saw(s, SEVERITY_INFO, "the firmware describes none (no ACPI table DMAR or IVRS)");
    return saw(s, SEVERITY_INFO, "the firmware describes one (ACPI table %s), but it is off",
               intel ? "DMAR" : "IVRS");
}

static enum severity look_uffd(struct sight *s)
{
    if (sys_exists(s->facts->root, "dev/userfaultfd"))
        return saw(s, SEVERITY_OK, "/dev/userfaultfd exists");
    if (sys_flag(s->facts->root, false, "proc/sys/vm/unprivileged_userfaultfd"))
        return saw(s, SEVERITY_OK, "vm.unprivileged_userfaultfd is 1");
    return saw(s, SEVERITY_INFO, "no /dev/userfaultfd, and vm.unprivileged_userfaultfd is not 1");
}

static const struct check checks[] = {
    {"kvm", "KVM", look_kvm, "look for kvm messages in the kernel's log"},
    {"kvm-device", "Device /dev/kvm", look_device,
     "load the module: modprobe kvm_intel or modprobe kvm_amd; the kernel's log says why it fails"},
    {"kvm-nested", "VMs inside VMs", look_nested, NULL},
    {"iommu", "IOMMU for passing devices through", look_iommu,
     "to give devices to VMs switch VT-d (Intel) or AMD-Vi (IOMMU) on in the firmware's setup"},
    {"userfaultfd", "userfaultfd for snapshots of RAM", look_uffd,
     "use Linux 6.1 or later, or sysctl vm.unprivileged_userfaultfd=1; snapshots with RAM stop the "
     "guest longer without it"},
};
const struct check_topic checks_kvm = {"kvm", checks, ARRAY_LEN(checks)};
