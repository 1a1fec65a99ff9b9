/* The host as the API shows it, and the choice of accelerator: see host.h. */
#include "core/host/host.h"

#include "core/base/fs.h"
#include "core/base/str.h"
#include "core/core/parts.h"
#include "core/host/memory.h"
#include "core/host/survey.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

bool host_choose_accel(struct core *core, enum vm_accel wanted, enum vm_accel *chosen,
                       char reason[256], struct err *err)
{
    const struct backend_probe *p = &core->probe;

    if (wanted == VM_ACCEL_KVM && !p->kvm_healthy)
        return err_field(err, ERR_UNSUPPORTED, "/accel",
                         "accel is kvm, but %s. %s; or set accel to auto", p->kvm_verdict,
                         p->kvm_fix);
    *chosen = wanted == VM_ACCEL_TCG || !p->kvm_healthy ? VM_ACCEL_TCG : VM_ACCEL_KVM;
    if (wanted == VM_ACCEL_TCG)
        str_copy(reason, 256, "accel is tcg in the VM's configuration");
    else
        str_copy(reason, 256, p->kvm_verdict);
    return true;
}

static json_t *accel_view(struct core *core)
{
    const struct backend_probe *p = &core->probe;
    json_t *v = json_object(), *kvm = json_object();

    json_put_text(kvm, "state", p->kvm_state);
    json_put_text(kvm, "verdict", p->kvm_verdict);
    json_put_text(kvm, "fix", p->kvm_fix[0] ? p->kvm_fix : NULL);
    json_put_u64(kvm, "minsn_per_s", p->kvm_minsn_s);
    json_put_text(v, "chosen", p->kvm_healthy ? "kvm" : "tcg");
    json_put_text(v, "reason", p->kvm_verdict);
    json_put(v, "kvm", kvm);
    return v;
}

static json_t *memory_view(void)
{
    uint64_t total = 0, available = 0;
    json_t *v = json_object();
    struct err err = {0};

    err_ignore(memory_read(&total, &available, &err), &err);
    json_put_u64(v, "total_bytes", total);
    json_put_u64(v, "available_bytes", available);
    return v;
}

static json_t *qemu_view(struct core *core)
{
    json_t *v = json_object();

    json_put_bool(v, "found", core->probe.qemu_found);
    json_put_text(v, "version", core->probe.qemu_version[0] ? core->probe.qemu_version : NULL);
    json_put_text(v, "path", host_qemu_path());
    return v;
}

static json_t *isolation_view(struct core *core)
{
    json_t *v = json_object();

    json_put_bool(v, "root", core->facts.root);
    json_put_bool(v, "user_namespaces", core->facts.userns);
    json_put_bool(v, "cgroup_v2", core->facts.cgroup_v2);
    json_put_u64(v, "slots", core->facts.slots);
    return v;
}

static const char *const limit_names[HOST_LIMITS] = {[HOST_LIMIT_CPU] = "cpu",
                                                     [HOST_LIMIT_MEMORY] = "memory",
                                                     [HOST_LIMIT_IO] = "io",
                                                     [HOST_LIMIT_PIDS] = "pids"};

static void add_word(char out[64], const char *word)
{
    size_t len = strlen(out);

    snprintf(out + len, 64 - len, "%s%s", len ? ", " : "", word);
}

bool host_enforces(struct core *core, const struct vm_spec *spec, char missing[64], struct err *err)
{
    const struct vm_limits *l = &spec->limits;
    const bool asked[HOST_LIMITS] = {
        [HOST_LIMIT_CPU] = l->cpu_weight || l->cpu_percent,
        [HOST_LIMIT_MEMORY] = spec->require_limits || l->memory_extra_bytes,
        [HOST_LIMIT_IO] = l->io_weight,
        [HOST_LIMIT_PIDS] = l->pids,
    };
    char names[64] = "";

    for (unsigned i = 0; i < HOST_LIMITS; i++)
        if (asked[i] && core->facts.limits[i] == HOST_LIMIT_UNSUPPORTED)
            add_word(names, limit_names[i]);
    if (missing)
        str_copy(missing, 64, names);
    return !names[0] ||
           err_field(err, ERR_UNSUPPORTED, "/require_limits",
                     "this host cannot enforce limits of %s: run vmmd as root or from its systemd "
                     "unit on a kernel with these cgroup controllers ('vmmctl doctor' says more), "
                     "or set require_limits to false",
                     names);
}

bool host_may_require(struct core *core, const struct vm_spec *old, const struct vm_spec *spec,
                      struct err *err)
{
    struct err before = {0};

    if (old && old->require_limits && !host_enforces(core, old, NULL, &before))
        return true;
    return !spec->require_limits || host_enforces(core, spec, NULL, err);
}

static const char *const limit_ways[] = {
    [HOST_LIMIT_UNSUPPORTED] = "unsupported", [HOST_LIMIT_BY_V1] = "v1", [HOST_LIMIT_BY_V2] = "v2"};

void host_limits_words(const struct core *core, char have[64], char lack[64])
{
    *have = *lack = 0;
    for (unsigned i = 0; i < HOST_LIMITS; i++)
        if (core->facts.limits[i] == HOST_LIMIT_UNSUPPORTED)
            add_word(lack, limit_names[i]);
        else
            add_word(have, limit_names[i]);
}

/* What guests can be limited in. */
static json_t *limits_view(struct core *core)
{
    json_t *v = json_object();

    for (unsigned i = 0; i < HOST_LIMITS; i++)
        json_put_text(v, limit_names[i], limit_ways[core->facts.limits[i]]);
    return v;
}

static json_t *roots_view(struct core *core)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < host_roots(); i++) {
        json_t *v = json_object();
        uint64_t total, free_bytes;
        struct err err = {0};
        bool ok =
            core->root_dirs[i] >= 0 && fs_space(core->root_dirs[i], &total, &free_bytes, &err);
        json_put_text(v, "id", host_root_id(i));
        json_put_bool(v, "available", ok);
        json_put(v, "total_bytes", ok ? json_integer((json_int_t)total) : NULL);
        json_put(v, "free_bytes", ok ? json_integer((json_int_t)free_bytes) : NULL);
        json_array_append_new(list, v);
    }
    return list;
}

json_t *host_show(struct core *core, struct err *err)
{
    json_t *v = json_object(), *network = json_object(), *boots = json_array();
    struct utsname name;

    uname(&name);
    for (unsigned i = 0; i < host_boots(); i++)
        json_array_append_new(boots, json_string(host_boot_id(i)));
    json_put_bool(network, "passt", core->probe.passt_found);
    json_put_text(v, "hostname", name.nodename);
    json_put_text(v, "version", VMMD_VERSION);
    json_put_text(v, "kernel", name.release);
    json_put(v, "cpu", survey_cpu(core));
    json_put(v, "memory", memory_view());
    json_put(v, "pressure", survey_pressure(core));
    json_put(v, "accel", accel_view(core));
    json_put(v, "qemu", qemu_view(core));
    json_put(v, "isolation", isolation_view(core));
    json_put(v, "limits", limits_view(core));
    json_put(v, "network", network);
    json_put(v, "boot_entries", boots);
    json_put(v, "pool_roots", roots_view(core));
    json_put(v, "findings", survey_findings(core));
    return v;
}

json_t *host_inventory(struct core *core, struct err *err)
{
    (void)err;
    return survey_inventory(core);
}
