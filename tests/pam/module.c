/* A PAM module of the tests' own: what it answers depends on the user's name. Who is not named here
 * has the password "correct horse battery". It goes into vmmd-pam, so it has no sanitizer. */
#include <security/pam_appl.h>
#include <security/pam_ext.h>
#include <security/pam_modules.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PASSWORD "correct horse battery"

static int is(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

/* Asks by the conversation; 1 when the answer is 'right'. */
static int prompt(pam_handle_t *pam, int style, const char *right)
{
    char *answer = NULL;
    int ok =
        pam_prompt(pam, style, &answer, "Password: ") == PAM_SUCCESS && answer && is(answer, right);

    free(answer);
    return ok;
}

static int has_address(pam_handle_t *pam, const char *expected)
{
    const void *item = NULL;

    return pam_get_item(pam, PAM_RHOST, &item) == PAM_SUCCESS && item && is(item, expected);
}

int pam_sm_authenticate(pam_handle_t *pam, int flags, int argc, const char **argv)
{
    const char *user = NULL;

    if (pam_get_user(pam, &user, NULL) != PAM_SUCCESS)
        return PAM_SERVICE_ERR;
    pam_fail_delay(pam, 3000000);
    if (is(user, "slow"))
        for (;;)
            pause();
    if (is(user, "crash"))
        kill(getpid(), SIGKILL);
    if (is(user, "broken"))
        return PAM_SYSTEM_ERR;
    if (is(user, "away"))
        return PAM_AUTHINFO_UNAVAIL;
    if (is(user, "shown") && !prompt(pam, PAM_PROMPT_ECHO_ON, PASSWORD))
        return PAM_AUTH_ERR;
    if (is(user, "talkative"))
        pam_info(pam, "Welcome");
    if (is(user, "other"))
        return prompt(pam, PAM_PROMPT_ECHO_OFF, PASSWORD) &&
                       pam_set_item(pam, PAM_USER, "root") == PAM_SUCCESS /* frees 'user' */
                   ? PAM_SUCCESS
                   : PAM_AUTH_ERR;
    if (is(user, "far") && !has_address(pam, "192.0.2.7"))
        return PAM_PERM_DENIED;
    if (!prompt(pam, PAM_PROMPT_ECHO_OFF, PASSWORD))
        return PAM_AUTH_ERR;
    if (is(user, "twice") && !prompt(pam, PAM_PROMPT_ECHO_OFF, PASSWORD))
        return PAM_AUTH_ERR;
    return PAM_SUCCESS;
}

int pam_sm_setcred(pam_handle_t *pam, int flags, int argc, const char **argv)
{
    return PAM_SUCCESS;
}

int pam_sm_acct_mgmt(pam_handle_t *pam, int flags, int argc, const char **argv)
{
    const char *user = NULL;

    if (pam_get_user(pam, &user, NULL) != PAM_SUCCESS)
        return PAM_SERVICE_ERR;
    return is(user, "locked")  ? PAM_ACCT_EXPIRED
           : is(user, "stale") ? PAM_NEW_AUTHTOK_REQD
                               : PAM_SUCCESS;
}
