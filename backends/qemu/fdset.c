/* Lending descriptors to a running QEMU: machine.h. "/dev/fdset/n" stands for the descriptor there,
 * and is found only when it is opened with exactly the access mode the descriptor has. */
#include "backends/qemu/machine.h"

#include "core/base/fs.h"
#include "core/base/str.h"

bool fdset_lend(struct machine *m, int fd, const char *owner, unsigned *set, struct err *err)
{
    return fdset_lend_within(m, QMP_MS, fd, owner, set, err);
}

bool fdset_lend_within(struct machine *m, int64_t wait_ms, int fd, const char *owner, unsigned *set,
                       struct err *err)
{
    CLEANUP(json_decrefp) json_t *reply = NULL;
    uint64_t number;

    if (!link_qmp(m->link, "add-fd", json_pack("{s:s}", "opaque", owner), &fd, 1, wait_ms, &reply,
                  err))
        return false;
    number = json_get_u64(reply, "fdset-id", UINT32_MAX);
    *set = (unsigned)number;
    return number < UINT32_MAX ||
           err_set(err, ERR_HYPERVISOR, "QEMU took a descriptor and did not say where");
}

bool machine_may_write(const struct machine *m, int fd, struct err *err)
{
    return !m->memory_limited || !fs_is_in_memory(fd) ||
           err_set(err, ERR_UNSUPPORTED,
                   "the pool lies in memory (tmpfs), and what a running VM writes there counts as "
                   "its own memory, which is limited: stop the VM first");
}

void fdset_take_back(struct machine *m, unsigned set)
{
    fdset_take_back_within(m, QMP_MS, set);
}

void fdset_take_back_within(struct machine *m, int64_t wait_ms, unsigned set)
{
    struct err err = {0};
    bool ok = link_qmp(m->link, "remove-fd", json_pack("{s:I}", "fdset-id", (json_int_t)set), NULL,
                       0, wait_ms, NULL, &err);

    err_ignore(ok, &err);
}

void fdset_take_back_all(struct machine *m, const char *owner)
{
    CLEANUP(json_decrefp) json_t *all = NULL;
    struct err ignored = {0};
    const json_t *set;
    unsigned n = 0;
    size_t i;

    if (!link_qmp(m->link, "query-fdsets", NULL, NULL, 0, QMP_MS, &all, &ignored))
        return;
    json_array_foreach (all, i, set) {
        uint64_t number = json_get_u64(set, "fdset-id", UINT32_MAX);
        const json_t *first = json_array_get(json_object_get(set, "fds"), 0);
        if (number < UINT32_MAX && str_eq(json_get_text(first, "opaque"), owner) && n++ < TIDY_MAX)
            fdset_take_back(m, (unsigned)number);
    }
}
