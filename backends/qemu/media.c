/* Changing the medium of a CD drive: see media.h. Called by core through backend_qemu.
 *
 *   open the tray ─► take the medium out ─► its node and descriptor set go ─► lend the new one's
 *   descriptor ─► node ─► put it in ─► close the tray
 *
 * Every step asks QEMU how the drive stands, so a change that was cut off is finished by the next
 * one. A guest that has locked the tray is asked to let go first, as by the drive's button; a
 * medium is never torn out of a mounted file system. */
#include "backends/qemu/media.h"

#include "backends/qemu/machine.h"
#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/str.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#define GUEST_MS 3000 /* for a guest to unmount after the button */
#define LOOK_MS  50

json_t *media_node(unsigned drive, unsigned set)
{
    char name[32], file[40], path[32];

    snprintf(name, sizeof name, "cd%u-%u", drive, set);
    snprintf(file, sizeof file, "%s-f", name);
    snprintf(path, sizeof path, "/dev/fdset/%u", set);
    return json_pack("{s:s,s:s,s:b,s:{s:s,s:s,s:s,s:b,s:s}}", "driver", "raw", "node-name", name,
                     "read-only", 1, "file", "driver", "file", "node-name", file, "filename", path,
                     "read-only", 1, "locking", "off");
}

/* How a drive stands. */
struct tray {
    char id[16]; /* of the device */
    bool open;
    char node[40]; /* of the medium; "" when empty */
};

static bool look(struct machine *m, unsigned drive, struct tray *out, struct err *err)
{
    CLEANUP(json_decrefp) json_t *all = NULL;
    const json_t *one;
    size_t i;

    *out = (struct tray){0};
    snprintf(out->id, sizeof out->id, "cd%u", drive);
    if (!link_qmp(m->link, "query-block", NULL, NULL, 0, QMP_MS, &all, err))
        return false;
    json_array_foreach (all, i, one) {
        const char *qdev = json_get_text(one, "qdev");
        const char *node = json_get_text(json_object_get(one, "inserted"), "node-name");
        if (!str_eq(qdev, out->id))
            continue;
        out->open = json_get_bool(one, "tray_open", false);
        if (node)
            str_copy(out->node, sizeof out->node, node);
        return true;
    }
    return err_set(err, ERR_INVALID, "the VM has no CD drive %u", drive);
}

static bool of_drive(struct machine *m, const char *command, const struct tray *tray,
                     struct err *err)
{
    return link_qmp(m->link, command, json_pack("{s:s}", "id", tray->id), NULL, 0, QMP_MS, NULL,
                    err);
}

/* The button was pressed; waits for the guest to let go. */
static bool wait_open(struct machine *m, unsigned drive, struct tray *tray, struct err *err)
{
    int64_t deadline_ms = clock_mono_ms() + GUEST_MS;

    while (!tray->open) {
        if (clock_left_ms(deadline_ms) == 0)
            return err_set(err, ERR_WRONG_STATE,
                           "the guest keeps the tray of CD drive %u locked: unmount or eject the "
                           "medium in the guest first",
                           drive);
        poll(NULL, 0, LOOK_MS);
        if (!look(m, drive, tray, err))
            return false;
    }
    return true;
}

static bool open_tray(struct machine *m, unsigned drive, struct tray *tray, struct err *err)
{
    struct err refused = {0};

    if (!look(m, drive, tray, err))
        return false;
    if (tray->open)
        return true;
    if (of_drive(m, "blockdev-open-tray", tray, &refused))
        return look(m, drive, tray, err);
    if (strstr(refused.detail, "locked"))
        return wait_open(m, drive, tray, err);
    *err = refused;
    return false;
}

static bool drop_node(struct machine *m, const char *node, struct err *err)
{
    unsigned drive, set;
    char rest;

    if (!link_qmp(m->link, "blockdev-del", json_pack("{s:s}", "node-name", node), NULL, 0, QMP_MS,
                  NULL, err))
        return false;
    if (sscanf(node, "cd%u-%u%c", &drive, &set, &rest) == 2)
        fdset_take_back(m, set);
    return true;
}

static bool take_out(struct machine *m, const struct tray *tray, struct err *err)
{
    return !tray->node[0] ||
           (of_drive(m, "blockdev-remove-medium", tray, err) && drop_node(m, tray->node, err));
}

/* What a change left that was cut off: nodes that are in no drive, and descriptors without a node.
 * The medium of this drive is out. */
static void sweep(struct machine *m, const struct tray *tray)
{
    CLEANUP(json_decrefp) json_t *all = NULL;
    struct err ignored = {0};
    unsigned drive, set, n = 0;
    const json_t *one;
    char id[16], rest;
    size_t i;

    if (!link_qmp(m->link, "query-named-block-nodes", json_pack("{s:b}", "flat", 1), NULL, 0,
                  QMP_MS, &all, &ignored))
        return;
    json_array_foreach (all, i, one) {
        const char *node = json_get_text(one, "node-name");
        if (!node || sscanf(node, "cd%u-%u%c", &drive, &set, &rest) != 2)
            continue;
        snprintf(id, sizeof id, "cd%u", drive);
        if (str_eq(id, tray->id) && n++ < TIDY_MAX)
            err_ignore(drop_node(m, node, &ignored), &ignored);
    }
    fdset_take_back_all(m, tray->id);
}

static bool clear(struct machine *m, const struct tray *tray, struct err *err)
{
    if (!take_out(m, tray, err))
        return false;
    sweep(m, tray);
    return true;
}

static bool insert(struct machine *m, const struct tray *tray, const char *node, struct err *err)
{
    return link_qmp(m->link, "blockdev-insert-medium",
                    json_pack("{s:s,s:s}", "id", tray->id, "node-name", node), NULL, 0, QMP_MS,
                    NULL, err);
}

static bool put_in(struct machine *m, unsigned drive, const struct tray *tray, int fd,
                   struct err *err)
{
    struct err ignored = {0};
    char node[40];
    unsigned set;

    if (!fdset_lend(m, fd, tray->id, &set, err))
        return false;
    snprintf(node, sizeof node, "cd%u-%u", drive, set);
    if (!link_qmp(m->link, "blockdev-add", media_node(drive, set), NULL, 0, QMP_MS, NULL, err)) {
        fdset_take_back(m, set);
        return false;
    }
    if (insert(m, tray, node, err))
        return true;
    err_ignore(drop_node(m, node, &ignored), &ignored);
    return false;
}

static bool change(struct machine *m, unsigned drive, int fd, struct err *err)
{
    struct tray tray;

    return FAILPOINT("qemu.media", err) && open_tray(m, drive, &tray, err) &&
           FAILPOINT_AROUND("qemu.media.out", clear(m, &tray, err), err) &&
           (fd < 0 || put_in(m, drive, &tray, fd, err)) &&
           FAILPOINT_AROUND("qemu.media.close", of_drive(m, "blockdev-close-tray", &tray, err),
                            err);
}

bool machine_media(struct machine *m, unsigned drive, int fd, struct err *err)
{
    CLEANUP(closep) int taken = fd;
    bool ok;

    lock_take(&m->changing);
    ok = change(m, drive, taken, err);
    lock_drop(&m->changing);
    return ok;
}
