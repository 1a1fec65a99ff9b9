/* The calls that vmmd-net lives by: see room.h. */
#include "vmmd/net/room.h"

#include "core/base/room.h"
#include "vmmd/net/proto.h"

#include <sys/syscall.h>

static const struct room_call calls[] = {
    {SYS_ppoll, ROOM_ANY_FD},
    {SYS_wait4, ROOM_ANY_FD},
    {SYS_write, NET_FD_WORKER},
    {SYS_exit_group, ROOM_ANY_FD},
};

bool net_lock(struct err *err)
{
    return room_lock(calls, ARRAY_LEN(calls), NET_FD_PASST, err);
}
