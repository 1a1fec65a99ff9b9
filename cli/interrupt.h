/* Ctrl-C and other polite ends (SIGINT, SIGTERM, SIGHUP) as a descriptor, so that whoever waits can
 * wait for them too and gets to clean up. SIGPIPE is ignored: writes fail instead. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

void interrupt_init(void);
/* Becomes readable when a signal came; stays so until interrupt_clear(). */
int interrupt_fd(void);
int interrupt_signal(void); /* the last signal, 0 when none came */
void interrupt_clear(void);
/* Waits until 'input' can be read (or has ended); false when a signal came instead. */
bool interrupt_or_input(int input);
/* Waits up to 'ms'; true when a signal came (or is there already). */
bool interrupt_wait(int64_t ms);
