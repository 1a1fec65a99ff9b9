/* What it takes to go on with a machine's memory: noted when an image is made (places.h has the
 * form), compared when somebody wants to go on. Called by core through backend_qemu.
 *
 * A machine type with a version is the same for every QEMU that has it, and a newer QEMU reads what
 * an older one wrote; not the other way. Two processors are never the same by name: "max" is all
 * that a version of QEMU can emulate, and "host" all that this host's processor has. */
#include "backends/qemu/memory_fit.h"

#include "backends/qemu/machine.h"
#include "backends/qemu/places.h"
#include "backends/qemu/version.h"
#include "core/base/capture.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/port/host.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CPUINFO     "/proc/cpuinfo"
#define CPUINFO_MAX (4u << 20)
#define CPU_SUFFIX  "-x86_64-cpu"
#define LIST_MS     5000

#define GIVE_UP "or give the memory up"

/* ---- the host's processor ---- */

/* The first "key : value" of the text; NULL when there is none. The caller's. */
static char *cpuinfo_value(const char *text, const char *key)
{
    size_t len = strlen(key);

    for (const char *line = text; line && *line;) {
        const char *end = line + strcspn(line, "\n"), *at = line + len;
        if (strncmp(line, key, len) == 0) {
            at += strspn(at, " \t");
            if (*at == ':') {
                at++;
                at += strspn(at, " \t");
                return str_format("%.*s", (int)(end > at ? end - at : 0), at);
            }
        }
        line = *end ? end + 1 : end;
    }
    return NULL;
}

/* FNV-1a: two lists of features are the same or not. */
static uint64_t digest(const char *text)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (; *text; text++)
        hash = (hash ^ (uint8_t)*text) * UINT64_C(0x100000001b3);
    return hash;
}

json_t *fit_host_cpu(const char *text)
{
    CLEANUP(mem_freep) char *name = cpuinfo_value(text, "model name");
    CLEANUP(mem_freep) char *vendor = cpuinfo_value(text, "vendor_id");
    CLEANUP(mem_freep) char *family = cpuinfo_value(text, "cpu family");
    CLEANUP(mem_freep) char *model = cpuinfo_value(text, "model");
    CLEANUP(mem_freep) char *stepping = cpuinfo_value(text, "stepping");
    CLEANUP(mem_freep) char *flags = cpuinfo_value(text, "flags");
    CLEANUP(mem_freep)
    char *id = str_format("%s-%s-%s-%s", vendor ? vendor : "?", family ? family : "?",
                          model ? model : "?", stepping ? stepping : "?");
    CLEANUP(mem_freep) char *features = str_format("%016" PRIx64, digest(flags ? flags : ""));

    return json_pack("{s:s,s:s,s:s}", "name", name ? name : id, "id", id, "features", features);
}

static json_t *host_cpu(void)
{
    CLEANUP(closep) int fd = open(CPUINFO, O_RDONLY | O_CLOEXEC);
    CLEANUP(mem_freep) char *text = NULL;
    struct err err = {0};

    if (fd < 0 || !fs_read_all(fd, CPUINFO_MAX, &text, NULL, &err))
        return fit_host_cpu("");
    return fit_host_cpu(text);
}

/* ---- what a machine is ---- */

static bool type_of(struct machine *m, const char *path, const char *suffix, char *out, size_t size,
                    struct err *err)
{
    CLEANUP(json_decrefp) json_t *type = NULL;
    const char *text;
    size_t len, tail = strlen(suffix);

    if (!link_qmp(m->link, "qom-get", json_pack("{s:s,s:s}", "path", path, "property", "type"),
                  NULL, 0, QMP_MS, &type, err))
        return false;
    text = json_string_value(type);
    len = text ? strlen(text) : 0;
    if (len <= tail || len - tail >= size || !str_eq(text + len - tail, suffix))
        return err_set(err, ERR_HYPERVISOR, "QEMU does not say what %s is", path);
    str_copy(out, len - tail + 1, text);
    return true;
}

static bool note_version(struct machine *m, json_t *made, struct err *err)
{
    CLEANUP(json_decrefp) json_t *version = NULL;
    const json_t *q;
    char text[40];

    if (!link_qmp(m->link, "query-version", NULL, NULL, 0, QMP_MS, &version, err))
        return false;
    q = json_object_get(version, "qemu");
    snprintf(text, sizeof text, "%u.%u.%u", (unsigned)json_get_u64(q, "major", 0),
             (unsigned)json_get_u64(q, "minor", 0), (unsigned)json_get_u64(q, "micro", 0));
    json_put_text(made, "qemu", text);
    return true;
}

static bool note_types(struct machine *m, json_t *made, struct err *err)
{
    CLEANUP(json_decrefp) json_t *cpus = NULL;
    char machine[64], cpu[64];
    const char *path;

    if (!link_qmp(m->link, "query-cpus-fast", NULL, NULL, 0, QMP_MS, &cpus, err))
        return false;
    path = json_get_text(json_array_get(cpus, 0), "qom-path");
    if (!path)
        return err_set(err, ERR_HYPERVISOR, "QEMU does not name its processors");
    if (!type_of(m, "/machine", "-machine", machine, sizeof machine, err) ||
        !type_of(m, path, CPU_SUFFIX, cpu, sizeof cpu, err))
        return false;
    json_put_text(made, "machine", machine);
    json_put_text(made, "cpu", cpu);
    return true;
}

static bool note_accel(struct machine *m, json_t *made, struct err *err)
{
    CLEANUP(json_decrefp) json_t *kvm = NULL;

    if (!link_qmp(m->link, "query-kvm", NULL, NULL, 0, QMP_MS, &kvm, err))
        return false;
    if (json_get_bool(kvm, "enabled", false)) {
        json_put_text(made, "accel", vm_accel_names[VM_ACCEL_KVM]);
        json_put(made, "host_cpu", host_cpu());
    } else {
        json_put_text(made, "accel", vm_accel_names[VM_ACCEL_TCG]);
    }
    return true;
}

bool machine_memory_made(struct machine *m, char **made, struct err *err)
{
    CLEANUP(json_decrefp) json_t *json = json_object();
    bool ok;

    json_put_u64(json, "version", 1);
    lock_take(&m->changing); /* what is being plugged in has its place afterwards */
    ok = note_version(m, json, err) && note_types(m, json, err) && note_accel(m, json, err) &&
         places_look(m, json, err);
    lock_drop(&m->changing);
    *made = ok ? json_write(json) : NULL;
    return ok;
}

/* ---- whether it fits ---- */

struct version {
    unsigned major, minor;
};

static struct version version_of(const char *text)
{
    struct version v = {0};

    if (!text || sscanf(text, "%u.%u", &v.major, &v.minor) != 2)
        v = (struct version){0};
    return v;
}

static bool is_older(struct version a, struct version b)
{
    return a.major < b.major || (a.major == b.major && a.minor < b.minor);
}

static bool is_same(struct version a, struct version b)
{
    return a.major == b.major && a.minor == b.minor;
}

static bool check_qemu(const json_t *made, const struct fit_host *host, struct err *err)
{
    const char *theirs = json_get_text(made, "qemu"), *cpu = json_get_text(made, "cpu");
    struct version then = version_of(theirs), now = version_of(host->qemu);

    if (is_older(now, then))
        return err_set(err, ERR_UNSUPPORTED,
                       "the memory was written by QEMU %s, and this host's is older (%s): install "
                       "%u.%u or newer, " GIVE_UP,
                       theirs, host->qemu[0] ? host->qemu : "none", then.major, then.minor);
    if (is_same(now, then))
        return true;
    if (str_eq(cpu, "max"))
        return err_set(err, ERR_UNSUPPORTED,
                       "the VM's processor is all that QEMU %s emulates, and this host's QEMU %s "
                       "emulates another one: install %u.%u, " GIVE_UP,
                       theirs, host->qemu, then.major, then.minor);
    return host->knows(host->ctx, places_machine(made)) ||
           err_set(err, ERR_UNSUPPORTED,
                   "this host's QEMU %s has no machine '%s' any more: install %u.%u, " GIVE_UP,
                   host->qemu, places_machine(made), then.major, then.minor);
}

static bool check_machine(const json_t *made, const struct vm_spec *spec, enum vm_accel accel,
                          struct err *err)
{
    const char *model = spec->cpu.model ? spec->cpu.model : accel == VM_ACCEL_KVM ? "host" : "max";
    bool q35 = str_starts(places_machine(made), "pc-q35-");

    if (q35 != (spec->machine == VM_MACHINE_Q35))
        return err_set(err, ERR_UNSUPPORTED,
                       "the memory belongs to a machine of the kind '%s': change it back, " GIVE_UP,
                       vm_machine_names[q35 ? VM_MACHINE_Q35 : VM_MACHINE_PC]);
    if (!str_eq(json_get_text(made, "accel"), vm_accel_names[accel]))
        return err_set(err, ERR_UNSUPPORTED,
                       "the memory was written with the acceleration '%s', and the VM would start "
                       "with '%s': make that possible again (vmmctl doctor), " GIVE_UP,
                       json_get_text(made, "accel"), vm_accel_names[accel]);
    return str_eq(json_get_text(made, "cpu"), model) ||
           err_set(err, ERR_UNSUPPORTED,
                   "the memory belongs to a processor '%s', and the VM would start with '%s': "
                   "change it back, " GIVE_UP,
                   json_get_text(made, "cpu"), model);
}

/* Emulated processors are the same everywhere. */
static bool check_host_cpu(const json_t *made, const struct fit_host *host, struct err *err)
{
    const json_t *then = json_object_get(made, "host_cpu");
    const char *name = json_get_text(then, "name"), *here = json_get_text(host->cpu, "name");

    if (!str_eq(json_get_text(made, "accel"), vm_accel_names[VM_ACCEL_KVM]) ||
        (str_eq(json_get_text(then, "id"), json_get_text(host->cpu, "id")) &&
         str_eq(json_get_text(then, "features"), json_get_text(host->cpu, "features"))))
        return true;
    return err_set(err, ERR_UNSUPPORTED,
                   "the memory was written on a host with another processor ('%s' instead of '%s', "
                   "or other features of it): go on there, " GIVE_UP,
                   name ? name : "unknown", here ? here : "unknown");
}

bool fit_check(const json_t *made, const struct fit_host *host, const struct vm_spec *spec,
               enum vm_accel accel, struct err *err)
{
    return check_machine(made, spec, accel, err) && check_qemu(made, host, err) &&
           check_host_cpu(made, host, err);
}

/* "pc-q35-7.2           Standard PC (Q35 + ICH9, 2009)" is a line of QEMU's list. */
static bool qemu_knows(void *ctx, const char *machine)
{
    char *const argv[] = {(char *)host_qemu_path(), "-machine", "help", NULL};
    CLEANUP(mem_freep) char *line = str_format("\n%s ", machine);
    struct err err = {0};
    struct capture run;

    if (!capture_run(argv, -1, LIST_MS, &run, &err)) {
        err_ignore(false, &err);
        return false;
    }
    return !run.timed_out && run.wstatus == 0 && strstr(run.text, line);
}

bool machine_memory_fits(const char *made, const struct vm_spec *spec, enum vm_accel accel,
                         struct err *err)
{
    CLEANUP(json_decrefp) json_t *json = places_read(made, err);
    CLEANUP(json_decrefp) json_t *cpu = host_cpu();
    char version[64];
    struct fit_host host = {.qemu = version, .cpu = cpu, .knows = qemu_knows};

    if (!json)
        return false;
    qemu_version(version, sizeof version);
    return fit_check(json, &host, spec, accel, err);
}
