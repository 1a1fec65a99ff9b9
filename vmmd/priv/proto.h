/* What main may ask of the privileged helper: fixed-size messages over one SEQPACKET socket, ids
 * in, descriptors out. The helper parses nothing else that comes from main; see docs/processes.md.
 *
 * Every request is answered, in order, by one reply; a malformed request (size, version, unknown
 * op, non-zero padding) ends the helper. Fields that an op does not name must be zero. */
#pragma once
#include "core/base/id.h"

#include <stdint.h>

#define PRIV_VERSION 2

/* Descriptors that main and the front find open when they start (see docs/processes.md). */
enum main_fd {
    MAIN_FD_PRIV = 3,
    MAIN_FD_FRONT,
    MAIN_FD_CONFIG,
    MAIN_FD_UNIX,
    MAIN_FD_KVMTEST, /* vmmd-kvmtest and vmmd-pack (to be executed) */
    MAIN_FD_PACK,
    MAIN_FD_CERT,    /* the API's certificate, for the names in it */
    MAIN_FD_INSPECT, /* vmmd-inspect (to be executed) */
    MAIN_FD_PAM      /* link to vmmd-pam; only where the configuration has pam_service */
};
enum front_fd { FRONT_FD_CONTROL = 3, FRONT_FD_MAIN, FRONT_FD_LISTEN, FRONT_FD_CERT, FRONT_FD_KEY };
/* ... and a worker and its jail. */
enum worker_fd {
    WORKER_FD_MAIN = 3,
    WORKER_FD_JAIL,
    WORKER_FD_LIFELINE,
    WORKER_FD_RUN,
    WORKER_FD_SPLIT, /* vmmd-split (to be executed) */
    WORKER_FD_NET    /* vmmd-net (stream), when there is one: vmmd-worker UUID --net */
};
enum jail_fd { JAIL_FD_WORKER = 3, JAIL_FD_LIFELINE, JAIL_FD_PRELOAD };

/* X(name, number of descriptors in a good reply) */
#define PRIV_OPS(X)                                                                                \
    X(READY, 0)        /* main serves requests now: the front may hand connections over */         \
    X(FACTS, 0)        /* -> facts */                                                              \
    X(ROOT_OPEN, 1)    /* index: pool root in the order of vmmd.conf -> its directory */           \
    X(BOOT_OPEN, 1)    /* index: boot entry, arg: 0 kernel, 1 initrd -> the file, or its mount */  \
    X(KVM_OPEN, 1)     /* -> /dev/kvm, O_RDWR */                                                   \
    X(UFFD_OPEN, 1)    /* -> /dev/userfaultfd, O_RDWR */                                           \
    X(WORKER_SPAWN, 1) /* vm, index: uid slot, flags, limits -> stream socket to the new worker */ \
    X(WORKER_LIMIT, 0) /* vm, limits: from now on; memory_bytes 0: as it is */                     \
    X(WORKER_KILL, 0)  /* vm: end all its processes, wait until none is left, sweep its leaf */    \
    X(WORKER_LIST, 0)  /* index: from this position on -> leaves */

enum priv_op {
    PRIV_OP_NONE,
#define X(name, fds) PRIV_##name,
    PRIV_OPS(X)
#undef X
        PRIV_OP_COUNT
};

enum priv_spawn_flag {
    PRIV_SPAWN_KVM = 1, /* the jail gets a private /dev/kvm node */
    PRIV_SPAWN_NET = 2  /* vmmd-net is started beside the jail, for passt */
};

/* What a guest may take of its host: what is in its jail, together. 0: as much as there is. */
struct priv_limits {
    uint32_t cpu_weight;  /* 1..10000, others have 100 */
    uint32_t cpu_percent; /* of one processor */
    uint32_t io_weight;   /* 1..10000, others have 100 */
    uint32_t pids;        /* processes and threads */
    uint64_t memory_bytes;
};
#define PRIV_WEIGHT_MAX  10000
#define PRIV_PERCENT_MAX 100000
#define PRIV_PIDS_MIN    16
#define PRIV_PIDS_MAX    (1u << 20)
#define PRIV_MEMORY_MIN  (16ull << 20)
#define PRIV_MEMORY_MAX  (1ull << 50)

struct priv_request {
    uint32_t version;
    uint32_t op;
    uint32_t serial; /* repeated in the reply */
    uint32_t index;
    uint32_t flags;
    uint32_t arg;
    struct uuid vm;
    struct priv_limits limits;
};
_Static_assert(sizeof(struct priv_request) == 64, "no padding, and docs/processes.md says so");

enum priv_limit { PRIV_LIMIT_CPU, PRIV_LIMIT_MEMORY, PRIV_LIMIT_IO, PRIV_LIMIT_PIDS, PRIV_LIMITS };
/* By which version of cgroups the host can enforce one. */
enum priv_limit_way { PRIV_LIMIT_NONE, PRIV_LIMIT_V1, PRIV_LIMIT_V2 };

enum priv_fact {
    PRIV_FACT_ROOT = 1,       /* runs as root: own uids for VMs, cgroups */
    PRIV_FACT_USERNS = 2,     /* user namespaces can be made: the jail works */
    PRIV_FACT_CGROUP_V2 = 4,  /* each worker has a v2 leaf: kill and empty notification */
    PRIV_FACT_KVM_NODE = 8,   /* /dev/kvm exists */
    PRIV_FACT_KVM_OPENS = 16, /* ... and opens for this user */
};

struct priv_leaf {
    struct uuid vm;
    uint32_t slot;
    uint32_t populated; /* 1: processes live in it */
};

#define PRIV_LEAVES 32

struct priv_reply {
    uint32_t version;
    uint32_t op;
    uint32_t serial;
    uint32_t error; /* enum err_code; 0 is success */
    uint32_t facts; /* enum priv_fact, for FACTS */
    uint32_t count; /* leaves filled, for WORKER_LIST; fewer than PRIV_LEAVES: no more follow */
    uint32_t slots; /* uid slots there are, for FACTS */
    uint8_t limits[PRIV_LIMITS]; /* enum priv_limit_way, for FACTS */
    char detail[200];            /* one sentence when error is set */
    struct priv_leaf leaves[PRIV_LEAVES];
};
