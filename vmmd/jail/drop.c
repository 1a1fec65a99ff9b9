/* Giving up rights: see drop.h. */
#include "vmmd/jail/drop.h"

#include "core/base/fs.h"
#include "core/base/log.h"
#include "vmmd/jail/root.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

void drop_nesting(void)
{
    CLEANUP(closep)
    int fd =
        open("/proc/sys/user/max_user_namespaces", O_WRONLY | O_CLOEXEC); /* of this namespace */

    if (fd < 0 || write(fd, "0", 1) != 1)
        log_warn("nested user namespaces cannot be forbidden: %m");
}

bool drop_gains(struct err *err)
{
    const unsigned long bits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
                               SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;

    if (prctl(PR_SET_SECUREBITS, bits, 0, 0, 0) < 0)
        return err_errno(err, errno, "set the securebits");
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
        return err_errno(err, errno, "clear the ambient capabilities");
    for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
            return err_errno(err, errno, "drop a capability from the bounding set");
    return true;
}

bool drop_capabilities(uint64_t keep, struct err *err)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {
        {.effective = (uint32_t)keep, .permitted = (uint32_t)keep},
        {.effective = (uint32_t)(keep >> 32), .permitted = (uint32_t)(keep >> 32)}};

    if (syscall(SYS_capset, &head, data) < 0)
        return err_errno(err, errno, "drop the capabilities");
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 || err_errno(err, errno, "set no_new_privs");
}

/* The kernel's Landlock interface, newer than the C library's headers: a kernel of a lower version
 * takes the structure up to the member that it knows. */
struct ruleset_attr {
    uint64_t fs;
    uint64_t net;    /* from version 4 on */
    uint64_t scoped; /* from version 6 on */
};

struct path_rule {
    uint64_t access;
    int32_t dir;
} __attribute__((packed));

enum {
    FS_EXECUTE = 1 << 0,
    FS_WRITE_FILE = 1 << 1,
    FS_READ_FILE = 1 << 2,
    FS_READ_DIR = 1 << 3,
    FS_VERSION_1 = (1 << 13) - 1,
    FS_REFER = 1 << 13,     /* version 2 */
    FS_TRUNCATE = 1 << 14,  /* version 3 */
    FS_IOCTL_DEV = 1 << 15, /* version 5 */
    NET_TCP = 3,            /* bind and connect */
    SCOPED_SOCKET = 1,      /* abstract unix sockets */
    SCOPED_SIGNAL = 2,      /* signals to processes outside */
    RULE_PATH_BENEATH = 1,
    CREATE_RULESET_VERSION = 1
};

static int make_ruleset(int version, bool for_qemu)
{
    struct ruleset_attr attr = {.fs = FS_VERSION_1};
    size_t size = version >= 6 ? 24 : version >= 4 ? 16 : 8;

    attr.fs |= version >= 2 ? FS_REFER : 0;
    attr.fs |= version >= 3 ? FS_TRUNCATE : 0;
    attr.fs |= version >= 5 ? FS_IOCTL_DEV : 0;
    attr.net = version >= 4 ? NET_TCP : 0;
    attr.scoped = version >= 6 ? SCOPED_SOCKET : 0;
    attr.scoped |= version >= 6 && for_qemu ? SCOPED_SIGNAL : 0; /* init must kill QEMU */
    return (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
}

static bool allow(int rules, const char *path, uint64_t access, struct err *err)
{
    CLEANUP(closep) int dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct path_rule rule = {.access = access, .dir = dir};

    if (dir < 0)
        return err_errno(err, errno, "open the jail's %s", path);
    return syscall(SYS_landlock_add_rule, rules, RULE_PATH_BENEATH, &rule, 0) == 0 ||
           err_errno(err, errno, "allow the jail's %s", path);
}

static bool allow_preload(int rules, struct err *err)
{
    return access(JAIL_PRELOAD_DIR, F_OK) < 0 || allow(rules, JAIL_PRELOAD_DIR, FS_READ_FILE, err);
}

bool drop_files(bool for_qemu, struct err *err)
{
    int version = (int)syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_RULESET_VERSION);
    CLEANUP(closep) int rules = -1;
    uint64_t device = FS_READ_FILE | FS_WRITE_FILE | (version >= 5 ? FS_IOCTL_DEV : 0);

    if (version < 1)
        return true; /* not built in, or switched off at boot: the mounts alone confine */
    rules = make_ruleset(version, for_qemu);
    if (rules < 0)
        return err_errno(err, errno, "make a Landlock ruleset");
    if (for_qemu && (!allow(rules, "/usr", FS_READ_FILE | FS_READ_DIR | FS_EXECUTE, err) ||
                     !allow(rules, "/in", FS_READ_FILE, err) || !allow_preload(rules, err) ||
                     !allow(rules, "/dev", device, err)))
        return false;
    return syscall(SYS_landlock_restrict_self, rules, 0) == 0 ||
           err_errno(err, errno, "enter a Landlock ruleset");
}
