/* The helper: one request, one reply. See helper.h and docs/processes.md.
 *
 * All that main can say is a struct priv_request. Its size, version, op, and that every field the
 * op does not name is zero are checked before anything else; a request that fails here was not made
 * by our main, so the process that holds the rights leaves at once. What can be refused honestly
 * (an index that does not exist, a slot in use) is answered instead. */
#include "vmmd/priv/helper.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/sock.h"
#include "core/base/str.h"
#include "vmmd/priv/leaf.h"
#include "vmmd/priv/pidfile.h"
#include "vmmd/priv/proto.h"
#include "vmmd/priv/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

enum field { F_INDEX = 1, F_FLAGS = 2, F_ARG = 4, F_VM = 8, F_LIMITS = 16 };

/* One operation: fills the reply and, for those that give one, '*fd'. */
typedef bool op_fn(struct helper *helper, const struct priv_request *req, struct priv_reply *reply,
                   int *fd, struct err *err);

static op_fn op_ready, op_facts, op_root_open, op_boot_open, op_kvm_open, op_uffd_open,
    op_worker_spawn, op_worker_limit, op_worker_kill, op_worker_list;

static const struct op {
    op_fn *run;
    unsigned fields; /* the request's fields that it names; all others must be zero */
} ops[PRIV_OP_COUNT] = {
    [PRIV_READY] = {op_ready, 0},
    [PRIV_FACTS] = {op_facts, 0},
    [PRIV_ROOT_OPEN] = {op_root_open, F_INDEX},
    [PRIV_BOOT_OPEN] = {op_boot_open, F_INDEX | F_ARG},
    [PRIV_KVM_OPEN] = {op_kvm_open, 0},
    [PRIV_UFFD_OPEN] = {op_uffd_open, 0},
    [PRIV_WORKER_SPAWN] = {op_worker_spawn, F_VM | F_INDEX | F_FLAGS | F_LIMITS},
    [PRIV_WORKER_LIMIT] = {op_worker_limit, F_VM | F_LIMITS},
    [PRIV_WORKER_KILL] = {op_worker_kill, F_VM},
    [PRIV_WORKER_LIST] = {op_worker_list, F_INDEX},
};

static bool op_ready(struct helper *helper, const struct priv_request *req,
                     struct priv_reply *reply, int *fd, struct err *err)
{
    helper->ready = true;
    return true;
}

static bool kvm_opens(void)
{
    CLEANUP(closep) int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

    return fd >= 0;
}

static bool op_facts(struct helper *helper, const struct priv_request *req,
                     struct priv_reply *reply, int *fd, struct err *err)
{
    const struct host *h = helper->host;
    struct err why = {0};

    if (h->root)
        reply->facts |= PRIV_FACT_ROOT;
    if (spawn_userns_works(h, &why))
        reply->facts |= PRIV_FACT_USERNS;
    else
        log_warn("virtual machines cannot be started: %s", why.detail);
    if (h->cgroup >= 0)
        reply->facts |= PRIV_FACT_CGROUP_V2;
    if (access("/dev/kvm", F_OK) == 0)
        reply->facts |= PRIV_FACT_KVM_NODE;
    if (kvm_opens())
        reply->facts |= PRIV_FACT_KVM_OPENS;
    reply->slots = config_slots(h->config);
    for (unsigned i = 0; i < PRIV_LIMITS; i++)
        reply->limits[i] = (uint8_t)h->limits.way[i];
    return true;
}

static bool op_root_open(struct helper *helper, const struct priv_request *req,
                         struct priv_reply *reply, int *fd, struct err *err)
{
    const struct config *c = helper->host->config;

    if (req->index >= c->n_roots)
        return err_set(err, ERR_NOT_FOUND, "vmmd.conf has no pool root number %u", req->index);
    /* A fresh open: main shall not share locks and offsets with its predecessor. */
    *fd = openat(helper->host->roots[req->index], ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *fd >= 0 || err_errno(err, errno, "open pool root %s", c->roots[req->index].id);
}

/* A file that everybody may read is handed over as a detached read-only mount: the jail puts it in
 * its place instead of copying it. Needs root; elsewhere the open file is what main gets. */
static void detach(const struct host *h, const struct stat *st, int *fd)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
                                          MOUNT_ATTR_NOEXEC};
    CLEANUP(closep) int tree = -1;

    if (!h->root || !(st->st_mode & S_IROTH))
        return;
    tree = open_tree(*fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (tree < 0 || mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof attr) < 0)
        return;
    close(*fd);
    *fd = TAKE_FD(tree);
}

static bool op_boot_open(struct helper *helper, const struct priv_request *req,
                         struct priv_reply *reply, int *fd, struct err *err)
{
    const struct config *c = helper->host->config;
    const struct config_boot *boot = &c->boots[req->index < c->n_boots ? req->index : 0];
    const char *path = req->arg == 0 ? boot->kernel : boot->initrd;
    struct stat st;

    if (req->index >= c->n_boots || req->arg > 1)
        return err_set(err, ERR_NOT_FOUND, "vmmd.conf has no boot entry number %u", req->index);
    if (!path)
        return err_set(err, ERR_NOT_FOUND, "boot entry %s has no initrd", boot->id);
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (*fd < 0)
        return err_errno(err, errno, "open the %s of boot entry %s",
                         req->arg == 0 ? "kernel" : "initrd", boot->id);
    if (fstat(*fd, &st) < 0 || !S_ISREG(st.st_mode))
        return err_set(err, ERR_INVALID, "boot entry %s does not name a regular file", boot->id);
    detach(helper->host, &st, fd);
    return true;
}

static bool op_kvm_open(struct helper *helper, const struct priv_request *req,
                        struct priv_reply *reply, int *fd, struct err *err)
{
    *fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (*fd >= 0)
        return true;
    if (errno == ENOENT)
        return err_set(err, ERR_UNSUPPORTED,
                       "this host has no /dev/kvm: enable virtualization in "
                       "the firmware and load kvm_intel or kvm_amd");
    if (errno == EACCES)
        return err_set(err, ERR_UNSUPPORTED,
                       "user %u may not open /dev/kvm: add it to the group kvm", geteuid());
    return err_set(err, ERR_UNSUPPORTED, "/dev/kvm does not open: %s", strerror(errno));
}

static bool op_uffd_open(struct helper *helper, const struct priv_request *req,
                         struct priv_reply *reply, int *fd, struct err *err)
{
    *fd = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
    if (*fd >= 0)
        return true;
    if (errno == ENOENT)
        return err_set(err, ERR_UNSUPPORTED,
                       "this host has no /dev/userfaultfd (Linux 6.1 or newer has): "
                       "sysctl -w vm.unprivileged_userfaultfd=1 does as well");
    if (errno == EACCES)
        return err_set(err, ERR_UNSUPPORTED,
                       "user %u may not open /dev/userfaultfd: "
                       "sysctl -w vm.unprivileged_userfaultfd=1 does as well",
                       geteuid());
    return err_set(err, ERR_UNSUPPORTED, "/dev/userfaultfd does not open: %s", strerror(errno));
}

static bool op_worker_spawn(struct helper *helper, const struct priv_request *req,
                            struct priv_reply *reply, int *fd, struct err *err)
{
    if (uuid_is_zero(&req->vm) || req->flags & ~(unsigned)(PRIV_SPAWN_KVM | PRIV_SPAWN_NET))
        return err_set(err, ERR_INVALID, "a worker needs a VM and known flags");
    if (req->index >= config_slots(helper->host->config))
        return err_set(err, ERR_INVALID, "uid slot %u is beyond uid_count in vmmd.conf",
                       req->index);
    if (!limits_check(&req->limits, err))
        return false;
    *fd = spawn_worker(helper->host, req, err);
    return *fd >= 0;
}

static bool op_worker_limit(struct helper *helper, const struct priv_request *req,
                            struct priv_reply *reply, int *fd, struct err *err)
{
    const struct host *h = helper->host;
    CLEANUP(closep) int guest = -1;

    if (uuid_is_zero(&req->vm))
        return err_set(err, ERR_INVALID, "limits need a VM");
    if (!limits_check(&req->limits, err))
        return false;
    if (h->cgroup >= 0 && (guest = leaf_find(h->cgroup, &req->vm, err)) < 0)
        return false;
    return limits_set(&h->limits, guest, &req->vm, &req->limits, err);
}

static bool op_worker_kill(struct helper *helper, const struct priv_request *req,
                           struct priv_reply *reply, int *fd, struct err *err)
{
    const struct host *h = helper->host;

    if (h->cgroup >= 0 ? !leaf_kill(h->cgroup, &req->vm, err) : !pidfile_kill(h, &req->vm, err))
        return false;
    limits_remove(&h->limits, &req->vm);
    return true;
}

struct page {
    struct priv_reply *reply;
    uint32_t skip;
};

static bool add_to_page(const struct leaf *leaf, void *arg)
{
    struct page *page = arg;
    struct priv_leaf *out = &page->reply->leaves[page->reply->count];

    if (page->skip) {
        page->skip--;
        return true;
    }
    *out = (struct priv_leaf){.vm = leaf->vm, .slot = leaf->slot, .populated = leaf->populated};
    return ++page->reply->count < PRIV_LEAVES;
}

/* Without cgroups there are no leaves: main then looks at the locks in the run directory. */
static bool op_worker_list(struct helper *helper, const struct priv_request *req,
                           struct priv_reply *reply, int *fd, struct err *err)
{
    struct page page = {.reply = reply, .skip = req->index};

    return helper->host->cgroup < 0 || leaf_each(helper->host->cgroup, add_to_page, &page, err);
}

static bool well_formed(const struct priv_request *req, ssize_t len)
{
    static const struct priv_limits none;
    unsigned fields;

    if (len != sizeof *req || req->version != PRIV_VERSION || req->op == PRIV_OP_NONE ||
        req->op >= PRIV_OP_COUNT)
        return false;
    fields = ops[req->op].fields;
    return (fields & F_INDEX || req->index == 0) && (fields & F_FLAGS || req->flags == 0) &&
           (fields & F_ARG || req->arg == 0) && (fields & F_VM || uuid_is_zero(&req->vm)) &&
           (fields & F_LIMITS || memcmp(&req->limits, &none, sizeof none) == 0);
}

static bool run(struct helper *helper, const struct priv_request *req, struct priv_reply *reply,
                int *fd, struct err *err)
{
    enum permit_phase now = helper->ready ? PERMIT_READY : PERMIT_STARTING;

    return permit_take((enum priv_op)req->op, now, &helper->uses[req->op], clock_mono_ms(), err) &&
           ops[req->op].run(helper, req, reply, fd, err);
}

static bool answer(struct helper *helper, const struct priv_request *req, int sock)
{
    struct priv_reply reply = {.version = PRIV_VERSION, .op = req->op, .serial = req->serial};
    CLEANUP(closep) int fd = -1;
    struct err err = {0};
    struct err lost = {0};

    if (!run(helper, req, &reply, &fd, &err)) {
        reply.error = err.code;
        str_copy(reply.detail, sizeof reply.detail, err.detail);
        closep(&fd);
    }
    if (sock_send(sock, &reply, sizeof reply, &fd, fd >= 0, &lost))
        return true;
    log_warn("a reply to vmmd-main was lost: %s", lost.detail);
    return lost.code == ERR_UNAVAILABLE; /* it died meanwhile: the parent will see that */
}

enum helper_result helper_serve(struct helper *helper, int sock)
{
    char buffer[sizeof(struct priv_request) + 1]; /* one more, to see what is too long */
    struct priv_request req = {0};
    struct err err = {0};
    bool was_ready = helper->ready;
    CLEANUP(closep) int stray = -1; /* main never sends a descriptor */
    ssize_t n = sock_recv(sock, buffer, sizeof buffer, &stray, 1, NULL, &err);

    if (n < 0 && err.code == ERR_TIMEOUT)
        return HELPER_SERVED;
    if (n <= 0) /* also a reset: it died with a reply unread */
        return HELPER_CLOSED;
    if (n == sizeof req)
        memcpy(&req, buffer, sizeof req);
    if (stray >= 0 || !well_formed(&req, n)) {
        log_error("vmmd-main sent a malformed request (%zd bytes, op %u): the helper leaves", n,
                  req.op);
        return HELPER_BROKEN;
    }
    if (!answer(helper, &req, sock))
        return HELPER_MUTE;
    return helper->ready && !was_ready ? HELPER_READY : HELPER_SERVED;
}
