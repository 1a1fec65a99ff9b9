/* vmmctl vm key, type, pointer, nmi: what hands do to a machine. Nothing of it is ever sent twice:
 * a broken connection is an error. */
#include "cli/vm.h"
#include "core/base/json.h"
#include "core/base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TYPE_BYTES   2048 /* of one request; the service takes 4096, and 60 s at most */
#define TYPE_WAIT_MS 75000

const struct flag vm_key_flags[] = {
    {"hold", 0, "TIME", "how long the keys are down, such as 2s (default 100ms)"},
    {0},
};
const struct flag vm_type_flags[] = {
    {"layout", 0, "us|gb|de", "the keyboard that the guest believes to have (default us)"},
    {"interval", 0, "TIME", "from one character to the next (default 14ms)"},
    {"enter", 0, NULL, "press Return at the end"},
    {"file", 'f', "FILE", "type what this file says (- for standard input)"},
    {0},
};
const struct flag vm_pointer_flags[] = {
    {"at", 0, "X,Y", "move it there: 0,0 is the upper left corner, 1,1 the lower right one"},
    {"by", 0, "DX,DY", "move it by so many pixels (for a VM with a mouse)"},
    {"click", 0, "BUTTON",
     "press and let go of left, middle, right, side, extra, or turn wheel-up, wheel-down, "
     "wheel-left, wheel-right by a step; may be repeated"},
    {"hold", 0, "A,B", "these buttons are down from now on; none: no button is"},
    {"head", 0, "N", "display that X and Y belong to (default 0)"},
    {0},
};

static bool send(struct cli *cli, const char *action, const json_t *body, int64_t timeout_ms,
                 struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/vms/{}/actions/{}", cli_word(cli, 0), action);
    CLEANUP(mem_freep) char *text = body ? json_write(body) : NULL;
    CLEANUP(http_reply_clear) struct http_reply reply = {0};
    struct http_request request = {.method = "POST",
                                   .path = path,
                                   .body = text,
                                   .body_len = text ? strlen(text) : 0,
                                   .once = true,
                                   .timeout_ms = timeout_ms};

    return http_call(cli->http, &request, &reply, fault);
}

/* ---- keys ---- */

/* "ctrl-alt-delete" or "ctrl+alt+delete"; a sign that stands alone is that key. */
static json_t *chord(const char *text)
{
    json_t *keys = json_array();

    while (*text) {
        size_t n = 1 + strcspn(text + 1, "-+");

        json_array_append_new(keys, json_stringn(text, n));
        text += n;
        text += *text && text[1]; /* what joins two keys */
    }
    return keys;
}

bool vm_key_run(struct cli *cli, struct fault *fault)
{
    int64_t hold_ms;

    if (!args_duration(cli->args, "hold", 100, &hold_ms, fault))
        return false;
    for (size_t i = 1; i < cli->args->n_words; i++)
        if (!str_is_utf8(cli_word(cli, i), strlen(cli_word(cli, i))))
            return fault_set(fault, CLI_USAGE, "a key is not UTF-8");
    for (size_t i = 1; i < cli->args->n_words; i++) {
        CLEANUP(json_decrefp) json_t *body = json_object();

        json_put(body, "keys", chord(cli_word(cli, i)));
        if (args_has(cli->args, "hold"))
            json_put_u64(body, "hold_ms", (uint64_t)hold_ms);
        if (!send(cli, "send-key", body, 30000 + hold_ms, fault))
            return false;
    }
    return true;
}

/* ---- text ---- */

/* So many bytes of the text as one request takes, whole characters. */
static size_t piece_of(const char *text)
{
    size_t n = strlen(text);

    if (n <= TYPE_BYTES)
        return n;
    for (n = TYPE_BYTES; ((unsigned char)text[n] & 0xc0) == 0x80; n--)
        continue;
    return n;
}

static bool read_text(struct cli *cli, char **out, struct fault *fault)
{
    const char *file = args_text(cli->args, "file"), *word = cli_word(cli, 1);
    size_t len;

    if (!file == !word)
        return fault_set(fault, CLI_USAGE, "write the text behind the VM, or --file, not both");
    if (!file)
        *out = str_dup(word);
    else if (!cli_read_input(cli, file, out, &len, fault))
        return false;
    else if (strlen(*out) != len)
        return fault_set(fault, CLI_USAGE, "%.200s is no text", file);
    if (args_has(cli->args, "enter")) {
        CLEANUP(mem_freep) char *without = *out;
        *out = str_format("%s\n", without);
    }
    return str_is_utf8(*out, strlen(*out)) || fault_set(fault, CLI_USAGE, "the text is not UTF-8");
}

bool vm_type_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(mem_freep) char *text = NULL;
    const char *layout = args_text(cli->args, "layout");
    int64_t interval_ms;

    if (!args_duration(cli->args, "interval", 14, &interval_ms, fault) ||
        !read_text(cli, &text, fault))
        return false;
    for (const char *at = text; *at;) {
        CLEANUP(json_decrefp) json_t *body = json_object();
        size_t n = piece_of(at);

        json_put(body, "text", json_stringn(at, n));
        if (layout)
            json_put_text(body, "layout", layout);
        if (args_has(cli->args, "interval"))
            json_put_u64(body, "interval_ms", (uint64_t)interval_ms);
        if (!send(cli, "type", body, TYPE_WAIT_MS, fault))
            return false;
        at += n;
    }
    return true;
}

/* ---- pointer ---- */

static bool put_pair(const struct args *args, const char *flag, const char *x, const char *y,
                     json_t *body, struct fault *fault)
{
    const char *text = args_text(args, flag);
    double first, second = 0;
    char *end = NULL;

    if (!text)
        return true;
    first = strtod(text, &end);
    if (end != text && *end == ',') {
        text = end + 1;
        second = strtod(text, &end);
    } else {
        text = end;
    }
    if (end == text || *end || !isfinite(first) || !isfinite(second))
        return fault_set(fault, CLI_USAGE, "--%s: write two numbers: 0.5,0.25", flag);
    json_put(body, x, json_real(first));
    json_put(body, y, json_real(second));
    return true;
}

/* "a,b" as texts; "none" and "" are no buttons. */
static json_t *buttons(const char *list)
{
    json_t *all = json_array();

    for (const char *p = list; *p && !str_eq(list, "none"); p += strcspn(p, ","), p += *p == ',')
        json_array_append_new(all, json_stringn(p, strcspn(p, ",")));
    return all;
}

static bool send_buttons(struct cli *cli, json_t *body, const char *list, struct fault *fault)
{
    json_put(body, "buttons", buttons(list));
    return send(cli, "pointer", body, 0, fault);
}

bool vm_pointer_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(json_decrefp) json_t *body = json_object(), *still = json_object();
    const char *hold = args_text(cli->args, "hold"), *click;
    uint64_t head;

    if (!put_pair(cli->args, "at", "x", "y", body, fault) ||
        !put_pair(cli->args, "by", "dx", "dy", body, fault) ||
        !args_number(cli->args, "head", 0, &head, fault))
        return false;
    if (!json_object_size(body) && !hold && !args_has(cli->args, "click"))
        return fault_set(fault, CLI_USAGE, "say what it does: --at, --by, --click or --hold");
    if (args_has(cli->args, "head"))
        json_put_u64(body, "head", head);
    if (hold)
        json_put(body, "buttons", buttons(hold));
    if ((hold || json_object_size(body)) && !send(cli, "pointer", body, 0, fault))
        return false;
    for (size_t i = 0; (click = args_nth(cli->args, "click", i)); i++)
        if (!send_buttons(cli, still, click, fault) ||
            !send_buttons(cli, still, hold ? hold : "", fault))
            return false;
    return true;
}

bool vm_nmi_run(struct cli *cli, struct fault *fault)
{
    return send(cli, "nmi", NULL, 0, fault);
}
