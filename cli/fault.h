/* What ended a command: the exit code and what is printed about it. Every fallible function of this
 * room takes 'struct fault *fault' last and fills it once, exactly as the other rooms do with
 * 'struct err'; it adds what a client knows besides the error: exit code, request id, next step. */
#pragma once
#include "cli/exit.h"
#include "core/base/err.h"

#include <stddef.h>
#include <stdio.h>

#define FAULT_OTHERS_MAX 8

struct fault {
    enum cli_exit exit;
    char detail[600];    /* the sentence; "" when everything is on the screen already */
    char code[40];       /* the problem's "code", "" when the fault is not the service's */
    char where[256];     /* JSON pointers of the members at fault, "" when none */
    char request_id[64]; /* finds the request in the service's log */
    char hint[320];      /* what to do next, "" when the detail says it */
    struct {
        char detail[400], code[40];
    } others[FAULT_OTHERS_MAX]; /* what stands in the way besides that */
    unsigned n_others;
};

/* All return false, so that "return fault_set(...)" is the whole error path. */
bool fault_set(struct fault *fault, enum cli_exit exit, const char *fmt, ...) PRINTF(3, 4);
bool fault_hint(struct fault *fault, const char *fmt, ...) PRINTF(2, 3);
bool fault_err(struct fault *fault, enum cli_exit exit, const struct err *err);
/* From a reply with status >= 400. A body that is no problem document is quoted, cut short. */
bool fault_problem(struct fault *fault, int status, const char *body, size_t len,
                   const char *request_id);
/* "error: …" with the hint; hostile text is escaped. Prints nothing when the detail is empty. */
void fault_print(const struct fault *fault, FILE *to, bool colour);
