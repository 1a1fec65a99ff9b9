/* Checks of the places where vmmd keeps things: its state directory and the pool roots. Each is
 * tried with a file that has no name (O_TMPFILE) and is gone when it is closed. */
#include "core/inspect/check.h"

#include "core/base/fs.h"
#include "core/base/str.h"
#include "core/inspect/drive.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define MIB (1024ull * 1024)

/* The kinds that people meet; magic numbers as in statfs(2). */
static const struct {
    long magic;
    const char *name;
    bool lasts; /* survives a restart of the host */
    bool local; /* locks and flushes can be trusted */
} kinds[] = {
    {EXT4_SUPER_MAGIC, "ext4", true, true},   {0x58465342, "xfs", true, true},
    {BTRFS_SUPER_MAGIC, "btrfs", true, true}, {0x2fc12fc1, "zfs", true, true},
    {F2FS_SUPER_MAGIC, "f2fs", true, true},   {TMPFS_MAGIC, "tmpfs", false, true},
    {RAMFS_MAGIC, "ramfs", false, true},      {OVERLAYFS_SUPER_MAGIC, "overlay", true, true},
    {NFS_SUPER_MAGIC, "nfs", true, false},    {0xff534d42, "cifs", true, false},
    {0xfe534d42, "smb", true, false},         {FUSE_SUPER_MAGIC, "fuse", true, false},
    {V9FS_MAGIC, "9p", true, false},          {CEPH_SUPER_MAGIC, "ceph", true, false},
    {0x01161970, "gfs2", true, true},         {MSDOS_SUPER_MAGIC, "vfat", true, true},
    {0xca451a4e, "bcachefs", true, true},     {0x2011bab0, "exfat", true, true},
};

/* Collects a sentence over all places: "main: ext4, second: tmpfs". */
struct roll {
    char text[400];
    size_t len;
    enum severity worst;
};

static void PRINTF(3, 4) roll_add(struct roll *r, enum severity severity, const char *fmt, ...)
{
    va_list args;

    if (severity > r->worst)
        r->worst = severity;
    if (r->len && r->len < sizeof r->text)
        r->len += (size_t)snprintf(r->text + r->len, sizeof r->text - r->len, "; ");
    if (r->len >= sizeof r->text)
        return;
    va_start(args, fmt);
    r->len += (size_t)vsnprintf(r->text + r->len, sizeof r->text - r->len, fmt, args);
    va_end(args);
}

static void add_kind(struct roll *r, const struct inspect_facts *facts, const struct facts_place *p)
{
    struct statfs fs;

    (void)facts;
    if (fstatfs(p->fd, &fs) < 0)
        return;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if ((unsigned long)fs.f_type == (unsigned long)kinds[i].magic) {
            roll_add(r, kinds[i].lasts && kinds[i].local ? SEVERITY_OK : SEVERITY_WARNING,
                     "%s: %s%s", p->id, kinds[i].name,
                     !kinds[i].lasts   ? ", lost when the host restarts"
                     : !kinds[i].local ? ", not a local disk"
                                       : "");
            return;
        }
    roll_add(r, SEVERITY_OK, "%s: file system %#lx", p->id, (unsigned long)fs.f_type);
}

static void add_space(struct roll *r, const struct inspect_facts *facts,
                      const struct facts_place *p)
{
    uint64_t total, left;
    struct err err = {0};
    enum severity severity = SEVERITY_OK;

    if (!fs_space(p->fd, &total, &left, &err))
        return;
    if (left < 64 * MIB)
        severity = p == facts->state ? SEVERITY_ERROR : SEVERITY_WARNING;
    else if (left < 1024 * MIB || (left < total / 20 && left < 20480 * MIB))
        severity = SEVERITY_WARNING;
    roll_add(r, severity, "%s: %llu of %llu MiB are free", p->id, left / MIB, total / MIB);
}

/* An unnamed file; -1 with errno. Opening follows no link: '.' of an open directory. */
static int unnamed_file(const struct facts_place *p, int flags)
{
    return openat(p->fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC | flags, 0600);
}

static void add_direct(struct roll *r, const struct inspect_facts *facts,
                       const struct facts_place *p)
{
    CLEANUP(closep) int fd = unnamed_file(p, O_DIRECT);

    (void)facts;
    if (fd >= 0)
        roll_add(r, SEVERITY_OK, "%s: yes", p->id);
    else if (errno == EINVAL)
        roll_add(r, SEVERITY_WARNING, "%s: no", p->id);
    else
        roll_add(r, SEVERITY_OK, "%s: not tried (%s)", p->id, strerror(errno));
}

static void add_discard(struct roll *r, const struct inspect_facts *facts,
                        const struct facts_place *p)
{
    static const char *const below[] = {"no", "yes", "unknown"};
    CLEANUP(closep) int fd = unnamed_file(p, 0);
    struct stat st;
    int discards;

    if (fd < 0 || fstat(fd, &st) < 0)
        return;
    discards = drive_discards(facts->root, st.st_dev);
    if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) < 0)
        roll_add(r, SEVERITY_INFO, "%s: holes cannot be made (%s)", p->id, strerror(errno));
    else
        roll_add(r, SEVERITY_OK, "%s: holes yes, discard by the device %s", p->id,
                 below[discards < 0 ? 2 : discards]);
}

/* Walks over all places that are open. */
static enum severity walk(struct sight *s,
                          void (*add)(struct roll *r, const struct inspect_facts *facts,
                                      const struct facts_place *p))
{
    struct roll roll = {.worst = SEVERITY_OK};

    if (s->facts->state && s->facts->state->fd >= 0)
        add(&roll, s->facts, s->facts->state);
    for (unsigned i = 0; i < s->facts->n_roots; i++)
        if (s->facts->roots[i].fd >= 0)
            add(&roll, s->facts, &s->facts->roots[i]);
    return roll.len ? saw(s, roll.worst, "%s", roll.text) : SEVERITY_NONE;
}

static enum severity look_roots(struct sight *s)
{
    struct roll roll = {.worst = SEVERITY_OK};

    if (!s->facts->roots && !s->facts->service)
        return SEVERITY_NONE;
    if (!s->facts->n_roots)
        return saw(s, SEVERITY_WARNING, "no pool root is configured");
    for (unsigned i = 0; i < s->facts->n_roots; i++)
        if (s->facts->roots[i].fd < 0)
            roll_add(&roll, SEVERITY_ERROR, "the pool root %s cannot be opened",
                     s->facts->roots[i].id);
    return roll.len ? saw(s, roll.worst, "%s", roll.text)
                    : saw(s, SEVERITY_OK, "all %u pool roots can be opened", s->facts->n_roots);
}

static enum severity look_space(struct sight *s)
{
    return walk(s, add_space);
}

static enum severity look_kinds(struct sight *s)
{
    return walk(s, add_kind);
}

static enum severity look_direct(struct sight *s)
{
    return walk(s, add_direct);
}

static enum severity look_discard(struct sight *s)
{
    return walk(s, add_discard);
}

static const struct check checks[] = {
    {"pool-roots", "Storage pool roots", look_roots,
     "add a [pool-root NAME] with a path that vmmd's user can write to vmmd.conf"},
    {"disk-space", "Free space", look_space,
     "delete what is not needed or add a pool root on a bigger disk; VMs pause when their disks "
     "cannot grow, and without space for its state vmmd can change nothing"},
    {"file-systems", "File systems", look_kinds,
     "keep state and disks of VMs on a local ext4, XFS or Btrfs"},
    {"direct-io", "Direct I/O (O_DIRECT)", look_direct,
     "without it the host caches what guests cache already: use ext4, XFS or Btrfs"},
    {"discard", "Giving space back (discard)", look_discard,
     "images keep the space of files that guests delete: use a file system with holes"},
};
const struct check_topic checks_storage = {"storage", checks, ARRAY_LEN(checks)};
