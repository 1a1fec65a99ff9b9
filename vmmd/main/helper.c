/* The client of the privileged helper: one fixed-size request, one fixed-size reply, at most one
 * descriptor, in turn for all threads. See vmmd/priv/proto.h.
 *
 * A helper that is gone or breaks the protocol is the end of this process: without it neither a
 * worker can be started nor one be proven dead, and the parent that would restart us is gone too.
 */
#include "vmmd/main/helper.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/sock.h"
#include "core/base/thread.h"
#include "core/port/host.h"
#include "vmmd/priv/proto.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct {
    const struct config *config;
    struct lock lock;
    int sock;
    uint32_t serial;
    int run_fd; /* <run_dir>/vm */
} helper = {.lock = {PTHREAD_MUTEX_INITIALIZER}, .sock = -1, .run_fd = -1};

static struct histogram worker_starts;

bool helper_init(const struct config *config, int sock, struct err *err)
{
    CLEANUP(closep) int dir = open(config->run_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    helper.config = config;
    helper.sock = sock;
    if (dir < 0)
        return err_set(err, ERR_INTERNAL, "the run directory %s cannot be opened", config->run_dir);
    helper.run_fd = fs_open(dir, "vm", O_RDONLY | O_DIRECTORY, 0, err);
    return helper.run_fd >= 0;
}

/* The helper is lost: nothing that this process could still do would be true. */
static bool lost(struct err *err, const char *what)
{
    log_error("the privileged helper is lost (%s): leaving", what);
    _exit(EXIT_INTERNAL);
}

static unsigned fds_of(enum priv_op op)
{
    static const unsigned fds[] = {0,
#define X(name, n) n,
                                   PRIV_OPS(X)
#undef X
    };

    return fds[op];
}

static bool exchange(struct priv_request *request, struct priv_reply *reply, int *fd,
                     struct err *err)
{
    unsigned n_fds = 0;
    ssize_t n;

    request->version = PRIV_VERSION;
    request->serial = ++helper.serial;
    if (!sock_send(helper.sock, request, sizeof *request, NULL, 0, err))
        return lost(err, err->detail);
    n = sock_recv(helper.sock, reply, sizeof *reply, fd, 1, &n_fds, err);
    if (n != sizeof *reply || reply->version != PRIV_VERSION || reply->serial != request->serial ||
        reply->op != request->op || reply->error >= ERR_COUNT ||
        (!reply->error && n_fds != fds_of((enum priv_op)reply->op)))
        return lost(err, n <= 0 ? "it closed the socket" : "a wrong reply");
    reply->detail[sizeof reply->detail - 1] = 0;
    return true;
}

/* One request; '*fd' gets the descriptor of a good reply that carries one. */
static bool ask(struct priv_request *request, struct priv_reply *reply, int *fd, struct err *err)
{
    int got = -1;
    bool ok;

    lock_take(&helper.lock);
    ok = exchange(request, reply, &got, err);
    lock_drop(&helper.lock);
    if (ok && reply->error)
        ok = err_set(err, (enum err_code)reply->error, "%s", reply->detail);
    if (ok && fd)
        *fd = got;
    else
        closep(&got);
    return ok;
}

bool helper_ready(struct err *err)
{
    struct priv_request request = {.op = PRIV_READY};
    struct priv_reply reply;

    return ask(&request, &reply, NULL, err);
}

/* ---- core/port/host.h ---- */

_Static_assert((int)HOST_LIMITS == PRIV_LIMITS && (int)HOST_LIMIT_CPU == PRIV_LIMIT_CPU &&
                   (int)HOST_LIMIT_MEMORY == PRIV_LIMIT_MEMORY &&
                   (int)HOST_LIMIT_IO == PRIV_LIMIT_IO && (int)HOST_LIMIT_PIDS == PRIV_LIMIT_PIDS,
               "core and helper count alike");

static enum host_limit_way limit_way(uint8_t way)
{
    return way == PRIV_LIMIT_V2   ? HOST_LIMIT_BY_V2
           : way == PRIV_LIMIT_V1 ? HOST_LIMIT_BY_V1
                                  : HOST_LIMIT_UNSUPPORTED;
}

static struct priv_limits limits_wire(const struct host_limits *l)
{
    return (struct priv_limits){.cpu_weight = l->cpu_weight,
                                .cpu_percent = l->cpu_percent,
                                .io_weight = l->io_weight,
                                .pids = l->pids,
                                .memory_bytes = l->memory_bytes};
}

bool host_facts(struct host_facts *out, struct err *err)
{
    struct priv_request request = {.op = PRIV_FACTS};
    struct priv_reply reply;

    if (!ask(&request, &reply, NULL, err))
        return false;
    *out = (struct host_facts){.root = reply.facts & PRIV_FACT_ROOT,
                               .userns = reply.facts & PRIV_FACT_USERNS,
                               .cgroup_v2 = reply.facts & PRIV_FACT_CGROUP_V2,
                               .kvm_node = reply.facts & PRIV_FACT_KVM_NODE,
                               .kvm_opens = reply.facts & PRIV_FACT_KVM_OPENS,
                               .slots = reply.slots};
    for (unsigned i = 0; i < HOST_LIMITS; i++)
        out->limits[i] = limit_way(reply.limits[i]);
    return true;
}

bool host_root_open(unsigned index, int *fd, struct err *err)
{
    struct priv_request request = {.op = PRIV_ROOT_OPEN, .index = index};
    struct priv_reply reply;

    return ask(&request, &reply, fd, err);
}

bool host_boot_open(unsigned index, bool initrd, int *fd, struct err *err)
{
    struct priv_request request = {.op = PRIV_BOOT_OPEN, .index = index, .arg = initrd};
    struct priv_reply reply;

    return ask(&request, &reply, fd, err);
}

bool host_kvm_open(int *fd, struct err *err)
{
    struct priv_request request = {.op = PRIV_KVM_OPEN};
    struct priv_reply reply;

    return ask(&request, &reply, fd, err);
}

bool host_uffd_open(int *fd, struct err *err)
{
    struct priv_request request = {.op = PRIV_UFFD_OPEN};
    struct priv_reply reply;

    return ask(&request, &reply, fd, err);
}

bool host_worker_spawn(const struct uuid *vm, uint32_t slot, struct host_wants wants,
                       const struct host_limits *limits, int *sock, struct err *err)
{
    struct priv_request request = {.op = PRIV_WORKER_SPAWN,
                                   .index = slot,
                                   .flags = (wants.kvm ? PRIV_SPAWN_KVM : 0u) |
                                            (wants.net ? PRIV_SPAWN_NET : 0u),
                                   .vm = *vm,
                                   .limits = limits_wire(limits)};
    struct priv_reply reply;
    int64_t begin_us = clock_mono_us();

    if (!ask(&request, &reply, sock, err))
        return false;
    histogram_note(&worker_starts, &histogram_flushes, clock_mono_us() - begin_us);
    return true;
}

void host_worker_starts(struct histogram_seen *out)
{
    histogram_read(&worker_starts, &histogram_flushes, out);
}

bool host_worker_limit(const struct uuid *vm, const struct host_limits *limits, struct err *err)
{
    struct priv_request request = {
        .op = PRIV_WORKER_LIMIT, .vm = *vm, .limits = limits_wire(limits)};
    struct priv_reply reply;

    return ask(&request, &reply, NULL, err);
}

bool host_worker_kill(const struct uuid *vm, struct err *err)
{
    struct priv_request request = {.op = PRIV_WORKER_KILL, .vm = *vm};
    struct priv_reply reply;

    return ask(&request, &reply, NULL, err);
}

bool host_worker_each(bool (*each)(void *ctx, const struct uuid *vm, bool populated), void *ctx,
                      struct err *err)
{
    struct priv_request request = {.op = PRIV_WORKER_LIST};
    struct priv_leaf *leaves = NULL;
    struct priv_reply reply;
    size_t n = 0;
    bool ok = true;

    do {
        request.index = (uint32_t)n;
        if (!ask(&request, &reply, NULL, err)) {
            free(leaves);
            return false;
        }
        reply.count = reply.count < PRIV_LEAVES ? reply.count : PRIV_LEAVES;
        leaves = reallocarray(leaves, n + PRIV_LEAVES, sizeof *leaves);
        if (!leaves)
            abort();
        memcpy(leaves + n, reply.leaves, reply.count * sizeof *leaves);
        n += reply.count;
    } while (reply.count == PRIV_LEAVES);
    for (size_t i = 0; ok && i < n; i++)
        ok = each(ctx, &leaves[i].vm, leaves[i].populated);
    free(leaves);
    return true;
}

bool host_run_dir(const struct uuid *vm, int *fd, struct err *err)
{
    *fd = fs_open(helper.run_fd, UUID_STR(vm), O_RDONLY | O_DIRECTORY, 0, err);
    return *fd >= 0;
}

bool host_run_dir_remove(const struct uuid *vm, struct err *err)
{
    return fs_remove_tree(helper.run_fd, UUID_STR(vm), err);
}

bool host_run_dir_each(bool (*each)(void *ctx, const struct uuid *vm, bool populated), void *ctx,
                       struct err *err)
{
    int fd = fs_open(helper.run_fd, ".", O_RDONLY | O_DIRECTORY, 0, err);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    bool ok = true;

    if (!dir)
        return false;
    for (struct dirent *e; ok && (e = readdir(dir));) {
        struct uuid vm;
        ok = !uuid_parse(e->d_name, &vm) || each(ctx, &vm, false);
    }
    closedir(dir);
    return true;
}

unsigned host_roots(void)
{
    return helper.config->n_roots;
}

const char *host_root_id(unsigned index)
{
    return helper.config->roots[index].id;
}

unsigned host_boots(void)
{
    return helper.config->n_boots;
}

const char *host_boot_id(unsigned index)
{
    return helper.config->boots[index].id;
}

const char *host_qemu_path(void)
{
    return helper.config->qemu;
}

bool host_fake_allowed(void)
{
    return helper.config->enable_fake_backend;
}
