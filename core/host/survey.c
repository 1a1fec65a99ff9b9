/* What was found out about the host, kept for a while: see survey.h. Replies are built on copies,
 * so that no two threads touch one JSON value. */
#include "core/host/survey.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/host/host.h"
#include "core/inspect/cpu.h"
#include "core/inspect/facts.h"
#include "core/inspect/findings.h"
#include "core/inspect/inventory.h"
#include "core/inspect/pressure.h"
#include "core/inspect/sysfs.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define INVENTORY_MS 5000  /* devices come and go by hand */
#define CPU_MS       60000 /* processors do so rarely; reading them takes long on big hosts */
#define FINDINGS_MS  10000 /* what is wrong stays so for a while */

/* A value and when it was made. */
struct kept {
    json_t *value; /* NULL: never made */
    int64_t made_mono_ms;
};

struct survey {
    struct lock lock;
    int root; /* see core/inspect/sysfs.h */
    struct kept inventory GUARDED_BY(lock);
    struct kept cpu GUARDED_BY(lock);
    struct kept findings GUARDED_BY(lock);
    struct facts_qemu qemu GUARDED_BY(lock);
    struct stat qemu_file
        GUARDED_BY(lock);                /* the QEMU that 'qemu' tells of; zero: none was asked */
    unsigned max_vcpus GUARDED_BY(lock); /* 0: not asked yet, or KVM does not tell */
};

struct survey *survey_new(void)
{
    struct survey *s = mem_alloc(sizeof *s);

    lock_init(&s->lock);
    s->root = sys_root();
    return s;
}

void survey_free(struct survey *s)
{
    if (!s)
        return;
    json_decref(s->inventory.value);
    json_decref(s->cpu.value);
    json_decref(s->findings.value);
    facts_qemu_clear(&s->qemu);
    closep(&s->root);
    lock_clear(&s->lock);
    free(s);
}

static bool is_stale(const struct kept *kept, int64_t limit_ms)
{
    return !kept->value || clock_mono_ms() - kept->made_mono_ms >= limit_ms;
}

static void keep(struct kept *kept, json_t *value)
{
    json_decref(kept->value);
    *kept = (struct kept){.value = value, .made_mono_ms = clock_mono_ms()};
}

json_t *survey_inventory(struct core *core)
{
    struct survey *s = core->survey;
    json_t *copy;

    lock_take(&s->lock);
    if (is_stale(&s->inventory, INVENTORY_MS))
        keep(&s->inventory, inventory_read(s->root));
    copy = json_deep_copy(s->inventory.value);
    lock_drop(&s->lock);
    return copy;
}

/* Asks QEMU again when its file is another one: an upgrade needs no restart of vmmd to be seen. */
static void refresh_qemu(struct survey *s, const char *path) REQUIRES(&s->lock)
{
    struct stat now = {0};

    if (stat(path, &now) < 0)
        now = (struct stat){0};
    if (now.st_ino == s->qemu_file.st_ino && now.st_dev == s->qemu_file.st_dev &&
        now.st_mtim.tv_sec == s->qemu_file.st_mtim.tv_sec &&
        now.st_mtim.tv_nsec == s->qemu_file.st_mtim.tv_nsec)
        return;
    facts_qemu_clear(&s->qemu);
    s->qemu_file = now;
    facts_of_qemu(path, &s->qemu);
}

static void refresh_max_vcpus(struct survey *s, const struct core *core) REQUIRES(&s->lock)
{
    CLEANUP(closep) int kvm = -1;
    struct err err = {0};

    if (!s->max_vcpus && core->facts.kvm_opens && host_kvm_open(&kvm, &err))
        s->max_vcpus = facts_max_vcpus(kvm);
}

static json_t *look(struct survey *s, struct core *core) REQUIRES(&s->lock)
{
    char limits[64], no_limits[64];
    const struct facts_place state = {.id = "state", .fd = core->state_fd};
    CLEANUP(mem_freep) struct facts_place *roots = mem_array(host_roots() + 1, sizeof *roots);
    struct inspect_facts facts = {.root = s->root,
                                  .service = true,
                                  .root_user = core->facts.root,
                                  .userns = core->facts.userns,
                                  .cgroup_v2 = core->facts.cgroup_v2,
                                  .limits = limits,
                                  .no_limits = no_limits,
                                  .qemu_path = host_qemu_path(),
                                  .kvm_healthy = core->probe.kvm_healthy,
                                  .kvm_verdict = core->probe.kvm_verdict,
                                  .kvm_fix = core->probe.kvm_fix,
                                  .state = &state,
                                  .roots = roots,
                                  .n_roots = host_roots()};

    host_limits_words(core, limits, no_limits);
    for (unsigned i = 0; i < facts.n_roots; i++)
        roots[i] = (struct facts_place){.id = host_root_id(i), .fd = core->root_dirs[i]};
    refresh_qemu(s, facts.qemu_path);
    refresh_max_vcpus(s, core);
    facts.qemu = s->qemu; /* borrowed for the while */
    facts.max_vcpus = s->max_vcpus;
    facts_of_kernel(&facts);
    return findings_read(&facts);
}

json_t *survey_findings(struct core *core)
{
    struct survey *s = core->survey;
    json_t *copy;

    lock_take(&s->lock);
    if (is_stale(&s->findings, FINDINGS_MS))
        keep(&s->findings, look(s, core));
    copy = json_deep_copy(s->findings.value);
    lock_drop(&s->lock);
    return copy;
}

json_t *survey_pressure(struct core *core)
{
    return pressure_view(core->survey->root);
}

static json_t *cpu_view(int root)
{
    CLEANUP(mem_freep) struct cpu_facts *cpu = mem_alloc(sizeof *cpu);
    json_t *v = json_object();

    cpu_read(root, cpu);
    json_put_text(v, "model", cpu->model);
    json_put_u64(v, "sockets", cpu->sockets);
    json_put_u64(v, "cores", cpu->cores);
    json_put_u64(v, "threads", cpu->threads);
    json_put_bool(v, "vmx", cpu->vmx);
    json_put_bool(v, "svm", cpu->svm);
    json_put_bool(v, "slat", cpu->slat);
    json_put_bool(v, "hypervisor", cpu->hypervisor);
    return v;
}

json_t *survey_cpu(struct core *core)
{
    struct survey *s = core->survey;
    json_t *copy;

    lock_take(&s->lock);
    if (is_stale(&s->cpu, CPU_MS))
        keep(&s->cpu, cpu_view(s->root));
    copy = json_deep_copy(s->cpu.value);
    lock_drop(&s->lock);
    return copy;
}
