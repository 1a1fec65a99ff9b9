/* The table of QMP commands: see rules.h.
 *
 * What is not here is not sent. Left out on purpose: human-monitor-command (a second, unchecked
 * command language), chardev-add and netdev_add with paths or hosts, xen-*, guest-visible memory
 * dumps to files, and everything whose name begins with x-. Migration goes to descriptors only: an
 * exec: URI would make QEMU's seccomp filter kill it. */
#include "vmmd/worker/rules.h"

#include "core/base/json.h"
#include "core/base/str.h"

#include <stdlib.h>
#include <string.h>

/* Sorted: looked up by bisection. 'fd_member' names an argument that must be "fd:…", 'file_member'
 * one that must lie in /dev/fdset/. */
static const struct rule {
    const char *name;
    const char *fd_member;
    const char *file_member;
} rules[] = {
    {"add-fd", NULL, NULL},
    {"add_client", NULL, NULL},
    {"balloon", NULL, NULL},
    {"block-commit", NULL, NULL},
    {"block-dirty-bitmap-add", NULL, NULL},
    {"block-dirty-bitmap-clear", NULL, NULL},
    {"block-dirty-bitmap-disable", NULL, NULL},
    {"block-dirty-bitmap-enable", NULL, NULL},
    {"block-dirty-bitmap-merge", NULL, NULL},
    {"block-dirty-bitmap-remove", NULL, NULL},
    {"block-job-cancel", NULL, NULL},
    {"block-job-complete", NULL, NULL},
    {"block-job-dismiss", NULL, NULL},
    {"block-job-finalize", NULL, NULL},
    {"block-job-pause", NULL, NULL},
    {"block-job-resume", NULL, NULL},
    {"block-job-set-speed", NULL, NULL},
    {"block-stream", NULL, NULL},
    {"block_resize", NULL, NULL},
    {"block_set_io_throttle", NULL, NULL},
    {"blockdev-add", NULL, NULL},
    {"blockdev-backup", NULL, NULL},
    {"blockdev-change-medium", NULL, "filename"},
    {"blockdev-close-tray", NULL, NULL},
    {"blockdev-create", NULL, NULL},
    {"blockdev-del", NULL, NULL},
    {"blockdev-insert-medium", NULL, NULL},
    {"blockdev-mirror", NULL, NULL},
    {"blockdev-open-tray", NULL, NULL},
    {"blockdev-remove-medium", NULL, NULL},
    {"blockdev-reopen", NULL, NULL},
    {"blockdev-snapshot", NULL, NULL},
    {"change-backing-file", NULL, NULL},
    {"closefd", NULL, NULL},
    {"cont", NULL, NULL},
    {"device_add", NULL, NULL},
    {"device_del", NULL, NULL},
    {"eject", NULL, NULL},
    {"getfd", NULL, NULL},
    {"inject-nmi", NULL, NULL},
    {"input-send-event", NULL, NULL},
    {"job-cancel", NULL, NULL},
    {"job-complete", NULL, NULL},
    {"job-dismiss", NULL, NULL},
    {"job-finalize", NULL, NULL},
    {"job-pause", NULL, NULL},
    {"job-resume", NULL, NULL},
    {"migrate", "uri", NULL},
    {"migrate-continue", NULL, NULL},
    {"migrate-incoming", "uri", NULL},
    {"migrate-set-capabilities", NULL, NULL},
    {"migrate-set-parameters", NULL, NULL},
    {"migrate_cancel", NULL, NULL},
    {"nbd-server-add", NULL, NULL},
    {"nbd-server-remove", NULL, NULL},
    {"object-add", NULL, NULL},
    {"object-del", NULL, NULL},
    {"qom-get", NULL, NULL},
    {"qom-list", NULL, NULL},
    {"qom-set", NULL, NULL},
    {"quit", NULL, NULL},
    {"remove-fd", NULL, NULL},
    {"screendump", NULL, "filename"},
    {"send-key", NULL, NULL},
    {"set_link", NULL, NULL},
    {"stop", NULL, NULL},
    {"system_powerdown", NULL, NULL},
    {"system_reset", NULL, NULL},
    {"system_wakeup", NULL, NULL},
    {"transaction", NULL, NULL},
};

static int compare(const void *name, const void *rule)
{
    return strcmp(name, ((const struct rule *)rule)->name);
}

static bool starts_with(const json_t *arguments, const char *member, const char *prefix)
{
    const char *text = member ? json_get_text(arguments, member) : prefix;

    return text && str_starts(text, prefix);
}

/* query-…: answers from QEMU's own state; a name of letters and dashes, so nothing hides in it. */
static bool is_query(const char *name)
{
    return str_starts(name, "query-") &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_") == strlen(name);
}

static bool has_only_known(const json_t *request)
{
    const char *key;
    json_t *value;

    json_object_foreach ((json_t *)request, key, value)
        if (!str_eq(key, "execute") && !str_eq(key, "arguments"))
            return false;
    return true;
}

bool rules_check(const json_t *request, const char **command, struct err *err)
{
    const char *name = json_get_text(request, "execute");
    const json_t *arguments = json_object_get(request, "arguments");
    const struct rule *rule;

    if (!name || (arguments && !json_is_object(arguments)) || !has_only_known(request))
        return err_set(err, ERR_INVALID, "a QMP request has \"execute\" and \"arguments\" only");
    *command = name;
    if (is_query(name))
        return true;
    rule = bsearch(name, rules, ARRAY_LEN(rules), sizeof *rules, compare);
    if (!rule)
        return err_set(err, ERR_FORBIDDEN, "the worker does not pass on the QMP command '%.64s'",
                       name);
    if (!starts_with(arguments, rule->fd_member, "fd:") ||
        !starts_with(arguments, rule->file_member, "/dev/fdset/"))
        return err_set(err, ERR_FORBIDDEN, "%s goes to passed descriptors only", name);
    return true;
}
