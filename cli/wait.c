/* Waiting for operations: see wait.h.
 *
 *            ┌──────────── lost connection: try again until the deadline ◄┐
 *  look ─────┤ running: show progress, look again (long-poll) ────────────┘
 *            ├ succeeded / failed / cancelled ─► return
 *            ├ deadline ─► exit 7, say how to go on
 *            └ Ctrl-C ─► say how to go on, 2 s for a second Ctrl-C ─► exit 130
 *                                        └─ cancel the operation, see it end ─► exit 130 */
#include "cli/wait.h"

#include "cli/interrupt.h"
#include "cli/progress.h"
#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/mem.h"

#include <signal.h>

#define LOOK_TTY_S     1 /* the bar moves at least so often */
#define LOOK_S         5
#define RETRY_MS       500
#define SECOND_KEY_MS  2000
#define CANCEL_WAIT_MS 15000

bool wait_is_over(const json_t *operation)
{
    const char *state = json_get_text(operation, "state");

    return str_eq(state, "succeeded") || str_eq(state, "failed") || str_eq(state, "cancelled");
}

static json_t *look(struct cli *cli, const char *id, int64_t left_ms, struct fault *fault)
{
    int64_t most = cli->err_tty ? LOOK_TTY_S : LOOK_S;
    int64_t seconds = (left_ms + 999) / 1000 < most ? (left_ms + 999) / 1000 : most;
    CLEANUP(mem_freep) char *base = http_path("/operations/{}", id);
    CLEANUP(mem_freep) char *path = str_format("%s?wait=%lld", base, (long long)seconds);
    struct http_request request = {
        .method = "GET", .path = path, .timeout_ms = (seconds + 15) * 1000};

    return http_json(cli->http, &request, fault);
}

static void cancel(struct cli *cli, const char *id)
{
    CLEANUP(mem_freep) char *path = http_path("/operations/{}/actions/cancel", id);
    CLEANUP(json_decrefp) json_t *reply = NULL;
    int64_t deadline = clock_mono_ms() + CANCEL_WAIT_MS;
    struct fault why = {0};
    const char *state;

    interrupt_clear();
    reply = http_post(cli->http, path, NULL, &why);
    while (reply && !wait_is_over(reply) && clock_left_ms(deadline)) {
        json_decref(reply);
        reply = look(cli, id, clock_left_ms(deadline), &why);
    }
    state = json_get_text(reply, "state");
    if (reply)
        cli_say(cli, "the operation is %s", state ? state : "unknown");
    else
        cli_say(cli, "the operation was not cancelled: %s", why.detail);
}

static bool interrupted(struct cli *cli, const char *id, struct fault *fault)
{
    bool by_key = interrupt_signal() == SIGINT;

    fault_set(fault, CLI_INTERRUPTED, "%s", "");
    cli_say(cli, "the operation goes on; follow it with: vmmctl op wait %s", id);
    if (!by_key)
        return false;
    cli_say(cli, "Ctrl-C again within %d s cancels it", SECOND_KEY_MS / 1000);
    interrupt_clear();
    if (interrupt_wait(SECOND_KEY_MS))
        cancel(cli, id);
    return false;
}

/* The service may be restarting: operations survive that, so waiting does too. */
static bool is_passing(const struct fault *fault)
{
    return fault->exit == CLI_UNREACHABLE || fault->exit == CLI_TIMED_OUT;
}

static json_t *watch(struct cli *cli, const char *id, struct progress *progress,
                     struct fault *fault)
{
    int64_t deadline = clock_mono_ms() + cli->timeout_ms;
    bool said = false;

    for (;;) {
        int64_t left = clock_left_ms(deadline);
        CLEANUP(json_decrefp) json_t *operation = look(cli, id, left, fault);

        if (operation && wait_is_over(operation))
            return TAKE(operation);
        if (operation)
            progress_show(progress, operation);
        else if (fault->exit != CLI_INTERRUPTED && (!is_passing(fault) || !left))
            return NULL;
        if (!operation && fault->exit != CLI_INTERRUPTED && !said) {
            progress_end(progress);
            cli_say(cli, "%s; trying again", fault->detail);
            said = true;
        }
        if (interrupt_signal() || (!operation && interrupt_wait(RETRY_MS))) {
            progress_end(progress);
            interrupted(cli, id, fault);
            return NULL;
        }
        if (operation && !left) {
            fault_set(fault, CLI_TIMED_OUT, "the operation still runs after the time given");
            fault_hint(fault, "follow it with: vmmctl op wait %s", id);
            return NULL;
        }
    }
}

static bool judge(const json_t *operation, struct fault *fault)
{
    const json_t *error = json_object_get(operation, "error");
    const char *detail = json_get_text(error, "detail"), *code = json_get_text(error, "code");
    const char *pointer = json_get_text(error, "pointer");
    const char *state = json_get_text(operation, "state");
    const char *request_id = json_get_text(operation, "request_id");

    if (str_eq(state, "succeeded"))
        return true;
    fault_set(fault, CLI_FAILED, "%s", detail && *detail ? detail : "the operation was cancelled");
    str_copy(fault->code, sizeof fault->code, code ? code : state);
    str_copy(fault->where, sizeof fault->where, pointer ? pointer : "");
    str_copy(fault->request_id, sizeof fault->request_id, request_id ? request_id : "");
    return false;
}

bool wait_id(struct cli *cli, const char *id, json_t **end, struct fault *fault)
{
    struct progress progress;
    CLEANUP(json_decrefp) json_t *ended = NULL;

    progress_init(&progress, cli);
    ended = watch(cli, id, &progress, fault);
    progress_end(&progress);
    if (!ended || !judge(ended, fault))
        return false;
    if (end)
        *end = TAKE(ended);
    return true;
}

bool wait_follow(struct cli *cli, const json_t *operation, json_t **end, struct fault *fault)
{
    const char *id = json_get_text(operation, "id");

    if (end)
        *end = NULL;
    if (!id)
        return fault_set(fault, CLI_FAILED, "the reply is no operation; is this vmmd?");
    if (cli->wait)
        return wait_id(cli, id, end, fault);
    fprintf(cli->out, "%s\n", id);
    return true;
}

bool wait_post(struct cli *cli, const char *path, const json_t *body, json_t **end,
               struct fault *fault)
{
    CLEANUP(json_decrefp) json_t *operation = http_post(cli->http, path, body, fault);

    if (end)
        *end = NULL;
    return operation && wait_follow(cli, operation, end, fault);
}
