/* Snapshots, as far as the api's tests go. See fakes.h. */
#include "core/snap/clone.h"
#include "core/snap/export.h"
#include "core/snap/serve.h"
#include "core/snap/snap.h"

bool snapshot_vm(struct core *c, const char *ref, char vm[UUID_TEXT], struct err *err)
{
    str_copy(vm, UUID_TEXT, ref);
    return true;
}

const char *const consistency_names[] = {"disk", "auto", "running", NULL};

bool snapshot_take(struct core *c, const char *ref, const struct snapshot_ask *ask,
                   const struct origin *origin, struct uuid *op, struct err *err)
{
    remember(c, origin, "snapshot");
    return uuid_parse(POOL_ID, op);
}

json_t *snapshot_show(struct core *c, const char *ref, const char *snapshot, struct err *err)
{
    return named(POOL_ID);
}

bool snapshot_list(struct core *c, const char *ref, const struct query *query, struct strbuf *out,
                   struct err *err)
{
    strbuf_adds(out, "{\"items\":[]}");
    return true;
}

json_t *snapshot_edit(struct core *c, const char *ref, const char *snapshot, const char *name,
                      const char *notes, const struct origin *origin, struct err *err)
{
    return named(POOL_ID);
}

bool snapshot_revert_to(struct core *c, const char *ref, const char *snapshot, bool start,
                        const struct origin *origin, struct uuid *op, struct err *err)
{
    return uuid_parse(POOL_ID, op);
}

bool snapshot_delete(struct core *c, const char *ref, const char *snapshot,
                     const uint64_t *bytes_per_s, const struct origin *origin, struct uuid *op,
                     struct err *err)
{
    return uuid_parse(POOL_ID, op);
}

bool snapshot_archive(struct core *c, const char *ref, const char *snapshot, bool pack,
                      const struct origin *origin, struct uuid *op, struct err *err)
{
    return uuid_parse(POOL_ID, op);
}

bool snapshot_picture(struct core *c, const char *ref, const char *snapshot, char **png,
                      size_t *len, struct err *err)
{
    *png = str_dup("PNG");
    *len = 3;
    return true;
}

bool snapshot_serve(struct core *c, const char *ref, const char *snapshot, unsigned disk,
                    const struct origin *origin, struct serve **out, int *fd, struct err *err)
{
    *out = NULL;
    *fd = -1;
    return err_set(err, ERR_NOT_FOUND, "no such snapshot");
}

void serve_end(struct serve *serve)
{
}

json_t *snapshot_diff(struct core *c, const char *ref, const char *from, const char *to, bool exact,
                      struct err *err)
{
    return named(POOL_ID);
}

bool vm_clone(struct core *c, const char *ref, const struct clone_ask *ask,
              const struct origin *origin, struct uuid *op, struct uuid *vm, struct err *err)
{
    remember(c, origin, "clone");
    return uuid_parse(POOL_ID, op);
}

json_t *vm_clone_plan(struct core *c, const char *ref, const struct clone_ask *ask, struct err *err)
{
    return json_object();
}

json_t *snapshot_plan(struct core *c, const char *ref, const struct snapshot_act *act,
                      struct err *err)
{
    return json_object();
}

bool snapshot_export(struct core *c, const char *vm, const char *snapshot,
                     const struct export_ask *ask, const struct origin *origin, struct uuid *op,
                     struct err *err)
{
    return uuid_parse(POOL_ID, op);
}

void export_list(struct core *c, const struct query *query, struct strbuf *out)
{
    strbuf_adds(out, "{\"items\":[]}");
}

int export_open(struct core *c, const char *name, uint64_t *size, struct err *err)
{
    err_set(err, ERR_NOT_FOUND, "there is none");
    return -1;
}

bool export_remove(struct core *c, const char *name, const struct origin *origin, struct err *err)
{
    return true;
}
