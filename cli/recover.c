/* vmmctl recover --scan: the database made anew of the VMs' copies. The service does not run then,
 * so this is no request: "vmmd --recover" on this machine does the work (docs/recovery.md), and its
 * report is shown. */
#include "cli/command.h"

#include "cli/output.h"
#include "cli/text.h"
#include "core/base/fs.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

#define REPORT_MAX (256u << 20)
#define SHOWN_MAX  20 /* orphans in the table; other formats have all */

static bool recover_run(struct cli *cli, struct fault *fault) MUST_USE;

static const struct column vm_columns[] = {
    {"NAME", "name", CELL_TEXT, false},
    {"VERDICT", "verdict", CELL_TEXT, false},
    {"DISKS", "disks", CELL_TEXT, false},
    {"SNAPSHOTS", "snapshots", CELL_TEXT, false},
    {"SAVED", "saved", CELL_TEXT, false},
    {"CHANGED", "changed_at", CELL_TIME, false},
    {"COPY", "copy", CELL_TEXT, true},
    {"ID", "id", CELL_TEXT, true},
    {0},
};
static const struct flag recover_flags[] = {
    {"scan", 0, NULL, "look at the copies and say what they hold; nothing is changed"},
    {"apply", 0, NULL, "and make a new database of them; the old one is kept beside it"},
    {"doubtful", 0, NULL, "also VMs whose copy seems to be older than their disks"},
    {"config", 0, "FILE", "vmmd's configuration, if it is not in the usual place"},
    {0},
};
const struct command recover_commands[] = {
    {NULL, "", 0, 0, USES_OUTPUT | USES_CONFIRM | USES_NO_SERVICE, recover_flags,
     "make vmmd's database anew when it is lost or damaged",
     "Every VM has copies of its configuration, its snapshots and the list of its files: in the "
     "state directory and in the pool roots that its disks lie in. From them --scan says what a "
     "new database would hold, and --apply makes it. vmmd must not run, nor any VM. Run it as the "
     "user who runs vmmd, usually root.\n\n"
     "What is not in the copies does not come back: users, tokens, webhooks, operations, events "
     "and the "
     "audit trail. root gets in by the unix socket, without a token (vmmctl token create).\n\n"
     "No file of a pool is removed or changed, whether a copy names it or not.",
     "  systemctl stop vmmd\n  vmmctl recover --scan\n  vmmctl recover --scan --apply\n"
     "  systemctl start vmmd",
     recover_run, false},
    {0},
};

/* ---- running vmmd ---- */

/* The daemon beside us (a build directory), else where packages put it. */
static char *daemon_path(void)
{
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    char *slash, *path;

    self[n > 0 ? n : 0] = 0;
    slash = strrchr(self, '/');
    path = str_format("%.*s/vmmd", slash ? (int)(slash - self) : 0, self);
    if (access(path, X_OK) == 0)
        return path;
    free(path);
    return str_dup("/usr/sbin/vmmd");
}

static bool spawn(char *const argv[], int out, pid_t *pid, struct fault *fault)
{
    posix_spawn_file_actions_t actions;
    int failed;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    failed = posix_spawn(pid, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    return !failed || fault_set(fault, CLI_FAILED, "%s: %s", argv[0], strerror(failed));
}

static bool await(pid_t pid, struct fault *fault)
{
    int status;

    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return fault_set(fault, CLI_FAILED, "vmmd: %s", strerror(errno));
    return (WIFEXITED(status) && WEXITSTATUS(status) == 0) ||
           fault_set(fault, CLI_FAILED, "nothing was changed: vmmd says above why");
}

static json_t *report_of(const struct cli *cli, bool apply, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = daemon_path();
    CLEANUP(mem_freep) char *text = NULL;
    CLEANUP(closep) int from = -1;
    CLEANUP(closep) int to = -1;
    char *argv[8] = {path, "--recover"};
    struct err err = {0};
    json_t *report = NULL;
    int pair[2];
    size_t n = 2, len = 0;
    pid_t pid;
    bool read;

    if (apply)
        argv[n++] = "--apply";
    if (args_has(cli->args, "doubtful"))
        argv[n++] = "--doubtful";
    if (args_text(cli->args, "config")) {
        argv[n++] = "--config";
        argv[n++] = (char *)args_text(cli->args, "config");
    }
    if (pipe2(pair, O_CLOEXEC) < 0) {
        fault_set(fault, CLI_FAILED, "a pipe: %s", strerror(errno));
        return NULL;
    }
    from = pair[0];
    to = pair[1];
    if (!spawn(argv, to, &pid, fault))
        return NULL;
    closep(&to);
    read = fs_read_all(from, REPORT_MAX, &text, &len, &err);
    closep(&from);
    if (!await(pid, fault))
        return NULL;
    report = read ? json_loadb(text, len, 0, NULL) : NULL; /* our own daemon's, and long */
    if (!report)
        fault_set(fault, CLI_FAILED, "vmmd's report cannot be read");
    return report;
}

/* ---- showing it ---- */

static void print_sentences(struct cli *cli, const char *about, const json_t *list)
{
    CLEANUP(mem_freep) char *safe_about = about ? text_escape(about) : NULL;
    const json_t *sentence;
    size_t i;

    json_array_foreach (list, i, sentence) {
        CLEANUP(mem_freep) char *safe = text_escape(json_string_value(sentence));
        cli_say(cli, "%s%s%s", safe_about ? safe_about : "", safe_about ? ": " : "", safe);
    }
}

static void say_orphans(struct cli *cli, const json_t *orphans)
{
    const json_t *orphan;
    size_t i;

    if (json_array_size(orphans))
        cli_say(cli, "%zu files in the pools are named by no copy, and stay as they are:",
                json_array_size(orphans));
    json_array_foreach (orphans, i, orphan) {
        CLEANUP(mem_freep) char *pool = text_escape(json_get_text(orphan, "pool"));
        CLEANUP(mem_freep) char *name = text_escape(json_get_text(orphan, "name"));
        if (i == SHOWN_MAX) {
            cli_say(cli, "  and more: -o json has all");
            break;
        }
        cli_say(cli, "  %s in the pool %s", name, pool);
    }
}

static size_t made(const json_t *vms)
{
    const json_t *vm;
    size_t i, n = 0;

    json_array_foreach (vms, i, vm)
        n += json_get_bool(vm, "made", false);
    return n;
}

static void say_end(struct cli *cli, const json_t *report)
{
    const json_t *vms = json_object_get(report, "vms");
    const char *kept = json_get_text(report, "kept_as");

    if (!json_get_bool(report, "applied", false)) {
        cli_say(cli, "%zu of %zu VMs can be made again. Nothing was changed; --apply does it.",
                made(vms), json_array_size(vms));
        return;
    }
    cli_say(cli, "A new database with %zu VMs is in place%s%s%s. Start vmmd.", made(vms),
            kept ? "; the old one is kept as " : "", kept ? kept : "",
            kept ? " in the state directory" : "");
    cli_say(
        cli,
        "Users, tokens, webhooks, operations and events are gone: make new tokens as root by the "
        "unix socket (vmmctl token create).");
}

static bool show(struct cli *cli, const json_t *report, struct fault *fault)
{
    const json_t *vms = json_object_get(report, "vms"), *vm;
    size_t i;

    if (cli->output == OUTPUT_JSON || cli->output == OUTPUT_YAML)
        return output_object(cli, report, vm_columns, fault);
    if (!output_list(cli, vms, vm_columns, fault))
        return false;
    json_array_foreach (vms, i, vm)
        print_sentences(
            cli, json_get_text(vm, "name") ? json_get_text(vm, "name") : json_get_text(vm, "id"),
            json_object_get(vm, "findings"));
    print_sentences(cli, NULL, json_object_get(report, "findings"));
    say_orphans(cli, json_object_get(report, "orphans"));
    say_end(cli, report);
    return true;
}

static bool recover_run(struct cli *cli, struct fault *fault)
{
    bool apply = args_has(cli->args, "apply");
    CLEANUP(json_decrefp) json_t *report = NULL;

    if (!args_has(cli->args, "scan"))
        return fault_set(fault, CLI_USAGE,
                         "say --scan: it changes nothing unless --apply is given");
    if (apply && !cli_confirm(cli, "Replace vmmd's database by what the copies say?", fault))
        return false;
    report = report_of(cli, apply, fault);
    return report && show(cli, report, fault);
}
