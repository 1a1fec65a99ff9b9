/* The tables of the disaster copies: see document.h. */
#include "core/rebuild/document.h"

#include "core/base/mem.h"
#include "core/base/str.h"

#include <stdlib.h>
#include <string.h>

const char *const copy_roles[] = {"disk", "memory", NULL};
const char *const copy_memory_states[] = {"none", "ready", "lost", NULL};

#define NUMBER_MAX INT64_MAX
#define NOTES_MAX  65536
#define JSON_MAX   (1u << 20) /* bytes of a text that is JSON itself */
#define POOLS_MAX  4096
#define FILES_MAX  16384
#define TREE_MAX   4096

#define ID(of, member)                                                                             \
    {                                                                                              \
        .name = #member, .type = FIELD_UUID, .offset = offsetof(struct of, member)                 \
    }
#define ID_NEEDED(of, member)                                                                      \
    {                                                                                              \
        .name = #member, .type = FIELD_UUID, .flags = FIELD_REQUIRED,                              \
        .offset = offsetof(struct of, member)                                                      \
    }
#define NUMBER(of, member)                                                                         \
    {                                                                                              \
        .name = #member, .type = FIELD_U64, .offset = offsetof(struct of, member),                 \
        .max = NUMBER_MAX                                                                          \
    }
#define SMALL(of, member)                                                                          \
    {                                                                                              \
        .name = #member, .type = FIELD_U32, .offset = offsetof(struct of, member),                 \
        .max = UINT32_MAX                                                                          \
    }
#define NAME(of, member)                                                                           \
    {                                                                                              \
        .name = #member, .type = FIELD_TEXT, .flags = FIELD_REQUIRED,                              \
        .offset = offsetof(struct of, member), .min = 1, .max = NAME_MAX_BYTES,                    \
        .check = check_name                                                                        \
    }
#define TEXT(of, member, most)                                                                     \
    {                                                                                              \
        .name = #member, .type = FIELD_TEXT, .offset = offsetof(struct of, member), .max = (most)  \
    }
#define WORD(of, member, words)                                                                    \
    {                                                                                              \
        .name = #member, .type = FIELD_ENUM, .flags = FIELD_REQUIRED,                              \
        .offset = offsetof(struct of, member), .names = (words)                                    \
    }
#define ANY(of, member)                                                                            \
    {                                                                                              \
        .name = #member, .type = FIELD_JSON, .flags = FIELD_REQUIRED,                              \
        .offset = offsetof(struct of, member)                                                      \
    }
#define LIST(of_struct, member, model, most)                                                       \
    {                                                                                              \
        .name = #member, .type = FIELD_LIST, .offset = offsetof(struct of_struct, member),         \
        .count_offset = offsetof(struct of_struct, n_##member), .max = (most), .of = &(model)      \
    }
#define MODEL(variable, of)                                                                        \
    static const struct model variable##_model = {#of, sizeof(struct of), variable##_fields,       \
                                                  ARRAY_LEN(variable##_fields)}

static const struct field pool_fields[] = {
    ID_NEEDED(copy_pool, id),
    NAME(copy_pool, name),
    NAME(copy_pool, root),
    NUMBER(copy_pool, created_ms),
    NUMBER(copy_pool, quota_bytes),
    NUMBER(copy_pool, reserve_bytes),
    WORD(copy_pool, default_format, disk_format_names),
};
MODEL(pool, copy_pool);

static const struct field disk_fields[] = {
    ID_NEEDED(copy_disk, id),
    ID_NEEDED(copy_disk, pool),
    ID_NEEDED(copy_disk, leaf),
    SMALL(copy_disk, position),
    NUMBER(copy_disk, size_bytes),
    NUMBER(copy_disk, created_ms),
    WORD(copy_disk, format, disk_format_names),
    WORD(copy_disk, bus, disk_bus_names),
};
MODEL(disk, copy_disk);

static const struct field file_fields[] = {
    ID_NEEDED(copy_file, id),
    ID_NEEDED(copy_file, pool),
    ID(copy_file, parent),
    ID(copy_file, vm),
    WORD(copy_file, role, copy_roles),
    WORD(copy_file, format, disk_format_names),
    NUMBER(copy_file, size_bytes),
};
MODEL(file, copy_file);

static const struct field memory_fields[] = {
    ID_NEEDED(copy_memory, file),           ANY(copy_memory, spec),
    TEXT(copy_memory, made, JSON_MAX),      TEXT(copy_memory, leaves, JSON_MAX),
    TEXT(copy_memory, way, NAME_MAX_BYTES), NUMBER(copy_memory, held_bytes),
    NUMBER(copy_memory, pause_us),          NUMBER(copy_memory, took_ms),
    NUMBER(copy_memory, created_ms),        NUMBER(copy_memory, packed_bytes),
    NUMBER(copy_memory, plain_bytes),
};
MODEL(memory, copy_memory);

static const struct field snapshot_disk_fields[] = {
    ID_NEEDED(copy_snapshot_disk, disk),
    ID_NEEDED(copy_snapshot_disk, file),
    SMALL(copy_snapshot_disk, position),
};
MODEL(snapshot_disk, copy_snapshot_disk);

static const struct field snapshot_fields[] = {
    ID_NEEDED(copy_snapshot, id),
    ID(copy_snapshot, parent),
    NAME(copy_snapshot, name),
    TEXT(copy_snapshot, notes, NOTES_MAX),
    ANY(copy_snapshot, spec),
    NUMBER(copy_snapshot, created_ms),
    ID(copy_snapshot, memory),
    WORD(copy_snapshot, memory_state, copy_memory_states),
    TEXT(copy_snapshot, memory_note, NOTES_MAX),
    LIST(copy_snapshot, disks, snapshot_disk_model, VM_DISKS_MAX),
};
MODEL(snapshot, copy_snapshot);

static const struct field vm_fields[] = {
    NUMBER(vm_copy, version),
    NUMBER(vm_copy, generation),
    ID_NEEDED(vm_copy, id),
    ANY(vm_copy, spec),
    NUMBER(vm_copy, revision),
    NUMBER(vm_copy, created_ms),
    NUMBER(vm_copy, updated_ms),
    ID(vm_copy, stands_on),
    ID(vm_copy, memory),
    TEXT(vm_copy, memory_leaves, JSON_MAX),
    TEXT(vm_copy, reason, NAME_MAX_BYTES),
    LIST(vm_copy, pools, pool_model, POOLS_MAX),
    LIST(vm_copy, disks, disk_model, VM_DISKS_MAX),
    LIST(vm_copy, files, file_model, FILES_MAX),
    LIST(vm_copy, memories, memory_model, FILES_MAX),
    LIST(vm_copy, snapshots, snapshot_model, TREE_MAX),
};
static const struct model vm_model_of_copy = {"VmCopy", sizeof(struct vm_copy), vm_fields,
                                              ARRAY_LEN(vm_fields)};

static const struct field template_fields[] = {
    ID_NEEDED(copy_template, id),         NAME(copy_template, name),
    ANY(copy_template, content),          NUMBER(copy_template, revision),
    NUMBER(copy_template, created_ms),    NUMBER(copy_template, updated_ms),
    TEXT(copy_template, created_by, 255),
};
MODEL(template, copy_template);

static const struct field host_fields[] = {
    NUMBER(host_copy, version),
    NUMBER(host_copy, generation),
    LIST(host_copy, pools, pool_model, POOLS_MAX),
    LIST(host_copy, templates, template_model, FILES_MAX),
};
MODEL(host, host_copy);

/* ---- text ---- */

/* Longer than a stranger's request may be, so not with its limits: jansson has one for the depth,
 * and the text's length bounds the rest. */
static json_t *parse(const char *text, size_t len, struct err *err)
{
    json_error_t why;
    json_t *json = len <= COPY_MAX ? json_loadb(text, len, JSON_REJECT_DUPLICATES, &why) : NULL;

    if (json)
        return json;
    if (len > COPY_MAX)
        err_set(err, ERR_INVALID, "it is too long to be a copy");
    else
        err_set(err, ERR_INVALID, "it is no JSON: line %d", why.line);
    return NULL;
}

static bool known_version(const json_t *json, struct err *err)
{
    uint64_t version = json_get_u64(json, "version", 0);

    if (version > COPY_VERSION)
        return err_set(err, ERR_UNSUPPORTED,
                       "a newer vmmd wrote it (version %llu, this one knows %u): install that one",
                       (unsigned long long)version, COPY_VERSION);
    return version == COPY_VERSION ||
           err_set(err, ERR_UNSUPPORTED,
                   "an older vmmd wrote it, which did not say in it what files there are");
}

static bool decode(const struct model *model, const char *text, size_t len, void *out,
                   struct err *err)
{
    CLEANUP(json_decrefp) json_t *json = parse(text, len, err);
    char where[sizeof err->field];

    if (!json || !known_version(json, err))
        return false;
    if (model_decode(model, json, MODEL_STORED, out, err))
        return true;
    str_copy(where, sizeof where, err->field);
    str_scrub(where);
    return err_prefix(err, "%s", where);
}

bool vm_copy_read(const char *text, size_t len, struct vm_copy *out, struct err *err)
{
    *out = (struct vm_copy){0};
    if (!decode(&vm_model_of_copy, text, len, out, err))
        return false;
    if (vm_copy_check(out, err))
        return true;
    vm_copy_clear(out);
    return false;
}

static bool host_copy_is_sound(const struct host_copy *copy, struct err *err)
{
    for (size_t i = 0; i < copy->n_pools; i++)
        if (uuid_is_zero(&copy->pools[i].id))
            return err_set(err, ERR_INVALID, "a pool has no id");
    for (size_t i = 0; i < copy->n_templates; i++)
        if (uuid_is_zero(&copy->templates[i].id))
            return err_set(err, ERR_INVALID, "a template has no id");
    return true;
}

bool host_copy_read(const char *text, size_t len, struct host_copy *out, struct err *err)
{
    *out = (struct host_copy){0};
    if (!decode(&host_model, text, len, out, err))
        return false;
    if (host_copy_is_sound(out, err))
        return true;
    host_copy_clear(out);
    return false;
}

json_t *vm_copy_json(const struct vm_copy *copy)
{
    return model_encode(&vm_model_of_copy, copy);
}

json_t *host_copy_json(const struct host_copy *copy)
{
    return model_encode(&host_model, copy);
}

void vm_copy_clear(struct vm_copy *copy)
{
    model_clear(&vm_model_of_copy, copy);
    *copy = (struct vm_copy){0};
}

void host_copy_clear(struct host_copy *copy)
{
    model_clear(&host_model, copy);
    *copy = (struct host_copy){0};
}

/* ---- looking things up ---- */

const struct copy_file *vm_copy_file(const struct vm_copy *copy, const struct uuid *id)
{
    for (size_t i = 0; i < copy->n_files; i++)
        if (uuid_eq(&copy->files[i].id, id))
            return &copy->files[i];
    return NULL;
}

const struct copy_memory *vm_copy_memory(const struct vm_copy *copy, const struct uuid *file)
{
    for (size_t i = 0; i < copy->n_memories; i++)
        if (uuid_eq(&copy->memories[i].file, file))
            return &copy->memories[i];
    return NULL;
}

struct vm_spec *vm_copy_spec(const struct vm_copy *copy)
{
    struct vm_spec *spec = mem_alloc(sizeof *spec);
    struct err err = {0};

    if (model_decode(&vm_model, copy->spec, MODEL_STORED, spec, &err))
        return spec;
    free(spec);
    return NULL;
}
