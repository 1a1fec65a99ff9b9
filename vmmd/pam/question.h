/* One question to libpam, in a process of its own. */
#pragma once
#include "vmmd/pam/proto.h"

/* INVALID for a message that vmmd-main does not send. */
bool question_check(const struct pam_question *q, size_t len, struct err *err) MUST_USE;
/* Asks by /etc/pam.d/<service>. UNAVAILABLE when the modules cannot say. Blocks for as long as they
 * like, and they may end the process. */
bool question_ask(const struct pam_question *q, const char *service, enum pam_answer *answer,
                  struct err *err) MUST_USE;
