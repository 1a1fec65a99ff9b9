/* sd_notify(3) in twenty lines: tells systemd, if it asked to be told. */
#pragma once

/* Remembers and clears $NOTIFY_SOCKET. */
void notify_init(void);
/* One datagram; a failure is of no interest. */
void notify_systemd(const char *message);
