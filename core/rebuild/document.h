/* The disaster copies as documents: what a VM's copy holds and what the host's does, their text,
 * and whether one is sound in itself. Plain data: nothing here looks at files or at the database.
 *
 * docs/recovery.md says what is in them and why. A copy names files by their ids and pools by
 * theirs, never by a path. */
#pragma once
#include "core/model/vm.h"

#define COPY_VERSION 2
#define COPY_MAX     (64u << 20) /* bytes of a copy that is worth reading */
#define COPY_NAME    "config.json"
#define HOST_COPY    "host.json"
#define COPY_FOLDER  "vmmd-copies" /* in a pool root: <VM's id>.json */

struct copy_pool {
    struct uuid id;
    char *name, *root;
    uint64_t created_ms, quota_bytes, reserve_bytes;
    int default_format; /* enum disk_format */
};
/* What a disk of the VM is that its configuration does not say. */
struct copy_disk {
    struct uuid id, pool, leaf;
    uint32_t position;
    uint64_t size_bytes, created_ms;
    int format, bus;
};
/* Every file that the VM needs, its own or another's: leaves, what they and snapshots lie on,
 * memories. */
struct copy_file {
    struct uuid id, pool;
    struct uuid parent; /* zero: a base */
    struct uuid vm;     /* whose it is; zero: nobody's */
    int role;           /* enum copy_role */
    int format;
    uint64_t size_bytes;
};
enum copy_role { COPY_DISK, COPY_MEMORY };
struct copy_memory {
    struct uuid file;
    json_t *spec; /* configuration as started */
    char *made;   /* JSON of the backend */
    char *leaves; /* JSON */
    char *way;
    uint64_t held_bytes, pause_us, took_ms, created_ms;
    uint64_t packed_bytes, plain_bytes; /* when it is archived, or 0 */
};
struct copy_snapshot_disk {
    struct uuid disk, file;
    uint32_t position;
};
struct copy_snapshot {
    struct uuid id;
    struct uuid parent; /* zero: a root of the tree */
    char *name, *notes;
    json_t *spec;
    uint64_t created_ms;
    struct uuid memory;
    int memory_state; /* index of copy_memory_states */
    char *memory_note;
    struct copy_snapshot_disk *disks;
    size_t n_disks;
};
struct vm_copy {
    uint64_t version;
    uint64_t generation; /* of two copies of one VM the one with the higher is the newer */
    struct uuid id;
    json_t *spec;
    uint64_t revision, created_ms, updated_ms;
    struct uuid stands_on;
    struct uuid memory;  /* the image that it goes on with: it is saved; zero: it is off */
    char *memory_leaves; /* JSON */
    char *reason;        /* why it is saved; may be "" */
    struct copy_pool *pools;
    size_t n_pools;
    struct copy_disk *disks;
    size_t n_disks;
    struct copy_file *files;
    size_t n_files;
    struct copy_memory *memories;
    size_t n_memories;
    struct copy_snapshot *snapshots; /* oldest first */
    size_t n_snapshots;
};

struct copy_template {
    struct uuid id;
    char *name;
    json_t *content;
    uint64_t revision, created_ms, updated_ms;
    char *created_by; /* or NULL */
};
/* What is no VM's: pools, empty ones too, and templates. */
struct host_copy {
    uint64_t version, generation;
    struct copy_pool *pools;
    size_t n_pools;
    struct copy_template *templates;
    size_t n_templates;
};

extern const char *const copy_roles[];         /* as the store's words for roles of files */
extern const char *const copy_memory_states[]; /* as the store's words */

/* Parses a hostile text and checks what can be checked in it alone: ids once, parents within it and
 * without circles, leaves that nothing lies on, disks that are those of the configuration. INVALID
 * with what is wrong, UNSUPPORTED when a newer vmmd wrote it. Nothing is owned by '*out' then. */
bool vm_copy_read(const char *text, size_t len, struct vm_copy *out, struct err *err) MUST_USE;
bool host_copy_read(const char *text, size_t len, struct host_copy *out, struct err *err) MUST_USE;
/* The documents, owned by the caller. */
json_t *vm_copy_json(const struct vm_copy *copy);
json_t *host_copy_json(const struct host_copy *copy);
void vm_copy_clear(struct vm_copy *copy); /* for CLEANUP */
void host_copy_clear(struct host_copy *copy);

/* Of a copy that was read: NULL when it has none. */
const struct copy_file *vm_copy_file(const struct vm_copy *copy, const struct uuid *id);
const struct copy_memory *vm_copy_memory(const struct vm_copy *copy, const struct uuid *file);
/* Its configuration; it was checked already, so it is there. Owned by the caller. */
struct vm_spec *vm_copy_spec(const struct vm_copy *copy);

/* document_check.c: the part of reading that comes after the tables. */
bool vm_copy_check(const struct vm_copy *copy, struct err *err) MUST_USE;
