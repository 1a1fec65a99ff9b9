/* Asking the host whether a password is right: PAM, in a process of its own (vmmd/pam). What core
 * has of it is this one call, or NULL where the configuration does not turn it on. */
#pragma once
#include "core/base/err.h"

enum pam_answer {
    PAM_SAYS_WRONG,   /* the password, or there is no such user */
    PAM_SAYS_REFUSED, /* the password is right, but the account is locked, has expired or needs a
                       * new password first */
    PAM_SAYS_GOOD
};

/* 'address': where the question comes from as text, or "". UNAVAILABLE: nobody answers, or too many
 * ask at the moment. Blocks, 25 s at most; made with no lock held. */
typedef bool pam_ask(const char *user, const char *password, const char *address,
                     enum pam_answer *answer, struct err *err);
