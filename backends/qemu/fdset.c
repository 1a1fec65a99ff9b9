/* Lending descriptors to a running QEMU: machine.h. "/dev/fdset/n" stands for the descriptor there,
 * and is found only when it is opened with exactly the access mode the descriptor has. */
#include "backends/qemu/machine.h"

bool fdset_lend(struct machine *m, int fd, unsigned *set, struct err *err)
{
    CLEANUP(json_decrefp) json_t *reply = NULL;
    uint64_t number;

    if (!link_qmp(m->link, "add-fd", NULL, &fd, 1, QMP_MS, &reply, err))
        return false;
    number = json_get_u64(reply, "fdset-id", UINT32_MAX);
    *set = (unsigned)number;
    return number < UINT32_MAX ||
           err_set(err, ERR_HYPERVISOR, "QEMU took a descriptor and did not say where");
}

void fdset_take_back(struct machine *m, unsigned set)
{
    struct err err = {0};
    bool ok = link_qmp(m->link, "remove-fd", json_pack("{s:I}", "fdset-id", (json_int_t)set), NULL,
                       0, QMP_MS, NULL, &err);

    err_ignore(ok, &err);
}
