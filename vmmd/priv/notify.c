/* sd_notify(3) by hand: see notify.h. The protocol is stable and documented there. */
#include "vmmd/priv/notify.h"

#include "core/base/fs.h"
#include "core/base/str.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

static struct sockaddr_un address;
static socklen_t address_len;

void notify_init(void)
{
    const char *path = getenv("NOTIFY_SOCKET");
    size_t len = path ? strlen(path) : 0;

    if (len < 2 || len >= sizeof address.sun_path || (path[0] != '/' && path[0] != '@'))
        return;
    address.sun_family = AF_UNIX;
    memcpy(address.sun_path, path, len);
    if (path[0] == '@')
        address.sun_path[0] = 0; /* abstract */
    address_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    unsetenv("NOTIFY_SOCKET");
}

void notify_systemd(const char *message)
{
    CLEANUP(closep) int sock = -1;

    if (!address_len)
        return;
    sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (sock >= 0)
        (void)!sendto(sock, message, strlen(message), MSG_NOSIGNAL,
                      (const struct sockaddr *)&address, address_len);
}
