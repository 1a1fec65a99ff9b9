/* The memory of a running machine: see core/port/backend_memory.h. Called by core through
 * backend_qemu. The moment itself is the worker's (vmmd/worker/memory.c); here its overlays are
 * plugged in and its answers are read.
 *
 * Whether QEMU can write memory in the background is asked of QEMU itself: it looks at what the
 * host gives it and at the memory it has. */
#include "backends/qemu/argv.h"
#include "backends/qemu/disk_device.h"
#include "backends/qemu/layers.h"
#include "backends/qemu/machine.h"
#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define TCG_KEEPS_ACCOUNT_SINCE 9 /* QEMU's major version */

static bool call(struct machine *m, enum worker_type type, json_t *taken, const int *fd,
                 json_t **reply, struct err *err)
{
    CLEANUP(json_decrefp) json_t *body = taken;
    CLEANUP(mem_freep) char *text = json_write(body);

    return link_call(m->link, type, text, strlen(text), fd, fd != NULL, QMP_MS, reply, err);
}

/* ---- what could be done ---- */

static void block(struct machine_memory_ways *out, const char *fmt, ...) PRINTF(2, 3);
static void block(struct machine_memory_ways *out, const char *fmt, ...)
{
    va_list args;

    if (out->blocker[0])
        return; /* one is enough */
    va_start(args, fmt);
    vsnprintf(out->blocker, sizeof out->blocker, fmt, args);
    va_end(args);
}

/* QEMU cannot save the state of an NVMe controller, and says so only when it tries. */
static bool look_for_nvme(struct machine *m, struct machine_memory_ways *out, struct err *err)
{
    CLEANUP(json_decrefp) json_t *all = NULL;
    const json_t *one;
    unsigned disk;
    size_t i;

    if (!link_qmp(m->link, "qom-list", json_pack("{s:s}", "path", "/machine/peripheral"), NULL, 0,
                  QMP_MS, &all, err))
        return false;
    json_array_foreach (all, i, one) {
        const char *name = json_get_text(one, "name");
        if (str_eq(json_get_text(one, "type"), "child<nvme>") && name &&
            sscanf(name, "diskdev%u", &disk) == 1)
            block(out,
                  "disk %u is an NVMe disk, whose state QEMU cannot save: take a snapshot of the "
                  "disks alone, or put it on another bus while the VM is off",
                  disk);
    }
    return true;
}

static bool look_for_blockers(struct machine *m, struct machine_memory_ways *out, struct err *err)
{
    CLEANUP(json_decrefp) json_t *now = NULL;
    const char *reason;

    if (!link_qmp(m->link, "query-migrate", NULL, NULL, 0, QMP_MS, &now, err))
        return false;
    reason = json_string_value(json_array_get(json_object_get(now, "blocked-reasons"), 0));
    if (reason)
        block(out, "QEMU cannot save the state of this VM: %.180s", reason);
    str_scrub(out->blocker);
    return look_for_nvme(m, out, err);
}

/* With TCG, QEMU before 9.0 loses pages to a precopy: when it collects which ones were written, it
 * forgets to have the next write to them noticed (docs/memory.md). KVM keeps that account itself.
 */
static bool look_at_precopy(struct machine *m, struct machine_memory_ways *out, struct err *err)
{
    CLEANUP(json_decrefp) json_t *version = NULL;
    CLEANUP(json_decrefp) json_t *kvm = NULL;

    if (!link_qmp(m->link, "query-version", NULL, NULL, 0, QMP_MS, &version, err) ||
        !link_qmp(m->link, "query-kvm", NULL, NULL, 0, QMP_MS, &kvm, err))
        return false;
    out->precopy =
        json_get_bool(kvm, "enabled", false) ||
        json_get_u64(json_object_get(version, "qemu"), "major", 0) >= TCG_KEEPS_ACCOUNT_SINCE;
    return true;
}

bool machine_memory_look(struct machine *m, struct machine_memory_ways *out, struct err *err)
{
    CLEANUP(json_decrefp) json_t *reply = NULL;
    const char *reason;
    struct err why = {0};

    *out = (struct machine_memory_ways){0};
    if (!call(m, WORKER_MEMORY_LOOK, json_object(), NULL, &reply, &why) &&
        why.code != ERR_UNSUPPORTED) {
        *err = why;
        return false;
    }
    if (!json_get_bool(reply, "can", false)) {
        block(out, "an older vmmd started the VM: stop it and start it again, then its memory can "
                   "be kept");
        return true;
    }
    reason = json_get_text(reply, "reason");
    out->background = json_get_bool(reply, "background", false);
    str_copy(out->reason, sizeof out->reason, reason ? reason : "");
    str_scrub(out->reason);
    out->still = json_get_bool(reply, "pause", false);
    out->from_image = json_get_bool(reply, "from_image", false);
    return look_at_precopy(m, out, err) && look_for_blockers(m, out, err);
}

/* ---- begin ---- */

static const char *const way_names[] = {
    [MEMORY_BACKGROUND] = "background", [MEMORY_PRECOPY] = "precopy", [MEMORY_STILL] = "still"};

static const char *way_of(const struct machine_memory_save *save)
{
    return save->way == MEMORY_STILL && save->goes_on ? "pause" : way_names[save->way];
}

/* Of the block that is taken out of QEMU's stream. The image's room was put by for what the VM was
 * started with: one that says more would write the pool full. */
static bool check_ram_bytes(struct machine *m, uint64_t expected, struct err *err)
{
    CLEANUP(json_decrefp) json_t *sizes = NULL;
    uint64_t bytes;

    if (!link_qmp(m->link, "query-memory-size-summary", NULL, NULL, 0, QMP_MS, &sizes, err))
        return false;
    bytes = json_get_u64(sizes, "base-memory", 0);
    return bytes == expected ||
           err_set(err, ERR_HYPERVISOR, "QEMU says that the VM has %llu bytes of memory, not %llu",
                   (unsigned long long)bytes, (unsigned long long)expected);
}

static bool plug_all(struct machine *m, const struct machine_memory_save *save, json_t *overlays,
                     struct err *err)
{
    char node[NODE_BYTES];
    struct top top;

    for (size_t i = 0; i < save->n; i++) {
        if (!layers_plug(m, &save->overlays[i], &top, err))
            return false;
        file_node_name(&save->overlays[i].file, node);
        json_array_append_new(overlays, json_pack("{s:s,s:s}", "node", top.node, "overlay", node));
    }
    return true;
}

static void unplug_all(struct machine *m, const struct machine_memory_save *save)
{
    char node[NODE_BYTES];

    for (size_t i = 0; i < save->n; i++) {
        file_node_name(&save->overlays[i].file, node);
        layers_drop(m, node);
    }
}

/* True as well when nobody knows whether it has begun: then memory_state() says. */
static bool may_have_begun(const struct err *err)
{
    return err->code == ERR_TIMEOUT || err->code == ERR_UNAVAILABLE;
}

static bool begin(struct machine *m, const struct machine_memory_save *save, struct err *err)
{
    CLEANUP(json_decrefp) json_t *overlays = json_array();
    struct err failed = {0};

    if (!check_ram_bytes(m, save->ram_bytes, err))
        return false;
    if (plug_all(m, save, overlays, &failed) && FAILPOINT("qemu.memory", &failed) &&
        call(m, WORKER_MEMORY,
             json_pack("{s:s,s:s,s:I,s:O}", "image", UUID_STR(&save->image), "way", way_of(save),
                       "ram_bytes", (json_int_t)save->ram_bytes, "overlays", overlays),
             &save->fd, NULL, &failed))
        return FAILPOINT("qemu.memory.done", err);
    if (!may_have_begun(&failed))
        unplug_all(m, save);
    *err = failed;
    return false;
}

bool machine_memory_save(struct machine *m, const struct machine_memory_save *save, struct err *err)
{
    int image_fd = save->fd;
    bool ok;

    lock_take(&m->changing);
    ok = begin(m, save, err);
    lock_drop(&m->changing);
    closep(&image_fd);
    for (size_t i = 0; i < save->n; i++) {
        int fd = save->overlays[i].fd;
        closep(&fd);
    }
    return ok;
}

/* ---- how it stands, and its end ---- */

static void read_state(const json_t *now, struct machine_memory_state *out)
{
    const char *state = json_get_text(now, "state"), *error = json_get_text(now, "error");

    out->state = str_eq(state, "writing") ? MEMORY_WRITING
                 : str_eq(state, "ended") ? MEMORY_ENDED
                                          : MEMORY_NONE;
    out->switched = json_get_bool(now, "switched", false);
    out->total = progress_bound(json_get_u64(now, "total", 0), PROGRESS_MAX);
    out->done = progress_bound(json_get_u64(now, "done", 0), out->total);
    out->pause_us = json_get_u64(now, "pause_us", 0);
    out->ram_bytes = json_get_u64(now, "ram_bytes", 0);
    out->held_bytes = json_get_u64(now, "held_bytes", 0);
    out->no_space = json_get_bool(now, "no_space", false);
    str_copy(out->error, sizeof out->error, error ? error : "");
    str_scrub(out->error);
}

bool machine_memory_state(struct machine *m, const struct uuid *image,
                          struct machine_memory_state *out, struct err *err)
{
    CLEANUP(json_decrefp) json_t *now = NULL;
    struct err why = {0};

    *out = (struct machine_memory_state){.state = MEMORY_NONE};
    if (call(m, WORKER_MEMORY_STATE, json_pack("{s:s}", "image", UUID_STR(image)), NULL, &now,
             &why)) {
        read_state(now, out);
        return true;
    }
    if (why.code == ERR_UNSUPPORTED)
        return true; /* an older worker: it cannot have begun */
    *err = why;
    return false;
}

bool machine_memory_end(struct machine *m, const struct uuid *image, bool cancel, struct err *err)
{
    return call(m, WORKER_MEMORY_END,
                json_pack("{s:s,s:b}", "image", UUID_STR(image), "cancel", cancel), NULL, NULL,
                err);
}
