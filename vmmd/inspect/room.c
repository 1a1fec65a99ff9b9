/* The calls that vmmd-inspect lives by: see room.h. */
#include "vmmd/inspect/room.h"

#include "backends/qemu/inspect_wire.h"
#include "core/base/room.h"

#include <sys/syscall.h>

static const struct room_call calls[] = {
    {SYS_pread64, INSPECT_FD_IMAGE},
    {SYS_write, INSPECT_FD_REPORT},
    {SYS_exit_group, ROOM_ANY_FD},
};

bool inspect_lock(struct err *err)
{
    return room_lock(calls, ARRAY_LEN(calls), INSPECT_FD_REPORT, err);
}
