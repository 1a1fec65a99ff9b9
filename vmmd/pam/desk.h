/* The questions that are being asked, each by a process of its own. */
#pragma once
#include "vmmd/pam/question.h"

#include <sys/types.h>

struct desk {
    const char *service;
    int64_t answer_ms; /* how long one may take */
    struct {
        pid_t pid; /* 0: free */
        int64_t until_ms;
    } asked[PAM_AT_ONCE];
};

/* Has 'q' asked; the answer goes to 'reply', which stays the caller's to close. When all places are
 * taken, or no process can be made, nobody answers. */
void desk_ask(struct desk *desk, const struct pam_question *q, int reply);
void desk_reap(struct desk *desk);         /* those that ended */
void desk_kill_late(struct desk *desk);    /* those that take too long */
int desk_left_ms(const struct desk *desk); /* until one does, -1: none is asked */
