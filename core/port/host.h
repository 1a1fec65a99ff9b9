/* What core and the backends need of the privileged helper. Implemented by vmmd/main (a client of
 * vmmd/priv/proto.h) and by a fake in tests. Blocking, thread-safe; a lost helper is UNAVAILABLE
 * and ends the daemon soon after. */
#pragma once
#include "core/base/err.h"
#include "core/base/histogram.h"
#include "core/base/id.h"

#include <stdint.h>

/* What a host can limit a guest in, and by which version of cgroups. */
enum host_limit {
    HOST_LIMIT_CPU,
    HOST_LIMIT_MEMORY,
    HOST_LIMIT_IO,
    HOST_LIMIT_PIDS,
    HOST_LIMITS /* how many there are */
};
enum host_limit_way { HOST_LIMIT_UNSUPPORTED, HOST_LIMIT_BY_V1, HOST_LIMIT_BY_V2 };

/* What a guest may take. 0: as much as there is. */
struct host_limits {
    uint32_t cpu_weight;  /* 1..10000; one without has 100 */
    uint32_t cpu_percent; /* of one processor */
    uint32_t io_weight;   /* 1..10000; one without has 100 */
    uint32_t pids;        /* processes and threads */
    uint64_t memory_bytes;
};

struct host_facts {
    bool root;      /* runs as root: own uids for VMs */
    bool userns;    /* user namespaces work */
    bool cgroup_v2; /* each worker has a cgroup of its own */
    bool kvm_node;  /* /dev/kvm exists */
    bool kvm_opens; /* ... and can be opened */
    uint32_t slots; /* how many VMs can have a uid of their own */
    enum host_limit_way limits[HOST_LIMITS];
};
bool host_facts(struct host_facts *out, struct err *err) MUST_USE;
/* Directory of the configured pool root number 'index'. The caller owns the descriptor. */
bool host_root_open(unsigned index, int *fd, struct err *err) MUST_USE;
/* Kernel (initrd=false) or initrd of boot entry 'index': open for reading, or a detached mount of
 * it (O_PATH), which a jail attaches. NOT_FOUND if it has none. */
bool host_boot_open(unsigned index, bool initrd, int *fd, struct err *err) MUST_USE;
bool host_kvm_open(int *fd, struct err *err) MUST_USE;
/* /dev/userfaultfd, with which a machine can be written down while it runs. UNSUPPORTED with what
 * the administrator can do when the host has none that may be opened. */
bool host_uffd_open(int *fd, struct err *err) MUST_USE;
/* What a worker gets besides its jail. */
struct host_wants {
    bool kvm; /* the host's /dev/kvm for the machine */
    bool net; /* a process of its own that speaks with the host's network */
};
/* A new worker with its idle jail, in which no more than 'limits' can be taken as far as the host
 * has the controllers; '*sock' is the first conversation's stream socket. */
bool host_worker_spawn(const struct uuid *vm, uint32_t slot, struct host_wants wants,
                       const struct host_limits *limits, int *sock, struct err *err) MUST_USE;
/* How long those took that worked, since this daemon began. */
void host_worker_starts(struct histogram_seen *out);
/* Other limits for one that lives; with memory_bytes 0 that of memory stays. NOT_FOUND: it has no
 * cgroup of its own. */
bool host_worker_limit(const struct uuid *vm, const struct host_limits *limits,
                       struct err *err) MUST_USE;
/* Ends whatever of this VM still lives; on return nothing does. */
bool host_worker_kill(const struct uuid *vm, struct err *err) MUST_USE;
/* Opens a directory of this VM below /run/vmmd/vm (worker.sock, alive, exit); NOT_FOUND if none. */
bool host_run_dir(const struct uuid *vm, int *fd, struct err *err) MUST_USE;
bool host_run_dir_remove(const struct uuid *vm, struct err *err) MUST_USE;
/* All that exist; 'each' may remove the one it is shown, and ends the visit with false. */
bool host_run_dir_each(bool (*each)(void *ctx, const struct uuid *vm, bool populated), void *ctx,
                       struct err *err) MUST_USE;

/* From the configuration. */
unsigned host_roots(void);
const char *host_root_id(unsigned index);
unsigned host_boots(void);
const char *host_boot_id(unsigned index);
const char *host_qemu_path(void); /* qemu-system-x86_64 */
bool host_fake_allowed(void);     /* backend "fake" may be used */
/* Every worker's leaf that the helper knows, whether the daemon knows its VM or not. */
bool host_worker_each(bool (*each)(void *ctx, const struct uuid *vm, bool populated), void *ctx,
                      struct err *err) MUST_USE;
