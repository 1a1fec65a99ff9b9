/* Checks of what keeps VMs apart: users, namespaces, cgroups, seccomp, Landlock. */
#include "core/inspect/check.h"

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/inspect/sysfs.h"

#include <stdio.h>
#include <string.h>

static enum severity look_root(struct sight *s)
{
    if (s->facts->root_user)
        return saw(s, SEVERITY_OK, "%s",
                   s->facts->service ? "each VM has a user id of its own"
                                     : "vmmctl runs as root; so started, vmmd gives each VM a user "
                                       "id of its own");
    return saw(s, SEVERITY_INFO,
               "not root: all VMs run as the user who started vmmd, without bridges and taps, with "
               "cgroup limits only where the tree is delegated to that user");
}

static enum severity look_userns(struct sight *s)
{
    uint64_t max, restricted, users;
    char evidence[200] = "";
    size_t len = 0;
    int root = s->facts->root;

    /* Debian's switch. The jail's namespaces are made as root, but passt makes its own. */
    if (s->facts->userns && sys_u64(root, &users, "proc/sys/kernel/unprivileged_userns_clone") &&
        !users)
        return saw(s, SEVERITY_WARNING,
                   "one was made, by root; kernel.unprivileged_userns_clone is 0: passt, which a "
                   "VM with a network of type user needs, cannot make its own");
    if (s->facts->userns)
        return saw(s, SEVERITY_OK, "one was made");
    if (sys_u64(root, &max, "proc/sys/user/max_user_namespaces"))
        len += (size_t)snprintf(evidence, sizeof evidence, "; user.max_user_namespaces is %llu",
                                (unsigned long long)max);
    if (sys_u64(root, &restricted, "proc/sys/kernel/apparmor_restrict_unprivileged_userns"))
        snprintf(evidence + len, sizeof evidence - len,
                 "; kernel.apparmor_restrict_unprivileged_userns is %llu",
                 (unsigned long long)restricted);
    return saw(s, SEVERITY_ERROR, "making a user namespace failed%s", evidence);
}

static enum severity look_cgroup(struct sight *s)
{
    bool mounted = sys_exists(s->facts->root, "sys/fs/cgroup/cgroup.controllers") ||
                   sys_exists(s->facts->root, "sys/fs/cgroup/unified/cgroup.controllers");

    if (s->facts->service && s->facts->cgroup_v2)
        return saw(s, SEVERITY_OK, "each VM has a cgroup of its own");
    if (s->facts->service)
        return saw(s, SEVERITY_INFO, "no writable cgroup v2 tree: VMs are tracked by process%s",
                   mounted ? "; cgroup2 is mounted, but not delegated to vmmd" : "");
    return saw(s, mounted ? SEVERITY_OK : SEVERITY_INFO, "cgroup2 is %s at /sys/fs/cgroup",
               mounted ? "mounted" : "not mounted");
}

/* The controllers of cgroup v2 that limits of VMs need. */
static enum severity look_controllers(struct sight *s)
{
    static const char *const wanted[] = {"cpu", "io", "memory", "pids"};
    CLEANUP(mem_freep) char *v1 = sys_whole(s->facts->root, 8192, "proc/cgroups");
    char list[200], missing[64] = "";
    size_t len = 0;

    if (s->facts->service && s->facts->limits)
        return *s->facts->no_limits
                   ? saw(s, SEVERITY_INFO, "guests are not limited in %s; limited in %s",
                         s->facts->no_limits, *s->facts->limits ? s->facts->limits : "nothing")
                   : saw(s, SEVERITY_OK, "guests are limited in %s", s->facts->limits);
    if (!sys_text(s->facts->root, list, sizeof list, "sys/fs/cgroup/cgroup.controllers") &&
        !sys_text(s->facts->root, list, sizeof list, "sys/fs/cgroup/unified/cgroup.controllers"))
        return saw(s, SEVERITY_INFO, "no cgroup v2 tree at /sys/fs/cgroup%s",
                   v1 ? "; the kernel has v1 controllers (/proc/cgroups)" : "");
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++)
        if (!sys_has_word(list, wanted[i]))
            len += (size_t)snprintf(missing + len, sizeof missing - len, " %s", wanted[i]);
    if (!len)
        return saw(s, SEVERITY_OK, "%s (/sys/fs/cgroup/cgroup.controllers)", list);
    return saw(s, SEVERITY_INFO, "missing in cgroup.controllers:%s", missing);
}

static enum severity look_seccomp(struct sight *s)
{
    char actions[160];

    if (!sys_text(s->facts->root, actions, sizeof actions, "proc/sys/kernel/seccomp/actions_avail"))
        return saw(s, SEVERITY_WARNING, "/proc/sys/kernel/seccomp/actions_avail is missing");
    return saw(s, sys_has_word(actions, "kill_process") ? SEVERITY_OK : SEVERITY_WARNING, "%s",
               actions);
}

static enum severity look_landlock(struct sight *s)
{
    if (s->facts->landlock_abi)
        return saw(s, SEVERITY_OK, "ABI %d", s->facts->landlock_abi);
    return saw(s, SEVERITY_INFO, "the kernel has none, or it is not among the modules of lsm=");
}

static enum severity look_lsm(struct sight *s)
{
    char list[160];

    if (!sys_text(s->facts->root, list, sizeof list, "sys/kernel/security/lsm"))
        return SEVERITY_NONE;
    return saw(s, SEVERITY_OK, "%s (/sys/kernel/security/lsm)", list);
}

static const struct check checks[] = {
    {"user-namespaces", "User namespaces for the jail", look_userns,
     "allow them: sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone, or AppArmor's "
     "kernel.apparmor_restrict_unprivileged_userns"},
    {"separate-users", "A user of its own for each VM", look_root,
     "run vmmd as root (or its systemd unit)"},
    {"cgroup", "cgroup v2", look_cgroup, "mount cgroup2 or run vmmd from its systemd unit"},
    {"cgroup-controllers", "cgroup controllers for limits", look_controllers,
     "boot with systemd.unified_cgroup_hierarchy=1 (or cgroup_no_v1=all), and run vmmd as root or "
     "from its systemd unit; shares of disks need the scheduler bfq or io.cost"},
    {"seccomp", "seccomp filters", look_seccomp,
     "use a kernel with CONFIG_SECCOMP_FILTER: QEMU's system calls are not restricted without it"},
    {"landlock", "Landlock", look_landlock, NULL},
    {"security-modules", "Security modules of the kernel", look_lsm, NULL},
};
const struct check_topic checks_isolation = {"isolation", checks, ARRAY_LEN(checks)};
