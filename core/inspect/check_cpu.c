/* Checks of the processor: can it run VMs, and does something stand in the way? */
#include "core/inspect/check.h"

#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/inspect/sysfs.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MSR_FEAT_CTL    0x3a /* Intel SDM vol. 4: IA32_FEATURE_CONTROL */
#define FEAT_CTL_LOCKED (1ull << 0)
#define FEAT_CTL_VMX    (1ull << 2) /* VMX outside of SMX */
#define MSR_VM_CR       0xc0010114  /* AMD APM vol. 2: VM_CR */
#define VM_CR_SVMDIS    (1ull << 4)

static enum severity look_64bit(struct sight *s)
{
    return saw(s, s->cpu->long_mode ? SEVERITY_OK : SEVERITY_ERROR, "%s: flag lm %s", s->cpu->model,
               s->cpu->long_mode ? "is there" : "is missing in /proc/cpuinfo");
}

/* "Dell Inc. OptiPlex 7040", "" when the firmware does not tell. */
static void product_of(int root, char out[160])
{
    char vendor[64], product[80];

    sys_text(root, vendor, sizeof vendor, "sys/class/dmi/id/sys_vendor");
    sys_text(root, product, sizeof product, "sys/class/dmi/id/product_name");
    snprintf(out, 160, "%s%s%s", vendor, *vendor && *product ? " " : "", product);
}

static enum severity look_bare(struct sight *s)
{
    char product[160];

    product_of(s->facts->root, product);
    if (!s->cpu->hypervisor)
        return saw(s, SEVERITY_OK, "a physical machine%s%s", *product ? ": " : "", product);
    return saw(s, SEVERITY_INFO, "this machine is a virtual one itself (flag hypervisor)%s%s",
               *product ? ": " : "", product);
}

static enum severity look_virt(struct sight *s)
{
    const char *which = s->cpu->vmx ? "VT-x (flag vmx)" : "AMD-V (flag svm)";

    if (s->cpu->vmx || s->cpu->svm)
        return saw(s, SEVERITY_OK, "%s", which);
    if (s->cpu->hypervisor)
        advise(s, "ask the provider of this machine for nested virtualization; without it guests "
                  "run by emulation, slower");
    return saw(s, SEVERITY_WARNING, "neither vmx nor svm among the flags of /proc/cpuinfo%s",
               s->cpu->hypervisor ? "; this machine is a virtual one itself" : "");
}

/* One model specific register of processor 0; needs root and the module msr. */
static bool read_msr(int root, off_t number, uint64_t *out)
{
    CLEANUP(closep) int fd = sys_open(root, "dev/cpu/0/msr", O_RDONLY | O_NONBLOCK);

    return fd >= 0 && pread(fd, out, sizeof *out, number) == sizeof *out;
}

/* 1: switched off, 0: on, -1: the register cannot be read. */
static int off_by_msr(const struct sight *s, char evidence[128])
{
    bool amd = str_eq(s->cpu->vendor, "AuthenticAMD") || str_eq(s->cpu->vendor, "HygonGenuine");
    uint64_t value;

    if (!read_msr(s->facts->root, amd ? (off_t)MSR_VM_CR : MSR_FEAT_CTL, &value))
        return -1;
    snprintf(evidence, 128, "register %s of /dev/cpu/0/msr is %#llx",
             amd ? "VM_CR" : "IA32_FEAT_CTL", (unsigned long long)value);
    if (amd)
        return (value & VM_CR_SVMDIS) != 0;
    return (value & FEAT_CTL_LOCKED) && !(value & FEAT_CTL_VMX);
}

static enum severity look_firmware(struct sight *s)
{
    bool flag = s->cpu->vmx || s->cpu->svm;
    char evidence[128];
    int off = off_by_msr(s, evidence);

    if (off == 1)
        return saw(s, SEVERITY_WARNING, "switched off: %s", evidence);
    if (off == 0 && flag)
        return saw(s, SEVERITY_OK, "switched on: %s", evidence);
    if (s->facts->cpuid_virt && !flag)
        return saw(s, SEVERITY_WARNING,
                   "CPUID claims the ability, but the kernel does not show it in /proc/cpuinfo: "
                   "the firmware has locked it");
    if (flag && !sys_exists(s->facts->root, "dev/kvm") &&
        (sys_exists(s->facts->root, "sys/module/kvm_intel") ||
         sys_exists(s->facts->root, "sys/module/kvm_amd")))
        return saw(s, SEVERITY_WARNING,
                   "the module for this processor is loaded, but there is no "
                   "/dev/kvm");
    if (flag)
        return saw(s, SEVERITY_OK,
                   "the kernel shows %s in /proc/cpuinfo, as it does when the "
                   "firmware permits it",
                   s->cpu->vmx ? "vmx" : "svm");
    return SEVERITY_NONE; /* there is nothing to switch on */
}

static enum severity look_slat(struct sight *s)
{
    if (!s->cpu->vmx && !s->cpu->svm)
        return SEVERITY_NONE;
    if (s->cpu->slat)
        return saw(s, SEVERITY_OK, "flag %s", s->cpu->vmx ? "ept" : "npt");
    return saw(s, SEVERITY_WARNING, "neither ept nor npt among the flags of /proc/cpuinfo");
}

static enum severity look_rival(struct sight *s)
{
    static const struct {
        const char *module, *product;
    } rivals[] = {{"vboxdrv", "VirtualBox"},
                  {"vmmon", "VMware Workstation"},
                  {"xen_gntdev", "Xen"},
                  {"mshv_root", "Microsoft Hypervisor"},
                  {"acrn", "ACRN"}};
    CLEANUP(mem_freep) char *modules = sys_whole(s->facts->root, 1u << 20, "proc/modules");
    char found[160] = "";
    size_t len = 0;

    for (char *line = modules, *next; line && *line; line = next) {
        next = strchrnul(line, '\n');
        next += *next == '\n';
        for (size_t i = 0; i < ARRAY_LEN(rivals); i++) {
            size_t n = strlen(rivals[i].module);
            if (strncmp(line, rivals[i].module, n) == 0 && line[n] == ' ' && len < sizeof found)
                len += (size_t)snprintf(found + len, sizeof found - len, "%s%s (%s)",
                                        len ? ", " : "", rivals[i].module, rivals[i].product);
        }
    }
    if (!modules)
        return SEVERITY_NONE;
    if (!*found)
        return saw(s, SEVERITY_OK, "no module of another hypervisor in /proc/modules");
    return saw(s, SEVERITY_WARNING, "loaded: %s; two hypervisors cannot use VT-x or AMD-V at once",
               found);
}

static enum severity look_holes(struct sight *s)
{
    CLEANUP(json_decrefp) json_t *all = cpu_vulnerabilities(s->facts->root);
    char found[300] = "";
    size_t len = 0;
    const char *name;
    json_t *v;

    if (!json_object_size(all))
        return SEVERITY_NONE;
    json_object_foreach (all, name, v)
        if (str_starts(json_string_value(v), "Vulnerable") && len < sizeof found)
            len += (size_t)snprintf(found + len, sizeof found - len, "%s%s", len ? ", " : "", name);
    if (!*found)
        return saw(s, SEVERITY_OK, "%zu known holes, none open", json_object_size(all));
    return saw(s, SEVERITY_WARNING, "open: %s (/sys/devices/system/cpu/vulnerabilities)", found);
}

static enum severity look_vcpus(struct sight *s)
{
    char limit[64] = "";

    if (s->facts->max_vcpus)
        snprintf(limit, sizeof limit, "; KVM permits %u vCPUs a VM", s->facts->max_vcpus);
    return saw(s, SEVERITY_OK, "%u threads on %u cores in %u socket%s%s", s->cpu->threads,
               s->cpu->cores, s->cpu->sockets, s->cpu->sockets == 1 ? "" : "s", limit);
}

static const struct check checks[] = {
    {"cpu-64bit", "64-bit processor", look_64bit, "64-bit guests need a 64-bit host"},
    {"cpu-virtualization", "VT-x or AMD-V", look_virt,
     "switch virtualization on in the firmware (VT-x, AMD-V, SVM) if the processor has it; guests "
     "run without it, slower"},
    {"cpu-firmware", "Virtualization permitted by the firmware", look_firmware,
     "switch VT-x (Intel) or SVM (AMD) on in the firmware's setup, then power the machine off and "
     "on again"},
    {"cpu-slat", "Nested paging (EPT, NPT)", look_slat,
     "a processor without it runs guests slowly: use a newer one"},
    {"cpu-physical", "Physical machine", look_bare,
     "guests of a virtual machine are slower; prefer a physical one"},
    {"cpu-rival", "No other hypervisor", look_rival,
     "stop its VMs and unload its module before VMs are started here"},
    {"cpu-vulnerabilities", "Known holes of the processor", look_holes,
     "update the kernel and the microcode (packages intel-microcode, amd64-microcode); do not boot "
     "with mitigations=off where guests are not trusted"},
    {"cpu-count", "Processors", look_vcpus, NULL},
};
const struct check_topic checks_cpu = {"cpu", checks, ARRAY_LEN(checks)};
