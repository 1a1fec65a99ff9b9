/* The kernel's controllers: see limits.h, and Documentation/admin-guide/cgroup-v2.rst and
 * cgroup-v1/ of the kernel for the files.
 *
 *   v2   <base>/cgroup.subtree_control            the controllers reach the leaves
 *        <base>/vm-<slot>-<uuid>/...              and their parts
 *        <base>/vm-<slot>-<uuid>/guest/cpu.max    what is limited
 *   v1   <hierarchy>/<name of the base>/vm-<uuid>/cpu.cfs_quota_us */
#include "vmmd/priv/limits.h"

#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/str.h"
#include "vmmd/priv/hierarchy.h"
#include "vmmd/priv/leaf.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PERIOD_US   100000
#define SWEEP_MOST  64
#define FOLDER_NAME (UUID_TEXT + 8)
#define VALUE_SIZE  48
#define SLOW_MOST   (64ull << 20)

/* As the kernel calls them. */
static const char *const controllers[] = {[PRIV_LIMIT_CPU] = "cpu",
                                          [PRIV_LIMIT_MEMORY] = "memory",
                                          [PRIV_LIMIT_IO] = "io",
                                          [PRIV_LIMIT_PIDS] = "pids"};
static const char *const controllers_v1[] = {[PRIV_LIMIT_CPU] = "cpu",
                                             [PRIV_LIMIT_MEMORY] = "memory",
                                             [PRIV_LIMIT_IO] = "blkio",
                                             [PRIV_LIMIT_PIDS] = "pids"};

/* ---- the values ---- */

typedef void value_fn(const struct priv_limits *wanted, char out[VALUE_SIZE]);

static void put(char out[VALUE_SIZE], uint64_t value)
{
    snprintf(out, VALUE_SIZE, "%" PRIu64, value);
}

static void cpu_weight(const struct priv_limits *wanted, char out[VALUE_SIZE])
{
    put(out, wanted->cpu_weight ? wanted->cpu_weight : 100);
}

/* What has weight 100 has 1024 shares there. */
static void cpu_shares(const struct priv_limits *wanted, char out[VALUE_SIZE])
{
    put(out, wanted->cpu_weight ? (wanted->cpu_weight * 1024ull + 50) / 100 : 1024);
}

static void cpu_max(const struct priv_limits *wanted, char out[VALUE_SIZE])
{
    if (wanted->cpu_percent)
        snprintf(out, VALUE_SIZE, "%u %u", wanted->cpu_percent * (PERIOD_US / 100), PERIOD_US);
    else
        snprintf(out, VALUE_SIZE, "max %u", PERIOD_US);
}

static void cpu_quota(const struct priv_limits *wanted, char out[VALUE_SIZE])
{
    if (wanted->cpu_percent)
        put(out, wanted->cpu_percent * (uint64_t)(PERIOD_US / 100));
    else
        str_copy(out, VALUE_SIZE, "-1");
}

static void memory_max(const struct priv_limits *wanted, char out[VALUE_SIZE])
{
    put(out, wanted->memory_bytes);
}

/* From there on the kernel takes back what it can, and the guest becomes slow before it dies. What
 * lies above does not grow with the guest: it must stay within what QEMU has beside the guest's
 * memory, or a large guest that uses its memory is slow for ever. */
static void memory_high(const struct priv_limits *wanted, char out[VALUE_SIZE])
{
    uint64_t slow = wanted->memory_bytes / 32;

    put(out, wanted->memory_bytes - (slow < SLOW_MOST ? slow : SLOW_MOST));
}

static void io_weight(const struct priv_limits *wanted, char out[VALUE_SIZE])
{
    put(out, wanted->io_weight ? wanted->io_weight : 100);
}

/* The scheduler BFQ counts from 1 to 1000, with 100 in the same place. */
static void io_weight_bfq(const struct priv_limits *wanted, char out[VALUE_SIZE])
{
    uint32_t w = wanted->io_weight ? wanted->io_weight : 100;

    put(out, w <= 100 ? w : 100 + (w - 100) * 900 / (PRIV_WEIGHT_MAX - 100));
}

static void pids_max(const struct priv_limits *wanted, char out[VALUE_SIZE])
{
    if (wanted->pids)
        put(out, wanted->pids);
    else
        str_copy(out, VALUE_SIZE, "max");
}

/* Every file of a controller is needed, but of two with 'or' one. Each that is there is written:
 * which of them is read depends on the scheduler of each disk. */
enum need { NEEDED, OR_NEXT, OR_BEFORE };

static const struct knob {
    enum priv_limit limit;
    enum priv_limit_way way;
    const char *file;
    value_fn *value;
    enum need need;
} knobs[] = {
    {PRIV_LIMIT_CPU, PRIV_LIMIT_V2, "cpu.weight", cpu_weight, NEEDED},
    {PRIV_LIMIT_CPU, PRIV_LIMIT_V2, "cpu.max", cpu_max, NEEDED},
    {PRIV_LIMIT_CPU, PRIV_LIMIT_V1, "cpu.shares", cpu_shares, NEEDED},
    {PRIV_LIMIT_CPU, PRIV_LIMIT_V1, "cpu.cfs_quota_us", cpu_quota, NEEDED},
    {PRIV_LIMIT_MEMORY, PRIV_LIMIT_V2, "memory.high", memory_high, NEEDED},
    {PRIV_LIMIT_MEMORY, PRIV_LIMIT_V2, "memory.max", memory_max, NEEDED},
    {PRIV_LIMIT_MEMORY, PRIV_LIMIT_V1, "memory.soft_limit_in_bytes", memory_high, NEEDED},
    {PRIV_LIMIT_MEMORY, PRIV_LIMIT_V1, "memory.limit_in_bytes", memory_max, NEEDED},
    {PRIV_LIMIT_IO, PRIV_LIMIT_V2, "io.weight", io_weight, OR_NEXT},
    {PRIV_LIMIT_IO, PRIV_LIMIT_V2, "io.bfq.weight", io_weight_bfq, OR_BEFORE},
    {PRIV_LIMIT_IO, PRIV_LIMIT_V1, "blkio.bfq.weight", io_weight_bfq, NEEDED},
    {PRIV_LIMIT_PIDS, PRIV_LIMIT_V2, "pids.max", pids_max, NEEDED},
    {PRIV_LIMIT_PIDS, PRIV_LIMIT_V1, "pids.max", pids_max, NEEDED},
};

bool limits_check(const struct priv_limits *w, struct err *err)
{
    bool good = w->cpu_weight <= PRIV_WEIGHT_MAX && w->cpu_percent <= PRIV_PERCENT_MAX &&
                w->io_weight <= PRIV_WEIGHT_MAX &&
                (!w->pids || (w->pids >= PRIV_PIDS_MIN && w->pids <= PRIV_PIDS_MAX)) &&
                (!w->memory_bytes ||
                 (w->memory_bytes >= PRIV_MEMORY_MIN && w->memory_bytes <= PRIV_MEMORY_MAX));

    return good || err_set(err, ERR_INVALID, "a limit is out of its range");
}

/* ---- what there is ---- */

static bool has_file(int dir, const char *name)
{
    return faccessat(dir, name, F_OK, 0) == 0;
}

static bool has_knobs(int dir, enum priv_limit limit, enum priv_limit_way way)
{
    bool all = true, missing = false;

    for (size_t i = 0; i < ARRAY_LEN(knobs); i++) {
        const struct knob *k = &knobs[i];
        bool there;
        if (k->limit != limit || k->way != way)
            continue;
        there = has_file(dir, k->file);
        if (k->need == OR_NEXT)
            missing = !there;
        else
            all &= there || (k->need == OR_BEFORE && !missing);
    }
    return all;
}

static bool write_text(int dir, const char *name, const char *text)
{
    CLEANUP(closep) int fd = openat(dir, name, O_WRONLY | O_CLOEXEC);

    return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

/* Each by itself: one that cannot be had shall not cost the others. */
static void switch_on(int dir)
{
    char word[16];

    for (unsigned i = 0; i < PRIV_LIMITS; i++) {
        snprintf(word, sizeof word, "+%s", controllers[i]);
        (void)write_text(dir, "cgroup.subtree_control", word);
    }
}

/* From the mount down to the base's parent. Where systemd rules it has done that for the unit that
 * was delegated, and the tree above is not ours. */
static void switch_on_above(const char *mounts, const char *name)
{
    char path[1024];
    const char *part = name;

    if (access("/run/systemd/system", F_OK) == 0 ||
        !hierarchy_find(mounts, NULL, path, sizeof path / 2))
        return;
    while (part) {
        CLEANUP(closep) int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        const char *slash = strchr(part, '/');
        if (dir >= 0)
            switch_on(dir);
        snprintf(path + strlen(path), sizeof path - strlen(path), "/%.*s",
                 slash ? (int)(slash - part) : 0, part);
        part = slash ? slash + 1 : NULL;
    }
}

/* A group that is made for the look and removed again; -1. */
static int probe_in(int dir)
{
    (void)!mkdirat(dir, "probe", 0755);
    return openat(dir, "probe", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void look_at_v2(struct limits *l, int base)
{
    CLEANUP(closep) int probe = -1;

    switch_on(base);
    probe = probe_in(base);
    for (unsigned i = 0; probe >= 0 && i < PRIV_LIMITS; i++)
        if (has_knobs(probe, (enum priv_limit)i, PRIV_LIMIT_V2))
            l->way[i] = PRIV_LIMIT_V2;
    (void)unlinkat(base, "probe", AT_REMOVEDIR);
}

static void look_at_v1(struct limits *l, enum priv_limit limit, const char *mounts,
                       const char *name)
{
    CLEANUP(closep) int base = -1;
    CLEANUP(closep) int probe = -1;
    char mount[512], path[1024];
    struct err err = {0};

    if (!hierarchy_find(mounts, controllers_v1[limit], mount, sizeof mount))
        return;
    snprintf(path, sizeof path, "%s/%s", mount, name);
    if (!fs_mkdirs(path, 0755, &err) ||
        (base = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0) {
        log_debug("no folder in %s: %s", mount, err.detail);
        return;
    }
    probe = probe_in(base);
    if (probe >= 0 && has_knobs(probe, limit, PRIV_LIMIT_V1))
        l->way[limit] = PRIV_LIMIT_V1;
    (void)unlinkat(base, "probe", AT_REMOVEDIR);
    if (l->way[limit] == PRIV_LIMIT_V1)
        l->v1[limit] = TAKE_FD(base);
    else
        (void)rmdir(path);
}

void limits_open(struct limits *l, int base, const char *mounts, const char *name)
{
    for (unsigned i = 0; i < PRIV_LIMITS; i++) {
        l->way[i] = PRIV_LIMIT_NONE;
        l->v1[i] = -1;
    }
    if (base >= 0) {
        switch_on_above(mounts, name);
        look_at_v2(l, base);
    }
    for (unsigned i = 0; i < PRIV_LIMITS; i++)
        if (l->way[i] == PRIV_LIMIT_NONE)
            look_at_v1(l, (enum priv_limit)i, mounts, name);
}

static void remove_folder_of(int fd)
{
    char link[32], path[1024];
    ssize_t n;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    n = readlink(link, path, sizeof path - 1);
    path[n > 0 ? n : 0] = 0;
    (void)rmdir(path);
}

void limits_close(struct limits *l, bool remove)
{
    for (unsigned i = 0; i < PRIV_LIMITS; i++) {
        if (l->v1[i] >= 0 && remove)
            remove_folder_of(l->v1[i]);
        closep(&l->v1[i]);
    }
}

/* ---- one VM ---- */

bool limits_reach(const struct limits *l, int leaf, struct err *err)
{
    char words[64] = "";
    size_t len = 0;

    for (unsigned i = 0; i < PRIV_LIMITS; i++)
        if (l->way[i] == PRIV_LIMIT_V2)
            len += (size_t)snprintf(words + len, sizeof words - len, "%s+%s", len ? " " : "",
                                    controllers[i]);
    return !len || write_text(leaf, "cgroup.subtree_control", words) ||
           err_errno(err, errno, "let the controllers%s reach a guest", words);
}

static void folder_name(char out[FOLDER_NAME], const struct uuid *vm)
{
    snprintf(out, FOLDER_NAME, "vm-%s", UUID_STR(vm));
}

void limits_entry_close(struct limits_entry *entry)
{
    for (unsigned i = 0; i < PRIV_LIMITS; i++)
        closep(&entry->tasks[i]);
}

static bool make_one(int base, const char *name, int *tasks, struct err *err)
{
    char path[FOLDER_NAME + 8];

    if (unlinkat(base, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
        return err_set(err, ERR_BUSY, "processes of this virtual machine still run");
    if (mkdirat(base, name, 0755) < 0)
        return err_errno(err, errno, "make a cgroup");
    snprintf(path, sizeof path, "%s/tasks", name);
    *tasks = openat(base, path, O_WRONLY | O_CLOEXEC);
    return *tasks >= 0 || err_errno(err, errno, "open a cgroup");
}

bool limits_make(const struct limits *l, const struct uuid *vm, struct limits_entry *entry,
                 struct err *err)
{
    char name[FOLDER_NAME];

    folder_name(name, vm);
    for (unsigned i = 0; i < PRIV_LIMITS; i++)
        if (l->way[i] == PRIV_LIMIT_V1 && !make_one(l->v1[i], name, &entry->tasks[i], err))
            return false;
    return true;
}

bool limits_enter(const struct limits_entry *entry, struct err *err)
{
    for (unsigned i = 0; i < PRIV_LIMITS; i++)
        if (entry->tasks[i] >= 0 && write(entry->tasks[i], "0", 1) != 1)
            return err_errno(err, errno, "enter a cgroup of the controller %s", controllers_v1[i]);
    return true;
}

static bool turn(const struct knob *k, int dir, const struct priv_limits *wanted, struct err *err)
{
    char value[VALUE_SIZE];

    k->value(wanted, value);
    if (write_text(dir, k->file, value))
        return true;
    return errno == EINVAL ? err_set(err, ERR_UNSUPPORTED,
                                     "the kernel refuses %s in %s: the group that vmmd lives in "
                                     "allows less than that",
                                     value, k->file)
                           : err_errno(err, errno, "write %s", k->file);
}

/* All knobs of one controller. */
static bool set_one(enum priv_limit limit, enum priv_limit_way way, int dir,
                    const struct priv_limits *wanted, struct err *err)
{
    for (size_t i = 0; i < ARRAY_LEN(knobs); i++) {
        const struct knob *k = &knobs[i];
        if (k->limit != limit || k->way != way)
            continue;
        if (k->need != NEEDED && !has_file(dir, k->file))
            continue;
        if (!turn(k, dir, wanted, err))
            return false;
    }
    return true;
}

bool limits_set(const struct limits *l, int guest, const struct uuid *vm,
                const struct priv_limits *wanted, struct err *err)
{
    char name[FOLDER_NAME];

    folder_name(name, vm);
    for (unsigned i = 0; i < PRIV_LIMITS; i++) {
        enum priv_limit limit = (enum priv_limit)i;
        CLEANUP(closep) int folder = -1;
        int dir = guest;
        if (l->way[i] == PRIV_LIMIT_NONE || (i == PRIV_LIMIT_MEMORY && !wanted->memory_bytes))
            continue;
        if (l->way[i] == PRIV_LIMIT_V1)
            dir = folder = openat(l->v1[i], name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir < 0)
            return err_set(err, ERR_NOT_FOUND,
                           "the virtual machine has no cgroup that can be limited");
        if (!set_one(limit, l->way[i], dir, wanted, err))
            return false;
    }
    return true;
}

void limits_remove(const struct limits *l, const struct uuid *vm)
{
    char name[FOLDER_NAME];

    folder_name(name, vm);
    for (unsigned i = 0; i < PRIV_LIMITS; i++)
        if (l->v1[i] >= 0 && unlinkat(l->v1[i], name, AT_REMOVEDIR) < 0 && errno != ENOENT)
            log_warn("a cgroup of the controller %s stays: %s", controllers_v1[i], strerror(errno));
}

/* ---- what dead daemons left ---- */

static bool remove_all_in(int hierarchy, const char *name)
{
    CLEANUP(closep) int base = openat(hierarchy, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = base >= 0 ? fdopendir(base) : NULL;
    struct stat st;

    if (!dir)
        return false;
    base = -1; /* the stream's */
    if (fstat(dirfd(dir), &st) < 0 || st.st_uid != geteuid()) {
        closedir(dir);
        return false;
    }
    for (struct dirent *e; (e = readdir(dir));)
        if (str_starts(e->d_name, "vm-"))
            (void)unlinkat(dirfd(dir), e->d_name, AT_REMOVEDIR);
    closedir(dir);
    return unlinkat(hierarchy, name, AT_REMOVEDIR) == 0;
}

/* A daemon makes its base in v2 before, and removes it after its folders here. */
static unsigned sweep_in(const char *mount, const char *mount_v2, const char *own)
{
    char base[600];
    unsigned swept = 0;
    DIR *dir = opendir(mount);

    for (struct dirent *e; dir && swept < SWEEP_MOST && (e = readdir(dir));) {
        if (!leaf_is_self_named(e->d_name) || str_eq(e->d_name, own))
            continue;
        snprintf(base, sizeof base, "%s/%s", mount_v2, e->d_name);
        if (access(base, F_OK) < 0 && errno == ENOENT)
            swept += remove_all_in(dirfd(dir), e->d_name);
    }
    if (dir)
        closedir(dir);
    return swept;
}

unsigned limits_sweep_dead(const struct limits *l, const char *mounts, const char *own)
{
    char mount[256], mount_v2[256];
    unsigned swept = 0;

    if (!hierarchy_find(mounts, NULL, mount_v2, sizeof mount_v2))
        return 0;
    for (unsigned i = 0; i < PRIV_LIMITS; i++)
        if (l->v1[i] >= 0 && hierarchy_find(mounts, controllers_v1[i], mount, sizeof mount))
            swept += sweep_in(mount, mount_v2, own);
    return swept;
}
