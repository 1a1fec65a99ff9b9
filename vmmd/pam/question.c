/* A question to libpam: see question.h.
 *
 * The modules may ask for one thing, the password, and once: a second prompt (for a code, or for a
 * new password) ends the conversation, and so the answer is no. What they want to say to people is
 * not passed on. Their delays after a wrong password are not waited for: main has its own, for
 * names and addresses (docs/accounts.md), and a delay would tell who exists. */
#include "vmmd/pam/question.h"

#include "core/base/log.h"
#include "core/base/str.h"

#include <arpa/inet.h>
#include <security/pam_appl.h>
#include <stdlib.h>
#include <string.h>

struct talk {
    const char *password;
    bool told;
};

/* A text of 'cap' bytes: ended, and nothing behind its end. */
static bool is_text(const char *text, size_t cap)
{
    size_t len = strnlen(text, cap);

    if (len == cap)
        return false;
    for (size_t i = len; i < cap; i++)
        if (text[i])
            return false;
    return true;
}

static bool is_name(const char *text)
{
    for (const char *p = text; *p; p++)
        if ((unsigned char)*p <= ' ' || (unsigned char)*p >= 0x7f || *p == '/')
            return false;
    return *text && *text != '-';
}

static bool is_address(const char *text)
{
    unsigned char ignored[16];

    return !*text || inet_pton(AF_INET, text, ignored) == 1 ||
           inet_pton(AF_INET6, text, ignored) == 1;
}

bool question_check(const struct pam_question *q, size_t len, struct err *err)
{
    if (len == sizeof *q && q->version == PAM_WIRE_VERSION && is_text(q->user, sizeof q->user) &&
        is_text(q->address, sizeof q->address) && is_text(q->password, sizeof q->password) &&
        is_name(q->user) && is_address(q->address))
        return true;
    return err_set(err, ERR_INVALID, "vmmd-main sent a malformed question");
}

static void forget(struct pam_response *replies, int n)
{
    for (int i = 0; i < n; i++)
        if (replies[i].resp) {
            explicit_bzero(replies[i].resp, strlen(replies[i].resp));
            free(replies[i].resp);
        }
    free(replies);
}

static bool reply_to(struct talk *talk, int style, struct pam_response *reply)
{
    switch (style) {
    case PAM_PROMPT_ECHO_OFF:
        if (talk->told)
            return false;
        talk->told = true;
        reply->resp = strdup(talk->password);
        return reply->resp != NULL;
    case PAM_TEXT_INFO:
    case PAM_ERROR_MSG:
        return true;
    default:
        return false;
    }
}

/* libpam frees the replies. */
static int converse(int n, const struct pam_message **messages, struct pam_response **out,
                    void *ctx)
{
    struct pam_response *replies;

    if (n < 1 || n > PAM_MAX_NUM_MSG)
        return PAM_CONV_ERR;
    replies = calloc((size_t)n, sizeof *replies);
    if (!replies)
        return PAM_BUF_ERR;
    for (int i = 0; i < n; i++)
        if (!reply_to(ctx, messages[i]->msg_style, &replies[i])) {
            forget(replies, n);
            return PAM_CONV_ERR;
        }
    *out = replies;
    return PAM_SUCCESS;
}

static void no_delay(int status, unsigned delay_us, void *ctx)
{
}

/* A module, or what it asks, is not in order: that says nothing about the password. */
static bool is_failure(int status)
{
    static const int failures[] = {PAM_OPEN_ERR,         PAM_SYMBOL_ERR,     PAM_SERVICE_ERR,
                                   PAM_SYSTEM_ERR,       PAM_BUF_ERR,        PAM_ABORT,
                                   PAM_AUTHINFO_UNAVAIL, PAM_MODULE_UNKNOWN, PAM_BAD_ITEM};

    for (unsigned i = 0; i < ARRAY_LEN(failures); i++)
        if (status == failures[i])
            return true;
    return false;
}

static bool failed(pam_handle_t *pam, int status, struct err *err)
{
    return err_set(err, ERR_UNAVAILABLE, "PAM does not answer: %s", pam_strerror(pam, status));
}

static bool judge(pam_handle_t *pam, const char *user, enum pam_answer *answer, struct err *err)
{
    int status = pam_authenticate(pam, PAM_DISALLOW_NULL_AUTHTOK);

    *answer = PAM_SAYS_WRONG;
    if (is_failure(status))
        return failed(pam, status, err);
    if (status != PAM_SUCCESS)
        return true;
    status = pam_acct_mgmt(pam, PAM_DISALLOW_NULL_AUTHTOK);
    if (is_failure(status))
        return failed(pam, status, err);
    *answer = status == PAM_SUCCESS ? PAM_SAYS_GOOD : PAM_SAYS_REFUSED;
    if (status != PAM_SUCCESS)
        log_warn("the host refuses the account %s: %s", user, pam_strerror(pam, status));
    return true;
}

/* A module may have put another name in the place of the one that was asked about. */
static bool is_same_user(pam_handle_t *pam, const char *user)
{
    const void *name = NULL;

    return pam_get_item(pam, PAM_USER, &name) == PAM_SUCCESS && name && strcmp(name, user) == 0;
}

/* Tests have a directory of their own in the place of /etc/pam.d. */
static int begin(const struct pam_question *q, const char *service, const struct pam_conv *conv,
                 pam_handle_t **pam)
{
#ifdef VMMD_FAILPOINTS
    const char *dir = getenv("VMMD_PAM_CONFDIR");

    if (dir)
        return pam_start_confdir(service, q->user, conv, dir, pam);
#endif
    return pam_start(service, q->user, conv, pam);
}

bool question_ask(const struct pam_question *q, const char *service, enum pam_answer *answer,
                  struct err *err)
{
    struct talk talk = {.password = q->password};
    const struct pam_conv conv = {converse, &talk};
    pam_handle_t *pam = NULL;
    int status = begin(q, service, &conv, &pam);
    bool ok;

    if (status != PAM_SUCCESS)
        return failed(NULL, status, err);
    ok = (!*q->address || pam_set_item(pam, PAM_RHOST, q->address) == PAM_SUCCESS) &&
         pam_set_item(pam, PAM_TTY, "vmmd") == PAM_SUCCESS &&
         pam_set_item(pam, PAM_FAIL_DELAY, (const void *)no_delay) == PAM_SUCCESS;
    ok = ok ? judge(pam, q->user, answer, err) : failed(pam, PAM_BUF_ERR, err);
    if (ok && *answer == PAM_SAYS_GOOD && !is_same_user(pam, q->user))
        *answer = PAM_SAYS_WRONG;
    pam_end(pam, ok ? PAM_SUCCESS : PAM_ABORT);
    return ok;
}
