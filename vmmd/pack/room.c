/* The calls that vmmd-pack lives by: see room.h. */
#include "vmmd/pack/room.h"

#include "backends/qemu/pack_wire.h"
#include "core/base/room.h"

#include <sys/syscall.h>

static const struct room_call calls[] = {
    {SYS_pread64, PACK_FD_FROM}, {SYS_lseek, PACK_FD_FROM},   {SYS_pread64, PACK_FD_TO},
    {SYS_pwrite64, PACK_FD_TO},  {SYS_ftruncate, PACK_FD_TO}, {SYS_fadvise64, PACK_FD_TO},
    {SYS_fsync, PACK_FD_TO},     {SYS_write, PACK_FD_REPORT}, {SYS_exit_group, ROOM_ANY_FD},
};

bool pack_lock(struct err *err)
{
    return room_lock(calls, ARRAY_LEN(calls), PACK_FD_REPORT, err);
}
