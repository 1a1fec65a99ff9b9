/* The findings of GET /host and `vmmctl doctor`: one row a check, each with what was seen and what
 * to do about it. */
#include "core/host/findings.h"

#include "core/base/str.h"

#include <stdio.h>

struct sight {
    const struct core *core;
    const struct cpu_facts *cpu;
    char evidence[256];
};

enum severity { GOOD, INFO, WARNING, ERROR };

static enum severity look_qemu(struct sight *s)
{
    str_copy(s->evidence, sizeof s->evidence,
             s->core->probe.qemu_found ? s->core->probe.qemu_version : host_qemu_path());
    return s->core->probe.qemu_found ? INFO : ERROR;
}

static enum severity look_64bit(struct sight *s)
{
    str_copy(s->evidence, sizeof s->evidence, s->cpu->model);
    return s->cpu->long_mode ? GOOD : ERROR;
}

static enum severity look_virt(struct sight *s)
{
    snprintf(s->evidence, sizeof s->evidence, "cpu flags: vmx %s, svm %s, ept/npt %s%s",
             s->cpu->vmx ? "yes" : "no", s->cpu->svm ? "yes" : "no", s->cpu->slat ? "yes" : "no",
             s->cpu->hypervisor ? "; this host is a virtual machine itself" : "");
    return (s->cpu->vmx || s->cpu->svm) ? (s->cpu->slat ? GOOD : WARNING) : WARNING;
}

static enum severity look_kvm(struct sight *s)
{
    str_copy(s->evidence, sizeof s->evidence, s->core->probe.kvm_verdict);
    return s->core->probe.kvm_healthy ? INFO : WARNING;
}

static enum severity look_userns(struct sight *s)
{
    str_copy(s->evidence, sizeof s->evidence,
             s->core->facts.userns ? "user namespaces can be made"
                                   : "making a user namespace failed");
    return s->core->facts.userns ? GOOD : ERROR;
}

static enum severity look_cgroup(struct sight *s)
{
    str_copy(s->evidence, sizeof s->evidence,
             s->core->facts.cgroup_v2 ? "each VM has a cgroup of its own"
                                      : "no writable cgroup v2 tree: VMs are tracked by process");
    return s->core->facts.cgroup_v2 ? GOOD : INFO;
}

static enum severity look_root(struct sight *s)
{
    str_copy(s->evidence, sizeof s->evidence,
             s->core->facts.root ? "each VM has a user id of its own"
                                 : "all VMs run as the user who started vmmd");
    return s->core->facts.root ? GOOD : INFO;
}

static enum severity look_passt(struct sight *s)
{
    str_copy(s->evidence, sizeof s->evidence,
             s->core->probe.passt_found ? "passt is installed" : "/usr/bin/passt is missing");
    return s->core->probe.passt_found ? GOOD : WARNING;
}

static enum severity look_roots(struct sight *s)
{
    enum severity worst = host_roots() ? GOOD : WARNING;

    str_copy(s->evidence, sizeof s->evidence,
             host_roots() ? "all pool roots can be opened" : "no pool root is configured");
    for (unsigned i = 0; i < host_roots(); i++) {
        if (s->core->root_dirs[i] >= 0)
            continue;
        snprintf(s->evidence, sizeof s->evidence, "the pool root %s cannot be opened",
                 host_root_id(i));
        worst = ERROR;
    }
    return worst;
}

/* 'fix' NULL: the evidence's own (KVM). */
static const struct {
    const char *id, *title;
    enum severity (*look)(struct sight *s);
    const char *fix;
} checks[] = {
    {"qemu", "QEMU", look_qemu, "install the package qemu-system-x86"},
    {"cpu-64bit", "64-bit processor", look_64bit, "64-bit guests need a 64-bit host"},
    {"cpu-virtualization", "VT-x or AMD-V with nested paging", look_virt,
     "switch virtualization on in the firmware (VT-x, AMD-V/SVM); on a virtual host ask its "
     "provider for nested virtualization. Guests run without it, slower"},
    {"kvm", "KVM", look_kvm, NULL},
    {"user-namespaces", "User namespaces for the jail", look_userns,
     "allow them: sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone, or AppArmor's "
     "kernel.apparmor_restrict_unprivileged_userns"},
    {"separate-users", "A user of its own for each VM", look_root,
     "run vmmd as root (or its systemd unit)"},
    {"cgroup", "cgroup v2", look_cgroup, "mount cgroup2 or run vmmd from its systemd unit"},
    {"passt", "passt for user networking", look_passt, "install the package passt"},
    {"pool-roots", "Storage pool roots", look_roots,
     "add a [pool-root NAME] with a path that vmmd's user can write to vmmd.conf"},
};

static json_t *finding(size_t i, enum severity severity, const char *evidence, const char *fix)
{
    static const char *const texts[] = {"info", "info", "warning", "error"};
    json_t *f = json_object();

    json_put_text(f, "id", checks[i].id);
    json_put_text(f, "severity", texts[severity]);
    json_put_text(f, "title", checks[i].title);
    json_put_text(f, "evidence", evidence);
    json_put_text(f, "fix", severity > GOOD && fix && *fix ? fix : NULL);
    return f;
}

json_t *findings_list(struct core *core, const struct cpu_facts *cpu)
{
    struct sight sight = {.core = core, .cpu = cpu};
    json_t *list = json_array();

    for (int pass = ERROR; pass >= GOOD; pass--) {
        for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
            enum severity severity = checks[i].look(&sight);
            const char *fix = checks[i].fix ? checks[i].fix : core->probe.kvm_fix;
            if ((int)severity == pass)
                json_array_append_new(
                    list, finding(i, severity, sight.evidence,
                                  severity == INFO && checks[i].look == look_qemu ? NULL : fix));
        }
    }
    return list;
}
