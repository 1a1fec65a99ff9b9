/* The table of QMP commands: see rules.h.
 *
 * What is not here is not sent. Left out on purpose: human-monitor-command (a second, unchecked
 * command language), chardev-add and netdev_add with paths or hosts, xen-*, guest-visible memory
 * dumps to files, what begins with x- but for one query, and migration but for an incoming one from
 * a descriptor (an exec: URI would make QEMU's seccomp filter kill it): a guest's memory is written
 * by the worker itself. */
#include "vmmd/worker/rules.h"

#include "core/base/json.h"
#include "core/base/str.h"

#include <stdlib.h>
#include <string.h>

static bool is_one_of(const char *text, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(text, list[i]))
            return true;
    return false;
}

/* What is plugged in while the guest runs: processors, with numbers for their place. */
static bool is_vcpu(const json_t *arguments)
{
    static const char *const places[] = {"socket-id", "die-id", "core-id", "thread-id", "node-id"};
    static const char suffix[] = "-x86_64-cpu";
    const char *driver = json_get_text(arguments, "driver"), *key;
    size_t len = driver ? strlen(driver) : 0;
    json_t *value;
    bool ok = len >= sizeof suffix && str_eq(driver + len - (sizeof suffix - 1), suffix);

    json_object_foreach ((json_t *)arguments, key, value)
        ok &= is_one_of(key, places, ARRAY_LEN(places))    ? json_is_integer(value)
              : str_eq(key, "driver") || str_eq(key, "id") ? json_is_string(value)
                                                           : false;
    return ok;
}

/* Disks, with the block node they show, and the controllers they sit on. None of their members
 * names anything outside QEMU. */
static bool is_disk(const json_t *arguments)
{
    static const char *const drivers[] = {"virtio-blk-pci",  "scsi-hd",   "nvme",
                                          "virtio-scsi-pci", "qemu-xhci", "usb-bot"};
    static const char *const texts[] = {"driver", "id",     "bus",   "drive",
                                        "serial", "werror", "rerror"};
    static const char *const numbers[] = {"scsi-id", "lun"};
    const char *driver = json_get_text(arguments, "driver"), *key;
    bool ok = is_one_of(driver, drivers, ARRAY_LEN(drivers));
    json_t *value;

    json_object_foreach ((json_t *)arguments, key, value)
        ok &= is_one_of(key, texts, ARRAY_LEN(texts))       ? json_is_string(value)
              : is_one_of(key, numbers, ARRAY_LEN(numbers)) ? json_is_integer(value)
                                                            : false;
    return ok;
}

static bool is_pluggable(const json_t *arguments, struct err *err)
{
    return is_vcpu(arguments) || is_disk(arguments) ||
           err_set(err, ERR_FORBIDDEN, "device_add plugs in processors and disks only");
}

/* A block node reads files that were lent to QEMU, through formats that the jail can hold. */
static bool is_lent_node(const json_t *node, struct err *err)
{
    static const char *const drivers[] = {"file", "raw", "qcow2",        "vpc",     "vhdx",
                                          "vmdk", "nbd", "copy-on-read", "throttle"};
    const char *driver = json_get_text(node, "driver"), *file = json_get_text(node, "filename");
    json_t *value;
    const char *key;

    if ((json_object_get(node, "driver") && !is_one_of(driver, drivers, ARRAY_LEN(drivers))) ||
        (json_object_get(node, "filename") && (!file || !str_starts(file, "/dev/fdset/"))))
        return err_set(err, ERR_FORBIDDEN, "blockdev-add reads lent descriptors only");
    if (str_eq(driver, "nbd") &&
        !str_eq(json_get_text(json_object_get(node, "server"), "type"), "fd"))
        return err_set(err, ERR_FORBIDDEN, "blockdev-add reads lent descriptors only");
    json_object_foreach ((json_t *)node, key, value)
        if (json_is_object(value) && !is_lent_node(value, err))
            return false;
    return true;
}

/* Nodes that are there already, opened again. */
static bool are_lent_nodes(const json_t *arguments, struct err *err)
{
    const json_t *nodes = json_object_get(arguments, "options"), *one;
    size_t i;

    if (!json_is_array(nodes))
        return err_set(err, ERR_FORBIDDEN, "blockdev-reopen reads lent descriptors only");
    json_array_foreach (nodes, i, one)
        if (!is_lent_node(one, err))
            return false;
    return true;
}

/* Several changes of block nodes at once. blockdev-snapshot-sync and its like would open files by
 * name. */
static bool is_node_transaction(const json_t *arguments, struct err *err)
{
    static const char *const types[] = {"blockdev-snapshot",          "block-dirty-bitmap-add",
                                        "block-dirty-bitmap-clear",   "block-dirty-bitmap-enable",
                                        "block-dirty-bitmap-disable", "block-dirty-bitmap-merge"};
    const json_t *actions = json_object_get(arguments, "actions"), *one;
    bool ok = json_array_size(actions) > 0;
    size_t i;

    json_array_foreach (actions, i, one)
        ok &= is_one_of(json_get_text(one, "type"), types, ARRAY_LEN(types));
    return ok || err_set(err, ERR_FORBIDDEN, "a transaction changes known block nodes only");
}

/* Only these members, and only plain values: nothing in them is opened by name. */
static bool has_members(const json_t *arguments, const char *const *known, size_t n,
                        const char *command, struct err *err)
{
    const char *key;
    json_t *value;

    json_object_foreach ((json_t *)arguments, key, value)
        if (!is_one_of(key, known, n) || json_is_object(value) || json_is_array(value))
            return err_set(err, ERR_FORBIDDEN, "%s takes names of known block nodes only", command);
    return true;
}

static bool is_node_mirror(const json_t *arguments, struct err *err)
{
    static const char *const known[] = {
        "job-id",          "device",          "target",        "sync",  "copy-mode",
        "on-source-error", "on-target-error", "auto-finalize", "speed", "filter-node-name",
        "granularity",     "buf-size",        "auto-dismiss"};

    return has_members(arguments, known, ARRAY_LEN(known), "blockdev-mirror", err);
}

/* 'backing-file' goes into an image's header, for people: a plain name. */
static bool is_node_commit(const json_t *arguments, struct err *err)
{
    static const char *const known[] = {
        "job-id",   "device", "top-node",      "base-node",    "backing-file",
        "on-error", "speed",  "auto-finalize", "auto-dismiss", "filter-node-name"};
    const char *name = json_get_text(arguments, "backing-file");

    return has_members(arguments, known, ARRAY_LEN(known), "block-commit", err) &&
           (!name || !strpbrk(name, "/:") ||
            err_set(err, ERR_FORBIDDEN, "block-commit writes a plain name into a header"));
}

/* What an incoming stream has to be told of. */
static bool is_for_incoming(const json_t *arguments, struct err *err)
{
    static const char *const known[] = {"x-ignore-shared", "events"};
    const json_t *all = json_object_get(arguments, "capabilities"), *one;
    bool ok = json_array_size(all) > 0;
    size_t i;

    json_array_foreach (all, i, one)
        ok &= is_one_of(json_get_text(one, "capability"), known, ARRAY_LEN(known));
    return ok || err_set(err, ERR_FORBIDDEN,
                         "migrate-set-capabilities is for what is read from an image only");
}

/* A socket that was handed over by name: a number would be one that QEMU has for something else. */
static bool is_lent_socket(const json_t *arguments, struct err *err)
{
    const json_t *addr = json_object_get(arguments, "addr");
    const char *name = json_get_text(json_object_get(addr, "data"), "str");

    return (str_eq(json_get_text(addr, "type"), "fd") && name && !strpbrk(name, "0123456789") &&
            !json_object_get(arguments, "tls-creds")) ||
           err_set(err, ERR_FORBIDDEN, "nbd-server-start listens on a lent socket only");
}

static bool is_reader(const json_t *arguments, struct err *err)
{
    static const char *const known[] = {"type", "id",       "node-name",
                                        "name", "writable", "allocation-depth"};

    return has_members(arguments, known, ARRAY_LEN(known), "block-export-add", err) &&
           ((str_eq(json_get_text(arguments, "type"), "nbd") &&
             !json_get_bool(arguments, "writable", true)) ||
            err_set(err, ERR_FORBIDDEN, "block-export-add serves by NBD, for reading only"));
}

/* Sorted: looked up by bisection. 'fd_member' names an argument that must be "fd:…", 'file_member'
 * one that must lie in /dev/fdset/; 'check' looks at all of them. */
static const struct rule {
    const char *name;
    const char *fd_member;
    const char *file_member;
    bool (*check)(const json_t *arguments, struct err *err); /* NULL: nothing else */
} rules[] = {
    {"add-fd", NULL, NULL, NULL},
    {"add_client", NULL, NULL, NULL},
    {"balloon", NULL, NULL, NULL},
    {"block-commit", NULL, NULL, is_node_commit},
    {"block-dirty-bitmap-add", NULL, NULL, NULL},
    {"block-dirty-bitmap-clear", NULL, NULL, NULL},
    {"block-dirty-bitmap-disable", NULL, NULL, NULL},
    {"block-dirty-bitmap-enable", NULL, NULL, NULL},
    {"block-dirty-bitmap-merge", NULL, NULL, NULL},
    {"block-dirty-bitmap-remove", NULL, NULL, NULL},
    {"block-export-add", NULL, NULL, is_reader},
    {"block-job-cancel", NULL, NULL, NULL},
    {"block-job-complete", NULL, NULL, NULL},
    {"block-job-dismiss", NULL, NULL, NULL},
    {"block-job-finalize", NULL, NULL, NULL},
    {"block-job-pause", NULL, NULL, NULL},
    {"block-job-resume", NULL, NULL, NULL},
    {"block-job-set-speed", NULL, NULL, NULL},
    {"block-stream", NULL, NULL, NULL},
    {"block_resize", NULL, NULL, NULL},
    {"block_set_io_throttle", NULL, NULL, NULL},
    {"blockdev-add", NULL, NULL, is_lent_node},
    {"blockdev-backup", NULL, NULL, NULL},
    {"blockdev-change-medium", NULL, "filename", NULL},
    {"blockdev-close-tray", NULL, NULL, NULL},
    {"blockdev-create", NULL, NULL, NULL},
    {"blockdev-del", NULL, NULL, NULL},
    {"blockdev-insert-medium", NULL, NULL, NULL},
    {"blockdev-mirror", NULL, NULL, is_node_mirror},
    {"blockdev-open-tray", NULL, NULL, NULL},
    {"blockdev-remove-medium", NULL, NULL, NULL},
    {"blockdev-reopen", NULL, NULL, are_lent_nodes},
    {"blockdev-snapshot", NULL, NULL, NULL},
    {"change-backing-file", NULL, NULL, NULL},
    {"closefd", NULL, NULL, NULL},
    {"cont", NULL, NULL, NULL},
    {"device_add", NULL, NULL, is_pluggable},
    {"device_del", NULL, NULL, NULL},
    {"eject", NULL, NULL, NULL},
    {"getfd", NULL, NULL, NULL},
    {"inject-nmi", NULL, NULL, NULL},
    {"input-send-event", NULL, NULL, NULL},
    {"job-cancel", NULL, NULL, NULL},
    {"job-complete", NULL, NULL, NULL},
    {"job-dismiss", NULL, NULL, NULL},
    {"job-finalize", NULL, NULL, NULL},
    {"job-pause", NULL, NULL, NULL},
    {"job-resume", NULL, NULL, NULL},
    {"migrate-incoming", "uri", NULL, NULL},
    {"migrate-set-capabilities", NULL, NULL, is_for_incoming},
    {"nbd-server-add", NULL, NULL, NULL},
    {"nbd-server-remove", NULL, NULL, NULL},
    {"nbd-server-start", NULL, NULL, is_lent_socket},
    {"object-add", NULL, NULL, NULL},
    {"object-del", NULL, NULL, NULL},
    {"qom-get", NULL, NULL, NULL},
    {"qom-list", NULL, NULL, NULL},
    {"qom-set", NULL, NULL, NULL},
    {"quit", NULL, NULL, NULL},
    {"remove-fd", NULL, NULL, NULL},
    {"screendump", NULL, "filename", NULL},
    {"send-key", NULL, NULL, NULL},
    {"set_link", NULL, NULL, NULL},
    {"stop", NULL, NULL, NULL},
    {"system_powerdown", NULL, NULL, NULL},
    {"system_reset", NULL, NULL, NULL},
    {"system_wakeup", NULL, NULL, NULL},
    {"transaction", NULL, NULL, is_node_transaction},
    {"x-query-usb", NULL, NULL, NULL}, /* the only one that tells a device's port */
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
    return !rule->check || rule->check(arguments, err);
}
