/* The document of a bundle: see document.h. */
#include "core/bundle/document.h"

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/snap/snap.h"
#include "core/snap/tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_MAX   INT64_MAX
#define FILES_MAX    8192
#define DIGEST_CHARS 64
#define ENTRY_BYTES  256 /* of a file or an extra in the text, at most */

static const char *const extra_kinds[] = {"nvram", "nvram-secure-boot", "picture", NULL};

static bool check_digest(const char *text, const char **why)
{
    uint8_t bytes[DIGEST_CHARS / 2];

    *why = "must be a SHA-256 in lower-case hex";
    return strlen(text) == DIGEST_CHARS && str_unhex(text, bytes, sizeof bytes);
}

#define DIGEST(of)                                                                                 \
    {                                                                                              \
        .name = "digest", .type = FIELD_TEXT, .flags = FIELD_REQUIRED,                             \
        .offset = offsetof(struct of, digest), .min = DIGEST_CHARS, .max = DIGEST_CHARS,           \
        .check = check_digest                                                                      \
    }
#define NUMBER(of, member)                                                                         \
    {                                                                                              \
        .name = #member, .type = FIELD_U64, .flags = FIELD_REQUIRED,                               \
        .offset = offsetof(struct of, member), .max = NUMBER_MAX                                   \
    }
#define LIST(member, model)                                                                        \
    {                                                                                              \
        .name = #member, .type = FIELD_LIST, .offset = offsetof(struct bundle, member),            \
        .count_offset = offsetof(struct bundle, n_##member), .max = FILES_MAX, .of = &(model)      \
    }

static const struct field file_fields[] = {
    {.name = "file",
     .type = FIELD_UUID,
     .flags = FIELD_REQUIRED,
     .offset = offsetof(struct bundle_file, file)},
    NUMBER(bundle_file, bytes),
    DIGEST(bundle_file),
};
static const struct model file_model = {"BundleFile", sizeof(struct bundle_file), file_fields,
                                        ARRAY_LEN(file_fields)};

static const struct field extra_fields[] = {
    {.name = "kind",
     .type = FIELD_ENUM,
     .flags = FIELD_REQUIRED,
     .offset = offsetof(struct bundle_extra, kind),
     .names = extra_kinds},
    {.name = "snapshot", .type = FIELD_UUID, .offset = offsetof(struct bundle_extra, snapshot)},
    NUMBER(bundle_extra, bytes),
    DIGEST(bundle_extra),
};
static const struct model extra_model = {"BundleExtra", sizeof(struct bundle_extra), extra_fields,
                                         ARRAY_LEN(extra_fields)};

static const struct field bundle_fields[] = {
    NUMBER(bundle, bundle),
    NUMBER(bundle, made_ms),
    {.name = "operation", .type = FIELD_UUID, .offset = offsetof(struct bundle, operation)},
    {.name = "vm",
     .type = FIELD_JSON,
     .flags = FIELD_REQUIRED,
     .offset = offsetof(struct bundle, vm)},
    LIST(files, file_model),
    LIST(extras, extra_model),
};
static const struct model bundle_model = {"Bundle", sizeof(struct bundle), bundle_fields,
                                          ARRAY_LEN(bundle_fields)};

/* ---- names ---- */

void bundle_file_name(const struct copy_file *file, char out[BUNDLE_NAME_BYTES])
{
    snprintf(out, BUNDLE_NAME_BYTES, "%s.%s", UUID_STR(&file->id),
             file->role == COPY_MEMORY ? "mem" : disk_format_names[file->format]);
}

void bundle_extra_name(int kind, const struct uuid *snapshot, char out[BUNDLE_NAME_BYTES])
{
    static const char *const names[] = {"nvram.fd", "nvram-sb.fd", "screen.png"};

    if (uuid_is_zero(snapshot))
        snprintf(out, BUNDLE_NAME_BYTES, "%s", names[kind]);
    else
        snprintf(out, BUNDLE_NAME_BYTES, "snapshot-%s-%s", UUID_STR(snapshot), names[kind]);
}

/* ---- what is needed ---- */

static size_t place_of(const struct vm_copy *copy, const struct uuid *id)
{
    for (size_t i = 0; i < copy->n_files; i++)
        if (uuid_eq(&copy->files[i].id, id))
            return i;
    return copy->n_files;
}

/* The file and what it lies on, down to one that is marked already. */
static void mark(const struct vm_copy *copy, const struct uuid *id, bool *needed)
{
    size_t at = uuid_is_zero(id) ? copy->n_files : place_of(copy, id);

    while (at < copy->n_files && !needed[at]) {
        needed[at] = true;
        at = uuid_is_zero(&copy->files[at].parent) ? copy->n_files
                                                   : place_of(copy, &copy->files[at].parent);
    }
}

bool *vm_copy_needed(const struct vm_copy *copy)
{
    bool *needed = mem_array(copy->n_files + 1, sizeof *needed);

    for (size_t i = 0; i < copy->n_disks; i++)
        mark(copy, &copy->disks[i].leaf, needed);
    mark(copy, &copy->memory, needed);
    for (size_t i = 0; i < copy->n_snapshots; i++) {
        const struct copy_snapshot *s = &copy->snapshots[i];
        mark(copy, &s->memory, needed);
        for (size_t k = 0; k < s->n_disks; k++)
            mark(copy, &s->disks[k].file, needed);
    }
    return needed;
}

/* ---- whether it is sound ---- */

static bool files_are_sound(const struct bundle *b, struct err *err)
{
    CLEANUP(mem_freep) bool *needed = NULL;
    const struct vm_copy *copy = &b->copy;

    if (b->n_files != copy->n_files)
        return err_set(err, ERR_INVALID, "it has %zu files, and its VM needs %zu", b->n_files,
                       copy->n_files);
    needed = vm_copy_needed(copy);
    for (size_t i = 0; i < b->n_files; i++) {
        if (!uuid_eq(&b->files[i].file, &copy->files[i].id))
            return err_set(err, ERR_INVALID, "its list of files is in another order than its VM's");
        if (!needed[i])
            return err_set(err, ERR_INVALID, "nothing in it needs the file %s",
                           UUID_STR(&b->files[i].file));
        if (copy->files[i].role == COPY_MEMORY && !vm_copy_memory(copy, &copy->files[i].id))
            return err_set(err, ERR_INVALID, "nothing is said of the memory image %s",
                           UUID_STR(&b->files[i].file));
    }
    return copy->n_memories <= b->n_files ||
           err_set(err, ERR_INVALID, "it says more of memory images than it has");
}

static bool has_snapshot(const struct vm_copy *copy, const struct uuid *id)
{
    for (size_t i = 0; i < copy->n_snapshots; i++)
        if (uuid_eq(&copy->snapshots[i].id, id))
            return true;
    return false;
}

static bool extra_is_sound(const struct bundle *b, size_t i, struct err *err)
{
    const struct bundle_extra *e = &b->extras[i];

    if (e->bytes > BUNDLE_EXTRA_MAX)
        return err_set(err, ERR_INVALID, "the variables or a picture in it are too large");
    if (uuid_is_zero(&e->snapshot) ? e->kind == BUNDLE_PICTURE
                                   : !has_snapshot(&b->copy, &e->snapshot))
        return err_set(err, ERR_INVALID, "variables or a picture in it are of no snapshot");
    for (size_t k = 0; k < i; k++)
        if (b->extras[k].kind == e->kind && uuid_eq(&b->extras[k].snapshot, &e->snapshot))
            return err_set(err, ERR_INVALID, "variables or a picture are in it twice");
    return true;
}

/* A memory twice, or none of a file, is seen by counting: each that is there was found above. */
static bool memories_are_once(const struct vm_copy *copy, struct err *err)
{
    for (size_t i = 0; i < copy->n_memories; i++)
        if (vm_copy_memory(copy, &copy->memories[i].file) != &copy->memories[i])
            return err_set(err, ERR_INVALID, "a memory image is in it twice");
    return true;
}

static bool chains_are_short(const struct vm_copy *copy, struct err *err)
{
    size_t files = 0;

    for (size_t i = 0; i < copy->n_disks; i++)
        for (const struct copy_file *f = vm_copy_file(copy, &copy->disks[i].leaf); f;
             f = uuid_is_zero(&f->parent) ? NULL : vm_copy_file(copy, &f->parent))
            files++;
    return files <= FILES_OF_A_VM_MAX ||
           err_set(err, ERR_INVALID, "its disks lie on %zu files, more than QEMU can open", files);
}

static bool is_sound(const struct bundle *b, struct err *err)
{
    const struct vm_copy *copy = &b->copy;

    if (copy->n_snapshots > SNAPSHOTS_MAX)
        return err_set(err, ERR_INVALID, "it has %zu snapshots, and a VM has at most %d",
                       copy->n_snapshots, SNAPSHOTS_MAX);
    if (b->n_extras > BUNDLE_EXTRA_KINDS * (copy->n_snapshots + 1))
        return err_set(err, ERR_INVALID, "it has more variables and pictures than snapshots");
    for (size_t i = 0; i < b->n_extras; i++)
        if (!extra_is_sound(b, i, err))
            return false;
    return files_are_sound(b, err) && memories_are_once(copy, err) && chains_are_short(copy, err);
}

/* ---- text ---- */

static json_t *parse(const char *text, size_t len, struct err *err)
{
    json_error_t why;
    json_t *json = len <= BUNDLE_MAX ? json_loadb(text, len, JSON_REJECT_DUPLICATES, &why) : NULL;

    if (json)
        return json;
    if (len > BUNDLE_MAX)
        err_set(err, ERR_INVALID, "it is too long to be a bundle's");
    else
        err_set(err, ERR_INVALID, "it is no JSON: line %d", why.line);
    return NULL;
}

static bool read_vm(struct bundle *b, struct err *err)
{
    CLEANUP(mem_freep) char *text = json_write(b->vm);

    return vm_copy_read(text, strlen(text), &b->copy, err) && is_sound(b, err);
}

static bool decode(const json_t *json, struct bundle *out, struct err *err)
{
    char where[sizeof err->field];

    if (model_decode(&bundle_model, json, MODEL_STORED, out, err))
        return true;
    str_copy(where, sizeof where, err->field);
    str_scrub(where);
    return err_prefix(err, "%s", where);
}

bool bundle_read(const char *text, size_t len, struct bundle *out, struct err *err)
{
    CLEANUP(json_decrefp) json_t *json = parse(text, len, err);

    *out = (struct bundle){0};
    if (!json)
        return false;
    if (json_get_u64(json, "bundle", 0) > BUNDLE_VERSION)
        return err_set(err, ERR_UNSUPPORTED,
                       "a newer vmmd wrote it (version %llu, this one knows %d): install that one",
                       (unsigned long long)json_get_u64(json, "bundle", 0), BUNDLE_VERSION);
    if (json_get_u64(json, "bundle", 0) != BUNDLE_VERSION)
        return err_set(err, ERR_INVALID, "it is no bundle's");
    if (!decode(json, out, err))
        return false;
    if (read_vm(out, err))
        return true;
    bundle_clear(out);
    return false;
}

/* As pack.c writes it, with what is not known yet at its longest. */
bool bundle_fits(const struct bundle *b, struct err *err)
{
    const size_t entries = b->copy.n_files + BUNDLE_EXTRA_KINDS * (b->copy.n_snapshots + 1);
    CLEANUP(json_decrefp) json_t *json = json_object();
    CLEANUP(mem_freep) char *text = NULL;

    json_object_set(json, "vm", b->vm);
    text = json_dumps(json, JSON_INDENT(1));
    return strlen(text) + (entries + 1) * ENTRY_BYTES <= BUNDLE_MAX ||
           err_set(
               err, ERR_UNSUPPORTED,
               "what is to be said of it is longer than %u MiB: export it without snapshots, or "
               "delete some",
               BUNDLE_MAX >> 20);
}

json_t *bundle_json(const struct bundle *bundle)
{
    return model_encode(&bundle_model, bundle);
}

void bundle_clear(struct bundle *bundle)
{
    vm_copy_clear(&bundle->copy);
    model_clear(&bundle_model, bundle);
    *bundle = (struct bundle){0};
}
