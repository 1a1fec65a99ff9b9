/* vmmd.conf: the one file an administrator writes. The parent reads it once, at start, and hands
 * main the effective text (every default filled in, every name resolved) as a sealed memory file:
 * both always agree on the order of pool roots and boot entries, and main needs no environment.
 *
 * docs/configuration.md lists every key. Nothing is ignored: an unknown key or section, a key given
 * twice or a bad value is an error that names the line and what is expected. */
#pragma once
#include "core/base/err.h"

#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#define CONFIG_MAX_ROOTS    32
#define CONFIG_MAX_BOOTS    32
#define CONFIG_MAX_ADMINS   16
#define CONFIG_MAX_RESTARTS 64

/* Ids below uid_base that are spoken for: the vmmd user without a passwd entry, the front, spare.
 */
#define CONFIG_UID_FRONT 1
#define CONFIG_UID_SLOTS 16

/* Exit codes of vmmd and of its children, after sysexits.h. */
enum config_exit {
    EXIT_USAGE = 64,    /* the command line */
    EXIT_INTERNAL = 70, /* a bug, or a child that dies again and again */
    EXIT_TAKEN = 73,    /* another daemon has this state or run directory */
    EXIT_LATER = 75,    /* what it needs is not there yet: trying again may help */
    EXIT_CONFIG = 78    /* the configuration, or a thing that it names */
};

struct config_root {
    char id[32];
    char *path; /* absolute */
};

struct config_boot {
    char id[32];
    char *kernel; /* absolute */
    char *initrd; /* absolute, or NULL */
};

struct config {
    /* [vmmd] */
    struct sockaddr_storage listen; /* a literal IPv4 or IPv6 address, never a name */
    socklen_t listen_len;
    char *listen_text;                       /* "127.0.0.1:8443" */
    char *state_dir, *run_dir, *libexec_dir; /* absolute */
    char *tls_cert, *tls_key, *qemu;         /* absolute */
    char *cgroup; /* base below the v2 mount, without a leading slash; NULL: vmmd chooses */
    char *user;   /* as written; NULL: default */
    uid_t uid;    /* main and the workers; the caller's when not root */
    gid_t gid;
    uid_t uid_base; /* of the block that VMs get their uids from */
    uint32_t uid_count;
    uint32_t max_connections, max_connections_per_address;
    uint32_t restart_limit; /* starts of main or the front in 10 s before vmmd gives up */
    uint32_t rate_limit, rate_limit_burst; /* changes a second of one principal; 0: no limit */
    uint32_t auth_failures_per_minute;     /* of one address; 0: no limit */
    bool enable_fake_backend;
    uid_t admin_uids[CONFIG_MAX_ADMINS]; /* admins on api.sock besides 0 and 'uid' */
    unsigned n_admin_uids;
    bool client_certificates; /* the front asks clients for one */
    char *pam_service;        /* by which the host is asked for passwords; NULL: it is not */
    char *hostnames;          /* names besides the certificate's, separated by blanks; NULL: none */
    uint32_t session_idle_hours, session_max_days; /* of browsers' sessions */
    char *webhook_allow; /* ranges and hosts separated by blanks, as written; NULL: none */
    /* [pool-root ID] and [boot ID], in the order of the file */
    struct config_root roots[CONFIG_MAX_ROOTS];
    unsigned n_roots;
    struct config_boot boots[CONFIG_MAX_BOOTS];
    unsigned n_boots;
};

/* Where the file is looked for, by the caller's effective uid; owned by the caller. */
char *config_default_path(void);
/* For the parent. Reads 'path'; NULL means the default place, which may be missing (then all
 * defaults hold). As root the file must belong to root and be writable by nobody else. Looks users
 * up. NULL with INVALID ("vmmd.conf:7: ...") or NOT_FOUND. The caller frees. */
struct config *config_load(const char *path, struct err *err) MUST_USE;
/* For main: reads the effective text that config_seal() made; the offset of 'fd' is not used. */
struct config *config_read(int fd, struct err *err) MUST_USE;
/* A sealed memory file with the effective configuration; -1 on failure. */
int config_seal(const struct config *c, struct err *err) MUST_USE;
void config_free(struct config *c);
void config_freep(struct config **c); /* for CLEANUP */

/* How many VMs can have uids of their own; the first of the two uids of one's jail, and the one of
 * its network. */
uint32_t config_slots(const struct config *c);
uid_t config_slot_uid(const struct config *c, uint32_t slot);
uid_t config_net_uid(const struct config *c, uint32_t slot);
