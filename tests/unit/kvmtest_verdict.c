/* Is KVM of use? The judgement's table, the small program that is run for it, and what is kept. */
#include "tests/lib/harness.h"

#include "backends/qemu/kvm_verdict.h"
#include "backends/qemu/qemu.h"
#include "backends/qemu/version.h"
#include "core/base/capture.h"
#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HARDWARE "\"cpu\":{\"vmx\":true,\"svm\":false,\"ept\":true,\"npt\":false}"
#define NONE     "\"cpu\":{\"vmx\":false,\"svm\":false,\"ept\":false,\"npt\":false}"

/* ---- the helper ---- */

static struct {
    struct host_facts facts;
    unsigned opens;
    bool refuse;
    const char *qemu;
} host;

bool host_facts(struct host_facts *out, struct err *err)
{
    *out = host.facts;
    return true;
}

bool host_kvm_open(int *fd, struct err *err)
{
    host.opens++;
    if (host.refuse)
        return err_set(err, ERR_FORBIDDEN, "permission denied");
    *fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    return *fd >= 0;
}

const char *host_qemu_path(void)
{
    return host.qemu;
}

/* ---- the table ---- */

static void the_self_tests_answer_decides(void **state)
{
    static const struct {
        enum kvm_run run;
        const char *line, *state;
        uint64_t minsn_s;
    } table[] = {
        {KVM_RUN_ANSWERED, "{\"api\":12,\"cmpxchg16b\":\"ok\",\"minsn_s\":2400," HARDWARE "}", "ok",
         2400},
        {KVM_RUN_ANSWERED,
         "{\"api\":12,\"cmpxchg16b\":\"emulation-failure\",\"minsn_s\":1," NONE "}", "software", 1},
        {KVM_RUN_ANSWERED, "{\"api\":12,\"cmpxchg16b\":\"ok\",\"minsn_s\":1," NONE "}", "software",
         1},
        {KVM_RUN_ANSWERED, "{\"api\":12,\"cmpxchg16b\":\"timeout\",\"minsn_s\":0," NONE "}",
         "software", 0},
        {KVM_RUN_ANSWERED, "{\"api\":12,\"cmpxchg16b\":\"ok\",\"minsn_s\":9," HARDWARE "}",
         "broken", 9},
        {KVM_RUN_ANSWERED, "{\"api\":13,\"cmpxchg16b\":\"ok\",\"minsn_s\":2400," HARDWARE "}",
         "broken", 2400},
        {KVM_RUN_ANSWERED, "{\"error\":\"KVM_CREATE_VM: Cannot allocate memory\"}", "broken", 0},
        {KVM_RUN_ANSWERED, "{}", "broken", 0},
        {KVM_RUN_TIMED_OUT, NULL, "broken", 0},
        {KVM_RUN_DIED, NULL, "broken", 0},
        {KVM_RUN_NOT_STARTED, NULL, "broken", 0},
    };

    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        const char *text = table[i].line ? table[i].line : "{}";
        struct backend_probe probe = {0};
        struct err err = {0};
        CLEANUP(json_decrefp) json_t *line = json_read(text, strlen(text), &err);
        assert_non_null(line);
        kvm_judge_run(table[i].run, table[i].line ? line : NULL, &probe);
        assert_string_equal(probe.kvm_state, table[i].state);
        assert_int_equal(probe.kvm_minsn_s, table[i].minsn_s);
        assert_int_equal(probe.kvm_healthy, str_eq(table[i].state, "ok"));
        assert_true(probe.kvm_verdict[0]);
        assert_int_equal(probe.kvm_fix[0] == 0, probe.kvm_healthy);
    }
}

static void what_the_helper_knows_can_be_enough(void **state)
{
    const struct host_facts none = {0}, closed = {.kvm_node = true};
    const struct host_facts open_node = {.kvm_node = true, .kvm_opens = true};
    struct backend_probe probe = {0};

    assert_true(kvm_judge_facts(&none, &probe));
    assert_string_equal(probe.kvm_state, "missing");
    assert_true(kvm_judge_facts(&closed, &probe));
    assert_string_equal(probe.kvm_state, "no-access");
    assert_false(kvm_judge_facts(&open_node, &probe));
}

/* ---- the small program ---- */

static bool sh(const char *script, int fd, int64_t limit_ms, struct capture *out)
{
    char *const argv[] = {"/bin/sh", "-c", (char *)script, NULL};
    struct err err = {0};

    return capture_run(argv, fd, limit_ms, out, &err);
}

static void a_program_is_run_with_its_descriptor_and_no_other(void **state)
{
    CLEANUP(closep) int kept = open("/dev/null", O_RDONLY); /* not close-on-exec */
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    struct capture run;

    assert_true(kept >= 0);
    assert_true(sh("cd /proc/self/fd && readlink 3; test -e 4 -o -e 5 || echo alone; exit 3", null,
                   5000, &run));
    assert_string_equal(run.text, "/dev/null\nalone\n");
    assert_int_equal(run.wstatus, 3 << 8);
    assert_false(run.timed_out);
    close(null);
}

/* As the helper hands the self-test over to a daemon that cannot enter its directory. */
static void a_program_can_be_named_by_its_descriptor(void **state)
{
    CLEANUP(closep) int low = open("/bin/sh", O_PATH | O_CLOEXEC);
    CLEANUP(closep) int program = fcntl(low, F_DUPFD_CLOEXEC, 20);
    char path[32], *const argv[] = {path, "-c", "test -e /proc/self/fd/20 || echo alone", NULL};
    struct capture run;
    struct err err = {0};

    snprintf(path, sizeof path, "/proc/self/fd/%d", program);
    if (!capture_run(argv, -1, 5000, &run, &err))
        fail_msg("%s", err.detail);
    assert_string_equal(run.text, "alone\n");
}

static void a_program_that_does_not_end_is_killed(void **state)
{
    int64_t start_ms = clock_mono_ms();
    struct capture run;

    assert_true(sh("echo begun; exec sleep 600", -1, 200, &run));
    assert_true(run.timed_out);
    assert_string_equal(run.text, "begun\n");
    assert_true(sh("exec >&-; exec sleep 600", -1, 100, &run));
    assert_true(run.timed_out);
    assert_true(clock_mono_ms() - start_ms < 60000);
}

static void what_it_prints_is_cut_not_overrun(void **state)
{
    struct capture run;

    assert_true(sh("head -c 100000 /dev/zero | tr '\\0' x", -1, 10000, &run));
    assert_false(run.timed_out);
    assert_int_equal(strlen(run.text), sizeof run.text - 1);
}

static void a_missing_program_is_named(void **state)
{
    char *const argv[] = {"/nonexistent/vmmd-kvmtest", NULL};
    struct capture run;
    struct err err = {0};

    assert_false(capture_run(argv, -1, 1000, &run, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
}

/* ---- the probe ---- */

static char *stage;

static int stage_up(void **state)
{
    stage = tmp_dir_make();
    memset(&host, 0, sizeof host);
    host.facts = (struct host_facts){.kvm_node = true, .kvm_opens = true};
    host.qemu = "/nonexistent/qemu";
    return 0;
}

static int stage_down(void **state)
{
    backend_probe_init(NULL, NULL);
    tmp_dir_remove(stage);
    return 0;
}

static char *script(const char *name, const char *text)
{
    char *path = str_format("%s/%s", stage, name);
    CLEANUP(closep) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
    struct err err = {0};

    assert_true(fs_write_all(fd, text, strlen(text), &err));
    return path;
}

static struct backend_probe probe(void)
{
    struct backend_probe out;
    struct err err = {0};

    assert_true(backend_probe_host(&out, &err));
    return out;
}

static void the_verdict_is_kept_until_the_next_boot(void **state)
{
    CLEANUP(mem_freep)
    char *good = script("good", "#!/bin/sh\necho '{\"api\":12,\"cmpxchg16b\":\"ok\","
                                "\"minsn_s\":2000," HARDWARE "}'\n");
    CLEANUP(mem_freep) char *cache = str_format("%s/kvm-selftest.json", stage);
    CLEANUP(closep) int fd = -1;

    backend_probe_init(good, stage);
    assert_true(probe().kvm_healthy);
    assert_int_equal(host.opens, 1);
    unlink(good);
    assert_true(probe().kvm_healthy); /* not run again */
    assert_int_equal(host.opens, 1);
    fd = open(cache, O_WRONLY | O_TRUNC);
    assert_int_equal(write(fd, "{\"boot_id\":\"x\"}", 15), 15);
    assert_string_equal(probe().kvm_state, "broken"); /* of another boot: asked anew, and gone */
    assert_int_equal(host.opens, 2);
}

static void a_self_test_that_fails_to_run_is_not_kept(void **state)
{
    CLEANUP(mem_freep) char *bad = script("bad", "#!/bin/sh\necho nonsense\n");

    backend_probe_init(bad, stage);
    assert_string_equal(probe().kvm_state, "broken");
    assert_string_equal(probe().kvm_state, "broken");
    assert_int_equal(host.opens, 2);
}

static void a_helper_that_does_not_open_kvm_gives_the_reason(void **state)
{
    struct backend_probe out;

    host.refuse = true;
    out = probe();
    assert_string_equal(out.kvm_state, "no-access");
    assert_non_null(strstr(out.kvm_verdict, "permission denied"));
}

static void qemus_version_is_read_and_nonsense_is_not(void **state)
{
    CLEANUP(mem_freep)
    char *good = script("qemu", "#!/bin/sh\necho 'QEMU emulator version 7.2.22 (Debian 1:7.2)'\n"
                                "echo 'Copyright'\n");
    CLEANUP(mem_freep) char *bad = script("other", "#!/bin/sh\necho 'I am an editor'\n");
    struct backend_probe out;

    host.facts.kvm_node = false;
    assert_false(probe().qemu_found);
    host.qemu = good;
    out = probe();
    assert_true(out.qemu_found);
    assert_string_equal(out.qemu_version, "7.2.22 (Debian 1:7.2)");
    host.qemu = bad;
    assert_false(probe().qemu_found);
}

/* A host that just starts may take long for anything; guests are started automatically then. */
static void a_qemu_that_took_too_long_is_there(void **state)
{
    static const struct capture slow = {.timed_out = true}, dead = {.wstatus = 11};
    char version[64] = "x";

    host.qemu = "qemu";
    assert_true(qemu_version_read(&slow, version, sizeof version));
    assert_string_equal(version, "");
    assert_false(qemu_version_read(&dead, version, sizeof version));
}

#define STAGED(f) cmocka_unit_test_setup_teardown(f, stage_up, stage_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_self_tests_answer_decides),
        cmocka_unit_test(what_the_helper_knows_can_be_enough),
        cmocka_unit_test(a_program_is_run_with_its_descriptor_and_no_other),
        cmocka_unit_test(a_program_can_be_named_by_its_descriptor),
        cmocka_unit_test(a_program_that_does_not_end_is_killed),
        cmocka_unit_test(what_it_prints_is_cut_not_overrun),
        cmocka_unit_test(a_missing_program_is_named),
        STAGED(the_verdict_is_kept_until_the_next_boot),
        STAGED(a_self_test_that_fails_to_run_is_not_kept),
        STAGED(a_helper_that_does_not_open_kvm_gives_the_reason),
        STAGED(qemus_version_is_read_and_nonsense_is_not),
        STAGED(a_qemu_that_took_too_long_is_there),
    };

    return cmocka_run_group_tests_name("kvmtest/verdict", tests, NULL, NULL);
}
