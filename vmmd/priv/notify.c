/* sd_notify(3) by hand: see notify.h. The protocol is stable and documented there. */
#include "vmmd/priv/notify.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/str.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct sockaddr_un address;
static socklen_t address_len;
static int64_t alive_every_ms; /* 0: there is no watchdog */
static int64_t alive_due_ms;   /* monotonic */

/* Three times in the watchdog's time: see sd_watchdog_enabled(3) for the variables. */
static void read_watchdog(void)
{
    const char *usec = getenv("WATCHDOG_USEC");
    const char *pid = getenv("WATCHDOG_PID");
    uint64_t us, whom;

    if (usec && str_to_u64(usec, &us) && us / 1000 < INT32_MAX &&
        (!pid || (str_to_u64(pid, &whom) && whom == (uint64_t)getpid())))
        alive_every_ms = (int64_t)(us / 3000);
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
}

void notify_init(void)
{
    const char *path = getenv("NOTIFY_SOCKET");
    size_t len = path ? strlen(path) : 0;

    read_watchdog();
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

int notify_alive(void)
{
    int64_t now = clock_mono_ms();

    if (!address_len || !alive_every_ms)
        return -1;
    if (now >= alive_due_ms) {
        notify_systemd("WATCHDOG=1");
        alive_due_ms = now + alive_every_ms;
    }
    return (int)(alive_due_ms - now);
}
