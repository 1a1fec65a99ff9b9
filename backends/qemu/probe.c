/* What this host's hypervisor can do: QEMU's version, passt, and whether KVM is of use. Called once
 * by core when it opens; the slow part, the KVM self-test, is kept until the next boot. */
#include "backends/qemu/qemu.h"

#include "backends/qemu/ended.h"
#include "backends/qemu/firmware.h"
#include "backends/qemu/kvm_verdict.h"
#include "backends/qemu/version.h"
#include "core/base/capture.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PASST       "/usr/bin/passt"
#define CACHE       "kvm-selftest.json"
#define CACHE_MAX   4096
#define SELFTEST_MS 8000 /* it takes a tenth of a second, but not on a host that just starts */

static char *kvmtest_path, *cache_path; /* set before there are threads */

void backend_probe_init(const char *kvmtest, const char *cache_dir)
{
    free(kvmtest_path);
    free(cache_path);
    kvmtest_path = str_dup(kvmtest);
    cache_path = str_dup(cache_dir);
}

/* ---- QEMU ---- */

static void probe_qemu(struct backend_probe *out)
{
    out->qemu_found = qemu_version(out->qemu_version, sizeof out->qemu_version);
}

/* ---- the self-test ---- */

static char *kvmtest_beside_us(void)
{
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

    self[n > 0 ? n : 0] = 0;
    char *slash = strrchr(self, '/');
    return str_format("%.*s/vmmd-kvmtest", slash ? (int)(slash - self) : 0, self);
}

static enum kvm_run run_selftest(int kvm, json_t **line)
{
    CLEANUP(mem_freep) char *path = kvmtest_path ? str_dup(kvmtest_path) : kvmtest_beside_us();
    char *const argv[] = {path, NULL};
    struct err err = {0};
    struct capture run;

    if (!capture_run(argv, kvm, SELFTEST_MS, &run, &err)) {
        log_warn("%s", err.detail);
        return KVM_RUN_NOT_STARTED;
    }
    if (run.timed_out)
        return KVM_RUN_TIMED_OUT;
    *line = WIFEXITED(run.wstatus) ? json_read(run.text, strlen(run.text), &err) : NULL;
    return *line ? KVM_RUN_ANSWERED : KVM_RUN_DIED;
}

/* ---- its verdict, kept until the next boot ---- */

static int cache_open(void)
{
    return cache_path ? open(cache_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
}

static json_t *cache_read(const char *boot_id)
{
    CLEANUP(mem_freep) char *text = NULL;
    CLEANUP(json_decrefp) json_t *kept = NULL;
    CLEANUP(closep) int dir = cache_open();
    struct err err = {0};
    size_t len;
    CLEANUP(closep) int fd = dir >= 0 ? fs_open(dir, CACHE, O_RDONLY, 0, &err) : -1;

    if (fd < 0 || !*boot_id || !fs_read_all(fd, CACHE_MAX, &text, &len, &err))
        return NULL;
    kept = json_read(text, len, &err);
    if (!str_eq(json_get_text(kept, "boot_id"), boot_id) ||
        !str_eq(json_get_text(kept, "vmmd"), VMMD_VERSION))
        return NULL;
    return json_incref(json_object_get(kept, "selftest"));
}

static void cache_write(const char *boot_id, json_t *line)
{
    CLEANUP(json_decrefp) json_t *kept = json_object();
    CLEANUP(mem_freep) char *text = NULL;
    CLEANUP(closep) int dir = cache_open();
    struct err err = {0};

    if (dir < 0 || !*boot_id)
        return;
    json_put_text(kept, "boot_id", boot_id);
    json_put_text(kept, "vmmd", VMMD_VERSION);
    json_put(kept, "selftest", json_incref(line));
    text = json_write(kept);
    if (!fs_publish(dir, CACHE, text, strlen(text), 0600, &err))
        log_warn("the verdict on KVM is not kept: %s", err.detail);
}

static bool probe_kvm(struct backend_probe *out, struct err *err)
{
    CLEANUP(json_decrefp) json_t *line = NULL;
    CLEANUP(closep) int kvm = -1;
    char boot_id[BOOT_ID_TEXT];
    struct host_facts facts;
    struct err closed = {0};
    enum kvm_run run;

    if (!host_facts(&facts, err))
        return false;
    if (kvm_judge_facts(&facts, out))
        return true;
    boot_id_read(boot_id);
    line = cache_read(boot_id);
    if (line) {
        kvm_judge_run(KVM_RUN_ANSWERED, line, out);
        return true;
    }
    if (!host_kvm_open(&kvm, &closed)) {
        kvm_judge_closed(closed.detail, out);
        return true;
    }
    run = run_selftest(kvm, &line);
    kvm_judge_run(run, line, out);
    if (run == KVM_RUN_ANSWERED)
        cache_write(boot_id, line);
    return true;
}

bool backend_probe_host(struct backend_probe *out, struct err *err)
{
    *out = (struct backend_probe){.passt_found = access(PASST, X_OK) == 0,
                                  .uefi_found = firmware_found(false),
                                  .secure_boot_found = firmware_found(true)};
    probe_qemu(out);
    if (!probe_kvm(out, err))
        return false;
    log_info("QEMU %s; passt %s; %s",
             out->qemu_version[0] ? out->qemu_version
             : out->qemu_found    ? "found"
                                  : "not found",
             out->passt_found ? "found" : "not found", out->kvm_verdict);
    return true;
}
