/* What vmmd-main asks vmmd-pam: a question is one message over the link between them, with a socket
 * of its own as its one descriptor, on which the answer comes. So answers cannot be mixed up, and
 * whoever asks sees the end of whoever answers: a socket that ends without an answer means that
 * there is none. docs/processes.md, "PAM". */
#pragma once
#include "core/base/err.h"
#include "core/port/pam.h"

#include <stdint.h>

#define PAM_WIRE_VERSION 1
#define PAM_AT_ONCE      8     /* questions, each with a process; main asks no more */
#define PAM_ANSWER_MS    20000 /* then that process is killed */
#define PAM_WAIT_MS      25000 /* the longest that main waits, vmmd-pam's next start included */

/* Descriptors that vmmd-pam finds open. */
enum pam_fd { PAM_FD_PARENT = 3, PAM_FD_MAIN };

/* Texts end with a zero, and zeroes follow; all of them are printable enough to stand in a log, but
 * for the password. */
struct pam_question {
    uint32_t version;
    char user[64];
    char address[46]; /* IPv4 or IPv6, or "" */
    char password[1026];
};
_Static_assert(sizeof(struct pam_question) == 1140, "no padding");

struct pam_reply {
    uint32_t version;
    uint32_t answer; /* enum pam_answer */
};
