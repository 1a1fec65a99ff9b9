/* The calls that vmmd-split lives by: see room.h. */
#include "vmmd/split/room.h"

#include "core/base/room.h"
#include "vmmd/split/proto.h"

#include <sys/syscall.h>

static const struct room_call calls[] = {
    {SYS_read, SPLIT_FD_STREAM}, {SYS_pwritev, SPLIT_FD_IMAGE}, {SYS_pwrite64, SPLIT_FD_IMAGE},
    {SYS_fsync, SPLIT_FD_IMAGE}, {SYS_write, SPLIT_FD_REPORT},  {SYS_exit_group, ROOM_ANY_FD},
};

bool split_lock(struct err *err)
{
    return room_lock(calls, ARRAY_LEN(calls), SPLIT_FD_REPORT, err);
}
