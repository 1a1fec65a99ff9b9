/* VMs in the database: see core/port/store.h. */
#include "store/db.h"

#define NO_SLOT UINT32_MAX

static void bind_slot(struct stmt *s, uint32_t slot)
{
    if (slot == NO_SLOT)
        stmt_bind_text(s, NULL);
    else
        stmt_bind_int(s, slot);
}

bool store_vm_put(struct store_txn *txn, const struct vm_record *vm, struct err *err)
{
    static const char sql[] =
        "INSERT INTO vm (id, name, spec, active, phase, run, reason, desired, detail, slot,"
        " revision, state_revision, created_ms, updated_ms, state_since_ms, restarts,"
        " stands_on, memory, memory_leaves)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET name = excluded.name, spec = excluded.spec,"
        " active = excluded.active, phase = excluded.phase, run = excluded.run,"
        " reason = excluded.reason, desired = excluded.desired, detail = excluded.detail,"
        " slot = excluded.slot, revision = excluded.revision,"
        " state_revision = excluded.state_revision, created_ms = excluded.created_ms,"
        " updated_ms = excluded.updated_ms, state_since_ms = excluded.state_since_ms,"
        " restarts = excluded.restarts, stands_on = excluded.stands_on,"
        " memory = excluded.memory, memory_leaves = excluded.memory_leaves";
    CLEANUP(stmt_end) struct stmt s = {0};

    if (!stmt_begin(&s, txn->conn, sql, err))
        return false;
    stmt_bind_uuid(&s, &vm->id);
    stmt_bind_text(&s, vm->name);
    stmt_bind_text(&s, vm->spec);
    stmt_bind_text(&s, vm->active);
    stmt_bind_text(&s, vm->phase);
    stmt_bind_text(&s, vm->run);
    stmt_bind_text(&s, vm->reason);
    stmt_bind_text(&s, vm->desired);
    stmt_bind_text(&s, vm->detail);
    bind_slot(&s, vm->slot);
    stmt_bind_int(&s, (int64_t)vm->revision);
    stmt_bind_int(&s, (int64_t)vm->state_revision);
    stmt_bind_int(&s, vm->created_ms);
    stmt_bind_int(&s, vm->updated_ms);
    stmt_bind_int(&s, vm->state_since_ms);
    stmt_bind_text(&s, vm->restarts);
    stmt_bind_uuid_or_null(&s, &vm->stands_on);
    stmt_bind_uuid_or_null(&s, &vm->memory);
    stmt_bind_text(&s, vm->memory_leaves);
    return stmt_put(&s, "VM", vm->name, err);
}

bool store_vm_put_state(struct store_txn *txn, const struct vm_record *vm, struct err *err)
{
    static const char sql[] =
        "UPDATE vm SET active = ?, run = ?, reason = ?, desired = ?, detail = ?, slot = ?,"
        " state_revision = ?, state_since_ms = ?, restarts = ?, memory = ?, memory_leaves = ?"
        " WHERE id = ?";
    CLEANUP(stmt_end) struct stmt s = {0};

    if (!stmt_begin(&s, txn->conn, sql, err))
        return false;
    stmt_bind_text(&s, vm->active);
    stmt_bind_text(&s, vm->run);
    stmt_bind_text(&s, vm->reason);
    stmt_bind_text(&s, vm->desired);
    stmt_bind_text(&s, vm->detail);
    bind_slot(&s, vm->slot);
    stmt_bind_int(&s, (int64_t)vm->state_revision);
    stmt_bind_int(&s, vm->state_since_ms);
    stmt_bind_text(&s, vm->restarts);
    stmt_bind_uuid_or_null(&s, &vm->memory);
    stmt_bind_text(&s, vm->memory_leaves);
    stmt_bind_uuid(&s, &vm->id);
    if (!stmt_put(&s, "VM", NULL, err))
        return false;
    return stmt_changes(&s) == 1 || err_set(err, ERR_NOT_FOUND, "there is no such VM");
}

bool store_vm_remove(struct store_txn *txn, const struct uuid *id, struct err *err)
{
    CLEANUP(stmt_end) struct stmt s = {0};

    if (!stmt_begin(&s, txn->conn, "DELETE FROM vm WHERE id = ?", err))
        return false;
    stmt_bind_uuid(&s, id);
    return stmt_remove(&s, "VM", err);
}

static struct vm_record row(struct stmt *s)
{
    return (struct vm_record){
        .id = stmt_uuid(s, 0),
        .name = stmt_text(s, 1),
        .spec = stmt_text(s, 2),
        .active = stmt_text(s, 3),
        .phase = stmt_text(s, 4),
        .run = stmt_text(s, 5),
        .reason = stmt_text(s, 6),
        .desired = stmt_text(s, 7),
        .detail = stmt_text(s, 8),
        .slot = stmt_is_null(s, 9) ? NO_SLOT : (uint32_t)stmt_int(s, 9),
        .revision = (uint64_t)stmt_int(s, 10),
        .state_revision = (uint64_t)stmt_int(s, 11),
        .created_ms = stmt_int(s, 12),
        .updated_ms = stmt_int(s, 13),
        .state_since_ms = stmt_int(s, 14),
        .restarts = stmt_text(s, 15),
        .stands_on = stmt_uuid(s, 16),
        .memory = stmt_uuid(s, 17),
        .memory_leaves = stmt_text(s, 18),
    };
}

bool store_vm_each(struct store *store, bool (*each)(void *ctx, const struct vm_record *),
                   void *ctx, struct err *err)
{
    static const char sql[] =
        "SELECT id, name, spec, active, phase, run, reason, desired, detail, slot, revision,"
        " state_revision, created_ms, updated_ms, state_since_ms, restarts, stands_on, memory,"
        " memory_leaves FROM vm ORDER BY name, id";
    CLEANUP(read_end) struct read r = {0};
    int n;

    if (!read_begin(&r, store, sql, err))
        return false;
    while ((n = stmt_step(&r.stmt, err)) > 0) {
        const struct vm_record vm = row(&r.stmt);
        if (!each(ctx, &vm))
            break;
    }
    return n >= 0;
}
