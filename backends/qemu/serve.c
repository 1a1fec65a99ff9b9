/* A machine's disk as an NBD server, for reading. Called by core through backend_qemu, for machines
 * that run no guest.
 *
 * QEMU takes one connection of the listening socket that it is handed, and no other; who connected
 * to it talks to QEMU alone. */
#include "backends/qemu/layers.h"

#include "backends/qemu/machine.h"
#include "core/base/failpoint.h"
#include "core/base/fs.h"

#define SOCKET_NAME "nbd"

bool machine_serve(struct machine *m, unsigned disk, int listener, struct err *err)
{
    CLEANUP(closep) int fd = listener;
    struct top top;

    return layers_top(m, disk, &top, err) && FAILPOINT("qemu.serve", err) &&
           link_qmp(m->link, "getfd", json_pack("{s:s}", "fdname", SOCKET_NAME), &fd, 1, QMP_MS,
                    NULL, err) &&
           layers_qmp(m, "nbd-server-start",
                      json_pack("{s:{s:s,s:{s:s}},s:i}", "addr", "type", "fd", "data", "str",
                                SOCKET_NAME, "max-connections", 1),
                      err) &&
           layers_qmp(m, "block-export-add",
                      json_pack("{s:s,s:s,s:s,s:s,s:b,s:b}", "type", "nbd", "id", SOCKET_NAME,
                                "node-name", top.node, "name", "", "writable", 0,
                                "allocation-depth", 1),
                      err);
}
