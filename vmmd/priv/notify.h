/* sd_notify(3) in a few lines: tells systemd, if it asked to be told. */
#pragma once

/* Remembers and clears $NOTIFY_SOCKET and the variables of the watchdog. */
void notify_init(void);
/* One datagram of lines "NAME=VALUE"; a failure is of no interest. */
void notify_systemd(const char *message);
/* Tells systemd's watchdog that this process lives, when that is due. Says in how many milliseconds
 * it is due again; -1: nobody wants to know. */
int notify_alive(void);
