/* Editing an object: see edit.h.
 *
 * With an editor:
 *
 *      ┌──────────────────────────────────────────────────────────────────────────┐
 *      ▼                                                                          │
 *   editor ─► unchanged ─► end     ─► not YAML ──────────── the reason as a comment ┤
 *                └► patch ─► accepted ─► end                                      │
 *                     └────► refused, or changed by somebody else ── the same ────┘ */
#include "cli/edit.h"

#include "cli/document.h"
#include "cli/editor.h"
#include "cli/spec.h"
#include "cli/yaml.h"
#include "core/base/json.h"
#include "core/base/mem.h"

#include <string.h>

/* The object as it was when it was read. */
struct seen {
    const struct editable *kind;
    char *path, *etag;
    json_t *object;
    json_t *writable; /* what a patch may name */
};

static void seen_clear(struct seen *s)
{
    mem_freep(&s->path);
    mem_freep(&s->etag);
    json_decref(s->object);
    json_decref(s->writable);
}

static bool look(struct cli *cli, struct seen *s, struct fault *fault)
{
    CLEANUP(http_reply_clear) struct http_reply reply = {0};
    struct http_request get = {.method = "GET", .path = s->path};

    if (!http_call(cli->http, &get, &reply, fault))
        return false;
    mem_freep(&s->etag);
    json_decref(s->object);
    json_decref(s->writable);
    s->etag = http_header(&reply, "ETag");
    s->object = http_parse(reply.body.data, reply.body.len, fault);
    s->writable = s->object ? s->kind->writable(s->object) : NULL;
    return s->object != NULL;
}

/* ---- patches ---- */

static json_t *patch_from_set(const struct args *args, const struct seen *seen, struct fault *fault)
{
    CLEANUP(json_decrefp) json_t *wanted = json_deep_copy(seen->writable);
    const char *text;

    for (size_t i = 0; (text = args_nth(args, "set", i)); i++)
        if (!seen->kind->set(text, seen->object, wanted, fault))
            return NULL;
    return spec_diff(seen->writable, wanted);
}

static json_t *patch_from_text(struct cli *cli, const char *text, struct fault *fault)
{
    CLEANUP(mem_freep) char *read = NULL;
    size_t len = strlen(text);
    struct err err;
    json_t *patch;

    if (str_eq(text, "-") || *text == '@') {
        if (!cli_read_input(cli, *text == '@' ? text + 1 : text, &read, &len, fault))
            return NULL;
        text = read;
    }
    patch = json_read(text, len, &err);
    if (json_is_object(patch))
        return patch;
    fault_set(fault, CLI_USAGE, "--patch: %s", patch ? "a JSON object is expected" : err.detail);
    json_decref(patch);
    return NULL;
}

static json_t *make_patch(struct cli *cli, const struct seen *seen, struct fault *fault)
{
    const char *text = args_text(cli->args, "patch");

    if (!text)
        return patch_from_set(cli->args, seen, fault);
    if (!args_has(cli->args, "set"))
        return patch_from_text(cli, text, fault);
    fault_set(fault, CLI_USAGE, "--set and --patch cannot be given together");
    return NULL;
}

json_t *edit_patch(struct cli *cli, const char *path, const json_t *patch, const char *etag,
                   bool dry_run, struct fault *fault)
{
    CLEANUP(mem_freep) char *text = json_write(patch);
    CLEANUP(mem_freep) char *match = str_format("If-Match: %s", etag ? etag : "*");
    const char *const headers[] = {match, NULL};
    CLEANUP(mem_freep) char *dry = str_format("%s?dry_run=true", path);
    struct http_request request = {.method = "PATCH",
                                   .path = dry_run ? dry : path,
                                   .body = text,
                                   .body_len = strlen(text),
                                   .content_type = "application/merge-patch+json",
                                   .headers = headers};

    return http_json(cli->http, &request, fault);
}

static json_t *send_patch(struct cli *cli, const struct seen *seen, const json_t *patch,
                          struct fault *fault)
{
    return edit_patch(cli, seen->path, patch, seen->etag, args_has(cli->args, "dry-run"), fault);
}

bool edit_print(struct cli *cli, const struct editable *kind, const json_t *reply,
                struct fault *fault)
{
    const json_t *inner = json_object_get(reply, "vm"); /* of a VM's dry run */
    const json_t *object = json_is_object(inner) ? inner : reply;
    const char *why = json_get_text(object, "pending_reason");
    CLEANUP(json_decrefp) json_t *list = json_array();

    if (json_get_bool(reply, "dry_run", false) && object == reply) {
        cli_say(cli, "nothing was changed; it would be accepted");
        return true;
    }
    if (json_is_object(json_object_get(object, "pending")))
        cli_say(cli, "some changes apply at its next start (see: pending)%s%s", why ? ": " : "",
                why ? why : "");
    if (cli->output == OUTPUT_JSON || cli->output == OUTPUT_YAML)
        return output_object(cli, object, kind->columns, fault);
    json_array_append(list, (json_t *)object);
    return output_list(cli, list, kind->columns, fault);
}

/* ---- editor ---- */

static void comment(struct strbuf *out, const char *text)
{
    CLEANUP(mem_freep) char *copy = str_dup(text);
    char *rest = copy, *line;

    while ((line = strsep(&rest, "\n")))
        strbuf_addf(out, "# %s\n", line);
}

/* What the editor shows: why it is shown again, if it is, and the configuration. */
static char *page(const struct seen *seen, const struct fault *why, const char *body)
{
    const char *name = json_get_text(seen->object, "name");
    CLEANUP(mem_freep)
    char *title = str_format("The %s %s", seen->kind->what, name ? name : "");
    struct strbuf out = {0};

    if (*why->detail) {
        comment(&out, "The change was not accepted:");
        comment(&out, why->detail);
        if (*why->where)
            comment(&out, why->where);
        strbuf_adds(&out, "#\n");
    }
    comment(&out, title);
    comment(&out, "Lines with # are left out. A member that is deleted gets its default.\n"
                  "Leave the file as it is to change nothing.");
    strbuf_adds(&out, body);
    return strbuf_take(&out);
}

static char *body_of(const json_t *writable)
{
    struct strbuf b = {0};

    yaml_write(writable, &b);
    return strbuf_take(&b);
}

/* The text behind the comments that page() has put before it. */
static const char *without_head(const char *text)
{
    while (*text == '#') {
        text += strcspn(text, "\n");
        text += *text == '\n';
    }
    return text;
}

static json_t *parse_page(const struct seen *seen, const char *text, size_t len,
                          struct fault *fault)
{
    CLEANUP(json_decrefp) json_t *documents = document_parse(text, len, "the text", fault);
    json_t *wanted = json_array_get(documents, 0);

    if (!documents)
        return NULL;
    if (json_array_size(documents) == 1 && json_is_object(wanted)) {
        seen->kind->tidy(wanted);
        return json_incref(wanted);
    }
    fault_set(fault, CLI_USAGE, "the text must be one YAML mapping, member: value");
    return NULL;
}

/* RFC 7396. */
static void merge(json_t *target, const json_t *patch)
{
    const char *key;
    json_t *value;

    json_object_foreach ((json_t *)patch, key, value) {
        json_t *old = json_object_get(target, key);

        if (json_is_null(value))
            json_object_del(target, key);
        else if (json_is_object(value) && json_is_object(old))
            merge(old, value);
        else
            json_object_set(target, key, value);
    }
}

/* Somebody else was faster: their VM with our changes on top is what comes up next. */
static bool catch_up(struct cli *cli, struct seen *seen, const json_t *patch, char **body,
                     struct fault *fault)
{
    CLEANUP(json_decrefp) json_t *both = NULL;

    if (!look(cli, seen, fault))
        return false;
    both = json_deep_copy(seen->writable);
    merge(both, patch);
    free(*body);
    *body = body_of(both);
    return true;
}

/* Whether the user can do something about it in the editor. */
static bool can_mend(const struct fault *fault)
{
    return fault->exit == CLI_USAGE || fault->exit == CLI_INVALID ||
           (fault->exit == CLI_CONFLICT && !str_eq(fault->code, "busy"));
}

/* One turn: true with '*reply' (NULL: nothing is to be changed), false with why not and '*body'
 * as the user left it. */
static bool edit_once(struct cli *cli, const struct editor *editor, struct seen *seen, char **body,
                      struct fault *why, json_t **reply, struct fault *fault)
{
    CLEANUP(mem_freep) char *shown = page(seen, why, *body), *edited = NULL;
    CLEANUP(json_decrefp) json_t *wanted = NULL, *patch = NULL;
    bool again = *why->detail;
    size_t len = 0;

    if (!editor_run(editor, shown, &edited, &len, fault))
        return false;
    if (str_eq(edited, shown))
        return !again || fault_set(fault, CLI_FAILED, "%s", why->detail);
    free(*body);
    *body = str_dup(without_head(edited));
    wanted = parse_page(seen, edited, len, fault);
    patch = wanted ? spec_diff(seen->writable, wanted) : NULL;
    if (!patch || json_object_size(patch) == 0)
        return patch != NULL;
    *reply = send_patch(cli, seen, patch, fault);
    if (!*reply && str_eq(fault->code, "revision-conflict")) {
        struct fault lost = {0};
        if (!catch_up(cli, seen, patch, body, &lost))
            *fault = lost;
    }
    return *reply != NULL;
}

static bool edit_by_hand(struct cli *cli, struct seen *seen, json_t **reply, struct fault *fault)
{
    CLEANUP(mem_freep) char *body = body_of(seen->writable);
    struct fault why = {0};
    struct editor editor;
    bool done;

    if (!cli->in_tty)
        return fault_set(fault, CLI_USAGE,
                         "give --set MEMBER=VALUE or --patch JSON (an editor needs a terminal)");
    if (!editor_open(seen->kind->file, &editor, fault))
        return false;
    for (;;) {
        struct fault now = {0};

        done = edit_once(cli, &editor, seen, &body, &why, reply, &now);
        if (done)
            break;
        if (!can_mend(&now)) {
            *fault = now;
            fault_hint(fault, "your text is kept in %.200s", editor.path);
            break;
        }
        why = now;
    }
    editor_close(&editor, !done);
    return done;
}

/* ---- the command ---- */

bool edit_run(struct cli *cli, const struct editable *kind, struct fault *fault)
{
    CLEANUP(seen_clear) struct seen seen = {.kind = kind};
    CLEANUP(json_decrefp) json_t *patch = NULL, *changed = NULL;
    CLEANUP(mem_freep) char *name = http_encode(cli_word(cli, 0));

    seen.path = str_format("/api/v1%s/%s", kind->collection, name);
    if (!look(cli, &seen, fault))
        return false;
    if (!args_has(cli->args, "set") && !args_has(cli->args, "patch")) {
        if (!edit_by_hand(cli, &seen, &changed, fault))
            return false;
    } else {
        patch = make_patch(cli, &seen, fault);
        if (!patch)
            return false;
        if (json_object_size(patch))
            changed = send_patch(cli, &seen, patch, fault);
        if (!changed && json_object_size(patch))
            return false;
    }
    if (changed)
        return edit_print(cli, kind, changed, fault);
    cli_say(cli, "nothing is changed");
    return true;
}
