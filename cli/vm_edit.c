/* vmmctl vm edit: a merge patch from --set, --patch or an editor, sent with If-Match so that nobody
 * else's change is lost. */
#include "cli/spec.h"
#include "cli/vm.h"
#include "core/base/fs.h"
#include "core/base/json.h"
#include "core/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

#define MAX_EDITED (1u << 20)

const struct flag vm_edit_flags[] = {
    {"set", 0, "KEY=VALUE",
     "name, notes, vcpus, memory, machine, accel, kernel, cmdline, shutdown_timeout or label.KEY; "
     "no value: back to the default; may be repeated"},
    {"patch", 0, "JSON", "a merge patch (RFC 7396); @FILE or - read it from a file or stdin"},
    {"dry-run", 0, NULL, "check everything, print what would come out, change nothing"},
    {0},
};

/* What a patch may name: the members of VmSpec without those that are fixed at creation. */
static const char *const writable[] = {
    "name",  "notes",        "labels", "machine", "accel",
    "vcpus", "memory_bytes", "boot",   "nics",    "shutdown_timeout_s"};

static json_t *patch_from_set(const struct args *args, struct fault *fault)
{
    CLEANUP(json_decrefp) json_t *patch = json_object();
    const char *text;

    for (size_t i = 0; (text = args_nth(args, "set", i)); i++)
        if (!spec_set(text, patch, fault))
            return NULL;
    return TAKE(patch);
}

static json_t *parse_object(const char *text, size_t len, const char *what, struct fault *fault)
{
    struct err err;
    json_t *value = json_read(text, len, &err);

    if (json_is_object(value))
        return value;
    fault_set(fault, CLI_USAGE, "%s: %s", what, value ? "a JSON object is expected" : err.detail);
    json_decref(value);
    return NULL;
}

static json_t *patch_from_text(struct cli *cli, const char *text, struct fault *fault)
{
    CLEANUP(mem_freep) char *read = NULL;
    size_t len = strlen(text);

    if (str_eq(text, "-") || *text == '@') {
        if (!cli_read_input(cli, *text == '@' ? text + 1 : text, &read, &len, fault))
            return NULL;
        text = read;
    }
    return parse_object(text, len, "--patch", fault);
}

/* ---- editor ---- */

/* Runs "$VISUAL FILE" or "$EDITOR FILE" by the shell, since they may hold arguments. */
static bool run_editor(const char *file, struct fault *fault)
{
    const char *editor = getenv("VISUAL");
    char *argv[] = {"sh", "-c", NULL, "sh", (char *)file, NULL};
    CLEANUP(mem_freep) char *line = NULL;
    pid_t pid;
    int status, failed;

    if (!editor || !*editor)
        editor = getenv("EDITOR");
    if (!editor || !*editor)
        editor = "vi";
    line = argv[2] = str_format("exec %s \"$1\"", editor);
    failed = posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, environ);
    if (failed)
        return fault_set(fault, CLI_FAILED, "the editor: %s", strerror(failed));
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return fault_set(fault, CLI_FAILED, "the editor: %s", strerror(errno));
    if (!WIFEXITED(status) || WEXITSTATUS(status))
        return fault_set(fault, CLI_FAILED, "the editor '%.60s' failed; nothing was changed",
                         editor);
    return true;
}

static bool read_back(const char *path, char **text, size_t *len, struct fault *fault)
{
    /* opened anew: many editors replace the file */
    CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct err err;

    if (fd < 0)
        return fault_set(fault, CLI_FAILED, "the edited file: %s", strerror(errno));
    return fs_read_all(fd, MAX_EDITED, text, len, &err) || fault_err(fault, CLI_FAILED, &err);
}

static bool edit_in(const char *directory, const char *text, char **edited, size_t *len,
                    struct fault *fault)
{
    CLEANUP(mem_freep) char *path = str_format("%s/vm.json", directory);
    CLEANUP(closep) int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    struct err err;

    if (fd < 0)
        return fault_set(fault, CLI_FAILED, "%s: %s", path, strerror(errno));
    if (!fs_write_all(fd, text, strlen(text), &err))
        return fault_err(fault, CLI_FAILED, &err);
    return run_editor(path, fault) && read_back(path, edited, len, fault);
}

/* In a directory of its own (0700), since editors leave backups beside the file. */
static bool edit_text(const char *text, char **edited, size_t *len, struct fault *fault)
{
    const char *base = getenv("TMPDIR");
    CLEANUP(mem_freep) char *path = str_format("%s/vmmctl-XXXXXX", base && *base ? base : "/tmp");
    CLEANUP(closep) int parent = -1;
    struct err err = {0};
    bool ok;

    if (!mkdtemp(path))
        return fault_set(fault, CLI_FAILED, "%s: %s", path, strerror(errno));
    ok = edit_in(path, text, edited, len, fault);
    parent = open(base && *base ? base : "/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    err_ignore(parent >= 0 && fs_remove_tree(parent, strrchr(path, '/') + 1, &err), &err);
    return ok;
}

static json_t *writable_part(const json_t *vm)
{
    json_t *part = json_object();

    for (size_t i = 0; i < ARRAY_LEN(writable); i++)
        if (json_object_get(vm, writable[i]))
            json_object_set(part, writable[i], json_object_get(vm, writable[i]));
    return part;
}

static json_t *patch_from_editor(struct cli *cli, const json_t *vm, struct fault *fault)
{
    CLEANUP(json_decrefp) json_t *before = writable_part(vm);
    CLEANUP(json_decrefp) json_t *after = NULL;
    CLEANUP(mem_freep) char *text = NULL, *edited = NULL, *whole = NULL;
    size_t len = 0;

    if (!cli->in_tty) {
        fault_set(fault, CLI_USAGE,
                  "give --set KEY=VALUE or --patch JSON (an editor needs a terminal)");
        return NULL;
    }
    text = json_dumps(before, JSON_INDENT(2));
    whole = str_format("%s\n", text);
    if (!edit_text(whole, &edited, &len, fault))
        return NULL;
    after = parse_object(edited, len, "the edited text", fault);
    return after ? spec_diff(before, after) : NULL;
}

/* ---- sending ---- */

static json_t *make_patch(struct cli *cli, const json_t *vm, struct fault *fault)
{
    const char *text = args_text(cli->args, "patch");

    if (text && args_has(cli->args, "set")) {
        fault_set(fault, CLI_USAGE, "--set and --patch cannot be given together");
        return NULL;
    }
    if (text)
        return patch_from_text(cli, text, fault);
    if (args_has(cli->args, "set"))
        return patch_from_set(cli->args, fault);
    return patch_from_editor(cli, vm, fault);
}

static json_t *send_patch(struct cli *cli, const char *path, const json_t *patch, const char *etag,
                          struct fault *fault)
{
    CLEANUP(mem_freep) char *text = json_write(patch);
    CLEANUP(mem_freep) char *match = str_format("If-Match: %s", etag ? etag : "*");
    const char *const headers[] = {match, NULL};
    CLEANUP(mem_freep) char *dry = str_format("%s?dry_run=true", path);
    struct http_request request = {.method = "PATCH",
                                   .path = args_has(cli->args, "dry-run") ? dry : path,
                                   .body = text,
                                   .body_len = strlen(text),
                                   .content_type = "application/merge-patch+json",
                                   .headers = headers};

    return http_json(cli->http, &request, fault);
}

static bool print_changed(struct cli *cli, const json_t *reply, struct fault *fault)
{
    const json_t *inner = json_object_get(reply, "vm");
    const json_t *vm = json_is_object(inner) ? inner : reply;
    CLEANUP(json_decrefp) json_t *list = json_array();

    if (json_is_object(json_object_get(vm, "pending")))
        cli_say(cli, "the VM is not off: some changes apply at its next start (see: pending)");
    if (cli->output == OUTPUT_JSON || cli->output == OUTPUT_YAML)
        return output_object(cli, vm, vm_columns, fault);
    json_array_append(list, (json_t *)vm);
    return output_list(cli, list, vm_columns, fault);
}

bool vm_edit_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/vms/{}", cli_word(cli, 0));
    CLEANUP(http_reply_clear) struct http_reply reply = {0};
    CLEANUP(mem_freep) char *etag = NULL;
    CLEANUP(json_decrefp) json_t *vm = NULL, *patch = NULL, *changed = NULL;
    struct http_request get = {.method = "GET", .path = path};

    if (!http_call(cli->http, &get, &reply, fault))
        return false;
    etag = http_header(&reply, "ETag");
    vm = http_parse(reply.body.data, reply.body.len, fault);
    patch = vm ? make_patch(cli, vm, fault) : NULL;
    if (!patch)
        return false;
    if (json_object_size(patch) == 0) {
        cli_say(cli, "nothing is changed");
        return true;
    }
    changed = send_patch(cli, path, patch, etag, fault);
    return changed && print_changed(cli, changed, fault);
}
