/* The checks of core/inspect, made by vmmctl itself: before vmmd is installed, or when it does not
 * start. Its configuration is read as it would read it; one that it would refuse is a finding, and
 * what it says is left out. */
#include "cli/host.h"

#include "backends/qemu/kvm_verdict.h"
#include "core/base/capture.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/inspect/findings.h"
#include "core/inspect/sysfs.h"
#include "vmmd/config/config.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define QEMU        "/usr/bin/qemu-system-x86_64" /* with a configuration that is wrong */
#define SELFTEST    "vmmd-kvmtest"
#define SELFTEST_MS 3000

/* In a child, which ends with it. */
static bool can_make_userns(void)
{
    pid_t pid = fork();
    int status;

    if (pid == 0)
        _exit(unshare(CLONE_NEWUSER) < 0);
    if (pid < 0)
        return false;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* The self-test beside us (a build directory), else where packages put it. */
static char *selftest_path(void)
{
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    char *slash, *path;

    self[n > 0 ? n : 0] = 0;
    slash = strrchr(self, '/');
    path = str_format("%.*s/" SELFTEST, slash ? (int)(slash - self) : 0, self);
    if (access(path, X_OK) == 0)
        return path;
    free(path);
    return str_dup("/usr/libexec/vmmd/" SELFTEST);
}

static void run_selftest(int kvm, struct backend_probe *out)
{
    CLEANUP(mem_freep) char *path = selftest_path();
    CLEANUP(mem_freep) struct capture *run = mem_alloc(sizeof *run);
    CLEANUP(json_decrefp) json_t *line = NULL;
    char *const argv[] = {path, NULL};
    struct err err = {0};
    enum kvm_run how = KVM_RUN_DIED;

    if (!capture_run(argv, kvm, SELFTEST_MS, run, &err))
        how = KVM_RUN_NOT_STARTED;
    else if (run->timed_out)
        how = KVM_RUN_TIMED_OUT;
    else
        line = WIFEXITED(run->wstatus) ? json_read(run->text, strlen(run->text), &err) : NULL;
    kvm_judge_run(line ? KVM_RUN_ANSWERED : how, line, out);
}

static void judge_kvm(int kvm, struct backend_probe *out)
{
    const struct host_facts facts = {.kvm_node = access("/dev/kvm", F_OK) == 0,
                                     .kvm_opens = kvm >= 0};

    if (!kvm_judge_facts(&facts, out))
        run_selftest(kvm, out);
}

/* What the configuration says, and its directories as far as this user may open them. */
struct place {
    char *path;            /* of the file */
    struct config *config; /* NULL: it is wrong */
    struct err why;
    struct facts_place state, roots[CONFIG_MAX_ROOTS];
    unsigned n_roots; /* without those of which nothing can be said from here */
};

static int open_dir(const char *path)
{
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void place_open(struct place *p, const char *path)
{
    p->path = path ? str_dup(path) : config_default_path();
    p->state = (struct facts_place){.id = "state", .fd = -1};
    p->config = config_load(path, &p->why);
    if (!p->config)
        return;
    p->state.fd = open_dir(p->config->state_dir);
    for (unsigned i = 0; i < p->config->n_roots; i++) {
        int fd = open_dir(p->config->roots[i].path);
        if (fd < 0 && (errno == ENOENT || (errno == EACCES && geteuid() != 0)))
            continue; /* vmmd makes it at its start; it is its own user's alone */
        p->roots[p->n_roots++] = (struct facts_place){p->config->roots[i].id, fd};
    }
}

static void place_close(struct place *p)
{
    closep(&p->state.fd);
    for (unsigned i = 0; i < p->n_roots; i++)
        closep(&p->roots[i].fd);
    config_free(p->config);
    free(p->path);
}

static void place_tell(const struct place *p, struct inspect_facts *facts)
{
    facts->config_path = p->path;
    if (!p->config) {
        facts->config_wrong = p->why.detail;
        return;
    }
    facts->qemu_path = p->config->qemu;
    facts->state = p->state.fd < 0 ? NULL : &p->state; /* it is made at the first start */
    facts->roots = p->n_roots || !p->config->n_roots ? p->roots : NULL;
    facts->n_roots = p->n_roots;
}

json_t *doctor_look_here(const char *config_path)
{
    CLEANUP(closep) int root = sys_root();
    CLEANUP(closep) int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    CLEANUP(place_close) struct place place = {0};
    struct backend_probe probe = {0};
    struct inspect_facts facts = {.root = root,
                                  .root_user = geteuid() == 0,
                                  .userns = can_make_userns(),
                                  .qemu_path = QEMU,
                                  .kvm_verdict = probe.kvm_verdict,
                                  .kvm_fix = probe.kvm_fix,
                                  .max_vcpus = facts_max_vcpus(kvm)};
    json_t *findings;

    place_open(&place, config_path);
    place_tell(&place, &facts);
    judge_kvm(kvm, &probe);
    facts.kvm_healthy = probe.kvm_healthy;
    facts_of_kernel(&facts);
    facts_of_qemu(facts.qemu_path, &facts.qemu);
    findings = findings_read(&facts);
    facts_qemu_clear(&facts.qemu);
    return findings;
}
